/* SPDX-License-Identifier: Apache-2.0 */
#include "trace.h"

#include "internal.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

struct nk_trace {
    uint64_t number, endpoint;
    uint32_t block_bytes;
    bool close_told;
    /* One writes at a time, under the lock; worker 0 reads. Event n is at n % NK_TRACE_EVENTS. */
    uint64_t head, tail;
    uint64_t total; /* events there have been; atomic */
    struct nk_trace_event ring[NK_TRACE_EVENTS];
};

static uint32_t trace_find(const struct nk_kernel *kernel, uint64_t number)
{
    uint32_t i = 0;

    while (i < NK_TRACES_MAX &&
           (kernel->traces[i] == NULL || kernel->traces[i]->number != number)) {
        i++;
    }
    return i;
}

/* --- events: locked -----------------------------------------------------------------------------
 */

static uint64_t wall_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct nk_trace *trace_of(const struct nk_kernel *kernel, const struct nk_port *port)
{
    assert(port->trace > 0 && port->trace <= NK_TRACES_MAX);
    return kernel->traces[port->trace - 1];
}

/* The place for the next event, or NULL: there is no room. */
static struct nk_trace_event *event_begin(struct nk_trace *trace, const struct nk_port *port,
                                          enum nk_trace_kind kind)
{
    struct nk_trace_event *event;

    if (trace->tail - __atomic_load_n(&trace->head, __ATOMIC_ACQUIRE) == NK_TRACE_EVENTS) {
        return NULL;
    }
    event = &trace->ring[trace->tail % NK_TRACE_EVENTS];
    event->number = trace->total + 1;
    event->time_ns = wall_ns();
    event->kind = (uint8_t)kind;
    event->tag = 0;
    event->state = event->next = fab_ep_state(port->ep);
    event->arg_count = 0;
    event->cause = SF_CAUSE_OF(NONE);
    return event;
}

/* It has happened; event NULL: it is dropped. */
static void event_end(struct nk_trace *trace, const struct nk_trace_event *event)
{
    __atomic_store_n(&trace->total, trace->total + 1, __ATOMIC_RELAXED);
    if (event != NULL) {
        __atomic_store_n(&trace->tail, trace->tail + 1, __ATOMIC_RELEASE);
    }
}

static void block_keep(const struct nk_trace *trace, struct nk_trace_event *event,
                       struct nk_trace_arg *arg, const struct xh_block *block, uint32_t *used)
{
    uint32_t bytes = block->bytes < trace->block_bytes ? block->bytes : trace->block_bytes;

    if (bytes > NK_TRACE_BYTES - *used) {
        bytes = NK_TRACE_BYTES - *used;
    }
    memcpy(event->bytes + *used, block->data, bytes);
    arg->block_bytes = block->bytes;
    arg->kept_bytes = (uint16_t)bytes;
    arg->kept_at = (uint16_t)*used;
    *used += bytes;
}

static void endpoint_keep(struct nk_trace_arg *arg, const struct fab_ep *ep)
{
    struct fab_ep_info info;

    fab_ep_query(ep, &info);
    arg->endpoint = info.id;
    arg->peer = info.peer_id;
    arg->peer_node = info.peer_node;
    arg->contract_short_id = info.contract->short_id;
    arg->side = (uint8_t)info.side;
    arg->state = info.state;
}

static void event_message(const struct nk_trace *trace, struct nk_trace_event *event,
                          const struct ct_contract *contract, const struct fab_msg *msg)
{
    const struct ct_message *message = &contract->messages[msg->tag];
    uint32_t used = 0;

    event->tag = msg->tag;
    event->arg_count = msg->arg_count;
    for (uint32_t i = 0; i < msg->arg_count; i++) {
        struct nk_trace_arg *arg = &event->args[i];

        *arg = (struct nk_trace_arg){.kind = message->args[i].kind};
        if (arg->kind == CT_ARG_BLOCK) {
            arg->absent = msg->args[i].block == NULL;
            if (!arg->absent) {
                block_keep(trace, event, arg, msg->args[i].block, &used);
            }
        } else if (arg->kind == CT_ARG_ENDPOINT) {
            arg->absent = msg->args[i].ep == NULL;
            if (!arg->absent) {
                endpoint_keep(arg, msg->args[i].ep);
            }
        } else {
            arg->scalar = msg->args[i].scalar;
        }
    }
}

