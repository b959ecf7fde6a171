/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls of a holder: make, send, receive, close, ask.
 *
 * The way to a peer on this node is the one to keep short. One check of the monitor covers both
 * ends there, because the receiver's arrival_state equals the sender's state (fab_audit holds us
 * to that); the receiver steps its own state when it takes the message.
 */
#include <assert.h>

#include "cargo.h"
#include "endpoint.h"
#include "message.h"
#include "meter.h"
#include "queue.h"
#include "session.h"

sf_status fab_chan_create(struct fab_node *node, const struct ct_contract *contract, uint8_t state,
                          struct fab_ep **out_imp, struct fab_ep **out_exp)
{
    const struct fab__contract *known;
    struct fab_ep *imp;
    struct fab_ep *exp;
    sf_status st;

    st = fab__contract_use(node, contract, &known);
    if (st != SF_OK) {
        return st;
    }
    if (state >= known->table->state_count) {
        return SF_BADARG;
    }
    st = fab__ep_create(node, known, CT_IMP, state, fab__id_next(node), &imp);
    if (st != SF_OK) {
        return st;
    }
    st = fab__ep_create(node, known, CT_EXP, state, fab__id_next(node), &exp);
    if (st != SF_OK) {
        fab__ep_free(imp);
        return st;
    }
    fab__ep_join(imp, exp);
    *out_imp = imp;
    *out_exp = exp;
    return SF_OK;
}

/* --- sending -------------------------------------------------------------------------------- */

/* What is in the slot after the last of `out` is sent. */
static inline void away_done(struct fab_ep *ep, const struct fab_msg *msg, uint8_t next)
{
    ep->out.count++;
    fab__meter_sent(ep, msg, next);
    fab__schedule(ep);
    ep->state = ep->arrival_state = next;
    ep->sent++;
}

/* To a peer that is on another node, not told yet, or gone. */
static __attribute__((noinline)) sf_status send_away(struct fab_ep *ep, const struct fab_msg *msg,
                                                     uint64_t owner, uint8_t next)
{
    const struct fab_plan *plan = &ep->plans[msg->tag];
    struct fab_msg *slot;

    if (ep->place == FAB__GONE) {
        fab__msg_drop(ep->node, plan, msg, owner, ep->cause);
        ep->state = ep->arrival_state = next;
        ep->sent++;
        return SF_OK;
    }
    if (fab__queue_full(&ep->out)) {
        return SF_CONTRACT;
    }
    slot = fab__queue_at(&ep->out, ep->out.count);
    fab__msg_copy(slot, msg);
    fab__msg_give(plan, msg, owner, fab__ep_owner(ep), true);
    away_done(ep, msg, next);
    return SF_OK;
}

sf_status fab_ep_send(struct fab_ep *ep, const struct fab_msg *msg, uint64_t owner)
{
    uint8_t next = fab__ep_step(ep, ep->state, ep->side, msg->tag);
    struct fab_ep *peer = ep->peer;
    const struct fab_plan *plan;
    sf_status st;

    assert(ep->life == FAB__LIVE);
    assert(!ep->in_message);
    if (__builtin_expect(next == CT_ILLEGAL, 0)) {
        return SF_CONTRACT;
    }
    plan = &ep->plans[msg->tag];
    if (msg->arg_count != plan->arg_count) {
        return SF_CONTRACT;
    }
    st = fab__msg_check(ep, plan, msg, owner);
    if (__builtin_expect(st != SF_OK, 0)) {
        return st;
    }
    if (__builtin_expect(peer == NULL, 0)) {
        return send_away(ep, msg, owner, next);
    }
    if (__builtin_expect(fab__queue_full(&peer->in), 0)) {
        return SF_CONTRACT;
    }
    fab__msg_copy(fab__queue_at(&peer->in, peer->in.count), msg);
    fab__msg_give(plan, msg, owner, fab__ep_owner(peer), true);
    peer->in.count++;
    peer->arrival_state = next;
    ep->state = ep->arrival_state = next;
    ep->sent++;
    fab__ep_notify(peer);
    return SF_OK;
}

