/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_code.h"

#include <stdio.h>

#include "verify.h"

/* What stands behind an opcode. NOT: the opcode is not allowed. */
enum form {
    NOT,
    NONE,
    BLOCK,
    ELSE,
    END,
    LABEL,
    LABELS,
    CALL,
    CALL_INDIRECT,
    LOCAL,
    GLOBAL,
    MEMARG,
    MEMORY,
    CONST_I32,
    CONST_I64,
    CONST_F32,
    CONST_F64,
    PREFIX_FC,
};

/* WebAssembly 1.0 with sign extension; saturating conversion and bulk memory behind 0xfc. */
static const uint8_t forms[256] = {
    [0x00] = NONE,           /* unreachable */
    [0x01] = NONE,           /* nop */
    [0x02 ... 0x04] = BLOCK, /* block, loop, if */
    [0x05] = ELSE,
    [0x0b] = END,
    [0x0c ... 0x0d] = LABEL, /* br, br_if */
    [0x0e] = LABELS,         /* br_table */
    [0x0f] = NONE,           /* return */
    [0x10] = CALL,
    [0x11] = CALL_INDIRECT,
    [0x1a ... 0x1b] = NONE, /* drop, select */
    [0x20 ... 0x22] = LOCAL,
    [0x23 ... 0x24] = GLOBAL,
    [0x28 ... 0x3e] = MEMARG, /* loads and stores */
    [0x3f ... 0x40] = MEMORY, /* memory.size, memory.grow */
    [0x41] = CONST_I32,
    [0x42] = CONST_I64,
    [0x43] = CONST_F32,
    [0x44] = CONST_F64,
    [0x45 ... 0xc4] = NONE, /* comparisons, arithmetic, conversions, sign extension */
    [0xfc] = PREFIX_FC,
};

#define OFFSET_LIMIT 0x80000000u
#define OPCODE_IF 0x04
#define OPCODE_GLOBAL_SET 0x24

struct walk {
    struct wasm_cursor *c;
    const struct wasm_code_limits *limits;
    uint32_t local_count;                /* with parameters */
    uint32_t depth;                      /* open blocks, the body included */
    bool may_else[WASM_NESTING_MAX + 2]; /* by depth: an if without its else yet */
    char *detail;
    size_t detail_capacity;
};

#define BROKEN(w, rule, ...) (snprintf((w)->detail, (w)->detail_capacity, __VA_ARGS__), rule)

static const char *check_locals(struct walk *w)
{
    const uint32_t groups = wasm_u32(w->c);
    uint64_t count = w->limits->param_count;

    for (uint32_t i = 0; i < groups; i++) {
        const uint32_t more = wasm_u32(w->c);
        const uint8_t type = wasm_u8(w->c);
        if (w->c->failed) {
            return BROKEN(w, "format", "its locals run past its end");
        }
        if (type < 0x7c || type > 0x7f) {
            return BROKEN(w, "types", "a local is no number");
        }
        count += more;
        if (count > WASM_LOCALS_MAX) {
            return BROKEN(w, "locals", "more than %u locals", WASM_LOCALS_MAX);
        }
    }
    w->local_count = (uint32_t)count;
    return NULL;
}

static const char *check_index(struct walk *w, uint32_t count, const char *what)
{
    const uint32_t index = wasm_u32(w->c);

    if (w->c->failed || index >= count) {
        return BROKEN(w, "format", "there is no %s %u", what, index);
    }
    return NULL;
}

static const char *check_block(struct walk *w, uint8_t opcode)
{
    const uint8_t type = wasm_u8(w->c);

    if (type != 0x40 && (type < 0x7c || type > 0x7f)) {
        return BROKEN(w, "types", "a block takes values or has more than one result");
    }
    if (++w->depth > WASM_NESTING_MAX) {
        return BROKEN(w, "nesting", "more than %u blocks inside each other", WASM_NESTING_MAX);
    }
    w->may_else[w->depth] = opcode == OPCODE_IF;
    return NULL;
}

static const char *check_else(struct walk *w)
{
    if (!w->may_else[w->depth]) {
        return BROKEN(w, "format", "else without if");
    }
    w->may_else[w->depth] = false;
    return NULL;
}

static const char *check_global(struct walk *w, uint8_t opcode)
{
    const uint32_t index = wasm_u32(w->c);

    if (w->c->failed || index >= w->limits->global_count) {
        return BROKEN(w, "format", "there is no global %u", index);
    }
    if (opcode == OPCODE_GLOBAL_SET && !w->limits->global_mutable[index]) {
        return BROKEN(w, "format", "global %u is constant", index);
    }
    return NULL;
}

