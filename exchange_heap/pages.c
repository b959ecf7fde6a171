/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <sys/mman.h>

#include "heap.h"

/*
 * Free runs are kept in bins by size with their length at both ends, so that giving a run back
 * finds its free neighbours without a search. How many runs of the request's own bin are tried
 * before a larger one is split:
 */
#define NEAR_FIT_TRIES 8u

uint32_t xh__bin_of(uint32_t page_count)
{
    assert(page_count > 0);
    return 31u - (uint32_t)__builtin_clz(page_count);
}

static void run_insert(struct xh_heap *heap, uint32_t first, uint32_t count)
{
    struct xh__page *page = &heap->pages[first];
    uint32_t bin = xh__bin_of(count);

    page->kind = XH__PAGE_FREE;
    page->run_pages = count;
    page->prev = XH__NONE;
    page->next = heap->bins[bin];
    if (page->next != XH__NONE) {
        heap->pages[page->next].prev = first;
    }
    heap->bins[bin] = first;
    heap->bin_mask |= 1u << bin;
    if (count > 1) {
        heap->pages[first + count - 1].kind = XH__PAGE_FREE_LAST;
        heap->pages[first + count - 1].run_pages = count;
    }
}

/* Afterwards all its pages are INSIDE. */
static void run_remove(struct xh_heap *heap, uint32_t first)
{
    struct xh__page *page = &heap->pages[first];
    uint32_t bin = xh__bin_of(page->run_pages);

    assert(page->kind == XH__PAGE_FREE);
    if (page->prev != XH__NONE) {
        heap->pages[page->prev].next = page->next;
    } else {
        heap->bins[bin] = page->next;
        if (page->next == XH__NONE) {
            heap->bin_mask &= ~(1u << bin);
        }
    }
    if (page->next != XH__NONE) {
        heap->pages[page->next].prev = page->prev;
    }
    heap->pages[first + page->run_pages - 1].kind = XH__PAGE_INSIDE;
    page->kind = XH__PAGE_INSIDE;
}

void xh__pages_init(struct xh_heap *heap)
{
    for (uint32_t bin = 0; bin < XH__BIN_COUNT; bin++) {
        heap->bins[bin] = XH__NONE;
    }
    run_insert(heap, 0, heap->page_count);
}

static uint32_t run_search(const struct xh_heap *heap, uint32_t bin, uint32_t count, uint32_t tries)
{
    uint32_t first = heap->bins[bin];

    while (first != XH__NONE && tries > 0) {
        if (heap->pages[first].run_pages >= count) {
            return first;
        }
        first = heap->pages[first].next;
        tries--;
    }
    return XH__NONE;
}

static uint32_t run_find(const struct xh_heap *heap, uint32_t count)
{
    uint32_t bin = xh__bin_of(count);
    uint32_t first = run_search(heap, bin, count, NEAR_FIT_TRIES);
    uint32_t larger = heap->bin_mask & ~((2u << bin) - 1u);

    if (first != XH__NONE) {
        return first;
    }
    if (larger != 0) {
        return heap->bins[__builtin_ctz(larger)];
    }
    return run_search(heap, bin, count, heap->page_count);
}

/* Pages from `first` to the next aligned address. */
static uint32_t pages_to_aligned(const struct xh_heap *heap, uint32_t first)
{
    size_t page = (size_t)heap->base / XH__PAGE_BYTES + first;

    return (uint32_t)(-page % XH__TABLE_PAGES);
}

/* Runs of whole page tables and more begin where one does if they can: then they can be moved. */
uint32_t xh__pages_take(struct xh_heap *heap, uint32_t count, bool aligned)
{
    uint32_t first =
        count < XH__TABLE_PAGES ? XH__NONE : run_find(heap, count + XH__TABLE_PAGES - 1);
    uint32_t run_pages, skipped = 0;

    if (first != XH__NONE) {
        skipped = pages_to_aligned(heap, first);
    } else if (!aligned) {
        first = run_find(heap, count);
    }
    if (first == XH__NONE) {
        return XH__NONE;
    }
    run_pages = heap->pages[first].run_pages - skipped;
    run_remove(heap, first);
    if (skipped > 0) {
        run_insert(heap, first, skipped);
    }
    first += skipped;
    if (run_pages > count) {
        run_insert(heap, first + count, run_pages - count);
    }
    return first;
}

/* If it fails, for want of mappings, the old pages are as good. */
void xh__run_renew(struct xh_heap *heap, uint32_t first)
{
    struct xh__page *page = &heap->pages[first];

    if (page->replaced) {
        page->replaced = 0;
        (void)mmap(heap->base + (size_t)first * XH__PAGE_BYTES,
                   (size_t)page->run_pages * XH__PAGE_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    }
}

static struct xh__page *run_of(const struct xh_heap *heap, const struct xh_block *block)
{
    struct xh__page *page = &heap->pages[(size_t)(block->data - heap->base) / XH__PAGE_BYTES];

    return page->kind == XH__PAGE_RUN ? page : NULL;
}

size_t xh_room(const struct xh_heap *heap, const struct xh_block *block)
{
    const struct xh__page *page = run_of(heap, block);

    return page == NULL ? 0 : (size_t)page->run_pages * XH__PAGE_BYTES;
}

size_t xh_used(const struct xh_heap *heap, const struct xh_block *block)
{
    const struct xh__page *page = run_of(heap, block);

    return page == NULL ? 0 : (size_t)page->used * XH__PAGE_BYTES;
}

void xh_wiped(struct xh_heap *heap, struct xh_block *block, size_t bytes)
{
    struct xh__page *page = run_of(heap, block);

    assert(page != NULL && bytes % XH__PAGE_BYTES == 0);
    page->used = (uint32_t)(bytes / XH__PAGE_BYTES);
}

void xh_replaced(struct xh_heap *heap, struct xh_block *block, uint64_t reader)
{
    struct xh__page *page = run_of(heap, block);

    assert(page != NULL);
    page->replaced = 1;
    page->away = 0;
    block->reader = reader;
}

void xh_away(struct xh_heap *heap, struct xh_block *block)
{
    struct xh__page *page = run_of(heap, block);

    assert(page != NULL);
    page->away = 1;
    block->reader = 0;
}

bool xh_stays_warm(const struct xh_heap *heap, const struct xh_block *block)
{
    const struct xh__page *page = run_of(heap, block);

    return page != NULL && xh__warm_wants(heap, page->run_pages);
}

void xh__pages_give(struct xh_heap *heap, uint32_t first, uint32_t count)
{
    uint32_t after = first + count;

    heap->pages[first].kind = XH__PAGE_INSIDE;
    if (after < heap->page_count && heap->pages[after].kind == XH__PAGE_FREE) {
        count += heap->pages[after].run_pages;
        run_remove(heap, after);
    }
    if (first > 0) {
        const struct xh__page *before = &heap->pages[first - 1];
        if (before->kind == XH__PAGE_FREE || before->kind == XH__PAGE_FREE_LAST) {
            uint32_t before_pages = before->run_pages;
            first -= before_pages;
            count += before_pages;
            run_remove(heap, first);
        }
    }
    run_insert(heap, first, count);
}
