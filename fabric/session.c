/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cargo.h"
#include "endpoint.h"
#include "move.h"

#define SESSION_COUNTER_MAX ((1u << FAB__SESSION_EPOCH_SHIFT) - 1u)

/* --- buffers -------------------------------------------------------------------------------- */

struct fab__buffer *fab__buffer_take(struct fab__session *session)
{
    struct fab__buffer *buffer = session->buffers;

    if (buffer == NULL) {
        return malloc(sizeof(*buffer) + session->mtu_bytes);
    }
    session->buffers = buffer->next;
    session->buffer_count--;
    return buffer;
}

void fab__buffer_give(struct fab__session *session, struct fab__buffer *buffer)
{
    if (buffer == NULL) {
        return;
    }
    if (session->buffer_count == FAB__BUFFERS_KEPT) {
        free(buffer);
        return;
    }
    buffer->next = session->buffers;
    session->buffers = buffer;
    session->buffer_count++;
}

static void buffers_trim(struct fab__session *session)
{
    while (session->buffer_count > 0) {
        free(fab__buffer_take(session));
    }
}

/* --- the node's ring ------------------------------------------------------------------------ */

/* To the end. */
static void ready_put(struct fab__session *session)
{
    struct fab__ready *ring = &session->node->ready[session->lane];

    session->ready = true;
    session->ready_next = NULL;
    if (ring->last != NULL) {
        ring->last->ready_next = session;
    } else {
        ring->first = session;
    }
    ring->last = session;
}

void fab__ready(struct fab__session *session)
{
    struct fab_node *node = session->node;

    if (session->ready) {
        return;
    }
    ready_put(session);
    if (node->events.waiting != NULL) {
        node->events.waiting(node->events_arg, session->lane);
    }
}

static void ready_pop(struct fab__ready *ring)
{
    struct fab__session *session = ring->first;

    ring->first = session->ready_next;
    if (ring->first == NULL) {
        ring->last = NULL;
    }
    session->ready = false;
}

static void ready_forget(struct fab__session *session)
{
    struct fab__ready *ring = &session->node->ready[session->lane];
    struct fab__session *prev = NULL;

    if (!session->ready) {
        return;
    }
    for (struct fab__session *at = ring->first; at != session; at = at->ready_next) {
        prev = at;
    }
    if (prev == NULL) {
        ready_pop(ring);
        return;
    }
    prev->ready_next = session->ready_next;
    if (ring->last == session) {
        ring->last = prev;
    }
    session->ready = false;
}

static void session_lane(struct fab__session *session, uint8_t lane)
{
    bool ready = session->ready;

    if (session->successor != NULL) {
        session->successor->lane = lane; /* it is in no ring before it has succeeded */
    }
    if (session->lane != lane) {
        ready_forget(session);
        session->lane = lane;
        if (ready) {
            fab__ready(session);
        }
    }
}

bool fab_lane_waits(const struct fab_node *node, uint32_t lane)
{
    return __atomic_load_n(&node->ready[lane].first, __ATOMIC_RELAXED) != NULL;
}

uint16_t fab_lane_pending(struct fab_node *node, uint32_t lane)
{
    struct fab__ready *ring = &node->ready[lane];

    while (ring->first != NULL) {
        struct fab__session *session = ring->first;
        ready_pop(ring);
        if (fab__session_pending(session)) {
            ready_put(session); /* it was its turn */
            return session->peer_id;
        }
    }
    return 0;
}

bool fab_tx_waits(const struct fab_node *node)
{
    return fab_lane_waits(node, 0);
}

uint16_t fab_tx_pending(struct fab_node *node)
{
    return fab_lane_pending(node, 0);
}

/* --- beginning and end ---------------------------------------------------------------------- */

static sf_status session_create(struct fab_node *node, const struct fab_peer *peer, uint64_t now_ns,
                                struct fab__session **out_session)
{
    uint32_t *counter = &node->peers[peer->node_id].session_counter;
    struct fab__session *session;
    sf_status st;

