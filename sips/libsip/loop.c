/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.c - sip_loop.h.
 */
#include "sip_loop.h"

#include "sip.h"
#include "sip_list.h"

static int64_t later(int64_t from_ns, int64_t by_ns)
{
    int64_t sum;

    return __builtin_add_overflow(from_ns, by_ns, &sum) ? INT64_MAX : sum;
}

void sip_loop_init(struct sip_loop *loop)
{
    memset(loop, 0, sizeof(*loop));
}

void sip_loop_stop(struct sip_loop *loop, int32_t code)
{
    loop->stopping = true;
    loop->code = code;
}

/* --- watches ------------------------------------------------------------------------------------
 */

static void take_out(struct sip_loop *loop, uint32_t index)
{
    const uint32_t behind = loop->watch_count - index - 1;

    memmove(&loop->watches[index], &loop->watches[index + 1], behind * sizeof(loop->watches[0]));
    memmove(&loop->handles[index], &loop->handles[index + 1], behind * sizeof(loop->handles[0]));
    loop->watch_count--;
}

static void put_last(struct sip_loop *loop, struct sip_watch *watch)
{
    loop->watches[loop->watch_count] = watch;
    loop->handles[loop->watch_count] = watch->handle;
    loop->watch_count++;
}

void sip_watch_stop(struct sip_watch *watch)
{
    struct sip_loop *loop = watch->loop;

    for (uint32_t i = 0; loop != NULL && i < loop->watch_count; i++) {
        if (loop->watches[i] == watch) {
            take_out(loop, i);
            break;
        }
    }
    watch->loop = NULL;
}

int32_t sip_watch_start(struct sip_loop *loop, struct sip_watch *watch, uint32_t handle,
                        void (*ready)(void *arg, struct sip_watch *watch), void *arg)
{
    sip_watch_stop(watch);
    if (loop->watch_count == NK_SELECT_MAX) {
        return -SF_LIMIT;
    }
    watch->loop = loop;
    watch->handle = handle;
    watch->ready = ready;
    watch->arg = arg;
    put_last(loop, watch);
    return 0;
}

/* --- timers -------------------------------------------------------------------------------------
 */

void sip_timer_stop(struct sip_timer *timer)
{
    if (timer->loop != NULL) {
        sip_pqueue_remove(&timer->loop->timers, &timer->node);
        timer->loop = NULL;
    }
}

void sip_timer_start(struct sip_loop *loop, struct sip_timer *timer, int64_t delay_ns,
                     int64_t period_ns, void (*due)(void *arg, struct sip_timer *timer), void *arg)
{
    sip_timer_stop(timer);
    timer->loop = loop;
    timer->period_ns = period_ns;
    timer->due = due;
    timer->arg = arg;
    sip_pqueue_put(&loop->timers, &timer->node, later(nk_clock_ns(), delay_ns < 0 ? 0 : delay_ns));
}

/* Calls what is due now, but not what these calls start anew. */
static void call_timers(struct sip_loop *loop)
{
    const uint64_t sequence_max = loop->timers.sequence;
    const int64_t now = loop->timers.first == NULL ? 0 : nk_clock_ns();

    while (!loop->stopping && loop->timers.first != NULL && loop->timers.first->order <= now &&
           loop->timers.first->sequence <= sequence_max) {
        struct sip_timer *timer = SIP_CONTAINER(loop->timers.first, struct sip_timer, node);
        if (timer->period_ns > 0) {
            const int64_t missed = (now - timer->node.order) / timer->period_ns;
            sip_pqueue_put(
                &loop->timers, &timer->node,
                later(timer->node.order, later(missed * timer->period_ns, timer->period_ns)));
        } else {
            sip_timer_stop(timer);
        }
        timer->due(timer->arg, timer);
    }
}

/* --- the loop -----------------------------------------------------------------------------------
 */

static int64_t time_left(const struct sip_loop *loop)
{
    int64_t left;

    if (loop->timers.first == NULL) {
        return SIP_FOREVER;
    }
    left = loop->timers.first->order - nk_clock_ns();
    return left < 0 ? 0 : left;
}

int32_t sip_loop_run(struct sip_loop *loop)
{
    loop->stopping = false;
    loop->code = 0;
    for (;;) {
        int32_t index;

        call_timers(loop);
        if (loop->stopping || (loop->watch_count == 0 && loop->timers.first == NULL)) {
            return loop->code;
        }
        index = nk_select(loop->handles, loop->watch_count, time_left(loop));
        if (index >= 0) {
            struct sip_watch *watch = loop->watches[index];
            take_out(loop, (uint32_t)index);
            put_last(loop, watch);
            watch->ready(watch->arg, watch);
        } else if (index != -SF_TIMEOUT) {
            return index;
        }
        if (loop->stopping) {
            return loop->code;
        }
    }
}
