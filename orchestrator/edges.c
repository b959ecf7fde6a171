/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edges.c - what `get channels` shows, and which channel a name means: every node is asked for its
 * endpoints, and the two ends of each channel are joined by their ids, which are unique in the
 * cell.
 *
 * An edge that a graph names is shown even if its importer has no endpoint for it (any more): with
 * the cause its end is known by. Channels that SIPs made at run time have no graph.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edges.h"

#define EDGES_MAX 16384u
#define SESSIONS_MAX 16384u

/* Text of one EdgeInfo that is not kept elsewhere. */
struct row {
    Sf__Control__EdgeInfo info;
    Sf__Control__Cause cause;
    char importer[EDGE_NAME_BYTES];
    char exporter[EDGE_NAME_BYTES];
};

struct table {
    struct row *rows;
    Sf__Control__EdgeInfo **infos;
    uint32_t count;
};

/* --- joining ------------------------------------------------------------------------------------
 */

static int by_id(const void *a, const void *b)
{
    const Sf__Control__ChannelInfo *x = *(const Sf__Control__ChannelInfo *const *)a;
    const Sf__Control__ChannelInfo *y = *(const Sf__Control__ChannelInfo *const *)b;

    return (x->id > y->id) - (x->id < y->id);
}

bool edges__ends_sort(struct gather *gather)
{
    size_t count = 0;
    uint32_t reply;
    size_t index;

    for (reply = 0; reply < gather->reply_count; reply++) {
        count += gather->replies[reply]->channel_list->n_channels;
    }
    gather->ends = calloc(count + 1, sizeof(*gather->ends));
    for (reply = 0; gather->ends != NULL && reply < gather->reply_count; reply++) {
        const Sf__Control__ChannelList *list = gather->replies[reply]->channel_list;
        for (index = 0; index < list->n_channels; index++) {
            gather->ends[gather->end_count++] = list->channels[index];
        }
    }
    if (gather->ends != NULL) {
        qsort(gather->ends, gather->end_count, sizeof(*gather->ends), by_id);
    }
    return gather->ends != NULL;
}

const Sf__Control__ChannelInfo *edges__end_find(const struct gather *gather, uint64_t id)
{
    const Sf__Control__ChannelInfo *found = NULL;
    size_t low = 0;
    size_t high = gather->end_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (gather->ends[middle]->id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; id != 0 && low < gather->end_count && gather->ends[low]->id == id; low++) {
        if (!gather->ends[low]->arriving && (found == NULL || found->sip == 0)) {
            found = gather->ends[low];
        }
    }
    return found;
}

static const char *node_name(const struct gather *gather, uint32_t id)
{
    const struct world_node *node = world_node_by_id(&gather->daemon->world, id);

    return node != NULL ? node->name : "?";
}

/* An endpoint without a SIP is held by the node's only service, as far as one can tell. */
static const char *holder_name(const struct gather *gather, const Sf__Control__ChannelInfo *end)
{
    const struct world *world = &gather->daemon->world;
    const struct world_sip *sip = end->sip != 0 ? world_sip_by_number(world, end->sip) : NULL;
    const struct world_sip *only = NULL;
    uint32_t index;

    if (sip != NULL) {
        return sip->name;
    }
    for (index = 0; end->sip == 0 && index < world->sip_count; index++) {
        sip = world->sips[index];
        if (sip->node->id == end->node && world_sip_live(sip) &&
            sip->made->sips[0]->service[0] != '\0') {
            if (only != NULL) {
                return "(kernel)";
            }
            only = sip;
        }
    }
    return only != NULL ? only->name : "(kernel)";
}

static void write_holder(const struct gather *gather, const Sf__Control__ChannelInfo *end,
                         char *buffer, size_t capacity)
{
    snprintf(buffer, capacity, "%s%s%s", holder_name(gather, end), end->port[0] != '\0' ? "." : "",
             end->port);
}

static struct row *add_row(struct table *table)
{
    struct row *row = &table->rows[table->count];

    sf__control__edge_info__init(&row->info);
    sf__control__cause__init(&row->cause);
    row->info.importer = row->importer;
    row->info.exporter = row->exporter;
    table->infos[table->count++] = &row->info;
    return row;
}

