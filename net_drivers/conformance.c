/* SPDX-License-Identifier: Apache-2.0 */
#include "conformance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "conformance_remote.h"
#include "conformance_side.h"

#define A LINK_CONFORMANCE_NODE_A
#define B LINK_CONFORMANCE_NODE_B
#define STARTS 10
#define PINGS 2000u
#define LINK_UP_MS_MAX 5000u
#define FREE_LOOKS 100u
#define FREE_LOOK_US 50000u
#define ROUND_FRAMES_MAX 250u /* a driver that is lossy holds that many */

struct bench {
    const struct link_conformance *driver;
    bool nobody;
    uint16_t queues; /* 0: not shared */
    char folder[64];
    struct side a, b;
};

static struct bench bench;

/* --- what the tests are made of
 * -----------------------------------------------------------------*/

static struct side_order order(enum side_op op)
{
    return (struct side_order){.op = op};
}

static struct side_answer do_simple(struct side *side, enum side_op op)
{
    struct side_order simple = order(op);

    return side_do(side, &simple);
}

static void do_ok(struct side *side, const struct side_order *what)
{
    struct side_answer answer = side_do(side, what);

    if (answer.status != SF_OK || answer.timed_out) {
        print_error("order %d: %s%s\n", (int)what->op,
                    answer.timed_out ? "timed out" : sf_status_text(answer.status), answer.text);
    }
    assert_int_equal(answer.status, SF_OK);
    assert_false(answer.timed_out);
}

static struct side_order order_open(const struct side *side)
{
    struct side_order open = order(SIDE_OPEN);

    open.node_id = side == &bench.a ? A : B;
    open.server = side == &bench.a;
    open.queues = bench.queues;
    if (bench.queues > 0 && bench.driver->device_queues != NULL) {
        (void)snprintf(open.device, sizeof(open.device), bench.driver->device_queues, bench.queues);
    } else {
        (void)snprintf(open.device, sizeof(open.device), bench.driver->device, bench.folder);
    }
    return open;
}

static void peer_add(struct side *side)
{
    struct side_order add = order(SIDE_PEER_ADD);

    add.peer = side == &bench.a ? B : A;
    do_ok(side, &add);
}

static void open_side(struct side *side)
{
    struct side_order open = order_open(side);

    do_ok(side, &open);
    peer_add(side);
}

static void wait_for(struct side *side, bool up)
{
    struct side_order wait = order(SIDE_WAIT);

    wait.up = up;
    wait.timeout_ms = LINK_UP_MS_MAX;
    do_ok(side, &wait);
}

/* As order_open of both at once, peers, and both up. */
static void open_both(void)
{
    struct side_order open_a = order_open(&bench.a);
    struct side_order open_b = order_open(&bench.b);
    struct side_order up = order(SIDE_WAIT);

    sides_do(&bench.a, &open_a, &bench.b, &open_b);
    assert_string_equal(bench.a.answer.text, "");
    assert_int_equal(bench.a.answer.status, SF_OK);
    assert_string_equal(bench.b.answer.text, "");
    assert_int_equal(bench.b.answer.status, SF_OK);
    peer_add(&bench.a);
    peer_add(&bench.b);
    up.up = true;
    up.timeout_ms = LINK_UP_MS_MAX;
    sides_do(&bench.a, &up, &bench.b, &up);
    assert_true(bench.a.answer.up);
    assert_true(bench.b.answer.up);
}

static void close_side(struct side *side)
{
    (void)do_simple(side, SIDE_CLOSE);
    (void)do_simple(side, SIDE_STOP);
    (void)do_simple(side, SIDE_FINI);
}

static uint32_t frames_free(struct side *side)
{
    uint32_t count = do_simple(side, SIDE_HOLD).held;

    (void)do_simple(side, SIDE_RELEASE);
    return count;
}

/* So many are free, at once or when the device has heard that what was sent has arrived. */
static void assert_frames_free(struct side *side, uint32_t count)
{
    uint32_t got = frames_free(side);

    for (uint32_t i = 0; i < FREE_LOOKS && got != count; i++) {
        (void)usleep(FREE_LOOK_US);
        got = frames_free(side);
    }
    assert_int_equal(got, count);
}

static struct side_order order_traffic(uint16_t peer, uint32_t send_count, uint32_t receive_count)
{
    struct side_order traffic = order(SIDE_TRAFFIC);

    traffic.peer = peer;
    traffic.send_count = send_count;
    traffic.receive_count = receive_count;
    return traffic;
}

