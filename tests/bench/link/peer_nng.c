/* SPDX-License-Identifier: Apache-2.0 */
/* NNG, a pair of pair0 sockets over TCP, default buffers and threads. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>

#include "figures.h"
#include "peer.h"

#define LINGER_US 20000

struct nanomsg {
    nng_socket socket;
};

static void must(int answer, const char *what)
{
    if (answer != 0) {
        figures_die("%s: %s", what, nng_strerror(answer));
    }
}

static void *nanomsg_open(const struct peer_setup *setup)
{
    struct nanomsg *nanomsg = calloc(1, sizeof(*nanomsg));
    char url[96];

    if (nanomsg == NULL) {
        figures_die("no memory");
    }
    (void)snprintf(url, sizeof(url), "tcp://%s:%u", setup->address, setup->port);
    must(nng_pair0_open(&nanomsg->socket), "nng_pair0_open");
    /* Its limit for a received message is 1 MiB less a little. */
    must(nng_socket_set_size(nanomsg->socket, NNG_OPT_RECVMAXSZ, 0), "recv-size-max");
    must(setup->server ? nng_listen(nanomsg->socket, url, NULL, 0)
                       : nng_dial(nanomsg->socket, url, NULL, 0),
         url);
    return nanomsg;
}

static void nanomsg_send(void *state, const void *bytes, uint32_t size)
{
    struct nanomsg *nanomsg = state;

    must(nng_send(nanomsg->socket, (void *)(uintptr_t)bytes, size, 0), "nng_send");
}

static uint32_t nanomsg_recv(void *state, void *bytes, uint32_t capacity)
{
    struct nanomsg *nanomsg = state;
    size_t size = capacity;

    must(nng_recv(nanomsg->socket, bytes, &size, 0), "nng_recv");
    return (uint32_t)size;
}

static void nanomsg_close(void *state)
{
    struct nanomsg *nanomsg = state;

    (void)usleep(LINGER_US); /* closing drops what has not left */
    (void)nng_close(nanomsg->socket);
    free(nanomsg);
}

const struct peer peer_nng = {
    .name = "nng",
    .open = nanomsg_open,
    .send = nanomsg_send,
    .recv = nanomsg_recv,
    .close = nanomsg_close,
};
