/* SPDX-License-Identifier: Apache-2.0 */
/* doctor_checks.c - the table of checks, and those of processor, memory, limits and memif. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/doctor.h"

#define FLAGS_BYTES 8192u

/* --- processor ----------------------------------------------------------------------------------
 */

/*
 * Debian compiles DPDK for corei7: RTE_COMPILE_TIME_CPUFLAGS in rte_build_config.h. Without these a
 * node ends at an illegal instruction, or EAL refuses to start. /proc/cpuinfo calls SSE3 "pni".
 */
static void check_cpu_flags(struct doctor *doctor, const char *name)
{
    static const char *const needed[] = {"sse", "sse2", "pni", "ssse3", "sse4_1", "sse4_2"};
    struct doctor_text missing = {.used = 0};
    char flags[FLAGS_BYTES];
    size_t index;

    if (!doctor_cpu_flags(doctor, flags, sizeof(flags))) {
        doctor_say_unreadable(doctor, name, "/proc/cpuinfo");
        return;
    }
    for (index = 0; index < sizeof(needed) / sizeof(needed[0]); index++) {
        if (!doctor_has_word(flags, needed[index])) {
            doctor_add(&missing, "%s%s", missing.used > 0 ? ", " : "", needed[index]);
        }
    }
    if (missing.used == 0) {
        doctor_say(doctor, DOCTOR_OK, name, "SSE up to 4.2 and SSSE3: DPDK runs");
        return;
    }
    doctor_say(doctor, DOCTOR_FAIL, name, "lacks %s, which DPDK of this distribution uses",
               missing.bytes);
    if (doctor_has_word(flags, "hypervisor")) {
        doctor_fix(doctor, "give the virtual machine another processor (QEMU: -cpu max, or "
                           "-cpu host with KVM; qemu64 does not do)");
    } else {
        doctor_fix(doctor, "use a machine with SSE4.2 (Intel since 2008, AMD since 2011)");
    }
    doctor_block(doctor, DOCTOR_ALL, DOCTOR_NOT_HERE, "the processor lacks %s", missing.bytes);
}

/* AES-256-GCM of libsodium is there only with both (its crypto_aead_aes256gcm_is_available). */
static void check_aes(struct doctor *doctor, const char *name)
{
    char flags[FLAGS_BYTES];

    if (!doctor_cpu_flags(doctor, flags, sizeof(flags))) {
        doctor_say_unreadable(doctor, name, "/proc/cpuinfo");
    } else if (doctor_has_word(flags, "aes") && doctor_has_word(flags, "pclmulqdq")) {
        doctor_say(doctor, DOCTOR_OK, name, "AES-NI and PCLMULQDQ: AES-256-GCM in hardware");
    } else {
        doctor_say(doctor, DOCTOR_WARN, name,
                   "no AES-NI with PCLMULQDQ: sealed sessions use ChaCha20-Poly1305 in software");
        doctor_fix(doctor, "%s",
                   doctor_has_word(flags, "hypervisor")
                       ? "if the host has them, pass them on (QEMU: -cpu max or -cpu host)"
                       : "nothing has to be done; a processor with AES-NI would spare the work");
    }
}

/* Which processors this process may run on; a container has fewer than the machine. */
static void cpus_allowed(const struct doctor *doctor, char *buffer, size_t capacity)
{
    static const char title[] = "\nCpus_allowed_list:\t";
    char text[8192];
    const char *line = NULL;

    if (doctor_read(doctor, text, sizeof(text), "/proc/self/status")) {
        line = strstr(text, title);
    }
    line = line != NULL ? line + strlen(title) : "";
    snprintf(buffer, capacity, "%.*s", (int)strcspn(line, "\n"), line);
}

