/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The population of the soak. The config value "mode" says what a SIP is, "seed" makes it different
 * from others. Whatever happens to its peers, it goes on; what it is told must be right: blocks
 * have the bytes that were sent, sums are right, statuses are among those that can be.
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
#define HELD_MAX 48u

static uint32_t seed;
static volatile uint32_t zero;

static uint32_t chance(uint32_t of)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % of;
}

/* Mostly small, at times up to 300 KiB. */
static uint32_t some_bytes(void)
{
    return 1 + chance(1u << (4 + chance(13))) + (chance(40) == 0 ? chance(300000) : 0);
}

static void fill(uint8_t *data, uint32_t bytes, uint32_t with)
{
    for (uint32_t i = 0; i < bytes; i += 1 + i / 16) {
        data[i] = (uint8_t)(with + i);
    }
}

static bool holds(const uint8_t *data, uint32_t bytes, uint32_t with)
{
    for (uint32_t i = 0; i < bytes; i += 1 + i / 16) {
        if (data[i] != (uint8_t)(with + i)) {
            return false;
        }
    }
    return true;
}

/* Sends; false: the channel has closed. */
static bool sent(uint32_t handle, struct nk_msg *msg)
{
    int32_t st = nk_send(handle, msg);

    CHECK(st == 0 || nk_cause(handle) != 0);
    return st == 0;
}

/* --- servers ------------------------------------------------------------------------------------
 */

static uint32_t held[HELD_MAX], held_count;

static void drop_block(uint64_t arg)
{
    CHECK(nk_block_free((void *)(uintptr_t)(uint32_t)arg) == 0);
}

/* What a channel brought is answered; false: it is to be closed. */
static bool answer(uint32_t handle, struct nk_msg *msg)
{
    if (msg->tag == ProbeContract_tag_Ping) {
        msg->tag = ProbeContract_tag_Pong;
        if (!sent(handle, msg)) {
            if (nk_block_bytes((void *)(uintptr_t)(uint32_t)msg->args[0]) > 0) {
                drop_block(msg->args[0]);
            }
            return false;
        }
        return true;
    }
    if (msg->tag == ProbeContract_tag_Add) {
        msg->args[0] = (uint64_t)((int64_t)msg->args[0] + (int64_t)msg->args[1]);
        msg->args[1] = 0;
        msg->tag = ProbeContract_tag_Sum;
        msg->arg_count = 2;
        return sent(handle, msg);
    }
    if (msg->tag == ProbeContract_tag_Give) {
        uint32_t given = (uint32_t)msg->args[0];
        struct nk_msg add = {.tag = ProbeContract_tag_Add, .arg_count = 4, .args = {3, 4}};

        if (chance(3) != 0) {
            (void)sent(given, &add);
        }
        if (chance(2) == 0) {
            (void)nk_recv(given, &add, SIP_MS(1));
        }
        CHECK(nk_close(given) == 0);
        *msg = (struct nk_msg){.tag = ProbeContract_tag_Took};
        return sent(handle, msg);
    }
    return false; /* Bye */
}

static void serve_one(uint32_t index)
{
    struct nk_msg msg;
    int32_t st = nk_recv(held[index], &msg, 0);

    if (st == -SF_NOMEM || st == -SF_TIMEOUT) {
        nk_yield();
        return;
    }
    CHECK(st == 0 || st == -SF_CLOSED);
    if (st != 0 || !answer(held[index], &msg) || chance(500) == 0) {
        CHECK(nk_close(held[index]) == 0);
        held[index] = held[--held_count];
    }
}

static int serve(void)
{
    uint32_t listening = (uint32_t)nk_listen(NAME("test"));

    for (;;) {
        uint32_t handles[HELD_MAX + 1], count = held_count;

        memcpy(handles, held, count * sizeof(held[0]));
        if (held_count < HELD_MAX) {
            handles[count++] = listening;
        }
        struct nk_msg msg = {.tag = NK_TAG_NONE};
        int64_t timeout = chance(4) == 0 ? SIP_MS(5) : SIP_FOREVER;
        int32_t ready = chance(2) == 0 ? nk_recv_any(handles, count, &msg, timeout)
                                       : nk_select(handles, count, timeout);
        if (ready == -SF_TIMEOUT) {
            continue;
        }
        CHECK(ready >= 0);
        if (msg.tag != NK_TAG_NONE) {
            if (!answer(handles[ready], &msg)) {
                CHECK(nk_close(handles[ready]) == 0);
                held[ready] = held[--held_count];
            }
            continue;
        }
        if ((uint32_t)ready < held_count) {
            serve_one((uint32_t)ready);
            continue;
        }
        int32_t handle = nk_accept(NAME("test"), 0);
        CHECK(handle > 0);
        held[held_count++] = (uint32_t)handle;
    }
}

/* --- clients ------------------------------------------------------------------------------------
 */

/* Waits for an answer; false: closed. */
static bool answered(uint32_t peer, struct nk_msg *msg)
{
    int32_t st;

    while ((st = nk_recv(peer, msg, chance(3) == 0 ? SIP_MS(20) : SIP_FOREVER)) != 0) {
        if (st == -SF_CLOSED) {
            return false;
        }
        CHECK(st == -SF_TIMEOUT || st == -SF_NOMEM);
        nk_yield();
    }
    return true;
}

