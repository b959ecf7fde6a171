/* SPDX-License-Identifier: Apache-2.0 */
#include "hkdf.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#define HMAC_BLOCK_BYTES 128u /* of BLAKE2b */

/* HMAC of a, then b. out may be any of the inputs' memory. */
static void hmac(const uint8_t *key, size_t key_bytes, const uint8_t *a, size_t a_bytes,
                 const uint8_t *b, size_t b_bytes, uint8_t out[FAB__HASH_BYTES])
{
    crypto_generichash_state state;
    uint8_t block[HMAC_BLOCK_BYTES];
    uint8_t inner[FAB__HASH_BYTES];

    assert(key_bytes <= HMAC_BLOCK_BYTES);
    memset(block, 0x36, sizeof(block));
    for (size_t i = 0; i < key_bytes; i++) {
        block[i] ^= key[i];
    }
    (void)crypto_generichash_init(&state, NULL, 0, FAB__HASH_BYTES);
    (void)crypto_generichash_update(&state, block, sizeof(block));
    (void)crypto_generichash_update(&state, a, a_bytes);
    (void)crypto_generichash_update(&state, b, b_bytes);
    (void)crypto_generichash_final(&state, inner, sizeof(inner));

    for (size_t i = 0; i < sizeof(block); i++) {
        block[i] ^= 0x36u ^ 0x5cu;
    }
    (void)crypto_generichash_init(&state, NULL, 0, FAB__HASH_BYTES);
    (void)crypto_generichash_update(&state, block, sizeof(block));
    (void)crypto_generichash_update(&state, inner, sizeof(inner));
    (void)crypto_generichash_final(&state, out, FAB__HASH_BYTES);

    sodium_memzero(&state, sizeof(state));
    sodium_memzero(block, sizeof(block));
    sodium_memzero(inner, sizeof(inner));
}

void fab__hkdf(const uint8_t *key, size_t key_bytes, const uint8_t *input, size_t input_bytes,
               uint8_t out_first[FAB__HASH_BYTES], uint8_t out_second[FAB__HASH_BYTES])
{
    static const uint8_t one = 1;
    static const uint8_t two = 2;
    uint8_t temporary[FAB__HASH_BYTES];

    hmac(key, key_bytes, input, input_bytes, NULL, 0, temporary);
    hmac(temporary, sizeof(temporary), &one, 1, NULL, 0, out_first);
    hmac(temporary, sizeof(temporary), out_first, FAB__HASH_BYTES, &two, 1, out_second);
    sodium_memzero(temporary, sizeof(temporary));
}
