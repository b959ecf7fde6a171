/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIPs that are frozen, captured, released, restored and thawed while they work, hundreds of times,
 * and do not notice: argv = mover.sip, mover_large.sip, mover_stays.sip (test_sips/mover.c),
 * probe.sip, probe_large.sip, probe_strict.sip.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test_hop.h"

#define SLOT_FIRST 100u
#define SLOTS 16u
#define LARGE_FIRST 7u
#define MOVER 1u
#define DRIVER 2u
#define HOPS_NS_MAX 60000000000u

enum { SMALL, LARGE, STAYS, PROBE, PROBE_LARGE, PROBE_STRICT, IMAGES };
static struct bytes images[IMAGES];
static uint8_t digests[IMAGES][IMAGE_DIGEST_BYTES];

static void world_make_of(uint32_t worker_count, uint64_t tick_ns, const char *key,
                          const char *value)
{
    const struct world_options options = {
        .kernel = {.slot_first = SLOT_FIRST,
                   .slot_count = SLOTS,
                   .large_first = LARGE_FIRST,
                   .large_count = 16,
                   .heap_bytes = 64u << 20,
                   .worker_count = worker_count,
                   .tick_ns = tick_ns},
        .config = {key, value},
        .run_seconds_max = 60,
    };

    world_make(&options);
    for (uint32_t i = 0; i < IMAGES; i++) {
        image_add(&images[i], digests[i]);
    }
    hop.last.sip = 0;
    hop.count = 0;
}

static void in_world(void **state)
{
    world_make_of(1, 300000, "rounds", "110");
    world_body(state);
    world_end();
}

static void in_workers(void **state)
{
    world_make_of(3, 300000, "rounds", "110");
    world_body(state);
    world_end();
}

static void in_probes(void **state)
{
    world_make_of(1, 50000, "answer", "42");
    world_body(state);
    world_end();
}

/* --- what it waits in ---------------------------------------------------------------------------
 */

/* Of whom the tests move. */
static uint32_t image_used, worker_used;

static void mover_start(const char *mode)
{
    hop.last.sip = 0;
    hop.count = 0;
    sip_create(MOVER, "m", digests[image_used], mode, worker_used);
    start(MOVER);
}

static void driver_start(void)
{
    sip_create(DRIVER, "d", digests[SMALL], "driver", 0);
    wire(DRIVER, "m.test");
    start(DRIVER);
}

static void run_for(uint64_t ns)
{
    const uint64_t until = now() + ns;

    while (now() < until && end_of(MOVER) == NULL) {
        (void)nk_run(world.kernel, 20, now());
    }
}

/* Moves it again and again until it ends, with so many nanoseconds of work between. */
static void hops(uint64_t between, uint32_t hops_min)
{
    const uint64_t end = now() + HOPS_NS_MAX;
    char line[80];

    while (end_of(MOVER) == NULL) {
        run_for(between);
        (void)hop_here(MOVER);
        if (hop.count % 50 == 0) {
            assert_audits();
        }
        assert_true(now() < end);
    }
    run_all();
    assert_exited(MOVER, 0);
    (void)snprintf(line, sizeof(line), "%u hops, %zu bytes", (unsigned)hop.count,
                   hop.capture.length);
    show(line);
    assert_true(hop.count >= hops_min);
}

static void with_driver(const char *mode)
{
    mover_start(mode);
    driver_start();
    hops(300000, 40);
    run_until_ended(world.end_count + (end_of(DRIVER) == NULL));
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
    const uint64_t end = now() + HOPS_NS_MAX;
    uint64_t number = 10;

    mover_start(mode);
    while (end_of(MOVER) == NULL) {
        sip_create(number, "c", digests[SMALL], "caller", 0);
        wire(number, "m.test");
        if (rand() % 2 == 0) {
            (void)hop_here(MOVER); /* with the channel still in its backlog */
        }
        start(number++);
        while (end_of(number - 1) == NULL) {
            (void)nk_run(world.kernel, 1 + (uint32_t)rand() % 4, now());
            if (rand() % 4 == 0) {
                (void)hop_here(MOVER);
            }
            assert_true(now() < end);
        }
    }
    run_all();
    assert_exited(MOVER, 0);
    assert_true(hop.count >= 40);
}

