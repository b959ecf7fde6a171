/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "ctc.h"

struct parser {
    struct ctc *ctc;
    struct ctc__lexer lexer;
    struct ctc__token token;
    bool failed; /* the current declaration has a syntax error, reported; skip to its end */
};

static void advance(struct parser *parser)
{
    ctc__lex(&parser->lexer, &parser->token);
}

static bool at_punct(const struct parser *parser, char c)
{
    return parser->token.kind == TOKEN_PUNCT && parser->token.text[0] == c;
}

static bool at_word(const struct parser *parser, const char *word)
{
    return parser->token.kind == TOKEN_NAME && strcmp(parser->token.text, word) == 0;
}

static void syntax(struct parser *parser, const char *expected)
{
    const struct ctc__token *token = &parser->token;

    if (parser->failed) {
        return;
    }
    parser->failed = true;
    if (token->kind == TOKEN_END) {
        ctc__error(parser->ctc, token->pos, "syntax", "the file ends here, expected %s", expected);
    } else if (token->kind == TOKEN_STRING) {
        ctc__error(parser->ctc, token->pos, "syntax", "found a string, expected %s", expected);
    } else {
        ctc__error(parser->ctc, token->pos, "syntax", "found '%s', expected %s", token->text,
                   expected);
    }
}

static bool take_punct(struct parser *parser, char c)
{
    if (!parser->failed && at_punct(parser, c)) {
        advance(parser);
        return true;
    }
    return false;
}

static void expect_punct(struct parser *parser, char c, const char *expected)
{
    if (!take_punct(parser, c)) {
        syntax(parser, expected);
    }
}

static bool take_word(struct parser *parser, const char *word)
{
    if (!parser->failed && at_word(parser, word)) {
        advance(parser);
        return true;
    }
    return false;
}

static struct ctc__name expect_name(struct parser *parser, const char *expected)
{
    struct ctc__name name = {.text = "?", .pos = parser->token.pos};

    if (parser->failed || parser->token.kind != TOKEN_NAME) {
        syntax(parser, expected);
        return name;
    }
    name.text = parser->token.text;
    advance(parser);
    return name;
}

/* The name of something declared here. */
static struct ctc__name declare_name(struct parser *parser, const char *expected)
{
    struct ctc__name name = expect_name(parser, expected);
    size_t length = strlen(name.text);

    if (parser->failed) {
        return name;
    }
    if (length > CT_NAME_BYTES_MAX) {
        ctc__error(parser->ctc, name.pos, "limit",
                   "name is %zu characters long, expected at most %u", length, CT_NAME_BYTES_MAX);
    } else if (ctc__reserved(name.text)) {
        ctc__error(parser->ctc, name.pos, "reserved-name",
                   "'%s' is a word of C or ends in '_' and cannot be used in generated code, "
                   "expected another name",
                   name.text);
    }
    return name;
}

/* Skips to after the end of a declaration: ';' or '}' outside inner braces. */
static void skip_declaration(struct parser *parser)
{
    int depth = 0;

    parser->failed = false;
    while (parser->token.kind != TOKEN_END) {
        if (at_punct(parser, '{')) {
            depth++;
        } else if (at_punct(parser, '}')) {
            if (depth == 0) {
                return; /* the contract's own */
            }
            depth--;
            if (depth == 0) {
                advance(parser);
                (void)take_punct(parser, ';');
                return;
            }
        } else if (at_punct(parser, ';') && depth == 0) {
            advance(parser);
            return;
        }
        advance(parser);
    }
}

/* Skips to after the ';' of a step, or to the '}' behind it. */
static void skip_step(struct parser *parser)
{
    parser->failed = false;
    while (parser->token.kind != TOKEN_END && !at_punct(parser, '}')) {
        if (take_punct(parser, ';')) {
            return;
        }
        advance(parser);
    }
}

/* --- types --------------------------------------------------------------------------------------
 */

