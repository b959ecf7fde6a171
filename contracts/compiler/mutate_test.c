/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every standard contract, broken in each way a rule is about, must be rejected by that rule.
 *
 * Mutants are made by the functions below, one a rule, at every place of the text where they can be
 * applied, always in the same order. None of them may be a legal contract: each function says why
 * its mutants are not, from the text and from the table of the unbroken contract, never from what
 * the checker answers. So a mutant that is accepted is a fault of the checker (or of that reason)
 * and fails the test; nothing is left out because it was accepted. The unbroken contracts must
 * pass, so it is the mutation that is rejected.
 */
#include "mutate.h"

#include <dirent.h>

#include "ctc.h"

struct edit {
    size_t at, end;
    const char *text;
};

/* A contract and its mutants so far. */
struct bench {
    char *path;
    char *text;
    struct text_map map;
    struct ctc *ctc;
    const struct ctc_contract *contract;
    const struct ct_contract *table;
};

static struct {
    const char *rule;
    unsigned count;
} counts[64];
static size_t count_count;

static void count_one(const char *rule)
{
    for (size_t i = 0; i < count_count; i++) {
        if (strcmp(counts[i].rule, rule) == 0) {
            counts[i].count++;
            return;
        }
    }
    counts[count_count].rule = rule;
    counts[count_count++].count = 1;
}

static char *apply(const char *text, const struct edit *edits, size_t edit_count)
{
    size_t length = strlen(text) + 1;
    size_t from = 0;
    size_t to = 0;

    for (size_t i = 0; i < edit_count; i++) {
        length += strlen(edits[i].text);
    }
    char *out = calloc(1, length);
    assert_non_null(out);
    for (size_t i = 0; i < edit_count; i++) {
        assert_true(edits[i].at >= from); /* edits are in order and do not overlap */
        memcpy(out + to, text + from, edits[i].at - from);
        to += edits[i].at - from;
        memcpy(out + to, edits[i].text, strlen(edits[i].text));
        to += strlen(edits[i].text);
        from = edits[i].end;
    }
    strcpy(out + to, text + from);
    return out;
}

static bool has_error(const struct ctc *ctc, const char *rule)
{
    for (size_t i = 0; i < ctc_diagnostic_count(ctc); i++) {
        const struct ctc_diagnostic *d = ctc_diagnostic(ctc, i);
        if (!d->warning && strcmp(d->rule, rule) == 0) {
            return true;
        }
    }
    return false;
}

static void must_break(const struct bench *bench, const char *rule, const struct edit *edits,
                       size_t edit_count)
{
    char *text = apply(bench->text, edits, edit_count);
    struct ctc *ctc = ctc_create();

    (void)ctc_add_text(ctc, bench->path, text, strlen(text));
    sf_status st = ctc_check(ctc);
    if (st != SF_FORMAT || !has_error(ctc, rule)) {
        ctc_print(ctc, stderr);
        fail_msg("%s: rule '%s' was not seen to be broken in:\n%s", bench->path, rule, text);
    }
    /* Who lets both send gets to see what comes of it. */
    if (strcmp(rule, "mixed-state") == 0 && ctc_error_count(ctc) == 1 &&
        !has_error(ctc, "unspecified-reception") && !has_error(ctc, "deadlock") &&
        !has_error(ctc, "queue-overflow")) {
        fail_msg("%s: no run was found in:\n%s", bench->path, text);
    }
    count_one(rule);
    ctc_destroy(ctc);
    free(text);
}

static void replace_tokens(const struct bench *bench, const char *rule, int first, int last,
                           const char *text)
{
    const struct edit edit = {bench->map.tokens[first].at, bench->map.tokens[last].end, text};
    must_break(bench, rule, &edit, 1);
}

static void insert_before(const struct bench *bench, const char *rule, int token, const char *text)
{
    const struct edit edit = {bench->map.tokens[token].at, bench->map.tokens[token].at, text};
    must_break(bench, rule, &edit, 1);
}

static void insert_after(const struct bench *bench, const char *rule, int token, const char *text)
{
    const struct edit edit = {bench->map.tokens[token].end, bench->map.tokens[token].end, text};
    must_break(bench, rule, &edit, 1);
}

