/* SPDX-License-Identifier: Apache-2.0 */
/* The gate page and the fiber switches; gate.h is the manual. */
#include "gate.h"

#define CPU(field) %fs:nk__cpu@tpoff+field

.macro push_callee_saved
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
.endm

.macro pop_callee_saved
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
.endm

    .text
    .globl nk__gate_begin, nk__gate_start, nk__gate_started, nk__gate_restore, nk__gate_end
    .hidden nk__gate_begin, nk__gate_start, nk__gate_started, nk__gate_restore, nk__gate_end

/* Copied to NK_GATE_ADDRESS: nothing here may depend on where it runs. %eax = number of the call.
 * %rdi is ignored: who calls is known to the worker. */
    .balign 64
nk__gate_begin:
    push_callee_saved
    mov CPU(NK_CPU_HEAD), %rbx
    mov CPU(NK_CPU_SIP), %rdi
    mov CPU(NK_CPU_TABLE), %r10
    mov %rsp, (%rbx)
    mov CPU(NK_CPU_KERNEL_RSP), %rsp
    incq CPU(NK_CPU_CALLS)
    cmp $NK_GATE_CALL_COUNT, %rax /* all of it: that is what it is multiplied by */
    jae 2f
1:  call *(%r10, %rax, 8)
    cmpl $0, CPU(NK_CPU_RESCHED)
    jne 3f
    mov (%rbx), %rsp
    pop_callee_saved
    ret
2:  mov $NK_GATE_CALL_COUNT, %eax
    jmp 1b
3:  mov %rax, %rsi
    mov CPU(NK_CPU_SIP), %rdi
    mov CPU(NK_CPU_TABLE), %r10
    call *(NK_GATE_CALL_COUNT + 1) * 8(%r10)
    ud2

/* First resumption of a SIP: %rbx = nk_desc.start, %r12 = its argument. */
    .balign 16
nk__gate_start:
    mov %r12, %rdi
    call *%rbx
nk__gate_started: /* every SIP has this address on its stack */
    mov %eax, %esi
    mov $1, %eax /* exit */
    push $0      /* the return address the gate expects; exit never returns */
    jmp nk__gate_begin

/* Resumption of a pre-empted SIP (preempt.c saved it): vector registers from its header, the
 * other general registers from its stack. %rcx..: free until popped. */
    .balign 16
nk__gate_restore:
    mov CPU(NK_CPU_SIP), %rax
    mov %rax, CPU(NK_CPU_RESTORED) /* as long as CALLS stays: it computes without a call */
    mov CPU(NK_CPU_CALLS), %rax
    mov %rax, CPU(NK_CPU_RESTORED_CALLS)
    pop %rdi
    pop %rsi
    test %esi, %esi
    jz 1f
    mov $0xe7, %eax /* x87, SSE, AVX, AVX-512 */
    xor %edx, %edx
    xrstor64 (%rdi)
    jmp 2f
1:  fxrstor64 (%rdi)
2:  pop %rax
    pop %rdx
    pop %rcx
    pop %rsi
    pop %rdi
    pop %r8
    pop %r9
    pop %r10
    pop %r11
    popfq
    ret $128 /* the red zone */
nk__gate_end:

    .globl nk__fiber_enter, nk__fiber_resume, nk__fiber_leave
    .type nk__fiber_enter, @function
    .type nk__fiber_resume, @function
    .type nk__fiber_leave, @function
    .balign 16
nk__fiber_enter:
    push_callee_saved
    sub $8, %rsp /* the gate calls with a stack aligned to 16 */
    mov %rsp, CPU(NK_CPU_KERNEL_RSP)
nk__fiber_resume:
    mov (%rdi), %rsp
    mov %rsi, %rax
    pop_callee_saved
    pop %rcx
    jmp *%rcx
    .size nk__fiber_enter, . - nk__fiber_enter

    .balign 16
nk__fiber_leave:
    mov CPU(NK_CPU_KERNEL_RSP), %rsp
    add $8, %rsp
    pop_callee_saved
    pop %rcx
    jmp *%rcx
    .size nk__fiber_leave, . - nk__fiber_leave

    .section .note.GNU-stack, "", @progbits
