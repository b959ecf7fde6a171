/* SPDX-License-Identifier: Apache-2.0 */
/* supervise_test.c - restart policies, told by hand what happens and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "supervise.h"

static const struct supervise_policy on_fault = {SUPERVISE_ON_FAULT, 100, 1000, 5, 60000, false};

static struct supervise_policy with(enum supervise_when when, uint32_t limit, bool escalate)
{
    struct supervise_policy policy = on_fault;

    policy.when = when;
    policy.limit = limit;
    policy.escalate = escalate;
    return policy;
}

/* It starts, runs for ran_ms, and ends. *now_ms moves on to its end. */
static struct supervise_decision run(struct supervise *supervise,
                                     const struct supervise_policy *policy, enum supervise_end how,
                                     uint64_t ran_ms, uint64_t *now_ms)
{
    supervise_started(supervise, *now_ms);
    *now_ms += ran_ms;
    return supervise_ended(supervise, policy, how, *now_ms);
}

/* The same, answering how long after the end it is made again. */
static uint64_t wait_of(struct supervise *supervise, const struct supervise_policy *policy,
                        enum supervise_end how, uint64_t ran_ms, uint64_t *now_ms)
{
    struct supervise_decision decision = run(supervise, policy, how, ran_ms, now_ms);

    assert_int_equal(decision.verdict, SUPERVISE_RESTART);
    return decision.at_ms - *now_ms;
}

static void each_policy_takes_the_ends_it_is_for(void **state)
{
    static const struct {
        enum supervise_when when;
        enum supervise_end how;
        enum supervise_verdict verdict;
    } table[] = {
        {SUPERVISE_NEVER, SUPERVISE_GOOD, SUPERVISE_DOWN},
        {SUPERVISE_NEVER, SUPERVISE_BAD, SUPERVISE_DOWN},
        {SUPERVISE_ON_FAULT, SUPERVISE_GOOD, SUPERVISE_DOWN},
        {SUPERVISE_ON_FAULT, SUPERVISE_BAD, SUPERVISE_RESTART},
        {SUPERVISE_ALWAYS, SUPERVISE_GOOD, SUPERVISE_RESTART},
        {SUPERVISE_ALWAYS, SUPERVISE_BAD, SUPERVISE_RESTART},
    };
    size_t index;

    (void)state;
    for (index = 0; index < sizeof(table) / sizeof(table[0]); index++) {
        struct supervise supervise = {0};
        struct supervise_policy policy = with(table[index].when, 5, false);
        uint64_t now_ms = 1000;
        assert_int_equal(run(&supervise, &policy, table[index].how, 7, &now_ms).verdict,
                         table[index].verdict);
    }
}

static void back_off_doubles_up_to_its_cap(void **state)
{
    static const uint64_t waits[] = {100, 200, 400, 800, 1000, 1000, 1000};
    struct supervise_policy policy = with(SUPERVISE_ON_FAULT, 0, false);
    struct supervise supervise = {0};
    uint64_t now_ms = 50;
    size_t index;

    (void)state;
    for (index = 0; index < sizeof(waits) / sizeof(waits[0]); index++) {
        struct supervise_decision decision = run(&supervise, &policy, SUPERVISE_BAD, 1, &now_ms);
        assert_int_equal(decision.verdict, SUPERVISE_RESTART);
        assert_int_equal(decision.at_ms - now_ms, waits[index]);
        now_ms = decision.at_ms;
    }
}

static void a_healthy_window_starts_the_back_off_anew(void **state)
{
    struct supervise supervise = {0};
    uint64_t now_ms = 0;

    (void)state;
    assert_int_equal(wait_of(&supervise, &on_fault, SUPERVISE_BAD, 1, &now_ms), 100);
    assert_int_equal(wait_of(&supervise, &on_fault, SUPERVISE_BAD, 59999, &now_ms), 200);
    assert_int_equal(wait_of(&supervise, &on_fault, SUPERVISE_BAD, 60000, &now_ms), 100);
    assert_int_equal(wait_of(&supervise, &on_fault, SUPERVISE_BAD, 1, &now_ms), 200);
}

