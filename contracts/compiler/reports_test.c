/* SPDX-License-Identifier: Apache-2.0 */
/* Bounds and compatibility: each answer, each reason. */
#include "../test_support.h"

#include "contracts/bounds.h"
#include "contracts/cause.h"
#include "contracts/reports.h"

static struct ctc *compile(const char *text)
{
    struct ctc *ctc = ctc_create();

    (void)ctc_add_text(ctc, "text.contract", text, strlen(text));
    if (ctc_check(ctc) != SF_OK) {
        ctc_print(ctc, stderr);
        fail_msg("text does not compile");
    }
    return ctc;
}

static void bounds_count_slots_blocks_and_endpoints(void **state)
{
    struct ctc *ctc = compile(
        "contract U { in message Ask(block bytes a, block bytes? b); in message Note(U.Imp:Go e);\n"
        "in message Bye(); out message Answer(); out message Data(block uint d, uint n);\n"
        "state Start : Ask? -> Note? -> Answer! -> Data! -> Go;\n"
        "state Go : { Ask? -> Bye? -> Bye? -> Answer! -> End; Note? -> Data! -> Go; }\n"
        "state End : final; }");
    const struct ct_contract *table = table_of(ctc, "U");
    struct ct_bound imp = ct_queue_bound(table, CT_IMP);
    struct ct_bound exp = ct_queue_bound(table, CT_EXP);

    (void)state;
    assert_int_equal(imp.slots, 2);
    assert_int_equal(imp.bytes, 2 * 72);
    assert_int_equal(imp.blocks, 1);
    assert_int_equal(imp.endpoints, 0);
    assert_int_equal(exp.slots, 3);
    assert_int_equal(exp.bytes, 3 * 72);
    assert_int_equal(exp.blocks, 2);
    assert_int_equal(exp.endpoints, 1);
    char *text = ctc_bounds(ctc, CTC_FORMAT_TEXT);
    assert_string_equal(
        text, "contract  side      slots  bytes  blocks  endpoints\n"
              "U         importer      2    144       1          0\n"
              "          exporter      3    216       2          1\n"
              "bytes are those of the queue; blocks lie in the exchange heap, any size\n");
    free(text);
    ctc_destroy(ctc);
}

/* --- compatibility ------------------------------------------------------------------------------
 */

static const char base[] = "contract C { enum E { X = 1, Y = 2 }\n"
                           "in message Ask(uint n, E e); in message Bye();\n"
                           "out message Answer(block bytes b); out message No();\n"
                           "state Start : Ask? -> Asked;\n"
                           "state Asked : { Answer! -> Idle; No! -> End; }\n"
                           "state Idle : { Ask? -> Asked; Bye? -> End; }\n"
                           "state End : final; }\n";

struct change {
    const char *from, *to; /* in the text above: makes the new version */
    enum ctc_compatible worst;
    const char *lines[3]; /* that the answer must have */
};

