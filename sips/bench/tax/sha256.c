/* SPDX-License-Identifier: Apache-2.0 */
/* sha256.c - SHA-256 (FIPS 180-4) over 64 KiB, checked against the standard's example. */
#include "tax.h"

#define DATA_BYTES (64u << 10)

static const uint32_t k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

struct sha256 {
    uint32_t state[8];
    uint64_t length;
    uint32_t used;
    uint8_t block[64];
};

static uint8_t data[DATA_BYTES];

static uint32_t rotate(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

static void compress(uint32_t state[8], const uint8_t *block)
{
    uint32_t w[64], s[8];

    for (unsigned i = 0; i < 16; i++) {
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    }
    for (unsigned i = 16; i < 64; i++) {
        const uint32_t a = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
        const uint32_t b = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + a + w[i - 7] + b;
    }
    memcpy(s, state, sizeof(s));
    for (unsigned i = 0; i < 64; i++) {
        const uint32_t e = rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25);
        const uint32_t t = s[7] + e + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
        const uint32_t a = rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22);
        const uint32_t m = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
        s[7] = s[6];
        s[6] = s[5];
        s[5] = s[4];
        s[4] = s[3] + t;
        s[3] = s[2];
        s[2] = s[1];
        s[1] = s[0];
        s[0] = t + a + m;
    }
    for (unsigned i = 0; i < 8; i++) {
        state[i] += s[i];
    }
}

static void begin(struct sha256 *sha)
{
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

    memset(sha, 0, sizeof(*sha));
    memcpy(sha->state, start, sizeof(start));
}

static void add(struct sha256 *sha, const uint8_t *bytes, size_t count)
{
    sha->length += count;
    while (count > 0) {
        size_t part = 64 - sha->used;

        if (sha->used == 0 && count >= 64) {
            compress(sha->state, bytes);
            bytes += 64;
            count -= 64;
            continue;
        }
        part = part < count ? part : count;
        memcpy(sha->block + sha->used, bytes, part);
        sha->used += (uint32_t)part;
        bytes += part;
        count -= part;
        if (sha->used == 64) {
            compress(sha->state, sha->block);
            sha->used = 0;
        }
    }
}

static void end(struct sha256 *sha)
{
    const uint64_t bits = sha->length * 8;
    uint8_t tail[8];

    add(sha, (const uint8_t *)"\x80", 1);
    while (sha->used != 56) {
        add(sha, (const uint8_t *)"", 1);
    }
    for (unsigned i = 0; i < 8; i++) {
        tail[i] = (uint8_t)(bits >> (56 - 8 * i));
    }
    add(sha, tail, 8);
}

uint64_t tax_work(uint32_t rounds)
{
    struct sha256 sha;
    uint32_t random = 1;
    uint64_t sum = 0;

    begin(&sha);
    add(&sha, (const uint8_t *)"abc", 3);
    end(&sha);
    if (sha.state[0] != 0xba7816bf || sha.state[7] != 0xf20015ad) {
        __builtin_trap();
    }
    for (uint32_t i = 0; i < DATA_BYTES; i++) {
        data[i] = (uint8_t)tax_random(&random);
    }
    for (uint32_t i = 0; i < rounds; i++) {
        data[i % DATA_BYTES]++;
        begin(&sha);
        add(&sha, data, DATA_BYTES);
        end(&sha);
        sum = tax_fold(sum, (uint64_t)sha.state[0] << 32 | sha.state[7]);
    }
    return sum;
}
