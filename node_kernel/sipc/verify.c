/* SPDX-License-Identifier: Apache-2.0 */
#include "verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/nk_abi.h"
#include "verify_code.h"
#include "wasm_read.h"

enum { I32 = 0x7f, I64 = 0x7e, F32 = 0x7d, F64 = 0x7c, FUNCREF = 0x70, FUNC = 0x60 };
enum { KIND_FUNC = 0, KIND_TABLE = 1, KIND_MEMORY = 2, KIND_GLOBAL = 3 };
enum section {
    SEC_CUSTOM,
    SEC_TYPE,
    SEC_IMPORT,
    SEC_FUNCTION,
    SEC_TABLE,
    SEC_MEMORY,
    SEC_GLOBAL,
    SEC_EXPORT,
    SEC_START,
    SEC_ELEMENT,
    SEC_CODE,
    SEC_DATA,
    SEC_DATA_COUNT,
};

struct type {
    const uint8_t *params;
    uint32_t param_count;
    uint8_t result; /* 0: none */
};

struct verifier {
    uint32_t pages_limit; /* of linear memory */
    struct wasm_facts *facts;
    struct type types[WASM_TYPES_MAX];
    uint32_t *function_types; /* imports first */
    uint32_t function_count;  /* with imports */
    uint32_t global_count;
    bool global_mutable[WASM_GLOBALS_MAX];
    uint32_t body_count;
    uint32_t data_count, data_seen; /* what the data count section says; what there is */
    bool has_data_count;
    bool has_memory, has_table, exports_main, exports_memory;
    char *text;
    size_t text_capacity;
};

static const struct api_call {
    const char *name;
    const char *signature;
} api_calls[] = {
#define NK_CALL(number, name, signature, doc) {#name, signature},
#include "abi/nk_calls.def"
#undef NK_CALL
};

#define MEMORY_PAGES_MAX 65536u /* that a module may name: 4 GiB */

static sf_status broken(struct verifier *v, const char *rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static sf_status broken(struct verifier *v, const char *rule, const char *format, ...)
{
    va_list list;
    const int used = snprintf(v->text, v->text_capacity, "rule %s: ", rule);

    if (used > 0 && (size_t)used < v->text_capacity) {
        va_start(list, format);
        (void)vsnprintf(v->text + used, v->text_capacity - (size_t)used, format, list);
        va_end(list);
    }
    return strcmp(rule, "format") == 0 ? SF_FORMAT : SF_TRUST;
}

static bool is_value_type(uint8_t byte)
{
    return byte == I32 || byte == I64 || byte == F32 || byte == F64;
}

/* Rules names: what wasm2c copies into C must not be able to leave a comment. */
static bool name_is_safe(const uint8_t *name, size_t bytes)
{
    if (bytes < 1 || bytes > WASM_NAME_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        const uint8_t c = name[i];
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '_') {
            return false;
        }
    }
    return true;
}

static sf_status read_name(struct verifier *v, struct wasm_cursor *c, const char *rule,
                           char name[WASM_NAME_BYTES_MAX + 1])
{
    const uint32_t bytes = wasm_u32(c);
    const size_t offset = (size_t)(c->at - c->start);
    const uint8_t *at = wasm_skip(c, bytes);

    if (at == NULL) {
        return broken(v, "format", "a name at offset %zu runs past its section", offset);
    }
    if (!name_is_safe(at, bytes)) {
        return broken(v, rule, "the name at offset %zu is not [A-Za-z0-9_]{1,%u}", offset,
                      WASM_NAME_BYTES_MAX);
    }
    memcpy(name, at, bytes);
    name[bytes] = '\0';
    return SF_OK;
}

static bool types_equal(const struct type *a, const struct type *b)
{
    return a->result == b->result && a->param_count == b->param_count &&
           memcmp(a->params, b->params, a->param_count) == 0;
}