    if (*counter == SESSION_COUNTER_MAX) {
        return SF_LIMIT;
    }
    session = calloc(1, sizeof(*session));
    if (session == NULL) {
        return SF_NOMEM;
    }
    session->node = node;
    session->peer_id = peer->node_id;
    session->peer_epoch = peer->epoch;
    session->mtu_bytes = session->frame_bytes = peer->mtu_bytes;
    session->number = (uint32_t)node->epoch << FAB__SESSION_EPOCH_SHIFT | ++*counter;
    session->lead_bytes = peer->lead_bytes;
    session->steady = peer->steady;
    session->reads = peer->reads && !peer->sealed;
    session->read_bytes_min = peer->read_bytes_min;
    session->lane = peer->lane;
    session->rx_next = 1;
    session->begun_ns = now_ns;
    session->last_sent_ns = now_ns;
    session->hello_at_ns = now_ns;
    session->hello_due = true;
    session->info = (struct fab_peer_info){.peer_id = peer->node_id, .epoch = peer->epoch};
    st = fab__window_init(session);
    if (st == SF_OK && peer->sealed) {
        st = fab__secure_init(session, peer->key);
    }
    if (st != SF_OK) {
        fab__session_free(session);
        return st;
    }
    *out_session = session;
    return SF_OK;
}

void fab__session_free(struct fab__session *session)
{
    if (session == NULL) {
        return;
    }
    fab__session_free(session->successor);
    fab__secure_fini(session);
    fab__window_fini(session);
    fab__held_fini(session);
    buffers_trim(session);
    free(session->replies);
    free(session);
}

static void session_forget(struct fab__session *session)
{
    struct fab_node *node = session->node;

    if (node->late == session) {
        node->late = NULL;
    }
    ready_forget(session);
    node->sessions[session->peer_id] = NULL;
    for (uint32_t i = 0; i < node->session_count; i++) {
        if (node->session_ids[i] == session->peer_id) {
            node->session_ids[i] = node->session_ids[--node->session_count];
            return;
        }
    }
    assert(false);
}

/* What the end of the session to node `id` means for one record. */
static void ep_node_lost(struct fab_ep *ep, uint16_t id, struct sf_cause cause)
{
    bool apart = ep->place == FAB__APART && ep->cargo->imported; /* it has not come yet */
    bool peer_lost = ep->peer_node == id && ep->place != FAB__LOCAL && !apart;
    bool way_lost = ep->place == FAB__PENDING && ep->via_node == id;

    if (ep->life == FAB__FREE) {
        return;
    }
    if (ep->place == FAB__HELD) {
        fab__held_node_lost(ep, id, cause);
        return;
    }
    if (ep->place == FAB__GONE) {
        /* It was closed before; only the word of it was still to be sent. */
        uint16_t to = ep->life == FAB__MOVED ? ep->target_node : ep->peer_node;
        if (ep->owes != 0 && to == id) {
            fab__unschedule(ep);
            ep->owes = 0;
            if (ep->life != FAB__LIVE) {
                fab__ep_free(ep);
            }
        }
    } else if (peer_lost || way_lost) {
        fab__move_unannounced_lost(ep, cause);
        fab__ep_lose(ep, cause);
    } else if (ep->life == FAB__MOVED && ep->target_node == id && !ep->told) {
        fab__moved_refused(ep, cause);
    }
}

void fab__session_end(struct fab__session *session, struct sf_cause cause)
{
    struct fab_node *node = session->node;
    uint16_t id = session->peer_id;

    node->peers[id].loss_count++;
    node->peers[id].loss_cause = cause;
    session_forget(session);
    if (session->refers && node->events.revoke != NULL) {
        node->events.revoke(node->events_arg, id);
    }
    fab__window_fini(session); /* first: messages that are half sent have blocks in it */
    for (uint32_t i = 0; i < node->ep_used; i++) {
        ep_node_lost(&node->eps[i], id, cause);
    }
    assert(session->ep_first == NULL);
    fab__session_free(session);
    if (node->events.session_lost != NULL) {
        node->events.session_lost(node->events_arg, id, cause);
    }
}

