/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio.c - a virtio-net PCI device by DPDK's net_virtio.
 *
 * Model: PID 1 has bound the device to uio_pci_generic or vfio-pci before EAL starts, and EAL was
 * told its address (link_dpdk_options.pci_allow). The port is there then; opening the link
 * configures and starts it. Stopping resets the device and gives the port up, so that it does no
 * DMA any more; opening it again probes it again.
 */
#include "ether.h"

static const struct ether_kind virtio = {
    .driver = "virtio",
    .device = "a PCI address, e.g. 0000:00:03.0",
    .mtu_bytes_max = ETHER_IP_BYTES_STANDARD - ETHER_HEADERS_BYTES,
    .mtu_bytes_default = ETHER_IP_BYTES_STANDARD - ETHER_HEADERS_BYTES,
    .look_microseconds = 20000, /* a device access: slow in a virtual machine */
};

static const struct ether_start start = {
    .pool_frames = 1023,
    .pool_packet_bytes = ETHER_IP_BYTES_STANDARD + ETHER_FRAME_BYTES,
    .ring_frames = 256,
    .kept = true,
};

static sf_status virtio_open_locked(struct link *link, const struct link_config *config,
                                    const char **out_text)
{
    sf_status st = ether_create(link, config, &virtio, out_text);
    struct dpdk_port *port = link->impl;

    if (st == SF_OK) {
        st = ether_pci_find(port, config->device);
    }
    if (st == SF_OK) {
        st = ether_start(port, &start);
        if (st != SF_OK) {
            ether_remove(port);
        }
    }
    return st;
}

static sf_status virtio_open(struct link *link, const struct link_config *config,
                             const char **out_text)
{
    sf_status st;

    dpdk__control_lock();
    st = virtio_open_locked(link, config, out_text);
    dpdk__control_unlock();
    return st;
}

const struct link_ops link_virtio_ops = ETHER_OPS("virtio", virtio_open, NULL);
