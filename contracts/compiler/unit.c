/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "explore.h"

#define CONTRACTS_MAX 1000u
#define DIAGNOSTICS_MAX 1000u
#define FILES_MAX 200u /* imports: each is read while the one that names it is being read */

struct ctc__chunk {
    struct ctc__chunk *next;
    size_t used, capacity;
    _Alignas(16) uint8_t bytes[];
};

static void *checked(void *memory)
{
    if (memory == NULL) {
        fprintf(stderr, "contract compiler: no memory left\n");
        exit(2);
    }
    return memory;
}

void *ctc__alloc(struct ctc *ctc, size_t bytes)
{
    bytes = (bytes + 15) & ~(size_t)15;
    if (ctc->chunks == NULL || ctc->chunks->capacity - ctc->chunks->used < bytes) {
        size_t capacity = bytes > 65536 ? bytes : 65536;
        struct ctc__chunk *chunk = checked(calloc(1, sizeof(*chunk) + capacity));
        chunk->capacity = capacity;
        chunk->next = ctc->chunks;
        ctc->chunks = chunk;
    }
    void *memory = ctc->chunks->bytes + ctc->chunks->used;
    ctc->chunks->used += bytes;
    return memory;
}

char *ctc__copy(struct ctc *ctc, const char *text, size_t bytes)
{
    char *copy = ctc__alloc(ctc, bytes + 1);
    memcpy(copy, text, bytes);
    return copy;
}

struct ctc *ctc_create(void)
{
    return checked(calloc(1, sizeof(struct ctc)));
}

void ctc_destroy(struct ctc *ctc)
{
    if (ctc == NULL) {
        return;
    }
    for (struct ctc_contract *c = ctc->contracts; c != NULL; c = c->next) {
        ct_destroy(c->table);
    }
    while (ctc->chunks != NULL) {
        struct ctc__chunk *chunk = ctc->chunks;
        ctc->chunks = chunk->next;
        free(chunk);
    }
    free(ctc->diagnostics);
    free(ctc);
}

/* --- diagnostics --------------------------------------------------------------------------------
 */

/* What a base contract has wrong is not said again for those derived from it. */
static bool said(struct ctc *ctc, struct ctc__pos pos, const char *rule, const char *text)
{
    for (size_t i = 0; pos.file != NULL && i < ctc->diagnostic_count; i++) {
        const struct ctc_diagnostic *d = &ctc->diagnostics[i].public;
        if (d->line == pos.line && d->column == pos.column && d->file == pos.file->path &&
            strcmp(d->rule, rule) == 0 && strcmp(d->text, text) == 0) {
            ctc->last = i;
            return true;
        }
    }
    return false;
}

static void report(struct ctc *ctc, struct ctc__pos pos, bool warning, const char *rule,
                   const char *format, va_list args)
{
    char text[1024];

    vsnprintf(text, sizeof(text), format, args);
    if (said(ctc, pos, rule, text)) {
        return;
    }

    if (ctc->diagnostic_count == DIAGNOSTICS_MAX) {
        ctc->error_count += !warning;
        return;
    }
    if (ctc->diagnostic_count == ctc->diagnostic_capacity) {
        ctc->diagnostic_capacity = ctc->diagnostic_capacity * 2 + 16;
        ctc->diagnostics = checked(
            realloc(ctc->diagnostics, ctc->diagnostic_capacity * sizeof(*ctc->diagnostics)));
    }
    ctc->diagnostics[ctc->diagnostic_count] = (struct ctc__diagnostic){
        .public = {.file = pos.file == NULL ? "" : pos.file->path,
                   .line = pos.line,
                   .column = pos.column,
                   .warning = warning,
                   .rule = rule,
                   .text = ctc__copy(ctc, text, strlen(text)),
                   .lines = ""},
        .file_order = pos.file == NULL ? 0 : pos.file->order,
        .order = (uint32_t)ctc->diagnostic_count,
    };
    ctc->last = ctc->diagnostic_count++;
    ctc->error_count += !warning;
}

void ctc__error(struct ctc *ctc, struct ctc__pos pos, const char *rule, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    report(ctc, pos, false, rule, format, args);
    va_end(args);
}

void ctc__warn(struct ctc *ctc, struct ctc__pos pos, const char *rule, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    report(ctc, pos, true, rule, format, args);
    va_end(args);
}

