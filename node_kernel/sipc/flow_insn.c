/* SPDX-License-Identifier: Apache-2.0 */
#include "abi/nk_abi.h"
#include "flow_run.h"

void flow_give_up(struct flow_run *r, const char *why)
{
    if (r->over == NULL) {
        r->over = why;
    }
}

struct flow_value flow_pop(struct flow_run *r, struct flow_state *s, uint32_t floor)
{
    if (s->value_count <= floor) {
        flow_give_up(r, "the module is not type safe");
        return flow_unknown();
    }
    return s->values[--s->value_count];
}

void flow_push(struct flow_run *r, struct flow_state *s, struct flow_value value)
{
    if (s->value_count == FLOW_VALUES_MAX) {
        flow_give_up(r, "too many values at one point");
        return;
    }
    s->values[s->value_count++] = value;
}

int flow_truth(struct flow_value value)
{
    switch ((enum flow_kind)value.kind) {
    case FLOW_CONST:
        return value.number != 0;
    case FLOW_NEGATIVE:
    case FLOW_HANDLE: /* 0 is none */
        return 1;
    case FLOW_UNKNOWN:
        break;
    }
    return -1;
}

int64_t flow_address(const struct flow_run *r, struct flow_value value, int64_t offset)
{
    if (value.kind != FLOW_CONST) {
        return -1;
    }
    offset += (int64_t)(uint32_t)value.number;
    return r->ports->large ? offset : offset & NK_MEMORY_MASK;
}

/* --- comparisons and arithmetic ------------------------------------------------------------------
 */

/* False: anything. */
static bool range(struct flow_value v, int64_t *low, int64_t *high)
{
    switch ((enum flow_kind)v.kind) {
    case FLOW_CONST:
        *low = *high = v.number;
        return true;
    case FLOW_NEGATIVE:
        *low = INT64_MIN;
        *high = -1;
        return true;
    case FLOW_HANDLE:
        *low = 1;
        *high = INT32_MAX;
        return true;
    case FLOW_UNKNOWN:
        break;
    }
    return false;
}

/* a < b, signed: 0, 1, -1 either */
static int less(struct flow_value a, struct flow_value b)
{
    int64_t a_low, a_high, b_low, b_high;

    if (!range(a, &a_low, &a_high) || !range(b, &b_low, &b_high)) {
        return -1;
    }
    return a_high < b_low ? 1 : a_low >= b_high ? 0 : -1;
}

static int equal(struct flow_value a, struct flow_value b)
{
    if (a.kind == FLOW_CONST && b.kind == FLOW_CONST) {
        return a.number == b.number;
    }
    return less(a, b) == 1 || less(b, a) == 1 ? 0 : -1;
}

static int less_unsigned(struct flow_value a, struct flow_value b)
{
    if (a.kind != FLOW_CONST || b.kind != FLOW_CONST) {
        return -1;
    }
    return (uint64_t)a.number < (uint64_t)b.number; /* sign extension keeps the order */
}

static int negate(int truth)
{
    return truth < 0 ? -1 : !truth;
}

/* which: 0 eq, 1 ne, 2.. lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u */
static struct flow_value compare(unsigned which, struct flow_value a, struct flow_value b)
{
    int truth = -1;

    switch (which) {
    case 0:
        truth = equal(a, b);
        break;
    case 1:
        truth = negate(equal(a, b));
        break;
    case 2:
        truth = less(a, b);
        break;
    case 3:
        truth = less_unsigned(a, b);
        break;
    case 4:
        truth = less(b, a);
        break;
    case 5:
        truth = less_unsigned(b, a);
        break;
    case 6:
        truth = negate(less(b, a));
        break;
    case 7:
        truth = negate(less_unsigned(b, a));
        break;
    case 8:
        truth = negate(less(a, b));
        break;
    case 9:
        truth = negate(less_unsigned(a, b));
        break;
    default:
        break;
    }
    return truth < 0 ? flow_unknown() : flow_const(truth);
}

/* which: as the opcodes are ordered from add on; 64 bit unless `narrow`. */
static struct flow_value arithmetic(unsigned which, bool narrow, struct flow_value a,
                                    struct flow_value b)
{
    const uint64_t x = (uint64_t)a.number, y = (uint64_t)b.number;
    const unsigned shift = (unsigned)y & (narrow ? 31 : 63);
    uint64_t value;

