/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compat.h - two versions of a contract, one at either end. Private to contracts/compiler; what the
 * answers mean is said in contracts/reports.h.
 */
#ifndef CONTRACTS_COMPILER_COMPAT_H
#define CONTRACTS_COMPILER_COMPAT_H

#include "contracts/reports.h"
#include "explore.h"

#define COMPAT_PAIRS_MAX (CT_STATES_MAX + CT_BLOB_CLOSURE_MAX)

/* What is taken for compatible while contracts that name it are looked at. */
struct compat_pairs {
    struct compat_pair {
        const struct ctc_contract *imp, *exp;
        const char *state;
    } pairs[COMPAT_PAIRS_MAX];
    size_t count;
};

/* Of one named state of the old contract. */
struct compat_state {
    const char *name;
    bool fits;
    bool final;
    uint8_t indices[2]; /* in the old contract, in the new one */
    char *why;          /* unless it fits; malloced */
    char *run;          /* the steps, or NULL; malloced */
};

struct compat_direction {
    enum ct_side old_side; /* which side has the old contract */
    enum ctc_compatible answer;
    struct compat_state states[CT_STATES_MAX];
    size_t state_count;
};

/* Both must have been checked. The caller calls compat__free. */
void compat__direction(const struct ctc_contract *old, const struct ctc_contract *new,
                       enum ct_side old_side, struct compat_direction *out);
void compat__free(struct compat_direction *direction);

/* Identical, or nothing can go wrong from that state on. */
bool compat__from_state(struct compat_pairs *pairs, const struct ctc_contract *imp,
                        const struct ctc_contract *exp, const char *state);

/* Does the receiver understand all that the sender may send? If not, says why. */
bool compat__message_fits(struct compat_pairs *pairs, const struct ctc__message *sender,
                          const struct ctc__message *receiver, struct ctc__text *why);

#endif
