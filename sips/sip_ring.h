/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip_ring.h - a queue of things of one size with a fixed number of places; with things of 1 byte,
 * a byte queue between somebody who produces and somebody who consumes at another pace.
 *
 * Model: `count` things from place `first` on, wrapping at `capacity`. Nothing moves in memory.
 * Ownership: the ring owns its places after sip_ring_create; sip_ring_init uses the caller's.
 */
#ifndef SIP_RING_H
#define SIP_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sip_ring {
    char *places;
    uint32_t first, count, capacity;
    uint32_t item_bytes;
    bool owned;
};

/* places: room for capacity * item_bytes, both above 0; must outlive the ring. */
void sip_ring_init(struct sip_ring *ring, void *places, uint32_t capacity, uint32_t item_bytes);
/* With memory of its own. -SF_NOMEM; -SF_BADARG: 0, or a product that does not fit. On an error the
 * ring has no places: every put and take answers 0, and sip_ring_fini is fine. */
int32_t sip_ring_create(struct sip_ring *ring, uint32_t capacity, uint32_t item_bytes);
void sip_ring_fini(struct sip_ring *ring);
/* Copies as many of `count` things in (out) as there is room for (as there are). Answers how many.
 * items may be NULL for take: they are dropped. */
uint32_t sip_ring_put(struct sip_ring *ring, const void *items, uint32_t count);
uint32_t sip_ring_take(struct sip_ring *ring, void *items, uint32_t count);
/* The oldest things that lie beside each other, without taking them; *out_count of them (0: NULL).
 * Good until the next put. sip_ring_take(ring, NULL, n) drops n. */
const void *sip_ring_peek(const struct sip_ring *ring, uint32_t *out_count);
static inline uint32_t sip_ring_room(const struct sip_ring *ring)
{
    return ring->capacity - ring->count;
}

#ifdef __cplusplus
}
#endif

#endif
