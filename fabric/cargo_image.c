/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cargo as bytes (docs/moves.md has the table), and back.
 *
 * Reading goes through the bytes twice: first the endpoints are made, then their messages, because
 * a message may have an endpoint in it that comes later. What has been made when something turns
 * out to be wrong is freed again.
 */
#include <assert.h>

#include "cargo.h"
#include "endpoint.h"
#include "message.h"
#include "move.h"
#include "queue.h"
#include "session.h"
#include "wire.h"

#define MAGIC 0x31474346u /* "FCG1" */
#define HEAD_BYTES 16u
#define EP_BYTES 82u
#define FLAG_PAIR 1u       /* the peer is in this cargo, too */
#define FLAG_IN_MESSAGE 2u /* of another endpoint of this cargo */

/* --- writing -------------------------------------------------------------------------------- */

static uint64_t ep_bytes(const struct fab_ep *ep)
{
    uint64_t bytes = EP_BYTES;

    for (uint32_t m = 0; m < ep->in.count; m++) {
        const struct fab_msg *msg = fab__queue_at(&ep->in, m);
        const struct fab_plan *plan = &ep->plans[msg->tag];
        bytes += 1;
        for (uint32_t i = 0; i < plan->arg_count; i++) {
            if ((plan->blocks >> i & 1u) == 0) {
                bytes += 8;
            } else {
                bytes += 4u + (msg->args[i].block == NULL ? 0 : msg->args[i].block->bytes);
            }
        }
    }
    return bytes;
}

uint64_t fab_cargo_bytes(const struct fab_cargo *cargo)
{
    uint64_t bytes = HEAD_BYTES;

    for (uint32_t i = 0; i < cargo->ep_count; i++) {
        bytes += ep_bytes(cargo->eps[i]);
    }
    return bytes;
}

static void msg_write(struct fab__writer *writer, const struct fab_ep *ep,
                      const struct fab_msg *msg)
{
    const struct fab_plan *plan = &ep->plans[msg->tag];

    fab__write_u8(writer, msg->tag);
    for (uint32_t i = 0; i < plan->arg_count; i++) {
        if (plan->blocks >> i & 1u) {
            const struct xh_block *block = msg->args[i].block;
            fab__write_u32(writer, block == NULL ? 0 : block->bytes);
            if (block != NULL) {
                fab__write_bytes(writer, block->data, block->bytes);
            }
        } else if (plan->eps >> i & 1u) {
            fab__write_u64(writer, msg->args[i].ep == NULL ? 0 : msg->args[i].ep->id);
        } else {
            fab__write_u64(writer, msg->args[i].scalar);
        }
    }
}

static void ep_write(struct fab__writer *writer, const struct fab_ep *ep)
{
    uint8_t flags = (uint8_t)((ep->place == FAB__LOCAL ? FLAG_PAIR : 0) |
                              (ep->in_message ? FLAG_IN_MESSAGE : 0));

    fab__write_u64(writer, ep->id);
    fab__write_u64(writer, ep->peer_id);
    fab__write_u64(writer, ep->contract->table->short_id);
    fab__write_bytes(writer, ep->contract->table->id, CT_ID_BYTES);
    fab__write_u16(writer, ep->peer_node);
    fab__write_u8(writer, ep->side);
    fab__write_u8(writer, ep->state);
    fab__write_u8(writer, flags);
    fab__write_cause(writer, ep->cause);
    fab__write_u64(writer, ep->sent);
    fab__write_u64(writer, ep->received);
    fab__write_u8(writer, ep->in.count);
    for (uint32_t m = 0; m < ep->in.count; m++) {
        msg_write(writer, ep, fab__queue_at(&ep->in, m));
    }
}

