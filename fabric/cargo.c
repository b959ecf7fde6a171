/* SPDX-License-Identifier: Apache-2.0 */
#include "cargo.h"

#include <assert.h>
#include <stdlib.h>

#include "endpoint.h"
#include "move.h"
#include "queue.h"
#include "session.h"

/* --- what is in it -------------------------------------------------------------------------- */

sf_status fab__cargo_create(struct fab_node *node, uint64_t move, uint16_t target,
                            struct fab_cargo **out_cargo)
{
    struct fab_cargo *cargo = calloc(1, sizeof(*cargo));

    if (cargo == NULL) {
        return SF_NOMEM;
    }
    *cargo = (struct fab_cargo){
        .node = node, .next = node->cargos, .move = move, .target = target, .changed = true};
    node->cargos = cargo;
    *out_cargo = cargo;
    return SF_OK;
}

void fab__cargo_free(struct fab_cargo *cargo)
{
    struct fab_cargo **link = &cargo->node->cargos;

    while (*link != cargo) {
        link = &(*link)->next;
    }
    *link = cargo->next;
    free(cargo->eps);
    free(cargo);
}

void fab__cargos_fini(struct fab_node *node)
{
    while (node->cargos != NULL) {
        for (uint32_t i = 0; i < node->cargos->ep_count; i++) {
            node->cargos->eps[i]->cargo = NULL;
        }
        fab__cargo_free(node->cargos);
    }
}

sf_status fab__cargo_push(struct fab_cargo *cargo, struct fab_ep *ep)
{
    if (cargo->ep_count == cargo->ep_capacity) {
        uint32_t capacity = cargo->ep_capacity == 0 ? 8 : cargo->ep_capacity * 2;
        struct fab_ep **eps;

        if (capacity > FAB_CARGO_EPS_MAX) {
            return SF_LIMIT;
        }
        eps = realloc(cargo->eps, capacity * sizeof(struct fab_ep *));
        if (eps == NULL) {
            return SF_NOMEM;
        }
        cargo->eps = eps;
        cargo->ep_capacity = capacity;
    }
    cargo->eps[cargo->ep_count++] = ep;
    cargo->changed = true;
    if (cargo->state == FAB_CARGO_HELD) {
        cargo->state = FAB_CARGO_HOLDING;
    }
    ep->cargo = cargo;
    ep->aboard = FAB__ABOARD_NEW;
    ep->awaited = false;
    return SF_OK;
}

uint32_t fab_cargo_count(const struct fab_cargo *cargo)
{
    return cargo->ep_count;
}

struct fab_ep *fab_cargo_at(const struct fab_cargo *cargo, uint32_t index)
{
    assert(index < cargo->ep_count);
    return cargo->eps[index];
}

struct fab_ep *fab_cargo_find(const struct fab_cargo *cargo, uint64_t id)
{
    struct fab_ep *ep = fab__ep_first(cargo->node, id);

    while (ep != NULL && ep->cargo != cargo) {
        ep = fab__ep_next(ep);
    }
    return ep;
}

uint32_t fab_cargo_witnesses(const struct fab_cargo *cargo, uint16_t nodes[FAB_NODES_MAX])
{
    uint32_t count = 0;

    for (uint16_t id = 1; id < FAB_NODES_MAX; id++) {
        if (cargo->asked[id / 64] >> id % 64 & 1u) {
            nodes[count++] = id;
        }
    }
    return count;
}

/* --- getting it together -------------------------------------------------------------------- */

sf_status fab_cargo_begin(struct fab_node *node, uint64_t move, uint16_t target,
                          struct fab_cargo **out_cargo)
{
    if (fab_move_source(move) != node->node_id || fab_move_epoch(move) != node->epoch ||
        (move & FAB_MOVE_NUMBER_MAX) == 0 || target == 0 || target >= FAB_NODES_MAX ||
        target == node->node_id) {
        return SF_BADARG;
    }
    return fab__cargo_create(node, move, target, out_cargo);
}

/* One of the ends was held on this node while the other was on its way: they are together again. */
static void join_held(struct fab_ep *held, struct fab_ep *apart)
{
    struct fab_node *node = held->node;
    bool held_up = held->in_message;

    fab__hold_end(held);
    held->place = FAB__GONE;
    apart->place = FAB__GONE;
    fab__move_join(held, apart);
    if (held_up) {
        fab__schedule_all(node);
    }
}

/* It was held for this very move before it turned out that it moves along. */
static void pair_again(struct fab_ep *ep)
{
    struct fab_ep *peer = fab__ep_first(ep->node, ep->peer_id);

    while (peer->place != FAB__APART) {
        peer = fab__ep_next(peer);
    }
    peer->aboard = FAB__ABOARD_NEW;
    join_held(ep, peer);
}