static void any_call(uint32_t image, uint32_t worker)
{
    image_used = image;
    worker_used = worker;
    with_driver("recv");
    with_driver("select");
    with_driver("any");
    with_callers("accept");
    with_callers("listen");
    alone("sleep", 300000, 80);
    alone("timeout", 300000, 80);
    alone("yield", 20000, worker == 0 ? 20 : 1);
}

static void a_small_sip_waits_in_any_call(void **state)
{
    (void)state;
    any_call(SMALL, 0);
}

static void a_large_sip_waits_in_any_call(void **state)
{
    (void)state;
    any_call(LARGE, 0);
}

static void a_sip_of_another_worker_waits_in_any_call(void **state)
{
    (void)state;
    any_call(SMALL, 3);
}

static void spin(uint32_t worker)
{
    worker_used = worker;
    image_used = SMALL;
    alone("spin", 500000, 100);
    image_used = LARGE;
    alone("spin", 500000, 100);
}

static void a_sip_that_computes_goes_on_with_its_registers(void **state)
{
    (void)state;
    spin(0);
}

static void so_does_one_of_another_worker(void **state)
{
    (void)state;
    spin(2);
}

/* --- any program --------------------------------------------------------------------------------
 */

/* SIPs [1, count] run, and any of them is moved between any two steps. */
static void move_them(uint64_t count, uint32_t one_in)
{
    const uint64_t end = now() + 30000000000ull;
    uint64_t before = world.end_count;

    hop.count = 0;
    hop.last.sip = 0;
    while (world.end_count < before + count) {
        (void)nk_run(world.kernel, 1, now());
        if ((uint32_t)rand() % one_in == 0) {
            (void)hop_here(1 + (uint64_t)rand() % count);
        }
        assert_true(now() < end);
    }
    assert_audits();
}

static void pair(uint32_t image, const char *server, const char *client, int server_code,
                 int client_code)
{
    char line[96];

    sip_create(1, "srv", digests[image], server, 0);
    sip_create(2, "cli", digests[image], client, 0);
    wire(2, "srv.test");
    start(1);
    start(2);
    move_them(2, 1);
    assert_exited(1, server_code);
    assert_exited(2, client_code);
    (void)snprintf(line, sizeof(line), "%s and %s: %u hops", server, client, (unsigned)hop.count);
    show(line);
    assert_true(hop.count >= 2);
}

static void one_serves_many(uint32_t image, const char *mode)
{
    sip_create(1, "srv", digests[image], mode, 0);
    start(1);
    for (uint64_t number = 2; number <= 9; number++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "c%u", (unsigned)number);
        sip_create(number, name, digests[image], "ask", 0);
        wire(number, "srv.test");
        start(number);
    }
    move_them(9, 4);
    for (uint64_t number = 1; number <= 9; number++) {
        assert_exited(number, 0);
    }
    assert_true(hop.count >= 100);
}

static void single(uint32_t image, const char *mode)
{
    sip_create(1, "basics", digests[image], mode, 0);
    start(1);
    move_them(1, 1);
    assert_exited(1, 0);
}

static void programs_of_other_tests_may_be_moved_at_any_time(void **state)
{
    (void)state;
    for (uint32_t image = PROBE; image <= PROBE_STRICT; image++) {
        pair(image, "server", "client", 0, 0);
        pair(image, "server", "flood", 0, 0); /* a message has no room for a while */
        pair(image, "waitalone", "watch", 0, SF_CAUSE_PEER_EXITED);
        one_serves_many(image, "anyserver");
        one_serves_many(image, "selectserver");
        single(image, "own");
        single(image, "basics");
    }
}

