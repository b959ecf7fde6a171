/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults. A signal whose instruction lies in image code (or in the gate, while it pushes on a full
 * stack), or nowhere at all with the stack pointer in the SIP's slot, is the running SIP's: the
 * handler only redirects the thread to its own stack, where the SIP leaves for good; nothing of it
 * is trusted after that. That the test by instruction pointer is sound follows from the image
 * rules: an image has no external code. Any other such signal is a bug of the kernel: it is told on
 * stderr and the process dies of it.
 */
#include "internal.h"

#include "contracts/cause.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>
#include <unistd.h>

#define ALT_STACK_BYTES (64u << 10)
#define STACK_GUARD_BELOW (1u << 20) /* of the slot before; it is never accessible there */
#define C_STACK_BELOW (64u << 10)    /* addresses below 0 that are taken for the C stack's */
#define SAVED_WORDS 6u               /* by the gate; then the return address */
#define SAVED_RBP 5u

static const int fault_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
#define FAULT_SIGNAL_COUNT (sizeof(fault_signals) / sizeof(fault_signals[0]))

static pthread_mutex_t handlers_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction previous[FAULT_SIGNAL_COUNT];
static unsigned handler_users;
/* A thread's own. */
static __thread stack_t previous_stack;
static __thread void *alt_stack;
static __thread unsigned users;

/* --- what it was --------------------------------------------------------------------------------
 */

/*
 * Where a block was, there is a note in the window. An address just below 0 wraps to the end of
 * what an address can name: the C stack lies at 0, and grows down.
 */
uint8_t nk__fault_of_memory(const struct nk_sip *sip, uint64_t offset)
{
    const struct nk_geometry *geometry = &nk__geometry[nk__slot_class(sip->slot_index)];

    if (offset < geometry->linear_bytes && nk__window_gone(sip, (uint32_t)offset)) {
        return SF_FAULT_USE_AFTER_SEND;
    }
    if (offset - (geometry->linear_bytes - C_STACK_BELOW) < 2 * C_STACK_BELOW) {
        return SF_FAULT_STACK_OVERFLOW;
    }
    return SF_FAULT_OUT_OF_BOUNDS;
}

static uint8_t kind_of_address(const struct nk_sip *sip)
{
    const struct nk_geometry *geometry = &nk__geometry[nk__slot_class(sip->slot_index)];
    uint64_t slot = nk__slot_address(sip->kernel, sip->slot_index);
    uint64_t address = sip->where.address, memory = (uint64_t)sip->memory;

    if (address >= slot - STACK_GUARD_BELOW && address < slot + NK_STACK_LOW) {
        return SF_FAULT_STACK_OVERFLOW;
    }
    if (address >= memory && address - memory < geometry->stride - NK_MEMORY) {
        return nk__fault_of_memory(sip, address - memory);
    }
    return SF_FAULT_OUT_OF_BOUNDS;
}

static _Noreturn void fault_land(void)
{
    struct nk_sip *sip = nk__cpu.sip;

    sip->end_how = NK_END_FAULTED;
    if (sip->fault == SF_FAULT_NONE) {
        sip->fault = kind_of_address(sip);
    }
    nk__leave_dead(sip);
}

_Noreturn void nk__fault_from_call(struct nk_sip *sip, uint8_t kind)
{
    uint64_t slot = nk__slot_address(sip->kernel, sip->slot_index);
    uint64_t rsp = sip->head->rsp, words[SAVED_WORDS + 1] = {0};

    /* The gate has pushed its words, but where to is the image's choice. */
    if (rsp >= slot + NK_STACK_LOW && rsp <= slot + NK_STACK_TOP - sizeof(words)) {
        memcpy(words, (const void *)rsp, sizeof(words));
    }
    sip->fault = kind;
    sip->where.is_return = 1;
    sip->where.rip = words[SAVED_WORDS];
    sip->where.rbp = words[SAVED_RBP];
    sip->where.rsp = rsp + sizeof(words);
    fault_land();
}

/* --- signals ------------------------------------------------------------------------------------
 */

static uint8_t kind_of_signal(int signal_number, const siginfo_t *info)
{
    switch (signal_number) {
    case SIGFPE:
        return info->si_code == FPE_INTDIV ? SF_FAULT_DIV_BY_ZERO : SF_FAULT_BAD_CONVERSION;
    case SIGILL:
        return SF_FAULT_BAD_INSTRUCTION;
    default:
        return SF_FAULT_NONE; /* the address says more */
    }
}

