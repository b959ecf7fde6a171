/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels between nodes, one promise a test, over a network that loses nothing unless the test
 * says so. Frames a test wants to see or forge are made with the private wire functions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "node.h"
#include "session.h"
#include "test_net.h"

#define NODES 3u
#include "test_talk.h"

static uint64_t owner_of(uint16_t node)
{
    return XH_OWNER(XH_OWNER_SIP, node);
}

static struct xh_block *block_make(uint16_t node, uint32_t bytes, uint8_t seed)
{
    struct xh_block *block = NULL;

    assert_int_equal(xh_alloc(net.nodes[node].heap, bytes, owner_of(node), &block), SF_OK);
    for (uint32_t i = 0; i < bytes; i++) {
        block->data[i] = (uint8_t)(seed + i * 31 + (i >> 8));
    }
    return block;
}

static void block_check(uint16_t node, struct xh_block *block, uint32_t bytes, uint8_t seed)
{
    assert_int_equal(block->bytes, bytes);
    assert_int_equal(block->owner, owner_of(node));
    for (uint32_t i = 0; i < bytes; i++) {
        assert_int_equal(block->data[i], (uint8_t)(seed + i * 31 + (i >> 8)));
    }
    assert_int_equal(xh_free(net.nodes[node].heap, block, owner_of(node)), SF_OK);
}

/* --- channels ------------------------------------------------------------------------------- */

static void a_conversation_with_another_node(void **state)
{
    struct fab_ep *imp;
    struct fab_ep *exp;
    struct fab_ep_info info;

    (void)state;
    open_pair(1, 2, false, &imp, &exp);
    for (uint64_t i = 0; i < 10; i++) {
        send_scalar(imp, WORK_ASK, i);
        net_run(&net, MS);
        expect_scalar(exp, WORK_ASK, i);
        send_scalar(exp, WORK_ANSWER, i + 1);
        net_run(&net, MS);
        expect_scalar(imp, WORK_ANSWER, i + 1);
    }
    fab_ep_query(imp, &info);
    assert_int_equal(info.peer_node, 2);
    assert_int_equal(info.sent, 10);
    assert_int_equal(info.received, 10);
    assert_int_equal(info.unsent, 0);
    net_audit(&net);
}

static void messages_may_follow_the_open_at_once_and_the_close_them(void **state)
{
    struct fab_ep *imp;
    struct fab_ep *exp;
    struct sf_cause cause = {.kind = SF_CAUSE_PEER_FAULTED, .fault = SF_FAULT_STACK_OVERFLOW};

    (void)state;
    assert_int_equal(fab_open(fab(1), 2, "work", test_work(), &imp), SF_OK);
    for (uint64_t i = 0; i < 3; i++) {
        send_scalar(imp, WORK_BURST, i);
    }
    fab_ep_close(imp, cause);
    net_run(&net, 2 * MS);
    exp = net.nodes[2].opened_last;
    for (uint64_t i = 0; i < 3; i++) {
        expect_scalar(exp, WORK_BURST, i);
    }
    expect_closed(exp, SF_CAUSE_PEER_FAULTED);
    assert_int_equal(fab_ep_cause(exp).fault, SF_FAULT_STACK_OVERFLOW);
    assert_int_equal(net_ep_count(&net, 1), 0);
}

static void no_such_export_closes_with_no_exporter(void **state)
{
    struct fab_ep *imp;

    (void)state;
    assert_int_equal(fab_open(fab(1), 2, "play", test_work(), &imp), SF_OK);
    send_scalar(imp, WORK_ASK, 1);
    net_run(&net, 2 * MS);
    expect_closed(imp, SF_CAUSE_NO_EXPORTER);
    assert_int_equal(fab_open(fab(1), 2, "work", test_carry(), &imp), SF_OK);
    net_run(&net, 2 * MS);
    expect_closed(imp, SF_CAUSE_NO_EXPORTER);
    assert_int_equal(fab_open(fab(1), 4, "work", test_work(), &imp), SF_NOTFOUND);
}

static void blocks_of_all_sizes_cross_and_leave_nothing_behind(void **state)
{
    static const uint32_t sizes[] = {4, 60, 940, 1024, 4096, 65536, 1000000};
    struct fab_ep *imp;
    struct fab_ep *exp;

    (void)state;
    open_pair(1, 2, false, &imp, &exp);
    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct fab_msg msg = {.tag = WORK_BYTES, .arg_count = 2};
        msg.args[0].block = block_make(1, sizes[i], (uint8_t)i);
        msg.args[1].block = i % 2 == 0 ? block_make(1, 12, 99) : NULL;
        assert_int_equal(fab_ep_send(imp, &msg, owner_of(1)), SF_OK);
        net_run(&net, 30 * MS);
        net_audit(&net);
        assert_int_equal(net_block_count(&net, 1), 0);
        assert_int_equal(fab_ep_recv(exp, &msg, owner_of(2)), SF_OK);
        block_check(2, msg.args[0].block, sizes[i], (uint8_t)i);
        if (i % 2 == 0) {
            block_check(2, msg.args[1].block, 12, 99);
        } else {
            assert_null(msg.args[1].block);
        }
        assert_int_equal(net_block_count(&net, 2), 0);
        send_scalar(exp, WORK_ANSWER, i);
        net_run(&net, MS);
        expect_scalar(imp, WORK_ANSWER, i);
    }
}

