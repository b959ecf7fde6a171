/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_endpoints.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

#define TRY_NS 50000000u

/* One message: a byte with the length, and the endpoint; always all of it. */
struct note {
    uint8_t length;
    uint8_t bytes[sizeof(((struct link_endpoint *)NULL)->bytes)];
};

static int listener = -1;
static int stream = -1;
static bool connected;
static uint64_t try_next_ns;
static struct link_endpoint told;
static struct note coming;
static size_t coming_bytes;

static int socket_make(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;

    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    return fd;
}

static void drop(void)
{
    (void)close(stream);
    stream = -1;
    connected = false;
    told.length = 0;
    coming_bytes = 0;
}

static void serve(uint32_t us)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(BENCH_ENDPOINTS_PORT),
                             .sin_addr.s_addr = htonl(us)};

    if (listener < 0) {
        listener = socket_make();
        if (bind(listener, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(listener, 1) != 0) {
            (void)close(listener);
            listener = -1;
            return;
        }
    }
    stream = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    connected = stream >= 0;
}

static void reach(uint32_t peer)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(BENCH_ENDPOINTS_PORT),
                             .sin_addr.s_addr = htonl(peer)};

    if (stream < 0) {
        stream = socket_make();
    }
    if (connect(stream, (struct sockaddr *)&at, sizeof(at)) == 0 || errno == EISCONN) {
        connected = true;
    } else if (errno != EINPROGRESS && errno != EALREADY) {
        drop();
    }
}

static void tell(struct pump *pump, uint16_t peer_id)
{
    struct link_endpoint now;
    struct note note = {.length = 0};

    if (pump_peer_endpoint_get(pump, peer_id, &now) != SF_OK ||
        (now.length == told.length && memcmp(now.bytes, told.bytes, now.length) == 0)) {
        return;
    }
    note.length = now.length;
    memcpy(note.bytes, now.bytes, now.length);
    if (send(stream, &note, sizeof(note), MSG_NOSIGNAL) == (ssize_t)sizeof(note)) {
        told = now;
    } else {
        drop();
    }
}

static void hear(struct pump *pump, uint16_t peer_id)
{
    ssize_t got;

    errno = 0;
    while ((got = recv(stream, (uint8_t *)&coming + coming_bytes, sizeof(coming) - coming_bytes,
                       0)) > 0) {
        struct link_endpoint its = {.length = coming.length};

        coming_bytes += (size_t)got;
        if (coming_bytes < sizeof(coming)) {
            continue;
        }
        coming_bytes = 0;
        if (its.length > sizeof(its.bytes)) {
            break;
        }
        memcpy(its.bytes, coming.bytes, its.length);
        if (pump_peer_endpoint_set(pump, peer_id, &its) != SF_OK) {
            break;
        }
    }
    if (got == 0 || errno != EAGAIN) {
        drop();
    }
}

void bench_endpoints_carry(struct pump *pump, bool server, uint32_t us, uint32_t peer,
                           uint16_t peer_id)
{
    if (!connected) {
        uint64_t now_ns = node_now_ns();

        if (now_ns < try_next_ns) {
            return;
        }
        try_next_ns = now_ns + TRY_NS;
        if (server) {
            serve(us);
        } else {
            reach(peer);
        }
        if (!connected) {
            return;
        }
    }
    hear(pump, peer_id);
    if (connected) {
        tell(pump, peer_id);
    }
}
