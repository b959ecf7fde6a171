/* SPDX-License-Identifier: Apache-2.0 */
#include "mover.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "mover_private.h"

#define TURNS_MAX 64u             /* one after the other, while each brings something new */
#define PIECE_BYTES_AT_ONCE 4096u /* so little is put in its place as it is received */

/* --- the service --------------------------------------------------------------------------------
 */

static sf_status on_create(struct nk_service *service, void *loop, const struct nk_config *config,
                           uint32_t config_count, void **out_impl, char *text, size_t text_capacity)
{
    struct mover *mover = loop; /* handed through */

    (void)config;
    (void)config_count;
    (void)text;
    (void)text_capacity;
    mover->service = service;
    mover->owner = nk_service_owner(service);
    *out_impl = mover;
    return SF_OK;
}

static void on_destroy(void *impl)
{
    (void)impl; /* mover_destroy has done it */
}

static void on_opened(void *impl, struct fab_ep *ep)
{
    struct mover *mover = impl;
    struct mover_peer *peer = calloc(1, sizeof(*peer));
    struct fab_ep_info info;
    sf_status st = SF_NOMEM;

    nk_lock(mover->kernel);
    fab_ep_query(ep, &info);
    nk_unlock(mover->kernel);
    if (peer != NULL) {
        *peer = (struct mover_peer){
            .next = mover->peers, .ep = ep, .node = info.peer_node, .ready = true};
        st = nk_service_hold(mover->service, ep, peer);
    }
    if (st != SF_OK) {
        free(peer);
        nk_service_close(mover->service, ep, SF_CAUSE_OF(QUOTA));
        return;
    }
    mover->peers = peer;
    mover->events.awake(mover->events_arg);
}

static void on_ready(void *impl, struct fab_ep *ep, void *user)
{
    struct mover *mover = impl;
    struct mover_peer *peer = user;

    (void)ep;
    if (peer != NULL) {
        peer->ready = true;
    }
    mover->events.awake(mover->events_arg);
}

/* Pages that come in frames are put in their places at once, unless something before them waits:
 * what is not taken here is in the message's blocks. */
static uint32_t on_bytes(void *impl, void *user, const struct fab_msg *msg, uint32_t index,
                         uint32_t offset, const uint8_t *bytes, uint32_t length)
{
    struct mover_peer *peer = user;
    uint32_t taken = 0;

    if (peer == NULL) {
        return 0;
    }
    if (msg->tag == MoverContract_tag_Memory && !peer->has_piece &&
        peer->streamed == offset + (index == 2 ? msg->args[1].block->bytes : 0)) {
        taken = mover__in_pages(impl, msg->args[0].scalar, bytes, length);
        peer->streamed += taken;
    }
    peer->behind |= taken < length;
    return taken;
}

static const struct nk_service_ops ops = {
    .name = "mover",
    .export_name = "mover",
    .contract_name = "MoverContract",
    .create = on_create,
    .destroy = on_destroy,
    .opened = on_opened,
    .ready = on_ready,
    .bytes = on_bytes,
};

sf_status mover_create(struct nk_kernel *kernel, uint16_t node_id, uint16_t epoch,
                       const struct mover_events *events, void *events_arg,
                       struct mover **out_mover, char *text, size_t text_capacity)
{
    extern const uint8_t ct_blob_MoverContract[];
    extern const size_t ct_blob_MoverContract_bytes;
    struct mover *mover = calloc(1, sizeof(*mover));
    struct fab_mover_options options = {
        .node_id = node_id, .epoch = epoch, .fab = nk_kernel_fabric(kernel)};
    sf_status st;