static void fill_from_end(const struct gather *gather, struct row *row,
                          const Sf__Control__ChannelInfo *end)
{
    const Sf__Control__ChannelInfo *peer = edges__end_find(gather, end->peer_id);
    bool imports = strcmp(end->side, "imp") == 0;

    row->info.importer_end = imports ? end->stats : peer != NULL ? peer->stats : NULL;
    row->info.exporter_end = !imports ? end->stats : peer != NULL ? peer->stats : NULL;
    row->info.id = end->id;
    row->info.peer_id = end->peer_id;
    row->info.contract = end->contract;
    row->info.state = end->state;
    row->info.driver = end->driver;
    row->info.sent = end->sent;
    row->info.received = end->received;
    row->info.queued = end->queued;
    row->info.cause = end->cause;
}

static void set_cause(struct row *row, struct sf_cause cause, const char *text)
{
    row->cause.kind = cause.kind;
    row->cause.fault = cause.fault;
    row->cause.state = cause.state;
    row->cause.tag = cause.tag;
    row->cause.text = (char *)text;
    row->info.cause = &row->cause;
}

/* --- edges that graphs name ---------------------------------------------------------------------
 */

/* An importer that was wired again may still hold the end before: the open one counts. */
static const Sf__Control__ChannelInfo *find_import(const struct gather *gather, uint64_t sip,
                                                   const char *port)
{
    const Sf__Control__ChannelInfo *found = NULL;
    uint32_t reply;
    size_t index;

    for (reply = 0; reply < gather->reply_count; reply++) {
        const Sf__Control__ChannelList *list = gather->replies[reply]->channel_list;
        for (index = 0; index < list->n_channels; index++) {
            const Sf__Control__ChannelInfo *end = list->channels[index];
            if (end->sip == sip && strcmp(end->side, "imp") == 0 && strcmp(end->port, port) == 0 &&
                (found == NULL || end->cause == NULL || end->cause->kind == SF_CAUSE_NONE)) {
                found = end;
            }
        }
    }
    return found;
}

static bool is_silent(const struct gather *gather, const struct world_node *node)
{
    uint32_t index;

    for (index = 0; index < gather->silent_count; index++) {
        if (gather->silent[index] == node->id) {
            return true;
        }
    }
    return false;
}

/* The importer has no endpoint for it: why? */
static void explain_missing(const struct gather *gather, struct row *row,
                            const struct world_sip *importer, const struct world_sip *exporter)
{
    row->info.state = (char *)"closed";
    if (!world_sip_live(importer)) {
        set_cause(row, importer->cause, importer->cause_text);
    } else if (is_silent(gather, importer->node)) {
        row->info.state = (char *)"?";
        set_cause(row, SF_CAUSE_OF(NONE), "the node does not answer");
    } else if (exporter != NULL && !world_sip_live(exporter)) {
        set_cause(row, exporter->cause, exporter->cause_text);
    } else {
        set_cause(row, SF_CAUSE_OF(NONE), "given up or sent away by the importer");
    }
}

static const char *contract_of(const struct gather *gather, const struct world_sip *sip,
                               const char *port)
{
    const struct world_ports *ports = world_ports_of(&gather->daemon->world, sip->made->sips[0]);
    uint32_t index;

    for (index = 0; ports != NULL && index < ports->import_count; index++) {
        if (strcmp(ports->imports[index].name, port) == 0) {
            return ports->imports[index].contract;
        }
    }
    return "";
}

static void add_wired(const struct gather *gather, struct table *table,
                      const struct world_sip *importer, size_t channel)
{
    const Sf__Control__GraphChannel *made = importer->made->channels[channel];
    const char *port = strchr(made->importer, '.') + 1;
    const struct world_sip *exporter =
        world_sip_by_number(&gather->daemon->world, importer->exporters[channel]);
    const Sf__Control__ChannelInfo *end = find_import(gather, importer->number, port);
    struct row *row;

    if (table->count >= EDGES_MAX) {
        return;
    }
    row = add_row(table);
    snprintf(row->importer, sizeof(row->importer), "%s", made->importer);
    snprintf(row->exporter, sizeof(row->exporter), "%s", made->exporter);
    row->info.graph = importer->graph->name;
    row->info.importer_node = importer->node->name;
    row->info.exporter_node = exporter != NULL ? exporter->node->name : (char *)"?";
    if (end != NULL) {
        fill_from_end(gather, row, end);
    } else {
        row->info.contract = (char *)contract_of(gather, importer, port);
        explain_missing(gather, row, importer, exporter);
    }
}

