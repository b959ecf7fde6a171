/* SPDX-License-Identifier: Apache-2.0 */
/* Attacks on blocks: other SIPs' ones, and one's own that are no more. */
#include "attack.h"

#define BLOCKS_MIB 16u /* what the kernel allows if the manifest does not say */

static uint8_t *block(uint32_t bytes)
{
    uint8_t *data = nk_block_alloc(bytes);

    CHECK(data != NULL);
    memset(data, 0x33, bytes);
    return data;
}

static uint32_t peer(void)
{
    int32_t handle = nk_endpoint(NAME("peer"));

    CHECK(handle > 0);
    return (uint32_t)handle;
}

static int free_every_address(void)
{
    uint32_t mine = (uint32_t)(uintptr_t)block(64);

    for (uint32_t at = WINDOW; at < 2 * WINDOW; at += 64) {
        CHECK(at == mine || nk_block_free(AT(at)) == -SF_NOTOWNER);
    }
    for (uint32_t at = 0; at < WINDOW; at += 4099) { /* below it, and beyond what is masked */
        CHECK(nk_block_free(AT(at)) == -SF_NOTOWNER);
        CHECK(nk_block_free(AT(at + mine + 64 * MIB)) == -SF_NOTOWNER);
    }
    CHECK(nk_block_free(AT(mine + 64 * MIB)) == -SF_NOTOWNER);
    CHECK(nk_block_free(AT(mine)) == 0);
    return 0;
}

static int measure_every_address(void)
{
    uint32_t mine = (uint32_t)(uintptr_t)block(100000);

    for (uint32_t at = WINDOW - MIB; at < 2 * WINDOW; at += 64) {
        CHECK(nk_block_bytes(AT(at)) == (at == mine ? 100000 : -SF_NOTOWNER));
    }
    return 0;
}

static int send_every_address(void)
{
    uint32_t ends[2], mine = (uint32_t)(uintptr_t)block(64);

    attack_channel(ends);
    for (uint32_t at = WINDOW; at < 2 * WINDOW; at += 64) {
        CHECK(at == mine || attack_send_block(ends[0], at, 1) == -SF_NOTOWNER);
    }
    for (uint32_t at = 1; at < WINDOW; at += 1021) {
        CHECK(attack_send_block(ends[0], at, 16) == -SF_NOTOWNER);
    }
    CHECK(nk_state(ends[0]) == 0);
    return 0;
}

/* Another SIP says where its blocks are. */
static int use_another_sips_blocks(void)
{
    uint32_t to = peer(), ends[2];

    attack_channel(ends);
    for (uint32_t which = 0; which < 2; which++) {
        struct nk_msg msg = {.tag = ProbeContract_tag_Add, .arg_count = 4, .args = {which}};

        CHECK(nk_send(to, &msg) == 0 && nk_recv(to, &msg, SIP_FOREVER) == 0);
        uint32_t at = (uint32_t)msg.args[0];
        CHECK(at >= WINDOW);
        CHECK(nk_block_bytes(AT(at)) == -SF_NOTOWNER);
        CHECK(nk_block_free(AT(at)) == -SF_NOTOWNER);
        CHECK(attack_send_block(ends[0], at, 16) == -SF_NOTOWNER); /* to itself */
        CHECK(attack_send_block(to, at, 16) == -SF_NOTOWNER);      /* to its owner */
    }
    return 0;
}

static int send_twice(void)
{
    uint32_t a[2], b[2];

    attack_channel(a);
    attack_channel(b);
    for (uint32_t bytes = 1; bytes <= MIB; bytes *= 16) {
        uint32_t at = (uint32_t)(uintptr_t)block(bytes);

        CHECK(attack_send_block(a[0], at, bytes) == 0);
        CHECK(attack_send_block(b[0], at, bytes) == -SF_NOTOWNER);
        attack_close(a);
        attack_channel(a);
    }
    return 0;
}

static int twice_in_one_message(void)
{
    uint8_t *data = block(5000);
    struct nk_msg msg = {.tag = AttackContract_tag_Two, .arg_count = 2};
    uint32_t ends[2];

    CHECK(nk_channel((int64_t)AttackContract_ID, 0, ends) == 0);
    msg.args[0] = BLOCK(data, 5000);
    msg.args[1] = BLOCK(data, 5000);
    CHECK(nk_send(ends[0], &msg) == -SF_NOTOWNER);
    msg.args[1] = BLOCK(data, 100);
    CHECK(nk_send(ends[0], &msg) == -SF_NOTOWNER);
    CHECK(nk_block_bytes(data) == 5000 && nk_state(ends[0]) == 0);
    return 0;
}

static int free_twice(void)
{
    for (uint32_t bytes = 1; bytes <= MIB; bytes *= 4) {
        uint8_t *data = block(bytes);

        CHECK(nk_block_free(data) == 0 && nk_block_free(data) == -SF_NOTOWNER);
        CHECK(nk_block_bytes(data) == -SF_NOTOWNER);
    }
    return 0;
}

