/* SPDX-License-Identifier: Apache-2.0 */
/*
 * histogram.h - how long something takes, in little memory.
 *
 * Model: four buckets an octave from FAB_HISTOGRAM_NS_MIN on, so what it answers is at most 25 %
 * too high; what is shorter shares the first bucket, what is longer the last. A count is 16 bits.
 * When one is full all are halved: old samples fade. Zeroed memory is an empty histogram.
 *
 * Threads: the owner's. No allocation.
 */
#ifndef FABRIC_HISTOGRAM_H
#define FABRIC_HISTOGRAM_H

#include <stdint.h>

#define FAB_HISTOGRAM_SHIFT 8u /* octave of the second bucket */
#define FAB_HISTOGRAM_NS_MIN (1u << FAB_HISTOGRAM_SHIFT)
#define FAB_HISTOGRAM_OCTAVES 26u /* up to 17 s */
#define FAB_HISTOGRAM_BUCKETS (1u + 4u * FAB_HISTOGRAM_OCTAVES)

struct fab_histogram {
    uint64_t count; /* all there ever were */
    uint64_t max_ns;
    uint16_t buckets[FAB_HISTOGRAM_BUCKETS];
};

static inline uint32_t fab_histogram_bucket(uint64_t ns)
{
    uint32_t octave, at;

    if (ns < FAB_HISTOGRAM_NS_MIN) {
        return 0;
    }
    octave = 63u - (uint32_t)__builtin_clzll(ns);
    at = 1u + 4u * (octave - FAB_HISTOGRAM_SHIFT) + (uint32_t)(ns >> (octave - 2u) & 3u);
    return at < FAB_HISTOGRAM_BUCKETS ? at : FAB_HISTOGRAM_BUCKETS - 1u;
}

/* The smallest value above a bucket. */
static inline uint64_t fab_histogram_end(uint32_t bucket)
{
    uint32_t octave = FAB_HISTOGRAM_SHIFT + (bucket - 1u) / 4u;

    return bucket == 0 ? FAB_HISTOGRAM_NS_MIN : (5ull + (bucket - 1u) % 4u) << (octave - 2u);
}

static inline void fab_histogram_add(struct fab_histogram *histogram, uint64_t ns)
{
    uint16_t *bucket = &histogram->buckets[fab_histogram_bucket(ns)];

    histogram->count++;
    if (ns > histogram->max_ns) {
        histogram->max_ns = ns;
    }
    if (__builtin_expect(*bucket == UINT16_MAX, 0)) {
        for (uint32_t i = 0; i < FAB_HISTOGRAM_BUCKETS; i++) {
            histogram->buckets[i] /= 2;
        }
    }
    ++*bucket;
}

/* What so many per cent of the samples do not exceed; 0: there are none. percent: 1..100. */
static inline uint64_t fab_histogram_ns(const struct fab_histogram *histogram, uint32_t percent)
{
    uint64_t all = 0, below = 0, end;
    uint32_t i;

    for (i = 0; i < FAB_HISTOGRAM_BUCKETS; i++) {
        all += histogram->buckets[i];
    }
    if (all == 0) {
        return 0;
    }
    for (i = 0; i < FAB_HISTOGRAM_BUCKETS - 1u; i++) {
        below += histogram->buckets[i];
        if (below * 100u >= all * percent) {
            break;
        }
    }
    end = fab_histogram_end(i);
    return end < histogram->max_ns && i < FAB_HISTOGRAM_BUCKETS - 1u ? end : histogram->max_ns;
}

#endif
