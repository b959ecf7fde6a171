/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions that share a link, in virtual time: real nodes, and one queue that all frames to node 1
 * wait in. It has a rate and a length, and drops what finds no room; the way back only takes time.
 * Each sender has CHANNELS channels and a block on each, always.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fabric/fabric.h"
#include "session.h"
#include "test_net.h"

#define US 1000ull
#define MS 1000000ull
#define SECOND 1000000000ull
#define STEP_NS (5 * US)
#define FRAME_NS (20 * US) /* of a whole frame: 51 MB/s */
#define CHANNELS 4u
#define BLOCK_BYTES 32768u
#define SENDERS_MAX (NET_NODES_MAX - 1u)
#define RING 8192u

struct ring {
    struct net_frame *frames;
    uint32_t head, count;
};

static struct {
    struct net net;
    uint32_t queue_frames, loss_permille;
    uint64_t way_ns;                     /* one way */
    uint32_t sender_count, active_count; /* the first so many of them send */
    struct fab_ep *imp[SENDERS_MAX][CHANNELS];
    struct fab_ep *exp[SENDERS_MAX][CHANNELS];
    bool begun[SENDERS_MAX][CHANNELS];
    struct ring there, back;
    uint64_t free_ns; /* the link has sent what is in its queue */
    uint64_t queued, dropped, waited_ns;
    uint64_t taken[SENDERS_MAX]; /* bytes of blocks */
} world;

static uint16_t id_of(uint32_t sender)
{
    return (uint16_t)(sender + 2);
}

static struct net_frame *ring_push(struct ring *ring)
{
    assert_true(ring->count < RING);
    return &ring->frames[(ring->head + ring->count++) % RING];
}

/* To node 1: through the queue, or lost. */
static void forward(struct net_frame *frame)
{
    uint64_t now_ns = world.net.now_ns;
    uint64_t start_ns = world.free_ns > now_ns ? world.free_ns : now_ns;

    if (start_ns - now_ns > world.queue_frames * FRAME_NS) {
        world.dropped++;
        world.there.count--;
        return;
    }
    if (net_below(&world.net, 1000) < world.loss_permille) {
        world.there.count--;
        return;
    }
    world.queued++;
    world.waited_ns += start_ns - now_ns;
    world.free_ns = start_ns + FRAME_NS * frame->length / NET_MTU;
    frame->due_ns = world.free_ns + world.way_ns;
}

static void node_send(uint16_t from)
{
    struct fab_node *fab = world.net.nodes[from].fab;
    uint16_t to;

    (void)fab_tick(fab, world.net.now_ns);
    while ((to = fab_tx_pending(fab)) != 0) {
        struct net_frame *frame = ring_push(to == 1 ? &world.there : &world.back);

        frame->from = from;
        frame->to = to;
        frame->length = fab_tx(fab, to, frame->bytes, sizeof(frame->bytes), world.net.now_ns);
        frame->due_ns = world.net.now_ns + world.way_ns;
        assert_true(frame->length > 0);
        if (to == 1) {
            forward(frame);
        }
    }
}

static void ring_deliver(struct ring *ring)
{
    while (ring->count > 0 && ring->frames[ring->head].due_ns <= world.net.now_ns) {
        struct net_frame *frame = &ring->frames[ring->head];
        fab_rx(world.net.nodes[frame->to].fab, frame->from, frame->bytes, frame->length,
               world.net.now_ns);
        ring->head = (ring->head + 1) % RING;
        ring->count--;
    }
}

/* A new block, if the last one was answered. */
static void give(uint32_t sender, uint32_t channel)
{
    uint16_t id = id_of(sender);
    struct fab_ep *ep = world.imp[sender][channel];
    struct fab_msg msg = {.tag = WORK_BYTES, .arg_count = 2};

    if (world.begun[sender][channel]) {
        struct fab_msg answer;
        if (!fab_ep_readable(ep)) {
            return;
        }
        assert_int_equal(fab_ep_recv(ep, &answer, id), SF_OK);
    }
    world.begun[sender][channel] = true;
    assert_int_equal(xh_alloc(world.net.nodes[id].heap, BLOCK_BYTES, id, &msg.args[0].block),
                     SF_OK);
    assert_int_equal(fab_ep_send(ep, &msg, id), SF_OK);
}

static void take(uint32_t sender, uint32_t channel)
{
    struct fab_ep *ep = world.exp[sender][channel];
    struct fab_msg msg;
    const struct fab_msg answer = {.tag = WORK_ANSWER, .arg_count = 1};

    if (!fab_ep_readable(ep)) {
        return;
    }
    assert_int_equal(fab_ep_recv(ep, &msg, 1), SF_OK);
    world.taken[sender] += msg.args[0].block->bytes;
    assert_int_equal(xh_free(world.net.nodes[1].heap, msg.args[0].block, 1), SF_OK);
    assert_int_equal(fab_ep_send(ep, &answer, 1), SF_OK);
}

static void run(uint64_t ns)
{
    uint64_t end_ns = world.net.now_ns + ns;

    while (world.net.now_ns < end_ns) {
        for (uint32_t i = 0; i < world.active_count * CHANNELS; i++) {
            give(i / CHANNELS, i % CHANNELS);
            take(i / CHANNELS, i % CHANNELS);
        }
        for (uint16_t id = 1; id <= world.net.node_count; id++) {
            node_send(id);
        }
        world.net.now_ns += STEP_NS;
        ring_deliver(&world.there);
        ring_deliver(&world.back);
    }
}

