/* SPDX-License-Identifier: Apache-2.0 */
#include "moves.h"

#include <stdio.h>
#include <string.h>

#include "trace.h"

#define US 1000ull
#define MS 1000000ull
#define SLICE_NS (2 * US)
#define WAIT_SLICE_NS (200 * US) /* until one that gave way is tried again */
#define WARM_SLICES 3000u
#define WARM_SLICE_NS (10 * US)
#define MOVE_NS (3000 * MS)
#define SLOW_BYTES_PER_S 10000000u
#define CONTROLLER_DOWN_NS (3000 * MS)

static struct world world;

/* --- scenarios ------------------------------------------------------------------------------ */

/* SIP 0 on node 1 has peers on its own node, on its target's (2), on 3 and 4, and in itself; SIP 4
 * sends it ends of channels, so that some are always on their way. */
static void many_begin(struct world *w)
{
    static const uint16_t nodes[] = {1, 3, 1, 2, 4};

    for (uint32_t i = 0; i < 5; i++) {
        world_start(w, i, nodes[i]);
    }
    world_run(w, 50 * MS, 0);
    for (uint32_t i = 1; i < 5; i++) {
        world_open(w, 0, i, false);
        world_open(w, i, 0, false);
    }
    world_open(w, 0, 0, false);
    world_open(w, 4, 0, true);
    for (uint32_t i = 0; i < 4; i++) {
        world_open(w, 4, i, false);
        world_open(w, 4, 4, false);
    }
}

static void many_move(struct world *w)
{
    world_want(w, 0, 2);
    world_open(w, 0, 1, false);
    world_open(w, 1, 0, false);
}

/* Both ends of a channel are told to move. */
static void both_begin(struct world *w)
{
    world_start(w, 0, 1);
    world_start(w, 1, 3);
    world_run(w, 50 * MS, 0);
    world_open(w, 0, 1, false);
    world_open(w, 1, 0, false);
}

static void both_move(struct world *w)
{
    world_want(w, 0, 2);
    world_want(w, 1, 4);
}

/* They change places. */
static void swap_move(struct world *w)
{
    world_want(w, 0, 3);
    world_want(w, 1, 1);
}

/* The only peer is where it goes. */
static void join_begin(struct world *w)
{
    world_start(w, 0, 1);
    world_start(w, 1, 2);
    world_run(w, 50 * MS, 0);
    world_open(w, 0, 1, false);
    world_open(w, 1, 0, false);
    world_open(w, 1, 0, true);
    world_open(w, 1, 1, false);
}

static void one_move(struct world *w)
{
    world_want(w, 0, 2);
}

/* Nobody would notice, so nobody can be asked. */
static void alone_begin(struct world *w)
{
    world_start(w, 0, 1);
    world_run(w, 50 * MS, 0);
    world_open(w, 0, 0, false);
}

const struct moves_scenario moves_scenarios[MOVES_SCENARIOS] = {
    {"many", "peers everywhere, channels that open, ends on their way", many_begin, many_move, 4, 5,
     1},
    {"both", "both ends of a channel move at once", both_begin, both_move, 4, 2},
    {"swap", "two that talk change places", both_begin, swap_move, 3, 2},
    {"join", "to where its only peer is", join_begin, one_move, 3, 2},
    {"alone", "without peers", alone_begin, one_move, 2, 1},
};

static void ways_make(struct rng *rng, uint32_t bad)
{
    for (uint16_t a = 1; a <= world.options.nodes; a++) {
        for (uint16_t b = 1; b <= world.options.nodes; b++) {
            struct net_way *way = net_way(&world.cell.net, a, b);
            way->delay_ns = (uint32_t)rng_between(rng, 10 * US, 300 * US);
            way->jitter_ns = (uint32_t)rng_below(rng, 50 * US);
            way->reorder_ns = 1000 * US;
            way->loss = (uint16_t)rng_below(rng, bad + 1);
            way->duplicate = (uint16_t)rng_below(rng, bad + 1);
            way->reorder = (uint16_t)rng_below(rng, bad + 1);
        }
    }
}

/* Everything takes about as long, so that what happens at once meets. */
static void ways_alike(void)
{
    for (uint16_t a = 1; a <= world.options.nodes; a++) {
        for (uint16_t b = 1; b <= world.options.nodes; b++) {
            net_way(&world.cell.net, a, b)->delay_ns = (40u + (7u * a + 3u * b) % 20u) * US;
        }
    }
}

static void result_add(struct moves_result *result)
{
    result->runs++;
    result->moved += world.moved;
    result->aborted += world.aborted;
    result->unseen += world.unseen;
    result->died += world.died;
    result->not_taken += world.not_taken;
    result->clashes += world.clashes;
    result->messages += world.messages;
    result->travels += world.travels;
    result->late += world.late;
}

static bool movers_busy(void)
{
    return world_moves(&world) || world_wants(&world);
}

