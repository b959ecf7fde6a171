/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traces for fabricd: what the kernel's rings hold goes out every TRACE_MS, as long as the
 * connection takes it. Traces belong to the connection, and end with it.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent_private.h"
#include "contracts/cause.h"
#include "log.h"
#include "trace.h"

#define TRACE_MS 10u
#define TRACE_BATCH 128u                 /* events in one message */
#define TRACE_QUEUE_BYTES_MAX (1u << 20) /* waiting to be sent; then events stay in the ring */

/* --- the contract in words ----------------------------------------------------------------------
 */

#define TYPE_BYTES (2 * CT_NAME_BYTES_MAX + 8)

struct parameter {
    Sf__Control__TraceParameter body;
    char type[TYPE_BYTES];
};

struct words {
    Sf__Control__TraceContract body;
    Sf__Control__TraceMessage *messages;
    Sf__Control__TraceMessage **message_pointers;
    struct parameter *parameters; /* CT_ARGS_MAX a message */
    Sf__Control__TraceParameter **parameter_pointers;
    char **states;
};

static void words_fini(struct words *words)
{
    free(words->messages);
    free(words->message_pointers);
    free(words->parameters);
    free(words->parameter_pointers);
    free(words->states);
}

/* "TcpConnectionContract.Exp:Start" */
static void endpoint_type(const struct fab_node *fabric, const struct ct_contract *contract,
                          const struct ct_arg *arg, char type[TYPE_BYTES])
{
    const struct ct_contract *other = contract;
    const char *name = contract->name;
    char state[16];

    if (arg->ref < contract->ref_count) {
        uint64_t short_id;

        memcpy(&short_id, contract->refs[arg->ref].id, sizeof(short_id));
        other = fab_contract_find(fabric, short_id);
        name = contract->refs[arg->ref].name;
    }
    snprintf(state, sizeof(state), "%u", arg->state);
    snprintf(type, TYPE_BYTES, "%s.%s:%s", name, arg->side == CT_IMP ? "Imp" : "Exp",
             other != NULL && arg->state < other->state_count ? other->states[arg->state].name
                                                              : state);
}

static void parameter_fill(const struct fab_node *fabric, const struct ct_contract *contract,
                           const struct ct_arg *arg, struct parameter *parameter)
{
    static const char *const kinds[] = {
        "bool",   "int8",  "uint8",  "int16",   "uint16",  "int32",
        "uint32", "int64", "uint64", "float32", "float64", "block",
    };

    sf__control__trace_parameter__init(&parameter->body);
    if (arg->kind == CT_ARG_ENDPOINT) {
        endpoint_type(fabric, contract, arg, parameter->type);
    } else {
        snprintf(parameter->type, TYPE_BYTES, "%s",
                 arg->kind < sizeof(kinds) / sizeof(kinds[0]) ? kinds[arg->kind] : "?");
    }
    parameter->body.name = (char *)arg->name;
    parameter->body.type = parameter->type;
    parameter->body.kind = arg->kind;
}

/* Names are the contract's own. False: no memory. */
static bool words_init(struct words *words, const struct fab_node *fabric,
                       const struct ct_contract *contract)
{
    const size_t count = contract->message_count;

    *words = (struct words){
        .messages = calloc(count + 1, sizeof(*words->messages)),
        .message_pointers = calloc(count + 1, sizeof(*words->message_pointers)),
        .parameters = calloc(count * CT_ARGS_MAX + 1, sizeof(*words->parameters)),
        .parameter_pointers = calloc(count * CT_ARGS_MAX + 1, sizeof(*words->parameter_pointers)),
        .states = calloc((size_t)contract->state_count + 1, sizeof(*words->states)),
    };
    if (words->messages == NULL || words->message_pointers == NULL || words->parameters == NULL ||
        words->parameter_pointers == NULL || words->states == NULL) {
        return false;
    }
    sf__control__trace_contract__init(&words->body);
    for (size_t i = 0; i < count; i++) {
        const struct ct_message *from = &contract->messages[i];
        Sf__Control__TraceMessage *message = &words->messages[i];
        const size_t first = i * CT_ARGS_MAX;

        sf__control__trace_message__init(message);
        for (size_t arg = 0; arg < from->arg_count; arg++) {
            parameter_fill(fabric, contract, &from->args[arg], &words->parameters[first + arg]);
            words->parameter_pointers[first + arg] = &words->parameters[first + arg].body;
        }
        message->name = (char *)from->name;
        message->n_args = from->arg_count;
        message->args = &words->parameter_pointers[first];
        words->message_pointers[i] = message;
    }
    for (size_t i = 0; i < contract->state_count; i++) {
        words->states[i] = (char *)contract->states[i].name;
    }
    words->body.name = (char *)contract->name;
    words->body.id = (ProtobufCBinaryData){CT_ID_BYTES, (uint8_t *)contract->id};
    words->body.n_messages = count;
    words->body.messages = words->message_pointers;
    words->body.n_states = contract->state_count;
    words->body.states = words->states;
    return true;
}

