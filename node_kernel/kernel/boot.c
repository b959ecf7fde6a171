/* SPDX-License-Identifier: Apache-2.0 */
#include "boot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/route.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

#define MODULE_ORDER "/lib/modules/order"
#define MODULES_MAX 256u
#define NIC_WAIT_MS 5000u
#define GIVE_UP_SECONDS 5
#define FABRIC_NET 0x0a4e0000u /* 10.78.0.0, of the first link */
#define FABRIC_NET_STEP 0x00010000u
#define HEADERS_BYTES 28u /* IPv4 and UDP, in front of a frame's payload */
#define PCI_CLASS_ETHERNET 0x020000u
#define VENDOR_VIRTIO 0x1af4u
#define VIRTIO_FEATURES 64 /* in sysfs a digit each */
#define VIRTIO_ACCESS_PLATFORM 33

static sf_status failed(char *text, size_t capacity, const char *what, const char *object)
{
    snprintf(text, capacity, "%s %s: %s", what, object, strerror(errno));
    return SF_IO;
}

/* --- ends ----------------------------------------------------------------------------------------
 */

static void wait_seconds(int seconds)
{
    struct timespec rest = {.tv_sec = seconds};

    while (nanosleep(&rest, &rest) != 0 && errno == EINTR) {
    }
}

static void console_write(const char *text)
{
    ssize_t n = write(STDERR_FILENO, text, strlen(text));
    (void)n;
}

/* Signal handler: only what is safe there. */
static void last_words(int signal_number)
{
    console_write(signal_number == SIGABRT ? "\nsipnode: PID 1 aborted; restarting in 5 s\n"
                                           : "\nsipnode: PID 1 faulted; restarting in 5 s\n");
    wait_seconds(GIVE_UP_SECONDS);
    reboot(RB_AUTOBOOT);
    _exit(1);
}

_Noreturn void boot_restart(void)
{
    sync();
    reboot(RB_AUTOBOOT);
    for (;;) {
        pause();
    }
}

_Noreturn void boot_power_off(void)
{
    sync();
    reboot(RB_POWER_OFF);
    for (;;) {
        pause();
    }
}

_Noreturn void boot_give_up(const char *why)
{
    node_log("giving up: %s; restarting in %d s", why, GIVE_UP_SECONDS);
    wait_seconds(GIVE_UP_SECONDS);
    boot_restart();
}

void boot_stage(const char *stage)
{
    char line[96];
    int n = snprintf(line, sizeof(line), "\nSIPFABRIC-STAGE %s %.2f\n", stage, node_uptime_s());
    ssize_t written = write(STDOUT_FILENO, line, (size_t)n);
    (void)written;
}

void boot_reap(void)
{
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
}

/* --- small files ---------------------------------------------------------------------------------
 */

static sf_status file_write(const char *path, const char *value, char *text, size_t text_capacity)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    sf_status st = SF_OK;

    if (fd < 0) {
        return failed(text, text_capacity, "cannot open", path);
    }
    if (write(fd, value, strlen(value)) != (ssize_t)strlen(value)) {
        snprintf(text, text_capacity, "cannot write '%s' to %s: %s", value, path, strerror(errno));
        st = SF_IO;
    }
    close(fd);
    return st;
}

/* Reads a whole small file, at most capacity - 1 bytes; answers its length or -1. */
static ssize_t file_read(const char *path, char *buffer, size_t capacity)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t n = 0;

    if (fd < 0) {
        return -1;
    }
    while (used < capacity - 1 && (n = read(fd, buffer + used, capacity - 1 - used)) > 0) {
        used += (size_t)n;
    }
    close(fd);
    if (n < 0) {
        return -1;
    }
    buffer[used] = '\0';
    return (ssize_t)used;
}

sf_status boot_cmdline(char *buffer, char *text, size_t text_capacity)
{
    if (file_read("/proc/cmdline", buffer, OPTIONS_CMDLINE_BYTES_MAX + 2) < 0) {
        return failed(text, text_capacity, "cannot read", "/proc/cmdline");
    }
    return SF_OK;
}

