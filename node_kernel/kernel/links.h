/* SPDX-License-Identifier: Apache-2.0 */
/*
 * links.h - the links for many peers that a node brings itself: how they are written, and what DPDK
 * has to be told of them.
 *
 *   DRIVER:DEVICE[,address=IPV4][,mtu=BYTES][,mac=MAC][,queues=N][,reads=BYTES][,cm=on|off]
 *                [,soft=rxe|siw]
 *
 * DRIVER: af_packet, virtio, dpdk, rdma. DEVICE: as the driver takes it
 * (net_drivers/dpdk/README.md, net_drivers/rdma/README.md); on a booted node also nic1, nic2, ... A
 * virtual device of dpdk may have arguments with commas; they end where the first of our keys
 * begins. memif is not among them: it joins two nodes, and fabricd has it made.
 *
 * Threads: pure. Errors: `text` says what is wrong, with which link, and what to write instead.
 * Untrusted: a booted node's links come over the network. Characters of a device are those that
 * cannot be misread in DPDK's arguments.
 */
#ifndef KERNEL_LINKS_H
#define KERNEL_LINKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "link/dpdk.h"

#define LINKS_MAX 8u
#define LINKS_READS_MIN 4096u
#define LINKS_DEVICE_BYTES_MAX 127u
#define LINKS_PCI_BYTES (LINKS_MAX * 16u) /* of all PCI addresses with spaces between */
#define LINKS_NIC "nic" /* booted: nic1, nic2, ... are the nics but the control network's */
#define LINKS_SYNTAX                                                                               \
    "DRIVER:DEVICE[,address=IPV4][,mtu=BYTES][,mac=MAC][,queues=N][,reads=BYTES]"                  \
    "[,cm=on|off][,soft=rxe|siw]"

struct node_link {
    char driver[16];
    char device[LINKS_DEVICE_BYTES_MAX + 1];
    uint8_t mac[6];     /* zeros: the device's */
    uint32_t ipv4;      /* host byte order; 0: not given */
    uint32_t mtu_bytes; /* payload of a frame; 0: the driver's default */
    uint16_t queues;    /* at most; 0: one a worker */
    uint32_t reads;     /* blocks from that size on are read (pump_link_reads); 0: none */
    bool cm, cm_given;  /* rdma: joined by rdma_cm */
    char soft[4];       /* rxe or siw: what a booted node makes of a nic; "": not given, rxe */
};

/* BADARG: not of that form, or a value that cannot be. */
SF_MUST_CHECK sf_status links_parse(const char *value, struct node_link *out_link, char *text,
                                    size_t text_capacity);
/* What no two links may share: device, address. BADARG. */
SF_MUST_CHECK sf_status links_check(const struct node_link links[], uint32_t count, char *text,
                                    size_t text_capacity);

/* 52:54:00:78:00:01, capitals too. False: not of that form, and nothing written. */
bool links_mac(const char *text, uint8_t out_mac[6]);

/* N of a device nicN, 1..LINKS_MAX; 0: it is none. */
uint32_t links_nic(const char *device);
/* Whether its device is a PCI address. */
bool links_is_pci(const struct node_link *link);
uint32_t links_pci_count(const struct node_link links[], uint32_t count);
/* Whether any of them is DPDK's. */
bool links_any_dpdk(const struct node_link links[], uint32_t count);
/* Fills in what the links need of DPDK; pci: room for what options->pci_allow points to. */
void links_dpdk(const struct node_link links[], uint32_t count, char pci[LINKS_PCI_BYTES],
                struct link_dpdk_options *options);

#endif
