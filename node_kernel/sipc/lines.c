/* SPDX-License-Identifier: Apache-2.0 */
#include "lines.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/nk_abi.h"
#include "image/lines.h"
#include "lines_match.h"
#include "lines_table.h"

#define TEXT_BYTES_MAX (512u << 20)

/* Growing list of numbers. */
struct numbers {
    uint64_t *items;
    size_t count, room;
};

struct maker {
    const struct lines_input *in;
    struct lines_match match;
    struct numbers rows;       /* native addresses where a line begins */
    struct numbers offsets;    /* function << 32 | offset: instructions that are needed */
    struct numbers row_places; /* pairs: index of a row, line of module.c; innermost first */
    struct numbers frames;     /* pairs: index in offsets, table's number of a place */
    struct numbers frame_at;   /* by index in offsets: first pair in frames; one more at the end */
    struct lines_table table;
    char prefixes[2 * BUILD_LIST_MAX + 1][PATH_MAX];
    size_t prefix_count;
    bool ok; /* false: no memory */
};

static void numbers_add(struct maker *maker, struct numbers *list, uint64_t number)
{
    if (list->count == list->room) {
        const size_t room = list->room == 0 ? 1024 : 2 * list->room;
        uint64_t *more = realloc(list->items, room * sizeof(*more));
        if (more == NULL) {
            maker->ok = false;
            return;
        }
        list->items = more;
        list->room = room;
    }
    list->items[list->count++] = number;
}

