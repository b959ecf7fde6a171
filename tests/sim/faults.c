/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"

#include <stdlib.h>
#include <string.h>

#include "trace.h"

#define MS 1000000ull
#define SHORT_STALL_MS 600u    /* less than a peer's time-out, with some heart-beats to spare */
#define PORT_BUFFER_MIN 20000u /* two of the largest frames */
#define UPLINK_FACTOR 4u       /* so that frames meet at ports */

/* --- the network ---------------------------------------------------------------------------- */

/* Up to `most`, often little. */
static uint16_t some(struct faults *faults, uint16_t most)
{
    return (uint16_t)(rng_below(&faults->rng, most + 1ull) * rng_below(&faults->rng, 101) / 100);
}

static void way_make(struct faults *faults, struct net_way *way)
{
    const struct fault_kind *kind = faults->kind;

    way->delay_ns = (uint32_t)rng_between(&faults->rng, 1, kind->delay_us) * 1000u;
    way->jitter_ns = (uint32_t)rng_below(&faults->rng, kind->jitter_us + 1ull) * 1000u;
    way->reorder_ns = kind->reorder_us * 1000u;
    way->loss = some(faults, kind->loss);
    way->damage = some(faults, kind->damage);
    way->duplicate = some(faults, kind->duplicate);
    way->reorder = some(faults, kind->reorder);
}

/* A session that has no memory for an answer ends: any may. Between a node and all after it. */
static void hunger(struct faults *faults, uint16_t id, bool begins)
{
    for (uint32_t other = id + 1u; other <= faults->cell->options.node_count; other++) {
        cell_pair_fault(faults->cell, id, (uint16_t)other, begins);
    }
}

static void network_make(struct faults *faults)
{
    struct net *net = &faults->cell->net;
    const struct fault_kind *kind = faults->kind;

    for (uint16_t a = 1; a <= net->node_count; a++) {
        for (uint16_t b = 1; b <= net->node_count; b++) {
            way_make(faults, net_way(net, a, b));
        }
        if (kind->mbit_per_s != 0) {
            uint64_t rate = rng_between(&faults->rng, kind->mbit_per_s / 2, kind->mbit_per_s);
            net->uplinks[a].bytes_per_s = rate * 125000 * UPLINK_FACTOR;
            net->ports[a].bytes_per_s = rate * 125000;
            net->ports[a].buffer_bytes =
                (uint32_t)rng_between(&faults->rng, PORT_BUFFER_MIN, 5 * PORT_BUFFER_MIN);
        }
    }
    for (uint16_t a = 1; a < net->node_count && kind->hungry != 0; a++) {
        hunger(faults, a, true);
    }
    faults->cell->hungry = kind->hungry;
    if (kind->cable) {
        faults->cable_a = (uint16_t)rng_between(&faults->rng, 1, net->node_count);
        faults->cable_b = (uint16_t)(faults->cable_a % net->node_count + 1);
        faults->ledger->bad_a = faults->cable_a;
        faults->ledger->bad_b = faults->cable_b;
        cell_pair(faults->cell, faults->cable_a, faults->cable_b)->sealed = false;
        cell_pair_fault(faults->cell, faults->cable_a, faults->cable_b, true);
    }
}

static void network_mend(struct net *net)
{
    for (uint16_t a = 1; a <= net->node_count; a++) {
        for (uint16_t b = 1; b <= net->node_count; b++) {
            struct net_way *way = net_way(net, a, b);
            way->loss = way->damage = way->duplicate = way->reorder = 0;
        }
    }
}

void faults_init(struct faults *faults, const struct fault_kind *kind, struct cell *cell,
                 struct load *load, struct ledger *ledger, uint64_t seed)
{
    *faults = (struct faults){
        .kind = kind,
        .cell = cell,
        .load = load,
        .ledger = ledger,
        .rng = {rng_mix(seed ^ 0x6661756c74ull)},
    };
    network_make(faults);
}

void faults_fini(struct faults *faults)
{
    for (uint32_t i = 0; i < FAULT_FRAMES_KEPT; i++) {
        free(faults->kept[i].bytes);
    }
}

/* --- frames that nobody sent ---------------------------------------------------------------- */

static void frame_keep(struct faults *faults, uint16_t from, uint16_t to, const uint8_t *bytes,
                       uint32_t length)
{
    struct fault_frame *frame = &faults->kept[faults->kept_count++ % FAULT_FRAMES_KEPT];

    free(frame->bytes);
    *frame = (struct fault_frame){from, to, length, sim_alloc(1, length)};
    memcpy(frame->bytes, bytes, length);
}

