/* SPDX-License-Identifier: Apache-2.0 */
/* cluster.c - fabricctl cluster: makes, lists and removes clusters on this machine. */
#include <assert.h>
#include <cjson/cJSON.h>
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "allow.h"
#include "ctl/cluster_nodes.h"
#include "ctl/ctl.h"
#include "ctl/ctl_private.h"

#define MEMORY_MIB_MIN 256
#define MEMORY_MIB_MAX 65536
#define CPUS_MAX 64
#define READS_BYTES_MIN 4096u
#define READS_MEMORY_MIB_MIN 768u
#define CPUS_UNSAID UINT32_MAX
#define LIST_MAX 64
#define PROCESSES_MAX 256

volatile sig_atomic_t cluster_interrupted;

static void on_signal(int number)
{
    (void)number;
    cluster_interrupted = 1;
}

/* From here on Ctrl-C does not end fabricctl but makes it clean up. */
static void catch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        sigaction(numbers[i], &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
}

/* The context of another cluster than the one the global flags chose. */
static int aim(const struct ctl_context *context, const char *name, struct ctl_context *out_context)
{
    *out_context = *context;
    if (!cluster_name_ok(name)) {
        return ctl_error(context, CTL_USAGE,
                         "cluster name '%s': write a-z, 0-9 and -, a letter first, at most %d",
                         name, CLUSTER_NAME_MAX);
    }
    if (strlen(context->state_root) + strlen(name) + 2 > sizeof(out_context->state_dir)) {
        return ctl_error(context, CTL_USAGE,
                         "state folder %s/%s: over %d bytes, too long for the sockets in it; set a "
                         "shorter XDG_RUNTIME_DIR",
                         context->state_root, name, CLUSTER_DIR_MAX - 1);
    }
    out_context->cluster = name;
    snprintf(out_context->state_dir, sizeof(out_context->state_dir), "%s/%s", context->state_root,
             name);
    snprintf(out_context->socket_path, sizeof(out_context->socket_path), "%.480s/ctl.sock",
             out_context->state_dir);
    return CTL_OK;
}

/* --- undoing
 * ---------------------------------------------------------------------------------------- */

/*
 * Takes away what the record names: processes, then the namespace with its links, then the folder.
 * The folder goes last, and only when all else is gone: what is left can be tried again.
 */
static sf_status undo(struct cluster *cluster)
{
    size_t left = cluster_end_processes(cluster);

    if (left > 0) {
        cluster_error(cluster, "%zu processes of cluster '%s' do not end; see %s/pids", left,
                      cluster->name, cluster->dir);
        return SF_IO;
    }
    if (cluster_net_down(cluster) != SF_OK) {
        return SF_IO;
    }
    return cluster_remove_dir(cluster);
}

/* --- create
 * ----------------------------------------------------------------------------------------- */

struct create_options {
    uint32_t nodes;
    uint32_t memory_mib;
    uint32_t cpus;
    uint32_t timeout_ms;
    const char *name;
    const char *image_dir;
    const char *accel;
    const char *encrypt;
    const char *link_driver; /* NULL: not given */
    const char *nic;         /* NULL: not given */
    uint32_t mtu_bytes;      /* 0: not given */
    bool iommu;
    struct ctl_list trust;
    struct ctl_list allow_rdma;
    uint32_t rdma_reads;   /* bytes; 0: none */
    const char *rdma_soft; /* NULL: not given */
    bool rdma_cm;
    bool allow_unsigned;
    bool hosted;
    bool allow_native;
    bool keep;
};

static int check_numbers(struct ctl_context *context, const struct create_options *options)
{
    if (options->nodes < 1 || options->nodes > CLUSTER_NODES_MAX) {
        return ctl_error(context, CTL_USAGE, "--nodes %u: from 1 to %d", options->nodes,
                         CLUSTER_NODES_MAX);
    }
    if (options->memory_mib < MEMORY_MIB_MIN || options->memory_mib > MEMORY_MIB_MAX) {
        return ctl_error(context, CTL_USAGE, "--memory-mib %u: from %d to %d", options->memory_mib,
                         MEMORY_MIB_MIN, MEMORY_MIB_MAX);
    }
    if (options->cpus != CPUS_UNSAID && (options->cpus < 1 || options->cpus > CPUS_MAX)) {
        return ctl_error(context, CTL_USAGE, "--cpus %u: from 1 to %d", options->cpus, CPUS_MAX);
    }
    return CTL_OK;
}

