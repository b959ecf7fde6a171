/* SPDX-License-Identifier: Apache-2.0 */
/* get.c - fabricctl get nodes, sips, channels, sessions, moves. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "ctl/get.h"

#define WATCH_MS 1000u
#define JSON_FORMAT 1 /* "format" in every list: the field names below stay as they are */

bool ctl_get_wanted(char *const *names, bool *found, const char *kind, const char *name)
{
    size_t bytes = strlen(kind);
    bool any = names[0] == NULL;
    size_t index;

    for (index = 0; names[index] != NULL; index++) {
        const char *given = names[index];
        if (strncmp(given, kind, bytes) == 0 && given[bytes] == '/') {
            given += bytes + 1;
        }
        if (strcmp(given, name) == 0) {
            found[index] = true;
            any = true;
        }
    }
    return any;
}

cJSON *ctl_get_list(const char *name, cJSON **out_items)
{
    cJSON *root = cJSON_CreateObject();

    cJSON_AddNumberToObject(root, "format", JSON_FORMAT);
    *out_items = cJSON_AddArrayToObject(root, name);
    return root;
}

void ctl_get_print(const struct ctl_context *context, cJSON *root, struct ctl_table *table)
{
    if (context->output == CTL_JSON) {
        ctl_print_json(root);
        return;
    }
    cJSON_Delete(root);
    if (context->output != CTL_NAME) {
        ctl_table_print(table);
    }
}

cJSON *ctl_get_item(cJSON *items)
{
    cJSON *item = cJSON_CreateObject();

    cJSON_AddItemToArray(items, item);
    return item;
}

/* 64-bit numbers do not fit JSON's doubles; ids are texts. */
static void add_id(cJSON *item, const char *name, uint64_t id)
{
    char text[32];

    snprintf(text, sizeof(text), "%" PRIx64, id);
    cJSON_AddStringToObject(item, name, text);
}

static const char *cause_text(const Sf__Control__Cause *cause)
{
    return cause != NULL ? cause->text : "";
}

/* "cause" is null while all is well. */
static void add_cause(cJSON *item, const Sf__Control__Cause *cause)
{
    if (cause == NULL || (cause->kind == 0 && cause->text[0] == '\0')) {
        cJSON_AddNullToObject(item, "cause");
    } else {
        cJSON_AddStringToObject(item, "cause", cause->text);
    }
}

/* --- nodes --------------------------------------------------------------------------------------
 */

/* "virtio", "memif x2 (1 down)". */
static void describe_links(const Sf__Control__NodeInfo *node, char *buffer, size_t capacity)
{
    size_t bytes = 0;
    size_t index;

    buffer[0] = '\0';
    for (index = 0; index < node->n_links; index++) {
        const char *driver = node->links[index]->driver;
        unsigned count = 0;
        unsigned down = 0;
        char down_text[24] = "";
        char count_text[16] = "";
        size_t other;

        for (other = 0; other < node->n_links; other++) {
            if (strcmp(node->links[other]->driver, driver) == 0) {
                if (other < index) {
                    break; /* counted before */
                }
                count += 1;
                down += !node->links[other]->up;
            }
        }
        if (other < node->n_links || bytes + 1 >= capacity) {
            continue;
        }
        if (count > 1) {
            snprintf(count_text, sizeof(count_text), " x%u", count);
        }
        if (down > 0) {
            snprintf(down_text, sizeof(down_text), " (%u down)", down);
        }
        bytes += (size_t)snprintf(buffer + bytes, capacity - bytes, "%s%s%s%s",
                                  bytes > 0 ? ", " : "", driver, count_text, down_text);
    }
}

/* "af_packet eth1 1472 up, memif m1-2-1.sock 9000 down"; of a path the last part. */
static void list_links(const Sf__Control__NodeInfo *node, char *buffer, size_t capacity)
{
    size_t bytes = 0;
    size_t index;

    buffer[0] = '\0';
    for (index = 0; index < node->n_links && bytes + 1 < capacity; index++) {
        const Sf__Control__LinkInfo *link = node->links[index];
        const char *slash = link->device[0] == '/' ? strrchr(link->device, '/') : NULL;
        char queues[32] = "";

        if (link->queues > 1) {
            snprintf(queues, sizeof(queues), " %u queues", link->queues);
        }
        bytes += (size_t)snprintf(buffer + bytes, capacity - bytes, "%s%s %s %u%s %s",
                                  bytes > 0 ? ", " : "", link->driver,
                                  slash != NULL ? slash + 1 : link->device, link->mtu_bytes, queues,
                                  link->up ? "up" : "down");
    }
}

static void join_names(char *const *names, size_t count, char *buffer, size_t capacity)
{
    size_t bytes = 0;
    size_t index;

    buffer[0] = '\0';
    for (index = 0; index < count && bytes + 1 < capacity; index++) {
        bytes += (size_t)snprintf(buffer + bytes, capacity - bytes, "%s%s", index > 0 ? "," : "",
                                  names[index]);
    }
}

