/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel calls on endpoints: send, receive, and the small ones (calls_wait.c: select, accept).
 *
 * A message is translated at this border: handles become endpoints, window addresses become blocks
 * of the exchange heap, and back. Bytes are copied between window and block, or moved (handover.c).
 * A received message for which the SIP has no room (window or quota full, no handle) is kept in its
 * port and offered again by the next receive.
 *
 * The lock is taken unless the port is local and the message carries no endpoint (worker.h).
 */
#include "internal.h"

#include <assert.h>
#include <stdlib.h>

/* A message where the SIP put it: at any address. */
typedef struct nk_msg nk_msg_unaligned __attribute__((aligned(1)));

/* --- sending ------------------------------------------------------------------------------------
 */

/* Blocks and ports that go with a message. */
struct parcel {
    uint32_t block_count, port_count;
    uint32_t addresses[NK_ARGS_MAX];
    struct xh_block *blocks[NK_ARGS_MAX];
    struct nk_port *ports[NK_ARGS_MAX];
};

/* A refused message should leave its blocks as they were: looks before trimming. */
static __attribute__((noinline)) sf_status pack_trim(struct nk_sip *sip, const struct nk_port *port,
                                                     uint32_t tag, struct xh_block *block,
                                                     uint32_t bytes)
{
    sf_status st;

    if (ct_step(port->contract, fab_ep_state(port->ep), port->side, tag) == CT_ILLEGAL) {
        return SF_CONTRACT;
    }
    st = xh_trim(sip->kernel->heap, block, bytes);
    assert(st == SF_OK);
    return st;
}

/* Finds the block that the SIP means; its bytes stay where they are for now. */
static sf_status pack_block(struct nk_sip *sip, const struct nk_port *port, uint32_t tag,
                            uint64_t value, struct parcel *parcel, struct xh_block **out_block)
{
    uint32_t address = (uint32_t)value, bytes = (uint32_t)(value >> 32);
    struct xh_block *block;

    *out_block = NULL;
    if (value == 0) {
        return SF_OK; /* absent: the fabric knows whether that may be */
    }
    block = nk__window_find(sip, address);
    if (block == NULL) {
        return SF_NOTOWNER;
    }
    if (bytes == 0 || bytes > block->bytes) {
        return SF_BADARG;
    }
    for (uint32_t i = 0; i < parcel->block_count; i++) {
        if (parcel->addresses[i] == address) {
            return SF_NOTOWNER; /* the same block twice */
        }
    }
    if (bytes < block->bytes) {
        sf_status st = pack_trim(sip, port, tag, block, bytes);

        if (st != SF_OK) {
            return st;
        }
    }
    parcel->addresses[parcel->block_count] = address;
    parcel->blocks[parcel->block_count++] = block;
    *out_block = block;
    return SF_OK;
}

static __attribute__((noinline)) sf_status pack_endpoint(struct nk_sip *sip,
                                                         const struct nk_port *port, uint64_t value,
                                                         struct parcel *parcel,
                                                         struct fab_ep **out_ep)
{
    struct nk_port *given;

    *out_ep = NULL;
    if (value == 0) {
        return SF_OK;
    }
    given = value > UINT32_MAX ? NULL : nk__port(sip, (uint32_t)value);
    if (given == NULL) {
        return SF_BADHANDLE;
    }
    if (given == port) {
        return SF_BADARG; /* an endpoint cannot travel over itself */
    }
    if (given->stash != NULL) {
        return SF_AGAIN; /* a message waits to be received from it */
    }
    for (uint32_t i = 0; i < parcel->port_count; i++) {
        if (parcel->ports[i] == given) {
            return SF_BADHANDLE; /* the same endpoint twice */
        }
    }
    parcel->ports[parcel->port_count++] = given;
    *out_ep = given->ep;
    return SF_OK;
}

