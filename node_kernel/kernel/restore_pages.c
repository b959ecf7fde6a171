/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of a capture: where they belong, and that there is memory for them. */
#include "restore.h"

#include "spares.h"

#include <emmintrin.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define POPULATE_BYTES_MIN (16u << 10) /* pages made in one go; then fewer faults */
#define HUGE_BYTES_MIN (256u << 10)    /* that much in a row: there will be more around it */
#define SPARE_PAGES_BYTES_MIN (64 << 10)
#define STREAM_BYTES 64u
#define STREAM_BYTES_MIN 4096u

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

/* --- spare memory -------------------------------------------------------------------------------
 *
 * At most one region of it is not overwritten as a whole yet: what is in its last part may be
 * somebody else's. Pages come in order of their addresses, so that part just gets shorter.
 */

void nk__restore_wipe(struct nk_restore *restore)
{
    if (restore->spare_end != NULL) {
        memset(restore->spare_at, 0, (size_t)(restore->spare_end - restore->spare_at));
        restore->spare_end = NULL;
    }
    _mm_sfence(); /* for `stream` */
}

/* These bytes are about to be overwritten. */
static void spare_fill(struct nk_restore *restore, uint8_t *at, uint8_t *end)
{
    restore->pages_end = end > restore->pages_end ? end : restore->pages_end;
    if (restore->spare_end == NULL) {
        return;
    }
    if (end <= restore->spare_end - NK_SPARE_BYTES) { /* that was all, for now */
        nk__restore_wipe(restore);
        return;
    }
    if (end <= restore->spare_at) {
        return;
    }
    if (at > restore->spare_at) { /* what was left out is zeros */
        uint8_t *to = at < restore->spare_end ? at : restore->spare_end;

        memset(restore->spare_at, 0, (size_t)(to - restore->spare_at));
    }
    restore->spare_at = end;
    if (end >= restore->spare_end) {
        restore->spare_end = NULL;
    }
}

static uint8_t *region_of(uint8_t *at)
{
    return nk__spare_region(at - (NK_SPARE_BYTES - 1));
}

/* Does all of the region that this is in belong to its linear memory? */
static bool region_is_whole(const struct nk_sip *sip, uint8_t *at)
{
    const uint8_t *region = region_of(at);

    return region >= sip->memory && region + NK_SPARE_BYTES <= sip->memory + sip->memory_bytes;
}

/* Memory for the region that begins there, if it is beyond all that has come, and there will be
 * more of it: much comes in a row. False: it is none such, or there is no memory to spare. */
static bool spare_take(struct nk_restore *restore, uint8_t *at, uint8_t *end,
                       const uint8_t *pages_end)
{
    const struct nk_sip *sip = restore->sip;

    if (restore->fill_bytes < HUGE_BYTES_MIN || region_of(at) != at || at < pages_end ||
        !region_is_whole(sip, at) || !nk__spares_take(sip->kernel->spares, at)) {
        return false;
    }
    restore->spare_at = end;
    restore->spare_end = at + NK_SPARE_BYTES;
    return true;
}

/* Small pages for just these bytes, if they are beyond all that has come, and no huge page is to be
 * made around them. They are overwritten before the next record comes. */
static bool spare_pages_take(const struct nk_restore *restore, uint8_t *at, uint8_t *end,
                             const uint8_t *pages_end)
{
    const struct nk_sip *sip = restore->sip;

    return end - at >= SPARE_PAGES_BYTES_MIN && at >= pages_end && at >= sip->memory &&
           end <= sip->memory + sip->memory_bytes &&
           (restore->fill_bytes < HUGE_BYTES_MIN || !region_is_whole(sip, at)) &&
           nk__spares_take_pages(sip->kernel->spares, at, (uint64_t)(end - at));
}

/* --- making them --------------------------------------------------------------------------------
 */

/* Making a page costs as much as copying several; a huge one is made for the price of some. */
static void new_make(struct nk_restore *restore, uint8_t *at, uint8_t *end)
{
    if (restore->fill_bytes >= HUGE_BYTES_MIN) {
        if (!region_is_whole(restore->sip, at)) {
            restore->fill_way = NK_FILL_WRITE;
            return;
        }
        restore->huge = true;
        (void)madvise(region_of(at), NK_SPARE_BYTES, MADV_HUGEPAGE); /* or else small ones */
    }
    if (end - at >= POPULATE_BYTES_MIN) {
        (void)madvise(at, (size_t)(end - at), MADV_POPULATE_WRITE); /* or else as it comes */
    }
}

