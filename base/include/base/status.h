/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status.h - the words every layer shares: statuses, closure causes, faults.
 *
 * Why: a channel must close for the same typed reason whether its peer is on the same core or on
 * another machine, so the reasons are defined once, below all layers.
 *
 * Model: three tables (status.def, cause.def, fault.def) generate enums, names and texts.
 * Threads: everything here is pure. Ownership: returned strings are static.
 */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include <stdint.h>

#define SF_MUST_CHECK __attribute__((warn_unused_result))

enum sf_status {
#define SF_STATUS(name, number, text) SF_##name = (number),
#include "base/status.def"
#undef SF_STATUS
};
typedef enum sf_status sf_status;

enum sf_cause_kind {
#define SF_CAUSE(name, number, text) SF_CAUSE_##name = (number),
#include "base/cause.def"
#undef SF_CAUSE
};

enum sf_fault_kind {
#define SF_FAULT(name, number, text) SF_FAULT_##name = (number),
#include "base/fault.def"
#undef SF_FAULT
};

/*
 * Why a channel closed. kind is an sf_cause_kind (0 = still open); fault is an sf_fault_kind and
 * means something with PEER_FAULTED only; state and tag mean something with CONTRACT_VIOLATED
 * only (contract state index and message tag at the moment of the violation).
 */
struct sf_cause {
    uint8_t kind;
    uint8_t fault;
    uint8_t state;
    uint8_t tag;
};
_Static_assert(sizeof(struct sf_cause) == 4, "sf_cause travels on wires and into SIPs");

#define SF_CAUSE_OF(k) ((struct sf_cause){.kind = (uint8_t)SF_CAUSE_##k})

/* Static text for people; "?" for a number that is not in the table. Never NULL. */
const char *sf_status_text(sf_status status);
/* Upper-case name as in the table, e.g. "CONTRACT"; "?" if unknown. */
const char *sf_status_name(sf_status status);
const char *sf_cause_text(uint8_t kind);
const char *sf_fault_text(uint8_t fault);

/*
 * Writes the whole cause, e.g. "peer faulted: unreachable instruction", into buffer (always
 * terminated when capacity > 0, cut if too long). Returns buffer.
 */
const char *sf_cause_format(struct sf_cause cause, char *buffer, uint32_t capacity);

#endif
