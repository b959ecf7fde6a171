/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything here comes from another node, which may be broken or hostile. Bytes that cannot be
 * what the format says, and records to endpoints that are not the sender's peers, break the
 * session. Records that break a channel's contract close that channel.
 *
 * A record to an endpoint that is not here is no error: it was closed while the record was on its
 * way. What it carries is freed, or sent back.
 */
#include <assert.h>
#include <string.h>

#include "cargo.h"
#include "endpoint.h"
#include "export.h"
#include "message.h"
#include "meter.h"
#include "move.h"
#include "queue.h"
#include "reads.h"
#include "session.h"

static bool body_ended(const struct fab__reader *body)
{
    return !body->failed && body->offset == body->length;
}

/* --- MSG ------------------------------------------------------------------------------------ */

static void msg_refuse(struct fab__session *session, const struct fab__wire_msg *wire,
                       uint32_t from, struct sf_cause cause)
{
    for (uint32_t i = from; i < wire->arg_count; i++) {
        if (wire->kinds[i] == CT_ARG_ENDPOINT) {
            fab__move_refuse(session, &wire->args[i].ep, cause);
        }
    }
}

static bool wire_ep_fits(const struct fab_ep *ep, uint8_t tag, uint32_t index,
                         const struct fab__wire_ep *wire)
{
    const struct fab__contract *contract =
        fab__contract_by_short_id(ep->node, wire->contract_short_id);

    return contract != NULL && wire->state < contract->table->state_count &&
           fab__ep_arg_fits(ep, tag, index, contract->table, wire->side, wire->state);
}

/* Does each argument have its declared type? */
static bool msg_fits(const struct fab_ep *ep, const struct fab__wire_msg *wire)
{
    const struct fab_plan *plan = &ep->plans[wire->tag];
    const struct ct_arg *args = ep->contract->table->messages[wire->tag].args;

    if (wire->arg_count != plan->arg_count ||
        memcmp(wire->kinds, plan->kinds, plan->arg_count) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < plan->arg_count; i++) {
        bool fits = true;
        if (plan->blocks >> i & 1u) {
            uint32_t bytes = wire->args[i].block_bytes;
            fits = bytes == 0 ? args[i].optional
                              : bytes <= FAB_MESSAGE_BLOCK_BYTES_MAX && !args[i].nested &&
                                    bytes % fab__element_bytes(&args[i]) == 0;
        } else if (plan->eps >> i & 1u) {
            fits = wire->args[i].ep.id == 0 ? args[i].optional
                                            : wire_ep_fits(ep, wire->tag, i, &wire->args[i].ep);
        } else {
            fits = fab__scalar_fits(plan->kinds[i], wire->args[i].scalar);
        }
        if (!fits) {
            return false;
        }
    }
    return true;
}

static sf_status arg_take(struct fab__session *session, const struct fab_ep *ep,
                          const struct fab__wire_msg *wire, uint32_t i, union fab_arg *out_arg)
{
    out_arg->scalar = 0;
    switch (wire->kinds[i]) {
    case CT_ARG_BLOCK:
        if (wire->args[i].block_bytes == 0) {
            return SF_OK;
        }
        return xh_alloc(ep->node->heap, wire->args[i].block_bytes, fab__ep_owner(ep),
                        &out_arg->block);
    case CT_ARG_ENDPOINT:
        if (wire->args[i].ep.id == 0) {
            return SF_OK;
        }
        return fab__move_in(session, &wire->args[i].ep, &out_arg->ep);
    default:
        out_arg->scalar = wire->args[i].scalar;
        return SF_OK;
    }
}

