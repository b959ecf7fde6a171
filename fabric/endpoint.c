/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoint.h"

#include <assert.h>
#include <stdlib.h>

#include "cargo.h"
#include "contracts/bounds.h"
#include "meter.h"
#include "plant.h"
#include "queue.h"
#include "reads.h"
#include "session.h"

_Static_assert(sizeof(struct fab_msg) == CT_MESSAGE_BYTES, "contractc bounds counts with it");

/* --- index by id ---------------------------------------------------------------------------- */

uint64_t fab__id_next(struct fab_node *node)
{
    assert(node->id_next < FAB__ID_COUNTER_MAX);
    return (uint64_t)node->node_id << FAB__ID_NODE_SHIFT |
           (uint64_t)node->epoch << FAB__ID_EPOCH_SHIFT | ++node->id_next;
}

static struct fab_ep **bucket_of(const struct fab_node *node, uint64_t id)
{
    return &node->ep_buckets[(id * 0x9e3779b97f4a7c15ull >> 32) & node->ep_bucket_mask];
}

/* At the tail, so that records of one id stay in order of age. */
static void index_insert(struct fab_ep *ep)
{
    struct fab_ep **at = bucket_of(ep->node, ep->id);

    while (*at != NULL) {
        at = &(*at)->hash_next;
    }
    ep->hash_next = NULL;
    *at = ep;
}

static void index_remove(struct fab_ep *ep)
{
    struct fab_ep **at = bucket_of(ep->node, ep->id);

    while (*at != ep) {
        assert(*at != NULL);
        at = &(*at)->hash_next;
    }
    *at = ep->hash_next;
}

struct fab_ep *fab__ep_first(const struct fab_node *node, uint64_t id)
{
    struct fab_ep *ep = *bucket_of(node, id);

    while (ep != NULL && ep->id != id) {
        ep = ep->hash_next;
    }
    return ep;
}

struct fab_ep *fab__ep_next(const struct fab_ep *ep)
{
    struct fab_ep *next = ep->hash_next;

    while (next != NULL && next->id != ep->id) {
        next = next->hash_next;
    }
    return next;
}

/* --- records -------------------------------------------------------------------------------- */

static struct fab_ep *record_take(struct fab_node *node)
{
    struct fab_ep *ep = node->ep_free;

    if (ep != NULL) {
        node->ep_free = ep->hash_next;
        return ep;
    }
    return node->ep_used < node->ep_count_max ? &node->eps[node->ep_used++] : NULL;
}

static void record_give(struct fab_node *node, struct fab_ep *ep)
{
    *ep = (struct fab_ep){.hash_next = node->ep_free};
    node->ep_free = ep;
}

static uint8_t slots_of(const struct ct_contract *table, uint8_t side)
{
    return table->slots[side] == 0 ? 1 : table->slots[side];
}

sf_status fab__ep_create(struct fab_node *node, const struct fab__contract *contract,
                         enum ct_side side, uint8_t state, uint64_t id, struct fab_ep **out_ep)
{
    const struct ct_contract *table = contract->table;
    uint8_t in_slots = slots_of(table, side);
    uint8_t out_slots = slots_of(table, ct_other(side));
    struct fab_ep *ep = record_take(node);
    struct fab_msg *slots;

    assert(state < table->state_count);
    if (ep == NULL) {
        return SF_LIMIT;
    }
    slots = calloc((size_t)in_slots + out_slots, sizeof(*slots));
    if (slots == NULL) {
        record_give(node, ep);
        return SF_NOMEM;
    }
    *ep = (struct fab_ep){
        .next = {table->next[CT_IMP], table->next[CT_EXP]},
        .plans = contract->plans,
        .node = node,
        .in = {.slots = slots, .slot_count = in_slots},
        .out = {.slots = slots + in_slots, .slot_count = out_slots},
        .message_count = table->message_count,
        .side = (uint8_t)side,
        .state = state,
        .arrival_state = state,
        .life = FAB__LIVE,
        .place = FAB__GONE,
        .id = id,
        .contract = contract,
    };
    index_insert(ep);
    *out_ep = ep;
    return SF_OK;
}

void fab__ep_free(struct fab_ep *ep)
{
    assert(ep->life != FAB__FREE);
    assert(ep->cargo == NULL);
    fab__unschedule(ep);
    fab__hold_end(ep);
    index_remove(ep);
    free(ep->in.slots);
    free(ep->open_name);
    free(ep->meter);
    record_give(ep->node, ep);
}

void fab__ep_join(struct fab_ep *a, struct fab_ep *b)
{
    a->peer = b;
    a->peer_id = b->id;
    b->peer = a;
    b->peer_id = a->id;
    a->peer_node = b->peer_node = a->node->node_id;
    a->place = b->place = FAB__LOCAL;
}

/* --- messages that nobody will receive ------------------------------------------------------ */

void fab__msg_drop(struct fab_node *node, const struct fab_plan *plan, const struct fab_msg *msg,
                   uint64_t owner, struct sf_cause cause)
{
    for (uint32_t i = 0; i < plan->arg_count; i++) {
        if (plan->blocks >> i & 1u) {
            sf_status st = xh_free(node->heap, msg->args[i].block, owner);
            assert(st == SF_OK);
            (void)st;
        } else if ((plan->eps >> i & 1u) && msg->args[i].ep != NULL) {
            fab__ep_give_up(msg->args[i].ep, cause);
        }
    }
}

