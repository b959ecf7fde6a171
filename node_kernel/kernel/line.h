/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line.h - a queue of a link, and the driver's frames that are filled for it.
 *
 * Model: frames are borrowed from the driver, filled by the fabric, and given to the driver in
 * bursts. What it does not take stays and goes first next time.
 *
 * Users: the pump (worker 0's lines) and queues.c (the others'). Threads: a line is one worker's.
 * Ownership: the link is the caller's; frames that are lent go back by line_fini. Limits:
 * LINK_BURST_MAX frames.
 */
#ifndef KERNEL_LINE_H
#define KERNEL_LINE_H

#include <poll.h>

#include "fabric/fabric.h"
#include "link/link.h"

struct line {
    struct link *link;
    uint16_t queue;
    uint16_t burst_max;
    /* Lent by the driver: [0, filled) wait for tx_burst, [filled, lent) are empty. */
    struct link_frame frames[LINK_BURST_MAX];
    uint16_t filled, lent;
    bool armed;         /* its descriptor is slept on */
    uint64_t *tx_count; /* frames that drivers took; written by the line's worker, read anywhere */
};

/* tx_count must outlive the line. */
void line_init(struct line *line, struct link *link, uint16_t queue, uint16_t burst_max,
               uint64_t *tx_count);
/* Gives frames back. The queue must still be open. */
void line_fini(struct line *line);

enum line_pulled {
    LINE_STUCK, /* the driver has no room */
    LINE_NONE,  /* the fabric had nothing to send to that peer */
    LINE_FILLED /* frames[filled - 1] is new */
};
/* The fabric's lock is held. One frame to that peer; flushes first when all frames are filled. */
enum line_pulled line_pull(struct line *line, struct fab_node *fabric, uint16_t peer,
                           uint64_t now_ns);
/* Borrows up to `count` empty frames, as many as there are then. */
void line_lend(struct line *line, uint16_t count);
/* Gives filled frames to the driver. True if there is room for at least one more. */
bool line_flush(struct line *line);
/* Does a filled frame refer to bytes of a block (link_frame.tail)? */
bool line_has_tails(const struct line *line);
/* Copies the tails of what is filled: the blocks may go before the driver takes them. */
void line_settle(struct line *line);

/* Of several lines, the greatest counts. */
enum line_armed {
    LINE_ARMED, /* a frame on this queue makes the descriptor readable, which was added */
    LINE_BLIND, /* nothing would wake */
    LINE_READY  /* there is something to be received now */
};
enum line_armed line_arm(struct line *line, struct pollfd fds[], nfds_t *count);
void line_disarm(struct line *line);

#endif