    if (mover == NULL) {
        return SF_NOMEM;
    }
    mover->kernel = kernel;
    mover->heap = nk_kernel_heap(kernel);
    mover->fabric = nk_kernel_fabric(kernel);
    mover->node_id = node_id;
    mover->events = *events;
    mover->events_arg = events_arg;
    mover->next_ns = mover->cool_ns = UINT64_MAX;
    st = fab_mover_create(&options, &mover->protocol);
    if (st == SF_OK) {
        st = nk_contract_add(kernel, ct_blob_MoverContract, ct_blob_MoverContract_bytes, text,
                             text_capacity);
    }
    if (st == SF_OK) {
        st = nk_service_create(kernel, &ops, MOVER_SERVICE_NUMBER, MOVER_NAME, mover, NULL, 0, text,
                               text_capacity);
    }
    if (st != SF_OK) {
        fab_mover_destroy(mover->protocol);
        free(mover);
        return st;
    }
    *out_mover = mover;
    return SF_OK;
}

/* Those of a message that another node's mover has sent. */
static void blocks_free(struct mover *mover, const struct fab_msg *msg)
{
    const bool two = msg->tag == MoverContract_tag_Rest || msg->tag == MoverContract_tag_Memory;
    const uint32_t count = two ? 2 : 1; /* the last arguments */

    for (uint32_t i = msg->arg_count - count; i < msg->arg_count; i++) {
        sf_status st = xh_free(mover->heap, msg->args[i].block, mover->owner);

        assert(st == SF_OK);
        (void)st;
    }
}

static void peer_drop(struct mover *mover, struct mover_peer *gone)
{
    struct mover_peer **link = &mover->peers;

    while (*link != gone) {
        link = &(*link)->next;
    }
    *link = gone->next;
    if (gone->has_piece) {
        blocks_free(mover, &gone->piece);
    }
    nk_service_close(mover->service, gone->ep, SF_CAUSE_OF(SHUTDOWN));
    free(gone);
}

void mover_destroy(struct mover *mover)
{
    sf_status st;

    if (mover == NULL) {
        return;
    }
    while (mover->outs != NULL) {
        mover__out_stay(mover, mover->outs);
    }
    mover__remains_end(mover, 0);
    while (mover->ins != NULL) {
        mover__in_drop(mover, mover->ins); /* those that came stay */
    }
    for (uint16_t node = 1; node < FAB_NODES_MAX; node++) {
        mover__way_close(mover, node);
    }
    while (mover->peers != NULL) {
        peer_drop(mover, mover->peers);
    }
    st = nk_service_destroy(mover->kernel, MOVER_SERVICE_NUMBER);
    assert(st == SF_OK);
    (void)st;
    fab_mover_destroy(mover->protocol);
    free(mover);
}

/* --- beginning ----------------------------------------------------------------------------------
 */

/* The SIP's image and that it may be moved at all. */
static sf_status sip_look(struct mover *mover, uint64_t number, struct mover_payload *out_payload,
                          char *text, size_t text_capacity)
{
    const struct nk_sip *sip;
    sf_status st = SF_OK;

    nk_lock(mover->kernel);
    sip = nk__sip_find(mover->kernel, number);
    if (sip == NULL) {
        nk__say(text, text_capacity, "there is no SIP %llu here", (unsigned long long)number);
        st = SF_NOTFOUND;
    } else {
        memset(out_payload, 0, sizeof(*out_payload));
        out_payload->sip = number;
        memcpy(out_payload->digest, sip->image->image->digest, sizeof(out_payload->digest));
    }
    nk_unlock(mover->kernel);
    return st;
}

