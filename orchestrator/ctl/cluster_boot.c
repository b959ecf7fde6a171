/* SPDX-License-Identifier: Apache-2.0 */
/* cluster_boot.c - DHCP, HTTP and iPXE scripts, and the machines that boot from them. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/cluster_nodes.h"

/* What the kernel need not do in a virtual machine: together about 0.7 s. */
#define QUICK_BOOT                                                                                 \
    "quiet mitigations=off nokaslr edd=off tsc=reliable no_timer_check cryptomgr.notests "         \
    "8250.nr_uarts=1 random.trust_cpu=on"
/* TCG says that it copies strings of bytes fast, and takes 2 to 3 ms for 64 KiB of `rep movsb`: 81
 * us with SSE, 0.3 ms by `rep movsq`, which Linux and the C library use if it does not say so. */
#define EMULATED_CPU "max,-erms"
/* A machine that never has a second processor gets no memory barriers from TCG (QEMU 7.2): its
 * locked instructions become plain ones, though devices run in threads of their own. So both miss
 * now and then that there is something in a queue: "NETDEV WATCHDOG: transmit queue 0 timed out",
 * and silence. Room for a second one brings the barriers. Fences came with QEMU 8.1 (commit
 * c914d46d0a64), but Linux' barriers are locked instructions. */
#define EMULATED_CPUS_MAX_MIN 2u

