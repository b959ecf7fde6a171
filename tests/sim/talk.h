/* SPDX-License-Identifier: Apache-2.0 */
/*
 * talk.h - channels that ask and answer as fast as they can: for measuring.
 *
 * Model: the importer of each Work channel sends a message, or a block, and the next one as soon as
 * it is answered; the exporter answers at once. Whatever goes wrong ends the process.
 */
#ifndef SIM_TALK_H
#define SIM_TALK_H

#include "cell.h"

struct talk_chan {
    struct fab_ep *imp;
    uint32_t left; /* questions to be sent yet */
};

struct talk {
    struct cell cell;
    struct talk_chan *chans;
    uint32_t chan_count, chan_max;
    uint32_t block_bytes; /* of a question; 0: a small message */
    uint64_t messages;    /* received */
    uint64_t opened;
    uint64_t *bytes;       /* in blocks, received from node i */
    uint64_t fabric_ticks; /* time stamp counter, in sends and receives */
};

void talk_init(struct talk *talk, const struct cell_options *options, uint32_t chan_max,
               uint32_t block_bytes);
void talk_fini(struct talk *talk);
/* Opens a channel, on which so many questions will be asked once talk_begin is called. */
struct talk_chan *talk_open(struct talk *talk, uint16_t from, uint16_t to);
void talk_begin(struct talk *talk, struct talk_chan *chan, uint32_t questions);

#endif