sf_status mover_begin(struct mover *mover, uint64_t ticket, uint64_t sip, uint16_t target,
                      uint64_t budget_ns, uint64_t now_ns, char *text, size_t text_capacity)
{
    struct mover_payload payload;
    struct fab_move_order order = {.sip = sip,
                                   .target = target,
                                   .payload = (const uint8_t *)&payload,
                                   .payload_length = sizeof(payload),
                                   .blackout_ns = budget_ns};
    struct fab_peer_info info;
    struct mover_out *out;
    sf_status st = sip_look(mover, sip, &payload, text, text_capacity);

    if (st != SF_OK) {
        return st;
    }
    for (const struct mover_in *in = mover->ins; in != NULL; in = in->next) {
        if (in->sip == sip) {
            nk__say(text, text_capacity, "it has just come from node %u", in->source);
            return SF_AGAIN;
        }
    }
    nk_lock(mover->kernel);
    st = target < FAB_NODES_MAX ? fab_peer_query(mover->fabric, target, &info) : SF_NOTFOUND;
    nk_unlock(mover->kernel);
    if (st != SF_OK) {
        nk__say(text, text_capacity, "there is no session with node %u", target);
        return st;
    }
    out = calloc(1, sizeof(*out));
    if (out == NULL) {
        return SF_NOMEM;
    }
    payload.ticket = ticket;
    order.target_epoch = info.epoch;
    st = fab_mover_begin(mover->protocol, &order, now_ns, &out->move);
    if (st != SF_OK) {
        nk__say(text, text_capacity, "%s",
                st == SF_EXISTS ? "it is being moved" : "too many moves are under way");
        free(out);
        return st;
    }
    out->ticket = ticket;
    out->sip = sip;
    out->target = target;
    out->begun_ns = now_ns;
    out->next = mover->outs;
    mover->outs = out;
    mover->events.awake(mover->events_arg);
    return SF_OK;
}

bool mover_has(const struct mover *mover, uint64_t sip)
{
    const struct mover_in *in = mover->ins;

    while (in != NULL && (in->sip != sip || in->came)) {
        in = in->next;
    }
    return in != NULL || mover__out_of_sip(mover, sip) != NULL;
}

/* --- what happens -------------------------------------------------------------------------------
 */

void mover_told(struct mover *mover, const uint8_t *bytes, uint32_t length, uint64_t now_ns)
{
    fab_mover_take(mover->protocol, FAB_MOVE_CONTROLLER, bytes, length, now_ns);
    mover->events.awake(mover->events_arg);
}

void mover_session_lost(struct mover *mover, uint16_t node)
{
    for (struct mover_peer *peer = mover->peers; peer != NULL; peer = peer->next) {
        peer->old |= peer->node == node;
    }
    mover->lost[node / 64] |= 1ull << node % 64;
    mover->any_lost = true;
    mover->events.awake(mover->events_arg);
}

void mover_node_dead(struct mover *mover, uint16_t node, uint16_t epoch, uint64_t now_ns)
{
    fab_mover_node_dead(mover->protocol, node, epoch, now_ns);
    mover->events.awake(mover->events_arg);
}

void mover_sip_ended(struct mover *mover, uint64_t sip)
{
    struct mover_out *out = mover__out_of_sip(mover, sip);

    if (out != NULL && !out->frozen) {
        out->ended = true;
        mover->events.awake(mover->events_arg);
    }
}

/* --- turns --------------------------------------------------------------------------------------
 */

static void take(struct mover *mover, const struct mover_peer *peer, const struct fab_msg *msg,
                 uint64_t now_ns)
{
    const struct xh_block *block = msg->args[msg->arg_count - 1].block;
    const struct xh_block *memory;

    switch (msg->tag) {
    case MoverContract_tag_Say:
        fab_mover_take(mover->protocol, peer->node, block->data, block->bytes, now_ns);
        break;
    case MoverContract_tag_Endpoints:
        mover__in_endpoints(mover, msg->args[0].scalar, msg->args[1].scalar, block->data,
                            block->bytes, now_ns);
        break;
    case MoverContract_tag_Rest:
        memory = msg->args[1].block;
        mover__in_memory(mover, msg->args[0].scalar, memory->data, memory->bytes, now_ns);
        mover__in_endpoints(mover, msg->args[0].scalar, block->bytes, block->data, block->bytes,
                            now_ns);
        break;
    default:
        break; /* but Memory the contract has no other */
    }
    blocks_free(mover, msg);
}

/* So many of its bytes, beginning with those not taken yet, as far as they are in this block of it,
 * which begins at `from`. Answers how many. */
