/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dirty.h - which pages of a range there are, and which were written since one last looked. Private
 * to node_kernel/kernel.
 *
 * Why: a SIP that moves is copied while it runs, and what it writes meanwhile is copied again. That
 * has to be known for writes of the kernel into its memory, too, so protecting pages and catching
 * signals will not do.
 *
 * Model: nk_dirty watches one range of private anonymous memory. Each look, in one or more calls of
 * nk__dirty_collect, visits the pages that were written since the one before, as runs in order of
 * addresses, and watches them anew; the first visits all that were ever touched. Two ways, by what
 * the running system has:
 *
 *   WRITE_PROTECT  userfaultfd, WP_ASYNC, and PAGEMAP_SCAN (Linux 6.7): looking and watching anew
 *                  is one step a page, so the range may be written meanwhile
 *   SOFT_DIRTY     /proc/self/clear_refs (CONFIG_MEM_SOFT_DIRTY): two steps, for the whole
 *                  process; nobody may write meanwhile (nk__dirty_mark), and there is one
 *                  nk_dirty at a time
 *
 * A page may be visited that was not written, never the other way round.
 *
 * Threads: one at a time; the range may be written by others, but not unmapped, emptied (madvise)
 * or moved (mremap): a page that is not there is not visited, whatever was visited before. Memory
 * that is mapped into the range after begin is seen as written as long as it is there.
 */
#ifndef KERNEL_DIRTY_H
#define KERNEL_DIRTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Pages [first, end), addresses. What it answers ends the walk, unless it is OK. */
typedef sf_status (*nk_dirty_visit)(void *arg, uint64_t first, uint64_t end);

/* All pages of [first, end) that were ever touched: others read as zeros. IO. */
SF_MUST_CHECK sf_status nk__pages_touched(uint64_t first, uint64_t end, nk_dirty_visit visit,
                                          void *arg);

/* Those that are there as small pages. UNSUPPORTED: the system does not say. */
SF_MUST_CHECK sf_status nk__pages_small(uint64_t first, uint64_t end, nk_dirty_visit visit,
                                        void *arg);

/* Are these mapped as huge pages, all of them? False, too, if the system does not say. */
bool nk__pages_huge(uint64_t first, uint64_t end);

enum nk_dirty_way { NK_DIRTY_ANY, NK_DIRTY_WRITE_PROTECT, NK_DIRTY_SOFT_DIRTY };
struct nk_dirty;

/* way: ANY, but in tests. UNSUPPORTED: the system has none. AGAIN: SOFT_DIRTY is in use. NOMEM, IO.
 */
SF_MUST_CHECK sf_status nk__dirty_begin(uint64_t first, uint64_t end, enum nk_dirty_way way,
                                        struct nk_dirty **out_dirty);
enum nk_dirty_way nk__dirty_way(const struct nk_dirty *dirty);
/* SOFT_DIRTY: looks, and watches anew; nk__dirty_collect visits what was found. To be called before
 * the first of a look, while nobody writes. WRITE_PROTECT: nothing to do. IO, NOMEM. */
SF_MUST_CHECK sf_status nk__dirty_mark(struct nk_dirty *dirty);
#define NK_DIRTY_HUGE_PAGES 512u /* of 4 KiB, in one of 2 MiB */
/* At most pages_max pages, 1 to UINT64_MAX: all; the next call goes on behind them, until
 * *out_over. Less than NK_DIRTY_HUGE_PAGES: may split a huge page, which from then on costs as many
 * page faults and table entries as it has small ones. visit is called after the pages of its run
 * are watched. If it fails, pages that were to be visited may be lost: all that is left is to end.
 * IO; what visit answers. */
SF_MUST_CHECK sf_status nk__dirty_collect(struct nk_dirty *dirty, uint64_t pages_max,
                                          nk_dirty_visit visit, void *arg, bool *out_over);
/* Watches no page of that part any more, which may be moved then; nothing is to be collected after
 * it. Takes NULL. False: it is still watched. */
bool nk__dirty_forget(struct nk_dirty *dirty, uint64_t first, uint64_t end);
/* Takes NULL. */
void nk__dirty_end(struct nk_dirty *dirty);

#endif
