/* SPDX-License-Identifier: Apache-2.0 */
/*
 * contract.h - private to fabric: contracts a node knows, with what sending needs laid out densely.
 *
 * A contract table describes each argument in some 70 bytes; a send needs one. So each message gets
 * a 23-byte plan when the contract becomes known. Contracts come from images, which are untrusted:
 * what the fabric relies on (positional states, indices in range) is checked here once.
 */
#ifndef FABRIC_CONTRACT_H
#define FABRIC_CONTRACT_H

#include "fabric/fabric.h"

struct fab__contract {
    const struct ct_contract *table;
    struct fab__contract *bucket_next;
    struct fab_plan plans[]; /* one a message */
};

#define FAB__CONTRACT_BUCKETS 256u

/* Finds or adds. BADARG: breaks what the fabric relies on; EXISTS: the short id is taken; NOMEM. */
SF_MUST_CHECK sf_status fab__contract_use(struct fab_node *node, const struct ct_contract *table,
                                          const struct fab__contract **out_contract);
const struct fab__contract *fab__contract_by_short_id(const struct fab_node *node,
                                                      uint64_t short_id);
void fab__contracts_fini(struct fab_node *node);

/* Full id of the contract an endpoint argument must have. */
static inline const uint8_t *fab__arg_contract_id(const struct ct_contract *table,
                                                  const struct ct_arg *arg)
{
    return arg->ref == CT_REF_SELF ? table->id : table->refs[arg->ref].id;
}

/* True if value is what a scalar of that kind looks like when extended to 64 bits. */
bool fab__scalar_fits(uint8_t kind, uint64_t value);
/* Bytes of a scalar kind, on the wire and as element of a block. */
uint32_t fab__kind_bytes(uint8_t kind);
/* Of one element of a block argument: a scalar's or a struct's. */
uint32_t fab__element_bytes(const struct ct_arg *arg);

#endif
