/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <stdio.h>

#include "contracts/bounds.h"
#include "queue.h"
#include "trace.h"

/* --- sessions ------------------------------------------------------------------------------- */

static uint64_t buffer_bytes(const struct fab__session *session)
{
    return sizeof(struct fab__buffer) + session->mtu_bytes;
}

static uint64_t sent_buffers(const struct fab__session *session)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < session->sent_capacity; i++) {
        count += session->sent[i].buffer != NULL;
    }
    return count;
}

static uint64_t held_buffers(const struct fab__session *session)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < session->held_capacity; i++) {
        count += session->held[i].buffer != NULL;
    }
    return count;
}

uint64_t check_session_bytes(const struct fab__session *session)
{
    uint64_t buffers = sent_buffers(session) + held_buffers(session) + session->buffer_count;

    return sizeof(*session) + session->sent_capacity * sizeof(*session->sent) +
           session->held_capacity * sizeof(*session->held) + buffers * buffer_bytes(session) +
           session->reply_capacity * sizeof(*session->replies) +
           (session->secure != NULL ? sizeof(*session->secure) : 0) +
           (session->successor != NULL ? check_session_bytes(session->successor) : 0);
}

uint64_t check_session_bytes_max(uint32_t mtu_bytes, uint32_t reply_capacity)
{
    return sizeof(struct fab__secure) + sizeof(struct fab__session) + sizeof(struct fab__secure) +
           FAB__WINDOW_FIRST * sizeof(struct fab__sent) + sizeof(struct fab__session) +
           FAB__WINDOW * (sizeof(struct fab__sent) + sizeof(struct fab__held)) +
           (2 * FAB__WINDOW + FAB__BUFFERS_KEPT + 1) * (sizeof(struct fab__buffer) + mtu_bytes) +
           reply_capacity * sizeof(struct fab__reply);
}

static void session_check(const struct fab__session *session)
{
    uint64_t bytes = check_session_bytes(session);
    uint64_t bytes_max = check_session_bytes_max(session->mtu_bytes, session->reply_capacity);
    uint64_t buffers = sent_buffers(session) + held_buffers(session) + session->buffer_count;

    sim_expect(fab__in_flight(session) <= FAB__WINDOW);
    sim_expect(session->held_count < FAB__WINDOW);
    sim_expect(session->congestion.window <= FAB__WINDOW);
    sim_expect(session->reply_capacity <= FAB__REPLIES_MAX);
    /* No buffer without a use. */
    sim_expect(buffers <= fab__in_flight(session) + session->held_count + FAB__BUFFERS_KEPT + 1);
    if (bytes > bytes_max) {
        sim_fail("node %u: the session with %u has %llu bytes, over %llu", session->node->node_id,
                 session->peer_id, (unsigned long long)bytes, (unsigned long long)bytes_max);
    }
}

void check_quick(const struct cell *cell)
{
    for (uint16_t id = 1; id <= cell->options.node_count; id++) {
        const struct fab_node *fab = cell->nodes[id].up ? cell_fab(cell, id) : NULL;
        for (uint32_t i = 0; fab != NULL && i < fab->session_count; i++) {
            session_check(fab->sessions[fab->session_ids[i]]);
        }
    }
}

/* --- blocks --------------------------------------------------------------------------------- */

struct tally {
    uint64_t blocks;
    uint64_t bytes;
};

static void tally_block(struct tally *tally, const struct xh_block *block)
{
    tally->blocks++;
    tally->bytes += block->capacity;
}

static void tally_queue(struct tally *tally, const struct fab_ep *ep,
                        const struct fab__queue *queue, uint32_t count)
{
    for (uint32_t m = 0; m < count; m++) {
        const struct fab_msg *msg = fab__queue_at(queue, m);
        const struct fab_plan *plan = &ep->plans[msg->tag];
        for (uint32_t i = 0; i < plan->arg_count; i++) {
            if ((plan->blocks >> i & 1u) && msg->args[i].block != NULL) {
                tally_block(tally, msg->args[i].block);
            }
        }
    }
}

static void tally_session(struct tally *tally, const struct fab__session *session)
{
    for (uint32_t s = session->tx_acked; s != session->tx_next; s++) {
        if (fab__sent_at(session, s)->last) {
            tally_block(tally, fab__sent_at(session, s)->block);
        }
    }
}