    if (a.kind != FLOW_CONST || b.kind != FLOW_CONST) {
        const bool nothing = b.kind == FLOW_CONST && b.number == 0;
        /* + 0, - 0, or 0, xor 0 */
        return nothing && (which == 0 || which == 1 || which == 8 || which == 9) ? a
                                                                                 : flow_unknown();
    }
    switch (which) {
    case 0:
        value = x + y;
        break;
    case 1:
        value = x - y;
        break;
    case 2:
        value = x * y;
        break;
    case 7:
        value = x & y;
        break;
    case 8:
        value = x | y;
        break;
    case 9:
        value = x ^ y;
        break;
    case 10:
        value = x << shift;
        break;
    case 11:
        value = (uint64_t)(a.number >> shift);
        break;
    case 12:
        value = (narrow ? (uint64_t)(uint32_t)x : x) >> shift;
        break;
    default: /* division, rotation */
        return flow_unknown();
    }
    return flow_const(narrow ? (int64_t)(int32_t)value : (int64_t)value);
}

/* Wrap, extend; sign extensions and the rest are not followed. */
static struct flow_value convert(uint8_t op, struct flow_value v)
{
    switch (op) {
    case 0xa7: /* i32.wrap_i64 */
        return v.kind == FLOW_CONST    ? flow_const((int32_t)v.number)
               : v.kind == FLOW_HANDLE ? v
                                       : flow_unknown();
    case 0xac: /* i64.extend_i32_s */
        return v;
    case 0xad: /* i64.extend_i32_u */
        return v.kind == FLOW_CONST    ? flow_const((int64_t)(uint32_t)v.number)
               : v.kind == FLOW_HANDLE ? v
                                       : flow_unknown();
    default:
        return flow_unknown();
    }
}

static bool is_unary(uint8_t op)
{
    return op == 0x45 || op == 0x50 || (op >= 0x67 && op <= 0x69) || (op >= 0x79 && op <= 0x7b) ||
           (op >= 0x8b && op <= 0x91) || (op >= 0x99 && op <= 0x9f) || op >= 0xa7;
}

static void step_number(struct flow_run *r, struct flow_state *s, uint8_t op, uint32_t floor)
{
    struct flow_value a, b, result = flow_unknown();

    if (is_unary(op)) {
        a = flow_pop(r, s, floor);
        if (op == 0x45 || op == 0x50) {
            const int truth = negate(flow_truth(a));
            result = truth < 0 ? flow_unknown() : flow_const(truth);
        } else {
            result = convert(op, a);
        }
        flow_push(r, s, result);
        return;
    }
    b = flow_pop(r, s, floor);
    a = flow_pop(r, s, floor);
    if (op >= 0x46 && op <= 0x4f) {
        result = compare(op - 0x46u, a, b);
    } else if (op >= 0x51 && op <= 0x5a) {
        result = compare(op - 0x51u, a, b);
    } else if (op >= 0x6a && op <= 0x78) {
        result = arithmetic(op - 0x6au, true, a, b);
    } else if (op >= 0x7c && op <= 0x8a) {
        result = arithmetic(op - 0x7cu, false, a, b);
    }
    flow_push(r, s, result);
}

/* --- memory --------------------------------------------------------------------------------------
 */

static void step_load(struct flow_run *r, struct flow_state *s, const struct flow_insn *insn,
                      uint32_t floor)
{
    const int64_t address = flow_address(r, flow_pop(r, s, floor), insn->value);
    struct flow_value value = flow_unknown();

    if (address >= 0 && insn->op == 0x29) {
        value = flow_load(s, (uint64_t)address, 8);
    } else if (address >= 0 && (insn->op == 0x28 || insn->op == 0x34 || insn->op == 0x35)) {
        value = flow_load(s, (uint64_t)address, 4);
        if (insn->op != 0x28) { /* i64.load32_s, i64.load32_u */
            value = convert(insn->op == 0x34 ? 0xac : 0xad, value);
        }
    }
    flow_push(r, s, value);
}

static void step_store(struct flow_run *r, struct flow_state *s, const struct flow_insn *insn,
                       uint32_t floor)
{
    /* i32 i64 f32 f64 i32.8 i32.16 i64.8 i64.16 i64.32 */
    static const uint8_t sizes[] = {4, 8, 4, 8, 1, 2, 1, 2, 4};
    struct flow_value value = flow_pop(r, s, floor);
    const int64_t address = flow_address(r, flow_pop(r, s, floor), insn->value);

    if (address < 0) {
        s->place_count = 0;
        return;
    }
    if (insn->op == 0x3e) {
        value = convert(0xa7, value);
    } else if (insn->op != 0x36 && insn->op != 0x37) {
        value = flow_unknown();
    }
    if (address >= NK_WINDOW_OFFSET) { /* a block, whose content others change */
        value = flow_unknown();
    }
    flow_store(s, (uint64_t)address, sizes[insn->op - 0x36], value);
}

static void fill(struct flow_state *s, int64_t address, struct flow_value value,
                 struct flow_value length)
{
    const uint64_t bytes = (uint32_t)length.number;

