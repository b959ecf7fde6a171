/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIPs that are frozen, captured, released, restored and thawed while they work, hundreds of times,
 * and do not notice: argv = mover.sip, mover_large.sip (test_sips/mover.c).
 */
#include "capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "test_world.h"

#define SLOT_FIRST 100u
#define LARGE_FIRST 7u
#define MOVER 1u
#define DRIVER 2u
#define EPS_MAX 1024u

enum { SMALL, LARGE, IMAGES };
static struct bytes images[IMAGES];
static uint8_t digests[IMAGES][IMAGE_DIGEST_BYTES];

static struct bytes capture; /* grows */
static size_t capture_capacity;
static struct fab_ep *eps[EPS_MAX];
static uint32_t ep_count;
static struct nk_capture_stats stats;
static struct nk_restore_info last; /* where it was restored last; sip 0: nowhere yet */

static void world_make_of(uint32_t worker_count)
{
    const struct world_options options = {
        .kernel = {.slot_first = SLOT_FIRST,
                   .slot_count = 16,
                   .large_first = LARGE_FIRST,
                   .large_count = 4,
                   .heap_bytes = 64u << 20,
                   .worker_count = worker_count,
                   .tick_ns = 300000},
        .config = {"rounds", "150"},
        .run_seconds_max = 60,
    };

    world_make(&options);
    for (uint32_t i = 0; i < IMAGES; i++) {
        image_add(&images[i], digests[i]);
    }
}

static void in_world(void **state)
{
    world_make_of(1);
    world_body(state);
    world_end();
}

static void in_workers(void **state)
{
    world_make_of(3);
    world_body(state);
    world_end();
}

/* --- one hop ------------------------------------------------------------------------------------
 */

static sf_status keep(void *arg, const void *bytes, size_t length)
{
    (void)arg;
    assert_true(length <= NK_CAPTURE_PIECE_BYTES_MAX);
    if (capture.length + length > capture_capacity) {
        capture_capacity = (capture.length + length) * 2;
        capture.data = realloc(capture.data, capture_capacity);
        assert_non_null(capture.data);
    }
    memcpy(capture.data + capture.length, bytes, length);
    capture.length += length;
    return SF_OK;
}

static void frozen_capture(uint64_t number, struct nk_precopy *precopy)
{
    const struct nk_about about = {.restart_count = 3, .log_position = 1234567};

    assert_int_equal(nk_sip_endpoints(world.kernel, number, eps, EPS_MAX, &ep_count), SF_OK);
    assert_int_equal(nk_sip_capture(world.kernel, number, &about, precopy, keep, NULL, &stats),
                     SF_OK);
}

/* Is anything of the slot accessible? */
static bool slot_is_mapped(void)
{
    const struct nk_restore_info *info = &last;
    const uint64_t base = info->slot_class == NK_LARGE
                              ? NK_LARGE_BASE + info->slot * NK_LARGE_STRIDE
                              : NK_SLOT_BASE + info->slot * NK_SLOT_STRIDE;
    const uint64_t end = base + (info->slot_class == NK_LARGE ? NK_LARGE_STRIDE : NK_SLOT_STRIDE);
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long long low, high;
    char line[512], access[8];
    bool found = false;

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        assert_int_equal(sscanf(line, "%llx-%llx %7s", &low, &high, access), 3);
        found = found || (high > base && low < end && strcmp(access, "---p") != 0);
    }
    (void)fclose(maps);
    return found;
}

/* In pieces of any length. */
static void feed(struct nk_restore *restore, const struct bytes *bytes)
{
    char text[256] = "";

    for (size_t at = 0; at < bytes->length;) {
        size_t count = 1 + (size_t)rand() % (rand() % 2 == 0 ? 20 : 100000);

        count = count < bytes->length - at ? count : bytes->length - at;
        if (nk_restore_feed(restore, bytes->data + at, count, text, sizeof(text)) != SF_OK) {
            fail_msg("at %zu: %s", at, text);
        }
        at += count;
    }
}

static struct nk_restore *restore_make(void)
{
    struct nk_restore *restore = NULL;

    assert_int_equal(nk_restore_create(world.kernel, NULL, &restore), SF_OK);
    return restore;
}

static void restored(const struct bytes *bytes)
{
    struct nk_restore *restore = restore_make();
    struct nk_restore_info info;
    char text[256] = "";

    feed(restore, bytes);
    assert_true(nk_restore_complete(restore));
    nk_restore_query(restore, &info);
    assert_int_equal(info.ep_count, ep_count);
    assert_int_equal(info.about.restart_count, 3);
    assert_int_equal(info.about.log_position, 1234567);
    last = info;
    if (nk_restore_finish(restore, eps, ep_count, text, sizeof(text)) != SF_OK) {
        fail_msg("%s", text);
    }
}

