/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap.h - private to exchange_heap: the tables that describe the range.
 *
 * Three tables, each mapped once at creation for the worst case and committed by touch:
 *   pages    one entry per 4 KiB page of the range: what the page is.
 *   headers  one entry per block, dense; entry 0 is never used. Freed entries form a list.
 *   units    one entry per 64-byte unit of the range: header of the block that starts there, or 0.
 * `locked` covers all of it, but for a block's owner and length: those are its owner's to change.
 */
#ifndef EXCHANGE_HEAP_HEAP_H
#define EXCHANGE_HEAP_HEAP_H

#include <stdbool.h>

#include "exchange_heap/xh.h"

#define XH__PAGE_BYTES 4096u
#define XH__UNIT_BYTES 64u /* smallest size class; a slab page has at most 64 slots */
#define XH__UNITS_PER_PAGE (XH__PAGE_BYTES / XH__UNIT_BYTES)
#define XH__CLASS_COUNT 6u /* 64, 128, 256, 512, 1024, 2048 bytes */
#define XH__CLASS_BYTES(c) (XH__UNIT_BYTES << (c))
#define XH__BIN_COUNT 24u /* free runs of 2^b .. 2^(b+1)-1 pages are in bin b */
#define XH__RANGE_BYTES_STEP (2u << 20)
#define XH__WARM_MAX 32u
/* What one page table maps: 512 pages of 4 KiB (Intel SDM vol. 3, 4.5). */
#define XH__TABLE_PAGES ((uint32_t)(XH_TABLE_BYTES / XH__PAGE_BYTES))
#define XH__NONE UINT32_MAX

enum xh__page_kind {
    XH__PAGE_INSIDE = 0, /* not the first page of anything */
    XH__PAGE_FREE,       /* first page of a free run */
    XH__PAGE_FREE_LAST,  /* last page of a free run of two or more */
    XH__PAGE_SLAB,       /* slots of one size class */
    XH__PAGE_RUN,        /* first page of a block of whole pages */
    XH__PAGE_WARM,       /* first page of a run that is kept as its last block left it */
};

struct xh__page {
    uint8_t kind;       /* enum xh__page_kind */
    uint8_t size_class; /* SLAB */
    uint8_t replaced;   /* RUN, WARM: see xh_replaced */
    uint8_t away;       /* RUN: see xh_away */
    uint32_t run_pages; /* FREE, FREE_LAST, RUN, WARM: pages of the run */
    uint32_t used;      /* RUN, WARM: pages from its beginning; see xh_used */
    uint32_t prev;      /* FREE: bin list. SLAB with a free slot: list of its class */
    uint32_t next;
    uint64_t free_slots; /* SLAB: bit i set: slot i is free */
};

struct xh__header {
    struct xh_block block; /* first, so that a block pointer is a header pointer */
    uint32_t next;         /* of a freed header: next freed one, 0 ends it */
};

struct xh__warm {
    uint32_t first, pages;
    uint64_t reader; /* xh_block.reader of its last block */
};

struct xh_heap {
    uint32_t locked;
    uint8_t *base;
    size_t range_bytes;
    uint32_t page_count;
    uint32_t header_capacity;
    uint32_t header_used; /* entries ever used, incl. entry 0 */
    uint32_t header_free; /* first freed entry, 0: none */
    struct xh__page *pages;
    struct xh__header *headers;
    uint32_t *units;
    uint32_t bins[XH__BIN_COUNT];
    uint32_t bin_mask;                  /* bit b set: bins[b] is not empty */
    uint32_t slabs[XH__CLASS_COUNT];    /* slab pages with a free slot */
    struct xh__warm warm[XH__WARM_MAX]; /* the oldest first */
    uint32_t warm_count;
    uint32_t warm_pages;  /* sum over `warm` */
    uint32_t cooling;     /* runs that were warm and are about to be free */
    bool tables;          /* see xh_options */
    uint32_t spare_pages; /* of runs, beyond what their blocks' capacities need */
    uint64_t block_count;
    uint64_t bytes_in_use;
    uint64_t alloc_count;
    uint32_t lent_count; /* blocks with `lent` */
};

/* pages.c: runs of pages. take answers the first page, or XH__NONE; give coalesces. aligned: only
 * where a page table begins. */
void xh__pages_init(struct xh_heap *heap);
uint32_t xh__pages_take(struct xh_heap *heap, uint32_t count, bool aligned);
void xh__pages_give(struct xh_heap *heap, uint32_t first, uint32_t count);
/* Before a run is given back, by whoever has it: what xh_replaced promises. Needs no lock. */
void xh__run_renew(struct xh_heap *heap, uint32_t first);
uint32_t xh__bin_of(uint32_t page_count);

/* slab.c: slots of one size class. take answers the slot's offset in the range, or SIZE_MAX. */
size_t xh__slab_take(struct xh_heap *heap, uint32_t size_class);
void xh__slab_give(struct xh_heap *heap, uint32_t page, size_t offset);
/* Gives back slab pages that are empty but kept for speed; answers true if there was one. */
bool xh__slab_release_empty(struct xh_heap *heap);
uint64_t xh__slab_all_free(uint32_t size_class);

/* warm.c. Is a run of that many pages worth keeping? */
bool xh__warm_wants(const struct xh_heap *heap, uint32_t count);
/* Keeps a run; the oldest ones may have to go: answers how many, for xh__warm_release. */
uint32_t xh__warm_put(struct xh_heap *heap, uint32_t first, uint64_t reader,
                      struct xh__warm victims[XH__WARM_MAX]);
/* A warm run of exactly that many pages: its first page, or XH__NONE. *out_seen, set if there is
 * one: reader has seen all of its bytes. */
uint32_t xh__warm_take(struct xh_heap *heap, uint32_t count, uint64_t reader, bool *out_seen);
/* Renews and gives back what xh__warm_put answered. Not locked. */
void xh__warm_release(struct xh_heap *heap, const struct xh__warm *victims, uint32_t count);
void xh__lock_wait(struct xh_heap *heap);

static inline void xh__lock(struct xh_heap *heap)
{
    if (__builtin_expect(__atomic_exchange_n(&heap->locked, 1, __ATOMIC_ACQUIRE) != 0, 0)) {
        xh__lock_wait(heap);
    }
}

static inline void xh__unlock(struct xh_heap *heap)
{
    __atomic_store_n(&heap->locked, 0, __ATOMIC_RELEASE);
}

#endif
