/* SPDX-License-Identifier: Apache-2.0 */
/* ctl_private.h - the commands of fabricctl, one function each; argv as in struct ctl_command. */
#ifndef CTL_CTL_PRIVATE_H
#define CTL_CTL_PRIVATE_H

#include "ctl/ctl.h"

struct cJSON;

/* Prints one JSON document and a newline to stdout, and frees it. */
void ctl_print_json(struct cJSON *root);

int ctl_version(struct ctl_context *context, int argc, char **argv);

#endif
