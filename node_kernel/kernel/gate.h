/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gate.h - what gate.S and C agree on: offsets in struct nk_cpu, and the fiber switches.
 *
 * Model: a SIP leaves its code only by a jump to the gate page (NK_GATE_ADDRESS), into which the
 * position-independent code of gate.S is copied. The gate finds the worker through %fs, that is
 * through thread-local storage of this executable, so no kernel pointer lies in any page of a SIP.
 * It pushes the callee-saved registers on the SIP's stack, stores the stack pointer in nk_head.rsp
 * and goes on the worker's stack. A SIP that blocks therefore leaves no kernel frame behind: the
 * call just never returns, and somebody else is resumed.
 *
 * Threads: one struct nk_cpu per thread; a worker's thread enters its SIPs.
 */
#ifndef KERNEL_GATE_H
#define KERNEL_GATE_H

#define NK_CPU_KERNEL_RSP 0
#define NK_CPU_SIP 8
#define NK_CPU_HEAD 16
#define NK_CPU_TABLE 24
#define NK_CPU_CALLS 32
#define NK_CPU_RESCHED 40
#define NK_CPU_RESTORED 64
#define NK_CPU_RESTORED_CALLS 72
#define NK_GATE_CALL_COUNT 22

#ifndef __ASSEMBLER__
#include <stdint.h>

#include "abi/nk_abi.h"
#include "base/status.h"

struct nk_sip;
struct nk_worker;

struct nk_cpu {
    void *kernel_rsp;         /* where the worker's stack continues while a SIP runs */
    struct nk_sip *sip;       /* the SIP that runs or called; NULL in the scheduler loop */
    struct nk_head *head;     /* its header page */
    const void *const *table; /* NK_GATE_CALL_COUNT functions, then the one for unknown numbers */
    uint64_t calls;           /* since the thread started */
    uint32_t resched;         /* the timer ticked while kernel code ran: yield at the gate */
    uint32_t budget;          /* resumptions left in this nk_run */
    struct nk_worker *worker; /* that runs on this thread now, or NULL: not in nk_run */
    uint64_t kicks;           /* workers to wake when the lock is released */
    struct nk_sip *restored;  /* the last one resumed where it was pre-empted, or NULL */
    uint64_t restored_calls;  /* `calls` at that moment */
    uint64_t charged_ns;      /* this thread's processor time up to which SIPs were charged */
};
/* local-exec: one move from %fs. The core may therefore only be linked into executables. */
extern __thread struct nk_cpu nk__cpu __attribute__((tls_model("local-exec")));

/* Maps the gate page (counted: once per kernel). EXISTS: something else is mapped there. */
SF_MUST_CHECK sf_status nk__gate_install(void);
void nk__gate_remove(void);
/* Address in the gate page where a new SIP's first resumption lands. */
uint64_t nk__gate_start_address(void);
/* What its first function returns to; it lies right below the first frame of its stack. */
uint64_t nk__gate_started_address(void);
/* Where one that was pre-empted is resumed. */
uint64_t nk__gate_restore_address(void);

/* Goes from the scheduler loop into a SIP; returns when somebody calls nk__fiber_leave. */
void nk__fiber_enter(struct nk_head *head, uint64_t result);
/* Goes from a kernel call into another SIP (or the same); the caller's frame is dead. */
_Noreturn void nk__fiber_resume(struct nk_head *head, uint64_t result);
/* Goes from a kernel call back to the scheduler loop. */
_Noreturn void nk__fiber_leave(void);
#endif

#endif
