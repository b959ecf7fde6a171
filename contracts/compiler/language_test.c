/* SPDX-License-Identifier: Apache-2.0 */
/* What the language means: structs, bases, called states, imports; and the standard contracts. */
#include "../test_support.h"

#include "../blob.h"

static sf_status check_text(struct ctc *ctc, const char *text)
{
    (void)ctc_add_text(ctc, "text.contract", text, strlen(text));
    return ctc_check(ctc);
}

static struct ctc *compile(const char *text)
{
    struct ctc *ctc = ctc_create();

    if (check_text(ctc, text) != SF_OK) {
        ctc_print(ctc, stderr);
        fail_msg("text does not compile");
    }
    return ctc;
}

static bool has_rule(const struct ctc *ctc, const char *rule)
{
    for (size_t i = 0; i < ctc_diagnostic_count(ctc); i++) {
        if (strcmp(ctc_diagnostic(ctc, i)->rule, rule) == 0) {
            return true;
        }
    }
    return false;
}

/* One text is the other one written out. */
static void assert_same(const char *one, const char *two)
{
    struct ctc *first = compile(one);
    struct ctc *second = compile(two);

    assert_memory_equal(table_of(first, "C")->id, table_of(second, "C")->id, CT_ID_BYTES);
    ctc_destroy(first);
    ctc_destroy(second);
}

static void assert_different(const char *one, const char *two)
{
    struct ctc *first = compile(one);
    struct ctc *second = compile(two);

    assert_memory_not_equal(table_of(first, "C")->id, table_of(second, "C")->id, CT_ID_BYTES);
    ctc_destroy(first);
    ctc_destroy(second);
}

/* Sends messages by name, '?' and '!' as in contracts; answers the state's name after them. */
static const char *walk(const struct ct_contract *table, const char *state, const char *messages)
{
    int at = ct_state_find(table, state);
    char *copy = strdup(messages);

    assert_non_null(copy);
    assert_true(at >= 0);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " ")) {
        char *sign = word + strlen(word) - 1;
        enum ct_side sender = *sign == '?' ? CT_IMP : CT_EXP;
        *sign = 0;
        int tag = ct_message_find(table, word);
        assert_true(tag >= 0);
        uint8_t next = ct_step(table, (uint8_t)at, sender, (uint32_t)tag);
        if (next == CT_ILLEGAL) {
            free(copy);
            return NULL;
        }
        at = next;
    }
    free(copy);
    return table->states[at].name;
}

/* --- structs
 * ------------------------------------------------------------------------------------- */

static void structs_by_value_are_their_fields(void **state)
{
    (void)state;
    assert_same("contract C { struct P { int x; int y; } struct L { P from; P to; byte c; }\n"
                "enum E { A } in message M(L line, E e, P at);\n"
                "state S : M? -> T; state T : final; }",
                "contract C { enum E { A } in message M(int line_from_x, int line_from_y,\n"
                "int line_to_x, int line_to_y, byte line_c, E e, int at_x, int at_y);\n"
                "state S : M? -> T; state T : final; }");
    /* A block in a struct by value is an argument like any other, and may be absent. */
    assert_same("contract C { rep struct P : ITracked { char[]! in ExHeap a; block bytes? b; }\n"
                "in message M(P p); state S : M? -> T; state T : final; }",
                "contract C { in message M(char[] in ExHeap p_a, block bytes? p_b);\n"
                "state S : M? -> T; state T : final; }");
}

