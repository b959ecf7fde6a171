/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_cm.c - rdma_cm of devices that are none. What it has to say comes one call later, in order;
 * what is said to a device that cannot be reached is lost. As the real one: an id is destroyed when
 * its events are acknowledged, its end is told, and nothing of it comes afterwards.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fake_private.h"

#define IDS_MAX 64u
#define EVENTS_MAX 128u
#define PORT_FIRST 40000u
#define PRIVATE_BYTES 56u /* what rdma_cm has room for on InfiniBand; padded with zeros */

struct fake_id {
    struct rdma_cm_id ibv;
    struct fake_id *other; /* the end of the connection, or of the asking */
    uint32_t ipv4, to_ipv4, qp_number, psn;
    uint16_t port, to_port;
    bool listens, asks, answered, waits;
    uint32_t unacknowledged;
};

struct fake_event {
    struct rdma_cm_event ibv;
    struct rdma_event_channel *channel;
    uint8_t bytes[PRIVATE_BYTES];
};

static struct {
    struct fake_id *ids[IDS_MAX];
    struct fake_event *events[EVENTS_MAX];
    uint32_t event_count, port_next, psn_next;
} world;

void fake__cm_reset(void)
{
    memset(&world, 0, sizeof(world));
    world.port_next = PORT_FIRST;
}

static struct fake_id *of(struct rdma_cm_id *id)
{
    return (struct fake_id *)id;
}

static struct fake_device *device_of(const struct fake_id *id)
{
    return fake__device_of(id->ibv.verbs);
}

/* NULL: there is none. */
static struct fake_device *device_at(uint32_t ipv4)
{
    uint32_t number = ipv4 - FAKE_ADDRESS;

    return number < FAKE_DEVICES ? &fake__world.devices[number] : NULL;
}

static bool refused(const struct fake_id *id)
{
    return id->ibv.verbs != NULL && fake__refused(device_of(id));
}

static bool is_iwarp(const struct fake_id *id)
{
    return id->ibv.verbs->device->transport_type == IBV_TRANSPORT_IWARP;
}

static struct fake_event *event_add(struct fake_id *id, enum rdma_cm_event_type type)
{
    struct fake_event *event = calloc(1, sizeof(*event));

    assert(event != NULL && world.event_count < EVENTS_MAX);
    event->ibv.id = &id->ibv;
    event->ibv.event = type;
    event->channel = id->ibv.channel;
    world.events[world.event_count++] = event;
    return event;
}

/* To the other end, if it is there and can be reached. */
static void event_send(struct fake_id *from, enum rdma_cm_event_type type)
{
    if (from->other != NULL && fake__reaches(device_of(from), device_of(from->other))) {
        (void)event_add(from->other, type);
    }
}

static void events_purge(const struct fake_id *id)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < world.event_count; i++) {
        if (world.events[i]->ibv.id == &id->ibv) {
            free(world.events[i]);
        } else {
            world.events[kept++] = world.events[i];
        }
    }
    world.event_count = kept;
}

/* --- channels and ids ---------------------------------------------------------------------------
 */

static struct rdma_event_channel *create_event_channel(void)
{
    struct rdma_event_channel *channel = calloc(1, sizeof(*channel));

    assert(channel != NULL);
    channel->fd = eventfd(0, EFD_CLOEXEC);
    fake__live_add(1);
    return channel;
}

static void destroy_event_channel(struct rdma_event_channel *channel)
{
    for (uint32_t i = 0; i < IDS_MAX; i++) {
        if (world.ids[i] != NULL && world.ids[i]->ibv.channel == channel) {
            fake__misused("a channel of rdma_cm given back before its ids");
        }
    }
    (void)close(channel->fd);
    free(channel);
    fake__live_add(-1);
}

static int create_id(struct rdma_event_channel *channel, struct rdma_cm_id **out_id, void *context)
{
    uint32_t at = 0;

    while (at < IDS_MAX && world.ids[at] != NULL) {
        at++;
    }
    assert(at < IDS_MAX);
    world.ids[at] = calloc(1, sizeof(struct fake_id));
    assert(world.ids[at] != NULL);
    world.ids[at]->ibv.channel = channel;
    world.ids[at]->ibv.context = context;
    *out_id = &world.ids[at]->ibv;
    fake__live_add(1);
    return 0;
}

