/* SPDX-License-Identifier: Apache-2.0 */
#include "test_world.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "internal.h"

struct world world;

void show(const char *text)
{
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");

        (void)printf("# %.*s\n", (int)length, text);
        text += length + (text[length] != '\0');
    }
    (void)fflush(stdout);
}

/* --- the world ----------------------------------------------------------------------------------
 */

static void on_log(void *arg, uint64_t sip, const char *text, uint32_t bytes)
{
    char *line = world.logs[sip % WORLD_LOGS];

    (void)arg;
    if (world.options.on_log != NULL) {
        world.options.on_log(sip, text, bytes);
        return;
    }
    (void)snprintf(line, sizeof(world.logs[0]), "%.*s", (int)bytes, text);
    world.log = line;
    if (!world.quiet) {
        char shown[NK_LOG_BYTES_MAX + 32];

        (void)snprintf(shown, sizeof(shown), "sip %u: %.*s", (unsigned)sip, (int)bytes, text);
        show(shown);
    }
}

static void on_ended(void *arg, const struct nk_sip_end *end)
{
    struct end *noted = &world.ends[end->sip % WORLD_ENDS];

    (void)arg;
    assert_false(noted->ended && noted->sip == end->sip);
    *noted = (struct end){end->sip, true, (int)end->how, end->exit_code, end->fault};
    world.end_count++;
    if (end->report != NULL) {
        (void)snprintf(world.report, sizeof(world.report), "%s", end->report);
        if (!world.quiet) {
            show(end->report);
        }
    }
    if (world.options.on_ended != NULL) {
        world.options.on_ended(end);
    }
}

/* The test before failed half way: maybe while the workers stood still. */
static void world_abandon(void)
{
    while (world.kernel != NULL && world.kernel->pause > 0) {
        nk_resume(world.kernel);
    }
    nk_kernel_destroy(world.kernel);
}

void world_make(const struct world_options *options)
{
    struct nk_options kernel = options->kernel;
    char text[256] = "";

    (void)setvbuf(stdout, NULL, _IOLBF, 0); /* a test that hangs has shown what it got to */
    world_abandon();
    memset(&world, 0, sizeof(world));
    world.options = *options;
    world.log = "";
    kernel.node_name = "testnode";
    kernel.node_id = kernel.node_id == 0 ? NODE : kernel.node_id;
    kernel.epoch = 1;
    kernel.events = (struct nk_events){.log = on_log, .ended = on_ended};
    if (kernel.trust == NULL) {
        kernel.trust = &image_trust_anyone;
    }
    if (nk_kernel_create(&kernel, &world.kernel, text, sizeof(text)) != SF_OK) {
        fail_msg("%s", text);
    }
}

void world_end(void)
{
    struct nk_stats stats;

    nk_query(world.kernel, &stats);
    assert_int_equal(stats.sip_count, 0);
    assert_clean(0, 0);
    nk_kernel_destroy(world.kernel);
    world.kernel = NULL;
}

void world_body(void **state)
{
    void (*body)(void **) = (void (*)(void **)) * state;

    body(state);
}

struct bytes file_read(const char *path)
{
    struct bytes bytes = {0};
    FILE *file = fopen(path, "rb");

