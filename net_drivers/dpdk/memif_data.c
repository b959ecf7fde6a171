/* SPDX-License-Identifier: Apache-2.0 */
/* rte_intr_fd_get is new in this version of DPDK. */
#define ALLOW_EXPERIMENTAL_API
/*
 * memif_data.c - memif's bursts: frames between packet buffers of ours and the rings of
 * memif_ring.h. What is received is copied out before anything looks at it; the end of a long frame
 * may stay where it lies (link_frame.tail).
 */
#include <assert.h>
#include <string.h>
#include <unistd.h>

#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include "memif.h"
#include "testing.h"

/* A receiver on another processor begins with the first of a burst while we write the others. */
#define FRAMES_AN_ADVANCE 8u
/* Of a frame that is to continue in a tail, this much comes before it: more than the headers of a
 * block's bytes. A shorter frame is copied whole. */
#define HEAD_BYTES (FORMAT_POINT_BYTES + 120u)
#define TAILED_BYTES_MIN 2048u

_Static_assert(DPDK_PAYLOAD_OFFSET >= FORMAT_POINT_BYTES, "the header fits in front");

/* The eventfd of a receiver that sleeps. */
static void bell_ring(const struct dpdk_queue *queue)
{
    const uint64_t one = 1;

    if (queue->tx_interrupt == NULL || !ring_asleep(&queue->out)) {
        return;
    }
    /* Full: it is readable already. */
    if (write(rte_intr_fd_get(queue->tx_interrupt), &one, sizeof(one)) < 0) {
        return;
    }
}

/* Of a frame that is given back or was sent. A received one that had a tail says on which queue. */
static void frame_end(struct dpdk_port *port, struct link_frame *frame)
{
    struct rte_mbuf *mbuf = frame->driver;

    if (mbuf->port != RTE_MBUF_PORT_INVALID) {
        (void)__atomic_sub_fetch(&port->queues[mbuf->port].tails_out, 1, __ATOMIC_RELEASE);
    }
    rte_pktmbuf_free(mbuf);
    frame->driver = NULL;
    frame->data = NULL;
}

void memif__frame_free(struct link *link, struct link_frame frames[], uint16_t count)
{
    for (uint16_t i = 0; i < count; i++) {
        frame_end(link->impl, &frames[i]);
    }
}

static void slot_fill(const struct dpdk_port *port, const struct ring_end *end, uint32_t ahead,
                      const struct link_frame *frame)
{
    uint32_t payload_bytes = frame->length + frame->tail_length;
    uint8_t *to = ring_buffer(end, ahead);

    format_point_write(to, port->node_id, frame->peer, payload_bytes);
    to += FORMAT_POINT_BYTES;
    memcpy(to, frame->data, frame->length);
    if (frame->tail_length != 0) {
        memcpy(to + frame->length, frame->tail, frame->tail_length);
    }
    ring_length_set(end, ahead, FORMAT_POINT_BYTES + payload_bytes);
}

/* As memif__tx_burst, of a queue that was entered. Frames to nobody, or while down, are dropped. */
static uint16_t frames_send(struct dpdk_port *port, struct dpdk_queue *queue,
                            struct link_frame frames[], uint16_t count)
{
    struct ring_end *end = &queue->out;
    uint32_t room = likely(port->up) ? ring_ready(end, count) : 0;
    uint32_t sent = 0, filled = 0;
    uint64_t bytes = 0;
    uint16_t i;

    for (i = 0; i < count && likely(dpdk__frame_fits(port, &frames[i])); i++) {
        if (likely(port->up) &&
            likely(dpdk__peer_of_node(&port->peers, &queue->last, frames[i].peer) != NULL)) {
            if (unlikely(sent == room)) {
                break;
            }
            slot_fill(port, end, filled++, &frames[i]);
            bytes += (uint64_t)frames[i].length + frames[i].tail_length;
            sent++;
        }
        if (filled == FRAMES_AN_ADVANCE) {
            ring_advance(end, filled);
            filled = 0;
        }
    }
    if (filled != 0) {
        ring_advance(end, filled);
    }
    if (sent != 0) {
        bell_ring(queue);
    }
    for (uint16_t k = 0; k < i; k++) {
        frame_end(port, &frames[k]);
    }
    dpdk__stat_add(&queue->stats.tx_frames, sent);
    dpdk__stat_add(&queue->stats.tx_bytes, bytes);
    dpdk__stat_add(&queue->stats.tx_dropped, i - sent);
    return i;
}