/* Two chat, while both are moved: nothing is queued for ever. */
static void two_that_chat_go_on_in_step(void **state)
{
    uint64_t calls;
    struct nk_stats stats;

    (void)state;
    sip_create(1, "srv", digests[PROBE], "server", 0);
    sip_create(2, "cli", digests[PROBE], "chatter", 0);
    wire(2, "srv.test");
    start(1);
    start(2);
    for (uint32_t i = 0; i < 400; i++) {
        (void)nk_run(world.kernel, 7, now());
        assert_true(hop_here(1 + i % 2));
        nk_query(world.kernel, &stats);
        calls = stats.messages;
        for (uint32_t k = 0; k < 1000 && stats.messages <= calls; k++) {
            (void)nk_run(world.kernel, 50, now());
            nk_query(world.kernel, &stats);
        }
        assert_true(stats.messages > calls);
    }
    stop(2);
    run_all();
    assert_exited(1, 0);
}

/* --- standing still -----------------------------------------------------------------------------
 */

static void what_is_sent_to_a_frozen_sip_waits_for_it(void **state)
{
    (void)state;
    image_used = SMALL;
    worker_used = 0;
    mover_start("any");
    driver_start();
    for (uint32_t i = 0; end_of(MOVER) == NULL; i++) {
        run_for(300000);
        if (!hop_freeze(MOVER)) {
            break;
        }
        for (uint32_t k = 0; k < 5; k++) {
            (void)nk_run(world.kernel, 20, now());
        }
        assert_null(end_of(MOVER));
        assert_int_equal(nk_sip_thaw(world.kernel, MOVER), SF_OK);
    }
    run_all();
    assert_exited(MOVER, 0);
    assert_exited(DRIVER, 0);
}

static void a_frozen_sip_can_be_stopped(void **state)
{
    (void)state;
    image_used = SMALL;
    worker_used = 0;
    mover_start("recv");
    driver_start();
    run_for(1000000);
    assert_true(hop_freeze(MOVER));
    stop(MOVER);
    run_all();
    assert_int_equal(end_of(MOVER)->how, NK_END_STOPPED);
    assert_non_null(end_of(DRIVER)); /* its channel closed */
    mover_start("sleep");
    run_for(1000000);
    assert_true(hop_freeze(MOVER)); /* and one that is frozen at the end of the kernel, likewise */
    stop(MOVER);
}

static void only_what_can_be_moved_is_frozen(void **state)
{
    char text[256] = "";

    (void)state;
    assert_int_equal(nk_sip_freeze(world.kernel, 77, text, sizeof(text)), SF_NOTFOUND);
    image_used = SMALL;
    worker_used = 0;
    sip_create(MOVER, "m", digests[SMALL], "sleep", 0);
    assert_int_equal(nk_sip_freeze(world.kernel, MOVER, text, sizeof(text)), SF_UNSUPPORTED);
    assert_non_null(strstr(text, "has not started"));
    start(MOVER);
    assert_int_equal(nk_sip_freeze(world.kernel, MOVER, text, sizeof(text)), SF_OK);
    assert_int_equal(nk_sip_freeze(world.kernel, MOVER, text, sizeof(text)), SF_EXISTS);
    assert_int_equal(nk_sip_wire(world.kernel, MOVER, "peer", NODE, "x.test", text, sizeof(text)),
                     SF_AGAIN);
    assert_int_equal(nk_sip_thaw(world.kernel, MOVER), SF_OK);
    assert_int_equal(nk_sip_thaw(world.kernel, MOVER), SF_NOTFOUND);
    assert_int_equal(nk_sip_release(world.kernel, MOVER), SF_NOTFOUND);
    assert_int_equal(nk_sip_capture(world.kernel, MOVER, NULL, NULL, hop_keep, NULL, NULL),
                     SF_NOTFOUND);
    assert_int_equal(nk_sip_endpoints(world.kernel, MOVER, hop.eps, HOP_EPS_MAX, &hop.ep_count),
                     SF_NOTFOUND);
    sip_create(3, "s", digests[STAYS], "sleep", 0);
    start(3);
    run_for(1000000);
    assert_int_equal(nk_sip_freeze(world.kernel, 3, text, sizeof(text)), SF_UNSUPPORTED);
    assert_non_null(strstr(text, "movable: false"));
    stop(3);
    stop(MOVER);
}