/* Makes blocks and endpoints in the slot after the queue's tail. On failure nothing is left. */
static sf_status args_take(struct fab__session *session, struct fab_ep *ep,
                           const struct fab__wire_msg *wire)
{
    struct fab_msg *msg = fab__queue_at(&ep->in, ep->in.count);

    *msg = (struct fab_msg){.tag = wire->tag, .arg_count = wire->arg_count};
    for (uint32_t i = 0; i < wire->arg_count; i++) {
        sf_status st = arg_take(session, ep, wire, i, &msg->args[i]);
        if (st != SF_OK) {
            struct sf_cause cause = SF_CAUSE_OF(QUOTA);
            /* fab__move_in has refused its endpoint itself. */
            msg_refuse(session, wire, i + 1, cause);
            msg->args[i].scalar = 0;
            fab__msg_drop(ep->node, &ep->plans[wire->tag], msg, fab__ep_owner(ep), cause);
            return st;
        }
    }
    return SF_OK;
}

/* To the next block that waits for bytes, or the message is complete. */
static void fill_advance(struct fab__session *session, struct fab_ep *ep, uint32_t from)
{
    const struct fab_msg *msg = fab__queue_at(&ep->in, ep->in.count);
    const struct fab_plan *plan = &ep->plans[msg->tag];

    while (from < plan->arg_count &&
           ((plan->blocks >> from & 1u) == 0 || msg->args[from].block == NULL)) {
        from++;
    }
    ep->fill_arg = (uint8_t)from;
    ep->fill_offset = 0;
    if (from == plan->arg_count) {
        ep->assembling = false;
        ep->arrival_state = ep->assembly_state;
        ep->in.count++;
        session->info.messages_received++;
        fab__meter_arrived(ep, msg, ep->in.count);
        fab__ep_notify(ep);
    }
}

static bool msg_deliver(struct fab__session *session, struct fab_ep *ep,
                        const struct fab__wire_msg *wire)
{
    uint8_t next = ct_step(ep->contract->table, ep->arrival_state, ct_other(ep->side), wire->tag);
    sf_status st;

    if (next == CT_ILLEGAL || ep->assembling || fab__queue_full(&ep->in) || !msg_fits(ep, wire)) {
        msg_refuse(session, wire, 0, SF_CAUSE_OF(CONTRACT_VIOLATED));
        fab__ep_violated(ep, wire->tag);
        return true;
    }
    st = args_take(session, ep, wire);
    if (st == SF_FORMAT) {
        return false;
    }
    if (st != SF_OK) {
        fab__ep_break(ep, SF_CAUSE_OF(QUOTA));
        return true;
    }
    ep->assembling = true;
    ep->assembly_state = next;
    fill_advance(session, ep, 0);
    return true;
}

/*
 * The record that messages from session's node to endpoint id are for; NULL: none, and
 * *out_closed says whether that is because it was closed.
 */
static struct fab_ep *receiver_find(const struct fab__session *session, uint64_t id,
                                    bool *out_closed)
{
    *out_closed = true;
    for (struct fab_ep *ep = fab__ep_first(session->node, id); ep != NULL; ep = fab__ep_next(ep)) {
        bool peers = ep->place == FAB__REMOTE && ep->peer_node == session->peer_id;
        if (peers && ep->life == FAB__LIVE) {
            *out_closed = false;
            return ep;
        }
        if (ep->place != FAB__GONE && !(peers && ep->life == FAB__CLOSING) &&
            ep->left_node != session->peer_id) {
            *out_closed = false;
        }
    }
    return NULL;
}

static bool on_msg(struct fab__session *session, struct fab__reader *body)
{
    struct fab__wire_msg wire;
    struct fab_ep *ep;
    bool closed;

    if (!fab__wire_msg_read(body, &wire)) {
        return false;
    }
    ep = receiver_find(session, wire.target, &closed);
    if (ep != NULL) {
        return msg_deliver(session, ep, &wire);
    }
    msg_refuse(session, &wire, 0, SF_CAUSE_OF(CLOSED_BY_PEER));
    return closed;
}

