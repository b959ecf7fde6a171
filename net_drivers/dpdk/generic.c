/* SPDX-License-Identifier: Apache-2.0 */
/*
 * generic.c - the driver "dpdk": any Ethernet port DPDK has a driver for in this build.
 *
 * Model: the device is a PCI address, whose driver DPDK finds by what the device is, or
 * "net_NAME...,ARGUMENTS", a virtual device that is made when the link is opened. What the port can
 * do is asked once, at open: checksums in the device, an interrupt when the carrier changes.
 *
 * How a PCI device is reached (uio_pci_generic, vfio-pci with or without an IOMMU) is EAL's matter;
 * ether_pci_check only says beforehand what cannot work.
 */
#include <stdio.h>
#include <string.h>

#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_ethdev.h>

#include "ether.h"
#include "log.h"

#define RING_FRAMES 512u
#define POOL_FRAMES 2047u

static const struct ether_kind generic = {
    .driver = "dpdk",
    .device = "a PCI address, e.g. 0000:00:03.0, or net_NAME0,ARGUMENTS",
    .mtu_bytes_max = ETHER_PACKET_LARGE_BYTES - ETHER_FRAME_BYTES - 4 - ETHER_HEADERS_BYTES,
    .mtu_bytes_default = ETHER_IP_BYTES_STANDARD - ETHER_HEADERS_BYTES,
    .look_microseconds = 5000,
};

/* "net_null0,copy=1" is the name net_null0 and what follows the comma. */
static sf_status virtual_make(struct dpdk_port *port, const char *device)
{
    size_t name_bytes = strcspn(device, ",");
    const char *arguments = device[name_bytes] != '\0' ? device + name_bytes + 1 : "";

    if (name_bytes >= sizeof(port->device)) {
        return dpdk__port_refuse(port, SF_BADARG, "the device is %s", generic.device);
    }
    memcpy(port->device, device, name_bytes);
    port->device[name_bytes] = '\0';
    dpdk__log_catch();
    if (rte_eth_dev_get_port_by_name(port->device, &port->number) == 0) {
        (void)dpdk__log_caught();
        port->device[0] = '\0';
        return dpdk__port_refuse(port, SF_EXISTS, "there is a device of that name already");
    }
    if (rte_vdev_init(port->device, arguments) != 0 ||
        rte_eth_dev_get_port_by_name(port->device, &port->number) != 0) {
        port->device[0] = '\0';
        return dpdk__port_fail(port, SF_IO,
                               "cannot make the virtual device; is its driver in this build "
                               "(net_drivers/dpdk/README.md)?");
    }
    (void)dpdk__log_caught();
    return SF_OK;
}

static sf_status generic_open_locked(struct link *link, const struct link_config *config,
                                     const char **out_text)
{
    struct ether_start start = {
        .pool_frames = POOL_FRAMES,
        .ring_frames = RING_FRAMES,
        .any_device = true,
        .kept = true,
    };
    sf_status st = ether_create(link, config, &generic, out_text);
    struct dpdk_port *port = link->impl;

    if (st != SF_OK) {
        return st;
    }
    start.pool_packet_bytes = port->mtu_bytes <= generic.mtu_bytes_default
                                  ? ETHER_PACKET_SMALL_BYTES
                                  : ETHER_PACKET_LARGE_BYTES;
    st = strncmp(config->device, "net_", 4) == 0 ? virtual_make(port, config->device)
                                                 : ether_pci_find(port, config->device);
    if (st == SF_OK) {
        st = ether_start(port, &start);
    }
    if (st != SF_OK) {
        ether_remove(port);
    }
    return st;
}

static sf_status generic_open(struct link *link, const struct link_config *config,
                              const char **out_text)
{
    sf_status st;

    dpdk__control_lock();
    st = generic_open_locked(link, config, out_text);
    dpdk__control_unlock();
    return st;
}

const struct link_ops link_dpdk_ops = ETHER_OPS("dpdk", generic_open, NULL);