/* A declaration in the beginning of the contract and a step in the beginning of a state. */
static void add_step(const struct bench *bench, const char *rule, const struct state_place *state,
                     const char *declaration, const char *step)
{
    size_t top = bench->map.tokens[bench->map.open].end;
    size_t body = bench->map.tokens[state->open].end;
    const struct edit edits[] = {{top, top, declaration}, {body, body, step}};

    must_break(bench, rule, edits, 2);
}

/* Index of a scanned state in the table, -1 if it is not there. */
static int state_index(const struct bench *bench, int state)
{
    char *name = token_text(&bench->map, bench->map.states[state].name);
    int index = ct_state_find(bench->table, name);

    free(name);
    return index;
}

static int message_index(const struct bench *bench, int token)
{
    char *name = token_text(&bench->map, token);
    int index = ct_message_find(bench->table, name);

    free(name);
    return index;
}

/* --- the text -----------------------------------------------------------------------------------
 */

/* A parenthesis, a brace or a semicolon that the grammar asks for is gone. */
static void syntax(const struct bench *bench)
{
    for (int i = 0; i < bench->map.message_count; i++) {
        replace_tokens(bench, "syntax", bench->map.messages[i].open, bench->map.messages[i].open,
                       "");
        replace_tokens(bench, "syntax", bench->map.messages[i].end, bench->map.messages[i].end, "");
    }
    replace_tokens(bench, "syntax", bench->map.open, bench->map.open, "");
    replace_tokens(bench, "syntax", bench->map.close, bench->map.close, "");
}

/* The sign of a message in a step is gone; no state has a message's name. */
static void missing_sign(const struct bench *bench)
{
    for (int i = 0; i < bench->map.action_count; i++) {
        int sign = bench->map.actions[i].sign;
        if (token_is(&bench->map, sign + 1, "->")) {
            replace_tokens(bench, "missing-sign", sign, sign, "");
        }
    }
}

/* A step ends after a message. */
static void step_end(const struct bench *bench)
{
    for (int i = 0; i < bench->map.target_count; i++) {
        const struct target_place *target = &bench->map.targets[i];
        if (token_is(&bench->map, target->arrow - 1, "?") ||
            token_is(&bench->map, target->arrow - 1, "!")) {
            replace_tokens(bench, "step-end", target->arrow, target->name, "");
        }
    }
}

/* --- names --------------------------------------------------------------------------------------
 */

/* No standard contract has a name that begins with Zz. */
static void unknown_names(const struct bench *bench)
{
    for (int i = 0; i < bench->map.action_count; i++) {
        int name = bench->map.actions[i].name;
        replace_tokens(bench, "unknown-message", name, name, "ZzMessage");
    }
    for (int i = 0; i < bench->map.target_count; i++) {
        int name = bench->map.targets[i].name;
        replace_tokens(bench, "unknown-state", name, name, "ZzState");
    }
    for (int m = 0; m < bench->map.message_count; m++) {
        for (int a = 0; a < bench->map.messages[m].arg_count; a++) {
            const struct arg_place *arg = &bench->map.messages[m].args[a];
            replace_tokens(bench, "unknown-type", arg->first, arg->name - 1, "ZzType");
            if (token_is(&bench->map, arg->first + 1, ".")) {
                replace_tokens(bench, "unknown-contract", arg->first, arg->first, "ZzContract");
            }
        }
    }
}

