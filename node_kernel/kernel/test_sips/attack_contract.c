/* SPDX-License-Identifier: Apache-2.0 */
/* Attacks on contracts: messages that may not be sent. */
#include "attack.h"

static struct nk_msg good(uint32_t tag, uint32_t block, uint32_t second, uint32_t end)
{
    struct nk_msg msg = {.tag = tag};

    if (tag == ProbeContract_tag_Ping || tag == ProbeContract_tag_Pong) {
        msg.arg_count = 1;
        msg.args[0] = (uint64_t)64 << 32 | block;
    } else if (tag == ProbeContract_tag_Two) {
        msg.arg_count = 2;
        msg.args[0] = (uint64_t)64 << 32 | block;
        msg.args[1] = (uint64_t)64 << 32 | second;
    } else if (tag == ProbeContract_tag_Give) {
        msg.arg_count = 1;
        msg.args[0] = end;
    } else if (tag == ProbeContract_tag_Add) {
        msg.arg_count = 4;
    } else if (tag == ProbeContract_tag_Sum) {
        msg.arg_count = 2;
    }
    return msg;
}

static bool importer_sends(uint32_t tag)
{
    return tag == ProbeContract_tag_Ping || tag == ProbeContract_tag_Add ||
           tag == ProbeContract_tag_Give || tag == ProbeContract_tag_Two ||
           tag == ProbeContract_tag_Bye;
}

/* Every message, with the right arguments, in every state: what is legal there, and no more. */
static void walk(uint32_t side)
{
    uint32_t a[2], b[2], legal = 0, states = 0;

    for (; nk_channel((int64_t)ProbeContract_ID, states, a) == 0; states++) {
        attack_close(a);
        for (uint32_t tag = 0; tag < 256; tag++) {
            uint8_t *data = nk_block_alloc(64), *more = nk_block_alloc(64);
            struct nk_msg msg;

            CHECK(data != NULL && more != NULL);
            CHECK(nk_channel((int64_t)ProbeContract_ID, states, a) == 0);
            attack_channel(b);
            msg = good(tag, (uint32_t)(uintptr_t)data, (uint32_t)(uintptr_t)more, b[0]);
            int32_t st = nk_send(a[side], &msg);
            CHECK(st == 0 || st == -SF_CONTRACT);
            if (st == 0) {
                legal++;
                CHECK(side == 0 ? states == 0 && importer_sends(tag)
                                : states != 0 && !importer_sends(tag));
            } else {
                CHECK(nk_state(a[0]) == (int32_t)states && nk_state(a[1]) == (int32_t)states);
                CHECK(nk_recv(a[1 - side], &msg, 0) == -SF_TIMEOUT);
            }
            (void)nk_block_free(data);
            (void)nk_block_free(more);
            (void)nk_close(b[0]);
            CHECK(nk_close(b[1]) == 0);
            attack_close(a);
        }
    }
    CHECK(states >= 5 && legal == (side == 0 ? 5 : 4));
}

static int every_message_of_the_importer(void)
{
    walk(0);
    return 0;
}

static int every_message_of_the_exporter(void)
{
    walk(1);
    return 0;
}

/* The same to a peer on another worker, which must not see any of it. */
static int lie_to_a_server(void)
{
    uint32_t peer = (uint32_t)nk_endpoint(NAME("peer"));

    for (uint32_t round = 0; round < 60; round++) {
        uint8_t *data = nk_block_alloc(64);
        struct nk_msg msg;

        CHECK(data != NULL);
        for (uint32_t tag = 0; tag < 64; tag++) {
            msg = good(tag, (uint32_t)(uintptr_t)data, 0, peer);
            CHECK(importer_sends(tag) || nk_send(peer, &msg) == -SF_CONTRACT);
        }
        CHECK(attack_send_block(peer, (uint32_t)(uintptr_t)data, 64) == 0);
        for (uint32_t tag = 0; tag < 64; tag++) { /* not its turn */
            msg = good(tag, 0, 0, 0);
            int32_t st = nk_send(peer, &msg); /* the block is not its either */
            CHECK(st == -SF_CONTRACT || st == -SF_NOTOWNER);
        }
        CHECK(nk_recv(peer, &msg, SIP_FOREVER) == 0 && msg.tag == ProbeContract_tag_Pong);
        CHECK(nk_block_free(BLOCK_DATA(msg.args[0])) == 0);
    }
    return 0;
}