/* AGAIN: it is held for another move. */
static sf_status board(struct fab_cargo *cargo, struct fab_ep *ep)
{
    bool along = ep->hold != NULL && ep->hold->move == cargo->move && ep->place == FAB__HELD;
    sf_status st;

    if (ep->hold != NULL && !along) {
        return SF_AGAIN;
    }
    st = fab__cargo_push(cargo, ep);
    if (st == SF_OK && along) {
        pair_again(ep);
    }
    return st;
}

sf_status fab_cargo_add(struct fab_cargo *cargo, struct fab_ep *ep)
{
    assert(!cargo->imported);
    if (ep->life != FAB__LIVE || ep->in_message) {
        return SF_BADARG;
    }
    return ep->cargo != NULL ? SF_EXISTS : board(cargo, ep);
}

static void fail(struct fab_cargo *cargo, enum fab_cargo_state state)
{
    if (cargo->state < FAB_CARGO_CLASH) {
        cargo->state = state;
    }
}

/* Nothing comes to it any more: what waits in it moves along. */
static void settle(struct fab_ep *ep)
{
    ep->aboard = FAB__ABOARD_SETTLED;
    for (uint32_t m = 0; m < ep->in.count; m++) {
        const struct fab_msg *msg = fab__queue_at(&ep->in, m);
        for (uint32_t left = ep->plans[msg->tag].eps; left != 0; left &= left - 1) {
            struct fab_ep *arg = msg->args[__builtin_ctz(left)].ep;
            sf_status st;

            if (arg == NULL || arg->cargo != NULL) {
                continue;
            }
            st = board(ep->cargo, arg);
            if (st != SF_OK) {
                fail(ep->cargo, st == SF_AGAIN ? FAB_CARGO_CLASH : FAB_CARGO_LIMIT);
            }
        }
    }
}

static void asked(struct fab_cargo *cargo, uint16_t id)
{
    cargo->asked[id / 64] |= 1ull << id % 64;
}

static bool is_in_out(const struct fab_ep *carrier, const struct fab_ep *ep)
{
    for (uint32_t m = 0; m < carrier->out.count; m++) {
        const struct fab_msg *msg = fab__queue_at(&carrier->out, m);
        for (uint32_t left = carrier->plans[msg->tag].eps; left != 0; left &= left - 1) {
            if (msg->args[__builtin_ctz(left)].ep == ep) {
                return true;
            }
        }
    }
    return false;
}

/*
 * It is in a message that an endpoint of the cargo is about to send. That goes before the HOLD of
 * that endpoint, and would not go if it had something held in it.
 */
static bool is_leaving(const struct fab_cargo *cargo, const struct fab_ep *ep)
{
    bool leaving = false;

    for (uint32_t i = 0; i < cargo->ep_count && !leaving && ep->in_message; i++) {
        leaving = cargo->eps[i]->place == FAB__REMOTE && is_in_out(cargo->eps[i], ep);
    }
    return leaving;
}

/* The peer is on this node. */
static void ask_local(struct fab_cargo *cargo, struct fab_ep *ep)
{
    struct fab_ep *peer = ep->peer;

    if (peer->life != FAB__LIVE || is_leaving(cargo, peer)) {
        return; /* it will be remote soon */
    }
    if (peer->cargo == cargo) {
        settle(ep);
        return;
    }
    if (!fab__hold_local(peer, cargo->move, cargo->target)) {
        fail(cargo, FAB_CARGO_LIMIT);
        return;
    }
    asked(cargo, ep->node->node_id);
    ep->peer = NULL;
    ep->peer_node = ep->node->node_id;
    ep->place = FAB__APART;
    settle(ep);
}

static void advance(struct fab_cargo *cargo, struct fab_ep *ep)
{
    if (ep->aboard == FAB__ABOARD_SETTLED) {
        return;
    }
    switch (ep->place) {
    case FAB__GONE:
        settle(ep);
        break;
    case FAB__LOCAL:
        ask_local(cargo, ep);
        break;
    case FAB__REMOTE:
        if (ep->aboard == FAB__ABOARD_NEW) {
            ep->aboard = FAB__ABOARD_ASKED;
            ep->owes |= FAB__OWES_HOLD;
            asked(cargo, ep->peer_node);
            fab__schedule(ep);
        }
        break;
    default:
        break; /* PENDING: its peer will hear of it first */
    }
}

enum fab_cargo_state fab_cargo_check(struct fab_cargo *cargo)
{
    bool all = false;

