/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole cells from one seed: three nodes over a network that loses, duplicates and reorders a
 * tenth of the frames each, and in every other run, which is sealed, turns over a bit in some. In
 * half of the others most blocks are read from where they are, and some of these reads fail. Now
 * and then a node does not look at its links for a while. Random holders talk over Work channels,
 * send their ends to each other over Carry channels, close them, and (by kind of run) close the
 * Carry channels too, boot a node again, or cut the way between two nodes for a while, both ways or
 * one way only.
 *
 * Checked at each receive: the message is the next one of its channel and side (in order, exactly
 * once), and its block has the right bytes. At each closure: nothing that was sent before is
 * missing, and the cause is one that this run can explain. Every few steps: all audits. At the
 * end, after the faults stop: what was sent has arrived, each end knows where its peer is or that
 * it is gone, and after closing all, every record and block is free again.
 *
 * A failure names its kind of run and seed: sim_test KIND SEED runs that one alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node.h"
#include "test_net.h"

#define MS 1000000ull
#define NODES 3u
#define SEEDS 200u
#define STEPS 250u
#define CHANS_MAX 256u
#define HELD_MAX 1024u
#define OWNER 77u

enum kind { QUIET_CARRIERS, CARRIERS_CLOSE, NODE_RESTARTS, PARTITIONS };

struct chan {
    uint64_t ids[2];
    uint32_t serial;
    uint32_t sent[2]; /* by side */
    uint32_t received[2];
    bool given_up[2];
    struct sf_cause cause[2]; /* given up with */
    bool touched; /* by a node that restarts, or a partition: it may have lost messages */
};

struct held {
    struct fab_ep *ep;
    uint16_t node;
    struct chan *chan; /* NULL: a Carry end */
};

struct sim {
    struct net net;
    enum kind kind;
    uint64_t seed;
    uint16_t doomed; /* restarts */
    bool faulted;    /* a node restarted, or there was a partition */
    bool parted;     /* there is one now */
    bool carrier_closed;
    struct chan chans[CHANS_MAX];
    uint32_t chan_count;
    struct held held[HELD_MAX];
    uint32_t held_count;
    uint64_t messages, moves, closures; /* so that a run that does nothing is seen */
};

static struct sim sim;

#define sim_fail(...)                                                                              \
    do {                                                                                           \
        print_error("# to repeat: sim_test %d %llu\n", sim.kind, (unsigned long long)sim.seed);    \
        fail_msg(__VA_ARGS__);                                                                     \
    } while (0)
#define sim_expect(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            sim_fail("%s", #condition);                                                            \
        }                                                                                          \
    } while (0)

static struct fab_node *fab(uint16_t node)
{
    return sim.net.nodes[node].fab;
}

static bool chance(uint32_t percent)
{
    return net_below(&sim.net, 100) < percent;
}

/* --- the model ------------------------------------------------------------------------------ */

static uint64_t ep_id(const struct fab_ep *ep)
{
    struct fab_ep_info info;

    fab_ep_query(ep, &info);
    return info.id;
}

static uint8_t ep_side(const struct fab_ep *ep)
{
    struct fab_ep_info info;

    fab_ep_query(ep, &info);
    return (uint8_t)info.side;
}

static void hold(struct fab_ep *ep, uint16_t node, struct chan *chan)
{
    sim_expect(sim.held_count < HELD_MAX);
    sim.held[sim.held_count++] = (struct held){ep, node, chan};
    if (chan != NULL && (node == sim.doomed || sim.parted)) {
        chan->touched = true;
    }
}

static void unhold(struct held *held)
{
    *held = sim.held[--sim.held_count];
}

static struct chan *chan_by_id(uint64_t id)
{
    for (uint32_t i = 0; i < sim.chan_count; i++) {
        if (sim.chans[i].ids[0] == id || sim.chans[i].ids[1] == id) {
            return &sim.chans[i];
        }
    }
    sim_fail("an endpoint of no channel arrived");
    return NULL;
}

static uint64_t value_of(const struct chan *chan, uint32_t number)
{
    return (uint64_t)chan->serial << 32 | number;
}

static uint8_t byte_of(uint64_t value, uint32_t at)
{
    return (uint8_t)((value * 0x9e3779b97f4a7c15ull >> (at % 7 * 8)) + at);
}

/* --- actions on Work ends ------------------------------------------------------------------- */

static void give_up(struct held *held, struct sf_cause cause)
{
    struct chan *chan = held->chan;
    uint8_t side = ep_side(held->ep);

    chan->given_up[side] = true;
    chan->cause[side] = cause;
    fab_ep_close(held->ep, cause);
    unhold(held);
}

