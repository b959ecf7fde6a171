/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor_pci.c - what DPDK needs to drive a device itself: hugepages, an IOMMU or a way around it,
 * a kernel module that hands the device over, and the device.
 *
 * Sources: DPDK Getting Started Guide for Linux, chapters "System Requirements" (hugepages) and
 * "Linux Drivers" (vfio, no-IOMMU mode, uio, Secure Boot, bifurcated drivers, binding);
 * Documentation/driver-api/vfio.rst (groups), admin-guide/mm/hugetlbpage.rst,
 * admin-guide/kernel-parameters.txt, ABI/testing/sysfs-bus-pci.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/doctor.h"

#define HUGE_2M "/sys/kernel/mm/hugepages/hugepages-2048kB"
#define HUGE_1G "/sys/kernel/mm/hugepages/hugepages-1048576kB"
#define HUGE_LINK 2u  /* pages of 2 MiB that one link takes */
#define HUGE_NODE 32u /* that a booted node reserves */
#define VENDOR_VIRTIO 0x1af4
#define CLASS_ETHERNET 0x0200
#define CLASS_BRIDGE 0x06
#define NICS_SHOWN_MAX 32u

/* --- hugepages ----------------------------------------------------------------------------------
 */

/* ": node0 32 free, node1 0" if there is more than one; answers a node without any, or -1. */
static int64_t add_numa(const struct doctor *doctor, struct doctor_text *text)
{
    struct doctor_list nodes;
    int64_t without = -1;
    unsigned count = 0;
    size_t index;

    doctor_list_read(doctor, &nodes, "/sys/devices/system/node");
    for (index = 0; index < nodes.count; index++) {
        const char *name = nodes.names[index];
        int64_t unused = 0;
        char *end;
        long number;

        if (strncmp(name, "node", 4) != 0) {
            continue;
        }
        number = strtol(name + 4, &end, 10);
        if (end == name + 4 || *end != '\0' ||
            !doctor_read_number(doctor, &unused,
                                "/sys/devices/system/node/%s/hugepages/hugepages-2048kB/"
                                "free_hugepages",
                                name)) {
            continue;
        }
        doctor_add(text, "%s%s %" PRId64 " free", count > 0 ? ", " : ": ", name, unused);
        if (unused < HUGE_LINK && without < 0) {
            without = number;
        }
        count += 1;
    }
    doctor_list_fini(&nodes);
    if (count < 2) {
        text->used = 0;
        text->bytes[0] = '\0';
        return -1;
    }
    return without;
}

void doctor_check_hugepages(struct doctor *doctor, const char *name)
{
    struct doctor_text numa = {.used = 0};
    int64_t total = 0;
    int64_t unused = 0;
    int64_t without;

    if (!doctor_read_number(doctor, &total, HUGE_2M "/nr_hugepages") ||
        !doctor_read_number(doctor, &unused, HUGE_2M "/free_hugepages")) {
        doctor_say(doctor, doctor_bad(doctor), name, "this kernel has none of 2 MiB");
        doctor_fix(doctor, "boot a kernel with CONFIG_HUGETLBFS (Debian's have it)");
        doctor_block(doctor, DOCTOR_PCI, DOCTOR_NOT_HERE, "the kernel has no hugepages");
        return;
    }
    doctor->huge_free = unused > 0 ? (uint64_t)unused : 0;
    without = add_numa(doctor, &numa);
    if (unused < HUGE_LINK) {
        doctor_say(doctor, doctor_bad(doctor), name,
                   "%" PRId64 " of 2 MiB, %" PRId64 " free; one link takes %u", total, unused,
                   HUGE_LINK);
        doctor_fix(doctor, "echo %" PRId64 " | sudo tee " HUGE_2M "/nr_hugepages",
                   (total > 0 ? total : 0) + HUGE_NODE);
        doctor_block(doctor, DOCTOR_PCI, DOCTOR_AFTER_FIXES, "no free hugepages");
    } else if (without >= 0) {
        doctor_say(doctor, DOCTOR_WARN, name,
                   "%" PRId64 " of 2 MiB, %" PRId64 " free%s: a device there would use memory of "
                   "another processor",
                   total, unused, numa.bytes);
        doctor_fix(doctor,
                   "echo %u | sudo tee /sys/devices/system/node/node%" PRId64
                   "/hugepages/hugepages-2048kB/nr_hugepages",
                   HUGE_NODE, without);
    } else {
        doctor_say(doctor, DOCTOR_OK, name,
                   "%" PRId64 " of 2 MiB, %" PRId64 " free%s; hugetlbfs need not be mounted", total,
                   unused, numa.bytes);
    }
}

