/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model test (random steps, compared with a plain list, audited after each step), and one test
 * per promise of xh.h. The audit itself is tested by breaking the tables on purpose.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "exchange_heap/xh.h"
#include "heap.h"

#define RANGE_BYTES (4u << 20)
#define MODEL_BLOCKS_MAX 600u
#define OWNER_COUNT 5u

static const uint64_t alice = XH_OWNER(XH_OWNER_SIP, 1);
static const uint64_t bob = XH_OWNER(XH_OWNER_SIP, 2);

static struct xh_heap *heap_make(size_t range_bytes)
{
    struct xh_options options = {.range_bytes = range_bytes};
    struct xh_heap *heap = NULL;

    assert_int_equal(xh_heap_create(&options, &heap), SF_OK);
    return heap;
}

static void heap_audit(struct xh_heap *heap)
{
    const char *text = "";

    if (xh_audit(heap, &text) != SF_OK) {
        fail_msg("audit: %s", text);
    }
}

static struct xh_block *alloc(struct xh_heap *heap, uint32_t bytes, uint64_t owner)
{
    struct xh_block *block = NULL;

    assert_int_equal(xh_alloc(heap, bytes, owner, &block), SF_OK);
    return block;
}

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* --- the model test ------------------------------------------------------------------------- */

struct model {
    struct xh_heap *heap;
    uint64_t random;
    uint32_t bits; /* blocks up to 2 ^ bits bytes */
    uint32_t count;
    struct {
        struct xh_block *block;
        uint64_t owner;
        uint32_t bytes;
        uint8_t fill;
    } blocks[MODEL_BLOCKS_MAX];
};

static uint64_t model_owner(struct model *model)
{
    uint64_t number = random_next(&model->random) % OWNER_COUNT;

    return XH_OWNER(1 + number % 4, 100 + number);
}

static uint32_t model_bytes(struct model *model)
{
    uint32_t bits = (uint32_t)(random_next(&model->random) % (model->bits + 1));

    return 1u + (uint32_t)(random_next(&model->random) & ((1u << bits) - 1u));
}

static void model_check(const struct model *model, uint32_t i)
{
    const struct xh_block *block = model->blocks[i].block;

    assert_int_equal(block->owner, model->blocks[i].owner);
    assert_int_equal(block->bytes, model->blocks[i].bytes);
    assert_int_equal((uintptr_t)block->data % 16, 0);
    assert_int_equal(block->data[0], model->blocks[i].fill);
    assert_int_equal(block->data[block->bytes - 1], model->blocks[i].fill);
}

static void model_forget(struct model *model, uint32_t i)
{
    model->blocks[i] = model->blocks[--model->count];
}

static void model_alloc(struct model *model)
{
    uint32_t i = model->count;
    uint32_t bytes = model_bytes(model);
    uint64_t owner = model_owner(model);
    struct xh_block *block = NULL;
    sf_status st;

    if (i == MODEL_BLOCKS_MAX) {
        return;
    }
    st = xh_alloc(model->heap, bytes, owner, &block);
    if (st == SF_NOMEM) {
        return;
    }
    assert_int_equal(st, SF_OK);
    model->blocks[i].block = block;
    model->blocks[i].owner = owner;
    model->blocks[i].bytes = bytes;
    model->blocks[i].fill = (uint8_t)random_next(&model->random);
    memset(block->data, model->blocks[i].fill, block->capacity);
    model->count++;
}

static void model_free_all(struct model *model)
{
    uint64_t owner = model_owner(model);
    uint64_t expected = 0;

    for (uint32_t i = model->count; i-- > 0;) {
        if (model->blocks[i].owner == owner) {
            model_check(model, i);
            model_forget(model, i);
            expected++;
        }
    }
    assert_int_equal(xh_free_all(model->heap, owner), expected);
}

