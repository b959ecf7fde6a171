/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fabric.h - channels and their two endpoints on one node, and sessions to other nodes.
 *
 * Why: a channel must behave the same whether its peer is on this core or on another machine.
 * So there is one send, one receive, one close, and one monitor; where the peer lives is a field.
 *
 * Sans-I/O: no socket, clock, thread or random number inside. Time is passed in (ns, monotonic),
 * frames are pulled out with fab_tx and pushed in with fab_rx, epochs come from the caller. A
 * simulator can run a whole cell of fab_nodes in one process.
 *
 * Endpoint ids are cell-wide and never reused: node id (10 bits), boot epoch (14 bits), counter
 * (40 bits). An endpoint keeps its id when it is sent to another node.
 *
 * The monitor runs at both ends. Sending what the state does not allow answers SF_CONTRACT, and
 * nothing is sent. Receiving such a message (from a broken or hostile node) closes the channel
 * with cause CONTRACT_VIOLATED, state and tag filled in; a peer that is remote is told.
 *
 * Sending never blocks, never fails for lack of memory and never allocates queue space: the slots
 * of both directions are reserved from the contract's bounds when the channel is made. A send to
 * a closed channel answers SF_OK (the message is dropped and freed), as in Singularity; closure is
 * seen when receiving, after all messages that arrived before it.
 *
 * Moving endpoints: an endpoint may be put in a message only in the state the message's contract
 * names, which is a state where its holder sends next; so no message can be under way to it. If
 * its peer is on a third node, that node is told (PEER_MOVED), and a tombstone forwards control
 * records until that is acknowledged. Whole SIPs move with all their endpoints in any state: see
 * fabric/cargo.h and fabric/sip_move.h.
 *
 * Lanes: a caller with several threads that send gives each a lane, and each session one of them
 * (fab_peer.lane). A lane's thread asks for frames of its own sessions only, so those of one
 * session leave in their order. One lane, 0, is enough for one thread.
 *
 * Threads: no lock inside. One thread at a time may use a fab_node, with one exception: sending on
 * and receiving from endpoints whose peer is on this node (fab_ep_local_peer), messages that carry
 * no endpoint, touches those two records, their queues, and the blocks in the message, and nothing
 * else but the heap; so two threads may do that at once on two different channels. Callbacks are
 * called from inside fab_ functions and must only take notes (no fab_ calls). Ownership: an
 * endpoint belongs to its node until closed by its holder (fab_ep_close) or sent away; then the
 * pointer is dead. Blocks in a message change owner with it.
 */
#ifndef FABRIC_FABRIC_H
#define FABRIC_FABRIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"
#include "contracts/table.h"
#include "exchange_heap/xh.h"
#include "fabric/histogram.h"

#define FAB_NODES_MAX 1024u     /* node ids 1..1023; 0 means none */
#define FAB_NAME_BYTES_MAX 127u /* export names: "<sip>.<export>" */
#define FAB_HEADER_BYTES 24u    /* of any frame, at least */
#define FAB_MTU_BYTES_MIN 512u
#define FAB_MTU_BYTES_MAX 9216u
#define FAB_MESSAGE_BLOCK_BYTES_MAX XH_BLOCK_BYTES_MAX
#define FAB_KEY_BYTES 32u
#define FAB_LANES_MAX 64u

struct fab_node;
struct fab_ep;

/* A message outside SIP memory. Kinds of args come from the contract's message table. */
struct fab_msg {
    uint8_t tag;
    uint8_t arg_count;
    union fab_arg {
        uint64_t scalar;        /* sign- or zero-extended; floats as their bit pattern */
        struct xh_block *block; /* NULL only if optional */
        struct fab_ep *ep;      /* NULL only if optional */
    } args[CT_ARGS_MAX];
};

