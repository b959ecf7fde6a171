/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kept regions are the first `count` of an area of our own; the last one that came goes first.
 * The whole area stays mapped: what is moved out of it leaves empty memory behind (DONTUNMAP).
 * Small pages have an area of the same kind, whose first pages are kept, in runs: each came in one
 * go, so it is one mapping, of which any part can go in one.
 */
#include "spares.h"

#include "dirty.h"

#include <stdlib.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096u
#define REGION_PAGES (NK_SPARE_BYTES / PAGE_BYTES)

struct nk_spares {
    uint8_t *mapping;
    uint64_t mapping_bytes;
    uint8_t *area; /* its first region */
    uint32_t capacity, count;
    bool tried, huge; /* whether the system makes huge pages */

    uint8_t *pages; /* an area for NK_SPARE_PAGES_MAX */
    uint32_t page_count, run_count;
    uint16_t runs[NK_SPARE_PAGES_MAX / NK_SPARE_RUN_PAGES_MIN]; /* pages of each */
};

static bool region_is_huge(const uint8_t *region)
{
    return nk__pages_huge((uint64_t)region, (uint64_t)region + NK_SPARE_BYTES);
}

static uint8_t *area_map(uint64_t bytes)
{
    return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                -1, 0);
}

/* Tries it. */
static bool huge_pages_made(void)
{
    uint8_t *mapping = area_map(2 * NK_SPARE_BYTES);
    bool made = false;

    if (mapping != MAP_FAILED) {
        uint8_t *region = nk__spare_region(mapping);

        if (madvise(region, NK_SPARE_BYTES, MADV_HUGEPAGE) == 0) {
            *(volatile uint8_t *)region = 1;
            made = region_is_huge(region);
        }
        (void)munmap(mapping, 2 * NK_SPARE_BYTES);
    }
    return made;
}

sf_status nk__spares_create(uint64_t bytes_max, struct nk_spares **out_spares)
{
    struct nk_spares *spares = calloc(1, sizeof(*spares));
    const uint64_t regions = bytes_max / NK_SPARE_BYTES;

    if (spares == NULL) {
        return SF_NOMEM;
    }
    spares->capacity = regions < NK_SPARES_MAX ? (uint32_t)regions : NK_SPARES_MAX;
    spares->mapping_bytes = (spares->capacity + 1ull) * NK_SPARE_BYTES;
    spares->mapping = area_map(spares->mapping_bytes);
    if (spares->mapping == MAP_FAILED) {
        free(spares);
        return SF_NOMEM;
    }
    spares->pages = area_map((uint64_t)NK_SPARE_PAGES_MAX * PAGE_BYTES);
    if (spares->pages == MAP_FAILED) {
        (void)munmap(spares->mapping, spares->mapping_bytes);
        free(spares);
        return SF_NOMEM;
    }
    spares->area = nk__spare_region(spares->mapping);
    *out_spares = spares;
    return SF_OK;
}

void nk__spares_destroy(struct nk_spares *spares)
{
    if (spares != NULL) {
        (void)munmap(spares->mapping, spares->mapping_bytes);
        (void)munmap(spares->pages, (uint64_t)NK_SPARE_PAGES_MAX * PAGE_BYTES);
        free(spares);
    }
}

uint32_t nk__spares_count(const struct nk_spares *spares)
{
    return spares->count;
}

uint32_t nk__spares_page_count(const struct nk_spares *spares)
{
    return spares->page_count;
}

static uint8_t *region_at(const struct nk_spares *spares, uint32_t index)
{
    return spares->area + (uint64_t)index * NK_SPARE_BYTES;
}

static bool pages_move(uint8_t *from, uint8_t *to, uint64_t bytes)
{
    return mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to) == to;
}

