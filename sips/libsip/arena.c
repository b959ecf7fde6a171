/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.c - sip_memory.h, on top of sip_alloc.
 */
#include "sip.h"
#include "sip_memory.h"

#define ARENA_ALIGN 16u
#define ARENA_CHUNK_BYTES 4096u

struct sip_arena_chunk {
    struct sip_arena_chunk *next;
    size_t bytes; /* with this header */
};
#define ARENA_HEAD ((sizeof(struct sip_arena_chunk) + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1))

void *sip_realloc(void *memory, size_t bytes)
{
    const size_t had = memory == NULL ? 0 : sip_alloc_bytes(memory);
    void *moved;

    if (bytes == 0) {
        sip_free(memory);
        return NULL;
    }
    if (bytes <= had && bytes >= had / 2) { /* there is room, and not too much of it */
        return memory;
    }
    moved = sip_alloc(bytes);
    if (moved == NULL) {
        return bytes <= had ? memory : NULL;
    }
    if (had > 0) {
        memcpy(moved, memory, had < bytes ? had : bytes);
    }
    sip_free(memory);
    return moved;
}

void *sip_alloc_zeroed(size_t count, size_t bytes)
{
    size_t total;
    void *memory;

    if (__builtin_mul_overflow(count, bytes, &total)) {
        return NULL;
    }
    memory = sip_alloc(total);
    if (memory != NULL) {
        memset(memory, 0, total);
    }
    return memory;
}

void sip_arena_init(struct sip_arena *arena, size_t chunk_bytes, size_t limit_bytes)
{
    const struct sip_arena empty = {
        .chunk_bytes = chunk_bytes == 0 ? ARENA_CHUNK_BYTES : chunk_bytes,
        .limit_bytes = limit_bytes == 0 ? SIZE_MAX : limit_bytes,
    };

    *arena = empty;
}

static void arena_free_from(struct sip_arena *arena, struct sip_arena_chunk *chunk)
{
    while (chunk != NULL) {
        struct sip_arena_chunk *next = chunk->next;
        arena->taken_bytes -= chunk->bytes;
        sip_free(chunk);
        chunk = next;
    }
}

void sip_arena_fini(struct sip_arena *arena)
{
    arena_free_from(arena, arena->chunks);
    arena->chunks = NULL;
    arena->used = 0;
    arena->total = 0;
}

void sip_arena_reset(struct sip_arena *arena)
{
    if (arena->chunks != NULL) {
        arena_free_from(arena, arena->chunks->next);
        arena->chunks->next = NULL;
        arena->used = ARENA_HEAD;
    }
}

/* Puts a chunk with room for `bytes` in front. */
static bool arena_grow(struct sip_arena *arena, size_t bytes)
{
    size_t total;
    struct sip_arena_chunk *chunk;

    if (__builtin_add_overflow(bytes, ARENA_HEAD, &total)) {
        return false;
    }
    if (total < arena->chunk_bytes) {
        total = arena->chunk_bytes;
    }
    if (total > arena->limit_bytes - arena->taken_bytes) {
        return false;
    }
    chunk = sip_alloc(total);
    if (chunk == NULL) {
        return false;
    }
    chunk->next = arena->chunks;
    chunk->bytes = total;
    arena->chunks = chunk;
    arena->taken_bytes += total;
    arena->used = ARENA_HEAD;
    arena->total = total;
    return true;
}

void *sip_arena_take(struct sip_arena *arena, size_t bytes)
{
    void *memory;
    size_t need;

    if (bytes == 0 || __builtin_add_overflow(bytes, (size_t)(ARENA_ALIGN - 1), &need)) {
        return NULL;
    }
    need &= ~(size_t)(ARENA_ALIGN - 1);
    if (need > arena->total - arena->used && !arena_grow(arena, need)) {
        return NULL;
    }
    memory = (char *)arena->chunks + arena->used;
    arena->used += need;
    return memory;
}

char *sip_arena_text(struct sip_arena *arena, const char *text, size_t bytes)
{
    char *copy = bytes == SIZE_MAX ? NULL : sip_arena_take(arena, bytes + 1);

    if (copy != NULL) {
        if (bytes > 0) {
            memcpy(copy, text, bytes);
        }
        copy[bytes] = '\0';
    }
    return copy;
}
