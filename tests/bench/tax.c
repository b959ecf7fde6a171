/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the checks of sealed SIPs cost: the same source in mode wasm and in mode native, in one
 * process, in cycles of the time-stamp counter.
 *
 * Method: pinned to one core. A sample is one life of a SIP, from its start to its exit, with work
 * for about a millisecond; one in which Linux gave the core to somebody else is repeated; the web
 * server's is REQUESTS requests, made by a stand-in for the TCP service (a sealed SIP in both
 * cases), divided by their number. The modes take turns in rounds, so that both see the same noise.
 * Both must have computed the same. ratio      wasm / native of the medians ratio_min  of the
 * smallest samples: what it is when nobody else uses the machine The last lines are medians over
 * the compute SIPs. Singularity's run-time checks cost 4.9 % on its web server.
 *
 * Arguments: peer.sip, then for each program: name, wasm image, native image; "web" is the server.
 */
#include <sched.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <x86intrin.h>

#include "nk.h"

#define ROUNDS 60u
#define REPEATS_MAX 2000u /* of all samples that Linux interrupted */
#define PROGRAMS_MAX 16u
#define SAMPLE_CYCLES 1500000u /* wanted; work is given in rounds of the program's own */
#define WORK_MAX 4000u
#define REQUESTS 200u
#define NODE 5u

enum { WASM, NATIVE, MODES };

struct life {
    uint64_t cycles;
    bool disturbed;
    int32_t exit_code;
    char result[64];
};

static struct nk_kernel *kernel;
static uint8_t peer_digest[IMAGE_DIGEST_BYTES];
static uint64_t number = 1;
/* Of the life that runs: the SIP whose end it waits for, and what came of it. */
static uint64_t awaited;
static bool ended;
static struct life life;

static _Noreturn void fail(const char *what, const char *detail)
{
    (void)fprintf(stderr, "bench tax: %s: %s\n", what, detail);
    exit(1);
}

static uint64_t now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void on_log(void *arg, uint64_t sip, const char *text, uint32_t bytes)
{
    (void)arg;
    if (sip == awaited && bytes > 6 && memcmp(text, "result", 6) == 0) {
        (void)snprintf(life.result, sizeof(life.result), "%.*s", (int)bytes, text);
    }
}

static void on_ended(void *arg, const struct nk_sip_end *end)
{
    (void)arg;
    if (end->how == NK_END_FAULTED) {
        fail(end->name, end->report);
    }
    if (end->sip == awaited) {
        ended = true;
        life.exit_code = end->exit_code;
    }
}

static struct image_secret secret; /* native images must be signed */

static void image_add(const char *path, uint8_t digest[IMAGE_DIGEST_BYTES])
{
    static uint8_t bytes[8u << 20];
    FILE *file = fopen(path, "rb");
    uint8_t *signed_bytes;
    size_t length;
    char text[512];

    if (file == NULL) {
        fail(path, "cannot be read");
    }
    length = fread(bytes, 1, sizeof(bytes), file);
    (void)fclose(file);
    if (image_sign(bytes, length, &secret, &signed_bytes, &length) != SF_OK ||
        nk_image_add(kernel, signed_bytes, length, digest, text, sizeof(text)) != SF_OK) {
        fail(path, text);
    }
    free(signed_bytes);
}

/* --- lives --------------------------------------------------------------------------------------
 */

static uint64_t create(const char *name, const uint8_t *digest, uint32_t rounds)
{
    char value[16], text[256];
    const struct nk_config config = {"rounds", value};
    const struct nk_sip_options options = {.number = number,
                                           .name = name,
                                           .image_digest = digest,
                                           .config = &config,
                                           .config_count = 1};

    (void)snprintf(value, sizeof(value), "%u", rounds);
    if (nk_sip_create(kernel, &options, text, sizeof(text)) != SF_OK) {
        fail(name, text);
    }
    return number++;
}

static void start(uint64_t sip)
{
    if (nk_sip_start(kernel, sip) != SF_OK) {
        fail("start", "refused");
    }
}

static long switches(void)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nivcsw;
}

/* From here to the end of `sip`. */
static void run_to_end(uint64_t sip)
{
    const long switched = switches();
    const uint64_t from = __rdtsc();

    while (!ended) {
        if (!nk_run(kernel, 1u << 20, now())) {
            fail("nothing is ready", life.result);
        }
    }
    life.cycles = __rdtsc() - from;
    life.disturbed = switches() != switched;
    if (life.result[0] == '\0') {
        (void)snprintf(life.result, sizeof(life.result), "sip %llu: exit code %d",
                       (unsigned long long)sip, life.exit_code);
        fail("no result", life.result);
    }
}

static struct life compute(const uint8_t *digest, uint32_t rounds)
{
    const uint64_t sip = create("compute", digest, rounds);

    awaited = sip;
    ended = false;
    life = (struct life){0};
    start(sip);
    run_to_end(sip);
    return life;
}

static struct life serve(const uint8_t *digest, uint32_t rounds)
{
    const uint64_t peer = create("tcp", peer_digest, rounds);
    const uint64_t web = create("web", digest, 0);
    char text[256];

    if (nk_sip_wire(kernel, web, "tcp", NODE, "tcp.tcp", text, sizeof(text)) != SF_OK) {
        fail("web.tcp", text);
    }
    awaited = peer;
    ended = false;
    life = (struct life){0};
    start(peer);
    start(web);
    run_to_end(peer);
    while (nk_run(kernel, 1000, now())) { /* the server sees that its service is gone, and ends */
    }
    if (nk_sip_stop(kernel, web, SF_CAUSE_OF(SHUTDOWN)) != SF_NOTFOUND) {
        fail("web", "it did not end");
    }
    return life;
}

