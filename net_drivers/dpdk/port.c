/* SPDX-License-Identifier: Apache-2.0 */
#include "port.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "log.h"

#define POOL_CACHE 64u
#define HOLD_SPINS 200u /* then whose burst it is has probably lost its core */

uint64_t dpdk__ticks(uint64_t microseconds)
{
    return rte_get_tsc_hz() / 1000000u * microseconds;
}

/* --- one thread at a time ------------------------------------------------------------------------
 */

static pthread_mutex_t control = PTHREAD_MUTEX_INITIALIZER;

void dpdk__control_lock(void)
{
    (void)pthread_mutex_lock(&control);
}

void dpdk__control_unlock(void)
{
    (void)pthread_mutex_unlock(&control);
}

static void queue_hold(struct dpdk_queue *queue)
{
    uint32_t spins = 0;

    while (__atomic_exchange_n(&queue->held, 1, __ATOMIC_ACQUIRE) != 0) {
        if (++spins % HOLD_SPINS == 0) {
            (void)sched_yield();
        }
        rte_pause();
    }
}

void dpdk__queues_hold(struct dpdk_port *port)
{
    if (port->holds++ == 0 && port->shared) {
        for (uint16_t i = 0; i < port->queue_count; i++) {
            queue_hold(&port->queues[i]);
        }
    }
}

void dpdk__queues_release(struct dpdk_port *port)
{
    assert(port->holds > 0);
    if (--port->holds == 0 && port->shared) {
        for (uint16_t i = 0; i < port->queue_count; i++) {
            __atomic_store_n(&port->queues[i].held, 0, __ATOMIC_RELEASE);
        }
    }
}

void dpdk__port_carrier(struct dpdk_port *port, bool up)
{
    if (up == port->up) {
        return;
    }
    port->stats.up_events += up;
    port->stats.down_events += !up;
    dpdk__queues_hold(port);
    port->up = up;
    dpdk__queues_release(port);
}

void dpdk__look_try(struct dpdk_port *port)
{
    if (pthread_mutex_trylock(&control) == 0) {
        if (!port->closed) {
            port->look(port);
        }
        dpdk__control_unlock();
    }
}

/* --- making a port -------------------------------------------------------------------------------
 */

sf_status dpdk__port_refuse(struct dpdk_port *port, sf_status st, const char *format, ...)
{
    int used = snprintf(port->text, sizeof(port->text), "%s: ", port->driver);
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(port->text + used, sizeof(port->text) - (size_t)used, format, arguments);
    va_end(arguments);
    return st;
}

sf_status dpdk__port_fail(struct dpdk_port *port, sf_status st, const char *what)
{
    const char *said = dpdk__log_caught();

    return dpdk__port_refuse(port, st, "%s%s%s", what, said[0] != '\0' ? ": " : "", said);
}

sf_status dpdk__port_pool(struct dpdk_port *port, uint32_t frames, uint32_t packet_bytes)
{
    uint32_t room = DPDK_PAYLOAD_OFFSET + RTE_ALIGN(packet_bytes, RTE_CACHE_LINE_SIZE);
    char name[DPDK_NAME_BYTES_MAX];

    assert(room <= UINT16_MAX);
    (void)snprintf(name, sizeof(name), "link_%u", room);
    port->pool = rte_mempool_lookup(name);
    if (port->pool != NULL && port->pool->size < frames) {
        (void)snprintf(name, sizeof(name), "link_%u_%u", room, frames);
        port->pool = rte_mempool_lookup(name);
    }
    if (port->pool != NULL) {
        return SF_OK;
    }
    dpdk__log_catch();
    port->pool =
        rte_pktmbuf_pool_create(name, frames, POOL_CACHE, 0, (uint16_t)room, SOCKET_ID_ANY);
    if (port->pool == NULL) {
        return dpdk__port_fail(port, SF_NOMEM, "no memory for the frame pool");
    }
    (void)dpdk__log_caught();
    return SF_OK;
}

