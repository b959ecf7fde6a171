/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conformance_side.h - one end of a link under test, here or in a process of its own.
 *
 * Model: an order goes in, an answer comes out. An order is carried out in steps that never
 * block, so that two sides of one process can take turns. A side in a process looks at its link
 * while it waits for orders. Between tests nothing of a side is left.
 *
 * Frames carry their number and a pattern made from it, so the receiver checks every byte.
 * Limits: an order ends at its time-out at the latest.
 */
#ifndef NET_DRIVERS_CONFORMANCE_SIDE_H
#define NET_DRIVERS_CONFORMANCE_SIDE_H

#include <sys/types.h>

#include "conformance.h"

#define SIDE_RECEIVE_ALL UINT32_MAX
#define SIDE_HELD_MAX 8192u

enum side_op {
    SIDE_OPEN,     /* device, node_id, server, mtu_bytes */
    SIDE_PEER_ADD, /* peer */
    SIDE_PEER_REMOVE,
    SIDE_WAIT,    /* until the link is up or down, as `up` says */
    SIDE_TRAFFIC, /* sends send_count frames to peer and receives receive_count at once */
    SIDE_FLOOD,   /* sends until a frame is not taken, or send_count */
    SIDE_ECHO,    /* sends receive_count frames back as they came, in their own memory */
    SIDE_PING,    /* sends a frame, waits for one, pauses a little; send_count times */
    SIDE_PONG,    /* sleeps until there are frames and sends them back, until receive_count */
    SIDE_SEND_TOO_LARGE, /* with tails: the tail makes it too large */
    SIDE_GARBAGE,        /* of that kind */
    SIDE_HOLD,           /* takes all frames there are; answers how many */
    SIDE_RELEASE,
    SIDE_QUERY,
    SIDE_CLOSE,
    SIDE_STOP,
    SIDE_FINI,
};

struct side_order {
    enum side_op op;
    char device[160];
    uint16_t node_id, peer;
    bool server, up;
    bool mixed; /* some go to nobody, see side_to_nobody */
    bool tails; /* payloads are cut in two; what a taken tail was in is overwritten at once */
    uint32_t mtu_bytes, send_count, receive_count, length, number, kind, timeout_ms;
};

struct side_answer {
    sf_status status;
    char text[160];
    bool timed_out, up;
    uint32_t slept, overslept; /* waits on the link's descriptor; of these, ended by time */
    uint32_t sent, received, held;
    uint32_t taken_first; /* of the first burst */
    uint32_t number_first, disorder_count, damage_count, stranger_count;
    struct link_stats stats;
    struct link_caps caps;
};

struct side {
    const struct link_conformance *driver;
    struct link link;
    bool opened, started;
    bool usable; /* open answered OK: more than fini may be called */
    struct link_frame *held;
    uint32_t held_count;
    /* the order under way */
    struct side_order order;
    struct side_answer answer;
    uint64_t deadline_ms;
    uint32_t number_next;
    struct link_frame ping[1];
    /* a side in a process */
    pid_t pid; /* 0: in this process */
    int fd;
};

/* Starts a process if the driver wants one, for that node. nobody: as user 65534. */
void side_init(struct side *side, const struct link_conformance *driver, uint16_t node_id,
               bool nobody);
/* Ends the process, or what is left of the link. */
void side_fini(struct side *side);
/* Ends the process at once, as a crash would. */
void side_kill(struct side *side);
/* How many of the first count frames of a mixed run go to nobody: the second of every seven. */
uint32_t side_to_nobody(uint32_t count);
/* Carries out one order, or one on each side at the same time. */
struct side_answer side_do(struct side *side, const struct side_order *order);
void sides_do(struct side *a, const struct side_order *order_a, struct side *b,
              const struct side_order *order_b);

#endif