/* The ways in which booted nodes can talk. */
static const struct boot_way {
    const char *driver;        /* --link-driver */
    const char *link, *second; /* on the kernel's command line */
    bool rdma, two_nics;
} boot_ways[] = {
    {"virtio", " fabric.link=virtio:nic1", "", false, false},
    {"af_packet", " fabric.link=af_packet:nic1", "", false, false},
    {"dpdk", " fabric.link=dpdk:nic1", "", false, false},
    {"rdma", " fabric.link=rdma:auto", "", true, false},
    {"mixed", " fabric.link=rdma:nic1", " fabric.link=dpdk:nic2", true, true},
};
#define BOOT_WAYS (sizeof(boot_ways) / sizeof(boot_ways[0]))

/* Nodes keep their heaps in memory that the device reads, and nothing that it reads is encrypted.
 */
static int check_reads(struct ctl_context *context, const struct create_options *options,
                       const struct cluster_plan *plan)
{
    if (!plan->rdma) {
        return ctl_error(context, CTL_USAGE, "--rdma-reads needs --link-driver rdma or mixed");
    }
    if (options->rdma_reads < READS_BYTES_MIN) {
        return ctl_error(context, CTL_USAGE, "--rdma-reads %u: from %u bytes", options->rdma_reads,
                         READS_BYTES_MIN);
    }
    if (plan->encrypt != ORCH_ENCRYPT_NONE) {
        return ctl_error(context, CTL_USAGE,
                         "--rdma-reads: blocks are read only in sessions that are not encrypted: "
                         "--encrypt none");
    }
    if (options->memory_mib < READS_MEMORY_MIB_MIN) {
        return ctl_error(context, CTL_USAGE,
                         "--rdma-reads pins 256 MiB of each machine: --memory-mib %u or more",
                         READS_MEMORY_MIB_MIN);
    }
    return CTL_OK;
}

/* What is allowed has to be said where RDMA is asked for, and means nothing elsewhere. */
static int check_rdma(struct ctl_context *context, const struct create_options *options,
                      struct cluster_plan *plan)
{
    static const char *const softs[] = {"rxe", "siw", NULL};
    struct orch_allow allow = {.rule_count = 0};

    for (uint32_t i = 0; i < options->allow_rdma.count; i++) {
        if (!orch_allow_add(&allow, options->allow_rdma.items[i])) {
            return ctl_error(context, CTL_USAGE, "--allow-rdma %s: " ORCH_ALLOW_RULE,
                             options->allow_rdma.items[i]);
        }
    }
    if (plan->rdma && options->allow_rdma.count == 0) {
        return ctl_error(context, CTL_USAGE,
                         "--link-driver %s: RDMA does not encrypt what it carries; say on which "
                         "links it may be used: --allow-rdma all, NETWORK/BITS or NODE:NODE",
                         options->link_driver);
    }
    if (!plan->rdma && options->allow_rdma.count > 0) {
        return ctl_error(context, CTL_USAGE, "--allow-rdma needs --link-driver rdma or mixed");
    }
    if (!plan->rdma && (options->rdma_soft != NULL || options->rdma_cm)) {
        return ctl_error(context, CTL_USAGE, "%s needs --link-driver rdma or mixed",
                         options->rdma_cm ? "--rdma-cm" : "--rdma-soft");
    }
    if (options->rdma_soft != NULL && !ctl_one_of(options->rdma_soft, softs)) {
        return ctl_error(context, CTL_USAGE, "--rdma-soft %s: rxe (RoCE) or siw (iWARP)",
                         options->rdma_soft);
    }
    plan->allow_rdma = options->allow_rdma;
    return options->rdma_reads != 0 ? check_reads(context, options, plan) : CTL_OK;
}

/* What booted nodes talk over: what nic1 is, and what drives it. */
static int check_nic(struct ctl_context *context, const struct create_options *options,
                     struct cluster_plan *plan)
{
    static const char *const nics[] = {CLUSTER_NIC_DEFAULT, "e1000", "e1000e", "vmxnet3", NULL};
    const char *driver = options->link_driver;
    const struct boot_way *way = NULL;

