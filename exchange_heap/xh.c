/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange_heap/xh.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "heap.h"

/* --- the range and its tables --------------------------------------------------------------- */

static void *table_map(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return at == MAP_FAILED ? NULL : at;
}

static void table_unmap(void *table, size_t bytes)
{
    if (table != NULL) {
        (void)munmap(table, bytes);
    }
}

static sf_status range_map(struct xh_heap *heap, void *wanted)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *at;

    if (wanted != NULL) {
        flags |= MAP_FIXED_NOREPLACE;
    }
    at = mmap(wanted, heap->range_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (at == MAP_FAILED) {
        if (errno == EEXIST) {
            return SF_EXISTS;
        }
        return errno == ENOMEM ? SF_NOMEM : SF_IO;
    }
    heap->base = at;
    return SF_OK;
}

static size_t pages_bytes(const struct xh_heap *heap)
{
    return heap->page_count * sizeof(*heap->pages);
}

static size_t headers_bytes(const struct xh_heap *heap)
{
    return heap->header_capacity * sizeof(*heap->headers);
}

static size_t units_bytes(const struct xh_heap *heap)
{
    return heap->range_bytes / XH__UNIT_BYTES * sizeof(*heap->units);
}

static void heap_measure(struct xh_heap *heap, size_t range_bytes)
{
    heap->range_bytes = range_bytes;
    heap->page_count = (uint32_t)(range_bytes / XH__PAGE_BYTES);
    heap->header_capacity = (uint32_t)(range_bytes / XH__UNIT_BYTES) + 1u;
    heap->header_used = 1;
    for (uint32_t c = 0; c < XH__CLASS_COUNT; c++) {
        heap->slabs[c] = XH__NONE;
    }
}

sf_status xh_heap_create(const struct xh_options *options, struct xh_heap **out_heap)
{
    struct xh_heap *heap;
    sf_status st;

    assert(options != NULL);
    assert(out_heap != NULL);
    if (options->range_bytes == 0 || options->range_bytes > XH_NODE_STRIDE ||
        options->range_bytes % XH__RANGE_BYTES_STEP != 0) {
        return SF_BADARG;
    }
    heap = calloc(1, sizeof(*heap));
    if (heap == NULL) {
        return SF_NOMEM;
    }
    heap_measure(heap, options->range_bytes);
    st = range_map(heap, options->base);
    if (st != SF_OK) {
        free(heap);
        return st;
    }
    heap->pages = table_map(pages_bytes(heap));
    heap->headers = table_map(headers_bytes(heap));
    heap->units = table_map(units_bytes(heap));
    if (heap->pages == NULL || heap->headers == NULL || heap->units == NULL) {
        xh_heap_destroy(heap);
        return SF_NOMEM;
    }
    xh__pages_init(heap);
    *out_heap = heap;
    return SF_OK;
}

void xh_heap_destroy(struct xh_heap *heap)
{
    if (heap == NULL) {
        return;
    }
    table_unmap(heap->units, units_bytes(heap));
    table_unmap(heap->headers, headers_bytes(heap));
    table_unmap(heap->pages, pages_bytes(heap));
    table_unmap(heap->base, heap->range_bytes);
    free(heap);
}

/* --- the lock -------------------------------------------------------------------------------- */

#define SPINS_MAX 100u /* then the holder has probably lost its core */

static inline void heap_lock(struct xh_heap *heap)
{
    uint32_t spins = 0;

    while (__atomic_exchange_n(&heap->locked, 1, __ATOMIC_ACQUIRE) != 0) {
        while (__atomic_load_n(&heap->locked, __ATOMIC_RELAXED) != 0) {
            if (++spins % SPINS_MAX == 0) {
                (void)sched_yield();
            }
            __builtin_ia32_pause();
        }
    }
}

static inline void heap_unlock(struct xh_heap *heap)
{
    __atomic_store_n(&heap->locked, 0, __ATOMIC_RELEASE);
}

static uint32_t header_index(const struct xh_heap *heap, const struct xh_block *block)
{
    const struct xh__header *header = (const struct xh__header *)block;

    assert(header > heap->headers);
    assert(header < heap->headers + heap->header_used);
    return (uint32_t)(header - heap->headers);
}

/* --- blocks --------------------------------------------------------------------------------- */

static size_t space_take_once(struct xh_heap *heap, uint32_t bytes, uint32_t *out_capacity)
{
    if (bytes <= XH__CLASS_BYTES(XH__CLASS_COUNT - 1)) {
        uint32_t size_class = 0;
        while (XH__CLASS_BYTES(size_class) < bytes) {
            size_class++;
        }
        *out_capacity = XH__CLASS_BYTES(size_class);
        return xh__slab_take(heap, size_class);
    }
    uint32_t count = (bytes + XH__PAGE_BYTES - 1) / XH__PAGE_BYTES;
    uint32_t first = xh__pages_take(heap, count);
    if (first == XH__NONE) {
        return SIZE_MAX;
    }
    heap->pages[first].kind = XH__PAGE_RUN;
    heap->pages[first].run_pages = count;
    *out_capacity = count * XH__PAGE_BYTES;
    return (size_t)first * XH__PAGE_BYTES;
}

static size_t space_take(struct xh_heap *heap, uint32_t bytes, uint32_t *out_capacity)
{
    size_t offset = space_take_once(heap, bytes, out_capacity);

    if (offset == SIZE_MAX && xh__slab_release_empty(heap)) {
        offset = space_take_once(heap, bytes, out_capacity);
    }
    return offset;
}

