/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reads.c - reading the memory of peers, and letting them read ours.
 *
 * Our memory is registered once, with no access for others. What a peer may read it by is a memory
 * window of type 2, which is bound to its queue pair and so ends with it: no other queue pair can
 * use the key, and a new queue pair has a new window. The window is bound by a request in the send
 * queue; when that has completed, the key goes into our endpoint, and so to the peer.
 *
 * A read is one request for each RDMA_READ_BYTES; they complete in order with the sends. Whatever
 * goes wrong ends the queue pair, and with it every read of it, once each (port->dones).
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "port.h"

#define WINDOWS (IBV_DEVICE_MEM_WINDOW_TYPE_2A | IBV_DEVICE_MEM_WINDOW_TYPE_2B)
/* Sends that reads leave room for. */
#define ROOM_FOR_FRAMES 64u

_Static_assert((RDMA_READS_MAX & (RDMA_READS_MAX - 1)) == 0, "counters wrap");

static uint8_t reads_at_once(int of_device)
{
    return (uint8_t)(of_device < 0                    ? 0
                     : of_device < RDMA_READS_AT_ONCE ? of_device
                                                      : RDMA_READS_AT_ONCE);
}

sf_status rdma__memory_share(struct link *link, void *base, size_t bytes)
{
    struct rdma_port *port = link->impl;
    struct ibv_device_attr attr;

    if (port->memory != NULL && base != NULL) {
        return SF_EXISTS;
    }
    for (uint32_t i = 0; i < RDMA_PEERS_MAX; i++) {
        if (port->peers[i].state != RDMA_PEER_NONE) {
            return SF_BADARG;
        }
    }
    if (base == NULL) {
        rdma__memory_fini(port);
        return SF_OK;
    }
    if (port->gone || port->verbs->query_device(port->context, &attr) != 0) {
        return SF_IO;
    }
    port->reads_out = reads_at_once(attr.max_qp_init_rd_atom);
    port->reads_in = reads_at_once(attr.max_qp_rd_atom);
    if ((attr.device_cap_flags & WINDOWS) == 0 || port->reads_out == 0 || port->reads_in == 0) {
        return SF_UNSUPPORTED;
    }
    port->memory =
        port->verbs->reg_mr(port->pd, base, bytes, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND);
    if (port->memory == NULL) {
        return errno == ENOMEM ? SF_NOMEM : SF_IO;
    }
    port->memory_base = base;
    port->memory_bytes = bytes;
    return SF_OK;
}

void rdma__memory_fini(struct rdma_port *port)
{
    if (port->memory != NULL) {
        (void)port->verbs->dereg_mr(port->memory);
        port->memory = NULL;
    }
}

/* --- the window ---------------------------------------------------------------------------------
 */

bool rdma__window_make(struct rdma_port *port, struct rdma_peer *peer)
{
    peer->window_state = RDMA_WINDOW_NONE;
    if (port->memory == NULL) {
        return true;
    }
    peer->window = port->verbs->alloc_mw(port->pd);
    return peer->window != NULL;
}

void rdma__window_drop(struct rdma_port *port, struct rdma_peer *peer)
{
    if (peer->window != NULL) {
        (void)port->verbs->dealloc_mw(peer->window);
        peer->window = NULL;
    }
    peer->window_state = RDMA_WINDOW_NONE;
}

void rdma__window_bind(struct rdma_port *port, struct rdma_peer *peer)
{
    struct ibv_send_wr wr = {.opcode = IBV_WR_BIND_MW};

    if (peer->window == NULL) {
        return;
    }
    peer->window_key = ibv_inc_rkey(peer->window->rkey);
    peer->window_number = peer->head;
    peer->window_state = RDMA_WINDOW_ASKED;
    wr.bind_mw.mw = peer->window;
    wr.bind_mw.rkey = peer->window_key;
    wr.bind_mw.bind_info.mr = port->memory;
    wr.bind_mw.bind_info.addr = (uintptr_t)port->memory_base;
    wr.bind_mw.bind_info.length = port->memory_bytes;
    wr.bind_mw.bind_info.mw_access_flags = IBV_ACCESS_REMOTE_READ;
    if (!rdma__post_alone(port, peer, &wr, true)) {
        rdma__peer_lost(port, peer, "the device binds no memory window");
    }
}

