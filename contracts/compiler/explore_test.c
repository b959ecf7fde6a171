/* SPDX-License-Identifier: Apache-2.0 */
/* Two machines run against each other: what is found, what is not, and the run that is printed. */
#include "../test_support.h"

#include "explore.h"

static size_t count_rule(const struct ctc *ctc, const char *rule, size_t *out_index)
{
    size_t count = 0;

    for (size_t i = 0; i < ctc_diagnostic_count(ctc); i++) {
        if (strcmp(ctc_diagnostic(ctc, i)->rule, rule) == 0) {
            *out_index = i;
            count++;
        }
    }
    return count;
}

static struct ctc *check_text(const char *text, sf_status expected)
{
    struct ctc *ctc = ctc_create();

    (void)ctc_add_text(ctc, "text.contract", text, strlen(text));
    sf_status st = ctc_check(ctc);
    if (st != expected) {
        ctc_print(ctc, stderr);
    }
    assert_int_equal(st, expected);
    return ctc;
}

/* The pattern that is known not to be realizable: both sides may act in one state. */
static void both_may_act_and_the_run_is_printed(void **state)
{
    static const char text[] = "contract Io {\n"
                               "    in message Cancel();\n"
                               "    out message SendComplete();\n"
                               "    state Running : {\n"
                               "        Cancel? -> Idle;\n"
                               "        SendComplete! -> Idle;\n"
                               "    }\n"
                               "    state Idle : final;\n"
                               "}\n";
    struct ctc *ctc = check_text(text, SF_FORMAT);
    size_t at = 0;

    (void)state;
    assert_int_equal(count_rule(ctc, "mixed-state", &at), 1);
    assert_int_equal(count_rule(ctc, "unspecified-reception", &at), 1);
    const struct ctc_diagnostic *d = ctc_diagnostic(ctc, at);
    assert_int_equal(d->line, 8); /* state Idle, where it is not expected */
    assert_string_equal(
        d->lines,
        "  step                               importer  exporter  to exporter | to importer\n"
        "     0  start                        Running   Running   - | -\n"
        "     1  importer sends Cancel        Idle      Running   Cancel | -\n"
        "     2  exporter sends SendComplete  Idle      Idle      Cancel | SendComplete\n");
    ctc_destroy(ctc);
}

/* Mixed, and still nothing goes wrong: what crosses is understood on either side. */
static void a_race_that_the_protocol_settles_is_no_finding(void **state)
{
    static const char text[] = "contract C { in message A(); out message P();\n"
                               "state S : A? -> U;\n"
                               "state T : P! -> U;\n"
                               "state U : { P! -> S; A? -> T; } }\n";
    struct ctc *ctc = check_text(text, SF_FORMAT);
    size_t at = 0;

    (void)state;
    assert_int_equal(count_rule(ctc, "mixed-state", &at), 1);
    assert_int_equal(ctc_error_count(ctc), 1);
    ctc_destroy(ctc);
}

/* A run through a graph with holes would say nothing, so there is none. */
static void other_errors_come_first(void **state)
{
    static const char text[] = "contract C { in message A(); out message P();\n"
                               "state S : { A? -> E; P! -> E; }\n"
                               "state E : { A? -> X; } }\n";
    struct ctc *ctc = check_text(text, SF_FORMAT);
    size_t at = 0;

    (void)state;
    assert_int_equal(count_rule(ctc, "unknown-state", &at), 1);
    assert_int_equal(count_rule(ctc, "unspecified-reception", &at), 0);
    ctc_destroy(ctc);
}

/* --- contracts that nobody wrote ----------------------------------------------------------------
 */

static uint64_t random_state = 0xc0de;

static uint32_t any(uint32_t below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % below;
}

