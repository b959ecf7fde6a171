/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger.h - what should be true of every channel of a run, kept apart from the fabric.
 *
 * Why: the fabric cannot be its own witness. The ledger learns what holders did and what they were
 * given, and says at once when the two do not fit.
 *
 * Model: a channel has two sides. Messages of a side are numbered, and their content follows from
 * channel, side and number, so whoever receives one can tell that it is the next one, whole, and no
 * other. An end is held somewhere, travels in a message of a carrier channel, or is gone for a
 * reason the ledger knows.
 *
 * What is promised, and checked:
 *   - always: what is received is the next message of its channel and side, unchanged;
 *   - always: while a channel is open at both ends, and all has come to rest, all has arrived;
 *   - a channel closes for a cause that something in the run explains: its other holder gave it up
 *     with that cause; nobody took it out of its carrier; there was no such export; a fault hit two
 *     nodes it had to do with (`touched`); a node ran out of room (scarce runs only);
 *   - a channel that no fault has touched loses nothing: a closure comes after all messages.
 * A channel has to do with the nodes that its ends have ever been on or were sent to.
 *
 * `tainted` channels have had to do with both ends of a cable that changes frames in ways a
 * checksum does not notice. Nothing is promised for them in sessions without encryption.
 */
#ifndef SIM_LEDGER_H
#define SIM_LEDGER_H

#include "base/status.h"
#include "cell.h"

enum ledger_place {
    LEDGER_COMING = 0, /* opened by the other side; not here yet */
    LEDGER_HELD,
    LEDGER_TRAVELS,  /* in a message of `carrier` */
    LEDGER_GIVEN_UP, /* by its holder, with `cause` */
    LEDGER_DROPPED,  /* its carrier closed, with `cause`, before anybody took it */
    LEDGER_VANISHED, /* its node crashed */
    LEDGER_NEVER,    /* there is no such export */
};

struct ledger_end {
    enum ledger_place place;
    uint64_t id;
    uint16_t node; /* HELD */
    struct sf_cause cause;
    struct ledger_chan *carrier;
    uint8_t carrier_side; /* of its sender */
    uint32_t sent;        /* messages, by this side */
    uint32_t received;    /* messages of this side, by the other */
};

struct ledger_chan {
    uint32_t serial;
    bool carrier; /* a Carry channel */
    bool touched;
    bool tainted;
    struct ledger_end ends[2]; /* by side */
    uint64_t visited[FAB_NODES_MAX / 64];
};

struct ledger {
    struct ledger_chan *chans;
    uint32_t chan_count, chan_max;
    uint32_t *index; /* hash of end ids: 1 + serial number of the channel * 2 + side */
    uint32_t index_mask;
    bool scarce;             /* QUOTA is an explanation */
    uint16_t bad_a, bad_b;   /* the cable; 0: there is none */
    const struct cell *cell; /* says which pairs are bad */
    uint64_t messages, closures, moves, unexported;
};

void ledger_init(struct ledger *ledger, uint32_t chan_max, const struct cell *cell);
void ledger_fini(struct ledger *ledger);

/* A channel from node a to node b; both ids new. Its importer is held at a, its exporter is to
 * come. */
struct ledger_chan *ledger_open(struct ledger *ledger, bool carrier, uint64_t imp_id,
                                uint64_t exp_id, uint16_t a, uint16_t b);
/* The channel of an end, and its side; NULL: nobody made it. */
struct ledger_chan *ledger_find(const struct ledger *ledger, uint64_t end_id, uint8_t *out_side);

/* May that end come out of a message of carrier now, or (NULL) out of an opening? */
bool ledger_expected(const struct ledger_chan *chan, uint8_t side,
                     const struct ledger_chan *carrier);
/* It did. Fails if it was not expected. */
void ledger_held(struct ledger *ledger, struct ledger_chan *chan, uint8_t side, uint16_t node,
                 const struct ledger_chan *carrier);
/* It was sent in a message of carrier's side, whose peer is at node `to`. */
void ledger_travels(struct ledger *ledger, struct ledger_chan *chan, uint8_t side,
                    struct ledger_chan *carrier, uint8_t carrier_side, uint16_t to);
void ledger_given_up(struct ledger *ledger, struct ledger_chan *chan, uint8_t side,
                     struct sf_cause cause);
void ledger_vanished(struct ledger *ledger, struct ledger_chan *chan, uint8_t side);

/* Content of message `number` of a side. */
uint64_t ledger_value(const struct ledger_chan *chan, uint8_t side, uint32_t number);
/* The holder of `side` has received a message with that value; fails if it is not the next one. */
void ledger_received(struct ledger *ledger, struct ledger_chan *chan, uint8_t side, uint64_t value);
/* The holder of `side` sees the channel closed; fails if nothing explains it. */
void ledger_closed(struct ledger *ledger, const struct ledger_chan *chan, uint8_t side,
                   struct sf_cause cause);

/* A fault hits the pair: touches what has to do with both. */
void ledger_pair_broken(struct ledger *ledger, uint16_t a, uint16_t b);
/* At rest, at the end: each channel is whole, or both sides know that it is not. */
void ledger_at_rest(const struct ledger *ledger);

#endif