static void received_whole(const struct side *side, uint32_t number_first, uint32_t count)
{
    assert_false(side->answer.timed_out);
    assert_int_equal(side->answer.received, count);
    assert_int_equal(side->answer.damage_count, 0);
    assert_int_equal(side->answer.disorder_count, 0);
    assert_int_equal(side->answer.stranger_count, 0);
    if (count > 0) {
        assert_int_equal(side->answer.number_first, number_first);
    }
}

static void traffic_round(uint32_t number_a, uint32_t a_to_b, uint32_t number_b, uint32_t b_to_a)
{
    struct side_order order_a = order_traffic(B, a_to_b, b_to_a);
    struct side_order order_b = order_traffic(A, b_to_a, a_to_b);

    order_a.number = number_a;
    order_b.number = number_b;
    sides_do(&bench.a, &order_a, &bench.b, &order_b);
    received_whole(&bench.a, number_b, b_to_a);
    received_whole(&bench.b, number_a, a_to_b);
}

static uint32_t round_of(uint32_t left)
{
    return bench.driver->lossy && left > ROUND_FRAMES_MAX ? ROUND_FRAMES_MAX : left;
}

/* Frames both ways at once; all arrive, in order, unchanged. */
static void traffic(uint32_t a_to_b, uint32_t b_to_a)
{
    uint32_t number_a = 1000;
    uint32_t number_b = 5000;

    while (a_to_b > 0 || b_to_a > 0) {
        uint32_t send_a = round_of(a_to_b);
        uint32_t send_b = round_of(b_to_a);

        traffic_round(number_a, send_a, number_b, send_b);
        number_a += send_a;
        a_to_b -= send_a;
        number_b += send_b;
        b_to_a -= send_b;
    }
}

/* What comes until the line has been quiet for a while. */
static struct side_answer drain(struct side *side)
{
    struct side_order all = order_traffic(side == &bench.a ? B : A, 0, SIDE_RECEIVE_ALL);

    all.timeout_ms = 100;
    return side_do(side, &all);
}

/* --- tests
 * --------------------------------------------------------------------------------------*/

static void what_it_says_of_itself_is_sane(void **state)
{
    struct side_answer answer;

    (void)state;
    open_both();
    answer = do_simple(&bench.a, SIDE_QUERY);
    assert_in_range(answer.caps.mtu_bytes, 1200, 65535);
    assert_in_range(answer.caps.burst_max, 1, LINK_BURST_MAX);
    assert_int_equal(answer.stats.tx_frames, 0);
    assert_int_equal(answer.stats.rx_frames, 0);
    assert_int_equal(answer.stats.rx_missed, 0);
    assert_int_equal(answer.stats.up_events, 1);
    assert_int_equal(answer.stats.down_events, 0);
}

static void frames_arrive_whole_and_in_order_both_ways(void **state)
{
    struct link_stats stats;

    (void)state;
    open_both();
    traffic(3000, 2000);
    stats = do_simple(&bench.a, SIDE_QUERY).stats;
    assert_int_equal(stats.tx_frames, 3000);
    assert_int_equal(stats.rx_frames, 2000);
    assert_int_equal(stats.tx_dropped, 0);
    assert_int_equal(stats.rx_rejected, 0);
    stats = do_simple(&bench.b, SIDE_QUERY).stats;
    assert_int_equal(stats.rx_frames, 3000);
    assert_true(stats.rx_bytes >= 3000 * 4);
}

static void a_received_frame_can_be_sent_on(void **state)
{
    struct side_order out = order_traffic(B, 100, 100);
    struct side_order echo = order(SIDE_ECHO);

    (void)state;
    open_both();
    echo.peer = A;
    echo.receive_count = 100;
    sides_do(&bench.a, &out, &bench.b, &echo);
    assert_int_equal(bench.b.answer.sent, 100);
    received_whole(&bench.a, 0, 100);
}

