/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs.c - libibverbs and librdmacm, linked in with the providers: a node is one static program.
 *
 * Which providers is said here and in meson.build: soft-RoCE and soft-iWARP, and what RoCE cards
 * mostly are. A machine without any RDMA answers "function not implemented" to the list of devices.
 */
#define RDMA_STATIC_PROVIDERS rxe, siw, mlx5, irdma, bnxt_re
#include "verbs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/random.h>
#include <time.h>

static struct ibv_device **get_device_list(int *out_count)
{
    return ibv_get_device_list(out_count);
}

static int query_port(struct ibv_context *context, uint8_t port, struct ibv_port_attr *out_attr)
{
    return ibv_query_port(context, port, out_attr);
}

static enum rdma_gid_kind query_gid(struct ibv_context *context, uint8_t port, uint32_t index,
                                    union ibv_gid *out_gid)
{
    struct ibv_gid_entry entry;

    if (ibv_query_gid_ex(context, port, index, &entry, 0) != 0) {
        return RDMA_GID_NONE;
    }
    *out_gid = entry.gid;
    return entry.gid_type == IBV_GID_TYPE_ROCE_V2   ? RDMA_GID_ROCE_V2
           : entry.gid_type == IBV_GID_TYPE_ROCE_V1 ? RDMA_GID_ROCE_V1
                                                    : RDMA_GID_IB;
}

static struct ibv_mr *reg_mr(struct ibv_pd *pd, void *address, size_t length, int access)
{
    return ibv_reg_mr(pd, address, length, access);
}

static struct ibv_mw *alloc_mw(struct ibv_pd *pd)
{
    return ibv_alloc_mw(pd, IBV_MW_TYPE_2);
}

static int dealloc_mw(struct ibv_mw *mw)
{
    return ibv_dealloc_mw(mw);
}

static struct ibv_cq *create_cq(struct ibv_context *context, int cqe,
                                struct ibv_comp_channel *channel)
{
    return ibv_create_cq(context, cqe, NULL, channel, 0);
}

static int req_notify_cq(struct ibv_cq *cq, int solicited_only)
{
    return ibv_req_notify_cq(cq, solicited_only);
}

static int get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **out_cq)
{
    void *context;

    return ibv_get_cq_event(channel, out_cq, &context);
}

static int poll_cq(struct ibv_cq *cq, int count, struct ibv_wc *out_wc)
{
    return ibv_poll_cq(cq, count, out_wc);
}

static int post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **out_bad)
{
    return ibv_post_send(qp, wr, out_bad);
}

static int post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **out_bad)
{
    return ibv_post_recv(qp, wr, out_bad);
}

/* --- rdma_cm: addresses of IPv4 are all we have --------------------------------------------------
 */

static int create_id(struct rdma_event_channel *channel, struct rdma_cm_id **out_id, void *context)
{
    return rdma_create_id(channel, out_id, context, RDMA_PS_TCP);
}

static int bind_addr(struct rdma_cm_id *id, const struct sockaddr_in *address)
{
    struct sockaddr_in copy = *address;

    return rdma_bind_addr(id, (struct sockaddr *)&copy);
}

static uint16_t get_src_port(struct rdma_cm_id *id)
{
    return ntohs(rdma_get_src_port(id));
}

static int resolve_addr(struct rdma_cm_id *id, const struct sockaddr_in *from,
                        const struct sockaddr_in *to, int wait_ms)
{
    struct sockaddr_in copies[2] = {*from, *to};

    return rdma_resolve_addr(id, (struct sockaddr *)&copies[0], (struct sockaddr *)&copies[1],
                             wait_ms);
}

/* --- clock and randomness ------------------------------------------------------------------------
 */

static uint64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t random64(void)
{
    uint64_t value = 0;

    while (getrandom(&value, sizeof(value), 0) != (ssize_t)sizeof(value)) {
    }
    return value;
}

const struct rdma_verbs rdma__verbs = {
    .get_device_list = get_device_list,
    .free_device_list = ibv_free_device_list,
    .get_device_name = ibv_get_device_name,
    .open_device = ibv_open_device,
    .close_device = ibv_close_device,
    .query_device = ibv_query_device,
    .query_port = query_port,
    .query_gid = query_gid,
    .get_async_event = ibv_get_async_event,
    .ack_async_event = ibv_ack_async_event,
    .alloc_pd = ibv_alloc_pd,
    .dealloc_pd = ibv_dealloc_pd,
    .reg_mr = reg_mr,
    .dereg_mr = ibv_dereg_mr,
    .alloc_mw = alloc_mw,
    .dealloc_mw = dealloc_mw,
    .create_comp_channel = ibv_create_comp_channel,
    .destroy_comp_channel = ibv_destroy_comp_channel,
    .create_cq = create_cq,
    .destroy_cq = ibv_destroy_cq,
    .req_notify_cq = req_notify_cq,
    .get_cq_event = get_cq_event,
    .ack_cq_events = ibv_ack_cq_events,
    .poll_cq = poll_cq,
    .create_qp = ibv_create_qp,
    .modify_qp = ibv_modify_qp,
    .destroy_qp = ibv_destroy_qp,
    .post_send = post_send,
    .post_recv = post_recv,
    .create_event_channel = rdma_create_event_channel,
    .destroy_event_channel = rdma_destroy_event_channel,
    .create_id = create_id,
    .destroy_id = rdma_destroy_id,
    .bind_addr = bind_addr,
    .get_src_port = get_src_port,
    .listen = rdma_listen,
    .resolve_addr = resolve_addr,
    .resolve_route = rdma_resolve_route,
    .connect_begin = rdma__connect_begin,
    .connect_done = rdma__connect_done,
    .connect_end = rdma__connect_end,
    .accept = rdma_accept,
    .establish = rdma_establish,
    .init_qp_attr = rdma_init_qp_attr,
    .get_cm_event = rdma_get_cm_event,
    .ack_cm_event = rdma_ack_cm_event,
    .now_ns = now_ns,
    .random64 = random64,
};
