/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp.h - the TCP service: exports TcpContract, and serves the TcpConnectionContract endpoints that
 * its clients create through it. Private to the service's files.
 *
 * Model: a client is one channel on the export; a connection is one TcpConnectionContract endpoint
 * with at most one socket; a listener is one listening socket, shared by all connections that
 * listen on the same address and port. Sockets are the node's, never block, and are watched only
 * while something waits for them.
 *
 *   tcp.c         the service, its clients, the tags of the contract
 *   tcp_conn.c    one connection: what each message does, by one table
 *   tcp_io.c      sockets: connect, read, write, polite end
 *   tcp_listen.c  listeners: who gets the next connection
 *
 * Semantics are those of Singularity's TCP service: Read waits for data or the end;
 * PollRead at most its time-out; Write is answered when the system has taken all of it, never
 * partly; Close sends what was written, then FIN, and lets the peer finish for TCP_LINGER_MS;
 * Abort resets. When the client's endpoint closes, its socket is ended as by Close; in the middle
 * of a Write, as by Abort, so that the peer does not take half for the whole.
 *
 * Listeners: an arriving connection stays in the system's backlog until a session has an Accept
 * pending; sessions are served in turn. A session that dies takes nothing with it; the backlog is
 * lost only with the last session of an address.
 *
 * Threads: the pump's. Nothing here blocks.
 * Memory: a connection holds at most one block (being written) between events; reads wait for heap
 * memory, retried every TCP_RETRY_MS.
 * Limits: config `connections` (default TCP_CONNECTIONS_DEFAULT) on sessions and connections
 * together. Over it: a new session's endpoint closes with QUOTA, arriving connections wait in the
 * backlog. TCP_CLIENTS_MAX clients.
 */
#ifndef SERVICES_TCP_H
#define SERVICES_TCP_H

#include <uv.h>

#include "TcpConnectionContract_monitor.h"
#include "nk.h"

#define TCP_CONNECTIONS_DEFAULT 1024u
#define TCP_CONNECTIONS_MAX 65536u
#define TCP_CLIENTS_MAX 1024u
#define TCP_READ_BYTES_MAX (64u << 10)
#define TCP_BACKLOG_MAX 4096
#define TCP_CONNECT_MS 15000u
#define TCP_LINGER_MS 10000u
#define TCP_LINGERING_MAX 512u
#define TCP_RETRY_MS 20u
#define TCP_ACCEPT_PAUSE_MS 100u

#define TCP_TAG(name) TcpConnectionContract_tag_##name
#define TCP_ERROR(name) TcpConnectionContract_TcpError_##name

/* What a connection is doing. In brackets: the contract states it stands for. */
enum tcp_state {
    TCP_STATE_IDLE,       /* [ReadyState] no socket */
    TCP_STATE_BOUND,      /* [Bound] a bound socket, or none if there is a listener to join */
    TCP_STATE_CONNECTING, /* [ConnectResult] */
    TCP_STATE_LISTENING,  /* [Listening] */
    TCP_STATE_ACCEPTING,  /* [Listening.n] waits for a peer, holds accept_ep */
    TCP_STATE_OPEN,       /* [Connected, ReceiveOnly, SendOnly, Zombie] nothing pending */
    TCP_STATE_READING,    /* [..ReadResult, ..PollReadResult] */
    TCP_STATE_WRITING,    /* [..WriteResult] holds block */
    TCP_STATE_LINGERING,  /* no endpoint any more: FIN sent, waits for the peer's */
    TCP_STATE_ENDED,      /* memory waits for libuv */
};

struct tcp;
struct tcp_conn;

/* What ready() gets as user. */
struct tcp_object {
    enum { TCP_OBJECT_CLIENT, TCP_OBJECT_CONN } kind;
};

struct tcp_client {
    struct tcp_object object;
    struct tcp_client *next, **link;
    struct fab_ep *ep;
};

/* One file descriptor and its watcher; its memory goes when libuv is done with it. */
struct tcp_socket {
    uv_poll_t poll;
    int fd;
    void (*event)(void *arg); /* it may be readable, writable or broken */
    void *arg;
};

