/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults. A signal whose instruction lies in image code (or in the gate, while it pushes on a full
 * stack) is the running SIP's: the handler only redirects the thread to its own stack, where the
 * SIP leaves for good; nothing of it is trusted after that. That the test by instruction pointer is
 * sound follows from the image rules: an image has no external code. Any other such signal is a
 * bug of the kernel: it is told on stderr and the process dies of it.
 */
#include "internal.h"

#include "contracts/cause.h"
#include "image.pb-c.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>
#include <unistd.h>

#define ALT_STACK_BYTES (64u << 10)
#define CALLERS_MAX 16u
#define PORTS_REPORTED_MAX 20u
#define STACK_GUARD_BELOW (1u << 20) /* of the slot before; it is never accessible there */

static const int fault_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
#define FAULT_SIGNAL_COUNT (sizeof(fault_signals) / sizeof(fault_signals[0]))

static pthread_mutex_t handlers_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction previous[FAULT_SIGNAL_COUNT];
static unsigned handler_users;
/* A thread's own. */
static __thread stack_t previous_stack;
static __thread void *alt_stack;
static __thread unsigned users;

static _Noreturn void fault_land(void)
{
    struct nk_sip *sip = nk__cpu.sip;

    sip->end_how = NK_END_FAULTED;
    sip->fault = sip->worker->fault.kind;
    nk__leave_dead(sip);
}

_Noreturn void nk__fault_from_call(struct nk_sip *sip, uint8_t kind)
{
    const uint64_t *frame = (const uint64_t *)sip->head->rsp; /* six registers, return address */

    sip->worker->fault = (struct nk_fault){
        .kind = kind, .rip = nk__linked(sip, frame[6]), .rsp = sip->head->rsp + 56};
    fault_land();
}

/* ud2, which is what __builtin_trap is in native code. */
static int is_trap(uint64_t rip)
{
    const uint8_t *at = (const uint8_t *)rip;

    return at[0] == 0x0f && at[1] == 0x0b;
}

static uint8_t fault_kind(const struct nk_sip *sip, int signal_number, const siginfo_t *info,
                          uint64_t rip)
{
    uint64_t slot = nk__slot_address(sip->kernel, sip->slot_index);
    uint64_t address = (uint64_t)info->si_addr;

    switch (signal_number) {
    case SIGFPE:
        return info->si_code == FPE_INTDIV ? SF_FAULT_DIV_BY_ZERO : SF_FAULT_BAD_CONVERSION;
    case SIGILL:
        return sip->image->native && is_trap(rip) ? SF_FAULT_UNREACHABLE : SF_FAULT_BAD_INSTRUCTION;
    default:
        if (sip->image->native && address == rip) {
            return SF_FAULT_BAD_INDIRECT_CALL;
        }
        return address >= slot - STACK_GUARD_BELOW && address < slot + NK_STACK_LOW
                   ? SF_FAULT_STACK_OVERFLOW
                   : SF_FAULT_OUT_OF_BOUNDS;
    }
}