/* What happens at the event. Nodes that are not there do not crash. */
static const struct strike {
    const char *name;
    uint16_t crash[2]; /* nodes; 0: none */
    uint16_t cut[2];   /* two that do not hear each other for a while */
    bool controller;   /* goes down for a while */
} strikes[MOVES_STRIKES] = {
    {"controller", {0}, {0}, true},
    {"source", {1}, {0}, false},
    {"target", {2}, {0}, false},
    {"peer3", {3}, {0}, false},
    {"peer4", {4}, {0}, false},
    {"cut12", {0}, {1, 2}, false},
    {"cut13", {0}, {1, 3}, false},
    {"cut23", {0}, {2, 3}, false},
    {"cut12-controller", {0}, {1, 2}, true},
    {"target-controller", {2}, {0}, true},
    {"target-peer3", {2, 3}, {0}, false},
    {"source-target", {1, 2}, {0}, false},
};

static void way_cut(uint16_t a, uint16_t b, bool cut)
{
    net_way(&world.cell.net, a, b)->cut = cut;
    net_way(&world.cell.net, b, a)->cut = cut;
    cell_pair_fault(&world.cell, a, b, cut);
}

/* False: the scenario has no such node. */
static bool strike_fits(const struct moves_scenario *scenario, const struct strike *strike)
{
    return strike->crash[0] <= scenario->nodes && strike->crash[1] <= scenario->nodes &&
           strike->cut[0] <= scenario->nodes && strike->cut[1] <= scenario->nodes;
}

static void strike_do(const struct strike *strike)
{
    if (strike->controller) {
        world_controller_down(&world, CONTROLLER_DOWN_NS);
    }
    for (uint32_t i = 0; i < 2; i++) {
        if (strike->crash[i] != 0) {
            world_crash(&world, strike->crash[i]);
        }
    }
    if (strike->cut[0] != 0) {
        way_cut(strike->cut[0], strike->cut[1], true);
    }
}

/* The controller and links come back after some time. */
static void strike_end(const struct strike *strike)
{
    uint64_t until_ns = world.cell.net.now_ns + CONTROLLER_DOWN_NS;

    if (!strike->controller && strike->cut[0] == 0) {
        return;
    }
    while (world.cell.net.now_ns < until_ns) {
        world_run(&world, MS, 4);
    }
    if (strike->cut[0] != 0) {
        way_cut(strike->cut[0], strike->cut[1], false);
    }
}

/* Answers how many events the moves had; the strike comes at number `event`. */
static uint64_t run(const struct moves_scenario *scenario, const struct strike *strike,
                    uint64_t event, bool verbose, bool *out_struck)
{
    struct world_options options = {.seed = 7,
                                    .nodes = scenario->nodes,
                                    .sips = scenario->sips,
                                    .poll_ns = 2 * US,
                                    .close = scenario->close};
    char replay[120];
    uint64_t begun, until_ns, events;
    uint32_t parted = 0;

    (void)snprintf(replay, sizeof(replay), "build/tests/sim/sim_moves_test --only %s %s %llu",
                   scenario->name, strike == NULL ? "none" : strike->name,
                   (unsigned long long)event);
    trace_begin(replay, verbose);
    world_init(&world, &options);
    ways_alike();
    scenario->begin(&world);
    for (uint32_t i = 0; i < WARM_SLICES; i++) {
        world_run(&world, WARM_SLICE_NS, 1);
    }
    begun = world.events;
    scenario->move(&world);
    until_ns = world.cell.net.now_ns + MOVE_NS;
    *out_struck = false;
    while (movers_busy() && world.cell.net.now_ns < until_ns && !*out_struck) {
        world_run(&world, world_moves(&world) ? SLICE_NS : WAIT_SLICE_NS, 1);
        *out_struck = strike != NULL && world.events - begun >= event;
    }
    events = world.events - begun;
    if (strike != NULL && *out_struck) {
        strike_do(strike);
        strike_end(strike);
        parted = strike->cut[0] == 0 ? 0 : 1u << strike->cut[0] | 1u << strike->cut[1];
    } else if (movers_busy()) {
        sim_fail("it did not move");
    }
    world_end(&world, true, parted);
    return events;
}

bool moves_strike_at(const struct moves_scenario *scenario, const char *name, uint64_t event,
                     bool verbose, struct moves_result *result)
{
    bool struck = false;

    for (uint32_t i = 0; i < MOVES_STRIKES; i++) {
        if (strcmp(strikes[i].name, name) == 0 && strike_fits(scenario, &strikes[i])) {
            (void)run(scenario, &strikes[i], event, verbose, &struck);
            result_add(result);
        }
    }
    return struck;
}

const struct moves_scenario *moves_scenario_find(const char *name)
{
    for (uint32_t i = 0; i < MOVES_SCENARIOS; i++) {
        if (strcmp(moves_scenarios[i].name, name) == 0) {
            return &moves_scenarios[i];
        }
    }
    return NULL;
}

