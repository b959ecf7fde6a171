/* SPDX-License-Identifier: Apache-2.0 */
#include "udp_garbage.h"

#include <string.h>

#include "../conformance.h"
#include "format.h"
#include "testing.h"

#define A LINK_CONFORMANCE_NODE_A
#define B LINK_CONFORMANCE_NODE_B
#define PAYLOAD_BYTES 5u
#define PACKET_BYTES (FORMAT_UDP_BYTES + PAYLOAD_BYTES)

/* Written as in RFC 1071, apart from format.c's: a mistake there must not hide here. */
static uint16_t checksum(const uint8_t *bytes, uint32_t count, uint32_t sum)
{
    for (uint32_t i = 0; i < count; i++) {
        sum += i % 2 == 0 ? (uint32_t)bytes[i] << 8 : bytes[i];
    }
    while (sum >> 16 != 0) {
        sum = (sum & 0xffffu) + (sum >> 16);
    }
    return (uint16_t)~sum;
}

static void put_checksum(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* So that each kind of garbage is wrong in one field only. */
static void checksums_mend(uint8_t *packet)
{
    uint32_t udp_bytes = PACKET_BYTES - 34;
    uint32_t pseudo = 17 + udp_bytes;

    for (int i = 26; i < 34; i += 2) {
        pseudo += (uint32_t)packet[i] << 8 | packet[i + 1];
    }
    put_checksum(packet + 24, 0);
    put_checksum(packet + 24, checksum(packet + 14, 20, 0));
    put_checksum(packet + 40, 0);
    put_checksum(packet + 40, checksum(packet + 34, udp_bytes, pseudo));
}

/* EARLY: stopped by the kernel or the filter. A first fragment the kernel keeps, until the next
 * kind, the second one, makes a whole packet with it. */
enum { MEND = 1, EARLY = 2 };
static const struct {
    const char *what;
    uint32_t offset;
    uint8_t value;
    uint8_t flags;
    uint32_t packet_bytes;
} bad[] = {
    {"one byte", 0, 2, EARLY, 1},
    {"cut in the UDP header", 0, 2, 0, 41},
    {"cut in the payload", 0, 2, 0, PACKET_BYTES - 1},
    {"to another station", 5, 9, MEND, PACKET_BYTES},
    {"to all stations", 0, 0xff, MEND, PACKET_BYTES},
    {"IPv6", 12, 0x86, MEND | EARLY, PACKET_BYTES},
    {"IP version", 14, 0x65, MEND, PACKET_BYTES},
    {"IP options", 14, 0x46, MEND, PACKET_BYTES},
    {"IP length too large", 17, PACKET_BYTES - 14 + 1, MEND, PACKET_BYTES},
    {"IP length too small", 17, 27, MEND, PACKET_BYTES},
    {"IP length unlike UDP length", 17, PACKET_BYTES - 14 - 1, MEND, PACKET_BYTES},
    {"more fragments", 20, 0x20, MEND | EARLY, PACKET_BYTES},
    {"fragment offset", 21, 1, MEND, PACKET_BYTES},
    {"TTL 0", 22, 0, MEND, PACKET_BYTES},
    {"TCP", 23, 6, MEND | EARLY, PACKET_BYTES},
    {"IP checksum", 24, 0x13, 0, PACKET_BYTES},
    {"from an unknown address", 29, 77, MEND, PACKET_BYTES},
    {"to another address", 33, 77, MEND, PACKET_BYTES},
    {"from another port", 35, 1, MEND, PACKET_BYTES},
    {"to another port", 37, 1, MEND | EARLY, PACKET_BYTES},
    {"UDP length too large", 39, 8 + PAYLOAD_BYTES + 1, MEND, PACKET_BYTES},
    {"UDP length too small", 39, 7, MEND, PACKET_BYTES},
    {"UDP checksum", 40, 0x13, 0, PACKET_BYTES},
    {"damaged payload", 44, 0x55, 0, PACKET_BYTES},
};
_Static_assert(sizeof(bad) / sizeof(bad[0]) == UDP_GARBAGE_KINDS, "counted");

bool udp_garbage_filtered(uint32_t kind)
{
    return (bad[kind].flags & EARLY) != 0;
}

bool udp_garbage(struct link *link, uint32_t kind)
{
    struct link_peer peer_a = link_conformance_address(A);
    struct link_peer peer_b = link_conformance_address(B);
    struct format_node a = {.ipv4 = peer_a.ipv4};
    struct format_node b = {.ipv4 = peer_b.ipv4};
    struct format_udp to;
    uint8_t packet[PACKET_BYTES] = {0};

    memcpy(a.mac, peer_a.mac, 6);
    memcpy(b.mac, peer_b.mac, 6);
    memcpy(packet + FORMAT_UDP_BYTES, "hello", PAYLOAD_BYTES);
    format_udp_prepare(&to, &a, &b);
    format_udp_write(&to, packet, PAYLOAD_BYTES, NULL, 0);
    packet[bad[kind].offset] = bad[kind].value;
    if (bad[kind].flags & MEND) {
        checksums_mend(packet);
    }
    return dpdk__inject(link, packet, bad[kind].packet_bytes);
}
