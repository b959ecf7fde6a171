/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kept regions are the first `count` of an area of our own; the last one that came goes first.
 * The whole area stays mapped: what is moved out of it leaves empty memory behind (DONTUNMAP).
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
};

static bool region_is_huge(const uint8_t *region)
{
    return nk__pages_huge((uint64_t)region, (uint64_t)region + NK_SPARE_BYTES);
}

/* Tries it. */
static bool huge_pages_made(void)
{
    uint8_t *mapping = mmap(NULL, 2 * NK_SPARE_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
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
    spares->mapping = mmap(NULL, spares->mapping_bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (spares->mapping == MAP_FAILED) {
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
        free(spares);
    }
}

uint32_t nk__spares_count(const struct nk_spares *spares)
{
    return spares->count;
}

static uint8_t *region_at(const struct nk_spares *spares, uint32_t index)
{
    return spares->area + (uint64_t)index * NK_SPARE_BYTES;
}

static bool pages_move(uint8_t *from, uint8_t *to)
{
    return mremap(from, NK_SPARE_BYTES, NK_SPARE_BYTES,
                  MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to) == to;
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
        !pages_move(region, region_at(spares, spares->count))) {
        return false;
    }
    spares->count++;
    return true;
}

bool nk__spares_take(struct nk_spares *spares, uint8_t *region)
{
    if (spares->count == 0 || !pages_move(region_at(spares, spares->count - 1), region)) {
        return false;
    }
    spares->count--;
    return true;
}

bool nk__spares_cool(struct nk_spares *spares)
{
    if (spares->count == 0) {
        return false;
    }
    spares->count--;
    (void)madvise(region_at(spares, spares->count), NK_SPARE_BYTES, MADV_DONTNEED);
    return true;
}
