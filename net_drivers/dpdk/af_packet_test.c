/* SPDX-License-Identifier: Apache-2.0 */
/* Over a veth pair in namespaces of its own; see veth.h. */
#include "../conformance.h"
#include "link/dpdk.h"
#include "udp_garbage.h"
#include "veth.h"

#define INTERFACE_MTU_BYTES 9028u /* 9,000 of payload: ring frames of the large size */

static sf_status start(const char **out_text)
{
    static const struct link_dpdk_options options = {.hugepages = false};

    return link_dpdk_start(&options, out_text);
}

static const char *begin(void)
{
    return veth_begin(INTERFACE_MTU_BYTES);
}

static const struct link_conformance_fault faults[] = {
    {"no device", "", 0},
    {"an interface that does not exist", "nosuch0", 0},
    {"a name too long", "abcdefghijklmnop", 0},
    {"a name that DPDK would take for more arguments", "fab0,qpairs=2", 0},
    {"an interface that is down", "down0", 0},
    {"an interface without an Ethernet address", "lo", 0},
    {"an mtu larger than the interface's", "fab0", 9001},
    {"an mtu larger than the driver's", "fab0", 10001},
    {"an mtu too small", "fab0", 63},
};

static const struct link_conformance af_packet = {
    .name = "af_packet",
    .device = "fab0",
    .processes = true,
    .blind = true,
    .lossy = true,
    .queues_spill = true,
    .counts_missed = true,
    .begin = begin,
    .enter = veth_enter,
    .start = start,
    .garbage = udp_garbage,
    .garbage_count = UDP_GARBAGE_KINDS,
    .garbage_unseen = udp_garbage_filtered,
    .faults = faults,
    .fault_count = sizeof(faults) / sizeof(faults[0]),
};

LINK_CONFORMANCE(af_packet)