struct nk_trace_event *nk__trace_sending(const struct nk_kernel *kernel, const struct nk_port *port,
                                         const struct fab_msg *msg)
{
    struct nk_trace *trace = trace_of(kernel, port);
    struct nk_trace_event *event;

    if (msg->tag >= port->contract->message_count ||
        msg->arg_count != port->contract->messages[msg->tag].arg_count) {
        return NULL; /* it will be refused */
    }
    event = event_begin(trace, port, NK_TRACE_SENT);
    if (event != NULL) {
        event_message(trace, event, port->contract, msg);
    }
    return event;
}

void nk__trace_sent(const struct nk_kernel *kernel, const struct nk_port *port,
                    struct nk_trace_event *event)
{
    if (event != NULL) {
        event->next = fab_ep_state(port->ep);
    }
    event_end(trace_of(kernel, port), event);
}

void nk__trace_received(const struct nk_kernel *kernel, const struct nk_port *port, uint8_t before,
                        const struct fab_msg *msg)
{
    struct nk_trace *trace = trace_of(kernel, port);
    struct nk_trace_event *event = event_begin(trace, port, NK_TRACE_RECEIVED);

    if (event != NULL) {
        event->state = before;
        event_message(trace, event, port->contract, msg);
    }
    event_end(trace, event);
}

void nk__trace_moved(const struct nk_kernel *kernel, const struct nk_port *port)
{
    struct nk_trace *trace = trace_of(kernel, port);

    event_end(trace, event_begin(trace, port, NK_TRACE_MOVED));
}

void nk__trace_closed(const struct nk_kernel *kernel, const struct nk_port *port,
                      struct sf_cause cause, bool by_peer)
{
    struct nk_trace *trace = trace_of(kernel, port);
    struct nk_trace_event *event;

    if (by_peer && trace->close_told) {
        return; /* its holder asks again and again */
    }
    trace->close_told = by_peer;
    event = event_begin(trace, port, by_peer ? NK_TRACE_PEER_CLOSED : NK_TRACE_CLOSED);
    if (event != NULL) {
        event->cause = cause;
    }
    event_end(trace, event);
}

uint8_t nk__trace_of(const struct nk_kernel *kernel, const struct fab_ep *ep)
{
    struct fab_ep_info info;

    if (kernel->trace_count == 0) {
        return 0;
    }
    fab_ep_query(ep, &info);
    for (uint32_t i = 0; i < NK_TRACES_MAX; i++) {
        if (kernel->traces[i] != NULL && kernel->traces[i]->endpoint == info.id) {
            return (uint8_t)(i + 1);
        }
    }
    return 0;
}

/* --- life ---------------------------------------------------------------------------------------
 */

/* Tells the port that holds the endpoint, if one does. Locked, paused. */
static void port_mark(const struct nk_kernel *kernel, uint64_t endpoint, uint8_t mark)
{
    const struct fab_ep *ep = fab_ep_find(kernel->fabric, endpoint);
    struct nk_port *port = ep == NULL ? NULL : fab_ep_holder(ep);

    if (port == NULL) {
        return;
    }
    port->trace = mark;
    if (port->sip == NULL) {
        return; /* of a service: never local */
    }
    if (mark != 0) {
        nk__port_share(port);
    } else {
        nk__port_settle(port);
    }
}

/* Locked, paused. */
static sf_status trace_add(struct nk_kernel *kernel, struct nk_trace *trace,
                           struct nk_trace_info *out_info)
{
    const struct fab_ep *ep = fab_ep_find(kernel->fabric, trace->endpoint);
    struct fab_ep_info info;
    uint32_t at = NK_TRACES_MAX;

