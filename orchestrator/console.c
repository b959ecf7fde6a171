/* SPDX-License-Identifier: Apache-2.0 */
/* console.c - one connection of fabricctl. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "image/image.h"
#include "registry.h"
#include "trust.h"

struct console {
    struct console *next;
    struct daemon *daemon;
    struct control_stream *stream;
    uint64_t number;
};

static uint64_t last_number;

struct daemon *console_daemon(struct console *console)
{
    return console->daemon;
}

uint64_t console_number(const struct console *console)
{
    return console->number;
}

struct console *console_by_number(struct daemon *daemon, uint64_t number)
{
    struct console *console;

    for (console = daemon->consoles; console != NULL; console = console->next) {
        if (console->number == number) {
            return console;
        }
    }
    return NULL;
}

void console_send(struct console *console, uint64_t request, Sf__Control__Envelope *body)
{
    sf_status status;

    body->request = request;
    status = control_stream_send(console->stream, body);
    if (status != SF_OK) {
        daemon_log("an answer to fabricctl was not sent: %s", sf_status_text(status));
    }
}

uint64_t console_queued(const struct console *console)
{
    return control_stream_queued(console->stream);
}

void console_result(struct console *console, uint64_t request, sf_status status, const char *format,
                    ...)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__Result result = SF__CONTROL__RESULT__INIT;
    char text[PLAN_TEXT_BYTES_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    result.status = status;
    result.text = text;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_RESULT;
    envelope.result = &result;
    console_send(console, request, &envelope);
}

/* --- images -------------------------------------------------------------------------------------
 */

static void images_missing(struct console *console, uint64_t request,
                           const Sf__Control__Envelope *asked)
{
    const Sf__Control__ImagesMissing *body = asked->images_missing;
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__ImagesMissingReply reply = SF__CONTROL__IMAGES_MISSING_REPLY__INIT;
    size_t index;

    reply.digests = calloc(body->n_digests + 1, sizeof(*reply.digests));
    if (reply.digests == NULL) {
        console_result(console, request, SF_NOMEM, "no memory left");
        return;
    }
    for (index = 0; index < body->n_digests; index++) {
        if (body->digests[index].len != WORLD_DIGEST_BYTES ||
            world_image_find(&console->daemon->world, body->digests[index].data) == NULL) {
            reply.digests[reply.n_digests++] = body->digests[index];
        }
    }
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_IMAGES_MISSING_REPLY;
    envelope.images_missing_reply = &reply;
    console_send(console, request, &envelope);
    free(reply.digests);
}

static void image_put(struct console *console, uint64_t request, const Sf__Control__Envelope *asked)
{
    const Sf__Control__ImagePut *body = asked->image_put;
    char text[600] = "";
    sf_status status = registry_image_put(&console->daemon->world, &console->daemon->trust, body,
                                          text, sizeof(text));

    if (status != SF_OK) {
        daemon_log("image refused: %s", text[0] != '\0' ? text : sf_status_text(status));
    }
    console_result(console, request, status, "%s", text[0] != '\0' ? text : sf_status_text(status));
}

/* --- lists --------------------------------------------------------------------------------------
 */

/* A NodeInfo and what it points to. */
struct node_row {
    Sf__Control__NodeInfo info;
    Sf__Control__LinkInfo links[WORLD_NODE_LINKS_MAX];
    Sf__Control__LinkInfo *link_pointers[WORLD_NODE_LINKS_MAX];
    char **peers;
    Sf__Control__NodePeer *ways; /* one for each pair it is in, and the pointers to them */
    Sf__Control__NodePeer **way_pointers;
};

/* Where in its list of links that is, from 1; 0: nowhere. Own links come first, in their order. */
static uint32_t link_place(const struct world_node *node, uint32_t number, uint16_t peer)
{
    uint32_t index;

    if (number >= 1 && number <= node->own_link_count) {
        return number;
    }
    for (index = 0; number != 0 && index < node->link_count; index++) {
        if (node->links[index].peer_node == peer) {
            return index + 1;
        }
    }
    return 0;
}

