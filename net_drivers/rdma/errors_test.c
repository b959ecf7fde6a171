/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the driver does when things fail under traffic, on fake devices (fake.h).
 *
 * Model: three links of this process, nodes 1 to 3, each with the two others as peers. Everybody
 * sends numbered frames to everybody. Endpoints travel a few turns late, in order. What must hold
 * all the time: no frame is damaged, comes twice or out of order. After an error: the link says
 * down, or is up again by itself; then every frame arrives; no frame memory has been lost.
 * --cm: queue pairs are joined by rdma_cm; --iwarp: on iWARP.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"
#include "port.h"

#define NODES 3u
#define TURNS_MAX 60000u /* more than FAKE_RETRY_NS */
#define DELAY_TURNS 5u
#define NOTES 64u

/* One direction between two nodes. */
struct flow {
    uint32_t sent, received; /* number of the next one */
    uint32_t lost;
    struct link_endpoint told, notes[NOTES]; /* endpoints on their way */
    uint64_t note_turns[NOTES];
    uint32_t note_head, note_tail;
};

static bool by_cm, iwarp; /* how this program was called */

static struct {
    struct link links[NODES];
    bool open[NODES];
    struct flow flows[NODES][NODES]; /* from, to */
    uint64_t turn;
    uint32_t free[NODES];
    bool send;
} bench;

/* --- what the tests are made of ------------------------------------------------------------------
 */

static void node_open(uint32_t i)
{
    char device[16];
    struct link_config config = {
        .name = "rdma",
        .device = device,
        .node_id = (uint16_t)(i + 1),
        .ipv4 = FAKE_ADDRESS + i,
        .mtu_bytes = 1500,
        .cm = by_cm,
    };
    const char *text = "";

    (void)snprintf(device, sizeof(device), "fake%u", i);
    bench.links[i] = (struct link){.ops = link_driver_find("rdma")};
    assert_int_equal(rdma__open(&bench.links[i], &config, &fake__verbs, &text), SF_OK);
    for (uint32_t k = 0; k < NODES; k++) {
        struct link_peer peer = {.node_id = (uint16_t)(k + 1)};

        if (k != i) {
            struct flow *told = &bench.flows[i][k];

            memset(&told->told, 0, sizeof(told->told));
            assert_int_equal(bench.links[i].ops->peer_add(&bench.links[i], &peer), SF_OK);
        }
    }
    bench.open[i] = true;
}

static void node_close(uint32_t i)
{
    const struct link_ops *ops = bench.links[i].ops;

    ops->close(&bench.links[i]);
    ops->stop(&bench.links[i]);
    ops->fini(&bench.links[i]);
    bench.open[i] = false;
}

static void note_turn(uint32_t from, uint32_t to)
{
    struct flow *flow = &bench.flows[from][to];
    struct link_endpoint now;

    if (bench.open[from] &&
        bench.links[from].ops->endpoint_get(&bench.links[from], (uint16_t)(to + 1), &now) ==
            SF_OK &&
        memcmp(&now, &flow->told, sizeof(now)) != 0) {
        assert_in_range(flow->note_head - flow->note_tail, 0, NOTES - 1);
        flow->told = now;
        flow->note_turns[flow->note_head % NOTES] = bench.turn + DELAY_TURNS;
        flow->notes[flow->note_head++ % NOTES] = now;
    }
    if (flow->note_tail != flow->note_head &&
        flow->note_turns[flow->note_tail % NOTES] <= bench.turn && bench.open[to]) {
        const struct link_endpoint *its = &flow->notes[flow->note_tail++ % NOTES];

        assert_int_equal(
            bench.links[to].ops->endpoint_set(&bench.links[to], (uint16_t)(from + 1), its), SF_OK);
    }
}

static void frame_send(uint32_t from, uint32_t to)
{
    struct link *link = &bench.links[from];
    struct flow *flow = &bench.flows[from][to];
    struct link_frame frame;
    uint64_t dropped;

    if (link->ops->frame_alloc(link, &frame, 1) == 0) {
        return;
    }
    frame.length = 8 + flow->sent * 37 % 1400;
    memset(frame.data, (int)(flow->sent & 0xff), frame.length);
    memcpy(frame.data, &flow->sent, sizeof(flow->sent));
    frame.peer = (uint16_t)(to + 1);
    dropped = ((struct rdma_port *)link->impl)->stats.tx_dropped;
    if (link->ops->tx_burst(link, 0, &frame, 1) == 1) {
        /* A frame that was dropped was never on its way: its number goes to the next one. */
        flow->sent += dropped == ((struct rdma_port *)link->impl)->stats.tx_dropped;
    } else {
        link->ops->frame_free(link, &frame, 1);
    }
}

