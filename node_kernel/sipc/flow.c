/* SPDX-License-Identifier: Apache-2.0 */
#include "flow.h"

#include <stdlib.h>
#include <string.h>

#include "flow_run.h"

/* Where a branch goes. */
struct label {
    struct flow_set *out;
    const struct label *outer;
    uint32_t height; /* of the values when it was entered */
    uint32_t arity;
};

/* A piece of a function that is being run. */
struct piece {
    const struct flow_function *f;
    uint32_t base; /* where its parameters are */
};

static void run_until_end(struct flow_run *r, const struct piece *p, uint32_t at,
                          struct flow_set *cur, const struct label *label);

static void merge(struct flow_run *r, struct flow_set *set, struct flow_state *s)
{
    struct flow_state *known;

    if (!flow_set_merge(set, s, r->quiet > 0, &known)) {
        flow_give_up(r, "too many different states at one point");
    }
}

static void merge_all(struct flow_run *r, struct flow_set *to, struct flow_set *from)
{
    for (uint32_t i = 0; i < from->count; i++) {
        merge(r, to, from->items[i]);
    }
    from->count = 0;
    flow_set_clear(from);
}

static struct flow_state *copy_of(struct flow_run *r, const struct flow_state *s)
{
    struct flow_state *copy = flow_state_copy(s);

    if (copy == NULL) {
        flow_give_up(r, "no memory left");
    }
    return copy;
}

/* --- branches ------------------------------------------------------------------------------------
 */

/* Takes s. */
static void branch(struct flow_run *r, struct flow_state *s, const struct label *label,
                   uint64_t depth)
{
    const uint32_t floor = label->height;
    struct flow_value result;

    while (depth-- > 0 && label != NULL) {
        label = label->outer;
    }
    if (label == NULL) {
        flow_give_up(r, "the module is not type safe");
        free(s);
        return;
    }
    result = label->arity > 0 ? flow_pop(r, s, floor) : flow_unknown();
    if (s->value_count < label->height) {
        flow_give_up(r, "the module is not type safe");
        free(s);
        return;
    }
    s->value_count = label->height;
    if (label->arity > 0) {
        flow_push(r, s, result);
    }
    merge(r, label->out, s);
}

static void run_br_if(struct flow_run *r, struct flow_set *cur, const struct label *label,
                      uint64_t depth)
{
    struct flow_set stay = {0};

    for (uint32_t i = 0; i < cur->count; i++) {
        struct flow_state *s = cur->items[i];
        const int truth = flow_truth(flow_pop(r, s, label->height));
        if (truth < 0) {
            struct flow_state *other = copy_of(r, s);
            if (other != NULL) {
                branch(r, other, label, depth);
            }
        }
        if (truth == 1) {
            branch(r, s, label, depth);
        } else if (!flow_set_add(&stay, s)) {
            flow_give_up(r, "too many different states at one point");
        }
    }
    cur->count = 0;
    flow_set_clear(cur);
    *cur = stay;
}

static void run_br_table(struct flow_run *r, const struct piece *p, struct flow_set *cur,
                         const struct label *label, const struct flow_insn *insn)
{
    const uint32_t *labels = p->f->labels + insn->other;
    const uint32_t count = (uint32_t)insn->value;

    for (uint32_t i = 0; i < cur->count; i++) {
        struct flow_state *s = cur->items[i];
        const struct flow_value index = flow_pop(r, s, label->height);
        uint32_t known = (uint32_t)index.number;
        if (index.kind == FLOW_CONST) {
            branch(r, s, label, labels[known < count ? known : count]);
            continue;
        }
        for (uint32_t k = 0; k <= count && r->over == NULL; k++) {
            bool first = true;
            for (uint32_t n = 0; n < k && n < 256 && first; n++) {
                first = labels[n] != labels[k];
            }
            if (first) {
                struct flow_state *other = copy_of(r, s);
                if (other != NULL) {
                    branch(r, other, label, labels[k]);
                }
            }
        }
        free(s);
    }
    cur->count = 0;
    flow_set_clear(cur);
}

/* --- blocks --------------------------------------------------------------------------------------
 */

static bool enter(struct flow_run *r)
{
    if (++r->depth > FLOW_DEPTH_MAX) {
        flow_give_up(r, "blocks and calls are nested too deeply");
    }
    return r->over == NULL;
}

