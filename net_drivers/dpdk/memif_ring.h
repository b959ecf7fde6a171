/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memif_ring.h - frames into and out of the rings that the two ends of a memif link share.
 *
 * Why: DPDK makes the link (socket, memory, rings, eventfds); its bursts copy as many bytes as a
 * descriptor in shared memory says, from where it says, so whoever is at the other end could make
 * us overwrite our own memory. They also fetch the other end's counter with every burst, whether
 * it matters or not, which costs a cache line's way between the processors.
 *
 * Model: an end is one side of one ring. Both sides count slots with 16 bits, wrapping: each owns
 * the slots from its own count up to a limit that the other one's count sets. A sender fills slots
 * and advances; a receiver reads them and advances. Slot i's buffer is the i-th behind the rings,
 * as DPDK's client lays them out; what descriptors say of places is not looked at.
 *
 * The memory, by the memif protocol (version 2.0; VPP's memif.h names the fields): rings of the
 * client to the server, then those back, each RING_HEAD_BYTES and a descriptor of RING_SLOT_BYTES a
 * slot; then the buffers of each ring in the same order.
 *
 *   client to server   head: the sender's count; tail: the receiver's
 *   server to client   tail: the sender's count; head: the receiver's, and a whole ring
 *
 * Both ends must be this code: to a server, DPDK's clients give each buffer's length anew.
 * Untrusted: all of the shared memory, which may change at any time. A count that cannot be is cut
 * to a whole ring, a length that cannot be is 0; our own counts are not read back.
 * Threads: one a ring end. Ownership: the memory is the caller's, and must stay while an end is
 * used.
 */
#ifndef DPDK_MEMIF_RING_H
#define DPDK_MEMIF_RING_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define RING_COOKIE 0x3e31f20u
#define RING_FLAG_MASK_INTERRUPT 1u
#define RING_HEAD_BYTES 128u
#define RING_SLOT_BYTES 16u
#define RING_SLOTS_MAX 16384u

struct ring_slot {
    uint16_t flags;
    uint16_t region;
    uint32_t length;
    uint32_t offset;
    uint32_t metadata;
};

struct ring {
    uint32_t cookie;
    uint16_t flags;
    uint16_t head;
    uint8_t line[56];
    uint16_t tail;
    uint8_t line2[62];
    struct ring_slot slots[];
};
_Static_assert(sizeof(struct ring_slot) == RING_SLOT_BYTES, "as the protocol has it");
_Static_assert(offsetof(struct ring, slots) == RING_HEAD_BYTES, "as the protocol has it");

/* Memory that is shared, as its two processes agreed on it. */
struct ring_memory {
    uint8_t *bytes;
    size_t size;
    uint32_t rings_each_way; /* 1.. */
    uint32_t slots;          /* of a ring; a power of two, at most RING_SLOTS_MAX */
    uint32_t slot_bytes;     /* of a buffer */
};

struct ring_end {
    struct ring *ring; /* NULL: there is none */
    uint8_t *buffers;
    uint16_t *ours, *theirs; /* the two counts */
    uint32_t slot_bytes;
    uint32_t slots;
    uint16_t next;                     /* our count */
    uint16_t limit;                    /* as far as we have seen */
    uint16_t ours_ahead, theirs_ahead; /* what is added to a count: 0, or a whole ring */
};

/* Bytes of such memory. */
size_t ring_memory_bytes(uint32_t rings_each_way, uint32_t slots, uint32_t slot_bytes);
/*
 * Begins at the ends of ring `index` there and back, as the server or the client, with counts of 0.
 * FORMAT: the memory has another size, or there is no ring.
 */
SF_MUST_CHECK sf_status ring_ends_open(const struct ring_memory *memory, uint32_t index,
                                       bool server, struct ring_end *out_to_send,
                                       struct ring_end *out_to_take);

/* Slots that are ours, looked for if there are fewer than wanted. */
static inline uint32_t ring_ready(struct ring_end *end, uint32_t wanted)
{
    uint16_t count = (uint16_t)(end->limit - end->next);

    if (count < wanted) {
        end->limit = (uint16_t)(__atomic_load_n(end->theirs, __ATOMIC_ACQUIRE) + end->theirs_ahead);
        count = (uint16_t)(end->limit - end->next);
        if (__builtin_expect(count > end->slots, 0)) {
            count = (uint16_t)end->slots;
            end->limit = (uint16_t)(end->next + count);
        }
    }
    return count;
}

/* Of the slot that is `ahead` of the next, less than what ring_ready answered. */
static inline uint8_t *ring_buffer(const struct ring_end *end, uint32_t ahead)
{
    return end->buffers + (size_t)((end->next + ahead) & (end->slots - 1)) * end->slot_bytes;
}

static inline struct ring_slot *ring_slot(const struct ring_end *end, uint32_t ahead)
{
    return &end->ring->slots[(end->next + ahead) & (end->slots - 1)];
}

/* What the sender says it put there, at most slot_bytes; 0: nothing that it can have. */
static inline uint32_t ring_length(const struct ring_end *end, uint32_t ahead)
{
    const struct ring_slot *slot = ring_slot(end, ahead);
    uint32_t length = __atomic_load_n(&slot->length, __ATOMIC_RELAXED);
    uint16_t flags = __atomic_load_n(&slot->flags, __ATOMIC_RELAXED);

    return length <= end->slot_bytes && flags == 0 ? length : 0;
}

/* Of a slot that was filled. length: at most slot_bytes. */
static inline void ring_length_set(const struct ring_end *end, uint32_t ahead, uint32_t length)
{
    struct ring_slot *slot = ring_slot(end, ahead);

    assert(length <= end->slot_bytes);
    __atomic_store_n(&slot->flags, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->length, length, __ATOMIC_RELAXED);
}

/* So many slots are the other end's. */
static inline void ring_advance(struct ring_end *end, uint32_t count)
{
    end->next = (uint16_t)(end->next + count);
    __atomic_store_n(end->ours, (uint16_t)(end->next + end->ours_ahead), __ATOMIC_RELEASE);
}

/* Of a receiver, by what stands in the memory: also where somebody else than this code advances. */
static inline bool ring_is_empty(const struct ring_end *end)
{
    uint16_t theirs = __atomic_load_n(end->theirs, __ATOMIC_ACQUIRE);
    uint16_t ours = __atomic_load_n(end->ours, __ATOMIC_RELAXED);

    return theirs == (uint16_t)(ours - end->ours_ahead);
}

/* Of a sender, after it has advanced: the receiver sleeps, and wants its eventfd written. */
static inline bool ring_asleep(const struct ring_end *end)
{
    return (__atomic_load_n(&end->ring->flags, __ATOMIC_RELAXED) & RING_FLAG_MASK_INTERRUPT) == 0;
}

#endif
