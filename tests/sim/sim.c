/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <stdio.h>
#include <string.h>

#include "check.h"
#include "memory.h"
#include "trace.h"

#define MS 1000000ull
#define DRAIN_NS (40000 * MS)
#define DRAIN_ROUND_NS (100 * MS)
#define CHANS_MAX 768u
#define ENDPOINTS_MAX 1024u
#define ENDPOINTS_SCARCE 24u
#define HEAP_BYTES (64ull << 20)
#define HEAP_SCARCE (2ull << 20)
#define DRIFT_PPM 200u

struct run {
    struct sim_config config;
    struct cell cell;
    struct ledger ledger;
    struct load load;
    struct faults faults;
    struct rng rng;
    uint64_t sessions_lost;
    uint64_t checks;
};

struct sim_config sim_config_whole(struct sim_config config)
{
    struct rng rng = {rng_mix(config.seed)};
    uint32_t nodes = (uint32_t)rng_between(&rng, SIM_NODES_MIN, SIM_NODES_MAX);
    uint32_t kind = (uint32_t)(config.seed % FAULT_KINDS);

    config.kind = config.kind == NULL ? &fault_kinds[kind] : config.kind;
    config.nodes = config.nodes == 0 ? nodes : config.nodes;
    config.steps = config.steps == 0 ? SIM_STEPS : config.steps;
    config.audit_every = config.audit_every == 0 ? 10 : config.audit_every;
    return config;
}

void sim_replay(const struct sim_config *config, char *text, uint32_t capacity)
{
    (void)snprintf(
        text, capacity, "./run sim --first %llu --seeds 1 --kind %s --nodes %u --steps %u",
        (unsigned long long)config->seed, config->kind->name, config->nodes, config->steps);
}

/* --- hooks ---------------------------------------------------------------------------------- */

static void on_opened(void *arg, uint16_t node, struct fab_ep *ep)
{
    struct run *run = arg;

    load_opened(&run->load, node, ep);
}

static void on_lost(void *arg, uint16_t node, uint16_t peer, struct sf_cause cause)
{
    struct run *run = arg;
    char text[80];

    run->sessions_lost++;
    if (!cell_pair_bad(&run->cell, node, peer)) {
        sim_fail("node %u lost node %u without a reason: %s", node, peer,
                 sf_cause_format(cause, text, sizeof(text)));
    }
}

static void on_broken(void *arg, uint16_t a, uint16_t b)
{
    struct run *run = arg;

    ledger_pair_broken(&run->ledger, a, b);
}

static uint32_t on_leaves(void *arg, uint16_t from, uint16_t to, uint8_t *bytes, uint32_t length)
{
    struct run *run = arg;

    return faults_leaves(&run->faults, from, to, bytes, length);
}

/* --- a run ---------------------------------------------------------------------------------- */

static void run_init(struct run *run, const struct sim_config *config)
{
    const struct fault_kind *kind = config->kind;
    struct cell_options cell = {
        .seed = config->seed,
        .node_count = config->nodes,
        .endpoint_count_max = kind->scarce ? ENDPOINTS_SCARCE : ENDPOINTS_MAX,
        .heap_bytes = kind->scarce ? HEAP_SCARCE : HEAP_BYTES,
        .drift_ppm = DRIFT_PPM,
        .sealed = kind->sealed,
        .reuse_epoch = config->reuse_epoch,
    };
    struct cell_hooks hooks = {
        .arg = run,
        .opened = on_opened,
        .lost = on_lost,
        .broken = on_broken,
        .leaves = on_leaves,
    };
    struct load_options load = {
        .close = 20,
        .carrier_close = kind->carrier_close,
        .deaf = kind->deaf,
        .large = kind->large,
        .large_bytes = 1u << 20,
        .missing = kind->missing,
    };

    *run = (struct run){.config = *config, .rng = {rng_mix(config->seed ^ 0x72756eull)}};
    cell_init(&run->cell, &cell, &hooks);
    ledger_init(&run->ledger, CHANS_MAX, &run->cell);
    run->ledger.scarce = kind->scarce || kind->hungry != 0;
    load_init(&run->load, &run->cell, &run->ledger, &load, config->seed);
    faults_init(&run->faults, kind, &run->cell, &run->load, &run->ledger, config->seed);
}

static void run_begin(struct run *run)
{
    uint16_t nodes = (uint16_t)run->config.nodes;

    for (uint16_t a = 1; a <= nodes; a++) {
        for (uint16_t b = (uint16_t)(a + 1); b <= nodes; b++) {
            cell_introduce(&run->cell, a, b);
        }
    }
    for (uint16_t a = 1; a <= nodes; a++) {
        uint16_t next = (uint16_t)(a % nodes + 1);
        load_open(&run->load, true, a, next);
        load_open(&run->load, false, a, a);
        load_open(&run->load, false, a, next);
        load_open(&run->load, false, a, (uint16_t)rng_between(&run->rng, 1, nodes));
    }
}