static struct xh_block *block_make(uint16_t node, uint64_t value)
{
    uint32_t bytes = chance(3)   ? 8 + net_below(&sim.net, 300000)
                     : chance(5) ? 40000
                                 : 8 + net_below(&sim.net, 3000);
    struct xh_block *block = NULL;

    if (xh_alloc(sim.net.nodes[node].heap, bytes, OWNER, &block) != SF_OK) {
        bytes = 8; /* there are many large ones just now */
        sim_expect(xh_alloc(sim.net.nodes[node].heap, bytes, OWNER, &block) == SF_OK);
    }
    memcpy(block->data, &value, 8);
    for (uint32_t i = 8; i < bytes; i++) {
        block->data[i] = byte_of(value, i);
    }
    return block;
}

static void block_check(uint16_t node, struct xh_block *block, uint64_t value)
{
    sim_expect(memcmp(block->data, &value, 8) == 0);
    for (uint32_t i = 8; i < block->bytes; i++) {
        sim_expect(block->data[i] == byte_of(value, i));
    }
    sim_expect(xh_free(sim.net.nodes[node].heap, block, OWNER) == SF_OK);
}

static void work_send(struct held *held)
{
    uint8_t side = ep_side(held->ep);
    uint64_t value = value_of(held->chan, held->chan->sent[side]);
    bool burst = fab_ep_state(held->ep) != WORK_START;
    bool bytes = chance(40) && !burst;
    struct fab_msg msg = {0};

    if (side == CT_IMP) {
        msg.tag = burst || chance(30) ? WORK_BURST : bytes ? WORK_BYTES : WORK_ASK;
        msg.arg_count = msg.tag == WORK_ASK ? 4 : msg.tag == WORK_BYTES ? 2 : 1;
    } else {
        msg.tag = bytes ? WORK_GIVE : WORK_ANSWER;
        msg.arg_count = bytes ? 2 : 1;
    }
    msg.args[0].scalar = value;
    if (msg.tag == WORK_BYTES) {
        msg.args[0].block = block_make(held->node, value);
    } else if (msg.tag == WORK_GIVE) {
        msg.args[1].block = block_make(held->node, value);
    }
    sim_expect(fab_ep_send(held->ep, &msg, OWNER) == SF_OK);
    held->chan->sent[side]++;
}

static void work_closed(struct held *held)
{
    const struct chan *chan = held->chan;
    uint8_t other = (uint8_t)ct_other((enum ct_side)ep_side(held->ep));
    struct sf_cause cause = fab_ep_cause(held->ep);
    bool way_lost = cause.kind == SF_CAUSE_NODE_LOST || cause.kind == SF_CAUSE_LINK_LOST;
    bool node_lost = sim.faulted && chan->touched && way_lost;
    bool dropped =
        (sim.carrier_closed || sim.faulted) && !chan->given_up[other] &&
        (cause.kind == SF_CAUSE_REVOKED || cause.kind == SF_CAUSE_CLOSED_BY_PEER || way_lost);

    sim.closures++;
    if (!node_lost && !dropped) {
        sim_expect(chan->given_up[other]);
        sim_expect(memcmp(&cause, &chan->cause[other], sizeof(cause)) == 0);
    }
    /* Only a node that is gone may take messages with it. */
    if (chan->given_up[other] && !chan->touched) {
        sim_expect(chan->received[other] == chan->sent[other]);
    }
    give_up(held, SF_CAUSE_OF(CLOSED_BY_PEER));
}

/* Answers false if there was nothing to receive. */
static bool work_recv(struct held *held)
{
    uint8_t other = (uint8_t)ct_other((enum ct_side)ep_side(held->ep));
    struct chan *chan = held->chan;
    struct fab_msg msg;
    uint64_t value;
    sf_status st = fab_ep_recv(held->ep, &msg, OWNER);

    if (st == SF_AGAIN) {
        return false;
    }
    if (st == SF_CLOSED) {
        work_closed(held);
        return true;
    }
    value = value_of(chan, chan->received[other]);
    if (msg.tag == WORK_BYTES) {
        block_check(held->node, msg.args[0].block, value);
    } else {
        sim_expect(msg.args[0].scalar == value);
    }
    if (msg.tag == WORK_GIVE) {
        block_check(held->node, msg.args[1].block, value);
    }
    chan->received[other]++;
    sim.messages++;
    return true;
}

static bool may_send(const struct fab_ep *ep)
{
    const struct ct_state *state = &fab_ep_contract(ep)->states[fab_ep_state(ep)];

    return !state->final && state->sender == ep_side(ep) && !fab_ep_readable(ep);
}