static void frame_check(const struct link_frame *frame, uint32_t to)
{
    struct flow *flow;
    uint32_t number;

    assert_in_range(frame->peer, 1, NODES);
    flow = &bench.flows[frame->peer - 1][to];
    memcpy(&number, frame->data, sizeof(number));
    assert_true(number >= flow->received); /* else twice, or out of order */
    assert_true(number < flow->sent || number == flow->sent);
    assert_int_equal(frame->length, 8 + number * 37 % 1400);
    for (uint32_t i = sizeof(number); i < frame->length; i++) {
        assert_int_equal(frame->data[i], number & 0xff);
    }
    flow->lost += number - flow->received;
    flow->received = number + 1;
}

static void frames_receive(uint32_t to)
{
    struct link *link = &bench.links[to];
    struct link_frame frames[LINK_BURST_MAX];
    uint16_t count = link->ops->rx_burst(link, 0, frames, LINK_BURST_MAX);

    for (uint16_t i = 0; i < count; i++) {
        frame_check(&frames[i], to);
    }
    link->ops->frame_free(link, frames, count);
}

static void turn(void)
{
    bench.turn++;
    for (uint32_t i = 0; i < NODES; i++) {
        for (uint32_t k = 0; k < NODES; k++) {
            if (i != k) {
                note_turn(i, k);
                if (bench.send && bench.open[i]) {
                    frame_send(i, k);
                }
            }
        }
        if (bench.open[i]) {
            (void)bench.links[i].ops->is_up(&bench.links[i]);
            frames_receive(i);
        }
    }
    assert_null(fake_misuse());
}

static struct rdma_peer *peer_of(uint32_t at, uint32_t to)
{
    return rdma__peer_find(bench.links[at].impl, (uint16_t)(to + 1));
}

static bool pair_up(uint32_t i, uint32_t k)
{
    return peer_of(i, k)->state == RDMA_PEER_UP && peer_of(k, i)->state == RDMA_PEER_UP;
}

static void wait_pair(uint32_t i, uint32_t k, bool up)
{
    uint32_t turns = 0;

    while (pair_up(i, k) != up) {
        turn();
        assert_in_range(turns++, 0, TURNS_MAX);
    }
}

static void wait_all_up(void)
{
    wait_pair(0, 1, true);
    wait_pair(0, 2, true);
    wait_pair(1, 2, true);
}

static uint64_t lost(void)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < NODES * NODES; i++) {
        sum += bench.flows[i / NODES][i % NODES].lost;
    }
    return sum;
}

/* Nothing is on its way any more, and what is lent is what was lent in the beginning. */
static void quiet(void)
{
    bench.send = false;
    for (uint32_t i = 0; i < 3000; i++) {
        turn();
    }
    for (uint32_t i = 0; i < NODES; i++) {
        const struct rdma_port *port = bench.links[i].impl;

        if (bench.open[i]) {
            assert_int_equal(port->pool.free_count - port->pool.reserved, bench.free[i]);
        }
    }
}

/* All pairs are up; frames flow everywhere and none is lost. */
static void all_is_well(void)
{
    uint64_t before;
    uint32_t sent;

    wait_all_up();
    quiet();
    /* What was under way when the errors came is not waited for. */
    for (uint32_t i = 0; i < NODES * NODES; i++) {
        struct flow *flow = &bench.flows[i / NODES][i % NODES];

        flow->received = flow->sent;
    }
    before = lost();
    sent = bench.flows[0][1].sent;
    bench.send = true;
    for (uint32_t i = 0; i < 400; i++) {
        turn();
    }
    quiet();
    assert_int_equal(lost(), before);
    assert_in_range(bench.flows[0][1].sent - sent, 390, 400);
    for (uint32_t i = 0; i < NODES * NODES; i++) {
        assert_int_equal(bench.flows[i / NODES][i % NODES].received,
                         bench.flows[i / NODES][i % NODES].sent);
    }
}

