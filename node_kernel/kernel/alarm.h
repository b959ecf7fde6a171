/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alarm.h - a descriptor that ends a sleep in time.
 *
 * Why: a time limit of ppoll makes a timer for each sleep, and takes it down again when a frame
 * ends the sleep before. In a virtual machine both leave it, and an emulated one spends some 30 us
 * each time. What sleeps are limited by (a resend, a heart-beat) moves on and on, and comes rarely.
 *
 * Model: one timer (timerfd), set for the first deadline it is asked for, and left alone as long as
 * it is due no later than the next ones: it then ends one sleep too early, and is set anew.
 *
 * Threads: one at a time.
 */
#ifndef KERNEL_ALARM_H
#define KERNEL_ALARM_H

#include <stdint.h>

#include "base/status.h"

struct alarm {
    int fd;
    uint64_t at_ns; /* when it is due, or was */
};

/* IO: no descriptor. */
SF_MUST_CHECK sf_status alarm_init(struct alarm *alarm);
/* Takes one that was not initialised, but zero. */
void alarm_fini(struct alarm *alarm);
/* Answers the descriptor, which is readable at at_ns (CLOCK_MONOTONIC) or before, at once if that
 * is over; not before now_ns, which is the time. */
int alarm_at(struct alarm *alarm, uint64_t at_ns, uint64_t now_ns);

#endif
