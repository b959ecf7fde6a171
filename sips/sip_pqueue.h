/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip_pqueue.h - a priority queue whose links lie in the things that are queued.
 *
 * Model: a pairing heap. The one with the least `order` comes first, of equal ones the one that was
 * put first. Nothing allocates and nothing can fail. Putting takes constant time, taking and
 * removing log2(count) on average (no worse than count for one, and then not for the next ones).
 * Ownership: the queue owns nothing. Things may not move while they are queued.
 */
#ifndef SIP_PQUEUE_H
#define SIP_PQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sip_pqueue_node {
    int64_t order;                               /* may be read; changed by putting again */
    uint64_t sequence;                           /* 0: in no queue */
    struct sip_pqueue_node *child, *next, *prev; /* prev of a first child: its parent */
};

struct sip_pqueue {
    struct sip_pqueue_node *first; /* may be read; NULL: empty */
    uint64_t sequence;
    uint32_t count;
};

/* An empty queue, a node in no queue: all zero. */
static inline bool sip_pqueue_holds(const struct sip_pqueue_node *node)
{
    return node->sequence != 0;
}

/* Puts it in; if it is in this queue already, it is taken out first. */
void sip_pqueue_put(struct sip_pqueue *queue, struct sip_pqueue_node *node, int64_t order);
/* Takes the first one out. NULL: none is left. */
struct sip_pqueue_node *sip_pqueue_take(struct sip_pqueue *queue);
/* Takes this one out, if it is in; it must not be in another queue. */
void sip_pqueue_remove(struct sip_pqueue *queue, struct sip_pqueue_node *node);

#ifdef __cplusplus
}
#endif

#endif