/* Translates what the SIP wrote; nothing has changed hands yet. */
static inline sf_status pack(struct nk_sip *sip, const struct nk_port *port,
                             const nk_msg_unaligned *in, struct fab_msg *msg, struct parcel *parcel)
{
    const struct fab_plan *plan;
    uint32_t tag = in->tag, count = in->arg_count;

    if (__builtin_expect(tag >= port->message_count, 0)) {
        return SF_CONTRACT;
    }
    plan = &port->plans[tag];
    if (__builtin_expect(count != plan->arg_count, 0)) {
        return SF_CONTRACT;
    }
    msg->tag = (uint8_t)tag;
    msg->arg_count = (uint8_t)count;
    for (uint32_t i = 0; i < count; i++) {
        msg->args[i].scalar = in->args[i];
    }
    for (uint32_t left = plan->blocks; left != 0; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctz(left);
        sf_status st = pack_block(sip, port, tag, msg->args[i].scalar, parcel, &msg->args[i].block);

        if (st != SF_OK) {
            return st;
        }
    }
    for (uint32_t left = plan->eps; left != 0; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctz(left);
        sf_status st = pack_endpoint(sip, port, msg->args[i].scalar, parcel, &msg->args[i].ep);

        if (st != SF_OK) {
            return st;
        }
    }
    return SF_OK;
}

/* Blocks of a parcel leave the window for good. `capacities` were theirs: they may be gone. */
static void parcel_leave(struct nk_sip *sip, const struct parcel *parcel,
                         const uint32_t *capacities)
{
    for (uint32_t i = 0; i < parcel->block_count; i++) {
        nk__window_remove(sip, parcel->addresses[i]);
        sip->block_bytes -= capacities[i];
        sip->block_count--;
    }
}

static __attribute__((noinline)) sf_status send_locked(struct nk_kernel *kernel,
                                                       struct nk_port *port,
                                                       const struct fab_msg *msg, uint64_t owner)
{
    struct nk_trace_event *event = port->trace != 0 ? nk__trace_sending(kernel, port, msg) : NULL;
    sf_status st = fab_ep_send(port->ep, msg, owner);

    if (port->trace != 0 && st == SF_OK) {
        nk__trace_sent(kernel, port, event);
    }
    nk__port_leaves(port, kernel);
    return st;
}

/* To the fabric. Blocks and ports of the parcel are gone if it is OK. */
static sf_status send_queued(struct nk_sip *sip, struct nk_port *port, const struct fab_msg *msg,
                             const struct parcel *parcel)
{
    struct nk_kernel *kernel = sip->kernel;
    int locked = !port->local || parcel->port_count > 0;
    uint32_t capacities[NK_ARGS_MAX];
    sf_status st;

    for (uint32_t i = 0; i < parcel->block_count; i++) {
        struct xh_block *block = parcel->blocks[i];

        capacities[i] = block->capacity;
        nk__handover_leave(sip, block, parcel->addresses[i]);
        xh_charge(block, sip->account); /* before anybody can take it */
    }
    if (locked) {
        nk__lock(kernel);
    }
    for (uint32_t i = 0; i < parcel->port_count; i++) {
        nk__port_share(parcel->ports[i]);
    }
    if (locked) {
        st = send_locked(kernel, port, msg, sip->owner);
    } else {
        st = fab_ep_send(port->ep, msg, sip->owner);
    }
    for (uint32_t i = 0; i < parcel->port_count; i++) {
        if (st == SF_OK) {
            if (parcel->ports[i]->trace != 0) {
                nk__trace_moved(kernel, parcel->ports[i]);
            }
            nk__port_free(parcel->ports[i]);
        } else {
            nk__port_settle(parcel->ports[i]);
        }
    }
    if (locked) {
        nk__unlock(kernel);
    }
    if (st == SF_OK) {
        parcel_leave(sip, parcel, capacities);
        return SF_OK;
    }
    for (uint32_t i = 0; i < parcel->block_count; i++) {
        xh_discharge(parcel->blocks[i]);
        nk__handover_back(sip, parcel->blocks[i], parcel->addresses[i]);
    }
    return st;
}

