/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

#include "port.h"
#include "testing.h"

_Static_assert(FORMAT_UDP_BYTES <= RTE_CACHE_LINE_SIZE, "headers fit in front of the payload");

/* What to do with a tail that stays in its own memory: DPDK reads it there. */
static void tail_nothing_to_free(void *bytes, void *arg)
{
    (void)bytes;
    (void)arg;
}

static struct rte_mbuf_ext_shared_info tail_info = {.free_cb = tail_nothing_to_free};

void dpdk__tails_init(struct dpdk_tail tails[], uint32_t count)
{
    memset(tails, 0, count * sizeof(tails[0]));
    for (uint32_t i = 0; i < count; i++) {
        tails[i].segment.ol_flags = RTE_MBUF_F_EXTERNAL;
        tails[i].segment.shinfo = &tail_info;
        tails[i].segment.nb_segs = 1;
    }
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
            .data = (uint8_t *)mbuf->buf_addr + DPDK_PAYLOAD_OFFSET,
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
 * Makes the tail the packet's second segment. Only for devices that copy a packet and free it
 * before their tx_burst returns (af_packet): their free takes one of the two references to
 * the segment, ours is left, and no pool ever sees it.
 */
static void tail_chain(struct dpdk_queue *queue, struct rte_mbuf *mbuf,
                       const struct link_frame *frame, uint16_t index)
{
    struct rte_mbuf *segment = &queue->tails[index].segment;

    segment->buf_addr = (void *)(uintptr_t)frame->tail;
    segment->buf_len = (uint16_t)frame->tail_length;
    segment->data_len = (uint16_t)frame->tail_length;
    segment->pkt_len = frame->tail_length;
    rte_mbuf_refcnt_set(segment, 2);
    mbuf->next = segment;
    mbuf->nb_segs = 2;
    mbuf->pkt_len += frame->tail_length;
}

static void tail_unchain(struct rte_mbuf *mbuf)
{
    mbuf->next = NULL;
    mbuf->nb_segs = 1;
}

static void tail_copy(struct rte_mbuf *mbuf, const struct link_frame *frame)
{
    uint8_t *end = frame->data + frame->length;

    assert(end + frame->tail_length <= (uint8_t *)mbuf->buf_addr + mbuf->buf_len);
    memcpy(end, frame->tail, frame->tail_length);
    mbuf->data_len = (uint16_t)(mbuf->data_len + frame->tail_length);
    mbuf->pkt_len = mbuf->data_len;
}

static void header_write(const struct dpdk_port *port, const struct dpdk_peer *peer,
                         const struct link_frame *frame, struct rte_mbuf *mbuf, uint8_t *packet)
{
    if (__atomic_load_n(&port->tx_unsummed, __ATOMIC_RELAXED)) {
        format_udp_write_unsummed(&peer->to, packet, frame->length + frame->tail_length);
        mbuf->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM;
        mbuf->l2_len = RTE_ETHER_HDR_LEN;
        mbuf->l3_len = sizeof(struct rte_ipv4_hdr);
    } else {
        format_udp_write(&peer->to, packet, frame->length, frame->tail, frame->tail_length);
    }
}

/*
 * Writes the header and sets the packet's bounds. False: to nobody we know. The payload is where
 * the frame says: a received frame that is sent on has it elsewhere than one from frame_alloc, with
 * just the room of the header it came with in front. index: of the packet in the burst.
 */
static bool frame_wrap(const struct dpdk_port *port, struct dpdk_queue *queue,
                       const struct link_frame *frame, uint16_t index)
{
    const struct dpdk_peer *peer = dpdk__peer_of_node(&port->peers, &queue->last, frame->peer);
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
    header_write(port, peer, frame, mbuf, packet);
    if (frame->tail_length != 0) {
        if (queue->tails != NULL) {
            tail_chain(queue, mbuf, frame, index);
        } else {
            tail_copy(mbuf, frame);
        }
    }
    return true;
}

static uint16_t packets_send(struct dpdk_port *port, const struct dpdk_queue *queue,
                             struct rte_mbuf *packets[], uint16_t count)
{
    if (__atomic_load_n(&port->tx_unsummed, __ATOMIC_RELAXED)) {
        /* For devices that want the packet or its descriptor changed first. */
        uint16_t good = rte_eth_tx_prepare(port->number, queue->index, packets, count);

        if (good < count) {
            /* It cannot do what it said it can: from now on we do. The caller comes again. */
            __atomic_store_n(&port->tx_unsummed, false, __ATOMIC_RELAXED);
        }
        count = good;
    }
    return rte_eth_tx_burst(port->number, queue->index, packets, count);
}

/* A burst under way. Frames to nobody are not in packets. */
struct burst {
    struct rte_mbuf *packets[LINK_BURST_MAX];
    uint16_t indexes[LINK_BURST_MAX]; /* of each packet's frame; rising */
};

/* Frames in front of the first packet the device did not take: sent, or dropped. */
static void burst_settle(struct dpdk_queue *queue, struct link_frame frames[], uint16_t taken,
                         const struct burst *burst, uint16_t sent)
{
    uint64_t bytes = 0;
    uint16_t next = 0;

    for (uint16_t i = 0; i < taken; i++) {
        if (likely(next < sent && burst->indexes[next] == i)) {
            bytes += (uint64_t)frames[i].length + frames[i].tail_length;
            next++;
        } else {
            rte_pktmbuf_free(frames[i].driver);
        }
        frames[i].driver = NULL;
        frames[i].data = NULL;
    }
    dpdk__stat_add(&queue->stats.tx_frames, sent);
    dpdk__stat_add(&queue->stats.tx_bytes, bytes);
    dpdk__stat_add(&queue->stats.tx_dropped, taken - sent);
}

/* As dpdk__tx_burst, of a queue that was entered. */
static uint16_t frames_send(struct dpdk_port *port, struct dpdk_queue *queue,
                            struct link_frame frames[], uint16_t count)
{
    struct burst burst;
    uint16_t sent = 0;
    uint16_t n = 0;
    uint16_t i;

    for (i = 0; i < count && likely(dpdk__frame_fits(port, &frames[i])); i++) {
        if (likely(port->up) && likely(frame_wrap(port, queue, &frames[i], n))) {
            burst.packets[n] = frames[i].driver;
            burst.indexes[n++] = i;
        }
    }
    if (n != 0) {
        sent = packets_send(port, queue, burst.packets, n);
    }
    if (unlikely(sent < n)) {
        i = burst.indexes[sent];
        for (uint16_t k = sent; k < n; k++) {
            tail_unchain(burst.packets[k]);
        }
    }
    burst_settle(queue, frames, i, &burst, sent);
    return i;
}

uint16_t dpdk__tx_burst(struct link *link, uint16_t queue, struct link_frame frames[],
                        uint16_t count)
{
    return dpdk__tx_by(link, queue, frames, count, frames_send);
}

/* Only a plain "good" counts: a device may also say nothing, bad, or that there was no checksum. */
static bool sum_is_known(const struct dpdk_port *port, const struct rte_mbuf *mbuf)
{
    return port->rx_summed &&
           (mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD;
}

/* False: not a frame to us from a peer we know. */
static bool frame_unwrap(const struct dpdk_port *port, struct dpdk_queue *queue,
                         struct rte_mbuf *mbuf, struct link_frame *frame)
{
    const uint8_t *packet = rte_pktmbuf_mtod(mbuf, const uint8_t *);
    const struct dpdk_peer *peer;
    uint32_t payload_bytes, ipv4;

    if (mbuf->nb_segs != 1 || !format_udp_read(packet, mbuf->data_len, &port->us,
                                               sum_is_known(port, mbuf), &ipv4, &payload_bytes)) {
        return false;
    }
    peer = dpdk__peer_of_ipv4(&port->peers, &queue->last, ipv4);
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

/* As dpdk__rx_burst, of a queue that was entered. */
static uint16_t frames_receive(struct dpdk_port *port, struct dpdk_queue *queue,
                               struct link_frame frames[], uint16_t count)
{
    struct rte_mbuf *packets[LINK_BURST_MAX];
    uint16_t packet_count = rte_eth_rx_burst(port->number, queue->index, packets, count);
    uint64_t bytes = 0;
    uint16_t got = 0;

    if (packet_count == 0) {
        return 0;
    }
    for (uint16_t i = 0; i < packet_count; i++) {
        if (likely(frame_unwrap(port, queue, packets[i], &frames[got]))) {
            bytes += frames[got].length;
            got++;
        } else {
            rte_pktmbuf_free(packets[i]);
        }
    }
    dpdk__stat_add(&queue->stats.rx_frames, got);
    dpdk__stat_add(&queue->stats.rx_bytes, bytes);
    dpdk__stat_add(&queue->stats.rx_rejected, packet_count - got);
    return got;
}

uint16_t dpdk__rx_burst(struct link *link, uint16_t queue, struct link_frame frames[],
                        uint16_t count)
{
    return dpdk__rx_by(link, queue, frames, count, frames_receive);
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
