/* SPDX-License-Identifier: Apache-2.0 */
/* The driver dpdk over a virtual device it is told of by a string, on a veth pair; see veth.h. */
#include "../conformance.h"
#include "link/dpdk.h"
#include "udp_garbage.h"
#include "veth.h"

static sf_status start(const char **out_text)
{
    static const struct link_dpdk_options options = {.hugepages = false};

    return link_dpdk_start(&options, out_text);
}

static const char *begin(void)
{
    return veth_begin(1500);
}

/* No filter is on this socket: but for what the kernel itself stops, all is seen and counted. */
static bool garbage_unseen(uint32_t kind)
{
    return kind == UDP_GARBAGE_ONE_BYTE || kind == UDP_GARBAGE_FRAGMENT_FIRST;
}

static const struct link_conformance_fault faults[] = {
    {"no device", "", 0},
    {"a PCI device that does not exist", "0000:00:1f.7", 0},
    {"no PCI address", "3.0", 0},
    {"a virtual device without a driver", "net_nosuch0", 0},
    {"a virtual device that does not start", "net_af_packet0,iface=nosuch0", 0},
    {"a name too long", "net_af_packet012345678901234567890,iface=fab0", 0},
    {"an mtu larger than the device's", "net_af_packet0,iface=fab0", 1473},
    {"an mtu too small", "net_af_packet0,iface=fab0", 63},
};

static const struct link_conformance generic = {
    .name = "dpdk",
    .device = "net_af_packet0,iface=fab0",
    .processes = true,
    .device_queues = "net_af_packet0,iface=fab0,qpairs=%u",
    .blind = true,
    .lossy = true,
    .queues_spill = true,
    .begin = begin,
    .enter = veth_enter,
    .start = start,
    .garbage = udp_garbage,
    .garbage_count = UDP_GARBAGE_KINDS,
    .garbage_unseen = garbage_unseen,
    .faults = faults,
    .fault_count = sizeof(faults) / sizeof(faults[0]),
};

LINK_CONFORMANCE(generic)
