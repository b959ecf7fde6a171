/* SPDX-License-Identifier: Apache-2.0 */
/* What slots_test.c asks of the probe: memory up to its end and past it, blocks that change hands.
 */
#include "probe.h"

#ifndef __wasm__ /* addresses, and memory that grows: not in mode native */
int probe_slots(const char *mode)
{
    (void)mode;
    return -1;
}
#else

#define PATTERN 0x5ea1edf00d15beefull
#define PAGE 4096u
#define MIB (1u << 20)

static volatile uint32_t none; /* 0, but the compiler does not know */
static volatile uint32_t highest = 0xfffffff0u;

static uint32_t memory_bytes(void)
{
    return (uint32_t)__builtin_wasm_memory_size(0) << 16;
}

static int grow_to(uint32_t bytes)
{
    return __builtin_wasm_memory_grow(0, (bytes - memory_bytes()) >> 16) != (size_t)-1;
}

/* --- memory -------------------------------------------------------------------------------------
 */

/* 256 MiB, every page written and read again; the kernel can write where nobody has been yet. */
static int grow(void)
{
    uint32_t from = memory_bytes(), to = 256 * MIB;

    CHECK(from < 4 * MIB);
    CHECK(nk_entropy((void *)(uintptr_t)from, 16) == -SF_BADARG);
    CHECK(grow_to(64 * MIB));
    CHECK(memory_bytes() == 64 * MIB);
    CHECK(nk_entropy((void *)(uintptr_t)(64 * MIB - 16), 16) == 0);
    CHECK(nk_entropy((void *)(uintptr_t)(64 * MIB - 15), 16) == -SF_BADARG);
    CHECK(grow_to(to));
    CHECK(!grow_to(513 * MIB)); /* the manifest says 512 MiB */
    CHECK(memory_bytes() == to);
    for (uint32_t at = from; at < to; at += PAGE) {
        volatile uint32_t *word = (volatile uint32_t *)(uintptr_t)at;

        CHECK(word[1] == 0);
        word[1] = at;
    }
    for (uint32_t at = from; at < to; at += PAGE) {
        CHECK(((volatile uint32_t *)(uintptr_t)at)[1] == at);
    }
    return 0;
}

static int store_at(uint32_t address)
{
    *(volatile uint32_t *)(uintptr_t)address = 1;
    return 0;
}

struct far {
    uint8_t before[0x7ffffff0];
    uint8_t byte;
};

/* Address plus constant offset, in one load. */
static int load_far(volatile struct far *at)
{
    return at->byte;
}

/* --- every byte dirty ---------------------------------------------------------------------------
 */

static void __attribute__((noinline)) fill(volatile uint64_t *from, volatile uint64_t *to)
{
    while (from < to) {
        *from++ = PATTERN;
    }
}

static int __attribute__((noinline)) fill_c_stack(void)
{
    volatile uint64_t here[6000];

    fill(here, here + 6000);
    return (int)here[5999];
}

static int __attribute__((noinline)) fill_native_stack(int depth, uint64_t pattern)
{
    return depth == 0 ? 0 : fill_native_stack(depth - 1, pattern) + (int)(nk_clock_ns() ^ pattern);
}

/* All that a SIP can write: memory, both stacks, blocks of all sizes, and (pre-empted) registers.
 */
static int dirty(void)
{
    extern uint8_t __heap_base;
    double d = 1.0;

    (void)fill_c_stack();
    (void)fill_native_stack(5000, PATTERN);
    (void)grow_to(memory_bytes() < MIB ? MIB : memory_bytes());
    fill((volatile uint64_t *)(((uintptr_t)&__heap_base + 7) & ~(uintptr_t)7),
         (volatile uint64_t *)(uintptr_t)memory_bytes());
    for (uint32_t bytes = 64; bytes <= MIB; bytes *= 4) {
        for (uint32_t i = 0; i < 4; i++) {
            uint64_t *data = nk_block_alloc(bytes);

            CHECK(data != NULL);
            fill(data, data + bytes / 8);
        }
    }
    for (int64_t end = nk_clock_ns() + SIP_MS(3); nk_clock_ns() < end;) {
        for (uint32_t i = 0; i < 200000; i++) {
            d = d * 1.0000001 + (double)(i & 7);
        }
    }
    return d > 0 ? 0 : 1;
}