void ctc__explain(struct ctc *ctc, const char *lines)
{
    if (ctc->diagnostic_count > 0 && ctc->diagnostic_count < DIAGNOSTICS_MAX) {
        ctc->diagnostics[ctc->last].public.lines = ctc__copy(ctc, lines, strlen(lines));
    }
}

void ctc__read_past(struct ctc *ctc, struct ctc__pos pos, enum ctc__past past)
{
    static const char *const what[] = {
        [PAST_ATTRIBUTE] = "attributes in '[...]' are",
        [PAST_USING] = "'using' is",
        [PAST_NAMESPACE] = "'namespace' is",
        [PAST_ACCESS] = "access words are",
        [PAST_CODE] = "code around contracts is",
        [PAST_DIRECTIVE] = "lines that begin with '#' are",
        [PAST_REQUIRES] = "'requires' is",
        [PAST_METHOD] = "members of structs that are no fields are",
        [PAST_BASE] = "bases of structs and types of enums are",
    };
    struct ctc__file *file = ctc->files;

    while (file != NULL && file != pos.file) {
        file = file->next;
    }
    assert(file != NULL);
    if (file->read_past[past]) {
        return;
    }
    file->read_past[past] = true;
    size_t before = ctc->diagnostic_count;
    ctc__warn(ctc, pos, "read-past", "%s read past in this file: they mean nothing to a contract",
              what[past]);
    if (ctc->diagnostic_count > before) {
        ctc->diagnostics[before].public.note = true;
    }
}

static int by_place(const void *a, const void *b)
{
    const struct ctc__diagnostic *one = a;
    const struct ctc__diagnostic *two = b;

#define ORDER(x, y)                                                                                \
    if ((x) != (y)) {                                                                              \
        return (x) < (y) ? -1 : 1;                                                                 \
    }
    ORDER(one->file_order, two->file_order)
    ORDER(one->public.line, two->public.line)
    ORDER(one->public.column, two->public.column)
    ORDER(one->order, two->order)
#undef ORDER
    return 0;
}

static void sort_diagnostics(struct ctc *ctc)
{
    if (ctc->diagnostic_count > 1) {
        qsort(ctc->diagnostics, ctc->diagnostic_count, sizeof(*ctc->diagnostics), by_place);
    }
}

size_t ctc_diagnostic_count(const struct ctc *ctc)
{
    return ctc->diagnostic_count;
}

const struct ctc_diagnostic *ctc_diagnostic(const struct ctc *ctc, size_t index)
{
    assert(index < ctc->diagnostic_count);
    return &ctc->diagnostics[index].public;
}

size_t ctc_error_count(const struct ctc *ctc)
{
    return ctc->error_count;
}

void ctc_print(const struct ctc *ctc, FILE *stream)
{
    for (size_t i = 0; i < ctc->diagnostic_count; i++) {
        const struct ctc_diagnostic *d = &ctc->diagnostics[i].public;
        if (d->line > 0) {
            fprintf(stream, "%s:%u:%u: ", d->file, d->line, d->column);
        } else {
            fprintf(stream, "%s%s", d->file, d->file[0] == 0 ? "" : ": ");
        }
        const char *severity = d->note ? "note" : d->warning ? "warning" : "error";
        fprintf(stream, "%s: %s [%s]\n", severity, d->text, d->rule);
        fputs(d->lines, stream);
    }
    if (ctc->diagnostic_count == DIAGNOSTICS_MAX) {
        fprintf(stream, "error: too many errors, the rest is not shown\n");
    }
}

/* --- sources ------------------------------------------------------------------------------------
 */

static sf_status add(struct ctc *ctc, const char *path, const char *text, size_t text_bytes,
                     bool given, const struct stat *info)
{
    struct ctc__file *file = ctc__alloc(ctc, sizeof(*file));
    size_t errors = ctc->error_count;
    uint32_t order = 1;

    for (const struct ctc__file *f = ctc->files; f != NULL; f = f->next) {
        order++;
    }
    file->path = ctc__copy(ctc, path, strlen(path));
    file->text = text;
    file->text_bytes = text_bytes;
    file->order = order;
    file->given = given;
    file->device = info == NULL ? 0 : info->st_dev;
    file->inode = info == NULL ? 0 : info->st_ino;
    CTC__APPEND(ctc->files, file);
    ctc__parse(ctc, file);
    sort_diagnostics(ctc);
    return ctc->error_count == errors ? SF_OK : SF_FORMAT;
}

