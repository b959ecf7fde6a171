/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.c - traces between fabricctl and nodes: the channel is looked for, the nodes that have its
 * ends are told, and what they say is passed on.
 *
 * A trace is known by its number, and each of its ends has one of its own, which the node knows it
 * by. It goes when its console goes or when nothing more comes of its ends. What a slow fabricctl
 * does not take is dropped here; the numbers of the events show it there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"

#define TRACES_MAX 64u
#define TRACE_QUEUE_BYTES_MAX (4u << 20) /* waiting for a fabricctl */

struct trace_end {
    uint64_t number; /* 0: not there, or over */
    uint16_t node;
    Sf__Control__Envelope *started; /* copy of the node's answer */
};

struct trace {
    struct trace *next;
    struct daemon *daemon;
    uint64_t number;
    uint64_t console;
    uint64_t request;
    bool both;
    uint32_t block_bytes;
    struct edge_ends found;
    struct trace_end ends[2];
    uint32_t end_count;
    uint32_t waiting; /* nodes that have not answered */
};

static uint64_t last_number;

static struct trace *by_number(struct daemon *daemon, uint64_t number)
{
    struct trace *trace = daemon->traces;

    while (trace != NULL && trace->number != number) {
        trace = trace->next;
    }
    return trace;
}

static void end_stop(struct trace *trace, struct trace_end *end)
{
    struct world_node *node = world_node_by_id(&trace->daemon->world, end->node);
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__TraceStop body = SF__CONTROL__TRACE_STOP__INIT;

    if (end->number != 0 && node != NULL) {
        body.trace = end->number;
        envelope.body_case = SF__CONTROL__ENVELOPE__BODY_TRACE_STOP;
        envelope.trace_stop = &body;
        session_tell(trace->daemon, node, &envelope);
    }
    end->number = 0;
}

/* Nodes that still trace are told to stop. */
static void trace_drop(struct trace *trace)
{
    struct trace **link = &trace->daemon->traces;
    uint32_t index;

    while (*link != trace) {
        link = &(*link)->next;
    }
    *link = trace->next;
    for (index = 0; index < trace->end_count; index++) {
        end_stop(trace, &trace->ends[index]);
        if (trace->ends[index].started != NULL) {
            sf__control__envelope__free_unpacked(trace->ends[index].started, NULL);
        }
    }
    free(trace);
}

static void trace_fail(struct trace *trace, sf_status status, const char *text)
{
    struct console *console = console_by_number(trace->daemon, trace->console);

    if (console != NULL) {
        console_result(console, trace->request, status, "%s", text);
    }
    trace_drop(trace);
}

/* --- the start ----------------------------------------------------------------------------------
 */

static void answer(struct trace *trace)
{
    struct console *console = console_by_number(trace->daemon, trace->console);
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__TraceList list = SF__CONTROL__TRACE_LIST__INIT;
    Sf__Control__TraceStarted copies[2]; /* their names are ours, not of the node's message */
    Sf__Control__TraceStarted *ends[2];
    uint32_t index;

    if (console == NULL) {
        trace_drop(trace);
        return;
    }
    list.importer = trace->found.importer;
    list.exporter = trace->found.exporter;
    list.n_ends = trace->end_count;
    list.ends = ends;
    for (index = 0; index < trace->end_count; index++) {
        const struct world_node *node =
            world_node_by_id(&trace->daemon->world, trace->ends[index].node);

        copies[index] = *trace->ends[index].started->trace_started;
        copies[index].node_name = (char *)(node != NULL ? node->name : "?");
        ends[index] = &copies[index];
    }
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_TRACE_LIST;
    envelope.trace_list = &list;
    console_send(console, trace->request, &envelope);
}

/* Which end of which trace a node's answer is about. */
struct trace_ref {
    struct daemon *daemon;
    uint64_t trace;
    uint32_t end;
};

static void on_started(void *arg, sf_status status, const char *text,
                       const Sf__Control__Envelope *reply)
{
    struct trace_ref ref = *(struct trace_ref *)arg;
    struct trace *trace = by_number(ref.daemon, ref.trace);

    free(arg);
    if (trace == NULL) {
        return; /* its console is gone, and the node was told */
    }
    if (status == SF_OK && (reply->body_case != SF__CONTROL__ENVELOPE__BODY_TRACE_STARTED ||
                            reply->trace_started->contract == NULL)) {
        status = SF_FORMAT;
        text = "the node gave an answer of another kind";
    }
    if (status == SF_OK) {
        trace->ends[ref.end].started = control_envelope_copy(reply);
        status = trace->ends[ref.end].started != NULL ? SF_OK : SF_NOMEM;
    }
    if (status != SF_OK) {
        trace_fail(trace, status, text[0] != '\0' ? text : sf_status_text(status));
        return;
    }
    trace->waiting -= 1;
    if (trace->waiting == 0) {
        answer(trace);
    }
}