    if (file == NULL) {
        (void)fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    (void)fseek(file, 0, SEEK_END);
    bytes.length = (size_t)ftell(file);
    rewind(file);
    bytes.data = malloc(bytes.length); /* no more: sanitizers see who reads beyond */
    if (bytes.data == NULL || fread(bytes.data, 1, bytes.length, file) != bytes.length) {
        (void)fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    (void)fclose(file);
    return bytes;
}

void image_add(const struct bytes *image, uint8_t *out_digest)
{
    char text[512] = "";

    if (nk_image_add(world.kernel, image->data, image->length, out_digest, text, sizeof(text)) !=
        SF_OK) {
        fail_msg("%s", text);
    }
}

/* --- SIPs ---------------------------------------------------------------------------------------
 */

void sip_create(uint64_t number, const char *name, const uint8_t *digest, const char *mode,
                uint32_t worker)
{
    const struct nk_config config[] = {{"mode", mode}, world.options.config};
    const struct nk_sip_options options = {.number = number,
                                           .name = name,
                                           .image_digest = digest,
                                           .config = config,
                                           .config_count = config[1].key == NULL ? 1 : 2,
                                           .worker = worker};
    char text[256] = "";

    world.ends[number % WORLD_ENDS] = (struct end){0};
    if (nk_sip_create(world.kernel, &options, text, sizeof(text)) != SF_OK) {
        fail_msg("%s", text);
    }
}

void wire(uint64_t number, const char *export_name)
{
    const uint16_t node = fab_node_id(nk_kernel_fabric(world.kernel));
    char text[256] = "";

    if (nk_sip_wire(world.kernel, number, "peer", node, export_name, text, sizeof(text)) != SF_OK) {
        fail_msg("%s", text);
    }
}

void start(uint64_t number)
{
    assert_int_equal(nk_sip_start(world.kernel, number), SF_OK);
}

void stop(uint64_t number)
{
    assert_int_equal(nk_sip_stop(world.kernel, number, SF_CAUSE_OF(REVOKED)), SF_OK);
}

/* --- time ---------------------------------------------------------------------------------------
 */

uint64_t now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void run_all(void)
{
    const uint64_t end = now() + world.options.run_seconds_max * 1000000000ull;

    for (;;) {
        uint64_t next;

        while (nk_run(world.kernel, 1000, now())) {
            assert_true(now() < end);
        }
        next = nk_next_deadline(world.kernel);
        if (next == UINT64_MAX) {
            return;
        }
        if (next > now()) {
            struct timespec t = {0, 200000};

            (void)nanosleep(&t, NULL);
        }
        assert_true(now() < end);
    }
}

void run_until_ended(uint64_t count)
{
    const uint64_t end = now() + world.options.run_seconds_max * 1000000000ull;

    while (world.end_count < count) {
        (void)nk_run(world.kernel, 1000, now());
        assert_true(now() < end);
    }
}

/* --- what became of it --------------------------------------------------------------------------
 */

const struct end *end_of(uint64_t number)
{
    const struct end *end = &world.ends[number % WORLD_ENDS];

    return end->ended && end->sip == number ? end : NULL;
}

void assert_exited(uint64_t number, int code)
{
    const struct end *end = end_of(number);

    assert_non_null(end);
    if (end->how == NK_END_FAULTED) {
        fail_msg("SIP %u faulted; the last report: %s", (unsigned)number, world.report);
    }
    assert_int_equal(end->how, NK_END_EXITED);
    assert_int_equal(end->exit_code, code);
}

void assert_faulted(uint64_t number, int fault)
{
    const struct end *end = end_of(number);

    assert_non_null(end);
    assert_int_equal(end->how, NK_END_FAULTED);
    assert_int_equal(end->fault, fault);
}

static void count_ep(void *arg, const struct fab_ep *ep)
{
    (void)ep;
    ++*(uint32_t *)arg;
}

uint32_t endpoint_count(void)
{
    uint32_t count = 0;

    nk_pause(world.kernel);
    fab_ep_walk(nk_kernel_fabric(world.kernel), count_ep, &count);
    nk_resume(world.kernel);
    return count;
}

void assert_audits(void)
{
    const char *text = "";
    sf_status st;

    nk_pause(world.kernel);
    st = nk_audit(world.kernel, &text);
    nk_resume(world.kernel);
    if (st != SF_OK) {
        fail_msg("%s", text);
    }
}

void assert_clean(uint32_t endpoints, uint64_t blocks)
{
    struct xh_stats heap;

    assert_audits();
    assert_int_equal(endpoint_count(), endpoints);
    xh_query(nk_kernel_heap(world.kernel), &heap);
    assert_int_equal(heap.block_count, blocks);
}

struct usage usage_now(void)
{
    struct usage usage = {0};
    FILE *file = fopen("/proc/self/status", "r");
    DIR *dir = opendir("/proc/self/fd");
    char line[512];

    assert_non_null(file);
    assert_non_null(dir);
    while (fgets(line, sizeof(line), file) != NULL) {
        (void)sscanf(line, "VmRSS: %lu", &usage.resident_kib);
        (void)sscanf(line, "VmPTE: %lu", &usage.tables_kib);
    }
    (void)fclose(file);
    while (readdir(dir) != NULL) {
        usage.fds++;
    }
    (void)closedir(dir);
    file = fopen("/proc/self/maps", "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        usage.maps++;
    }
    (void)fclose(file);
    return usage;
}
