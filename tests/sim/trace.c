/* SPDX-License-Identifier: Apache-2.0 */
#include "trace.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rng.h"

struct note {
    uint64_t at_ns;
    const char *format;
    uint64_t values[4];
};

static struct {
    struct note notes[TRACE_NOTES];
    uint64_t count;
    uint64_t digest;
    const uint64_t *now_ns;
    char replay[256];
    int verbose;
} trace;

static void note_print(const struct note *note)
{
    (void)fprintf(stderr, "#   %11.6f s  ", (double)note->at_ns / 1e9);
    (void)fprintf(stderr, note->format, (unsigned long long)note->values[0],
                  (unsigned long long)note->values[1], (unsigned long long)note->values[2],
                  (unsigned long long)note->values[3]);
    (void)fputc('\n', stderr);
}

static void tail_print(void)
{
    uint64_t from = trace.count > TRACE_NOTES ? trace.count - TRACE_NOTES : 0;

    (void)fprintf(stderr, "# the last of %llu events:\n", (unsigned long long)trace.count);
    for (uint64_t i = from; i < trace.count; i++) {
        note_print(&trace.notes[i % TRACE_NOTES]);
    }
    (void)fprintf(stderr, "# to repeat: %s\n", trace.replay);
    (void)fflush(stderr);
}

/* Not safe in a signal handler in general; all that can be lost here is the print. */
static void on_signal(int number)
{
    (void)signal(number, SIG_DFL);
    (void)fprintf(stderr, "# FAILED: signal %d (%s)\n", number, strsignal(number));
    tail_print();
    (void)raise(number);
}

void trace_begin(const char *replay, int verbose)
{
    memset(&trace, 0, sizeof(trace));
    (void)snprintf(trace.replay, sizeof(trace.replay), "%s", replay);
    trace.verbose = verbose;
    (void)signal(SIGABRT, on_signal);
    (void)signal(SIGSEGV, on_signal);
    (void)signal(SIGBUS, on_signal);
}

void trace_clock(const uint64_t *now_ns)
{
    trace.now_ns = now_ns;
}

void trace_note(const char *format, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    struct note *note = &trace.notes[trace.count++ % TRACE_NOTES];

    *note = (struct note){
        .at_ns = trace.now_ns == NULL ? 0 : *trace.now_ns,
        .format = format,
        .values = {a, b, c, d},
    };
    trace.digest = rng_mix(trace.digest ^ note->at_ns);
    for (uint32_t i = 0; i < 4; i++) {
        trace.digest = rng_mix(trace.digest + note->values[i]);
    }
    if (trace.verbose) {
        note_print(note);
    }
}

uint64_t trace_digest(void)
{
    return trace.digest;
}

void sim_fail(const char *format, ...)
{
    va_list args;

    (void)fflush(stdout);
    (void)fprintf(stderr, "# FAILED: ");
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
    tail_print();
    _exit(SIM_EXIT_FAILED);
}