static void node_row(struct ctl_context *context, struct ctl_table *table,
                     const Sf__Control__NodeInfo *node)
{
    char age[32];
    char links[1000];
    char peers[400];

    if (context->output == CTL_WIDE) {
        list_links(node, links, sizeof(links));
    } else {
        describe_links(node, links, sizeof(links));
    }
    ctl_cell(table, "%s", node->name);
    ctl_cell(table, "%u", node->node_id);
    ctl_cell(table, "%s%s", node->stage, node->cordoned ? ",cordoned" : "");
    ctl_cell(table, "%s", ctl_age(node->stage_ms, age));
    ctl_cell(table, "%s", node->mode);
    ctl_cell(table, "%s", node->address);
    ctl_cell(table, "%u", node->sip_count);
    ctl_cell(table, "%s", links);
    if (context->output == CTL_WIDE) {
        join_names(node->peers_alive, node->n_peers_alive, peers, sizeof(peers));
        ctl_cell(table, "%s", peers);
        ctl_cell(table, "%u", node->cpu_count);
        ctl_cell(table, "%" PRIu64 " MiB", node->memory_bytes >> 20);
        ctl_cell(table, "%s", node->version);
    }
}

static void link_fields_json(cJSON *link, const Sf__Control__LinkInfo *info)
{
    char text[32] = "";

    cJSON_AddStringToObject(link, "driver", info->driver);
    cJSON_AddStringToObject(link, "device", info->device);
    if (info->mac.len == 6) {
        const uint8_t *mac = info->mac.data;
        snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
                 mac[3], mac[4], mac[5]);
    }
    cJSON_AddStringToObject(link, "mac", text);
    snprintf(text, sizeof(text), "%u.%u.%u.%u", info->ipv4 >> 24, info->ipv4 >> 16 & 255,
             info->ipv4 >> 8 & 255, info->ipv4 & 255);
    cJSON_AddStringToObject(link, "ipv4", info->ipv4 != 0 ? text : "");
    cJSON_AddNumberToObject(link, "mtu_bytes", info->mtu_bytes);
    cJSON_AddNumberToObject(link, "queues", info->queues);
    cJSON_AddBoolToObject(link, "up", info->up);
    cJSON_AddNumberToObject(link, "peer_node", info->peer_node);
    if (info->about[0] != '\0') {
        cJSON_AddStringToObject(link, "about", info->about);
    }
}

static void node_links_json(cJSON *item, const Sf__Control__NodeInfo *node)
{
    cJSON *links = cJSON_AddArrayToObject(item, "links");
    size_t index;

    for (index = 0; index < node->n_links; index++) {
        link_fields_json(ctl_get_item(links), node->links[index]);
    }
}

static void node_json(cJSON *items, const Sf__Control__NodeInfo *node)
{
    cJSON *item = ctl_get_item(items);
    cJSON *peers;
    size_t index;

    cJSON_AddStringToObject(item, "name", node->name);
    cJSON_AddNumberToObject(item, "id", node->node_id);
    cJSON_AddStringToObject(item, "stage", node->stage);
    cJSON_AddBoolToObject(item, "cordoned", node->cordoned);
    cJSON_AddNumberToObject(item, "stage_ms", (double)node->stage_ms);
    cJSON_AddNumberToObject(item, "joined_ms", (double)node->joined_ms);
    cJSON_AddStringToObject(item, "mode", node->mode);
    cJSON_AddStringToObject(item, "address", node->address);
    cJSON_AddStringToObject(item, "version", node->version);
    cJSON_AddNumberToObject(item, "cpus", node->cpu_count);
    cJSON_AddNumberToObject(item, "memory_bytes", (double)node->memory_bytes);
    cJSON_AddNumberToObject(item, "sips", node->sip_count);
    node_links_json(item, node);
    peers = cJSON_AddArrayToObject(item, "peers_alive");
    for (index = 0; index < node->n_peers_alive; index++) {
        cJSON_AddItemToArray(peers, cJSON_CreateString(node->peers_alive[index]));
    }
}

static void print_nodes(struct ctl_context *context, const Sf__Control__Envelope *reply,
                        char *const *names, bool all, bool *found)
{
    static const char *const narrow[] = {"NAME",    "ID",   "STAGE", "AGE", "MODE",
                                         "ADDRESS", "SIPS", "LINKS", NULL};
    static const char *const wide[] = {"NAME",    "ID",      "STAGE", "AGE",   "MODE",
                                       "ADDRESS", "SIPS",    "LINKS", "PEERS", "CPUS",
                                       "MEMORY",  "VERSION", NULL};
    const Sf__Control__NodeList *list = reply->node_list;
    struct ctl_table table = {context->output == CTL_WIDE ? wide : narrow, NULL, 0};
    cJSON *items = NULL;
    cJSON *root = ctl_get_list("nodes", &items);
    size_t index;

    (void)all;
    for (index = 0; index < list->n_nodes; index++) {
        const Sf__Control__NodeInfo *node = list->nodes[index];
        if (!ctl_get_wanted(names, found, "node", node->name)) {
            continue;
        }
        if (context->output == CTL_NAME) {
            printf("node/%s\n", node->name);
        } else if (context->output == CTL_JSON) {
            node_json(items, node);
        } else {
            node_row(context, &table, node);
        }
    }
    ctl_get_print(context, root, &table);
}

