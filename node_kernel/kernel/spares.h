/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spares.h - memory of SIPs that have gone, kept for those that come. Private to
 * node_kernel/kernel.
 *
 * Why: the system clears new memory, which takes as long as copying into it does three times (60
 * MiB in huge pages: 7 ms, two copies 4 ms), for a SIP that arrives overwrites all of it.
 *
 * Model: a region is 2 MiB of private anonymous memory, readable and writable, at a multiple of
 * that. The pages of up to so many regions are kept, whole ones only, and change places by mremap.
 * Where the system makes huge pages, only such are kept: small ones would be passed on for ever,
 * and whoever copies, watches, or moves them pays for each; a new huge page costs less. Beside
 * them some small pages are kept, for memory that is no whole region. What is in them is whatever
 * was there: who takes any overwrites all of it before anybody else sees any, and only memory that
 * is about to be filled may come out of here.
 *
 * Threads: one at a time. Ownership: what is put is ours, what is taken is the caller's again.
 */
#ifndef KERNEL_SPARES_H
#define KERNEL_SPARES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

#define NK_SPARE_BYTES (2u << 20)
#define NK_SPARES_MAX 64u
#define NK_SPARE_PAGES_MAX 4096u  /* small ones */
#define NK_SPARE_RUN_PAGES_MIN 8u /* in a row: moving them costs a system call */

struct nk_spares;

/* The first region that begins there or behind. */
static inline uint8_t *nk__spare_region(const uint8_t *at)
{
    return (uint8_t *)(((uintptr_t)at + NK_SPARE_BYTES - 1) & ~(uintptr_t)(NK_SPARE_BYTES - 1));
}

/* At most bytes_max bytes, in whole regions, up to NK_SPARES_MAX of them; it may be 0. NOMEM. */
SF_MUST_CHECK sf_status nk__spares_create(uint64_t bytes_max, struct nk_spares **out_spares);
/* Takes NULL. */
void nk__spares_destroy(struct nk_spares *spares);
uint32_t nk__spares_count(const struct nk_spares *spares);
uint32_t nk__spares_page_count(const struct nk_spares *spares); /* small ones */
/* Keeps the pages of a region: it reads as zeros then. False: they stay where they are, for some
 * are missing or small, there is no room, or no mapping. */
bool nk__spares_put(struct nk_spares *spares, uint8_t *region);
/* Puts pages in place of all there is in a region. False: there are none, or no mapping; the region
 * is as it was. */
bool nk__spares_take(struct nk_spares *spares, uint8_t *region);
/* Keeps what small pages there are, as far as there is room; they read as zeros then. First and end
 * are multiples of a page. */
void nk__spares_put_pages(struct nk_spares *spares, uint8_t *first, uint8_t *end);
/* Puts small pages in place of all there is in those bytes, a multiple of a page. False: there are
 * not as many, or no mapping; then some of it may have been replaced, so all of it is to be
 * overwritten as well. */
bool nk__spares_take_pages(struct nk_spares *spares, uint8_t *at, uint64_t bytes);
/* Gives the system back one region, or as much of small pages. False: there was nothing. */
bool nk__spares_cool(struct nk_spares *spares);

#endif
