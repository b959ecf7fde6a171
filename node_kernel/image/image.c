/* SPDX-License-Identifier: Apache-2.0 */
#include "image/image.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "image.pb-c.h"

#define PAGE 4096u
#define MANIFEST_BYTES_MAX (8u << 20)

sf_status image__broken(struct image_report *report, sf_status status, const char *rule,
                        const char *format, ...)
{
    va_list list;
    int used;

    if (report->text == NULL || report->capacity == 0) {
        return status;
    }
    used = snprintf(report->text, report->capacity, "%s: ", rule);
    if (used > 0 && (size_t)used < report->capacity) {
        va_start(list, format);
        (void)vsnprintf(report->text + used, report->capacity - (size_t)used, format, list);
        va_end(list);
    }
    return status;
}

uint64_t image__load_le(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = bytes; i > 0; i--) {
        value = value << 8 | at[i - 1];
    }
    return value;
}

void image__store_le(uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++, value >>= 8) {
        at[i] = (uint8_t)value;
    }
}

static void hash(const uint8_t *bytes, size_t length, uint8_t out[IMAGE_DIGEST_BYTES])
{
    (void)crypto_generichash(out, IMAGE_DIGEST_BYTES, bytes, length, NULL, 0);
}

sf_status image__check_sizes(const uint8_t *bytes, size_t length, struct image_header *out_header,
                             struct image_report *report)
{
    struct image_header header;
    uint64_t manifest_end;

    if (length < IMAGE_HEADER_BYTES || memcmp(bytes, IMAGE_MAGIC, 8) != 0) {
        return image__broken(report, SF_FORMAT, "header", "not a SIP image");
    }
    if (length > IMAGE_BYTES_MAX) {
        return image__broken(report, SF_LIMIT, "size", "%zu bytes, at most %u", length,
                             IMAGE_BYTES_MAX);
    }
    header.manifest_bytes = (uint32_t)image__load_le(bytes + 8, 4);
    header.signature_bytes = (uint32_t)image__load_le(bytes + 12, 4);
    header.elf_offset = image__load_le(bytes + 16, 8);
    header.elf_bytes = image__load_le(bytes + 24, 8);
    manifest_end = (uint64_t)IMAGE_HEADER_BYTES + header.manifest_bytes;
    if ((header.signature_bytes != 0 && header.signature_bytes != IMAGE_SIGNATURE_BYTES) ||
        header.manifest_bytes > MANIFEST_BYTES_MAX || header.elf_offset % PAGE != 0 ||
        header.elf_offset < manifest_end || header.elf_offset - manifest_end >= PAGE ||
        header.elf_offset > length || header.signature_bytes > length - header.elf_offset ||
        header.elf_bytes != length - header.elf_offset - header.signature_bytes) {
        return image__broken(report, SF_FORMAT, "header", "sizes do not fit the file");
    }
    *out_header = header;
    return SF_OK;
}

/* The header has the hash of all that follows it; that there is a signature does not count. */
static void hash_content(const uint8_t *bytes, uint8_t out_hash[IMAGE_DIGEST_BYTES])
{
    uint8_t header[IMAGE_HEADER_BYTES];

    memcpy(header, bytes, sizeof(header));
    image__store_le(header + 12, 0, 4);
    hash(header, sizeof(header), out_hash);
}

static sf_status check_content(const uint8_t *bytes, const struct image_header *header,
                               struct image_report *report)
{
    const uint64_t end = header->elf_offset + header->elf_bytes;
    uint8_t content[IMAGE_DIGEST_BYTES];

    hash(bytes + IMAGE_HEADER_BYTES, end - IMAGE_HEADER_BYTES, content);
    if (memcmp(content, bytes + 32, sizeof(content)) != 0) {
        return image__broken(report, SF_TRUST, "image-hash", "content does not match the header");
    }
    for (uint64_t i = IMAGE_HEADER_BYTES + header->manifest_bytes; i < header->elf_offset; i++) {
        if (bytes[i] != 0) {
            return image__broken(report, SF_FORMAT, "header", "padding is not zero");
        }
    }
    return SF_OK;
}

static sf_status check_all(struct image *image, const uint8_t *bytes,
                           const struct image_header *header, const char *name,
                           struct image_report *report)
{
    const uint8_t *elf = bytes + header->elf_offset;
    uint8_t elf_hash[IMAGE_DIGEST_BYTES];
    sf_status st;

