/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/copy.h"

/* Appends one pointer to a list. False: no memory, list as it was. */
static bool list_add(void ***list, uint32_t *count, void *item)
{
    void **larger = realloc(*list, ((size_t)*count + 1) * sizeof(void *));

    if (larger == NULL) {
        return false;
    }
    larger[*count] = item;
    *list = larger;
    *count += 1;
    return true;
}

static void list_remove(void **list, uint32_t *count, uint32_t index)
{
    assert(index < *count);
    memmove(&list[index], &list[index + 1], (*count - index - 1) * sizeof(void *));
    *count -= 1;
}

/* --- logs ---------------------------------------------------------------------------------------
 */

static void log_fini(struct world_log *log)
{
    uint32_t index;

    for (index = 0; log->lines != NULL && index < WORLD_LOG_LINES_MAX; index++) {
        free(log->lines[index].text);
    }
    free(log->lines);
    memset(log, 0, sizeof(*log));
}

static void log_add_line(struct world_log *log, uint64_t time_ms, const char *text, size_t bytes)
{
    struct world_log_line *line;
    char *copy;

    if (log->lines == NULL) {
        log->lines = calloc(WORLD_LOG_LINES_MAX, sizeof(*log->lines));
    }
    copy = strndup(text, bytes < WORLD_LOG_BYTES_MAX ? bytes : WORLD_LOG_BYTES_MAX);
    if (log->lines == NULL || copy == NULL) {
        free(copy);
        return;
    }
    log->last += 1;
    line = &log->lines[(log->last - 1) % WORLD_LOG_LINES_MAX];
    free(line->text);
    line->text = copy;
    line->time_ms = time_ms;
}

void world_log_add(struct world_log *log, uint64_t time_ms, const char *text)
{
    while (*text != '\0') {
        size_t bytes = strcspn(text, "\n");
        log_add_line(log, time_ms, text, bytes);
        text += bytes;
        text += *text == '\n';
    }
}

uint64_t world_log_first(const struct world_log *log)
{
    return log->last > WORLD_LOG_LINES_MAX ? log->last - WORLD_LOG_LINES_MAX + 1 : 1;
}

const struct world_log_line *world_log_line(const struct world_log *log, uint64_t number)
{
    if (number < world_log_first(log) || number > log->last) {
        return NULL;
    }
    return &log->lines[(number - 1) % WORLD_LOG_LINES_MAX];
}

/* --- life ---------------------------------------------------------------------------------------
 */

void world_init(struct world *world)
{
    memset(world, 0, sizeof(*world));
}

static void sip_free(struct world_sip *sip)
{
    if (sip->made != NULL) {
        sf__control__graph__free_unpacked(sip->made, NULL);
    }
    free(sip->exporters);
    log_fini(&sip->log);
    free(sip);
}

static void image_free(struct world_image *image)
{
    free(image->bytes);
    free(image);
}

void world_fini(struct world *world)
{
    uint32_t index;

    while (world->graph_count > 0) {
        world_graph_drop(world, world->graphs[0]);
    }
    for (index = 0; index < world->node_count; index++) {
        log_fini(&world->nodes[index]->log);
        free(world->nodes[index]->peers_alive);
        free(world->nodes[index]->images);
        free(world->nodes[index]);
    }
    for (index = 0; index < world->image_count; index++) {
        image_free(world->images[index]);
    }
    for (index = 0; index < world->pair_count; index++) {
        free(world->pairs[index]);
    }
    free(world->nodes);
    free(world->images);
    free(world->graphs);
    free(world->sips);
    free(world->pairs);
    memset(world, 0, sizeof(*world));
}

/* --- nodes --------------------------------------------------------------------------------------
 */

struct world_node *world_node_find(const struct world *world, const char *name)
{
    uint32_t index;

    for (index = 0; index < world->node_count; index++) {
        if (strcmp(world->nodes[index]->name, name) == 0) {
            return world->nodes[index];
        }
    }
    return NULL;
}

struct world_node *world_node_by_id(const struct world *world, uint32_t id)
{
    uint32_t index;