static sf_status check_type(struct verifier *v, struct wasm_cursor *c, uint32_t index)
{
    struct type *type = &v->types[index];
    uint32_t result_count;

    if (wasm_u8(c) != FUNC) {
        return broken(v, "types", "type %u is not a function type", index);
    }
    type->param_count = wasm_u32(c);
    if (type->param_count > WASM_PARAMS_MAX) {
        return broken(v, "types", "type %u has %u parameters, at most %u", index, type->param_count,
                      WASM_PARAMS_MAX);
    }
    type->params = wasm_skip(c, type->param_count);
    result_count = wasm_u32(c);
    if (c->failed) {
        return broken(v, "format", "type %u runs past its section", index);
    }
    if (result_count > 1) {
        return broken(v, "types", "type %u has %u results, at most 1", index, result_count);
    }
    type->result = result_count == 1 ? wasm_u8(c) : 0;
    for (uint32_t i = 0; i < type->param_count; i++) {
        if (!is_value_type(type->params[i])) {
            return broken(v, "types", "type %u has a parameter that is no number", index);
        }
    }
    if (result_count == 1 && !is_value_type(type->result)) {
        return broken(v, "types", "type %u has a result that is no number", index);
    }
    v->facts->types[index] = (uint16_t)index;
    for (uint32_t i = 0; i < index; i++) {
        if (types_equal(&v->types[i], type)) {
            v->facts->types[index] = (uint16_t)i;
            break;
        }
    }
    return SF_OK;
}

static sf_status check_types(struct verifier *v, struct wasm_cursor *c)
{
    const uint32_t count = wasm_u32(c);

    if (count > WASM_TYPES_MAX) {
        return broken(v, "types", "%u types, at most %u", count, WASM_TYPES_MAX);
    }
    for (uint32_t i = 0; i < count; i++) {
        const sf_status st = check_type(v, c, i);
        if (st != SF_OK) {
            return st;
        }
    }
    v->facts->type_count = count;
    return SF_OK;
}

static uint8_t letter_type(char letter)
{
    return letter == 'i' ? I32 : letter == 'I' ? I64 : 0;
}

static bool signature_matches(const struct type *type, const char *signature)
{
    const char *at = signature + 1; /* behind '(' */
    uint32_t i = 0;

    for (; *at != ')'; at++, i++) {
        if (i >= type->param_count || type->params[i] != letter_type(*at)) {
            return false;
        }
    }
    return i == type->param_count && type->result == letter_type(at[1]);
}

static sf_status check_api(struct verifier *v, const char *name, uint32_t type)
{
    /* Call 0 belongs to the run-time stub. */
    for (size_t i = 1; i < sizeof(api_calls) / sizeof(api_calls[0]); i++) {
        if (strcmp(api_calls[i].name, name) != 0) {
            continue;
        }
        if (!signature_matches(&v->types[type], api_calls[i].signature)) {
            return broken(v, "import-signature", "import nk.%s must be %s (i = i32, I = i64)", name,
                          api_calls[i].signature);
        }
        return SF_OK;
    }
    return broken(v, "import-allow-list", "import nk.%s is not in the API", name);
}

static sf_status check_import(struct verifier *v, struct wasm_cursor *c)
{
    char module[WASM_NAME_BYTES_MAX + 1], name[WASM_NAME_BYTES_MAX + 1];
    uint32_t type;
    sf_status st = read_name(v, c, "import-names", module);

    if (st == SF_OK) {
        st = read_name(v, c, "import-names", name);
    }
    if (st != SF_OK) {
        return st;
    }
    if (wasm_u8(c) != KIND_FUNC) {
        return broken(v, "import-functions-only", "import %s.%s is not a function", module, name);
    }
    type = wasm_u32(c);
    if (c->failed || type >= v->facts->type_count) {
        return broken(v, "format", "import %s.%s has no type", module, name);
    }
    if (strcmp(module, "nk") != 0) {
        return broken(v, "import-module", "import %s.%s is not from module nk", module, name);
    }
    v->function_types[v->function_count++] = type;
    return check_api(v, name, type);
}

static sf_status check_imports(struct verifier *v, struct wasm_cursor *c)
{
    const uint32_t count = wasm_u32(c);

    if (count > WASM_FUNCTIONS_MAX) {
        return broken(v, "functions", "%u imports, at most %u", count, WASM_FUNCTIONS_MAX);
    }
    for (uint32_t i = 0; i < count; i++) {
        const sf_status st = check_import(v, c);
        if (st != SF_OK) {
            return st;
        }
    }
    v->facts->import_count = count;
    return SF_OK;
}

static sf_status check_functions(struct verifier *v, struct wasm_cursor *c)
{
    const uint32_t count = wasm_u32(c);

    if (count > WASM_FUNCTIONS_MAX) {
        return broken(v, "functions", "%u functions, at most %u", count, WASM_FUNCTIONS_MAX);
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t type = wasm_u32(c);
        if (c->failed || type >= v->facts->type_count) {
            return broken(v, "format", "function %u has no type", i);
        }
        v->function_types[v->function_count++] = type;
    }
    v->facts->function_count = count;
    return SF_OK;
}

