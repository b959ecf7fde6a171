/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows: where a SIP sees its blocks; internal.h has the model. Bookkeeping lives outside the
 * SIP. A small block's cell stays accessible to this SIP after the block is gone (no other SIP
 * ever sees those bytes); a larger block's pages vanish, so that a touch ends the SIP.
 */
#include "internal.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

#define SPAN_BYTES (1u << NK_SPAN_SHIFT)
#define NO_CELL 0xffffu

static uint8_t *span_data(const struct nk_sip *sip, uint32_t index)
{
    return sip->memory + NK_WINDOW_OFFSET + ((size_t)index << NK_SPAN_SHIFT);
}

static uint32_t run_bytes(uint32_t bytes)
{
    return (bytes + NK_PAGE_BYTES - 1) & ~(NK_PAGE_BYTES - 1);
}

static void span_vanish(const struct nk_sip *sip, uint32_t index, size_t bytes)
{
    void *data = mmap(span_data(sip, index), bytes, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

    if (data == MAP_FAILED) {
        /* No mapping to spare to split the region: at least the content goes. */
        (void)madvise(span_data(sip, index), bytes, MADV_DONTNEED);
    }
}

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

/* First index of `count` free spans in a row, or NK_SPAN_COUNT. */
static uint32_t run_find(const struct nk_window *window, uint32_t count)
{
    uint32_t start = 0;

    while (start + count <= NK_SPAN_COUNT) {
        uint32_t i = 0;

        while (i < count && (start + i >= window->span_capacity ||
                             window->spans[start + i].kind == NK_SPAN_FREE)) {
            i++;
        }
        if (i == count) {
            return start;
        }
        start += i + 1;
    }
    return NK_SPAN_COUNT;
}

/* Gives spans whose cells are all free back, so that other sizes can have them. */
static void spans_reclaim(struct nk_sip *sip)
{
    struct nk_window *window = &sip->window;

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

static uint32_t run_take(struct nk_sip *sip, uint32_t count, uint32_t bytes)
{
    struct nk_window *window = &sip->window;
    uint32_t index = run_find(window, count);

    if (index == NK_SPAN_COUNT) {
        spans_reclaim(sip);
        index = run_find(window, count);
    }
    if (index == NK_SPAN_COUNT || !spans_grow(window, index + count) ||
        mprotect(span_data(sip, index), bytes, PROT_READ | PROT_WRITE) != 0) {
        return NK_SPAN_COUNT;
    }
    if (window->span_high < index + count) {
        window->span_high = index + count;
    }
    return index;
}

static __attribute__((noinline)) int cells_add(struct nk_sip *sip, uint32_t shift)
{
    uint32_t count = SPAN_BYTES >> shift;
    uintptr_t *cells = malloc(count * sizeof(*cells));
    struct nk_span *span;
    uint32_t index;

    if (cells == NULL) {
        return 0;
    }
    index = run_take(sip, 1, SPAN_BYTES);
    if (index == NK_SPAN_COUNT) {
        free(cells);
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        cells[i] = (uintptr_t)(i + 1 < count ? i + 1 : NO_CELL) << 1 | 1;
    }
    span = &sip->window.spans[index];
    *span = (struct nk_span){.kind = NK_SPAN_CELLS, .shift = (uint8_t)shift, .u.cells = cells};
    partial_insert(&sip->window, index);
    return 1;
}

static __attribute__((noinline)) uint32_t run_add(struct nk_sip *sip, struct xh_block *block,
                                                  uint32_t bytes)
{
    uint32_t count = (bytes + SPAN_BYTES - 1) >> NK_SPAN_SHIFT;
    uint32_t index;

    if (count > NK_SPAN_COUNT) {
        return 0;
    }
    index = run_take(sip, count, run_bytes(bytes));
    if (index == NK_SPAN_COUNT) {
        return 0;
    }
    sip->window.spans[index] =
        (struct nk_span){.kind = NK_SPAN_RUN, .run = (uint16_t)count, .u.block = block};
    for (uint32_t i = 1; i < count; i++) {
        sip->window.spans[index + i] = (struct nk_span){.kind = NK_SPAN_REST};
    }
    return NK_WINDOW_OFFSET + (index << NK_SPAN_SHIFT);
}

uint32_t nk__window_add(struct nk_sip *sip, struct xh_block *block, uint32_t bytes)
{
    struct nk_window *window = &sip->window;
    struct nk_span *span;
    uint32_t shift = NK_CELL_SHIFT_MIN, index, cell;

    assert(bytes > 0);
    if (bytes > NK_CELL_BYTES_MAX) {
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
    return NK_WINDOW_OFFSET + (index << NK_SPAN_SHIFT) + (cell << shift);
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
    *out_offset = address - NK_WINDOW_OFFSET - (first << NK_SPAN_SHIFT);
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
    uint32_t index = (address - NK_WINDOW_OFFSET) >> NK_SPAN_SHIFT;
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

    span_vanish(sip, index, (size_t)count << NK_SPAN_SHIFT);
    memset(span, 0, count * sizeof(*span));
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
