/* SPDX-License-Identifier: Apache-2.0 */
#include "ether.h"

#include <string.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_ethdev.h>

#include "log.h"

static void ether_look(struct dpdk_port *port)
{
    struct rte_eth_link state = {0};

    __atomic_store_n(&port->look_next, rte_rdtsc() + port->look_ticks, __ATOMIC_RELAXED);
    dpdk__port_carrier(port, port->running && rte_eth_link_get_nowait(port->number, &state) == 0 &&
                                 state.link_status == RTE_ETH_LINK_UP);
}

sf_status ether_create(struct link *link, const struct link_config *config,
                       const struct ether_kind *kind, const char **out_text)
{
    sf_status st = dpdk__port_create(link, config, kind->driver, out_text);
    struct dpdk_port *port = link->impl;

    if (st != SF_OK) {
        return st;
    }
    if (config->device == NULL || config->device[0] == '\0') {
        return dpdk__port_refuse(port, SF_BADARG, "the device is %s", kind->device);
    }
    if (config->mtu_bytes != 0 &&
        (config->mtu_bytes < ETHER_MTU_BYTES_MIN || config->mtu_bytes > kind->mtu_bytes_max)) {
        return dpdk__port_refuse(port, SF_BADARG,
                                 "mtu is %u to %u (the network's less the IPv4 and UDP headers)",
                                 ETHER_MTU_BYTES_MIN, kind->mtu_bytes_max);
    }
    if (config->ipv4 == 0) {
        return dpdk__port_refuse(port, SF_BADARG, "an IPv4 address is needed");
    }
    port->udp = true;
    port->header_bytes = FORMAT_UDP_BYTES;
    port->mtu_bytes = config->mtu_bytes != 0 ? config->mtu_bytes : kind->mtu_bytes_default;
    port->look = ether_look;
    port->look_ticks = dpdk__ticks(kind->look_microseconds);
    return SF_OK;
}

/* Ours becomes the device's address, or the device's becomes ours. */
static sf_status mac_settle(struct dpdk_port *port)
{
    static const uint8_t none[6];
    struct rte_ether_addr mac;

    dpdk__log_catch();
    if (rte_eth_macaddr_get(port->number, &mac) != 0) {
        return dpdk__port_fail(port, SF_IO, "the device tells no address");
    }
    if (memcmp(port->us.mac, none, sizeof(none)) == 0) {
        memcpy(port->us.mac, mac.addr_bytes, sizeof(port->us.mac));
    } else if (memcmp(port->us.mac, mac.addr_bytes, sizeof(port->us.mac)) != 0) {
        memcpy(mac.addr_bytes, port->us.mac, sizeof(port->us.mac));
        if (rte_eth_dev_default_mac_addr_set(port->number, &mac) != 0) {
            return dpdk__port_fail(port, SF_IO, "the device takes no other address");
        }
    }
    (void)dpdk__log_caught();
    return SF_OK;
}

/* What a device can do, and what we want of it. */
static void abilities_take(struct dpdk_port *port, const struct rte_eth_dev_info *info,
                           struct rte_eth_conf *conf)
{
    const uint64_t rx_sums = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;

    conf->rxmode.mtu = port->mtu_bytes + ETHER_HEADERS_BYTES;
    if (conf->rxmode.mtu < ETHER_IP_BYTES_STANDARD) {
        conf->rxmode.mtu = ETHER_IP_BYTES_STANDARD;
    }
    if ((info->rx_offload_capa & rx_sums) == rx_sums) {
        conf->rxmode.offloads = rx_sums;
        port->rx_summed = true;
    }
    /* The IPv4 header's sum costs us less than telling the device to make it. */
    if ((info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_UDP_CKSUM) != 0) {
        conf->txmode.offloads = RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
        port->tx_unsummed = true;
    }
    /* With it DPDK never asks the device: an interrupt that does not come leaves the carrier down.
     * By line (INTx) none came from QEMU's e1000 behind its IOMMU. */
    conf->intr_conf.lsc =
        (*info->dev_flags & RTE_ETH_DEV_INTR_LSC) != 0 &&
        (strncmp(port->device, "net_", 4) == 0 || ether_pci_messages(port->device));
}