static void layouts_are_those_of_c(void **state)
{
    struct record {
        bool flag;
        uint16_t small;
        uint8_t tiny;
        uint64_t large;
        struct {
            int32_t x, y;
        } where;
        uint32_t heat;
        double number;
    };
    static const struct {
        const char *name;
        size_t offset;
    } fields[] = {
        {"flag", offsetof(struct record, flag)},     {"small", offsetof(struct record, small)},
        {"tiny", offsetof(struct record, tiny)},     {"large", offsetof(struct record, large)},
        {"where", offsetof(struct record, where)},   {"heat", offsetof(struct record, heat)},
        {"number", offsetof(struct record, number)},
    };

    (void)state;
    struct ctc *ctc = compile_file("compiler/golden/Whole.contract");
    const struct ct_contract *whole = table_of(ctc, "Whole");
    assert_int_equal(whole->layout_count, 4);
    assert_string_equal(whole->layouts[0].name, "Link");
    assert_string_equal(whole->layouts[1].name, "Point");
    assert_string_equal(whole->layouts[2].name, "Record");
    assert_string_equal(whole->layouts[3].name, "block_char");
    const struct ct_layout *record = &whole->layouts[2];
    assert_int_equal(record->bytes, sizeof(struct record));
    assert_int_equal(record->align, 8);
    assert_int_equal(record->nested, 0);
    assert_int_equal(record->field_count, 7);
    for (size_t i = 0; i < 7; i++) {
        assert_string_equal(record->fields[i].name, fields[i].name);
        assert_int_equal(record->fields[i].offset, fields[i].offset);
    }
    const struct ct_layout *link = &whole->layouts[0];
    assert_int_equal(link->bytes, 16 + sizeof(struct record));
    assert_int_equal(link->nested, 1);
    assert_int_equal(link->fields[1].kind, CT_ARG_BLOCK);
    assert_int_equal(link->fields[1].element, CT_ARG_STRUCT);
    assert_int_equal(link->fields[1].layout, 1);
    assert_int_equal(link->fields[1].optional, 1);

    const struct ct_message *records = &whole->messages[ct_message_find(whole, "Records")];
    assert_int_equal(records->args[0].kind, CT_ARG_BLOCK);
    assert_int_equal(records->args[0].element, CT_ARG_UINT8);
    assert_int_equal(records->args[0].layout, 3);
    assert_int_equal(records->args[0].bytes, sizeof(struct record));
    assert_int_equal(records->args[0].nested, 0);
    assert_int_equal(records->args[2].bytes, 8);
    assert_int_equal(records->args[2].optional, 1);
    const struct ct_message *chain = &whole->messages[ct_message_find(whole, "Chain")];
    assert_int_equal(chain->args[0].nested, 1);
    const struct ct_message *names = &whole->messages[ct_message_find(whole, "Names")];
    assert_int_equal(names->args[0].nested, 1);
    assert_int_equal(names->args[0].layout, names->args[1].layout);
    ctc_destroy(ctc);
}

static void a_layout_is_a_part_of_the_identity(void **state)
{
    static const char one[] = "contract C { struct P { int x; int y; } in message M(block P p);\n"
                              "state S : M? -> T; state T : final; }";
    static const char *const others[] = {
        "contract C { struct P { int y; int x; } in message M(block P p);\n"
        "state S : M? -> T; state T : final; }",
        "contract C { struct P { int x; uint y; } in message M(block P p);\n"
        "state S : M? -> T; state T : final; }",
        "contract C { struct Q { int x; int y; } in message M(block Q p);\n"
        "state S : M? -> T; state T : final; }",
        "contract C { in message M(block bytes p); state S : M? -> T; state T : final; }",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_different(one, others[i]);
    }
    assert_same(one, "struct P { int x; int y; } contract C { struct Unused { int z; }\n"
                     "in message M(P* in ExHeap! p); state S : M? -> T; state T : final; }");
}

static void large_and_deep_structs_end_in_limits(void **state)
{
    char *text = calloc(1, 200000);
    size_t length;

    (void)state;
    assert_non_null(text);
    /* Each has two of the one before: the last would be a mountain. */
    length = (size_t)sprintf(text, "contract C { struct S0 { int64 a; int64 b; }\n");
    for (int i = 1; i < 60; i++) {
        length += (size_t)sprintf(text + length, "struct S%d { S%d a; S%d b; }\n", i, i - 1, i - 1);
    }
    sprintf(text + length, "in message M(block S59 p); state S : M? -> T; state T : final; }");
    struct ctc *ctc = ctc_create();
    assert_int_equal(check_text(ctc, text), SF_FORMAT);
    assert_true(has_rule(ctc, "limit"));
    ctc_destroy(ctc);
    /* By value it is too many arguments, and is found to be without counting them all. */
    sprintf(text + length, "in message M(S59 p); state S : M? -> T; state T : final; }");
    ctc = ctc_create();
    assert_int_equal(check_text(ctc, text), SF_FORMAT);
    assert_true(has_rule(ctc, "limit"));
    ctc_destroy(ctc);
    /* A chain of thousands. */
    length = 0;
    for (int i = 0; i < 4000; i++) {
        length += (size_t)sprintf(text + length, "struct S%d { S%d a; }\n", i, i + 1);
    }
    sprintf(text + length, "struct S4000 { int a; } contract C { in message M(block S0 p);\n"
                           "state S : M? -> T; state T : final; }");
    ctc = ctc_create();
    assert_int_equal(check_text(ctc, text), SF_FORMAT);
    assert_true(has_rule(ctc, "limit"));
    ctc_destroy(ctc);
    free(text);
}

