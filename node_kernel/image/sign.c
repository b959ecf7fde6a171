/* SPDX-License-Identifier: Apache-2.0 */
/* sign.c - the signature of an image: made, checked, and judged by a trust list. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "image.pb-c.h"

#define ALGORITHM_ED25519 1u
#define KEY_AT 16u
#define BYTES_AT 48u
#define DOMAIN_BYTES 32u
#define SIGNED_BYTES (DOMAIN_BYTES + IMAGE_HEADER_BYTES)

_Static_assert(BYTES_AT + crypto_sign_BYTES == IMAGE_SIGNATURE_BYTES, "fields of the section");
_Static_assert(IMAGE_KEY_BYTES == crypto_sign_PUBLICKEYBYTES, "Ed25519");

/* What is signed: no other use of the same key can give these bytes. */
static void signed_message(const uint8_t *header, uint8_t out_message[SIGNED_BYTES])
{
    static const char domain[DOMAIN_BYTES] = "sipfabric image header 1";

    memcpy(out_message, domain, DOMAIN_BYTES);
    memcpy(out_message + DOMAIN_BYTES, header, IMAGE_HEADER_BYTES);
}

sf_status image_sign(const uint8_t *bytes, size_t length, const struct image_secret *secret,
                     uint8_t **out_bytes, size_t *out_length)
{
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES], key[crypto_sign_SECRETKEYBYTES];
    uint8_t message[SIGNED_BYTES];
    struct image_report report = {0};
    struct image_header header;
    uint8_t *copy, *section;
    size_t end;
    sf_status st = image__check_sizes(bytes, length, &header, &report);

    if (st != SF_OK) {
        return st;
    }
    end = (size_t)(header.elf_offset + header.elf_bytes);
    if (end + IMAGE_SIGNATURE_BYTES > IMAGE_BYTES_MAX) {
        return SF_LIMIT;
    }
    copy = calloc(1, end + IMAGE_SIGNATURE_BYTES);
    if (copy == NULL) {
        return SF_NOMEM;
    }
    memcpy(copy, bytes, end);
    image__store_le(copy + 12, IMAGE_SIGNATURE_BYTES, 4);
    section = copy + end;
    (void)crypto_sign_seed_keypair(public_key, key, secret->seed);
    memcpy(section, IMAGE_SIGNATURE_MAGIC, 8);
    image__store_le(section + 8, ALGORITHM_ED25519, 4);
    memcpy(section + KEY_AT, public_key, sizeof(public_key));
    signed_message(copy, message);
    (void)crypto_sign_detached(section + BYTES_AT, NULL, message, sizeof(message), key);
    sodium_memzero(key, sizeof(key));
    *out_bytes = copy;
    *out_length = end + IMAGE_SIGNATURE_BYTES;
    return SF_OK;
}

sf_status image__check_signature(struct image *image, const uint8_t *bytes, size_t length,
                                 const struct image_header *header, struct image_report *report)
{
    const uint8_t *section = bytes + (length - header->signature_bytes);
    uint8_t message[SIGNED_BYTES];
    char id[IMAGE_KEY_ID_CHARS + 1];

    if (header->signature_bytes == 0) {
        return SF_OK;
    }
    if (memcmp(section, IMAGE_SIGNATURE_MAGIC, 8) != 0 ||
        image__load_le(section + 8, 4) != ALGORITHM_ED25519 ||
        image__load_le(section + 12, 4) != 0) {
        return image__broken(report, SF_FORMAT, "signature-format",
                             "not a signature that this version knows; build and sign it again");
    }
    signed_message(bytes, message);
    if (crypto_sign_verify_detached(section + BYTES_AT, message, sizeof(message),
                                    section + KEY_AT) != 0) {
        image_key_id(section + KEY_AT, id);
        return image__broken(report, SF_TRUST, "signature",
                             "it is not the signature that key %s gave: the image was altered "
                             "after it was signed; build and sign it again",
                             id);
    }
    image->is_signed = true;
    memcpy(image->signer, section + KEY_AT, sizeof(image->signer));
    return SF_OK;
}

/* "dev 0123456789abcdef and 2 more", "none". */
static const char *list_keys(const struct image_trust *trust, char *buffer, size_t capacity)
{
    char id[IMAGE_KEY_ID_CHARS + 1];
    char more[24] = "";

    if (trust->key_count == 0) {
        return "no key";
    }
    if (trust->key_count > 1) {
        (void)snprintf(more, sizeof(more), " and %u more", trust->key_count - 1);
    }
    image_key_id(trust->keys[0].bytes, id);
    (void)snprintf(buffer, capacity, "%s (%s)%s", id, trust->keys[0].name, more);
    return buffer;
}

bool image_vouched_for(const struct image *image, const struct image_trust *trust)
{
    return image->is_signed && image_trust_find(trust, image->signer) != NULL;
}

sf_status image__check_signer(const struct image *image, const struct image_trust *trust,
                              const char *name, struct image_report *report)
{
    const char *space = name != NULL ? " " : "";
    char id[IMAGE_KEY_ID_CHARS + 1];
    char keys[128];

    name = name != NULL ? name : "";
    if (trust->allow_unsigned || image_vouched_for(image, trust)) {
        return SF_OK;
    }
    if (!image->is_signed) {
        return image__broken(report, SF_TRUST, "signature-missing",
                             "image%s%s is not signed; trusted here: %s; sign it with a trusted "
                             "key: sipc sign FILE --key KEY",
                             space, name, list_keys(trust, keys, sizeof(keys)));
    }
    image_key_id(image->signer, id);
    return image__broken(report, SF_TRUST, "signature-key",
                         "image%s%s is signed with key %s, which is not trusted; trusted here: %s; "
                         "sign it with a trusted key, or make the cluster with --trust KEY.pub",
                         space, name, id, list_keys(trust, keys, sizeof(keys)));
}

sf_status image__check_name(const struct image *image, const char *name,
                            struct image_report *report)
{
    if (name == NULL || strcmp(image->manifest->name, name) == 0) {
        return SF_OK;
    }
    if (!image__name_ok(name)) {
        return image__broken(report, SF_TRUST, "image-name", "what was asked for is no image name");
    }
    return image__broken(report, SF_TRUST, "image-name",
                         "the image was built and signed as '%s', but '%.40s' was asked for; name "
                         "its file %s.sip, or write image-name: %s in the graph, if it is the one "
                         "you mean",
                         image->manifest->name, name, image->manifest->name, image->manifest->name);
}

sf_status image_open_trusted(const uint8_t *bytes, size_t length, const struct image_trust *trust,
                             const char *name, struct image **out_image, char *text,
                             size_t text_capacity)
{
    struct image_report report = {.text = text, .capacity = text_capacity};

    return image__open(bytes, length, trust, name, out_image, &report);
}

sf_status image_check_trust(const struct image *image, const struct image_trust *trust,
                            const char *name, char *text, size_t text_capacity)
{
    struct image_report report = {.text = text, .capacity = text_capacity};
    sf_status st = image__check_signer(image, trust, image->manifest->name, &report);

    return st == SF_OK ? image__check_name(image, name, &report) : st;
}
