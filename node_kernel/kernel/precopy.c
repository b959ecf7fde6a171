/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a SIP that runs, in rounds. What is copied is stack, header and linear memory as it
 * was accessible when the first round began; blocks, and what it has grown by since, come with the
 * capture.
 *
 * A SIP may end while it is copied: then its slot is kept until nobody reads from it any more.
 */
#include "internal.h"

#include "capture.h"
#include "dirty.h"
#include "freeze.h"
#include "spares.h"

#include <stdlib.h>
#include <sys/mman.h>

struct nk_precopy {
    struct nk_kernel *kernel;
    struct nk_sip *sip; /* locked; NULL: it has ended, or was released */
    uint8_t leaves;     /* then: its SIP lives on elsewhere */
    uint32_t slot_index;
    struct nk_slot *slot;
    struct nk_dirty *dirty;
    uint64_t end;
    uint64_t record_count;
    bool rounds;        /* there was one */
    bool within;        /* of one, and more of it is to come */
    uint64_t discarded; /* up to here its memory has been given back; 0: none */
};

static sf_status watch(struct nk_precopy *precopy, const struct nk_sip *sip)
{
    const uint64_t slot = nk__slot_address(precopy->kernel, sip->slot_index);

    precopy->slot_index = sip->slot_index;
    precopy->slot = sip->slot;
    precopy->end = slot + NK_MEMORY + sip->memory_bytes;
    return nk__dirty_begin(slot + NK_STACK_LOW, precopy->end, NK_DIRTY_ANY, &precopy->dirty);
}

/* Others stand still, so that the SIP neither ends nor grows meanwhile. */
static sf_status begin(struct nk_precopy *precopy, uint64_t number)
{
    struct nk_sip *sip = nk__sip_find(precopy->kernel, number);
    sf_status st;

    if (sip == NULL || sip->state == NK_SIP_ENDING || sip->state == NK_SIP_CREATED) {
        return SF_NOTFOUND;
    }
    if (sip->precopy != NULL) {
        return SF_EXISTS;
    }
    st = watch(precopy, sip);
    if (st == SF_OK) {
        precopy->sip = sip;
        sip->precopy = precopy;
    }
    return st;
}

sf_status nk_precopy_create(struct nk_kernel *kernel, uint64_t number,
                            struct nk_precopy **out_precopy)
{
    struct nk_precopy *precopy = calloc(1, sizeof(*precopy));
    sf_status st;

    if (precopy == NULL) {
        return SF_NOMEM;
    }
    precopy->kernel = kernel;
    nk_pause(kernel);
    st = begin(precopy, number);
    nk_resume(kernel);
    if (st != SF_OK) {
        free(precopy);
        return st;
    }
    *out_precopy = precopy;
    return SF_OK;
}

struct cut {
    struct nk_writer *writer;
    uint64_t first, end; /* not to be written */
    bool tell_zeros;
};

static sf_status written(void *arg, uint64_t first, uint64_t end)
{
    const struct cut *cut = arg;

    if (first >= cut->first && first < cut->end) {
        first = end < cut->end ? end : cut->end;
    }
    return first < end ? nk__write_pages(cut->writer, first, end, cut->tell_zeros) : SF_OK;
}

/* What is next of a round, at most so many pages. */
static sf_status collect(struct nk_precopy *precopy, uint64_t pages_max, struct nk_writer *writer,
                         uint64_t dead_first, uint64_t dead_end)
{
    struct cut cut = {writer, dead_first, dead_end, precopy->rounds};
    const bool stop = nk__dirty_way(precopy->dirty) == NK_DIRTY_SOFT_DIRTY && !precopy->within;
    bool over = false;
    sf_status st = SF_OK;

    if (stop) {
        nk_pause(precopy->kernel);
    }
    if (!precopy->within) {
        st = nk__dirty_mark(precopy->dirty);
    }
    if (stop) {
        nk_resume(precopy->kernel);
    }
    if (st == SF_OK) {
        st = nk__dirty_collect(precopy->dirty, pages_max, written, &cut, &over);
    }
    precopy->within = !over;
    precopy->rounds |= over;
    return st;
}

/* The record of the beginning. Its SIP may be about to end on another worker. */
static sf_status begin_write(struct nk_precopy *precopy, struct nk_writer *writer)
{
    sf_status st = SF_NOTFOUND;

    nk_pause(precopy->kernel);
    if (precopy->sip != NULL) {
        st = precopy->record_count == 0 ? nk__write_begin(writer, precopy->sip) : SF_OK;
    }
    nk_resume(precopy->kernel);
    return st;
}