static void a_large_block_does_not_hold_up_small_messages(void **state)
{
    struct fab_ep *imp[2];
    struct fab_ep *exp[2];
    struct fab_msg msg = {.tag = WORK_BYTES, .arg_count = 2};

    (void)state;
    open_pair(1, 2, false, &imp[0], &exp[0]);
    open_pair(1, 2, false, &imp[1], &exp[1]);
    msg.args[0].block = block_make(1, 4u << 20, 1);
    assert_int_equal(fab_ep_send(imp[0], &msg, owner_of(1)), SF_OK);
    net_run(&net, MS);
    send_scalar(imp[1], WORK_ASK, 5);
    net_run(&net, 2 * MS);
    expect_scalar(exp[1], WORK_ASK, 5);
    assert_false(fab_ep_readable(exp[0]));
    fab_ep_close(imp[0], SF_CAUSE_OF(SHUTDOWN)); /* still delivered first */
    net_run(&net, 200 * MS);
    assert_int_equal(fab_ep_recv(exp[0], &msg, owner_of(2)), SF_OK);
    block_check(2, msg.args[0].block, 4u << 20, 1);
    expect_closed(exp[0], SF_CAUSE_SHUTDOWN);
}

static void closing_while_a_block_arrives_frees_both_halves(void **state)
{
    struct fab_ep *imp;
    struct fab_ep *exp;
    struct fab_msg msg = {.tag = WORK_BYTES, .arg_count = 2};

    (void)state;
    open_pair(1, 2, false, &imp, &exp);
    msg.args[0].block = block_make(1, 1u << 20, 1);
    assert_int_equal(fab_ep_send(imp, &msg, owner_of(1)), SF_OK);
    net_run(&net, MS);
    net_audit(&net);
    assert_int_equal(net_block_count(&net, 2), 1);
    fab_ep_close(exp, SF_CAUSE_OF(PEER_EXITED));
    assert_int_equal(net_block_count(&net, 2), 0);
    net_run(&net, 50 * MS);
    expect_closed(imp, SF_CAUSE_PEER_EXITED);
    assert_int_equal(net_block_count(&net, 1), 0);
}

static void no_memory_for_a_block_closes_with_quota(void **state)
{
    struct fab_ep *imp;
    struct fab_ep *exp;
    struct fab_msg msg = {.tag = WORK_BYTES, .arg_count = 2};
    struct xh_block *hog = NULL;

    (void)state;
    open_pair(1, 2, false, &imp, &exp);
    assert_int_equal(xh_alloc(net.nodes[2].heap, 7u << 20, 1, &hog), SF_OK);
    msg.args[0].block = block_make(1, 2u << 20, 1);
    assert_int_equal(fab_ep_send(imp, &msg, owner_of(1)), SF_OK);
    net_run(&net, 50 * MS);
    expect_closed(imp, SF_CAUSE_QUOTA);
    expect_closed(exp, SF_CAUSE_QUOTA);
    assert_int_equal(net_block_count(&net, 1), 0);
    assert_int_equal(xh_free(net.nodes[2].heap, hog, 1), SF_OK);
}

static void no_record_for_an_arrival_closes_with_quota(void **state)
{
    struct fab_ep *left;
    struct fab_ep *right;
    struct fab_ep *imp;
    struct fab_ep *exp;
    struct fab_ep *fill[2];
    struct fab_msg msg = {.tag = CARRY_TAKE_IMP, .arg_count = 2};

    (void)state;
    open_pair(1, 2, true, &left, &right);
    open_pair(1, 3, false, &imp, &exp);
    while (fab_chan_create(fab(2), test_work(), 0, &fill[0], &fill[1]) == SF_OK) {
    }
    while (fab_open(fab(2), 3, "work", test_work(), &fill[0]) == SF_OK) {
    }
    msg.args[1].ep = imp;
    assert_int_equal(fab_ep_send(left, &msg, 1), SF_OK);
    net_run(&net, 10 * MS);
    expect_closed(left, SF_CAUSE_QUOTA);
    expect_closed(right, SF_CAUSE_QUOTA);
    expect_closed(exp, SF_CAUSE_QUOTA);
    assert_int_equal(net_ep_count(&net, 1), 1);
}

/* --- loss of nodes -------------------------------------------------------------------------- */

static sf_status peer_add(uint16_t at, uint16_t node_id, uint16_t epoch, uint32_t mtu_bytes)
{
    struct fab_peer peer = {.node_id = node_id, .epoch = epoch, .mtu_bytes = mtu_bytes};

    if (node_id >= 1 && node_id <= net.node_count) {
        peer.sealed = net_sealed;
        memcpy(peer.key, net.nodes[node_id].key, sizeof(peer.key));
    }
    return fab_peer_add(fab(at), &peer, net.now_ns);
}

