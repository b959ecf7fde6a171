/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Endpoints that stay where they are while the SIP at the other end moves.
 *
 * Everything here comes from other nodes. A record about an endpoint that is not here, or is the
 * sender's peer no longer, is no error: it was closed, or sent away, while the record was on its
 * way.
 */
#include <assert.h>
#include <stdlib.h>

#include "cargo.h"
#include "endpoint.h"
#include "meter.h"
#include "move.h"
#include "plant.h"
#include "queue.h"
#include "session.h"

/* --- what has been seen --------------------------------------------------------------------- */

struct fab__witness *fab__witness_find(struct fab_node *node, uint64_t move)
{
    for (uint32_t i = 0; i < FAB_MOVES_SEEN_MAX; i++) {
        if (node->witnesses[i].move == move) {
            return &node->witnesses[i];
        }
    }
    return NULL;
}

struct fab__witness *fab__witness_use(struct fab_node *node, uint64_t move)
{
    struct fab__witness *witness = fab__witness_find(node, move);

    if (witness == NULL) {
        witness = &node->witnesses[node->witness_next++ % FAB_MOVES_SEEN_MAX];
        *witness = (struct fab__witness){.move = move};
    }
    return witness;
}

void fab__witness_end(struct fab_node *node, uint64_t move)
{
    struct fab__witness *witness = fab__witness_find(node, move);

    if (witness != NULL) {
        *witness = (struct fab__witness){0};
    }
}

bool fab_move_seen(struct fab_node *node, uint64_t move)
{
    struct fab__witness *witness = fab__witness_use(node, move);

    witness->refused = !witness->seen;
    return witness->seen;
}

bool fab__on_move_over(struct fab__session *session, uint64_t move)
{
    if (fab_move_source(move) != session->peer_id) {
        return false;
    }
    fab__witness_end(session->node, move);
    return true;
}

/* --- begin and end of a hold ---------------------------------------------------------------- */

static bool hold_make(struct fab_ep *ep, uint64_t move, uint16_t target)
{
    assert(ep->hold == NULL);
    ep->hold = malloc(sizeof(*ep->hold));
    if (ep->hold == NULL) {
        return false;
    }
    *ep->hold = (struct fab__hold){.move = move, .target = target};
    if (ep->cargo != NULL) {
        ep->cargo->state = FAB_CARGO_CLASH;
        ep->owes &= (uint8_t)~FAB__OWES_HOLD;
    }
    return true;
}

static void place_held(struct fab_ep *ep)
{
    ep->place = FAB__HELD;
    ep->node->held_count++;
    if (ep->in_message) {
        fab__schedule_all(ep->node);
    }
}

bool fab__hold_local(struct fab_ep *ep, uint64_t move, uint16_t target)
{
    assert(ep->place == FAB__LOCAL);
    assert(ep->life == FAB__LIVE);
    if (!hold_make(ep, move, target)) {
        return false;
    }
    (void)fab__witness_use(ep->node, move);
    ep->peer = NULL;
    ep->peer_node = ep->node->node_id;
    place_held(ep);
    return true;
}

void fab__held_now(struct fab_ep *ep)
{
    ep->owes &= (uint8_t)~FAB__OWES_HELD;
    place_held(ep);
}

void fab__hold_end(struct fab_ep *ep)
{
    if (ep->hold == NULL) {
        return;
    }
    free(ep->hold);
    ep->hold = NULL;
    ep->owes &= (uint8_t)~FAB__OWES_HELD;
    if (ep->place == FAB__HELD) {
        ep->node->held_count--;
    } else if (fab__work_session(ep) == NULL) {
        fab__unschedule(ep);
    }
}

bool fab__held_in_head(const struct fab_ep *ep)
{
    const struct fab_plan *plan;
    const struct fab_msg *msg;

    if (ep->out.count == 0 || ep->sending) {
        return false;
    }
    msg = fab__queue_at(&ep->out, 0);
    plan = &ep->plans[msg->tag];
    for (uint32_t left = plan->eps; left != 0; left &= left - 1) {
        const struct fab_ep *arg = msg->args[__builtin_ctz(left)].ep;
        if (arg != NULL && arg->place == FAB__HELD) {
            return true;
        }
    }
    return false;
}

