/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

#include "log.h"
#include "port.h"
#include "testing.h"

/* Payload of a frame to send: on a cache line, with room in front for headers and for what a
 * device puts in front of those (virtio: 12 bytes). */
#define PAYLOAD_OFFSET (RTE_PKTMBUF_HEADROOM + RTE_CACHE_LINE_SIZE)
_Static_assert(FORMAT_UDP_BYTES <= RTE_CACHE_LINE_SIZE, "headers fit in front of the payload");
#define POOL_CACHE 64u

uint64_t dpdk__ticks(uint64_t microseconds)
{
    return rte_get_tsc_hz() / 1000000u * microseconds;
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
    uint32_t room = PAYLOAD_OFFSET + RTE_ALIGN(packet_bytes, RTE_CACHE_LINE_SIZE);
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
    if (config->node_id == LINK_PEER_UNKNOWN) {
        return dpdk__port_refuse(port, SF_BADARG, "node id 0 is not a node");
    }
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

static void look_if_due(struct dpdk_port *port)
{
    if (rte_rdtsc() >= port->look_next) {
        port->look(port);
    }
}

bool dpdk__is_up(struct link *link)
{
    struct dpdk_port *port = link->impl;

    if (port->closed) {
        return false;
    }
    look_if_due(port);
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
}

void dpdk__stats(const struct link *link, struct link_stats *out_stats)
{
    *out_stats = ((const struct dpdk_port *)link->impl)->stats;
}

uint16_t dpdk__frame_alloc(struct link *link, struct link_frame frames[], uint16_t count)
{
    const struct dpdk_port *port = link->impl;
    uint16_t i;

    for (i = 0; i < count; i++) {
        struct rte_mbuf *mbuf = rte_pktmbuf_alloc(port->pool);

        if (mbuf == NULL) {
            break;
        }
        frames[i] = (struct link_frame){
            .data = (uint8_t *)mbuf->buf_addr + PAYLOAD_OFFSET,
            .capacity = port->mtu_bytes,
            .peer = LINK_PEER_UNKNOWN,
            .driver = mbuf,
        };
    }
    return i;
}

void dpdk__frame_free(struct link *link, struct link_frame frames[], uint16_t count)
{
    (void)link;
    for (uint16_t i = 0; i < count; i++) {
        rte_pktmbuf_free(frames[i].driver);
        frames[i].driver = NULL;
        frames[i].data = NULL;
    }
}

/*
 * Writes the header and sets the packet's bounds. False: to nobody we know. The payload is where
 * the frame says: a received frame that is sent on has it elsewhere than one from frame_alloc, with
 * just the room of the header it came with in front.
 */
static bool frame_wrap(const struct dpdk_port *port, const struct link_frame *frame)
{
    const struct dpdk_peer *peer = dpdk__peer_of_node(&port->peers, frame->peer);
    struct rte_mbuf *mbuf = frame->driver;
    uint8_t *packet;

    if (peer == NULL) {
        return false;
    }
    packet = frame->data - port->header_bytes;
    assert(packet >= (uint8_t *)mbuf->buf_addr + RTE_PKTMBUF_HEADROOM);
    assert(frame->data + frame->length <= (uint8_t *)mbuf->buf_addr + mbuf->buf_len);
    mbuf->data_off = (uint16_t)(packet - (uint8_t *)mbuf->buf_addr);
    mbuf->data_len = (uint16_t)(port->header_bytes + frame->length);
    mbuf->pkt_len = mbuf->data_len;
    mbuf->ol_flags = 0; /* what the device said of it when it came */
    if (port->tx_unsummed) {
        format_udp_write_unsummed(&peer->to, packet, frame->length);
        mbuf->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM;
        mbuf->l2_len = RTE_ETHER_HDR_LEN;
        mbuf->l3_len = sizeof(struct rte_ipv4_hdr);
    } else if (port->udp) {
        format_udp_write(&peer->to, packet, frame->length, NULL, 0);
    } else {
        format_point_write(packet, port->node_id, frame->peer, frame->length);
    }
    return true;
}

/* frames[index] goes nowhere: back to the pool, and counted. */
static void frame_drop(struct dpdk_port *port, struct link_frame *frame)
{
    rte_pktmbuf_free(frame->driver);
    port->stats.tx_dropped++;
}

static uint16_t packets_send(struct dpdk_port *port, struct rte_mbuf *packets[], uint16_t count)
{
    if (port->tx_unsummed) {
        /* For devices that want the packet or its descriptor changed first. */
        uint16_t good = rte_eth_tx_prepare(port->number, 0, packets, count);

        /* It cannot do what it said it can: from now on we do. The caller comes again. */
        port->tx_unsummed = good == count;
        count = good;
    }
    return rte_eth_tx_burst(port->number, 0, packets, count);
}

/*
 * Gives the packets of a burst to the device. Frames to nobody (not in packets) are dropped, but
 * only those in front of the first packet the device did not take: the rest stay the caller's.
 */
static uint16_t burst_finish(struct dpdk_port *port, struct link_frame frames[],
                             const uint16_t indexes[], struct rte_mbuf *packets[],
                             uint16_t packet_count, uint16_t count)
{
    uint16_t sent = packet_count != 0 ? packets_send(port, packets, packet_count) : 0;
    uint16_t taken = sent < packet_count ? indexes[sent] : count;
    uint16_t next = 0;

    for (uint16_t i = 0; i < taken; i++) {
        if (next < sent && indexes[next] == i) {
            port->stats.tx_frames++;
            port->stats.tx_bytes += frames[i].length;
            next++;
        } else {
            frame_drop(port, &frames[i]);
        }
        frames[i].driver = NULL;
        frames[i].data = NULL;
    }
    return taken;
}

uint16_t dpdk__tx_burst(struct link *link, struct link_frame frames[], uint16_t count)
{
    struct dpdk_port *port = link->impl;
    struct rte_mbuf *packets[LINK_BURST_MAX];
    uint16_t indexes[LINK_BURST_MAX];
    uint16_t packet_count = 0;
    uint16_t i;

    assert(count <= LINK_BURST_MAX);
    if (port->closed) {
        return 0;
    }
    look_if_due(port);
    for (i = 0; i < count && frames[i].length <= frames[i].capacity; i++) {
        if (port->up && frame_wrap(port, &frames[i])) {
            packets[packet_count] = frames[i].driver;
            indexes[packet_count++] = i;
        }
    }
    return burst_finish(port, frames, indexes, packets, packet_count, i);
}

/* Only a plain "good" counts: a device may also say nothing, bad, or that there was no checksum. */
static bool sum_is_known(const struct dpdk_port *port, const struct rte_mbuf *mbuf)
{
    return port->rx_summed &&
           (mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD;
}

/* False: not a frame to us from a peer we know. */
static bool frame_unwrap(const struct dpdk_port *port, struct rte_mbuf *mbuf,
                         struct link_frame *frame)
{
    const uint8_t *packet = rte_pktmbuf_mtod(mbuf, const uint8_t *);
    const struct dpdk_peer *peer;
    uint32_t payload_bytes, ipv4;
    uint16_t source;

    if (mbuf->nb_segs != 1) {
        return false;
    }
    if (port->udp) {
        if (!format_udp_read(packet, mbuf->data_len, &port->us, sum_is_known(port, mbuf), &ipv4,
                             &payload_bytes)) {
            return false;
        }
        peer = dpdk__peer_of_ipv4(&port->peers, ipv4);
    } else {
        if (!format_point_read(packet, mbuf->data_len, port->node_id, &source, &payload_bytes)) {
            return false;
        }
        peer = dpdk__peer_of_node(&port->peers, source);
    }
    if (peer == NULL || payload_bytes > port->mtu_bytes) {
        return false;
    }
    *frame = (struct link_frame){
        .data = rte_pktmbuf_mtod_offset(mbuf, uint8_t *, port->header_bytes),
        .length = payload_bytes,
        .capacity = payload_bytes,
        .peer = peer->node_id,
        .driver = mbuf,
    };
    return true;
}

uint16_t dpdk__rx_burst(struct link *link, struct link_frame frames[], uint16_t count)
{
    struct dpdk_port *port = link->impl;
    struct rte_mbuf *packets[LINK_BURST_MAX];
    uint16_t packet_count, got = 0;

    assert(count <= LINK_BURST_MAX);
    if (port->closed) {
        return 0;
    }
    look_if_due(port);
    if (!port->running) {
        return 0;
    }
    packet_count = rte_eth_rx_burst(port->number, 0, packets, count);
    for (uint16_t i = 0; i < packet_count; i++) {
        if (frame_unwrap(port, packets[i], &frames[got])) {
            port->stats.rx_frames++;
            port->stats.rx_bytes += frames[got].length;
            got++;
        } else {
            port->stats.rx_rejected++;
            rte_pktmbuf_free(packets[i]);
        }
    }
    return got;
}

bool dpdk__inject(struct link *link, const void *bytes, uint32_t length)
{
    struct dpdk_port *port = link->impl;
    struct rte_mbuf *mbuf = port->up ? rte_pktmbuf_alloc(port->pool) : NULL;

    if (mbuf == NULL) {
        return false;
    }
    assert(length <= rte_pktmbuf_tailroom(mbuf));
    memcpy(rte_pktmbuf_mtod(mbuf, uint8_t *), bytes, length);
    mbuf->data_len = (uint16_t)length;
    mbuf->pkt_len = length;
    if (rte_eth_tx_burst(port->number, 0, &mbuf, 1) != 1) {
        rte_pktmbuf_free(mbuf);
        return false;
    }
    return true;
}
