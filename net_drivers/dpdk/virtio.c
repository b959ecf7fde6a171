/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio.c - a virtio-net PCI device by DPDK's net_virtio.
 *
 * Model: PID 1 has bound the device to uio_pci_generic or vfio-pci before EAL starts, and EAL was
 * told its address (link_dpdk_options.pci_allow). The port is there then; opening the link
 * configures and starts it. Stopping resets the device and gives the port up, so that it does no
 * DMA any more; opening it again probes it again.
 */
#include <stdio.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_ethdev.h>

#include "log.h"
#include "port.h"

#define VIRTIO_IP_BYTES_MAX 1500u
#define VIRTIO_MTU_BYTES_MAX (VIRTIO_IP_BYTES_MAX - (FORMAT_UDP_BYTES - 14u))
#define VIRTIO_MTU_BYTES_MIN 64u
#define VIRTIO_RING_FRAMES 256u
#define VIRTIO_POOL_FRAMES 1023u
/* Reading the carrier is a device access: slow in a virtual machine. */
#define LOOK_MICROSECONDS 20000u

static void virtio_look(struct dpdk_port *port)
{
    struct rte_eth_link state = {0};

    port->look_next = rte_rdtsc() + dpdk__ticks(LOOK_MICROSECONDS);
    port->up = port->running && rte_eth_link_get_nowait(port->number, &state) == 0 &&
               state.link_status == RTE_ETH_LINK_UP;
}

static sf_status port_find(struct dpdk_port *port, const char *device)
{
    (void)snprintf(port->device, sizeof(port->device), "%s", device);
    dpdk__log_catch();
    if (rte_eth_dev_get_port_by_name(device, &port->number) != 0 &&
        (rte_eal_hotplug_add("pci", device, "") != 0 ||
         rte_eth_dev_get_port_by_name(device, &port->number) != 0)) {
        port->device[0] = '\0';
        return dpdk__port_fail(port, SF_NOTFOUND,
                               "virtio: no such port; is the device bound to uio_pci_generic or "
                               "vfio-pci, and was it the pci_allow of link_dpdk_start?");
    }
    (void)dpdk__log_caught();
    return SF_OK;
}

/* Ours becomes the device's address, or the device's becomes ours. */
static sf_status mac_settle(struct dpdk_port *port)
{
    static const uint8_t none[6];
    struct rte_ether_addr mac;

    dpdk__log_catch();
    if (rte_eth_macaddr_get(port->number, &mac) != 0) {
        return dpdk__port_fail(port, SF_IO, "virtio: the device tells no address");
    }
    if (memcmp(port->us.mac, none, sizeof(none)) == 0) {
        memcpy(port->us.mac, mac.addr_bytes, sizeof(port->us.mac));
    } else if (memcmp(port->us.mac, mac.addr_bytes, sizeof(port->us.mac)) != 0) {
        memcpy(mac.addr_bytes, port->us.mac, sizeof(port->us.mac));
        if (rte_eth_dev_default_mac_addr_set(port->number, &mac) != 0) {
            return dpdk__port_fail(port, SF_IO, "virtio: the device takes no other address");
        }
    }
    (void)dpdk__log_caught();
    return SF_OK;
}

static void port_remove(struct dpdk_port *port)
{
    struct rte_eth_dev_info info = {0};

    port->up = false;
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
    port->device[0] = '\0';
}

static sf_status port_open(struct dpdk_port *port, const struct link_config *config)
{
    sf_status st = port_find(port, config->device);

    if (st == SF_OK) {
        st = dpdk__port_configure(port, VIRTIO_RING_FRAMES);
    }
    if (st == SF_OK) {
        st = mac_settle(port);
    }
    if (st != SF_OK) {
        return st;
    }
    dpdk__log_catch();
    if (rte_eth_dev_start(port->number) != 0) {
        return dpdk__port_fail(port, SF_IO, "virtio: the device did not start");
    }
    (void)dpdk__log_caught();
    port->running = true;
    return SF_OK;
}

static sf_status virtio_open(struct link *link, const struct link_config *config,
                             const char **out_text)
{
    static const struct dpdk_pool_options pool = {
        .name = "link_virtio",
        .count = VIRTIO_POOL_FRAMES,
        .payload_bytes = VIRTIO_IP_BYTES_MAX + 14u,
    };
    struct dpdk_port *port;
    sf_status st;

    if (config->device == NULL || config->device[0] == '\0' ||
        strlen(config->device) >= DPDK_NAME_BYTES_MAX) {
        *out_text = "virtio: the device is a PCI address, e.g. 0000:00:03.0";
        return SF_BADARG;
    }
    if (config->mtu_bytes != 0 &&
        (config->mtu_bytes < VIRTIO_MTU_BYTES_MIN || config->mtu_bytes > VIRTIO_MTU_BYTES_MAX)) {
        *out_text = "virtio: mtu is 64 to 1472 (1500 less the IPv4 and UDP headers)";
        return SF_BADARG;
    }
    if (config->ipv4 == 0) {
        *out_text = "virtio: an IPv4 address is needed";
        return SF_BADARG;
    }
    st = dpdk__port_create(link, config, &pool, out_text);
    if (st != SF_OK) {
        return st;
    }
    port = link->impl;
    port->udp = true;
    port->header_bytes = FORMAT_UDP_BYTES;
    port->mtu_bytes = config->mtu_bytes != 0 ? config->mtu_bytes : VIRTIO_MTU_BYTES_MAX;
    port->look = virtio_look;
    st = port_open(port, config);
    if (st != SF_OK) {
        port_remove(port);
    }
    return st;
}

static void virtio_stop(struct link *link)
{
    port_remove(link->impl);
}

const struct link_ops link_virtio_ops = {
    .name = "virtio",
    .open = virtio_open,
    .peer_add = dpdk__peer_add,
    .peer_remove = dpdk__peer_remove,
    .is_up = dpdk__is_up,
    .close = dpdk__close,
    .stop = virtio_stop,
    .fini = dpdk__fini,
    .query = dpdk__query,
    .stats = dpdk__stats,
    .frame_alloc = dpdk__frame_alloc,
    .frame_free = dpdk__frame_free,
    .tx_burst = dpdk__tx_burst,
    .rx_burst = dpdk__rx_burst,
};
