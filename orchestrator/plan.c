/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "image/image.h"

/* What is being decided about one SIP of the graph. */
struct item {
    const Sf__Control__GraphSip *spec;
    const struct world_ports *ports;
    struct world_sip *observed; /* of that name in this graph; may have ended */
    struct world_node *node;    /* where it will be */
    bool keep;
    const char *why; /* !keep and observed is live: why it is made again */
};

/* Where a channel of the graph leads. */
struct edge {
    struct item *importer;
    struct item *exporter;            /* in this graph, or */
    const struct world_sip *external; /* in another one */
};

struct planner {
    const struct world *world;
    const Sf__Control__Graph *desired;
    const struct world_graph *graph; /* NULL: first time */
    struct item *items;
    struct edge *edges;
    struct plan *plan;
    uint32_t error_count;
    sf_status status; /* of the first error */
    char *text;
    size_t text_capacity;
    size_t text_bytes;
};

static void append(char *text, size_t capacity, size_t *bytes, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void append(char *text, size_t capacity, size_t *bytes, const char *format, ...)
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

static void refuse(struct planner *planner, sf_status status, uint32_t line, const char *format,
                   ...) __attribute__((format(printf, 4, 5)));

static void refuse(struct planner *planner, sf_status status, uint32_t line, const char *format,
                   ...)
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
    if (planner->desired->path[0] != '\0') {
        snprintf(where, sizeof(where), "%.250s:%u: error: ", planner->desired->path, line);
    }
    append(planner->text, planner->text_capacity, &planner->text_bytes, "%s%s%s",
           planner->error_count > 1 ? "\n" : "", where, what);
}

static struct item *find_item(const struct planner *planner, const char *name)
{
    size_t index;

