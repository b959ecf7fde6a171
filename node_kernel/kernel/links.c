/* SPDX-License-Identifier: Apache-2.0 */
#include "links.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fabric/fabric.h"
#include "link/link.h"

#define MEMORY_MIB 64u     /* what DPDK takes without any link of ours: memif needs it, too */
#define MEMORY_OWN_MIB 32u /* more for the largest pool of frames, which links share */
#define CHARACTERS                                                                                 \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"                               \
    "._/-+:@"

_Static_assert(FAB_MTU_BYTES_MIN == 512 && FAB_MTU_BYTES_MAX == 9216, "said in take_mtu");
_Static_assert(LINK_QUEUES_MAX == 16, "said in take_queues");
_Static_assert(LINKS_MAX == LINK_DPDK_PCI_MAX, "each link may be a PCI device");

static sf_status refuse(char *text, size_t capacity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static sf_status refuse(char *text, size_t capacity, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(text, capacity, format, args);
    va_end(args);
    return SF_BADARG;
}

/* --- devices -------------------------------------------------------------------------------------
 */

/* 0000:00:03.0 */
static bool pci_address(const char *text)
{
    static const char form[] = "hhhh:hh:hh.o";
    size_t i;

    for (i = 0; form[i] != '\0' && text[i] != '\0'; i++) {
        const char *set = form[i] == 'h' ? "0123456789abcdefABCDEF" : "01234567";
        bool literal = form[i] == ':' || form[i] == '.';
        if (literal ? text[i] != form[i] : strchr(set, text[i]) == NULL) {
            return false;
        }
    }
    return form[i] == '\0' && text[i] == '\0';
}

/* As the kernel takes it for the name of an interface. */
static bool interface_name(const char *text)
{
    size_t length = strlen(text);

    return length > 0 && length < IFNAMSIZ && strpbrk(text, "/:,=") == NULL;
}

uint32_t links_nic(const char *device)
{
    size_t length = strlen(LINKS_NIC);
    const char *digit = device + length;

    if (strncmp(device, LINKS_NIC, length) != 0 || *digit < '1' || *digit > '0' + (int)LINKS_MAX ||
        digit[1] != '\0') {
        return 0;
    }
    return (uint32_t)(*digit - '0');
}

bool links_is_pci(const struct node_link *link)
{
    return pci_address(link->device);
}

static sf_status device_check(const struct node_link *link, char *text, size_t capacity)
{
    const char *device = link->device;
    const char *more = strchr(device, ','); /* arguments of a virtual device */
    bool virtual = strncmp(device, "net_", 4) == 0;

    if (strspn(device, CHARACTERS) != (more != NULL ? (size_t)(more - device) : strlen(device)) ||
        (more != NULL && strspn(more, CHARACTERS ",=") != strlen(more))) {
        return refuse(text, capacity, "device '%s' has characters that no device has", device);
    }
    if (strcmp(link->driver, "af_packet") == 0) {
        return interface_name(device) ? SF_OK
                                      : refuse(text, capacity,
                                               "'%s' is no network interface: af_packet takes its "
                                               "name, e.g. af_packet:eth1",
                                               device);
    }
    if (strcmp(link->driver, "rdma") == 0) {
        return SF_OK; /* a name, which the driver looks up */
    }
    if (links_nic(device) != 0 || pci_address(device)) {
        return SF_OK;
    }
    if (strcmp(link->driver, "virtio") == 0) {
        return refuse(text, capacity,
                      "'%s' is no PCI address: virtio takes one, e.g. virtio:0000:00:03.0", device);
    }
    return virtual ? SF_OK
                   : refuse(text, capacity,
                            "'%s' is no device: dpdk takes a PCI address, e.g. dpdk:0000:00:03.0, "
                            "or a virtual device, net_NAME0[,ARGUMENTS]",
                            device);
}

/* --- a MAC address -------------------------------------------------------------------------------
 */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

bool links_mac(const char *text, uint8_t out_mac[6])
{
    uint8_t mac[6];

    if (strlen(text) != 17) {
        return false;
    }
    for (int i = 0; i < 6; i++) {
        int high = hex_digit(text[3 * i]);
        int low = hex_digit(text[3 * i + 1]);
        if (high < 0 || low < 0 || (i < 5 && text[3 * i + 2] != ':')) {
            return false;
        }
        mac[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(out_mac, mac, sizeof(mac));
    return true;
}

/* --- keys: each answers NULL, or what was expected -----------------------------------------------
 */

static const char *take_address(struct node_link *link, const char *value)
{
    struct in_addr address;

    if (link->ipv4 != 0) {
        return "is there twice";
    }
    if (inet_pton(AF_INET, value, &address) != 1 || address.s_addr == 0 ||
        IN_MULTICAST(ntohl(address.s_addr)) || address.s_addr == INADDR_BROADCAST) {
        return "takes the IPv4 address of one node, e.g. 10.78.0.1";
    }
    link->ipv4 = ntohl(address.s_addr);
    return NULL;
}

static const char *take_mtu(struct node_link *link, const char *value)
{
    uint32_t number = 0;
    size_t digits = strspn(value, "0123456789");

    if (link->mtu_bytes != 0) {
        return "is there twice";
    }
    for (size_t i = 0; i < digits && i < 6; i++) {
        number = number * 10 + (uint32_t)(value[i] - '0');
    }
    if (digits == 0 || digits > 5 || value[digits] != '\0' || number < FAB_MTU_BYTES_MIN ||
        number > FAB_MTU_BYTES_MAX) {
        return "takes 512 to 9216 bytes, at most the network's MTU less 28";
    }
    link->mtu_bytes = number;
    return NULL;
}

static const char *take_mac(struct node_link *link, const char *value)
{
    static const uint8_t none[6];

    if (memcmp(link->mac, none, sizeof(none)) != 0) {
        return "is there twice";
    }
    if (!links_mac(value, link->mac)) {
        return "takes six pairs of hexadecimal digits with colons";
    }
    if ((link->mac[0] & 1) != 0 || memcmp(link->mac, none, sizeof(none)) == 0) {
        return "takes the address of one device: not zeros, and an even second digit";
    }
    return NULL;
}

static const char *take_queues(struct node_link *link, const char *value)
{
    size_t digits = strspn(value, "0123456789");
    int number = digits > 0 && digits <= 2 && value[digits] == '\0' ? atoi(value) : 0;

    if (link->queues != 0) {
        return "is there twice";
    }
    if (number < 1 || number > (int)LINK_QUEUES_MAX) {
        return "takes 1 to 16";
    }
    link->queues = (uint16_t)number;
    return NULL;
}

static const char *take_reads(struct node_link *link, const char *value)
{
    size_t digits = strspn(value, "0123456789");
    int bytes = digits > 0 && digits <= 8 && value[digits] == '\0' ? atoi(value) : 0;

    if (link->reads != 0) {
        return "is there twice";
    }
    if (strcmp(link->driver, "rdma") != 0) {
        return "is for rdma";
    }
    if (bytes < (int)LINKS_READS_MIN) {
        return "takes the size of the smallest block to be read, 4096 to 99999999";
    }
    link->reads = (uint32_t)bytes;
    return NULL;
}

static const char *take_cm(struct node_link *link, const char *value)
{
    if (link->cm_given) {
        return "is there twice";
    }
    if (strcmp(link->driver, "rdma") != 0) {
        return "is for rdma";
    }
    link->cm = strcmp(value, "on") == 0;
    link->cm_given = true;
    return link->cm || strcmp(value, "off") == 0 ? NULL : "takes on or off";
}

static const char *take_soft(struct node_link *link, const char *value)
{
    if (link->soft[0] != '\0') {
        return "is there twice";
    }
    if (strcmp(link->driver, "rdma") != 0) {
        return "is for rdma";
    }
    if (strcmp(value, "rxe") != 0 && strcmp(value, "siw") != 0) {
        return "takes what a booted node makes of a nic: rxe (soft-RoCE) or siw (soft-iWARP)";
    }
    memcpy(link->soft, value, sizeof(link->soft));
    return NULL;
}

static const struct {
    const char *key;
    const char *(*take)(struct node_link *link, const char *value);
} keys[] = {
    {"address=", take_address}, {"mtu=", take_mtu}, {"mac=", take_mac},   {"queues=", take_queues},
    {"reads=", take_reads},     {"cm=", take_cm},   {"soft=", take_soft},
};
#define KEYS (sizeof(keys) / sizeof(keys[0]))

static size_t key_of(const char *item)
{
    size_t i = 0;

    while (i < KEYS && strncmp(item, keys[i].key, strlen(keys[i].key)) != 0) {
        i++;
    }
    return i;
}

/* Where the keys of the link begin: at the first of ours; NULL: there is none. */
static char *keys_begin(char *device)
{
    char *comma = strchr(device, ',');

    while (comma != NULL && key_of(comma + 1) == KEYS) {
        comma = strchr(comma + 1, ',');
    }
    return comma;
}

static sf_status keys_take(struct node_link *link, char *rest, char *text, size_t capacity)
{
    char *place = NULL;

    for (char *item = strtok_r(rest, ",", &place); item != NULL;
         item = strtok_r(NULL, ",", &place)) {
        size_t key = key_of(item);
        const char *wrong;

        if (key == KEYS) {
            return refuse(text, capacity,
                          "'%s' is none of address=, mtu=, mac=, queues=, reads=, cm= and soft=, "
                          "with which a link ends (arguments of a virtual device come before)",
                          item);
        }
        wrong = keys[key].take(link, item + strlen(keys[key].key));
        if (wrong != NULL) {
            return refuse(text, capacity, "%s: %.*s %s", item, (int)strlen(keys[key].key) - 1,
                          keys[key].key, wrong);
        }
    }
    return SF_OK;
}

/* --- a link --------------------------------------------------------------------------------------
 */

static sf_status driver_take(struct node_link *link, const char *value, size_t length, char *text,
                             size_t capacity)
{
    static const char *const drivers[] = {"af_packet", "virtio", "dpdk", "rdma"};

    for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
        if (strlen(drivers[i]) == length && strncmp(drivers[i], value, length) == 0) {
            snprintf(link->driver, sizeof(link->driver), "%s", drivers[i]);
            return SF_OK;
        }
    }
    if (length == 5 && strncmp(value, "memif", length) == 0) {
        return refuse(text, capacity,
                      "memif joins two nodes and is made by fabricd; a node brings links of "
                      "af_packet, virtio, dpdk or rdma");
    }
    return refuse(text, capacity, "'%.*s' is no driver of links: af_packet, virtio, dpdk or rdma",
                  length < 32 ? (int)length : 32, value);
}

sf_status links_parse(const char *value, struct node_link *out_link, char *text,
                      size_t text_capacity)
{
    char rest[512];
    const char *colon = strchr(value, ':');
    struct node_link link = {.ipv4 = 0};
    char *tail;
    sf_status st;

    if (colon == NULL || strlen(colon + 1) >= sizeof(rest)) {
        return refuse(text, text_capacity,
                      "expected " LINKS_SYNTAX ", e.g. af_packet:eth1,address=10.78.0.1");
    }
    st = driver_take(&link, value, (size_t)(colon - value), text, text_capacity);
    if (st != SF_OK) {
        return st;
    }
    snprintf(rest, sizeof(rest), "%s", colon + 1);
    tail = keys_begin(rest);
    if (tail != NULL) {
        *tail++ = '\0';
    }
    if (rest[0] == '\0' || strlen(rest) > LINKS_DEVICE_BYTES_MAX) {
        return refuse(text, text_capacity,
                      "%s: a device of 1 to %u bytes was expected: " LINKS_SYNTAX, link.driver,
                      LINKS_DEVICE_BYTES_MAX);
    }
    memcpy(link.device, rest, strlen(rest) + 1);
    st = device_check(&link, text, text_capacity);
    if (st == SF_OK && tail != NULL) {
        st = keys_take(&link, tail, text, text_capacity);
    }
    if (st == SF_OK) {
        *out_link = link;
    }
    return st;
}

sf_status links_check(const struct node_link links[], uint32_t count, char *text,
                      size_t text_capacity)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            if (strcmp(links[i].device, links[k].device) == 0) {
                return refuse(text, text_capacity,
                              "links %u and %u are both on %s; one link a device", k + 1, i + 1,
                              links[i].device);
            }
            if (links[i].ipv4 != 0 && links[i].ipv4 == links[k].ipv4) {
                uint32_t ip = links[i].ipv4;
                return refuse(text, text_capacity,
                              "links %u and %u both have address %u.%u.%u.%u; one each", k + 1,
                              i + 1, ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
            }
        }
    }
    return SF_OK;
}

/* --- DPDK ----------------------------------------------------------------------------------------
 */

uint32_t links_pci_count(const struct node_link links[], uint32_t count)
{
    uint32_t pci = 0;

    for (uint32_t i = 0; i < count; i++) {
        pci += links_is_pci(&links[i]);
    }
    return pci;
}

bool links_any_dpdk(const struct node_link links[], uint32_t count)
{
    bool any = false;

    for (uint32_t i = 0; i < count; i++) {
        any = any || strcmp(links[i].driver, "rdma") != 0;
    }
    return any;
}

void links_dpdk(const struct node_link links[], uint32_t count, char pci[LINKS_PCI_BYTES],
                struct link_dpdk_options *options)
{
    size_t used = 0;

    *options = (struct link_dpdk_options){.hugepages = links_pci_count(links, count) > 0};
    pci[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        if (links_is_pci(&links[i])) {
            used += (size_t)snprintf(pci + used, LINKS_PCI_BYTES - used, "%s%s",
                                     used > 0 ? " " : "", links[i].device);
        }
    }
    if (options->hugepages) {
        options->pci_allow = pci; /* memory: as it is needed */
    } else if (count > 0) {
        options->memory_mib = MEMORY_MIB + MEMORY_OWN_MIB;
    }
}
