/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP with TCP_NODELAY. Each message has its length in 4 bytes in front. The receiver reads up to
 * BUFFER_BYTES at a time and cuts messages out of that; a large rest goes straight to its place.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "figures.h"
#include "peer.h"

#define BUFFER_BYTES 65536u
#define BATCH_BYTES 16384u
#define SMALL_BYTES_MAX 1024u /* copied behind their length, for one send */
#define CONNECT_TRIES_MAX 200u

struct tcp {
    int listener, stream, flags;
    bool batch;
    uint32_t held;         /* bytes of out that wait for a flush */
    uint32_t begin, ready; /* of in: not yet taken from, filled up to */
    uint8_t out[BATCH_BYTES + SMALL_BYTES_MAX + 4];
    uint8_t in[BUFFER_BYTES];
};

static struct sockaddr_in address_of(const struct peer_setup *setup)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(setup->port)};

    if (inet_pton(AF_INET, setup->address, &address.sin_addr) != 1) {
        figures_die("'%s' is no IPv4 address", setup->address);
    }
    return address;
}

static void nodelay(int stream)
{
    int one = 1;

    if (setsockopt(stream, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0) {
        figures_die("TCP_NODELAY: %s", strerror(errno));
    }
}

static void *tcp_open(const struct peer_setup *setup)
{
    struct sockaddr_in address = address_of(setup);
    struct tcp *tcp = calloc(1, sizeof(*tcp));
    int handle = socket(AF_INET, SOCK_STREAM, 0);
    int one = 1;

    if (tcp == NULL || handle < 0) {
        figures_die("no socket: %s", strerror(errno));
    }
    tcp->listener = tcp->stream = -1;
    tcp->flags = setup->spin ? MSG_DONTWAIT : 0;
    tcp->batch = setup->batch;
    if (setup->server) {
        (void)setsockopt(handle, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (bind(handle, (struct sockaddr *)&address, sizeof(address)) != 0 ||
            listen(handle, 1) != 0) {
            figures_die("%s port %u: %s", setup->address, setup->port, strerror(errno));
        }
        tcp->listener = handle;
        return tcp;
    }
    if (setup->congestion != NULL &&
        setsockopt(handle, IPPROTO_TCP, TCP_CONGESTION, setup->congestion,
                   (socklen_t)strlen(setup->congestion)) != 0) {
        figures_die("congestion control %s: %s", setup->congestion, strerror(errno));
    }
    for (uint32_t i = 0; connect(handle, (struct sockaddr *)&address, sizeof(address)) != 0; i++) {
        if (i == CONNECT_TRIES_MAX) {
            figures_die("%s port %u: %s", setup->address, setup->port, strerror(errno));
        }
        (void)usleep(10000);
    }
    nodelay(handle);
    tcp->stream = handle;
    return tcp;
}

static void send_all(const struct tcp *tcp, struct iovec *parts, int count)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};

    while (message.msg_iovlen > 0) {
        ssize_t sent = sendmsg(tcp->stream, &message, MSG_NOSIGNAL);

        if (sent < 0) {
            figures_die("send: %s", strerror(errno));
        }
        while (message.msg_iovlen > 0 && (size_t)sent >= message.msg_iov->iov_len) {
            sent -= (ssize_t)message.msg_iov->iov_len;
            message.msg_iov++;
            message.msg_iovlen--;
        }
        if (message.msg_iovlen > 0) {
            message.msg_iov->iov_base = (uint8_t *)message.msg_iov->iov_base + sent;
            message.msg_iov->iov_len -= (size_t)sent;
        }
    }
}

static void tcp_flush(void *state)
{
    struct tcp *tcp = state;
    struct iovec part = {.iov_base = tcp->out, .iov_len = tcp->held};

    if (tcp->held > 0) {
        tcp->held = 0;
        send_all(tcp, &part, 1);
    }
}

static void tcp_send(void *state, const void *bytes, uint32_t size)
{
    struct tcp *tcp = state;

    if (size <= SMALL_BYTES_MAX) {
        memcpy(tcp->out + tcp->held, &size, sizeof(size));
        memcpy(tcp->out + tcp->held + sizeof(size), bytes, size);
        tcp->held += (uint32_t)sizeof(size) + size;
        if (!tcp->batch || tcp->held >= BATCH_BYTES) {
            tcp_flush(tcp);
        }
        return;
    }
    struct iovec parts[] = {
        {.iov_base = &size, .iov_len = sizeof(size)},
        {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size},
    };
    tcp_flush(tcp);
    send_all(tcp, parts, 2);
}

/* At least one byte. */
static uint32_t read_some(const struct tcp *tcp, void *bytes, uint32_t capacity)
{
    for (;;) {
        ssize_t got = recv(tcp->stream, bytes, capacity, tcp->flags);

        if (got > 0) {
            return (uint32_t)got;
        }
        if (got == 0) {
            figures_die("the other side has closed the connection");
        }
        if (errno != EAGAIN && errno != EINTR) {
            figures_die("recv: %s", strerror(errno));
        }
    }
}

static void take(struct tcp *tcp, uint8_t *bytes, uint32_t size)
{
    while (size > 0) {
        uint32_t there = tcp->ready - tcp->begin;
        uint32_t part = there < size ? there : size;

        if (there == 0 && size >= BUFFER_BYTES) {
            part = read_some(tcp, bytes, size);
        } else if (there == 0) {
            tcp->begin = 0;
            tcp->ready = read_some(tcp, tcp->in, BUFFER_BYTES);
            continue;
        } else {
            memcpy(bytes, tcp->in + tcp->begin, part);
            tcp->begin += part;
        }
        bytes += part;
        size -= part;
    }
}

static uint32_t tcp_recv(void *state, void *bytes, uint32_t capacity)
{
    struct tcp *tcp = state;
    uint32_t size;

    if (tcp->stream < 0) {
        tcp->stream = accept(tcp->listener, NULL, NULL);
        if (tcp->stream < 0) {
            figures_die("accept: %s", strerror(errno));
        }
        nodelay(tcp->stream);
    }
    take(tcp, (uint8_t *)&size, sizeof(size));
    if (size > capacity) {
        figures_die("a message of %u bytes", size);
    }
    take(tcp, bytes, size);
    return size;
}

static void tcp_close(void *state)
{
    struct tcp *tcp = state;

    (void)close(tcp->stream);
    (void)close(tcp->listener);
    free(tcp);
}

const struct peer peer_tcp = {
    .name = "tcp",
    .open = tcp_open,
    .send = tcp_send,
    .flush = tcp_flush,
    .recv = tcp_recv,
    .close = tcp_close,
};
