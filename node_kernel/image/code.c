/* SPDX-License-Identifier: Apache-2.0 */
/*
 * code.c - reads every instruction of an image's code segment, from its first byte to its last, and
 * accepts only the instructions that gcc makes of a sealed module.
 *
 * Model: an allow-list by opcode (integer, SSE to SSE4.1, near branches, string moves). Everything
 * else is refused: system calls and gates, interrupts, segment, control and key registers, x87 and
 * MMX, VEX and EVEX, lock, flags that outlive a function. Every direct branch must hit the start of
 * an instruction of the same segment, so that what was read is what direct branches run.
 *
 * What it is not: a proof of isolation. Native code that was not made by sipc can write anywhere
 * with plain moves; that images come from a trusted sipc is what hashes (and later signatures) are
 * for. This check stops what must not be there even if a stage before it was fooled, such as code
 * put through wasm2c by a crafted name. Targets of indirect branches are not checked.
 */
#include <stdlib.h>

#include "check.h"

enum {
    X = 0,       /* not allowed */
    OK = 1,      /* no operand bytes */
    M = 1 << 1,  /* ModRM */
    B1 = 1 << 2, /* 8 bit immediate */
    BZ = 1 << 3, /* 32 bit immediate (16 with operand-size prefix) */
    BV = 1 << 4, /* 64 bit immediate with REX.W, else as BZ */
    R1 = 1 << 5, /* 8 bit branch distance */
    R4 = 1 << 6, /* 32 bit branch distance */
    P = 1 << 7,  /* needs a 66, F2 or F3 prefix (without it: MMX) */
    G = 1 << 8,  /* group: the reg field of ModRM decides */
};

static const uint16_t one_byte[256] = {
    [0x00 ... 0x03] = M,
    [0x04] = B1,
    [0x05] = BZ, /* add */
    [0x08 ... 0x0b] = M,
    [0x0c] = B1,
    [0x0d] = BZ, /* or */
    [0x10 ... 0x13] = M,
    [0x14] = B1,
    [0x15] = BZ, /* adc */
    [0x18 ... 0x1b] = M,
    [0x1c] = B1,
    [0x1d] = BZ, /* sbb */
    [0x20 ... 0x23] = M,
    [0x24] = B1,
    [0x25] = BZ, /* and */
    [0x28 ... 0x2b] = M,
    [0x2c] = B1,
    [0x2d] = BZ, /* sub */
    [0x30 ... 0x33] = M,
    [0x34] = B1,
    [0x35] = BZ, /* xor */
    [0x38 ... 0x3b] = M,
    [0x3c] = B1,
    [0x3d] = BZ,          /* cmp */
    [0x50 ... 0x5f] = OK, /* push, pop */
    [0x63] = M,           /* movsxd */
    [0x68] = BZ,
    [0x69] = M | BZ,
    [0x6a] = B1,
    [0x6b] = M | B1,      /* push, imul */
    [0x70 ... 0x7f] = R1, /* jcc */
    [0x80] = M | B1,
    [0x81] = M | BZ,
    [0x83] = M | B1,
    [0x84 ... 0x8b] = M,
    [0x8d] = M,           /* test, xchg, mov, lea */
    [0x90 ... 0x99] = OK, /* nop, xchg, cwde, cdq */
    [0xa4 ... 0xa7] = OK, /* movs, cmps */
    [0xa8] = B1,
    [0xa9] = BZ,          /* test */
    [0xaa ... 0xaf] = OK, /* stos, lods, scas */
    [0xb0 ... 0xb7] = B1,
    [0xb8 ... 0xbf] = BV,     /* mov */
    [0xc0 ... 0xc1] = M | B1, /* shifts */
    [0xc3] = OK,              /* ret */
    [0xc6] = M | B1 | G,
    [0xc7] = M | BZ | G, /* mov */
    [0xc9] = OK,         /* leave */
    [0xd0 ... 0xd3] = M, /* shifts */
    [0xe8] = R4,
    [0xe9] = R4,
    [0xeb] = R1, /* call, jmp */
    [0xf6] = M | G,
    [0xf7] = M | G, /* test, not, neg, mul, div */
    [0xfe] = M | G,
    [0xff] = M | G, /* inc, dec, call, jmp, push */
};

