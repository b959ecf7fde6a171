/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.h - what goes through one endpoint, message by message, for an operator who watches.
 *
 * Model: a trace is for one endpoint by its id, and notes what its holder sends and receives, that
 * it is given up or sent away, and that its peer has closed. While it is on, the channel is not
 * local (worker.h): every message takes the way under the lock, where a port's `trace` is looked
 * at. So a message of a channel that nobody traces costs nothing more. If the endpoint goes to
 * another holder on this node the trace goes with it; if it leaves the node it is no longer
 * nk_trace_live.
 *
 * Events wait in a ring of NK_TRACE_EVENTS. What finds no room there is counted by the numbers of
 * the events, and dropped: whoever traces never stops who is traced.
 *
 * Threads: events are made by any worker, under the lock; all functions here are worker 0's, not
 * from inside nk_run. start and stop make the others stand still for a moment.
 * Ownership: an event given to `visit` is valid during that call.
 * Limits: NK_TRACES_MAX at once; NK_TRACE_BYTES of the blocks of one message.
 */
#ifndef KERNEL_TRACE_H
#define KERNEL_TRACE_H

#include "nk.h"

#define NK_TRACES_MAX 16u
#define NK_TRACE_EVENTS 1024u
#define NK_TRACE_BYTES 512u

enum nk_trace_kind {
    NK_TRACE_SENT,
    NK_TRACE_RECEIVED,
    NK_TRACE_MOVED,       /* sent away in a message */
    NK_TRACE_CLOSED,      /* given up by its holder */
    NK_TRACE_PEER_CLOSED, /* its holder has received that the peer closed */
};

struct nk_trace_arg {
    uint8_t kind;         /* enum ct_arg_kind */
    bool absent;          /* BLOCK, ENDPOINT */
    uint64_t scalar;      /* as fab_arg */
    uint32_t block_bytes; /* BLOCK: length, of which the event has the first ... */
    uint16_t kept_bytes;
    uint16_t kept_at; /* ... at this place of its bytes */
    /* ENDPOINT: as it travels. */
    uint64_t endpoint, peer, contract_short_id;
    uint16_t peer_node;
    uint8_t side, state;
};

struct nk_trace_event {
    uint64_t number;  /* from 1; what was dropped counts too */
    uint64_t time_ns; /* since 1970 */
    uint8_t kind;     /* enum nk_trace_kind */
    uint8_t tag;      /* SENT, RECEIVED */
    uint8_t state;    /* before, as the holder sees it */
    uint8_t next;     /* after */
    uint8_t arg_count;
    struct sf_cause cause; /* CLOSED, PEER_CLOSED */
    struct nk_trace_arg args[CT_ARGS_MAX];
    uint8_t bytes[NK_TRACE_BYTES];
};

/* What is traced, as it was when the trace began. */
struct nk_trace_info {
    const struct ct_contract *contract; /* lives as long as the kernel */
    uint64_t endpoint, peer;
    uint16_t peer_node;
    uint8_t side, state;
};

/*
 * number: the caller's, not 0. block_bytes: of each block that are kept. NOTFOUND: no such endpoint
 * on this node. EXISTS: there is a trace of that number, or of that endpoint. LIMIT, NOMEM, BADARG.
 */
SF_MUST_CHECK sf_status nk_trace_start(struct nk_kernel *kernel, uint64_t number, uint64_t endpoint,
                                       uint32_t block_bytes, struct nk_trace_info *out_info);
/* Nothing, if there is no trace of that number. */
void nk_trace_stop(struct nk_kernel *kernel, uint64_t number);
/*
 * Calls visit for the oldest events, at most so many, which are then forgotten. Answers how many;
 * out_total (may be NULL): all there have been, dropped ones too.
 */
uint32_t nk_trace_read(struct nk_kernel *kernel, uint64_t number, uint32_t count_max,
                       void (*visit)(void *arg, const struct nk_trace_event *event), void *arg,
                       uint64_t *out_total);
/* Is the endpoint still on this node? */
bool nk_trace_live(struct nk_kernel *kernel, uint64_t number);

#endif