static void garbage_send(struct faults *faults, uint16_t from, uint16_t to)
{
    static uint8_t bytes[FAB_MTU_BYTES_MAX];
    uint32_t length =
        (uint32_t)rng_between(&faults->rng, 0, rng_chance(&faults->rng, 700) ? 80 : sizeof(bytes));

    for (uint32_t i = 0; i < length; i++) {
        bytes[i] = (uint8_t)rng_next(&faults->rng);
    }
    if (length > 0 && rng_chance(&faults->rng, 800)) {
        bytes[0] = (uint8_t)(FAB__WIRE_VERSION << 4 | rng_below(&faults->rng, 4));
    }
    faults->garbage++;
    net_inject(&faults->cell->net, from, to, bytes, length,
               faults->cell->net.now_ns + rng_below(&faults->rng, MS));
}

/* From a moment ago, or from an earlier session or boot. */
static void replay_send(struct faults *faults)
{
    uint64_t count =
        faults->kept_count < FAULT_FRAMES_KEPT ? faults->kept_count : FAULT_FRAMES_KEPT;
    const struct fault_frame *frame;

    if (count == 0) {
        return;
    }
    frame = &faults->kept[rng_below(&faults->rng, count)];
    faults->replays++;
    net_inject(&faults->cell->net, frame->from, frame->to, frame->bytes, frame->length,
               faults->cell->net.now_ns + rng_below(&faults->rng, 100 * MS));
}

/* What a bad cable makes of a frame; answers its length. */
static uint32_t mutate(struct faults *faults, uint8_t *bytes, uint32_t length)
{
    uint64_t at = rng_below(&faults->rng, length);

    faults->mutants++;
    switch (rng_below(&faults->rng, 6)) {
    case 0: /* cut short */
        return (uint32_t)at;
    case 1: /* some bytes in a row */
        for (uint64_t i = 0; i < 8 && at + i < length; i++) {
            bytes[at + i] = (uint8_t)rng_next(&faults->rng);
        }
        return length;
    case 2: /* a byte at the extremes */
        bytes[at] = rng_chance(&faults->rng, 500) ? 0 : 0xff;
        return length;
    default: /* some bits; often in the header or the first records */
        for (uint64_t i = rng_between(&faults->rng, 1, 3); i > 0; i--) {
            at = rng_below(&faults->rng, length < 100 || i == 1 ? length : 100);
            bytes[at] ^= (uint8_t)(1u << rng_below(&faults->rng, 8));
        }
        return length;
    }
}

static bool on_cable(const struct faults *faults, uint16_t from, uint16_t to)
{
    return faults->cable_a != 0 && (from == faults->cable_a || from == faults->cable_b) &&
           (to == faults->cable_a || to == faults->cable_b);
}

uint32_t faults_leaves(void *arg, uint16_t from, uint16_t to, uint8_t *bytes, uint32_t length)
{
    struct faults *faults = arg;
    const struct fault_kind *kind = faults->kind;

    if (faults->over) {
        return length;
    }
    if (kind->replay != 0 && rng_chance(&faults->rng, 100)) {
        frame_keep(faults, from, to, bytes, length);
    }
    if (rng_chance(&faults->rng, kind->replay)) {
        replay_send(faults);
    }
    if (rng_chance(&faults->rng, kind->garbage)) {
        garbage_send(faults, from, to);
    }
    if (on_cable(faults, from, to) ? rng_chance(&faults->rng, 50)
                                   : cell_pair(faults->cell, from, to)->sealed &&
                                         rng_chance(&faults->rng, kind->mutants)) {
        length = mutate(faults, bytes, length);
    }
    return length;
}

/* --- nodes and pairs ------------------------------------------------------------------------ */

static struct fault_task *task_new(struct faults *faults)
{
    for (uint32_t i = 0; i < FAULT_TASKS_MAX; i++) {
        if (faults->tasks[i].what == FAULT_NONE) {
            return &faults->tasks[i];
        }
    }
    return NULL;
}

/* A stalled node misses heart-beats of all others, and they its. */
static void node_faults(struct faults *faults, uint16_t id, bool begins)
{
    for (uint16_t other = 1; other <= faults->cell->options.node_count; other++) {
        if (other != id) {
            cell_pair_fault(faults->cell, id, other, begins);
        }
    }
}

static void task_end(struct faults *faults, struct fault_task *task)
{
    struct net *net = &faults->cell->net;

    switch (task->what) {
    case FAULT_HEAL:
        net_way(net, task->a, task->b)->cut = net_way(net, task->b, task->a)->cut = false;
        cell_pair_fault(faults->cell, task->a, task->b, false);
        trace_note("nodes %llu and %llu can hear each other again", task->a, task->b, 0, 0);
        break;
    case FAULT_BOOT:
        cell_boot(faults->cell, task->a);
        break;
    case FAULT_UNSTALL:
        node_faults(faults, task->a, false);
        break;
    default:
        break;
    }
    task->what = FAULT_NONE;
}

static uint16_t some_node(struct faults *faults)
{
    return (uint16_t)rng_between(&faults->rng, 1, faults->cell->options.node_count);
}

