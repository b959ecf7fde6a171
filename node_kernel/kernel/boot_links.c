/* SPDX-License-Identifier: Apache-2.0 */
/* boot_links.c - PID 1 makes the devices of the node's links ready. See boot.h. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "boot.h"
#include "boot_private.h"
#include "link/rdma.h"
#include "log.h"

#define FABRIC_NET 0x0a4e0000u /* 10.78.0.0, of the first link */
#define FABRIC_NET_STEP 0x00010000u
#define FABRIC_MASK 0xffff0000u
#define HEADERS_BYTES 28u /* IPv4 and UDP, in front of a frame's payload */
#define PCI_CLASS_ETHERNET 0x020000u
#define PCI_BYTES 13u /* 0000:00:03.0 */
#define NICS_MAX 16u
#define VENDOR_VIRTIO 0x1af4u
#define VIRTIO_FEATURES 64 /* in sysfs a digit each */
#define VIRTIO_ACCESS_PLATFORM 33
#define RDMA_CLASS "/sys/class/infiniband"
#define RDMA_CM "/dev/infiniband/rdma_cm"
#define RDMA_WAIT_MS 5000u

/* A nic that is not the control network's. */
struct nic {
    char pci[PCI_BYTES]; /* "": it is no PCI device */
    char name[IFNAMSIZ]; /* "": Linux has no driver for it */
    uint8_t mac[6];      /* zeros without a name */
};

/* --- PCI devices ---------------------------------------------------------------------------------
 */

static sf_status hugepages_reserve(uint32_t pages, char *text, size_t text_capacity)
{
    static const char path[] = "/proc/sys/vm/nr_hugepages";
    char count[32];
    sf_status st;

    snprintf(count, sizeof(count), "%u", pages);
    st = boot__file_write(path, count, text, text_capacity);
    if (st != SF_OK) {
        return st;
    }
    if (boot__file_read(path, count, sizeof(count)) < 0 || strtoul(count, NULL, 10) < pages) {
        snprintf(text, text_capacity, "only %.8s of %u huge pages; give the machine more memory",
                 count, pages);
        return SF_NOMEM;
    }
    return SF_OK;
}

/* PCI address of the device under a nic: the first part of its real path that is one. */
static bool nic_pci(const char *name, char out_pci[PCI_BYTES])
{
    char link[PATH_MAX], path[PATH_MAX];
    char *rest = NULL;
    bool found = false;

    snprintf(link, sizeof(link), "/sys/class/net/%s/device", name);
    if (realpath(link, path) == NULL) {
        return false;
    }
    for (char *part = strtok_r(path, "/", &rest); part != NULL; part = strtok_r(NULL, "/", &rest)) {
        unsigned int domain, bus, device, function;
        char end;
        if (sscanf(part, "%4x:%2x:%2x.%1u%c", &domain, &bus, &device, &function, &end) == 4) {
            snprintf(out_pci, PCI_BYTES, "%04x:%02x:%02x.%u", domain & 0xffff, bus & 0xff,
                     device & 0xff, function & 7);
            found = true; /* the last one counts: bridges come before */
        }
    }
    return found;
}

/* What a virtio device and its driver have agreed on, of which bit 33 says that it goes through the
 * IOMMU. Its driver is still there when we look. */
static bool virtio_takes_iommu(const char *pci)
{
    char path[PATH_MAX], features[VIRTIO_FEATURES + 2] = "";
    DIR *folder;
    struct dirent *entry;
    bool takes = false;

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", pci);
    folder = opendir(path);
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (strncmp(entry->d_name, "virtio", 6) == 0) {
            snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%.32s/features", pci,
                     entry->d_name);
            takes = boot__file_read(path, features, sizeof(features)) > VIRTIO_ACCESS_PLATFORM &&
                    features[VIRTIO_ACCESS_PLATFORM] == '1';
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return takes;
}

/* Behind an IOMMU a device needs vfio-pci, which maps memory for it. Virtio devices may go around
 * it: these hang with vfio-pci. */
