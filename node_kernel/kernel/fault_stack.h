/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault_stack.h - who called whom, from the stack of a SIP that faulted. Private to the kernel.
 *
 * Model: images keep frame pointers, so callers are found along the chain of saved %rbp. Where the
 * chain does not hold (an image that was not made by sipc may have put anything there) callers are
 * guessed from words that look like return addresses, until the chain goes on.
 *
 * Untrusted: every register and every word of the stack. Only [stack_low, stack_top) and
 * [code_first, code_end) are read. Each step goes up the stack, so a walk ends after at most
 * (stack_top - stack_low) / 8 steps.
 */
#ifndef KERNEL_FAULT_STACK_H
#define KERNEL_FAULT_STACK_H

#include <stdbool.h>
#include <stdint.h>

struct nk_stack {
    uint64_t stack_low, stack_top; /* readable; multiples of 8 */
    uint64_t code_first, code_end; /* of the image; readable */
    uint64_t gate_first, gate_end; /* a return address in there is the start of the SIP */
    uint64_t entry;                /* of the function that `rip` lies in; 0: not known */
};

struct nk_frame {
    uint64_t address; /* of an instruction; of callers: of the one behind the call */
    bool is_return;
    bool guessed;
};

struct nk_walk {
    const struct nk_stack *stack;
    uint64_t rip, rsp, rbp;
    uint64_t top; /* rsp when it faulted */
    uint8_t step; /* enum of fault_stack.c */
    bool is_return;
    bool whole; /* the walk has reached the start of the SIP */
};

/* is_return: rip is where a call would have returned to. */
void nk__walk_start(struct nk_walk *walk, const struct nk_stack *stack, uint64_t rip, uint64_t rsp,
                    uint64_t rbp, bool is_return);
/* The next frame, the innermost first. False: no more. */
bool nk__walk_next(struct nk_walk *walk, struct nk_frame *out_frame);

#endif
