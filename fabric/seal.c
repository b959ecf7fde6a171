/* SPDX-License-Identifier: Apache-2.0 */
#include "seal.h"

#include <assert.h>
#include <string.h>

_Static_assert(FAB__TAG_BYTES == FAB__GCM_TAG_BYTES, "AES-GCM");
_Static_assert(FAB__TAG_BYTES == crypto_aead_chacha20poly1305_ietf_ABYTES, "RFC 8439");
_Static_assert(FAB__KEY_BYTES == FAB__GCM_KEY_BYTES, "AES-GCM");
_Static_assert(FAB__KEY_BYTES == crypto_aead_chacha20poly1305_ietf_KEYBYTES, "RFC 8439");
/* When no number of the phase before is in the window, that phase is two or more behind. */
_Static_assert(FAB__REPLAY_WINDOW < 1u << FAB__PHASE_SHIFT, "window");

#define NONCE_BYTES 12u
#define SEEN_BITS (FAB__REPLAY_WORDS * 64u)
_Static_assert(NONCE_BYTES == FAB__GCM_NONCE_BYTES, "AES-GCM");
_Static_assert(NONCE_BYTES == crypto_aead_chacha20poly1305_ietf_NPUBBYTES, "RFC 8439");
_Static_assert((SEEN_BITS & (SEEN_BITS - 1u)) == 0, "a ring by mask");

/* --- ciphers ---------------------------------------------------------------------------------- */

uint8_t fab__ciphers_here(void)
{
    return (uint8_t)(FAB__CIPHER_CHACHA20POLY1305 |
                     (fab__gcm_is_here() ? FAB__CIPHER_AES256GCM : 0));
}

enum fab__cipher fab__cipher_choose(uint8_t own_bits, uint8_t peer_bits)
{
    uint8_t both = own_bits & peer_bits;

    if ((both & FAB__CIPHER_AES256GCM) != 0) {
        return FAB__CIPHER_AES256GCM;
    }
    if ((both & FAB__CIPHER_CHACHA20POLY1305) != 0) {
        return FAB__CIPHER_CHACHA20POLY1305;
    }
    return FAB__CIPHER_NONE;
}

static void nonce_write(uint8_t nonce[NONCE_BYTES], uint8_t cipher, uint64_t number)
{
    memset(nonce, 0, NONCE_BYTES);
    for (uint32_t i = 0; i < 8; i++) {
        uint32_t shift = cipher == FAB__CIPHER_AES256GCM ? 56u - 8u * i : 8u * i;
        nonce[4 + i] = (uint8_t)(number >> shift);
    }
}

/* --- phases ----------------------------------------------------------------------------------- */

static uint64_t phase_of(uint64_t number)
{
    return number >> FAB__PHASE_SHIFT;
}

/* Makes the key of the phase that secret is of, and the secret of the next in its place. */
static void phase_next(uint8_t cipher, uint8_t secret[FAB__KEY_BYTES],
                       union fab__phase_key *out_key)
{
    uint8_t label[] = "sipfabric frames"; /* its final zero becomes the cipher */
    uint8_t next[FAB__HASH_BYTES];
    uint8_t key[FAB__HASH_BYTES];

    label[sizeof(label) - 1] = cipher;
    fab__hkdf(secret, FAB__KEY_BYTES, label, sizeof(label), next, key);
    memcpy(secret, next, FAB__KEY_BYTES);
    if (cipher == FAB__CIPHER_AES256GCM) {
        fab__gcm_key_make(&out_key->aes, key);
    } else {
        memcpy(out_key->chacha, key, FAB__KEY_BYTES);
    }
    sodium_memzero(next, sizeof(next));
    sodium_memzero(key, sizeof(key));
}

/* --- sealing ---------------------------------------------------------------------------------- */

void fab__sealer_init(struct fab__sealer *sealer, enum fab__cipher cipher,
                      const uint8_t key[FAB__KEY_BYTES])
{
    assert(sealer != NULL);
    assert(cipher == FAB__CIPHER_AES256GCM || cipher == FAB__CIPHER_CHACHA20POLY1305);
    memset(sealer, 0, sizeof(*sealer));
    sealer->cipher = (uint8_t)cipher;
    memcpy(sealer->secret, key, sizeof(sealer->secret));
    phase_next(sealer->cipher, sealer->secret, &sealer->key);
}

void fab__sealer_wipe(struct fab__sealer *sealer)
{
    sodium_memzero(sealer, sizeof(*sealer));
}

sf_status fab__seal(struct fab__sealer *sealer, uint64_t number, const uint8_t *header,
                    uint32_t header_bytes, const uint8_t *plain, uint32_t plain_bytes, uint8_t *out)
{
    uint8_t nonce[NONCE_BYTES];

    assert(sealer->cipher != FAB__CIPHER_NONE);
    if (number > FAB__NUMBER_MAX) {
        return SF_LIMIT;
    }
    if (number <= sealer->number || phase_of(number) - sealer->phase > 1) {
        return SF_BADARG;
    }
    if (phase_of(number) != sealer->phase) {
        phase_next(sealer->cipher, sealer->secret, &sealer->key);
        sealer->phase++;
    }
    sealer->number = number;
    nonce_write(nonce, sealer->cipher, number);
    if (sealer->cipher == FAB__CIPHER_AES256GCM) {
        fab__gcm_seal(&sealer->key.aes, nonce, header, header_bytes, plain, plain_bytes, out);
    } else {
        (void)crypto_aead_chacha20poly1305_ietf_encrypt(
            out, NULL, plain, plain_bytes, header, header_bytes, NULL, nonce, sealer->key.chacha);
    }
    return SF_OK;
}