static bool is_wired(const struct gather *gather, const Sf__Control__ChannelInfo *end)
{
    const struct world_sip *sip = world_sip_by_number(&gather->daemon->world, end->sip);
    size_t index;

    for (index = 0; sip != NULL && end->port[0] != '\0' && index < sip->made->n_channels; index++) {
        if (strcmp(strchr(sip->made->channels[index]->importer, '.') + 1, end->port) == 0) {
            return true;
        }
    }
    return false;
}

/* --- channels made at run time ------------------------------------------------------------------
 */

static void add_made(const struct gather *gather, struct table *table,
                     const Sf__Control__ChannelInfo *end)
{
    bool imports = strcmp(end->side, "imp") == 0;
    const Sf__Control__ChannelInfo *peer = edges__end_find(gather, end->peer_id);
    struct row *row;
    char other[EDGE_NAME_BYTES] = "-";

    if (table->count >= EDGES_MAX || (imports ? is_wired(gather, end) : peer != NULL)) {
        return; /* an exporter's end is shown with its importer */
    }
    row = add_row(table);
    fill_from_end(gather, row, end);
    if (peer != NULL) {
        write_holder(gather, peer, other, sizeof(other));
    }
    write_holder(gather, end, imports ? row->importer : row->exporter, sizeof(row->importer));
    snprintf(imports ? row->exporter : row->importer, sizeof(row->importer), "%s", other);
    row->info.importer_node = (char *)node_name(gather, imports ? end->node : end->peer_node);
    row->info.exporter_node = (char *)node_name(gather, imports ? end->peer_node : end->node);
}

/* --- collecting ---------------------------------------------------------------------------------
 */

static bool table_init(struct table *table)
{
    *table = (struct table){
        .rows = calloc(EDGES_MAX, sizeof(*table->rows)),
        .infos = calloc(EDGES_MAX, sizeof(*table->infos)),
    };
    return table->rows != NULL && table->infos != NULL;
}

static void table_fini(struct table *table)
{
    free(table->rows);
    free(table->infos);
}

static void table_fill(const struct gather *gather, struct table *table)
{
    const struct world *world = &gather->daemon->world;
    uint32_t index;
    size_t item;

    for (index = 0; index < world->sip_count; index++) {
        for (item = 0; item < world->sips[index]->made->n_channels; item++) {
            add_wired(gather, table, world->sips[index], item);
        }
    }
    for (index = 0; index < gather->reply_count; index++) {
        const Sf__Control__ChannelList *reply = gather->replies[index]->channel_list;
        for (item = 0; item < reply->n_channels; item++) {
            add_made(gather, table, reply->channels[item]);
        }
    }
}

/* Nodes are named here; the rest is as they said it. */
static void list_nodes(const struct gather *gather, Sf__Control__EdgeList *list,
                       Sf__Control__SessionInfo **sessions, Sf__Control__NodeStats **nodes)
{
    uint32_t reply;
    size_t index;

    list->sessions = sessions;
    list->nodes = nodes;
    for (reply = 0; reply < gather->reply_count; reply++) {
        const Sf__Control__ChannelList *from = gather->replies[reply]->channel_list;
        for (index = 0; index < from->n_sessions && list->n_sessions < SESSIONS_MAX; index++) {
            Sf__Control__SessionInfo *session = &gather->sessions[list->n_sessions];
            *session = *from->sessions[index];
            session->node_name = (char *)node_name(gather, session->node);
            session->peer_name = (char *)node_name(gather, session->peer);
            sessions[list->n_sessions++] = session;
        }
        if (from->stats != NULL) {
            Sf__Control__NodeStats *node = &gather->nodes[list->n_nodes];
            *node = *from->stats;
            node->node_name = (char *)node_name(gather, node->node);
            nodes[list->n_nodes++] = node;
        }
    }
}

