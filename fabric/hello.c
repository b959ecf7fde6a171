/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In the clear. The node with the lower id calls: it says hello with its session's number until the
 * other says that number back, with its own. Then it sends frames, which show the other that it has
 * been heard. The other, as long as nobody calls, asks for it by a hello without a number.
 *
 * A session goes with one session of the peer only: who answers is bound when it hears the call,
 * the caller when it hears its number said back. Bound, and a higher number comes: the peer began
 * anew, and we do, with a new number, so that no frame to the old one can reach us. An unbound
 * caller has told its number to nobody who could send frames to it, so it need not. Were both bound
 * by the first hello, two that begin at once could each make the other's number old, for ever.
 */
#include "session.h"

#define HELLO_NS_FIRST 20000000ull
#define HELLO_NS_MAX 200000000ull
/* A session that has just begun does not begin anew: each end is a walk through all endpoints. */
#define AGAIN_NS 10000000ull

void fab__session_opened(struct fab__session *session)
{
    if (!session->open) {
        session->open = true;
        session->hello_at_ns = UINT64_MAX;
        session->heartbeat_due = true; /* which tells the other as much */
        fab__ready(session);
    }
}

bool fab__hello_is_ours(const struct fab__session *session, const struct fab__hello *hello)
{
    const struct fab_node *node = session->node;

    return hello->source_node == session->peer_id && hello->target_node == node->node_id &&
           hello->target_epoch == node->epoch && hello->mtu_bytes >= FAB_MTU_BYTES_MIN &&
           hello->mtu_bytes <= FAB_MTU_BYTES_MAX &&
           hello->source_session >> FAB__SESSION_EPOCH_SHIFT == hello->source_epoch;
}

/* The session that a hello means, or NULL. One of a later life of the peer ends ours. */
static struct fab__session *session_for(struct fab__session *session,
                                        const struct fab__hello *hello, uint64_t now_ns)
{
    if (hello->source_epoch < session->peer_epoch || hello->source_session < session->peer_number) {
        session->info.frames_rejected++;
        return NULL;
    }
    if (hello->source_epoch > session->peer_epoch) {
        session->info.frames_rejected++;
        if (hello->source_epoch <= FAB__EPOCH_MAX) {
            fab__session_end(session, SF_CAUSE_OF(NODE_LOST)); /* it booted again */
        }
        return NULL;
    }
    if (session->peer_number == 0 || hello->source_session == session->peer_number) {
        return session;
    }
    if (now_ns - session->begun_ns < AGAIN_NS) {
        session->info.frames_rejected++;
        return NULL; /* it says so again */
    }
    return fab__session_again(session, now_ns); /* it began anew: so do we */
}

void fab__session_bind(struct fab__session *session, const struct fab__hello *hello)
{
    session->peer_number = hello->source_session;
    session->frame_bytes =
        hello->mtu_bytes < session->mtu_bytes ? hello->mtu_bytes : session->mtu_bytes;
    session->refers = session->reads && (hello->flags & FAB__HELLO_READS) != 0;
}

static void caller_take(struct fab__session *session, const struct fab__hello *hello)
{
    bool said_back = hello->target_session == session->number;

    if (session->open) {
        session->heartbeat_due |= said_back; /* it has not heard from us yet */
    } else if (said_back) {
        fab__session_bind(session, hello);
        fab__session_opened(session);
    } else {
        session->hello_due = true;
    }
}

static void answerer_take(struct fab__session *session, const struct fab__hello *hello)
{
    if (session->peer_number == 0) {
        fab__session_bind(session, hello);
    }
    session->hello_due |= !session->open;
}

static void plain_take(struct fab__session *session, const struct fab__hello *hello,
                       uint32_t length, uint64_t now_ns)
{
    session = session_for(session, hello, now_ns);
    if (session == NULL) {
        return;
    }
    fab__session_heard(session, length, now_ns);
    if (fab__session_calls(session)) {
        caller_take(session, hello);
    } else {
        answerer_take(session, hello);
    }
    fab__ready(session);
}

void fab__hello_take(struct fab__session *session, const uint8_t *bytes, uint32_t length,
                     uint64_t now_ns)
{
    struct fab__hello hello;
    bool sealed = session->secure != NULL;

    if (!fab__hello_read(bytes, length, &hello) || !fab__hello_is_ours(session, &hello) ||
        sealed != ((hello.flags & FAB__HELLO_SEALED) != 0) ||
        (!sealed && (length != FAB__HELLO_BYTES || (hello.flags & FAB__HELLO_ANSWER) != 0))) {
        session->info.frames_rejected++;
    } else if (sealed) {
        fab__secure_hello_take(session, &hello, bytes, length, now_ns);
    } else {
        plain_take(session, &hello, length, now_ns);
    }
}

struct fab__hello fab__hello_of(const struct fab__session *session)
{
    return (struct fab__hello){
        .flags = session->reads ? FAB__HELLO_READS : 0,
        .mtu_bytes = (uint16_t)session->mtu_bytes,
        .source_node = session->node->node_id,
        .target_node = session->peer_id,
        .source_epoch = session->node->epoch,
        .target_epoch = session->peer_epoch,
        .source_session = session->number,
        .target_session = session->peer_number,
    };
}

uint32_t fab__hello_make(struct fab__session *session, uint8_t *bytes, uint64_t now_ns)
{
    struct fab__hello hello;

    session->hello_due = false;
    if (!session->open) {
        session->hello_wait_ns =
            session->hello_wait_ns == 0 ? HELLO_NS_FIRST : session->hello_wait_ns * 2;
        if (session->hello_wait_ns > HELLO_NS_MAX) {
            session->hello_wait_ns = HELLO_NS_MAX;
        }
        session->hello_at_ns = now_ns + session->hello_wait_ns;
        fab__timer(session->node, session->hello_at_ns);
    }
    if (session->secure != NULL) {
        return fab__secure_hello_make(session, bytes);
    }
    hello = fab__hello_of(session);
    fab__hello_write(bytes, &hello);
    return FAB__HELLO_BYTES;
}
