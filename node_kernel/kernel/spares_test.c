/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spare memory: whose pages are where; and that a SIP which is restored into it, from any row of
 * records, sees its own bytes and zeros, never what was there.
 */
#include "restore.h"

#include "dirty.h"
#include "spares.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define REGION ((uint64_t)NK_SPARE_BYTES)
#define PAGE ((uint64_t)NK_PAGE_BYTES)
#define STALE 0xee

/* count regions, at a multiple of a region's size. */
static uint8_t *regions_map(uint32_t count)
{
    uint8_t *mapping = mmap(NULL, (count + 1) * REGION, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint8_t *first = (uint8_t *)(((uintptr_t)mapping + REGION - 1) & ~(uintptr_t)(REGION - 1));

    assert_true(mapping != MAP_FAILED);
    (void)munmap(mapping, (size_t)(first - mapping));
    (void)munmap(first + count * REGION, (size_t)(mapping + REGION - first));
    (void)madvise(first, count * REGION, MADV_HUGEPAGE); /* or else small ones are kept */
    return first;
}

static bool is_all(const uint8_t *bytes, uint64_t length, uint8_t value)
{
    return bytes[0] == value && memcmp(bytes, bytes + 1, length - 1) == 0;
}

static void pages_change_places(void **state)
{
    uint8_t *from = regions_map(2), *to = regions_map(1);
    struct nk_spares *spares;

    (void)state;
    assert_int_equal(nk__spares_create(4 * REGION + 5, &spares), SF_OK);
    assert_false(nk__spares_take(spares, to));
    memset(from, 1, REGION);
    memset(from + REGION, 2, REGION);
    assert_true(nk__spares_put(spares, from));
    assert_true(nk__spares_put(spares, from + REGION));
    assert_int_equal(nk__spares_count(spares), 2);
    assert_true(is_all(from, 2 * REGION, 0));
    memset(to, 9, PAGE);
    assert_true(nk__spares_take(spares, to));
    assert_true(is_all(to, REGION, 2)); /* the newest first */
    assert_true(nk__spares_put(spares, to));
    assert_true(is_all(to, REGION, 0));
    assert_true(nk__spares_cool(spares));
    assert_true(nk__spares_take(spares, from));
    assert_true(is_all(from, REGION, 1));
    assert_false(nk__spares_cool(spares));
    nk__spares_destroy(spares);
    nk__spares_destroy(NULL);
    (void)munmap(from, 2 * REGION);
    (void)munmap(to, REGION);
}

static void what_is_not_whole_or_too_much_stays(void **state)
{
    uint8_t *at = regions_map(3);
    struct nk_spares *spares;

    (void)state;
    assert_int_equal(nk__spares_create(2 * REGION, &spares), SF_OK);
    memset(at, 7, 3 * REGION);
    assert_int_equal(madvise(at + 5 * PAGE, PAGE, MADV_DONTNEED), 0);
    assert_false(nk__spares_put(spares, at));
    assert_true(is_all(at, 5 * PAGE, 7));
    at[5 * PAGE] = 7; /* all there; where the system makes huge pages, it was one */
    if (nk__pages_huge((uint64_t)at + REGION, (uint64_t)at + 2 * REGION)) {
        assert_false(nk__spares_put(spares, at));
    }
    assert_int_equal(madvise(at, REGION, MADV_DONTNEED), 0);
    memset(at, 7, REGION);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(nk__spares_put(spares, at + i * REGION), i < 2);
    }
    assert_true(is_all(at + 2 * REGION, REGION, 7));
    nk__spares_destroy(spares);
    assert_int_equal(nk__spares_create(REGION - 1, &spares), SF_OK);
    assert_false(nk__spares_put(spares, at + 2 * REGION));
    nk__spares_destroy(spares);
    (void)munmap(at, 3 * REGION);
}

/* So many small pages, of that content; false: the system does not say which are. */
static bool small_put(struct nk_spares *spares, uint32_t count, uint8_t value)
{
    uint8_t *at = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    const uint32_t before = nk__spares_page_count(spares);

    assert_true(at != MAP_FAILED);
    (void)madvise(at, count * PAGE, MADV_NOHUGEPAGE);
    memset(at, value, count * PAGE);
    nk__spares_put_pages(spares, at, at + count * PAGE);
    (void)munmap(at, count * PAGE);
    return nk__spares_page_count(spares) > before;
}

/* With so many small pages of ones, and room for no region. Skips if there can be none. */
static struct nk_spares *small_only(uint32_t count)
{
    struct nk_spares *spares;

