/* SPDX-License-Identifier: Apache-2.0 */
#include "congestion.h"

#define EASY_ROUNDS 5u

void fab__congestion_begin(struct fab__congestion *c, uint32_t sequence, bool fixed)
{
    *c = (struct fab__congestion){
        .window = fixed ? UINT32_MAX : FAB__CONGESTION_WINDOW_FIRST,
        .fixed = fixed,
        .threshold = UINT32_MAX,
        .round_end = sequence,
    };
}

static uint64_t target_ns(const struct fab__congestion *c)
{
    return c->base_ns > FAB__CONGESTION_TARGET_NS ? c->base_ns : FAB__CONGESTION_TARGET_NS;
}

/* Smallest sample of the present period of half FAB__CONGESTION_BASE_NS and the one before. */
static void base_sample(struct fab__congestion *c, uint64_t sample_ns, uint64_t now_ns)
{
    if (now_ns >= c->base_until_ns) {
        c->base_ns = c->base_next_ns;
        c->base_next_ns = sample_ns;
        c->base_until_ns = now_ns + FAB__CONGESTION_BASE_NS / 2;
    }
    if (sample_ns < c->base_next_ns) {
        c->base_next_ns = sample_ns;
    }
    if (c->base_ns == 0 || sample_ns < c->base_ns) {
        c->base_ns = sample_ns;
    }
}

static void shrink_to(struct fab__congestion *c, uint32_t window)
{
    c->window = window > FAB__CONGESTION_WINDOW_MIN ? window : FAB__CONGESTION_WINDOW_MIN;
    c->threshold = c->window;
    c->easy_count = 0;
}

/* Standing delay of the round so far. */
static uint64_t standing_ns(const struct fab__congestion *c)
{
    return c->round_ns > c->base_ns ? c->round_ns - c->base_ns : 0;
}

static void round_grow(struct fab__congestion *c, uint64_t delay_ns)
{
    if (!c->round_full || c->window < c->threshold) {
        return; /* not used up; or slow start, which grows with each acknowledgement */
    }
    c->easy_count = delay_ns < target_ns(c) / 4 ? c->easy_count + 1 : 0;
    c->window += c->easy_count >= EASY_ROUNDS ? 1 + c->window / 8 : 1;
}

static void round_finish(struct fab__congestion *c)
{
    uint64_t target = target_ns(c);
    uint64_t delay_ns = standing_ns(c);

    if (c->round_cut) {
        return;
    }
    if (c->round_lost) {
        shrink_to(c, delay_ns < target / 4 ? c->window - c->window / 8 : c->window / 2);
    } else if (c->round_ns == 0) {
        return;
    } else if (c->window < c->threshold && delay_ns > target / 2) {
        c->threshold = c->window; /* slow start is over */
    } else if (delay_ns > target) {
        uint64_t less = c->window * (delay_ns - target) / (2 * delay_ns);
        shrink_to(c, c->window - (uint32_t)less);
    } else {
        round_grow(c, delay_ns);
    }
}

void fab__congestion_acked(struct fab__congestion *c, uint32_t frames, uint32_t acked,
                           uint32_t next, uint64_t sample_ns, uint32_t window_max, uint64_t now_ns)
{
    if (c->fixed) {
        return;
    }
    if (sample_ns != 0) {
        base_sample(c, sample_ns, now_ns);
        if (c->round_ns == 0 || sample_ns < c->round_ns) {
            c->round_ns = sample_ns;
        }
    }
    if (c->window < c->threshold && c->round_full && !c->round_lost) {
        c->window += frames;
    }
    if ((int32_t)(acked - c->round_end) >= 0) {
        round_finish(c);
        c->round_end = next;
        c->round_ns = 0;
        c->round_lost = c->round_cut = c->round_full = false;
    }
    if (c->window > window_max) {
        c->window = window_max;
    }
}

void fab__congestion_lost(struct fab__congestion *c)
{
    c->round_lost = true;
}

void fab__congestion_timeout(struct fab__congestion *c)
{
    uint32_t half = c->window / 2;

    if (c->fixed) {
        return;
    }
    shrink_to(c, FAB__CONGESTION_WINDOW_MIN);
    c->threshold = half > FAB__CONGESTION_WINDOW_MIN ? half : FAB__CONGESTION_WINDOW_MIN;
    c->round_cut = true;
}
