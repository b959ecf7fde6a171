/* SPDX-License-Identifier: Apache-2.0 */
#include "../conformance.h"
#include "link/dpdk.h"
#include "testing.h"

#define A LINK_CONFORMANCE_NODE_A
#define B LINK_CONFORMANCE_NODE_B

static sf_status start(const char **out_text)
{
    static const struct link_dpdk_options options = {.hugepages = false};

    return link_dpdk_start(&options, out_text);
}

/* magic, source, destination, length, then 4 bytes of payload */
static const struct {
    uint32_t bytes;
    uint8_t packet[12];
} bad[] = {
    {1, {0x53}},
    {7, {0x53, 0x46, 0, A, 0, B, 0}},
    {12, {0x54, 0x46, 0, A, 0, B, 0, 4, 1, 2, 3, 4}},
    {12, {0x53, 0x46, 0, 0, 0, B, 0, 4, 1, 2, 3, 4}},
    {12, {0x53, 0x46, 0, B, 0, B, 0, 4, 1, 2, 3, 4}},
    {12, {0x53, 0x46, 0, A, 0, 3, 0, 4, 1, 2, 3, 4}},
    {12, {0x53, 0x46, 0, A, 0, B, 0, 3, 1, 2, 3, 4}},
    {12, {0x53, 0x46, 0, A, 0, B, 0, 5, 1, 2, 3, 4}},
    {12, {0x53, 0x46, 0, A, 0, B, 255, 255, 1, 2, 3, 4}},
};

/* A good packet, 12 bytes, of which the descriptor in shared memory says something else. */
static const struct {
    uint32_t length;
    uint16_t flags;
} wild[] = {
    {0, 0},    {11, 0},         {13, 0},      {9001 + 8, 0},   {9024, 0},
    {9025, 0}, {UINT16_MAX, 0}, {1 << 20, 0}, {UINT32_MAX, 0}, {12, 1},
};

#define BAD_COUNT (sizeof(bad) / sizeof(bad[0]))

static bool garbage(struct link *link, uint32_t kind)
{
    static const uint8_t good[12] = {0x53, 0x46, 0, A, 0, B, 0, 4, 1, 2, 3, 4};

    if (kind < BAD_COUNT) {
        return memif__inject(link, bad[kind].packet, bad[kind].bytes, bad[kind].bytes, 0);
    }
    kind -= BAD_COUNT;
    return memif__inject(link, good, sizeof(good), wild[kind].length, wild[kind].flags);
}

static const struct link_conformance_fault faults[] = {
    {"no device", "", 0},
    {"a relative path", "link.sock", 0},
    {"a path too long",
     "/tmp/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"
     "890123456789012345678901234567890123456789",
     0},
    {"a path that DPDK would take for more arguments", "%s/a,role=client", 0},
    {"a folder that does not exist", "%s/none/link.sock", 0},
    {"a path that is not a socket", "%s", 0},
    {"an mtu too large", "%s/link.sock", 9001},
    {"an mtu too small", "%s/link.sock", 63},
};

static const struct link_conformance memif = {
    .name = "memif",
    .device = "%s/link.sock",
    .processes = true,
    .queues_join = true,
    .start = start,
    .garbage = garbage,
    .garbage_count = BAD_COUNT + sizeof(wild) / sizeof(wild[0]),
    .faults = faults,
    .fault_count = sizeof(faults) / sizeof(faults[0]),
};

LINK_CONFORMANCE(memif)
