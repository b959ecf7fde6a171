/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A derived contract has all of its base: messages, states, and, by its name, types and constants.
 * `override state` adds branches to those that the base's state has. They must be sends of new
 * messages out of a state in which the exporter sends: so the exporter alone decides, by its first
 * message, which contract is spoken, and an importer that knows the base only is never surprised.
 */
#include <string.h>

#include "ctc.h"

static struct ctc__item *copy_items(struct ctc *ctc, const struct ctc__item *items)
{
    struct ctc__item *copies = NULL;

    for (const struct ctc__item *i = items; i != NULL; i = i->next) {
        struct ctc__item *item = ctc__alloc(ctc, sizeof(*item));
        *item = *i;
        item->next = NULL;
        item->actions = NULL;
        for (const struct ctc__action *a = i->actions; a != NULL; a = a->next) {
            struct ctc__action *action = ctc__alloc(ctc, sizeof(*action));
            *action = *a;
            action->next = NULL;
            CTC__APPEND(item->actions, action);
        }
        CTC__APPEND(copies, item);
    }
    return copies;
}

static struct ctc__state *copy_state(struct ctc *ctc, const struct ctc__state *from)
{
    struct ctc__state *state = ctc__alloc(ctc, sizeof(*state));

    state->name = from->name;
    state->doc = from->doc;
    state->owner = from->owner;
    state->yield = from->yield;
    for (const struct ctc__step *s = from->steps; s != NULL; s = s->next) {
        struct ctc__step *step = ctc__alloc(ctc, sizeof(*step));
        step->target = s->target;
        step->end = s->end;
        step->items = copy_items(ctc, s->items);
        CTC__APPEND(state->steps, step);
    }
    return state;
}

static struct ctc__message *copy_message(struct ctc *ctc, const struct ctc__message *from)
{
    struct ctc__message *message = ctc__alloc(ctc, sizeof(*message));

    *message = *from;
    message->next = NULL;
    message->used = false;
    message->args = NULL;
    for (const struct ctc__arg *a = from->written; a != NULL; a = a->next) {
        struct ctc__arg *arg = ctc__alloc(ctc, sizeof(*arg));
        *arg = *a;
        arg->next = NULL;
        CTC__APPEND(message->args, arg);
    }
    message->written = message->args;
    return message;
}

static struct ctc__state *find_state(struct ctc__state *states, const char *name)
{
    while (states != NULL && strcmp(states->name.text, name) != 0) {
        states = states->next;
    }
    return states;
}

static void check_override(struct ctc_contract *contract, const struct ctc__state *base,
                           const struct ctc__state *state)
{
    bool sends = base->steps != NULL;

    for (const struct ctc__step *s = base->steps; s != NULL; s = s->next) {
        for (const struct ctc__action *a = s->items->actions; a != NULL; a = a->next) {
            sends = sends && a->sender == CT_EXP;
        }
    }
    if (!sends) {
        ctc__error(contract->ctc, state->name.pos, "override-base",
                   "state '%s' of contract '%s' does not only send, so its importer could lead the "
                   "channel into a state that the other side does not know; expected to override "
                   "states in which each step begins with a send",
                   state->name.text, contract->base->name.text);
    }
    for (const struct ctc__step *s = state->steps; s != NULL; s = s->next) {
        for (const struct ctc__action *a = s->items->actions; a != NULL; a = a->next) {
            const struct ctc__message *m = contract->messages;
            while (m != NULL && strcmp(m->name.text, a->name.text) != 0) {
                m = m->next;
            }
            if (a->sender != CT_EXP || (m != NULL && m->owner != contract)) {
                ctc__error(contract->ctc, a->name.pos, "override-step",
                           "'%s%c' cannot begin a step of an overriding state, expected the send "
                           "of a message that contract '%s' adds",
                           a->name.text, a->sender == CT_EXP ? '!' : '?', contract->name.text);
            }
        }
    }
}

/* Merging would make one state of both; states that are new are looked at later. */
static void check_overridden_twice(struct ctc_contract *contract)
{
    for (const struct ctc__state *s = contract->states; s != NULL; s = s->next) {
        const struct ctc__state *before = find_state(contract->states, s->name.text);
        if (s->overrides && before != s && before->overrides) {
            ctc__error(contract->ctc, s->name.pos, "duplicate-state",
                       "state '%s' was overridden before, at line %u, expected one override with "
                       "all new steps",
                       s->name.text, before->name.pos.line);
            contract->broken = true;
        }
    }
}

