/* SPDX-License-Identifier: Apache-2.0 */
#include "explore.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_SIZE (1u << 17) /* over twice the configurations, a power of two */

/*
 * Configurations are kept as rows of bytes: two states, two queue lengths, then room for both
 * queues, two bytes a message, zero where empty, so that equal ones have equal bytes.
 */
struct search {
    const struct explore_question *question;
    size_t row_bytes;
    uint8_t *rows;
    uint32_t *parents;
    struct move {
        uint8_t side, sends;
        uint16_t message;
    } * moves; /* that led to the row */
    uint32_t *table;
    uint32_t count, done;
    bool full;
};

#define NO_PARENT UINT32_MAX

static void *need(size_t count, size_t bytes)
{
    void *memory = calloc(count, bytes);

    if (memory == NULL) {
        fprintf(stderr, "contract compiler: no memory left\n");
        exit(2);
    }
    return memory;
}

static uint8_t *queue_of(const struct search *search, uint8_t *row, enum ct_side side)
{
    return row + 4 + (side == CT_EXP ? 2u * search->question->slots[CT_IMP] : 0u);
}

static uint16_t queue_get(const uint8_t *queue, size_t index)
{
    return (uint16_t)(queue[2 * index] | queue[2 * index + 1] << 8);
}

static void queue_set(uint8_t *queue, size_t index, uint16_t message)
{
    queue[2 * index] = (uint8_t)message;
    queue[2 * index + 1] = (uint8_t)(message >> 8);
}

static uint32_t hash(const uint8_t *bytes, size_t length)
{
    uint32_t value = 2166136261u;

    for (size_t i = 0; i < length; i++) {
        value = (value ^ bytes[i]) * 16777619u;
    }
    return value ^ value >> 15;
}

/* Keeps a configuration that was not seen before. */
static void add(struct search *search, const uint8_t *row, uint32_t parent, struct move move)
{
    uint32_t at = hash(row, search->row_bytes) & (TABLE_SIZE - 1);

    while (search->table[at] != 0) {
        if (memcmp(search->rows + (search->table[at] - 1) * search->row_bytes, row,
                   search->row_bytes) == 0) {
            return;
        }
        at = (at + 1) & (TABLE_SIZE - 1);
    }
    if (search->count == EXPLORE_CONFIGURATIONS_MAX) {
        search->full = true;
        return;
    }
    memcpy(search->rows + search->count * search->row_bytes, row, search->row_bytes);
    search->parents[search->count] = parent;
    search->moves[search->count] = move;
    search->table[at] = ++search->count;
}

static uint8_t next_of(const struct search *search, const uint8_t *row, enum ct_side side,
                       enum ct_side sender, uint16_t message)
{
    const struct explore_machine *machine = &search->question->machines[side];
    return machine->next[sender][row[side] * search->question->message_count + message];
}

/* True: this was a finding. */
static bool receive(struct search *search, uint8_t *row, enum ct_side side,
                    struct explore_answer *answer)
{
    uint8_t *queue = queue_of(search, row, side);
    uint8_t count = row[2 + side];

    if (count == 0) {
        return false;
    }
    uint16_t message = queue_get(queue, 0);
    uint8_t next = next_of(search, row, side, ct_other(side), message);
    if (next == CT_ILLEGAL) {
        answer->finding = EXPLORE_UNEXPECTED;
        answer->side = side;
        answer->message = message;
        return true;
    }
    row[side] = next;
    row[2 + side] = (uint8_t)(count - 1);
    memmove(queue, queue + 2, 2u * (count - 1u));
    queue_set(queue, count - 1u, 0);
    add(search, row, search->done, (struct move){.side = (uint8_t)side, .message = message});
    return false;
}

static bool send(struct search *search, const uint8_t *row, enum ct_side side, uint16_t message,
                 struct explore_answer *answer)
{
    uint8_t after[4 + 4 * CT_QUEUE_SLOTS_MAX];
    enum ct_side other = ct_other(side);
    uint8_t next = next_of(search, row, side, side, message);

    if (row[2 + other] == search->question->slots[other]) {
        answer->finding = EXPLORE_OVERFLOW;
        answer->side = other;
        answer->message = message;
        return true;
    }
    memcpy(after, row, search->row_bytes);
    after[side] = next;
    queue_set(queue_of(search, after, other), after[2 + other]++, message);
    add(search, after, search->done,
        (struct move){.side = (uint8_t)side, .sends = 1, .message = message});
    return false;
}

