/* SPDX-License-Identifier: Apache-2.0 */
#include "parse.h"

/* Skips to after the ';' of a step, or to the '}' behind it. */
static void skip_step(struct parser *parser)
{
    parser->failed = false;
    while (parser->token.kind != TOKEN_END && !ctc__at_punct(parser, '}')) {
        if (ctc__take_punct(parser, ';')) {
            return;
        }
        ctc__advance(parser);
    }
}

/* The name has been read, the sign comes. */
static struct ctc__action *parse_sign(struct parser *parser, struct ctc__name name)
{
    struct ctc__action *action = ctc__alloc(parser->ctc, sizeof(*action));

    action->name = name;
    if (ctc__take_punct(parser, '?')) {
        action->sender = CT_IMP;
    } else if (ctc__take_punct(parser, '!')) {
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
        struct ctc__action *action = parse_sign(parser, ctc__expect_name(parser, "a message"));
        CTC__APPEND(item->actions, action);
    } while (ctc__take_word(parser, "or"));
    ctc__expect_punct(parser, ')', "'or' or ')'");
    return item;
}

/* A name inside a step: a message with its sign, a state that is called, or the one at the end. */
static void parse_step_name(struct parser *parser, struct ctc__step *step)
{
    struct ctc__name name = ctc__expect_name(parser, "a message, a choice of messages, or a state");

    if (parser->failed) {
        return;
    }
    bool arrow = parser->token.kind == TOKEN_ARROW;
    if (ctc__at_punct(parser, '?') || ctc__at_punct(parser, '!') || arrow) {
        struct ctc__item *item = ctc__alloc(parser->ctc, sizeof(*item));
        if (arrow && step->items != NULL) {
            item->call = name;
        } else {
            item->actions = parse_sign(parser, name);
        }
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
        if (ctc__take_punct(parser, '(')) {
            struct ctc__item *item = parse_choice(parser);
            CTC__APPEND(step->items, item);
        } else {
            parse_step_name(parser, step);
        }
        if (parser->failed || step->target.text != NULL) {
            break;
        }
        if (parser->token.kind != TOKEN_ARROW) {
            if (!ctc__at_punct(parser, ';')) {
                ctc__syntax(parser, "'->', or ';' where a subroutine returns");
            }
            break;
        }
        ctc__advance(parser);
    }
    if (!parser->failed && step->items == NULL) {
        parser->failed = true;
        ctc__error(parser->ctc, pos, "missing-sign",
                   "a step begins with a message, expected 'Message?' or 'Message!' before '%s'",
                   step->target.text);
    }
    step->end = parser->token.pos;
    ctc__expect_punct(parser, ';', "';' after the step");
    if (parser->failed) {
        skip_step(parser);
    } else {
        CTC__APPEND(state->steps, step);
    }
}

/* `sends first`, `receives first`, with or without an arrow. */
static void parse_yield(struct parser *parser, struct ctc__state *state)
{
    bool sends = ctc__at_word(parser, "sends");

    if (!sends && !ctc__at_word(parser, "receives")) {
        return;
    }
    ctc__advance(parser);
    if (!ctc__take_word(parser, "first")) {
        ctc__syntax(parser, "'first'");
        return;
    }
    state->yield = sends ? YIELD_SENDS_FIRST : YIELD_RECEIVES_FIRST;
    if (parser->token.kind == TOKEN_ARROW) {
        ctc__advance(parser);
    }
}

void ctc__parse_state(struct parser *parser, struct ctc_contract *contract, const char *doc,
                      bool overrides)
{
    struct ctc__state *state = ctc__alloc(parser->ctc, sizeof(*state));

    state->doc = doc;
    state->owner = contract;
    state->overrides = overrides;
    state->name = ctc__declare_name(parser, "the state's name");
    if (parser->failed) {
        ctc__skip_declaration(parser);
        return;
    }
    CTC__APPEND(contract->states, state);
    ctc__expect_punct(parser, ':', "':' after the state's name");
    if (parser->failed) {
        ctc__skip_declaration(parser);
        return;
    }
    if (ctc__at_word(parser, "all")) {
        ctc__error(parser->ctc, parser->token.pos, "unsupported",
                   "'all' is not supported, expected 'one' or '{'");
        ctc__advance(parser);
    } else {
        (void)ctc__take_word(parser, "one");
    }
    parse_yield(parser, state);
    bool is_final = false;
    struct ctc__pos final_pos = parser->token.pos;
    if (ctc__take_punct(parser, '{')) {
        while (parser->token.kind != TOKEN_END && !ctc__at_punct(parser, '}')) {
            parse_step(parser, state);
        }
        ctc__expect_punct(parser, '}', "'}' after the state's steps");
        final_pos = parser->token.pos;
        is_final = ctc__take_word(parser, "final");
        (void)ctc__take_punct(parser, ';');
    } else if (ctc__take_word(parser, "final")) {
        ctc__expect_punct(parser, ';', "';' after 'final'");
    } else {
        parse_step(parser, state);
    }
    if (is_final && state->steps != NULL) {
        ctc__error(parser->ctc, final_pos, "final-state",
                   "state '%s' has steps and is called final, expected '{ } final'",
                   state->name.text);
    }
    if (parser->failed) {
        ctc__skip_declaration(parser);
    }
}
