/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Warm runs: see xh.h. They are in an array, the oldest first: it is short, and one look finds the
 * best fit. A run that is taken out of it is nobody's until it is given back or becomes a block;
 * only then may it be renewed, which is a system call and needs no lock.
 */
#include <assert.h>
#include <string.h>

#include "heap.h"

#define RANGE_PART 8u /* of the range may be warm */
#define PAGES_MIN 2u

bool xh__warm_wants(const struct xh_heap *heap, uint32_t count)
{
    return count >= PAGES_MIN && count <= heap->page_count / RANGE_PART;
}

static struct xh__warm take_at(struct xh_heap *heap, uint32_t index)
{
    struct xh__warm run = heap->warm[index];

    assert(heap->pages[run.first].kind == XH__PAGE_WARM);
    heap->warm_count--;
    heap->warm_pages -= run.pages;
    memmove(&heap->warm[index], &heap->warm[index + 1],
            (heap->warm_count - index) * sizeof(heap->warm[0]));
    return run;
}

uint32_t xh__warm_put(struct xh_heap *heap, uint32_t first, uint64_t reader,
                      struct xh__warm victims[XH__WARM_MAX])
{
    uint32_t count = heap->pages[first].run_pages, victim_count = 0;

    assert(xh__warm_wants(heap, count));
    while (heap->warm_count == XH__WARM_MAX ||
           heap->warm_pages + count > heap->page_count / RANGE_PART) {
        victims[victim_count++] = take_at(heap, 0);
        heap->cooling++;
    }
    heap->pages[first].kind = XH__PAGE_WARM;
    heap->warm[heap->warm_count++] =
        (struct xh__warm){.first = first, .pages = count, .reader = reader};
    heap->warm_pages += count;
    return victim_count;
}

/* Best is what this reader has seen, then what nobody can use better, then the newest. */
static uint32_t fit(const struct xh__warm *run, uint64_t reader)
{
    if (run->reader == 0) {
        return 2;
    }
    return run->reader == reader ? 3 : 1;
}

uint32_t xh__warm_take(struct xh_heap *heap, uint32_t count, uint64_t reader, bool *out_seen)
{
    uint32_t best = 0, best_index = 0;

    for (uint32_t i = heap->warm_count; i-- > 0;) {
        const struct xh__warm *run = &heap->warm[i];

        if (run->pages == count && fit(run, reader) > best) {
            best = fit(run, reader);
            best_index = i;
        }
    }
    if (best == 0) {
        return XH__NONE;
    }
    *out_seen = best == 3;
    return take_at(heap, best_index).first;
}

void xh__warm_release(struct xh_heap *heap, const struct xh__warm *victims, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        xh__run_renew(heap, victims[i].first);
        xh__lock(heap);
        xh__pages_give(heap, victims[i].first, victims[i].pages);
        heap->cooling--;
        xh__unlock(heap);
    }
}

void xh_cool(struct xh_heap *heap)
{
    struct xh__warm victims[XH__WARM_MAX];
    uint32_t count;

    xh__lock(heap);
    count = heap->warm_count;
    memcpy(victims, heap->warm, count * sizeof(victims[0]));
    heap->cooling += count;
    heap->warm_count = 0;
    heap->warm_pages = 0;
    xh__unlock(heap);
    xh__warm_release(heap, victims, count);
}