static const struct change changes[] = {
    {"uint n, E e",
     "uint count, E why",
     CTC_COMPATIBLE_YES,
     {"C: importer old, exporter new: compatible\n",
      "C: importer new, exporter old: compatible\n"}},
    {"Y = 2 }",
     "Y = 2, Z = 3 }",
     CTC_COMPATIBLE_NO,
     {"C: importer old, exporter new: compatible\n",
      "C: importer new, exporter old: not compatible",
      "'Ask' arrives at the exporter, but its enum 'E' has no value Z = 3"}},
    {"uint n",
     "int n",
     CTC_COMPATIBLE_NO,
     {"old, exporter new: not compatible", "new, exporter old: not compatible",
      "argument 'n' is 'int32' there, not 'uint32'"}},
    {"uint n, ",
     "",
     CTC_COMPATIBLE_NO,
     {"exporter new: not compatible", "it has 1 arguments there, not 2"}},
    {"block bytes b",
     "block bytes? b",
     CTC_COMPATIBLE_NO,
     {"importer old, exporter new: not compatible", "importer new, exporter old: compatible\n",
      "argument 'b' is 'block bytes' there, not 'block bytes?'"}},
    {"Bye? -> End; }",
     "Bye? -> End; } // in message Nothing",
     CTC_COMPATIBLE_YES,
     {"C: identical\n"}},
    /* The exporter may say less: then an old importer is fine, a new one must not hear the rest. */
    {"{ Answer! -> Idle; No! -> End; }",
     "Answer! -> Idle; /* No! */",
     CTC_COMPATIBLE_NO,
     {"C: importer old, exporter new: compatible\n",
      "C: importer new, exporter old: not compatible",
      "'No' arrives at the importer in state 'Asked', which does not expect it"}},
    /* Something new in the beginning only: channels that are past it may change over. */
    {"Start : Ask? -> Asked;",
     "Start : { Ask? -> Asked; Bye? -> End; }",
     CTC_COMPATIBLE_STATES,
     {"importer old, exporter new: compatible\n",
      "importer new, exporter old: compatible only in states Asked, End, Idle\n",
      "  from Start: 'Bye' arrives at the exporter in state 'Start', which does not expect it\n"}},
    {"state Idle :",
     "state Rest : Ask? -> Asked; state Idle : { Bye? -> Asked; } state Other :",
     CTC_COMPATIBLE_NO,
     {"which does not expect it"}},
    /* Both wait: the new exporter answers only after a Bye. */
    {"Start : Ask? -> Asked",
     "Start : Ask? -> Bye? -> Asked",
     CTC_COMPATIBLE_STATES,
     {"importer old, exporter new: compatible only in states Asked, End, Idle\n",
      "the importer in state 'Asked' and the exporter in state 'Start.1' wait for each other"}},
};

static char *replace(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    char *out = NULL;

    assert_non_null(at);
    assert_true(asprintf(&out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) > 0);
    return out;
}

static void each_answer_with_its_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        enum ctc_compatible worst = CTC_COMPATIBLE_YES;
        char *changed = replace(base, changes[i].from, changes[i].to);
        if (strstr(changed, "Other :") != NULL) { /* makes all states of it reachable */
            char *more = replace(changed, "Other : { Ask? -> Asked; Bye? -> End; }",
                                 "Other : { Ask? -> Idle; Bye? -> Rest; }");
            free(changed);
            changed = replace(more, "Answer! -> Idle", "Answer! -> Other");
            free(more);
        }
        struct ctc *old = compile(base);
        struct ctc *new = compile(changed);
        char *text = ctc_compat(old, new, CTC_FORMAT_TEXT, &worst);
        for (int line = 0; line < 3 && changes[i].lines[line] != NULL; line++) {
            if (strstr(text, changes[i].lines[line]) == NULL) {
                fail_msg("'%s' to '%s': no '%s' in:\n%s", changes[i].from, changes[i].to,
                         changes[i].lines[line], text);
            }
        }
        if (worst != changes[i].worst) {
            fail_msg("'%s' to '%s':\n%s", changes[i].from, changes[i].to, text);
        }
        free(text);
        free(changed);
        ctc_destroy(old);
        ctc_destroy(new);
    }
}

static void a_broken_contract_is_named(void **state)
{
    struct ctc *ctc = compile(base);
    const struct ct_contract *table = table_of(ctc, "C");
    struct sf_cause cause = SF_CAUSE_OF(CONTRACT_VIOLATED);
    char text[256];

    (void)state;
    cause.tag = (uint8_t)ct_message_find(table, "Bye");
    cause.state = (uint8_t)ct_state_find(table, "Asked");
    assert_string_equal(ct_cause_format(table, cause, text, sizeof(text)),
                        "contract violated: C: message 'Bye' in state 'Asked'");
    cause.tag = 200;
    cause.state = 201;
    assert_string_equal(ct_cause_format(table, cause, text, sizeof(text)),
                        "contract violated: C: message 200 in state 201");
    assert_string_equal(ct_cause_format(table, SF_CAUSE_OF(PEER_EXITED), text, sizeof(text)),
                        sf_cause_text(SF_CAUSE_PEER_EXITED));
    ctc_destroy(ctc);
}