void fab__queue_drop(struct fab_ep *ep, struct fab__queue *queue, struct sf_cause cause)
{
    while (queue->count > 0) {
        const struct fab_msg *msg = fab__queue_at(queue, 0);
        fab__msg_drop(ep->node, &ep->plans[msg->tag], msg, fab__ep_owner(ep), cause);
        fab__queue_pop(queue);
    }
}

void fab__assembly_drop(struct fab_ep *ep, struct sf_cause cause)
{
    if (ep->assembling) {
        const struct fab_msg *msg = fab__queue_at(&ep->in, ep->in.count);
        if (ep->reading != 0) {
            fab__read_leave(ep);
        }
        ep->assembling = false;
        fab__msg_drop(ep->node, &ep->plans[msg->tag], msg, fab__ep_owner(ep), cause);
    }
}

static void out_drop(struct fab_ep *ep, struct sf_cause cause)
{
    struct fab__session *session = ep->node->sessions[ep->peer_node];

    if (ep->sending && session != NULL) {
        /* Frames in flight may have their tails in this block. */
        union fab_arg *arg = &fab__queue_at(&ep->out, 0)->args[ep->send_arg];
        fab__window_free_block(session, arg->block, fab__ep_owner(ep));
        arg->block = NULL;
        session->referring_count -= ep->referring;
    }
    ep->sending = ep->referring = ep->unread = false;
    fab__queue_drop(ep, &ep->out, cause);
}

/* --- closing -------------------------------------------------------------------------------- */

/* Takes the channel apart; the peer's holder, wherever it is, sees cause. */
void fab__local_peer_close(struct fab_ep *ep, struct sf_cause cause)
{
    struct fab_ep *peer = ep->peer;

    ep->peer = NULL;
    ep->place = FAB__GONE;
    peer->peer = NULL;
    peer->place = FAB__GONE;
    if (peer->life == FAB__MOVED) {
        fab__ep_lose(peer, cause); /* forwards it */
        return;
    }
    peer->cause = cause;
    fab__ep_notify(peer);
}

void fab__ep_give_up(struct fab_ep *ep, struct sf_cause cause)
{
    assert(ep->life == FAB__LIVE);
    assert(ep->cargo == NULL);
    if (cause.kind == SF_CAUSE_NONE) {
        cause = SF_CAUSE_OF(CLOSED_BY_PEER);
    }
    ep->in_message = false;
    ep->holder = NULL;
    ep->life = FAB__CLOSING;
    fab__queue_drop(ep, &ep->in, cause);
    fab__assembly_drop(ep, cause);
    ep->arrival_state = ep->state;
    switch (ep->place) {
    case FAB__LOCAL:
        fab__local_peer_close(ep, cause);
        fab__ep_free(ep);
        break;
    case FAB__GONE:
        /* If the channel broke here, its CLOSE may still have to go out. */
        if ((ep->owes & FAB__OWES_CLOSE) == 0) {
            fab__ep_free(ep);
        }
        break;
    default:
        if (ep->place != FAB__HELD) {
            fab__hold_end(ep); /* CLOSE says as much */
        }
        ep->owes |= FAB__OWES_CLOSE;
        ep->tell_cause = cause;
        fab__schedule(ep);
        break;
    }
}

/* What both ways of losing the peer have in common. */
static void disconnect(struct fab_ep *ep, struct sf_cause cause)
{
    bool held_up = ep->place == FAB__HELD && ep->in_message;

    assert(ep->place != FAB__LOCAL);
    fab__unschedule(ep);
    fab__hold_end(ep);
    ep->place = FAB__GONE;
    if (held_up) {
        fab__schedule_all(ep->node);
    }
    ep->owes = 0;
    fab__meter_note(ep, FAB_EP_CLOSED, 0);
    out_drop(ep, cause);
    fab__assembly_drop(ep, cause);
    if (ep->life == FAB__LIVE && ep->cause.kind == SF_CAUSE_NONE) {
        ep->cause = cause;
        fab__ep_notify(ep);
    }
}

void fab__ep_lose(struct fab_ep *ep, struct sf_cause cause)
{
    assert(ep->life != FAB__FREE);
    disconnect(ep, cause);
    if (ep->life == FAB__LIVE) {
        return;
    }
    if (ep->life == FAB__MOVED && ep->node->sessions[ep->target_node] != NULL &&
        !FAB__PLANTED(FAB__PLANT_CLOSE)) {
        ep->owes = FAB__OWES_FORWARD;
        ep->tell_cause = cause;
        fab__schedule(ep);
        return;
    }
    fab__ep_free(ep);
}

void fab__ep_break(struct fab_ep *ep, struct sf_cause cause)
{
    assert(ep->life == FAB__LIVE || ep->life == FAB__CLOSING);
    disconnect(ep, cause);
    ep->owes = FAB__OWES_CLOSE;
    ep->tell_cause = cause;
    fab__schedule(ep);
}

void fab__ep_violated(struct fab_ep *ep, uint8_t tag)
{
    struct sf_cause cause = SF_CAUSE_OF(CONTRACT_VIOLATED);

    cause.state = ep->arrival_state;
    cause.tag = tag;
    fab__ep_break(ep, cause);
}
