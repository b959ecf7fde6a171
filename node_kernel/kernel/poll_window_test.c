/* SPDX-License-Identifier: Apache-2.0 */
/* Polling stops where it is in vain, and goes on where it would have paid. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "poll_window.h"

static void a_fresh_one_is_open(void **state)
{
    const struct poll_window window = {0};

    (void)state;
    assert_int_equal(poll_window_ns(&window), POLL_WINDOW_NS);
}

static void long_sleeps_close_it(void **state)
{
    struct poll_window window = {0};

    (void)state;
    for (uint32_t i = 0; i < POLL_WINDOW_MISSES; i++) {
        assert_int_equal(poll_window_ns(&window), POLL_WINDOW_NS);
        poll_window_slept(&window, POLL_WINDOW_NS);
    }
    assert_int_equal(poll_window_ns(&window), 0);
    for (uint32_t i = 0; i < 1000; i++) {
        poll_window_slept(&window, UINT64_MAX);
        assert_int_equal(poll_window_ns(&window), 0);
    }
}

static void a_short_one_opens_it(void **state)
{
    struct poll_window window = {0};

    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        poll_window_slept(&window, POLL_WINDOW_NS);
    }
    poll_window_slept(&window, POLL_WINDOW_NS - 1);
    assert_int_equal(poll_window_ns(&window), POLL_WINDOW_NS);
}

static void only_misses_in_a_row_count(void **state)
{
    struct poll_window window = {0};

    (void)state;
    for (uint32_t i = 0; i < 10 * POLL_WINDOW_MISSES; i++) {
        poll_window_slept(&window, i % POLL_WINDOW_MISSES == 0 ? 0 : 2 * POLL_WINDOW_NS);
        assert_int_equal(poll_window_ns(&window), POLL_WINDOW_NS);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_one_is_open),
        cmocka_unit_test(long_sleeps_close_it),
        cmocka_unit_test(a_short_one_opens_it),
        cmocka_unit_test(only_misses_in_a_row_count),
    };

    return cmocka_run_group_tests_name("poll_window", tests, NULL, NULL);
}
