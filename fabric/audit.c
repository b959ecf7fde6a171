/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit looks at each record on its own, at each pair of joined records, and at each session's
 * window and ring. It counts travelling endpoints from the queues' side, so that none can be in two
 * places, and requires that whoever has something to send waits in a session's ring.
 */
#include <assert.h>

#include "cargo.h"
#include "endpoint.h"
#include "queue.h"
#include "reads.h"
#include "session.h"

struct tally {
    const char *text;
    uint32_t in_messages; /* endpoints found inside queued messages */
    uint32_t held;
    uint32_t waiting; /* records that say they are in a session's ring */
};

static bool fail(struct tally *tally, const char *text)
{
    if (tally->text == NULL) {
        tally->text = text;
    }
    return false;
}

static bool msg_check(const struct fab_ep *ep, const struct fab_msg *msg, struct tally *tally)
{
    const struct fab_plan *plan;

    if (msg->tag >= ep->message_count || msg->arg_count != ep->plans[msg->tag].arg_count) {
        return fail(tally, "a queued message is not one of its contract");
    }
    plan = &ep->plans[msg->tag];
    for (uint32_t i = 0; i < plan->arg_count; i++) {
        if ((plan->blocks >> i & 1u) && msg->args[i].block != NULL &&
            msg->args[i].block->owner != fab__ep_owner(ep)) {
            return fail(tally, "a queued block is not owned by its message");
        }
        if ((plan->eps >> i & 1u) && msg->args[i].ep != NULL) {
            if (msg->args[i].ep->life != FAB__LIVE || !msg->args[i].ep->in_message) {
                return fail(tally, "a queued endpoint does not know that it travels");
            }
            tally->in_messages++;
        }
    }
    return true;
}

static bool queue_check(const struct fab_ep *ep, const struct fab__queue *queue, uint32_t extra,
                        struct tally *tally)
{
    if (queue->slot_count == 0 || queue->slot_count > CT_QUEUE_SLOTS_MAX ||
        queue->head >= queue->slot_count || queue->count + extra > queue->slot_count) {
        return fail(tally, "a queue is outside its bounds");
    }
    for (uint32_t i = 0; i < queue->count + extra; i++) {
        if (!msg_check(ep, fab__queue_at(queue, i), tally)) {
            return false;
        }
    }
    return true;
}

/* The messages in `in` must lead from the holder's state to the arrival state. */
static bool states_check(const struct fab_ep *ep, struct tally *tally)
{
    const struct ct_contract *table = ep->contract->table;
    uint8_t state = ep->state;

    if (ep->state >= table->state_count || ep->arrival_state >= table->state_count) {
        return fail(tally, "a state is out of range");
    }
    for (uint32_t i = 0; i < ep->in.count; i++) {
        uint8_t tag = fab__queue_at(&ep->in, i)->tag;
        state = ct_step(table, state, ct_other(ep->side), tag);
        if (state == CT_ILLEGAL) {
            return fail(tally, "a queued message is illegal in its state");
        }
    }
    if (!ep->assembling && state != ep->arrival_state) {
        return fail(tally, "the queued messages do not lead to the arrival state");
    }
    return true;
}

static bool hold_check(const struct fab_ep *ep, struct tally *tally)
{
    bool held = ep->place == FAB__HELD;

    tally->held += held;
    if ((ep->hold != NULL) != (held || (ep->owes & FAB__OWES_HELD) != 0)) {
        return fail(tally, "an endpoint is held for no move");
    }
    if (ep->place == FAB__APART && (ep->cargo == NULL || ep->aboard != FAB__ABOARD_SETTLED)) {
        return fail(tally, "an endpoint is apart from its peer and in no cargo");
    }
    if (ep->cargo != NULL && (ep->life != FAB__LIVE || fab_cargo_find(ep->cargo, ep->id) != ep)) {
        return fail(tally, "an endpoint is not in the cargo that it says");
    }
    return (ep->owes & FAB__OWES_HOLD) == 0 || ep->cargo != NULL
               ? true
               : fail(tally, "an endpoint asks to be held for no move");
}

static bool place_check(const struct fab_ep *ep, struct tally *tally)
{
    const struct fab_node *node = ep->node;

    if ((ep->place == FAB__LOCAL) != (ep->peer != NULL)) {
        return fail(tally, "an endpoint's peer and its place disagree");
    }
    switch (ep->place) {
    case FAB__LOCAL:
        if (ep->peer->peer != ep || ep->peer->id != ep->peer_id) {
            return fail(tally, "an endpoint's peer does not point back");
        }
        if (ep->life == FAB__MOVED ? ep->peer->life != FAB__LIVE : ep->life != FAB__LIVE) {
            return fail(tally, "a local endpoint is held by nobody");
        }
        if (ep->out.count != 0 || (ep->owes & (uint8_t)~FAB__OWES_MOVED) != 0) {
            return fail(tally, "a local endpoint waits for a session");
        }
        if (ep->in.count == 0 && ep->peer->in.count == 0 && ep->state != ep->peer->state) {
            return fail(tally, "the two ends of an idle channel are in different states");
        }
        return ep->in.count == 0 || ep->arrival_state == ep->peer->state
                   ? true
                   : fail(tally, "a receiver's arrival state is not the sender's");
    case FAB__REMOTE:
        return ep->peer_node < FAB_NODES_MAX && node->sessions[ep->peer_node] != NULL
                   ? true
                   : fail(tally, "a remote endpoint has no session");
    case FAB__PENDING:
        return ep->via_node < FAB_NODES_MAX && node->sessions[ep->via_node] != NULL
                   ? true
                   : fail(tally, "an endpoint waits for a node without session");
    case FAB__HELD:
        return ep->life == FAB__LIVE || ep->life == FAB__CLOSING
                   ? true
                   : fail(tally, "a tombstone is held");
    case FAB__APART:
        return ep->out.count == 0 && ep->owes == 0 && !ep->assembling
                   ? true
                   : fail(tally, "an endpoint on the move has something to send");
    default:
        if (ep->life == FAB__LIVE && ep->cause.kind == SF_CAUSE_NONE) {
            return fail(tally, "a closed endpoint has no cause");
        }
        return ep->out.count == 0 ? true : fail(tally, "a closed endpoint has messages to send");
    }
}

