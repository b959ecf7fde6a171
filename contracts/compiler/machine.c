/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ctc.h"

static char sign(enum ct_side sender)
{
    return sender == CT_IMP ? '?' : '!';
}

static struct ctc__node *add_node(struct ctc_contract *contract, const struct ctc__state *state,
                                  const struct ctc__step *step, uint32_t item, struct ctc__pos pos)
{
    struct ctc__node *node = ctc__alloc(contract->ctc, sizeof(*node));

    node->state = state;
    node->step = step;
    node->item = item;
    node->pos = pos;
    CTC__APPEND(contract->nodes, node);
    return node;
}

static void add_edge(struct ctc_contract *contract, struct ctc__node *from, struct ctc__node *to,
                     const struct ctc__action *action)
{
    struct ctc__edge *edge = ctc__alloc(contract->ctc, sizeof(*edge));

    for (const struct ctc__edge *e = from->edges; e != NULL; e = e->next) {
        if (strcmp(e->action->name.text, action->name.text) == 0 &&
            e->action->sender == action->sender) {
            ctc__error(contract->ctc, action->name.pos, "nondeterministic-choice",
                       "'%s%c' already begins another step here (line %u), so the state after it "
                       "is not known; expected one step, as in 'A? -> (B! or C!) -> T' or with a "
                       "state after '%s%c'",
                       action->name.text, sign(action->sender), e->action->name.pos.line,
                       action->name.text, sign(action->sender));
            return;
        }
    }
    if (from->edges != NULL && from->edges->action->sender != action->sender) {
        const struct ctc__action *first = from->edges->action;
        ctc__error(contract->ctc, action->name.pos, "mixed-state",
                   "'%s%c' and '%s%c' (line %u) are offered in one state, so both sides could "
                   "send at once; expected only one side to send in a state",
                   action->name.text, sign(action->sender), first->name.text, sign(first->sender),
                   first->name.pos.line);
        /* The edge is kept all the same: running both sides shows what happens then. */
    }
    edge->action = action;
    edge->to = to;
    from->sender = action->sender;
    CTC__APPEND(from->edges, edge);
}

static struct ctc__node *find_target(const struct ctc_contract *contract, const char *name)
{
    for (const struct ctc__state *s = contract->states; s != NULL; s = s->next) {
        if (strcmp(s->name.text, name) == 0) {
            return s->node;
        }
    }
    return NULL;
}

static void build_step(struct ctc_contract *contract, const struct ctc__state *state,
                       const struct ctc__step *step)
{
    struct ctc__node *from = state->node;
    uint32_t number = 0;

    for (const struct ctc__item *item = step->items; item != NULL; item = item->next) {
        struct ctc__node *to;
        if (item->next == NULL) {
            to = find_target(contract, step->target.text);
        } else {
            to = add_node(contract, state, step, ++number, item->next->actions->name.pos);
        }
        for (const struct ctc__action *a = item->actions; a != NULL; a = a->next) {
            add_edge(contract, from, to, a);
        }
        from = to;
    }
}

static uint32_t build(struct ctc_contract *contract)
{
    uint32_t count = 0;

    for (struct ctc__state *s = contract->states; s != NULL; s = s->next) {
        s->node = add_node(contract, s, NULL, 0, s->name.pos);
    }
    for (const struct ctc__state *s = contract->states; s != NULL; s = s->next) {
        for (const struct ctc__step *step = s->steps; step != NULL; step = step->next) {
            build_step(contract, s, step);
        }
    }
    for (const struct ctc__node *n = contract->nodes; n != NULL; n = n->next) {
        count++;
    }
    return count;
}

/* --- cycles in one direction --------------------------------------------------------------------
 */

struct cycles {
    struct ctc_contract *contract;
    enum ct_side sender;
    const struct ctc__edge *path[CT_STATES_MAX]; /* edge taken from the node at that depth */
    uint8_t colour[CT_STATES_MAX];               /* by node index: 0 new, 1 on the path, 2 done */
    uint32_t depth_of[CT_STATES_MAX];
};

static void report_cycle(const struct cycles *cycles, uint32_t from, uint32_t to,
                         const struct ctc__node *node)
{
    struct ctc__text list = {0};

    for (uint32_t i = from; i <= to; i++) {
        ctc__put(&list, "%s%s%c", i == from ? "" : " -> ", cycles->path[i]->action->name.text,
                 sign(cycles->sender));
    }
    ctc__error(cycles->contract->ctc, cycles->path[to]->action->name.pos,
               cycles->sender == CT_EXP ? "pure-send-cycle" : "pure-receive-cycle",
               "%s leads back to state '%s' and the %s never answers, so no queue is long enough; "
               "expected a message in the other direction in every cycle",
               list.bytes, node->state->name.text,
               cycles->sender == CT_EXP ? "importer" : "exporter");
    free(list.bytes);
}

