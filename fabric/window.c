/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

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
#define SEEN_LATER_FOR_LOST 3

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
    after <<= session->backoff;
    return after < RESEND_NS_MAX ? after : RESEND_NS_MAX;
}

static void rtt_sample(struct fab__session *session, uint64_t sample_ns)
{
    uint64_t apart;

    if (session->rtt_ns == 0) {
        session->rtt_ns = sample_ns == 0 ? 1 : sample_ns;
        session->rtt_deviation_ns = sample_ns / 2;
        return;
    }
    apart = sample_ns > session->rtt_ns ? sample_ns - session->rtt_ns : session->rtt_ns - sample_ns;
    session->rtt_deviation_ns = (3 * session->rtt_deviation_ns + apart) / 4;
    session->rtt_ns = (7 * session->rtt_ns + sample_ns) / 8;
}

static void lost_set(struct fab__session *session, struct fab__sent *sent, bool lost)
{
    if (sent->lost != lost) {
        sent->lost = lost;
        session->lost_count += lost ? 1u : UINT32_MAX;
    }
}

static struct fab__sent *sent_at(struct fab__session *session, uint32_t sequence)
{
    return &session->sent[sequence % FAB__WINDOW];
}

static void seen_mark(struct fab__session *session, uint64_t sack, uint64_t now_ns)
{
    uint32_t count = fab__in_flight(session);

    for (uint32_t i = 1; i < count; i++) {
        if (sack >> (i - 1) & 1u) {
            struct fab__sent *sent = sent_at(session, session->tx_acked + i);
            sent->seen = true;
            lost_set(session, sent, false);
        }
    }
    /* Frames that several later ones have overtaken are lost, unless sent again just now. */
    for (uint32_t i = 0; i < count && (sack >> i) != 0; i++) {
        struct fab__sent *sent = sent_at(session, session->tx_acked + i);
        if (!sent->seen && __builtin_popcountll(sack >> i) >= SEEN_LATER_FOR_LOST &&
            (sent->sends == 1 || now_ns - sent->sent_ns > session->rtt_ns)) {
            lost_set(session, sent, true);
        }
    }
}

bool fab__window_acked(struct fab__session *session, uint32_t ack, uint64_t sack, uint64_t now_ns)
{
    int32_t behind = (int32_t)(ack - session->tx_acked);

    if ((int32_t)(ack - session->tx_next) > 0) {
        return false;
    }
    if (behind < 0) {
        return true; /* overtaken by a later one */
    }
    if (behind > 0) {
        const struct fab__sent *newest = sent_at(session, ack - 1);
        /* Only a frame sent once tells the time it took (Karn). */
        if (newest->sends == 1 && !newest->seen) {
            rtt_sample(session, now_ns - newest->sent_ns);
        }
        while (session->tx_acked != ack) {
            lost_set(session, sent_at(session, session->tx_acked), false);
            session->tx_acked++;
        }
        session->backoff = 0;
        session->resend_at_ns =
            fab__in_flight(session) == 0 ? UINT64_MAX : now_ns + resend_after(session);
    }
    seen_mark(session, sack, now_ns);
    return true;
}

void fab__window_timeout(struct fab__session *session, uint64_t now_ns)
{
    if (now_ns < session->resend_at_ns) {
        return;
    }
    for (uint32_t sequence = session->tx_acked; sequence != session->tx_next; sequence++) {
        struct fab__sent *sent = sent_at(session, sequence);
        if (!sent->seen) {
            lost_set(session, sent, true);
        }
    }
    if (session->backoff < BACKOFF_MAX) {
        session->backoff++;
    }
    session->resend_at_ns = now_ns + resend_after(session);
}

struct fab__sent *fab__window_lost(struct fab__session *session, uint32_t *out_sequence)
{
    if (session->lost_count == 0) {
        return NULL;
    }
    for (uint32_t sequence = session->tx_acked; sequence != session->tx_next; sequence++) {
        struct fab__sent *sent = sent_at(session, sequence);
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
    sent->sends++;
    sent->sent_ns = now_ns;
    if (session->resend_at_ns == UINT64_MAX) {
        session->resend_at_ns = now_ns + resend_after(session);
    }
}
