/* SPDX-License-Identifier: Apache-2.0 */
#include "flow_module.h"

#include <stdlib.h>
#include <string.h>

#include "verify.h"
#include "wasm_read.h"

static int64_t read_signed(struct wasm_cursor *c, unsigned bits)
{
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte = 0x80;

    while ((byte & 0x80) != 0 && shift < bits) {
        byte = wasm_u8(c);
        value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    }
    if (shift < 64 && (byte & 0x40) != 0) {
        value |= ~(uint64_t)0 << shift;
    }
    return bits == 32 ? (int32_t)value : (int64_t)value;
}

bool flow_call_matters(uint8_t call)
{
    switch ((enum flow_call)call) {
    case FLOW_CALL_exit:
    case FLOW_CALL_endpoint:
    case FLOW_CALL_accept:
    case FLOW_CALL_channel:
    case FLOW_CALL_send:
    case FLOW_CALL_recv:
    case FLOW_CALL_recv_any:
    case FLOW_CALL_close:
        return true;
    default:
        return false;
    }
}

/* --- bodies --------------------------------------------------------------------------------------
 */

struct decode {
    struct wasm_cursor c;
    struct flow_function *f;
    uint32_t insn_room, label_room;
    uint32_t open[WASM_NESTING_MAX + 2];
    uint32_t depth;
    bool ok;
};

static void add_label(struct decode *d, uint32_t label)
{
    struct flow_function *f = d->f;

    if (f->label_count == d->label_room) {
        const uint32_t room = d->label_room == 0 ? 64 : 2 * d->label_room;
        uint32_t *more = realloc(f->labels, room * sizeof(*more));
        if (more == NULL) {
            d->ok = false;
            return;
        }
        f->labels = more;
        d->label_room = room;
    }
    f->labels[f->label_count++] = label;
}

static void decode_fc(struct decode *d, struct flow_insn *insn)
{
    insn->sub = (uint8_t)wasm_u32(&d->c);
    if (insn->sub == 8 || insn->sub == 9) {
        (void)wasm_u32(&d->c);
    }
    if (insn->sub >= 8 && insn->sub != 9) {
        (void)wasm_skip(&d->c, insn->sub == 10 ? 2 : 1);
    }
}

static void decode_control(struct decode *d, struct flow_insn *insn, uint32_t index)
{
    struct flow_insn *insns = d->f->insns;

    switch (insn->op) {
    case 0x02:
    case 0x03:
    case 0x04:
        insn->arity = wasm_u8(&d->c) != 0x40;
        if (d->depth > WASM_NESTING_MAX) {
            d->ok = false;
            return;
        }
        d->open[d->depth++] = index;
        break;
    case 0x05:
        if (d->depth < 2 || insns[d->open[d->depth - 1]].op != 0x04 ||
            insns[d->open[d->depth - 1]].other != 0) {
            d->ok = false;
            return;
        }
        insns[d->open[d->depth - 1]].other = index;
        break;
    default: /* end */
        if (--d->depth > 0) {
            struct flow_insn *block = &insns[d->open[d->depth]];
            block->end = index;
            if (block->op == 0x04 && block->other == 0) {
                block->other = index;
            } else if (block->op == 0x04) {
                insns[block->other].end = index;
            }
        }
        break;
    }
}

static void decode_operands(struct decode *d, struct flow_insn *insn, uint32_t index)
{
    const uint8_t op = insn->op;

    if ((op >= 0x02 && op <= 0x05) || op == 0x0b) {
        decode_control(d, insn, index);
    } else if (op == 0x0c || op == 0x0d || op == 0x10 || (op >= 0x20 && op <= 0x24)) {
        insn->value = wasm_u32(&d->c);
    } else if (op == 0x0e) {
        const uint32_t count = wasm_u32(&d->c);
        insn->value = count;
        insn->other = d->f->label_count;
        for (uint32_t i = 0; i <= count && d->ok && !d->c.failed; i++) {
            add_label(d, wasm_u32(&d->c));
        }
    } else if (op == 0x11) {
        insn->value = wasm_u32(&d->c);
        (void)wasm_u32(&d->c);
    } else if (op >= 0x28 && op <= 0x3e) {
        (void)wasm_u32(&d->c);
        insn->value = wasm_u32(&d->c);
    } else if (op == 0x3f || op == 0x40) {
        (void)wasm_u8(&d->c);
    } else if (op == 0x41 || op == 0x42) {
        insn->value = read_signed(&d->c, op == 0x41 ? 32 : 64);
    } else if (op == 0x43 || op == 0x44) {
        (void)wasm_skip(&d->c, op == 0x43 ? 4 : 8);
    } else if (op == 0xfc) {
        decode_fc(d, insn);
    }
}

