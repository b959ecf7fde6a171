/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "port.h"

/*
 * 4.096 us * 2^15 = 134 ms until a send is repeated, 6 times: a peer is lost after 0.94 s. Not 7
 * times, which soft-RoCE takes for "for ever".
 */
#define ACK_TIMEOUT 15
#define RETRIES 6
#define RNR_RETRIES_FOR_EVER 7 /* who has no buffer left is slow, not lost: the session decides */
#define RNR_WAIT 12            /* 0.64 ms, as the table of the specification has it */
#define HOPS 64
#define SERIAL_PLACE_BITS 8u
#define PSN_MASK 0xffffffu

_Static_assert(RDMA_PEERS_MAX <= 1u << SERIAL_PLACE_BITS, "a place fits into a serial");

struct rdma_peer *rdma__peer_find(struct rdma_port *port, uint16_t node_id)
{
    uint8_t place = node_id < RDMA_NODES_MAX ? port->by_node[node_id] : 0;

    return place != 0 ? &port->peers[place - 1] : NULL;
}

struct rdma_peer *rdma__peer_of_serial(struct rdma_port *port, uint32_t serial)
{
    uint32_t place = serial & ((1u << SERIAL_PLACE_BITS) - 1);
    struct rdma_peer *peer = place < RDMA_PEERS_MAX ? &port->peers[place] : NULL;

    return peer != NULL && peer->qp != NULL && peer->serial == serial ? peer : NULL;
}

void rdma__carrier(struct rdma_port *port)
{
    bool up = false;

    for (uint32_t i = 0; i < RDMA_PEERS_MAX && !up; i++) {
        up = port->peers[i].state == RDMA_PEER_UP && port->peers[i].proven;
    }
    up = up && port->active && !port->gone && !port->closed;
    port->stats.up_events += up && !port->up;
    port->stats.down_events += !up && port->up;
    port->up = up;
}

/* --- making -------------------------------------------------------------------------------------
 */

static bool qp_create(struct rdma_port *port, struct rdma_peer *peer, uint32_t inline_bytes)
{
    struct ibv_qp_init_attr attr = {
        .send_cq = port->cq,
        .recv_cq = port->cq,
        .cap = {.max_send_wr = RDMA_TX_DEPTH,
                .max_recv_wr = RDMA_RX_DEPTH,
                .max_send_sge = 1,
                .max_recv_sge = 1,
                .max_inline_data = inline_bytes},
        .qp_type = IBV_QPT_RC,
    };

    peer->qp = port->verbs->create_qp(port->pd, &attr);
    peer->inline_bytes = attr.cap.max_inline_data;
    return peer->qp != NULL;
}

static bool qp_init(struct rdma_port *port, struct rdma_peer *peer)
{
    struct ibv_qp_attr attr = {
        .qp_state = IBV_QPS_INIT,
        .port_num = port->port_number,
        /* Nobody writes our memory, and what can be read is what a window is bound to. */
        .qp_access_flags = port->memory != NULL ? IBV_ACCESS_REMOTE_READ : 0,
    };

    return port->verbs->modify_qp(peer->qp, &attr,
                                  IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
                                      IBV_QP_ACCESS_FLAGS) == 0;
}

static bool buffers_post(struct rdma_port *port, struct rdma_peer *peer)
{
    uint32_t slots[RDMA_RX_DEPTH];

    for (uint32_t i = 0; i < RDMA_RX_DEPTH; i++) {
        peer->posted[i] = rdma__frame_take_reserved(port);
        slots[i] = i;
    }
    return rdma__slots_post(port, peer, slots, RDMA_RX_DEPTH);
}

sf_status rdma__peer_make(struct rdma_port *port, struct rdma_peer *peer)
{
    uint32_t place = (uint32_t)(peer - port->peers);

    assert(peer->qp == NULL);
    if (port->gone || port->closed) {
        return SF_IO;
    }
    /* The device may take fewer bytes inline than we would like. */
    if (!qp_create(port, peer, RDMA_INLINE_BYTES) && !qp_create(port, peer, 64) &&
        !qp_create(port, peer, 0)) {
        return errno == ENOMEM ? SF_NOMEM : SF_IO;
    }
    peer->serial = ++port->serial_count << SERIAL_PLACE_BITS | place;
    peer->head = peer->tail = 0;
    peer->quiet = peer->quiet_frames = peer->signalled = 0;
    peer->mate = 0;
    peer->proven = false;
    peer->said_ns = 0;
    rdma__credits_reset(peer);
    peer->psn = (uint32_t)port->verbs->random64() & PSN_MASK;
    do {
        peer->token = port->verbs->random64();
    } while (peer->token == 0);
    if ((port->iwarp && peer->inline_bytes < RDMA_TRAILER_BYTES) || !qp_init(port, peer) ||
        !buffers_post(port, peer) || !rdma__window_make(port, peer)) {
        rdma__peer_drop(port, peer);
        return SF_IO;
    }
    peer->state = RDMA_PEER_FRESH;
    return SF_OK;
}

