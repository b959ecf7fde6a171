/* SPDX-License-Identifier: Apache-2.0 */
#include "lines_match.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verify.h"

#define TOKEN_BYTES 96u

/* What wasm2c 1.0.32 calls the instructions that are told by name. */
static const char *const by_op[256] = {
    [0x00] = "UNREACHABLE",     [0x11] = "CALL_INDIRECT",
    [0x28] = "i32_load",        [0x29] = "i64_load",
    [0x2a] = "f32_load",        [0x2b] = "f64_load",
    [0x2c] = "i32_load8_s",     [0x2d] = "i32_load8_u",
    [0x2e] = "i32_load16_s",    [0x2f] = "i32_load16_u",
    [0x30] = "i64_load8_s",     [0x31] = "i64_load8_u",
    [0x32] = "i64_load16_s",    [0x33] = "i64_load16_u",
    [0x34] = "i64_load32_s",    [0x35] = "i64_load32_u",
    [0x36] = "i32_store",       [0x37] = "i64_store",
    [0x38] = "f32_store",       [0x39] = "f64_store",
    [0x3a] = "i32_store8",      [0x3b] = "i32_store16",
    [0x3c] = "i64_store8",      [0x3d] = "i64_store16",
    [0x3e] = "i64_store32",     [0x40] = "wasm_rt_grow_memory",
    [0x6d] = "I32_DIV_S",       [0x6e] = "DIV_U",
    [0x6f] = "I32_REM_S",       [0x70] = "REM_U",
    [0x7f] = "I64_DIV_S",       [0x80] = "DIV_U",
    [0x81] = "I64_REM_S",       [0x82] = "REM_U",
    [0xa8] = "I32_TRUNC_S_F32", [0xa9] = "I32_TRUNC_U_F32",
    [0xaa] = "I32_TRUNC_S_F64", [0xab] = "I32_TRUNC_U_F64",
    [0xae] = "I64_TRUNC_S_F32", [0xaf] = "I64_TRUNC_U_F32",
    [0xb0] = "I64_TRUNC_S_F64", [0xb1] = "I64_TRUNC_U_F64",
};
static const char *const by_sub[] = {
    [8] = "memory_init", [10] = "memory_copy", [11] = "memory_fill"};
#define SUB_COUNT (sizeof(by_sub) / sizeof(by_sub[0]))

static const char *const calls[] = {
#define NK_CALL(number, name, signature, doc) [number] = "(*Z_nkZ_" #name ")",
#include "abi/nk_calls.def"
#undef NK_CALL
};

/* --- the module's side ---------------------------------------------------------------------------
 */

static void function_token(const struct flow_module *m, uint32_t index, char token[TOKEN_BYTES])
{
    if (m->functions[index].import) {
        (void)snprintf(token, TOKEN_BYTES, "%s", calls[m->functions[index].call]);
    } else if (index == m->main) {
        (void)snprintf(token, TOKEN_BYTES, "w2c_sip_main");
    } else {
        (void)snprintf(token, TOKEN_BYTES, "w2c_f%u", index);
    }
}

/* The token of an instruction; false: it has none. */
static bool insn_token(const struct flow_module *m, const struct flow_function *f,
                       const struct flow_insn *insn, char token[TOKEN_BYTES])
{
    const char *name = by_op[insn->op];

    if (insn->op == 0xfc && insn->sub < SUB_COUNT) {
        name = by_sub[insn->sub];
    }
    if (insn->op == 0x10) {
        function_token(m, (uint32_t)insn->value, token);
        return true;
    }
    if (insn->op == 0x21 || insn->op == 0x22) {
        (void)snprintf(token, TOKEN_BYTES, "w2c_%c%u", insn->value < f->params ? 'p' : 'l',
                       (unsigned)insn->value);
        return true;
    }
    if (name == NULL) {
        return false;
    }
    (void)snprintf(token, TOKEN_BYTES, "%s", name);
    return true;
}

