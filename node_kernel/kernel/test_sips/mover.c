/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A SIP that is moved while it works, and must not notice. It fills memory, blocks and a deep stack
 * with things it can check, then waits again and again in the call that its mode names, and checks
 * all of it after each time; at last it unwinds the stack. It ends with 0, or with the number of
 * the line that did not hold.
 *
 * mode: what it waits in; "driver" and "caller" are those that talk to it; "filled" only waits.
 */
#include "ProbeContract.h"
#include "sip.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            sip_log("%s:%d: %s", __FILE__, __LINE__, #condition);                                  \
            nk_exit(__LINE__);                                                                     \
        }                                                                                          \
    } while (0)
#define NAME(text) (text), sizeof(text) - 1

#define DEPTH 200u
#define PAIRS 3u

static uint32_t rounds, counter;
static uint32_t *memory;
static uint32_t memory_words;
static int64_t clock_before;

static int is(const char *mode, const char *name)
{
    return strcmp(mode, name) == 0;
}

/* --- what it has --------------------------------------------------------------------------------
 */

static uint32_t mix(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ x >> 16;
}

/* Every third page stays untouched, every third has zeros now and then. */
static uint8_t *versions; /* by page */

static uint32_t word_of(uint32_t page, uint32_t i)
{
    return page % 3 == 1 || versions[page] % 2 == 1
               ? mix(page * 1024 + i + versions[page] * 0x1234567u)
               : 0;
}

static void page_fill(uint32_t page)
{
    for (uint32_t i = 0; i < 1024 && page % 3 != 0; i++) {
        memory[page * 1024 + i] = word_of(page, i);
    }
}

static void memory_fill(uint32_t bytes)
{
    memory = sip_alloc(bytes);
    versions = sip_alloc(bytes / 4096);
    CHECK(memory != NULL && versions != NULL);
    memset(versions, 0, bytes / 4096);
    memory_words = bytes / 4;
    for (uint32_t page = 0; page < memory_words / 1024; page++) {
        page_fill(page);
    }
}

/* And some pages are others after that. */
static void memory_check(void)
{
    for (uint32_t page = counter % 7; page < memory_words / 1024; page += 7) {
        for (uint32_t i = 0; i < 1024 && page % 3 != 0; i++) {
            CHECK(memory[page * 1024 + i] == word_of(page, i));
        }
        versions[page]++;
        page_fill(page);
    }
}

static const uint32_t block_bytes[] = {1,    63,   64,   65,    700,   4096,   4097,
                                       8192, 9000, 9000, 65536, 70000, 300000, 12};
#define BLOCKS (sizeof(block_bytes) / sizeof(block_bytes[0]))
static uint8_t *blocks[BLOCKS];

static void blocks_make(void)
{
    for (uint32_t i = 0; i < BLOCKS; i++) {
        blocks[i] = nk_block_alloc(block_bytes[i]);
        CHECK(blocks[i] != NULL);
        for (uint32_t k = 0; k < block_bytes[i]; k++) {
            blocks[i][k] = (uint8_t)mix(i * 1000003 + k);
        }
    }
}

/* And one of them is another one after that. */
static void blocks_check(void)
{
    const uint32_t one = counter % BLOCKS;

    for (uint32_t i = 0; i < BLOCKS; i++) {
        CHECK(nk_block_bytes(blocks[i]) == (int32_t)block_bytes[i]);
        for (uint32_t k = 0; k < block_bytes[i]; k += 1 + block_bytes[i] / 50) {
            CHECK(blocks[i][k] == (uint8_t)mix(i * 1000003 + k));
        }
    }
    CHECK(nk_block_free(blocks[one]) == 0);
    blocks[one] = nk_block_alloc(block_bytes[one]);
    CHECK(blocks[one] != NULL);
    for (uint32_t k = 0; k < block_bytes[one]; k++) {
        blocks[one][k] = (uint8_t)mix(one * 1000003 + k);
    }
}

static void all_check(void)
{
    const int64_t now = nk_clock_ns();

    CHECK(now >= clock_before && now - clock_before < SIP_MS(60000));
    clock_before = now;
    memory_check();
    blocks_check();
    counter++;
}

