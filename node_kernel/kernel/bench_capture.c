/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a SIP stands still on the kernel's side of a move, in microseconds, beside a memcpy of
 * the same bytes in the same run: argv = mover_large.sip (test_sips/mover.c, mode "filled").
 *
 * Method: one core, one kernel. A SIP has so much memory touched, none of it zero, and waits. It is
 * frozen and captured into memory that is there; released; restored from it, and thawed. So all of
 * its bytes are copied twice, and the restored pages are new: they cost a page fault each. What is
 * not there is the way between two nodes.
 *   capture_N     freeze, capture
 *   restore_N     release, restore, thaw
 *   precopied_N   freeze, capture, after a round of pre-copy; the SIP has not written since
 * N: KiB touched. min, p50, p99 over single ones. baseline: p50 of a memcpy between warm buffers.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "capture.h"
#include "nk.h"

#define TIMES_MAX 200u
#define BYTES_MAX (80u << 20)
#define EPS_MAX 16u

static struct nk_kernel *kernel;
static uint8_t digest[IMAGE_DIGEST_BYTES];
static uint8_t *stream, *copy;
static size_t stream_bytes;

static _Noreturn void fail(const char *what)
{
    (void)fprintf(stderr, "bench_capture: %s\n", what);
    exit(1);
}

static void must(sf_status st, const char *what)
{
    if (st != SF_OK) {
        (void)fprintf(stderr, "bench_capture: %s: %s\n", what, sf_status_text(st));
        exit(1);
    }
}

static uint64_t now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static sf_status keep(void *arg, const void *bytes, size_t length)
{
    (void)arg;
    if (length > BYTES_MAX - stream_bytes) {
        return SF_LIMIT;
    }
    memcpy(stream + stream_bytes, bytes, length);
    stream_bytes += length;
    return SF_OK;
}

/* --- samples ------------------------------------------------------------------------------------
 */

struct samples {
    double us[TIMES_MAX];
    uint32_t count;
};

