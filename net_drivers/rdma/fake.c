/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_private.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAX_CQE 16385
#define QPN_FIRST 0x11u

struct fake_world fake__world;

/* --- the world ----------------------------------------------------------------------------------
 */

void fake__misused(const char *what)
{
    if (fake__world.misuse == NULL) {
        fake__world.misuse = what;
    }
}

void fake__live_add(int count)
{
    fake__world.live += (uint32_t)count;
}

void fake_reset(void)
{
    memset(&fake__world, 0, sizeof(fake__world));
    fake__cm_reset();
    fake__qp_verbs(&fake__verbs);
    fake__cm_verbs(&fake__verbs);
    fake__world.qpn_next = QPN_FIRST;
    fake__world.lkey_next = 1000;
    fake__world.random = 0x9e3779b97f4a7c15u;
    for (uint32_t i = 0; i < FAKE_DEVICES; i++) {
        struct fake_device *device = &fake__world.devices[i];

        device->port_up = true;
        device->ibv.transport_type = IBV_TRANSPORT_IB;
        device->context.device = &device->ibv;
        (void)snprintf(device->ibv.name, sizeof(device->ibv.name), "fake%u", i);
    }
}

void fake_iwarp(void)
{
    for (uint32_t i = 0; i < FAKE_DEVICES; i++) {
        fake__world.devices[i].ibv.transport_type = IBV_TRANSPORT_IWARP;
    }
}

uint32_t fake_live(void)
{
    return fake__world.live;
}

const char *fake_misuse(void)
{
    return fake__world.misuse;
}

void fake_fail(uint32_t device, enum ibv_wc_status status, bool receive, uint32_t after)
{
    fake__world.devices[device].fault =
        (struct fake_fault){.armed = true, .receive = receive, .status = status, .after = after};
}

void fake_fail_delivered(uint32_t device, enum ibv_wc_status status, uint32_t after)
{
    fake_fail(device, status, false, after);
    fake__world.devices[device].fault.delivered = true;
}

bool fake_failed(uint32_t device)
{
    return fake__world.devices[device].fault.done;
}

void fake_refuse(uint32_t number)
{
    fake__world.refuse = number;
    fake__world.refused = false;
}

bool fake_refused(void)
{
    return fake__world.refused;
}

static void event_add(struct fake_device *device, struct ibv_async_event event)
{
    assert(device->event_count < FAKE_EVENTS_MAX);
    device->events[device->event_count++] = event;
}

void fake_remove(uint32_t device, bool told)
{
    fake__world.devices[device].removed = true;
    if (told) {
        event_add(&fake__world.devices[device],
                  (struct ibv_async_event){.event_type = IBV_EVENT_DEVICE_FATAL});
    }
}

void fake_port(uint32_t device, bool up)
{
    struct ibv_async_event event = {.event_type = up ? IBV_EVENT_PORT_ACTIVE : IBV_EVENT_PORT_ERR};

    event.element.port_num = 1;
    fake__world.devices[device].port_up = up;
    event_add(&fake__world.devices[device], event);
}

void fake_qp_events(uint32_t device, enum ibv_event_type type)
{
    for (uint32_t i = 0; i < FAKE_QPS_MAX; i++) {
        if (fake__world.qps[i] != NULL &&
            fake__world.qps[i]->device == &fake__world.devices[device]) {
            struct ibv_async_event event = {.event_type = type};

            event.element.qp = &fake__world.qps[i]->ibv;
            event_add(&fake__world.devices[device], event);
        }
    }
}

bool fake__refused(const struct fake_device *device)
{
    if (device->removed) {
        errno = EIO;
        return true;
    }
    if (fake__world.refuse > 0 && --fake__world.refuse == 0) {
        fake__world.refused = true;
        errno = ENOMEM;
        return true;
    }
    return false;
}

struct fake_device *fake__device_of(const struct ibv_context *context)
{
    return (struct fake_device *)context->device;
}