/* --- links --------------------------------------------------------------------------------------
 */

/* "node2, node3 (spare)"; why, if out_why is not NULL: "node2: RDMA comes first". */
static void link_peers(const Sf__Control__NodeInfo *node, uint32_t number, char *out_peers,
                       size_t peers_capacity, char *out_why, size_t why_capacity)
{
    size_t peers = 0;
    size_t whys = 0;
    size_t index;

    out_peers[0] = out_why[0] = '\0';
    for (index = 0; index < node->n_peers; index++) {
        const Sf__Control__NodePeer *peer = node->peers[index];
        bool spare = number != 0 && peer->spare == number;

        if ((peer->link != number && !spare) || peers + 1 >= peers_capacity) {
            continue;
        }
        peers += (size_t)snprintf(out_peers + peers, peers_capacity - peers, "%s%s%s",
                                  peers > 0 ? ", " : "", peer->name, spare ? " (spare)" : "");
        if (!spare && peer->why[0] != '\0' && whys + 1 < why_capacity) {
            whys += (size_t)snprintf(out_why + whys, why_capacity - whys, "%s%s: %s",
                                     whys > 0 ? "; " : "", peer->name, peer->why);
        }
    }
}

static void link_row(struct ctl_context *context, struct ctl_table *table,
                     const Sf__Control__NodeInfo *node, uint32_t number)
{
    const Sf__Control__LinkInfo *link = node->links[number - 1];
    const char *slash = link->device[0] == '/' ? strrchr(link->device, '/') : NULL;
    char peers[400];
    char why[2000];

    link_peers(node, number, peers, sizeof(peers), why, sizeof(why));
    ctl_cell(table, "%s", node->name);
    ctl_cell(table, "%u", number);
    ctl_cell(table, "%s", link->driver);
    ctl_cell(table, "%s", slash != NULL ? slash + 1 : link->device);
    if (link->ipv4 != 0) {
        ctl_cell(table, "%u.%u.%u.%u", link->ipv4 >> 24, link->ipv4 >> 16 & 255,
                 link->ipv4 >> 8 & 255, link->ipv4 & 255);
    } else {
        ctl_cell(table, "%s", "");
    }
    ctl_cell(table, "%u", link->mtu_bytes);
    ctl_cell(table, "%s", link->up ? "up" : "down");
    ctl_cell(table, "%s", peers);
    if (context->output == CTL_WIDE) {
        ctl_cell(table, "%s", why);
    }
    ctl_cell(table, "%s", link->about);
}

/* Nodes that it cannot talk to, and why. */
static void links_missing_row(struct ctl_context *context, struct ctl_table *table,
                              const Sf__Control__NodeInfo *node)
{
    char peers[400];
    char why[2000];

    link_peers(node, 0, peers, sizeof(peers), why, sizeof(why));
    if (peers[0] == '\0') {
        return;
    }
    ctl_cell(table, "%s", node->name);
    for (int column = 0; column < 5; column++) {
        ctl_cell(table, "%s", "");
    }
    ctl_cell(table, "%s", "none");
    ctl_cell(table, "%s", peers);
    if (context->output == CTL_WIDE) {
        ctl_cell(table, "%s", "");
    }
    ctl_cell(table, "%s", why);
}

static void link_json(cJSON *items, const Sf__Control__NodeInfo *node, uint32_t number)
{
    cJSON *item = ctl_get_item(items);
    cJSON *peers;
    size_t index;

    cJSON_AddStringToObject(item, "node", node->name);
    cJSON_AddNumberToObject(item, "number", number);
    if (number != 0) {
        link_fields_json(item, node->links[number - 1]);
    }
    peers = cJSON_AddArrayToObject(item, "peers");
    for (index = 0; index < node->n_peers; index++) {
        const Sf__Control__NodePeer *peer = node->peers[index];
        bool spare = number != 0 && peer->spare == number;

        if (peer->link == number || spare) {
            cJSON *at = ctl_get_item(peers);
            cJSON_AddStringToObject(at, "node", peer->name);
            cJSON_AddBoolToObject(at, "spare", spare);
            cJSON_AddBoolToObject(at, "up", peer->up);
            cJSON_AddStringToObject(at, "why", peer->why);
        }
    }
    if (cJSON_GetArraySize(peers) == 0 && number == 0) {
        cJSON_Delete(cJSON_DetachItemFromArray(items, cJSON_GetArraySize(items) - 1));
    }
}