    plan->boot_links[0] = '\0';
    plan->rdma = plan->two_nics = false;
    plan->nic = options->nic != NULL ? options->nic : CLUSTER_NIC_DEFAULT;
    plan->iommu = options->iommu;
    if (options->hosted && (options->nic != NULL || options->iommu)) {
        return ctl_error(context, CTL_USAGE,
                         "--nic and --iommu are for machines, not for --hosted");
    }
    for (size_t i = 0; driver != NULL && i < BOOT_WAYS; i++) {
        way = strcmp(boot_ways[i].driver, driver) == 0 ? &boot_ways[i] : way;
    }
    if (options->hosted) {
        return check_rdma(context, options, plan);
    }
    if (driver != NULL && way == NULL) {
        return ctl_error(context, CTL_USAGE,
                         "--link-driver %s: virtio, af_packet, dpdk, rdma or mixed; memif is for "
                         "--hosted",
                         driver);
    }
    if (!ctl_one_of(plan->nic, nics)) {
        return ctl_error(context, CTL_USAGE,
                         "--nic %s: " CLUSTER_NIC_DEFAULT ", e1000, e1000e or vmxnet3", plan->nic);
    }
    if (strcmp(plan->nic, CLUSTER_NIC_DEFAULT) != 0 &&
        (way == NULL || strcmp(way->driver, "dpdk") != 0)) {
        return ctl_error(context, CTL_USAGE, "--nic %s needs --link-driver dpdk", plan->nic);
    }
    if (way != NULL) {
        char reads[32] = "";

        if (options->rdma_reads != 0) {
            (void)snprintf(reads, sizeof(reads), ",reads=%u", options->rdma_reads);
        }
        (void)snprintf(plan->boot_links, sizeof(plan->boot_links), "%s%s%s%s%.8s%s", way->link,
                       reads, options->rdma_cm ? ",cm=on" : "",
                       options->rdma_soft != NULL ? ",soft=" : "",
                       options->rdma_soft != NULL ? options->rdma_soft : "", way->second);
        plan->rdma = way->rdma;
        plan->two_nics = way->two_nics;
    }
    return check_rdma(context, options, plan);
}

/* What nodes talk over, and that it can be had. */
static int check_links(struct ctl_context *context, const struct create_options *options,
                       struct cluster_plan *plan)
{
    static const char *const hosted_drivers[] = {"memif", "af_packet", NULL};
    const char *driver = options->link_driver != NULL ? options->link_driver : "";
    bool af_packet = options->hosted && strcmp(driver, "af_packet") == 0;
    int code = check_nic(context, options, plan);

    if (code != CTL_OK) {
        return code;
    }
    if (options->hosted && driver[0] != '\0' && !ctl_one_of(driver, hosted_drivers)) {
        return ctl_error(context, CTL_USAGE, "--link-driver %s: memif or af_packet", driver);
    }
    if (options->mtu_bytes != 0 && !af_packet) {
        return ctl_error(context, CTL_USAGE, "--mtu is for --hosted --link-driver af_packet");
    }
    if (options->mtu_bytes != 0 &&
        (options->mtu_bytes < CLUSTER_MTU_MIN || options->mtu_bytes > CLUSTER_MTU_MAX)) {
        return ctl_error(context, CTL_USAGE, "--mtu %u: from %u to %u bytes a frame",
                         options->mtu_bytes, CLUSTER_MTU_MIN, CLUSTER_MTU_MAX);
    }
    if (!options->hosted && geteuid() != 0) {
        return ctl_error(context, CTL_ERROR,
                         "booting machines needs root (network namespace and taps): use sudo, or "
                         "--hosted for nodes that are ordinary processes");
    }
    if (af_packet && geteuid() != 0) {
        return ctl_error(context, CTL_ERROR,
                         "--link-driver af_packet needs root (network namespace, veth interfaces, "
                         "packet sockets): use sudo, or --link-driver memif, which needs none");
    }
    plan->af_packet = af_packet;
    plan->mtu_bytes = options->mtu_bytes != 0 ? options->mtu_bytes : CLUSTER_MTU_DEFAULT;
    return CTL_OK;
}

static int parse_accel(struct ctl_context *context, const char *text, enum cluster_accel *out_accel)
{
    static const char *const names[] = {
        [CLUSTER_ACCEL_AUTO] = "auto", [CLUSTER_ACCEL_KVM] = "kvm", [CLUSTER_ACCEL_TCG] = "tcg"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], text) == 0) {
            *out_accel = (enum cluster_accel)i;
            return CTL_OK;
        }
    }
    return ctl_error(context, CTL_USAGE, "--accel %s: auto, kvm or tcg", text);
}