/* What a message carries, in a form that is quick to go through. */
struct fab_plan {
    uint8_t arg_count;
    uint8_t narrow;       /* bit i: argument i is a scalar with fewer than 64 bits */
    uint8_t blocks;       /* bit i: argument i is a block */
    uint8_t eps;          /* bit i: argument i is an endpoint */
    uint8_t optional;     /* bit i: argument i may be absent */
    uint8_t plain;        /* bit i: argument i is a block of scalars */
    bool simple;          /* 64-bit scalars, and at most one block, of scalars */
    bool several;         /* more than one block or endpoint */
    uint8_t scalar_bytes; /* of all scalars, in their widths */
    uint8_t kinds[CT_ARGS_MAX];
    uint8_t grains[CT_ARGS_MAX]; /* plain: bytes of an element, less one; a mask */
};

struct fab_events {
    /* A message arrived, or the channel closed: the holder should try to receive. */
    void (*ready)(void *arg, struct fab_ep *ep);
    /* A message of scalars has come from another node, and nothing is queued before it. True: the
     * holder has taken it, as fab_ep_recv would have; the state steps once this returns. False:
     * `ready` follows. May be NULL. */
    bool (*take)(void *arg, struct fab_ep *ep, const struct fab_msg *msg);
    /* The next bytes of a block that comes from another node to an endpoint that is streamed
     * (fab_ep_stream): of argument `index` of msg, which is not whole yet, from `offset` on; the
     * blocks before that one are. Answers how many of them, from the first on, the holder has
     * taken. Those are in the block as little as what a holder did not ask for: it must know. Not
     * called for what a device reads (`read`). It must not change the fabric. */
    uint32_t (*bytes)(void *arg, struct fab_ep *ep, const struct fab_msg *msg, uint32_t index,
                      uint32_t offset, const uint8_t *bytes, uint32_t length);
    /* A channel was opened to an export; exp is held by the export's owner from now on. */
    void (*opened)(void *arg, uint64_t export_owner, const char *export_name, struct fab_ep *exp);
    /* A session is gone (heart-beats missing, epoch changed, or protocol broken). */
    void (*session_lost)(void *arg, uint16_t peer_id, struct sf_cause cause);
    /*
     * Optional, both or none: for sessions whose peer's memory can be read (fab_peer.reads). read:
     * have the device read so many bytes of the peer's, from address on, into `to`, which stays as
     * it is; fab_read_done, later, says that it is over. False: not now; the bytes come in frames.
     * revoke: on return the peer can read no block of ours any more; blocks are freed next.
     */
    bool (*read)(void *arg, uint16_t peer_id, uint64_t address, void *to, uint32_t bytes,
                 uint64_t cookie);
    void (*revoke)(void *arg, uint16_t peer_id);
    /* Optional. A session of that lane may have something to send that had nothing. */
    void (*waiting)(void *arg, uint32_t lane);
};

struct fab_options {
    uint16_t node_id;     /* 1..1023 */
    uint16_t epoch;       /* of this boot, 1..16383, from the orchestrator, never reused */
    struct xh_heap *heap; /* must outlive the node */
    struct fab_events events;
    void *events_arg;
    uint32_t endpoint_count_max; /* records reserved at creation; LIMIT when used up */
    const uint8_t *secret_key;   /* X25519, FAB_KEY_BYTES, copied; NULL: no sealed sessions */
    /* Fresh bytes of the system's generator, for handshakes; with a secret_key only. */
    void (*random)(void *arg, uint8_t *bytes, uint32_t length);
    uint64_t heartbeat_ns; /* 0: default 200 ms */
    /* Silence after which a peer is lost; 0: default 2 s. What fab_tick was called later than a
     * heart-beat after it was due does not count. */
    uint64_t peer_timeout_ns;
};

SF_MUST_CHECK sf_status fab_node_create(const struct fab_options *options,
                                        struct fab_node **out_node);
/* Closes nothing politely: endpoints, messages and their blocks are freed. Takes NULL. */
void fab_node_destroy(struct fab_node *node);

/* --- contracts ------------------------------------------------------------------------------ */

/*
 * Makes a contract known, so that endpoints typed by it can arrive from other nodes. Adding an id
 * twice is OK; the first copy is the one kept, so compare ids, not pointers. The contract must
 * outlive the node. BADARG: the fabric cannot rely on it (a state in which both sides send, an
 * index or bound out of range). EXISTS: another contract has that short id. NOMEM.
 */
