/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target for memif's rings: what another process can do to memory that it shares with
 * us, while we send and receive. Built with clang; ./run fuzz ring.
 *
 * The input: a byte that says which side we are, then steps of four bytes. The first one chooses:
 *   0, 1  the other process writes: an offset in the first part (rings), then a byte
 *   2     it sets both counts of our rings
 *   3     it sets length and flags of the slot we come to next
 *   4     we receive up to so many frames
 *   5     we send up to so many frames
 * Whatever we touch is ours or the memory's, and a frame is never longer than a slot.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "memif_ring.h"

#define RINGS 2u
#define SLOTS 16u
#define SLOT_BYTES 256u
#define MEMORY_BYTES (2 * RINGS * (RING_HEAD_BYTES + SLOTS * (RING_SLOT_BYTES + SLOT_BYTES)))
#define RINGS_BYTES (2 * RINGS * (RING_HEAD_BYTES + SLOTS * RING_SLOT_BYTES))

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void must(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void frames_take(struct ring_end *end, uint32_t count, uint8_t *copy)
{
    uint32_t ready = ring_ready(end, count);

    must(ready <= SLOTS);
    count = count < ready ? count : ready;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t frame_bytes = ring_length(end, i);

        must(frame_bytes <= SLOT_BYTES);
        memcpy(copy, ring_buffer(end, i), frame_bytes);
    }
    ring_advance(end, count);
}

static void frames_put(struct ring_end *end, uint32_t count, const uint8_t *frame)
{
    uint32_t ready = ring_ready(end, count);

    must(ready <= SLOTS);
    count = count < ready ? count : ready;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(ring_buffer(end, i), frame, SLOT_BYTES);
        ring_length_set(end, i, SLOT_BYTES);
    }
    ring_advance(end, count);
    (void)ring_asleep(end);
}

static void step(const uint8_t bytes[4], const struct ring_memory *memory, struct ring_end *out,
                 struct ring_end *in, uint8_t *own)
{
    uint32_t value = (uint32_t)bytes[1] << 8 | bytes[2];

    switch (bytes[0] % 6) {
    case 2:
        *out->theirs = (uint16_t)value;
        *in->theirs = (uint16_t)(value * bytes[3]);
        break;
    case 3:
        ring_slot(in, 0)->length = value * bytes[3];
        ring_slot(in, 0)->flags = bytes[3] & 1u;
        break;
    case 4:
        frames_take(in, bytes[3] % 40u, own);
        break;
    case 5:
        frames_put(out, bytes[3] % 40u, own);
        break;
    default:
        memory->bytes[value % RINGS_BYTES] = bytes[3];
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct ring_memory memory = {
        .size = MEMORY_BYTES, .rings_each_way = RINGS, .slots = SLOTS, .slot_bytes = SLOT_BYTES};
    struct ring_end out, in;
    uint8_t *own;

    if (length == 0) {
        return 0;
    }
    /* Of just these sizes, so that a sanitizer sees a byte too much. */
    memory.bytes = calloc(1, MEMORY_BYTES);
    own = calloc(1, SLOT_BYTES);
    must(memory.bytes != NULL && own != NULL);
    for (uint32_t i = 0; i < 2 * RINGS; i++) {
        uint32_t cookie = RING_COOKIE;

        memcpy(memory.bytes + i * (RING_HEAD_BYTES + SLOTS * RING_SLOT_BYTES), &cookie,
               sizeof(cookie));
    }
    must(ring_ends_open(&memory, RINGS - 1, bytes[0] & 1u, &out, &in) == SF_OK);
    for (size_t at = 1; at + 4 <= length; at += 4) {
        step(bytes + at, &memory, &out, &in, own);
    }
    free(own);
    free(memory.bytes);
    return 0;
}