/* memcpy, without the call for the sizes that come most. */
static inline void copy_small(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    if (bytes > 128 || bytes % 16 != 0) {
        memcpy(to, from, bytes);
        return;
    }
    for (uint32_t at = 0; at < bytes; at += 16) {
        memcpy(to + at, from + at, 16);
    }
}

/* Does the SIP at the other end wait to receive from this port, with nothing in between? */
static inline int mate_waits(const struct nk_port *mate)
{
    const struct nk_sip *to;

    if (mate == NULL || mate->waiting == 0) {
        return 0;
    }
    to = mate->sip;
    return to->state == NK_SIP_WAITING && mate->stash == NULL &&
           (to->wait == NK_WAIT_RECV ? to->wait_port == mate
                                     : to->wait == NK_WAIT_RECV_ANY && mate->select_bit != 0);
}

/* What a SIP waited for is in its memory. */
static inline void straight_done(struct nk_port *mate, uint8_t tag)
{
    struct nk_sip *to = mate->sip;

    nk__note_got(&mate->notes, tag);
    mate->waiting &= (uint8_t)~NK_WAITING_RECV;
    to->result = to->wait == NK_WAIT_RECV ? SF_OK : (uint64_t)__builtin_ctzll(mate->select_bit);
    to->wait = NK_WAIT_NONE;
    if (__builtin_expect(to->timer_index != 0, 0)) {
        nk__timer_remove(to);
    }
}

bool nk__arrive(struct nk_port *port, const struct fab_msg *msg)
{
    nk_msg_unaligned *out;

    if (!mate_waits(port) || port->trace != 0 || !nk__mine(port->sip->worker)) {
        return false;
    }
    out = (nk_msg_unaligned *)port->sip->wait_out;
    out->tag = msg->tag;
    out->arg_count = msg->arg_count;
    fab_words_copy(out->args, msg->args, msg->arg_count);
    straight_done(port, msg->tag);
    nk__wake(port->sip);
    return true;
}

/*
 * Straight into the hands of the SIP that waits for it. AGAIN: not possible, nothing has changed;
 * it has to go through the queue.
 */
static sf_status send_straight(struct nk_sip *sip, struct nk_port *port, const struct fab_msg *msg,
                               const struct parcel *parcel)
{
    struct nk_port *mate = port->mate;
    struct nk_sip *to = mate->sip;
    nk_msg_unaligned *out = (nk_msg_unaligned *)to->wait_out;
    struct xh_block *block = NULL;
    uint32_t address = 0;
    int large = 0;
    sf_status st;

    if (parcel->block_count > 0) {
        block = parcel->blocks[0];
        large = block->bytes > NK_CELL_BYTES_MAX;
        if (nk__blocks_fit(to, block->capacity)) {
            address = large ? nk__handover_pass(sip, block, parcel->addresses[0], to)
                            : nk__window_add(to, block, block->bytes);
        }
        if (address == 0) {
            return SF_AGAIN;
        }
    }
    st = fab_ep_pass(port->ep, msg, sip->owner, to->owner);
    if (__builtin_expect(st != SF_OK, 0)) {
        if (large) {
            nk__handover_unpass(sip, block, parcel->addresses[0], to, address);
        }
        if (address != 0) {
            nk__window_remove(to, address);
        }
        return st;
    }
    out->tag = msg->tag;
    out->arg_count = msg->arg_count;
    fab_words_copy(out->args, msg->args, msg->arg_count);
    if (address != 0) {
        uint32_t i = (uint32_t)__builtin_ctz(port->plans[msg->tag].blocks);

        if (!large) { /* not earlier: the cell is the other SIP's already */
            copy_small(to->memory + address, sip->memory + parcel->addresses[0], block->bytes);
        }
        out->args[i] = (uint64_t)block->bytes << 32 | address;
        to->block_bytes += block->capacity;
        to->block_count++;
        parcel_leave(sip, parcel, &block->capacity);
    }
    straight_done(mate, msg->tag);
    nk__wake_next(to);
    return SF_OK;
}