static int free_what_is_under_way(void)
{
    uint32_t ends[2];
    struct nk_msg msg;

    for (uint32_t bytes = 1; bytes <= MIB; bytes *= 4) {
        uint8_t *data = block(bytes);

        attack_channel(ends);
        CHECK(attack_send_block(ends[0], (uint32_t)(uintptr_t)data, bytes) == 0);
        CHECK(nk_block_free(data) == -SF_NOTOWNER);
        CHECK(nk_recv(ends[1], &msg, 0) == 0 && BLOCK_DATA(msg.args[0])[bytes - 1] == 0x33);
        CHECK(nk_block_free(BLOCK_DATA(msg.args[0])) == 0);
        attack_close(ends);
    }
    return 0;
}

static int free_from_the_middle(void)
{
    for (uint32_t bytes = 128; bytes <= MIB; bytes *= 4) {
        uint8_t *data = block(bytes);

        for (uint32_t at = 1; at < bytes; at += 1 + bytes / 512) {
            CHECK(nk_block_free(data + at) == -SF_NOTOWNER);
        }
        CHECK(nk_block_bytes(data) == (int32_t)bytes && nk_block_free(data) == 0);
    }
    return 0;
}

static int touch_after_send(void)
{
    volatile uint8_t *data = block(10000);
    uint32_t ends[2];

    attack_channel(ends);
    CHECK(attack_send_block(ends[0], (uint32_t)(uintptr_t)data, 10000) == 0);
    return data[9999];
}

static int touch_after_free(void)
{
    volatile uint8_t *data = block(10000);

    CHECK(nk_block_free((void *)(uintptr_t)data) == 0);
    data[0] = 1;
    return 1;
}

/* In strict images also of one byte. */
static int touch_a_byte_after_send(void)
{
    volatile uint8_t *data = block(1);
    uint32_t ends[2];

    attack_channel(ends);
    CHECK(attack_send_block(ends[0], (uint32_t)(uintptr_t)data, 1) == 0);
    return data[0];
}

static int touch_a_byte_after_free(void)
{
    volatile uint8_t *data = block(1);

    CHECK(nk_block_free((void *)(uintptr_t)data) == 0);
    return data[0];
}

/* The cell of a small block stays; but what was sent is what arrives. */
static int change_what_is_under_way(void)
{
    struct nk_msg msg;
    uint32_t ends[2];

    attack_channel(ends);
    for (uint32_t bytes = 1; bytes <= 4096; bytes *= 2) {
        uint8_t *data = block(bytes);

        CHECK(attack_send_block(ends[0], (uint32_t)(uintptr_t)data, bytes) == 0);
        for (uint32_t i = 0; i < bytes; i++) {
            ((volatile uint8_t *)data)[i] = 0x66;
        }
        CHECK(nk_recv(ends[1], &msg, 0) == 0);
        for (uint32_t i = 0; i < bytes; i++) {
            CHECK(BLOCK_DATA(msg.args[0])[i] == 0x33);
        }
        attack_close(ends);
        attack_channel(ends);
    }
    return 0;
}

/* The same while another worker's SIP receives it, and what it sends back. */
static int change_what_another_has(void)
{
    uint32_t to = peer();
    struct nk_msg msg;

    for (uint32_t round = 0; round < 100; round++) {
        volatile uint8_t *data = block(64);

        CHECK(attack_send_block(to, (uint32_t)(uintptr_t)data, 64) == 0);
        for (uint32_t i = 0; i < 64; i++) {
            data[i] = 0x66;
        }
        CHECK(nk_recv(to, &msg, SIP_FOREVER) == 0);
        uint8_t *back = BLOCK_DATA(msg.args[0]);
        CHECK(back[0] == 0x34 && back[1] == 0x33 && back[63] == 0x33);
        CHECK(nk_block_free(back) == 0);
    }
    return 0;
}

static int trim_to_nothing(void)
{
    uint8_t *data = block(5000);
    uint32_t ends[2];

    attack_channel(ends);
    CHECK(attack_send_block(ends[0], (uint32_t)(uintptr_t)data, 0) == -SF_BADARG);
    CHECK(nk_block_bytes(data) == 5000 && nk_state(ends[0]) == 0);
    return 0;
}

static int trim_to_more(void)
{
    uint32_t ends[2];

    attack_channel(ends);
    for (uint32_t bytes = 1; bytes <= MIB; bytes *= 8) {
        uint32_t at = (uint32_t)(uintptr_t)block(bytes);

        CHECK(attack_send_block(ends[0], at, bytes + 1) == -SF_BADARG);
        CHECK(attack_send_block(ends[0], at, 0x80000000u) == -SF_BADARG);
        CHECK(attack_send_block(ends[0], at, 0xffffffffu) == -SF_BADARG);
        CHECK(nk_block_bytes(AT(at)) == (int32_t)bytes);
    }
    return 0;
}

