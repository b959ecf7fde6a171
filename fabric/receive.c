/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "move.h"
#include "plant.h"
#include "session.h"

/*
 * An acknowledgement waits for a frame to ride on, but not for long, and not for more than a few
 * frames: RFC 9000, section 13.2, with a machine room's times.
 */
#define ACK_WAIT_NS 100000ull
#define ACK_FRAMES 2u
/* Where nothing gets lost they only give memory back, and the next frame is likely to say it. Well
 * within the sender's shortest timer, and a part of its window. */
#define ACK_WAIT_STEADY_NS 2000000ull
#define ACK_FRAMES_STEADY 32u
#define LATE_FRAMES_MAX 2u

/* --- what came too early -------------------------------------------------------------------- */

static struct fab__held *held_at(const struct fab__session *session, uint32_t sequence)
{
    return &session->held[sequence & (session->held_capacity - 1)];
}

void fab__held_fini(struct fab__session *session)
{
    for (uint32_t i = 0; i < session->held_capacity; i++) {
        free(session->held[i].buffer);
    }
    free(session->held);
    session->held = NULL;
    session->held_capacity = session->held_count = 0;
}

/* Makes room for a frame that is `ahead` of the next. */
static bool held_grow(struct fab__session *session, uint32_t ahead)
{
    uint32_t capacity = session->held_capacity == 0 ? FAB__WINDOW_FIRST : session->held_capacity;
    struct fab__held *held;

    while (capacity <= ahead) {
        capacity *= 2;
    }
    if (capacity == session->held_capacity) {
        return true;
    }
    held = calloc(capacity, sizeof(*held));
    if (held == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < session->held_capacity; i++) {
        uint32_t sequence = session->rx_next + i;
        held[sequence & (capacity - 1)] = *held_at(session, sequence);
    }
    free(session->held);
    session->held = held;
    session->held_capacity = capacity;
    return true;
}

/* Without memory it is dropped: the sender sends it again. */
static void held_put(struct fab__session *session, uint32_t sequence, const uint8_t *bytes,
                     uint32_t length)
{
    struct fab__held *held;

    if (!held_grow(session, sequence - session->rx_next)) {
        return;
    }
    held = held_at(session, sequence);
    if (held->buffer != NULL) {
        session->info.frames_duplicate++;
        return;
    }
    held->buffer = fab__buffer_take(session);
    if (held->buffer == NULL) {
        return;
    }
    memcpy(held->buffer->bytes, bytes, length);
    held->length = length;
    if (session->held_count++ == 0 || (int32_t)(sequence + 1 - session->held_end) > 0) {
        session->held_end = sequence + 1;
    }
}

static void held_take(struct fab__session *session)
{
    while (session->held_count != 0 && !session->broken) {
        struct fab__held *held = held_at(session, session->rx_next);
        struct fab__buffer *buffer = held->buffer;

        if (buffer == NULL) {
            return;
        }
        held->buffer = NULL;
        session->held_count--;
        session->rx_next++;
        fab__inbox_take(session, buffer->bytes, held->length);
        fab__buffer_give(session, buffer);
    }
}

/* --- acknowledging -------------------------------------------------------------------------- */

static void ack_note(struct fab__session *session, bool at_once, uint64_t now_ns)
{
    const uint32_t frames = session->steady ? ACK_FRAMES_STEADY : ACK_FRAMES;

    session->newest_ns = now_ns;
    if (session->unacked++ == 0) {
        session->ack_at_ns = now_ns + (session->steady ? ACK_WAIT_STEADY_NS : ACK_WAIT_NS);
        fab__timer(session->node, session->ack_at_ns);
    }
    if (at_once || session->unacked >= frames) {
        session->ack_due = true;
        fab__ready(session);
    }
}

void fab__ack_tick(struct fab__session *session, uint64_t now_ns)
{
    session->ack_due |= session->unacked != 0 && now_ns >= session->ack_at_ns;
}

