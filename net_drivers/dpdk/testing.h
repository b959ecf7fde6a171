/* SPDX-License-Identifier: Apache-2.0 */
/*
 * testing.h - what tests of the DPDK drivers may reach besides link.h. Needs no DPDK header.
 */
#ifndef DPDK_TESTING_H
#define DPDK_TESTING_H

#include <stdbool.h>
#include <stdint.h>

#include "link/link.h"

/* Sends bytes as they are, without a header of ours. False: no buffer, or the ring is full. */
bool dpdk__inject(struct link *link, const void *bytes, uint32_t length);
/* The same for memif, whose descriptor says other_length and flags. */
bool memif__inject(struct link *link, const void *bytes, uint32_t length, uint32_t other_length,
                   uint16_t flags);
/* memif's port with virtio's packet format. Not in the driver table. */
extern const struct link_ops dpdk__memif_udp_ops;

#endif
