/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.h - workers: one thread each, with the SIPs that are its own. Private to
 * node_kernel/kernel.
 *
 * Model: worker 0 is the thread that created the kernel and calls nk_run; the others loop by
 * themselves (worker.c). Each has a run queue, timers, a tick, and an inbox. A SIP belongs to one
 * worker at a time; only that worker's thread runs it and touches its ports, window and timer. To
 * make a SIP of another worker look at something, it is posted to that worker's inbox.
 *
 * The lock: kernel->locked covers the tables of the kernel and everything of the fabric, with one
 * exception that makes messages cheap: a port is *local* if the other end of its channel is in the
 * hands of a SIP of the same worker. Both ends of such a channel are touched by one thread only,
 * so sending and receiving needs no lock, as long as the message carries no endpoint (creating,
 * closing and moving endpoints always takes the lock). A channel becomes local on the thread of
 * that worker, under the lock (nk__port_settle); it stops being local, likewise, before one of its
 * ends leaves that worker's hands: sent away in a message, or with a SIP that moves to another
 * worker.
 *
 * Order of locks: kernel->locked, then the exchange heap's own. Neither is held while SIP code
 * runs, in a callback to the agent (except session_lost), or in a system call that may block.
 *
 * Attention: a worker looks at its inbox, and at what else others want of it, between two SIPs, if
 * `attention` is set. A worker that has nothing to do spins for NK_SPIN_NS, then sleeps (the
 * others) or lets the pump sleep (worker 0: nk_sleep_begin); whoever posts wakes it. Between SIPs
 * and while it spins it also calls the poller, if there is one, which then sleeps for it, too.
 *
 * Pause: worker 0 can make the others stand still between two SIPs (nk_pause). It may then touch
 * everything: ends SIPs of other workers, audits.
 *
 * Balance: a SIP starts where most of what it is wired to lives, else where the fewest SIPs are. A
 * worker without work says so (kernel->hungry); one with more than one SIP ready then moves one,
 * with those it talks to on local channels, if they are few; a SIP that talks much to another
 * worker goes there (balance.c). SIPs made with nk_sip_options.worker stay.
 */
#ifndef KERNEL_WORKER_H
#define KERNEL_WORKER_H

#include <pthread.h>
#include <signal.h>

#include "gate.h"
#include "nk.h"

struct nk_sip;

#define NK_SPIN_NS 20000u
#define NK_REPORT_BYTES 8192u

struct nk_list {
    struct nk_list *next, *prev;
};

static inline void nk_list_init(struct nk_list *list)
{
    list->next = list;
    list->prev = list;
}

static inline int nk_list_empty(const struct nk_list *list)
{
    return list->next == list;
}

static inline void nk_list_insert(struct nk_list *after, struct nk_list *item)
{
    item->prev = after;
    item->next = after->next;
    after->next->prev = item;
    after->next = item;
}

/* Takes item out of whatever list it is in; harmless if it is in none. */
static inline void nk_list_remove(struct nk_list *item)
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    nk_list_init(item);
}

struct nk_worker {
    /* Its own thread's. */
    struct nk_list run;
    struct nk_list late;  /* SIPs whose last turn was ended by the tick; see sched.c */
    uint32_t late_wait;   /* ticks until one of these may run before all of `run` */
    struct nk_sip *front; /* comes before all of `run`, because the running SIP woke it; or NULL */
    uint32_t front_count;
    uint32_t ready; /* SIPs in run, late and front; others read it to compare */
    uint32_t index;
    struct nk_sip *dead; /* left the worker for good; the loop finishes it */
    uint64_t switches, messages, calls;
    struct nk_kernel *kernel;
    struct nk_cpu *cpu;     /* of its thread */
    struct nk_sip **timers; /* heap, earliest first; one entry a SIP */
    uint32_t timer_count, timer_capacity;
    uint64_t gave_ns; /* when it last gave a SIP away */
    pthread_t thread;
    pid_t tid;
    uint8_t has_thread;
    const struct nk_poller *polled; /* whose thread_begin was called; or NULL */

    /* Anybody's: atomic, or under the lock. */
    uint32_t attention __attribute__((aligned(64)));
    uint32_t asleep;      /* 1: somebody must wake it; what its thread sleeps on */
    uint32_t parked;      /* stands still for nk_pause */
    uint32_t started;     /* 1: its thread is up; 2: could not */
    uint32_t sip_count;   /* locked: SIPs that are its own */
    struct nk_sip *inbox; /* locked; latest first */
    int wake_fd; /* eventfd it sleeps on: worker 0, and all once there was a poller; or -1 */
};

static inline int nk__lock_try(uint32_t *lock)
{
    return __atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE) == 0;
}

void nk__lock_wait(uint32_t *lock);
void nk__kick(struct nk_kernel *kernel, uint64_t workers);

/* Makes a worker look at what is there for it. Callers then call nk__kick, or unlock. */
static inline void nk__attend(struct nk_worker *worker)
{
    __atomic_store_n(&worker->attention, 1, __ATOMIC_RELEASE);
    nk__cpu.kicks |= 1ull << worker->index;
}

/* Is this the thread of that worker? */
static inline int nk__mine(const struct nk_worker *worker)
{
    return worker->cpu == &nk__cpu;
}

/* All: SF_OK, or nothing to undo. */
SF_MUST_CHECK sf_status nk__workers_init(struct nk_kernel *kernel,
                                         const struct nk_options *options);
/* Room for the timers of so many SIPs; while the others stand still. */
SF_MUST_CHECK sf_status nk__workers_reserve(struct nk_kernel *kernel, uint32_t sip_count);
/* Starts the threads. */
SF_MUST_CHECK sf_status nk__workers_start(struct nk_kernel *kernel);
/* Ends the threads, and frees; copes with half of it. */
void nk__workers_fini(struct nk_kernel *kernel);

/* Locked. Puts a SIP into its worker's inbox, unless it is in one. */
void nk__post(struct nk_sip *sip);
/* Takes what others posted; on the worker's own thread. */
void nk__inbox_drain(struct nk_worker *worker);

/* --- note.c --- */
/* What the agent is told; one that waits for worker 0. */
struct nk_note;
void nk__notes_init(struct nk_kernel *kernel);
void nk__notes_fini(struct nk_kernel *kernel);
/* On the SIP's worker, or while that stands still; not locked. */
void nk__note_log(struct nk_sip *sip, const char *text, uint32_t bytes);
void nk__note_ended(struct nk_sip *sip, const struct nk_sip_end *end);
/* How many lines of it were lost since it was said last, if any. */
void nk__note_lines_lost(struct nk_sip *sip);
/* Locked. */
void nk__note_lost(struct nk_kernel *kernel, uint16_t peer_id, struct sf_cause cause);
/* Worker 0: tells the agent of the oldest few. False: there are none. */
bool nk__notes_deliver(struct nk_kernel *kernel);

/* --- balance.c --- */
/* Locked. Where a SIP that is about to start should run. */
struct nk_worker *nk__balance_place(struct nk_sip *sip);
/* Gives something to a worker that has nothing to do. On the worker's thread, between SIPs. */
void nk__balance(struct nk_worker *worker, uint64_t now_ns);
/*
 * Another worker counts a SIP as its own: its channels become shared, it is in no run queue and has
 * no timer, but keeps its deadline. The caller sets its state. Locked, on its worker's thread or
 * while that stands still.
 */
void nk__sip_reseat(struct nk_sip *sip, struct nk_worker *to);
/* Moves a SIP that neither runs nor ends to another worker. Locked, on its worker's thread. */
void nk__sip_move(struct nk_sip *sip, struct nk_worker *to);

#endif