/* --- events -------------------------------------------------------------------------------------
 */

/* Events copied out of a ring, and the message they become. Large; there is one agent. */
struct batch {
    struct agent_trace *trace;
    size_t count;
    struct nk_trace_event events[TRACE_BATCH];
    Sf__Control__TraceEvent bodies[TRACE_BATCH], *pointers[TRACE_BATCH];
    Sf__Control__TraceArg args[TRACE_BATCH][CT_ARGS_MAX], *arg_pointers[TRACE_BATCH][CT_ARGS_MAX];
    Sf__Control__Cause causes[TRACE_BATCH];
    char cause_texts[TRACE_BATCH][128];
};

static void arg_fill(const struct nk_trace_event *event, const struct nk_trace_arg *from,
                     Sf__Control__TraceArg *to)
{
    sf__control__trace_arg__init(to);
    to->kind = from->kind;
    to->absent = from->absent;
    to->scalar = from->scalar;
    to->block_bytes = from->block_bytes;
    to->first = (ProtobufCBinaryData){from->kept_bytes, (uint8_t *)&event->bytes[from->kept_at]};
    to->endpoint = from->endpoint;
    to->peer = from->peer;
    to->peer_node = from->peer_node;
    to->contract = from->contract_short_id;
    to->exporter = from->side == CT_EXP;
    to->state = from->state;
}

static void batch_add(void *arg, const struct nk_trace_event *event)
{
    struct batch *batch = arg;
    const size_t at = batch->count++;
    struct nk_trace_event *kept = &batch->events[at];
    Sf__Control__TraceEvent *body = &batch->bodies[at];

    assert(at < TRACE_BATCH);
    *kept = *event;
    batch->trace->last_kind = event->kind;
    sf__control__trace_event__init(body);
    body->number = kept->number;
    body->time_ns = kept->time_ns;
    body->kind = (Sf__Control__TraceEvent__Kind)kept->kind;
    body->tag = kept->tag;
    body->state = kept->state;
    body->next = kept->next;
    body->n_args = kept->arg_count;
    body->args = batch->arg_pointers[at];
    for (size_t i = 0; i < kept->arg_count; i++) {
        arg_fill(kept, &kept->args[i], &batch->args[at][i]);
        batch->arg_pointers[at][i] = &batch->args[at][i];
    }
    if (kept->kind == NK_TRACE_CLOSED || kept->kind == NK_TRACE_PEER_CLOSED) {
        Sf__Control__Cause *cause = &batch->causes[at];

        sf__control__cause__init(cause);
        cause->kind = kept->cause.kind;
        cause->fault = kept->cause.fault;
        cause->state = kept->cause.state;
        cause->tag = kept->cause.tag;
        cause->text =
            (char *)ct_cause_format(batch->trace->contract, kept->cause, batch->cause_texts[at],
                                    sizeof(batch->cause_texts[0]));
        body->cause = cause;
    }
    batch->pointers[at] = body;
}

static bool batch_send(struct agent *agent, const struct batch *batch, const char *ended,
                       uint64_t total)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__TraceEvents body = SF__CONTROL__TRACE_EVENTS__INIT;

    body.trace = batch->trace->number;
    body.n_events = batch->count;
    body.events = (Sf__Control__TraceEvent **)batch->pointers;
    body.ended = (char *)ended;
    body.total = total;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_TRACE_EVENTS;
    envelope.trace_events = &body;
    return control_stream_send(agent->stream, &envelope) == SF_OK;
}

static void trace_forget(struct agent *agent, struct agent_trace *trace)
{
    nk_trace_stop(agent->kernel, trace->number);
    *trace = (struct agent_trace){0};
    agent->trace_count--;
    if (agent->trace_count == 0) {
        uv_timer_stop(&agent->trace_timer);
    }
}

