/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_code.h - the verifier's walk over one function body: opcode allow-list, locals, offsets,
 * indices, nesting. Private to sipc.
 */
#ifndef SIPC_VERIFY_CODE_H
#define SIPC_VERIFY_CODE_H

#include "wasm_read.h"

struct wasm_code_limits {
    uint32_t function_count; /* with imports */
    uint32_t type_count;
    uint32_t global_count;
    const bool *global_mutable; /* by index */
    uint32_t param_count;       /* of this function */
    uint32_t data_count;        /* as the data count section says; 0 without one */
    bool has_table;
};

/* NULL, or the name of the rule that is broken (detail says how). */
const char *wasm_check_body(struct wasm_cursor *body, const struct wasm_code_limits *limits,
                            char *detail, size_t detail_capacity);

#endif
