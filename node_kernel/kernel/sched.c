/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler of a worker: two run queues, one heap of timers. A SIP woken by the running one
 * goes to the front of the queue, so that a reply is one switch away when the waker blocks; at most
 * NK_FRONT_MAX times in a row, so that two SIPs that talk a lot cannot starve the others.
 *
 * Shares: a SIP that used its whole turn, up to the tick, waits in `late`, behind those that did
 * not. Without that, one that computes would get a tick for each few microseconds of those that
 * talk. One of `late` has its turn after as many ticks as SIPs are ready in `run`, at most
 * LATE_TICKS_MAX; or when `run` is empty.
 */
#include "internal.h"

#include <assert.h>
#include <time.h>

#define LATE_TICKS_MAX 4u

uint64_t nk__now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- timers -------------------------------------------------------------------------------------
 */

static void timer_put(struct nk_worker *worker, uint32_t at, struct nk_sip *sip)
{
    worker->timers[at] = sip;
    sip->timer_index = at + 1;
}

static void timer_up(struct nk_worker *worker, uint32_t at, struct nk_sip *sip)
{
    while (at > 0 && worker->timers[(at - 1) / 2]->deadline > sip->deadline) {
        timer_put(worker, at, worker->timers[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    timer_put(worker, at, sip);
}

static void timer_down(struct nk_worker *worker, uint32_t at, struct nk_sip *sip)
{
    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child >= worker->timer_count) {
            break;
        }
        if (child + 1 < worker->timer_count &&
            worker->timers[child + 1]->deadline < worker->timers[child]->deadline) {
            child++;
        }
        if (worker->timers[child]->deadline >= sip->deadline) {
            break;
        }
        timer_put(worker, at, worker->timers[child]);
        at = child;
    }
    timer_put(worker, at, sip);
}

void nk__timer_add(struct nk_sip *sip, uint64_t deadline)
{
    assert(sip->timer_index == 0);
    sip->deadline = deadline;
    sip->worker->timer_count++;
    timer_up(sip->worker, sip->worker->timer_count - 1, sip);
}

void nk__timer_remove(struct nk_sip *sip)
{
    struct nk_worker *worker = sip->worker;
    uint32_t at = sip->timer_index;
    struct nk_sip *last;

    assert(at > 0);
    at--;
    sip->timer_index = 0;
    sip->deadline = UINT64_MAX;
    last = worker->timers[--worker->timer_count];
    if (last == sip) {
        return;
    }
    if (at > 0 && worker->timers[(at - 1) / 2]->deadline > last->deadline) {
        timer_up(worker, at, last);
    } else {
        timer_down(worker, at, last);
    }
}

static void timers_fire(struct nk_worker *worker, uint64_t now_ns)
{
    while (worker->timer_count > 0 && worker->timers[0]->deadline <= now_ns) {
        struct nk_sip *sip = worker->timers[0];

        nk__timer_remove(sip);
        sip->timed_out = 1;
        nk__wake(sip);
    }
}

/* --- run queue ----------------------------------------------------------------------------------
 */

void nk__wake(struct nk_sip *sip)
{
    struct nk_worker *worker = sip->worker;

    if (sip->state != NK_SIP_WAITING) {
        return;
    }
    if (nk__cpu.sip != NULL) {
        nk__wake_next(sip);
        return;
    }
    sip->state = NK_SIP_READY;
    worker->ready++;
    worker->front_count = 0;
    nk_list_insert(worker->run.prev, &sip->run);
}

/* The first of `run`, or of `late` if it is time for it or there is no other. */
static struct nk_sip *run_first(struct nk_worker *worker)
{
    struct nk_list *list = &worker->run;
    struct nk_sip *sip;

    if (__builtin_expect(!nk_list_empty(&worker->late), 0) &&
        (nk_list_empty(list) || worker->late_wait == 0)) {
        list = &worker->late;
    }
    sip = NK_CONTAINER(list->next, struct nk_sip, run);
    nk_list_remove(&sip->run);
    if (list == &worker->late) {
        worker->late_wait = worker->ready < LATE_TICKS_MAX ? worker->ready : LATE_TICKS_MAX;
    }
    worker->front_count = 0;
    return sip;
}

/* Takes the next SIP that really can go on off the queue; NULL if there is none. */
static struct nk_sip *run_pick(struct nk_worker *worker, uint64_t *out_result)
{
    while (!nk__run_empty(worker)) {
        struct nk_sip *sip = worker->front;

        if (sip != NULL) {
            worker->front = NULL;
            worker->front_count++;
        } else {
            sip = run_first(worker);
        }
        worker->ready--;
        if (sip->wait == NK_WAIT_NONE) {
            *out_result = sip->result;
        } else if (nk__wait_finish(sip, out_result)) {
            nk__wait_clear(sip);
        } else {
            sip->state = NK_SIP_WAITING;
            continue;
        }
        sip->state = NK_SIP_RUNNING;
        return sip;
    }
    return NULL;
}

static void run_account(struct nk_worker *worker, struct nk_sip *sip)
{
    nk__cpu.budget--;
    nk__cpu.sip = sip;
    nk__cpu.head = sip->head;
    worker->switches++;
}

void nk__unready(struct nk_sip *sip)
{
    struct nk_worker *worker = sip->worker;

    nk_list_remove(&sip->run);
    if (worker->front == sip) {
        worker->front = NULL;
    }
    if (sip->state == NK_SIP_READY) {
        worker->ready--;
    }
}

/* May the next SIP run at once, without a look at what others want of this worker? */
static int may_switch(const struct nk_worker *worker)
{
    return nk__cpu.budget > 0 && __atomic_load_n(&worker->attention, __ATOMIC_RELAXED) == 0;
}

static _Noreturn void switch_away(struct nk_worker *worker)
{
    if (may_switch(worker)) {
        uint64_t result;
        struct nk_sip *next = run_pick(worker, &result);

        if (next != NULL) {
            run_account(worker, next);
            nk__fiber_resume(next->head, result);
        }
    }
    nk__cpu.sip = NULL;
    nk__fiber_leave();
}

_Noreturn void nk__block(struct nk_sip *sip, int64_t timeout_ns)
{
    sip->state = NK_SIP_WAITING;
    sip->timed_out = 0;
    sip->preempted = 0;
    if (timeout_ns >= 0) {
        nk__timer_add(sip, nk__now() + (uint64_t)timeout_ns);
    }
    switch_away(sip->worker);
}

static _Noreturn void requeue(struct nk_sip *sip, uint64_t result, struct nk_list *queue)
{
    struct nk_worker *worker = sip->worker;

    sip->state = NK_SIP_READY;
    worker->ready++;
    sip->wait = NK_WAIT_NONE;
    sip->result = result;
    nk_list_insert(queue->prev, &sip->run);
    switch_away(worker);
}

_Noreturn void nk__requeue(struct nk_sip *sip, uint64_t result)
{
    requeue(sip, result, &sip->worker->run);
}

_Noreturn void nk__turn_over(struct nk_sip *sip, uint64_t result)
{
    uint64_t until_ns = nk__quota_rest(sip);

    nk__cpu.budget = 0; /* so that links and control get their turn, too */
    if (until_ns == 0) {
        requeue(sip, result, sip->preempted ? &sip->worker->late : &sip->worker->run);
    }
    sip->state = NK_SIP_WAITING; /* for nothing but the timer */
    sip->wait = NK_WAIT_NONE;
    sip->result = result;
    nk__timer_add(sip, until_ns);
    switch_away(sip->worker);
}

_Noreturn void nk__leave_dead(struct nk_sip *sip)
{
    assert(sip->worker->dead == NULL);
    sip->state = NK_SIP_ENDING;
    sip->worker->dead = sip;
    nk__cpu.sip = NULL;
    nk__fiber_leave();
}

/* --- the loop -----------------------------------------------------------------------------------
 */

static bool refused_close(struct nk_kernel *kernel)
{
    bool any = false;

    if (__atomic_load_n(&kernel->refused_count, __ATOMIC_RELAXED) > 0) {
        nk__lock(kernel);
        while (kernel->refused_count > 0) {
            fab_ep_close(kernel->refused[--kernel->refused_count], SF_CAUSE_OF(QUOTA));
            any = true;
        }
        nk__unlock(kernel);
    }
    return any;
}

/* Is there any of what chores() looks after? */
static inline bool chores_wait(const struct nk_worker *worker)
{
    const struct nk_kernel *kernel = worker->kernel;

    return worker->dead != NULL || __atomic_load_n(&worker->attention, __ATOMIC_RELAXED) != 0 ||
           (worker->index == 0 && (__atomic_load_n(&kernel->refused_count, __ATOMIC_RELAXED) != 0 ||
                                   __atomic_load_n(&kernel->service_ready.next, __ATOMIC_RELAXED) !=
                                       &kernel->service_ready ||
                                   __atomic_load_n(&kernel->notes, __ATOMIC_RELAXED) != NULL));
}

/*
 * Looks at what others want; finishes dead SIPs; tells services and the agent. True: it did some of
 * it, and there may be more. It does a little of each at a time: a SIP has its turn in between,
 * because what others cause here (log lines, above all) may come faster than it is done.
 */
static __attribute__((noinline)) bool chores(struct nk_worker *worker)
{
    struct nk_kernel *kernel = worker->kernel;
    struct nk_sip *dead = worker->dead;
    bool any = dead != NULL;

    if (dead != NULL) {
        worker->dead = NULL;
        nk__sip_finish_dead(dead);
    }
    if (__atomic_load_n(&worker->attention, __ATOMIC_RELAXED) != 0) {
        __atomic_store_n(&worker->attention, 0, __ATOMIC_SEQ_CST);
        nk__inbox_drain(worker);
    }
    if (worker->index == 0) {
        any |= refused_close(kernel);
        any |= nk__service_step(kernel);
        any |= nk__notes_deliver(kernel);
    }
    return any;
}

static bool run_one(struct nk_worker *worker)
{
    uint64_t result;
    struct nk_sip *sip = run_pick(worker, &result);

    if (sip == NULL) {
        return false;
    }
    nk__tick_arm();
    run_account(worker, sip);
    nk__fiber_enter(sip->head, result);
    assert(nk__cpu.sip == NULL);
    return true;
}

bool nk__worker_run(struct nk_worker *worker, uint32_t budget, uint64_t now_ns)
{
    bool ran = false;

    assert(nk__mine(worker) && nk__cpu.worker == NULL); /* not from inside a callback */
    nk__cpu.worker = worker;
    nk__cpu.table = nk__call_table;
    nk__cpu.budget = budget;
    nk__cpu.resched = 0;
    nk__cpu.restored = NULL;
    timers_fire(worker, now_ns);
    while (nk__cpu.budget > 0) {
        bool any = __builtin_expect(chores_wait(worker), 0) && chores(worker);

        ran |= any;
        if (worker->index > 0 && __atomic_load_n(&worker->kernel->pause, __ATOMIC_RELAXED) != 0) {
            break;
        }
        if (!run_one(worker)) {
            if (!any) {
                break;
            }
            nk__cpu.budget--;
        }
        ran = true;
    }
    if (worker->dead != NULL) { /* the last of the budget */
        (void)chores(worker);
    }
    if (worker->ready > 1) {
        nk__balance(worker, now_ns);
    }
    worker->calls += nk__cpu.calls;
    nk__cpu.calls = 0;
    nk__cpu.worker = NULL;
    return ran;
}

bool nk_run(struct nk_kernel *kernel, uint32_t budget, uint64_t now_ns)
{
    return nk__worker_run(kernel->workers[0], budget, now_ns);
}

/* attention alone may be left over from a pause */
static uint64_t worker_deadline(const struct nk_worker *worker)
{
    if (!nk__run_empty(worker) || worker->inbox != NULL || worker->dead != NULL) {
        return 0;
    }
    return worker->timer_count > 0 ? worker->timers[0]->deadline : UINT64_MAX;
}

uint64_t nk_next_deadline(const struct nk_kernel *kernel)
{
    const struct nk_worker *worker = kernel->workers[0];

    if (__atomic_load_n(&worker->attention, __ATOMIC_RELAXED) != 0 ||
        !nk_list_empty(&kernel->service_ready) || kernel->refused_count > 0 ||
        kernel->notes != NULL) {
        return 0;
    }
    return worker_deadline(worker);
}

uint64_t nk_next_deadline_all(const struct nk_kernel *kernel)
{
    uint64_t earliest = nk_next_deadline(kernel);

    for (uint32_t i = 1; i < kernel->worker_count; i++) {
        uint64_t deadline = worker_deadline(kernel->workers[i]);

        earliest = deadline < earliest ? deadline : earliest;
    }
    return earliest;
}