/* Reads the arguments as the contract declares them; false: they are not that. */
static bool compact_read(const struct fab_plan *plan, struct fab__reader *body, struct fab_msg *msg)
{
    if (body->length - body->offset != plan->scalar_bytes || (plan->blocks | plan->eps) != 0) {
        return false;
    }
    if (plan->narrow == 0) {
        fab_words_copy(msg->args, body->bytes + body->offset, plan->arg_count);
        return true;
    }
    for (uint32_t i = 0; i < plan->arg_count; i++) {
        msg->args[i].scalar = fab__scalar_read(body, plan->kinds[i]);
        if (!fab__scalar_fits(plan->kinds[i], msg->args[i].scalar)) {
            return false;
        }
    }
    return true;
}

/* Is it what receiver_find would answer? Records stay where they are, also when they are free, and
 * at most one of an id is live. */
static inline bool is_receiver(const struct fab__session *session, const struct fab_ep *ep,
                               uint64_t id)
{
    return ep != NULL && ep->id == id && ep->life == FAB__LIVE && ep->place == FAB__REMOTE &&
           ep->peer_node == session->peer_id;
}

/* To the holder, if he waits for just that: not by way of the queue. */
static bool compact_pass(struct fab_ep *ep, const struct fab_msg *msg)
{
    const struct fab_node *node = ep->node;

    if (ep->in.count != 0 || ep->in_message || node->events.take == NULL ||
        !node->events.take(node->events_arg, ep, msg)) {
        return false;
    }
    ep->state = ep->arrival_state;
    ep->received++;
    return true;
}

/* A MSG of scalars: it goes straight into its slot. */
static bool on_compact(struct fab__session *session, struct fab__reader *body)
{
    const struct fab_plan *plan;
    struct fab_msg *msg;
    struct fab_ep *ep;
    uint64_t target;
    uint8_t next, tag;
    bool closed;

    if (body->length < FAB__COMPACT_HEAD_BYTES) {
        return false;
    }
    target = fab__read_u64(body);
    tag = fab__read_u8(body);
    ep = session->ep_last_in;
    if (!is_receiver(session, ep, target)) {
        ep = receiver_find(session, target, &closed);
        if (ep == NULL) {
            return closed;
        }
        session->ep_last_in = ep;
    }
    next = fab__ep_step(ep, ep->arrival_state, ct_other(ep->side), tag);
    if (next == CT_ILLEGAL || ep->assembling || fab__queue_full(&ep->in)) {
        fab__ep_violated(ep, tag);
        return true;
    }
    plan = &ep->plans[tag];
    msg = fab__queue_at(&ep->in, ep->in.count);
    msg->tag = tag;
    msg->arg_count = plan->arg_count;
    if (!compact_read(plan, body, msg)) {
        fab__ep_violated(ep, tag);
        return true;
    }
    ep->arrival_state = next;
    session->info.messages_received++;
    if (compact_pass(ep, msg)) {
        fab__meter_arrived(ep, msg, 1);
        return true;
    }
    ep->in.count++;
    fab__meter_arrived(ep, msg, ep->in.count);
    fab__ep_notify(ep);
    return true;
}

void fab__inbox_filled(struct fab__session *session, struct fab_ep *ep)
{
    fill_advance(session, ep, ep->fill_arg + 1u);
}

static bool on_refer(struct fab__session *session, struct fab__reader *body)
{
    uint64_t target = fab__read_u64(body);
    uint64_t address = fab__read_u64(body);
    uint32_t bytes = fab__read_u32(body);
    const struct fab_msg *msg;
    struct xh_block *block;
    struct fab_ep *ep;
    bool closed;

    if (!body_ended(body) || !session->refers) {
        return false;
    }
    ep = receiver_find(session, target, &closed);
    if (ep == NULL) {
        return closed;
    }
    if (!ep->assembling) {
        fab__ep_violated(ep, CT_ILLEGAL);
        return true;
    }
    msg = fab__queue_at(&ep->in, ep->in.count);
    block = msg->args[ep->fill_arg].block;
    if (ep->reading != 0 || ep->fill_offset != 0 || bytes != block->bytes) {
        fab__ep_violated(ep, msg->tag);
        return true;
    }
    fab__read_begin(session, ep, block, address);
    return true;
}