    image->manifest =
        sf__image__manifest__unpack(NULL, header->manifest_bytes, bytes + IMAGE_HEADER_BYTES);
    if (image->manifest == NULL) {
        return image__broken(report, SF_FORMAT, "manifest", "not a manifest");
    }
    hash(elf, header->elf_bytes, elf_hash);
    if (image->manifest->elf_hash.len != sizeof(elf_hash) ||
        memcmp(image->manifest->elf_hash.data, elf_hash, sizeof(elf_hash)) != 0) {
        return image__broken(report, SF_TRUST, "elf-hash", "code does not match the manifest");
    }
    st = image__check_manifest(image, report);
    if (st == SF_OK) {
        st = image__check_name(image, name, report);
    }
    if (st != SF_OK) {
        return st;
    }
    return image__check_elf(image, elf, header->elf_bytes, report);
}

sf_status image__open(const uint8_t *bytes, size_t length, const struct image_trust *trust,
                      const char *name, struct image **out_image, struct image_report *report)
{
    struct image_header header = {0};
    struct image *image;
    sf_status st = image__check_sizes(bytes, length, &header, report);

    if (st == SF_OK && name != NULL && !image__name_ok(name)) {
        st = image__broken(report, SF_TRUST, "image-name", "what was asked for is no image name");
    }
    if (st != SF_OK) {
        return st;
    }
    image = calloc(1, sizeof(*image));
    if (image == NULL) {
        return image__broken(report, SF_NOMEM, "memory", "none left");
    }
    st = image__check_signature(image, bytes, length, &header, report);
    if (st == SF_OK && trust != NULL) {
        st = image__check_signer(image, trust, name, report);
    }
    if (st == SF_OK) {
        st = check_content(bytes, &header, report);
    }
    if (st == SF_OK) {
        image_digest(bytes, length, image->digest);
        hash_content(bytes, image->content);
        st = check_all(image, bytes, &header, name, report);
    }
    if (st != SF_OK) {
        image_close(image);
        return st;
    }
    *out_image = image;
    return SF_OK;
}

sf_status image_open(const uint8_t *bytes, size_t length, struct image **out_image, char *text,
                     size_t text_capacity)
{
    struct image_report report = {.text = text, .capacity = text_capacity};

    return image__open(bytes, length, NULL, NULL, out_image, &report);
}

void image_close(struct image *image)
{
    if (image == NULL) {
        return;
    }
    for (uint32_t i = 0; i < image->contract_count; i++) {
        ct_destroy(image->contracts[i]);
    }
    if (image->manifest != NULL) {
        sf__image__manifest__free_unpacked((Sf__Image__Manifest *)(uintptr_t)image->manifest, NULL);
    }
    free(image);
}

const struct ct_contract *image_contract(const struct image *image, const char *name)
{
    for (uint32_t i = 0; i < image->contract_count; i++) {
        if (strcmp(image->contracts[i]->name, name) == 0) {
            return image->contracts[i];
        }
    }
    return NULL;
}

void image_digest(const uint8_t *bytes, size_t length, uint8_t out_digest[IMAGE_DIGEST_BYTES])
{
    hash(bytes, length, out_digest);
}

void image_digest_hex(const uint8_t digest[IMAGE_DIGEST_BYTES], char buffer[65])
{
    (void)sodium_bin2hex(buffer, 65, digest, IMAGE_DIGEST_BYTES);
}

sf_status image_seal(struct Sf__Image__Manifest *manifest, const uint8_t *elf, size_t elf_bytes,
                     uint8_t **out_bytes, size_t *out_length)
{
    const ProtobufCBinaryData before = manifest->elf_hash;
    uint8_t elf_hash[IMAGE_DIGEST_BYTES];
    size_t manifest_bytes, elf_offset, length;
    uint8_t *bytes;

    hash(elf, elf_bytes, elf_hash);
    manifest->elf_hash = (ProtobufCBinaryData){.len = sizeof(elf_hash), .data = elf_hash};
    manifest_bytes = sf__image__manifest__get_packed_size(manifest);
    elf_offset = (IMAGE_HEADER_BYTES + manifest_bytes + PAGE - 1) & ~(size_t)(PAGE - 1);
    length = elf_offset + elf_bytes;
    if (manifest_bytes > MANIFEST_BYTES_MAX || length > IMAGE_BYTES_MAX) {
        manifest->elf_hash = before;
        return SF_LIMIT;
    }
    bytes = calloc(1, length);
    if (bytes == NULL) {
        manifest->elf_hash = before;
        return SF_NOMEM;
    }
    (void)sf__image__manifest__pack(manifest, bytes + IMAGE_HEADER_BYTES);
    manifest->elf_hash = before;
    memcpy(bytes, IMAGE_MAGIC, 8);
    image__store_le(bytes + 8, manifest_bytes, 4);
    image__store_le(bytes + 16, elf_offset, 8);
    image__store_le(bytes + 24, elf_bytes, 8);
    memcpy(bytes + elf_offset, elf, elf_bytes);
    hash(bytes + IMAGE_HEADER_BYTES, length - IMAGE_HEADER_BYTES, bytes + 32);
    *out_bytes = bytes;
    *out_length = length;
    return SF_OK;
}