static int wrong_numbers_of_arguments(void)
{
    static const uint32_t counts[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 255, 256, 260, 0x80000004, ~0u};
    uint8_t *data = nk_block_alloc(64);
    uint32_t ends[2];

    CHECK(data != NULL);
    attack_channel(ends);
    for (uint32_t tag = 0; tag < 8; tag++) {
        for (uint32_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
            struct nk_msg msg = good(tag, (uint32_t)(uintptr_t)data, 0, 0);

            if (counts[i] != msg.arg_count) {
                msg.arg_count = counts[i];
                CHECK(nk_send(ends[0], &msg) == -SF_CONTRACT);
            }
        }
    }
    CHECK(nk_state(ends[0]) == 0 && nk_block_bytes(data) == 64);
    return 0;
}

static int huge_tags(void)
{
    uint32_t ends[2];

    attack_channel(ends);
    for (uint32_t tag = 8; tag != 0; tag = tag < 70000 ? tag + 1 : tag << 1) {
        struct nk_msg msg = {.tag = tag, .arg_count = 4};

        CHECK(nk_send(ends[0], &msg) == -SF_CONTRACT);
    }
    for (uint32_t tag = 0; tag < 8; tag++) { /* cut to 8 or 16 bits they would be known */
        struct nk_msg msg = good(tag, 0, 0, 0);

        msg.tag = 0x100 | tag;
        CHECK(nk_send(ends[0], &msg) == -SF_CONTRACT);
        msg.tag = 0x10000 | tag;
        CHECK(nk_send(ends[0], &msg) == -SF_CONTRACT);
    }
    return 0;
}

static int blocks_of_a_wrong_grain(void)
{
    uint32_t ends[2];
    uint8_t *data = nk_block_alloc(4003);
    struct nk_msg msg = {.tag = AttackContract_tag_Words, .arg_count = 1};

    CHECK(data != NULL && nk_channel((int64_t)AttackContract_ID, 0, ends) == 0);
    for (uint32_t bytes = 1; bytes <= 4003; bytes++) {
        if (bytes % 4 != 0) {
            msg.args[0] = BLOCK(data, bytes);
            CHECK(nk_send(ends[0], &msg) == -SF_CONTRACT);
            break; /* it may be shorter now */
        }
    }
    CHECK(nk_state(ends[0]) == 0 && nk_block_bytes(data) > 0);
    CHECK(nk_recv(ends[1], &msg, 0) == -SF_TIMEOUT && nk_block_free(data) == 0);
    data = nk_block_alloc(4001);
    msg = (struct nk_msg){.tag = AttackContract_tag_Words, .arg_count = 1};
    msg.args[0] = BLOCK(data, 4001);
    CHECK(nk_send(ends[0], &msg) == -SF_CONTRACT && nk_block_bytes(data) == 4001);
    return 0;
}

static int leave_out_what_must_be_there(void)
{
    uint32_t probe[2], ends[2];
    uint8_t *data = nk_block_alloc(10);
    struct nk_msg msg = {.tag = AttackContract_tag_Two, .arg_count = 2};

    attack_channel(probe);
    CHECK(data != NULL && nk_channel((int64_t)AttackContract_ID, 0, ends) == 0);
    CHECK(attack_give(probe[0], 0) == -SF_CONTRACT);
    CHECK(nk_send(ends[0], &msg) == -SF_CONTRACT);
    msg.args[0] = BLOCK(data, 10); /* one of two */
    CHECK(nk_send(ends[0], &msg) == -SF_CONTRACT && nk_block_bytes(data) == 10);
    msg = (struct nk_msg){.tag = ProbeContract_tag_Ping, .arg_count = 1};
    CHECK(nk_send(probe[0], &msg) == -SF_CONTRACT);
    msg.args[0] = (uint64_t)10 << 32; /* a length, and no place */
    CHECK(nk_send(probe[0], &msg) == -SF_NOTOWNER);
    return 0;
}