/* --- programs -----------------------------------------------------------------------------------
 */

struct program {
    const char *name;
    uint8_t digest[MODES][IMAGE_DIGEST_BYTES];
    struct life (*live)(const uint8_t *digest, uint32_t rounds);
    uint32_t rounds;
    uint32_t per; /* operations in a sample, by which it is divided */
    double samples[MODES][ROUNDS];
    double ratio, ratio_min;
};

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void choose_work(struct program *p)
{
    if (strcmp(p->name, "web") == 0) {
        p->live = serve;
        p->rounds = p->per = REQUESTS;
        return;
    }
    p->live = compute;
    p->per = 1;
    p->rounds = 1;
    while (p->rounds < WORK_MAX && compute(p->digest[NATIVE], p->rounds).cycles < SAMPLE_CYCLES) {
        p->rounds *= 2;
    }
}

static void measure(struct program *p)
{
    uint32_t repeats = 0;

    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct life lives[MODES];

        for (uint32_t i = 0; i < MODES; i++) {
            const uint32_t mode = (i + round) % MODES; /* neither is always the first */

            do {
                lives[mode] = p->live(p->digest[mode], p->rounds);
            } while (lives[mode].disturbed && repeats++ < REPEATS_MAX);
            p->samples[mode][round] = (double)lives[mode].cycles / p->per;
        }
        if (lives[WASM].exit_code != lives[NATIVE].exit_code ||
            strcmp(lives[WASM].result, lives[NATIVE].result) != 0) {
            (void)fprintf(stderr, "bench tax: %s, %u rounds: wasm %s, native %s\n", p->name,
                          p->rounds, lives[WASM].result, lives[NATIVE].result);
            fail(p->name, "the two modes computed different things");
        }
    }
}

static void tell(struct program *p)
{
    const uint32_t middle = ROUNDS / 2, most = ROUNDS * 99 / 100;
    double *wasm = p->samples[WASM], *native = p->samples[NATIVE];

    qsort(wasm, ROUNDS, sizeof(double), by_value);
    qsort(native, ROUNDS, sizeof(double), by_value);
    p->ratio = wasm[middle] / native[middle];
    p->ratio_min = wasm[0] / native[0];
    (void)printf("{\"suite\":\"tax\",\"metric\":\"%s\",\"unit\":\"cycles\",\"n\":%u,"
                 "\"min\":%.0f,\"p50\":%.0f,\"p99\":%.0f,\"baseline\":%.0f,\"baseline_min\":%.0f,"
                 "\"ratio\":%.4f,\"ratio_min\":%.4f}\n",
                 p->name, ROUNDS, wasm[0], wasm[middle], wasm[most], native[middle], native[0],
                 p->ratio, p->ratio_min);
    (void)fflush(stdout);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof(double), by_value);
    return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static void tell_median(const struct program *programs, size_t count)
{
    double ratio[PROGRAMS_MAX], ratio_min[PROGRAMS_MAX];
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        if (programs[i].live == compute) {
            ratio[used] = programs[i].ratio;
            ratio_min[used++] = programs[i].ratio_min;
        }
    }
    if (used > 0) {
        (void)printf("{\"suite\":\"tax\",\"metric\":\"compute_median\",\"unit\":\"ratio\","
                     "\"n\":%zu,\"ratio\":%.4f,\"ratio_min\":%.4f}\n",
                     used, median(ratio, used), median(ratio_min, used));
    }
}

int main(int argc, char **argv)
{
    static struct program programs[PROGRAMS_MAX];
    struct image_trust trust = {.allow_unsigned = false};
    struct image_key key;
    const struct nk_options options = {.node_name = "bench",
                                       .trust = &trust,
                                       .node_id = NODE,
                                       .epoch = 1,
                                       .slot_count = 16,
                                       .heap_bytes = 16u << 20,
                                       .allow_native = true,
                                       .events = {.log = on_log, .ended = on_ended}};
    const size_t count = argc < 5 ? 0 : (size_t)(argc - 2) / 3;
    char text[256];
    cpu_set_t cpus;

    if (count == 0 || count > PROGRAMS_MAX || (argc - 2) % 3 != 0) {
        (void)fprintf(stderr, "usage: bench_tax peer.sip (NAME wasm.sip native.sip)...\n");
        return 2;
    }
    CPU_ZERO(&cpus);
    CPU_SET((size_t)sched_getcpu(), &cpus);
    if (sched_setaffinity(0, sizeof(cpus), &cpus) != 0) {
        fail("sched_setaffinity", "refused");
    }
    if (sodium_init() < 0) {
        fail("libsodium", "does not start");
    }
    image_secret_make("bench", &secret);
    image_secret_public(&secret, &key);
    if (image_trust_add(&trust, &key) != SF_OK ||
        nk_kernel_create(&options, &kernel, text, sizeof(text)) != SF_OK) {
        fail("kernel", text);
    }
    image_add(argv[1], peer_digest);
    for (size_t i = 0; i < count; i++) {
        struct program *p = &programs[i];

        p->name = argv[2 + 3 * i];
        for (uint32_t mode = 0; mode < MODES; mode++) {
            image_add(argv[3 + 3 * i + mode], p->digest[mode]);
        }
        choose_work(p);
        measure(p);
        tell(p);
    }
    tell_median(programs, count);
    nk_kernel_destroy(kernel);
    return 0;
}
