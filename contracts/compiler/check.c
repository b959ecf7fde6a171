/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "ctc.h"

bool ctc__scalar(const char *name, uint8_t *out_kind)
{
    static const struct {
        const char *name;
        uint8_t kind;
    } scalars[] = {
        {"bool", CT_ARG_BOOL},       {"byte", CT_ARG_UINT8},    {"char", CT_ARG_UINT16},
        {"double", CT_ARG_FLOAT64},  {"float", CT_ARG_FLOAT32}, {"float32", CT_ARG_FLOAT32},
        {"float64", CT_ARG_FLOAT64}, {"int", CT_ARG_INT32},     {"int16", CT_ARG_INT16},
        {"int32", CT_ARG_INT32},     {"int64", CT_ARG_INT64},   {"int8", CT_ARG_INT8},
        {"long", CT_ARG_INT64},      {"sbyte", CT_ARG_INT8},    {"short", CT_ARG_INT16},
        {"uint", CT_ARG_UINT32},     {"uint16", CT_ARG_UINT16}, {"uint32", CT_ARG_UINT32},
        {"uint64", CT_ARG_UINT64},   {"uint8", CT_ARG_UINT8},   {"ulong", CT_ARG_UINT64},
        {"ushort", CT_ARG_UINT16},
    };

    for (size_t i = 0; i < sizeof(scalars) / sizeof(scalars[0]); i++) {
        if (strcmp(scalars[i].name, name) == 0) {
            *out_kind = scalars[i].kind;
            return true;
        }
    }
    return false;
}

bool ctc__reserved(const char *name)
{
    static const char *const words[] = {
        "NULL",     "asm",     "auto",   "bool",   "break",    "case",   "char",     "const",
        "continue", "default", "do",     "double", "else",     "enum",   "extern",   "false",
        "float",    "for",     "goto",   "if",     "inline",   "int",    "long",     "register",
        "restrict", "return",  "short",  "signed", "sizeof",   "static", "struct",   "switch",
        "true",     "typedef", "typeof", "union",  "unsigned", "void",   "volatile", "while",
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(words[i], name) == 0) {
            return true;
        }
    }
    return name[0] == '_' || name[strlen(name) - 1] == '_';
}

/* --- names used twice
 * ----------------------------------------------------------------------------- */

static void twice(struct ctc_contract *contract, const struct ctc__name *name, const char *rule,
                  const char *what, const struct ctc__name *before)
{
    contract->broken = true;
    ctc__error(contract->ctc, name->pos, rule,
               "%s '%s' was declared before, at line %u, expected another name", what, name->text,
               before->pos.line);
}

#define CHECK_TWICE(list, type, rule, what)                                                        \
    for (const struct type *a = (list); a != NULL; a = a->next) {                                  \
        for (const struct type *b = (list); b != a; b = b->next) {                                 \
            if (strcmp(a->name.text, b->name.text) == 0) {                                         \
                twice(contract, &a->name, rule, what, &b->name);                                   \
                break;                                                                             \
            }                                                                                      \
        }                                                                                          \
    }

static void check_args_twice(struct ctc_contract *contract, const struct ctc__message *message)
{
    size_t errors = contract->ctc->error_count;

    CHECK_TWICE(message->written, ctc__arg, "duplicate-name", "argument")
    if (contract->ctc->error_count == errors) { /* `p_x`, and `x` of a struct `p` */
        CHECK_TWICE(message->args, ctc__arg, "duplicate-name", "argument")
    }
    for (const struct ctc__arg *a = message->args; a != NULL; a = a->next) {
        size_t length = strlen(a->name.text);
        for (const struct ctc__arg *b = message->args; b != NULL; b = b->next) {
            if (a->type.kind == CT_ARG_BLOCK && strncmp(a->name.text, b->name.text, length) == 0 &&
                strcmp(b->name.text + length, "_bytes") == 0) {
                ctc__error(contract->ctc, b->name.pos, "duplicate-name",
                           "argument '%s' is what the length of block '%s' is called in C, "
                           "expected another name",
                           b->name.text, a->name.text);
            }
        }
    }
}