SF_MUST_CHECK sf_status fab_contract_add(struct fab_node *node, const struct ct_contract *contract);
const struct ct_contract *fab_contract_find(const struct fab_node *node, uint64_t short_id);

/* --- channels ------------------------------------------------------------------------------- */

/*
 * Both ends on this node. state: index the channel starts in. LIMIT, NOMEM; BADARG, EXISTS as
 * fab_contract_add (the contract becomes known).
 */
SF_MUST_CHECK sf_status fab_chan_create(struct fab_node *node, const struct ct_contract *contract,
                                        uint8_t state, struct fab_ep **out_imp,
                                        struct fab_ep **out_exp);

/*
 * Sends. SF_CONTRACT: not allowed in this state, or an argument breaks its declared type (block
 * missing, endpoint of another contract, side or state); nothing sent, msg is still yours.
 * SF_OK: blocks and endpoints in msg are gone (given to the channel, or freed if it is closed).
 * Blocks must be owned by `owner`, and nothing can be given twice; NOTOWNER otherwise.
 */
SF_MUST_CHECK sf_status fab_ep_send(struct fab_ep *ep, const struct fab_msg *msg, uint64_t owner);

/* So many arguments, 8 bytes each, at any addresses: two at a time. */
static inline void fab_words_copy(void *to, const void *from, uint32_t count)
{
    uint32_t pairs = count / 2;

    for (uint32_t i = 0; i < pairs; i++) {
        memcpy((uint8_t *)to + 16u * i, (const uint8_t *)from + 16u * i, 16);
    }
    if (count % 2 != 0) {
        memcpy((uint8_t *)to + 16u * pairs, (const uint8_t *)from + 16u * pairs, 8);
    }
}

/*
 * fab_ep_send of a message of scalars alone, whose tag the caller has checked: words are its
 * arguments, 8 bytes each, at any address.
 */
SF_MUST_CHECK sf_status fab_ep_send_words(struct fab_ep *ep, uint8_t tag, const void *words);

/*
 * Receives. Blocks in *out_msg now belong to `owner`. AGAIN: nothing there. CLOSED: closed and
 * drained; fab_ep_cause says why.
 */
SF_MUST_CHECK sf_status fab_ep_recv(struct fab_ep *ep, struct fab_msg *out_msg, uint64_t owner);

/*
 * Sends and receives at once, past the queue: for a holder of the other end who waits. As
 * fab_ep_send, then fab_ep_recv of the other end for to_owner, but msg is what is received. AGAIN:
 * something is queued already, or the peer is not on this node; nothing has changed. Messages with
 * endpoints: BADARG. Does not fire `ready`.
 */
SF_MUST_CHECK sf_status fab_ep_pass(struct fab_ep *ep, const struct fab_msg *msg, uint64_t owner,
                                    uint64_t to_owner);

/*
 * fab_ep_pass of a simple message (fab_plan.simple) whose arguments the caller has checked: moves
 * both ends to the next state, and nothing else. False: it is not allowed in this state, something
 * is queued already, or the peer is not on this node; nothing has changed.
 */
bool fab_ep_pass_simple(struct fab_ep *ep, uint8_t tag);

/*
 * fab_ep_recv for a holder who has not taken the lock that protects the fabric, of a peer on this
 * node: UNSUPPORTED if the next message carries an endpoint; nothing has changed.
 */
SF_MUST_CHECK sf_status fab_ep_recv_plain(struct fab_ep *ep, struct fab_msg *out_msg,
                                          uint64_t owner);

/* True if fab_ep_recv would answer something else than AGAIN. */
bool fab_ep_readable(const struct fab_ep *ep);

/* The record at the other end, if that is on this node and joined to this one; else NULL. */
struct fab_ep *fab_ep_local_peer(const struct fab_ep *ep);

/* Gives the endpoint up. The peer sees `cause` after the messages already sent. ep is dead. */
void fab_ep_close(struct fab_ep *ep, struct sf_cause cause);

/* Frees blocks and closes endpoints of a received or never-sent message. */
void fab_msg_drop(struct fab_node *node, const struct ct_contract *contract, struct fab_msg *msg,
                  uint64_t owner, struct sf_cause cause);