static int by_number(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void numbers_sort(struct numbers *list)
{
    size_t kept = 0;

    if (list->count > 0) {
        qsort(list->items, list->count, sizeof(list->items[0]), by_number);
    }
    for (size_t i = 0; i < list->count; i++) {
        if (kept == 0 || list->items[kept - 1] != list->items[i]) {
            list->items[kept++] = list->items[i];
        }
    }
    list->count = kept;
}

/* Index of a number that is there. */
static size_t numbers_find(const struct numbers *list, uint64_t number)
{
    size_t low = 0, high = list->count;

    while (low + 1 < high) {
        const size_t middle = (low + high) / 2;
        if (list->items[middle] <= number) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* --- tools ---------------------------------------------------------------------------------------
 */

static sf_status read_output(const struct maker *maker, const char *name, char **out_text)
{
    char path[WORK_PATH_MAX];
    uint8_t *bytes;
    size_t length;
    const sf_status st =
        file_read(work_path(maker->in->work, name, path), TEXT_BYTES_MAX, &bytes, &length);

    *out_text = st == SF_OK ? (char *)bytes : NULL;
    return st;
}

/* Where lines begin in the native code. */
static sf_status read_rows(struct maker *maker)
{
    const uint64_t base = maker->in->base_address;
    struct work_args args = {0};
    char *text, *end;
    sf_status st;

    work_arg(&args, "objdump");
    work_arg(&args, "--dwarf=decodedline");
    work_arg(&args, "module.elf");
    st = work_run_files(maker->in->work, &args, NULL, "rows.txt");
    if (st == SF_OK) {
        st = read_output(maker, "rows.txt", &text);
    }
    if (st != SF_OK) {
        return st;
    }
    for (const char *at = text; (at = strstr(at, " 0x")) != NULL; at = end) {
        const uint64_t address = strtoull(at + 1, &end, 16);
        if (address >= base && address - base < NK_IMAGE_STRIDE) {
            numbers_add(maker, &maker->rows, address);
        }
    }
    free(text);
    numbers_sort(&maker->rows);
    return SF_OK;
}

typedef void (*symbol_visit)(struct maker *maker, size_t index, const char *function,
                             const char *path, uint32_t line);

/* "path:line:column"; cuts the line. */
static uint32_t take_line(char *place)
{
    char *colon = strrchr(place, ':');

    if (colon == NULL) {
        return 0;
    }
    *colon = '\0';
    colon = strrchr(place, ':');
    if (colon == NULL) {
        return 0;
    }
    *colon = '\0';
    return (uint32_t)strtoul(colon + 1, NULL, 10);
}

/* llvm-symbolizer's answers: for each number pairs of lines, the innermost first, then an empty
 * line. */
static void read_symbols(struct maker *maker, char *text, symbol_visit visit)
{
    size_t index = 0;
    char *function = NULL;

    for (char *line = text, *next; *line != '\0'; line = next) {
        next = line + strcspn(line, "\n");
        next += *next != '\0';
        if (next > line && next[-1] == '\n') {
            next[-1] = '\0';
        }
        if (*line == '\0') {
            index++;
            function = NULL;
        } else if (function == NULL) {
            function = line;
        } else {
            const uint32_t number = take_line(line);
            visit(maker, index, function, line, number);
            function = NULL;
        }
    }
}

static sf_status symbolize(struct maker *maker, const char *object, const struct numbers *numbers,
                           uint64_t mask, symbol_visit visit)
{
    const size_t capacity = 24 * numbers->count + 1;
    char *text = malloc(capacity), path[WORK_PATH_MAX], option[64];
    struct work_args args = {0};
    size_t used = 0;
    sf_status st;

    if (text == NULL) {
        return sipc_fail(SF_NOMEM, "no memory left");
    }
    for (size_t i = 0; i < numbers->count; i++) {
        used += (size_t)snprintf(text + used, capacity - used, "0x%" PRIx64 "\n",
                                 numbers->items[i] & mask);
    }
    st = file_write(work_path(maker->in->work, "addresses.txt", path), text, used);
    free(text);
    if (st != SF_OK || numbers->count == 0) {
        return st;
    }
    (void)snprintf(option, sizeof(option), "--obj=%s", object);
    work_arg(&args, "llvm-symbolizer");
    work_arg(&args, option);
    work_arg(&args, "--inlines");
    st = work_run_files(maker->in->work, &args, "addresses.txt", "symbols.txt");
    if (st == SF_OK) {
        st = read_output(maker, "symbols.txt", &text);
    }
    if (st == SF_OK) {
        read_symbols(maker, text, visit);
        free(text);
    }
    return st;
}

/* --- file names ----------------------------------------------------------------------------------
 */

static void prefix_add(struct maker *maker, const char *folder)
{
    char real[PATH_MAX];
    const size_t room = sizeof(maker->prefixes[0]);

    if (realpath(folder, real) != NULL && strlen(real) + 2 < room) {
        (void)snprintf(maker->prefixes[maker->prefix_count++], room, "%s/",
                       strcmp(real, "/") == 0 ? "" : real);
    }
}

static void prefixes_fill(struct maker *maker)
{
    const struct build_options *options = maker->in->options;
    char folder[PATH_MAX];

    prefix_add(maker, maker->in->work->folder);
    for (size_t i = 0; i < options->sources.count; i++) {
        const char *source = options->sources.items[i];
        const char *slash = strrchr(source, '/');
        (void)snprintf(folder, sizeof(folder), "%.*s",
                       slash == NULL ? 1 : (int)(slash + 1 - source), slash == NULL ? "." : source);
        prefix_add(maker, folder);
    }
    for (size_t i = 0; i < options->includes.count; i++) {
        prefix_add(maker, options->includes.items[i]);
    }
}

static const char *relative(const struct maker *maker, const char *path, char real[PATH_MAX])
{
    const char *slash;

    if (path[0] != '/' || realpath(path, real) == NULL) {
        (void)snprintf(real, PATH_MAX, "%s", path);
    }
    for (size_t i = 0; i < maker->prefix_count; i++) {
        const size_t length = strlen(maker->prefixes[i]);
        if (strncmp(real, maker->prefixes[i], length) == 0) {
            return real + length;
        }
    }
    slash = strrchr(real, '/');
    return slash == NULL ? real : slash + 1;
}

/* --- the steps -----------------------------------------------------------------------------------
 */

static uint64_t key_of(const struct lines_place *place)
{
    return (uint64_t)(place->function - 1) << 32 | place->offset;
}

/* The name section's name of a function, or "f7". */
static const char *name_of(const struct maker *maker, uint32_t function, char buffer[32])
{
    if (function < maker->in->name_count && maker->in->names[function] != NULL) {
        return maker->in->names[function];
    }
    (void)snprintf(buffer, 32, "f%u", function);
    return buffer;
}

/* A native row: the lines of module.c it comes from. */
static void visit_native(struct maker *maker, size_t index, const char *function, const char *path,
                         uint32_t line)
{
    const size_t length = strlen(path);
    const struct lines_place *place;

    (void)function;
    if (length < 9 || strcmp(path + length - 9, "/module.c") != 0 ||
        line >= maker->match.line_count) {
        return; /* the run-time stub, and inline functions of the memory's header */
    }
    place = &maker->match.places[line];
    if (place->function == 0) {
        return;
    }
    numbers_add(maker, &maker->row_places, index);
    numbers_add(maker, &maker->row_places, line);
    if (place->offset != 0) {
        numbers_add(maker, &maker->offsets, key_of(place));
    }
}

/* An instruction of the module: the places in the source it comes from. */
static void visit_module(struct maker *maker, size_t index, const char *function, const char *path,
                         uint32_t line)
{
    char real[PATH_MAX], buffer[32];

    if (index >= maker->offsets.count || (strcmp(function, "??") == 0 && line == 0)) {
        return;
    }
    if (strcmp(function, "??") == 0) { /* clang describes functions with inlined calls only */
        function = name_of(maker, (uint32_t)(maker->offsets.items[index] >> 32), buffer);
    }
    while (maker->frame_at.count <= index && maker->ok) {
        numbers_add(maker, &maker->frame_at, maker->frames.count);
    }
    numbers_add(maker, &maker->frames,
                lines_table_place(&maker->table, function,
                                  line == 0 ? NULL : relative(maker, path, real), line));
}

/* The frame of a place in module.c inside `parent`: its innermost one. */
static uint32_t add_frames(struct maker *maker, const struct lines_place *place, uint32_t parent)
{
    size_t first = 0, end = 0;
    char buffer[32];

    if (place->offset != 0) {
        const size_t index = numbers_find(&maker->offsets, key_of(place));
        first = maker->frame_at.items[index];
        end = maker->frame_at.items[index + 1];
    }
    for (size_t i = end; i > first; i--) { /* the outermost first */
        parent = lines_table_frame(&maker->table, (uint32_t)maker->frames.items[i - 1], parent);
    }
    if (first == end) { /* no debug information: the name */
        const uint32_t number =
            lines_table_place(&maker->table, name_of(maker, place->function - 1, buffer), NULL, 0);
        parent = lines_table_frame(&maker->table, number, parent);
    }
    return parent;
}

static void add_rows(struct maker *maker)
{
    const struct numbers *places = &maker->row_places;
    size_t at = 0;

    for (size_t row = 0; row < maker->rows.count; row++) {
        uint32_t frame = 0;
        size_t end = at;
        while (end < places->count && places->items[end] == row) {
            end += 2;
        }
        for (size_t i = end; i > at; i -= 2) { /* the outermost first */
            const struct lines_place *place = &maker->match.places[places->items[i - 1]];
            /* gcc splits functions, and inlines one part in the other: that is no call. */
            if (i - 2 == at || place->call ||
                place->function != maker->match.places[places->items[i - 3]].function) {
                frame = add_frames(maker, place, frame);
            }
        }
        at = end;
        lines_table_row(&maker->table, maker->rows.items[row] - maker->in->base_address, frame);
    }
}

static sf_status match_text(struct maker *maker)
{
    struct flow_module module;
    char *text;
    sf_status st = read_output(maker, "module.c", &text);

    if (st != SF_OK) {
        return st;
    }
    if (flow_module_read(&module, maker->in->wasm, maker->in->wasm_bytes)) {
        maker->ok = lines_match(&maker->match, &module, text) && maker->ok;
        if (maker->match.unmatched > 0 && maker->in->options->verbose) {
            (void)fprintf(stderr, "sipc: no source lines for %u of %u functions\n",
                          maker->match.unmatched, maker->match.unmatched + maker->match.matched);
        }
    }
    flow_module_fini(&module);
    free(text);
    return SF_OK;
}

static sf_status run_steps(struct maker *maker)
{
    sf_status st;

    prefixes_fill(maker);
    st = match_text(maker);
    if (st == SF_OK) {
        st = read_rows(maker);
    }
    if (st == SF_OK && maker->ok) {
        st = symbolize(maker, "module.elf", &maker->rows, UINT64_MAX, visit_native);
    }
    if (st == SF_OK && maker->ok) {
        numbers_sort(&maker->offsets);
        st = symbolize(maker, "linked.wasm", &maker->offsets, UINT32_MAX, visit_module);
        if (st == SF_FORMAT) { /* who knows who made the module */
            (void)fprintf(stderr, "sipc: warning: the module's debug information cannot be read: "
                                  "fault reports have names only\n");
            st = SF_OK;
        }
    }
    while (st == SF_OK && maker->ok && maker->frame_at.count <= maker->offsets.count) {
        numbers_add(maker, &maker->frame_at, maker->frames.count);
    }
    if (st == SF_OK && maker->ok) {
        add_rows(maker);
    }
    return st == SF_OK && !(maker->ok && maker->table.ok) ? sipc_fail(SF_NOMEM, "no memory left")
                                                          : st;
}

sf_status lines_make(const struct lines_input *input, Sf__Image__Lines *lines)
{
    struct maker *maker = calloc(1, sizeof(*maker));
    sf_status st;

    sf__image__lines__init(lines);
    if (maker == NULL) {
        return sipc_fail(SF_NOMEM, "no memory left");
    }
    maker->in = input;
    maker->ok = true;
    lines_table_init(&maker->table);
    st = run_steps(maker);
    if (st == SF_OK && !lines_table_give(&maker->table, lines)) {
        (void)fprintf(stderr, "sipc: warning: too many source lines: fault reports go without\n");
    }
    lines_table_fini(&maker->table);
    lines_match_fini(&maker->match);
    free(maker->rows.items);
    free(maker->offsets.items);
    free(maker->row_places.items);
    free(maker->frames.items);
    free(maker->frame_at.items);
    free(maker);
    return st;
}

void lines_fini(Sf__Image__Lines *lines)
{
    for (size_t i = 0; i < lines->n_files; i++) {
        free(lines->files[i]);
    }
    for (size_t i = 0; i < lines->n_functions; i++) {
        free(lines->functions[i]);
    }
    free(lines->files);
    free(lines->functions);
    free(lines->frame_function);
    free(lines->frame_file);
    free(lines->frame_line);
    free(lines->frame_parent);
    free(lines->row_bytes);
    free(lines->row_frame);
    sf__image__lines__init(lines);
}
