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

/* Where the thing at `place`, counted from the first place and on over the end, lies. */
static char *place_at(const struct sip_ring *ring, uint64_t place)
{
    return ring->places + (size_t)(place % ring->capacity) * ring->item_bytes;
}

/* Of `count` things from `place` on, the bytes of those before the end, and of the others. */
static void split(const struct sip_ring *ring, uint64_t place, uint32_t count, size_t *out_before,
                  size_t *out_behind)
{
    const uint32_t room = ring->capacity - (uint32_t)(place % ring->capacity);
    const uint32_t before = room < count ? room : count;

    *out_before = (size_t)before * ring->item_bytes;
    *out_behind = (size_t)(count - before) * ring->item_bytes;
}

uint32_t sip_ring_put(struct sip_ring *ring, const void *items, uint32_t count)
{
    const uint64_t place = (uint64_t)ring->first + ring->count;
    size_t before, behind;

    count = count < sip_ring_room(ring) ? count : sip_ring_room(ring);
    if (count > 0) {
        split(ring, place, count, &before, &behind);
        memcpy(place_at(ring, place), items, before);
        memcpy(ring->places, (const char *)items + before, behind);
        ring->count += count;
    }
    return count;
}

uint32_t sip_ring_take(struct sip_ring *ring, void *items, uint32_t count)
{
    size_t before, behind;

    count = count < ring->count ? count : ring->count;
    if (count > 0 && items != NULL) {
        split(ring, ring->first, count, &before, &behind);
        memcpy(items, place_at(ring, ring->first), before);
        memcpy((char *)items + before, ring->places, behind);
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
