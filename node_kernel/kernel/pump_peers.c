/* SPDX-License-Identifier: Apache-2.0 */
/* pump_peers.c - who is reached over which link, and over its spare. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "pump_private.h"

/* Drivers that do not know it of each peer say the same of all. */
static bool link_reaches(struct pump_link *l, uint16_t node_id)
{
    return l->link.ops->peer_up != NULL ? l->link.ops->peer_up(&l->link, node_id)
                                        : l->link.ops->is_up(&l->link);
}

/* The link that comes first for a peer; NULL: it is none. */
static struct pump_link *first_link(const struct pump *pump, uint16_t node_id)
{
    const struct pump_pair *pair = pump->pairs[node_id];

    return pair != NULL ? pair->first : pump->peer_links[node_id];
}

static void link_peer_remove(struct pump_link *l, uint16_t node_id)
{
    l->link.ops->peer_remove(&l->link, node_id);
    assert(l->peer_count > 0);
    l->peer_count--;
}

void pump__peer_forget(struct pump *pump, uint16_t node_id)
{
    struct pump_pair *pair = pump->pairs[node_id];
    struct pump_link *l = first_link(pump, node_id);

    if (l == NULL) {
        return;
    }
    if (pump->queues != NULL) {
        nk_lock(pump->kernel);
        (void)queues_peer(pump->queues, node_id, NULL);
        nk_unlock(pump->kernel);
    }
    link_peer_remove(l, node_id);
    if (pair != NULL) {
        link_peer_remove(pair->spare, node_id);
        pump->pairs[node_id] = NULL;
        pump->pair_count--;
        free(pair);
    }
    pump->peer_links[node_id] = NULL;
    assert(pump->peer_count > 0);
    pump->peer_count--;
}

void pump__peers_forget(struct pump *pump, const struct pump_link *l)
{
    for (uint32_t id = 1; id < FAB_NODES_MAX; id++) {
        const struct pump_pair *pair = pump->pairs[id];

        if (pump->peer_links[id] == l || (pair != NULL && (pair->first == l || pair->spare == l))) {
            pump__peer_forget(pump, (uint16_t)id);
        }
    }
}

/* A link of that number that the peer may be added to. */
static sf_status way_find(struct pump *pump, const struct pump_way *way,
                          struct pump_link **out_link, char *text, size_t text_capacity)
{
    struct pump_link *l = pump__link_find(pump, way->link);
    bool its =
        l != NULL &&
        (first_link(pump, way->peer.node_id) == l ||
         (pump->pairs[way->peer.node_id] != NULL && pump->pairs[way->peer.node_id]->spare == l));

    if (l == NULL || pump->kernel == NULL) {
        snprintf(text, text_capacity, "there is no link %u on this node", way->link);
        return SF_NOTFOUND;
    }
    if (!l->caps.many_peers && l->peer_count > 0 && !its) {
        snprintf(text, text_capacity, "link %u goes to node %u already", way->link, l->peer);
        return SF_EXISTS;
    }
    *out_link = l;
    return SF_OK;
}

/* Tells the driver. It is counted by the caller. */
static sf_status way_open(struct pump_link *l, const struct pump_way *way, char *text,
                          size_t text_capacity)
{
    sf_status st = l->link.ops->peer_add(&l->link, &way->peer);

    if (st != SF_OK && st != SF_EXISTS) {
        snprintf(text, text_capacity, "link %u does not take node %u: %s", way->link,
                 way->peer.node_id, sf_status_text(st));
        return st;
    }
    l->peer = way->peer.node_id;
    return SF_OK;
}

static sf_status ways_open(struct pump *pump, const struct pump_way ways[],
                           struct pump_link *const links[PUMP_WAYS_MAX], char *text,
                           size_t text_capacity)
{
    uint16_t id = ways[0].peer.node_id;
    struct pump_pair *pair = pump->pairs[id];
    sf_status st;

    if (first_link(pump, id) != links[0] || (pair != NULL ? pair->spare : NULL) != links[1]) {
        pump__peer_forget(pump, id);
    }
    st = way_open(links[0], &ways[0], text, text_capacity);
    if (st == SF_OK && pump->peer_links[id] == NULL) {
        pump->peer_links[id] = links[0];
        links[0]->peer_count++;
        pump->peer_count++;
    }
    if (st != SF_OK || links[1] == NULL) {
        return st;
    }
    st = way_open(links[1], &ways[1], text, text_capacity);
    if (st != SF_OK || pump->pairs[id] != NULL) {
        return st;
    }
    pair = calloc(1, sizeof(*pair));
    if (pair == NULL) {
        links[1]->link.ops->peer_remove(&links[1]->link, id);
        return SF_NOMEM;
    }
    *pair = (struct pump_pair){.first = links[0], .spare = links[1]};
    links[1]->peer_count++;
    pump->pairs[id] = pair;
    pump->pair_count++;
    return SF_OK;
}

/* Of a frame over any of them. */
static uint32_t ways_mtu(struct pump_link *const links[PUMP_WAYS_MAX])
{
    uint32_t mtu = FAB_MTU_BYTES_MAX;

    for (uint32_t i = 0; i < PUMP_WAYS_MAX && links[i] != NULL; i++) {
        mtu = links[i]->caps.mtu_bytes < mtu ? links[i]->caps.mtu_bytes : mtu;
    }
    return mtu;
}

