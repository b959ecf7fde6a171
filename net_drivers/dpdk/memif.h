/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memif.h - what memif.c (the link's making and its carrier) and memif_data.c (its bursts) share.
 */
#ifndef DPDK_MEMIF_H
#define DPDK_MEMIF_H

#include "memif_ring.h"
#include "port.h"

/* The ops. */
uint16_t memif__tx_burst(struct link *link, uint16_t queue, struct link_frame frames[],
                         uint16_t count);
uint16_t memif__rx_burst(struct link *link, uint16_t queue, struct link_frame frames[],
                         uint16_t count);

#endif
