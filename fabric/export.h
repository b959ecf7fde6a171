/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export.h - private to fabric: who accepts channels on this node.
 */
#ifndef FABRIC_EXPORT_H
#define FABRIC_EXPORT_H

#include "node.h"

/* NULL: no export of that name and contract. The entry is there until the export is removed. */
const struct fab__export *fab__export_find(struct fab_node *node, const char *name,
                                           const uint8_t *contract_id);
void fab__exports_fini(struct fab_node *node);
void fab__export_opened(struct fab_node *node, const struct fab__export *entry, struct fab_ep *exp);

#endif