/*
 * The same for what comes most: 64-bit scalars and at most one small block, all of it. False: it
 * has to go another way, which also finds out what is wrong with it, if anything is.
 */
static int send_simple(struct nk_sip *sip, struct nk_port *port, const nk_msg_unaligned *in)
{
    struct nk_port *mate = port->mate;
    struct nk_sip *to = mate->sip;
    nk_msg_unaligned *out = (nk_msg_unaligned *)to->wait_out;
    uint32_t tag = in->tag, count = in->arg_count, from = 0, address = 0;
    const struct fab_plan *plan = &port->plans[tag];
    struct xh_block *block = NULL;

    if (tag >= port->message_count || !plan->simple || count != plan->arg_count) {
        return 0;
    }
    if (plan->blocks != 0) {
        uint32_t i = (uint32_t)__builtin_ctz(plan->blocks);

        from = (uint32_t)in->args[i];
        block = nk__window_find(sip, from);
        if (block == NULL || block->bytes != in->args[i] >> 32 ||
            block->bytes > NK_CELL_BYTES_MAX || (block->bytes & plan->grains[i]) != 0 ||
            !nk__blocks_fit(to, block->capacity)) {
            return 0;
        }
        address = nk__window_add(to, block, block->bytes);
        if (address == 0) {
            return 0;
        }
    }
    if (!fab_ep_pass_simple(port->ep, (uint8_t)tag)) {
        if (address != 0) {
            nk__window_remove(to, address);
        }
        return 0;
    }
    out->tag = tag;
    out->arg_count = count;
    for (uint32_t i = 0; i < count; i++) {
        out->args[i] = in->args[i];
    }
    if (block != NULL) {
        out->args[__builtin_ctz(plan->blocks)] = (uint64_t)block->bytes << 32 | address;
        copy_small(to->memory + address, sip->memory + from, block->bytes);
        block->owner = to->owner;
        to->block_bytes += block->capacity;
        to->block_count++;
        sip->block_bytes -= block->capacity;
        sip->block_count--;
        nk__window_remove(sip, from);
    }
    straight_done(mate, (uint8_t)tag);
    nk__wake_next(to);
    return 1;
}

/* One block at most, and present; no endpoint. */
static inline int parcel_is_plain(const struct parcel *parcel, const struct fab_plan *plan)
{
    return plan->eps == 0 && (plan->blocks & (plan->blocks - 1)) == 0 &&
           (plan->blocks == 0 || parcel->block_count == 1);
}

/* All that send_simple does not do. */
static __attribute__((noinline)) int64_t send_any(struct nk_sip *sip, struct nk_port *port,
                                                  const nk_msg_unaligned *in)
{
    struct fab_msg msg;
    struct parcel parcel;
    sf_status st;

    parcel.block_count = 0;
    parcel.port_count = 0;
    st = pack(sip, port, in, &msg, &parcel);

    if (st != SF_OK) {
        return nk__send_refused(sip, port, in->tag, st);
    }
    st = SF_AGAIN;
    if (mate_waits(port->mate) && parcel_is_plain(&parcel, &port->plans[msg.tag])) {
        st = send_straight(sip, port, &msg, &parcel);
    }
    if (st == SF_AGAIN) {
        st = send_queued(sip, port, &msg, &parcel);
    }
    if (st != SF_OK) {
        return nk__send_refused(sip, port, msg.tag, st);
    }
    nk__note_sent(&port->notes, msg.tag);
    sip->worker->messages++;
    return SF_OK;
}