static int numbers_too_large_for_their_type(void)
{
    static const uint64_t bad[][4] = {
        {2, 0, 0, 0},          {UINT64_MAX, 0, 0, 0}, {0, 256, 0, 0},
        {0, 1ull << 63, 0, 0}, {0, 0, 0x8000, 0},     {0, 0, 0xffff, 0},
        {0, 0, 1ull << 32, 0}, {0, 0, 0, 1ull << 32}, {0, 0, 0, UINT64_MAX},
    };
    uint32_t ends[2];

    CHECK(nk_channel((int64_t)AttackContract_ID, 0, ends) == 0);
    for (uint32_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct nk_msg msg = {.tag = AttackContract_tag_Small, .arg_count = 4};

        memcpy(msg.args, bad[i], sizeof(bad[i]));
        CHECK(nk_send(ends[0], &msg) == -SF_CONTRACT);
    }
    return 0;
}

static int a_block_where_an_endpoint_goes(void)
{
    uint32_t ends[2], a[2];
    uint8_t *data = nk_block_alloc(10);
    struct nk_msg msg = {.tag = AttackContract_tag_Maybe, .arg_count = 2};

    CHECK(data != NULL && nk_channel((int64_t)AttackContract_ID, 0, ends) == 0);
    attack_channel(a);
    msg.args[0] = a[0]; /* a handle for the block */
    CHECK(nk_send(ends[0], &msg) == -SF_NOTOWNER);
    msg.args[0] = 0;
    msg.args[1] = BLOCK(data, 10); /* a block for the endpoint */
    CHECK(nk_send(ends[0], &msg) == -SF_BADHANDLE);
    msg.args[1] = (uintptr_t)data;
    CHECK(nk_send(ends[0], &msg) == -SF_BADHANDLE);
    CHECK(nk_block_bytes(data) == 10 && nk_state(a[0]) == 0);
    return 0;
}

static int speak_after_the_end(void)
{
    uint32_t ends[2];
    struct nk_msg msg = {.tag = ProbeContract_tag_Bye};

    attack_channel(ends);
    CHECK(nk_send(ends[0], &msg) == 0 && nk_recv(ends[1], &msg, 0) == 0);
    for (uint32_t tag = 0; tag < 16; tag++) {
        uint8_t *data = nk_block_alloc(64), *more = nk_block_alloc(64);

        for (uint32_t side = 0; side < 2; side++) {
            msg = good(tag, (uint32_t)(uintptr_t)data, (uint32_t)(uintptr_t)more, 0);
            CHECK(nk_send(ends[side], &msg) == -SF_CONTRACT);
        }
        CHECK(nk_block_free(data) == 0 && nk_block_free(more) == 0);
    }
    return 0;
}

static int speak_out_of_turn_and_die(void)
{
    uint32_t peer = (uint32_t)nk_endpoint(NAME("peer"));
    struct nk_msg msg = {.tag = ProbeContract_tag_Took};

    CHECK((int32_t)peer > 0);
    return nk_send(peer, &msg);
}

const struct attack attack_contract[] = {
    {"every_message_of_the_importer", every_message_of_the_importer},
    {"every_message_of_the_exporter", every_message_of_the_exporter},
    {"lie_to_a_server", lie_to_a_server},
    {"wrong_numbers_of_arguments", wrong_numbers_of_arguments},
    {"huge_tags", huge_tags},
    {"blocks_of_a_wrong_grain", blocks_of_a_wrong_grain},
    {"leave_out_what_must_be_there", leave_out_what_must_be_there},
    {"numbers_too_large_for_their_type", numbers_too_large_for_their_type},
    {"a_block_where_an_endpoint_goes", a_block_where_an_endpoint_goes},
    {"speak_after_the_end", speak_after_the_end},
    {"speak_out_of_turn_and_die", speak_out_of_turn_and_die},
    {NULL, NULL},
};
