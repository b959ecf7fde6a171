/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cell.h - the nodes of a simulated cell, their clocks, and the orchestrator that introduces them.
 *
 * Why: struct fab_node is told the time and given frames; here is who does that for many of them.
 *
 * Model: a node is a real struct fab_node with a real exchange heap. It has a ring of received
 * frames and is polled: at once when there is something to do, but no sooner than poll_ns after the
 * last time, and not while it is stalled. Its clock has an offset of its own and runs too fast or
 * too slow; fabric and workload of a node never see the cell's time.
 *
 * The orchestrator has a network of its own that always works. It sees which sessions are missing
 * or of an old epoch, waits a while, and introduces the two nodes again, not both at the same time.
 *
 * A pair of nodes is `bad` from when a fault hits it until the fault is over and both have a
 * session with each other again and have heard from it. Only sessions of bad pairs may be lost.
 *
 * Threads: one. Node ids: 1..node_count.
 */
#ifndef SIM_CELL_H
#define SIM_CELL_H

#include "net.h"
#include "session.h"

#define CELL_RING_FRAMES 1024u
#define CELL_OWNER 77u /* owns what holders hold */
#define CELL_EXPORT_OWNER 9u

struct cell_options {
    uint64_t seed;
    uint32_t node_count;
    uint32_t endpoint_count_max;
    uint64_t heap_bytes;
    uint32_t mtu_bytes; /* 0: each node has another one */
    uint32_t drift_ppm; /* at most, either way */
    uint64_t poll_ns;   /* 0: each node has another one */
    uint16_t sealed;    /* in a thousand pairs: their sessions are sealed */
    bool reuse_epoch;   /* planted: a node boots again with the epoch it had */
};

struct cell_node {
    uint16_t id;
    uint16_t epoch;
    bool up;
    struct xh_heap *heap;
    struct fab_node *fab;
    struct cell *cell;
    uint32_t mtu_bytes;
    uint8_t secret_key[FAB_KEY_BYTES]; /* stays when it boots again */
    uint8_t key[FAB_KEY_BYTES];
    int64_t offset_ns;
    int32_t drift_ppb;
    uint64_t poll_ns;
    uint64_t next_poll_ns;
    uint64_t wake_ns; /* UINT64_MAX: none */
    uint64_t stalled_ns;
    struct net_frame *ring[CELL_RING_FRAMES];
    uint32_t ring_head, ring_count;
};

struct cell_pair {
    uint64_t retry_ns;  /* the orchestrator waits so long */
    uint64_t healed_ns; /* when the last fault ended */
    uint16_t faults;    /* at present */
    bool bad;
    bool sealed;
};

/* Callbacks of the fabric take notes only; they are read after each call. */
struct cell_event {
    enum { CELL_OPENED, CELL_LOST, CELL_READY } kind;
    uint16_t node;
    uint16_t peer;
    struct fab_ep *ep;
    struct sf_cause cause;
};

struct cell_hooks {
    void *arg;
    void (*opened)(void *arg, uint16_t node, struct fab_ep *ep);
    void (*lost)(void *arg, uint16_t node, uint16_t peer, struct sf_cause cause);
    /* An end has something to receive. NULL: nobody wants to know. May use the fabric. */
    void (*ready)(void *arg, uint16_t node, struct fab_ep *ep);
    /* A fault hits two nodes that were fine. */
    void (*broken)(void *arg, uint16_t a, uint16_t b);
    /* A frame leaves; may be changed. Answers its length. */
    uint32_t (*leaves)(void *arg, uint16_t from, uint16_t to, uint8_t *bytes, uint32_t length);
};

struct cell {
    struct net net;
    struct rng rng;
    struct rng secret; /* for the nodes' handshakes */
    struct cell_options options;
    struct cell_hooks hooks;
    struct cell_node *nodes; /* by id, from 1 */
    struct cell_pair *pairs; /* [a * (node_count + 1) + b], a < b */
    uint64_t orchestrate_ns; /* UINT64_MAX: nobody does */
    struct cell_event *events;
    uint32_t event_count, event_capacity;
    bool reading;    /* the events */
    uint16_t hungry; /* in a thousand allocations of nodes that are polled: they fail */
    struct rng hunger;
    uint64_t overruns;      /* frames that found a node's ring full */
    uint64_t resent;        /* frames, by sessions that are gone */
    uint64_t introductions; /* sessions that the orchestrator began */
    uint64_t fabric_ticks;  /* time stamp counter, spent in fab_rx, fab_tick, fab_tx */
};

/* Boots all nodes with epoch 1. */
void cell_init(struct cell *cell, const struct cell_options *options,
               const struct cell_hooks *hooks);
/* Crashes those that are up. */
void cell_fini(struct cell *cell);

static inline struct fab_node *cell_fab(const struct cell *cell, uint16_t id)
{
    return cell->nodes[id].fab;
}
static inline struct cell_pair *cell_pair(const struct cell *cell, uint16_t a, uint16_t b)
{
    uint16_t low = a < b ? a : b;
    uint16_t high = a < b ? b : a;

    return &cell->pairs[(uint64_t)low * (cell->options.node_count + 1) + high];
}
static inline bool cell_acts(const struct cell *cell, uint16_t id)
{
    return cell->nodes[id].up && cell->net.now_ns >= cell->nodes[id].stalled_ns;
}
/* Nodes of which some pair is bad: for who wants to skip them. */
bool cell_pair_bad(const struct cell *cell, uint16_t a, uint16_t b);

/* The node has something to send: it will be polled. */
void cell_wake(struct cell *cell, uint16_t id);
void cell_run(struct cell *cell, uint64_t ns);
/* Both learn of each other, now. */
void cell_introduce(struct cell *cell, uint16_t a, uint16_t b);
/* They have a session with each other, each knows the other's number, and frames may go. */
bool cell_joined(const struct cell *cell, uint16_t a, uint16_t b);

/* The node vanishes with all that is on it; the caller holds nothing of it any more. */
void cell_crash(struct cell *cell, uint16_t id);
void cell_boot(struct cell *cell, uint16_t id);
/* Not polled for so long. */
void cell_stall(struct cell *cell, uint16_t id, uint64_t ns);
/* A fault begins or ends that may cost the two their session. */
void cell_pair_fault(struct cell *cell, uint16_t a, uint16_t b, bool begins);

#endif
