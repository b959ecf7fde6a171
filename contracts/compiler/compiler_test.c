/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Golden files: contracts/compiler/golden. After a wanted change of what is generated, run this
 * program with UPDATE_GOLDEN=1 and look at the difference before committing it.
 */
#include "../test_support.h"

#include <dirent.h>

static const char *const rules[] = {
    "deadlock",
    "duplicate-contract",
    "duplicate-message",
    "duplicate-name",
    "duplicate-state",
    "endpoint-state",
    "explored-partly",
    "file",
    "final-state",
    "inheritance-cycle",
    "limit",
    "message-direction",
    "missing-sign",
    "mixed-state",
    "mixed-unmonitored",
    "no-end",
    "no-state",
    "nondeterministic-choice",
    "not-exchangeable",
    "override-base",
    "override-missing",
    "override-step",
    "override-unknown",
    "pure-receive-cycle",
    "pure-send-cycle",
    "queue-overflow",
    "read-past",
    "reserved-name",
    "step-end",
    "struct-cycle",
    "struct-endpoint",
    "struct-untracked",
    "subroutine-cycle",
    "subroutine-end",
    "subroutine-level",
    "syntax",
    "unknown-contract",
    "unknown-import",
    "unknown-message",
    "unknown-state",
    "unknown-type",
    "unreachable-state",
    "unspecified-reception",
    "unsupported",
    "unused-message",
    "yield",
};
#define RULE_COUNT (sizeof(rules) / sizeof(rules[0]))

static void compile_text(struct ctc *ctc, const char *text)
{
    (void)ctc_add_text(ctc, "text.contract", text, strlen(text));
    if (ctc_check(ctc) != SF_OK) {
        ctc_print(ctc, stderr);
        fail_msg("text does not compile");
    }
}

/* --- the standard contracts
 * ------------------------------------------------------------------------ */

struct counts {
    uint32_t messages, named, implicit, actions;
};

static struct counts count(const struct ct_contract *table)
{
    struct counts counts = {.messages = table->message_count};

    for (uint16_t s = 0; s < table->state_count; s++) {
        bool implicit = strchr(table->states[s].name, '.') != NULL;
        counts.implicit += implicit;
        counts.named += !implicit;
        for (uint16_t tag = 0; tag < table->message_count; tag++) {
            counts.actions += ct_step(table, (uint8_t)s, CT_IMP, tag) != CT_ILLEGAL ? 1 : 0;
            counts.actions += ct_step(table, (uint8_t)s, CT_EXP, tag) != CT_ILLEGAL ? 1 : 0;
        }
    }
    return counts;
}

static void tcp_contracts_are_whole(void **state)
{
    (void)state;
    struct ctc *ctc = compile_file("std/TcpContract.contract");
    const struct ct_contract *connection = table_of(ctc, "TcpConnectionContract");
    struct counts counts = count(connection);
    assert_int_equal(counts.messages, 31);
    assert_int_equal(counts.named, 19);
    assert_int_equal(counts.implicit, 18);
    assert_int_equal(counts.actions, 85);
    assert_int_equal(connection->slots[CT_EXP], 3);
    assert_int_equal(connection->slots[CT_IMP], 1);

    const struct ct_contract *tcp = table_of(ctc, "TcpContract");
    counts = count(tcp);
    assert_int_equal(counts.messages, 3);
    assert_int_equal(counts.named, 2);
    assert_int_equal(counts.implicit, 1);
    assert_int_equal(counts.actions, 3);
    assert_int_equal(tcp->slots[CT_EXP], 1);
    assert_int_equal(tcp->slots[CT_IMP], 1);

    /* The referred contract was found beside the given one, and is not itself given. */
    assert_true(ctc_given(ctc_find(ctc, "TcpContract")));
    assert_false(ctc_given(ctc_find(ctc, "TcpConnectionContract")));
    ctc_destroy(ctc);
}