uint16_t memif__tx_burst(struct link *link, uint16_t queue, struct link_frame frames[],
                         uint16_t count)
{
    return dpdk__tx_by(link, queue, frames, count, frames_send);
}

/* Copies a slot, or its first part, into a packet buffer. False: what came is not a frame to us
 * from a peer we know. */
static bool slot_take(const struct dpdk_port *port, struct dpdk_queue *queue, uint32_t ahead,
                      struct rte_mbuf *mbuf, struct link_frame *frame)
{
    const struct ring_end *end = &queue->in;
    uint8_t *packet = (uint8_t *)mbuf->buf_addr + DPDK_PAYLOAD_OFFSET - FORMAT_POINT_BYTES;
    const uint8_t *slot = ring_buffer(end, ahead);
    uint32_t packet_bytes = ring_length(end, ahead);
    uint32_t tail_bytes =
        port->rx_tails && packet_bytes >= TAILED_BYTES_MIN ? packet_bytes - HEAD_BYTES : 0;
    const struct dpdk_peer *peer;
    uint32_t payload_bytes;
    uint16_t source;

    if (packet_bytes > FORMAT_POINT_BYTES + port->mtu_bytes) {
        return false;
    }
    memcpy(packet, slot, packet_bytes - tail_bytes);
    if (!format_point_read(packet, packet_bytes, port->node_id, &source, &payload_bytes)) {
        return false;
    }
    peer = dpdk__peer_of_node(&port->peers, &queue->last, source);
    if (peer == NULL) {
        return false;
    }
    *frame = (struct link_frame){
        .data = packet + FORMAT_POINT_BYTES,
        .length = payload_bytes - tail_bytes,
        .tail = slot + HEAD_BYTES,
        .tail_length = tail_bytes,
        .capacity = payload_bytes,
        .peer = peer->node_id,
        .driver = mbuf,
    };
    return true;
}

/* As memif__rx_burst, of a queue that was entered. */
static uint16_t frames_receive(struct dpdk_port *port, struct dpdk_queue *queue,
                               struct link_frame frames[], uint16_t count)
{
    struct ring_end *end = &queue->in;
    uint32_t ready, taken;
    uint32_t tails = 0;
    uint64_t bytes = 0;
    uint16_t got = 0;

    if (unlikely(!port->up || !memif__slots_return(queue))) {
        return 0;
    }
    ready = ring_ready(end, count);
    if (ready == 0) {
        return 0;
    }
    rte_prefetch0(ring_buffer(end, 0)); /* its place is known before its length is */
    rte_prefetch0(ring_buffer(end, 0) + RTE_CACHE_LINE_SIZE);
    for (taken = 0; taken < ready && taken < count; taken++) {
        struct rte_mbuf *mbuf = rte_pktmbuf_alloc(port->pool);

        if (unlikely(mbuf == NULL)) {
            break;
        }
        if (likely(slot_take(port, queue, taken, mbuf, &frames[got]))) {
            if (frames[got].tail_length != 0) {
                mbuf->port = queue->index;
                tails++;
            }
            bytes += (uint64_t)frames[got].length + frames[got].tail_length;
            got++;
        } else {
            rte_pktmbuf_free(mbuf);
        }
    }
    if (tails != 0) {
        __atomic_store_n(&queue->tails_out, tails, __ATOMIC_RELAXED);
        queue->lent = taken;
    } else {
        ring_advance(end, taken);
    }
    dpdk__stat_add(&queue->stats.rx_frames, got);
    dpdk__stat_add(&queue->stats.rx_bytes, bytes);
    dpdk__stat_add(&queue->stats.rx_rejected, taken - got);
    return got;
}

uint16_t memif__rx_burst(struct link *link, uint16_t queue, struct link_frame frames[],
                         uint16_t count)
{
    return dpdk__rx_by(link, queue, frames, count, frames_receive);
}

bool memif__inject(struct link *link, const void *bytes, uint32_t length, uint32_t other_length,
                   uint16_t flags)
{
    struct dpdk_port *port = link->impl;
    struct dpdk_queue *queue = &port->queues[0];

    if (!port->up || ring_ready(&queue->out, 1) == 0) {
        return false;
    }
    assert(length <= queue->out.slot_bytes);
    memcpy(ring_buffer(&queue->out, 0), bytes, length);
    ring_slot(&queue->out, 0)->length = other_length;
    ring_slot(&queue->out, 0)->flags = flags;
    ring_advance(&queue->out, 1);
    bell_ring(queue);
    return true;
}
