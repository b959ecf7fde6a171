/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - private to fabric: the stream of frames between this node and another.
 *
 * Model: a session begins with hellos. Each side names its session by a number, made of its epoch
 * and a counter, and sends frames only once the other has said that number back; so a frame of an
 * earlier session, or of an earlier boot of either node, has a number that nobody answers to.
 *
 * Each side numbers its RECORDS frames from 1. A sent frame stays in its window slot until it is
 * acknowledged, and is sent again when its timer runs out (RFC 6298) or when some later frames
 * (reorder) were seen by the peer. Before the timer runs out for all, the newest frame is sent
 * again alone: a probe, as in RFC 8985; the answer tells what is missing. The receiver takes frames
 * in order, holds later ones, and drops what it has had. So records arrive in order and exactly
 * once. How many frames may be on their way is congestion.h's business.
 *
 * A frame's records are copied into its slot, long ones into a buffer, with one exception: part of
 * a large block stays where it is (`tail`) until the frame is acknowledged. The session owns the
 * block from when its message is gone until then.
 *
 * Sessions with something to send stand in a ring at the node (`ready`), so that a node with many
 * peers looks at those only. Whatever may give a session something to send calls fab__ready.
 *
 * Limits: FAB__WINDOW frames in flight either way. Slots grow with what is used, by doubling, and
 * buffers are taken from malloc as they are needed; without memory nothing is lost, but later.
 */
#ifndef FABRIC_SESSION_H
#define FABRIC_SESSION_H

#include "congestion.h"
#include "handshake.h"
#include "node.h"
#include "seal.h"
#include "wire.h"

#define FAB__WINDOW (64u * FAB__SACK_WORDS_MAX)
#define FAB__WINDOW_FIRST 16u /* slots at first */
#define FAB__BUFFERS_KEPT 64u /* free ones, while the session is busy */
/* A frame's records stay in its slot if they are so short: a segment of a block is, and a message
 * of eight numbers. */
#define FAB__SHORT_BYTES 80u
/* A peer may have so many times peer_timeout_ns until it is heard for the first time. */
#define FAB__FIRST_CONTACT_FACTOR 5u
#define FAB__REPLIES_MAX (1u << 16)
/* Session numbers: epoch << 18 | counter. */
#define FAB__SESSION_EPOCH_SHIFT 18u

struct fab__buffer {
    struct fab__buffer *next; /* free ones */
    uint8_t bytes[];
};

struct fab__sent {
    struct fab__buffer *buffer; /* records, if they are not short; of a new one's slot always */
    struct xh_block *block;     /* the tail is part of it; NULL: no tail */
    uint64_t sent_ns;           /* last time */
    uint32_t length;
    uint32_t tail_offset;
    uint32_t tail_length;
    uint16_t sends; /* stops at its maximum */
    bool last;      /* of block: acknowledged, it is freed */
    bool seen;      /* by selective acknowledgement */
    bool lost;      /* to be sent again */
    bool timed;     /* by a timer, not because later ones were seen */
    uint8_t records[FAB__SHORT_BYTES];
};

struct fab__held {
    struct fab__buffer *buffer; /* NULL: not here */
    uint32_t length;
};

/* A small record that answers another and belongs to no endpoint record of this node. */
struct fab__reply {
    /* enum fab__record_type: CLOSE, ARRIVED, MOVED_ACK, TAKEN, UNREAD, HELD and those after it */
    uint8_t type;
    uint8_t status; /* HELD */
    uint64_t target;
    uint64_t peer; /* HELD and later */
    uint64_t move;
    struct sf_cause cause;
};

/* What a sealed session has besides. */
struct fab__secure {
    struct fab__pair pair;
    struct fab__handshake handshake;
    struct fab__sealer sealer;
    struct fab__unsealer unsealer;
    bool keyed;     /* sealer and unsealer are there */
    uint8_t cipher; /* enum fab__cipher */
    /* Our hello with our message: sent again as it is. 0 bytes: none made yet. */
    uint8_t hello[FAB__HELLO_BYTES + FAB__HANDSHAKE_BYTES];
    uint32_t hello_bytes;
    uint8_t answered[FAB__HELLO_BYTES + FAB__HANDSHAKE_BYTES]; /* responder: what hello answers */
    uint64_t read_next_ns; /* a message costs time to read, so not before */
};