static int destroy_id(struct rdma_cm_id *ibv)
{
    struct fake_id *id = of(ibv);

    if (id->unacknowledged > 0) {
        fake__misused("an id with an event that is not acknowledged: destroying waits for ever");
    }
    if (id->waits) {
        fake__misused("an id destroyed while its connect waits: that hangs");
    }
    event_send(id, id->asks || id->answered ? RDMA_CM_EVENT_DISCONNECTED : RDMA_CM_EVENT_REJECTED);
    events_purge(id);
    for (uint32_t i = 0; i < IDS_MAX; i++) {
        if (world.ids[i] != NULL && world.ids[i]->other == id) {
            world.ids[i]->other = NULL;
        }
        if (world.ids[i] == id) {
            world.ids[i] = NULL;
        }
    }
    free(id);
    fake__live_add(-1);
    return 0;
}

static int bind_addr(struct rdma_cm_id *ibv, const struct sockaddr_in *address)
{
    struct fake_id *id = of(ibv);

    id->ipv4 = ntohl(address->sin_addr.s_addr);
    ibv->verbs = device_at(id->ipv4) != NULL ? &device_at(id->ipv4)->context : NULL;
    id->port = (uint16_t)world.port_next++;
    if (ibv->verbs == NULL) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    return refused(id) ? -1 : 0;
}

static uint16_t get_src_port(struct rdma_cm_id *ibv)
{
    return of(ibv)->port;
}

static int listen_(struct rdma_cm_id *ibv, int backlog)
{
    (void)backlog;
    of(ibv)->listens = true;
    return refused(of(ibv)) ? -1 : 0;
}

/* --- asking and answering ------------------------------------------------------------------------
 */

static int resolve_addr(struct rdma_cm_id *ibv, const struct sockaddr_in *from,
                        const struct sockaddr_in *to, int wait_ms)
{
    struct fake_id *id = of(ibv);

    (void)wait_ms;
    id->to_ipv4 = ntohl(to->sin_addr.s_addr);
    id->to_port = ntohs(to->sin_port);
    if (bind_addr(ibv, from) != 0) {
        return -1;
    }
    (void)event_add(id, device_at(id->to_ipv4) != NULL ? RDMA_CM_EVENT_ADDR_RESOLVED
                                                       : RDMA_CM_EVENT_ADDR_ERROR);
    return 0;
}

static int resolve_route(struct rdma_cm_id *ibv, int wait_ms)
{
    (void)wait_ms;
    (void)event_add(of(ibv), RDMA_CM_EVENT_ROUTE_RESOLVED);
    return refused(of(ibv)) ? -1 : 0;
}

static struct fake_id *listener_of(uint32_t ipv4, uint16_t port)
{
    for (uint32_t i = 0; i < IDS_MAX; i++) {
        struct fake_id *id = world.ids[i];

        if (id != NULL && id->listens && id->ipv4 == ipv4 && id->port == port) {
            return id;
        }
    }
    return NULL;
}

struct rdma_connecting {
    struct fake_id *id;
    int error;
};

static int connect_(struct rdma_cm_id *ibv, const struct rdma_conn_param *parameters)
{
    struct fake_id *id = of(ibv);
    struct fake_id *listener = listener_of(id->to_ipv4, id->to_port);
    struct rdma_cm_id *asked;
    struct fake_event *event;

    if (refused(id)) {
        return -1;
    }
    assert(parameters->private_data_len <= PRIVATE_BYTES);
    id->asks = true;
    id->qp_number = parameters->qp_num;
    id->psn = ++world.psn_next;
    if (!fake__reaches(device_of(id), device_at(id->to_ipv4))) {
        id->waits = is_iwarp(id); /* the call itself, for TCP */
        return 0;                 /* and nobody answers */
    }
    if (listener == NULL) {
        (void)event_add(id, RDMA_CM_EVENT_REJECTED);
        return 0;
    }
    (void)create_id(listener->ibv.channel, &asked, listener->ibv.context);
    asked->verbs = listener->ibv.verbs;
    of(asked)->other = id;
    id->other = of(asked);
    event = event_add(of(asked), RDMA_CM_EVENT_CONNECT_REQUEST);
    event->ibv.listen_id = &listener->ibv;
    memcpy(event->bytes, parameters->private_data, parameters->private_data_len);
    event->ibv.param.conn.private_data = event->bytes;
    event->ibv.param.conn.private_data_len = PRIVATE_BYTES;
    return 0;
}

