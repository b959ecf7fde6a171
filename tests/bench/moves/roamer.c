/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roamer.c - the SIP that moves.md's bench moves: has touched `kib` of memory, rewrites `percent`
 * of its pages a second, and answers who asks. Each page says its number and how often it was
 * written; what does not fit ends it with exit code 9.
 */
#include "GapContract.h"
#include "sip.h"

#define PAGE 4096u
#define PAGES_MAX (60u << 8) /* 60 MiB */
#define WRONG 9

static uint32_t memory[PAGES_MAX][PAGE / sizeof(uint32_t)];
static uint32_t page_count, next_page, passes;

/* The next page; all before it have been written once more than all from it on. */
static bool rewrite(void)
{
    uint32_t *page = memory[next_page];

    if (page[0] != next_page || page[1] != passes) {
        sip_log("page %u says %u, written %u times, not %u", next_page, page[0], page[1], passes);
        return false;
    }
    page[1]++;
    if (++next_page == page_count) {
        next_page = 0;
        passes++;
    }
    return true;
}

static uint64_t place(void)
{
    char name[64] = "";
    uint64_t sum = 0;

    (void)nk_identity(1, name, sizeof(name));
    for (uint32_t i = 0; i < sizeof(name) && name[i] != '\0'; i++) {
        sum = sum * 31 + (uint8_t)name[i];
    }
    return sum;
}

int sip_main(void)
{
    uint32_t percent = sip_config_u32("percent", 0);
    uint32_t peer;
    int64_t began_ns;
    uint64_t written = 0;

    page_count = sip_config_u32("kib", 64) / 4;
    if (page_count == 0 || page_count > PAGES_MAX) {
        return 20;
    }
    for (uint32_t i = 0; i < page_count; i++) {
        for (uint32_t k = 1; k < PAGE / sizeof(uint32_t); k++) {
            memory[i][k] = i ^ k * 0x9e3779b9u;
        }
        memory[i][0] = i;
        memory[i][1] = 0;
    }
    peer = (uint32_t)sip_accept("gap", SIP_FOREVER);
    began_ns = nk_clock_ns();
    for (;;) {
        struct nk_msg msg;
        int32_t st = nk_recv(peer, &msg, SIP_FOREVER);
        uint64_t due;

        if (st != 0) {
            return -st;
        }
        msg.tag = GapContract_tag_Answer;
        msg.arg_count = 2;
        msg.args[1] = place();
        st = nk_send(peer, &msg);
        due = (uint64_t)(nk_clock_ns() - began_ns) / 1000000u * page_count * percent / 100000u;
        for (; written < due; written++) {
            if (!rewrite()) {
                return WRONG;
            }
        }
    }
}
