/* SPDX-License-Identifier: Apache-2.0 */
#include "wasm_mutate.h"

#include <stdbool.h>
#include <string.h>

#define SECTIONS_MAX 64u
#define CODE_SECTION 10u
#define HEADER_BYTES 8u

/* A part with its length before it: a section or a function body. */
struct part {
    size_t length_at; /* where its length is written */
    size_t from, to;  /* its content */
    uint8_t id;       /* of a section */
};

struct view {
    struct part sections[SECTIONS_MAX];
    uint32_t section_count;
};

uint64_t mutate_random(uint64_t *random)
{
    uint64_t z = (*random += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint32_t any(uint64_t *random, size_t below)
{
    return below == 0 ? 0 : (uint32_t)(mutate_random(random) % below);
}

/* --- reading and writing ------------------------------------------------------------------------
 */

/* Any u32, also over-long; false at the end of the bytes. */
static bool leb_read(const struct mutate_module *m, size_t *at, uint32_t *out)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < 10 && *at < m->length; i++) {
        const uint8_t byte = m->bytes[(*at)++];

        value |= i < 5 ? (uint32_t)(byte & 0x7f) << (7 * i) : 0;
        if ((byte & 0x80) == 0) {
            *out = value;
            return true;
        }
    }
    return false;
}

static size_t leb_write(uint8_t *to, uint64_t value, size_t bytes_min)
{
    size_t used = 0;

    do {
        to[used] = (uint8_t)(value & 0x7f);
        value >>= 7;
        used++;
        to[used - 1] |= value != 0 || used < bytes_min ? 0x80 : 0;
    } while (value != 0 || used < bytes_min);
    return used;
}

static void splice(struct mutate_module *m, size_t at, size_t removed, const uint8_t *inserted,
                   size_t bytes)
{
    if (at > m->length || removed > m->length - at ||
        m->length - removed + bytes > MUTATE_BYTES_MAX) {
        return;
    }
    memmove(m->bytes + at + bytes, m->bytes + at + removed, m->length - at - removed);
    if (bytes > 0) {
        memcpy(m->bytes + at, inserted, bytes);
    }
    m->length = m->length - removed + bytes;
}

static bool sections_find(const struct mutate_module *m, struct view *view)
{
    size_t at = HEADER_BYTES;

    view->section_count = 0;
    while (at < m->length && view->section_count < SECTIONS_MAX) {
        struct part *part = &view->sections[view->section_count];
        uint32_t bytes;

        part->id = m->bytes[at++];
        part->length_at = at;
        if (!leb_read(m, &at, &bytes) || bytes > m->length - at) {
            return view->section_count > 0;
        }
        part->from = at;
        part->to = at += bytes;
        view->section_count++;
    }
    return view->section_count > 0;
}

/* A function body, by chance; false if there is none. */
static bool body_find(const struct mutate_module *m, const struct part *code, uint64_t *random,
                      struct part *out)
{
    size_t at = code->from;
    uint32_t count, chosen;

    if (!leb_read(m, &at, &count) || count == 0) {
        return false;
    }
    chosen = any(random, count);
    for (uint32_t i = 0; i <= chosen; i++) {
        uint32_t bytes;

        out->length_at = at;
        if (!leb_read(m, &at, &bytes) || at > code->to || bytes > code->to - at) {
            return false;
        }
        out->from = at;
        out->to = at += bytes;
    }
    return true;
}

/* Writes the length of a part again, whose content has become `bytes` long. */
static void length_write(struct mutate_module *m, const struct part *part, size_t bytes)
{
    uint8_t text[10];

    splice(m, part->length_at, part->from - part->length_at, text, leb_write(text, bytes, 1));
}

/* Changes content of a section (and of the body in it, if not NULL), and the lengths with it. */
static void edit(struct mutate_module *m, const struct part *section, const struct part *body,
                 size_t at, size_t removed, const uint8_t *inserted, size_t bytes)
{
    const size_t before = m->length;
    const struct part *inner = body != NULL ? body : section;

    if (at < inner->from || at > inner->to || removed > inner->to - at) {
        return;
    }
    splice(m, at, removed, inserted, bytes);
    if (body != NULL) {
        length_write(m, body, body->to - body->from + m->length - before);
    }
    length_write(m, section, section->to - section->from + m->length - before);
}

/* --- instructions --------------------------------------------------------------------------------
 */