static struct fab_peer peer_of(const struct fab__session *session)
{
    struct fab_peer peer = {
        .node_id = session->peer_id,
        .epoch = session->peer_epoch,
        .mtu_bytes = session->mtu_bytes,
        .lead_bytes = session->lead_bytes,
        .steady = session->steady,
        .reads = session->reads,
        .read_bytes_min = session->read_bytes_min,
        .lane = session->lane,
        .sealed = session->secure != NULL,
    };

    if (peer.sealed) {
        memcpy(peer.key, session->secure->pair.peer, sizeof(peer.key));
    }
    return peer;
}

static void session_place(struct fab__session *session)
{
    struct fab_node *node = session->node;

    node->sessions[session->peer_id] = session;
    node->session_ids[node->session_count++] = session->peer_id;
    node->tick_ns = 0;
    fab__ready(session);
}

struct fab__session *fab__session_twin(const struct fab__session *session, uint64_t now_ns)
{
    struct fab_peer peer = peer_of(session);
    struct fab__session *twin = NULL;

    return session_create(session->node, &peer, now_ns, &twin) == SF_OK ? twin : NULL;
}

struct fab__session *fab__session_succeed(struct fab__session *session)
{
    struct fab__session *successor = session->successor;

    session->successor = NULL;
    fab__session_end(session, SF_CAUSE_OF(LINK_LOST));
    session_place(successor);
    return successor;
}

struct fab__session *fab__session_again(struct fab__session *session, uint64_t now_ns)
{
    struct fab_node *node = session->node;
    struct fab_peer peer = peer_of(session);

    fab__session_end(session, SF_CAUSE_OF(LINK_LOST));
    return fab_peer_add(node, &peer, now_ns) == SF_OK ? node->sessions[peer.node_id] : NULL;
}

void fab__sessions_fini(struct fab_node *node)
{
    for (uint32_t i = 0; i < node->session_count; i++) {
        fab__session_free(node->sessions[node->session_ids[i]]);
    }
    node->session_count = 0;
}

/* Is it the same boot of the same node, over the same link, with the same key? */
static bool peer_is_same(const struct fab__session *session, const struct fab_peer *peer)
{
    struct fab_peer known = peer_of(session);

    return peer->epoch == known.epoch && peer->mtu_bytes == known.mtu_bytes &&
           peer->steady == known.steady && peer->sealed == known.sealed &&
           (peer->reads && !peer->sealed) == known.reads &&
           peer->read_bytes_min == known.read_bytes_min &&
           (!peer->sealed || memcmp(peer->key, known.key, sizeof(known.key)) == 0);
}

sf_status fab_peer_add(struct fab_node *node, const struct fab_peer *peer, uint64_t now_ns)
{
    struct fab__session *session;
    sf_status st;

    if (peer->node_id == 0 || peer->node_id >= FAB_NODES_MAX || peer->node_id == node->node_id ||
        peer->epoch == 0 || peer->epoch > FAB__EPOCH_MAX || peer->mtu_bytes < FAB_MTU_BYTES_MIN ||
        peer->mtu_bytes > FAB_MTU_BYTES_MAX || peer->lane >= FAB_LANES_MAX ||
        (peer->reads && peer->read_bytes_min == 0)) {
        return SF_BADARG;
    }
    session = node->sessions[peer->node_id];
    if (session != NULL && peer_is_same(session, peer)) {
        session_lane(session, peer->lane);
        return SF_EXISTS;
    }
    if (session != NULL && session->peer_epoch == peer->epoch) {
        fab__session_end(session, SF_CAUSE_OF(LINK_LOST));
    } else if (session != NULL) {
        fab__session_end(session, SF_CAUSE_OF(NODE_LOST));
    }
    st = session_create(node, peer, now_ns, &session);
    if (st == SF_OK) {
        session_place(session);
    }
    return st;
}

static struct fab__session *session_of(const struct fab_node *node, uint16_t peer_id)
{
    return peer_id < FAB_NODES_MAX ? node->sessions[peer_id] : NULL;
}

