/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "explore.h"

/* A contract's graph as tables, before messages and states have their final numbers. */
struct graph {
    uint32_t message_count, state_count;
    const struct ctc__node *nodes[CT_STATES_MAX];
    const char *state_names[CT_STATES_MAX];
    const char *message_names[CT_MESSAGES_MAX];
    uint8_t *next[2];
};

/* Recursion is bounded by CT_STATES_MAX. */
static void put_node_name(struct ctc__text *text, const struct ctc__node *node)
{
    if (!node->implicit) {
        ctc__put(text, "%s", node->state->name.text);
    } else if (node->copy_of != NULL) {
        ctc__put(text, "%s.%s", node->state->name.text, node->copy_of->name.text);
    } else {
        put_node_name(text, node->before);
        ctc__put(text, ".%s%c", node->said->name.text, node->said->sender == CT_IMP ? '?' : '!');
    }
}

/* Of a state inside a step: the named state and what was said since, "Idle.Ask?". */
static const char *node_name(struct ctc *ctc, const struct ctc__node *node)
{
    struct ctc__text text = {0};

    put_node_name(&text, node);
    const char *name = ctc__copy(ctc, text.bytes, text.length);
    free(text.bytes);
    return name;
}

static uint32_t message_index(const struct ctc_contract *contract,
                              const struct ctc__message *message)
{
    uint32_t index = 0;

    for (const struct ctc__message *m = contract->messages; m != message; m = m->next) {
        index++;
    }
    return index;
}

static void make_graph(struct ctc_contract *contract, struct graph *graph)
{
    uint32_t index = 0;

    memset(graph, 0, sizeof(*graph));
    for (const struct ctc__message *m = contract->messages; m != NULL; m = m->next) {
        graph->message_names[graph->message_count++] = m->name.text;
    }
    for (struct ctc__node *n = contract->nodes; n != NULL; n = n->next) {
        n->index = (uint16_t)index;
        graph->nodes[index] = n;
        graph->state_names[index++] = node_name(contract->ctc, n);
    }
    graph->state_count = index;
    size_t cells = (size_t)graph->message_count * graph->state_count;
    for (int side = CT_IMP; side <= CT_EXP; side++) {
        graph->next[side] = ctc__alloc(contract->ctc, cells + 1);
        memset(graph->next[side], CT_ILLEGAL, cells);
    }
    for (const struct ctc__node *n = contract->nodes; n != NULL; n = n->next) {
        for (const struct ctc__edge *e = n->edges; e != NULL; e = e->next) {
            graph->next[e->action->sender][n->index * graph->message_count +
                                           message_index(contract, e->action->message)] =
                (uint8_t)e->to->index;
        }
    }
}

/* Slots of the queue to each side. False: there is no bound, or too high a one (reported). */
static bool queue_slots(const struct graph *graph, uint8_t slots[2])
{
    const struct ct_contract table = {
        .message_count = (uint16_t)graph->message_count,
        .state_count = (uint16_t)graph->state_count,
        .next = {graph->next[CT_IMP], graph->next[CT_EXP]},
    };

    for (int side = CT_IMP; side <= CT_EXP; side++) {
        int run = ct__run_length(&table, ct_other((enum ct_side)side));
        if (run < 0 || run > (int)CT_QUEUE_SLOTS_MAX) {
            return false;
        }
        slots[side] = ct__slots(run);
    }
    return true;
}

static const char *rule_of(enum explore_finding finding)
{
    switch (finding) {
    case EXPLORE_UNEXPECTED:
        return "unspecified-reception";
    case EXPLORE_OVERFLOW:
        return "queue-overflow";
    default:
        return "deadlock";
    }
}

static void report(struct ctc_contract *contract, const struct graph *graph,
                   const struct explore_question *question, const struct explore_answer *answer)
{
    struct ctc__text what = {0};
    struct ctc__text run = {0};
    enum ct_side side = answer->finding == EXPLORE_OVERFLOW ? ct_other(answer->side) : answer->side;
    struct ctc__pos pos = graph->nodes[explore__state(answer, side)]->pos;

    explore__put_finding(&what, question, answer);
    if (answer->finding == EXPLORE_LIMIT) {
        ctc__warn(contract->ctc, contract->name.pos, "explored-partly",
                  "two sides of '%s' were run against each other, and %s; nothing was found in "
                  "those",
                  contract->name.text, what.bytes);
    } else {
        explore__put_run(&run, question, answer);
        ctc__error(contract->ctc, pos, rule_of(answer->finding),
                   "%s, after the steps below; expected that two sides that keep to the contract "
                   "never get there",
                   what.bytes);
        ctc__explain(contract->ctc, run.bytes);
    }
    free(what.bytes);
    free(run.bytes);
}

void ctc__check_both_sides(struct ctc_contract *contract)
{
    struct graph graph;
    uint8_t starts[CT_STATES_MAX][2];
    struct explore_answer answer;
    struct explore_question question = {.starts = starts};

    if (contract->broken || contract->states == NULL) {
        return;
    }
    make_graph(contract, &graph);
    if (!queue_slots(&graph, question.slots)) {
        return;
    }
    /* A channel begins in the start state, or in one in which an endpoint of it travels. */
    for (uint32_t s = 0; s < graph.state_count; s++) {
        if (!graph.nodes[s]->implicit && graph.nodes[s]->state->entered) {
            starts[question.start_count][CT_IMP] = (uint8_t)s;
            starts[question.start_count++][CT_EXP] = (uint8_t)s;
        }
    }
    for (int side = CT_IMP; side <= CT_EXP; side++) {
        question.machines[side] = (struct explore_machine){
            .state_count = graph.state_count,
            .state_names = graph.state_names,
            .next = {graph.next[CT_IMP], graph.next[CT_EXP]},
        };
    }
    question.message_count = graph.message_count;
    question.message_names = graph.message_names;
    explore__run(&question, &answer);
    if (answer.finding != EXPLORE_NOTHING) {
        report(contract, &graph, &question, &answer);
    }
    explore__free(&answer);
}
