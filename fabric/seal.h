/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal.h - private to fabric: encrypts and decrypts the frames of a session, one direction each.
 *
 * Model: a sealed frame is header, ciphertext as long as the plaintext, tag of 16 bytes. The header
 * is readable and authenticated (associated data). Cipher: AES-256-GCM (NIST SP 800-38D) if the
 * processors of both sides have instructions for it, else ChaCha20-Poly1305 (RFC 8439). Nonce: four
 * bytes of zero, then the frame's number, 8 bytes, big endian for AES-GCM and little endian for
 * ChaCha20-Poly1305 (Noise revision 34, sections 12.3 and 12.4).
 *
 * Key change: number >> FAB__PHASE_SHIFT is the frame's phase, so both sides know without a word
 * when the key changes. From the handshake's key, which is the secret of phase 0,
 *     secret of the next phase, key of this phase = HKDF(secret of this phase, label),
 * the first 32 bytes of each output; label is "sipfabric frames", then the cipher's bit. A secret
 * is wiped when the next one is made, so that the keys of old frames cannot be had from a node's
 * memory.
 *
 * The receiver takes numbers of its phase and of the one before (frames overtake one another), as
 * far as its window reaches. The first frame of the next phase that authenticates makes that one
 * its phase. Until then the next phase's key is a guess that is made once, so forged numbers cost a
 * tag each and change nothing. A number further ahead costs nothing at all. So a receiver that has
 * missed more than 2^24 frames in a row cannot go on; sessions end long before that.
 *
 * Limits: 2^24 frames a key. At 9,216 bytes that is 2^33.2 AES blocks, where what can be told from
 * random is 2^-62 (sigma^2 / 2^129), far inside the 2^-57 that RFC 8446, section 5.5 settles for;
 * SP 800-38D asks for at most 2^32 uses of a key. ChaCha20-Poly1305 has no such limit. A forged
 * frame passes with less than 2^-92 (RFC 8439, section 4; less still for AES-GCM).
 *
 * Untrusted: number, header and sealed bytes given to unseal. docs/encryption.md has the whole.
 * Threads: none inside. Ownership: plain memory, no allocation, 16-byte aligned (calloc is); wipe
 * before giving it up. Needs sodium_init.
 */
#ifndef FABRIC_SEAL_H
#define FABRIC_SEAL_H

#include <sodium.h>
#include <stdbool.h>

#include "base/status.h"
#include "gcm.h"
#include "hkdf.h"

#define FAB__TAG_BYTES 16u
#define FAB__PHASE_SHIFT 24u
#define FAB__NUMBER_MAX (UINT64_MAX - 1u) /* frames are numbered from 1 */
/* A number this far behind the highest that was opened counts as seen. */
#define FAB__REPLAY_WINDOW 1984u
#define FAB__REPLAY_WORDS (FAB__REPLAY_WINDOW / 64u + 1u)

/* As bits of the hello's field, and one of them as the cipher of a session. */
enum fab__cipher {
    FAB__CIPHER_NONE = 0,
    FAB__CIPHER_AES256GCM = 1,
    FAB__CIPHER_CHACHA20POLY1305 = 2,
};

/* What this processor can do; the caller passes it on, so that tests can pass something else. */
uint8_t fab__ciphers_here(void);
/*
 * The cipher of a session, the same on both sides. NONE: there is none in common. The peer's bits
 * must come from a hello header that the handshake authenticated; bits not known here are ignored.
 */
enum fab__cipher fab__cipher_choose(uint8_t own_bits, uint8_t peer_bits);

/* The key of one phase, as its cipher wants it. */
union fab__phase_key {
    struct fab__gcm_key aes; /* expanded once: frames are small */
    uint8_t chacha[FAB__KEY_BYTES];
};

struct fab__sealer {
    union fab__phase_key key;
    uint64_t phase;
    uint64_t number;                /* the last one; 0: none */
    uint8_t cipher;                 /* enum fab__cipher */
    uint8_t secret[FAB__KEY_BYTES]; /* of phase + 1 */
};

struct fab__unsealer {
    union fab__phase_key keys[3]; /* by phase modulo 3: the one before, this one, the next */
    uint64_t phase;
    uint64_t number; /* the highest one opened; 0: none */
    uint8_t cipher;  /* enum fab__cipher */
    bool has_before;
    bool has_next;
    uint8_t secret[FAB__KEY_BYTES];   /* of phase + 1, or with has_next of phase + 2 */
    uint64_t seen[FAB__REPLAY_WORDS]; /* a ring of bits: number modulo their count */
};

/* key is the caller's to wipe. */
void fab__sealer_init(struct fab__sealer *sealer, enum fab__cipher cipher,
                      const uint8_t key[FAB__KEY_BYTES]);
void fab__sealer_wipe(struct fab__sealer *sealer);
void fab__unsealer_init(struct fab__unsealer *unsealer, enum fab__cipher cipher,
                        const uint8_t key[FAB__KEY_BYTES]);
void fab__unsealer_wipe(struct fab__unsealer *unsealer);

/*
 * Seals plain into out, plain_bytes + FAB__TAG_BYTES; out may be plain itself, else they do not
 * overlap. plain may be empty. Each number is higher than the one before (else BADARG: no number
 * is ever used twice), and by at most one phase. LIMIT: beyond FAB__NUMBER_MAX; begin a new
 * session. Nothing is written then.
 */
SF_MUST_CHECK sf_status fab__seal(struct fab__sealer *sealer, uint64_t number,
                                  const uint8_t *header, uint32_t header_bytes,
                                  const uint8_t *plain, uint32_t plain_bytes, uint8_t *out);

/*
 * Opens a frame into out, sealed_bytes - FAB__TAG_BYTES; out may be sealed itself, else they do not
 * overlap. Cheap checks come first: FORMAT, shorter than a tag; LIMIT, no number or one more than a
 * phase ahead; EXISTS, opened before, or too old to know. Then TRUST: the tag is wrong; what is in
 * out means nothing. After anything but OK, all that follows is as if the frame had not come.
 */
SF_MUST_CHECK sf_status fab__unseal(struct fab__unsealer *unsealer, uint64_t number,
                                    const uint8_t *header, uint32_t header_bytes,
                                    const uint8_t *sealed, uint32_t sealed_bytes, uint8_t *out);

#endif
