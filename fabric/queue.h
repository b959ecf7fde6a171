/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.h - private to fabric: the ring of messages at an endpoint.
 *
 * Callers check for room: a full queue is a broken contract, which only they can answer for.
 */
#ifndef FABRIC_QUEUE_H
#define FABRIC_QUEUE_H

#include <assert.h>

#include "node.h"

static inline bool fab__queue_full(const struct fab__queue *queue)
{
    return queue->count == queue->slot_count;
}

/* Slot number `index` from the head; index == count is the next free one. */
static inline struct fab_msg *fab__queue_at(const struct fab__queue *queue, uint32_t index)
{
    uint32_t slot = queue->head + index;

    assert(index < queue->slot_count);
    return &queue->slots[slot < queue->slot_count ? slot : slot - queue->slot_count];
}

static inline void fab__queue_pop(struct fab__queue *queue)
{
    uint32_t head = queue->head + 1u;

    assert(queue->count > 0);
    queue->head = (uint8_t)(head < queue->slot_count ? head : 0);
    queue->count--;
}

#endif
