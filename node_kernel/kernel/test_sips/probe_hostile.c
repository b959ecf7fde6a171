/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls every function of the kernel with arguments no honest program passes. Each must answer an
 * error (or something harmless); none may hurt anybody but the caller.
 */
#include "probe.h"

/* Addresses at and over every border of what this SIP may touch. */
static const uint32_t bad_addresses[] = {
    (1u << 20) - 1, 1u << 20,   (1u << 20) + 1, 24u << 20,       (32u << 20) - 8,
    32u << 20,      40u << 20,  64u << 20,      (64u << 20) - 1, 0x7fffffff,
    0x80000000,     0xfffffff0, 0xffffffff,
};
#define BAD_ADDRESS_COUNT (sizeof(bad_addresses) / sizeof(bad_addresses[0]))

static const uint32_t bad_handles[] = {0,    1,    15,         16,         4095,      4096,
                                       4097, 8192, 0x7fffffff, 0x80000001, 0xffffffff};
#define BAD_HANDLE_COUNT (sizeof(bad_handles) / sizeof(bad_handles[0]))

static void hostile_address(uint32_t address)
{
    void *at = sip_pointer(address);
    uint32_t ends[2];
    struct nk_msg msg;

    CHECK(nk_log(at, 16) < 0);
    CHECK(nk_entropy(at, 16) < 0);
    CHECK(nk_config(at, 16, (char *)&msg, sizeof(msg)) < 0);
    CHECK(nk_config(NAME("mode"), at, 16) < 0);
    CHECK(nk_identity(0, at, 16) < 0);
    CHECK(nk_identity(1, at, 0xffffffff) < 0);
    CHECK(nk_endpoint(at, 16) < 0);
    CHECK(nk_accept(at, 16, 0) < 0);
    CHECK(nk_listen(at, 16) < 0);
    CHECK(nk_channel((int64_t)ProbeContract_ID, 0, at) < 0);
    CHECK(nk_select(at, 4, 0) < 0);
    CHECK(nk_block_free(at) == -SF_NOTOWNER);
    CHECK(nk_block_bytes(at) == -SF_NOTOWNER);
    CHECK(nk_channel((int64_t)ProbeContract_ID, 0, ends) == 0);
    CHECK(nk_send(ends[0], at) < 0);
    CHECK(nk_recv(ends[0], at, 0) < 0);
    msg = (struct nk_msg){.tag = ProbeContract_tag_Ping, .arg_count = 1};
    msg.args[0] = (uint64_t)16 << 32 | address;
    CHECK(nk_send(ends[0], &msg) < 0);
    CHECK(nk_close(ends[0]) == 0 && nk_close(ends[1]) == 0);
}

static void hostile_handle(uint32_t handle)
{
    struct nk_msg msg = {.tag = ProbeContract_tag_Bye};
    uint32_t ends[2];

    CHECK(nk_send(handle, &msg) == -SF_BADHANDLE);
    CHECK(nk_recv(handle, &msg, SIP_FOREVER) == -SF_BADHANDLE);
    CHECK(nk_select(&handle, 1, SIP_FOREVER) == -SF_BADHANDLE);
    CHECK(nk_close(handle) == -SF_BADHANDLE);
    CHECK(nk_state(handle) == -SF_BADHANDLE);
    CHECK(nk_cause(handle) == -SF_BADHANDLE);
    CHECK(nk_channel((int64_t)ProbeContract_ID, 0, ends) == 0);
    msg = (struct nk_msg){.tag = ProbeContract_tag_Give, .arg_count = 1, .args = {handle}};
    CHECK(nk_send(ends[0], &msg) < 0);
    CHECK(nk_close(ends[0]) == 0 && nk_close(ends[1]) == 0);
}

