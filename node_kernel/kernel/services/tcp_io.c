/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of connections: connect, read, write, and their ends. */
#include "tcp.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define DRAIN_BYTES 16384u
#define DRAIN_ROUNDS 16u

/* --- descriptors ---------------------------------------------------------------------------------
 */

static void socket_event(uv_poll_t *poll, int status, int events)
{
    struct tcp_socket *socket = poll->data;
    (void)status; /* an error is learnt from the next call on the descriptor */
    (void)events;
    socket->event(socket->arg);
}

struct tcp_socket *tcp__socket_create(struct tcp *tcp, int fd, void (*event)(void *arg), void *arg)
{
    struct tcp_socket *socket = calloc(1, sizeof(*socket));

    if (socket == NULL || uv_poll_init(tcp->loop, &socket->poll, fd) != 0) {
        free(socket);
        close(fd);
        return NULL;
    }
    socket->fd = fd;
    socket->event = event;
    socket->arg = arg;
    socket->poll.data = socket;
    return socket;
}

static void socket_free(uv_handle_t *poll)
{
    free(poll->data);
}

void tcp__socket_close(struct tcp_socket *socket)
{
    if (socket == NULL) {
        return;
    }
    uv_close((uv_handle_t *)&socket->poll, socket_free);
    close(socket->fd);
}

void tcp__socket_wait(struct tcp_socket *socket, int events)
{
    if (events == 0) {
        uv_poll_stop(&socket->poll);
    } else {
        int error = uv_poll_start(&socket->poll, events, socket_event);
        assert(error == 0); /* it fails for closing handles only */
        (void)error;
    }
}

int tcp__bound_socket(uint32_t ip, uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1, error;

    if (fd < 0) {
        return -1;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* --- connect -------------------------------------------------------------------------------------
 */

static enum TcpConnectionContract_TcpError error_of(int error)
{
    switch (error) {
    case EISCONN:
    case EALREADY:
        return TCP_ERROR(AlreadyConnected);
    case ECONNREFUSED:
        return TCP_ERROR(Refused);
    case ECONNRESET:
    case ECONNABORTED:
        return TCP_ERROR(Reset);
    case ETIMEDOUT:
        return TCP_ERROR(Timeout);
    case EPROTO:
        return TCP_ERROR(ProtocolViolation);
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EADDRNOTAVAIL:
        return TCP_ERROR(ResourcesExhausted);
    case EPIPE:
        return TCP_ERROR(Closed);
    default:
        return TCP_ERROR(Unknown);
    }
}

static void connect_failed(struct tcp_conn *conn, enum TcpConnectionContract_TcpError error)
{
    uv_timer_stop(&conn->timer);
    tcp__socket_close(conn->socket);
    conn->socket = NULL;
    conn->state = TCP_STATE_IDLE;
    tcp__reply(conn, TCP_TAG(CouldNotConnect), error);
}

static void address_read(int fd, int (*get)(int, struct sockaddr *, socklen_t *), uint32_t *out_ip,
                         uint16_t *out_port)
{
    struct sockaddr_in address = {0};
    socklen_t length = sizeof(address);

    if (get(fd, (struct sockaddr *)&address, &length) == 0) {
        *out_ip = ntohl(address.sin_addr.s_addr);
        *out_port = ntohs(address.sin_port);
    }
}

static int name_local(int fd, struct sockaddr *address, socklen_t *length)
{
    return getsockname(fd, address, length);
}

static int name_remote(int fd, struct sockaddr *address, socklen_t *length)
{
    return getpeername(fd, address, length);
}

void tcp__opened(struct tcp_conn *conn)
{
    int one = 1, fd = conn->socket->fd;

    /* A message is a whole: nothing is gained by waiting for more. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    /* Kept, because a broken socket forgets them. */
    address_read(fd, name_local, &conn->local_ip, &conn->local_port);
    address_read(fd, name_remote, &conn->remote_ip, &conn->remote_port);
    conn->can_send = conn->can_receive = true;
    conn->at_end = conn->broken = false;
    conn->state = TCP_STATE_OPEN;
}

static void connect_done(struct tcp_conn *conn)
{
    uv_timer_stop(&conn->timer);
    tcp__socket_wait(conn->socket, 0);
    tcp__opened(conn);
    tcp__reply(conn, TCP_TAG(OK), 0);
}

static void connect_event(struct tcp_conn *conn)
{
    struct tcp_info info;
    int error = 0;
    socklen_t length = sizeof(error);

    if (getsockopt(conn->socket->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) {
        error = errno;
    }
    if (error != 0) {
        connect_failed(conn, error_of(error));
        return;
    }
    length = sizeof(info);
    if (getsockopt(conn->socket->fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 &&
        (info.tcpi_state == TCP_SYN_SENT || info.tcpi_state == TCP_SYN_RECV)) {
        tcp__socket_wait(conn->socket, UV_WRITABLE);
        return; /* woken for nothing */
    }
    connect_done(conn);
}

static void connect_late(uv_timer_t *timer)
{
    connect_failed(timer->data, TCP_ERROR(Timeout));
}

void tcp__connect(struct tcp_conn *conn, uint32_t ip, uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip)};
    int error;

    conn->remote_ip = ip;
    conn->remote_port = port;
    if (conn->socket == NULL) {
        /* Bound beside a listener that was there: now the address itself is needed. */
        int fd = conn->state == TCP_STATE_BOUND
                     ? tcp__bound_socket(conn->local_ip, conn->local_port)
                     : socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            connect_failed(conn, error_of(errno));
            return;
        }
        conn->socket = tcp__socket_create(conn->tcp, fd, tcp__conn_event, conn);
        if (conn->socket == NULL) {
            connect_failed(conn, TCP_ERROR(ResourcesExhausted));
            return;
        }
    }
    /* The system takes 0.0.0.0 for itself and port 0 for a port; a client means neither. */
    error = ip == 0 || port == 0                                                           ? EINVAL
            : connect(conn->socket->fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? 0
                                                                                           : errno;
    if (error == 0) {
        connect_done(conn);
    } else if (error != EINPROGRESS) {
        connect_failed(conn, error_of(error));
    } else {
        conn->state = TCP_STATE_CONNECTING;
        tcp__socket_wait(conn->socket, UV_WRITABLE);
        uv_timer_start(&conn->timer, connect_late, TCP_CONNECT_MS, 0);
    }
}

/* --- read ----------------------------------------------------------------------------------------
 */

uint32_t tcp__available(const struct tcp_conn *conn)
{
    int bytes = 0;

    return ioctl(conn->socket->fd, FIONREAD, &bytes) == 0 && bytes > 0 ? (uint32_t)bytes : 0;
}

/* Nothing is there now: data to come, the end, or an error? */
static bool read_ended(struct tcp_conn *conn)
{
    uint8_t byte;
    ssize_t n = recv(conn->socket->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))) {
        return false;
    }
    conn->at_end = true;
    conn->broken = n < 0;
    return true;
}

