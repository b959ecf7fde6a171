/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "session.h"

static bool frame_new_possible(const struct fab__session *session)
{
    return !fab__outbox_empty(session) && fab__in_flight(session) < FAB__WINDOW &&
           !session->starved;
}

static bool successor_calls(const struct fab__session *session)
{
    return session->successor != NULL && session->successor->hello_due;
}

bool fab__session_pending(const struct fab__session *session)
{
    return session->hello_due || successor_calls(session) ||
           (session->open && (session->ack_due || session->heartbeat_due ||
                              (fab__window_open(session) &&
                               (session->lost_count != 0 || frame_new_possible(session)))));
}

void fab__session_header(struct fab__session *session, uint8_t kind, uint32_t sack_words_max,
                         uint64_t now_ns, struct fab__header *out_header)
{
    out_header->kind = kind;
    out_header->target_session = session->peer_number;
    out_header->number = ++session->tx_number;
    out_header->sequence = session->tx_next;
    fab__ack_write(session, out_header, sack_words_max, now_ns);
}

/* Short records move into the slot itself: few frames need a buffer of their own. */
static void sent_keep(struct fab__session *session, struct fab__sent *sent, const uint8_t *records)
{
    if (sent->length <= FAB__SHORT_BYTES) {
        memcpy(sent->records, records, sent->length);
        fab__buffer_give(session, sent->buffer);
        sent->buffer = NULL;
    } else if (records != sent->buffer->bytes) {
        memcpy(sent->buffer->bytes, records, sent->length);
    }
}

/*
 * A slot filled with records, or NULL. If the header's length is known before, they are in the
 * frame, too: whoever sends it reads it sooner than the slot, and need not wait for another copy.
 */
static struct fab__sent *frame_new(struct fab__session *session, struct fab_frame *frame,
                                   uint32_t *out_sequence)
{
    struct fab__sent *sent = fab__window_new(session);
    uint8_t *records = frame->bytes + FAB__HEADER_BYTES;

    if (sent == NULL) {
        session->starved = true;
        fab__timer(session->node, session->node->now_ns + session->node->heartbeat_ns / 16);
        return NULL;
    }
    if (session->held_count != 0) {
        records = sent->buffer->bytes;
    }
    fab__outbox_write(session, sent, records);
    if (sent->length == 0) {
        return NULL; /* the buffer stays with the slot */
    }
    if (session->held_count == 0) {
        frame->length = FAB__HEADER_BYTES + sent->length;
    }
    sent_keep(session, sent, records);
    *out_sequence = session->tx_next;
    fab__window_push(session);
    return sent;
}

/* The frame to send next that is in sequence, or NULL. */
static struct fab__sent *frame_choose(struct fab__session *session, struct fab_frame *frame,
                                      uint32_t *out_sequence)
{
    struct fab__sent *sent;

    if (!fab__window_open(session)) {
        return NULL;
    }
    sent = fab__window_lost(session, out_sequence);
    if (sent != NULL) {
        session->info.frames_resent++;
        return sent;
    }
    return frame_new_possible(session) ? frame_new(session, frame, out_sequence) : NULL;
}

/* Seals the payload where it stands; a tail comes into the frame. */
static void frame_seal(struct fab__session *session, struct fab_frame *frame, uint64_t number,
                       uint32_t header_bytes)
{
    uint8_t *payload = frame->bytes + header_bytes;
    sf_status st;

    if (frame->tail_length != 0) {
        memcpy(frame->bytes + frame->length, frame->tail, frame->tail_length);
        frame->length += frame->tail_length;
        frame->tail = NULL;
        frame->tail_length = 0;
    }
    st = fab__seal(&session->secure->sealer, number, frame->bytes, header_bytes, payload,
                   frame->length - header_bytes, payload);
    assert(st == SF_OK); /* numbers only grow, and 2^64 frames take centuries */
    (void)st;
    frame->length += FAB__TAG_BYTES;
}