static void a_node_that_booted_again_is_noticed_at_once(void **state)
{
    struct fab_ep *imp;
    struct fab_ep *exp;
    struct fab_peer peer;

    (void)state;
    open_pair(1, 2, false, &imp, &exp);
    net_restart(&net, 2);
    peer = net_peer(&net, 1);
    assert_int_equal(fab_peer_add(fab(2), &peer, net.now_ns), SF_OK);
    net_run(&net, 5 * MS);
    expect_closed(imp, SF_CAUSE_NODE_LOST);
    assert_int_equal(net.nodes[1].lost_count, 1);
    net_introduce(&net, 1, 2);
    net_introduce(&net, 3, 2);
    net_run(&net, 300 * MS);
    open_pair(1, 2, false, &imp, &exp);
    send_scalar(imp, WORK_ASK, 4);
    net_run(&net, 5 * MS);
    expect_scalar(exp, WORK_ASK, 4);
}

static void a_session_begun_again_with_the_same_epochs_works(void **state)
{
    struct fab_ep *imp;
    struct fab_ep *exp;

    (void)state;
    open_pair(1, 2, false, &imp, &exp);
    fab_peer_remove(fab(1), 2, SF_CAUSE_OF(LINK_LOST));
    expect_closed(imp, SF_CAUSE_LINK_LOST);
    net_introduce(&net, 1, 2);
    net_run(&net, 500 * MS);
    expect_closed(exp, SF_CAUSE_LINK_LOST);
    open_pair(1, 2, false, &imp, &exp);
    send_scalar(imp, WORK_ASK, 4);
    net_run(&net, 5 * MS);
    expect_scalar(exp, WORK_ASK, 4);
}

static void peers_are_checked_when_added(void **state)
{
    struct fab_peer_info info;

    (void)state;
    assert_int_equal(peer_add(1, 1, 1, NET_MTU), SF_BADARG);
    assert_int_equal(peer_add(1, 0, 1, NET_MTU), SF_BADARG);
    assert_int_equal(peer_add(1, 1024, 1, NET_MTU), SF_BADARG);
    assert_int_equal(peer_add(1, 9, 0, NET_MTU), SF_BADARG);
    assert_int_equal(peer_add(1, 9, 1, FAB_MTU_BYTES_MIN - 1), SF_BADARG);
    assert_int_equal(peer_add(1, 9, 1, FAB_MTU_BYTES_MAX + 1), SF_BADARG);
    assert_int_equal(peer_add(1, 2, 1, NET_MTU), SF_EXISTS);
    assert_int_equal(fab_peer_query(fab(1), 9, &info), SF_NOTFOUND);
    net_run(&net, 5 * MS);
    assert_int_equal(fab_peer_query(fab(1), 2, &info), SF_OK);
    assert_true(info.alive);
    assert_int_equal(info.frames_rejected, 0);
}

/* --- the stream ----------------------------------------------------------------------------- */

static void sequence_numbers_wrap(void **state)
{
    struct fab_ep *imp;
    struct fab_ep *exp;

    (void)state;
    net_run(&net, 10 * MS);
    for (uint16_t id = 1; id <= 2; id++) {
        struct fab__session *session = fab(id)->sessions[3 - id];
        assert_int_equal(fab__in_flight(session), 0);
        session->tx_next = session->tx_acked = UINT32_MAX - 20;
        session->rx_next = UINT32_MAX - 20;
    }
    net.loss_percent = 20;
    net.reorder_percent = 20;
    assert_int_equal(fab_open(fab(1), 2, "work", test_work(), &imp), SF_OK);
    net_run(&net, 100 * MS);
    exp = net.nodes[2].opened_last;
    assert_non_null(exp);
    for (uint64_t i = 0; i < 60; i++) {
        send_scalar(imp, WORK_ASK, i);
        net_run(&net, 800 * MS);
        expect_scalar(exp, WORK_ASK, i);
        send_scalar(exp, WORK_ANSWER, i);
        net_run(&net, 800 * MS);
        expect_scalar(imp, WORK_ANSWER, i);
    }
    assert_true(fab(1)->sessions[2]->tx_next < 1000);
}

static void one_lost_frame_is_resent_before_its_timer(void **state)
{
    struct fab_ep *imp;
    struct fab_ep *exp;
    struct fab_msg msg = {.tag = WORK_BYTES, .arg_count = 2};
    struct fab_peer_info info;
    uint8_t bytes[NET_MTU];

    (void)state;
    open_pair(1, 2, false, &imp, &exp);
    msg.args[0].block = block_make(1, 20000, 1);
    assert_int_equal(fab_ep_send(imp, &msg, owner_of(1)), SF_OK);
    assert_int_equal(fab_tx(fab(1), 2, bytes, sizeof(bytes), net.now_ns), NET_MTU); /* lost */
    net_run(&net, 3 * MS); /* the timer would take 10 ms */
    assert_int_equal(fab_ep_recv(exp, &msg, owner_of(2)), SF_OK);
    block_check(2, msg.args[0].block, 20000, 1);
    assert_int_equal(fab_peer_query(fab(1), 2, &info), SF_OK);
    assert_int_equal(info.frames_resent, 1);
}

