/* SPDX-License-Identifier: Apache-2.0 */
/* One connection: what each message of its client does. The monitor has checked that it is legal.
 */
#include "tcp.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- life ----------------------------------------------------------------------------------------
 */

bool tcp__full(const struct tcp *tcp)
{
    return tcp->conn_count >= tcp->conn_count_max;
}

static void conn_free(uv_handle_t *timer)
{
    free(timer->data);
}

struct tcp_conn *tcp__conn_create(struct tcp *tcp, struct fab_ep *ep)
{
    struct tcp_conn *conn = calloc(1, sizeof(*conn));

    if (conn == NULL) {
        return NULL;
    }
    conn->object.kind = TCP_OBJECT_CONN;
    if (nk_service_hold(tcp->service, ep, &conn->object) != SF_OK) {
        free(conn);
        return NULL;
    }
    conn->tcp = tcp;
    conn->ep = ep;
    conn->state = TCP_STATE_IDLE;
    uv_timer_init(tcp->loop, &conn->timer);
    conn->timer.data = conn;
    conn->next = tcp->conns;
    conn->link = &tcp->conns;
    if (conn->next != NULL) {
        conn->next->link = &conn->next;
    }
    tcp->conns = conn;
    tcp->conn_count++;
    tcp__send(tcp, ep, TCP_TAG(Ready), 0);
    return conn;
}

/* A place has become free: those who wait in a backlog may come in. */
static void conns_fewer(struct tcp *tcp)
{
    bool was_full = tcp__full(tcp);

    tcp->conn_count--;
    tcp->limit_said = false;
    for (struct tcp_listener *l = tcp->listeners; was_full && l != NULL; l = l->next) {
        tcp__socket_wait(l->socket, tcp__listener_waiting(l) ? UV_READABLE : 0);
    }
}

void tcp__conn_end(struct tcp_conn *conn)
{
    struct tcp *tcp = conn->tcp;

    assert(conn->state != TCP_STATE_ENDED);
    if (conn->listener != NULL) {
        tcp__listener_leave(conn);
    }
    if (conn->state == TCP_STATE_LINGERING) {
        tcp->lingering_count--;
    }
    tcp__socket_close(conn->socket);
    conn->socket = NULL;
    (void)xh_free(tcp->heap, conn->block, tcp->owner);
    conn->block = NULL;
    conn->state = TCP_STATE_ENDED;
    *conn->link = conn->next;
    if (conn->next != NULL) {
        conn->next->link = conn->link;
    }
    uv_close((uv_handle_t *)&conn->timer, conn_free);
    conns_fewer(tcp);
}

void tcp__reply(struct tcp_conn *conn, enum TcpConnectionContract_tag tag, uint64_t scalar)
{
    tcp__send(conn->tcp, conn->ep, tag, scalar);
}

/* The client is done with it, or gone. */
static void conn_release(struct tcp_conn *conn, struct sf_cause cause)
{
    if (conn->accept_ep != NULL) {
        nk_service_close(conn->tcp->service, conn->accept_ep, cause);
        conn->accept_ep = NULL;
    }
    nk_service_close(conn->tcp->service, conn->ep, cause);
    conn->ep = NULL;
}

/* --- before a connection -------------------------------------------------------------------------
 */

static void on_connect(struct tcp_conn *conn, struct fab_msg *msg)
{
    tcp__connect(conn, (uint32_t)msg->args[0].scalar, (uint16_t)msg->args[1].scalar);
}

static void on_bind(struct tcp_conn *conn, struct fab_msg *msg)
{
    uint32_t ip = (uint32_t)msg->args[0].scalar;
    uint16_t port = (uint16_t)msg->args[1].scalar;

    /* With a listener there already, the system would refuse a second socket; Listen will join. */
    if (tcp__listener_find(conn->tcp, ip, port) == NULL) {
        int fd = tcp__bound_socket(ip, port);
        struct sockaddr_in local = {0};
        socklen_t length = sizeof(local);
        if (fd >= 0) {
            conn->socket = tcp__socket_create(conn->tcp, fd, tcp__conn_event, conn);
        }
        if (conn->socket == NULL ||
            getsockname(conn->socket->fd, (struct sockaddr *)&local, &length) != 0) {
            tcp__socket_close(conn->socket);
            conn->socket = NULL;
            tcp__reply(conn, TCP_TAG(InvalidEndPoint), 0);
            return;
        }
        port = ntohs(local.sin_port);
    }
    conn->local_ip = ip;
    conn->local_port = port;
    conn->state = TCP_STATE_BOUND;
    tcp__reply(conn, TCP_TAG(OK), 0);
}

