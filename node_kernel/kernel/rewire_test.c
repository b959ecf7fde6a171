/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Imports of SIPs that run are wired again after their exporter was made again, as fabricd does it.
 * argv[1] is rewire.sip (test_sips/). Each test ends with clean audits and nothing left. Importers
 * run on the last worker, exporters on the first: with one worker, and with two.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "nk.h"

#define NODE 5u
#define RUN_SECONDS_MAX 20u
#define ROUNDS 5u

static const char *image_path;
static struct nk_kernel *kernel;
static uint8_t digest[IMAGE_DIGEST_BYTES];
static int exit_codes[32]; /* by number; -1: runs, -2: faulted, -3: stopped */

static void on_log(void *arg, uint64_t sip, const char *text, uint32_t bytes)
{
    (void)arg;
    (void)printf("# sip %u: %.*s\n", (unsigned)sip, (int)bytes, text);
}

static void on_ended(void *arg, const struct nk_sip_end *end)
{
    (void)arg;
    exit_codes[end->sip] = end->how == NK_END_EXITED    ? end->exit_code
                           : end->how == NK_END_FAULTED ? -2
                                                        : -3;
}

static uint32_t worker_count;

static int set_up(void **state)
{
    struct nk_options options = {
        .worker_count = worker_count,
        .node_name = "testnode",
        .node_id = NODE,
        .epoch = 1,
        .trust = &image_trust_anyone,
        .slot_count = 16,
        .heap_bytes = 16u << 20,
        .events = {.log = on_log, .ended = on_ended},
    };
    static uint8_t bytes[4u << 20];
    FILE *file = fopen(image_path, "rb");
    char text[256] = "";
    size_t length;

    (void)state;
    assert_non_null(file);
    length = fread(bytes, 1, sizeof(bytes), file);
    (void)fclose(file);
    memset(exit_codes, 0xff, sizeof(exit_codes));
    if (nk_kernel_create(&options, &kernel, text, sizeof(text)) != SF_OK ||
        nk_image_add(kernel, bytes, length, digest, text, sizeof(text)) != SF_OK) {
        print_error("%s\n", text);
        return -1;
    }
    return 0;
}

static int set_up_one(void **state)
{
    worker_count = 1;
    return set_up(state);
}

static int set_up_two(void **state)
{
    worker_count = 2;
    return set_up(state);
}

static void count_ep(void *arg, const struct fab_ep *ep)
{
    (void)ep;
    ++*(uint32_t *)arg;
}

static int tear_down(void **state)
{
    const char *text = "";
    struct nk_stats stats;
    uint32_t count = 0;

    (void)state;
    nk_query(kernel, &stats);
    assert_int_equal(stats.sip_count, 0);
    nk_pause(kernel);
    assert_int_equal(nk_audit(kernel, &text), SF_OK);
    fab_ep_walk(nk_kernel_fabric(kernel), count_ep, &count);
    nk_resume(kernel);
    assert_int_equal(count, 0);
    nk_kernel_destroy(kernel);
    return 0;
}

static uint64_t now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Runs until that SIP has ended. */
static void run_until_ended(uint64_t number)
{
    uint64_t end = now() + RUN_SECONDS_MAX * 1000000000ull;

    while (exit_codes[number] == -1) {
        if (!nk_run(kernel, 1000, now())) {
            struct timespec t = {0, 200000};
            (void)nanosleep(&t, NULL);
        }
        assert_true(now() < end);
    }
}

/* Runs all that is ready now. */
static void run_some(void)
{
    uint64_t end = now() + 5000000u;

    while (now() < end) {
        (void)nk_run(kernel, 1000, now());
    }
}

static void create(uint64_t number, const char *name, const char *mode)
{
    struct nk_config config[] = {{"mode", mode}, {"rounds", "5"}};
    struct nk_sip_options options = {.number = number,
                                     .name = name,
                                     .image_digest = digest,
                                     .config = config,
                                     .config_count = 2,
                                     .worker = number == 1 ? worker_count : 1};
    char text[256] = "";

    if (nk_sip_create(kernel, &options, text, sizeof(text)) != SF_OK) {
        fail_msg("%s", text);
    }
}

static sf_status wire(uint64_t number)
{
    char text[256] = "";

    return nk_sip_wire(kernel, number, "peer", NODE, "server.test", text, sizeof(text));
}

static void serve(uint64_t number)
{
    create(number, "server", "serve");
    assert_int_equal(nk_sip_start(kernel, number), SF_OK);
}

static void stop(uint64_t number)
{
    assert_int_equal(nk_sip_stop(kernel, number, SF_CAUSE_OF(REVOKED)), SF_OK);
}

static void an_importer_outlives_its_exporter_many_times(void **state)
{
    (void)state;
    create(1, "client", "lasting");
    for (uint64_t number = 2; number < 2 + ROUNDS; number++) {
        serve(number);
        assert_int_equal(wire(1), SF_OK);
        if (number == 2) {
            assert_int_equal(nk_sip_start(kernel, 1), SF_OK);
        }
        run_until_ended(number);
        assert_int_equal(exit_codes[number], -2);
    }
    run_until_ended(1);
    assert_int_equal(exit_codes[1], 0);
}

static void an_import_that_was_never_taken_is_replaced(void **state)
{
    (void)state;
    serve(2);
    create(1, "client", "late");
    assert_int_equal(wire(1), SF_OK);
    assert_int_equal(wire(1), SF_EXISTS); /* not before it has started */
    assert_int_equal(nk_sip_start(kernel, 1), SF_OK);
    run_some();
    stop(2);
    serve(3);
    assert_int_equal(wire(1), SF_OK);
    assert_int_equal(wire(1), SF_OK); /* and it may come twice: the last one counts */
    run_until_ended(1);
    assert_int_equal(exit_codes[1], 0);
    stop(3);
}

static void waiting_ends_in_time(void **state)
{
    (void)state;
    serve(2);
    create(1, "client", "impatient");
    assert_int_equal(wire(1), SF_OK);
    assert_int_equal(nk_sip_start(kernel, 1), SF_OK);
    run_until_ended(1);
    assert_int_equal(exit_codes[1], 0);
    stop(2);
}

static void what_cannot_be_wired_changes_nothing(void **state)
{
    (void)state;
    serve(2);
    create(1, "client", "late");
    assert_int_equal(wire(1), SF_OK);
    assert_int_equal(nk_sip_start(kernel, 1), SF_OK);
    assert_int_equal(nk_sip_wire(kernel, 1, "none", NODE, "server.test", NULL, 0), SF_NOTFOUND);
    assert_int_equal(nk_sip_wire(kernel, 9, "peer", NODE, "server.test", NULL, 0), SF_NOTFOUND);
    run_until_ended(1); /* it has the first one still */
    assert_int_equal(exit_codes[1], 0);
    stop(2);
}

#define CASE(name)                                                                                 \
    {#name "_one_worker", name, set_up_one, tear_down, NULL},                                      \
    {                                                                                              \
#name "_two_workers", name, set_up_two, tear_down, NULL                                    \
    }

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(an_importer_outlives_its_exporter_many_times),
        CASE(an_import_that_was_never_taken_is_replaced),
        CASE(waiting_ends_in_time),
        CASE(what_cannot_be_wired_changes_nothing),
    };

    if (argc != 2) {
        (void)fprintf(stderr, "usage: rewire_test rewire.sip\n");
        return 2;
    }
    image_path = argv[1];
    return cmocka_run_group_tests_name("rewire", tests, NULL, NULL);
}