/* Puts the next bytes in the block, but for those that the holder has taken. */
static void block_fill(struct fab_ep *ep, const struct fab_msg *msg, const uint8_t *bytes,
                       uint32_t length)
{
    const struct fab_node *node = ep->node;
    struct xh_block *block = msg->args[ep->fill_arg].block;
    uint32_t taken = 0;

    if (ep->streamed) {
        taken = node->events.bytes(node->events_arg, ep, msg, ep->fill_arg, ep->fill_offset, bytes,
                                   length);
        assert(taken <= length);
    }
    memcpy(block->data + ep->fill_offset + taken, bytes + taken, length - taken);
}

/* The body of a DATA record, which may continue in a tail. */
static bool on_data(struct fab__session *session, struct fab__reader *body, const uint8_t *tail,
                    uint32_t tail_length)
{
    uint64_t target = fab__read_u64(body);
    uint32_t head = body->failed ? 0 : body->length - body->offset;
    const uint8_t *bytes = fab__read_bytes(body, head);
    uint32_t length = head + tail_length;
    const struct fab_msg *msg;
    struct xh_block *block;
    struct fab_ep *ep;
    bool closed;

    if (length == 0) {
        return false;
    }
    ep = receiver_find(session, target, &closed);
    if (ep == NULL) {
        return closed;
    }
    if (!ep->assembling) {
        fab__ep_violated(ep, CT_ILLEGAL);
        return true;
    }
    msg = fab__queue_at(&ep->in, ep->in.count);
    block = msg->args[ep->fill_arg].block;
    if (ep->reading != 0 || length > block->bytes - ep->fill_offset) {
        fab__ep_violated(ep, msg->tag);
        return true;
    }
    block_fill(ep, msg, bytes, head);
    ep->fill_offset += head;
    if (tail_length != 0) {
        block_fill(ep, msg, tail, tail_length);
        ep->fill_offset += tail_length;
    }
    if (ep->fill_offset == block->bytes) {
        fab__inbox_filled(session, ep);
    }
    return true;
}

/* --- OPEN and CLOSE ------------------------------------------------------------------------- */

static bool id_is_from(const struct fab__session *session, uint64_t id)
{
    return id >> FAB__ID_NODE_SHIFT == session->peer_id &&
           (id >> FAB__ID_EPOCH_SHIFT & FAB__EPOCH_MAX) == session->peer_epoch;
}

static bool on_open(struct fab__session *session, struct fab__reader *body)
{
    struct fab_node *node = session->node;
    uint64_t imp_id = fab__read_u64(body);
    uint64_t exp_id = fab__read_u64(body);
    const uint8_t *contract_id = fab__read_bytes(body, CT_ID_BYTES);
    uint32_t length = body->failed ? 0 : body->length - body->offset;
    const uint8_t *bytes = fab__read_bytes(body, length);
    char name[FAB_NAME_BYTES_MAX + 1] = {0};
    const struct fab__export *entry;
    struct fab_ep *exp;

    if (length == 0 || length > FAB_NAME_BYTES_MAX || memchr(bytes, 0, length) != NULL ||
        imp_id == exp_id || !id_is_from(session, imp_id) || !id_is_from(session, exp_id) ||
        fab__ep_first(node, exp_id) != NULL) {
        return false;
    }
    memcpy(name, bytes, length);
    entry = fab__export_find(node, name, contract_id);
    if (entry == NULL) {
        fab__reply(session, FAB__RECORD_CLOSE, imp_id, SF_CAUSE_OF(NO_EXPORTER));
        return true;
    }
    if (fab__ep_create(node, entry->contract, CT_EXP, 0, exp_id, &exp) != SF_OK) {
        fab__reply(session, FAB__RECORD_CLOSE, imp_id, SF_CAUSE_OF(QUOTA));
        return true;
    }
    exp->peer_id = imp_id;
    exp->peer_node = session->peer_id;
    exp->place = FAB__REMOTE;
    fab__export_opened(node, entry, exp);
    return true;
}

