/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pre-emption: a SIP that computes without end must not stop the node.
 *
 * A timer sends SIGURG to the worker's thread, and so does nk_pause. If it finds sealed code, the
 * handler saves all registers in the SIP's own slot (so that a pre-empted SIP can be shipped like a
 * blocked one: general registers on its stack, vector registers in its header) and redirects the
 * thread to the kernel, which puts the SIP at the end of the run queue and lets nk_run return.
 * Kernel code is never interrupted for good: the handler only sets `resched`, which the gate looks
 * at.
 *
 * The timer runs while SIPs run, and stops itself when none has run for a while. It counts the
 * processor's time of the thread, so that nobody is woken by it: the system looks at that clock
 * once a jiffy (4 ms with HZ=250), which is often enough for ticks of TICK_NS_BY_THREAD and more.
 * Shorter ones are of the clock on the wall.
 */
#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define TICK_NS_DEFAULT 10000000u
#define TICK_NS_BY_THREAD 8000000u
#define IDLE_TICKS_MAX 5u
#define RED_ZONE_BYTES 128u
#define SAVED_WORDS 20u        /* see nk__gate_restore in gate.S */
#define STACK_ROOM_BYTES 1024u /* left below the saved registers */
#define FXSAVE_BYTES 512u
#define XSTATE_MAGIC 0x46505853u /* Linux: FP_XSTATE_MAGIC1 */
#define XSTATE_MAGIC_OFFSET 464u /* struct _fpx_sw_bytes in the fxsave area */
#define XSTATE_SIZE_OFFSET 480u

static pthread_mutex_t handler_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction previous;
static unsigned handler_users;
/* A thread's own. */
static __thread timer_t timer;
static __thread uint64_t tick_ns;
static __thread unsigned users;
static __thread volatile sig_atomic_t armed;
static __thread volatile sig_atomic_t idle_ticks;

static void timer_set(uint64_t ns)
{
    struct itimerspec spec = {
        .it_value = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)}};

    spec.it_interval = spec.it_value;
    (void)timer_settime(timer, 0, &spec, NULL);
}

static _Noreturn void preempt_land(void)
{
    nk__cpu.sip->preempted = 1;
    nk__turn_over(nk__cpu.sip, 0);
}

/* Copies the vector registers into the header. Answers how to restore them: 1 xrstor,
 * 0 fxrstor, -1: they do not fit. */
static int vectors_save(uint64_t slot, const void *fpregs)
{
    const uint8_t *from = fpregs;
    uint32_t magic, bytes = FXSAVE_BYTES;

    memcpy(&magic, from + XSTATE_MAGIC_OFFSET, sizeof(magic));
    if (magic == XSTATE_MAGIC) {
        memcpy(&bytes, from + XSTATE_SIZE_OFFSET, sizeof(bytes));
        if (bytes > NK_VECTOR_BYTES) {
            return -1;
        }
    }
    memcpy((uint8_t *)(slot + NK_VECTORS), from, bytes);
    return magic == XSTATE_MAGIC ? 1 : 0;
}

/* Do its registers fit on its stack? */
static int stack_has_room(const struct nk_sip *sip, uint64_t rsp)
{
    uint64_t slot = nk__slot_address(sip->kernel, sip->slot_index);

    return rsp <= slot + NK_STACK_TOP &&
           rsp >= slot + NK_STACK_LOW + RED_ZONE_BYTES + SAVED_WORDS * 8 + STACK_ROOM_BYTES;
}

