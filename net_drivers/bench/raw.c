/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_bus_vdev.h>
#include <rte_eal.h>

#include "raw.h"

#define LINK_SECONDS_MAX 3u
#define POOL_FRAMES 4095u
#define RING_SLOTS 1024u     /* descriptors asked for; each driver takes what it likes */
#define AF_PACKET_SLOTS 512u /* frames in each of the kernel's two rings */
#define PAGE_BYTES 4096u

void raw_die(const char *format, ...)
{
    va_list arguments;

    (void)fprintf(stderr, "link_raw: ");
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fprintf(stderr, "\n");
    _exit(1);
}

static uint32_t power_of_two(uint32_t least)
{
    uint32_t power = 2048;

    while (power < least) {
        power *= 2;
    }
    return power;
}

/*
 * The kernel puts its own header of up to 128 bytes into a ring slot. net_af_packet's port does not
 * start unless a buffer is as large as a slot, nor with blocks smaller than a page.
 */
static uint32_t slot_bytes(const struct raw_port *port)
{
    return power_of_two(port->frame_bytes + 128);
}

static void eal_start(const struct raw_port *port)
{
    char core[16], prefix[32];
    char *arguments[] = {
        "link_raw", "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry", "--log-level=error",
        "-m",       "160",       "-l",          core,       prefix,
    };

    (void)snprintf(core, sizeof(core), "%d", port->core);
    (void)snprintf(prefix, sizeof(prefix), "--file-prefix=raw%d", (int)getpid());
    if (rte_eal_init((int)(sizeof(arguments) / sizeof(arguments[0])), arguments) < 0) {
        raw_die("DPDK does not start on core %d", port->core);
    }
}

static const char *vdev_arguments(const struct raw_port *port, char *text, size_t capacity)
{
    uint32_t slot = slot_bytes(port);

    if (strcmp(port->driver, "memif") == 0) {
        (void)snprintf(text, capacity, "role=%s,socket=%s,socket-abstract=no,bsize=%u,rsize=%u",
                       port->server ? "server" : "client", port->device,
                       (port->frame_bytes + 63) / 64 * 64, port->ring_log2);
        return "net_memif0";
    }
    (void)snprintf(text, capacity, "iface=%s,framesz=%u,blocksz=%u,framecnt=%u", port->device, slot,
                   slot < PAGE_BYTES ? PAGE_BYTES : slot, AF_PACKET_SLOTS);
    return "net_af_packet0";
}

void raw_start(struct raw_port *port)
{
    struct rte_eth_conf conf = {0};
    char arguments[256];
    const char *name;

    eal_start(port);
    name = vdev_arguments(port, arguments, sizeof(arguments));
    port->pool =
        rte_pktmbuf_pool_create("raw", POOL_FRAMES, 64, 0,
                                (uint16_t)(slot_bytes(port) + RTE_PKTMBUF_HEADROOM), SOCKET_ID_ANY);
    if (port->pool == NULL) {
        raw_die("no memory for the frames");
    }
    if (rte_vdev_init(name, arguments) != 0 ||
        rte_eth_dev_get_port_by_name(name, &port->number) != 0 ||
        rte_eth_dev_configure(port->number, 1, 1, &conf) != 0 ||
        rte_eth_rx_queue_setup(port->number, 0, RING_SLOTS, (unsigned)SOCKET_ID_ANY, NULL,
                               port->pool) != 0 ||
        rte_eth_tx_queue_setup(port->number, 0, RING_SLOTS, (unsigned)SOCKET_ID_ANY, NULL) != 0 ||
        rte_eth_dev_start(port->number) != 0) {
        raw_die("the %s's port does not start: %s,%s", port->server ? "server" : "client", name,
                arguments);
    }
}

static bool is_up(const struct raw_port *port)
{
    struct rte_eth_link state = {0};

    return rte_eth_link_get_nowait(port->number, &state) == 0 &&
           state.link_status == RTE_ETH_LINK_UP;
}

void raw_link_await(const struct raw_port *port)
{
    uint32_t waited_ms = 0;

    while (!is_up(port)) {
        if (!port->server && waited_ms > LINK_SECONDS_MAX * 1000) {
            raw_die("no link to the other process");
        }
        (void)usleep(1000);
        waited_ms++;
    }
}

void raw_stop(const struct raw_port *port)
{
    (void)rte_eth_dev_stop(port->number);
    (void)rte_eth_dev_close(port->number);
    (void)rte_eal_cleanup();
}

void raw_send(const struct raw_port *port, struct rte_mbuf **frames, uint16_t count)
{
    uint16_t sent = 0;

    while (sent < count) {
        sent += rte_eth_tx_burst(port->number, 0, frames + sent, (uint16_t)(count - sent));
    }
}

uint16_t raw_receive(const struct raw_port *port, struct rte_mbuf **frames)
{
    uint16_t found = rte_eth_rx_burst(port->number, 0, frames, RAW_BURST);
    uint16_t kept = 0;

    for (uint16_t i = 0; i < found; i++) {
        if (frames[i]->pkt_len >= sizeof(struct raw_header) &&
            raw_header(frames[i])->ether.ether_type == RTE_BE16(RAW_ETHERTYPE)) {
            frames[kept++] = frames[i];
        } else {
            rte_pktmbuf_free(frames[i]);
        }
    }
    return kept;
}

bool raw_frames(const struct raw_port *port, struct rte_mbuf **frames, uint16_t count,
                uint16_t bytes, enum raw_kind kind)
{
    if (rte_pktmbuf_alloc_bulk(port->pool, frames, count) != 0) {
        return false;
    }
    for (uint16_t i = 0; i < count; i++) {
        struct raw_header *header = (struct raw_header *)rte_pktmbuf_append(frames[i], bytes);

        /* Unicast to nobody: the receiving kernel throws it away at once, the driver sees it. */
        *header = (struct raw_header){
            .ether = {.dst_addr = {{2, 0, 0, 0, 0, 9}},
                      .src_addr = {{2, 0, 0, 0, 0, 8}},
                      .ether_type = RTE_BE16(RAW_ETHERTYPE)},
            .kind = (uint8_t)kind,
        };
    }
    return true;
}
