/* SPDX-License-Identifier: Apache-2.0 */
#include "line.h"

#include <assert.h>
#include <string.h>

void line_init(struct line *line, struct link *link, uint16_t queue, uint16_t burst_max,
               uint64_t *tx_count)
{
    memset(line, 0, sizeof(*line));
    line->link = link;
    line->queue = queue;
    line->burst_max = burst_max < LINK_BURST_MAX ? burst_max : LINK_BURST_MAX;
    line->tx_count = tx_count;
}

void line_fini(struct line *line)
{
    if (line->lent > 0) {
        line->link->ops->frame_free(line->link, line->frames, line->lent);
        line->filled = line->lent = 0;
    }
}

bool line_flush(struct line *line)
{
    uint16_t taken;

    if (line->filled == 0) {
        return true;
    }
    taken = line->link->ops->tx_burst(line->link, line->queue, line->frames, line->filled);
    assert(taken <= line->filled);
    __atomic_store_n(line->tx_count, *line->tx_count + taken, __ATOMIC_RELAXED);
    line->filled -= taken;
    line->lent -= taken;
    if (line->lent > 0) {
        memmove(line->frames, line->frames + taken, line->lent * sizeof(line->frames[0]));
    }
    return line->filled < line->burst_max;
}

bool line_has_tails(const struct line *line)
{
    for (uint16_t i = 0; i < line->filled; i++) {
        if (line->frames[i].tail_length != 0) {
            return true;
        }
    }
    return false;
}

void line_settle(struct line *line)
{
    for (uint16_t i = 0; i < line->filled; i++) {
        struct link_frame *frame = &line->frames[i];

        if (frame->tail_length != 0) {
            memcpy(frame->data + frame->length, frame->tail, frame->tail_length);
            frame->length += frame->tail_length;
            frame->tail = NULL;
            frame->tail_length = 0;
        }
    }
}

void line_lend(struct line *line, uint16_t count)
{
    uint16_t room = (uint16_t)(line->burst_max - line->lent);
    uint16_t there = (uint16_t)(line->lent - line->filled);

    count = (uint16_t)(count > there ? count - there : 0);
    count = count < room ? count : room;
    if (count > 0) {
        line->lent += line->link->ops->frame_alloc(line->link, line->frames + line->lent, count);
    }
}

/* An empty frame of the driver to write into, or NULL while it has none. */
static struct link_frame *frame_next(struct line *line)
{
    if (line->filled == line->burst_max && !line_flush(line)) {
        return NULL;
    }
    if (line->filled == line->lent) {
        line_lend(line, line->burst_max);
        if (line->filled == line->lent) {
            return NULL;
        }
    }
    return &line->frames[line->filled];
}

enum line_pulled line_pull(struct line *line, struct fab_node *fabric, uint16_t peer,
                           uint64_t now_ns)
{
    struct link_frame *frame = frame_next(line);
    struct fab_frame made;

    if (frame == NULL) {
        return LINE_STUCK;
    }
    made.bytes = frame->data;
    made.capacity = frame->capacity;
    if (!fab_tx_frame(fabric, peer, &made, now_ns)) {
        return LINE_NONE;
    }
    frame->length = made.length;
    frame->tail = made.tail;
    frame->tail_length = made.tail_length;
    frame->peer = peer;
    line->filled++;
    return LINE_FILLED;
}

enum line_armed line_arm(struct line *line, struct pollfd fds[], nfds_t *count)
{
    struct link *link = line->link;
    int fd =
        link->ops->wait_fd != NULL ? link->ops->wait_fd(link, line->queue, true) : LINK_WAIT_BLIND;

    line->armed = fd >= 0;
    if (line->armed) {
        fds[(*count)++] = (struct pollfd){.fd = fd, .events = POLLIN};
        return LINE_ARMED;
    }
    return fd == LINK_WAIT_NOT ? LINE_READY : LINE_BLIND;
}

void line_disarm(struct line *line)
{
    if (line->armed) {
        (void)line->link->ops->wait_fd(line->link, line->queue, false);
        line->armed = false;
    }
}