static void fill_ways(struct daemon *daemon, struct node_row *row, const struct world_node *node)
{
    const struct world *world = &daemon->world;
    uint32_t index;

    row->ways = calloc(world->pair_count + 1, sizeof(*row->ways));
    row->way_pointers = calloc(world->pair_count + 1, sizeof(*row->way_pointers));
    for (index = 0; row->ways != NULL && row->way_pointers != NULL && index < world->pair_count;
         index++) {
        const struct world_pair *pair = world->pairs[index];
        unsigned at = pair->a == node->id ? 0 : 1;
        uint16_t other = at == 0 ? pair->b : pair->a;
        const struct world_node *peer = world_node_by_id(world, other);
        Sf__Control__NodePeer *way = &row->ways[row->info.n_peers];

        if ((pair->a != node->id && pair->b != node->id) || pair->state == WORLD_PAIR_NONE ||
            peer == NULL) {
            continue;
        }
        sf__control__node_peer__init(way);
        way->name = (char *)peer->name;
        way->link = link_place(node, pair->link[at], other);
        way->spare = link_place(node, pair->spare[at], other);
        way->up = pair->state == WORLD_PAIR_UP;
        way->why = (char *)pair->text;
        row->way_pointers[row->info.n_peers++] = way;
    }
    row->info.peers = row->way_pointers;
}

static void fill_links(struct node_row *row, const struct world_node *node)
{
    uint32_t index;

    for (index = 0; index < node->link_count; index++) {
        const struct world_link *from = &node->links[index];
        Sf__Control__LinkInfo *to = &row->links[index];

        sf__control__link_info__init(to);
        to->driver = (char *)from->driver;
        to->device = (char *)from->device;
        to->mac = (ProtobufCBinaryData){sizeof(from->mac), (uint8_t *)from->mac};
        to->ipv4 = from->ipv4;
        to->mtu_bytes = from->mtu_bytes;
        to->up = from->up;
        to->peer_node = from->peer_node;
        to->queues = from->queues;
        to->about = (char *)from->about;
        row->link_pointers[index] = to;
    }
    row->info.links = row->link_pointers;
    row->info.n_links = node->link_count;
}

static void fill_node(struct daemon *daemon, struct node_row *row, const struct world_node *node)
{
    uint32_t index;

    sf__control__node_info__init(&row->info);
    row->info.node_id = node->id;
    row->info.name = (char *)node->name;
    row->info.stage = (char *)world_stage_name(node->stage);
    row->info.stage_ms = daemon_now(daemon) - node->stage_since_ms;
    row->info.mode = (char *)node->mode;
    row->info.address = (char *)node->address;
    row->info.cpu_count = node->cpu_count;
    row->info.memory_bytes = node->memory_bytes;
    row->info.cordoned = node->cordoned;
    row->info.sip_count = world_sips_live_on(&daemon->world, node);
    row->info.version = (char *)node->version;
    row->info.joined_ms = node->joined_ms != 0 ? node->joined_ms - daemon->started_ms : 0;
    if (node->stage == WORLD_JOINED) {
        fill_links(row, node);
        fill_ways(daemon, row, node);
    }
    row->peers = calloc(node->peer_alive_count + 1, sizeof(*row->peers));
    for (index = 0; row->peers != NULL && index < node->peer_alive_count; index++) {
        const struct world_node *peer = world_node_by_id(&daemon->world, node->peers_alive[index]);
        if (peer != NULL) {
            row->peers[row->info.n_peers_alive++] = (char *)peer->name;
        }
    }
    row->info.peers_alive = row->peers;
}

static void get_nodes(struct console *console, uint64_t request, const Sf__Control__Envelope *asked)
{
    struct daemon *daemon = console->daemon;
    uint32_t count = daemon->world.node_count;
    struct node_row *rows = calloc(count + 1, sizeof(*rows));
    Sf__Control__NodeInfo **infos = calloc(count + 1, sizeof(*infos));
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__NodeList list = SF__CONTROL__NODE_LIST__INIT;
    uint32_t index;

    (void)asked;
    if (rows == NULL || infos == NULL) {
        console_result(console, request, SF_NOMEM, "no memory left");
        count = 0;
    } else {
        for (index = 0; index < count; index++) {
            fill_node(daemon, &rows[index], daemon->world.nodes[index]);
            infos[index] = &rows[index].info;
        }
        list.nodes = infos;
        list.n_nodes = count;
        envelope.body_case = SF__CONTROL__ENVELOPE__BODY_NODE_LIST;
        envelope.node_list = &list;
        console_send(console, request, &envelope);
    }
    for (index = 0; index < count; index++) {
        free(rows[index].peers);
        free(rows[index].ways);
        free(rows[index].way_pointers);
    }
    free(rows);
    free(infos);
}