sf_status dpdk__port_tails(struct dpdk_port *port)
{
    uint32_t count = LINK_BURST_MAX * port->queue_count;
    size_t bytes = count * sizeof(*port->tails);

    port->tails = aligned_alloc(RTE_CACHE_LINE_SIZE, bytes);
    if (port->tails == NULL) {
        return dpdk__port_refuse(port, SF_NOMEM, "no memory");
    }
    dpdk__tails_init(port->tails, count);
    for (uint16_t i = 0; i < port->queue_count; i++) {
        port->queues[i].tails = port->tails + i * LINK_BURST_MAX;
    }
    return SF_OK;
}

static sf_status queues_make(struct dpdk_port *port, const struct link_config *config)
{
    uint16_t count = config->queues == 0 ? 1 : config->queues;

    if (count > 1 && !config->shared) {
        return dpdk__port_refuse(port, SF_BADARG, "several queues are for several threads: shared");
    }
    port->shared = config->shared;
    port->queue_count = count < LINK_QUEUES_MAX ? count : LINK_QUEUES_MAX;
    port->queues =
        aligned_alloc(_Alignof(struct dpdk_queue), port->queue_count * sizeof(*port->queues));
    if (port->queues == NULL) {
        return dpdk__port_refuse(port, SF_NOMEM, "no memory");
    }
    for (uint16_t i = 0; i < port->queue_count; i++) {
        port->queues[i] = (struct dpdk_queue){.index = i, .socket_fd = -1};
        dpdk__peer_forget(&port->queues[i].last);
    }
    return SF_OK;
}

sf_status dpdk__port_create(struct link *link, const struct link_config *config, const char *driver,
                            const char **out_text)
{
    struct dpdk_port *port = calloc(1, sizeof(*port));
    sf_status st;

    if (port == NULL) {
        *out_text = "dpdk: no memory";
        return SF_NOMEM;
    }
    link->impl = port;
    port->driver = driver;
    port->control_fd = -1;
    *out_text = port->text;
    if (rte_get_tsc_hz() == 0) {
        return dpdk__port_refuse(port, SF_BADARG, "link_dpdk_start comes first");
    }
    port->node_id = config->node_id;
    port->server = config->server;
    port->rx_tails = config->rx_tails;
    port->us.ipv4 = config->ipv4;
    memcpy(port->us.mac, config->mac, sizeof(port->us.mac));
    st = queues_make(port, config);
    if (st == SF_OK && dpdk__peers_init(&port->peers, DPDK_PEERS_MAX) != SF_OK) {
        return dpdk__port_refuse(port, SF_NOMEM, "no memory");
    }
    return st;
}

sf_status dpdk__port_configure(struct dpdk_port *port, const struct rte_eth_conf *conf,
                               uint16_t rx_frames, uint16_t tx_frames)
{
    dpdk__log_catch();
    if (rte_eth_dev_configure(port->number, port->queue_count, port->queue_count, conf) != 0) {
        return dpdk__port_fail(port, SF_IO,
                               "the device refused that MTU, or that many queues each way");
    }
    for (uint16_t i = 0; i < port->queue_count; i++) {
        if (rte_eth_rx_queue_setup(port->number, i, rx_frames, (unsigned)SOCKET_ID_ANY, NULL,
                                   port->pool) != 0) {
            return dpdk__port_fail(port, SF_IO, "the device refused a receive queue");
        }
        port->queues[i].rx_interrupt = port->intr.handle_last;
        if (rte_eth_tx_queue_setup(port->number, i, tx_frames, (unsigned)SOCKET_ID_ANY, NULL) !=
            0) {
            return dpdk__port_fail(port, SF_IO, "the device refused a transmit queue");
        }
        port->queues[i].tx_interrupt = port->intr.handle_last;
    }
    (void)dpdk__log_caught();
    return SF_OK;
}

/* --- the ops -------------------------------------------------------------------------------------
 */

/* What the queues found last may have moved. */
static void peers_forget_last(struct dpdk_port *port)
{
    for (uint16_t i = 0; i < port->queue_count; i++) {
        dpdk__peer_forget(&port->queues[i].last);
    }
}