    for (index = 0; index < planner->desired->n_sips; index++) {
        if (strcmp(planner->desired->sips[index]->name, name) == 0) {
            return &planner->items[index];
        }
    }
    return NULL;
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
    if (item->ports != NULL && !planner->world->allow_native &&
        item->ports->mode == IMAGE_NATIVE) {
        refuse(
            planner, SF_TRUST, spec->source_line,
            "SIP '%s': image '%s' is native: it has no checks at run time, and this cluster does "
            "not allow that; if you trust it, create the cluster with --allow-native, else build "
            "it with mode: wasm",
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
        refuse(planner, SF_NOTFOUND, spec->source_line, "SIP '%s': there is no service '%s'%s",
               spec->name, spec->service, orch_hint_text(&hint, hint_text, sizeof(hint_text)));
    } else {
        refuse(planner, SF_NOTFOUND, spec->source_line, "SIP '%s': image '%s' is not registered",
               spec->name, spec->image_path);
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
        refuse(planner, SF_AGAIN, spec->node_line,
               "SIP '%s': node %s %s%s%s; see: fabricctl get nodes", spec->name, node->name,
               node->stage == WORLD_LOST ? "is lost" : "has not joined yet",
               node->stage == WORLD_LOST && node->lost_why[0] != '\0' ? ": " : "",
               node->stage == WORLD_LOST ? node->lost_why : "");
        return;
    }
    for (index = 0; index < planner->world->node_count; index++) {
        orch_hint_add(&hint, planner->world->nodes[index]->name);
        append(known, sizeof(known), &known_bytes, "%s%s", index > 0 ? ", " : "",
               planner->world->nodes[index]->name);
    }
    refuse(planner, SF_NOTFOUND, spec->node_line, "SIP '%s': there is no node '%s' (nodes: %s)%s",
           spec->name, spec->node, known_bytes > 0 ? known : "none",
           orch_hint_text(&hint, hint_text, sizeof(hint_text)));
}

static void check_item(struct planner *planner, struct item *item)
{
    const Sf__Control__GraphSip *spec = item->spec;
    const struct world_sip *other = world_sip_find(planner->world, spec->name);

    if (!orch_name_ok(spec->name)) {
        refuse(planner, SF_BADARG, spec->line, "'%.40s' is no SIP name: " ORCH_NAME_RULE,
               spec->name);
        return;
    }
    if (find_item(planner, spec->name) != item) {
        refuse(planner, SF_BADARG, spec->line, "SIP '%s' is there twice", spec->name);
    }
    if (other != NULL && other->graph != planner->graph && world_sip_live(other)) {
        refuse(planner, SF_EXISTS, spec->line,
               "SIP '%s': graph %s runs a SIP of that name already; names are unique in the cell",
               spec->name, other->graph->name);
    }
    if ((spec->service[0] != '\0') == (spec->image.len > 0)) {
        refuse(planner, SF_BADARG, spec->line, "SIP '%s' needs either an image or a service",
               spec->name);
        return;
    }
    check_source(planner, item);
    check_node(planner, item);
    if (planner->graph != NULL) {
        item->observed = world_sip_in_graph(planner->world, planner->graph, spec->name);
    }
}

/* Finds the exporting SIP; NULL after it said why not. */
static const struct world_ports *resolve_exporter(struct planner *planner, struct edge *edge,
                                                  const Sf__Control__GraphChannel *channel,
                                                  const char *name)
{
    struct orch_hint hint = {.wanted = name};
    char hint_text[64];
    uint32_t index;

    edge->exporter = find_item(planner, name);
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
        refuse(planner, SF_AGAIN, channel->exporter_line, "to: SIP '%s' of graph %s does not run",
               name, edge->external->graph->name);
        return NULL;
    }
    for (index = 0; index < planner->desired->n_sips; index++) {
        orch_hint_add(&hint, planner->desired->sips[index]->name);
    }
    for (index = 0; index < planner->world->sip_count; index++) {
        orch_hint_add(&hint, planner->world->sips[index]->name);
    }
    refuse(planner, SF_BADARG, channel->exporter_line,
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
        append(known, sizeof(known), &known_bytes, "%s%s", index > 0 ? ", " : "", list[index].name);
    }
    refuse(planner, SF_BADARG, line, "SIP '%s' has no %s '%s'; it has: %s", sip,
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
        refuse(planner, SF_BADARG, channel->line,
               "a channel leads from <sip>.<import> to <sip>.<export>");
        return;
    }
    edge->importer = find_item(planner, importer_sip);
    if (edge->importer == NULL) {
        refuse(planner, SF_BADARG, channel->line, "from: there is no SIP '%s' in this graph",
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
        refuse(planner, SF_CONTRACT, channel->line,
               "%s and %s were built with two versions of contract %s; build both with one",
               channel->importer, channel->exporter, import->contract);
    } else {
        refuse(planner, SF_CONTRACT, channel->line, "%s wants contract %s, but %s speaks %s",
               channel->importer, import->contract, channel->exporter, export->contract);
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
            refuse(planner, SF_BADARG, line, "import '%s' (%s) is not wired; add a channel from it",
                   wanted, item->ports->imports[import].contract);
        } else if (count > 1) {
            refuse(planner, SF_BADARG, line, "import '%s' is wired %u times", wanted, count);
        }
    }
}

/* --- what changed -------------------------------------------------------------------------------
 */

static bool config_same(const Sf__Control__GraphSip *a, const Sf__Control__GraphSip *b)
{
    size_t i;
    size_t j;

    if (a->n_config != b->n_config) {
        return false;
    }
    for (i = 0; i < a->n_config; i++) {
        for (j = 0; j < b->n_config; j++) {
            if (strcmp(a->config[i]->key, b->config[j]->key) == 0 &&
                strcmp(a->config[i]->value, b->config[j]->value) == 0) {
                break;
            }
        }
        if (j == b->n_config) {
            return false;
        }
    }
    return true;
}

static bool image_same(const Sf__Control__GraphSip *a, const Sf__Control__GraphSip *b)
{
    return a->image.len == b->image.len &&
           (a->image.len == 0 || memcmp(a->image.data, b->image.data, a->image.len) == 0) &&
           strcmp(a->service, b->service) == 0;
}