/* The same declaration twice in one contract. */
static void duplicates(const struct bench *bench)
{
    for (int i = 0; i < bench->map.message_count; i++) {
        const struct message_place *message = &bench->map.messages[i];
        size_t at = bench->map.tokens[message->first].at;
        char *copy = strndup(bench->text + at, bench->map.tokens[message->end].end - at);
        assert_non_null(copy);
        insert_before(bench, "duplicate-message", bench->map.close, copy);
        free(copy);
        if (message->arg_count > 0 && message->arg_count < (int)CT_ARGS_MAX) {
            char *name = token_text(&bench->map, message->args[0].name);
            char *again = NULL;
            assert_true(asprintf(&again, ", uint %s", name) > 0);
            insert_before(bench, "duplicate-name", message->close, again);
            free(again);
            free(name);
        }
    }
    for (int i = 0; i < bench->map.state_count; i++) {
        char *name = token_text(&bench->map, bench->map.states[i].name);
        char *again = NULL;
        bool overrides = token_is(&bench->map, bench->map.states[i].first, "override");
        assert_true(asprintf(&again, "%sstate %s : { }", overrides ? "override " : "", name) > 0);
        insert_before(bench, "duplicate-state", bench->map.close, again);
        free(again);
        free(name);
    }
    char *twice = NULL;
    assert_true(asprintf(&twice, "\n%s", bench->text) > 0);
    insert_after(bench, "duplicate-contract", bench->map.close, twice);
    free(twice);
}

/* A word of C where a name stands that nothing refers to. */
static void reserved_names(const struct bench *bench)
{
    for (int m = 0; m < bench->map.message_count; m++) {
        for (int a = 0; a < bench->map.messages[m].arg_count; a++) {
            int name = bench->map.messages[m].args[a].name;
            replace_tokens(bench, "reserved-name", name, name, "register");
        }
    }
    insert_after(bench, "reserved-name", bench->map.open, " in message while();");
}

/* --- types --------------------------------------------------------------------------------------
 */

/* Strings and objects of a language do not travel. */
static void not_exchangeable(const struct bench *bench)
{
    for (int m = 0; m < bench->map.message_count; m++) {
        for (int a = 0; a < bench->map.messages[m].arg_count; a++) {
            const struct arg_place *arg = &bench->map.messages[m].args[a];
            replace_tokens(bench, "not-exchangeable", arg->first, arg->name - 1,
                           a % 2 == 0 ? "string" : "object");
        }
    }
}

/*
 * An endpoint travels in a state of its contract in which, by that contract's table, the other
 * side sends, or nobody.
 */
static void endpoint_states(const struct bench *bench)
{
    for (int m = 0; m < bench->map.message_count; m++) {
        for (int a = 0; a < bench->map.messages[m].arg_count; a++) {
            int at = bench->map.messages[m].args[a].first;
            if (!token_is(&bench->map, at + 1, ".")) {
                continue;
            }
            char *name = token_text(&bench->map, at);
            const struct ctc_contract *other = ctc_find(bench->ctc, name);
            enum ct_side side = token_is(&bench->map, at + 2, "Imp") ? CT_IMP : CT_EXP;
            int last = token_is(&bench->map, at + 3, ":") ? at + 4 : at + 2;
            assert_non_null(other);
            for (uint16_t s = 0; s < ctc_table(other)->state_count; s++) {
                const struct ct_state *state = &ctc_table(other)->states[s];
                char *type = NULL;
                if (strchr(state->name, '.') != NULL || (!state->final && state->sender == side)) {
                    continue;
                }
                assert_true(asprintf(&type, "%s.%s:%s", name, side == CT_IMP ? "Imp" : "Exp",
                                     state->name) > 0);
                replace_tokens(bench, "endpoint-state", at, last, type);
                free(type);
            }
            free(name);
        }
    }
}

/* --- steps --------------------------------------------------------------------------------------
 */

/*
 * The sign of a step, or the direction of a message that is used, turned round. Messages that go
 * both ways (no in, no out) are left out: for them either sign is right.
 */
static void directions(const struct bench *bench)
{
    bool used[CT_MESSAGES_MAX] = {false};

    for (int i = 0; i < bench->map.action_count; i++) {
        const struct action_place *action = &bench->map.actions[i];
        int message = message_index(bench, action->name);
        bool receives = token_is(&bench->map, action->sign, "?");
        assert_true(message >= 0);
        if (bench->table->messages[message].direction != CT_DIR_BOTH) {
            used[message] = true;
            replace_tokens(bench, "message-direction", action->sign, action->sign,
                           receives ? "!" : "?");
        }
    }
    for (int i = 0; i < bench->map.message_count; i++) {
        int direction = bench->map.messages[i].direction;
        int message = message_index(bench, bench->map.messages[i].name);
        if (direction >= 0 && message >= 0 && used[message]) {
            bool in = token_is(&bench->map, direction, "in");
            replace_tokens(bench, "message-direction", direction, direction, in ? "out" : "in");
        }
    }
}

