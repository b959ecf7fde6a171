/* SPDX-License-Identifier: Apache-2.0 */
/*
 * choose.h - over which link two nodes talk.
 *
 * Two hosted nodes of one machine get a memif link of their own, which is fastest, unless the
 * operator wants none. All others, whatever their mode and machine, need a link for many peers on
 * each side. All such drivers speak the same frames (UDP over IPv4 and Ethernet), so the two ends
 * may have different ones. Of several links the two are taken whose addresses have most leading
 * bits in common: those of one network; of equals, the first.
 *
 * Threads: pure. Untrusted: what nodes say of their links.
 */
#ifndef ORCH_CHOOSE_H
#define ORCH_CHOOSE_H

#include "world.h"

struct link_choice {
    bool memif;       /* a new link; else: */
    uint32_t link[2]; /* numbers of links they brought */
};

/* False: they have none in common, and text says why and what to do. */
bool choose_link(const struct world_node *first, const struct world_node *second, bool no_memif,
                 struct link_choice *out_choice, char *text, size_t text_capacity);

#endif