static void model_change(struct model *model)
{
    uint32_t i = (uint32_t)(random_next(&model->random) % model->count);
    uint64_t to = model_owner(model);

    model_check(model, i);
    switch (random_next(&model->random) % 3) {
    case 0:
        assert_int_equal(xh_free(model->heap, model->blocks[i].block, model->blocks[i].owner),
                         SF_OK);
        model_forget(model, i);
        break;
    case 1:
        assert_int_equal(xh_give(model->blocks[i].block, model->blocks[i].owner, to), SF_OK);
        model->blocks[i].owner = to;
        break;
    default:
        model->blocks[i].bytes =
            1u + (uint32_t)(random_next(&model->random) % model->blocks[i].bytes);
        assert_int_equal(xh_trim(model->heap, model->blocks[i].block, model->blocks[i].bytes),
                         SF_OK);
        break;
    }
}

static void random_steps_agree(size_t range_bytes, bool tables, uint32_t bits)
{
    const struct xh_options options = {.range_bytes = range_bytes, .tables = tables};
    static struct model model;

    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct xh_stats stats;
        print_message("# seed %llu\n", (unsigned long long)seed);
        model = (struct model){.random = seed * 0x9e3779b9u, .bits = bits};
        assert_int_equal(xh_heap_create(&options, &model.heap), SF_OK);
        for (uint32_t step = 0; step < 1500; step++) {
            uint64_t what = random_next(&model.random) % 100;
            if (what < 50 || model.count == 0) {
                model_alloc(&model);
            } else if (what < 98) {
                model_change(&model);
            } else if (what < 99) {
                model_free_all(&model);
            } else {
                xh_cool(model.heap);
            }
            heap_audit(model.heap);
            xh_query(model.heap, &stats);
            assert_int_equal(stats.block_count, model.count);
        }
        while (model.count > 0) {
            model_free_all(&model);
        }
        heap_audit(model.heap);
        xh_query(model.heap, &stats);
        assert_int_equal(stats.bytes_in_use, 0);
        xh_cool(model.heap);
        heap_audit(model.heap);
        (void)alloc(model.heap, (uint32_t)range_bytes, bob); /* one run again */
        xh_heap_destroy(model.heap);
    }
}

static void random_steps_agree_with_a_plain_list(void **unused)
{
    (void)unused;
    random_steps_agree(RANGE_BYTES, false, 17);
    random_steps_agree(8 * RANGE_BYTES, true, 21);
}

/* --- one test per promise ------------------------------------------------------------------- */

static void exhaustion_says_nomem_and_everything_comes_back(void **unused)
{
    struct xh_heap *heap = heap_make(2u << 20);
    struct xh_block *block = NULL;
    uint32_t count = 0;

    (void)unused;
    while (xh_alloc(heap, 64, alice, &block) == SF_OK) {
        count++;
    }
    assert_int_equal(count, (2u << 20) / 64);
    heap_audit(heap);
    assert_int_equal(xh_alloc(heap, 5000, bob, &block), SF_NOMEM);
    assert_int_equal(xh_free_all(heap, alice), count);
    heap_audit(heap);
    /* Also the empty page that the size class keeps: the whole range is one run again. */
    assert_int_equal(xh_alloc(heap, 2u << 20, bob, &block), SF_OK);
    heap_audit(heap);
    assert_int_equal(xh_free(heap, block, bob), SF_OK);
    xh_heap_destroy(heap);
}

static void only_the_owner_may_free_or_give(void **unused)
{
    struct xh_heap *heap = heap_make(2u << 20);
    struct xh_block *block = NULL;

    (void)unused;
    assert_int_equal(xh_alloc(heap, 100, alice, &block), SF_OK);
    assert_int_equal(xh_free(heap, block, bob), SF_NOTOWNER);
    assert_int_equal(xh_give(block, bob, alice), SF_NOTOWNER);
    assert_int_equal(xh_free_all(heap, bob), 0);
    assert_int_equal(xh_give(block, alice, bob), SF_OK);
    assert_int_equal(xh_free(heap, block, alice), SF_NOTOWNER);
    assert_int_equal(xh_free(heap, block, 0), SF_NOTOWNER);
    assert_int_equal(xh_free(heap, block, bob), SF_OK);
    /* A header that was freed has no owner. */
    assert_int_equal(xh_free(heap, block, bob), SF_NOTOWNER);
    assert_int_equal(xh_free(heap, NULL, bob), SF_OK);
    heap_audit(heap);
    xh_heap_destroy(heap);
}

