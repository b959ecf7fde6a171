/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "heap.h"

uint64_t xh__slab_all_free(uint32_t size_class)
{
    uint32_t slots = XH__UNITS_PER_PAGE >> size_class;

    return slots == 64 ? UINT64_MAX : (1ull << slots) - 1u;
}

static void slab_insert(struct xh_heap *heap, uint32_t index)
{
    struct xh__page *page = &heap->pages[index];

    page->prev = XH__NONE;
    page->next = heap->slabs[page->size_class];
    if (page->next != XH__NONE) {
        heap->pages[page->next].prev = index;
    }
    heap->slabs[page->size_class] = index;
}

static void slab_remove(struct xh_heap *heap, uint32_t index)
{
    struct xh__page *page = &heap->pages[index];

    if (page->prev != XH__NONE) {
        heap->pages[page->prev].next = page->next;
    } else {
        heap->slabs[page->size_class] = page->next;
    }
    if (page->next != XH__NONE) {
        heap->pages[page->next].prev = page->prev;
    }
}

size_t xh__slab_take(struct xh_heap *heap, uint32_t size_class)
{
    uint32_t index = heap->slabs[size_class];
    struct xh__page *page;
    uint32_t slot;

    if (index == XH__NONE) {
        index = xh__pages_take(heap, 1, false);
        if (index == XH__NONE) {
            return SIZE_MAX;
        }
        page = &heap->pages[index];
        page->kind = XH__PAGE_SLAB;
        page->size_class = (uint8_t)size_class;
        page->free_slots = xh__slab_all_free(size_class);
        slab_insert(heap, index);
    }
    page = &heap->pages[index];
    slot = (uint32_t)__builtin_ctzll(page->free_slots);
    page->free_slots &= page->free_slots - 1;
    if (page->free_slots == 0) {
        slab_remove(heap, index);
    }
    return (size_t)index * XH__PAGE_BYTES + (size_t)slot * XH__CLASS_BYTES(size_class);
}

/* An empty page is given back only if its class has another one, so that a single block that
 * comes and goes does not take and give a page each time. */
void xh__slab_give(struct xh_heap *heap, uint32_t index, size_t offset)
{
    struct xh__page *page = &heap->pages[index];
    uint32_t slot = (uint32_t)(offset % XH__PAGE_BYTES) / XH__CLASS_BYTES(page->size_class);
    uint64_t bit = 1ull << slot;

    assert(page->kind == XH__PAGE_SLAB);
    assert((page->free_slots & bit) == 0);
    if (page->free_slots == 0) {
        slab_insert(heap, index);
    }
    page->free_slots |= bit;
    if (page->free_slots == xh__slab_all_free(page->size_class) &&
        (page->prev != XH__NONE || page->next != XH__NONE)) {
        slab_remove(heap, index);
        xh__pages_give(heap, index, 1);
    }
}

bool xh__slab_release_empty(struct xh_heap *heap)
{
    bool released = false;

    for (uint32_t c = 0; c < XH__CLASS_COUNT; c++) {
        uint32_t index = heap->slabs[c];
        while (index != XH__NONE) {
            uint32_t next = heap->pages[index].next;
            if (heap->pages[index].free_slots == xh__slab_all_free(c)) {
                slab_remove(heap, index);
                xh__pages_give(heap, index, 1);
                released = true;
            }
            index = next;
        }
    }
    return released;
}
