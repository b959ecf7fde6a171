/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "port.h"

#define LOOK_POLLS_MAX 8u
#define EVENTS_MAX 16u /* taken in one go */

/* --- open and close -----------------------------------------------------------------------------
 */

bool rdma__non_blocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

static sf_status fail(struct rdma_port *port, const char *what)
{
    int error = errno;

    (void)snprintf(port->text, sizeof(port->text), "rdma: %s: %s", what, strerror(error));
    return SF_IO;
}

static sf_status queues_make(struct rdma_port *port)
{
    const struct rdma_verbs *verbs = port->verbs;
    int cqe = (int)(port->peers_max * (RDMA_RX_DEPTH + RDMA_TX_DEPTH));

    if (port->iwarp) {
        /* Soft-iWARP rounds it up, to more than 144 pages: its library takes a queue that is mapped
         * at offset 0x90000 for none, so something must lie over that (siw-abi.h's invalid key). */
        cqe++;
    }
    if (!rdma__non_blocking(port->context->async_fd)) {
        return fail(port, "the device's events");
    }
    port->pd = verbs->alloc_pd(port->context);
    if (port->pd == NULL) {
        return fail(port, "the device gives no protection domain");
    }
    port->channel = verbs->create_comp_channel(port->context);
    if (port->channel == NULL || !rdma__non_blocking(port->channel->fd)) {
        return fail(port, "the device gives no channel for events");
    }
    port->cq = verbs->create_cq(port->context, cqe, port->channel);
    return port->cq != NULL ? SF_OK : fail(port, "the device gives no completion queue");
}

sf_status rdma__open(struct link *link, const struct link_config *config,
                     const struct rdma_verbs *verbs, const char **out_text)
{
    struct rdma_port *port;
    sf_status st;

    if (config->mtu_bytes != 0 &&
        (config->mtu_bytes < RDMA_MTU_BYTES_MIN || config->mtu_bytes > RDMA_MTU_BYTES_MAX)) {
        *out_text = "rdma: mtu is 64 to 9216";
        return SF_BADARG;
    }
    port = calloc(1, sizeof(*port));
    if (port == NULL) {
        *out_text = "rdma: no memory";
        return SF_NOMEM;
    }
    link->impl = port;
    port->verbs = verbs;
    port->node_id = config->node_id;
    port->ipv4 = config->ipv4;
    port->by_cm = config->cm;
    port->pool.frame_bytes = config->mtu_bytes != 0 ? config->mtu_bytes : RDMA_MTU_BYTES_DEFAULT;
    st = rdma__device_open(port, config);
    if (st == SF_OK) {
        st = queues_make(port);
    }
    if (st == SF_OK) {
        st = rdma__pool_grow(port, RDMA_POOL_FRAMES);
    }
    if (st == SF_OK && port->by_cm) {
        st = rdma__cm_open(port);
    }
    if (st != SF_OK) {
        *out_text = port->text[0] != '\0' ? port->text : "rdma: no memory";
    }
    return st;
}

static sf_status rdma_open(struct link *link, const struct link_config *config,
                           const char **out_text)
{
    return rdma__open(link, config, &rdma__verbs, out_text);
}

static void rdma_close(struct link *link)
{
    struct rdma_port *port = link->impl;

    port->closed = true;
    rdma__carrier(port);
}

static void rdma_stop(struct link *link)
{
    struct rdma_port *port = link->impl;

    port->closed = true;
    for (uint32_t i = 0; i < RDMA_PEERS_MAX; i++) {
        rdma__peer_drop(port, &port->peers[i]);
    }
    rdma__carrier(port);
}

/* An armed queue makes one event at most. */
static void events_take(struct rdma_port *port, unsigned int most)
{
    struct ibv_cq *cq;
    unsigned int count = 0;

    while (count < most && port->verbs->get_cq_event(port->channel, &cq) == 0) {
        count++;
    }
    if (count > 0) {
        port->verbs->ack_cq_events(port->cq, count);
    }
}

static void rdma_fini(struct link *link)
{
    struct rdma_port *port = link->impl;

    if (port == NULL) {
        return;
    }
    rdma_stop(link);
    rdma__cm_fini(port);
    if (port->cq != NULL) {
        events_take(port, EVENTS_MAX);
        (void)port->verbs->destroy_cq(port->cq);
    }
    if (port->channel != NULL) {
        (void)port->verbs->destroy_comp_channel(port->channel);
    }
    rdma__pool_fini(port);
    rdma__memory_fini(port);
    if (port->pd != NULL) {
        (void)port->verbs->dealloc_pd(port->pd);
    }
    if (port->context != NULL) {
        (void)port->verbs->close_device(port->context);
    }
    free(port);
    link->impl = NULL;
}

/* --- peers --------------------------------------------------------------------------------------
 */

static struct rdma_peer *place_find(struct rdma_port *port)
{
    for (uint32_t i = 0; i < port->peers_max; i++) {
        if (port->peers[i].state == RDMA_PEER_NONE) {
            return &port->peers[i];
        }
    }
    return NULL;
}