static void queues_check(const struct fab_ep *ep)
{
    const struct ct_contract *table = ep->contract->table;
    uint32_t in_slots = ct_queue_bound(table, (enum ct_side)ep->side).slots;
    uint32_t out_slots = ct_queue_bound(table, ct_other((enum ct_side)ep->side)).slots;

    sim_expect(ep->in.slot_count == in_slots && ep->in.count <= in_slots);
    sim_expect(ep->out.slot_count == out_slots && ep->out.count <= out_slots);
}

static void node_check(const struct cell *cell, const struct load *load, uint16_t id)
{
    const struct cell_node *node = &cell->nodes[id];
    const struct load_pocket *pocket = &load->pockets[id];
    struct tally tally = {0};
    struct xh_stats stats;
    const char *text = "";

    if (fab_audit(node->fab, &text) != SF_OK || xh_audit(node->heap, &text) != SF_OK) {
        sim_fail("audit of node %u: %s", id, text);
    }
    for (uint32_t i = 0; i < node->fab->ep_used; i++) {
        const struct fab_ep *ep = &node->fab->eps[i];
        if (ep->life != FAB__FREE) {
            queues_check(ep);
            tally_queue(&tally, ep, &ep->in, ep->in.count + (ep->assembling ? 1u : 0u));
            tally_queue(&tally, ep, &ep->out, ep->out.count);
        }
    }
    for (uint32_t i = 0; i < node->fab->session_count; i++) {
        tally_session(&tally, node->fab->sessions[node->fab->session_ids[i]]);
    }
    for (uint32_t i = 0; i < pocket->count; i++) {
        tally_block(&tally, pocket->blocks[i]);
    }
    xh_query(node->heap, &stats);
    if (stats.block_count != tally.blocks || stats.bytes_in_use != tally.bytes) {
        sim_fail("node %u: %llu blocks of %llu bytes, but %llu of %llu are accounted for", id,
                 (unsigned long long)stats.block_count, (unsigned long long)stats.bytes_in_use,
                 (unsigned long long)tally.blocks, (unsigned long long)tally.bytes);
    }
}

void check_full(const struct cell *cell, const struct load *load)
{
    for (uint16_t id = 1; id <= cell->options.node_count; id++) {
        if (cell->nodes[id].up) {
            node_check(cell, load, id);
        }
    }
}

/* --- the end -------------------------------------------------------------------------------- */

void check_nothing_left(const struct cell *cell, const struct ledger *ledger)
{
    for (uint16_t id = 1; id <= cell->options.node_count; id++) {
        const struct fab_node *fab = cell_fab(cell, id);
        struct xh_stats stats;
        for (uint32_t i = 0; i < fab->ep_used; i++) {
            const struct fab_ep *ep = &fab->eps[i];
            if (ep->life != FAB__FREE) {
                uint8_t side = 0;
                const struct ledger_chan *chan = ledger_find(ledger, ep->id, &side);
                sim_fail("node %u keeps a record of channel %u side %u: life %u, place %u, peer on "
                         "node %u, by way of %u, owes %u",
                         id, chan == NULL ? 0 : chan->serial, side, ep->life, ep->place,
                         ep->peer_node, ep->via_node, ep->owes);
            }
        }
        xh_query(cell->nodes[id].heap, &stats);
        if (stats.block_count != 0) {
            sim_fail("node %u keeps %llu blocks", id, (unsigned long long)stats.block_count);
        }
    }
}

const char *check_undrained(const struct cell *cell, char *text, uint32_t capacity)
{
    for (uint16_t a = 1; a <= cell->options.node_count; a++) {
        for (uint16_t b = 1; b <= cell->options.node_count; b++) {
            struct fab_peer_info info;
            if (a == b) {
                continue;
            }
            if (!cell->nodes[a].up || fab_peer_query(cell_fab(cell, a), b, &info) != SF_OK ||
                !cell_joined(cell, a, b)) {
                (void)snprintf(text, capacity, "node %u has no session with node %u", a, b);
                return text;
            }
            if (!info.drained) {
                (void)snprintf(text, capacity,
                               "node %u has not told node %u all: %u frames in flight, window %u",
                               a, b, info.in_flight, info.window);
                return text;
            }
        }
    }
    return "";
}

bool check_drained(const struct cell *cell)
{
    char text[128];

    return check_undrained(cell, text, sizeof(text))[0] == '\0';
}
