/* SPDX-License-Identifier: Apache-2.0 */
/* sim without faults must be as good as what it wraps. */
#include "../conformance.h"
#include "../loop/loop.h"
#include "sim.h"

static bool garbage(struct link *link, uint32_t kind)
{
    static const uint16_t sources[] = {LINK_PEER_UNKNOWN, LINK_CONFORMANCE_NODE_B, 77};

    return loop__inject(sim__inner(link), sources[kind], "garbage", 7);
}

static const struct link_conformance_fault faults[] = {
    {"no device", "", 0},
    {"no inner driver", "wire", 0},
    {"an inner driver that does not exist", "nosuch:wire", 0},
    {"itself", "sim:loop:wire", 0},
    {"what the inner driver refuses", "loop:", 0},
};

static const struct link_conformance sim = {
    .name = "sim",
    .device = "loop:wire",
    .garbage = garbage,
    .garbage_count = 3,
    .faults = faults,
    .fault_count = sizeof(faults) / sizeof(faults[0]),
};

LINK_CONFORMANCE(sim)
