/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust.h - keys, who is trusted, and the signature of an image.
 *
 * Why: the hash of an image says that it is the one you mean, not who built it. A signature does,
 * and whoever maps images (sipnode), hands them on (fabricd) or looks at them (sipc) must decide
 * about it by the same code.
 *
 * Model: a key is an Ed25519 key with a name for people. Its id, 16 hexadecimal digits, is the
 * beginning of the BLAKE2b-256 of the public key: for messages only; decisions are made on whole
 * keys. A trust list has the public keys whose images are taken. An empty one takes nothing: that
 * unsigned images are taken as well must be said (allow_unsigned), and is for development only.
 *
 * Signature section: the last 112 bytes of a signed image (image.h): 8 bytes magic "SIPSIG\0\1";
 * u32 algorithm, 1 = Ed25519; u32 reserved 0; 32 bytes public key; 64 bytes signature. What is
 * signed is "sipfabric image header 1" padded with zeros to 32 bytes, then the image's header of 64
 * bytes, which has all sizes and the hash of all the rest. Ed25519 needs no randomness: the same
 * image and the same key give the same bytes.
 *
 * Key files are text, one key a line, empty lines and lines with # in front are skipped:
 *   sip-public-key-1 <64 hexadecimal digits> <name>
 *   sip-secret-key-1 <64 hexadecimal digits: the seed> <name>
 * A file of public keys may hold several; a file of a secret key holds exactly that.
 *
 * Untrusted: images and key files. Threads: pure functions. Errors: statuses with a sentence.
 * Limits: IMAGE_KEYS_MAX keys in a list; names [A-Za-z0-9._-]{1,63}.
 * Needs sodium_init, as image_open does.
 */
#ifndef IMAGE_TRUST_H
#define IMAGE_TRUST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "image/image.h"

#define IMAGE_SIGNATURE_MAGIC "SIPSIG\0\1"
#define IMAGE_SIGNATURE_BYTES 112u
#define IMAGE_KEYS_MAX 64u
#define IMAGE_KEY_NAME_BYTES_MAX 63u
#define IMAGE_KEY_ID_CHARS 16u
#define IMAGE_KEY_LINE_BYTES 192u /* of one key as text, with newline and zero byte */
#define IMAGE_KEY_FILE_BYTES_MAX 65536u

struct image_key {
    uint8_t bytes[IMAGE_KEY_BYTES];
    char name[IMAGE_KEY_NAME_BYTES_MAX + 1];
};

struct image_trust {
    struct image_key keys[IMAGE_KEYS_MAX];
    uint32_t key_count;
    bool allow_unsigned; /* also images that no trusted key has signed; shown wherever it matters */
};

/* For tests and benchmarks that load what they have just built themselves. */
extern const struct image_trust image_trust_anyone;

struct image_secret {
    uint8_t seed[32];
    char name[IMAGE_KEY_NAME_BYTES_MAX + 1];
};

bool image_key_name_ok(const char *name);
/* Writes the key's id and a zero byte. */
void image_key_id(const uint8_t key[IMAGE_KEY_BYTES], char out_id[IMAGE_KEY_ID_CHARS + 1]);

/* NULL: that key is not trusted. */
const struct image_key *image_trust_find(const struct image_trust *trust,
                                         const uint8_t key[IMAGE_KEY_BYTES]);
/* One that is there already is OK. BADARG: no usable key, or a bad name. LIMIT. */
SF_MUST_CHECK sf_status image_trust_add(struct image_trust *trust, const struct image_key *key);
/*
 * Adds all keys of a file's content. FORMAT, LIMIT: `text` says what, with the line; keys before
 * that line may have been added. FORMAT also for a file without any key.
 */
SF_MUST_CHECK sf_status image_trust_read(struct image_trust *trust, const char *content,
                                         size_t length, char *text, size_t text_capacity);

/* FORMAT: not a file of one secret key; text says why, without anything of the content. */
SF_MUST_CHECK sf_status image_secret_read(const char *content, size_t length,
                                          struct image_secret *out_secret, char *text,
                                          size_t text_capacity);
void image_secret_make(const char *name, struct image_secret *out_secret); /* a new random one */
void image_secret_public(const struct image_secret *secret, struct image_key *out_key);
/* Overwrites it, so that it does not stay in memory. */
void image_secret_wipe(struct image_secret *secret);
/* The lines of key files. Answers line. */
char *image_key_line(const struct image_key *key, char line[IMAGE_KEY_LINE_BYTES]);
char *image_secret_line(const struct image_secret *secret, char line[IMAGE_KEY_LINE_BYTES]);

/*
 * A signed copy of a sealed image; a signature it has already is replaced. *out_bytes is malloc'ed,
 * the caller's. FORMAT: no image by its header (open it first). LIMIT, NOMEM.
 */
SF_MUST_CHECK sf_status image_sign(const uint8_t *bytes, size_t length,
                                   const struct image_secret *secret, uint8_t **out_bytes,
                                   size_t *out_length);

/*
 * As image_open, but first: the signature must be by a key of `trust` (unless it allows unsigned
 * ones), and the image must have the name that was asked for (NULL: any). Nothing but the header
 * and the signature has been looked at when an image is refused for its signature.
 * TRUST: rules signature-missing, signature-key, image-name, and those of image_open.
 */
SF_MUST_CHECK sf_status image_open_trusted(const uint8_t *bytes, size_t length,
                                           const struct image_trust *trust, const char *name,
                                           struct image **out_image, char *text,
                                           size_t text_capacity);
/* A trusted key has signed it, whatever else the list allows. */
bool image_vouched_for(const struct image *image, const struct image_trust *trust);
/* The same decision about an open image, for a trust list or a name that came later. */
SF_MUST_CHECK sf_status image_check_trust(const struct image *image,
                                          const struct image_trust *trust, const char *name,
                                          char *text, size_t text_capacity);

#endif
