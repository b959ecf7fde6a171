/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit walks the range page by page, and the tables from their other ends (bins, slab lists,
 * freed headers), and compares what both ways found. It trusts no link: every
 * index is checked before use and every list has the bound of what the page walk counted.
 */
#include "heap.h"

struct tally {
    const char *text; /* first thing found wrong, or NULL */
    uint64_t blocks;
    uint64_t bytes;
    uint32_t free_runs;
    uint32_t slabs_open; /* with a free slot */
    uint32_t warm_runs;
    uint32_t lent;
    uint32_t spare_pages;
    bool last_was_free;
};

static bool fail(struct tally *tally, const char *text)
{
    if (tally->text == NULL) {
        tally->text = text;
    }
    return false;
}

static bool block_check(const struct xh_heap *heap, uint32_t index, size_t offset,
                        uint32_t capacity, struct tally *tally)
{
    const struct xh_block *block;

    if (index == 0 || index >= heap->header_used) {
        return fail(tally, "a block's header index is out of range");
    }
    block = &heap->headers[index].block;
    if (block->data != heap->base + offset) {
        return fail(tally, "a header does not point back to its block");
    }
    if (block->owner == 0) {
        return fail(tally, "a live block has no owner");
    }
    if (block->capacity != capacity || block->bytes == 0 || block->bytes > capacity) {
        return fail(tally, "a block's length does not fit its place");
    }
    tally->blocks++;
    tally->bytes += capacity;
    tally->lent += block->lent != NULL;
    return true;
}

static bool slab_check(const struct xh_heap *heap, uint32_t index, struct tally *tally)
{
    const struct xh__page *page = &heap->pages[index];
    const uint32_t *units = &heap->units[(size_t)index * XH__UNITS_PER_PAGE];

    if (page->size_class >= XH__CLASS_COUNT ||
        (page->free_slots & ~xh__slab_all_free(page->size_class)) != 0) {
        return fail(tally, "a slab page has slots outside its class");
    }
    for (uint32_t unit = 0; unit < XH__UNITS_PER_PAGE; unit++) {
        uint32_t slot = unit >> page->size_class;
        bool first = (slot << page->size_class) == unit;
        bool live = first && (page->free_slots >> slot & 1u) == 0;
        if (live != (units[unit] != 0)) {
            return fail(tally, "a slab's free slots and its blocks disagree");
        }
        if (live && !block_check(heap, units[unit],
                                 (size_t)index * XH__PAGE_BYTES + (size_t)unit * XH__UNIT_BYTES,
                                 XH__CLASS_BYTES(page->size_class), tally)) {
            return false;
        }
    }
    tally->slabs_open += page->free_slots != 0;
    return true;
}

/* Of whole page tables a block may leave less than one over. */
static bool run_block_check(const struct xh_heap *heap, uint32_t index, struct tally *tally)
{
    const struct xh__page *page = &heap->pages[index];
    const uint32_t header = heap->units[(size_t)index * XH__UNITS_PER_PAGE];
    uint32_t pages = page->run_pages, spare = 0;

    if (header != 0 && header < heap->header_used) {
        spare = pages - heap->headers[header].block.capacity / XH__PAGE_BYTES;
    }
    if (spare != 0 && (pages % XH__TABLE_PAGES != 0 || spare >= XH__TABLE_PAGES)) {
        return fail(tally, "a block's length does not fit its place");
    }
    tally->spare_pages += spare;
    return block_check(heap, header, (size_t)index * XH__PAGE_BYTES,
                       (pages - spare) * XH__PAGE_BYTES, tally);
}

static bool run_check(const struct xh_heap *heap, uint32_t index, struct tally *tally)
{
    const struct xh__page *page = &heap->pages[index];
    uint32_t last = index + page->run_pages - 1;
    bool is_free = page->kind == XH__PAGE_FREE;

    if (page->run_pages == 0 || page->run_pages > heap->page_count - index) {
        return fail(tally, "a run leaves the range");
    }
    for (uint32_t p = index + 1; p <= last; p++) {
        uint8_t want = is_free && p == last ? XH__PAGE_FREE_LAST : XH__PAGE_INSIDE;
        if (heap->pages[p].kind != want) {
            return fail(tally, "two runs overlap");
        }
    }
    if (page->kind == XH__PAGE_WARM) {
        tally->warm_runs++;
        return true;
    }
    if (!is_free) {
        return run_block_check(heap, index, tally);
    }
    if (tally->last_was_free) {
        return fail(tally, "two free runs lie side by side");
    }
    if (heap->pages[last].run_pages != page->run_pages) {
        return fail(tally, "a free run's two ends disagree about its length");
    }
    tally->free_runs++;
    return true;
}