void fab_cargo_write(const struct fab_cargo *cargo, uint8_t *bytes)
{
    struct fab__writer writer = {.bytes = bytes, .capacity = (uint32_t)fab_cargo_bytes(cargo)};

    assert(cargo->state == FAB_CARGO_HELD);
    fab__write_u32(&writer, MAGIC);
    fab__write_u64(&writer, cargo->move);
    fab__write_u32(&writer, cargo->ep_count);
    for (uint32_t i = 0; i < cargo->ep_count; i++) {
        ep_write(&writer, cargo->eps[i]);
    }
    assert(!writer.failed);
    assert(writer.length == writer.capacity);
}

/* --- reading: endpoints --------------------------------------------------------------------- */

struct ep_head {
    uint64_t id, peer_id;
    uint64_t short_id;
    const uint8_t *contract_id;
    uint16_t peer_node;
    uint8_t side, state, flags;
    struct sf_cause cause;
    uint64_t sent, received;
    uint8_t in_count;
};

static bool head_read(struct fab__reader *reader, struct ep_head *head)
{
    head->id = fab__read_u64(reader);
    head->peer_id = fab__read_u64(reader);
    head->short_id = fab__read_u64(reader);
    head->contract_id = fab__read_bytes(reader, CT_ID_BYTES);
    head->peer_node = fab__read_u16(reader);
    head->side = fab__read_u8(reader);
    head->state = fab__read_u8(reader);
    head->flags = fab__read_u8(reader);
    head->cause = fab__read_cause(reader);
    head->sent = fab__read_u64(reader);
    head->received = fab__read_u64(reader);
    head->in_count = fab__read_u8(reader);
    return !reader->failed && head->id != 0 && head->peer_id != 0 && head->id != head->peer_id &&
           head->side <= CT_EXP && head->flags <= (FLAG_PAIR | FLAG_IN_MESSAGE) &&
           (head->cause.kind != SF_CAUSE_NONE ||
            (head->peer_node != 0 && head->peer_node < FAB_NODES_MAX));
}

static bool msg_skip(struct fab__reader *reader, const struct fab__contract *contract)
{
    uint8_t tag = fab__read_u8(reader);
    const struct fab_plan *plan;

    if (reader->failed || tag >= contract->table->message_count) {
        return false;
    }
    plan = &contract->plans[tag];
    for (uint32_t i = 0; i < plan->arg_count; i++) {
        if (plan->blocks >> i & 1u) {
            (void)fab__read_bytes(reader, fab__read_u32(reader));
        } else {
            (void)fab__read_u64(reader);
        }
    }
    return !reader->failed;
}

static sf_status ep_make(struct fab_cargo *cargo, const struct ep_head *head,
                         const struct fab__contract *contract)
{
    struct fab_ep *ep;
    sf_status st;

    if (head->state >= contract->table->state_count || fab__id_taken(cargo->node, head->id)) {
        return SF_FORMAT;
    }
    st =
        fab__ep_create(cargo->node, contract, (enum ct_side)head->side, head->state, head->id, &ep);
    if (st != SF_OK) {
        return st;
    }
    st = fab__cargo_push(cargo, ep);
    if (st != SF_OK) {
        fab__ep_free(ep);
        return st;
    }
    ep->aboard = FAB__ABOARD_SETTLED;
    ep->peer_id = head->peer_id;
    ep->peer_node = head->peer_node;
    ep->cause = head->cause;
    ep->sent = head->sent;
    ep->received = head->received;
    ep->place = head->cause.kind == SF_CAUSE_NONE ? FAB__APART : FAB__GONE;
    return SF_OK;
}

static sf_status eps_make(struct fab_cargo *cargo, struct fab__reader *reader, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct fab__contract *contract;
        struct ep_head head;
        sf_status st;

        if (!head_read(reader, &head)) {
            return SF_FORMAT;
        }
        contract = fab__contract_by_short_id(cargo->node, head.short_id);
        if (contract == NULL || memcmp(contract->table->id, head.contract_id, CT_ID_BYTES) != 0) {
            return SF_NOTFOUND;
        }
        st = ep_make(cargo, &head, contract);
        for (uint32_t m = 0; st == SF_OK && m < head.in_count; m++) {
            st = msg_skip(reader, contract) ? SF_OK : SF_FORMAT;
        }
        if (st != SF_OK) {
            return st;
        }
    }
    return reader->offset == reader->length ? SF_OK : SF_FORMAT;
}

