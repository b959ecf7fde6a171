/* SPDX-License-Identifier: Apache-2.0 */
/*
 * choose.h - over which link two nodes talk.
 *
 * Two hosted nodes of one machine get a memif link of their own, which is fastest, unless the
 * operator wants none. All others, whatever their mode and machine, need a link for many peers on
 * each side. All such drivers speak the same frames (UDP over IPv4 and Ethernet), so the two ends
 * may have different ones. RDMA talks to RDMA only. It comes first where the operator allows it
 * (allow.h); what would be taken without it is the spare, over which the session goes on if RDMA
 * fails. Of several links of a kind the two are taken whose addresses have most leading bits in
 * common: those of one network; of equals, the first.
 *
 * Threads: pure. Untrusted: what nodes say of their links.
 */
#ifndef ORCH_CHOOSE_H
#define ORCH_CHOOSE_H

#include "allow.h"
#include "world.h"

#define CHOOSE_TEXT_BYTES 256u /* enough for what is said */

struct link_rules {
    bool no_memif;
    const struct orch_allow *rdma;
};

struct link_choice {
    bool memif;        /* a new link; else: */
    uint32_t link[2];  /* numbers of links they brought */
    uint32_t spare[2]; /* the same of the spare; 0: there is none */
};

/* text: why it was chosen. False: they have none in common, and text says why and what to do. */
bool choose_link(const struct world_node *first, const struct world_node *second,
                 const struct link_rules *rules, struct link_choice *out_choice, char *text,
                 size_t text_capacity);

#endif
