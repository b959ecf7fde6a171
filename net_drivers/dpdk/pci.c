/* SPDX-License-Identifier: Apache-2.0 */
/* Finding a PCI port, and saying what keeps it from working before DPDK hangs or says nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_ethdev.h>

#include "ether.h"
#include "log.h"

#define PCI_ADDRESS_BYTES 12u /* 0000:00:03.0 */
#define CONFIG_BYTES 256u
#define CONFIG_CAPABILITIES 0x34u
#define CAPABILITIES_MAX 48u /* as many have room */
#define CAPABILITY_MSI 0x05u
#define CAPABILITY_MSIX 0x11u
#define VENDOR_VIRTIO 0x1af4u
#define VIRTIO_MODERN_FIRST 0x1040u

static bool address_is_sane(const char *address)
{
    return strlen(address) == PCI_ADDRESS_BYTES &&
           strspn(address, "0123456789abcdefABCDEF:.") == PCI_ADDRESS_BYTES;
}

static uint32_t sysfs_number(const char *address, const char *name)
{
    char path[96], text[16] = "";
    FILE *file;

    (void)snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", address, name);
    file = fopen(path, "r");
    if (file == NULL) {
        return 0;
    }
    if (fgets(text, sizeof(text), file) == NULL) {
        text[0] = '\0';
    }
    (void)fclose(file);
    return (uint32_t)strtoul(text, NULL, 16);
}

/* The name of the kernel driver the device is bound to; "" if none. */
static void sysfs_driver(const char *address, char *out, size_t capacity)
{
    char path[96], target[256];
    ssize_t bytes;
    const char *name;

    (void)snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", address);
    bytes = readlink(path, target, sizeof(target) - 1);
    target[bytes > 0 ? bytes : 0] = '\0';
    name = strrchr(target, '/');
    (void)snprintf(out, capacity, "%s", name != NULL ? name + 1 : "");
}

/* Of the IOMMU, or of vfio's mode without one, which has a name. */
static bool behind_iommu(const char *address)
{
    char path[96];

    (void)snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", address);
    if (access(path, F_OK) != 0) {
        return false;
    }
    (void)snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group/name", address);
    return access(path, F_OK) != 0;
}

bool ether_pci_messages(const char *address)
{
    uint8_t config[CONFIG_BYTES] = {0};
    char path[96], driver[32];
    uint32_t at;
    FILE *file;

    sysfs_driver(address, driver, sizeof(driver));
    (void)snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", address);
    file = strcmp(driver, "vfio-pci") == 0 ? fopen(path, "r") : NULL;
    if (file == NULL) {
        return false;
    }
    (void)!fread(config, 1, sizeof(config), file);
    (void)fclose(file);
    at = config[CONFIG_CAPABILITIES] & ~3u;
    for (uint32_t i = 0; i < CAPABILITIES_MAX && at != 0; i++) {
        if (config[at] == CAPABILITY_MSI || config[at] == CAPABILITY_MSIX) {
            return true;
        }
        at = config[at + 1] & ~3u;
    }
    return false;
}

static sf_status pci_check(struct dpdk_port *port, const char *address)
{
    char path[64], driver[32];

    if (!address_is_sane(address)) {
        return dpdk__port_refuse(port, SF_BADARG, "the device is a PCI address, e.g. 0000:00:03.0");
    }
    (void)snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", address);
    if (access(path, F_OK) != 0) {
        return dpdk__port_refuse(port, SF_NOTFOUND,
                                 "there is no PCI device %s (look into /sys/bus/pci/devices); one "
                                 "for DPDK is bound to uio_pci_generic or vfio-pci",
                                 address);
    }
    sysfs_driver(address, driver, sizeof(driver));
    if (strcmp(driver, "uio_pci_generic") != 0 && strcmp(driver, "igb_uio") != 0 &&
        strcmp(driver, "vfio-pci") != 0) {
        return dpdk__port_refuse(
            port, SF_NOTFOUND,
            "PCI device %s is bound to %s: bind it to vfio-pci (with an IOMMU) "
            "or uio_pci_generic",
            address, driver[0] != '\0' ? driver : "no driver");
    }
    /* Such a device knows no IOMMU: its DMA would go astray, and DPDK would wait for it for ever.
     */
    if (strcmp(driver, "vfio-pci") == 0 && behind_iommu(address) &&
        sysfs_number(address, "vendor") == VENDOR_VIRTIO &&
        sysfs_number(address, "device") < VIRTIO_MODERN_FIRST) {
        return dpdk__port_refuse(port, SF_UNSUPPORTED,
                                 "%s is a transitional virtio device, which cannot work behind an "
                                 "IOMMU: bind it to uio_pci_generic, or make it modern (QEMU: "
                                 "disable-legacy=on,iommu_platform=on)",
                                 address);
    }
    return SF_OK;
}

sf_status ether_pci_find(struct dpdk_port *port, const char *address)
{
    sf_status st = pci_check(port, address);

    if (st != SF_OK) {
        return st;
    }
    (void)snprintf(port->device, sizeof(port->device), "%s", address);
    dpdk__log_catch();
    if (rte_eth_dev_get_port_by_name(address, &port->number) != 0 &&
        (rte_eal_hotplug_add("pci", address, "") != 0 ||
         rte_eth_dev_get_port_by_name(address, &port->number) != 0)) {
        port->device[0] = '\0';
        return dpdk__port_fail(port, SF_NOTFOUND,
                               "DPDK has no such port; was it in the pci_allow of link_dpdk_start, "
                               "and is its driver in this build (net_drivers/dpdk/README.md)?");
    }
    (void)dpdk__log_caught();
    return SF_OK;
}