static const char *check_labels(struct walk *w)
{
    const uint32_t count = wasm_u32(w->c);

    if (count > WASM_BR_TABLE_MAX) {
        return BROKEN(w, "nesting", "a br_table of %u labels, at most %u", count,
                      WASM_BR_TABLE_MAX);
    }
    for (uint32_t i = 0; i <= count; i++) {
        const char *rule = check_index(w, w->depth, "label");
        if (rule != NULL) {
            return rule;
        }
    }
    return NULL;
}

static const char *check_call_indirect(struct walk *w)
{
    const char *rule = check_index(w, w->limits->type_count, "type");

    if (rule != NULL) {
        return rule;
    }
    if (wasm_u32(w->c) != 0 || !w->limits->has_table) {
        return BROKEN(w, "table", "an indirect call through a table that is not there");
    }
    return NULL;
}

/* log2 of the bytes that loads and stores touch, from 0x28 on. */
static const uint8_t natural[] = {2, 3, 2, 3, 0, 0, 1, 1, 0, 0, 1, 1,
                                  2, 2, 2, 3, 2, 3, 0, 1, 0, 1, 2};
_Static_assert(sizeof(natural) == 0x3e - 0x28 + 1, "one for each load and store");

static const char *check_memarg(struct walk *w, uint8_t opcode)
{
    const uint32_t align = wasm_u32(w->c);
    const uint32_t offset = wasm_u32(w->c);

    if (align > natural[opcode - 0x28]) {
        return BROKEN(w, "format", "alignment 2^%u", align);
    }
    if (offset >= OFFSET_LIMIT) {
        return BROKEN(w, "memarg-offset", "a load or store with offset %u, must be below 2 GiB",
                      offset);
    }
    return NULL;
}

static const char *check_prefix_fc(struct walk *w)
{
    const uint32_t opcode = wasm_u32(w->c);
    uint32_t zeros;

    if (opcode <= 7) { /* saturating conversions */
        return NULL;
    }
    switch (opcode) {
    case 8: /* memory.init: segment, memory */
    case 9: /* data.drop: segment */
        if (wasm_u32(w->c) >= w->limits->data_count) {
            return BROKEN(w, "format", "a data segment that is not there, or was not counted");
        }
        zeros = opcode == 8;
        break;
    case 10: /* memory.copy: two memories */
        zeros = 2;
        break;
    case 11: /* memory.fill: memory */
        zeros = 1;
        break;
    default:
        return BROKEN(w, "opcodes", "opcode 0xfc %u is not allowed", opcode);
    }
    while (zeros-- > 0) {
        if (wasm_u8(w->c) != 0) {
            return BROKEN(w, "format", "a bulk operation on a memory that is not there");
        }
    }
    return NULL;
}

static const char *check_operands(struct walk *w, uint8_t opcode)
{
    switch ((enum form)forms[opcode]) {
    case NONE:
        return NULL;
    case BLOCK:
        return check_block(w, opcode);
    case ELSE:
        return check_else(w);
    case END:
        w->depth--;
        return NULL;
    case LABEL:
        return check_index(w, w->depth, "label");
    case LABELS:
        return check_labels(w);
    case CALL:
        return check_index(w, w->limits->function_count, "function");
    case CALL_INDIRECT:
        return check_call_indirect(w);
    case LOCAL:
        return check_index(w, w->local_count, "local");
    case GLOBAL:
        return check_global(w, opcode);
    case MEMARG:
        return check_memarg(w, opcode);
    case MEMORY:
        return wasm_u8(w->c) == 0 ? NULL : BROKEN(w, "format", "a memory that is not there");
    case CONST_I32:
        wasm_skip_signed(w->c, 32);
        return NULL;
    case CONST_I64:
        wasm_skip_signed(w->c, 64);
        return NULL;
    case CONST_F32:
        (void)wasm_skip(w->c, 4);
        return NULL;
    case CONST_F64:
        (void)wasm_skip(w->c, 8);
        return NULL;
    case PREFIX_FC:
        return check_prefix_fc(w);
    case NOT:
        break;
    }
    return BROKEN(w, "opcodes", "opcode 0x%02x is not allowed", opcode);
}

const char *wasm_check_body(struct wasm_cursor *body, const struct wasm_code_limits *limits,
                            char *detail, size_t detail_capacity)
{
    struct walk w = {
        .c = body,
        .limits = limits,
        .depth = 1,
        .detail = detail,
        .detail_capacity = detail_capacity,
    };
    const char *rule;

    if (body->failed) {
        return BROKEN(&w, "format", "its body runs past the section");
    }
    rule = check_locals(&w);
    while (rule == NULL && w.depth > 0 && wasm_left(body) > 0) {
        rule = check_operands(&w, wasm_u8(body));
    }
    if (rule != NULL) {
        return rule;
    }
    if (body->failed || w.depth != 0 || wasm_left(body) != 0) {
        return BROKEN(&w, "format", "its body does not end where its size says");
    }
    return NULL;
}