static int begin(void **state)
{
    (void)state;
    memset(&bench, 0, sizeof(bench));
    fake_reset();
    if (iwarp) {
        fake_iwarp();
    }
    for (uint32_t i = 0; i < NODES; i++) {
        node_open(i);
    }
    wait_all_up();
    for (uint32_t i = 0; i < NODES; i++) {
        const struct rdma_port *port = bench.links[i].impl;

        bench.free[i] = port->pool.free_count - port->pool.reserved;
    }
    bench.send = true;
    for (uint32_t i = 0; i < 50; i++) {
        turn();
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < NODES; i++) {
        if (bench.open[i]) {
            node_close(i);
        }
    }
    return fake_live() == 0 && fake_misuse() == NULL ? 0 : -1;
}

/* --- errors of completions -----------------------------------------------------------------------
 */

/* Number of sends (or receives) that go well before the error. */
static const uint32_t afters[] = {0, 1, 2, 15, 31, 32, 33, 100, 300};
#define AFTERS (sizeof(afters) / sizeof(afters[0]))

static void until_failed(uint32_t device)
{
    bench.send = true;
    for (uint32_t i = 0; !fake_failed(device); i++) {
        turn();
        assert_in_range(i, 0, TURNS_MAX);
    }
}

static void recovers_from(enum ibv_wc_status status, bool receive)
{
    for (size_t i = 0; i < AFTERS; i++) {
        const struct rdma_port *port = bench.links[0].impl;
        uint64_t serials = port->serial_count;

        fake_fail(0, status, receive, afters[i]);
        until_failed(0);
        all_is_well();
        assert_int_equal(port->serial_count, serials + 1); /* one queue pair was made anew */
    }
}

#define SEND_ERROR(name, status)                                                                   \
    static void a_send_that_fails_by_##name##_is_survived(void **state)                            \
    {                                                                                              \
        (void)state;                                                                               \
        recovers_from(status, false);                                                              \
    }
#define RECEIVE_ERROR(name, status)                                                                \
    static void a_receive_that_fails_by_##name##_is_survived(void **state)                         \
    {                                                                                              \
        (void)state;                                                                               \
        recovers_from(status, true);                                                               \
    }

SEND_ERROR(retry_exceeded, IBV_WC_RETRY_EXC_ERR)
SEND_ERROR(rnr_retry_exceeded, IBV_WC_RNR_RETRY_EXC_ERR)
SEND_ERROR(remote_access, IBV_WC_REM_ACCESS_ERR)
SEND_ERROR(remote_invalid_request, IBV_WC_REM_INV_REQ_ERR)
SEND_ERROR(remote_operation, IBV_WC_REM_OP_ERR)
SEND_ERROR(local_protection, IBV_WC_LOC_PROT_ERR)
SEND_ERROR(flush, IBV_WC_WR_FLUSH_ERR)
SEND_ERROR(fatal, IBV_WC_FATAL_ERR)
RECEIVE_ERROR(length, IBV_WC_LOC_LEN_ERR)
RECEIVE_ERROR(protection, IBV_WC_LOC_PROT_ERR)
RECEIVE_ERROR(flush, IBV_WC_WR_FLUSH_ERR)
RECEIVE_ERROR(something_new, (enum ibv_wc_status)99)

static void a_send_that_arrived_and_failed_does_not_arrive_twice(void **state)
{
    (void)state;
    for (size_t i = 0; i < AFTERS; i++) {
        fake_fail_delivered(0, IBV_WC_RETRY_EXC_ERR, afters[i]);
        until_failed(0);
        all_is_well();
    }
}

static void both_ends_fail_at_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < AFTERS; i++) {
        fake_fail(0, IBV_WC_RETRY_EXC_ERR, false, afters[i]);
        fake_fail(1, IBV_WC_REM_ACCESS_ERR, false, afters[AFTERS - 1 - i]);
        until_failed(0);
        until_failed(1);
        all_is_well();
    }
}

