/* SPDX-License-Identifier: Apache-2.0 */
/* The suite on devices that are none (fake.h): what the driver does, not what a device does.
 * --cm: joined by rdma_cm; --iwarp: on iWARP. */
#include <stdio.h>
#include <string.h>

#include "../conformance.h"
#include "fake.h"
#include "port.h"

static struct link_ops ops;
static bool by_cm, iwarp;

/* Each side has a device of its own, on the same wire. */
static sf_status open_fake(struct link *link, const struct link_config *config,
                           const char **out_text)
{
    struct link_config own = *config;
    char device[32];

    own.cm = by_cm;
    own.ipv4 = FAKE_ADDRESS + config->node_id - 1;
    (void)snprintf(device, sizeof(device), "fake%u", config->node_id - 1u);
    if (strcmp(config->device, "auto") == 0) {
        own.device = device;
    }
    return rdma__open(link, &own, &fake__verbs, out_text);
}

static const char *begin(void)
{
    fake_reset();
    if (iwarp) {
        fake_iwarp();
    }
    ops = *link_driver_find("rdma");
    ops.open = open_fake;
    return NULL;
}

static bool garbage(struct link *link, uint32_t kind)
{
    (void)link;
    (void)kind;
    return true;
}

static const struct link_conformance_fault faults[] = {
    {"no such device", "nosuch0", 0},   {"no such port", "fake0/2", 0},
    {"no such GID", "fake0/1/2", 0},    {"no number", "fake0/", 0},
    {"an mtu too large", "auto", 9217},
};

static const struct link_conformance fake = {
    .name = "rdma-fake",
    .ops = &ops,
    .device = "auto",
    .connected = true,
    .begin = begin,
    .garbage = garbage,
    .garbage_count = 0,
    .faults = faults,
    .fault_count = sizeof(faults) / sizeof(faults[0]),
};

int main(int argc, char **argv)
{
    int result;

    by_cm = argc > 1 && strcmp(argv[1], "--cm") == 0;
    iwarp = argc > 1 && strcmp(argv[1], "--iwarp") == 0;
    result = link_conformance_run(&fake, by_cm || iwarp ? 1 : argc, argv);
    if (fake_misuse() != NULL || fake_live() != 0) {
        (void)printf("# %s; %u objects are left\n",
                     fake_misuse() != NULL ? fake_misuse() : "no misuse", fake_live());
        result = 1;
    }
    return result;
}