struct fab_ep_info {
    uint64_t id;
    uint64_t peer_id;
    uint16_t peer_node; /* own node id if the peer is local */
    enum ct_side side;
    const struct ct_contract *contract;
    uint8_t state;         /* as its holder sees it */
    uint16_t queued;       /* messages waiting to be received */
    uint16_t unsent;       /* messages waiting for the session */
    struct sf_cause cause; /* NONE: open */
    uint64_t sent, received;
    void *holder;
    bool leaving;  /* in a cargo at its source (fabric/cargo.h): there may be another one at the
                      target */
    bool arriving; /* in a cargo at its target: it may never come, and does not count yet */
    /* Only while the peer is on another node, or was: */
    uint64_t bytes_sent, bytes_received; /* of arguments and blocks */
    uint16_t queued_high, unsent_high;   /* most there have been */
    /* From when a message had left until the next one arrived; NULL: none has. Valid as long as the
     * endpoint is on this node. */
    const struct fab_histogram *latency;
};
void fab_ep_query(const struct fab_ep *ep, struct fab_ep_info *out_info);

/* Flight recorder: the last things that happened to an endpoint whose peer is on another node. */
#define FAB_EP_EVENTS 16u
enum fab_ep_event_kind {
    FAB_EP_SENT,    /* by its holder; it may have waited for the session after that */
    FAB_EP_ARRIVED, /* its holder may take it */
    FAB_EP_MOVED,   /* the peer went to another node */
    FAB_EP_CLOSED,  /* by the peer, or because something was lost: its cause */
};
struct fab_ep_event {
    uint64_t time_ns; /* as the fabric was told last */
    uint32_t bytes;
    uint8_t kind;  /* enum fab_ep_event_kind */
    uint8_t tag;   /* SENT, ARRIVED */
    uint8_t state; /* after it */
};
/* Oldest first; answers how many. */
uint32_t fab_ep_events(const struct fab_ep *ep, struct fab_ep_event events[FAB_EP_EVENTS]);
uint16_t fab_node_id(const struct fab_node *node);
/* The time that the fabric was told last. */
uint64_t fab_node_now(const struct fab_node *node);
struct sf_cause fab_ep_cause(const struct fab_ep *ep);
uint8_t fab_ep_state(const struct fab_ep *ep);
/* By tag, one for each message of its contract. */
const struct fab_plan *fab_ep_plans(const struct fab_ep *ep);
const struct ct_contract *fab_ep_contract(const struct fab_ep *ep);
/* The holder is a pointer for the caller's use (SIP or service); NULL while in a message. */
void fab_ep_hold(struct fab_ep *ep, void *holder);
void *fab_ep_holder(const struct fab_ep *ep);
/* The bytes of blocks that come to it are shown to fab_events.bytes first, which is then not NULL,
 * until it is closed or sent away. */
void fab_ep_stream(struct fab_ep *ep);
/* The endpoint with that id, if it is on this node, held or inside a message; else NULL. */
const struct fab_ep *fab_ep_find(const struct fab_node *node, uint64_t id);
/* Calls visit for each endpoint record on this node. visit must not change the fabric. */
void fab_ep_walk(const struct fab_node *node, void (*visit)(void *arg, const struct fab_ep *ep),
                 void *arg);

/* --- exports and opening -------------------------------------------------------------------- */

/*
 * Declares that owner accepts channels under name, which is copied. EXISTS: the name, or the
 * contract's short id, is taken. LIMIT, NOMEM, BADARG.
 */
SF_MUST_CHECK sf_status fab_export_add(struct fab_node *node, const char *name,
                                       const struct ct_contract *contract, uint64_t owner);
/* Nothing, if the owner has no export of that name. */
void fab_export_remove(struct fab_node *node, const char *name, uint64_t owner);

/*
 * Opens a channel to an export of peer_node (or of this node). Answers at once; if the other side
 * has no such export of that very contract id, the channel closes with NO_EXPORTER. The importer
 * may use the endpoint at once. NOTFOUND: no session to that node. LIMIT, NOMEM, BADARG, EXISTS.
 */
