/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOCK_SPINS 200u /* then the holder has probably lost its core */
#define RUN_BUDGET 256u /* resumptions between two looks at the clock */

/* --- lock and wake-up --------------------------------------------------------------------------
 */

void nk__lock_wait(uint32_t *lock)
{
    uint32_t spins = 0;

    do {
        while (__atomic_load_n(lock, __ATOMIC_RELAXED) != 0) {
            if (++spins % LOCK_SPINS == 0) {
                (void)sched_yield();
            }
            __builtin_ia32_pause();
        }
    } while (!nk__lock_try(lock));
}

static void futex_wake(uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Until *word is not `value`, or the deadline (CLOCK_MONOTONIC, UINT64_MAX: none). */
static void futex_wait(uint32_t *word, uint32_t value, uint64_t deadline_ns)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                             .tv_nsec = (long)(deadline_ns % 1000000000u)};

    (void)syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value,
                  deadline_ns == UINT64_MAX ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
}

void nk__kick(struct nk_kernel *kernel, uint64_t workers)
{
    nk__cpu.kicks = 0;
    /* What was written for the worker must be visible before we look whether it sleeps. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (; workers != 0; workers &= workers - 1) {
        struct nk_worker *worker = kernel->workers[__builtin_ctzll(workers)];

        if (__atomic_load_n(&worker->asleep, __ATOMIC_RELAXED) == 0 ||
            __atomic_exchange_n(&worker->asleep, 0, __ATOMIC_SEQ_CST) == 0) {
            continue;
        }
        if (worker->wake_fd >= 0) {
            const uint64_t one = 1;

            (void)!write(worker->wake_fd, &one, sizeof(one)); /* full: it is readable anyway */
        } else {
            futex_wake(&worker->asleep);
        }
    }
}

/*
 * Says that this worker will sleep. False: there is something to do after all. Attention alone does
 * not tell: what was asked with it (a pause, the end) may still stand after it was looked at.
 */
static bool sleep_announce(struct nk_worker *worker)
{
    const struct nk_kernel *kernel = worker->kernel;

    __atomic_store_n(&worker->asleep, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&worker->attention, __ATOMIC_SEQ_CST) == 0 &&
        (worker->index == 0 || (__atomic_load_n(&kernel->pause, __ATOMIC_SEQ_CST) == 0 &&
                                !__atomic_load_n(&kernel->quit, __ATOMIC_SEQ_CST)))) {
        return true;
    }
    __atomic_store_n(&worker->asleep, 0, __ATOMIC_SEQ_CST);
    return false;
}

int nk_kernel_fd(const struct nk_kernel *kernel)
{
    return kernel->workers[0]->wake_fd;
}

bool nk_sleep_begin(struct nk_kernel *kernel)
{
    return sleep_announce(kernel->workers[0]);
}

void nk_sleep_end(struct nk_kernel *kernel)
{
    struct nk_worker *worker = kernel->workers[0];
    uint64_t count;

    if (__atomic_exchange_n(&worker->asleep, 0, __ATOMIC_SEQ_CST) == 0) {
        (void)!read(worker->wake_fd, &count, sizeof(count)); /* it was woken; EAGAIN: not yet */
    }
}

/* --- inboxes ------------------------------------------------------------------------------------
 */

void nk__post(struct nk_sip *sip)
{
    struct nk_worker *worker = sip->worker;

    if (!sip->posted) {
        sip->posted = 1;
        sip->inbox_next = worker->inbox;
        worker->inbox = sip;
    }
    nk__attend(worker);
}

/* Settles a SIP that has come to this worker, and lets it go on as before. */
static void sip_arrive(struct nk_sip *sip)
{
    sip->state = NK_SIP_WAITING;
    for (uint32_t i = 1; i < nk__port_end(sip); i++) {
        struct nk_port *port = nk__port_at(sip, i);

        if (port->state != NK_PORT_FREE) {
            nk__port_settle(port);
        }
    }
    if (sip->deadline <= nk__now()) { /* it ran out on the way */
        sip->deadline = UINT64_MAX;
        sip->timed_out = 1;
    } else if (sip->deadline != UINT64_MAX) {
        nk__timer_add(sip, sip->deadline);
        if (sip->wait == NK_WAIT_NONE) {
            return; /* it has used up its share, and rests */
        }
    }
    nk__wake(sip);
}

