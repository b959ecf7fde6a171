/* SPDX-License-Identifier: Apache-2.0 */
#include "contracts/bounds.h"

static uint32_t args_of_kind(const struct ct_message *message, uint8_t kind)
{
    uint32_t count = 0;

    for (uint8_t a = 0; a < message->arg_count; a++) {
        count += message->args[a].kind == kind;
    }
    return count;
}

/* In no state may both sides send: then one queue never holds parts of two runs. */
static bool positional(const struct ct_contract *contract)
{
    for (uint16_t s = 0; s < contract->state_count; s++) {
        bool may[2] = {false, false};
        for (uint16_t tag = 0; tag < contract->message_count; tag++) {
            may[CT_IMP] = may[CT_IMP] || ct_step(contract, (uint8_t)s, CT_IMP, tag) != CT_ILLEGAL;
            may[CT_EXP] = may[CT_EXP] || ct_step(contract, (uint8_t)s, CT_EXP, tag) != CT_ILLEGAL;
        }
        if (may[CT_IMP] && may[CT_EXP]) {
            return false;
        }
    }
    return true;
}

/* One round of longest paths: by `kind` arguments, along messages of `sender`. */
static bool improve(const struct ct_contract *contract, enum ct_side sender, uint8_t kind,
                    uint32_t most[CT_STATES_MAX])
{
    bool changed = false;

    for (uint16_t s = 0; s < contract->state_count; s++) {
        for (uint16_t tag = 0; tag < contract->message_count; tag++) {
            uint8_t next = ct_step(contract, (uint8_t)s, sender, tag);
            if (next == CT_ILLEGAL) {
                continue;
            }
            uint32_t sum = args_of_kind(&contract->messages[tag], kind) + most[next];
            if (sum > most[s]) {
                most[s] = sum;
                changed = true;
            }
        }
    }
    return changed;
}

static uint32_t most_waiting(const struct ct_contract *contract, enum ct_side side, uint8_t kind)
{
    uint32_t most[CT_STATES_MAX] = {0};
    uint32_t answer = 0;

    if (!positional(contract)) {
        for (uint16_t tag = 0; tag < contract->message_count; tag++) {
            uint32_t count = args_of_kind(&contract->messages[tag], kind);
            answer = count > answer ? count : answer;
        }
        return answer * contract->slots[side];
    }
    /* No cycle in one direction, so no path is longer than there are states. */
    for (uint16_t round = 0; round < contract->state_count; round++) {
        if (!improve(contract, ct_other(side), kind, most)) {
            break;
        }
    }
    for (uint16_t s = 0; s < contract->state_count; s++) {
        answer = most[s] > answer ? most[s] : answer;
    }
    return answer;
}

struct ct_bound ct_queue_bound(const struct ct_contract *contract, enum ct_side side)
{
    return (struct ct_bound){
        .slots = contract->slots[side],
        .bytes = contract->slots[side] * CT_MESSAGE_BYTES,
        .blocks = most_waiting(contract, side, CT_ARG_BLOCK),
        .endpoints = most_waiting(contract, side, CT_ARG_ENDPOINT),
    };
}
