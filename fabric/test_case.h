/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_case.h - a net for each test, in the clear or sealed. Whoever includes it defines NODES
 * first.
 */
#ifndef FABRIC_TEST_CASE_H
#define FABRIC_TEST_CASE_H

#include <string.h>

#include "test_net.h"

static struct net net;

static inline int setup(void **state)
{
    (void)state;
    net_sealed = false;
    net_make(&net, NODES, 1);
    return 0;
}

static inline int setup_sealed(void **state)
{
    (void)state;
    net_sealed = true;
    net_make(&net, NODES, 1);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    net_end(&net);
    return 0;
}

/* Of a test with a net: in the clear, and sealed. */
#define NET_TEST(f)                                                                                \
    cmocka_unit_test_setup_teardown(f, setup, teardown),                                           \
    {                                                                                              \
        .name = #f "_sealed", .test_func = f, .setup_func = setup_sealed,                          \
        .teardown_func = teardown                                                                  \
    }

/* Where blocks from this size on are read. */
#define READ_BYTES_MIN 4096u

static inline int setup_reads(void **state)
{
    net_read_bytes_min = READ_BYTES_MIN;
    return setup(state);
}

static inline int teardown_reads(void **state)
{
    net_read_bytes_min = 0;
    return teardown(state);
}

static inline struct fab_node *fab(uint16_t id)
{
    return net.nodes[id].fab;
}

/* Of two nodes: the other one's frame arrives at `to`, past the wire. */
static inline void give(uint16_t to, const uint8_t *bytes, uint32_t length)
{
    uint8_t copy[NET_MTU] = {0};

    memcpy(copy, bytes, length);
    fab_rx(fab(to), (uint16_t)(3 - to), copy, length, net.now_ns);
}

#endif