static void answer(struct gather *gather)
{
    struct console *console = console_by_number(gather->daemon, gather->console);
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__EdgeList list = SF__CONTROL__EDGE_LIST__INIT;
    Sf__Control__SessionInfo **sessions = calloc(SESSIONS_MAX, sizeof(*sessions));
    Sf__Control__NodeStats **nodes = calloc(gather->reply_count + 1, sizeof(*nodes));
    struct table table;

    gather->sessions = calloc(SESSIONS_MAX, sizeof(*gather->sessions));
    gather->nodes = calloc(gather->reply_count + 1, sizeof(*gather->nodes));
    if (console == NULL) {
        table = (struct table){0};
    } else if (!table_init(&table) || sessions == NULL || nodes == NULL ||
               gather->sessions == NULL || gather->nodes == NULL || !edges__ends_sort(gather)) {
        console_result(console, gather->request, SF_NOMEM, "no memory left");
    } else {
        table_fill(gather, &table);
        list_nodes(gather, &list, sessions, nodes);
        list.edges = table.infos;
        list.n_edges = table.count;
        envelope.body_case = SF__CONTROL__ENVELOPE__BODY_EDGE_LIST;
        envelope.edge_list = &list;
        console_send(console, gather->request, &envelope);
    }
    table_fini(&table);
    free(sessions);
    free(nodes);
}

static void finish(struct gather *gather)
{
    uint32_t index;

    gather->done(gather);
    for (index = 0; index < gather->reply_count; index++) {
        sf__control__envelope__free_unpacked(gather->replies[index], NULL);
    }
    free(gather->replies);
    free(gather->silent);
    free(gather->ends);
    free(gather->sessions);
    free(gather->nodes);
    free(gather);
}

/* --- which channel is meant ---------------------------------------------------------------------
 */

/* An endpoint's id as it is shown, 0 if the text is none. */
static uint64_t read_id(const char *text)
{
    char *end;
    unsigned long long id;

    if (strncmp(text, "channel/", 8) == 0) {
        text += 8;
    }
    if (text[0] == '\0' || strspn(text, "0123456789abcdef") != strlen(text) || strlen(text) > 16) {
        return 0;
    }
    id = strtoull(text, &end, 16);
    return *end == '\0' ? id : 0;
}

/* The end with that id comes first. */
static void fill_ends(const struct gather *gather, const Sf__Control__ChannelInfo *end,
                      const struct row *row, struct edge_ends *out_ends)
{
    const Sf__Control__ChannelInfo *peer = edges__end_find(gather, end->peer_id);

    *out_ends = (struct edge_ends){{end->id, peer != NULL ? peer->id : 0},
                                   {(uint16_t)end->node, (uint16_t)(peer != NULL ? peer->node : 0)},
                                   "",
                                   ""};
    snprintf(out_ends->importer, sizeof(out_ends->importer), "%s", row->importer);
    snprintf(out_ends->exporter, sizeof(out_ends->exporter), "%s", row->exporter);
}

/* The only row that is meant; NULL, and what to say. */
static const struct row *find_row(const struct gather *gather, const struct table *table,
                                  char *text, size_t capacity)
{
    uint64_t id = read_id(gather->wanted);
    const struct row *found = NULL;
    uint32_t count = 0;
    uint32_t index;

    for (index = 0; index < table->count; index++) {
        const struct row *row = &table->rows[index];

        if (id != 0 ? row->info.id == id || row->info.peer_id == id
                    : strcmp(row->importer, gather->wanted) == 0) {
            found = row;
            count += 1;
        }
    }
    if (count == 0) {
        snprintf(text, capacity,
                 "there is no channel '%.60s'; write its importer as in: fabricctl get channels; "
                 "or an id as in: fabricctl get channels -o wide",
                 gather->wanted);
    } else if (count > 1) {
        snprintf(text, capacity,
                 "%u channels are named %s; write an id as in: fabricctl get channels -o wide",
                 count, gather->wanted);
    } else if (found->info.id == 0) {
        snprintf(text, capacity, "channel %s is closed: %s", gather->wanted,
                 found->info.cause != NULL ? found->info.cause->text : "?");
    }
    return count == 1 && found->info.id != 0 ? found : NULL;
}

