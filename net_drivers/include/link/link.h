/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link.h - what a link driver implements, and what the node kernel uses.
 *
 * A link is a path for frames from this node to one or more other nodes, by one driver. It may
 * lose, duplicate and reorder frames; it must not deliver damaged ones. Sessions (fabric/) make
 * an exactly-once, ordered stream of it.
 *
 * Life: open, bursts, close, stop, fini, in that order, each once. After a failed open: fini only.
 *   close  never blocks: takes no new frames.
 *   stop   may block: on return no callback and no DMA can touch this link.
 *   fini   never blocks: frees. Copes with an open that failed half way.
 * Frames: the driver owns frame memory. frame_alloc lends frames for sending; tx_burst takes back
 * those it accepted; rx_burst lends received ones; frame_free gives any back, before fini.
 * A received frame may also be sent on, on the link it came from. Payload has no alignment.
 * A frame to send may continue in a tail, which can be any memory and must stay as it is until
 * tx_burst has taken the frame, not longer. A frame whose length is more than its capacity, or
 * whose length and tail_length together are more than the MTU, is not taken. Peers: frames are
 * addressed by node id. peer_add tells the driver how to reach a node; a received frame's peer is
 * set by the driver from where it came from (LINK_PEER_UNKNOWN: drop it).
 * A received frame may continue in a tail as well, if the link was opened with rx_tails: in memory
 * that may change at any time, so it is copied once, before anything looks at it. There is room for
 * it behind the frame's data. Until such a frame is given back or sent on, rx_burst of its queue
 * answers 0, and changes of the carrier are not seen.
 *
 * Queues: a link has 1..LINK_QUEUES_MAX of them, numbered from 0: what it was asked for, or less
 * (query says). Each has a way out and a way in of its own. Frames sent on one queue stay in their
 * order. The queue on which a frame arrives is the driver's choice: the one it was sent on (memif),
 * or one for each pair of nodes, by a hash of their addresses (Ethernet); so what one node sends on
 * one queue arrives on one queue, in order; but for af_packet, where what a full queue does not
 * take comes on another one.
 *
 * Threads: all ops from one thread, unless the link was opened `shared` and says that it is. Then
 *   tx_burst, rx_burst and wait_fd of a queue come from one thread at a time, those of other queues
 *     from other threads at the same time;
 *   frame_alloc and frame_free from any thread (Ownership: a frame is no queue's);
 *   all others from one thread, at the same time as any burst. peer_remove and stop wait for the
 *     bursts under way; after stop, bursts answer 0 until fini, before which the caller ends them.
 * The core holds no lock while calling. Errors: an op answers what it saw; only the first one to
 * see a failure logs it. Untrusted: everything received. A driver checks its own encapsulation and
 * drops (and counts) what does not parse.
 */
#ifndef LINK_LINK_H
#define LINK_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define LINK_PEER_UNKNOWN 0u
#define LINK_BURST_MAX 32u
#define LINK_QUEUES_MAX 16u

struct link;

#define LINK_ENDPOINT_BYTES_MAX 64u

/* What a peer has to be told of this end; whoever carries it does not look inside. */
struct link_endpoint {
    uint8_t length;
    uint8_t bytes[LINK_ENDPOINT_BYTES_MAX];
};

struct link_frame {
    uint8_t *data;        /* payload: what the session wrote or shall read */
    const uint8_t *tail;  /* more payload, behind that on the wire; tx: not the driver's memory */
    void *driver;         /* the driver's own */
    uint32_t length;      /* bytes at data */
    uint32_t tail_length; /* bytes at tail, 0: none */
    uint32_t capacity;    /* largest length; rx: of both parts */
    uint16_t peer;        /* node id to send to, or the one it came from */
};

/* How to reach a node. Drivers read the fields they need. */
struct link_peer {
    uint16_t node_id;
    uint8_t mac[6];
    uint32_t ipv4; /* host byte order */
};

struct link_caps {
    uint32_t mtu_bytes; /* largest payload of one frame */
    uint8_t lead_bytes; /* of the driver's headers in front of a payload, 0 to 64 */
    uint16_t burst_max; /* the core never asks for more frames in one burst */
    bool many_peers;    /* false: point to point */
    bool holds;         /* frames wait rather than get lost, as long as their peer is up */
    bool shared;        /* its queues may be used by threads of their own */
    uint16_t queues;    /* 1..LINK_QUEUES_MAX, not more than it was asked for */
    uint8_t mac[6];     /* ours, also if the configuration left it to the device; zeros: none */
};

/* A read that is over. */
struct link_read_done {
    uint64_t cookie; /* as read was given it */
    bool ok;
};

struct link_stats {
    uint64_t tx_frames, tx_bytes, tx_dropped;
    uint64_t rx_frames, rx_bytes, rx_rejected; /* rejected: did not parse, or unknown peer */
    uint64_t
        rx_missed; /* known to have been lost because we did not receive; not all drivers know */
    uint64_t up_events, down_events; /* of the carrier, as far as it was looked at */
};

struct link_config {
    const char *name;   /* e.g. "memif1", "virtio0"; copied */
    const char *device; /* driver's own address of the device, see each driver's README */
    uint16_t node_id;   /* ours; 0: not known yet, where frames do not carry it (Ethernet) */
    uint8_t mac[6];     /* ours; zeros: the device's */
    uint32_t ipv4;      /* ours, host byte order */
    uint32_t mtu_bytes; /* wanted payload; 0: the driver's default */
    bool server;        /* memif, loop: which of the two sides */
    bool shared;        /* see Threads; wanted */
    bool rx_tails;      /* memif: long frames come in two parts; others never do that */
    uint16_t queues;    /* wanted; 0: 1. More than one: shared must be set. memif: as the peer's */
    bool cm;            /* rdma: join with peers by rdma_cm; both ends alike */
    uint64_t seed;      /* sim: faults */
    uint32_t loss_ppm, duplicate_ppm, reorder_ppm; /* sim: parts per million */
};

#define LINK_WAIT_BLIND (-1)
#define LINK_WAIT_NOT (-2)

struct link_ops {
    const char *name; /* driver name: "loop", "sim", "memif", "virtio" */
    /* Control path: may allocate, may log. out_text: static or link-owned sentence on error. */
    sf_status (*open)(struct link *link, const struct link_config *config, const char **out_text);
    sf_status (*peer_add)(struct link *link, const struct link_peer *peer);
    void (*peer_remove)(struct link *link, uint16_t node_id);
    bool (*is_up)(struct link *link); /* carrier; a frame sent while down is lost */
    /*
     * Optional (may be NULL): for a caller that wants to sleep. arm: answers a descriptor, the
     * link's, that is readable once a frame has come on that queue; LINK_WAIT_NOT: there is
     * something to be taken now; LINK_WAIT_BLIND: this link cannot tell at the moment, so go on
     * polling. After an arm that answered a descriptor, call without arm before the next burst
     * (answers LINK_WAIT_BLIND). Changes of the carrier do not wake.
     */
    int (*wait_fd)(struct link *link, uint16_t queue, bool arm);
    void (*close)(struct link *link);
    void (*stop)(struct link *link);
    void (*fini)(struct link *link);
    void (*query)(const struct link *link, struct link_caps *out_caps);
    void (*stats)(const struct link *link, struct link_stats *out_stats);
    /* Data path: no lock, no log, at most one system call a burst. */
    uint16_t (*frame_alloc)(struct link *link, struct link_frame frames[], uint16_t count);
    void (*frame_free)(struct link *link, struct link_frame frames[], uint16_t count);
    /* Answers how many frames, from index 0, the driver took; the rest stay the caller's. */
    uint16_t (*tx_burst)(struct link *link, uint16_t queue, struct link_frame frames[],
                         uint16_t count);
    uint16_t (*rx_burst)(struct link *link, uint16_t queue, struct link_frame frames[],
                         uint16_t count);
    /*
     * Optional, both or none: for drivers whose two ends must know of each other before a frame
     * can pass (RDMA: queue pairs). endpoint_get: what that peer is to be told of us now (AGAIN:
     * nothing yet). It changes when the peer's endpoint is set and when the way to it fails, so
     * ask again after a set and every few milliseconds, and tell the peer what differs from what
     * it was told last; of several the newest last. Until both were told the link is not up.
     * endpoint_set: what that peer has told (FORMAT, BADARG: it cannot be meant for this link).
     */
    sf_status (*endpoint_get)(struct link *link, uint16_t node_id, struct link_endpoint *out);
    sf_status (*endpoint_set)(struct link *link, uint16_t node_id, const struct link_endpoint *its);
    /* Optional, for drivers that can lose the way to one peer and not to others: whether frames
     * pass to it, which is so once some have been seen to. Without it: as is_up. */
    bool (*peer_up)(struct link *link, uint16_t node_id);
    /*
     * Optional, all or none: for drivers whose device reads the memory of the other end (RDMA).
     * memory_share: peers that are added from now on may read this memory, which must stay as it is
     * mapped until stop, each by a key of its own that goes with the endpoint; reads go into it,
     * too. While there is no peer (UNSUPPORTED: not this device; NOMEM, IO; EXISTS; BADARG). NULL
     * takes it back, as fini does.
     * read: fetches bytes at that address of the peer's into `to`. True: read_poll will say when it
     * is over, once, whatever happens, also after stop; until then `to` may be written. False: not
     * now. read_poll answers how many are over; ok: with all bytes.
     * read_revoke: on return that peer can read nothing of ours any more; the way to it is made
     * anew.
     */
    sf_status (*memory_share)(struct link *link, void *base, size_t bytes);
    bool (*read)(struct link *link, uint16_t node_id, uint64_t address, void *to, uint32_t bytes,
                 uint64_t cookie);
    uint32_t (*read_poll)(struct link *link, struct link_read_done done[], uint32_t count);
    void (*read_revoke)(struct link *link, uint16_t node_id);
    /* Optional: what the driver chose to run on and why, or what is wrong; the link's, one line. */
    const char *(*about)(const struct link *link);
};

struct link {
    const struct link_ops *ops;
    void *impl;
};

/* NULL if there is no driver of that name in this build. */
const struct link_ops *link_driver_find(const char *name);

/* Prepares *link for ops->open. The link must stay where it is until fini. */
sf_status link_init(struct link *link, const char *driver_name);

#endif
