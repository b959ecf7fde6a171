/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target of the image reader: any bytes are refused with a rule, or are an image that is safe
 * to map. The last byte of the input says how the rest is presented:
 *   0  as it is
 *   1  with the right hash in the header
 *   2  the same, signed with a key that is trusted
 *   3  taken apart, sealed again and signed: damage reaches what lies behind all hashes
 *   4  as a file of keys, public and secret
 * Whatever the way, image_open_trusted must let in exactly what image_open takes, is signed by the
 * trusted key and has the right name.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "abi/nk_abi.h"
#include "image.pb-c.h"
#include "image/image.h"
#include "image/trust.h"

#define WAYS 5u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static struct image_secret secret;
static struct image_trust trusted; /* that secret's key */

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void set_up(void)
{
    struct image_key key;

    if (trusted.key_count > 0) {
        return;
    }
    must(sodium_init() >= 0);
    memset(secret.seed, 7, sizeof(secret.seed));
    memcpy(secret.name, "fuzz", 5);
    image_secret_public(&secret, &key);
    must(image_trust_add(&trusted, &key) == SF_OK);
}

/* What the loader relies on. */
static void check_safe(const struct image *image)
{
    const uint64_t base = image->manifest->base_address;
    bool desc_found = false;

    must(image->segment_count > 0 && image->segment_count <= IMAGE_SEGMENTS_MAX);
    for (uint32_t i = 0; i < image->segment_count; i++) {
        const struct image_segment *segment = &image->segments[i];
        must((segment->protection & PROT_WRITE) == 0);
        must(segment->address >= base && segment->address % 4096 == 0);
        must(segment->memory_bytes <= NK_IMAGE_STRIDE);
        must(segment->address - base <= NK_IMAGE_STRIDE - segment->memory_bytes);
        must(segment->file_bytes <= segment->memory_bytes);
        for (uint64_t at = 0; at < segment->file_bytes; at += 4096) {
            (void)*(const volatile uint8_t *)(segment->bytes + at); /* a sanitizer sees it */
        }
        desc_found |= image->desc_address >= segment->address &&
                      image->desc_address - segment->address < segment->memory_bytes;
    }
    must(desc_found);
}

static void check_file(const uint8_t *bytes, size_t length)
{
    struct image *plain = NULL, *judged = NULL;
    char text[300] = "", judged_text[300] = "";
    const sf_status st = image_open(bytes, length, &plain, text, sizeof(text));
    const char *name = st == SF_OK ? plain->manifest->name : "web";
    const sf_status judgement = image_open_trusted(bytes, length, &trusted, name, &judged,
                                                   judged_text, sizeof(judged_text));
    const bool good =
        st == SF_OK && plain->is_signed && image_trust_find(&trusted, plain->signer) != NULL;

    must((st == SF_OK) == (text[0] == '\0'));
    must((judgement == SF_OK) == (judged_text[0] == '\0'));
    must((judgement == SF_OK) == good);
    if (st == SF_OK) {
        check_safe(plain);
        must((image_check_trust(plain, &trusted, name, NULL, 0) == SF_OK) == good);
        must(image_check_trust(plain, &trusted, "another-name", NULL, 0) == SF_TRUST ||
             strcmp(name, "another-name") == 0);
    }
    image_close(plain);
    image_close(judged);
}

/* Copies, so that a read past the end is seen. */
static uint8_t *copy_of(const uint8_t *bytes, size_t length)
{
    uint8_t *copy = malloc(length > 0 ? length : 1);

    must(copy != NULL);
    memcpy(copy, bytes, length);
    return copy;
}

static uint64_t field(const uint8_t *bytes, size_t offset, unsigned count)
{
    uint64_t value = 0;

    for (unsigned i = count; i > 0; i--) {
        value = value << 8 | bytes[offset + i - 1];
    }
    return value;
}

static void check_signed(const uint8_t *bytes, size_t length)
{
    uint8_t *out = NULL;
    size_t out_length = 0;

    if (image_sign(bytes, length, &secret, &out, &out_length) == SF_OK) {
        check_file(out, out_length);
        free(out);
    }
}

/* With the right hash in the header; signed if wanted. */
static void check_hashed(const uint8_t *bytes, size_t length, bool sign)
{
    uint8_t *copy = copy_of(bytes, length);
    uint64_t end = length;

    if (length >= IMAGE_HEADER_BYTES) {
        end = field(bytes, 16, 8) + field(bytes, 24, 8);
        if (end < IMAGE_HEADER_BYTES || end > length) {
            end = length;
        }
        (void)crypto_generichash(copy + 32, 32, copy + 64, (size_t)end - 64, NULL, 0);
    }
    if (sign) {
        check_signed(copy, length);
    } else {
        check_file(copy, length);
    }
    free(copy);
}

static void check_sealed(const uint8_t *bytes, size_t length)
{
    const uint64_t manifest_bytes = length >= 64 ? field(bytes, 8, 4) : 0;
    const uint64_t elf_offset = length >= 64 ? field(bytes, 16, 8) : 0;
    Sf__Image__Manifest *manifest;
    uint8_t *out = NULL;
    size_t out_length = 0;

    if (length < 64 || manifest_bytes > length - 64 || elf_offset > length) {
        return;
    }
    manifest = sf__image__manifest__unpack(NULL, (size_t)manifest_bytes, bytes + 64);
    if (manifest == NULL) {
        return;
    }
    if (image_seal(manifest, bytes + elf_offset, length - (size_t)elf_offset, &out, &out_length) ==
        SF_OK) {
        check_signed(out, out_length);
        free(out);
    }
    sf__image__manifest__free_unpacked(manifest, NULL);
}

static void check_keys(const uint8_t *bytes, size_t length)
{
    uint8_t *copy = copy_of(bytes, length);
    struct image_trust trust = {0};
    struct image_secret read;
    char text[300] = "";
    sf_status st = image_trust_read(&trust, (const char *)copy, length, text, sizeof(text));

    must((st == SF_OK) == (text[0] == '\0'));
    must(st != SF_OK || trust.key_count > 0);
    for (uint32_t i = 0; i < trust.key_count; i++) {
        must(image_key_name_ok(trust.keys[i].name));
    }
    text[0] = '\0';
    st = image_secret_read((const char *)copy, length, &read, text, sizeof(text));
    must((st == SF_OK) == (text[0] == '\0'));
    must(st != SF_OK || image_key_name_ok(read.name));
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    set_up();
    if (length == 0) {
        check_file(bytes, 0);
        return 0;
    }
    length--;
    switch (bytes[length] % WAYS) {
    case 0: {
        uint8_t *copy = copy_of(bytes, length);
        check_file(copy, length);
        free(copy);
        break;
    }
    case 1:
        check_hashed(bytes, length, false);
        break;
    case 2:
        check_hashed(bytes, length, true);
        break;
    case 3:
        check_sealed(bytes, length);
        break;
    default:
        check_keys(bytes, length);
        break;
    }
    return 0;
}
