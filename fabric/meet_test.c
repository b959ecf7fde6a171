/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the cell simulator (tests/sim) found, as the shortest run that shows it: sessions that begin
 * anew on both sides, and an endpoint that comes to a node which has just begun anew with the node
 * of its peer.
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
#include "test_case.h"

#define MS 1000000ull
#define OWNER 7u

static int setup_met(void **state)
{
    (void)setup(state);
    net_run(&net, 50 * MS);
    return 0;
}

static void cut(uint16_t from, uint16_t to, bool is_cut)
{
    net.cut[from][to] = is_cut;
}

/* The orchestrator begins node a's session with b anew; b is not told. */
static void begin_anew(uint16_t a, uint16_t b)
{
    struct fab_peer peer = net_peer(&net, b);

    fab_peer_remove(fab(a), b, SF_CAUSE_OF(LINK_LOST));
    assert_int_equal(fab_peer_add(fab(a), &peer, net.now_ns), SF_OK);
}

static void expect_joined(uint16_t a, uint16_t b)
{
    const struct fab__session *sa = fab(a)->sessions[b];
    const struct fab__session *sb = fab(b)->sessions[a];

    assert_true(sa->open && sb->open);
    assert_int_equal(sa->peer_number, sb->number);
    assert_int_equal(sb->peer_number, sa->number);
}

static void sessions_that_both_began_anew_meet(void **state)
{
    (void)state;
    cut(1, 2, true);
    begin_anew(2, 1);
    net_run(&net, 100 * MS); /* node 1 begins anew as well, and is not answered */
    assert_false(fab(1)->sessions[2]->open);
    begin_anew(2, 1);
    cut(2, 1, true);
    cut(1, 2, false);
    net_run(&net,
            250 * MS); /* node 2 knows that one of node 1; node 1 does not know node 2's last */
    cut(2, 1, false);
    net_run(&net, 1000 * MS);
    expect_joined(1, 2);
    assert_true(net.nodes[1].lost_count <= 2);
    assert_true(net.nodes[2].lost_count <= 3);
}

/* Moves an importer from node 1 to node 3, which knows nothing of node 2 yet; answers it there. */
static struct fab_ep *move_in_the_dark(struct fab_ep **out_exp)
{
    struct fab_msg msg = {.tag = CARRY_TAKE_IMP, .arg_count = 2};
    struct fab_ep *imp, *carry_imp, *carry_exp;

    assert_int_equal(fab_open(fab(1), 2, "work", test_work(), &imp), SF_OK);
    net_run(&net, 50 * MS);
    *out_exp = net.nodes[2].opened_last;
    assert_int_equal(fab_open(fab(1), 3, "carry", test_carry(), &carry_imp), SF_OK);
    net_run(&net, 50 * MS);
    carry_exp = net.nodes[3].opened_last;
    cut(2, 3, true);
    cut(3, 2, true);
    begin_anew(3, 2);
    msg.args[1].ep = imp;
    assert_int_equal(fab_ep_send(carry_imp, &msg, OWNER), SF_OK);
    net_run(&net, 100 * MS);
    assert_int_equal(fab_ep_recv(carry_exp, &msg, OWNER), SF_OK);
    return msg.args[1].ep;
}

static void an_end_that_came_before_its_session_was_open_is_no_orphan(void **state)
{
    struct fab_msg msg = {.tag = WORK_BURST, .arg_count = 1, .args = {{.scalar = 5}}};
    struct fab_ep *imp, *exp;

    (void)state;
    imp = move_in_the_dark(&exp);
    assert_int_equal(fab_ep_send(imp, &msg, OWNER), SF_OK);
    cut(2, 3, false);
    cut(3, 2, false);
    net_run(&net, 500 * MS);
    memset(&msg, 0, sizeof(msg));
    assert_int_equal(fab_ep_recv(exp, &msg, OWNER), SF_OK);
    assert_int_equal(msg.args[0].scalar, 5);
    net_audit(&net);
}

static void an_end_whose_session_never_opens_closes_at_both_sides(void **state)
{
    struct fab_msg msg;
    struct fab_ep *imp, *exp;

    (void)state;
    imp = move_in_the_dark(&exp);
    fab_peer_remove(fab(3), 2, SF_CAUSE_OF(NODE_LOST));
    net_run(&net, 100 * MS);
    assert_int_equal(fab_ep_recv(imp, &msg, OWNER), SF_CLOSED);
    assert_int_equal(fab_ep_cause(imp).kind, SF_CAUSE_NODE_LOST);
    assert_int_equal(fab_ep_recv(exp, &msg, OWNER), SF_CLOSED);
    assert_int_equal(fab_ep_cause(exp).kind, SF_CAUSE_NODE_LOST);
    net_audit(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sessions_that_both_began_anew_meet, setup_met, teardown),
        cmocka_unit_test_setup_teardown(an_end_that_came_before_its_session_was_open_is_no_orphan,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(an_end_whose_session_never_opens_closes_at_both_sides,
                                        setup, teardown),
    };

    return cmocka_run_group_tests_name("meet", tests, NULL, NULL);
}
