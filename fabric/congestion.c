/* SPDX-License-Identifier: Apache-2.0 */
#include "congestion.h"

#define EASY_ROUNDS 5u
#define CAREFUL_ROUNDS 8u
/* So few frames are no queue that matters: a delay then comes from somewhere else. */
#define DELAY_WINDOW_MIN 4u
/* A window of so many frames aims at one and a half of the least target, a much smaller one at two.
 */
#define SMALL_WINDOW 16u
/* In the first round of a drain, what was on its way before still waits; and others drain now, too.
 */
#define DRAIN_ROUNDS 2u
#define DRAIN_NS 10000000u
/* So little above the base, it was seen again. */
#define BASE_SEEN_NS (FAB__CONGESTION_TARGET_NS / 8)
/* Loss of a round that has met a full queue: more than a part of so many, and not just one. */
#define ROUND_LOSS_PARTS 8u
#define ROUND_LOSS_MIN 3u

void fab__congestion_begin(struct fab__congestion *c, uint32_t sequence, bool fixed)
{
    *c = (struct fab__congestion){
        .window = fixed ? UINT32_MAX : FAB__CONGESTION_WINDOW_FIRST,
        .fixed = fixed,
        .threshold = UINT32_MAX,
        .ceiling = UINT32_MAX,
        .round_end = sequence,
    };
}

static uint64_t target_ns(const struct fab__congestion *c)
{
    uint64_t least =
        c->base_ns > FAB__CONGESTION_TARGET_NS ? c->base_ns : FAB__CONGESTION_TARGET_NS;

    return least + least * SMALL_WINDOW / (c->window + SMALL_WINDOW);
}

static uint32_t at_least_min(uint32_t window)
{
    return window > FAB__CONGESTION_WINDOW_MIN ? window : FAB__CONGESTION_WINDOW_MIN;
}

static void shrink_to(struct fab__congestion *c, uint32_t window)
{
    c->window = at_least_min(window);
    c->threshold = c->window;
    c->easy_count = 0;
}

/* --- the base -------------------------------------------------------------------------------- */

static uint64_t above_base(const struct fab__congestion *c, uint64_t ns)
{
    return ns > c->base_ns ? ns - c->base_ns : 0;
}

static void drain_begin(struct fab__congestion *c, uint32_t next, uint64_t now_ns)
{
    c->base_ns = 0;
    c->base_at_ns = now_ns;
    c->round_end = next;
    if (c->window > FAB__CONGESTION_WINDOW_MIN) {
        c->drain_window = c->window;
        c->drain_rounds = DRAIN_ROUNDS;
        c->drain_until_ns = now_ns + DRAIN_NS;
        c->window = FAB__CONGESTION_WINDOW_MIN;
    }
}

static void drain_end(struct fab__congestion *c)
{
    c->drain_rounds = 0;
    c->window = c->drain_window;
}

static void base_sample(struct fab__congestion *c, uint64_t sample_ns, uint32_t next,
                        uint64_t now_ns)
{
    if (c->base_ns != 0 && above_base(c, sample_ns) >= BASE_SEEN_NS &&
        now_ns - c->base_at_ns > FAB__CONGESTION_BASE_NS) {
        drain_begin(c, next, now_ns);
    }
    if (c->base_ns == 0 || sample_ns < c->base_ns) {
        c->base_ns = sample_ns;
    }
    if (above_base(c, sample_ns) < BASE_SEEN_NS) {
        c->base_at_ns = now_ns;
    }
}

/* --- rounds ---------------------------------------------------------------------------------- */

/* Of this round and the one before, as far as there are samples. */
static uint64_t standing_ns(const struct fab__congestion *c)
{
    uint64_t ns = c->last_round_ns < c->round_ns ? c->last_round_ns : c->round_ns;

    return above_base(c, ns);
}

/* True: too much was lost, and the window is smaller now. */
static bool loss_brake(struct fab__congestion *c)
{
    uint32_t sent = c->round_frames + c->round_lost;

    c->frames += c->round_frames;
    c->lost += c->round_lost;
    if (c->round_lost >= ROUND_LOSS_MIN && c->round_lost * ROUND_LOSS_PARTS > sent) {
        c->ceiling = c->window;
        shrink_to(c, c->window / 2);
    } else if (c->lost >= FAB__CONGESTION_LOSS_FRAMES_MIN &&
               c->lost * FAB__CONGESTION_LOSS_PARTS > c->frames) {
        c->ceiling = c->window;
        shrink_to(c, c->window - c->window / 4);
    } else {
        if (c->frames >= FAB__CONGESTION_LOSS_SPAN) {
            c->frames /= 2;
            c->lost /= 2;
        }
        return false;
    }
    c->frames = c->lost = 0;
    return true;
}