void doctor_check_gigapages(struct doctor *doctor, const char *name)
{
    int64_t total = 0;
    int64_t unused = 0;

    if (doctor_read_number(doctor, &total, HUGE_1G "/nr_hugepages") && total > 0) {
        (void)doctor_read_number(doctor, &unused, HUGE_1G "/free_hugepages");
        doctor_say(doctor, DOCTOR_OK, name, "%" PRId64 " of 1 GiB, %" PRId64 " free; not needed",
                   total, unused);
    } else {
        doctor_say(doctor, DOCTOR_OK, name, "none; not needed");
    }
}

/* --- who hands a device over --------------------------------------------------------------------
 */

static uint64_t iommu_groups(const struct doctor *doctor)
{
    struct doctor_list groups;
    uint64_t count;

    doctor_list_read(doctor, &groups, "/sys/kernel/iommu_groups");
    count = groups.count;
    doctor_list_fini(&groups);
    return count;
}

void doctor_check_iommu(struct doctor *doctor, const char *name)
{
    static const char *const offs[] = {"iommu=off", "intel_iommu=off", "amd_iommu=off"};
    char line[4096] = "";
    char cpuinfo[16384] = "";
    size_t index;

    (void)doctor_read(doctor, line, sizeof(line), "/proc/cmdline");
    (void)doctor_read(doctor, cpuinfo, sizeof(cpuinfo), "/proc/cpuinfo");
    doctor->iommu_count = iommu_groups(doctor);
    if (doctor->iommu_count > 0) {
        doctor_say(doctor, DOCTOR_OK, name, "%" PRIu64 " groups%s", doctor->iommu_count,
                   doctor_has_word(line, "iommu=pt") ? ", the kernel's own devices pass through"
                                                     : "");
        return;
    }
    for (index = 0; index < sizeof(offs) / sizeof(offs[0]); index++) {
        if (doctor_has_word(line, offs[index])) {
            doctor_say(doctor, DOCTOR_WARN, name,
                       "switched off by %s on the kernel command line: a device can reach all "
                       "memory",
                       offs[index]);
            doctor_fix(doctor,
                       "take %s out of GRUB_CMDLINE_LINUX in /etc/default/grub, then: sudo "
                       "update-grub && sudo reboot",
                       offs[index]);
            return;
        }
    }
    doctor_say(doctor, DOCTOR_WARN, name, "none in use: a device can reach all memory");
    if (strstr(cpuinfo, " hypervisor") != NULL) {
        doctor_fix(doctor,
                   "give the virtual machine one (QEMU: -M q35,kernel-irqchip=split -device "
                   "intel-iommu,intremap=on) and its kernel intel_iommu=on; uio does "
                   "without");
    } else if (strstr(cpuinfo, "AuthenticAMD") != NULL) {
        doctor_fix(doctor, "switch AMD-Vi (IOMMU, SVM) on in the firmware's set-up and restart");
    } else {
        doctor_fix(doctor,
                   "switch VT-d on in the firmware's set-up, add intel_iommu=on iommu=pt to "
                   "GRUB_CMDLINE_LINUX in /etc/default/grub, then: sudo update-grub && "
                   "sudo reboot");
    }
}

