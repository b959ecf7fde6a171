/* SPDX-License-Identifier: Apache-2.0 */
/* When a session sends again: not too late, not for nothing, and what it makes of that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "session.h"
#include "test_net.h"

#define MS 1000000ull
#define BLOCK_BYTES 60000u

static struct net net;
static struct fab_ep *imp, *exp_end;
static uint32_t rounds;

static struct fab__session *sender(void)
{
    return net.nodes[1].fab->sessions[2];
}

static void give(void)
{
    struct fab_msg msg = {.tag = WORK_BYTES, .arg_count = 2};

    assert_int_equal(xh_alloc(net.nodes[1].heap, BLOCK_BYTES, 1, &msg.args[0].block), SF_OK);
    memset(msg.args[0].block->data, (int)rounds, BLOCK_BYTES);
    assert_int_equal(fab_ep_send(imp, &msg, 1), SF_OK);
}

/* False: the block is not there yet. */
static bool take(void)
{
    const struct fab_msg answer = {.tag = WORK_ANSWER, .arg_count = 1};
    struct fab_msg msg;

    if (!fab_ep_readable(exp_end)) {
        return false;
    }
    assert_int_equal(fab_ep_recv(exp_end, &msg, 2), SF_OK);
    assert_int_equal(msg.args[0].block->bytes, BLOCK_BYTES);
    assert_int_equal(msg.args[0].block->data[BLOCK_BYTES - 1], (uint8_t)rounds);
    assert_int_equal(xh_free(net.nodes[2].heap, msg.args[0].block, 2), SF_OK);
    assert_int_equal(fab_ep_send(exp_end, &answer, 2), SF_OK);
    rounds++;
    return true;
}

/* Blocks, one after the other, for so long. Answers how many arrived. */
static uint32_t exchange(uint64_t ns)
{
    uint64_t end_ns = net.now_ns + ns;
    uint32_t before = rounds;

    while (net.now_ns < end_ns) {
        struct fab_msg answer;
        (void)take();
        if (fab_ep_readable(imp)) {
            assert_int_equal(fab_ep_recv(imp, &answer, 1), SF_OK);
            give();
        }
        net_run(&net, MS / 10);
    }
    return rounds - before;
}

static int setup(void **state)
{
    (void)state;
    net_make(&net, 2, 1);
    rounds = 0;
    assert_int_equal(fab_open(net.nodes[1].fab, 2, "work", test_work(), &imp), SF_OK);
    net_run(&net, 2 * MS);
    exp_end = net.nodes[2].opened_last;
    give();
    assert_true(exchange(100 * MS) > 10);
    assert_int_equal(sender()->info.frames_resent, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    net_end(&net);
    return 0;
}

/* All answers to a window get lost. */
static void a_lost_answer_costs_a_probe_and_no_time_out(void **state)
{
    uint64_t begun_ns;
    uint32_t window, next;

    (void)state;
    while (fab__in_flight(sender()) < 8) {
        net_run(&net, MS / 10);
        (void)exchange(MS / 10);
    }
    window = sender()->congestion.window;
    begun_ns = net.now_ns;
    next = sender()->tx_next;
    net.cut[2][1] = true;
    net_run(&net, MS / 2); /* not as long as until the probe */
    net.cut[2][1] = false;
    while ((int32_t)(next - sender()->tx_acked) > 0) {
        net_run(&net, MS / 10);
    }
    assert_true(net.now_ns - begun_ns < 5 * MS); /* the timer would take 10 */
    assert_in_range(sender()->info.frames_resent, 1, 2);
    assert_int_equal(sender()->info.timeouts, 0);
    assert_true(sender()->congestion.window >= window);
    assert_true(exchange(100 * MS) > 10);
}

/* Nothing is heard for longer than the timer takes, but everything arrived. */
static void answers_that_come_late_give_the_window_back(void **state)
{
    uint32_t window;

    (void)state;
    while (fab__in_flight(sender()) < 16) {
        net_run(&net, MS / 10);
        (void)exchange(MS / 10);
    }
    window = sender()->congestion.window;
    net.cut[2][1] = true;
    net_run(&net, 15 * MS);
    assert_true(sender()->info.timeouts > 0);
    assert_int_equal(sender()->congestion.window, FAB__CONGESTION_WINDOW_MIN);
    net.cut[2][1] = false;
    while (fab__in_flight(sender()) >= 16) {
        net_run(&net, MS / 10);
    }
    assert_true(sender()->congestion.window >= window);
    assert_true(sender()->info.frames_resent < 8);
}

/* Nothing arrived: the window does not come back. */
static void frames_that_are_lost_do_not(void **state)
{
    uint32_t window;

    (void)state;
    while (fab__in_flight(sender()) < 16) {
        net_run(&net, MS / 10);
        (void)exchange(MS / 10);
    }
    window = sender()->congestion.window;
    net.frame_count = 0; /* none of them comes through */
    net.cut[1][2] = true;
    net_run(&net, 15 * MS);
    assert_true(sender()->info.timeouts > 0);
    net.cut[1][2] = false;
    net_run(&net, 30 * MS);
    assert_true(sender()->congestion.window <= window / 2 + 2);
    assert_true(exchange(100 * MS) > 10);
}

static void who_reorders_is_not_taken_for_who_loses(void **state)
{
    uint64_t resent, first;
    uint32_t taken;

    (void)state;
    net.reorder_percent = 3; /* by 2 ms, as far as ten round trips */
    taken = exchange(1000 * MS);
    first = sender()->info.frames_resent;
    assert_true(taken > 50);
    assert_true(sender()->reorder > 3);
    (void)exchange(3000 * MS);
    resent = sender()->info.frames_resent;
    taken = exchange(1000 * MS);
    assert_true(taken > 50);
    assert_true(sender()->info.frames_resent - resent < first + first / 4);
    assert_int_equal(sender()->info.timeouts, 0);
}

/* Memif: who does not answer does not run, and nothing is lost. */
static void a_link_that_holds_frames_back_is_not_probed(void **state)
{
    (void)state;
    sender()->steady = true;
    assert_true(exchange(5 * MS) > 0);
    while (fab__in_flight(sender()) < 8) {
        net_run(&net, MS / 10);
        (void)exchange(MS / 10);
    }
    net.cut[2][1] = true;
    net_run(&net, 8 * MS);
    assert_int_equal(sender()->info.frames_resent, 0);
    net.cut[2][1] = false;
    assert_true(exchange(100 * MS) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_lost_answer_costs_a_probe_and_no_time_out, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(answers_that_come_late_give_the_window_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(frames_that_are_lost_do_not, setup, teardown),
        cmocka_unit_test_setup_teardown(who_reorders_is_not_taken_for_who_loses, setup, teardown),
        cmocka_unit_test_setup_teardown(a_link_that_holds_frames_back_is_not_probed, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