/* A second step of a state that begins with the same message. */
static void nondeterministic(const struct bench *bench)
{
    for (int i = 0; i < bench->map.action_count; i++) {
        const struct action_place *action = &bench->map.actions[i];
        const struct state_place *state = &bench->map.states[action->state];
        if (!action->begins || state->open < 0) {
            continue;
        }
        char *name = token_text(&bench->map, action->name);
        char *target = token_text(&bench->map, state->name);
        char *step = NULL;
        assert_true(asprintf(&step, " %s%s -> %s;", name,
                             token_is(&bench->map, action->sign, "?") ? "?" : "!", target) > 0);
        insert_before(bench, "nondeterministic-choice", state->end, step);
        free(step);
        free(target);
        free(name);
    }
}

/*
 * In a state with steps, a step of the other side (mixed), and a step of the side that sends there
 * back to the state itself (a cycle in one direction). The messages are new, so there is no choice
 * that was there before. Final states are left out: a step makes them ordinary ones.
 */
static void new_steps(const struct bench *bench)
{
    for (int i = 0; i < bench->map.state_count; i++) {
        const struct state_place *state = &bench->map.states[i];
        int index = state_index(bench, i);
        if (state->open < 0 || index < 0 || bench->table->states[index].final) {
            continue;
        }
        bool importer = bench->table->states[index].sender == CT_IMP;
        char *name = token_text(&bench->map, state->name);
        char *in_step = NULL;
        char *out_step = NULL;
        assert_true(asprintf(&in_step, " ZzIn? -> %s;", name) > 0);
        assert_true(asprintf(&out_step, " ZzOut! -> %s;", name) > 0);
        add_step(bench, importer ? "mixed-state" : "pure-send-cycle", state,
                 " out message ZzOut();", out_step);
        add_step(bench, importer ? "pure-receive-cycle" : "mixed-state", state,
                 " in message ZzIn();", in_step);
        free(in_step);
        free(out_step);
        free(name);
    }
}

/* --- states -------------------------------------------------------------------------------------
 */

/* A state that no step names, not the first, which is the start; `final` on one that has steps. */
static void states(const struct bench *bench)
{
    for (int i = 0; i < bench->map.state_count; i++) {
        const struct state_place *state = &bench->map.states[i];
        int index = state_index(bench, i);
        insert_before(bench, "unreachable-state", i == 0 ? bench->map.close : state->first,
                      " state ZzIsland : final; ");
        if (state->open >= 0 && index >= 0 && !bench->table->states[index].final) {
            insert_after(bench, "final-state", state->end, " final");
        }
    }
}

/* Nothing is left of the states; nobody inherits any here. */
static void no_state(const struct bench *bench)
{
    struct edit edits[PLACES_MAX];

    for (int i = 0; i < bench->map.state_count; i++) {
        const struct state_place *state = &bench->map.states[i];
        int last = token_is(&bench->map, state->end + 1, "final") ? state->end + 1 : state->end;
        last += token_is(&bench->map, last + 1, ";");
        edits[i] =
            (struct edit){bench->map.tokens[state->first].at, bench->map.tokens[last].end, ""};
    }
    if (bench->map.open == bench->map.name + 1) {
        must_break(bench, "no-state", edits, (size_t)bench->map.state_count);
    }
}

/* One argument too many, a name too long, a message too many. */
static void limits(const struct bench *bench)
{
    char text[40 * (CT_MESSAGES_MAX + 1)];
    size_t length = 0;

    insert_after(bench, "limit", bench->map.open,
                 " in message ZzMany(int a, int b, int c, int d, int e, int f, int g, int h, "
                 "int i);");
    snprintf(text, sizeof(text), " in message Zz%062d();", 0);
    insert_after(bench, "limit", bench->map.open, text);
    for (uint32_t i = 0; i <= CT_MESSAGES_MAX; i++) {
        length += (size_t)snprintf(text + length, sizeof(text) - length, "in message Zz%u(); ", i);
    }
    insert_after(bench, "limit", bench->map.open, text);
}

