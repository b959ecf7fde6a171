/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hints_TcpConnectionContract.c - what the walk must know about TCP.
 *
 * Sessions come from the import "exporter" (TcpContract). All connections run over the loopback
 * address of the node the exporter is on: helpers of the same exporter listen, connect, write and
 * abort, so that the session that is walked gets the answer that is wished for.
 *
 * One helper listens all the time. A connection made to it is accepted by a second helper, the
 * session's `other`. note[NOTE_PORT] is the port a session was bound to.
 */
#include "walk.h"

#include "TcpConnectionContract.h"
#include "TcpContract.h"

#define LOOPBACK 0x7f000001u
#define ANY 0u
#define NOT_OURS 0xc0000201u /* 192.0.2.1: reserved for examples, never a local address */
#define PORT_FIRST 20000u
#define PORT_COUNT 12000u /* all below what the system hands out by itself */
#define PORT_TRIES 8u
#define BACKLOG 8u
#define SETTLE_NS SIP_MS(25) /* until a reset has reached the other end */
#define POLL_SOON_MS 10
#define POLL_LONG_MS 2000

#define TAG(name) TcpConnectionContract_tag_##name
#define STATE(name) TcpConnectionContract_state_##name

enum { NOTE_PORT = 0 };

static struct TcpContract_Imp tcp;
static struct walk_session *listener;
static struct walk_session *bound; /* to a port on which nobody listens */

void walk_hint_begin(void)
{
    tcp.h = 0;
    listener = NULL;
    bound = NULL;
}

static uint32_t random_port(void)
{
    uint32_t number = 0;

    (void)nk_entropy(&number, sizeof(number));
    return PORT_FIRST + number % PORT_COUNT;
}

/* The channel to the service itself, once it has said Ready. */
static bool have_service(void)
{
    struct TcpContract_Imp_msg msg;

    if (tcp.h != 0 && TcpContract_Imp_state(tcp) == TcpContract_state_ReadyState) {
        return true;
    }
    tcp.h = walk_take_import("exporter");
    if (tcp.h == 0) {
        return false;
    }
    int32_t answer = TcpContract_Imp_recv(tcp, &msg, WALK_ANSWER_NS);
    if (answer < 0) {
        walk_fail("the service is not ready: %s", sip_status_text(answer));
        tcp.h = 0;
        return false;
    }
    return true;
}

struct walk_session *walk_hint_fresh(bool helper)
{
    struct TcpConnectionContract_Imp imp;
    struct TcpConnectionContract_Exp exp;
    struct TcpContract_Imp_msg msg;

    if (!have_service()) {
        return NULL;
    }
    int32_t answer = TcpConnectionContract_new(&imp, &exp);
    if (answer < 0) {
        walk_fail("cannot make a channel: %s", sip_status_text(answer));
        return NULL;
    }
    answer = TcpContract_Imp_send_CreateTcpSession(tcp, exp);
    if (answer == 0) {
        answer = TcpContract_Imp_recv(tcp, &msg, WALK_ANSWER_NS);
    }
    if (answer < 0) {
        walk_fail("CreateTcpSession is not acknowledged: %s", sip_status_text(answer));
        return NULL;
    }
    return walk_adopt(imp.h, STATE(Start), helper);
}

/* --- helpers
 * ------------------------------------------------------------------------------------------ */

/* A helper in ReadyState; NULL: failed. */
static struct walk_session *ready_helper(void)
{
    struct walk_session *helper = walk_hint_fresh(true);

    if (helper != NULL && walk_receive(helper, NULL) != TAG(Ready)) {
        walk_close(helper);
        return NULL;
    }
    return helper;
}

static uint32_t ask_bind(struct walk_session *session, uint32_t ip, uint32_t port)
{
    struct nk_msg msg;

    if (!walk_fill(session, TAG(BindLocalEndPoint), &msg)) {
        return WALK_NONE;
    }
    msg.args[0] = ip;
    msg.args[1] = port;
    session->note[NOTE_PORT] = port;
    return walk_send(session, TAG(BindLocalEndPoint), &msg) ? walk_receive(session, NULL)
                                                            : WALK_NONE;
}

static bool ask_listen(struct walk_session *session)
{
    struct nk_msg msg;

    if (!walk_fill(session, TAG(Listen), &msg)) {
        return false;
    }
    msg.args[0] = BACKLOG;
    return walk_send(session, TAG(Listen), &msg) && walk_receive(session, NULL) == TAG(OK);
}

/* A helper bound to some free port of the loopback address. */
static struct walk_session *bound_helper(void)
{
    struct walk_session *helper = ready_helper();

    for (uint32_t i = 0; helper != NULL && i < PORT_TRIES; i++) {
        uint32_t answer = ask_bind(helper, LOOPBACK, random_port());
        if (answer == TAG(OK)) {
            return helper;
        }
        if (answer == WALK_NONE) {
            break;
        }
    }
    walk_close(helper);
    return NULL;
}

static bool have_listener(void)
{
    if (listener == NULL || listener->handle == 0) {
        listener = bound_helper();
        if (listener != NULL && !ask_listen(listener)) {
            walk_close(listener);
            listener = NULL;
        }
    }
    return listener != NULL;
}

/* A port that is taken but not listened on: connecting to it is refused. */
static bool have_dead_port(void)
{
    if (bound == NULL || bound->handle == 0) {
        bound = bound_helper();
    }
    return bound != NULL;
}

