/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_private.h - what fake.c (devices, memory, queues), fake_qp.c (queue pairs and the wire) and
 * fake_cm.c (rdma_cm) share.
 */
#ifndef NET_DRIVERS_RDMA_FAKE_PRIVATE_H
#define NET_DRIVERS_RDMA_FAKE_PRIVATE_H

#include "fake.h"

#define FAKE_QPS_MAX 64u
#define FAKE_MRS_MAX FAKE_QPS_MAX
#define FAKE_EVENTS_MAX 64u
#define FAKE_INLINE_BYTES 128u

struct fake_fault {
    bool armed, receive, delivered, done;
    enum ibv_wc_status status;
    uint32_t after;
};

struct fake_device {
    struct ibv_device ibv;
    struct ibv_context context; /* rdma_cm's own */
    bool removed, port_up;
    struct fake_fault fault;
    struct ibv_async_event events[FAKE_EVENTS_MAX];
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
    uint8_t bytes[FAKE_INLINE_BYTES];
};

struct fake_receive {
    uint64_t wr_id, address;
    uint32_t length, lkey;
};

struct fake_qp {
    struct ibv_qp ibv;
    struct fake_device *device;
    struct ibv_qp_cap cap;
    union ibv_gid dest;
    uint32_t dest_qpn, rq_psn, sq_psn;
    struct fake_send *sends;
    struct fake_receive *receives;
    uint32_t send_head, send_tail, receive_head, receive_tail;
    uint64_t silent_since_ns;
};

struct fake_world {
    struct fake_device devices[FAKE_DEVICES];
    struct fake_qp *qps[FAKE_QPS_MAX];
    struct ibv_mr *mrs[FAKE_MRS_MAX];
    struct fake_mw *mws[FAKE_MRS_MAX];
    uint64_t now_ns, random;
    uint32_t live, qpn_next, lkey_next, refuse;
    bool refused;
    const char *misuse;
};

extern struct fake_world fake__world;

void fake__misused(const char *what);
/* Objects that exist: one more, or less. */
void fake__live_add(int count);
struct fake_device *fake__device_of(const struct ibv_context *context);
/* True: this call on that device fails, for it is removed or the one to be refused. */
bool fake__refused(const struct fake_device *device);
void fake__gid_of(const struct fake_device *device, union ibv_gid *out_gid);

/* --- fake_qp.c -----------------------------------------------------------------------------------
 */

/* What can go on does. */
void fake__wire_run(void);
/* Whether packets go between them. */
bool fake__reaches(const struct fake_device *from, const struct fake_device *to);
/* iWARP's rdma_cm moves queue pairs itself: that one is joined with the other, both by number. */
void fake__iwarp_join(uint32_t qp_number, const struct fake_device *other, uint32_t other_number);
/* Puts the calls of queue pairs into the table. */
void fake__qp_verbs(struct rdma_verbs *verbs);

/* --- fake_cm.c -----------------------------------------------------------------------------------
 */

/* Of fake_reset. */
void fake__cm_reset(void);
/* Puts the calls of rdma_cm into the table. */
void fake__cm_verbs(struct rdma_verbs *verbs);

#endif