static void checks_do(struct run *run, bool full)
{
    if (run->config.no_audit) {
        return;
    }
    check_quick(&run->cell);
    run->checks++;
    if (full) {
        check_full(&run->cell, &run->load);
        run->checks++;
    }
}

static void step(struct run *run, uint32_t number)
{
    uint16_t nodes = (uint16_t)run->config.nodes;

    if (rng_chance(&run->rng, 30 + 5 * nodes)) {
        load_open(&run->load, rng_chance(&run->rng, 200),
                  (uint16_t)rng_between(&run->rng, 1, nodes),
                  (uint16_t)rng_between(&run->rng, 1, nodes));
    }
    for (uint32_t i = 0; i < 2u + nodes && run->load.holder_count > 0; i++) {
        load_act(&run->load);
    }
    faults_step(&run->faults);
    cell_run(&run->cell, rng_between(&run->rng, 100000, 2 * MS));
    /* Now and then nothing happens for long: timers. */
    if (rng_chance(&run->rng, 10)) {
        cell_run(&run->cell, rng_between(&run->rng, 100, 1500) * MS);
    }
    checks_do(run, number % run->config.audit_every == 0);
}

/* Until nothing moves any more. */
static void drain(struct run *run)
{
    uint64_t until_ns = run->cell.net.now_ns + DRAIN_NS;
    char text[160];

    for (;;) {
        uint32_t received;
        cell_run(&run->cell, DRAIN_ROUND_NS);
        received = load_receive_all(&run->load);
        checks_do(run, false);
        if (received == 0 && run->load.options.close == 0 && check_drained(&run->cell)) {
            return;
        }
        run->load.options.close = 0; /* one round more */
        if (run->cell.net.now_ns > until_ns) {
            sim_fail("not drained after %llu s: %s", DRAIN_NS / 1000000000,
                     check_undrained(&run->cell, text, sizeof(text)));
        }
    }
}

static void result_take(const struct run *run, struct sim_result *result)
{
    const struct net_counts *net = &run->cell.net.counts;
    const struct faults *faults = &run->faults;

    *result = (struct sim_result){
        .runs = 1,
        .virtual_ns = run->cell.net.now_ns - NET_TIME_BEGIN,
        .frames = net->frames,
        .messages = run->ledger.messages,
        .blocks = run->load.blocks,
        .block_bytes = run->load.block_bytes,
        .moves = run->ledger.moves,
        .closures = run->ledger.closures,
        .unexported = run->ledger.unexported,
        .resent = run->cell.resent,
        .lost = net->lost,
        .damaged = net->damaged,
        .duplicated = net->duplicated,
        .reordered = net->reordered,
        .overflowed = net->overflowed + run->cell.overruns,
        .cut = net->cut,
        .crashes = faults->crashes,
        .partitions = faults->partitions,
        .one_ways = faults->one_ways,
        .stalls = faults->stalls,
        .sessions_lost = run->sessions_lost,
        .garbage = faults->garbage,
        .replays = faults->replays,
        .mutants = faults->mutants,
        .hunger = memory_failures(),
        .checks = run->checks,
        .digest = trace_digest(),
    };
}

void sim_run(const struct sim_config *given, struct sim_result *out_result)
{
    static struct run run;
    struct sim_config config = sim_config_whole(*given);
    char replay[160];
    struct memory_counts used;

    sim_replay(&config, replay, sizeof(replay));
    trace_begin(replay, config.verbose);
    used = memory_in_use();
    run_init(&run, &config);
    run_begin(&run);
    for (uint32_t i = 0; i < config.steps; i++) {
        step(&run, i);
    }
    faults_end(&run.faults);
    drain(&run);
    checks_do(&run, true);
    ledger_at_rest(&run.ledger);
    load_close_all(&run.load);
    drain(&run);
    if (config.kind->cable) {
        faults_cable_forget(&run.faults);
        drain(&run);
    }
    checks_do(&run, true);
    check_nothing_left(&run.cell, &run.ledger);
    trace_note("done: %llu messages, %llu moves, %llu closures, %llu frames", run.ledger.messages,
               run.ledger.moves, run.ledger.closures, run.cell.net.counts.frames);
    cell_fini(&run.cell);
    result_take(&run, out_result);
    faults_fini(&run.faults);
    load_fini(&run.load);
    ledger_fini(&run.ledger);
    if (memory_in_use().blocks != used.blocks) {
        sim_fail("%lld allocations of %lld bytes are leaked",
                 (long long)(memory_in_use().blocks - used.blocks),
                 (long long)(memory_in_use().bytes - used.bytes));
    }
}

void sim_result_add(struct sim_result *sum, const struct sim_result *result)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)result;

    for (uint32_t i = 0; i < sizeof(*sum) / sizeof(*to); i++) {
        to[i] += from[i];
    }
}