static bool range_check(const struct xh_heap *heap, struct tally *tally)
{
    uint32_t index = 0;

    while (index < heap->page_count) {
        const struct xh__page *page = &heap->pages[index];
        uint32_t step = 1;
        bool ok;
        switch (page->kind) {
        case XH__PAGE_SLAB:
            ok = slab_check(heap, index, tally);
            break;
        case XH__PAGE_RUN:
        case XH__PAGE_WARM:
        case XH__PAGE_FREE:
            ok = run_check(heap, index, tally);
            step = page->run_pages;
            break;
        default:
            ok = fail(tally, "a page belongs to nothing");
            break;
        }
        if (!ok) {
            return false;
        }
        tally->last_was_free = page->kind == XH__PAGE_FREE;
        index += step;
    }
    return true;
}

/* Every list member is of the right kind and points back; the lists together hold `expected`. */
static bool lists_check(const struct xh_heap *heap, bool bins, uint32_t expected,
                        struct tally *tally)
{
    const uint32_t *heads = bins ? heap->bins : heap->slabs;
    uint32_t head_count = bins ? XH__BIN_COUNT : XH__CLASS_COUNT;
    uint32_t count = 0;

    for (uint32_t list = 0; list < head_count; list++) {
        uint32_t prev = XH__NONE;
        for (uint32_t p = heads[list]; p != XH__NONE; p = heap->pages[p].next) {
            const struct xh__page *page;
            if (p >= heap->page_count || ++count > expected) {
                return fail(tally, "a list of pages is broken");
            }
            page = &heap->pages[p];
            if (page->prev != prev || page->kind != (bins ? XH__PAGE_FREE : XH__PAGE_SLAB) ||
                (bins ? xh__bin_of(page->run_pages) : page->size_class) != list) {
                return fail(tally, "a page is on the wrong list");
            }
            prev = p;
        }
        if (bins && (heap->bin_mask >> list & 1u) != (heads[list] != XH__NONE)) {
            return fail(tally, "the mask of bins is wrong");
        }
    }
    return count == expected ? true : fail(tally, "a page is missing from its list");
}

/* Each warm run is listed once. */
static bool warm_check(const struct xh_heap *heap, struct tally *tally)
{
    uint64_t pages = 0;

    if (heap->warm_count != tally->warm_runs || heap->warm_count > XH__WARM_MAX) {
        return fail(tally, "a warm run is missing from its list");
    }
    for (uint32_t i = 0; i < heap->warm_count; i++) {
        const struct xh__warm *run = &heap->warm[i];

        if (run->first >= heap->page_count || heap->pages[run->first].kind != XH__PAGE_WARM ||
            heap->pages[run->first].run_pages != run->pages) {
            return fail(tally, "the list of warm runs names what is none");
        }
        for (uint32_t k = 0; k < i; k++) {
            if (heap->warm[k].first == run->first) {
                return fail(tally, "a warm run is listed twice");
            }
        }
        pages += run->pages;
    }
    return pages == heap->warm_pages ? true : fail(tally, "the count of warm pages is wrong");
}

static bool headers_check(const struct xh_heap *heap, struct tally *tally)
{
    uint64_t count = 0;

    for (uint32_t i = heap->header_free; i != 0; i = heap->headers[i].next) {
        if (i >= heap->header_used || ++count >= heap->header_used) {
            return fail(tally, "the list of free headers is broken");
        }
        if (heap->headers[i].block.owner != 0) {
            return fail(tally, "a free header has an owner");
        }
    }
    if (count + tally->blocks + 1u != heap->header_used) {
        return fail(tally, "a header is neither free nor a block's");
    }
    if (tally->lent != heap->lent_count) {
        return fail(tally, "the count of blocks with lent bytes is wrong");
    }
    return true;
}

sf_status xh_audit(struct xh_heap *heap, const char **out_text)
{
    struct tally tally = {0};
    bool ok = range_check(heap, &tally) && lists_check(heap, true, tally.free_runs, &tally) &&
              lists_check(heap, false, tally.slabs_open, &tally) && warm_check(heap, &tally) &&
              headers_check(heap, &tally);

    if (ok && (tally.blocks != heap->block_count || tally.bytes != heap->bytes_in_use)) {
        ok = fail(&tally, "the counts of blocks or bytes do not add up");
    }
    if (ok && tally.spare_pages != heap->spare_pages) {
        ok = fail(&tally, "the count of pages that blocks do not need is wrong");
    }
    if (!ok && out_text != NULL) {
        *out_text = tally.text;
    }
    return ok ? SF_OK : SF_FORMAT;
}