/* The whole path without links; false when it is not there or too long. */
static bool whole_path(const char *path, char *out_path, size_t capacity)
{
    char *whole = realpath(path, NULL);
    bool fits = whole != NULL && strlen(whole) < capacity;

    if (fits) {
        memcpy(out_path, whole, strlen(whole) + 1);
    }
    free(whole);
    return fits;
}

/* Beside fabricctl (installed), or where the build puts it. */
static int find_program(struct ctl_context *context, const char *name, const char *built,
                        char *out_path, size_t capacity)
{
    const char *const places[] = {name, built};
    char path[4096];

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", context->program_dir, places[i]);
        if (whole_path(path, out_path, capacity) && access(out_path, X_OK) == 0) {
            return CTL_OK;
        }
    }
    return ctl_error(context, CTL_NOT_FOUND, "no %s beside fabricctl in %s; './run build' makes it",
                     name, context->program_dir);
}

static int find_image(struct ctl_context *context, const char *wanted, bool rdma, char *out_dir,
                      size_t capacity)
{
    static const struct {
        const char *name, *target;
    } files[] = {{"vmlinuz", "node-image"},
                 {"initramfs.cpio", "node-image"},
                 {CLUSTER_IMAGE_RDMA, "node-image-rdma"}};
    size_t count = sizeof(files) / sizeof(files[0]) - (rdma ? 0 : 1);
    char path[4096];

    snprintf(path, sizeof(path), "%s%s", wanted != NULL ? wanted : context->program_dir,
             wanted != NULL ? "" : "/../deploy");
    /* Links to it are made in another folder, so it has to be absolute. */
    if (!whole_path(path, out_dir, capacity)) {
        return ctl_error(context, CTL_NOT_FOUND,
                         "image folder %s is not there, or its path is over %zu bytes", path,
                         capacity - 1);
    }
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "%s/%s", out_dir, files[i].name);
        if (access(path, R_OK) != 0) {
            return ctl_error(context, CTL_NOT_FOUND,
                             "no node image: %s is missing; 'ninja -C build %s' builds it, "
                             "--image-dir names another folder",
                             path, files[i].target);
        }
    }
    return CTL_OK;
}

static void plan_nodes(struct cluster_plan *plan)
{
    bool kvm = plan->accel == CLUSTER_ACCEL_KVM ||
               (plan->accel == CLUSTER_ACCEL_AUTO && cluster_kvm_present());

    for (unsigned i = 0; i < plan->cluster->node_count; i++) {
        struct cluster_node *node = &plan->nodes[i];
        node->number = i + 1;
        node->kvm = kvm;
        node->console_fd = -1;
        node->output_fd = -1;
        snprintf(node->name, sizeof(node->name), "node%u", node->number);
    }
}

/* Everything between the record and the last node that joins. */
static sf_status bring_up(struct cluster_plan *plan)
{
    struct cluster *cluster = plan->cluster;
    sf_status st = SF_OK;

    if (cluster->networked) {
        st = cluster_net_up(plan);
    }
    if (st == SF_OK && !cluster_interrupted) {
        st = cluster_fabricd_start(plan);
    }
    if (st == SF_OK && !cluster_interrupted && !cluster->hosted) {
        st = cluster_boot_serve(plan);
    }
    for (unsigned i = 0; i < cluster->node_count && st == SF_OK && !cluster_interrupted; i++) {
        st = cluster->hosted ? cluster_hosted_node(plan, &plan->nodes[i])
                             : cluster_boot_node(plan, &plan->nodes[i]);
    }
    if (st == SF_OK && !cluster_interrupted) {
        st = cluster_watch(plan);
    }
    cluster_watch_fini(plan);
    return cluster_interrupted ? SF_AGAIN : st;
}

static int finish(struct cluster_plan *plan, sf_status st, bool keep)
{
    struct cluster *cluster = plan->cluster;
    double seconds = (double)(cluster_now_ms() - plan->began_ms) / 1000;

    if (st == SF_OK) {
        cluster->complete = true;
        st = cluster_save(cluster);
    }
    if (st == SF_OK) {
        ctl_note("%6.1f s  cluster '%s': %u %s nodes joined; state in %s", seconds, cluster->name,
                 cluster->node_count, cluster->hosted ? "hosted" : "booted", cluster->dir);
        ctl_trust_note(&plan->trust);
        return CTL_OK;
    }
    if (keep && !cluster_interrupted) {
        ctl_note("kept as it is for you to look at: %s; 'fabricctl cluster destroy %s' removes it",
                 cluster->dir, cluster->name);
        return CTL_ERROR;
    }
    ctl_note("%6.1f s  %s: removing what was started", seconds,
             cluster_interrupted ? "interrupted" : "failed");
    if (undo(cluster) != SF_OK) {
        ctl_note("'fabricctl cluster destroy %s' tries again", cluster->name);
    }
    return cluster_interrupted ? CTL_INTERRUPTED : CTL_ERROR;
}