static void print_links(struct ctl_context *context, const Sf__Control__Envelope *reply,
                        char *const *names, bool all, bool *found)
{
    static const char *const narrow[] = {"NODE", "LINK",  "DRIVER", "DEVICE", "ADDRESS",
                                         "MTU",  "STATE", "PEERS",  "CHOICE", NULL};
    static const char *const wide[] = {"NODE",  "LINK",  "DRIVER", "DEVICE", "ADDRESS", "MTU",
                                       "STATE", "PEERS", "WHY",    "CHOICE", NULL};
    const Sf__Control__NodeList *list = reply->node_list;
    struct ctl_table table = {context->output == CTL_WIDE ? wide : narrow, NULL, 0};
    cJSON *items = NULL;
    cJSON *root = ctl_get_list("links", &items);
    size_t index;

    (void)all;
    for (index = 0; index < list->n_nodes; index++) {
        const Sf__Control__NodeInfo *node = list->nodes[index];
        uint32_t number;

        if (!ctl_get_wanted(names, found, "node", node->name)) {
            continue;
        }
        for (number = 1; number <= node->n_links; number++) {
            if (context->output == CTL_NAME) {
                printf("link/%s/%u\n", node->name, number);
            } else if (context->output == CTL_JSON) {
                link_json(items, node, number);
            } else {
                link_row(context, &table, node, number);
            }
        }
        if (context->output == CTL_JSON) {
            link_json(items, node, 0);
        } else if (context->output != CTL_NAME) {
            links_missing_row(context, &table, node);
        }
    }
    ctl_get_print(context, root, &table);
}

/* --- SIPs ---------------------------------------------------------------------------------------
 */

const char *ctl_sip_state(Sf__Control__SipState state)
{
    switch (state) {
    case SF__CONTROL__SIP_STATE__CREATED:
        return "created";
    case SF__CONTROL__SIP_STATE__RUNNING:
        return "running";
    case SF__CONTROL__SIP_STATE__EXITED:
        return "exited";
    case SF__CONTROL__SIP_STATE__FAULTED:
        return "faulted";
    case SF__CONTROL__SIP_STATE__KILLED:
        return "killed";
    case SF__CONTROL__SIP_STATE__LOST:
        return "lost";
    default:
        return "?";
    }
}

static const char *restart_name(Sf__Control__SipInfo__Restart restart)
{
    switch (restart) {
    case SF__CONTROL__SIP_INFO__RESTART__BACK_OFF:
        return "back-off";
    case SF__CONTROL__SIP_INFO__RESTART__WAITING:
        return "waiting";
    case SF__CONTROL__SIP_INFO__RESTART__RESTARTING:
        return "restarting";
    case SF__CONTROL__SIP_INFO__RESTART__GIVEN_UP:
        return "failed";
    default:
        return "?";
    }
}

/* "running", "exited (1)", "back-off 3.2 s", "failed: limit 5 in 60 s". */
static void sip_state_cell(struct ctl_table *table, const Sf__Control__SipInfo *sip)
{
    if (sip->restart == SF__CONTROL__SIP_INFO__RESTART__BACK_OFF) {
        ctl_cell(table, "back-off %.1f s", (double)sip->restart_in_ms / 1000);
    } else if (sip->restart == SF__CONTROL__SIP_INFO__RESTART__GIVEN_UP) {
        ctl_cell(table, "failed: %.40s", sip->restart_text);
    } else if (sip->restart != SF__CONTROL__SIP_INFO__RESTART__NONE) {
        ctl_cell(table, "%s", restart_name(sip->restart));
    } else if (sip->state == SF__CONTROL__SIP_STATE__EXITED) {
        ctl_cell(table, "exited (%d)", sip->exit_code);
    } else {
        ctl_cell(table, "%s", ctl_sip_state(sip->state));
    }
}

static void sip_row(struct ctl_context *context, struct ctl_table *table,
                    const Sf__Control__SipInfo *sip)
{
    char age[32];

    ctl_cell(table, "%s", sip->name);
    ctl_cell(table, "%s", sip->graph);
    ctl_cell(table, "%s", sip->node);
    ctl_cell(table, "%s", sip->image);
    ctl_cell(table, "%s", sip->mode);
    sip_state_cell(table, sip);
    ctl_cell(table, "%u", sip->restarts);
    ctl_cell(table, "%s", ctl_age(sip->age_ms, age));
    if (context->output == CTL_WIDE) {
        ctl_cell(table, "%" PRIu64, sip->sip);
        ctl_cell(table, "%s", sip->signer);
        ctl_cell(table, "%s", cause_text(sip->cause));
    }
    if (sip->restart == SF__CONTROL__SIP_INFO__RESTART__WAITING) {
        ctl_cell(table, "%s; waits: %s", sip->last_end, sip->restart_text);
    } else {
        ctl_cell(table, "%s", sip->last_end);
    }
}

