/* SPDX-License-Identifier: Apache-2.0 */
/* Who is silent for too long is lost, and whose silence that is; when a silent node is to be
 * called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "session.h"

#define NODES 3u
#include "test_talk.h"

static void a_silent_node_is_lost_with_its_channels(void **state)
{
    struct fab_ep *imp;
    struct fab_ep *exp;

    (void)state;
    open_pair(1, 2, false, &imp, &exp);
    net_run(&net, 5000 * MS); /* heart-beats keep an idle session */
    assert_int_equal(net.nodes[1].lost_count, 0);
    net.cut[2][1] = net.cut[1][2] = true;
    send_scalar(imp, WORK_ASK, 1);
    net_run(&net, 1500 * MS);
    assert_int_equal(net.nodes[1].lost_count, 0);
    net_run(&net, 1500 * MS);
    assert_int_equal(net.nodes[1].lost_count, 1);
    assert_int_equal(net.nodes[1].lost_last, 2);
    assert_int_equal(net.nodes[1].lost_cause.kind, SF_CAUSE_NODE_LOST);
    expect_closed(imp, SF_CAUSE_NODE_LOST);
    expect_closed(exp, SF_CAUSE_NODE_LOST);
    assert_int_equal(fab_open(fab(1), 2, "work", test_work(), &imp), SF_NOTFOUND);
}

/* Stopped by a debugger, or a virtual machine that was moved: all of them, or one for less than a
 * timeout. */
static void a_node_that_did_not_run_loses_nobody(void **state)
{
    struct fab_ep *imp;
    struct fab_ep *exp;

    (void)state;
    open_pair(1, 2, false, &imp, &exp);
    net_run(&net, 1000 * MS);
    send_scalar(imp, WORK_ASK, 1);
    net.now_ns += 60000 * MS;
    net_run(&net, 1000 * MS);
    assert_int_equal(net.nodes[1].lost_count, 0);
    assert_int_equal(net.nodes[2].lost_count, 0);
    expect_scalar(exp, WORK_ASK, 1);
    /* But from then on silence counts. */
    net.cut[2][1] = net.cut[1][2] = true;
    net.now_ns += 60000 * MS;
    net_run(&net, 1500 * MS);
    assert_int_equal(net.nodes[1].lost_count, 0);
    net_run(&net, 1500 * MS);
    assert_int_equal(net.nodes[1].lost_count, 1);
    expect_closed(imp, SF_CAUSE_NODE_LOST);
    expect_closed(exp, SF_CAUSE_NODE_LOST);
}

static void others_that_come_do_not_hide_who_is_silent(void **state)
{
    struct fab_ep *imp;
    struct fab_ep *exp;

    (void)state;
    open_pair(1, 2, false, &imp, &exp);
    net_run(&net, 300 * MS);
    net.cut[2][1] = net.cut[1][2] = true;
    for (uint32_t i = 0; i < 8; i++) {
        net_run(&net, 300 * MS);
        fab_peer_remove(fab(1), 3, SF_CAUSE_OF(NODE_LOST));
        net_introduce(&net, 1, 3);
    }
    expect_closed(imp, SF_CAUSE_NODE_LOST);
}

/* An acknowledgement that went with the answer wakes nobody; one that did not, does. */
static void what_is_settled_wakes_nobody(void **state)
{
    struct fab_ep *imp;
    struct fab_ep *exp;

    (void)state;
    open_pair(1, 2, false, &imp, &exp);
    fab(1)->sessions[2]->steady = fab(2)->sessions[1]->steady = true; /* it may wait for 2 ms */
    net_run(&net, 1000 * MS);
    for (uint32_t i = 0; i < 10; i++) {
        uint64_t owed_ns;

        send_scalar(imp, WORK_ASK, i);
        net_run(&net, 4 * MS / 10);
        expect_scalar(exp, WORK_ASK, i);
        owed_ns = fab_next_exact(fab(2));
        assert_true(owed_ns > net.now_ns && owed_ns <= net.now_ns + 2 * MS);
        send_scalar(exp, WORK_ANSWER, i);
        net_run(&net, MS / 10);
        assert_int_equal(fab_next(fab(2)), owed_ns);
        assert_true(fab_next_exact(fab(2)) > net.now_ns + 2 * MS);
        assert_int_equal(fab_next(fab(2)), fab_next_exact(fab(2)));
        net_run(&net, 3 * MS / 10);
        expect_scalar(imp, WORK_ANSWER, i);
    }
    net_audit(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NET_TEST(a_silent_node_is_lost_with_its_channels),
        NET_TEST(a_node_that_did_not_run_loses_nobody),
        NET_TEST(others_that_come_do_not_hide_who_is_silent),
        NET_TEST(what_is_settled_wakes_nobody),
    };

    return cmocka_run_group_tests_name("silence", tests, NULL, NULL);
}
