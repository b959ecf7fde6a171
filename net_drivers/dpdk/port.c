/* SPDX-License-Identifier: Apache-2.0 */
#include "port.h"

#include <assert.h>
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

uint64_t dpdk__ticks(uint64_t microseconds)
{
    return rte_get_tsc_hz() / 1000000u * microseconds;
}

void dpdk__port_carrier(struct dpdk_port *port, bool up)
{
    port->stats.up_events += up && !port->up;
    port->stats.down_events += !up && port->up;
    port->up = up;
}

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
    size_t bytes = LINK_BURST_MAX * sizeof(*port->tails);

    port->tails = aligned_alloc(RTE_CACHE_LINE_SIZE, bytes);
    if (port->tails == NULL) {
        return dpdk__port_refuse(port, SF_NOMEM, "no memory");
    }
    dpdk__tails_init(port->tails, LINK_BURST_MAX);
    return SF_OK;
}

sf_status dpdk__port_create(struct link *link, const struct link_config *config, const char *driver,
                            const char **out_text)
{
    struct dpdk_port *port = calloc(1, sizeof(*port));

    if (port == NULL) {
        *out_text = "dpdk: no memory";
        return SF_NOMEM;
    }
    link->impl = port;
    port->driver = driver;
    port->control_fd = -1;
    port->socket_fd = -1;
    *out_text = port->text;
    if (rte_get_tsc_hz() == 0) {
        return dpdk__port_refuse(port, SF_BADARG, "link_dpdk_start comes first");
    }
    port->node_id = config->node_id;
    port->server = config->server;
    port->us.ipv4 = config->ipv4;
    memcpy(port->us.mac, config->mac, sizeof(port->us.mac));
    if (dpdk__peers_init(&port->peers, DPDK_PEERS_MAX) != SF_OK) {
        return dpdk__port_refuse(port, SF_NOMEM, "no memory");
    }
    return SF_OK;
}

sf_status dpdk__port_configure(struct dpdk_port *port, const struct rte_eth_conf *conf,
                               uint16_t rx_frames, uint16_t tx_frames)
{
    dpdk__log_catch();
    if (rte_eth_dev_configure(port->number, 1, 1, conf) != 0) {
        return dpdk__port_fail(port, SF_IO, "the device refused that MTU, or one queue each way");
    }
    if (rte_eth_rx_queue_setup(port->number, 0, rx_frames, (unsigned)SOCKET_ID_ANY, NULL,
                               port->pool) != 0) {
        return dpdk__port_fail(port, SF_IO, "the device refused its receive queue");
    }
    port->rx_interrupt = port->intr.handle_last;
    if (rte_eth_tx_queue_setup(port->number, 0, tx_frames, (unsigned)SOCKET_ID_ANY, NULL) != 0) {
        return dpdk__port_fail(port, SF_IO, "the device refused its transmit queue");
    }
    (void)dpdk__log_caught();
    return SF_OK;
}

sf_status dpdk__peer_add(struct link *link, const struct link_peer *peer)
{
    struct dpdk_port *port = link->impl;
    struct dpdk_peer item = {.node_id = peer->node_id, .ipv4 = peer->ipv4};
    struct format_node to = {.ipv4 = peer->ipv4};

    if (peer->node_id == LINK_PEER_UNKNOWN || peer->node_id == port->node_id) {
        return SF_BADARG;
    }
    if (!port->udp && port->peers.count == 1 &&
        dpdk__peer_of_node(&port->peers, peer->node_id) == NULL) {
        return SF_LIMIT;
    }
    if (port->udp && peer->ipv4 == 0) {
        return SF_BADARG;
    }
    memcpy(to.mac, peer->mac, sizeof(to.mac));
    format_udp_prepare(&item.to, &port->us, &to);
    return dpdk__peers_add(&port->peers, &item);
}

void dpdk__peer_remove(struct link *link, uint16_t node_id)
{
    dpdk__peers_remove(&((struct dpdk_port *)link->impl)->peers, node_id);
}

bool dpdk__is_up(struct link *link)
{
    struct dpdk_port *port = link->impl;

    if (port->closed) {
        return false;
    }
    if (rte_rdtsc() >= port->look_next) {
        port->look(port);
    }
    return port->up;
}

void dpdk__close(struct link *link)
{
    ((struct dpdk_port *)link->impl)->closed = true;
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
    free(port);
    link->impl = NULL;
}

void dpdk__query(const struct link *link, struct link_caps *out_caps)
{
    const struct dpdk_port *port = link->impl;

    *out_caps = (struct link_caps){
        .mtu_bytes = port->mtu_bytes,
        .burst_max = LINK_BURST_MAX,
        .many_peers = port->udp,
    };
    memcpy(out_caps->mac, port->us.mac, sizeof(out_caps->mac));
}

void dpdk__stats(const struct link *link, struct link_stats *out_stats)
{
    struct dpdk_port *port = link->impl;
    struct rte_eth_stats device;

    if (port->stats_read != NULL) {
        port->stats_read(port);
    } else if (port->running && rte_eth_stats_get(port->number, &device) == 0) {
        port->stats.rx_missed = device.imissed;
    }
    *out_stats = port->stats;
}
