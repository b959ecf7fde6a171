/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange_heap/xh.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
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
    /* Linux joins mappings again that were first touched before they were split. */
    *(volatile uint8_t *)at = 0;
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
    heap->tables = options->tables;
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

void xh__lock_wait(struct xh_heap *heap)
{
    uint32_t spins = 0;

    do {
        while (__atomic_load_n(&heap->locked, __ATOMIC_RELAXED) != 0) {
            if (++spins % SPINS_MAX == 0) {
                (void)sched_yield();
            }
            __builtin_ia32_pause();
        }
    } while (__atomic_exchange_n(&heap->locked, 1, __ATOMIC_ACQUIRE) != 0);
}

static uint32_t header_index(const struct xh_heap *heap, const struct xh_block *block)
{
    const struct xh__header *header = (const struct xh__header *)block;

    assert(header > heap->headers);
    assert(header < heap->headers + heap->header_used);
    return (uint32_t)(header - heap->headers);
}

/* --- blocks --------------------------------------------------------------------------------- */

#define SPARE_PART 4u /* of the range may be pages that blocks do not need */

/* What is to be had. */
struct space {
    size_t offset;     /* in the range, or SIZE_MAX */
    uint32_t capacity; /* bytes */
    enum xh_pages pages;
};

/* Pages of a block, and pages of its place, if there is one. */
static void run_take(struct xh_heap *heap, uint32_t count, uint32_t room, uint64_t reader,
                     struct space *space)
{
    bool seen = false;
    uint32_t first = xh__warm_take(heap, room, reader, &seen);
    struct xh__page *page;

    space->pages = seen ? XH_PAGES_SEEN : XH_PAGES_WARM;
    if (first == XH__NONE) {
        space->pages = XH_PAGES_COLD;
        first = xh__pages_take(heap, room, room > count);
    }
    if (first == XH__NONE) {
        return;
    }
    page = &heap->pages[first];
    page->used = space->pages == XH_PAGES_COLD ? room : page->used;
    page->used = page->used < count ? count : page->used; /* whoever has it may write there */
    page->kind = XH__PAGE_RUN;
    page->away = 0;
    page->run_pages = room;
    heap->spare_pages += room - count;
    space->capacity = count * XH__PAGE_BYTES;
    space->offset = (size_t)first * XH__PAGE_BYTES;
}

/* The pages of a place of whole page tables, or `count`. */
static uint32_t room_for(const struct xh_heap *heap, uint32_t count)
{
    const uint32_t room = (count + XH__TABLE_PAGES - 1) / XH__TABLE_PAGES * XH__TABLE_PAGES;

    return heap->tables && count >= XH_TABLE_BLOCK_BYTES_MIN / XH__PAGE_BYTES &&
                   heap->spare_pages + room - count <= heap->page_count / SPARE_PART
               ? room
               : count;
}

static bool space_take(struct xh_heap *heap, uint32_t bytes, uint64_t reader, struct space *space)
{
    *space = (struct space){.offset = SIZE_MAX, .pages = XH_PAGES_COLD};
    if (bytes <= XH__CLASS_BYTES(XH__CLASS_COUNT - 1)) {
        uint32_t size_class = 0;
        while (XH__CLASS_BYTES(size_class) < bytes) {
            size_class++;
        }
        space->capacity = XH__CLASS_BYTES(size_class);
        space->offset = xh__slab_take(heap, size_class);
    } else {
        const uint32_t count = (bytes + XH__PAGE_BYTES - 1) / XH__PAGE_BYTES;
        const uint32_t room = room_for(heap, count);

        run_take(heap, count, room, reader, space);
        if (space->offset == SIZE_MAX && room > count) {
            run_take(heap, count, count, reader, space);
        }
    }
    return space->offset != SIZE_MAX;
}

/* Locked, but not all the time. */
static __attribute__((noinline)) bool space_find(struct xh_heap *heap, uint32_t bytes,
                                                 uint64_t reader, struct space *space)
{
    if (xh__slab_release_empty(heap) && space_take(heap, bytes, reader, space)) {
        return true;
    }
    while (heap->warm_count > 0 || heap->cooling > 0) {
        xh__unlock(heap);
        xh_cool(heap);
        (void)sched_yield(); /* another thread may be at it, too */
        xh__lock(heap);
        if (space_take(heap, bytes, reader, space)) {
            return true;
        }
    }
    return false;
}

sf_status xh_alloc_for(struct xh_heap *heap, uint32_t bytes, uint64_t owner, uint64_t reader,
                       enum xh_pages *out_pages, struct xh_block **out_block)
{
    struct xh__header *header;
    struct space space;
    uint32_t index;