/* Never by time: a frame that came while the side fell asleep has woken it. */
static void a_sleeping_side_wakes_for_every_frame(void **state)
{
    struct side_order ping = order(SIDE_PING);
    struct side_order pong = order(SIDE_PONG);
    uint16_t queues = bench.queues > 1 ? bench.queues : 1;

    (void)state;
    open_both();
    traffic(1, 1);
    for (uint16_t i = 0; i < 2 * queues; i++) {
        struct side *sleeper = i % 2 == 0 ? &bench.b : &bench.a;
        struct side *caller = i % 2 == 0 ? &bench.a : &bench.b;

        ping.queue = pong.queue = i / 2;

        ping.peer = i % 2 == 0 ? B : A;
        ping.send_count = PINGS;
        pong.peer = i % 2 == 0 ? A : B;
        pong.receive_count = PINGS;
        ping.timeout_ms = pong.timeout_ms = 30000;
        sides_do(caller, &ping, sleeper, &pong);
        received_whole(caller, 0, PINGS);
        assert_in_range(sleeper->answer.slept, PINGS / 10, PINGS * 100);
        assert_int_equal(sleeper->answer.overslept, 0);
    }
    traffic(100, 100);
}

static void a_full_burst_is_taken_at_once(void **state)
{
    struct side_order burst = order_traffic(B, LINK_BURST_MAX, 0);
    struct side_order receive = order_traffic(A, 0, LINK_BURST_MAX);

    (void)state;
    open_both();
    traffic(1, 1);
    burst.length = 64;
    sides_do(&bench.a, &burst, &bench.b, &receive);
    assert_int_equal(bench.a.answer.taken_first, LINK_BURST_MAX);
    received_whole(&bench.b, 0, LINK_BURST_MAX);
}

static void the_largest_frame_arrives(void **state)
{
    uint32_t mtu_bytes;
    struct side_order send = order_traffic(B, 40, 0);
    struct side_order receive = order_traffic(A, 0, 40);

    (void)state;
    open_both();
    mtu_bytes = do_simple(&bench.a, SIDE_QUERY).caps.mtu_bytes;
    send.length = mtu_bytes;
    sides_do(&bench.a, &send, &bench.b, &receive);
    received_whole(&bench.b, 0, 40);
    assert_int_equal(do_simple(&bench.b, SIDE_QUERY).stats.rx_bytes, 40ull * mtu_bytes);
}

static void a_frame_too_large_is_not_taken(void **state)
{
    struct side_order send = order(SIDE_SEND_TOO_LARGE);

    (void)state;
    open_both();
    send.peer = B;
    assert_int_equal(side_do(&bench.a, &send).taken_first, 0);
    assert_int_equal(do_simple(&bench.a, SIDE_QUERY).stats.tx_frames, 0);
    assert_int_equal(drain(&bench.b).received, 0);
    traffic(10, 10);
}

static void traffic_with_tails(uint32_t number, uint32_t count)
{
    struct side_order send = order_traffic(B, 0, 0);
    struct side_order receive = order_traffic(A, 0, 0);

    send.tails = true;
    while (count > 0) {
        send.number = number;
        send.send_count = round_of(count);
        receive.receive_count = send.send_count;
        sides_do(&bench.a, &send, &bench.b, &receive);
        assert_int_equal(bench.a.answer.sent, send.send_count);
        received_whole(&bench.b, number, send.send_count);
        number += send.send_count;
        count -= send.send_count;
    }
}

static void frames_with_tails_arrive_whole(void **state)
{
    uint32_t free_a;
    uint64_t bytes;

    (void)state;
    open_both();
    traffic(1, 1);
    free_a = frames_free(&bench.a);
    traffic_with_tails(100, 3000);
    bytes = do_simple(&bench.b, SIDE_QUERY).stats.rx_bytes;
    assert_int_equal(do_simple(&bench.a, SIDE_QUERY).stats.tx_frames, 3001);
    assert_true(bytes > 3000 * 4);
    assert_int_equal(do_simple(&bench.a, SIDE_QUERY).stats.tx_bytes, bytes);
    assert_int_equal(frames_free(&bench.a), free_a);
}

static void a_received_frame_can_be_sent_on_with_a_tail(void **state)
{
    struct side_order out = order_traffic(B, 100, 100);
    struct side_order echo = order(SIDE_ECHO);

    (void)state;
    open_both();
    echo.peer = A;
    echo.receive_count = 100;
    echo.tails = true;
    sides_do(&bench.a, &out, &bench.b, &echo);
    assert_int_equal(bench.b.answer.sent, 100);
    received_whole(&bench.a, 0, 100);
}