static int create_planned(struct cluster_plan *plan, const char *name, bool keep)
{
    struct cluster *cluster = plan->cluster;
    sf_status st;
    int code;

    catch_signals();
    plan->began_ms = cluster_now_ms();
    st = cluster_new(cluster, name);
    if (st != SF_OK) {
        bool made = cluster->lock_fd >= 0; /* its folder is ours, nothing else was made */
        if (made) {
            st = cluster_remove_dir(cluster);
        }
        cluster_close(cluster);
        return CTL_ERROR;
    }
    plan_nodes(plan);
    code = finish(plan, bring_up(plan), keep);
    cluster_close(cluster);
    if (code == CTL_OK && cluster->context->output == CTL_JSON) {
        cJSON *root = cJSON_CreateObject();
        cJSON_AddStringToObject(root, "cluster", cluster->name);
        cJSON_AddStringToObject(root, "mode", cluster->hosted ? "hosted" : "booted");
        cJSON_AddNumberToObject(root, "nodes", cluster->node_count);
        cJSON_AddStringToObject(root, "state_dir", cluster->dir);
        cJSON_AddNumberToObject(root, "trusted_keys", plan->trust.key_count);
        cJSON_AddBoolToObject(root, "allow_unsigned", plan->trust.allow_unsigned);
        cJSON_AddNumberToObject(root, "seconds",
                                (double)(cluster_now_ms() - plan->began_ms) / 1000);
        ctl_print_json(root);
    } else if (code == CTL_OK && cluster->context->output == CTL_NAME) {
        puts(cluster->name);
    }
    return code;
}

static int parse_words(struct ctl_context *context, const struct create_options *options,
                       struct cluster_plan *plan)
{
    int code = parse_accel(context, options->accel, &plan->accel);

    if (code == CTL_OK && !orch_encrypt_parse(options->encrypt, &plan->encrypt)) {
        code = ctl_error(context, CTL_USAGE, "--encrypt %s: " ORCH_ENCRYPT_RULE, options->encrypt);
    }
    return code;
}

/* What a cluster is started from. */
static int find_all(struct ctl_context *context, const struct create_options *options,
                    struct cluster_plan *plan)
{
    int code = CTL_OK;

    if (!options->hosted) {
        code = find_image(context, options->image_dir, plan->rdma, plan->image_dir,
                          sizeof(plan->image_dir));
    }
    if (code == CTL_OK) {
        code = find_program(context, "fabricd", "fabricd", plan->fabricd, sizeof(plan->fabricd));
    }
    if (code == CTL_OK && options->hosted) {
        code = find_program(context, "sipnode", "../node_kernel/kernel/sipnode", plan->sipnode,
                            sizeof(plan->sipnode));
    }
    return code;
}

/* Threads that run SIPs never block each other, but more of them than processors cost round trips a
 * turn of the scheduler each. */