/* isolcpus= and nohz_full= are in admin-guide/kernel-parameters.txt, ticks in timers/no_hz.rst. */
static void check_cores(struct doctor *doctor, const char *name)
{
    char online[256];
    char allowed[256];
    char isolated[256] = "";
    char ticks[256] = "";
    struct doctor_text text = {.used = 0};
    uint32_t count;
    uint32_t ours;

    if (!doctor_read(doctor, online, sizeof(online), "/sys/devices/system/cpu/online")) {
        doctor_say_unreadable(doctor, name, "/sys/devices/system/cpu/online");
        return;
    }
    (void)doctor_read(doctor, isolated, sizeof(isolated), "/sys/devices/system/cpu/isolated");
    (void)doctor_read(doctor, ticks, sizeof(ticks), "/sys/devices/system/cpu/nohz_full");
    if (strcmp(ticks, "(null)") == 0) {
        ticks[0] = '\0'; /* so says a kernel that could but does not */
    }
    cpus_allowed(doctor, allowed, sizeof(allowed));
    count = doctor_cpu_count(online);
    ours = doctor_cpu_count(allowed);
    doctor_add(&text, "%" PRIu32 " online", count);
    if (ours > 0 && ours < count) {
        doctor_add(&text, ", %" PRIu32 " for this process (%s)", ours, allowed);
        count = ours;
    }
    if (count < 2) {
        doctor_say(doctor, DOCTOR_WARN, name, "%s: a node's worker and all else take turns",
                   text.bytes);
        doctor_fix(doctor, "give it 2 processors or more; nodes that share one answer in scheduler "
                           "time slices when it is busy");
    } else if (isolated[0] != '\0' && ticks[0] == '\0') {
        doctor_say(doctor, DOCTOR_WARN, name, "%s, %s isolated, but ticks interrupt them",
                   text.bytes, isolated);
        doctor_fix(doctor, "add nohz_full=%s rcu_nocbs=%s to the kernel command line and restart",
                   isolated, isolated);
    } else {
        doctor_say(doctor, DOCTOR_OK, name, "%s, isolated: %s, without ticks: %s", text.bytes,
                   isolated[0] != '\0' ? isolated : "none", ticks[0] != '\0' ? ticks : "none");
    }
}

/*
 * Time is read in every turn of a worker. Sources that the vDSO can read cost some 20 ns; the
 * others a system call and a device access (timers/timekeeping.rst; arch/x86 vdso/clocksource.h
 * has: tsc, kvm-clock, hyperv_clocksource_tsc_page).
 */
static void check_clock(struct doctor *doctor, const char *name)
{
    static const char folder[] = "/sys/devices/system/clocksource/clocksource0";
    static const char *const quick[] = {"tsc", "kvm-clock", "hyperv_clocksource_tsc_page"};
    char source[64];
    char available[256] = "";
    char flags[FLAGS_BYTES];
    bool is_quick = false;
    size_t index;

    if (!doctor_read(doctor, source, sizeof(source), "%s/current_clocksource", folder) ||
        !doctor_cpu_flags(doctor, flags, sizeof(flags))) {
        doctor_say_unreadable(doctor, name, folder);
        return;
    }
    (void)doctor_read(doctor, available, sizeof(available), "%s/available_clocksource", folder);
    for (index = 0; index < sizeof(quick) / sizeof(quick[0]); index++) {
        is_quick = is_quick || strcmp(source, quick[index]) == 0;
    }
    if (!is_quick) {
        doctor_say(doctor, DOCTOR_WARN, name, "%s: reading the time is a system call", source);
        if (doctor_has_word(available, "tsc")) {
            doctor_fix(doctor, "echo tsc | sudo tee %s/current_clocksource", folder);
        } else {
            doctor_fix(doctor, "sudo dmesg | grep -i -e tsc -e clocksource   says why the kernel "
                               "does not trust the time stamp counter");
        }
    } else if (!doctor_has_word(flags, "constant_tsc")) {
        doctor_say(doctor, DOCTOR_WARN, name,
                   "%s, but the counter's pace changes with the processor's (no constant_tsc)",
                   source);
        doctor_fix(doctor, "sudo cpupower frequency-set -g performance");
    } else if (!doctor_has_word(flags, "nonstop_tsc")) {
        doctor_say(doctor, DOCTOR_WARN, name,
                   "%s, but the counter stops in deep sleep (no nonstop_tsc)", source);
        doctor_fix(doctor, "%s",
                   doctor_has_word(flags, "hypervisor")
                       ? "if the host has it, pass it on (QEMU: -cpu host,migratable=off,+invtsc)"
                       : "add processor.max_cstate=1 intel_idle.max_cstate=0 to the kernel command "
                         "line and restart");
    } else {
        doctor_say(doctor, DOCTOR_OK, name, "%s, counter is constant and does not stop", source);
    }
}

