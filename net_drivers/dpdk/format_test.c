/* SPDX-License-Identifier: Apache-2.0 */
#include "format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "peers.h"
#include "sum.h"

#define PAYLOAD_MAX 1472u

static const struct format_node node_a = {.mac = {0x52, 0x54, 0, 0x78, 0, 1}, .ipv4 = 0x0a4e0001};
static const struct format_node node_b = {.mac = {0x52, 0x54, 0, 0x78, 0, 2}, .ipv4 = 0x0a4e0002};

/*
 * 10.78.0.1 to 10.78.0.2, payload "ab". By hand: IP words 4500 001e 0000 4000 4011 0000 0a4e 0001
 * 0a4e 0002 add up to d9ce, inverted 2631. UDP: 0a4e 0001 0a4e 0002 0011 000a 1e15 1e15 000a 0000
 * 6162 add up to b250, inverted 4daf.
 */
static void a_packet_is_byte_for_byte_what_the_standards_say(void **state)
{
    static const uint8_t wanted[44] = {
        0x52, 0x54, 0,    0x78, 0,    2,    0x52, 0x54, 0,    0x78, 0,    1,    0x08, 0x00, 0x45,
        0x00, 0x00, 0x1e, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0x26, 0x31, 10,   78,   0,    1,
        10,   78,   0,    2,    0x1e, 0x15, 0x1e, 0x15, 0x00, 0x0a, 0x4d, 0xaf, 'a',  'b'};
    struct format_udp to;
    uint8_t packet[44];

    (void)state;
    memcpy(packet + FORMAT_UDP_BYTES, "ab", 2);
    format_udp_prepare(&to, &node_a, &node_b);
    format_udp_write(&to, packet, 2, NULL, 0);
    assert_memory_equal(packet, wanted, sizeof(wanted));
}

static void every_length_is_read_back_also_with_padding(void **state)
{
    static uint8_t packet[FORMAT_UDP_BYTES + PAYLOAD_MAX + 64];
    struct format_udp to;

    (void)state;
    srandom(1);
    format_udp_prepare(&to, &node_a, &node_b);
    for (uint32_t length = 0; length <= PAYLOAD_MAX; length++) {
        uint32_t ipv4 = 0;
        uint32_t payload_bytes = 0;

        for (uint32_t i = 0; i < length; i++) {
            packet[FORMAT_UDP_BYTES + i] = (uint8_t)random();
        }
        format_udp_write(&to, packet, length, NULL, 0);
        assert_true(format_udp_read(packet, FORMAT_UDP_BYTES + length + length % 60, &node_b, false,
                                    &ipv4, &payload_bytes));
        assert_int_equal(ipv4, node_a.ipv4);
        assert_int_equal(payload_bytes, length);
        assert_false(format_udp_read(packet, FORMAT_UDP_BYTES + length, &node_a, false, &ipv4,
                                     &payload_bytes));
    }
}