static uint32_t cpus_each(uint32_t nodes)
{
    cpu_set_t set;
    uint32_t count = sched_getaffinity(0, sizeof(set), &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;

    return count > nodes ? count / nodes : 1;
}

static int create_cluster(struct ctl_context *context, int argc, char **argv)
{
    static struct cluster_plan plan;
    struct cluster cluster = {.lock_fd = -1};
    struct create_options options = {.nodes = 3,
                                     .memory_mib = 512,
                                     .cpus = CPUS_UNSAID,
                                     .timeout_ms = 60000,
                                     .accel = "auto",
                                     .encrypt = "ethernet"};
    const struct ctl_option table[] = {
        {"--nodes", 'n', CTL_OPT_COUNT, &options.nodes},
        {"--name", 0, CTL_OPT_TEXT, &options.name},
        {"--hosted", 0, CTL_OPT_FLAG, &options.hosted},
        {"--allow-native", 0, CTL_OPT_FLAG, &options.allow_native},
        {"--memory-mib", 0, CTL_OPT_COUNT, &options.memory_mib},
        {"--cpus", 0, CTL_OPT_COUNT, &options.cpus},
        {"--timeout", 0, CTL_OPT_MILLISECONDS, &options.timeout_ms},
        {"--keep-on-failure", 0, CTL_OPT_FLAG, &options.keep},
        {"--image-dir", 0, CTL_OPT_TEXT, &options.image_dir},
        {"--accel", 0, CTL_OPT_TEXT, &options.accel},
        {"--encrypt", 0, CTL_OPT_TEXT, &options.encrypt},
        {"--link-driver", 0, CTL_OPT_TEXT, &options.link_driver},
        {"--allow-rdma", 0, CTL_OPT_LIST, &options.allow_rdma},
        {"--rdma-reads", 0, CTL_OPT_COUNT, &options.rdma_reads},
        {"--rdma-cm", 0, CTL_OPT_FLAG, &options.rdma_cm},
        {"--rdma-soft", 0, CTL_OPT_TEXT, &options.rdma_soft},
        {"--nic", 0, CTL_OPT_TEXT, &options.nic},
        {"--iommu", 0, CTL_OPT_FLAG, &options.iommu},
        {"--mtu", 0, CTL_OPT_COUNT, &options.mtu_bytes},
        {"--trust", 0, CTL_OPT_LIST, &options.trust},
        {"--allow-unsigned", 0, CTL_OPT_FLAG, &options.allow_unsigned},
        {0},
    };
    struct ctl_context aimed;
    int code;

    argc = ctl_options(context, argc, argv, table);
    if (argc < 0) {
        return CTL_USAGE;
    }
    if (argc > 1) {
        return ctl_error(context, CTL_USAGE,
                         "cluster create takes no argument '%s'; --name gives "
                         "it a name",
                         argv[1]);
    }
    code = aim(context, options.name != NULL ? options.name : context->cluster, &aimed);
    code = code == CTL_OK ? check_numbers(context, &options) : code;
    code = code == CTL_OK ? parse_words(context, &options, &plan) : code;
    code = code == CTL_OK
               ? ctl_trust_options(context, &options.trust, options.allow_unsigned, &plan.trust)
               : code;
    code = code == CTL_OK ? check_links(context, &options, &plan) : code;
    code = code == CTL_OK ? find_all(context, &options, &plan) : code;
    if (code != CTL_OK) {
        return code;
    }
    cluster_search_path();
    cluster.context = &aimed;
    cluster.hosted = options.hosted;
    cluster.networked = !options.hosted || plan.af_packet;
    cluster.allow_native = options.allow_native;
    cluster.node_count = options.nodes;
    plan.cluster = &cluster;
    plan.memory_mib = options.memory_mib;
    plan.cpus = options.cpus;
    if (options.cpus == CPUS_UNSAID) {
        plan.cpus = options.hosted ? cpus_each(options.nodes) : 1;
    }
    plan.timeout_ms = options.timeout_ms;
    return create_planned(&plan, aimed.cluster, options.keep);
}

/* --- destroy
 * ---------------------------------------------------------------------------------------- */

static int destroy_one(const struct ctl_context *context, const char *name)
{
    struct cluster cluster;
    sf_status st = cluster_load(&cluster, context, name);

    if (st == SF_NOTFOUND) {
        return ctl_error(context, CTL_NOT_FOUND,
                         "no cluster '%s'; 'fabricctl cluster list' shows what there is", name);
    }
    if (st != SF_OK && st != SF_FORMAT) {
        return CTL_ERROR;
    }
    if (cluster_lock(&cluster) != SF_OK) {
        return CTL_ERROR;
    }
    if (st == SF_FORMAT) {
        char path[CLUSTER_PATH_MAX];
        if (access(cluster_path(&cluster, path, "cluster.json"), F_OK) == 0) {
            cluster_error(&cluster,
                          "%s is damaged: nothing was removed, because it cannot be told "
                          "what belongs to the cluster; look at %s/pids",
                          path, cluster.dir);
            cluster_close(&cluster);
            return CTL_ERROR;
        }
        st = cluster_remove_dir(&cluster); /* create ended before its first record */
    } else {
        st = undo(&cluster);
    }
    cluster_close(&cluster);
    if (st == SF_OK) {
        ctl_note("cluster '%s' is gone", name);
    }
    return st == SF_OK ? CTL_OK : CTL_ERROR;
}

static int is_cluster(const struct dirent *entry)
{
    return cluster_name_ok(entry->d_name) ? 1 : 0;
}

/* Names of all clusters, sorted; free each and the array. */
static int all_names(const struct ctl_context *context, struct dirent ***out_entries)
{
    int count = scandir(context->state_root, out_entries, is_cluster, alphasort);

    return count < 0 ? 0 : count;
}

static int destroy_cluster(struct ctl_context *context, int argc, char **argv)
{
    bool all = false;
    const struct ctl_option table[] = {{"--all", 0, CTL_OPT_FLAG, &all}, {0}};
    struct dirent **entries = NULL;
    int code = CTL_OK;
    int count;

    argc = ctl_options(context, argc, argv, table);
    if (argc < 0) {
        return CTL_USAGE;
    }
    if (argc > 2 || (all && argc > 1)) {
        return ctl_error(context, CTL_USAGE, "cluster destroy takes one name, or --all");
    }
    catch_signals(); /* a clean-up that has begun comes to its end */
    cluster_search_path();
    if (!all) {
        const char *name = argc > 1 ? argv[1] : context->cluster;
        struct ctl_context aimed;

        code = aim(context, name, &aimed);
        return code == CTL_OK ? destroy_one(&aimed, name) : code;
    }
    count = all_names(context, &entries);
    for (int i = 0; i < count; i++) {
        int one = destroy_one(context, entries[i]->d_name);
        code = code == CTL_OK ? one : code;
        free(entries[i]);
    }
    free(entries);
    if (count == 0) {
        ctl_note("there is no cluster");
    }
    return code;
}

/* --- list
 * ------------------------------------------------------------------------------------------- */

struct listed_cluster {
    struct cluster cluster;
    const char *state;
    size_t processes;
};

/* "running", "degraded" (something ended), "unfinished" (create broke off), "busy", "damaged". */
static const char *state_of(struct cluster *cluster, sf_status loaded, size_t *out_processes)
{
    static struct cluster_process processes[PROCESSES_MAX];
    size_t expected = 1 + cluster->node_count + (cluster->hosted ? 0 : 2);
    bool busy = cluster_is_locked(cluster);

    *out_processes = loaded == SF_OK ? cluster_processes(cluster, processes, PROCESSES_MAX) : 0;
    if (busy) {
        return "busy";
    }
    if (loaded != SF_OK) {
        return "damaged";
    }
    if (!cluster->complete) {
        return "unfinished";
    }
    return *out_processes >= expected ? "running" : "degraded";
}

static void print_one(const struct ctl_context *context, const struct listed_cluster *item,
                      cJSON *array)
{
    const struct cluster *cluster = &item->cluster;
    const char *mode = cluster->hosted ? "hosted" : "booted";

    if (context->output == CTL_JSON) {
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, "name", cluster->name);
        cJSON_AddStringToObject(object, "mode", mode);
        cJSON_AddNumberToObject(object, "nodes", cluster->node_count);
        cJSON_AddStringToObject(object, "state", item->state);
        cJSON_AddNumberToObject(object, "processes", (double)item->processes);
        cJSON_AddStringToObject(object, "state_dir", cluster->dir);
        cJSON_AddItemToArray(array, object);
    } else if (context->output == CTL_NAME) {
        puts(cluster->name);
    } else {
        printf("%-16s %-8s %5u  %-11s %9zu  %s\n", cluster->name, mode, cluster->node_count,
               item->state, item->processes, cluster->dir);
    }
}