static void work_act(struct held *held)
{
    if (work_recv(held)) {
        return;
    }
    if (chance(2)) {
        struct sf_cause cause = {.kind = SF_CAUSE_PEER_FAULTED,
                                 .fault = (uint8_t)(1 + net_below(&sim.net, 9))};
        give_up(held, cause);
    } else if (may_send(held->ep)) {
        work_send(held);
    }
}

/* --- actions on Carry ends ------------------------------------------------------------------ */

static uint16_t peer_node_of(const struct fab_ep *ep)
{
    struct fab_ep_info info;

    fab_ep_query(ep, &info);
    return info.peer_node;
}

/* Some Work end of this node that may travel now, or NULL. */
static struct held *traveller_find(uint16_t node)
{
    uint32_t from = net_below(&sim.net, sim.held_count);

    for (uint32_t i = 0; i < sim.held_count; i++) {
        struct held *held = &sim.held[(from + i) % sim.held_count];
        uint8_t state = fab_ep_state(held->ep);
        struct fab_ep_info info;
        if (held->chan == NULL || held->node != node) {
            continue;
        }
        fab_ep_query(held->ep, &info);
        if (info.queued == 0 && (info.side == CT_IMP ? state == WORK_START || state == WORK_BURST1
                                                     : state == WORK_ASKED)) {
            return held;
        }
    }
    return NULL;
}

static void carry_send(struct held *carrier)
{
    struct held *traveller = chance(75) ? traveller_find(carrier->node) : NULL;
    struct fab_msg msg = {.tag = CARRY_PASS};

    if (traveller != NULL) {
        bool imp = ep_side(traveller->ep) == CT_IMP;
        bool busy = fab_ep_state(traveller->ep) == WORK_BURST1;
        msg.tag = imp ? busy ? CARRY_TAKE_BUSY : CARRY_TAKE_IMP : CARRY_TAKE_EXP;
        msg.arg_count = 2;
        msg.args[1].ep = traveller->ep;
        if (peer_node_of(carrier->ep) == sim.doomed || sim.parted) {
            traveller->chan->touched = true;
        }
    }
    sim_expect(fab_ep_send(carrier->ep, &msg, OWNER) == SF_OK);
    if (traveller != NULL) {
        unhold(traveller); /* carrier may have been moved by this: do not use it */
    }
}

static void carry_act(struct held *carrier)
{
    uint16_t node = carrier->node;
    struct fab_msg msg;
    sf_status st = fab_ep_recv(carrier->ep, &msg, OWNER);

    if (st == SF_CLOSED) {
        sim_expect(sim.carrier_closed || sim.faulted);
        fab_ep_close(carrier->ep, SF_CAUSE_OF(CLOSED_BY_PEER));
        unhold(carrier);
    } else if (st == SF_OK && msg.arg_count == 2) {
        struct fab_ep *ep = msg.args[1].ep;
        msg = (struct fab_msg){.tag = CARRY_DONE};
        sim_expect(fab_ep_send(carrier->ep, &msg, OWNER) == SF_OK);
        if (ep != NULL) {
            hold(ep, node, chan_by_id(ep_id(ep)));
            sim.moves++;
        }
    } else if (sim.kind == CARRIERS_CLOSE && chance(1)) {
        sim.carrier_closed = true;
        fab_ep_close(carrier->ep, SF_CAUSE_OF(REVOKED));
        unhold(carrier);
    } else if (st == SF_AGAIN && may_send(carrier->ep)) {
        carry_send(carrier);
    }
}

/* --- a run ---------------------------------------------------------------------------------- */

static void open_work(uint16_t a, uint16_t b)
{
    struct chan *chan = &sim.chans[sim.chan_count];
    struct fab_ep *imp;
    struct fab_ep *exp;

    if (sim.chan_count == CHANS_MAX) {
        return;
    }
    *chan = (struct chan){.serial = ++sim.chan_count};
    if (a == b) {
        sim_expect(fab_chan_create(fab(a), test_work(), 0, &imp, &exp) == SF_OK);
    } else {
        struct fab_ep_info info;
        sf_status st = fab_open(fab(a), b, "work", test_work(), &imp);
        if (st == SF_NOTFOUND) {
            sim_expect(sim.faulted);
            return;
        }
        sim_expect(st == SF_OK);
        fab_ep_query(imp, &info);
        chan->ids[CT_EXP] = info.peer_id;
        chan->touched = b == sim.doomed || sim.parted;
        exp = NULL; /* on_opened will hold it */
    }
    chan->ids[CT_IMP] = ep_id(imp);
    hold(imp, a, chan);
    if (exp != NULL) {
        chan->ids[CT_EXP] = ep_id(exp);
        hold(exp, a, chan);
    }
}