    assert(owner != 0);
    if (bytes == 0 || bytes > XH_BLOCK_BYTES_MAX) {
        return SF_BADARG;
    }
    xh__lock(heap);
    if (!space_take(heap, bytes, reader, &space) && !space_find(heap, bytes, reader, &space)) {
        xh__unlock(heap);
        return SF_NOMEM;
    }
    index = heap->header_free;
    if (index != 0) {
        heap->header_free = heap->headers[index].next;
    } else {
        index = heap->header_used++;
    }
    assert(index < heap->header_capacity);
    header = &heap->headers[index];
    header->block.data = heap->base + space.offset;
    header->block.bytes = bytes;
    header->block.capacity = space.capacity;
    header->block.owner = owner;
    header->block.account = NULL;
    header->block.reader = 0;
    header->block.lent = NULL;
    heap->units[space.offset / XH__UNIT_BYTES] = index;
    heap->block_count++;
    heap->alloc_count++;
    heap->bytes_in_use += space.capacity;
    xh__unlock(heap);
    *out_pages = space.pages;
    *out_block = &header->block;
    return SF_OK;
}

sf_status xh_alloc(struct xh_heap *heap, uint32_t bytes, uint64_t owner,
                   struct xh_block **out_block)
{
    enum xh_pages pages;

    return xh_alloc_for(heap, bytes, owner, 0, &pages, out_block);
}

static uint32_t page_of(const struct xh_heap *heap, const struct xh_block *block)
{
    return (uint32_t)((size_t)(block->data - heap->base) / XH__PAGE_BYTES);
}

/* All of it but its place. */
static void header_release(struct xh_heap *heap, struct xh_block *block)
{
    uint32_t index = header_index(heap, block);
    const struct xh__page *page = &heap->pages[page_of(heap, block)];

    xh_discharge(block);
    heap->units[(size_t)(block->data - heap->base) / XH__UNIT_BYTES] = 0;
    heap->block_count--;
    heap->bytes_in_use -= block->capacity;
    heap->lent_count -= block->lent != NULL;
    if (page->kind == XH__PAGE_RUN) {
        heap->spare_pages -= page->run_pages - block->capacity / XH__PAGE_BYTES;
    }
    *block = (struct xh_block){0};
    heap->headers[index].next = heap->header_free;
    heap->header_free = index;
}

/* A run must have been renewed. */
static void block_release(struct xh_heap *heap, struct xh_block *block)
{
    size_t offset = (size_t)(block->data - heap->base);
    uint32_t page = page_of(heap, block);

    header_release(heap, block);
    if (heap->pages[page].kind == XH__PAGE_SLAB) {
        xh__slab_give(heap, page, offset);
    } else {
        assert(heap->pages[page].kind == XH__PAGE_RUN);
        xh__pages_give(heap, page, heap->pages[page].run_pages);
    }
}

static void run_free(struct xh_heap *heap, struct xh_block *block)
{
    struct xh__warm victims[XH__WARM_MAX];
    uint32_t page = page_of(heap, block), count;
    uint64_t reader = block->reader;

    if (heap->pages[page].away || !xh__warm_wants(heap, heap->pages[page].run_pages)) {
        xh__run_renew(heap, page);
        xh__lock(heap);
        block_release(heap, block);
        xh__unlock(heap);
        return;
    }
    xh__lock(heap);
    header_release(heap, block);
    count = xh__warm_put(heap, page, reader, victims);
    xh__unlock(heap);
    xh__warm_release(heap, victims, count);
}

sf_status xh_free(struct xh_heap *heap, struct xh_block *block, uint64_t owner)
{
    if (block == NULL) {
        return SF_OK;
    }
    if (owner == 0 || block->owner != owner) {
        return SF_NOTOWNER;
    }
    if (heap->pages[page_of(heap, block)].kind == XH__PAGE_RUN) {
        run_free(heap, block);
        return SF_OK;
    }
    xh__lock(heap);
    block_release(heap, block);
    xh__unlock(heap);
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
    xh__lock(heap);
    for (uint32_t index = 1; index < heap->header_used; index++) {
        struct xh_block *block = &heap->headers[index].block;

        if (block->owner == owner) {
            if (heap->pages[page_of(heap, block)].kind == XH__PAGE_RUN) {
                xh__run_renew(heap, page_of(heap, block));
            }
            block_release(heap, block);
            freed++;
        }
    }
    xh__unlock(heap);
    return freed;
}

/* --- bytes that are elsewhere --------------------------------------------------------------- */

void xh_lend(struct xh_heap *heap, struct xh_block *block, const uint8_t *bytes)
{
    assert(block->lent == NULL && bytes != NULL);
    (void)header_index(heap, block);
    xh__lock(heap);
    block->lent = bytes;
    heap->lent_count++;
    xh__unlock(heap);
}

uint32_t xh_lend_end(struct xh_heap *heap, const uint8_t *first, const uint8_t *end)
{
    uint32_t count = 0;

    xh__lock(heap);
    for (uint32_t i = 1; i < heap->header_used && heap->lent_count > 0; i++) {
        struct xh_block *block = &heap->headers[i].block;

        if (block->lent >= first && block->lent < end && block->lent != NULL) {
            memcpy(block->data, block->lent, block->bytes);
            block->lent = NULL;
            heap->lent_count--;
            count++;
        }
    }
    xh__unlock(heap);
    return count;
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
            assert(heap->pages[page].kind == XH__PAGE_FREE ||
                   heap->pages[page].kind == XH__PAGE_WARM);
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
        .warm_count = heap->warm_count,
        .warm_bytes = (uint64_t)heap->warm_pages * XH__PAGE_BYTES,
    };
}