void nk__inbox_drain(struct nk_worker *worker)
{
    struct nk_kernel *kernel = worker->kernel;
    struct nk_sip *latest, *first = NULL;

    nk__lock(kernel);
    latest = worker->inbox;
    worker->inbox = NULL;
    while (latest != NULL) { /* in the order they were posted */
        struct nk_sip *next = latest->inbox_next;

        latest->inbox_next = first;
        first = latest;
        latest = next;
    }
    while (first != NULL) {
        struct nk_sip *sip = first;

        first = sip->inbox_next;
        sip->posted = 0;
        if (sip->state == NK_SIP_GONE) {
            nk__sip_free(sip);
        } else if (sip->worker != worker) {
            nk__post(sip); /* it moved on */
        } else if (sip->state == NK_SIP_ARRIVING) {
            sip_arrive(sip);
        } else if (sip->wait != NK_WAIT_NONE) {
            nk__wake(sip);
        }
    }
    nk__unlock(kernel);
}

/* --- standing still -----------------------------------------------------------------------------
 */

static void worker_park(struct nk_worker *worker)
{
    uint32_t *pause = &worker->kernel->pause;
    uint32_t count;

    while ((count = __atomic_load_n(pause, __ATOMIC_ACQUIRE)) != 0) {
        __atomic_store_n(&worker->parked, 1, __ATOMIC_RELEASE);
        futex_wait(pause, count, UINT64_MAX);
    }
    __atomic_store_n(&worker->parked, 0, __ATOMIC_RELEASE);
}

static void worker_interrupt(struct nk_kernel *kernel, struct nk_worker *worker)
{
    __atomic_store_n(&worker->attention, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&worker->cpu->resched, 1, __ATOMIC_RELEASE);
    nk__kick(kernel, 1ull << worker->index);
    (void)syscall(SYS_tgkill, getpid(), worker->tid, NK_TICK_SIGNAL);
}

void nk_pause(struct nk_kernel *kernel)
{
    assert(nk__mine(kernel->workers[0]) && nk__cpu.sip == NULL);
    if (__atomic_fetch_add(&kernel->pause, 1, __ATOMIC_SEQ_CST) > 0) {
        return;
    }
    for (uint32_t i = 1; i < kernel->worker_count; i++) {
        if (kernel->workers[i]->has_thread) {
            worker_interrupt(kernel, kernel->workers[i]);
        }
    }
    for (uint32_t i = 1; i < kernel->worker_count; i++) {
        const struct nk_worker *worker = kernel->workers[i];

        while (worker->has_thread && __atomic_load_n(&worker->parked, __ATOMIC_ACQUIRE) == 0) {
            (void)sched_yield();
        }
    }
}

void nk_resume(struct nk_kernel *kernel)
{
    assert(kernel->pause > 0);
    if (__atomic_sub_fetch(&kernel->pause, 1, __ATOMIC_SEQ_CST) == 0) {
        (void)syscall(SYS_futex, &kernel->pause, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
        /* All have left before the next pause can begin. */
        for (uint32_t i = 1; i < kernel->worker_count; i++) {
            while (__atomic_load_n(&kernel->workers[i]->parked, __ATOMIC_ACQUIRE) != 0) {
                (void)sched_yield();
            }
        }
    }
}

/* --- threads ------------------------------------------------------------------------------------
 */

static bool worker_poll(struct nk_worker *worker, uint64_t now_ns)
{
    const struct nk_kernel *kernel = worker->kernel;
    const struct nk_poller *poller = kernel->poller;

    if (poller != worker->polled) {
        if (worker->polled != NULL) {
            worker->polled->thread_end();
        }
        if (poller != NULL) {
            poller->thread_begin();
        }
        worker->polled = poller;
    }
    return poller != NULL && poller->poll(kernel->poller_arg, worker->index, now_ns);
}

/* Until the descriptor is readable, or the deadline. */
static void fd_wait(int fd, uint64_t deadline_ns)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    uint64_t now_ns = nk__now();
    uint64_t ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    struct timespec limit = {.tv_sec = (time_t)(ns / 1000000000u),
                             .tv_nsec = (long)(ns % 1000000000u)};

    (void)ppoll(&wait, 1, deadline_ns == UINT64_MAX ? NULL : &limit, NULL);
}