static void run_block(struct flow_run *r, const struct piece *p, uint32_t at, struct flow_set *cur,
                      const struct label *outer)
{
    struct flow_set out = {0};
    const struct label label = {
        .out = &out,
        .outer = outer,
        .height = cur->items[0]->value_count,
        .arity = p->f->insns[at].arity,
    };

    if (enter(r)) {
        run_until_end(r, p, at + 1, cur, &label);
        merge_all(r, &out, cur);
    }
    r->depth--;
    flow_set_clear(cur);
    *cur = out;
}

static void run_loop(struct flow_run *r, const struct piece *p, uint32_t at, struct flow_set *cur,
                     const struct label *outer)
{
    struct flow_set heads = {0}, again = {0}, out = {0};
    const struct label label = {
        .out = &again,
        .outer = outer,
        .height = cur->items[0]->value_count,
    };

    if (enter(r)) {
        while (cur->count > 0 && r->over == NULL) {
            struct flow_set work = {0};
            for (uint32_t i = 0; i < cur->count; i++) {
                struct flow_state *known = NULL, *copy;
                if (!flow_set_merge(&heads, cur->items[i], true, &known)) {
                    flow_give_up(r, "too many different states at one point");
                }
                copy = known != NULL ? copy_of(r, known) : NULL;
                if (copy != NULL && !flow_set_add(&work, copy)) {
                    flow_give_up(r, "too many different states at one point");
                }
            }
            cur->count = 0;
            flow_set_clear(cur);
            if (work.count > 0 && r->over == NULL) {
                run_until_end(r, p, at + 1, &work, &label);
            }
            merge_all(r, &out, &work);
            *cur = again;
            again = (struct flow_set){0};
        }
    }
    r->depth--;
    flow_set_clear(&heads);
    flow_set_clear(&again);
    flow_set_clear(cur);
    *cur = out;
}

static void run_if(struct flow_run *r, const struct piece *p, uint32_t at, struct flow_set *cur,
                   const struct label *outer)
{
    const struct flow_insn *insn = &p->f->insns[at];
    struct flow_set out = {0}, yes = {0}, no = {0};
    struct label label = {.out = &out, .outer = outer, .arity = insn->arity};

    for (uint32_t i = 0; i < cur->count; i++) {
        struct flow_state *s = cur->items[i];
        const int truth = flow_truth(flow_pop(r, s, outer->height));
        struct flow_state *other = truth < 0 ? copy_of(r, s) : NULL;
        label.height = s->value_count;
        if (!flow_set_add(truth == 0 ? &no : &yes, s) ||
            (other != NULL && !flow_set_add(&no, other))) {
            flow_give_up(r, "too many different states at one point");
        }
    }
    cur->count = 0;
    flow_set_clear(cur);
    if (enter(r)) {
        if (yes.count > 0) {
            run_until_end(r, p, at + 1, &yes, &label);
        }
        if (no.count > 0 && insn->other != insn->end) {
            run_until_end(r, p, insn->other + 1, &no, &label);
        }
        merge_all(r, &out, &yes);
        merge_all(r, &out, &no);
    }
    r->depth--;
    flow_set_clear(&yes);
    flow_set_clear(&no);
    *cur = out;
}

/* --- calls ---------------------------------------------------------------------------------------
 */

/* A function that calls itself, but no operation: it may do anything to memory. */
static void call_unknown(struct flow_run *r, const struct flow_function *f, struct flow_set *cur,
                         uint32_t floor)
{
    for (uint32_t i = 0; i < cur->count; i++) {
        struct flow_state *s = cur->items[i];
        for (uint32_t k = 0; k < f->params; k++) {
            (void)flow_pop(r, s, floor);
        }
        s->place_count = 0;
        for (uint32_t k = 0; k < FLOW_GLOBALS_MAX; k++) {
            s->globals[k] = flow_unknown();
        }
        if (f->results > 0) {
            flow_push(r, s, flow_unknown());
        }
    }
}