    for (index = 0; index < world->node_count; index++) {
        if (world->nodes[index]->id == id) {
            return world->nodes[index];
        }
    }
    return NULL;
}

struct world_node *world_node_add(struct world *world, const char *name, uint16_t id)
{
    struct world_node *node;
    uint32_t index;

    assert(id >= 1 && id <= WORLD_NODES_MAX);
    assert(world_node_by_id(world, id) == NULL);
    node = calloc(1, sizeof(*node));
    if (node == NULL || !list_add((void ***)&world->nodes, &world->node_count, node)) {
        free(node);
        return NULL;
    }
    node->id = id;
    snprintf(node->name, sizeof(node->name), "%s", name);
    for (index = world->node_count - 1; index > 0 && world->nodes[index - 1]->id > id; index--) {
        world->nodes[index] = world->nodes[index - 1];
    }
    world->nodes[index] = node;
    return node;
}

bool world_node_has_image(const struct world_node *node, const struct world_image *image)
{
    uint32_t index;

    for (index = 0; index < node->image_count; index++) {
        if (node->images[index] == image) {
            return true;
        }
    }
    return false;
}

sf_status world_node_image_add(struct world_node *node, const struct world_image *image)
{
    if (world_node_has_image(node, image)) {
        return SF_OK;
    }
    return list_add((void ***)&node->images, &node->image_count, (void *)image) ? SF_OK : SF_NOMEM;
}

const char *world_stage_name(enum world_stage stage)
{
    switch (stage) {
    case WORLD_EXPECTED:
        return "expected";
    case WORLD_JOINED:
        return "joined";
    case WORLD_LOST:
        return "lost";
    }
    return "?";
}

/* --- images and services ------------------------------------------------------------------------
 */

struct world_image *world_image_find(const struct world *world, const uint8_t *digest)
{
    uint32_t index;

    for (index = 0; index < world->image_count; index++) {
        if (memcmp(world->images[index]->digest, digest, WORLD_DIGEST_BYTES) == 0) {
            world->images[index]->used = world->image_uses;
            return world->images[index];
        }
    }
    return NULL;
}

sf_status world_image_add(struct world *world, const uint8_t *digest, uint8_t *bytes, size_t length,
                          const struct world_ports *ports)
{
    struct world_image *image = calloc(1, sizeof(*image));

    if (image == NULL || !list_add((void ***)&world->images, &world->image_count, image)) {
        free(image);
        return SF_NOMEM;
    }
    memcpy(image->digest, digest, WORLD_DIGEST_BYTES);
    image->bytes = bytes;
    image->length = length;
    image->ports = *ports;
    image->used = ++world->image_uses;
    return SF_OK;
}

