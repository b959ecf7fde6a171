/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "abi/nk_abi.h"
#include "work.h"

struct reader {
    const char *path;
    yaml_document_t document;
    struct manifest_source *out;
    const yaml_node_t *memory, *blocks; /* their sizes, or NULL */
};

static sf_status bad(const struct reader *r, const yaml_node_t *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static sf_status bad(const struct reader *r, const yaml_node_t *node, const char *format, ...)
{
    va_list list;

    (void)fprintf(stderr, "%s:%zu: error: ", r->path, node->start_mark.line + 1);
    va_start(list, format);
    (void)vfprintf(stderr, format, list);
    va_end(list);
    (void)fputc('\n', stderr);
    return SF_FORMAT;
}

static const char *text_of(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

static bool name_ok(const char *name)
{
    return name[0] >= 'a' && name[0] <= 'z' && strlen(name) < MANIFEST_NAME_MAX &&
           name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-")] == '\0';
}

static sf_status read_name(struct reader *r, const yaml_node_t *node, char *out)
{
    const char *text = text_of(node);

    if (text == NULL || !name_ok(text)) {
        return bad(r, node, "a name is [a-z][a-z0-9_-]*, at most %u letters",
                   MANIFEST_NAME_MAX - 1);
    }
    (void)snprintf(out, MANIFEST_NAME_MAX, "%s", text);
    return SF_OK;
}

static sf_status read_port(struct reader *r, const yaml_node_t *key, const yaml_node_t *value,
                           struct manifest_port *ports, size_t *count)
{
    struct manifest_port *port = &ports[*count];
    const char *contract = text_of(value);
    sf_status st;

    if (*count == MANIFEST_PORTS_MAX) {
        return bad(r, key, "more than %u ports", MANIFEST_PORTS_MAX);
    }
    st = read_name(r, key, port->name);
    if (st != SF_OK) {
        return st;
    }
    for (size_t i = 0; i < *count; i++) {
        if (strcmp(ports[i].name, port->name) == 0) {
            return bad(r, key, "%s is there twice", port->name);
        }
    }
    if (contract == NULL || contract[0] == '\0' || strlen(contract) >= MANIFEST_CONTRACT_MAX) {
        return bad(r, value, "expected the name of a contract");
    }
    (void)snprintf(port->contract, sizeof(port->contract), "%s", contract);
    port->line = key->start_mark.line + 1;
    (*count)++;
    return SF_OK;
}

static sf_status read_ports(struct reader *r, const yaml_node_t *node, struct manifest_port *ports,
                            size_t *count)
{
    if (node->type != YAML_MAPPING_NODE) {
        return bad(r, node, "expected a list of `name: Contract`");
    }
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        const sf_status st =
            read_port(r, yaml_document_get_node(&r->document, pair->key),
                      yaml_document_get_node(&r->document, pair->value), ports, count);
        if (st != SF_OK) {
            return st;
        }
    }
    return SF_OK;
}

/* "64KiB", "4MiB", "1GiB": bytes. */
static sf_status read_bytes(struct reader *r, const yaml_node_t *node, uint64_t bytes_max,
                            uint64_t *out_bytes)
{
    const char *text = text_of(node);
    char *unit = NULL;
    unsigned long long number;
    unsigned shift;

    errno = 0;
    number = text == NULL || text[0] < '0' || text[0] > '9' ? 0 : strtoull(text, &unit, 10);
    if (unit != NULL && strcmp(unit, "KiB") == 0) {
        shift = 10;
    } else if (unit != NULL && strcmp(unit, "MiB") == 0) {
        shift = 20;
    } else if (unit != NULL && strcmp(unit, "GiB") == 0) {
        shift = 30;
    } else {
        return bad(r, node, "expected a size such as 512KiB, 4MiB or 1GiB");
    }
    if (errno != 0 || number == 0 || number > bytes_max >> shift) {
        return bad(r, node, "a size must be above 0 and at most %llu KiB",
                   (unsigned long long)(bytes_max >> 10));
    }
    *out_bytes = (uint64_t)number << shift;
    return SF_OK;
}

static sf_status read_mode(struct reader *r, const yaml_node_t *value)
{
    const char *text = text_of(value);

    if (text == NULL || text[0] == '\0' || image_mode_find(text, &r->out->mode) != SF_OK) {
        return bad(r, value, "mode is " IMAGE_MODES);
    }
    return SF_OK;
}

static sf_status read_choice(struct reader *r, const yaml_node_t *node, const char *no,
                             const char *yes, bool *out)
{
    const char *text = text_of(node);

    if (text == NULL || (strcmp(text, no) != 0 && strcmp(text, yes) != 0)) {
        return bad(r, node, "expected %s or %s", no, yes);
    }
    *out = strcmp(text, yes) == 0;
    return SF_OK;
}

/* The class may stand behind the sizes: both are known only at the end. */
static sf_status check_sizes(struct reader *r)
{
    const struct manifest_source *out = r->out;
    const uint64_t memory_max =
        out->large ? NK_LARGE_WINDOW_OFFSET : (uint64_t)NK_MODULE_PAGES_MAX * 65536u;
    const uint64_t blocks_max =
        out->large ? NK_LARGE_WINDOW_BYTES : NK_MEMORY_BYTES - NK_WINDOW_OFFSET;
    const char *hint = out->large ? "" : "; `slot_class: large` allows more";

    if (out->memory_bytes > memory_max) {
        return bad(r, r->memory, "a size must be above 0 and at most %llu KiB%s",
                   (unsigned long long)(memory_max >> 10), hint);
    }
    if (out->block_bytes_max > blocks_max) {
        return bad(r, r->blocks, "a size must be above 0 and at most %llu KiB%s",
                   (unsigned long long)(blocks_max >> 10), hint);
    }
    return SF_OK;
}

/* "500ms", "2s": milliseconds. */
static sf_status read_ms(struct reader *r, const yaml_node_t *node, uint32_t *out_ms)
{
    const char *text = text_of(node);
    char *unit = NULL;
    unsigned long long number;
    unsigned factor;

    errno = 0;
    number = text == NULL || text[0] < '0' || text[0] > '9' ? 0 : strtoull(text, &unit, 10);
    if (unit != NULL && strcmp(unit, "ms") == 0) {
        factor = 1;
    } else if (unit != NULL && strcmp(unit, "s") == 0) {
        factor = 1000;
    } else {
        return bad(r, node, "expected a time such as 500ms or 2s");
    }
    if (errno != 0 || number == 0 || number > UINT32_MAX / factor) {
        return bad(r, node, "a time must be above 0 and at most %u s", UINT32_MAX / 1000);
    }
    *out_ms = (uint32_t)number * factor;
    return SF_OK;
}

static sf_status read_violation(struct reader *r, const yaml_node_t *node, uint32_t *out_faults)
{
    const char *text = text_of(node);

    if (text == NULL || (strcmp(text, "error") != 0 && strcmp(text, "fault") != 0)) {
        return bad(r, node, "expected error (the call answers it) or fault (the SIP ends of it)");
    }
    *out_faults = strcmp(text, "fault") == 0;
    return SF_OK;
}

/* "25%": of one core. */
static sf_status read_percent(struct reader *r, const yaml_node_t *node, uint32_t *out_percent)
{
    const char *text = text_of(node);
    const size_t digits = text == NULL ? 0 : strspn(text, "0123456789");
    const unsigned long number = digits == 0 || digits > 3 ? 0 : strtoul(text, NULL, 10);

    if (number == 0 || number > 100 || strcmp(text + digits, "%") != 0) {
        return bad(r, node, "expected a share of one core, 1%% to 100%%");
    }
    *out_percent = (uint32_t)number;
    return SF_OK;
}

static sf_status read_key(struct reader *r, const yaml_node_t *key, const yaml_node_t *value)
{
    struct manifest_source *out = r->out;
    const char *text = text_of(key);

    if (text == NULL) {
        return bad(r, key, "expected a key");
    }
    if (strcmp(text, "name") == 0) {
        return out->name[0] == '\0' ? read_name(r, value, out->name)
                                    : bad(r, key, "name is there twice");
    }
    if (strcmp(text, "imports") == 0) {
        return read_ports(r, value, out->imports, &out->import_count);
    }
    if (strcmp(text, "exports") == 0) {
        return read_ports(r, value, out->exports, &out->export_count);
    }
    if (strcmp(text, "slot_class") == 0) {
        return read_choice(r, value, "small", "large", &out->large);
    }
    if (strcmp(text, "memory") == 0) {
        r->memory = value;
        return read_bytes(r, value, NK_LARGE_WINDOW_OFFSET, &out->memory_bytes);
    }
    if (strcmp(text, "blocks") == 0) {
        r->blocks = value;
        return read_bytes(r, value, NK_LARGE_WINDOW_BYTES, &out->block_bytes_max);
    }
    if (strcmp(text, "strict_blocks") == 0) {
        return read_choice(r, value, "false", "true", &out->strict_blocks);
    }
    if (strcmp(text, "cpu") == 0) {
        return read_percent(r, value, &out->cpu_percent);
    }
    if (strcmp(text, "mode") == 0) {
        return read_mode(r, value);
    }
    if (strcmp(text, "cpu_total") == 0) {
        return read_ms(r, value, &out->cpu_ms_max);
    }
    if (strcmp(text, "slice") == 0) {
        return read_ms(r, value, &out->slice_ms_max);
    }
    if (strcmp(text, "on_violation") == 0) {
        return read_violation(r, value, &out->violation_faults);
    }
    if (strcmp(text, "movable") == 0) {
        return read_choice(r, value, "true", "false", &out->stays);
    }
    return bad(r, key,
               "unknown key %s; known: name, imports, exports, slot_class, memory, blocks, "
               "strict_blocks, mode, cpu, cpu_total, slice, on_violation, movable",
               text);
}

static sf_status read_document(struct reader *r)
{
    yaml_node_t *root = yaml_document_get_root_node(&r->document);

    if (root == NULL || root->type != YAML_MAPPING_NODE) {
        (void)fprintf(stderr, "%s:1: error: expected `name: ...` and other keys\n", r->path);
        return SF_FORMAT;
    }
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         pair < root->data.mapping.pairs.top; pair++) {
        const sf_status st = read_key(r, yaml_document_get_node(&r->document, pair->key),
                                      yaml_document_get_node(&r->document, pair->value));
        if (st != SF_OK) {
            return st;
        }
    }
    if (r->out->name[0] == '\0') {
        return bad(r, root, "name is missing");
    }
    return check_sizes(r);
}

sf_status manifest_read(const char *path, struct manifest_source *out_manifest)
{
    struct reader r = {.path = path, .out = out_manifest};
    yaml_parser_t parser;
    uint8_t *bytes;
    size_t length;
    sf_status st = file_read(path, 1u << 20, &bytes, &length);

    if (st != SF_OK) {
        return st;
    }
    *out_manifest = (struct manifest_source){0};
    if (yaml_parser_initialize(&parser) == 0) {
        free(bytes);
        return sipc_fail(SF_NOMEM, "no memory left");
    }
    yaml_parser_set_input_string(&parser, bytes, length);
    if (yaml_parser_load(&parser, &r.document) == 0) {
        (void)fprintf(stderr, "%s:%zu: error: %s\n", path, parser.problem_mark.line + 1,
                      parser.problem != NULL ? parser.problem : "not YAML");
        st = SF_FORMAT;
    } else {
        st = read_document(&r);
        yaml_document_delete(&r.document);
    }
    yaml_parser_delete(&parser);
    free(bytes);
    return st;
}
