/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Endpoints with something to send stand in a ring at their session. Each turn writes one record;
 * a frame is full when the endpoint whose turn it is finds no room. So small messages share
 * frames, and an endpoint with a large block gets one segment a turn.
 */
#include <assert.h>

#include "cargo.h"
#include "endpoint.h"
#include "meter.h"
#include "move.h"
#include "plant.h"
#include "queue.h"
#include "session.h"

/* A block's segment is not made smaller than this to fill a frame's end. */
#define SEGMENT_BYTES_MIN 64u
/* Memory is copied in lines of so many bytes; in frames of this size on it may cost part of one. */
#define LINE_BYTES 64u
#define LINES_BYTES_MIN 4096u
/* A block from this size on is not copied into frames: its bytes are a frame's tail. */
#define TAIL_BLOCK_BYTES_MIN 2048u

/* What goes out before any message that waits. */
#define OWES_BEFORE_MESSAGES (FAB__OWES_OPEN | FAB__OWES_HERE | FAB__OWES_NOW_HERE | FAB__OWES_HELD)

/* --- whose turn it is ----------------------------------------------------------------------- */

static bool has_work(const struct fab_ep *ep)
{
    if (ep->referring) {
        return false;
    }
    switch (ep->place) {
    case FAB__REMOTE:
        if (ep->node->held_count != 0 && fab__held_in_head(ep)) {
            return (ep->owes & OWES_BEFORE_MESSAGES) != 0;
        }
        return ep->out.count != 0 || (ep->owes & (uint8_t)~FAB__OWES_MOVED) != 0 ||
               ((ep->owes & FAB__OWES_MOVED) != 0 && ep->arrived);
    case FAB__GONE:
        return ep->owes != 0;
    default:
        return false;
    }
}

struct fab__session *fab__work_session(const struct fab_ep *ep)
{
    uint16_t to = (ep->owes & FAB__OWES_FORWARD) != 0 ? ep->target_node : ep->peer_node;

    return has_work(ep) ? ep->node->sessions[to] : NULL;
}

void fab__unschedule(struct fab_ep *ep)
{
    struct fab__session *session = ep->queued_on;

    if (session == NULL) {
        return;
    }
    if (ep->queued_prev != NULL) {
        ep->queued_prev->queued_next = ep->queued_next;
    } else {
        session->ep_first = ep->queued_next;
    }
    if (ep->queued_next != NULL) {
        ep->queued_next->queued_prev = ep->queued_prev;
    } else {
        session->ep_last = ep->queued_prev;
    }
    ep->queued_on = NULL;
    ep->queued_next = ep->queued_prev = NULL;
}

void fab__schedule(struct fab_ep *ep)
{
    struct fab__session *session = fab__work_session(ep);

    if (session == NULL || session == ep->queued_on) {
        return;
    }
    fab__unschedule(ep);
    ep->queued_on = session;
    ep->queued_prev = session->ep_last;
    if (session->ep_last != NULL) {
        session->ep_last->queued_next = ep;
    } else {
        session->ep_first = ep;
    }
    session->ep_last = ep;
    fab__ready(session);
}

void fab__schedule_all(struct fab_node *node)
{
    for (uint32_t i = 0; i < node->ep_used; i++) {
        struct fab_ep *ep = &node->eps[i];
        if (ep->life == FAB__FREE) {
            continue;
        }
        if (has_work(ep)) {
            fab__schedule(ep);
        } else {
            fab__unschedule(ep);
        }
    }
}

bool fab__outbox_empty(const struct fab__session *session)
{
    return session->ep_first == NULL && session->reply_count == 0;
}

/* --- one record each ------------------------------------------------------------------------ */

static bool open_write(struct fab_ep *ep, struct fab__writer *writer)
{
    uint32_t begin = fab__record_begin(writer, FAB__RECORD_OPEN, 0);
    uint32_t length = 0;

    while (ep->open_name[length] != 0) {
        length++;
    }
    fab__write_u64(writer, ep->id);
    fab__write_u64(writer, ep->peer_id);
    fab__write_bytes(writer, ep->contract->table->id, CT_ID_BYTES);
    fab__write_bytes(writer, ep->open_name, length);
    if (!fab__record_end(writer, begin)) {
        return false;
    }
    ep->owes &= (uint8_t)~FAB__OWES_OPEN;
    return true;
}

