/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners: one socket an address, its connections dealt out in turn. */
#include "tcp.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEAL_MAX 32u /* connections a call, so that nothing else waits long */

struct tcp_listener *tcp__listener_find(const struct tcp *tcp, uint32_t ip, uint16_t port)
{
    struct tcp_listener *l = tcp->listeners;

    while (l != NULL && (l->ip != ip || l->port != port)) {
        l = l->next;
    }
    return l;
}

/* --- members: a queue, the next to be served first
 * ------------------------------------------------ */

static void member_append(struct tcp_listener *l, struct tcp_conn *conn)
{
    conn->listener = l;
    conn->member_next = NULL;
    conn->member_link = l->last;
    *l->last = conn;
    l->last = &conn->member_next;
}

static void member_remove(struct tcp_conn *conn)
{
    struct tcp_listener *l = conn->listener;

    *conn->member_link = conn->member_next;
    if (conn->member_next != NULL) {
        conn->member_next->member_link = conn->member_link;
    } else {
        l->last = conn->member_link;
    }
    conn->listener = NULL;
}

static struct tcp_conn *member_waiting(const struct tcp_listener *l)
{
    struct tcp_conn *conn = l->first;

    while (conn != NULL && conn->state != TCP_STATE_ACCEPTING) {
        conn = conn->member_next;
    }
    return conn;
}

bool tcp__listener_waiting(const struct tcp_listener *l)
{
    return !l->paused && !tcp__full(l->tcp) && member_waiting(l) != NULL;
}

/* --- dealing
 * -------------------------------------------------------------------------------------- */

/* Gives an accepted socket to the session whose turn it is. */
static void deal_one(struct tcp_listener *l, struct tcp_conn *session, int fd)
{
    struct tcp *tcp = l->tcp;
    struct tcp_conn *conn = tcp__conn_create(tcp, session->accept_ep);

    if (conn == NULL) {
        close(fd);
        nk_service_close(tcp->service, session->accept_ep, SF_CAUSE_OF(QUOTA));
    } else {
        conn->socket = tcp__socket_create(tcp, fd, tcp__conn_event, conn);
        if (conn->socket != NULL) {
            tcp__opened(conn);
        } else {
            nk_service_close(tcp->service, conn->ep, SF_CAUSE_OF(QUOTA));
            tcp__conn_end(conn);
        }
    }
    session->accept_ep = NULL;
    session->state = TCP_STATE_LISTENING;
    member_remove(session);
    member_append(l, session);
    tcp__reply(session, TCP_TAG(OK), 0);
}

static void pause_over(uv_timer_t *timer)
{
    struct tcp_listener *l = timer->data;

    l->paused = false;
    tcp__listener_deal(l);
}

void tcp__listener_deal(struct tcp_listener *l)
{
    for (uint32_t i = 0; i < DEAL_MAX && tcp__listener_waiting(l); i++) {
        int fd = accept4(l->socket->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            deal_one(l, member_waiting(l), fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            l->paused = true;
            uv_timer_start(&l->pause, pause_over, TCP_ACCEPT_PAUSE_MS, 0);
        } else if (errno == EAGAIN) {
            break;
        } /* otherwise: that peer has gone already */
    }
    tcp__socket_wait(l->socket, tcp__listener_waiting(l) ? UV_READABLE : 0);
}

static void listener_event(void *arg)
{
    tcp__listener_deal(arg);
}

/* --- life ----------------------------------------------------------------------------------------
 */

static void listener_free(uv_handle_t *timer)
{
    free(timer->data);
}

static void listener_close(struct tcp_listener *l)
{
    struct tcp_listener **link = &l->tcp->listeners;

    while (*link != l) {
        link = &(*link)->next;
    }
    *link = l->next;
    tcp__socket_close(l->socket);
    uv_close((uv_handle_t *)&l->pause, listener_free);
}

/* Takes conn's socket. */
static struct tcp_listener *listener_create(struct tcp_conn *conn, int backlog)
{
    struct tcp *tcp = conn->tcp;
    struct tcp_listener *l;

    if (conn->socket == NULL) {
        /* It was bound beside a listener that has gone since. */
        int fd = tcp__bound_socket(conn->local_ip, conn->local_port);
        if (fd >= 0) {
            conn->socket = tcp__socket_create(tcp, fd, tcp__conn_event, conn);
        }
    }
    if (conn->socket == NULL || listen(conn->socket->fd, backlog) != 0) {
        return NULL;
    }
    l = calloc(1, sizeof(*l));
    if (l == NULL) {
        return NULL;
    }
    l->tcp = tcp;
    l->ip = conn->local_ip;
    l->port = conn->local_port;
    l->last = &l->first;
    l->socket = conn->socket;
    l->socket->event = listener_event;
    l->socket->arg = l;
    conn->socket = NULL;
    uv_timer_init(tcp->loop, &l->pause);
    l->pause.data = l;
    l->next = tcp->listeners;
    tcp->listeners = l;
    return l;
}

bool tcp__listen(struct tcp_conn *conn, int32_t backlog)
{
    struct tcp_listener *l = tcp__listener_find(conn->tcp, conn->local_ip, conn->local_port);

    backlog = backlog < 1 ? 1 : backlog > TCP_BACKLOG_MAX ? TCP_BACKLOG_MAX : backlog;
    if (l == NULL) {
        l = listener_create(conn, backlog);
    } else {
        tcp__socket_close(conn->socket);
        conn->socket = NULL;
    }
    if (l == NULL) {
        return false;
    }
    member_append(l, conn);
    return true;
}

void tcp__listener_leave(struct tcp_conn *conn)
{
    struct tcp_listener *l = conn->listener;

    member_remove(conn);
    if (l->first == NULL) {
        listener_close(l);
        return;
    }
    tcp__socket_wait(l->socket, tcp__listener_waiting(l) ? UV_READABLE : 0);
}