/* --- memory and limits --------------------------------------------------------------------------
 */

/*
 * A node takes 64 MiB for frames of DPDK (link/dpdk.h) and 16 KiB and more for each SIP. A
 * container may have less than the machine: admin-guide/cgroup-v2.rst, memory.max.
 */
static void check_memory(struct doctor *doctor, const char *name)
{
    char text[8192];
    const char *line;
    const char *where = "";
    int64_t limit;
    int64_t used;
    uint64_t mib;

    if (!doctor_read(doctor, text, sizeof(text), "/proc/meminfo") ||
        (line = strstr(text, "MemAvailable:")) == NULL) {
        doctor_say_unreadable(doctor, name, "/proc/meminfo");
        return;
    }
    mib = strtoull(line + strlen("MemAvailable:"), NULL, 10) / 1024;
    if (doctor_read_number(doctor, &limit, "/sys/fs/cgroup/memory.max") &&
        doctor_read_number(doctor, &used, "/sys/fs/cgroup/memory.current") && limit >= used &&
        used >= 0 && (uint64_t)(limit - used) >> 20 < mib) {
        mib = (uint64_t)(limit - used) >> 20;
        where = " in this control group";
    }
    if (mib < 256) {
        doctor_say(doctor, DOCTOR_WARN, name, "%" PRIu64 " MiB available%s, a node wants 256", mib,
                   where);
        doctor_fix(doctor, "%s",
                   where[0] != '\0' ? "raise the container's memory limit"
                                    : "end what takes it: ps aux --sort=-rss | head");
    } else {
        doctor_say(doctor, DOCTOR_OK, name, "%" PRIu64 " MiB available%s", mib, where);
    }
}

/* admin-guide/mm/transhuge.rst: with "always" a first touch may take 2 MiB "for no good". So
 * may that of a larger block, whose place is of 2 MiB. */
static void check_thp(struct doctor *doctor, const char *name)
{
    static const char path[] = "/sys/kernel/mm/transparent_hugepage/enabled";
    char text[128];

    if (!doctor_read(doctor, text, sizeof(text), "%s", path)) {
        doctor_say(doctor, DOCTOR_OK, name, "this kernel has none: small pages are used");
    } else if (strstr(text, "[always]") != NULL) {
        doctor_say(doctor, DOCTOR_WARN, name,
                   "always: a SIP's first touch of its memory, and each block of 64 KiB or more, "
                   "may take 2 MiB");
        doctor_fix(doctor, "echo madvise | sudo tee %s", path);
    } else {
        doctor_say(doctor, DOCTOR_OK, name, "%s",
                   strstr(text, "[madvise]") != NULL ? "madvise: only where asked for" : "never");
    }
}

/* A node raises its soft limit to the hard one by itself. */
static void check_open_files(struct doctor *doctor, const char *name)
{
    uint64_t soft;
    uint64_t hard;

    if (!doctor_limit_read(doctor, "Max open files", &soft, &hard)) {
        doctor_say_unreadable(doctor, name, "/proc/self/limits");
    } else if (hard < 4096) {
        doctor_say(doctor, DOCTOR_WARN, name,
                   "at most %" PRIu64 ": each memif link and each connection of the TCP service "
                   "takes some",
                   hard);
        doctor_fix(doctor, "raise LimitNOFILE= of the unit, or 'hard nofile' in "
                           "/etc/security/limits.conf, to 65536 and log in anew");
    } else if (hard == UINT64_MAX) {
        doctor_say(doctor, DOCTOR_OK, name, "no limit");
    } else {
        doctor_say(doctor, DOCTOR_OK, name, "up to %" PRIu64, hard);
    }
}

/* Slots of SIPs and the exchange heap are reserved as address ranges, terabytes on nodes 1 to 8
 * (docs/architecture.md, "Address map"): mmap counts them although they take no memory. */