SF_MUST_CHECK sf_status fab_open(struct fab_node *node, uint16_t peer_node, const char *export_name,
                                 const struct ct_contract *contract, struct fab_ep **out_imp);

/* --- sessions ------------------------------------------------------------------------------- */

struct fab_peer {
    uint16_t node_id;
    uint16_t epoch;     /* as the orchestrator says; frames of any other are not accepted */
    uint32_t mtu_bytes; /* largest frame, FAB_MTU_BYTES_MIN..FAB_MTU_BYTES_MAX; the smaller of both
                           sides' is used */
    uint8_t lead_bytes; /* that the link puts in front of a frame, 0: not known; for speed only, so
                           that another one makes no other peer */
    bool steady;        /* the link holds frames back rather than losing them: no congestion
                           control, and acknowledgements take their time */
    bool sealed;        /* encrypted and authenticated, or not at all: nothing else is accepted */
    uint8_t key[FAB_KEY_BYTES]; /* sealed: the peer's public key */
    uint8_t lane;               /* of the session, less than FAB_LANES_MAX */
    bool reads;              /* both sides can read the other's heap over this link; not sealed */
    uint32_t read_bytes_min; /* blocks from this size on are left to be read; not 0 */
};

/*
 * A peer may be talked to from now on. EXISTS: there is a session with just that peer (it is of
 * that lane now). One with another epoch is ended first (its channels close with NODE_LOST), and so
 * is one with another MTU, key or other option (LINK_LOST). BADARG, NOMEM. LIMIT: 2^18 sessions to
 * that node in this boot. Until it is heard for the first time, a peer has five times
 * peer_timeout_ns. Later boots of a node must have higher epochs: a hello of a higher one ends the
 * session at once, unless it is sealed: then the orchestrator, or silence, tells. TRUST: with that
 * key there is no secret. UNSUPPORTED: sealed, and the node has no secret key.
 *
 * Memory: 2 KiB, sealed 5 KiB, and a buffer of mtu_bytes for each frame in flight or held for its
 * order, at most 256 each way; they are given back when the session is quiet.
 */
SF_MUST_CHECK sf_status fab_peer_add(struct fab_node *node, const struct fab_peer *peer,
                                     uint64_t now_ns);
/* Ends the session; all channels to that node close with cause. Fires session_lost too. */
void fab_peer_remove(struct fab_node *node, uint16_t peer_id, struct sf_cause cause);

/*
 * Takes a frame that arrived from peer_id. Untrusted: any bytes are survived. A frame that breaks
 * the protocol ends the session (session_lost); garbage that cannot be attributed is counted and
 * ignored. The bytes may be overwritten, and are not referenced after return.
 */
void fab_rx(struct fab_node *node, uint16_t peer_id, uint8_t *bytes, uint32_t length,
            uint64_t now_ns);
/*
 * As fab_rx, of a frame that continues in a tail (tail_length 0: it does not). A block's bytes go
 * from there to their place; in all other cases the tail is copied behind bytes, where there must
 * be room for it. Somebody else may write to the tail meanwhile: it is read once.
 */
void fab_rx_tailed(struct fab_node *node, uint16_t peer_id, uint8_t *bytes, uint32_t length,
                   const uint8_t *tail, uint32_t tail_length, uint64_t now_ns);

/*
 * fab_rx may put off what a frame acknowledges, so that an answer is not kept waiting for it; other
 * calls do it before they need it. For who has sent the answer, and has time. May be asked without
 * the lock: is there any?
 */
bool fab_settles(const struct fab_node *node);
void fab_settle(struct fab_node *node);

/* Has it records in it, as far as can be seen from outside? For who counts what a link carries. */
static inline bool fab_frame_has_records(const uint8_t *bytes, uint32_t length)
{
    return length > FAB_HEADER_BYTES && (bytes[0] & 15u) == 1;
}

/* A frame to send: bytes[0, length), then tail[0, tail_length), which is part of a block. */
struct fab_frame {
    uint8_t *bytes;      /* to be written */
    uint32_t capacity;   /* of bytes; at least the MTU */
    uint32_t length;     /* out */
    const uint8_t *tail; /* out; valid until the next call of any fab_ function but fab_tx_frame */
    uint32_t tail_length;
};