/* Bytes of the instruction at `at`; 0 if it cannot be read. */
static size_t instruction_bytes(const struct mutate_module *m, size_t at, size_t end)
{
    const size_t first = at;
    const uint8_t op = m->bytes[at++];
    uint32_t count = 0, ignored;

    if (op == 0x02 || op == 0x03 || op == 0x04 || op == 0xd0) {
        at++;
    } else if (op == 0x0e) {
        if (!leb_read(m, &at, &count) || count > end - at) {
            return 0;
        }
        count++;
    } else if (op == 0x43) {
        at += 4;
    } else if (op == 0x44) {
        at += 8;
    } else if (op == 0x11 || (op >= 0x28 && op <= 0x3e)) {
        count = 2;
    } else if (op == 0xfc) {
        const uint8_t sub = at < m->length ? m->bytes[at] : 0;

        count = sub < 8 || sub == 9 ? 1 + (sub == 9) : sub == 11 ? 2 : 3;
    } else if (op == 0x0c || op == 0x0d || op == 0x10 || (op >= 0x20 && op <= 0x26) ||
               (op >= 0x3f && op <= 0x42)) {
        count = 1;
    }
    for (; count > 0; count--) {
        if (!leb_read(m, &at, &ignored)) {
            return 0;
        }
    }
    return at <= end ? at - first : 0;
}

/* Where an instruction of the body begins, by chance. */
static size_t instruction_find(const struct mutate_module *m, const struct part *body,
                               uint64_t *random)
{
    size_t at = body->from, chosen = body->from;
    uint32_t groups, ignored, seen = 0;

    if (!leb_read(m, &at, &groups) || groups > 1000) {
        return chosen;
    }
    for (; groups > 0 && leb_read(m, &at, &ignored); groups--) {
        at++;
    }
    while (at < body->to) {
        const size_t bytes = instruction_bytes(m, at, body->to);

        if (any(random, ++seen) == 0) {
            chosen = at;
        }
        if (bytes == 0) {
            break;
        }
        at += bytes;
    }
    return chosen;
}

static uint64_t interesting(uint64_t *random)
{
    static const uint64_t values[] = {
        0,          1,     2,        63,         64,        127,     128,        255,
        511,        512,   513,      2047,       2048,      2049,    8191,       8192,
        32767,      32768, 65535,    65536,      262144,    1 << 26, 0x7fffffff, 0x80000000,
        0xffffffff, 3,     1u << 20, 1ull << 32, 1ull << 63};

    return any(random, 6) == 0 ? mutate_random(random)
                               : values[any(random, sizeof(values) / sizeof(values[0]))];
}

struct snippet {
    size_t used;
    uint8_t bytes[128];
};

static void put(struct snippet *s, uint8_t byte)
{
    s->bytes[s->used++] = byte;
}

static void put_const(struct snippet *s, uint64_t *random)
{
    put(s, 0x41);
    s->used += leb_write(s->bytes + s->used, interesting(random) & 0x3fffffff, 1);
}

static void put_leb(struct snippet *s, uint64_t value)
{
    s->used += leb_write(s->bytes + s->used, value & 0xffffffff, 1);
}

static void put_memory_access(struct snippet *s, uint64_t *random)
{
    static const uint8_t loads[] = {0x28, 0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x2e, 0x2f, 0x30, 0x35};
    static const uint8_t stores[] = {0x36, 0x3a, 0x3b};
    const bool load = any(random, 2) == 0;

    put_const(s, random);
    if (!load) {
        put_const(s, random);
    }
    put(s, load ? loads[any(random, sizeof(loads))] : stores[any(random, sizeof(stores))]);
    put_leb(s, any(random, any(random, 8) == 0 ? 40 : 3));
    put_leb(s, interesting(random));
    if (load) {
        put(s, 0x1a);
    }
}

static void put_blocks(struct snippet *s, uint64_t *random)
{
    const uint32_t depth = 1 + any(random, 20);

    for (uint32_t i = 0; i < depth; i++) {
        put(s, any(random, 2) == 0 ? 0x02 : 0x03);
        put(s, 0x40);
    }
    for (uint32_t i = 0; i < depth; i++) {
        put(s, 0x0b);
    }
}

static void put_bulk(struct snippet *s, uint64_t *random)
{
    const bool copy = any(random, 2) == 0;

    put_const(s, random);
    put_const(s, random);
    put_const(s, random);
    put(s, 0xfc);
    put(s, copy ? 10 : 11);
    put(s, 0);
    if (copy) {
        put(s, 0);
    }
}