static const uint16_t two_byte[256] = {
    /* behind 0f */
    [0x0b] = OK, /* ud2 */
    [0x10 ... 0x17] = M,
    [0x1f] = M, /* mov*ps, nop */
    [0x28 ... 0x29] = M,
    [0x2a] = M | P,
    [0x2c ... 0x2d] = M | P,
    [0x2e ... 0x2f] = M,
    [0x40 ... 0x4f] = M, /* cmov */
    [0x50 ... 0x5f] = M, /* arithmetic */
    [0x60 ... 0x6f] = M | P,
    [0x70 ... 0x73] = M | B1 | P,
    [0x74 ... 0x76] = M | P,
    [0x7c ... 0x7f] = M | P,
    [0x80 ... 0x8f] = R4, /* jcc */
    [0x90 ... 0x9f] = M,  /* setcc */
    [0xa3] = M,
    [0xa4] = M | B1,
    [0xa5] = M,
    [0xab] = M,
    [0xac] = M | B1,
    [0xad] = M,
    [0xaf] = M,
    [0xb3] = M,
    [0xb6 ... 0xb7] = M,
    [0xb8] = M | P, /* popcnt */
    [0xba] = M | B1 | G,
    [0xbb ... 0xbf] = M,
    [0xc2] = M | B1,
    [0xc4 ... 0xc5] = M | B1 | P,
    [0xc6] = M | B1,
    [0xc8 ... 0xcf] = OK, /* bswap */
    [0xd0 ... 0xf6] = M | P,
    [0xf8 ... 0xfe] = M | P,
};

static const uint16_t three_byte_38[256] = {
    /* behind 0f 38 */
    [0x00 ... 0x0b] = M | P, [0x10] = M | P,          [0x14 ... 0x15] = M | P,
    [0x17] = M | P,          [0x1c ... 0x1e] = M | P, [0x20 ... 0x25] = M | P,
    [0x28 ... 0x2b] = M | P, [0x30 ... 0x35] = M | P, [0x38 ... 0x41] = M | P,
};

static const uint16_t three_byte_3a[256] = {
    /* behind 0f 3a */
    [0x08 ... 0x0f] = M | B1 | P,
    [0x14 ... 0x17] = M | B1 | P,
    [0x20 ... 0x22] = M | B1 | P,
    [0x40 ... 0x42] = M | B1 | P,
};

#define INSTRUCTION_BYTES_MAX 15u

struct instruction {
    uint32_t bytes;
    bool branches;
    int64_t distance; /* from the end of the instruction */
};

struct decoder {
    const uint8_t *at;
    uint32_t left;
    uint32_t used;
    bool data16, rep, rex_w; /* 66; f2 or f3; REX.W */
};

/* 0 past the end: `used` then exceeds `left`, which is looked at when the instruction is done. */
static uint8_t peek(const struct decoder *d)
{
    return d->used < d->left ? d->at[d->used] : 0;
}

static void read_prefixes(struct decoder *d)
{
    for (; d->used < INSTRUCTION_BYTES_MAX; d->used++) {
        const uint8_t byte = peek(d);
        if (byte == 0x66) {
            d->data16 = true;
        } else if (byte == 0xf2 || byte == 0xf3) {
            d->rep = true;
        } else if (byte != 0x2e && byte != 0x3e) { /* cs, ds: padding and branch hints */
            break;
        }
    }
    if ((peek(d) & 0xf0) == 0x40) {
        d->rex_w = (peek(d) & 8) != 0;
        d->used++;
    }
}

/* Opcode in one of the four maps; out_opcode for groups (0x100 added behind 0f). */
static uint16_t read_opcode(struct decoder *d, unsigned *out_opcode)
{
    uint8_t byte = peek(d);

    d->used++;
    *out_opcode = byte;
    if (byte != 0x0f) {
        return one_byte[byte];
    }
    byte = peek(d);
    d->used++;
    *out_opcode = 0x100u + byte;
    if (byte == 0x38 || byte == 0x3a) {
        const uint8_t third = peek(d);
        d->used++;
        return byte == 0x38 ? three_byte_38[third] : three_byte_3a[third];
    }
    return two_byte[byte];
}

/* What a group's instruction adds to its form; X if it is not allowed. */
static uint16_t group_form(unsigned opcode, unsigned reg, uint16_t form)
{
    switch (opcode) {
    case 0xc6:
    case 0xc7:
        return reg == 0 ? form : X;
    case 0xf6:
        return reg == 0 ? form | B1 : reg == 1 ? X : form;
    case 0xf7:
        return reg == 0 ? form | BZ : reg == 1 ? X : form;
    case 0xfe:
        return reg <= 1 ? form : X;
    case 0xff: /* 3 and 5 are far */
        return reg == 3 || reg == 5 || reg == 7 ? X : form;
    case 0x1ba:
        return reg >= 4 ? form : X;
    default:
        return X;
    }
}