/* Steps of one side in each state, but here and there, if `mixed`, one of the other side. */
static void put_contract(struct ctc__text *text, bool mixed)
{
    uint32_t state_count = 2 + any(mixed ? 2 : 5);

    ctc__put(text, "contract C { in message A(); in message B(); in message N();\n"
                   "out message P(); out message Q(); state S0 : {");
    for (uint32_t s = 0; s < state_count; s++) {
        const char *const steps[2][2] = {{"A?", "B?"}, {"P!", "Q!"}};
        uint32_t side = any(2);
        if (s > 0) {
            ctc__put(text, "state S%u : {", s);
        }
        for (uint32_t n = 0; n < 2; n++) {
            if (any(4) > 0) {
                bool other = mixed && any(2) == 0;
                ctc__put(text, " %s -> S%u;", steps[other ? !side : side][n], any(state_count));
            }
        }
        ctc__put(text, " }\n");
    }
    ctc__put(text, "}\n");
}

static size_t count_findings(const struct ctc *ctc)
{
    size_t at = 0;

    return count_rule(ctc, "unspecified-reception", &at) + count_rule(ctc, "deadlock", &at) +
           count_rule(ctc, "queue-overflow", &at) + count_rule(ctc, "explored-partly", &at);
}

/* What the rules about one machine are for: if they hold, nothing goes wrong between two. */
static void where_one_side_sends_nothing_goes_wrong(void **state)
{
    unsigned whole = 0;
    unsigned found = 0;

    (void)state;
    for (int round = 0; round < 6000; round++) {
        struct ctc__text text = {0};
        struct ctc *ctc = ctc_create();
        size_t at = 0;
        put_contract(&text, round % 2 == 1);
        (void)ctc_add_text(ctc, "random", text.bytes, text.length);
        (void)!ctc_check(ctc);
        if (count_rule(ctc, "mixed-state", &at) == 0 && count_findings(ctc) > 0) {
            ctc_print(ctc, stderr);
            fail_msg("%s", text.bytes);
        }
        whole += ctc_error_count(ctc) == 0;
        found += count_findings(ctc) > 0;
        ctc_destroy(ctc);
        free(text.bytes);
    }
    printf("# %u without error, %u with a run that goes wrong\n", whole, found);
    assert_true(whole > 30); /* of each kind there were some */
    assert_true(found > 5);
}

static bool reaches_final(const struct ct_contract *table, uint16_t from)
{
    bool reached[CT_STATES_MAX] = {false};
    bool changed = true;

    reached[from] = true;
    while (changed) {
        changed = false;
        for (uint16_t s = 0; s < table->state_count; s++) {
            for (uint16_t cell = 0; reached[s] && cell < 2 * table->message_count; cell++) {
                uint8_t next =
                    ct_step(table, (uint8_t)s, cell % 2 == 0 ? CT_IMP : CT_EXP, cell / 2);
                changed = changed || (next != CT_ILLEGAL && !reached[next]);
                if (next != CT_ILLEGAL) {
                    reached[next] = true;
                }
            }
            if (reached[s] && table->states[s].final) {
                return true;
            }
        }
    }
    return false;
}

static bool is_sent(const struct ct_contract *table, uint16_t tag)
{
    for (uint16_t s = 0; s < table->state_count; s++) {
        if (ct_step(table, (uint8_t)s, CT_IMP, tag) != CT_ILLEGAL ||
            ct_step(table, (uint8_t)s, CT_EXP, tag) != CT_ILLEGAL) {
            return true;
        }
    }
    return false;
}

static bool warned(const struct ctc *ctc, const char *rule, const char *name)
{
    char quoted[CT_NAME_BYTES_MAX + 3];

    snprintf(quoted, sizeof(quoted), "'%s'", name);
    for (size_t i = 0; i < ctc_diagnostic_count(ctc); i++) {
        const struct ctc_diagnostic *d = ctc_diagnostic(ctc, i);
        if (strcmp(d->rule, rule) == 0 && strstr(d->text, quoted) != NULL) {
            return true;
        }
    }
    return false;
}

