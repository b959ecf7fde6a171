/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.h - frames of a driver that has no device: a fixed number of equal buffers.
 *
 * Model: a stack of free buffers. A frame's driver field is its buffer, so that a frame comes back
 * whatever the caller did to the data pointer.
 * Threads: one. Ownership: take lends, give takes back; fini while none is lent.
 * Errors: the give of a buffer that is not lent is a bug of the caller (assert).
 */
#ifndef NET_DRIVERS_POOL_H
#define NET_DRIVERS_POOL_H

#include <stdint.h>

#include "base/status.h"
#include "link/link.h"

struct link_pool {
    uint8_t *memory;
    uint8_t **free;
    uint8_t *lent; /* one flag a buffer */
    uint32_t count, free_count, bytes;
};

/* NOMEM: nothing to undo. bytes: of one buffer. */
SF_MUST_CHECK sf_status link_pool_init(struct link_pool *pool, uint32_t count, uint32_t bytes);
/* Takes a zeroed pool. */
void link_pool_fini(struct link_pool *pool);
/* Answers how many frames were filled: data, length 0, capacity, peer unknown, driver. */
uint16_t link_pool_take(struct link_pool *pool, struct link_frame frames[], uint16_t count);
void link_pool_give(struct link_pool *pool, struct link_frame frames[], uint16_t count);

#endif