/* Trimmed and received, what was cut off is not there any more. */
static int trim_and_look_behind(void)
{
    uint8_t *data = block(100000);
    struct nk_msg msg;
    uint32_t ends[2];

    attack_channel(ends);
    CHECK(attack_send_block(ends[0], (uint32_t)(uintptr_t)data, 5000) == 0);
    CHECK(nk_recv(ends[1], &msg, 0) == 0 && BLOCK_LENGTH(msg.args[0]) == 5000);
    CHECK(attack_send_block(ends[1], (uint32_t)msg.args[0], 100000) == -SF_BADARG);
    return ((volatile uint8_t *)BLOCK_DATA(msg.args[0]))[60000];
}

static int send_into_a_closed_channel(void)
{
    uint32_t ends[2];

    for (uint32_t bytes = 1; bytes <= MIB; bytes *= 16) {
        uint8_t *data = block(bytes);

        attack_channel(ends);
        CHECK(nk_close(ends[1]) == 0);
        int32_t st = attack_send_block(ends[0], (uint32_t)(uintptr_t)data, bytes);
        CHECK(st < 0 || nk_block_bytes(data) == -SF_NOTOWNER); /* one or the other, never both */
        CHECK(st == 0 || (nk_block_bytes(data) == (int32_t)bytes && nk_block_free(data) == 0));
        CHECK(nk_close(ends[0]) == 0);
    }
    return 0;
}

/* More than its quota: in hand it cannot be had. */
static int hoard(void)
{
    uint32_t sum = 0;

    for (uint32_t bytes = MIB; bytes >= 64; bytes /= 2) {
        while (nk_block_alloc(bytes) != NULL) {
            sum += bytes;
            CHECK(sum <= 16 * MIB);
        }
    }
    CHECK(sum >= 15 * MIB && nk_block_alloc(1) == NULL);
    nk_yield();
    return 0;
}

static int fragment_its_window(void)
{
    static uint8_t *blocks[512];
    uint32_t seed = 1;

    for (uint32_t round = 0; round < 8000; round++) {
        seed = seed * 1664525u + 1013904223u;
        uint32_t i = seed >> 23, bytes = 1 + ((seed >> 4) & 0xffff) * (1 + (seed >> 20 & 7));

        if (blocks[i] != NULL) {
            CHECK(*(uint32_t *)(void *)blocks[i] == i && nk_block_free(blocks[i]) == 0);
        }
        blocks[i] = nk_block_alloc(bytes < 4 ? 4 : bytes);
        if (blocks[i] != NULL) {
            *(uint32_t *)(void *)blocks[i] = i;
        }
    }
    return 0;
}

/* Blocks that wait in queues count, too, until somebody takes them. */
static int hoard_in_queues(void)
{
    uint32_t ends[2], first = 0, count = 0;
    struct nk_msg msg;

    while (nk_channel((int64_t)ProbeContract_ID, 0, ends) == 0) {
        uint8_t *data = nk_block_alloc(MIB / 4);

        if (data == NULL) {
            break;
        }
        CHECK(attack_send_block(ends[0], (uint32_t)(uintptr_t)data, MIB / 4) == 0);
        first = first == 0 ? ends[1] : first;
        count++;
    }
    CHECK(count == BLOCKS_MIB * 4);
    CHECK(nk_recv(first, &msg, 0) == 0); /* from its queue into its hands: the same amount */
    CHECK(nk_block_alloc(MIB / 4) == NULL);
    CHECK(nk_block_free(sip_arg_block(msg.args[0])) == 0);
    CHECK(nk_block_alloc(MIB / 4) != NULL);
    return 0;
}

/* Dies with everything in its hands and under way in both directions. */
static int die_with_hands_full(void)
{
    uint32_t to = peer(), a[2];

    for (uint32_t i = 0; i < 60; i++) {
        (void)block(1 + i * 3001);
        attack_channel(a);
        CHECK(attack_send_block(a[0], (uint32_t)(uintptr_t)block(100 + i * 777), 50) == 0);
    }
    CHECK(attack_send_block(to, (uint32_t)(uintptr_t)block(70000), 70000) == 0);
    __builtin_trap();
}

const struct attack attack_blocks[] = {
    {"free_every_address", free_every_address},
    {"measure_every_address", measure_every_address},
    {"send_every_address", send_every_address},
    {"use_another_sips_blocks", use_another_sips_blocks},
    {"send_twice", send_twice},
    {"twice_in_one_message", twice_in_one_message},
    {"free_twice", free_twice},
    {"free_what_is_under_way", free_what_is_under_way},
    {"free_from_the_middle", free_from_the_middle},
    {"touch_after_send", touch_after_send},
    {"touch_after_free", touch_after_free},
    {"touch_a_byte_after_send", touch_a_byte_after_send},
    {"touch_a_byte_after_free", touch_a_byte_after_free},
    {"change_what_is_under_way", change_what_is_under_way},
    {"change_what_another_has", change_what_another_has},
    {"trim_to_nothing", trim_to_nothing},
    {"trim_to_more", trim_to_more},
    {"trim_and_look_behind", trim_and_look_behind},
    {"send_into_a_closed_channel", send_into_a_closed_channel},
    {"hoard", hoard},
    {"fragment_its_window", fragment_its_window},
    {"hoard_in_queues", hoard_in_queues},
    {"die_with_hands_full", die_with_hands_full},
    {NULL, NULL},
};
