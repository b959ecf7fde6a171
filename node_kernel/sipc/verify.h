/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify.h - the closed API, checked on the module: which WebAssembly may become a SIP.
 *
 * Why: a SIP must not get out of its slot nor call anything but the kernel. Type safety is
 * wasm-validate's part; this verifier checks the rest, and keeps text of the module (names) out of
 * the C that wasm2c writes: wasm2c 1.0.32 copies import and export names as they are into
 * comments, so that a valid module could put code into the native image.
 *
 * Model: one pass over the bytes with an own parser, strict where the standard is lenient (no
 * over-long LEB128), so that it cannot read a module differently from wabt. Every rule has a name;
 * docs/sips.md has the table. Custom sections are never looked into, except that function names
 * are read for fault reports; sipc strips them all (wasm_strip) before anything else runs.
 *
 * Threads: pure. Errors: FORMAT (malformed), TRUST (a rule is broken), NOMEM; text gets
 * "rule <name>: <what>". Nothing here asserts on input.
 */
#ifndef SIPC_VERIFY_H
#define SIPC_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define WASM_BYTES_MAX (16u << 20)
#define WASM_NAME_BYTES_MAX 64u
#define WASM_TYPES_MAX 4096u
#define WASM_PARAMS_MAX 128u
#define WASM_FUNCTIONS_MAX 32768u
#define WASM_LOCALS_MAX 8192u /* a function: bounds its native frame */
#define WASM_GLOBALS_MAX 1024u
#define WASM_TABLE_MAX 2048u /* elements; globals and table share the slot's header */
#define WASM_SEGMENTS_MAX 65536u
#define WASM_NESTING_MAX 512u
#define WASM_BR_TABLE_MAX 65536u

struct wasm_facts {
    uint32_t pages;     /* initial linear memory, 64 KiB pages */
    uint32_t pages_max; /* the module's own limit; that of the slot class if it has none */
    uint32_t import_count;
    uint32_t function_count; /* without imports */
    uint32_t table_max;      /* elements; 0 without table */
    uint32_t type_count;
    uint16_t types[WASM_TYPES_MAX]; /* for each type, the index of the first one equal to it */
};

/* For the small slot class. */
SF_MUST_CHECK sf_status wasm_verify(const uint8_t *bytes, size_t length,
                                    struct wasm_facts *out_facts, char *text, size_t text_capacity);
/* With at most that many 64 KiB pages of linear memory: NK_MODULE_PAGES_MAX, NK_LARGE_PAGES_MAX. */
SF_MUST_CHECK sf_status wasm_verify_pages(const uint8_t *bytes, size_t length, uint32_t pages_limit,
                                          struct wasm_facts *out_facts, char *text,
                                          size_t text_capacity);

/*
 * A copy without custom sections and without exported globals. Only for a module that wasm_verify
 * accepted. *out_bytes is malloc'ed, the caller's.
 */
SF_MUST_CHECK sf_status wasm_strip(const uint8_t *bytes, size_t length, uint8_t **out_bytes,
                                   size_t *out_length);

/*
 * Calls `each` for every function name of the "name" custom section (untrusted text, not
 * terminated). A malformed section gives fewer names, never an error.
 */
void wasm_function_names(const uint8_t *bytes, size_t length,
                         void (*each)(void *arg, uint32_t index, const char *name, size_t bytes),
                         void *arg);

#endif
