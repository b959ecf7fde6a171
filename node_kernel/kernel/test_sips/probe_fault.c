/* SPDX-License-Identifier: Apache-2.0 */
/* Every way to fault, and memory tricks: what a good SIP never does. */
#include "probe.h"

static volatile uint32_t zero;
static volatile int *volatile nowhere;

static int __attribute__((noinline)) fault_recurse(int depth)
{
    /* No local in linear memory: it is the native stack that overflows. */
    return depth == -1 ? 0 : fault_recurse(depth + 1) + (int)nk_clock_ns(); /* @recurse */
}

static int __attribute__((noinline)) fault_recurse_memory(volatile int *above)
{
    volatile int here[64];

    here[0] = *above + 1;
    if (*above < 0) {
        return 0;
    }
    return fault_recurse_memory(here) + here[0]; /* @memstack */
}

static int __attribute__((noinline)) fault_divide(int by)
{
    return 1000 / by; /* @divide */
}

static int __attribute__((noinline)) fault_store(uint32_t address)
{
    *(volatile uint8_t *)sip_pointer(address) = 1; /* @store */
    return 0;
}

typedef int (*wrong_type)(int, int, int, int);

static int touch_after_send(void)
{
    uint32_t ends[2];
    struct nk_msg msg = {.tag = ProbeContract_tag_Ping, .arg_count = 1};
    volatile uint8_t *data = nk_block_alloc(10000);

    CHECK(data != NULL);
    data[0] = 1;
    CHECK(nk_channel((int64_t)ProbeContract_ID, 0, ends) == 0);
    msg.args[0] = sip_block_arg((const void *)data, 10000);
    CHECK(nk_send(ends[0], &msg) == 0);
    return data[0]; /* @touch */
}

/* Faults while it holds blocks, endpoints, queued messages, and a block it was sent. */
static int fault_holding(void)
{
    uint32_t ends[2], more[2];
    struct nk_msg msg = {.tag = ProbeContract_tag_Ping, .arg_count = 1};

    for (uint32_t i = 0; i < 50; i++) {
        void *data = nk_block_alloc(1 + i * 777);

        CHECK(data != NULL);
        if (i % 3 == 0) {
            CHECK(nk_channel((int64_t)ProbeContract_ID, 0, ends) == 0);
            msg = (struct nk_msg){.tag = ProbeContract_tag_Ping, .arg_count = 1};
            msg.args[0] = sip_block_arg(data, 1 + i * 777);
            CHECK(nk_send(ends[0], &msg) == 0);
        }
    }
    CHECK(nk_channel((int64_t)ProbeContract_ID, 0, ends) == 0);
    CHECK(nk_channel((int64_t)ProbeContract_ID, 0, more) == 0);
    msg = (struct nk_msg){.tag = ProbeContract_tag_Give, .arg_count = 1, .args = {more[0]}};
    CHECK(nk_send(ends[0], &msg) == 0);
    __builtin_trap();
}

int probe_fault(const char *mode)
{
    int seed = 0;

    if (strcmp(mode, "oob") == 0) {
        return fault_store(24 << 20); /* past memory, below the window */
    }
    if (strcmp(mode, "null") == 0) {
        return *nowhere;
    }
    if (strcmp(mode, "window") == 0) {
        return fault_store(40 << 20); /* no block there */
    }
    if (strcmp(mode, "stack") == 0) {
        return fault_recurse((int)zero);
    }
    if (strcmp(mode, "memstack") == 0) {
        return fault_recurse_memory(&seed);
    }
    if (strcmp(mode, "unreachable") == 0) {
        __builtin_trap(); /* @unreachable */
    }
    if (strcmp(mode, "divide") == 0) {
        return fault_divide((int)zero);
    }
    if (strcmp(mode, "indirect") == 0) {
        wrong_type call = (wrong_type)(uintptr_t)(zero + 1);

        return call(1, 2, 3, 4); /* @indirect */
    }
    if (strcmp(mode, "touch") == 0) {
        return touch_after_send();
    }
    if (strcmp(mode, "holding") == 0) {
        return fault_holding();
    }
    return probe_report(mode); /* @probe_fault */
}

#define FILL_WORD 0x5ea1edf00d15beefull

/* "fill" writes a pattern all over its memory, stack and blocks; "look" must not find any of it. */
static int __attribute__((noinline)) look_at(const volatile uint64_t *from, uint32_t words)
{
    for (uint32_t i = 0; i < words; i++) {
        if (from[i] == FILL_WORD) {
            return 1;
        }
    }
    return 0;
}

static void __attribute__((noinline)) fill_at(volatile uint64_t *from, uint32_t words)
{
    for (uint32_t i = 0; i < words; i++) {
        from[i] = FILL_WORD;
    }
}

int probe_recycle(const char *mode)
{
    uint32_t from = 512 << 10, words = (512 << 10) / 8; /* upper half of the memory */
    int fill = strcmp(mode, "fill") == 0;

    if (fill) {
        fill_at((volatile uint64_t *)sip_pointer(from), words);
    } else {
        CHECK(!look_at((volatile uint64_t *)sip_pointer(from), words));
    }
    for (uint32_t bytes = 64; bytes <= 65536; bytes *= 4) {
        for (uint32_t i = 0; i < 20; i++) {
            uint64_t *data = nk_block_alloc(bytes);

            CHECK(data != NULL);
            if (fill) {
                fill_at(data, bytes / 8);
            } else {
                CHECK(!look_at(data, bytes / 8));
            }
        }
    }
    return 0;
}
