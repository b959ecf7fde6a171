/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_module.h - a module in the form in which flow.c runs it: decoded bodies with the ends of
 * their blocks found. Private to sipc.
 *
 * Model: only for modules that wasm_verify accepted; bodies are decoded when they are first needed.
 * What does not fit the bounds, or is not well nested, answers false and nothing is followed.
 * Ownership: flow_module_fini frees all; names and data point into the module's bytes.
 */
#ifndef SIPC_FLOW_MODULE_H
#define SIPC_FLOW_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOW_GLOBALS_MAX 8u /* those behind are not followed */
#define FLOW_BODY_MAX (1u << 18)

/* Numbers of nk_calls.def. */
enum flow_call {
#define NK_CALL(number, name, signature, doc) FLOW_CALL_##name = number,
#include "abi/nk_calls.def"
#undef NK_CALL
};

struct flow_insn {
    uint8_t op;
    uint8_t sub;     /* behind 0xfc */
    uint8_t arity;   /* block, loop, if: results */
    uint32_t offset; /* in the file */
    int64_t value;   /* constant, index, label, offset of a load or store */
    uint32_t end;    /* block, loop, if: index of its end */
    uint32_t other;  /* if: index of else, or of its end; br_table: first label in `labels` */
};

struct flow_function {
    bool import;
    uint8_t call; /* import: enum flow_call */
    uint8_t params, results;
    bool quiet; /* no operation on endpoints can be reached from it */
    const uint8_t *body;
    uint32_t body_bytes;
    uint32_t locals; /* without parameters */
    struct flow_insn *insns;
    uint32_t insn_count;
    uint32_t *labels; /* of all br_tables */
    uint32_t label_count;
};

struct flow_data {
    uint32_t address;
    uint32_t length;
    const uint8_t *bytes;
};

struct flow_module {
    const uint8_t *start;
    uint32_t
        code_offset;     /* of the code section's content: addresses in line tables count from it */
    uint8_t (*types)[2]; /* params, results */
    uint32_t type_count;
    struct flow_function *functions; /* imports first */
    uint32_t function_count, import_count;
    struct flow_data *data;
    uint32_t data_count;
    int64_t globals[FLOW_GLOBALS_MAX];
    uint32_t global_count;
    uint32_t main;
};

/* False: not followed (no memory, or over a bound). flow_module_fini in any case. */
bool flow_module_read(struct flow_module *module, const uint8_t *bytes, size_t length);
void flow_module_fini(struct flow_module *module);

/* The module's data at an address; NULL: none there. *out_bytes: how much to the segment's end. */
const char *flow_module_data(const struct flow_module *module, uint32_t address,
                             uint32_t *out_bytes);

/* Is it send, recv, close, or a call that makes, takes or waits for a channel? */
bool flow_call_matters(uint8_t call);

#endif
