/* SPDX-License-Identifier: Apache-2.0 */
/*
 * congestion.h - private to fabric: how many frames of a session may be on their way at once.
 *
 * Why: a link is shared. Frames beyond what it carries wait in queues, where they delay everybody,
 * and then are lost.
 *
 * Model: delay is the signal, as in Swift (Kumar et al., SIGCOMM 2020) and Copa (Arun and
 * Balakrishnan, NSDI 2018), loss the emergency brake. Time is cut into rounds of one round trip:
 * a round ends when a frame that was made after its begin is delivered.
 *
 * Delay. The *smallest* sample of a round tells how long a queue has stood all the time; larger
 * ones may just be a receiver that was not running, and so may one whole round: the smaller of two
 * rounds counts. That, less the base, is the standing delay.
 *   - In slow start the window grows by what is delivered, until a round's delay passes half the
 *     target.
 *   - Then it grows by a frame a round below the target, faster after some rounds far below; above
 *     it shrinks by half of what the delay is too much, at most to a half, but not below 4 frames:
 *     a delay that stays then is not ours (processors that others have, too).
 *   - The target is larger for a small window: flows that see the same delay come together.
 *
 * Base. The smallest sample there was. When nothing near it was seen for FAB__CONGESTION_BASE_NS,
 * the way may have changed, or a queue may hide it: the window goes down to the least for two
 * rounds and at least 10 ms, and what they see is the base. A flow that comes to a queue that
 * others keep full takes part of their delay for its base, and so a larger share, until then. One
 * flow that drains shows the others a lower delay; so their times fall together, and a while later
 * all drain at once (as BBR does).
 *
 * Loss. A wire may lose some frames by itself, and a window that shrinks for each of them stays
 * small for nothing. So there are two limits, both relative to what was delivered: a round that
 * loses more than an eighth has met a full queue, and the window goes to a half; more than
 * FAB__CONGESTION_LOSS_PARTS in the long run, and it goes to three quarters. Near the window that
 * lost too much it grows slowly next time. A queue too short to show as delay is kept at that loss.
 *
 * Time-outs. To the least, and slow start to the half. If it then shows that frames had arrived
 * that were not sent again, only answers were late: the window comes back.
 *
 * Growth only while the sender uses what it has.
 *
 * Sans-I/O: times are passed in. Units: ns, frames.
 */
#ifndef FABRIC_CONGESTION_H
#define FABRIC_CONGESTION_H

#include <stdbool.h>
#include <stdint.h>

#define FAB__CONGESTION_WINDOW_MIN 2u
#define FAB__CONGESTION_WINDOW_FIRST 32u
#define FAB__CONGESTION_BASE_NS 5000000000ull /* a base is believed for so long */
/*
 * Standing delay aimed at, at least. No time stamps come from the device, so the time in which the
 * other side does not look at its link (it runs a SIP, takes a block over) is in the samples, too;
 * less than this would take that for a queue.
 */
#define FAB__CONGESTION_TARGET_NS 400000u
/* One frame in so many may be lost; decided when at least LOSS_FRAMES_MIN were. */
#define FAB__CONGESTION_LOSS_PARTS 32u
#define FAB__CONGESTION_LOSS_FRAMES_MIN 6u
#define FAB__CONGESTION_LOSS_SPAN 256u /* delivered frames after which what was counts half */

struct fab__congestion {
    uint32_t window;        /* frames */
    uint32_t threshold;     /* slow start below it */
    uint32_t easy_count;    /* rounds in a row far below the target */
    uint32_t ceiling;       /* window that lost too much; UINT32_MAX: none, or passed since */
    uint32_t careful_count; /* rounds just below it */
    uint32_t round_end;     /* sequence; delivered: the round is over */
    uint32_t round_frames;  /* delivered in this round */
    uint32_t round_lost;    /* taken for lost in this round */
    uint32_t frames;        /* delivered since the last cut for loss; fades */
    uint32_t lost;
    uint32_t undo_window; /* before the time-out; 0: none to undo */
    uint32_t undo_threshold;
    uint32_t drain_window; /* before the drain */
    uint64_t round_ns;     /* smallest sample of this round; 0: none */
    uint64_t last_round_ns;
    uint64_t base_ns;    /* 0: none yet */
    uint64_t base_at_ns; /* when it was seen */
    uint64_t drain_until_ns;
    uint8_t drain_rounds; /* at least so many are left; 0: no drain */
    bool fixed;
    bool round_cut;  /* by a time-out */
    bool round_full; /* the window was used up in this round */
};

/* fixed: all of the window, always. */
void fab__congestion_begin(struct fab__congestion *c, uint32_t sequence, bool fixed);
/* A frame goes out; full: the window has no room after it. */
static inline void fab__congestion_sent(struct fab__congestion *c, bool full)
{
    c->round_full |= full;
}
/*
 * frames were delivered, and are not to be counted again; the newest of all is the one before
 * sequence `newest`. sample_ns: its round trip, 0: not known. next: sequence of the next new frame.
 * window_max: frames.
 */
void fab__congestion_delivered(struct fab__congestion *c, uint32_t frames, uint32_t newest,
                               uint32_t next, uint64_t sample_ns, uint32_t window_max,
                               uint64_t now_ns);
/* So many frames are taken for lost, because later ones were delivered. */
static inline void fab__congestion_lost(struct fab__congestion *c, uint32_t frames)
{
    c->round_lost += frames;
}
/* One that was taken for lost was only late. */
static inline void fab__congestion_found(struct fab__congestion *c)
{
    c->round_lost -= c->round_lost > 0;
}
/* Nothing was delivered for the length of the resend timer. */
void fab__congestion_timeout(struct fab__congestion *c);
/* What the last time-out took for lost was delivered without being sent again. */
void fab__congestion_undo(struct fab__congestion *c);

#endif