sf_status ctc_add_text(struct ctc *ctc, const char *file_name, const char *text, size_t text_bytes)
{
    assert(!ctc->checked);
    return add(ctc, file_name, ctc__copy(ctc, text, text_bytes), text_bytes, true, NULL);
}

static void whole_file_error(struct ctc *ctc, const char *path, const char *why)
{
    struct ctc__file *file = ctc__alloc(ctc, sizeof(*file));

    file->path = ctc__copy(ctc, path, strlen(path));
    ctc__error(ctc, (struct ctc__pos){.file = file}, "file", "cannot read it: %s", why);
}

static sf_status add_file(struct ctc *ctc, const char *path, bool given)
{
    struct stat stat;
    FILE *stream = fopen(path, "rb");

    if (stream == NULL) {
        whole_file_error(ctc, path, strerror(errno));
        return SF_IO;
    }
    if (fstat(fileno(stream), &stat) != 0 || !S_ISREG(stat.st_mode)) {
        whole_file_error(ctc, path, "not a file");
        fclose(stream);
        return SF_IO;
    }
    if (stat.st_size > CTC_SOURCE_BYTES_MAX) {
        whole_file_error(ctc, path, "larger than 1 MiB");
        fclose(stream);
        return SF_IO;
    }
    char *text = ctc__alloc(ctc, (size_t)stat.st_size + 1);
    size_t length = fread(text, 1, (size_t)stat.st_size, stream);
    bool failed = ferror(stream) != 0;
    fclose(stream);
    if (failed) {
        whole_file_error(ctc, path, "read error");
        return SF_IO;
    }
    return add(ctc, path, text, length, given, &stat);
}

/* The same file twice (given, imported or found, whatever it is called) is read once. */
static struct ctc__file *known_file(struct ctc *ctc, const char *path)
{
    struct stat info;
    bool there = stat(path, &info) == 0;

    for (struct ctc__file *f = ctc->files; f != NULL; f = f->next) {
        if (strcmp(f->path, path) == 0 ||
            (there && f->inode == info.st_ino && f->device == info.st_dev && f->inode != 0)) {
            return f;
        }
    }
    return NULL;
}

sf_status ctc_add_file(struct ctc *ctc, const char *path)
{
    assert(!ctc->checked);
    struct ctc__file *known = known_file(ctc, path);
    if (known != NULL) {
        known->given = true;
        for (struct ctc_contract *c = ctc->contracts; c != NULL; c = c->next) {
            c->given = c->given || c->name.pos.file == known;
        }
        return SF_OK;
    }
    return add_file(ctc, path, true);
}

void ctc_add_folder(struct ctc *ctc, const char *folder)
{
    struct ctc__folder *entry = ctc__alloc(ctc, sizeof(*entry));

    entry->path = ctc__copy(ctc, folder, strlen(folder));
    CTC__APPEND(ctc->folders, entry);
}

sf_status ctc_add_path(struct ctc *ctc, const char *path)
{
    struct stat info;

    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        ctc_add_folder(ctc, path);
        return SF_OK;
    }
    return ctc_add_file(ctc, path);
}

/* <folder>/<path>, or <path> if it begins at the root; malloced. */
static char *join(const char *folder, size_t folder_bytes, const char *path)
{
    struct ctc__text text = {0};

    if (path[0] != '/') {
        ctc__put_bytes(&text, folder, folder_bytes);
        ctc__put(&text, "%s", folder_bytes > 0 ? "/" : "");
    }
    ctc__put(&text, "%s", path);
    return text.bytes;
}

/* Imports a file that is there. */
static bool import_from(struct ctc *ctc, const struct ctc__file *from, const char *folder,
                        size_t folder_bytes, const char *path)
{
    char *full = join(folder, folder_bytes, path);
    struct stat info;
    bool there = full != NULL && stat(full, &info) == 0 && S_ISREG(info.st_mode);

    if (there && known_file(ctc, full) == NULL) {
        (void)add_file(ctc, full, false); /* errors are in the diagnostics */
    }
    const struct ctc__file *to = there ? known_file(ctc, full) : NULL;
    if (to != NULL) {
        struct ctc__import *import = ctc__alloc(ctc, sizeof(*import));
        *import = (struct ctc__import){.from = from, .to = to};
        CTC__APPEND(ctc->imports, import);
    }
    free(full);
    return there;
}

