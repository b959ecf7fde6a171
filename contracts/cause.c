/* SPDX-License-Identifier: Apache-2.0 */
#include "contracts/cause.h"

#include <stdio.h>

const char *ct_cause_format(const struct ct_contract *contract, struct sf_cause cause, char *buffer,
                            uint32_t capacity)
{
    char message[CT_NAME_BYTES_MAX + 3];
    char state[CT_NAME_BYTES_MAX + 3];

    if (cause.kind != SF_CAUSE_CONTRACT_VIOLATED) {
        return sf_cause_format(cause, buffer, capacity);
    }
    if (cause.tag < contract->message_count) {
        (void)snprintf(message, sizeof(message), "'%s'", contract->messages[cause.tag].name);
    } else {
        (void)snprintf(message, sizeof(message), "%u", cause.tag);
    }
    if (cause.state < contract->state_count) {
        (void)snprintf(state, sizeof(state), "'%s'", contract->states[cause.state].name);
    } else {
        (void)snprintf(state, sizeof(state), "%u", cause.state);
    }
    (void)snprintf(buffer, capacity, "%s: %s: message %s in state %s", sf_cause_text(cause.kind),
                   contract->name, message, state);
    return buffer;
}