static void sizes_out_of_range_are_refused(void **unused)
{
    struct xh_options options = {.range_bytes = (2u << 20) + 4096};
    struct xh_heap *heap = NULL;
    struct xh_block *block = NULL;

    (void)unused;
    assert_int_equal(xh_heap_create(&options, &heap), SF_BADARG);
    options.range_bytes = 0;
    assert_int_equal(xh_heap_create(&options, &heap), SF_BADARG);
    heap = heap_make(2u << 20);
    assert_int_equal(xh_alloc(heap, 0, alice, &block), SF_BADARG);
    assert_int_equal(xh_alloc(heap, XH_BLOCK_BYTES_MAX + 1, alice, &block), SF_BADARG);
    assert_int_equal(xh_alloc(heap, 10, alice, &block), SF_OK);
    assert_int_equal(xh_trim(heap, block, 0), SF_BADARG);
    assert_int_equal(xh_trim(heap, block, 11), SF_BADARG);
    assert_int_equal(xh_trim(heap, block, 3), SF_OK);
    assert_int_equal(block->bytes, 3);
    xh_heap_destroy(heap);
}

static struct xh_block *alloc_for(struct xh_heap *heap, uint32_t bytes, uint64_t reader,
                                  enum xh_pages expected)
{
    struct xh_block *block = NULL;
    enum xh_pages pages;

    assert_int_equal(xh_alloc_for(heap, bytes, alice, reader, &pages, &block), SF_OK);
    assert_int_equal(pages, expected);
    assert_int_equal(block->reader, 0);
    return block;
}

static struct xh_stats stats_of(const struct xh_heap *heap)
{
    struct xh_stats stats;

    xh_query(heap, &stats);
    return stats;
}

static void a_replaced_place_is_fresh_when_it_was_given_back(void **unused)
{
    struct xh_heap *heap = heap_make(8u << 20);
    struct xh_block *block;
    uint8_t *data;

    (void)unused;
    assert_int_equal(xh_room(heap, alloc(heap, 100, alice)), 0); /* it shares its page */
    block = alloc(heap, 5000, alice);
    assert_int_equal(xh_room(heap, block), 8192);
    data = block->data;
    memset(data, 1, 8192);
    assert_int_equal(xh_trim(heap, block, 10), SF_OK);
    assert_int_equal(xh_room(heap, block), 8192);
    xh_replaced(heap, block, 0);
    assert_int_equal(xh_free(heap, block, alice), SF_OK);
    xh_cool(heap);
    block = alloc(heap, 8192, bob);
    assert_ptr_equal(block->data, data);
    for (uint32_t i = 0; i < 8192; i++) {
        assert_int_equal(block->data[i], 0);
    }
    memset(data, 1, 8192); /* once only */
    assert_int_equal(xh_free(heap, block, bob), SF_OK);
    xh_cool(heap);
    block = alloc(heap, 8192, bob);
    assert_ptr_equal(block->data, data);
    assert_int_equal(block->data[0], 1);
    heap_audit(heap);
    xh_heap_destroy(heap);
}

/* --- warm runs ------------------------------------------------------------------------------ */