/* --- blocks that change hands -------------------------------------------------------------------
 */

static void block_fill(uint8_t *data, uint32_t bytes, uint32_t seed)
{
    for (uint32_t i = 0; i < bytes; i += 61) {
        data[i] = (uint8_t)(seed + i * 7);
    }
    data[bytes - 1] = (uint8_t)(seed + 1);
}

static int block_holds(const uint8_t *data, uint32_t bytes, uint32_t seed)
{
    for (uint32_t i = 0; i + 1 < bytes; i += 61) {
        if (data[i] != (uint8_t)(seed + i * 7)) {
            return 0;
        }
    }
    return data[bytes - 1] == (uint8_t)(seed + 1);
}

/* Behind a block's last byte no other SIP's bytes come along. */
static int tail_is_zero(const uint8_t *data, uint32_t bytes)
{
    for (uint32_t i = bytes; bytes > PAGE && i % PAGE != 0; i++) {
        if (data[i] != 0) {
            return 0;
        }
    }
    return 1;
}

/* The place of a block of 64 KiB and more is as large as page tables are. What is behind the block
 * can be accessed, too, and is nobody else's. */
static int with_rest;

static uint32_t rest_end(uint32_t bytes)
{
    return (bytes + 2 * MIB - 1) / (2 * MIB) * (2 * MIB);
}

static int rest_is_zero(const uint8_t *data, uint32_t bytes)
{
    for (uint32_t i = bytes; with_rest && i < rest_end(bytes); i += 61) {
        if (data[i] != 0) {
            return 0;
        }
    }
    return 1;
}

static void rest_fill(uint8_t *data, uint32_t bytes)
{
    for (uint32_t i = bytes; with_rest && i < rest_end(bytes); i += 61) {
        data[i] = 0xdd;
    }
}

/* Sends every block back, dirty behind its end; `slow` is not there yet when the next one comes. */
static int echo(int slow)
{
    int32_t handle = nk_accept(NAME("test"), SIP_FOREVER);
    struct nk_msg msg;

    for (;;) {
        for (int i = 0; slow && i < 3; i++) {
            nk_yield();
        }
        int32_t st = nk_recv((uint32_t)handle, &msg, SIP_FOREVER);
        if (st != 0) {
            return -st == SF_CLOSED ? 0 : 1;
        }
        uint32_t bytes = (uint32_t)(msg.args[0] >> 32);
        uint8_t *data = (uint8_t *)(uintptr_t)(uint32_t)msg.args[0];
        CHECK(tail_is_zero(data, bytes) && rest_is_zero(data, bytes));
        rest_fill(data, bytes);
        if (bytes % PAGE != 0 && bytes > PAGE) {
            data[bytes] = 0xee;
        }
        data[0] ^= 0xff;
        msg.tag = ProbeContract_tag_Pong;
        CHECK(nk_send((uint32_t)handle, &msg) == 0);
    }
}

static uint8_t *exchange(uint32_t peer, uint8_t *data, uint32_t bytes, int slow)
{
    struct nk_msg msg = {.tag = ProbeContract_tag_Ping, .arg_count = 1};

    msg.args[0] = (uint64_t)bytes << 32 | (uint32_t)(uintptr_t)data;
    CHECK(nk_send(peer, &msg) == 0);
    for (int i = 0; slow && i < 5; i++) {
        nk_yield();
    }
    CHECK(nk_recv(peer, &msg, SIP_FOREVER) == 0);
    CHECK(msg.args[0] >> 32 == bytes);
    return (uint8_t *)(uintptr_t)(uint32_t)msg.args[0];
}

