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

#include "boot_private.h"
#include "log.h"

#define MODULE_ORDER "/lib/modules/order"
#define MODULE_ORDER_RDMA "/lib/modules/order.rdma"
#define MODULES_MAX 256u
#define NIC_WAIT_MS 5000u
#define GIVE_UP_SECONDS 5

sf_status boot__failed(char *text, size_t capacity, const char *what, const char *object)
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

sf_status boot__file_write(const char *path, const char *value, char *text, size_t text_capacity)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    sf_status st = SF_OK;

    if (fd < 0) {
        return boot__failed(text, text_capacity, "cannot open", path);
    }
    if (write(fd, value, strlen(value)) != (ssize_t)strlen(value)) {
        snprintf(text, text_capacity, "cannot write '%s' to %s: %s", value, path, strerror(errno));
        st = SF_IO;
    }
    close(fd);
    return st;
}

ssize_t boot__file_read(const char *path, char *buffer, size_t capacity)
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
    if (boot__file_read("/proc/cmdline", buffer, OPTIONS_CMDLINE_BYTES_MAX + 2) < 0) {
        return boot__failed(text, text_capacity, "cannot read", "/proc/cmdline");
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
            return boot__failed(text, text_capacity, "cannot make", mounts[i].path);
        }
        /* EBUSY: the kernel has mounted it already (CONFIG_DEVTMPFS_MOUNT). */
        if (mount(mounts[i].type, mounts[i].path, mounts[i].type, mounts[i].flags,
                  mounts[i].data) != 0 &&
            errno != EBUSY) {
            return boot__failed(text, text_capacity, "cannot mount", mounts[i].path);
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
        return boot__failed(text, text_capacity, "cannot open module", path);
    }
    if (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST) {
        st = boot__failed(text, text_capacity, "cannot load module", path);
    }
    close(fd);
    return st;
}

/* A module that does not load is said and passed over: the machine may not need it. */
static sf_status modules_load(const char *list, char *text, size_t text_capacity)
{
    static char order[32768];
    char *rest = NULL;
    uint32_t count = 0;
    ssize_t length = boot__file_read(list, order, sizeof(order));

    if (length < 0) {
        return boot__failed(text, text_capacity, "cannot read", list);
    }
    for (char *path = strtok_r(order, "\n", &rest); path != NULL;
         path = strtok_r(NULL, "\n", &rest)) {
        if (++count > MODULES_MAX) {
            snprintf(text, text_capacity, "%s names over %u modules", list, MODULES_MAX);
            return SF_LIMIT;
        }
        if (module_load(path, text, text_capacity) != SF_OK) {
            node_log("%s", text);
        }
    }
    return SF_OK;
}

/* Without it the machine runs on: it is only said. */
static void setting(const char *path, const char *value)
{
    char text[160];

    if (boot__file_write(path, value, text, sizeof(text)) != SF_OK) {
        node_log("%s", text);
    }
}

/* Faults and aborts of PID 1 itself. The kernel core later takes over the fault signals of SIPs. */
static void last_words_prepare(void)
{
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    struct sigaction action = {.sa_handler = last_words, .sa_flags = (int)SA_RESETHAND};

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        sigaction(signals[i], &action, NULL);
    }
    setting("/proc/sys/kernel/panic", "5");
}

/* A SIP takes a mapping, and one more for each larger block it holds; Linux allows 65,530 in all.
 */
static void mappings_allow(void)
{
    setting("/proc/sys/vm/max_map_count", "1048576");
}

/* Huge pages only where they are asked for: or else each larger block in the exchange heap, whose
 * place is of 2 MiB, would take as much memory. Debian's kernel begins with "always". */
static void huge_pages_restrain(void)
{
    static const char path[] = "/sys/kernel/mm/transparent_hugepage/enabled";

    if (access(path, F_OK) == 0) {
        setting(path, "madvise");
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
    huge_pages_restrain();
    st = modules_load(MODULE_ORDER, text, text_capacity);
    /* The part of the image for RDMA, which not every machine gets. */
    if (st == SF_OK && access(MODULE_ORDER_RDMA, F_OK) == 0) {
        st = modules_load(MODULE_ORDER_RDMA, text, text_capacity);
    }
    return st;
}

/* --- network interfaces --------------------------------------------------------------------------
 */

bool boot__nic_find(const uint8_t mac[6], bool other, char out_name[IFNAMSIZ], uint8_t out_mac[6])
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
        if (boot__file_read(path, address, sizeof(address)) < 0 ||
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
        if (boot__nic_find(mac, false, out_name, found)) {
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

sf_status boot__nic_up(int fd, const char *name, uint32_t ip, uint32_t mask, char *text,
                       size_t text_capacity)
{
    struct ifreq request = {0};

    snprintf(request.ifr_name, IFNAMSIZ, "%s", name);
    if (ip != 0) {
        address_set(&request.ifr_addr, ip);
        if (ioctl(fd, SIOCSIFADDR, &request) != 0) {
            return boot__failed(text, text_capacity, "cannot set the address of", name);
        }
        address_set(&request.ifr_netmask, mask);
        if (ioctl(fd, SIOCSIFNETMASK, &request) != 0) {
            return boot__failed(text, text_capacity, "cannot set the network mask of", name);
        }
    }
    if (ioctl(fd, SIOCGIFFLAGS, &request) != 0) {
        return boot__failed(text, text_capacity, "cannot read the flags of", name);
    }
    request.ifr_flags |= IFF_UP | IFF_RUNNING;
    if (ioctl(fd, SIOCSIFFLAGS, &request) != 0) {
        return boot__failed(text, text_capacity, "cannot bring up", name);
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
        return boot__failed(text, text_capacity, "cannot add a route by", "node.gateway");
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
        return boot__failed(text, text_capacity, "cannot make", "a socket");
    }
    st = boot__nic_up(fd, "lo", 0, 0, text, text_capacity);
    if (st == SF_OK) {
        st = boot__nic_up(fd, name, options->ip, options->mask, text, text_capacity);
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
