/* SPDX-License-Identifier: Apache-2.0 */
/* A sleep ends in time, whatever deadlines there were before; and the timer is not set each time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <time.h>

#include "alarm.h"

#define MS 1000000ull

static struct alarm bell;

static uint64_t now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool readable(int fd, int ms)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};

    return poll(&wait, 1, ms) == 1;
}

static int begin(void **state)
{
    (void)state;
    return alarm_init(&bell) == SF_OK ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    alarm_fini(&bell);
    return 0;
}

static void it_rings_at_the_deadline(void **state)
{
    const uint64_t began_ns = now();
    int fd = alarm_at(&bell, began_ns + 20 * MS, began_ns);

    (void)state;
    assert_true(readable(fd, 20000));
    assert_true(now() >= began_ns + 20 * MS);
    /* For the next one it is silent again. */
    fd = alarm_at(&bell, now() + 60000 * MS, now());
    assert_false(readable(fd, 0));
}

static void what_is_over_rings_at_once(void **state)
{
    (void)state;
    assert_true(readable(alarm_at(&bell, now() - 5 * MS, now()), 20000));
    assert_true(readable(alarm_at(&bell, 0, now()), 20000));
}

static void an_earlier_deadline_counts(void **state)
{
    (void)state;
    (void)alarm_at(&bell, now() + 60000 * MS, now());
    assert_true(readable(alarm_at(&bell, now() + 10 * MS, now()), 20000));
}

static void later_deadlines_leave_it_alone_until_it_is_due(void **state)
{
    const uint64_t began_ns = now();
    const uint64_t due_ns = began_ns + 500 * MS;
    int fd;

    (void)state;
    (void)alarm_at(&bell, due_ns, began_ns);
    for (uint64_t i = 1; i < 100; i++) {
        fd = alarm_at(&bell, due_ns + i * MS, began_ns + i);
        assert_int_equal(bell.at_ns, due_ns);
    }
    assert_true(readable(fd, 20000)); /* too early for the last one */
    fd = alarm_at(&bell, due_ns + 60000 * MS, now());
    assert_int_equal(bell.at_ns, due_ns + 60000 * MS);
    assert_false(readable(fd, 0));
}

static void without_a_descriptor_there_is_none(void **state)
{
    struct alarm none;
    struct rlimit before, few;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_int_equal(alarm_init(&none), SF_IO);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    alarm_fini(&none);
    assert_int_not_equal(fcntl(0, F_GETFD), -1); /* it was not descriptor 0 */
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(it_rings_at_the_deadline),           T(what_is_over_rings_at_once),
        T(an_earlier_deadline_counts),         T(later_deadlines_leave_it_alone_until_it_is_due),
        T(without_a_descriptor_there_is_none),
    };

    return cmocka_run_group_tests_name("alarm", tests, NULL, NULL);
}
