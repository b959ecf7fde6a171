/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor_net.c - network interfaces of the kernel: what it uses them for, and whether af_packet
 * links can run over them.
 *
 * Sources: ABI/testing/sysfs-class-net, networking/packet_mmap.rst, DPDK guide "Network Interface
 * Controller Drivers", chapter "AF_PACKET Poll Mode Driver"; docs/wire.md for the 28 bytes of IPv4
 * and UDP in front of a frame.
 */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/doctor.h"

#define HEADERS_BYTES 28 /* IPv4 and UDP */
#define MTU_BYTES_MIN 92 /* a frame's payload is 64 bytes at least */
#define MTU_BYTES_JUMBO 9000
#define PAYLOAD_BYTES_MAX 10000 /* of a frame of the af_packet driver */
#define INTERFACES_SHOWN_MAX 32u

static void use_add(struct doctor_interface *interface, const char *what)
{
    size_t used = strlen(interface->use);

    snprintf(interface->use + used, sizeof(interface->use) - used, "%s%s", used > 0 ? ", " : "",
             what);
}

/* /proc/net/route: interface, destination and gateway in hexadecimal, ... mask. */
static void use_routes(const struct doctor *doctor, struct doctor_interface *interface)
{
    char text[32768];
    char *rest = NULL;
    char *line;

    if (!doctor_read(doctor, text, sizeof(text), "/proc/net/route")) {
        return;
    }
    for (line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        char name[32];
        char route[64];
        uint32_t target;
        uint32_t mask;

        if (sscanf(line, "%31s %8" SCNx32 " %*s %*s %*s %*s %*s %8" SCNx32, name, &target, &mask) !=
                3 ||
            strcmp(name, interface->name) != 0) {
            continue;
        }
        if (mask == 0) {
            snprintf(route, sizeof(route), "default route");
        } else {
            char address[INET_ADDRSTRLEN] = "?";
            const struct in_addr bytes = {.s_addr = target};
            (void)inet_ntop(AF_INET, &bytes, address, sizeof(address));
            snprintf(route, sizeof(route), "route %s/%d", address, __builtin_popcount(mask));
        }
        use_add(interface, route);
    }
}

/* /proc/net/if_inet6: address, index, prefix length, scope, flags, interface. Link-local ones are
 * on every interface that is up and say nothing. */
static void use_ipv6(const struct doctor *doctor, struct doctor_interface *interface)
{
    char text[32768];
    char *rest = NULL;
    char *line;

    if (!doctor_read(doctor, text, sizeof(text), "/proc/net/if_inet6")) {
        return;
    }
    for (line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        char digits[33];
        char name[32];
        char address[INET6_ADDRSTRLEN];
        struct in6_addr bytes;
        size_t index;

        if (sscanf(line, "%32[0-9a-f] %*s %*s %*s %*s %31s", digits, name) != 2 ||
            strlen(digits) != 32 || strcmp(name, interface->name) != 0 ||
            strncmp(digits, "fe80", 4) == 0) {
            continue;
        }
        for (index = 0; index < 16; index++) {
            const char pair[3] = {digits[2 * index], digits[2 * index + 1], '\0'};
            bytes.s6_addr[index] = (uint8_t)strtoul(pair, NULL, 16);
        }
        if (inet_ntop(AF_INET6, &bytes, address, sizeof(address)) != NULL) {
            use_add(interface, address);
        }
    }
}

/* No file of /proc says which interface has an IPv4 address; of this machine the kernel tells. */
static void use_ipv4(const struct doctor *doctor, struct doctor_interface *interface)
{
    struct ifaddrs *list = NULL;
    const struct ifaddrs *entry;

    if (doctor->root[0] != '\0' || getifaddrs(&list) != 0) {
        return;
    }
    for (entry = list; entry != NULL; entry = entry->ifa_next) {
        char address[INET_ADDRSTRLEN];

        if (entry->ifa_addr == NULL || entry->ifa_addr->sa_family != AF_INET ||
            strncmp(entry->ifa_name, interface->name, strlen(interface->name)) != 0 ||
            strchr(":", entry->ifa_name[strlen(interface->name)]) == NULL) {
            continue;
        }
        if (inet_ntop(AF_INET,
                      &((const struct sockaddr_in *)(const void *)entry->ifa_addr)->sin_addr,
                      address, sizeof(address)) != NULL) {
            use_add(interface, address);
        }
    }
    freeifaddrs(list);
}

bool doctor_interface_read(const struct doctor *doctor, const char *name,
                           struct doctor_interface *out_interface)
{
    char master[64];
    char text[96];
    int64_t number = 0;

    *out_interface = (struct doctor_interface){.mtu_bytes = -1};
    if (strlen(name) >= sizeof(out_interface->name) || strchr(name, '/') != NULL ||
        !doctor_has(doctor, "/sys/class/net/%s", name)) {
        return false;
    }
    snprintf(out_interface->name, sizeof(out_interface->name), "%s", name);
    out_interface->ethernet = doctor_read_number(doctor, &number, "/sys/class/net/%s/type", name) &&
                              number == ARPHRD_ETHER;
    out_interface->up = doctor_read_number(doctor, &number, "/sys/class/net/%s/flags", name) &&
                        (number & IFF_UP) != 0;
    out_interface->carrier =
        doctor_read_number(doctor, &number, "/sys/class/net/%s/carrier", name) && number == 1;
    (void)doctor_read_number(doctor, &out_interface->mtu_bytes, "/sys/class/net/%s/mtu", name);
    use_ipv4(doctor, out_interface);
    use_routes(doctor, out_interface);
    use_ipv6(doctor, out_interface);
    if (doctor_link_name(doctor, master, sizeof(master), "/sys/class/net/%s/master", name)) {
        snprintf(text, sizeof(text), "port of %s", master);
        use_add(out_interface, text);
    }
    return true;
}

