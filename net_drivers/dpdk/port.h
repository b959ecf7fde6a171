/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port.h - a DPDK port as a link: what all drivers over DPDK share.
 *
 * Why: once a port runs, all move frames the same way; only how a port comes and goes, and what
 * stands in front of a payload, differ.
 *
 * Model: a frame is one packet buffer (mbuf) with room for the headers in front of the payload, so
 * nothing is copied here, but for tails if the device keeps packets. Ports whose frames are of one
 * size share a pool, which lives until DPDK stops: a frame may be given back after its link has
 * stopped. Queue i of a link is the port's receive queue i and its transmit queue i; what a burst
 * changes is in the queue, what several look at is in the port.
 *
 * Time: the processor's time stamp counter, for how often a link's control side is looked at.
 *
 * Threads: DPDK's control side, of all ports, is one thread at a time: dpdk__control_lock. A look,
 * which any burst may make, takes it only if it is free. What a burst relies on (the carrier,
 * peers, a ring's memory) changes only while all queues of the port are held, and a burst that
 * finds its queue held answers 0; so a burst never waits. A port that is not shared has one thread
 * and no such holding. Order: the control lock, then queues. Pools may be used by any thread (DPDK
 * keeps a cache for those that said link_dpdk_thread_begin).
 */
#ifndef DPDK_PORT_H
#define DPDK_PORT_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "format.h"
#include "intr.h"
#include "link/link.h"
#include "memif_ring.h"
#include "peers.h"

#define DPDK_NAME_BYTES_MAX 32u

struct rte_eth_conf;

/* Payload of a frame to send: on a cache line, with room in front for headers and for what a
 * device puts in front of those (virtio: 12 bytes). */
#define DPDK_PAYLOAD_OFFSET (RTE_PKTMBUF_HEADROOM + RTE_CACHE_LINE_SIZE)

/* A packet's second segment while its burst is under way. */
struct dpdk_tail {
    struct rte_mbuf segment;
};

/* One thread's, or whose who holds it. */
struct dpdk_queue {
    uint32_t held; /* shared: by a burst, or by the control side; atomic */
    uint16_t index;
    uint32_t tx_calls, rx_calls; /* of tx_burst, rx_burst */
    struct dpdk_peer_last last;
    struct link_stats stats; /* tx_, rx_frames, _bytes, _rejected; written here, read anywhere */
    struct dpdk_tail
        *tails; /* LINK_BURST_MAX; NULL: the device keeps packets, so tails are copied */
    struct rte_intr_handle *rx_interrupt, *tx_interrupt; /* memif: of the queue each way */
    struct ring_end out, in;                             /* memif: while the link is up */
    /* memif: slots received last that the sender does not get yet, and how many frames with tails
     * there are not back; atomic, written by whoever gives them back. */
    uint32_t lent, tails_out;
    int socket_fd;      /* af_packet: DPDK's packet socket; -1: none */
    uint64_t tx_kicked; /* af_packet: tx_frames when the kernel was last asked to send */
} __attribute__((aligned(RTE_CACHE_LINE_SIZE)));

struct dpdk_port {
    /* what every burst looks at */
    uint64_t look_next; /* time stamp; atomic */
    void (*look)(struct dpdk_port *port);
    struct dpdk_queue *queues; /* queue_count */
    uint16_t queue_count;
    bool shared;
    uint16_t number; /* DPDK's port number */
    uint16_t node_id;
    bool running; /* its queues may be used */
    bool up;      /* carrier, as of the last look */
    bool closed;
    bool rx_tails;
    bool udp;         /* format: udp, or point */
    bool tx_unsummed; /* the device makes UDP checksums */
    bool rx_summed;   /* the device checks them, and says of each packet whether it did */
    uint32_t header_bytes, mtu_bytes;
    struct dpdk_peers peers;
    struct link_stats stats; /* up_, down_events, rx_missed */
    struct rte_mempool *pool;
    struct dpdk_tail *tails; /* of all queues */
    struct format_node us;
    uint32_t holds; /* of all queues, by the control side */

    const char *driver;               /* its name, for texts */
    char device[DPDK_NAME_BYTES_MAX]; /* DPDK's name of it; "" before there is one */
    char text[640];
    bool server;
    uint64_t retry_next;                        /* time stamp */
    uint64_t look_ticks;                        /* from look to look */
    void (*stats_read)(struct dpdk_port *port); /* fills stats.rx_missed; NULL: DPDK knows */
    /* memif */
    struct dpdk_intr_set intr;
    uint32_t ring_frames;
    uint64_t rings_of; /* intr.shared_count of the memory that the ends are in */
    const char *about; /* why it does not come up; NULL, "": nothing to say */
    /* af_packet */
    int control_fd; /* ours, to ask the kernel, and to hold the UDP port; -1: none */
    int interface_index;
    char interface[16];
};

/* --- port.c
 * -------------------------------------------------------------------------------------*/

/* Makes the port object of a link: config's node, queues, peers. Fini copes with a failure. */
SF_MUST_CHECK sf_status dpdk__port_create(struct link *link, const struct link_config *config,
                                          const char *driver, const char **out_text);
/* Gives the port its pool, one that is there if it has that many frames; packet_bytes: of the
 * largest packet. */
SF_MUST_CHECK sf_status dpdk__port_pool(struct dpdk_port *port, uint32_t frames,
                                        uint32_t packet_bytes);
/* Configures queue_count queues each way. IO: port->text says what DPDK said. */
SF_MUST_CHECK sf_status dpdk__port_configure(struct dpdk_port *port,
                                             const struct rte_eth_conf *conf, uint16_t rx_frames,
                                             uint16_t tx_frames);
/* Fill port->text with the driver's name and what, and answer st. */
sf_status dpdk__port_refuse(struct dpdk_port *port, sf_status st, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* As refuse, and what DPDK said. Wants a log catch to be running; ends it. */
sf_status dpdk__port_fail(struct dpdk_port *port, sf_status st, const char *what);
uint64_t dpdk__ticks(uint64_t microseconds);
/* All ports' control side is the caller's from here; not from within it. */
void dpdk__control_lock(void);
void dpdk__control_unlock(void);
/* No burst is under way on any queue, nor begins; counted. With the control lock. */
void dpdk__queues_hold(struct dpdk_port *port);
void dpdk__queues_release(struct dpdk_port *port);
/* The carrier as just seen; a change is counted. With the control lock, as all looks. */
void dpdk__port_carrier(struct dpdk_port *port, bool up);
/* For devices that copy a packet and free it before their tx_burst returns. */
SF_MUST_CHECK sf_status dpdk__port_tails(struct dpdk_port *port);

/* --- data.c
 * -------------------------------------------------------------------------------------*/

void dpdk__tails_init(struct dpdk_tail tails[], uint32_t count);

/* --- the ops all drivers share
 * -------------------------------------------------------------------------------------*/

sf_status dpdk__peer_add(struct link *link, const struct link_peer *peer);
void dpdk__peer_remove(struct link *link, uint16_t node_id);
bool dpdk__is_up(struct link *link);
/* Looks at the control side, unless somebody does. */
void dpdk__look_try(struct dpdk_port *port);
void dpdk__close(struct link *link);
void dpdk__fini(struct link *link);
void dpdk__query(const struct link *link, struct link_caps *out_caps);
void dpdk__stats(const struct link *link, struct link_stats *out_stats);
uint16_t dpdk__frame_alloc(struct link *link, struct link_frame frames[], uint16_t count);
void dpdk__frame_free(struct link *link, struct link_frame frames[], uint16_t count);
uint16_t dpdk__tx_burst(struct link *link, uint16_t queue, struct link_frame frames[],
                        uint16_t count);
uint16_t dpdk__rx_burst(struct link *link, uint16_t queue, struct link_frame frames[],
                        uint16_t count);

/* For a burst, or what else its thread does with a queue. False: the control side holds it. */
static inline bool dpdk__queue_enter(const struct dpdk_port *port, struct dpdk_queue *queue)
{
    return likely(!port->shared) || __atomic_exchange_n(&queue->held, 1, __ATOMIC_ACQUIRE) == 0;
}

/* The data path's time to look at the control side. */
static inline void dpdk__look_if_due(struct dpdk_port *port)
{
    if (unlikely(rte_rdtsc() >= __atomic_load_n(&port->look_next, __ATOMIC_RELAXED))) {
        dpdk__look_try(port);
    }
}

static inline bool dpdk__frame_fits(const struct dpdk_port *port, const struct link_frame *frame)
{
    return frame->length <= frame->capacity && frame->length <= port->mtu_bytes &&
           frame->tail_length <= port->mtu_bytes - frame->length;
}

/* Written by whoever has the queue, read by anybody. */
static inline void dpdk__stat_add(uint64_t *stat, uint64_t count)
{
    __atomic_store_n(stat, *stat + count, __ATOMIC_RELAXED);
}

static inline void dpdk__queue_leave(const struct dpdk_port *port, struct dpdk_queue *queue)
{
    if (unlikely(port->shared)) {
        __atomic_store_n(&queue->held, 0, __ATOMIC_RELEASE);
    }
}

/* As a burst, of a queue that was entered. */
typedef uint16_t dpdk_burst(struct dpdk_port *port, struct dpdk_queue *queue,
                            struct link_frame frames[], uint16_t count);

#define DPDK_TX_CALLS_A_LOOK 16u
#define DPDK_RX_CALLS_A_LOOK 4u

/* What all bursts have around them; inlined with the one they are of. */
static inline __attribute__((always_inline)) uint16_t dpdk__tx_by(struct link *link, uint16_t queue,
                                                                  struct link_frame frames[],
                                                                  uint16_t count, dpdk_burst *send)
{
    struct dpdk_port *port = link->impl;
    struct dpdk_queue *q = &port->queues[queue];
    uint16_t taken = 0;

    assert(queue < port->queue_count);
    assert(count <= LINK_BURST_MAX);
    /* Reading the time stamp is a good part of what we add to a frame. Whoever sends also receives,
     * and looks then. */
    if (unlikely(++q->tx_calls % DPDK_TX_CALLS_A_LOOK == 0)) {
        dpdk__look_if_due(port);
    }
    if (likely(dpdk__queue_enter(port, q))) {
        if (likely(!port->closed)) {
            taken = send(port, q, frames, count);
        }
        dpdk__queue_leave(port, q);
    }
    return taken;
}

static inline __attribute__((always_inline)) uint16_t dpdk__rx_by(struct link *link, uint16_t queue,
                                                                  struct link_frame frames[],
                                                                  uint16_t count,
                                                                  dpdk_burst *receive)
{
    struct dpdk_port *port = link->impl;
    struct dpdk_queue *q = &port->queues[queue];
    uint16_t got = 0;

    assert(queue < port->queue_count);
    assert(count <= LINK_BURST_MAX);
    if (unlikely(!port->running || ++q->rx_calls % DPDK_RX_CALLS_A_LOOK == 0)) {
        dpdk__look_if_due(port);
    }
    if (likely(dpdk__queue_enter(port, q))) {
        if (likely(port->running && !port->closed)) {
            got = receive(port, q, frames, count);
        }
        dpdk__queue_leave(port, q);
    }
    return got;
}

#endif
