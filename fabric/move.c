/* SPDX-License-Identifier: Apache-2.0 */
#include "move.h"

#include <assert.h>

#include "cargo.h"
#include "endpoint.h"
#include "message.h"
#include "meter.h"
#include "queue.h"
#include "session.h"

/* --- leaving -------------------------------------------------------------------------------- */

/* The peer is on this node, so it can be told on the spot. */
static void leave_local(struct fab_ep *ep, uint16_t target)
{
    struct fab_ep *peer = ep->peer;

    peer->peer = NULL;
    peer->place = FAB__REMOTE;
    peer->peer_node = target;
    ep->peer = NULL;
    ep->place = FAB__GONE;
    fab__ep_free(ep);
}

void fab__move_out(struct fab_ep *ep, uint16_t target, struct fab__wire_ep *out_wire)
{
    assert(ep->life == FAB__LIVE);
    assert(ep->in_message);
    assert(ep->in.count == 0);
    assert(ep->cargo == NULL);
    assert(ep->place != FAB__HELD);
    fab__hold_end(ep); /* its peer will be told where it is, and ask there */
    *out_wire = (struct fab__wire_ep){
        .id = ep->id,
        .peer_id = ep->peer_id,
        .contract_short_id = ep->contract->table->short_id,
        .peer_node = ep->peer_node,
        .side = ep->side,
        .state = ep->state,
        .attached = ep->place == FAB__LOCAL,
        .cause = ep->cause,
    };
    ep->in_message = false;
    switch (ep->place) {
    case FAB__LOCAL:
        leave_local(ep, target);
        break;
    case FAB__GONE:
        ep->life = FAB__CLOSING;
        if (ep->owes == 0) {
            fab__ep_free(ep);
        }
        break;
    default:
        ep->life = FAB__MOVED;
        ep->target_node = target;
        ep->owes |= FAB__OWES_MOVED;
        break;
    }
}

/* --- arriving ------------------------------------------------------------------------------- */

void fab__move_refuse(struct fab__session *session, const struct fab__wire_ep *wire,
                      struct sf_cause cause)
{
    if (wire->id == 0 || wire->cause.kind != SF_CAUSE_NONE) {
        return;
    }
    if (wire->attached) {
        fab__reply(session, FAB__RECORD_CLOSE, wire->peer_id, cause);
    } else {
        fab__reply(session, FAB__RECORD_ARRIVED, wire->id, cause);
    }
}

/* Only what is left of an earlier stay may have the same id; or is about to leave with its SIP,
 * which may have committed, and sent it back, before this node has heard of that. */
bool fab__id_taken(const struct fab_node *node, uint64_t id)
{
    for (const struct fab_ep *ep = fab__ep_first(node, id); ep != NULL; ep = fab__ep_next(ep)) {
        bool leaves = ep->cargo != NULL && fab__cargo_leaves(ep->cargo);
        if (ep->life != FAB__MOVED && !(ep->life == FAB__CLOSING && ep->place == FAB__GONE) &&
            !leaves) {
            return true;
        }
    }
    return false;
}

static void place_arrived(struct fab__session *session, struct fab_ep *ep,
                          const struct fab__wire_ep *wire)
{
    const struct fab_node *node = session->node;
    struct sf_cause cause = {0};

    ep->peer_id = wire->peer_id;
    ep->peer_node = wire->peer_node;
    if (wire->cause.kind != SF_CAUSE_NONE) {
        ep->cause = wire->cause;
        return;
    }
    if (wire->attached) {
        ep->place = FAB__REMOTE;
        return;
    }
    if (wire->peer_node != node->node_id && node->sessions[wire->peer_node] == NULL) {
        cause = SF_CAUSE_OF(NODE_LOST);
        ep->cause = cause;
    } else {
        ep->place = FAB__PENDING;
        ep->via_node = session->peer_id;
        ep->unannounced = wire->peer_node != node->node_id && !node->sessions[wire->peer_node]->met;
    }
    if (!ep->unannounced) {
        fab__reply(session, FAB__RECORD_ARRIVED, ep->id, cause);
    }
}

void fab__moves_announce(struct fab_node *node, uint16_t peer_id)
{
    for (uint32_t i = 0; i < node->ep_used; i++) {
        struct fab_ep *ep = &node->eps[i];
        if (ep->unannounced && ep->place == FAB__PENDING && ep->peer_node == peer_id) {
            ep->unannounced = false;
            fab__reply(node->sessions[ep->via_node], FAB__RECORD_ARRIVED, ep->id,
                       (struct sf_cause){0});
        }
    }
}