static bool here_write(struct fab_ep *ep, struct fab__writer *writer)
{
    uint32_t begin = fab__record_begin(writer, FAB__RECORD_PEER_HERE, 0);

    fab__write_u64(writer, ep->peer_id);
    fab__write_u64(writer, ep->id);
    if (!fab__record_end(writer, begin)) {
        return false;
    }
    ep->owes &= (uint8_t)~FAB__OWES_HERE;
    return true;
}

/* What HOLD, HELD and those after it have in common. */
static uint32_t move_record_begin(struct fab__writer *writer, enum fab__record_type type,
                                  uint64_t target, uint64_t peer, uint64_t move)
{
    uint32_t begin = fab__record_begin(writer, type, 0);

    fab__write_u64(writer, target);
    fab__write_u64(writer, peer);
    fab__write_u64(writer, move);
    return begin;
}

static bool now_here_write(struct fab_ep *ep, struct fab__writer *writer)
{
    uint32_t begin =
        move_record_begin(writer, FAB__RECORD_NOW_HERE, ep->peer_id, ep->id, ep->came_by);

    if (!fab__record_end(writer, begin)) {
        return false;
    }
    ep->owes &= (uint8_t)~FAB__OWES_NOW_HERE;
    return true;
}

static bool hold_write(struct fab_ep *ep, struct fab__writer *writer)
{
    uint32_t begin =
        move_record_begin(writer, FAB__RECORD_HOLD, ep->peer_id, ep->id, ep->cargo->move);

    fab__write_u16(writer, ep->cargo->target);
    if (!fab__record_end(writer, begin)) {
        return false;
    }
    ep->owes &= (uint8_t)~FAB__OWES_HOLD;
    return true;
}

static bool held_write(struct fab_ep *ep, struct fab__writer *writer)
{
    uint32_t begin =
        move_record_begin(writer, FAB__RECORD_HELD, ep->peer_id, ep->id, ep->hold->move);

    fab__write_u8(writer, FAB__HELD_OK);
    if (!fab__record_end(writer, begin)) {
        return false;
    }
    fab__held_now(ep);
    return true;
}

static bool moved_write(struct fab_ep *ep, struct fab__writer *writer)
{
    uint32_t begin = fab__record_begin(writer, FAB__RECORD_PEER_MOVED, 0);

    fab__write_u64(writer, ep->peer_id);
    fab__write_u64(writer, ep->id);
    fab__write_u16(writer, ep->target_node);
    if (!fab__record_end(writer, begin)) {
        return false;
    }
    ep->owes &= (uint8_t)~FAB__OWES_MOVED;
    ep->told = true;
    return true;
}

static bool close_record_write(struct fab__writer *writer, uint64_t target, uint8_t flags,
                               struct sf_cause cause)
{
    uint32_t begin = fab__record_begin(writer, FAB__RECORD_CLOSE, flags);

    fab__write_u64(writer, target);
    fab__write_cause(writer, cause);
    return fab__record_end(writer, begin);
}

/* The last record of an endpoint that nobody holds: it is freed. */
static bool close_write(struct fab_ep *ep, struct fab__session *session, struct fab__writer *writer)
{
    bool forward = (ep->owes & FAB__OWES_FORWARD) != 0;

    if (!close_record_write(writer, forward ? ep->id : ep->peer_id,
                            forward ? FAB__CLOSE_FORWARDED : 0, ep->tell_cause)) {
        return false;
    }
    ep->owes = 0;
    session->info.closes_sent++;
    if (ep->life != FAB__LIVE) {
        fab__ep_free(ep);
    }
    return true;
}

/* --- messages and their blocks -------------------------------------------------------------- */

/* Index of the next block from `from` on, or arg_count. */
static uint8_t next_block(const struct fab_plan *plan, const struct fab_msg *msg, uint32_t from)
{
    while (from < plan->arg_count &&
           ((plan->blocks >> from & 1u) == 0 || msg->args[from].block == NULL)) {
        from++;
    }
    return (uint8_t)from;
}