static void a_freed_run_is_warm_for_the_next_of_its_size(void **unused)
{
    struct xh_heap *heap = heap_make(8u << 20);
    struct xh_block *block = alloc(heap, 9000, alice);
    uint8_t *data = block->data;
    struct xh_stats stats;

    (void)unused;
    memset(data, 7, 12288);
    xh_replaced(heap, block, 0);
    assert_int_equal(xh_free(heap, block, alice), SF_OK);
    heap_audit(heap);
    stats = stats_of(heap);
    assert_int_equal(stats.warm_count, 1);
    assert_int_equal(stats.warm_bytes, 12288);
    assert_int_equal(stats.block_count, 0);
    assert_int_equal(stats.bytes_in_use, 0);
    assert_ptr_not_equal(alloc(heap, 8192, bob)->data, data); /* another size */
    block = alloc(heap, 12288, bob);
    assert_ptr_equal(block->data, data);
    assert_int_equal(data[12287], 7); /* as it was left */
    stats = stats_of(heap);
    assert_int_equal(stats.warm_count, 0);
    assert_int_equal(stats.warm_bytes, 0);
    assert_int_equal(xh_free(heap, block, bob), SF_OK);
    xh_cool(heap); /* what was replaced earlier is still known */
    assert_int_equal(stats_of(heap).warm_count, 0);
    block = alloc(heap, 12288, bob);
    assert_ptr_equal(block->data, data);
    assert_int_equal(data[12287], 0);
    heap_audit(heap);
    xh_heap_destroy(heap);
}

static void warm_runs_have_two_bounds_and_the_oldest_goes(void **unused)
{
    struct xh_heap *heap = heap_make(8u << 20);
    struct xh_block *blocks[40], *block;
    uint8_t *first;

    (void)unused;
    for (uint32_t i = 0; i < 40; i++) {
        blocks[i] = alloc(heap, 8192, alice);
        memset(blocks[i]->data, 1, 8192);
        xh_replaced(heap, blocks[i], 0);
    }
    first = blocks[0]->data;
    for (uint32_t i = 0; i < 40; i++) {
        assert_int_equal(xh_free(heap, blocks[i], alice), SF_OK);
        heap_audit(heap);
        assert_int_equal(stats_of(heap).warm_count, i < 32 ? i + 1 : 32);
    }
    for (uint32_t i = 0; i < 8; i++) { /* what was the oldest has fresh pages */
        assert_int_equal(first[i * 8192], 0);
    }
    assert_int_equal(first[8 * 8192], 1);
    block = alloc(heap, 600 << 10, alice);
    assert_int_equal(xh_free(heap, block, alice), SF_OK);
    heap_audit(heap);
    assert_int_equal(stats_of(heap).warm_count, 32); /* 31 small ones, by count */
    block = alloc(heap, 500 << 10, alice);
    assert_int_equal(xh_free(heap, block, alice), SF_OK);
    heap_audit(heap);
    assert_int_equal(stats_of(heap).warm_count, 1); /* by bytes: an eighth is 1 MiB */
    assert_int_equal(stats_of(heap).warm_bytes, 500 << 10);
    block = alloc(heap, (1 << 20) + 1, alice);
    assert_false(xh_stays_warm(heap, block));
    assert_int_equal(xh_free(heap, block, alice), SF_OK);
    assert_int_equal(stats_of(heap).warm_count, 1);
    block = alloc(heap, 1 << 20, alice);
    assert_true(xh_stays_warm(heap, block));
    xh_away(heap, block); /* nothing is there */
    assert_int_equal(xh_free(heap, block, alice), SF_OK);
    assert_int_equal(stats_of(heap).warm_count, 1);
    block = alloc(heap, 4096, alice);
    assert_false(xh_stays_warm(heap, block));
    heap_audit(heap);
    xh_heap_destroy(heap);
}

