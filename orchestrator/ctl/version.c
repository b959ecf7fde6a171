/* SPDX-License-Identifier: Apache-2.0 */
/* version.c - fabricctl version. */
#include <stdio.h>

#include "ctl/ctl_private.h"

int ctl_version(struct ctl_context *context, int argc, char **argv)
{
    (void)context;
    (void)argc;
    (void)argv;
    printf("fabricctl %s\n", SIPFABRIC_VERSION);
    return CTL_OK;
}