struct tcp_listener {
    struct tcp *tcp;
    struct tcp_listener *next;
    uint32_t ip;
    uint16_t port;
    struct tcp_socket *socket;
    uv_timer_t pause;               /* the system was out of descriptors or memory */
    struct tcp_conn *first, **last; /* members; who was served last is at the end */
    bool paused;
};

struct tcp_conn {
    struct tcp_object object;
    struct tcp *tcp;
    struct tcp_conn *next, **link; /* all connections of the service */
    enum tcp_state state;
    struct fab_ep *ep;
    struct tcp_socket *socket;
    uv_timer_t timer;
    bool can_send, can_receive; /* as the contract state says */
    bool at_end;                /* the peer has sent all, or the connection is broken */
    bool broken;                /* reset or timed out: both directions are gone */
    bool poll_read;             /* READING: a PollRead */
    uint64_t deadline_ms;       /* READING: loop time at which a PollRead ends */
    struct xh_block *block;     /* WRITING */
    uint32_t written;
    uint32_t local_ip, remote_ip;
    uint16_t local_port, remote_port;
    struct tcp_listener *listener; /* LISTENING, ACCEPTING */
    struct tcp_conn *member_next, **member_link;
    struct fab_ep *accept_ep;
};

struct tcp {
    struct nk_service *service;
    uv_loop_t *loop;
    struct xh_heap *heap;
    uint64_t owner;
    struct tcp_client *clients;
    struct tcp_conn *conns;
    struct tcp_listener *listeners;
    uint32_t client_count, conn_count, conn_count_max, lingering_count;
    bool limit_said;
};

/* tcp.c */
/* Sends a message with at most one argument; it is legal in the endpoint's state. */
void tcp__send(struct tcp *tcp, struct fab_ep *ep, enum TcpConnectionContract_tag tag,
               uint64_t scalar);

/* tcp_conn.c */
/* NULL: no memory. Takes ep, which waits for a Ready. */
struct tcp_conn *tcp__conn_create(struct tcp *tcp, struct fab_ep *ep);
void tcp__conn_ready(struct tcp_conn *conn, struct fab_ep *ep);
/* Socket, block, listener and timer go; the endpoint is not touched. */
void tcp__conn_end(struct tcp_conn *conn);
bool tcp__full(const struct tcp *tcp);
void tcp__reply(struct tcp_conn *conn, enum TcpConnectionContract_tag tag, uint64_t scalar);

/* tcp_io.c */
/* Takes fd, also on failure (NULL). */
struct tcp_socket *tcp__socket_create(struct tcp *tcp, int fd, void (*event)(void *arg), void *arg);
void tcp__socket_close(struct tcp_socket *socket);            /* takes NULL */
void tcp__socket_wait(struct tcp_socket *socket, int events); /* UV_READABLE, UV_WRITABLE, 0 */
/* -1 with errno: a non-blocking socket bound to ip and port. */
int tcp__bound_socket(uint32_t ip, uint16_t port);
void tcp__conn_event(void *arg);
void tcp__connect(struct tcp_conn *conn, uint32_t ip, uint16_t port);
void tcp__opened(struct tcp_conn *conn); /* the socket is connected */
void tcp__read(struct tcp_conn *conn, bool poll_read, int32_t timeout_ms);
void tcp__write(struct tcp_conn *conn, struct xh_block *block);
uint32_t tcp__available(const struct tcp_conn *conn);
/* Ends a connection whose endpoint is gone: in good order, or by a reset. */
void tcp__finish(struct tcp_conn *conn);
void tcp__abort(struct tcp_conn *conn);

/* tcp_listen.c */
struct tcp_listener *tcp__listener_find(const struct tcp *tcp, uint32_t ip, uint16_t port);
/* Joins or makes the listener for conn's local address; takes conn's socket. False: cannot. */
bool tcp__listen(struct tcp_conn *conn, int32_t backlog);
void tcp__listener_leave(struct tcp_conn *conn);
/* Deals out what waits; watches the socket exactly while someone could take a connection. */
void tcp__listener_deal(struct tcp_listener *listener);
bool tcp__listener_waiting(const struct tcp_listener *listener);

#endif