static const char *nic_driver(const char *pci)
{
    char path[PATH_MAX], vendor[16] = "";

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", pci);
    if (access(path, F_OK) != 0) {
        return "uio_pci_generic";
    }
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vendor", pci);
    if (boot__file_read(path, vendor, sizeof(vendor)) > 0 &&
        strtoul(vendor, NULL, 16) == VENDOR_VIRTIO && !virtio_takes_iommu(pci)) {
        return "uio_pci_generic";
    }
    return "vfio-pci";
}

static sf_status nic_bind(const char *pci, char *text, size_t text_capacity)
{
    const char *driver = nic_driver(pci);
    char path[PATH_MAX];
    sf_status st;

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver/unbind", pci);
    if (access(path, F_OK) == 0) {
        st = boot__file_write(path, pci, text, text_capacity);
        if (st != SF_OK) {
            return st;
        }
    }
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override", pci);
    st = boot__file_write(path, driver, text, text_capacity);
    if (st != SF_OK) {
        return st;
    }
    snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s/bind", driver);
    st = boot__file_write(path, pci, text, text_capacity);
    if (st == SF_OK) {
        node_log("PCI device %s is bound to %s", pci, driver);
    }
    return st;
}

/* --- nic1, nic2, ... -----------------------------------------------------------------------------
 */

static int pci_compare(const void *one, const void *two)
{
    return strcmp(one, two);
}

