/* SPDX-License-Identifier: Apache-2.0 */
/*
 * web.c - a web server in a SIP. It has no socket: all it knows of the network are two contracts,
 * TcpContract and TcpConnectionContract; their exporter may be on this node or on another one.
 *
 * Model: one listener and up to CONNECTIONS_MAX connections, each a channel; one select waits for
 * all of them. A connection is a small state machine whose next step is the message that comes
 * back, so a slow client holds up nobody but itself. Exactly one Accept is under way while there
 * is room for another connection.
 *
 * Pages: / says who answers, /crash faults (to show that only this SIP ends), all else is 404.
 * Configuration: port (default 8080).
 * Exit code: 1 when the TCP service or its listener is gone; the log says why.
 */
#include "TcpConnectionContract.h"
#include "TcpContract.h"
#include "http.h"
#include "sip.h"

#define CONNECTIONS_MAX 48u
#define BACKLOG 64
#define REQUEST_MS_MAX 10000
#define ANSWER_BYTES_MAX 2048u

enum step {
    FREE = 0,
    AWAIT_READY,
    AWAIT_ADDRESS,
    AWAIT_PORT,
    AWAIT_DATA,
    AWAIT_WRITTEN,
};

struct connection {
    enum step step;
    struct TcpConnectionContract_Imp tcp;
    uint32_t ip;
    uint16_t port;
    int64_t deadline_ns; /* by then the request must be complete */
    uint32_t length;
    char request[HTTP_REQUEST_BYTES_MAX];
};

static struct connection connections[CONNECTIONS_MAX];
static struct TcpContract_Imp service;
static struct TcpConnectionContract_Imp listener;
static bool accepting;
static uint32_t served;
static char sip_name[64], node_name[64];

/* --- one connection --------------------------------------------------------------------------- */

/* In good order if it is our turn to speak; else closing the channel says enough. */
static void drop(struct connection *c)
{
    (void)TcpConnectionContract_Imp_send_Close(c->tcp);
    (void)TcpConnectionContract_Imp_close(c->tcp);
    c->step = FREE;
}

/* A send that fails means that the channel is gone; its cause is what matters. */
static void proceed(struct connection *c, int32_t result, enum step step)
{
    if (result < 0) {
        sip_log("connection lost: %s, %s", sip_status_text(result),
                sip_cause_text(nk_cause(c->tcp.h)));
        drop(c);
        return;
    }
    c->step = step;
}

static void read_more(struct connection *c)
{
    const int64_t left = (c->deadline_ns - nk_clock_ns()) / 1000000;

    proceed(c, TcpConnectionContract_Imp_send_PollRead(c->tcp, left > 0 ? (int32_t)left : 0),
            AWAIT_DATA);
}

static void write_answer(struct connection *c, int code, enum http_method method, const char *body)
{
    char *block = nk_block_alloc(ANSWER_BYTES_MAX);
    uint32_t length;
    int32_t result;

    if (block == NULL) {
        sip_log("no block for an answer");
        drop(c);
        return;
    }
    length = http_answer(block, ANSWER_BYTES_MAX, code, method, body);
    result = length == 0 ? -SF_LIMIT
                         : TcpConnectionContract_Imp_send_Write(c->tcp, (uint8_t *)block, length);
    if (result < 0) {
        (void)nk_block_free(block);
    }
    proceed(c, result, AWAIT_WRITTEN);
}

static void write_page(struct connection *c, enum http_method method)
{
    char page[1024];

    served++;
    (void)sip_format(page, sizeof(page),
                     "<!doctype html>\n<title>%s on %s</title>\n"
                     "<p>node: %s</p>\n<p>sip: %s</p>\n<p>peer: %u.%u.%u.%u:%u</p>\n"
                     "<p>requests served: %u</p>\n",
                     sip_name, node_name, node_name, sip_name, c->ip >> 24, (c->ip >> 16) & 255,
                     (c->ip >> 8) & 255, c->ip & 255, c->port, served);
    write_answer(c, 200, method, page);
}