static void the_limit_ends_it(void **state)
{
    struct supervise supervise = {0};
    struct supervise_decision decision;
    uint64_t now_ms = 0;
    uint32_t count;

    (void)state;
    for (count = 1; count <= 5; count++) {
        decision = run(&supervise, &on_fault, SUPERVISE_BAD, 10, &now_ms);
        assert_int_equal(decision.verdict, SUPERVISE_RESTART);
        assert_int_equal(decision.granted, count);
    }
    decision = run(&supervise, &on_fault, SUPERVISE_BAD, 10, &now_ms);
    assert_int_equal(decision.verdict, SUPERVISE_FAILED);
}

static void the_window_slides(void **state)
{
    struct supervise_policy policy = with(SUPERVISE_ON_FAULT, 2, false);
    struct supervise supervise = {0};
    uint64_t now_ms = 0;

    (void)state;
    policy.window_ms = 10000;
    /* Granted at 4000 and 8000; at 12000 both are in, at 14000 the first is out. */
    assert_int_equal(run(&supervise, &policy, SUPERVISE_BAD, 4000, &now_ms).granted, 1);
    assert_int_equal(run(&supervise, &policy, SUPERVISE_BAD, 4000, &now_ms).granted, 2);
    assert_int_equal(run(&supervise, &policy, SUPERVISE_BAD, 6000, &now_ms).granted, 2);
    assert_int_equal(now_ms, 14000);
    assert_int_equal(run(&supervise, &policy, SUPERVISE_BAD, 3999, &now_ms).verdict,
                     SUPERVISE_FAILED);
}

static void no_limit_means_for_ever(void **state)
{
    struct supervise_policy policy = with(SUPERVISE_ALWAYS, 0, false);
    struct supervise supervise = {0};
    uint64_t now_ms = 0;
    int count;

    (void)state;
    for (count = 0; count < 1000; count++) {
        assert_int_equal(run(&supervise, &policy, SUPERVISE_GOOD, 0, &now_ms).verdict,
                         SUPERVISE_RESTART);
    }
}

static void escalation_comes_once_and_then_it_has_failed(void **state)
{
    struct supervise_policy policy = with(SUPERVISE_ON_FAULT, 1, true);
    struct supervise supervise = {0};
    uint64_t now_ms = 0;

    (void)state;
    assert_int_equal(run(&supervise, &policy, SUPERVISE_BAD, 1, &now_ms).verdict,
                     SUPERVISE_RESTART);
    assert_int_equal(run(&supervise, &policy, SUPERVISE_BAD, 1, &now_ms).verdict,
                     SUPERVISE_ESCALATE);
    /* A fresh window: the limit and the back-off begin anew. */
    assert_int_equal(wait_of(&supervise, &policy, SUPERVISE_BAD, 1, &now_ms), 100);
    assert_int_equal(run(&supervise, &policy, SUPERVISE_BAD, 1, &now_ms).verdict, SUPERVISE_FAILED);
}

static void escalation_that_helped_may_come_again(void **state)
{
    struct supervise_policy policy = with(SUPERVISE_ON_FAULT, 1, true);
    struct supervise supervise = {0};
    uint64_t now_ms = 0;
    int round;

    (void)state;
    for (round = 0; round < 3; round++) {
        assert_int_equal(run(&supervise, &policy, SUPERVISE_BAD, 60000, &now_ms).verdict,
                         SUPERVISE_RESTART);
        assert_int_equal(run(&supervise, &policy, SUPERVISE_BAD, 1, &now_ms).verdict,
                         SUPERVISE_ESCALATE);
    }
}

