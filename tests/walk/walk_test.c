/* SPDX-License-Identifier: Apache-2.0 */
/* The contract walk against a model of the TCP service, which can be told to misbehave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "TcpConnectionContract_monitor.h"
#include "TcpContract_monitor.h"
#include "fake.h"

int sip_main(void);

static struct ct_contract *tables[2];

static int setup(void **state)
{
    const char *text = NULL;

    (void)state;
    if (ct_decode(ct_blob_TcpContract, ct_blob_TcpContract_bytes, &tables[0], &text) != SF_OK) {
        return -1;
    }
    return ct_decode(ct_blob_TcpConnectionContract, ct_blob_TcpConnectionContract_bytes, &tables[1],
                     &text) == SF_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    ct_destroy(tables[0]);
    ct_destroy(tables[1]);
    return 0;
}

static int walk_with(enum fake_fault fault)
{
    fake_reset(fault, tables);
    int code = sip_main();
    fprintf(stderr, "%s# virtual seconds: %.3f\n", fake_log, (double)fake_now_ns / 1e9);
    return code;
}

static void expect_log(const char *text)
{
    if (strstr(fake_log, text) == NULL) {
        fail_msg("the log does not say: %s", text);
    }
}

/* Messages that are illegal for an importer, over all states. */
static uint32_t illegal_count(void)
{
    uint32_t count = 0;

    for (uint16_t s = 0; s < tables[1]->state_count; s++) {
        for (uint32_t tag = 0; tag < tables[1]->message_count; tag++) {
            count += ct_step(tables[1], (uint8_t)s, CT_IMP, tag) == CT_ILLEGAL;
        }
    }
    return count;
}

static void a_good_exporter_is_walked_all_over(void **state)
{
    char line[200];

    (void)state;
    assert_int_equal(walk_with(FAULT_NONE), 0);
    snprintf(line, sizeof(line),
             "walk TcpConnectionContract: states 37 of 37, transitions 85 of 85, "
             "illegal messages refused %u of %u\n",
             illegal_count(), illegal_count());
    expect_log(line);
    assert_null(strstr(fake_log, "failed"));
    assert_null(strstr(fake_log, "not seen"));
    assert_true(fake_blocks_held() <= 1); /* the spare */
    assert_true(fake_now_ns < 5000000000);
}

static void the_walk_is_the_same_twice(void **state)
{
    char *first;

    (void)state;
    assert_int_equal(walk_with(FAULT_NONE), 0);
    first = strdup(fake_log);
    int64_t ns = fake_now_ns;
    assert_int_equal(walk_with(FAULT_NONE), 0);
    assert_string_equal(first, fake_log);
    assert_true(ns == fake_now_ns);
    free(first);
}

/* What an exporter may decide never to do is reported, and is no failure. */
static void what_never_comes_about_is_reported(void **state)
{
    (void)state;
    assert_int_equal(walk_with(FAULT_NEVER_COULD_NOT), 0);
    expect_log("transition not seen: ListenResult: CouldNotListen! -> ReadyState");
    expect_log("states 37 of 37, transitions 84 of 85");
}

static void an_illegal_message_let_through_is_a_failure(void **state)
{
    char line[200];

    (void)state;
    assert_int_equal(walk_with(FAULT_ACCEPTS_ILLEGAL), 1);
    expect_log("failed: Write was to be refused in state Listening, the answer was: ok");
    snprintf(line, sizeof(line), "refused %u of %u\n", illegal_count() - 1, illegal_count());
    expect_log(line);
}

static void a_refusal_that_changes_the_state_is_a_failure(void **state)
{
    (void)state;
    assert_int_equal(walk_with(FAULT_REFUSAL_MOVES), 1);
    expect_log("was refused in state Bound, but the state is");
}

static void another_status_than_contract_is_a_failure(void **state)
{
    (void)state;
    assert_int_equal(walk_with(FAULT_WRONG_STATUS), 1);
    expect_log("was to be refused in state Zombie, the answer was: the channel is closed");
}

static void a_legal_message_refused_is_a_failure(void **state)
{
    (void)state;
    assert_int_equal(walk_with(FAULT_REFUSES_LEGAL), 1);
    expect_log("failed: IsDataAvailable is legal in state Connected, but the answer was: ");
}

static void an_answer_that_never_comes_is_a_failure_and_the_walk_ends(void **state)
{
    (void)state;
    assert_int_equal(walk_with(FAULT_SILENT), 1);
    expect_log("failed: no message from the exporter in state Connected");
    expect_log("transition not seen");
    assert_true(fake_now_ns <= 12500000000);
}

static void a_channel_that_closes_is_a_failure(void **state)
{
    (void)state;
    assert_int_equal(walk_with(FAULT_CLOSES), 1);
    expect_log("failed: the channel closed in state Connected.2: closed by peer");
    assert_true(fake_now_ns <= 12500000000);
}

static void without_an_exporter_nothing_passes(void **state)
{
    (void)state;
    assert_int_equal(walk_with(FAULT_NO_IMPORT), 1);
    expect_log("failed: no import exporter");
    expect_log("states 0 of 37, transitions 0 of 85, illegal messages refused 0 of 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_exporter_is_walked_all_over),
        cmocka_unit_test(the_walk_is_the_same_twice),
        cmocka_unit_test(what_never_comes_about_is_reported),
        cmocka_unit_test(an_illegal_message_let_through_is_a_failure),
        cmocka_unit_test(a_refusal_that_changes_the_state_is_a_failure),
        cmocka_unit_test(another_status_than_contract_is_a_failure),
        cmocka_unit_test(a_legal_message_refused_is_a_failure),
        cmocka_unit_test(an_answer_that_never_comes_is_a_failure_and_the_walk_ends),
        cmocka_unit_test(a_channel_that_closes_is_a_failure),
        cmocka_unit_test(without_an_exporter_nothing_passes),
    };
    return cmocka_run_group_tests_name("contract walk", tests, setup, teardown);
}