static bool is_final(const struct search *search, const uint8_t *row, enum ct_side side)
{
    for (uint32_t m = 0; m < search->question->message_count; m++) {
        if (next_of(search, row, side, CT_IMP, (uint16_t)m) != CT_ILLEGAL ||
            next_of(search, row, side, CT_EXP, (uint16_t)m) != CT_ILLEGAL) {
            return false;
        }
    }
    return true;
}

/* All steps from the configuration at `done`. True: something was found there. */
static bool expand(struct search *search, struct explore_answer *answer)
{
    uint8_t row[4 + 4 * CT_QUEUE_SLOTS_MAX];
    uint8_t copy[4 + 4 * CT_QUEUE_SLOTS_MAX];
    bool sends = false;

    memcpy(row, search->rows + search->done * search->row_bytes, search->row_bytes);
    for (int side = CT_IMP; side <= CT_EXP; side++) {
        memcpy(copy, row, search->row_bytes);
        if (receive(search, copy, (enum ct_side)side, answer)) {
            return true;
        }
    }
    for (int side = CT_IMP; side <= CT_EXP; side++) {
        for (uint32_t m = 0; m < search->question->message_count; m++) {
            if (next_of(search, row, (enum ct_side)side, (enum ct_side)side, (uint16_t)m) ==
                CT_ILLEGAL) {
                continue;
            }
            sends = true;
            if (send(search, row, (enum ct_side)side, (uint16_t)m, answer)) {
                return true;
            }
        }
    }
    if (!sends && row[2] == 0 && row[3] == 0 &&
        !(is_final(search, row, CT_IMP) && is_final(search, row, CT_EXP))) {
        answer->finding = EXPLORE_DEADLOCK;
        return true;
    }
    return false;
}

static void keep_run(struct search *search, struct explore_answer *answer)
{
    uint32_t at = search->done;

    for (uint32_t i = at; search->parents[i] != NO_PARENT; i = search->parents[i]) {
        answer->step_count++;
    }
    answer->steps = need(answer->step_count + 1, sizeof(*answer->steps));
    for (size_t i = answer->step_count; i > 0; i--) {
        struct explore_step *step = &answer->steps[i - 1];
        uint8_t *row = search->rows + at * search->row_bytes;
        step->side = (enum ct_side)search->moves[at].side;
        step->sends = search->moves[at].sends;
        step->message = search->moves[at].message;
        for (int side = CT_IMP; side <= CT_EXP; side++) {
            step->states[side] = row[side];
            step->queued[side] = row[2 + side];
            for (size_t q = 0; q < row[2 + side]; q++) {
                step->queues[side][q] = queue_get(queue_of(search, row, (enum ct_side)side), q);
            }
        }
        at = search->parents[at];
    }
    memcpy(answer->start, search->rows + at * search->row_bytes, 2);
}

void explore__run(const struct explore_question *question, struct explore_answer *out_answer)
{
    struct search search = {
        .question = question,
        .row_bytes = 4 + 2u * (question->slots[CT_IMP] + question->slots[CT_EXP]),
        .parents = need(EXPLORE_CONFIGURATIONS_MAX, sizeof(*search.parents)),
        .moves = need(EXPLORE_CONFIGURATIONS_MAX, sizeof(*search.moves)),
        .table = need(TABLE_SIZE, sizeof(*search.table)),
    };
    uint8_t row[4 + 4 * CT_QUEUE_SLOTS_MAX] = {0};
    bool found = false;

    assert(question->slots[CT_IMP] <= CT_QUEUE_SLOTS_MAX);
    assert(question->slots[CT_EXP] <= CT_QUEUE_SLOTS_MAX);
    assert(question->message_count <= EXPLORE_MESSAGES_MAX);
    search.rows = need(EXPLORE_CONFIGURATIONS_MAX, search.row_bytes);
    memset(out_answer, 0, sizeof(*out_answer));
    for (size_t i = 0; i < question->start_count; i++) {
        row[CT_IMP] = question->starts[i][CT_IMP];
        row[CT_EXP] = question->starts[i][CT_EXP];
        add(&search, row, NO_PARENT, (struct move){0});
    }
    while (!found && search.done < search.count) {
        found = expand(&search, out_answer);
        search.done += !found;
    }
    if (found) {
        keep_run(&search, out_answer);
    } else if (search.full) {
        out_answer->finding = EXPLORE_LIMIT;
    }
    out_answer->configuration_count = search.count;
    free(search.rows);
    free(search.parents);
    free(search.moves);
    free(search.table);
}

void explore__free(struct explore_answer *answer)
{
    free(answer->steps);
    memset(answer, 0, sizeof(*answer));
}