static void hostile_messages(void)
{
    struct nk_msg msg;
    uint32_t ends[2], other[2];
    uint8_t *block = nk_block_alloc(100);

    CHECK(block != NULL);
    CHECK(nk_channel((int64_t)ProbeContract_ID, 0, ends) == 0);
    CHECK(nk_channel((int64_t)ProbeContract_ID, 0, other) == 0);
    for (uint32_t tag = 0; tag < 600; tag++) {
        msg = (struct nk_msg){.tag = tag, .arg_count = 8};
        CHECK(nk_send(ends[0], &msg) == -SF_CONTRACT);
    }
    msg = (struct nk_msg){.tag = 0xffffffff, .arg_count = 0xffffffff};
    CHECK(nk_send(ends[0], &msg) == -SF_CONTRACT);
    msg = (struct nk_msg){.tag = ProbeContract_tag_Ping, .arg_count = 1};
    CHECK(nk_send(ends[0], &msg) < 0); /* block missing */
    msg.args[0] = sip_block_arg(block, 101);
    CHECK(nk_send(ends[0], &msg) < 0); /* longer than it is */
    msg.args[0] = sip_block_arg(block, 0);
    CHECK(nk_send(ends[0], &msg) < 0); /* nothing of it */
    msg.args[0] = sip_block_arg(block + 1, 10);
    CHECK(nk_send(ends[0], &msg) < 0); /* not its start */
    msg = (struct nk_msg){.tag = ProbeContract_tag_Give, .arg_count = 1};
    CHECK(nk_send(ends[0], &msg) < 0); /* endpoint missing */
    msg.args[0] = ends[0];
    CHECK(nk_send(ends[0], &msg) < 0); /* over itself */
    msg.args[0] = other[1];
    CHECK(nk_send(ends[0], &msg) < 0); /* the wrong side */
    msg.args[0] = (uint64_t)1 << 32 | other[0];
    CHECK(nk_send(ends[0], &msg) < 0); /* no handle at all */
    CHECK(nk_state(ends[0]) == 0 && nk_block_bytes(block) == 100);
    CHECK(nk_block_free(block + 1) < 0 && nk_block_free(block) == 0);
    CHECK(nk_block_free(block) < 0 && nk_block_bytes(block) < 0);
    CHECK(nk_close(other[0]) == 0 && nk_close(other[0]) == -SF_BADHANDLE);
    hostile_handle(other[0]);                                    /* stale */
    CHECK(nk_channel((int64_t)ProbeContract_ID, 0, other) == 0); /* may get the same index */
}

static void hostile_numbers(void)
{
    uint32_t ends[2], ones[65] = {0};
    char text[8];
    unsigned count = 0;

    CHECK(nk_log(text, 0) < 0 && nk_log(text, 1025) < 0 && nk_log(text, 0xffffffff) < 0);
    CHECK(nk_entropy(text, 0) < 0 && nk_entropy(text, 257) < 0);
    CHECK(nk_identity(2, text, 8) < 0 && nk_identity(0xffffffff, text, 8) < 0);
    CHECK(nk_config(text, 0xffffffff, text, 8) < 0);
    CHECK(nk_endpoint(text, 0xffffffff) < 0);
    CHECK(nk_accept(NAME("test"), -2) < 0);
    CHECK(nk_accept(NAME("test"), INT64_MIN) < 0);
    CHECK(nk_accept(NAME("test"), 0) == -SF_TIMEOUT);
    CHECK(nk_channel(0, 0, ends) == -SF_NOTFOUND);
    CHECK(nk_channel(-1, 0, ends) == -SF_NOTFOUND);
    CHECK(nk_channel((int64_t)ProbeContract_ID, 250, ends) < 0);
    CHECK(nk_channel((int64_t)ProbeContract_ID, 0xffffffff, ends) < 0);
    CHECK(nk_select(ones, 65, 0) < 0 && nk_select(ones, 0xffffffff, 0) < 0);
    CHECK(nk_select(ones, 0, -2) < 0);
    CHECK(nk_block_alloc(0) == NULL && nk_block_alloc(0xffffffff) == NULL);
    CHECK(nk_block_alloc((16u << 20) + 1) == NULL);
    while (nk_channel((int64_t)ProbeContract_ID, 0, ends) == 0) { /* until nothing is left */
        CHECK(++count < NK_HANDLES_MAX);
    }
    CHECK(count > 500);
}

int probe_hostile(void)
{
    for (uint32_t i = 0; i < BAD_ADDRESS_COUNT; i++) {
        hostile_address(bad_addresses[i]);
    }
    for (uint32_t i = 0; i < BAD_HANDLE_COUNT; i++) {
        hostile_handle(bad_handles[i]);
    }
    hostile_messages();
    hostile_numbers();
    return 0;
}
