/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply.c - carries plans out, one operation at a time.
 *
 * An operation goes through its plan phase by phase: everything of a phase is asked for at once,
 * and the next phase begins when all of it was answered. If anything fails, it is undone: what this
 * operation made is stopped; if it had stopped SIPs that ran before, a plan back to the graph as it
 * was before is carried out as well. A restart (restart.c) that fails is only stopped: its
 * policy decides whether it is tried again.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "graph.h"

#define LINKS_WAIT_MS 15000u
#define FAILURE_BYTES_MAX 1024u

enum operation_kind { OPERATION_APPLY, OPERATION_DELETE, OPERATION_RESTART };

struct operation {
    struct operation *next;
    struct daemon *daemon;
    uint64_t number;
    enum operation_kind kind;
    uint64_t console; /* 0: nobody listens any more */
    uint64_t request;
    uint64_t begun_ms; /* when its turn came; 0: not yet */
    bool planned;
    bool dry_run;
    bool ignore_not_found;
    char graph[ORCH_NAME_BYTES_MAX + 1];
    Sf__Control__Graph *desired;      /* APPLY */
    const Sf__Control__Graph *target; /* what the plan at hand leads to */
    uint64_t sip_first;               /* SIPs from this number on were made by this operation */

    struct plan *plan;
    uint32_t cursor;
    uint32_t waiting;
    bool stopped_any; /* of the SIPs that were there before */
    bool again;       /* a stop was cut off: ask again once its node is back, or lost */
    bool failed;
    bool undoing;
    bool undo_failed;
    sf_status status;
    char failure[FAILURE_BYTES_MAX];
    char undo_failure[FAILURE_BYTES_MAX];
};

struct action_ref {
    struct daemon *daemon;
    uint64_t operation;
    uint32_t action;
    uint64_t sip;
};

static uint64_t last_number;

static void run(struct operation *operation);

/* --- telling ------------------------------------------------------------------------------------
 */