void fab_peer_remove(struct fab_node *node, uint16_t peer_id, struct sf_cause cause)
{
    struct fab__session *session = session_of(node, peer_id);

    if (session != NULL) {
        fab__session_end(session, cause);
    }
}

static const char *cipher_name(uint8_t cipher)
{
    return cipher == FAB__CIPHER_AES256GCM          ? "aes-256-gcm"
           : cipher == FAB__CIPHER_CHACHA20POLY1305 ? "chacha20-poly1305"
                                                    : "";
}

/* Frames not acknowledged, as far as has come. */
static uint32_t in_flight_now(const struct fab__session *session)
{
    return session->node->late == session ? session->tx_next - session->late_ack
                                          : fab__in_flight(session);
}

sf_status fab_peer_query(const struct fab_node *node, uint16_t peer_id,
                         struct fab_peer_info *out_info)
{
    const struct fab__session *session = session_of(node, peer_id);

    if (session == NULL) {
        return SF_NOTFOUND;
    }
    *out_info = session->info;
    out_info->rtt_ns = session->rtt_ns;
    out_info->drained =
        in_flight_now(session) == 0 && fab__outbox_empty(session) && session->referring_count == 0;
    out_info->mtu_bytes = session->frame_bytes;
    out_info->read_bytes_min = session->refers ? session->read_bytes_min : 0;
    out_info->sealed = session->secure != NULL;
    out_info->cipher = session->secure == NULL ? "none" : cipher_name(session->secure->cipher);
    out_info->in_flight = in_flight_now(session);
    out_info->window =
        session->congestion.window < FAB__WINDOW ? session->congestion.window : FAB__WINDOW;
    out_info->lost_frames = session->lost_count;
    out_info->rtt = &session->rtt;
    for (const struct fab_ep *ep = session->ep_first;
         ep != NULL && out_info->waiting < FAB_WAITING_MAX; ep = ep->queued_next) {
        out_info->waiting++;
    }
    return SF_OK;
}

uint32_t fab_peer_losses(const struct fab_node *node, uint16_t peer_id, struct sf_cause *out_cause)
{
    if (peer_id >= FAB_NODES_MAX) {
        *out_cause = SF_CAUSE_OF(NONE);
        return 0;
    }
    *out_cause = node->peers[peer_id].loss_cause;
    return node->peers[peer_id].loss_count;
}

/* --- answers -------------------------------------------------------------------------------- */

static bool replies_grow(struct fab__session *session)
{
    uint32_t capacity = session->reply_capacity == 0 ? 64 : session->reply_capacity * 2;
    struct fab__reply *replies;

    if (capacity > FAB__REPLIES_MAX) {
        return false;
    }
    replies = calloc(capacity, sizeof(*replies));
    if (replies == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < session->reply_count; i++) {
        replies[i] = session->replies[(session->reply_head + i) & (session->reply_capacity - 1)];
    }
    free(session->replies);
    session->replies = replies;
    session->reply_head = 0;
    session->reply_capacity = capacity;
    return true;
}

static void reply_put(struct fab__session *session, const struct fab__reply *reply)
{
    uint32_t at;

    if (session->reply_count == session->reply_capacity && !replies_grow(session)) {
        session->broken = true;
        return;
    }
    at = (session->reply_head + session->reply_count) & (session->reply_capacity - 1);
    session->replies[at] = *reply;
    session->reply_count++;
    fab__ready(session);
}

void fab__reply(struct fab__session *session, enum fab__record_type type, uint64_t target,
                struct sf_cause cause)
{
    reply_put(session,
              &(struct fab__reply){.type = (uint8_t)type, .target = target, .cause = cause});
}

void fab__reply_move(struct fab__session *session, enum fab__record_type type, uint64_t target,
                     uint64_t peer, uint64_t move, uint8_t status)
{
    reply_put(
        session,
        &(struct fab__reply){
            .type = (uint8_t)type, .status = status, .target = target, .peer = peer, .move = move});
}