static void small_messages_share_a_frame(void **state)
{
    struct fab_ep *imp[10];
    struct fab_ep *exp[10];
    struct fab_peer_info before;
    struct fab_peer_info after;
    uint8_t bytes[NET_MTU];

    (void)state;
    for (uint32_t i = 0; i < 10; i++) {
        open_pair(1, 2, false, &imp[i], &exp[i]);
    }
    assert_int_equal(fab_peer_query(fab(1), 2, &before), SF_OK);
    for (uint32_t i = 0; i < 10; i++) {
        send_scalar(imp[i], WORK_ASK, i);
    }
    assert_true(fab_tx(fab(1), 2, bytes, sizeof(bytes), net.now_ns) > 0);
    assert_int_equal(fab_tx(fab(1), 2, bytes, sizeof(bytes), net.now_ns), 0);
    net_run(&net, 50 * MS);
    for (uint32_t i = 0; i < 10; i++) {
        expect_scalar(exp[i], WORK_ASK, i);
    }
    assert_int_equal(fab_peer_query(fab(1), 2, &after), SF_OK);
}

/* --- moves ---------------------------------------------------------------------------------- */

static struct fab_ep *carry_imp(struct fab_ep *from, struct fab_ep *to, struct fab_ep *ep)
{
    struct fab_msg msg = {.tag = CARRY_TAKE_IMP, .arg_count = 2};

    msg.args[1].ep = ep;
    assert_int_equal(fab_ep_send(from, &msg, 1), SF_OK);
    net_run(&net, 5 * MS);
    net_audit(&net);
    assert_int_equal(fab_ep_recv(to, &msg, 1), SF_OK);
    ep = msg.args[1].ep;
    msg = (struct fab_msg){.tag = CARRY_DONE};
    assert_int_equal(fab_ep_send(to, &msg, 1), SF_OK);
    net_run(&net, 5 * MS);
    assert_int_equal(fab_ep_recv(from, &msg, 1), SF_OK);
    return ep;
}

static void ask_and_answer(struct fab_ep *imp, struct fab_ep *exp, uint64_t value)
{
    send_scalar(imp, WORK_ASK, value);
    net_run(&net, 5 * MS);
    expect_scalar(exp, WORK_ASK, value);
    send_scalar(exp, WORK_ANSWER, value);
    net_run(&net, 5 * MS);
    expect_scalar(imp, WORK_ANSWER, value);
}

static uint16_t peer_node_of(const struct fab_ep *ep)
{
    struct fab_ep_info info;

    fab_ep_query(ep, &info);
    return info.peer_node;
}

static void an_endpoint_goes_round_a_triangle_and_home(void **state)
{
    struct fab_ep *left[4];
    struct fab_ep *right[4];
    struct fab_ep *imp;
    struct fab_ep *exp;
    uint64_t id;

    (void)state;
    open_pair(1, 2, true, &left[1], &right[1]);
    open_pair(2, 3, true, &left[2], &right[2]);
    open_pair(3, 1, true, &left[3], &right[3]);
    assert_int_equal(fab_chan_create(fab(1), test_work(), 0, &imp, &exp), SF_OK);
    id = imp->id;
    ask_and_answer(imp, exp, 1);
    for (uint64_t round = 0; round < 3; round++) {
        imp = carry_imp(left[1], right[1], imp); /* its peer stays on node 1 */
        assert_int_equal(imp->id, id);
        assert_int_equal(peer_node_of(imp), 1);
        assert_int_equal(peer_node_of(exp), 2);
        ask_and_answer(imp, exp, 10 + round);
        imp = carry_imp(left[2], right[2], imp); /* its peer is on a third node */
        assert_int_equal(peer_node_of(exp), 3);
        ask_and_answer(imp, exp, 20 + round);
        imp = carry_imp(left[3], right[3], imp); /* to its peer's node */
        assert_int_equal(peer_node_of(imp), 1);
        assert_int_equal(imp->place, FAB__LOCAL);
        ask_and_answer(imp, exp, 30 + round);
        assert_int_equal(imp->id, id);
    }
    net_audit(&net);
    /* No tombstone is left. */
    for (uint16_t n = 1; n <= 3; n++) {
        for (uint32_t i = 0; i < fab(n)->ep_used; i++) {
            assert_int_not_equal(fab(n)->eps[i].life, FAB__MOVED);
            assert_int_not_equal(fab(n)->eps[i].life, FAB__CLOSING);
        }
    }
}