static uint32_t block_take(struct mover *mover, struct mover_peer *peer,
                           const struct xh_block *block, uint32_t from, uint32_t bytes_max,
                           uint64_t now_ns)
{
    const uint32_t at = peer->piece_taken - from;
    uint32_t length = block != NULL && at < block->bytes ? block->bytes - at : 0;

    length = length < bytes_max ? length : bytes_max;
    if (length > 0) {
        mover__in_memory(mover, peer->piece.args[0].scalar, block->data + at, length, now_ns);
        peer->piece_taken += length;
    }
    return length;
}

static void taken_say(struct mover *mover, const struct mover_peer *peer)
{
    const struct fab_msg taken = {.tag = MoverContract_tag_Taken};
    sf_status st = nk_service_send(mover->service, peer->ep, &taken);

    (void)st; /* closed: the next receive says so */
}

/* Bytes of the piece that were not taken yet. */
static uint32_t piece_left(const struct mover_peer *peer)
{
    const struct xh_block *piece = peer->piece.args[1].block, *pages = peer->piece.args[2].block;

    return piece->bytes + (pages != NULL ? pages->bytes : 0) - peer->piece_taken;
}

/* One step of a piece of memory. */
static bool piece_take(struct mover *mover, struct mover_peer *peer, uint64_t now_ns)
{
    const struct xh_block *piece = peer->piece.args[1].block, *pages = peer->piece.args[2].block;
    uint32_t left = MOVER_STEP_BYTES;

    if (!peer->has_piece) {
        return false;
    }
    left -= block_take(mover, peer, piece, 0, left, now_ns);
    (void)block_take(mover, peer, pages, piece->bytes, left, now_ns);
    if (piece_left(peer) == 0) {
        peer->has_piece = false;
        peer->ready = true; /* what came behind it was left */
        blocks_free(mover, &peer->piece);
        if (peer->owes) {
            peer->owes = false;
            taken_say(mover, peer);
        }
    }
    return true;
}

/* All that has come from one; pieces of memory: up to the first of which more than a little is not
 * in its place yet; that one is only received. */
static bool peer_turn(struct mover *mover, struct mover_peer *peer, uint64_t now_ns)
{
    bool any = false;

    peer->ready = false;
    while (!peer->has_piece) {
        struct fab_msg msg;
        sf_status st = nk_service_recv(mover->service, peer->ep, &msg);

        if (st == SF_AGAIN) {
            return any;
        }
        if (st != SF_OK) {
            peer_drop(mover, peer);
            return true;
        }
        any = true;
        if (msg.tag == MoverContract_tag_Memory) {
            peer->piece = msg;
            peer->piece_taken = peer->streamed;
            peer->streamed = 0;
            peer->has_piece = true;
            peer->owes = peer->behind && piece_left(peer) > PIECE_BYTES_AT_ONCE;
            if (piece_left(peer) <= PIECE_BYTES_AT_ONCE) {
                (void)piece_take(mover, peer, now_ns);
            }
        } else {
            take(mover, peer, &msg, now_ns);
        }
        peer->behind = false;
        if (!peer->owes) {
            taken_say(mover, peer);
        }
    }
    return any;
}

static bool peers_turn(struct mover *mover, bool old, uint64_t now_ns)
{
    struct mover_peer *next;
    bool any = false;

    for (struct mover_peer *peer = mover->peers; peer != NULL; peer = next) {
        next = peer->next;
        if (old ? peer->old : peer->ready) {
            any |= peer_turn(mover, peer, now_ns);
        }
    }
    return any;
}

/* Those that were received in the turn before. */
static bool pieces_take(struct mover *mover, bool old, uint64_t now_ns)
{
    bool any = false;

    for (struct mover_peer *peer = mover->peers; peer != NULL; peer = peer->next) {
        if (!old || peer->old) {
            any |= piece_take(mover, peer, now_ns);
        }
    }
    return any;
}

