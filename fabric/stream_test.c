/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream of frames between two nodes while it is full: windows that are used up, frames that
 * are held, blocks that are under way when their channel or their session ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "session.h"
#include "test_net.h"

#define NODES 2u
#include "test_case.h"

#define MS 1000000ull
#define OWNER 1u
#define BLOCK_BYTES 300000u

static struct fab_ep *channel_open(struct fab_ep **out_exp)
{
    struct fab_ep *imp;

    net.nodes[2].opened_last = NULL;
    assert_int_equal(fab_open(fab(1), 2, "work", test_work(), &imp), SF_OK);
    net_run(&net, 50 * MS);
    *out_exp = net.nodes[2].opened_last;
    assert_non_null(*out_exp);
    return imp;
}

static void block_send(struct fab_ep *imp)
{
    struct fab_msg msg = {.tag = WORK_BYTES, .arg_count = 2};

    assert_int_equal(xh_alloc(net.nodes[1].heap, BLOCK_BYTES, OWNER, &msg.args[0].block), SF_OK);
    memset(msg.args[0].block->data, 0x77, BLOCK_BYTES);
    assert_int_equal(fab_ep_send(imp, &msg, OWNER), SF_OK);
}

static void block_expect(struct fab_ep *exp)
{
    struct fab_msg msg;

    assert_int_equal(fab_ep_recv(exp, &msg, OWNER), SF_OK);
    assert_int_equal(msg.args[0].block->bytes, BLOCK_BYTES);
    for (uint32_t i = 0; i < BLOCK_BYTES; i++) {
        assert_int_equal(msg.args[0].block->data[i], 0x77);
    }
    assert_int_equal(xh_free(net.nodes[2].heap, msg.args[0].block, OWNER), SF_OK);
}

static void burst_send(struct fab_ep *imp, uint64_t value)
{
    struct fab_msg msg = {.tag = WORK_BURST, .arg_count = 1, .args = {{.scalar = value}}};

    assert_int_equal(fab_ep_send(imp, &msg, OWNER), SF_OK);
}

static void the_window_bounds_what_is_in_flight(void **state)
{
    struct fab_ep *exp;
    struct fab_ep *imp = channel_open(&exp);
    uint8_t bytes[NET_MTU];
    uint32_t frames = 0;

    (void)state;
    block_send(imp);
    while (fab_tx(fab(1), 2, bytes, sizeof(bytes), net.now_ns) != 0) {
        frames++;
    }
    assert_int_equal(frames, FAB__CONGESTION_WINDOW_FIRST);
    net_run(&net, 200 * MS);
    block_expect(exp);
}

/* Given up with messages unread, while its CLOSE waits for the window: the audit agrees with it. */
static void an_endpoint_closes_while_the_window_is_full(void **state)
{
    struct fab_ep *exp[2];
    struct fab_ep *imp[2];
    struct fab_msg msg;

    (void)state;
    imp[0] = channel_open(&exp[0]);
    imp[1] = channel_open(&exp[1]);
    burst_send(imp[0], 1);
    burst_send(imp[1], 1);
    burst_send(imp[1], 2);
    burst_send(imp[1], 3);
    net_run(&net, 5 * MS);
    assert_int_equal(fab_ep_recv(exp[1], &msg, OWNER), SF_OK);
    assert_int_equal(fab_ep_recv(exp[1], &msg, OWNER), SF_OK);
    assert_int_equal(fab_ep_recv(exp[1], &msg, OWNER), SF_OK);
    msg = (struct fab_msg){.tag = WORK_GIVE, .arg_count = 2};
    assert_int_equal(xh_alloc(net.nodes[2].heap, BLOCK_BYTES, OWNER, &msg.args[1].block), SF_OK);
    assert_int_equal(fab_ep_send(exp[1], &msg, OWNER), SF_OK);
    net.cut[1][2] = true;
    net_run(&net, 5 * MS);
    fab_ep_close(exp[0], SF_CAUSE_OF(SHUTDOWN));
    net_audit(&net);
    net.cut[1][2] = false;
    net_run(&net, 500 * MS);
    assert_int_equal(fab_ep_recv(imp[0], &msg, OWNER), SF_CLOSED);
    assert_int_equal(fab_ep_recv(imp[1], &msg, OWNER), SF_OK);
    assert_int_equal(xh_free(net.nodes[1].heap, msg.args[1].block, OWNER), SF_OK);
}