static void check_address_space(struct doctor *doctor, const char *name)
{
    uint64_t soft;
    uint64_t hard;

    if (!doctor_limit_read(doctor, "Max address space", &soft, &hard)) {
        doctor_say_unreadable(doctor, name, "/proc/self/limits");
    } else if (soft != UINT64_MAX) {
        doctor_say(doctor, DOCTOR_FAIL, name,
                   "limited to %" PRIu64 " MiB: a node cannot reserve its address ranges",
                   soft >> 20);
        doctor_fix(doctor, "ulimit -v unlimited%s",
                   hard == UINT64_MAX ? ""
                                      : "   (the hard limit, too: LimitAS=infinity of the unit)");
        doctor_block(doctor, DOCTOR_ALL, DOCTOR_AFTER_FIXES, "the address space is limited");
    } else {
        doctor_say(doctor, DOCTOR_OK, name, "no limit");
    }
}

/* admin-guide/sysctl/vm.rst, max_map_count; docs/formats.md: one for a SIP, one for a large block.
 */
static void check_mappings(struct doctor *doctor, const char *name)
{
    static const char path[] = "/proc/sys/vm/max_map_count";
    int64_t count;

    if (!doctor_read_number(doctor, &count, "%s", path)) {
        doctor_say_unreadable(doctor, name, path);
    } else if (count < 65530) {
        doctor_say(doctor, DOCTOR_WARN, name,
                   "%" PRId64 ": a SIP takes one, and one more for each larger block", count);
        doctor_fix(doctor, "sudo sysctl -w vm.max_map_count=1048576");
    } else if (count < 1000000) {
        doctor_say(doctor, DOCTOR_OK, name, "%" PRId64 ": enough for some 60,000 SIPs a node",
                   count);
    } else {
        doctor_say(doctor, DOCTOR_OK, name, "%" PRId64, count);
    }
}

/*
 * af_packet: packet(7) asks for CAP_NET_RAW. Devices: EAL reads physical addresses, for which
 * CAP_SYS_ADMIN is needed (admin-guide/mm/pagemap.rst; DPDK Getting Started Guide for Linux,
 * "Running DPDK Applications Without Root Privileges").
 */
static void check_privileges(struct doctor *doctor, const char *name)
{
    const bool for_packets = (doctor->drivers & DOCTOR_AF_PACKET) != 0;
    const bool for_devices = (doctor->drivers & DOCTOR_PCI) != 0;
    uint64_t bits;
    bool packets;
    bool devices;

    if (!doctor_capabilities(doctor, &bits)) {
        doctor_say_unreadable(doctor, name, "/proc/self/status");
        return;
    }
    packets = (bits & 1ull << DOCTOR_CAP_NET_RAW) != 0;
    devices = (bits & 1ull << DOCTOR_CAP_SYS_ADMIN) != 0;
    if ((packets || !for_packets) && (devices || !for_devices)) {
        doctor_say(doctor, DOCTOR_OK, name, "%s%s%s", for_packets ? "CAP_NET_RAW" : "",
                   for_packets && for_devices ? ", " : "", for_devices ? "CAP_SYS_ADMIN" : "");
        return;
    }
    doctor_say(doctor, doctor_bad(doctor), name, "no %s%s%s",
               for_packets && !packets ? "CAP_NET_RAW (af_packet)" : "",
               for_packets && !packets && for_devices && !devices ? ", no " : "",
               for_devices && !devices ? "CAP_SYS_ADMIN (devices)" : "");
    if (for_packets && !packets) {
        doctor_fix(doctor, "sudo setcap cap_net_raw+ep \"$(command -v sipnode)\"%s",
                   for_devices ? "; for devices run nodes as root" : ", or run nodes as root");
        doctor_block(doctor, DOCTOR_AF_PACKET, DOCTOR_AFTER_FIXES, "needs CAP_NET_RAW");
    } else {
        doctor_fix(doctor, "run nodes with devices as root, and this: sudo fabricctl doctor");
    }
    if (!devices) {
        doctor_block(doctor, DOCTOR_PCI, DOCTOR_AFTER_FIXES, "needs root");
    }
}