void ctc__import(struct ctc *ctc, struct ctc__pos pos, const char *path)
{
    const char *slash = strrchr(pos.file->path, '/');
    size_t folder_bytes = slash == NULL ? 0 : (size_t)(slash - pos.file->path);
    uint32_t count = 0;

    for (const struct ctc__file *f = ctc->files; f != NULL; f = f->next) {
        count++;
    }
    if (count > FILES_MAX) {
        ctc__error(ctc, pos, "limit", "too many files, expected at most %u", FILES_MAX);
        return;
    }
    if (path[0] != 0 && import_from(ctc, pos.file, pos.file->path, folder_bytes, path)) {
        return;
    }
    for (const struct ctc__folder *f = ctc->folders; f != NULL && path[0] != 0; f = f->next) {
        if (import_from(ctc, pos.file, f->path, strlen(f->path), path)) {
            return;
        }
    }
    ctc__error(ctc, pos, "unknown-import",
               "there is no file '%s', expected it beside this file or in a search folder", path);
}

/* Reads <folder>/<name>.contract if it is there. */
static struct ctc_contract *look_in(struct ctc *ctc, const char *folder, size_t folder_bytes,
                                    const char *name)
{
    struct ctc__text path = {0};
    struct ctc_contract *found = NULL;
    struct stat info;

    ctc__put_bytes(&path, folder, folder_bytes);
    ctc__put(&path, "%s%s.contract", folder_bytes > 0 ? "/" : "", name);
    if (stat(path.bytes, &info) == 0 && known_file(ctc, path.bytes) == NULL) {
        (void)add_file(ctc, path.bytes, false); /* errors are in the diagnostics */
        for (found = ctc->contracts; found != NULL; found = found->next) {
            if (strcmp(found->name.text, name) == 0) {
                break;
            }
        }
    }
    free(path.bytes);
    return found;
}

struct ctc_contract *ctc__contract(struct ctc *ctc, const char *name, const struct ctc__file *from)
{
    uint32_t count = 0;

    for (struct ctc_contract *c = ctc->contracts; c != NULL; c = c->next) {
        if (strcmp(c->name.text, name) == 0) {
            return c;
        }
        count++;
    }
    if (count >= CONTRACTS_MAX || strlen(name) > CT_NAME_BYTES_MAX) {
        return NULL;
    }
    if (from != NULL) {
        const char *slash = strrchr(from->path, '/');
        size_t folder_bytes = slash == NULL ? 0 : (size_t)(slash - from->path);
        struct ctc_contract *found = look_in(ctc, from->path, folder_bytes, name);
        if (found != NULL) {
            return found;
        }
    }
    for (const struct ctc__folder *f = ctc->folders; f != NULL; f = f->next) {
        struct ctc_contract *found = look_in(ctc, f->path, strlen(f->path), name);
        if (found != NULL) {
            return found;
        }
    }
    return NULL;
}

sf_status ctc_load(struct ctc *ctc, const char *name)
{
    size_t errors = ctc->error_count;

    assert(!ctc->checked);
    if (ctc__contract(ctc, name, NULL) != NULL) {
        return SF_OK;
    }
    return ctc->error_count == errors ? SF_NOTFOUND : SF_FORMAT;
}

/* --- all together -------------------------------------------------------------------------------
 */

void ctc_allow_mixed(struct ctc *ctc)
{
    assert(!ctc->checked);
    ctc->allow_mixed = true;
}

/* --- all together -------------------------------------------------------------------------------
 */

/* Other errors leave holes in the graph, and a run through a hole says nothing. */
static bool only_mixed_states(const struct ctc *ctc)
{
    size_t mixed = 0;

    for (size_t i = 0; i < ctc->diagnostic_count; i++) {
        mixed += strcmp(ctc->diagnostics[i].public.rule, "mixed-state") == 0;
    }
    return mixed == ctc->error_count;
}

