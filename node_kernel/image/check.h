/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h - the parts of image_open. Private to image/.
 *
 * Every check answers OK, or FORMAT/TRUST/LIMIT/NOMEM with "rule: detail" in the report.
 */
#ifndef IMAGE_CHECK_H
#define IMAGE_CHECK_H

#include <elf.h>
#include <sys/mman.h>

#include "image/image.h"
#include "image/trust.h"

struct image_report {
    char *text; /* may be NULL */
    size_t capacity;
};

/* Writes "rule: detail" and answers status. */
sf_status image__broken(struct image_report *report, sf_status status, const char *rule,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Where what is in an image. */
struct image_header {
    uint32_t manifest_bytes;
    uint32_t signature_bytes;
    uint64_t elf_offset;
    uint64_t elf_bytes;
};

/* Sizes only; all of it lies in the file afterwards. */
SF_MUST_CHECK sf_status image__check_sizes(const uint8_t *bytes, size_t length,
                                           struct image_header *out_header,
                                           struct image_report *report);
/* The checks of image_open behind that and the signature. Takes over nothing on failure. */
SF_MUST_CHECK sf_status image__open(const uint8_t *bytes, size_t length,
                                    const struct image_trust *trust, const char *name,
                                    struct image **out_image, struct image_report *report);
/* Sets is_signed and signer. */
SF_MUST_CHECK sf_status image__check_signature(struct image *image, const uint8_t *bytes,
                                               size_t length, const struct image_header *header,
                                               struct image_report *report);
/* Whether trust takes an image with that signer; name (may be NULL) is for the text. */
SF_MUST_CHECK sf_status image__check_signer(const struct image *image,
                                            const struct image_trust *trust, const char *name,
                                            struct image_report *report);
SF_MUST_CHECK sf_status image__check_name(const struct image *image, const char *name,
                                          struct image_report *report);

uint64_t image__load_le(const uint8_t *at, unsigned bytes);
void image__store_le(uint8_t *at, uint64_t value, unsigned bytes);

/* [a-z][a-z0-9_-]{0,31} */
bool image__name_ok(const char *name);

/* Fills segments and desc_address. */
SF_MUST_CHECK sf_status image__check_elf(struct image *image, const uint8_t *elf, size_t length,
                                         struct image_report *report);

/* Every instruction of a code segment: see code.c. */
SF_MUST_CHECK sf_status image__check_code(const struct image_segment *segment,
                                          struct image_report *report);

/* The writable segment of a native image, whose range in the file was checked: fills data. */
SF_MUST_CHECK sf_status image__check_data(struct image *image, const uint8_t *elf,
                                          const Elf64_Phdr *load, struct image_report *report);
#define IMAGE__READ_WRITE (PROT_READ | PROT_WRITE)
/* A native descriptor; `left`: bytes from its beginning to the end of its segment. */
SF_MUST_CHECK sf_status image__check_relocations(struct image *image, const uint8_t *desc,
                                                 uint64_t left, struct image_report *report);

/* Names, limits, ports, contracts. Fills contracts. */
SF_MUST_CHECK sf_status image__check_manifest(struct image *image, struct image_report *report);

/* The table of source lines (image/lines.h). */
SF_MUST_CHECK sf_status image__check_lines(const struct image *image, struct image_report *report);

#endif