/* DPDK Getting Started Guide for Linux, "Linux Drivers": what vfio maps counts as locked memory. */
static void check_memlock(struct doctor *doctor, const char *name)
{
    uint64_t bits = 0;
    uint64_t soft;
    uint64_t hard;

    if (!doctor_limit_read(doctor, "Max locked memory", &soft, &hard)) {
        doctor_say_unreadable(doctor, name, "/proc/self/limits");
    } else if (doctor_capabilities(doctor, &bits) && (bits & 1ull << DOCTOR_CAP_IPC_LOCK) != 0) {
        doctor_say(doctor, DOCTOR_OK, name, "CAP_IPC_LOCK: the limit does not count");
    } else if (soft < 64u << 20) {
        doctor_say(doctor, DOCTOR_WARN, name,
                   "%" PRIu64 " KiB: vfio cannot map the 64 MiB of a node's frames", soft >> 10);
        doctor_fix(doctor, "LimitMEMLOCK=infinity in the unit, or 'memlock unlimited' in "
                           "/etc/security/limits.conf and log in anew; root needs neither");
    } else {
        doctor_say(doctor, DOCTOR_OK, name, "enough for the 64 MiB of a node's frames");
    }
}

/* --- memif --------------------------------------------------------------------------------------
 */

/* memif passes memory in memfds (not in /dev/shm), made without MFD_NOEXEC_SEAL:
 * userspace-api/mfd_noexec.rst. */
static void check_memfd(struct doctor *doctor, const char *name)
{
    int64_t value = 0;

    if (doctor_read_number(doctor, &value, "/proc/sys/vm/memfd_noexec") && value == 2) {
        doctor_say(doctor, DOCTOR_FAIL, name,
                   "vm.memfd_noexec is 2: memif cannot make the memory that two nodes share");
        doctor_fix(doctor, "sudo sysctl -w vm.memfd_noexec=1");
        doctor_block(doctor, DOCTOR_MEMIF, DOCTOR_AFTER_FIXES, "vm.memfd_noexec is 2");
    } else {
        doctor_say(doctor, DOCTOR_OK, name, "memfds can be made; /dev/shm is not used");
    }
}

static void memif_fail(struct doctor *doctor, const char *name, const char *why, const char *path,
                       const char *fix)
{
    doctor_say(doctor, DOCTOR_FAIL, name, "%s: %s", path, why);
    doctor_fix(doctor, "%s", fix);
    doctor_block(doctor, DOCTOR_MEMIF, DOCTOR_AFTER_FIXES, "%s", why);
}

/* The path itself: net_drivers/dpdk/README.md. False: said what is wrong with it. */
static bool memif_path_good(struct doctor *doctor, const char *name, const char *path)
{
    if (path[0] != '/') {
        memif_fail(doctor, name, "not an absolute path", path, "begin it with /");
    } else if (strlen(path) > 107) {
        memif_fail(doctor, name, "over 107 bytes, which a Unix socket cannot have", path,
                   "choose a shorter folder");
    } else if (strpbrk(path, ",=[]\"") != NULL) {
        memif_fail(doctor, name, "has one of , = [ ] \" in it, which DPDK would misread", path,
                   "choose another name");
    } else {
        return true;
    }
    return false;
}

/* The nearest folder of path that is there; `path` is cut to it. */
static bool nearest(const struct doctor *doctor, char *path, struct stat *out_status, char *whole)
{
    for (;;) {
        char *slash;

        if ((size_t)snprintf(whole, PATH_MAX, "%s%s", doctor->root, path) < PATH_MAX &&
            stat(whole, out_status) == 0) {
            return true;
        }
        slash = strrchr(path, '/');
        if (slash == NULL) {
            return false;
        }
        *slash = '\0';
    }
}

/* The folder that sockets are to be in, by a path that may be there. False: said what is wrong. */
static bool memif_wanted(struct doctor *doctor, const char *name, char wanted[PATH_MAX])
{
    if (doctor->device != NULL) {
        if (!memif_path_good(doctor, name, doctor->device)) {
            return false;
        }
        snprintf(wanted, PATH_MAX, "%s", doctor->device);
        *strrchr(wanted, '/') = '\0';
        return true;
    }
    /* fabricd puts mA-B-NUMBER.sock there and has 80 bytes for the folder. */
    snprintf(wanted, PATH_MAX, "%s", doctor->context->state_dir);
    if (strlen(wanted) > 80) {
        memif_fail(doctor, name, "over 80 bytes, too long for the sockets in it", wanted,
                   "export XDG_RUNTIME_DIR to a shorter folder, or shorten the cluster's name");
        return false;
    }
    return true;
}