/* The number of the SIP that an edge leads to as things are; 0: it does not run. */
static uint64_t exporter_number(const struct edge *edge)
{
    const struct world_sip *sip =
        edge->exporter != NULL ? edge->exporter->observed : edge->external;

    return sip != NULL && sip->state == SF__CONTROL__SIP_STATE__RUNNING ? sip->number : 0;
}

static bool wires_same(const struct planner *planner, const struct item *item)
{
    const struct world_sip *sip = item->observed;
    size_t same = 0;
    size_t index;
    size_t old;

    for (index = 0; index < planner->desired->n_channels; index++) {
        const Sf__Control__GraphChannel *channel = planner->desired->channels[index];
        if (planner->edges[index].importer != item) {
            continue;
        }
        for (old = 0; old < sip->made->n_channels; old++) {
            if (strcmp(sip->made->channels[old]->importer, channel->importer) == 0 &&
                strcmp(sip->made->channels[old]->exporter, channel->exporter) == 0) {
                break;
            }
        }
        if (old == sip->made->n_channels) {
            return false;
        }
        same += 1;
    }
    return same == sip->made->n_channels;
}

static const char *why_not_keep(const struct planner *planner, const struct item *item)
{
    const struct world_sip *sip = item->observed;
    const Sf__Control__GraphSip *made;

    if (sip == NULL) {
        return "new";
    }
    if (sip->state != SF__CONTROL__SIP_STATE__RUNNING) {
        return "it did not run";
    }
    made = sip->made->sips[0];
    if (!image_same(made, item->spec)) {
        return "its image changed";
    }
    if (!config_same(made, item->spec)) {
        return "its config changed";
    }
    if (item->spec->node[0] != '\0' && strcmp(item->spec->node, sip->node->name) != 0) {
        return "its node changed";
    }
    return wires_same(planner, item) ? NULL : "its channels changed";
}

/* A kept importer needs a kept exporter, and the very one it was wired to. */
static bool exporter_kept(const struct planner *planner, const struct item *item, size_t index)
{
    const struct edge *edge = &planner->edges[index];
    const struct world_sip *sip = item->observed;
    size_t old;

    if (edge->exporter != NULL && !edge->exporter->keep) {
        return false;
    }
    for (old = 0; old < sip->made->n_channels; old++) {
        if (strcmp(sip->made->channels[old]->importer,
                   planner->desired->channels[index]->importer) == 0) {
            return sip->exporters[old] == exporter_number(edge);
        }
    }
    return false;
}

static void decide_keeping(struct planner *planner)
{
    bool changed = true;
    size_t index;

    for (index = 0; index < planner->desired->n_sips; index++) {
        struct item *item = &planner->items[index];
        item->why = why_not_keep(planner, item);
        item->keep = item->why == NULL;
        item->node = item->keep ? item->observed->node : NULL;
    }
    while (changed) {
        changed = false;
        for (index = 0; index < planner->desired->n_channels; index++) {
            struct item *item = planner->edges[index].importer;
            if (item->keep && !exporter_kept(planner, item, index)) {
                item->keep = false;
                item->node = NULL;
                item->why = "a SIP it imports from is made again";
                changed = true;
            }
        }
    }
}

/* --- placement ----------------------------------------------------------------------------------
 */

static bool stays(const struct planner *planner, const struct world_sip *sip)
{
    const struct item *item;

    if (!world_sip_live(sip)) {
        return false;
    }
    if (sip->graph != planner->graph) {
        return true;
    }
    item = find_item(planner, sip->name);
    return item != NULL && item->keep;
}

/* What lives on a node once the plan's stops are done, with what was placed there so far. */
static void measure(const struct planner *planner, const struct world_node *node,
                    uint32_t *out_sips, uint64_t *out_bytes)
{
    uint32_t index;

    *out_sips = 0;
    *out_bytes = 0;
    for (index = 0; index < planner->world->sip_count; index++) {
        const struct world_sip *sip = planner->world->sips[index];
        if (sip->node == node && stays(planner, sip)) {
            *out_sips += 1;
            *out_bytes += sip->memory_bytes;
        }
    }
    for (index = 0; index < planner->desired->n_sips; index++) {
        const struct item *item = &planner->items[index];
        if (item->node == node && !item->keep) {
            *out_sips += 1;
            *out_bytes += item->ports->memory_bytes;
        }
    }
}

