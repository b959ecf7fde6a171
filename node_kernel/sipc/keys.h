/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys.h - sipc's dealings with keys: making them, reading their files, signing images.
 *
 * A file with a secret key must be readable by its owner only; others are refused, as ssh does.
 * Secrets are overwritten in memory once they were used.
 *
 * Errors: as in work.h, printed here. Threads: one.
 */
#ifndef SIPC_KEYS_H
#define SIPC_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "image/trust.h"

#define KEYS_SIGNER_BYTES 160u

/* SIPC_KEY of the environment, or NULL. */
const char *keys_default(void);
/*
 * Writes NAME.key (mode 0600) and NAME.pub, and the key's id to stdout. EXISTS: one of them is
 * there; with if_missing that is OK, and a missing NAME.pub is made from NAME.key.
 */
SF_MUST_CHECK sf_status keys_generate(const char *name, bool if_missing);
/* Replaces *bytes (malloc'ed) by a signed copy; frees it also on failure, *bytes is NULL then. */
SF_MUST_CHECK sf_status keys_sign(uint8_t **bytes, size_t *length, const char *key_path);
/* Opens an image, signs it and writes it; out may be the same path. */
SF_MUST_CHECK sf_status keys_sign_file(const char *path, const char *out, const char *key_path);
SF_MUST_CHECK sf_status keys_trust_file(struct image_trust *trust, const char *path);
/* Who signed an image and what that is worth here (trust NULL: cannot be said). Answers buffer. */
const char *keys_signer(const struct image *image, const struct image_trust *trust,
                        char buffer[KEYS_SIGNER_BYTES]);

#endif