/* --- words --------------------------------------------------------------------------------------
 */

static const char *const side_names[] = {[CT_IMP] = "importer", [CT_EXP] = "exporter"};

uint8_t explore__state(const struct explore_answer *answer, enum ct_side side)
{
    return answer->step_count == 0 ? answer->start[side]
                                   : answer->steps[answer->step_count - 1].states[side];
}

static const char *state_name(const struct explore_question *question,
                              const struct explore_answer *answer, enum ct_side side)
{
    return question->machines[side].state_names[explore__state(answer, side)];
}

void explore__put_finding(struct ctc__text *text, const struct explore_question *question,
                          const struct explore_answer *answer)
{
    const char *imp = NULL;
    const char *exp = NULL;

    if (answer->finding == EXPLORE_NOTHING) {
        return;
    }
    if (answer->finding == EXPLORE_LIMIT) {
        ctc__put(text, "not all of it was looked at: there are more than %u configurations",
                 EXPLORE_CONFIGURATIONS_MAX);
        return;
    }
    imp = state_name(question, answer, CT_IMP);
    exp = state_name(question, answer, CT_EXP);
    if (answer->finding == EXPLORE_UNEXPECTED) {
        ctc__put(text, "'%s' arrives at the %s in state '%s', which does not expect it",
                 question->message_names[answer->message], side_names[answer->side],
                 answer->side == CT_IMP ? imp : exp);
    } else if (answer->finding == EXPLORE_OVERFLOW) {
        ctc__put(text, "the %s may send '%s' in state '%s' when all slots to the %s are taken (%u)",
                 side_names[ct_other(answer->side)], question->message_names[answer->message],
                 answer->side == CT_IMP ? exp : imp, side_names[answer->side],
                 question->slots[answer->side]);
    } else {
        ctc__put(text,
                 "the importer in state '%s' and the exporter in state '%s' wait for each other",
                 imp, exp);
    }
}

static int width_of(const struct explore_question *question, const struct explore_answer *answer,
                    enum ct_side side)
{
    const char *const *names = question->machines[side].state_names;
    size_t width = strlen(names[answer->start[side]]);

    for (size_t i = 0; i < answer->step_count; i++) {
        size_t length = strlen(names[answer->steps[i].states[side]]);
        width = length > width ? length : width;
    }
    return (int)(width < 8 ? 8 : width);
}

static void put_queue(struct ctc__text *text, const struct explore_question *question,
                      const struct explore_step *step, enum ct_side side)
{
    for (size_t q = 0; q < step->queued[side]; q++) {
        ctc__put(text, "%s%s", q == 0 ? "" : " ", question->message_names[step->queues[side][q]]);
    }
    if (step->queued[side] == 0) {
        ctc__put(text, "-");
    }
}

void explore__put_run(struct ctc__text *text, const struct explore_question *question,
                      const struct explore_answer *answer)
{
    int imp = width_of(question, answer, CT_IMP);
    int exp = width_of(question, answer, CT_EXP);
    int what = 5;

    for (size_t i = 0; i < answer->step_count; i++) {
        const struct explore_step *step = &answer->steps[i];
        int length =
            (int)strlen(question->message_names[step->message]) +
            (step->sends ? (int)strlen("exporter sends ") : (int)strlen("exporter takes "));
        what = length > what ? length : what;
    }
    ctc__put(text, "  step  %-*s  %-*s  %-*s  to exporter | to importer\n", what, "", imp,
             "importer", exp, "exporter");
    ctc__put(text, "     0  %-*s  %-*s  %-*s  - | -\n", what, "start", imp,
             question->machines[CT_IMP].state_names[answer->start[CT_IMP]], exp,
             question->machines[CT_EXP].state_names[answer->start[CT_EXP]]);
    for (size_t i = 0; i < answer->step_count; i++) {
        const struct explore_step *step = &answer->steps[i];
        const char *name = question->message_names[step->message];
        ctc__put(text, "  %4zu  %s %s %-*s  %-*s  %-*s  ", i + 1, side_names[step->side],
                 step->sends ? "sends" : "takes", what - (int)strlen("exporter sends "), name, imp,
                 question->machines[CT_IMP].state_names[step->states[CT_IMP]], exp,
                 question->machines[CT_EXP].state_names[step->states[CT_EXP]]);
        put_queue(text, question, step, CT_EXP);
        ctc__put(text, " | ");
        put_queue(text, question, step, CT_IMP);
        ctc__put(text, "\n");
    }
}
