/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pqueue.c - sip_pqueue.h.
 */
#include "sip_pqueue.h"

static bool before(const struct sip_pqueue_node *a, const struct sip_pqueue_node *b)
{
    return a->order != b->order ? a->order < b->order : a->sequence < b->sequence;
}

/* Two heaps (or none) into one; neither has neighbours. */
static struct sip_pqueue_node *meld(struct sip_pqueue_node *a, struct sip_pqueue_node *b)
{
    struct sip_pqueue_node *top = a, *below = b;

    if (a == NULL || b == NULL) {
        return a == NULL ? b : a;
    }
    if (before(b, a)) {
        top = b;
        below = a;
    }
    below->prev = top;
    below->next = top->child;
    if (top->child != NULL) {
        top->child->prev = below;
    }
    top->child = below;
    return top;
}

/* Children in pairs from the left, then all pairs from the right: no recursion. */
static struct sip_pqueue_node *meld_children(struct sip_pqueue_node *child)
{
    struct sip_pqueue_node *pairs = NULL, *all = NULL;

    while (child != NULL) {
        struct sip_pqueue_node *second = child->next;
        struct sip_pqueue_node *rest = second == NULL ? NULL : second->next;
        struct sip_pqueue_node *pair;
        child->next = NULL;
        child->prev = NULL;
        if (second != NULL) {
            second->next = NULL;
            second->prev = NULL;
        }
        pair = meld(child, second);
        pair->next = pairs;
        pairs = pair;
        child = rest;
    }
    while (pairs != NULL) {
        struct sip_pqueue_node *rest = pairs->next;
        pairs->next = NULL;
        all = meld(all, pairs);
        pairs = rest;
    }
    return all;
}

void sip_pqueue_remove(struct sip_pqueue *queue, struct sip_pqueue_node *node)
{
    struct sip_pqueue_node *rest;

    if (!sip_pqueue_holds(node)) {
        return;
    }
    rest = meld_children(node->child);
    if (node == queue->first) {
        queue->first = rest;
    } else {
        if (node->prev->child == node) {
            node->prev->child = node->next;
        } else {
            node->prev->next = node->next;
        }
        if (node->next != NULL) {
            node->next->prev = node->prev;
        }
        queue->first = meld(queue->first, rest);
    }
    node->sequence = 0;
    node->child = NULL;
    node->next = NULL;
    node->prev = NULL;
    queue->count--;
}

void sip_pqueue_put(struct sip_pqueue *queue, struct sip_pqueue_node *node, int64_t order)
{
    sip_pqueue_remove(queue, node);
    node->order = order;
    node->sequence = ++queue->sequence;
    queue->first = meld(queue->first, node);
    queue->count++;
}

struct sip_pqueue_node *sip_pqueue_take(struct sip_pqueue *queue)
{
    struct sip_pqueue_node *first = queue->first;

    if (first != NULL) {
        sip_pqueue_remove(queue, first);
    }
    return first;
}