static void parse_mark(struct parser *parser, struct ctc__type *type)
{
    struct ctc__pos pos = parser->token.pos;
    bool required = take_punct(parser, '!');

    type->optional = !required && take_punct(parser, '?');
    if ((required || type->optional) && type->kind != CT_ARG_BLOCK &&
        type->kind != CT_ARG_ENDPOINT) {
        ctc__error(parser->ctc, pos, "syntax",
                   "a scalar is always there, expected '!' or '?' after blocks and endpoints only");
    }
}

static void parse_endpoint(struct parser *parser, struct ctc__type *type, struct ctc__name name)
{
    type->kind = CT_ARG_ENDPOINT;
    type->contract_name = name;
    if (take_word(parser, "Imp")) {
        type->side = CT_IMP;
    } else if (take_word(parser, "Exp")) {
        type->side = CT_EXP;
    } else {
        syntax(parser, "'Imp' or 'Exp' after the contract's name");
    }
    if (take_punct(parser, ':')) {
        type->state_name = expect_name(parser, "the state in which the endpoint travels");
    }
    parse_mark(parser, type);
}

/* Sets a scalar kind, or leaves an enum's name to be resolved. */
static void scalar_type(struct parser *parser, struct ctc__type *type, struct ctc__name name,
                        uint8_t *kind)
{
    if (strcmp(name.text, "string") == 0 || strcmp(name.text, "object") == 0) {
        ctc__error(parser->ctc, name.pos, "not-exchangeable",
                   "'%s' cannot travel, expected a scalar, an enum, a block or an endpoint "
                   "(text goes as 'block bytes')",
                   name.text);
        type->broken = true;
    } else if (!ctc__scalar(name.text, kind)) {
        *kind = CT_ARG_UINT32;
        type->enum_name = name;
    }
}

static struct ctc__type parse_type(struct parser *parser)
{
    struct ctc__type type = {.pos = parser->token.pos};
    struct ctc__name name = expect_name(parser, "a type");

    if (parser->failed) {
        return type;
    }
    if (strcmp(name.text, "block") == 0 && parser->token.kind == TOKEN_NAME) {
        struct ctc__name element = expect_name(parser, "the type of the block's elements");
        type.kind = CT_ARG_BLOCK;
        if (strcmp(element.text, "bytes") == 0) {
            type.element = CT_ARG_UINT8;
        } else {
            scalar_type(parser, &type, element, &type.element);
        }
        parse_mark(parser, &type);
    } else if (take_punct(parser, '.')) {
        parse_endpoint(parser, &type, name);
    } else if (at_punct(parser, '[') || at_punct(parser, '*')) {
        if (take_punct(parser, '[')) {
            expect_punct(parser, ']', "']'");
        } else {
            advance(parser);
        }
        type.kind = CT_ARG_BLOCK;
        scalar_type(parser, &type, name, &type.element);
        parse_mark(parser, &type);
        if (!take_word(parser, "in") || !take_word(parser, "ExHeap")) {
            syntax(parser, "'in ExHeap'");
        }
    } else {
        scalar_type(parser, &type, name, &type.kind);
        parse_mark(parser, &type);
    }
    return type;
}

/* --- members
 * -------------------------------------------------------------------------------------- */

static void parse_message(struct parser *parser, struct ctc_contract *contract, const char *doc,
                          uint8_t direction)
{
    struct ctc__message *message = ctc__alloc(parser->ctc, sizeof(*message));

    message->doc = doc;
    message->direction = direction;
    message->name = declare_name(parser, "the message's name");
    expect_punct(parser, '(', "'(' and the message's arguments");
    if (!parser->failed && !at_punct(parser, ')')) {
        do {
            struct ctc__arg *arg = ctc__alloc(parser->ctc, sizeof(*arg));
            arg->type = parse_type(parser);
            arg->name = declare_name(parser, "the argument's name");
            if (!parser->failed) {
                CTC__APPEND(message->args, arg);
                message->arg_count++;
            }
        } while (take_punct(parser, ','));
    }
    expect_punct(parser, ')', "',' or ')'");
    if (!parser->failed && at_word(parser, "requires")) {
        ctc__error(parser->ctc, parser->token.pos, "unsupported",
                   "'requires' is not supported, expected ';'");
        skip_declaration(parser);
    } else {
        expect_punct(parser, ';', "';' after the message");
    }
    /* A message with a broken end still has a name: no unknown-message errors follow from it. */
    if (strcmp(message->name.text, "?") != 0) {
        CTC__APPEND(contract->messages, message);
    }
}

