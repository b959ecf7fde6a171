/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.h - what a transport gives bench_peer, the peers' common harness.
 *
 * Model: messages of 16 bytes or more. A transport keeps their borders and their order; a lossy one
 * may lose some. peer.c does the talking: hello, echo, stream, result. Threads: one of ours; a
 * library may have its own. Errors: figures_die.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stdbool.h>
#include <stdint.h>

struct peer_setup {
    bool server;
    bool spin;              /* poll the socket without a pause instead of sleeping in the kernel */
    bool batch;             /* small messages may wait for each other until flush */
    const char *congestion; /* TCP's congestion control; NULL: as the machine has it */
    const char *address;    /* IPv4 address of the server; ring: path of a file to share */
    uint16_t port;
    uint32_t mtu_bytes; /* of the link under it; datagrams fill it */
};

struct peer {
    const char *name;
    bool lossy;
    /* A server is ready for its client when open returns. */
    void *(*open)(const struct peer_setup *setup);
    /* `bytes` may be used again at once. */
    void (*send)(void *state, const void *bytes, uint32_t size);
    void (*flush)(void *state); /* NULL: send holds nothing back */
    /* Answers the size. 0: nothing came for 20 ms or so (only lossy ones may say so). */
    uint32_t (*recv)(void *state, void *bytes, uint32_t capacity);
    void (*close)(void *state);
};

extern const struct peer peer_nng, peer_ring, peer_tcp, peer_udp, peer_zmq;

#endif
