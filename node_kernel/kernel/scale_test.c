/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many SIPs: argv = idle.sip, exit.sip (bench/). How many live on one node at once, what one that
 * waits costs, and that a million lives leave nothing behind.
 */
#include <stdio.h>

#include "test_world.h"

#define CROWD 30000u
#define LIVES 1000000u
#define LIVES_AT_ONCE 8u
#define WARM_UP_LIVES 10000u
#define IDLE_KIB_MAX 20u

static struct bytes images[2];
static uint8_t digests[2][IMAGE_DIGEST_BYTES];
static uint64_t ended_wrong;

static void on_ended(const struct nk_sip_end *end)
{
    ended_wrong += end->how == NK_END_FAULTED || (end->how == NK_END_EXITED && end->exit_code != 7);
}

static void kernel_make(uint32_t slot_count)
{
    const struct world_options options = {
        .kernel = {.slot_count = slot_count, .heap_bytes = 64u << 20},
        .on_ended = on_ended,
    };

    world_make(&options);
    image_add(&images[0], digests[0]);
    image_add(&images[1], digests[1]);
    ended_wrong = 0;
}

static void run_ready(void)
{
    while (nk_run(world.kernel, 10000, now())) {
    }
}

/* --- at once ------------------------------------------------------------------------------------
 */

static void crowd_start(uint64_t first)
{
    for (uint32_t i = 0; i < CROWD; i++) {
        struct nk_sip_options options = {.number = first + i, .image_digest = digests[0]};
        char name[16], text[256] = "";

        (void)snprintf(name, sizeof(name), "idle%u", i);
        options.name = name;
        if (nk_sip_create(world.kernel, &options, text, sizeof(text)) != SF_OK ||
            nk_sip_start(world.kernel, options.number) != SF_OK) {
            fail_msg("sip %u of %u: %s", i + 1, CROWD, text);
        }
    }
    run_ready();
}

/* The last one first: slots are taken again in the order in which they were taken. */
static void crowd_stop(uint64_t first)
{
    for (uint32_t i = CROWD; i-- > 0;) {
        assert_int_equal(nk_sip_stop(world.kernel, first + i, SF_CAUSE_OF(SHUTDOWN)), SF_OK);
    }
    run_ready();
}

static void thirty_thousand_sips_wait_at_once(void **state)
{
    struct usage before, during, again;
    struct nk_stats stats;
    uint64_t from;
    double kib;

    (void)state;
    kernel_make(CROWD);
    before = usage_now();
    from = now();
    crowd_start(1);
    during = usage_now();
    nk_query(world.kernel, &stats);
    assert_int_equal(stats.sip_count, CROWD);
    assert_int_equal(world.end_count, 0); /* all wait */
    assert_int_equal(nk_next_deadline(world.kernel), UINT64_MAX);
    kib = (double)(during.resident_kib + during.tables_kib - before.resident_kib -
                   before.tables_kib) /
          CROWD;
    (void)printf("# %u sips in %.0f ms; each %.1f KiB (page tables %.1f); %u mappings\n", CROWD,
                 (double)(now() - from) / 1e6, kib,
                 (double)(during.tables_kib - before.tables_kib) / CROWD, during.maps);
    assert_true(during.maps - before.maps <= CROWD + 16);
    assert_true(kib <= IDLE_KIB_MAX);
    crowd_stop(1);
    crowd_start(1 + CROWD); /* and again, in used slots */
    again = usage_now();
    assert_int_equal(world.end_count, CROWD);
    assert_true(again.maps <= during.maps);
    assert_true(again.resident_kib <= during.resident_kib + 4096);
    crowd_stop(1 + CROWD);
    assert_int_equal(ended_wrong, 0);
    world_end();
}

/* --- one after the other ------------------------------------------------------------------------
 */

static void lives(uint64_t first, uint32_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct nk_sip_options options = {
            .number = first + i, .name = "life", .image_digest = digests[1]};

        assert_int_equal(nk_sip_create(world.kernel, &options, NULL, 0), SF_OK);
        assert_int_equal(nk_sip_start(world.kernel, options.number), SF_OK);
        if (i % LIVES_AT_ONCE == LIVES_AT_ONCE - 1) {
            run_ready();
        }
    }
    run_ready();
}

static void a_million_lives_leave_nothing(void **state)
{
    struct usage before, after;
    struct nk_stats stats;
    uint64_t from;

    (void)state;
    kernel_make(64);
    lives(1, WARM_UP_LIVES);
    before = usage_now();
    from = now();
    lives(1 + WARM_UP_LIVES, LIVES);
    after = usage_now();
    (void)printf("# %u lives in %.1f s; resident %lu KiB, then %lu; mappings %u, %u; "
                 "descriptors %u, %u\n",
                 LIVES, (double)(now() - from) / 1e9, before.resident_kib, after.resident_kib,
                 before.maps, after.maps, before.fds, after.fds);
    assert_int_equal(world.end_count, WARM_UP_LIVES + LIVES);
    assert_int_equal(ended_wrong, 0);
    nk_query(world.kernel, &stats);
    assert_int_equal(stats.sip_count, 0);
    assert_int_equal(after.maps, before.maps);
    assert_int_equal(after.fds, before.fds);
    assert_true(after.resident_kib + after.tables_kib <=
                before.resident_kib + before.tables_kib + 64);
    world_end();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(thirty_thousand_sips_wait_at_once),
        cmocka_unit_test(a_million_lives_leave_nothing),
    };

    if (argc != 3) {
        (void)fprintf(stderr, "usage: scale_test idle.sip exit.sip\n");
        return 2;
    }
    images[0] = file_read(argv[1]);
    images[1] = file_read(argv[2]);
    return cmocka_run_group_tests_name("scale", tests, NULL, NULL);
}
