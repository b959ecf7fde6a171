/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moves of SIPs with a party dying at each event, and in cells with faults of all kinds. TAP.
 *
 *     moves_test [--only SCENARIO STRIKE EVENT | --seed SEED | --seeds COUNT]   (repeats a run)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moves.h"

#define SEEDS 500u

static uint32_t cases, failures;

static void report(bool ok, const char *what)
{
    (void)printf("%sok %u - %s\n", ok ? "" : "not ", ++cases, what);
    (void)fflush(stdout);
    failures += !ok;
}

static void result_print(const struct moves_result *r)
{
    (void)printf(
        "# %llu runs: %llu moves, %llu given up (%llu clashes, %llu not taken, %llu unseen),"
        " %llu died with the target; %llu messages, %llu ends travelled, %llu opened late\n",
        (unsigned long long)r->runs, (unsigned long long)r->moved, (unsigned long long)r->aborted,
        (unsigned long long)r->clashes, (unsigned long long)r->not_taken,
        (unsigned long long)r->unseen, (unsigned long long)r->died, (unsigned long long)r->messages,
        (unsigned long long)r->travels, (unsigned long long)r->late);
}

static void enumerate(struct moves_result *sum)
{
    for (uint32_t i = 0; i < MOVES_SCENARIOS; i++) {
        const struct moves_scenario *scenario = &moves_scenarios[i];
        struct moves_result result;
        char text[160];

        moves_enumerate(scenario, NULL, &result);
        (void)snprintf(text, sizeof(text), "%s: %llu kinds of strikes at each of %llu events: %llu",
                       scenario->what, (unsigned long long)result.kinds,
                       (unsigned long long)result.events, (unsigned long long)result.strikes);
        result_print(&result);
        report(result.strikes == result.events * result.kinds && result.events > 20, text);
        sum->unseen += result.unseen;
        sum->died += result.died;
        sum->not_taken += result.not_taken;
        sum->clashes += result.clashes;
    }
    /* Or the hard part was not even tried. */
    report(sum->unseen > 0, "some target died before anybody had seen the SIP there");
    report(sum->died > 0, "some target died after that");
    report(sum->not_taken > 0, "some COMMIT did not arrive, and the source learned that");
    report(sum->clashes > 0, "some had to give way");
}

static void at_random(uint64_t seeds)
{
    struct moves_result result = {0};

    for (uint64_t seed = 1; seed <= seeds; seed++) {
        moves_random(seed, false, &result);
    }
    result_print(&result);
    (void)printf("# %llu crashes, %llu partitions\n", (unsigned long long)result.crashes,
                 (unsigned long long)result.partitions);
    report(result.moved > seeds * 5, "moves at random, in cells with faults");
}

int main(int argc, char **argv)
{
    struct moves_result result = {0};

    if (argc == 5 && strcmp(argv[1], "--only") == 0) {
        for (uint32_t i = 0; i < MOVES_SCENARIOS; i++) {
            if (strcmp(moves_scenarios[i].name, argv[2]) == 0) {
                (void)moves_strike_at(&moves_scenarios[i], argv[3], strtoull(argv[4], NULL, 10),
                                      true, &result);
            }
        }
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "--seed") == 0) {
        moves_random(strtoull(argv[2], NULL, 10), true, &result);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "--seeds") == 0) {
        at_random(strtoull(argv[2], NULL, 10));
    } else {
        enumerate(&result);
        at_random(SEEDS);
    }
    (void)printf("1..%u\n", cases);
    return failures == 0 ? 0 : 1;
}