static void read_finish(struct tcp_conn *conn)
{
    uv_timer_stop(&conn->timer);
    tcp__socket_wait(conn->socket, 0);
    conn->state = TCP_STATE_OPEN;
}

/* No data will ever come: which of the two the contract has for that depends on our direction. */
static void read_reply_end(struct tcp_conn *conn)
{
    enum TcpConnectionContract_tag tag = TCP_TAG(NoMoreData);

    if (conn->can_send && conn->broken) {
        tag = TCP_TAG(ConnectionClosed);
        conn->can_send = false;
    }
    conn->can_receive = false;
    read_finish(conn);
    tcp__reply(conn, tag, 0);
}

static void read_reply_data(struct tcp_conn *conn, struct xh_block *block)
{
    struct fab_msg msg = {.tag = TCP_TAG(Data), .arg_count = 1};
    sf_status st;

    msg.args[0].block = block;
    read_finish(conn);
    st = nk_service_send(conn->tcp->service, conn->ep, &msg);
    assert(st == SF_OK);
    (void)st;
}

enum read_result { READ_DONE, READ_WAIT, READ_NO_MEMORY };

static enum read_result read_try(struct tcp_conn *conn)
{
    struct tcp *tcp = conn->tcp;
    struct xh_block *block;
    uint32_t bytes = tcp__available(conn);
    ssize_t n;
    sf_status st;

    if (bytes == 0) {
        if (!read_ended(conn)) {
            return READ_WAIT;
        }
        read_reply_end(conn);
        return READ_DONE;
    }
    if (bytes > TCP_READ_BYTES_MAX) {
        bytes = TCP_READ_BYTES_MAX;
    }
    st = xh_alloc(tcp->heap, bytes, tcp->owner, &block);
    if (st != SF_OK) {
        return READ_NO_MEMORY;
    }
    n = recv(conn->socket->fd, block->data, bytes, MSG_DONTWAIT);
    if (n <= 0) {
        (void)xh_free(tcp->heap, block, tcp->owner);
        return READ_WAIT; /* the next try sees why */
    }
    if ((uint32_t)n < bytes) {
        st = xh_trim(tcp->heap, block, (uint32_t)n);
        assert(st == SF_OK);
    }
    read_reply_data(conn, block);
    return READ_DONE;
}

static void read_again(uv_timer_t *timer);

