/* SPDX-License-Identifier: Apache-2.0 */
#include "reads.h"

#include <assert.h>

#include "exchange_heap/xh.h"
#include "log.h"
#include "pump.h"
#include "queues.h"

#define BATCH 32u

static bool read_begin(void *arg, uint16_t peer_id, uint64_t address, void *to, uint32_t bytes,
                       uint64_t cookie)
{
    struct link *link = pump_peer_link(arg, peer_id);

    return link != NULL && link->ops->read != NULL &&
           link->ops->read(link, peer_id, address, to, bytes, cookie);
}

static void read_revoke(void *arg, uint16_t peer_id)
{
    struct link *link = pump_peer_link(arg, peer_id);

    if (link != NULL && link->ops->read_revoke != NULL) {
        link->ops->read_revoke(link, peer_id);
    }
}

static void heap_share(struct reads *reads, struct reads_link *l)
{
    struct fab_node *fabric = nk_kernel_fabric(reads->kernel);
    struct xh_stats stats;
    sf_status st;

    assert(!l->shared);
    xh_query(nk_kernel_heap(reads->kernel), &stats);
    if (!nk_copies_blocks(reads->kernel)) {
        st = SF_UNSUPPORTED;
    } else {
        st = l->link->ops->memory_share(
            l->link, (void *)(XH_CELL_BASE + fab_node_id(fabric) * XH_NODE_STRIDE),
            stats.bytes_in_range);
    }
    l->shared = st == SF_OK;
    if (st != SF_OK) {
        node_log("%s: the device does not take the heap (%s): no blocks are read over it",
                 l->link->ops->name, sf_status_text(st));
    }
}

static bool dones_take(struct reads *reads, struct reads_link *l, uint64_t now_ns)
{
    struct fab_node *fabric = nk_kernel_fabric(reads->kernel);
    struct link_read_done done[BATCH];
    uint32_t count = l->link->ops->read_poll(l->link, done, BATCH);

    if (count == 0) {
        return false;
    }
    nk_lock(reads->kernel);
    now_ns = queues_now(fabric, now_ns);
    for (uint32_t i = 0; i < count; i++) {
        fab_read_done(fabric, done[i].cookie, done[i].ok, now_ns);
    }
    nk_unlock(reads->kernel);
    return true;
}

static void heap_take_back(struct reads *reads, struct reads_link *l)
{
    sf_status st;

    if (!l->shared) {
        return;
    }
    while (dones_take(reads, l, node_now_ns())) {
    }
    st = l->link->ops->memory_share(l->link, NULL, 0);
    assert(st == SF_OK); /* it has no peers */
    (void)st;
    l->shared = false;
}

sf_status reads_add(struct reads *reads, struct link *link, uint32_t bytes_min)
{
    struct reads_link *l = &reads->links[reads->count];

    assert(bytes_min > 0);
    if (link->ops->read == NULL) {
        return SF_UNSUPPORTED;
    }
    if (reads->count == READS_LINKS_MAX) {
        return SF_LIMIT;
    }
    *l = (struct reads_link){.link = link, .bytes_min = bytes_min};
    reads->count++;
    if (reads->kernel != NULL) {
        heap_share(reads, l);
    }
    return SF_OK;
}

void reads_remove(struct reads *reads, const struct link *link)
{
    for (uint32_t i = 0; i < reads->count; i++) {
        if (reads->links[i].link == link) {
            heap_take_back(reads, &reads->links[i]);
            reads->links[i] = reads->links[--reads->count];
            return;
        }
    }
}

void reads_kernel(struct reads *reads, struct pump *pump, struct nk_kernel *kernel)
{
    const struct nk_reader reader = {.arg = pump, .read = read_begin, .revoke = read_revoke};

    for (uint32_t i = 0; reads->kernel != NULL && i < reads->count; i++) {
        heap_take_back(reads, &reads->links[i]);
    }
    if (reads->kernel != NULL) {
        nk_reader_set(reads->kernel, NULL);
    }
    reads->kernel = kernel;
    if (kernel == NULL) {
        return;
    }
    nk_reader_set(kernel, &reader);
    for (uint32_t i = 0; i < reads->count; i++) {
        heap_share(reads, &reads->links[i]);
    }
}

uint32_t reads_bytes_min(const struct reads *reads, const struct link *link)
{
    for (uint32_t i = 0; i < reads->count; i++) {
        if (reads->links[i].link == link && reads->links[i].shared) {
            return reads->links[i].bytes_min;
        }
    }
    return 0;
}

bool reads_take(struct reads *reads, uint64_t now_ns)
{
    bool any = false;

    for (uint32_t i = 0; i < reads->count; i++) {
        any |= reads->links[i].shared && dones_take(reads, &reads->links[i], now_ns);
    }
    return any;
}

/* --- endpoints ----------------------------------------------------------------------------------
 */

sf_status pump_peer_endpoint_get(struct pump *pump, uint16_t node_id,
                                 struct link_endpoint *out_endpoint)
{
    struct link *link = pump_peer_link(pump, node_id);

    if (link == NULL) {
        return SF_NOTFOUND;
    }
    return link->ops->endpoint_get != NULL ? link->ops->endpoint_get(link, node_id, out_endpoint)
                                           : SF_UNSUPPORTED;
}

sf_status pump_peer_endpoint_set(struct pump *pump, uint16_t node_id,
                                 const struct link_endpoint *its)
{
    struct link *link = pump_peer_link(pump, node_id);

    if (link == NULL) {
        return SF_NOTFOUND;
    }
    return link->ops->endpoint_set != NULL ? link->ops->endpoint_set(link, node_id, its)
                                           : SF_UNSUPPORTED;
}