struct sip_row {
    Sf__Control__SipInfo info;
    Sf__Control__Cause cause;
    char image[96];
};

static void fill_sip(struct daemon *daemon, struct sip_row *row, const struct world_sip *sip)
{
    const Sf__Control__GraphSip *spec = sip->made->sips[0];
    const struct world_ports *ports = world_ports_of(&daemon->world, spec);
    const char *slash = strrchr(spec->image_path, '/');

    sf__control__sip_info__init(&row->info);
    row->info.signer = (char *)(ports != NULL ? ports->signer : "");
    sf__control__cause__init(&row->cause);
    if (spec->service[0] != '\0') {
        snprintf(row->image, sizeof(row->image), "service:%s", spec->service);
    } else {
        snprintf(row->image, sizeof(row->image), "%s",
                 slash != NULL ? slash + 1 : spec->image_path);
    }
    row->info.sip = sip->number;
    row->info.name = (char *)sip->name;
    row->info.graph = sip->graph->name;
    row->info.node = sip->node->name;
    row->info.image = row->image;
    row->info.mode = (char *)(spec->service[0] != '\0' ? "service"
                              : ports != NULL          ? image_mode_name(ports->mode)
                                                       : "?");
    row->info.state = sip->state;
    row->info.exit_code = sip->exit_code;
    row->info.age_ms = daemon_now(daemon) - sip->created_ms;
    row->info.restarts = sip->restarts;
    row->info.restart = sip->restart;
    row->info.restart_text = (char *)sip->restart_text;
    row->info.last_end = (char *)sip->last_end;
    if (sip->restart == SF__CONTROL__SIP_INFO__RESTART__BACK_OFF &&
        sip->restart_at_ms > daemon_now(daemon)) {
        row->info.restart_in_ms = sip->restart_at_ms - daemon_now(daemon);
    }
    if (sip->cause.kind != SF_CAUSE_NONE) {
        row->cause.kind = sip->cause.kind;
        row->cause.fault = sip->cause.fault;
        row->cause.state = sip->cause.state;
        row->cause.tag = sip->cause.tag;
        row->cause.text = (char *)sip->cause_text;
        row->info.cause = &row->cause;
    }
}

static void get_sips(struct console *console, uint64_t request, const Sf__Control__Envelope *asked)
{
    struct daemon *daemon = console->daemon;
    uint32_t count = daemon->world.sip_count;
    struct sip_row *rows = calloc(count + 1, sizeof(*rows));
    Sf__Control__SipInfo **infos = calloc(count + 1, sizeof(*infos));
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__SipList list = SF__CONTROL__SIP_LIST__INIT;
    uint32_t index;

    (void)asked;
    if (rows == NULL || infos == NULL) {
        console_result(console, request, SF_NOMEM, "no memory left");
    } else {
        for (index = 0; index < count; index++) {
            fill_sip(daemon, &rows[index], daemon->world.sips[index]);
            infos[index] = &rows[index].info;
        }
        list.sips = infos;
        list.n_sips = count;
        envelope.body_case = SF__CONTROL__ENVELOPE__BODY_SIP_LIST;
        envelope.sip_list = &list;
        console_send(console, request, &envelope);
    }
    free(rows);
    free(infos);
}

static void get_channels(struct console *console, uint64_t request,
                         const Sf__Control__Envelope *asked)
{
    (void)asked;
    edges_get(console, request);
}

/* --- logs ---------------------------------------------------------------------------------------
 */

/* Finds whose log is meant; NULL after it said that there is none. */
static const struct world_log *find_log(struct console *console, uint64_t request, const char *what,
                                        const char **out_source, bool *out_live)
{
    struct world *world = &console->daemon->world;
    const char *name = strncmp(what, "node/", 5) == 0 ? what + 5 : what;
    struct orch_hint hint = {.wanted = name};
    char hint_text[64];
    uint32_t index;

    if (name != what) {
        const struct world_node *node = world_node_find(world, name);
        if (node != NULL) {
            *out_source = node->name;
            *out_live = true;
            return &node->log;
        }
        for (index = 0; index < world->node_count; index++) {
            orch_hint_add(&hint, world->nodes[index]->name);
        }
    } else {
        const struct world_sip *sip = world_sip_find(world, name);
        if (sip != NULL) {
            *out_source = sip->name;
            *out_live = world_sip_live(sip) || restart_pending(sip);
            return &sip->log;
        }
        for (index = 0; index < world->sip_count; index++) {
            orch_hint_add(&hint, world->sips[index]->name);
        }
    }
    console_result(console, request, SF_NOTFOUND, "there is no %s '%.40s'%s; see: fabricctl get %s",
                   name != what ? "node" : "SIP", name,
                   orch_hint_text(&hint, hint_text, sizeof(hint_text)),
                   name != what ? "nodes" : "sips (node logs: node/NAME)");
    return NULL;
}

