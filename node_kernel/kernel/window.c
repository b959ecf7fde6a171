/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows: where a SIP sees its blocks; internal.h has the model. Bookkeeping lives outside the
 * SIP. A small block's cell stays accessible to this SIP after the block is gone (no other SIP
 * ever sees those bytes), unless its manifest says strict_blocks; a larger block's pages vanish, so
 * that a touch ends the SIP. Nothing is accessible where no block is.
 *
 * One span at most is parked: pages that were made for a copied block of 64 KiB or less stay when
 * it is gone, inaccessible, for the next block that needs as many. To make a mapping and touch its
 * pages for the first time costs many times what the two changes of protection do. What is in them
 * is this SIP's own.
 */
#include "internal.h"

#include "image.pb-c.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SPAN_BYTES (1u << NK_SPAN_SHIFT)
#define NO_CELL 0xffffu
#define NONE UINT32_MAX
#define ALIGN_SPANS (XH_TABLE_BYTES >> NK_SPAN_SHIFT)

static uint8_t *span_data(const struct nk_sip *sip, uint32_t index)
{
    return sip->memory + sip->window.offset + ((size_t)index << NK_SPAN_SHIFT);
}

static uint32_t run_bytes(uint32_t bytes)
{
    return (bytes + NK_PAGE_BYTES - 1) & ~(NK_PAGE_BYTES - 1);
}

static void span_vanish(const struct nk_sip *sip, uint32_t index, size_t bytes)
{
    if (munmap(span_data(sip, index), bytes) != 0) {
        /* No mapping to spare to split the region: at least the content goes. */
        (void)madvise(span_data(sip, index), bytes, MADV_DONTNEED);
    }
}

/* --- the parked span ----------------------------------------------------------------------------
 */

/* False: it may not be, or there is no mapping to spare. */
static int park(struct nk_sip *sip, uint32_t index)
{
    struct nk_window *window = &sip->window;
    struct nk_span *span = &window->spans[index];
    const uint8_t pages = span->pages;

    if (pages == 0 || span->moved != 0 || window->parked != 0 ||
        mprotect(span_data(sip, index), pages * NK_PAGE_BYTES, PROT_NONE) != 0) {
        return 0;
    }
    *span = (struct nk_span){.kind = NK_SPAN_PARKED, .gone = 1, .pages = pages};
    window->parked = index + 1;
    return 1;
}

static void parked_drop(struct nk_sip *sip)
{
    struct nk_window *window = &sip->window;

    if (window->parked != 0) {
        span_vanish(sip, window->parked - 1, SPAN_BYTES);
        window->spans[window->parked - 1] = (struct nk_span){.gone = 1};
        window->parked = 0;
    }
}

/* The parked span for a block of that length, with pages, zero behind its end; or NONE. */
static uint32_t parked_take(struct nk_sip *sip, uint32_t bytes)
{
    struct nk_window *window = &sip->window;
    uint32_t index = window->parked - 1;

    if (window->parked == 0 || bytes > SPAN_BYTES) {
        return NONE;
    }
    if (window->spans[index].pages * NK_PAGE_BYTES != run_bytes(bytes) ||
        mprotect(span_data(sip, index), run_bytes(bytes), PROT_READ | PROT_WRITE) != 0) {
        parked_drop(sip);
        return NONE;
    }
    memset(span_data(sip, index) + bytes, 0, run_bytes(bytes) - bytes);
    window->parked = 0;
    return index;
}

/* --- spans --------------------------------------------------------------------------------------
 */

static void partial_insert(struct nk_window *window, uint32_t index)
{
    struct nk_span *span = &window->spans[index];
    uint16_t *first = &window->partial[span->shift];

    span->prev = 0;
    span->next = *first;
    if (*first != 0) {
        window->spans[*first - 1].prev = (uint16_t)(index + 1);
    }
    *first = (uint16_t)(index + 1);
}

static void partial_remove(struct nk_window *window, uint32_t index)
{
    struct nk_span *span = &window->spans[index];

    if (span->prev != 0) {
        window->spans[span->prev - 1].next = span->next;
    } else {
        window->partial[span->shift] = span->next;
    }
    if (span->next != 0) {
        window->spans[span->next - 1].prev = span->prev;
    }
}