struct fab__session {
    struct fab_node *node;
    uint16_t peer_id;
    uint16_t peer_epoch;
    uint32_t mtu_bytes; /* of the link on this side */
    uint32_t read_bytes_min;
    uint32_t frame_bytes;     /* largest frame, agreed */
    uint8_t lead_bytes;       /* of the link's own, in front of each */
    uint32_t number;          /* ours */
    uint32_t peer_number;     /* 0: not heard yet */
    bool steady;              /* no congestion control */
    bool reads;               /* we can read its memory, and it ours */
    bool refers;              /* it says so, too */
    uint32_t referring_count; /* endpoints that wait for the peer to read */
    bool open;                /* the peer knows our number: frames may go */
    bool met;                 /* a frame has come: this is the session that the peer uses */
    bool broken;              /* the peer broke the protocol: to be ended */
    bool hello_due;
    bool ack_due;               /* at once */
    bool heartbeat_due;         /* a control frame, whatever there is to say */
    bool starved;               /* no memory: nothing new until the next tick */
    struct fab__secure *secure; /* NULL: not sealed */
    /* Sealed, and the peer seems to begin anew: takes our place once it has proved that. */
    struct fab__session *successor;

    /* Sent, by sequence modulo sent_capacity. */
    struct fab__sent *sent;
    uint32_t sent_capacity; /* a power of two */
    uint32_t tx_next;       /* sequence of the next new frame */
    uint32_t tx_acked;      /* all before this one are acknowledged */
    uint32_t lost_count;
    uint32_t seen_count; /* in flight, and seen */
    uint32_t reorder;    /* a frame is lost if so many later ones were seen */
    uint64_t tx_number;  /* of the last frame */
    uint64_t rtt_ns;     /* smoothed; 0: none yet */
    uint64_t rtt_deviation_ns;
    uint64_t resend_at_ns; /* UINT64_MAX: nothing in flight */
    bool probe_next;       /* what is due then is a probe */
    bool probe_due;        /* one frame may go beyond the window */
    bool timed_out;        /* and it is not known yet whether rightly */
    uint32_t backoff;
    struct fab__congestion congestion;

    /* Received too early, by sequence modulo held_capacity. */
    struct fab__held *held;
    uint32_t held_capacity; /* a power of two, or 0 */
    uint32_t held_count;
    uint32_t held_end; /* one past the last sequence held; if any is */
    uint32_t rx_next;
    uint32_t unacked;   /* frames received since an acknowledgement went out */
    uint64_t ack_at_ns; /* by when one has to go out, if any frame is unacked */
    uint64_t newest_ns; /* arrival of the last frame */
    /* The node's `late`: what came with that frame. */
    uint32_t late_ack;
    uint16_t late_hold_us;
    uint64_t late_ns;

    uint64_t last_sent_ns; /* of a frame; a hello is none */
    uint64_t begun_ns;
    uint64_t hello_at_ns; /* UINT64_MAX: none to be sent */
    uint64_t hello_wait_ns;

    struct fab__buffer *buffers; /* free */
    uint32_t buffer_count;

    struct fab__session *ready_next; /* the node's ring */
    bool ready;
    uint8_t lane;

    struct fab_ep *ep_last_in; /* the last one that a message came for, or any other; or NULL */
    struct fab_ep *ep_first;   /* endpoints with something to send, in turn */
    struct fab_ep *ep_last;
    struct fab__reply *replies; /* ring */
    uint32_t reply_head;
    uint32_t reply_count;
    uint32_t reply_capacity;

    struct fab_peer_info info;
    struct fab_histogram rtt;
};

static inline uint32_t fab__payload_bytes_max(const struct fab__session *session)
{
    return session->frame_bytes - FAB__HEADER_BYTES -
           (session->secure != NULL ? FAB__TAG_BYTES : 0);
}

/* --- session.c ------------------------------------------------------------------------------ */

void fab__sessions_fini(struct fab_node *node);
/* Frees it. Channels over it close with cause; the event fires. */
void fab__session_end(struct fab__session *session, struct sf_cause cause);
/* A session that cannot take the answer is broken. */
void fab__reply(struct fab__session *session, enum fab__record_type type, uint64_t target,
                struct sf_cause cause);