/* The hold is over, and what it kept goes to node `to`. */
static void go_on(struct fab_ep *ep, uint16_t to)
{
    bool held = ep->place == FAB__HELD;

    fab__hold_end(ep);
    ep->place = FAB__REMOTE;
    ep->peer_node = to;
    if (held && ep->in_message) {
        fab__schedule_all(ep->node);
    }
    fab__schedule(ep);
}

/* --- asking --------------------------------------------------------------------------------- */

/* The record that session's node asks to hold, or NULL. */
static struct fab_ep *peer_find(const struct fab__session *session,
                                const struct fab__move_record *record)
{
    struct fab_ep *ep = fab__ep_first(session->node, record->target);

    while (ep != NULL && (ep->life != FAB__LIVE || ep->place != FAB__REMOTE ||
                          ep->peer_node != session->peer_id || ep->peer_id != record->peer)) {
        ep = fab__ep_next(ep);
    }
    return ep;
}

bool fab__on_hold(struct fab__session *session, const struct fab__move_record *record)
{
    struct fab_node *node = session->node;
    struct fab_ep *ep = peer_find(session, record);

    if (fab_move_source(record->move) != session->peer_id || record->node == 0 ||
        record->node >= FAB_NODES_MAX || record->node == session->peer_id) {
        return false;
    }
    if (ep == NULL) {
        return true; /* CLOSE or PEER_MOVED is on its way */
    }
    if (ep->hold != NULL) {
        return false; /* asked twice */
    }
    if (ep->cargo != NULL && ep->cargo->move < record->move) {
        return true; /* ours comes first, and they see our HOLD */
    }
    if (record->node != node->node_id && node->sessions[record->node] == NULL) {
        fab__reply_move(session, FAB__RECORD_HELD, record->peer, ep->id, record->move,
                        FAB__HELD_NO_WAY);
        return true;
    }
    if (!hold_make(ep, record->move, record->node)) {
        fab__reply_move(session, FAB__RECORD_HELD, record->peer, ep->id, record->move,
                        FAB__HELD_LIMIT);
        return true;
    }
    (void)fab__witness_use(node, record->move);
    ep->owes |= FAB__OWES_HELD;
    fab__schedule(ep);
    return true;
}

/* A record for whose peer's move there is a hold, promised or in force; source: of that node. */
static struct fab_ep *hold_find(const struct fab_node *node, const struct fab__move_record *record)
{
    struct fab_ep *ep = fab__ep_first(node, record->target);

    while (ep != NULL &&
           (ep->hold == NULL || ep->hold->move != record->move || ep->peer_id != record->peer)) {
        ep = fab__ep_next(ep);
    }
    return ep;
}

struct fab_ep *fab__held_find(const struct fab_node *node, uint64_t id, uint64_t peer_id,
                              uint64_t move)
{
    struct fab__move_record record = {.target = id, .peer = peer_id, .move = move};
    struct fab_ep *ep = hold_find(node, &record);

    return ep != NULL && ep->place == FAB__HELD ? ep : NULL;
}

bool fab__on_unhold(struct fab__session *session, const struct fab__move_record *record)
{
    struct fab_ep *ep = hold_find(session->node, record);

    if (ep == NULL) {
        ep = fab__ep_first(session->node, record->target);
        if (ep != NULL && ep->life == FAB__LIVE && ep->place == FAB__REMOTE &&
            ep->peer_id == record->peer && ep->peer_node != session->peer_id &&
            ep->left_node == session->peer_id) {
            /* The target has said that it came there, and was not to. */
            fab__reply(session, FAB__RECORD_CLOSE, record->peer, SF_CAUSE_OF(NODE_LOST));
        }
        return true;
    }
    if (ep->peer_node != session->peer_id || ep->hold->source_gone) {
        return true;
    }
    go_on(ep, session->peer_id);
    return true;
}

/* --- the source is gone --------------------------------------------------------------------- */