static void sample(struct samples *samples, uint64_t from_ns)
{
    samples->us[samples->count++] = (double)(now() - from_ns) / 1000.0;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double quantile(const struct samples *samples, double q)
{
    return samples->us[(size_t)(q * (double)(samples->count - 1) + 0.5)];
}

static void tell(const char *metric, uint32_t kib, struct samples *ours, struct samples *base)
{
    qsort(ours->us, ours->count, sizeof(double), by_value);
    qsort(base->us, base->count, sizeof(double), by_value);
    (void)printf("{\"suite\":\"move\",\"metric\":\"%s_%u\",\"unit\":\"us\",\"n\":%u,"
                 "\"min\":%.1f,\"p50\":%.1f,\"p99\":%.1f,\"baseline\":%.1f,"
                 "\"baseline_is\":\"memcpy of %zu bytes\",\"ratio\":%.2f}\n",
                 metric, kib, ours->count, quantile(ours, 0), quantile(ours, 0.5),
                 quantile(ours, 0.99), quantile(base, 0.5), stream_bytes,
                 quantile(ours, 0.5) / quantile(base, 0.5));
}

/* --- one size -----------------------------------------------------------------------------------
 */

static void run_idle(void)
{
    while (nk_run(kernel, 100, now())) {
    }
}

static void sip_make(uint32_t kib)
{
    char size[16];
    const struct nk_config config[] = {{"mode", "filled"}, {"kib", size}};
    const struct nk_sip_options options = {
        .number = 1, .name = "m", .image_digest = digest, .config = config, .config_count = 2};

    (void)snprintf(size, sizeof(size), "%u", kib);
    must(nk_sip_create(kernel, &options, NULL, 0), "create");
    must(nk_sip_start(kernel, 1), "start");
    run_idle();
}

static void hop(struct samples *capture, struct samples *restoring)
{
    struct nk_restore *restore = NULL;
    struct fab_ep *eps[EPS_MAX];
    uint32_t ep_count = 0;
    uint64_t from = now();

    stream_bytes = 0;
    must(nk_sip_freeze(kernel, 1, NULL, 0), "freeze");
    must(nk_sip_endpoints(kernel, 1, eps, EPS_MAX, &ep_count), "endpoints");
    must(nk_sip_capture(kernel, 1, NULL, NULL, keep, NULL, NULL), "capture");
    sample(capture, from);
    from = now();
    must(nk_sip_release(kernel, 1), "release");
    must(nk_restore_create(kernel, NULL, &restore), "restore");
    must(nk_restore_feed(restore, stream, stream_bytes, NULL, 0), "feed");
    must(nk_restore_finish(restore, eps, ep_count, NULL, 0), "finish");
    must(nk_sip_thaw(kernel, 1), "thaw");
    sample(restoring, from);
    run_idle();
}

/* False: this system has no way to see what was written. */
static bool precopied(struct samples *rest)
{
    struct nk_precopy *precopy = NULL;
    sf_status st = nk_precopy_create(kernel, 1, &precopy);
    uint64_t from;
    bool over;

    if (st == SF_UNSUPPORTED) {
        return false;
    }
    must(st, "pre-copy");
    stream_bytes = 0;
    must(nk_precopy_step(precopy, UINT64_MAX, keep, NULL, NULL, &over), "round");
    from = now();
    must(nk_sip_freeze(kernel, 1, NULL, 0), "freeze");
    must(nk_sip_capture(kernel, 1, NULL, precopy, keep, NULL, NULL), "capture");
    sample(rest, from);
    nk_precopy_destroy(precopy);
    must(nk_sip_thaw(kernel, 1), "thaw");
    run_idle();
    return true;
}

static void size_measure(uint32_t kib, uint32_t times)
{
    static struct samples capture, restoring, rest, base;
    bool has_precopy = true;

    capture.count = restoring.count = rest.count = base.count = 0;
    sip_make(kib);
    for (uint32_t i = 0; i < times; i++) {
        uint64_t from;

        has_precopy = has_precopy && precopied(&rest);
        hop(&capture, &restoring);
        from = now();
        memcpy(copy, stream, stream_bytes);
        sample(&base, from);
    }
    if (stream_bytes < (size_t)kib << 10) {
        fail("it has not touched its memory");
    }
    tell("capture", kib, &capture, &base);
    tell("restore", kib, &restoring, &base);
    if (has_precopy) {
        tell("precopied", kib, &rest, &base);
    }
    must(nk_sip_stop(kernel, 1, SF_CAUSE_OF(REVOKED)), "stop");
}

static void image_add(const char *path)
{
    static uint8_t bytes[1u << 20];
    FILE *file = fopen(path, "rb");
    size_t length;
    char text[256] = "";

    if (file == NULL) {
        fail(path);
    }
    length = fread(bytes, 1, sizeof(bytes), file);
    (void)fclose(file);
    if (nk_image_add(kernel, bytes, length, digest, text, sizeof(text)) != SF_OK) {
        fail(text);
    }
}

int main(int argc, char **argv)
{
    const struct nk_options options = {.node_name = "bench",
                                       .node_id = 5,
                                       .epoch = 1,
                                       .trust = &image_trust_anyone,
                                       .slot_count = 16,
                                       .heap_bytes = 16u << 20};
    char text[256] = "";
    cpu_set_t cpus;

    if (argc != 2) {
        (void)fprintf(stderr, "usage: bench_capture mover_large.sip\n");
        return 2;
    }
    CPU_ZERO(&cpus);
    CPU_SET((size_t)sched_getcpu(), &cpus);
    if (sched_setaffinity(0, sizeof(cpus), &cpus) != 0) {
        fail("sched_setaffinity");
    }
    if (nk_kernel_create(&options, &kernel, text, sizeof(text)) != SF_OK) {
        fail(text);
    }
    stream = malloc(BYTES_MAX);
    copy = malloc(BYTES_MAX);
    if (stream == NULL || copy == NULL) {
        fail("no memory");
    }
    memset(stream, 1, BYTES_MAX);
    memset(copy, 1, BYTES_MAX);
    image_add(argv[1]);
    size_measure(64, 200);
    size_measure(1024, 200);
    size_measure(16384, 40);
    size_measure(61440, 15);
    nk_kernel_destroy(kernel);
    free(stream);
    free(copy);
    return 0;
}
