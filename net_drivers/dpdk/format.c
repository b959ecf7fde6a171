/* SPDX-License-Identifier: Apache-2.0 */
#include "format.h"

#include <assert.h>
#include <string.h>

#include "sum.h"

/* Offsets into a packet. */
enum {
    ETH_DESTINATION = 0,
    ETH_SOURCE = 6,
    ETH_TYPE = 12,
    IP = 14,
    IP_LENGTH = IP + 2,
    IP_FRAGMENT = IP + 6,
    IP_TTL = IP + 8,
    IP_PROTOCOL = IP + 9,
    IP_CHECKSUM = IP + 10,
    IP_SOURCE = IP + 12,
    IP_DESTINATION = IP + 16,
    UDP = IP + 20,
    UDP_LENGTH = UDP + 4,
    UDP_CHECKSUM = UDP + 6,
};
_Static_assert(UDP + 8 == FORMAT_UDP_BYTES, "three headers without options");

#define IP_HEADER_BYTES 20u
#define UDP_HEADER_BYTES 8u
#define IP_VERSION_AND_LENGTH 0x45u
#define IP_DONT_FRAGMENT 0x4000u
#define PROTOCOL_UDP 17u
#define TYPE_IPV4 0x0800u
#define TTL 64u

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value & 0xffffu);
}

static uint32_t get16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static uint32_t get32(const uint8_t *at)
{
    return get16(at) << 16 | get16(at + 2);
}

/* Adds bytes to a folded sum of big-endian 16-bit words. */
static uint32_t sum_add(uint32_t before, const uint8_t *bytes, uint32_t count)
{
    return sum_fold((uint64_t)before + sum_swap(sum_bytes(bytes, count)));
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "sum_add swaps");

void format_udp_prepare(struct format_udp *to, const struct format_node *us,
                        const struct format_node *peer)
{
    uint8_t *bytes = to->bytes;

    memset(to, 0, sizeof(*to));
    memcpy(bytes + ETH_DESTINATION, peer->mac, 6);
    memcpy(bytes + ETH_SOURCE, us->mac, 6);
    put16(bytes + ETH_TYPE, TYPE_IPV4);
    bytes[IP] = IP_VERSION_AND_LENGTH;
    put16(bytes + IP_FRAGMENT, IP_DONT_FRAGMENT);
    bytes[IP_TTL] = TTL;
    bytes[IP_PROTOCOL] = PROTOCOL_UDP;
    put32(bytes + IP_SOURCE, us->ipv4);
    put32(bytes + IP_DESTINATION, peer->ipv4);
    put16(bytes + UDP, FORMAT_UDP_PORT);
    put16(bytes + UDP + 2, FORMAT_UDP_PORT);
    to->ip_sum = sum_add(0, bytes + IP, IP_HEADER_BYTES);
    /* The UDP checksum covers both addresses, the protocol and, twice, the length. */
    to->udp_sum = sum_add(PROTOCOL_UDP, bytes + IP_SOURCE, 8);
    to->pseudo_sum = to->udp_sum;
    to->udp_sum = sum_add(to->udp_sum, bytes + UDP, UDP_HEADER_BYTES);
}

/* All but the UDP checksum. Answers the bytes of UDP. */
static uint32_t header_write(const struct format_udp *to, uint8_t *packet, uint32_t payload_bytes)
{
    uint32_t udp_bytes = UDP_HEADER_BYTES + payload_bytes;
    uint32_t sum;

    assert(payload_bytes <= FORMAT_UDP_PAYLOAD_MAX);
    memcpy(packet, to->bytes, FORMAT_UDP_BYTES);
    put16(packet + IP_LENGTH, IP_HEADER_BYTES + udp_bytes);
    put16(packet + UDP_LENGTH, udp_bytes);
    sum = sum_fold((uint64_t)to->ip_sum + IP_HEADER_BYTES + udp_bytes);
    put16(packet + IP_CHECKSUM, ~sum & 0xffffu);
    return udp_bytes;
}

void format_udp_write(const struct format_udp *to, uint8_t *packet, uint32_t payload_bytes,
                      const uint8_t *tail, uint32_t tail_bytes)
{
    uint32_t udp_bytes = header_write(to, packet, payload_bytes + tail_bytes);
    uint32_t sum = sum_fold((uint64_t)to->udp_sum + udp_bytes + udp_bytes);

    sum = sum_add(sum, packet + FORMAT_UDP_BYTES, payload_bytes);
    if (tail_bytes != 0) {
        uint32_t more = sum_bytes(tail, tail_bytes);

        /* In the machine's order: swapped once for that, and once more if it begins at an odd byte.
         */
        sum = sum_fold((uint64_t)sum + (payload_bytes % 2 != 0 ? more : sum_swap(more)));
    }
    sum = ~sum & 0xffffu;
    put16(packet + UDP_CHECKSUM, sum != 0 ? sum : 0xffffu);
}

void format_udp_write_unsummed(const struct format_udp *to, uint8_t *packet, uint32_t payload_bytes)
{
    uint32_t udp_bytes = header_write(to, packet, payload_bytes);

    put16(packet + UDP_CHECKSUM, sum_fold((uint64_t)to->pseudo_sum + udp_bytes));
}

static bool ethernet_ip_fits(const uint8_t *packet, uint32_t packet_bytes,
                             const struct format_node *us)
{
    uint32_t ip_bytes;

    if (packet_bytes < FORMAT_UDP_BYTES || memcmp(packet + ETH_DESTINATION, us->mac, 6) != 0 ||
        get16(packet + ETH_TYPE) != TYPE_IPV4 || packet[IP] != IP_VERSION_AND_LENGTH) {
        return false;
    }
    ip_bytes = get16(packet + IP_LENGTH);
    return ip_bytes >= IP_HEADER_BYTES + UDP_HEADER_BYTES && ip_bytes <= packet_bytes - IP &&
           get16(packet + IP_FRAGMENT) == IP_DONT_FRAGMENT && packet[IP_TTL] != 0 &&
           packet[IP_PROTOCOL] == PROTOCOL_UDP && get32(packet + IP_DESTINATION) == us->ipv4 &&
           sum_add(0, packet + IP, IP_HEADER_BYTES) == 0xffffu;
}

bool format_udp_read(const uint8_t *packet, uint32_t packet_bytes, const struct format_node *us,
                     bool summed, uint32_t *out_source_ipv4, uint32_t *out_payload_bytes)
{
    uint32_t udp_bytes, sum;

    if (!ethernet_ip_fits(packet, packet_bytes, us)) {
        return false;
    }
    udp_bytes = get16(packet + IP_LENGTH) - IP_HEADER_BYTES;
    if (get16(packet + UDP) != FORMAT_UDP_PORT || get16(packet + UDP + 2) != FORMAT_UDP_PORT ||
        get16(packet + UDP_LENGTH) != udp_bytes || get16(packet + UDP_CHECKSUM) == 0) {
        return false;
    }
    if (!summed) {
        sum = sum_add(PROTOCOL_UDP + udp_bytes, packet + IP_SOURCE, 8);
        if (sum_add(sum, packet + UDP, udp_bytes) != 0xffffu) {
            return false;
        }
    }
    *out_source_ipv4 = get32(packet + IP_SOURCE);
    *out_payload_bytes = udp_bytes - UDP_HEADER_BYTES;
    return true;
}