/* The same for HELD and those after it; MOVE_OVER has nothing but the move. */
void fab__reply_move(struct fab__session *session, enum fab__record_type type, uint64_t target,
                     uint64_t peer, uint64_t move, uint8_t status);
/* One with the same peer and a new number, in no table yet. NULL: no memory. */
struct fab__session *fab__session_twin(const struct fab__session *session, uint64_t now_ns);
/* Ends the session; its successor takes its place. */
struct fab__session *fab__session_succeed(struct fab__session *session);
void fab__session_free(struct fab__session *session);
/* Ends the session and begins it anew, with the same peer. NULL: no memory; it has ended. */
struct fab__session *fab__session_again(struct fab__session *session, uint64_t now_ns);
/* It may have something to send now. */
void fab__ready(struct fab__session *session);
/* Something is due at at_ns: fab_tick will be asked for by then. */
static inline void fab__timer(struct fab_node *node, uint64_t at_ns)
{
    node->tick_ns = at_ns < node->tick_ns ? at_ns : node->tick_ns;
}
/* What was to be due at at_ns is not any more. */
static inline void fab__timer_settled(struct fab_node *node, uint64_t at_ns)
{
    node->tick_settled |= at_ns == node->tick_ns;
}
/* NULL: no memory. */
struct fab__buffer *fab__buffer_take(struct fab__session *session);
void fab__buffer_give(struct fab__session *session, struct fab__buffer *buffer);

/* --- hello.c: how a session begins ---------------------------------------------------------- */

void fab__hello_take(struct fab__session *session, const uint8_t *bytes, uint32_t length,
                     uint64_t now_ns);
/* Answers its length. */
uint32_t fab__hello_make(struct fab__session *session, uint8_t *bytes, uint64_t now_ns);
/* Which of the two begins: the node with the lower id. */
static inline bool fab__session_calls(const struct fab__session *session)
{
    return session->node->node_id < session->peer_id;
}
/* A frame of this session has come. */
static inline void fab__session_heard(struct fab__session *session, uint32_t length,
                                      uint64_t now_ns)
{
    session->info.alive = true;
    session->info.heard_ns = now_ns;
    session->info.frames_received++;
    session->info.bytes_received += length;
}
/* The session goes with the peer's session that says this hello. */
void fab__session_bind(struct fab__session *session, const struct fab__hello *hello);
/* The peer has used our number. */
void fab__session_opened(struct fab__session *session);
/* A hello from the peer of the session, as fab__hello_is_ours wants it. */
bool fab__hello_is_ours(const struct fab__session *session, const struct fab__hello *hello);
/* Ours, without flags. */
struct fab__hello fab__hello_of(const struct fab__session *session);

/* --- secure.c: how a sealed session begins -------------------------------------------------- */

SF_MUST_CHECK sf_status fab__secure_init(struct fab__session *session,
                                         const uint8_t peer_key[FAB_KEY_BYTES]);
void fab__secure_fini(struct fab__session *session);
void fab__secure_hello_take(struct fab__session *session, const struct fab__hello *hello,
                            const uint8_t *bytes, uint32_t length, uint64_t now_ns);
uint32_t fab__secure_hello_make(struct fab__session *session, uint8_t *bytes);

/* --- receive.c: frames that come in --------------------------------------------------------- */

/* Writes what was received into a header: ack, selective ack in at most words_max words, hold. */
void fab__ack_write(struct fab__session *session, struct fab__header *header, uint32_t words_max,
                    uint64_t now_ns);
static inline uint16_t fab__hold_us(const struct fab__session *session, uint64_t now_ns)
{
    uint64_t hold_us = (now_ns - session->newest_ns) / 1000;

    return (uint16_t)(hold_us < FAB__HOLD_US_MAX ? hold_us : FAB__HOLD_US_MAX);
}
/* All that was received is acknowledged. */
static inline void fab__ack_written(struct fab__session *session)
{
    fab__timer_settled(session->node, session->ack_at_ns);
    session->ack_due = false;
    session->unacked = 0;
}
/* Goes through the acknowledgement that was put off, if there is one. */
void fab__late_take(struct fab_node *node);
static inline void fab__settle(struct fab_node *node)
{
    if (node->late != NULL) {
        fab__late_take(node);
    }
}
/* Its time has come, or sets a timer. */
void fab__ack_tick(struct fab__session *session, uint64_t now_ns);
void fab__held_fini(struct fab__session *session);