/* The name has been read, the sign comes. */
static struct ctc__action *parse_sign(struct parser *parser, struct ctc__name name)
{
    struct ctc__action *action = ctc__alloc(parser->ctc, sizeof(*action));

    action->name = name;
    if (take_punct(parser, '?')) {
        action->sender = CT_IMP;
    } else if (take_punct(parser, '!')) {
        action->sender = CT_EXP;
    } else if (!parser->failed) {
        parser->failed = true;
        ctc__error(parser->ctc, action->name.pos, "missing-sign",
                   "'%s' has no sign, expected '?' (the exporter receives it) or '!' (it sends "
                   "it); only the last name of a step is a state",
                   action->name.text);
    }
    return action;
}

static struct ctc__item *parse_choice(struct parser *parser)
{
    struct ctc__item *item = ctc__alloc(parser->ctc, sizeof(*item));

    do {
        struct ctc__action *action = parse_sign(parser, expect_name(parser, "a message"));
        CTC__APPEND(item->actions, action);
    } while (take_word(parser, "or"));
    expect_punct(parser, ')', "'or' or ')'");
    return item;
}

/* A name inside a step: a message with its sign, or the state that ends the step. */
static void parse_step_name(struct parser *parser, struct ctc__step *step)
{
    struct ctc__name name = expect_name(parser, "a message, a choice of messages, or a state");

    if (parser->failed) {
        return;
    }
    if (at_punct(parser, '?') || at_punct(parser, '!') || parser->token.kind == TOKEN_ARROW) {
        struct ctc__item *item = ctc__alloc(parser->ctc, sizeof(*item));
        item->actions = parse_sign(parser, name);
        CTC__APPEND(step->items, item);
        return;
    }
    step->target = name;
}

static void parse_step(struct parser *parser, struct ctc__state *state)
{
    struct ctc__step *step = ctc__alloc(parser->ctc, sizeof(*step));
    struct ctc__pos pos = parser->token.pos;

    for (;;) {
        if (take_punct(parser, '(')) {
            struct ctc__item *item = parse_choice(parser);
            CTC__APPEND(step->items, item);
        } else {
            parse_step_name(parser, step);
        }
        if (parser->failed || step->target.text != NULL) {
            break;
        }
        if (parser->token.kind != TOKEN_ARROW) {
            if (at_punct(parser, ';') || at_punct(parser, '}')) {
                parser->failed = true;
                ctc__error(parser->ctc, parser->token.pos, "step-end",
                           "the step ends without a state, expected '-> State;'");
            } else {
                syntax(parser, "'->'");
            }
            break;
        }
        advance(parser);
    }
    if (!parser->failed && step->items == NULL) {
        parser->failed = true;
        ctc__error(parser->ctc, pos, "missing-sign",
                   "a step begins with a message, expected 'Message?' or 'Message!' before '%s'",
                   step->target.text);
    }
    expect_punct(parser, ';', "';' after the step");
    if (parser->failed) {
        skip_step(parser);
    } else {
        CTC__APPEND(state->steps, step);
    }
}

static void parse_state(struct parser *parser, struct ctc_contract *contract, const char *doc)
{
    struct ctc__state *state = ctc__alloc(parser->ctc, sizeof(*state));

    state->doc = doc;
    state->name = declare_name(parser, "the state's name");
    if (parser->failed) {
        skip_declaration(parser);
        return;
    }
    CTC__APPEND(contract->states, state);
    expect_punct(parser, ':', "':' after the state's name");
    if (parser->failed) {
        skip_declaration(parser);
        return;
    }
    if (at_word(parser, "all")) {
        ctc__error(parser->ctc, parser->token.pos, "unsupported",
                   "'all' is not supported, expected 'one' or '{'");
        advance(parser);
    } else {
        (void)take_word(parser, "one");
    }
    bool is_final = false;
    struct ctc__pos final_pos = parser->token.pos;
    if (take_punct(parser, '{')) {
        while (parser->token.kind != TOKEN_END && !at_punct(parser, '}')) {
            parse_step(parser, state);
        }
        expect_punct(parser, '}', "'}' after the state's steps");
        final_pos = parser->token.pos;
        is_final = take_word(parser, "final");
        (void)take_punct(parser, ';');
    } else if (take_word(parser, "final")) {
        expect_punct(parser, ';', "';' after 'final'");
    } else {
        parse_step(parser, state);
    }
    if (is_final && state->steps != NULL) {
        ctc__error(parser->ctc, final_pos, "final-state",
                   "state '%s' has steps and is called final, expected '{ } final'",
                   state->name.text);
    }
    if (parser->failed) {
        skip_declaration(parser);
    }
}