/* Saves the interrupted SIP as if it had called the kernel. False: not now. */
static int registers_save(struct nk_sip *sip, const ucontext_t *context)
{
    static const uint8_t order[] = {REG_R15, REG_R14, REG_R13, REG_R12, REG_RBX, REG_RBP};
    static const uint8_t rest[] = {REG_RAX, REG_RDX, REG_RCX, REG_RSI, REG_RDI, REG_R8,
                                   REG_R9,  REG_R10, REG_R11, REG_EFL, REG_RIP};
    const greg_t *regs = context->uc_mcontext.gregs;
    uint64_t slot = nk__slot_address(sip->kernel, sip->slot_index);
    uint64_t rsp = (uint64_t)regs[REG_RSP];
    uint64_t *frame;
    int vectors;

    vectors =
        vectors_save(nk__slot_address(sip->kernel, sip->slot_index), context->uc_mcontext.fpregs);
    if (vectors < 0) {
        return 0;
    }
    frame = (uint64_t *)(rsp - RED_ZONE_BYTES) - SAVED_WORDS;
    sip->head->rsp = (uint64_t)frame;
    for (size_t i = 0; i < sizeof(order); i++) {
        *frame++ = (uint64_t)regs[order[i]];
    }
    *frame++ = nk__gate_restore_address();
    *frame++ = slot + NK_VECTORS;
    *frame++ = (uint64_t)vectors;
    for (size_t i = 0; i < sizeof(rest); i++) {
        *frame++ = (uint64_t)regs[rest[i]];
    }
    return 1;
}

static void on_tick(int signal_number, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    uint64_t rip = (uint64_t)regs[REG_RIP];
    uint8_t fault;

    (void)signal_number;
    if (info->si_code != SI_TIMER && (info->si_code != SI_TKILL || info->si_pid != getpid())) {
        return;
    }
    if (nk__cpu.sip == NULL) {
        nk__quota_skip(); /* no SIP's time */
    }
    if (nk__cpu.worker == NULL) {
        if (++idle_ticks >= (int)IDLE_TICKS_MAX) {
            int saved_errno = errno;

            armed = 0;
            timer_set(0);
            errno = saved_errno;
        }
        return;
    }
    if (nk__cpu.sip == NULL) {
        return; /* the scheduler loop */
    }
    if (nk__cpu.worker->late_wait > 0 && !nk__cpu.sip->preempted) {
        nk__cpu.worker->late_wait--;
    }
    fault = nk__quota_tick(nk__cpu.sip);
    if (!nk__is_code_of(nk__cpu.sip, rip)) {
        nk__cpu.resched = 1; /* kernel or gate: yield on the way back */
        return;
    }
    if (fault == SF_FAULT_NONE && !stack_has_room(nk__cpu.sip, (uint64_t)regs[REG_RSP])) {
        fault = SF_FAULT_STACK_OVERFLOW; /* it could not be pre-empted, and might loop for ever */
    }
    if (fault != SF_FAULT_NONE) {
        nk__fault_from_signal(nk__cpu.sip, fault, regs);
    } else if (registers_save(nk__cpu.sip, context)) {
        regs[REG_RIP] = (greg_t)preempt_land;
        regs[REG_RSP] = (greg_t)nk__cpu.kernel_rsp - 8; /* as after a call */
    }
}

void nk__tick_arm(void)
{
    idle_ticks = 0;
    if (!armed) {
        armed = 1;
        nk__quota_skip();
        timer_set(tick_ns);
    }
}

sf_status nk__tick_install(uint64_t wanted_ns)
{
    struct sigaction action = {.sa_sigaction = on_tick,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = NK_TICK_SIGNAL};
    clockid_t clock;

    if (users > 0) {
        users++;
        return SF_OK;
    }
    tick_ns = wanted_ns == 0 ? TICK_NS_DEFAULT : wanted_ns;
    clock = tick_ns >= TICK_NS_BY_THREAD ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    if (timer_create(clock, &event, &timer) != 0) {
        return SF_IO;
    }
    (void)sigfillset(&action.sa_mask);
    (void)pthread_mutex_lock(&handler_mutex);
    if (handler_users++ == 0) {
        (void)sigaction(NK_TICK_SIGNAL, &action, &previous);
    }
    (void)pthread_mutex_unlock(&handler_mutex);
    armed = 0;
    users = 1;
    return SF_OK;
}

void nk__tick_remove(void)
{
    if (--users > 0) {
        return;
    }
    (void)timer_delete(timer);
    (void)pthread_mutex_lock(&handler_mutex);
    if (--handler_users == 0) {
        (void)sigaction(NK_TICK_SIGNAL, &previous, NULL);
    }
    (void)pthread_mutex_unlock(&handler_mutex);
}
