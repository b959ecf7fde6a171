/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cause.h - why a channel closed, with the names of its contract.
 *
 * A cause travels as numbers (base/status.h); who has the contract says more with them.
 */
#ifndef CONTRACTS_CAUSE_H
#define CONTRACTS_CAUSE_H

#include "contracts/table.h"

/*
 * As sf_cause_format, but a broken contract is named: "contract violated: TcpContract: message
 * 'Ack' in state 'ReadyState'". Numbers that mean nothing in the contract (a hostile node chose
 * them) stay numbers. Always ends in a zero; answers buffer.
 */
const char *ct_cause_format(const struct ct_contract *contract, struct sf_cause cause, char *buffer,
                            uint32_t capacity);

#endif