/* The listener accepts what has just connected: the far end of `session`. */
static void accept_other(struct walk_session *session)
{
    if (walk_ask(listener, TAG(Accept)) != TAG(OK)) {
        return;
    }
    struct walk_session *other = listener->born;
    if (other == NULL || walk_receive(other, NULL) != TAG(Ready)) {
        return;
    }
    other->helper = true;
    other->other = session;
    session->other = other;
}

static bool other_may(const struct walk_session *session, uint32_t tag)
{
    const struct walk_session *other = session->other;

    return other != NULL && other->handle != 0 &&
           walk_contract.next[other->state * walk_contract.message_count + tag] != WALK_NONE;
}

/* The far end writes; what it wrote is under way when its OK has come. */
static bool other_writes(struct walk_session *session)
{
    return other_may(session, TAG(Write)) && walk_ask(session->other, TAG(Write)) == TAG(OK);
}

/* DoneSending or Abort: no answer, so time must pass until it is seen. */
static bool other_tells(struct walk_session *session, uint32_t tag)
{
    struct nk_msg msg;

    if (!other_may(session, tag) || !walk_fill(session->other, tag, &msg) ||
        !walk_send(session->other, tag, &msg)) {
        return false;
    }
    sip_sleep_ns(SETTLE_NS);
    return true;
}

/* True if the far end is gone or has said that it sends nothing more. */
static bool other_is_done(const struct walk_session *session)
{
    return !other_may(session, TAG(Write));
}

/* --- arranging
 * ---------------------------------------------------------------------------------------- */

static bool arrange_connect(uint32_t wish, struct nk_msg *msg)
{
    msg->args[0] = LOOPBACK;
    if (wish == TAG(CouldNotConnect)) {
        if (!have_dead_port()) {
            return false;
        }
        msg->args[1] = bound->note[NOTE_PORT];
        return true;
    }
    if (!have_listener()) {
        return false;
    }
    msg->args[1] = listener->note[NOTE_PORT];
    return true;
}

static bool arrange_bind(struct walk_session *session, uint32_t wish, struct nk_msg *msg)
{
    msg->args[0] = wish == TAG(InvalidEndPoint) ? NOT_OURS : LOOPBACK;
    session->note[NOTE_PORT] = random_port();
    msg->args[1] = session->note[NOTE_PORT];
    return true;
}

/*
 * Another session listens on the same port of all addresses first. (On the very same address would
 * not do: a service may let several sessions listen together.)
 */
static bool arrange_listen(struct walk_session *session, uint32_t wish, struct nk_msg *msg)
{
    msg->args[0] = BACKLOG;
    if (wish != TAG(CouldNotListen)) {
        return true;
    }
    struct walk_session *rival = ready_helper();
    if (rival == NULL) {
        return false;
    }
    session->other = rival;
    return ask_bind(rival, ANY, session->note[NOTE_PORT]) == TAG(OK) && ask_listen(rival);
}

/* Somebody connects to the session, which listens. */
static bool arrange_accept(struct walk_session *session)
{
    struct walk_session *client = ready_helper();
    struct nk_msg msg;

    if (client == NULL || !walk_fill(client, TAG(Connect), &msg)) {
        return false;
    }
    msg.args[0] = LOOPBACK;
    msg.args[1] = session->note[NOTE_PORT];
    if (!walk_send(client, TAG(Connect), &msg) || walk_receive(client, NULL) != TAG(OK)) {
        walk_close(client);
        return false;
    }
    if (session->born != NULL) {
        session->born->other = client;
        client->other = session->born;
    }
    return true;
}

static bool arrange_read(struct walk_session *session, uint32_t tag, uint32_t wish,
                         struct nk_msg *msg)
{
    if (tag == TAG(PollRead)) {
        msg->args[0] = wish == TAG(NoData) ? POLL_SOON_MS : POLL_LONG_MS;
    }
    switch (wish) {
    case TAG(NoData):
        return !other_is_done(session);
    case TAG(NoMoreData):
        /* An end that is there already is as good. */
        return other_is_done(session) || other_tells(session, TAG(DoneSending));
    case TAG(ConnectionClosed):
        return other_tells(session, TAG(Abort));
    case TAG(Data):
        return other_writes(session);
    default:
        return other_is_done(session) || other_writes(session);
    }
}

static bool arrange_write(struct walk_session *session, uint32_t wish)
{
    if (wish == TAG(CantSend)) {
        return !other_may(session, TAG(Abort)) || other_tells(session, TAG(Abort));
    }
    return true;
}

bool walk_hint_arrange(struct walk_session *session, uint32_t tag, uint32_t wish,
                       struct nk_msg *msg)
{
    switch (tag) {
    case TAG(Connect):
        return arrange_connect(wish, msg);
    case TAG(BindLocalEndPoint):
        return arrange_bind(session, wish, msg);
    case TAG(Listen):
        return arrange_listen(session, wish, msg);
    case TAG(Accept):
        return arrange_accept(session);
    case TAG(Read):
    case TAG(PollRead):
        return arrange_read(session, tag, wish, msg);
    case TAG(Write):
        return arrange_write(session, wish);
    default:
        return true;
    }
}

void walk_hint_answered(struct walk_session *session, uint32_t tag, uint32_t answer)
{
    if (tag == TAG(Connect) && answer == TAG(OK)) {
        accept_other(session);
    }
}

void walk_hint_closing(struct walk_session *session)
{
    walk_close(session->other);
}
