/* SPDX-License-Identifier: Apache-2.0 */
#include "peers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PLACES (2u * DPDK_PEERS_MAX)
#define NODE_IDS 65536u

void dpdk__peer_forget(struct dpdk_peer_last *last)
{
    *last = (struct dpdk_peer_last){.node_key = UINT32_MAX, .ipv4_key = UINT64_MAX};
}

sf_status dpdk__peers_init(struct dpdk_peers *peers, uint32_t count_max)
{
    assert(count_max > 0);
    assert(count_max <= DPDK_PEERS_MAX);

    peers->count = 0;
    peers->count_max = count_max;
    peers->items = calloc(count_max, sizeof(*peers->items));
    peers->by_node = calloc(NODE_IDS, sizeof(*peers->by_node));
    peers->by_ipv4 = calloc(PLACES, sizeof(*peers->by_ipv4));
    if (peers->items == NULL || peers->by_node == NULL || peers->by_ipv4 == NULL) {
        dpdk__peers_fini(peers);
        return SF_NOMEM;
    }
    return SF_OK;
}

void dpdk__peers_fini(struct dpdk_peers *peers)
{
    free(peers->items);
    free(peers->by_node);
    free(peers->by_ipv4);
    memset(peers, 0, sizeof(*peers));
}

static uint32_t place_first(uint32_t ipv4)
{
    return (ipv4 * 2654435761u >> 16) % PLACES;
}

static void place_take(struct dpdk_peers *peers, uint32_t index)
{
    uint32_t place = place_first(peers->items[index].ipv4);

    while (peers->by_ipv4[place] != 0) {
        place = (place + 1) % PLACES;
    }
    peers->by_ipv4[place] = (uint16_t)(index + 1);
}

sf_status dpdk__peers_add(struct dpdk_peers *peers, const struct dpdk_peer *peer)
{
    struct dpdk_peer_last last;

    dpdk__peer_forget(&last);
    if (dpdk__peer_seek_node(peers, &last, peer->node_id) != NULL ||
        dpdk__peer_seek_ipv4(peers, &last, peer->ipv4) != NULL) {
        return SF_EXISTS;
    }
    if (peers->count == peers->count_max) {
        return SF_LIMIT;
    }
    peers->items[peers->count] = *peer;
    peers->by_node[peer->node_id] = (uint16_t)(peers->count + 1);
    place_take(peers, peers->count);
    peers->count++;
    return SF_OK;
}

void dpdk__peers_remove(struct dpdk_peers *peers, uint16_t node_id)
{
    uint32_t index = peers->by_node[node_id];

    if (index-- == 0) {
        return;
    }
    peers->by_node[node_id] = 0;
    peers->count--;
    if (index != peers->count) {
        peers->items[index] = peers->items[peers->count];
        peers->by_node[peers->items[index].node_id] = (uint16_t)(index + 1);
    }
    memset(peers->by_ipv4, 0, PLACES * sizeof(*peers->by_ipv4));
    for (uint32_t i = 0; i < peers->count; i++) {
        place_take(peers, i);
    }
}

const struct dpdk_peer *dpdk__peer_seek_node(const struct dpdk_peers *peers,
                                             struct dpdk_peer_last *last, uint16_t node_id)
{
    uint32_t index = peers->by_node[node_id];

    if (index == 0) {
        return NULL;
    }
    last->node = &peers->items[index - 1];
    last->node_key = node_id;
    return last->node;
}

const struct dpdk_peer *dpdk__peer_seek_ipv4(const struct dpdk_peers *peers,
                                             struct dpdk_peer_last *last, uint32_t ipv4)
{
    for (uint32_t place = place_first(ipv4);; place = (place + 1) % PLACES) {
        uint32_t index = peers->by_ipv4[place];

        if (index == 0) {
            return NULL;
        }
        if (peers->items[index - 1].ipv4 == ipv4) {
            last->ipv4 = &peers->items[index - 1];
            last->ipv4_key = ipv4;
            return last->ipv4;
        }
    }
}