static void progress(struct operation *operation, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void progress(struct operation *operation, const char *format, ...)
{
    struct console *console = console_by_number(operation->daemon, operation->console);
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__Progress body = SF__CONTROL__PROGRESS__INIT;
    char text[PLAN_TEXT_BYTES_MAX + 64];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    daemon_log("graph %s: %s", operation->graph, text);
    if (console == NULL) {
        return;
    }
    body.text = text;
    body.elapsed_ms = daemon_now(operation->daemon) - operation->begun_ms;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_PROGRESS;
    envelope.progress = &body;
    console_send(console, operation->request, &envelope);
}

static void operation_free(struct operation *operation)
{
    plan_free(operation->plan);
    if (operation->desired != NULL) {
        sf__control__graph__free_unpacked(operation->desired, NULL);
    }
    free(operation);
}

/* Answers, and takes the operation off the queue. It is gone afterwards. */
static void finish(struct operation *operation, sf_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void finish(struct operation *operation, sf_status status, const char *format, ...)
{
    struct daemon *daemon = operation->daemon;
    struct console *console = console_by_number(daemon, operation->console);
    char text[PLAN_TEXT_BYTES_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    daemon_log("graph %s: %s", operation->graph, text);
    if (console != NULL) {
        console_result(console, operation->request, status, "%s", text);
    }
    assert(daemon->operations == operation);
    daemon->operations = operation->next;
    operation_free(operation);
}

/* Notes a failure; the first one counts. line: in the graph's file; 0: none. */
static void fail(struct operation *operation, sf_status status, uint32_t line, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));

static void fail(struct operation *operation, sf_status status, uint32_t line, const char *format,
                 ...)
{
    char what[700];
    char where[300] = "";
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    if (line != 0 && operation->target != NULL && operation->kind != OPERATION_RESTART) {
        snprintf(where, sizeof(where), "%.250s:%u: error: ", operation->target->path, line);
    }
    if (operation->undoing) {
        if (!operation->undo_failed) {
            snprintf(operation->undo_failure, sizeof(operation->undo_failure), "%s", what);
        }
        operation->undo_failed = true;
        return;
    }
    if (!operation->failed) {
        /* Exit codes of fabricctl must not take a node's words for its own. */
        operation->status = status == SF_TIMEOUT ? SF_TIMEOUT : SF_IO;
        snprintf(operation->failure, sizeof(operation->failure), "%s%s", where, what);
    }
    operation->failed = true;
}

/* --- answers of nodes ---------------------------------------------------------------------------
 */

static const char *said(sf_status status, const char *text)
{
    return text[0] != '\0' ? text : sf_status_text(status);
}

static void stop_done(struct operation *operation, struct world_sip *sip, sf_status status,
                      const char *text)
{
    if (sip == NULL || !world_sip_live(sip)) {
        return; /* it reported its end, or was lost, meanwhile */
    }
    if (status == SF_CLOSED && sip->node->stage == WORLD_JOINED) {
        operation->again = true;
    } else if (status == SF_OK || status == SF_NOTFOUND) {
        world_sip_end(sip, SF__CONTROL__SIP_STATE__KILLED, 0, SF_CAUSE_OF(REVOKED), "revoked");
    } else {
        fail(operation, status, 0, "SIP %s on %s was not stopped: %s", sip->name, sip->node->name,
             said(status, text));
    }
}

static void image_done(struct operation *operation, struct world_node *node,
                       const Sf__Control__GraphSip *spec, sf_status status, const char *text)
{
    const struct world_image *image = world_image_find(&operation->daemon->world, spec->image.data);

    if (status == SF_OK && image != NULL) {
        status = world_node_image_add(node, image);
        text = "";
    }
    if (status != SF_OK) {
        fail(operation, status, spec->line, "%s does not take image '%s': %s", node->name,
             spec->image_path, said(status, text));
    }
}

static void create_done(struct operation *operation, struct world_sip *sip,
                        const Sf__Control__GraphSip *spec, sf_status status, const char *text)
{
    bool unsure = status == SF_TIMEOUT || status == SF_CLOSED;

    if (sip == NULL || status == SF_OK) {
        return;
    }
    fail(operation, status, spec->line, "SIP %s was not created on %s: %s", sip->name,
         sip->node->name, said(status, text));
    if (world_sip_live(sip) && status == SF_TRUST) {
        world_sip_end(sip, SF__CONTROL__SIP_STATE__KILLED, 0, SF_CAUSE_OF(IMAGE_REFUSED),
                      sf_cause_text(SF_CAUSE_IMAGE_REFUSED));
    } else if (world_sip_live(sip) && !unsure) {
        world_sip_end(sip, SF__CONTROL__SIP_STATE__KILLED, 0, SF_CAUSE_OF(REVOKED), "not created");
    }
}

static void wire_done(struct operation *operation, struct world_sip *sip,
                      const Sf__Control__GraphChannel *channel, sf_status status, const char *text)
{
    const struct world_sip *exporter;
    char name[ORCH_NAME_BYTES_MAX + 1];
    char port[ORCH_NAME_BYTES_MAX + 1];

    if (status != SF_OK) {
        fail(operation, status, channel->line, "%s was not wired to %s: %s", channel->importer,
             channel->exporter, said(status, text));
        return;
    }
    if (sip != NULL && orch_port_split(channel->exporter, name, port)) {
        exporter = world_sip_find(&operation->daemon->world, name);
        world_sip_wired(sip, channel->importer, exporter != NULL ? exporter->number : 0);
    }
}

static void start_done(struct operation *operation, struct world_sip *sip,
                       const Sf__Control__GraphSip *spec, sf_status status, const char *text)
{
    if (status != SF_OK) {
        fail(operation, status, spec->line, "SIP %s was not started: %s", spec->name,
             said(status, text));
        return;
    }
    if (sip != NULL) {
        supervise_started(&sip->supervise, daemon_now(operation->daemon));
    }
    if (sip != NULL && sip->state == SF__CONTROL__SIP_STATE__CREATED) {
        sip->state = SF__CONTROL__SIP_STATE__RUNNING;
    }
}

/* The channel a REWIRE is about; NULL: its importer has ended meanwhile. */
static const Sf__Control__GraphChannel *rewired(const struct plan_action *action,
                                                const struct world_sip *sip)
{
    if (sip == NULL || sip->state != SF__CONTROL__SIP_STATE__RUNNING) {
        return NULL;
    }
    assert(action->channel < sip->made->n_channels);
    return sip->made->channels[action->channel];
}

/* The exporter is there again, whatever becomes of its importers: no failure of the operation. */
static void rewire_done(struct operation *operation, const struct plan_action *action,
                        struct world_sip *sip, sf_status status, const char *text)
{
    const Sf__Control__GraphChannel *channel = rewired(action, sip);
    const struct world_sip *exporter = NULL;
    char name[ORCH_NAME_BYTES_MAX + 1];
    char port[ORCH_NAME_BYTES_MAX + 1];
    char line[300];

    if (channel == NULL) {
        return;
    }
    if (orch_port_split(channel->exporter, name, port)) {
        exporter = world_sip_find(&operation->daemon->world, name);
    }
    if (status == SF_OK) {
        world_sip_wired(sip, channel->importer, exporter != NULL ? exporter->number : 0);
        snprintf(line, sizeof(line), "import %s is wired again to %s", channel->importer,
                 channel->exporter);
    } else {
        snprintf(line, sizeof(line), "import %s is not wired again to %s: %.100s",
                 channel->importer, channel->exporter, said(status, text));
        progress(operation, "%s", line);
    }
    world_log_add(&sip->log, daemon_wall(), line);
}

static void tell_done(struct operation *operation, const struct plan_action *action,
                      const struct world_sip *sip, const struct world_node *node)
{
    const Sf__Control__Graph *target = operation->target;
    const Sf__Control__GraphChannel *channel;

    switch (action->kind) {
    case PLAN_STOP:
        progress(operation, "stopped %s on %s: %s", sip != NULL ? sip->name : "SIP", node->name,
                 action->why);
        break;
    case PLAN_IMAGE:
        progress(operation, "sent image %s to %s", target->sips[action->spec]->image_path,
                 node->name);
        break;
    case PLAN_CREATE:
        progress(operation, "created %s on %s", target->sips[action->spec]->name, node->name);
        break;
    case PLAN_WIRE:
        channel = target->channels[action->channel];
        progress(operation, "wired %s to %s", channel->importer, channel->exporter);
        break;
    case PLAN_START:
        progress(operation, "started %s on %s", target->sips[action->spec]->name, node->name);
        break;
    case PLAN_REWIRE:
        channel = rewired(action, sip);
        if (channel != NULL) {
            progress(operation, "wired %s again to %s", channel->importer, channel->exporter);
        }
        break;
    }
}

static void on_done(void *arg, sf_status status, const char *text,
                    const Sf__Control__Envelope *reply)
{
    struct action_ref *ref = arg;
    struct daemon *daemon = ref->daemon;
    struct operation *operation = daemon->operations;
    const struct plan_action *action;
    const Sf__Control__Graph *target;
    struct world_sip *sip;
    struct world_node *node;

    (void)reply;
    assert(operation != NULL && operation->number == ref->operation);
    action = &operation->plan->actions[ref->action];
    target = operation->target;
    sip = world_sip_by_number(&daemon->world, ref->sip);
    node = world_node_by_id(&daemon->world, action->node);
    free(ref);
    operation->waiting -= 1;
    switch (action->kind) {
    case PLAN_STOP:
        stop_done(operation, sip, status, text);
        break;
    case PLAN_IMAGE:
        image_done(operation, node, target->sips[action->spec], status, text);
        break;
    case PLAN_CREATE:
        create_done(operation, sip, target->sips[action->spec], status, text);
        break;
    case PLAN_WIRE:
        wire_done(operation, sip, target->channels[action->channel], status, text);
        break;
    case PLAN_START:
        start_done(operation, sip, target->sips[action->spec], status, text);
        break;
    case PLAN_REWIRE:
        rewire_done(operation, action, sip, status, text);
        break;
    }
    if (status == SF_OK || (action->kind == PLAN_STOP && status == SF_NOTFOUND)) {
        tell_done(operation, action, sip, node);
    }
    if (operation->waiting == 0) {
        run(operation);
        restart_look(daemon);
    }
}

/* --- requests to nodes --------------------------------------------------------------------------
 */

/* Sends one action; a failure to send is noted as its answer would be. */
static void send_action(struct operation *operation, uint32_t index, uint64_t sip,
                        Sf__Control__Envelope *envelope, uint32_t timeout_ms)
{
    struct daemon *daemon = operation->daemon;
    const struct plan_action *action = &operation->plan->actions[index];
    struct world_node *node = world_node_by_id(&daemon->world, action->node);
    struct action_ref *ref = calloc(1, sizeof(*ref));
    sf_status status = SF_NOMEM;

    if (ref != NULL) {
        *ref = (struct action_ref){daemon, operation->number, index, sip};
        status = session_request(daemon, node, envelope, timeout_ms, on_done, ref);
    }
    if (status == SF_OK) {
        operation->waiting += 1;
        return;
    }
    free(ref);
    if (action->kind == PLAN_REWIRE) {
        return; /* its node is gone, and so will the importer be */
    }
    fail(operation, status, 0, "%s cannot be asked: %s", node->name,
         status == SF_CLOSED ? "it has no control connection" : sf_status_text(status));
    if (action->kind == PLAN_CREATE) { /* nothing was made there */
        world_sip_end(world_sip_by_number(&daemon->world, sip), SF__CONTROL__SIP_STATE__KILLED, 0,
                      SF_CAUSE_OF(REVOKED), "not created");
    }
}

static void do_stop(struct operation *operation, uint32_t index)
{
    const struct plan_action *action = &operation->plan->actions[index];
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__SipStop body = SF__CONTROL__SIP_STOP__INIT;
    const struct world_sip *sip = world_sip_by_number(&operation->daemon->world, action->sip);

    if (sip == NULL || !world_sip_live(sip)) {
        return; /* it has ended meanwhile */
    }
    if (sip->node->session == NULL) {
        operation->again = true;
        return;
    }
    body.sip = action->sip;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_SIP_STOP;
    envelope.sip_stop = &body;
    if (action->sip < operation->sip_first) {
        operation->stopped_any = true;
    }
    send_action(operation, index, action->sip, &envelope, REQUEST_MS);
}

static void do_image(struct operation *operation, uint32_t index)
{
    const struct plan_action *action = &operation->plan->actions[index];
    const Sf__Control__GraphSip *spec = operation->target->sips[action->spec];
    const struct world_image *image = world_image_find(&operation->daemon->world, spec->image.data);
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__ImagePut body = SF__CONTROL__IMAGE_PUT__INIT;

    if (image == NULL) { /* trimmed by a flood of other images since the plan was made */
        fail(operation, SF_NOTFOUND, spec->line, "image '%s' is gone; apply again",
             spec->image_path);
        return;
    }
    body.digest = (ProtobufCBinaryData){WORLD_DIGEST_BYTES, (uint8_t *)image->digest};
    body.content = (ProtobufCBinaryData){image->length, image->bytes};
    body.name = spec->image_name;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_IMAGE_PUT;
    envelope.image_put = &body;
    send_action(operation, index, 0, &envelope, REQUEST_IMAGE_MS);
}

static void do_create(struct operation *operation, uint32_t index)
{
    struct daemon *daemon = operation->daemon;
    const struct plan_action *action = &operation->plan->actions[index];
    const Sf__Control__GraphSip *spec = operation->target->sips[action->spec];
    struct world_node *node = world_node_by_id(&daemon->world, action->node);
    struct world_graph *graph = world_graph_find(&daemon->world, operation->graph);
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__SipCreate body = SF__CONTROL__SIP_CREATE__INIT;
    const struct world_sip *before = world_sip_in_graph(&daemon->world, graph, spec->name);
    bool owed = before != NULL && (restart_pending(before) || before->restart_owed);
    sf_status status = state_sip_next(&daemon->state, &body.sip);

    if (status != SF_OK || world_sip_make(&daemon->world, graph, operation->target, spec, node,
                                          body.sip, daemon_now(daemon)) == NULL) {
        fail(operation, status != SF_OK ? status : SF_NOMEM, spec->line, "SIP %s: %s", spec->name,
             status != SF_OK ? "fabricd's state cannot be written" : "no memory left");
        return;
    }
    if (operation->kind == OPERATION_APPLY) {
        world_sip_forgive(world_sip_by_number(&daemon->world, body.sip));
        world_sip_by_number(&daemon->world, body.sip)->restart_owed = owed;
    }
    body.name = spec->name;
    body.image = spec->image;
    body.image_name = spec->image_name;
    body.service = spec->service;
    body.cpu_percent = spec->cpu_percent;
    body.config = spec->config;
    body.n_config = spec->n_config;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_SIP_CREATE;
    envelope.sip_create = &body;
    send_action(operation, index, body.sip, &envelope, REQUEST_MS);
}

/* Asks the SIP's node to wire the importing end of a channel. */
static void send_wire(struct operation *operation, uint32_t index, const struct world_sip *sip,
                      const Sf__Control__GraphChannel *channel)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__SipWire body = SF__CONTROL__SIP_WIRE__INIT;

    body.sip = sip->number;
    body.import = strchr(channel->importer, '.') + 1;
    body.exporter_node = operation->plan->actions[index].exporter_node;
    body.export_name = channel->exporter;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_SIP_WIRE;
    envelope.sip_wire = &body;
    send_action(operation, index, sip->number, &envelope, REQUEST_MS);
}

static void do_wire(struct operation *operation, uint32_t index)
{
    const struct plan_action *action = &operation->plan->actions[index];
    const Sf__Control__Graph *target = operation->target;
    const Sf__Control__GraphChannel *channel = target->channels[action->channel];
    const struct world_sip *sip =
        world_sip_find(&operation->daemon->world, target->sips[action->spec]->name);

    assert(sip != NULL);
    send_wire(operation, index, sip, channel);
}

static void do_start(struct operation *operation, uint32_t index)
{
    const struct plan_action *action = &operation->plan->actions[index];
    const struct world_sip *sip =
        world_sip_find(&operation->daemon->world, operation->target->sips[action->spec]->name);
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__SipStart body = SF__CONTROL__SIP_START__INIT;

    assert(sip != NULL);
    body.sip = sip->number;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_SIP_START;
    envelope.sip_start = &body;
    send_action(operation, index, sip->number, &envelope, REQUEST_MS);
}

static void do_rewire(struct operation *operation, uint32_t index)
{
    const struct plan_action *action = &operation->plan->actions[index];
    const struct world_sip *sip = world_sip_by_number(&operation->daemon->world, action->sip);
    const Sf__Control__GraphChannel *channel = rewired(action, sip);

    if (channel != NULL) {
        send_wire(operation, index, sip, channel);
    }
}

/* --- phases -------------------------------------------------------------------------------------
 */

static void (*const doers[])(struct operation *operation, uint32_t index) = {
    [PLAN_STOP] = do_stop, [PLAN_IMAGE] = do_image, [PLAN_CREATE] = do_create,
    [PLAN_WIRE] = do_wire, [PLAN_START] = do_start, [PLAN_REWIRE] = do_rewire,
};

static void undo(struct operation *operation)
{
    struct world *world = &operation->daemon->world;
    struct world_graph *graph = world_graph_find(world, operation->graph);
    char text[PLAN_TEXT_BYTES_MAX] = "";
    sf_status status = SF_NOTFOUND;

    progress(operation, "failed: %s", operation->failure);
    plan_free(operation->plan);
    operation->plan = NULL;
    operation->undoing = true;
    operation->cursor = 0;
    operation->target = graph->desired;
    if (operation->kind == OPERATION_APPLY && operation->stopped_any && graph->desired != NULL) {
        progress(operation, "going back to the graph as it was");
        status = plan_make(world, graph->desired, &operation->plan, text, sizeof(text));
        if (status != SF_OK) {
            fail(operation, status, 0, "the graph as it was cannot be made again: %s", text);
        }
    }
    if (status != SF_OK) {
        status =
            plan_stop(world, graph, operation->sip_first, "something failed", &operation->plan);
    }
    if (status != SF_OK) {
        fail(operation, status, 0, "no memory left to undo it");
    }
}

static void finish_apply(struct operation *operation)
{
    struct world *world = &operation->daemon->world;
    struct world_graph *graph = world_graph_find(world, operation->graph);
    const struct plan *plan = operation->plan;
    uint32_t index;

    if (graph->desired != NULL) {
        sf__control__graph__free_unpacked(graph->desired, NULL);
    }
    graph->desired = operation->desired;
    graph->again_why[0] = '\0';
    operation->desired = NULL;
    for (index = 0; index < world->sip_count; index++) {
        struct world_sip *sip = world->sips[index];
        sip->restart_owed = sip->restart_owed && sip->graph != graph;
        if (sip->graph == graph && sip->number >= operation->sip_first && !world_sip_live(sip)) {
            progress(operation, "%s has ended already: %s; see: fabricctl logs %s", sip->name,
                     sip->cause_text[0] != '\0' ? sip->cause_text : "?", sip->name);
        }
    }
    finish(operation, SF_OK, "graph %s applied: %u created, %u replaced, %u stopped, %u unchanged",
           graph->name, plan->created, plan->replaced, plan->stopped, plan->unchanged);
}

static void finish_delete(struct operation *operation)
{
    struct world *world = &operation->daemon->world;

    if (operation->failed) {
        finish(operation, operation->status,
               "graph %s is not deleted: %s; try again when the node is back or lost",
               operation->graph, operation->failure);
        return;
    }
    world_graph_drop(world, world_graph_find(world, operation->graph));
    finish(operation, SF_OK, "graph %s deleted: %u SIPs stopped", operation->graph,
           operation->plan->stopped);
}

static void finish_undone(struct operation *operation)
{
    struct world_graph *graph = world_graph_find(&operation->daemon->world, operation->graph);
    bool was_there = graph->desired != NULL;

    restart_owed(operation->daemon, graph, operation->sip_first);
    world_graph_drop_remains(&operation->daemon->world, graph, operation->sip_first);
    if (operation->undo_failed) {
        finish(
            operation, operation->status,
            "%s\ngraph %s is not applied, and undoing it failed too: %s; see: fabricctl get sips",
            operation->failure, operation->graph, operation->undo_failure);
    } else {
        finish(operation, operation->status, "%s\ngraph %s is not applied; %s", operation->failure,
               operation->graph,
               was_there ? "it runs as before" : "what was made of it is removed");
    }
}

static void finish_restart(struct operation *operation)
{
    struct daemon *daemon = operation->daemon;
    struct world_graph *graph = world_graph_find(&daemon->world, operation->graph);

    restart_done(daemon, graph, operation->sip_first,
                 operation->failed ? operation->failure : NULL);
    if (operation->failed) {
        finish(operation, operation->status, "restart failed: %s%s%s", operation->failure,
               operation->undo_failed ? "; and " : "", operation->undo_failure);
    } else {
        finish(operation, SF_OK, "restarted");
    }
}

/*
 * True while a stop waits for a node whose connection is gone: either it comes back, or it is lost
 * within its grace, and its SIPs with it. apply_tick comes here again.
 */
static bool held(struct operation *operation)
{
    const struct plan *plan = operation->plan;
    uint32_t index;

    if (!operation->again) {
        return false;
    }
    for (index = 0; index < plan->action_count && plan->actions[index].kind == PLAN_STOP; index++) {
        const struct world_sip *sip =
            world_sip_by_number(&operation->daemon->world, plan->actions[index].sip);
        if (sip != NULL && world_sip_live(sip) && sip->node->session == NULL) {
            return true;
        }
    }
    operation->again = false;
    operation->cursor = 0; /* stops are the first phase; those done are skipped */
    return false;
}

/* Goes on with the plan; called when nothing is waited for. */
static void run(struct operation *operation)
{
    const struct plan *plan;
    enum plan_kind phase;

    assert(operation->waiting == 0);
    for (;;) {
        if (held(operation)) {
            return;
        }
        if (operation->failed && !operation->undoing && operation->kind != OPERATION_DELETE) {
            undo(operation);
        }
        plan = operation->plan;
        if (plan == NULL || operation->cursor == plan->action_count) {
            break;
        }
        phase = plan->actions[operation->cursor].kind;
        while (operation->cursor < plan->action_count &&
               plan->actions[operation->cursor].kind == phase) {
            uint32_t index = operation->cursor++;
            if (!(operation->undoing && operation->undo_failed && phase != PLAN_STOP)) {
                doers[phase](operation, index);
            }
        }
        if (operation->waiting > 0) {
            return;
        }
    }
    if (operation->kind == OPERATION_RESTART) {
        finish_restart(operation);
    } else if (operation->undoing) {
        finish_undone(operation);
    } else if (operation->kind == OPERATION_DELETE) {
        finish_delete(operation);
    } else {
        finish_apply(operation);
    }
}

/* --- the beginning ------------------------------------------------------------------------------
 */

static const char *object_of(const struct world *world, const Sf__Control__Graph *desired,
                             const struct plan_action *action)
{
    switch (action->kind) {
    case PLAN_STOP:
        return world_sip_by_number(world, action->sip)->name;
    case PLAN_IMAGE:
        return desired->sips[action->spec]->image_path;
    case PLAN_WIRE:
        return desired->channels[action->channel]->importer;
    case PLAN_REWIRE:
        return world_sip_by_number(world, action->sip)->made->channels[action->channel]->importer;
    case PLAN_CREATE:
    case PLAN_START:
        break;
    }
    return desired->sips[action->spec]->name;
}

static void tell_dry_run(struct operation *operation)
{
    static const char *const verbs[] = {"stop", "send image", "create",
                                        "wire", "start",      "wire again"};
    const struct plan *plan = operation->plan;
    const Sf__Control__Graph *desired = operation->desired;
    struct world *world = &operation->daemon->world;
    uint32_t index;

    for (index = 0; index < plan->action_count; index++) {
        const struct plan_action *action = &plan->actions[index];
        const char *node = world_node_by_id(world, action->node)->name;
        const char *what = object_of(world, desired, action);
        progress(operation, "would %s %s on %s%s%s", verbs[action->kind], what, node,
                 action->kind == PLAN_STOP ? ": " : "",
                 action->kind == PLAN_STOP ? action->why : "");
    }
    finish(operation, SF_OK,
           "dry run: graph %s would be applied: %u created, %u replaced, %u stopped, %u unchanged",
           operation->graph, plan->created, plan->replaced, plan->stopped, plan->unchanged);
}

static void begin_apply(struct operation *operation)
{
    struct world *world = &operation->daemon->world;
    struct world_graph *graph;
    char text[PLAN_TEXT_BYTES_MAX] = "";
    sf_status status;

    if (operation->desired->n_sips <= GRAPH_SIPS_MAX) { /* else the plan will say so */
        world_graph_complete(world, operation->desired);
    }
    status = plan_make(world, operation->desired, &operation->plan, text, sizeof(text));
    if (status != SF_OK) {
        finish(operation, status, "%s", text);
        return;
    }
    if (operation->plan->notes[0] != '\0') {
        progress(operation, "%s", operation->plan->notes);
    }
    if (operation->dry_run) {
        tell_dry_run(operation);
        return;
    }
    graph = world_graph_find(world, operation->graph);
    if (operation->plan->action_count == 0) {
        if (graph->desired != NULL) {
            sf__control__graph__free_unpacked(graph->desired, NULL);
        }
        graph->desired = operation->desired;
        graph->again_why[0] = '\0';
        operation->desired = NULL;
        finish(operation, SF_OK, "graph %s unchanged: %u SIPs run", operation->graph,
               operation->plan->unchanged);
        return;
    }
    if (graph == NULL && world_graph_add(world, operation->graph) == NULL) {
        finish(operation, SF_NOMEM, "no memory left");
        return;
    }
    operation->target = operation->desired;
    operation->sip_first = operation->daemon->state.sip_next;
    run(operation);
}

static void begin_delete(struct operation *operation)
{
    struct world *world = &operation->daemon->world;
    const struct world_graph *graph = world_graph_find(world, operation->graph);

    if (graph == NULL) {
        finish(operation, operation->ignore_not_found ? SF_OK : SF_NOTFOUND,
               "there is no graph %s%s", operation->graph,
               operation->ignore_not_found ? "" : "; see: fabricctl get sips");
        return;
    }
    operation->sip_first = UINT64_MAX;
    if (plan_stop(world, graph, 0, "its graph is deleted", &operation->plan) != SF_OK) {
        finish(operation, SF_NOMEM, "no memory left");
        return;
    }
    if (operation->plan->notes[0] != '\0') {
        progress(operation, "%s", operation->plan->notes);
    }
    run(operation);
}

/* An apply waits until the nodes that have joined can talk to each other. */
static void step(struct daemon *daemon)
{
    struct operation *operation = daemon->operations;

    if (operation == NULL || operation->planned || moves_under_way(daemon)) {
        return; /* while SIPs move, a plan may not find them */
    }
    if (operation->begun_ms == 0) {
        operation->begun_ms = daemon_now(daemon);
        if (operation->kind == OPERATION_APPLY && pairs_pending(daemon)) {
            progress(operation, "waiting for links between nodes");
        }
    }
    if (operation->kind == OPERATION_APPLY && pairs_pending(daemon) &&
        daemon_now(daemon) - operation->begun_ms < LINKS_WAIT_MS) {
        return;
    }
    operation->planned = true;
    if (operation->kind == OPERATION_APPLY) {
        begin_apply(operation);
    } else {
        begin_delete(operation);
    }
}

void apply_tick(struct daemon *daemon)
{
    struct operation *operation = daemon->operations;

    if (operation != NULL && operation->again && operation->waiting == 0) {
        run(operation);
    }
    step(daemon);
}

/* NULL: no memory (answered). It is at the queue's end. */
static struct operation *enqueue(struct daemon *daemon, struct console *console, uint64_t request,
                                 enum operation_kind kind, const char *graph)
{
    struct operation *operation = calloc(1, sizeof(*operation));
    struct operation **link = &daemon->operations;

    if (operation == NULL) {
        if (console != NULL) {
            console_result(console, request, SF_NOMEM, "no memory left");
        }
        return NULL;
    }
    operation->daemon = daemon;
    operation->number = ++last_number;
    operation->kind = kind;
    operation->console = console != NULL ? console_number(console) : 0;
    operation->request = request;
    snprintf(operation->graph, sizeof(operation->graph), "%s", graph);
    while (*link != NULL) {
        link = &(*link)->next;
    }
    *link = operation;
    return operation;
}

void apply_begin(struct daemon *daemon, struct console *console, uint64_t request,
                 const Sf__Control__Apply *apply)
{
    Sf__Control__Graph *desired = apply->graph != NULL ? world_graph_copy(apply->graph) : NULL;
    struct operation *operation;

    if (desired == NULL || !orch_name_ok(desired->name)) {
        console_result(console, request, SF_BADARG, "an apply needs a graph with a name: %s",
                       ORCH_NAME_RULE);
        if (desired != NULL) {
            sf__control__graph__free_unpacked(desired, NULL);
        }
        return;
    }
    operation = enqueue(daemon, console, request, OPERATION_APPLY, desired->name);
    if (operation == NULL) {
        sf__control__graph__free_unpacked(desired, NULL);
        return;
    }
    operation->desired = desired;
    operation->dry_run = apply->dry_run;
    step(daemon);
}

void apply_delete(struct daemon *daemon, struct console *console, uint64_t request,
                  const Sf__Control__Delete *body)
{
    struct operation *operation;

    if (!orch_name_ok(body->graph)) {
        console_result(console, request, SF_BADARG, "'%.40s' is no graph name: %s", body->graph,
                       ORCH_NAME_RULE);
        return;
    }
    operation = enqueue(daemon, console, request, OPERATION_DELETE, body->graph);
    if (operation != NULL) {
        operation->ignore_not_found = body->ignore_not_found;
        step(daemon);
    }
}

bool apply_restart(struct daemon *daemon, struct world_graph *graph, struct plan *plan)
{
    struct operation *operation;

    assert(daemon->operations == NULL);
    operation = enqueue(daemon, NULL, 0, OPERATION_RESTART, graph->name);
    if (operation == NULL) {
        plan_free(plan);
        return false;
    }
    operation->begun_ms = daemon_now(daemon);
    operation->planned = true;
    operation->plan = plan;
    operation->target = graph->desired;
    operation->sip_first = daemon->state.sip_next;
    run(operation);
    return true;
}

void apply_forget(struct daemon *daemon, const struct console *console)
{
    struct operation *operation;

    for (operation = daemon->operations; operation != NULL; operation = operation->next) {
        if (operation->console == console_number(console)) {
            operation->console = 0;
        }
    }
}

void apply_fini(struct daemon *daemon)
{
    while (daemon->operations != NULL) {
        struct operation *operation = daemon->operations;
        daemon->operations = operation->next;
        operation_free(operation);
    }
}
