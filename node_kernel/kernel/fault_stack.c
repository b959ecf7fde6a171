/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_stack.h"

#include <string.h>

#define CALL_BYTES_MAX 7u
#define PUSH_RBP 0x55u
#define GATE_WORDS 8u /* what the gate may have pushed before it faulted */

enum { STEP_INNERMOST, STEP_FIRST_CALLER, STEP_CALLERS, STEP_END };

static bool word_at(const struct nk_stack *stack, uint64_t address, uint64_t *out_word)
{
    if (address % 8 != 0 || address < stack->stack_low || address >= stack->stack_top) {
        return false;
    }
    memcpy(out_word, (const void *)address, sizeof(*out_word));
    return true;
}

static bool in_code(const struct nk_stack *stack, uint64_t address)
{
    return address >= stack->code_first && address < stack->code_end;
}

static bool in_gate(const struct nk_stack *stack, uint64_t address)
{
    return address >= stack->gate_first && address < stack->gate_end;
}

/* Is there a call instruction right before this address? */
static bool follows_call(const struct nk_stack *stack, uint64_t address)
{
    const uint8_t *at = (const uint8_t *)address;

    if (address < stack->code_first + CALL_BYTES_MAX || address > stack->code_end) {
        return false;
    }
    return at[-5] == 0xe8 || (at[-2] == 0xff && (at[-1] & 0xf8) == 0xd0) ||
           (at[-3] == 0xff && (at[-2] & 0xf8) == 0x50) ||
           (at[-6] == 0xff && (at[-5] & 0xf8) == 0x90);
}

/* Is there a direct call of `entry` right before this address? */
static bool follows_call_of(const struct nk_stack *stack, uint64_t address, uint64_t entry)
{
    int32_t distance;

    if (!follows_call(stack, address) || ((const uint8_t *)address)[-5] != 0xe8) {
        return false;
    }
    memcpy(&distance, (const uint8_t *)address - 4, sizeof(distance));
    return address + (uint64_t)(int64_t)distance == entry;
}

void nk__walk_start(struct nk_walk *walk, const struct nk_stack *stack, uint64_t rip, uint64_t rsp,
                    uint64_t rbp, bool is_return)
{
    *walk = (struct nk_walk){
        .stack = stack, .rip = rip, .rsp = rsp, .rbp = rbp, .is_return = is_return};
    if (walk->rsp < stack->stack_low) { /* an overflow: what was pushed before is there */
        walk->rsp = stack->stack_low;
    }
    walk->rsp &= ~7ull;
    walk->top = walk->rsp;
}

/* The next word that looks like a return address, at or above rsp. */
static bool scan(struct nk_walk *walk, uint64_t words, uint64_t *out_address)
{
    uint64_t word;

    while (words-- > 0 && word_at(walk->stack, walk->rsp, &word)) {
        walk->rsp += 8;
        if (follows_call(walk->stack, word)) {
            *out_address = word;
            return true;
        }
    }
    return false;
}

/* Where it faulted. In the gate, which has no frame: the call that went there. */
static void innermost(struct nk_walk *walk, struct nk_frame *out)
{
    const uint64_t rsp = walk->rsp;
    uint64_t address;

    *out = (struct nk_frame){.address = walk->rip, .is_return = walk->is_return};
    walk->step = walk->is_return ? STEP_CALLERS : STEP_FIRST_CALLER;
    if (in_code(walk->stack, walk->rip)) {
        return;
    }
    walk->step = STEP_CALLERS;
    if (scan(walk, GATE_WORDS, &address)) {
        *out = (struct nk_frame){.address = address, .is_return = true};
    } else {
        walk->rsp = rsp;
    }
}

/*
 * gcc may put a function's prologue behind code that needs no frame: then %rbp is still the
 * caller's, and the return address is on top of the stack. It is believed if it follows a call of
 * this very function, and the word that would be the return address otherwise does not.
 */
static bool before_prologue(struct nk_walk *walk, uint64_t *out_address)
{
    const struct nk_stack *stack = walk->stack;
    uint64_t word, at = walk->rsp;

    if (stack->entry == 0) {
        return false;
    }
    if (walk->rip != stack->entry && word_at(stack, walk->rbp + 8, &word) &&
        follows_call_of(stack, word, stack->entry)) {
        return false;
    }
    if (in_code(stack, stack->entry) && walk->rip == stack->entry + 1 &&
        *(const uint8_t *)stack->entry == PUSH_RBP) {
        at += 8;
    }
    if (!word_at(stack, at, &word) || !follows_call(stack, word) ||
        (walk->rip > stack->entry + 1 && !follows_call_of(stack, word, stack->entry))) {
        return false;
    }
    walk->rsp = at + 8;
    *out_address = word;
    return true;
}

/* The caller by the frame at rbp. */
static bool by_frame(struct nk_walk *walk, uint64_t *out_address)
{
    const struct nk_stack *stack = walk->stack;
    uint64_t saved, word;

    if (walk->rbp < walk->rsp || !word_at(stack, walk->rbp, &saved) ||
        !word_at(stack, walk->rbp + 8, &word)) {
        return false;
    }
    if (in_gate(stack, word)) {
        walk->whole = true;
        walk->step = STEP_END;
        return false;
    }
    if (!follows_call(stack, word)) {
        return false;
    }
    walk->rsp = walk->rbp + 16;
    walk->rbp = saved;
    *out_address = word;
    return true;
}

bool nk__walk_next(struct nk_walk *walk, struct nk_frame *out_frame)
{
    uint64_t address, saved;

    if (walk->step == STEP_INNERMOST) {
        innermost(walk, out_frame);
        return true;
    }
    *out_frame = (struct nk_frame){.is_return = true};
    if (walk->step == STEP_FIRST_CALLER) {
        walk->step = STEP_CALLERS;
        if (before_prologue(walk, &out_frame->address)) {
            return true;
        }
    }
    if (walk->step == STEP_CALLERS && by_frame(walk, &out_frame->address)) {
        return true;
    }
    if (walk->step == STEP_END) {
        return false;
    }
    if (walk->rsp == walk->top && word_at(walk->stack, walk->top, &saved) &&
        in_gate(walk->stack, saved)) { /* the start function, before its prologue */
        walk->whole = true;
        walk->step = STEP_END;
        return false;
    }
    out_frame->guessed = true;
    if (!scan(walk, UINT64_MAX, &address)) {
        walk->step = STEP_END;
        return false;
    }
    out_frame->address = address;
    /* If it was one, the word below it is the %rbp of its function. */
    walk->rbp = word_at(walk->stack, walk->rsp - 16, &saved) ? saved : 0;
    return true;
}