sf_status nk_precopy_step(struct nk_precopy *precopy, uint64_t pages_max, nk_sink sink,
                          void *sink_arg, struct nk_capture_stats *out_stats, bool *out_over)
{
    struct nk_writer writer = {.sink = sink,
                               .sink_arg = sink_arg,
                               .slot = nk__slot_address(precopy->kernel, precopy->slot_index),
                               .record_count = precopy->record_count};
    sf_status st = begin_write(precopy, &writer);

    if (st == SF_OK && pages_max > 0) {
        st = collect(precopy, pages_max, &writer, 0, 0);
    }
    precopy->record_count = writer.record_count;
    *out_over = pages_max > 0 && !precopy->within;
    if (out_stats != NULL) {
        *out_stats = writer.stats;
    }
    return st;
}

sf_status nk__precopy_rest(struct nk_precopy *precopy, struct nk_writer *writer,
                           uint64_t dead_first, uint64_t dead_end)
{
    sf_status st = SF_OK;

    if (precopy->within) { /* what lies before where it is may have been written since */
        st = collect(precopy, UINT64_MAX, writer, dead_first, dead_end);
    }
    return st == SF_OK ? collect(precopy, UINT64_MAX, writer, dead_first, dead_end) : st;
}

uint64_t nk__precopy_records(const struct nk_precopy *precopy)
{
    return precopy->record_count;
}

uint64_t nk__precopy_end(const struct nk_precopy *precopy)
{
    return precopy->end;
}

void nk_precopy_range(const struct nk_precopy *precopy, const uint8_t **out_first,
                      const uint8_t **out_end)
{
    const uint64_t slot = nk__slot_address(precopy->kernel, precopy->slot_index);

    *out_first = (const uint8_t *)(slot + NK_STACK_LOW);
    *out_end = (const uint8_t *)precopy->end;
}

static uint64_t memory_begin(const struct nk_precopy *precopy)
{
    return nk__slot_address(precopy->kernel, precopy->slot_index) + NK_MEMORY;
}

/* The next bytes, at most up to where a region may be kept, or that region; of what is no whole one
 * the small pages. Answers how many; 0: it failed. */
static uint64_t discard_some(const struct nk_precopy *precopy, uint64_t bytes)
{
    struct nk_spares *spares = precopy->kernel->spares;
    const uint64_t at = precopy->discarded, left = precopy->end - at;
    const uint64_t to_region = NK_SPARE_BYTES - at % NK_SPARE_BYTES;
    const uint64_t whole = to_region < left ? to_region : left;
    const bool first = to_region == NK_SPARE_BYTES || at == memory_begin(precopy);

    if (first && nk__dirty_forget(precopy->dirty, at, at + whole)) {
        if (whole < NK_SPARE_BYTES) {
            nk__spares_put_pages(spares, (uint8_t *)at, (uint8_t *)at + whole);
        } else if (nk__spares_put(spares, (uint8_t *)at)) {
            return NK_SPARE_BYTES;
        }
    }
    bytes = bytes < whole ? bytes : whole;
    return madvise((void *)at, bytes, MADV_DONTNEED) == 0 ? bytes : 0;
}

bool nk_precopy_discard(struct nk_precopy *precopy, uint64_t bytes)
{
    bool ended;

    nk__lock(precopy->kernel);
    ended = precopy->sip == NULL;
    nk__unlock(precopy->kernel);
    if (!ended || precopy->discarded == precopy->end) {
        return false;
    }
    if (precopy->dirty != NULL && nk__dirty_way(precopy->dirty) == NK_DIRTY_SOFT_DIRTY) {
        nk__dirty_end(precopy->dirty); /* the only one: the next SIP to go needs it */
        precopy->dirty = NULL;
    }
    if (bytes == 0) {
        return true;
    }
    if (precopy->discarded == 0) {
        precopy->discarded = memory_begin(precopy);
    }
    bytes = discard_some(precopy, bytes);
    precopy->discarded += bytes;
    return bytes > 0; /* else destroy does it */
}

bool nk_precopy_cool(struct nk_kernel *kernel)
{
    return nk__spares_cool(kernel->spares);
}

int nk__precopy_leave(struct nk_sip *sip)
{
    struct nk_precopy *precopy;

    nk__lock(sip->kernel);
    precopy = sip->precopy;
    if (precopy != NULL) {
        precopy->sip = NULL;
        precopy->leaves = sip->state == NK_SIP_FROZEN;
        sip->precopy = NULL;
    }
    nk__unlock(sip->kernel);
    return precopy == NULL;
}

void nk_precopy_destroy(struct nk_precopy *precopy)
{
    struct nk_kernel *kernel;
    int ended;

    if (precopy == NULL) {
        return;
    }
    kernel = precopy->kernel;
    nk__lock(kernel);
    ended = precopy->sip == NULL;
    if (!ended) {
        precopy->sip->precopy = NULL;
    }
    nk__unlock(kernel);
    nk__dirty_end(precopy->dirty);
    if (ended && precopy->leaves) {
        nk__slot_leave(kernel, precopy->slot_index, precopy->slot);
    } else if (ended) {
        nk__slot_give_back(kernel, precopy->slot_index, precopy->slot);
    }
    free(precopy);
}