    assert(!cargo->imported);
    while (cargo->state == FAB_CARGO_HOLDING && cargo->changed) {
        cargo->changed = false;
        all = true;
        for (uint32_t i = 0; i < cargo->ep_count && cargo->state == FAB_CARGO_HOLDING; i++) {
            advance(cargo, cargo->eps[i]);
        }
        for (uint32_t i = 0; i < cargo->ep_count; i++) {
            all = all && cargo->eps[i]->aboard == FAB__ABOARD_SETTLED;
        }
    }
    if (cargo->state == FAB_CARGO_HOLDING) {
        cargo->changed = true; /* look again next time */
        if (all) {
            cargo->state =
                fab_cargo_bytes(cargo) <= FAB_CARGO_BYTES_MAX ? FAB_CARGO_HELD : FAB_CARGO_LIMIT;
        }
    }
    return cargo->state;
}

void fab__cargo_ask_again(struct fab_ep *ep)
{
    if (ep->cargo != NULL) {
        ep->owes &= (uint8_t)~FAB__OWES_HOLD;
        ep->aboard = FAB__ABOARD_NEW;
        fab__unschedule(ep);
    }
}

bool fab__on_held(struct fab__session *session, const struct fab__move_record *record)
{
    struct fab_ep *ep = fab__ep_first(session->node, record->target);

    while (ep != NULL && (ep->place != FAB__REMOTE || ep->peer_node != session->peer_id ||
                          ep->cargo == NULL || ep->cargo->move != record->move ||
                          ep->aboard != FAB__ABOARD_ASKED || ep->peer_id != record->peer)) {
        ep = fab__ep_next(ep);
    }
    if (record->status > FAB__HELD_LIMIT) {
        return false;
    }
    if (ep == NULL) {
        return true; /* it has been returned meanwhile */
    }
    if ((ep->owes & FAB__OWES_HOLD) != 0 || ep->assembling) {
        return false; /* nobody has asked; or a message is not whole */
    }
    if (record->status != FAB__HELD_OK) {
        fail(ep->cargo, record->status == FAB__HELD_NO_WAY ? FAB_CARGO_NO_WAY : FAB_CARGO_LIMIT);
        return true;
    }
    if (ep->hold != NULL) {
        return true; /* it has given way */
    }
    fab__unschedule(ep);
    ep->place = FAB__APART;
    settle(ep);
    return true;
}

/* --- the end at the source ------------------------------------------------------------------ */

static void tell(struct fab_cargo *cargo, enum fab__record_type type, const struct fab_ep *ep)
{
    struct fab__session *session = cargo->node->sessions[ep->peer_node];

    if (session != NULL) {
        fab__reply_move(session, type, ep->peer_id, ep->id, cargo->move, 0);
    }
}

static void over(struct fab_cargo *cargo)
{
    struct fab_node *node = cargo->node;

    for (uint16_t id = 1; id < FAB_NODES_MAX; id++) {
        if ((cargo->asked[id / 64] >> id % 64 & 1u) == 0) {
            continue;
        }
        if (id == node->node_id) {
            fab__witness_end(node, cargo->move);
        } else if (node->sessions[id] != NULL) {
            fab__reply_move(node->sessions[id], FAB__RECORD_MOVE_OVER, 0, 0, cargo->move, 0);
        }
    }
    fab__cargo_free(cargo);
}

static void join_again(struct fab_ep *ep, uint64_t move)
{
    struct fab_ep *peer = fab__held_find(ep->node, ep->peer_id, ep->id, move);

    if (peer == NULL) {
        /* The target has said that it came there. */
        ep->place = FAB__GONE;
        fab__ep_lose(ep, SF_CAUSE_OF(NODE_LOST));
        return;
    }
    join_held(peer, ep);
}

/* It has come back already by another way: a target lies, or nobody would be returned. */
static bool is_double(const struct fab_ep *ep)
{
    for (const struct fab_ep *at = fab__ep_first(ep->node, ep->id); at != NULL;
         at = fab__ep_next(at)) {
        if (at != ep && at->life == FAB__LIVE) {
            return true;
        }
    }
    return false;
}

static void ep_return(struct fab_cargo *cargo, struct fab_ep *ep)
{
    bool was_asked = ep->aboard != FAB__ABOARD_NEW && (ep->owes & FAB__OWES_HOLD) == 0;

    ep->cargo = NULL;
    ep->owes &= (uint8_t)~FAB__OWES_HOLD;
    if (ep->place == FAB__APART && is_double(ep)) {
        ep->place = FAB__GONE;
        fab__ep_lose(ep, SF_CAUSE_OF(NODE_LOST));
        return;
    }
    switch (ep->place) {
    case FAB__APART:
        if (ep->peer_node == ep->node->node_id) {
            join_again(ep, cargo->move);
            return;
        }
        ep->place = FAB__REMOTE;
        tell(cargo, FAB__RECORD_UNHOLD, ep);
        fab__schedule(ep);
        break;
    case FAB__HELD: /* it has given way; but the other may have given up before our HOLD came */
    case FAB__REMOTE:
        if (was_asked) {
            tell(cargo, FAB__RECORD_UNHOLD, ep);
        }
        if (fab__work_session(ep) == NULL) {
            fab__unschedule(ep);
        }
        break;
    default:
        break;
    }
}