static void answer(struct connection *c)
{
    struct http_request request;
    const int refused = http_parse(c->request, c->length, &request);

    if (refused != 0) {
        write_answer(c, refused, HTTP_GET, "<p>that is not a request</p>\n");
    } else if (request.method == HTTP_OTHER) {
        write_answer(c, 405, HTTP_GET, "<p>only GET and HEAD</p>\n");
    } else if (strcmp(request.target, "/crash") == 0) {
        sip_log("asked to crash");
        __builtin_trap();
    } else if (strcmp(request.target, "/") != 0) {
        write_answer(c, 404, request.method, "<p>there is no such page</p>\n");
    } else {
        write_page(c, request.method);
    }
}

static void take_data(struct connection *c, const struct TcpConnectionContract_Imp_msg *msg)
{
    const uint32_t room = sizeof(c->request) - c->length;

    if (msg->Data.data_bytes > room) {
        write_answer(c, 431, HTTP_GET, "<p>that request is too long</p>\n");
        return;
    }
    if (msg->Data.data_bytes > 0) {
        memcpy(c->request + c->length, msg->Data.data, msg->Data.data_bytes);
        c->length += msg->Data.data_bytes;
    }
    if (http_complete(c->request, c->length)) {
        answer(c);
    } else if (nk_clock_ns() >= c->deadline_ns) {
        write_answer(c, 408, HTTP_GET, "<p>that took too long</p>\n");
    } else {
        read_more(c);
    }
}

/* The contract has been checked by the kernel: what arrives fits the step we are in. */
static void take_message(struct connection *c, const struct TcpConnectionContract_Imp_msg *msg)
{
    switch (msg->tag) {
    case TcpConnectionContract_tag_Ready:
        c->deadline_ns = nk_clock_ns() + SIP_MS(REQUEST_MS_MAX);
        proceed(c, TcpConnectionContract_Imp_send_GetRemoteAddress(c->tcp), AWAIT_ADDRESS);
        break;
    case TcpConnectionContract_tag_IPAddress:
        c->ip = msg->IPAddress.ip;
        proceed(c, TcpConnectionContract_Imp_send_GetRemotePort(c->tcp), AWAIT_PORT);
        break;
    case TcpConnectionContract_tag_Port:
        c->port = msg->Port.port;
        read_more(c);
        break;
    case TcpConnectionContract_tag_Data:
        take_data(c, msg);
        break;
    case TcpConnectionContract_tag_NoData:
        write_answer(c, 408, HTTP_GET, "<p>that took too long</p>\n");
        break;
    default: /* written, or the other side has had enough */
        drop(c);
        break;
    }
}

static void on_connection(struct connection *c)
{
    struct TcpConnectionContract_Imp_msg msg;
    const int32_t result = TcpConnectionContract_Imp_recv(c->tcp, &msg, 0);

    if (result == -SF_TIMEOUT || result == -SF_AGAIN) {
        return;
    }
    if (result < 0) {
        proceed(c, result, FREE);
        return;
    }
    take_message(c, &msg);
    TcpConnectionContract_Imp_drop(&msg);
}

/* --- listener --------------------------------------------------------------------------------- */

static int gone(const char *what, uint32_t handle, int32_t result)
{
    sip_log("%s: %s, %s", what, sip_status_text(result), sip_cause_text(nk_cause(handle)));
    return 1;
}

static int32_t accept_next(void)
{
    struct TcpConnectionContract_Imp imp;
    struct TcpConnectionContract_Exp exp;
    struct connection *c = NULL;
    int32_t result;

    for (uint32_t i = 0; i < CONNECTIONS_MAX && c == NULL; i++) {
        c = connections[i].step == FREE ? &connections[i] : NULL;
    }
    if (c == NULL) {
        return 0; /* when one ends */
    }
    result = TcpConnectionContract_new_in(TcpConnectionContract_state_PreConnected, &imp, &exp);
    if (result < 0) {
        return result;
    }
    result = TcpConnectionContract_Imp_send_Accept(listener, exp);
    if (result < 0) {
        (void)TcpConnectionContract_Exp_close(exp);
        (void)TcpConnectionContract_Imp_close(imp);
        return result;
    }
    c->step = AWAIT_READY;
    c->tcp = imp;
    c->length = 0;
    accepting = true;
    return 0;
}

