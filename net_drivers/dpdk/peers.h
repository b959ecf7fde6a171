/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peers.h - the nodes a link can reach, found by node id (sending) or IPv4 address (receiving).
 *
 * Model: a dense array, an index by node id, and an open-addressed hash by address that is built
 * anew when a peer goes. The peer found last is tried first, without any of these: a link often
 * has but one, and frames come in runs.
 * Threads: any may look, each with a dpdk_peer_last of its own, while nobody adds or removes.
 * Ownership: pointers answered, and what a dpdk_peer_last remembers, are valid until the next add
 * or remove; forget it then.
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

/* Found last each way; the keys match nothing before there was one. */
struct dpdk_peer_last {
    const struct dpdk_peer *node, *ipv4;
    uint32_t node_key;
    uint64_t ipv4_key;
};

/* NOMEM: nothing to undo. */
SF_MUST_CHECK sf_status dpdk__peers_init(struct dpdk_peers *peers, uint32_t count_max);
/* Takes zeroed peers. */
void dpdk__peers_fini(struct dpdk_peers *peers);
/* EXISTS: that id or address is there. LIMIT: full. */
SF_MUST_CHECK sf_status dpdk__peers_add(struct dpdk_peers *peers, const struct dpdk_peer *peer);
void dpdk__peers_remove(struct dpdk_peers *peers, uint16_t node_id);
void dpdk__peer_forget(struct dpdk_peer_last *last);
/* NULL: not a peer. The slow way, which remembers what it found. */
const struct dpdk_peer *dpdk__peer_seek_node(const struct dpdk_peers *peers,
                                             struct dpdk_peer_last *last, uint16_t node_id);
const struct dpdk_peer *dpdk__peer_seek_ipv4(const struct dpdk_peers *peers,
                                             struct dpdk_peer_last *last, uint32_t ipv4);

static inline const struct dpdk_peer *
dpdk__peer_of_node(const struct dpdk_peers *peers, struct dpdk_peer_last *last, uint16_t node_id)
{
    return last->node_key == node_id ? last->node : dpdk__peer_seek_node(peers, last, node_id);
}

static inline const struct dpdk_peer *dpdk__peer_of_ipv4(const struct dpdk_peers *peers,
                                                         struct dpdk_peer_last *last, uint32_t ipv4)
{
    return last->ipv4_key == ipv4 ? last->ipv4 : dpdk__peer_seek_ipv4(peers, last, ipv4);
}

#endif
