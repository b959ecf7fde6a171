/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ZeroMQ, a pair of PAIR sockets over TCP. Closing waits until everything has left: a process that
 * exits right after its last send may take the message with it.
 */
#include <stdio.h>
#include <stdlib.h>

#include <zmq.h>

#include "figures.h"
#include "peer.h"

struct zeromq {
    void *context, *socket;
};

static void *zeromq_open(const struct peer_setup *setup)
{
    struct zeromq *zeromq = calloc(1, sizeof(*zeromq));
    char url[96];

    (void)snprintf(url, sizeof(url), "tcp://%s:%u", setup->address, setup->port);
    if (zeromq == NULL || (zeromq->context = zmq_ctx_new()) == NULL ||
        (zeromq->socket = zmq_socket(zeromq->context, ZMQ_PAIR)) == NULL ||
        (setup->server ? zmq_bind(zeromq->socket, url) : zmq_connect(zeromq->socket, url)) != 0) {
        figures_die("%s: %s", url, zmq_strerror(zmq_errno()));
    }
    return zeromq;
}

static void zeromq_send(void *state, const void *bytes, uint32_t size)
{
    struct zeromq *zeromq = state;

    if (zmq_send(zeromq->socket, bytes, size, 0) != (int)size) {
        figures_die("zmq_send: %s", zmq_strerror(zmq_errno()));
    }
}

static uint32_t zeromq_recv(void *state, void *bytes, uint32_t capacity)
{
    struct zeromq *zeromq = state;
    int got = zmq_recv(zeromq->socket, bytes, capacity, 0);

    if (got <= 0 || (uint32_t)got > capacity) {
        figures_die("zmq_recv: %d bytes, %s", got, zmq_strerror(zmq_errno()));
    }
    return (uint32_t)got;
}

static void zeromq_close(void *state)
{
    struct zeromq *zeromq = state;

    (void)zmq_close(zeromq->socket);
    (void)zmq_ctx_term(zeromq->context);
    free(zeromq);
}

const struct peer peer_zmq = {
    .name = "zmq",
    .open = zeromq_open,
    .send = zeromq_send,
    .recv = zeromq_recv,
    .close = zeromq_close,
};
