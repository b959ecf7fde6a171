/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xh.h - the exchange heap of a node: blocks, each with exactly one owner at any time.
 *
 * Why: bulk data crosses a channel by giving a block away, never by sharing it. The heap knows
 * the owner of every block, so everything a dead SIP held can be reclaimed, and "who owns this?"
 * can be asked at any moment.
 *
 * Model: one contiguous range at a fixed, cell-wide address (node n: XH_CELL_BASE + n *
 * XH_NODE_STRIDE), so that a block's address names its node, and so that the range can be
 * registered once with a NIC. Block headers live outside the range, out of reach of any SIP or
 * device. Small blocks come from size classes, larger ones from runs of 4 KiB pages.
 *
 * Warm runs: the place of a freed block of two pages or more is kept for a while with its pages as
 * they are, at most 32 places and an eighth of the range, for the next block of just as many pages:
 * pages that are there already cost no page faults. They are neither blocks nor free, so that
 * nothing may ever rely on what a new block's bytes are; xh_cool, or a heap that is full otherwise,
 * gives them back.
 *
 * Readers: who shows a new block's pages to somebody untrusted must clear them first, unless
 * whoever it is has seen all their bytes before: it wrote them, they were zero, or they were sent
 * to it. The heap keeps that (`reader`, a number of the caller's that is never used again for
 * anybody else) from when a block's pages came home out of one reader's hands (xh_replaced) until
 * somebody may have written into them. Messages and sessions (the owners) only read the blocks they
 * are given; those who assemble a message allocate its blocks. All others may write. So giving the
 * block to any other kind of owner forgets the reader, and so does allocating it.
 *
 * Owners: a 64-bit number chosen by the caller. 0 is never an owner. The high byte says the kind
 * (enum xh_owner_kind), the rest is the SIP number, endpoint id low bits, or service number.
 *
 * Threads: any may allocate, free and cool (a short spin lock inside). A block is its owner's:
 * giving and trimming it takes no lock, so only one thread may act for an owner at a time. xh_walk,
 * xh_audit, xh_heap_destroy: while all others are quiet. Limits: block size 1..XH_BLOCK_BYTES_MAX;
 * range size given at creation, multiple of 2 MiB. Errors: NOMEM means nothing changed.
 */
#ifndef EXCHANGE_HEAP_XH_H
#define EXCHANGE_HEAP_XH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define XH_CELL_BASE 0x200000000000ull
#define XH_NODE_STRIDE (16ull << 30)
#define XH_BLOCK_BYTES_MAX (64u << 20)
#define XH_TABLE_BYTES (2u << 20) /* what a page table maps, and aligned to */
#define XH_TABLE_BLOCK_BYTES_MIN (64u << 10)

enum xh_owner_kind {
    XH_OWNER_SIP = 1,     /* a SIP holds it (it was received and is mapped or copied to it) */
    XH_OWNER_MESSAGE = 2, /* it is inside an undelivered message; the rest is the endpoint id */
    XH_OWNER_SERVICE = 3, /* a kernel service holds it */
    XH_OWNER_SESSION = 4, /* a node-to-node session is sending or assembling it */
};
#define XH_OWNER(kind, number) (((uint64_t)(kind) << 56) | ((uint64_t)(number)&0xffffffffffffffull))

struct xh_heap;

/*
 * What a sender has to answer for: blocks that it gave away and nobody has taken yet. Without that,
 * its quota could be evaded by keeping blocks in queues. Atomic; lives until it is closed and no
 * block is charged to it.
 */
struct xh_account {
    uint64_t bytes; /* capacities of the blocks charged */
    uint32_t uses;  /* these blocks, and whoever opened it */
};

/* Header of a block. Read-only for users; changed by xh_ functions only. */
struct xh_block {
    uint8_t *data;              /* first byte, inside the heap's range, 16-byte aligned */
    uint32_t bytes;             /* length in use, 1..capacity; xh_trim lowers it */
    uint32_t capacity;          /* bytes reserved */
    uint64_t owner;             /* XH_OWNER(...) */
    struct xh_account *account; /* who answers for it while it is under way; or NULL */
    uint64_t reader;            /* who has seen all bytes of its pages, see above; or 0 */
    const uint8_t *lent;        /* its bytes are there, see xh_lend; NULL: at data */
};

