/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docs/encryption.md. The initiator's hello carries message 1, the responder's answer message 2. A
 * responder that has no session for what it hears asks for message 1 by a hello without one.
 *
 * A hello can be forged or replayed until a message has proved otherwise, and message 1 proves only
 * that the peer has made it some time. So an open session stays until the handshake of a new one is
 * through: that one is its successor. The initiator says in message 1's header which session of the
 * responder it has; a responder that has that very one goes on with it, whoever asked. A responder
 * keeps its successor, because the initiator may be through already and use it.
 *
 * So what a stranger says changes nothing: a message is read before anything else happens, and not
 * more often than SECURE_READ_NS allows. An initiator keeps the successor that it was asked for,
 * and its number with it, however often it is asked.
 */
#include <stdlib.h>
#include <string.h>

#include "session.h"

#define SECURE_READ_NS 10000000ull /* between two messages that a peer can make us read */

sf_status fab__secure_init(struct fab__session *session, const uint8_t peer_key[FAB_KEY_BYTES])
{
    struct fab__secure *secure;
    sf_status st;

    if (!session->node->has_key) {
        return SF_UNSUPPORTED;
    }
    secure = calloc(1, sizeof(*secure));
    if (secure == NULL) {
        return SF_NOMEM;
    }
    session->secure = secure;
    st = fab__pair_init(&secure->pair, session->node->secret_key, peer_key);
    fab__handshake_begin(&secure->handshake, &secure->pair, fab__session_calls(session));
    return st;
}

void fab__secure_fini(struct fab__session *session)
{
    if (session->secure != NULL) {
        sodium_memzero(session->secure, sizeof(*session->secure));
        free(session->secure);
        session->secure = NULL;
    }
}

/* Writes our hello with our message. False: there is no secret with the peer's key. */
static bool hello_compose(struct fab__session *session, uint8_t flags, uint32_t target_session)
{
    struct fab__secure *secure = session->secure;
    struct fab__hello hello = fab__hello_of(session);
    uint8_t ephemeral[FAB_KEY_BYTES];
    sf_status st;

    hello.flags = flags | FAB__HELLO_SEALED;
    hello.target_session = target_session;
    hello.ciphers = fab__ciphers_here();
    fab__hello_write(secure->hello, &hello);
    session->node->random(session->node->events_arg, ephemeral, sizeof(ephemeral));
    st = fab__handshake_write(&secure->handshake, secure->hello, FAB__HELLO_BYTES, ephemeral,
                              secure->hello + FAB__HELLO_BYTES);
    sodium_memzero(ephemeral, sizeof(ephemeral));
    secure->hello_bytes = st == SF_OK ? sizeof(secure->hello) : 0;
    return st == SF_OK;
}

/* Both messages are there. False: no cipher in common. */
static bool keys_take(struct fab__session *session, const struct fab__hello *hello)
{
    struct fab__secure *secure = session->secure;
    enum fab__cipher cipher = fab__cipher_choose(fab__ciphers_here(), hello->ciphers);
    uint8_t tx[FAB_KEY_BYTES];
    uint8_t rx[FAB_KEY_BYTES];

    if (cipher == FAB__CIPHER_NONE || fab__handshake_keys(&secure->handshake, tx, rx) != SF_OK) {
        return false;
    }
    fab__sealer_init(&secure->sealer, cipher, tx);
    fab__unsealer_init(&secure->unsealer, cipher, rx);
    sodium_memzero(tx, sizeof(tx));
    sodium_memzero(rx, sizeof(rx));
    secure->cipher = (uint8_t)cipher;
    secure->keyed = true;
    fab__session_bind(session, hello);
    session->tx_number = 0;
    return true;
}

/* Each message that is read costs time, also one that is forged. */
static bool read_may(struct fab__session *session, uint64_t now_ns)
{
    if (now_ns < session->secure->read_next_ns) {
        return false;
    }
    session->secure->read_next_ns = now_ns + SECURE_READ_NS;
    return true;
}

static void successor_drop(struct fab__session *session)
{
    fab__session_free(session->successor);
    session->successor = NULL;
}

/* In the place of the last one. NULL: no memory, or no numbers. */
static struct fab__session *successor_make(struct fab__session *session, uint64_t now_ns)
{
    successor_drop(session);
    session->successor = fab__session_twin(session, now_ns);
    if (session->successor != NULL) {
        session->successor->hello_due = false;
        session->successor->hello_at_ns = UINT64_MAX;
    }
    return session->successor;
}

/* --- the initiator -------------------------------------------------------------------------- */

/* The responder wants message 1. */
static bool asked(struct fab__session *session, const struct fab__hello *hello, uint64_t now_ns)
{
    struct fab__session *successor;

    if (!session->open) {
        session->hello_due = true;
        return true;
    }
    if (hello->source_session <= session->peer_number) {
        return false;
    }
    if (session->successor != NULL) {
        session->successor->hello_due = true; /* the one before may have been lost */
        return true;
    }
    successor = successor_make(session, now_ns);
    if (successor == NULL) {
        return false;
    }
    if (!hello_compose(successor, 0, session->peer_number)) {
        successor_drop(session);
        return false;
    }
    successor->hello_due = true;
    return true;
}