void doctor_check_vfio(struct doctor *doctor, const char *name)
{
    static const char unsafe[] = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode";
    const bool loaded = doctor_has(doctor, "/sys/bus/pci/drivers/vfio-pci");
    const bool iommu = doctor->iommu_count > 0;
    char mode[16] = "";

    (void)doctor_read(doctor, mode, sizeof(mode), "%s", unsafe);
    doctor->vfio_ready = loaded && (iommu || mode[0] == 'Y');
    doctor->vfio_can =
        loaded ? iommu || mode[0] != '\0' : doctor_module_there(doctor, "/vfio-pci.ko");
    if (doctor->vfio_ready && iommu) {
        doctor_say(doctor, DOCTOR_OK, name,
                   "vfio-pci is loaded, devices are kept apart by the "
                   "IOMMU");
    } else if (doctor->vfio_ready) {
        doctor_say(doctor, DOCTOR_OK, name,
                   "vfio-pci is loaded in no-IOMMU mode: works, but a device can reach all memory");
    } else if (loaded && !doctor->vfio_can) {
        doctor_say(
            doctor, DOCTOR_WARN, name,
            "vfio-pci is loaded, but there is no IOMMU, and no no-IOMMU mode in this kernel");
        doctor_fix(doctor, "get an IOMMU (see above), or use uio");
    } else if (loaded) {
        doctor_say(doctor, DOCTOR_WARN, name,
                   "vfio-pci is loaded, but there is no IOMMU: no device will open");
        doctor_fix(doctor, "echo 1 | sudo tee %s   (unprotected, as uio is)", unsafe);
    } else if (doctor->vfio_can) {
        doctor_say(doctor, DOCTOR_WARN, name, "vfio-pci is not loaded");
        doctor_fix(doctor, "sudo modprobe vfio-pci%s",
                   iommu ? ""
                         : " && echo 1 | sudo tee /sys/module/vfio/parameters/"
                           "enable_unsafe_noiommu_mode");
    } else {
        doctor_say(doctor, DOCTOR_WARN, name, "this kernel has no vfio-pci");
        doctor_fix(doctor, "boot a kernel with CONFIG_VFIO_PCI (Debian: sudo apt install "
                           "linux-image-amd64)");
    }
}

/* The last of the two: says so if neither is there. */
void doctor_check_uio(struct doctor *doctor, const char *name)
{
    const bool loaded = doctor_has(doctor, "/sys/bus/pci/drivers/uio_pci_generic");
    const bool available = loaded || doctor_module_there(doctor, "/uio_pci_generic.ko");
    char lockdown[128] = "";
    bool locked;

    (void)doctor_read(doctor, lockdown, sizeof(lockdown), "/sys/kernel/security/lockdown");
    locked =
        strstr(lockdown, "[integrity]") != NULL || strstr(lockdown, "[confidentiality]") != NULL;
    doctor->uio_ready = loaded && !locked;
    doctor->uio_can = available && !locked;
    if (doctor->uio_ready) {
        doctor_say(doctor, DOCTOR_OK, name, "uio_pci_generic is loaded");
    } else if (doctor->vfio_ready) {
        doctor_say(doctor, DOCTOR_OK, name, "uio_pci_generic is %s; vfio is the better one",
                   locked ? "locked down" : "not loaded");
    } else if (locked) {
        doctor_say(doctor, doctor_bad(doctor), name,
                   "the kernel is locked down (Secure Boot): uio gets no device, and vfio is not "
                   "ready");
        doctor_fix(doctor, "use vfio with an IOMMU (see above), or switch Secure Boot off");
    } else if (available) {
        doctor_say(doctor, doctor_bad(doctor), name,
                   "uio_pci_generic is not loaded, and vfio is not ready");
        doctor_fix(doctor, "sudo modprobe uio_pci_generic");
    } else {
        doctor_say(doctor, doctor_bad(doctor), name, "this kernel has no uio_pci_generic%s",
                   doctor->vfio_can ? "" : " and no vfio-pci");
        doctor_fix(doctor, doctor->vfio_can ? "see vfio"
                                            : "boot a kernel with CONFIG_UIO_PCI_GENERIC (Debian: "
                                              "sudo apt install linux-image-amd64)");
    }
    if (!doctor->uio_ready && !doctor->vfio_ready) {
        doctor_block(doctor, DOCTOR_PCI,
                     doctor->vfio_can || doctor->uio_can ? DOCTOR_AFTER_FIXES : DOCTOR_NOT_HERE,
                     "no vfio-pci and no uio_pci_generic to hand a device over");
    }
}