    if (address < 0 || length.kind != FLOW_CONST) {
        s->place_count = 0;
        return;
    }
    flow_forget(s, (uint64_t)address, bytes);
    if (value.kind != FLOW_CONST || value.number != 0 || bytes > 256) {
        return;
    }
    for (uint64_t at = 0; at + 8 <= bytes; at += 8) {
        flow_store(s, (uint64_t)address + at, 8, flow_const(0));
    }
}

static void copy(struct flow_state *s, int64_t to, int64_t from, struct flow_value length)
{
    const uint64_t bytes = (uint32_t)length.number;
    struct flow_value kept[32];

    if (to < 0 || length.kind != FLOW_CONST) {
        s->place_count = 0;
        return;
    }
    for (uint64_t i = 0; i < 32 && 8 * i + 8 <= bytes; i++) {
        kept[i] = from < 0 ? flow_unknown() : flow_load(s, (uint64_t)from + 8 * i, 8);
    }
    flow_forget(s, (uint64_t)to, bytes);
    for (uint64_t i = 0; i < 32 && 8 * i + 8 <= bytes; i++) {
        if (kept[i].kind != FLOW_UNKNOWN && to < (int64_t)NK_WINDOW_OFFSET - 512) {
            flow_store(s, (uint64_t)to + 8 * i, 8, kept[i]);
        }
    }
}

static void step_fc(struct flow_run *r, struct flow_state *s, const struct flow_insn *insn,
                    uint32_t floor)
{
    struct flow_value length, middle, to;

    if (insn->sub < 8) { /* conversions */
        (void)flow_pop(r, s, floor);
        flow_push(r, s, flow_unknown());
        return;
    }
    if (insn->sub == 9) { /* data.drop */
        return;
    }
    length = flow_pop(r, s, floor);
    middle = flow_pop(r, s, floor);
    to = flow_pop(r, s, floor);
    if (insn->sub == 11) {
        fill(s, flow_address(r, to, 0), middle, length);
    } else {
        copy(s, flow_address(r, to, 0), insn->sub == 10 ? flow_address(r, middle, 0) : -1, length);
    }
}

/* --- all of it -----------------------------------------------------------------------------------
 */

static void step_variable(struct flow_run *r, struct flow_state *s, const struct flow_insn *insn,
                          uint32_t base, uint32_t floor)
{
    const uint64_t index = (uint64_t)insn->value;
    const bool local = insn->op <= 0x22;

    if (local && (base + index >= floor || base + index >= s->value_count)) {
        flow_give_up(r, "the module is not type safe");
        return;
    }
    switch (insn->op) {
    case 0x20:
        flow_push(r, s, s->values[base + index]);
        break;
    case 0x21:
        s->values[base + index] = flow_pop(r, s, floor);
        break;
    case 0x22:
        s->values[base + index] = flow_pop(r, s, floor);
        flow_push(r, s, s->values[base + index]);
        break;
    case 0x23:
        flow_push(r, s, index < FLOW_GLOBALS_MAX ? s->globals[index] : flow_unknown());
        break;
    default: {
        const struct flow_value value = flow_pop(r, s, floor);
        if (index < FLOW_GLOBALS_MAX) {
            s->globals[index] = value;
        }
        break;
    }
    }
}

static void step_select(struct flow_run *r, struct flow_state *s, uint32_t floor)
{
    const int truth = flow_truth(flow_pop(r, s, floor));
    const struct flow_value no = flow_pop(r, s, floor);
    const struct flow_value yes = flow_pop(r, s, floor);
    const bool same = yes.kind == no.kind && yes.number == no.number;

    flow_push(r, s, truth == 1 || same ? yes : truth == 0 ? no : flow_unknown());
}

void flow__step(struct flow_run *r, struct flow_state *s, const struct flow_insn *insn,
                uint32_t base, uint32_t floor)
{
    const uint8_t op = insn->op;

    if (op >= 0x20 && op <= 0x24) {
        step_variable(r, s, insn, base, floor);
    } else if (op >= 0x28 && op <= 0x35) {
        step_load(r, s, insn, floor);
    } else if (op >= 0x36 && op <= 0x3e) {
        step_store(r, s, insn, floor);
    } else if (op == 0x41 || op == 0x42) {
        flow_push(r, s, flow_const(insn->value));
    } else if (op == 0x3f || op == 0x43 || op == 0x44) {
        flow_push(r, s, flow_unknown());
    } else if (op == 0x40) {
        (void)flow_pop(r, s, floor);
        flow_push(r, s, flow_unknown());
    } else if (op == 0x1a) {
        (void)flow_pop(r, s, floor);
    } else if (op == 0x1b) {
        step_select(r, s, floor);
    } else if (op == 0xfc) {
        step_fc(r, s, insn, floor);
    } else if (op >= 0x45) {
        step_number(r, s, op, floor);
    }
}
