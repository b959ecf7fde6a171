/* SPDX-License-Identifier: Apache-2.0 */
/* hashchain.c - each hash (64-bit FNV-1a of 32 bytes) is part of what the next one hashes. */
#include "tax.h"

#define LINKS 20000u

static uint64_t __attribute__((noinline)) hash(const uint8_t *bytes, size_t count)
{
    uint64_t h = 0xcbf29ce484222325ull;

    for (size_t i = 0; i < count; i++) {
        h = (h ^ bytes[i]) * 0x100000001b3ull;
    }
    return h;
}

uint64_t tax_work(uint32_t rounds)
{
    uint64_t block[4] = {1, 2, 3, 4};

    for (uint32_t i = 0; i < rounds * LINKS; i++) {
        const uint64_t h = hash((const uint8_t *)block, sizeof(block));

        block[i % 4] = h;
        block[(i + 1) % 4] ^= h >> 17;
    }
    return tax_fold(block[0] ^ block[1], block[2] ^ block[3]);
}