/* --- losing -------------------------------------------------------------------------------------
 */

/* What had arrived by it goes, too: the session sends it again. */
static uint32_t arrivals_purge(struct rdma_port *port, uint32_t serial)
{
    uint32_t count = 0;
    uint32_t to = port->arrival_tail;

    for (uint32_t i = port->arrival_tail; i != port->arrival_head; i++) {
        struct rdma_arrival *a = &port->arrivals[i % RDMA_ARRIVALS_MAX];

        if (a->serial == serial) {
            rdma__frame_give(port, a->frame);
            count++;
        } else {
            port->arrivals[to++ % RDMA_ARRIVALS_MAX] = *a;
        }
    }
    port->arrival_head = to;
    return count;
}

void rdma__peer_drop(struct rdma_port *port, struct rdma_peer *peer)
{
    if (peer->qp == NULL) {
        return;
    }
    rdma__window_drop(port, peer);
    rdma__cm_drop(port, peer);
    /* After that no buffer of it is touched any more; of a device that is gone, neither. */
    (void)port->verbs->destroy_qp(peer->qp);
    peer->qp = NULL;
    port->pool.reserved += arrivals_purge(port, peer->serial);
    for (uint32_t i = 0; i < RDMA_RX_DEPTH; i++) {
        port->pool.reserved += peer->posted[i] != NULL;
        rdma__frame_give(port, peer->posted[i]);
        peer->posted[i] = NULL;
    }
    for (; peer->tail != peer->head; peer->tail++) {
        rdma__read_passed(port, peer, peer->tail, false);
        rdma__frame_give(port, peer->sending[peer->tail % RDMA_TX_DEPTH]);
    }
    memset(peer->sending, 0, sizeof(peer->sending));
    peer->state = RDMA_PEER_LOST;
}

void rdma__peer_lost(struct rdma_port *port, struct rdma_peer *peer, const char *what)
{
    (void)snprintf(port->text, sizeof(port->text), "node %u lost: %s; now a new queue pair",
                   peer->node_id, what);
    rdma__peer_drop(port, peer);
    peer->state = RDMA_PEER_LOST;
    peer->remake_at_ns = port->verbs->now_ns() + RDMA_REMAKE_NS;
    rdma__carrier(port);
}

/* --- joining ------------------------------------------------------------------------------------
 */

void rdma__peer_rules(const struct rdma_port *port, const struct rdma_peer *peer,
                      struct ibv_qp_attr *attr)
{
    const struct rdma_endpoint *its = &peer->its;

    attr->path_mtu = its->path_mtu < port->path_mtu ? its->path_mtu : port->path_mtu;
    attr->max_dest_rd_atomic = port->reads_in;
    attr->min_rnr_timer = RNR_WAIT;
    attr->timeout = ACK_TIMEOUT;
    attr->retry_cnt = RETRIES;
    attr->rnr_retry = RNR_RETRIES_FOR_EVER;
    attr->max_rd_atomic = port->reads_out;
}

static bool to_rtr(struct rdma_port *port, struct rdma_peer *peer)
{
    const struct rdma_endpoint *its = &peer->its;
    struct ibv_qp_attr attr = {
        .qp_state = IBV_QPS_RTR,
        .dest_qp_num = its->qp_number,
        .rq_psn = its->psn,
        .ah_attr = {.dlid = its->lid, .port_num = port->port_number},
    };

    rdma__peer_rules(port, peer, &attr);
    if (port->by_gid) {
        attr.ah_attr.is_global = 1;
        memcpy(attr.ah_attr.grh.dgid.raw, its->gid, sizeof(its->gid));
        attr.ah_attr.grh.sgid_index = (uint8_t)port->gid_index;
        attr.ah_attr.grh.hop_limit = HOPS;
    }
    return port->verbs->modify_qp(peer->qp, &attr,
                                  IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
                                      IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC |
                                      IBV_QP_MIN_RNR_TIMER) == 0;
}

static bool to_rts(struct rdma_port *port, struct rdma_peer *peer)
{
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_RTS, .sq_psn = peer->psn};

    rdma__peer_rules(port, peer, &attr);
    return port->verbs->modify_qp(peer->qp, &attr,
                                  IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
                                      IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC) ==
           0;
}