static void send_advance(struct fab_ep *ep, const struct fab_plan *plan, struct fab_msg *msg,
                         uint32_t from)
{
    ep->send_arg = next_block(plan, msg, from);
    ep->send_offset = 0;
    ep->unread = false;
    ep->sending = ep->send_arg < plan->arg_count;
    if (!ep->sending) {
        fab__queue_pop(&ep->out);
    }
}

static void msg_endpoints_leave(struct fab_ep *ep, const struct fab_plan *plan, struct fab_msg *msg,
                                struct fab__wire_msg *wire)
{
    for (uint32_t i = 0; i < plan->arg_count; i++) {
        if ((plan->eps >> i & 1u) && msg->args[i].ep != NULL) {
            fab__move_out(msg->args[i].ep, ep->peer_node, &wire->args[i].ep);
            msg->args[i].ep = NULL;
        }
    }
}

/* Largest MSG record: eight endpoints. */
#define MSG_RECORD_BYTES_MAX                                                                       \
    (FAB__RECORD_HEADER_BYTES + 10u + CT_ARGS_MAX * (1u + FAB__WIRE_EP_BYTES))

/* Scalars only: no kinds, which the contract tells. */
static bool compact_write(struct fab_ep *ep, struct fab__session *session,
                          const struct fab_plan *plan, const struct fab_msg *msg,
                          struct fab__writer *writer)
{
    uint32_t body_bytes = FAB__COMPACT_HEAD_BYTES + plan->scalar_bytes;
    uint32_t bytes = FAB__RECORD_HEADER_BYTES + body_bytes;
    struct fab__writer head = {.bytes = writer->bytes + writer->length,
                               .capacity = FAB__RECORD_HEADER_BYTES + FAB__COMPACT_HEAD_BYTES};

    if (writer->capacity - writer->length < bytes) {
        return false;
    }
    fab__write_u8(&head, FAB__RECORD_MSG);
    fab__write_u8(&head, FAB__MSG_COMPACT);
    fab__write_u16(&head, (uint16_t)body_bytes);
    fab__write_u64(&head, ep->peer_id);
    fab__write_u8(&head, msg->tag);
    if (plan->narrow == 0) {
        fab_words_copy(head.bytes + head.length, msg->args, plan->arg_count);
    } else {
        head.capacity = bytes;
        for (uint32_t i = 0; i < plan->arg_count; i++) {
            fab__write_le(&head, msg->args[i].scalar, fab__kind_bytes(plan->kinds[i]));
        }
    }
    writer->length += bytes;
    fab__queue_pop(&ep->out);
    fab__meter_left(ep, session);
    return true;
}

static bool msg_write(struct fab_ep *ep, struct fab__session *session, struct fab__writer *writer)
{
    struct fab_msg *msg = fab__queue_at(&ep->out, 0);
    const struct fab_plan *plan = &ep->plans[msg->tag];
    struct fab__wire_msg wire;
    uint32_t begin;

    if ((plan->blocks | plan->eps) == 0) {
        return compact_write(ep, session, plan, msg, writer);
    }
    /* Endpoints cannot be taken back once they left, so there must be room before. */
    if (plan->eps != 0 && writer->capacity - writer->length < MSG_RECORD_BYTES_MAX) {
        return false;
    }
    wire.target = ep->peer_id;
    wire.tag = msg->tag;
    wire.arg_count = plan->arg_count;
    for (uint32_t i = 0; i < plan->arg_count; i++) {
        wire.kinds[i] = plan->kinds[i];
        if (plan->blocks >> i & 1u) {
            wire.args[i].block_bytes = msg->args[i].block == NULL ? 0 : msg->args[i].block->bytes;
        } else if (plan->eps >> i & 1u) {
            wire.args[i].ep = (struct fab__wire_ep){0};
        } else {
            wire.args[i].scalar = msg->args[i].scalar;
        }
    }
    msg_endpoints_leave(ep, plan, msg, &wire);
    begin = fab__record_begin(writer, FAB__RECORD_MSG, 0);
    fab__wire_msg_write(writer, &wire);
    if (!fab__record_end(writer, begin)) {
        assert(plan->eps == 0);
        return false;
    }
    fab__meter_left(ep, session);
    send_advance(ep, plan, msg, 0);
    return true;
}