static bool is_good(struct nk_spares *spares, uint8_t *region)
{
    uint8_t there[REGION_PAGES];
    uint32_t count = 0;

    if (region_is_huge(region)) {
        return true;
    }
    if (!spares->tried) {
        spares->tried = true;
        spares->huge = huge_pages_made();
    }
    if (spares->huge) {
        return false;
    }
    if (mincore(region, NK_SPARE_BYTES, there) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < REGION_PAGES; i++) {
        count += there[i] & 1u;
    }
    return count == REGION_PAGES;
}

bool nk__spares_put(struct nk_spares *spares, uint8_t *region)
{
    if (spares->count == spares->capacity || !is_good(spares, region) ||
        !pages_move(region, region_at(spares, spares->count), NK_SPARE_BYTES)) {
        return false;
    }
    spares->count++;
    return true;
}

bool nk__spares_take(struct nk_spares *spares, uint8_t *region)
{
    if (spares->count == 0 ||
        !pages_move(region_at(spares, spares->count - 1), region, NK_SPARE_BYTES)) {
        return false;
    }
    spares->count--;
    return true;
}

/* --- small pages --------------------------------------------------------------------------------
 */

static uint8_t *page_at(const struct nk_spares *spares, uint32_t index)
{
    return spares->pages + (uint64_t)index * PAGE_BYTES;
}

/* So many of these pages at most are of the last run. */
static uint32_t run_some(const struct nk_spares *spares, uint64_t count)
{
    const uint32_t run = spares->runs[spares->run_count - 1];

    return run < count ? run : (uint32_t)count;
}

/* The last pages have gone. */
static void pages_gone(struct nk_spares *spares, uint32_t count)
{
    spares->page_count -= count;
    while (count > 0) {
        const uint32_t some = run_some(spares, count);

        spares->runs[spares->run_count - 1] -= (uint16_t)some;
        spares->run_count -= spares->runs[spares->run_count - 1] == 0;
        count -= some;
    }
}

static sf_status run_put(void *arg, uint64_t first, uint64_t end)
{
    struct nk_spares *spares = arg;
    const uint64_t room = NK_SPARE_PAGES_MAX - spares->page_count;
    uint64_t count = (end - first) / PAGE_BYTES;

    count = count < room ? count : room;
    if (count >= NK_SPARE_RUN_PAGES_MIN &&
        spares->run_count < sizeof(spares->runs) / sizeof(spares->runs[0]) &&
        pages_move((uint8_t *)first, page_at(spares, spares->page_count), count * PAGE_BYTES)) {
        spares->runs[spares->run_count++] = (uint16_t)count;
        spares->page_count += (uint32_t)count;
    }
    return SF_OK;
}

void nk__spares_put_pages(struct nk_spares *spares, uint8_t *first, uint8_t *end)
{
    sf_status st = nk__pages_small((uint64_t)first, (uint64_t)end, run_put, spares);

    (void)st; /* what was not moved stays where it is */
}

bool nk__spares_take_pages(struct nk_spares *spares, uint8_t *at, uint64_t bytes)
{
    uint64_t left = bytes / PAGE_BYTES;

    if (left > spares->page_count) {
        return false;
    }
    while (left > 0) {
        const uint32_t count = run_some(spares, left);

        if (!pages_move(page_at(spares, spares->page_count - count), at,
                        (uint64_t)count * PAGE_BYTES)) {
            return false;
        }
        pages_gone(spares, count);
        at += (uint64_t)count * PAGE_BYTES;
        left -= count;
    }
    return true;
}

static bool pages_cool(struct nk_spares *spares)
{
    const uint32_t count = spares->page_count < REGION_PAGES ? spares->page_count : REGION_PAGES;

    if (count == 0) {
        return false;
    }
    (void)madvise(page_at(spares, spares->page_count - count), (uint64_t)count * PAGE_BYTES,
                  MADV_DONTNEED);
    pages_gone(spares, count);
    return true;
}

bool nk__spares_cool(struct nk_spares *spares)
{
    if (spares->count == 0) {
        return pages_cool(spares);
    }
    spares->count--;
    (void)madvise(region_at(spares, spares->count), NK_SPARE_BYTES, MADV_DONTNEED);
    return true;
}