static void errors_one_after_the_other_are_survived(void **state)
{
    static const enum ibv_wc_status kinds[] = {IBV_WC_RETRY_EXC_ERR,  IBV_WC_RNR_RETRY_EXC_ERR,
                                               IBV_WC_REM_ACCESS_ERR, IBV_WC_WR_FLUSH_ERR,
                                               IBV_WC_LOC_LEN_ERR,    IBV_WC_GENERAL_ERR};

    (void)state;
    for (uint32_t i = 0; i < 300; i++) {
        uint64_t random = fake__verbs.random64();

        bench.send = true;
        fake_fail((uint32_t)(random % NODES), kinds[random / 8 % 6], random / 64 % 2 == 1,
                  (uint32_t)(random / 128 % 50));
        for (uint32_t k = 0; k < random / 8192 % 200; k++) {
            turn();
        }
    }
    for (uint32_t i = 0; i < NODES; i++) { /* none is left for later */
        fake_fail(i, IBV_WC_GENERAL_ERR, false, 0);
        until_failed(i);
    }
    all_is_well();
}

/* --- errors of calls, devices and peers ----------------------------------------------------------
 */

static void any_call_may_fail_during_traffic(void **state)
{
    (void)state;
    for (uint32_t number = 1; number < 200; number += 3) {
        bench.send = true;
        fake_refuse(number);
        for (uint32_t i = 0; !fake_refused(); i++) {
            turn();
            assert_in_range(i, 0, TURNS_MAX);
        }
        all_is_well();
    }
}

/* What is made anew after an error may fail, too: it is tried again. */
static void making_a_queue_pair_anew_may_fail(void **state)
{
    (void)state;
    for (uint32_t number = 1; number < 15; number++) {
        fake_fail(0, IBV_WC_RETRY_EXC_ERR, false, 0);
        until_failed(0);
        bench.send = false;
        fake_refuse(number);
        for (uint32_t i = 0; i < 1000; i++) {
            turn();
        }
        fake_refuse(0);
        all_is_well();
    }
}

static void events_of_queue_pairs_are_survived(void **state)
{
    static const enum ibv_event_type types[] = {IBV_EVENT_QP_FATAL, IBV_EVENT_QP_REQ_ERR,
                                                IBV_EVENT_QP_ACCESS_ERR};

    (void)state;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        fake_qp_events(0, types[i]);
        bench.send = true;
        wait_pair(0, 1, false);
        all_is_well();
    }
}

static void a_port_that_goes_down_and_up_is_survived(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        struct link_stats stats;

        bench.send = true;
        fake_port(0, false);
        wait_pair(1, 0, false);
        assert_false(bench.links[0].ops->is_up(&bench.links[0]));
        assert_string_equal(bench.links[0].ops->about(&bench.links[0]),
                            "the device's port is down");
        assert_true(bench.links[1].ops->is_up(&bench.links[1])); /* node 3 is there */
        fake_port(0, true);
        all_is_well();
        bench.links[0].ops->stats(&bench.links[0], &stats);
        assert_true(stats.down_events > i);
        assert_int_equal(stats.up_events, stats.down_events + 1);
    }
}

static void a_device_that_goes_is_down_for_good(bool told)
{
    struct rdma_port *port = bench.links[0].impl;
    struct link_frame frame;

    bench.send = true;
    fake_remove(0, told);
    wait_pair(0, 1, false);
    for (uint32_t i = 0; i < TURNS_MAX; i++) {
        turn();
    }
    assert_false(bench.links[0].ops->is_up(&bench.links[0]));
    assert_true(bench.links[1].ops->is_up(&bench.links[1]));
    assert_true(peer_of(1, 0)->state != RDMA_PEER_UP);
    wait_pair(1, 2, true);
    /* All its frames are back, and sending is still allowed. */
    assert_int_equal(port->pool.free_count, port->pool.frame_count);
    assert_int_equal(bench.links[0].ops->frame_alloc(&bench.links[0], &frame, 1), 1);
    frame.peer = 2;
    frame.length = 10;
    assert_int_equal(bench.links[0].ops->tx_burst(&bench.links[0], 0, &frame, 1), 1);
    assert_int_equal(bench.links[0].ops->wait_fd(&bench.links[0], 0, true), LINK_WAIT_BLIND);
}

static void a_removed_device_is_told_and_the_link_is_down(void **state)
{
    (void)state;
    a_device_that_goes_is_down_for_good(true);
    assert_memory_equal(bench.links[0].ops->about(&bench.links[0]), "the device is gone", 18);
}

static void a_removed_device_is_noticed_and_the_link_is_down(void **state)
{
    (void)state;
    a_device_that_goes_is_down_for_good(false);
}

