/* SPDX-License-Identifier: Apache-2.0 */
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "figures.h"

#define CALIBRATION_NS 20000000u

static const char *program_name = "peer";
static uint64_t start_ticks, start_ns;

static uint64_t monotonic_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void figures_start(const char *program)
{
    program_name = program;
    start_ns = monotonic_ns();
    start_ticks = figures_ticks();
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)alarm(FIGURES_RUN_SECONDS_MAX);
}

void figures_pin(int core)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)core, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0) {
        figures_die("there is no core %d for this process", core);
    }
}

uint64_t figures_ticks(void)
{
    return __builtin_ia32_rdtsc();
}

uint64_t figures_stamp(void)
{
    uint64_t ticks;

    __builtin_ia32_lfence();
    ticks = __builtin_ia32_rdtsc();
    __builtin_ia32_lfence();
    return ticks;
}

/* The longer the process runs, the better it knows. */
static double ticks_a_second(void)
{
    uint64_t ns;

    do {
        ns = monotonic_ns() - start_ns;
    } while (ns < CALIBRATION_NS);
    return (double)(figures_ticks() - start_ticks) * 1e9 / (double)ns;
}

double figures_seconds(uint64_t ticks)
{
    return (double)ticks / ticks_a_second();
}

uint64_t figures_ticks_of(double seconds)
{
    return (uint64_t)(seconds * ticks_a_second());
}

static int order_u64(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

void figures_rtt(uint64_t *samples, uint32_t count)
{
    double us = 1e6 / ticks_a_second();

    if (count == 0) {
        figures_die("no round trip was measured");
    }
    qsort(samples, count, sizeof(*samples), order_u64);
    (void)printf("{\"metric\":\"rtt64\",\"unit\":\"us\",\"n\":%u,\"min\":%.3f,\"p50\":%.3f,"
                 "\"p99\":%.3f}\n",
                 count, (double)samples[0] * us, (double)samples[count / 2] * us,
                 (double)samples[(uint64_t)count * 99 / 100] * us);
    (void)fflush(stdout);
}

void figures_rate(const char *metric, const struct figures_result *seen, uint64_t sent)
{
    int bulk = strcmp(metric, "bulk") == 0;

    if (seen->messages < 2 || seen->nanoseconds == 0) {
        figures_die("only %lu of %lu messages came", (unsigned long)seen->messages,
                    (unsigned long)sent);
    }
    (void)printf("{\"metric\":\"%s\",\"unit\":\"%s\",\"n\":%lu,\"value\":%.1f,\"lost\":%.4f}\n",
                 metric, bulk ? "MB/s" : "msg/s", (unsigned long)seen->messages,
                 bulk ? (double)seen->bytes * 1e3 / (double)seen->nanoseconds
                      : (double)seen->messages * 1e9 / (double)seen->nanoseconds,
                 1 - (double)seen->messages / (double)sent);
    (void)fflush(stdout);
}

static uint8_t pattern(uint32_t i)
{
    return (uint8_t)(i * 31 + (i >> 8));
}

void figures_pattern_fill(uint8_t *bytes, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++) {
        bytes[i] = pattern(i);
    }
}

void figures_pattern_check(const uint8_t *bytes, uint32_t size, uint32_t skip)
{
    for (uint32_t i = skip; i < size; i++) {
        if (bytes[i] != pattern(i)) {
            figures_die("byte %u of %u came back as another one", i, size);
        }
    }
}

void figures_die(const char *format, ...)
{
    va_list arguments;

    (void)fprintf(stderr, "%s: ", program_name);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fprintf(stderr, "\n");
    _exit(1);
}