/* --- mounts, console, modules --------------------------------------------------------------------
 */

static sf_status mounts_make(char *text, size_t text_capacity)
{
    static const struct {
        const char *type, *path, *data;
        unsigned long flags;
    } mounts[] = {
        {"devtmpfs", "/dev", "mode=0755", MS_NOSUID},
        {"proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
        {"sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
        {"tmpfs", "/run", "mode=0755,size=16m", MS_NOSUID | MS_NODEV | MS_NOEXEC},
    };

    for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
        if (mkdir(mounts[i].path, 0755) != 0 && errno != EEXIST) {
            return failed(text, text_capacity, "cannot make", mounts[i].path);
        }
        /* EBUSY: the kernel has mounted it already (CONFIG_DEVTMPFS_MOUNT). */
        if (mount(mounts[i].type, mounts[i].path, mounts[i].type, mounts[i].flags,
                  mounts[i].data) != 0 &&
            errno != EBUSY) {
            return failed(text, text_capacity, "cannot mount", mounts[i].path);
        }
    }
    return SF_OK;
}

static void console_open(void)
{
    int fd = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (fd < 0) {
        return; /* what the kernel gave us at start is all there is */
    }
    for (int target = 0; target <= 2; target++) {
        dup2(fd, target);
    }
    if (fd > 2) {
        close(fd);
    }
}

static sf_status module_load(const char *path, char *text, size_t text_capacity)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    sf_status st = SF_OK;

    if (fd < 0) {
        return failed(text, text_capacity, "cannot open module", path);
    }
    if (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST) {
        st = failed(text, text_capacity, "cannot load module", path);
    }
    close(fd);
    return st;
}

/* A module that does not load is said and passed over: the machine may not need it. */
static sf_status modules_load(char *text, size_t text_capacity)
{
    static char order[32768];
    char *rest = NULL;
    uint32_t count = 0;
    ssize_t length = file_read(MODULE_ORDER, order, sizeof(order));

    if (length < 0) {
        return failed(text, text_capacity, "cannot read", MODULE_ORDER);
    }
    for (char *path = strtok_r(order, "\n", &rest); path != NULL;
         path = strtok_r(NULL, "\n", &rest)) {
        if (++count > MODULES_MAX) {
            snprintf(text, text_capacity, "%s names over %u modules", MODULE_ORDER, MODULES_MAX);
            return SF_LIMIT;
        }
        if (module_load(path, text, text_capacity) != SF_OK) {
            node_log("%s", text);
        }
    }
    return SF_OK;
}

/* Faults and aborts of PID 1 itself. The kernel core later takes over the fault signals of SIPs. */
static void last_words_prepare(void)
{
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    struct sigaction action = {.sa_handler = last_words, .sa_flags = (int)SA_RESETHAND};
    char text[160];

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        sigaction(signals[i], &action, NULL);
    }
    if (file_write("/proc/sys/kernel/panic", "5", text, sizeof(text)) != SF_OK) {
        node_log("%s", text);
    }
}

/* A SIP takes a mapping, and one more for each larger block it holds; Linux allows 65,530 in all.
 */
static void mappings_allow(void)
{
    char text[160];

    if (file_write("/proc/sys/vm/max_map_count", "1048576", text, sizeof(text)) != SF_OK) {
        node_log("%s", text);
    }
}

sf_status boot_begin(char *text, size_t text_capacity)
{
    sf_status st = mounts_make(text, text_capacity);

    console_open();
    signal(SIGPIPE, SIG_IGN);
    if (st != SF_OK) {
        return st;
    }
    boot_stage("kernel");
    last_words_prepare();
    mappings_allow();
    return modules_load(text, text_capacity);
}

/* --- network interfaces --------------------------------------------------------------------------
 */