/* "restart" is null unless something will come, or would have come, of a SIP that has ended. */
static void add_restart(cJSON *item, const Sf__Control__SipInfo *sip)
{
    cJSON *restart;

    cJSON_AddNumberToObject(item, "restarts", sip->restarts);
    cJSON_AddStringToObject(item, "last_end", sip->last_end);
    if (sip->restart == SF__CONTROL__SIP_INFO__RESTART__NONE) {
        cJSON_AddNullToObject(item, "restart");
        return;
    }
    restart = cJSON_AddObjectToObject(item, "restart");
    cJSON_AddStringToObject(restart, "state", restart_name(sip->restart));
    cJSON_AddNumberToObject(restart, "in_ms", (double)sip->restart_in_ms);
    cJSON_AddStringToObject(restart, "why", sip->restart_text);
}

static void sip_json(cJSON *items, const Sf__Control__SipInfo *sip)
{
    cJSON *item = ctl_get_item(items);

    cJSON_AddStringToObject(item, "name", sip->name);
    cJSON_AddNumberToObject(item, "number", (double)sip->sip);
    cJSON_AddStringToObject(item, "graph", sip->graph);
    cJSON_AddStringToObject(item, "node", sip->node);
    cJSON_AddStringToObject(item, "image", sip->image);
    cJSON_AddStringToObject(item, "signer", sip->signer);
    cJSON_AddStringToObject(item, "mode", sip->mode);
    cJSON_AddStringToObject(item, "state", ctl_sip_state(sip->state));
    cJSON_AddNumberToObject(item, "exit_code", sip->exit_code);
    cJSON_AddNumberToObject(item, "age_ms", (double)sip->age_ms);
    add_restart(item, sip);
    add_cause(item, sip->cause);
}

static void print_sips(struct ctl_context *context, const Sf__Control__Envelope *reply,
                       char *const *names, bool all, bool *found)
{
    static const char *const narrow[] = {"NAME",  "GRAPH",    "NODE", "IMAGE",    "MODE",
                                         "STATE", "RESTARTS", "AGE",  "LAST END", NULL};
    static const char *const wide[] = {"NAME",  "GRAPH",    "NODE", "IMAGE",  "MODE",
                                       "STATE", "RESTARTS", "AGE",  "NUMBER", "SIGNER",
                                       "CAUSE", "LAST END", NULL};
    const Sf__Control__SipList *list = reply->sip_list;
    struct ctl_table table = {context->output == CTL_WIDE ? wide : narrow, NULL, 0};
    cJSON *items = NULL;
    cJSON *root = ctl_get_list("sips", &items);
    size_t index;

    (void)all;
    for (index = 0; index < list->n_sips; index++) {
        const Sf__Control__SipInfo *sip = list->sips[index];
        if (!ctl_get_wanted(names, found, "sip", sip->name)) {
            continue;
        }
        if (context->output == CTL_NAME) {
            printf("sip/%s\n", sip->name);
        } else if (context->output == CTL_JSON) {
            sip_json(items, sip);
        } else {
            sip_row(context, &table, sip);
        }
    }
    ctl_get_print(context, root, &table);
}

/* --- channels -----------------------------------------------------------------------------------
 */

static void edge_row_wide(struct ctl_table *table, const Sf__Control__EdgeInfo *edge)
{
    static const Sf__Control__EndStats nothing = SF__CONTROL__END_STATS__INIT;
    const Sf__Control__EndStats *imp = edge->importer_end != NULL ? edge->importer_end : &nothing;
    const Sf__Control__EndStats *exp = edge->exporter_end != NULL ? edge->exporter_end : &nothing;
    char text[32];

    ctl_cell(table, "%u/%u", edge->importer_end != NULL ? imp->queued : edge->queued, exp->queued);
    ctl_cell(table, "%" PRIu64, imp->bytes_sent);
    ctl_cell(table, "%" PRIu64, imp->bytes_received);
    ctl_cell(table, "%s", imp->latency_count > 0 ? ctl_duration(imp->latency_p50_ns, text) : "");
    ctl_cell(table, "%s", imp->latency_count > 0 ? ctl_duration(imp->latency_p99_ns, text) : "");
}

static void edge_row(struct ctl_context *context, struct ctl_table *table,
                     const Sf__Control__EdgeInfo *edge)
{
    ctl_cell(table, "%s", edge->importer);
    ctl_cell(table, "%s", edge->importer_node);
    ctl_cell(table, "%s", edge->exporter);
    ctl_cell(table, "%s", edge->exporter_node);
    ctl_cell(table, "%s", edge->contract);
    ctl_cell(table, "%s", edge->state);
    ctl_cell(table, "%s", edge->driver);
    ctl_cell(table, "%" PRIu64, edge->sent);
    ctl_cell(table, "%" PRIu64, edge->received);
    if (context->output == CTL_WIDE) {
        edge_row_wide(table, edge);
        ctl_cell(table, "%s", edge->graph);
        ctl_cell(table, "%" PRIx64, edge->id);
    }
    ctl_cell(table, "%s", cause_text(edge->cause));
}

