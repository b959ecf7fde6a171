/* SPDX-License-Identifier: Apache-2.0 */
/*
 * endpoint.h - private to fabric: life and death of endpoint records.
 *
 * Ownership: fab__ep_give_up and fab__ep_lose may free the record; do not touch it afterwards.
 */
#ifndef FABRIC_ENDPOINT_H
#define FABRIC_ENDPOINT_H

#include "node.h"

/* A LIVE, GONE record with its queues, in the index under id. LIMIT, NOMEM. */
SF_MUST_CHECK sf_status fab__ep_create(struct fab_node *node, const struct fab__contract *contract,
                                       enum ct_side side, uint8_t state, uint64_t id,
                                       struct fab_ep **out_ep);
/* Both queues must be empty (or their messages forgotten on purpose). */
void fab__ep_free(struct fab_ep *ep);

uint64_t fab__id_next(struct fab_node *node);
/* Oldest record of that id, then the next younger; NULL at the end. */
struct fab_ep *fab__ep_first(const struct fab_node *node, uint64_t id);
struct fab_ep *fab__ep_next(const struct fab_ep *ep);

/* ct_step with what the record has at hand. */
static inline uint8_t fab__ep_step(const struct fab_ep *ep, uint8_t state, uint32_t sender,
                                   uint32_t tag)
{
    if (tag >= ep->message_count) {
        return CT_ILLEGAL;
    }
    return ep->next[sender][(size_t)state * ep->message_count + tag];
}

/* Tells the holder that there is something to receive. */
static inline void fab__ep_notify(struct fab_ep *ep)
{
    const struct fab_node *node = ep->node;

    if (node->events.ready != NULL && !ep->in_message) {
        node->events.ready(node->events_arg, ep);
    }
}

/* Makes two records of this node each other's peer. */
void fab__ep_join(struct fab_ep *a, struct fab_ep *b);

/* The holder gave it up, or it was in a message that nobody will receive. The peer sees cause. */
void fab__ep_give_up(struct fab_ep *ep, struct sf_cause cause);
/* Its peer, on this node, sees cause; ep itself has no peer afterwards. */
void fab__local_peer_close(struct fab_ep *ep, struct sf_cause cause);
/* The peer or the way to it is gone. Messages that have arrived stay receivable. */
void fab__ep_lose(struct fab_ep *ep, struct sf_cause cause);
/* The peer's node broke the contract with message tag: closes with that cause and tells it. */
void fab__ep_violated(struct fab_ep *ep, uint8_t tag);
/* Closes for a reason found on this node (e.g. no memory for a block), and tells the peer. */
void fab__ep_break(struct fab_ep *ep, struct sf_cause cause);

/* Owner of the blocks in the queues of ep. */
static inline uint64_t fab__ep_owner(const struct fab_ep *ep)
{
    return XH_OWNER(XH_OWNER_MESSAGE, ep->id);
}

/* Frees the blocks that `owner` has in msg and gives its endpoints up. */
void fab__msg_drop(struct fab_node *node, const struct fab_plan *plan, const struct fab_msg *msg,
                   uint64_t owner, struct sf_cause cause);
void fab__queue_drop(struct fab_ep *ep, struct fab__queue *queue, struct sf_cause cause);
void fab__assembly_drop(struct fab_ep *ep, struct sf_cause cause);

#endif