static bool decode_body(struct flow_module *m, struct flow_function *f)
{
    struct decode d = {
        .c = {.start = m->start, .at = f->body, .end = f->body + f->body_bytes},
        .f = f,
        .depth = 1,
        .ok = true,
    };
    const uint32_t groups = wasm_u32(&d.c);

    for (uint32_t i = 0; i < groups && !d.c.failed; i++) {
        f->locals += wasm_u32(&d.c);
        (void)wasm_u8(&d.c);
    }
    while (d.ok && d.depth > 0 && wasm_left(&d.c) > 0) {
        struct flow_insn *insn;
        if (f->insn_count == d.insn_room) {
            const uint32_t room = d.insn_room == 0 ? 256 : 2 * d.insn_room;
            struct flow_insn *more =
                room > FLOW_BODY_MAX ? NULL : realloc(f->insns, room * sizeof(*more));
            if (more == NULL) {
                return false;
            }
            f->insns = more;
            d.insn_room = room;
        }
        insn = &f->insns[f->insn_count];
        *insn = (struct flow_insn){.offset = (uint32_t)(d.c.at - m->start)};
        insn->op = wasm_u8(&d.c);
        decode_operands(&d, insn, f->insn_count);
        f->insn_count++;
    }
    return d.ok && d.depth == 0 && !d.c.failed;
}

/* --- sections ------------------------------------------------------------------------------------
 */

static bool read_types(struct flow_module *m, struct wasm_cursor *c)
{
    m->type_count = wasm_u32(c);
    m->types = calloc(m->type_count + 1u, sizeof(*m->types));
    if (m->types == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < m->type_count; i++) {
        uint32_t results;
        (void)wasm_u8(c);
        m->types[i][0] = (uint8_t)wasm_u32(c);
        (void)wasm_skip(c, m->types[i][0]);
        results = wasm_u32(c);
        m->types[i][1] = (uint8_t)results;
        (void)wasm_skip(c, results);
    }
    return true;
}

static struct flow_function *add_function(struct flow_module *m, uint32_t type)
{
    struct flow_function *more =
        realloc(m->functions, (m->function_count + 1u) * sizeof(*m->functions));

    if (more == NULL || type >= m->type_count) {
        m->functions = more != NULL ? more : m->functions;
        return NULL;
    }
    m->functions = more;
    more += m->function_count++;
    *more = (struct flow_function){.params = m->types[type][0], .results = m->types[type][1]};
    return more;
}

static uint8_t call_number(const uint8_t *name, uint32_t bytes)
{
    static const char *const names[] = {
#define NK_CALL(number, name, signature, doc) [number] = #name,
#include "abi/nk_calls.def"
#undef NK_CALL
    };

    for (uint8_t i = 1; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strlen(names[i]) == bytes && memcmp(names[i], name, bytes) == 0) {
            return i;
        }
    }
    return 0;
}

static bool read_imports(struct flow_module *m, struct wasm_cursor *c)
{
    const uint32_t count = wasm_u32(c);

    for (uint32_t i = 0; i < count; i++) {
        struct flow_function *f;
        const uint8_t *name;
        uint32_t bytes;
        (void)wasm_skip(c, wasm_u32(c));
        bytes = wasm_u32(c);
        name = wasm_skip(c, bytes);
        (void)wasm_u8(c);
        f = add_function(m, wasm_u32(c));
        if (f == NULL || name == NULL) {
            return false;
        }
        f->import = true;
        f->call = call_number(name, bytes);
        f->quiet = !flow_call_matters(f->call);
    }
    m->import_count = count;
    return true;
}

static bool read_functions(struct flow_module *m, struct wasm_cursor *c)
{
    const uint32_t count = wasm_u32(c);

    for (uint32_t i = 0; i < count; i++) {
        if (add_function(m, wasm_u32(c)) == NULL) {
            return false;
        }
    }
    return true;
}

static int64_t read_constant(struct wasm_cursor *c)
{
    const uint8_t op = wasm_u8(c);
    int64_t value = 0;

    if (op == 0x41 || op == 0x42) {
        value = read_signed(c, op == 0x41 ? 32 : 64);
    } else {
        (void)wasm_skip(c, op == 0x43 ? 4 : 8);
    }
    (void)wasm_u8(c);
    return value;
}

