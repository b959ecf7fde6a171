/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state in the middle of a step is called: the channel goes through it until a step without a
 * state at its end, and then on after the call. Such states and those they lead to (the "region"
 * of the call) become copies at each call (machine.c), so a kernel needs no stack; hence calls must
 * not recurse, and a state is either called or entered, not both.
 */
#include "ctc.h"

struct regions {
    struct ctc_contract *contract;
    struct ctc__state *states[CT_STATES_MAX];
    uint32_t count;
    bool wrong;                    /* the machine cannot be built */
    uint8_t colour[CT_STATES_MAX]; /* of called states: 0 new, 1 being visited, 2 done */
};

/* All states that steps lead to from `from`, itself too. */
static void spread(const struct regions *regions, const struct ctc__state *from,
                   bool region[CT_STATES_MAX])
{
    bool changed = true;

    for (uint32_t i = 0; i < regions->count; i++) {
        region[i] = false;
    }
    region[from->number] = true;
    while (changed) {
        changed = false;
        for (uint32_t i = 0; i < regions->count; i++) {
            for (const struct ctc__step *s = regions->states[i]->steps; region[i] && s != NULL;
                 s = s->next) {
                if (s->to != NULL && !region[s->to->number]) {
                    region[s->to->number] = true;
                    changed = true;
                }
            }
        }
    }
}

static bool returns(const struct regions *regions, const bool region[CT_STATES_MAX])
{
    for (uint32_t i = 0; i < regions->count; i++) {
        for (const struct ctc__step *s = regions->states[i]->steps; region[i] && s != NULL;
             s = s->next) {
            if (s->target.text == NULL) {
                return true;
            }
        }
    }
    return false;
}

/* Recursion is bounded by the number of states. */
static void visit_call(struct regions *regions, const struct ctc__item *call)
{
    struct ctc_contract *contract = regions->contract;
    bool region[CT_STATES_MAX];
    uint32_t number = call->called->number;

    if (regions->colour[number] == 1) {
        ctc__error(contract->ctc, call->call.pos, "subroutine-cycle",
                   "state '%s' is called from itself, so the channel would need an endless stack; "
                   "expected calls without recursion",
                   call->call.text);
        regions->wrong = contract->broken = true;
    }
    if (regions->colour[number] != 0) {
        return;
    }
    regions->colour[number] = 1;
    spread(regions, call->called, region);
    if (!returns(regions, region)) {
        ctc__error(contract->ctc, call->call.pos, "subroutine-end",
                   "state '%s' is called and never returns, expected a step in it that ends "
                   "without a state, as in 'A?;'",
                   call->call.text);
        regions->wrong = contract->broken = true;
    }
    for (uint32_t i = 0; i < regions->count; i++) {
        if (!region[i]) {
            continue;
        }
        regions->states[i]->subroutine = true;
        for (const struct ctc__step *s = regions->states[i]->steps; s != NULL; s = s->next) {
            for (const struct ctc__item *item = s->items; item != NULL; item = item->next) {
                if (item->called != NULL) {
                    visit_call(regions, item);
                }
            }
        }
    }
    regions->colour[number] = 2;
}

static void mark_ordinary(struct regions *regions)
{
    bool region[CT_STATES_MAX];

    for (uint32_t i = 0; i < regions->count; i++) {
        if (regions->states[i]->entered && !regions->states[i]->ordinary) {
            spread(regions, regions->states[i], region);
            for (uint32_t k = 0; k < regions->count; k++) {
                regions->states[k]->ordinary = regions->states[k]->ordinary || region[k];
            }
        }
    }
}

static void check_state(struct regions *regions, const struct ctc__state *state)
{
    struct ctc_contract *contract = regions->contract;

    if (state->subroutine && state->ordinary) {
        ctc__error(contract->ctc, state->name.pos, "subroutine-level",
                   "state '%s' is called, or lies behind a call, and is also entered without one; "
                   "expected states of their own for the two",
                   state->name.text);
        regions->wrong = contract->broken = true;
    }
    for (const struct ctc__step *s = state->steps; s != NULL && !state->subroutine; s = s->next) {
        if (s->target.text == NULL) {
            ctc__error(contract->ctc, s->end, "step-end",
                       "the step ends without a state and nothing calls '%s', expected "
                       "'-> State;'",
                       state->name.text);
            contract->broken = true;
        }
    }
}

bool ctc__check_subroutines(struct ctc_contract *contract)
{
    struct regions regions = {.contract = contract};

    for (struct ctc__state *s = contract->states; s != NULL; s = s->next) {
        if (regions.count == CT_STATES_MAX) {
            ctc__error(contract->ctc, contract->name.pos, "limit",
                       "contract '%s' has too many states, expected at most %u",
                       contract->name.text, CT_STATES_MAX);
            contract->broken = true;
            return false;
        }
        s->number = (uint16_t)regions.count;
        regions.states[regions.count++] = s;
    }
    for (const struct ctc__state *s = contract->states; s != NULL; s = s->next) {
        for (const struct ctc__step *step = s->steps; step != NULL; step = step->next) {
            for (const struct ctc__item *item = step->items; item != NULL; item = item->next) {
                if (item->called != NULL) {
                    visit_call(&regions, item);
                }
            }
        }
    }
    mark_ordinary(&regions);
    for (const struct ctc__state *s = contract->states; s != NULL; s = s->next) {
        check_state(&regions, s);
    }
    return !regions.wrong;
}