static void parse_values(struct parser *parser, struct ctc__enum *enumeration)
{
    uint64_t number = 0;

    while (!parser->failed && !at_punct(parser, '}')) {
        struct ctc__value *value = ctc__alloc(parser->ctc, sizeof(*value));
        value->doc = parser->token.doc;
        value->name = declare_name(parser, "a value's name or '}'");
        if (take_punct(parser, '=')) {
            if (parser->token.kind != TOKEN_NUMBER) {
                syntax(parser, "a number from 0 to 4294967295");
                return;
            }
            number = parser->token.number;
            advance(parser);
        }
        if (number > UINT32_MAX) {
            ctc__error(parser->ctc, value->name.pos, "limit",
                       "value '%s' is too large, expected at most 4294967295", value->name.text);
            number = 0;
        }
        value->number = (uint32_t)number++;
        if (!parser->failed) {
            CTC__APPEND(enumeration->values, value);
            enumeration->value_count++;
        }
        if (!take_punct(parser, ',')) {
            break;
        }
    }
}

static void parse_enum(struct parser *parser, struct ctc_contract *contract, const char *doc)
{
    struct ctc__enum *enumeration = ctc__alloc(parser->ctc, sizeof(*enumeration));

    enumeration->doc = doc;
    enumeration->name = declare_name(parser, "the enum's name");
    expect_punct(parser, '{', "'{' and the enum's values");
    parse_values(parser, enumeration);
    expect_punct(parser, '}', "',' or '}'");
    if (parser->failed) {
        skip_declaration(parser);
    } else {
        (void)take_punct(parser, ';');
    }
    CTC__APPEND(contract->enums, enumeration);
}

static void parse_const_value(struct parser *parser, struct ctc__const *constant,
                              struct ctc__name type)
{
    bool negative = take_punct(parser, '-');

    if (strcmp(type.text, "string") == 0) {
        if (negative || parser->token.kind != TOKEN_STRING) {
            syntax(parser, "a string in double quotes");
            return;
        }
        constant->text = parser->token.text;
    } else if (at_word(parser, "true") || at_word(parser, "false")) {
        constant->number = at_word(parser, "true");
    } else if (parser->token.kind == TOKEN_NUMBER) {
        constant->number = negative ? 0 - parser->token.number : parser->token.number;
    } else {
        syntax(parser, "a number");
        return;
    }
    advance(parser);
}

static void parse_const(struct parser *parser, struct ctc_contract *contract, const char *doc)
{
    struct ctc__const *constant = ctc__alloc(parser->ctc, sizeof(*constant));
    struct ctc__name type = expect_name(parser, "the constant's type");

    constant->doc = doc;
    if (!parser->failed && strcmp(type.text, "string") != 0 &&
        (!ctc__scalar(type.text, &constant->kind) || constant->kind >= CT_ARG_FLOAT32)) {
        ctc__error(parser->ctc, type.pos, "unknown-type",
                   "'%s' cannot be a constant's type, expected an integer type, bool or string",
                   type.text);
    }
    constant->name = declare_name(parser, "the constant's name");
    expect_punct(parser, '=', "'=' and the constant's value");
    if (!parser->failed) {
        parse_const_value(parser, constant, type);
    }
    expect_punct(parser, ';', "';' after the constant");
    CTC__APPEND(contract->consts, constant);
}