/* --- transmit.c: frames that go out --------------------------------------------------------- */

bool fab__session_pending(const struct fab__session *session);
/* Of the next frame. By pointer: a copy has to wait for what was written piece by piece. */
void fab__session_header(struct fab__session *session, uint8_t kind, uint32_t sack_words_max,
                         uint64_t now_ns, struct fab__header *out_header);

/* --- window.c: what was sent ---------------------------------------------------------------- */

static inline uint32_t fab__in_flight(const struct fab__session *session)
{
    return session->tx_next - session->tx_acked;
}
static inline struct fab__sent *fab__sent_at(const struct fab__session *session, uint32_t sequence)
{
    return &session->sent[sequence & (session->sent_capacity - 1)];
}
/* May a frame go out, new or again, as far as the network is concerned? */
static inline bool fab__window_open(const struct fab__session *session)
{
    return session->probe_due ||
           fab__in_flight(session) - session->seen_count - session->lost_count <
               session->congestion.window;
}
SF_MUST_CHECK sf_status fab__window_init(struct fab__session *session);
/* Frees slots and blocks; nothing is in flight afterwards. */
void fab__window_fini(struct fab__session *session);
/* `length` bytes, of a frame that has been made. */
static inline const uint8_t *fab__sent_records(const struct fab__sent *sent)
{
    return sent->length <= FAB__SHORT_BYTES ? sent->records : sent->buffer->bytes;
}

/* A slot for a new frame, with a buffer; NULL: the window is full, or there is no memory. */
struct fab__sent *fab__window_new(struct fab__session *session);
/* It is filled: it gets the next sequence. */
void fab__window_push(struct fab__session *session);
/* False: acknowledges what was never sent. */
bool fab__window_acked(struct fab__session *session, const struct fab__header *header,
                       uint64_t now_ns);
/* Marks frames whose time is up. */
void fab__window_timeout(struct fab__session *session, uint64_t now_ns);
/* The oldest frame to be sent again, or NULL. */
struct fab__sent *fab__window_lost(struct fab__session *session, uint32_t *out_sequence);
void fab__window_sent(struct fab__session *session, struct fab__sent *sent, uint64_t now_ns);
/*
 * A block that `owner` has and of which parts may be in flight: frees it as soon as none is. For
 * messages that end before they are sent whole.
 */
void fab__window_free_block(struct fab__session *session, struct xh_block *block, uint64_t owner);

/* --- outbox.c: records that go out ---------------------------------------------------------- */

/* The session on which ep has something to send now, or NULL. */
struct fab__session *fab__work_session(const struct fab_ep *ep);
/* Puts an endpoint in its session's turn if it has something to send. */
void fab__schedule(struct fab_ep *ep);
void fab__unschedule(struct fab_ep *ep);
/* Looks at all endpoints: what was held up by one in its first message may go, or may not. */
void fab__schedule_all(struct fab_node *node);
bool fab__outbox_empty(const struct fab__session *session);
/* Writes a new frame's payload, but for its tail, and says in sent what is in it. */
void fab__outbox_write(struct fab__session *session, struct fab__sent *sent, uint8_t *payload);

/* The peer has read the block that `target` refers to, or could not. */
void fab__outbox_taken(struct fab__session *session, uint64_t target, bool taken);

/* --- inbox.c: records that come in ---------------------------------------------------------- */

/* The bytes of the block that ep's message waits for are all there. */
void fab__inbox_filled(struct fab__session *session, struct fab_ep *ep);

/* Takes the records of a frame that is in order. Sets session->broken if they make no sense. */
void fab__inbox_take(struct fab__session *session, const uint8_t *bytes, uint32_t length);
/* Are the records, which continue in a tail, one DATA record, whose header is before it? */
bool fab__is_data(const uint8_t *bytes, uint32_t length, uint32_t tail_length);
/* As inbox_take, of such records. */
void fab__inbox_take_data(struct fab__session *session, const uint8_t *bytes, uint32_t length,
                          const uint8_t *tail, uint32_t tail_length);

/* Owner of blocks that are in flight and in no message any more. */
static inline uint64_t fab__session_owner(const struct fab__session *session)
{
    return XH_OWNER(XH_OWNER_SESSION, session->peer_id);
}

#endif
