/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sips.h - SIPs that talk and move in a simulated cell.
 *
 * Why: that never two copies of a SIP live, that none is lost, and that its channels go on as if
 * nothing had happened, has to be shown for any order of events, with whatever dying at any step.
 *
 * Model: a SIP is a few numbers (its memory) and handles on ends of channels. What it sends and
 * expects next follows from its memory alone, which goes along with it; so a copy that is older or
 * newer than what its peers have seen is found out by the next message. Each node of the cell has a
 * mover; movers and images go over real channels ("pipes"), one each way between any two nodes,
 * which close with the session. The controller relays, unless it is down, and declares a node that
 * has crashed dead after some time; only then the node boots again.
 *
 * World time advances in slices; in each, each node does at most one thing that its mover wants,
 * and `events` counts slices in which anything of a move happened, so that a run can be repeated up
 * to just there and something else be done then.
 *
 * Checked all the time: at most one copy of a SIP runs; none begins to run that may not; what is
 * received is the next message, whole; a channel closes for a reason. At the end (world_end): each
 * SIP runs, unless the node that had it died; both ends of a channel agree whether it is open;
 * all that was sent has been received; no cargo, hold or move is left; then all is closed, and no
 * record and no block is left.
 */
#ifndef SIM_SIPS_H
#define SIM_SIPS_H

#include "cargo.h"
#include "cell.h"
#include "fabric/sip_move.h"

#define SIPS_MAX 12u
#define SIPS_NODES_MAX 8u
#define SIPS_HANDLES_MAX 24u
#define SIPS_CHANS_MAX 4096u
#define SIPS_COPIES_MAX 24u

struct sip_handle {
    uint64_t ep_id;
    uint32_t chan;
    uint8_t side;
    bool carrier;
    bool closed;
    uint32_t sent, received;
};

/* All there is of a SIP. */
struct sip_memory {
    uint32_t sip;
    uint32_t handle_count;
    uint64_t acts;
    uint64_t check; /* over all it has done */
    struct sip_handle handles[SIPS_HANDLES_MAX];
};

enum copy_state { COPY_UNUSED = 0, COPY_RUNS, COPY_FROZEN, COPY_WAITS };

/* What a node has of a SIP. */
struct sip_copy {
    enum copy_state state;
    uint32_t sip;
    uint16_t node;
    uint64_t move;
    struct fab_cargo *cargo;
    bool settling;                   /* it came by a move whose source has not freed its copy yet */
    bool written;                    /* what is opened to it now is too late */
    uint64_t late[SIPS_HANDLES_MAX]; /* ids of ends */
    uint32_t late_count;
    struct sip_memory memory;
};

struct sip_chan {
    uint64_t ids[2];
    uint32_t to_sip;  /* that it is opened to */
    uint32_t visited; /* nodes it has had to do with, as bits */
    bool touched;     /* by a fault of two of them */
    bool given_up;
    uint32_t carried; /* 1 + the channel that one of its ends has travelled in last */
    bool carrier;
};

enum sip_fate { SIP_LIVES, SIP_MAY_LIVE, SIP_DEAD };

struct sip_state {
    enum sip_fate fate;
    uint64_t committing; /* the move whose COMMIT was sent last */
    uint64_t frozen_check;
    uint64_t wanted_ns; /* a move to `wanted` is to be tried from then on; 0: none */
    uint16_t wanted;
    uint32_t moves, aborts;
};

struct pipe_message {
    struct pipe_message *next;
    uint64_t move; /* 0: of movers; else an image */
    uint32_t length;
    uint8_t bytes[];
};

struct sip_pipe {
    struct fab_ep *imp; /* at the sender */
    struct fab_ep *exp; /* at the receiver */
    struct pipe_message *first, *last;
};

struct letter {
    uint64_t at_ns;
    uint16_t from, to; /* one of them is the controller */
    uint32_t length;
    uint8_t bytes[FAB_MOVE_MESSAGE_BYTES_MAX];
};

#define LETTERS_MAX 256u

struct world_options {
    uint64_t seed;
    uint32_t nodes;
    uint16_t sealed;
    uint32_t sips;
    uint16_t close;   /* in a thousand acts: an end is given up */
    uint64_t poll_ns; /* of nodes; 0: each has another one */
};

struct world {
    struct world_options options;
    struct cell cell;
    struct rng rng;
    struct fab_mover *movers[SIPS_NODES_MAX + 1];
    struct sip_pipe pipes[SIPS_NODES_MAX + 1][SIPS_NODES_MAX + 1];
    struct sip_copy copies[SIPS_COPIES_MAX];
    struct sip_state sips[SIPS_MAX];
    struct sip_chan chans[SIPS_CHANS_MAX];
    uint32_t chan_count;
    struct letter letters[LETTERS_MAX];
    uint32_t letter_count;
    uint64_t controller_ns;                  /* down until then */
    uint16_t fenced[SIPS_NODES_MAX + 1];     /* highest epoch that is dead */
    uint64_t crashed_ns[SIPS_NODES_MAX + 1]; /* 0: it is up */
    bool quiet;                              /* nobody sends */
    bool eventful;                           /* in this slice */
    uint64_t events;
    uint64_t moved, aborted, unseen, died, not_taken, clashes, messages, travels, late;
    uint64_t blackout_max_ns, blackout_sum_ns;
};

void world_init(struct world *world, const struct world_options *options);
/* SIP `sip` begins on a node. */
void world_start(struct world *world, uint32_t sip, uint16_t node);
/* A channel between two SIPs; nothing if one does not run or has no room. */
void world_open(struct world *world, uint32_t from, uint32_t to, bool carrier);
/* It is to move, as soon as it can; again, if it has to give way. */
void world_want(struct world *world, uint32_t sip, uint16_t target);
bool world_wants(const struct world *world);
/* Some mover is at work. */
bool world_moves(const struct world *world);
/* Acts of SIPs, and what movers want, for so long. */
void world_run(struct world *world, uint64_t slice_ns, uint32_t acts);
void world_crash(struct world *world, uint16_t node);
void world_controller_down(struct world *world, uint64_t ns);
/* Waits until all is quiet, and checks the end. strict: a channel of two SIPs that live must be
 * open, unless they are on two nodes of `parted` (bits). The caller has ended all faults. */
void world_end(struct world *world, bool strict, uint32_t parted);
struct sip_copy *world_running(struct world *world, uint32_t sip);

#endif
