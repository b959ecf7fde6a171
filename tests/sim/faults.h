/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faults.h - the kinds of runs: what the network is like, and what goes wrong in them.
 *
 * A kind is a row of a table (kinds.c): how bad ways are, how often nodes crash, stall, or are cut
 * off from each other, how much garbage is sent. What a run makes of it comes from its seed.
 */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include "load.h"

struct fault_kind {
    const char *name;
    const char *what; /* for --help */
    /* The network; each way and node gets something up to that. */
    uint16_t loss, damage, duplicate, reorder; /* in a thousand frames */
    uint32_t delay_us, jitter_us, reorder_us;
    uint32_t mbit_per_s; /* of uplinks and ports; 0: no limit */
    /* In ten thousand steps. */
    uint16_t crash, partition, one_way, stall, long_stall;
    /* In a thousand frames. */
    uint16_t garbage, replay, mutants; /* mutants: of sealed sessions */
    uint16_t sealed;                   /* in a thousand pairs */
    bool cable;                        /* one pair has a cable that changes frames unnoticed */
    bool scarce;                       /* few records, little memory */
    uint16_t hungry;                   /* in a thousand allocations */
    uint16_t carrier_close, deaf, large, missing; /* struct load_options */
};

#define FAULT_KINDS 12u
extern const struct fault_kind fault_kinds[FAULT_KINDS];
/* NULL: there is no such kind. */
const struct fault_kind *fault_kind_find(const char *name);

#define FAULT_TASKS_MAX 16u
#define FAULT_FRAMES_KEPT 64u

/* Something that ends later. */
struct fault_task {
    enum { FAULT_NONE = 0, FAULT_HEAL, FAULT_BOOT, FAULT_UNSTALL } what;
    uint16_t a, b;
    uint64_t at_ns;
};

struct fault_frame {
    uint16_t from, to;
    uint32_t length;
    uint8_t *bytes;
};

struct faults {
    const struct fault_kind *kind;
    struct cell *cell;
    struct load *load;
    struct ledger *ledger;
    struct rng rng;
    struct fault_task tasks[FAULT_TASKS_MAX];
    struct fault_frame kept[FAULT_FRAMES_KEPT]; /* of earlier, to be sent again */
    uint64_t kept_count;
    uint16_t cable_a, cable_b; /* 0: fine */
    bool over;
    uint64_t crashes, partitions, one_ways, stalls, garbage, replays, mutants;
};

void faults_init(struct faults *faults, const struct fault_kind *kind, struct cell *cell,
                 struct load *load, struct ledger *ledger, uint64_t seed);
void faults_fini(struct faults *faults);
/* Begins and ends what is due. */
void faults_step(struct faults *faults);
/* Ends all of them; the network is perfect from now on, but for what is on its way. */
void faults_end(struct faults *faults);
/*
 * After a bad cable: what it has made of frames may have left ends on other nodes that wait for the
 * two for ever. Ends all sessions of the two, which must free those.
 */
void faults_cable_forget(struct faults *faults);
/* For struct cell_hooks. */
uint32_t faults_leaves(void *arg, uint16_t from, uint16_t to, uint8_t *bytes, uint32_t length);

#endif
