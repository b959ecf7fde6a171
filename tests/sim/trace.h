/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.h - the last events of a run, and how a run fails.
 *
 * Why: a failure is worth what can be read from it: the seed, the line that repeats it, and what
 * happened just before.
 *
 * Model: notes go into a ring of TRACE_NOTES; all of them, also those overwritten, go into a
 * digest, so that two runs can be compared. sim_fail prints and ends the process with
 * SIM_EXIT_FAILED: a campaign runs each seed in a process of its own. An assert of the product
 * (SIGABRT) or a fault prints the same.
 *
 * Threads: one. There is one trace a process.
 */
#ifndef SIM_TRACE_H
#define SIM_TRACE_H

#include <stdint.h>

#define TRACE_NOTES 48u /* printed at a failure */
#define SIM_EXIT_FAILED 3

/* replay: the command line that repeats this run; copied. verbose: every note goes to stderr. */
void trace_begin(const char *replay, int verbose);
/* Where notes get their time from (ns); NULL: nowhere. Must live until trace_end. */
void trace_clock(const uint64_t *now_ns);
/* format is a literal with at most four %llu, to which the values are given. */
void trace_note(const char *format, uint64_t a, uint64_t b, uint64_t c, uint64_t d);
uint64_t trace_digest(void);

__attribute__((noreturn, format(printf, 1, 2))) void sim_fail(const char *format, ...);

#define sim_expect(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            sim_fail("%s:%d: %s", __FILE__, __LINE__, #condition);                                 \
        }                                                                                          \
    } while (0)

#endif
