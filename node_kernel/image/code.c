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
    X = 0,        /* not allowed */
    OK = 1,       /* no operand bytes */
    M = 1 << 1,   /* ModRM */
    B1 = 1 << 2,  /* 8 bit immediate */
    BZ = 1 << 3,  /* 32 bit immediate (16 with operand-size prefix) */
    BV = 1 << 4,  /* 64 bit immediate with REX.W, else as BZ */
    R1 = 1 << 5,  /* 8 bit branch distance */
    R4 = 1 << 6,  /* 32 bit branch distance */
    G = 1 << 7,   /* group: the reg field of ModRM decides */
    P0 = 1 << 8,  /* which of the prefixes 66, f3, f2 it may have: none */
    P6 = 1 << 9,  /* 66 */
    PS = 1 << 10, /* f3 */
    PD = 1 << 11, /* f2 */
    MO = 1 << 12, /* ModRM names memory */
    RO = 1 << 13, /* ModRM names a register */
    W = P0 | P6,  /* any operand size; of SSE: both packed forms */
    ALL = P0 | P6 | PS | PD,
};

static const uint16_t one_byte[256] = {
    [0x00 ... 0x03] = M | W,
    [0x04] = B1 | W,
    [0x05] = BZ | W, /* add */
    [0x08 ... 0x0b] = M | W,
    [0x0c] = B1 | W,
    [0x0d] = BZ | W, /* or */
    [0x10 ... 0x13] = M | W,
    [0x14] = B1 | W,
    [0x15] = BZ | W, /* adc */
    [0x18 ... 0x1b] = M | W,
    [0x1c] = B1 | W,
    [0x1d] = BZ | W, /* sbb */
    [0x20 ... 0x23] = M | W,
    [0x24] = B1 | W,
    [0x25] = BZ | W, /* and */
    [0x28 ... 0x2b] = M | W,
    [0x2c] = B1 | W,
    [0x2d] = BZ | W, /* sub */
    [0x30 ... 0x33] = M | W,
    [0x34] = B1 | W,
    [0x35] = BZ | W, /* xor */
    [0x38 ... 0x3b] = M | W,
    [0x3c] = B1 | W,
    [0x3d] = BZ | W,           /* cmp */
    [0x50 ... 0x5f] = OK | P0, /* push, pop */
    [0x63] = M | P0,           /* movsxd */
    [0x68] = BZ | P0,
    [0x69] = M | BZ | W,
    [0x6a] = B1 | P0,
    [0x6b] = M | B1 | W,       /* push, imul */
    [0x70 ... 0x7f] = R1 | P0, /* jcc */
    [0x80] = M | B1 | W,
    [0x81] = M | BZ | W,
    [0x83] = M | B1 | W,
    [0x84 ... 0x85] = M | W,
    [0x86 ... 0x87] = M | W | RO, /* xchg: with memory it locks */
    [0x88 ... 0x8b] = M | W,
    [0x8d] = M | W | MO,           /* test, mov, lea */
    [0x90] = OK | W | PS,          /* nop, pause */
    [0x91 ... 0x99] = OK | W,      /* xchg, cwde, cdq */
    [0xa4 ... 0xa5] = OK | W | PS, /* movs */
    [0xa6 ... 0xa7] = OK | ALL,    /* cmps */
    [0xa8] = B1 | W,
    [0xa9] = BZ | W,               /* test */
    [0xaa ... 0xad] = OK | W | PS, /* stos, lods */
    [0xae ... 0xaf] = OK | ALL,    /* scas */
    [0xb0 ... 0xb7] = B1 | P0,
    [0xb8 ... 0xbf] = BV | W,         /* mov */
    [0xc0 ... 0xc1] = M | B1 | W | G, /* shifts */
    [0xc3] = OK | P0 | PS,            /* ret */
    [0xc6] = M | B1 | W | G,
    [0xc7] = M | BZ | W | G,     /* mov */
    [0xc9] = OK | P0,            /* leave */
    [0xd0 ... 0xd3] = M | W | G, /* shifts */
    [0xe8] = R4 | P0,
    [0xe9] = R4 | P0,
    [0xeb] = R1 | P0, /* call, jmp */
    [0xf6] = M | W | G,
    [0xf7] = M | W | G, /* test, not, neg, mul, div */
    [0xfe] = M | W | G,
    [0xff] = M | W | G, /* inc, dec, call, jmp, push */
};