static void messages_before_and_after_a_move_stay_in_order(void **state)
{
    struct fab_ep *left;
    struct fab_ep *right;
    struct fab_ep *imp;
    struct fab_ep *exp;
    struct fab_ep *hog_imp;
    struct fab_ep *hog_exp;
    struct fab_msg hog = {.tag = WORK_BYTES, .arg_count = 2};
    struct fab_msg msg = {.tag = CARRY_TAKE_BUSY, .arg_count = 2};

    (void)state;
    open_pair(1, 2, true, &left, &right);
    open_pair(1, 3, false, &imp, &exp);
    /* The window to node 3 is full, so what is sent before the move has to wait for it. */
    open_pair(1, 3, false, &hog_imp, &hog_exp);
    hog.args[0].block = block_make(1, 1u << 20, 1);
    assert_int_equal(fab_ep_send(hog_imp, &hog, owner_of(1)), SF_OK);
    net.cut[1][3] = true;
    net_run(&net, 2 * MS);
    send_scalar(imp, WORK_BURST, 1);
    msg.args[1].ep = imp;
    assert_int_equal(fab_ep_send(left, &msg, 1), SF_OK);
    net_run(&net, 5 * MS);
    assert_int_equal(fab_ep_recv(right, &msg, 1), SF_OK);
    imp = msg.args[1].ep;
    send_scalar(imp, WORK_BURST, 2); /* waits until node 3 knows */
    send_scalar(imp, WORK_BURST, 3);
    net_run(&net, 20 * MS);
    assert_false(fab_ep_readable(exp));
    net_audit(&net);
    net.cut[1][3] = false;
    net_run(&net, 1000 * MS);
    for (uint64_t i = 1; i <= 3; i++) {
        expect_scalar(exp, WORK_BURST, i);
    }
    send_scalar(exp, WORK_ANSWER, 4);
    net_run(&net, 5 * MS);
    expect_scalar(imp, WORK_ANSWER, 4);
    assert_int_equal(fab_ep_recv(hog_exp, &hog, owner_of(3)), SF_OK);
    block_check(3, hog.args[0].block, 1u << 20, 1);
}

static void a_close_that_meets_a_moving_endpoint_is_forwarded(void **state)
{
    struct fab_ep *left;
    struct fab_ep *right;
    struct fab_ep *imp;
    struct fab_ep *exp;
    struct fab_msg msg = {.tag = CARRY_TAKE_IMP, .arg_count = 2};

    (void)state;
    open_pair(1, 2, true, &left, &right);
    open_pair(1, 3, false, &imp, &exp);
    msg.args[1].ep = imp;
    assert_int_equal(fab_ep_send(left, &msg, 1), SF_OK);
    fab_ep_close(exp, SF_CAUSE_OF(REVOKED)); /* at the same time */
    net_run(&net, 10 * MS);
    assert_int_equal(fab_ep_recv(right, &msg, 1), SF_OK);
    expect_closed(msg.args[1].ep, SF_CAUSE_REVOKED);
    net_audit(&net);
    assert_int_equal(net_ep_count(&net, 1), 1); /* left */
    assert_int_equal(net_ep_count(&net, 3), 0);
}

static void an_endpoint_sent_to_a_closed_channel_closes(void **state)
{
    struct fab_ep *left;
    struct fab_ep *right;
    struct fab_ep *imp;
    struct fab_ep *exp;
    struct fab_ep *local[2];
    struct fab_msg msg = {.tag = CARRY_TAKE_IMP, .arg_count = 2};

    (void)state;
    open_pair(1, 2, true, &left, &right);
    open_pair(1, 3, false, &imp, &exp);
    fab_ep_close(right, SF_CAUSE_OF(PEER_EXITED));
    msg.args[1].ep = imp; /* meets nobody at node 2 */
    assert_int_equal(fab_ep_send(left, &msg, 1), SF_OK);
    net_run(&net, 10 * MS);
    expect_closed(exp, SF_CAUSE_CLOSED_BY_PEER);

    open_pair(1, 2, true, &left, &right);
    assert_int_equal(fab_chan_create(fab(1), test_work(), 0, &local[0], &local[1]), SF_OK);
    fab_ep_close(right, SF_CAUSE_OF(PEER_EXITED));
    msg.args[1].ep = local[0]; /* attached: its peer is on node 1 */
    assert_int_equal(fab_ep_send(left, &msg, 1), SF_OK);
    net_run(&net, 10 * MS);
    expect_closed(local[1], SF_CAUSE_CLOSED_BY_PEER);
    assert_int_equal(net_ep_count(&net, 2), 0);

    open_pair(1, 2, true, &left, &right);
    assert_int_equal(fab_chan_create(fab(1), test_work(), 0, &local[0], &local[1]), SF_OK);
    msg.args[1].ep = local[0]; /* arrives, but is never received */
    assert_int_equal(fab_ep_send(left, &msg, 1), SF_OK);
    net_run(&net, 10 * MS);
    fab_ep_close(right, SF_CAUSE_OF(QUOTA));
    net_run(&net, 10 * MS);
    expect_closed(local[1], SF_CAUSE_QUOTA);
    net_audit(&net);
}

static void losing_the_node_an_endpoint_moves_to_closes_it(void **state)
{
    struct fab_ep *left;
    struct fab_ep *right;
    struct fab_ep *imp;
    struct fab_ep *exp;
    struct fab_msg msg = {.tag = CARRY_TAKE_IMP, .arg_count = 2};

    (void)state;
    open_pair(1, 2, true, &left, &right);
    open_pair(1, 3, false, &imp, &exp);
    net.cut[1][2] = net.cut[2][1] = net.cut[3][2] = net.cut[2][3] = true;
    msg.args[1].ep = imp;
    assert_int_equal(fab_ep_send(left, &msg, 1), SF_OK);
    net_run(&net, 3000 * MS);
    expect_closed(exp, SF_CAUSE_NODE_LOST);
    expect_closed(left, SF_CAUSE_NODE_LOST);
    net_audit(&net);
    assert_int_equal(net_ep_count(&net, 1), 1);
}