/* After what was sent last, is it the other side's turn, and nobody else's here? */
static inline int is_turn_over(const struct nk_port *port)
{
    const struct nk_worker *worker = port->sip->worker;

    return port->contract->states[fab_ep_state(port->ep)].sender != port->side &&
           worker->ready == 0 && worker->index == 0;
}

/* What comes most between nodes: scalars only. The caller has checked tag and count. */
static __attribute__((noinline)) int64_t send_scalars(struct nk_sip *sip, struct nk_port *port,
                                                      const nk_msg_unaligned *in)
{
    struct nk_kernel *kernel = sip->kernel;
    uint8_t tag = (uint8_t)in->tag;
    sf_status st;

    nk__lock(kernel);
    st = fab_ep_send_words(port->ep, tag, in->args);
    nk__port_leaves(port, kernel);
    nk__unlock(kernel);
    if (__builtin_expect(st != SF_OK, 0)) {
        return nk__send_refused(sip, port, tag, st);
    }
    nk__note_sent(&port->notes, tag);
    sip->worker->messages++;
    if (kernel->said != NULL && is_turn_over(port)) {
        kernel->said(kernel->said_arg);
    }
    return SF_OK;
}

static inline int is_scalars(const struct nk_port *port, uint32_t tag, uint32_t count)
{
    const struct fab_plan *plan = &port->plans[tag];

    return tag < port->message_count && (plan->blocks | plan->eps) == 0 && count == plan->arg_count;
}

int64_t nk__call_send(struct nk_sip *sip, uint32_t handle, uint32_t message)
{
    struct nk_port *port = nk__port(sip, handle);
    const nk_msg_unaligned *in;
    uint32_t tag;

    if (__builtin_expect(port == NULL, 0)) {
        return -SF_BADHANDLE;
    }
    in = (const nk_msg_unaligned *)nk__memory(sip, message, sizeof(struct nk_msg));
    if (__builtin_expect(in == NULL, 0)) {
        return -SF_BADARG;
    }
    tag = in->tag; /* the message may lie in the block that it gives away */
    if (mate_waits(port->mate) && send_simple(sip, port, in)) {
        nk__note_sent(&port->notes, (uint8_t)tag);
        sip->worker->messages++;
        return SF_OK;
    }
    if (!port->local && port->trace == 0 && is_scalars(port, tag, in->arg_count)) {
        return send_scalars(sip, port, in);
    }
    return send_any(sip, port, in);
}

/* --- receiving ----------------------------------------------------------------------------------
 */

/* Puts a received block into the window. False: no room. */
static int unpack_block(struct nk_sip *sip, struct xh_block *block, uint64_t *out_value)
{
    uint32_t address;

    *out_value = 0;
    if (block == NULL) {
        return 1;
    }
    /* If it was this SIP that sent it, it counts already. */
    if (block->account != sip->account && !nk__blocks_fit(sip, block->capacity)) {
        return 0;
    }
    address = nk__handover_enter(sip, block);
    if (address == 0) {
        return 0;
    }
    sip->block_bytes += block->capacity;
    sip->block_count++;
    *out_value = (uint64_t)block->bytes << 32 | address;
    return 1;
}

static __attribute__((noinline)) int unpack_endpoint(struct nk_sip *sip, struct fab_ep *ep,
                                                     uint64_t *out_value)
{
    struct nk_port *port;

    *out_value = 0;
    if (ep == NULL) {
        return 1;
    }
    port = nk__port_add(sip, ep, NK_PORT_OPEN, "");
    if (port == NULL) {
        return 0;
    }
    *out_value = port->handle;
    return 1;
}