/* After sleep_announce. */
static void worker_sleep(struct nk_worker *worker, uint64_t deadline_ns)
{
    const struct nk_kernel *kernel = worker->kernel;
    uint64_t count;

    if (worker->wake_fd < 0) {
        futex_wait(&worker->asleep, 1, deadline_ns);
        __atomic_store_n(&worker->asleep, 0, __ATOMIC_SEQ_CST);
        return;
    }
    if (kernel->poller != NULL) {
        kernel->poller->sleep(kernel->poller_arg, worker->index, worker->wake_fd, deadline_ns);
    } else {
        fd_wait(worker->wake_fd, deadline_ns);
    }
    if (__atomic_exchange_n(&worker->asleep, 0, __ATOMIC_SEQ_CST) == 0) {
        (void)!read(worker->wake_fd, &count, sizeof(count)); /* it was woken; EAGAIN: not yet */
    }
}

/* Nothing was ready: spins, then sleeps until somebody posts or a timer is due. */
static void worker_idle(struct nk_worker *worker, uint64_t now_ns)
{
    struct nk_kernel *kernel = worker->kernel;
    uint64_t deadline = worker->timer_count > 0 ? worker->timers[0]->deadline : UINT64_MAX;
    uint64_t end = now_ns + NK_SPIN_NS;

    while (now_ns < end && now_ns < deadline) {
        for (uint32_t i = 0; i < 50; i++) {
            if (__atomic_load_n(&worker->attention, __ATOMIC_RELAXED) != 0) {
                return;
            }
            __builtin_ia32_pause();
        }
        now_ns = nk__now();
        if (worker_poll(worker, now_ns)) {
            return;
        }
    }
    if (now_ns >= deadline) {
        return;
    }
    __atomic_fetch_or(&kernel->hungry, 1ull << worker->index, __ATOMIC_RELAXED);
    if (sleep_announce(worker)) {
        worker_sleep(worker, deadline);
    }
    __atomic_fetch_and(&kernel->hungry, ~(1ull << worker->index), __ATOMIC_RELAXED);
}

static void *worker_main(void *arg)
{
    struct nk_worker *worker = arg;
    struct nk_kernel *kernel = worker->kernel;
    sf_status st = nk__signals_install();

    if (st == SF_OK) {
        st = nk__tick_install(kernel->tick_ns);
        if (st != SF_OK) {
            nk__signals_remove();
        }
    }
    worker->cpu = &nk__cpu;
    worker->tid = (pid_t)syscall(SYS_gettid);
    __atomic_store_n(&worker->started, st == SF_OK ? 1 : 2, __ATOMIC_RELEASE);
    if (st != SF_OK) {
        return NULL;
    }
    while (!__atomic_load_n(&kernel->quit, __ATOMIC_ACQUIRE)) {
        uint64_t now_ns;
        bool any;

        worker_park(worker);
        now_ns = nk__now();
        any = worker_poll(worker, now_ns);
        if (!nk__worker_run(worker, RUN_BUDGET, now_ns) && !any) {
            worker_idle(worker, now_ns);
        }
    }
    if (worker->polled != NULL) {
        worker->polled->thread_end();
    }
    nk__tick_remove();
    nk__signals_remove();
    return NULL;
}

