/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lines_match.h - which instruction of the module a line of wasm2c's output is. Private to sipc.
 *
 * Model: wasm2c writes functions in the order of the module and statements in the order of the
 * instructions, and leaves out what cannot be reached. Instructions that matter (calls, memory,
 * division, conversion, unreachable, local.set) have statements that can be told: both sequences
 * are walked side by side and must agree in every one of them, else the function has no lines. A
 * statement between two of these belongs to the next one.
 */
#ifndef SIPC_LINES_MATCH_H
#define SIPC_LINES_MATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "flow_module.h"

struct lines_place {
    uint32_t function; /* index + 1; 0: no line of a function of the module */
    uint32_t offset;   /* of the instruction, from the code section's content; 0: not known */
    bool call;         /* the line is a call */
};

struct lines_match {
    struct lines_place *places; /* by line of the C text; [0] is not used */
    uint32_t line_count;
    uint32_t matched, unmatched; /* functions */
};

/* False: no memory. lines_match_fini in any case. */
bool lines_match(struct lines_match *match, const struct flow_module *module, const char *text);
void lines_match_fini(struct lines_match *match);

#endif