/* Takes back what was unpacked of a message before there was no more room. */
static __attribute__((noinline)) void unpack_undo(struct nk_sip *sip,
                                                  const struct ct_message *message,
                                                  const struct fab_msg *msg, const uint64_t *values,
                                                  uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (values[i] == 0) {
            continue;
        }
        if (message->args[i].kind == CT_ARG_BLOCK) {
            nk__handover_leave(sip, msg->args[i].block, (uint32_t)values[i]);
            xh_forget(msg->args[i].block); /* the SIP has not run meanwhile */
            nk__window_undo(sip, (uint32_t)values[i]);
            sip->block_bytes -= msg->args[i].block->capacity;
            sip->block_count--;
        } else if (message->args[i].kind == CT_ARG_ENDPOINT) {
            struct nk_port *port = nk__port(sip, (uint32_t)values[i]);

            nk__port_share(port);
            fab_ep_hold(msg->args[i].ep, NULL);
            nk__port_free(port);
        }
    }
}

static sf_status unpack(struct nk_sip *sip, const struct nk_port *port, const struct fab_msg *msg,
                        nk_msg_unaligned *out)
{
    const struct ct_message *message = &port->contract->messages[msg->tag];
    const struct fab_plan *plan = &port->plans[msg->tag];
    uint64_t values[NK_ARGS_MAX];

    if ((plan->blocks | plan->eps) == 0) {
        out->tag = msg->tag;
        out->arg_count = msg->arg_count;
        fab_words_copy(out->args, msg->args, msg->arg_count);
        return SF_OK;
    }

    for (uint32_t i = 0; i < msg->arg_count; i++) {
        uint8_t kind = message->args[i].kind;

        if (__builtin_expect(kind < CT_ARG_BLOCK, 1)) {
            values[i] = msg->args[i].scalar;
        } else if (kind == CT_ARG_BLOCK ? !unpack_block(sip, msg->args[i].block, &values[i])
                                        : !unpack_endpoint(sip, msg->args[i].ep, &values[i])) {
            unpack_undo(sip, message, msg, values, i);
            return kind == CT_ARG_BLOCK ? SF_NOMEM : SF_LIMIT;
        }
    }
    out->tag = msg->tag;
    out->arg_count = msg->arg_count;
    for (uint32_t i = 0; i < msg->arg_count; i++) {
        out->args[i] = values[i]; /* cppcheck-suppress uninitvar ; each was set above */
    }
    for (uint32_t left = plan->blocks; left != 0; left &= left - 1) {
        struct xh_block *block = msg->args[__builtin_ctz(left)].block;

        if (block != NULL) {
            xh_discharge(block);
        }
    }
    return SF_OK;
}

static __attribute__((noinline)) sf_status recv_stashed(struct nk_sip *sip, struct nk_port *port,
                                                        nk_msg_unaligned *out)
{
    sf_status st = unpack(sip, port, port->stash, out);

    if (st == SF_OK) {
        free(port->stash);
        port->stash = NULL;
    }
    return st;
}

/* Does it carry an endpoint? Then whoever received it holds the lock. */
static int brings_endpoint(const struct nk_port *port, const struct fab_msg *msg)
{
    const struct ct_message *message = &port->contract->messages[msg->tag];

    for (uint32_t i = 0; i < msg->arg_count; i++) {
        if (message->args[i].kind == CT_ARG_ENDPOINT) {
            return 1;
        }
    }
    return 0;
}

/* The message stays in the port. If not even that is possible, the channel ends. */
static __attribute__((noinline)) void recv_stash(struct nk_sip *sip, struct nk_port *port,
                                                 struct fab_msg *msg)
{
    int locked = !port->local || brings_endpoint(port, msg);

    port->stash = malloc(sizeof(*port->stash));
    if (port->stash != NULL) {
        *port->stash = *msg;
        return;
    }
    if (!locked) {
        nk__lock(sip->kernel);
    }
    fab_msg_drop(sip->kernel->fabric, port->contract, msg, sip->owner, SF_CAUSE_OF(QUOTA));
    fab_ep_close(port->ep, SF_CAUSE_OF(QUOTA));
    nk__port_free(port);
    if (!locked) {
        nk__unlock(sip->kernel);
    }
}