static struct rdma_connecting *connect_begin(struct rdma_cm_id *ibv,
                                             const struct rdma_conn_param *parameters)
{
    struct rdma_connecting *connecting = calloc(1, sizeof(*connecting));

    assert(connecting != NULL);
    *connecting = (struct rdma_connecting){.id = of(ibv),
                                           .error = connect_(ibv, parameters) != 0 ? errno : 0};
    fake__live_add(1);
    return connecting;
}

static bool connect_done(const struct rdma_connecting *connecting, int *out_error)
{
    *out_error = connecting->error;
    return !connecting->id->waits;
}

static void connect_end(struct rdma_connecting *connecting)
{
    connecting->id->waits = false;
    free(connecting);
    fake__live_add(-1);
}

static int accept_(struct rdma_cm_id *ibv, struct rdma_conn_param *parameters)
{
    struct fake_id *id = of(ibv);

    if (refused(id)) {
        return -1;
    }
    id->qp_number = parameters->qp_num;
    id->answered = true;
    if (id->other == NULL) {
        errno = EINVAL;
        return -1;
    }
    if (is_iwarp(id)) {
        fake__iwarp_join(id->qp_number, device_of(id->other), id->other->qp_number);
        if (fake__reaches(device_of(id), device_of(id->other))) {
            fake__iwarp_join(id->other->qp_number, device_of(id), id->qp_number);
        }
        (void)event_add(id, RDMA_CM_EVENT_ESTABLISHED);
    }
    event_send(id, is_iwarp(id) ? RDMA_CM_EVENT_ESTABLISHED : RDMA_CM_EVENT_CONNECT_RESPONSE);
    return 0;
}

static int establish(struct rdma_cm_id *ibv)
{
    if (refused(of(ibv))) {
        return -1;
    }
    event_send(of(ibv), RDMA_CM_EVENT_ESTABLISHED);
    return 0;
}

static int init_qp_attr(struct rdma_cm_id *ibv, struct ibv_qp_attr *attr, int *out_mask)
{
    struct fake_id *id = of(ibv);

    if (refused(id)) {
        return -1;
    }
    if (id->psn == 0) {
        id->psn = ++world.psn_next;
    }
    if (id->other == NULL) {
        errno = EINVAL;
        return -1;
    }
    *out_mask = IBV_QP_STATE;
    if (attr->qp_state == IBV_QPS_RTR) {
        attr->dest_qp_num = id->other->qp_number;
        attr->rq_psn = id->other->psn;
        fake__gid_of(device_of(id->other), &attr->ah_attr.grh.dgid);
    } else {
        attr->sq_psn = id->psn;
    }
    return 0;
}

/* --- events -------------------------------------------------------------------------------------
 */

static int get_cm_event(struct rdma_event_channel *channel, struct rdma_cm_event **out_event)
{
    for (uint32_t i = 0; i < world.event_count; i++) {
        struct fake_event *event = world.events[i];

        if (event->channel == channel) {
            world.event_count--;
            memmove(&world.events[i], &world.events[i + 1],
                    (world.event_count - i) * sizeof(struct fake_event *));
            of(event->ibv.id)->unacknowledged++;
            *out_event = &event->ibv;
            return 0;
        }
    }
    errno = EAGAIN;
    return -1;
}

static int ack_cm_event(struct rdma_cm_event *event)
{
    of(event->id)->unacknowledged--;
    free(event);
    return 0;
}

void fake__cm_verbs(struct rdma_verbs *verbs)
{
    verbs->create_event_channel = create_event_channel;
    verbs->destroy_event_channel = destroy_event_channel;
    verbs->create_id = create_id;
    verbs->destroy_id = destroy_id;
    verbs->bind_addr = bind_addr;
    verbs->get_src_port = get_src_port;
    verbs->listen = listen_;
    verbs->resolve_addr = resolve_addr;
    verbs->resolve_route = resolve_route;
    verbs->connect_begin = connect_begin;
    verbs->connect_done = connect_done;
    verbs->connect_end = connect_end;
    verbs->accept = accept_;
    verbs->establish = establish;
    verbs->init_qp_attr = init_qp_attr;
    verbs->get_cm_event = get_cm_event;
    verbs->ack_cm_event = ack_cm_event;
}