static bool ep_check(const struct fab_ep *ep, struct tally *tally)
{
    if (ep->life == FAB__FREE) {
        return true;
    }
    if ((ep->in_message || ep->life != FAB__LIVE) && (ep->in.count != 0 || ep->assembling)) {
        return fail(tally, "an endpoint that nobody holds has messages");
    }
    if (fab__work_session(ep) != ep->queued_on) {
        return fail(tally, "an endpoint with something to send does not wait for its turn");
    }
    if (ep->referring && (!ep->sending || ep->send_offset != 0 || ep->place != FAB__REMOTE)) {
        return fail(tally, "an endpoint waits for a block to be read that it is not sending");
    }
    tally->waiting += ep->queued_on != NULL;
    return queue_check(ep, &ep->in, ep->assembling ? 1 : 0, tally) &&
           queue_check(ep, &ep->out, 0, tally) && states_check(ep, tally) &&
           place_check(ep, tally) && hold_check(ep, tally);
}

/* Is there somebody to free the block, part of which is the tail of frame `sequence`, later? */
static bool tail_is_kept(const struct fab__session *session, uint32_t sequence)
{
    const struct xh_block *block = fab__sent_at(session, sequence)->block;

    for (uint32_t s = sequence; s != session->tx_next; s++) {
        if (fab__sent_at(session, s)->block == block && fab__sent_at(session, s)->last) {
            return true;
        }
    }
    for (const struct fab_ep *ep = session->ep_first; ep != NULL; ep = ep->queued_next) {
        if (ep->sending && fab__queue_at(&ep->out, 0)->args[ep->send_arg].block == block) {
            return true;
        }
    }
    return false;
}

static bool window_check(const struct fab__session *session, struct tally *tally)
{
    uint32_t lost = 0;
    uint32_t seen = 0;

    if (fab__in_flight(session) > session->sent_capacity || session->sent_capacity > FAB__WINDOW) {
        return fail(tally, "more frames are in flight than the window holds");
    }
    for (uint32_t s = session->tx_acked; s != session->tx_next; s++) {
        const struct fab__sent *sent = fab__sent_at(session, s);
        lost += sent->lost;
        seen += sent->seen;
        if (sent->buffer == NULL && sent->length > FAB__SHORT_BYTES) {
            return fail(tally, "a frame in flight has no bytes");
        }
        if (sent->last && sent->block->owner != fab__session_owner(session)) {
            return fail(tally, "a block in flight is not the session's");
        }
        if (sent->block != NULL && !tail_is_kept(session, s)) {
            return fail(tally, "a block is gone while part of it is in flight");
        }
    }
    return lost == session->lost_count && seen == session->seen_count
               ? true
               : fail(tally, "a session's counts of frames are wrong");
}

static bool held_check(const struct fab__session *session, struct tally *tally)
{
    uint32_t held = 0;

    if (session->held_capacity > FAB__WINDOW) {
        return fail(tally, "a session holds frames beyond the window");
    }
    for (uint32_t i = 0; i < session->held_capacity; i++) {
        held += session->held[i].buffer != NULL;
    }
    return held == session->held_count ? true
                                       : fail(tally, "a session's count of held frames is wrong");
}

static bool session_check(const struct fab__session *session, uint32_t *waiting,
                          struct tally *tally)
{
    const struct fab_ep *prev = NULL;

    if (fab__session_pending(session) && !session->ready) {
        return fail(tally, "a session with something to send does not wait for its turn");
    }
    for (const struct fab_ep *ep = session->ep_first; ep != NULL; ep = ep->queued_next) {
        if (++*waiting > tally->waiting || ep->queued_on != session || ep->queued_prev != prev) {
            return fail(tally, "a session's ring is broken");
        }
        prev = ep;
    }
    if (session->ep_last != prev) {
        return fail(tally, "a session's ring has a wrong end");
    }
    return window_check(session, tally) && held_check(session, tally);
}

sf_status fab_audit(struct fab_node *node, const char **out_text)
{
    struct tally tally = {0};
    uint32_t travelling = 0;
    uint32_t waiting = 0;
    bool ok = true;

    for (uint32_t i = 0; i < node->ep_used && ok; i++) {
        ok = ep_check(&node->eps[i], &tally);
        travelling += node->eps[i].life != FAB__FREE && node->eps[i].in_message;
    }
    for (uint32_t i = 0; i < node->session_count && ok; i++) {
        ok = session_check(node->sessions[node->session_ids[i]], &waiting, &tally);
    }
    if (ok && fab__reads_check(node) != NULL) {
        ok = fail(&tally, fab__reads_check(node));
    }
    if (ok && waiting != tally.waiting) {
        ok = fail(&tally, "an endpoint waits in no session's ring");
    }
    if (ok && tally.held != node->held_count) {
        ok = fail(&tally, "the count of held endpoints is wrong");
    }
    if (ok && travelling != tally.in_messages) {
        ok = fail(&tally, "an endpoint travels in no message, or in two");
    }
    if (!ok && out_text != NULL) {
        *out_text = tally.text;
    }
    return ok ? SF_OK : SF_FORMAT;
}