/* Bits of a table with structs and references: refused, or another contract than its id says. */
static void damaged_tables_with_structs_are_refused(void **state)
{
    struct ctc *ctc = compile_file("std/NicDeviceContract.contract");
    const char *const names[] = {"NicDeviceContract", "NicDeviceEventContract"};
    const uint8_t *blobs[2];
    size_t lengths[2];
    struct ct_contract *tables[2];
    const char *text = NULL;
    uint32_t decoded = 0;

    (void)state;
    for (int i = 0; i < 2; i++) {
        blobs[i] = ctc_blob(ctc_find(ctc, names[i]), &lengths[i]);
        assert_int_equal(ct_decode(blobs[i], lengths[i], &tables[i], &text), SF_OK);
    }
    assert_int_equal(ct_verify_ids(blobs, lengths, tables, 2, &text), SF_OK);
    for (size_t bit = 0; bit < lengths[0] * 8; bit++) {
        uint8_t *copy = malloc(lengths[0]);
        struct ct_contract *table = NULL;
        assert_non_null(copy);
        memcpy(copy, blobs[0], lengths[0]);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (ct_decode(copy, lengths[0], &table, &text) == SF_OK) {
            const uint8_t *all[2] = {copy, blobs[1]};
            struct ct_contract *const both[2] = {table, tables[1]};
            decoded++;
            for (uint16_t l = 0; l < table->layout_count; l++) {
                assert_in_range(table->layouts[l].bytes, 1, CT_LAYOUT_BYTES_MAX);
            }
            assert_int_equal(ct_verify_ids(all, lengths, both, 2, &text), SF_TRUST);
            ct_destroy(table);
        }
        free(copy);
    }
    assert_true(decoded > 1000);
    for (size_t length = 0; length < lengths[0]; length++) {
        uint8_t *copy = malloc(length + 1);
        struct ct_contract *table = NULL;
        assert_non_null(copy);
        memcpy(copy, blobs[0], length);
        uint8_t *exact = realloc(copy, length == 0 ? 1 : length);
        assert_non_null(exact);
        assert_int_equal(ct_decode(exact, length, &table, &text), SF_FORMAT);
        free(exact);
    }
    ct_destroy(tables[0]);
    ct_destroy(tables[1]);
    ctc_destroy(ctc);
}

/* --- bases
 * --------------------------------------------------------------------------------------- */

static void a_derived_contract_is_what_it_would_be_if_written_out(void **state)
{
    (void)state;
    assert_same("contract B { enum E { X, Y } struct P { E e; } out message No(P p);\n"
                "state Start : No! -> Over; state Over : final; }\n"
                "contract M : B { out message Hello(); override state Start : Hello! -> Mid;\n"
                "in message Bye(); state Mid : Bye? -> Over; }\n"
                "contract C : M { out message Other(E e); override state Start : Other! -> Mid; }",
                "contract C { enum E { X, Y } out message No(E p_e); out message Hello();\n"
                "in message Bye(); out message Other(E e);\n"
                "state Start : { No! -> Over; Hello! -> Mid; Other! -> Mid; }\n"
                "state Over : final; state Mid : Bye? -> Over; }");
    /* A base that comes later in the text, and one that is found by its file's name. */
    assert_same("contract C : B { } contract B { out message No(); state Start : No! -> Over;\n"
                "state Over : final; }",
                "contract C { out message No(); state Start : No! -> Over; state Over : final; }");
    struct ctc *ctc = compile_file("std/UdpContract.contract");
    const struct ct_contract *udp = table_of(ctc, "UdpContract");
    assert_string_equal(walk(udp, "Start", "ContractNotSupported!"), "DoneState");
    assert_string_equal(walk(udp, "Start", "Ready! CreateUdpSession? Ack!"), "ReadyState");
    assert_int_equal(table_of(ctc, "ServiceContract")->message_count, 1);
    ctc_destroy(ctc);
}

