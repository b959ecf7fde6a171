/* SPDX-License-Identifier: Apache-2.0 */
#include "cell.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

#include "memory.h"
#include "test_contracts.h"
#include "trace.h"

#define MS 1000000ull
#define BURST 64u
#define SPLIT_BYTES 120u
#define ORCHESTRATE_NS (50 * MS)
#define EVENTS_MAX (1u << 20)

/* --- clocks --------------------------------------------------------------------------------- */

static uint64_t local_of(const struct cell_node *node, uint64_t at_ns)
{
    return (uint64_t)(node->offset_ns + (int64_t)at_ns +
                      (int64_t)at_ns / 1000000000 * node->drift_ppb +
                      (int64_t)at_ns % 1000000000 * node->drift_ppb / 1000000000);
}

/* The first time at which its clock shows local_ns; UINT64_MAX is never. */
static uint64_t time_of(const struct cell_node *node, uint64_t local_ns, uint64_t now_ns)
{
    uint64_t shown_ns = local_of(node, now_ns);
    uint64_t wait_ns;

    if (local_ns == UINT64_MAX) {
        return UINT64_MAX;
    }
    if (local_ns <= shown_ns) {
        return now_ns;
    }
    wait_ns = local_ns - shown_ns;
    wait_ns += 1 + wait_ns / 1000; /* the clock runs slow by less than a thousandth */
    while (wait_ns > 1 && local_of(node, now_ns + wait_ns - wait_ns / 2048 - 1) >= local_ns) {
        wait_ns -= wait_ns / 2048 + 1;
    }
    return now_ns + wait_ns;
}

/* --- what nodes say ------------------------------------------------------------------------- */

static void event_note(struct cell *cell, struct cell_event event)
{
    if (cell->event_count == cell->event_capacity) {
        cell->event_capacity = cell->event_capacity == 0 ? 64 : cell->event_capacity * 2;
        sim_expect(cell->event_capacity <= EVENTS_MAX);
        cell->events = realloc(cell->events, cell->event_capacity * sizeof(*cell->events));
        sim_expect(cell->events != NULL);
    }
    cell->events[cell->event_count++] = event;
}

static void on_opened(void *arg, uint64_t export_owner, const char *export_name, struct fab_ep *exp)
{
    struct cell_node *node = arg;

    (void)export_name;
    sim_expect(export_owner == CELL_EXPORT_OWNER);
    event_note(node->cell, (struct cell_event){CELL_OPENED, node->id, 0, exp, {0}});
}

static void on_ready(void *arg, struct fab_ep *ep)
{
    struct cell_node *node = arg;

    event_note(node->cell, (struct cell_event){CELL_READY, node->id, 0, ep, {0}});
}

static void on_session_lost(void *arg, uint16_t peer_id, struct sf_cause cause)
{
    struct cell_node *node = arg;

    event_note(node->cell, (struct cell_event){CELL_LOST, node->id, peer_id, NULL, cause});
}

static void lost_read(struct cell *cell, const struct cell_event *event)
{
    struct cell_pair *pair = cell_pair(cell, event->node, event->peer);

    trace_note("node %llu lost node %llu: cause %llu", event->node, event->peer, event->cause.kind,
               0);
    if (pair->retry_ns <= cell->net.now_ns) {
        pair->retry_ns = cell->net.now_ns + rng_between(&cell->rng, 100, 1000) * MS;
    }
    cell->hooks.lost(cell->hooks.arg, event->node, event->peer, event->cause);
}

/* A hook that uses the fabric makes more of them. */
static void events_read(struct cell *cell)
{
    if (cell->reading) {
        return;
    }
    cell->reading = true;
    for (uint32_t i = 0; i < cell->event_count; i++) {
        struct cell_event event = cell->events[i];
        switch (event.kind) {
        case CELL_OPENED:
            cell->hooks.opened(cell->hooks.arg, event.node, event.ep);
            break;
        case CELL_READY:
            cell->hooks.ready(cell->hooks.arg, event.node, event.ep);
            break;
        default:
            lost_read(cell, &event);
            break;
        }
    }
    cell->event_count = 0;
    cell->reading = false;
}