/* --- time ----------------------------------------------------------------------------------- */

static uint64_t silence_deadline(const struct fab__session *session)
{
    uint64_t timeout_ns = session->node->peer_timeout_ns;

    return session->info.alive ? session->info.heard_ns + timeout_ns
                               : session->begun_ns + FAB__FIRST_CONTACT_FACTOR * timeout_ns;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* When the session has something to say or to end that nobody asks for. */
static uint64_t session_next(const struct fab__session *session)
{
    const struct fab_node *node = session->node;
    uint64_t next_ns = earlier(silence_deadline(session), session->resend_at_ns);

    if (session->open) {
        uint64_t said_ns = session->heartbeat_due ? node->ticked_ns : session->last_sent_ns;

        next_ns = earlier(next_ns, said_ns + node->heartbeat_ns);
    }
    if (session->unacked != 0 && !session->ack_due) {
        next_ns = earlier(next_ns, session->ack_at_ns);
    }
    return session->hello_due ? next_ns : earlier(next_ns, session->hello_at_ns);
}

/* Due: sets what the session has to say and when to look again. */
static void session_tick(struct fab__session *session, uint64_t now_ns)
{
    struct fab_node *node = session->node;

    fab__window_timeout(session, now_ns);
    if (session->open && now_ns >= session->last_sent_ns + node->heartbeat_ns) {
        session->heartbeat_due = true;
        if (fab__in_flight(session) == 0 && session->held_count == 0) {
            buffers_trim(session);
        }
    }
    if (now_ns >= session->hello_at_ns) {
        session->hello_due = true;
    }
    session->starved = false;
    fab__ack_tick(session, now_ns);
    fab__timer(node, session_next(session));
    if (fab__session_pending(session)) {
        fab__ready(session);
    }
}

/* Who was not called in time cannot say who was silent: what came meanwhile is yet to be read, and
 * if the whole machine stood still, the others may have, too. */
static void silence_forgive(struct fab_node *node, uint64_t now_ns)
{
    uint64_t late_ns = now_ns - (node->tick_ns > node->ticked_ns ? node->tick_ns : node->ticked_ns);

    node->ticked_ns = now_ns;
    if (late_ns <= node->heartbeat_ns) {
        return;
    }
    for (uint32_t i = 0; i < node->session_count; i++) {
        struct fab__session *session = node->sessions[node->session_ids[i]];
        uint64_t *since_ns = session->info.alive ? &session->info.heard_ns : &session->begun_ns;

        *since_ns = now_ns - *since_ns > late_ns ? *since_ns + late_ns : now_ns;
    }
}

uint64_t fab_next(const struct fab_node *node)
{
    return __atomic_load_n(&node->tick_ns, __ATOMIC_RELAXED);
}

uint64_t fab_next_exact(struct fab_node *node)
{
    uint64_t next_ns = UINT64_MAX;

    fab__settle(node);
    if (!node->tick_settled) {
        return node->tick_ns;
    }
    node->tick_settled = false;
    for (uint32_t i = 0; i < node->session_count; i++) {
        const struct fab__session *session = node->sessions[node->session_ids[i]];

        next_ns = earlier(next_ns, session->starved ? node->tick_ns : session_next(session));
    }
    __atomic_store_n(&node->tick_ns, next_ns, __ATOMIC_RELAXED);
    return next_ns;
}

uint64_t fab_tick(struct fab_node *node, uint64_t now_ns)
{
    node->now_ns = now_ns;
    fab__settle(node);
    if (now_ns < node->tick_ns) {
        return node->tick_ns;
    }
    silence_forgive(node, now_ns);
    node->tick_ns = UINT64_MAX;
    node->tick_settled = false;
    for (uint32_t i = node->session_count; i-- > 0;) {
        struct fab__session *session = node->sessions[node->session_ids[i]];
        if (now_ns >= silence_deadline(session)) {
            fab__session_end(session, SF_CAUSE_OF(NODE_LOST));
        } else {
            session_tick(session, now_ns);
        }
    }
    return node->tick_ns;
}
