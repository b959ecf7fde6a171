/* SPDX-License-Identifier: Apache-2.0 */
/* What is counted and recorded of channels and sessions between nodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fabric/fabric.h"
#include "test_net.h"

#define MS 1000000ull

static struct net net;
static struct fab_ep *imp, *exp_end;

static int setup(void **state)
{
    (void)state;
    net_make(&net, 2, 1);
    assert_int_equal(fab_open(net.nodes[1].fab, 2, "work", test_work(), &imp), SF_OK);
    net_run(&net, 2 * MS);
    exp_end = net.nodes[2].opened_last;
    assert_non_null(exp_end);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    net_end(&net);
    return 0;
}

static void ask(uint64_t value)
{
    const struct fab_msg msg = {.tag = WORK_ASK, .arg_count = 4, .args = {{.scalar = value}}};

    assert_int_equal(fab_ep_send(imp, &msg, 1), SF_OK);
}

static void answer(uint64_t value)
{
    const struct fab_msg msg = {.tag = WORK_ANSWER, .arg_count = 1, .args = {{.scalar = value}}};
    struct fab_msg got;

    assert_int_equal(fab_ep_recv(exp_end, &got, 2), SF_OK);
    assert_int_equal(fab_ep_send(exp_end, &msg, 2), SF_OK);
}

static void take_answer(void)
{
    struct fab_msg got;

    assert_int_equal(fab_ep_recv(imp, &got, 1), SF_OK);
}

static void a_conversation_is_counted(void **state)
{
    struct fab_ep_info here, there;
    struct fab_peer_info peer;

    (void)state;
    for (uint64_t i = 0; i < 10; i++) {
        ask(i);
        net_run(&net, 20 * MS); /* the other side thinks for so long */
        answer(i);
        net_run(&net, 2 * MS);
        take_answer();
    }
    fab_ep_query(imp, &here);
    fab_ep_query(exp_end, &there);
    assert_int_equal(here.sent, 10);
    assert_int_equal(here.bytes_sent, 10 * (8 + 4 + 1 + 1)); /* uint64, uint32, int8, bool */
    assert_int_equal(here.bytes_received, 10 * 8);
    assert_int_equal(there.bytes_received, here.bytes_sent);
    assert_int_equal(there.bytes_sent, here.bytes_received);
    assert_int_equal(here.queued_high, 1);
    assert_int_equal(here.unsent_high, 1);
    assert_non_null(here.latency);
    assert_int_equal(here.latency->count, 10);
    assert_in_range(fab_histogram_ns(here.latency, 50), 20 * MS, 28 * MS);
    assert_in_range(here.latency->max_ns, 20 * MS, 23 * MS);
    assert_int_equal(fab_peer_query(net.nodes[1].fab, 2, &peer), SF_OK);
    assert_int_equal(peer.messages_sent, 10);
    assert_int_equal(peer.messages_received, 10);
    assert_true(peer.rtt->count > 0);
    assert_true(peer.rtt->max_ns < 5 * MS);
    assert_int_equal(peer.waiting, 0);
}

static void what_waits_is_seen(void **state)
{
    const struct fab_msg burst = {.tag = WORK_BURST, .arg_count = 1};
    struct fab_ep_info info;
    struct fab_peer_info peer;

    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(fab_ep_send(imp, &burst, 1), SF_OK);
    }
    fab_ep_query(imp, &info);
    assert_int_equal(info.unsent_high, 3);
    assert_int_equal(fab_peer_query(net.nodes[1].fab, 2, &peer), SF_OK);
    assert_int_equal(peer.waiting, 1);
    net_run(&net, 2 * MS);
    fab_ep_query(exp_end, &info);
    assert_int_equal(info.queued, 3);
    assert_int_equal(info.queued_high, 3);
}

static void blocks_count_in_full(void **state)
{
    struct fab_msg msg = {.tag = WORK_BYTES, .arg_count = 2};
    struct fab_ep_info info;

    (void)state;
    assert_int_equal(xh_alloc(net.nodes[1].heap, 100000, 1, &msg.args[0].block), SF_OK);
    assert_int_equal(fab_ep_send(imp, &msg, 1), SF_OK);
    net_run(&net, 50 * MS);
    fab_ep_query(exp_end, &info);
    assert_int_equal(info.queued, 1);
    assert_int_equal(info.bytes_received, 100000);
}

static void the_last_events_are_kept_in_order(void **state)
{
    struct fab_ep_event events[FAB_EP_EVENTS];
    uint64_t before = 0;

    (void)state;
    assert_int_equal(fab_ep_events(imp, events), 0);
    for (uint64_t i = 0; i < 20; i++) {
        ask(i);
        net_run(&net, 3 * MS);
        answer(i);
        net_run(&net, 3 * MS);
        take_answer();
    }
    fab_ep_close(exp_end, SF_CAUSE_OF(PEER_EXITED));
    net_run(&net, 3 * MS);
    assert_int_equal(fab_ep_events(imp, events), FAB_EP_EVENTS);
    for (uint32_t i = 0; i < FAB_EP_EVENTS - 1; i++) {
        const bool sent = i % 2 == 1;

        assert_int_equal(events[i].kind, sent ? FAB_EP_SENT : FAB_EP_ARRIVED);
        assert_int_equal(events[i].tag, sent ? WORK_ASK : WORK_ANSWER);
        assert_int_equal(events[i].state, sent ? WORK_ASKED : WORK_START);
        assert_int_equal(events[i].bytes, sent ? 14 : 8);
        assert_true(events[i].time_ns >= before);
        before = events[i].time_ns;
    }
    assert_int_equal(events[FAB_EP_EVENTS - 1].kind, FAB_EP_CLOSED);
    assert_true(fab_node_now(net.nodes[1].fab) >= before);
}

static void losses_have_a_count_and_a_cause(void **state)
{
    struct sf_cause cause;

    (void)state;
    assert_int_equal(fab_peer_losses(net.nodes[1].fab, 2, &cause), 0);
    assert_int_equal(cause.kind, SF_CAUSE_NONE);
    net_restart(&net, 2);
    net_introduce(&net, 1, 2);
    net_run(&net, 10 * MS);
    assert_int_equal(fab_peer_losses(net.nodes[1].fab, 2, &cause), 1);
    assert_int_equal(cause.kind, SF_CAUSE_NODE_LOST);
    assert_int_equal(fab_peer_losses(net.nodes[1].fab, 60000, &cause), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_conversation_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(what_waits_is_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(blocks_count_in_full, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_events_are_kept_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(losses_have_a_count_and_a_cause, setup, teardown),
    };

    return cmocka_run_group_tests_name("meter", tests, NULL, NULL);
}