static bool talk_block(uint32_t peer)
{
    uint32_t bytes = some_bytes(), with = chance(256);
    uint8_t *data = nk_block_alloc(bytes);
    struct nk_msg msg = {.tag = ProbeContract_tag_Ping, .arg_count = 1};

    if (data == NULL) { /* the node has no more */
        nk_yield();
        return true;
    }
    fill(data, bytes, with);
    if (chance(8) == 0) {
        bytes = 1 + bytes / 2;
    }
    msg.args[0] = (uint64_t)bytes << 32 | (uint32_t)(uintptr_t)data;
    if (!sent(peer, &msg)) {
        if (nk_block_bytes(data) > 0) {
            CHECK(nk_block_free(data) == 0);
        }
        return false;
    }
    if (!answered(peer, &msg)) {
        return false;
    }
    CHECK(msg.tag == ProbeContract_tag_Pong && msg.args[0] >> 32 == bytes);
    data = (uint8_t *)(uintptr_t)(uint32_t)msg.args[0];
    CHECK(holds(data, bytes, with));
    CHECK(nk_block_free(data) == 0);
    return true;
}

static bool talk_number(uint32_t peer)
{
    uint32_t a = chance(1000), b = chance(1000);
    struct nk_msg msg = {.tag = ProbeContract_tag_Add, .arg_count = 4, .args = {a, b}};

    if (!sent(peer, &msg) || !answered(peer, &msg)) {
        return false;
    }
    CHECK(msg.tag == ProbeContract_tag_Sum && msg.args[0] == a + b);
    return true;
}

static bool talk_endpoint(uint32_t peer)
{
    uint32_t ends[2];
    struct nk_msg msg = {.tag = ProbeContract_tag_Give, .arg_count = 1};

    CHECK(nk_channel((int64_t)ProbeContract_ID, 0, ends) == 0);
    msg.args[0] = ends[0];
    if (!sent(peer, &msg)) {
        (void)nk_close(ends[0]);
        CHECK(nk_close(ends[1]) == 0);
        return false;
    }
    if (chance(3) == 0) {
        CHECK(nk_close(ends[1]) == 0);
    } else {
        int32_t st = nk_recv(ends[1], &msg, SIP_MS(chance(3)));

        CHECK(st == 0 || st == -SF_CLOSED || st == -SF_TIMEOUT);
        if (st == 0) {
            CHECK(msg.tag == ProbeContract_tag_Add && msg.args[1] == 4);
            msg = (struct nk_msg){.tag = ProbeContract_tag_Sum, .arg_count = 2, .args = {7}};
            (void)sent(ends[1], &msg);
        }
        CHECK(nk_close(ends[1]) == 0);
    }
    return answered(peer, &msg);
}

static int talk(void)
{
    for (;;) {
        int32_t peer = sip_endpoint_wait("peer", SIP_MS(50));
        bool open = true;

        CHECK(peer > 0 || peer == -SF_TIMEOUT);
        if (peer < 0) {
            continue;
        }
        while (open && chance(3000) != 0) {
            uint32_t what = chance(16);

            open = what < 8    ? talk_number((uint32_t)peer)
                   : what < 15 ? talk_block((uint32_t)peer)
                               : talk_endpoint((uint32_t)peer);
            if (chance(30) == 0) {
                sip_sleep_ns(chance(3000000));
            }
        }
        CHECK(nk_close((uint32_t)peer) == 0);
    }
}

/* --- others -------------------------------------------------------------------------------------
 */

static int compute(void)
{
    for (;;) {
        uint32_t count = chance(1u << (8 + chance(14)));

        for (volatile uint32_t i = 0; i < count; i++) {
        }
        if (chance(2) == 0) {
            sip_sleep_ns(chance(20000000));
        }
    }
}

static int __attribute__((noinline)) deeper(int depth)
{
    return depth == -1 ? 0 : deeper(depth + 1) + (int)nk_clock_ns();
}

/* Faults in a way of its own, with things in its hands. */
static int fault(void)
{
    uint32_t ends[2], what = chance(6);
    struct nk_msg msg = {.tag = ProbeContract_tag_Ping, .arg_count = 1};
    uint8_t *data = nk_block_alloc(some_bytes() + 5000);

    (void)nk_block_alloc(some_bytes());
    CHECK(nk_channel((int64_t)ProbeContract_ID, 0, ends) == 0);
    sip_sleep_ns(chance(30000000));
    if (data == NULL) {
        return 0;
    }
    msg.args[0] = (uint64_t)5000 << 32 | (uint32_t)(uintptr_t)data;
    CHECK(nk_send(ends[0], &msg) == 0);
    if (what == 0) {
        return data[4999];
    }
    if (what == 1) {
        return (int)(1 / zero);
    }
    if (what == 2) {
        return deeper((int)zero);
    }
    if (what == 3) {
        *(volatile uint32_t *)(uintptr_t)((24u << 20) + zero) = 1;
    }
    if (what == 4) {
        return ((int (*)(int, int, int))(uintptr_t)(zero + 1))(1, 2, 3);
    }
    __builtin_trap();
}

/* Comes, takes a few things, and goes. */
static int go(void)
{
    uint32_t ends[2];

    for (uint32_t i = chance(20); i > 0; i--) {
        (void)nk_block_alloc(some_bytes());
        CHECK(nk_channel((int64_t)ProbeContract_ID, 0, ends) == 0);
    }
    if (chance(2) == 0) {
        sip_sleep_ns(chance(30000000));
    }
    return 0;
}

int sip_main(void)
{
    char mode[16];

    seed = sip_config_u32("seed", 1);
    (void)sip_config("mode", mode, sizeof(mode), "");
    switch (mode[0]) {
    case 's':
        return serve();
    case 't':
        return talk();
    case 'c':
        return compute();
    case 'f':
        return fault();
    default:
        return go();
    }
}