static void put_all(struct snippet *s, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put(s, bytes[i]);
    }
}
#define PUT(s, ...)                                                                                \
    put_all(s, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* Code that takes nothing from the stack and leaves nothing there (if its indices are right). */
static void put_neutral(struct snippet *s, uint64_t *random)
{
    switch (any(random, 15)) {
    case 0:
        put(s, 0x01);
        break;
    case 1:
        put_blocks(s, random);
        break;
    case 2:
        put_const(s, random);
        put(s, 0x1a);
        break;
    case 3: /* local.get, drop */
        PUT(s, 0x20, (uint8_t)any(random, 12), 0x1a);
        break;
    case 4: /* memory.size, memory.grow, drop */
        PUT(s, 0x3f, 0, 0x40, 0, 0x1a);
        break;
    case 5:
        put_bulk(s, random);
        break;
    case 6: /* if, else */
        put_const(s, random);
        PUT(s, 0x04, 0x40, 0x05, 0x0b);
        break;
    case 7: /* call */
        PUT(s, 0x10, (uint8_t)any(random, 30));
        break;
    case 8: /* call_indirect */
        put_const(s, random);
        PUT(s, 0x11, (uint8_t)any(random, 4), 0);
        break;
    case 9: /* br_table */
        PUT(s, 0x02, 0x40);
        put_const(s, random);
        PUT(s, 0x0e, 2, 0, (uint8_t)any(random, 3), 0, 0x0b);
        break;
    case 10: /* data.drop */
        PUT(s, 0xfc, 9, (uint8_t)any(random, 3));
        break;
    case 11: /* the rest of the block is dead code, which has types of its own */
        put(s, any(random, 2) == 0 ? 0x00 : 0x0f);
        break;
    case 12:
        PUT(s, 0x0c, (uint8_t)any(random, 3));
        break;
    default:
        put_memory_access(s, random);
        break;
    }
}

/* Another opcode for one of these, mostly with the same types. */
static uint8_t opcode_like(uint8_t op, uint64_t *random)
{
    static const uint8_t classes[][2] = {
        {0x28, 0x35}, {0x36, 0x3e}, {0x46, 0x4f}, {0x51, 0x5a}, {0x5b, 0x60},
        {0x61, 0x66}, {0x67, 0x69}, {0x6a, 0x78}, {0x79, 0x7b}, {0x7c, 0x8a},
        {0x8b, 0x91}, {0x92, 0x98}, {0x99, 0x9f}, {0xa0, 0xa6}, {0xa7, 0xbf},
        {0xc0, 0xc4}, {0x20, 0x22}, {0x02, 0x03}, {0x23, 0x24},
    };

    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        if (op >= classes[i][0] && op <= classes[i][1] && any(random, 12) != 0) {
            return (uint8_t)(classes[i][0] + any(random, classes[i][1] - classes[i][0] + 1u));
        }
    }
    return (uint8_t)mutate_random(random);
}

static void code_change(struct mutate_module *m, const struct view *view, uint64_t *random)
{
    struct snippet s = {0};
    struct part body;
    const struct part *code = NULL;
    size_t at, bytes;

    for (uint32_t i = 0; i < view->section_count; i++) {
        code = view->sections[i].id == CODE_SECTION ? &view->sections[i] : code;
    }
    if (code == NULL || !body_find(m, code, random, &body) || body.from == body.to) {
        return;
    }
    at = instruction_find(m, &body, random);
    bytes = at < body.to ? instruction_bytes(m, at, body.to) : 0;
    switch (any(random, 8)) {
    case 0: /* another immediate */
        if (bytes > 1) {
            put_leb(&s, interesting(random));
            edit(m, code, &body, at + 1, bytes - 1, s.bytes, s.used);
        }
        break;
    case 1:
    case 2:
        if (bytes > 0) {
            m->bytes[at] = opcode_like(m->bytes[at], random);
        }
        break;
    case 3: /* without an instruction, or twice */
        edit(m, code, &body, at, any(random, 2) == 0 ? bytes : 0, m->bytes + at, 0);
        break;
    case 4: /* locals */
        put(&s, 1), put_leb(&s, interesting(random));
        put(&s, (uint8_t)(0x7c + any(random, any(random, 4) == 0 ? 10 : 4)));
        edit(m, code, &body, body.from, 1, s.bytes, s.used);
        break;
    default:
        put_neutral(&s, random);
        edit(m, code, &body, at, 0, s.bytes, s.used);
        break;
    }
}

/* --- sections ------------------------------------------------------------------------------------
 */

static void section_copy(struct mutate_module *m, const struct view *view,
                         const struct mutate_module *from, const struct part *part,
                         uint64_t *random)
{
    const struct part *where = &view->sections[any(random, view->section_count)];
    const size_t first = part->length_at - 1;
    uint8_t copy[4096];
    const size_t bytes = part->to - first;
    size_t removed = 0;

    if (bytes > sizeof(copy)) {
        return;
    }
    memcpy(copy, from->bytes + first, bytes);
    for (uint32_t i = 0; any(random, 4) != 0 && i < view->section_count; i++) {
        if (view->sections[i].id == part->id) { /* in place of its like */
            where = &view->sections[i];
            removed = where->to - where->length_at + 1;
        }
    }
    splice(m, where->length_at - 1, removed, copy, bytes);
}