/* What a received message is for the SIP. */
static sf_status recv_unpack(struct nk_sip *sip, struct nk_port *port, struct fab_msg *msg,
                             nk_msg_unaligned *out)
{
    sf_status st;

    nk__note_got(&port->notes, msg->tag);
    st = unpack(sip, port, msg, out);
    if (__builtin_expect(st != SF_OK, 0)) {
        recv_stash(sip, port, msg);
    }
    return st;
}

static void recv_trace(const struct nk_kernel *kernel, const struct nk_port *port, uint8_t before,
                       const struct fab_msg *msg, sf_status st)
{
    if (msg != NULL) {
        nk__trace_received(kernel, port, before, msg);
    } else if (st == SF_CLOSED) {
        nk__trace_closed(kernel, port, fab_ep_cause(port->ep), true);
    }
}

/* AGAIN: there is nothing, and `waiting` (0 or NK_WAITING_RECV) is noted in the port. */
static __attribute__((noinline)) sf_status recv_locked(struct nk_sip *sip, struct nk_port *port,
                                                       nk_msg_unaligned *out, uint8_t waiting)
{
    const uint8_t before = fab_ep_state(port->ep);
    struct fab_msg msg;
    sf_status st;

    nk__lock(sip->kernel);
    if (port->stash != NULL) {
        st = recv_stashed(sip, port, out);
    } else {
        st = fab_ep_recv(port->ep, &msg, sip->owner);
        if (port->trace != 0) {
            recv_trace(sip->kernel, port, before, st == SF_OK ? &msg : NULL, st);
        }
        if (st == SF_OK) {
            st = recv_unpack(sip, port, &msg, out);
        } else if (st == SF_AGAIN) {
            port->waiting |= waiting;
        }
    }
    nk__unlock(sip->kernel);
    return st;
}

static inline sf_status recv_try(struct nk_sip *sip, struct nk_port *port, nk_msg_unaligned *out,
                                 uint8_t waiting)
{
    struct fab_msg msg;
    sf_status st;

    if (__builtin_expect(!port->local || port->stash != NULL, 0)) {
        return recv_locked(sip, port, out, waiting);
    }
    st = fab_ep_recv_plain(port->ep, &msg, sip->owner);
    if (st == SF_OK) {
        return recv_unpack(sip, port, &msg, out);
    }
    if (st == SF_UNSUPPORTED) {
        return recv_locked(sip, port, out, waiting);
    }
    if (st == SF_AGAIN) {
        port->waiting |= waiting;
    }
    return st;
}

int64_t nk__call_recv(struct nk_sip *sip, uint32_t handle, uint32_t message, int64_t timeout_ns)
{
    struct nk_port *port = nk__port(sip, handle);
    nk_msg_unaligned *out;
    sf_status st;

    if (port == NULL) {
        return -SF_BADHANDLE;
    }
    out = (nk_msg_unaligned *)nk__memory(sip, message, sizeof(struct nk_msg));
    if (out == NULL || timeout_ns < -1) {
        return -SF_BADARG;
    }
    st = recv_try(sip, port, out, timeout_ns != 0 ? NK_WAITING_RECV : 0);
    if (st != SF_AGAIN) {
        return -(int64_t)st;
    }
    if (timeout_ns == 0) {
        return -SF_TIMEOUT;
    }
    sip->wait = NK_WAIT_RECV;
    sip->wait_port = port;
    sip->wait_out = (uint8_t *)out;
    nk__block(sip, timeout_ns);
}

sf_status nk__recv_now(struct nk_sip *sip, struct nk_port *port, uint8_t *out)
{
    return recv_try(sip, port, (nk_msg_unaligned *)out, 0);
}

int64_t nk__recv_finish(struct nk_sip *sip)
{
    return -(int64_t)recv_try(sip, sip->wait_port, (nk_msg_unaligned *)sip->wait_out,
                              NK_WAITING_RECV);
}

/* --- the small ones -----------------------------------------------------------------------------
 */

