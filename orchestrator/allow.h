/* SPDX-License-Identifier: Apache-2.0 */
/*
 * allow.h - on which links between nodes RDMA may be used: what the operator has said.
 *
 * Why: RDMA encrypts nothing that it carries, and who is on its network can forge packets of a
 * connection. Whether that network is to be trusted only the operator knows, and may be so for one
 * link and not for another; so nothing is allowed that was not named.
 *
 *   all             every link
 *   NETWORK/BITS    links of two ends whose addresses are both in that network
 *   NODE:NODE       the link between these two, by their names
 *
 * Threads: pure. Limits: ORCH_ALLOW_RULES_MAX rules.
 */
#ifndef ORCH_ALLOW_H
#define ORCH_ALLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "names.h"

#define ORCH_ALLOW_RULES_MAX 32u
#define ORCH_ALLOW_RULE "all, NETWORK/BITS (10.78.0.0/16) or NODE:NODE (node1:node2)"

struct orch_allow_rule {
    uint32_t network, mask;                 /* of addresses, host byte order; all: both 0 */
    char nodes[2][ORCH_NAME_BYTES_MAX + 1]; /* not empty: a pair, and no network */
};

struct orch_allow {
    struct orch_allow_rule rules[ORCH_ALLOW_RULES_MAX];
    uint32_t rule_count;
};

/* One end of a link. */
struct orch_allow_end {
    const char *node;
    uint32_t ipv4; /* host byte order */
};

/* False: text is no such rule, or there are too many. */
bool orch_allow_add(struct orch_allow *allow, const char *text);
bool orch_allow_link(const struct orch_allow *allow, struct orch_allow_end one,
                     struct orch_allow_end two);

#endif