sf_status nk_poller_set(struct nk_kernel *kernel, const struct nk_poller *poller, void *arg)
{
    sf_status st = SF_OK;

    nk_pause(kernel);
    for (uint32_t i = 1; poller != NULL && i < kernel->worker_count; i++) {
        struct nk_worker *worker = kernel->workers[i];

        if (worker->wake_fd < 0) {
            worker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        }
        st = worker->wake_fd < 0 ? SF_IO : st;
    }
    if (st == SF_OK) {
        kernel->poller = poller;
        kernel->poller_arg = arg;
    }
    nk_resume(kernel);
    return st;
}

sf_status nk__workers_init(struct nk_kernel *kernel, const struct nk_options *options)
{
    uint32_t count = options->worker_count == 0 ? 1 : options->worker_count;

    kernel->tick_ns = options->tick_ns;
    for (uint32_t i = 0; i < count; i++) {
        struct nk_worker *worker = aligned_alloc(64, sizeof(*worker));

        if (worker == NULL) {
            return SF_NOMEM;
        }
        *worker = (struct nk_worker){.index = i, .kernel = kernel, .wake_fd = -1};
        nk_list_init(&worker->run);
        nk_list_init(&worker->late);
        kernel->workers[i] = worker;
        kernel->worker_count = i + 1;
        worker->timers = calloc(kernel->slot_count, sizeof(struct nk_sip *));
        if (worker->timers == NULL) {
            return SF_NOMEM;
        }
        worker->timer_capacity = kernel->slot_count;
    }
    kernel->workers[0]->cpu = &nk__cpu;
    kernel->workers[0]->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return kernel->workers[0]->wake_fd >= 0 ? SF_OK : SF_IO;
}

sf_status nk__workers_reserve(struct nk_kernel *kernel, uint32_t sip_count)
{
    for (uint32_t i = 0; i < kernel->worker_count; i++) {
        struct nk_worker *worker = kernel->workers[i];
        const uint32_t capacity = sip_count + sip_count / 4;
        struct nk_sip **timers;

        if (worker->timer_capacity >= sip_count) {
            continue;
        }
        timers = realloc(worker->timers, capacity * sizeof(struct nk_sip *));
        if (timers == NULL) {
            return SF_NOMEM;
        }
        worker->timers = timers;
        worker->timer_capacity = capacity;
    }
    return SF_OK;
}

sf_status nk__workers_start(struct nk_kernel *kernel)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, NK_TICK_SIGNAL};
    sigset_t all, before;
    sf_status st = SF_OK;

    /* Signals for the process are for the thread that the program knows. */
    (void)sigfillset(&all);
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        (void)sigdelset(&all, own[i]);
    }
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    for (uint32_t i = 1; st == SF_OK && i < kernel->worker_count; i++) {
        struct nk_worker *worker = kernel->workers[i];

        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0) {
            st = SF_NOMEM;
            break;
        }
        worker->has_thread = 1;
        while (__atomic_load_n(&worker->started, __ATOMIC_ACQUIRE) == 0) {
            (void)sched_yield();
        }
        st = worker->started == 1 ? SF_OK : SF_IO;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return st;
}

static void worker_destroy(struct nk_worker *worker)
{
    if (worker->wake_fd >= 0) {
        (void)close(worker->wake_fd);
    }
    assert(worker->inbox == NULL);
    free(worker->timers);
    free(worker);
}

void nk__workers_fini(struct nk_kernel *kernel)
{
    __atomic_store_n(&kernel->quit, 1, __ATOMIC_SEQ_CST);
    for (uint32_t i = 1; i < kernel->worker_count; i++) {
        struct nk_worker *worker = kernel->workers[i];

        if (worker->has_thread) {
            __atomic_store_n(&worker->attention, 1, __ATOMIC_SEQ_CST);
            nk__kick(kernel, 1ull << i);
            (void)pthread_join(worker->thread, NULL);
        }
    }
    for (uint32_t i = 0; i < kernel->worker_count; i++) {
        nk__inbox_drain(kernel->workers[i]); /* those that are gone */
        worker_destroy(kernel->workers[i]);
    }
}