static void a_full_heap_takes_warm_runs_back(void **unused)
{
    struct xh_heap *heap = heap_make(2u << 20);
    struct xh_block *block;
    uint32_t count = 0;

    (void)unused;
    for (uint32_t i = 2; i < 10; i++) {
        block = alloc(heap, i * 4096, alice);
        assert_int_equal(xh_free(heap, block, alice), SF_OK);
    }
    assert_int_equal(stats_of(heap).warm_count, 8);
    block = alloc(heap, 2u << 20, alice); /* all of it */
    assert_int_equal(stats_of(heap).warm_count, 0);
    heap_audit(heap);
    assert_int_equal(xh_free(heap, block, alice), SF_OK);
    block = alloc(heap, 64 << 10, alice);
    assert_int_equal(xh_free(heap, block, alice), SF_OK);
    while (xh_alloc(heap, 64, alice, &block) == SF_OK) { /* small ones, too */
        count++;
    }
    assert_int_equal(count, (2u << 20) / 64);
    heap_audit(heap);
    xh_heap_destroy(heap);
}

/* A block that came home from reader 1, and was then given to `to` and freed by it. */
static void freed_by(struct xh_heap *heap, uint64_t reader, uint64_t to)
{
    struct xh_block *block = alloc_for(heap, 8192, 99, XH_PAGES_COLD);

    xh_replaced(heap, block, reader);
    assert_int_equal(xh_give(block, alice, to), SF_OK);
    assert_int_equal(xh_free(heap, block, to), SF_OK);
}

static void only_who_has_seen_all_bytes_gets_them_uncleared(void **unused)
{
    static const uint64_t forget[] = {XH_OWNER(XH_OWNER_SIP, 2), XH_OWNER(XH_OWNER_SERVICE, 1), 5};
    static const uint64_t keep[] = {XH_OWNER(XH_OWNER_MESSAGE, 2), XH_OWNER(XH_OWNER_SESSION, 1)};
    struct xh_heap *heap = heap_make(2u << 20);
    struct xh_block *block, *other;

    (void)unused;
    for (uint32_t i = 0; i < 3; i++) { /* it may have written into it */
        freed_by(heap, 1, forget[i]);
        (void)alloc_for(heap, 8192, 1, XH_PAGES_WARM);
    }
    for (uint32_t i = 0; i < 2; i++) {
        freed_by(heap, 1, keep[i]);
        block = alloc_for(heap, 8192, 1, XH_PAGES_SEEN);
        assert_int_equal(xh_free(heap, block, alice), SF_OK); /* allocated: forgotten */
        (void)alloc_for(heap, 8192, 1, XH_PAGES_WARM);
        freed_by(heap, 1, keep[i]);
        (void)alloc_for(heap, 8192, 2, XH_PAGES_WARM);
    }
    freed_by(heap, 0, keep[0]);
    (void)alloc_for(heap, 8192, 1, XH_PAGES_WARM);

    block = alloc_for(heap, 8192, 1, XH_PAGES_COLD);
    xh_replaced(heap, block, 1);
    xh_forget(block);
    assert_int_equal(xh_free(heap, block, alice), SF_OK);
    (void)alloc_for(heap, 8192, 1, XH_PAGES_WARM);

    /* Each gets its own, and somebody else what is nobody's. */
    block = alloc_for(heap, 8192, 1, XH_PAGES_COLD);
    other = alloc_for(heap, 8192, 2, XH_PAGES_COLD);
    freed_by(heap, 0, keep[0]);
    xh_replaced(heap, block, 1);
    xh_replaced(heap, other, 2);
    assert_int_equal(xh_free(heap, block, alice), SF_OK);
    assert_int_equal(xh_free(heap, other, alice), SF_OK);
    (void)alloc_for(heap, 8192, 3, XH_PAGES_WARM);
    (void)alloc_for(heap, 8192, 1, XH_PAGES_SEEN);
    (void)alloc_for(heap, 8192, 2, XH_PAGES_SEEN);
    heap_audit(heap);
    xh_heap_destroy(heap);
}

#define THREADS 3u

/* Each fills and checks its own blocks; the heap is too small for all, so that it is cooled, too.
 */