static void structs_fit_field_by_field(void **state)
{
    static const char text[] =
        "contract C { struct P { int x; uint y; } in message Put(block P b);\n"
        "state Start : Put? -> End; state End : final; }\n";
    enum ctc_compatible worst = CTC_COMPATIBLE_NO;
    char *renamed = replace(text, "int x; uint y;", "int column; uint row;");
    char *swapped = replace(text, "int x; uint y;", "uint y; int x;");
    struct ctc *old = compile(text);
    struct ctc *same = compile(renamed);
    struct ctc *other = compile(swapped);

    (void)state;
    free(ctc_compat(old, same, CTC_FORMAT_TEXT, &worst));
    assert_int_equal(worst, CTC_COMPATIBLE_YES);
    char *answer = ctc_compat(old, other, CTC_FORMAT_TEXT, &worst);
    assert_int_equal(worst, CTC_COMPATIBLE_NO);
    assert_non_null(strstr(answer, "struct 'P' has other fields there"));
    free(answer);
    free(renamed);
    free(swapped);
    ctc_destroy(old);
    ctc_destroy(same);
    ctc_destroy(other);
}

static void endpoints_are_followed_into_their_contracts(void **state)
{
    static const char parts[] =
        "contract S { in message Open(C.Exp:Start e); out message Ok();\n"
        "state Start : Open? -> Ok! -> Start; }\n"
        "contract C { in message Go(C.Imp:Start? other); in message Bye(); out message Ok();\n"
        "state Start : Ok! -> Idle;\nstate Idle : { Go? -> Start; Bye? -> End; }\n"
        "state End : final; }\n";
    enum ctc_compatible worst = CTC_COMPATIBLE_YES;
    char *same_flow = replace(parts, "C.Exp:Start e", "C.Exp:Start e /* e */");
    char *enough = replace(same_flow, "C.Imp:Start?", "C.Exp:Start?");
    char *more = replace(enough, "in message Bye();", "in message Bye(); in message Stay();");
    char *newer = replace(more, "Bye? -> End;", "Bye? -> End; Stay? -> Ok! -> Idle;");
    struct ctc *old = compile(enough);
    struct ctc *new = compile(newer);

    (void)state;
    char *text = ctc_compat(old, new, CTC_FORMAT_TEXT, &worst);
    /* The old importer makes the endpoint and keeps its own end: it says nothing new. */
    assert_non_null(strstr(text, "S: importer old, exporter new: compatible\n"));
    assert_non_null(strstr(text, "S: importer new, exporter old: not compatible\n"));
    assert_non_null(strstr(text, "the versions of contract 'C' at the two ends"));
    assert_non_null(strstr(text, "C: importer old, exporter new: compatible\n"));
    assert_non_null(strstr(text, "C: importer new, exporter old: not compatible\n"));
    assert_non_null(strstr(text, "'Stay' arrives at the exporter, which has no such message"));
    free(text);
    ctc_destroy(new);
    new = compile("contract S { in message Open(); out message Ok();\n"
                  "state Start : Open? -> Ok! -> Start; } contract D { state Start : final; }");
    text = ctc_compat(old, new, CTC_FORMAT_TEXT, &worst);
    assert_int_equal(worst, CTC_COMPATIBLE_NO);
    assert_non_null(strstr(text, "C: not compatible: the new files have no such contract\n"));
    free(text);
    ctc_destroy(old);
    ctc_destroy(new);
    free(same_flow);
    free(enough);
    free(more);
    free(newer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_count_slots_blocks_and_endpoints),
        cmocka_unit_test(each_answer_with_its_reason),
        cmocka_unit_test(a_broken_contract_is_named),
        cmocka_unit_test(structs_fit_field_by_field),
        cmocka_unit_test(endpoints_are_followed_into_their_contracts),
    };
    return cmocka_run_group_tests_name("bounds and compatibility", tests, NULL, NULL);
}