static void a_tail_that_makes_a_frame_too_large_is_not_taken(void **state)
{
    struct side_order send = order(SIDE_SEND_TOO_LARGE);
    static const uint32_t lengths[] = {0, 1, 500};

    (void)state;
    open_both();
    send.peer = B;
    send.tails = true;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        send.length = lengths[i];
        assert_int_equal(side_do(&bench.a, &send).taken_first, 0);
    }
    assert_int_equal(do_simple(&bench.a, SIDE_QUERY).stats.tx_frames, 0);
    assert_int_equal(drain(&bench.b).received, 0);
    traffic(10, 10);
}

static void frames_to_nobody_are_dropped_and_the_others_arrive(void **state)
{
    struct side_order send = order_traffic(B, 20, 0);

    (void)state;
    open_both();
    traffic(1, 1);
    send.mixed = true;
    send.number = 70;
    do_ok(&bench.a, &send);
    bench.b.answer = drain(&bench.b);
    bench.b.answer.timed_out = false;
    received_whole(&bench.b, 70, 20 - side_to_nobody(20));
    assert_int_equal(do_simple(&bench.a, SIDE_QUERY).stats.tx_dropped, side_to_nobody(20));
}

static void frames_from_a_stranger_are_rejected(void **state)
{
    uint32_t free_b;
    struct side_order remove = order(SIDE_PEER_REMOVE);
    struct side_order send = order_traffic(B, 5, 0);

    (void)state;
    open_both();
    traffic(1, 1);
    free_b = frames_free(&bench.b);
    remove.peer = A;
    (void)side_do(&bench.b, &remove);
    do_ok(&bench.a, &send);
    assert_int_equal(drain(&bench.b).received, 0);
    assert_int_equal(do_simple(&bench.b, SIDE_QUERY).stats.rx_rejected,
                     bench.driver->connected ? 0 : 5);
    assert_int_equal(frames_free(&bench.b), free_b);
    if (bench.driver->connected) {
        wait_for(&bench.a, false);
    }
    peer_add(&bench.b);
    wait_for(&bench.b, true);
    wait_for(&bench.a, true);
    traffic(10, 10);
}

static void garbage_is_rejected_and_does_no_harm(void **state)
{
    struct side_order garbage = order(SIDE_GARBAGE);
    uint32_t rejected = 0;

    (void)state;
    open_both();
    traffic(1, 1);
    for (uint32_t kind = 0; kind < bench.driver->garbage_count; kind++) {
        garbage.kind = kind;
        do_ok(&bench.a, &garbage);
        if (drain(&bench.b).received != 0) {
            fail_msg("garbage of kind %u was taken for a frame", kind);
        }
        rejected += bench.driver->garbage_unseen == NULL || !bench.driver->garbage_unseen(kind);
        assert_int_equal(do_simple(&bench.b, SIDE_QUERY).stats.rx_rejected, rejected);
    }
    traffic(100, 100);
}

static void peers_are_checked(void **state)
{
    struct side_order add = order(SIDE_PEER_ADD);

    (void)state;
    open_both();
    add.peer = A;
    assert_int_equal(side_do(&bench.a, &add).status, SF_BADARG);
    add.peer = LINK_PEER_UNKNOWN;
    assert_int_equal(side_do(&bench.a, &add).status, SF_BADARG);
    add.peer = B;
    assert_int_equal(side_do(&bench.a, &add).status, SF_EXISTS);
    add.peer = 3;
    assert_int_equal(side_do(&bench.a, &add).status,
                     do_simple(&bench.a, SIDE_QUERY).caps.many_peers ? SF_OK : SF_LIMIT);
    traffic(10, 10);
}

/* Sends until the queue is full, receives all of it. */
static void fill_and_empty(bool mixed, bool tails)
{
    struct side_order flood = order(SIDE_FLOOD);
    struct side_order receive = order_traffic(A, 0, 0);
    uint64_t dropped = do_simple(&bench.a, SIDE_QUERY).stats.tx_dropped;
    uint32_t sent, to_nobody;

    flood.peer = B;
    flood.send_count = 100000;
    flood.length = 200;
    flood.mixed = mixed;
    flood.tails = tails;
    sent = side_do(&bench.a, &flood).sent;
    assert_in_range(sent, LINK_BURST_MAX, 99999);
    to_nobody = mixed ? side_to_nobody(sent) : 0;
    assert_int_equal(do_simple(&bench.a, SIDE_QUERY).stats.tx_dropped, dropped + to_nobody);
    receive.receive_count = sent - to_nobody;
    (void)side_do(&bench.b, &receive);
    received_whole(&bench.b, 0, sent - to_nobody);
    assert_int_equal(drain(&bench.b).received, 0);
}