/* At any moment of a block's way, its channel, its session or the other node may end. */
static void a_block_is_stopped_at_every_frame(void **state)
{
    (void)state;
    for (uint32_t stop = 0; stop < 400; stop += 1 + stop / 8) {
        for (uint32_t how = 0; how < 4; how++) {
            struct fab_ep *exp;
            struct fab_ep *imp = channel_open(&exp);
            uint8_t bytes[NET_MTU];

            block_send(imp);
            net.loss_percent = how * 10;
            for (uint32_t i = 0; i < stop; i++) {
                uint32_t length = fab_tx(fab(1), 2, bytes, sizeof(bytes), net.now_ns);
                if (length != 0 && i % 7 != how) {
                    fab_rx(fab(2), 1, bytes, length, net.now_ns);
                } else {
                    net_run(&net, MS);
                }
            }
            net_audit(&net);
            if (how == 0) {
                fab_ep_close(exp, SF_CAUSE_OF(SHUTDOWN));
            } else if (how == 1) {
                fab_ep_close(imp, SF_CAUSE_OF(SHUTDOWN));
            } else {
                fab_peer_remove(fab((uint16_t)(how - 1)), (uint16_t)(4 - how),
                                SF_CAUSE_OF(LINK_LOST));
            }
            for (uint32_t i = 0; i < 20; i++) {
                net_audit(&net);
                net_run(&net, MS / 10);
            }
            net.loss_percent = 0;
            net_introduce(&net, 1, 2);
            net_run(&net, 600 * MS);
            if (how != 0) {
                fab_ep_close(exp, SF_CAUSE_OF(SHUTDOWN));
            }
            if (how != 1) {
                fab_ep_close(imp, SF_CAUSE_OF(SHUTDOWN));
            }
            net_run(&net, 600 * MS);
            assert_int_equal(net_block_count(&net, 1), 0);
            assert_int_equal(net_block_count(&net, 2), 0);
            assert_int_equal(net_ep_count(&net, 1), 0);
            assert_int_equal(net_ep_count(&net, 2), 0);
            net_introduce(&net, 1, 2);
            net_run(&net, 600 * MS);
        }
    }
}

/* Many frames behind a hole are held, told in up to four words, and not sent again. */
static void what_is_held_is_not_sent_again(void **state)
{
    struct fab_ep *exp;
    struct fab_ep *imp = channel_open(&exp);
    struct fab__session *session = fab(1)->sessions[2];
    struct fab_peer_info info;
    uint8_t lost[NET_MTU];

    (void)state;
    session->congestion.window = FAB__WINDOW;
    block_send(imp);
    assert_int_equal(fab_tx(fab(1), 2, lost, sizeof(lost), net.now_ns), NET_MTU);
    net.cut[2][1] = true;
    net_run(&net, 5 * MS);
    assert_int_equal(fab__in_flight(session), FAB__WINDOW);
    assert_int_equal(fab(2)->sessions[1]->held_count, FAB__WINDOW - 1);
    net_audit(&net);
    net.cut[2][1] = false;
    net_run(&net, 200 * MS);
    assert_int_equal(fab_peer_query(fab(1), 2, &info), SF_OK);
    assert_in_range(info.frames_resent, 1, FAB__WINDOW + 1);
    assert_int_equal(fab(2)->sessions[1]->held_count, 0);
    block_expect(exp);
}

/* A node that does not look at its link for a while falls behind, and catches up. */
static void a_node_that_does_not_look_catches_up(void **state)
{
    struct fab_ep *exp;
    struct fab_ep *imp = channel_open(&exp);

    (void)state;
    block_send(imp);
    for (uint32_t i = 0; i < 10; i++) {
        net_run(&net, 3 * MS);
        net.slow[2] = net.now_ns + 150 * MS;
        net_run(&net, 160 * MS);
    }
    net_run(&net, 1000 * MS);
    assert_int_equal(net.nodes[1].lost_count, 0);
    block_expect(exp);
}

/* --- answers first -------------------------------------------------------------------------- */

static bool takes;
static uint32_t offered;
static struct fab_msg taken;

static bool on_take(void *arg, struct fab_ep *ep, const struct fab_msg *msg)
{
    (void)arg;
    (void)ep;
    offered++;
    if (takes) {
        taken = *msg;
    }
    return takes;
}

