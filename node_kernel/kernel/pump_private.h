/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pump_private.h - what pump.c (links, frames, turns) and pump_peers.c (who is reached over which
 * link) share.
 */
#ifndef KERNEL_PUMP_PRIVATE_H
#define KERNEL_PUMP_PRIVATE_H

#include <poll.h>

#include "alarm.h"
#include "line.h"
#include "poll_window.h"
#include "pump.h"
#include "queues.h"
#include "reads.h"
#include "way.h"

struct pump_link {
    struct link link;
    struct link_caps caps;
    struct link_config config; /* pointers in it are not ours any more: see device */
    char driver[16];
    char device[PUMP_DEVICE_BYTES_MAX + 1];
    uint32_t number;
    uint32_t peer_count;
    uint16_t peer;              /* the last one added */
    struct line line;           /* queue 0 */
    struct queues_link *spread; /* its queues are several workers'; NULL: all ours */
    uint16_t polled;            /* queues from 0 that are ours; we send on queue 0 */
};

/* Of a peer that has a spare: peer_links is what is sent over at the moment. */
struct pump_pair {
    struct pump_link *first, *spare;
    struct way way;
};

struct pump {
    uv_loop_t *loop;
    struct nk_kernel *kernel;
    struct queues *queues; /* NULL: there are no other workers */
    struct reads reads;
    struct pump_link *links[PUMP_LINKS_MAX];
    uint32_t link_count;
    struct pump_link *peer_links[FAB_NODES_MAX]; /* NULL: not a peer */
    uint32_t peer_count;
    struct pump_pair *pairs[FAB_NODES_MAX]; /* NULL: it has no spare */
    uint32_t pair_count;
    uint64_t ways_next_ns; /* when they are looked at again */
    /* The last burst received, until it is given back. */
    struct link_frame received[LINK_BURST_MAX];
    struct pump_link *received_on;
    uint16_t received_count;
    struct pollfd fds[PUMP_LINKS_MAX + 3]; /* slept on */
    struct alarm alarm;                    /* ends the sleep */
    struct poll_window window;             /* before it */
    uint64_t loop_ns;                      /* last pass of libuv */
    uint64_t run_ns;                       /* when a SIP or service ran last */
    uint64_t idle_ns;                      /* since when nothing happened; 0: something did */
    uint64_t sleep_ns;                     /* length of the next sleep */
    uint64_t shared_ns;                    /* until then we share the core with somebody */
    uint32_t yields_unused;                /* in a row: nobody else ran */
    uint64_t content_frames;               /* in and out, that were more than a header */
    bool running;
    bool unsent;       /* frames wait for a driver */
    uint32_t tx_count; /* frames pulled from the fabric in the last turn that looked */
    bool tx_early;     /* this turn has sent before its end */
    uint64_t turn_ns;  /* time of this turn */
    bool tx_stuck;     /* a driver had no room in the last turn: spinning would not make any */
    bool (*each)(void *arg, uint64_t now_ns); /* pump_each_turn */
    void *each_arg;
    uint64_t awake_ns; /* pump_stay_awake */
    struct pump_stats stats;
};

/* Locks. The time is not before what other workers have told the fabric. */
static inline uint64_t pump__lock(struct pump *pump, uint64_t now_ns)
{
    nk_lock(pump->kernel);
    return pump->queues == NULL ? now_ns : queues_now(nk_kernel_fabric(pump->kernel), now_ns);
}

/* --- pump.c -------------------------------------------------------------------------------------
 */

/* NULL: there is none of that number. */
struct pump_link *pump__link_find(struct pump *pump, uint32_t number);
/* Its peers are forgotten; it is freed. */
void pump__link_close(struct pump *pump, struct pump_link *l);

/* --- pump_peers.c -------------------------------------------------------------------------------
 */

/* No driver knows it any more. The fabric is not told. */
void pump__peer_forget(struct pump *pump, uint16_t node_id);
/* Forgets all that are reached over that link, first or spare. */
void pump__peers_forget(struct pump *pump, const struct pump_link *l);
/* pump__peer_heard of one that has a spare. */
bool pump__pair_heard(struct pump_pair *pair, const struct pump_link *l, uint64_t now_ns);
/* Whether frames of that peer are taken from that link; notes that one has come. */
static inline bool pump__peer_heard(struct pump *pump, uint16_t node_id, const struct pump_link *l,
                                    uint64_t now_ns)
{
    return pump->pairs[node_id] == NULL ? pump->peer_links[node_id] == l
                                        : pump__pair_heard(pump->pairs[node_id], l, now_ns);
}
/* Looks which link each peer with a spare is sent to over. */
void pump__ways_look(struct pump *pump, uint64_t now_ns);

#endif
