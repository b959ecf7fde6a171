/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gcm.h - private to fabric: AES-256-GCM (NIST SP 800-38D) of whole frames, by Intel's library for
 * IPsec, which takes a frame in one call with what instructions the processor has (AES-NI, VAES).
 * Nonces are 12 bytes, tags 16.
 *
 * Why not libsodium, whose AES-GCM is the same: it does what is left over of 128 bytes slowly, and
 * has one block of AES an instruction. On the bench machine, seal and open in ns:
 *
 *     bytes        64        100        128      1,400       8,900
 *     libsodium   143 149   182 189   107 120   713 843   3773 4606
 *     this         45  27    46  29    47  28   104  92    422  411
 *
 * Threads: any, a key at a time may be used by all. Errors: none but a wrong tag.
 */
#ifndef FABRIC_GCM_H
#define FABRIC_GCM_H

#include <stdbool.h>
#include <stdint.h>

#define FAB__GCM_NONCE_BYTES 12u
#define FAB__GCM_TAG_BYTES 16u
#define FAB__GCM_KEY_BYTES 32u

/* Expanded, with powers of the hash key. The caller's to wipe. */
struct fab__gcm_key {
    uint8_t expanded[1024] __attribute__((aligned(16)));
};

/* Has this processor the instructions, and was there memory for the library's table? */
bool fab__gcm_is_here(void);
/* The others need fab__gcm_is_here. */
void fab__gcm_key_make(struct fab__gcm_key *out, const uint8_t key[FAB__GCM_KEY_BYTES]);
/* Writes bytes + FAB__GCM_TAG_BYTES; out may be plain itself, else they do not overlap. */
void fab__gcm_seal(const struct fab__gcm_key *key, const uint8_t nonce[FAB__GCM_NONCE_BYTES],
                   const uint8_t *header, uint32_t header_bytes, const uint8_t *plain,
                   uint32_t bytes, uint8_t *out);
/* sealed: `bytes` and the tag. False: the tag is wrong, and what is in out means nothing. */
bool fab__gcm_open(const struct fab__gcm_key *key, const uint8_t nonce[FAB__GCM_NONCE_BYTES],
                   const uint8_t *header, uint32_t header_bytes, const uint8_t *sealed,
                   uint32_t bytes, uint8_t *out);

#endif
