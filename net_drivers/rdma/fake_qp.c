/* SPDX-License-Identifier: Apache-2.0 */
/* fake_qp.c - queue pairs of devices that are none, and the wire between them. See fake.h. */
#include "fake_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- completions --------------------------------------------------------------------------------
 */

static void complete(struct ibv_cq *ibv, const struct ibv_wc *wc, bool solicited)
{
    struct fake_cq *cq = (struct fake_cq *)ibv;
    bool wakes = solicited || wc->status != IBV_WC_SUCCESS;

    if (cq->head - cq->tail == cq->capacity) {
        fake__misused("a completion queue ran over");
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

bool fake__reaches(const struct fake_device *from, const struct fake_device *to)
{
    return from->port_up && to->port_up && !from->removed && !to->removed;
}

static bool memory_is_registered(const struct fake_qp *qp, uint64_t address, uint32_t length,
                                 uint32_t lkey)
{
    for (uint32_t i = 0; i < FAKE_MRS_MAX; i++) {
        const struct ibv_mr *mr = fake__world.mrs[i];

        if (mr != NULL && mr->lkey == lkey && mr->pd == qp->ibv.pd &&
            address >= (uintptr_t)mr->addr &&
            address + length <= (uintptr_t)mr->addr + mr->length) {
            return true;
        }
    }
    return false;
}

void fake__iwarp_join(uint32_t qp_number, const struct fake_device *other, uint32_t other_number)
{
    for (uint32_t i = 0; i < FAKE_QPS_MAX; i++) {
        struct fake_qp *qp = fake__world.qps[i];

        if (qp != NULL && qp->ibv.qp_num == qp_number && qp->ibv.state == IBV_QPS_INIT) {
            qp->ibv.state = IBV_QPS_RTS;
            qp->dest_qpn = other_number;
            fake__gid_of(other, &qp->dest);
        }
    }
}

/* The other end, if a packet reaches it and it takes it. */
static struct fake_qp *mate_of(const struct fake_qp *qp)
{
    union ibv_gid own, its;

    fake__gid_of(qp->device, &own);
    for (uint32_t i = 0; i < FAKE_QPS_MAX; i++) {
        struct fake_qp *mate = fake__world.qps[i];

        if (mate == NULL || mate->ibv.qp_num != qp->dest_qpn ||
            (mate->ibv.state != IBV_QPS_RTR && mate->ibv.state != IBV_QPS_RTS)) {
            continue;
        }
        fake__gid_of(mate->device, &its);
        if (memcmp(&its, &qp->dest, sizeof(its)) == 0 &&
            memcmp(&own, &mate->dest, sizeof(own)) == 0 && mate->dest_qpn == qp->ibv.qp_num &&
            mate->rq_psn == qp->sq_psn && fake__reaches(qp->device, mate->device)) {
            return mate;
        }
    }
    return NULL;
}

static bool window_is_open(const struct fake_qp *mate, const struct fake_send *read)
{
    for (uint32_t i = 0; i < FAKE_MRS_MAX; i++) {
        const struct fake_mw *mw = fake__world.mws[i];

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
        fake__misused("a read into memory that is not registered");
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
        if (qp->device->ibv.transport_type == IBV_TRANSPORT_IWARP) {
            fake__misused("a send to who has no buffer: iWARP ends the connection");
        }
        return false; /* as long as it takes */
    }
    if (!send->inlined && send->length > 0 &&
        !memory_is_registered(qp, send->address, send->length, send->lkey)) {
        fake__misused("a send from memory that is not registered");
    }
    if (!memory_is_registered(mate, receive->address, receive->length, receive->lkey)) {
        fake__misused("a receive into memory that is not registered");
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

/* On iWARP a send is complete when TCP has it, which waits for long when nothing passes. */
static bool tcp_has_it(const struct fake_qp *qp)
{
    union ibv_gid its;

    for (uint32_t i = 0; i < FAKE_DEVICES; i++) {
        fake__gid_of(&fake__world.devices[i], &its);
        if (memcmp(&its, &qp->dest, sizeof(its)) == 0) {
            return qp->device->ibv.transport_type == IBV_TRANSPORT_IWARP &&
                   !fake__reaches(qp->device, &fake__world.devices[i]);
        }
    }
    return false;
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
        if (mate == NULL && tcp_has_it(qp)) {
            complete_send(qp, &qp->sends[qp->send_tail++ % qp->cap.max_send_wr], IBV_WC_SUCCESS);
            continue;
        }
        if (mate == NULL) {
            if (qp->silent_since_ns == 0) {
                qp->silent_since_ns = fake__world.now_ns;
            }
            if (fake__world.now_ns - qp->silent_since_ns >= FAKE_RETRY_NS) {
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

void fake__wire_run(void)
{
    for (uint32_t i = 0; i < FAKE_QPS_MAX; i++) {
        if (fake__world.qps[i] != NULL) {
            sends_run(fake__world.qps[i]);
        }
    }
}

/* --- queue pairs --------------------------------------------------------------------------------
 */

static struct ibv_qp *create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr)
{
    struct fake_qp *qp;
    uint32_t at = 0;

    if (attr->cap.max_inline_data > FAKE_INLINE_BYTES) {
        errno = EINVAL;
        return NULL;
    }
    if (fake__refused(fake__device_of(pd->context))) {
        return NULL;
    }
    while (at < FAKE_QPS_MAX && fake__world.qps[at] != NULL) {
        at++;
    }
    assert(at < FAKE_QPS_MAX);
    qp = calloc(1, sizeof(*qp));
    assert(qp != NULL);
    qp->device = fake__device_of(pd->context);
    qp->cap = attr->cap;
    qp->ibv = (struct ibv_qp){.context = pd->context,
                              .pd = pd,
                              .send_cq = attr->send_cq,
                              .recv_cq = attr->recv_cq,
                              .qp_num = fake__world.qpn_next++,
                              .state = IBV_QPS_RESET,
                              .qp_type = attr->qp_type};
    qp->sends = calloc(attr->cap.max_send_wr, sizeof(*qp->sends));
    qp->receives = calloc(attr->cap.max_recv_wr, sizeof(*qp->receives));
    assert(qp->sends != NULL && qp->receives != NULL);
    fake__world.qps[at] = qp;
    fake__world.live++;
    return &qp->ibv;
}

static int modify_qp(struct ibv_qp *ibv, struct ibv_qp_attr *attr, int mask)
{
    static const enum ibv_qp_state before[] = {
        [IBV_QPS_INIT] = IBV_QPS_RESET, [IBV_QPS_RTR] = IBV_QPS_INIT, [IBV_QPS_RTS] = IBV_QPS_RTR};
    struct fake_qp *qp = (struct fake_qp *)ibv;

    if (fake__refused(qp->device)) {
        return errno;
    }
    if ((mask & IBV_QP_STATE) == 0 || attr->qp_state > IBV_QPS_RTS ||
        before[attr->qp_state] != ibv->state) {
        fake__misused("a queue pair moved where it cannot go");
        return EINVAL;
    }
    ibv->state = attr->qp_state;
    if (attr->qp_state == IBV_QPS_INIT &&
        (attr->qp_access_flags & ~(unsigned int)IBV_ACCESS_REMOTE_READ) != 0) {
        fake__misused("a queue pair that lets others reach memory");
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

    for (uint32_t i = 0; i < FAKE_QPS_MAX; i++) {
        if (fake__world.qps[i] == qp) {
            fake__world.qps[i] = NULL;
        }
        if (fake__world.mws[i] != NULL && fake__world.mws[i]->qp == qp) {
            fake__misused("a queue pair destroyed before its window: soft-RoCE waits a minute");
        }
    }
    fake__world.live--;
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
        if (fake__refused(qp->device)) {
            return errno;
        }
        if (qp->send_head - qp->send_tail == qp->cap.max_send_wr) {
            fake__misused("a send queue ran over");
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
                fake__misused("a window for more than reading");
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
        if (qp->device->ibv.transport_type == IBV_TRANSPORT_IWARP && !send->inlined &&
            send->length > 0 && !send->signalled) {
            fake__misused("soft-iWARP may send it again from where it lies, also when it is over");
        }
        if (send->inlined) {
            assert(send->length <= FAKE_INLINE_BYTES);
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
        if (fake__refused(qp->device)) {
            return errno;
        }
        if (qp->receive_head - qp->receive_tail == qp->cap.max_recv_wr) {
            fake__misused("a receive queue ran over");
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

void fake__qp_verbs(struct rdma_verbs *verbs)
{
    verbs->create_qp = create_qp;
    verbs->modify_qp = modify_qp;
    verbs->destroy_qp = destroy_qp;
    verbs->post_send = post_send;
    verbs->post_recv = post_recv;
}