static void partition_begin(struct faults *faults, bool one_way)
{
    struct fault_task *task = task_new(faults);
    struct net *net = &faults->cell->net;
    uint16_t a = some_node(faults);
    uint16_t b = some_node(faults);

    if (task == NULL || a == b || net_way(net, a, b)->cut || net_way(net, b, a)->cut) {
        return;
    }
    *task = (struct fault_task){
        .what = FAULT_HEAL,
        .a = a,
        .b = b,
        .at_ns = net->now_ns + rng_between(&faults->rng, 10, 4000) * MS,
    };
    net_way(net, a, b)->cut = true;
    net_way(net, b, a)->cut = !one_way;
    cell_pair_fault(faults->cell, a, b, true);
    trace_note("node %llu does not hear node %llu; one way %llu", b, a, one_way, 0);
    *(one_way ? &faults->one_ways : &faults->partitions) += 1;
}

static void crash_begin(struct faults *faults)
{
    struct fault_task *task = task_new(faults);
    uint16_t id = some_node(faults);

    if (task == NULL || !faults->cell->nodes[id].up) {
        return;
    }
    *task = (struct fault_task){
        .what = FAULT_BOOT,
        .a = id,
        .at_ns = faults->cell->net.now_ns + rng_between(&faults->rng, 1, 3000) * MS,
    };
    load_vanish(faults->load, id);
    cell_crash(faults->cell, id);
    faults->crashes++;
}

static void stall_begin(struct faults *faults, bool is_long)
{
    struct fault_task *task = is_long ? task_new(faults) : NULL;
    uint16_t id = some_node(faults);
    uint64_t ms = is_long ? rng_between(&faults->rng, 1000, 5000)
                          : rng_between(&faults->rng, 1, SHORT_STALL_MS);

    if (!cell_acts(faults->cell, id) || (is_long && task == NULL)) {
        return;
    }
    if (is_long) {
        *task = (struct fault_task){
            .what = FAULT_UNSTALL,
            .a = id,
            .at_ns = faults->cell->net.now_ns + ms * MS,
        };
        node_faults(faults, id, true);
    }
    cell_stall(faults->cell, id, ms * MS);
    faults->stalls++;
}

static bool now_and_then(struct faults *faults, uint16_t per_myriad)
{
    return rng_below(&faults->rng, 10000) < per_myriad;
}

void faults_step(struct faults *faults)
{
    const struct fault_kind *kind = faults->kind;

    for (uint32_t i = 0; i < FAULT_TASKS_MAX; i++) {
        if (faults->tasks[i].what != FAULT_NONE &&
            faults->tasks[i].at_ns <= faults->cell->net.now_ns) {
            task_end(faults, &faults->tasks[i]);
        }
    }
    if (faults->over) {
        return;
    }
    if (now_and_then(faults, kind->partition)) {
        partition_begin(faults, false);
    }
    if (now_and_then(faults, kind->one_way)) {
        partition_begin(faults, true);
    }
    if (now_and_then(faults, kind->crash)) {
        crash_begin(faults);
    }
    if (now_and_then(faults, kind->stall)) {
        stall_begin(faults, false);
    }
    if (now_and_then(faults, kind->long_stall)) {
        stall_begin(faults, true);
    }
}

static void session_remove(struct faults *faults, uint16_t a, uint16_t b)
{
    struct sf_cause cause = SF_CAUSE_OF(LINK_LOST);

    fab_peer_remove(cell_fab(faults->cell, a), b, cause);
    fab_peer_remove(cell_fab(faults->cell, b), a, cause);
    cell_wake(faults->cell, a);
    cell_wake(faults->cell, b);
}

/* The operator replaces the cable, and the orchestrator begins the session anew. */
static void cable_end(struct faults *faults)
{
    if (faults->cable_a != 0) {
        session_remove(faults, faults->cable_a, faults->cable_b);
        cell_pair_fault(faults->cell, faults->cable_a, faults->cable_b, false);
    }
}

void faults_cable_forget(struct faults *faults)
{
    const uint16_t two[] = {faults->cable_a, faults->cable_b};

    for (uint32_t i = 0; i < 2 && faults->cable_a != 0; i++) {
        node_faults(faults, two[i], true);
        for (uint16_t other = 1; other <= faults->cell->options.node_count; other++) {
            if (other != two[i]) {
                session_remove(faults, two[i], other);
            }
        }
        node_faults(faults, two[i], false);
    }
}

void faults_end(struct faults *faults)
{
    faults->over = true;
    for (uint32_t i = 0; i < FAULT_TASKS_MAX; i++) {
        if (faults->tasks[i].what != FAULT_NONE) {
            task_end(faults, &faults->tasks[i]);
        }
    }
    for (uint16_t id = 1; id <= faults->cell->options.node_count; id++) {
        faults->cell->nodes[id].stalled_ns = 0;
        cell_wake(faults->cell, id);
    }
    network_mend(&faults->cell->net);
    for (uint16_t a = 1; a < faults->cell->options.node_count && faults->kind->hungry != 0; a++) {
        hunger(faults, a, false);
    }
    faults->cell->hungry = 0;
    cable_end(faults);
}