static void a_full_queue_says_so_and_keeps_what_it_took(void **state)
{
    (void)state;
    open_both();
    traffic(1, 1);
    for (int i = 0; i < 3; i++) {
        fill_and_empty(false, false);
        traffic(33, 500);
        fill_and_empty(true, false);
        fill_and_empty(true, true);
    }
}

/* Where there is no flow control: what is lost is the newest, and counted. */
static void a_flood_is_lost_in_part_and_does_no_harm(void **state)
{
    struct side_order flood = order(SIDE_FLOOD);
    struct side_answer answer;
    uint64_t missed;
    uint32_t sent;

    (void)state;
    open_both();
    traffic(1, 1);
    flood.peer = B;
    flood.send_count = 5000;
    flood.length = 200;
    for (int i = 0; i < 3; i++) {
        missed = do_simple(&bench.b, SIDE_QUERY).stats.rx_missed;
        sent = side_do(&bench.a, &flood).sent;
        assert_int_equal(sent, 5000);
        answer = drain(&bench.b);
        assert_in_range(answer.received, ROUND_FRAMES_MAX, sent);
        missed = do_simple(&bench.b, SIDE_QUERY).stats.rx_missed - missed;
        if (bench.driver->counts_missed) {
            assert_int_equal(answer.received + missed, sent);
        }
        assert_int_equal(answer.damage_count, 0);
        if (bench.queues <= 1 || !bench.driver->queues_spill) {
            assert_int_equal(answer.number_first, 0);
            assert_int_equal(answer.disorder_count, 0);
        }
        traffic(33, 500);
    }
}

static void no_frames_left_is_an_answer(void **state)
{
    struct side_order send = order_traffic(B, 20, 0);
    struct side_order receive = order_traffic(A, 0, 20);

    (void)state;
    open_both();
    traffic(1, 1);
    assert_in_range(do_simple(&bench.b, SIDE_HOLD).held, LINK_BURST_MAX, SIDE_HELD_MAX - 1);
    send.length = 50;
    do_ok(&bench.a, &send);
    assert_int_equal(drain(&bench.b).received, 0);
    (void)do_simple(&bench.b, SIDE_RELEASE);
    (void)side_do(&bench.b, &receive);
    received_whole(&bench.b, 0, 20);
}

static void no_frame_leaks(void **state)
{
    uint32_t free_a, free_b;
    struct side_order send = order_traffic(B, 100, 0);

    (void)state;
    open_both();
    free_a = frames_free(&bench.a);
    free_b = frames_free(&bench.b);
    traffic(5000, 5000);
    send.mixed = true;
    do_ok(&bench.a, &send);
    (void)drain(&bench.b);
    assert_frames_free(&bench.a, free_a);
    assert_frames_free(&bench.b, free_b);
}

/* leaver goes and comes back; stayer sees it, loses what it sends meanwhile, and goes on. */
static void leave_and_return(struct side *leaver, struct side *stayer)
{
    struct side_order lost = order_traffic(stayer == &bench.a ? B : A, 10, 0);
    struct link_stats before, after;
    uint64_t dropped;

    before = do_simple(stayer, SIDE_QUERY).stats;
    close_side(leaver);
    if (!bench.driver->blind) {
        wait_for(stayer, false);
    }
    dropped = do_simple(stayer, SIDE_QUERY).stats.tx_dropped;
    do_ok(stayer, &lost);
    dropped += bench.driver->blind ? 0 : 10;
    assert_int_equal(do_simple(stayer, SIDE_QUERY).stats.tx_dropped, dropped);
    open_side(leaver);
    wait_for(stayer, true);
    wait_for(leaver, true);
    after = do_simple(stayer, SIDE_QUERY).stats;
    assert_int_equal(after.down_events, before.down_events + !bench.driver->blind);
    assert_int_equal(after.up_events, before.up_events + !bench.driver->blind);
    assert_int_equal(do_simple(leaver, SIDE_QUERY).stats.up_events, 1);
    traffic(300, 300);
}

static void the_link_goes_down_and_comes_up_with_the_other_side(void **state)
{
    (void)state;
    open_both();
    traffic(10, 10);
    for (int i = 0; i < 3; i++) {
        leave_and_return(&bench.b, &bench.a);
        leave_and_return(&bench.a, &bench.b);
    }
}