/* The block's bytes stay where they are until the frame is acknowledged. */
static void tail_write(struct fab_ep *ep, struct fab__session *session, struct fab__sent *sent,
                       struct fab__writer *writer, uint32_t length)
{
    struct fab_msg *msg = fab__queue_at(&ep->out, 0);
    struct xh_block *block = msg->args[ep->send_arg].block;

    sent->block = block;
    sent->tail_offset = ep->send_offset;
    sent->tail_length = length;
    sent->last = length == block->bytes - ep->send_offset || FAB__PLANTED(FAB__PLANT_FREE);
    if (sent->last) {
        sf_status st = xh_give(block, fab__ep_owner(ep), fab__session_owner(session));
        assert(st == SF_OK);
        (void)st;
    }
    writer->capacity = writer->length; /* nothing comes after it */
}

/* Says where the block lies; it stays in its message until the peer answers. */
static bool refer_write(struct fab_ep *ep, struct fab__session *session,
                        const struct xh_block *block, struct fab__writer *writer)
{
    uint32_t begin = fab__record_begin(writer, FAB__RECORD_REFER, 0);

    fab__write_u64(writer, ep->peer_id);
    fab__write_u64(writer, (uintptr_t)block->data);
    fab__write_u32(writer, block->bytes);
    if (!fab__record_end(writer, begin)) {
        return false;
    }
    ep->referring = true;
    session->referring_count++;
    return true;
}

void fab__outbox_taken(struct fab__session *session, uint64_t target, bool taken)
{
    struct fab_ep *ep = fab__ep_first(session->node, target);
    struct fab_msg *msg;
    sf_status st;

    while (ep != NULL && !(ep->referring && ep->peer_node == session->peer_id)) {
        ep = fab__ep_next(ep);
    }
    if (ep == NULL) {
        return; /* closed meanwhile */
    }
    ep->referring = false;
    session->referring_count--;
    if (taken) {
        msg = fab__queue_at(&ep->out, 0);
        st = xh_free(ep->node->heap, msg->args[ep->send_arg].block, fab__ep_owner(ep));
        assert(st == SF_OK);
        (void)st;
        msg->args[ep->send_arg].block = NULL;
        session->info.blocks_taken++;
        send_advance(ep, &ep->plans[msg->tag], msg, ep->send_arg + 1u);
    } else {
        session->info.blocks_unread++;
        ep->unread = true;
    }
    fab__schedule(ep);
}

/*
 * How much of a block, which has so much left at this offset, goes into this room. The next segment
 * begins where it lies in its packet, behind headers of the same lengths, as it does in the block,
 * line by line: whoever copies it need not shift it.
 */
static uint32_t segment_bytes(const struct fab__session *session, uint32_t offset, uint32_t left,
                              uint32_t room)
{
    const uint32_t lead = session->lead_bytes + FAB__HEADER_BYTES + FAB__DATA_HEADER_BYTES;

    if (left <= room) {
        return left;
    }
    return room < LINES_BYTES_MIN ? room : room - (offset + room - lead) % LINE_BYTES;
}

static bool data_write(struct fab_ep *ep, struct fab__session *session, struct fab__sent *sent,
                       struct fab__writer *writer)
{
    struct fab_msg *msg = fab__queue_at(&ep->out, 0);
    const struct fab_plan *plan = &ep->plans[msg->tag];
    struct xh_block *block = msg->args[ep->send_arg].block;
    uint32_t left = block->bytes - ep->send_offset;
    uint32_t room = writer->capacity - writer->length;
    uint32_t length;

