/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lines.h - the table of source lines that goes into a manifest (image/lines.h). Private to sipc.
 *
 * Model: two steps of debug information, joined. gcc's says which line of module.c (wasm2c's
 * output) a native instruction comes from, and what was inlined; lines_match.h says which
 * instruction of the module that line is; clang's (or whoever made the module) says which line of
 * the source that is, and what was inlined. Without debug information in the module the functions'
 * names alone are in the table.
 *
 * Reproducible: file names are relative to the folders of the sources, of the includes, or of the
 * work folder; of all others only the last part is kept.
 * Errors: printed here. Ownership: lines_fini frees what lines_make put into *lines.
 */
#ifndef SIPC_LINES_H
#define SIPC_LINES_H

#include "base/status.h"
#include "build.h"
#include "image.pb-c.h"
#include "work.h"

struct lines_input {
    const struct work *work; /* has module.c, module.elf and linked.wasm */
    const struct build_options *options;
    const uint8_t *wasm; /* as in linked.wasm */
    size_t wasm_bytes;
    uint64_t base_address;
    char *const *names; /* of functions, by index; NULL where there is none */
    uint32_t name_count;
};

SF_MUST_CHECK sf_status lines_make(const struct lines_input *input, Sf__Image__Lines *lines);
void lines_fini(Sf__Image__Lines *lines);

#endif
