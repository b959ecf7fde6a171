/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of a capture: where they belong, and that there is memory for them. */
#include "restore.h"

#include <string.h>
#include <sys/mman.h>

#define POPULATE_BYTES_MIN (16u << 10) /* pages made in one go; then fewer faults */
#define HUGE_PAGE_BYTES (2u << 20)
#define HUGE_BYTES_MIN (256u << 10) /* that much in a row: there will be more around it */

/* Are these bytes of the linear memory pages of one span or run of the window? */
static int window_has(const struct nk_sip *sip, uint64_t from, uint64_t end)
{
    const struct nk_window *window = &sip->window;
    uint64_t first, bytes;
    uint32_t index;

    if (from < window->offset || from - window->offset >= (uint64_t)window->span_capacity
                                                              << NK_SPAN_SHIFT) {
        return 0;
    }
    index = (uint32_t)((from - window->offset) >> NK_SPAN_SHIFT);
    while (window->spans[index].kind == NK_SPAN_REST) {
        index--;
    }
    if (window->spans[index].kind == NK_SPAN_CELLS) {
        bytes = 1u << NK_SPAN_SHIFT;
    } else if (window->spans[index].kind == NK_SPAN_RUN) {
        bytes =
            nk__form_run_bytes(window->spans[index].u.block->capacity, window->spans[index].run);
    } else {
        return 0;
    }
    first = window->offset + ((uint64_t)index << NK_SPAN_SHIFT);
    return from >= first && end <= first + bytes;
}

static sf_status pages_find(const struct nk_restore *restore, uint8_t **out_at, uint64_t *out_bytes)
{
    const struct nk_sip *sip = restore->sip;
    struct nk_form_pages form;
    uint64_t from, end;

    memcpy(&form, restore->kept, sizeof(form));
    from = (uint64_t)form.first * NK_PAGE_BYTES;
    end = from + (uint64_t)form.count * NK_PAGE_BYTES;
    if (form.count == 0 || from < NK_STACK_LOW ||
        (end > NK_MEMORY + sip->memory_bytes &&
         (from < NK_MEMORY || !window_has(sip, from - NK_MEMORY, end - NK_MEMORY)))) {
        return nk__restore_damaged(restore, "pages that are not its own");
    }
    *out_at = sip->memory - NK_MEMORY + from;
    *out_bytes = end - from;
    return SF_OK;
}

/* Making a page costs as much as copying several; a huge one is made for the price of some. */
static void pages_make(struct nk_restore *restore, uint8_t *at, uint64_t bytes)
{
    const uint64_t memory = (uint64_t)restore->sip->memory;
    const uint64_t first = (uint64_t)at & ~(uint64_t)(HUGE_PAGE_BYTES - 1);
    uint64_t end = ((uint64_t)at + bytes + HUGE_PAGE_BYTES - 1) & ~(uint64_t)(HUGE_PAGE_BYTES - 1);

    while (end > memory + restore->sip->memory_bytes) {
        end -= HUGE_PAGE_BYTES;
    }
    if (bytes >= HUGE_BYTES_MIN && first >= memory && first < end) {
        restore->huge = true;
        (void)madvise((void *)first, end - first, MADV_HUGEPAGE); /* or else small ones */
    }
    if (bytes >= POPULATE_BYTES_MIN) {
        (void)madvise(at, bytes, MADV_POPULATE_WRITE); /* or else as it comes */
    }
}

sf_status nk__restore_pages(struct nk_restore *restore)
{
    uint64_t bytes = 0;
    sf_status st = pages_find(restore, &restore->fill_to, &bytes);

    if (st == SF_OK && bytes != restore->record.bytes - sizeof(struct nk_form_pages)) {
        return nk__restore_damaged(restore, "pages");
    }
    restore->fill_left = bytes;
    if (st == SF_OK) {
        pages_make(restore, restore->fill_to, bytes);
    }
    return st;
}

sf_status nk__restore_zeros(struct nk_restore *restore)
{
    uint64_t bytes = 0;
    uint8_t *at = NULL;
    sf_status st = pages_find(restore, &at, &bytes);

    if (st == SF_OK) {
        memset(at, 0, bytes);
    }
    return st;
}