static void section_swap(struct mutate_module *m, const struct view *view, uint64_t *random)
{
    const struct part *part = &view->sections[any(random, view->section_count)];
    const struct part *where = &view->sections[any(random, view->section_count)];
    const size_t bytes = part->to - part->length_at + 1;
    uint8_t copy[4096];

    if (bytes > sizeof(copy)) {
        return;
    }
    memcpy(copy, m->bytes + part->length_at - 1, bytes);
    if (where->length_at > part->length_at) {
        splice(m, where->length_at - 1, 0, copy, bytes);
        splice(m, part->length_at - 1, bytes, NULL, 0);
    } else {
        splice(m, part->length_at - 1, bytes, NULL, 0);
        splice(m, where->length_at - 1, 0, copy, bytes);
    }
}

/* A number, a byte, a letter of a name somewhere in a section that is not code. */
static void content_change(struct mutate_module *m, const struct view *view, uint64_t *random)
{
    const struct part *part = &view->sections[any(random, view->section_count)];
    const size_t at = part->from + any(random, part->to - part->from + 1);
    uint8_t text[16];
    size_t bytes;

    switch (any(random, 6)) {
    case 0:
        bytes = leb_write(text, interesting(random), any(random, 4) == 0 ? any(random, 7) : 1);
        edit(m, part, NULL, at, at < part->to, text, bytes);
        break;
    case 1:
        edit(m, part, NULL, at, at < part->to, NULL, 0);
        break;
    case 2:
        text[0] = (uint8_t)mutate_random(random);
        edit(m, part, NULL, at, 0, text, 1);
        break;
    case 3: /* often a count, a type or a limit */
        if (at < part->to) {
            m->bytes[at] = (uint8_t)(m->bytes[at] + (any(random, 2) == 0 ? 1 : 255));
        }
        break;
    case 4:
        if (at < part->to) {
            m->bytes[at] = (uint8_t) "*/\n\\ \"?az09_.\x7f\xc3\x80\x41\x70\x60"[any(random, 20)];
        }
        break;
    default:
        if (part->from < part->to) {
            m->bytes[part->from] = (uint8_t)any(random, 5);
        }
        break;
    }
}

static void raw_change(struct mutate_module *m, uint64_t *random)
{
    const size_t at = any(random, m->length);
    const uint8_t byte = (uint8_t)mutate_random(random);

    switch (any(random, 5)) {
    case 0:
        splice(m, at, 1, NULL, 0);
        break;
    case 1:
        splice(m, at, 0, &byte, 1);
        break;
    case 2:
        m->length = any(random, 20) == 0 ? at : m->length;
        break;
    default:
        if (m->length > 0) {
            m->bytes[at] ^= any(random, 2) == 0 ? byte : (uint8_t)(1u << byte % 8);
        }
        break;
    }
}

/* A section's length, without its content. */
static void length_change(struct mutate_module *m, const struct view *view, uint64_t *random)
{
    const struct part *part = &view->sections[any(random, view->section_count)];
    const uint64_t bytes = part->to - part->from;
    uint8_t text[16];
    const size_t used = any(random, 2) == 0 ? leb_write(text, bytes, 1 + any(random, 8))
                                            : leb_write(text, bytes + any(random, 3) - 1, 1);

    splice(m, part->length_at, part->from - part->length_at, text, used < 12 ? used : 12);
}

static void custom_insert(struct mutate_module *m, const struct view *view, uint64_t *random)
{
    const uint8_t text[] = {0, 6, 4, 'n', 'a', 'm', 'e', (uint8_t)mutate_random(random)};

    splice(m, view->sections[any(random, view->section_count)].length_at - 1, 0, text,
           sizeof(text));
}

void mutate(struct mutate_module *module, const struct mutate_module *other, uint64_t *random)
{
    struct view view, others;

    for (uint32_t i = 1 + any(random, 3); i > 0; i--) {
        const uint32_t kind = any(random, 64);

        if (kind < 5 || !sections_find(module, &view)) {
            raw_change(module, random);
        } else if (kind < 43) {
            code_change(module, &view, random);
        } else if (kind < 55) {
            content_change(module, &view, random);
        } else if (kind < 57) {
            length_change(module, &view, random);
        } else if (kind < 59) {
            section_swap(module, &view, random);
        } else if (kind < 60) {
            custom_insert(module, &view, random);
        } else if (sections_find(other, &others)) {
            section_copy(module, &view, other, &others.sections[any(random, others.section_count)],
                         random);
        }
    }
}
