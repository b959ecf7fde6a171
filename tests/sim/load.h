/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.h - the holders of a simulated cell: who sends, receives, moves ends, and closes.
 *
 * Model: each end that somebody holds is a holder. Now and then one acts: it receives if there is
 * something, or else sends what its contract allows, or (rarely) gives its end up with a cause. On
 * Work channels messages are small, or blocks of up to several MTUs, sometimes 1 MiB. On Carry
 * channels ends of Work channels travel. A holder may go deaf for a while: a slow receiver. Each
 * node has a pocket for blocks that holders keep and send on later.
 *
 * Everything that happens is told to the ledger.
 */
#ifndef SIM_LOAD_H
#define SIM_LOAD_H

#include "ledger.h"

#define LOAD_POCKET_BLOCKS 4u

struct load_options {
    uint16_t close; /* in a thousand actions on a Work end */
    uint16_t carrier_close;
    uint16_t deaf;  /* in a thousand actions: the holder receives nothing for a while */
    uint16_t large; /* in a thousand blocks: up to large_bytes */
    uint32_t large_bytes;
    uint16_t missing; /* in a thousand openings: there is no such export */
};

struct load_holder {
    struct fab_ep *ep;
    struct ledger_chan *chan; /* NULL: of a channel nobody made; it is closed at once */
    uint16_t node;
    uint8_t side;
    uint64_t deaf_ns; /* until then */
};

struct load_pocket {
    struct xh_block *blocks[LOAD_POCKET_BLOCKS];
    uint32_t count;
};

struct load {
    struct cell *cell;
    struct ledger *ledger;
    struct load_options options;
    struct rng rng;
    struct load_holder *holders;
    uint32_t holder_count, holder_max;
    struct load_pocket *pockets; /* by node */
    bool closing;                /* nobody sends or gives up any more */
    uint64_t blocks, block_bytes, wild;
};

void load_init(struct load *load, struct cell *cell, struct ledger *ledger,
               const struct load_options *options, uint64_t seed);
void load_fini(struct load *load);

/* Opens a channel; nothing happens if the cell is full or has no session there. */
void load_open(struct load *load, bool carrier, uint16_t a, uint16_t b);
/* For struct cell_hooks: an end arrives at an exporter. */
void load_opened(void *arg, uint16_t node, struct fab_ep *ep);
/* Some holder acts. */
void load_act(struct load *load);
/* All holders receive what there is; answers how many messages and closures that were. */
uint32_t load_receive_all(struct load *load);
void load_close_all(struct load *load);
/* A node is about to crash: what is held there is gone. */
void load_vanish(struct load *load, uint16_t node);
void load_pocket_empty(struct load *load, uint16_t node);

#endif
