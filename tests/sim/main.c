/* SPDX-License-Identifier: Apache-2.0 */
/* ./run sim: any number of runs. See sim.h for what a run is. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "campaign.h"
#include "flows.h"
#include "scale.h"

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
        "  --flows          instead: how sessions share links, as JSON lines\n"
        "  --scale          instead: what a large cell costs, as JSON lines, with\n"
        "      --nodes M (1000), --channels C (100000), --peers P of each node (20),\n"
        "      --rounds R of questions and answers (10), --sealed\n"
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
                       "  ./run sim --first 4711 --seeds 1 --verbose\n"
                       "  ./run sim --scale --channels 200000 --sealed\n");
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

struct choice {
    struct campaign campaign;
    struct scale_options scale;
    uint32_t nodes; /* 0: not given */
    bool flows, large;
};

static bool number32(const char *text, uint32_t low, uint32_t high, uint32_t *out_value)
{
    uint64_t value = 0;
    bool ok = number(text, low, high, &value);

    *out_value = (uint32_t)value;
    return ok;
}

static bool option_take(struct choice *choice, int option, const char *text)
{
    struct campaign *campaign = &choice->campaign;

    switch (option) {
    case 's':
        return number(text, 1, UINT32_MAX, &campaign->seeds);
    case 'f':
        return number(text, 0, UINT64_MAX / 2, &campaign->first);
    case 'k':
        campaign->config.kind = fault_kind_find(text);
        return campaign->config.kind != NULL || strcmp(text, "all") == 0;
    case 'n':
        return number32(text, SIM_NODES_MIN, FAB_NODES_MAX - 1, &choice->nodes);
    case 't':
        return number32(text, 1, 1000000, &campaign->config.steps);
    case 'a':
        return number32(text, 1, 1000000, &campaign->config.audit_every);
    case 'j':
        return number32(text, 1, CAMPAIGN_JOBS_MAX, &campaign->jobs);
    case 'C':
        return number32(text, 1, 10000000, &choice->scale.channels);
    case 'P':
        return number32(text, 2, FAB_NODES_MAX - 2, &choice->scale.peers);
    case 'R':
        return number32(text, 1, 100000, &choice->scale.rounds);
    case 'v':
        campaign->config.verbose = true;
        return true;
    case 'S':
        choice->large = true;
        return true;
    case 'F':
        choice->flows = true;
        return true;
    case 'E':
        choice->scale.sealed = 1000;
        return true;
    default:
        return false;
    }
}

static const struct option options[] = {
    {"audit", required_argument, NULL, 'a'}, {"channels", required_argument, NULL, 'C'},
    {"first", required_argument, NULL, 'f'}, {"flows", no_argument, NULL, 'F'},
    {"help", no_argument, NULL, 'h'},        {"jobs", required_argument, NULL, 'j'},
    {"kind", required_argument, NULL, 'k'},  {"nodes", required_argument, NULL, 'n'},
    {"peers", required_argument, NULL, 'P'}, {"rounds", required_argument, NULL, 'R'},
    {"scale", no_argument, NULL, 'S'},       {"sealed", no_argument, NULL, 'E'},
    {"seeds", required_argument, NULL, 's'}, {"steps", required_argument, NULL, 't'},
    {"verbose", no_argument, NULL, 'v'},     {NULL, 0, NULL, 0},
};

static void complain(int option, const char *text)
{
    for (const struct option *o = options; o->name != NULL; o++) {
        if (o->val == option) {
            (void)fprintf(stderr, "sim: --%s cannot be '%s'\n", o->name, text);
        }
    }
    (void)fprintf(stderr, "see ./run sim --help\n");
}

/* Answers how many runs failed. */
static uint64_t runs(const struct campaign *given)
{
    struct progress progress = {
        .seeds = given->seeds,
        .shown = time(NULL),
        .terminal = isatty(STDERR_FILENO),
    };
    struct campaign campaign = *given;
    struct sim_result sum = {0};
    uint64_t failed = 0;

    campaign.ended = on_ended;
    campaign.arg = &progress;
    for (uint64_t i = 0; campaign.config.verbose && i < campaign.seeds; i++) {
        struct sim_result result;
        campaign.config.seed = campaign.first + i;
        sim_run(&campaign.config, &result);
        sim_result_add(&sum, &result);
    }
    if (!campaign.config.verbose) {
        failed = campaign_run(&campaign, &sum);
    }
    sum_print(&sum);
    if (failed != 0) {
        (void)printf("%llu of %llu runs failed\n", (unsigned long long)failed,
                     (unsigned long long)campaign.seeds);
    }
    return failed;
}

int main(int argc, char **argv)
{
    struct choice choice = {
        .campaign = {.first = 1, .seeds = 100},
        .scale = {.channels = 100000, .peers = 20, .rounds = 10},
    };
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'h') {
            usage(stdout);
            return 0;
        }
        if (!option_take(&choice, option, optarg)) {
            complain(option, optarg);
            return 2;
        }
    }
    if (optind != argc || (!choice.large && choice.nodes > SIM_NODES_LIMIT)) {
        (void)fprintf(stderr, "sim: %s; see ./run sim --help\n",
                      optind != argc ? "too many arguments" : "so many nodes only with --scale");
        return 2;
    }
    if (choice.large) {
        choice.scale.nodes = choice.nodes == 0 ? 1000 : choice.nodes;
        choice.scale.peers =
            choice.scale.peers < choice.scale.nodes ? choice.scale.peers : choice.scale.nodes - 1;
        scale_run(&choice.scale);
        return 0;
    }
    if (choice.flows) {
        (void)flows_run(false);
        return 0;
    }
    choice.campaign.config.nodes = choice.nodes;
    return runs(&choice.campaign) == 0 ? 0 : 1;
}