static void on_random(void *arg, uint8_t *bytes, uint32_t length)
{
    struct cell_node *node = arg;

    for (uint32_t i = 0; i < length; i++) {
        bytes[i] = (uint8_t)rng_next(&node->cell->secret);
    }
}

/* --- polling -------------------------------------------------------------------------------- */

static void wake_at(struct cell *cell, struct cell_node *node, uint64_t at_ns)
{
    if (at_ns < node->next_poll_ns) {
        at_ns = node->next_poll_ns;
    }
    if (at_ns < cell->net.now_ns) {
        at_ns = cell->net.now_ns;
    }
    if (node->up && at_ns < node->wake_ns) {
        node->wake_ns = at_ns;
        net_wake(&cell->net, node->id, at_ns);
    }
}

void cell_wake(struct cell *cell, uint16_t id)
{
    events_read(cell); /* the caller has just used the fabric */
    wake_at(cell, &cell->nodes[id], cell->net.now_ns);
}

/* A long frame comes in two parts, as some drivers have it. */
static void frame_rx(struct cell_node *node, struct net_frame *frame, uint64_t local_ns)
{
    static uint8_t tail[FAB_MTU_BYTES_MAX];
    uint32_t tail_bytes = frame->length > SPLIT_BYTES ? frame->length - SPLIT_BYTES : 0;

    memcpy(tail, frame->bytes + frame->length - tail_bytes, tail_bytes);
    memset(frame->bytes + frame->length - tail_bytes, 0xdd, tail_bytes);
    fab_rx_tailed(node->fab, frame->from, frame->bytes, frame->length - tail_bytes, tail,
                  tail_bytes, local_ns);
}

static void node_rx(struct cell_node *node, uint64_t local_ns)
{
    for (uint32_t i = 0; i < BURST && node->ring_count > 0; i++) {
        struct net_frame *frame = node->ring[node->ring_head];
        node->ring_head = (node->ring_head + 1) % CELL_RING_FRAMES;
        node->ring_count--;
        uint64_t begin = __rdtsc();
        memory_scarce(true, node->cell->hungry, &node->cell->hunger);
        frame_rx(node, frame, local_ns);
        memory_scarce(false, 0, NULL);
        node->cell->fabric_ticks += __rdtsc() - begin;
        free(frame);
    }
}

/* Answers when the uplink takes the next frame, or UINT64_MAX: there is none. */
static uint64_t node_tx(struct cell *cell, struct cell_node *node, uint64_t local_ns)
{
    static uint8_t bytes[FAB_MTU_BYTES_MAX];

    for (uint32_t i = 0; i < BURST; i++) {
        uint64_t free_ns = net_uplink_free(&cell->net, node->id);
        uint64_t begin = __rdtsc();
        uint32_t length;
        uint16_t to;
        if (free_ns > cell->net.now_ns) {
            return free_ns;
        }
        to = fab_tx_pending(node->fab);
        if (to == 0) {
            return UINT64_MAX;
        }
        memory_scarce(true, cell->hungry, &cell->hunger);
        length = fab_tx(node->fab, to, bytes, sizeof(bytes), local_ns);
        memory_scarce(false, 0, NULL);
        cell->fabric_ticks += __rdtsc() - begin;
        sim_expect(length <= node->mtu_bytes);
        if (length == 0) {
            continue;
        }
        if (cell->hooks.leaves != NULL) {
            length = cell->hooks.leaves(cell->hooks.arg, node->id, to, bytes, length);
        }
        net_send(&cell->net, node->id, to, bytes, length);
    }
    return cell->net.now_ns;
}

