/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peers.h - the nodes a link can reach, found by node id (sending) or IPv4 address (receiving).
 *
 * Model: a dense array, an index by node id, and an open-addressed hash by address that is built
 * anew when a peer goes. Lookups touch no memory but these.
 * Threads: one. Ownership: pointers answered stay valid until the next add or remove.
 * Limits: count_max peers, at most DPDK_PEERS_MAX.
 */
#ifndef DPDK_PEERS_H
#define DPDK_PEERS_H

#include <stdint.h>

#include "base/status.h"
#include "format.h"

#define DPDK_PEERS_MAX 1024u

struct dpdk_peer {
    uint16_t node_id;
    uint32_t ipv4;
    struct format_udp to;
};

struct dpdk_peers {
    struct dpdk_peer *items;
    uint32_t count, count_max;
    uint16_t *by_node; /* index + 1 */
    uint16_t *by_ipv4; /* index + 1; twice DPDK_PEERS_MAX places */
};

/* NOMEM: nothing to undo. */
SF_MUST_CHECK sf_status dpdk__peers_init(struct dpdk_peers *peers, uint32_t count_max);
/* Takes zeroed peers. */
void dpdk__peers_fini(struct dpdk_peers *peers);
/* EXISTS: that id or address is there. LIMIT: full. */
SF_MUST_CHECK sf_status dpdk__peers_add(struct dpdk_peers *peers, const struct dpdk_peer *peer);
void dpdk__peers_remove(struct dpdk_peers *peers, uint16_t node_id);
/* NULL: not a peer. */
const struct dpdk_peer *dpdk__peer_of_node(const struct dpdk_peers *peers, uint16_t node_id);
const struct dpdk_peer *dpdk__peer_of_ipv4(const struct dpdk_peers *peers, uint32_t ipv4);

#endif
