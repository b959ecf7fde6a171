/* SPDX-License-Identifier: Apache-2.0 */
#include "plan_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    if (made->cpu_percent != item->spec->cpu_percent) {
        return "its cpu quota changed";
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

static void keep_out_of_scope(struct planner *planner)
{
    size_t index;

    for (index = 0; index < planner->desired->n_sips; index++) {
        struct item *item = &planner->items[index];
        item->keep = !plan__in_scope(planner, item);
        item->why = planner->why;
        item->node = item->keep && item->observed != NULL ? item->observed->node : NULL;
    }
}

static void decide_keeping(struct planner *planner)
{
    bool changed = true;
    size_t index;

    if (planner->scope != SCOPE_CHANGED) {
        keep_out_of_scope(planner);
        return;
    }
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
    item = plan__item_find(planner, sip->name);
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
        plan__append(text, capacity, bytes, "%s%s %s", *bytes > 0 ? ", " : "", node->name,
                     node->stage == WORLD_LOST ? "is lost" : "has not joined yet");
        return false;
    }
    if (node->cordoned) {
        plan__append(text, capacity, bytes, "%s%s is cordoned", *bytes > 0 ? ", " : "", node->name);
        return false;
    }
    measure(planner, node, &sips, &used_bytes);
    if (sips >= world_slot_count(node->id)) {
        plan__append(text, capacity, bytes, "%s%s has no slot left (of %u)", *bytes > 0 ? ", " : "",
                     node->name, world_slot_count(node->id));
        return false;
    }
    if (used_bytes + item->ports->memory_bytes > room) {
        plan__append(text, capacity, bytes, "%s%s has %" PRIu64 " MiB left, needs %" PRIu64 " MiB",
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

    if (planner->scope != SCOPE_CHANGED && wanted[0] == '\0' && item->observed != NULL &&
        fits(planner, item, item->observed->node, reasons, sizeof(reasons), &bytes)) {
        item->node = item->observed->node;
        return;
    }
    bytes = 0;
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
    plan__refuse(planner, SF_LIMIT, item->spec->line, "SIP '%s' does not fit on %s: %s",
                 item->spec->name, wanted[0] != '\0' ? "its node" : "any node",
                 bytes > 0 ? reasons : "there is no node");
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
            plan__refuse(planner, SF_AGAIN, planner->desired->channels[index]->line,
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

/* Whose channels of other graphs end when `sip` does. again: it is made again. */
static void note_importers(const struct world *world, struct plan *plan,
                           const struct world_sip *sip, bool again)
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
            if (other->exporters[channel] != sip->number) {
                continue;
            }
            plan__append(
                plan->notes, sizeof(plan->notes), &bytes,
                "%schannel %s of graph %s loses its exporter %s; %s", bytes > 0 ? "\n" : "",
                other->made->channels[channel]->importer, other->graph->name, sip->name,
                again ? "it is wired again to the new one" : "it is wired again when there is one");
        }
    }
}

