/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the bytes of blocks change hands between a SIP's window and the heap.
 *
 * Model: a block's home is its room in the exchange heap; services and the fabric look for its
 * bytes there and nowhere else. While a SIP holds the block its bytes are in that SIP's window.
 * Short blocks are copied each time. From MOVE_BYTES_MIN on, whole pages are moved by mremap: the
 * content stays where it is in the machine, what changes is the address at which it is seen. Where
 * pages were moved away from, a window has nothing mapped (a late touch ends the SIP), the heap has
 * empty pages (mapped, so that the heap never has a hole).
 *
 * Shortcut: if the receiver is a SIP of the same worker that waits for exactly this message, the
 * pages go from window to window, once instead of twice. Only the sender runs meanwhile, and it
 * does not before all is done, so at no time can two SIPs touch them.
 *
 * What travels is block->bytes: the rest of the last page is zeroed first, further pages stay
 * behind, just as if it had been copied.
 *
 * Large blocks have whole page tables at home (xh_has_tables). These move in one change for each
 * 2 MiB, if the window has a place for all of it where a page table begins. What is beyond the
 * block then travels along: it is zeros, without pages, because who had it may have touched it, and
 * it is emptied before anybody else does.
 *
 * A new block takes pages from the heap that are there already (xh.h: warm runs), and a block that
 * a SIP frees leaves its pages at home for the next: what costs is not the mapping, but each page
 * that is touched for the first time. A SIP never sees what others left in them: they are cleared
 * before they enter its window, unless all bytes are known to that very SIP. That is so if the
 * pages last left its own window, as a whole, and nobody has owned them since who may write: the
 * block was freed by the SIP or by the message or session that it gave it to. Windows have numbers
 * for that, which a kernel never uses twice; the SIP's own number may return with another life of
 * it.
 *
 * When there is no mapping to be had, the bytes are copied. Mappings do not pile up: the pages of a
 * new block are moved into the window from its home even if there are none yet, because Linux then
 * joins the mapping with those around it when it comes home (it is of one origin with them, and
 * back at its place), and the heap stays one mapping. A block in a window is one wherever it goes.
 * What else may have become of a home is undone when it is given back: it gets fresh pages
 * (xh_replaced).
 *
 * A heap that is registered with a device, which keeps to the physical pages, must not be moved
 * like that: nk_options.copy_blocks.
 */
#include "internal.h"

#include <sys/mman.h>

/*
 * Round trips in kilocycles, the system calls and page faults alone, best of many on the bench
 * machine. Copied: two copies, a mapping made and undone, a page fault a page (before there was a
 * parked span, which spares a SIP that has one block at a time all but the copies). By the heap:
 * two moves a message. Straight: one.
 *
 *               8 KiB  16 KiB  64 KiB  256 KiB  1 MiB  4 MiB (whole page tables)
 *   copied         53      74     210      731
 *   by the heap    51      53      62       59     70     48
 *   straight       25      26      28       28     34     18
 *
 * On a machine whose hypervisor keeps page tables of its own, each page that was moved costs 7 us
 * when it is touched again: 1 MiB moved and written 1.8 ms, as whole page tables 75 us.
 */
#define MOVE_BYTES_MIN (8u << 10)
/* Above this, pages that come when they are touched are better than to clear all in one go. */
#define CLEAR_BYTES_MAX (2u << 20)

static size_t whole_pages(uint32_t bytes)
{
    return ((size_t)bytes + NK_PAGE_BYTES - 1) & ~(size_t)(NK_PAGE_BYTES - 1);
}

static int can_move(const struct nk_sip *sip, const struct xh_block *block)
{
    return block->bytes >= MOVE_BYTES_MIN && !sip->kernel->copy_blocks &&
           xh_room(sip->kernel->heap, block) >= whole_pages(block->bytes);
}

/* From a place with pages to one of a window without, or to a home. */
static int pages_move(uint8_t *from, uint8_t *to, size_t bytes, int flags)
{
    return mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED | flags, to) == to;
}

static void tail_wipe(uint8_t *data, uint32_t bytes)
{
    memset(data + bytes, 0, whole_pages(bytes) - bytes);
}

/* Nothing is left from `bytes` on, where there may be something up to `used`, both whole pages. */
static int rest_empty(uint8_t *data, size_t bytes, size_t used)
{
    return used <= bytes || madvise(data + bytes, used - bytes, MADV_DONTNEED) == 0;
}

/* Bytes that move if a block comes into that place of a window, or goes from there. */
static size_t place_bytes(struct nk_sip *sip, const struct xh_block *block, uint32_t address)
{
    const struct nk_span *span = nk__window_span(sip, address);

    return span->tables ? (size_t)span->run << NK_SPAN_SHIFT : whole_pages(block->bytes);
}

static void moved_away(struct nk_sip *sip, const struct xh_block *block, uint32_t address)
{
    nk__window_span(sip, address)->moved =
        place_bytes(sip, block, address) >= block->capacity ? NK_MOVED_ALL : NK_MOVED;
}

/* Before pages leave a window for somebody else's: what is theirs to see is the block alone. */
static int only_block(struct nk_sip *sip, const struct xh_block *block, uint32_t address)
{
    tail_wipe(sip->memory + address, block->bytes);
    return rest_empty(sip->memory + address, whole_pages(block->bytes),
                      place_bytes(sip, block, address));
}