/* Peers of a memif link trust each other's memory: only their user may get at the socket. */
static void check_memif_folder(struct doctor *doctor, const char *name)
{
    char path[PATH_MAX];
    char wanted[PATH_MAX];
    char whole[PATH_MAX];
    struct stat status;
    bool there;

    if (!memif_wanted(doctor, name, wanted)) {
        return;
    }
    snprintf(path, sizeof(path), "%s", wanted);
    if (!nearest(doctor, path, &status, whole)) {
        doctor_say(doctor, DOCTOR_SKIP, name, "%s cannot be looked at", wanted);
        return;
    }
    there = strcmp(path, wanted) == 0;
    if (!S_ISDIR(status.st_mode)) {
        memif_fail(doctor, name, "is no folder", path, "move it away, or choose another");
    } else if (access(whole, W_OK | X_OK) != 0) {
        memif_fail(doctor, name, "this user cannot make files there", path[0] != '\0' ? path : "/",
                   "choose a folder of this user, mode 0700");
    } else if (!there && doctor->device != NULL) {
        memif_fail(doctor, name, "there is no such folder", wanted, "");
        doctor_fix(doctor, "mkdir -p -m 0700 %s", wanted);
    } else if (there && (status.st_uid != geteuid() || (status.st_mode & 077) != 0)) {
        doctor_say(doctor, DOCTOR_WARN, name,
                   "%s can be entered by others (mode %04o): a memif peer can crash a node", wanted,
                   (unsigned)status.st_mode & 07777u);
        if (doctor->device == NULL && status.st_uid == geteuid()) {
            doctor_fix(doctor, "chmod 0700 %s", wanted);
        } else {
            doctor_fix(doctor, "mkdir -m 0700 %s/links   and put the socket there", wanted);
        }
    } else {
        doctor_say(doctor, DOCTOR_OK, name, "%s%s", wanted,
                   there ? ", this user's only" : " can be made");
    }
}

/* --- all of them --------------------------------------------------------------------------------
 */

const struct doctor_check doctor_checks[] = {
    {"cpu-flags", DOCTOR_ALL, check_cpu_flags},
    {"aes", DOCTOR_ALL, check_aes},
    {"cores", DOCTOR_ALL, check_cores},
    {"clock", DOCTOR_ALL, check_clock},
    {"memory", DOCTOR_ALL, check_memory},
    {"thp", DOCTOR_ALL, check_thp},
    {"open-files", DOCTOR_ALL, check_open_files},
    {"address-space", DOCTOR_ALL, check_address_space},
    {"mappings", DOCTOR_ALL, check_mappings},
    {"memif-folder", DOCTOR_MEMIF, check_memif_folder},
    {"memfd", DOCTOR_MEMIF, check_memfd},
    {"privileges", DOCTOR_AF_PACKET | DOCTOR_PCI, check_privileges},
    {"interface", DOCTOR_AF_PACKET, doctor_check_interfaces},
    {"hugepages", DOCTOR_PCI, doctor_check_hugepages},
    {"hugepages-1g", DOCTOR_PCI, doctor_check_gigapages},
    {"memlock", DOCTOR_PCI, check_memlock},
    {"iommu", DOCTOR_PCI, doctor_check_iommu},
    {"vfio", DOCTOR_PCI, doctor_check_vfio},
    {"uio", DOCTOR_PCI, doctor_check_uio},
    {"nic", DOCTOR_PCI, doctor_check_nics},
    {"rdma", DOCTOR_RDMA, doctor_check_rdma},
    {"rdma-cm", DOCTOR_RDMA, doctor_check_rdma_cm},
    {"rdma-memory", DOCTOR_RDMA, doctor_check_rdma_memory},
    {"cluster", DOCTOR_ALL, doctor_check_cluster},
    {0},
};
