/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster_nodes.h - the steps of `cluster create`, and the watch over nodes while they start.
 *
 * Model: cluster.c calls, in order, for booted nodes: cluster_net_up, cluster_fabricd_start,
 * cluster_boot_serve, cluster_boot_node per node; for hosted nodes: with af_packet cluster_net_up;
 * cluster_fabricd_start, cluster_hosted_node per node; then cluster_watch until every node has
 * joined. Everything made is in the record (cluster_state.h) first, so the undoing is the same for
 * all: cluster_undo.
 *
 * Addresses inside the cluster's own network namespace (two clusters may use the same ones):
 *   10.77.0.1       host side: DHCP, HTTP (8000), fabricd (7700)
 *   10.77.0.10+N    node N, nic0, 52:54:00:77:00:NN, tap tNc on bridge brc
 *                   node N, nic1 (fabric), 52:54:00:78:00:NN, tap tNf on bridge brf
 *                   with --link-driver mixed: nic2, 52:54:00:79:00:NN, tap tNg on bridge brg
 *
 * Hosted nodes over af_packet are, with fabricd, in such a namespace, too, and talk to it over its
 * lo. Node N has the veth interface sfN, whose other end spN is on bridge brf. None of them has an
 * address that Linux knows; the node's own for the fabric is 10.78.0.10+N.
 *
 * Threads: none. Errors: said on stderr, the status says the kind.
 */
#ifndef CTL_CLUSTER_NODES_H
#define CTL_CLUSTER_NODES_H

#include <signal.h>

#include "ctl/cluster_spawn.h"
#include "ctl/cluster_state.h"
#include "encrypt.h"
#include "image/trust.h"

#define CLUSTER_HOST_ADDRESS "10.77.0.1"
#define CLUSTER_FABRICD_PORT 7700
#define CLUSTER_HTTP_PORT 8000
/* Bytes of a frame, as sipnode --link takes them. */
#define CLUSTER_MTU_MIN 512u
#define CLUSTER_MTU_DEFAULT 1472u
#define CLUSTER_MTU_MAX 9216u
#define CLUSTER_NIC_DEFAULT "virtio-net-pci"
#define CLUSTER_IMAGE_RDMA "rdma.cpio" /* what the node image needs for RDMA */
#define CLUSTER_HEADERS_BYTES 28u      /* IPv4 and UDP, in front of it */

enum cluster_accel { CLUSTER_ACCEL_AUTO, CLUSTER_ACCEL_KVM, CLUSTER_ACCEL_TCG };

enum cluster_stage {
    CLUSTER_STAGE_OFF,
    CLUSTER_STAGE_POWER_ON,
    CLUSTER_STAGE_IPXE,
    CLUSTER_STAGE_IPXE_SCRIPT,
    CLUSTER_STAGE_IPXE_LOADED,
    CLUSTER_STAGE_KERNEL,
    CLUSTER_STAGE_NETWORK,
    CLUSTER_STAGE_FABRIC_NIC,
    CLUSTER_STAGE_JOINED,
};

#define CLUSTER_SCAN_BYTES 4096

struct cluster_node {
    unsigned number; /* from 1 */
    char name[16];   /* "node1" */
    pid_t pid;
    enum cluster_stage stage;
    uint64_t started_ms; /* power on, monotonic */
    uint64_t stage_ms;   /* when it came to this stage */
    bool kvm;
    bool key_fed;
    int console_fd; /* of QEMU's serial console, -1: not connected */
    int output_fd;  /* what the node prints, read from its file; -1: not there yet */
    uint64_t output_bytes;
    char scan[CLUSTER_SCAN_BYTES + 1]; /* end of the output that may hold half a marker */
    size_t scan_bytes;
};

struct cluster_plan {
    struct cluster *cluster;
    uint32_t memory_mib;
    uint32_t cpus;
    uint32_t timeout_ms;
    bool af_packet;       /* hosted nodes talk over it, else over memif */
    uint32_t mtu_bytes;   /* of a frame over it */
    char boot_links[128]; /* of booted nodes, for their kernel command line; "": what they take by
                             themselves */
    bool rdma;            /* booted nodes get the image's part for it */
    bool two_nics;        /* of the fabric */
    struct ctl_list allow_rdma;
    const char *nic; /* QEMU's name of what nic1 is */
    bool iommu;      /* machines have one, and their nic1 is behind it */
    enum cluster_accel accel;
    char image_dir[512]; /* vmlinuz, initramfs.cpio */
    char fabricd[512];   /* programs */
    char sipnode[512];
    struct image_trust trust;  /* whose images the cluster takes */
    enum orch_encrypt encrypt; /* which sessions between nodes */
    char controller[64]; /* "ADDRESS:PORT" that nodes connect to; set by cluster_fabricd_start */
    uint64_t began_ms;
    char ask_error[600]; /* why fabricd could not be asked the last time, or "" */
    pid_t fabricd_pid;
    pid_t dnsmasq_pid;
    pid_t http_pid;
    struct cluster_node nodes[CLUSTER_NODES_MAX];
};

/* Set by SIGINT, SIGTERM and SIGHUP; loops look at it and end with AGAIN. */
extern volatile sig_atomic_t cluster_interrupted;

/* Namespace, bridges, and taps or veth interfaces. */
SF_MUST_CHECK sf_status cluster_net_up(struct cluster_plan *plan);
/* Starts args with "ip netns exec NAMESPACE" when the cluster has one. */
void cluster_net_enter(const struct cluster *cluster, struct cluster_args *args);
/* Removes the namespace with all links in it, if it is there. */
SF_MUST_CHECK sf_status cluster_net_down(struct cluster *cluster);

/* Starts fabricd and waits until it answers. */
SF_MUST_CHECK sf_status cluster_fabricd_start(struct cluster_plan *plan);

/* DHCP and HTTP servers with one iPXE script per node. */
SF_MUST_CHECK sf_status cluster_boot_serve(struct cluster_plan *plan);
/* Powers a machine on. */
SF_MUST_CHECK sf_status cluster_boot_node(struct cluster_plan *plan, struct cluster_node *node);
/* Whether this machine can run guests with KVM, as far as can be seen from outside. */
bool cluster_kvm_present(void);

SF_MUST_CHECK sf_status cluster_hosted_node(struct cluster_plan *plan, struct cluster_node *node);

/* Shows stages until all nodes have joined. TIMEOUT, IO (a program ended), AGAIN (interrupted). */
SF_MUST_CHECK sf_status cluster_watch(struct cluster_plan *plan);
void cluster_watch_fini(struct cluster_plan *plan);
/* Moves a node on to a stage and shows it; going back is ignored. */
void cluster_stage_set(struct cluster_plan *plan, struct cluster_node *node,
                       enum cluster_stage stage);

/* Shows the last lines of a file on stderr. */
void cluster_show_tail(const char *path, const char *title);

#endif