static int list_clusters(struct ctl_context *context, int argc, char **argv)
{
    const struct ctl_option table[] = {{0}};
    struct dirent **entries = NULL;
    cJSON *array = NULL;
    int count;

    argc = ctl_options(context, argc, argv, table);
    if (argc != 1) {
        return argc < 0 ? CTL_USAGE
                        : ctl_error(context, CTL_USAGE, "cluster list takes no argument");
    }
    count = all_names(context, &entries);
    if (context->output == CTL_JSON) {
        array = cJSON_CreateArray();
    } else if (count == 0 && context->output != CTL_NAME) {
        ctl_note("there is no cluster in %s; 'fabricctl cluster create' makes one",
                 context->state_root);
    } else if (context->output != CTL_NAME) {
        printf("%-16s %-8s %5s  %-11s %9s  %s\n", "NAME", "MODE", "NODES", "STATE", "PROCESSES",
               "FOLDER");
    }
    for (int i = 0; i < count; i++) {
        struct listed_cluster item;
        sf_status st = cluster_load(&item.cluster, context, entries[i]->d_name);

        if (st != SF_NOTFOUND) {
            item.state = state_of(&item.cluster, st, &item.processes);
            print_one(context, &item, array);
        }
        free(entries[i]);
    }
    free(entries);
    if (array != NULL) {
        ctl_print_json(array);
    }
    return CTL_OK;
}