/* At the target: it is there and may come. */
static struct fab_ep *arriving_find(const struct fab_node *node,
                                    const struct fab__move_record *record)
{
    struct fab_ep *ep = fab__ep_first(node, record->target);

    while (ep != NULL && (ep->place != FAB__APART || !ep->cargo->imported ||
                          ep->cargo->move != record->move || ep->peer_id != record->peer)) {
        ep = fab__ep_next(ep);
    }
    return ep;
}

static void target_ask(struct fab_ep *ep)
{
    struct fab_node *node = ep->node;
    struct fab__move_record record = {
        .target = ep->peer_id, .peer = ep->id, .move = ep->hold->move};
    struct fab__session *session = node->sessions[ep->hold->target];

    if (ep->hold->target == node->node_id) {
        struct fab_ep *arriving = arriving_find(node, &record);
        if (arriving != NULL) {
            arriving->awaited = true;
        } else {
            fab__ep_lose(ep, SF_CAUSE_OF(NODE_LOST));
        }
    } else if (session != NULL) {
        fab__reply_move(session, FAB__RECORD_AWAITED, record.target, record.peer, record.move, 0);
    } else {
        fab__ep_lose(ep, SF_CAUSE_OF(NODE_LOST));
    }
}

void fab__held_source_gone(struct fab_ep *ep)
{
    assert(ep->place == FAB__HELD);
    if (!ep->hold->source_gone) {
        ep->hold->source_gone = true;
        if (!FAB__PLANTED(FAB__PLANT_ASK)) {
            target_ask(ep);
        }
    }
}

void fab__held_node_lost(struct fab_ep *ep, uint16_t id, struct sf_cause cause)
{
    if (ep->hold->target == id && ep->hold->source_gone) {
        fab__ep_lose(ep, cause);
    } else if (ep->peer_node == id) {
        fab__held_source_gone(ep);
    }
}

bool fab__on_released(struct fab__session *session, const struct fab__move_record *record)
{
    struct fab_ep *ep = hold_find(session->node, record);

    if (ep == NULL || ep->peer_node != session->peer_id) {
        return true;
    }
    if (ep->place != FAB__HELD) {
        return false; /* it has not even heard that it is held */
    }
    fab__held_source_gone(ep);
    return true;
}

bool fab__on_awaited(struct fab__session *session, const struct fab__move_record *record)
{
    struct fab_ep *ep = arriving_find(session->node, record);

    if (ep != NULL && ep->peer_node == session->peer_id) {
        ep->awaited = true;
        return true;
    }
    ep = fab__ep_first(session->node, record->target);
    while (ep != NULL && (ep->place != FAB__REMOTE || ep->peer_node != session->peer_id)) {
        ep = fab__ep_next(ep);
    }
    if (ep != NULL) {
        return true; /* it has come, and NOW_HERE says so */
    }
    fab__reply_move(session, FAB__RECORD_DROPPED, record->peer, record->target, record->move, 0);
    return true;
}

bool fab__on_dropped(struct fab__session *session, const struct fab__move_record *record)
{
    struct fab_ep *ep = hold_find(session->node, record);

    if (ep != NULL && ep->hold->target == session->peer_id && ep->hold->source_gone) {
        fab__ep_lose(ep, SF_CAUSE_OF(NODE_LOST));
    }
    return true;
}

/* --- it comes ------------------------------------------------------------------------------- */

bool fab__on_now_here(struct fab__session *session, const struct fab__move_record *record)
{
    struct fab__witness *witness = fab__witness_find(session->node, record->move);
    struct fab_ep *ep = hold_find(session->node, record);
    bool refused = witness != NULL && witness->refused;

    if (ep == NULL || ep->hold->target != session->peer_id || refused) {
        fab__reply(session, FAB__RECORD_CLOSE, record->peer, SF_CAUSE_OF(NODE_LOST));
        return true;
    }
    if (ep->place != FAB__HELD) {
        return false; /* the target cannot know of it before the source does */
    }
    fab__witness_use(session->node, record->move)->seen = !FAB__PLANTED(FAB__PLANT_SEEN);
    fab__meter_note(ep, FAB_EP_MOVED, 0);
    ep->left_node = ep->peer_node;
    go_on(ep, session->peer_id);
    return true;
}
