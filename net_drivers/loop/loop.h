/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h - what tests of the loop driver may reach besides link.h.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "link/link.h"

/* Puts a frame on the wire that says it comes from source. False: ring full or link down. */
bool loop__inject(struct link *link, uint16_t source, const void *bytes, uint32_t length);

#endif
