/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"

#include <stdio.h>

const char *sf_status_text(sf_status status)
{
    switch (status) {
#define SF_STATUS(name, number, text)                                                              \
    case SF_##name:                                                                                \
        return text;
#include "base/status.def"
#undef SF_STATUS
    }
    return "?";
}

const char *sf_status_name(sf_status status)
{
    switch (status) {
#define SF_STATUS(name, number, text)                                                              \
    case SF_##name:                                                                                \
        return #name;
#include "base/status.def"
#undef SF_STATUS
    }
    return "?";
}

const char *sf_cause_text(uint8_t kind)
{
    switch (kind) {
#define SF_CAUSE(name, number, text)                                                               \
    case SF_CAUSE_##name:                                                                          \
        return text;
#include "base/cause.def"
#undef SF_CAUSE
    default:
        return "?";
    }
}

const char *sf_fault_text(uint8_t fault)
{
    switch (fault) {
#define SF_FAULT(name, number, text)                                                               \
    case SF_FAULT_##name:                                                                          \
        return text;
#include "base/fault.def"
#undef SF_FAULT
    default:
        return "?";
    }
}

const char *sf_cause_format(struct sf_cause cause, char *buffer, uint32_t capacity)
{
    const char *text = sf_cause_text(cause.kind);

    switch (cause.kind) {
    case SF_CAUSE_PEER_FAULTED:
        (void)snprintf(buffer, capacity, "%s: %s", text, sf_fault_text(cause.fault));
        break;
    case SF_CAUSE_CONTRACT_VIOLATED:
        (void)snprintf(buffer, capacity, "%s: message %u in state %u", text, cause.tag,
                       cause.state);
        break;
    default:
        (void)snprintf(buffer, capacity, "%s", text);
        break;
    }
    return buffer;
}