/* The base's states, each with the steps that an overriding state adds; then the new ones. */
static void merge_states(struct ctc_contract *contract)
{
    struct ctc__state *own = contract->states;
    struct ctc__state *merged = NULL;

    for (const struct ctc__state *b = contract->base->states; b != NULL; b = b->next) {
        struct ctc__state *state = copy_state(contract->ctc, b);
        CTC__APPEND(merged, state);
    }
    while (own != NULL) {
        struct ctc__state *state = own;
        struct ctc__state *base = find_state(contract->base->states, state->name.text);
        own = own->next;
        state->next = NULL;
        if (base != NULL && !state->overrides) {
            ctc__error(contract->ctc, state->name.pos, "override-missing",
                       "contract '%s' has a state '%s' already, expected 'override state' or "
                       "another name",
                       contract->base->name.text, state->name.text);
            contract->broken = true;
        } else if (base != NULL) {
            check_override(contract, base, state);
            struct ctc__state *copy = find_state(merged, state->name.text);
            CTC__APPEND(copy->steps, state->steps);
            copy->doc = state->doc[0] != 0 ? state->doc : copy->doc;
        } else {
            CTC__APPEND(merged, state);
        }
    }
    contract->states = merged;
}

static void merge_messages(struct ctc_contract *contract)
{
    struct ctc__message *own = contract->messages;

    contract->messages = NULL;
    for (const struct ctc__message *b = contract->base->messages; b != NULL; b = b->next) {
        struct ctc__message *message = copy_message(contract->ctc, b);
        CTC__APPEND(contract->messages, message);
    }
    CTC__APPEND(contract->messages, own);
}

static void merge_consts(struct ctc_contract *contract)
{
    for (const struct ctc__const *b = contract->base->consts; b != NULL; b = b->next) {
        const struct ctc__const *own = contract->consts;
        while (own != NULL && strcmp(own->name.text, b->name.text) != 0) {
            own = own->next;
        }
        if (own == NULL) {
            struct ctc__const *constant = ctc__alloc(contract->ctc, sizeof(*constant));
            *constant = *b;
            constant->next = NULL;
            CTC__APPEND(contract->consts, constant);
        }
    }
}

static void find_base(struct ctc_contract *contract)
{
    const struct ctc__name *name = &contract->base_name;
    struct ctc_contract *base = ctc__contract(contract->ctc, name->text, name->pos.file);

    if (base == NULL) {
        ctc__error(contract->ctc, name->pos, "unknown-contract",
                   "there is no contract '%s', expected one in the given files or in %s.contract "
                   "beside this file or in a search folder",
                   name->text, name->text);
        contract->broken = true;
        return;
    }
    if (base->inherited == 1) {
        ctc__error(contract->ctc, name->pos, "inheritance-cycle",
                   "contract '%s' is derived from itself, expected a base that is not",
                   contract->name.text);
        contract->broken = true;
        return;
    }
    ctc__inherit(base);
    contract->broken = contract->broken || base->broken;
    contract->base = base;
}

void ctc__inherit(struct ctc_contract *contract)
{
    bool unknown = false;

    if (contract->inherited != 0) {
        return;
    }
    contract->inherited = 1;
    if (contract->base_name.text != NULL) {
        find_base(contract);
    }
    for (const struct ctc__state *s = contract->states; s != NULL; s = s->next) {
        bool wrong = s->overrides && (contract->base == NULL ||
                                      find_state(contract->base->states, s->name.text) == NULL);
        if (wrong && !contract->broken) {
            ctc__error(contract->ctc, s->name.pos, "override-unknown",
                       "there is no state '%s' to override, expected one of the base contract",
                       s->name.text);
            unknown = true;
        }
    }
    contract->broken = contract->broken || unknown;
    if (contract->base != NULL) {
        check_overridden_twice(contract);
        merge_messages(contract);
        merge_states(contract);
        merge_consts(contract);
    }
    contract->inherited = 2;
}
