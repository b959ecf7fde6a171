/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait.h - sleeping until a memif peer sends, instead of polling.
 *
 * Why: memif has it (a ring's receiver clears a flag in shared memory, and the sender then writes
 * to an eventfd after each burst), DPDK's sender honours it, but DPDK's receiver always polls and
 * has no call to change that. So the flag is set here, in the ring's head, which the memif protocol
 * lays down; where the ring is, intr.h has seen.
 *
 * Model: armed, the flag is clear and the ring was empty after that; a barrier on all processors in
 * between (membarrier) makes sure that a sender that did not see the flag clear has sent before we
 * looked. Both processes register for that barrier when they open a memif link.
 * Threads: as a burst's. Errors: what does not look as it must (no cookie, another size) answers
 * -1: poll.
 */
#ifndef DPDK_WAIT_H
#define DPDK_WAIT_H

#include "port.h"

/* Once a process; again does no harm. */
void wait_register(void);
/* The op; memif only. */
int wait_memif_fd(struct link *link, uint16_t queue, bool arm);

#endif