/* Refused sends leave a block as it was; then there and back, at last trimmed. */
static void talk_with(uint32_t peer, uint32_t bytes, int slow)
{
    struct nk_msg wrong = {.tag = ProbeContract_tag_Pong, .arg_count = 1};
    uint8_t *data = nk_block_alloc(bytes);

    CHECK(data != NULL &&
          rest_is_zero(data, (bytes + PAGE - 1) / PAGE * PAGE)); /* the page: its own */
    rest_fill(data, bytes);
    block_fill(data, bytes, bytes);
    wrong.args[0] = (uint64_t)bytes << 32 | (uint32_t)(uintptr_t)data;
    CHECK(nk_send(peer, &wrong) == -SF_CONTRACT);
    CHECK(block_holds(data, bytes, bytes));
    for (uint32_t i = 0; i < 3; i++) {
        data = exchange(peer, data, bytes, slow);
        data[0] ^= 0xff;
        CHECK(nk_block_bytes(data) == (int32_t)bytes);
        CHECK(block_holds(data, bytes, bytes + i) && tail_is_zero(data, bytes));
        CHECK(rest_is_zero(data, bytes));
        rest_fill(data, bytes);
        block_fill(data, bytes, bytes + i + 1);
    }
    bytes = bytes / 2 + 1;
    block_fill(data, bytes, 9);
    data = exchange(peer, data, bytes, slow);
    data[0] ^= 0xff;
    CHECK(block_holds(data, bytes, 9) && tail_is_zero(data, bytes) && rest_is_zero(data, bytes));
    rest_fill(data, bytes);
    CHECK(nk_block_free(data) == 0);
}

static int talk(int slow, uint32_t rounds)
{
    static const uint32_t sizes[] = {64,    4096,   8191,    8192,    8193,
                                     65536, 100000, 1 << 20, 3 << 20, (1 << 20) + 4097};
    uint32_t peer = (uint32_t)nk_endpoint(NAME("peer"));

    while (rounds-- > 0) {
        for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            talk_with(peer, sizes[i], slow);
        }
    }
    return 0;
}

/* Not all of a window's places can be whole page tables: those that are become as large as their
 * blocks.
 */
static int crowd(void)
{
    uint32_t peer = (uint32_t)nk_endpoint(NAME("peer")), count = 0;
    static uint8_t *kept[42], *small[4000];
    const uint32_t bytes = 97 * PAGE; /* 9 of them get 2 MiB in a heap of 64 */

    with_rest = 1;
    while (count < 42 && (kept[count] = nk_block_alloc(bytes)) != NULL) {
        block_fill(kept[count], bytes, count);
        if (count == 0) {
            rest_fill(kept[count], bytes);
        }
        count++;
    }
    CHECK(count == 42); /* almost the quota, and more than there is room for with 9 of 2 MiB */
    with_rest = 0;
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < count; i++) {
            kept[i] = exchange(peer, kept[i], bytes, 0);
            kept[i][0] ^= 0xff;
            CHECK(block_holds(kept[i], bytes, i));
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        CHECK(block_holds(kept[i], bytes, i) && nk_block_free(kept[i]) == 0);
    }
    for (uint32_t i = 0; i < 4000; i++) { /* nothing is left of those that were there */
        small[i] = nk_block_alloc(PAGE);
        CHECK(small[i] != NULL);
    }
    for (uint32_t i = 0; i < 4000; i++) {
        CHECK(nk_block_free(small[i]) == 0);
    }
    return 0;
}

/* Large ones, of which ever more and ever less was used. */
static int talk_tables(void)
{
    static const uint32_t sizes[] = {MIB / 16,    100000,  MIB / 2,        3 * MIB / 2,
                                     MIB / 2,     MIB,     2 * MIB - PAGE, MIB / 2 + 1,
                                     2 * MIB + 1, 3 * MIB, 2 * MIB - 1,    MIB};
    uint32_t peer = (uint32_t)nk_endpoint(NAME("peer"));

    with_rest = 1;
    for (uint32_t i = 0; i < 3 * sizeof(sizes) / sizeof(sizes[0]); i++) {
        talk_with(peer, sizes[i % (sizeof(sizes) / sizeof(sizes[0]))], i % 2 != 0);
    }
    return 0;
}