static void on_opened(void *arg, uint64_t export_owner, const char *export_name, struct fab_ep *exp)
{
    const struct net_node *node = arg;
    bool work = fab_ep_contract(exp) == test_work();

    (void)export_owner;
    (void)export_name;
    hold(exp, node->id, work ? chan_by_id(ep_id(exp)) : NULL);
}

static void open_carry(uint16_t a, uint16_t b)
{
    struct fab_ep *imp;

    if (fab_open(fab(a), b, "carry", test_carry(), &imp) == SF_OK) {
        hold(imp, a, NULL);
    }
}

/* All that the doomed node holds is gone; it comes back and is introduced again. */
static void restart(void)
{
    for (uint32_t i = sim.held_count; i-- > 0;) {
        if (sim.held[i].node == sim.doomed) {
            unhold(&sim.held[i]);
        }
    }
    sim.faulted = true;
    net_restart(&sim.net, sim.doomed);
    fab(sim.doomed)->events.opened = on_opened;
    net_run(&sim.net, 20 * MS);
    for (uint16_t id = 1; id <= NODES; id++) {
        if (id != sim.doomed) {
            net_introduce(&sim.net, sim.doomed, id);
            open_carry(sim.doomed, id);
        }
    }
}

static void step(uint32_t number);

/* Two nodes do not hear each other, or one does not hear the other; work goes on meanwhile. */
static void partition(void)
{
    uint16_t a = (uint16_t)(1 + net_below(&sim.net, NODES));
    uint16_t b = (uint16_t)(a % NODES + 1);
    uint32_t rounds = 20 + net_below(&sim.net, 80);

    sim.faulted = sim.parted = true;
    for (uint32_t i = 0; i < sim.chan_count; i++) {
        sim.chans[i].touched = true;
    }
    sim.net.cut[a][b] = true;
    sim.net.cut[b][a] = chance(50);
    for (uint32_t i = 0; i < rounds; i++) {
        step(i);
        net_run(&sim.net, 50 * MS);
    }
    sim.net.cut[a][b] = sim.net.cut[b][a] = false;
    for (uint32_t i = 0; i < 20; i++) {
        net_introduce(&sim.net, a, b);
        net_run(&sim.net, 50 * MS);
    }
    sim.parted = false;
    open_carry(a, b);
}

static void step(uint32_t number)
{
    struct held *held;

    if (number % 25 == 0) {
        open_work((uint16_t)(1 + net_below(&sim.net, NODES)),
                  (uint16_t)(1 + net_below(&sim.net, NODES)));
    }
    for (uint32_t i = 0; i < 4 && sim.held_count > 0; i++) {
        held = &sim.held[net_below(&sim.net, sim.held_count)];
        if (held->chan != NULL) {
            work_act(held);
        } else {
            carry_act(held);
        }
    }
    if (chance(3)) {
        uint32_t node = 1 + net_below(&sim.net, NODES);
        sim.net.slow[node] = sim.net.now_ns + net_below(&sim.net, 40 * MS);
    }
    net_run(&sim.net, 100000 + net_below(&sim.net, 2 * MS));
    if (number % 10 == 0) {
        net_audit(&sim.net);
    }
}

/* Receives until nothing moves any more. */
static void settle(void)
{
    for (uint32_t round = 0; round < 12; round++) {
        net_run(&sim.net, 250 * MS);
        for (uint32_t i = sim.held_count; i-- > 0;) {
            struct held *held = &sim.held[i < sim.held_count ? i : sim.held_count - 1];
            if (fab_ep_readable(held->ep)) {
                if (held->chan != NULL) {
                    (void)work_recv(held);
                } else {
                    carry_act(held);
                }
            }
        }
    }
}

static void expect_all_arrived(void)
{
    for (uint32_t i = 0; i < sim.chan_count; i++) {
        const struct chan *chan = &sim.chans[i];
        if (chan->given_up[0] || chan->given_up[1] || sim.faulted || sim.carrier_closed) {
            continue;
        }
        sim_expect(chan->received[0] == chan->sent[0]);
        sim_expect(chan->received[1] == chan->sent[1]);
    }
}

/* A network that loses, repeats or damages frames is no reason for a session to end. */
static void expect_sessions(void)
{
    for (uint16_t id = 1; id <= NODES && !sim.faulted; id++) {
        sim_expect(sim.net.nodes[id].lost_count == 0);
    }
}