/* If it has whole tables, what is beyond its capacity must be empty. */
static int move_home(struct nk_sip *sip, struct xh_block *block, uint32_t address)
{
    const size_t bytes = place_bytes(sip, block, address);
    struct xh_heap *heap = sip->kernel->heap;

    if (!pages_move(sip->memory + address, block->data, bytes, 0)) {
        return 0;
    }
    /* In pages that stayed behind there may be anything. */
    xh_replaced(heap, block, bytes >= xh_room(heap, block) ? sip->window.number : 0);
    if (nk__window_span(sip, address)->tables) {
        xh_wiped(heap, block, block->capacity);
    }
    moved_away(sip, block, address);
    return 1;
}

void nk__handover_leave(struct nk_sip *sip, struct xh_block *block, uint32_t address)
{
    if (can_move(sip, block) && only_block(sip, block, address) && move_home(sip, block, address)) {
        return;
    }
    memcpy(block->data, sip->memory + address, block->bytes);
}

/* Of all that can go wrong with mappings, coming back is the least likely: they were there a moment
 * ago. Should it happen, the SIP has the bytes again or, without any mapping, its next touch of
 * them ends it. */
static void come_back(struct nk_sip *sip, struct xh_block *block, uint32_t address, uint8_t *from,
                      int flags)
{
    nk__window_span(sip, address)->moved = 0;
    if (!pages_move(from, sip->memory + address, place_bytes(sip, block, address), flags) &&
        nk__window_fill(sip, address, block->bytes)) {
        memcpy(sip->memory + address, from, block->bytes);
    }
}

void nk__handover_back(struct nk_sip *sip, struct xh_block *block, uint32_t address)
{
    const struct nk_span *span = nk__window_span(sip, address);

    if (span->kind == NK_SPAN_RUN && span->moved != 0) { /* else it was copied */
        come_back(sip, block, address, block->data, MREMAP_DONTUNMAP);
        xh_away(sip->kernel->heap, block);
    }
}

static uint32_t place_take(struct nk_sip *sip, struct xh_block *block)
{
    uint32_t address = 0;

    if (xh_has_tables(sip->kernel->heap, block)) {
        address = nk__window_place_tables(sip, block);
    }
    return address != 0 ? address : nk__window_place(sip, block, block->bytes);
}

/* From the heap to a place of the window. If it has whole tables, what is beyond `bytes`, whole
 * pages, is nothing that the SIP may see. */
static uint32_t move_in(struct nk_sip *sip, struct xh_block *block, size_t bytes)
{
    struct xh_heap *heap = sip->kernel->heap;
    uint32_t address = place_take(sip, block);

    if (address == 0) {
        return 0;
    }
    if ((nk__window_span(sip, address)->tables &&
         !rest_empty(block->data, bytes, xh_used(heap, block))) ||
        !pages_move(block->data, sip->memory + address, place_bytes(sip, block, address),
                    MREMAP_DONTUNMAP)) {
        nk__window_remove(sip, address);
        return 0;
    }
    xh_away(heap, block);
    return address;
}

/* Makes the pages at home such that the SIP may see them. */
static int make_seen(struct xh_block *block, enum xh_pages pages)
{
    if (pages == XH_PAGES_SEEN) {
        return 1;
    }
    if (pages == XH_PAGES_WARM && block->capacity <= CLEAR_BYTES_MAX) {
        memset(block->data, 0, block->capacity);
        return 1;
    }
    return madvise(block->data, block->capacity, MADV_DONTNEED) == 0; /* zero when touched */
}

uint32_t nk__handover_alloc(struct nk_sip *sip, struct xh_block *block, enum xh_pages pages)
{
    if (can_move(sip, block) && make_seen(block, pages)) {
        uint32_t address = move_in(sip, block, block->capacity);

        if (address != 0) {
            return address;
        }
    }
    return nk__window_add(sip, block, block->bytes);
}

void nk__handover_free(struct nk_sip *sip, struct xh_block *block, uint32_t address)
{
    if (can_move(sip, block) && xh_stays_warm(sip->kernel->heap, block) &&
        rest_empty(sip->memory + address, block->capacity, place_bytes(sip, block, address))) {
        (void)move_home(sip, block, address);
    }
}

uint32_t nk__handover_enter(struct nk_sip *sip, struct xh_block *block)
{
    uint32_t address;

    if (can_move(sip, block)) {
        tail_wipe(block->data, block->bytes);
        address = move_in(sip, block, whole_pages(block->bytes));
        if (address != 0) {
            return address;
        }
    }
    address = nk__window_add(sip, block, block->bytes);
    if (address != 0) {
        memcpy(sip->memory + address, block->data, block->bytes);
    }
    return address;
}

uint32_t nk__handover_pass(struct nk_sip *sip, struct xh_block *block, uint32_t address,
                           struct nk_sip *to)
{
    uint32_t at;

    if (!can_move(sip, block)) {
        return 0;
    }
    at = nk__window_span(sip, address)->tables ? nk__window_place_tables(to, block)
                                               : nk__window_place(to, block, block->bytes);
    if (at == 0) {
        return 0;
    }
    if (!only_block(sip, block, address) ||
        !pages_move(sip->memory + address, to->memory + at, place_bytes(to, block, at), 0)) {
        nk__window_remove(to, at);
        return 0;
    }
    moved_away(sip, block, address);
    return at;
}

void nk__handover_unpass(struct nk_sip *sip, struct xh_block *block, uint32_t address,
                         struct nk_sip *to, uint32_t at)
{
    come_back(sip, block, address, to->memory + at, 0);
}