/* Whatever cannot be had is answered, and can be tried again. */
static int starve(void)
{
    uint32_t peer = (uint32_t)nk_endpoint(NAME("peer")), tries = 0;
    struct nk_msg msg = {.tag = ProbeContract_tag_Ping, .arg_count = 1};
    uint8_t *data;
    int32_t st;

    while ((data = nk_block_alloc(1 << 20)) == NULL) {
        tries++;
        nk_yield();
    }
    block_fill(data, 1 << 20, 5);
    for (uint32_t i = 0; i < 2500; i++) {
        msg.tag = ProbeContract_tag_Ping;
        msg.args[0] = (uint64_t)(1 << 20) << 32 | (uint32_t)(uintptr_t)data;
        CHECK(nk_send(peer, &msg) == 0);
        while ((st = nk_recv(peer, &msg, SIP_FOREVER)) == -SF_NOMEM) {
            tries++;
            nk_yield();
        }
        CHECK(st == 0);
        data = (uint8_t *)(uintptr_t)(uint32_t)msg.args[0];
        data[0] ^= 0xff;
        CHECK(block_holds(data, 1 << 20, 5));
    }
    sip_log("tries %u", tries);
    return 0;
}

/* The same at the other end. */
static int starve_echo(void)
{
    int32_t handle = nk_accept(NAME("test"), SIP_FOREVER);
    struct nk_msg msg;
    int32_t st;

    for (;;) {
        while ((st = nk_recv((uint32_t)handle, &msg, SIP_FOREVER)) == -SF_NOMEM) {
            nk_yield();
        }
        if (st != 0) {
            return -st == SF_CLOSED ? 0 : 1;
        }
        ((uint8_t *)(uintptr_t)(uint32_t)msg.args[0])[0] ^= 0xff;
        msg.tag = ProbeContract_tag_Pong;
        CHECK(nk_send((uint32_t)handle, &msg) == 0);
    }
}

/* The place may be one that another block has left. */
static int stale(uint32_t bytes, int freed)
{
    struct nk_msg msg = {.tag = ProbeContract_tag_Ping, .arg_count = 1};
    volatile uint8_t *data = nk_block_alloc(bytes);
    uint32_t ends[2];

    CHECK(data != NULL && nk_block_free((void *)(uintptr_t)data) == 0);
    data = nk_block_alloc(bytes);
    CHECK(data != NULL);
    data[0] = 1;
    CHECK(nk_channel((int64_t)ProbeContract_ID, 0, ends) == 0);
    msg.args[0] = (uint64_t)bytes << 32 | (uint32_t)(uintptr_t)data;
    CHECK((freed ? nk_block_free((void *)(uintptr_t)data) : nk_send(ends[0], &msg)) == 0);
    return data[bytes - 1];
}

/* The same when the block went straight into the hands of a SIP that waited for it. */
static int stale_straight(uint32_t bytes)
{
    struct nk_msg msg = {.tag = ProbeContract_tag_Ping, .arg_count = 1};
    uint32_t peer = (uint32_t)nk_endpoint(NAME("peer"));
    volatile uint8_t *data = nk_block_alloc(bytes);

    CHECK(data != NULL);
    for (uint32_t i = 0; i < 5; i++) { /* until it waits */
        nk_yield();
    }
    data[bytes - 1] = 1;
    msg.args[0] = (uint64_t)bytes << 32 | (uint32_t)(uintptr_t)data;
    CHECK(nk_send(peer, &msg) == 0);
    return data[bytes - 1];
}

/* --- whose bytes are in a new block -------------------------------------------------------------
 */

static const uint32_t warm_sizes[] = {5000,  8191,   8192,    8193,          12288,
                                      65536, 100000, 1 << 20, (1 << 20) + 1, 3 << 20};
#define WARM_SIZES (sizeof(warm_sizes) / sizeof(warm_sizes[0]))

/* Up to the end of its last page. */
static uint32_t page_end(uint32_t bytes)
{
    return (bytes + PAGE - 1) & ~(PAGE - 1);
}

/* Every byte is 0 or this one. */
static int only_has(const uint8_t *data, uint32_t bytes, uint8_t own)
{
    const uint64_t *words = (const uint64_t *)(const void *)data;
    const uint64_t all = own * 0x0101010101010101ull;

    for (uint32_t i = 0; i < page_end(bytes) / 8; i++) {
        if (words[i] != 0 && words[i] != all) {
            for (uint32_t k = 0; k < 8; k++) {
                if (data[8 * i + k] != 0 && data[8 * i + k] != own) {
                    return 0;
                }
            }
        }
    }
    return 1;
}