/* One that frames can go over, as far as can be seen. */
static bool say_good(struct doctor *doctor, const char *name,
                     const struct doctor_interface *interface)
{
    const int64_t room = interface->mtu_bytes - HEADERS_BYTES;
    const int64_t payload = room < PAYLOAD_BYTES_MAX ? room : PAYLOAD_BYTES_MAX;
    char use[200] = "";

    if (interface->use[0] != '\0') {
        snprintf(use, sizeof(use), ", shared with the kernel (%s)", interface->use);
    }
    doctor_say(doctor, interface->mtu_bytes < 1500 ? DOCTOR_WARN : DOCTOR_OK, name,
               "up, MTU %" PRId64 "%s: %" PRId64 " bytes of a frame are payload%s",
               interface->mtu_bytes, interface->mtu_bytes >= MTU_BYTES_JUMBO ? " (jumbo)" : "",
               payload, use);
    if (interface->mtu_bytes < 1500) {
        doctor_fix(doctor, "sudo ip link set dev %s mtu 1500   if the network takes it",
                   interface->name);
    } else if (interface->mtu_bytes < MTU_BYTES_JUMBO) {
        doctor_fix(doctor,
                   "for large blocks, if all peers and switches take it: sudo ip link set dev %s "
                   "mtu 9000 (8,972 bytes)",
                   interface->name);
    }
    return true;
}

/* Answers whether a link can run over it now. */
static bool say_interface(struct doctor *doctor, const struct doctor_interface *interface)
{
    const enum doctor_status bad = doctor->device != NULL ? DOCTOR_FAIL : DOCTOR_OK;
    char name[48];

    snprintf(name, sizeof(name), "interface %s", interface->name);
    if (!interface->ethernet) {
        doctor_say(doctor, DOCTOR_FAIL, name, "is not Ethernet");
        doctor_fix(doctor, "use an Ethernet interface, such as one end of a veth pair");
        return false;
    }
    if (!interface->up) {
        doctor_say(doctor, bad, name, "down");
        doctor_fix(doctor, "sudo ip link set dev %s up", interface->name);
        return false;
    }
    if (!interface->carrier) {
        doctor_say(doctor, bad == DOCTOR_FAIL ? bad : DOCTOR_WARN, name,
                   "up, but without carrier: nothing will arrive");
        doctor_fix(doctor, "plug the cable in, or bring the other end up (veth: its peer)");
        return false;
    }
    if (interface->mtu_bytes < MTU_BYTES_MIN) {
        doctor_say(doctor, bad == DOCTOR_FAIL ? bad : DOCTOR_WARN, name,
                   "MTU %" PRId64 " leaves no room for a frame", interface->mtu_bytes);
        doctor_fix(doctor, "sudo ip link set dev %s mtu 1500", interface->name);
        return false;
    }
    return say_good(doctor, name, interface);
}

static void say_asked(struct doctor *doctor)
{
    struct doctor_interface interface;
    char name[48];

    if (!doctor_interface_read(doctor, doctor->device, &interface)) {
        snprintf(name, sizeof(name), "interface %.32s", doctor->device);
        doctor_say(doctor, DOCTOR_FAIL, name, "there is no such interface");
        doctor_fix(doctor, "ip -br link   lists them");
        doctor_block(doctor, DOCTOR_AF_PACKET, DOCTOR_NOT_HERE, "no interface %s", doctor->device);
    } else if (!say_interface(doctor, &interface)) {
        doctor_block(doctor, DOCTOR_AF_PACKET, DOCTOR_AFTER_FIXES, "%s is not usable",
                     doctor->device);
    }
}

void doctor_check_interfaces(struct doctor *doctor, const char *name)
{
    struct doctor_list list;
    unsigned seen = 0;
    unsigned usable = 0;
    size_t index;

    if (!doctor_has(doctor, "/proc/net/packet")) {
        doctor_say(doctor, doctor_bad(doctor), name, "this kernel has no packet sockets");
        doctor_fix(doctor, "sudo modprobe af_packet");
        doctor_block(doctor, DOCTOR_AF_PACKET, DOCTOR_AFTER_FIXES, "no packet sockets");
        return;
    }
    if (doctor->device != NULL) {
        say_asked(doctor);
        return;
    }
    doctor_list_read(doctor, &list, "/sys/class/net");
    for (index = 0; index < list.count; index++) {
        struct doctor_interface interface;

        if (!doctor_interface_read(doctor, list.names[index], &interface) || !interface.ethernet) {
            continue;
        }
        seen += 1;
        if (seen <= INTERFACES_SHOWN_MAX) {
            usable += say_interface(doctor, &interface);
        }
    }
    doctor_list_fini(&list);
    if (seen > INTERFACES_SHOWN_MAX) {
        doctor_say(doctor, DOCTOR_SKIP, "interface (more)", "%u interfaces; name one with --device",
                   seen - INTERFACES_SHOWN_MAX);
    }
    if (usable == 0) {
        doctor_say(doctor, doctor_bad(doctor), name, "no Ethernet interface is up");
        doctor_fix(doctor, "on one machine, for a try: sudo ip link add fab0 type veth peer name "
                           "fab1 && sudo ip link set fab0 up && sudo ip link set fab1 up");
        doctor_block(doctor, DOCTOR_AF_PACKET, DOCTOR_AFTER_FIXES, "no Ethernet interface is up");
    }
}