/* --- called states
 * ------------------------------------------------------------------------------- */

static void a_call_is_what_it_would_be_if_written_out(void **state)
{
    (void)state;
    assert_same("contract C { in message A(); out message X(); in message Z(); out message D();\n"
                "state S : A? -> Sub -> D! -> S; state Sub : X! -> Inner -> X!;\n"
                "state Inner : Z?; }",
                "contract C { in message A(); out message X(); in message Z(); out message D();\n"
                "state S : A? -> X! -> Z? -> X! -> D! -> S; }");
}

static void a_call_returns_to_where_it_was_made(void **state)
{
    (void)state;
    struct ctc *ctc = compile_file("compiler/golden/Whole.contract");
    const struct ct_contract *whole = table_of(ctc, "Whole");
    assert_int_equal(ct_state_find(whole, "Check"), -1);
    assert_string_equal(walk(whole, "Ready", "Move? Granted! Done!"), "Ready");
    assert_string_equal(
        walk(whole, "Ready", "Move? AskPassword! Password? AskPassword! Password? Granted! Done!"),
        "Ready");
    assert_null(walk(whole, "Ready", "Move? Done!"));
    assert_null(walk(whole, "Ready", "Move? Granted! Move?"));
    assert_string_equal(walk(whole, "Ready", "Chain? Granted! AskPassword! Password? Granted!"),
                        "Ready");
    assert_null(walk(whole, "Ready", "Chain? Granted! Move?"));
    ctc_destroy(ctc);
}

static void calls_that_multiply_end_in_a_limit(void **state)
{
    char *text = calloc(1, 20000);
    size_t length;

    (void)state;
    assert_non_null(text);
    length = (size_t)sprintf(text, "contract C { in message A(); out message B();\n"
                                   "state S : A? -> S0 -> S;\n");
    for (int i = 0; i < 40; i++) {
        length += (size_t)sprintf(text + length, "state S%d : A? -> S%d -> S%d -> B!;\n", i, i + 1,
                                  i + 1);
    }
    sprintf(text + length, "state S40 : B!; }");
    struct ctc *ctc = ctc_create();
    assert_int_equal(check_text(ctc, text), SF_FORMAT);
    assert_true(has_rule(ctc, "limit"));
    ctc_destroy(ctc);
    free(text);
}

/* --- both sides may send
 * ------------------------------------------------------------------------- */

static void mixed_states_are_checked_only_when_declared_and_allowed(void **state)
{
    static const char fine[] = "contract C { in message Stop(); out message Tick();\n"
                               "state S : sends first -> { Stop? -> T; Tick! -> U; }\n"
                               "state T : Tick! -> E; state U : Stop? -> E; state E : final; }";
    static const char racing[] =
        "contract C { in message Stop(); out message Tick();\n"
        "state S : receives first { Stop? -> E; Tick! -> E; } state E : final; }";

    (void)state;
    struct ctc *ctc = ctc_create();
    assert_int_equal(check_text(ctc, fine), SF_FORMAT); /* no table, so nothing may use it */
    assert_true(has_rule(ctc, "mixed-state"));
    ctc_destroy(ctc);
    ctc = ctc_create();
    ctc_allow_mixed(ctc);
    assert_int_equal(check_text(ctc, fine), SF_OK);
    assert_true(has_rule(ctc, "mixed-unmonitored"));
    ctc_destroy(ctc);
    ctc = ctc_create();
    ctc_allow_mixed(ctc);
    assert_int_equal(check_text(ctc, racing), SF_FORMAT);
    assert_true(has_rule(ctc, "unspecified-reception"));
    ctc_destroy(ctc);
}