void fake__gid_of(const struct fake_device *device, union ibv_gid *out)
{
    memset(out, 0, sizeof(*out));
    out->raw[10] = out->raw[11] = 0xff;
    out->raw[12] = 10;
    out->raw[13] = 78;
    out->raw[15] = (uint8_t)(device - fake__world.devices + 1);
}

/* --- devices ------------------------------------------------------------------------------------
 */

static struct ibv_device **get_device_list(int *out_count)
{
    struct ibv_device **list = calloc(FAKE_DEVICES + 1, sizeof(struct ibv_device *));

    assert(list != NULL);
    for (uint32_t i = 0; i < FAKE_DEVICES; i++) {
        list[i] = &fake__world.devices[i].ibv;
    }
    *out_count = FAKE_DEVICES;
    fake__world.live++;
    return list;
}

static void free_device_list(struct ibv_device **list)
{
    fake__world.live--;
    free(list);
}

static const char *get_device_name(struct ibv_device *device)
{
    return device->name;
}

static struct ibv_context *open_device(struct ibv_device *device)
{
    struct ibv_context *context;

    if (fake__refused((struct fake_device *)device)) {
        return NULL;
    }
    context = calloc(1, sizeof(*context));
    assert(context != NULL);
    context->device = device;
    context->async_fd = eventfd(0, EFD_CLOEXEC);
    fake__world.live++;
    return context;
}

static int close_device(struct ibv_context *context)
{
    fake__world.live--;
    (void)close(context->async_fd);
    free(context);
    return 0;
}

static int query_device(struct ibv_context *context, struct ibv_device_attr *out_attr)
{
    memset(out_attr, 0, sizeof(*out_attr));
    out_attr->phys_port_cnt = 1;
    out_attr->max_cqe = MAX_CQE;
    out_attr->device_cap_flags = IBV_DEVICE_MEM_WINDOW_TYPE_2B;
    out_attr->max_qp_rd_atom = out_attr->max_qp_init_rd_atom = 8;
    return fake__refused(fake__device_of(context)) ? errno : 0;
}

static int query_port(struct ibv_context *context, uint8_t port, struct ibv_port_attr *out_attr)
{
    memset(out_attr, 0, sizeof(*out_attr));
    out_attr->state = fake__device_of(context)->port_up ? IBV_PORT_ACTIVE : IBV_PORT_DOWN;
    out_attr->active_mtu = IBV_MTU_1024;
    out_attr->gid_tbl_len = 3;
    out_attr->link_layer = IBV_LINK_LAYER_ETHERNET;
    return port != 1 || fake__refused(fake__device_of(context)) ? EINVAL : 0;
}

/* 0: RoCE v1, link-local; 1: RoCE v2 with the address; 2: empty. */
static enum rdma_gid_kind query_gid(struct ibv_context *context, uint8_t port, uint32_t index,
                                    union ibv_gid *out_gid)
{
    (void)port;
    fake__gid_of(fake__device_of(context), out_gid);
    if (index == 0) {
        out_gid->raw[0] = 0xfe;
        out_gid->raw[1] = 0x80;
        return RDMA_GID_ROCE_V1;
    }
    return index == 1 ? RDMA_GID_ROCE_V2 : RDMA_GID_NONE;
}

static int get_async_event(struct ibv_context *context, struct ibv_async_event *out_event)
{
    struct fake_device *device = fake__device_of(context);

    if (device->event_count == 0) {
        errno = EAGAIN;
        return -1;
    }
    *out_event = device->events[0];
    device->event_count--;
    memmove(device->events, device->events + 1, device->event_count * sizeof(device->events[0]));
    return 0;
}

static void ack_async_event(struct ibv_async_event *event)
{
    (void)event;
}

/* --- memory and queues --------------------------------------------------------------------------
 */

static struct ibv_pd *alloc_pd(struct ibv_context *context)
{
    struct ibv_pd *pd;

