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

struct image_report {
    char *text; /* may be NULL */
    size_t capacity;
};

/* Writes "rule: detail" and answers status. */
sf_status image__broken(struct image_report *report, sf_status status, const char *rule,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));

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