static int give_away(uint8_t *data, uint32_t bytes)
{
    struct nk_msg msg = {.tag = ProbeContract_tag_Ping, .arg_count = 1};
    uint32_t ends[2];

    msg.args[0] = (uint64_t)bytes << 32 | (uint32_t)(uintptr_t)data;
    return nk_channel((int64_t)ProbeContract_ID, 0, ends) == 0 && nk_send(ends[0], &msg) == 0 &&
           nk_close(ends[0]) == 0 && nk_close(ends[1]) == 0;
}

/* Sent, trimmed, and never received; freed; sent whole. Every byte of their pages was written. */
static int leave(void)
{
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < WARM_SIZES; i++) {
            uint8_t *data = nk_block_alloc(warm_sizes[i]);

            CHECK(data != NULL);
            memset(data, 0xee, page_end(warm_sizes[i]));
            if (round == 1) {
                CHECK(nk_block_free(data) == 0);
            } else {
                CHECK(give_away(data, round == 2 ? warm_sizes[i] : warm_sizes[i] / 2));
            }
        }
    }
    return 0;
}

/* Its first blocks are all zero, to the end of their pages; later ones may have bytes of its own.
 */
static int find_zeros(void)
{
    uint8_t *first[WARM_SIZES];

    for (uint32_t i = 0; i < WARM_SIZES; i++) {
        first[i] = nk_block_alloc(warm_sizes[i]);
        CHECK(first[i] != NULL && only_has(first[i], warm_sizes[i], 0));
        memset(first[i], 0x33, page_end(warm_sizes[i]));
    }
    for (uint32_t i = 0; i < WARM_SIZES; i++) {
        CHECK(nk_block_free(first[i]) == 0);
        CHECK(nk_block_free(first[i]) == -SF_NOTOWNER && nk_block_bytes(first[i]) == -SF_NOTOWNER);
    }
    for (uint32_t i = 0; i < WARM_SIZES; i++) {
        first[i] = nk_block_alloc(warm_sizes[i]);
        CHECK(first[i] != NULL && only_has(first[i], warm_sizes[i], 0x33));
    }
    return 0;
}

/* Several of these run at a time, each with a byte of its own. */
static int mingle(void)
{
    uint8_t own = 0, *held[4] = {NULL};
    uint32_t sizes[4] = {0};
    uint32_t random = 0;

    CHECK(nk_entropy(&random, 4) == 0);
    CHECK(nk_identity(0, (char *)&own, 1) > 0);
    for (uint32_t step = 0; step < 600; step++) {
        random = random * 1664525 + 1013904223;
        uint32_t k = random >> 30, i = (random >> 16 & 0xff) % WARM_SIZES;

        if (held[k] == NULL) {
            held[k] = nk_block_alloc(warm_sizes[i]);
            sizes[k] = warm_sizes[i];
            CHECK(held[k] != NULL);
            CHECK(only_has(held[k], sizes[k], own));
            memset(held[k], own, page_end(sizes[k]));
        } else {
            CHECK(only_has(held[k], sizes[k], own));
            if ((random >> 12 & 3) == 0) {
                CHECK(give_away(held[k], (random >> 8 & 1) ? sizes[k] : 1 + sizes[k] / 2));
            } else {
                CHECK(nk_block_free(held[k]) == 0);
            }
            held[k] = NULL;
        }
        nk_yield();
    }
    return 0;
}

/* Answers every message with a new block of 64 KiB full of 0x44, until a byte is neither that nor
 * 0. What it was sent it may see again; so it overwrites that. */
static int answer(void)
{
    int32_t handle = nk_accept(NAME("test"), SIP_FOREVER);
    struct nk_msg msg;
    int32_t st;

    while ((st = nk_recv((uint32_t)handle, &msg, SIP_FOREVER)) == 0) {
        uint8_t *data = (uint8_t *)(uintptr_t)(uint32_t)msg.args[0];

        memset(data, 0x44, (uint32_t)(msg.args[0] >> 32));
        CHECK(nk_block_free(data) == 0);
        data = nk_block_alloc(1 << 16);
        CHECK(data != NULL && only_has(data, 1 << 16, 0x44));
        memset(data, 0x44, 1 << 16);
        msg.tag = ProbeContract_tag_Pong;
        msg.args[0] = (uint64_t)(1 << 16) << 32 | (uint32_t)(uintptr_t)data;
        CHECK(nk_send((uint32_t)handle, &msg) == 0);
    }
    return -st == SF_CLOSED ? 0 : 1;
}