static void node_poll(struct cell *cell, struct cell_node *node)
{
    uint64_t now_ns = cell->net.now_ns;
    uint64_t local_ns = local_of(node, now_ns);
    uint64_t next_ns;
    uint64_t begin;

    node->next_poll_ns = now_ns + node->poll_ns;
    node_rx(node, local_ns);
    begin = __rdtsc();
    (void)fab_tick(node->fab, local_ns);
    cell->fabric_ticks += __rdtsc() - begin;
    next_ns = node_tx(cell, node, local_ns);
    events_read(cell);
    if (node->ring_count > 0) {
        next_ns = now_ns;
    }
    wake_at(cell, node, next_ns);
    /* Every other one as a node that goes to sleep asks. */
    next_ns = node->id % 2 == 0 ? fab_next(node->fab) : fab_next_exact(node->fab);
    wake_at(cell, node, time_of(node, next_ns, now_ns));
}

static void on_wake(void *arg, uint16_t id)
{
    struct cell *cell = arg;
    struct cell_node *node = &cell->nodes[id];

    if (!node->up || node->wake_ns != cell->net.now_ns) {
        return; /* it was woken earlier, or is not the same any more */
    }
    node->wake_ns = UINT64_MAX;
    if (cell->net.now_ns < node->stalled_ns) {
        wake_at(cell, node, node->stalled_ns);
        return;
    }
    node_poll(cell, node);
}

static void on_frame(void *arg, struct net_frame *frame)
{
    struct cell *cell = arg;
    struct cell_node *node = &cell->nodes[frame->to];

    if (!node->up || node->ring_count == CELL_RING_FRAMES) {
        cell->overruns += node->up;
        free(frame);
        return;
    }
    node->ring[(node->ring_head + node->ring_count++) % CELL_RING_FRAMES] = frame;
    wake_at(cell, node, cell->net.now_ns);
}

/* --- boot and crash ------------------------------------------------------------------------- */

static void exports_make(struct cell_node *node)
{
    sim_expect(fab_contract_add(node->fab, test_work()) == SF_OK);
    sim_expect(fab_contract_add(node->fab, test_carry()) == SF_OK);
    sim_expect(fab_export_add(node->fab, "work", test_work(), CELL_EXPORT_OWNER) == SF_OK);
    sim_expect(fab_export_add(node->fab, "carry", test_carry(), CELL_EXPORT_OWNER) == SF_OK);
}

void cell_boot(struct cell *cell, uint16_t id)
{
    struct cell_node *node = &cell->nodes[id];
    struct xh_options heap_options = {.range_bytes = cell->options.heap_bytes};
    struct fab_options options = {
        .node_id = id,
        .events = {.opened = on_opened, .session_lost = on_session_lost},
        .events_arg = node,
        .endpoint_count_max = cell->options.endpoint_count_max,
        .secret_key = node->secret_key,
        .random = on_random,
    };

    sim_expect(!node->up);
    node->epoch += !(cell->options.reuse_epoch && node->epoch != 0);
    node->drift_ppb = (int32_t)rng_below(&cell->rng, cell->options.drift_ppm * 2000ull + 1) -
                      (int32_t)cell->options.drift_ppm * 1000;
    node->offset_ns = (int64_t)rng_below(&cell->rng, 1ull << 50);
    node->wake_ns = UINT64_MAX;
    node->stalled_ns = 0;
    node->ring_head = node->ring_count = 0;
    options.epoch = node->epoch;
    options.events.ready = cell->hooks.ready == NULL ? NULL : on_ready;
    sim_expect(xh_heap_create(&heap_options, &node->heap) == SF_OK);
    options.heap = node->heap;
    sim_expect(fab_node_create(&options, &node->fab) == SF_OK);
    exports_make(node);
    node->up = true;
    trace_note("node %llu boots with epoch %llu", id, node->epoch, 0, 0);
    for (uint16_t other = 1; other <= cell->options.node_count; other++) {
        if (other != id && cell->net.now_ns != NET_TIME_BEGIN) {
            cell_pair_fault(cell, id, other, false);
            cell_pair(cell, id, other)->retry_ns =
                cell->net.now_ns + rng_between(&cell->rng, 20, 1500) * MS;
        }
    }
}

