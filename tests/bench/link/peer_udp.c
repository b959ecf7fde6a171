/* SPDX-License-Identifier: Apache-2.0 */
/* UDP, one datagram a message, connected sockets, default buffers. Nothing is repeated. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "figures.h"
#include "peer.h"

#define PATIENCE_US 20000

struct udp {
    int handle;
    bool server, spin, connected;
    uint64_t patience_ticks;
};

static void *udp_open(const struct peer_setup *setup)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(setup->port)};
    struct timeval patience = {.tv_usec = PATIENCE_US};
    struct udp *udp = calloc(1, sizeof(*udp));

    if (udp == NULL || inet_pton(AF_INET, setup->address, &address.sin_addr) != 1) {
        figures_die("'%s' is no IPv4 address", setup->address);
    }
    udp->server = setup->server;
    udp->spin = setup->spin;
    udp->patience_ticks = figures_ticks_of(PATIENCE_US / 1e6);
    udp->handle = socket(AF_INET, SOCK_DGRAM, 0);
    if (udp->handle < 0 ||
        setsockopt(udp->handle, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
        (setup->server ? bind(udp->handle, (struct sockaddr *)&address, sizeof(address))
                       : connect(udp->handle, (struct sockaddr *)&address, sizeof(address))) != 0) {
        figures_die("%s port %u: %s", setup->address, setup->port, strerror(errno));
    }
    udp->connected = !setup->server;
    return udp;
}

static void udp_send(void *state, const void *bytes, uint32_t size)
{
    struct udp *udp = state;

    while (send(udp->handle, bytes, size, 0) < 0) {
        if (errno != ENOBUFS && errno != EINTR && errno != EAGAIN) {
            figures_die("send: %s", strerror(errno));
        }
    }
}

/* The server takes its first sender for its client. */
static ssize_t receive_first(struct udp *udp, void *bytes, uint32_t capacity)
{
    struct sockaddr_in from;
    socklen_t length = sizeof(from);
    ssize_t got = recvfrom(udp->handle, bytes, capacity, 0, (struct sockaddr *)&from, &length);

    if (got >= 0 && connect(udp->handle, (struct sockaddr *)&from, length) != 0) {
        figures_die("connect: %s", strerror(errno));
    }
    udp->connected = got >= 0;
    return got;
}

static uint32_t udp_recv(void *state, void *bytes, uint32_t capacity)
{
    struct udp *udp = state;
    uint64_t begin = figures_ticks();

    for (;;) {
        ssize_t got = !udp->connected
                          ? receive_first(udp, bytes, capacity)
                          : recv(udp->handle, bytes, capacity, udp->spin ? MSG_DONTWAIT : 0);

        if (got >= 0) {
            return (uint32_t)got;
        }
        if (errno != EAGAIN && errno != EINTR) {
            figures_die("recv: %s", strerror(errno));
        }
        if (!udp->spin || figures_ticks() - begin > udp->patience_ticks) {
            return 0;
        }
    }
}

static void udp_close(void *state)
{
    struct udp *udp = state;

    (void)close(udp->handle);
    free(udp);
}

const struct peer peer_udp = {
    .name = "udp",
    .lossy = true,
    .open = udp_open,
    .send = udp_send,
    .recv = udp_recv,
    .close = udp_close,
};