sf_status dpdk__peer_add(struct link *link, const struct link_peer *peer)
{
    struct dpdk_port *port = link->impl;
    sf_status st;
    struct dpdk_peer item = {.node_id = peer->node_id, .ipv4 = peer->ipv4};
    struct format_node to = {.ipv4 = peer->ipv4};

    if (peer->node_id == LINK_PEER_UNKNOWN || peer->node_id == port->node_id) {
        return SF_BADARG;
    }
    if (!port->udp && port->peers.count == 1 && port->peers.by_node[peer->node_id] == 0) {
        return SF_LIMIT;
    }
    if (port->udp && peer->ipv4 == 0) {
        return SF_BADARG;
    }
    memcpy(to.mac, peer->mac, sizeof(to.mac));
    format_udp_prepare(&item.to, &port->us, &to);
    dpdk__control_lock();
    dpdk__queues_hold(port);
    st = dpdk__peers_add(&port->peers, &item);
    dpdk__queues_release(port);
    dpdk__control_unlock();
    return st;
}

void dpdk__peer_remove(struct link *link, uint16_t node_id)
{
    struct dpdk_port *port = link->impl;

    dpdk__control_lock();
    dpdk__queues_hold(port);
    dpdk__peers_remove(&port->peers, node_id);
    peers_forget_last(port);
    dpdk__queues_release(port);
    dpdk__control_unlock();
}

bool dpdk__is_up(struct link *link)
{
    struct dpdk_port *port = link->impl;
    bool up = false;

    dpdk__control_lock();
    if (!port->closed) {
        if (rte_rdtsc() >= port->look_next) {
            port->look(port);
        }
        up = port->up;
    }
    dpdk__control_unlock();
    return up;
}

void dpdk__close(struct link *link)
{
    struct dpdk_port *port = link->impl;

    dpdk__control_lock();
    dpdk__queues_hold(port);
    port->closed = true;
    dpdk__queues_release(port);
    dpdk__control_unlock();
}

void dpdk__fini(struct link *link)
{
    struct dpdk_port *port = link->impl;

    if (port == NULL) {
        return;
    }
    dpdk__peers_fini(&port->peers);
    if (port->control_fd >= 0) {
        (void)close(port->control_fd);
    }
    free(port->tails);
    free(port->queues);
    free(port);
    link->impl = NULL;
}

void dpdk__query(const struct link *link, struct link_caps *out_caps)
{
    const struct dpdk_port *port = link->impl;

    *out_caps = (struct link_caps){
        .mtu_bytes = port->mtu_bytes,
        .lead_bytes = (uint8_t)port->header_bytes,
        .burst_max = LINK_BURST_MAX,
        .many_peers = port->udp,
        .holds = !port->udp,
        .shared = port->shared,
        .queues = port->queue_count,
    };
    memcpy(out_caps->mac, port->us.mac, sizeof(out_caps->mac));
}

void dpdk__stats(const struct link *link, struct link_stats *out_stats)
{
    struct dpdk_port *port = link->impl;
    struct rte_eth_stats device;

    dpdk__control_lock();
    if (port->stats_read != NULL) {
        port->stats_read(port);
    } else if (port->running && rte_eth_stats_get(port->number, &device) == 0) {
        port->stats.rx_missed = device.imissed;
    }
    *out_stats = port->stats;
    dpdk__control_unlock();
    for (uint16_t i = 0; i < port->queue_count; i++) {
        const struct link_stats *queue = &port->queues[i].stats;

        out_stats->tx_frames += __atomic_load_n(&queue->tx_frames, __ATOMIC_RELAXED);
        out_stats->tx_bytes += __atomic_load_n(&queue->tx_bytes, __ATOMIC_RELAXED);
        out_stats->tx_dropped += __atomic_load_n(&queue->tx_dropped, __ATOMIC_RELAXED);
        out_stats->rx_frames += __atomic_load_n(&queue->rx_frames, __ATOMIC_RELAXED);
        out_stats->rx_bytes += __atomic_load_n(&queue->rx_bytes, __ATOMIC_RELAXED);
        out_stats->rx_rejected += __atomic_load_n(&queue->rx_rejected, __ATOMIC_RELAXED);
    }
}