static void queue_bounds_are_the_longest_runs(void **state)
{
    (void)state;
    struct ctc *ctc = ctc_create();
    /* As in UdpConnection: an answer, and then word that it is ready again. */
    compile_text(ctc, "contract U { in message Ask(); out message Answer(); out message Ready();\n"
                      "  in message Bye();\n"
                      "  state Start : Ready! -> Idle;\n"
                      "  state Idle : { Ask? -> Answer! -> Start; Bye? -> End; }\n"
                      "  state End : final; }");
    assert_int_equal(table_of(ctc, "U")->slots[CT_IMP], 2);
    assert_int_equal(table_of(ctc, "U")->slots[CT_EXP], 1);
    ctc_destroy(ctc);
}

/* --- identity
 * --------------------------------------------------------------------------------------- */

static uint64_t identity(const char *text)
{
    struct ctc *ctc = ctc_create();
    compile_text(ctc, text);
    uint64_t id = ctc_table(ctc_contract(ctc, 0))->short_id;
    ctc_destroy(ctc);
    return id;
}

static void identity_is_that_of_the_meaning(void **state)
{
    (void)state;
    static const char one[] = "contract C { enum E { A = 1, B = 2 } in message P(E e);\n"
                              "in message Q(); out message R();\n"
                              "state S : { P? -> R! -> S; Q? -> R! -> T; }\n"
                              "state T : { Q? -> End; } state End : { } }";
    static const char same[] = "/* c */ public contract C {\n"
                               "state S : one { Q? -> R! -> T; P? -> R! -> S; }\n"
                               "state End : final; state T : Q? -> End;\n"
                               "out message R(); in message Q(); in message P(E e);\n"
                               "const int Unused = 5; enum E { B = 2, A = 1, } } // end";
    static const char *const others[] = {
        /* an enum's number */
        "contract C { enum E { A = 1, B = 3 } in message P(E e); in message Q(); out message R();\n"
        "state S : { P? -> R! -> S; Q? -> R! -> T; } state T : { Q? -> End; } state End : { } }",
        /* an argument's type */
        "contract C { in message P(uint32 e); in message Q(); out message R();\n"
        "state S : { P? -> R! -> S; Q? -> R! -> T; } state T : { Q? -> End; } state End : { } }",
        /* a step */
        "contract C { enum E { A = 1, B = 2 } in message P(E e); in message Q(); out message R();\n"
        "state S : { P? -> R! -> T; Q? -> R! -> T; } state T : { Q? -> End; } state End : { } }",
        /* the start state */
        "contract C { enum E { A = 1, B = 2 } in message P(E e); in message Q(); out message R();\n"
        "state T : { Q? -> S; } state S : { P? -> R! -> S; Q? -> R! -> End; } state End : { } }",
    };
    assert_true(identity(one) == identity(same));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_true(identity(one) != identity(others[i]));
    }
}

static void a_change_in_a_referred_contract_changes_the_identity(void **state)
{
    (void)state;
    static const char a[] = "contract A { in message P(B.Imp e); state S : P? -> T;\n"
                            "state T : final; }"
                            "contract B { in message Q(A.Imp a); state S : Q? -> End;\n"
                            "state End : final; }";
    static const char b[] = "contract A { in message P(B.Imp e); state S : P? -> T;\n"
                            "state T : final; }"
                            "contract B { in message Q(A.Imp b); state S : Q? -> End;\n"
                            "state End : final; }";
    assert_true(identity(a) != identity(b)); /* B's argument has another name */
}