static sf_status write_file(struct cluster *cluster, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static sf_status write_file(struct cluster *cluster, const char *name, const char *format, ...)
{
    char path[CLUSTER_PATH_MAX];
    FILE *file = fopen(cluster_path(cluster, path, "%s", name), "we");
    va_list args;
    bool written = file != NULL;

    if (file != NULL) {
        va_start(args, format);
        written = vfprintf(file, format, args) >= 0;
        va_end(args);
        written = fclose(file) == 0 && written;
    }
    if (!written) {
        cluster_error(cluster, "cannot write %s: %s", path, strerror(errno));
        return SF_IO;
    }
    return SF_OK;
}

/*
 * Two settings save 16 s a boot: iPXE configures IPv4 and IPv6 together, so its router
 * solicitations are answered (ra-only), and option 175.176 says that no second DHCP server with
 * more to say will come. A machine gets its own script by its MAC, straight from the boot file
 * name: no TFTP, no script that asks for the next one.
 */
static sf_status write_dnsmasq_conf(struct cluster_plan *plan)
{
    struct cluster *cluster = plan->cluster;
    char hosts[CLUSTER_NODES_MAX * 192];
    size_t used = 0;

    for (unsigned i = 0; i < cluster->node_count; i++) {
        unsigned number = plan->nodes[i].number;
        used += (size_t)snprintf(
            hosts + used, sizeof(hosts) - used,
            "dhcp-host=52:54:00:77:00:%02x,set:node%u,10.77.0.%u,node%u\n"
            "dhcp-boot=tag:node%u,http://" CLUSTER_HOST_ADDRESS ":%d/52-54-00-77-00-%02x.ipxe\n",
            number, number, 10 + number, number, number, CLUSTER_HTTP_PORT, number);
    }
    return write_file(cluster, "dnsmasq.conf",
                      "port=0\ninterface=brc\nbind-interfaces\n"
                      "dhcp-range=10.77.0.0,static,255.255.255.0,12h\n"
                      "%s"
                      "dhcp-option=3\ndhcp-option=6\n"
                      "dhcp-authoritative\ndhcp-no-override\nno-ping\nlog-dhcp\nuser=root\n"
                      "dhcp-leasefile=%s/dnsmasq.leases\n"
                      "dhcp-option-force=encap:175,176,1b\n"
                      "enable-ra\ndhcp-range=fd77::,ra-only,64,12h\n",
                      hosts, cluster->dir);
}

static sf_status write_script(struct cluster_plan *plan, const struct cluster_node *node)
{
    char name[64], rdma[128];
    unsigned number = node->number;

    snprintf(rdma, sizeof(rdma),
             "initrd http://" CLUSTER_HOST_ADDRESS ":%d/" CLUSTER_IMAGE_RDMA " || goto failed\n",
             CLUSTER_HTTP_PORT);
    /*
     * Echoed lines stay under 80 columns: iPXE wraps its serial output there. On a busy host it
     * sometimes puts a cursor movement into a line; a marker said twice survives one.
     */
    snprintf(name, sizeof(name), "www/52-54-00-77-00-%02x.ipxe", number);
    return write_file(plan->cluster, name,
                      "#!ipxe\n"
                      "echo SIPFABRIC-STAGE ipxe-script\n"
                      "echo SIPFABRIC-STAGE ipxe-script\n"
                      "kernel http://" CLUSTER_HOST_ADDRESS ":%d/vmlinuz console=ttyS0 panic=-1 %s"
                      " fabric.controller=%s fabric.token=%s%s%s"
                      " node.name=%s node.ip=10.77.0.%u node.mask=255.255.255.0"
                      " node.gateway=" CLUSTER_HOST_ADDRESS " node.mac=52:54:00:77:00:%02x"
                      " node.uuid=${uuid} || goto failed\n"
                      "initrd http://" CLUSTER_HOST_ADDRESS ":%d/initramfs.cpio || goto failed\n"
                      "%s"
                      "echo SIPFABRIC-STAGE ipxe-loaded\n"
                      "echo SIPFABRIC-STAGE ipxe-loaded\n"
                      "boot || goto failed\n"
                      ":failed\n"
                      "echo SIPFABRIC-STAGE ipxe-failed\n"
                      "reboot\n", /* which ends QEMU (-no-reboot), so that nobody waits in vain */
                      CLUSTER_HTTP_PORT, QUICK_BOOT, plan->controller, plan->cluster->token,
                      plan->boot_links, plan->iommu ? " intel_iommu=on" : "", node->name,
                      10 + number, number, CLUSTER_HTTP_PORT, plan->rdma ? rdma : "");
}

static sf_status write_www(struct cluster_plan *plan)
{
    static const char *const files[] = {"vmlinuz", "initramfs.cpio", CLUSTER_IMAGE_RDMA};
    size_t count = sizeof(files) / sizeof(files[0]) - (plan->rdma ? 0 : 1);
    struct cluster *cluster = plan->cluster;
    char www[CLUSTER_PATH_MAX];
    char from[600];
    char to[CLUSTER_PATH_MAX];
    sf_status st = SF_OK;

    if (mkdir(cluster_path(cluster, www, "www"), 0755) != 0) {
        cluster_error(cluster, "cannot make folder %s: %s", www, strerror(errno));
        return SF_IO;
    }
    for (size_t i = 0; i < count; i++) {
        snprintf(from, sizeof(from), "%s/%s", plan->image_dir, files[i]);
        if (symlink(from, cluster_path(cluster, to, "www/%s", files[i])) != 0) {
            cluster_error(cluster, "cannot link %s: %s", to, strerror(errno));
            return SF_IO;
        }
    }
    for (unsigned i = 0; i < cluster->node_count && st == SF_OK; i++) {
        st = write_script(plan, &plan->nodes[i]);
    }
    return st;
}

static sf_status start_dnsmasq(struct cluster_plan *plan)
{
    struct cluster *cluster = plan->cluster;
    struct cluster_args args;
    char log_path[CLUSTER_PATH_MAX];

    cluster_args_init(&args);
    cluster_net_enter(cluster, &args);
    cluster_args_add(&args, "dnsmasq", "--keep-in-foreground", "--log-facility=-", "--pid-file=");
    cluster_arg(&args, "--conf-file=%s/dnsmasq.conf", cluster->dir);
    return cluster_start(cluster, "dnsmasq", &args, cluster_path(cluster, log_path, "dnsmasq.log"),
                         &plan->dnsmasq_pid);
}

static sf_status start_http(struct cluster_plan *plan)
{
    struct cluster *cluster = plan->cluster;
    struct cluster_args args;
    char log_path[CLUSTER_PATH_MAX];
    sf_status st;

    st = write_file(cluster, "http.conf",
                    "server.document-root = \"%s/www\"\n"
                    "server.bind = \"" CLUSTER_HOST_ADDRESS "\"\n"
                    "server.port = %d\n"
                    "server.modules = ( \"mod_accesslog\" )\n"
                    "accesslog.filename = \"%s/http.log\"\n"
                    "server.feature-flags = ( \"server.graceful-shutdown-timeout\" => 1 )\n"
                    "mimetype.assign = ( \"\" => \"application/octet-stream\" )\n",
                    cluster->dir, CLUSTER_HTTP_PORT, cluster->dir);
    if (st != SF_OK) {
        return st;
    }
    cluster_args_init(&args);
    cluster_net_enter(cluster, &args);
    cluster_args_add(&args, "lighttpd", "-D", "-f");
    cluster_arg(&args, "%s/http.conf", cluster->dir);
    return cluster_start(cluster, "lighttpd", &args, cluster_path(cluster, log_path, "http.err"),
                         &plan->http_pid);
}

sf_status cluster_boot_serve(struct cluster_plan *plan)
{
    sf_status st = write_dnsmasq_conf(plan);

    if (st == SF_OK) {
        st = write_www(plan);
    }
    if (st == SF_OK) {
        st = start_dnsmasq(plan);
    }
    if (st == SF_OK) {
        st = start_http(plan);
    }
    return st;
}

bool cluster_kvm_present(void)
{
    bool module =
        access("/sys/module/kvm_intel", F_OK) == 0 || access("/sys/module/kvm_amd", F_OK) == 0;

    return module && access("/dev/kvm", R_OK | W_OK) == 0;
}

/* The instance number makes machine ids that no other cluster has. */
static void add_identity(const struct cluster *cluster, const struct cluster_node *node,
                         struct cluster_args *args)
{
    const char *id = cluster->instance;

    cluster_args_add(args, "-uuid");
    cluster_arg(args, "%.8s-%.4s-4%.3s-8%.3s-%.8s%04x", id, id + 8, id + 13, id + 17, id + 20,
                node->number);
    cluster_args_add(args, "-smbios");
    cluster_arg(args, "type=1,serial=%s", node->name);
    cluster_args_add(args, "-name");
    cluster_arg(args, "sipfabric-%s-%s", cluster->name, node->name);
}

/* An empty romfile, not rombar=0: the latter fails with a second nic. A virtio device goes through
 * an IOMMU only if it is told to, and can only if it is modern. */
static void add_fabric_nics(const struct cluster_plan *plan, const struct cluster_node *node,
                            struct cluster_args *args)
{
    bool virtio = strcmp(plan->nic, CLUSTER_NIC_DEFAULT) == 0;

    if (plan->iommu) {
        cluster_args_add(args, "-device", "intel-iommu,intremap=on,device-iotlb=on");
    }
    cluster_args_add(args, "-device");
    cluster_arg(args, "%s,netdev=n1,mac=52:54:00:78:00:%02x,romfile=%s", plan->nic, node->number,
                plan->iommu && virtio ? ",disable-legacy=on,iommu_platform=on" : "");
    if (plan->two_nics) {
        cluster_args_add(args, "-netdev");
        cluster_arg(args, "tap,id=n2,ifname=t%ug,script=no,downscript=no", node->number);
        cluster_args_add(args, "-device");
        cluster_arg(args, CLUSTER_NIC_DEFAULT ",netdev=n2,mac=52:54:00:79:00:%02x,romfile=%s",
                    node->number, plan->iommu ? ",disable-legacy=on,iommu_platform=on" : "");
    }
}

sf_status cluster_boot_node(struct cluster_plan *plan, struct cluster_node *node)
{
    struct cluster *cluster = plan->cluster;
    struct cluster_args args;
    char log_path[CLUSTER_PATH_MAX];
    char path[CLUSTER_PATH_MAX];
    sf_status st;

    cluster_args_init(&args);
    cluster_net_enter(cluster, &args);
    cluster_args_add(
        &args, "qemu-system-x86_64", "-M", plan->iommu ? "q35,kernel-irqchip=split" : "q35",
        "-accel", node->kvm ? "kvm" : "tcg,thread=multi", "-cpu", node->kvm ? "max" : EMULATED_CPU);
    cluster_args_add(&args, "-m");
    cluster_arg(&args, "%u", plan->memory_mib);
    cluster_args_add(&args, "-smp");
    cluster_arg(&args, "%u,maxcpus=%u", plan->cpus,
                plan->cpus < EMULATED_CPUS_MAX_MIN ? EMULATED_CPUS_MAX_MIN : plan->cpus);
    add_identity(cluster, node, &args);
    cluster_args_add(&args, "-nodefaults", "-nographic", "-no-reboot", "-monitor", "none",
                     "-chardev");
    cluster_arg(&args,
                "socket,id=console,path=%s/%s.console,server=on,wait=off,logfile=%s/%s.serial",
                cluster->dir, node->name, cluster->dir, node->name);
    cluster_args_add(&args, "-serial", "chardev:console", "-device", "virtio-rng-pci", "-netdev");
    cluster_arg(&args, "tap,id=n0,ifname=t%uc,script=no,downscript=no", node->number);
    cluster_args_add(&args, "-device");
    cluster_arg(&args, "virtio-net-pci,netdev=n0,mac=52:54:00:77:00:%02x,bootindex=1",
                node->number);
    cluster_args_add(&args, "-netdev");
    cluster_arg(&args, "tap,id=n1,ifname=t%uf,script=no,downscript=no", node->number);
    add_fabric_nics(plan, node, &args);

    /* What a first try with KVM left behind would be read as this one's. */
    unlink(cluster_path(cluster, path, "%s.serial", node->name));
    st = cluster_start(cluster, node->name, &args,
                       cluster_path(cluster, log_path, "%s.qemu", node->name), &node->pid);
    if (st == SF_OK) {
        node->started_ms = cluster_now_ms();
        node->stage = CLUSTER_STAGE_OFF;
        cluster_stage_set(plan, node, CLUSTER_STAGE_POWER_ON);
    }
    return st;
}