/* --- what it waits in ---------------------------------------------------------------------------
 */

static uint32_t imps[PAIRS], exps[PAIRS];

static void pair_make(uint32_t i)
{
    uint32_t ends[2];

    CHECK(nk_channel((int64_t)ProbeContract_ID, 0, ends) == 0);
    imps[i] = ends[0];
    exps[i] = ends[1];
}

static void answer(uint32_t handle, struct nk_msg *msg)
{
    CHECK(msg->tag == ProbeContract_tag_Add && msg->arg_count == 4);
    CHECK((uint32_t)msg->args[0] == counter);
    *msg = (struct nk_msg){.tag = ProbeContract_tag_Sum, .arg_count = 2, .args = {counter, 0}};
    CHECK(nk_send(handle, msg) == 0);
}

static void wait_recv(uint32_t peer)
{
    struct nk_msg msg = {.tag = 77};

    CHECK(nk_recv(peer, &msg, SIP_FOREVER) == 0);
    answer(peer, &msg);
}

static void wait_select(uint32_t peer)
{
    uint32_t handles[PAIRS + 1] = {exps[0], exps[1], peer, exps[2]};

    CHECK(nk_select(handles, PAIRS + 1, SIP_FOREVER) == 2);
    wait_recv(peer);
}

static void wait_any(uint32_t peer)
{
    uint32_t handles[PAIRS + 1] = {exps[0], peer, exps[1], exps[2]};
    struct nk_msg msg = {.tag = 77};

    CHECK(nk_recv_any(handles, PAIRS + 1, &msg, SIP_FOREVER) == 1);
    answer(peer, &msg);
}

static void caller_serve(int32_t handle)
{
    struct nk_msg msg;

    CHECK(handle > 0);
    CHECK(nk_recv((uint32_t)handle, &msg, SIP_FOREVER) == 0);
    CHECK(msg.tag == ProbeContract_tag_Bye);
    CHECK(nk_close((uint32_t)handle) == 0);
}

static void wait_listen(void)
{
    uint32_t handles[2] = {exps[1], (uint32_t)nk_listen(NAME("test"))};

    CHECK(nk_select(handles, 2, SIP_FOREVER) == 1);
    caller_serve(nk_accept(NAME("test"), 0));
}

static void wait_sleep(void)
{
    const int64_t before = nk_clock_ns();

    CHECK(nk_select(NULL, 0, SIP_MS(2)) == -SF_TIMEOUT);
    CHECK(nk_clock_ns() - before >= SIP_MS(2));
}

/* Waits in recv with a limit that runs out. */
static void wait_timeout(void)
{
    struct nk_msg msg;
    const int64_t before = nk_clock_ns();

    CHECK(nk_recv(exps[0], &msg, SIP_MS(2)) == -SF_TIMEOUT);
    CHECK(nk_clock_ns() - before >= SIP_MS(2));
}

/* The same sums with and without a break. */
static void compute(void)
{
    static uint64_t first_sum;
    static double first_d;
    uint64_t sum = 1;
    double d = 1.0, e = 2.0;

    for (uint32_t i = 0; i < 2000000; i++) {
        sum = (sum ^ i) * 0x9e3779b97f4a7c15ull + (sum >> 29);
        d = d * 1.0000001 + (double)(i & 7) / 3.0;
        e = e * 0.999999 + d;
    }
    if (counter == 0) {
        first_sum = sum;
        first_d = d + e;
    }
    CHECK(sum == first_sum && d + e == first_d);
}

static void wait_in(const char *mode, uint32_t peer)
{
    if (is(mode, "recv")) {
        wait_recv(peer);
    } else if (is(mode, "select")) {
        wait_select(peer);
    } else if (is(mode, "any")) {
        wait_any(peer);
    } else if (is(mode, "accept")) {
        caller_serve(nk_accept(NAME("test"), SIP_FOREVER));
    } else if (is(mode, "listen")) {
        wait_listen();
    } else if (is(mode, "sleep")) {
        wait_sleep();
    } else if (is(mode, "timeout")) {
        wait_timeout();
    } else if (is(mode, "yield")) {
        nk_yield();
    } else {
        CHECK(is(mode, "spin"));
        compute();
    }
}