/* Whoever has lost its peer has been told. */
static void expect_peers(void)
{
    for (uint32_t i = 0; i < sim.held_count; i++) {
        struct fab_ep_info info;
        bool found = false;
        fab_ep_query(sim.held[i].ep, &info);
        for (uint32_t j = 0; j < sim.held_count && !found; j++) {
            found = sim.held[j].node == info.peer_node && ep_id(sim.held[j].ep) == info.peer_id;
        }
        sim_expect(found);
    }
}

static void expect_nothing_left(void)
{
    while (sim.held_count > 0) {
        fab_ep_close(sim.held[sim.held_count - 1].ep, SF_CAUSE_OF(SHUTDOWN));
        sim.held_count--;
    }
    net_run(&sim.net, 1000 * MS);
    for (uint16_t id = 1; id <= NODES; id++) {
        for (uint32_t i = 0; i < fab(id)->ep_used; i++) {
            if (fab(id)->eps[i].life != FAB__FREE) {
                sim_fail("node %u keeps a record: life %u place %u", id, fab(id)->eps[i].life,
                         fab(id)->eps[i].place);
            }
        }
        sim_expect(net_block_count(&sim.net, id) == 0);
    }
}

static void run(enum kind kind, uint64_t seed)
{
    uint64_t messages = sim.messages;
    uint64_t moves = sim.moves;
    uint64_t closures = sim.closures;

    memset(&sim, 0, sizeof(sim));
    sim.kind = kind;
    sim.seed = seed;
    sim.messages = messages;
    sim.moves = moves;
    sim.closures = closures;
    sim.doomed = kind == NODE_RESTARTS ? (uint16_t)(1 + seed % NODES) : 0;
    net_sealed = seed % 2 == 0;
    net_read_bytes_min = seed % 4 == 1 ? 100 : 0;
    net_make(&sim.net, NODES, seed);
    sim.net.loss_percent = sim.net.duplicate_percent = sim.net.reorder_percent = 10;
    sim.net.damage_percent = net_sealed ? 5 : 0;
    sim.net.read_fail_percent = 10;
    for (uint16_t a = 1; a <= NODES; a++) {
        fab(a)->events.opened = on_opened;
    }
    for (uint16_t a = 1; a <= NODES; a++) {
        open_carry(a, (uint16_t)(a % NODES + 1));
        open_work(a, a);
        open_work(a, (uint16_t)(a % NODES + 1));
    }
    for (uint32_t i = 0; i < STEPS; i++) {
        if (sim.kind == NODE_RESTARTS && i == STEPS / 2) {
            restart();
        } else if (sim.kind == PARTITIONS && i == STEPS / 2) {
            partition();
        }
        step(i);
    }
    sim.net.loss_percent = sim.net.duplicate_percent = sim.net.reorder_percent = 0;
    sim.net.damage_percent = 0;
    settle();
    net_audit(&sim.net);
    expect_all_arrived();
    expect_sessions();
    expect_peers();
    expect_nothing_left();
    net_end(&sim.net);
}

static void runs(enum kind kind)
{
    sim.messages = sim.moves = sim.closures = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run(kind, seed);
    }
    print_message("# %u seeds: %llu messages, %llu moves, %llu closures\n", SEEDS,
                  (unsigned long long)sim.messages, (unsigned long long)sim.moves,
                  (unsigned long long)sim.closures);
    assert_true(sim.messages > SEEDS * 20);
    assert_true(sim.moves > SEEDS * 5);
    assert_true(sim.closures > SEEDS);
}

static void talk_move_and_close_under_loss(void **state)
{
    (void)state;
    runs(QUIET_CARRIERS);
}

static void carriers_close_with_endpoints_on_their_way(void **state)
{
    (void)state;
    runs(CARRIERS_CLOSE);
}

static void a_node_boots_again_in_the_middle(void **state)
{
    (void)state;
    runs(NODE_RESTARTS);
}

static void a_partition_heals(void **state)
{
    (void)state;
    runs(PARTITIONS);
}

static int repeat_kind;
static uint64_t repeat_seed;

static void repeat(void **state)
{
    (void)state;
    run((enum kind)repeat_kind, repeat_seed);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(talk_move_and_close_under_loss),
        cmocka_unit_test(carriers_close_with_endpoints_on_their_way),
        cmocka_unit_test(a_node_boots_again_in_the_middle),
        cmocka_unit_test(a_partition_heals),
    };
    const struct CMUnitTest one[] = {cmocka_unit_test(repeat)};

    if (argc == 3) {
        repeat_kind = atoi(argv[1]);
        repeat_seed = strtoull(argv[2], NULL, 10);
        return cmocka_run_group_tests_name("sim", one, NULL, NULL);
    }
    return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