static int spans_grow(struct nk_window *window, uint32_t count)
{
    uint32_t capacity = window->span_capacity == 0 ? 8 : window->span_capacity;
    struct nk_span *spans;

    while (capacity < count) {
        capacity *= 2;
    }
    if (capacity > window->span_capacity) {
        spans = realloc(window->spans, capacity * sizeof(*spans));
        if (spans == NULL) {
            return 0;
        }
        memset(spans + window->span_capacity, 0,
               (capacity - window->span_capacity) * sizeof(*spans));
        window->spans = spans;
        window->span_capacity = capacity;
    }
    return 1;
}

void nk__window_init(struct nk_sip *sip)
{
    const struct nk_geometry *geometry = &nk__geometry[nk__slot_class(sip->slot_index)];

    sip->window.number = __atomic_add_fetch(&sip->kernel->window_count, 1, __ATOMIC_RELAXED);
    sip->window.offset = geometry->window_offset;
    sip->window.span_count = geometry->window_bytes >> NK_SPAN_SHIFT;
    sip->window.strict = sip->image->image->manifest->strict_blocks != 0;
}

/* Free spans in a row from `start` on, counted up to `count`. */
static uint32_t run_free(const struct nk_window *window, uint32_t start, uint32_t count)
{
    uint32_t i = 0;

    while (i < count &&
           (start + i >= window->span_capacity || window->spans[start + i].kind == NK_SPAN_FREE)) {
        i++;
    }
    return i;
}

/* First index of `count` free spans in a row at or behind `start`, or NONE. */
static uint32_t run_find_from(const struct nk_window *window, uint32_t start, uint32_t count)
{
    while (start + count <= window->span_count) {
        uint32_t i = run_free(window, start, count);

        if (i == count) {
            return start;
        }
        start += i + 1;
    }
    return NONE;
}

/* Runs of 2 MiB and more: where page tables begin, so that mremap can move whole ones. */
static uint32_t run_find_aligned(const struct nk_window *window, uint32_t count)
{
    /* Slots begin at multiples of 2 MiB. */
    uint32_t first = (uint32_t)(-((NK_MEMORY + window->offset) >> NK_SPAN_SHIFT) % ALIGN_SPANS);

    for (uint32_t index = first; index + count <= window->span_count; index += ALIGN_SPANS) {
        if (run_free(window, index, count) == count) {
            return index;
        }
    }
    return NONE;
}

/* The first place, so that the window stays dense; strict: the next one, so that a place is not
 * taken again soon after a block left it. */
static uint32_t run_find(struct nk_window *window, uint32_t count)
{
    uint32_t index = NONE;

    if (count >= ALIGN_SPANS && !window->strict) {
        index = run_find_aligned(window, count);
        if (index != NONE) {
            return index;
        }
    }
    index = run_find_from(window, window->rover, count);

    if (index == NONE && window->rover > 0) {
        index = run_find_from(window, 0, count);
    }
    if (window->strict && index != NONE) {
        window->rover = index + count;
    }
    return index;
}

/* Gives the parked span back and those whose cells are all free: other sizes can have them. */
static void spans_reclaim(struct nk_sip *sip)
{
    struct nk_window *window = &sip->window;

    parked_drop(sip);
    for (uint32_t i = 0; i < window->span_high; i++) {
        struct nk_span *span = &window->spans[i];

        if (span->kind == NK_SPAN_CELLS && span->used == 0) {
            partial_remove(window, i);
            span_vanish(sip, i, SPAN_BYTES);
            free(span->u.cells);
            *span = (struct nk_span){0};
        }
    }
}

/* Cuts a run of whole page tables down to what its block needs. */
static void run_cut(struct nk_sip *sip, uint32_t index)
{
    struct nk_span *span = &sip->window.spans[index];
    const uint32_t capacity = span->u.block->capacity;
    const uint32_t need = (capacity + SPAN_BYTES - 1) >> NK_SPAN_SHIFT;

    if (need == span->run || munmap(span_data(sip, index) + capacity,
                                    ((size_t)span->run << NK_SPAN_SHIFT) - capacity) != 0) {
        return; /* no mapping to spare to split the region */
    }
    for (uint32_t i = need; i < span->run; i++) {
        span[i] = (struct nk_span){0};
    }
    span->run = (uint16_t)need;
    span->tables = 0;
}