static sf_status check_table(struct verifier *v, struct wasm_cursor *c)
{
    const uint32_t count = wasm_u32(c);
    uint32_t initial, maximum;
    uint8_t kind, flags;

    if (count == 0) {
        return SF_OK;
    }
    if (count != 1) {
        return broken(v, "table", "%u tables, at most 1", count);
    }
    kind = wasm_u8(c);
    flags = wasm_u8(c);
    initial = wasm_u32(c);
    maximum = (flags & 1) != 0 ? wasm_u32(c) : initial;
    if (c->failed) {
        return broken(v, "format", "the table section is cut");
    }
    if (kind != FUNCREF || flags > 1) {
        return broken(v, "table", "the table does not hold functions");
    }
    if (initial > WASM_TABLE_MAX) {
        return broken(v, "table", "%u elements, at most %u", initial, WASM_TABLE_MAX);
    }
    if (maximum < initial) { /* else it does not matter: no opcode that passes grows a table */
        return broken(v, "format", "a table of %u elements, at most %u", initial, maximum);
    }
    v->has_table = true;
    v->facts->table_max = initial;
    return SF_OK;
}

static sf_status check_memory(struct verifier *v, struct wasm_cursor *c)
{
    const uint32_t count = wasm_u32(c);
    uint32_t initial, maximum;
    uint8_t flags;

    if (count != 1) {
        return broken(v, "memory", "%u memories, must be exactly 1", count);
    }
    flags = wasm_u8(c);
    if (flags > 1) {
        return broken(v, "memory", "shared and 64 bit memories are not allowed");
    }
    initial = wasm_u32(c);
    maximum = flags == 1 ? wasm_u32(c) : v->pages_limit;
    if (c->failed) {
        return broken(v, "format", "the memory section is cut");
    }
    if (initial > v->pages_limit) {
        return broken(v, "memory-limit", "%u initial pages of 64 KiB, at most %u%s", initial,
                      v->pages_limit,
                      v->pages_limit < NK_LARGE_PAGES_MAX ? " in a small slot (slot_class)" : "");
    }
    if (maximum < initial || maximum > MEMORY_PAGES_MAX) {
        return broken(v, "format", "a memory of %u pages, at most %u", initial, maximum);
    }
    v->has_memory = true;
    v->facts->pages = initial;
    v->facts->pages_max = maximum < v->pages_limit ? maximum : v->pages_limit;
    return SF_OK;
}

/* `type`.const value end. Imported globals do not exist, so nothing else can be constant. */
static bool check_constant(struct wasm_cursor *c, uint8_t type)
{
    const uint8_t opcode = wasm_u8(c);

    if (opcode == 0x41 && type == I32) {
        wasm_skip_signed(c, 32);
    } else if (opcode == 0x42 && type == I64) {
        wasm_skip_signed(c, 64);
    } else if (opcode == 0x43 && type == F32) {
        (void)wasm_skip(c, 4);
    } else if (opcode == 0x44 && type == F64) {
        (void)wasm_skip(c, 8);
    } else {
        return false;
    }
    return wasm_u8(c) == 0x0b && !c->failed;
}

static sf_status check_globals(struct verifier *v, struct wasm_cursor *c)
{
    const uint32_t count = wasm_u32(c);

    if (count > WASM_GLOBALS_MAX) {
        return broken(v, "globals", "%u globals, at most %u", count, WASM_GLOBALS_MAX);
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t type = wasm_u8(c);
        const uint8_t mutable = wasm_u8(c);
        if (c->failed || mutable > 1) {
            return broken(v, "format", "global %u is malformed", i);
        }
        if (!is_value_type(type) || !check_constant(c, type)) {
            return broken(v, "globals", "global %u is not a number with a constant start value", i);
        }
        v->global_mutable[i] = mutable == 1;
    }
    v->global_count = count;
    return SF_OK;
}

