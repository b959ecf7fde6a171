/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lines_table.h - builds a manifest's Lines, each name, place and frame once. Private to sipc.
 *
 * Model: `ok` turns false when memory runs out and stays so; everything else may go on then.
 */
#ifndef SIPC_LINES_TABLE_H
#define SIPC_LINES_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image.pb-c.h"

#define LINES_BUCKETS 4096u

struct lines_list {
    uint32_t *items;
    size_t count, room;
};

struct lines_names {
    char **items;
    size_t count, room;
};

struct lines_table {
    struct lines_names files, functions;
    struct lines_list place_function, place_file, place_line; /* file: index + 1 */
    struct lines_list frame_place, frame_parent;              /* parent: index + 1 */
    struct lines_list frame_next;                             /* same bucket: index + 1 */
    uint32_t buckets[LINES_BUCKETS];
    struct lines_list place_next;
    uint32_t place_buckets[LINES_BUCKETS];
    struct lines_list name_next[2]; /* of functions, of files */
    uint32_t name_buckets[2][LINES_BUCKETS];
    struct lines_list row_bytes, row_frame;
    uint64_t row_offset; /* of the last row */
    bool ok;
};

void lines_table_init(struct lines_table *table);
void lines_table_fini(struct lines_table *table);
/* Number of a place in the source; file NULL: not known. */
uint32_t lines_table_place(struct lines_table *table, const char *function, const char *file,
                           uint32_t line);
/* Number (index + 1) of that place, inlined in frame `parent` (0: in none). */
uint32_t lines_table_frame(struct lines_table *table, uint32_t place, uint32_t parent);
/* Rows come in order of their offsets. frame 0: not known. */
void lines_table_row(struct lines_table *table, uint64_t offset, uint32_t frame);
/* Moves everything into *lines, which is as after its init; lines_fini frees it. False: over a
 * limit of image/lines.h; *lines is as it was. */
bool lines_table_give(struct lines_table *table, Sf__Image__Lines *lines);

#endif
