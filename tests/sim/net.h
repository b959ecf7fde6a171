/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net.h - the network of a simulated cell, and its time.
 *
 * Why: what a session does under loss, queues and cuts can only be shown if they are there.
 *
 * Model: each node has an uplink into one switch and a port at the switch, each with a rate and a
 * buffer; between any two nodes there is a way with a delay and faults of its own. A frame
 *   1. waits for the uplink (the sender asks net_uplink_free first, as it would a full TX ring),
 *   2. takes its way: it may be cut off, lost, damaged (which is dropped: UDP has a checksum), be
 *      duplicated, or held up so that later ones overtake it; others keep their order, whatever
 *      the jitter,
 *   3. waits at the receiver's port for those of other senders, or is dropped there if the buffer
 *      is full: incast.
 * Rate 0 is no limit. All happens in order of time, then of coming into being.
 *
 * Time: ns, begins at NET_TIME_BEGIN. Threads: one. Ownership: net_send copies; on_frame gets the
 * frame and frees it. Limits: FRAME_BYTES_MAX.
 */
#ifndef SIM_NET_H
#define SIM_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "rng.h"

#define NET_TIME_BEGIN 1000000000ull
#define NET_FRAME_BYTES_MAX 65535u

struct net_frame {
    uint16_t from, to;
    uint32_t length;
    uint8_t bytes[];
};

/* From one node to another. */
struct net_way {
    uint64_t last_ns; /* arrival of the last frame that kept its order */
    uint32_t delay_ns, jitter_ns;
    uint32_t reorder_ns; /* a frame that is held up comes so much later, at most */
    uint16_t loss, damage, duplicate, reorder; /* in a thousand */
    bool cut;
};

struct net_port {
    uint64_t bytes_per_s; /* 0: no limit */
    uint32_t buffer_bytes;
    uint64_t free_ns; /* when it has sent what it has */
};

struct net_counts {
    uint64_t frames, bytes; /* sent */
    uint64_t delivered;
    uint64_t cut, lost, damaged, duplicated, reordered, overflowed;
};

struct net_event {
    uint64_t at_ns;
    uint64_t order;
    struct net_frame *frame; /* NULL: a wake */
    uint16_t node;
    bool arrived; /* of a frame: it has passed the port */
};

struct net {
    uint64_t now_ns;
    struct rng rng;
    uint32_t node_count;
    struct net_way *ways;     /* [from * (node_count + 1) + to] */
    struct net_port *uplinks; /* by node */
    struct net_port *ports;
    struct net_event *events; /* heap */
    uint32_t event_count, event_capacity;
    uint64_t order_next;
    uint64_t frames_under_way;
    struct net_counts counts;
    void *arg;
    void (*on_frame)(void *arg, struct net_frame *frame);
    void (*on_wake)(void *arg, uint16_t node);
};

/* Node ids are 1..node_count. The callbacks are the caller's to set. */
void net_init(struct net *net, uint32_t node_count, uint64_t seed);
void net_fini(struct net *net);

static inline struct net_way *net_way(const struct net *net, uint16_t from, uint16_t to)
{
    return &net->ways[(uint64_t)from * (net->node_count + 1) + to];
}

/* When the uplink has room for a frame: now, or later. */
uint64_t net_uplink_free(const struct net *net, uint16_t node);
void net_send(struct net *net, uint16_t from, uint16_t to, const uint8_t *bytes, uint32_t length);
/* A frame that nobody sent, past uplink and faults. */
void net_inject(struct net *net, uint16_t from, uint16_t to, const uint8_t *bytes, uint32_t length,
                uint64_t at_ns);
/* on_wake(node) will be called at at_ns. */
void net_wake(struct net *net, uint16_t node, uint64_t at_ns);
/* Lets everything happen up to and including until_ns; now_ns is that afterwards. */
void net_run(struct net *net, uint64_t until_ns);

/* malloc that ends the process when there is no memory: for the simulator's own things. */
void *sim_alloc(uint64_t count, uint64_t bytes);

#endif
