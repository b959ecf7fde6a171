/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "plant.h"
#include "session.h"

/*
 * RFC 6298 with bounds for a machine room: the lower one lies above the time a busy node takes to
 * come round to its links, the upper one leaves several tries within the peer time-out.
 */
#define RESEND_NS_FIRST 100000000ull
#define RESEND_NS_MIN 10000000ull
#define RESEND_NS_MAX 400000000ull
#define CLOCK_GRAIN_NS 1000000ull
#define BACKOFF_MAX 6u
#define PROBE_NS_MIN 500000u
/* Frames that overtake a late one, at first, and at most: a link that reorders more costs resends.
 */
#define REORDER_FIRST 3u
#define REORDER_MAX 24u

/* --- slots ---------------------------------------------------------------------------------- */

sf_status fab__window_init(struct fab__session *session)
{
    session->sent = calloc(FAB__WINDOW_FIRST, sizeof(*session->sent));
    session->sent_capacity = FAB__WINDOW_FIRST;
    session->tx_next = session->tx_acked = 1;
    session->resend_at_ns = UINT64_MAX;
    session->reorder = REORDER_FIRST;
    fab__congestion_begin(&session->congestion, session->tx_next, session->steady);
    return session->sent == NULL ? SF_NOMEM : SF_OK;
}

static bool slots_grow(struct fab__session *session)
{
    uint32_t capacity = session->sent_capacity * 2;
    struct fab__sent *sent;

    if (capacity > FAB__WINDOW) {
        return false;
    }
    sent = calloc(capacity, sizeof(*sent));
    if (sent == NULL) {
        return false;
    }
    for (uint32_t sequence = session->tx_acked; sequence != session->tx_next; sequence++) {
        sent[sequence & (capacity - 1)] = *fab__sent_at(session, sequence);
    }
    free(session->sent);
    session->sent = sent;
    session->sent_capacity = capacity;
    return true;
}

struct fab__sent *fab__window_new(struct fab__session *session)
{
    struct fab__buffer *buffer;
    struct fab__sent *sent;

    if (fab__in_flight(session) == session->sent_capacity && !slots_grow(session)) {
        return NULL;
    }
    sent = fab__sent_at(session, session->tx_next);
    buffer = sent->buffer != NULL ? sent->buffer : fab__buffer_take(session);
    memset(sent, 0, offsetof(struct fab__sent, records));
    sent->buffer = buffer;
    return buffer == NULL ? NULL : sent;
}

void fab__window_push(struct fab__session *session)
{
    session->tx_next++;
}

static void lost_set(struct fab__session *session, struct fab__sent *sent, bool lost)
{
    if (sent->lost != lost) {
        sent->lost = lost;
        session->lost_count += lost ? 1u : UINT32_MAX;
    }
}

static void slot_release(struct fab__session *session, struct fab__sent *sent)
{
    if (sent->last) {
        sf_status st = xh_free(session->node->heap, sent->block, fab__session_owner(session));
        assert(st == SF_OK);
        (void)st;
    }
    sent->block = NULL;
    sent->last = false;
    fab__buffer_give(session, sent->buffer);
    sent->buffer = NULL;
}

void fab__window_fini(struct fab__session *session)
{
    if (session->sent == NULL) {
        return;
    }
    for (; session->tx_acked != session->tx_next; session->tx_acked++) {
        slot_release(session, fab__sent_at(session, session->tx_acked));
    }
    for (uint32_t i = 0; i < session->sent_capacity; i++) {
        free(session->sent[i].buffer); /* taken for a frame that had nothing to say */
    }
    session->lost_count = session->seen_count = 0;
    free(session->sent);
    session->sent = NULL;
    session->sent_capacity = 0;
}

void fab__window_free_block(struct fab__session *session, struct xh_block *block, uint64_t owner)
{
    struct fab__sent *sent = NULL;
    sf_status st;

    for (uint32_t sequence = session->tx_next; sequence != session->tx_acked && sent == NULL;
         sequence--) {
        struct fab__sent *at = fab__sent_at(session, sequence - 1);
        sent = at->block == block ? at : NULL;
    }
    if (sent == NULL) {
        st = xh_free(session->node->heap, block, owner);
    } else {
        st = xh_give(block, owner, fab__session_owner(session));
        sent->last = true;
    }
    assert(st == SF_OK);
    (void)st;
}

/* --- the resend timer ----------------------------------------------------------------------- */

