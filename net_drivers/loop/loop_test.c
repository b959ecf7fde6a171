/* SPDX-License-Identifier: Apache-2.0 */
#include "loop.h"

#include "../conformance.h"

/* There is no format to break; what can be wrong is where a frame says it comes from. */
static bool garbage(struct link *link, uint32_t kind)
{
    static const uint16_t sources[] = {LINK_PEER_UNKNOWN, LINK_CONFORMANCE_NODE_B, 77};

    return loop__inject(link, sources[kind], "garbage", 7);
}

static const struct link_conformance_fault faults[] = {
    {"no device", "", 0},
    {"a name too long", "%s/0123456789012345678901234567890123456789012345678901234567890123456",
     0},
    {"an mtu too large", "wire", 65001},
};

static const struct link_conformance loop = {
    .name = "loop",
    .device = "wire",
    .garbage = garbage,
    .garbage_count = 3,
    .faults = faults,
    .fault_count = sizeof(faults) / sizeof(faults[0]),
};

LINK_CONFORMANCE(loop)
