/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memif.h - what memif.c (the link's making and its carrier) and memif_data.c (its bursts) share.
 */
#ifndef DPDK_MEMIF_H
#define DPDK_MEMIF_H

#include "memif_ring.h"
#include "port.h"

/* Of a queue that was entered, of a link that is up: lent slots are the sender's again. False:
 * there are frames whose tails are in them. */
static inline bool memif__slots_return(struct dpdk_queue *queue)
{
    if (queue->lent != 0) {
        if (__atomic_load_n(&queue->tails_out, __ATOMIC_ACQUIRE) != 0) {
            return false;
        }
        ring_advance(&queue->in, queue->lent);
        queue->lent = 0;
    }
    return true;
}

/* The ops. */
void memif__frame_free(struct link *link, struct link_frame frames[], uint16_t count);
uint16_t memif__tx_burst(struct link *link, uint16_t queue, struct link_frame frames[],
                         uint16_t count);
uint16_t memif__rx_burst(struct link *link, uint16_t queue, struct link_frame frames[],
                         uint16_t count);

#endif