/* Within one region. */
static void pages_make(struct nk_restore *restore, uint8_t *at, uint64_t bytes)
{
    const uint8_t *open = restore->spare_end, *pages_end = restore->pages_end;
    uint8_t *end = at + bytes;

    spare_fill(restore, at, end);
    restore->fill_way = NK_FILL_STREAM;
    if ((open == NULL || end > open || at < open - NK_SPARE_BYTES) &&
        !spare_take(restore, at, end, pages_end) &&
        !spare_pages_take(restore, at, end, pages_end)) {
        restore->fill_way = NK_FILL_COPY;
        new_make(restore, at, end);
    }
}

/* Past the caches: memory that nobody has touched for long would be read first, to be overwritten.
 * Other threads see it only after a fence, which costs a third of the speed if each frame has one:
 * nk__restore_wipe has it. */
static void stream(uint8_t *to, const uint8_t *from, size_t bytes)
{
    const size_t head = -(uintptr_t)to & (STREAM_BYTES - 1);
    size_t at = head;

    memcpy(to, from, head);
    for (; at + STREAM_BYTES <= bytes; at += STREAM_BYTES) {
        __m128i words[STREAM_BYTES / sizeof(__m128i)];

        memcpy(words, from + at, STREAM_BYTES);
        for (size_t i = 0; i < STREAM_BYTES / sizeof(__m128i); i++) {
            _mm_stream_si128((__m128i *)(to + at) + i, words[i]);
        }
    }
    memcpy(to + at, from + at, bytes - at);
}

/* The system makes the pages and writes them by its own mapping of all memory. Where a hypervisor
 * keeps page tables of its own, the first touch by a program takes ten times as long as that: so
 * only those pages pay for it that the SIP comes to touch. False: they are partly written, or not.
 */
static bool system_writes(uint8_t *to, const uint8_t *from, size_t bytes)
{
    struct iovec ours = {.iov_base = (void *)from, .iov_len = bytes};
    struct iovec its = {.iov_base = to, .iov_len = bytes};

    return process_vm_writev(getpid(), &ours, 1, &its, 1, 0) == (ssize_t)bytes;
}

/* The next of its memory, up to where a region begins. */
static void fill_make(struct nk_restore *restore)
{
    uint8_t *at = restore->fill_to, *region = nk__spare_region(at + 1);
    uint64_t bytes = (uint64_t)(region - at);

    bytes = bytes < restore->fill_left ? bytes : restore->fill_left;
    pages_make(restore, at, bytes);
    restore->fill_made = at + bytes;
}

void nk__restore_fill(struct nk_restore *restore, const uint8_t *bytes, size_t count)
{
    while (count > 0) {
        size_t some;

        if (restore->fill_to == restore->fill_made) {
            fill_make(restore);
        }
        some = (size_t)(restore->fill_made - restore->fill_to);
        some = some < count ? some : count;
        if (restore->fill_way == NK_FILL_STREAM && some >= STREAM_BYTES_MIN) {
            stream(restore->fill_to, bytes, some);
        } else if (restore->fill_way != NK_FILL_WRITE ||
                   !system_writes(restore->fill_to, bytes, some)) {
            memcpy(restore->fill_to, bytes, some);
        }
        restore->fill_to += some;
        restore->fill_left -= some;
        bytes += some;
        count -= some;
    }
}

sf_status nk__restore_pages(struct nk_restore *restore)
{
    uint64_t bytes = 0;
    sf_status st = pages_find(restore, &restore->fill_to, &bytes);

    if (st == SF_OK && bytes != restore->record.bytes - sizeof(struct nk_form_pages)) {
        return nk__restore_damaged(restore, "pages");
    }
    restore->fill_bytes = restore->fill_left = bytes;
    restore->fill_made = restore->fill_to;
    return st;
}

sf_status nk__restore_zeros(struct nk_restore *restore)
{
    uint64_t bytes = 0;
    uint8_t *at = NULL;
    sf_status st = pages_find(restore, &at, &bytes);

    if (st == SF_OK) {
        spare_fill(restore, at, at + bytes);
        memset(at, 0, bytes);
    }
    return st;
}