static void *thread_run(void *arg)
{
    struct xh_heap *heap = ((void **)arg)[0];
    uint64_t number = (uintptr_t)((void **)arg)[1], random = number * 0x9e3779b97f4a7c15ull;
    const uint64_t owner = XH_OWNER(XH_OWNER_SIP, number);
    struct xh_block *held[6] = {NULL};
    uintptr_t bad = 0;

    for (uint32_t step = 0; step < 20000; step++) {
        uint32_t i = (uint32_t)(random_next(&random) % 6);
        uint32_t bytes = 4096 * (2 + (uint32_t)(random_next(&random) % 20));

        if (held[i] != NULL) {
            bad += held[i]->data[0] != number || held[i]->data[held[i]->capacity - 1] != number;
            if (random_next(&random) % 2 == 0) {
                xh_replaced(heap, held[i], 0);
            }
            bad += xh_free(heap, held[i], owner) != SF_OK;
            held[i] = NULL;
        } else if (xh_alloc(heap, bytes, owner, &held[i]) == SF_OK) {
            held[i]->data[0] = held[i]->data[bytes - 1] = (uint8_t)number;
        }
        if (random_next(&random) % 500 == 0) {
            xh_cool(heap);
        }
    }
    for (uint32_t i = 0; i < 6; i++) {
        bad += xh_free(heap, held[i], owner) != SF_OK;
    }
    return (void *)bad;
}