/* --- devices ------------------------------------------------------------------------------------
 */

struct nic {
    const char *pci;
    unsigned driver_bit; /* DOCTOR_VIRTIO or DOCTOR_DPDK */
    int64_t vendor;
    int64_t device;
    int64_t numa;
    char bound[64];     /* kernel driver; empty: none */
    char interface[64]; /* empty: none */
    char virtio[64];    /* its device on the virtio bus */
    struct doctor_interface net;
    bool has_net;
    bool ready;      /* bound for DPDK */
    bool bifurcated; /* DPDK works beside the kernel's driver */
};

/* The interface is below the device, or below its device on the virtio bus. */
static void nic_interface(const struct doctor *doctor, struct nic *nic)
{
    struct doctor_list below;
    struct doctor_list net;
    size_t index;

    doctor_list_read(doctor, &below, "/sys/bus/pci/devices/%s", nic->pci);
    for (index = 0; index < below.count && nic->virtio[0] == '\0'; index++) {
        const char *name = below.names[index];
        if (strncmp(name, "virtio", 6) == 0 && strlen(name) < sizeof(nic->virtio)) {
            snprintf(nic->virtio, sizeof(nic->virtio), "%s", name);
        }
    }
    doctor_list_fini(&below);
    doctor_list_read(doctor, &net, "/sys/bus/pci/devices/%s%s%s/net", nic->pci,
                     nic->virtio[0] != '\0' ? "/" : "", nic->virtio);
    if (net.count > 0) {
        snprintf(nic->interface, sizeof(nic->interface), "%s", net.names[0]);
        nic->has_net = doctor_interface_read(doctor, nic->interface, &nic->net);
    }
    doctor_list_fini(&net);
}

/* False: not an Ethernet device. */
static bool nic_read(const struct doctor *doctor, const char *pci, struct nic *out_nic)
{
    static const char *const handed[] = {"vfio-pci", "uio_pci_generic", "igb_uio", NULL};
    static const char *const bifurcated[] = {"mlx4_core", "mlx5_core", NULL};
    int64_t class_code = 0;

    *out_nic = (struct nic){.pci = pci, .numa = -1};
    if (!doctor_read_number(doctor, &class_code, "/sys/bus/pci/devices/%s/class", pci) ||
        class_code >> 8 != CLASS_ETHERNET) {
        return false;
    }
    (void)doctor_read_number(doctor, &out_nic->vendor, "/sys/bus/pci/devices/%s/vendor", pci);
    (void)doctor_read_number(doctor, &out_nic->device, "/sys/bus/pci/devices/%s/device", pci);
    (void)doctor_read_number(doctor, &out_nic->numa, "/sys/bus/pci/devices/%s/numa_node", pci);
    (void)doctor_link_name(doctor, out_nic->bound, sizeof(out_nic->bound),
                           "/sys/bus/pci/devices/%s/driver", pci);
    out_nic->driver_bit = out_nic->vendor == VENDOR_VIRTIO ? DOCTOR_VIRTIO : DOCTOR_DPDK;
    out_nic->ready = ctl_one_of(out_nic->bound, handed);
    out_nic->bifurcated = ctl_one_of(out_nic->bound, bifurcated);
    nic_interface(doctor, out_nic);
    return true;
}