/* Ethernet controllers but that one, by address: also such that Linux has no driver for. */
static uint32_t controllers_list(const char *without, char out_list[NICS_MAX][PCI_BYTES])
{
    char path[PATH_MAX], class[16];
    DIR *folder = opendir("/sys/bus/pci/devices");
    struct dirent *entry;
    uint32_t count = 0;

    while (folder != NULL && count < NICS_MAX && (entry = readdir(folder)) != NULL) {
        snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/class", entry->d_name);
        if (strlen(entry->d_name) == PCI_BYTES - 1 && strcmp(entry->d_name, without) != 0 &&
            boot__file_read(path, class, sizeof(class)) > 0 &&
            strtoul(class, NULL, 16) == PCI_CLASS_ETHERNET) {
            memcpy(out_list[count++], entry->d_name, PCI_BYTES);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    qsort(out_list, count, PCI_BYTES, pci_compare);
    return count;
}

/* The interface of a PCI device, if it has one. */
static void interface_of(const char *pci, struct nic *nic)
{
    DIR *folder = opendir("/sys/class/net");
    char path[PATH_MAX], address[32] = "", here[PCI_BYTES];
    struct dirent *entry;

    while (folder != NULL && nic->name[0] == '\0' && (entry = readdir(folder)) != NULL) {
        if (strlen(entry->d_name) < IFNAMSIZ && nic_pci(entry->d_name, here) &&
            strcmp(here, pci) == 0) {
            snprintf(nic->name, sizeof(nic->name), "%.15s", entry->d_name);
            snprintf(path, sizeof(path), "/sys/class/net/%s/address", entry->d_name);
            if (boot__file_read(path, address, sizeof(address)) > 0) {
                address[strcspn(address, "\n")] = '\0';
                (void)links_mac(address, nic->mac);
            }
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
}

/* nicN, in the order of PCI addresses without nic0; a nic1 need not be a PCI device. */
static bool nic_take(const uint8_t mac0[6], uint32_t number, struct nic *out_nic)
{
    char list[NICS_MAX][PCI_BYTES], nic0[IFNAMSIZ], pci0[PCI_BYTES] = "";
    uint8_t found[6];
    uint32_t count;

    *out_nic = (struct nic){.pci = ""};
    if (boot__nic_find(mac0, false, nic0, found)) {
        (void)nic_pci(nic0, pci0);
    }
    count = controllers_list(pci0, list);
    if (number <= count) {
        memcpy(out_nic->pci, list[number - 1], PCI_BYTES);
        interface_of(out_nic->pci, out_nic);
        return true;
    }
    return number == 1 && boot__nic_find(mac0, true, out_nic->name, out_nic->mac);
}

/* --- RDMA ----------------------------------------------------------------------------------------
 */

/* The first of this machine, by name. */
static bool rdma_device_find(char out_name[LINKS_DEVICE_BYTES_MAX + 1])
{
    DIR *folder = opendir(RDMA_CLASS);
    struct dirent *entry;
    bool found = false;

    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] != '.' && strlen(entry->d_name) <= LINKS_DEVICE_BYTES_MAX &&
            (!found || strcmp(entry->d_name, out_name) < 0)) {
            memcpy(out_name, entry->d_name, strlen(entry->d_name) + 1);
            found = true;
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return found;
}

/* Not of RoCE: its connections are made by rdma_cm only. */
static bool rdma_is_iwarp(const char *device)
{
    char path[PATH_MAX], type[32];

    snprintf(path, sizeof(path), RDMA_CLASS "/%.127s/node_type", device);
    return boot__file_read(path, type, sizeof(type)) > 0 && strncmp(type, "4:", 2) == 0;
}

/* Of iWARP the only GID begins with the interface's MAC. */
static bool iwarp_interface(const char *device, char out_name[IFNAMSIZ])
{
    char path[PATH_MAX], gid[64], address[18];
    uint8_t mac[6], found[6];

    snprintf(path, sizeof(path), RDMA_CLASS "/%.127s/ports/1/gids/0", device);
    if (boot__file_read(path, gid, sizeof(gid)) < (ssize_t)sizeof("5254:0078:0001") - 1) {
        return false;
    }
    snprintf(address, sizeof(address), "%.2s:%.2s:%.2s:%.2s:%.2s:%.2s", gid, gid + 2, gid + 5,
             gid + 7, gid + 10, gid + 12);
    return links_mac(address, mac) && boot__nic_find(mac, false, out_name, found);
}

/* The interface under port 1 of a device that runs over Ethernet. */
static bool rdma_interface(const char *device, char out_name[IFNAMSIZ])
{
    char path[PATH_MAX], name[64];

    if (rdma_is_iwarp(device)) {
        return iwarp_interface(device, out_name);
    }
    snprintf(path, sizeof(path), RDMA_CLASS "/%.127s/ports/1/gid_attrs/ndevs/0", device);
    if (boot__file_read(path, name, sizeof(name)) <= 0) {
        return false;
    }
    name[strcspn(name, "\n")] = '\0';
    snprintf(out_name, IFNAMSIZ, "%.15s", name);
    return out_name[0] != '\0';
}

/* Whether one of its first GIDs is that address, which Linux enters by and by. */
static bool rdma_has_address(const char *device, uint32_t ipv4)
{
    char path[PATH_MAX], gid[64], wanted[64];
    bool has = false;

    snprintf(wanted, sizeof(wanted), "0000:0000:0000:0000:0000:ffff:%04x:%04x", ipv4 >> 16,
             ipv4 & 0xffffu);
    for (uint32_t i = 0; i < 16 && !has; i++) {
        snprintf(path, sizeof(path), RDMA_CLASS "/%.127s/ports/1/gids/%u", device, i);
        has = boot__file_read(path, gid, sizeof(gid)) > 0 &&
              strncmp(gid, wanted, strlen(wanted)) == 0;
    }
    return has;
}

/* GIDs of iWARP have no address in them. */
static bool rdma_is_ready(const char *device, uint32_t ipv4)
{
    return rdma_is_iwarp(device)
               ? access(RDMA_CM, R_OK | W_OK) == 0
               : rdma_has_address(device, ipv4) && access("/dev/infiniband", F_OK) == 0;
}

/* Until programs can use it under that address. */
static sf_status rdma_wait(const char *device, uint32_t ipv4, char *text, size_t text_capacity)
{
    static const struct timespec pause = {.tv_nsec = 10000000};

    for (uint32_t waited = 0; waited < RDMA_WAIT_MS; waited += 10) {
        if (rdma_is_ready(device, ipv4)) {
            return SF_OK;
        }
        nanosleep(&pause, NULL);
    }
    snprintf(text, text_capacity,
             rdma_is_iwarp(device) ? "the RDMA device %.127s is there, but not " RDMA_CM
                                   : "the RDMA device %.127s does not take the link's address",
             device);
    return SF_TIMEOUT;
}

static bool soft_is_siw(const struct node_link *link)
{
    return strcmp(link->soft, "siw") == 0;
}

/* Of a link by the name of a device, or `auto` where the machine has one: its interface. */
static sf_status rdma_resolve(struct node_link *link, const uint8_t mac0[6], struct nic *out_nic,
                              char *text, size_t text_capacity)
{
    uint32_t number = links_nic(link->device);

    if (strcmp(link->device, "auto") == 0 && !rdma_device_find(link->device)) {
        number = 1;
    }
    if (number == 0) {
        return SF_OK; /* its interface is known only when it is there: rdma_prepare */
    }
    if (!nic_take(mac0, number, out_nic) || out_nic->name[0] == '\0') {
        snprintf(text, text_capacity,
                 "fabric.link=rdma:%s: there is no RDMA device, nor an interface nic%u to make one "
                 "of",
                 link->device, number);
        return SF_NOTFOUND;
    }
    snprintf(link->device, sizeof(link->device), "%s_%.15s", soft_is_siw(link) ? "siw" : "rxe",
             out_nic->name);
    return SF_OK;
}

/* The device is named, and made if it is a soft one on nic. */
static sf_status rdma_prepare(const struct node_link *link, const struct nic *nic, char *text,
                              size_t text_capacity)
{
    /* soft-iWARP keeps to it whoever asks; Linux's 8 MiB are too few for two peers' frames. */
    static const struct rlimit locked = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    char interface[IFNAMSIZ] = "";
    sf_status st = SF_OK;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return boot__failed(text, text_capacity, "cannot make", "a socket");
    }
    if (setrlimit(RLIMIT_MEMLOCK, &locked) != 0) {
        node_log("the limit of locked memory stays: %s", strerror(errno));
    }
    snprintf(interface, sizeof(interface), "%s", nic->name);
    if (interface[0] == '\0' && !rdma_interface(link->device, interface)) {
        node_log("RDMA device %s is on no Ethernet interface", link->device);
    } else {
        st = boot__nic_up(fd, interface, link->ipv4, FABRIC_MASK, text, text_capacity);
    }
    close(fd);
    if (st == SF_OK && nic->name[0] != '\0') {
        st = link_rdma_soft_add(soft_is_siw(link) ? LINK_RDMA_SOFT_SIW : LINK_RDMA_SOFT_RXE,
                                link->device, interface, text, text_capacity);
        st = st == SF_EXISTS ? SF_OK : st;
    }
    if (st == SF_OK && interface[0] != '\0') {
        st = rdma_wait(link->device, link->ipv4, text, text_capacity);
    }
    if (st == SF_OK) {
        node_log("RDMA device %s is on %s%s", link->device,
                 interface[0] != '\0' ? interface : "no interface",
                 nic->name[0] == '\0' ? ""
                 : soft_is_siw(link)  ? ", soft-iWARP"
                                      : ", soft-RoCE");
    }
    return st;
}

/* --- a link --------------------------------------------------------------------------------------
 */

/* Puts the device's own name in the place of nic1. */
static sf_status nic_resolve(struct node_link *link, const uint8_t mac0[6], struct nic *out_nic,
                             char *text, size_t text_capacity)
{
    static const uint8_t none[6];
    uint32_t number = links_nic(link->device);

    if (number == 0) {
        return SF_OK;
    }
    if (!nic_take(mac0, number, out_nic) ||
        (out_nic->name[0] == '\0' && strcmp(link->driver, "dpdk") != 0)) {
        snprintf(text, text_capacity, "fabric.link=%s:%s: there is no %s nic", link->driver,
                 link->device, number == 1 ? "second" : "such");
        return SF_NOTFOUND;
    }
    if (strcmp(link->driver, "af_packet") == 0) {
        snprintf(link->device, sizeof(link->device), "%s", out_nic->name);
        return SF_OK;
    }
    if (out_nic->pci[0] == '\0') {
        snprintf(text, text_capacity, "%s is not a PCI nic", out_nic->name);
        return SF_UNSUPPORTED;
    }
    snprintf(link->device, sizeof(link->device), "%.12s", out_nic->pci);
    if (memcmp(link->mac, none, sizeof(none)) == 0) {
        memcpy(link->mac, out_nic->mac, sizeof(link->mac));
    }
    return SF_OK;
}

/* Nobody else on the machine does that. */
static sf_status interface_prepare(const struct node_link *link, char *text, size_t text_capacity)
{
    struct ifreq request = {0};
    sf_status st = SF_OK;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return boot__failed(text, text_capacity, "cannot make", "a socket");
    }
    snprintf(request.ifr_name, IFNAMSIZ, "%.15s", link->device);
    if (ioctl(fd, SIOCGIFMTU, &request) != 0) {
        st = boot__failed(text, text_capacity, "fabric.link=af_packet: there is no interface",
                          link->device);
    } else if ((uint32_t)request.ifr_mtu < link->mtu_bytes + HEADERS_BYTES &&
               link->mtu_bytes != 0) {
        request.ifr_mtu = (int)(link->mtu_bytes + HEADERS_BYTES);
        if (ioctl(fd, SIOCSIFMTU, &request) != 0) {
            st = boot__failed(text, text_capacity, "cannot raise the MTU of", link->device);
        }
    }
    if (st == SF_OK) {
        st = boot__nic_up(fd, link->device, 0, 0, text, text_capacity);
    }
    close(fd);
    return st;
}

static sf_status link_prepare(const struct node_link *link, const struct nic *nic, char *text,
                              size_t text_capacity)
{
    char path[PATH_MAX];

    if (strcmp(link->driver, "rdma") == 0) {
        return rdma_prepare(link, nic, text, text_capacity);
    }
    if (strcmp(link->driver, "af_packet") == 0) {
        return interface_prepare(link, text, text_capacity);
    }
    if (!links_is_pci(link)) {
        return SF_OK; /* a virtual device */
    }
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", link->device);
    if (access(path, F_OK) != 0) {
        return boot__failed(text, text_capacity, "fabric.link: PCI device", link->device);
    }
    return nic_bind(link->device, text, text_capacity);
}

static sf_status links_resolve(struct node_options *options, struct nic nics[LINKS_MAX], char *text,
                               size_t text_capacity)
{
    sf_status st = SF_OK;

    for (uint32_t i = 0; i < options->link_count && st == SF_OK; i++) {
        struct node_link *link = &options->links[i];

        nics[i] = (struct nic){.pci = ""};
        if (link->ipv4 == 0) {
            link->ipv4 = FABRIC_NET + i * FABRIC_NET_STEP + (options->ip & 0xffffu);
        }
        st = strcmp(link->driver, "rdma") == 0
                 ? rdma_resolve(link, options->mac, &nics[i], text, text_capacity)
                 : nic_resolve(link, options->mac, &nics[i], text, text_capacity);
        for (uint32_t k = 0; k < i && st == SF_OK && nics[i].pci[0] != '\0'; k++) {
            if (strcmp(nics[i].pci, nics[k].pci) == 0) {
                snprintf(text, text_capacity, "links %u and %u are both on %s; one link a nic",
                         k + 1, i + 1, nics[i].pci);
                st = SF_BADARG;
            }
        }
    }
    return st == SF_OK /* again: now they are named by what they are */
               ? links_check(options->links, options->link_count, text, text_capacity)
               : st;
}

sf_status boot_links(struct node_options *options, char *text, size_t text_capacity)
{
    struct nic nics[LINKS_MAX];
    uint32_t pci_count;
    sf_status st;

    if (options->link_count == 0) {
        char nic[IFNAMSIZ];
        uint8_t mac[6];

        if (!boot__nic_find(options->mac, true, nic, mac)) {
            node_log("there is no second nic: this node has no fabric link");
            return SF_OK;
        }
        options->links[0] = (struct node_link){.driver = "virtio", .device = LINKS_NIC "1"};
        options->link_count = 1;
    }
    st = links_resolve(options, nics, text, text_capacity);
    pci_count = links_pci_count(options->links, options->link_count);
    if (st == SF_OK && pci_count > 0) {
        st = hugepages_reserve(BOOT_HUGEPAGES + (pci_count - 1) * BOOT_HUGEPAGES_MORE, text,
                               text_capacity);
    }
    for (uint32_t i = 0; i < options->link_count && st == SF_OK; i++) {
        st = link_prepare(&options->links[i], &nics[i], text, text_capacity);
    }
    return st;
}