static int in_sealed_code(const struct nk_sip *sip, uint64_t rip)
{
    return nk__is_code_of(sip, rip) ||
           (rip >= NK_GATE_ADDRESS && rip < NK_GATE_ADDRESS + NK_PAGE_BYTES);
}

/*
 * A jump to where no code is: the instruction itself could not be read. Kernel code never runs on a
 * SIP's stack, so whoever jumped with the stack pointer there is the SIP (or was called by it).
 */
static int is_jump_to_nowhere(const struct nk_sip *sip, int signal_number, uint64_t address,
                              const greg_t *regs)
{
    uint64_t slot = nk__slot_address(sip->kernel, sip->slot_index);
    uint64_t stride = nk__geometry[nk__slot_class(sip->slot_index)].stride;

    return signal_number == SIGSEGV && (uint64_t)regs[REG_RIP] == address &&
           (uint64_t)regs[REG_RSP] - slot < stride;
}

static void die_of_bug(int signal_number, uint64_t rip, uint64_t address)
{
    char text[160];
    int length = snprintf(text, sizeof(text),
                          "node kernel: bug: signal %d at instruction 0x%llx, address 0x%llx\n",
                          signal_number, (unsigned long long)rip, (unsigned long long)address);

    if (length > 0) {
        (void)!write(STDERR_FILENO, text, (size_t)length);
    }
    (void)signal(signal_number, SIG_DFL); /* and the instruction faults again */
}

void nk__fault_from_signal(struct nk_sip *sip, uint8_t kind, long long *regs)
{
    sip->fault = kind;
    sip->where.rip = (uint64_t)regs[REG_RIP];
    sip->where.rsp = (uint64_t)regs[REG_RSP];
    sip->where.rbp = (uint64_t)regs[REG_RBP];
    regs[REG_RIP] = (greg_t)fault_land;
    regs[REG_RSP] = (greg_t)nk__cpu.kernel_rsp - 8; /* as after a call */
}

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    struct nk_sip *sip = nk__cpu.sip;
    uint64_t rip = (uint64_t)regs[REG_RIP];

    if (sip == NULL || info->si_code <= 0 ||
        !(in_sealed_code(sip, rip) ||
          is_jump_to_nowhere(sip, signal_number, (uint64_t)info->si_addr, regs))) {
        die_of_bug(signal_number, rip, (uint64_t)info->si_addr);
        return;
    }
    if (signal_number == SIGSEGV && nk__slot_fault(sip, (uint64_t)info->si_addr)) {
        return; /* memory it has grown to and touches for the first time */
    }
    sip->where = (struct nk_fault){.address = (uint64_t)info->si_addr};
    sip->where.has_address = signal_number == SIGSEGV || signal_number == SIGBUS;
    nk__fault_from_signal(
        sip, nk__native_kind(sip, kind_of_signal(signal_number, info), rip, sip->where.address),
        regs);
}

sf_status nk__signals_install(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    stack_t stack = {.ss_size = ALT_STACK_BYTES};

    if (users > 0) {
        users++;
        return SF_OK;
    }
    alt_stack = malloc(ALT_STACK_BYTES);
    if (alt_stack == NULL) {
        return SF_NOMEM;
    }
    stack.ss_sp = alt_stack;
    if (sigaltstack(&stack, &previous_stack) != 0) {
        free(alt_stack);
        return SF_IO;
    }
    (void)sigfillset(&action.sa_mask);
    (void)pthread_mutex_lock(&handlers_mutex);
    for (size_t i = 0; handler_users == 0 && i < FAULT_SIGNAL_COUNT; i++) {
        (void)sigaction(fault_signals[i], &action, &previous[i]);
    }
    handler_users++;
    (void)pthread_mutex_unlock(&handlers_mutex);
    users = 1;
    return SF_OK;
}

void nk__signals_remove(void)
{
    assert(users > 0);
    if (--users > 0) {
        return;
    }
    (void)pthread_mutex_lock(&handlers_mutex);
    handler_users--;
    for (size_t i = 0; handler_users == 0 && i < FAULT_SIGNAL_COUNT; i++) {
        (void)sigaction(fault_signals[i], &previous[i], NULL);
    }
    (void)pthread_mutex_unlock(&handlers_mutex);
    (void)sigaltstack(&previous_stack, NULL);
    free(alt_stack);
}