static void run_body(struct flow_run *r, uint32_t index, struct flow_set *cur, uint32_t floor)
{
    const struct flow_function *f = &r->module->functions[index];
    struct flow_set out = {0}, inner = {0};
    struct piece piece = {.f = f};
    struct label whole = {.out = &inner, .arity = f->results};
    const uint32_t count = cur->items[0]->value_count;

    if (count < floor + f->params || count - f->params + f->locals + 64 > FLOW_VALUES_MAX) {
        flow_give_up(r, "too many values at one point");
        return;
    }
    piece.base = count - f->params;
    whole.height = count + f->locals; /* operands lie above the locals */
    for (uint32_t i = 0; i < cur->count; i++) {
        struct flow_state *s = cur->items[i];
        for (uint32_t k = 0; k < f->locals; k++) {
            flow_push(r, s, flow_const(0));
        }
    }
    r->open[index] = 1;
    if (enter(r)) {
        run_until_end(r, &piece, 0, cur, &whole);
        merge_all(r, &inner, cur);
        for (uint32_t i = 0; i < inner.count; i++) {
            struct flow_state *s = inner.items[i];
            const struct flow_value result =
                f->results > 0 ? flow_pop(r, s, whole.height) : flow_unknown();
            s->value_count = piece.base;
            if (f->results > 0) {
                flow_push(r, s, result);
            }
            merge(r, &out, s);
        }
        inner.count = 0;
    }
    r->depth--;
    r->open[index] = 0;
    flow_set_clear(&inner);
    flow_set_clear(cur);
    *cur = out;
}

/* Each state by itself, so that none is joined to one that came here another way. */
static void run_quiet(struct flow_run *r, uint32_t index, struct flow_set *cur, uint32_t floor)
{
    struct flow_set out = {0};

    for (uint32_t i = 0; i < cur->count; i++) {
        struct flow_set one = {0};
        if (!flow_set_add(&one, cur->items[i])) {
            flow_give_up(r, "no memory left");
            continue;
        }
        if (r->over == NULL) {
            r->quiet++;
            run_body(r, index, &one, floor);
            r->quiet--;
        }
        merge_all(r, &out, &one);
    }
    cur->count = 0;
    flow_set_clear(cur);
    *cur = out;
}

static void run_call(struct flow_run *r, const struct flow_insn *insn, struct flow_set *cur,
                     uint32_t floor)
{
    const uint32_t index = (uint32_t)insn->value;
    const struct flow_function *f = &r->module->functions[index];
    const uint32_t caller = r->caller;

    if (f->import) {
        struct flow_set out = {0};
        for (uint32_t i = 0; i < cur->count; i++) {
            flow__call(r, cur->items[i], insn, f, floor, &out);
        }
        cur->count = 0;
        flow_set_clear(cur);
        *cur = out;
    } else if (r->open[index] && f->quiet) {
        call_unknown(r, f, cur, floor);
    } else if (r->open[index]) {
        flow_give_up(r, "a function that uses endpoints calls itself");
    } else if (f->quiet) {
        run_quiet(r, index, cur, floor);
    } else {
        r->caller = insn->offset;
        run_body(r, index, cur, floor);
        r->caller = caller;
    }
}

/* --- one after the other -------------------------------------------------------------------------
 */

/* A control instruction. Answers the index to go on at. */
static uint32_t run_control(struct flow_run *r, const struct piece *p, uint32_t at,
                            struct flow_set *cur, const struct label *label)
{
    const struct flow_insn *insn = &p->f->insns[at];

    switch (insn->op) {
    case 0x00: /* unreachable */
        flow_set_clear(cur);
        return at + 1;
    case 0x02:
        run_block(r, p, at, cur, label);
        return insn->end + 1;
    case 0x03:
        run_loop(r, p, at, cur, label);
        return insn->end + 1;
    case 0x04:
        run_if(r, p, at, cur, label);
        return insn->end + 1;
    case 0x0c:
        for (uint32_t i = 0; i < cur->count; i++) {
            branch(r, cur->items[i], label, (uint64_t)insn->value);
        }
        cur->count = 0;
        flow_set_clear(cur);
        return at + 1;
    case 0x0d:
        run_br_if(r, cur, label, (uint64_t)insn->value);
        return at + 1;
    case 0x0e:
        run_br_table(r, p, cur, label, insn);
        return at + 1;
    case 0x0f: { /* return: to the outermost label */
        uint64_t depth = 0;
        for (const struct label *l = label; l->outer != NULL; l = l->outer) {
            depth++;
        }
        for (uint32_t i = 0; i < cur->count; i++) {
            branch(r, cur->items[i], label, depth);
        }
        cur->count = 0;
        flow_set_clear(cur);
        return at + 1;
    }
    case 0x10:
        run_call(r, insn, cur, label->height);
        return at + 1;
    default: /* call_indirect */
        flow_give_up(r, "an indirect call is reached");
        return at + 1;
    }
}

static bool is_control(uint8_t op)
{
    return op == 0x00 || (op >= 0x02 && op <= 0x04) || (op >= 0x0c && op <= 0x11);
}

