/* SPDX-License-Identifier: Apache-2.0 */
/* On whatever RDMA device this machine has; tests/rdma runs it on soft-RoCE and soft-iWARP in a
 * machine of QEMU. $RDMA_ADDRESS: the device's, which rdma_cm wants. $RDMA_CM: joined by that. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../conformance.h"
#include "verbs.h"

static struct link_ops ops;

static sf_status open_here(struct link *link, const struct link_config *config,
                           const char **out_text)
{
    const char *address = getenv("RDMA_ADDRESS");
    struct link_config own = *config;

    own.cm = getenv("RDMA_CM") != NULL;
    own.ipv4 = address != NULL ? ntohl(inet_addr(address)) : config->ipv4;
    return link_driver_find("rdma")->open(link, &own, out_text);
}

static const char *begin(void)
{
    static char text[120];
    int count = 0;
    struct ibv_device **list = rdma__verbs.get_device_list(&count);

    if (list == NULL || count == 0) {
        (void)snprintf(text, sizeof(text), "this machine has no RDMA device: %s",
                       list == NULL ? strerror(errno) : "the list is empty");
    }
    if (list != NULL) {
        rdma__verbs.free_device_list(list);
    }
    return count > 0 ? NULL : text;
}

/* Nothing but a connected peer's messages gets to the driver; a connection drops all else. */
static bool garbage(struct link *link, uint32_t kind)
{
    (void)link;
    (void)kind;
    return true;
}

static const struct link_conformance_fault faults[] = {
    {"no such device", "nosuch0", 0},
    {"a port that is none", "auto/x", 0},
    {"an mtu too large", "auto", 9217},
    {"an mtu too small", "auto", 63},
};

static const struct link_conformance rdma = {
    .name = "rdma",
    .ops = &ops,
    .device = "auto",
    .processes = true,
    .connected = true,
    .begin = begin,
    .garbage = garbage,
    .garbage_count = 0,
    .faults = faults,
    .fault_count = sizeof(faults) / sizeof(faults[0]),
};

int main(int argc, char **argv)
{
    ops = *link_driver_find("rdma");
    ops.open = open_here;
    return link_conformance_run(&rdma, argc, argv);
}
