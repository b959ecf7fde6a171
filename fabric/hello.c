/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each side says hello until it has heard the other say its session's number: then the other will
 * answer to no earlier session of either. A side that knows the other's number says it with its
 * next hello; a frame with our number in it shows as well that the other knows it.
 */
#include "session.h"

#define HELLO_NS_FIRST 20000000ull
#define HELLO_NS_MAX 200000000ull

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
    /*
     * It began anew: so do we. If ours is not open, nothing was said in it yet, and it will do; to
     * begin anew then as well could go on for ever, each because of the other.
     */
    if (session->open && hello->source_session > session->peer_number) {
        return fab__session_again(session, now_ns);
    }
    return session;
}

static void plain_take(struct fab__session *session, const struct fab__hello *hello,
                       uint32_t length, uint64_t now_ns)
{
    session = session_for(session, hello, now_ns);
    if (session == NULL) {
        return;
    }
    session->info.alive = true;
    session->info.heard_ns = now_ns;
    session->info.frames_received++;
    session->info.bytes_received += length;
    session->peer_number = hello->source_session;
    if (!session->open) {
        session->frame_bytes =
            hello->mtu_bytes < session->mtu_bytes ? hello->mtu_bytes : session->mtu_bytes;
    }
    if (hello->target_session != session->number) {
        session->hello_due = true;
    } else if (session->open) {
        session->heartbeat_due = true; /* it does not know yet that we know it */
    } else {
        fab__session_opened(session);
    }
    fab__ready(session);
}

void fab__hello_take(struct fab_node *node, uint16_t peer_id, const uint8_t *bytes, uint32_t length,
                     uint64_t now_ns)
{
    struct fab__session *session = node->sessions[peer_id];
    struct fab__hello hello;
    bool sealed = session->secure != NULL;

    if (!fab__hello_read(bytes, length, &hello) || !fab__hello_is_ours(session, &hello) ||
        sealed != ((hello.flags & FAB__HELLO_SEALED) != 0) ||
        (!sealed && (length != FAB__HELLO_BYTES || hello.flags != 0))) {
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
