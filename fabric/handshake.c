/* SPDX-License-Identifier: Apache-2.0 */
#include "handshake.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#define EPHEMERAL_BYTES FAB__KEY_BYTES
#define TAG_BYTES (FAB__HANDSHAKE_BYTES - EPHEMERAL_BYTES)

_Static_assert(FAB__KEY_BYTES == crypto_scalarmult_BYTES, "X25519");
_Static_assert(FAB__KEY_BYTES == crypto_scalarmult_SCALARBYTES, "X25519");
_Static_assert(FAB__KEY_BYTES == crypto_aead_chacha20poly1305_ietf_KEYBYTES, "RFC 8439");
_Static_assert(TAG_BYTES == crypto_aead_chacha20poly1305_ietf_ABYTES, "RFC 8439");
_Static_assert(FAB__HASH_BYTES == crypto_generichash_BYTES_MAX, "BLAKE2b");

static const char protocol_name[] = "Noise_KK_25519_ChaChaPoly_BLAKE2b";
_Static_assert(sizeof(protocol_name) - 1 <= FAB__HASH_BYTES, "a longer name would be hashed first");

/* A key is used for one message, which has one (empty) payload: n is 0 whenever it is used. */
static const uint8_t nonce_zero[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

/* --- the symmetric state, section 5.2 --------------------------------------------------------- */

static void mix_hash(struct fab__handshake *handshake, const uint8_t *bytes, size_t length)
{
    crypto_generichash_state state;

    (void)crypto_generichash_init(&state, NULL, 0, FAB__HASH_BYTES);
    (void)crypto_generichash_update(&state, handshake->hash, sizeof(handshake->hash));
    (void)crypto_generichash_update(&state, bytes, length);
    (void)crypto_generichash_final(&state, handshake->hash, sizeof(handshake->hash));
}

static void mix_key(struct fab__handshake *handshake, const uint8_t secret[FAB__KEY_BYTES])
{
    uint8_t key[FAB__HASH_BYTES];

    fab__hkdf(handshake->chain, sizeof(handshake->chain), secret, FAB__KEY_BYTES, handshake->chain,
              key);
    memcpy(handshake->key, key, sizeof(handshake->key));
    sodium_memzero(key, sizeof(key));
}

/* A DH token. False: peer is a point of low order. */
static bool mix_dh(struct fab__handshake *handshake, const uint8_t secret[FAB__KEY_BYTES],
                   const uint8_t peer[FAB__KEY_BYTES])
{
    uint8_t shared[FAB__KEY_BYTES];
    bool good = crypto_scalarmult(shared, secret, peer) == 0;

    if (good) {
        mix_key(handshake, shared);
    }
    sodium_memzero(shared, sizeof(shared));
    return good;
}

/* EncryptAndHash of an empty payload. */
static void write_tag(struct fab__handshake *handshake, uint8_t out_tag[TAG_BYTES])
{
    (void)crypto_aead_chacha20poly1305_ietf_encrypt(out_tag, NULL, NULL, 0, handshake->hash,
                                                    sizeof(handshake->hash), NULL, nonce_zero,
                                                    handshake->key);
    mix_hash(handshake, out_tag, TAG_BYTES);
}

/* DecryptAndHash of an empty payload. */
static bool read_tag(struct fab__handshake *handshake, const uint8_t tag[TAG_BYTES])
{
    if (crypto_aead_chacha20poly1305_ietf_decrypt(NULL, NULL, NULL, tag, TAG_BYTES, handshake->hash,
                                                  sizeof(handshake->hash), nonce_zero,
                                                  handshake->key) != 0) {
        return false;
    }
    mix_hash(handshake, tag, TAG_BYTES);
    return true;
}

/* --- keys that last --------------------------------------------------------------------------- */

sf_status fab__pair_init(struct fab__pair *pair, const uint8_t secret[FAB__KEY_BYTES],
                         const uint8_t peer[FAB__KEY_BYTES])
{
    assert(pair != NULL);
    memcpy(pair->secret, secret, sizeof(pair->secret));
    memcpy(pair->peer, peer, sizeof(pair->peer));
    if (crypto_scalarmult_base(pair->own, secret) != 0 ||
        crypto_scalarmult(pair->shared, secret, peer) != 0) {
        fab__pair_wipe(pair);
        return SF_TRUST;
    }
    return SF_OK;
}

void fab__pair_wipe(struct fab__pair *pair)
{
    sodium_memzero(pair, sizeof(*pair));
}

/* --- the two messages, section 5.3 ------------------------------------------------------------ */

void fab__handshake_begin(struct fab__handshake *handshake, const struct fab__pair *pair,
                          bool initiator)
{
    assert(handshake != NULL);
    assert(pair != NULL);
    memset(handshake, 0, sizeof(*handshake));
    handshake->pair = pair;
    handshake->initiator = initiator;
    memcpy(handshake->hash, protocol_name, sizeof(protocol_name) - 1);
    memcpy(handshake->chain, handshake->hash, sizeof(handshake->chain));
}

/* What comes before the tokens of the next message. */
static void mix_header(struct fab__handshake *handshake, const uint8_t *header,
                       uint32_t header_bytes)
{
    const struct fab__pair *pair = handshake->pair;

    if (handshake->stage == FAB__HANDSHAKE_FIRST) {
        mix_hash(handshake, header, header_bytes); /* the prologue, also if it is empty */
        mix_hash(handshake, handshake->initiator ? pair->own : pair->peer, FAB__KEY_BYTES);
        mix_hash(handshake, handshake->initiator ? pair->peer : pair->own, FAB__KEY_BYTES);
    } else if (header_bytes != 0) {
        mix_hash(handshake, header, header_bytes);
    }
}

/* es, ss or ee, se, as this side computes them for the message that is next. */
static bool mix_tokens(struct fab__handshake *handshake, bool writes)
{
    const struct fab__pair *pair = handshake->pair;

    if (handshake->stage == FAB__HANDSHAKE_FIRST) {
        if (!(writes ? mix_dh(handshake, handshake->ephemeral, pair->peer)
                     : mix_dh(handshake, pair->secret, handshake->peer_ephemeral))) {
            return false;
        }
        mix_key(handshake, pair->shared);
        return true;
    }
    return mix_dh(handshake, handshake->ephemeral, handshake->peer_ephemeral) &&
           (writes ? mix_dh(handshake, handshake->ephemeral, pair->peer)
                   : mix_dh(handshake, pair->secret, handshake->peer_ephemeral));
}

/* Message 1 is the initiator's, message 2 the responder's. */
static bool turn_to_write(const struct fab__handshake *handshake)
{
    return handshake->stage ==
           (handshake->initiator ? FAB__HANDSHAKE_FIRST : FAB__HANDSHAKE_SECOND);
}

static bool turn_to_read(const struct fab__handshake *handshake)
{
    return handshake->stage ==
           (handshake->initiator ? FAB__HANDSHAKE_SECOND : FAB__HANDSHAKE_FIRST);
}

sf_status fab__handshake_write(struct fab__handshake *handshake, const uint8_t *header,
                               uint32_t header_bytes,
                               const uint8_t ephemeral_secret[FAB__KEY_BYTES],
                               uint8_t out_message[FAB__HANDSHAKE_BYTES])
{
    struct fab__handshake next;
    sf_status st = SF_TRUST;

    if (!turn_to_write(handshake)) {
        return SF_BADARG;
    }
    next = *handshake;
    mix_header(&next, header, header_bytes);
    memcpy(next.ephemeral, ephemeral_secret, sizeof(next.ephemeral));
    if (crypto_scalarmult_base(out_message, ephemeral_secret) != 0) {
        goto wipe_next;
    }
    mix_hash(&next, out_message, EPHEMERAL_BYTES);
    if (!mix_tokens(&next, true)) {
        goto wipe_next;
    }
    write_tag(&next, out_message + EPHEMERAL_BYTES);
    next.stage++;
    *handshake = next;
    st = SF_OK;

wipe_next:
    sodium_memzero(&next, sizeof(next));
    return st;
}

sf_status fab__handshake_read(struct fab__handshake *handshake, const uint8_t *header,
                              uint32_t header_bytes, const uint8_t message[FAB__HANDSHAKE_BYTES])
{
    struct fab__handshake next;
    sf_status st = SF_TRUST;

    if (!turn_to_read(handshake)) {
        return SF_BADARG;
    }
    next = *handshake;
    mix_header(&next, header, header_bytes);
    memcpy(next.peer_ephemeral, message, sizeof(next.peer_ephemeral));
    mix_hash(&next, message, EPHEMERAL_BYTES);
    if (mix_tokens(&next, false) && read_tag(&next, message + EPHEMERAL_BYTES)) {
        next.stage++;
        *handshake = next;
        st = SF_OK;
    }
    sodium_memzero(&next, sizeof(next));
    return st;
}

sf_status fab__handshake_keys(struct fab__handshake *handshake, uint8_t out_tx[FAB__KEY_BYTES],
                              uint8_t out_rx[FAB__KEY_BYTES])
{
    uint8_t first[FAB__HASH_BYTES];
    uint8_t second[FAB__HASH_BYTES];

    if (handshake->stage != FAB__HANDSHAKE_DONE) {
        return SF_BADARG;
    }
    fab__hkdf(handshake->chain, sizeof(handshake->chain), NULL, 0, first, second);
    memcpy(out_tx, handshake->initiator ? first : second, FAB__KEY_BYTES);
    memcpy(out_rx, handshake->initiator ? second : first, FAB__KEY_BYTES);
    sodium_memzero(first, sizeof(first));
    sodium_memzero(second, sizeof(second));
    fab__handshake_wipe(handshake);
    return SF_OK;
}

void fab__handshake_wipe(struct fab__handshake *handshake)
{
    sodium_memzero(handshake, sizeof(*handshake));
    handshake->stage = FAB__HANDSHAKE_OVER;
}
