/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint.h"
#include "move.h"

/* --- beginning and end ---------------------------------------------------------------------- */

static struct fab__session *session_create(struct fab_node *node, uint16_t peer_id,
                                           uint16_t peer_epoch, uint32_t mtu_bytes, uint64_t now_ns)
{
    struct fab__session *session = calloc(1, sizeof(*session));
    uint32_t payload_bytes = mtu_bytes - FAB__HEADER_BYTES;

    if (session == NULL) {
        return NULL;
    }
    session->memory = malloc((size_t)payload_bytes * FAB__WINDOW * 2);
    if (session->memory == NULL) {
        free(session);
        return NULL;
    }
    for (uint32_t i = 0; i < FAB__WINDOW; i++) {
        session->sent[i].bytes = session->memory + (size_t)payload_bytes * i;
        session->held[i].bytes = session->memory + (size_t)payload_bytes * (FAB__WINDOW + i);
    }
    session->node = node;
    session->peer_id = peer_id;
    session->peer_epoch = peer_epoch;
    session->mtu_bytes = mtu_bytes;
    session->number = ++node->session_counter;
    session->tx_next = session->tx_acked = 1;
    session->rx_next = 1;
    session->resend_at_ns = UINT64_MAX;
    session->ack_due = true; /* say hello */
    session->begun_ns = now_ns;
    session->last_sent_ns = now_ns;
    session->info = (struct fab_peer_info){.peer_id = peer_id, .epoch = peer_epoch};
    return session;
}

static void session_free(struct fab__session *session)
{
    free(session->replies);
    free(session->memory);
    free(session);
}

static void session_forget(struct fab__session *session)
{
    struct fab_node *node = session->node;

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
    bool peer_lost = ep->peer_node == id && ep->place != FAB__LOCAL;
    bool way_lost = ep->place == FAB__PENDING && ep->via_node == id;

    if (ep->life == FAB__FREE) {
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
        fab__ep_lose(ep, cause);
    } else if (ep->life == FAB__MOVED && ep->target_node == id && !ep->told) {
        fab__moved_refused(ep, cause);
    }
}

void fab__session_end(struct fab__session *session, struct sf_cause cause)
{
    struct fab_node *node = session->node;
    uint16_t id = session->peer_id;

    session_forget(session);
    for (uint32_t i = 0; i < node->ep_used; i++) {
        ep_node_lost(&node->eps[i], id, cause);
    }
    assert(session->ep_first == NULL);
    session_free(session);
    if (node->events.session_lost != NULL) {
        node->events.session_lost(node->events_arg, id, cause);
    }
}

void fab__sessions_fini(struct fab_node *node)
{
    for (uint32_t i = 0; i < node->session_count; i++) {
        session_free(node->sessions[node->session_ids[i]]);
    }
    node->session_count = 0;
}