void fab__move_unannounced_lost(struct fab_ep *ep, struct sf_cause cause)
{
    struct fab__session *via = ep->node->sessions[ep->via_node];

    if (ep->unannounced && via != NULL) {
        fab__reply(via, FAB__RECORD_ARRIVED, ep->id, cause);
    }
    ep->unannounced = false;
}

sf_status fab__move_in(struct fab__session *session, const struct fab__wire_ep *wire,
                       struct fab_ep **out_ep)
{
    struct fab_node *node = session->node;
    const struct fab__contract *contract = fab__contract_by_short_id(node, wire->contract_short_id);
    struct fab_ep *ep;
    sf_status st;

    assert(contract != NULL);
    if (fab__id_taken(node, wire->id) || (wire->attached && (wire->peer_node != session->peer_id ||
                                                             wire->cause.kind != SF_CAUSE_NONE))) {
        return SF_FORMAT;
    }
    st = fab__ep_create(node, contract, (enum ct_side)wire->side, wire->state, wire->id, &ep);
    if (st != SF_OK) {
        fab__move_refuse(session, wire, SF_CAUSE_OF(QUOTA));
        return st;
    }
    ep->in_message = true;
    place_arrived(session, ep, wire);
    *out_ep = ep;
    return SF_OK;
}

/* --- tombstones ----------------------------------------------------------------------------- */

void fab__moved_refused(struct fab_ep *ep, struct sf_cause cause)
{
    assert(ep->life == FAB__MOVED);
    assert(!ep->told);
    if (ep->place == FAB__LOCAL) {
        fab__local_peer_close(ep, cause);
        fab__ep_free(ep);
        return;
    }
    ep->life = FAB__CLOSING;
    ep->owes &= (uint8_t)~FAB__OWES_MOVED;
    ep->owes |= FAB__OWES_CLOSE;
    ep->tell_cause = cause;
    fab__schedule(ep);
}

/* The tombstone's peer is on this node: it sends to the endpoint's new place from now on. */
static void moved_from_local(struct fab_ep *moved)
{
    struct fab_ep *peer = moved->peer;

    leave_local(moved, moved->target_node);
    peer->owes |= FAB__OWES_HERE;
    fab__schedule(peer);
}

void fab__on_arrived(struct fab__session *session, uint64_t id, struct sf_cause cause)
{
    struct fab_ep *ep = fab__ep_first(session->node, id);

    while (ep != NULL && (ep->life != FAB__MOVED || ep->target_node != session->peer_id ||
                          ep->arrived || ep->place == FAB__GONE)) {
        ep = fab__ep_next(ep);
    }
    if (ep == NULL) {
        return; /* its channel closed in the meantime */
    }
    if (cause.kind != SF_CAUSE_NONE) {
        fab__moved_refused(ep, cause);
        return;
    }
    ep->arrived = true;
    if (ep->place == FAB__LOCAL) {
        moved_from_local(ep);
    } else {
        fab__schedule(ep);
    }
}

void fab__on_moved_ack(struct fab__session *session, uint64_t id)
{
    struct fab_ep *ep = fab__ep_first(session->node, id);

    while (ep != NULL && (ep->life != FAB__MOVED || !ep->told || ep->place != FAB__REMOTE ||
                          ep->peer_node != session->peer_id)) {
        ep = fab__ep_next(ep);
    }
    if (ep != NULL) {
        fab__ep_free(ep);
    }
}

/* --- the peer's side ------------------------------------------------------------------------ */

/* Hands over what the newcomer `from` had queued. False: it does not fit the contract. */
static bool join_flush(struct fab_ep *from, struct fab_ep *to)
{
    while (from->out.count > 0) {
        const struct fab_msg *msg = fab__queue_at(&from->out, 0);
        uint8_t next =
            ct_step(from->contract->table, to->arrival_state, (enum ct_side)from->side, msg->tag);
        if (next == CT_ILLEGAL || fab__queue_full(&to->in)) {
            return false;
        }
        *fab__queue_at(&to->in, to->in.count) = *msg;
        fab__msg_give(&from->plans[msg->tag], msg, fab__ep_owner(from), fab__ep_owner(to), true);
        to->in.count++;
        to->arrival_state = next;
        fab__queue_pop(&from->out);
        fab__ep_notify(to);
    }
    return from->arrival_state == to->arrival_state && from->contract == to->contract &&
           from->side != to->side;
}