static void crash_and_return(struct side *victim, struct side *stayer)
{
    side_kill(victim);
    if (!bench.driver->blind) {
        wait_for(stayer, false);
    }
    side_init(victim, bench.driver, victim == &bench.a ? A : B, bench.nobody);
    open_side(victim);
    wait_for(stayer, true);
    wait_for(victim, true);
    traffic(300, 300);
}

static void a_crashed_side_can_come_back(void **state)
{
    (void)state;
    open_both();
    traffic(10, 10);
    crash_and_return(&bench.b, &bench.a);
    crash_and_return(&bench.a, &bench.b);
}

static void closing_with_frames_in_flight_is_clean(void **state)
{
    struct side_order flood = order(SIDE_FLOOD);
    uint32_t free_a, free_b;
    struct side_answer answer;

    (void)state;
    open_both();
    traffic(1, 1);
    free_a = frames_free(&bench.a);
    free_b = frames_free(&bench.b);
    flood.peer = B;
    flood.send_count = 50;
    flood.length = 300;
    (void)side_do(&bench.a, &flood);
    flood.peer = A;
    (void)side_do(&bench.b, &flood);

    (void)do_simple(&bench.a, SIDE_CLOSE);
    flood.peer = B;
    assert_int_equal(side_do(&bench.a, &flood).sent, 0);
    assert_int_equal(drain(&bench.a).received, 0);
    (void)do_simple(&bench.a, SIDE_STOP);
    assert_int_equal(frames_free(&bench.a), free_a);
    (void)do_simple(&bench.a, SIDE_FINI);

    answer = drain(&bench.b);
    assert_in_range(answer.received, 0, 50);
    assert_int_equal(answer.damage_count, 0);
    if (!bench.driver->blind) {
        wait_for(&bench.b, false);
    }
    assert_int_equal(frames_free(&bench.b), free_b);
    close_side(&bench.b);
    open_both();
    traffic(100, 100);
}

static void a_failed_open_says_why_and_leaves_nothing(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < bench.driver->fault_count; i++) {
        const struct link_conformance_fault *fault = &bench.driver->faults[i];
        struct side_order open = order_open(&bench.a);
        struct side_answer answer;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(open.device, sizeof(open.device), fault->device, bench.folder);
#pragma GCC diagnostic pop
        open.mtu_bytes = fault->mtu_bytes;
        answer = side_do(&bench.a, &open);
        if (answer.status == SF_OK || answer.text[0] == '\0') {
            fail_msg("%s: open answered %s and said \"%s\"", fault->what,
                     sf_status_name(answer.status), answer.text);
        }
        (void)do_simple(&bench.a, SIDE_FINI);
    }
    open_both();
    traffic(10, 10);
}

/* Both at the same moment: neither waits for the other. */
static void it_links_within_5_s_in_10_of_10_starts(void **state)
{
    (void)state;
    for (int i = 0; i < STARTS; i++) {
        open_both();
        traffic(5, 5);
        side_fini(&bench.a);
        side_fini(&bench.b);
        side_board_clear();
        side_init(&bench.a, bench.driver, A, bench.nobody);
        side_init(&bench.b, bench.driver, B, bench.nobody);
    }
}

/* --- of several queues
 * --------------------------------------------------------------------------*/

static struct side_order order_queues(uint16_t peer, uint32_t number, uint32_t count)
{
    struct side_order queues = order(SIDE_QUEUES);

    queues.peer = peer;
    queues.number = number;
    queues.send_count = count;
    queues.receive_count = count * bench.queues;
    queues.timeout_ms = 10000;
    return queues;
}

static void queues_received(const struct side *side, uint32_t count)
{
    assert_int_equal(side->answer.received, count * bench.queues);
    assert_int_equal(side->answer.damage_count, 0);
    assert_int_equal(side->answer.disorder_count, 0);
    assert_int_equal(side->answer.stranger_count, 0);
    for (uint16_t i = 0; i < bench.queues && bench.driver->queues_join; i++) {
        assert_int_equal(side->answer.queue_received[i], count);
    }
}

static void queues_traffic(uint32_t rounds)
{
    uint32_t count = bench.driver->lossy ? ROUND_FRAMES_MAX / bench.queues : 2000;

    for (uint32_t i = 0; i < rounds; i++) {
        struct side_order order_a = order_queues(B, i * count, count);
        struct side_order order_b = order_queues(A, i * count, count);

        sides_do(&bench.a, &order_a, &bench.b, &order_b);
        queues_received(&bench.a, count);
        queues_received(&bench.b, count);
    }
}

