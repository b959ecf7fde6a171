/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.c - memory functions and the allocator of libsip.
 *
 * Allocator: first fit over a list of free chunks in address order, neighbours joined on free.
 * A chunk has a header of 8 bytes: its size, header included, a multiple of 16. Memory comes from
 * the end of the module's data and grows with memory.grow up to the manifest's limit.
 */
#include "sip.h"

#ifdef __wasm__ /* mode native: in sipc's run-time stub, as gcc may call them, too */
void *memcpy(void *to, const void *from, size_t bytes)
{
    return __builtin_memcpy(to, from, bytes); /* one instruction: memory.copy */
}

void *memmove(void *to, const void *from, size_t bytes)
{
    return __builtin_memmove(to, from, bytes);
}

void *memset(void *to, int value, size_t bytes)
{
    return __builtin_memset(to, value, bytes);
}

int memcmp(const void *a, const void *b, size_t bytes)
{
    const uint8_t *x = a, *y = b;

    for (size_t i = 0; i < bytes; i++) {
        if (x[i] != y[i]) {
            return x[i] < y[i] ? -1 : 1;
        }
    }
    return 0;
}

extern char __heap_base;
#define HEAP_BASE ((uintptr_t)&__heap_base)
#define MEMORY_END() ((uintptr_t)__builtin_wasm_memory_size(0) * WASM_PAGE)
#define MEMORY_GROW(pages) (__builtin_wasm_memory_grow(0, pages) != (size_t)-1)
#else /* all memory is there from the start */
extern char sip__heap_base[];
char *sip__heap_end(void);
#define HEAP_BASE ((uintptr_t)sip__heap_base)
#define MEMORY_END() ((uintptr_t)sip__heap_end())
#define MEMORY_GROW(pages) ((void)(pages), false)
#endif

#define CHUNK_ALIGN 16u
#define CHUNK_HEAD 8u
#define WASM_PAGE 65536u

struct chunk {
    uint32_t bytes;     /* with this header */
    uint32_t used;      /* CHUNK_USED, or 0 */
    struct chunk *next; /* free chunks only */
};
#define CHUNK_USED 0x51b0a110u

static struct chunk *free_list;
static uintptr_t heap_end; /* 0: nothing taken yet */

/* Puts a chunk on the list and joins it with its neighbours. */
static void chunk_free(struct chunk *chunk)
{
    struct chunk *before = NULL, *after = free_list;

    while (after != NULL && after < chunk) {
        before = after;
        after = after->next;
    }
    chunk->used = 0;
    chunk->next = after;
    if (after != NULL && (char *)chunk + chunk->bytes == (char *)after) {
        chunk->bytes += after->bytes;
        chunk->next = after->next;
    }
    if (before == NULL) {
        free_list = chunk;
    } else if ((char *)before + before->bytes == (char *)chunk) {
        before->bytes += chunk->bytes;
        before->next = chunk->next;
    } else {
        before->next = chunk;
    }
}

/* Chunks begin 8 bytes before a multiple of 16, so that what callers get is aligned. */
static bool heap_grow(uint32_t bytes)
{
    const uintptr_t size = MEMORY_END();
    const uintptr_t start =
        heap_end != 0
            ? heap_end
            : (((HEAP_BASE + CHUNK_HEAD + CHUNK_ALIGN - 1) & ~(uintptr_t)(CHUNK_ALIGN - 1)) -
               CHUNK_HEAD);
    uintptr_t end = size - CHUNK_HEAD;
    struct chunk *chunk = (struct chunk *)start;

    if (end < start || end - start < bytes) {
        const uint64_t wanted = (uint64_t)start + bytes + CHUNK_HEAD - size;
        const size_t pages = (size_t)((wanted + WASM_PAGE - 1) / WASM_PAGE);
        if (!MEMORY_GROW(pages)) {
            return false;
        }
        end = size + pages * WASM_PAGE - CHUNK_HEAD;
    }
    heap_end = end;
    chunk->bytes = (uint32_t)(end - start);
    chunk_free(chunk);
    return true;
}

static struct chunk *take_first_fit(uint32_t bytes)
{
    struct chunk **link = &free_list;

    for (struct chunk *chunk = free_list; chunk != NULL; link = &chunk->next, chunk = chunk->next) {
        if (chunk->bytes < bytes) {
            continue;
        }
        if (chunk->bytes - bytes >= 2 * CHUNK_ALIGN) {
            struct chunk *rest = (struct chunk *)((char *)chunk + bytes);
            rest->bytes = chunk->bytes - bytes;
            rest->used = 0;
            rest->next = chunk->next;
            chunk->bytes = bytes;
            *link = rest;
        } else {
            *link = chunk->next;
        }
        chunk->used = CHUNK_USED;
        return chunk;
    }
    return NULL;
}

void *sip_alloc(size_t bytes)
{
    struct chunk *chunk;
    uint32_t need;

    if (bytes == 0 || bytes > NK_LARGE_WINDOW_OFFSET) {
        return NULL;
    }
    need = ((uint32_t)bytes + CHUNK_HEAD + CHUNK_ALIGN - 1) & ~(CHUNK_ALIGN - 1);
    chunk = take_first_fit(need);
    if (chunk == NULL && heap_grow(need)) {
        chunk = take_first_fit(need);
    }
    return chunk == NULL ? NULL : (char *)chunk + CHUNK_HEAD;
}

void sip_free(void *memory)
{
    struct chunk *chunk;

    if (memory == NULL) {
        return;
    }
    chunk = (struct chunk *)((char *)memory - CHUNK_HEAD);
    if (chunk->used != CHUNK_USED) {
        __builtin_trap(); /* freed twice, or never allocated: better a report here than later */
    }
    chunk_free(chunk);
}

size_t sip_alloc_bytes(const void *memory)
{
    const struct chunk *chunk = (const struct chunk *)((const char *)memory - CHUNK_HEAD);

    if (chunk->used != CHUNK_USED) {
        __builtin_trap(); /* as in sip_free */
    }
    return chunk->bytes - CHUNK_HEAD;
}
