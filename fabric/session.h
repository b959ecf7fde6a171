/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - private to fabric: the stream of frames between this node and another.
 *
 * Model: each side numbers its RECORDS frames from 1. A sent frame stays in its window slot until
 * it is acknowledged, and is sent again when its timer runs out (RFC 6298) or when three later
 * frames were seen by the peer. The receiver takes frames in order, holds up to a window of later
 * ones, and drops what it has had. So records arrive in order and exactly once.
 *
 * A session has a number on either side, so that a session begun again with the same two epochs is
 * not confused by frames of the one before.
 *
 * Limits: FAB__WINDOW frames in flight either way, whose bytes are reserved at the beginning.
 */
#ifndef FABRIC_SESSION_H
#define FABRIC_SESSION_H

#include "node.h"
#include "wire.h"

#define FAB__WINDOW 64u
/* A peer may have so many times peer_timeout_ns until it is heard for the first time. */
#define FAB__FIRST_CONTACT_FACTOR 5u
#define FAB__REPLIES_MAX (1u << 16)

struct fab__sent {
    uint8_t *bytes; /* records; mtu - FAB__HEADER_BYTES reserved */
    uint32_t length;
    uint32_t sends;
    uint64_t sent_ns; /* last time */
    bool seen;        /* by selective acknowledgement */
    bool lost;        /* to be sent again */
};

struct fab__held {
    uint8_t *bytes;
    uint32_t length; /* 0: not here */
};

/* A small record that answers another and belongs to no endpoint record of this node. */
struct fab__reply {
    uint8_t type; /* enum fab__record_type: CLOSE, ARRIVED, MOVED_ACK */
    uint64_t target;
    struct sf_cause cause;
};

struct fab__session {
    struct fab_node *node;
    uint16_t peer_id;
    uint16_t peer_epoch;
    uint32_t mtu_bytes;
    uint32_t number;      /* ours */
    uint32_t peer_number; /* 0: not heard yet */
    bool broken;          /* the peer broke the protocol: to be ended */

    struct fab__sent sent[FAB__WINDOW]; /* by sequence modulo window */
    uint32_t tx_next;                   /* sequence of the next new frame */
    uint32_t tx_acked;                  /* all before this one are acknowledged */
    uint32_t lost_count;
    uint64_t rtt_ns; /* smoothed; 0: none yet */
    uint64_t rtt_deviation_ns;
    uint64_t resend_at_ns; /* UINT64_MAX: nothing in flight */
    uint32_t backoff;

    struct fab__held held[FAB__WINDOW];
    uint32_t rx_next;
    uint32_t held_count;
    bool ack_due;

    uint64_t last_sent_ns;
    uint64_t begun_ns;

    struct fab_ep *ep_first; /* endpoints with something to send, in turn */
    struct fab_ep *ep_last;
    struct fab__reply *replies; /* ring */
    uint32_t reply_head;
    uint32_t reply_count;
    uint32_t reply_capacity;

    struct fab_peer_info info;
    uint8_t *memory;
};

/* --- session.c ------------------------------------------------------------------------------ */

void fab__sessions_fini(struct fab_node *node);
/* Frees it. Channels over it close with cause; the event fires. */
void fab__session_end(struct fab__session *session, struct sf_cause cause);
/* A session that cannot take the answer is broken. */
void fab__reply(struct fab__session *session, enum fab__record_type type, uint64_t target,
                struct sf_cause cause);
struct fab__header fab__session_header(const struct fab__session *session, uint8_t kind);

/* --- window.c: what was sent ---------------------------------------------------------------- */

static inline uint32_t fab__in_flight(const struct fab__session *session)
{
    return session->tx_next - session->tx_acked;
}
/* False: acknowledges what was never sent. */
bool fab__window_acked(struct fab__session *session, uint32_t ack, uint64_t sack, uint64_t now_ns);
/* Marks frames whose time is up. */
void fab__window_timeout(struct fab__session *session, uint64_t now_ns);
/* The oldest frame to be sent again, or NULL. */
struct fab__sent *fab__window_lost(struct fab__session *session, uint32_t *out_sequence);
void fab__window_sent(struct fab__session *session, struct fab__sent *sent, uint64_t now_ns);

/* --- outbox.c: records that go out ---------------------------------------------------------- */

/* The session on which ep has something to send now, or NULL. */
struct fab__session *fab__work_session(const struct fab_ep *ep);
/* Puts an endpoint in its session's turn if it has something to send. */
void fab__schedule(struct fab_ep *ep);
void fab__unschedule(struct fab_ep *ep);
bool fab__outbox_empty(const struct fab__session *session);
/* Fills a frame's payload. */
void fab__outbox_write(struct fab__session *session, struct fab__writer *writer);

/* --- inbox.c: records that come in ---------------------------------------------------------- */

/* Takes the records of a frame that is in order. Sets session->broken if they make no sense. */
void fab__inbox_take(struct fab__session *session, const uint8_t *bytes, uint32_t length);

#endif