static void scalars_are_offered_to_the_holder_before_they_are_queued(void **state)
{
    struct fab_ep *exp;
    struct fab_ep *imp = channel_open(&exp);
    struct fab_ep_info info;
    struct fab_msg msg;

    (void)state;
    fab(2)->events.take = on_take;
    offered = 0;
    takes = true;
    burst_send(imp, 5);
    net_run(&net, 5 * MS);
    assert_int_equal(offered, 1);
    assert_int_equal(taken.tag, WORK_BURST);
    assert_int_equal(taken.args[0].scalar, 5);
    assert_int_equal(fab_ep_recv(exp, &msg, OWNER), SF_AGAIN);
    fab_ep_query(exp, &info);
    assert_int_equal(info.received, 1);
    assert_int_equal(info.state, WORK_BURST1);
    assert_int_equal(info.queued, 0);
    takes = false;
    burst_send(imp, 6);
    net_run(&net, 5 * MS);
    assert_int_equal(offered, 2);
    burst_send(imp, 7); /* not before the one that is queued */
    net_run(&net, 5 * MS);
    assert_int_equal(offered, 2);
    for (uint64_t value = 6; value <= 7; value++) {
        assert_int_equal(fab_ep_recv(exp, &msg, OWNER), SF_OK);
        assert_int_equal(msg.args[0].scalar, value);
    }
    net_audit(&net);
}

/* One frame from a node to the other. */
static void frame_pass(uint16_t from, uint16_t to)
{
    uint8_t bytes[NET_MTU];
    uint32_t length = fab_tx(fab(from), to, bytes, sizeof(bytes), net.now_ns);

    assert_true(length > 0);
    fab_rx(fab(to), from, bytes, length, net.now_ns);
}

static void an_acknowledgement_waits_until_the_answer_is_out(void **state)
{
    const struct fab_msg answer = {.tag = WORK_ANSWER, .arg_count = 1, .args = {{.scalar = 9}}};
    struct fab_ep *exp;
    struct fab_ep *imp = channel_open(&exp);
    struct fab__session *session = fab(1)->sessions[2];
    struct fab_peer_info info;
    struct fab_msg msg;

    (void)state;
    net_run(&net, 50 * MS);
    assert_int_equal(fab__in_flight(session), 0);
    for (uint64_t value = 1; value <= 3; value++) {
        burst_send(imp, value);
    }
    frame_pass(1, 2);
    for (uint64_t value = 1; value <= 3; value++) {
        assert_int_equal(fab_ep_recv(exp, &msg, OWNER), SF_OK);
    }
    assert_int_equal(fab_ep_send(exp, &answer, OWNER), SF_OK);
    assert_false(fab_settles(fab(1)));
    frame_pass(2, 1);
    assert_true(fab_settles(fab(1)));
    assert_int_equal(fab_peer_query(fab(1), 2, &info), SF_OK); /* which knows of it */
    assert_int_equal(info.in_flight, 0);
    assert_int_equal(fab_ep_recv(imp, &msg, OWNER), SF_OK);
    burst_send(imp, 4);
    frame_pass(1, 2);
    assert_int_equal(fab__in_flight(session), 2);
    fab_settle(fab(1));
    assert_false(fab_settles(fab(1)));
    assert_int_equal(fab__in_flight(session), 1);
    net_audit(&net);
    net_run(&net, 50 * MS);
    assert_int_equal(fab__in_flight(session), 0);
    assert_int_equal(session->info.frames_resent, 0);
}

/* A block goes, one frame after the other. Answers how many frames came back before it was there.
 */
static uint32_t block_pass(struct fab_ep *imp, struct fab_ep *exp)
{
    const struct fab_msg answer = {.tag = WORK_ANSWER, .arg_count = 1};
    struct fab_msg msg;
    uint32_t count = 0;

    block_send(imp);
    while (fab_tx_pending(fab(1)) != 0) {
        frame_pass(1, 2);
        net.now_ns += 1000;
        if (fab_tx_pending(fab(2)) != 0) {
            frame_pass(2, 1);
            count++;
        }
    }
    block_expect(exp);
    assert_int_equal(fab_ep_send(exp, &answer, OWNER), SF_OK);
    net_run(&net, 50 * MS);
    assert_int_equal(fab_ep_recv(imp, &msg, OWNER), SF_OK);
    return count;
}

