/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h - what must be true of the nodes of a cell at any moment, and what a session may cost.
 *
 * Quick, after every step: each session within its window and its memory.
 * Full, every few steps: fab_audit and xh_audit; queues have the slots that the contract's bounds
 * say; every block of the heap is found exactly once, in a queue, in flight, or with a holder.
 *
 * Memory of a session, at most: itself; what sealing needs; a slot for each frame of the two
 * windows; a buffer of an MTU for each frame in flight or held, for those kept free, and for one
 * being made; a ring of answers; and a successor in which nothing has been said yet.
 * check_session_bytes_max is that sum, with both windows full.
 */
#ifndef SIM_CHECK_H
#define SIM_CHECK_H

#include "load.h"

void check_quick(const struct cell *cell);
void check_full(const struct cell *cell, const struct load *load);
/* All records and blocks are free. */
void check_nothing_left(const struct cell *cell, const struct ledger *ledger);
/* Everybody has told everybody all there is to tell. */
bool check_drained(const struct cell *cell);
/* What keeps a cell from that, for people; "" if nothing. */
const char *check_undrained(const struct cell *cell, char *text, uint32_t capacity);

uint64_t check_session_bytes(const struct fab__session *session);
uint64_t check_session_bytes_max(uint32_t mtu_bytes, uint32_t reply_capacity);

#endif
