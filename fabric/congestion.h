/* SPDX-License-Identifier: Apache-2.0 */
/*
 * congestion.h - private to fabric: how many frames of a session may be on their way at once.
 *
 * Why: a link is shared. Frames beyond what it carries wait in queues, where they delay everybody,
 * and then are lost.
 *
 * Model: delay is the signal, as in Swift (Kumar et al., SIGCOMM 2020) and Copa (Arun and
 * Balakrishnan, NSDI 2018), loss the emergency brake. Time is cut into rounds of one round trip.
 * The *smallest* sample of a round tells how long a queue has stood all the time; larger ones may
 * just be a receiver that was not running. That, less the smallest of the last CONGESTION_BASE_NS,
 * is the standing delay.
 *   - In slow start the window grows by what is acknowledged, until the standing delay passes half
 *     the target, or a frame is lost.
 *   - Then it grows by a frame a round below the target, faster after some rounds far below; above
 *     it shrinks by half of what the delay is too much, at most to a half.
 *   - A round with losses: to a half, or, if there is no standing delay (a link that loses frames
 *     by itself), by an eighth. After a time-out: to the least, and slow start to the half.
 * Growth only while the sender uses what it has.
 *
 * Sessions that share a queue see the same delay: the additive increase and proportional decrease
 * bring their windows together. One that comes to a queue that others keep full takes part of
 * their delay for its base, and so a larger share, until the queue drains once.
 *
 * Sans-I/O: times are passed in. Units: ns, frames.
 */
#ifndef FABRIC_CONGESTION_H
#define FABRIC_CONGESTION_H

#include <stdbool.h>
#include <stdint.h>

#define FAB__CONGESTION_WINDOW_MIN 2u
#define FAB__CONGESTION_WINDOW_FIRST 32u
#define FAB__CONGESTION_BASE_NS 10000000000ull /* a base is believed for so long */
/*
 * Standing delay aimed at, at least. No time stamps come from the device, so the time in which the
 * other side does not look at its link (it runs a SIP, takes a block over) is in the samples, too;
 * less than this would take that for a queue.
 */
#define FAB__CONGESTION_TARGET_NS 500000u

struct fab__congestion {
    uint32_t window;     /* frames */
    uint32_t threshold;  /* slow start below it */
    uint32_t easy_count; /* rounds in a row far below the target */
    uint32_t round_end;  /* sequence; acknowledged: the round is over */
    uint64_t round_ns;   /* smallest sample of this round; 0: none */
    uint64_t base_ns;    /* smallest of this and the last period; 0: none yet */
    uint64_t base_next_ns;
    uint64_t base_until_ns;
    bool fixed;
    bool round_lost; /* a frame was lost in this round */
    bool round_cut;  /* and answered already */
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
 * frames were acknowledged, all before sequence `acked`; sample_ns of the newest, 0: none.
 * next: sequence of the next new frame. window_max: frames.
 */
void fab__congestion_acked(struct fab__congestion *c, uint32_t frames, uint32_t acked,
                           uint32_t next, uint64_t sample_ns, uint32_t window_max, uint64_t now_ns);
/* A later frame was acknowledged before one that is taken for lost. */
void fab__congestion_lost(struct fab__congestion *c);
/* Nothing was acknowledged for the length of the resend timer. */
void fab__congestion_timeout(struct fab__congestion *c);

#endif