/* Sends what there is. An endpoint that is gone has had its last event before it went. */
static void trace_drain(struct agent *agent, struct agent_trace *trace)
{
    static struct batch batch;
    const bool live = nk_trace_live(agent->kernel, trace->number);
    uint64_t total;

    batch.trace = trace;
    for (uint32_t sent = 0; sent < NK_TRACE_EVENTS; sent += TRACE_BATCH) {
        if (control_stream_queued(agent->stream) > TRACE_QUEUE_BYTES_MAX) {
            return;
        }
        batch.count = 0;
        if (nk_trace_read(agent->kernel, trace->number, TRACE_BATCH, batch_add, &batch, &total) ==
            0) {
            break;
        }
        if (!batch_send(agent, &batch, "", total)) {
            return; /* the connection is about to end */
        }
    }
    if (!live) {
        batch.count = 0;
        (void)nk_trace_read(agent->kernel, trace->number, 0, batch_add, &batch, &total);
        (void)batch_send(agent, &batch,
                         trace->last_kind == NK_TRACE_MOVED ? "the endpoint went to another node"
                                                            : "the endpoint is closed",
                         total);
        trace_forget(agent, trace);
    }
}

static void traces_drain(uv_timer_t *timer)
{
    struct agent *agent = timer->data;

    for (uint32_t i = 0; i < NK_TRACES_MAX; i++) {
        if (agent->traces[i].number != 0 && agent->stream != NULL) {
            trace_drain(agent, &agent->traces[i]);
        }
    }
}

/* --- commands -----------------------------------------------------------------------------------
 */

static void started_send(struct agent *agent, uint64_t request, const struct nk_trace_info *info,
                         struct words *words)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__TraceStarted body = SF__CONTROL__TRACE_STARTED__INIT;

    body.endpoint = info->endpoint;
    body.peer = info->peer;
    body.node = agent->node_id;
    body.peer_node = info->peer_node;
    body.exporter = info->side == CT_EXP;
    body.state = info->state;
    body.contract = &words->body;
    envelope.request = request;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_TRACE_STARTED;
    envelope.trace_started = &body;
    if (control_stream_send(agent->stream, &envelope) != SF_OK) {
        node_log("an answer could not be sent");
    }
}

sf_status agent__trace_start(struct agent *agent, uint64_t request,
                             const Sf__Control__TraceStart *start, char *text)
{
    struct agent_trace *free_one = NULL;
    struct nk_trace_info info;
    struct words words;
    sf_status st;

    for (uint32_t i = NK_TRACES_MAX; i-- > 0;) {
        free_one = agent->traces[i].number == 0 ? &agent->traces[i] : free_one;
    }
    st = free_one == NULL ? SF_LIMIT
                          : nk_trace_start(agent->kernel, start->trace, start->endpoint,
                                           start->block_bytes, &info);
    if (st != SF_OK) {
        snprintf(text, AGENT_TEXT_BYTES, "%s",
                 st == SF_LIMIT      ? "this node has as many traces as it can have"
                 : st == SF_NOTFOUND ? "the endpoint is not on this node any more"
                 : st == SF_EXISTS   ? "this end of the channel is being traced already"
                                     : sf_status_text(st));
        return st;
    }
    if (!words_init(&words, nk_kernel_fabric(agent->kernel), info.contract)) {
        words_fini(&words);
        nk_trace_stop(agent->kernel, start->trace);
        snprintf(text, AGENT_TEXT_BYTES, "%s", sf_status_text(SF_NOMEM));
        return SF_NOMEM;
    }
    *free_one = (struct agent_trace){.number = start->trace, .contract = info.contract};
    if (agent->trace_count++ == 0) {
        uv_timer_start(&agent->trace_timer, traces_drain, TRACE_MS, TRACE_MS);
    }
    started_send(agent, request, &info, &words);
    words_fini(&words);
    return SF_OK;
}

void agent__trace_stop(struct agent *agent, uint64_t number)
{
    for (uint32_t i = 0; i < NK_TRACES_MAX; i++) {
        if (number != 0 && agent->traces[i].number == number) {
            trace_forget(agent, &agent->traces[i]);
        }
    }
}

void agent__traces_end(struct agent *agent)
{
    for (uint32_t i = 0; i < NK_TRACES_MAX; i++) {
        if (agent->traces[i].number != 0) {
            trace_forget(agent, &agent->traces[i]);
        }
    }
}