static bool answered(struct fab__session *session, const struct fab__hello *hello,
                     const uint8_t *bytes, uint32_t length, uint64_t now_ns)
{
    struct fab__session *of =
        hello->target_session == session->number ? session : session->successor;

    if (session->open && hello->target_session == session->number &&
        hello->source_session == session->peer_number) {
        session->heartbeat_due = true; /* it has not heard from us yet */
        fab__ready(session);
        return true;
    }
    if (of == NULL || hello->target_session != of->number || of->open ||
        !read_may(session, now_ns) ||
        fab__handshake_read(&of->secure->handshake, bytes, FAB__HELLO_BYTES,
                            bytes + FAB__HELLO_BYTES) != SF_OK) {
        return false;
    }
    if (!keys_take(of, hello)) {
        successor_drop(session);
        return false;
    }
    if (of != session) {
        of = fab__session_succeed(session);
    }
    fab__session_heard(of, length, now_ns);
    fab__session_opened(of);
    return true;
}

/* --- the responder -------------------------------------------------------------------------- */

static bool is_again(const struct fab__session *session, const uint8_t *bytes)
{
    return session != NULL && session->secure->hello_bytes != 0 &&
           memcmp(session->secure->answered, bytes, sizeof(session->secure->answered)) == 0;
}

/* Answers message 1, which `handshake` has read. */
static bool message_answer(struct fab__session *session, const struct fab__handshake *handshake,
                           const struct fab__hello *hello, const uint8_t *bytes)
{
    struct fab__secure *secure = session->secure;

    secure->keyed = false;
    secure->hello_bytes = 0;
    secure->handshake = *handshake;
    secure->handshake.pair = &secure->pair;
    if (!hello_compose(session, FAB__HELLO_ANSWER, hello->source_session) ||
        !keys_take(session, hello)) {
        secure->hello_bytes = 0;
        return false;
    }
    memcpy(secure->answered, bytes, sizeof(secure->answered));
    session->hello_due = true;
    return true;
}

/* The peer has made message 1, some time: a session for it, beside one that is open. */
static bool call_take(struct fab__session *session, const struct fab__handshake *handshake,
                      const struct fab__hello *hello, const uint8_t *bytes, uint64_t now_ns)
{
    struct fab__session *of = session->open ? successor_make(session, now_ns) : session;

    if (of == NULL) {
        return false;
    }
    if (!message_answer(of, handshake, hello, bytes)) {
        successor_drop(session);
        return false;
    }
    return true;
}

static bool called(struct fab__session *session, const struct fab__hello *hello,
                   const uint8_t *bytes, uint64_t now_ns)
{
    const struct fab__session *newest = session->successor != NULL ? session->successor : session;
    struct fab__handshake handshake;
    bool taken;

    if (is_again(session, bytes)) {
        session->hello_due = !session->open;
        return !session->open;
    }
    if (is_again(session->successor, bytes)) {
        session->successor->hello_due = true;
        return true;
    }
    if (hello->source_session <= newest->peer_number ||
        (session->open && hello->target_session == session->number) || !read_may(session, now_ns)) {
        return false;
    }
    fab__handshake_begin(&handshake, &session->secure->pair, false);
    taken = fab__handshake_read(&handshake, bytes, FAB__HELLO_BYTES, bytes + FAB__HELLO_BYTES) ==
                SF_OK &&
            call_take(session, &handshake, hello, bytes, now_ns);
    fab__handshake_wipe(&handshake);
    return taken;
}

/* --- hellos --------------------------------------------------------------------------------- */

void fab__secure_hello_take(struct fab__session *session, const struct fab__hello *hello,
                            const uint8_t *bytes, uint32_t length, uint64_t now_ns)
{
    bool has_message = length == FAB__HELLO_BYTES + FAB__HANDSHAKE_BYTES;
    bool is_answer = (hello->flags & FAB__HELLO_ANSWER) != 0;
    bool taken = false;

    if (hello->source_epoch == session->peer_epoch && (has_message || length == FAB__HELLO_BYTES)) {
        if (fab__session_calls(session) && is_answer && has_message) {
            if (answered(session, hello, bytes, length, now_ns)) {
                return; /* the session may be another one now */
            }
        } else if (fab__session_calls(session) && !is_answer && !has_message) {
            taken = asked(session, hello, now_ns);
        } else if (!fab__session_calls(session) && !is_answer && has_message) {
            taken = called(session, hello, bytes, now_ns);
        }
    }
    session->info.frames_rejected += !taken;
    fab__ready(session);
}

uint32_t fab__secure_hello_make(struct fab__session *session, uint8_t *bytes)
{
    struct fab__secure *secure = session->secure;
    struct fab__hello hello;

    if (secure->hello_bytes == 0 && fab__session_calls(session)) {
        (void)hello_compose(session, 0, 0);
    }
    if (secure->hello_bytes != 0) {
        memcpy(bytes, secure->hello, secure->hello_bytes);
        return secure->hello_bytes;
    }
    hello = fab__hello_of(session);
    hello.flags = FAB__HELLO_SEALED;
    hello.target_session = 0;
    fab__hello_write(bytes, &hello);
    return FAB__HELLO_BYTES;
}
