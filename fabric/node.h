/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node.h - private to fabric: a node and its endpoint records.
 *
 * An endpoint record is in one of these lives:
 *   FREE     on the free list.
 *   LIVE     held by somebody, or inside an undelivered message (in_message).
 *   CLOSING  its holder gave it up, but messages it sent or its CLOSE still have to go out.
 *   MOVED    a tombstone: the endpoint went to target_node in a message. It sends what was still
 *            queued, tells the peer's node where the endpoint is now, and forwards a CLOSE.
 * and its peer is at one of these places:
 *   LOCAL    on this node; `peer` points to it.
 *   REMOTE   on peer_node, and peer_node knows that this endpoint is here.
 *   PENDING  on peer_node (may be this one), which does not know yet that this endpoint is here.
 *            via_node, where the endpoint came from, tells it. Until then nothing is sent.
 *   HELD     on the move: its SIP leaves peer_node for another node (cargo.h). Nothing is sent.
 *   APART    the other side of that: this endpoint is in a cargo, and its peer is held, or it waits
 *            at the target and is not there yet. Nothing is sent to it or by it.
 *   GONE     the channel is closed; `cause` says why.
 *
 * Because of the send-state rule, an endpoint inside a message or a tombstone has an empty `in`
 * queue, so messages never nest deeper than one, and dropping a message never recurses further.
 *
 * The same endpoint id may be on a node more than once, if it left and came back before its
 * tombstone was done. Look-ups by id therefore go oldest first, with a condition.
 */
#ifndef FABRIC_NODE_H
#define FABRIC_NODE_H

#include "contract.h"
#include "fabric/cargo.h"
#include "fabric/fabric.h"

#define FAB__ID_NODE_SHIFT 54u
#define FAB__ID_EPOCH_SHIFT 40u
#define FAB__ID_COUNTER_MAX ((1ull << FAB__ID_EPOCH_SHIFT) - 1u)
#define FAB__EPOCH_MAX 16383u
#define FAB__EXPORTS_MAX 65536u
#define FAB__EXPORT_BUCKETS 4096u
#define FAB__ENDPOINTS_MAX (1u << 24)

struct fab__hold;
struct fab__meter;
struct fab__session;
struct fab__read;

enum fab__life {
    FAB__FREE = 0,
    FAB__LIVE,
    FAB__CLOSING,
    FAB__MOVED,
};

enum fab__place {
    FAB__LOCAL = 0,
    FAB__REMOTE,
    FAB__PENDING,
    FAB__HELD,
    FAB__APART,
    FAB__GONE,
};

/* Records an endpoint still has to send, beside its messages. */
enum fab__owes {
    FAB__OWES_OPEN = 1,      /* first of all */
    FAB__OWES_HERE = 2,      /* PEER_HERE: the peer moved, and may go on */
    FAB__OWES_CLOSE = 4,     /* after all messages; tell_cause */
    FAB__OWES_MOVED = 8,     /* PEER_MOVED: after all messages */
    FAB__OWES_FORWARD = 16,  /* CLOSE to target_node; tell_cause */
    FAB__OWES_HOLD = 32,     /* after all messages */
    FAB__OWES_NOW_HERE = 64, /* first of all: it came by came_by */
    FAB__OWES_HELD = 128     /* as soon as no message is half sent */
};

/* A bounded ring of messages; its slots are reserved when the endpoint is made. */
struct fab__queue {
    struct fab_msg *slots;
    uint8_t head;
    uint8_t count;
    uint8_t slot_count; /* 1..CT_QUEUE_SLOTS_MAX */
};

struct fab_ep {
    /* What every send and receive needs. */
    struct fab_ep *peer; /* LOCAL only; NULL otherwise */
    const uint8_t *next[2];
    const struct fab_plan *plans;
    struct fab_node *node;
    struct fab__queue in;
    uint16_t message_count;
    uint8_t side;
    uint8_t state;         /* as the holder sees it */
    uint8_t arrival_state; /* after all of `in`; differs from state only while `in` holds some */
    uint8_t life;          /* enum fab__life */
    uint8_t place;         /* enum fab__place */
    bool in_message;
    struct sf_cause cause;
    uint64_t id;
    uint64_t sent;
    uint64_t received;
    void *holder;