static void get_logs(struct console *console, uint64_t request, const Sf__Control__Envelope *asked)
{
    const Sf__Control__GetLogs *body = asked->get_logs;
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__LogList list = SF__CONTROL__LOG_LIST__INIT;
    Sf__Control__LogEntry *entries;
    Sf__Control__LogEntry **pointers;
    const char *source = "";
    bool live = false;
    const struct world_log *log = find_log(console, request, body->sip, &source, &live);
    uint64_t number;

    if (log == NULL) {
        return;
    }
    number = world_log_first(log);
    if (body->after >= number) {
        number = body->after < log->last ? body->after + 1 : log->last + 1;
    }
    if (body->tail != 0 && log->last - number + 1 > body->tail) {
        number = log->last - body->tail + 1;
    }
    entries = calloc(WORLD_LOG_LINES_MAX, sizeof(*entries));
    pointers = calloc(WORLD_LOG_LINES_MAX, sizeof(*pointers));
    if (entries == NULL || pointers == NULL) {
        console_result(console, request, SF_NOMEM, "no memory left");
        goto free_entries;
    }
    for (; number <= log->last; number++) {
        const struct world_log_line *line = world_log_line(log, number);
        Sf__Control__LogEntry *entry = &entries[list.n_lines];
        sf__control__log_entry__init(entry);
        entry->time_ms = line->time_ms;
        entry->source = (char *)source;
        entry->text = line->text;
        pointers[list.n_lines++] = entry;
    }
    list.lines = pointers;
    list.last = log->last;
    list.live = live;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_LOG_LIST;
    envelope.log_list = &list;
    console_send(console, request, &envelope);

free_entries:
    free(entries);
    free(pointers);
}

/* --- the rest -----------------------------------------------------------------------------------
 */

static void apply(struct console *console, uint64_t request, const Sf__Control__Envelope *asked)
{
    apply_begin(console->daemon, console, request, asked->apply);
}

static void delete (struct console *console, uint64_t request, const Sf__Control__Envelope *asked)
{
    apply_delete(console->daemon, console, request, asked->delete_);
}

static void get_version(struct console *console, uint64_t request,
                        const Sf__Control__Envelope *asked)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__Version version = SF__CONTROL__VERSION__INIT;

    (void)asked;
    version.fabricd = (char *)SIPFABRIC_VERSION;
    version.protocol = DAEMON_PROTOCOL;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_VERSION;
    envelope.version = &version;
    console_send(console, request, &envelope);
}

static void get_trust(struct console *console, uint64_t request, const Sf__Control__Envelope *asked)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__TrustList body = SF__CONTROL__TRUST_LIST__INIT;
    struct trust_list list;

    (void)asked;
    trust_list_fill(&list, &console->daemon->trust);
    body.keys = list.pointers;
    body.n_keys = list.count;
    body.allow_unsigned = console->daemon->trust.allow_unsigned;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_TRUST_LIST;
    envelope.trust_list = &body;
    console_send(console, request, &envelope);
}

static void trace(struct console *console, uint64_t request, const Sf__Control__Envelope *asked)
{
    trace_begin(console, request, asked->trace);
}

static void move(struct console *console, uint64_t request, const Sf__Control__Envelope *asked)
{
    moves_begin(console, request, asked->move);
}

static void drain(struct console *console, uint64_t request, const Sf__Control__Envelope *asked)
{
    drain_begin(console, request, asked->drain);
}

static void cordon(struct console *console, uint64_t request, const Sf__Control__Envelope *asked)
{
    drain_cordon(console, request, asked->cordon);
}

static void verify(struct console *console, uint64_t request, const Sf__Control__Envelope *asked)
{
    (void)asked;
    verify_begin(console, request);
}

