/* SPDX-License-Identifier: Apache-2.0 */
/* What comes from many nodes to one af_packet link spreads over its queues; see veth.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "format.h"
#include "link/dpdk.h"
#include "link/link.h"
#include "testing.h"
#include "veth.h"

#define A LINK_CONFORMANCE_NODE_A
#define B LINK_CONFORMANCE_NODE_B
#define QUEUES 4u
#define NODE_FIRST 10u /* those that A plays */
#define NODES 32u
#define ROUNDS 5u
#define PAYLOAD_BYTES 20u
#define TRIES 2000

static void open_link(struct link *link, uint16_t node_id, uint16_t queues)
{
    struct link_config config = {
        .name = "fanout",
        .device = "fab0",
        .node_id = node_id,
        .ipv4 = link_conformance_address(node_id).ipv4,
        .shared = true,
        .queues = queues,
    };
    const char *text = "";

    assert_true(veth_enter(node_id));
    assert_int_equal(link_init(link, "af_packet"), SF_OK);
    assert_int_equal(link->ops->open(link, &config, &text), SF_OK);
    for (int i = 0; i < TRIES && !link->ops->is_up(link); i++) {
        (void)usleep(1000);
    }
    assert_true(link->ops->is_up(link));
}

static void end_link(struct link *link)
{
    link->ops->close(link);
    link->ops->stop(link);
    link->ops->fini(link);
}

/* Another node's frame with its number, by A's interface. */
static void send_as(struct link *link, uint16_t node_id, uint32_t number)
{
    struct link_peer from = link_conformance_address(node_id);
    struct link_peer to = link_conformance_address(B);
    struct format_node us = {.ipv4 = from.ipv4};
    struct format_node peer = {.ipv4 = to.ipv4};
    uint8_t packet[FORMAT_UDP_BYTES + PAYLOAD_BYTES] = {0};
    struct format_udp header;

    memcpy(us.mac, from.mac, sizeof(us.mac));
    memcpy(peer.mac, to.mac, sizeof(peer.mac));
    format_udp_prepare(&header, &us, &peer);
    memcpy(packet + FORMAT_UDP_BYTES, &number, sizeof(number));
    format_udp_write(&header, packet, PAYLOAD_BYTES, NULL, 0);
    assert_true(dpdk__inject(link, packet, sizeof(packet)));
}

struct seen {
    uint32_t count[NODES]; /* frames of each, so far; the next one has that number */
    uint32_t queue[NODES];
    uint32_t used; /* bit q: something came on queue q */
};

static void receive(struct link *link, uint16_t queue, struct seen *seen)
{
    struct link_frame frames[LINK_BURST_MAX];
    uint16_t count = link->ops->rx_burst(link, queue, frames, LINK_BURST_MAX);

    for (uint16_t i = 0; i < count; i++) {
        uint32_t node = frames[i].peer - NODE_FIRST;
        uint32_t number;

        assert_in_range(node, 0, NODES - 1);
        assert_int_equal(frames[i].length, PAYLOAD_BYTES);
        memcpy(&number, frames[i].data, sizeof(number));
        assert_int_equal(number, seen->count[node]);
        assert_true(number == 0 || seen->queue[node] == queue);
        seen->count[node]++;
        seen->queue[node] = queue;
        seen->used |= 1u << queue;
    }
    link->ops->frame_free(link, frames, count);
}

static void nodes_spread_over_queues_and_each_keeps_to_one(void **state)
{
    struct seen seen = {.used = 0};
    struct link a, b;
    struct link_caps caps;

    (void)state;
    open_link(&a, A, 1);
    open_link(&b, B, QUEUES);
    b.ops->query(&b, &caps);
    assert_int_equal(caps.queues, QUEUES);
    for (uint16_t node = 0; node < NODES; node++) {
        struct link_peer peer = link_conformance_address((uint16_t)(NODE_FIRST + node));

        assert_int_equal(b.ops->peer_add(&b, &peer), SF_OK);
    }
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint16_t node = 0; node < NODES; node++) {
            send_as(&a, (uint16_t)(NODE_FIRST + node), round);
        }
    }
    for (int i = 0; i < 100; i++) {
        receive(&b, (uint16_t)((uint32_t)i % QUEUES), &seen);
        (void)usleep(500);
    }
    for (uint16_t node = 0; node < NODES; node++) {
        assert_int_equal(seen.count[node], ROUNDS);
    }
    assert_true(__builtin_popcount(seen.used) >= 3); /* all 32 on two of four: 1 in 10^9 */
    end_link(&a);
    end_link(&b);
}

int main(void)
{
    static const struct CMUnitTest all[] = {
        cmocka_unit_test(nodes_spread_over_queues_and_each_keeps_to_one),
    };
    static const struct link_dpdk_options options = {.hugepages = false};
    const char *text = veth_begin(1500);
    int result;

    if (text != NULL) {
        (void)printf("1..0 # SKIP %s\n", text);
        return 0;
    }
    if (link_dpdk_start(&options, &text) != SF_OK) {
        (void)printf("Bail out! %s\n", text);
        return 1;
    }
    result = cmocka_run_group_tests_name("link-fanout", all, NULL, NULL);
    link_dpdk_stop();
    return result;
}