/* Null if no node that answered has it. */
static void add_end(cJSON *item, const char *name, const Sf__Control__EndStats *end)
{
    cJSON *object;

    if (end == NULL) {
        cJSON_AddNullToObject(item, name);
        return;
    }
    object = cJSON_AddObjectToObject(item, name);
    cJSON_AddNumberToObject(object, "sent", (double)end->sent);
    cJSON_AddNumberToObject(object, "received", (double)end->received);
    cJSON_AddNumberToObject(object, "bytes_sent", (double)end->bytes_sent);
    cJSON_AddNumberToObject(object, "bytes_received", (double)end->bytes_received);
    cJSON_AddNumberToObject(object, "queued", end->queued);
    cJSON_AddNumberToObject(object, "queued_high", end->queued_high);
    cJSON_AddNumberToObject(object, "unsent", end->unsent);
    cJSON_AddNumberToObject(object, "unsent_high", end->unsent_high);
    cJSON_AddNumberToObject(object, "latency_count", (double)end->latency_count);
    cJSON_AddNumberToObject(object, "latency_p50_ns", (double)end->latency_p50_ns);
    cJSON_AddNumberToObject(object, "latency_p99_ns", (double)end->latency_p99_ns);
    cJSON_AddNumberToObject(object, "latency_max_ns", (double)end->latency_max_ns);
}

static void edge_json(cJSON *items, const Sf__Control__EdgeInfo *edge)
{
    cJSON *item = ctl_get_item(items);

    add_id(item, "id", edge->id);
    add_id(item, "peer_id", edge->peer_id);
    cJSON_AddStringToObject(item, "graph", edge->graph);
    cJSON_AddStringToObject(item, "importer", edge->importer);
    cJSON_AddStringToObject(item, "importer_node", edge->importer_node);
    cJSON_AddStringToObject(item, "exporter", edge->exporter);
    cJSON_AddStringToObject(item, "exporter_node", edge->exporter_node);
    cJSON_AddStringToObject(item, "contract", edge->contract);
    cJSON_AddStringToObject(item, "state", edge->state);
    cJSON_AddStringToObject(item, "driver", edge->driver);
    cJSON_AddNumberToObject(item, "sent", (double)edge->sent);
    cJSON_AddNumberToObject(item, "received", (double)edge->received);
    cJSON_AddNumberToObject(item, "queued", edge->queued);
    add_end(item, "importer_end", edge->importer_end);
    add_end(item, "exporter_end", edge->exporter_end);
    add_cause(item, edge->cause);
}

static bool edge_wanted(const Sf__Control__EdgeInfo *edge, char *const *names, bool all,
                        bool *found)
{
    char importer[80];
    char exporter[80];
    bool by_importer;
    bool by_exporter;

    if (edge->graph[0] == '\0' && !all) {
        return false;
    }
    snprintf(importer, sizeof(importer), "%.*s", (int)strcspn(edge->importer, "."), edge->importer);
    snprintf(exporter, sizeof(exporter), "%.*s", (int)strcspn(edge->exporter, "."), edge->exporter);
    by_importer = ctl_get_wanted(names, found, "sip", importer);
    by_exporter = ctl_get_wanted(names, found, "sip", exporter);
    return by_importer || by_exporter;
}

static void print_channels(struct ctl_context *context, const Sf__Control__Envelope *reply,
                           char *const *names, bool all, bool *found)
{
    static const char *const narrow[] = {"IMPORTER", "NODE",  "EXPORTER", "NODE",
                                         "CONTRACT", "STATE", "DRIVER",   "SENT",
                                         "RECEIVED", "CAUSE", NULL};
    static const char *const wide[] = {"IMPORTER",  "NODE",     "EXPORTER", "NODE",     "CONTRACT",
                                       "STATE",     "DRIVER",   "SENT",     "RECEIVED", "QUEUED",
                                       "BYTES OUT", "BYTES IN", "P50",      "P99",      "GRAPH",
                                       "ID",        "CAUSE",    NULL};
    const Sf__Control__EdgeList *list = reply->edge_list;
    struct ctl_table table = {context->output == CTL_WIDE ? wide : narrow, NULL, 0};
    cJSON *items = NULL;
    cJSON *root = ctl_get_list("channels", &items);
    size_t index;

    all = all || context->output == CTL_WIDE;
    for (index = 0; index < list->n_edges; index++) {
        const Sf__Control__EdgeInfo *edge = list->edges[index];
        if (!edge_wanted(edge, names, all, found)) {
            continue;
        }
        if (context->output == CTL_NAME) {
            printf("channel/%" PRIx64 "\n", edge->id);
        } else if (context->output == CTL_JSON) {
            edge_json(items, edge);
        } else {
            edge_row(context, &table, edge);
        }
    }
    ctl_get_print(context, root, &table);
}

/* --- sessions -----------------------------------------------------------------------------------
 */