/* Tries; if nothing is there, waits for the socket, the PollRead's end, or memory. */
static void read_go_on(struct tcp_conn *conn)
{
    enum read_result result = read_try(conn);
    uint64_t now_ms = uv_now(conn->tcp->loop);
    uint64_t wait_ms = UINT64_MAX;

    if (result == READ_DONE) {
        return;
    }
    if (conn->poll_read && now_ms >= conn->deadline_ms) {
        read_finish(conn);
        tcp__reply(conn, TCP_TAG(NoData), 0);
        return;
    }
    if (conn->poll_read && conn->deadline_ms != UINT64_MAX) {
        wait_ms = conn->deadline_ms - now_ms;
    }
    if (result == READ_NO_MEMORY && wait_ms > TCP_RETRY_MS) {
        wait_ms = TCP_RETRY_MS;
    }
    tcp__socket_wait(conn->socket, result == READ_NO_MEMORY ? 0 : UV_READABLE);
    if (wait_ms != UINT64_MAX) {
        uv_timer_start(&conn->timer, read_again, wait_ms, 0);
    } else {
        uv_timer_stop(&conn->timer);
    }
}

static void read_again(uv_timer_t *timer)
{
    read_go_on(timer->data);
}

void tcp__read(struct tcp_conn *conn, bool poll_read, int32_t timeout_ms)
{
    conn->state = TCP_STATE_READING;
    conn->poll_read = poll_read;
    conn->deadline_ms = UINT64_MAX;
    if (poll_read && timeout_ms >= 0) { /* below 0: as long as it takes */
        if (timeout_ms > 0) {
            uv_update_time(conn->tcp->loop);
        }
        conn->deadline_ms = uv_now(conn->tcp->loop) + (uint64_t)timeout_ms;
    }
    read_go_on(conn);
}

/* --- write ---------------------------------------------------------------------------------------
 */

static void write_finish(struct tcp_conn *conn, enum TcpConnectionContract_tag tag)
{
    sf_status st = xh_free(conn->tcp->heap, conn->block, conn->tcp->owner);

    assert(st == SF_OK);
    (void)st;
    conn->block = NULL;
    tcp__socket_wait(conn->socket, 0);
    conn->state = TCP_STATE_OPEN;
    if (tag == TCP_TAG(CantSend)) {
        conn->can_send = false;
        conn->broken = true;
    }
    tcp__reply(conn, tag, 0);
}

static void write_go_on(struct tcp_conn *conn)
{
    while (conn->written < conn->block->bytes) {
        ssize_t n = send(conn->socket->fd, conn->block->data + conn->written,
                         conn->block->bytes - conn->written, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM) {
            write_finish(conn, TCP_TAG(CantSend));
            return;
        }
        if (n < 0) {
            tcp__socket_wait(conn->socket, UV_WRITABLE);
            return;
        }
        conn->written += (uint32_t)n;
    }
    write_finish(conn, TCP_TAG(OK));
}

void tcp__write(struct tcp_conn *conn, struct xh_block *block)
{
    conn->state = TCP_STATE_WRITING;
    conn->block = block;
    conn->written = 0;
    write_go_on(conn);
}

/* --- ends ----------------------------------------------------------------------------------------
 */

void tcp__abort(struct tcp_conn *conn)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    if (conn->socket != NULL) {
        (void)setsockopt(conn->socket->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    tcp__conn_end(conn);
}

/* Throws away what the peer still sends. True: it has ended, too. */
static bool linger_drain(struct tcp_conn *conn)
{
    static uint8_t nowhere[DRAIN_BYTES];

    for (uint32_t i = 0; i < DRAIN_ROUNDS; i++) {
        ssize_t n = recv(conn->socket->fd, nowhere, sizeof(nowhere), MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            return true;
        }
        if (n < 0) {
            return false;
        }
    }
    return false;
}

static void linger_late(uv_timer_t *timer)
{
    tcp__conn_end(timer->data);
}

/*
 * Closing a socket with unread data makes the system send a reset, which can destroy what the peer
 * has not read yet: so FIN first, then read until the peer's FIN.
 */
void tcp__finish(struct tcp_conn *conn)
{
    bool connected = conn->state == TCP_STATE_OPEN || conn->state == TCP_STATE_READING;

    assert(conn->ep == NULL);
    if (!connected || conn->broken || shutdown(conn->socket->fd, SHUT_WR) != 0 ||
        linger_drain(conn) || conn->tcp->lingering_count >= TCP_LINGERING_MAX) {
        tcp__conn_end(conn);
        return;
    }
    conn->state = TCP_STATE_LINGERING;
    conn->tcp->lingering_count++;
    tcp__socket_wait(conn->socket, UV_READABLE);
    uv_timer_start(&conn->timer, linger_late, TCP_LINGER_MS, 0);
}

void tcp__conn_event(void *arg)
{
    struct tcp_conn *conn = arg;

    switch (conn->state) {
    case TCP_STATE_CONNECTING:
        connect_event(conn);
        break;
    case TCP_STATE_READING:
        read_go_on(conn);
        break;
    case TCP_STATE_WRITING:
        write_go_on(conn);
        break;
    case TCP_STATE_LINGERING:
        if (linger_drain(conn)) {
            tcp__conn_end(conn);
        } else {
            tcp__socket_wait(conn->socket, UV_READABLE);
        }
        break;
    default:
        tcp__socket_wait(conn->socket, 0);
        break;
    }
}
