/* SPDX-License-Identifier: Apache-2.0 */
/* What fabricd is told of a node's endpoints, sessions and loads. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent_private.h"
#include "contracts/cause.h"

/* --- endpoints -----------------------------------------------------------------------------------
 */

#define CAUSE_BYTES 256u

struct channel_row {
    Sf__Control__ChannelInfo info;
    Sf__Control__EndStats stats;
    Sf__Control__Cause cause;
    char cause_text[CAUSE_BYTES];
};

struct channel_list {
    struct agent *agent;
    struct channel_row *rows;
    size_t count, capacity;
};

static void channel_count(void *arg, const struct fab_ep *ep)
{
    struct channel_list *list = arg;
    (void)ep;
    list->capacity++;
}

static void stats_fill(Sf__Control__EndStats *stats, const struct fab_ep_info *info)
{
    sf__control__end_stats__init(stats);
    stats->sent = info->sent;
    stats->received = info->received;
    stats->bytes_sent = info->bytes_sent;
    stats->bytes_received = info->bytes_received;
    stats->queued = info->queued;
    stats->queued_high = info->queued_high;
    stats->unsent = info->unsent;
    stats->unsent_high = info->unsent_high;
    if (info->latency != NULL) {
        stats->latency_count = info->latency->count;
        stats->latency_p50_ns = fab_histogram_ns(info->latency, 50);
        stats->latency_p99_ns = fab_histogram_ns(info->latency, 99);
        stats->latency_max_ns = info->latency->max_ns;
    }
}

static void channel_fill(void *arg, const struct fab_ep *ep)
{
    struct channel_list *list = arg;
    struct channel_row *row = &list->rows[list->count];
    struct fab_ep_info info;
    const char *port = "";

    assert(list->count < list->capacity);
    fab_ep_query(ep, &info);
    sf__control__channel_info__init(&row->info);
    row->info.id = info.id;
    row->info.peer_id = info.peer_id;
    row->info.node = list->agent->node_id;
    row->info.peer_node = info.peer_node;
    row->info.side = (char *)(info.side == CT_IMP ? "imp" : "exp");
    row->info.contract = (char *)info.contract->name;
    row->info.state = (char *)info.contract->states[info.state].name;
    row->info.queued = info.queued;
    row->info.sent = info.sent;
    row->info.received = info.received;
    row->info.arriving = info.arriving;
    stats_fill(&row->stats, &info);
    row->info.stats = &row->stats;
    row->info.sip = nk_ep_sip(list->agent->kernel, ep, &port);
    row->info.port = (char *)(port != NULL ? port : "");
    row->info.driver = (char *)(info.peer_node == list->agent->node_id
                                    ? "local"
                                    : pump_peer_driver(list->agent->options.pump, info.peer_node));
    if (info.cause.kind != SF_CAUSE_NONE) {
        sf__control__cause__init(&row->cause);
        row->cause.kind = info.cause.kind;
        row->cause.fault = info.cause.fault;
        row->cause.state = info.cause.state;
        row->cause.tag = info.cause.tag;
        row->cause.text = (char *)ct_cause_format(info.contract, info.cause, row->cause_text,
                                                  sizeof(row->cause_text));
        row->info.cause = &row->cause;
    }
    list->count++;
}

/* --- sessions and the node -----------------------------------------------------------------------
 */

struct session_row {
    Sf__Control__SessionInfo info;
    Sf__Control__Cause cause;
    char cause_text[CAUSE_BYTES];
};

static void loss_fill(const struct fab_node *fabric, struct session_row *row, uint16_t peer)
{
    struct sf_cause cause;

    row->info.losses = fab_peer_losses(fabric, peer, &cause);
    if (cause.kind != SF_CAUSE_NONE) {
        sf__control__cause__init(&row->cause);
        row->cause.kind = cause.kind;
        row->cause.text = (char *)sf_cause_format(cause, row->cause_text, sizeof(row->cause_text));
        row->info.last_loss = &row->cause;
    }
}