static void nic_describe(const struct nic *nic, struct doctor_text *text)
{
    doctor_add(text, "%04" PRIx64 ":%04" PRIx64 "%s, driver %s", (uint64_t)nic->vendor & 0xffff,
               (uint64_t)nic->device & 0xffff, nic->vendor == VENDOR_VIRTIO ? " (virtio)" : "",
               nic->bound[0] != '\0' ? nic->bound : "none");
    if (nic->has_net) {
        doctor_add(text, ", %s %s, MTU %" PRId64, nic->net.name,
                   !nic->net.up       ? "down"
                   : nic->net.carrier ? "up"
                                      : "up without carrier",
                   nic->net.mtu_bytes);
    }
    if (nic->numa >= 0) {
        doctor_add(text, ", NUMA node %" PRId64, nic->numa);
    }
}

/* vfio.rst: a group is given away only as a whole. Answers the first device in the way. */
static bool group_blocked(const struct doctor *doctor, const char *pci, char *out_other,
                          size_t capacity)
{
    struct doctor_list members;
    bool blocked = false;
    size_t index;

    doctor_list_read(doctor, &members, "/sys/bus/pci/devices/%s/iommu_group/devices", pci);
    for (index = 0; index < members.count && !blocked; index++) {
        const char *other = members.names[index];
        char bound[64];
        int64_t class_code = 0;

        if (strcmp(other, pci) == 0 ||
            !doctor_link_name(doctor, bound, sizeof(bound), "/sys/bus/pci/devices/%s/driver",
                              other) ||
            strcmp(bound, "vfio-pci") == 0) {
            continue;
        }
        (void)doctor_read_number(doctor, &class_code, "/sys/bus/pci/devices/%s/class", other);
        if (class_code >> 16 == CLASS_BRIDGE) {
            continue;
        }
        snprintf(out_other, capacity, "%s (%s)", other, bound);
        blocked = true;
    }
    doctor_list_fini(&members);
    return blocked;
}

/*
 * Which module suits: vfio where it is safe. A virtio device of which the hypervisor says that it
 * goes around the IOMMU (feature VIRTIO_F_ACCESS_PLATFORM, bit 33, is off) hangs EAL under vfio.
 * NULL: neither can be had.
 */
static const char *module_for(const struct doctor *doctor, const struct nic *nic)
{
    char features[80];

    if (!doctor->uio_can) {
        return doctor->vfio_can ? "vfio-pci" : NULL;
    }

    if (nic->virtio[0] != '\0' &&
        doctor_read(doctor, features, sizeof(features), "/sys/bus/virtio/devices/%s/features",
                    nic->virtio) &&
        strlen(features) >= 64 && features[33] == '0') {
        return "uio_pci_generic";
    }
    if (doctor->vfio_ready || (doctor->iommu_count > 0 && doctor->vfio_can)) {
        return "vfio-pci";
    }
    return "uio_pci_generic";
}

static void fix_bind(struct doctor *doctor, const struct nic *nic)
{
    const char *module = module_for(doctor, nic);
    const char *folder = "/sys/bus/pci/devices";

    if (module == NULL) {
        doctor_fix(doctor, "see vfio and uio above");
        return;
    }
    doctor_fix(
        doctor,
        "sudo modprobe %s && echo %s | sudo tee %s/%s/driver_override && %s%s%s%s%secho %s | "
        "sudo tee /sys/bus/pci/drivers_probe",
        module, module, folder, nic->pci, nic->bound[0] != '\0' ? "echo " : "",
        nic->bound[0] != '\0' ? nic->pci : "",
        nic->bound[0] != '\0' ? " | sudo tee /sys/bus/pci/devices/" : "",
        nic->bound[0] != '\0' ? nic->pci : "", nic->bound[0] != '\0' ? "/driver/unbind && " : "",
        nic->pci);
}

/*
 * EAL tells a device on uio physical addresses; an IOMMU that translates lets none of them pass
 * (ABI/testing/sysfs-kernel-iommu_groups: type).
 */
static bool uio_translated(const struct doctor *doctor, const struct nic *nic)
{
    char type[32];

    return strcmp(nic->bound, "vfio-pci") != 0 &&
           doctor_read(doctor, type, sizeof(type), "/sys/bus/pci/devices/%s/iommu_group/type",
                       nic->pci) &&
           strncmp(type, "DMA", 3) == 0;
}