/*
 * Makes the next frame for peer_id, at most its MTU long. False: there is none, or capacity is less
 * than the MTU.
 */
bool fab_tx_frame(struct fab_node *node, uint16_t peer_id, struct fab_frame *frame,
                  uint64_t now_ns);
/* The same in one piece. Answers its length; 0: none. */
uint32_t fab_tx(struct fab_node *node, uint16_t peer_id, uint8_t *bytes, uint32_t capacity,
                uint64_t now_ns);

/* Is it worth asking fab_tx_pending? For who must not take a lock to ask. */
bool fab_tx_waits(const struct fab_node *node);
/* Next peer, in turn, for which fab_tx has something to send; 0: none. */
uint16_t fab_tx_pending(struct fab_node *node);
/* The same two for any lane; those are lane 0's. */
bool fab_lane_waits(const struct fab_node *node, uint32_t lane);
uint16_t fab_lane_pending(struct fab_node *node, uint32_t lane);

/*
 * A read that fab_events.read has begun is over, and the device will not write into its block any
 * more: with all bytes there, or (ok false) perhaps some of them. Once for each, in any order, also
 * when the session is gone. Before fab_node_destroy no read may be under way.
 */
void fab_read_done(struct fab_node *node, uint64_t cookie, bool ok, uint64_t now_ns);

/*
 * Heart-beats, resends, timeouts. Answers when it wants to be called next (absolute ns). Cheap when
 * nothing is due.
 */
uint64_t fab_tick(struct fab_node *node, uint64_t now_ns);

/* When fab_tick has something to do: no sooner. For who must not take a lock to ask. */
uint64_t fab_next(const struct fab_node *node);
/*
 * The same, not early, for who is about to sleep so long: what was due and is settled, as an
 * acknowledgement that went with an answer, wakes nobody. Looks at each session if so.
 */
uint64_t fab_next_exact(struct fab_node *node);

struct fab_peer_info {
    uint16_t peer_id;
    uint16_t epoch;
    bool alive;   /* something was heard from it since the session began */
    bool drained; /* all that was to be sent is sent and acknowledged */
    uint64_t frames_sent, frames_resent, frames_received, frames_duplicate, frames_rejected;
    uint64_t bytes_sent, bytes_received;
    uint64_t rtt_ns;    /* smoothed; 0: not known yet */
    uint64_t heard_ns;  /* time of the last frame */
    uint32_t mtu_bytes; /* in use */
    bool sealed;
    const char *cipher;   /* "none", "aes-256-gcm", "chacha20-poly1305", "" before it is agreed */
    uint32_t in_flight;   /* frames sent and not acknowledged */
    uint32_t window;      /* frames that may be on their way at once, by congestion control */
    uint32_t lost_frames; /* to be sent again */
    uint64_t timeouts;    /* of the resend timer */
    uint64_t messages_sent, messages_received;
    uint64_t blocks_read;                  /* from the peer's memory */
    uint64_t blocks_taken;                 /* by the peer, from ours */
    uint64_t blocks_unread;                /* that it could not read: sent in frames after all */
    uint64_t closes_sent, closes_received; /* channels closed over it */
    uint32_t read_bytes_min; /* blocks from this size on it reads by itself; 0: none */
    uint32_t waiting;        /* endpoints that have something to send, as far as FAB_WAITING_MAX */
    const struct fab_histogram *rtt; /* samples; valid until the next call of another function */
};
#define FAB_WAITING_MAX 1000u
/* NOTFOUND: no session. */
SF_MUST_CHECK sf_status fab_peer_query(const struct fab_node *node, uint16_t peer_id,
                                       struct fab_peer_info *out_info);

/* How often sessions to that node have ended, and why the last one did (NONE: never). */
uint32_t fab_peer_losses(const struct fab_node *node, uint16_t peer_id, struct sf_cause *out_cause);

/*
 * Checks every internal invariant: each endpoint's peer points back, queues within bounds, each
 * queued block owned by its message, states in range. OK, or FORMAT and a sentence.
 */
SF_MUST_CHECK sf_status fab_audit(struct fab_node *node, const char **out_text);

#endif
