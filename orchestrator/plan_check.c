/* SPDX-License-Identifier: Apache-2.0 */
/* plan_check.c - what may be wrong with a graph, told with file and line. */
#include "plan_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "image/image.h"

void plan__append(char *text, size_t capacity, size_t *bytes, const char *format, ...)
{
    va_list arguments;
    int length;

    if (*bytes + 1 >= capacity) {
        return;
    }
    va_start(arguments, format);
    length = vsnprintf(text + *bytes, capacity - *bytes, format, arguments);
    va_end(arguments);
    *bytes += (size_t)length < capacity - *bytes ? (size_t)length : capacity - *bytes - 1;
}

void plan__refuse(struct planner *planner, sf_status status, uint32_t line, const char *format, ...)
{
    char where[300] = "";
    char what[600];
    va_list arguments;

    planner->error_count += 1;
    if (planner->error_count == 1) {
        planner->status = status;
    }
    if (planner->error_count > PLAN_ERRORS_MAX) {
        return;
    }
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    if (planner->desired->path[0] != '\0' && planner->scope == SCOPE_CHANGED) {
        snprintf(where, sizeof(where), "%.250s:%u: error: ", planner->desired->path, line);
    }
    plan__append(planner->text, planner->text_capacity, &planner->text_bytes, "%s%s%s",
                 planner->error_count > 1 ? "\n" : "", where, what);
}

struct item *plan__item_find(const struct planner *planner, const char *name)
{
    size_t index;

    for (index = 0; index < planner->desired->n_sips; index++) {
        if (strcmp(planner->desired->sips[index]->name, name) == 0) {
            return &planner->items[index];
        }
    }
    return NULL;
}

bool plan__in_scope(const struct planner *planner, const struct item *item)
{
    uint32_t index;

    for (index = 0; index < planner->only_count; index++) {
        if (item->observed == planner->only[index]) {
            return true;
        }
    }
    return planner->scope != SCOPE_ONLY;
}

static const struct world_port *find_port(const struct world_port *ports, uint32_t count,
                                          const char *name)
{
    uint32_t index;

    for (index = 0; index < count; index++) {
        if (strcmp(ports[index].name, name) == 0) {
            return &ports[index];
        }
    }
    return NULL;
}

/* --- checks -------------------------------------------------------------------------------------
 */

static void check_source(struct planner *planner, struct item *item)
{
    const Sf__Control__GraphSip *spec = item->spec;
    char hint_text[64];
    uint32_t index;

    item->ports = world_ports_of(planner->world, spec);
    if (item->ports != NULL && strcmp(item->ports->image_name, spec->image_name) != 0) {
        plan__refuse(planner, SF_TRUST, spec->source_line,
                     "SIP '%s': image '%s' was built and signed as '%s', not as '%s'; write "
                     "image-name: %s if it is the one you mean",
                     spec->name, spec->image_path, item->ports->image_name, spec->image_name,
                     item->ports->image_name);
        return;
    }
    if (item->ports != NULL && !planner->world->allow_native && item->ports->mode == IMAGE_NATIVE) {
        plan__refuse(planner, SF_TRUST, spec->source_line,
                     "SIP '%s': image '%s' is native: it has no checks at run time, and this "
                     "cluster does not allow that; if you trust it, create the cluster with "
                     "--allow-native, else build it with mode: wasm",
                     spec->name, spec->image_path);
    }
    if (item->ports != NULL) {
        return;
    }
    if (spec->service[0] != '\0') {
        struct orch_hint hint = {.wanted = spec->service};
        for (index = 0; index < planner->world->service_count; index++) {
            orch_hint_add(&hint, planner->world->services[index].name);
        }
        plan__refuse(planner, SF_NOTFOUND, spec->source_line,
                     "SIP '%s': there is no service '%s'%s", spec->name, spec->service,
                     orch_hint_text(&hint, hint_text, sizeof(hint_text)));
    } else {
        plan__refuse(planner, SF_NOTFOUND, spec->source_line,
                     "SIP '%s': image '%s' is not registered", spec->name, spec->image_path);
    }
}