static void tell_found(struct gather *gather)
{
    char text[400] = "no memory left";
    const Sf__Control__ChannelInfo *end = NULL;
    const struct row *row = NULL;
    struct edge_ends ends;
    struct table table;

    if (table_init(&table) && edges__ends_sort(gather)) {
        table_fill(gather, &table);
        row = find_row(gather, &table, text, sizeof(text));
    }
    if (row != NULL) {
        uint64_t id = read_id(gather->wanted);

        end = edges__end_find(gather, id != 0 ? id : row->info.id);
        if (end == NULL) { /* the peer of one that is there */
            snprintf(text, sizeof(text), "endpoint %s is on no node that answers", gather->wanted);
        }
    }
    if (end != NULL) {
        fill_ends(gather, end, row, &ends);
    }
    table_fini(&table);
    gather->found(gather->daemon, gather->found_key, end != NULL ? SF_OK : SF_NOTFOUND, text,
                  end != NULL ? &ends : NULL);
}

/* --- asking -------------------------------------------------------------------------------------
 */

struct gather_ref {
    struct gather *gather; /* lives until all have answered */
    uint16_t node;
};

static void on_channels(void *arg, sf_status status, const char *text,
                        const Sf__Control__Envelope *reply)
{
    struct gather_ref *ref = arg;
    struct gather *gather = ref->gather;
    Sf__Control__Envelope *copy = NULL;

    (void)text;
    if (status == SF_OK && reply->body_case == SF__CONTROL__ENVELOPE__BODY_CHANNEL_LIST) {
        copy = control_envelope_copy(reply);
    }
    if (copy != NULL) {
        gather->replies[gather->reply_count++] = copy;
    } else {
        gather->silent[gather->silent_count++] = ref->node;
    }
    free(ref);
    gather->waiting -= 1;
    if (gather->waiting == 0) {
        finish(gather);
    }
}

static void ask_node(struct gather *gather, struct world_node *node)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__ChannelsGet body = SF__CONTROL__CHANNELS_GET__INIT;
    struct gather_ref *ref = calloc(1, sizeof(*ref));
    sf_status status = SF_NOMEM;

    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_CHANNELS_GET;
    body.audit = gather->audit;
    envelope.channels_get = &body;
    if (ref != NULL) {
        *ref = (struct gather_ref){gather, node->id};
        status =
            session_request(gather->daemon, node, &envelope, REQUEST_LOOK_MS, on_channels, ref);
    }
    if (status == SF_OK) {
        gather->waiting += 1;
    } else {
        gather->silent[gather->silent_count++] = node->id;
        free(ref);
    }
}

struct gather *edges__gather_make(struct daemon *daemon, void (*done)(struct gather *gather))
{
    struct gather *gather = calloc(1, sizeof(*gather));

    if (gather == NULL) {
        return NULL;
    }
    gather->daemon = daemon;
    gather->done = done;
    gather->replies = calloc(daemon->world.node_count + 1, sizeof(*gather->replies));
    gather->silent = calloc(daemon->world.node_count + 1, sizeof(*gather->silent));
    if (gather->replies == NULL || gather->silent == NULL) {
        free(gather->replies);
        free(gather->silent);
        free(gather);
        return NULL;
    }
    return gather;
}

void edges__gather_run(struct gather *gather)
{
    const struct world *world = &gather->daemon->world;
    uint32_t index;

    for (index = 0; index < world->node_count; index++) {
        if (world->nodes[index]->stage == WORLD_JOINED) {
            ask_node(gather, world->nodes[index]);
        }
    }
    if (gather->waiting == 0) {
        finish(gather);
    }
}

void edges_get(struct console *console, uint64_t request)
{
    struct gather *gather = edges__gather_make(console_daemon(console), answer);

    if (gather == NULL) {
        console_result(console, request, SF_NOMEM, "no memory left");
        return;
    }
    gather->console = console_number(console);
    gather->request = request;
    edges__gather_run(gather);
}

void edges_find(struct daemon *daemon, const char *wanted, edges_found found, uint64_t key)
{
    struct gather *gather = edges__gather_make(daemon, tell_found);

    if (gather == NULL) {
        found(daemon, key, SF_NOMEM, "no memory left", NULL);
        return;
    }
    snprintf(gather->wanted, sizeof(gather->wanted), "%s", wanted);
    gather->found = found;
    gather->found_key = key;
    edges__gather_run(gather);
}