static void losing_the_node_an_endpoint_came_from_closes_it(void **state)
{
    struct fab_ep *left;
    struct fab_ep *right;
    struct fab_ep *imp;
    struct fab_ep *exp;
    struct fab_msg msg = {.tag = CARRY_TAKE_IMP, .arg_count = 2};

    (void)state;
    open_pair(1, 2, true, &left, &right);
    open_pair(1, 3, false, &imp, &exp);
    net.cut[1][3] = net.cut[3][1] = true; /* node 3 never hears of the move */
    msg.args[1].ep = imp;
    assert_int_equal(fab_ep_send(left, &msg, 1), SF_OK);
    net_run(&net, 10 * MS);
    assert_int_equal(fab_ep_recv(right, &msg, 1), SF_OK);
    imp = msg.args[1].ep;
    send_scalar(imp, WORK_BURST, 1);
    net.cut[1][2] = net.cut[2][1] = true; /* then node 1 is gone for all */
    net_run(&net, 3000 * MS);
    expect_closed(imp, SF_CAUSE_NODE_LOST);
    expect_closed(exp, SF_CAUSE_NODE_LOST);
    net_audit(&net);
}

/* --- nodes that break the rules ------------------------------------------------------------- */

/* A frame as node `from` would make it next, with these records. */
static void forge(uint16_t from, uint16_t to, const struct fab__writer *records)
{
    struct fab__session *session = fab(from)->sessions[to];
    struct fab__header header = {0};
    uint32_t length = FAB__HEADER_BYTES + records->length;
    uint8_t bytes[NET_MTU];

    assert_int_equal(fab__in_flight(session), 0);
    fab__session_header(session, FAB__FRAME_RECORDS, 0, net.now_ns, &header);
    session->tx_next++;
    session->tx_acked++;
    fab__header_write(bytes, &header);
    memcpy(bytes + FAB__HEADER_BYTES, records->bytes, records->length);
    if (session->secure != NULL) {
        assert_int_equal(fab__seal(&session->secure->sealer, header.number, bytes,
                                   FAB__HEADER_BYTES, records->bytes, records->length,
                                   bytes + FAB__HEADER_BYTES),
                         SF_OK);
        length += FAB__TAG_BYTES;
    }
    fab_rx(fab(to), from, bytes, length, net.now_ns);
}

static void forge_msg(uint16_t from, uint16_t to, const struct fab__wire_msg *msg)
{
    uint8_t bytes[512];
    struct fab__writer writer = {.bytes = bytes, .capacity = sizeof(bytes)};
    uint32_t begin = fab__record_begin(&writer, FAB__RECORD_MSG, 0);

    fab__wire_msg_write(&writer, msg);
    assert_true(fab__record_end(&writer, begin));
    forge(from, to, &writer);
}

static void a_peer_that_breaks_the_contract_loses_the_channel_only(void **state)
{
    struct fab_ep *imp[4];
    struct fab_ep *exp[4];
    struct fab__wire_msg msg = {.tag = WORK_ANSWER, .arg_count = 1, .kinds = {CT_ARG_UINT64}};

    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        open_pair(1, 2, false, &imp[i], &exp[i]);
    }
    net_run(&net, 5 * MS);
    msg.target = exp[0]->id; /* the exporter's message, sent by the importer */
    forge_msg(1, 2, &msg);
    expect_closed(exp[0], SF_CAUSE_CONTRACT_VIOLATED);
    assert_int_equal(fab_ep_cause(exp[0]).tag, WORK_ANSWER);
    assert_int_equal(fab_ep_cause(exp[0]).state, WORK_START);
    net_run(&net, 5 * MS);
    expect_closed(imp[0], SF_CAUSE_CONTRACT_VIOLATED);

    msg = (struct fab__wire_msg){.target = exp[1]->id, .tag = WORK_BURST, .arg_count = 1};
    msg.kinds[0] = CT_ARG_UINT8; /* not as declared */
    forge_msg(1, 2, &msg);
    expect_closed(exp[1], SF_CAUSE_CONTRACT_VIOLATED);
    net_run(&net, 5 * MS);

    msg = (struct fab__wire_msg){.target = exp[2]->id, .tag = WORK_BYTES, .arg_count = 2};
    msg.kinds[0] = msg.kinds[1] = CT_ARG_BLOCK;
    msg.args[0].block_bytes = FAB_MESSAGE_BLOCK_BYTES_MAX + 1; /* too long */
    forge_msg(1, 2, &msg);
    expect_closed(exp[2], SF_CAUSE_CONTRACT_VIOLATED);
    net_run(&net, 5 * MS);

    ask_and_answer(imp[3], exp[3], 5);
    assert_int_equal(net.nodes[2].lost_count, 0);
    assert_int_equal(net_block_count(&net, 2), 0);
}