/* False: it has ended. */
static bool hop(uint64_t number)
{
    char text[256] = "";
    sf_status st = nk_sip_freeze(world.kernel, number, text, sizeof(text));

    if (st == SF_NOTFOUND) {
        return false;
    }
    if (st != SF_OK) {
        fail_msg("%s", text);
    }
    capture.length = 0;
    frozen_capture(number, NULL);
    assert_int_equal(nk_sip_release(world.kernel, number), SF_OK);
    assert_true(last.sip == 0 || !slot_is_mapped());
    restored(&capture);
    assert_int_equal(nk_sip_thaw(world.kernel, number), SF_OK);
    return true;
}

/* --- what it waits in ---------------------------------------------------------------------------
 */

static uint32_t image_used;

static void mover_start(const char *mode)
{
    last.sip = 0;
    sip_create(MOVER, "m", digests[image_used], mode, 0);
    start(MOVER);
}

static void driver_start(void)
{
    sip_create(DRIVER, "d", digests[SMALL], "driver", 0);
    wire(DRIVER, "m.test");
    start(DRIVER);
}

/* Moves it again and again until it ends, with `between` nanoseconds of work. */
static void hops(uint64_t between, uint32_t hops_min)
{
    const uint64_t end = now() + 60000000000ull;
    uint32_t count = 0;
    char line[80];

    while (end_of(MOVER) == NULL) {
        const uint64_t until = now() + between;

        while (now() < until && end_of(MOVER) == NULL) {
            (void)nk_run(world.kernel, 20, now());
        }
        count += hop(MOVER);
        if (count % 50 == 0) {
            assert_audits();
        }
        assert_true(now() < end);
    }
    run_all();
    assert_exited(MOVER, 0);
    (void)snprintf(line, sizeof(line), "%u hops, %zu bytes", count, capture.length);
    show(line);
    assert_true(count >= hops_min);
}

static void with_driver(const char *mode)
{
    mover_start(mode);
    driver_start();
    hops(300000, 100);
    assert_exited(DRIVER, 0);
}

static void alone(const char *mode, uint64_t between, uint32_t hops_min)
{
    mover_start(mode);
    hops(between, hops_min);
}

/* One after the other comes, and closes. */
static void with_callers(const char *mode)
{
    uint64_t number = 10;
    uint32_t count = 0;

    mover_start(mode);
    while (end_of(MOVER) == NULL) {
        sip_create(number, "c", digests[SMALL], "caller", 0);
        wire(number, "m.test");
        count += rand() % 2 == 0 && hop(MOVER); /* with the channel still in its backlog */
        start(number++);
        while (end_of(number - 1) == NULL) {
            (void)nk_run(world.kernel, 1 + (uint32_t)rand() % 4, now());
            count += rand() % 4 == 0 && hop(MOVER);
        }
    }
    run_all();
    assert_exited(MOVER, 0);
    assert_true(count >= 100);
}

static void all_calls(uint32_t image)
{
    image_used = image;
    with_driver("recv");
    with_driver("select");
    with_driver("any");
    with_callers("accept");
    with_callers("listen");
    alone("sleep", 300000, 100);
    alone("timeout", 300000, 100);
    alone("yield", 20000, 50);
}

static void a_small_sip_waits_in_any_call(void **state)
{
    (void)state;
    all_calls(SMALL);
}

static void a_large_sip_waits_in_any_call(void **state)
{
    (void)state;
    all_calls(LARGE);
}

static void a_sip_that_computes_goes_on_with_its_registers(void **state)
{
    (void)state;
    image_used = SMALL;
    alone("spin", 500000, 100);
    image_used = LARGE;
    alone("spin", 500000, 100);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        WORLD_TEST(in_world, a_small_sip_waits_in_any_call),
        WORLD_TEST(in_world, a_large_sip_waits_in_any_call),
        WORLD_TEST(in_world, a_sip_that_computes_goes_on_with_its_registers),
        WORLD_TEST(in_workers, a_small_sip_waits_in_any_call),
        WORLD_TEST(in_workers, a_sip_that_computes_goes_on_with_its_registers),
    };

    if (argc != IMAGES + 1) {
        return 2;
    }
    for (uint32_t i = 0; i < IMAGES; i++) {
        images[i] = file_read(argv[1 + i]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