static sf_status few_pieces(void *arg, const void *bytes, size_t length)
{
    uint32_t *left = arg;

    (void)bytes;
    (void)length;
    return (*left)-- == 0 ? SF_CLOSED : SF_OK;
}

static void a_sink_that_breaks_leaves_the_sip_whole(void **state)
{
    (void)state;
    image_used = SMALL;
    worker_used = 0;
    mover_start("sleep");
    for (uint32_t pieces = 0; pieces < 60; pieces++) {
        uint32_t left = pieces;

        run_for(300000);
        assert_true(hop_freeze(MOVER));
        assert_int_equal(nk_sip_capture(world.kernel, MOVER, NULL, NULL, few_pieces, &left, NULL),
                         SF_CLOSED);
        assert_int_equal(nk_sip_thaw(world.kernel, MOVER), SF_OK);
    }
    hops(300000, 20);
}

/* --- pre-copy; that it is right is capture_far_test's business ---------------------------------
 */

static void a_slot_that_is_copied_from_is_kept_when_its_sip_ends(void **state)
{
    struct nk_precopy *precopy = NULL, *other = NULL;
    struct nk_capture_stats stats, idle;
    bool over = false;
    uint32_t steps;
    sf_status st;

    (void)state;
    image_used = SMALL;
    worker_used = 0;
    mover_start("sleep");
    run_for(3000000);
    st = nk_precopy_create(world.kernel, MOVER, &precopy);
    if (st == SF_UNSUPPORTED) {
        show("skipped: this system does not say what was written");
        stop(MOVER);
        return;
    }
    assert_int_equal(st, SF_OK);
    assert_int_equal(nk_precopy_create(world.kernel, MOVER, &other), SF_EXISTS);
    assert_int_equal(nk_precopy_create(world.kernel, 77, &other), SF_NOTFOUND);
    hop.capture.length = 0;
    assert_int_equal(nk_precopy_step(precopy, UINT64_MAX, hop_keep, NULL, &stats, &over), SF_OK);
    assert_true(stats.page_count > 0);
    assert_int_equal(nk_precopy_step(precopy, UINT64_MAX, hop_keep, NULL, &idle, &over), SF_OK);
    assert_int_equal(idle.page_count + idle.zero_count, 0); /* it has not run */
    assert_false(nk_precopy_discard(precopy, UINT64_MAX));  /* it lives */
    assert_false(nk_precopy_discard(precopy, 0));
    stop(MOVER);
    assert_true(nk_precopy_discard(precopy, 0)); /* nothing of its memory */
    assert_int_equal(nk_precopy_step(precopy, UINT64_MAX, hop_keep, NULL, &idle, &over),
                     SF_NOTFOUND);
    for (uint64_t number = 10; number < 10 + SLOTS; number++) {
        char name[16];
        const struct nk_sip_options named = {
            .number = number, .name = name, .image_digest = digests[STAYS]};

        (void)snprintf(name, sizeof(name), "x%u", (unsigned)number);
        if (number + 1 == 10 + SLOTS) { /* the last slot is still busy, until it is given up */
            for (steps = 0; nk_precopy_discard(precopy, 64u << 10); steps++) {
            }
            assert_true(steps > 1);
            assert_int_equal(nk_sip_create(world.kernel, &named, NULL, 0), SF_LIMIT);
            nk_precopy_destroy(precopy);
        }
        assert_int_equal(nk_sip_create(world.kernel, &named, NULL, 0), SF_OK);
    }
    for (uint64_t number = 10; number < 10 + SLOTS; number++) {
        stop(number);
    }
}

