/* SPDX-License-Identifier: Apache-2.0 */
#include "export.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint.h"
#include "session.h"

/* FNV-1a */
static struct fab__export **bucket_of(struct fab_node *node, const char *name)
{
    uint32_t hash = 2166136261u;

    for (; *name != '\0'; name++) {
        hash = (hash ^ (uint8_t)*name) * 16777619u;
    }
    return &node->exports[hash % FAB__EXPORT_BUCKETS];
}

static struct fab__export *export_by_name(struct fab_node *node, const char *name)
{
    struct fab__export *entry = *bucket_of(node, name);

    while (entry != NULL && strcmp(entry->name, name) != 0) {
        entry = entry->next;
    }
    return entry;
}

static bool name_fits(const char *name)
{
    size_t length = strnlen(name, FAB_NAME_BYTES_MAX + 1);

    return length > 0 && length <= FAB_NAME_BYTES_MAX;
}

sf_status fab_export_add(struct fab_node *node, const char *name,
                         const struct ct_contract *contract, uint64_t owner)
{
    const struct fab__contract *known;
    struct fab__export **bucket, *entry;
    sf_status st;

    if (!name_fits(name)) {
        return SF_BADARG;
    }
    if (export_by_name(node, name) != NULL) {
        return SF_EXISTS;
    }
    if (node->export_count == FAB__EXPORTS_MAX) {
        return SF_LIMIT;
    }
    st = fab__contract_use(node, contract, &known);
    if (st != SF_OK) {
        return st;
    }
    entry = malloc(sizeof(*entry) + strlen(name) + 1);
    if (entry == NULL) {
        return SF_NOMEM;
    }
    bucket = bucket_of(node, name);
    *entry = (struct fab__export){.next = *bucket, .contract = known, .owner = owner};
    memcpy(entry->name, name, strlen(name) + 1);
    *bucket = entry;
    node->export_count++;
    return SF_OK;
}

void fab_export_remove(struct fab_node *node, const char *name, uint64_t owner)
{
    struct fab__export **link = bucket_of(node, name);
    struct fab__export *entry;

    while (*link != NULL && strcmp((*link)->name, name) != 0) {
        link = &(*link)->next;
    }
    entry = *link;
    if (entry != NULL && entry->owner == owner) {
        *link = entry->next;
        free(entry);
        node->export_count--;
    }
}

void fab__exports_fini(struct fab_node *node)
{
    for (uint32_t i = 0; i < FAB__EXPORT_BUCKETS; i++) {
        while (node->exports[i] != NULL) {
            struct fab__export *next = node->exports[i]->next;

            free(node->exports[i]);
            node->exports[i] = next;
        }
    }
    node->export_count = 0;
}

const struct fab__export *fab__export_find(struct fab_node *node, const char *name,
                                           const uint8_t *contract_id)
{
    const struct fab__export *entry = export_by_name(node, name);

    if (entry == NULL || memcmp(entry->contract->table->id, contract_id, CT_ID_BYTES) != 0) {
        return NULL;
    }
    return entry;
}

void fab__export_opened(struct fab_node *node, const struct fab__export *entry, struct fab_ep *exp)
{
    if (node->events.opened != NULL) {
        node->events.opened(node->events_arg, entry->owner, entry->name, exp);
    }
}

static sf_status open_here(struct fab_node *node, const char *name,
                           const struct ct_contract *contract, struct fab_ep **out_imp)
{
    const struct fab__export *entry = fab__export_find(node, name, contract->id);
    struct fab_ep *exp;
    sf_status st = fab_chan_create(node, contract, 0, out_imp, &exp);

    if (st != SF_OK) {
        return st;
    }
    if (entry == NULL) {
        fab_ep_close(exp, SF_CAUSE_OF(NO_EXPORTER));
    } else {
        fab__export_opened(node, entry, exp);
    }
    return SF_OK;
}

sf_status fab_open(struct fab_node *node, uint16_t peer_node, const char *export_name,
                   const struct ct_contract *contract, struct fab_ep **out_imp)
{
    const struct fab__contract *known;
    struct fab_ep *imp;
    sf_status st;

    if (!name_fits(export_name)) {
        return SF_BADARG;
    }
    if (peer_node == node->node_id) {
        return open_here(node, export_name, contract, out_imp);
    }
    if (peer_node >= FAB_NODES_MAX || node->sessions[peer_node] == NULL) {
        return SF_NOTFOUND;
    }
    st = fab__contract_use(node, contract, &known);
    if (st != SF_OK) {
        return st;
    }
    st = fab__ep_create(node, known, CT_IMP, 0, fab__id_next(node), &imp);
    if (st != SF_OK) {
        return st;
    }
    imp->open_name = strdup(export_name);
    if (imp->open_name == NULL) {
        fab__ep_free(imp);
        return SF_NOMEM;
    }
    /* This node numbers both ends, so that messages can follow the OPEN at once. */
    imp->peer_id = fab__id_next(node);
    imp->peer_node = peer_node;
    imp->place = FAB__REMOTE;
    imp->owes = FAB__OWES_OPEN;
    fab__schedule(imp);
    *out_imp = imp;
    return SF_OK;
}
