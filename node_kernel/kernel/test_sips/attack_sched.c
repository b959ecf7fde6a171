/* SPDX-License-Identifier: Apache-2.0 */
/* Attacks on time and on what all share: most never end, the driver kills them. */
#include "attack.h"

static uint32_t peer(void)
{
    int32_t handle = nk_endpoint(NAME("peer"));

    CHECK(handle > 0);
    return (uint32_t)handle;
}

static int compute_for_ever(void)
{
    for (volatile uint32_t i = 0;; i++) {
    }
}

static int yield_for_ever(void)
{
    for (;;) {
        nk_yield();
    }
}

static int ask_for_ever(void)
{
    for (;;) {
        (void)nk_clock_ns();
    }
}

static int timers_for_ever(void)
{
    for (int64_t ns = 0;; ns = (ns + 1) % 100) {
        CHECK(nk_select(NULL, 0, ns) == -SF_TIMEOUT);
    }
}

static int log_for_ever(void)
{
    char text[1024];

    memset(text, 'x', sizeof(text));
    for (;;) {
        CHECK(nk_log(text, sizeof(text)) == 0);
    }
}

static int channels_for_ever(void)
{
    uint32_t ends[2];

    for (;;) {
        attack_channel(ends);
        attack_close(ends);
    }
}

static int blocks_for_ever(void)
{
    for (uint32_t bytes = 1;; bytes = bytes * 3 % 500009) {
        void *data = nk_block_alloc(bytes);

        CHECK(data != NULL && nk_block_free(data) == 0);
    }
}

static int entropy_for_ever(void)
{
    uint8_t bytes[256];

    for (;;) {
        CHECK(nk_entropy(bytes, sizeof(bytes)) == 0);
    }
}

static int accept_for_ever(void)
{
    for (int64_t ns = 0;; ns = (ns + 1) % 50) {
        CHECK(nk_accept(NAME("test"), ns) == -SF_TIMEOUT);
    }
}

/* Its peer is woken as often as can be. */
static int wake_for_ever(void)
{
    uint32_t to = peer();

    for (;;) {
        struct nk_msg msg = {.tag = ProbeContract_tag_Add, .arg_count = 4};

        CHECK(nk_send(to, &msg) == 0 && nk_recv(to, &msg, SIP_FOREVER) == 0);
    }
}

/* Waits on 64 handles of which some are always new and some always ready. */
static int select_for_ever(void)
{
    uint32_t ends[32][2], handles[64];

    for (uint32_t i = 0; i < 32; i++) {
        attack_channel(ends[i]);
    }
    for (uint32_t round = 0;; round++) {
        uint32_t i = round % 32;
        struct nk_msg msg = {.tag = ProbeContract_tag_Bye};

        attack_close(ends[i]);
        attack_channel(ends[i]);
        for (uint32_t k = 0; k < 32; k++) {
            handles[k] = ends[k][1];
            handles[32 + k] = ends[k][round % 2];
        }
        if (round % 3 == 0) {
            CHECK(nk_send(ends[i][0], &msg) == 0);
            CHECK(nk_select(handles, 64, SIP_FOREVER) >= 0);
        } else {
            (void)nk_select(handles, 64, round % 7 == 0 ? 1000 : 0);
        }
    }
}

/* As many channels as there are, then as much as can be had with them. */
static int channels_until_the_limit(void)
{
    uint32_t ends[2], count = 0;
    struct nk_msg msg = {.tag = ProbeContract_tag_Bye};
    int32_t st;

    while ((st = nk_channel((int64_t)ProbeContract_ID, 0, ends)) == 0) {
        CHECK(nk_send(ends[0], &msg) == 0);
        CHECK(++count < NK_HANDLES_MAX);
    }
    CHECK(st == -SF_LIMIT && count > 1000);
    nk_yield();
    return 0;
}