static void skip_modrm(struct decoder *d)
{
    const uint8_t modrm = peek(d);
    const unsigned mod = modrm >> 6, rm = modrm & 7u;

    d->used++;
    if (mod == 3) {
        return;
    }
    if (rm == 4) {
        const uint8_t sib = peek(d);
        d->used++;
        if (mod == 0 && (sib & 7u) == 5) {
            d->used += 4;
        }
    } else if (mod == 0 && rm == 5) {
        d->used += 4;
    }
    d->used += mod == 1 ? 1 : mod == 2 ? 4 : 0;
}

static int64_t read_distance(struct decoder *d, unsigned bytes)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < bytes; i++, d->used++) {
        value |= (uint32_t)peek(d) << (8 * i);
    }
    return bytes == 1 ? (int8_t)value : (int32_t)value;
}

static bool decode(const uint8_t *at, uint32_t left, struct instruction *out)
{
    struct decoder d = {.at = at, .left = left};
    unsigned opcode;
    uint16_t form;

    read_prefixes(&d);
    form = read_opcode(&d, &opcode);
    if ((form & G) != 0) {
        form = group_form(opcode, (peek(&d) >> 3) & 7u, form);
    }
    if (form == X || ((form & P) != 0 && !d.data16 && !d.rep)) {
        return false;
    }
    if ((form & M) != 0) {
        skip_modrm(&d);
    }
    d.used += (form & B1) != 0 ? 1 : 0;
    if ((form & (BZ | BV)) != 0) {
        d.used += (form & BV) != 0 && d.rex_w ? 8 : d.data16 && !d.rex_w ? 2 : 4;
    }
    out->branches = (form & (R1 | R4)) != 0;
    if (out->branches) {
        if (d.data16) {
            return false; /* processors do not agree on its length */
        }
        out->distance = read_distance(&d, (form & R1) != 0 ? 1 : 4);
    }
    out->bytes = d.used;
    return d.used <= left && d.used <= INSTRUCTION_BYTES_MAX;
}

static sf_status mark_starts(const struct image_segment *segment, uint8_t *starts,
                             struct image_report *report)
{
    const uint32_t length = (uint32_t)segment->file_bytes;
    struct instruction instruction;

    for (uint32_t at = 0; at < length; at += instruction.bytes) {
        if (!decode(segment->bytes + at, length - at, &instruction)) {
            const uint8_t *b = segment->bytes + at;
            return image__broken(report, SF_TRUST, "code-instructions",
                                 "at 0x%llx: an instruction that is not allowed (%02x %02x)",
                                 (unsigned long long)(segment->address + at), b[0],
                                 length - at > 1 ? b[1] : 0);
        }
        starts[at / 8] |= (uint8_t)(1u << (at % 8));
    }
    return SF_OK;
}

static sf_status check_branches(const struct image_segment *segment, const uint8_t *starts,
                                struct image_report *report)
{
    const uint32_t length = (uint32_t)segment->file_bytes;
    struct instruction instruction;

    for (uint32_t at = 0; at < length; at += instruction.bytes) {
        int64_t target;
        (void)decode(segment->bytes + at, length - at, &instruction);
        if (!instruction.branches) {
            continue;
        }
        target = (int64_t)at + instruction.bytes + instruction.distance;
        if (target < 0 || target >= (int64_t)length ||
            (starts[target / 8] & (1u << (target % 8))) == 0) {
            return image__broken(report, SF_TRUST, "code-branches",
                                 "at 0x%llx: a branch to where no instruction starts",
                                 (unsigned long long)(segment->address + at));
        }
    }
    return SF_OK;
}

sf_status image__check_code(const struct image_segment *segment, struct image_report *report)
{
    uint8_t *starts = calloc(segment->file_bytes / 8 + 1, 1);
    sf_status st;

    if (starts == NULL) {
        return image__broken(report, SF_NOMEM, "memory", "none left");
    }
    st = mark_starts(segment, starts, report);
    if (st == SF_OK) {
        st = check_branches(segment, starts, report);
    }
    free(starts);
    return st;
}