static const uint16_t two_byte[256] = {
    /* behind 0f */
    [0x0b] = OK | P0, /* ud2 */
    [0x10 ... 0x11] = M | ALL,
    [0x12] = M | ALL,
    [0x13] = M | W | MO,
    [0x14 ... 0x15] = M | W,
    [0x16] = M | W | PS,
    [0x17] = M | W | MO, /* mov*ps, unpack */
    [0x1f] = M | W | G,  /* nop */
    [0x28 ... 0x29] = M | W,
    [0x2a] = M | PS | PD,
    [0x2c ... 0x2d] = M | PS | PD, /* with 66, conversions are of MMX */
    [0x2e ... 0x2f] = M | W,
    [0x40 ... 0x4f] = M | W, /* cmov */
    [0x50] = M | W | RO,
    [0x51] = M | ALL,
    [0x52 ... 0x53] = M | P0 | PS,
    [0x54 ... 0x57] = M | W,
    [0x58 ... 0x5a] = M | ALL,
    [0x5b] = M | W | PS,
    [0x5c ... 0x5f] = M | ALL, /* arithmetic */
    [0x60 ... 0x6e] = M | P6,
    [0x6f] = M | P6 | PS,
    [0x70] = M | B1 | P6 | PS | PD,
    [0x71 ... 0x73] = M | B1 | P6 | RO | G,
    [0x74 ... 0x76] = M | P6,
    [0x7c ... 0x7d] = M | P6 | PD,
    [0x7e ... 0x7f] = M | P6 | PS,
    [0x80 ... 0x8f] = R4 | P0, /* jcc */
    [0x90 ... 0x9f] = M | P0,  /* setcc */
    [0xa3] = M | W,
    [0xa4] = M | B1 | W,
    [0xa5] = M | W,
    [0xab] = M | W,
    [0xac] = M | B1 | W,
    [0xad] = M | W,
    [0xaf] = M | W,
    [0xb3] = M | W,
    [0xb6 ... 0xb7] = M | W,
    [0xb8] = M | PS, /* popcnt */
    [0xba] = M | B1 | W | G,
    [0xbb] = M | W,
    [0xbc] = M | W | PS, /* bsf, tzcnt */
    [0xbd ... 0xbf] = M | W,
    [0xc2] = M | B1 | ALL,
    [0xc4] = M | B1 | P6,
    [0xc5] = M | B1 | P6 | RO,
    [0xc6] = M | B1 | W,
    [0xc8 ... 0xcf] = OK | P0, /* bswap */
    [0xd0] = M | P6 | PD,
    [0xd1 ... 0xd6] = M | P6,
    [0xd7] = M | P6 | RO,
    [0xd8 ... 0xe5] = M | P6,
    [0xe6] = M | P6 | PS | PD,
    [0xe8 ... 0xef] = M | P6,
    [0xf1 ... 0xf6] = M | P6,
    [0xf8 ... 0xfe] = M | P6,
};

static const uint16_t three_byte_38[256] = {
    /* behind 0f 38 */
    [0x00 ... 0x0b] = M | P6, [0x10] = M | P6,          [0x14 ... 0x15] = M | P6, [0x17] = M | P6,
    [0x1c ... 0x1e] = M | P6, [0x20 ... 0x25] = M | P6, [0x28 ... 0x29] = M | P6, [0x2b] = M | P6,
    [0x30 ... 0x35] = M | P6, [0x38 ... 0x41] = M | P6,
};

static const uint16_t three_byte_3a[256] = {
    /* behind 0f 3a */
    [0x08 ... 0x0f] = M | B1 | P6,
    [0x14 ... 0x17] = M | B1 | P6,
    [0x20 ... 0x22] = M | B1 | P6,
    [0x40 ... 0x42] = M | B1 | P6,
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
    uint16_t prefixes; /* P6, PS, PD: those that were there */
    bool segment;      /* cs, which assemblers put before the longest nops */
    bool rex_w;
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
            d->prefixes |= P6;
        } else if (byte == 0xf2) {
            d->prefixes |= PD;
        } else if (byte == 0xf3) {
            d->prefixes |= PS;
        } else if (byte == 0x2e) {
            d->segment = true;
        } else {
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
    case 0xc0:
    case 0xc1:
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return reg == 6 ? X : form;
    case 0xc6:
    case 0xc7:
    case 0x11f:
        return reg == 0 ? form : X;
    case 0xf6:
        return reg == 0 ? form | B1 : reg == 1 ? X : form;
    case 0xf7:
        return reg == 0 ? form | BZ : reg == 1 ? X : form;
    case 0xfe:
        return reg <= 1 ? form : X;
    case 0xff: /* 3 and 5 are far; processors do not agree on branches with 66 */
        return reg == 3 || reg == 5 || reg == 7 ? X : reg >= 2 ? form & ~P6 : form;
    case 0x171:
    case 0x172:
        return reg == 2 || reg == 4 || reg == 6 ? form : X;
    case 0x173:
        return reg == 2 || reg == 3 || reg == 6 || reg == 7 ? form : X;
    case 0x1ba:
        return reg >= 4 ? form : X;
    default:
        return X;
    }
}

/* Does the form have the prefixes that are there, at most one that counts, and its operand? */
static bool fits(const struct decoder *d, unsigned opcode, uint16_t form)
{
    const bool is_register = peek(d) >> 6 == 3;
    const uint16_t allowed = form & ALL;

    if (d->segment && opcode != 0x11f) {
        return false;
    }
    if ((opcode == 0x112 || opcode == 0x116) && d->prefixes == P6) {
        form |= MO; /* movlpd, movhpd */
    }
    if ((form & M) != 0 && ((form & (is_register ? MO : RO)) != 0)) {
        return false;
    }
    if (d->prefixes == (P6 | PS) || d->prefixes == (P6 | PD)) {
        const bool counts = (opcode == 0x1b8 || opcode == 0x1bc) && d->prefixes == (P6 | PS);
        const bool string = opcode >= 0xa4 && opcode <= 0xaf;

        /* Of 16 bit: popcnt and tzcnt, string operations that are repeated. */
        return counts || (string && (allowed & d->prefixes) == d->prefixes);
    }
    return (allowed & (d->prefixes == 0 ? P0 : d->prefixes)) != 0 &&
           (d->prefixes & (d->prefixes - 1)) == 0;
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
    if (form == X || !fits(&d, opcode, form)) {
        return false;
    }
    if ((form & M) != 0) {
        skip_modrm(&d);
    }
    d.used += (form & B1) != 0 ? 1 : 0;
    if ((form & (BZ | BV)) != 0) {
        d.used += (form & BV) != 0 && d.rex_w ? 8 : (d.prefixes & P6) != 0 && !d.rex_w ? 2 : 4;
    }
    out->branches = (form & (R1 | R4)) != 0;
    if (out->branches) {
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