/* --- files
 * --------------------------------------------------------------------------------------- */

static void a_sing_sharp_source_is_read(void **state)
{
    (void)state;
    struct ctc *ctc = compile_file("compiler/golden/SingSharp.sg");
    assert_int_equal(ctc_contract_count(ctc), 1);
    const struct ct_contract *store = table_of(ctc, "StoreContract");
    assert_int_equal(store->message_count, 7);
    const struct ct_message *put = &store->messages[ct_message_find(store, "Put")];
    assert_int_equal(put->arg_count, 5);
    assert_string_equal(put->args[1].name, "block_data");
    assert_int_equal(put->args[1].kind, CT_ARG_BLOCK);
    assert_string_equal(put->args[3].name, "block_length");
    assert_string_equal(walk(store, "Start", "Ready! Get? NotFound! Put? Ok!"), "Serving");
    uint32_t notes = 0;
    for (size_t i = 0; i < ctc_diagnostic_count(ctc); i++) {
        notes += ctc_diagnostic(ctc, i)->note;
    }
    assert_int_equal(notes, 9); /* one for each kind of thing */
    ctc_destroy(ctc);
}

static void names_are_looked_for_near_first(void **state)
{
    static const char use[] = "contract C { in message M(E e); state S : M? -> T;\n"
                              "state T : final; }";
    static const char one[] = "enum E { A = 1 }";
    static const char two[] = "enum E { A = 2 }";

    (void)state;
    struct ctc *ctc = ctc_create();
    (void)ctc_add_text(ctc, "one", one, strlen(one));
    assert_int_equal(check_text(ctc, use), SF_OK); /* from the only other file that has it */
    ctc_destroy(ctc);
    ctc = ctc_create();
    (void)ctc_add_text(ctc, "one", one, strlen(one));
    (void)ctc_add_text(ctc, "two", two, strlen(two));
    assert_int_equal(check_text(ctc, use), SF_FORMAT); /* from which one? */
    assert_true(has_rule(ctc, "unknown-type"));
    ctc_destroy(ctc);
    assert_same("enum E { A = 3 } contract C { enum E { A = 4 } in message M(E e);\n"
                "state S : M? -> T; state T : final; }",
                "contract C { enum E { A = 4 } in message M(E e); state S : M? -> T;\n"
                "state T : final; }");
    assert_same("contract D { enum E { A = 4 } state T : final; }\n"
                "contract C { in message M(D.E e); state S : M? -> T; state T : final; }",
                "contract C { enum E { A = 4 } in message M(E e); state S : M? -> T;\n"
                "state T : final; }");
}

/* --- the standard contracts
 * ---------------------------------------------------------------------- */

struct expected {
    const char *name;
    uint32_t messages, named, actions;
    uint8_t slots_exp, slots_imp;
};

