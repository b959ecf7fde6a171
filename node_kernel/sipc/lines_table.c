/* SPDX-License-Identifier: Apache-2.0 */
#include "lines_table.h"

#include <stdlib.h>
#include <string.h>

#include "image/lines.h"

enum { FUNCTIONS, FILES };

static void list_add(struct lines_table *table, struct lines_list *list, uint32_t number)
{
    if (list->count == list->room) {
        const size_t room = list->room == 0 ? 256 : 2 * list->room;
        uint32_t *more = realloc(list->items, room * sizeof(*more));
        if (more == NULL) {
            table->ok = false;
            return;
        }
        list->items = more;
        list->room = room;
    }
    list->items[list->count++] = number;
}

static uint32_t bucket_of(uint32_t a, uint32_t b, uint32_t c)
{
    const uint64_t mixed =
        (a * 0x9e3779b97f4a7c15ull) ^ (b * 0xc2b2ae3d27d4eb4full) ^ (c * 0x165667b19e3779f9ull);

    return (uint32_t)(mixed >> 40) % LINES_BUCKETS;
}

/* A printable copy that fits. */
static char *name_copy(const char *text)
{
    size_t length = strlen(text);
    char *copy;

    if (length > IMAGE_LINES_NAME_BYTES_MAX) {
        text += length - IMAGE_LINES_NAME_BYTES_MAX; /* the end says more */
        length = IMAGE_LINES_NAME_BYTES_MAX;
    }
    copy = malloc(length + 2);
    if (copy == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < length; i++) {
        copy[i] = text[i] >= 0x20 && text[i] <= 0x7e ? text[i] : '?';
    }
    if (length == 0) {
        copy[length++] = '?';
    }
    copy[length] = '\0';
    return copy;
}

static uint32_t name_number(struct lines_table *table, int kind, const char *text)
{
    struct lines_names *names = kind == FUNCTIONS ? &table->functions : &table->files;
    uint32_t hash = 2166136261u, *bucket;
    char *copy = name_copy(text);

    if (copy == NULL) {
        table->ok = false;
        return 0;
    }
    for (const char *at = copy; *at != '\0'; at++) {
        hash = (hash ^ (uint8_t)*at) * 16777619u;
    }
    bucket = &table->name_buckets[kind][hash % LINES_BUCKETS];
    for (uint32_t i = *bucket; i != 0; i = table->name_next[kind].items[i - 1]) {
        if (strcmp(names->items[i - 1], copy) == 0) {
            free(copy);
            return i - 1;
        }
    }
    if (names->count == names->room) {
        const size_t room = names->room == 0 ? 64 : 2 * names->room;
        char **more = realloc(names->items, room * sizeof(*more));
        if (more == NULL) {
            table->ok = false;
            free(copy);
            return 0;
        }
        names->items = more;
        names->room = room;
    }
    list_add(table, &table->name_next[kind], *bucket);
    if (!table->ok) {
        free(copy);
        return 0;
    }
    names->items[names->count++] = copy;
    *bucket = (uint32_t)names->count;
    return *bucket - 1;
}

void lines_table_init(struct lines_table *table)
{
    *table = (struct lines_table){.ok = true};
}

uint32_t lines_table_place(struct lines_table *table, const char *function, const char *file,
                           uint32_t line)
{
    const uint32_t f = name_number(table, FUNCTIONS, function);
    const uint32_t n = file == NULL ? 0 : name_number(table, FILES, file) + 1;
    uint32_t *bucket = &table->place_buckets[bucket_of(f, n, line)];

    for (uint32_t i = *bucket; i != 0; i = table->place_next.items[i - 1]) {
        if (table->place_function.items[i - 1] == f && table->place_file.items[i - 1] == n &&
            table->place_line.items[i - 1] == line) {
            return i - 1;
        }
    }
    list_add(table, &table->place_function, f);
    list_add(table, &table->place_file, n);
    list_add(table, &table->place_line, line);
    list_add(table, &table->place_next, *bucket);
    if (!table->ok) {
        return 0;
    }
    *bucket = (uint32_t)table->place_function.count;
    return *bucket - 1;
}

uint32_t lines_table_frame(struct lines_table *table, uint32_t place, uint32_t parent)
{
    uint32_t *bucket = &table->buckets[bucket_of(place, parent, 0)];

    for (uint32_t i = *bucket; i != 0; i = table->frame_next.items[i - 1]) {
        if (table->frame_place.items[i - 1] == place &&
            table->frame_parent.items[i - 1] == parent) {
            return i;
        }
    }
    list_add(table, &table->frame_place, place);
    list_add(table, &table->frame_parent, parent);
    list_add(table, &table->frame_next, *bucket);
    if (!table->ok) {
        return 0;
    }
    *bucket = (uint32_t)table->frame_place.count;
    return *bucket;
}

void lines_table_row(struct lines_table *table, uint64_t offset, uint32_t frame)
{
    const size_t count = table->row_frame.count;

    if (count > 0 ? table->row_frame.items[count - 1] == frame : frame == 0) {
        return; /* as the row before */
    }
    list_add(table, &table->row_bytes, (uint32_t)(offset - table->row_offset));
    list_add(table, &table->row_frame, frame);
    table->row_offset = offset;
}

static uint32_t *list_give(struct lines_list *list, size_t *out_count)
{
    uint32_t *items = list->items;

    *out_count = list->count;
    *list = (struct lines_list){0};
    return items;
}

static char **names_give(struct lines_names *names, size_t *out_count)
{
    char **items = names->items;

    *out_count = names->count;
    *names = (struct lines_names){0};
    return items;
}

bool lines_table_give(struct lines_table *table, Sf__Image__Lines *lines)
{
    struct lines_list function = {0}, file = {0}, line = {0};

    if (table->row_frame.count > IMAGE_LINES_ROWS_MAX ||
        table->frame_place.count > IMAGE_LINES_FRAMES_MAX ||
        table->functions.count > IMAGE_LINES_NAMES_MAX ||
        table->files.count > IMAGE_LINES_NAMES_MAX) {
        return false;
    }
    for (size_t i = 0; i < table->frame_place.count; i++) {
        const uint32_t place = table->frame_place.items[i];
        list_add(table, &function, table->place_function.items[place]);
        list_add(table, &file, table->place_file.items[place]);
        list_add(table, &line, table->place_line.items[place]);
    }
    lines->frame_function = list_give(&function, &lines->n_frame_function);
    lines->frame_file = list_give(&file, &lines->n_frame_file);
    lines->frame_line = list_give(&line, &lines->n_frame_line);
    lines->frame_parent = list_give(&table->frame_parent, &lines->n_frame_parent);
    lines->row_bytes = list_give(&table->row_bytes, &lines->n_row_bytes);
    lines->row_frame = list_give(&table->row_frame, &lines->n_row_frame);
    lines->files = names_give(&table->files, &lines->n_files);
    lines->functions = names_give(&table->functions, &lines->n_functions);
    return true;
}

void lines_table_fini(struct lines_table *table)
{
    struct lines_list *lists[] = {
        &table->place_function, &table->place_file, &table->place_line, &table->frame_place,
        &table->frame_parent,   &table->frame_next, &table->place_next, &table->name_next[0],
        &table->name_next[1],   &table->row_bytes,  &table->row_frame,
    };
    struct lines_names *names[] = {&table->files, &table->functions};

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        free(lists[i]->items);
    }
    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 0; k < names[i]->count; k++) {
            free(names[i]->items[k]);
        }
        free(names[i]->items);
    }
    *table = (struct lines_table){0};
}