sf_status fab_peer_add(struct fab_node *node, uint16_t peer_id, uint16_t peer_epoch,
                       uint32_t mtu_bytes, uint64_t now_ns)
{
    struct fab__session *session;

    if (peer_id == 0 || peer_id >= FAB_NODES_MAX || peer_id == node->node_id || peer_epoch == 0 ||
        peer_epoch > FAB__EPOCH_MAX || mtu_bytes < FAB_MTU_BYTES_MIN ||
        mtu_bytes > FAB_MTU_BYTES_MAX) {
        return SF_BADARG;
    }
    session = node->sessions[peer_id];
    if (session != NULL && session->peer_epoch == peer_epoch) {
        return SF_EXISTS;
    }
    if (session != NULL) {
        fab__session_end(session, SF_CAUSE_OF(NODE_LOST));
    }
    session = session_create(node, peer_id, peer_epoch, mtu_bytes, now_ns);
    if (session == NULL) {
        return SF_NOMEM;
    }
    node->sessions[peer_id] = session;
    node->session_ids[node->session_count++] = peer_id;
    return SF_OK;
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

sf_status fab_peer_query(const struct fab_node *node, uint16_t peer_id,
                         struct fab_peer_info *out_info)
{
    const struct fab__session *session = session_of(node, peer_id);

    if (session == NULL) {
        return SF_NOTFOUND;
    }
    *out_info = session->info;
    out_info->rtt_ns = session->rtt_ns;
    out_info->drained = fab__in_flight(session) == 0 && fab__outbox_empty(session);
    return SF_OK;
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

void fab__reply(struct fab__session *session, enum fab__record_type type, uint64_t target,
                struct sf_cause cause)
{
    uint32_t at;

    if (session->reply_count == session->reply_capacity && !replies_grow(session)) {
        session->broken = true;
        return;
    }
    at = (session->reply_head + session->reply_count) & (session->reply_capacity - 1);
    session->replies[at] =
        (struct fab__reply){.type = (uint8_t)type, .target = target, .cause = cause};
    session->reply_count++;
}

/* --- frames in ------------------------------------------------------------------------------ */

/* The session a frame belongs to, or NULL. A frame of a later life of the peer ends this one. */
static struct fab__session *session_for(struct fab_node *node, uint16_t peer_id,
                                        const struct fab__header *header, uint64_t now_ns)
{
    struct fab__session *session = session_of(node, peer_id);
    uint32_t mtu_bytes;

    if (session == NULL) {
        return NULL;
    }
    if (header->source_node != peer_id || header->target_node != node->node_id ||
        header->target_epoch != node->epoch || header->source_session == 0) {
        session->info.frames_rejected++;
        return NULL;
    }
    if (header->source_epoch != session->peer_epoch) {
        session->info.frames_rejected++;
        if (header->source_epoch > session->peer_epoch && header->source_epoch <= FAB__EPOCH_MAX) {
            fab__session_end(session, SF_CAUSE_OF(NODE_LOST)); /* it booted again */
        }
        return NULL;
    }
    if ((header->target_session != 0 && header->target_session != session->number) ||
        header->source_session < session->peer_number) {
        session->info.frames_rejected++;
        return NULL;
    }
    if (session->peer_number == 0 || session->peer_number == header->source_session) {
        session->peer_number = header->source_session;
        return session;
    }
    /* The peer began anew with the same epochs: so do we. */
    mtu_bytes = session->mtu_bytes;
    fab__session_end(session, SF_CAUSE_OF(LINK_LOST));
    if (fab_peer_add(node, peer_id, header->source_epoch, mtu_bytes, now_ns) != SF_OK) {
        return NULL;
    }
    session = node->sessions[peer_id];
    session->peer_number = header->source_session;
    return session;
}

static void held_take(struct fab__session *session)
{
    struct fab__held *held = &session->held[session->rx_next % FAB__WINDOW];

    while (held->length != 0 && !session->broken) {
        uint32_t length = held->length;
        held->length = 0;
        session->held_count--;
        session->rx_next++;
        fab__inbox_take(session, held->bytes, length);
        held = &session->held[session->rx_next % FAB__WINDOW];
    }
}

static void frame_take(struct fab__session *session, uint32_t sequence, const uint8_t *bytes,
                       uint32_t length)
{
    int32_t ahead = (int32_t)(sequence - session->rx_next);

    session->ack_due = true;
    if (ahead == 0) {
        session->rx_next++;
        fab__inbox_take(session, bytes, length);
        held_take(session);
    } else if (ahead > 0 && ahead < (int32_t)FAB__WINDOW) {
        struct fab__held *held = &session->held[sequence % FAB__WINDOW];
        if (held->length != 0) {
            session->info.frames_duplicate++;
        } else if (length <= session->mtu_bytes - FAB__HEADER_BYTES) {
            memcpy(held->bytes, bytes, length);
            held->length = length;
            session->held_count++;
        }
    } else if (ahead < 0) {
        session->info.frames_duplicate++;
    } else {
        session->info.frames_rejected++;
    }
}

void fab_rx(struct fab_node *node, uint16_t peer_id, const uint8_t *bytes, uint32_t length,
            uint64_t now_ns)
{
    struct fab__session *session = session_of(node, peer_id);
    struct fab__header header;

    if (!fab__header_read(bytes, length, &header)) {
        if (session != NULL) {
            session->info.frames_rejected++;
        }
        return;
    }
    session = session_for(node, peer_id, &header, now_ns);
    if (session == NULL) {
        return;
    }
    session->info.alive = true;
    session->info.heard_ns = now_ns;
    session->info.frames_received++;
    session->info.bytes_received += length;
    if (!fab__window_acked(session, header.ack, header.sack, now_ns)) {
        session->broken = true;
    } else if (header.kind == FAB__FRAME_RECORDS) {
        frame_take(session, header.sequence, bytes + FAB__HEADER_BYTES, header.payload_bytes);
    }
    if (session->broken) {
        fab__session_end(session, SF_CAUSE_OF(LINK_LOST));
    }
}

/* --- frames out ----------------------------------------------------------------------------- */

struct fab__header fab__session_header(const struct fab__session *session, uint8_t kind)
{
    struct fab__header header = {
        .kind = kind,
        .source_node = session->node->node_id,
        .target_node = session->peer_id,
        .source_epoch = session->node->epoch,
        .target_epoch = session->peer_epoch,
        .source_session = session->number,
        .target_session = session->peer_number,
        .sequence = session->tx_next,
        .ack = session->rx_next,
    };

    for (uint32_t i = 1; session->held_count != 0 && i < FAB__WINDOW; i++) {
        if (session->held[(session->rx_next + i) % FAB__WINDOW].length != 0) {
            header.sack |= 1ull << (i - 1);
        }
    }
    return header;
}

static uint32_t frame_write(struct fab__session *session, const struct fab__sent *sent,
                            uint32_t sequence, uint8_t *bytes, uint64_t now_ns)
{
    struct fab__header header =
        fab__session_header(session, sent == NULL ? FAB__FRAME_CONTROL : FAB__FRAME_RECORDS);
    uint32_t length = FAB__HEADER_BYTES;

    if (sent != NULL) {
        header.sequence = sequence;
        header.payload_bytes = (uint16_t)sent->length;
        memcpy(bytes + FAB__HEADER_BYTES, sent->bytes, sent->length);
        length += sent->length;
    }
    fab__header_write(bytes, &header);
    session->ack_due = false;
    session->last_sent_ns = now_ns;
    session->info.frames_sent++;
    session->info.bytes_sent += length;
    return length;
}

static bool frame_new_possible(const struct fab__session *session)
{
    return fab__in_flight(session) < FAB__WINDOW && !fab__outbox_empty(session);
}

static struct fab__sent *frame_new(struct fab__session *session)
{
    struct fab__sent *sent = &session->sent[session->tx_next % FAB__WINDOW];
    struct fab__writer writer = {
        .bytes = sent->bytes,
        .capacity = session->mtu_bytes - FAB__HEADER_BYTES,
    };

    fab__outbox_write(session, &writer);
    if (writer.length == 0) {
        return NULL;
    }
    sent->length = writer.length;
    sent->sends = 0;
    sent->seen = false;
    sent->lost = false;
    session->tx_next++;
    return sent;
}

static bool control_due(const struct fab__session *session, uint64_t now_ns)
{
    return session->ack_due || now_ns - session->last_sent_ns >= session->node->heartbeat_ns;
}

uint32_t fab_tx(struct fab_node *node, uint16_t peer_id, uint8_t *bytes, uint32_t capacity,
                uint64_t now_ns)
{
    struct fab__session *session = session_of(node, peer_id);
    struct fab__sent *sent;
    uint32_t sequence = 0;

    if (session == NULL || capacity < session->mtu_bytes) {
        return 0;
    }
    fab__window_timeout(session, now_ns);
    sent = fab__window_lost(session, &sequence);
    if (sent != NULL) {
        session->info.frames_resent++;
    } else if (frame_new_possible(session)) {
        sequence = session->tx_next;
        sent = frame_new(session);
    }
    if (sent == NULL && !control_due(session, now_ns)) {
        return 0;
    }
    if (sent != NULL) {
        fab__window_sent(session, sent, now_ns);
    }
    return frame_write(session, sent, sequence, bytes, now_ns);
}

static bool session_pending(const struct fab__session *session, uint64_t now_ns)
{
    return session->lost_count != 0 || now_ns >= session->resend_at_ns ||
           frame_new_possible(session) || control_due(session, now_ns);
}

uint16_t fab_tx_pending(struct fab_node *node, uint64_t now_ns)
{
    for (uint32_t i = 0; i < node->session_count; i++) {
        uint32_t turn = (node->session_turn + i) % node->session_count;
        uint16_t id = node->session_ids[turn];
        if (session_pending(node->sessions[id], now_ns)) {
            node->session_turn = turn + 1;
            return id;
        }
    }
    return 0;
}

/* --- time ----------------------------------------------------------------------------------- */

static uint64_t silence_deadline(const struct fab__session *session)
{
    uint64_t timeout_ns = session->node->peer_timeout_ns;

    return session->info.alive ? session->info.heard_ns + timeout_ns
                               : session->begun_ns + FAB__FIRST_CONTACT_FACTOR * timeout_ns;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t fab_tick(struct fab_node *node, uint64_t now_ns)
{
    uint64_t next_ns = UINT64_MAX;

    for (uint32_t i = node->session_count; i-- > 0;) {
        struct fab__session *session = node->sessions[node->session_ids[i]];
        if (now_ns >= silence_deadline(session)) {
            fab__session_end(session, SF_CAUSE_OF(NODE_LOST));
            continue;
        }
        fab__window_timeout(session, now_ns);
        if (session_pending(session, now_ns)) {
            next_ns = now_ns;
        }
        next_ns = min_u64(next_ns, silence_deadline(session));
        next_ns = min_u64(next_ns, session->resend_at_ns);
        next_ns = min_u64(next_ns, session->last_sent_ns + node->heartbeat_ns);
    }
    return next_ns;
}
