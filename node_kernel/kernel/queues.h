/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queues.h - queues of links that are not worker 0's: other workers receive and send on them.
 *
 * Why: worker 0's pump looks after sockets and services, too, and with one thread for all links the
 * others' SIPs wait for it. What a worker does here needs the node's lock for the fabric's part;
 * the device, the copies and the checksums of the wire are its own.
 *
 * Model: each queue is one worker's, its home, for as long as the link is open. A link of several
 * queues has queue 0 at worker 0 (the pump polls it) and queue q at worker q, as far as there are
 * workers; one of a single queue goes where the fewest are, so that many links of one queue each
 * (memif) spread as well. A session sends on one queue of its link, chosen from both nodes' ids the
 * same way at both ends: the home of that queue is the session's lane in the fabric, and nobody
 * else sends for it, so its frames keep their order. What arrives on a queue goes to the fabric
 * from there, whatever session it is for.
 *
 * A home polls its queues between two SIPs (nk_poller), then lets the fabric look at its timers,
 * then sends. It sleeps in ppoll, on its queues' descriptors if all have some (link_ops.wait_fd);
 * else QUEUES_SLEEP_NS at most, less at first and more later. The fabric wakes it when there is
 * something to send. A frame with a tail goes to its driver with the lock held: the tail is a
 * block's memory, which the session gives back when it is acknowledged, by whatever thread that
 * comes to.
 *
 * Threads: all functions on worker 0's thread, not from inside nk_run. Adding and removing makes
 * the other workers stand still (nk_pause), so nobody is in a queue that is removed; what is read
 * while they run changes under the node's lock. Time: several threads tell the fabric the time;
 * queues_now keeps it from going back. Ownership: the link stays the caller's, and stays where it
 * is until queues_remove. Errors: NOMEM, IO. Limits: NK_WORKERS_MAX workers; QUEUES_LINES_MAX
 * queues a worker.
 */
#ifndef KERNEL_QUEUES_H
#define KERNEL_QUEUES_H

#include "link/link.h"
#include "nk.h"

#define QUEUES_LINES_MAX 1023u
#define QUEUES_SLEEP_FIRST_NS 50000u
#define QUEUES_SLEEP_NS 1000000u
#define QUEUES_QUIET_NS 1000000000u /* nothing came or went for so long: then the next one */
#define QUEUES_SLEEP_QUIET_NS 5000000u
#define QUEUES_SLEEP_IDLE_NS 100000000u /* with descriptors */

struct queues;
struct queues_link;

/* Of a kernel with more than one worker. */
SF_MUST_CHECK sf_status queues_create(struct nk_kernel *kernel, struct queues **out_queues);
/* After all links were removed. Takes NULL. */
void queues_destroy(struct queues *queues);

/*
 * Gives the queues of an open link their homes. UNSUPPORTED: it is not shared, so all of it is the
 * caller's. NOMEM.
 */
SF_MUST_CHECK sf_status queues_add(struct queues *queues, struct link *link,
                                   struct queues_link **out_link);
/* How many of its queues are worker 0's, from 0: for the caller to poll. */
uint16_t queues_here(const struct queues_link *link);
/* Nobody but worker 0 uses the link afterwards; their frames are back. No peer is on it any more.
 */
void queues_remove(struct queues *queues, struct queues_link *link);
/*
 * Locked (nk_lock). Frames of that peer are taken from that link only, on any queue, and sent over
 * it; NULL: neither (also: by worker 0 alone). Answers the session's lane.
 */
uint8_t queues_peer(struct queues *queues, uint16_t peer_id, struct queues_link *link);

struct queues_stats {
    uint64_t rx_frames, tx_frames, rx_dropped, tx_dropped, sleeps; /* as pump_stats */
};
/* Of all workers but worker 0. */
void queues_query(const struct queues *queues, struct queues_stats *out_stats);

/* Locked. The time to tell the fabric, which may have been told a later one by another thread. */
static inline uint64_t queues_now(const struct fab_node *fabric, uint64_t now_ns)
{
    uint64_t told_ns = fab_node_now(fabric);

    return now_ns > told_ns ? now_ns : told_ns;
}

#endif