static bool image_in_use(const struct world *world, const struct world_image *image)
{
    uint32_t index;

    for (index = 0; index < world->sip_count; index++) {
        const ProtobufCBinaryData *digest = &world->sips[index]->made->sips[0]->image;
        if (digest->len == WORLD_DIGEST_BYTES &&
            memcmp(digest->data, image->digest, WORLD_DIGEST_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

static void forget_image(struct world *world, const struct world_image *image)
{
    uint32_t node;
    uint32_t index;

    for (node = 0; node < world->node_count; node++) {
        struct world_node *holder = world->nodes[node];
        for (index = 0; index < holder->image_count; index++) {
            if (holder->images[index] == image) {
                list_remove((void **)holder->images, &holder->image_count, index);
                break;
            }
        }
    }
}

void world_images_trim(struct world *world, uint64_t limit_bytes)
{
    for (;;) {
        uint64_t total = 0;
        uint32_t oldest = UINT32_MAX;
        uint32_t index;

        for (index = 0; index < world->image_count; index++) {
            const struct world_image *image = world->images[index];
            total += image->length;
            if (!image_in_use(world, image) &&
                (oldest == UINT32_MAX || image->used < world->images[oldest]->used)) {
                oldest = index;
            }
        }
        if (total <= limit_bytes || oldest == UINT32_MAX) {
            return;
        }
        forget_image(world, world->images[oldest]);
        image_free(world->images[oldest]);
        list_remove((void **)world->images, &world->image_count, oldest);
    }
}

const struct world_service *world_service_find(const struct world *world, const char *name)
{
    uint32_t index;

    for (index = 0; index < world->service_count; index++) {
        if (strcmp(world->services[index].name, name) == 0) {
            return &world->services[index];
        }
    }
    return NULL;
}

const struct world_ports *world_ports_of(const struct world *world,
                                         const Sf__Control__GraphSip *spec)
{
    const struct world_service *service;
    const struct world_image *image;

    if (spec->service[0] != '\0') {
        service = world_service_find(world, spec->service);
        return service != NULL ? &service->ports : NULL;
    }
    if (spec->image.len != WORLD_DIGEST_BYTES) {
        return NULL;
    }
    image = world_image_find(world, spec->image.data);
    return image != NULL ? &image->ports : NULL;
}

/* --- graphs -------------------------------------------------------------------------------------
 */

Sf__Control__Graph *world_graph_copy(const Sf__Control__Graph *graph)
{
    return (Sf__Control__Graph *)control_copy(&graph->base);
}

struct world_graph *world_graph_find(const struct world *world, const char *name)
{
    uint32_t index;

    for (index = 0; index < world->graph_count; index++) {
        if (strcmp(world->graphs[index]->name, name) == 0) {
            return world->graphs[index];
        }
    }
    return NULL;
}

struct world_graph *world_graph_add(struct world *world, const char *name)
{
    struct world_graph *graph = calloc(1, sizeof(*graph));

    if (graph == NULL || !list_add((void ***)&world->graphs, &world->graph_count, graph)) {
        free(graph);
        return NULL;
    }
    snprintf(graph->name, sizeof(graph->name), "%s", name);
    return graph;
}

void world_graph_drop(struct world *world, struct world_graph *graph)
{
    uint32_t index = 0;

    while (index < world->sip_count) {
        if (world->sips[index]->graph == graph) {
            sip_free(world->sips[index]);
            list_remove((void **)world->sips, &world->sip_count, index);
        } else {
            index += 1;
        }
    }
    for (index = 0; world->graphs[index] != graph; index++) {
        assert(index + 1 < world->graph_count);
    }
    list_remove((void **)world->graphs, &world->graph_count, index);
    if (graph->desired != NULL) {
        sf__control__graph__free_unpacked(graph->desired, NULL);
    }
    free(graph);
}

void world_graph_complete(const struct world *world, Sf__Control__Graph *desired)
{
    size_t index;
    size_t spec;

    for (index = 0; index < desired->n_channels; index++) {
        char **exporter = &desired->channels[index]->exporter;
        const struct world_sip *sip = world_sip_find(world, *exporter);
        const struct world_ports *ports = NULL;
        char *full = NULL;

        if (strchr(*exporter, '.') != NULL) {
            continue;
        }
        for (spec = 0; spec < desired->n_sips; spec++) {
            if (strcmp(desired->sips[spec]->name, *exporter) == 0) {
                ports = world_ports_of(world, desired->sips[spec]);
            }
        }
        if (ports == NULL && sip != NULL) {
            ports = world_ports_of(world, sip->made->sips[0]);
        }
        if (ports != NULL && ports->export_count == 1 &&
            asprintf(&full, "%s.%s", *exporter, ports->exports[0].name) > 0) {
            if (*exporter != protobuf_c_empty_string) {
                free(*exporter);
            }
            *exporter = full;
        }
    }
}

/* --- SIPs ---------------------------------------------------------------------------------------
 */

bool world_sip_live(const struct world_sip *sip)
{
    return sip->state == SF__CONTROL__SIP_STATE__CREATED ||
           sip->state == SF__CONTROL__SIP_STATE__RUNNING;
}

struct world_sip *world_sip_find(const struct world *world, const char *name)
{
    struct world_sip *found = NULL;
    uint32_t index;

    for (index = 0; index < world->sip_count; index++) {
        struct world_sip *sip = world->sips[index];
        if (strcmp(sip->name, name) != 0) {
            continue;
        }
        if (world_sip_live(sip)) {
            return sip;
        }
        if (found == NULL || sip->number > found->number) {
            found = sip;
        }
    }
    return found;
}

struct world_sip *world_sip_in_graph(const struct world *world, const struct world_graph *graph,
                                     const char *name)
{
    uint32_t index;

    for (index = 0; index < world->sip_count; index++) {
        if (world->sips[index]->graph == graph && strcmp(world->sips[index]->name, name) == 0) {
            return world->sips[index];
        }
    }
    return NULL;
}

struct world_sip *world_sip_by_number(const struct world *world, uint64_t number)
{
    uint32_t index;

    for (index = 0; index < world->sip_count; index++) {
        if (world->sips[index]->number == number) {
            return world->sips[index];
        }
    }
    return NULL;
}

uint32_t world_sips_live_on(const struct world *world, const struct world_node *node)
{
    uint32_t count = 0;
    uint32_t index;

    for (index = 0; index < world->sip_count; index++) {
        count += world->sips[index]->node == node && world_sip_live(world->sips[index]);
    }
    return count;
}

/* The part of `desired` that `spec` is made from. */
static Sf__Control__Graph *copy_part(const Sf__Control__Graph *desired,
                                     const Sf__Control__GraphSip *spec)
{
    Sf__Control__Graph part = SF__CONTROL__GRAPH__INIT;
    Sf__Control__GraphSip *one[1] = {(Sf__Control__GraphSip *)spec};
    Sf__Control__Graph *copy;
    size_t name_bytes = strlen(spec->name);
    size_t index;

    part.name = desired->name;
    part.path = desired->path;
    part.sips = one;
    part.n_sips = 1;
    part.channels = calloc(desired->n_channels + 1, sizeof(*part.channels));
    if (part.channels == NULL) {
        return NULL;
    }
    for (index = 0; index < desired->n_channels; index++) {
        const char *importer = desired->channels[index]->importer;
        if (strncmp(importer, spec->name, name_bytes) == 0 && importer[name_bytes] == '.') {
            part.channels[part.n_channels++] = desired->channels[index];
        }
    }
    copy = world_graph_copy(&part);
    free(part.channels);
    return copy;
}

struct world_sip *world_sip_make(struct world *world, struct world_graph *graph,
                                 const Sf__Control__Graph *desired,
                                 const Sf__Control__GraphSip *spec, struct world_node *node,
                                 uint64_t number, uint64_t now_ms)
{
    struct world_sip *sip = world_sip_in_graph(world, graph, spec->name);
    const struct world_ports *ports = world_ports_of(world, spec);
    Sf__Control__Graph *made = copy_part(desired, spec);
    uint64_t *exporters = NULL;

    assert(sip == NULL || !world_sip_live(sip));
    if (made != NULL) {
        exporters = calloc(made->n_channels + 1, sizeof(*exporters));
    }
    if (exporters != NULL && sip == NULL) {
        sip = calloc(1, sizeof(*sip));
        if (sip != NULL && !list_add((void ***)&world->sips, &world->sip_count, sip)) {
            free(sip);
            sip = NULL;
        }
    }
    if (exporters == NULL || sip == NULL) {
        free(exporters);
        if (made != NULL) {
            sf__control__graph__free_unpacked(made, NULL);
        }
        return NULL;
    }
    if (sip->made != NULL) {
        sf__control__graph__free_unpacked(sip->made, NULL);
        free(sip->exporters);
    }
    snprintf(sip->name, sizeof(sip->name), "%s", spec->name);
    sip->number = number;
    sip->graph = graph;
    sip->node = node;
    sip->state = SF__CONTROL__SIP_STATE__CREATED;
    sip->exit_code = 0;
    sip->cause = SF_CAUSE_OF(NONE);
    sip->cause_text[0] = '\0';
    sip->memory_bytes = ports != NULL ? ports->memory_bytes : 0;
    sip->created_ms = now_ms;
    sip->made = made;
    sip->exporters = exporters;
    sip->restart = SF__CONTROL__SIP_INFO__RESTART__NONE;
    sip->restart_text[0] = '\0';
    sip->restart_unjudged = false;
    return sip;
}

void world_sip_forgive(struct world_sip *sip)
{
    memset(&sip->supervise, 0, sizeof(sip->supervise));
    sip->restarts = 0;
}

void world_sip_wired(struct world_sip *sip, const char *importer, uint64_t exporter)
{
    size_t index;

    for (index = 0; index < sip->made->n_channels; index++) {
        if (strcmp(sip->made->channels[index]->importer, importer) == 0) {
            sip->exporters[index] = exporter;
        }
    }
}

void world_sip_drop(struct world *world, struct world_sip *sip)
{
    uint32_t index;

    assert(!world_sip_live(sip));
    for (index = 0; world->sips[index] != sip; index++) {
        assert(index + 1 < world->sip_count);
    }
    list_remove((void **)world->sips, &world->sip_count, index);
    sip_free(sip);
}

void world_sip_end(struct world_sip *sip, Sf__Control__SipState state, int32_t exit_code,
                   struct sf_cause cause, const char *cause_text)
{
    bool ran = sip->state == SF__CONTROL__SIP_STATE__RUNNING;

    sip->state = state;
    sip->exit_code = exit_code;
    sip->cause = cause;
    snprintf(sip->cause_text, sizeof(sip->cause_text), "%s", cause_text);
    switch (state) {
    case SF__CONTROL__SIP_STATE__EXITED:
        snprintf(sip->last_end, sizeof(sip->last_end), "exited %d", exit_code);
        break;
    case SF__CONTROL__SIP_STATE__FAULTED:
        snprintf(sip->last_end, sizeof(sip->last_end), "faulted: %s", sf_fault_text(cause.fault));
        break;
    case SF__CONTROL__SIP_STATE__LOST:
        snprintf(sip->last_end, sizeof(sip->last_end), "lost with %s", sip->node->name);
        break;
    default:
        if (ran) {
            snprintf(sip->last_end, sizeof(sip->last_end), "stopped: %.80s", cause_text);
        }
        break;
    }
}

void world_graph_drop_remains(struct world *world, struct world_graph *graph, uint64_t sip_first)
{
    uint32_t index = 0;
    size_t spec;

    if (graph->desired == NULL) {
        for (index = 0; index < world->sip_count; index++) {
            if (world->sips[index]->graph == graph && world_sip_live(world->sips[index])) {
                return; /* could not be stopped: it stays to be seen and deleted */
            }
        }
        world_graph_drop(world, graph);
        return;
    }
    while (index < world->sip_count) {
        struct world_sip *sip = world->sips[index];
        for (spec = 0; spec < graph->desired->n_sips; spec++) {
            if (strcmp(graph->desired->sips[spec]->name, sip->name) == 0) {
                break;
            }
        }
        if (sip->graph == graph && sip->number >= sip_first && !world_sip_live(sip) &&
            spec == graph->desired->n_sips) {
            world_sip_drop(world, sip);
        } else {
            index += 1;
        }
    }
}

/* --- pairs --------------------------------------------------------------------------------------
 */

struct world_pair *world_pair_find(const struct world *world, uint16_t a, uint16_t b)
{
    uint16_t low = a < b ? a : b;
    uint16_t high = a < b ? b : a;
    uint32_t index;

    for (index = 0; index < world->pair_count; index++) {
        if (world->pairs[index]->a == low && world->pairs[index]->b == high) {
            return world->pairs[index];
        }
    }
    return NULL;
}

struct world_pair *world_pair_get(struct world *world, uint16_t a, uint16_t b)
{
    struct world_pair *pair = world_pair_find(world, a, b);

    if (pair != NULL) {
        return pair;
    }
    pair = calloc(1, sizeof(*pair));
    if (pair == NULL || !list_add((void ***)&world->pairs, &world->pair_count, pair)) {
        free(pair);
        return NULL;
    }
    pair->a = a < b ? a : b;
    pair->b = a < b ? b : a;
    return pair;
}