/* As many queues as wanted, if the device has them. */
static sf_status queues_settle(struct dpdk_port *port)
{
    struct rte_eth_dev_info info;
    uint16_t most;

    if (port->queue_count == 1) {
        return SF_OK;
    }
    dpdk__log_catch();
    if (rte_eth_dev_info_get(port->number, &info) != 0) {
        return dpdk__port_fail(port, SF_IO, "the device says nothing of itself");
    }
    (void)dpdk__log_caught();
    most = RTE_MIN(info.max_rx_queues, info.max_tx_queues);
    port->queue_count = RTE_MAX(RTE_MIN(port->queue_count, most), 1);
    return SF_OK;
}

/*
 * A device that spreads what comes by a hash of the addresses is told to; others have ways of their
 * own (the sockets of af_packet, a virtual machine's host), or use one queue for all.
 */
static void spread_take(const struct dpdk_port *port, const struct rte_eth_dev_info *info,
                        struct rte_eth_conf *conf)
{
    uint64_t hashes = RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_IPV4;

    hashes &= info->flow_type_rss_offloads;
    if (port->queue_count > 1 && hashes != 0) {
        conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf->rx_adv_conf.rss_conf.rss_hf = hashes;
    }
}

static sf_status port_configure(struct dpdk_port *port, const struct ether_start *how)
{
    uint16_t frames[2] = {how->ring_frames, how->ring_frames};
    struct rte_eth_conf conf = {0};
    struct rte_eth_dev_info info;

    if (!how->any_device && port->queue_count == 1) {
        return dpdk__port_configure(port, &conf, how->ring_frames, how->ring_frames);
    }
    dpdk__log_catch();
    if (rte_eth_dev_info_get(port->number, &info) != 0 ||
        rte_eth_dev_adjust_nb_rx_tx_desc(port->number, &frames[0], &frames[1]) != 0) {
        return dpdk__port_fail(port, SF_IO, "the device says nothing of itself");
    }
    (void)dpdk__log_caught();
    if (how->any_device) {
        abilities_take(port, &info, &conf);
    }
    spread_take(port, &info, &conf);
    return dpdk__port_configure(port, &conf, frames[0], frames[1]);
}

/* With fewer queues if there is no memory for all. */
static sf_status pool_settle(struct dpdk_port *port, const struct ether_start *how)
{
    sf_status st;

    for (;;) {
        uint32_t queues = how->kept ? port->queue_count : 1u;

        st = dpdk__port_pool(port, queues * (how->pool_frames + 1) - 1, how->pool_packet_bytes);
        if (st == SF_OK || queues == 1) {
            return st;
        }
        port->queue_count /= 2;
    }
}

sf_status ether_start(struct dpdk_port *port, const struct ether_start *how)
{
    sf_status st = queues_settle(port);

    if (st == SF_OK) {
        st = pool_settle(port, how);
    }
    if (st == SF_OK) {
        st = port_configure(port, how);
    }
    if (st == SF_OK) {
        st = mac_settle(port);
    }
    if (st != SF_OK) {
        return st;
    }
    dpdk__log_catch();
    if (rte_eth_dev_start(port->number) != 0) {
        return dpdk__port_fail(port, SF_IO, "the device did not start");
    }
    (void)dpdk__log_caught();
    port->running = true;
    return SF_OK;
}

void ether_remove(struct dpdk_port *port)
{
    struct rte_eth_dev_info info = {0};

    dpdk__port_carrier(port, false);
    if (port->device[0] == '\0') {
        return;
    }
    dpdk__log_catch();
    if (port->running) {
        (void)rte_eth_dev_stop(port->number);
    }
    (void)rte_eth_dev_info_get(port->number, &info);
    (void)rte_eth_dev_close(port->number);
    if (info.device != NULL) {
        (void)rte_dev_remove(info.device);
    }
    (void)dpdk__log_caught();
    port->running = false;
    for (uint16_t i = 0; i < port->queue_count; i++) {
        port->queues[i].socket_fd = -1;
    }
    port->device[0] = '\0';
}

void ether_stop(struct link *link)
{
    struct dpdk_port *port = link->impl;

    dpdk__control_lock();
    dpdk__queues_hold(port);
    ether_remove(port);
    dpdk__queues_release(port);
    dpdk__control_unlock();
}