static sf_status rdma_peer_add(struct link *link, const struct link_peer *peer)
{
    struct rdma_port *port = link->impl;
    struct rdma_peer *place = place_find(port);
    sf_status st = SF_OK;

    if (peer->node_id == LINK_PEER_UNKNOWN || peer->node_id >= RDMA_NODES_MAX ||
        peer->node_id == port->node_id) {
        return SF_BADARG;
    }
    if (rdma__peer_find(port, peer->node_id) != NULL) {
        return SF_EXISTS;
    }
    if (place == NULL) {
        return SF_LIMIT;
    }
    if (port->pool.reserved < RDMA_RX_DEPTH) {
        st = rdma__pool_grow(port, RDMA_SLAB_FRAMES);
        if (st != SF_OK) {
            return st;
        }
        port->pool.reserved += RDMA_RX_DEPTH;
    }
    *place = (struct rdma_peer){.node_id = peer->node_id};
    st = rdma__peer_make(port, place);
    if (st != SF_OK) {
        place->state = RDMA_PEER_NONE;
        return st;
    }
    port->by_node[peer->node_id] = (uint8_t)(place - port->peers + 1);
    return SF_OK;
}

static void rdma_peer_remove(struct link *link, uint16_t node_id)
{
    struct rdma_port *port = link->impl;
    struct rdma_peer *peer = rdma__peer_find(port, node_id);

    if (peer == NULL) {
        return;
    }
    rdma__peer_drop(port, peer);
    *peer = (struct rdma_peer){.state = RDMA_PEER_NONE};
    port->by_node[node_id] = 0;
    rdma__carrier(port);
}

static sf_status rdma_endpoint_get(struct link *link, uint16_t node_id, struct link_endpoint *out)
{
    struct rdma_port *port = link->impl;
    const struct rdma_peer *peer = rdma__peer_find(port, node_id);

    if (peer == NULL) {
        return SF_NOTFOUND;
    }
    rdma__look(port);
    if (peer->qp == NULL) {
        return SF_AGAIN;
    }
    rdma__peer_endpoint(port, peer, out);
    return SF_OK;
}

static sf_status rdma_endpoint_set(struct link *link, uint16_t node_id,
                                   const struct link_endpoint *its)
{
    struct rdma_port *port = link->impl;
    struct rdma_peer *peer = rdma__peer_find(port, node_id);
    struct rdma_endpoint endpoint;
    sf_status st;

    if (peer == NULL) {
        return SF_NOTFOUND;
    }
    st = rdma__endpoint_decode(its, &endpoint);
    if (st != SF_OK) {
        return st;
    }
    if (endpoint.by_cm != port->by_cm) {
        (void)snprintf(port->text, sizeof(port->text),
                       "node %u joins %s rdma_cm, we %s; alike both", node_id,
                       endpoint.by_cm ? "by" : "without", port->by_cm ? "do" : "do not");
        return SF_BADARG;
    }
    if (endpoint.by_cm && endpoint.cm_ipv4 == port->ipv4 && endpoint.cm_port == port->cm_port) {
        (void)snprintf(port->text, sizeof(port->text), "node %u says our own address", node_id);
        return SF_BADARG;
    }
    if (endpoint.by_gid != port->by_gid) {
        (void)snprintf(port->text, sizeof(port->text), "node %u is on another kind of network",
                       node_id);
        return SF_BADARG;
    }
    if (endpoint.frame_bytes_max != port->pool.frame_bytes) {
        (void)snprintf(port->text, sizeof(port->text), "node %u has mtu %u, we have %u", node_id,
                       endpoint.frame_bytes_max, port->pool.frame_bytes);
        return SF_BADARG;
    }
    peer->its = endpoint;
    rdma__peer_join(port, peer);
    return SF_OK;
}

/* --- looking ------------------------------------------------------------------------------------
 */

static void qp_event(struct rdma_port *port, const struct ibv_qp *qp, const char *what)
{
    for (uint32_t i = 0; i < RDMA_PEERS_MAX; i++) {
        if (port->peers[i].qp != NULL && port->peers[i].qp == qp) {
            rdma__peer_lost(port, &port->peers[i], what);
        }
    }
}

void rdma__device_gone(struct rdma_port *port, const char *what)
{
    port->gone = true;
    for (uint32_t i = 0; i < RDMA_PEERS_MAX; i++) {
        if (port->peers[i].state != RDMA_PEER_NONE) {
            rdma__peer_drop(port, &port->peers[i]);
        }
    }
    (void)snprintf(port->text, sizeof(port->text), "%s; open the link anew when it is back", what);
    rdma__carrier(port);
}