/* Name of a nic whose MAC equals (or, with `other`, does not equal) mac. */
static bool nic_find(const uint8_t mac[6], bool other, char out_name[IFNAMSIZ], uint8_t out_mac[6])
{
    DIR *folder = opendir("/sys/class/net");
    struct dirent *entry;
    bool found = false;

    if (folder == NULL) {
        return false;
    }
    while (!found && (entry = readdir(folder)) != NULL) {
        char path[PATH_MAX], address[32];
        unsigned int b[6];
        uint8_t here[6];
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, "lo") == 0 ||
            strlen(entry->d_name) >= IFNAMSIZ) {
            continue;
        }
        snprintf(path, sizeof(path), "/sys/class/net/%s/address", entry->d_name);
        if (file_read(path, address, sizeof(address)) < 0 ||
            sscanf(address, "%2x:%2x:%2x:%2x:%2x:%2x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]) !=
                6) {
            continue;
        }
        for (int i = 0; i < 6; i++) {
            here[i] = (uint8_t)b[i];
        }
        if ((memcmp(here, mac, 6) == 0) != other) {
            snprintf(out_name, IFNAMSIZ, "%.15s", entry->d_name);
            memcpy(out_mac, here, 6);
            found = true;
        }
    }
    closedir(folder);
    return found;
}

/* Drivers find their devices after the module is in; usually at once. */
static bool nic_wait(const uint8_t mac[6], char out_name[IFNAMSIZ])
{
    uint8_t found[6];

    for (uint32_t waited = 0; waited < NIC_WAIT_MS; waited += 10) {
        struct timespec pause_ns = {.tv_nsec = 10000000};
        if (nic_find(mac, false, out_name, found)) {
            return true;
        }
        nanosleep(&pause_ns, NULL);
    }
    return false;
}

static void address_set(struct sockaddr *address, uint32_t ip)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(ip)};
    memcpy(address, &in, sizeof(in));
}

static sf_status nic_up(int fd, const char *name, uint32_t ip, uint32_t mask, char *text,
                        size_t text_capacity)
{
    struct ifreq request = {0};

    snprintf(request.ifr_name, IFNAMSIZ, "%s", name);
    if (ip != 0) {
        address_set(&request.ifr_addr, ip);
        if (ioctl(fd, SIOCSIFADDR, &request) != 0) {
            return failed(text, text_capacity, "cannot set the address of", name);
        }
        address_set(&request.ifr_netmask, mask);
        if (ioctl(fd, SIOCSIFNETMASK, &request) != 0) {
            return failed(text, text_capacity, "cannot set the network mask of", name);
        }
    }
    if (ioctl(fd, SIOCGIFFLAGS, &request) != 0) {
        return failed(text, text_capacity, "cannot read the flags of", name);
    }
    request.ifr_flags |= IFF_UP | IFF_RUNNING;
    if (ioctl(fd, SIOCSIFFLAGS, &request) != 0) {
        return failed(text, text_capacity, "cannot bring up", name);
    }
    return SF_OK;
}

static sf_status route_add(int fd, uint32_t gateway, char *text, size_t text_capacity)
{
    struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};

    if (gateway == 0) {
        return SF_OK;
    }
    address_set(&route.rt_dst, 0);
    address_set(&route.rt_genmask, 0);
    address_set(&route.rt_gateway, gateway);
    if (ioctl(fd, SIOCADDRT, &route) != 0 && errno != EEXIST) {
        return failed(text, text_capacity, "cannot add a route by", "node.gateway");
    }
    return SF_OK;
}

sf_status boot_network(const struct node_options *options, char *text, size_t text_capacity)
{
    const uint8_t *mac = options->mac;
    char name[IFNAMSIZ];
    sf_status st;
    int fd;

    if (!nic_wait(mac, name)) {
        snprintf(text, text_capacity,
                 "no nic with node.mac %02x:%02x:%02x:%02x:%02x:%02x; look at the machine's nics "
                 "and at the modules of the image",
                 mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
        return SF_NOTFOUND;
    }
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return failed(text, text_capacity, "cannot make", "a socket");
    }
    st = nic_up(fd, "lo", 0, 0, text, text_capacity);
    if (st == SF_OK) {
        st = nic_up(fd, name, options->ip, options->mask, text, text_capacity);
    }
    if (st == SF_OK) {
        st = route_add(fd, options->gateway, text, text_capacity);
    }
    close(fd);
    if (st == SF_OK) {
        node_log("nic0 is %s, controller %s", name, options->controller_text);
        boot_stage("network");
    }
    return st;
}