static void a_start_that_fails_counts_like_a_fault(void **state)
{
    struct supervise_policy policy = with(SUPERVISE_ON_FAULT, 2, false);
    struct supervise supervise = {0};
    uint64_t now_ms = 0;

    (void)state;
    assert_int_equal(run(&supervise, &policy, SUPERVISE_BAD, 1, &now_ms).granted, 1);
    /* Never started again, and though much time passes it is not healthy for that. */
    assert_int_equal(supervise_ended(&supervise, &policy, SUPERVISE_BAD, now_ms + 59999).granted,
                     2);
    assert_int_equal(supervise_ended(&supervise, &policy, SUPERVISE_BAD, now_ms + 59999).verdict,
                     SUPERVISE_FAILED);
}

static void a_policy_may_change_in_between(void **state)
{
    struct supervise_policy wide = with(SUPERVISE_ON_FAULT, 64, false);
    struct supervise_policy narrow = with(SUPERVISE_ON_FAULT, 3, false);
    struct supervise supervise = {0};
    uint64_t now_ms = 0;
    int count;

    (void)state;
    for (count = 0; count < 64; count++) {
        assert_int_equal(run(&supervise, &wide, SUPERVISE_BAD, 1, &now_ms).verdict,
                         SUPERVISE_RESTART);
    }
    assert_int_equal(supervise.granted_count, SUPERVISE_LIMIT_MAX);
    assert_int_equal(run(&supervise, &narrow, SUPERVISE_BAD, 1, &now_ms).verdict, SUPERVISE_FAILED);
}

static void a_clock_that_goes_back_harms_nothing(void **state)
{
    struct supervise supervise = {0};

    (void)state;
    supervise_started(&supervise, 5000);
    assert_int_equal(supervise_ended(&supervise, &on_fault, SUPERVISE_BAD, 4000).at_ms, 4100);
    supervise_started(&supervise, 3000);
    assert_int_equal(supervise_ended(&supervise, &on_fault, SUPERVISE_BAD, 2000).at_ms, 2200);
}

static void values_out_of_range_are_told(void **state)
{
    struct supervise_policy policy = on_fault;

    (void)state;
    assert_null(supervise_policy_wrong(&policy));
    policy.when = (enum supervise_when)9;
    assert_non_null(strstr(supervise_policy_wrong(&policy), "never, on-fault or always"));
    policy = on_fault;
    policy.backoff_ms = SUPERVISE_BACKOFF_MS_MIN - 1;
    assert_non_null(strstr(supervise_policy_wrong(&policy), "backoff is 10ms to 1h"));
    policy.backoff_ms = policy.backoff_max_ms + 1;
    assert_non_null(strstr(supervise_policy_wrong(&policy), "backoff_max is at least backoff"));
    policy = on_fault;
    policy.limit = SUPERVISE_LIMIT_MAX + 1;
    assert_non_null(strstr(supervise_policy_wrong(&policy), "limit is 0 (none) to 64"));
    policy = on_fault;
    policy.window_ms = SUPERVISE_WINDOW_MS_MIN - 1;
    assert_non_null(strstr(supervise_policy_wrong(&policy), "window is 1s to 24h"));
    policy.window_ms = UINT32_MAX;
    assert_non_null(supervise_policy_wrong(&policy));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_policy_takes_the_ends_it_is_for),
        cmocka_unit_test(back_off_doubles_up_to_its_cap),
        cmocka_unit_test(a_healthy_window_starts_the_back_off_anew),
        cmocka_unit_test(the_limit_ends_it),
        cmocka_unit_test(the_window_slides),
        cmocka_unit_test(no_limit_means_for_ever),
        cmocka_unit_test(escalation_comes_once_and_then_it_has_failed),
        cmocka_unit_test(escalation_that_helped_may_come_again),
        cmocka_unit_test(a_start_that_fails_counts_like_a_fault),
        cmocka_unit_test(a_policy_may_change_in_between),
        cmocka_unit_test(a_clock_that_goes_back_harms_nothing),
        cmocka_unit_test(values_out_of_range_are_told),
    };

    return cmocka_run_group_tests_name("supervise", tests, NULL, NULL);
}
