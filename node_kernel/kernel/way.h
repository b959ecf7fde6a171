/* SPDX-License-Identifier: Apache-2.0 */
/*
 * way.h - over which of two links frames go to a peer: the first one, or the spare.
 *
 * Why: where RDMA fails, the session goes on over another link of the same two nodes. Each side
 * decides for itself what it sends on, and takes what comes on either.
 *
 * Model: the first link is taken while its driver says that frames pass (link_ops.peer_up), or if
 * the spare is down as well. One side may see the failure long before the other, which then sends
 * into nothing for that time; so who gets a frame on the spare, having had one on the first link
 * since that came up, follows for WAY_FOLLOW_NS, in which its own driver must have noticed. Only
 * once: else two whose first link is well would follow each other for ever. A frame on the first
 * link ends it. Nor is the driver waited for while nothing at all comes from a peer that sends
 * heart-beats: after WAY_SILENT_NS frames go over the spare, until one comes.
 *
 * Threads: pure. Units: nanoseconds of any one clock.
 */
#ifndef KERNEL_WAY_H
#define KERNEL_WAY_H

#include <stdbool.h>
#include <stdint.h>

#define WAY_FOLLOW_NS 4000000000u /* devices may take 3.8 s to tell that a peer does not answer */
/* Three heart-beats (fab_options.heartbeat_ns), and much less than until the peer is lost. */
#define WAY_SILENT_NS 600000000u

/* Zeroed: nothing has been heard. */
struct way {
    uint64_t heard_ns; /* when a frame came last; 0: never */
    uint64_t follow_until_ns;
    bool may_follow; /* a frame has come on the first link, and none on the spare since */
};

/* A frame has come. */
void way_heard(struct way *way, bool on_spare, uint64_t now_ns);
/* True: frames go over the spare now. */
bool way_takes_spare(struct way *way, bool first_up, bool spare_up, uint64_t now_ns);

#endif