/* True if it fits; otherwise why not, added to text. */
static bool fits(const struct planner *planner, const struct item *item,
                 const struct world_node *node, char *text, size_t capacity, size_t *bytes)
{
    uint64_t used_bytes;
    uint64_t room = node->memory_bytes / 2;
    uint32_t sips;

    if (node->stage != WORLD_JOINED) {
        append(text, capacity, bytes, "%s%s %s", *bytes > 0 ? ", " : "", node->name,
               node->stage == WORLD_LOST ? "is lost" : "has not joined yet");
        return false;
    }
    measure(planner, node, &sips, &used_bytes);
    if (sips >= WORLD_SLOTS_PER_NODE) {
        append(text, capacity, bytes, "%s%s has no slot left (of %u)", *bytes > 0 ? ", " : "",
               node->name, WORLD_SLOTS_PER_NODE);
        return false;
    }
    if (used_bytes + item->ports->memory_bytes > room) {
        append(text, capacity, bytes, "%s%s has %" PRIu64 " MiB left, needs %" PRIu64 " MiB",
               *bytes > 0 ? ", " : "", node->name,
               used_bytes < room ? (room - used_bytes) >> 20 : 0,
               (item->ports->memory_bytes + (1u << 20) - 1) >> 20);
        return false;
    }
    return true;
}

static void place(struct planner *planner, struct item *item)
{
    const char *wanted = item->spec->node;
    char reasons[300] = "";
    size_t bytes = 0;
    uint32_t index;

    for (index = 0; index < planner->world->node_count; index++) {
        struct world_node *node = planner->world->nodes[index];
        if (wanted[0] != '\0' && strcmp(wanted, node->name) != 0) {
            continue;
        }
        if (fits(planner, item, node, reasons, sizeof(reasons), &bytes)) {
            item->node = node;
            return;
        }
    }
    refuse(planner, SF_LIMIT, item->spec->line, "SIP '%s' does not fit on %s: %s", item->spec->name,
           wanted[0] != '\0' ? "its node" : "any node", bytes > 0 ? reasons : "there is no node");
}

/* Named nodes first, so that SIPs that fit anywhere do not take their room. */
static void place_all(struct planner *planner)
{
    int named;
    size_t index;

    for (named = 1; named >= 0; named--) {
        for (index = 0; index < planner->desired->n_sips; index++) {
            struct item *item = &planner->items[index];
            if (!item->keep && (item->spec->node[0] != '\0') == named) {
                place(planner, item);
            }
        }
    }
}

static struct world_node *exporter_node(const struct edge *edge)
{
    return edge->exporter != NULL ? edge->exporter->node : edge->external->node;
}

static void check_links(struct planner *planner)
{
    size_t index;

    for (index = 0; index < planner->desired->n_channels; index++) {
        const struct edge *edge = &planner->edges[index];
        const struct world_node *from = edge->importer->node;
        const struct world_node *to = exporter_node(edge);
        const struct world_pair *pair;

        if (edge->importer->keep || from == to) {
            continue;
        }
        pair = world_pair_find(planner->world, from->id, to->id);
        if (pair == NULL || pair->state != WORLD_PAIR_UP) {
            refuse(planner, SF_AGAIN, planner->desired->channels[index]->line,
                   "no link between %s and %s%s%s; see: fabricctl logs node/%s", from->name,
                   to->name, pair != NULL && pair->text[0] != '\0' ? ": " : "",
                   pair != NULL ? pair->text : "", from->name);
        }
    }
}

/* --- actions ------------------------------------------------------------------------------------
 */

static struct plan *plan_new(size_t action_count_max)
{
    struct plan *plan = calloc(1, sizeof(*plan));

