/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What local things cost, in cycles of the time-stamp counter, beside what Linux asks for the like,
 * in the same run on the same core.
 *
 * Method: pinned to one core. A batch is many operations between two readings of the counter; min,
 * p50 and p99 are over the batches' averages (create_start_exit, spawn: over single operations).
 * Ours and the baseline take turns in rounds, so that both see the same noise.
 * The kernel has two workers; all but pingpong64_cross happens on one of them.
 *   api_call           SIP -> kernel -> SIP, the call `state`        | getpid
 *   yield              one SIP to the next, two SIPs                 | sched_yield, two processes
 *   pingpong64         64-byte block there and back, two SIPs        | 64 bytes over two pipes
 *   pingpong_64k, _1m  larger blocks, handed over; ours are touched  | the same over two pipes
 *                      in the first and last word                    |
 *   pingpong64_cross   pingpong64 on two workers, both awake         | a futex, two threads
 *   select64           pingpong64 with 64 endpoints open on the side | pingpong64
 *                      that answers, which receives by recv_any      |
 *   select64_then_recv the same, by select and then recv             | pingpong64
 *   create_start_exit  create, start, run to the exit, reclaim       | posix_spawn, waitpid; static
 *   idle_sip_kib       memory and page tables of a SIP that waits    | a static program that waits
 * singularity: what its papers publish for the like on their machine of 2005 (cycles, KiB): ABI
 * call 80, thread yield 365, message ping-pong 1,040, hand-over of a block of any size, not
 * touched, 920, process create and start 388,000, smallest process 408.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "abi/nk_abi.h"
#include "nk.h"

#define ROUNDS 5u
#define BATCHES 40u     /* of ours, in a round */
#define BATCH_MIN 1000u /* operations; fewer tell nothing */
#define YIELDS 20000u
#define ROUND_TRIPS 5000u
#define LARGE_TRIPS 40u /* a batch takes as long as one of the small ones */
#define CROSS_TRIPS 1000u
#define LIVES 400u
#define IDLE_SIPS 2000u
#define BASE_BATCHES 10u
#define BASE_CALLS 20000u
#define BASE_YIELDS 5000u
#define BASE_TRIPS 1000u
#define BASE_LARGE_TRIPS 50u
#define BASE_SPAWNS 60u
#define NODE 5u

extern char **environ;

static struct nk_kernel *kernel;
static uint8_t bench_digest[IMAGE_DIGEST_BYTES], exit_digest[IMAGE_DIGEST_BYTES];
static const char *hello_path;
static uint32_t ended_count;

static _Noreturn void fail(const char *what)
{
    (void)fprintf(stderr, "bench_local: %s\n", what);
    exit(1);
}

/* --- samples ------------------------------------------------------------------------------------
 */

struct samples {
    double *values;
    size_t count, capacity;
    uint64_t operations;
};