    assert_int_equal(nk__spares_create(0, &spares), SF_OK);
    if (!small_put(spares, count, 1)) {
        nk__spares_destroy(spares);
        skip();
    }
    return spares;
}

static void small_pages_change_places(void **state)
{
    struct nk_spares *spares = small_only(10);
    uint8_t *to = regions_map(1);

    (void)state;
    assert_true(small_put(spares, 20, 2));
    assert_false(small_put(spares, NK_SPARE_RUN_PAGES_MIN - 1, 3));
    assert_int_equal(nk__spares_page_count(spares), 30);
    assert_false(nk__spares_take_pages(spares, to, 31 * PAGE));
    assert_true(is_all(to, REGION, 0));
    assert_true(nk__spares_take_pages(spares, to + 3 * PAGE, 25 * PAGE)); /* of both runs */
    assert_true(is_all(to, 3 * PAGE, 0));
    assert_true(is_all(to + 3 * PAGE, 20 * PAGE, 2));
    assert_true(is_all(to + 23 * PAGE, 5 * PAGE, 1));
    assert_true(is_all(to + 28 * PAGE, REGION - 28 * PAGE, 0));
    assert_int_equal(nk__spares_page_count(spares), 5);
    assert_true(small_put(spares, 2 * NK_SPARE_PAGES_MAX, 4)); /* as many as there is room for */
    assert_int_equal(nk__spares_page_count(spares), NK_SPARE_PAGES_MAX);
    assert_true(nk__spares_cool(spares));
    assert_int_equal(nk__spares_page_count(spares), NK_SPARE_PAGES_MAX - REGION / PAGE);
    assert_true(nk__spares_take_pages(spares, to, REGION));
    assert_true(is_all(to, REGION, 4));
    while (nk__spares_cool(spares)) {
    }
    assert_int_equal(nk__spares_page_count(spares), 0);
    nk__spares_destroy(spares);
    (void)munmap(to, REGION);
}

/* Those that are not there, and huge ones, stay. */
static void only_small_pages_that_are_there_are_kept(void **state)
{
    struct nk_spares *spares = small_only(8);
    uint8_t *at = regions_map(2);

    (void)state;
    (void)madvise(at, REGION, MADV_NOHUGEPAGE);
    memset(at + 10 * PAGE, 2, 30 * PAGE);
    memset(at + 50 * PAGE, 3, 9 * PAGE);
    memset(at + REGION, 4, REGION);
    nk__spares_put_pages(spares, at, at + 2 * REGION);
    if (nk__pages_huge((uint64_t)at + REGION, (uint64_t)at + 2 * REGION)) {
        assert_int_equal(nk__spares_page_count(spares), 8 + 30 + 9);
        assert_true(is_all(at + REGION, REGION, 4));
    }
    assert_true(is_all(at, REGION, 0));
    nk__spares_destroy(spares);
    (void)munmap(at, 2 * REGION);
}

/* --- restoring ----------------------------------------------------------------------------------
 */

#define MEMORY_BYTES (9 * REGION + 448 * 1024)
#define ROUNDS 3u
#define SEEDS 60u

static struct world {
    uint8_t *slot, *expected; /* expected: the linear memory */
    struct nk_kernel kernel;
    struct nk_image image;
    struct nk_sip sip;
    struct nk_restore restore;
    uint8_t kept[sizeof(struct nk_form_pages)];
} world;

static uint64_t below(uint64_t bound)
{
    return (uint64_t)random() % bound;
}

static void spares_fill(uint32_t count)
{
    uint8_t *stale = regions_map(count + 1);

    memset(stale, STALE, count * REGION);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(nk__spares_put(world.kernel.spares, stale + i * REGION));
    }
    (void)munmap(stale, (count + 1) * REGION);
}

static void world_make(uint32_t spare_count)
{
    memset(&world, 0, sizeof(world));
    world.slot = regions_map(12);
    world.expected = calloc(1, MEMORY_BYTES);
    assert_non_null(world.expected);
    assert_int_equal(nk__spares_create(64 * REGION, &world.kernel.spares), SF_OK);
    spares_fill(spare_count);
    (void)small_put(world.kernel.spares, 700, STALE);
    world.sip.kernel = &world.kernel;
    world.sip.image = &world.image;
    world.sip.memory = world.slot + NK_MEMORY;
    world.sip.memory_bytes = MEMORY_BYTES;
    world.restore.sip = &world.sip;
    world.restore.kernel = &world.kernel;
    world.restore.kept = world.kept;
}