    if (plan != NULL) {
        plan->actions = calloc(action_count_max + 1, sizeof(*plan->actions));
        if (plan->actions == NULL) {
            free(plan);
            plan = NULL;
        }
    }
    return plan;
}

static struct plan_action *add_action(struct plan *plan, enum plan_kind kind,
                                      const struct world_node *node)
{
    struct plan_action *action = &plan->actions[plan->action_count++];

    action->kind = kind;
    action->node = node->id;
    return action;
}

/* Whose channels of other graphs end when `sip` does. */
static void note_importers(const struct world *world, struct plan *plan,
                           const struct world_sip *sip)
{
    size_t bytes = strlen(plan->notes);
    uint32_t index;
    size_t channel;

    for (index = 0; index < world->sip_count; index++) {
        const struct world_sip *other = world->sips[index];
        if (other->graph == sip->graph || !world_sip_live(other)) {
            continue;
        }
        for (channel = 0; channel < other->made->n_channels; channel++) {
            if (other->exporters[channel] == sip->number) {
                append(plan->notes, sizeof(plan->notes), &bytes,
                       "%schannel %s of graph %s loses its exporter %s; apply graph %s again",
                       bytes > 0 ? "\n" : "", other->made->channels[channel]->importer,
                       other->graph->name, sip->name, other->graph->name);
            }
        }
    }
}

static void add_stop(const struct world *world, struct plan *plan, const struct world_sip *sip,
                     const char *why)
{
    struct plan_action *action = add_action(plan, PLAN_STOP, sip->node);

    action->sip = sip->number;
    action->why = why;
    note_importers(world, plan, sip);
}

static void add_stops(struct planner *planner)
{
    uint32_t index = planner->graph != NULL ? planner->world->sip_count : 0;

    while (index-- > 0) { /* importers were made after their exporters: the last goes first */
        const struct world_sip *sip = planner->world->sips[index];
        const struct item *item;

        if (sip->graph != planner->graph || !world_sip_live(sip)) {
            continue;
        }
        item = find_item(planner, sip->name);
        if (item == NULL) {
            add_stop(planner->world, planner->plan, sip, "it is not in the graph any more");
            planner->plan->stopped += 1;
        } else if (!item->keep) {
            add_stop(planner->world, planner->plan, sip, item->why);
        }
    }
}

/* One IMAGE action for each node and image that do not have each other yet. */
static void add_images(struct planner *planner)
{
    struct plan *plan = planner->plan;
    uint32_t first = plan->action_count;
    size_t index;
    uint32_t action;

    for (index = 0; index < planner->desired->n_sips; index++) {
        const struct item *item = &planner->items[index];
        const struct world_image *image;

        if (item->keep || item->spec->service[0] != '\0') {
            continue;
        }
        image = world_image_find(planner->world, item->spec->image.data);
        if (world_node_has_image(item->node, image)) {
            continue;
        }
        for (action = first; action < plan->action_count; action++) {
            const struct item *other = &planner->items[plan->actions[action].spec];
            if (plan->actions[action].node == item->node->id &&
                image_same(other->spec, item->spec)) {
                break;
            }
        }
        if (action == plan->action_count) {
            add_action(plan, PLAN_IMAGE, item->node)->spec = (uint32_t)index;
        }
    }
}

static void add_actions(struct planner *planner)
{
    struct plan *plan = planner->plan;
    struct plan_action *action;
    size_t index;

    add_stops(planner);
    add_images(planner);
    for (index = 0; index < planner->desired->n_sips; index++) {
        const struct item *item = &planner->items[index];
        if (item->keep) {
            plan->unchanged += 1;
            continue;
        }
        plan->replaced += item->observed != NULL;
        plan->created += item->observed == NULL;
        add_action(plan, PLAN_CREATE, item->node)->spec = (uint32_t)index;
    }
    for (index = 0; index < planner->desired->n_channels; index++) {
        const struct edge *edge = &planner->edges[index];
        if (!edge->importer->keep) {
            action = add_action(plan, PLAN_WIRE, edge->importer->node);
            action->spec = (uint32_t)(edge->importer - planner->items);
            action->channel = (uint32_t)index;
            action->exporter_node = exporter_node(edge)->id;
        }
    }
    for (index = 0; index < planner->desired->n_sips; index++) {
        if (!planner->items[index].keep) {
            add_action(plan, PLAN_START, planner->items[index].node)->spec = (uint32_t)index;
        }
    }
}

