/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ./run test sim: 300 runs of mixed kinds and sizes, in batches; what they did must come to
 * something, and a run must be the same when it is run again. TAP, one line a batch.
 */
#include <stdio.h>
#include <stdlib.h>

#include "campaign.h"

#define SEEDS 300u
#define BATCH 25u
#define STEPS 2000u
#define REPEATED 8u /* seeds that are run twice */

static uint32_t cases;
static uint32_t failures;

static void report(bool ok, const char *what)
{
    (void)printf("%sok %u - %s\n", ok ? "" : "not ", ++cases, what);
    (void)fflush(stdout);
    failures += !ok;
}

static void batch_run(uint64_t first, struct sim_result *sum)
{
    struct campaign campaign = {.config = {.steps = STEPS}, .first = first, .seeds = BATCH};
    struct sim_result result;
    char text[96];
    uint64_t failed = campaign_run(&campaign, &result);

    (void)snprintf(text, sizeof(text), "seeds %llu to %llu keep all promises",
                   (unsigned long long)first, (unsigned long long)first + BATCH - 1);
    report(failed == 0, text);
    sim_result_add(sum, &result);
}

/* --- the same again ------------------------------------------------------------------------- */

static uint64_t digests[2][REPEATED + 1];

static void on_ended(void *arg, uint64_t seed, const struct sim_result *result)
{
    digests[*(uint32_t *)arg][seed] = result == NULL ? 0 : result->digest;
}

static void repeat_check(void)
{
    struct sim_result result;
    bool same = true;

    for (uint32_t pass = 0; pass < 2; pass++) {
        struct campaign campaign = {.first = 1, .seeds = REPEATED, .ended = on_ended, .arg = &pass};
        (void)campaign_run(&campaign, &result);
    }
    for (uint32_t seed = 1; seed <= REPEATED; seed++) {
        same = same && digests[0][seed] != 0 && digests[0][seed] == digests[1][seed];
    }
    report(same, "a seed gives the same run, event by event");
}

/* --- did it do anything? -------------------------------------------------------------------- */

static void at_least(const char *what, uint64_t count, uint64_t least)
{
    char text[96];

    (void)snprintf(text, sizeof(text), "the runs had at least %llu %s", (unsigned long long)least,
                   what);
    (void)printf("# %s: %llu\n", what, (unsigned long long)count);
    report(count >= least, text);
}

static void work_check(const struct sim_result *sum)
{
    const struct {
        const char *what;
        uint64_t count, least;
    } rows[] = {
        {"messages", sum->messages, 500000},
        {"blocks", sum->blocks, 80000},
        {"moves of endpoints", sum->moves, 40000},
        {"closures seen", sum->closures, 25000},
        {"openings without exporter", sum->unexported, 500},
        {"frames sent again", sum->resent, 40000},
        {"frames lost on their way", sum->lost, 30000},
        {"frames damaged", sum->damaged, 2000},
        {"frames duplicated", sum->duplicated, 30000},
        {"frames reordered", sum->reordered, 30000},
        {"frames dropped by full queues", sum->overflowed, 1000},
        {"nodes crashed and booted again", sum->crashes, 400},
        {"partitions", sum->partitions, 300},
        {"one-way partitions", sum->one_ways, 200},
        {"stalls of nodes", sum->stalls, 700},
        {"sessions lost", sum->sessions_lost, 3000},
        {"frames of garbage", sum->garbage, 15000},
        {"old frames sent again", sum->replays, 15000},
        {"frames changed on their way", sum->mutants, 10000},
        {"allocations that failed", sum->hunger, 1000},
        {"checks of all nodes", sum->checks, 400000},
    };

    for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        at_least(rows[i].what, rows[i].count, rows[i].least);
    }
    (void)printf("# virtual time: %.0f s\n", (double)sum->virtual_ns / 1e9);
}

int main(void)
{
    struct sim_result sum = {0};

    for (uint64_t first = 1; first <= SEEDS; first += BATCH) {
        batch_run(first, &sum);
    }
    repeat_check();
    work_check(&sum);
    (void)printf("1..%u\n", cases);
    return failures == 0 ? 0 : 1;
}
