/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages were written: of memory that a thread writes all the time, a copy made in rounds is
 * in the end the same. Each way that this system has; others are skipped, and it is said why.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "dirty.h"

#define PAGE 4096u
#define PAGES 4096u
#define RANGE ((uint64_t)PAGES * PAGE)

static uint8_t *range, *copy;
static uint32_t seen[PAGES]; /* times that a page was visited */
static uint64_t visited;
static uint32_t looks; /* every other one in small steps */

static void range_make(void)
{
    range = mmap(NULL, RANGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                 -1, 0);
    assert_true(range != MAP_FAILED);
    (void)madvise(range, RANGE, MADV_NOHUGEPAGE); /* so that pages are what is counted */
    copy = calloc(PAGES, PAGE);
    assert_non_null(copy);
}

static void range_free(void)
{
    (void)munmap(range, RANGE);
    free(copy);
}

static sf_status visit(void *arg, uint64_t first, uint64_t end)
{
    (void)arg;
    assert_true(first >= (uint64_t)range && end <= (uint64_t)range + RANGE && first < end);
    assert_true(first % PAGE == 0 && end % PAGE == 0);
    memcpy(copy + (first - (uint64_t)range), (const void *)first, end - first);
    for (uint64_t at = first; at < end; at += PAGE) {
        seen[(at - (uint64_t)range) / PAGE]++;
        visited++;
    }
    return SF_OK;
}

static sf_status pages_add(void *arg, uint64_t first, uint64_t end)
{
    *(uint64_t *)arg += (end - first) / PAGE;
    return SF_OK;
}

static void collect(struct nk_dirty *dirty)
{
    const uint64_t pages_max = looks++ % 2 == 0 ? UINT64_MAX : 3;
    bool over = false;

    memset(seen, 0, sizeof(seen));
    visited = 0;
    assert_int_equal(nk__dirty_mark(dirty), SF_OK);
    while (!over) {
        const uint64_t before = visited;

        assert_int_equal(nk__dirty_collect(dirty, pages_max, visit, NULL, &over), SF_OK);
        assert_true(visited - before <= pages_max);
    }
}

/* NULL: the system does not have it. */
static struct nk_dirty *begin(enum nk_dirty_way way)
{
    struct nk_dirty *dirty = NULL;
    sf_status st = nk__dirty_begin((uint64_t)range, (uint64_t)range + RANGE, way, &dirty);

    if (st == SF_UNSUPPORTED) {
        (void)printf("# skipped: this system has no %s\n",
                     way == NK_DIRTY_SOFT_DIRTY ? "soft-dirty bits (CONFIG_MEM_SOFT_DIRTY)"
                                                : "UFFD_FEATURE_WP_ASYNC with PAGEMAP_SCAN");
        return NULL;
    }
    assert_int_equal(st, SF_OK);
    assert_int_equal(nk__dirty_way(dirty), way);
    return dirty;
}

static void what_was_touched_is_found(void **state)
{
    (void)state;
    range_make();
    visited = 0;
    assert_int_equal(nk__pages_touched((uint64_t)range, (uint64_t)range + RANGE, visit, NULL),
                     SF_OK);
    assert_int_equal(visited, 0);
    range[5 * PAGE] = 1;
    range[6 * PAGE + 17] = 2;
    range[(PAGES - 1) * PAGE] = 3;
    memset(seen, 0, sizeof(seen));
    assert_int_equal(nk__pages_touched((uint64_t)range, (uint64_t)range + RANGE, visit, NULL),
                     SF_OK);
    assert_true(seen[5] == 1 && seen[6] == 1 && seen[PAGES - 1] == 1);
    assert_true(visited >= 3 && visited < 3 + 1024); /* there may be huge pages */
    assert_memory_equal(copy, range, RANGE);
    range_free();
}

static void rounds(enum nk_dirty_way way)
{
    struct nk_dirty *dirty, *other = NULL;
    int zeros = open("/dev/zero", O_RDONLY | O_CLOEXEC);

    range_make();
    dirty = begin(way);
    if (dirty == NULL) {
        range_free();
        (void)close(zeros);
        return;
    }
    range[1 * PAGE] = 1;
    range[2 * PAGE] = 1;
    collect(dirty); /* the first: all */
    assert_true(seen[1] == 1 && seen[2] == 1);
    collect(dirty);
    assert_int_equal(visited, 0);
    range[2 * PAGE] = 2;                                                   /* written before */
    range[100 * PAGE] = 3;                                                 /* never */
    assert_int_equal(((volatile uint8_t *)range)[1 * PAGE], 1);            /* read is not written */
    assert_int_equal(read(zeros, range + 200 * PAGE, PAGE + 1), PAGE + 1); /* by the system */
    collect(dirty);
    assert_true(seen[2] == 1 && seen[100] == 1 && seen[200] == 1 && seen[201] == 1);
    assert_true(seen[1] == 0 && visited == 4);
    collect(dirty);
    assert_int_equal(visited, 0);
    if (way == NK_DIRTY_SOFT_DIRTY) {
        assert_int_equal(nk__dirty_begin((uint64_t)range, (uint64_t)range + RANGE, way, &other),
                         SF_AGAIN);
    }
    nk__dirty_end(dirty);
    range[2 * PAGE] = 4; /* it can be written as ever */
    dirty = begin(way);
    assert_non_null(dirty);
    collect(dirty);
    assert_int_equal(seen[2], 1);
    assert_memory_equal(copy, range, RANGE);
    nk__dirty_end(dirty);
    (void)close(zeros);
    range_free();
}