static void contracts_that_refer_to_each_other_verify(void **state)
{
    (void)state;
    struct ctc *ctc = compile_file("compiler/golden/Sample.contract");
    const char *names[] = {"Sample"};
    const struct ctc_contract *found[4];
    const uint8_t *blobs[2];
    size_t lengths[2];
    struct ct_contract *tables[2];
    const char *text = NULL;

    assert_int_equal(ctc_closure(ctc, names, 1, found, 4), 2);
    assert_string_equal(ctc_name(found[0]), "Other");
    assert_string_equal(ctc_name(found[1]), "Sample");
    for (int i = 0; i < 2; i++) {
        blobs[i] = ctc_blob(found[i], &lengths[i]);
        assert_int_equal(ct_decode(blobs[i], lengths[i], &tables[i], &text), SF_OK);
    }
    assert_int_equal(ct_verify_ids(blobs, lengths, tables, 2, &text), SF_OK);
    assert_int_equal(ct_verify_ids(blobs, lengths, tables, 1, &text), SF_TRUST);
    ct_destroy(tables[0]);
    ct_destroy(tables[1]);
    ctc_destroy(ctc);
}

/* --- what is written
 * -------------------------------------------------------------------------------- */

static void check_golden(const struct ctc_contract *contract, enum ctc_emitter emitter)
{
    size_t length = 0;
    size_t again_length = 0;
    size_t golden_length = 0;
    char below[200];
    char *name = ctc_emit_file_name(contract, emitter);
    char *text = ctc_emit(contract, emitter, &length);
    char *again = ctc_emit(contract, emitter, &again_length);

    assert_int_equal(length, again_length);
    assert_memory_equal(text, again, length);
    snprintf(below, sizeof(below), "compiler/golden/%s", name);
    char *path = source_path(below);
    if (getenv("UPDATE_GOLDEN") != NULL) {
        FILE *stream = fopen(path, "wb");
        assert_non_null(stream);
        assert_int_equal(fwrite(text, 1, length, stream), length);
        assert_int_equal(fclose(stream), 0);
    }
    char *golden = read_all(path, &golden_length);
    if (golden_length != length || memcmp(golden, text, length) != 0) {
        fail_msg("%s is not what is generated (UPDATE_GOLDEN=1 writes it anew)", path);
    }
    free(golden);
    free(path);
    free(again);
    free(text);
    free(name);
}

static void generated_files_are_as_expected(void **state)
{
    static const struct {
        const char *file, *contract;
    } all[] = {
        {"compiler/golden/Sample.contract", "Other"},
        {"compiler/golden/Sample.contract", "Sample"},
        {"compiler/golden/Whole.contract", "Whole"},
    };

    (void)state;
    /* A second compilation must write the same bytes: nothing depends on addresses. */
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
            struct ctc *ctc = compile_file(all[i].file);
            const struct ctc_contract *contract = ctc_find(ctc, all[i].contract);
            assert_non_null(contract);
            check_golden(contract, CTC_EMIT_SIP_C);
            check_golden(contract, CTC_EMIT_MONITOR_H);
            check_golden(contract, CTC_EMIT_MONITOR_C);
            check_golden(contract, CTC_EMIT_TABLE);
            check_golden(contract, CTC_EMIT_DOT);
            check_golden(contract, CTC_EMIT_TEST);
            check_golden(contract, CTC_EMIT_SIP_TYPED);
            check_golden(contract, CTC_EMIT_DISSECTOR);
            check_golden(contract, CTC_EMIT_MD);
            check_golden(contract, CTC_EMIT_JSON);
            check_golden(contract, CTC_EMIT_RUST);
            ctc_destroy(ctc);
        }
    }
}

/* --- bad input
 * -------------------------------------------------------------------------------------- */

static bool seen_rules[RULE_COUNT];

static void mark_seen(const char *rule)
{
    for (size_t i = 0; i < RULE_COUNT; i++) {
        if (strcmp(rules[i], rule) == 0) {
            seen_rules[i] = true;
            return;
        }
    }
    fail_msg("rule '%s' is not in this test's list", rule);
}

