/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_memory.c - for tests on the host: what memory.c has in a SIP, without its allocator.
 */
#include "sip.h"

void *memmove(void *to, const void *from, size_t bytes)
{
    uint8_t *a = to;
    const uint8_t *b = from;

    for (size_t i = 0; i < bytes; i++) {
        const size_t at = a < b ? i : bytes - 1 - i;
        a[at] = b[at];
    }
    return to;
}

void *memcpy(void *to, const void *from, size_t bytes)
{
    return memmove(to, from, bytes);
}

void *memset(void *to, int value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        ((uint8_t *)to)[i] = (uint8_t)value;
    }
    return to;
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