static sf_status check_export(struct verifier *v, struct wasm_cursor *c)
{
    char name[WASM_NAME_BYTES_MAX + 1];
    const struct type *type;
    uint32_t index;
    uint8_t kind;
    const sf_status st = read_name(v, c, "export-names", name);

    if (st != SF_OK) {
        return st;
    }
    kind = wasm_u8(c);
    index = wasm_u32(c);
    if (c->failed) {
        return broken(v, "format", "export %s is cut", name);
    }
    if (kind == KIND_MEMORY && strcmp(name, "memory") == 0 && index == 0) {
        v->exports_memory = true;
        return SF_OK;
    }
    if (kind == KIND_GLOBAL && strncmp(name, "__", 2) == 0 && index < v->global_count) {
        return SF_OK; /* __heap_base and the like, which linkers add: wasm_strip drops it */
    }
    if (kind != KIND_FUNC || strcmp(name, "sip_main") != 0) {
        return broken(v, "exports", "export %s: only sip_main and memory may be exported", name);
    }
    if (index < v->facts->import_count || index >= v->function_count) {
        return broken(v, "exports", "sip_main is not a function of this module");
    }
    type = &v->types[v->function_types[index]];
    if (type->param_count != 0 || type->result != I32) {
        return broken(v, "exports", "sip_main must take nothing and return an i32");
    }
    v->exports_main = true;
    return SF_OK;
}

static sf_status check_exports(struct verifier *v, struct wasm_cursor *c)
{
    const uint32_t count = wasm_u32(c);

    for (uint32_t i = 0; i < count; i++) {
        const sf_status st = check_export(v, c);
        if (st != SF_OK) {
            return st;
        }
    }
    return SF_OK;
}

static sf_status check_elements(struct verifier *v, struct wasm_cursor *c)
{
    const uint32_t count = wasm_u32(c);

    if (count > WASM_SEGMENTS_MAX) {
        return broken(v, "elements", "%u segments, at most %u", count, WASM_SEGMENTS_MAX);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t entries;
        if (wasm_u32(c) != 0 || !v->has_table || !check_constant(c, I32)) {
            return broken(v, "elements", "segment %u is not active at a constant offset", i);
        }
        entries = wasm_u32(c);
        for (uint32_t k = 0; k < entries; k++) {
            const uint32_t function = wasm_u32(c);
            if (c->failed || function >= v->function_count) {
                return broken(v, "format", "element segment %u names no function", i);
            }
        }
    }
    return SF_OK;
}

static sf_status check_code(struct verifier *v, struct wasm_cursor *c)
{
    const uint32_t count = wasm_u32(c);

    if (count != v->facts->function_count) {
        return broken(v, "format", "%u functions but %u bodies", v->facts->function_count, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct wasm_code_limits limits = {
            .function_count = v->function_count,
            .type_count = v->facts->type_count,
            .global_count = v->global_count,
            .global_mutable = v->global_mutable,
            .param_count = v->types[v->function_types[v->facts->import_count + i]].param_count,
            .data_count = v->data_count,
            .has_table = v->has_table,
        };
        const uint32_t bytes = wasm_u32(c);
        struct wasm_cursor body = wasm_sub(c, bytes);
        char detail[160];
        const char *rule = wasm_check_body(&body, &limits, detail, sizeof(detail));
        if (rule != NULL) {
            return broken(v, rule, "function %u: %s", v->facts->import_count + i, detail);
        }
    }
    v->body_count = count;
    return SF_OK;
}

static sf_status check_data(struct verifier *v, struct wasm_cursor *c)
{
    const uint32_t count = wasm_u32(c);

    if (count > WASM_SEGMENTS_MAX) {
        return broken(v, "data", "%u segments, at most %u", count, WASM_SEGMENTS_MAX);
    }
    v->data_seen = count;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t flags = wasm_u32(c);
        if (flags > 1 || (flags == 0 && (!v->has_memory || !check_constant(c, I32)))) {
            return broken(v, "data", "segment %u is not active at a constant offset, nor passive",
                          i);
        }
        (void)wasm_skip(c, wasm_u32(c));
        if (c->failed) {
            return broken(v, "format", "data segment %u runs past its section", i);
        }
    }
    return SF_OK;
}

static sf_status check_section(struct verifier *v, uint8_t id, struct wasm_cursor *c)
{
    switch (id) {
    case SEC_TYPE:
        return check_types(v, c);
    case SEC_IMPORT:
        return check_imports(v, c);
    case SEC_FUNCTION:
        return check_functions(v, c);
    case SEC_TABLE:
        return check_table(v, c);
    case SEC_MEMORY:
        return check_memory(v, c);
    case SEC_GLOBAL:
        return check_globals(v, c);
    case SEC_EXPORT:
        return check_exports(v, c);
    case SEC_START:
        return broken(v, "no-start", "a start function would run before sip_main");
    case SEC_ELEMENT:
        return check_elements(v, c);
    case SEC_CODE:
        return check_code(v, c);
    case SEC_DATA:
        return check_data(v, c);
    case SEC_DATA_COUNT:
        v->data_count = wasm_u32(c);
        v->has_data_count = true;
        return SF_OK;
    default:
        return broken(v, "format", "section %u is not known", id);
    }
}