static void round_grow(struct fab__congestion *c, uint64_t delay_ns)
{
    if (!c->round_full || c->window < c->threshold) {
        return; /* not used up; or slow start, which grows with what is delivered */
    }
    if (c->round_lost > 0) {
        c->easy_count = 0;
        return;
    }
    if (c->window > c->ceiling) {
        c->ceiling = UINT32_MAX;
    }
    if (c->ceiling != UINT32_MAX && c->window + c->ceiling / 8 >= c->ceiling) {
        c->careful_count++;
        c->window += c->careful_count % CAREFUL_ROUNDS == 0;
        return;
    }
    c->easy_count = delay_ns < target_ns(c) / 4 ? c->easy_count + 1 : 0;
    c->window += c->easy_count >= EASY_ROUNDS ? 1 + c->window / 8 : 1;
}

static void round_finish(struct fab__congestion *c, uint64_t now_ns)
{
    uint64_t target = target_ns(c);
    uint64_t delay_ns = standing_ns(c);

    if (c->drain_rounds > 1) {
        c->drain_rounds--;
        return;
    }
    if (c->drain_rounds == 1) {
        if (now_ns >= c->drain_until_ns) {
            drain_end(c);
        }
        return;
    }
    if (c->round_cut) {
        return;
    }
    c->undo_window = 0;
    if (loss_brake(c) || c->round_ns == 0) {
        return;
    }
    if (c->window < c->threshold && above_base(c, c->round_ns) > target / 2) {
        c->threshold = c->window; /* slow start is over */
    } else if (delay_ns > target) {
        uint32_t less = (uint32_t)(c->window * (delay_ns - target) / (2 * delay_ns));
        if (c->window - less >= DELAY_WINDOW_MIN) {
            shrink_to(c, c->window - less);
        } else if (c->window > DELAY_WINDOW_MIN) {
            shrink_to(c, DELAY_WINDOW_MIN);
        }
    } else {
        round_grow(c, delay_ns);
    }
}

static void round_begin(struct fab__congestion *c, uint32_t next)
{
    c->round_end = next;
    c->last_round_ns = c->round_ns;
    c->round_ns = 0;
    c->round_frames = c->round_lost = 0;
    c->round_cut = c->round_full = false;
}

/* --- what the session says ------------------------------------------------------------------- */

void fab__congestion_delivered(struct fab__congestion *c, uint32_t frames, uint32_t newest,
                               uint32_t next, uint64_t sample_ns, uint32_t window_max,
                               uint64_t now_ns)
{
    if (c->fixed) {
        return;
    }
    if (sample_ns != 0) {
        base_sample(c, sample_ns, next, now_ns);
        if (c->round_ns == 0 || sample_ns < c->round_ns) {
            c->round_ns = sample_ns;
        }
    }
    c->round_frames += frames;
    if (c->window < c->threshold && c->round_full && c->drain_rounds == 0) {
        c->window += frames;
    }
    if ((int32_t)(newest - c->round_end) > 0) {
        round_finish(c, now_ns);
        round_begin(c, next);
    }
    if (c->window > window_max) {
        c->window = window_max;
    }
}

void fab__congestion_timeout(struct fab__congestion *c)
{
    if (c->fixed) {
        return;
    }
    if (c->drain_rounds > 0) {
        drain_end(c);
    }
    if (c->undo_window == 0 || c->window > FAB__CONGESTION_WINDOW_MIN) {
        c->undo_window = c->window;
        c->undo_threshold = c->threshold;
    }
    c->threshold = at_least_min(c->window / 2);
    c->window = FAB__CONGESTION_WINDOW_MIN;
    c->easy_count = 0;
    c->round_cut = true;
}

void fab__congestion_undo(struct fab__congestion *c)
{
    if (c->undo_window > c->window) {
        c->window = c->undo_window;
        c->threshold = c->undo_threshold;
    }
    c->undo_window = 0;
}