static void data_nobody_announced_closes_the_channel(void **state)
{
    struct fab_ep *imp;
    struct fab_ep *exp;
    uint8_t bytes[64];
    struct fab__writer writer = {.bytes = bytes, .capacity = sizeof(bytes)};
    uint32_t begin = fab__record_begin(&writer, FAB__RECORD_DATA, 0);

    (void)state;
    open_pair(1, 2, false, &imp, &exp);
    net_run(&net, 5 * MS);
    fab__write_u64(&writer, exp->id);
    fab__write_bytes(&writer, "surplus", 7);
    assert_true(fab__record_end(&writer, begin));
    forge(1, 2, &writer);
    expect_closed(exp, SF_CAUSE_CONTRACT_VIOLATED);
}

static void more_data_than_announced_closes_the_channel(void **state)
{
    static const uint8_t surplus[200];
    struct fab_ep *imp;
    struct fab_ep *exp;
    struct fab__wire_msg msg = {.tag = WORK_BYTES, .arg_count = 2};
    uint8_t bytes[512];
    struct fab__writer writer = {.bytes = bytes, .capacity = sizeof(bytes)};
    uint32_t begin = fab__record_begin(&writer, FAB__RECORD_MSG, 0);

    (void)state;
    open_pair(1, 2, false, &imp, &exp);
    net_run(&net, 5 * MS);
    msg.target = exp->id;
    msg.kinds[0] = msg.kinds[1] = CT_ARG_BLOCK;
    msg.args[0].block_bytes = 64;
    fab__wire_msg_write(&writer, &msg);
    assert_true(fab__record_end(&writer, begin));
    begin = fab__record_begin(&writer, FAB__RECORD_DATA, 0);
    fab__write_u64(&writer, exp->id);
    fab__write_bytes(&writer, surplus, sizeof(surplus));
    assert_true(fab__record_end(&writer, begin));
    forge(1, 2, &writer);
    expect_closed(exp, SF_CAUSE_CONTRACT_VIOLATED);
    assert_int_equal(net_block_count(&net, 2), 0);
}

static void a_node_cannot_speak_for_channels_of_others(void **state)
{
    struct fab_ep *imp;
    struct fab_ep *exp;
    struct fab__wire_msg msg = {.tag = WORK_BURST, .arg_count = 1, .kinds = {CT_ARG_UINT64}};

    (void)state;
    open_pair(1, 2, false, &imp, &exp);
    net_run(&net, 5 * MS);
    msg.target = exp->id;
    forge_msg(3, 2, &msg); /* node 3 is no party to it */
    ask_and_answer(imp, exp, 5);
    assert_int_equal(net.nodes[2].lost_count, 1);
    assert_int_equal(net.nodes[2].lost_last, 3);
    assert_int_equal(net.nodes[2].lost_cause.kind, SF_CAUSE_LINK_LOST);
    ask_and_answer(imp, exp, 6);
}

static void a_node_cannot_close_channels_of_others(void **state)
{
    struct fab_ep *imp;
    struct fab_ep *exp;
    uint8_t bytes[64];
    struct fab__writer writer = {.bytes = bytes, .capacity = sizeof(bytes)};

    (void)state;
    open_pair(1, 2, false, &imp, &exp);
    net_run(&net, 5 * MS);
    for (uint8_t flags = 0; flags <= FAB__CLOSE_FORWARDED; flags++) {
        uint32_t begin = fab__record_begin(&writer, FAB__RECORD_CLOSE, flags);
        fab__write_u64(&writer, exp->id);
        fab__write_cause(&writer, SF_CAUSE_OF(SHUTDOWN));
        assert_true(fab__record_end(&writer, begin));
    }
    forge(3, 2, &writer);
    assert_int_equal(net.nodes[2].lost_last, 3);
    ask_and_answer(imp, exp, 6);
}

static void write_peer_moved(struct fab__writer *writer, uint64_t target, uint64_t moved,
                             uint16_t node)
{
    uint32_t begin = fab__record_begin(writer, FAB__RECORD_PEER_MOVED, 0);

    fab__write_u64(writer, target);
    fab__write_u64(writer, moved);
    fab__write_u16(writer, node);
    assert_true(fab__record_end(writer, begin));
}

/* The carrier's next message, with the peer of exp, which is on node 2. */
static void write_take(struct fab__writer *writer, const struct fab_ep *carrier, uint8_t tag,
                       const struct fab_ep *exp, uint8_t state)
{
    struct fab__wire_msg msg = {.target = carrier->id, .tag = tag, .arg_count = 2};
    uint32_t begin = fab__record_begin(writer, FAB__RECORD_MSG, 0);

    msg.kinds[0] = CT_ARG_UINT64;
    msg.kinds[1] = CT_ARG_ENDPOINT;
    msg.args[1].ep = (struct fab__wire_ep){
        .id = exp->peer_id,
        .peer_id = exp->id,
        .contract_short_id = test_work()->short_id,
        .peer_node = 2,
        .side = CT_IMP,
        .state = state,
    };
    fab__wire_msg_write(writer, &msg);
    assert_true(fab__record_end(writer, begin));
}

