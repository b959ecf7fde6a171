/* SPDX-License-Identifier: Apache-2.0 */
#include "message.h"

#include <assert.h>
#include <string.h>

#include "endpoint.h"

static const struct ct_arg *arg_of(const struct fab_ep *ep, uint8_t tag, uint32_t index)
{
    return &ep->contract->table->messages[tag].args[index];
}

static sf_status block_check(const struct ct_arg *arg, const struct xh_block *block, uint64_t owner)
{
    if (block == NULL) {
        return arg->optional ? SF_OK : SF_CONTRACT;
    }
    if (block->owner != owner) {
        return SF_NOTOWNER;
    }
    if (arg->nested) {
        return SF_UNSUPPORTED; /* it refers to blocks, which would not come along */
    }
    return block->bytes % fab__element_bytes(arg) == 0 ? SF_OK : SF_CONTRACT;
}

bool fab__ep_arg_fits(const struct fab_ep *ep, uint8_t tag, uint32_t index,
                      const struct ct_contract *table, uint8_t side, uint8_t state)
{
    const struct ct_arg *arg = arg_of(ep, tag, index);
    const struct ct_state *at = &table->states[state];

    /* The send-state rule: its holder sends next, so nothing can be under way to it. */
    return arg->side == side && arg->state == state && !at->final && at->sender == side &&
           memcmp(fab__arg_contract_id(ep->contract->table, arg), table->id, CT_ID_BYTES) == 0;
}

static sf_status ep_check(const struct fab_ep *ep, uint8_t tag, uint32_t index,
                          const struct fab_ep *arg_ep)
{
    if (arg_ep == NULL) {
        return arg_of(ep, tag, index)->optional ? SF_OK : SF_CONTRACT;
    }
    assert(arg_ep->life == FAB__LIVE);
    assert(arg_ep->node == ep->node);
    if (arg_ep->in_message) {
        return SF_NOTOWNER;
    }
    if (arg_ep == ep || arg_ep->id == ep->peer_id || arg_ep->in.count != 0 || arg_ep->assembling) {
        return SF_CONTRACT;
    }
    return fab__ep_arg_fits(ep, tag, index, arg_ep->contract->table, arg_ep->side, arg_ep->state)
               ? SF_OK
               : SF_CONTRACT;
}

bool fab__msg_gives_twice(const struct fab_plan *plan, const struct fab_msg *msg)
{
    uint8_t owned = plan->blocks | plan->eps;

    for (uint32_t i = 1; i < plan->arg_count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if ((owned >> i & 1u) && (owned >> j & 1u) && msg->args[i].block != NULL &&
                msg->args[i].scalar == msg->args[j].scalar) {
                return true;
            }
        }
    }
    return false;
}

sf_status fab__arg_check(const struct fab_ep *ep, const struct fab_msg *msg, uint32_t index,
                         uint64_t owner)
{
    const struct fab_plan *plan = &ep->plans[msg->tag];

    switch (plan->kinds[index]) {
    case CT_ARG_BLOCK:
        return block_check(arg_of(ep, msg->tag, index), msg->args[index].block, owner);
    case CT_ARG_ENDPOINT:
        return ep_check(ep, msg->tag, index, msg->args[index].ep);
    default:
        return fab__scalar_fits(plan->kinds[index], msg->args[index].scalar) ? SF_OK : SF_CONTRACT;
    }
}