__attribute__((noinline)) static uint32_t work(const char *mode, uint32_t peer)
{
    while (counter < rounds) {
        wait_in(mode, peer);
        all_check();
    }
    return 0;
}

/* Each level checks what it and the level above it had on the stack. */
struct level {
    const struct level *above;
    uint32_t depth, value;
    double d;
};

__attribute__((noinline)) static uint32_t descend(const char *mode, uint32_t peer,
                                                  const struct level *above)
{
    volatile struct level own = {above, above->depth + 1, mix(above->depth + 1),
                                 (double)above->depth / 3.0};
    uint32_t sum;

    if (own.depth < DEPTH) {
        sum = descend(mode, peer, (const struct level *)&own);
    } else {
        sum = work(mode, peer);
    }
    CHECK(own.above == above && own.depth == above->depth + 1 && own.value == mix(own.depth));
    CHECK(own.d == (double)above->depth / 3.0);
    return sum + own.depth;
}

/* --- those that talk to it ----------------------------------------------------------------------
 */

static int driver(void)
{
    int32_t peer = sip_endpoint_wait("peer", SIP_MS(1000));

    CHECK(peer > 0);
    for (uint32_t i = 0; i < rounds; i++) {
        struct nk_msg msg = {.tag = ProbeContract_tag_Add, .arg_count = 4, .args = {i, 2, 3}};

        CHECK(nk_send((uint32_t)peer, &msg) == 0);
        CHECK(nk_recv((uint32_t)peer, &msg, SIP_FOREVER) == 0);
        CHECK(msg.tag == ProbeContract_tag_Sum && msg.args[0] == i);
        (void)nk_select(NULL, 0, 300000);
    }
    return 0;
}

static int caller(void)
{
    struct nk_msg msg = {.tag = ProbeContract_tag_Bye};
    int32_t peer = sip_endpoint_wait("peer", SIP_MS(1000));

    CHECK(peer > 0);
    CHECK(nk_send((uint32_t)peer, &msg) == 0);
    return 0;
}

static uint32_t number(const char *key, const char *otherwise)
{
    char text[16];
    uint32_t value = 0;

    (void)sip_config(key, text, sizeof(text), otherwise);
    for (uint32_t i = 0; text[i] >= '0' && text[i] <= '9'; i++) {
        value = value * 10 + (uint32_t)(text[i] - '0');
    }
    return value;
}

/* For the bench: no page of its memory is zero, and it waits. */
static int filled(void)
{
    const uint32_t words = number("kib", "64") * 256;

    memory = sip_alloc(words * 4);
    CHECK(memory != NULL);
    for (uint32_t i = 0; i < words; i++) {
        memory[i] = mix(i);
    }
    for (;;) {
        (void)nk_select(NULL, 0, SIP_FOREVER);
    }
}

int sip_main(void)
{
    const struct level top = {0};
    char mode[16];
    int32_t peer = 0;

    (void)sip_config("mode", mode, sizeof(mode), "");
    rounds = number("rounds", "100");
    if (is(mode, "driver")) {
        return driver();
    }
    if (is(mode, "caller")) {
        return caller();
    }
    if (is(mode, "filled")) {
        return filled();
    }
    if (is(mode, "recv") || is(mode, "select") || is(mode, "any")) {
        peer = nk_accept(NAME("test"), SIP_FOREVER);
        CHECK(peer > 0);
    }
    for (uint32_t i = 0; i < PAIRS; i++) {
        pair_make(i);
    }
    CHECK(nk_close(imps[1]) == 0 && nk_close(exps[1]) == 0);
    pair_make(1); /* handles that are used again */
    clock_before = nk_clock_ns();
    memory_fill(number("kib", "300") * 1024);
    blocks_make();
    CHECK(descend(mode, (uint32_t)peer, &top) == DEPTH * (DEPTH + 1) / 2);
    return 0;
}