static void an_endpoint_that_comes_home_in_a_wrong_state_is_closed(void **state)
{
    struct fab_ep *left;
    struct fab_ep *right;
    struct fab_ep *imp;
    struct fab_ep *exp;
    uint8_t bytes[512];
    struct fab__writer writer = {.bytes = bytes, .capacity = sizeof(bytes)};
    struct fab_msg msg;

    (void)state;
    open_pair(3, 2, true, &left, &right);
    open_pair(3, 2, false, &imp, &exp);
    net_run(&net, 5 * MS);
    write_take(&writer, right, CARRY_TAKE_BUSY, exp, WORK_BURST1); /* it is in Start */
    write_peer_moved(&writer, exp->id, exp->peer_id, 2);
    forge(3, 2, &writer);
    expect_closed(exp, SF_CAUSE_CONTRACT_VIOLATED);
    assert_int_equal(fab_ep_recv(right, &msg, 1), SF_OK);
    expect_closed(msg.args[1].ep, SF_CAUSE_CONTRACT_VIOLATED);
    net_audit(&net);
}

static void an_endpoint_that_still_has_to_receive_cannot_move(void **state)
{
    struct fab_ep *left;
    struct fab_ep *right;
    struct fab_ep *imp;
    struct fab_ep *exp;
    uint8_t bytes[512];
    struct fab__writer writer = {.bytes = bytes, .capacity = sizeof(bytes)};

    (void)state;
    open_pair(3, 2, true, &left, &right);
    open_pair(1, 2, false, &imp, &exp);
    net_run(&net, 5 * MS);
    write_peer_moved(&writer, exp->id, exp->peer_id, 3);
    forge(1, 2, &writer);
    /* Node 3 has not even been told PEER_HERE when it says that the endpoint came home. */
    writer.length = 0;
    write_take(&writer, right, CARRY_TAKE_IMP, exp, WORK_START);
    write_peer_moved(&writer, exp->id, exp->peer_id, 2);
    forge(3, 2, &writer);
    assert_int_equal(net.nodes[2].lost_last, 3);
    expect_closed(exp, SF_CAUSE_LINK_LOST);
    net_audit(&net);
}

static void bytes_that_are_no_records_end_the_session(void **state)
{
    struct fab_ep *imp;
    struct fab_ep *exp;
    uint8_t bytes[8] = {99, 0, 0, 0};
    struct fab__writer writer = {.bytes = bytes, .capacity = sizeof(bytes), .length = 4};

    (void)state;
    open_pair(1, 2, false, &imp, &exp);
    net_run(&net, 5 * MS);
    forge(1, 2, &writer);
    expect_closed(exp, SF_CAUSE_LINK_LOST);
    assert_int_equal(net.nodes[2].lost_last, 1);
}

#define CLEAR_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define SEALED_TEST(f) cmocka_unit_test_setup_teardown(f, setup_sealed, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NET_TEST(a_conversation_with_another_node),
        NET_TEST(messages_may_follow_the_open_at_once_and_the_close_them),
        NET_TEST(no_such_export_closes_with_no_exporter),
        NET_TEST(blocks_of_all_sizes_cross_and_leave_nothing_behind),
        NET_TEST(a_large_block_does_not_hold_up_small_messages),
        NET_TEST(closing_while_a_block_arrives_frees_both_halves),
        NET_TEST(no_memory_for_a_block_closes_with_quota),
        NET_TEST(no_record_for_an_arrival_closes_with_quota),
        CLEAR_TEST(a_node_that_booted_again_is_noticed_at_once),
        NET_TEST(a_session_begun_again_with_the_same_epochs_works),
        NET_TEST(peers_are_checked_when_added),
        NET_TEST(sequence_numbers_wrap),
        NET_TEST(one_lost_frame_is_resent_before_its_timer),
        NET_TEST(small_messages_share_a_frame),
        NET_TEST(an_endpoint_goes_round_a_triangle_and_home),
        NET_TEST(messages_before_and_after_a_move_stay_in_order),
        NET_TEST(a_close_that_meets_a_moving_endpoint_is_forwarded),
        NET_TEST(an_endpoint_sent_to_a_closed_channel_closes),
        NET_TEST(losing_the_node_an_endpoint_moves_to_closes_it),
        NET_TEST(losing_the_node_an_endpoint_came_from_closes_it),
        NET_TEST(a_peer_that_breaks_the_contract_loses_the_channel_only),
        NET_TEST(data_nobody_announced_closes_the_channel),
        NET_TEST(more_data_than_announced_closes_the_channel),
        NET_TEST(a_node_cannot_speak_for_channels_of_others),
        NET_TEST(a_node_cannot_close_channels_of_others),
        NET_TEST(an_endpoint_that_comes_home_in_a_wrong_state_is_closed),
        NET_TEST(an_endpoint_that_still_has_to_receive_cannot_move),
        NET_TEST(bytes_that_are_no_records_end_the_session),
    };

    return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
