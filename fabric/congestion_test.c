/* SPDX-License-Identifier: Apache-2.0 */
/* The window by itself, told what a link might do. bottleneck_test.c has sessions that share one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "congestion.h"

#define US 1000ull
#define SECOND 1000000000ull
#define BASE_NS (100 * US)
#define WINDOW_MAX 256u
#define TARGET_NS FAB__CONGESTION_TARGET_NS
/* What a window of 100 aims at: more than the least, by 16 / 116. */
#define TARGET_100_NS (TARGET_NS + TARGET_NS * 16 / 116)

static struct fab__congestion c;
static uint32_t next; /* sequence */
static uint64_t now_ns;

static void begin(void)
{
    next = 1;
    now_ns = SECOND;
    fab__congestion_begin(&c, next, false);
}

static void deliver(uint32_t frames, uint64_t sample_ns)
{
    fab__congestion_delivered(&c, frames, next, next, sample_ns, WINDOW_MAX, now_ns);
}

/* A window is sent and delivered but for `lost` frames, and all see that delay above the base. */
static void round_of(uint64_t delay_ns, uint32_t lost)
{
    uint32_t frames = c.window;

    for (uint32_t i = 0; i < frames; i++) {
        next++;
        fab__congestion_sent(&c, i == frames - 1);
    }
    now_ns += BASE_NS + delay_ns;
    fab__congestion_lost(&c, lost);
    deliver(frames - lost, BASE_NS + delay_ns);
}

/* Past slow start, with a window of so many frames. */
static void begin_at(uint32_t window)
{
    begin();
    round_of(0, 0);
    c.window = c.threshold = window;
    round_of(0, 0); /* no sample of slow start is left */
    c.window = c.threshold = window;
    c.easy_count = c.frames = c.lost = 0;
}

static void slow_start_doubles_until_a_queue_shows(void **state)
{
    (void)state;
    begin();
    assert_int_equal(c.window, 32);
    round_of(0, 0);
    assert_int_equal(c.window, 64);
    round_of(TARGET_NS / 4, 0);
    assert_int_equal(c.window, 128);
    round_of(TARGET_NS * 3 / 4, 0);
    assert_int_equal(c.window, WINDOW_MAX);
    assert_int_equal(c.threshold, 256);
    c.window = c.threshold = 100;
    round_of(TARGET_NS * 3 / 4, 0);
    assert_int_equal(c.window, 101);
}

static void below_the_target_it_grows_by_a_frame_a_round_and_faster_far_below(void **state)
{
    (void)state;
    begin_at(40);
    for (uint32_t i = 0; i < 8; i++) {
        round_of(TARGET_NS / 2, 0);
    }
    assert_int_equal(c.window, 48);
    for (uint32_t i = 0; i < 4; i++) {
        round_of(TARGET_NS / 8, 0);
    }
    assert_int_equal(c.window, 52);
    round_of(TARGET_NS / 8, 0);
    assert_int_equal(c.window, 52 + 1 + 52 / 8);
}

static void it_does_not_grow_beyond_what_is_used(void **state)
{
    (void)state;
    begin_at(40);
    for (uint32_t i = 0; i < 20; i++) {
        next += 5;
        fab__congestion_sent(&c, false);
        deliver(5, BASE_NS);
    }
    assert_int_equal(c.window, 40);
}

static void a_standing_queue_shrinks_it_by_half_of_what_is_too_much(void **state)
{
    (void)state;
    begin_at(99);
    round_of(2 * TARGET_100_NS, 0);
    assert_int_equal(c.window, 100); /* one round may be a receiver that did not run */
    round_of(2 * TARGET_100_NS, 0);
    assert_int_equal(c.window, 75);
    for (uint32_t i = 0; i < 20; i++) {
        round_of(100 * TARGET_NS, 0);
    }
    assert_int_equal(c.window, 4); /* so few make no queue */
}

/* A flow that comes late and takes a queue for its way must not get all. */
static void a_small_window_takes_more_delay(void **state)
{
    (void)state;
    for (uint32_t window = 4; window <= WINDOW_MAX; window *= 4) {
        begin_at(window);
        round_of(TARGET_NS * 3 / 2, 0);
        c.window = window;
        round_of(TARGET_NS * 3 / 2, 0);
        assert_true(window < 16 ? c.window > window : c.window <= window + (window == 16));
    }
}

static void a_wire_that_loses_by_itself_keeps_its_window(void **state)
{
    (void)state;
    begin_at(100);
    for (uint32_t i = 0; i < 400; i++) {
        round_of(0, i % 2 == 0 ? c.window / 50 : 0); /* 1 % */
        assert_true(c.window >= 100);
    }
    assert_int_equal(c.window, WINDOW_MAX);
}

static void more_than_one_lost_in_thirty_two_shrinks_it(void **state)
{
    (void)state;
    begin_at(100);
    round_of(TARGET_NS / 2, 4);
    assert_int_equal(c.window, 100); /* too few to tell, and no reason to grow */
    round_of(TARGET_NS / 2, 4);
    assert_int_equal(c.window, 75);
    assert_int_equal(c.threshold, 75);
}

static void near_where_it_lost_it_grows_slowly(void **state)
{
    uint32_t rounds = 0;

    (void)state;
    begin_at(100);
    round_of(TARGET_NS / 2, 20);
    assert_int_equal(c.window, 50);
    for (; c.window < 88; rounds++) {
        round_of(TARGET_NS / 2, 0);
    }
    assert_int_equal(rounds, 38);
    for (rounds = 0; c.window <= 100; rounds++) {
        round_of(TARGET_NS / 2, 0);
    }
    assert_in_range(rounds, 12 * 8, 13 * 8);
    round_of(TARGET_NS / 2, 0); /* it holds now */
    assert_int_equal(c.window, 102);
}

