/* SPDX-License-Identifier: Apache-2.0 */
#include "compat.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Both machines over one alphabet: the names of either contract. */
struct joint {
    const struct ctc_contract *sides[2];
    uint32_t message_count;
    const char *names[EXPLORE_MESSAGES_MAX];
    const struct ctc__message *messages[2][EXPLORE_MESSAGES_MAX]; /* NULL: this side has none */
    bool fits[2][EXPLORE_MESSAGES_MAX];                           /* [sender] */
    const char *state_names[2][CT_STATES_MAX];
    uint8_t *next[2][2]; /* [side][sender], see explore.h */
};

static uint32_t name_index(struct joint *joint, const char *name)
{
    uint32_t index = 0;

    while (index < joint->message_count && strcmp(joint->names[index], name) != 0) {
        index++;
    }
    if (index == joint->message_count) {
        joint->names[joint->message_count++] = name;
    }
    return index;
}

static void fill_side(struct joint *joint, enum ct_side side)
{
    const struct ct_contract *table = joint->sides[side]->table;
    size_t cells = (size_t)table->state_count * joint->message_count;

    for (int sender = CT_IMP; sender <= CT_EXP; sender++) {
        uint8_t *next = malloc(cells + 1);
        if (next == NULL) {
            fprintf(stderr, "contract compiler: no memory left\n");
            exit(2);
        }
        memset(next, CT_ILLEGAL, cells);
        joint->next[side][sender] = next;
        for (uint16_t s = 0; s < table->state_count; s++) {
            for (uint16_t tag = 0; tag < table->message_count; tag++) {
                uint32_t m = name_index(joint, table->messages[tag].name);
                if (sender == (int)side || joint->fits[sender][m]) {
                    next[s * joint->message_count + m] =
                        ct_step(table, (uint8_t)s, (enum ct_side)sender, tag);
                }
            }
        }
    }
    for (uint16_t s = 0; s < table->state_count; s++) {
        joint->state_names[side][s] = table->states[s].name;
    }
}

static struct joint *make_joint(struct compat_pairs *pairs, const struct ctc_contract *imp,
                                const struct ctc_contract *exp)
{
    struct joint *joint = calloc(1, sizeof(*joint));
    struct ctc__text why = {0};

    if (joint == NULL) {
        fprintf(stderr, "contract compiler: no memory left\n");
        exit(2);
    }
    joint->sides[CT_IMP] = imp;
    joint->sides[CT_EXP] = exp;
    for (int side = CT_IMP; side <= CT_EXP; side++) {
        for (uint32_t tag = 0; tag < joint->sides[side]->message_count; tag++) {
            const struct ctc__message *message = joint->sides[side]->by_tag[tag];
            joint->messages[side][name_index(joint, message->name.text)] = message;
        }
    }
    for (uint32_t m = 0; m < joint->message_count; m++) {
        for (int sender = CT_IMP; sender <= CT_EXP; sender++) {
            const struct ctc__message *sent = joint->messages[sender][m];
            const struct ctc__message *taken = joint->messages[!sender][m];
            joint->fits[sender][m] =
                sent != NULL && taken != NULL && compat__message_fits(pairs, sent, taken, &why);
        }
    }
    fill_side(joint, CT_IMP);
    fill_side(joint, CT_EXP);
    free(why.bytes);
    return joint;
}

static void free_joint(struct joint *joint)
{
    for (int side = CT_IMP; side <= CT_EXP; side++) {
        free(joint->next[side][CT_IMP]);
        free(joint->next[side][CT_EXP]);
    }
    free(joint);
}

/* Why a message is not expected: unknown, other arguments, or only not in that state. */
static void put_why(struct compat_pairs *pairs, struct ctc__text *out, const struct joint *joint,
                    const struct explore_question *question, const struct explore_answer *answer)
{
    enum ct_side sender = ct_other(answer->side);
    const char *side = answer->side == CT_IMP ? "importer" : "exporter";

    if (answer->finding != EXPLORE_UNEXPECTED || joint->fits[sender][answer->message]) {
        explore__put_finding(out, question, answer);
        return;
    }
    const struct ctc__message *taken = joint->messages[answer->side][answer->message];
    ctc__put(out, "'%s' arrives at the %s, ", question->message_names[answer->message], side);
    if (taken == NULL) {
        ctc__put(out, "which has no such message");
        return;
    }
    ctc__put(out, "but ");
    (void)compat__message_fits(pairs, joint->messages[sender][answer->message], taken, out);
}

static void try_states(struct compat_pairs *pairs, const struct joint *joint, uint8_t imp,
                       uint8_t exp, struct compat_state *state)
{
    const uint8_t starts[1][2] = {{imp, exp}};
    struct explore_question question = {
        .message_count = joint->message_count,
        .message_names = joint->names,
        .slots = {joint->sides[CT_IMP]->table->slots[CT_IMP],
                  joint->sides[CT_EXP]->table->slots[CT_EXP]},
        .starts = starts,
        .start_count = 1,
    };
    struct explore_answer answer;
    struct ctc__text why = {0};
    struct ctc__text run = {0};

    for (int side = CT_IMP; side <= CT_EXP; side++) {
        question.machines[side] = (struct explore_machine){
            .state_count = joint->sides[side]->state_count,
            .state_names = joint->state_names[side],
            .next = {joint->next[side][CT_IMP], joint->next[side][CT_EXP]},
        };
    }
    explore__run(&question, &answer);
    state->fits = answer.finding == EXPLORE_NOTHING;
    if (!state->fits) {
        put_why(pairs, &why, joint, &question, &answer);
        explore__put_run(&run, &question, &answer);
        state->why = why.bytes;
        state->run = run.bytes;
    }
    explore__free(&answer);
}