static void check_node(struct planner *planner, struct item *item)
{
    const Sf__Control__GraphSip *spec = item->spec;
    struct orch_hint hint = {.wanted = spec->node};
    const struct world_node *node = world_node_find(planner->world, spec->node);
    char known[200] = "";
    char hint_text[64];
    size_t known_bytes = 0;
    uint32_t index;

    if (spec->node[0] == '\0' || (node != NULL && node->stage == WORLD_JOINED)) {
        return;
    }
    if (node != NULL) {
        plan__refuse(planner, SF_AGAIN, spec->node_line,
                     "SIP '%s': node %s %s%s%s; see: fabricctl get nodes", spec->name, node->name,
                     node->stage == WORLD_LOST ? "is lost" : "has not joined yet",
                     node->stage == WORLD_LOST && node->lost_why[0] != '\0' ? ": " : "",
                     node->stage == WORLD_LOST ? node->lost_why : "");
        return;
    }
    for (index = 0; index < planner->world->node_count; index++) {
        orch_hint_add(&hint, planner->world->nodes[index]->name);
        plan__append(known, sizeof(known), &known_bytes, "%s%s", index > 0 ? ", " : "",
                     planner->world->nodes[index]->name);
    }
    plan__refuse(planner, SF_NOTFOUND, spec->node_line,
                 "SIP '%s': there is no node '%s' (nodes: %s)%s", spec->name, spec->node,
                 known_bytes > 0 ? known : "none",
                 orch_hint_text(&hint, hint_text, sizeof(hint_text)));
}

static void check_restart(struct planner *planner, const struct item *item)
{
    const struct supervise_policy policy = graph_restart_policy(item->spec);
    const char *wrong = supervise_policy_wrong(&policy);

    if (wrong != NULL) {
        plan__refuse(planner, SF_BADARG, item->spec->restart->line, "restart of SIP '%s': %s",
                     item->spec->name, wrong);
    }
}

static void check_cpu(struct planner *planner, const struct item *item)
{
    if (item->spec->cpu_percent > 100) {
        plan__refuse(planner, SF_BADARG, item->spec->line,
                     "SIP '%s': a cpu quota of %u%%; it is 1%% to 100%% of one core",
                     item->spec->name, item->spec->cpu_percent);
    }
}

static void check_item(struct planner *planner, struct item *item)
{
    const Sf__Control__GraphSip *spec = item->spec;
    const struct world_sip *other = world_sip_find(planner->world, spec->name);

    if (!orch_name_ok(spec->name)) {
        plan__refuse(planner, SF_BADARG, spec->line, "'%.40s' is no SIP name: " ORCH_NAME_RULE,
                     spec->name);
        return;
    }
    if (plan__item_find(planner, spec->name) != item) {
        plan__refuse(planner, SF_BADARG, spec->line, "SIP '%s' is there twice", spec->name);
    }
    if (other != NULL && other->graph != planner->graph && world_sip_live(other)) {
        plan__refuse(
            planner, SF_EXISTS, spec->line,
            "SIP '%s': graph %s runs a SIP of that name already; names are unique in the cell",
            spec->name, other->graph->name);
    }
    if ((spec->service[0] != '\0') == (spec->image.len > 0)) {
        plan__refuse(planner, SF_BADARG, spec->line, "SIP '%s' needs either an image or a service",
                     spec->name);
        return;
    }
    check_source(planner, item);
    check_node(planner, item);
    check_restart(planner, item);
    check_cpu(planner, item);
}