static void on_listen(struct tcp_conn *conn, struct fab_msg *msg)
{
    if (tcp__listen(conn, (int32_t)msg->args[0].scalar)) {
        conn->state = TCP_STATE_LISTENING;
        tcp__reply(conn, TCP_TAG(OK), 0);
        return;
    }
    tcp__socket_close(conn->socket);
    conn->socket = NULL;
    conn->state = TCP_STATE_IDLE;
    tcp__reply(conn, TCP_TAG(CouldNotListen), 0);
}

static void on_accept(struct tcp_conn *conn, struct fab_msg *msg)
{
    struct fab_ep *ep = msg->args[0].ep;

    if (nk_service_hold(conn->tcp->service, ep, &conn->object) != SF_OK) {
        nk_service_close(conn->tcp->service, ep, SF_CAUSE_OF(QUOTA));
        tcp__reply(conn, TCP_TAG(OK), 0);
        return;
    }
    conn->accept_ep = ep;
    conn->state = TCP_STATE_ACCEPTING;
    tcp__listener_deal(conn->listener);
}

static void on_is_session_available(struct tcp_conn *conn, struct fab_msg *msg)
{
    struct pollfd poll_fd = {.fd = conn->listener->socket->fd, .events = POLLIN};
    (void)msg;

    tcp__reply(conn, TCP_TAG(SessionIsAvailable),
               !tcp__full(conn->tcp) && poll(&poll_fd, 1, 0) == 1);
}

/* --- with a connection ---------------------------------------------------------------------------
 */

static void on_read(struct tcp_conn *conn, struct fab_msg *msg)
{
    (void)msg;
    tcp__read(conn, false, 0);
}

static void on_poll_read(struct tcp_conn *conn, struct fab_msg *msg)
{
    tcp__read(conn, true, (int32_t)msg->args[0].scalar);
}

static void on_is_data_available(struct tcp_conn *conn, struct fab_msg *msg)
{
    (void)msg;
    tcp__reply(conn, TCP_TAG(DataIsAvailable), tcp__available(conn) > 0);
}

static void on_write(struct tcp_conn *conn, struct fab_msg *msg)
{
    tcp__write(conn, msg->args[0].block);
}

static void on_done_sending(struct tcp_conn *conn, struct fab_msg *msg)
{
    (void)msg;
    conn->can_send = false;
    /* Fails only if the connection is broken, which the next read will tell. */
    (void)shutdown(conn->socket->fd, SHUT_WR);
}

static void on_done_receiving(struct tcp_conn *conn, struct fab_msg *msg)
{
    (void)msg;
    /* SHUT_RD would change nothing for the peer, and hide its FIN from a polite end. */
    conn->can_receive = false;
}

static void on_close(struct tcp_conn *conn, struct fab_msg *msg)
{
    (void)msg;
    conn_release(conn, SF_CAUSE_OF(CLOSED_BY_PEER));
    tcp__finish(conn);
}

static void on_abort(struct tcp_conn *conn, struct fab_msg *msg)
{
    (void)msg;
    conn_release(conn, SF_CAUSE_OF(CLOSED_BY_PEER));
    tcp__abort(conn);
}

static void on_get_local_address(struct tcp_conn *conn, struct fab_msg *msg)
{
    (void)msg;
    tcp__reply(conn, TCP_TAG(IPAddress), conn->local_ip);
}

static void on_get_local_port(struct tcp_conn *conn, struct fab_msg *msg)
{
    (void)msg;
    tcp__reply(conn, TCP_TAG(Port), conn->local_port);
}