void fab_cargo_return(struct fab_cargo *cargo)
{
    assert(!cargo->imported);
    for (uint32_t i = 0; i < cargo->ep_count; i++) {
        ep_return(cargo, cargo->eps[i]);
    }
    over(cargo);
}

/* Blocks only: endpoints in messages are part of the cargo. */
static void queue_forget(struct fab_ep *ep)
{
    while (ep->in.count > 0) {
        const struct fab_msg *msg = fab__queue_at(&ep->in, 0);
        for (uint32_t left = ep->plans[msg->tag].blocks; left != 0; left &= left - 1) {
            (void)xh_free(ep->node->heap, msg->args[__builtin_ctz(left)].block, fab__ep_owner(ep));
        }
        fab__queue_pop(&ep->in);
    }
}

void fab__cargo_forget(struct fab_ep *ep)
{
    assert(ep->out.count == 0);
    queue_forget(ep);
    ep->cargo = NULL;
    ep->in_message = false;
    if (ep->place == FAB__LOCAL) {
        ep->peer->peer = NULL;
        ep->peer->place = FAB__GONE;
        ep->peer = NULL;
    }
    ep->place = FAB__GONE;
    ep->arrival_state = ep->state;
    if ((ep->owes & FAB__OWES_CLOSE) != 0) {
        ep->life = FAB__CLOSING; /* it was closed here, and its peer is still to hear of it */
        ep->holder = NULL;
        return;
    }
    fab__ep_free(ep);
}

void fab_cargo_release(struct fab_cargo *cargo)
{
    struct fab_node *node = cargo->node;

    assert(cargo->state == FAB_CARGO_HELD);
    for (uint32_t i = 0; i < cargo->ep_count; i++) {
        struct fab_ep *ep = cargo->eps[i];
        bool apart = ep->place == FAB__APART;

        if (apart && ep->peer_node == node->node_id) {
            struct fab_ep *peer = fab__held_find(node, ep->peer_id, ep->id, cargo->move);
            if (peer != NULL) {
                fab__held_source_gone(peer);
            }
        } else if (apart) {
            tell(cargo, FAB__RECORD_RELEASED, ep);
        }
        fab__cargo_forget(ep);
    }
    over(cargo);
}

/* --- the end at the target ------------------------------------------------------------------ */

static void arrive_local(struct fab_cargo *cargo, struct fab_ep *ep)
{
    struct fab_ep *peer = fab__held_find(cargo->node, ep->peer_id, ep->id, cargo->move);

    if (peer == NULL) {
        ep->place = FAB__GONE;
        fab__ep_lose(ep, SF_CAUSE_OF(NODE_LOST));
        return;
    }
    fab__witness_use(cargo->node, cargo->move)->seen = true;
    join_held(peer, ep);
}

static void arrive(struct fab_cargo *cargo, struct fab_ep *ep)
{
    ep->cargo = NULL;
    if (ep->place != FAB__APART) {
        return; /* its channel is closed, or both its ends have come */
    }
    if (ep->peer_node == cargo->node->node_id) {
        arrive_local(cargo, ep);
    } else if (cargo->node->sessions[ep->peer_node] == NULL) {
        fab__ep_lose(ep, SF_CAUSE_OF(NODE_LOST));
    } else {
        ep->place = FAB__REMOTE;
        ep->came_by = cargo->move;
        ep->owes |= FAB__OWES_NOW_HERE;
        fab__schedule(ep);
    }
}

void fab_cargo_resume(struct fab_cargo *cargo)
{
    assert(cargo->imported);
    for (uint32_t i = 0; i < cargo->ep_count; i++) {
        arrive(cargo, cargo->eps[i]);
    }
    fab__cargo_free(cargo);
}

static void drop(struct fab_cargo *cargo, struct fab_ep *ep)
{
    struct fab_ep *peer;

    if (ep->place == FAB__APART && ep->awaited) {
        if (ep->peer_node == cargo->node->node_id) {
            peer = fab__held_find(cargo->node, ep->peer_id, ep->id, cargo->move);
            if (peer != NULL) {
                fab__ep_lose(peer, SF_CAUSE_OF(NODE_LOST));
            }
        } else {
            tell(cargo, FAB__RECORD_DROPPED, ep);
        }
    }
    fab__cargo_forget(ep);
}

void fab_cargo_drop(struct fab_cargo *cargo)
{
    assert(cargo->imported);
    for (uint32_t i = 0; i < cargo->ep_count; i++) {
        drop(cargo, cargo->eps[i]);
    }
    fab__cargo_free(cargo);
}
