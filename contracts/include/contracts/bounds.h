/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bounds.h - the most that can ever wait at one end of a channel.
 *
 * Why: kernels reserve queues when a channel is made, and who places SIPs wants to know the sum
 * before. Both read it here.
 *
 * Model: between two answers of this side, the other may send a run of messages, and all of it may
 * wait. The longest run gives the slots; the run with the most block arguments gives the blocks
 * (which are memory of the exchange heap, not of the queue, and of any size); likewise endpoints.
 * Optional ones count. bytes = slots * CT_MESSAGE_BYTES.
 */
#ifndef CONTRACTS_BOUNDS_H
#define CONTRACTS_BOUNDS_H

#include "contracts/table.h"

/* One message in a queue: tag, argument count, and a word for each argument (struct fab_msg). */
#define CT_MESSAGE_BYTES (8u + 8u * CT_ARGS_MAX)

struct ct_bound {
    uint32_t slots;
    uint32_t bytes;
    uint32_t blocks;
    uint32_t endpoints;
};

/* Of the queue to `side`. For a contract that came out of contractc or ct_decode. */
struct ct_bound ct_queue_bound(const struct ct_contract *contract, enum ct_side side);

#endif