void moves_enumerate(const struct moves_scenario *scenario, const char *only,
                     struct moves_result *result)
{
    bool struck;

    *result = (struct moves_result){0};
    result->events = run(scenario, NULL, 0, false, &struck);
    result_add(result);
    for (uint32_t i = 0; i < MOVES_STRIKES; i++) {
        if (!strike_fits(scenario, &strikes[i]) ||
            (only != NULL && strcmp(only, strikes[i].name) != 0)) {
            continue;
        }
        result->kinds++;
        for (uint64_t event = 1; event <= result->events; event++) {
            if (!moves_strike_at(scenario, strikes[i].name, event, false, result)) {
                sim_fail("the run is another one: event %llu does not come",
                         (unsigned long long)event);
            }
            result->strikes++;
        }
    }
}

/* --- at random ------------------------------------------------------------------------------ */

struct cut {
    uint16_t a, b; /* 0: none */
    uint64_t until_ns;
};

static void cut_heal(struct cut *cut)
{
    if (cut->a != 0) {
        way_cut(cut->a, cut->b, false);
        cut->a = 0;
    }
}

static void fault(struct rng *rng, struct cut *cut, struct moves_result *result)
{
    uint16_t a = (uint16_t)rng_between(rng, 1, world.options.nodes);
    uint16_t b = (uint16_t)rng_between(rng, 1, world.options.nodes);

    switch (rng_below(rng, 4)) {
    case 0:
        if (world.cell.nodes[a].up) {
            world_crash(&world, a);
            result->crashes++;
        }
        break;
    case 1:
        world_controller_down(&world, rng_between(rng, 1, 3000) * MS);
        break;
    default:
        if (cut->a == 0 && a != b) {
            *cut = (struct cut){a, b, world.cell.net.now_ns + rng_between(rng, 1, 4000) * MS};
            way_cut(a, b, true);
            result->partitions++;
        }
        break;
    }
}

static void random_step(struct rng *rng, struct cut *cut, uint32_t fault_rate,
                        struct moves_result *result)
{
    uint32_t sips = world.options.sips;

    if (rng_chance(rng, 15)) {
        world_open(&world, (uint32_t)rng_below(rng, sips), (uint32_t)rng_below(rng, sips),
                   rng_chance(rng, 250));
    }
    if (rng_chance(rng, 10)) {
        world_want(&world, (uint32_t)rng_below(rng, sips),
                   (uint16_t)rng_between(rng, 1, world.options.nodes));
    }
    if (rng_below(rng, 100000) < fault_rate) {
        fault(rng, cut, result);
    }
    if (cut->a != 0 && world.cell.net.now_ns > cut->until_ns) {
        cut_heal(cut);
    }
    for (uint32_t i = 0; i < sips; i++) {
        /* One that has died is begun anew, as an orchestrator would. */
        if (world.sips[i].fate == SIP_DEAD && rng_chance(rng, 2)) {
            uint16_t node = (uint16_t)rng_between(rng, 1, world.options.nodes);
            if (world.cell.nodes[node].up) {
                world_start(&world, i, node);
            }
        }
    }
    world_run(&world, rng_chance(rng, 5) ? 20 * MS : rng_between(rng, 10, 300) * US, 4);
}

void moves_random(uint64_t seed, bool verbose, struct moves_result *result)
{
    struct rng rng = {rng_mix(seed ^ 0x6d6f766573ull)};
    struct world_options options = {
        .seed = seed,
        .nodes = (uint32_t)rng_between(&rng, 3, 6),
        .sips = (uint32_t)rng_between(&rng, 2, 8),
        .close = 4,
        .sealed = seed % 3 == 0 ? 500 : 0,
    };
    /* A third of the runs is without faults: there every channel must stay open. */
    uint32_t fault_rate = seed % 3 == 1 ? 0 : 200;
    struct cut cut = {0};
    char replay[80];

    (void)snprintf(replay, sizeof(replay), "build/tests/sim/sim_moves_test --seed %llu",
                   (unsigned long long)seed);
    trace_begin(replay, verbose);
    world_init(&world, &options);
    ways_make(&rng, seed % 2 == 0 ? 60 : 0);
    for (uint16_t node = 1; seed % 4 == 1 && node <= options.nodes; node++) {
        world.cell.net.uplinks[node].bytes_per_s = SLOW_BYTES_PER_S; /* blocks take their time */
    }
    for (uint32_t i = 0; i < options.sips; i++) {
        world_start(&world, i, (uint16_t)rng_between(&rng, 1, options.nodes));
    }
    world_run(&world, 100 * MS, 0);
    for (uint32_t i = 0; i < 2500; i++) {
        random_step(&rng, &cut, fault_rate, result);
    }
    cut_heal(&cut);
    ways_make(&rng, 0);
    world_end(&world, fault_rate == 0, 0);
    result_add(result);
}