/* False: there is no session. */
static bool session_fill(const struct agent *agent, struct session_row *row, uint16_t peer)
{
    const struct fab_node *fabric = nk_kernel_fabric(agent->kernel);
    Sf__Control__SessionInfo *to = &row->info;
    struct fab_peer_info info;

    if (fab_peer_query(fabric, peer, &info) != SF_OK) {
        return false;
    }
    sf__control__session_info__init(to);
    to->node = agent->node_id;
    to->peer = peer;
    to->driver = (char *)pump_peer_driver(agent->options.pump, peer);
    to->alive = info.alive;
    to->sealed = info.sealed;
    to->frames_sent = info.frames_sent;
    to->frames_resent = info.frames_resent;
    to->frames_received = info.frames_received;
    to->frames_duplicate = info.frames_duplicate;
    to->frames_rejected = info.frames_rejected;
    to->bytes_sent = info.bytes_sent;
    to->bytes_received = info.bytes_received;
    to->messages_sent = info.messages_sent;
    to->messages_received = info.messages_received;
    to->closes_sent = info.closes_sent;
    to->closes_received = info.closes_received;
    to->timeouts = info.timeouts;
    to->mtu_bytes = info.mtu_bytes;
    to->in_flight = info.in_flight;
    to->window = info.window;
    to->waiting = info.waiting;
    to->blocks_read = info.blocks_read;
    to->blocks_taken = info.blocks_taken;
    to->rtt_ns = info.rtt_ns;
    to->rtt_count = info.rtt->count;
    to->rtt_p50_ns = fab_histogram_ns(info.rtt, 50);
    to->rtt_p99_ns = fab_histogram_ns(info.rtt, 99);
    to->rtt_max_ns = info.rtt->max_ns;
    loss_fill(fabric, row, peer);
    return true;
}

/* Answers how many; *out_rows (may be NULL, then none) and *out_pointers are the caller's. */
static size_t sessions_fill(struct agent *agent, struct session_row **out_rows,
                            Sf__Control__SessionInfo ***out_pointers)
{
    size_t capacity = 0, count = 0;

    for (uint16_t id = pump_peer_next(agent->options.pump, 0); id != 0;
         id = pump_peer_next(agent->options.pump, id)) {
        capacity++;
    }
    *out_rows = calloc(capacity + 1, sizeof(**out_rows));
    *out_pointers = calloc(capacity + 1, sizeof(**out_pointers));
    for (uint16_t id = pump_peer_next(agent->options.pump, 0);
         id != 0 && *out_rows != NULL && *out_pointers != NULL;
         id = pump_peer_next(agent->options.pump, id)) {
        if (session_fill(agent, &(*out_rows)[count], id)) {
            (*out_pointers)[count] = &(*out_rows)[count].info;
            count++;
        }
    }
    return count;
}

static void node_fill(struct agent *agent, Sf__Control__NodeStats *stats)
{
    struct nk_stats nk;
    struct xh_stats heap;

    sf__control__node_stats__init(stats);
    nk_query(agent->kernel, &nk);
    xh_query(nk_kernel_heap(agent->kernel), &heap);
    stats->node = agent->node_id;
    stats->sips = nk.sip_count;
    stats->workers = nk.worker_count;
    stats->heap_bytes = heap.bytes_in_use;
    stats->heap_range_bytes = heap.bytes_in_range;
    stats->blocks = heap.block_count;
    stats->messages = nk.messages;
    stats->calls = nk.calls;
    stats->switches = nk.switches;
}

void agent__channels_get(struct agent *agent, uint64_t request, bool audit)
{
    struct fab_node *fabric = nk_kernel_fabric(agent->kernel);
    struct channel_list list = {.agent = agent};
    struct session_row *sessions;
    Sf__Control__ChannelInfo **pointers;
    Sf__Control__SessionInfo **session_pointers;
    Sf__Control__NodeStats stats;
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__ChannelList message = SF__CONTROL__CHANNEL_LIST__INIT;
    const char *wrong = "";

    nk_pause(agent->kernel);
    if (audit && nk_audit(agent->kernel, &wrong) == SF_OK) {
        wrong = "";
    }
    fab_ep_walk(fabric, channel_count, &list);
    list.rows = calloc(list.capacity + 1, sizeof(list.rows[0]));
    pointers = calloc(list.capacity + 1, sizeof(pointers[0]));
    if (list.rows != NULL && pointers != NULL) {
        fab_ep_walk(fabric, channel_fill, &list);
        for (size_t i = 0; i < list.count; i++) {
            pointers[i] = &list.rows[i].info;
        }
    }
    message.n_sessions = sessions_fill(agent, &sessions, &session_pointers);
    nk_resume(agent->kernel);
    node_fill(agent, &stats);
    stats.endpoints = (uint32_t)list.capacity;
    message.sessions = session_pointers;
    message.stats = &stats;
    message.audit = (char *)wrong;
    message.n_channels = list.count;
    message.channels = pointers;
    envelope.request = request;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_CHANNEL_LIST;
    envelope.channel_list = &message;
    agent__answer(agent, &envelope);
    free(session_pointers);
    free(sessions);
    free(pointers);
    free(list.rows);
}
