/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What contracts cost: the compiler over all standard contracts, and the monitor for one message.
 *
 * usage: contracts_bench FOLDER, the folder of the standard contracts.
 *
 * Method: pinned to one core.
 *   check_all_ms     read, parse, check (both-sides exploration included), number and encode all
 *                    contracts of the folder in one compilation; one sample a compilation
 *   generate_all_ms  after that, the text of every emitter for every contract, in memory; without
 * svg, which another program draws monitor_cycles   ct_step for one message, in cycles of the
 * time-stamp counter. The messages are a random walk through TcpConnectionContract, one legal
 * message after the other, from the start state again after a final one. A sample is the average of
 * one pass over the walk. The same loop without the look-up (it reads sender and tag, and takes the
 * next state as given) is timed in turn with it, and its median (monitor_loop_cycles) taken off.
 * Each step needs the state that the step before it answered, so this is the time from a message to
 * the next one, not how many fit side by side.
 */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "contracts/compiler.h"

#define COMPILATIONS 50u
#define WALK_MESSAGES 4096u
#define PASSES 2000u
#define FILES_MAX 256u
#define WALKED "TcpConnectionContract"

static _Noreturn void fail(const char *what, const char *name)
{
    (void)fprintf(stderr, "contracts_bench: error: %s %s\n", what, name);
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

static void report(const char *metric, const char *unit, uint64_t operations, double *samples,
                   size_t count)
{
    qsort(samples, count, sizeof(*samples), by_value);
    printf("{\"suite\":\"contracts\",\"metric\":\"%s\",\"unit\":\"%s\",\"n\":%llu,\"min\":%.3f,"
           "\"p50\":%.3f,\"p99\":%.3f}\n",
           metric, unit, (unsigned long long)operations, samples[0], samples[count / 2],
           samples[count * 99 / 100]);
}

/* --- the compiler ------------------------------------------------------------------------------
 */

static char *files[FILES_MAX];
static size_t file_count;

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void find_files(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;

    if (dir == NULL) {
        fail(strerror(errno), folder);
    }
    while ((entry = readdir(dir)) != NULL) {
        const char *end = strrchr(entry->d_name, '.');
        if (end == NULL || strcmp(end, ".contract") != 0) {
            continue;
        }
        if (file_count == FILES_MAX ||
            asprintf(&files[file_count++], "%s/%s", folder, entry->d_name) < 0) {
            fail("too many files in", folder);
        }
    }
    closedir(dir);
    if (file_count == 0) {
        fail("no contract in", folder);
    }
    qsort(files, file_count, sizeof(files[0]), by_name);
}

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static struct ctc *check_all(void)
{
    struct ctc *ctc = ctc_create();

    for (size_t i = 0; i < file_count; i++) {
        (void)ctc_add_file(ctc, files[i]);
    }
    if (ctc_check(ctc) != SF_OK) {
        ctc_print(ctc, stderr);
        fail("a standard contract does not compile:", "see above");
    }
    return ctc;
}

static void generate_all(const struct ctc *ctc)
{
    for (size_t i = 0; i < ctc_contract_count(ctc); i++) {
        for (int emitter = 0; emitter < CTC_EMIT_COUNT; emitter++) {
            size_t bytes = 0;
            if (emitter == CTC_EMIT_SVG) {
                continue; /* would measure Graphviz */
            }
            free(ctc_emit(ctc_contract(ctc, i), (enum ctc_emitter)emitter, &bytes));
            if (bytes == 0) {
                fail("nothing was written for", ctc_name(ctc_contract(ctc, i)));
            }
        }
    }
}

static void bench_compiler(void)
{
    double check[COMPILATIONS];
    double generate[COMPILATIONS];

    for (size_t i = 0; i < COMPILATIONS; i++) {
        double begin = now_ms();
        struct ctc *ctc = check_all();
        double checked = now_ms();
        generate_all(ctc);
        generate[i] = now_ms() - checked;
        check[i] = checked - begin;
        ctc_destroy(ctc);
    }
    report("check_all_ms", "ms", file_count * COMPILATIONS, check, COMPILATIONS);
    report("generate_all_ms", "ms", file_count * COMPILATIONS, generate, COMPILATIONS);
}

/* --- the monitor -------------------------------------------------------------------------------
 */

struct step {
    uint8_t sender;
    uint8_t tag;
    uint8_t next;  /* what the monitor must answer */
    uint8_t fresh; /* a new channel begins with this message */
};

static uint64_t next_random(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

static void make_walk(const struct ct_contract *table, struct step walk[WALK_MESSAGES])
{
    uint64_t random = 0x5eed;
    uint8_t state = 0;

    for (size_t i = 0; i < WALK_MESSAGES; i++) {
        uint8_t tags[CT_MESSAGES_MAX];
        size_t count = 0;

        walk[i].fresh = i == 0 || table->states[state].final;
        if (walk[i].fresh) {
            state = 0;
        }
        enum ct_side sender = (enum ct_side)table->states[state].sender;
        for (uint16_t tag = 0; tag < table->message_count; tag++) {
            if (ct_step(table, state, sender, tag) != CT_ILLEGAL) {
                tags[count++] = (uint8_t)tag;
            }
        }
        if (count == 0) {
            fail("nothing may be sent in the start state of", table->name);
        }
        walk[i].sender = (uint8_t)sender;
        walk[i].tag = tags[next_random(&random) % count];
        state = ct_step(table, state, sender, walk[i].tag);
        walk[i].next = state;
    }
}

/* As a kernel does it: the message gives the tag, the channel the state. Answers the refusals. */
__attribute__((noinline)) static uint32_t pass_monitor(const struct ct_contract *table,
                                                       const struct step *walk)
{
    uint32_t wrong = 0;
    uint8_t state = 0;

    for (size_t i = 0; i < WALK_MESSAGES; i++) {
        uint8_t from = walk[i].fresh ? 0 : state;
        state = ct_step(table, from, (enum ct_side)walk[i].sender, walk[i].tag);
        wrong += state != walk[i].next;
    }
    return wrong;
}

/* The same reads and the same compare, with the answer given. */
__attribute__((noinline)) static uint32_t pass_empty(const struct ct_contract *table,
                                                     const struct step *walk)
{
    uint32_t wrong = 0;
    uint8_t state = 0;

    (void)table;
    for (size_t i = 0; i < WALK_MESSAGES; i++) {
        uint8_t from = walk[i].fresh ? 0 : state;
        uint32_t sender = walk[i].sender;
        uint32_t tag = walk[i].tag;
        state = walk[i].next;
        __asm__ volatile("" : "+r"(state) : "r"(from), "r"(sender), "r"(tag));
        wrong += state != walk[i].next;
    }
    return wrong;
}

static double time_pass(uint32_t (*pass)(const struct ct_contract *table, const struct step *walk),
                        const struct ct_contract *table, const struct step *walk)
{
    unsigned int core;
    _mm_lfence();
    uint64_t begin = __rdtsc();
    _mm_lfence();
    uint32_t wrong = pass(table, walk);
    uint64_t end = __rdtscp(&core);

    _mm_lfence();
    if (wrong != 0) {
        fail("the monitor refused a legal message of", table->name);
    }
    return (double)(end - begin) / WALK_MESSAGES;
}

static void bench_monitor(void)
{
    static struct step walk[WALK_MESSAGES];
    static double with[PASSES];
    static double loop[PASSES];
    struct ctc *ctc = check_all();
    const struct ctc_contract *contract = ctc_find(ctc, WALKED);

    if (contract == NULL) {
        fail("not among the standard contracts:", WALKED);
    }
    const struct ct_contract *table = ctc_table(contract);
    make_walk(table, walk);
    for (size_t i = 0; i < PASSES; i++) {
        with[i] = time_pass(pass_monitor, table, walk);
        loop[i] = time_pass(pass_empty, table, walk);
    }
    report("monitor_loop_cycles", "cycles", (uint64_t)PASSES * WALK_MESSAGES, loop, PASSES);
    for (size_t i = 0; i < PASSES; i++) {
        with[i] -= loop[PASSES / 2]; /* report sorted them */
    }
    report("monitor_cycles", "cycles", (uint64_t)PASSES * WALK_MESSAGES, with, PASSES);
    ctc_destroy(ctc);
}

static void pin(void)
{
    cpu_set_t cores;
    int core = sched_getcpu();

    CPU_ZERO(&cores);
    CPU_SET(core < 0 ? 0 : core, &cores);
    if (sched_setaffinity(0, sizeof(cores), &cores) != 0) {
        fail("cannot stay on one core:", strerror(errno));
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fail("usage: contracts_bench", "FOLDER");
    }
    pin();
    find_files(argv[1]);
    bench_compiler();
    bench_monitor();
    for (size_t i = 0; i < file_count; i++) {
        free(files[i]);
    }
    return 0;
}