void fab__ack_write(struct fab__session *session, struct fab__header *header, uint32_t words_max,
                    uint64_t now_ns)
{
    header->ack = session->rx_next;
    header->hold_us = fab__hold_us(session, now_ns);
    header->sack_words = 0;
    if (session->held_count != 0) {
        uint32_t bits = session->held_end - session->rx_next - 1;
        uint32_t words = (bits + 63) / 64;
        memset(header->sack, 0, sizeof(header->sack));
        for (uint32_t i = 0; i < bits && i / 64 < words_max; i++) {
            if (held_at(session, session->rx_next + 1 + i)->buffer != NULL) {
                header->sack[i / 64] |= 1ull << i % 64;
            }
        }
        header->sack_words = (uint8_t)(words < words_max ? words : words_max);
        if (words > words_max) {
            return; /* told in part: the rest follows by itself */
        }
    }
    fab__ack_written(session);
}

/*
 * Of a frame with records. What it acknowledges can wait until what these records are answered with
 * is on its way, as long as nothing depends on it: no frame is missing, and few are in flight.
 */
static bool acked(struct fab__session *session, const struct fab__header *header, uint64_t now_ns)
{
    uint32_t in_flight = fab__in_flight(session);

    if (header->sack_words != 0 || in_flight > LATE_FRAMES_MAX ||
        header->ack - session->tx_acked > in_flight ||
        (session->lost_count | session->seen_count) != 0) {
        return fab__window_acked(session, header, now_ns);
    }
    session->late_ack = header->ack;
    session->late_hold_us = header->hold_us;
    session->late_ns = now_ns;
    session->node->late = session;
    return true;
}

void fab__late_take(struct fab_node *node)
{
    struct fab__session *session = node->late;
    struct fab__header header = {.ack = session->late_ack, .hold_us = session->late_hold_us};
    bool sound;

    node->late = NULL;
    sound = fab__window_acked(session, &header, session->late_ns);
    assert(sound); /* acked() has looked at it */
    (void)sound;
    if (!session->ready && fab__session_pending(session)) {
        fab__ready(session);
    }
}

bool fab_settles(const struct fab_node *node)
{
    return __atomic_load_n(&node->late, __ATOMIC_RELAXED) != NULL;
}

void fab_settle(struct fab_node *node)
{
    fab__settle(node);
}

/* --- frames --------------------------------------------------------------------------------- */

/* tail_length is 0 unless it is the next frame, and nothing but a block's bytes (tail_stays). */
static void frame_take(struct fab__session *session, uint32_t sequence, const uint8_t *bytes,
                       uint32_t length, const uint8_t *tail, uint32_t tail_length, uint64_t now_ns)
{
    int32_t ahead = (int32_t)(sequence - session->rx_next);

    if (ahead == 0) {
        session->rx_next++;
        if (tail_length != 0) {
            fab__inbox_take_data(session, bytes, length, tail, tail_length);
        } else {
            fab__inbox_take(session, bytes, length);
        }
        if (session->held_count != 0) {
            held_take(session);
        }
        ack_note(session, session->held_count != 0, now_ns);
    } else if (ahead > 0 && ahead < (int32_t)FAB__WINDOW) {
        held_put(session, sequence, bytes, length);
        ack_note(session, true, now_ns);
    } else if (ahead < 0) {
        session->info.frames_duplicate++;
        if (FAB__PLANTED(FAB__PLANT_DEDUP)) {
            fab__inbox_take(session, bytes, length);
        }
        ack_note(session, true, now_ns);
    } else {
        session->info.frames_rejected++;
    }
}

/* Opens a sealed frame in place, and takes its tag off. False: it is not of that session. */
static bool frame_unseal(struct fab__session *session, const struct fab__header *header,
                         uint8_t *bytes, uint32_t *length)
{
    uint32_t header_bytes = fab__header_bytes(header);
    struct fab__secure *secure = session->secure;

    if (!secure->keyed ||
        fab__unseal(&secure->unsealer, header->number, bytes, header_bytes, bytes + header_bytes,
                    *length - header_bytes, bytes + header_bytes) != SF_OK) {
        return false;
    }
    *length -= FAB__TAG_BYTES;
    return true;
}