static void tables_cut(struct nk_sip *sip)
{
    for (uint32_t i = 0; i < sip->window.span_high; i++) {
        if (sip->window.spans[i].kind == NK_SPAN_RUN && sip->window.spans[i].tables) {
            run_cut(sip, i);
        }
    }
}

static bool span_have(struct nk_window *window, uint32_t index, uint32_t count)
{
    if (index == NONE || !spans_grow(window, index + count)) {
        return false;
    }
    if (window->span_high < index + count) {
        window->span_high = index + count;
    }
    return true;
}

/* A place for `count` spans, without pages; or NONE. */
static uint32_t run_take(struct nk_sip *sip, uint32_t count)
{
    struct nk_window *window = &sip->window;
    uint32_t index = run_find(window, count);

    if (index == NONE) {
        spans_reclaim(sip);
        tables_cut(sip);
        index = run_find(window, count);
    }
    return span_have(window, index, count) ? index : NONE;
}

int nk__window_fill(struct nk_sip *sip, uint32_t address, uint32_t bytes)
{
    return mmap(sip->memory + address, run_bytes(bytes), PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
                0) != MAP_FAILED;
}

/* Makes a free span one of cells. */
static int cells_make(struct nk_sip *sip, uint32_t index, uint32_t shift)
{
    uint32_t count = SPAN_BYTES >> shift;
    uintptr_t *cells = malloc(count * sizeof(*cells));
    struct nk_span *span = &sip->window.spans[index];

    if (cells == NULL) {
        return 0;
    }
    if (!nk__window_fill(sip, sip->window.offset + (index << NK_SPAN_SHIFT), SPAN_BYTES)) {
        free(cells);
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        cells[i] = (uintptr_t)(i + 1 < count ? i + 1 : NO_CELL) << 1 | 1;
    }
    *span = (struct nk_span){.kind = NK_SPAN_CELLS, .shift = (uint8_t)shift, .u.cells = cells};
    partial_insert(&sip->window, index);
    return 1;
}

static __attribute__((noinline)) int cells_add(struct nk_sip *sip, uint32_t shift)
{
    uint32_t index = run_take(sip, 1);

    return index != NONE && cells_make(sip, index, shift);
}

static void run_mark(struct nk_window *window, uint32_t index, uint32_t count,
                     struct xh_block *block)
{
    window->spans[index] =
        (struct nk_span){.kind = NK_SPAN_RUN, .run = (uint16_t)count, .u.block = block};
    for (uint32_t i = 1; i < count; i++) {
        window->spans[index + i] = (struct nk_span){.kind = NK_SPAN_REST};
    }
}

/* --- put together again -------------------------------------------------------------------------
 */

/* Spans [index, index + count), if they are there and free. */
static int span_claim(struct nk_sip *sip, uint32_t index, uint32_t count)
{
    struct nk_window *window = &sip->window;

    if (count == 0 || index >= window->span_count || count > window->span_count - index ||
        run_free(window, index, count) < count) {
        return 0;
    }
    return span_have(window, index, count);
}

int nk__window_put_cells(struct nk_sip *sip, uint32_t index, uint32_t shift)
{
    if (shift < NK_CELL_SHIFT_MIN || shift > NK_CELL_SHIFT_MAX || sip->window.strict ||
        !span_claim(sip, index, 1)) {
        return 0;
    }
    return cells_make(sip, index, shift);
}

int nk__window_put_block(struct nk_sip *sip, uint32_t index, uint32_t cell, struct xh_block *block)
{
    struct nk_window *window = &sip->window;
    struct nk_span *span = &window->spans[index];
    uintptr_t before = NO_CELL;

    if (cell >= SPAN_BYTES >> span->shift || (span->u.cells[cell] & 1) == 0) {
        return 0;
    }
    for (uintptr_t at = span->free_first; at != cell; at = span->u.cells[at] >> 1) {
        before = at;
    }
    if (before == NO_CELL) {
        span->free_first = (uint16_t)(span->u.cells[cell] >> 1);
    } else {
        span->u.cells[before] = span->u.cells[cell];
    }
    span->u.cells[cell] = (uintptr_t)block;
    span->used++;
    if (span->free_first == NO_CELL) {
        partial_remove(window, index);
    }
    return 1;
}

