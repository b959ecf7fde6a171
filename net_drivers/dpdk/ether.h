/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ether.h - what the drivers of Ethernet ports share: the checks of a configuration, how a port
 * starts, its address, its carrier, its end.
 *
 * Model: a driver finds or makes its port and names it in port->device and port->number; all else
 * is here. Payload travels in UDP over IPv4 (format.h), so a link's MTU is the payload: the
 * port's IP packets are ETHER_HEADERS_BYTES larger.
 * Errors: every failure fills port->text with the driver's name, what failed and what to do.
 */
#ifndef DPDK_ETHER_H
#define DPDK_ETHER_H

#include "port.h"

#define ETHER_FRAME_BYTES 14u                                      /* without the checksum */
#define ETHER_HEADERS_BYTES (FORMAT_UDP_BYTES - ETHER_FRAME_BYTES) /* IPv4 and UDP */
#define ETHER_IP_BYTES_STANDARD 1500u
#define ETHER_MTU_BYTES_MIN 64u
/* Two sizes of packet buffers, which devices that take whole KiB like too. */
#define ETHER_PACKET_SMALL_BYTES 2048u
#define ETHER_PACKET_LARGE_BYTES 10240u

struct ether_kind {
    const char *driver; /* its name */
    const char *device; /* what a device string is, for the error */
    uint32_t mtu_bytes_max, mtu_bytes_default;
    uint32_t look_microseconds; /* how often the carrier is looked at */
};

struct ether_start {
    uint32_t pool_frames;       /* kept: for each queue */
    uint32_t pool_packet_bytes; /* largest packet a pool frame takes */
    uint16_t ring_frames;       /* of each queue */
    /* Of a device we know nothing of: its limits are asked for, the MTU is set, and what it can do
     * (checksums, interrupts for the carrier) is used. */
    bool any_device;
    bool kept; /* packets are in the device's rings, so each queue takes more of them */
};

/* Makes the port object of a link, the configuration checked. Fini copes with a failure. */
SF_MUST_CHECK sf_status ether_create(struct link *link, const struct link_config *config,
                                     const struct ether_kind *kind, const char **out_text);
/* Of a port that was found: pool, queues, address, start. */
SF_MUST_CHECK sf_status ether_start(struct dpdk_port *port, const struct ether_start *how);
/* Names the port of a PCI device. NOTFOUND, UNSUPPORTED: the text says what to bind or change. */
SF_MUST_CHECK sf_status ether_pci_find(struct dpdk_port *port, const char *address);
/* Whether a PCI device's interrupts reach DPDK as messages (MSI, MSI-X): it has them, and is bound
 * to vfio-pci, which passes them on. */
bool ether_pci_messages(const char *address);
/* Stops the port and gives the device up. Copes with a port that was not found or not started. */
void ether_remove(struct dpdk_port *port);
/* The op. */
void ether_stop(struct link *link);

#define ETHER_OPS(driver_name, open_function, wait_function)                                       \
    {                                                                                              \
        .name = (driver_name), .open = (open_function), .peer_add = dpdk__peer_add,                \
        .peer_remove = dpdk__peer_remove, .is_up = dpdk__is_up, .wait_fd = (wait_function),        \
        .close = dpdk__close, .stop = ether_stop, .fini = dpdk__fini, .query = dpdk__query,        \
        .stats = dpdk__stats, .frame_alloc = dpdk__frame_alloc, .frame_free = dpdk__frame_free,    \
        .tx_burst = dpdk__tx_burst, .rx_burst = dpdk__rx_burst,                                    \
    }

#endif
