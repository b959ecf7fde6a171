/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hkdf.h - private to fabric: keys made from keys, as the Noise Protocol Framework does it
 * (revision 34, section 4.3): HKDF (RFC 5869) of two outputs over HMAC (RFC 2104) with BLAKE2b
 * (RFC 7693) of 64 bytes.
 *
 * Pure. What is secret and temporary is wiped before return.
 */
#ifndef FABRIC_HKDF_H
#define FABRIC_HKDF_H

#include <stddef.h>
#include <stdint.h>

#define FAB__HASH_BYTES 64u
#define FAB__KEY_BYTES 32u

/*
 * out_first and out_second are the two outputs for key ("chaining key") and input; each may be the
 * same memory as key or input, but they do not overlap one another. input may be NULL with
 * input_bytes 0.
 */
void fab__hkdf(const uint8_t *key, size_t key_bytes, const uint8_t *input, size_t input_bytes,
               uint8_t out_first[FAB__HASH_BYTES], uint8_t out_second[FAB__HASH_BYTES]);

#endif
