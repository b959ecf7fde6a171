/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reads.h - between the fabric and links whose devices read the exchange heap of the other node.
 *
 * Model: such a link (link_ops.read) was opened by somebody who allows it, for blocks from a size
 * on (pump_link_reads). The kernel's heap is given to it before its first peer, and taken away
 * after its last one, when all reads are over: in between the kernel must not move pages of the
 * heap (nk_options.copy_blocks), which the device has pinned. Reads that the fabric asks for go to
 * the link of that peer; what is over is told to the fabric.
 *
 * Threads: the pump's. Links that can read are used by that thread only, so the fabric, too, asks
 * for reads, and ends their sessions, on it. Errors: a link that cannot have the heap says so in
 * the log, and is used without reads.
 */
#ifndef KERNEL_READS_H
#define KERNEL_READS_H

#include "link/link.h"
#include "nk.h"

#define READS_LINKS_MAX 8u

struct pump;

struct reads {
    struct nk_kernel *kernel; /* NULL: none */
    struct reads_link {
        struct link *link;
        uint32_t bytes_min;
        bool shared; /* it has the kernel's heap */
    } links[READS_LINKS_MAX];
    uint32_t count;
};

/* Blocks from that size on are read over the link. UNSUPPORTED: its driver cannot. LIMIT. Before it
 * has a peer. */
SF_MUST_CHECK sf_status reads_add(struct reads *reads, struct link *link, uint32_t bytes_min);
/* The link is about to be closed, and has no peers any more. */
void reads_remove(struct reads *reads, const struct link *link);
/* Another kernel, or none; no link has a peer. */
void reads_kernel(struct reads *reads, struct pump *pump, struct nk_kernel *kernel);
/* For a new session over that link; 0: without reads. */
uint32_t reads_bytes_min(const struct reads *reads, const struct link *link);
/* Tells the fabric what is over; true: something was. */
bool reads_take(struct reads *reads, uint64_t now_ns);

#endif