/* --- refused at the target ----------------------------------------------------------------------
 */

static sf_status feed_all(struct nk_restore *restore, const char *in_text)
{
    char text[256] = "";
    sf_status st =
        nk_restore_feed(restore, hop.capture.data, hop.capture.length, text, sizeof(text));

    if (in_text != NULL && strstr(text, in_text) == NULL) {
        fail_msg("\"%s\" is not in: %s", in_text, text);
    }
    return st;
}

static void refused(sf_status wanted, const char *in_text)
{
    struct nk_restore *restore = hop_restore();

    assert_int_equal(feed_all(restore, in_text), wanted);
    assert_false(nk_restore_complete(restore));
    nk_restore_destroy(restore);
}

static void mover_captured(void)
{
    image_used = SMALL;
    worker_used = 0;
    mover_start("sleep");
    run_for(1000000);
    assert_true(hop_freeze(MOVER));
    hop.capture.length = 0;
    hop_capture(MOVER, NULL);
}

static void back_to_work(void)
{
    hop_finish();
    assert_int_equal(nk_sip_thaw(world.kernel, MOVER), SF_OK);
    hops(300000, 20);
}

static void a_slot_is_taken_again_only_when_all_others_are(void **state)
{
    (void)state;
    mover_captured();
    refused(SF_EXISTS, "number 1 is in use");
    assert_int_equal(nk_sip_release(world.kernel, MOVER), SF_OK);
    for (uint64_t number = 10; number < 10 + SLOTS; number++) {
        struct nk_restore *restore = hop_restore();
        char name[16];

        assert_int_equal(feed_all(restore, NULL), SF_OK); /* not yet */
        nk_restore_destroy(restore);
        (void)snprintf(name, sizeof(name), "x%u", (unsigned)number);
        sip_create(number, name, digests[SMALL], "sleep", 0);
    }
    refused(SF_EXISTS, "its slot, 100 of the small class, is in use on this node");
    for (uint64_t number = 10; number < 10 + SLOTS; number++) {
        stop(number);
    }
    back_to_work();
}

static void endpoints_must_be_those_of_the_capture(void **state)
{
    struct nk_restore *restore;
    struct fab_ep *swapped[HOP_EPS_MAX];
    char text[256] = "";

    (void)state;
    mover_captured();
    assert_int_equal(nk_sip_release(world.kernel, MOVER), SF_OK);
    restore = hop_restore();
    assert_int_equal(nk_restore_feed(restore, hop.capture.data, hop.capture.length - 1, NULL, 0),
                     SF_OK);
    assert_int_equal(nk_restore_finish(restore, hop.eps, hop.ep_count, text, sizeof(text)),
                     SF_FORMAT);
    assert_non_null(strstr(text, "not complete"));
    nk_restore_destroy(restore);
    restore = hop_restore();
    assert_int_equal(feed_all(restore, NULL), SF_OK);
    assert_int_equal(nk_restore_finish(restore, hop.eps, hop.ep_count - 1, text, sizeof(text)),
                     SF_BADARG);
    memcpy(swapped, hop.eps, sizeof(swapped));
    swapped[0] = hop.eps[1];
    swapped[1] = hop.eps[0];
    assert_int_equal(nk_restore_finish(restore, swapped, hop.ep_count, text, sizeof(text)),
                     SF_CONTRACT);
    assert_audits();
    sip_create(5, "m", digests[SMALL], "sleep", 0); /* has its export */
    assert_int_equal(nk_restore_finish(restore, hop.eps, hop.ep_count, text, sizeof(text)),
                     SF_EXISTS);
    assert_non_null(strstr(text, "m.test"));
    assert_audits();
    stop(5);
    assert_int_equal(nk_restore_finish(restore, hop.eps, hop.ep_count, text, sizeof(text)), SF_OK);
    assert_int_equal(nk_sip_thaw(world.kernel, MOVER), SF_OK);
    hops(300000, 20);
}