/* A message that cannot be received for want of handles, again and again. */
static int receive_without_a_hand_free(void)
{
    uint32_t over[2], a[2], ends[2];
    struct nk_msg msg;

    attack_channel(over);
    attack_channel(a);
    CHECK(attack_give(over[0], a[0]) == 0);
    while (nk_channel((int64_t)ProbeContract_ID, 0, ends) == 0) {
    }
    CHECK(nk_listen(NAME("test")) > 0);
    for (uint32_t i = 0; i < 10000; i++) {
        int32_t st = nk_recv(over[1], &msg, SIP_FOREVER);

        if (st == 0) { /* one was left over */
            CHECK(attack_give((uint32_t)msg.args[0], a[1]) < 0);
            return 0;
        }
        CHECK(st == -SF_LIMIT && nk_select(&over[1], 1, SIP_FOREVER) == 0);
    }
    return 0;
}

/* An endpoint on its way to another worker, whose other end closes, sends, or does nothing. */
static int race_with_a_peer(void)
{
    uint32_t to = peer();

    for (uint32_t round = 0; round < 160; round++) {
        uint32_t ends[2];
        struct nk_msg msg;

        attack_channel(ends);
        CHECK(attack_give(to, ends[0]) == 0);
        if (round % 4 == 0) {
            CHECK(nk_close(ends[1]) == 0);
        }
        CHECK(nk_recv(to, &msg, SIP_FOREVER) == 0 && msg.tag == ProbeContract_tag_Took);
        if (round % 4 == 1 && nk_recv(ends[1], &msg, 0) == 0) {
            msg = (struct nk_msg){.tag = ProbeContract_tag_Sum, .arg_count = 2};
            (void)nk_send(ends[1], &msg);
        }
        CHECK(round % 4 == 0 || nk_close(ends[1]) == 0);
    }
    return 0;
}

/* Closes in every state, with a message under way in either direction. */
static int hang_up_on_a_peer(void)
{
    uint32_t to = peer();
    uint8_t *data = nk_block_alloc(100000);

    CHECK(data != NULL);
    CHECK(attack_send_block(to, (uint32_t)(uintptr_t)data, 100000) == 0);
    CHECK(nk_close(to) == 0);
    return 0;
}

/* A conversation that stops in the middle, and waits. */
static int keep_a_peer_waiting(void)
{
    uint32_t to = peer();

    for (;;) {
        CHECK(nk_select(&to, 1, SIP_MS(1)) == -SF_TIMEOUT);
    }
}

/* Takes whatever channel it is given, and asks for the next: the driver opens hundreds. */
static int open_without_end(void)
{
    uint32_t refused = 0, open = 0;
    static uint32_t handles[400];

    for (;;) {
        int32_t handle = nk_endpoint(NAME("peer"));

        if (handle > 0) {
            handles[open++] = (uint32_t)handle;
            sip_log("taken");
            CHECK(open < 400);
        }
        refused = 0;
        for (uint32_t i = 0; i < open; i++) {
            refused += (nk_cause(handles[i]) & 0xff) == SF_CAUSE_QUOTA;
        }
        if (open == 300 && refused > 0) {
            CHECK(refused == 300 - 256);
            return 0;
        }
        nk_yield();
    }
}

static int leave_at_once(void)
{
    return 0;
}

const struct attack attack_sched[] = {
    {"compute_for_ever", compute_for_ever},
    {"yield_for_ever", yield_for_ever},
    {"ask_for_ever", ask_for_ever},
    {"timers_for_ever", timers_for_ever},
    {"log_for_ever", log_for_ever},
    {"channels_for_ever", channels_for_ever},
    {"blocks_for_ever", blocks_for_ever},
    {"entropy_for_ever", entropy_for_ever},
    {"accept_for_ever", accept_for_ever},
    {"wake_for_ever", wake_for_ever},
    {"select_for_ever", select_for_ever},
    {"channels_until_the_limit", channels_until_the_limit},
    {"receive_without_a_hand_free", receive_without_a_hand_free},
    {"race_with_a_peer", race_with_a_peer},
    {"hang_up_on_a_peer", hang_up_on_a_peer},
    {"keep_a_peer_waiting", keep_a_peer_waiting},
    {"open_without_end", open_without_end},
    {"leave_at_once", leave_at_once},
    {NULL, NULL},
};