int64_t nk__call_endpoint(struct nk_sip *sip, uint32_t name, uint32_t bytes)
{
    const char *text = (const char *)nk__memory(sip, name, bytes);

    if (text == NULL) {
        return -SF_BADARG;
    }
    for (uint32_t i = 1; i < nk__port_end(sip); i++) {
        struct nk_port *port = nk__port_at(sip, i);

        if (port->state == NK_PORT_WIRED && strlen(port->name) == bytes &&
            memcmp(port->name, text, bytes) == 0) {
            nk__lock(sip->kernel);
            port->state = NK_PORT_OPEN;
            nk__port_settle(port);
            nk__unlock(sip->kernel);
            return port->handle;
        }
    }
    return -SF_NOTFOUND;
}

/* Locked. */
static int64_t channel_make(struct nk_sip *sip, const struct ct_contract *contract, uint8_t state,
                            uint8_t *out_handles)
{
    struct fab_ep *eps[2];
    struct nk_port *ports[2];
    sf_status st = fab_chan_create(sip->kernel->fabric, contract, state, &eps[0], &eps[1]);

    if (st != SF_OK) {
        return -(int64_t)st;
    }
    ports[0] = nk__port_add(sip, eps[0], NK_PORT_OPEN, "");
    ports[1] = ports[0] == NULL ? NULL : nk__port_add(sip, eps[1], NK_PORT_OPEN, "");
    if (ports[1] == NULL) {
        if (ports[0] != NULL) {
            nk__port_close(ports[0], SF_CAUSE_OF(QUOTA));
        } else {
            fab_ep_close(eps[0], SF_CAUSE_OF(QUOTA));
        }
        fab_ep_close(eps[1], SF_CAUSE_OF(QUOTA));
        return -SF_LIMIT;
    }
    memcpy(out_handles, &ports[0]->handle, sizeof(uint32_t));
    memcpy(out_handles + sizeof(uint32_t), &ports[1]->handle, sizeof(uint32_t));
    return SF_OK;
}

int64_t nk__call_channel(struct nk_sip *sip, uint64_t contract, uint32_t state, uint32_t handles)
{
    uint8_t *out = nk__memory(sip, handles, 2 * sizeof(uint32_t));
    const struct ct_contract *known = NULL;
    const struct image *image = sip->image->image;
    int64_t result;

    if (out == NULL) {
        return -SF_BADARG;
    }
    for (uint32_t i = 0; i < image->contract_count; i++) {
        if (image->contracts[i]->short_id == contract) {
            known = image->contracts[i];
        }
    }
    if (known == NULL) {
        return -SF_NOTFOUND;
    }
    if (state >= known->state_count) {
        return -SF_BADARG;
    }
    nk__lock(sip->kernel);
    result = channel_make(sip, known, (uint8_t)state, out);
    nk__unlock(sip->kernel);
    return result;
}

int64_t nk__call_close(struct nk_sip *sip, uint32_t handle)
{
    struct nk_port *port = nk__port(sip, handle);

    if (port == NULL) {
        return -SF_BADHANDLE;
    }
    nk__lock(sip->kernel);
    nk__port_close(port, SF_CAUSE_OF(CLOSED_BY_PEER));
    nk__unlock(sip->kernel);
    return SF_OK;
}

int64_t nk__call_state(struct nk_sip *sip, uint32_t handle)
{
    const struct nk_port *port = nk__port(sip, handle);

    return port == NULL ? -SF_BADHANDLE : (int64_t)fab_ep_state(port->ep);
}

int64_t nk__call_cause(struct nk_sip *sip, uint32_t handle)
{
    const struct nk_port *port = nk__port(sip, handle);
    struct sf_cause cause;
    uint32_t value;

    if (port == NULL) {
        return -SF_BADHANDLE;
    }
    cause = fab_ep_cause(port->ep);
    memcpy(&value, &cause, sizeof(value));
    return (int64_t)value;
}