    if (session->refers && !ep->unread && block->lent == NULL &&
        block->bytes >= session->read_bytes_min) {
        return refer_write(ep, session, block, writer);
    }
    if (room < FAB__DATA_HEADER_BYTES + (left < SEGMENT_BYTES_MIN ? left : SEGMENT_BYTES_MIN)) {
        return false;
    }
    room -= FAB__DATA_HEADER_BYTES;
    length = segment_bytes(session, ep->send_offset, left, room);
    fab__write_u8(writer, FAB__RECORD_DATA);
    fab__write_u8(writer, 0);
    fab__write_u16(writer, (uint16_t)(8u + length));
    fab__write_u64(writer, ep->peer_id);
    if (block->bytes >= TAIL_BLOCK_BYTES_MIN) {
        tail_write(ep, session, sent, writer, length);
    } else {
        fab__write_bytes(writer, xh_bytes(block) + ep->send_offset, length);
    }
    assert(!writer->failed);
    if (length < left) {
        ep->send_offset += length;
        return true;
    }
    if (sent->block != block) {
        (void)xh_free(ep->node->heap, block, fab__ep_owner(ep));
    }
    msg->args[ep->send_arg].block = NULL;
    send_advance(ep, plan, msg, ep->send_arg + 1u);
    return true;
}

/* --- frames --------------------------------------------------------------------------------- */

/* Writes one record; false if there is no room. The endpoint may be gone afterwards. */
static bool turn_write(struct fab_ep *ep, struct fab__session *session, struct fab__sent *sent,
                       struct fab__writer *writer)
{
    if ((ep->owes & FAB__OWES_OPEN) != 0) {
        return open_write(ep, writer);
    }
    if ((ep->owes & FAB__OWES_HERE) != 0) {
        return here_write(ep, writer);
    }
    if ((ep->owes & FAB__OWES_NOW_HERE) != 0) {
        return now_here_write(ep, writer);
    }
    if ((ep->owes & FAB__OWES_HELD) != 0 && (!ep->sending || FAB__PLANTED(FAB__PLANT_HELD))) {
        return held_write(ep, writer);
    }
    if (ep->out.count != 0) {
        return ep->sending ? data_write(ep, session, sent, writer) : msg_write(ep, session, writer);
    }
    if ((ep->owes & (FAB__OWES_CLOSE | FAB__OWES_FORWARD)) != 0) {
        return close_write(ep, session, writer);
    }
    if ((ep->owes & FAB__OWES_HOLD) != 0) {
        return hold_write(ep, writer);
    }
    assert((ep->owes & FAB__OWES_MOVED) != 0);
    return moved_write(ep, writer);
}

static bool reply_write(const struct fab__reply *reply, struct fab__writer *writer)
{
    uint32_t begin;

    if (reply->type == FAB__RECORD_CLOSE) {
        return close_record_write(writer, reply->target, 0, reply->cause);
    }
    if (reply->type >= FAB__RECORD_HELD && reply->type != FAB__RECORD_MOVE_OVER) {
        begin = move_record_begin(writer, (enum fab__record_type)reply->type, reply->target,
                                  reply->peer, reply->move);
        if (reply->type == FAB__RECORD_HELD) {
            fab__write_u8(writer, reply->status);
        }
        return fab__record_end(writer, begin);
    }
    begin = fab__record_begin(writer, (enum fab__record_type)reply->type, 0);
    fab__write_u64(writer, reply->type == FAB__RECORD_MOVE_OVER ? reply->move : reply->target);
    if (reply->type == FAB__RECORD_ARRIVED) {
        fab__write_cause(writer, reply->cause);
    }
    return fab__record_end(writer, begin);
}

static void records_write(struct fab__session *session, struct fab__sent *sent,
                          struct fab__writer *writer)
{
    while (session->reply_count > 0) {
        if (!reply_write(&session->replies[session->reply_head], writer)) {
            return;
        }
        session->reply_head = (session->reply_head + 1) & (session->reply_capacity - 1);
        session->reply_count--;
    }
    while (session->ep_first != NULL) {
        struct fab_ep *ep = session->ep_first;
        if (!turn_write(ep, session, sent, writer)) {
            return;
        }
        /* To the end of the ring, unless it is done, or gone. */
        if (session->ep_first == ep) {
            fab__unschedule(ep);
            if (has_work(ep)) {
                fab__schedule(ep);
            }
        }
    }
}

void fab__outbox_write(struct fab__session *session, struct fab__sent *sent, uint8_t *payload)
{
    struct fab__writer writer = {
        .bytes = payload,
        .capacity = fab__payload_bytes_max(session),
    };

    records_write(session, sent, &writer);
    sent->length = writer.length;
}
