/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions in lanes: each lane's thread is told of its own, and of no others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "session.h"
#include "test_net.h"

#define NODES 3u
#include "test_case.h"

#define MS 1000000ull
#define LANE 5u

static void lane_set(uint16_t peer_id, uint8_t lane)
{
    struct fab_peer peer = net_peer(&net, peer_id);

    peer.lane = lane;
    assert_int_equal(fab_peer_add(fab(1), &peer, net.now_ns), SF_EXISTS);
}

/* Nothing waits any more. */
static int setup_met(void **state)
{
    (void)setup(state);
    lane_set(3, LANE);
    net_run(&net, 50 * MS);
    assert_false(fab_lane_waits(fab(1), 0) && fab_lane_pending(fab(1), 0) != 0);
    assert_false(fab_lane_waits(fab(1), LANE) && fab_lane_pending(fab(1), LANE) != 0);
    memset(net.nodes[1].waiting_count, 0, sizeof(net.nodes[1].waiting_count));
    return 0;
}

static void ask(uint16_t node_id)
{
    struct fab_ep *ep;

    assert_int_equal(fab_open(fab(1), node_id, "none", test_work(), &ep), SF_OK);
    fab_ep_close(ep, SF_CAUSE_OF(SHUTDOWN));
}

static void a_lane_has_its_own_sessions_only(void **state)
{
    (void)state;
    ask(2);
    assert_int_equal(fab_lane_pending(fab(1), 0), 2);
    assert_int_equal(fab_lane_pending(fab(1), 0), 2);
    assert_int_equal(fab_lane_pending(fab(1), LANE), 0);
    assert_int_equal(net.nodes[1].waiting_count[0], 1);
    assert_int_equal(net.nodes[1].waiting_count[LANE], 0);
    ask(3);
    assert_int_equal(fab_lane_pending(fab(1), LANE), 3);
    assert_int_equal(fab_tx_pending(fab(1)), 2);
    assert_int_equal(net.nodes[1].waiting_count[0], 1);
    assert_int_equal(net.nodes[1].waiting_count[LANE], 1);
}

/* One that has something to send takes it along, and the new lane is told. */
static void a_session_changes_its_lane(void **state)
{
    (void)state;
    ask(2);
    ask(3);
    lane_set(2, LANE);
    assert_int_equal(fab_lane_pending(fab(1), 0), 0);
    assert_int_equal(net.nodes[1].waiting_count[LANE], 2);
    assert_int_equal(fab_lane_pending(fab(1), LANE), 3);
    assert_int_equal(fab_lane_pending(fab(1), LANE), 2);
    lane_set(3, 0);
    assert_int_equal(fab_lane_pending(fab(1), 0), 3);
    assert_int_equal(fab_lane_pending(fab(1), LANE), 2);
    assert_int_equal(fab_lane_pending(fab(1), LANE), 2);
    net_run(&net, 50 * MS);
    assert_int_equal(net_ep_count(&net, 1), 0);
}

/* Also the session that takes another one's place when the peer begins anew. */
static void a_session_that_begins_anew_stays_in_its_lane(void **state)
{
    (void)state;
    net_restart(&net, 3);
    net_introduce(&net, 1, 3);
    lane_set(3, LANE);
    net_run(&net, 50 * MS);
    ask(3);
    assert_int_equal(fab_lane_pending(fab(1), 0), 0);
    assert_int_equal(fab_lane_pending(fab(1), LANE), 3);
}

static void a_lane_out_of_range_is_refused(void **state)
{
    struct fab_peer peer = net_peer(&net, 2);

    (void)state;
    peer.lane = FAB_LANES_MAX;
    assert_int_equal(fab_peer_add(fab(1), &peer, net.now_ns), SF_BADARG);
}

int main(void)
{
    static const struct CMUnitTest all[] = {
        cmocka_unit_test_setup_teardown(a_lane_has_its_own_sessions_only, setup_met, teardown),
        cmocka_unit_test_setup_teardown(a_session_changes_its_lane, setup_met, teardown),
        cmocka_unit_test_setup_teardown(a_session_that_begins_anew_stays_in_its_lane, setup_met,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_lane_out_of_range_is_refused, setup_met, teardown),
    };

    return cmocka_run_group_tests_name("fabric-lane", all, NULL, NULL);
}
