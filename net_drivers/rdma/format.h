/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format.h - what two ends tell each other of their queue pairs: the bytes of a link_endpoint.
 *
 * Model: a queue pair has a token, random and never 0, and is joined with one other at most, its
 * mate, in its whole life. Whoever finds that its peer has a new token makes a queue pair anew.
 *
 * Bytes, little-endian: u16 magic, u8 version, u8 path MTU (enum ibv_mtu), u16 LID, u8 flags
 * (1: reached by GID, 2: joined by rdma_cm), u8 0, u32 queue pair number, u32 first PSN, u32
 * largest frame in bytes, u64 token, u64 mate's token (0: none yet), 16 bytes GID, u32 key to read
 * memory by (0: none), u32 IPv4 address and u16 port that rdma_cm listens on (0 without it). 62 in
 * all.
 *
 * Joined by rdma_cm, the end whose address and port are the lower number asks, and says with it, as
 * private data: u32 magic, u64 its token, u64 the token of the queue pair that it means. 20 bytes;
 * what comes behind them is padding.
 *
 * Untrusted: it has come over the control network. Pure, no state.
 */
#ifndef NET_DRIVERS_RDMA_FORMAT_H
#define NET_DRIVERS_RDMA_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "link/link.h"

#define RDMA_ENDPOINT_BYTES 62u
#define RDMA_ASKING_BYTES 20u

struct rdma_endpoint {
    uint64_t token, mate;
    uint32_t qp_number, psn; /* 24 bits each */
    uint32_t frame_bytes_max;
    uint32_t read_key; /* of the window to read by; 0: nothing can be read, or not yet */
    uint16_t lid;
    uint8_t path_mtu; /* enum ibv_mtu */
    bool by_gid, by_cm;
    uint8_t gid[16];
    uint32_t cm_ipv4; /* host byte order */
    uint16_t cm_port;
};

/* Who asks to be joined with whom. */
struct rdma_asking {
    uint64_t token, mate;
};

void rdma__endpoint_encode(const struct rdma_endpoint *endpoint, struct link_endpoint *out_bytes);
/* FORMAT: too short, too long, of another kind or version, or a value out of its range. */
SF_MUST_CHECK sf_status rdma__endpoint_decode(const struct link_endpoint *bytes,
                                              struct rdma_endpoint *out_endpoint);
void rdma__asking_encode(const struct rdma_asking *asking, uint8_t out_bytes[RDMA_ASKING_BYTES]);
/* FORMAT: too short, not ours, or a token is 0. */
SF_MUST_CHECK sf_status rdma__asking_decode(const void *bytes, size_t length,
                                            struct rdma_asking *out_asking);

#endif