static void each_queue_can_have_a_thread(void **state)
{
    struct side_answer answer;

    (void)state;
    open_both();
    answer = do_simple(&bench.a, SIDE_QUERY);
    assert_true(answer.caps.shared);
    assert_int_equal(answer.caps.queues, bench.queues);
    queues_traffic(10);
    answer = do_simple(&bench.a, SIDE_QUERY);
    assert_int_equal(answer.stats.tx_frames, answer.stats.rx_frames);
    assert_true(answer.stats.rx_frames >= 10u * bench.queues);
}

/* Also what the other side sees of it, while its threads go on. */
static void a_link_is_stopped_while_its_queues_are_used(void **state)
{
    (void)state;
    open_both();
    for (uint32_t i = 0; i < 6; i++) {
        struct side *stops = i % 2 == 0 ? &bench.a : &bench.b;
        struct side *stays = i % 2 == 0 ? &bench.b : &bench.a;
        struct side_order cut = order_queues(i % 2 == 0 ? B : A, 0, 0);
        struct side_order goes_on = order_queues(i % 2 == 0 ? A : B, 0, 1000000);

        cut.cut = true;
        goes_on.timeout_ms = 120;
        cut.length = goes_on.length = 300;
        sides_do(stops, &cut, stays, &goes_on);
        assert_int_equal(stops->answer.damage_count + stays->answer.damage_count, 0);
        assert_int_equal(stops->answer.stranger_count + stays->answer.stranger_count, 0);
        (void)do_simple(stops, SIDE_FINI);
        if (!bench.driver->blind) {
            wait_for(stays, false);
        }
        open_side(stops);
        wait_for(stops, true);
        wait_for(stays, true);
        (void)drain(stays);
        (void)drain(stops);
        queues_traffic(1);
    }
}

/* One that would have a queue without a ring must not come up. */
static void sides_that_differ_do_not_meet(void **state)
{
    struct side_order open_a = order_open(&bench.a);
    struct side_order open_b = order_open(&bench.b);

    (void)state;
    for (int i = 0; i < 2; i++) {
        open_a.queues = (uint16_t)(bench.queues - i);
        open_b.queues = (uint16_t)(bench.queues - 1 + i);
        do_ok(&bench.a, &open_a);
        do_ok(&bench.b, &open_b);
        peer_add(&bench.a);
        peer_add(&bench.b);
        for (int wait = 0; wait < 300; wait++) {
            struct side_order look = order(SIDE_WAIT);

            assert_false(side_do(&bench.a, &look).up && side_do(&bench.b, &look).up);
            (void)usleep(1000);
        }
        close_side(&bench.a);
        close_side(&bench.b);
    }
    open_both();
    queues_traffic(1);
}

/* --- running them
 * -------------------------------------------------------------------------------*/

static int sides_make(void **state)
{
    (void)state;
    side_board_clear();
    side_init(&bench.a, bench.driver, A, bench.nobody);
    side_init(&bench.b, bench.driver, B, bench.nobody);
    return 0;
}

static int sides_end(void **state)
{
    char path[96];

    (void)state;
    side_fini(&bench.a);
    side_fini(&bench.b);
    (void)snprintf(path, sizeof(path), "%s/link.sock", bench.folder);
    (void)unlink(path);
    return 0;
}

enum needs {
    PROCESSES = 1,    /* of the sides */
    FLOW_CONTROL = 2, /* the driver is not lossy */
    LOSSY = 4,
    WAIT = 8, /* the driver has wait_fd, and the sides are processes */
    QUEUES = 16,
    JOINED = 32, /* queues are joined one to one */
};

struct test {
    struct CMUnitTest unit;
    unsigned needs;
};

#define CASE(f, needs)                                                                             \
    {                                                                                              \
        cmocka_unit_test_setup_teardown(f, sides_make, sides_end), (needs)                         \
    }