sf_status xh_alloc(struct xh_heap *heap, uint32_t bytes, uint64_t owner,
                   struct xh_block **out_block)
{
    struct xh__header *header;
    uint32_t capacity = 0;
    uint32_t index;
    size_t offset;

    assert(owner != 0);
    if (bytes == 0 || bytes > XH_BLOCK_BYTES_MAX) {
        return SF_BADARG;
    }
    heap_lock(heap);
    offset = space_take(heap, bytes, &capacity);
    if (offset == SIZE_MAX) {
        heap_unlock(heap);
        return SF_NOMEM;
    }
    /* There is a header for each unit, so there is one for this block. */
    index = heap->header_free;
    if (index != 0) {
        heap->header_free = heap->headers[index].next;
    } else {
        index = heap->header_used++;
    }
    assert(index < heap->header_capacity);
    header = &heap->headers[index];
    header->block.data = heap->base + offset;
    header->block.bytes = bytes;
    header->block.capacity = capacity;
    header->block.owner = owner;
    header->block.account = NULL;
    heap->units[offset / XH__UNIT_BYTES] = index;
    heap->block_count++;
    heap->alloc_count++;
    heap->bytes_in_use += capacity;
    heap_unlock(heap);
    *out_block = &header->block;
    return SF_OK;
}

static void block_release(struct xh_heap *heap, struct xh_block *block)
{
    uint32_t index = header_index(heap, block);
    size_t offset = (size_t)(block->data - heap->base);
    uint32_t page = (uint32_t)(offset / XH__PAGE_BYTES);

    xh_discharge(block);
    heap->units[offset / XH__UNIT_BYTES] = 0;
    heap->block_count--;
    heap->bytes_in_use -= block->capacity;
    if (heap->pages[page].kind == XH__PAGE_SLAB) {
        xh__slab_give(heap, page, offset);
    } else {
        assert(heap->pages[page].kind == XH__PAGE_RUN);
        xh__pages_give(heap, page, heap->pages[page].run_pages);
    }
    *block = (struct xh_block){0};
    heap->headers[index].next = heap->header_free;
    heap->header_free = index;
}

sf_status xh_free(struct xh_heap *heap, struct xh_block *block, uint64_t owner)
{
    if (block == NULL) {
        return SF_OK;
    }
    if (owner == 0 || block->owner != owner) {
        return SF_NOTOWNER;
    }
    xh__run_renew(heap, block);
    heap_lock(heap);
    block_release(heap, block);
    heap_unlock(heap);
    return SF_OK;
}

sf_status xh_trim(struct xh_heap *heap, struct xh_block *block, uint32_t bytes)
{
    (void)header_index(heap, block);
    if (bytes == 0 || bytes > block->bytes) {
        return SF_BADARG;
    }
    block->bytes = bytes;
    return SF_OK;
}

uint64_t xh_free_all(struct xh_heap *heap, uint64_t owner)
{
    uint64_t freed = 0;

    assert(owner != 0);
    heap_lock(heap);
    for (uint32_t index = 1; index < heap->header_used; index++) {
        if (heap->headers[index].block.owner == owner) {
            xh__run_renew(heap, &heap->headers[index].block);
            block_release(heap, &heap->headers[index].block);
            freed++;
        }
    }
    heap_unlock(heap);
    return freed;
}

/* --- accounts ------------------------------------------------------------------------------- */

struct xh_account *xh_account_open(void)
{
    struct xh_account *account = calloc(1, sizeof(*account));

    if (account != NULL) {
        account->uses = 1;
    }
    return account;
}

void xh_account_close(struct xh_account *account)
{
    if (account != NULL && __atomic_sub_fetch(&account->uses, 1, __ATOMIC_ACQ_REL) == 0) {
        assert(account->bytes == 0);
        free(account);
    }
}

/* --- questions ------------------------------------------------------------------------------ */

static void walk_slab(const struct xh_heap *heap, uint32_t page,
                      void (*visit)(void *arg, const struct xh_block *block), void *arg)
{
    const uint32_t *units = &heap->units[(size_t)page * XH__UNITS_PER_PAGE];

    for (uint32_t unit = 0; unit < XH__UNITS_PER_PAGE; unit++) {
        if (units[unit] != 0) {
            visit(arg, &heap->headers[units[unit]].block);
        }
    }
}

void xh_walk(const struct xh_heap *heap, void (*visit)(void *arg, const struct xh_block *block),
             void *arg)
{
    uint32_t page = 0;

    while (page < heap->page_count) {
        switch (heap->pages[page].kind) {
        case XH__PAGE_SLAB:
            walk_slab(heap, page, visit, arg);
            page++;
            break;
        case XH__PAGE_RUN:
            visit(arg, &heap->headers[heap->units[(size_t)page * XH__UNITS_PER_PAGE]].block);
            page += heap->pages[page].run_pages;
            break;
        default:
            assert(heap->pages[page].kind == XH__PAGE_FREE);
            page += heap->pages[page].run_pages;
            break;
        }
    }
}

void xh_query(const struct xh_heap *heap, struct xh_stats *out_stats)
{
    *out_stats = (struct xh_stats){
        .block_count = heap->block_count,
        .bytes_in_use = heap->bytes_in_use,
        .bytes_in_range = heap->range_bytes,
        .alloc_count = heap->alloc_count,
    };
}