/* --- reading: messages ---------------------------------------------------------------------- */

static sf_status block_read(struct fab__reader *reader, const struct fab_ep *ep,
                            const struct ct_arg *arg, union fab_arg *out_arg)
{
    uint32_t bytes = fab__read_u32(reader);
    const uint8_t *from = fab__read_bytes(reader, bytes);
    sf_status st;

    if (bytes == 0) {
        return arg->optional ? SF_OK : SF_FORMAT;
    }
    if (from == NULL || arg->nested || bytes > FAB_MESSAGE_BLOCK_BYTES_MAX ||
        bytes % fab__element_bytes(arg) != 0) {
        return SF_FORMAT;
    }
    st = xh_alloc(ep->node->heap, bytes, fab__ep_owner(ep), &out_arg->block);
    if (st == SF_OK) {
        memcpy(out_arg->block->data, from, bytes);
    }
    return st;
}

static sf_status ep_arg_read(struct fab__reader *reader, const struct fab_ep *ep, uint8_t tag,
                             uint32_t index, union fab_arg *out_arg)
{
    uint64_t id = fab__read_u64(reader);
    struct fab_ep *arg = id == 0 ? NULL : fab_cargo_find(ep->cargo, id);

    if (id == 0) {
        return (ep->plans[tag].optional >> index & 1u) ? SF_OK : SF_FORMAT;
    }
    if (arg == NULL || arg == ep || arg->in_message || arg->in.count != 0 ||
        !fab__ep_arg_fits(ep, tag, index, arg->contract->table, arg->side, arg->state)) {
        return SF_FORMAT;
    }
    arg->in_message = true;
    out_arg->ep = arg;
    return SF_OK;
}

/* The slot is counted first, so that whatever is in it is freed with the queue. */
static sf_status msg_read(struct fab__reader *reader, struct fab_ep *ep)
{
    uint8_t tag = fab__read_u8(reader);
    uint8_t next = fab__ep_step(ep, ep->arrival_state, ct_other(ep->side), tag);
    const struct fab_plan *plan;
    struct fab_msg *msg;
    sf_status st = SF_OK;

    if (next == CT_ILLEGAL || fab__queue_full(&ep->in) || ep->in_message) {
        return SF_FORMAT;
    }
    plan = &ep->plans[tag];
    msg = fab__queue_at(&ep->in, ep->in.count);
    *msg = (struct fab_msg){.tag = tag, .arg_count = plan->arg_count};
    ep->in.count++;
    ep->arrival_state = next;
    for (uint32_t i = 0; st == SF_OK && i < plan->arg_count; i++) {
        if (plan->blocks >> i & 1u) {
            st = block_read(reader, ep, &ep->contract->table->messages[tag].args[i], &msg->args[i]);
        } else if (plan->eps >> i & 1u) {
            st = ep_arg_read(reader, ep, tag, i, &msg->args[i]);
        } else {
            msg->args[i].scalar = fab__read_u64(reader);
            st = fab__scalar_fits(plan->kinds[i], msg->args[i].scalar) ? SF_OK : SF_FORMAT;
        }
    }
    return st;
}

/* Both ends of a channel come. */
static bool pair_join(const struct fab_cargo *cargo, struct fab_ep *ep)
{
    struct fab_ep *peer = fab_cargo_find(cargo, ep->peer_id);

    if (ep->place == FAB__LOCAL) {
        return ep->peer == peer;
    }
    if (peer == NULL || ep->place != FAB__APART || peer->place != FAB__APART ||
        peer->peer_id != ep->id || peer->contract != ep->contract || peer->side == ep->side ||
        ep->arrival_state != peer->arrival_state || (ep->in.count != 0 && peer->in.count != 0) ||
        (ep->in.count != 0 && peer->state != ep->arrival_state) ||
        (peer->in.count != 0 && ep->state != peer->arrival_state)) {
        return false;
    }
    fab__ep_join(ep, peer);
    return true;
}