/* The next message of a session, which must be `tag`. 0, or a negative status. */
static int32_t expect(struct TcpConnectionContract_Imp session, uint32_t tag)
{
    struct TcpConnectionContract_Imp_msg msg;
    int32_t result = TcpConnectionContract_Imp_recv(session, &msg, SIP_FOREVER);

    if (result == 0 && msg.tag != tag) {
        TcpConnectionContract_Imp_drop(&msg);
        result = -SF_IO;
    }
    return result;
}

/* A listening session. 0, or a negative status; says in the log what failed. */
static int32_t open_session(uint16_t port)
{
    struct TcpConnectionContract_Exp exp;
    struct TcpContract_Imp_msg msg;
    int32_t result = TcpContract_Imp_recv(service, &msg, SIP_FOREVER); /* Ready */

    if (result == 0) {
        result = TcpConnectionContract_new(&listener, &exp);
    }
    if (result == 0) {
        result = TcpContract_Imp_send_CreateTcpSession(service, exp);
    }
    if (result == 0) {
        result = TcpContract_Imp_recv(service, &msg, SIP_FOREVER); /* Ack */
    }
    if (result < 0) {
        (void)gone("no session", service.h, result);
        return result;
    }
    result = expect(listener, TcpConnectionContract_tag_Ready);
    if (result == 0) {
        result = TcpConnectionContract_Imp_send_BindLocalEndPoint(listener, 0, port);
    }
    if (result == 0) {
        result = expect(listener, TcpConnectionContract_tag_OK);
    }
    if (result == 0) {
        result = TcpConnectionContract_Imp_send_Listen(listener, BACKLOG);
    }
    if (result == 0) {
        result = expect(listener, TcpConnectionContract_tag_OK);
    }
    if (result < 0) {
        sip_log("cannot listen on port %u", port);
        (void)gone("no listener", listener.h, result);
    }
    return result;
}

/* --- main ---------------------------------------------------------------------------------------
 */

/* Waits until something can be received or is closed: 0 service, 1 listener, 2.. connections. */
static int32_t wait_any(struct connection *active[CONNECTIONS_MAX])
{
    uint32_t handles[2 + CONNECTIONS_MAX] = {service.h, listener.h};
    uint32_t count = 2;

    for (uint32_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (connections[i].step != FREE) {
            active[count - 2] = &connections[i];
            handles[count++] = connections[i].tcp.h;
        }
    }
    return nk_select(handles, count, SIP_FOREVER);
}

int sip_main(void)
{
    struct connection *active[CONNECTIONS_MAX];
    const uint16_t port = (uint16_t)sip_config_u32("port", 8080);
    int32_t result;

    (void)sip_identity(SIP_NAME, sip_name, sizeof(sip_name));
    (void)sip_identity(SIP_NODE, node_name, sizeof(node_name));
    result = TcpContract_Imp_take("tcp", &service);
    if (result < 0) {
        sip_log("no channel tcp: %s", sip_status_text(result));
        return 1;
    }
    if (open_session(port) < 0) {
        return 1;
    }
    sip_log("serving port %u", port);
    for (;;) {
        if (!accepting) {
            result = accept_next();
            if (result < 0) {
                return gone("cannot accept", listener.h, result);
            }
        }
        result = wait_any(active);
        if (result < 0) {
            return gone("cannot wait", listener.h, result);
        }
        if (result == 0) { /* it never speaks unasked */
            return gone("tcp service gone", service.h, -SF_CLOSED);
        }
        if (result == 1) {
            result = expect(listener, TcpConnectionContract_tag_OK);
            if (result < 0) {
                return gone("listener gone", listener.h, result);
            }
            accepting = false;
            continue;
        }
        on_connection(active[result - 2]);
    }
}
