/* SPDX-License-Identifier: Apache-2.0 */
/*
 * raw.h - one bare DPDK port, and the frames that link_raw sends through it.
 *
 * Why: what a node adds is the difference to a driver without any of our code around it. So this
 * uses EAL, ethdev and the driver (net_memif, net_af_packet), nothing of net_drivers/.
 *
 * Model: a process has one port and one pool. Every frame starts with a raw_header; what follows is
 * payload. Frames of another Ethernet type (a veth's kernel side may send some) are no frames of
 * ours. Threads: one. Errors: everything here ends the process with a sentence on stderr. Limits:
 * frames of RAW_FRAME_BYTES_MIN..MAX bytes; bursts of RAW_BURST.
 */
#ifndef BENCH_RAW_H
#define BENCH_RAW_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_byteorder.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#define RAW_BURST 32u
#define RAW_FRAME_BYTES_MIN 64u
#define RAW_FRAME_BYTES_MAX 9216u
#define RAW_BLOCK_BYTES_MAX (256u << 20)
#define RAW_ETHERTYPE 0x88b5 /* for local experiments */

enum raw_kind {
    RAW_ECHO = 1, /* send it back */
    RAW_DATA,     /* count it */
    RAW_COPY,     /* count it, and copy its payload to `offset` of the receiver's block */
    RAW_END,      /* answer with RAW_RESULT, whose payload is a raw_result */
    RAW_RESULT,
};

struct raw_header {
    struct rte_ether_hdr ether;
    uint8_t kind, zero;
    uint32_t offset; /* in the block */
    uint64_t number; /* ECHO: of the round trip; END, RESULT: of the measurement */
} __attribute__((packed, aligned(2)));
_Static_assert(sizeof(struct raw_header) == 28, "payload is what is left of a frame");

/* What the receiver saw between two ENDs. ticks: of its own clock, first to last frame. */
struct raw_result {
    uint64_t frames, payload_bytes, ticks, damaged;
};

struct raw_port {
    const char *driver; /* "memif" or "af_packet" */
    const char *device; /* memif: path of the socket; af_packet: name of the interface */
    bool server;
    int core;
    uint32_t frame_bytes; /* the largest frame, Ethernet header included */
    uint32_t ring_log2;   /* memif */
    uint16_t number;
    struct rte_mempool *pool;
};

/* Starts EAL on port->core and the port. The caller awaits the link. */
void raw_start(struct raw_port *port);
/*
 * Returns once the link is up. memif's client connects once, when its port starts: it has to come
 * after the server's port. Without a link for 3 s it gives up (a port that is started again
 * while a connection is half made has crashed the server); a server waits.
 */
void raw_link_await(const struct raw_port *port);
void raw_stop(const struct raw_port *port);

/* All of them, however often the driver has to be asked. */
void raw_send(const struct raw_port *port, struct rte_mbuf **frames, uint16_t count);
/* As many as there are, at most RAW_BURST; foreign frames are gone already. */
uint16_t raw_receive(const struct raw_port *port, struct rte_mbuf **frames);
/* `count` frames of `bytes` bytes with their header filled in. False: none are free just now. */
bool raw_frames(const struct raw_port *port, struct rte_mbuf **frames, uint16_t count,
                uint16_t bytes, enum raw_kind kind);

static inline struct raw_header *raw_header(struct rte_mbuf *frame)
{
    return rte_pktmbuf_mtod(frame, struct raw_header *);
}

__attribute__((noreturn, format(printf, 1, 2))) void raw_die(const char *format, ...);

#endif