/* A device that is bound for DPDK. */
static bool nic_say_ready(struct doctor *doctor, const char *name, const struct nic *nic,
                          const char *text)
{
    char other[128];
    int64_t unused = 0;

    if (strcmp(nic->bound, "vfio-pci") == 0 &&
        group_blocked(doctor, nic->pci, other, sizeof(other))) {
        doctor_say(doctor, doctor_bad(doctor), name, "%s: %s is in its IOMMU group and in use",
                   text, other);
        doctor_fix(doctor,
                   "bind all devices of the group to vfio-pci: ls "
                   "/sys/bus/pci/devices/%s/iommu_group/devices",
                   nic->pci);
        return false;
    }
    if (uio_translated(doctor, nic)) {
        doctor_say(doctor, doctor_bad(doctor), name,
                   "%s: the IOMMU translates what it sends and receives, so that nothing arrives",
                   text);
        fix_bind(doctor, nic);
        return false;
    }
    if (nic->numa >= 0 && doctor->huge_free >= HUGE_LINK &&
        doctor_read_number(doctor, &unused,
                           "/sys/devices/system/node/node%" PRId64
                           "/hugepages/hugepages-2048kB/free_hugepages",
                           nic->numa) &&
        unused < HUGE_LINK) {
        doctor_say(doctor, DOCTOR_WARN, name, "%s: ready, but that node has no free hugepages",
                   text);
        doctor_fix(doctor,
                   "echo %u | sudo tee /sys/devices/system/node/node%" PRId64
                   "/hugepages/hugepages-2048kB/nr_hugepages",
                   HUGE_NODE, nic->numa);
        return true;
    }
    doctor_say(doctor, DOCTOR_OK, name, "%s: ready for DPDK", text);
    if (nic->vendor == VENDOR_VIRTIO && strcmp(nic->bound, "vfio-pci") == 0) {
        doctor_fix(doctor, "if a node hangs as it starts, the device goes around the IOMMU: QEMU "
                           "-device virtio-net-pci,...,iommu_platform=on,disable-legacy=on");
    }
    return true;
}

enum nic_state { NIC_READY, NIC_CAN, NIC_IN_USE };

static enum nic_state nic_say(struct doctor *doctor, const struct nic *nic)
{
    const enum doctor_status bad = doctor->device != NULL ? DOCTOR_FAIL : DOCTOR_OK;
    struct doctor_text text = {.used = 0};
    char name[48];

    snprintf(name, sizeof(name), "nic %.40s", nic->pci);
    nic_describe(nic, &text);
    if (nic->ready) {
        return nic_say_ready(doctor, name, nic, text.bytes) ? NIC_READY : NIC_CAN;
    }
    if (nic->bifurcated) {
        doctor_say(doctor, DOCTOR_OK, name,
                   "%s: DPDK drives it beside the kernel; leave it bound as it is", text.bytes);
        return NIC_READY;
    }
    if (nic->has_net && nic->net.use[0] != '\0') {
        doctor_say(doctor, bad, name, "%s, in use by the kernel (%s): do not touch", text.bytes,
                   nic->net.use);
        if (bad == DOCTOR_FAIL) {
            doctor_fix(doctor, "use another device; this machine may be reached over this one");
        }
        return NIC_IN_USE;
    }
    doctor_say(doctor, bad, name, "%s, not in use%s", text.bytes,
               bad == DOCTOR_FAIL ? ", but not bound for DPDK" : ": can become a link");
    fix_bind(doctor, nic);
    return NIC_CAN;
}

