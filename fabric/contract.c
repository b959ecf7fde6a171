/* SPDX-License-Identifier: Apache-2.0 */
#include "contract.h"

#include <stdlib.h>
#include <string.h>

#include "node.h"

uint32_t fab__kind_bytes(uint8_t kind)
{
    static const uint8_t bytes[] = {
        [CT_ARG_BOOL] = 1,   [CT_ARG_INT8] = 1,    [CT_ARG_UINT8] = 1,   [CT_ARG_INT16] = 2,
        [CT_ARG_UINT16] = 2, [CT_ARG_INT32] = 4,   [CT_ARG_UINT32] = 4,  [CT_ARG_INT64] = 8,
        [CT_ARG_UINT64] = 8, [CT_ARG_FLOAT32] = 4, [CT_ARG_FLOAT64] = 8,
    };

    return kind <= CT_ARG_FLOAT64 ? bytes[kind] : 0;
}

uint32_t fab__element_bytes(const struct ct_arg *arg)
{
    return arg->bytes != 0 ? arg->bytes : fab__kind_bytes(arg->element);
}

bool fab__scalar_fits(uint8_t kind, uint64_t value)
{
    switch (kind) {
    case CT_ARG_BOOL:
        return value <= 1;
    case CT_ARG_INT8:
        return (uint64_t)(int64_t)(int8_t)value == value;
    case CT_ARG_UINT8:
        return value <= UINT8_MAX;
    case CT_ARG_INT16:
        return (uint64_t)(int64_t)(int16_t)value == value;
    case CT_ARG_UINT16:
        return value <= UINT16_MAX;
    case CT_ARG_INT32:
        return (uint64_t)(int64_t)(int32_t)value == value;
    case CT_ARG_UINT32:
    case CT_ARG_FLOAT32:
        return value <= UINT32_MAX;
    default:
        return true;
    }
}

/* --- what the fabric relies on -------------------------------------------------------------- */

static bool message_sound(const struct ct_contract *table, const struct ct_message *message)
{
    if (message->arg_count > CT_ARGS_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < message->arg_count; i++) {
        const struct ct_arg *arg = &message->args[i];
        if (arg->kind > CT_ARG_ENDPOINT || arg->side > CT_EXP ||
            (arg->kind == CT_ARG_BLOCK && fab__kind_bytes(arg->element) == 0) ||
            (arg->kind == CT_ARG_ENDPOINT && arg->ref != CT_REF_SELF &&
             arg->ref >= table->ref_count)) {
            return false;
        }
    }
    return true;
}

static bool state_sound(const struct ct_contract *table, uint32_t state)
{
    for (uint32_t tag = 0; tag < table->message_count; tag++) {
        for (uint32_t sender = 0; sender < 2; sender++) {
            uint8_t next = table->next[sender][state * table->message_count + tag];
            if (next == CT_ILLEGAL) {
                continue;
            }
            if (next >= table->state_count || table->states[state].final ||
                table->states[state].sender != sender) {
                return false;
            }
        }
    }
    return true;
}

static bool contract_sound(const struct ct_contract *table)
{
    if (table->message_count > CT_MESSAGES_MAX || table->state_count == 0 ||
        table->state_count > CT_STATES_MAX || table->slots[CT_IMP] > CT_QUEUE_SLOTS_MAX ||
        table->slots[CT_EXP] > CT_QUEUE_SLOTS_MAX) {
        return false;
    }
    for (uint32_t tag = 0; tag < table->message_count; tag++) {
        if (!message_sound(table, &table->messages[tag])) {
            return false;
        }
    }
    for (uint32_t state = 0; state < table->state_count; state++) {
        if (!state_sound(table, state)) {
            return false;
        }
    }
    return true;
}

/* --- plans ---------------------------------------------------------------------------------- */

static void plan_make(struct fab_plan *plan, const struct ct_message *message)
{
    *plan = (struct fab_plan){.arg_count = message->arg_count};
    for (uint32_t i = 0; i < message->arg_count; i++) {
        uint8_t kind = message->args[i].kind;
        uint8_t bit = (uint8_t)(1u << i);
        plan->kinds[i] = kind;
        if (message->args[i].optional) {
            plan->optional |= bit;
        }
        if (kind == CT_ARG_BLOCK) {
            plan->blocks |= bit;
            if (message->args[i].bytes == 0 && !message->args[i].nested) {
                plan->plain |= bit;
                plan->grains[i] = (uint8_t)(fab__kind_bytes(message->args[i].element) - 1);
            }
        } else if (kind == CT_ARG_ENDPOINT) {
            plan->eps |= bit;
        } else {
            plan->scalar_bytes += (uint8_t)fab__kind_bytes(kind);
            plan->narrow |= fab__kind_bytes(kind) < 8 ? bit : 0;
        }
    }
    plan->several = __builtin_popcount(plan->blocks | plan->eps) > 1;
    plan->simple = !plan->several && plan->eps == 0 && plan->narrow == 0 &&
                   (plan->blocks & (uint8_t)~plan->plain) == 0;
}

static struct fab__contract **bucket_of(struct fab_node *node, uint64_t short_id)
{
    return &node->contracts[short_id % FAB__CONTRACT_BUCKETS];
}

const struct fab__contract *fab__contract_by_short_id(const struct fab_node *node,
                                                      uint64_t short_id)
{
    const struct fab__contract *contract = node->contracts[short_id % FAB__CONTRACT_BUCKETS];

    while (contract != NULL && contract->table->short_id != short_id) {
        contract = contract->bucket_next;
    }
    return contract;
}

sf_status fab__contract_use(struct fab_node *node, const struct ct_contract *table,
                            const struct fab__contract **out_contract)
{
    const struct fab__contract *known = fab__contract_by_short_id(node, table->short_id);
    struct fab__contract *contract;
    struct fab__contract **bucket;

    if (known != NULL) {
        if (known->table != table && memcmp(known->table->id, table->id, CT_ID_BYTES) != 0) {
            return SF_EXISTS;
        }
        *out_contract = known;
        return SF_OK;
    }
    if (!contract_sound(table)) {
        return SF_BADARG;
    }
    contract = malloc(sizeof(*contract) + table->message_count * sizeof(contract->plans[0]));
    if (contract == NULL) {
        return SF_NOMEM;
    }
    contract->table = table;
    for (uint32_t tag = 0; tag < table->message_count; tag++) {
        plan_make(&contract->plans[tag], &table->messages[tag]);
    }
    bucket = bucket_of(node, table->short_id);
    contract->bucket_next = *bucket;
    *bucket = contract;
    *out_contract = contract;
    return SF_OK;
}

sf_status fab_contract_add(struct fab_node *node, const struct ct_contract *contract)
{
    const struct fab__contract *known;

    return fab__contract_use(node, contract, &known);
}

const struct ct_contract *fab_contract_find(const struct fab_node *node, uint64_t short_id)
{
    const struct fab__contract *contract = fab__contract_by_short_id(node, short_id);

    return contract == NULL ? NULL : contract->table;
}

void fab__contracts_fini(struct fab_node *node)
{
    for (uint32_t i = 0; i < FAB__CONTRACT_BUCKETS; i++) {
        while (node->contracts[i] != NULL) {
            struct fab__contract *contract = node->contracts[i];
            node->contracts[i] = contract->bucket_next;
            free(contract);
        }
    }
}