int nk__window_put_run(struct nk_sip *sip, uint32_t index, uint32_t run, uint32_t bytes,
                       struct xh_block *block)
{
    if (!span_claim(sip, index, run) ||
        !nk__window_fill(sip, sip->window.offset + (index << NK_SPAN_SHIFT), bytes)) {
        return 0;
    }
    run_mark(&sip->window, index, run, block);
    return 1;
}

int nk__window_put_gone(struct nk_sip *sip, uint32_t index)
{
    if (!span_claim(sip, index, 1)) {
        return 0;
    }
    sip->window.spans[index].gone = 1;
    return 1;
}

uint32_t nk__window_place(struct nk_sip *sip, struct xh_block *block, uint32_t bytes)
{
    uint32_t count = (bytes + SPAN_BYTES - 1) >> NK_SPAN_SHIFT;
    uint32_t index;

    if (count > sip->window.span_count) {
        return 0;
    }
    index = run_take(sip, count);
    if (index == NONE) {
        return 0;
    }
    run_mark(&sip->window, index, count, block);
    return sip->window.offset + (index << NK_SPAN_SHIFT);
}

uint32_t nk__window_place_tables(struct nk_sip *sip, struct xh_block *block)
{
    const uint32_t count = (uint32_t)(xh_room(sip->kernel->heap, block) >> NK_SPAN_SHIFT);
    struct nk_window *window = &sip->window;
    uint32_t index;

    if (window->strict || count > window->span_count) {
        return 0;
    }
    index = run_find_aligned(window, count);
    if (!span_have(window, index, count)) {
        return 0;
    }
    run_mark(window, index, count, block);
    window->spans[index].tables = 1;
    return window->offset + (index << NK_SPAN_SHIFT);
}

static __attribute__((noinline)) uint32_t run_add(struct nk_sip *sip, struct xh_block *block,
                                                  uint32_t bytes)
{
    uint32_t index = parked_take(sip, bytes);
    uint32_t address;

    if (index != NONE) {
        run_mark(&sip->window, index, 1, block);
        address = sip->window.offset + (index << NK_SPAN_SHIFT);
    } else {
        address = nk__window_place(sip, block, bytes);
        if (address != 0 && !nk__window_fill(sip, address, bytes)) {
            nk__window_remove(sip, address);
            address = 0;
        }
    }
    if (address != 0 && bytes <= SPAN_BYTES && !sip->window.strict) {
        nk__window_span(sip, address)->pages = (uint8_t)(run_bytes(bytes) / NK_PAGE_BYTES);
    }
    return address;
}

uint32_t nk__window_add(struct nk_sip *sip, struct xh_block *block, uint32_t bytes)
{
    struct nk_window *window = &sip->window;
    struct nk_span *span;
    uint32_t shift = NK_CELL_SHIFT_MIN, index, cell;

    assert(bytes > 0);
    if (bytes > NK_CELL_BYTES_MAX || window->strict) {
        return run_add(sip, block, bytes);
    }
    if (bytes > 1u << NK_CELL_SHIFT_MIN) {
        shift = 32u - (uint32_t)__builtin_clz(bytes - 1);
    }
    if (window->partial[shift] == 0 && !cells_add(sip, shift)) {
        return 0;
    }
    index = window->partial[shift] - 1u;
    span = &window->spans[index];
    cell = span->free_first;
    span->free_first = (uint16_t)(span->u.cells[cell] >> 1);
    span->u.cells[cell] = (uintptr_t)block;
    span->used++;
    if (span->free_first == NO_CELL) {
        partial_remove(window, index);
    }
    return window->offset + (index << NK_SPAN_SHIFT) + (cell << shift);
}

struct xh_block *nk__window_at_run(const struct nk_window *window, uint32_t index, uint32_t address,
                                   uint32_t *out_offset)
{
    uint32_t first = index;

    while (window->spans[first].kind == NK_SPAN_REST) {
        first--;
    }
    if (window->spans[first].kind != NK_SPAN_RUN) {
        return NULL;
    }
    *out_offset = address - window->offset - (first << NK_SPAN_SHIFT);
    return window->spans[first].u.block;
}

