/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define QPS_MAX 64u
#define MRS_MAX QPS_MAX
#define EVENTS_MAX 64u
#define INLINE_BYTES 128u
#define MAX_CQE 16384
#define QPN_FIRST 0x11u

struct fake_fault {
    bool armed, receive, delivered, done;
    enum ibv_wc_status status;
    uint32_t after;
};

struct fake_device {
    struct ibv_device ibv;
    bool removed, port_up;
    struct fake_fault fault;
    struct ibv_async_event events[EVENTS_MAX];
    uint32_t event_count;
};

struct fake_cq {
    struct ibv_cq ibv;
    struct ibv_wc *ring;
    uint32_t capacity, head, tail;
    int notify; /* 0: no, 1: any, 2: solicited only */
};

struct fake_qp;
struct fake_mw {
    struct ibv_mw ibv;
    const struct fake_qp *qp; /* bound to; NULL: not bound */
    uint64_t address, length;
};

struct fake_send {
    uint64_t wr_id, address;
    uint32_t length, lkey;
    enum ibv_wr_opcode opcode;
    uint64_t remote_address; /* of a read */
    uint32_t remote_key;     /* of a read; of a bind: the new one */
    struct fake_mw *mw;      /* of a bind */
    bool inlined, signalled, solicited;
    uint8_t bytes[INLINE_BYTES];
};

struct fake_receive {
    uint64_t wr_id, address;
    uint32_t length, lkey;
};

struct fake_qp {
    struct ibv_qp ibv;
    bool used;
    struct fake_device *device;
    struct ibv_qp_cap cap;
    union ibv_gid dest;
    uint32_t dest_qpn, rq_psn, sq_psn;
    struct fake_send *sends;
    struct fake_receive *receives;
    uint32_t send_head, send_tail, receive_head, receive_tail;
    uint64_t silent_since_ns;
};

static struct {
    struct fake_device devices[FAKE_DEVICES];
    struct fake_qp *qps[QPS_MAX];
    struct ibv_mr *mrs[MRS_MAX];
    struct fake_mw *mws[MRS_MAX];
    uint64_t now_ns, random;
    uint32_t live, qpn_next, lkey_next, refuse;
    bool refused;
    const char *misuse;
} world;

/* --- the world ----------------------------------------------------------------------------------
 */

static void misused(const char *what)
{
    if (world.misuse == NULL) {
        world.misuse = what;
    }
}

void fake_reset(void)
{
    memset(&world, 0, sizeof(world));
    world.qpn_next = QPN_FIRST;
    world.lkey_next = 1000;
    world.random = 0x9e3779b97f4a7c15u;
    for (uint32_t i = 0; i < FAKE_DEVICES; i++) {
        struct fake_device *device = &world.devices[i];

        device->port_up = true;
        device->ibv.transport_type = IBV_TRANSPORT_IB;
        (void)snprintf(device->ibv.name, sizeof(device->ibv.name), "fake%u", i);
    }
}

uint32_t fake_live(void)
{
    return world.live;
}

const char *fake_misuse(void)
{
    return world.misuse;
}

void fake_fail(uint32_t device, enum ibv_wc_status status, bool receive, uint32_t after)
{
    world.devices[device].fault =
        (struct fake_fault){.armed = true, .receive = receive, .status = status, .after = after};
}

void fake_fail_delivered(uint32_t device, enum ibv_wc_status status, uint32_t after)
{
    fake_fail(device, status, false, after);
    world.devices[device].fault.delivered = true;
}

bool fake_failed(uint32_t device)
{
    return world.devices[device].fault.done;
}

void fake_refuse(uint32_t number)
{
    world.refuse = number;
    world.refused = false;
}

bool fake_refused(void)
{
    return world.refused;
}

static void event_add(struct fake_device *device, struct ibv_async_event event)
{
    assert(device->event_count < EVENTS_MAX);
    device->events[device->event_count++] = event;
}

void fake_remove(uint32_t device, bool told)
{
    world.devices[device].removed = true;
    if (told) {
        event_add(&world.devices[device],
                  (struct ibv_async_event){.event_type = IBV_EVENT_DEVICE_FATAL});
    }
}

