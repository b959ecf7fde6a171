/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credits.c - on iWARP, who may send how much.
 *
 * A connection of InfiniBand or RoCE waits for an end that has no buffer; one of iWARP ends. So
 * there each message says behind its payload how many buffers its sender has given anew since the
 * queue pair was made (u32, little-endian), and nobody sends more than the other end has buffers
 * for. The last RESERVE of them are for messages without payload, which are how an end says so that
 * has nothing else to say: each RDMA_RX_DEPTH / 4 buffers, and every RDMA_PROBE_NS.
 *
 * Off iWARP there is no such trailer, and credit without end.
 */
#include "port.h"

#define RESERVE 16u
#define TELL_EVERY (RDMA_RX_DEPTH / 4)

void rdma__credits_reset(struct rdma_peer *peer)
{
    peer->used = peer->allowed = peer->given = peer->told = 0;
}

uint32_t rdma__credits(const struct rdma_port *port, const struct rdma_peer *peer)
{
    uint32_t open = peer->used - peer->allowed;

    if (!port->iwarp) {
        return RDMA_RX_DEPTH;
    }
    return open + RESERVE < RDMA_RX_DEPTH ? RDMA_RX_DEPTH - RESERVE - open : 0;
}

bool rdma__credit_for_probe(const struct rdma_port *port, const struct rdma_peer *peer)
{
    return !port->iwarp || peer->used - peer->allowed < RDMA_RX_DEPTH;
}

void rdma__trailer_write(const struct rdma_port *port, struct rdma_peer *peer, uint8_t *at)
{
    if (!port->iwarp) {
        return;
    }
    for (uint32_t i = 0; i < RDMA_TRAILER_BYTES; i++) {
        at[i] = (uint8_t)(peer->given >> (8 * i));
    }
    peer->told = peer->given;
    peer->used++;
}

bool rdma__trailer_read(const struct rdma_port *port, struct rdma_peer *peer, const uint8_t *data,
                        uint32_t *length)
{
    uint32_t allowed = 0;

    if (!port->iwarp) {
        return true;
    }
    if (*length < RDMA_TRAILER_BYTES) {
        return false;
    }
    *length -= RDMA_TRAILER_BYTES;
    for (uint32_t i = 0; i < RDMA_TRAILER_BYTES; i++) {
        allowed |= (uint32_t)data[*length + i] << (8 * i);
    }
    /* It never takes any back, and cannot have given more than we have used. */
    if (peer->used - allowed > peer->used - peer->allowed) {
        return false;
    }
    peer->allowed = allowed;
    return true;
}

void rdma__credits_given(struct rdma_port *port, struct rdma_peer *peer, uint32_t count)
{
    peer->given += count;
    if (port->iwarp && peer->state == RDMA_PEER_UP && peer->given - peer->told >= TELL_EVERY) {
        rdma__probe(port, peer, true);
    }
}