    if (fake__refused(fake__device_of(context))) {
        return NULL;
    }
    pd = calloc(1, sizeof(*pd));
    assert(pd != NULL);
    pd->context = context;
    fake__world.live++;
    return pd;
}

static int dealloc_pd(struct ibv_pd *pd)
{
    for (uint32_t i = 0; i < FAKE_MRS_MAX; i++) {
        if (fake__world.mrs[i] != NULL && fake__world.mrs[i]->pd == pd) {
            fake__misused("a protection domain given back before its memory");
        }
    }
    fake__world.live--;
    free(pd);
    return 0;
}

static struct ibv_mr *reg_mr(struct ibv_pd *pd, void *address, size_t length, int access)
{
    uint32_t at = 0;

    if (fake__refused(fake__device_of(pd->context))) {
        return NULL;
    }
    if ((access & ~(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND)) != 0) {
        fake__misused("memory that others may reach");
    }
    while (at < FAKE_MRS_MAX && fake__world.mrs[at] != NULL) {
        at++;
    }
    assert(at < FAKE_MRS_MAX);
    fake__world.mrs[at] = calloc(1, sizeof(struct ibv_mr));
    assert(fake__world.mrs[at] != NULL);
    *fake__world.mrs[at] = (struct ibv_mr){.context = pd->context,
                                           .pd = pd,
                                           .addr = address,
                                           .length = length,
                                           .lkey = fake__world.lkey_next++};
    fake__world.live++;
    return fake__world.mrs[at];
}

static int dereg_mr(struct ibv_mr *mr)
{
    for (uint32_t i = 0; i < FAKE_MRS_MAX; i++) {
        if (fake__world.mrs[i] == mr) {
            fake__world.mrs[i] = NULL;
        }
    }
    fake__world.live--;
    free(mr);
    return 0;
}

static struct ibv_mw *alloc_mw(struct ibv_pd *pd)
{
    uint32_t at = 0;

    if (fake__refused(fake__device_of(pd->context))) {
        return NULL;
    }
    while (at < FAKE_MRS_MAX && fake__world.mws[at] != NULL) {
        at++;
    }
    assert(at < FAKE_MRS_MAX);
    fake__world.mws[at] = calloc(1, sizeof(struct fake_mw));
    assert(fake__world.mws[at] != NULL);
    fake__world.mws[at]->ibv = (struct ibv_mw){.context = pd->context,
                                               .pd = pd,
                                               .rkey = fake__world.lkey_next++ << 8,
                                               .type = IBV_MW_TYPE_2};
    fake__world.live++;
    return &fake__world.mws[at]->ibv;
}

static int dealloc_mw(struct ibv_mw *ibv)
{
    struct fake_mw *mw = (struct fake_mw *)ibv;

    for (uint32_t i = 0; i < FAKE_MRS_MAX; i++) {
        if (fake__world.mws[i] == mw) {
            fake__world.mws[i] = NULL;
        }
    }
    fake__world.live--;
    free(mw);
    return 0;
}

static struct ibv_comp_channel *create_comp_channel(struct ibv_context *context)
{
    struct ibv_comp_channel *channel;

    if (fake__refused(fake__device_of(context))) {
        return NULL;
    }
    channel = calloc(1, sizeof(*channel));
    assert(channel != NULL);
    channel->context = context;
    channel->fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
    fake__world.live++;
    return channel;
}

static int destroy_comp_channel(struct ibv_comp_channel *channel)
{
    if (channel->refcnt != 0) {
        fake__misused("a channel given back before its queue");
    }
    fake__world.live--;
    (void)close(channel->fd);
    free(channel);
    return 0;
}

static struct ibv_cq *create_cq(struct ibv_context *context, int cqe,
                                struct ibv_comp_channel *channel)
{
    struct fake_cq *cq;

