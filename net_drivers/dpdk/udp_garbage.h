/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp_garbage.h - packets that are almost a frame from node A to node B of the conformance suite,
 * each wrong in one field.
 */
#ifndef DPDK_UDP_GARBAGE_H
#define DPDK_UDP_GARBAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "link/link.h"

#define UDP_GARBAGE_KINDS 24u
#define UDP_GARBAGE_ONE_BYTE 0u
#define UDP_GARBAGE_FRAGMENT_FIRST 11u

/* As link_conformance.garbage. */
bool udp_garbage(struct link *link, uint32_t kind);
/* Whether af_packet's socket filter, or the kernel before it, keeps that kind from the driver. */
bool udp_garbage_filtered(uint32_t kind);

#endif
