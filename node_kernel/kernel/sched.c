/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler: one run queue, one heap of timers. A SIP woken by the running one goes to the
 * front of the queue, so that a reply is one switch away when the waker blocks; at most
 * NK_FRONT_MAX times in a row, so that two SIPs that talk a lot cannot starve the others.
 */
#include "internal.h"

#include <assert.h>
#include <time.h>

uint64_t nk__now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- timers -------------------------------------------------------------------------------------
 */

static void timer_put(struct nk_kernel *kernel, uint32_t at, struct nk_sip *sip)
{
    kernel->timers[at] = sip;
    sip->timer_index = at + 1;
}

static void timer_up(struct nk_kernel *kernel, uint32_t at, struct nk_sip *sip)
{
    while (at > 0 && kernel->timers[(at - 1) / 2]->deadline > sip->deadline) {
        timer_put(kernel, at, kernel->timers[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    timer_put(kernel, at, sip);
}

static void timer_down(struct nk_kernel *kernel, uint32_t at, struct nk_sip *sip)
{
    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child >= kernel->timer_count) {
            break;
        }
        if (child + 1 < kernel->timer_count &&
            kernel->timers[child + 1]->deadline < kernel->timers[child]->deadline) {
            child++;
        }
        if (kernel->timers[child]->deadline >= sip->deadline) {
            break;
        }
        timer_put(kernel, at, kernel->timers[child]);
        at = child;
    }
    timer_put(kernel, at, sip);
}

static void timer_add(struct nk_sip *sip, uint64_t deadline)
{
    assert(sip->timer_index == 0);
    sip->deadline = deadline;
    sip->kernel->timer_count++;
    timer_up(sip->kernel, sip->kernel->timer_count - 1, sip);
}

void nk__timer_remove(struct nk_sip *sip)
{
    struct nk_kernel *kernel = sip->kernel;
    uint32_t at = sip->timer_index;
    struct nk_sip *last;

    assert(at > 0);
    at--;
    sip->timer_index = 0;
    last = kernel->timers[--kernel->timer_count];
    if (last == sip) {
        return;
    }
    if (at > 0 && kernel->timers[(at - 1) / 2]->deadline > last->deadline) {
        timer_up(kernel, at, last);
    } else {
        timer_down(kernel, at, last);
    }
}

static void timers_fire(struct nk_kernel *kernel, uint64_t now_ns)
{
    while (kernel->timer_count > 0 && kernel->timers[0]->deadline <= now_ns) {
        struct nk_sip *sip = kernel->timers[0];

        nk__timer_remove(sip);
        sip->timed_out = 1;
        nk__wake(sip);
    }
}

/* --- run queue ----------------------------------------------------------------------------------
 */

void nk__wake(struct nk_sip *sip)
{
    struct nk_kernel *kernel = sip->kernel;

    if (sip->state != NK_SIP_WAITING) {
        return;
    }
    sip->state = NK_SIP_READY;
    if (nk__cpu.sip == NULL || kernel->front_count >= NK_FRONT_MAX) {
        kernel->front_count = 0;
        nk_list_insert(kernel->run.prev, &sip->run);
        return;
    }
    if (kernel->front != NULL) {
        nk_list_insert(kernel->run.prev, &kernel->front->run);
    }
    kernel->front = sip;
}

/* Takes the next SIP that really can go on off the queue; NULL if there is none. */
static struct nk_sip *run_pick(struct nk_kernel *kernel, uint64_t *out_result)
{
    while (!nk__run_empty(kernel)) {
        struct nk_sip *sip = kernel->front;

        if (sip != NULL) {
            kernel->front = NULL;
            kernel->front_count++;
        } else {
            sip = NK_CONTAINER(kernel->run.next, struct nk_sip, run);
            nk_list_remove(&sip->run);
            kernel->front_count = 0;
        }
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

static void run_account(struct nk_kernel *kernel, struct nk_sip *sip)
{
    nk__cpu.budget--;
    nk__cpu.sip = sip;
    nk__cpu.head = sip->head;
    kernel->switches++;
}

static _Noreturn void switch_away(struct nk_kernel *kernel)
{
    if (nk__cpu.budget > 0 && nk_list_empty(&kernel->service_ready)) {
        uint64_t result;
        struct nk_sip *next = run_pick(kernel, &result);

        if (next != NULL) {
            run_account(kernel, next);
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
    if (timeout_ns >= 0) {
        uint64_t now = nk__now();

        timer_add(sip, now + (uint64_t)timeout_ns);
    }
    switch_away(sip->kernel);
}

_Noreturn void nk__requeue(struct nk_sip *sip, uint64_t result)
{
    struct nk_kernel *kernel = sip->kernel;

    sip->state = NK_SIP_READY;
    sip->wait = NK_WAIT_NONE;
    sip->result = result;
    nk_list_insert(kernel->run.prev, &sip->run);
    switch_away(kernel);
}

_Noreturn void nk__leave_dead(struct nk_sip *sip)
{
    assert(sip->kernel->dead == NULL);
    sip->state = NK_SIP_ENDING;
    sip->kernel->dead = sip;
    nk__cpu.sip = NULL;
    nk__fiber_leave();
}

/* Closes what nobody took, tells services, finishes dead SIPs. False: nothing to do. */
static bool chores(struct nk_kernel *kernel)
{
    if (kernel->dead != NULL) {
        struct nk_sip *sip = kernel->dead;

        kernel->dead = NULL;
        nk__sip_finish_dead(sip);
        return true;
    }
    if (kernel->refused_count > 0) {
        fab_ep_close(kernel->refused[--kernel->refused_count], SF_CAUSE_OF(QUOTA));
        return true;
    }
    return nk__service_step(kernel);
}

static bool run_one(struct nk_kernel *kernel)
{
    uint64_t result;
    struct nk_sip *sip = run_pick(kernel, &result);

    if (sip == NULL) {
        return false;
    }
    nk__tick_arm();
    run_account(kernel, sip);
    nk__fiber_enter(sip->head, result);
    assert(nk__cpu.sip == NULL);
    return true;
}

bool nk_run(struct nk_kernel *kernel, uint32_t budget, uint64_t now_ns)
{
    bool ran = false;

    assert(nk__cpu.kernel == NULL); /* not from inside a callback */
    nk__cpu.kernel = kernel;
    nk__cpu.table = nk__call_table;
    nk__cpu.budget = budget;
    nk__cpu.resched = 0;
    nk__cpu.restored = NULL;
    timers_fire(kernel, now_ns);
    while (nk__cpu.budget > 0) {
        if (chores(kernel)) {
            nk__cpu.budget--;
        } else if (!run_one(kernel)) {
            break;
        }
        ran = true;
    }
    if (kernel->dead != NULL) { /* the last of the budget */
        (void)chores(kernel);
    }
    kernel->calls += nk__cpu.calls;
    nk__cpu.calls = 0;
    nk__cpu.kernel = NULL;
    return ran;
}

uint64_t nk_next_deadline(const struct nk_kernel *kernel)
{
    if (!nk__run_empty(kernel) || !nk_list_empty(&kernel->service_ready) ||
        kernel->refused_count > 0) {
        return 0;
    }
    return kernel->timer_count > 0 ? kernel->timers[0]->deadline : UINT64_MAX;
}