static void parse_member(struct parser *parser, struct ctc_contract *contract)
{
    const char *doc = parser->token.doc;
    struct ctc__pos pos = parser->token.pos;

    if (take_word(parser, "in")) {
        if (!take_word(parser, "message")) {
            syntax(parser, "'message'");
        }
        parse_message(parser, contract, doc, CT_DIR_IN);
    } else if (take_word(parser, "out")) {
        if (!take_word(parser, "message")) {
            syntax(parser, "'message'");
        }
        parse_message(parser, contract, doc, CT_DIR_OUT);
    } else if (take_word(parser, "message")) {
        parse_message(parser, contract, doc, CT_DIR_BOTH);
    } else if (take_word(parser, "state")) {
        parse_state(parser, contract, doc);
        return;
    } else if (take_word(parser, "enum")) {
        parse_enum(parser, contract, doc);
        return;
    } else if (take_word(parser, "const")) {
        parse_const(parser, contract, doc);
    } else if (at_word(parser, "override") || at_word(parser, "rep")) {
        ctc__error(parser->ctc, pos, "unsupported",
                   at_word(parser, "rep")
                       ? "structs are not supported, expected message, state, enum or const"
                       : "inheritance is not supported, expected 'state' without 'override'");
        bool is_override = at_word(parser, "override");
        advance(parser);
        if (is_override && take_word(parser, "state")) {
            parse_state(parser, contract, doc);
            return;
        }
        parser->failed = true;
    } else {
        syntax(parser, "'in message', 'out message', 'message', 'state', 'enum', 'const' or '}'");
    }
    if (parser->failed) {
        skip_declaration(parser);
    }
}

static void parse_contract(struct parser *parser, const char *doc)
{
    struct ctc_contract *contract = ctc__alloc(parser->ctc, sizeof(*contract));

    size_t errors = parser->ctc->error_count;

    contract->ctc = parser->ctc;
    contract->doc = doc;
    contract->given = parser->lexer.file->given;
    contract->name = declare_name(parser, "the contract's name");
    if (!parser->failed && at_punct(parser, ':')) {
        ctc__error(parser->ctc, parser->token.pos, "unsupported",
                   "inheritance is not supported, expected '{' after the contract's name");
        advance(parser);
        (void)expect_name(parser, "the base contract's name");
    }
    expect_punct(parser, '{', "'{' after the contract's name");
    if (parser->failed) {
        return;
    }
    for (const struct ctc_contract *c = parser->ctc->contracts; c != NULL; c = c->next) {
        if (strcmp(c->name.text, contract->name.text) == 0) {
            ctc__error(parser->ctc, contract->name.pos, "duplicate-contract",
                       "contract '%s' was declared before, at %s:%u:%u, expected another name",
                       c->name.text, c->name.pos.file->path, c->name.pos.line, c->name.pos.column);
            break;
        }
    }
    CTC__APPEND(parser->ctc->contracts, contract);
    while (parser->token.kind != TOKEN_END && !at_punct(parser, '}')) {
        parse_member(parser, contract);
    }
    expect_punct(parser, '}', "'}' after the contract");
    (void)take_punct(parser, ';');
    contract->broken = parser->ctc->error_count != errors;
}

void ctc__parse(struct ctc *ctc, const struct ctc__file *file)
{
    struct parser parser = {
        .ctc = ctc,
        .lexer = {.ctc = ctc, .file = file, .line = 1, .column = 1},
    };

    advance(&parser);
    if (parser.token.kind == TOKEN_END) {
        syntax(&parser, "a contract");
    }
    while (parser.token.kind != TOKEN_END) {
        const char *doc = parser.token.doc;
        bool is_public = take_word(&parser, "public");
        if (take_word(&parser, "contract")) {
            parse_contract(&parser, doc);
        } else {
            syntax(&parser, is_public ? "'contract'" : "'public contract' or 'contract'");
        }
        if (parser.failed) {
            while (parser.token.kind != TOKEN_END && !at_word(&parser, "contract") &&
                   !at_word(&parser, "public")) {
                advance(&parser);
            }
            parser.failed = false;
        }
    }
}
