/* SPDX-License-Identifier: Apache-2.0 */
/*
 * figures.h - clock and output that all peers of the link bench share, in C and C++.
 *
 * Units: ticks of the time stamp counter, calibrated against CLOCK_MONOTONIC since figures_start.
 * Output: one JSON object a line, `metric` and `unit` first (figures_rtt, figures_rate).
 * Errors: figures_die ends the process with a sentence on stderr.
 */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FIGURES_SAMPLES_MAX 1000000u
#define FIGURES_MESSAGES_MAX 50000000u
#define FIGURES_BLOCK_BYTES (1u << 20)
#define FIGURES_RUN_SECONDS_MAX 60u

/* First thing in main: starts the calibration, names the program, bounds the run in time. */
void figures_start(const char *program);
/* Pins the whole process, also the threads that a library starts later. */
void figures_pin(int core);

/* figures_stamp waits until everything before it is done; figures_ticks does not. */
uint64_t figures_stamp(void);
uint64_t figures_ticks(void);
double figures_seconds(uint64_t ticks);
/* The other way round, for a time still to come. */
uint64_t figures_ticks_of(double seconds);

/* What the receiver of a stream saw. As it is on the wire between two processes of one machine. */
struct figures_result {
    uint64_t messages, bytes, nanoseconds;
};

/* Sorts samples (ticks). */
void figures_rtt(uint64_t *samples, uint32_t count);
/* metric "msgs64" counts messages, "bulk" bytes. sent: messages, to say how many were lost. */
void figures_rate(const char *metric, const struct figures_result *seen, uint64_t sent);

void figures_pattern_fill(uint8_t *bytes, uint32_t size);
/* Dies when a byte behind the first `skip` is another one. */
void figures_pattern_check(const uint8_t *bytes, uint32_t size, uint32_t skip);

__attribute__((noreturn, format(printf, 1, 2))) void figures_die(const char *format, ...);

#ifdef __cplusplus
}
#endif

#endif