/* The warnings no-end and unused-message, against the tables. */
static void warnings_are_what_the_tables_say(void **state)
{
    unsigned ends = 0;
    unsigned endless = 0;
    unsigned unused = 0;

    (void)state;
    for (int round = 0; round < 1500; round++) {
        struct ctc__text text = {0};
        struct ctc *ctc = ctc_create();
        put_contract(&text, false);
        (void)ctc_add_text(ctc, "random", text.bytes, text.length);
        if (ctc_check(ctc) == SF_OK) {
            const struct ct_contract *table = table_of(ctc, "C");
            for (uint16_t s = 0; s < table->state_count; s++) {
                bool reaches = reaches_final(table, s);
                assert_int_equal(warned(ctc, "no-end", table->states[s].name), !reaches);
                ends += reaches;
                endless += !reaches;
            }
            for (uint16_t tag = 0; tag < table->message_count; tag++) {
                bool sent = is_sent(table, tag);
                assert_int_equal(warned(ctc, "unused-message", table->messages[tag].name), !sent);
                unused += !sent;
            }
        }
        ctc_destroy(ctc);
        free(text.bytes);
    }
    assert_true(ends > 30);
    assert_true(endless > 30);
    assert_true(unused > 30);
}

/* --- the engine by itself -----------------------------------------------------------------------
 */

enum { NO = CT_ILLEGAL };
static const char *const names[] = {"S0", "S1", "S2"};
static const char *const messages[] = {"A", "B"};

static struct explore_answer ask(const uint8_t imp[2][6], const uint8_t exp[2][6], uint8_t slots,
                                 struct ctc__text *out_run)
{
    static const uint8_t starts[1][2] = {{0, 0}};
    const struct explore_question question = {
        .machines = {{3, names, {imp[0], imp[1]}}, {3, names, {exp[0], exp[1]}}},
        .message_count = 2,
        .message_names = messages,
        .slots = {slots, slots},
        .starts = starts,
        .start_count = 1,
    };
    struct explore_answer answer;

    explore__run(&question, &answer);
    explore__put_finding(out_run, &question, &answer);
    return answer;
}

static void machines_that_differ(void **state)
{
    /* [sender][state * 2 + message] */
    static const uint8_t sends_two[2][6] = {{1, NO, 2, NO, NO, NO}, {NO, NO, NO, NO, NO, 0}};
    static const uint8_t takes_one[2][6] = {{1, NO, NO, NO, NO, NO}, {NO, NO, NO, 0, NO, NO}};
    struct ctc__text text = {0};
    struct explore_answer answer;

    (void)state;
    answer = ask(sends_two, sends_two, 2, &text);
    assert_int_equal(answer.finding, EXPLORE_NOTHING);
    assert_int_equal(answer.configuration_count, 7);
    explore__free(&answer);

    /* The importer sends A A, the exporter takes one and answers B: which crosses the second A. */
    answer = ask(sends_two, takes_one, 2, &text);
    assert_int_equal(answer.finding, EXPLORE_UNEXPECTED);
    assert_string_equal(text.bytes, "'A' arrives at the exporter in state 'S1', which does not "
                                    "expect it");
    assert_int_equal(answer.step_count, 3);
    assert_true(answer.steps[0].sends && answer.steps[0].side == CT_IMP);
    explore__free(&answer);
    text.length = 0;

    answer = ask(takes_one, sends_two, 2, &text);
    assert_int_equal(answer.finding, EXPLORE_DEADLOCK);
    assert_string_equal(text.bytes, "the importer in state 'S1' and the exporter in state 'S1' "
                                    "wait for each other");
    assert_int_equal(answer.step_count, 2);
    explore__free(&answer);
    text.length = 0;

    answer = ask(sends_two, sends_two, 1, &text);
    assert_int_equal(answer.finding, EXPLORE_OVERFLOW);
    assert_string_equal(text.bytes, "the importer may send 'A' in state 'S1' when all slots to "
                                    "the exporter are taken (1)");
    explore__free(&answer);
    free(text.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_may_act_and_the_run_is_printed),
        cmocka_unit_test(a_race_that_the_protocol_settles_is_no_finding),
        cmocka_unit_test(other_errors_come_first),
        cmocka_unit_test(where_one_side_sends_nothing_goes_wrong),
        cmocka_unit_test(warnings_are_what_the_tables_say),
        cmocka_unit_test(machines_that_differ),
    };
    return cmocka_run_group_tests_name("exploration of both sides", tests, NULL, NULL);
}