static void a_peer_that_starts_anew_is_joined_again(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        bench.send = true;
        node_close(1);
        for (uint32_t k = 0; k < (i % 2 == 0 ? 10 : TURNS_MAX); k++) {
            turn();
        }
        node_open(1);
        all_is_well();
    }
}

static void two_pairs_do_not_notice_what_happens_to_the_third(void **state)
{
    uint64_t before;

    (void)state;
    fake_fail(0, IBV_WC_RETRY_EXC_ERR, false, 0);
    until_failed(0); /* pair 1-2 or 1-3; which one comes first is the fake's business */
    before = bench.flows[1][2].lost + bench.flows[2][1].lost;
    for (uint32_t i = 0; i < 2000; i++) {
        turn();
        assert_true(pair_up(1, 2));
    }
    assert_int_equal(bench.flows[1][2].lost + bench.flows[2][1].lost, before);
    all_is_well();
}

static bool reaches(uint32_t i, uint32_t k)
{
    return bench.links[i].ops->peer_up(&bench.links[i], (uint16_t)(k + 1));
}

/* Two that have been told of each other's queue pairs are up; whether anything passes is shown only
 * by something that did. */
static void a_peer_is_reached_once_something_has_passed(void **state)
{
    uint32_t turns = 0;

    (void)state;
    quiet();
    assert_true(reaches(0, 1) && reaches(1, 0) && reaches(1, 2));
    fake_fail(0, IBV_WC_RETRY_EXC_ERR, false, 0);
    until_failed(0);
    bench.send = false;
    assert_false(reaches(0, 1) && reaches(0, 2));
    wait_all_up();
    assert_true(by_cm || !(reaches(0, 1) && reaches(0, 2))); /* rdma_cm has let something pass */
    for (; !(reaches(0, 1) && reaches(0, 2)); turns++) {     /* nobody sends: a probe shows it */
        turn();
        assert_in_range(turns, 0, TURNS_MAX);
    }
    fake_port(0, false);
    for (turns = 0; reaches(0, 1) || reaches(0, 2) || reaches(1, 0); turns++) {
        turn();
        assert_in_range(turns, 0, TURNS_MAX);
    }
    assert_true(reaches(1, 2));
    assert_false(bench.links[0].ops->peer_up(&bench.links[0], 999)); /* no peer */
    fake_port(0, true);
    all_is_well();
    assert_true(reaches(0, 1) && reaches(1, 0));
}

/* --- endpoints ----------------------------------------------------------------------------------
 */

static void an_endpoint_that_makes_no_sense_is_refused_and_does_no_harm(void **state)
{
    struct link *link = &bench.links[0];
    struct link_endpoint mine, bad;

    (void)state;
    assert_int_equal(bench.links[1].ops->endpoint_get(&bench.links[1], 1, &mine), SF_OK);
    for (uint32_t i = 0; i < RDMA_ENDPOINT_BYTES; i++) {
        struct rdma_endpoint unused;

        bad = mine;
        bad.bytes[i] ^= 0xff;
        if (rdma__endpoint_decode(&bad, &unused) != SF_OK) {
            assert_int_equal(link->ops->endpoint_set(link, 2, &bad), SF_FORMAT);
        }
    }
    bad = mine;
    bad.bytes[16] ^= 1; /* frames of another size */
    assert_int_equal(link->ops->endpoint_set(link, 2, &bad), SF_BADARG);
    bad = mine;
    bad.bytes[6] ^= 1; /* by GID, or not */
    assert_int_equal(link->ops->endpoint_set(link, 2, &bad), SF_BADARG);
    assert_int_equal(link->ops->endpoint_set(link, 77, &mine), SF_NOTFOUND);
    assert_int_equal(link->ops->endpoint_get(link, 77, &mine), SF_NOTFOUND);
    assert_true(pair_up(0, 1));
    all_is_well();
}

/* A lie costs the liar's pair its frames, until the truth is told. */
static void an_endpoint_that_lies_is_survived(void **state)
{
    struct link *link = &bench.links[0];
    struct link_endpoint truth, lie;

    (void)state;
    for (uint32_t i = 8; i < RDMA_ENDPOINT_BYTES; i++) {
        if (i >= 16 && i < 20) {
            continue; /* the size of frames is checked */
        }
        assert_int_equal(bench.links[1].ops->endpoint_get(&bench.links[1], 1, &truth), SF_OK);
        lie = truth;
        lie.bytes[i] ^= 1;
        (void)link->ops->endpoint_set(link, 2, &lie);
        bench.send = true;
        for (uint32_t k = 0; k < 100; k++) {
            turn();
        }
        (void)link->ops->endpoint_set(link, 2, &truth);
        bench.flows[1][0].told.length = 0; /* and is told again */
        all_is_well();
    }
}

