/* SPDX-License-Identifier: Apache-2.0 */
#include "way.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MS 1000000ull

static void the_first_is_taken_while_it_is_up(void **state)
{
    struct way way = {.may_follow = false};

    (void)state;
    assert_false(way_takes_spare(&way, true, true, 0));
    assert_false(way_takes_spare(&way, true, false, 0));
    assert_true(way_takes_spare(&way, false, true, 0));
    assert_false(way_takes_spare(&way, false, false, 0));
}

static void who_hears_the_spare_follows_once(void **state)
{
    struct way way = {.may_follow = false};

    (void)state;
    way_heard(&way, false, 999 * MS);
    way_heard(&way, true, 1000 * MS);
    assert_true(way_takes_spare(&way, true, true, 1000 * MS));
    assert_false(way_takes_spare(&way, true, false, 1000 * MS));
    way_heard(&way, true, 4999 * MS); /* does not make it longer */
    assert_true(way_takes_spare(&way, true, true, 4999 * MS));
    assert_false(way_takes_spare(&way, true, true, 5000 * MS));
    way_heard(&way, true, 6000 * MS);
    assert_false(way_takes_spare(&way, true, true, 6000 * MS));
    way_heard(&way, false, 7000 * MS);
    way_heard(&way, true, 7000 * MS);
    assert_true(way_takes_spare(&way, true, true, 7000 * MS));
    way_heard(&way, false, 7001 * MS);
    assert_false(way_takes_spare(&way, true, true, 7001 * MS));
}

/* Who comes back first does not wait for the other, whose frames still come on the spare. */
static void a_link_that_comes_up_is_taken_at_once(void **state)
{
    struct way way = {.may_follow = false};

    (void)state;
    way_heard(&way, true, 0); /* at the start, too */
    assert_false(way_takes_spare(&way, true, true, 1 * MS));
    way_heard(&way, false, 1000 * MS);
    assert_true(way_takes_spare(&way, false, true, 1001 * MS));
    way_heard(&way, true, 1002 * MS);
    assert_false(way_takes_spare(&way, true, true, 1003 * MS));
    way_heard(&way, true, 1004 * MS);
    assert_false(way_takes_spare(&way, true, true, 1005 * MS));
}

/* Both see nothing of the other before their drivers do; then each hears the other on the spare,
 * and stays there. */
static void silence_is_not_waited_out(void **state)
{
    struct way way = {.may_follow = false};

    (void)state;
    assert_false(way_takes_spare(&way, true, true, 9000 * MS)); /* the peer has never been heard */
    way_heard(&way, false, 10000 * MS);
    assert_false(way_takes_spare(&way, true, true, 10600 * MS));
    assert_true(way_takes_spare(&way, true, true, 10601 * MS));
    assert_false(way_takes_spare(&way, true, false, 10601 * MS));
    way_heard(&way, true, 10700 * MS);
    assert_true(way_takes_spare(&way, true, true, 10701 * MS));
    assert_true(way_takes_spare(&way, false, true, 10900 * MS)); /* the driver has noticed */
    way_heard(&way, false, 20000 * MS);
    assert_false(way_takes_spare(&way, true, true, 20001 * MS));
}

/* Two sides that both have been on the spare, and whose first link is well again: they talk all the
 * time, each frame arrives at once, and they come back to it. */
static void two_that_follow_each_other_come_back(void **state)
{
    struct way ways[2] = {{.may_follow = true}, {.may_follow = true}};

    (void)state;
    way_heard(&ways[1], true, 0); /* the first of them was down for a moment */
    for (uint64_t now_ns = 0; now_ns < 3 * (uint64_t)WAY_FOLLOW_NS; now_ns += MS) {
        for (unsigned side = 0; side < 2; side++) {
            way_heard(&ways[1 - side], way_takes_spare(&ways[side], true, true, now_ns), now_ns);
        }
    }
    assert_false(way_takes_spare(&ways[0], true, true, 3 * (uint64_t)WAY_FOLLOW_NS));
    assert_false(way_takes_spare(&ways[1], true, true, 3 * (uint64_t)WAY_FOLLOW_NS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_is_taken_while_it_is_up),
        cmocka_unit_test(who_hears_the_spare_follows_once),
        cmocka_unit_test(a_link_that_comes_up_is_taken_at_once),
        cmocka_unit_test(silence_is_not_waited_out),
        cmocka_unit_test(two_that_follow_each_other_come_back),
    };
    return cmocka_run_group_tests_name("way", tests, NULL, NULL);
}