/* --- structs, bases, called states --------------------------------------------------------------
 */

/* A struct that cannot travel, and a message it travels in. */
static void structs(const struct bench *bench)
{
    static const struct {
        const char *rule, *text;
    } bad[] = {
        {"struct-untracked",
         " struct ZzS { uint n; block bytes b; } in message ZzPut(block ZzS s);"},
        {"struct-untracked", " struct ZzS { block uint b; } in message ZzPut(ZzS s);"},
        {"struct-cycle", " struct ZzS { uint n; ZzS s; } in message ZzPut(block ZzS s);"},
        {"struct-cycle", " struct ZzS { ZzT t; } struct ZzT { ZzS s; } in message ZzPut(ZzS s);"},
    };
    char *name = token_text(&bench->map, bench->map.name);
    char *text = NULL;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        insert_after(bench, bad[i].rule, bench->map.open, bad[i].text);
    }
    assert_true(asprintf(&text, " struct ZzS { %s.Imp e; } in message ZzPut(block ZzS s);", name) >
                0);
    insert_after(bench, "struct-endpoint", bench->map.open, text);
    free(text);
    free(name);
}

/* A contract derived from this one, with `body`. */
static void derive(const struct bench *bench, const char *rule, const char *body)
{
    char *name = token_text(&bench->map, bench->map.name);
    char *text = NULL;

    assert_true(asprintf(&text, "\ncontract ZzDerived : %s { out message ZzMore(); %s }\n", name,
                         body) > 0);
    insert_after(bench, rule, bench->map.close, text);
    free(text);
    free(name);
}

/*
 * Derived contracts that override a state the base does not have; do not say override; override a
 * state that, by the base's table, is not one of sends only; or do so with a step that begins with
 * a message of the base.
 */
static void derived(const struct bench *bench)
{
    char body[400];

    derive(bench, "override-unknown", "override state ZzNone : ZzMore! -> ZzEnd; state ZzEnd : {}");
    for (uint16_t s = 0; s < bench->table->state_count; s++) {
        const struct ct_state *state = &bench->table->states[s];
        if (strchr(state->name, '.') != NULL) {
            continue;
        }
        snprintf(body, sizeof(body), "state %s : ZzMore! -> ZzEnd; state ZzEnd : { }", state->name);
        derive(bench, "override-missing", body);
        snprintf(body, sizeof(body), "override state %s : ZzMore! -> ZzEnd; state ZzEnd : { }",
                 state->name);
        if (state->final || state->sender == CT_IMP) {
            derive(bench, "override-base", body);
            continue;
        }
        uint16_t tag = 0;
        while (ct_step(bench->table, (uint8_t)s, CT_EXP, tag) == CT_ILLEGAL) {
            tag++;
        }
        snprintf(body, sizeof(body),
                 "override state %s : { ZzMore! -> ZzEnd; %s! -> ZzEnd; } state ZzEnd : { }",
                 state->name, bench->table->messages[tag].name);
        derive(bench, "override-step", body);
    }
    if (bench->map.open == bench->map.name + 1) {
        char *name = token_text(&bench->map, bench->map.name);
        snprintf(body, sizeof(body), " : %s", name);
        insert_after(bench, "inheritance-cycle", bench->map.name, body);
        free(name);
    }
}

/* New messages, a first step of a state, and a state that it calls. */
static void add_call(const struct bench *bench, const char *rule, const struct state_place *state,
                     const char *step, const char *called)
{
    size_t top = bench->map.tokens[bench->map.open].end;
    size_t body = bench->map.tokens[state->open].end;
    size_t end = bench->map.tokens[bench->map.close].at;
    const struct edit edits[] = {
        {top, top, " in message ZzGo(); in message ZzToo(); out message ZzYes(); "},
        {body, body, step},
        {end, end, called},
    };

    must_break(bench, rule, edits, 3);
}