/* Recursion is bounded by CT_STATES_MAX. */
static void visit(struct cycles *cycles, const struct ctc__node *node, uint32_t depth)
{
    cycles->colour[node->index] = 1;
    cycles->depth_of[node->index] = depth;
    for (const struct ctc__edge *e = node->edges; e != NULL; e = e->next) {
        if (e->action->sender != cycles->sender || e->to == NULL) {
            continue;
        }
        cycles->path[depth] = e;
        if (cycles->colour[e->to->index] == 1) {
            report_cycle(cycles, cycles->depth_of[e->to->index], depth, e->to);
        } else if (cycles->colour[e->to->index] == 0) {
            visit(cycles, e->to, depth + 1);
        }
    }
    cycles->colour[node->index] = 2;
}

static void check_cycles(struct ctc_contract *contract, enum ct_side sender)
{
    struct cycles cycles = {.contract = contract, .sender = sender};

    for (const struct ctc__node *n = contract->nodes; n != NULL; n = n->next) {
        if (cycles.colour[n->index] == 0) {
            visit(&cycles, n, 0);
        }
    }
}

void ctc__check_machine(struct ctc_contract *contract)
{
    uint32_t count = build(contract);
    uint16_t index = 0;

    if (count > CT_STATES_MAX) {
        ctc__error(contract->ctc, contract->name.pos, "limit",
                   "contract '%s' has %u states (with those inside steps), expected at most %u",
                   contract->name.text, count, CT_STATES_MAX);
        contract->broken = true;
        return;
    }
    for (struct ctc__node *n = contract->nodes; n != NULL; n = n->next) {
        n->index = index++;
    }
    contract->state_count = count;
    check_cycles(contract, CT_IMP);
    check_cycles(contract, CT_EXP);
}

/* --- rules about the whole
 * ------------------------------------------------------------------------ */

static void spread_reached(struct ctc_contract *contract)
{
    bool changed = true;

    for (struct ctc__node *n = contract->nodes; n != NULL; n = n->next) {
        n->reached = n->step == NULL && n->state->entered;
    }
    while (changed) {
        changed = false;
        for (struct ctc__node *n = contract->nodes; n != NULL; n = n->next) {
            for (const struct ctc__edge *e = n->edges; n->reached && e != NULL; e = e->next) {
                if (e->to != NULL && !e->to->reached) {
                    e->to->reached = true;
                    changed = true;
                }
            }
        }
    }
}

static void spread_ends(struct ctc_contract *contract)
{
    bool changed = true;

    for (struct ctc__node *n = contract->nodes; n != NULL; n = n->next) {
        n->ends = n->edges == NULL;
    }
    while (changed) {
        changed = false;
        for (struct ctc__node *n = contract->nodes; n != NULL; n = n->next) {
            for (const struct ctc__edge *e = n->edges; !n->ends && e != NULL; e = e->next) {
                if (e->to != NULL && e->to->ends) {
                    n->ends = true;
                    changed = true;
                }
            }
        }
    }
}

static void check_ends(struct ctc_contract *contract)
{
    struct ctc__text list = {0};
    const struct ctc__state *first = NULL;

    spread_ends(contract);
    for (const struct ctc__state *s = contract->states; s != NULL; s = s->next) {
        if (!s->node->ends) {
            ctc__put(&list, "%s'%s'", first == NULL ? "" : ", ", s->name.text);
            first = first == NULL ? s : first;
        }
    }
    if (first != NULL) {
        ctc__warn(contract->ctc, first->name.pos, "no-end",
                  "no final state can be reached from %s: the channel ends only by closing",
                  list.bytes);
    }
    free(list.bytes);
}

static void check_endpoint_states(struct ctc_contract *contract)
{
    for (const struct ctc__message *m = contract->messages; m != NULL; m = m->next) {
        for (const struct ctc__arg *a = m->args; a != NULL; a = a->next) {
            if (a->type.kind != CT_ARG_ENDPOINT || a->type.broken || a->type.contract->broken) {
                continue;
            }
            const struct ctc__node *node = a->type.state->node;
            if (node->edges == NULL || node->sender != a->type.side) {
                ctc__error(contract->ctc, a->type.pos, "endpoint-state",
                           "the holder of '%s.%s' %s in state '%s', so a message could be under "
                           "way to the endpoint while it travels; expected a state in which the "
                           "%s sends next",
                           a->type.contract_name.text, a->type.side == CT_IMP ? "Imp" : "Exp",
                           node->edges == NULL ? "sends nothing" : "receives",
                           a->type.state->name.text,
                           a->type.side == CT_IMP ? "importer" : "exporter");
            }
        }
    }
}

void ctc__check_after(struct ctc_contract *contract)
{
    check_endpoint_states(contract);
    if (contract->broken) {
        return;
    }
    spread_reached(contract);
    for (const struct ctc__state *s = contract->states; s != NULL; s = s->next) {
        if (!s->node->reached) {
            ctc__error(contract->ctc, s->name.pos, "unreachable-state",
                       "state '%s' is never reached, expected a step that leads to it, or an "
                       "endpoint argument that starts in it",
                       s->name.text);
        }
    }
    for (const struct ctc__message *m = contract->messages; m != NULL; m = m->next) {
        if (!m->used) {
            ctc__warn(contract->ctc, m->name.pos, "unused-message",
                      "message '%s' is never sent in any state", m->name.text);
        }
    }
    check_ends(contract);
}