/* Walks a function's instructions without those that cannot be reached. */
struct insns {
    const struct flow_module *m;
    const struct flow_function *f;
    uint32_t at;
};

static uint32_t skip_dead(const struct flow_function *f, uint32_t at)
{
    uint32_t depth = 0;

    for (; at < f->insn_count; at++) {
        const uint8_t op = f->insns[at].op;
        if (op >= 0x02 && op <= 0x04) {
            depth++;
        } else if (depth == 0 && (op == 0x05 || op == 0x0b)) {
            break;
        } else if (op == 0x0b) {
            depth--;
        }
    }
    return at;
}

/* The next instruction with a token; NULL: no more. */
static const struct flow_insn *insns_next(struct insns *insns, char token[TOKEN_BYTES])
{
    while (insns->at < insns->f->insn_count) {
        const struct flow_insn *insn = &insns->f->insns[insns->at++];
        const bool has = insn_token(insns->m, insns->f, insn, token);
        if (insn->op == 0x00 || insn->op == 0x0c || insn->op == 0x0e || insn->op == 0x0f) {
            insns->at = skip_dead(insns->f, insns->at);
        }
        if (has) {
            return insn;
        }
    }
    return NULL;
}

/* --- the text's side -----------------------------------------------------------------------------
 */

static bool is_name(const char *token)
{
    if (strncmp(token, "(*Z_nkZ_", 8) == 0 || strcmp(token, "w2c_sip_main") == 0 ||
        (strncmp(token, "w2c_f", 5) == 0 && token[5] != '\0' &&
         token[5 + strspn(token + 5, "0123456789")] == '\0')) {
        return true;
    }
    for (size_t i = 0; i < 256; i++) {
        if (by_op[i] != NULL && strcmp(token, by_op[i]) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < SUB_COUNT; i++) {
        if (by_sub[i] != NULL && strcmp(token, by_sub[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* The token of a statement; false: it has none. */
static bool line_token(const char *line, size_t length, char token[TOKEN_BYTES])
{
    const char *end = line + length, *equals;
    size_t bytes;

    while (line < end && *line == ' ') {
        line++;
    }
    /* Not of the declarations, which are set to a number. */
    if (end - line > 7 && strncmp(line, "w2c_", 4) == 0 && (line[4] == 'l' || line[4] == 'p') &&
        isdigit((unsigned char)line[5])) {
        equals = memchr(line, ' ', (size_t)(end - line));
        bytes = equals == NULL ? 0 : (size_t)(equals - line);
        if (bytes == 0 || bytes >= TOKEN_BYTES || end - equals < 7 ||
            strncmp(equals, " = w2c_", 7) != 0) {
            return false;
        }
        (void)snprintf(token, TOKEN_BYTES, "%.*s", (int)bytes, line);
        return true;
    }
    if (strncmp(line, "w2c_", 4) == 0) {
        equals = memchr(line, ' ', (size_t)(end - line));
        if (equals != NULL && end - equals > 3 && strncmp(equals, " = ", 3) == 0) {
            line = equals + 3;
        }
    }
    bytes = 0;
    if (end - line > 8 && strncmp(line, "(*Z_nkZ_", 8) == 0) {
        bytes = 2; /* behind its first bracket */
    }
    while (line + bytes < end && line[bytes] != '(' && line[bytes] != ';') {
        bytes++;
    }
    if (bytes == 0 || bytes >= TOKEN_BYTES) {
        return false;
    }
    (void)snprintf(token, TOKEN_BYTES, "%.*s", (int)bytes, line);
    /* w2c_f1 is also what a float on the stack is called. */
    return (line[bytes] == '(' || strcmp(token, by_op[0]) == 0) && is_name(token);
}

/* The name of the function that a line begins the body of; false: it does not. */
static bool begins_function(const char *line, size_t length, char token[TOKEN_BYTES])
{
    const char *name = NULL;
    size_t bytes = 0;

    if (length < 16 || strncmp(line, "static ", 7) != 0 ||
        strncmp(line + length - 3, ") {", 3) != 0) {
        return false;
    }
    for (size_t i = 7; i + 5 < length && line[i] != '('; i++) {
        if (strncmp(line + i, " w2c_", 5) == 0) {
            name = line + i + 1;
        }
    }
    while (name != NULL && name + bytes < line + length && name[bytes] != '(') {
        bytes++;
    }
    if (bytes == 0 || bytes >= TOKEN_BYTES) {
        return false;
    }
    (void)snprintf(token, TOKEN_BYTES, "%.*s", (int)bytes, name);
    return true;
}

/* --- side by side --------------------------------------------------------------------------------
 */

/* Lines [first, end) are the function's; those without an instruction get the next one's, behind
 * the last one that one's. */
static void fill_between(struct lines_match *match, uint32_t first, uint32_t end)
{
    uint32_t offset = 0;

    for (uint32_t line = end; line-- > first;) {
        if (match->places[line].offset != 0) {
            offset = match->places[line].offset;
        } else {
            match->places[line].offset = offset;
        }
    }
    for (uint32_t line = first; line < end; line++) {
        if (match->places[line].offset != 0) {
            offset = match->places[line].offset;
        } else {
            match->places[line].offset = offset;
        }
    }
}

static const char *next_line(const char *line)
{
    const char *end = strchr(line, '\n');

    return end == NULL ? line + strlen(line) : end + 1;
}

/* One function, whose body begins at *at, line number `line`. Moves *at behind it; answers the
 * number of the line there. */
static uint32_t match_function(struct lines_match *match, const struct flow_module *m,
                               uint32_t index, const char **at, uint32_t line)
{
    struct insns insns = {.m = m, .f = &m->functions[index]};
    const uint32_t first = line;
    char token[TOKEN_BYTES], expected[TOKEN_BYTES];
    const struct flow_insn *insn;
    bool same = true;

    for (; **at != '\0' && **at != '}' && line < match->line_count; *at = next_line(*at), line++) {
        match->places[line].function = index + 1;
        if (!same || line == first || !line_token(*at, strcspn(*at, "\n"), token)) {
            continue;
        }
        insn = insns_next(&insns, expected);
        same = insn != NULL && strcmp(token, expected) == 0;
        if (same) {
            match->places[line].offset = insn->offset - m->code_offset;
            match->places[line].call = insn->op == 0x10 || insn->op == 0x11;
        }
    }
    same = same && insns_next(&insns, expected) == NULL;
    if (!same) {
        for (uint32_t i = first; i < line; i++) {
            match->places[i].offset = 0;
        }
    }
    match->matched += same;
    match->unmatched += !same;
    fill_between(match, first, line);
    return line;
}

bool lines_match(struct lines_match *match, const struct flow_module *module, const char *text)
{
    uint32_t index = module->import_count, line = 1;
    char token[TOKEN_BYTES], expected[TOKEN_BYTES];

    *match = (struct lines_match){.line_count = 2};
    for (const char *at = text; *at != '\0'; at++) {
        match->line_count += *at == '\n';
    }
    match->places = calloc(match->line_count, sizeof(*match->places));
    if (match->places == NULL) {
        return false;
    }
    for (const char *at = text; *at != '\0' && index < module->function_count;) {
        if (begins_function(at, strcspn(at, "\n"), token)) {
            function_token(module, index, expected);
            if (strcmp(token, expected) != 0) {
                break; /* not as wabt 1.0.32 writes it */
            }
            line = match_function(match, module, index++, &at, line);
        } else {
            at = next_line(at);
            line++;
        }
    }
    match->unmatched += module->function_count - index;
    return true;
}

void lines_match_fini(struct lines_match *match)
{
    free(match->places);
    *match = (struct lines_match){0};
}
