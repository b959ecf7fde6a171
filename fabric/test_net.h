/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_net.h - a few nodes in one process, joined by a network that can lose, duplicate, reorder
 * and damage frames, all from one seed. Time is a variable.
 */
#ifndef FABRIC_TEST_NET_H
#define FABRIC_TEST_NET_H

#include "fabric/fabric.h"
#include "test_contracts.h"

#define NET_NODES_MAX 17u
#define NET_FRAMES_MAX 4096u
#define NET_READS_MAX 64u
#define NET_MTU 1024u

struct net;

struct net_node {
    struct net *net;
    struct xh_heap *heap;
    struct fab_node *fab;
    uint16_t id;
    uint16_t epoch;
    uint8_t secret_key[FAB_KEY_BYTES];
    uint8_t key[FAB_KEY_BYTES];
    uint32_t opened_count;
    struct fab_ep *opened_last;
    uint32_t lost_count;
    uint16_t lost_last;
    struct sf_cause lost_cause;
    uint32_t waiting_count[FAB_LANES_MAX]; /* events */
    /* fab_events.bytes of what was streamed; NULL: takes nothing. */
    uint32_t (*bytes)(struct fab_ep *ep, const struct fab_msg *msg, uint32_t index, uint32_t offset,
                      const uint8_t *bytes, uint32_t length);
};

struct net_frame {
    uint64_t due_ns;
    uint16_t from;
    uint16_t to;
    uint32_t length;
    uint8_t bytes[NET_MTU];
};

/* Sessions of the nets made from now on are sealed, or not. */
extern bool net_sealed;
/* Blocks from this size on are read; 0: the links cannot read. */
extern uint32_t net_read_bytes_min;

/* A read under way: half of the bytes are fetched when it begins, the rest at its end. */
struct net_read {
    uint64_t due_ns;
    uint16_t reader, peer;
    uint32_t permit; /* as the peer's was when it began */
    bool fails;
    const uint8_t *from;
    uint8_t *to;
    uint32_t bytes;
    uint64_t cookie;
};

struct net {
    uint64_t now_ns;
    uint64_t seed;
    uint64_t random;
    uint64_t secret; /* random numbers for keys */
    uint32_t loss_percent;
    uint32_t duplicate_percent;
    uint32_t reorder_percent;
    bool cut[NET_NODES_MAX + 1][NET_NODES_MAX + 1]; /* no frame passes from, to */
    uint64_t slow[NET_NODES_MAX + 1];               /* that node does not look at its link before */
    uint32_t read_fail_percent;                     /* of reads, some way through */
    bool no_reads;                                  /* none is taken */
    uint64_t read_ns;                               /* a read takes up to so long; 0: REORDER_NS */
    uint32_t permits[NET_NODES_MAX + 1][NET_NODES_MAX + 1]; /* peer, reader: changes at a revoke */
    uint32_t revoked;                                       /* reads that ended by that */
    uint32_t read_count;
    struct net_read reads[NET_READS_MAX];
    uint32_t damage_percent; /* some bit of a frame is turned over */
    /* May change a frame on its way; answers its length. NULL: none does. */
    uint32_t (*tamper)(struct net *net, uint16_t from, uint16_t to, uint8_t *bytes,
                       uint32_t length);
    uint32_t node_count;
    struct net_node nodes[NET_NODES_MAX + 1]; /* by id, from 1 */
    uint32_t frame_count;
    struct net_frame *frames;
};

uint64_t net_random(struct net *net);
static inline uint32_t net_below(struct net *net, uint32_t bound)
{
    return (uint32_t)(net_random(net) % bound);
}

/* As the others are told of it. */
struct fab_peer net_peer(const struct net *net, uint16_t id);
/* Makes node_count nodes that all know each other. */
void net_make(struct net *net, uint32_t node_count, uint64_t seed);
/* Requires audits to hold on all nodes, destroys them, and requires empty heaps. */
void net_end(struct net *net);
/* The node vanishes and comes back empty, with the next epoch; nobody is told. */
void net_restart(struct net *net, uint16_t id);
/* As the orchestrator would: both learn each other's present epoch. */
void net_introduce(struct net *net, uint16_t a, uint16_t b);

/* Reads end now, all of that node's, as when its link is gone. */
void net_reads_end(struct net *net, uint16_t reader);
/* Lets frames move for so long. */
void net_run(struct net *net, uint64_t ns);
/* Audits all nodes; fails the test with the sentence and the seed. */
void net_audit(struct net *net);
uint32_t net_ep_count(const struct net *net, uint16_t id);
uint64_t net_block_count(const struct net *net, uint16_t id);

#endif