/* --- reads --------------------------------------------------------------------------------------
 */

static void done_push(struct rdma_port *port, uint64_t cookie, bool ok)
{
    assert(port->done_head - port->done_tail < RDMA_READS_MAX);
    assert(port->reads_open > 0);
    port->reads_open--;
    port->dones[port->done_head++ % RDMA_READS_MAX] =
        (struct link_read_done){.cookie = cookie, .ok = ok};
}

void rdma__read_passed(struct rdma_port *port, struct rdma_peer *peer, uint32_t number, bool ok)
{
    uint32_t place = number % RDMA_TX_DEPTH;

    if (peer->window_state == RDMA_WINDOW_ASKED && number == peer->window_number && ok) {
        peer->window_state = RDMA_WINDOW_BOUND;
    }
    if (peer->read_ends[place]) {
        peer->read_ends[place] = false;
        done_push(port, peer->cookies[place], ok);
    }
}

static bool is_ours(const struct rdma_port *port, const void *at, uint32_t bytes)
{
    const uint8_t *to = at;

    return to >= port->memory_base && bytes <= port->memory_bytes &&
           (size_t)(to - port->memory_base) <= port->memory_bytes - bytes;
}

bool rdma__read(struct link *link, uint16_t node_id, uint64_t address, void *to, uint32_t bytes,
                uint64_t cookie)
{
    struct rdma_port *port = link->impl;
    struct rdma_peer *peer = rdma__peer_find(port, node_id);
    uint32_t parts = (bytes + RDMA_READ_BYTES - 1) / RDMA_READ_BYTES;
    uint32_t last;

    if (port->closed || !port->up || port->memory == NULL || bytes == 0 ||
        !is_ours(port, to, bytes) || peer == NULL || peer->state != RDMA_PEER_UP ||
        peer->its.token != peer->mate || peer->its.read_key == 0 ||
        peer->head - peer->tail + parts > RDMA_TX_DEPTH - ROOM_FOR_FRAMES ||
        port->reads_open + (port->done_head - port->done_tail) >= RDMA_READS_MAX) {
        return false;
    }
    last = (peer->head + parts - 1) % RDMA_TX_DEPTH;
    peer->read_ends[last] = true;
    peer->cookies[last] = cookie;
    port->reads_open++;
    for (uint32_t i = 0; i < parts; i++) {
        uint32_t offset = i * RDMA_READ_BYTES;
        struct ibv_sge sge = {
            .addr = (uintptr_t)to + offset,
            .length = bytes - offset < RDMA_READ_BYTES ? bytes - offset : RDMA_READ_BYTES,
            .lkey = port->memory->lkey,
        };
        struct ibv_send_wr wr = {.opcode = IBV_WR_RDMA_READ, .sg_list = &sge, .num_sge = 1};

        wr.wr.rdma.remote_addr = address + offset;
        wr.wr.rdma.rkey = peer->its.read_key;
        if (!rdma__post_alone(port, peer, &wr, i == parts - 1)) {
            peer->head += parts - 1 - i; /* so that its end is among what is lost */
            rdma__peer_lost(port, peer, "the device takes no read");
            break;
        }
    }
    return true; /* or done already */
}

uint32_t rdma__read_poll(struct link *link, struct link_read_done done[], uint32_t count)
{
    struct rdma_port *port = link->impl;
    uint32_t got = 0;

    while (got < count && port->done_tail != port->done_head) {
        done[got++] = port->dones[port->done_tail++ % RDMA_READS_MAX];
    }
    return got;
}

void rdma__read_revoke(struct link *link, uint16_t node_id)
{
    struct rdma_port *port = link->impl;
    struct rdma_peer *peer = rdma__peer_find(port, node_id);

    if (peer != NULL && peer->qp != NULL && peer->window_state != RDMA_WINDOW_NONE) {
        rdma__peer_lost(port, peer, "the session has ended, and with it the permission to read");
    }
}