static sf_status end_start(struct trace *trace, uint32_t index, uint64_t endpoint,
                           struct world_node *node)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__TraceStart body = SF__CONTROL__TRACE_START__INIT;
    struct trace_ref *ref = calloc(1, sizeof(*ref));
    sf_status status;

    if (ref == NULL) {
        return SF_NOMEM;
    }
    *ref = (struct trace_ref){trace->daemon, trace->number, index};
    trace->ends[index] = (struct trace_end){.number = ++last_number, .node = node->id};
    body.trace = trace->ends[index].number;
    body.endpoint = endpoint;
    body.block_bytes = trace->block_bytes;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_TRACE_START;
    envelope.trace_start = &body;
    status = session_request(trace->daemon, node, &envelope, REQUEST_LOOK_MS, on_started, ref);
    if (status != SF_OK) {
        trace->ends[index].number = 0;
        free(ref);
    }
    return status;
}

static void on_found(struct daemon *daemon, uint64_t key, sf_status status, const char *text,
                     const struct edge_ends *found)
{
    struct trace *trace = by_number(daemon, key);
    uint32_t index;

    if (trace == NULL) {
        return;
    }
    if (status != SF_OK) {
        trace_fail(trace, status, text);
        return;
    }
    trace->found = *found;
    for (index = 0; index < (trace->both ? 2u : 1u); index++) {
        struct world_node *node = world_node_by_id(&daemon->world, found->nodes[index]);

        if (found->ids[index] == 0 || node == NULL) {
            trace_fail(trace, SF_NOTFOUND,
                       "the other end of this channel is not there; leave --both out");
            return;
        }
        trace->end_count = index + 1;
        trace->waiting += 1;
        status = end_start(trace, index, found->ids[index], node);
        if (status != SF_OK) {
            trace_fail(trace, status, "the node that has the channel cannot be asked now");
            return;
        }
    }
}

void trace_begin(struct console *console, uint64_t request, const Sf__Control__Trace *asked)
{
    struct daemon *daemon = console_daemon(console);
    const struct trace *other;
    uint32_t count = 0;
    struct trace *trace;

    for (other = daemon->traces; other != NULL; other = other->next) {
        count += 1;
    }
    trace = count < TRACES_MAX ? calloc(1, sizeof(*trace)) : NULL;
    if (trace == NULL) {
        console_result(console, request, SF_LIMIT, "there are %u traces already", count);
        return;
    }
    *trace = (struct trace){
        .next = daemon->traces,
        .daemon = daemon,
        .number = ++last_number,
        .console = console_number(console),
        .request = request,
        .both = asked->both,
        .block_bytes = asked->block_bytes,
    };
    daemon->traces = trace;
    edges_find(daemon, asked->channel, on_found, trace->number);
}

/* --- events -------------------------------------------------------------------------------------
 */

/* NULL: no trace of ours. */
static struct trace *trace_of(struct daemon *daemon, const struct world_node *node, uint64_t number,
                              uint32_t *out_end)
{
    struct trace *trace;

    for (trace = daemon->traces; number != 0 && trace != NULL; trace = trace->next) {
        for (*out_end = 0; *out_end < trace->end_count; *out_end += 1) {
            if (trace->ends[*out_end].number == number && trace->ends[*out_end].node == node->id) {
                return trace;
            }
        }
    }
    return NULL;
}

/* Passes it on; the last word of the last end ends the trace. */
static void pass(struct trace *trace, uint32_t end, const Sf__Control__TraceEvents *events)
{
    struct console *console = console_by_number(trace->daemon, trace->console);
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__TraceEvents body = *events;
    bool over = events->ended[0] != '\0';
    uint32_t index;

    body.trace = 0;
    body.end = end;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_TRACE_EVENTS;
    envelope.trace_events = &body;
    if (console != NULL && (over || console_queued(console) < TRACE_QUEUE_BYTES_MAX)) {
        console_send(console, trace->request, &envelope);
    }
    if (!over) {
        return;
    }
    trace->ends[end].number = 0;
    for (index = 0; index < trace->end_count; index++) {
        if (trace->ends[index].number != 0) {
            return;
        }
    }
    trace_drop(trace);
}

void trace_events(struct daemon *daemon, const struct world_node *node,
                  const Sf__Control__TraceEvents *events)
{
    uint32_t end;
    struct trace *trace = trace_of(daemon, node, events->trace, &end);

    if (trace == NULL) {
        return;
    }
    if (trace->waiting == 0) {
        pass(trace, end, events);
    } else if (events->ended[0] != '\0') { /* before the other end's node has answered */
        trace_fail(trace, SF_NOTFOUND, events->ended);
    }
}

void trace_node_gone(struct daemon *daemon, const struct world_node *node)
{
    struct trace *trace = daemon->traces;

    while (trace != NULL) {
        struct trace *next = trace->next;
        uint32_t index;

        for (index = 0; index < trace->end_count; index++) {
            if (trace->ends[index].number != 0 && trace->ends[index].node == node->id) {
                Sf__Control__TraceEvents events = SF__CONTROL__TRACE_EVENTS__INIT;
                uint32_t others = trace->end_count == 2 && trace->ends[1 - index].number != 0;

                events.ended = (char *)"the connection to its node ended";
                pass(trace, index, &events);
                if (others == 0) {
                    break; /* it is gone */
                }
            }
        }
        trace = next;
    }
}

void trace_forget(struct daemon *daemon, uint64_t console)
{
    struct trace *trace = daemon->traces;

    while (trace != NULL) {
        struct trace *next = trace->next;

        if (trace->console == console) {
            trace_drop(trace);
        }
        trace = next;
    }
}
