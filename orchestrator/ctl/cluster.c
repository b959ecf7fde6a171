/* SPDX-License-Identifier: Apache-2.0 */
/* cluster.c - fabricctl cluster: makes, lists and removes clusters on this machine. */
#include "ctl/ctl.h"

static int cluster_missing(struct ctl_context *context, int argc, char **argv)
{
    (void)argc;
    return ctl_error(context, CTL_ERROR, "cluster %s is not part of this build yet", argv[0]);
}

const struct ctl_command ctl_cluster_commands[] = {
    {
        .name = "create",
        .summary = "make a cluster on this machine",
        .usage = "cluster create [--nodes N] [--hosted]",
        .examples = "  fabricctl cluster create --nodes 3\n",
        .run = cluster_missing,
    },
    {0},
};
