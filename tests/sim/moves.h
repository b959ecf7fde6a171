/* SPDX-License-Identifier: Apache-2.0 */
/*
 * moves.h - moves of SIPs, with a party dying at each event, and at random.
 *
 * moves_enumerate: a reference run of a scenario is repeated once for each of its events and each
 * kind of strike, up to just that event; then a node crashes, or two do, or two do not hear each
 * other for a while, or the controller is down for a while. In the end each SIP that was not on a
 * node that died must run, once, and every channel between two that do must be open, with nothing
 * lost, doubled or out of order.
 *
 * moves_random: whole cells with loss, duplicates, reordering, partitions, crashes and a controller
 * that comes and goes, and moves all the time.
 *
 * A run that fails ends the process (trace.h). Threads: one.
 */
#ifndef SIM_MOVES_H
#define SIM_MOVES_H

#include "sips.h"

struct moves_result {
    uint64_t runs, moved, aborted, unseen, died, not_taken, clashes, messages, travels, late;
    uint64_t events;         /* of the reference run */
    uint64_t kinds, strikes; /* of strikes; how many there were */
    uint64_t crashes, partitions;
};

struct moves_scenario {
    const char *name;
    const char *what;
    void (*begin)(struct world *world); /* SIPs and channels */
    void (*move)(struct world *world);
    uint32_t nodes;
    uint32_t sips;
    uint16_t close; /* struct world_options */
};
#define MOVES_SCENARIOS 5u
#define MOVES_STRIKES 12u
extern const struct moves_scenario moves_scenarios[MOVES_SCENARIOS];

/* only: this kind of strike; NULL: all that the scenario has nodes for. */
void moves_enumerate(const struct moves_scenario *scenario, const char *only,
                     struct moves_result *result);
const struct moves_scenario *moves_scenario_find(const char *name);
/* One run: that strike at that event. Answers false if the run was over before. */
bool moves_strike_at(const struct moves_scenario *scenario, const char *name, uint64_t event,
                     bool verbose, struct moves_result *result);
void moves_random(uint64_t seed, bool verbose, struct moves_result *result);

#endif