static int in_sealed_code(const struct nk_sip *sip, uint64_t rip)
{
    return nk__is_code_of(sip, rip) ||
           (rip >= NK_GATE_ADDRESS && rip < NK_GATE_ADDRESS + NK_PAGE_BYTES);
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

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    struct nk_sip *sip = nk__cpu.sip;
    uint64_t rip = (uint64_t)regs[REG_RIP];

    if (sip == NULL || info->si_code <= 0 ||
        !(in_sealed_code(sip, rip) ||
          nk__native_jumped_off(sip, rip, (uint64_t)regs[REG_RSP], (uint64_t)info->si_addr))) {
        die_of_bug(signal_number, rip, (uint64_t)info->si_addr);
        return;
    }
    sip->worker->fault = (struct nk_fault){.kind = fault_kind(sip, signal_number, info, rip),
                                           .signal_number = signal_number,
                                           .address = (uint64_t)info->si_addr,
                                           .rip = nk__linked(sip, rip),
                                           .rsp = (uint64_t)regs[REG_RSP]};
    regs[REG_RIP] = (greg_t)fault_land;
    regs[REG_RSP] = (greg_t)nk__cpu.kernel_rsp - 8; /* as after a call */
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

/* --- the report ---------------------------------------------------------------------------------
 */

struct report {
    char *text;
    size_t length, capacity;
};

static void __attribute__((format(printf, 2, 3)))
report_add(struct report *report, const char *format, ...)
{
    va_list args;
    int length;

    va_start(args, format);
    length =
        vsnprintf(report->text + report->length, report->capacity - report->length, format, args);
    va_end(args);
    if (length > 0) {
        report->length += (size_t)length;
        if (report->length >= report->capacity) {
            report->length = report->capacity - 1; /* cut */
        }
    }
}

static const struct Sf__Image__Symbol *symbol_find(const struct nk_image *image, uint64_t address)
{
    const struct Sf__Image__Manifest *manifest = image->image->manifest;
    uint64_t offset = address - manifest->base_address;

    for (size_t i = 0; i < manifest->n_symbols; i++) {
        const struct Sf__Image__Symbol *symbol = manifest->symbols[i];

        if (offset >= symbol->offset && offset - symbol->offset < symbol->bytes) {
            return symbol;
        }
    }
    return NULL;
}

/* "name+0x12", or the bare address. Of a return address: the call before it, which may be the last
 * instruction of its function. */
static void report_code(struct report *report, const struct nk_image *image, uint64_t address,
                        int is_return)
{
    const struct Sf__Image__Symbol *symbol = symbol_find(image, address - (is_return ? 1 : 0));
    uint64_t base = image->image->manifest->base_address;

    if (symbol == NULL) {
        report_add(report, "0x%llx", (unsigned long long)address);
    } else {
        report_add(report, "%s+0x%llx", symbol->name,
                   (unsigned long long)(address - base - symbol->offset));
    }
}

/* Is there a call instruction right before this address of the code segment? */
static int follows_call(const struct nk_image *image, uint64_t address)
{
    const uint8_t *at = (const uint8_t *)address;

    if (address < image->code_first + 7 || address > image->code_end) {
        return 0;
    }
    return at[-5] == 0xe8 || (at[-2] == 0xff && (at[-1] & 0xf8) == 0xd0) ||
           (at[-3] == 0xff && (at[-2] & 0xf8) == 0x50) ||
           (at[-6] == 0xff && (at[-5] & 0xf8) == 0x90);
}

/* The next return address on the stack at or above *rsp, or 0; a word that looks like one may be
 * left over from an earlier call. */
static uint64_t next_return(const struct nk_sip *sip, uint64_t *rsp)
{
    uint64_t end = nk__slot_address(sip->kernel, sip->slot_index) + NK_STACK_TOP - 64;

    while (*rsp < end) {
        uint64_t word = nk__linked(sip, *(const uint64_t *)*rsp);

        *rsp += 8;
        if (follows_call(sip->image, word)) {
            return word;
        }
    }
    return 0;
}

/* Where it faulted and who called whom. A trap of the image's run-time stub has no symbol: it is
 * the first caller that has one which matters. */
static void report_stack(struct report *report, const struct nk_sip *sip)
{
    const struct nk_fault *fault = &sip->worker->fault;
    uint64_t low = nk__slot_address(sip->kernel, sip->slot_index) + NK_STACK_LOW;
    uint64_t rsp = (fault->rsp < low ? low : fault->rsp) & ~7ull;
    uint64_t at = fault->rip, word;
    uint32_t count = 0, same = 0;

    if (symbol_find(sip->image, at) == NULL) {
        word = next_return(sip, &rsp);
        at = word == 0 ? at : word;
    }
    report_add(report, "\n  in ");
    report_code(report, sip->image, at, at != fault->rip);
    for (at = 0; count < CALLERS_MAX && (word = next_return(sip, &rsp)) != 0;) {
        if (word == at) {
            same++;
            continue;
        }
        if (same > 0) {
            report_add(report, " (%u times more)", same);
        }
        report_add(report,
                   count++ == 0 ? "\n  called from (probable, by scanning the stack): " : " < ");
        report_code(report, sip->image, word, 1);
        at = word;
        same = 0;
    }
    if (same > 0) {
        report_add(report, " (%u times more)", same);
    }
    if (count == CALLERS_MAX) {
        report_add(report, " < ...");
    }
}

static void report_port(struct report *report, const struct nk_port *port)
{
    struct fab_ep_info info;
    char cause[256];

    fab_ep_query(port->ep, &info);
    report_add(report, "\n  endpoint %u%s%s: %s %s, state %s, %u queued", port->handle,
               port->name[0] == '\0' ? "" : " ", port->name, info.contract->name,
               info.side == CT_IMP ? "importer" : "exporter",
               info.state < info.contract->state_count ? info.contract->states[info.state].name
                                                       : "?",
               info.queued);
    if (port->has_sent) {
        report_add(report, ", last sent %s", info.contract->messages[port->sent_tag].name);
    }
    if (port->has_received) {
        report_add(report, ", last received %s", info.contract->messages[port->received_tag].name);
    }
    if (info.cause.kind != SF_CAUSE_NONE) {
        report_add(report, ", %s",
                   ct_cause_format(info.contract, info.cause, cause, sizeof(cause)));
    }
}

static void report_address(struct report *report, const struct nk_sip *sip)
{
    uint64_t memory = (uint64_t)sip->memory;
    uint64_t address = sip->worker->fault.address;

    if (sip->worker->fault.signal_number != SIGSEGV && sip->worker->fault.signal_number != SIGBUS) {
        return;
    }
    if (address >= memory && address < memory + NK_MEMORY_BYTES) {
        report_add(report, ", address 0x%llx", (unsigned long long)(address - memory));
        if (address - memory >= NK_MEMORY_BYTES - NK_HEAD_BYTES) {
            report_add(report, " (just below 0: probably the C stack is too small)");
        } else if (address - memory >= NK_WINDOW_OFFSET) {
            report_add(report, " (where blocks live: probably one given away or freed)");
        }
    } else if (sip->image->native && sip->fault != SF_FAULT_STACK_OVERFLOW) {
        report_add(report, ", at 0x%llx, which is outside its memory", (unsigned long long)address);
    }
}

void nk__fault_report(struct nk_sip *sip)
{
    struct nk_worker *worker = sip->worker;
    struct report report = {.text = worker->report, .capacity = sizeof(worker->report)};
    uint32_t told = 0;

    report_add(&report, "sip %s (image %s%s) faulted: %s", sip->name,
               sip->image->image->manifest->name, sip->image->native ? ", native" : "",
               sf_fault_text(sip->fault));
    report_address(&report, sip);
    report_stack(&report, sip);
    report_add(&report, "\n  blocks held: %u, %llu bytes", sip->block_count,
               (unsigned long long)sip->block_bytes);
    for (uint32_t i = 1; i < sip->chunk_count * NK_PORT_CHUNK && told < PORTS_REPORTED_MAX; i++) {
        const struct nk_port *port = &sip->chunks[i / NK_PORT_CHUNK][i % NK_PORT_CHUNK];

        if (port->state != NK_PORT_FREE) {
            report_port(&report, port);
            told++;
        }
    }
    if (told < sip->port_count) {
        report_add(&report, "\n  and %u endpoints more", sip->port_count - told);
    }
}
