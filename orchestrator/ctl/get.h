/* SPDX-License-Identifier: Apache-2.0 */
/* get.h - what all kinds of `fabricctl get` are made of. */
#ifndef CTL_GET_H
#define CTL_GET_H

#include "ctl/ctl_private.h"

/* One kind of thing that can be listed. */
struct ctl_kind {
    const char *plural;
    Sf__Control__Envelope__BodyCase request;
    Sf__Control__Envelope__BodyCase reply;
    /* Answers how many of `names` (NULL-terminated; empty: all) were found, or prints all. */
    void (*print)(struct ctl_context *context, const Sf__Control__Envelope *reply,
                  char *const *names, bool all, bool *found);
};

/* True if name is wanted; notes that it was found. */
bool ctl_get_wanted(char *const *names, bool *found, const char *kind, const char *name);
/* A document with one list in it. */
struct cJSON *ctl_get_list(const char *name, struct cJSON **out_items);
struct cJSON *ctl_get_item(struct cJSON *items);
/* What was gathered, as -o wants it; names were printed as they came. Takes root. */
void ctl_get_print(const struct ctl_context *context, struct cJSON *root, struct ctl_table *table);
/* The command, with --watch and --all. */
int ctl_get(struct ctl_context *context, int argc, char **argv, const struct ctl_kind *kind);

#endif