/* The endpoint `from` came to the node of its peer `to`, and its old node says so. */
void fab__move_join(struct fab_ep *from, struct fab_ep *to)
{
    if (to->life == FAB__CLOSING) {
        struct sf_cause cause = to->tell_cause;
        fab__ep_free(to);
        fab__ep_lose(from, cause);
        return;
    }
    if (!join_flush(from, to)) {
        /* The old node lied about the endpoint's state. */
        struct sf_cause cause = SF_CAUSE_OF(CONTRACT_VIOLATED);
        cause.state = to->arrival_state;
        fab__ep_lose(from, cause);
        fab__ep_lose(to, cause);
        return;
    }
    switch (from->life) {
    case FAB__CLOSING:
        fab__ep_lose(to, from->tell_cause);
        fab__ep_free(from);
        break;
    case FAB__MOVED:
        fab__ep_join(from, to);
        if (from->arrived) {
            moved_from_local(from);
        }
        break;
    default:
        fab__ep_join(from, to);
        break;
    }
}

static struct fab_ep *pending_find(const struct fab_node *node, uint64_t id, uint64_t peer_id,
                                   uint16_t peer_node)
{
    struct fab_ep *ep = fab__ep_first(node, id);

    while (ep != NULL &&
           (ep->place != FAB__PENDING || ep->peer_id != peer_id || ep->peer_node != peer_node)) {
        ep = fab__ep_next(ep);
    }
    return ep;
}

static void peer_moved_here(struct fab_ep *ep)
{
    struct fab_ep *newcomer = pending_find(ep->node, ep->peer_id, ep->id, ep->node->node_id);

    if (newcomer == NULL) {
        /* It came and lost its way meanwhile. */
        fab__ep_lose(ep, SF_CAUSE_OF(NODE_LOST));
        return;
    }
    fab__move_join(newcomer, ep);
}

/* Its tombstone tells the endpoint. */
static void peer_moved_out_of_reach(struct fab__session *session, struct fab_ep *ep)
{
    struct sf_cause cause = ep->life == FAB__CLOSING ? ep->tell_cause : SF_CAUSE_OF(NODE_LOST);

    fab__reply(session, FAB__RECORD_CLOSE, ep->peer_id, cause);
    fab__ep_lose(ep, cause);
}

/* The record that the peer on session's node talks to; *out_other: there is one it may not. */
static struct fab_ep *remote_find(const struct fab__session *session, uint64_t id, bool *out_other)
{
    struct fab_ep *ep = fab__ep_first(session->node, id);

    *out_other = false;
    while (ep != NULL && (ep->place != FAB__REMOTE || ep->life == FAB__MOVED ||
                          ep->peer_node != session->peer_id)) {
        *out_other = *out_other || ep->place != FAB__GONE;
        ep = fab__ep_next(ep);
    }
    return ep;
}

bool fab__on_peer_moved(struct fab__session *session, uint64_t target, uint64_t moved_id,
                        uint16_t moved_node)
{
    struct fab_node *node = session->node;
    bool other;
    struct fab_ep *ep = remote_find(session, target, &other);

    if (moved_node == 0 || moved_node >= FAB_NODES_MAX || moved_node == session->peer_id) {
        return false;
    }
    if (ep == NULL) {
        return !other; /* closed: a CLOSE is on its way to the tombstone */
    }
    if (ep->peer_id != moved_id || ep->assembling || ep->out.count != 0 ||
        (ep->owes & (uint8_t) ~(FAB__OWES_CLOSE | FAB__OWES_HOLD)) != 0) {
        return false; /* an endpoint that still has to receive cannot move */
    }
    if (moved_node != node->node_id && node->sessions[moved_node] == NULL) {
        peer_moved_out_of_reach(session, ep);
        return true;
    }
    fab__cargo_ask_again(ep);
    fab__reply(session, FAB__RECORD_MOVED_ACK, moved_id, (struct sf_cause){0});
    if (moved_node == node->node_id) {
        peer_moved_here(ep);
        return true;
    }
    fab__unschedule(ep);
    fab__meter_note(ep, FAB_EP_MOVED, 0);
    ep->peer_node = moved_node;
    ep->owes |= FAB__OWES_HERE;
    fab__schedule(ep);
    return true;
}

bool fab__on_peer_here(struct fab__session *session, uint64_t target, uint64_t peer_id)
{
    struct sf_cause cause = SF_CAUSE_OF(NODE_LOST);
    struct fab_ep *ep = pending_find(session->node, target, peer_id, session->peer_id);
    bool other;

    if (ep != NULL) {
        ep->place = FAB__REMOTE;
        ep->via_node = 0;
        fab__schedule(ep);
        return true;
    }
    if (remote_find(session, target, &other) != NULL) {
        return false;
    }
    /* It lost its way meanwhile. */
    ep = fab__ep_first(session->node, target);
    if (ep != NULL && ep->cause.kind != SF_CAUSE_NONE) {
        cause = ep->cause;
    }
    fab__reply(session, FAB__RECORD_CLOSE, peer_id, cause);
    return true;
}
