/* SPDX-License-Identifier: Apache-2.0 */
/*
 * freeze.h - what freeze.c, capture.c, restore.c and precopy.c share. Private to
 * node_kernel/kernel; capture.h is the manual.
 */
#ifndef KERNEL_FREEZE_H
#define KERNEL_FREEZE_H

#include "internal.h"

#include "capture.h"

/* NULL: there is no frozen SIP of that number. */
struct nk_sip *nk__frozen_find(struct nk_kernel *kernel, uint64_t number);
/* Its endpoints in their order, as far as there is room; answers how many there are. */
uint32_t nk__frozen_eps(const struct nk_sip *sip, struct fab_ep *eps[], uint32_t capacity);

/* --- capture.c: records on their way to the sink --- */
struct nk_writer {
    nk_sink sink;
    void *sink_arg;
    uint64_t slot; /* its address */
    uint64_t record_count;
    struct nk_capture_stats stats;
};

/* A record whose payload is in up to two pieces. */
SF_MUST_CHECK sf_status nk__write(struct nk_writer *writer, uint32_t kind, const void *first,
                                  size_t first_bytes, const void *rest, size_t rest_bytes);
SF_MUST_CHECK sf_status nk__write_begin(struct nk_writer *writer, const struct nk_sip *sip);
/* Pages [first, end) of memory that is there: those of zeros as such, or not at all. */
SF_MUST_CHECK sf_status nk__write_pages(struct nk_writer *writer, uint64_t first, uint64_t end,
                                        bool tell_zeros);

/* --- precopy.c --- */
/* What is left; then nothing is watched any more. [dead_first, dead_end) need not travel. */
SF_MUST_CHECK sf_status nk__precopy_rest(struct nk_precopy *precopy, struct nk_writer *writer,
                                         uint64_t dead_first, uint64_t dead_end);
/* Records written so far. */
uint64_t nk__precopy_records(const struct nk_precopy *precopy);
/* Where what it watches ends; address. */
uint64_t nk__precopy_end(const struct nk_precopy *precopy);

#endif