static void read_globals(struct flow_module *m, struct wasm_cursor *c)
{
    m->global_count = wasm_u32(c);
    for (uint32_t i = 0; i < m->global_count && i < FLOW_GLOBALS_MAX; i++) {
        (void)wasm_u8(c);
        (void)wasm_u8(c);
        m->globals[i] = read_constant(c);
    }
}

static void read_exports(struct flow_module *m, struct wasm_cursor *c)
{
    const uint32_t count = wasm_u32(c);

    for (uint32_t i = 0; i < count; i++) {
        uint32_t index;
        uint8_t kind;
        (void)wasm_skip(c, wasm_u32(c));
        kind = wasm_u8(c);
        index = wasm_u32(c);
        if (kind == 0) {
            m->main = index;
        }
    }
}

static bool read_code(struct flow_module *m, struct wasm_cursor *c)
{
    const uint32_t count = wasm_u32(c);

    for (uint32_t i = 0; i < count; i++) {
        const uint32_t bytes = wasm_u32(c);
        const uint8_t *at = wasm_skip(c, bytes);
        struct flow_function *f = &m->functions[m->import_count + i];
        if (at == NULL || m->import_count + i >= m->function_count) {
            return false;
        }
        f->body = at;
        f->body_bytes = bytes;
        if (!decode_body(m, f)) {
            return false;
        }
    }
    return true;
}

static bool read_data(struct flow_module *m, struct wasm_cursor *c)
{
    const uint32_t count = wasm_u32(c);

    m->data = calloc(count + 1u, sizeof(*m->data));
    if (m->data == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct flow_data *data = &m->data[m->data_count];
        const bool active = wasm_u32(c) == 0;
        data->address = active ? (uint32_t)read_constant(c) : 0;
        data->length = wasm_u32(c);
        data->bytes = wasm_skip(c, data->length);
        m->data_count += active;
    }
    return true;
}

static bool read_section(struct flow_module *m, uint8_t id, struct wasm_cursor *c)
{
    switch (id) {
    case 1:
        return read_types(m, c);
    case 2:
        return read_imports(m, c);
    case 3:
        return read_functions(m, c);
    case 6:
        read_globals(m, c);
        return true;
    case 7:
        read_exports(m, c);
        return true;
    case 10:
        m->code_offset = (uint32_t)(c->at - c->start);
        return read_code(m, c);
    case 11:
        return read_data(m, c);
    default:
        return true;
    }
}

/* A function is quiet if all that it calls is; indirect calls may reach anything. */
static void find_quiet(struct flow_module *m)
{
    bool changed = true;

    for (uint32_t i = m->import_count; i < m->function_count; i++) {
        m->functions[i].quiet = true;
    }
    while (changed) {
        changed = false;
        for (uint32_t i = m->import_count; i < m->function_count; i++) {
            struct flow_function *f = &m->functions[i];
            bool quiet = f->quiet;
            for (uint32_t k = 0; k < f->insn_count && quiet; k++) {
                quiet = f->insns[k].op != 0x11 &&
                        (f->insns[k].op != 0x10 || m->functions[f->insns[k].value].quiet);
            }
            changed = changed || quiet != f->quiet;
            f->quiet = quiet;
        }
    }
}

bool flow_module_read(struct flow_module *m, const uint8_t *bytes, size_t length)
{
    struct wasm_cursor c = {.start = bytes, .at = bytes, .end = bytes + length};

    *m = (struct flow_module){.start = bytes};
    (void)wasm_skip(&c, 8);
    while (wasm_left(&c) > 0) {
        const uint8_t id = wasm_u8(&c);
        const uint32_t section_bytes = wasm_u32(&c);
        struct wasm_cursor section = wasm_sub(&c, section_bytes);
        if (section.failed || !read_section(m, id, &section) || section.failed) {
            return false;
        }
    }
    if (m->main < m->import_count || m->main >= m->function_count) {
        return false;
    }
    find_quiet(m);
    return true;
}

void flow_module_fini(struct flow_module *m)
{
    for (uint32_t i = 0; i < m->function_count; i++) {
        free(m->functions[i].insns);
        free(m->functions[i].labels);
    }
    free(m->functions);
    free(m->types);
    free(m->data);
    *m = (struct flow_module){0};
}

const char *flow_module_data(const struct flow_module *m, uint32_t address, uint32_t *out_bytes)
{
    for (uint32_t i = m->data_count; i > 0; i--) {
        const struct flow_data *data = &m->data[i - 1];
        if (data->bytes != NULL && address >= data->address &&
            address - data->address < data->length) {
            *out_bytes = data->length - (address - data->address);
            return (const char *)data->bytes + (address - data->address);
        }
    }
    return NULL;
}
