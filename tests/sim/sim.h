/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim.h - one run of a simulated cell, from one seed.
 *
 * Why: whether the fabric keeps its promises under any order of faults is not seen by looking at
 * it. Here a whole cell of real nodes runs in virtual time, so that thousands of histories can be
 * tried, and a bad one repeated at will.
 *
 * Model: nodes of the real session, channel and move code (cell.h) on a network with queues and
 * faults (net.h, faults.h); holders that talk, move ends and close (load.h); a ledger that knows
 * what must come of it (ledger.h); and what must be true of the nodes at any moment (check.h).
 * A run has `steps` steps: some holders act, faults begin and end, the cell runs for up to 2 ms.
 * Then faults end, and
 *   - within DRAIN_NS, everything drains: sessions are there again, all is sent, all is received;
 *   - the ledger is balanced;
 *   - all ends are closed, and then every record and every block is free, and no memory is leaked.
 *
 * The same config gives the same run, event by event (sim_result.digest). A run that fails ends the
 * process (trace.h). Threads: one run at a time in a process.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "faults.h"

struct sim_config {
    uint64_t seed;
    const struct fault_kind *kind; /* NULL: by seed */
    uint32_t nodes;                /* 0: 3 to 16, by seed */
    uint32_t steps;                /* 0: SIM_STEPS */
    uint32_t audit_every;          /* steps between full checks; 0: 10 */
    bool verbose;
    bool reuse_epoch; /* planted, see bugs_test.c */
    bool no_audit;    /* only what holders can see is checked */
};

#define SIM_STEPS 1500u
#define SIM_NODES_MIN 3u
#define SIM_NODES_MAX 16u /* by seed; up to 60 when asked for */
#define SIM_NODES_LIMIT 60u

/* So that a campaign can tell whether it tried anything. */
struct sim_result {
    uint64_t runs;
    uint64_t virtual_ns;
    uint64_t frames, messages, blocks, block_bytes, moves, closures, unexported;
    uint64_t resent, lost, damaged, duplicated, reordered, overflowed, cut;
    uint64_t crashes, partitions, one_ways, stalls, sessions_lost, garbage, replays, mutants;
    uint64_t hunger; /* allocations that failed */
    uint64_t checks;
    uint64_t digest;
};

/* Fills in what is left to the seed. */
struct sim_config sim_config_whole(struct sim_config config);
/* The command that repeats it. */
void sim_replay(const struct sim_config *config, char *text, uint32_t capacity);
/* Ends the process if the run fails. */
void sim_run(const struct sim_config *config, struct sim_result *out_result);
void sim_result_add(struct sim_result *sum, const struct sim_result *result);

#endif