void ctl_session_json(cJSON *item, const Sf__Control__SessionInfo *session)
{
    const struct {
        const char *name;
        double value;
    } numbers[] = {
        {"frames_sent", (double)session->frames_sent},
        {"frames_resent", (double)session->frames_resent},
        {"frames_received", (double)session->frames_received},
        {"frames_duplicate", (double)session->frames_duplicate},
        {"frames_rejected", (double)session->frames_rejected},
        {"bytes_sent", (double)session->bytes_sent},
        {"bytes_received", (double)session->bytes_received},
        {"messages_sent", (double)session->messages_sent},
        {"messages_received", (double)session->messages_received},
        {"closes_sent", (double)session->closes_sent},
        {"closes_received", (double)session->closes_received},
        {"timeouts", (double)session->timeouts},
        {"mtu_bytes", session->mtu_bytes},
        {"in_flight", session->in_flight},
        {"window", session->window},
        {"waiting", session->waiting},
        {"rtt_ns", (double)session->rtt_ns},
        {"rtt_count", (double)session->rtt_count},
        {"rtt_p50_ns", (double)session->rtt_p50_ns},
        {"rtt_p99_ns", (double)session->rtt_p99_ns},
        {"rtt_max_ns", (double)session->rtt_max_ns},
        {"losses", session->losses},
        {"blocks_read", (double)session->blocks_read},
        {"blocks_taken", (double)session->blocks_taken},
    };

    cJSON_AddStringToObject(item, "node", session->node_name);
    cJSON_AddStringToObject(item, "peer", session->peer_name);
    cJSON_AddStringToObject(item, "driver", session->driver);
    cJSON_AddBoolToObject(item, "alive", session->alive);
    cJSON_AddBoolToObject(item, "sealed", session->sealed);
    for (size_t index = 0; index < sizeof(numbers) / sizeof(numbers[0]); index++) {
        cJSON_AddNumberToObject(item, numbers[index].name, numbers[index].value);
    }
    if (session->last_loss != NULL) {
        cJSON_AddStringToObject(item, "last_loss", session->last_loss->text);
    } else {
        cJSON_AddNullToObject(item, "last_loss");
    }
}

static void session_row(struct ctl_context *context, struct ctl_table *table,
                        const Sf__Control__SessionInfo *session)
{
    char text[32];

    ctl_cell(table, "%s", session->node_name);
    ctl_cell(table, "%s", session->peer_name);
    ctl_cell(table, "%s", session->driver);
    ctl_cell(table, "%s", session->alive ? "yes" : "no");
    ctl_cell(table, "%s", session->sealed ? "yes" : "no");
    ctl_cell(table, "%" PRIu64, session->messages_sent);
    ctl_cell(table, "%" PRIu64, session->messages_received);
    ctl_cell(table, "%" PRIu64, session->frames_resent);
    ctl_cell(table, "%s", session->rtt_count > 0 ? ctl_duration(session->rtt_p50_ns, text) : "");
    ctl_cell(table, "%s", session->rtt_count > 0 ? ctl_duration(session->rtt_p99_ns, text) : "");
    ctl_cell(table, "%u", session->window);
    if (context->output == CTL_WIDE) {
        ctl_cell(table, "%u", session->in_flight);
        ctl_cell(table, "%u", session->waiting);
        ctl_cell(table, "%" PRIu64, session->frames_sent);
        ctl_cell(table, "%" PRIu64, session->frames_received);
        ctl_cell(table, "%" PRIu64, session->frames_duplicate);
        ctl_cell(table, "%" PRIu64, session->frames_rejected);
        ctl_cell(table, "%u", session->mtu_bytes);
    }
    ctl_cell(table, "%u", session->losses);
    ctl_cell(table, "%s", cause_text(session->last_loss));
}

static void print_sessions(struct ctl_context *context, const Sf__Control__Envelope *reply,
                           char *const *names, bool all, bool *found)
{
    static const char *const narrow[] = {"NODE",   "PEER",     "DRIVER",    "ALIVE", "SEALED",
                                         "SENT",   "RECEIVED", "AGAIN",     "P50",   "P99",
                                         "WINDOW", "LOSSES",   "LAST LOSS", NULL};
    static const char *const wide[] = {
        "NODE",      "PEER",      "DRIVER",   "ALIVE",  "SEALED", "SENT",      "RECEIVED",
        "AGAIN",     "P50",       "P99",      "WINDOW", "FLIGHT", "WAIT",      "FRAMES OUT",
        "FRAMES IN", "DUPLICATE", "REJECTED", "MTU",    "LOSSES", "LAST LOSS", NULL};
    const Sf__Control__EdgeList *list = reply->edge_list;
    struct ctl_table table = {context->output == CTL_WIDE ? wide : narrow, NULL, 0};
    cJSON *items = NULL;
    cJSON *root = ctl_get_list("sessions", &items);
    size_t index;

    (void)all;
    for (index = 0; index < list->n_sessions; index++) {
        const Sf__Control__SessionInfo *session = list->sessions[index];
        if (!ctl_get_wanted(names, found, "node", session->node_name)) {
            continue;
        }
        if (context->output == CTL_NAME) {
            printf("session/%s/%s\n", session->node_name, session->peer_name);
        } else if (context->output == CTL_JSON) {
            ctl_session_json(ctl_get_item(items), session);
        } else {
            session_row(context, &table, session);
        }
    }
    ctl_get_print(context, root, &table);
}