void rdma__peer_up(struct rdma_port *port, struct rdma_peer *peer)
{
    peer->proof_ns = port->verbs->now_ns();
    if (peer->state == RDMA_PEER_JOINED) {
        peer->state = RDMA_PEER_UP;
        rdma__carrier(port);
    }
}

void rdma__peer_joined(struct rdma_port *port, struct rdma_peer *peer)
{
    peer->mate = peer->its.token;
    peer->state = RDMA_PEER_JOINED;
    if (port->iwarp) {
        peer->proof_ns = port->verbs->now_ns(); /* from now on it is to be heard */
    }
    rdma__window_bind(port, peer);
}

void rdma__peer_join(struct rdma_port *port, struct rdma_peer *peer)
{
    const struct rdma_endpoint *its = &peer->its;

    if (its->token == 0 || peer->qp == NULL) {
        return;
    }
    if (peer->mate != 0 && peer->mate != its->token) {
        /* The peer has made a new one, and ours has been joined with the old one. */
        rdma__peer_lost(port, peer, "it has made a new queue pair");
        peer->remake_at_ns = 0;
        rdma__peers_look(port, port->verbs->now_ns());
        return;
    }
    /* Its queue pair is fresh, or joined with ours; else it has not heard of ours yet. */
    if (its->mate != 0 && its->mate != peer->token) {
        return;
    }
    if (port->by_cm) { /* then it is up by what is heard, or when rdma_cm says so */
        if (peer->state == RDMA_PEER_FRESH) {
            rdma__cm_join(port, peer);
        }
        return;
    }
    if (peer->state == RDMA_PEER_FRESH) {
        if (!to_rtr(port, peer) || !to_rts(port, peer)) {
            char what[RDMA_TEXT_BYTES / 2];

            (void)snprintf(what, sizeof(what), "the device cannot join with it: %s",
                           strerror(errno));
            rdma__peer_lost(port, peer, what);
            return;
        }
        rdma__peer_joined(port, peer);
    }
    if (peer->qp != NULL && its->mate == peer->token) {
        rdma__peer_up(port, peer);
    }
}

void rdma__peer_endpoint(const struct rdma_port *port, const struct rdma_peer *peer,
                         struct link_endpoint *out_endpoint)
{
    struct rdma_endpoint mine = {
        .token = peer->token,
        .mate = peer->mate,
        .qp_number = peer->qp->qp_num,
        .psn = peer->psn,
        .frame_bytes_max = port->pool.frame_bytes,
        .lid = port->lid,
        .path_mtu = port->path_mtu,
        .by_gid = port->by_gid,
        .by_cm = port->by_cm,
        .cm_ipv4 = port->by_cm ? port->ipv4 : 0,
        .cm_port = port->cm_port,
        .read_key = peer->window_state == RDMA_WINDOW_BOUND ? peer->window_key : 0,
    };

    memcpy(mine.gid, port->gid.raw, sizeof(mine.gid));
    rdma__endpoint_encode(&mine, out_endpoint);
}

/* --- by and by ----------------------------------------------------------------------------------
 */

/* On iWARP what was sent proves nothing: what is heard does. */
static void keep_alive(struct rdma_port *port, struct rdma_peer *peer, uint64_t now_ns)
{
    if (peer->state == RDMA_PEER_UP && now_ns >= peer->said_ns + RDMA_PROBE_NS) {
        peer->said_ns = now_ns;
        rdma__probe(port, peer, false);
    }
    if (peer->state >= RDMA_PEER_JOINED && now_ns >= peer->proof_ns + RDMA_SILENCE_NS) {
        rdma__peer_lost(port, peer, "it was not heard for 2 s");
    }
}

void rdma__peers_look(struct rdma_port *port, uint64_t now_ns)
{
    for (uint32_t i = 0; i < RDMA_PEERS_MAX; i++) {
        struct rdma_peer *peer = &port->peers[i];

        if (peer->state == RDMA_PEER_LOST && now_ns >= peer->remake_at_ns && !port->gone) {
            if (rdma__peer_make(port, peer) == SF_OK) {
                rdma__peer_join(port, peer);
            } else {
                peer->remake_at_ns = now_ns + RDMA_REMAKE_FAILED_NS;
            }
        }
        if (port->iwarp) {
            keep_alive(port, peer, now_ns);
        } else if (peer->state == RDMA_PEER_UP && peer->signalled == 0 &&
                   /* Nothing may be sent to it by us until a probe has shown that something passes.
                    */
                   (!peer->proven || now_ns >= peer->proof_ns + RDMA_PROBE_NS)) {
            rdma__probe(port, peer, false);
        }
    }
}