int nk__window_covers(const struct nk_sip *sip, uint32_t address, uint32_t bytes)
{
    uint32_t offset;
    const struct xh_block *block = nk__window_at(sip, address, &offset);

    return block != NULL && (uint64_t)offset + bytes <= block->bytes;
}

void nk__window_remove(struct nk_sip *sip, uint32_t address)
{
    struct nk_window *window = &sip->window;
    uint32_t index = (address - window->offset) >> NK_SPAN_SHIFT;
    struct nk_span *span = &window->spans[index];

    if (span->kind == NK_SPAN_CELLS) {
        uint32_t cell = (address & (SPAN_BYTES - 1)) >> span->shift;

        assert((span->u.cells[cell] & 1) == 0);
        span->u.cells[cell] = (uintptr_t)span->free_first << 1 | 1;
        if (span->free_first == NO_CELL) {
            partial_insert(window, index);
        }
        span->free_first = (uint16_t)cell;
        span->used--;
        return;
    }
    assert(span->kind == NK_SPAN_RUN);
    uint32_t count = span->run;

    if (park(sip, index)) {
        return;
    }
    if (span->moved != NK_MOVED_ALL) {
        span_vanish(sip, index, (size_t)count << NK_SPAN_SHIFT);
    }
    for (uint32_t i = 0; i < count; i++) {
        span[i] = (struct nk_span){.gone = 1};
    }
}

void nk__window_undo(struct nk_sip *sip, uint32_t address)
{
    struct nk_span *span = nk__window_span(sip, address);

    if (span->kind == NK_SPAN_CELLS) {
        memset(sip->memory + address, 0, (size_t)1 << span->shift);
    } else {
        span->pages = 0; /* not to be parked */
    }
    nk__window_remove(sip, address);
}

int nk__window_gone(const struct nk_sip *sip, uint32_t address)
{
    const struct nk_window *window = &sip->window;
    uint32_t index = (address - window->offset) >> NK_SPAN_SHIFT;

    return index < window->span_capacity && window->spans[index].gone;
}

static void block_give(struct nk_sip *sip, struct xh_block *block, uint64_t owner)
{
    sf_status st = xh_give(block, sip->owner, owner);

    assert(st == SF_OK);
    (void)st;
}

void nk__window_give(struct nk_sip *sip, uint64_t owner)
{
    for (uint32_t i = 0; i < sip->window.span_high; i++) {
        const struct nk_span *span = &sip->window.spans[i];
        const uint32_t cells = span->kind == NK_SPAN_CELLS ? SPAN_BYTES >> span->shift : 0;

        for (uint32_t cell = 0; cell < cells; cell++) {
            if ((span->u.cells[cell] & 1) == 0) {
                block_give(sip, (struct xh_block *)span->u.cells[cell], owner);
            }
        }
        if (span->kind == NK_SPAN_RUN) {
            block_give(sip, span->u.block, owner);
        }
    }
    sip->owner = owner;
}

/* Frees the blocks of one span. */
static void span_free_blocks(struct nk_sip *sip, struct nk_span *span)
{
    uint32_t cell_count = span->kind == NK_SPAN_CELLS ? SPAN_BYTES >> span->shift : 0;
    struct xh_heap *heap = sip->kernel->heap;
    sf_status st = SF_OK;

    for (uint32_t cell = 0; cell < cell_count && st == SF_OK; cell++) {
        if ((span->u.cells[cell] & 1) == 0) {
            st = xh_free(heap, (struct xh_block *)span->u.cells[cell], sip->owner);
        }
    }
    if (span->kind == NK_SPAN_RUN) {
        st = xh_free(heap, span->u.block, sip->owner);
    }
    assert(st == SF_OK);
    (void)st;
}

void nk__window_fini(struct nk_sip *sip)
{
    struct nk_window *window = &sip->window;

    if (window->span_high > 0) {
        span_vanish(sip, 0, (size_t)window->span_high << NK_SPAN_SHIFT);
    }
    for (uint32_t i = 0; i < window->span_high; i++) {
        if (sip->block_count > 0) {
            span_free_blocks(sip, &window->spans[i]);
        }
        if (window->spans[i].kind == NK_SPAN_CELLS) {
            free(window->spans[i].u.cells);
        }
    }
    free(window->spans);
    *window = (struct nk_window){0};
}
