/* SPDX-License-Identifier: Apache-2.0 */
/* cluster_hosted.c - fabricd, and nodes that are ordinary processes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/cluster_nodes.h"

#define FABRICD_START_MS_MAX 10000

/* True once fabricd has written where it listens. */
static bool read_address(struct cluster_plan *plan)
{
    char path[CLUSTER_PATH_MAX];
    FILE *file = fopen(cluster_path(plan->cluster, path, "fabricd.addr"), "re");
    bool there = file != NULL && fgets(plan->controller, sizeof(plan->controller), file) != NULL;

    if (file != NULL) {
        fclose(file);
    }
    plan->controller[strcspn(plan->controller, "\n")] = '\0';
    return there && strchr(plan->controller, ':') != NULL;
}

static sf_status wait_fabricd(struct cluster_plan *plan)
{
    struct ctl_context context = *plan->cluster->context;
    uint64_t end = cluster_now_ms() + FABRICD_START_MS_MAX;
    char log_path[CLUSTER_PATH_MAX];

    cluster_path(plan->cluster, log_path, "fabricd.log");
    while (!cluster_interrupted) {
        struct ctl_client *client = NULL;

        if (waitpid(plan->fabricd_pid, NULL, WNOHANG) == plan->fabricd_pid) {
            plan->fabricd_pid = 0;
            cluster_error(plan->cluster, "fabricd ended at once; look at %s", log_path);
            cluster_show_tail(log_path, "its log");
            return SF_IO;
        }
        if (read_address(plan) && ctl_connect(&context, true, &client) == CTL_OK) {
            ctl_disconnect(client);
            return SF_OK;
        }
        if (cluster_now_ms() >= end) {
            cluster_error(plan->cluster, "fabricd does not answer after %d s; look at %s",
                          FABRICD_START_MS_MAX / 1000, log_path);
            cluster_show_tail(log_path, "its log");
            return SF_TIMEOUT;
        }
        cluster_sleep_ms(20);
    }
    return SF_AGAIN;
}

/* The keys of all --trust files together, so that the folder says whom the cluster trusts. */
static sf_status write_trust(struct cluster_plan *plan, char path[CLUSTER_PATH_MAX])
{
    FILE *file = fopen(cluster_path(plan->cluster, path, "trusted-keys"), "we");
    char line[IMAGE_KEY_LINE_BYTES];
    bool good = file != NULL;

    for (uint32_t i = 0; good && i < plan->trust.key_count; i++) {
        good = fputs(image_key_line(&plan->trust.keys[i], line), file) >= 0;
    }
    if (file != NULL) {
        good = fclose(file) == 0 && good;
    }
    if (!good) {
        cluster_error(plan->cluster, "cannot write %s: %s", path, strerror(errno));
        return SF_IO;
    }
    return SF_OK;
}

sf_status cluster_fabricd_start(struct cluster_plan *plan)
{
    struct cluster *cluster = plan->cluster;
    struct cluster_args args;
    char expected[CLUSTER_NODES_MAX * sizeof(plan->nodes[0].name)] = "";
    char log_path[CLUSTER_PATH_MAX];
    char trust_path[CLUSTER_PATH_MAX];
    sf_status st;

    for (unsigned i = 0; i < cluster->node_count; i++) {
        size_t used = strlen(expected);
        snprintf(expected + used, sizeof(expected) - used, "%s%s", i > 0 ? "," : "",
                 plan->nodes[i].name);
    }
    cluster_args_init(&args);
    cluster_net_enter(cluster, &args);
    cluster_args_add(&args, plan->fabricd, "--expect", expected, "--state-dir", cluster->dir,
                     "--listen");
    if (cluster->hosted) {
        cluster_args_add(&args, "127.0.0.1:0", "--hosted");
    } else {
        cluster_arg(&args, "%s:%d", CLUSTER_HOST_ADDRESS, CLUSTER_FABRICD_PORT);
    }
    if (plan->trust.key_count > 0) {
        st = write_trust(plan, trust_path);
        if (st != SF_OK) {
            return st;
        }
        cluster_args_add(&args, "--trust", trust_path);
    }
    if (plan->trust.allow_unsigned) {
        cluster_args_add(&args, "--allow-unsigned");
    }
    if (cluster->allow_native) {
        cluster_arg(&args, "--allow-native");
    }
    if (plan->af_packet) {
        cluster_args_add(&args, "--no-memif");
    }
    for (uint32_t i = 0; i < plan->allow_rdma.count; i++) {
        cluster_args_add(&args, "--allow-rdma", plan->allow_rdma.items[i]);
    }
    cluster_args_add(&args, "--encrypt", orch_encrypt_name(plan->encrypt));
    st = cluster_start(cluster, "fabricd", &args, cluster_path(cluster, log_path, "fabricd.log"),
                       &plan->fabricd_pid);
    return st == SF_OK ? wait_fabricd(plan) : st;
}

sf_status cluster_hosted_node(struct cluster_plan *plan, struct cluster_node *node)
{
    struct cluster *cluster = plan->cluster;
    struct cluster_args args;
    char log_path[CLUSTER_PATH_MAX];
    sf_status st;

    cluster_args_init(&args);
    cluster_net_enter(cluster, &args);
    cluster_args_add(&args, plan->sipnode, "--controller", plan->controller, "--name", node->name,
                     "--state-dir", cluster->dir, "--workers");
    cluster_arg(&args, "%u", plan->cpus);
    if (plan->af_packet) {
        cluster_args_add(&args, "--link");
        cluster_arg(&args, "af_packet:sf%u,address=10.78.0.%u,mtu=%u", node->number,
                    10 + node->number, plan->mtu_bytes);
    }
    st = cluster_start(cluster, node->name, &args,
                       cluster_path(cluster, log_path, "%s.log", node->name), &node->pid);
    if (st == SF_OK) {
        node->started_ms = cluster_now_ms();
        cluster_stage_set(plan, node, CLUSTER_STAGE_POWER_ON);
    }
    return st;
}
