/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem_functions.h - the memory functions that gcc may call, the same in sealed and in native
 * images. Written so that the compiler cannot turn them into calls of themselves.
 */
#ifndef MEM_FUNCTIONS_H
#define MEM_FUNCTIONS_H

#include <stddef.h>
#include <stdint.h>

#define SF_KEEP __attribute__((used, noinline, optimize("no-tree-loop-distribute-patterns")))

/* Up to 32 bytes, overlapping: everything is read before anything is written. */
static inline __attribute__((always_inline)) void sf_move_small(uint8_t *to, const uint8_t *from,
                                                                size_t bytes)
{
    struct two {
        uint64_t a, b;
    } head, tail;

    if (bytes >= 16) {
        __builtin_memcpy(&head, from, 16);
        __builtin_memcpy(&tail, from + bytes - 16, 16);
        __builtin_memcpy(to, &head, 16);
        __builtin_memcpy(to + bytes - 16, &tail, 16);
    } else if (bytes >= 8) {
        __builtin_memcpy(&head.a, from, 8);
        __builtin_memcpy(&tail.a, from + bytes - 8, 8);
        __builtin_memcpy(to, &head.a, 8);
        __builtin_memcpy(to + bytes - 8, &tail.a, 8);
    } else if (bytes >= 4) {
        uint32_t first, last;
        __builtin_memcpy(&first, from, 4);
        __builtin_memcpy(&last, from + bytes - 4, 4);
        __builtin_memcpy(to, &first, 4);
        __builtin_memcpy(to + bytes - 4, &last, 4);
    } else if (bytes > 0) {
        const uint8_t first = from[0], middle = from[bytes / 2], last = from[bytes - 1];
        to[0] = first;
        to[bytes / 2] = middle;
        to[bytes - 1] = last;
    }
}

static inline __attribute__((always_inline)) void sf_move_up(void *to, const void *from,
                                                             size_t bytes)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

SF_KEEP void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
    if (bytes <= 32) {
        sf_move_small(to, from, bytes);
    } else {
        sf_move_up(to, from, bytes);
    }
    return to;
}

SF_KEEP void *memmove(void *to, const void *from, size_t bytes)
{
    uint8_t *t = to;
    const uint8_t *f = from;

    if (bytes <= 32) {
        sf_move_small(t, f, bytes);
    } else if ((uintptr_t)t - (uintptr_t)f >= bytes) {
        sf_move_up(to, from, bytes);
    } else {
        while (bytes > 32) {
            bytes -= 16;
            sf_move_small(t + bytes, f + bytes, 16);
            __asm__ volatile("" : : : "memory");
        }
        sf_move_small(t, f, bytes);
    }
    return to;
}

SF_KEEP void *memset(void *to, int value, size_t bytes)
{
    void *at = to;

    __asm__ volatile("rep stosb" : "+D"(at), "+c"(bytes) : "a"(value) : "memory");
    return to;
}

SF_KEEP int memcmp(const void *a, const void *b, size_t bytes)
{
    const uint8_t *x = a, *y = b;

    for (size_t i = 0; i < bytes; i++) {
        if (x[i] != y[i]) {
            return x[i] < y[i] ? -1 : 1;
        }
    }
    return 0;
}

#endif