/* Watched in steps that are large enough, huge pages stay what they are. */
static void huge_pages_stay_whole(void **state)
{
    const uint64_t huge = (uint64_t)NK_DIRTY_HUGE_PAGES * PAGE;
    uint8_t *mapping =
        mmap(NULL, 5 * huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const uint64_t first = ((uint64_t)mapping + huge) / huge * huge, end = first + 3 * huge;
    struct nk_dirty *dirty = NULL;
    uint64_t pages = 0, steps = 0;
    bool over = false;

    (void)state;
    assert_true(mapping != MAP_FAILED);
    (void)madvise((void *)first, end - first, MADV_HUGEPAGE);
    memset((void *)(first - PAGE), 1, end - first + PAGE);
    if (!nk__pages_huge(first, end) ||
        nk__dirty_begin(first - PAGE, end, NK_DIRTY_WRITE_PROTECT, &dirty) != SF_OK) {
        (void)printf("# no huge pages here, or no way to watch them\n");
        (void)munmap(mapping, 5 * huge);
        skip();
    }
    assert_false(nk__pages_huge(first - PAGE, end));
    while (!over) {
        uint64_t before = pages;

        assert_int_equal(
            nk__dirty_collect(dirty, NK_DIRTY_HUGE_PAGES + 1, pages_add, &pages, &over), SF_OK);
        assert_true(pages - before <= NK_DIRTY_HUGE_PAGES + 1);
        steps++;
    }
    assert_int_equal(pages, 3 * NK_DIRTY_HUGE_PAGES + 1);
    assert_int_equal(steps, 3);
    assert_true(nk__pages_huge(first, end));
    *(volatile uint8_t *)(first + huge) = 2; /* only where it is written */
    pages = 0;
    assert_int_equal(nk__dirty_collect(dirty, UINT64_MAX, pages_add, &pages, &over), SF_OK);
    assert_int_equal(pages, 1);
    assert_true(nk__pages_huge(first, first + huge) && nk__pages_huge(first + 2 * huge, end));
    nk__dirty_end(dirty);
    (void)munmap(mapping, 5 * huge);
}

static void writes_are_seen_by_write_protection(void **state)
{
    (void)state;
    rounds(NK_DIRTY_WRITE_PROTECT);
}

static void writes_are_seen_by_soft_dirty_bits(void **state)
{
    (void)state;
    rounds(NK_DIRTY_SOFT_DIRTY);
}

static bool quit;

static void *write_all_the_time(void *arg)
{
    uint32_t x = 1;

    (void)arg;
    while (!__atomic_load_n(&quit, __ATOMIC_ACQUIRE)) {
        x = x * 1664525u + 1013904223u;
        __atomic_fetch_add((uint32_t *)(range + (x >> 20) % PAGES * PAGE + (x >> 8) % 1000 * 4), 1,
                           __ATOMIC_RELAXED);
    }
    return NULL;
}

/* The copy of a page may be torn, but then the page is written again in another round. */
static void no_write_is_lost_while_it_is_written(void **state)
{
    pthread_t thread;
    struct nk_dirty *dirty;
    uint64_t all = 0;

    (void)state;
    range_make();
    dirty = begin(NK_DIRTY_WRITE_PROTECT);
    if (dirty == NULL) {
        range_free();
        return;
    }
    quit = false;
    assert_int_equal(pthread_create(&thread, NULL, write_all_the_time, NULL), 0);
    for (uint32_t i = 0; i < 300; i++) {
        collect(dirty);
        all += visited;
        (void)usleep(1000);
    }
    __atomic_store_n(&quit, true, __ATOMIC_RELEASE);
    assert_int_equal(pthread_join(thread, NULL), 0);
    collect(dirty);
    assert_memory_equal(copy, range, RANGE);
    assert_true(all > PAGES);
    (void)printf("# %llu pages in 300 rounds\n", (unsigned long long)all);
    nk__dirty_end(dirty);
    range_free();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_touched_is_found),
        cmocka_unit_test(writes_are_seen_by_write_protection),
        cmocka_unit_test(writes_are_seen_by_soft_dirty_bits),
        cmocka_unit_test(huge_pages_stay_whole),
        cmocka_unit_test(no_write_is_lost_while_it_is_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