static void on_get_remote_address(struct tcp_conn *conn, struct fab_msg *msg)
{
    (void)msg;
    tcp__reply(conn, TCP_TAG(IPAddress), conn->remote_ip);
}

static void on_get_remote_port(struct tcp_conn *conn, struct fab_msg *msg)
{
    (void)msg;
    tcp__reply(conn, TCP_TAG(Port), conn->remote_port);
}

/* --- the table -----------------------------------------------------------------------------------
 */

#define IN(state) (1u << TCP_STATE_##state)

static const struct {
    void (*run)(struct tcp_conn *conn, struct fab_msg *msg);
    uint32_t states; /* the contract and our state agree: anything else is our bug */
} handlers[] = {
    [TCP_TAG(Connect)] = {on_connect, IN(IDLE) | IN(BOUND)},
    [TCP_TAG(BindLocalEndPoint)] = {on_bind, IN(IDLE)},
    [TCP_TAG(Listen)] = {on_listen, IN(BOUND)},
    [TCP_TAG(Accept)] = {on_accept, IN(LISTENING)},
    [TCP_TAG(IsSessionAvailable)] = {on_is_session_available, IN(LISTENING)},
    [TCP_TAG(Read)] = {on_read, IN(OPEN)},
    [TCP_TAG(PollRead)] = {on_poll_read, IN(OPEN)},
    [TCP_TAG(IsDataAvailable)] = {on_is_data_available, IN(OPEN)},
    [TCP_TAG(Write)] = {on_write, IN(OPEN)},
    [TCP_TAG(DoneSending)] = {on_done_sending, IN(OPEN)},
    [TCP_TAG(DoneReceiving)] = {on_done_receiving, IN(OPEN)},
    [TCP_TAG(Close)] = {on_close, IN(IDLE) | IN(BOUND) | IN(LISTENING) | IN(OPEN)},
    [TCP_TAG(Abort)] = {on_abort, IN(OPEN)},
    [TCP_TAG(GetLocalAddress)] = {on_get_local_address, IN(LISTENING) | IN(OPEN)},
    [TCP_TAG(GetLocalPort)] = {on_get_local_port, IN(LISTENING) | IN(OPEN)},
    [TCP_TAG(GetRemoteAddress)] = {on_get_remote_address, IN(OPEN)},
    [TCP_TAG(GetRemotePort)] = {on_get_remote_port, IN(OPEN)},
};

/* The endpoint of a pending Accept closed: there is nobody to give a connection to. */
static void accept_ep_gone(struct tcp_conn *conn)
{
    nk_service_close(conn->tcp->service, conn->accept_ep, SF_CAUSE_OF(CLOSED_BY_PEER));
    conn->accept_ep = NULL;
    conn->state = TCP_STATE_LISTENING;
    tcp__reply(conn, TCP_TAG(OK), 0);
}

static void client_gone(struct tcp_conn *conn)
{
    bool writing = conn->state == TCP_STATE_WRITING;

    conn_release(conn, SF_CAUSE_OF(CLOSED_BY_PEER));
    if (writing) {
        tcp__abort(conn);
    } else {
        tcp__finish(conn);
    }
}

void tcp__conn_ready(struct tcp_conn *conn, struct fab_ep *ep)
{
    struct fab_msg msg;
    sf_status st;

    if (ep == conn->accept_ep) {
        if (fab_ep_cause(ep).kind != SF_CAUSE_NONE) {
            accept_ep_gone(conn);
        }
        return;
    }
    assert(ep == conn->ep);
    while ((st = nk_service_recv(conn->tcp->service, ep, &msg)) == SF_OK) {
        assert(msg.tag < sizeof(handlers) / sizeof(handlers[0]));
        assert(handlers[msg.tag].states & 1u << conn->state);
        handlers[msg.tag].run(conn, &msg);
        if (conn->ep == NULL) {
            return;
        }
    }
    if (st != SF_AGAIN) {
        client_gone(conn);
    }
}
