/* SPDX-License-Identifier: Apache-2.0 */
/*
 * veth.h - for tests: a pair of virtual Ethernet interfaces, each in a network namespace of its
 * own.
 *
 * Model: the namespaces have no name and live as long as this process and those it starts hold
 * them, so nothing is left behind however the test ends. Interface "fab0" is in both, with the MAC
 * of its node; "down0" is in node A's, and is down.
 * Limits: needs root and ip (iproute2).
 */
#ifndef DPDK_VETH_H
#define DPDK_VETH_H

#include <stdbool.h>
#include <stdint.h>

#include "../conformance.h"

/* NULL, or why it cannot be done here. This process ends up in node B's namespace. */
const char *veth_begin(uint32_t interface_mtu_bytes);
/* Moves this process into a node's namespace. */
bool veth_enter(uint16_t node_id);
/* Runs ip with these arguments in a node's namespace. */
bool veth_ip(uint16_t node_id, const char *arguments);

#endif