static const struct test tests[] = {
    CASE(what_it_says_of_itself_is_sane, 0),
    CASE(frames_arrive_whole_and_in_order_both_ways, 0),
    CASE(a_received_frame_can_be_sent_on, 0),
    CASE(a_sleeping_side_wakes_for_every_frame, WAIT),
    CASE(a_full_burst_is_taken_at_once, 0),
    CASE(the_largest_frame_arrives, 0),
    CASE(a_frame_too_large_is_not_taken, 0),
    CASE(frames_with_tails_arrive_whole, 0),
    CASE(a_received_frame_can_be_sent_on_with_a_tail, 0),
    CASE(a_tail_that_makes_a_frame_too_large_is_not_taken, 0),
    CASE(frames_to_nobody_are_dropped_and_the_others_arrive, 0),
    CASE(frames_from_a_stranger_are_rejected, 0),
    CASE(garbage_is_rejected_and_does_no_harm, 0),
    CASE(peers_are_checked, 0),
    CASE(a_full_queue_says_so_and_keeps_what_it_took, FLOW_CONTROL),
    CASE(a_flood_is_lost_in_part_and_does_no_harm, LOSSY),
    CASE(no_frames_left_is_an_answer, 0),
    CASE(no_frame_leaks, 0),
    CASE(the_link_goes_down_and_comes_up_with_the_other_side, 0),
    CASE(closing_with_frames_in_flight_is_clean, 0),
    CASE(a_failed_open_says_why_and_leaves_nothing, 0),
    CASE(a_crashed_side_can_come_back, PROCESSES),
    CASE(it_links_within_5_s_in_10_of_10_starts, PROCESSES),
    CASE(each_queue_can_have_a_thread, QUEUES),
    CASE(a_link_is_stopped_while_its_queues_are_used, QUEUES),
    CASE(sides_that_differ_do_not_meet, QUEUES | JOINED),
};
#define TESTS (sizeof(tests) / sizeof(tests[0]))

/* Fills out_units with the tests that make sense for the driver. */
static size_t tests_choose(const struct link_conformance *driver, struct CMUnitTest *out_units)
{
    unsigned has = (driver->processes ? PROCESSES : 0) | (driver->lossy ? LOSSY : FLOW_CONTROL);
    const struct link_ops *ops = driver->ops != NULL ? driver->ops : link_driver_find(driver->name);
    size_t count = 0;

    if (ops != NULL && ops->wait_fd != NULL && driver->processes) {
        has |= WAIT;
    }
    has |= bench.queues > 1 ? QUEUES : 0;
    has |= driver->queues_join ? JOINED : 0;
    for (size_t i = 0; i < TESTS; i++) {
        if ((tests[i].needs & ~has) == 0) {
            out_units[count++] = tests[i].unit;
        }
    }
    return count;
}

/* Answers 0 to go on, or -1 with *out_code: the program's exit code. */
static int options_read(int argc, char **argv, int *out_code)
{
    *out_code = 2;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--queues") == 0 && i + 1 < argc) {
            bench.queues = (uint16_t)atoi(argv[++i]);
            continue;
        }
        if (strcmp(argv[i], "--serve") == 0 && bench.driver->processes) {
            *out_code = remote_serve(bench.driver);
            return -1;
        }
        if (strcmp(argv[i], "--other") == 0 && i + 1 < argc && bench.driver->processes) {
            if (!remote_begin(argv[++i])) {
                (void)printf("Bail out! the other machine does not answer\n");
                return -1;
            }
            continue;
        }
        if (strcmp(argv[i], "--as-nobody") != 0) {
            (void)fprintf(stderr,
                          "usage: %s [--as-nobody] [--queues N] [--serve | --other ADDRESS]\n",
                          argv[0]);
            return -1;
        }
        if (geteuid() != 0) {
            (void)printf("1..0 # SKIP becoming another user needs root\n");
            *out_code = 0;
            return -1;
        }
        bench.nobody = true;
    }
    return 0;
}

int link_conformance_run(const struct link_conformance *driver, int argc, char **argv)
{
    struct CMUnitTest units[TESTS];
    const char *skip_text;
    int result;
    size_t count;

    bench.driver = driver;
    if (!side_board_make()) {
        return 1;
    }
    if (options_read(argc, argv, &result) != 0) {
        return result;
    }
    count = tests_choose(driver, units);
    skip_text = driver->begin != NULL ? driver->begin() : NULL;
    if (skip_text != NULL) {
        (void)printf("1..0 # SKIP %s\n", skip_text);
        return 0;
    }
    (void)snprintf(bench.folder, sizeof(bench.folder), "/tmp/sipfabric-link-XXXXXX");
    if (mkdtemp(bench.folder) == NULL || (bench.nobody && chown(bench.folder, 65534, 65534) != 0)) {
        perror(bench.folder);
        return 1;
    }
    result = _cmocka_run_group_tests(driver->name, units, count, NULL, NULL);
    if (rmdir(bench.folder) != 0) {
        perror(bench.folder);
        result = 1;
    }
    return result;
}
