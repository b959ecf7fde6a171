/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poll_window.h - how long a worker that finds nothing to do goes on polling before it sleeps.
 *
 * Why: polling catches what comes soon, without the price of a sleep and a waking. Where what comes
 * next always takes longer (a link of emulated machines, a client that thinks), it is in vain, and
 * takes the core from whoever is to answer: 5 to 10 % of a round trip over soft-RoCE.
 *
 * Model: sleeps tell. POLL_WINDOW_MISSES in a row that lasted longer than polling would have close
 * the window; one that did not, opens it again. The same that hypervisors do before they halt a
 * processor, but that the window has one width.
 *
 * Threads: one at a time. A window that is zero is open.
 */
#ifndef KERNEL_POLL_WINDOW_H
#define KERNEL_POLL_WINDOW_H

#include <stdint.h>

#define POLL_WINDOW_NS 50000u
#define POLL_WINDOW_MISSES 8u

struct poll_window {
    uint32_t misses; /* in a row, POLL_WINDOW_MISSES at most */
};

/* For how long; 0: not at all. */
static inline uint64_t poll_window_ns(const struct poll_window *window)
{
    return window->misses < POLL_WINDOW_MISSES ? POLL_WINDOW_NS : 0;
}

/* A sleep that something would have ended at any time has lasted for so long. */
static inline void poll_window_slept(struct poll_window *window, uint64_t slept_ns)
{
    if (slept_ns < POLL_WINDOW_NS) {
        window->misses = 0;
    } else if (window->misses < POLL_WINDOW_MISSES) {
        window->misses++;
    }
}

#endif
