/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format.h - what two ends tell each other of their queue pairs: the bytes of a link_endpoint.
 *
 * Model: a queue pair has a token, random and never 0, and is joined with one other at most, its
 * mate, in its whole life. Whoever finds that its peer has a new token makes a queue pair anew.
 *
 * Bytes, little-endian: u16 magic, u8 version, u8 path MTU (enum ibv_mtu), u16 LID, u8 flags
 * (1: reached by GID), u8 0, u32 queue pair number, u32 first PSN, u32 largest frame in bytes,
 * u64 token, u64 mate's token (0: none yet), 16 bytes GID, u32 key to read memory by (0: none).
 * 56 in all.
 *
 * Untrusted: it has come over the control network. Pure, no state.
 */
#ifndef NET_DRIVERS_RDMA_FORMAT_H
#define NET_DRIVERS_RDMA_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "link/link.h"

#define RDMA_ENDPOINT_BYTES 56u

struct rdma_endpoint {
    uint64_t token, mate;
    uint32_t qp_number, psn; /* 24 bits each */
    uint32_t frame_bytes_max;
    uint32_t read_key; /* of the window to read by; 0: nothing can be read, or not yet */
    uint16_t lid;
    uint8_t path_mtu; /* enum ibv_mtu */
    bool by_gid;
    uint8_t gid[16];
};

void rdma__endpoint_encode(const struct rdma_endpoint *endpoint, struct link_endpoint *out_bytes);
/* FORMAT: too short, too long, of another kind or version, or a value out of its range. */
SF_MUST_CHECK sf_status rdma__endpoint_decode(const struct link_endpoint *bytes,
                                              struct rdma_endpoint *out_endpoint);

#endif
