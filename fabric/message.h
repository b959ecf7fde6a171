/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.h - private to fabric: the arguments of a message against their declared types, and
 * their change of owner. Checking changes nothing; what was checked can then be moved for good.
 */
#ifndef FABRIC_MESSAGE_H
#define FABRIC_MESSAGE_H

#include "node.h"

/*
 * May the holder of ep, who owns its blocks as `owner`, send msg? OK, CONTRACT, NOTOWNER. The tag
 * has been checked.
 */
SF_MUST_CHECK sf_status fab__msg_check(const struct fab_ep *ep, const struct fab_msg *msg,
                                       uint64_t owner);
/* Gives blocks from one owner to the next, and marks endpoints as inside a message or not. */
void fab__msg_give(struct fab_node *node, const struct fab__plan *plan, const struct fab_msg *msg,
                   uint64_t from, uint64_t to, bool in_message);

/* May an endpoint of that side and state travel as this argument of ep's contract? */
bool fab__ep_arg_fits(const struct fab_ep *ep, uint8_t tag, uint32_t index,
                      const struct ct_contract *table, uint8_t side, uint8_t state);

#endif