/* Order in which sections must come; the data count stands between elements and code. */
static unsigned section_rank(uint8_t id)
{
    return id == SEC_DATA_COUNT ? 2u * SEC_ELEMENT + 1 : 2u * id;
}

static sf_status check_module(struct verifier *v, struct wasm_cursor *c)
{
    static const uint8_t preamble[8] = {0, 'a', 's', 'm', 1, 0, 0, 0};
    const uint8_t *start = wasm_skip(c, sizeof(preamble));
    unsigned rank = 0;

    if (start == NULL || memcmp(start, preamble, sizeof(preamble)) != 0) {
        return broken(v, "format", "not a WebAssembly 1.0 module");
    }
    while (wasm_left(c) > 0) {
        const uint8_t id = wasm_u8(c);
        const uint32_t bytes = wasm_u32(c);
        struct wasm_cursor section = wasm_sub(c, bytes);
        sf_status st;
        if (c->failed) {
            return broken(v, "format", "section %u runs past the end", id);
        }
        if (id == SEC_CUSTOM) {
            continue;
        }
        if (section_rank(id) <= rank) {
            return broken(v, "format", "section %u is out of order or there twice", id);
        }
        rank = section_rank(id);
        st = check_section(v, id, &section);
        if (st != SF_OK) {
            return st;
        }
        if (section.failed || wasm_left(&section) != 0) {
            return broken(v, "format", "section %u does not fill its size", id);
        }
    }
    return SF_OK;
}

static sf_status check_whole(struct verifier *v)
{
    if (!v->has_memory) {
        return broken(v, "memory", "0 memories, must be exactly 1");
    }
    if (!v->exports_main) {
        return broken(v, "exports", "sip_main is not exported");
    }
    if (!v->exports_memory) {
        return broken(v, "exports", "memory is not exported");
    }
    if (v->body_count != v->facts->function_count) {
        return broken(v, "format", "functions without bodies");
    }
    if (v->has_data_count && v->data_count != v->data_seen) {
        return broken(v, "format", "%u data segments announced, %u there", v->data_count,
                      v->data_seen);
    }
    return SF_OK;
}

sf_status wasm_verify(const uint8_t *bytes, size_t length, struct wasm_facts *out_facts, char *text,
                      size_t text_capacity)
{
    return wasm_verify_pages(bytes, length, NK_MODULE_PAGES_MAX, out_facts, text, text_capacity);
}

sf_status wasm_verify_pages(const uint8_t *bytes, size_t length, uint32_t pages_limit,
                            struct wasm_facts *out_facts, char *text, size_t text_capacity)
{
    struct wasm_cursor c = {.start = bytes, .at = bytes, .end = bytes + length};
    struct verifier *v = calloc(1, sizeof(*v));
    struct wasm_facts *facts = calloc(1, sizeof(*facts));
    uint32_t *function_types = calloc(2u * WASM_FUNCTIONS_MAX, sizeof(*function_types));
    sf_status st = SF_NOMEM;

    if (v != NULL && facts != NULL && function_types != NULL) {
        v->facts = facts;
        v->pages_limit = pages_limit;
        v->function_types = function_types;
        v->text = text;
        v->text_capacity = text_capacity;
        if (length > WASM_BYTES_MAX) {
            st = broken(v, "size", "%zu bytes, at most %u", length, WASM_BYTES_MAX);
        } else {
            st = check_module(v, &c);
        }
        if (st == SF_OK) {
            st = check_whole(v);
        }
        if (st == SF_OK) {
            *out_facts = *facts;
        }
    } else {
        (void)snprintf(text, text_capacity, "no memory left");
    }
    free(function_types);
    free(facts);
    free(v);
    return st;
}

static size_t put_u32(uint8_t *to, uint32_t value)
{
    size_t count = 0;

    do {
        to[count++] = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        value >>= 7;
    } while (value > 0);
    return count;
}

/* The export section without globals. `to` has room for the section as it was, which this is never
 * larger than. Answers the bytes written, 0 for a section that is damaged. */