/* --- entry --------------------------------------------------------------------------------------
 */

static void check_all(struct planner *planner)
{
    const Sf__Control__Graph *desired = planner->desired;
    size_t index;

    if (!orch_name_ok(desired->name)) {
        refuse(planner, SF_BADARG, 1, "'%.40s' is no graph name: " ORCH_NAME_RULE, desired->name);
    }
    if (desired->n_sips == 0 || desired->n_sips > GRAPH_SIPS_MAX ||
        desired->n_channels > GRAPH_CHANNELS_MAX) {
        refuse(planner, SF_BADARG, 1,
               "graph %.40s: 1 to %u SIPs and at most %u channels are allowed", desired->name,
               GRAPH_SIPS_MAX, GRAPH_CHANNELS_MAX);
        return;
    }
    for (index = 0; index < desired->n_sips; index++) {
        planner->items[index].spec = desired->sips[index];
        check_item(planner, &planner->items[index]);
    }
    for (index = 0; index < desired->n_channels; index++) {
        check_edge(planner, &planner->edges[index], desired->channels[index]);
    }
    for (index = 0; index < desired->n_sips; index++) {
        check_imports(planner, &planner->items[index]);
    }
}

sf_status plan_make(const struct world *world, const Sf__Control__Graph *desired,
                    struct plan **out_plan, char *text, size_t text_capacity)
{
    struct planner planner = {
        .world = world,
        .desired = desired,
        .graph = world_graph_find(world, desired->name),
        .items = calloc(desired->n_sips + 1, sizeof(*planner.items)),
        .edges = calloc(desired->n_channels + 1, sizeof(*planner.edges)),
        .plan = plan_new(world->sip_count + 3 * desired->n_sips + desired->n_channels),
        .text = text,
        .text_capacity = text_capacity,
    };
    sf_status status = SF_OK;

    if (planner.items == NULL || planner.edges == NULL || planner.plan == NULL) {
        snprintf(text, text_capacity, "no memory left");
        status = SF_NOMEM;
    }
    if (status == SF_OK) {
        check_all(&planner);
    }
    if (status == SF_OK && planner.error_count == 0) {
        decide_keeping(&planner);
        place_all(&planner);
    }
    if (status == SF_OK && planner.error_count == 0) {
        check_links(&planner);
    }
    if (status == SF_OK && planner.error_count == 0) {
        add_actions(&planner);
        *out_plan = planner.plan;
        planner.plan = NULL;
    } else if (status == SF_OK) {
        status = planner.status;
    }
    if (planner.error_count > PLAN_ERRORS_MAX) {
        append(text, text_capacity, &planner.text_bytes, "\nand %u more errors",
               planner.error_count - PLAN_ERRORS_MAX);
    }
    plan_free(planner.plan);
    free(planner.items);
    free(planner.edges);
    return status;
}

sf_status plan_stop(const struct world *world, const struct world_graph *graph, uint64_t sip_first,
                    const char *why, struct plan **out_plan)
{
    struct plan *plan = plan_new(world->sip_count);
    uint32_t index = world->sip_count;

    if (plan == NULL) {
        return SF_NOMEM;
    }
    while (index-- > 0) {
        const struct world_sip *sip = world->sips[index];
        if (sip->graph == graph && sip->number >= sip_first && world_sip_live(sip)) {
            add_stop(world, plan, sip, why);
            plan->stopped += 1;
        }
    }
    *out_plan = plan;
    return SF_OK;
}

void plan_free(struct plan *plan)
{
    if (plan != NULL) {
        free(plan->actions);
        free(plan);
    }
}