static void get_moves(struct console *console, uint64_t request, const Sf__Control__Envelope *asked)
{
    (void)asked;
    moves_get(console, request);
}

static void stop(struct console *console, uint64_t request, const Sf__Control__Envelope *asked)
{
    (void)asked;
    console_result(console, request, SF_OK, "fabricd and its nodes stop");
    daemon_stop(console->daemon);
}

static const struct {
    Sf__Control__Envelope__BodyCase kind;
    void (*handle)(struct console *console, uint64_t request, const Sf__Control__Envelope *asked);
} requests[] = {
    {SF__CONTROL__ENVELOPE__BODY_IMAGES_MISSING, images_missing},
    {SF__CONTROL__ENVELOPE__BODY_IMAGE_PUT, image_put},
    {SF__CONTROL__ENVELOPE__BODY_APPLY, apply},
    {SF__CONTROL__ENVELOPE__BODY_DELETE, delete},
    {SF__CONTROL__ENVELOPE__BODY_GET_NODES, get_nodes},
    {SF__CONTROL__ENVELOPE__BODY_GET_SIPS, get_sips},
    {SF__CONTROL__ENVELOPE__BODY_GET_CHANNELS, get_channels},
    {SF__CONTROL__ENVELOPE__BODY_GET_LOGS, get_logs},
    {SF__CONTROL__ENVELOPE__BODY_GET_TRUST, get_trust},
    {SF__CONTROL__ENVELOPE__BODY_GET_VERSION, get_version},
    {SF__CONTROL__ENVELOPE__BODY_TRACE, trace},
    {SF__CONTROL__ENVELOPE__BODY_MOVE, move},
    {SF__CONTROL__ENVELOPE__BODY_GET_MOVES, get_moves},
    {SF__CONTROL__ENVELOPE__BODY_DRAIN, drain},
    {SF__CONTROL__ENVELOPE__BODY_CORDON, cordon},
    {SF__CONTROL__ENVELOPE__BODY_VERIFY, verify},
    {SF__CONTROL__ENVELOPE__BODY_DAEMON_STOP, stop},
};

static void on_message(void *arg, struct control_stream *stream,
                       const Sf__Control__Envelope *envelope)
{
    struct console *console = arg;
    size_t index;

    (void)stream;
    for (index = 0; index < sizeof(requests) / sizeof(requests[0]); index++) {
        if (requests[index].kind == envelope->body_case) {
            requests[index].handle(console, envelope->request, envelope);
            return;
        }
    }
    console_result(console, envelope->request, SF_UNSUPPORTED,
                   "fabricd %s does not know request kind %d; is fabricctl newer?",
                   SIPFABRIC_VERSION, (int)envelope->body_case);
}

static void console_close(struct console *console)
{
    struct console **link;

    for (link = &console->daemon->consoles; *link != console; link = &(*link)->next) {
        assert(*link != NULL);
    }
    *link = console->next;
    apply_forget(console->daemon, console);
    moves_forget(console->daemon, console);
    trace_forget(console->daemon, console->number);
    control_stream_finish(console->stream);
    free(console);
}

static void on_ended(void *arg, struct control_stream *stream, sf_status status, const char *text)
{
    (void)stream;
    if (status != SF_CLOSED) {
        daemon_log("connection of a fabricctl ended: %s", text);
    }
    console_close(arg);
}

void console_accept(struct daemon *daemon, uv_stream_t *listener)
{
    static const struct control_stream_events events = {NULL, on_message, on_ended};
    struct console *console = calloc(1, sizeof(*console));
    const struct console *other;
    uint32_t count = 0;

    for (other = daemon->consoles; other != NULL; other = other->next) {
        count += 1;
    }
    if (console == NULL || control_stream_create(&daemon->loop, CONTROL_STREAM_PIPE, &events,
                                                 console, &console->stream) != SF_OK) {
        free(console);
        daemon_log("no memory for a new connection");
        return;
    }
    if (uv_accept(listener, control_stream_handle(console->stream)) != 0 || count >= CONSOLES_MAX ||
        control_stream_start(console->stream) != SF_OK) {
        control_stream_close(console->stream);
        free(console);
        return;
    }
    console->daemon = daemon;
    console->number = ++last_number;
    console->next = daemon->consoles;
    daemon->consoles = console;
}

void console_close_all(struct daemon *daemon)
{
    while (daemon->consoles != NULL) {
        console_close(daemon->consoles);
    }
}
