/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet format and the data path of the virtio driver, over memif: a virtio device needs a
 * machine of its own, and boots there.
 */
#include "../conformance.h"
#include "link/dpdk.h"
#include "testing.h"
#include "udp_garbage.h"

static sf_status start(const char **out_text)
{
    static const struct link_dpdk_options options = {.hugepages = false};

    return link_dpdk_start(&options, out_text);
}

static const struct link_conformance memif_udp = {
    .name = "memif-udp",
    .ops = &dpdk__memif_udp_ops,
    .device = "%s/link.sock",
    .processes = true,
    .queues_join = true,
    .start = start,
    .garbage = udp_garbage,
    .garbage_count = UDP_GARBAGE_KINDS,
};

LINK_CONFORMANCE(memif_udp)
