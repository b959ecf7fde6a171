/* SPDX-License-Identifier: Apache-2.0 */
/* cluster_net.c - the network namespace of a cluster, with its bridges and taps or veth pairs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/cluster_nodes.h"

void cluster_net_enter(const struct cluster *cluster, struct cluster_args *args)
{
    if (cluster->netns[0] != '\0') {
        cluster_args_add(args, "ip", "netns", "exec", cluster->netns);
    }
}

static void ip_in(const struct cluster *cluster, struct cluster_args *args)
{
    cluster_args_init(args);
    cluster_args_add(args, "ip", "-n", cluster->netns);
}

static sf_status add_bridge(struct cluster *cluster, const char *name)
{
    struct cluster_args args;
    sf_status st;

    ip_in(cluster, &args);
    /* No forwarding delay: a port would drop everything for its first 30 s otherwise. */
    cluster_args_add(&args, "link", "add", name, "type", "bridge", "forward_delay", "0",
                     "stp_state", "0", "mcast_snooping", "0");
    st = cluster_run(cluster, &args);
    if (st != SF_OK) {
        return st;
    }
    ip_in(cluster, &args);
    cluster_args_add(&args, "link", "set", name, "up");
    return cluster_run(cluster, &args);
}

static sf_status add_tap(struct cluster *cluster, unsigned number, const char *side)
{
    struct cluster_args args;
    char name[16];
    char bridge[16];
    sf_status st;

    snprintf(name, sizeof(name), "t%u%s", number, side);
    snprintf(bridge, sizeof(bridge), "br%s", side);
    ip_in(cluster, &args);
    cluster_args_add(&args, "tuntap", "add", "dev", name, "mode", "tap");
    st = cluster_run(cluster, &args);
    if (st != SF_OK) {
        return st;
    }
    ip_in(cluster, &args);
    cluster_args_add(&args, "link", "set", name, "master", bridge, "up");
    return cluster_run(cluster, &args);
}

static bool namespace_there(const struct cluster *cluster)
{
    char path[128];

    snprintf(path, sizeof(path), "/run/netns/%s", cluster->netns);
    return access(path, F_OK) == 0;
}

/* Interface sfN for the node, its other end on the bridge. */
static sf_status add_veth(struct cluster_plan *plan, unsigned number)
{
    struct cluster *cluster = plan->cluster;
    struct cluster_args args;
    char mtu[16];
    char near[16];
    char far[16];
    sf_status st;

    snprintf(mtu, sizeof(mtu), "%u", plan->mtu_bytes + CLUSTER_HEADERS_BYTES);
    snprintf(near, sizeof(near), "sf%u", number);
    snprintf(far, sizeof(far), "sp%u", number);
    ip_in(cluster, &args);
    cluster_args_add(&args, "link", "add", near, "mtu", mtu, "type", "veth", "peer", "name", far,
                     "mtu", mtu);
    st = cluster_run(cluster, &args);
    if (st == SF_OK) {
        ip_in(cluster, &args);
        cluster_args_add(&args, "link", "set", far, "master", "brf", "up");
        st = cluster_run(cluster, &args);
    }
    if (st == SF_OK) {
        ip_in(cluster, &args);
        cluster_args_add(&args, "link", "set", near, "up");
        st = cluster_run(cluster, &args);
    }
    return st;
}

static sf_status add_hosted(struct cluster_plan *plan)
{
    struct cluster *cluster = plan->cluster;
    sf_status st = add_bridge(cluster, "brf");

    for (unsigned i = 0; i < cluster->node_count && st == SF_OK && !cluster_interrupted; i++) {
        st = add_veth(plan, plan->nodes[i].number);
    }
    return st;
}

static sf_status add_booted(struct cluster_plan *plan)
{
    struct cluster *cluster = plan->cluster;
    struct cluster_args args;
    sf_status st = add_bridge(cluster, "brc");

    if (st == SF_OK) {
        st = add_bridge(cluster, "brf");
    }
    if (st == SF_OK && plan->two_nics) {
        st = add_bridge(cluster, "brg");
    }
    if (st == SF_OK) {
        ip_in(cluster, &args);
        cluster_args_add(&args, "addr", "add", CLUSTER_HOST_ADDRESS "/24", "dev", "brc");
        st = cluster_run(cluster, &args);
    }
    if (st == SF_OK) {
        /* iPXE waits 14 s for a router unless somebody advertises a prefix (ra-only). */
        ip_in(cluster, &args);
        cluster_args_add(&args, "addr", "add", "fd77::1/64", "dev", "brc", "nodad");
        st = cluster_run(cluster, &args);
    }
    for (unsigned i = 0; i < cluster->node_count && st == SF_OK && !cluster_interrupted; i++) {
        st = add_tap(cluster, plan->nodes[i].number, "c");
        if (st == SF_OK) {
            st = add_tap(cluster, plan->nodes[i].number, "f");
        }
        if (st == SF_OK && plan->two_nics) {
            st = add_tap(cluster, plan->nodes[i].number, "g");
        }
    }
    return st;
}

sf_status cluster_net_up(struct cluster_plan *plan)
{
    struct cluster *cluster = plan->cluster;
    struct cluster_args args;
    sf_status st;

    if (namespace_there(cluster)) {
        /* Not from this cluster's record: leave it alone, also in the undoing. */
        cluster_error(cluster,
                      "network namespace %s exists but belongs to no recorded cluster; if nothing "
                      "uses it: ip netns del %s",
                      cluster->netns, cluster->netns);
        cluster->netns[0] = '\0';
        return SF_EXISTS;
    }
    cluster_args_init(&args);
    cluster_args_add(&args, "ip", "netns", "add", cluster->netns);
    st = cluster_run(cluster, &args);
    if (st == SF_OK) {
        ip_in(cluster, &args);
        cluster_args_add(&args, "link", "set", "lo", "up");
        st = cluster_run(cluster, &args);
    }
    if (st == SF_OK) {
        st = cluster->hosted ? add_hosted(plan) : add_booted(plan);
    }
    return st;
}

sf_status cluster_net_down(struct cluster *cluster)
{
    struct cluster_args args;

    if (cluster->netns[0] == '\0' || !namespace_there(cluster)) {
        return SF_OK;
    }
    cluster_args_init(&args);
    cluster_args_add(&args, "ip", "netns", "del", cluster->netns);
    return cluster_run(cluster, &args);
}