static void async_event(struct rdma_port *port, const struct ibv_async_event *event)
{
    switch (event->event_type) {
    case IBV_EVENT_QP_FATAL:
    case IBV_EVENT_QP_REQ_ERR:
    case IBV_EVENT_QP_ACCESS_ERR:
    case IBV_EVENT_PATH_MIG_ERR:
        qp_event(port, event->element.qp, ibv_event_type_str(event->event_type));
        break;
    case IBV_EVENT_CQ_ERR:
        rdma__device_gone(port, "the completion queue is broken");
        break;
    case IBV_EVENT_DEVICE_FATAL:
        rdma__device_gone(port, "the device is gone");
        break;
    case IBV_EVENT_PORT_ACTIVE:
    case IBV_EVENT_PORT_ERR:
        if (event->element.port_num == port->port_number) {
            port->active = event->event_type == IBV_EVENT_PORT_ACTIVE;
            rdma__carrier(port);
        }
        break;
    default: /* news, no trouble */
        break;
    }
}

void rdma__look(struct rdma_port *port)
{
    uint64_t now_ns = port->verbs->now_ns();
    struct ibv_async_event event;

    if (now_ns < port->look_next_ns || port->cq == NULL) {
        return;
    }
    port->look_next_ns = now_ns + RDMA_LOOK_NS;
    for (uint32_t i = 0; i < EVENTS_MAX; i++) {
        if (port->verbs->get_async_event(port->context, &event) != 0) {
            break;
        }
        /* First, for a queue pair cannot be destroyed while an event of it is not acknowledged. */
        port->verbs->ack_async_event(&event);
        async_event(port, &event);
    }
    for (uint32_t i = 0; i < LOOK_POLLS_MAX && rdma__poll(port); i++) {
    }
    if (port->closed) {
        return;
    }
    if (port->by_cm) {
        rdma__cm_look(port, now_ns);
    }
    rdma__peers_look(port, now_ns);
}

static bool rdma_is_up(struct link *link)
{
    struct rdma_port *port = link->impl;

    rdma__look(port);
    return port->up;
}

/* That both have told each other of their queue pairs does not mean that anything passes. */
static bool rdma_peer_up(struct link *link, uint16_t node_id)
{
    struct rdma_port *port = link->impl;
    const struct rdma_peer *peer = rdma__peer_find(port, node_id);

    rdma__look(port);
    return peer != NULL && peer->state == RDMA_PEER_UP && peer->proven && port->active &&
           !port->gone && !port->closed;
}

/* A frame, or the end of a read. */
static bool something_waits(const struct rdma_port *port)
{
    return port->arrival_head != port->arrival_tail || port->done_head != port->done_tail;
}

/* Only frames wake (they are sent as solicited), neither probes nor what we sent ourselves; on
 * iWARP all that completes. */
static int rdma_wait_fd(struct link *link, uint16_t queue, bool arm)
{
    struct rdma_port *port = link->impl;

    (void)queue; /* there is one */
    if (!arm) {
        /* The event is taken when it is armed again: what has come is answered first. */
        return LINK_WAIT_BLIND;
    }
    if (port->closed || port->gone) {
        return LINK_WAIT_BLIND;
    }
    rdma__refill(port);
    if (something_waits(port)) {
        return LINK_WAIT_NOT;
    }
    events_take(port, 1);
    /* The end of a read is nothing that was sent to us; and soft-iWARP does not wake for a frame if
     * only what is solicited shall. */
    if (port->verbs->req_notify_cq(port->cq, port->reads_open == 0 && !port->iwarp) != 0) {
        return LINK_WAIT_BLIND;
    }
    /* Whatever came before it was asked for wakes nobody. */
    for (uint32_t i = 0; i < LOOK_POLLS_MAX && rdma__poll(port); i++) {
    }
    return something_waits(port) ? LINK_WAIT_NOT : port->channel->fd;
}

static void rdma_query(const struct link *link, struct link_caps *out_caps)
{
    const struct rdma_port *port = link->impl;

    *out_caps = (struct link_caps){
        .mtu_bytes = port->pool.frame_bytes,
        .burst_max = LINK_BURST_MAX,
        .many_peers = true,
        .holds = true,
        .queues = 1,
    };
}

static void rdma_stats(const struct link *link, struct link_stats *out_stats)
{
    *out_stats = ((const struct rdma_port *)link->impl)->stats;
}

static const char *rdma_about(const struct link *link)
{
    const struct rdma_port *port = link->impl;

    if (!port->active && !port->gone) {
        return "the device's port is down";
    }
    return port->text[0] != '\0' && !port->up ? port->text : port->about;
}

const struct link_ops link_rdma_ops = {
    .name = "rdma",
    .open = rdma_open,
    .peer_add = rdma_peer_add,
    .peer_remove = rdma_peer_remove,
    .is_up = rdma_is_up,
    .wait_fd = rdma_wait_fd,
    .close = rdma_close,
    .stop = rdma_stop,
    .fini = rdma_fini,
    .query = rdma_query,
    .stats = rdma_stats,
    .frame_alloc = rdma__frame_alloc,
    .frame_free = rdma__frame_free,
    .tx_burst = rdma__tx_burst,
    .rx_burst = rdma__rx_burst,
    .endpoint_get = rdma_endpoint_get,
    .endpoint_set = rdma_endpoint_set,
    .peer_up = rdma_peer_up,
    .memory_share = rdma__memory_share,
    .read = rdma__read,
    .read_poll = rdma__read_poll,
    .read_revoke = rdma__read_revoke,
    .about = rdma_about,
};