static void missing_state(struct compat_state *state)
{
    struct ctc__text why = {0};

    ctc__put(&why, "the new contract has no state '%s'", state->name);
    state->why = why.bytes;
}

static void judge(struct compat_direction *out)
{
    size_t fitting = 0;
    size_t failing = 0;

    for (size_t i = 0; i < out->state_count; i++) {
        fitting += out->states[i].fits && !out->states[i].final;
        failing += !out->states[i].fits;
    }
    out->answer = failing == 0   ? CTC_COMPATIBLE_YES
                  : fitting == 0 ? CTC_COMPATIBLE_NO
                                 : CTC_COMPATIBLE_STATES;
}

static void list_states(const struct ct_contract *old, const struct ct_contract *new,
                        struct compat_direction *out)
{
    for (uint16_t s = 0; s < old->state_count; s++) {
        struct compat_state *state = &out->states[out->state_count];
        int other = s == 0 ? 0 : ct_state_find(new, old->states[s].name);
        if (strchr(old->states[s].name, '.') != NULL) {
            continue;
        }
        out->state_count++;
        state->name = old->states[s].name;
        state->final = old->states[s].final;
        state->indices[0] = (uint8_t)s;
        state->indices[1] = (uint8_t)other;
        state->fits = other >= 0;
        if (other < 0) {
            missing_state(state);
        }
    }
}

/*
 * Endpoints of the contract itself are taken to fit in the states that fitted so far: so what is
 * reported is the cause, not an endpoint that is not usable because of it. True: fewer fit now.
 */
static bool try_round(const struct ctc_contract *const sides[2], struct compat_direction *out)
{
    struct compat_pairs *pairs = calloc(1, sizeof(*pairs));
    bool changed = false;

    if (pairs == NULL) {
        fprintf(stderr, "contract compiler: no memory left\n");
        exit(2);
    }
    for (size_t i = 0; i < out->state_count; i++) {
        if (out->states[i].fits) {
            pairs->pairs[pairs->count++] =
                (struct compat_pair){sides[CT_IMP], sides[CT_EXP], out->states[i].name};
        }
    }
    struct joint *joint = make_joint(pairs, sides[CT_IMP], sides[CT_EXP]);
    for (size_t i = 0; i < out->state_count; i++) {
        struct compat_state *state = &out->states[i];
        if (state->fits) {
            try_states(pairs, joint, state->indices[out->old_side != CT_IMP],
                       state->indices[out->old_side == CT_IMP], state);
            changed = changed || !state->fits;
        }
    }
    free_joint(joint);
    free(pairs);
    return changed;
}

void compat__direction(const struct ctc_contract *old, const struct ctc_contract *new,
                       enum ct_side old_side, struct compat_direction *out)
{
    const struct ctc_contract *sides[2];

    memset(out, 0, sizeof(*out));
    out->old_side = old_side;
    sides[old_side] = old;
    sides[ct_other(old_side)] = new;
    list_states(ctc_table(old), ctc_table(new), out);
    while (try_round(sides, out)) {
    }
    judge(out);
}

void compat__free(struct compat_direction *direction)
{
    for (size_t i = 0; i < direction->state_count; i++) {
        free(direction->states[i].why);
        free(direction->states[i].run);
    }
    direction->state_count = 0;
}

bool compat__from_state(struct compat_pairs *pairs, const struct ctc_contract *imp,
                        const struct ctc_contract *exp, const char *state)
{
    struct compat_state result = {.name = state};
    int imp_state = ct_state_find(ctc_table(imp), state);
    int exp_state = ct_state_find(ctc_table(exp), state);
    size_t before = pairs->count;

    if (memcmp(imp->id, exp->id, CT_ID_BYTES) == 0) {
        return true;
    }
    for (size_t i = 0; i < pairs->count; i++) {
        if (pairs->pairs[i].imp == imp && pairs->pairs[i].exp == exp &&
            strcmp(pairs->pairs[i].state, state) == 0) {
            return true; /* being looked at: what speaks against it is found there */
        }
    }
    if (pairs->count == COMPAT_PAIRS_MAX || imp_state < 0 || exp_state < 0) {
        return false;
    }
    pairs->pairs[pairs->count++] = (struct compat_pair){imp, exp, state};
    struct joint *joint = make_joint(pairs, imp, exp);
    try_states(pairs, joint, (uint8_t)imp_state, (uint8_t)exp_state, &result);
    free_joint(joint);
    free(result.why);
    free(result.run);
    if (!result.fits) {
        pairs->count = before; /* what was taken for granted meanwhile may be wrong */
    }
    return result.fits;
}