sf_status pump_peer_add(struct pump *pump, const struct pump_way ways[], uint32_t way_count,
                        const struct fab_peer *session, char *text, size_t text_capacity)
{
    struct pump_link *links[PUMP_WAYS_MAX] = {NULL};
    uint16_t id = session->node_id;
    struct fab_peer named = *session;
    sf_status st = SF_OK;
    uint64_t now_ns;

    assert(id > 0 && id < FAB_NODES_MAX);
    assert(way_count >= 1 && way_count <= PUMP_WAYS_MAX);
    for (uint32_t i = 0; i < way_count && st == SF_OK; i++) {
        assert(ways[i].peer.node_id == id);
        st = way_find(pump, &ways[i], &links[i], text, text_capacity);
    }
    if (st == SF_OK && (links[0] == links[1] || (links[1] != NULL && links[1]->spread != NULL))) {
        snprintf(text, text_capacity, "link %u cannot be the spare of link %u", ways[1].link,
                 ways[0].link);
        st = SF_BADARG;
    }
    if (st == SF_OK) {
        st = ways_open(pump, ways, links, text, text_capacity);
    }
    if (st != SF_OK) {
        return st;
    }
    named.mtu_bytes = ways_mtu(links);
    named.lead_bytes = links[0]->caps.lead_bytes;
    named.steady = links[0]->caps.holds && (links[1] == NULL || links[1]->caps.holds);
    named.read_bytes_min = named.sealed ? 0 : reads_bytes_min(&pump->reads, &links[0]->link);
    named.reads = named.read_bytes_min != 0;
    now_ns = pump__lock(pump, node_now_ns());
    named.lane = pump->queues == NULL ? 0 : queues_peer(pump->queues, id, links[0]->spread);
    st = fab_peer_add(nk_kernel_fabric(pump->kernel), &named, now_ns);
    nk_unlock(pump->kernel);
    if (st != SF_OK && st != SF_EXISTS) {
        snprintf(text, text_capacity, "the fabric does not take node %u: %s", id,
                 sf_status_text(st));
        pump__peer_forget(pump, id);
        return st;
    }
    return SF_OK;
}

void pump__ways_look(struct pump *pump, uint64_t now_ns)
{
    pump->ways_next_ns = now_ns + PUMP_WAYS_NS;
    for (uint32_t id = 1; id < FAB_NODES_MAX; id++) {
        struct pump_pair *pair = pump->pairs[id];

        if (pair != NULL) {
            bool spare = way_takes_spare(&pair->way, link_reaches(pair->first, (uint16_t)id),
                                         link_reaches(pair->spare, (uint16_t)id), now_ns);
            pump->peer_links[id] = spare ? pair->spare : pair->first;
        }
    }
}

bool pump__pair_heard(struct pump_pair *pair, const struct pump_link *l, uint64_t now_ns)
{
    if (l != pair->first && l != pair->spare) {
        return false;
    }
    way_heard(&pair->way, l == pair->spare, now_ns);
    return true;
}

struct link *pump_peer_link(struct pump *pump, uint16_t node_id)
{
    struct pump_link *l = node_id < FAB_NODES_MAX ? first_link(pump, node_id) : NULL;

    return l != NULL ? &l->link : NULL;
}

sf_status pump_link_reads(struct pump *pump, uint32_t number, uint32_t bytes_min)
{
    struct pump_link *l = pump__link_find(pump, number);

    return l == NULL ? SF_NOTFOUND : reads_add(&pump->reads, &l->link, bytes_min);
}

bool pump_peer_on_spare(const struct pump *pump, uint16_t node_id)
{
    const struct pump_pair *pair = node_id < FAB_NODES_MAX ? pump->pairs[node_id] : NULL;

    return pair != NULL && pump->peer_links[node_id] == pair->spare;
}

void pump_peer_remove(struct pump *pump, uint16_t node_id, struct sf_cause cause)
{
    struct pump_link *l;

    if (node_id == 0 || node_id >= FAB_NODES_MAX) {
        return;
    }
    if (pump->kernel != NULL) {
        nk_lock(pump->kernel);
        fab_peer_remove(nk_kernel_fabric(pump->kernel), node_id, cause);
        nk_unlock(pump->kernel);
    }
    l = first_link(pump, node_id);
    pump__peer_forget(pump, node_id);
    if (l != NULL && !l->caps.many_peers && l->peer_count == 0) {
        pump__link_close(pump, l);
    }
}

const char *pump_peer_driver(const struct pump *pump, uint16_t node_id)
{
    const struct pump_link *l = node_id < FAB_NODES_MAX ? pump->peer_links[node_id] : NULL;
    return l != NULL ? l->driver : "";
}

uint16_t pump_peer_next(const struct pump *pump, uint16_t node_id)
{
    for (uint32_t id = node_id + 1u; id < FAB_NODES_MAX; id++) {
        if (pump->peer_links[id] != NULL) {
            return (uint16_t)id;
        }
    }
    return 0;
}