/* A called state that calls itself, that never returns, or that is entered as well. */
static void calls(const struct bench *bench)
{
    for (int i = 0; i < bench->map.state_count; i++) {
        const struct state_place *state = &bench->map.states[i];
        int index = state_index(bench, i);
        char step[2][200];
        if (state->open < 0 || index < 0 || bench->table->states[index].final ||
            bench->table->states[index].sender != CT_IMP) {
            continue;
        }
        char *name = token_text(&bench->map, state->name);
        snprintf(step[0], sizeof(step[0]), " ZzGo? -> ZzSub -> %s;", name);
        snprintf(step[1], sizeof(step[1]), " ZzGo? -> ZzSub -> %s; ZzToo? -> ZzSub;", name);
        add_call(bench, "subroutine-cycle", state, step[0],
                 " state ZzSub : { ZzYes!; ZzYes! -> ZzGo? -> ZzSub -> ZzGo?; }");
        add_call(bench, "subroutine-end", state, step[0],
                 " state ZzSub : ZzYes! -> ZzGo? -> ZzSub;");
        add_call(bench, "subroutine-level", state, step[1], " state ZzSub : ZzYes!;");
        free(name);
    }
}

/* What only makes sense where both sides send, and what the language has not. */
static void words(const struct bench *bench)
{
    for (int i = 0; i < bench->map.state_count; i++) {
        const struct state_place *state = &bench->map.states[i];
        int index = state_index(bench, i);
        if (state->open < 0 || index < 0 || bench->table->states[index].final ||
            !token_is(&bench->map, state->open - 1, ":")) {
            continue;
        }
        insert_before(bench, "yield", state->open, i % 2 == 0 ? "sends first " : "receives first ");
        insert_before(bench, "unsupported", state->open, "all ");
    }
    const struct edit edit = {0, 0, "import \"zz_missing.contract\";\n"};
    must_break(bench, "unknown-import", &edit, 1);
}

/* ------------------------------------------------------------------------------------------------
 */

static void mutate(const char *name)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    char below[300];
    size_t length = 0;

    assert_non_null(bench);
    snprintf(below, sizeof(below), "std/%s", name);
    bench->ctc = compile_file(below);
    bench->path = source_path(below);
    bench->text = read_all(bench->path, &length);
    scan_map(&bench->map, bench->text);
    char *contract = token_text(&bench->map, bench->map.name);
    bench->contract = ctc_find(bench->ctc, contract);
    assert_non_null(bench->contract);
    bench->table = ctc_table(bench->contract);
    free(contract);
    /* The scanner must have seen what is there, or places would be missed in silence. */
    int declared = 0;
    for (const struct ctc__message *m = bench->contract->messages; m != NULL; m = m->next) {
        declared += m->owner == bench->contract;
    }
    assert_int_equal(bench->map.message_count, declared);

    syntax(bench);
    missing_sign(bench);
    step_end(bench);
    unknown_names(bench);
    duplicates(bench);
    reserved_names(bench);
    not_exchangeable(bench);
    endpoint_states(bench);
    directions(bench);
    nondeterministic(bench);
    new_steps(bench);
    states(bench);
    no_state(bench);
    limits(bench);
    structs(bench);
    derived(bench);
    calls(bench);
    words(bench);

    ctc_destroy(bench->ctc);
    free(bench->path);
    free(bench->text);
    free(bench);
}

static void every_mutant_is_rejected_by_its_rule(void **state)
{
    char *path = source_path("std");
    struct dirent **entries = NULL;
    int entry_count = scandir(path, &entries, NULL, alphasort);
    unsigned contracts = 0;
    unsigned total = 0;

    (void)state;
    assert_true(entry_count > 2);
    for (int i = 0; i < entry_count; i++) {
        if (strstr(entries[i]->d_name, ".contract") != NULL) {
            mutate(entries[i]->d_name);
            contracts++;
        }
        free(entries[i]);
    }
    free(entries);
    free(path);
    for (size_t i = 0; i < count_count; i++) {
        printf("# %-24s %4u mutants\n", counts[i].rule, counts[i].count);
        total += counts[i].count;
    }
    printf("# %-24s %4u mutants of %u contracts, all rejected by their rule\n", "total", total,
           contracts);
    assert_true(total >= 200);
    assert_true(count_count >= 35);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mutant_is_rejected_by_its_rule),
    };
    return cmocka_run_group_tests_name("contract mutants", tests, NULL, NULL);
}
