/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conformance_side.h - one end of a link under test, here or in a process of its own.
 *
 * Model: an order goes in, an answer comes out. An order is carried out in steps that never
 * block, so that two sides of one process can take turns. A side in a process looks at its link
 * while it waits for orders. Between tests nothing of a side is left.
 *
 * Frames carry their number and a pattern made from it, so the receiver checks every byte. With
 * several queues, a side sends on the queue it is told and receives on all.
 * Limits: an order ends at its time-out at the latest.
 */
#ifndef NET_DRIVERS_CONFORMANCE_SIDE_H
#define NET_DRIVERS_CONFORMANCE_SIDE_H

#include <sys/types.h>

#include "conformance.h"

#define SIDE_RECEIVE_ALL UINT32_MAX
#define SIDE_HELD_MAX 8192u
#define SIDE_FLOW 1000000u

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
    /*
     * A thread a queue, all at once: each sends send_count frames on its queue and receives what
     * comes on it, until there were receive_count on all together, while the side's own thread uses
     * the rest of the link. Frames of queue q have the numbers from q * SIDE_FLOW. cut: they send
     * without end, and after some time the side closes and stops the link under them. Blocks: only
     * for sides in processes.
     */
    SIDE_QUEUES,
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
    bool cut;
    uint16_t queue;  /* to send on */
    uint16_t queues; /* to open with */
    bool mixed;      /* some go to nobody, see side_to_nobody */
    bool tails;      /* payloads are cut in two; what a taken tail was in is overwritten at once */
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
    uint32_t queue_received[LINK_QUEUES_MAX];
    struct link_stats stats;
    struct link_caps caps;
};

struct side {
    const struct link_conformance *driver;
    struct link link;
    bool opened, started;
    bool usable; /* open answered OK: more than fini may be called */
    uint16_t queues;
    struct link_frame *held;
    uint32_t held_count;
    /* endpoints: what the other side was told last, what it was told by the other's notes */
    uint16_t node_id;
    struct link_endpoint told;
    uint32_t note_seen;
    /* the order under way */
    struct side_order order;
    struct side_answer answer;
    uint64_t deadline_ms;
    uint32_t number_next;
    struct link_frame ping[1];
    /* a side in a process */
    pid_t pid; /* 0: in this process, or remote */
    int fd;
    bool remote; /* on another machine */
};

/* Parts of the above that are told apart for SIDE_QUEUES: the frame of a number, and what is wrong
 * with the bytes of one that came. */
void side_frame_fill(struct link_frame *frame, uint32_t number, uint32_t length);
/* Of received frames: their tails are copied behind their data. */
void side_frames_join(struct link_frame frames[], uint16_t count);
bool side_frame_damaged(const struct link_frame *frame, uint32_t *out_number);
uint32_t side_length_of(const struct side_order *order, uint32_t number, uint32_t mtu_bytes);
/* The order SIDE_QUEUES. */
bool side_queues_step(struct side *side);

/* The board on which sides leave their endpoints for each other. False: no memory. */
bool side_board_make(void);
/* Takes all notes off it: no side is there. */
void side_board_clear(void);
/* A side's note. Write: from one thread only; read answers 0 if there is none, or a version. */
void side_note_write(uint16_t node_id, const struct link_endpoint *endpoint);
uint32_t side_note_read(uint16_t node_id, struct link_endpoint *out);
/* This process becomes a side that takes orders from fd. Does not return. */
_Noreturn void side_process(const struct link_conformance *driver, uint16_t node_id, int fd,
                            bool nobody);
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
