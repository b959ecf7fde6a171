/* SPDX-License-Identifier: Apache-2.0 */
#include "veth.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define A LINK_CONFORMANCE_NODE_A
#define B LINK_CONFORMANCE_NODE_B

static int namespaces[B + 1] = {-1, -1, -1};

/* Without IPv6 the kernel says nothing of its own accord, so that what arrives can be counted. */
static bool ipv6_disable(void)
{
    FILE *file = fopen("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w");
    bool good;

    if (file == NULL) {
        return errno == ENOENT; /* a kernel without IPv6 */
    }
    good = fputs("1\n", file) >= 0;
    return fclose(file) == 0 && good;
}

static bool namespace_make(uint16_t node_id)
{
    if (unshare(CLONE_NEWNET) != 0) {
        return false;
    }
    namespaces[node_id] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    return namespaces[node_id] >= 0 && ipv6_disable();
}

bool veth_enter(uint16_t node_id)
{
    return namespaces[node_id] >= 0 && setns(namespaces[node_id], CLONE_NEWNET) == 0;
}

bool veth_ip(uint16_t node_id, const char *arguments)
{
    char command[320];

    if (!veth_enter(node_id)) {
        return false;
    }
    (void)snprintf(command, sizeof(command), "ip %s", arguments);
    return system(command) == 0;
}

static bool pair_make(uint32_t interface_mtu_bytes)
{
    char text[256];

    (void)snprintf(text, sizeof(text),
                   "link add fab0 mtu %u address 02:00:00:00:00:%02x type veth "
                   "peer name fab0 mtu %u address 02:00:00:00:00:%02x netns /proc/%d/fd/%d",
                   interface_mtu_bytes, A, interface_mtu_bytes, B, (int)getpid(), namespaces[B]);
    return veth_ip(A, text) && veth_ip(A, "link add down0 type veth peer name down1") &&
           veth_ip(A, "link set fab0 up") && veth_ip(B, "link set fab0 up");
}

const char *veth_begin(uint32_t interface_mtu_bytes)
{
    if (geteuid() != 0) {
        return "network namespaces need root";
    }
    if (access("/sbin/ip", X_OK) != 0 && access("/usr/sbin/ip", X_OK) != 0 &&
        access("/bin/ip", X_OK) != 0) {
        return "ip (iproute2) is not installed";
    }
    if (!namespace_make(A) || !namespace_make(B)) {
        return "no network namespaces here";
    }
    return pair_make(interface_mtu_bytes) ? NULL : "no veth interfaces here";
}