static uint64_t resend_after(const struct fab__session *session)
{
    uint64_t spread = 4 * session->rtt_deviation_ns;
    uint64_t after = RESEND_NS_FIRST;

    if (session->rtt_ns != 0) {
        after = session->rtt_ns + (spread > CLOCK_GRAIN_NS ? spread : CLOCK_GRAIN_NS);
    }
    if (after < RESEND_NS_MIN) {
        after = RESEND_NS_MIN;
    }
    if (after > RESEND_NS_MAX) {
        return RESEND_NS_MAX; /* whatever it is shifted by */
    }
    after <<= session->backoff;
    return after < RESEND_NS_MAX ? after : RESEND_NS_MAX;
}

/* A link that holds frames back does not lose the last ones. */
static void resend_timer_set(struct fab__session *session, bool probe, uint64_t now_ns)
{
    uint64_t after = resend_after(session);
    uint64_t probe_after = 2 * session->rtt_ns + 2 * session->rtt_deviation_ns;

    probe_after = probe_after > PROBE_NS_MIN ? probe_after : PROBE_NS_MIN;
    session->probe_next =
        probe && !session->steady && session->rtt_ns != 0 && probe_after < after / 2;
    session->resend_at_ns = now_ns + (session->probe_next ? probe_after : after);
    fab__timer(session->node, session->resend_at_ns);
}

static void rtt_sample(struct fab__session *session, uint64_t sample_ns)
{
    uint64_t apart;

    fab_histogram_add(&session->rtt, sample_ns);
    if (session->rtt_ns == 0) {
        session->rtt_ns = sample_ns;
        session->rtt_deviation_ns = sample_ns / 2;
        return;
    }
    apart = sample_ns > session->rtt_ns ? sample_ns - session->rtt_ns : session->rtt_ns - sample_ns;
    session->rtt_deviation_ns = (3 * session->rtt_deviation_ns + apart) / 4;
    session->rtt_ns = (7 * session->rtt_ns + sample_ns) / 8;
}

/* --- acknowledgements ----------------------------------------------------------------------- */

static bool sack_bit(const struct fab__header *header, uint32_t bit)
{
    return bit / 64 < header->sack_words && (header->sack[bit / 64] >> bit % 64 & 1u) != 0;
}

/* What an acknowledgement brings. */
struct news {
    uint32_t frames;  /* delivered */
    uint32_t newest;  /* one past the newest of all that was */
    uint64_t sent_ns; /* of the newest that is news, if it was sent once (Karn); else UINT64_MAX */
    bool late;        /* frames taken for lost by a time-out came without being sent again */
};

/* The frame was delivered: news, the newest one first. */
static void delivered(struct fab__session *session, struct fab__sent *sent, struct news *news,
                      uint64_t now_ns)
{
    if (news->frames++ == 0) {
        news->sent_ns = sent->sends == 1 ? sent->sent_ns : UINT64_MAX;
    }
    if (sent->lost) {
        news->late |= sent->timed;
    } else if (sent->sends > 1 && !sent->timed &&
               now_ns - sent->sent_ns < session->congestion.base_ns) {
        /* Sooner than an answer to the second copy can be here: the first one was only late. */
        session->reorder += session->reorder < REORDER_MAX;
        fab__congestion_found(&session->congestion);
    }
    lost_set(session, sent, false);
}

/*
 * Has it to be sent again? later: how many that come after it were seen. seen_ns: when the newest
 * of them was sent that was sent once. What was sent again is lost once more if a frame was seen
 * that left a while after it: in order of sequence it was overtaken before.
 */
static bool overtaken(const struct fab__session *session, const struct fab__sent *sent,
                      uint32_t later, uint64_t seen_ns)
{
    if (sent->seen || sent->lost || later < session->reorder) {
        return false;
    }
    return sent->sends == 1 || seen_ns > sent->sent_ns + session->rtt_ns / 4;
}

/* Marks what the peer has beyond a hole, and what is lost. */
static void seen_mark(struct fab__session *session, const struct fab__header *header,
                      struct news *news, uint64_t now_ns)
{
    uint32_t later = 0;
    uint32_t lost = 0;
    uint64_t seen_ns = 0;

    for (uint32_t i = session->tx_next - header->ack; i-- > 0;) {
        struct fab__sent *sent = fab__sent_at(session, header->ack + i);
        if (i > 0 && sack_bit(header, i - 1)) {
            if (later++ == 0) {
                news->newest = header->ack + i + 1;
            }
            if (seen_ns == 0 && sent->sends == 1) {
                seen_ns = sent->sent_ns;
            }
            if (!sent->seen) {
                delivered(session, sent, news, now_ns);
                sent->seen = true;
                session->seen_count++;
            }
        } else if (overtaken(session, sent, later, seen_ns)) {
            sent->timed = false;
            lost_set(session, sent, true);
            lost++;
        }
    }
    fab__congestion_lost(&session->congestion, lost);
}