static void an_eighth_lost_in_a_round_halves_it(void **state)
{
    (void)state;
    begin_at(100);
    round_of(0, 13);
    assert_int_equal(c.window, 50);
    begin(); /* slow start that ends at a full queue */
    round_of(0, 0);
    round_of(0, 32);
    assert_true(c.window <= 64);
    assert_int_equal(c.threshold, c.window);
}

static void few_losses_in_a_queue_leave_it_to_the_delay(void **state)
{
    (void)state;
    begin_at(100);
    round_of(2 * TARGET_100_NS, 1);
    round_of(2 * TARGET_100_NS, 1);
    assert_int_equal(c.window, 75);
}

static void frames_that_were_only_late_are_no_loss(void **state)
{
    (void)state;
    begin_at(100);
    for (uint32_t i = 0; i < 20; i++) {
        fab__congestion_lost(&c, 5);
        for (uint32_t k = 0; k < 5; k++) {
            fab__congestion_found(&c);
        }
        round_of(TARGET_NS / 2, 0);
    }
    assert_int_equal(c.window, 120);
}

static void after_a_time_out_it_begins_anew_up_to_the_half(void **state)
{
    (void)state;
    begin_at(100);
    fab__congestion_timeout(&c);
    assert_int_equal(c.window, FAB__CONGESTION_WINDOW_MIN);
    for (uint32_t i = 0; i < 5; i++) {
        round_of(TARGET_NS / 3, 0);
    }
    assert_in_range(c.window, 50, 70);
    for (uint32_t i = 0; i < 3; i++) {
        round_of(TARGET_NS / 3, 0);
    }
    assert_in_range(c.window, 53, 73); /* by a frame a round */
}

static void a_time_out_that_was_wrong_is_taken_back(void **state)
{
    (void)state;
    begin_at(100);
    fab__congestion_timeout(&c);
    fab__congestion_timeout(&c);
    fab__congestion_undo(&c);
    assert_int_equal(c.window, 100);
    fab__congestion_undo(&c); /* once */
    fab__congestion_timeout(&c);
    round_of(0, 0);
    round_of(0, 0);
    fab__congestion_undo(&c); /* too late to tell */
    assert_in_range(c.window, 2, 16);
}

/* Answers how long it drained. */
static uint64_t stand(uint64_t ns, uint64_t delay_ns)
{
    uint64_t end_ns = now_ns + ns;
    uint64_t drained_ns = 0;

    while (now_ns < end_ns) {
        bool drains = c.drain_rounds > 0;
        assert_true(!drains || c.window == FAB__CONGESTION_WINDOW_MIN);
        round_of(drains ? 0 : delay_ns, 0);
        drained_ns += drains ? BASE_NS : 0;
        c.window = c.drain_rounds > 0 ? c.window : 100;
    }
    return drained_ns;
}

static void a_queue_that_stands_is_never_taken_for_the_way(void **state)
{
    (void)state;
    begin_at(100);
    assert_in_range(stand(60 * SECOND, TARGET_NS), 110 * 1000 * US, 120 * 1000 * US);
    assert_int_equal(c.base_ns, BASE_NS);
    assert_int_equal(c.window, 100);
}

static void without_a_queue_nothing_has_to_drain(void **state)
{
    (void)state;
    begin_at(100);
    assert_int_equal(stand(60 * SECOND, TARGET_NS / 10), 0);
}

static void a_longer_way_becomes_the_base(void **state)
{
    (void)state;
    begin_at(100);
    for (uint64_t end_ns = now_ns + 6 * SECOND; now_ns < end_ns;) {
        round_of(3 * TARGET_NS, 0);
    }
    assert_int_equal(c.base_ns, BASE_NS + 3 * TARGET_NS);
}

static void a_fixed_window_stays(void **state)
{
    (void)state;
    begin();
    fab__congestion_begin(&c, next, true);
    fab__congestion_lost(&c, 100);
    fab__congestion_timeout(&c);
    deliver(1, SECOND);
    assert_int_equal(c.window, UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow_start_doubles_until_a_queue_shows),
        cmocka_unit_test(below_the_target_it_grows_by_a_frame_a_round_and_faster_far_below),
        cmocka_unit_test(it_does_not_grow_beyond_what_is_used),
        cmocka_unit_test(a_standing_queue_shrinks_it_by_half_of_what_is_too_much),
        cmocka_unit_test(a_small_window_takes_more_delay),
        cmocka_unit_test(a_wire_that_loses_by_itself_keeps_its_window),
        cmocka_unit_test(more_than_one_lost_in_thirty_two_shrinks_it),
        cmocka_unit_test(near_where_it_lost_it_grows_slowly),
        cmocka_unit_test(an_eighth_lost_in_a_round_halves_it),
        cmocka_unit_test(few_losses_in_a_queue_leave_it_to_the_delay),
        cmocka_unit_test(frames_that_were_only_late_are_no_loss),
        cmocka_unit_test(after_a_time_out_it_begins_anew_up_to_the_half),
        cmocka_unit_test(a_time_out_that_was_wrong_is_taken_back),
        cmocka_unit_test(a_queue_that_stands_is_never_taken_for_the_way),
        cmocka_unit_test(without_a_queue_nothing_has_to_drain),
        cmocka_unit_test(a_longer_way_becomes_the_base),
        cmocka_unit_test(a_fixed_window_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
