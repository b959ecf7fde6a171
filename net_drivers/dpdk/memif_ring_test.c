/* SPDX-License-Identifier: Apache-2.0 */
/* Both ends of a memif link's rings in one memory, and other ends that write there what they like.
 */
#include "memif_ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RINGS 3u
#define SLOTS 8u
#define SLOT_BYTES 192u
#define TURNS 70000u /* so that the counts of 16 bits wrap */

struct side {
    struct ring_end out, in;
};

static struct ring_memory memory = {
    .rings_each_way = RINGS, .slots = SLOTS, .slot_bytes = SLOT_BYTES};

/* As DPDK's client makes it. */
static int memory_make(void **state)
{
    size_t ring_bytes = RING_HEAD_BYTES + RING_SLOT_BYTES * SLOTS;

    (void)state;
    memory.size = ring_memory_bytes(RINGS, SLOTS, SLOT_BYTES);
    memory.bytes = aligned_alloc(64, (memory.size + 63) / 64 * 64);
    assert_non_null(memory.bytes);
    memset(memory.bytes, 0, memory.size);
    for (uint32_t i = 0; i < 2 * RINGS; i++) {
        struct ring *ring = (struct ring *)(void *)(memory.bytes + i * ring_bytes);

        ring->cookie = RING_COOKIE;
        ring->flags = RING_FLAG_MASK_INTERRUPT;
    }
    return 0;
}

static int memory_free(void **state)
{
    (void)state;
    free(memory.bytes);
    return 0;
}

static void sides_open(uint32_t index, struct side *server, struct side *client)
{
    assert_int_equal(ring_ends_open(&memory, index, true, &server->out, &server->in), SF_OK);
    assert_int_equal(ring_ends_open(&memory, index, false, &client->out, &client->in), SF_OK);
}

/* Turn's frame: its length and each of its bytes tell the turn. */
static uint32_t length_of(uint32_t turn)
{
    return turn * 7 % SLOT_BYTES + 1;
}

static void put(struct ring_end *end, uint32_t ahead, uint32_t turn)
{
    memset(ring_buffer(end, ahead), (int)(turn & 0xff), length_of(turn));
    ring_length_set(end, ahead, length_of(turn));
}

static void expect(const struct ring_end *end, uint32_t ahead, uint32_t turn)
{
    const uint8_t *bytes = ring_buffer(end, ahead);

    assert_int_equal(ring_length(end, ahead), length_of(turn));
    assert_int_equal(bytes[0], turn & 0xff);
    assert_int_equal(bytes[length_of(turn) - 1], turn & 0xff);
}

/* 0 to SLOTS are under way, in bursts of different sizes. */
static void talk(struct ring_end *out, struct ring_end *in)
{
    uint32_t sent = 0, taken = 0;

    while (sent < TURNS || taken < sent) {
        uint32_t room = ring_ready(out, SLOTS);
        uint32_t wanted = sent < TURNS ? sent % 5 + 1 : 0;
        uint32_t burst = wanted < room ? wanted : room;
        uint32_t there;

        assert_int_equal(room, SLOTS - (sent - taken));
        for (uint32_t i = 0; i < burst; i++) {
            put(out, i, sent + i);
        }
        ring_advance(out, burst);
        sent += burst;
        there = ring_ready(in, SLOTS);
        assert_int_equal(there, sent - taken);
        assert_int_equal(ring_is_empty(in), there == 0);
        there = taken % 3 + 1 < there ? taken % 3 + 1 : there;
        for (uint32_t i = 0; i < there; i++) {
            expect(in, i, taken + i);
        }
        ring_advance(in, there);
        taken += there;
    }
}

static void frames_come_out_as_they_went_in(void **state)
{
    struct side servers[RINGS], clients[RINGS];

    (void)state;
    for (uint32_t i = 0; i < RINGS; i++) {
        sides_open(i, &servers[i], &clients[i]);
    }
    for (uint32_t i = 0; i < RINGS; i++) {
        talk(&clients[i].out, &servers[i].in);
        talk(&servers[i].out, &clients[i].in);
        assert_int_equal(ring_ready(&servers[i].in, 1), 0);
        assert_int_equal(ring_ready(&clients[i].in, 1), 0);
    }
}