    /* Remote peers. */
    struct fab__queue out;
    uint64_t peer_id;
    const struct fab__contract *contract;
    uint16_t peer_node;
    uint16_t via_node;    /* PENDING: where the endpoint came from */
    uint16_t target_node; /* MOVED: where it went */
    uint16_t left_node;   /* REMOTE: the peer came from there by a move of its SIP; or 0 */
    uint8_t owes;         /* enum fab__owes */
    bool arrived;         /* MOVED: target_node has it */
    bool unannounced;     /* PENDING: via_node does not know yet that it is here */
    bool told;            /* MOVED: PEER_MOVED was sent */
    struct sf_cause tell_cause;
    char *open_name;          /* OWES_OPEN: name of the export */
    struct fab__hold *hold;   /* HELD, or OWES_HELD; else NULL */
    struct fab_cargo *cargo;  /* or NULL */
    uint64_t came_by;         /* OWES_NOW_HERE: the move */
    uint8_t aboard;           /* in a cargo: enum fab__aboard */
    bool awaited;             /* in a cargo at the target: the peer's node wants to know */
    struct fab__meter *meter; /* NULL: never had a peer on another node, or no memory */

    /* The head of `out` while it is being sent: MSG is out, its blocks are not all copied. */
    bool sending;
    uint8_t send_arg;
    uint32_t send_offset;
    bool referring; /* the peer reads the block where it lies; nothing is sent until it has said */
    bool unread;    /* it could not: this block goes in DATA records */
    /* The slot after the tail of `in` while a message's blocks arrive. */
    bool assembling;
    uint8_t fill_arg;
    uint32_t fill_offset;
    bool streamed;    /* its holder sees their bytes first */
    uint32_t reading; /* place + 1 in the node's reads: the block is being read; 0: none is */
    uint8_t assembly_state;

    /* Lists. */
    struct fab__session *queued_on; /* has something to send on that session */
    struct fab_ep *queued_next;
    struct fab_ep *queued_prev;
    struct fab_ep *hash_next; /* FREE: the free list */
};

struct fab__export {
    struct fab__export *next; /* in its bucket */
    const struct fab__contract *contract;
    uint64_t owner;
    char name[]; /* with its final zero */
};

struct fab_node {
    struct xh_heap *heap;
    struct fab_events events;
    void *events_arg;
    void (*random)(void *arg, uint8_t *bytes, uint32_t length);
    bool has_key;
    uint8_t secret_key[FAB_KEY_BYTES];
    uint64_t heartbeat_ns;
    uint64_t peer_timeout_ns;
    uint64_t id_next;
    uint16_t node_id;
    uint16_t epoch;

    struct fab_ep *eps; /* endpoint_count_max records; they stay where they are */
    uint32_t ep_count_max;
    uint32_t ep_used; /* records ever used */
    struct fab_ep *ep_free;
    struct fab_ep **ep_buckets;
    uint32_t ep_bucket_mask;

    struct fab_cargo *cargos;
    uint32_t held_count; /* endpoints whose place is HELD */
    /* What peers here have seen of moves; the oldest is at witness_next. */
    struct fab__witness {
        uint64_t move; /* 0: free */
        bool seen;     /* an endpoint has come by it */
        bool refused;  /* none will */
    } witnesses[FAB_MOVES_SEEN_MAX];
    uint32_t witness_next;

    struct fab__contract *contracts[FAB__CONTRACT_BUCKETS];
    struct fab__export *exports[FAB__EXPORT_BUCKETS]; /* by name */
    uint32_t export_count;

    struct fab__session *sessions[FAB_NODES_MAX];
    uint16_t session_ids[FAB_NODES_MAX]; /* of the session_count that exist, in no order */
    uint32_t session_count;
    /* Sessions that may have something to send, in turn. */
    struct fab__ready {
        struct fab__session *first;
        struct fab__session *last;
    } ready[FAB_LANES_MAX];
    struct fab__read *reads; /* by place */
    uint32_t read_capacity;
    struct fab__session *late; /* has an acknowledgement to be gone through; or NULL */
    uint64_t tick_ns;          /* nothing is due before; may be early */
    bool tick_settled;         /* what was due then is settled: it is early */
    uint64_t ticked_ns;        /* when fab_tick last did something */
    uint64_t now_ns;           /* as last told */

    /* By id, whether there is a session or not. */
    struct {
        uint32_t session_counter;   /* of sessions to it in this boot: numbers them */
        uint32_t loss_count;        /* of sessions */
        struct sf_cause loss_cause; /* of the last */
    } peers[FAB_NODES_MAX];
};

#endif