/* The device that was asked for, when it is not an Ethernet device of that driver. */
static void say_wrong_device(struct doctor *doctor, const char *check)
{
    char name[48];
    char pci[64];
    struct nic nic;

    snprintf(name, sizeof(name), "%s %.40s", check, doctor->device);
    if (nic_read(doctor, doctor->device, &nic)) {
        const bool virtio = nic.driver_bit == DOCTOR_VIRTIO;
        doctor_say(doctor, DOCTOR_FAIL, name, "is %s virtio device", virtio ? "a" : "no");
        doctor_fix(doctor, "fabricctl doctor --driver %s --device %s", virtio ? "virtio" : "dpdk",
                   doctor->device);
    } else if (doctor_has(doctor, "/sys/bus/pci/devices/%s", doctor->device)) {
        doctor_say(doctor, DOCTOR_FAIL, name, "is no Ethernet device");
        doctor_fix(doctor, "fabricctl doctor   lists those there are");
    } else if (doctor_link_name(doctor, pci, sizeof(pci), "/sys/class/net/%s/device",
                                doctor->device)) {
        doctor_say(doctor, DOCTOR_FAIL, name, "is an interface, not a PCI address");
        doctor_fix(doctor, "realpath /sys/class/net/%s/device   has the address", doctor->device);
    } else {
        doctor_say(doctor, DOCTOR_FAIL, name, "there is no such PCI device");
        doctor_fix(doctor, "fabricctl doctor   lists those there are");
    }
    doctor_block(doctor, DOCTOR_PCI, DOCTOR_NOT_HERE, "no device %s for it", doctor->device);
}

/* If no device of that driver is ready: why, and a failure if the driver was asked for. */
static void block_without(struct doctor *doctor, const char *check, unsigned driver,
                          const char *what, const bool *states)
{
    if (states[NIC_READY] || (doctor->drivers & driver) == 0) {
        return;
    }
    if (states[NIC_CAN]) {
        doctor_block(doctor, driver, DOCTOR_AFTER_FIXES, "no %s is bound for DPDK yet", what);
    } else if (states[NIC_IN_USE]) {
        doctor_block(doctor, driver, DOCTOR_NOT_HERE, "the kernel uses every %s", what);
    } else {
        doctor_block(doctor, driver, DOCTOR_NOT_HERE, "no %s", what);
    }
    if (doctor->asked && doctor->device == NULL) {
        doctor_say(doctor, DOCTOR_FAIL, check, "%s %s%s",
                   states[NIC_IN_USE] && !states[NIC_CAN] ? "the kernel uses every" : "no", what,
                   states[NIC_CAN] ? " is bound for DPDK" : "");
        doctor_fix(doctor, "%s", states[NIC_CAN] ? "one of the commands above" : "add a device");
    }
}

void doctor_check_nics(struct doctor *doctor, const char *name)
{
    bool virtio[3] = {false, false, false};
    bool other[3] = {false, false, false};
    struct doctor_list devices;
    unsigned shown = 0;
    unsigned hidden = 0;
    size_t index;

    doctor_list_read(doctor, &devices, "/sys/bus/pci/devices");
    for (index = 0; index < devices.count; index++) {
        struct nic nic;

        if ((doctor->device != NULL && strcmp(devices.names[index], doctor->device) != 0) ||
            !nic_read(doctor, devices.names[index], &nic) ||
            (nic.driver_bit & doctor->drivers) == 0) {
            continue;
        }
        if (shown == NICS_SHOWN_MAX) {
            hidden += 1;
            continue;
        }
        shown += 1;
        (nic.driver_bit == DOCTOR_VIRTIO ? virtio : other)[nic_say(doctor, &nic)] = true;
    }
    doctor_list_fini(&devices);
    if (hidden > 0) {
        doctor_say(doctor, DOCTOR_SKIP, "nic (more)", "%u Ethernet devices; name one with --device",
                   hidden);
    }
    if (shown == 0 && doctor->device != NULL) {
        say_wrong_device(doctor, name);
        return;
    }
    if (shown == 0 && !doctor->asked) {
        doctor_say(doctor, DOCTOR_SKIP, name,
                   "no Ethernet device on the PCI bus: memif and af_packet need none");
    }
    block_without(doctor, name, DOCTOR_VIRTIO, "virtio device", virtio);
    block_without(doctor, name, DOCTOR_DPDK, "Ethernet device that is not virtio", other);
}
