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

/* One thing cannot be given away twice. */
static bool given_twice(const struct fab__plan *plan, const struct fab_msg *msg)
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

sf_status fab__msg_check(const struct fab_ep *ep, const struct fab_msg *msg, uint64_t owner)
{
    const struct fab__plan *plan = &ep->plans[msg->tag];
    sf_status st = SF_OK;

    for (uint32_t i = 0; i < plan->arg_count && st == SF_OK; i++) {
        switch (plan->kinds[i]) {
        case CT_ARG_BLOCK:
            st = block_check(arg_of(ep, msg->tag, i), msg->args[i].block, owner);
            break;
        case CT_ARG_ENDPOINT:
            st = ep_check(ep, msg->tag, i, msg->args[i].ep);
            break;
        default:
            st = fab__scalar_fits(plan->kinds[i], msg->args[i].scalar) ? SF_OK : SF_CONTRACT;
            break;
        }
    }
    if (st == SF_OK && given_twice(plan, msg)) {
        st = SF_NOTOWNER;
    }
    return st;
}

void fab__msg_give(struct fab_node *node, const struct fab__plan *plan, const struct fab_msg *msg,
                   uint64_t from, uint64_t to, bool in_message)
{
    for (uint32_t i = 0; i < plan->arg_count; i++) {
        if ((plan->blocks >> i & 1u) && msg->args[i].block != NULL) {
            sf_status st = xh_give(node->heap, msg->args[i].block, from, to);
            assert(st == SF_OK);
            (void)st;
        } else if ((plan->eps >> i & 1u) && msg->args[i].ep != NULL) {
            msg->args[i].ep->in_message = in_message;
            msg->args[i].ep->holder = NULL;
        }
    }
}