/* What came before a session's end counts, what comes after it is another one's. */
static void losses_tell(struct mover *mover, uint64_t now_ns)
{
    do {
        (void)peers_turn(mover, true, now_ns);
    } while (pieces_take(mover, true, now_ns));
    mover->any_lost = false;
    for (uint16_t node = 1; node < FAB_NODES_MAX; node++) {
        if (mover->lost[node / 64] >> node % 64 & 1u) {
            mover->lost[node / 64] &= ~(1ull << node % 64);
            mover__way_close(mover, node);
            fab_mover_session_lost(mover->protocol, node, now_ns);
        }
    }
}

static bool act(struct mover *mover, uint64_t now_ns)
{
    struct fab_move_action action;
    bool any = false;

    while (fab_mover_next(mover->protocol, &action)) {
        any = true;
        switch (action.what) {
        case FAB_MOVE_SEND:
            if (action.node == FAB_MOVE_CONTROLLER) {
                mover->events.to_controller(mover->events_arg, action.bytes, action.length);
            } else if (!mover__say(mover, action.node, action.bytes, action.length)) {
                mover_session_lost(mover, action.node); /* no memory: as if it were */
            }
            break;
        case FAB_MOVE_PREPARE:
        case FAB_MOVE_START:
        case FAB_MOVE_SETTLED:
        case FAB_MOVE_DROP:
            mover__in_do(mover, &action, now_ns);
            break;
        default:
            mover__out_do(mover, &action, now_ns);
            break;
        }
    }
    return any;
}

static void ended_cancel(struct mover *mover, uint64_t now_ns)
{
    for (struct mover_out *out = mover->outs; out != NULL; out = out->next) {
        if (out->ended) {
            sf_status st = fab_mover_cancel(mover->protocol, out->move, now_ns);

            out->ended = false;
            out->copying = false;
            (void)st; /* it is over already, or about to be */
        }
    }
}

bool mover_turn(struct mover *mover, uint64_t now_ns)
{
    const uint32_t steps = now_ns - mover->turned_ns < MOVER_LATE_NS ? 1 : MOVER_STEPS_LATE;
    bool did = false;
    bool any = true;

    mover->turned_ns = now_ns;
    if (now_ns >= mover->cool_ns) {
        did = nk_precopy_cool(mover->kernel);
        mover->cool_ns = did ? now_ns : UINT64_MAX;
    }
    for (uint32_t i = 0; i < steps; i++) {
        did |= pieces_take(mover, false, now_ns);
        did |= mover__outs_copy(mover, now_ns);
        did |= mover__remains_turn(mover, now_ns);
    }
    for (uint32_t i = 0; i < TURNS_MAX && any; i++) {
        any = false;
        if (mover->any_lost) {
            losses_tell(mover, now_ns);
            any = true;
        }
        any |= peers_turn(mover, false, now_ns);
        ended_cancel(mover, now_ns);
        if (now_ns >= mover->next_ns) {
            mover->next_ns = fab_mover_tick(mover->protocol, now_ns);
        }
        any |= mover__outs_turn(mover, now_ns);
        any |= act(mover, now_ns);
        any |= mover__ways_turn(mover);
        did |= any;
    }
    mover->next_ns = fab_mover_tick(mover->protocol, now_ns);
    return did;
}

bool mover_is_busy(const struct mover *mover)
{
    return mover->outs != NULL || mover->ins != NULL || mover->remains != NULL || mover->any_lost;
}

bool mover_has_come(const struct mover *mover, uint64_t sip)
{
    bool here;

    nk_lock(mover->kernel);
    here = nk__sip_find(mover->kernel, sip) != NULL;
    nk_unlock(mover->kernel);
    for (const struct mover_in *in = mover->ins; in != NULL && here; in = in->next) {
        here = in->sip != sip || in->came; /* else it is made, but may yet be dropped */
    }
    return here;
}

uint64_t mover_next_ns(const struct mover *mover)
{
    uint64_t next_ns = mover__remains_next_ns(mover);

    next_ns = mover->cool_ns < next_ns ? mover->cool_ns : next_ns;
    return mover->next_ns < next_ns ? mover->next_ns : next_ns;
}
