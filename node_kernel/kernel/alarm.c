/* SPDX-License-Identifier: Apache-2.0 */
#include "alarm.h"

#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

sf_status alarm_init(struct alarm *alarm)
{
    *alarm = (struct alarm){.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)};
    if (alarm->fd >= 0) {
        return SF_OK;
    }
    alarm->fd = 0;
    return SF_IO;
}

void alarm_fini(struct alarm *alarm)
{
    if (alarm->fd > 0) {
        (void)close(alarm->fd);
        alarm->fd = 0;
    }
}

int alarm_at(struct alarm *alarm, uint64_t at_ns, uint64_t now_ns)
{
    if (alarm->at_ns <= now_ns || alarm->at_ns > at_ns) {
        const uint64_t due_ns = at_ns > now_ns ? at_ns : now_ns + 1; /* 0 would be never */
        const struct itimerspec due = {.it_value = {.tv_sec = (time_t)(due_ns / 1000000000u),
                                                    .tv_nsec = (long)(due_ns % 1000000000u)}};

        /* Also makes it unreadable. It fails for no time that can be. */
        (void)timerfd_settime(alarm->fd, TFD_TIMER_ABSTIME, &due, NULL);
        alarm->at_ns = due_ns;
    }
    return alarm->fd;
}