/* What is sent on one ring is in no other one's slots. */
static void rings_have_buffers_of_their_own(void **state)
{
    struct side servers[RINGS], clients[RINGS];
    uint32_t turn = 0;

    (void)state;
    for (uint32_t i = 0; i < RINGS; i++) {
        sides_open(i, &servers[i], &clients[i]);
    }
    for (uint32_t way = 0; way < 2 * RINGS; way++) {
        struct ring_end *out = way % 2 ? &servers[way / 2].out : &clients[way / 2].out;

        assert_int_equal(ring_ready(out, SLOTS), SLOTS);
        for (uint32_t i = 0; i < SLOTS; i++) {
            put(out, i, turn++);
        }
        ring_advance(out, SLOTS);
        assert_int_equal(ring_ready(out, 1), 0);
    }
    turn = 0;
    for (uint32_t way = 0; way < 2 * RINGS; way++) {
        struct ring_end *in = way % 2 ? &clients[way / 2].in : &servers[way / 2].in;

        assert_int_equal(ring_ready(in, SLOTS), SLOTS);
        for (uint32_t i = 0; i < SLOTS; i++) {
            expect(in, i, turn++);
        }
    }
}

static void other_memory_is_refused(void **state)
{
    struct ring_memory other = memory;
    struct side side;

    (void)state;
    other.size = memory.size - 1;
    assert_int_equal(ring_ends_open(&other, 0, true, &side.out, &side.in), SF_FORMAT);
    other.size = memory.size + 64;
    assert_int_equal(ring_ends_open(&other, 0, true, &side.out, &side.in), SF_FORMAT);
    other = memory;
    other.slot_bytes = SLOT_BYTES + 64;
    assert_int_equal(ring_ends_open(&other, 0, false, &side.out, &side.in), SF_FORMAT);
    memory.bytes[0] ^= 1; /* the first ring's cookie */
    assert_int_equal(ring_ends_open(&memory, 0, true, &side.out, &side.in), SF_FORMAT);
    assert_int_equal(ring_ends_open(&memory, 0, false, &side.out, &side.in), SF_FORMAT);
    assert_int_equal(ring_ends_open(&memory, 1, true, &side.out, &side.in), SF_OK);
}

static void a_receiver_that_sleeps_says_so(void **state)
{
    struct side server, client;

    (void)state;
    sides_open(0, &server, &client);
    assert_false(ring_asleep(&client.out));
    server.in.ring->flags = 0;
    assert_true(ring_asleep(&client.out));
    assert_false(ring_asleep(&server.out));
}

static void within(const struct ring_end *end, uint32_t ahead, uint32_t bytes)
{
    const uint8_t *at = ring_buffer(end, ahead);

    assert_true(at >= memory.bytes && at + bytes <= memory.bytes + memory.size);
}

static void wild_counts_and_lengths_stay_within_the_memory(void **state)
{
    struct side server, client;

    (void)state;
    srandom(1);
    sides_open(1, &server, &client);
    for (uint32_t i = 0; i < TURNS; i++) {
        struct ring_end *end = i % 2 ? &server.in : &client.out;
        uint32_t ready;

        *end->theirs = (uint16_t)random();
        *end->ours = (uint16_t)random(); /* not believed either */
        ring_slot(end, 0)->length = (uint32_t)random() << 1;
        ring_slot(end, 0)->flags = (uint16_t)(random() % 2);
        ring_slot(end, 0)->offset = (uint32_t)random();
        ring_slot(end, 0)->region = (uint16_t)random();
        ready = ring_ready(end, SLOTS);
        assert_true(ready <= SLOTS);
        for (uint32_t k = 0; k < ready; k++) {
            uint32_t length = ring_length(end, k);

            assert_true(length <= SLOT_BYTES);
            within(end, k, SLOT_BYTES);
        }
        ring_advance(end, ready);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, memory_make, memory_free)
    static const struct CMUnitTest all[] = {
        CASE(frames_come_out_as_they_went_in),
        CASE(rings_have_buffers_of_their_own),
        CASE(other_memory_is_refused),
        CASE(a_receiver_that_sleeps_says_so),
        CASE(wild_counts_and_lengths_stay_within_the_memory),
    };

    return cmocka_run_group_tests_name("link-memif-ring", all, NULL, NULL);
}