/* --- all of them --------------------------------------------------------------------------------
 */

static int ask(struct ctl_client *client, const struct ctl_kind *kind,
               Sf__Control__Envelope **out_reply)
{
    Sf__Control__Envelope request = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__GetNodes nodes = SF__CONTROL__GET_NODES__INIT;
    Sf__Control__GetSips sips = SF__CONTROL__GET_SIPS__INIT;
    Sf__Control__GetChannels channels = SF__CONTROL__GET_CHANNELS__INIT;
    Sf__Control__GetMoves moves = SF__CONTROL__GET_MOVES__INIT;

    request.body_case = kind->request;
    if (kind->request == SF__CONTROL__ENVELOPE__BODY_GET_NODES) {
        request.get_nodes = &nodes;
    } else if (kind->request == SF__CONTROL__ENVELOPE__BODY_GET_SIPS) {
        request.get_sips = &sips;
    } else if (kind->request == SF__CONTROL__ENVELOPE__BODY_GET_MOVES) {
        request.get_moves = &moves;
    } else {
        request.get_channels = &channels;
    }
    return ctl_call(client, &request, kind->reply, CTL_QUICK_MS, out_reply);
}

static int show(struct ctl_context *context, struct ctl_client *client, const struct ctl_kind *kind,
                char *const *names, size_t name_count, bool all)
{
    Sf__Control__Envelope *reply = NULL;
    bool *found = calloc(name_count + 1, sizeof(*found));
    int code = found != NULL ? ask(client, kind, &reply) : CTL_ERROR;
    size_t missing = 0;

    if (code == CTL_OK) {
        kind->print(context, reply, names, all, found);
        fflush(stdout);
        while (missing < name_count && found[missing]) {
            missing += 1;
        }
        if (missing < name_count) {
            fprintf(stderr, "fabricctl: error: there is none of %s named '%s'\n", kind->plural,
                    names[missing]);
            code = CTL_NOT_FOUND;
        }
    }
    ctl_reply_free(reply);
    free(found);
    return code;
}

int ctl_get(struct ctl_context *context, int argc, char **argv, const struct ctl_kind *kind)
{
    bool watch = false;
    bool all = false;
    const struct ctl_option options[] = {
        {"--watch", 'w', CTL_OPT_FLAG, &watch},
        {"--all", 'a', CTL_OPT_FLAG, &all},
        {0},
    };
    struct ctl_client *client = NULL;
    int code;

    argc = ctl_options(context, argc, argv, options);
    if (argc < 0) {
        return CTL_USAGE;
    }
    code = ctl_connect(context, false, &client);
    if (code != CTL_OK) {
        return code;
    }
    if (watch) {
        code = ctl_watch_interrupts(client);
    }
    while (code == CTL_OK) {
        if (watch && context->output != CTL_JSON && isatty(STDOUT_FILENO)) {
            fputs("\033[H\033[J", stdout);
        }
        code = show(context, client, kind, argv + 1, (size_t)argc - 1, all);
        if (!watch) {
            break;
        }
        if (code == CTL_OK) {
            code = ctl_sleep(client, WATCH_MS);
        }
    }
    ctl_disconnect(client);
    return code;
}

int ctl_get_nodes(struct ctl_context *context, int argc, char **argv)
{
    static const struct ctl_kind kind = {"nodes", SF__CONTROL__ENVELOPE__BODY_GET_NODES,
                                         SF__CONTROL__ENVELOPE__BODY_NODE_LIST, print_nodes};
    return ctl_get(context, argc, argv, &kind);
}

int ctl_get_links(struct ctl_context *context, int argc, char **argv)
{
    static const struct ctl_kind kind = {"nodes", SF__CONTROL__ENVELOPE__BODY_GET_NODES,
                                         SF__CONTROL__ENVELOPE__BODY_NODE_LIST, print_links};
    return ctl_get(context, argc, argv, &kind);
}

int ctl_get_sips(struct ctl_context *context, int argc, char **argv)
{
    static const struct ctl_kind kind = {"sips", SF__CONTROL__ENVELOPE__BODY_GET_SIPS,
                                         SF__CONTROL__ENVELOPE__BODY_SIP_LIST, print_sips};
    return ctl_get(context, argc, argv, &kind);
}

int ctl_get_channels(struct ctl_context *context, int argc, char **argv)
{
    static const struct ctl_kind kind = {"channels", SF__CONTROL__ENVELOPE__BODY_GET_CHANNELS,
                                         SF__CONTROL__ENVELOPE__BODY_EDGE_LIST, print_channels};
    return ctl_get(context, argc, argv, &kind);
}

int ctl_get_sessions(struct ctl_context *context, int argc, char **argv)
{
    static const struct ctl_kind kind = {"nodes", SF__CONTROL__ENVELOPE__BODY_GET_CHANNELS,
                                         SF__CONTROL__ENVELOPE__BODY_EDGE_LIST, print_sessions};
    return ctl_get(context, argc, argv, &kind);
}
