/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs.h - the calls of libibverbs and librdmacm that the driver makes, and its clock and
 * randomness.
 *
 * Why: so that the same driver runs on a device and, in unit tests, on a fake one (fake.h) that
 * fails as told. Types are the libraries' own. Each call answers as the one of that name does: NULL
 * with errno, an errno value, or -1 with errno (all of rdma_cm's).
 *
 * Threads: as the driver, one; and those of connect. Descriptors of channels and contexts are made
 * non-blocking by the driver.
 */
#ifndef NET_DRIVERS_RDMA_VERBS_H
#define NET_DRIVERS_RDMA_VERBS_H

#include <stdbool.h>
#include <stdint.h>

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

enum rdma_gid_kind {
    RDMA_GID_NONE, /* the entry is empty */
    RDMA_GID_IB,
    RDMA_GID_ROCE_V1,
    RDMA_GID_ROCE_V2,
};

struct rdma_connecting;

struct rdma_verbs {
    struct ibv_device **(*get_device_list)(int *out_count);
    void (*free_device_list)(struct ibv_device **list);
    const char *(*get_device_name)(struct ibv_device *device);
    struct ibv_context *(*open_device)(struct ibv_device *device);
    int (*close_device)(struct ibv_context *context);
    int (*query_device)(struct ibv_context *context, struct ibv_device_attr *out_attr);
    int (*query_port)(struct ibv_context *context, uint8_t port, struct ibv_port_attr *out_attr);
    enum rdma_gid_kind (*query_gid)(struct ibv_context *context, uint8_t port, uint32_t index,
                                    union ibv_gid *out_gid);
    int (*get_async_event)(struct ibv_context *context, struct ibv_async_event *out_event);
    void (*ack_async_event)(struct ibv_async_event *event);
    struct ibv_pd *(*alloc_pd)(struct ibv_context *context);
    int (*dealloc_pd)(struct ibv_pd *pd);
    struct ibv_mr *(*reg_mr)(struct ibv_pd *pd, void *address, size_t length, int access);
    int (*dereg_mr)(struct ibv_mr *mr);
    struct ibv_mw *(*alloc_mw)(struct ibv_pd *pd); /* of type 2 */
    int (*dealloc_mw)(struct ibv_mw *mw);
    struct ibv_comp_channel *(*create_comp_channel)(struct ibv_context *context);
    int (*destroy_comp_channel)(struct ibv_comp_channel *channel);
    struct ibv_cq *(*create_cq)(struct ibv_context *context, int cqe,
                                struct ibv_comp_channel *channel);
    int (*destroy_cq)(struct ibv_cq *cq);
    int (*req_notify_cq)(struct ibv_cq *cq, int solicited_only);
    int (*get_cq_event)(struct ibv_comp_channel *channel, struct ibv_cq **out_cq);
    void (*ack_cq_events)(struct ibv_cq *cq, unsigned int count);
    int (*poll_cq)(struct ibv_cq *cq, int count, struct ibv_wc *out_wc);
    struct ibv_qp *(*create_qp)(struct ibv_pd *pd, struct ibv_qp_init_attr *attr);
    int (*modify_qp)(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask);
    int (*destroy_qp)(struct ibv_qp *qp);
    int (*post_send)(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **out_bad);
    int (*post_recv)(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **out_bad);

    /* Of a link that connects by rdma_cm (cm.c), rdma_ and that name each. Ids are of RDMA_PS_TCP
     * and have no queue pair of their own; get_cm_event does not wait once its descriptor does not.
     */
    struct rdma_event_channel *(*create_event_channel)(void);
    void (*destroy_event_channel)(struct rdma_event_channel *channel);
    int (*create_id)(struct rdma_event_channel *channel, struct rdma_cm_id **out_id, void *context);
    int (*destroy_id)(struct rdma_cm_id *id);
    int (*bind_addr)(struct rdma_cm_id *id, const struct sockaddr_in *address);
    uint16_t (*get_src_port)(struct rdma_cm_id *id); /* host byte order */
    int (*listen)(struct rdma_cm_id *id, int backlog);
    int (*resolve_addr)(struct rdma_cm_id *id, const struct sockaddr_in *from,
                        const struct sockaddr_in *to, int wait_ms);
    int (*resolve_route)(struct rdma_cm_id *id, int wait_ms);
    /* connect may take as long as TCP does: so it is begun (NULL with errno), asked after (true:
     * with that error, or 0), and ended, done or not, before its id or queue pair goes. */
    struct rdma_connecting *(*connect_begin)(struct rdma_cm_id *id,
                                             const struct rdma_conn_param *parameters);
    bool (*connect_done)(const struct rdma_connecting *connecting, int *out_error);
    void (*connect_end)(struct rdma_connecting *connecting);
    int (*accept)(struct rdma_cm_id *id, struct rdma_conn_param *parameters);
    int (*establish)(struct rdma_cm_id *id);
    int (*init_qp_attr)(struct rdma_cm_id *id, struct ibv_qp_attr *attr, int *out_mask);
    int (*get_cm_event)(struct rdma_event_channel *channel, struct rdma_cm_event **out_event);
    int (*ack_cm_event)(struct rdma_cm_event *event);

    uint64_t (*now_ns)(void); /* never goes back; some milliseconds fine */
    uint64_t (*random64)(void);
};

extern const struct rdma_verbs rdma__verbs;

/* --- connect.c -----------------------------------------------------------------------------------
 */

struct rdma_connecting *rdma__connect_begin(struct rdma_cm_id *id,
                                            const struct rdma_conn_param *parameters);
bool rdma__connect_done(const struct rdma_connecting *connecting, int *out_error);
void rdma__connect_end(struct rdma_connecting *connecting);

#endif