sf_status ctc_check(struct ctc *ctc)
{
    bool mixed = false;

    assert(!ctc->checked);
    ctc->checked = true;
    /* Checking names may append contracts that are read from folders. */
    for (struct ctc_contract *c = ctc->contracts; c != NULL; c = c->next) {
        ctc__check_names(c);
    }
    for (struct ctc_contract *c = ctc->contracts; c != NULL; c = c->next) {
        ctc__check_machine(c);
    }
    for (struct ctc_contract *c = ctc->contracts; c != NULL; c = c->next) {
        ctc__check_after(c);
        mixed = mixed || c->mixed;
    }
    bool whole = only_mixed_states(ctc);
    for (struct ctc_contract *c = ctc->contracts; whole && c != NULL; c = c->next) {
        ctc__check_both_sides(c);
    }
    if (ctc->error_count == 0 && !mixed) {
        for (struct ctc_contract *c = ctc->contracts; c != NULL; c = c->next) {
            ctc__canon_bodies(c);
        }
    }
    if (ctc->error_count == 0 && !mixed) {
        for (struct ctc_contract *c = ctc->contracts; c != NULL; c = c->next) {
            ctc__canon_blob(c);
        }
    }
    sort_diagnostics(ctc);
    return ctc->error_count == 0 ? SF_OK : SF_FORMAT;
}

size_t ctc_contract_count(const struct ctc *ctc)
{
    size_t count = 0;

    for (const struct ctc_contract *c = ctc->contracts; c != NULL; c = c->next) {
        count++;
    }
    return count;
}

const struct ctc_contract *ctc_contract(const struct ctc *ctc, size_t index)
{
    const struct ctc_contract *contract = ctc->contracts;

    while (index-- > 0 && contract != NULL) {
        contract = contract->next;
    }
    return contract;
}

const struct ctc_contract *ctc_find(const struct ctc *ctc, const char *name)
{
    for (const struct ctc_contract *c = ctc->contracts; c != NULL; c = c->next) {
        if (strcmp(c->name.text, name) == 0) {
            return c;
        }
    }
    return NULL;
}

const char *ctc_name(const struct ctc_contract *contract)
{
    return contract->name.text;
}

bool ctc_given(const struct ctc_contract *contract)
{
    return contract->given;
}

const struct ct_contract *ctc_table(const struct ctc_contract *contract)
{
    assert(contract->table != NULL);
    return contract->table;
}

const uint8_t *ctc_blob(const struct ctc_contract *contract, size_t *out_bytes)
{
    assert(contract->blob != NULL);
    *out_bytes = contract->blob_bytes;
    return contract->blob;
}

static int by_name(const void *a, const void *b)
{
    const struct ctc_contract *const *one = a;
    const struct ctc_contract *const *two = b;
    return strcmp((*one)->name.text, (*two)->name.text);
}

size_t ctc__reach(const struct ctc_contract *from, const struct ctc_contract **out, size_t capacity)
{
    size_t count = 1;

    out[0] = from;
    for (size_t done = 0; done < count; done++) {
        for (uint32_t r = 0; r < out[done]->ref_count; r++) {
            bool known = false;
            for (size_t k = 0; k < count; k++) {
                known = known || out[k] == out[done]->refs[r];
            }
            if (!known && count < capacity) {
                out[count++] = out[done]->refs[r];
            }
        }
    }
    qsort(out + 1, count - 1, sizeof(*out), by_name);
    return count;
}

size_t ctc_closure(const struct ctc *ctc, const char *const names[], size_t name_count,
                   const struct ctc_contract *out_contracts[], size_t capacity)
{
    const struct ctc_contract *reached[CT_BLOB_CLOSURE_MAX];
    size_t count = 0;

    for (size_t n = 0; n < name_count; n++) {
        const struct ctc_contract *contract = ctc_find(ctc, names[n]);
        size_t reach = contract == NULL ? 0 : ctc__reach(contract, reached, CT_BLOB_CLOSURE_MAX);
        for (size_t r = 0; r < reach; r++) {
            bool known = false;
            for (size_t k = 0; k < count && k < capacity; k++) {
                known = known || out_contracts[k] == reached[r];
            }
            if (!known && count < capacity) {
                out_contracts[count] = reached[r];
            }
            count += !known;
        }
    }
    qsort(out_contracts, count < capacity ? count : capacity, sizeof(*out_contracts), by_name);
    return count;
}