void fake_port(uint32_t device, bool up)
{
    struct ibv_async_event event = {.event_type = up ? IBV_EVENT_PORT_ACTIVE : IBV_EVENT_PORT_ERR};

    event.element.port_num = 1;
    world.devices[device].port_up = up;
    event_add(&world.devices[device], event);
}

void fake_qp_events(uint32_t device, enum ibv_event_type type)
{
    for (uint32_t i = 0; i < QPS_MAX; i++) {
        if (world.qps[i] != NULL && world.qps[i]->device == &world.devices[device]) {
            struct ibv_async_event event = {.event_type = type};

            event.element.qp = &world.qps[i]->ibv;
            event_add(&world.devices[device], event);
        }
    }
}

/* True: this call fails. */
static bool refused(const struct fake_device *device)
{
    if (device->removed) {
        errno = EIO;
        return true;
    }
    if (world.refuse > 0 && --world.refuse == 0) {
        world.refused = true;
        errno = ENOMEM;
        return true;
    }
    return false;
}

static struct fake_device *device_of(const struct ibv_context *context)
{
    return (struct fake_device *)context->device;
}

/* --- completions --------------------------------------------------------------------------------
 */

static void complete(struct ibv_cq *ibv, const struct ibv_wc *wc, bool solicited)
{
    struct fake_cq *cq = (struct fake_cq *)ibv;
    bool wakes = solicited || wc->status != IBV_WC_SUCCESS;

    if (cq->head - cq->tail == cq->capacity) {
        misused("a completion queue ran over");
        return;
    }
    cq->ring[cq->head++ % cq->capacity] = *wc;
    if (cq->notify == 1 || (cq->notify == 2 && wakes)) {
        uint64_t one = 1;

        cq->notify = 0;
        assert(write(ibv->channel->fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
    }
}

static void complete_send(struct fake_qp *qp, const struct fake_send *send,
                          enum ibv_wc_status status)
{
    struct ibv_wc wc = {
        .wr_id = send->wr_id, .status = status, .opcode = IBV_WC_SEND, .qp_num = qp->ibv.qp_num};

    if (send->signalled || status != IBV_WC_SUCCESS) {
        complete(qp->ibv.send_cq, &wc, false);
    }
}

static void complete_receive(struct fake_qp *qp, enum ibv_wc_status status, uint32_t length,
                             bool solicited)
{
    const struct fake_receive *receive = &qp->receives[qp->receive_tail++ % qp->cap.max_recv_wr];
    struct ibv_wc wc = {.wr_id = receive->wr_id,
                        .status = status,
                        .opcode = IBV_WC_RECV,
                        .byte_len = length,
                        .qp_num = qp->ibv.qp_num};

    complete(qp->ibv.recv_cq, &wc, solicited);
}

static void flush(struct fake_qp *qp)
{
    qp->ibv.state = IBV_QPS_ERR;
    while (qp->send_tail != qp->send_head) {
        complete_send(qp, &qp->sends[qp->send_tail++ % qp->cap.max_send_wr], IBV_WC_WR_FLUSH_ERR);
    }
    while (qp->receive_tail != qp->receive_head) {
        complete_receive(qp, IBV_WC_WR_FLUSH_ERR, 0, false);
    }
}

static void send_fail(struct fake_qp *qp, enum ibv_wc_status status)
{
    complete_send(qp, &qp->sends[qp->send_tail++ % qp->cap.max_send_wr], status);
    flush(qp);
}

static void receive_fail(struct fake_qp *qp, enum ibv_wc_status status)
{
    complete_receive(qp, status, 0, false);
    flush(qp);
}

/* True: this completion has to fail. */
static bool fault_hits(struct fake_device *device, bool receive, bool delivered)
{
    struct fake_fault *fault = &device->fault;

    if (!fault->armed || fault->receive != receive || fault->delivered != delivered) {
        return false;
    }
    if (fault->after > 0) {
        fault->after--;
        return false;
    }
    fault->armed = false;
    fault->done = true;
    return true;
}

/* --- the wire -----------------------------------------------------------------------------------
 */

static void gid_of(const struct fake_device *device, union ibv_gid *out)
{
    memset(out, 0, sizeof(*out));
    out->raw[10] = out->raw[11] = 0xff;
    out->raw[12] = 10;
    out->raw[13] = 78;
    out->raw[15] = (uint8_t)(device - world.devices + 1);
}

static bool memory_is_registered(const struct fake_qp *qp, uint64_t address, uint32_t length,
                                 uint32_t lkey)
{
    for (uint32_t i = 0; i < MRS_MAX; i++) {
        const struct ibv_mr *mr = world.mrs[i];

        if (mr != NULL && mr->lkey == lkey && mr->pd == qp->ibv.pd &&
            address >= (uintptr_t)mr->addr &&
            address + length <= (uintptr_t)mr->addr + mr->length) {
            return true;
        }
    }
    return false;
}

/* The other end, if a packet reaches it and it takes it. */
static struct fake_qp *mate_of(const struct fake_qp *qp)
{
    union ibv_gid own, its;

    gid_of(qp->device, &own);
    for (uint32_t i = 0; i < QPS_MAX; i++) {
        struct fake_qp *mate = world.qps[i];

        if (mate == NULL || mate->ibv.qp_num != qp->dest_qpn ||
            (mate->ibv.state != IBV_QPS_RTR && mate->ibv.state != IBV_QPS_RTS)) {
            continue;
        }
        gid_of(mate->device, &its);
        if (memcmp(&its, &qp->dest, sizeof(its)) == 0 &&
            memcmp(&own, &mate->dest, sizeof(own)) == 0 && mate->dest_qpn == qp->ibv.qp_num &&
            mate->rq_psn == qp->sq_psn && mate->device->port_up && !mate->device->removed &&
            qp->device->port_up) {
            return mate;
        }
    }
    return NULL;
}

static bool window_is_open(const struct fake_qp *mate, const struct fake_send *read)
{
    for (uint32_t i = 0; i < MRS_MAX; i++) {
        const struct fake_mw *mw = world.mws[i];

        if (mw != NULL && mw->qp == mate && mw->ibv.rkey == read->remote_key &&
            read->remote_address >= mw->address &&
            read->remote_address + read->length <= mw->address + mw->length) {
            return true;
        }
    }
    return false;
}

/* Half of the bytes come, or all. */
static void read_run(struct fake_qp *qp, const struct fake_qp *mate)
{
    const struct fake_send *send = &qp->sends[qp->send_tail % qp->cap.max_send_wr];
    bool fails = fault_hits(qp->device, false, true);

    if (!memory_is_registered(qp, send->address, send->length, send->lkey)) {
        misused("a read into memory that is not registered");
    }
    if (!window_is_open(mate, send)) {
        send_fail(qp, IBV_WC_REM_ACCESS_ERR);
        return;
    }
    memcpy((void *)(uintptr_t)send->address, (const void *)(uintptr_t)send->remote_address,
           fails ? send->length / 2 : send->length);
    if (fails) {
        send_fail(qp, qp->device->fault.status);
        return;
    }
    complete_send(qp, send, IBV_WC_SUCCESS);
    qp->send_tail++;
}

static void bind_run(struct fake_qp *qp)
{
    const struct fake_send *send = &qp->sends[qp->send_tail % qp->cap.max_send_wr];

    send->mw->qp = qp;
    send->mw->ibv.rkey = send->remote_key;
    complete_send(qp, send, IBV_WC_SUCCESS);
    qp->send_tail++;
}

/* True: it is done with, well or not. */
static bool send_deliver(struct fake_qp *qp, struct fake_qp *mate)
{
    const struct fake_send *send = &qp->sends[qp->send_tail % qp->cap.max_send_wr];
    const struct fake_receive *receive =
        &mate->receives[mate->receive_tail % mate->cap.max_recv_wr];

    if (mate->receive_tail == mate->receive_head) {
        return false; /* as long as it takes */
    }
    if (!send->inlined && send->length > 0 &&
        !memory_is_registered(qp, send->address, send->length, send->lkey)) {
        misused("a send from memory that is not registered");
    }
    if (!memory_is_registered(mate, receive->address, receive->length, receive->lkey)) {
        misused("a receive into memory that is not registered");
    }
    if (fault_hits(mate->device, true, false)) {
        receive_fail(mate, mate->device->fault.status);
        send_fail(qp, IBV_WC_REM_OP_ERR);
        return true;
    }
    if (send->length > receive->length) {
        receive_fail(mate, IBV_WC_LOC_LEN_ERR);
        send_fail(qp, IBV_WC_REM_INV_REQ_ERR);
        return true;
    }
    if (send->length > 0) {
        memcpy((void *)(uintptr_t)receive->address,
               send->inlined ? send->bytes : (const void *)(uintptr_t)send->address, send->length);
    }
    complete_receive(mate, IBV_WC_SUCCESS, send->length, send->solicited);
    if (fault_hits(qp->device, false, true)) {
        send_fail(qp, qp->device->fault.status);
    } else {
        complete_send(qp, send, IBV_WC_SUCCESS);
        qp->send_tail++;
    }
    return true;
}

static void sends_run(struct fake_qp *qp)
{
    while (qp->ibv.state == IBV_QPS_RTS && qp->send_tail != qp->send_head && !qp->device->removed) {
        struct fake_qp *mate = mate_of(qp);

        if (fault_hits(qp->device, false, false)) {
            send_fail(qp, qp->device->fault.status);
            return;
        }
        if (qp->sends[qp->send_tail % qp->cap.max_send_wr].opcode == IBV_WR_BIND_MW) {
            bind_run(qp);
            continue;
        }
        if (mate == NULL) {
            if (qp->silent_since_ns == 0) {
                qp->silent_since_ns = world.now_ns;
            }
            if (world.now_ns - qp->silent_since_ns >= FAKE_RETRY_NS) {
                send_fail(qp, IBV_WC_RETRY_EXC_ERR);
            }
            return;
        }
        qp->silent_since_ns = 0;
        if (qp->sends[qp->send_tail % qp->cap.max_send_wr].opcode == IBV_WR_RDMA_READ) {
            read_run(qp, mate);
        } else if (!send_deliver(qp, mate)) {
            return;
        }
    }
}

static void world_run(void)
{
    for (uint32_t i = 0; i < QPS_MAX; i++) {
        if (world.qps[i] != NULL) {
            sends_run(world.qps[i]);
        }
    }
}

/* --- devices ------------------------------------------------------------------------------------
 */

static struct ibv_device **get_device_list(int *out_count)
{
    struct ibv_device **list = calloc(FAKE_DEVICES + 1, sizeof(struct ibv_device *));

    assert(list != NULL);
    for (uint32_t i = 0; i < FAKE_DEVICES; i++) {
        list[i] = &world.devices[i].ibv;
    }
    *out_count = FAKE_DEVICES;
    world.live++;
    return list;
}

static void free_device_list(struct ibv_device **list)
{
    world.live--;
    free(list);
}

static const char *get_device_name(struct ibv_device *device)
{
    return device->name;
}

static struct ibv_context *open_device(struct ibv_device *device)
{
    struct ibv_context *context;

    if (refused((struct fake_device *)device)) {
        return NULL;
    }
    context = calloc(1, sizeof(*context));
    assert(context != NULL);
    context->device = device;
    context->async_fd = eventfd(0, EFD_CLOEXEC);
    world.live++;
    return context;
}

static int close_device(struct ibv_context *context)
{
    world.live--;
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
    return refused(device_of(context)) ? errno : 0;
}

static int query_port(struct ibv_context *context, uint8_t port, struct ibv_port_attr *out_attr)
{
    memset(out_attr, 0, sizeof(*out_attr));
    out_attr->state = device_of(context)->port_up ? IBV_PORT_ACTIVE : IBV_PORT_DOWN;
    out_attr->active_mtu = IBV_MTU_1024;
    out_attr->gid_tbl_len = 3;
    out_attr->link_layer = IBV_LINK_LAYER_ETHERNET;
    return port != 1 || refused(device_of(context)) ? EINVAL : 0;
}

/* 0: RoCE v1, link-local; 1: RoCE v2 with the address; 2: empty. */
static enum rdma_gid_kind query_gid(struct ibv_context *context, uint8_t port, uint32_t index,
                                    union ibv_gid *out_gid)
{
    (void)port;
    gid_of(device_of(context), out_gid);
    if (index == 0) {
        out_gid->raw[0] = 0xfe;
        out_gid->raw[1] = 0x80;
        return RDMA_GID_ROCE_V1;
    }
    return index == 1 ? RDMA_GID_ROCE_V2 : RDMA_GID_NONE;
}

static int get_async_event(struct ibv_context *context, struct ibv_async_event *out_event)
{
    struct fake_device *device = device_of(context);

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

    if (refused(device_of(context))) {
        return NULL;
    }
    pd = calloc(1, sizeof(*pd));
    assert(pd != NULL);
    pd->context = context;
    world.live++;
    return pd;
}

static int dealloc_pd(struct ibv_pd *pd)
{
    for (uint32_t i = 0; i < MRS_MAX; i++) {
        if (world.mrs[i] != NULL && world.mrs[i]->pd == pd) {
            misused("a protection domain given back before its memory");
        }
    }
    world.live--;
    free(pd);
    return 0;
}

static struct ibv_mr *reg_mr(struct ibv_pd *pd, void *address, size_t length, int access)
{
    uint32_t at = 0;

    if (refused(device_of(pd->context))) {
        return NULL;
    }
    if ((access & ~(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_MW_BIND)) != 0) {
        misused("memory that others may reach");
    }
    while (at < MRS_MAX && world.mrs[at] != NULL) {
        at++;
    }
    assert(at < MRS_MAX);
    world.mrs[at] = calloc(1, sizeof(struct ibv_mr));
    assert(world.mrs[at] != NULL);
    *world.mrs[at] = (struct ibv_mr){.context = pd->context,
                                     .pd = pd,
                                     .addr = address,
                                     .length = length,
                                     .lkey = world.lkey_next++};
    world.live++;
    return world.mrs[at];
}

static int dereg_mr(struct ibv_mr *mr)
{
    for (uint32_t i = 0; i < MRS_MAX; i++) {
        if (world.mrs[i] == mr) {
            world.mrs[i] = NULL;
        }
    }
    world.live--;
    free(mr);
    return 0;
}

static struct ibv_mw *alloc_mw(struct ibv_pd *pd)
{
    uint32_t at = 0;

    if (refused(device_of(pd->context))) {
        return NULL;
    }
    while (at < MRS_MAX && world.mws[at] != NULL) {
        at++;
    }
    assert(at < MRS_MAX);
    world.mws[at] = calloc(1, sizeof(struct fake_mw));
    assert(world.mws[at] != NULL);
    world.mws[at]->ibv = (struct ibv_mw){
        .context = pd->context, .pd = pd, .rkey = world.lkey_next++ << 8, .type = IBV_MW_TYPE_2};
    world.live++;
    return &world.mws[at]->ibv;
}

static int dealloc_mw(struct ibv_mw *ibv)
{
    struct fake_mw *mw = (struct fake_mw *)ibv;

    for (uint32_t i = 0; i < MRS_MAX; i++) {
        if (world.mws[i] == mw) {
            world.mws[i] = NULL;
        }
    }
    world.live--;
    free(mw);
    return 0;
}

static struct ibv_comp_channel *create_comp_channel(struct ibv_context *context)
{
    struct ibv_comp_channel *channel;

    if (refused(device_of(context))) {
        return NULL;
    }
    channel = calloc(1, sizeof(*channel));
    assert(channel != NULL);
    channel->context = context;
    channel->fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
    world.live++;
    return channel;
}

static int destroy_comp_channel(struct ibv_comp_channel *channel)
{
    if (channel->refcnt != 0) {
        misused("a channel given back before its queue");
    }
    world.live--;
    (void)close(channel->fd);
    free(channel);
    return 0;
}

static struct ibv_cq *create_cq(struct ibv_context *context, int cqe,
                                struct ibv_comp_channel *channel)
{
    struct fake_cq *cq;

    if (refused(device_of(context))) {
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
    world.live++;
    return &cq->ibv;
}

static int destroy_cq(struct ibv_cq *ibv)
{
    struct fake_cq *cq = (struct fake_cq *)ibv;

    for (uint32_t i = 0; i < QPS_MAX; i++) {
        if (world.qps[i] != NULL && world.qps[i]->ibv.send_cq == ibv) {
            misused("a completion queue given back before its queue pairs");
        }
    }
    if (ibv->comp_events_completed != 0) {
        misused("events that are not acknowledged: destroying would wait for ever");
    }
    ibv->channel->refcnt--;
    world.live--;
    free(cq->ring);
    free(cq);
    return 0;
}

static int req_notify_cq(struct ibv_cq *ibv, int solicited_only)
{
    ((struct fake_cq *)ibv)->notify = solicited_only != 0 ? 2 : 1;
    return device_of(ibv->context)->removed ? EIO : 0;
}

static int get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **out_cq)
{
    uint64_t one;

    if (read(channel->fd, &one, sizeof(one)) != (ssize_t)sizeof(one)) {
        return -1;
    }
    for (uint32_t i = 0; i < QPS_MAX; i++) {
        if (world.qps[i] != NULL && world.qps[i]->ibv.send_cq->channel == channel) {
            *out_cq = world.qps[i]->ibv.send_cq;
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

    world_run();
    if (device_of(ibv->context)->removed) {
        return 0;
    }
    while (got < count && cq->tail != cq->head) {
        out_wc[got++] = cq->ring[cq->tail++ % cq->capacity];
    }
    return got;
}

/* --- queue pairs --------------------------------------------------------------------------------
 */

static struct ibv_qp *create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr)
{
    struct fake_qp *qp;
    uint32_t at = 0;

    if (attr->cap.max_inline_data > INLINE_BYTES) {
        errno = EINVAL;
        return NULL;
    }
    if (refused(device_of(pd->context))) {
        return NULL;
    }
    while (at < QPS_MAX && world.qps[at] != NULL) {
        at++;
    }
    assert(at < QPS_MAX);
    qp = calloc(1, sizeof(*qp));
    assert(qp != NULL);
    qp->device = device_of(pd->context);
    qp->cap = attr->cap;
    qp->ibv = (struct ibv_qp){.context = pd->context,
                              .pd = pd,
                              .send_cq = attr->send_cq,
                              .recv_cq = attr->recv_cq,
                              .qp_num = world.qpn_next++,
                              .state = IBV_QPS_RESET,
                              .qp_type = attr->qp_type};
    qp->sends = calloc(attr->cap.max_send_wr, sizeof(*qp->sends));
    qp->receives = calloc(attr->cap.max_recv_wr, sizeof(*qp->receives));
    assert(qp->sends != NULL && qp->receives != NULL);
    world.qps[at] = qp;
    world.live++;
    return &qp->ibv;
}

static int modify_qp(struct ibv_qp *ibv, struct ibv_qp_attr *attr, int mask)
{
    static const enum ibv_qp_state before[] = {
        [IBV_QPS_INIT] = IBV_QPS_RESET, [IBV_QPS_RTR] = IBV_QPS_INIT, [IBV_QPS_RTS] = IBV_QPS_RTR};
    struct fake_qp *qp = (struct fake_qp *)ibv;

    if (refused(qp->device)) {
        return errno;
    }
    if ((mask & IBV_QP_STATE) == 0 || attr->qp_state > IBV_QPS_RTS ||
        before[attr->qp_state] != ibv->state) {
        misused("a queue pair moved where it cannot go");
        return EINVAL;
    }
    ibv->state = attr->qp_state;
    if (attr->qp_state == IBV_QPS_INIT &&
        (attr->qp_access_flags & ~(unsigned int)IBV_ACCESS_REMOTE_READ) != 0) {
        misused("a queue pair that lets others reach memory");
    }
    if (attr->qp_state == IBV_QPS_RTR) {
        qp->dest = attr->ah_attr.grh.dgid;
        qp->dest_qpn = attr->dest_qp_num;
        qp->rq_psn = attr->rq_psn;
    }
    if (attr->qp_state == IBV_QPS_RTS) {
        qp->sq_psn = attr->sq_psn;
    }
    return 0;
}

static int destroy_qp(struct ibv_qp *ibv)
{
    struct fake_qp *qp = (struct fake_qp *)ibv;

    for (uint32_t i = 0; i < QPS_MAX; i++) {
        if (world.qps[i] == qp) {
            world.qps[i] = NULL;
        }
        if (world.mws[i] != NULL && world.mws[i]->qp == qp) {
            misused("a queue pair destroyed before its window: soft-RoCE waits a minute");
        }
    }
    world.live--;
    free(qp->sends);
    free(qp->receives);
    free(qp);
    return 0;
}

static int post_send(struct ibv_qp *ibv, struct ibv_send_wr *wr, struct ibv_send_wr **out_bad)
{
    struct fake_qp *qp = (struct fake_qp *)ibv;

    for (; wr != NULL; wr = wr->next) {
        struct fake_send *send = &qp->sends[qp->send_head % qp->cap.max_send_wr];

        *out_bad = wr;
        if (refused(qp->device)) {
            return errno;
        }
        if (qp->send_head - qp->send_tail == qp->cap.max_send_wr) {
            misused("a send queue ran over");
            return ENOMEM;
        }
        *send = (struct fake_send){.wr_id = wr->wr_id,
                                   .opcode = wr->opcode,
                                   .inlined = (wr->send_flags & IBV_SEND_INLINE) != 0,
                                   .signalled = (wr->send_flags & IBV_SEND_SIGNALED) != 0,
                                   .solicited = (wr->send_flags & IBV_SEND_SOLICITED) != 0};
        if (wr->opcode == IBV_WR_BIND_MW) {
            send->mw = (struct fake_mw *)wr->bind_mw.mw;
            send->mw->address = wr->bind_mw.bind_info.addr;
            send->mw->length = wr->bind_mw.bind_info.length;
            send->remote_key = wr->bind_mw.rkey;
            if (wr->bind_mw.bind_info.mw_access_flags != IBV_ACCESS_REMOTE_READ) {
                misused("a window for more than reading");
            }
        } else if (wr->opcode == IBV_WR_RDMA_READ) {
            send->remote_address = wr->wr.rdma.remote_addr;
            send->remote_key = wr->wr.rdma.rkey;
        }
        if (wr->num_sge == 1) {
            send->address = wr->sg_list->addr;
            send->length = wr->sg_list->length;
            send->lkey = wr->sg_list->lkey;
        }
        if (send->inlined) {
            assert(send->length <= INLINE_BYTES);
            memcpy(send->bytes, (const void *)(uintptr_t)send->address, send->length);
        }
        qp->send_head++;
        if (ibv->state == IBV_QPS_ERR) {
            flush(qp);
        }
    }
    sends_run(qp);
    return 0;
}

static int post_recv(struct ibv_qp *ibv, struct ibv_recv_wr *wr, struct ibv_recv_wr **out_bad)
{
    struct fake_qp *qp = (struct fake_qp *)ibv;

    for (; wr != NULL; wr = wr->next) {
        *out_bad = wr;
        if (refused(qp->device)) {
            return errno;
        }
        if (qp->receive_head - qp->receive_tail == qp->cap.max_recv_wr) {
            misused("a receive queue ran over");
            return ENOMEM;
        }
        qp->receives[qp->receive_head++ % qp->cap.max_recv_wr] =
            (struct fake_receive){.wr_id = wr->wr_id,
                                  .address = wr->sg_list->addr,
                                  .length = wr->sg_list->length,
                                  .lkey = wr->sg_list->lkey};
        if (ibv->state == IBV_QPS_ERR) {
            flush(qp);
        }
    }
    return 0;
}

static uint64_t now_ns(void)
{
    return world.now_ns += FAKE_TICK_NS;
}

static uint64_t random64(void)
{
    world.random ^= world.random << 13;
    world.random ^= world.random >> 7;
    world.random ^= world.random << 17;
    return world.random;
}

const struct rdma_verbs fake__verbs = {
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
    .create_qp = create_qp,
    .modify_qp = modify_qp,
    .destroy_qp = destroy_qp,
    .post_send = post_send,
    .post_recv = post_recv,
    .now_ns = now_ns,
    .random64 = random64,
};
