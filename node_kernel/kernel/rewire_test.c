/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Imports of SIPs that run are wired again after their exporter was made again, as fabricd does it.
 * argv[1] is rewire.sip (test_sips/). Each test ends with clean audits and nothing left. Importers
 * run on the last worker, exporters on the first: with one worker, and with two.
 */
#include <stdio.h>
#include <time.h>

#include "test_world.h"

#define RUN_SECONDS_MAX 20u
#define ROUNDS 5u

static struct bytes image;
static uint8_t digest[IMAGE_DIGEST_BYTES];

/* Runs until that SIP has ended. */
static void run_until_end_of(uint64_t number)
{
    uint64_t end = now() + RUN_SECONDS_MAX * 1000000000ull;

    while (end_of(number) == NULL) {
        if (!nk_run(world.kernel, 1000, now())) {
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
        (void)nk_run(world.kernel, 1000, now());
    }
}

static void create(uint64_t number, const char *name, const char *mode)
{
    const uint32_t last_worker = world.options.kernel.worker_count;

    sip_create(number, name, digest, mode, number == 1 ? last_worker : 1);
}

static sf_status wire_to_server(uint64_t number)
{
    char text[256] = "";

    return nk_sip_wire(world.kernel, number, "peer", NODE, "server.test", text, sizeof(text));
}

static void serve(uint64_t number)
{
    create(number, "server", "serve");
    start(number);
}

static void an_importer_outlives_its_exporter_many_times(void **state)
{
    (void)state;
    create(1, "client", "lasting");
    for (uint64_t number = 2; number < 2 + ROUNDS; number++) {
        serve(number);
        assert_int_equal(wire_to_server(1), SF_OK);
        if (number == 2) {
            start(1);
        }
        run_until_end_of(number);
        assert_non_null(end_of(number));
        assert_int_equal(end_of(number)->how, NK_END_FAULTED);
    }
    run_until_end_of(1);
    assert_exited(1, 0);
}

static void an_import_that_was_never_taken_is_replaced(void **state)
{
    (void)state;
    serve(2);
    create(1, "client", "late");
    assert_int_equal(wire_to_server(1), SF_OK);
    assert_int_equal(wire_to_server(1), SF_EXISTS); /* not before it has started */
    start(1);
    run_some();
    stop(2);
    serve(3);
    assert_int_equal(wire_to_server(1), SF_OK);
    assert_int_equal(wire_to_server(1), SF_OK); /* and it may come twice: the last one counts */
    run_until_end_of(1);
    assert_exited(1, 0);
    stop(3);
}

static void waiting_ends_in_time(void **state)
{
    (void)state;
    serve(2);
    create(1, "client", "impatient");
    assert_int_equal(wire_to_server(1), SF_OK);
    start(1);
    run_until_end_of(1);
    assert_exited(1, 0);
    stop(2);
}

static void what_cannot_be_wired_changes_nothing(void **state)
{
    (void)state;
    serve(2);
    create(1, "client", "late");
    assert_int_equal(wire_to_server(1), SF_OK);
    start(1);
    assert_int_equal(nk_sip_wire(world.kernel, 1, "none", NODE, "server.test", NULL, 0),
                     SF_NOTFOUND);
    assert_int_equal(nk_sip_wire(world.kernel, 9, "peer", NODE, "server.test", NULL, 0),
                     SF_NOTFOUND);
    run_until_end_of(1); /* it has the first one still */
    assert_exited(1, 0);
    stop(2);
}

static void in_world(void **state, uint32_t worker_count)
{
    const struct world_options options = {
        .kernel = {.worker_count = worker_count, .slot_count = 16, .heap_bytes = 16u << 20},
        .config = {"rounds", "5"},
        .run_seconds_max = RUN_SECONDS_MAX,
    };

    world_make(&options);
    image_add(&image, digest);
    world_body(state);
    world_end();
}

static void with_one_worker(void **state)
{
    in_world(state, 1);
}

static void with_two_workers(void **state)
{
    in_world(state, 2);
}

#define CASE(body)                                                                                 \
    {#body "_one_worker", with_one_worker, NULL, NULL, (void *)(body)},                            \
    {                                                                                              \
#body "_two_workers", with_two_workers, NULL, NULL, (void *)(body)                         \
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
    image = file_read(argv[1]);
    return cmocka_run_group_tests_name("rewire", tests, NULL, NULL);
}
