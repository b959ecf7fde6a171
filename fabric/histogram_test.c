/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fabric/histogram.h"

static void every_value_is_in_the_bucket_that_ends_above_it(void **state)
{
    const uint64_t last = fab_histogram_end(FAB_HISTOGRAM_BUCKETS - 2);

    (void)state;
    for (uint64_t value = 1; value < last; value += 1 + value / 7) {
        const uint32_t bucket = fab_histogram_bucket(value);

        assert_true(value < fab_histogram_end(bucket));
        assert_true(bucket == 0 || value >= fab_histogram_end(bucket - 1));
        assert_true(bucket == 0 || fab_histogram_end(bucket) - value <= value / 4 + 1);
    }
    assert_int_equal(fab_histogram_bucket(0), 0);
    assert_int_equal(fab_histogram_bucket(UINT64_MAX), FAB_HISTOGRAM_BUCKETS - 1);
    assert_true(last > 10000000000ull); /* ten seconds are told apart */
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void answers_are_at_most_a_quarter_too_high(void **state)
{
    static uint64_t values[20000];
    const size_t count = sizeof(values) / sizeof(values[0]);
    struct fab_histogram histogram = {0};

    (void)state;
    srand(3);
    for (size_t i = 0; i < count; i++) {
        values[i] = 300 + (uint64_t)rand() % (1u << (10 + (uint32_t)rand() % 18));
        fab_histogram_add(&histogram, values[i]);
    }
    qsort(values, count, sizeof(values[0]), by_value);
    for (uint32_t percent = 1; percent <= 100; percent++) {
        const uint64_t right = values[(count * percent + 99) / 100 - 1];
        const uint64_t told = fab_histogram_ns(&histogram, percent);

        assert_true(told >= right);
        assert_true(told <= right + right / 4 + 1);
    }
    assert_int_equal(fab_histogram_ns(&histogram, 100), values[count - 1]);
    assert_int_equal(histogram.max_ns, values[count - 1]);
    assert_int_equal(histogram.count, count);
}

static void nothing_and_one(void **state)
{
    struct fab_histogram histogram = {0};

    (void)state;
    assert_int_equal(fab_histogram_ns(&histogram, 99), 0);
    fab_histogram_add(&histogram, 5000);
    assert_int_equal(fab_histogram_ns(&histogram, 1), 5000);
    assert_int_equal(fab_histogram_ns(&histogram, 99), 5000);
    fab_histogram_add(&histogram, UINT64_MAX);
    assert_true(fab_histogram_ns(&histogram, 99) == UINT64_MAX);
}

static void old_samples_fade(void **state)
{
    struct fab_histogram histogram = {0};

    (void)state;
    for (uint32_t i = 0; i < 100000; i++) {
        fab_histogram_add(&histogram, 1000);
    }
    assert_true(fab_histogram_ns(&histogram, 50) < 2000);
    for (uint32_t i = 0; i < 1000000; i++) {
        fab_histogram_add(&histogram, 1000000);
    }
    assert_int_equal(histogram.count, 1100000);
    assert_true(fab_histogram_ns(&histogram, 2) == 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_is_in_the_bucket_that_ends_above_it),
        cmocka_unit_test(answers_are_at_most_a_quarter_too_high),
        cmocka_unit_test(nothing_and_one),
        cmocka_unit_test(old_samples_fade),
    };

    return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