static void acknowledgements_take_their_time_where_nothing_gets_lost(void **state)
{
    struct fab_ep *exp;
    struct fab_ep *imp = channel_open(&exp);
    struct fab__session *session = fab(1)->sessions[2];

    (void)state;
    net_run(&net, 50 * MS);
    assert_in_range(block_pass(imp, exp), BLOCK_BYTES / NET_MTU / 2, BLOCK_BYTES / NET_MTU);
    session->steady = fab(2)->sessions[1]->steady = true;
    assert_in_range(block_pass(imp, exp), 5, BLOCK_BYTES / NET_MTU / 16);
    burst_send(imp, 1);
    net_run(&net, 3 * MS / 2);
    assert_int_equal(fab__in_flight(session), 1);
    net_run(&net, 2 * MS);
    assert_int_equal(fab__in_flight(session), 0);
    assert_int_equal(session->info.frames_resent, 0);
}

/* 200 ms of whatever both have to say, in frames larger than the net's. */
static void large_frames_pass(uint8_t *bytes, uint32_t capacity)
{
    for (uint32_t i = 0; i < 200; i++) {
        net.now_ns += MS;
        for (uint16_t id = 1; id <= 2; id++) {
            uint32_t length;

            (void)fab_tick(fab(id), net.now_ns);
            while ((length = fab_tx(fab(id), (uint16_t)(3 - id), bytes, capacity, net.now_ns)) !=
                   0) {
                fab_rx(fab((uint16_t)(3 - id)), id, bytes, length, net.now_ns);
            }
        }
    }
}

static void reintroduce(uint32_t mtu_bytes, uint32_t lead_bytes)
{
    for (uint16_t id = 1; id <= 2; id++) {
        const struct fab_peer peer = {.node_id = (uint16_t)(3 - id),
                                      .epoch = net.nodes[3 - id].epoch,
                                      .mtu_bytes = mtu_bytes,
                                      .lead_bytes = (uint8_t)lead_bytes,
                                      .steady = lead_bytes == 8};

        fab_peer_remove(fab(id), peer.node_id, SF_CAUSE_OF(LINK_LOST));
        assert_int_equal(fab_peer_add(fab(id), &peer, net.now_ns), SF_OK);
    }
}

/* So that whoever copies them need not shift them: but for the first, they lie in their packets,
 * behind the link's header, as they do in the block. */
static void segments_lie_as_in_their_block(void **state)
{
    static const uint32_t leads[] = {0, 8, 42};
    static uint8_t bytes[9000];

    (void)state;
    for (uint32_t i = 0; i < sizeof(leads) / sizeof(leads[0]); i++) {
        struct fab_frame frame = {.bytes = bytes, .capacity = sizeof(bytes)};
        uint32_t total = 0, count = 0;
        struct fab_ep *imp;

        reintroduce(sizeof(bytes), leads[i]);
        large_frames_pass(bytes, sizeof(bytes));
        assert_int_equal(fab_open(fab(1), 2, "work", test_work(), &imp), SF_OK);
        block_send(imp);
        while (fab_tx_frame(fab(1), 2, &frame, net.now_ns)) {
            if (frame.tail_length == 0) {
                continue;
            }
            if (count++ > 0) {
                assert_int_equal(((uintptr_t)frame.tail - leads[i] - frame.length) % 64, 0);
            }
            total += frame.tail_length;
            assert_true(total == BLOCK_BYTES || frame.length + frame.tail_length > 9000 - 64);
        }
        assert_true(count > 20);
    }
    reintroduce(NET_MTU, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NET_TEST(the_window_bounds_what_is_in_flight),
        NET_TEST(an_endpoint_closes_while_the_window_is_full),
        NET_TEST(a_block_is_stopped_at_every_frame),
        NET_TEST(what_is_held_is_not_sent_again),
        NET_TEST(a_node_that_does_not_look_catches_up),
        NET_TEST(scalars_are_offered_to_the_holder_before_they_are_queued),
        NET_TEST(an_acknowledgement_waits_until_the_answer_is_out),
        NET_TEST(acknowledgements_take_their_time_where_nothing_gets_lost),
        cmocka_unit_test_setup_teardown(segments_lie_as_in_their_block, setup, teardown),
    };

    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