void cell_crash(struct cell *cell, uint16_t id)
{
    struct cell_node *node = &cell->nodes[id];
    struct xh_stats stats;

    sim_expect(node->up);
    trace_note("node %llu crashes", id, 0, 0, 0);
    for (uint16_t other = 1; other <= cell->options.node_count; other++) {
        if (other != id) {
            cell_pair_fault(cell, id, other, true);
        }
    }
    for (uint32_t i = 0; i < node->fab->session_count; i++) {
        cell->resent += node->fab->sessions[node->fab->session_ids[i]]->info.frames_resent;
    }
    for (; node->ring_count > 0; node->ring_count--) {
        free(node->ring[node->ring_head]);
        node->ring_head = (node->ring_head + 1) % CELL_RING_FRAMES;
    }
    (void)xh_free_all(node->heap, CELL_OWNER);
    fab_node_destroy(node->fab);
    xh_query(node->heap, &stats);
    if (stats.block_count != 0) {
        sim_fail("node %u leaves %llu blocks behind", id, (unsigned long long)stats.block_count);
    }
    xh_heap_destroy(node->heap);
    node->fab = NULL;
    node->heap = NULL;
    node->up = false;
}

void cell_stall(struct cell *cell, uint16_t id, uint64_t ns)
{
    cell->nodes[id].stalled_ns = cell->net.now_ns + ns;
    trace_note("node %llu stalls for %llu ms", id, ns / MS, 0, 0);
}

/* --- pairs and the orchestrator ------------------------------------------------------------- */

bool cell_pair_bad(const struct cell *cell, uint16_t a, uint16_t b)
{
    return a != b && cell_pair(cell, a, b)->bad;
}

void cell_pair_fault(struct cell *cell, uint16_t a, uint16_t b, bool begins)
{
    struct cell_pair *pair = cell_pair(cell, a, b);

    if (!begins) {
        sim_expect(pair->faults > 0);
        pair->faults--;
        pair->healed_ns = cell->net.now_ns;
        return;
    }
    pair->faults++;
    if (!pair->bad) {
        pair->bad = true;
        cell->hooks.broken(cell->hooks.arg, a, b);
    }
}

static const struct fab__session *session_of(const struct cell *cell, uint16_t a, uint16_t b)
{
    return cell->nodes[a].up ? cell->nodes[a].fab->sessions[b] : NULL;
}

bool cell_joined(const struct cell *cell, uint16_t a, uint16_t b)
{
    const struct fab__session *sa = session_of(cell, a, b);
    const struct fab__session *sb = session_of(cell, b, a);

    return sa != NULL && sb != NULL && sa->open && sb->open && sa->peer_number == sb->number &&
           sb->peer_number == sa->number;
}

static bool heard_since(const struct cell *cell, uint16_t a, uint16_t b, uint64_t at_ns)
{
    const struct fab__session *session = session_of(cell, a, b);

    return session->info.heard_ns > local_of(&cell->nodes[a], at_ns);
}

static bool needs(const struct cell *cell, uint16_t a, uint16_t b)
{
    struct fab_peer_info info;

    return fab_peer_query(cell_fab(cell, a), b, &info) != SF_OK ||
           info.epoch != cell->nodes[b].epoch;
}

static void introduce(struct cell *cell, uint16_t to, uint16_t peer)
{
    struct cell_node *node = &cell->nodes[to];
    struct fab_peer options = {
        .node_id = peer,
        .epoch = cell->nodes[peer].epoch,
        .mtu_bytes = node->mtu_bytes,
        .sealed = cell_pair(cell, to, peer)->sealed,
    };
    sf_status st;

    memcpy(options.key, cell->nodes[peer].key, sizeof(options.key));
    st = fab_peer_add(node->fab, &options, local_of(node, cell->net.now_ns));

    if (st != SF_OK && st != SF_EXISTS) {
        sim_fail("node %u cannot be introduced to node %u: %s", peer, to, sf_status_name(st));
    }
    cell->introductions++;
    cell_wake(cell, to);
}

void cell_introduce(struct cell *cell, uint16_t a, uint16_t b)
{
    introduce(cell, a, b);
    introduce(cell, b, a);
}

