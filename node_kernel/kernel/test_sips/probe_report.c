/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a fault report has to tell. fault_test.c finds the lines by their marks: a comment of @ and
 * a name.
 */
#include "probe.h"

static volatile uint32_t nothing;
static volatile int depth_max = 40;
static uint32_t table[64];

/* --- call chains --------------------------------------------------------------------------------
 */

/* Different work behind each call, so that no compiler makes one of them. */
static int __attribute__((noinline)) chain_last(int by)
{
    sip_log("dividing by %d", by);
    return 100000 / by; /* @chain_last */
}

static int __attribute__((noinline)) chain_middle(int by)
{
    return chain_last(by) * 3 + 1; /* @chain_middle */
}

static int __attribute__((noinline)) chain_first(int by)
{
    int sum = chain_last(by + 5);

    return sum + chain_middle(by) * 7; /* @chain_first */
}

static int even(int depth);
static int odd(int depth);

/* By pointers, so that neither is inlined in the other. */
static int (*volatile const steps[])(int) = {even, odd};

static int odd(int depth)
{
    return depth > depth_max ? 1000 / (int)nothing : steps[0](depth + 1) + 1; /* @odd */
}

static int even(int depth)
{
    return steps[1](depth + 1) ^ depth; /* @even */
}

/* --- blocks -------------------------------------------------------------------------------------
 */

static int touch_after_free(void)
{
    volatile uint8_t *data = nk_block_alloc(100000);

    CHECK(data != NULL);
    data[99999] = 1;
    CHECK(nk_block_free((void *)(uintptr_t)data) == 0);
    return data[70000]; /* @freed */
}

static int touch_behind(void)
{
    volatile uint8_t *data = nk_block_alloc(5000);

    CHECK(data != NULL);
    return data[8200]; /* @behindblock */
}

/* --- messages -----------------------------------------------------------------------------------
 */

static int chat(void)
{
    struct nk_msg msg;
    uint32_t peer = (uint32_t)nk_endpoint(NAME("peer"));

    CHECK((int32_t)peer > 0);
    for (int i = 0; i < 5; i++) {
        msg = (struct nk_msg){.tag = ProbeContract_tag_Add, .arg_count = 4, .args = {1, 2, 3}};
        CHECK(nk_send(peer, &msg) == 0);
        CHECK(nk_recv(peer, &msg, SIP_FOREVER) == 0);
    }
    void *data = nk_block_alloc(64);
    msg = (struct nk_msg){.tag = ProbeContract_tag_Ping, .arg_count = 1};
    msg.args[0] = 64ull << 32 | (uint32_t)(uintptr_t)data;
    CHECK(nk_send(peer, &msg) == 0);
    return 1000 / (int)nothing; /* @chat */
}

/* Against the contract: it is the other side's turn. */
static int violate(void)
{
    struct nk_msg msg = {.tag = ProbeContract_tag_Add, .arg_count = 4, .args = {1, 2, 3}};
    uint32_t peer = (uint32_t)nk_endpoint(NAME("peer"));

    CHECK((int32_t)peer > 0);
    CHECK(nk_send(peer, &msg) == 0);
    msg.tag = ProbeContract_tag_Bye + nothing;
    msg.arg_count = 0;
    CHECK(nk_send(peer, &msg) == -SF_CONTRACT); /* @violate */
    msg.tag = 200 + nothing;
    CHECK(nk_send(peer, &msg) == -SF_CONTRACT);
    return 0;
}

/* --- time ---------------------------------------------------------------------------------------
 */

static int __attribute__((noinline)) compute_for_ever(void)
{
    for (uint32_t i = 1;; i++) {
        table[i % 64] += table[i * 7 % 64] ^ i;
    }
}

/* Never long without a call. */
static int ask_for_ever(void)
{
    for (;;) {
        (void)nk_clock_ns();
    }
}

/* Computes a little, then yields: pre-empted now and then, but never endless. */
static int work_and_yield(void)
{
    int64_t end = nk_clock_ns() + SIP_MS(25);
    int64_t until;

    while ((until = nk_clock_ns()) < end) {
        for (uint32_t i = 0; i < 200000; i++) {
            nothing = 0;
        }
        nk_yield();
    }
    return (int)(until - until);
}

int probe_report(const char *mode)
{
    if (strcmp(mode, "chain") == 0) {
        return chain_first((int)nothing); /* @chain */
    }
    if (strcmp(mode, "mutual") == 0) {
        return steps[0](1); /* @mutual */
    }
    if (strcmp(mode, "freed") == 0) {
        return touch_after_free();
    }
    if (strcmp(mode, "behindblock") == 0) {
        return touch_behind();
    }
    if (strcmp(mode, "chat") == 0) {
        return chat();
    }
    if (strcmp(mode, "violate") == 0) {
        return violate();
    }
    if (strcmp(mode, "endless") == 0) {
        return compute_for_ever() + 1; /* @endless */
    }
    if (strcmp(mode, "asks") == 0) {
        return ask_for_ever(); /* @ask */
    }
    if (strcmp(mode, "works") == 0) {
        return work_and_yield();
    }
    return 99;
}