struct xh_options {
    void *base;         /* fixed address, or NULL for any (tests) */
    size_t range_bytes; /* multiple of 2 MiB */
    bool tables;        /* blocks of XH_TABLE_BLOCK_BYTES_MIN and more get places of whole page
                           tables, as long as what they do not need of them is at most a quarter of
                           the range: for whom moves pages, see xh_has_tables */
};

struct xh_stats {
    uint64_t block_count;
    uint64_t bytes_in_use; /* sum of capacities */
    uint64_t bytes_in_range;
    uint64_t alloc_count; /* since creation */
    uint64_t warm_count;  /* runs; they are in none of the counts above */
    uint64_t warm_bytes;
};

/* What is known of a new block's pages. */
enum xh_pages {
    XH_PAGES_COLD, /* perhaps it has none yet; if it has, they are anybody's */
    XH_PAGES_WARM, /* they are there, with anybody's bytes */
    XH_PAGES_SEEN, /* they are there, and the reader has seen all their bytes */
};

/*
 * EXISTS: something is mapped at base already. BADARG: range_bytes is no multiple of 2 MiB or over
 * XH_NODE_STRIDE. NOMEM, IO: nothing to undo.
 */
SF_MUST_CHECK sf_status xh_heap_create(const struct xh_options *options, struct xh_heap **out_heap);
/* Unmaps the range. Takes NULL. All blocks vanish; callers must hold none. */
void xh_heap_destroy(struct xh_heap *heap);

/* BADARG: bytes is 0 or over XH_BLOCK_BYTES_MAX. NOMEM. The content is not cleared. */
SF_MUST_CHECK sf_status xh_alloc(struct xh_heap *heap, uint32_t bytes, uint64_t owner,
                                 struct xh_block **out_block);
/* The same for bytes that will be shown to a reader (not 0), by moving the pages. */
SF_MUST_CHECK sf_status xh_alloc_for(struct xh_heap *heap, uint32_t bytes, uint64_t owner,
                                     uint64_t reader, enum xh_pages *out_pages,
                                     struct xh_block **out_block);
/* Frees a block that owner owns. NOTOWNER: nothing freed. Takes NULL (OK). */
sf_status xh_free(struct xh_heap *heap, struct xh_block *block, uint64_t owner);
/* Gives block from one owner to the next. NOTOWNER: unchanged. */
SF_MUST_CHECK static inline sf_status xh_give(struct xh_block *block, uint64_t from, uint64_t to)
{
    if (__builtin_expect(from == 0 || block->owner != from, 0)) {
        return SF_NOTOWNER;
    }
    block->owner = to;
    if (to >> 56 != XH_OWNER_MESSAGE && to >> 56 != XH_OWNER_SESSION) {
        block->reader = 0; /* it may write into it */
    }
    return SF_OK;
}
/* NULL: no memory. */
struct xh_account *xh_account_open(void);
/* Takes NULL. Blocks may still be charged to it. */
void xh_account_close(struct xh_account *account);
/* The block's owner charges it, and whoever owns it then discharges it; freeing it does, too. */
static inline void xh_charge(struct xh_block *block, struct xh_account *account)
{
    block->account = account;
    (void)__atomic_add_fetch(&account->uses, 1, __ATOMIC_RELAXED);
    (void)__atomic_add_fetch(&account->bytes, block->capacity, __ATOMIC_RELAXED);
}
static inline void xh_discharge(struct xh_block *block)
{
    struct xh_account *account = block->account;

    if (account != NULL) {
        block->account = NULL;
        (void)__atomic_sub_fetch(&account->bytes, block->capacity, __ATOMIC_RELAXED);
        xh_account_close(account);
    }
}
static inline uint64_t xh_account_bytes(const struct xh_account *account)
{
    return __atomic_load_n(&account->bytes, __ATOMIC_RELAXED);
}