/* --- links ---------------------------------------------------------------------------------------
 */

static sf_status hugepages_reserve(uint32_t pages, char *text, size_t text_capacity)
{
    static const char path[] = "/proc/sys/vm/nr_hugepages";
    char count[32];
    sf_status st;

    snprintf(count, sizeof(count), "%u", pages);
    st = file_write(path, count, text, text_capacity);
    if (st != SF_OK) {
        return st;
    }
    if (file_read(path, count, sizeof(count)) < 0 || strtoul(count, NULL, 10) < pages) {
        snprintf(text, text_capacity, "only %.8s of %u huge pages; give the machine more memory",
                 count, pages);
        return SF_NOMEM;
    }
    return SF_OK;
}

/* PCI address of the device under a nic: the first part of its real path that is one. */
static bool nic_pci(const char *name, char out_pci[32])
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
            snprintf(out_pci, 32, "%04x:%02x:%02x.%u", domain, bus, device, function);
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
            takes = file_read(path, features, sizeof(features)) > VIRTIO_ACCESS_PLATFORM &&
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
    if (file_read(path, vendor, sizeof(vendor)) > 0 && strtoul(vendor, NULL, 16) == VENDOR_VIRTIO &&
        !virtio_takes_iommu(pci)) {
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
        st = file_write(path, pci, text, text_capacity);
        if (st != SF_OK) {
            return st;
        }
    }
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override", pci);
    st = file_write(path, driver, text, text_capacity);
    if (st != SF_OK) {
        return st;
    }
    snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s/bind", driver);
    st = file_write(path, pci, text, text_capacity);
    if (st == SF_OK) {
        node_log("PCI device %s is bound to %s", pci, driver);
    }
    return st;
}

/* A nic that the image has no module for is no interface, and DPDK may drive it all the same: the
 * first Ethernet controller that is not nic0. */