static void threads_share_warm_runs(void **unused)
{
    struct xh_heap *heap = heap_make(2u << 20);
    void *args[THREADS][2];
    pthread_t threads[THREADS];

    (void)unused;
    for (uint32_t i = 0; i < THREADS; i++) {
        args[i][0] = heap;
        args[i][1] = (void *)(uintptr_t)(i + 1);
        assert_int_equal(pthread_create(&threads[i], NULL, thread_run, args[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        void *bad = NULL;
        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
    heap_audit(heap);
    assert_int_equal(stats_of(heap).block_count, 0);
    (void)alloc(heap, 2u << 20, bob); /* nothing got lost */
    xh_heap_destroy(heap);
}

static void large_blocks_begin_at_multiples_of_2_mib_while_there_is_room(void **unused)
{
    struct xh_heap *heap = heap_make(12u << 20);
    struct xh_block *small = NULL, *block[4] = {NULL};
    uint32_t aligned = 0;

    (void)unused;
    assert_int_equal(xh_alloc(heap, 5000, alice, &small), SF_OK);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(xh_alloc(heap, 2u << 20, bob, &block[i]), SF_OK);
        aligned += (uintptr_t)block[i]->data % (2u << 20) == 0;
        heap_audit(heap);
    }
    assert_true(aligned >= 3);
    assert_int_equal(xh_free_all(heap, bob), 4);
    assert_int_equal(xh_free(heap, small, alice), SF_OK);
    /* Nothing is lost by it: the whole range is one run again. */
    assert_int_equal(xh_alloc(heap, 12u << 20, bob, &small), SF_OK);
    heap_audit(heap);
    xh_heap_destroy(heap);
}

static void blocks_get_whole_page_tables_up_to_a_quarter_of_the_range(void **unused)
{
    const struct xh_options options = {.range_bytes = 32u << 20, .tables = true};
    struct xh_heap *heap = NULL;
    struct xh_block *block[7], *small;

    (void)unused;
    assert_int_equal(xh_heap_create(&options, &heap), SF_OK);
    small = alloc(heap, XH_TABLE_BLOCK_BYTES_MIN - 4096, alice);
    assert_false(xh_has_tables(heap, small));
    assert_int_equal(xh_room(heap, small), small->capacity);
    for (uint32_t i = 0; i < 7; i++) { /* almost 2 MiB of each are not needed, and 8 may be */
        block[i] = alloc(heap, XH_TABLE_BLOCK_BYTES_MIN, alice);
        assert_int_equal(xh_has_tables(heap, block[i]), i < 4);
        assert_int_equal(block[i]->capacity, XH_TABLE_BLOCK_BYTES_MIN);
        assert_int_equal(xh_room(heap, block[i]), i < 4 ? XH_TABLE_BYTES : block[i]->capacity);
        heap_audit(heap);
    }
    small = alloc(heap, XH_TABLE_BYTES + 4096, alice);
    assert_false(xh_has_tables(heap, small)); /* that would leave almost 2 MiB over */
    heap->spare_pages++;
    assert_int_equal(xh_audit(heap, NULL), SF_FORMAT);
    heap->spare_pages--;
    heap_audit(heap);
    assert_int_equal(xh_free_all(heap, alice), 9);
    heap_audit(heap);
    block[0] = alloc(heap, XH_TABLE_BYTES + 4096, alice);
    assert_int_equal(xh_room(heap, block[0]), 2 * XH_TABLE_BYTES);
    xh_heap_destroy(heap);
}

static void what_was_used_of_whole_page_tables_is_known(void **unused)
{
    const struct xh_options options = {.range_bytes = 32u << 20, .tables = true};
    const uint32_t mib = 1u << 20;
    struct xh_heap *heap = NULL;
    struct xh_block *block;
    uint8_t *data;

    (void)unused;
    assert_int_equal(xh_heap_create(&options, &heap), SF_OK);
    block = alloc(heap, mib, alice);
    data = block->data;
    assert_int_equal(xh_used(heap, block), XH_TABLE_BYTES); /* who knows */
    xh_wiped(heap, block, mib);
    assert_int_equal(xh_used(heap, block), mib);
    assert_int_equal(xh_free(heap, block, alice), SF_OK);
    block = alloc(heap, mib / 2, alice);
    assert_ptr_equal(block->data, data);
    assert_int_equal(xh_used(heap, block), mib); /* by the one before */
    assert_int_equal(xh_free(heap, block, alice), SF_OK);
    block = alloc(heap, mib + mib / 2, alice);
    assert_ptr_equal(block->data, data);
    assert_int_equal(xh_used(heap, block), mib + mib / 2);
    xh_wiped(heap, block, 0);
    assert_int_equal(xh_free(heap, block, alice), SF_OK);
    xh_cool(heap);
    block = alloc(heap, mib, alice);
    assert_int_equal(xh_used(heap, block), XH_TABLE_BYTES);
    xh_heap_destroy(heap);
}

static void a_taken_address_says_exists(void **unused)
{
    struct xh_options options = {
        .base = (void *)(uintptr_t)(XH_CELL_BASE + 1000 * XH_NODE_STRIDE),
        .range_bytes = 2u << 20,
    };
    struct xh_heap *first = NULL;
    struct xh_heap *second = NULL;
    struct xh_block *block = NULL;

    (void)unused;
    assert_int_equal(xh_heap_create(&options, &first), SF_OK);
    assert_int_equal(xh_heap_create(&options, &second), SF_EXISTS);
    assert_int_equal(xh_alloc(first, 1, alice, &block), SF_OK);
    assert_true(block->data >= (uint8_t *)options.base);
    assert_true(block->data < (uint8_t *)options.base + options.range_bytes);
    xh_heap_destroy(first);
    xh_heap_destroy(NULL);
}

struct walk {
    const uint8_t *last;
    uint32_t count;
};

static void walk_visit(void *arg, const struct xh_block *block)
{
    struct walk *walk = arg;

    assert_true(walk->last == NULL || block->data > walk->last);
    walk->last = block->data;
    walk->count++;
}

static void walk_visits_each_block_in_address_order(void **unused)
{
    struct xh_heap *heap = heap_make(2u << 20);
    struct walk walk = {0};

    (void)unused;
    for (uint32_t i = 0; i < 200; i++) {
        struct xh_block *block = NULL;
        assert_int_equal(xh_alloc(heap, 1 + i * 37, i % 2 ? alice : bob, &block), SF_OK);
    }
    (void)xh_free_all(heap, alice);
    xh_walk(heap, walk_visit, &walk);
    assert_int_equal(walk.count, 100);
    xh_heap_destroy(heap);
}

static void audit_expect(struct xh_heap *heap, const char *expected)
{
    const char *text = NULL;

    assert_int_equal(xh_audit(heap, &text), SF_FORMAT);
    assert_string_equal(text, expected);
}

static void audit_finds_what_is_broken(void **unused)
{
    struct xh_heap *heap = heap_make(2u << 20);
    struct xh_block *small = NULL;
    struct xh_block *large = NULL, *warm;
    uint8_t *data;
    uint32_t page;

    (void)unused;
    assert_int_equal(xh_alloc(heap, 64, alice, &small), SF_OK);
    assert_int_equal(xh_alloc(heap, 3 * 4096, bob, &large), SF_OK);
    heap_audit(heap);

    small->owner = 0;
    audit_expect(heap, "a live block has no owner");
    small->owner = alice;

    data = small->data;
    small->data = large->data; /* two blocks in one place */
    audit_expect(heap, "a header does not point back to its block");
    small->data = data;

    page = (uint32_t)((size_t)(large->data - heap->base) / XH__PAGE_BYTES);
    heap->pages[page + 1].kind = XH__PAGE_RUN;
    heap->pages[page + 1].run_pages = 1;
    audit_expect(heap, "two runs overlap");
    heap->pages[page + 1].kind = XH__PAGE_INSIDE;

    page = (uint32_t)((size_t)(small->data - heap->base) / XH__PAGE_BYTES);
    heap->pages[page].free_slots |= 1;
    audit_expect(heap, "a slab's free slots and its blocks disagree");
    heap->pages[page].free_slots &= ~1ull;

    warm = alloc(heap, 8192, alice);
    assert_int_equal(xh_free(heap, warm, alice), SF_OK);
    heap_audit(heap);
    heap->warm[0].first++;
    audit_expect(heap, "the list of warm runs names what is none");
    heap->warm[0].first--;
    heap->warm_pages++;
    audit_expect(heap, "the count of warm pages is wrong");
    heap->warm_pages--;
    heap->warm_count = 0;
    audit_expect(heap, "a warm run is missing from its list");
    heap->warm_count = 1;
    warm = alloc(heap, 3 * 4096, alice);
    assert_int_equal(xh_free(heap, warm, alice), SF_OK);
    heap->warm[2] = heap->warm[1];
    heap->warm[1] = heap->warm[0];
    audit_expect(heap, "a warm run is listed twice");
    heap->warm[1] = heap->warm[2];

    heap->bytes_in_use++;
    audit_expect(heap, "the counts of blocks or bytes do not add up");
    heap->bytes_in_use--;
    heap_audit(heap);
    xh_heap_destroy(heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_steps_agree_with_a_plain_list),
        cmocka_unit_test(exhaustion_says_nomem_and_everything_comes_back),
        cmocka_unit_test(only_the_owner_may_free_or_give),
        cmocka_unit_test(sizes_out_of_range_are_refused),
        cmocka_unit_test(a_replaced_place_is_fresh_when_it_was_given_back),
        cmocka_unit_test(a_freed_run_is_warm_for_the_next_of_its_size),
        cmocka_unit_test(warm_runs_have_two_bounds_and_the_oldest_goes),
        cmocka_unit_test(a_full_heap_takes_warm_runs_back),
        cmocka_unit_test(only_who_has_seen_all_bytes_gets_them_uncleared),
        cmocka_unit_test(threads_share_warm_runs),
        cmocka_unit_test(large_blocks_begin_at_multiples_of_2_mib_while_there_is_room),
        cmocka_unit_test(blocks_get_whole_page_tables_up_to_a_quarter_of_the_range),
        cmocka_unit_test(what_was_used_of_whole_page_tables_is_known),
        cmocka_unit_test(a_taken_address_says_exists),
        cmocka_unit_test(walk_visits_each_block_in_address_order),
        cmocka_unit_test(audit_finds_what_is_broken),
    };

    return cmocka_run_group_tests_name("xh", tests, NULL, NULL);
}