/* --- opening ---------------------------------------------------------------------------------- */

void fab__unsealer_init(struct fab__unsealer *unsealer, enum fab__cipher cipher,
                        const uint8_t key[FAB__KEY_BYTES])
{
    assert(unsealer != NULL);
    assert(cipher == FAB__CIPHER_AES256GCM || cipher == FAB__CIPHER_CHACHA20POLY1305);
    memset(unsealer, 0, sizeof(*unsealer));
    unsealer->cipher = (uint8_t)cipher;
    memcpy(unsealer->secret, key, sizeof(unsealer->secret));
    phase_next(unsealer->cipher, unsealer->secret, &unsealer->keys[0]);
}

void fab__unsealer_wipe(struct fab__unsealer *unsealer)
{
    sodium_memzero(unsealer, sizeof(*unsealer));
}

static uint64_t *seen_word(struct fab__unsealer *unsealer, uint64_t number)
{
    return &unsealer->seen[number % SEEN_BITS / 64u];
}

static bool seen_has(struct fab__unsealer *unsealer, uint64_t number)
{
    if (number > unsealer->number) {
        return false;
    }
    return unsealer->number - number >= FAB__REPLAY_WINDOW ||
           (*seen_word(unsealer, number) >> (number % 64u) & 1u) != 0;
}

static void seen_add(struct fab__unsealer *unsealer, uint64_t number)
{
    if (number > unsealer->number) {
        uint64_t words = number / 64u - unsealer->number / 64u;
        if (words > FAB__REPLAY_WORDS) {
            words = FAB__REPLAY_WORDS;
        }
        for (uint64_t i = 0; i < words; i++) {
            *seen_word(unsealer, number - 64u * i) = 0;
        }
        unsealer->number = number;
    }
    *seen_word(unsealer, number) |= 1ull << (number % 64u);
}

/* After a frame of that number was opened. */
static void phase_follow(struct fab__unsealer *unsealer, uint64_t number)
{
    if (phase_of(number) > unsealer->phase) {
        unsealer->phase++;
        unsealer->has_before = true;
        unsealer->has_next = false;
        /* The place of the next key is that of the key two phases back: made new before use. */
        sodium_memzero(&unsealer->keys[(unsealer->phase + 1) % 3], sizeof(unsealer->keys[0]));
    }
    if (unsealer->has_before && number >= FAB__REPLAY_WINDOW &&
        phase_of(number - FAB__REPLAY_WINDOW + 1) == unsealer->phase) {
        sodium_memzero(&unsealer->keys[(unsealer->phase + 2) % 3], sizeof(unsealer->keys[0]));
        unsealer->has_before = false;
    }
}

static bool frame_open(const struct fab__unsealer *unsealer, uint64_t number, const uint8_t *header,
                       uint32_t header_bytes, const uint8_t *sealed, uint32_t sealed_bytes,
                       uint8_t *out)
{
    const union fab__phase_key *key = &unsealer->keys[phase_of(number) % 3];
    uint8_t nonce[NONCE_BYTES];

    nonce_write(nonce, unsealer->cipher, number);
    if (unsealer->cipher == FAB__CIPHER_AES256GCM) {
        return fab__gcm_open(&key->aes, nonce, header, header_bytes, sealed,
                             sealed_bytes - FAB__TAG_BYTES, out);
    }
    return crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed, sealed_bytes, header,
                                                     header_bytes, nonce, key->chacha) == 0;
}

sf_status fab__unseal(struct fab__unsealer *unsealer, uint64_t number, const uint8_t *header,
                      uint32_t header_bytes, const uint8_t *sealed, uint32_t sealed_bytes,
                      uint8_t *out)
{
    uint64_t phase = phase_of(number);

    assert(unsealer->cipher != FAB__CIPHER_NONE);
    if (sealed_bytes < FAB__TAG_BYTES) {
        return SF_FORMAT;
    }
    if (number == 0 || number > FAB__NUMBER_MAX || phase > unsealer->phase + 1) {
        return SF_LIMIT;
    }
    if (seen_has(unsealer, number)) {
        return SF_EXISTS;
    }
    /* What is not seen is of this phase or the next, or of the one before, whose key is there. */
    assert(phase >= unsealer->phase || (unsealer->has_before && phase + 1 == unsealer->phase));
    if (phase > unsealer->phase && !unsealer->has_next) {
        phase_next(unsealer->cipher, unsealer->secret, &unsealer->keys[phase % 3]);
        unsealer->has_next = true;
    }
    if (!frame_open(unsealer, number, header, header_bytes, sealed, sealed_bytes, out)) {
        return SF_TRUST;
    }
    phase_follow(unsealer, number);
    seen_add(unsealer, number);
    return SF_OK;
}