sf_status fab_ep_send_words(struct fab_ep *ep, uint8_t tag, const void *words)
{
    const struct fab_plan *plan = &ep->plans[tag];
    struct fab_msg *slot;
    uint8_t next;

    assert(ep->life == FAB__LIVE);
    assert(!ep->in_message);
    assert(tag < ep->message_count);
    assert((plan->blocks | plan->eps) == 0);
    if (__builtin_expect(ep->place != FAB__REMOTE || plan->narrow != 0, 0)) {
        struct fab_msg msg = {.tag = tag, .arg_count = plan->arg_count};

        fab_words_copy(msg.args, words, plan->arg_count);
        return fab_ep_send(ep, &msg, 0); /* which has no block to own */
    }
    next = fab__ep_step(ep, ep->state, ep->side, tag);
    if (__builtin_expect(next == CT_ILLEGAL || fab__queue_full(&ep->out), 0)) {
        return SF_CONTRACT;
    }
    slot = fab__queue_at(&ep->out, ep->out.count);
    slot->tag = tag;
    slot->arg_count = plan->arg_count;
    fab_words_copy(slot->args, words, plan->arg_count);
    away_done(ep, slot, next);
    return SF_OK;
}

/* Both ends step as if it had been sent and received. */
static inline void pass_step(struct fab_ep *ep, struct fab_ep *peer, uint8_t next)
{
    ep->state = ep->arrival_state = next;
    peer->state = peer->arrival_state = next;
    ep->sent++;
    peer->received++;
}

bool fab_ep_pass_simple(struct fab_ep *ep, uint8_t tag)
{
    uint8_t next = fab__ep_step(ep, ep->state, ep->side, tag);
    struct fab_ep *peer = ep->peer;

    assert(ep->life == FAB__LIVE);
    if (__builtin_expect(next == CT_ILLEGAL || peer == NULL || peer->in.count != 0, 0)) {
        return false;
    }
    pass_step(ep, peer, next);
    return true;
}

sf_status fab_ep_pass(struct fab_ep *ep, const struct fab_msg *msg, uint64_t owner,
                      uint64_t to_owner)
{
    uint8_t next = fab__ep_step(ep, ep->state, ep->side, msg->tag);
    struct fab_ep *peer = ep->peer;
    const struct fab_plan *plan;
    sf_status st;

    assert(ep->life == FAB__LIVE);
    if (__builtin_expect(next == CT_ILLEGAL, 0)) {
        return SF_CONTRACT;
    }
    plan = &ep->plans[msg->tag];
    if (msg->arg_count != plan->arg_count) {
        return SF_CONTRACT;
    }
    if (__builtin_expect(plan->eps != 0, 0)) {
        return SF_BADARG;
    }
    st = fab__msg_check(ep, plan, msg, owner);
    if (__builtin_expect(st != SF_OK, 0)) {
        return st;
    }
    if (__builtin_expect(peer == NULL || peer->in.count != 0, 0)) {
        return SF_AGAIN;
    }
    fab__msg_give(plan, msg, owner, to_owner, false);
    pass_step(ep, peer, next);
    return SF_OK;
}

/* --- receiving ------------------------------------------------------------------------------ */

static inline sf_status ep_recv(struct fab_ep *ep, struct fab_msg *out_msg, uint64_t owner,
                                bool plain)
{
    const struct fab_plan *plan;
    const struct fab_msg *msg;
    uint8_t next;

    assert(ep->life == FAB__LIVE);
    if (ep->in.count == 0) {
        return ep->cause.kind == SF_CAUSE_NONE ? SF_AGAIN : SF_CLOSED;
    }
    msg = fab__queue_at(&ep->in, 0);
    plan = &ep->plans[msg->tag];
    if (plain && __builtin_expect(plan->eps != 0, 0)) {
        return SF_UNSUPPORTED;
    }
    next = fab__ep_step(ep, ep->state, ct_other(ep->side), msg->tag);
    assert(next != CT_ILLEGAL);
    fab__msg_copy(out_msg, msg);
    fab__msg_give(plan, msg, fab__ep_owner(ep), owner, false);
    fab__queue_pop(&ep->in);
    ep->state = next;
    ep->received++;
    return SF_OK;
}