    if (fake__refused(fake__device_of(context))) {
        return NULL;
    }
    cq = calloc(1, sizeof(*cq));
    assert(cq != NULL);
    cq->ibv.context = context;
    cq->ibv.channel = channel;
    cq->capacity = (uint32_t)cqe;
    cq->ring = calloc(cq->capacity, sizeof(*cq->ring));
    assert(cq->ring != NULL);
    channel->refcnt++;
    fake__world.live++;
    return &cq->ibv;
}

static int destroy_cq(struct ibv_cq *ibv)
{
    struct fake_cq *cq = (struct fake_cq *)ibv;

    for (uint32_t i = 0; i < FAKE_QPS_MAX; i++) {
        if (fake__world.qps[i] != NULL && fake__world.qps[i]->ibv.send_cq == ibv) {
            fake__misused("a completion queue given back before its queue pairs");
        }
    }
    if (ibv->comp_events_completed != 0) {
        fake__misused("events that are not acknowledged: destroying would wait for ever");
    }
    ibv->channel->refcnt--;
    fake__world.live--;
    free(cq->ring);
    free(cq);
    return 0;
}

static int req_notify_cq(struct ibv_cq *ibv, int solicited_only)
{
    ((struct fake_cq *)ibv)->notify = solicited_only != 0 ? 2 : 1;
    return fake__device_of(ibv->context)->removed ? EIO : 0;
}

static int get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **out_cq)
{
    uint64_t one;

    if (read(channel->fd, &one, sizeof(one)) != (ssize_t)sizeof(one)) {
        return -1;
    }
    for (uint32_t i = 0; i < FAKE_QPS_MAX; i++) {
        if (fake__world.qps[i] != NULL && fake__world.qps[i]->ibv.send_cq->channel == channel) {
            *out_cq = fake__world.qps[i]->ibv.send_cq;
            (*out_cq)->comp_events_completed++; /* here: taken and not acknowledged */
            return 0;
        }
    }
    return 0;
}

static void ack_cq_events(struct ibv_cq *cq, unsigned int count)
{
    cq->comp_events_completed -=
        count < cq->comp_events_completed ? count : cq->comp_events_completed;
}

static int poll_cq(struct ibv_cq *ibv, int count, struct ibv_wc *out_wc)
{
    struct fake_cq *cq = (struct fake_cq *)ibv;
    int got = 0;

    fake__wire_run();
    if (fake__device_of(ibv->context)->removed) {
        return 0;
    }
    while (got < count && cq->tail != cq->head) {
        out_wc[got++] = cq->ring[cq->tail++ % cq->capacity];
    }
    return got;
}

static uint64_t now_ns(void)
{
    return fake__world.now_ns += FAKE_TICK_NS;
}

static uint64_t random64(void)
{
    fake__world.random ^= fake__world.random << 13;
    fake__world.random ^= fake__world.random >> 7;
    fake__world.random ^= fake__world.random << 17;
    return fake__world.random;
}

struct rdma_verbs fake__verbs = {
    .get_device_list = get_device_list,
    .free_device_list = free_device_list,
    .get_device_name = get_device_name,
    .open_device = open_device,
    .close_device = close_device,
    .query_device = query_device,
    .query_port = query_port,
    .query_gid = query_gid,
    .get_async_event = get_async_event,
    .ack_async_event = ack_async_event,
    .alloc_pd = alloc_pd,
    .dealloc_pd = dealloc_pd,
    .reg_mr = reg_mr,
    .dereg_mr = dereg_mr,
    .alloc_mw = alloc_mw,
    .dealloc_mw = dealloc_mw,
    .create_comp_channel = create_comp_channel,
    .destroy_comp_channel = destroy_comp_channel,
    .create_cq = create_cq,
    .destroy_cq = destroy_cq,
    .req_notify_cq = req_notify_cq,
    .get_cq_event = get_cq_event,
    .ack_cq_events = ack_cq_events,
    .poll_cq = poll_cq,
    .now_ns = now_ns,
    .random64 = random64,
};
