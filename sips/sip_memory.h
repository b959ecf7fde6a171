/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip_memory.h - more than sip_alloc and sip_free: other sizes, many at once, and arenas.
 *
 * Everything is 16-byte aligned. NULL says: none left, or a size of 0 or one that overflows; what
 * was there before is then as it was.
 */
#ifndef SIP_MEMORY_H
#define SIP_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Memory with the same content and another size; what was added is not cleared. May move: the old
 * pointer is gone on success, and still good on NULL. memory NULL: as sip_alloc. bytes 0: frees and
 * answers NULL. A pointer that is not allocated faults.
 */
void *sip_realloc(void *memory, size_t bytes);
/* count things of `bytes` each, all zero. NULL also if the product does not fit a size_t. */
void *sip_alloc_zeroed(size_t count, size_t bytes);
/* How many bytes may be used there: at least what was asked for. */
size_t sip_alloc_bytes(const void *memory);

/*
 * An arena: many small things that live as long as each other (all of one request), given back at
 * once. Model: a list of chunks; taking moves a mark. Ownership: what was taken belongs to the
 * arena and is gone after sip_arena_reset or sip_arena_fini.
 */
struct sip_arena {
    struct sip_arena_chunk *chunks; /* the current one first */
    size_t chunk_bytes;
    size_t used, total; /* of the current chunk */
    size_t taken_bytes; /* of all chunks, for the limit */
    size_t limit_bytes;
};

/* chunk_bytes: how much is asked of sip_alloc at a time (0: 4,096). limit_bytes bounds what the
 * chunks may add up to; 0: no bound but the SIP's memory. Allocates nothing yet. */
void sip_arena_init(struct sip_arena *arena, size_t chunk_bytes, size_t limit_bytes);
/* Frees all. The arena is then as after init. */
void sip_arena_fini(struct sip_arena *arena);
/* All that was taken is gone; the newest chunk is kept for what comes. */
void sip_arena_reset(struct sip_arena *arena);
/* Not cleared. NULL: no memory, the limit, or bytes is 0. */
void *sip_arena_take(struct sip_arena *arena, size_t bytes);
/* A terminated copy of `bytes` bytes; of none, an empty text. */
char *sip_arena_text(struct sip_arena *arena, const char *text, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