/* The session a frame is for, once it has proved that it is, or NULL. */
static struct fab__session *session_for(struct fab__session *session,
                                        const struct fab__header *header, uint8_t *bytes,
                                        uint32_t *length)
{
    struct fab__session *of =
        header->target_session == session->number ? session : session->successor;

    if (of == NULL || header->target_session != of->number || of->peer_number == 0 ||
        *length > of->frame_bytes ||
        (of->secure != NULL && !frame_unseal(of, header, bytes, length)) ||
        (*length == fab__header_bytes(header)) != (header->kind == FAB__FRAME_CONTROL)) {
        return NULL;
    }
    return of == session ? of : fab__session_succeed(session);
}

/* Can what is in the tail go to its place by itself? Not of a sealed frame, nor of one that has to
 * be kept. */
static bool tail_stays(const struct fab__session *session, const struct fab__header *header,
                       const uint8_t *bytes, uint32_t length, uint32_t tail_length)
{
    uint32_t header_bytes = fab__header_bytes(header);

    return session->secure == NULL && session->successor == NULL &&
           header->target_session == session->number && header->kind == FAB__FRAME_RECORDS &&
           header->sequence == session->rx_next && length + tail_length <= session->frame_bytes &&
           fab__is_data(bytes + header_bytes, length - header_bytes, tail_length);
}

/* Answers the length of both. */
static uint32_t tail_join(uint8_t *bytes, uint32_t length, const uint8_t *tail,
                          uint32_t tail_length)
{
    if (tail_length != 0) {
        memcpy(bytes + length, tail, tail_length);
    }
    return length + tail_length;
}

static void session_rx(struct fab__session *session, uint8_t *bytes, uint32_t length,
                       const uint8_t *tail, uint32_t tail_length, uint64_t now_ns)
{
    struct fab__header header;
    struct fab__session *of;

    if (!fab__header_read(bytes, length, &header)) {
        session->info.frames_rejected++;
        return;
    }
    if (tail_length != 0 && !tail_stays(session, &header, bytes, length, tail_length)) {
        length = tail_join(bytes, length, tail, tail_length);
        tail_length = 0;
    }
    of = session_for(session, &header, bytes, &length);
    if (of == NULL) {
        session->info.frames_rejected++;
        return;
    }
    session = of;
    if (!session->met) {
        session->met = true;
        fab__session_opened(session);
        fab__moves_announce(session->node, session->peer_id);
    }
    fab__session_heard(session, length + tail_length, now_ns);
    if (!(header.kind == FAB__FRAME_RECORDS ? acked(session, &header, now_ns)
                                            : fab__window_acked(session, &header, now_ns))) {
        session->broken = true;
    } else if (header.kind == FAB__FRAME_RECORDS) {
        frame_take(session, header.sequence, bytes + fab__header_bytes(&header),
                   length - fab__header_bytes(&header), tail, tail_length, now_ns);
    }
    if (session->broken) {
        fab__session_end(session, SF_CAUSE_OF(LINK_LOST));
    } else if (!session->ready && session->node->late != session && fab__session_pending(session)) {
        fab__ready(session);
    }
}

void fab_rx_tailed(struct fab_node *node, uint16_t peer_id, uint8_t *bytes, uint32_t length,
                   const uint8_t *tail, uint32_t tail_length, uint64_t now_ns)
{
    struct fab__session *session = peer_id < FAB_NODES_MAX ? node->sessions[peer_id] : NULL;

    if (session == NULL) {
        return;
    }
    node->now_ns = now_ns;
    fab__settle(node);
    if (fab__frame_kind(bytes, length) == FAB__FRAME_HELLO) {
        length = tail_join(bytes, length, tail, tail_length);
        fab__hello_take(session, bytes, length, now_ns);
    } else {
        session_rx(session, bytes, length, tail, tail_length, now_ns);
    }
}

void fab_rx(struct fab_node *node, uint16_t peer_id, uint8_t *bytes, uint32_t length,
            uint64_t now_ns)
{
    fab_rx_tailed(node, peer_id, bytes, length, NULL, 0, now_ns);
}