static sf_status messages_make(const struct fab_cargo *cargo, struct fab__reader *reader)
{
    for (uint32_t i = 0; i < cargo->ep_count; i++) {
        struct ep_head head;
        sf_status st = head_read(reader, &head) ? SF_OK : SF_FORMAT;

        for (uint32_t m = 0; st == SF_OK && m < head.in_count; m++) {
            st = msg_read(reader, cargo->eps[i]);
        }
        if (st != SF_OK) {
            return st;
        }
    }
    return SF_OK;
}

/* What only shows when all is there. */
static bool flags_hold(const struct fab_cargo *cargo, struct fab__reader *reader)
{
    for (uint32_t i = 0; i < cargo->ep_count; i++) {
        struct fab_ep *ep = cargo->eps[i];
        struct ep_head head;

        if (!head_read(reader, &head) || ((head.flags & FLAG_IN_MESSAGE) != 0) != ep->in_message ||
            ((head.flags & FLAG_PAIR) != 0 && !pair_join(cargo, ep))) {
            return false;
        }
        for (uint32_t m = 0; m < head.in_count; m++) {
            (void)msg_skip(reader, ep->contract);
        }
    }
    for (uint32_t i = 0; i < cargo->ep_count; i++) {
        const struct fab_ep *ep = cargo->eps[i];
        if (ep->place == FAB__APART && fab_cargo_find(cargo, ep->peer_id) != NULL) {
            return false; /* a pair that does not say so */
        }
    }
    return true;
}

/* Whoever it talks to can be told. A session that has not been heard may be one that the other side
 * has forgotten. */
static bool ways_there(const struct fab_cargo *cargo)
{
    for (uint32_t i = 0; i < cargo->ep_count; i++) {
        const struct fab_ep *ep = cargo->eps[i];
        const struct fab__session *session = cargo->node->sessions[ep->peer_node % FAB_NODES_MAX];
        if (ep->place == FAB__APART && ep->peer_node != cargo->node->node_id &&
            (session == NULL || !session->met)) {
            return false;
        }
    }
    return true;
}

static void undo(struct fab_cargo *cargo)
{
    for (uint32_t i = 0; i < cargo->ep_count; i++) {
        fab__cargo_forget(cargo->eps[i]);
    }
    fab__cargo_free(cargo);
}

sf_status fab_cargo_read(struct fab_node *node, uint64_t move, const uint8_t *bytes,
                         uint64_t length, struct fab_cargo **out_cargo)
{
    struct fab__reader reader = {.bytes = bytes, .length = (uint32_t)length};
    struct fab_cargo *cargo;
    uint32_t count;
    sf_status st;

    if (length > UINT32_MAX || fab__read_u32(&reader) != MAGIC || fab__read_u64(&reader) != move ||
        fab_move_source(move) == node->node_id) {
        return SF_FORMAT;
    }
    count = fab__read_u32(&reader);
    if (reader.failed || count > FAB_CARGO_EPS_MAX) {
        return SF_FORMAT;
    }
    st = fab__cargo_create(node, move, node->node_id, &cargo);
    if (st != SF_OK) {
        return st;
    }
    cargo->imported = true;
    st = eps_make(cargo, &reader, count);
    reader.offset = HEAD_BYTES;
    if (st == SF_OK) {
        st = messages_make(cargo, &reader);
    }
    reader.offset = HEAD_BYTES;
    if (st == SF_OK && !flags_hold(cargo, &reader)) {
        st = SF_FORMAT;
    }
    if (st == SF_OK && !ways_there(cargo)) {
        st = SF_AGAIN;
    }
    if (st != SF_OK) {
        undo(cargo);
        return st;
    }
    *out_cargo = cargo;
    return SF_OK;
}
