/* SPDX-License-Identifier: Apache-2.0 */
/*
 * carrier.h - which links came up or went down since they were looked at last.
 *
 * Why: a link that is down loses all it is given, silently; whoever reads the node's log shall see
 * when that was, once for each change, also if it was over before anybody looked.
 *
 * Model: carrier_begin, then carrier_see for each link there is; again and again. A link is known
 * by its number, and one that was not there the last time has no change. Threads: one.
 */
#ifndef KERNEL_CARRIER_H
#define KERNEL_CARRIER_H

#include "pump.h"

struct carrier_seen {
    uint32_t number;
    bool up;
    uint64_t up_events, down_events;
};

struct carrier_watch {
    struct carrier_seen looks[2][PUMP_LINKS_MAX];
    uint32_t counts[2];
    uint32_t now; /* which of the two is this look; the other is the one before */
};

void carrier_begin(struct carrier_watch *watch);
/* True: text says what changed. At most PUMP_LINKS_MAX a look. */
bool carrier_see(struct carrier_watch *watch, const struct pump_link_info *info, char *text,
                 size_t text_capacity);

#endif