static void world_free(void)
{
    nk__spares_destroy(world.kernel.spares);
    free(world.expected);
    (void)munmap(world.slot, 12 * REGION);
}

/* Pages [first, first + count) of the linear memory, of that content; 0: a record of zeros. */
static void record_feed(uint64_t first, uint64_t count, uint8_t value)
{
    struct nk_form_pages form = {.first = (uint32_t)(NK_MEMORY / PAGE + first),
                                 .count = (uint32_t)count};
    uint8_t *bytes = malloc(count * PAGE);
    uint64_t fed = 0;

    assert_non_null(bytes);
    memset(bytes, value, count * PAGE);
    memcpy(world.kept, &form, sizeof(form));
    memset(world.expected + first * PAGE, value, count * PAGE);
    if (value == 0) {
        assert_int_equal(nk__restore_zeros(&world.restore), SF_OK);
        fed = count * PAGE;
    } else {
        world.restore.record.bytes = (uint32_t)(sizeof(form) + count * PAGE);
        assert_int_equal(nk__restore_pages(&world.restore), SF_OK);
    }
    while (fed < count * PAGE) {
        uint64_t some = 1 + below(200000);

        some = some < count * PAGE - fed ? some : count * PAGE - fed;
        nk__restore_fill(&world.restore, bytes + fed, some);
        fed += some;
    }
    free(bytes);
}

/* Runs of all lengths, most with gaps; the first round touches much, the others little. Some end
 * early. */
static void round_feed(uint32_t number)
{
    const uint64_t pages = MEMORY_BYTES / PAGE - below(2) * below(1500);
    uint64_t at = below(4) == 0 ? below(pages) : below(40);

    while (at < pages) {
        const uint64_t longest[] = {1024, 256, 256, 64, 8};
        uint64_t count = number == 0 && below(3) != 0 ? longest[below(5)] : 1 + below(100);

        count = count < pages - at ? count : pages - at;
        record_feed(at, count, (uint8_t)(below(6) == 0 ? 0 : 1 + below(200)));
        at += count + (below(3) == 0 ? below(number == 0 ? 300 : 2000) : 0);
    }
}

static void a_sip_sees_its_own_bytes_and_zeros(void **state)
{
    uint64_t used = 0, small_used = 0;
    uint32_t small = 0;

    (void)state;
    for (uint32_t seed = 1; seed <= SEEDS; seed++) {
        const uint32_t spare_count = seed % 4 == 0 ? 1 : 12;

        srandom(seed);
        world_make(spare_count);
        small = nk__spares_page_count(world.kernel.spares);
        for (uint32_t i = 0; i < ROUNDS; i++) {
            round_feed(i);
        }
        if (below(2) == 0) { /* as a source may that is up to no good */
            record_feed(below(200), 1, 3);
            record_feed(MEMORY_BYTES / PAGE - 300, 256, 4);
            record_feed(1, 256, 5);
        }
        nk__restore_wipe(&world.restore);
        if (memcmp(world.slot + NK_MEMORY, world.expected, MEMORY_BYTES) != 0) {
            fail_msg("seed %u: not what was sent", seed);
        }
        used += spare_count - nk__spares_count(world.kernel.spares);
        small_used += small - nk__spares_page_count(world.kernel.spares);
        world_free();
    }
    assert_true(used > 2 * SEEDS);
    assert_true(small == 0 || small_used > 50 * SEEDS);
}

static void short_runs_and_a_short_memory_take_none(void **state)
{
    (void)state;
    world_make(12);
    for (uint64_t at = 0; at + 40 < MEMORY_BYTES / PAGE; at += 41) {
        record_feed(at, 40, 1);
    }
    assert_int_equal(nk__spares_count(world.kernel.spares), 12);
    world_free();
    world_make(12);
    world.sip.memory_bytes = 2880 * 1024; /* there begins a region in it, and none ends */
    record_feed(0, 256, 1);
    record_feed(256, 256, 1);
    assert_int_equal(nk__spares_count(world.kernel.spares), 12);
    world_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_change_places),
        cmocka_unit_test(what_is_not_whole_or_too_much_stays),
        cmocka_unit_test(small_pages_change_places),
        cmocka_unit_test(only_small_pages_that_are_there_are_kept),
        cmocka_unit_test(a_sip_sees_its_own_bytes_and_zeros),
        cmocka_unit_test(short_runs_and_a_short_memory_take_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
