/* SPDX-License-Identifier: Apache-2.0 */
/*
 * swap.h - which blocks two SIPs exchange: both know, so each can tell what it got from what it
 * should have got.
 *
 * Sizes: every 50th block is of a ladder up to 8 MiB, with neighbours of powers of two; the others
 * have 1 byte to 64 KiB, each power of two as often as any other. None is larger than what both are
 * told by `bytes_max` (8 MiB). Content: a stream of numbers that
 * begins with the block's number and way.
 */
#ifndef TESTS_RDMA_SIPS_SWAP_H
#define TESTS_RDMA_SIPS_SWAP_H

#include "sip.h"

enum swap_way { SWAP_THERE, SWAP_BACK };

#define SWAP_LADDER_EVERY 50u
#define SWAP_MIB (1024u * 1024u)

static inline uint64_t swap_mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdull;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ull;
    return x ^ x >> 33;
}

static inline uint32_t swap_wanted(uint32_t number, enum swap_way way)
{
    static const uint32_t ladder[] = {8 * SWAP_MIB,
                                      1,
                                      2,
                                      4096,
                                      4097,
                                      8191,
                                      8192,
                                      65536,
                                      65537,
                                      131071,
                                      262144,
                                      262145,
                                      524288,
                                      SWAP_MIB - 1,
                                      SWAP_MIB,
                                      SWAP_MIB + 1,
                                      2 * SWAP_MIB,
                                      4 * SWAP_MIB - 1,
                                      8 * SWAP_MIB - 1,
                                      63};
    const uint32_t count = sizeof(ladder) / sizeof(ladder[0]);
    const uint64_t x = swap_mix((uint64_t)number << 1 | (uint64_t)way);

    if (number % SWAP_LADDER_EVERY == 0) {
        return ladder[(number / SWAP_LADDER_EVERY + (way == SWAP_BACK ? count / 2 : 0)) % count];
    }
    return 1 + (uint32_t)(x >> 8) % (1u << (x % 17));
}

static inline uint32_t swap_bytes(uint32_t number, enum swap_way way)
{
    const uint32_t bytes = swap_wanted(number, way);
    const uint32_t bytes_max = sip_config_u32("bytes_max", 8 * SWAP_MIB);

    return bytes < bytes_max ? bytes : bytes_max;
}

static inline void swap_fill(uint8_t *data, uint32_t bytes, uint32_t number, enum swap_way way)
{
    uint64_t x = swap_mix(((uint64_t)number << 1 | (uint64_t)way) + 0x9e3779b97f4a7c15ull);
    uint32_t i = 0;

    for (; i + 8 <= bytes; i += 8) {
        x = x * 6364136223846793005ull + 1442695040888963407ull;
        memcpy(data + i, &x, 8);
    }
    for (; i < bytes; i++) {
        x = x * 6364136223846793005ull + 1442695040888963407ull;
        data[i] = (uint8_t)(x >> 56);
    }
}

static inline uint64_t swap_sum(const uint8_t *data, uint32_t bytes)
{
    uint64_t sum = 0xcbf29ce484222325ull ^ bytes;
    uint32_t i = 0;

    for (; i + 8 <= bytes; i += 8) {
        uint64_t word;

        memcpy(&word, data + i, 8);
        sum = (sum ^ word) * 0x100000001b3ull;
        sum ^= sum >> 29;
    }
    for (; i < bytes; i++) {
        sum = (sum ^ data[i]) * 0x100000001b3ull;
    }
    return sum;
}

/* A block as it has to be sent; NULL: no memory. */
static inline uint8_t *swap_make(uint32_t number, enum swap_way way, uint32_t *out_bytes,
                                 uint64_t *out_sum)
{
    const uint32_t bytes = swap_bytes(number, way);
    uint8_t *data = nk_block_alloc(bytes);

    if (data != NULL) {
        swap_fill(data, bytes, number, way);
        *out_bytes = bytes;
        *out_sum = swap_sum(data, bytes);
    }
    return data;
}

/* What is wrong with a block that came, NULL: nothing. wanted: the number that is due. */
static inline const char *swap_wrong(uint32_t number, uint32_t wanted, enum swap_way way,
                                     uint64_t sum, const uint8_t *data, uint32_t bytes)
{
    if (number != wanted) {
        return "out of order";
    }
    if (bytes != swap_bytes(number, way)) {
        return "of another size";
    }
    return sum != swap_sum(data, bytes) ? "damaged" : NULL;
}

#endif
