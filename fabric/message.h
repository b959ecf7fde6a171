/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.h - private to fabric: the arguments of a message against their declared types, and
 * their change of owner. Checking changes nothing; what was checked can then be moved for good.
 */
#ifndef FABRIC_MESSAGE_H
#define FABRIC_MESSAGE_H

#include <assert.h>

#include "node.h"

/* Any argument, by the contract's table; see fab__msg_check. */
SF_MUST_CHECK sf_status fab__arg_check(const struct fab_ep *ep, const struct fab_msg *msg,
                                       uint32_t index, uint64_t owner);
/* One thing cannot be given away twice. */
bool fab__msg_gives_twice(const struct fab_plan *plan, const struct fab_msg *msg);

/* A block of scalars, by the plan. */
static inline sf_status fab__block_check(const struct fab_plan *plan, uint32_t index,
                                         const struct xh_block *block, uint64_t owner)
{
    if (block == NULL) {
        return (plan->optional >> index & 1u) ? SF_OK : SF_CONTRACT;
    }
    if (block->owner != owner) {
        return SF_NOTOWNER;
    }
    return (block->bytes & plan->grains[index]) == 0 ? SF_OK : SF_CONTRACT;
}

/*
 * May the holder of ep, who owns its blocks as `owner`, send msg? OK, CONTRACT, NOTOWNER. The tag
 * has been checked, and plan is that tag's.
 */
SF_MUST_CHECK static inline sf_status fab__msg_check(const struct fab_ep *ep,
                                                     const struct fab_plan *plan,
                                                     const struct fab_msg *msg, uint64_t owner)
{
    uint32_t left = plan->narrow | plan->blocks | plan->eps; /* other scalars always fit */

    for (; left != 0; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctz(left);
        sf_status st = (plan->plain >> i & 1u)
                           ? fab__block_check(plan, i, msg->args[i].block, owner)
                           : fab__arg_check(ep, msg, i, owner);

        if (st != SF_OK) {
            return st;
        }
    }
    return plan->several && fab__msg_gives_twice(plan, msg) ? SF_NOTOWNER : SF_OK;
}

/* Copies what a message has; the other argument slots stay as they are. */
static inline void fab__msg_copy(struct fab_msg *to, const struct fab_msg *from)
{
    uint32_t count = from->arg_count;

    to->tag = from->tag;
    to->arg_count = (uint8_t)count;
    for (uint32_t i = 0; i < count; i++) {
        to->args[i] = from->args[i];
    }
}

/* Gives blocks from one owner to the next, and marks endpoints as inside a message or not. */
static inline void fab__msg_give(const struct fab_plan *plan, const struct fab_msg *msg,
                                 uint64_t from, uint64_t to, bool in_message)
{
    for (uint32_t left = plan->blocks; left != 0; left &= left - 1) {
        struct xh_block *block = msg->args[__builtin_ctz(left)].block;
        if (block != NULL) {
            sf_status st = xh_give(block, from, to);
            assert(st == SF_OK);
            (void)st;
        }
    }
    for (uint32_t left = plan->eps; left != 0; left &= left - 1) {
        struct fab_ep *ep = msg->args[__builtin_ctz(left)].ep;
        if (ep != NULL) {
            ep->in_message = in_message;
            ep->holder = NULL;
        }
    }
}

/* May an endpoint of that side and state travel as this argument of ep's contract? */
bool fab__ep_arg_fits(const struct fab_ep *ep, uint8_t tag, uint32_t index,
                      const struct ct_contract *table, uint8_t side, uint8_t state);

#endif