/* Until its SIP has gone, the peer of one that is held may still break. */
static bool is_from_peer(const struct fab__session *session, const struct fab_ep *ep)
{
    return ep->peer_node == session->peer_id &&
           (ep->place == FAB__REMOTE || (ep->place == FAB__HELD && !ep->hold->source_gone));
}

static bool on_close(struct fab__session *session, struct fab__reader *body, uint8_t flags)
{
    uint64_t target = fab__read_u64(body);
    struct sf_cause cause = fab__read_cause(body);
    bool forwarded = (flags & FAB__CLOSE_FORWARDED) != 0;
    bool other = false;

    if (body->failed || cause.kind == SF_CAUSE_NONE) {
        return false;
    }
    for (struct fab_ep *ep = fab__ep_first(session->node, target); ep != NULL;
         ep = fab__ep_next(ep)) {
        if (forwarded ? ep->place == FAB__PENDING && ep->via_node == session->peer_id
                      : is_from_peer(session, ep)) {
            session->info.closes_received++;
            fab__ep_lose(ep, cause);
            return true;
        }
        other = other || (ep->place != FAB__GONE && ep->left_node != session->peer_id);
    }
    return forwarded || !other;
}

/* --- records -------------------------------------------------------------------------------- */

static bool on_arrived(struct fab__session *session, struct fab__reader *body)
{
    uint64_t id = fab__read_u64(body);
    struct sf_cause cause = fab__read_cause(body);

    if (!body_ended(body)) {
        return false;
    }
    fab__on_arrived(session, id, cause);
    return true;
}

static bool on_peer_moved(struct fab__session *session, struct fab__reader *body)
{
    uint64_t target = fab__read_u64(body);
    uint64_t moved_id = fab__read_u64(body);
    uint16_t moved_node = fab__read_u16(body);

    return body_ended(body) && fab__on_peer_moved(session, target, moved_id, moved_node);
}

static bool on_peer_here(struct fab__session *session, struct fab__reader *body)
{
    uint64_t target = fab__read_u64(body);
    uint64_t peer_id = fab__read_u64(body);

    return body_ended(body) && fab__on_peer_here(session, target, peer_id);
}

static bool on_moved_ack(struct fab__session *session, struct fab__reader *body)
{
    uint64_t id = fab__read_u64(body);

    if (!body_ended(body)) {
        return false;
    }
    fab__on_moved_ack(session, id);
    return true;
}

static bool on_taken(struct fab__session *session, struct fab__reader *body, bool taken)
{
    uint64_t target = fab__read_u64(body);

    if (!body_ended(body) || !session->refers) {
        return false;
    }
    fab__outbox_taken(session, target, taken);
    return true;
}

/* HOLD and those after it. */
static bool on_move(struct fab__session *session, uint8_t type, struct fab__reader *body)
{
    static bool (*const takers[])(struct fab__session *, const struct fab__move_record *) = {
        [FAB__RECORD_HOLD] = fab__on_hold,         [FAB__RECORD_HELD] = fab__on_held,
        [FAB__RECORD_UNHOLD] = fab__on_unhold,     [FAB__RECORD_RELEASED] = fab__on_released,
        [FAB__RECORD_NOW_HERE] = fab__on_now_here, [FAB__RECORD_AWAITED] = fab__on_awaited,
        [FAB__RECORD_DROPPED] = fab__on_dropped,
    };
    struct fab__move_record record = {0};

    record.target = fab__read_u64(body);
    record.peer = fab__read_u64(body);
    record.move = fab__read_u64(body);
    if (type == FAB__RECORD_HOLD) {
        record.node = fab__read_u16(body);
    } else if (type == FAB__RECORD_HELD) {
        record.status = fab__read_u8(body);
    }
    return body_ended(body) && takers[type](session, &record);
}

