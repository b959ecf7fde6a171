/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_endpoints.h - what two bench_link processes tell each other of their link's ends (RDMA:
 * queue pairs), as fabricd does for nodes.
 *
 * Model: node 1 listens at its address, node 2 connects to it; each sends its endpoint whenever it
 * has changed. Called while the two nodes meet; afterwards only if the way is to be broken: one
 * that fails in the middle of a measurement is not made anew.
 *
 * Threads: the pump's. Errors: a connection that fails is tried again; the caller has a time limit.
 */
#ifndef KERNEL_BENCH_ENDPOINTS_H
#define KERNEL_BENCH_ENDPOINTS_H

#include "pump.h"

#define BENCH_ENDPOINTS_PORT 7703u

/* us and peer are addresses in host byte order. Cheap if there is nothing new; never blocks. */
void bench_endpoints_carry(struct pump *pump, bool server, uint32_t us, uint32_t peer,
                           uint16_t peer_id);

#endif