/* Lowers block->bytes. BADARG: 0 or more than it has. */
SF_MUST_CHECK sf_status xh_trim(struct xh_heap *heap, struct xh_block *block, uint32_t bytes);
/*
 * For whoever moves a block's pages instead of copying its bytes: how many bytes from block->data
 * on are the block's alone, in whole pages; 0: it shares its page with others.
 */
size_t xh_room(const struct xh_heap *heap, const struct xh_block *block);
/* Are these whole page tables? Moving them as a whole is one change for each 2 MiB, instead of one
 * a page (figures: node_kernel/kernel/handover.c). */
static inline bool xh_has_tables(const struct xh_heap *heap, const struct xh_block *block)
{
    const size_t room = xh_room(heap, block);

    return room != 0 && room % XH_TABLE_BYTES == 0 && (uintptr_t)block->data % XH_TABLE_BYTES == 0;
}
/* Bytes of its room, in whole pages, that may be other than zero at home; what is beyond travels
 * along with whole tables, and is nobody's. */
size_t xh_used(const struct xh_heap *heap, const struct xh_block *block);
/* There are zeros from that byte on: from `bytes`, in whole pages. */
void xh_wiped(struct xh_heap *heap, struct xh_block *block, size_t bytes);
/*
 * Its pages were replaced by others, which may be a mapping of their own. When its place is given
 * back (xh_free, or later if it stays warm), it gets fresh ones, which gives the memory back and
 * makes the range one mapping again. reader: who has seen all their bytes, and nobody else's are
 * among them; 0: nobody.
 */
void xh_replaced(struct xh_heap *heap, struct xh_block *block, uint64_t reader);
/* Its pages were moved away: freed like that, its place is not kept warm. */
void xh_away(struct xh_heap *heap, struct xh_block *block);
/* Nobody has seen all its bytes, after all. */
static inline void xh_forget(struct xh_block *block)
{
    block->reader = 0;
}
/* Is its place one that can stay warm? */
bool xh_stays_warm(const struct xh_heap *heap, const struct xh_block *block);
/*
 * For who does not want to copy what a session will copy anyway: the block's bytes are those at
 * `bytes`, `block->bytes` of them, whatever they are when they are read; its own memory stays as it
 * is. For blocks that go to another node in a message and to nobody else, because only fabrics
 * know of it (xh_bytes). Until it is freed, or xh_lend_end, that memory must be there.
 */
void xh_lend(struct xh_heap *heap, struct xh_block *block, const uint8_t *bytes);
static inline const uint8_t *xh_bytes(const struct xh_block *block)
{
    return block->lent != NULL ? block->lent : block->data;
}
/*
 * Blocks whose bytes begin in [first, end) get copies of them for their own; answers how many.
 * Nobody may read them meanwhile: sessions are to be kept quiet.
 */
uint32_t xh_lend_end(struct xh_heap *heap, const uint8_t *first, const uint8_t *end);
/* Gives all warm runs back. For when memory is short, and for those who count mappings. */
void xh_cool(struct xh_heap *heap);
/*
 * Frees all blocks of an owner; answers how many. Looks at every block there is: for those who keep
 * no list of what they hold. Their places do not stay warm.
 */
uint64_t xh_free_all(struct xh_heap *heap, uint64_t owner);

/* Calls visit for each live block, in address order. visit must not change the heap. */
void xh_walk(const struct xh_heap *heap, void (*visit)(void *arg, const struct xh_block *block),
             void *arg);
/*
 * Checks every internal invariant: no two live blocks overlap, every page belongs to at most one
 * class or run, warm runs are listed once, counts add up, no block without owner. OK, or FORMAT
 * with a sentence in out_text (static or inside the heap; valid until the next call).
 */
SF_MUST_CHECK sf_status xh_audit(struct xh_heap *heap, const char **out_text);
void xh_query(const struct xh_heap *heap, struct xh_stats *out_stats);

#endif