/* Finds the exporting SIP; NULL after it said why not. */
static const struct world_ports *resolve_exporter(struct planner *planner, struct edge *edge,
                                                  const Sf__Control__GraphChannel *channel,
                                                  const char *name)
{
    struct orch_hint hint = {.wanted = name};
    char hint_text[64];
    uint32_t index;

    edge->exporter = plan__item_find(planner, name);
    if (edge->exporter != NULL) {
        return edge->exporter->ports; /* NULL: said before */
    }
    edge->external = world_sip_find(planner->world, name);
    if (edge->external != NULL && edge->external->graph == planner->graph) {
        edge->external = NULL; /* it is about to be stopped */
    }
    if (edge->external != NULL && edge->external->state == SF__CONTROL__SIP_STATE__RUNNING) {
        return world_ports_of(planner->world, edge->external->made->sips[0]);
    }
    if (edge->external != NULL) {
        plan__refuse(planner, SF_AGAIN, channel->exporter_line,
                     "to: SIP '%s' of graph %s does not run", name, edge->external->graph->name);
        return NULL;
    }
    for (index = 0; index < planner->desired->n_sips; index++) {
        orch_hint_add(&hint, planner->desired->sips[index]->name);
    }
    for (index = 0; index < planner->world->sip_count; index++) {
        orch_hint_add(&hint, planner->world->sips[index]->name);
    }
    plan__refuse(planner, SF_BADARG, channel->exporter_line,
                 "to: there is no SIP '%s', here or in another graph%s", name,
                 orch_hint_text(&hint, hint_text, sizeof(hint_text)));
    return NULL;
}

static const struct world_port *resolve_port(struct planner *planner, uint32_t line,
                                             const struct world_ports *ports, bool import,
                                             const char *sip, const char *name)
{
    const struct world_port *list = import ? ports->imports : ports->exports;
    uint32_t count = import ? ports->import_count : ports->export_count;
    const struct world_port *port = find_port(list, count, name);
    char known[200] = "";
    size_t known_bytes = 0;
    uint32_t index;

    if (port != NULL) {
        return port;
    }
    for (index = 0; index < count; index++) {
        plan__append(known, sizeof(known), &known_bytes, "%s%s", index > 0 ? ", " : "",
                     list[index].name);
    }
    plan__refuse(planner, SF_BADARG, line, "SIP '%s' has no %s '%s'; it has: %s", sip,
                 import ? "import" : "export", name, known_bytes > 0 ? known : "none");
    return NULL;
}

static void check_edge(struct planner *planner, struct edge *edge,
                       const Sf__Control__GraphChannel *channel)
{
    char importer_sip[ORCH_NAME_BYTES_MAX + 1];
    char importer_port[ORCH_NAME_BYTES_MAX + 1];
    char exporter_sip[ORCH_NAME_BYTES_MAX + 1];
    char exporter_port[ORCH_NAME_BYTES_MAX + 1];
    const struct world_ports *exporter_ports;
    const struct world_port *import = NULL;
    const struct world_port *export = NULL;

    if (!orch_port_split(channel->importer, importer_sip, importer_port) ||
        !orch_port_split(channel->exporter, exporter_sip, exporter_port)) {
        plan__refuse(planner, SF_BADARG, channel->line,
                     "a channel leads from <sip>.<import> to <sip>.<export>");
        return;
    }
    edge->importer = plan__item_find(planner, importer_sip);
    if (edge->importer == NULL) {
        plan__refuse(planner, SF_BADARG, channel->line, "from: there is no SIP '%s' in this graph",
                     importer_sip);
    } else if (edge->importer->ports != NULL) {
        import = resolve_port(planner, channel->line, edge->importer->ports, true, importer_sip,
                              importer_port);
    }
    exporter_ports = resolve_exporter(planner, edge, channel, exporter_sip);
    if (exporter_ports != NULL) {
        export = resolve_port(planner, channel->exporter_line, exporter_ports, false, exporter_sip,
                              exporter_port);
    }
    if (import == NULL || export == NULL ||
        memcmp(import->contract_id, export->contract_id, sizeof(import->contract_id)) == 0) {
        return;
    }
    if (strcmp(import->contract, export->contract) == 0) {
        plan__refuse(planner, SF_CONTRACT, channel->line,
                     "%s and %s were built with two versions of contract %s; build both with one",
                     channel->importer, channel->exporter, import->contract);
    } else {
        plan__refuse(planner, SF_CONTRACT, channel->line, "%s wants contract %s, but %s speaks %s",
                     channel->importer, import->contract, channel->exporter, export->contract);
    }
}

