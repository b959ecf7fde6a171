/* SPDX-License-Identifier: Apache-2.0 */
#include "memif_ring.h"

static size_t ring_bytes(uint32_t slots)
{
    return RING_HEAD_BYTES + (size_t)RING_SLOT_BYTES * slots;
}

size_t ring_memory_bytes(uint32_t rings_each_way, uint32_t slots, uint32_t slot_bytes)
{
    return 2u * rings_each_way * (ring_bytes(slots) + (size_t)slots * slot_bytes);
}

/* Ring `number` of all, sent by us or by the other end; `from_client`: which of the two kinds. */
static sf_status end_open(const struct ring_memory *memory, uint32_t number, bool sender,
                          bool from_client, struct ring_end *out)
{
    struct ring *ring = (struct ring *)(void *)(memory->bytes + number * ring_bytes(memory->slots));
    uint8_t *buffers = memory->bytes + 2u * memory->rings_each_way * ring_bytes(memory->slots);
    bool head_is_ours = sender == from_client;
    uint16_t whole = (uint16_t)memory->slots;

    if (__atomic_load_n(&ring->cookie, __ATOMIC_RELAXED) != RING_COOKIE) {
        return SF_FORMAT;
    }
    *out = (struct ring_end){
        .ring = ring,
        .buffers = buffers + (size_t)number * memory->slots * memory->slot_bytes,
        .ours = head_is_ours ? &ring->head : &ring->tail,
        .theirs = head_is_ours ? &ring->tail : &ring->head,
        .slot_bytes = memory->slot_bytes,
        .slots = memory->slots,
        .ours_ahead = !sender && !from_client ? whole : 0,
        .theirs_ahead = sender && from_client ? whole : 0,
    };
    return SF_OK;
}

sf_status ring_ends_open(const struct ring_memory *memory, uint32_t index, bool server,
                         struct ring_end *out_to_send, struct ring_end *out_to_take)
{
    uint32_t back = memory->rings_each_way + index;
    sf_status st;

    assert(index < memory->rings_each_way && memory->slots <= RING_SLOTS_MAX);
    assert((memory->slots & (memory->slots - 1)) == 0);
    if (memory->size !=
        ring_memory_bytes(memory->rings_each_way, memory->slots, memory->slot_bytes)) {
        return SF_FORMAT;
    }
    st = end_open(memory, server ? back : index, true, !server, out_to_send);
    if (st == SF_OK) {
        st = end_open(memory, server ? index : back, false, server, out_to_take);
    }
    if (st == SF_OK && !server) {
        ring_advance(out_to_take, 0); /* gives the server all slots */
    }
    return st;
}
