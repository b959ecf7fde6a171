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

struct header {
    uint32_t manifest_bytes;
    uint64_t elf_offset;
    uint64_t elf_bytes;
    const uint8_t *hash;
};

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

static uint64_t load_le(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = bytes; i > 0; i--) {
        value = value << 8 | at[i - 1];
    }
    return value;
}

static void store_le(uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++, value >>= 8) {
        at[i] = (uint8_t)value;
    }
}

static void hash(const uint8_t *bytes, size_t length, uint8_t out[IMAGE_DIGEST_BYTES])
{
    (void)crypto_generichash(out, IMAGE_DIGEST_BYTES, bytes, length, NULL, 0);
}

static sf_status check_header(const uint8_t *bytes, size_t length, struct header *out,
                              struct image_report *report)
{
    uint8_t content[IMAGE_DIGEST_BYTES];
    uint64_t manifest_end;

    if (length < IMAGE_HEADER_BYTES || memcmp(bytes, IMAGE_MAGIC, 8) != 0) {
        return image__broken(report, SF_FORMAT, "header", "not a SIP image");
    }
    if (length > IMAGE_BYTES_MAX) {
        return image__broken(report, SF_LIMIT, "size", "%zu bytes, at most %u", length,
                             IMAGE_BYTES_MAX);
    }
    out->manifest_bytes = (uint32_t)load_le(bytes + 8, 4);
    out->elf_offset = load_le(bytes + 16, 8);
    out->elf_bytes = load_le(bytes + 24, 8);
    out->hash = bytes + 32;
    manifest_end = (uint64_t)IMAGE_HEADER_BYTES + out->manifest_bytes;
    if (load_le(bytes + 12, 4) != 0 || out->manifest_bytes > MANIFEST_BYTES_MAX ||
        out->elf_offset % PAGE != 0 || out->elf_offset < manifest_end ||
        out->elf_offset - manifest_end >= PAGE || out->elf_offset > length ||
        out->elf_bytes != length - out->elf_offset) {
        return image__broken(report, SF_FORMAT, "header", "sizes do not fit the file");
    }
    hash(bytes + IMAGE_HEADER_BYTES, length - IMAGE_HEADER_BYTES, content);
    if (memcmp(content, out->hash, sizeof(content)) != 0) {
        return image__broken(report, SF_TRUST, "image-hash", "content does not match the header");
    }
    for (uint64_t i = manifest_end; i < out->elf_offset; i++) {
        if (bytes[i] != 0) {
            return image__broken(report, SF_FORMAT, "header", "padding is not zero");
        }
    }
    return SF_OK;
}

static sf_status check_all(struct image *image, const uint8_t *bytes, const struct header *header,
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
    if (st != SF_OK) {
        return st;
    }
    return image__check_elf(image, elf, header->elf_bytes, report);
}

sf_status image_open(const uint8_t *bytes, size_t length, struct image **out_image, char *text,
                     size_t text_capacity)
{
    struct image_report report = {.text = text, .capacity = text_capacity};
    struct header header = {0};
    struct image *image;
    sf_status st = check_header(bytes, length, &header, &report);

    if (st != SF_OK) {
        return st;
    }
    image = calloc(1, sizeof(*image));
    if (image == NULL) {
        return image__broken(&report, SF_NOMEM, "memory", "none left");
    }
    hash(bytes, length, image->digest);
    st = check_all(image, bytes, &header, &report);
    if (st != SF_OK) {
        image_close(image);
        return st;
    }
    *out_image = image;
    return SF_OK;
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
    store_le(bytes + 8, manifest_bytes, 4);
    store_le(bytes + 16, elf_offset, 8);
    store_le(bytes + 24, elf_bytes, 8);
    memcpy(bytes + elf_offset, elf, elf_bytes);
    hash(bytes + IMAGE_HEADER_BYTES, length - IMAGE_HEADER_BYTES, bytes + 32);
    *out_bytes = bytes;
    *out_length = length;
    return SF_OK;
}