/* Has room for the first block of a pair, not for the second, and gives up. It never had either. */
static int half_pair_of(uint32_t bytes)
{
    int32_t handle = nk_accept(NAME("test"), SIP_FOREVER);
    struct nk_msg msg;
    uint8_t *data, *last = NULL;

    while ((data = nk_block_alloc(bytes)) != NULL) {
        last = data;
    }
    CHECK(last != NULL && nk_block_free(last) == 0);
    CHECK(nk_recv((uint32_t)handle, &msg, SIP_FOREVER) == -SF_NOMEM);
    CHECK(nk_close((uint32_t)handle) == 0);
    data = nk_block_alloc(bytes);
    CHECK(data != NULL && only_has(data, bytes, 0));
    return 0;
}

static int half_pair(void)
{
    return half_pair_of(MIB);
}

static int half_pair_64k(void)
{
    return half_pair_of(1 << 16);
}

/* Frees a block whose pages came from others, and touches it, or its rest. */
static int stale_warm(uint32_t at)
{
    volatile uint8_t *data = NULL;

    for (uint32_t i = 0; i < 3; i++) {
        data = nk_block_alloc(MIB + 1);
        CHECK(data != NULL);
        data[MIB] = 1;
        CHECK(nk_block_free((void *)(uintptr_t)data) == 0);
    }
    return data[at];
}

int probe_slots(const char *mode)
{
    static const struct {
        const char *mode;
        int (*run)(void);
    } plain[] = {{"grow", grow},          {"dirty", dirty},
                 {"starve", starve},      {"starveecho", starve_echo},
                 {"leave", leave},        {"zeros", find_zeros},
                 {"mingle", mingle},      {"answer", answer},
                 {"halfpair", half_pair}, {"halfpair64k", half_pair_64k},
                 {"crowd", crowd},        {"talktables", talk_tables}};

    static const struct {
        const char *sent, *freed;
        uint32_t bytes;
    } staled[] = {
        {"stale64", "freed64", 64}, {"stale64k", "freed64k", 1 << 16}, {"stale1m", "freed1m", MIB}};

    for (uint32_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        if (strcmp(mode, plain[i].mode) == 0) {
            return plain[i].run();
        }
    }
    if (strcmp(mode, "past") == 0) {
        return store_at(memory_bytes() + none);
    }
    if (strcmp(mode, "across") == 0) {
        return store_at(memory_bytes() - 2 + none);
    }
    if (strcmp(mode, "behind") == 0) { /* 2 GiB: where blocks live, none does */
        return store_at((2048u * MIB) + none);
    }
    if (strcmp(mode, "above") == 0) { /* behind the window */
        return store_at((3072u * MIB) + none);
    }
    if (strcmp(mode, "far") == 0) {
        return load_far((volatile struct far *)(uintptr_t)highest);
    }
    if (strcmp(mode, "echo") == 0 || strcmp(mode, "echoslow") == 0) {
        return echo(mode[4] != '\0');
    }
    if (strcmp(mode, "echotables") == 0) {
        with_rest = 1;
        return echo(0);
    }
    if (strcmp(mode, "talk") == 0 || strcmp(mode, "talkslow") == 0) {
        return talk(mode[4] != '\0', 1);
    }
    if (strcmp(mode, "talkmore") == 0) {
        return talk(0, 30);
    }
    if (strcmp(mode, "straight64") == 0 || strcmp(mode, "straight1m") == 0) {
        return stale_straight(strcmp(mode, "straight1m") == 0 ? MIB : 64);
    }
    for (uint32_t i = 0; i < sizeof(staled) / sizeof(staled[0]); i++) {
        if (strcmp(mode, staled[i].sent) == 0 || strcmp(mode, staled[i].freed) == 0) {
            return stale(staled[i].bytes, mode[0] == 'f');
        }
    }
    if (strcmp(mode, "warmfirst") == 0 || strcmp(mode, "warmlast") == 0) {
        return stale_warm(strcmp(mode, "warmlast") == 0 ? MIB + PAGE - 1 : 0);
    }
    return -1;
}
#endif