static void frame_write(struct fab__session *session, const struct fab__sent *sent,
                        uint32_t sequence, struct fab_frame *frame, uint64_t now_ns)
{
    uint32_t payload_bytes = sent->length + sent->tail_length;
    uint32_t room = fab__payload_bytes_max(session) - payload_bytes;
    uint32_t words_max = room / 8 < FAB__SACK_WORDS_MAX ? room / 8 : FAB__SACK_WORDS_MAX;
    struct fab__header header;
    uint32_t header_bytes = FAB__HEADER_BYTES;

    if (session->held_count == 0) { /* in registers all the way */
        fab__header_put(frame->bytes,
                        &(struct fab__header){.kind = FAB__FRAME_RECORDS,
                                              .hold_us = fab__hold_us(session, now_ns),
                                              .target_session = session->peer_number,
                                              .number = header.number = ++session->tx_number,
                                              .sequence = sequence,
                                              .ack = session->rx_next});
        fab__ack_written(session);
    } else {
        fab__session_header(session, FAB__FRAME_RECORDS, words_max, now_ns, &header);
        header_bytes = fab__header_bytes(&header);
        header.sequence = sequence;
        fab__header_write(frame->bytes, &header);
    }
    if (frame->length == 0) { /* else they are there already */
        memcpy(frame->bytes + header_bytes, fab__sent_records(sent), sent->length);
        frame->length = header_bytes + sent->length;
    }
    if (sent->block != NULL) {
        frame->tail = xh_bytes(sent->block) + sent->tail_offset;
        frame->tail_length = sent->tail_length;
    }
    if (session->secure != NULL) {
        frame_seal(session, frame, header.number, header_bytes);
    }
}

static void control_write(struct fab__session *session, struct fab_frame *frame, uint64_t now_ns)
{
    struct fab__header header;

    fab__session_header(session, FAB__FRAME_CONTROL, FAB__SACK_WORDS_MAX, now_ns, &header);
    fab__header_write(frame->bytes, &header);
    frame->length = fab__header_bytes(&header);
    if (session->secure != NULL) {
        frame_seal(session, frame, header.number, frame->length);
    }
}

/* False: nothing to send. */
static bool session_tx(struct fab__session *session, struct fab_frame *frame, uint64_t now_ns)
{
    struct fab__sent *sent;
    uint32_t sequence = 0;

    if (session->hello_due || successor_calls(session)) {
        struct fab__session *of = session->hello_due ? session : session->successor;
        frame->length = fab__hello_make(of, frame->bytes, now_ns);
        return true;
    }
    if (!session->open) {
        return false;
    }
    sent = frame_choose(session, frame, &sequence);
    if (sent != NULL) {
        frame_write(session, sent, sequence, frame, now_ns);
        fab__window_sent(session, sent, now_ns);
    } else if (session->ack_due || session->heartbeat_due) {
        control_write(session, frame, now_ns);
    } else {
        return false;
    }
    session->heartbeat_due = false;
    session->last_sent_ns = now_ns; /* a hello is no heart-beat: strangers can ask for many */
    return true;
}

bool fab_tx_frame(struct fab_node *node, uint16_t peer_id, struct fab_frame *frame, uint64_t now_ns)
{
    struct fab__session *session = peer_id < FAB_NODES_MAX ? node->sessions[peer_id] : NULL;

    frame->length = frame->tail_length = 0;
    frame->tail = NULL;
    if (session == NULL || frame->capacity < session->frame_bytes) {
        return false;
    }
    node->now_ns = now_ns;
    fab__window_timeout(session, now_ns);
    if (!session_tx(session, frame, now_ns)) {
        return false;
    }
    session->info.frames_sent++;
    session->info.bytes_sent += frame->length + frame->tail_length;
    return true;
}

uint32_t fab_tx(struct fab_node *node, uint16_t peer_id, uint8_t *bytes, uint32_t capacity,
                uint64_t now_ns)
{
    struct fab_frame frame = {.bytes = bytes, .capacity = capacity};

    if (!fab_tx_frame(node, peer_id, &frame, now_ns)) {
        return 0;
    }
    if (frame.tail_length != 0) {
        memcpy(bytes + frame.length, frame.tail, frame.tail_length);
    }
    return frame.length + frame.tail_length;
}