static void images_that_are_not_there_or_not_trusted_are_refused(void **state)
{
    static const struct image_trust nobody;

    (void)state;
    mover_captured();
    assert_int_equal(nk_sip_release(world.kernel, MOVER), SF_OK);
    nk_trust_set(world.kernel, &nobody);
    refused(SF_TRUST, NULL);
    nk_trust_set(world.kernel, &image_trust_anyone);
    hop.capture.data[48 + 5] ^= 1; /* the digest */
    refused(SF_NOTFOUND, "its image is not on this node");
    hop.capture.data[48 + 5] ^= 1;
    hop.capture.data[16]++; /* the version */
    refused(SF_UNSUPPORTED, "of version 2");
    hop.capture.data[16]--;
    back_to_work();
}

/* Every byte of a record that is not of pages, changed: refused, or a SIP that an audit likes. */
static void damaged_ones_harm_nobody(void **state)
{
    uint32_t good = 0, bad = 0;
    char line[80];

    (void)state;
    mover_captured();
    assert_int_equal(nk_sip_release(world.kernel, MOVER), SF_OK);
    for (size_t at = 0; at < 3000; at++) {
        struct nk_restore *restore = hop_restore();
        const uint8_t before = hop.capture.data[at];
        sf_status st;

        hop.capture.data[at] ^= (uint8_t)(1u << rand() % 8);
        st = nk_restore_feed(restore, hop.capture.data, hop.capture.length, NULL, 0);
        if (st == SF_OK && nk_restore_complete(restore)) {
            st = nk_restore_finish(restore, hop.eps, hop.ep_count, NULL, 0);
            restore = st == SF_OK ? NULL : restore;
        }
        nk_restore_destroy(restore);
        if (restore == NULL) {
            uint64_t number;

            memcpy(&number, hop.capture.data + 24, sizeof(number));
            assert_audits();
            assert_int_equal(nk_sip_release(world.kernel, number), SF_OK);
            good++;
        } else {
            bad++;
        }
        hop.capture.data[at] = before;
    }
    (void)snprintf(line, sizeof(line), "%u refused, %u taken", bad, good);
    show(line);
    assert_true(bad > 100); /* pages may be anything */
    back_to_work();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        WORLD_TEST(in_world, a_small_sip_waits_in_any_call),
        WORLD_TEST(in_world, a_large_sip_waits_in_any_call),
        WORLD_TEST(in_workers, a_sip_of_another_worker_waits_in_any_call),
        WORLD_TEST(in_world, a_sip_that_computes_goes_on_with_its_registers),
        WORLD_TEST(in_workers, so_does_one_of_another_worker),
        WORLD_TEST(in_probes, programs_of_other_tests_may_be_moved_at_any_time),
        WORLD_TEST(in_probes, two_that_chat_go_on_in_step),
        WORLD_TEST(in_world, what_is_sent_to_a_frozen_sip_waits_for_it),
        WORLD_TEST(in_world, a_frozen_sip_can_be_stopped),
        WORLD_TEST(in_world, only_what_can_be_moved_is_frozen),
        WORLD_TEST(in_world, a_sink_that_breaks_leaves_the_sip_whole),
        WORLD_TEST(in_world, a_slot_that_is_copied_from_is_kept_when_its_sip_ends),
        WORLD_TEST(in_world, a_slot_is_taken_again_only_when_all_others_are),
        WORLD_TEST(in_world, endpoints_must_be_those_of_the_capture),
        WORLD_TEST(in_world, images_that_are_not_there_or_not_trusted_are_refused),
        WORLD_TEST(in_world, damaged_ones_harm_nobody),
    };

    if (argc != IMAGES + 1) {
        return 2;
    }
    for (uint32_t i = 0; i < IMAGES; i++) {
        images[i] = file_read(argv[1 + i]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