static void add_stop(const struct world *world, struct plan *plan, const struct world_sip *sip,
                     const char *why, bool again)
{
    struct plan_action *action = add_action(plan, PLAN_STOP, sip->node);

    action->sip = sip->number;
    action->why = why;
    note_importers(world, plan, sip, again);
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
        item = plan__item_find(planner, sip->name);
        if (item == NULL) {
            add_stop(planner->world, planner->plan, sip, "it is not in the graph any more", false);
            planner->plan->stopped += 1;
        } else if (!item->keep) {
            add_stop(planner->world, planner->plan, sip, item->why, true);
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

/* Importers that go on get new channels to the exporters that are made again. */
static void add_rewires(struct planner *planner)
{
    const struct world *world = planner->world;
    uint32_t index;
    size_t channel;

    for (index = 0; index < world->sip_count; index++) {
        const struct world_sip *sip = world->sips[index];
        for (channel = 0; channel < sip->made->n_channels; channel++) {
            char exporter[ORCH_NAME_BYTES_MAX + 1];
            char port[ORCH_NAME_BYTES_MAX + 1];
            struct plan_action *action;
            const struct item *item = NULL;

            if (orch_port_split(sip->made->channels[channel]->exporter, exporter, port)) {
                item = plan__item_find(planner, exporter);
            }
            if (item == NULL || item->keep || !stays(planner, sip) ||
                sip->state != SF__CONTROL__SIP_STATE__RUNNING) {
                continue;
            }
            action = add_action(planner->plan, PLAN_REWIRE, sip->node);
            action->sip = sip->number;
            action->channel = (uint32_t)channel;
            action->exporter_node = item->node->id;
        }
    }
}

/* --- entry --------------------------------------------------------------------------------------
 */

static size_t action_count_max(const struct planner *planner)
{
    const struct world *world = planner->world;
    size_t count = 3 * planner->desired->n_sips + planner->desired->n_channels + world->sip_count;
    uint32_t index;

    for (index = 0; index < world->sip_count; index++) {
        count += world->sips[index]->made->n_channels;
    }
    return count;
}

static sf_status decide(struct planner *planner, struct plan **out_plan)
{
    plan__check(planner);
    if (planner->error_count == 0) {
        decide_keeping(planner);
        place_all(planner);
    }
    if (planner->error_count == 0) {
        check_links(planner);
    }
    if (planner->error_count > PLAN_ERRORS_MAX) {
        plan__append(planner->text, planner->text_capacity, &planner->text_bytes,
                     "\nand %u more errors", planner->error_count - PLAN_ERRORS_MAX);
    }
    if (planner->error_count > 0) {
        return planner->status;
    }
    add_actions(planner);
    add_rewires(planner);
    *out_plan = planner->plan;
    planner->plan = NULL;
    return SF_OK;
}

/* The rest of *planner is set. */
static sf_status make(struct planner *planner, struct plan **out_plan)
{
    const Sf__Control__Graph *desired = planner->desired;
    sf_status status = SF_NOMEM;

    planner->graph = world_graph_find(planner->world, desired->name);
    planner->items = calloc(desired->n_sips + 1, sizeof(*planner->items));
    planner->edges = calloc(desired->n_channels + 1, sizeof(*planner->edges));
    planner->plan = plan_new(action_count_max(planner));
    if (planner->items == NULL || planner->edges == NULL || planner->plan == NULL) {
        snprintf(planner->text, planner->text_capacity, "no memory left");
    } else {
        status = decide(planner, out_plan);
    }
    plan_free(planner->plan);
    free(planner->items);
    free(planner->edges);
    return status;
}

sf_status plan_make(const struct world *world, const Sf__Control__Graph *desired,
                    struct plan **out_plan, char *text, size_t text_capacity)
{
    struct planner planner = {
        .world = world, .desired = desired, .text = text, .text_capacity = text_capacity};

    return make(&planner, out_plan);
}

sf_status plan_restart(const struct world *world, const struct world_graph *graph,
                       struct world_sip *const *sips, uint32_t sip_count, struct plan **out_plan,
                       char *text, size_t text_capacity)
{
    struct planner planner = {.world = world,
                              .desired = graph->desired,
                              .scope = SCOPE_ONLY,
                              .only = sips,
                              .only_count = sip_count,
                              .text = text,
                              .text_capacity = text_capacity};

    return make(&planner, out_plan);
}

sf_status plan_again(const struct world *world, const struct world_graph *graph, const char *why,
                     struct plan **out_plan, char *text, size_t text_capacity)
{
    struct planner planner = {.world = world,
                              .desired = graph->desired,
                              .scope = SCOPE_ALL,
                              .why = why,
                              .text = text,
                              .text_capacity = text_capacity};

    return make(&planner, out_plan);
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
            add_stop(world, plan, sip, why, false);
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