static void pair_mend(struct cell *cell, uint16_t a, uint16_t b)
{
    struct cell_pair *pair = cell_pair(cell, a, b);

    if (!cell->nodes[a].up || !cell->nodes[b].up) {
        return;
    }
    if (pair->bad && pair->faults == 0 && cell_joined(cell, a, b) &&
        heard_since(cell, a, b, pair->healed_ns) && heard_since(cell, b, a, pair->healed_ns)) {
        pair->bad = false;
        trace_note("nodes %llu and %llu are well again", a, b, 0, 0);
    }
    if (cell->net.now_ns < pair->retry_ns) {
        return;
    }
    if (needs(cell, a, b) && rng_chance(&cell->rng, 600)) {
        introduce(cell, a, b);
    }
    if (needs(cell, b, a) && rng_chance(&cell->rng, 600)) {
        introduce(cell, b, a);
    }
}

static void orchestrate(struct cell *cell)
{
    for (uint16_t a = 1; a <= cell->options.node_count; a++) {
        for (uint16_t b = (uint16_t)(a + 1); b <= cell->options.node_count; b++) {
            pair_mend(cell, a, b);
        }
    }
    cell->orchestrate_ns = cell->net.now_ns + ORCHESTRATE_NS;
}

void cell_run(struct cell *cell, uint64_t ns)
{
    uint64_t until_ns = cell->net.now_ns + ns;

    while (cell->orchestrate_ns <= until_ns) {
        net_run(&cell->net, cell->orchestrate_ns);
        orchestrate(cell);
    }
    net_run(&cell->net, until_ns);
}

/* --- life ----------------------------------------------------------------------------------- */

void cell_init(struct cell *cell, const struct cell_options *options,
               const struct cell_hooks *hooks)
{
    static const uint32_t mtus[] = {512, 600, 1024, 1500, 4096, 9000};
    uint64_t ids = options->node_count + 1ull;

    *cell = (struct cell){
        .rng = {rng_mix(options->seed ^ 0x63656c6cull)},
        .secret = {rng_mix(options->seed ^ 0x736563726574ull)},
        .hunger = {rng_mix(options->seed ^ 0x68756e676572ull)},
        .options = *options,
        .hooks = *hooks,
        .orchestrate_ns = NET_TIME_BEGIN + ORCHESTRATE_NS,
    };
    net_init(&cell->net, options->node_count, options->seed);
    cell->net.arg = cell;
    cell->net.on_frame = on_frame;
    cell->net.on_wake = on_wake;
    trace_clock(&cell->net.now_ns);
    cell->nodes = sim_alloc(ids, sizeof(*cell->nodes));
    cell->pairs = sim_alloc(ids * ids, sizeof(*cell->pairs));
    for (uint16_t id = 1; id <= options->node_count; id++) {
        struct cell_node *node = &cell->nodes[id];
        uint32_t mtu_bytes = mtus[rng_below(&cell->rng, sizeof(mtus) / sizeof(mtus[0]))];
        node->id = id;
        node->cell = cell;
        node->mtu_bytes = options->mtu_bytes != 0 ? options->mtu_bytes : mtu_bytes;
        node->poll_ns = rng_between(&cell->rng, 1000, 50000);
        if (options->poll_ns != 0) {
            node->poll_ns = options->poll_ns;
        }
        on_random(node, node->secret_key, sizeof(node->secret_key));
        sim_expect(crypto_scalarmult_base(node->key, node->secret_key) == 0);
        for (uint16_t other = 1; other < id; other++) {
            cell_pair(cell, id, other)->sealed = rng_chance(&cell->rng, options->sealed);
        }
        cell_boot(cell, id);
    }
}

void cell_fini(struct cell *cell)
{
    for (uint16_t id = 1; id <= cell->options.node_count; id++) {
        if (cell->nodes[id].up) {
            for (uint16_t other = 1; other <= cell->options.node_count; other++) {
                if (other != id) {
                    cell_pair(cell, id, other)->bad = true; /* nobody is told any more */
                }
            }
            cell_crash(cell, id);
        }
    }
    net_fini(&cell->net);
    free(cell->events);
    free(cell->pairs);
    free(cell->nodes);
    trace_clock(NULL);
}