/* Lines "// expect 5:7 error rule" are the diagnostics of the file, all of them. */
static void check_bad(const char *name)
{
    char below[300];
    size_t length = 0;
    size_t expected_count = 0;
    bool expects_error = false;
    struct ctc *ctc = ctc_create();

    snprintf(below, sizeof(below), "compiler/bad/%s", name);
    char *path = source_path(below);
    char *text = read_all(path, &length);
    ctc_allow_mixed(ctc);
    (void)ctc_add_file(ctc, path);
    sf_status st = ctc_check(ctc);
    for (const char *line = text; line != NULL && strncmp(line, "// expect ", 10) == 0;) {
        unsigned row = 0;
        unsigned column = 0;
        char severity[16] = "";
        char rule[64] = "";
        bool found = false;
        assert_int_equal(sscanf(line, "// expect %u:%u %15s %63s", &row, &column, severity, rule),
                         4);
        for (size_t i = 0; i < ctc_diagnostic_count(ctc); i++) {
            const struct ctc_diagnostic *d = ctc_diagnostic(ctc, i);
            found = found || (d->line == row && d->column == column && strcmp(d->rule, rule) == 0 &&
                              d->warning == (strcmp(severity, "error") != 0) &&
                              d->note == (strcmp(severity, "note") == 0));
        }
        if (!found) {
            ctc_print(ctc, stderr);
            fail_msg("%s: no %s at %u:%u of rule %s", name, severity, row, column, rule);
        }
        expects_error = expects_error || strcmp(severity, "error") == 0;
        mark_seen(rule);
        expected_count++;
        line = strchr(line, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    if (ctc_diagnostic_count(ctc) != expected_count) {
        ctc_print(ctc, stderr);
        fail_msg("%s: other diagnostics than expected", name);
    }
    for (size_t i = 0; i < expected_count; i++) {
        const struct ctc_diagnostic *d = ctc_diagnostic(ctc, i);
        assert_true(d->warning || strcmp(d->rule, "syntax") == 0 ||
                    strstr(d->text, "expected") != NULL);
    }
    assert_true(expected_count > 0);
    assert_int_equal(st, expects_error ? SF_FORMAT : SF_OK);
    free(text);
    free(path);
    ctc_destroy(ctc);
}

static void each_rule_has_a_bad_input_that_breaks_it(void **state)
{
    char *path = source_path("compiler/bad");
    struct dirent **entries = NULL;
    int entry_count = scandir(path, &entries, NULL, alphasort);

    (void)state;
    assert_true(entry_count > 2);
    for (int i = 0; i < entry_count; i++) {
        if (strstr(entries[i]->d_name, ".contract") != NULL) {
            check_bad(entries[i]->d_name);
        }
        free(entries[i]);
    }
    free(entries);
    free(path);

    struct ctc *ctc = ctc_create();
    assert_int_equal(ctc_add_file(ctc, "/nonexistent/X.contract"), SF_IO);
    assert_int_equal(ctc_check(ctc), SF_FORMAT);
    mark_seen(ctc_diagnostic(ctc, 0)->rule);
    ctc_destroy(ctc);
    for (size_t i = 0; i < RULE_COUNT; i++) {
        if (!seen_rules[i]) {
            fail_msg("no bad input breaks rule '%s'", rules[i]);
        }
    }
}

static void each_rule_is_in_the_documentation(void **state)
{
    size_t length = 0;
    char *path = source_path("../docs/contracts.md");
    char *text = read_all(path, &length);

    (void)state;
    for (size_t i = 0; i < RULE_COUNT; i++) {
        char cell[80];
        snprintf(cell, sizeof(cell), "| `%s` |", rules[i]);
        if (strstr(text, cell) == NULL) {
            fail_msg("docs/contracts.md has no line for rule '%s'", rules[i]);
        }
    }
    free(text);
    free(path);
}

static void long_queues_are_refused(void **state)
{
    struct ctc *ctc = ctc_create();
    char *text = calloc(1, 4000);
    size_t length = 0;

    (void)state;
    assert_non_null(text);
    length += (size_t)sprintf(text, "contract C { in message A(); state S : ");
    for (int i = 0; i < 65; i++) {
        length += (size_t)sprintf(text + length, "A? -> ");
    }
    length += (size_t)sprintf(text + length, "E; state E : final; }");
    (void)ctc_add_text(ctc, "t", text, length);
    assert_int_equal(ctc_check(ctc), SF_FORMAT);
    assert_string_equal(ctc_diagnostic(ctc, 0)->rule, "limit");
    free(text);
    ctc_destroy(ctc);
}

/* Damaged text ends in diagnostics, never in a crash (this test also runs with sanitizers). */
static void damaged_text_never_crashes(void **state)
{
    static const char *const files[] = {
        "compiler/golden/Sample.contract", "std/TcpConnectionContract.contract",
        "compiler/golden/Whole.contract", "compiler/golden/SingSharp.sg"};
    uint64_t seed = 0xc0ffee;

    (void)state;
    for (int round = 0; round < 1200; round++) {
        size_t length = 0;
        char *path = source_path(files[round % 4]);
        char *text = read_all(path, &length);
        struct ctc *ctc = ctc_create();
        for (int change = 0; change < 1 + round % 7; change++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            size_t at = (size_t)(seed >> 33) % length;
            if (seed >> 62 == 0) {
                memmove(text + at, text + at + 1, length - at);
                length--;
            } else if (seed >> 62 == 1) {
                length = at + 1;
            } else {
                static const char bytes[] = "{}();:?!->.,\"/*ab\n\0\xff";
                text[at] = bytes[(seed >> 20) % sizeof(bytes)];
            }
        }
        (void)ctc_add_text(ctc, path, text, length);
        (void)!ctc_check(ctc);
        ctc_destroy(ctc);
        free(text);
        free(path);
    }
}

static void missing_contracts_are_looked_for_in_folders(void **state)
{
    static const char text[] = "contract C { in message M(TcpContract.Exp e); state S : M? -> E;\n"
                               "state E : final; }";
    char *folder = source_path("std");

    (void)state;
    struct ctc *without = ctc_create();
    (void)ctc_add_text(without, "c", text, strlen(text));
    assert_int_equal(ctc_check(without), SF_FORMAT);
    assert_string_equal(ctc_diagnostic(without, 0)->rule, "unknown-contract");
    ctc_destroy(without);

    struct ctc *with = ctc_create();
    assert_int_equal(ctc_add_path(with, folder), SF_OK);
    assert_int_equal(ctc_add_text(with, "c", text, strlen(text)), SF_OK);
    assert_int_equal(ctc_load(with, "HelloContract"), SF_OK);
    assert_int_equal(ctc_load(with, "NoSuchContract"), SF_NOTFOUND);
    assert_int_equal(ctc_check(with), SF_OK);
    assert_int_equal(ctc_contract_count(with), 4);
    assert_non_null(ctc_find(with, "TcpConnectionContract"));
    ctc_destroy(with);
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tcp_contracts_are_whole),
        cmocka_unit_test(queue_bounds_are_the_longest_runs),
        cmocka_unit_test(identity_is_that_of_the_meaning),
        cmocka_unit_test(a_change_in_a_referred_contract_changes_the_identity),
        cmocka_unit_test(contracts_that_refer_to_each_other_verify),
        cmocka_unit_test(generated_files_are_as_expected),
        cmocka_unit_test(each_rule_has_a_bad_input_that_breaks_it),
        cmocka_unit_test(each_rule_is_in_the_documentation),
        cmocka_unit_test(long_queues_are_refused),
        cmocka_unit_test(damaged_text_never_crashes),
        cmocka_unit_test(missing_contracts_are_looked_for_in_folders),
    };
    return cmocka_run_group_tests_name("contract compiler", tests, NULL, NULL);
}