static void standard_contracts_are_whole(void **state)
{
    /* Messages of derived contracts with ContractNotSupported. */
    static const struct expected all[] = {
        {"ClockContract", 8, 2, 8, 1, 1},
        {"ConsoleContract", 7, 2, 7, 1, 1},
        {"DNSContract", 15, 3, 17, 1, 1},
        {"DirectoryServiceContract", 66, 5, 66, 2, 1},
        {"EchoContract", 3, 2, 3, 1, 1},
        {"EntropyContract", 4, 2, 4, 1, 1},
        {"ExtensionContract", 4, 2, 4, 1, 1},
        {"FileContract", 7, 3, 7, 1, 1},
        {"HelloContract", 3, 2, 3, 1, 1},
        {"IPContract", 22, 3, 32, 1, 1},
        {"NicDeviceContract", 16, 8, 20, 2, 1},
        {"NicDeviceEventContract", 3, 2, 3, 1, 2},
        {"NotifyContract", 3, 3, 3, 2, 1},
        {"RoutingContract", 14, 3, 22, 1, 1},
        {"ServiceContract", 1, 2, 1, 1, 1},
        {"ServiceProviderContract", 3, 2, 3, 1, 1},
        {"TcpConnectionContract", 31, 19, 85, 3, 1},
        {"TcpContract", 3, 2, 3, 1, 1},
        {"TcpSocketContract", 16, 10, 38, 3, 1},
        {"UdpConnectionContract", 23, 8, 67, 1, 2},
        {"UdpContract", 4, 3, 4, 1, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        char below[100];
        uint32_t named = 0;
        uint32_t actions = 0;
        snprintf(below, sizeof(below), "std/%s.contract", all[i].name);
        struct ctc *ctc = compile_file(below);
        const struct ct_contract *table = table_of(ctc, all[i].name);
        for (uint32_t s = 0; s < table->state_count; s++) {
            named += strchr(table->states[s].name, '.') == NULL;
            for (uint32_t tag = 0; tag < table->message_count; tag++) {
                actions += ct_step(table, (uint8_t)s, CT_IMP, tag) != CT_ILLEGAL;
                actions += ct_step(table, (uint8_t)s, CT_EXP, tag) != CT_ILLEGAL;
            }
        }
        assert_int_equal(table->message_count, all[i].messages);
        assert_int_equal(named, all[i].named);
        assert_int_equal(actions, all[i].actions);
        assert_int_equal(table->slots[CT_EXP], all[i].slots_exp);
        assert_int_equal(table->slots[CT_IMP], all[i].slots_imp);
        ctc_destroy(ctc);
    }
}

static void gaps_of_the_originals_are_mended(void **state)
{
    (void)state;
    struct ctc *ctc = compile_file("std/UdpConnectionContract.contract");
    const struct ct_contract *udp = table_of(ctc, "UdpConnectionContract");
    assert_string_equal(walk(udp, "ReadyState", "PollSelectRead? PollSelectResult!"), "ReadyState");
    assert_string_equal(walk(udp, "LocallyBound", "Close?"), "Closed");
    assert_null(walk(udp, "LocallyBound", "Write?"));
    assert_string_equal(walk(udp, "ReadyState", "WriteTo? OK! Ready!"), "ReadyState");
    ctc_destroy(ctc);

    ctc = compile_file("std/TcpSocketContract.contract");
    const struct ct_contract *socket = table_of(ctc, "TcpSocketContract");
    assert_string_equal(walk(socket, "Start", "Ready! Read? RemoteClose!"), "Zombie");
    assert_string_equal(walk(socket, "Connected", "DoneSending? DoneReceiving? Close?"), "Closed");
    ctc_destroy(ctc);

    ctc = compile_file("std/DirectoryServiceContract.contract");
    const struct ct_contract *directory = table_of(ctc, "DirectoryServiceContract");
    assert_string_equal(walk(directory, "Start", "Success! Bind? ReparseBind!"), "Ready");
    assert_true(ct_message_find(directory, "ReparseCreateAndBindFile") < 0);
    assert_string_equal(
        walk(directory, "Ready", "BeginEnumeration? EnumerationEntries! EndEnumeration? Bind?"),
        "Ready.1");
    ctc_destroy(ctc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(structs_by_value_are_their_fields),
        cmocka_unit_test(layouts_are_those_of_c),
        cmocka_unit_test(a_layout_is_a_part_of_the_identity),
        cmocka_unit_test(large_and_deep_structs_end_in_limits),
        cmocka_unit_test(damaged_tables_with_structs_are_refused),
        cmocka_unit_test(a_derived_contract_is_what_it_would_be_if_written_out),
        cmocka_unit_test(a_call_is_what_it_would_be_if_written_out),
        cmocka_unit_test(a_call_returns_to_where_it_was_made),
        cmocka_unit_test(calls_that_multiply_end_in_a_limit),
        cmocka_unit_test(mixed_states_are_checked_only_when_declared_and_allowed),
        cmocka_unit_test(a_sing_sharp_source_is_read),
        cmocka_unit_test(names_are_looked_for_near_first),
        cmocka_unit_test(standard_contracts_are_whole),
        cmocka_unit_test(gaps_of_the_originals_are_mended),
    };
    return cmocka_run_group_tests_name("contract language", tests, NULL, NULL);
}
