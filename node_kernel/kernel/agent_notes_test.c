/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_notes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct agent_notes notes;

/* What was sent: numbers of SIPs, negative for reports; fails from the fail_at-th on. */
static int64_t sent[4 * AGENT_NOTES_MAX];
static uint32_t sent_count, fail_at;

static sf_status send(void *arg, const Sf__Control__Envelope *envelope)
{
    assert_ptr_equal(arg, &notes);
    if (sent_count == fail_at) {
        return SF_CLOSED;
    }
    sent[sent_count++] = envelope->body_case == SF__CONTROL__ENVELOPE__BODY_SIP_REPORT
                             ? -(int64_t)envelope->sip_report->sip
                             : (int64_t)envelope->log_line->sip;
    return SF_OK;
}

static uint64_t send_all(uint32_t fail)
{
    sent_count = 0;
    fail_at = fail;
    return agent_notes_send(&notes, send, &notes);
}

static void line(uint64_t sip, const char *text)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__LogLine log_line = SF__CONTROL__LOG_LINE__INIT;

    log_line.sip = sip;
    log_line.text = (char *)(uintptr_t)text;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_LOG_LINE;
    envelope.log_line = &log_line;
    agent_notes_keep(&notes, &envelope);
}

static void report(uint64_t sip)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__SipReport sip_report = SF__CONTROL__SIP_REPORT__INIT;

    sip_report.sip = sip;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_SIP_REPORT;
    envelope.sip_report = &sip_report;
    agent_notes_keep(&notes, &envelope);
}

static int begin(void **state)
{
    (void)state;
    agent_notes_init(&notes);
    return 0;
}

static int end(void **state)
{
    (void)state;
    agent_notes_clear(&notes);
    assert_null(notes.first);
    assert_int_equal(notes.shares[0].count + notes.shares[1].count, 0);
    assert_int_equal(notes.shares[0].bytes + notes.shares[1].bytes, 0);
    return 0;
}

static void lines_go_once_and_reports_again_in_order(void **state)
{
    static const int64_t first[] = {1, -2, 3, -4}, second[] = {-2, -4, 5};

    (void)state;
    line(1, "a");
    report(2);
    line(3, "b");
    report(4);
    assert_int_equal(send_all(UINT32_MAX), 0);
    assert_int_equal(sent_count, 4);
    assert_memory_equal(sent, first, sizeof(first));
    line(5, "c");
    assert_int_equal(send_all(UINT32_MAX), 0);
    assert_int_equal(sent_count, 3);
    assert_memory_equal(sent, second, sizeof(second));
}

static void what_could_not_be_sent_stays(void **state)
{
    static const int64_t rest[] = {-2, 3};

    (void)state;
    line(1, "a");
    report(2);
    line(3, "b");
    assert_int_equal(send_all(1), 0);
    assert_int_equal(sent_count, 1);
    assert_int_equal(send_all(UINT32_MAX), 0);
    assert_int_equal(sent_count, 2);
    assert_memory_equal(sent, rest, sizeof(rest));
}

static void lines_push_out_lines_and_no_report(void **state)
{
    (void)state;
    report(7);
    for (uint32_t i = 1; i <= 3 * AGENT_NOTES_MAX; i++) {
        line(i, "again");
    }
    report(8);
    assert_int_equal(send_all(UINT32_MAX), 2 * AGENT_NOTES_MAX);
    assert_int_equal(sent_count, AGENT_NOTES_MAX + 2);
    assert_int_equal(sent[0], -7);
    assert_int_equal(sent[1], 2 * AGENT_NOTES_MAX + 1);
    assert_int_equal(sent[AGENT_NOTES_MAX], 3 * AGENT_NOTES_MAX);
    assert_int_equal(sent[AGENT_NOTES_MAX + 1], -8);
    assert_int_equal(send_all(UINT32_MAX), 0); /* said once */
}

static void reports_push_out_reports_and_no_line(void **state)
{
    (void)state;
    line(1, "a");
    for (uint32_t i = 1; i <= AGENT_NOTES_MAX + 10; i++) {
        report(i);
    }
    assert_int_equal(send_all(UINT32_MAX), 0);
    assert_int_equal(sent_count, AGENT_NOTES_MAX + 1);
    assert_int_equal(sent[0], 1);
    assert_int_equal(sent[1], -11);
}

static void bytes_count_too(void **state)
{
    char *text = malloc(AGENT_NOTES_BYTES_MAX + 1);

    (void)state;
    assert_non_null(text);
    memset(text, 'x', AGENT_NOTES_BYTES_MAX);
    text[AGENT_NOTES_BYTES_MAX] = '\0';
    line(1, "small");
    line(2, text); /* larger than all there is */
    text[AGENT_NOTES_BYTES_MAX - 100] = '\0';
    line(3, text);
    line(4, text);
    free(text);
    assert_int_equal(send_all(UINT32_MAX), 3);
    assert_int_equal(sent_count, 1);
    assert_int_equal(sent[0], 4);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_go_once_and_reports_again_in_order, begin, end),
        cmocka_unit_test_setup_teardown(what_could_not_be_sent_stays, begin, end),
        cmocka_unit_test_setup_teardown(lines_push_out_lines_and_no_report, begin, end),
        cmocka_unit_test_setup_teardown(reports_push_out_reports_and_no_line, begin, end),
        cmocka_unit_test_setup_teardown(bytes_count_too, begin, end),
    };

    return cmocka_run_group_tests_name("agent notes", tests, NULL, NULL);
}