static bool on_move_over(struct fab__session *session, struct fab__reader *body)
{
    uint64_t move = fab__read_u64(body);

    return body_ended(body) && fab__on_move_over(session, move);
}

static bool record_take(struct fab__session *session, uint8_t type, uint8_t flags,
                        struct fab__reader *body)
{
    if (__builtin_expect(type == FAB__RECORD_MSG && flags == FAB__MSG_COMPACT, 1)) {
        return on_compact(session, body);
    }
    if (flags != 0 && (type != FAB__RECORD_CLOSE || flags != FAB__CLOSE_FORWARDED)) {
        return false;
    }
    switch (type) {
    case FAB__RECORD_OPEN:
        return on_open(session, body);
    case FAB__RECORD_MSG:
        return on_msg(session, body);
    case FAB__RECORD_DATA:
        return on_data(session, body, NULL, 0);
    case FAB__RECORD_CLOSE:
        return on_close(session, body, flags) && body_ended(body);
    case FAB__RECORD_ARRIVED:
        return on_arrived(session, body);
    case FAB__RECORD_PEER_MOVED:
        return on_peer_moved(session, body);
    case FAB__RECORD_PEER_HERE:
        return on_peer_here(session, body);
    case FAB__RECORD_MOVED_ACK:
        return on_moved_ack(session, body);
    case FAB__RECORD_REFER:
        return on_refer(session, body);
    case FAB__RECORD_TAKEN:
    case FAB__RECORD_UNREAD:
        return on_taken(session, body, type == FAB__RECORD_TAKEN);
    case FAB__RECORD_MOVE_OVER:
        return on_move_over(session, body);
    default:
        return type >= FAB__RECORD_HOLD && type < FAB__RECORD_MOVE_OVER &&
               on_move(session, type, body);
    }
}

void fab__inbox_take(struct fab__session *session, const uint8_t *bytes, uint32_t length)
{
    while (length != 0 && !session->broken) {
        struct fab__reader head = {.bytes = bytes, .length = FAB__RECORD_HEADER_BYTES};
        struct fab__reader body = {.bytes = bytes + FAB__RECORD_HEADER_BYTES};
        uint8_t type, flags;

        if (length < FAB__RECORD_HEADER_BYTES) {
            session->broken = true;
            return;
        }
        type = fab__read_u8(&head);
        flags = fab__read_u8(&head);
        body.length = fab__read_u16(&head);
        length -= FAB__RECORD_HEADER_BYTES;
        if (length < body.length || !record_take(session, type, flags, &body)) {
            session->broken = true;
            return;
        }
        bytes = body.bytes + body.length;
        length -= body.length;
    }
}

bool fab__is_data(const uint8_t *bytes, uint32_t length, uint32_t tail_length)
{
    struct fab__reader head = {.bytes = bytes, .length = FAB__RECORD_HEADER_BYTES};

    return length > FAB__DATA_HEADER_BYTES && fab__read_u8(&head) == FAB__RECORD_DATA &&
           fab__read_u8(&head) == 0 &&
           fab__read_u16(&head) == length + tail_length - FAB__RECORD_HEADER_BYTES;
}

void fab__inbox_take_data(struct fab__session *session, const uint8_t *bytes, uint32_t length,
                          const uint8_t *tail, uint32_t tail_length)
{
    struct fab__reader body = {.bytes = bytes + FAB__RECORD_HEADER_BYTES,
                               .length = length - FAB__RECORD_HEADER_BYTES};

    if (!on_data(session, &body, tail, tail_length)) {
        session->broken = true;
    }
}
