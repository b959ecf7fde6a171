/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lines.h - from native code to lines of the source, for fault reports.
 *
 * Model: the manifest's Lines (image.proto) map runs of native code to frames. A frame is a place
 * in the source; inlined code has a chain of them, the innermost first. sipc makes the table from
 * the debug information of both compilers, so it is as exact as these are: code that a compiler
 * moved or merged has the line of one of the places it comes from.
 *
 * Untrusted: image_open checks the table (rule manifest-lines); a lookup takes any offset.
 * Threads: immutable.
 */
#ifndef IMAGE_LINES_H
#define IMAGE_LINES_H

#include <stdint.h>

#include "image/image.h"

#define IMAGE_LINES_ROWS_MAX (1u << 20)
#define IMAGE_LINES_FRAMES_MAX (1u << 18)
#define IMAGE_LINES_NAMES_MAX 65536u
#define IMAGE_LINES_NAME_BYTES_MAX 255u
#define IMAGE_LINES_DEPTH_MAX 32u /* of inlining */

struct image_frame {
    const char *function;
    const char *file; /* NULL: not known */
    uint32_t line;    /* 0: not known */
};

/*
 * The frames of the code at `offset` from the image's base address, innermost first. Answers how
 * many; 0: nothing is known. out_frames has room for IMAGE_LINES_DEPTH_MAX.
 */
uint32_t image_lines_find(const struct image *image, uint64_t offset,
                          struct image_frame *out_frames);

#endif