static void sample(struct samples *samples, uint64_t cycles, uint64_t operations)
{
    if (samples->count == samples->capacity) {
        samples->capacity = samples->capacity == 0 ? 256 : samples->capacity * 2;
        samples->values = realloc(samples->values, samples->capacity * sizeof(double));
        if (samples->values == NULL) {
            fail("no memory");
        }
    }
    samples->values[samples->count++] = (double)cycles / (double)operations;
    samples->operations += operations;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double quantile(struct samples *samples, double q)
{
    return samples->values[(size_t)(q * (double)(samples->count - 1) + 0.5)];
}

/* singularity: its published figure for the like, in cycles; 0: none. */
static void tell(const char *metric, const char *baseline_is, uint32_t singularity,
                 struct samples *ours, struct samples *base)
{
    double p50, base_p50;
    char published[16] = "null";

    qsort(ours->values, ours->count, sizeof(double), by_value);
    qsort(base->values, base->count, sizeof(double), by_value);
    p50 = quantile(ours, 0.5);
    base_p50 = quantile(base, 0.5);
    if (singularity != 0) {
        (void)snprintf(published, sizeof(published), "%u", singularity);
    }
    (void)printf("{\"suite\":\"local\",\"metric\":\"%s\",\"unit\":\"cycles\",\"n\":%llu,"
                 "\"min\":%.1f,\"p50\":%.1f,\"p99\":%.1f,\"baseline\":%.1f,\"baseline_is\":\"%s\","
                 "\"ratio\":%.4f,\"singularity\":%s}\n",
                 metric, (unsigned long long)ours->operations, quantile(ours, 0), p50,
                 quantile(ours, 0.99), base_p50, baseline_is, p50 / base_p50, published);
    (void)fflush(stdout);
    free(ours->values);
    free(base->values);
}

/* --- SIPs ---------------------------------------------------------------------------------------
 */

static uint64_t now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void on_ended(void *arg, const struct nk_sip_end *end)
{
    (void)arg;
    ended_count++;
    if (end->how == NK_END_FAULTED || (end->how == NK_END_EXITED && end->exit_code != 7)) {
        (void)fprintf(stderr, "bench_local: sip %s ended with %d\n%s\n", end->name, end->exit_code,
                      end->report == NULL ? "" : end->report);
        exit(1);
    }
}

/* worker: index */
static void sip_create_at(uint64_t number, const char *name, const char *mode, uint32_t worker)
{
    struct nk_config config = {"mode", mode};
    struct nk_sip_options options = {.number = number,
                                     .name = name,
                                     .image_digest = bench_digest,
                                     .config = &config,
                                     .config_count = 1,
                                     .worker = worker + 1};
    char text[256];

    if (nk_sip_create(kernel, &options, text, sizeof(text)) != SF_OK) {
        fail(text);
    }
}

static void sip_create(uint64_t number, const char *name, const char *mode)
{
    sip_create_at(number, name, mode, 0);
}

static void sip_start(uint64_t number)
{
    if (nk_sip_start(kernel, number) != SF_OK) {
        fail("start");
    }
}

static void sips_stop(void)
{
    for (uint64_t number = 1; number <= 2; number++) {
        if (nk_sip_stop(kernel, number, SF_CAUSE_OF(SHUTDOWN)) == SF_NOTFOUND) {
            fail("a measured sip has ended");
        }
    }
}

static uint64_t calls_done(const struct nk_stats *stats)
{
    return stats->calls;
}

static uint64_t switches_done(const struct nk_stats *stats)
{
    return stats->switches;
}

static uint64_t trips_done(const struct nk_stats *stats)
{
    return stats->messages / 2;
}

/*
 * One nk_run of `budget` resumptions. What was done in it is counted, because a tick of the
 * pre-emption timer may end it early; its cost is part of the result, as in real life.
 */
static void run_batch(struct samples *samples, uint32_t budget, uint32_t least,
                      uint64_t (*done)(const struct nk_stats *stats))
{
    struct nk_stats before, after;
    uint64_t t = now(), from, cycles;

    nk_query(kernel, &before);
    from = __rdtsc();
    (void)nk_run(kernel, budget, t);
    cycles = __rdtsc() - from;
    nk_query(kernel, &after);
    if (done(&after) < done(&before) + least) {
        return; /* a tick right at its beginning */
    }
    sample(samples, cycles, done(&after) - done(&before));
}

static void ours_calls(struct samples *samples)
{
    sip_create(1, "a", "calls");
    sip_create(2, "b", "none");
    sip_start(1);
    (void)nk_run(kernel, 1, now());
    for (uint32_t i = 0; i < BATCHES; i++) {
        run_batch(samples, 1, BATCH_MIN, calls_done);
    }
    sips_stop();
}

static void ours_yields(struct samples *samples)
{
    sip_create(1, "a", "yield");
    sip_create(2, "b", "yield");
    sip_start(1);
    sip_start(2);
    (void)nk_run(kernel, 1000, now());
    for (uint32_t i = 0; i < BATCHES; i++) {
        run_batch(samples, YIELDS, BATCH_MIN, switches_done);
    }
    sips_stop();
}

static void trips_of(struct samples *samples, const char *pong, const char *ping, uint32_t trips)
{
    char text[256];

    sip_create(1, "a", pong);
    sip_create(2, "b", ping);
    if (nk_sip_wire(kernel, 2, "peer", NODE, "a.test", text, sizeof(text)) != SF_OK) {
        fail(text);
    }
    sip_start(1);
    sip_start(2);
    (void)nk_run(kernel, 1001, now());
    for (uint32_t i = 0; i < BATCHES; i++) {
        run_batch(samples, 2 * trips, trips / 5, trips_done);
    }
    sips_stop();
}

static void ours_trips(struct samples *samples)
{
    trips_of(samples, "pong", "ping", ROUND_TRIPS);
}

static void ours_any(struct samples *samples)
{
    trips_of(samples, "any64", "ping", ROUND_TRIPS);
}

static void ours_select(struct samples *samples)
{
    trips_of(samples, "select64", "ping", ROUND_TRIPS);
}

static void ours_trips_64k(struct samples *samples)
{
    trips_of(samples, "pong", "ping64k", LARGE_TRIPS);
}

static void ours_trips_1m(struct samples *samples)
{
    trips_of(samples, "pong", "ping1m", LARGE_TRIPS);
}

/* Both workers awake: this thread never sleeps, the other answers within its time of spinning. */
static void ours_cross(struct samples *samples)
{
    char text[256];

    sip_create_at(1, "a", "pong", 1);
    sip_create(2, "b", "ping");
    if (nk_sip_wire(kernel, 2, "peer", NODE, "a.test", text, sizeof(text)) != SF_OK) {
        fail(text);
    }
    sip_start(1);
    sip_start(2);
    for (uint32_t i = 0; i < BATCHES; i++) {
        struct nk_stats before, after;
        uint64_t from = __rdtsc();

        nk_query(kernel, &before);
        do {
            (void)nk_run(kernel, 1000, now());
            nk_query(kernel, &after);
        } while (trips_done(&after) < trips_done(&before) + CROSS_TRIPS);
        sample(samples, __rdtsc() - from, trips_done(&after) - trips_done(&before));
    }
    sips_stop();
}

static void ours_lives(struct samples *samples)
{
    static uint64_t number = 1000;
    struct nk_sip_options options = {.name = "life", .image_digest = exit_digest, .worker = 1};

    for (uint32_t i = 0; i < LIVES; i++) {
        uint32_t before = ended_count;
        uint64_t t = now(), from = __rdtsc();

        options.number = number++;
        if (nk_sip_create(kernel, &options, NULL, 0) != SF_OK ||
            nk_sip_start(kernel, options.number) != SF_OK) {
            fail("create");
        }
        (void)nk_run(kernel, 2, t);
        sample(samples, __rdtsc() - from, 1);
        if (ended_count != before + 1) {
            fail("it did not end");
        }
    }
}

/* --- Linux --------------------------------------------------------------------------------------
 */

static void base_calls(struct samples *samples)
{
    for (uint32_t i = 0; i < BASE_BATCHES; i++) {
        uint64_t from = __rdtsc();

        for (uint32_t k = 0; k < BASE_CALLS; k++) {
            (void)syscall(SYS_getpid);
        }
        sample(samples, __rdtsc() - from, BASE_CALLS);
    }
}

static pid_t child_start(void)
{
    pid_t pid = fork();

    if (pid < 0) {
        fail("fork");
    }
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    return pid;
}

static void child_end(pid_t pid)
{
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
}

static void base_yields(struct samples *samples)
{
    pid_t pid = child_start();

    if (pid == 0) {
        for (;;) {
            (void)sched_yield();
        }
    }
    for (uint32_t i = 0; i < BASE_BATCHES; i++) {
        uint64_t from = __rdtsc();

        for (uint32_t k = 0; k < BASE_YIELDS; k++) {
            (void)sched_yield();
        }
        /* Each of ours let the child yield once, too. */
        sample(samples, __rdtsc() - from, 2 * BASE_YIELDS);
    }
    child_end(pid);
}

/* A pipe takes 64 KiB at most in one piece. */
static int read_all(int fd, char *data, size_t bytes)
{
    size_t done = 0;

    while (done < bytes) {
        ssize_t n = read(fd, data + done, bytes - done);

        if (n <= 0) {
            return 0;
        }
        done += (size_t)n;
    }
    return 1;
}

static int write_all(int fd, const char *data, size_t bytes)
{
    size_t done = 0;

    while (done < bytes) {
        ssize_t n = write(fd, data + done, bytes - done);

        if (n <= 0) {
            return 0;
        }
        done += (size_t)n;
    }
    return 1;
}

static void base_trips_of(struct samples *samples, size_t bytes, uint32_t trips)
{
    static char data[1u << 20];
    int there[2], back[2];
    pid_t pid;

    if (pipe(there) != 0 || pipe(back) != 0) {
        fail("pipe");
    }
    pid = child_start();
    if (pid == 0) {
        while (read_all(there[0], data, bytes) && write_all(back[1], data, bytes)) {
        }
        _exit(0);
    }
    for (uint32_t i = 0; i < BASE_BATCHES; i++) {
        uint64_t from = __rdtsc();

        for (uint32_t k = 0; k < trips; k++) {
            if (!write_all(there[1], data, bytes) || !read_all(back[0], data, bytes)) {
                fail("pipe ping-pong");
            }
        }
        sample(samples, __rdtsc() - from, trips);
    }
    child_end(pid);
    for (int i = 0; i < 2; i++) {
        (void)close(there[i]);
        (void)close(back[i]);
    }
}

static void base_trips(struct samples *samples)
{
    base_trips_of(samples, 64, BASE_TRIPS);
}

static void base_trips_64k(struct samples *samples)
{
    base_trips_of(samples, 64u << 10, BASE_LARGE_TRIPS);
}

static void base_trips_1m(struct samples *samples)
{
    base_trips_of(samples, 1u << 20, BASE_LARGE_TRIPS);
}

struct ball {
    uint32_t turn __attribute__((aligned(64))); /* whose it is: futex */
    uint32_t stop;
};

static void ball_wait(struct ball *ball, uint32_t turn)
{
    while (__atomic_load_n(&ball->turn, __ATOMIC_ACQUIRE) != turn) {
        (void)syscall(SYS_futex, &ball->turn, FUTEX_WAIT_PRIVATE, !turn, NULL, NULL, 0);
    }
}

static void ball_pass(struct ball *ball, uint32_t turn)
{
    __atomic_store_n(&ball->turn, turn, __ATOMIC_RELEASE);
    (void)syscall(SYS_futex, &ball->turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *ball_player(void *arg)
{
    struct ball *ball = arg;
    cpu_set_t all;

    CPU_ZERO(&all);
    for (int i = 0; i < CPU_SETSIZE; i++) {
        CPU_SET((size_t)i, &all);
    }
    (void)sched_setaffinity(0, sizeof(all), &all);
    for (;;) {
        ball_wait(ball, 1);
        if (ball->stop) {
            return NULL;
        }
        ball_pass(ball, 0);
    }
}

/* Two threads that hand a turn to each other by futex. */
static void base_cross(struct samples *samples)
{
    struct ball ball = {0};
    pthread_t thread;

    if (pthread_create(&thread, NULL, ball_player, &ball) != 0) {
        fail("pthread_create");
    }
    for (uint32_t i = 0; i < BASE_BATCHES; i++) {
        uint64_t from = __rdtsc();

        for (uint32_t k = 0; k < BASE_TRIPS; k++) {
            ball_pass(&ball, 1);
            ball_wait(&ball, 0);
        }
        sample(samples, __rdtsc() - from, BASE_TRIPS);
    }
    ball.stop = 1;
    ball_pass(&ball, 1);
    (void)pthread_join(thread, NULL);
}

static void base_lives(struct samples *samples)
{
    char *argv[] = {(char *)hello_path, NULL};

    for (uint32_t i = 0; i < BASE_SPAWNS; i++) {
        uint64_t from = __rdtsc();
        int status;
        pid_t pid;

        if (posix_spawn(&pid, hello_path, NULL, NULL, argv, environ) != 0 ||
            waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 7) {
            fail("posix_spawn");
        }
        sample(samples, __rdtsc() - from, 1);
    }
}

/* --- all of it -----------------------------------------------------------------------------------
 */

static void image_add(const char *path, uint8_t digest[IMAGE_DIGEST_BYTES])
{
    static uint8_t bytes[4u << 20];
    FILE *file = fopen(path, "rb");
    size_t length;
    char text[256];

    if (file == NULL) {
        fail(path);
    }
    length = fread(bytes, 1, sizeof(bytes), file);
    (void)fclose(file);
    if (nk_image_add(kernel, bytes, length, digest, text, sizeof(text)) != SF_OK) {
        fail(text);
    }
}

static unsigned long memory_kib(pid_t pid)
{
    unsigned long resident = 0, tables = 0;
    char line[256];
    FILE *file;

    (void)snprintf(line, sizeof(line), "/proc/%d/status", (int)pid);
    file = fopen(line, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        (void)sscanf(line, "VmRSS: %lu", &resident);
        (void)sscanf(line, "VmPTE: %lu", &tables);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return resident + tables;
}

/* What IDLE_SIPS that wait take; the same for processes that wait. */
static void tell_idle(const char *path)
{
    struct nk_options options = {.node_name = "bench",
                                 .node_id = NODE,
                                 .epoch = 1,
                                 .trust = &image_trust_anyone,
                                 .slot_count = IDLE_SIPS,
                                 .heap_bytes = 16u << 20};
    uint8_t digest[IMAGE_DIGEST_BYTES];
    char *argv[] = {(char *)hello_path, "wait", NULL};
    unsigned long before, base;
    pid_t pid;
    double kib;

    if (nk_kernel_create(&options, &kernel, NULL, 0) != SF_OK) {
        fail("kernel");
    }
    image_add(path, digest);
    before = memory_kib(getpid());
    for (uint64_t number = 1; number <= IDLE_SIPS; number++) {
        struct nk_sip_options sip = {.number = number, .name = "idle", .image_digest = digest};

        if (nk_sip_create(kernel, &sip, NULL, 0) != SF_OK ||
            nk_sip_start(kernel, number) != SF_OK) {
            fail("idle sip");
        }
    }
    while (nk_run(kernel, 1000, now())) {
    }
    kib = (double)(memory_kib(getpid()) - before) / IDLE_SIPS;
    nk_kernel_destroy(kernel);
    if (posix_spawn(&pid, hello_path, NULL, NULL, argv, environ) != 0) {
        fail("posix_spawn");
    }
    (void)usleep(50000);
    base = memory_kib(pid);
    child_end(pid);
    (void)printf("{\"suite\":\"local\",\"metric\":\"idle_sip_kib\",\"unit\":\"KiB\",\"n\":%u,"
                 "\"min\":%.1f,\"p50\":%.1f,\"p99\":%.1f,\"baseline\":%.1f,"
                 "\"baseline_is\":\"a static program\",\"ratio\":%.4f,\"singularity\":408}\n",
                 IDLE_SIPS, kib, kib, kib, (double)base, kib / (double)base);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *metric;
        void (*ours)(struct samples *samples);
        const char *baseline_is;
        void (*base)(struct samples *samples);
        uint32_t singularity;
    } metrics[] = {
        {"api_call", ours_calls, "getpid", base_calls, 80},
        {"yield", ours_yields, "sched_yield of two processes", base_yields, 365},
        {"pingpong64", ours_trips, "two pipes", base_trips, 1040},
        {"pingpong_64k", ours_trips_64k, "two pipes", base_trips_64k, 920}, /* not touched there */
        {"pingpong_1m", ours_trips_1m, "two pipes", base_trips_1m, 920},    /* likewise */
        {"pingpong64_cross", ours_cross, "futex of two threads", base_cross, 0},
        {"select64", ours_any, "pingpong64", ours_trips, 0},
        {"select64_then_recv", ours_select, "pingpong64", ours_trips, 0},
        {"create_start_exit", ours_lives, "posix_spawn", base_lives, 388000},
    };
    struct nk_options options = {.node_name = "bench",
                                 .node_id = NODE,
                                 .epoch = 1,
                                 .trust = &image_trust_anyone,
                                 .worker_count = 2,
                                 .slot_count = 16,
                                 .heap_bytes = 16u << 20,
                                 .events = {.ended = on_ended}};
    char text[256];
    cpu_set_t cpus;

    if (argc != 5) {
        (void)fprintf(stderr, "usage: bench_local bench.sip exit.sip idle.sip hello\n");
        return 2;
    }
    if (nk_kernel_create(&options, &kernel, text, sizeof(text)) != SF_OK) {
        fail(text);
    }
    CPU_ZERO(&cpus);
    CPU_SET((size_t)sched_getcpu(), &cpus);
    if (sched_setaffinity(0, sizeof(cpus), &cpus) != 0) {
        fail("sched_setaffinity");
    }
    image_add(argv[1], bench_digest);
    image_add(argv[2], exit_digest);
    hello_path = argv[4];
    for (size_t m = 0; m < sizeof(metrics) / sizeof(metrics[0]); m++) {
        struct samples ours = {0}, base = {0};

        for (uint32_t round = 0; round < ROUNDS; round++) {
            metrics[m].ours(&ours);
            metrics[m].base(&base);
        }
        tell(metrics[m].metric, metrics[m].baseline_is, metrics[m].singularity, &ours, &base);
    }
    nk_kernel_destroy(kernel);
    tell_idle(argv[3]);
    return 0;
}