/* Runs all of cur up to the end of the block, and leaves there what comes to it. */
static void run_until_end(struct flow_run *r, const struct piece *p, uint32_t at,
                          struct flow_set *cur, const struct label *label)
{
    while (at < p->f->insn_count && cur->count > 0 && r->over == NULL) {
        const struct flow_insn *insn = &p->f->insns[at];
        r->result->steps += cur->count;
        if (r->result->steps > FLOW_STEPS_MAX) {
            flow_give_up(r, "the program is too large to be followed");
            return;
        }
        if (insn->op == 0x05 || insn->op == 0x0b) {
            return;
        }
        if (is_control(insn->op)) {
            at = run_control(r, p, at, cur, label);
            continue;
        }
        for (uint32_t i = 0; i < cur->count; i++) {
            flow__step(r, cur->items[i], insn, p->base, label->height);
        }
        at++;
    }
}

/* --- result --------------------------------------------------------------------------------------
 */

static bool collect(const struct flow_module *m, struct flow_result *result)
{
    uint32_t room = 0;

    for (uint32_t i = m->import_count; i < m->function_count; i++) {
        const struct flow_function *f = &m->functions[i];
        for (uint32_t k = 0; k < f->insn_count; k++) {
            const struct flow_insn *insn = &f->insns[k];
            const uint8_t call = insn->op == 0x10 ? m->functions[insn->value].call : 0;
            if (call != FLOW_CALL_send && call != FLOW_CALL_recv && call != FLOW_CALL_close) {
                continue;
            }
            if (result->count == room) {
                struct flow_operation *more;
                room = room == 0 ? 64 : 2 * room;
                more = realloc(result->operations, room * sizeof(*more));
                if (more == NULL) {
                    return false;
                }
                result->operations = more;
            }
            result->operations[result->count++] = (struct flow_operation){
                .offset = insn->offset,
                .address = insn->offset - m->code_offset,
                .function = i,
                .call = call,
            };
        }
    }
    return true;
}

static void decide(struct flow_result *result)
{
    for (uint32_t i = 0; i < result->count; i++) {
        struct flow_operation *op = &result->operations[i];
        op->reached = op->legal + op->illegal + op->unknown > 0;
        if (result->over != NULL) {
            op->verdict = FLOW_LEFT;
            (void)strncpy(op->reason, result->over, sizeof(op->reason) - 1);
        } else if (op->unknown > 0) {
            op->verdict = FLOW_LEFT; /* reason is there */
        } else if (op->illegal == 0) {
            op->verdict = FLOW_PROVEN;
            if (!op->reached) {
                (void)strncpy(op->reason, "never reached", sizeof(op->reason) - 1);
            }
        } else {
            op->verdict = op->legal > 0 ? FLOW_LEFT : FLOW_REFUTED;
            memcpy(op->reason, op->bad, sizeof(op->reason));
        }
        result->proven += op->verdict == FLOW_PROVEN;
        result->refuted += op->verdict == FLOW_REFUTED;
        result->left += op->verdict == FLOW_LEFT;
    }
}

static bool run_main(struct flow_run *r)
{
    const struct flow_module *m = r->module;
    struct flow_state *s = flow_state_new();
    struct flow_set set = {0};

    r->open = calloc(m->function_count + 1u, 1);
    if (s == NULL || r->open == NULL) {
        free(s);
        free(r->open);
        return false;
    }
    for (uint32_t i = 0; i < FLOW_GLOBALS_MAX && i < m->global_count; i++) {
        s->globals[i] = flow_const(m->globals[i]);
    }
    if (flow_set_add(&set, s)) {
        run_body(r, m->main, &set, 0);
    }
    flow_set_clear(&set);
    free(r->open);
    return true;
}

bool flow_check(const uint8_t *bytes, size_t length, const struct flow_ports *ports,
                struct flow_result *result)
{
    struct flow_module *m = calloc(1, sizeof(*m));
    struct flow_run r = {.module = m, .ports = ports, .result = result};
    bool ok = m != NULL;

    *result = (struct flow_result){0};
    if (ok && !flow_module_read(m, bytes, length)) {
        r.over = "the module cannot be read";
    }
    ok = ok && collect(m, result);
    if (ok && r.over == NULL) {
        ok = run_main(&r);
        result->code_offset = m->code_offset;
    }
    if (ok) {
        result->over = r.over;
        decide(result);
    }
    if (m != NULL) {
        flow_module_fini(m);
    }
    free(m);
    return ok;
}

void flow_result_fini(struct flow_result *result)
{
    for (uint32_t i = 0; i < result->event_count; i++) {
        free(result->events[i]);
    }
    free(result->events);
    free(result->operations);
    *result = (struct flow_result){0};
}