/* All before ack are there. */
static void acked_release(struct fab__session *session, uint32_t ack, struct news *news,
                          uint64_t now_ns)
{
    for (uint32_t sequence = ack; sequence != session->tx_acked; sequence--) {
        struct fab__sent *sent = fab__sent_at(session, sequence - 1);
        if (!sent->seen) {
            delivered(session, sent, news, now_ns);
        }
        session->seen_count -= FAB__PLANTED(FAB__PLANT_CREDIT) ? 0 : sent->seen;
        sent->seen = false;
        slot_release(session, sent);
    }
    session->tx_acked = ack;
}

bool fab__window_acked(struct fab__session *session, const struct fab__header *header,
                       uint64_t now_ns)
{
    uint32_t tx_acked = session->tx_acked;
    struct news news = {.newest = header->ack, .sent_ns = UINT64_MAX};
    uint64_t sample_ns = 0;

    if ((int32_t)(header->ack - session->tx_next) > 0) {
        return false;
    }
    if ((int32_t)(header->ack - tx_acked) < 0) {
        return true; /* overtaken by a later one */
    }
    if (header->sack_words != 0) {
        seen_mark(session, header, &news, now_ns);
    }
    acked_release(session, header->ack, &news, now_ns);
    if (news.frames == 0) {
        return true;
    }
    if (news.sent_ns != UINT64_MAX) {
        uint64_t hold_ns = header->hold_us * 1000ull;
        sample_ns = now_ns - news.sent_ns > hold_ns ? now_ns - news.sent_ns - hold_ns : 1;
        rtt_sample(session, sample_ns);
    }
    if (news.late && session->timed_out) {
        fab__congestion_undo(&session->congestion);
    }
    session->timed_out &= session->lost_count != 0;
    session->backoff = 0;
    fab__timer_settled(session->node, session->resend_at_ns);
    session->resend_at_ns = UINT64_MAX;
    if (fab__in_flight(session) != 0) {
        resend_timer_set(session, true, now_ns);
    }
    fab__congestion_delivered(&session->congestion, news.frames, news.newest, session->tx_next,
                              sample_ns, FAB__WINDOW, now_ns);
    return true;
}

static void frame_timed(struct fab__session *session, struct fab__sent *sent)
{
    if (!sent->lost) {
        sent->timed = true;
        lost_set(session, sent, true);
    }
}

/* The newest frame that the peer is not known to have. */
static void probe(struct fab__session *session)
{
    for (uint32_t sequence = session->tx_next; sequence != session->tx_acked; sequence--) {
        struct fab__sent *sent = fab__sent_at(session, sequence - 1);
        if (!sent->seen) {
            frame_timed(session, sent);
            session->probe_due = true;
            return;
        }
    }
}

void fab__window_timeout(struct fab__session *session, uint64_t now_ns)
{
    if (now_ns < session->resend_at_ns) {
        return;
    }
    fab__settle(session->node);
    if (now_ns < session->resend_at_ns) {
        return;
    }
    fab__ready(session);
    if (session->probe_next) {
        probe(session);
        resend_timer_set(session, false, now_ns);
        return;
    }
    for (uint32_t sequence = session->tx_acked; sequence != session->tx_next; sequence++) {
        struct fab__sent *sent = fab__sent_at(session, sequence);
        if (!sent->seen) {
            frame_timed(session, sent);
        }
    }
    if (session->backoff < BACKOFF_MAX) {
        session->backoff++;
    }
    session->info.timeouts++;
    session->timed_out = true;
    fab__congestion_timeout(&session->congestion);
    resend_timer_set(session, false, now_ns);
}

/* --- sending -------------------------------------------------------------------------------- */

struct fab__sent *fab__window_lost(struct fab__session *session, uint32_t *out_sequence)
{
    if (session->lost_count == 0) {
        return NULL;
    }
    for (uint32_t sequence = session->tx_acked; sequence != session->tx_next; sequence++) {
        struct fab__sent *sent = fab__sent_at(session, sequence);
        if (sent->lost) {
            *out_sequence = sequence;
            return sent;
        }
    }
    assert(false);
    return NULL;
}

void fab__window_sent(struct fab__session *session, struct fab__sent *sent, uint64_t now_ns)
{
    lost_set(session, sent, false);
    sent->sends += sent->sends < UINT16_MAX;
    sent->sent_ns = now_ns;
    session->probe_due = false;
    if (session->resend_at_ns == UINT64_MAX) {
        resend_timer_set(session, true, now_ns);
    }
    if (!fab__window_open(session)) {
        fab__settle(session->node); /* it may be open */
    }
    fab__congestion_sent(&session->congestion, !fab__window_open(session));
}
