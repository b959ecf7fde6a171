/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ctc.h"

static char sign(enum ct_side sender)
{
    return sender == CT_IMP ? '?' : '!';
}

/* A subroutine as it is built for one call. */
struct call {
    struct ctc__node *after; /* where it returns to */
    struct copy {
        struct copy *next;
        const struct ctc__state *state;
        struct ctc__node *node;
    } * copies;
};

/* NULL: over the limit, which is reported when all is built. */
static struct ctc__node *add_node(struct ctc_contract *contract, const struct ctc__state *state,
                                  bool implicit, struct ctc__pos pos)
{
    if (contract->state_count > CT_STATES_MAX) {
        return NULL;
    }
    struct ctc__node *node = ctc__alloc(contract->ctc, sizeof(*node));
    node->state = state;
    node->implicit = implicit;
    node->pos = pos;
    CTC__APPEND(contract->nodes, node);
    contract->state_count++;
    return node;
}

static void report_same(struct ctc_contract *contract, const struct ctc__action *action,
                        const struct ctc__action *before)
{
    ctc__error(contract->ctc, action->name.pos, "nondeterministic-choice",
               "'%s%c' already begins another step here (line %u), so the state after it is not "
               "known; expected one step, as in 'A? -> (B! or C!) -> T' or with a state after "
               "'%s%c'",
               action->name.text, sign(action->sender), before->name.pos.line, action->name.text,
               sign(action->sender));
}

/* Both sides may send: only where a state says who goes first. */
static void mix(struct ctc_contract *contract, struct ctc__node *node,
                const struct ctc__action *action)
{
    const struct ctc__action *first = node->edges->action;
    bool declared = !node->implicit && node->state->yield != YIELD_NONE;

    if (declared && contract->ctc->allow_mixed) {
        node->mixed = true;
        contract->mixed = true;
        return;
    }
    ctc__error(contract->ctc, action->name.pos, "mixed-state",
               declared ? "'%s%c' and '%s%c' (line %u) are offered in one state; it says who goes "
                          "first, so it can be checked, but kernels have no tables for it; "
                          "expected only one side to send in a state"
                        : "'%s%c' and '%s%c' (line %u) are offered in one state, so both sides "
                          "could send at once; expected only one side to send in a state, or "
                          "'sends first' or 'receives first'",
               action->name.text, sign(action->sender), first->name.text, sign(first->sender),
               first->name.pos.line);
}

static void add_edge(struct ctc_contract *contract, struct ctc__node *from, struct ctc__node *to,
                     const struct ctc__action *action)
{
    for (const struct ctc__edge *e = from->edges; e != NULL; e = e->next) {
        if (strcmp(e->action->name.text, action->name.text) == 0 &&
            e->action->sender == action->sender) {
            report_same(contract, action, e->action);
            return;
        }
    }
    if (from->edges != NULL && !from->mixed && from->edges->action->sender != action->sender) {
        mix(contract, from, action);
        /* The edge is kept all the same: running both sides shows what happens then. */
    }
    struct ctc__edge *edge = ctc__alloc(contract->ctc, sizeof(*edge));
    edge->action = action;
    edge->to = to;
    from->sender = from->edges == NULL ? action->sender : from->sender;
    CTC__APPEND(from->edges, edge);
}

static void build_step(struct ctc_contract *contract, struct ctc__node *from,
                       const struct ctc__step *step, struct call *call);

/* The node of a state: its own, or a copy for this call. */
static struct ctc__node *node_of(struct ctc_contract *contract, const struct ctc__node *outer,
                                 const struct ctc__state *state, struct call *call)
{
    if (state == NULL) {
        return NULL; /* unknown, reported */
    }
    if (call == NULL) {
        return state->node;
    }
    for (const struct copy *c = call->copies; c != NULL; c = c->next) {
        if (c->state == state) {
            return c->node;
        }
    }
    struct copy *copy = ctc__alloc(contract->ctc, sizeof(*copy));
    copy->state = state;
    copy->node = add_node(contract, outer->state, true, state->name.pos);
    if (copy->node != NULL) {
        copy->node->copy_of = state;
    }
    CTC__APPEND(call->copies, copy);
    for (const struct ctc__step *s = state->steps; copy->node != NULL && s != NULL; s = s->next) {
        build_step(contract, copy->node, s, call);
    }
    return copy->node;
}

/* Where the channel goes through the calls from `item` up to `rest`, and then to `after`. */
static struct ctc__node *enter(struct ctc_contract *contract, const struct ctc__node *outer,
                               const struct ctc__item *item, const struct ctc__item *rest,
                               struct ctc__node *after)
{
    if (item == rest) {
        return after;
    }
    struct call call = {.after = enter(contract, outer, item->next, rest, after)};
    return node_of(contract, outer, item->called, &call);
}