/* --- sleeping -----------------------------------------------------------------------------------
 */

static bool readable(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};

    return poll(&wait, 1, 0) == 1;
}

static void a_frame_wakes_and_a_probe_does_not(void **state)
{
    struct link *sleeper = &bench.links[0];
    struct flow *flow = &bench.flows[1][0];

    (void)state;
    quiet();
    for (uint32_t i = 0; i < 50; i++) {
        uint32_t received = flow->received;
        int fd = sleeper->ops->wait_fd(sleeper, 0, true);

        assert_true(fd >= 0);
        for (uint32_t k = 0; k < 10000 && !iwarp; k++) { /* time for probes, which wake there */
            (void)bench.links[1].ops->is_up(&bench.links[1]);
        }
        assert_false(readable(fd));
        frame_send(1, 0);
        assert_true(readable(fd));
        assert_int_equal(sleeper->ops->wait_fd(sleeper, 0, false), LINK_WAIT_BLIND);
        frames_receive(0);
        assert_int_equal(flow->received, received + 1);
    }
    frame_send(1, 0);
    assert_int_equal(sleeper->ops->wait_fd(sleeper, 0, true), LINK_WAIT_NOT);
    frames_receive(0);
    all_is_well();
}

/* Who sleeps learns of an error when it looks; the peer's frames may fail before. */
static void an_error_wakes(void **state)
{
    struct link *sleeper = &bench.links[0];
    int fd;

    (void)state;
    quiet();
    fd = sleeper->ops->wait_fd(sleeper, 0, true);
    assert_true(fd >= 0);
    fake_fail(0, IBV_WC_LOC_PROT_ERR, true, 0);
    frame_send(1, 0);
    assert_true(readable(fd));
    assert_int_equal(sleeper->ops->wait_fd(sleeper, 0, false), LINK_WAIT_BLIND);
    wait_pair(0, 1, false);
    all_is_well();
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        T(a_send_that_fails_by_retry_exceeded_is_survived),
        T(a_send_that_fails_by_rnr_retry_exceeded_is_survived),
        T(a_send_that_fails_by_remote_access_is_survived),
        T(a_send_that_fails_by_remote_invalid_request_is_survived),
        T(a_send_that_fails_by_remote_operation_is_survived),
        T(a_send_that_fails_by_local_protection_is_survived),
        T(a_send_that_fails_by_flush_is_survived),
        T(a_send_that_fails_by_fatal_is_survived),
        T(a_receive_that_fails_by_length_is_survived),
        T(a_receive_that_fails_by_protection_is_survived),
        T(a_receive_that_fails_by_flush_is_survived),
        T(a_receive_that_fails_by_something_new_is_survived),
        T(a_send_that_arrived_and_failed_does_not_arrive_twice),
        T(both_ends_fail_at_once),
        T(errors_one_after_the_other_are_survived),
        T(any_call_may_fail_during_traffic),
        T(making_a_queue_pair_anew_may_fail),
        T(events_of_queue_pairs_are_survived),
        T(a_port_that_goes_down_and_up_is_survived),
        T(a_removed_device_is_told_and_the_link_is_down),
        T(a_removed_device_is_noticed_and_the_link_is_down),
        T(a_peer_that_starts_anew_is_joined_again),
        T(two_pairs_do_not_notice_what_happens_to_the_third),
        T(a_peer_is_reached_once_something_has_passed),
        T(an_endpoint_that_makes_no_sense_is_refused_and_does_no_harm),
        T(an_endpoint_that_lies_is_survived),
        T(a_frame_wakes_and_a_probe_does_not),
        T(an_error_wakes),
    };

    by_cm = argc > 1 && strcmp(argv[1], "--cm") == 0;
    iwarp = argc > 1 && strcmp(argv[1], "--iwarp") == 0;
    return cmocka_run_group_tests_name("rdma-errors", tests, NULL, NULL);
}