static void check_twice(struct ctc_contract *contract)
{
    CHECK_TWICE(contract->messages, ctc__message, "duplicate-message", "message")
    CHECK_TWICE(contract->states, ctc__state, "duplicate-state", "state")
    CHECK_TWICE(contract->enums, ctc__enum, "duplicate-name", "enum")
    CHECK_TWICE(contract->structs, ctc__struct, "duplicate-name", "struct")
    for (const struct ctc__struct *a = contract->structs; a != NULL; a = a->next) {
        for (const struct ctc__enum *b = contract->enums; b != NULL; b = b->next) {
            if (strcmp(a->name.text, b->name.text) == 0) {
                twice(contract, &a->name, "duplicate-name", "struct", &b->name);
            }
        }
    }
    CHECK_TWICE(contract->consts, ctc__const, "duplicate-name", "constant")
    for (const struct ctc__enum *e = contract->enums; e != NULL; e = e->next) {
        CHECK_TWICE(e->values, ctc__value, "duplicate-name", "value")
    }
    for (const struct ctc__message *m = contract->messages; m != NULL; m = m->next) {
        check_args_twice(contract, m);
        for (const struct ctc__state *s = contract->states; s != NULL; s = s->next) {
            if (strcmp(m->name.text, s->name.text) == 0) {
                contract->broken = true;
                ctc__error(contract->ctc, s->name.pos, "duplicate-name",
                           "state '%s' has the name of a message (line %u), expected another name",
                           s->name.text, m->name.pos.line);
            }
        }
    }
}

/* --- steps
 * ---------------------------------------------------------------------------------------- */

static struct ctc__message *find_message(struct ctc_contract *contract, const char *name)
{
    struct ctc__message *m = contract->messages;

    while (m != NULL && strcmp(m->name.text, name) != 0) {
        m = m->next;
    }
    return m;
}

static void check_action(struct ctc_contract *contract, struct ctc__action *action)
{
    const char *name = action->name.text;

    action->message = find_message(contract, name);
    if (action->message == NULL) {
        ctc__error(contract->ctc, action->name.pos, "unknown-message",
                   "there is no message '%s', expected one declared in contract '%s'", name,
                   contract->name.text);
        return;
    }
    action->message->used = true;
    if (action->message->direction == CT_DIR_IN && action->sender == CT_EXP) {
        ctc__error(contract->ctc, action->name.pos, "message-direction",
                   "'%s!' sends an in message, which only the exporter receives, expected '%s?'",
                   name, name);
    }
    if (action->message->direction == CT_DIR_OUT && action->sender == CT_IMP) {
        ctc__error(contract->ctc, action->name.pos, "message-direction",
                   "'%s?' receives an out message, which only the exporter sends, expected '%s!'",
                   name, name);
    }
}

static struct ctc__state *find_state(struct ctc_contract *contract, const struct ctc__name *name)
{
    struct ctc__state *state = contract->states;

    while (state != NULL && strcmp(state->name.text, name->text) != 0) {
        state = state->next;
    }
    if (state != NULL) {
        return state;
    }
    if (find_message(contract, name->text) != NULL) {
        ctc__error(contract->ctc, name->pos, "missing-sign",
                   "'%s' is a message, expected '%s?' or '%s!', and a state at the end of the "
                   "step",
                   name->text, name->text, name->text);
    } else {
        ctc__error(contract->ctc, name->pos, "unknown-state",
                   "there is no state '%s', expected one declared in contract '%s'", name->text,
                   contract->name.text);
    }
    contract->broken = true;
    return NULL;
}

static void check_step(struct ctc_contract *contract, struct ctc__step *step)
{
    for (struct ctc__item *i = step->items; i != NULL; i = i->next) {
        if (i->actions == NULL) {
            i->called = find_state(contract, &i->call);
        }
        for (struct ctc__action *a = i->actions; a != NULL; a = a->next) {
            check_action(contract, a);
        }
    }
    if (step->target.text != NULL) {
        step->to = find_state(contract, &step->target);
    }
}

void ctc__check_names(struct ctc_contract *contract)
{
    ctc__inherit(contract);
    if (contract->states == NULL && !contract->broken) {
        ctc__error(contract->ctc, contract->name.pos, "no-state",
                   "contract '%s' has no state, expected at least a start state",
                   contract->name.text);
    }
    ctc__check_types(contract);
    check_twice(contract);
    for (struct ctc__state *s = contract->states; s != NULL; s = s->next) {
        for (struct ctc__step *step = s->steps; step != NULL; step = step->next) {
            check_step(contract, step);
        }
    }
    if (contract->states != NULL) {
        contract->states->entered = true;
    }
}