    if (ep == NULL) {
        return SF_NOTFOUND;
    }
    for (uint32_t i = NK_TRACES_MAX; i-- > 0;) {
        if (kernel->traces[i] == NULL) {
            at = i;
        } else if (kernel->traces[i]->number == trace->number ||
                   kernel->traces[i]->endpoint == trace->endpoint) {
            return SF_EXISTS;
        }
    }
    if (at == NK_TRACES_MAX) {
        return SF_LIMIT;
    }
    fab_ep_query(ep, &info);
    *out_info = (struct nk_trace_info){.contract = info.contract,
                                       .endpoint = info.id,
                                       .peer = info.peer_id,
                                       .peer_node = info.peer_node,
                                       .side = (uint8_t)info.side,
                                       .state = info.state};
    kernel->traces[at] = trace;
    kernel->trace_count++;
    port_mark(kernel, trace->endpoint, (uint8_t)(at + 1));
    return SF_OK;
}

sf_status nk_trace_start(struct nk_kernel *kernel, uint64_t number, uint64_t endpoint,
                         uint32_t block_bytes, struct nk_trace_info *out_info)
{
    struct nk_trace *trace;
    sf_status st;

    if (number == 0 || block_bytes > NK_TRACE_BYTES) {
        return SF_BADARG;
    }
    trace = calloc(1, sizeof(*trace));
    if (trace == NULL) {
        return SF_NOMEM;
    }
    trace->number = number;
    trace->endpoint = endpoint;
    trace->block_bytes = block_bytes;
    nk_pause(kernel);
    nk__lock(kernel);
    st = trace_add(kernel, trace, out_info);
    nk__unlock(kernel);
    nk_resume(kernel);
    if (st != SF_OK) {
        free(trace);
    }
    return st;
}

void nk_trace_stop(struct nk_kernel *kernel, uint64_t number)
{
    uint32_t at = trace_find(kernel, number);
    struct nk_trace *trace;

    if (at == NK_TRACES_MAX) {
        return;
    }
    nk_pause(kernel);
    nk__lock(kernel);
    trace = kernel->traces[at];
    kernel->traces[at] = NULL;
    kernel->trace_count--;
    port_mark(kernel, trace->endpoint, 0);
    nk__unlock(kernel);
    nk_resume(kernel);
    free(trace);
}

void nk__traces_fini(struct nk_kernel *kernel)
{
    for (uint32_t i = 0; i < NK_TRACES_MAX; i++) {
        free(kernel->traces[i]);
        kernel->traces[i] = NULL;
    }
}

uint32_t nk_trace_read(struct nk_kernel *kernel, uint64_t number, uint32_t count_max,
                       void (*visit)(void *arg, const struct nk_trace_event *event), void *arg,
                       uint64_t *out_total)
{
    uint32_t at = trace_find(kernel, number), count = 0;
    struct nk_trace *trace = at == NK_TRACES_MAX ? NULL : kernel->traces[at];

    while (trace != NULL && count < count_max &&
           trace->head != __atomic_load_n(&trace->tail, __ATOMIC_ACQUIRE)) {
        visit(arg, &trace->ring[trace->head % NK_TRACE_EVENTS]);
        __atomic_store_n(&trace->head, trace->head + 1, __ATOMIC_RELEASE);
        count++;
    }
    if (out_total != NULL) {
        *out_total = trace == NULL ? 0 : __atomic_load_n(&trace->total, __ATOMIC_RELAXED);
    }
    return count;
}

bool nk_trace_live(struct nk_kernel *kernel, uint64_t number)
{
    uint32_t at = trace_find(kernel, number);
    bool live;

    if (at == NK_TRACES_MAX) {
        return false;
    }
    nk__lock(kernel);
    live = fab_ep_find(kernel->fabric, kernel->traces[at]->endpoint) != NULL;
    nk__unlock(kernel);
    return live;
}