/* Ones' complement finds every single damaged bit; TTL's are caught by the header's sum. */
static void any_flipped_bit_is_found(void **state)
{
    uint8_t packet[FORMAT_UDP_BYTES + 33];
    struct format_udp to;
    uint32_t ipv4, payload_bytes;

    (void)state;
    for (uint32_t i = 0; i < 33; i++) {
        packet[FORMAT_UDP_BYTES + i] = (uint8_t)(i * 37);
    }
    format_udp_prepare(&to, &node_a, &node_b);
    format_udp_write(&to, packet, 33, NULL, 0);
    for (uint32_t bit = 0; bit < sizeof(packet) * 8; bit++) {
        bool source_mac = bit / 8 >= 6 && bit / 8 < 12; /* a router changes it: not looked at */

        packet[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(
            format_udp_read(packet, sizeof(packet), &node_b, false, &ipv4, &payload_bytes),
            source_mac);
        packet[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(format_udp_read(packet, sizeof(packet), &node_b, false, &ipv4, &payload_bytes));
}

/* However a payload is cut in two, the packet is the same. */
static void a_tail_is_summed_wherever_it_begins(void **state)
{
    enum { LENGTH = 300 };
    uint8_t whole[FORMAT_UDP_BYTES + LENGTH], cut[FORMAT_UDP_BYTES + LENGTH];
    struct format_udp to;

    (void)state;
    srandom(3);
    for (uint32_t i = 0; i < LENGTH; i++) {
        whole[FORMAT_UDP_BYTES + i] = (uint8_t)random();
    }
    format_udp_prepare(&to, &node_a, &node_b);
    format_udp_write(&to, whole, LENGTH, NULL, 0);
    for (uint32_t at = 0; at <= LENGTH; at++) {
        uint8_t *tail = malloc(LENGTH - at + 1);

        assert_non_null(tail);
        memcpy(tail, whole + FORMAT_UDP_BYTES + at, LENGTH - at);
        memset(cut, 0x5a, sizeof(cut));
        memcpy(cut + FORMAT_UDP_BYTES, whole + FORMAT_UDP_BYTES, at);
        format_udp_write(&to, cut, at, tail, LENGTH - at);
        memcpy(cut + FORMAT_UDP_BYTES + at, tail, LENGTH - at);
        assert_memory_equal(cut, whole, sizeof(whole));
        free(tail);
    }
}

/* What a device does with an unsummed packet: adds up from the UDP header on, and inverts. */
static void a_device_finishes_an_unsummed_packet(void **state)
{
    uint8_t whole[FORMAT_UDP_BYTES + PAYLOAD_MAX] = {0}, packet[FORMAT_UDP_BYTES + PAYLOAD_MAX];
    struct format_udp to;
    uint32_t ipv4, payload_bytes;

    (void)state;
    srandom(4);
    format_udp_prepare(&to, &node_a, &node_b);
    for (uint32_t length = 0; length <= PAYLOAD_MAX; length += 13) {
        uint32_t sum = 0;

        for (uint32_t i = 0; i < length; i++) {
            whole[FORMAT_UDP_BYTES + i] = (uint8_t)random();
        }
        memcpy(packet, whole, sizeof(packet));
        format_udp_write(&to, whole, length, NULL, 0);
        format_udp_write_unsummed(&to, packet, length);
        assert_false(format_udp_read(packet, FORMAT_UDP_BYTES + length, &node_b, false, &ipv4,
                                     &payload_bytes));
        assert_true(format_udp_read(packet, FORMAT_UDP_BYTES + length, &node_b, true, &ipv4,
                                    &payload_bytes));
        for (uint32_t i = 34; i < FORMAT_UDP_BYTES + length; i++) {
            sum += i % 2 == 0 ? (uint32_t)packet[i] << 8 : packet[i];
        }
        sum = (sum & 0xffffu) + (sum >> 16);
        sum = ~((sum & 0xffffu) + (sum >> 16)) & 0xffffu;
        packet[40] = (uint8_t)(sum >> 8);
        packet[41] = (uint8_t)sum;
        assert_memory_equal(packet, whole, FORMAT_UDP_BYTES + length);
    }
}

/* Word by word as in RFC 1071, against both ways of sum.c, at every length and alignment. */
static void the_fast_sum_is_the_plain_sum(void **state)
{
    static uint8_t bytes[9100];

    (void)state;
    srandom(5);
    for (int round = 0; round < 2; round++) {
        uint32_t step = round == 0 ? 1 : 97;

        for (size_t i = 0; i < sizeof(bytes); i++) {
            bytes[i] = round == 0 ? (uint8_t)random() : 0xff;
        }
        for (uint32_t length = 0; length < 9000; length += length < 300 ? 1 : 17 * step) {
            const uint8_t *at = bytes + length % 64;
            uint64_t plain = 0;

            for (uint32_t i = 0; i < length; i++) {
                plain += i % 2 == 0 ? at[i] : (uint32_t)at[i] << 8;
            }
            while (plain >> 16 != 0) {
                plain = (plain & 0xffffu) + (plain >> 16);
            }
            assert_int_equal(sum_bytes(at, length), plain);
            assert_int_equal(sum_bytes_narrow(at, length), plain);
        }
    }
}

/* Every length from 0, in memory of just that size: a read past the end faults under valgrind. */
static void cut_and_random_packets_are_never_frames(void **state)
{
    struct format_udp to;
    uint8_t whole[FORMAT_UDP_BYTES + 20] = {0};
    uint32_t ipv4, payload_bytes;
    uint16_t source;

    (void)state;
    srandom(2);
    format_udp_prepare(&to, &node_a, &node_b);
    format_udp_write(&to, whole, 20, NULL, 0);
    for (uint32_t length = 0; length < sizeof(whole); length++) {
        uint8_t *cut = malloc(length + 1);

        assert_non_null(cut);
        memcpy(cut + 1, whole, length);
        assert_false(format_udp_read(cut + 1, length, &node_b, false, &ipv4, &payload_bytes));
        for (uint32_t i = 0; i < length; i++) {
            cut[1 + i] = (uint8_t)random();
        }
        assert_false(format_udp_read(cut + 1, length, &node_b, false, &ipv4, &payload_bytes));
        assert_false(format_point_read(cut + 1, length, 2, &source, &payload_bytes));
        free(cut);
    }
}

static void a_thousand_peers_are_found_by_id_and_by_address(void **state)
{
    struct dpdk_peers peers = {0};
    struct dpdk_peer_last last;

    (void)state;
    assert_int_equal(dpdk__peers_init(&peers, DPDK_PEERS_MAX), SF_OK);
    for (uint32_t i = 0; i < DPDK_PEERS_MAX; i++) {
        struct dpdk_peer peer = {.node_id = (uint16_t)(i * 61 + 1), .ipv4 = 0x0a4e0000u + i * 256};

        assert_int_equal(dpdk__peers_add(&peers, &peer), SF_OK);
        assert_int_equal(dpdk__peers_add(&peers, &peer), SF_EXISTS);
    }
    assert_int_equal(
        dpdk__peers_add(&peers, &(struct dpdk_peer){.node_id = 65535, .ipv4 = 0x7f000001}),
        SF_LIMIT);
    for (uint32_t i = 0; i < DPDK_PEERS_MAX; i += 2) {
        dpdk__peers_remove(&peers, (uint16_t)(i * 61 + 1));
    }
    dpdk__peers_remove(&peers, 65535);
    dpdk__peer_forget(&last);
    for (uint32_t i = 0; i < DPDK_PEERS_MAX; i++) {
        const struct dpdk_peer *by_node = dpdk__peer_of_node(&peers, &last, (uint16_t)(i * 61 + 1));
        const struct dpdk_peer *by_ipv4 = dpdk__peer_of_ipv4(&peers, &last, 0x0a4e0000u + i * 256);

        assert_ptr_equal(by_node, by_ipv4);
        if (i % 2 == 0) {
            assert_null(by_node);
        } else {
            assert_int_equal(by_node->ipv4, 0x0a4e0000u + i * 256);
        }
    }
    dpdk__peers_fini(&peers);
}

int main(void)
{
    static const struct CMUnitTest all[] = {
        cmocka_unit_test(a_packet_is_byte_for_byte_what_the_standards_say),
        cmocka_unit_test(every_length_is_read_back_also_with_padding),
        cmocka_unit_test(any_flipped_bit_is_found),
        cmocka_unit_test(a_tail_is_summed_wherever_it_begins),
        cmocka_unit_test(a_device_finishes_an_unsummed_packet),
        cmocka_unit_test(the_fast_sum_is_the_plain_sum),
        cmocka_unit_test(cut_and_random_packets_are_never_frames),
        cmocka_unit_test(a_thousand_peers_are_found_by_id_and_by_address),
    };

    return cmocka_run_group_tests_name("link-format", all, NULL, NULL);
}