const struct ctl_command ctl_cluster_commands[] = {
    {
        .name = "create",
        .summary = "start a cluster on this machine and wait until its nodes have joined",
        .usage =
            "cluster create [OPTION]...\n"
            "  -n, --nodes N         how many nodes (3)\n"
            "  --name NAME           its name, as --cluster\n"
            "  --trust FILE          public keys (sipc keygen) whose images are taken; may be\n"
            "                        given again; without it every image is refused\n"
            "  --allow-unsigned      take images that no trusted key has signed, too: for\n"
            "                        development only\n"
            "  --allow-native        nodes take images of mode native: no checks at run time\n"
            "  --encrypt WHICH       sessions between nodes that are encrypted: all; ethernet, "
            "over\n"
            "                        networks but not inside a machine; none (ethernet)\n"
            "  --hosted              nodes are ordinary processes: no root, no machine; else\n"
            "                        they are QEMU machines that boot over PXE (needs root)\n"
            "  --link-driver DRIVER  hosted nodes talk over memif, which is shared memory, or\n"
            "                        af_packet: veth interfaces on a bridge, in a network\n"
            "                        namespace of the cluster (needs root) (memif);\n"
            "                        booted ones over virtio, dpdk (any nic), af_packet, rdma\n"
            "                        (soft-RoCE or soft-iWARP), or mixed: a nic for rdma and\n"
            "                        one for dpdk (virtio)\n"
            "  --allow-rdma WHICH    links between nodes on which RDMA may be used, for it does\n"
            "                        not encrypt what it carries: all, NETWORK/BITS (of both\n"
            "                        ends' addresses) or NODE:NODE; may be given again\n"
            "  --rdma-reads BYTES    blocks from that size on are read by the other node's "
            "device,\n"
            "                        if sessions are not encrypted (65536 is a good size)\n"
            "  --rdma-soft KIND      what booted nodes make of their nic: rxe (soft-RoCE) or\n"
            "                        siw (soft-iWARP, without reads) (rxe)\n"
            "  --rdma-cm             queue pairs are joined by rdma_cm; with siw always\n"
            "  --mtu BYTES           of hosted nodes' frames over af_packet, 512 to 9216 (1472)\n"
            "  --nic MODEL           fabric nic of a machine, as QEMU names it: virtio-net-pci;\n"
            "                        with --link-driver dpdk also e1000, e1000e, vmxnet3\n"
            "                        (virtio-net-pci)\n"
            "  --iommu               machines have an IOMMU: nodes drive that nic by vfio-pci\n"
            "  --timeout TIME        for all nodes to join (60s)\n"
            "  --keep-on-failure     leave everything as it is when that fails\n"
            "  --memory-mib N        memory of a machine (512)\n"
            "  --cpus N              processors of a machine (1); of a hosted node: threads that\n"
            "                        run SIPs (this machine's, shared out, at least 1)\n"
            "  --accel auto|kvm|tcg  how machines run; kvm goes back to tcg when a machine\n"
            "                        shows nothing for 5 s (auto)\n"
            "  --image-dir DIR       folder with vmlinuz and initramfs.cpio",
        .examples = "  fabricctl cluster create --nodes 3 --trust release.pub\n"
                    "  fabricctl cluster create --hosted --name try --trust build/sips/dev.pub\n"
                    "  fabricctl cluster create --hosted --link-driver af_packet --mtu 8972\n"
                    "  fabricctl cluster create --link-driver dpdk --nic e1000e --iommu\n"
                    "  fabricctl cluster create --link-driver mixed --allow-rdma node1:node2\n",
        .run = create_cluster,
    },
    {
        .name = "list",
        .summary = "show the clusters on this machine",
        .usage = "cluster list",
        .examples = "  fabricctl cluster list\n"
                    "  fabricctl cluster list -o json\n",
        .run = list_clusters,
        .aliases = "ls",
    },
    {
        .name = "destroy",
        .summary = "end a cluster and remove all that was made for it",
        .usage = "cluster destroy [NAME] [--all]",
        .examples = "  fabricctl cluster destroy\n"
                    "  fabricctl cluster destroy try\n"
                    "  fabricctl cluster destroy --all\n",
        .run = destroy_cluster,
        .aliases = "rm delete",
    },
    {0},
};