static size_t strip_exports(struct wasm_cursor c, uint8_t *to, size_t room)
{
    const uint32_t count = wasm_u32(&c);
    uint8_t *body = malloc(room + 1);
    uint8_t head[2][5];
    size_t used = 0, size_bytes, count_bytes;
    uint32_t kept = 0;

    for (uint32_t i = 0; body != NULL && i < count && !c.failed; i++) {
        const uint8_t *start = c.at;
        bool keep;
        (void)wasm_skip(&c, wasm_u32(&c));
        keep = wasm_u8(&c) != KIND_GLOBAL;
        (void)wasm_u32(&c);
        if (keep && !c.failed) {
            memcpy(body + used, start, (size_t)(c.at - start));
            used += (size_t)(c.at - start);
            kept++;
        }
    }
    count_bytes = put_u32(head[1], kept);
    size_bytes = put_u32(head[0], (uint32_t)(count_bytes + used));
    if (body == NULL || c.failed || 1 + size_bytes + count_bytes + used > room) {
        free(body);
        return 0;
    }
    *to++ = SEC_EXPORT;
    memcpy(to, head[0], size_bytes);
    memcpy(to + size_bytes, head[1], count_bytes);
    memcpy(to + size_bytes + count_bytes, body, used);
    free(body);
    return 1 + size_bytes + count_bytes + used;
}

sf_status wasm_strip(const uint8_t *bytes, size_t length, uint8_t **out_bytes, size_t *out_length)
{
    struct wasm_cursor c = {.start = bytes, .at = bytes, .end = bytes + length};
    uint8_t *copy = malloc(length + 1);
    size_t used;

    if (copy == NULL) {
        return SF_NOMEM;
    }
    (void)wasm_skip(&c, 8);
    used = (size_t)(c.at - bytes);
    memcpy(copy, bytes, used);
    while (wasm_left(&c) > 0) {
        const uint8_t *start = c.at;
        const uint8_t id = wasm_u8(&c);
        const uint32_t body_bytes = wasm_u32(&c);
        const struct wasm_cursor body = wasm_sub(&c, body_bytes);
        if (c.failed) {
            free(copy);
            return SF_FORMAT;
        }
        if (id == SEC_EXPORT) {
            const size_t bytes_put = strip_exports(body, copy + used, (size_t)(c.at - start));
            if (bytes_put == 0) {
                free(copy);
                return SF_FORMAT;
            }
            used += bytes_put;
        } else if (id != SEC_CUSTOM) {
            memcpy(copy + used, start, (size_t)(c.at - start));
            used += (size_t)(c.at - start);
        }
    }
    *out_bytes = copy;
    *out_length = used;
    return SF_OK;
}

/* Subsection 1 of the "name" section: function index, name. */
static void read_function_names(struct wasm_cursor *c,
                                void (*each)(void *, uint32_t, const char *, size_t), void *arg)
{
    const uint32_t count = wasm_u32(c);

    for (uint32_t i = 0; i < count && !c->failed; i++) {
        const uint32_t index = wasm_u32(c);
        const uint32_t bytes = wasm_u32(c);
        const uint8_t *name = wasm_skip(c, bytes);
        if (name != NULL && !c->failed) {
            each(arg, index, (const char *)name, bytes);
        }
    }
}

void wasm_function_names(const uint8_t *bytes, size_t length,
                         void (*each)(void *arg, uint32_t index, const char *name, size_t bytes),
                         void *arg)
{
    struct wasm_cursor c = {.start = bytes, .at = bytes, .end = bytes + length};

    (void)wasm_skip(&c, 8);
    while (wasm_left(&c) > 0) {
        const uint8_t id = wasm_u8(&c);
        const uint32_t section_bytes = wasm_u32(&c);
        struct wasm_cursor section = wasm_sub(&c, section_bytes);
        uint32_t name_bytes;
        const uint8_t *name;
        if (id != SEC_CUSTOM || section.failed) {
            continue;
        }
        name_bytes = wasm_u32(&section);
        name = wasm_skip(&section, name_bytes);
        if (name == NULL || name_bytes != 4 || memcmp(name, "name", 4) != 0) {
            continue;
        }
        while (wasm_left(&section) > 0) {
            const uint8_t kind = wasm_u8(&section);
            const uint32_t part_bytes = wasm_u32(&section);
            struct wasm_cursor part = wasm_sub(&section, part_bytes);
            if (kind == 1) {
                read_function_names(&part, each, arg);
            }
        }
    }
}
