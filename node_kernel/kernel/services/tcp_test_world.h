/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_test_world.h - what the tests of the TCP service stand on: a kernel core with one service,
 * its importer, a peer on loopback, and audits.
 *
 * Model: the test is the importer: it sends and receives on endpoints as a SIP would, and plays the
 * peer with plain sockets. turn() lets the core and libuv run until nothing is left to do. What
 * waits (receive, expect_closed, peer_recv) turns until it happens, at most TURNS_SECONDS_MAX.
 * teardown fails a test that leaves a block, a descriptor or a broken invariant behind.
 *
 * Threads: one. Errors: everything asserts. Ownership: endpoints returned are the test's; finish,
 * release and expect_closed end them; descriptors of peers are closed by the test.
 */
#ifndef SERVICES_TCP_TEST_WORLD_H
#define SERVICES_TCP_TEST_WORLD_H

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/types.h>

#include <cmocka.h>

#include "services/tcp.h"

#define LOOPBACK 0x7f000001u
#define ME XH_OWNER(XH_OWNER_SERVICE, 999) /* owner of the importer's blocks */
#define TURNS_SECONDS_MAX 20u
#define NUMBER 7u /* of the service */

struct world {
    uv_loop_t loop;
    struct nk_kernel *kernel;
    struct fab_node *fabric;
    const struct ct_contract *tcp, *connection;
    struct fab_ep *client; /* the channel to the service; NULL: the test has closed it */
    uint32_t descriptors;  /* before the service was made */
    char log[256];         /* last line */
};
extern struct world world;

int setup(void **state);
int setup_small(void **state); /* a service of 3 connections */
int teardown(void **state);
void expect_nothing_left(void);

uint64_t now_ns(void);
void turn(void);
void turns_ms(uint32_t ms);

/* --- messages ------------------------------------------------------------------------------------
 */

void send_message(struct fab_ep *ep, uint8_t tag, uint8_t arg_count, uint64_t a, uint64_t b);
#define SEND(ep, name) send_message(ep, TCP_TAG(name), 0, 0, 0)
#define SEND1(ep, name, a) send_message(ep, TCP_TAG(name), 1, (uint64_t)(a), 0)
#define SEND2(ep, name, a, b) send_message(ep, TCP_TAG(name), 2, a, b)
/* Waits for the next message, which must be that one. */
struct fab_msg receive(struct fab_ep *ep, uint8_t tag);
#define RECEIVE(ep, name) receive(ep, TCP_TAG(name))

void expect_state(const struct fab_ep *ep, const char *name);
void expect_silence(const struct fab_ep *ep, uint32_t ms);
void expect_closed(struct fab_ep *ep, uint8_t kind);
void release(struct fab_ep *ep);
/* Close message, and the channel ends. */
void finish(struct fab_ep *ep);
void write_bytes(struct fab_ep *ep, const void *bytes, uint32_t count);
void read_text(struct fab_ep *ep, const char *text);

/* --- sessions ------------------------------------------------------------------------------------
 */

struct fab_ep *session_ask(void);
struct fab_ep *session(void);
/* A listening session; *port 0: any, answered. */
struct fab_ep *listener(uint16_t *port);
/* Sends Accept; answers the importer's end of the new connection. */
struct fab_ep *accept_ask(struct fab_ep *ep);
/* A connection in state Connected and its peer. */
struct fab_ep *connected(int *out_peer);
uint16_t local_port(struct fab_ep *ep);

/* --- the peer ------------------------------------------------------------------------------------
 */

struct sockaddr_in loopback(uint16_t port);
int peer_connect(uint16_t port);
int peer_listen(uint16_t *out_port);
/* A port on which nobody listens: bound, so that nobody else takes it. */
int peer_silent(uint16_t *out_port);
/* A port that takes no more connections: its backlog is full, further SYNs are dropped. */
uint16_t peer_full(int fds[8]);
/* Next answer of recv while the service runs. */
ssize_t peer_recv(int fd, void *buffer, size_t capacity);
void peer_expect(int fd, const char *text);
void peer_expect_end(int fd);
void peer_expect_reset(int fd);
void peer_send(int fd, const char *text);
void peer_reset(int fd);

#endif