static void begin(uint32_t senders, uint32_t queue_frames, uint64_t way_ns)
{
    memset(&world, 0, sizeof(world));
    net_make(&world.net, senders + 1, 1);
    world.sender_count = senders;
    world.queue_frames = queue_frames;
    world.way_ns = way_ns;
    world.there.frames = calloc(RING, sizeof(struct net_frame));
    world.back.frames = calloc(RING, sizeof(struct net_frame));
    assert_true(world.there.frames != NULL && world.back.frames != NULL);
    for (uint32_t i = 0; i < senders * CHANNELS; i++) {
        struct fab_ep **imp = &world.imp[i / CHANNELS][i % CHANNELS];

        assert_int_equal(
            fab_open(world.net.nodes[id_of(i / CHANNELS)].fab, 1, "work", test_work(), imp), SF_OK);
        run(i == 0 ? 100 * MS : MS);
        assert_int_equal(world.net.nodes[1].opened_count, i + 1);
        world.exp[i / CHANNELS][i % CHANNELS] = world.net.nodes[1].opened_last;
    }
}

/* Measures from here on. */
static void mark(void)
{
    memset(world.taken, 0, sizeof(world.taken));
    world.queued = world.dropped = world.waited_ns = 0;
}

static void end(void)
{
    for (uint32_t i = 0; i < world.sender_count; i++) {
        assert_int_equal(world.net.nodes[id_of(i)].lost_count, 0);
    }
    net_end(&world.net);
    free(world.there.frames);
    free(world.back.frames);
}

/* How much of the link was payload that arrived, 0 to 1. */
static double used(uint64_t ns)
{
    double bytes = 0;

    for (uint32_t i = 0; i < world.sender_count; i++) {
        bytes += (double)world.taken[i];
    }
    return bytes / ((double)ns / FRAME_NS * NET_MTU);
}

/* Jain's index of what each had: 1, all the same; 1 / n, one had all. */
static double fairness(void)
{
    double sum = 0, squares = 0;

    for (uint32_t i = 0; i < world.sender_count; i++) {
        sum += (double)world.taken[i];
        squares += (double)world.taken[i] * (double)world.taken[i];
    }
    return sum * sum / (world.sender_count * squares);
}

static uint64_t timeouts(void)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < world.sender_count; i++) {
        struct fab_peer_info info;
        assert_int_equal(fab_peer_query(world.net.nodes[id_of(i)].fab, 1, &info), SF_OK);
        sum += info.timeouts;
    }
    return sum;
}

static double waited_us(void)
{
    return (double)world.waited_ns / (double)world.queued / US;
}

static void tell(const char *what, uint64_t ns)
{
    printf("# %s: %.0f %% of the link used, Jain %.3f, queue %.0f us, %.2f %% dropped, %lu "
           "time-outs\n",
           what, used(ns) * 100, fairness(), waited_us(),
           (double)world.dropped * 100 / (double)(world.dropped + world.queued), timeouts());
}

static void one_fills_the_link_and_keeps_the_queue_short(void **state)
{
    (void)state;
    begin(1, 1000, 50 * US);
    world.active_count = 1;
    run(SECOND);
    mark();
    run(SECOND);
    tell("one", SECOND);
    assert_true(used(SECOND) > 0.85 && waited_us() < 1000);
    run(20 * SECOND);
    mark();
    run(SECOND);
    tell("one, after 20 s", SECOND);
    assert_true(used(SECOND) > 0.85 && waited_us() < 1000);
    assert_int_equal(timeouts(), 0);
    end();
}

static void one_in_a_hundred_lost_costs_little(void **state)
{
    (void)state;
    begin(1, 1000, 50 * US);
    world.active_count = 1;
    world.loss_permille = 10;
    run(SECOND);
    mark();
    run(2 * SECOND);
    tell("1 % lost", 2 * SECOND);
    assert_true(used(2 * SECOND) > 0.8);
    assert_true(timeouts() < 5);
    end();
}

static void share(const char *what, uint32_t senders, uint32_t queue_frames, uint64_t way_ns)
{
    begin(senders, queue_frames, way_ns);
    for (world.active_count = 1; world.active_count < senders; world.active_count++) {
        run(500 * MS); /* each comes to a link that the others fill */
    }
    run(11 * SECOND);
    mark();
    run(4 * SECOND);
    tell(what, 4 * SECOND);
    assert_true(fairness() > 0.8);
    assert_true(used(4 * SECOND) > 0.8);
    assert_true(world.dropped * 20 < world.queued);
    end();
}

static void two_share_a_link_fairly(void **state)
{
    (void)state;
    share("two", 2, 1000, 50 * US);
}

static void five_share_a_link_fairly(void **state)
{
    (void)state;
    share("five", 5, 1000, 50 * US);
}

/* Less than half of the delay that is aimed at: only loss tells. */
static void two_share_a_link_with_a_short_queue(void **state)
{
    (void)state;
    share("two, short queue", 2, 10, 250 * US);
}

static void sixteen_at_once_do_not_collapse(void **state)
{
    (void)state;
    begin(16, 64, 50 * US);
    world.active_count = 16;
    mark();
    run(500 * MS);
    tell("sixteen at once", 500 * MS);
    assert_true(used(500 * MS) > 0.7);
    mark();
    run(2 * SECOND);
    tell("sixteen, later", 2 * SECOND);
    assert_true(used(2 * SECOND) > 0.8 && fairness() > 0.8);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_fills_the_link_and_keeps_the_queue_short),
        cmocka_unit_test(one_in_a_hundred_lost_costs_little),
        cmocka_unit_test(two_share_a_link_fairly),
        cmocka_unit_test(five_share_a_link_fairly),
        cmocka_unit_test(two_share_a_link_with_a_short_queue),
        cmocka_unit_test(sixteen_at_once_do_not_collapse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
