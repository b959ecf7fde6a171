/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mover.h - a node's part in moves of SIPs.
 *
 * Why: fabric/sip_move.h decides who has the SIP, fabric/cargo.h takes its channels along,
 * capture.h its memory. This does what they say, and carries what they make from node to node.
 *
 * Model: a kernel service that every node has, and that no graph can name. Two nodes that move SIPs
 * have one channel for each direction (MoverContract), opened when there is first something to say.
 * What is to go to a node waits in one row, so pieces of memory and messages of the protocol keep
 * their order; each is answered before the next one goes.
 *
 * At the source: PREPARE is sent; then rounds of pre-copy while the SIP runs, until what it writes
 * meanwhile is little, or does not get less; then it is frozen, its peers held, the rest of its
 * memory and its endpoints sent, and the target told to go on. At most two pieces of memory of a
 * move wait in the exchange heap; in pre-copy, long rows of pages are not even copied there, but
 * sent from where they are.
 *
 * Messages for the controller go by way of the agent, which also says what the controller says.
 *
 * Threads: worker 0's, all functions; mover_turn not from inside nk_run. Time: CLOCK_MONOTONIC, ns.
 * Ownership: the mover must go before its kernel does.
 */
#ifndef KERNEL_MOVER_H
#define KERNEL_MOVER_H

#include "fabric/sip_move.h"
#include "nk.h"

#define MOVER_SERVICE_NUMBER 0xfffffffffffffeull /* no SIP has it */
#define MOVER_NAME "@mover"                      /* nor this name */
#define MOVER_PIECE_BYTES (1u << 20)             /* of memory, in a message */
/* Filled, taken in, or given back at once: others on the node wait as long. */
#define MOVER_STEP_BYTES (256u << 10)
/* Pages in a row that are not copied here: see xh_lend. */
#define MOVER_LEND_BYTES_MIN (64u << 10)
#define MOVER_LEND_STEP_BYTES (4u << 20) /* a step, if most of it is lent: whole huge pages */
/* So many steps at once, if they have waited for that long anyway: a SIP computes. */
#define MOVER_STEPS_LATE 4u
#define MOVER_LATE_NS 1000000u
/* So long memory of a SIP that has left is left alone: whoever talks to it is served first. */
#define MOVER_REST_NS 5000000u
/* So long memory of SIPs that have left is kept for those that come. */
#define MOVER_KEEP_NS 60000000000ull
#define MOVER_ROUNDS_MAX 6u
#define MOVER_ROUND_PAGES_ENOUGH 16u /* 4 KiB each: less is copied while it stands still */

struct mover;

/* One source's move: where it is (steps of the black-out only if they take long), or how it has
 * ended. */
enum mover_step {
    MOVER_PREPARE,
    MOVER_PRECOPY,
    MOVER_FREEZE,
    MOVER_TRANSFER,
    MOVER_COMMIT,
    MOVER_DONE,
    MOVER_ABORTED,
    MOVER_LOST
};

struct mover_report {
    uint64_t ticket, sip, move;
    uint16_t target;
    enum mover_step step;
    const char *text; /* ABORTED, LOST: why; else "" */
    /* From the freeze until the target said that it goes on, as seen here. */
    uint64_t blackout_ns;
    uint64_t total_ns;
    uint64_t precopied_bytes, frozen_bytes;
    uint32_t endpoints, rounds;
    bool again; /* ABORTED: only because a SIP it talks to moves at this time */
};

struct mover_events {
    void (*report)(void *arg, const struct mover_report *report);
    /* A SIP has come and goes on here; before anything that it says or does. */
    void (*arrived)(void *arg, uint64_t ticket, uint64_t sip, uint64_t move);
    /* A line for the operator. */
    void (*say)(void *arg, const char *text);
    /* For the controller's fab_move_relay; may be lost. */
    void (*to_controller)(void *arg, const uint8_t *bytes, uint32_t length);
    /* There is something to do: mover_turn is to be called soon, and each turn while mover_is_busy.
     * Maybe from inside nk_run. */
    void (*awake)(void *arg);
};

SF_MUST_CHECK sf_status mover_create(struct nk_kernel *kernel, uint16_t node_id, uint16_t epoch,
                                     const struct mover_events *events, void *events_arg,
                                     struct mover **out_mover, char *text, size_t text_capacity);
/* SIPs that were to leave and have not are the kernel's again. Takes NULL. */
void mover_destroy(struct mover *mover);

/*
 * Begins to move a SIP. budget_ns: the longest it may stand still; 0: as the protocol has it. Its
 * end is reported. NOTFOUND: no such SIP, or no session with that node. AGAIN: it has just come,
 * and the node that it came from may have its old copy still. UNSUPPORTED, EXISTS, LIMIT.
 */
SF_MUST_CHECK sf_status mover_begin(struct mover *mover, uint64_t ticket, uint64_t sip,
                                    uint16_t target, uint64_t budget_ns, uint64_t now_ns,
                                    char *text, size_t text_capacity);
/* Something of a move of that SIP is here: it must not be stopped from outside. */
bool mover_has(const struct mover *mover, uint64_t sip);
/* From the controller. */
void mover_told(struct mover *mover, const uint8_t *bytes, uint32_t length, uint64_t now_ns);
/* As nk_events.session_lost; from inside it. */
void mover_session_lost(struct mover *mover, uint16_t node);
/* That boot of a node, and those before it, are dead for good. */
void mover_node_dead(struct mover *mover, uint16_t node, uint16_t epoch, uint64_t now_ns);
/* A SIP has ended; as nk_events.ended, from inside it. */
void mover_sip_ended(struct mover *mover, uint64_t sip);

/* What is to be done now. True if anything was. */
bool mover_turn(struct mover *mover, uint64_t now_ns);
/* SIPs come or leave. */
bool mover_is_busy(const struct mover *mover);
/* Has this node gone on with that SIP? One that has come and may yet be dropped does not count. */
bool mover_has_come(const struct mover *mover, uint64_t sip);
/* When to call mover_turn at the latest; UINT64_MAX: when awake is called. */
uint64_t mover_next_ns(const struct mover *mover);

#endif