static bool nic_pci_other(const uint8_t mac[6], char out_pci[32])
{
    char nic0[IFNAMSIZ], nic0_pci[32] = "", path[PATH_MAX], class[16];
    uint8_t found[6];
    DIR *folder = opendir("/sys/bus/pci/devices");
    struct dirent *entry;

    if (nic_find(mac, false, nic0, found)) {
        (void)nic_pci(nic0, nic0_pci);
    }
    out_pci[0] = '\0';
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/class", entry->d_name);
        if (strlen(entry->d_name) == strlen("0000:00:00.0") &&
            strcmp(entry->d_name, nic0_pci) != 0 && file_read(path, class, sizeof(class)) > 0 &&
            strtoul(class, NULL, 16) == PCI_CLASS_ETHERNET &&
            (out_pci[0] == '\0' || strcmp(entry->d_name, out_pci) < 0)) {
            snprintf(out_pci, 32, "%.12s", entry->d_name);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return out_pci[0] != '\0';
}

/* Puts the device's own name in the place of nic1. nic, mac: of the interface, "" if there is none;
 * mac0: of nic0. */
static sf_status nic1_resolve(struct node_link *link, const uint8_t mac0[6], const char *nic,
                              const uint8_t mac[6], char *text, size_t text_capacity)
{
    static const uint8_t none[6];
    char pci[32];

    if (strcmp(link->device, LINKS_NIC1) != 0) {
        return SF_OK;
    }
    if (nic[0] == '\0' && strcmp(link->driver, "dpdk") == 0 && nic_pci_other(mac0, pci)) {
        snprintf(link->device, sizeof(link->device), "%s", pci);
        return SF_OK;
    }
    if (nic[0] == '\0') {
        snprintf(text, text_capacity, "fabric.link=%s:" LINKS_NIC1 ": there is no second nic",
                 link->driver);
        return SF_NOTFOUND;
    }
    if (strcmp(link->driver, "af_packet") == 0) {
        snprintf(link->device, sizeof(link->device), "%s", nic);
        return SF_OK;
    }
    if (!nic_pci(nic, pci)) {
        snprintf(text, text_capacity, "%s is not a PCI nic", nic);
        return SF_UNSUPPORTED;
    }
    snprintf(link->device, sizeof(link->device), "%s", pci);
    if (memcmp(link->mac, none, sizeof(none)) == 0) {
        memcpy(link->mac, mac, sizeof(link->mac));
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
        return failed(text, text_capacity, "cannot make", "a socket");
    }
    snprintf(request.ifr_name, IFNAMSIZ, "%.15s", link->device);
    if (ioctl(fd, SIOCGIFMTU, &request) != 0) {
        st = failed(text, text_capacity, "fabric.link=af_packet: there is no interface",
                    link->device);
    } else if ((uint32_t)request.ifr_mtu < link->mtu_bytes + HEADERS_BYTES &&
               link->mtu_bytes != 0) {
        request.ifr_mtu = (int)(link->mtu_bytes + HEADERS_BYTES);
        if (ioctl(fd, SIOCSIFMTU, &request) != 0) {
            st = failed(text, text_capacity, "cannot raise the MTU of", link->device);
        }
    }
    if (st == SF_OK) {
        st = nic_up(fd, link->device, 0, 0, text, text_capacity);
    }
    close(fd);
    return st;
}

static sf_status link_prepare(const struct node_link *link, char *text, size_t text_capacity)
{
    char path[PATH_MAX];

    if (strcmp(link->driver, "af_packet") == 0) {
        return interface_prepare(link, text, text_capacity);
    }
    if (!links_is_pci(link)) {
        return SF_OK; /* a virtual device */
    }
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", link->device);
    if (access(path, F_OK) != 0) {
        return failed(text, text_capacity, "fabric.link: PCI device", link->device);
    }
    return nic_bind(link->device, text, text_capacity);
}

sf_status boot_links(struct node_options *options, char *text, size_t text_capacity)
{
    char nic[IFNAMSIZ] = "";
    uint8_t mac[6] = {0};
    sf_status st = SF_OK;
    uint32_t pci_count;

    (void)nic_find(options->mac, true, nic, mac);
    if (options->link_count == 0 && nic[0] == '\0') {
        node_log("there is no second nic: this node has no fabric link");
        return SF_OK;
    }
    if (options->link_count == 0) {
        options->links[0] = (struct node_link){.driver = "virtio", .device = LINKS_NIC1};
        options->link_count = 1;
    }
    for (uint32_t i = 0; i < options->link_count && st == SF_OK; i++) {
        if (strcmp(options->links[i].driver, "rdma") == 0) {
            snprintf(text, text_capacity, "rdma is for hosted nodes: this image has no RDMA yet");
            return SF_UNSUPPORTED;
        }
        if (options->links[i].ipv4 == 0) {
            options->links[i].ipv4 = FABRIC_NET + i * FABRIC_NET_STEP + (options->ip & 0xffffu);
        }
        st = nic1_resolve(&options->links[i], options->mac, nic, mac, text, text_capacity);
    }
    if (st == SF_OK) { /* again: now they are named by what they are */
        st = links_check(options->links, options->link_count, text, text_capacity);
    }
    pci_count = links_pci_count(options->links, options->link_count);
    if (st == SF_OK && pci_count > 0) {
        st = hugepages_reserve(BOOT_HUGEPAGES + (pci_count - 1) * BOOT_HUGEPAGES_MORE, text,
                               text_capacity);
    }
    for (uint32_t i = 0; i < options->link_count && st == SF_OK; i++) {
        st = link_prepare(&options->links[i], text, text_capacity);
    }
    return st;
}
