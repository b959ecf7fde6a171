/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip_loop.h - waits for many channels, new channels and timers at once, and calls what was asked
 * for. For a server with many clients; a SIP with one conversation is simpler with blocking calls.
 *
 * Model: a turn of the loop calls the timers that are due, in the order of their deadlines, then
 * waits in one nk_select until something is ready or the next timer is due, and calls one watch. Of
 * several that are ready, the one comes first that was called the longest ago, so none starves.
 *
 * What a watch waits for: a message that can be received, or the end of the channel; for a handle
 * of sip_listen: a channel that can be accepted. It is called again and again as long as that is
 * so: receive (or accept) with timeout 0 in it.
 *
 * Stopping: a call may start and stop every watch and timer, its own too, and free their memory
 * once they are stopped: the loop does not look at them after it called. What was stopped is not
 * called, even if it was ready or due.
 * Stop a watch before its handle is closed or sent away; else sip_loop_run answers -SF_BADHANDLE.
 *
 * Ownership: watches and timers are the caller's memory, zero before the first start, and may not
 * move while they are started. Nothing allocates. The loop closes no handle.
 * Limits: NK_SELECT_MAX (64) watches a loop; any number of timers. Times are nanoseconds.
 */
#ifndef SIP_LOOP_H
#define SIP_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/nk_abi.h"
#include "sip_pqueue.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sip_watch {
    struct sip_loop *loop; /* NULL: stopped */
    uint32_t handle;
    void (*ready)(void *arg, struct sip_watch *watch);
    void *arg;
};

struct sip_timer {
    struct sip_pqueue_node node; /* order: the deadline, by nk_clock_ns */
    struct sip_loop *loop;       /* NULL: stopped */
    int64_t period_ns;
    void (*due)(void *arg, struct sip_timer *timer);
    void *arg;
};

struct sip_loop {
    struct sip_watch *watches[NK_SELECT_MAX]; /* the one called the longest ago first */
    uint32_t handles[NK_SELECT_MAX];          /* of the same ones */
    uint32_t watch_count;
    struct sip_pqueue timers;
    bool stopping;
    int32_t code;
};

/* Zeroed memory is a loop too. */
void sip_loop_init(struct sip_loop *loop);
/*
 * Turns until sip_loop_stop (answers its code), or until nothing is started any more (0).
 * -(sf_status): nk_select failed: -SF_BADHANDLE, see above. May be run again.
 */
int32_t sip_loop_run(struct sip_loop *loop);
/* Ends sip_loop_run after the current call. What is started stays started. */
void sip_loop_stop(struct sip_loop *loop, int32_t code);

/* A started watch is stopped first. -SF_LIMIT: NK_SELECT_MAX are started. */
int32_t sip_watch_start(struct sip_loop *loop, struct sip_watch *watch, uint32_t handle,
                        void (*ready)(void *arg, struct sip_watch *watch), void *arg);
/* Nothing happens if it is stopped. */
void sip_watch_stop(struct sip_watch *watch);

/*
 * Due after delay_ns (below 0: at once), and then every period_ns (0: once). Periods are counted
 * from the first deadline; those that were missed are left out. A started timer is started anew.
 */
void sip_timer_start(struct sip_loop *loop, struct sip_timer *timer, int64_t delay_ns,
                     int64_t period_ns, void (*due)(void *arg, struct sip_timer *timer), void *arg);
void sip_timer_stop(struct sip_timer *timer);
static inline bool sip_timer_is_started(const struct sip_timer *timer)
{
    return timer->loop != (struct sip_loop *)0;
}

#ifdef __cplusplus
}
#endif

#endif
