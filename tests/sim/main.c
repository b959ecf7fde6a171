/* SPDX-License-Identifier: Apache-2.0 */
/* ./run sim: any number of runs. See sim.h for what a run is. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "campaign.h"

static void usage(FILE *out)
{
    (void)fprintf(
        out,
        "usage: ./run sim [OPTION...]\n"
        "Runs whole cells of the real fabric in virtual time, with faults, each from one seed.\n"
        "\n"
        "  --seeds N        how many runs (100)\n"
        "  --first S        seed of the first (1)\n"
        "  --nodes M        nodes of each, %u to %u (by seed: %u to %u)\n"
        "  --kind K         what goes wrong (by seed: all kinds in turn)\n"
        "  --steps T        steps of each run (%u)\n"
        "  --audit E        full audits every so many steps (10)\n"
        "  --jobs J         runs at a time (as many as there are cores)\n"
        "  --verbose        every event, on stderr; one run at a time, in this process\n"
        "\n"
        "kinds:\n",
        SIM_NODES_MIN, SIM_NODES_LIMIT, SIM_NODES_MIN, SIM_NODES_MAX, SIM_STEPS);
    for (uint32_t i = 0; i < FAULT_KINDS; i++) {
        (void)fprintf(out, "  %-10s %s\n", fault_kinds[i].name, fault_kinds[i].what);
    }
    (void)fprintf(out, "\n"
                       "examples:\n"
                       "  ./run sim --seeds 10000\n"
                       "  ./run sim --kind storm --nodes 30 --seeds 100\n"
                       "  ./run sim --first 4711 --seeds 1 --verbose\n");
}

/* --- progress ------------------------------------------------------------------------------- */

struct progress {
    uint64_t seeds, done, failed;
    time_t shown;
    bool terminal;
};

static void on_ended(void *arg, uint64_t seed, const struct sim_result *result)
{
    struct progress *progress = arg;
    time_t now = time(NULL);

    (void)seed;
    progress->done++;
    progress->failed += result == NULL;
    if (now - progress->shown >= (progress->terminal ? 1 : 10)) {
        progress->shown = now;
        (void)fprintf(stderr, "%llu of %llu runs, %llu failed\n",
                      (unsigned long long)progress->done, (unsigned long long)progress->seeds,
                      (unsigned long long)progress->failed);
    }
}

static void sum_print(const struct sim_result *sum)
{
    (void)printf(
        "%llu runs, %.0f s of virtual time: %llu messages, %llu blocks of %llu MB, %llu moves,\n"
        "%llu closures (%llu without exporter); %llu frames, %llu resent, %llu lost, %llu "
        "damaged,\n"
        "%llu duplicated, %llu reordered, %llu dropped by queues, %llu cut off; %llu crashes,\n"
        "%llu partitions, %llu one-way, %llu stalls, %llu sessions lost; %llu frames of garbage,\n"
        "%llu replayed, %llu mutants; %llu checks of all nodes\n",
        (unsigned long long)sum->runs, (double)sum->virtual_ns / 1e9,
        (unsigned long long)sum->messages, (unsigned long long)sum->blocks,
        (unsigned long long)(sum->block_bytes >> 20), (unsigned long long)sum->moves,
        (unsigned long long)sum->closures, (unsigned long long)sum->unexported,
        (unsigned long long)sum->frames, (unsigned long long)sum->resent,
        (unsigned long long)sum->lost, (unsigned long long)sum->damaged,
        (unsigned long long)sum->duplicated, (unsigned long long)sum->reordered,
        (unsigned long long)sum->overflowed, (unsigned long long)sum->cut,
        (unsigned long long)sum->crashes, (unsigned long long)sum->partitions,
        (unsigned long long)sum->one_ways, (unsigned long long)sum->stalls,
        (unsigned long long)sum->sessions_lost, (unsigned long long)sum->garbage,
        (unsigned long long)sum->replays, (unsigned long long)sum->mutants,
        (unsigned long long)sum->checks);
}

/* --- options -------------------------------------------------------------------------------- */

static bool number(const char *text, uint64_t low, uint64_t high, uint64_t *out_value)
{
    char *end = NULL;

    *out_value = strtoull(text, &end, 10);
    return end != text && *end == '\0' && *out_value >= low && *out_value <= high;
}

static bool option_take(struct campaign *campaign, int option, const char *text)
{
    uint64_t value = 0;

    switch (option) {
    case 's':
        return number(text, 1, UINT32_MAX, &campaign->seeds);
    case 'f':
        return number(text, 0, UINT64_MAX / 2, &campaign->first);
    case 'k':
        campaign->config.kind = fault_kind_find(text);
        return campaign->config.kind != NULL || strcmp(text, "all") == 0;
    case 'n':
        if (!number(text, SIM_NODES_MIN, SIM_NODES_LIMIT, &value)) {
            return false;
        }
        campaign->config.nodes = (uint32_t)value;
        return true;
    case 't':
        campaign->config.steps = (uint32_t)value;
        return number(text, 1, 1000000, &value) && (campaign->config.steps = (uint32_t)value) != 0;
    case 'a':
        return number(text, 1, 1000000, &value) &&
               (campaign->config.audit_every = (uint32_t)value) != 0;
    default:
        return number(text, 1, CAMPAIGN_JOBS_MAX, &value) &&
               (campaign->jobs = (uint32_t)value) != 0;
    }
}

static const struct option options[] = {
    {"seeds", required_argument, NULL, 's'}, {"first", required_argument, NULL, 'f'},
    {"nodes", required_argument, NULL, 'n'}, {"kind", required_argument, NULL, 'k'},
    {"steps", required_argument, NULL, 't'}, {"audit", required_argument, NULL, 'a'},
    {"jobs", required_argument, NULL, 'j'},  {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},        {NULL, 0, NULL, 0},
};

int main(int argc, char **argv)
{
    struct progress progress = {.terminal = isatty(STDERR_FILENO)};
    struct campaign campaign = {.first = 1, .seeds = 100, .ended = on_ended, .arg = &progress};
    struct sim_result sum = {0};
    uint64_t failed = 0;
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'h') {
            usage(stdout);
            return 0;
        }
        if (option == 'v') {
            campaign.config.verbose = true;
        } else if (option == '?' || !option_take(&campaign, option, optarg)) {
            (void)fprintf(stderr, "sim: '%s' cannot be; see ./run sim --help\n",
                          option == '?' ? argv[optind - 1] : optarg);
            return 2;
        }
    }
    progress.seeds = campaign.seeds;
    progress.shown = time(NULL);
    if (campaign.config.verbose) {
        for (uint64_t i = 0; i < campaign.seeds; i++) {
            struct sim_result result;
            campaign.config.seed = campaign.first + i;
            sim_run(&campaign.config, &result);
            sim_result_add(&sum, &result);
        }
    } else {
        failed = campaign_run(&campaign, &sum);
    }
    sum_print(&sum);
    if (failed != 0) {
        (void)printf("%llu of %llu runs failed\n", (unsigned long long)failed,
                     (unsigned long long)campaign.seeds);
    }
    return failed == 0 ? 0 : 1;
}
