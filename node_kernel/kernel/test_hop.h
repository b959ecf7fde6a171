/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hop.h - SIPs of a test world (test_world.h) that leave the kernel and come back, or go to
 * another one.
 *
 * Threads and errors: as test_world.h.
 */
#ifndef KERNEL_TEST_HOP_H
#define KERNEL_TEST_HOP_H

#include "capture.h"

#include "test_world.h"

#define HOP_EPS_MAX 1024u

struct hop {
    struct bytes capture; /* the last one */
    size_t capacity;
    struct fab_ep *eps[HOP_EPS_MAX];
    uint32_t ep_count;
    struct nk_capture_stats stats;
    struct nk_restore_info last; /* of the last restored; sip 0: none yet */
    uint64_t count;
    uint64_t streamed; /* bytes that nk_restore_stream took */
};
extern struct hop hop;

/* A sink: adds to hop.capture. */
sf_status hop_keep(void *arg, const void *bytes, size_t length);
/* False: there is none, it has ended. */
bool hop_freeze(uint64_t number);
/* Into hop.capture, with its endpoints. */
void hop_capture(uint64_t number, struct nk_precopy *precopy);
struct nk_restore *hop_restore(void);
/* In pieces of any length. */
void hop_feed(struct nk_restore *restore, const struct bytes *bytes);
/* What hop_capture made becomes a frozen SIP. */
void hop_finish(void);
/* Frozen, captured, released, restored, thawed. False: it has ended. */
bool hop_here(uint64_t number);

#endif
