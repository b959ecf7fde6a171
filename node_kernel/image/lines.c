/* SPDX-License-Identifier: Apache-2.0 */
#include "image/lines.h"

#include <string.h>

#include "abi/nk_abi.h"
#include "check.h"
#include "image.pb-c.h"

#define RULE "manifest-lines"

static sf_status check_names(char *const names[], size_t count, const char *kind,
                             struct image_report *report)
{
    if (count > IMAGE_LINES_NAMES_MAX) {
        return image__broken(report, SF_LIMIT, RULE, "%zu %ss, at most %u", count, kind,
                             IMAGE_LINES_NAMES_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        const size_t length = strlen(names[i]);
        bool ok = length > 0 && length <= IMAGE_LINES_NAME_BYTES_MAX;
        for (size_t k = 0; k < length && ok; k++) {
            ok = names[i][k] >= 0x20 && names[i][k] <= 0x7e;
        }
        if (!ok) {
            return image__broken(report, SF_FORMAT, RULE, "%s %zu is no printable name", kind, i);
        }
    }
    return SF_OK;
}

static sf_status check_frames(const Sf__Image__Lines *lines, struct image_report *report)
{
    const size_t count = lines->n_frame_function;

    if (count > IMAGE_LINES_FRAMES_MAX || lines->n_frame_file != count ||
        lines->n_frame_line != count || lines->n_frame_parent != count) {
        return image__broken(report, SF_FORMAT, RULE,
                             "%zu frames: too many, or parts of some are missing", count);
    }
    for (size_t i = 0; i < count; i++) {
        /* A parent is an earlier frame, so that every chain ends. */
        if (lines->frame_function[i] >= lines->n_functions ||
            lines->frame_file[i] > lines->n_files || lines->frame_parent[i] > i) {
            return image__broken(report, SF_FORMAT, RULE, "frame %zu is out of range", i);
        }
    }
    return SF_OK;
}

sf_status image__check_lines(const struct image *image, struct image_report *report)
{
    const Sf__Image__Lines *lines = image->manifest->lines;
    uint64_t offset = 0;
    sf_status st;

    if (lines == NULL) {
        return SF_OK;
    }
    st = check_names(lines->files, lines->n_files, "file", report);
    if (st == SF_OK) {
        st = check_names(lines->functions, lines->n_functions, "function", report);
    }
    if (st == SF_OK) {
        st = check_frames(lines, report);
    }
    if (st != SF_OK) {
        return st;
    }
    if (lines->n_row_bytes > IMAGE_LINES_ROWS_MAX || lines->n_row_frame != lines->n_row_bytes) {
        return image__broken(report, SF_FORMAT, RULE,
                             "%zu rows: too many, or parts of some are missing",
                             lines->n_row_bytes);
    }
    for (size_t i = 0; i < lines->n_row_bytes; i++) {
        offset += lines->row_bytes[i];
        if (offset > NK_IMAGE_STRIDE || lines->row_frame[i] > lines->n_frame_function) {
            return image__broken(report, SF_FORMAT, RULE, "row %zu is out of range", i);
        }
    }
    return SF_OK;
}

uint32_t image_lines_find(const struct image *image, uint64_t offset,
                          struct image_frame *out_frames)
{
    const Sf__Image__Lines *lines = image->manifest->lines;
    uint32_t frame = 0, count = 0;
    uint64_t at = 0;

    if (lines == NULL) {
        return 0;
    }
    for (size_t i = 0; i < lines->n_row_bytes; i++) {
        at += lines->row_bytes[i];
        if (at > offset) {
            break;
        }
        frame = lines->row_frame[i];
    }
    while (frame != 0 && count < IMAGE_LINES_DEPTH_MAX) {
        const uint32_t index = frame - 1;
        const uint32_t file = lines->frame_file[index];

        out_frames[count++] = (struct image_frame){
            .function = lines->functions[lines->frame_function[index]],
            .file = file == 0 ? NULL : lines->files[file - 1],
            .line = lines->frame_line[index],
        };
        frame = lines->frame_parent[index];
    }
    return count;
}
