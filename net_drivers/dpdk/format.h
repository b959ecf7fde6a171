/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format.h - what stands in front of a frame's payload on the wire.
 *
 * Two formats, all fields big-endian:
 *   udp    Ethernet, IPv4 without options, UDP port 7701 to 7701: 42 bytes. It routes. Don't
 *          fragment, TTL 64, both checksums.
 *   point  magic 0x5346, source node, destination node, payload bytes: 8 bytes, for links that
 *          have exactly two ends and no damage (shared memory).
 *
 * Model: pure functions on bytes; nothing is kept. Reading trusts nothing: a packet is ours only
 * if every field has the one value our writer gives it (TTL apart: routers lower it; bytes after
 * the IPv4 packet are Ethernet's padding).
 * Threads: any. Limits: payload at most FORMAT_UDP_PAYLOAD_MAX or FORMAT_POINT_PAYLOAD_MAX.
 */
#ifndef DPDK_FORMAT_H
#define DPDK_FORMAT_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define FORMAT_UDP_BYTES 42u
#define FORMAT_UDP_PORT 7701u
#define FORMAT_UDP_PAYLOAD_MAX (65535u - 28u)
#define FORMAT_POINT_BYTES 8u
#define FORMAT_POINT_PAYLOAD_MAX 65535u

struct format_node {
    uint8_t mac[6];
    uint32_t ipv4; /* host byte order */
};

/* All of a packet to one peer but lengths, payload and checksums; made once a peer. */
struct format_udp {
    uint8_t bytes[FORMAT_UDP_BYTES];
    uint32_t ip_sum, udp_sum; /* of the constant parts */
    uint32_t pseudo_sum;      /* of addresses and protocol */
};

void format_udp_prepare(struct format_udp *to, const struct format_node *us,
                        const struct format_node *peer);
/*
 * Writes the header in front of the payload, whose first part is at packet + FORMAT_UDP_BYTES; the
 * tail follows it on the wire and is somewhere else (NULL, 0: nothing follows).
 */
void format_udp_write(const struct format_udp *to, uint8_t *packet, uint32_t payload_bytes,
                      const uint8_t *tail, uint32_t tail_bytes);
/* As write, for a device that adds payload and header up itself: the checksum field has the sum of
 * the pseudo header. payload_bytes: all of it. */
void format_udp_write_unsummed(const struct format_udp *to, uint8_t *packet,
                               uint32_t payload_bytes);
/* False: not a packet of ours to us. Payload starts at packet + FORMAT_UDP_BYTES. summed: somebody
 * we trust has found the UDP checksum right. */
bool format_udp_read(const uint8_t *packet, uint32_t packet_bytes, const struct format_node *us,
                     bool summed, uint32_t *out_source_ipv4, uint32_t *out_payload_bytes);

#define FORMAT_POINT_MAGIC 0x5346u

/* One store, one load: these are in the way of every frame. */
static inline uint64_t format_point(uint16_t source, uint16_t destination, uint32_t payload_bytes)
{
    assert(payload_bytes <= FORMAT_POINT_PAYLOAD_MAX);
    return __builtin_bswap64((uint64_t)FORMAT_POINT_MAGIC << 48 | (uint64_t)source << 32 |
                             (uint64_t)destination << 16 | payload_bytes);
}

static inline void format_point_write(uint8_t *packet, uint16_t source, uint16_t destination,
                                      uint32_t payload_bytes)
{
    uint64_t fields = format_point(source, destination, payload_bytes);

    memcpy(packet, &fields, sizeof(fields));
}

static inline bool format_point_read(const uint8_t *packet, uint32_t packet_bytes, uint16_t us,
                                     uint16_t *out_source, uint32_t *out_payload_bytes)
{
    uint64_t fields;

    if (packet_bytes < FORMAT_POINT_BYTES) {
        return false;
    }
    memcpy(&fields, packet, sizeof(fields));
    fields = __builtin_bswap64(fields);
    if (fields >> 48 != FORMAT_POINT_MAGIC || (uint16_t)(fields >> 16) != us ||
        (uint16_t)fields != packet_bytes - FORMAT_POINT_BYTES) {
        return false;
    }
    *out_source = (uint16_t)(fields >> 32);
    *out_payload_bytes = packet_bytes - FORMAT_POINT_BYTES;
    return true;
}

#endif
