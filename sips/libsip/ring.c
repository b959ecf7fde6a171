/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring.c - sip_ring.h.
 */
#include "sip_ring.h"

#include "sip.h"

void sip_ring_init(struct sip_ring *ring, void *places, uint32_t capacity, uint32_t item_bytes)
{
    const struct sip_ring made = {.places = places, .capacity = capacity, .item_bytes = item_bytes};

    *ring = made;
}

int32_t sip_ring_create(struct sip_ring *ring, uint32_t capacity, uint32_t item_bytes)
{
    size_t bytes;
    void *places;

    sip_ring_init(ring, NULL, 0, 1);
    if (__builtin_mul_overflow(capacity, item_bytes, &bytes) || bytes == 0) {
        return -SF_BADARG;
    }
    places = sip_alloc(bytes);
    if (places == NULL) {
        return -SF_NOMEM;
    }
    sip_ring_init(ring, places, capacity, item_bytes);
    ring->owned = true;
    return 0;
}

void sip_ring_fini(struct sip_ring *ring)
{
    if (ring->owned) {
        sip_free(ring->places);
    }
    sip_ring_init(ring, NULL, 0, 1);
}

/* Copies `count` things between items and the places from `place` on, which wrap. */
static void copy_places(struct sip_ring *ring, uint64_t place, void *to, const void *from,
                        uint32_t count)
{
    const size_t bytes = ring->item_bytes;
    uint32_t start, before_end;

    if (count == 0) {
        return;
    }
    start = (uint32_t)(place % ring->capacity);
    before_end = ring->capacity - start < count ? ring->capacity - start : count;
    if (to != NULL) {
        memcpy(to, ring->places + start * bytes, before_end * bytes);
        if (count > before_end) {
            memcpy((char *)to + before_end * bytes, ring->places, (count - before_end) * bytes);
        }
    } else {
        memcpy(ring->places + start * bytes, from, before_end * bytes);
        if (count > before_end) {
            memcpy(ring->places, (const char *)from + before_end * bytes,
                   (count - before_end) * bytes);
        }
    }
}

uint32_t sip_ring_put(struct sip_ring *ring, const void *items, uint32_t count)
{
    count = count < sip_ring_room(ring) ? count : sip_ring_room(ring);
    copy_places(ring, (uint64_t)ring->first + ring->count, NULL, items, count);
    ring->count += count;
    return count;
}

uint32_t sip_ring_take(struct sip_ring *ring, void *items, uint32_t count)
{
    count = count < ring->count ? count : ring->count;
    if (items != NULL) {
        copy_places(ring, ring->first, items, NULL, count);
    }
    if (count > 0) {
        ring->first = (uint32_t)(((uint64_t)ring->first + count) % ring->capacity);
        ring->count -= count;
    }
    return count;
}

const void *sip_ring_peek(const struct sip_ring *ring, uint32_t *out_count)
{
    const uint32_t to_end = ring->capacity - ring->first;

    *out_count = ring->count < to_end ? ring->count : to_end;
    return *out_count == 0 ? NULL : ring->places + (size_t)ring->first * ring->item_bytes;
}
