/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does the simulator find bugs? Five are planted, one at a time, into a second copy of the fabric
 * (fabric/plant.h): it must find each within SEEDS seeds, with and without looking inside the
 * nodes; and without a bug the same seeds of the same copy must pass. The copy is compiled without
 * asserts, so that it is not the fabric that finds them.
 *
 * What "drop a credit" means here: the fabric has no credits on wires. A channel's queues are
 * reserved from its contract, so a sender that keeps the contract cannot overrun them. What is
 * given and given back is a session's window: each frame under way takes a place of it until it is
 * acknowledged. The planted bug never gives some places back, until nothing can be sent.
 */
#include <stdio.h>
#include <stdlib.h>

#include "campaign.h"
#include "plant.h"

#define SEEDS 60u
#define STEPS 600u

enum fab__plant fab__plant;

struct finding {
    uint64_t seeds; /* tried */
    uint64_t first; /* the first that failed; 0: none did */
};

static uint32_t cases;
static uint32_t failures;

static void report(bool ok, const char *what)
{
    (void)printf("%sok %u - %s\n", ok ? "" : "not ", ++cases, what);
    (void)fflush(stdout);
    failures += !ok;
}

static void on_ended(void *arg, uint64_t seed, const struct sim_result *result)
{
    struct finding *finding = arg;

    finding->seeds++;
    if (result == NULL && (finding->first == 0 || seed < finding->first)) {
        finding->first = seed;
    }
}

static struct finding look(enum fab__plant plant, bool no_audit)
{
    struct finding finding = {0};
    struct campaign campaign = {
        .config = {.steps = STEPS, .reuse_epoch = plant == FAB__PLANT_EPOCH, .no_audit = no_audit},
        .first = 1,
        .seeds = SEEDS,
        .quiet = plant != FAB__PLANT_NONE,
        .stop_after = plant != FAB__PLANT_NONE,
        .ended = on_ended,
        .arg = &finding,
    };
    struct sim_result sum;

    fab__plant = plant;
    (void)campaign_run(&campaign, &sum);
    return finding;
}

static void bug_check(enum fab__plant plant, const char *name, bool no_audit)
{
    struct finding finding = look(plant, no_audit);
    char text[128];

    (void)snprintf(text, sizeof(text), "%s: found%s", name,
                   no_audit ? " by what holders see alone" : "");
    if (finding.first != 0) {
        (void)printf("# %s: seed %llu, after %llu runs\n", name, (unsigned long long)finding.first,
                     (unsigned long long)finding.seeds);
    }
    report(finding.first != 0, text);
}

/* sim_bugs_test BUG SEED: that run alone, with what it says. */
static int one_run(const char *bug, const char *seed)
{
    struct sim_config config = {.steps = STEPS, .seed = strtoull(seed, NULL, 10)};
    struct sim_result result;

    fab__plant = (enum fab__plant)strtoul(bug, NULL, 10);
    config.reuse_epoch = fab__plant == FAB__PLANT_EPOCH;
    sim_run(&config, &result);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        enum fab__plant plant;
        const char *name;
    } bugs[] = {
        {FAB__PLANT_DEDUP, "a check for duplicates is skipped"},
        {FAB__PLANT_EPOCH, "an epoch is used again"},
        {FAB__PLANT_CREDIT, "a credit is dropped"},
        {FAB__PLANT_FREE, "a block is freed twice"},
        {FAB__PLANT_CLOSE, "a close is forgotten"},
    };

    if (argc == 3) {
        return one_run(argv[1], argv[2]);
    }
    for (uint32_t i = 0; i < sizeof(bugs) / sizeof(bugs[0]); i++) {
        bug_check(bugs[i].plant, bugs[i].name, false);
        bug_check(bugs[i].plant, bugs[i].name, true);
    }
    report(look(FAB__PLANT_NONE, false).first == 0, "without a bug, the same seeds pass");
    report(look(FAB__PLANT_NONE, true).first == 0, "without a bug, they pass unlooked at");
    (void)printf("1..%u\n", cases);
    return failures == 0 ? 0 : 1;
}