sf_status fab_ep_recv(struct fab_ep *ep, struct fab_msg *out_msg, uint64_t owner)
{
    return ep_recv(ep, out_msg, owner, false);
}

sf_status fab_ep_recv_plain(struct fab_ep *ep, struct fab_msg *out_msg, uint64_t owner)
{
    return ep_recv(ep, out_msg, owner, true);
}

bool fab_ep_readable(const struct fab_ep *ep)
{
    return ep->in.count != 0 || ep->cause.kind != SF_CAUSE_NONE;
}

struct fab_ep *fab_ep_local_peer(const struct fab_ep *ep)
{
    return ep->peer;
}

/* --- closing -------------------------------------------------------------------------------- */

void fab_ep_close(struct fab_ep *ep, struct sf_cause cause)
{
    assert(!ep->in_message);
    fab__ep_give_up(ep, cause);
}

void fab_msg_drop(struct fab_node *node, const struct ct_contract *contract, struct fab_msg *msg,
                  uint64_t owner, struct sf_cause cause)
{
    const struct fab__contract *known = fab__contract_by_short_id(node, contract->short_id);

    assert(known != NULL);
    assert(msg->tag < known->table->message_count);
    fab__msg_drop(node, &known->plans[msg->tag], msg, owner, cause);
    msg->arg_count = 0;
}

/* --- questions ------------------------------------------------------------------------------ */

void fab_ep_query(const struct fab_ep *ep, struct fab_ep_info *out_info)
{
    *out_info = (struct fab_ep_info){
        .id = ep->id,
        .peer_id = ep->peer_id,
        .peer_node = ep->peer_node,
        .side = ep->side,
        .contract = ep->contract->table,
        .state = ep->state,
        .queued = ep->in.count,
        .unsent = ep->out.count,
        .cause = ep->cause,
        .sent = ep->sent,
        .received = ep->received,
        .holder = ep->holder,
        .leaving = ep->cargo != NULL && !ep->cargo->imported,
        .arriving = ep->cargo != NULL && ep->cargo->imported,
    };
    if (ep->meter != NULL) {
        out_info->bytes_sent = ep->meter->bytes_sent;
        out_info->bytes_received = ep->meter->bytes_received;
        out_info->queued_high = ep->meter->in_high;
        out_info->unsent_high = ep->meter->out_high;
        out_info->latency = ep->meter->latency.count == 0 ? NULL : &ep->meter->latency;
    }
}

uint16_t fab_node_id(const struct fab_node *node)
{
    return node->node_id;
}

uint64_t fab_node_now(const struct fab_node *node)
{
    return node->now_ns;
}

struct sf_cause fab_ep_cause(const struct fab_ep *ep)
{
    return ep->cause;
}

uint8_t fab_ep_state(const struct fab_ep *ep)
{
    return ep->state;
}

const struct fab_plan *fab_ep_plans(const struct fab_ep *ep)
{
    return ep->plans;
}

const struct ct_contract *fab_ep_contract(const struct fab_ep *ep)
{
    return ep->contract->table;
}

void fab_ep_hold(struct fab_ep *ep, void *holder)
{
    ep->holder = holder;
}

void fab_ep_stream(struct fab_ep *ep)
{
    assert(ep->node->events.bytes != NULL);
    ep->streamed = true;
}

void *fab_ep_holder(const struct fab_ep *ep)
{
    return ep->holder;
}

const struct fab_ep *fab_ep_find(const struct fab_node *node, uint64_t id)
{
    const struct fab_ep *ep = fab__ep_first(node, id);

    const struct fab_ep *moving = NULL;

    for (; ep != NULL; ep = fab__ep_next(ep)) {
        if (ep->life == FAB__LIVE && ep->cargo == NULL) {
            return ep;
        }
        moving = ep->life == FAB__LIVE ? ep : moving;
    }
    return moving;
}

void fab_ep_walk(const struct fab_node *node, void (*visit)(void *arg, const struct fab_ep *ep),
                 void *arg)
{
    for (uint32_t i = 0; i < node->ep_used; i++) {
        if (node->eps[i].life == FAB__LIVE) {
            visit(arg, &node->eps[i]);
        }
    }
}