static struct ctc__node *end_of(struct ctc_contract *contract, const struct ctc__node *outer,
                                const struct ctc__step *step, struct call *call)
{
    if (step->target.text == NULL) {
        return call == NULL ? NULL : call->after; /* NULL: reported */
    }
    return node_of(contract, outer, step->to, call);
}

static void build_step(struct ctc_contract *contract, struct ctc__node *from,
                       const struct ctc__step *step, struct call *call)
{
    const struct ctc__item *item = step->items;

    while (item != NULL && from != NULL) {
        const struct ctc__item *rest = item->next;
        while (rest != NULL && rest->actions == NULL) {
            rest = rest->next;
        }
        struct ctc__node *after = NULL;
        if (rest == NULL) {
            after = end_of(contract, from, step, call);
        } else {
            after = add_node(contract, from->state, true, rest->actions->name.pos);
            if (after != NULL) {
                after->before = from;
                after->said = item->actions;
            }
        }
        struct ctc__node *to = enter(contract, from, item->next, rest, after);
        for (const struct ctc__action *a = item->actions; a != NULL; a = a->next) {
            add_edge(contract, from, to, a);
        }
        item = rest;
        from = after;
    }
}

static void build(struct ctc_contract *contract)
{
    contract->state_count = 0;
    for (struct ctc__state *s = contract->states; s != NULL; s = s->next) {
        if (!s->subroutine) {
            s->node = add_node(contract, s, false, s->name.pos);
        }
    }
    for (const struct ctc__state *s = contract->states; s != NULL; s = s->next) {
        for (const struct ctc__step *step = s->steps; s->node != NULL && step != NULL;
             step = step->next) {
            build_step(contract, s->node, step, NULL);
        }
    }
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

/* --- states in which both sides may send
 * ----------------------------------------------------------- */

static void check_mixed(struct ctc_contract *contract)
{
    for (const struct ctc__node *n = contract->nodes; n != NULL; n = n->next) {
        if (n->mixed) {
            ctc__warn(contract->ctc, n->state->name.pos, "mixed-unmonitored",
                      "both sides may send in state '%s'; the %s goes first; kernels have no "
                      "tables for such contracts",
                      n->state->name.text,
                      n->state->yield == YIELD_SENDS_FIRST ? "exporter" : "importer");
        }
    }
    for (const struct ctc__state *s = contract->states; s != NULL; s = s->next) {
        bool both[2] = {false, false};
        for (const struct ctc__step *step = s->steps; step != NULL; step = step->next) {
            both[step->items->actions->sender] = true;
        }
        if (s->yield != YIELD_NONE && !(both[CT_IMP] && both[CT_EXP])) {
            ctc__error(contract->ctc, s->name.pos, "yield",
                       "only one side sends in state '%s', expected 'sends first' or 'receives "
                       "first' only where both do",
                       s->name.text);
        }
    }
}

void ctc__check_machine(struct ctc_contract *contract)
{
    uint16_t index = 0;

    if (!ctc__check_subroutines(contract)) {
        return;
    }
    build(contract);
    if (contract->state_count > CT_STATES_MAX) {
        ctc__error(contract->ctc, contract->name.pos, "limit",
                   "contract '%s' has too many states (with those inside steps and calls), "
                   "expected at most %u",
                   contract->name.text, CT_STATES_MAX);
        contract->broken = true;
        return;
    }
    for (struct ctc__node *n = contract->nodes; n != NULL; n = n->next) {
        n->index = index++;
    }
    check_cycles(contract, CT_IMP);
    check_cycles(contract, CT_EXP);
    check_mixed(contract);
}

/* --- rules about the whole
 * ------------------------------------------------------------------------ */

static void spread_reached(struct ctc_contract *contract)
{
    bool changed = true;

    for (struct ctc__node *n = contract->nodes; n != NULL; n = n->next) {
        n->reached = !n->implicit && n->state->entered;
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
        if (s->node != NULL && !s->node->ends) {
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
            if (node->edges == NULL || node->mixed || node->sender != a->type.side) {
                ctc__error(contract->ctc, a->type.pos, "endpoint-state",
                           "the holder of '%s.%s' %s in state '%s', so a message could be under "
                           "way to the endpoint while it travels; expected a state in which the "
                           "%s sends next",
                           a->type.contract_name.text, a->type.side == CT_IMP ? "Imp" : "Exp",
                           node->edges == NULL ? "sends nothing"
                           : node->mixed       ? "may receive"
                                               : "receives",
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
        if (s->node != NULL && !s->node->reached) {
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