/* An edge of a SIP that a restart leaves as it is: only where it leads within the graph. */
static void look_at_edge(struct planner *planner, struct edge *edge,
                         const Sf__Control__GraphChannel *channel)
{
    char sip[ORCH_NAME_BYTES_MAX + 1];
    char port[ORCH_NAME_BYTES_MAX + 1];

    if (orch_port_split(channel->importer, sip, port)) {
        edge->importer = plan__item_find(planner, sip);
    }
    if (orch_port_split(channel->exporter, sip, port)) {
        edge->exporter = plan__item_find(planner, sip);
    }
}

/* In a restart, an exporter that is not made again with its importer must run. */
static void check_exporter_runs(struct planner *planner, const struct edge *edge)
{
    const struct item *exporter = edge->exporter;

    if (exporter == NULL || plan__in_scope(planner, exporter)) {
        return;
    }
    if (exporter->observed == NULL ||
        exporter->observed->state != SF__CONTROL__SIP_STATE__RUNNING) {
        plan__refuse(planner, SF_AGAIN, 0, "SIP %s, which it imports from, does not run",
                     exporter->spec->name);
    }
}

/* Every import of every SIP is wired exactly once. */
static void check_imports(struct planner *planner, const struct item *item)
{
    uint32_t import;
    size_t index;

    for (import = 0; item->ports != NULL && import < item->ports->import_count; import++) {
        char wanted[2 * ORCH_NAME_BYTES_MAX + 2];
        uint32_t line = item->spec->line;
        uint32_t count = 0;

        snprintf(wanted, sizeof(wanted), "%s.%s", item->spec->name,
                 item->ports->imports[import].name);
        for (index = 0; index < planner->desired->n_channels; index++) {
            if (strcmp(planner->desired->channels[index]->importer, wanted) == 0) {
                line = planner->desired->channels[index]->line;
                count += 1;
            }
        }
        if (count == 0) {
            plan__refuse(planner, SF_BADARG, line,
                         "import '%s' (%s) is not wired; add a channel from it", wanted,
                         item->ports->imports[import].contract);
        } else if (count > 1) {
            plan__refuse(planner, SF_BADARG, line, "import '%s' is wired %u times", wanted, count);
        }
    }
}

void plan__check(struct planner *planner)
{
    const Sf__Control__Graph *desired = planner->desired;
    size_t index;

    if (!orch_name_ok(desired->name)) {
        plan__refuse(planner, SF_BADARG, 1, "'%.40s' is no graph name: " ORCH_NAME_RULE,
                     desired->name);
    }
    if (desired->n_sips == 0 || desired->n_sips > GRAPH_SIPS_MAX ||
        desired->n_channels > GRAPH_CHANNELS_MAX) {
        plan__refuse(planner, SF_BADARG, 1,
                     "graph %.40s: 1 to %u SIPs and at most %u channels are allowed", desired->name,
                     GRAPH_SIPS_MAX, GRAPH_CHANNELS_MAX);
        return;
    }
    for (index = 0; index < desired->n_sips; index++) {
        struct item *item = &planner->items[index];
        item->spec = desired->sips[index];
        if (planner->graph != NULL) {
            item->observed = world_sip_in_graph(planner->world, planner->graph, item->spec->name);
        }
    }
    for (index = 0; index < desired->n_sips; index++) {
        if (plan__in_scope(planner, &planner->items[index])) {
            check_item(planner, &planner->items[index]);
        }
    }
    for (index = 0; index < desired->n_channels; index++) {
        struct edge *edge = &planner->edges[index];
        look_at_edge(planner, edge, desired->channels[index]);
        if (edge->importer == NULL || plan__in_scope(planner, edge->importer)) {
            check_edge(planner, edge, desired->channels[index]);
            check_exporter_runs(planner, edge);
        }
    }
    for (index = 0; index < desired->n_sips; index++) {
        if (plan__in_scope(planner, &planner->items[index])) {
            check_imports(planner, &planner->items[index]);
        }
    }
}
