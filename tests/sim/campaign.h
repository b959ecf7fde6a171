/* SPDX-License-Identifier: Apache-2.0 */
/*
 * campaign.h - many runs, each in a process of its own, some at a time.
 *
 * Why: a run that trips an assert, or runs for ever, must not take the others with it.
 *
 * Results come back through shared memory. A run may take RUN_SECONDS_MAX of processor time.
 */
#ifndef SIM_CAMPAIGN_H
#define SIM_CAMPAIGN_H

#include "sim.h"

#define CAMPAIGN_JOBS_MAX 64u

struct campaign {
    struct sim_config config; /* of all runs, but for the seed */
    uint64_t first;
    uint64_t seeds;
    uint32_t jobs;
    bool quiet;          /* runs print nothing when they fail */
    uint64_t stop_after; /* failures; 0: never */
    /* After each run, in order of ending; result is NULL if it failed. May be NULL. */
    void (*ended)(void *arg, uint64_t seed, const struct sim_result *result);
    void *arg;
};

/* Answers how many runs failed. */
uint64_t campaign_run(const struct campaign *campaign, struct sim_result *out_sum);
uint32_t campaign_cores(void);

#endif
