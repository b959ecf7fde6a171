/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <stdlib.h>
#include <string.h>

#include "test_contracts.h"
#include "trace.h"

#define MS 1000000ull
#define SMALL_BYTES_MAX 3000u
#define MIDDLE_BYTES_MAX 40000u

void load_init(struct load *load, struct cell *cell, struct ledger *ledger,
               const struct load_options *options, uint64_t seed)
{
    *load = (struct load){
        .cell = cell,
        .ledger = ledger,
        .options = *options,
        .rng = {rng_mix(seed ^ 0x6c6f6164ull)},
        .holder_max = ledger->chan_max * 2 + 64,
    };
    load->holders = sim_alloc(load->holder_max, sizeof(*load->holders));
    load->pockets = sim_alloc(cell->options.node_count + 1ull, sizeof(*load->pockets));
}

void load_fini(struct load *load)
{
    free(load->holders);
    free(load->pockets);
}

/* --- holders -------------------------------------------------------------------------------- */

/*
 * An end is there. carrier: the channel in whose message it came; NULL: by opening. What comes over
 * a bad cable may have any id, also that of an end which is somewhere else: it is held all the
 * same, but the ledger does not hear of it.
 */
static void hold(struct load *load, struct fab_ep *ep, uint16_t node,
                 const struct ledger_chan *carrier)
{
    struct load_holder holder = {.ep = ep, .node = node};
    struct fab_ep_info info;

    fab_ep_query(ep, &info);
    holder.chan = ledger_find(load->ledger, info.id, &holder.side);
    if (load->ledger->bad_a != 0 && (holder.chan == NULL || holder.side != info.side ||
                                     !ledger_expected(holder.chan, holder.side, carrier))) {
        load->wild++;
        holder.chan = NULL;
    } else if (holder.chan == NULL || holder.side != info.side) {
        sim_fail("node %u is given end %llx of side %d, which nobody made", node,
                 (unsigned long long)info.id, (int)info.side);
    } else {
        ledger_held(load->ledger, holder.chan, holder.side, node, carrier);
    }
    sim_expect(load->holder_count < load->holder_max);
    load->holders[load->holder_count++] = holder;
}

static void unhold(struct load *load, struct load_holder *holder)
{
    *holder = load->holders[--load->holder_count];
}

static void give_up(struct load *load, struct load_holder *holder, struct sf_cause cause)
{
    uint16_t node = holder->node;

    if (holder->chan != NULL) {
        trace_note("node %llu gives up channel %llu side %llu: cause %llu", node,
                   holder->chan->serial, holder->side, cause.kind);
        ledger_given_up(load->ledger, holder->chan, holder->side, cause);
    }
    fab_ep_close(holder->ep, cause);
    unhold(load, holder);
    cell_wake(load->cell, node);
}

void load_opened(void *arg, uint16_t node, struct fab_ep *ep)
{
    struct load *load = arg;

    hold(load, ep, node, NULL);
}

/* --- blocks --------------------------------------------------------------------------------- */

static uint8_t byte_of(uint64_t value, uint32_t at)
{
    return (uint8_t)(rng_mix(value + at / 8) >> at % 8 * 8);
}

static void block_fill(struct xh_block *block, uint64_t value)
{
    uint32_t at = 8;

    memcpy(block->data, &value, 8);
    for (; at + 8 <= block->bytes; at += 8) {
        uint64_t word = rng_mix(value + at / 8);
        memcpy(block->data + at, &word, 8);
    }
    for (; at < block->bytes; at++) {
        block->data[at] = byte_of(value, at);
    }
}

/* The value in a block's first bytes; fails if the others do not follow from it. */
static uint64_t block_check(const struct xh_block *block, bool tainted)
{
    uint64_t value = 0;
    uint32_t at = 8;
    bool same = true;

    if (block->bytes < 8) {
        sim_expect(tainted);
        return 0;
    }
    memcpy(&value, block->data, 8);
    for (; at + 8 <= block->bytes; at += 8) {
        uint64_t word = rng_mix(value + at / 8);
        same = same && memcmp(block->data + at, &word, 8) == 0;
    }
    for (; at < block->bytes; at++) {
        same = same && block->data[at] == byte_of(value, at);
    }
    if (!same && !tainted) {
        sim_fail("a block of %u bytes with value %llx has wrong bytes", block->bytes,
                 (unsigned long long)value);
    }
    return value;
}

static uint32_t block_bytes(struct load *load)
{
    if (rng_chance(&load->rng, load->options.large)) {
        return (uint32_t)rng_between(&load->rng, 8, load->options.large_bytes);
    }
    return (uint32_t)rng_between(&load->rng, 8,
                                 rng_chance(&load->rng, 50) ? MIDDLE_BYTES_MAX : SMALL_BYTES_MAX);
}

/* From the node's pocket or the heap; NULL: the heap is full. */
static struct xh_block *block_make(struct load *load, uint16_t node, uint64_t value)
{
    struct load_pocket *pocket = &load->pockets[node];
    struct xh_block *block = NULL;
    uint32_t bytes = block_bytes(load);
    sf_status st;

    if (pocket->count > 0 && rng_chance(&load->rng, 500)) {
        block = pocket->blocks[--pocket->count];
    } else {
        st = xh_alloc(load->cell->nodes[node].heap, bytes, CELL_OWNER, &block);
        if (st != SF_OK) {
            sim_expect(st == SF_NOMEM && load->ledger->scarce);
            return NULL;
        }
    }
    block_fill(block, value);
    load->blocks++;
    load->block_bytes += block->bytes;
    return block;
}

static void block_done(struct load *load, uint16_t node, struct xh_block *block)
{
    struct load_pocket *pocket = &load->pockets[node];

    if (pocket->count < LOAD_POCKET_BLOCKS && block->bytes >= 8 && rng_chance(&load->rng, 200)) {
        sim_expect(block->owner == CELL_OWNER);
        pocket->blocks[pocket->count++] = block;
        return;
    }
    sim_expect(xh_free(load->cell->nodes[node].heap, block, CELL_OWNER) == SF_OK);
}

void load_pocket_empty(struct load *load, uint16_t node)
{
    struct load_pocket *pocket = &load->pockets[node];

    while (pocket->count > 0) {
        sim_expect(xh_free(load->cell->nodes[node].heap, pocket->blocks[--pocket->count],
                           CELL_OWNER) == SF_OK);
    }
}

/* --- Work channels -------------------------------------------------------------------------- */

/* A message that this state allows. */
static uint8_t work_tag(struct load *load, const struct load_holder *holder)
{
    uint64_t dice = rng_below(&load->rng, 100);

    if (holder->side == CT_EXP) {
        return dice < 40 ? WORK_GIVE : WORK_ANSWER;
    }
    switch (fab_ep_state(holder->ep)) {
    case WORK_START:
        return dice < 40 ? WORK_BYTES : dice < 60 ? WORK_BURST : WORK_ASK;
    case WORK_BURST2:
        return dice < 3 ? WORK_END : WORK_BURST;
    default:
        return WORK_BURST;
    }
}

/* Of 32-bit words, and optional. */
static void second_make(struct load *load, uint16_t node, uint64_t value, struct fab_msg *msg)
{
    struct xh_block *block = block_make(load, node, value);

    if (block != NULL) {
        sim_expect(xh_trim(load->cell->nodes[node].heap, block, block->bytes & ~3u) == SF_OK);
        msg->args[1].block = block;
    }
}

/* False: there is no memory for its block. */
static bool work_make(struct load *load, const struct load_holder *holder, uint8_t tag,
                      uint64_t value, struct fab_msg *msg)
{
    static const uint8_t arg_counts[WORK_MESSAGES] = {
        [WORK_ASK] = 4, [WORK_BYTES] = 2,  [WORK_BURST] = 1,
        [WORK_END] = 0, [WORK_ANSWER] = 1, [WORK_GIVE] = 2,
    };
    uint32_t block_arg = tag == WORK_GIVE;

    *msg = (struct fab_msg){.tag = tag, .arg_count = arg_counts[tag]};
    msg->args[0].scalar = value;
    if (tag == WORK_ASK) {
        msg->args[1].scalar = (uint32_t)value;
        msg->args[2].scalar = (uint64_t)(int64_t)(int8_t)value;
        msg->args[3].scalar = value & 1u;
    } else if (tag == WORK_BYTES || tag == WORK_GIVE) {
        msg->args[block_arg].block = block_make(load, holder->node, value);
        if (tag == WORK_BYTES && msg->args[0].block != NULL && rng_chance(&load->rng, 300)) {
            second_make(load, holder->node, value, msg);
        }
        return msg->args[block_arg].block != NULL;
    }
    return true;
}

static void work_send(struct load *load, struct load_holder *holder)
{
    struct ledger_end *end = &holder->chan->ends[holder->side];
    uint64_t value = ledger_value(holder->chan, holder->side, end->sent);
    struct fab_msg msg;
    sf_status st;

    if (!work_make(load, holder, work_tag(load, holder), value, &msg)) {
        return;
    }
    st = fab_ep_send(holder->ep, &msg, CELL_OWNER);
    if (st != SF_OK) {
        sim_fail("channel %u side %u may not send message %u: %s", holder->chan->serial,
                 holder->side, msg.tag, sf_status_name(st));
    }
    end->sent++;
    cell_wake(load->cell, holder->node);
}

static void work_take(struct load *load, const struct load_holder *holder,
                      const struct fab_msg *msg)
{
    bool tainted = holder->chan == NULL || holder->chan->tainted;
    struct xh_block *block = NULL;
    uint64_t value = msg->args[0].scalar;

    switch (msg->tag) {
    case WORK_END: /* no content, and the last one */
        value = tainted ? 0
                        : ledger_value(holder->chan, !holder->side,
                                       holder->chan->ends[!holder->side].received);
        break;
    case WORK_ASK:
        sim_expect(tainted || (msg->args[1].scalar == (uint32_t)value &&
                               msg->args[2].scalar == (uint64_t)(int64_t)(int8_t)value &&
                               msg->args[3].scalar == (value & 1u)));
        break;
    case WORK_BYTES:
        block = msg->args[0].block;
        value = block_check(block, tainted);
        break;
    case WORK_GIVE:
        block = msg->args[1].block;
        sim_expect(block_check(block, tainted) == value || tainted);
        break;
    default:
        break;
    }
    if (msg->tag == WORK_BYTES && msg->args[1].block != NULL) {
        sim_expect(block_check(msg->args[1].block, tainted) == value || tainted);
        block_done(load, holder->node, msg->args[1].block);
    }
    if (holder->chan != NULL) {
        ledger_received(load->ledger, holder->chan, holder->side, value);
    }
    if (block != NULL) {
        block_done(load, holder->node, block);
    }
}

/* --- Carry channels ------------------------------------------------------------------------- */

/* Some Work end of this node that may travel now, or NULL. */
static struct load_holder *traveller_find(struct load *load, uint16_t node)
{
    uint32_t from = (uint32_t)rng_below(&load->rng, load->holder_count);

    for (uint32_t i = 0; i < load->holder_count; i++) {
        struct load_holder *holder = &load->holders[(from + i) % load->holder_count];
        struct fab_ep_info info;
        if (holder->node != node || holder->chan == NULL || holder->chan->carrier) {
            continue;
        }
        fab_ep_query(holder->ep, &info);
        if (info.queued == 0 && !fab_ep_readable(holder->ep) &&
            (info.side == CT_IMP ? info.state == WORK_START || info.state == WORK_BURST1
                                 : info.state == WORK_ASKED)) {
            return holder;
        }
    }
    return NULL;
}

static void carry_send(struct load *load, struct load_holder *holder)
{
    struct ledger_chan *carrier = holder->chan;
    struct ledger_end *end = &carrier->ends[holder->side];
    struct load_holder *traveller =
        rng_chance(&load->rng, 750) ? traveller_find(load, holder->node) : NULL;
    struct fab_msg msg = {.tag = CARRY_PASS};
    struct fab_ep_info info;
    uint16_t node = holder->node;
    sf_status st;

    if (traveller != NULL) {
        bool busy = fab_ep_state(traveller->ep) == WORK_BURST1;
        msg.tag = traveller->side == CT_EXP ? CARRY_TAKE_EXP
                  : busy                    ? CARRY_TAKE_BUSY
                                            : CARRY_TAKE_IMP;
        msg.arg_count = 2;
        msg.args[0].scalar = ledger_value(carrier, holder->side, end->sent);
        msg.args[1].ep = traveller->ep;
        fab_ep_query(holder->ep, &info);
        ledger_travels(load->ledger, traveller->chan, traveller->side, carrier, holder->side,
                       info.peer_node);
        trace_note("channel %llu side %llu travels from node %llu to %llu", traveller->chan->serial,
                   traveller->side, node, info.peer_node);
    }
    st = fab_ep_send(holder->ep, &msg, CELL_OWNER);
    if (st != SF_OK) {
        sim_fail("carrier %u side %u may not send message %u: %s", carrier->serial, holder->side,
                 msg.tag, sf_status_name(st));
    }
    end->sent++;
    if (traveller != NULL) {
        unhold(load, traveller); /* holder may have been moved by this: do not use it */
    }
    cell_wake(load->cell, node);
}

static void carry_take(struct load *load, struct load_holder *holder, const struct fab_msg *msg)
{
    struct ledger_chan *carrier = holder->chan;
    struct fab_msg done = {.tag = CARRY_DONE};
    struct ledger_end *end;
    uint16_t node = holder->node;
    uint64_t value;

    if (carrier == NULL) {
        if (msg->arg_count == 2 && msg->args[1].ep != NULL) {
            hold(load, msg->args[1].ep, node, carrier);
        }
        return;
    }
    end = &carrier->ends[holder->side];
    value = ledger_value(carrier, !holder->side, carrier->ends[!holder->side].received);
    ledger_received(load->ledger, carrier, holder->side,
                    msg->arg_count == 2 ? msg->args[0].scalar : value);
    if (msg->arg_count != 2) {
        return;
    }
    sim_expect(fab_ep_send(holder->ep, &done, CELL_OWNER) == SF_OK);
    end->sent++;
    if (msg->args[1].ep != NULL) {
        hold(load, msg->args[1].ep, node, carrier);
    }
    cell_wake(load->cell, node);
}

/* --- acting --------------------------------------------------------------------------------- */

static bool may_send(const struct load_holder *holder)
{
    const struct ct_state *state = &fab_ep_contract(holder->ep)->states[fab_ep_state(holder->ep)];

    return !state->final && state->sender == holder->side && !fab_ep_readable(holder->ep);
}

/* Answers false if there was nothing to receive. */
static bool receive(struct load *load, struct load_holder *holder)
{
    bool carries = fab_ep_contract(holder->ep) == test_carry();
    struct fab_msg msg;
    sf_status st = fab_ep_recv(holder->ep, &msg, CELL_OWNER);

    if (st == SF_AGAIN) {
        return false;
    }
    if (st == SF_CLOSED) {
        if (holder->chan != NULL) {
            ledger_closed(load->ledger, holder->chan, holder->side, fab_ep_cause(holder->ep));
        }
        give_up(load, holder, SF_CAUSE_OF(CLOSED_BY_PEER));
        return true;
    }
    sim_expect(st == SF_OK);
    if (carries) {
        carry_take(load, holder, &msg);
    } else {
        work_take(load, holder, &msg);
    }
    return true;
}

static struct sf_cause some_cause(struct load *load)
{
    switch (rng_below(&load->rng, 4)) {
    case 0:
        return SF_CAUSE_OF(PEER_EXITED);
    case 1:
        return SF_CAUSE_OF(REVOKED);
    default:
        return (struct sf_cause){.kind = SF_CAUSE_PEER_FAULTED,
                                 .fault = (uint8_t)rng_between(&load->rng, 1, 9)};
    }
}

void load_act(struct load *load)
{
    struct load_holder *holder;

    if (load->holder_count == 0) {
        return;
    }
    holder = &load->holders[rng_below(&load->rng, load->holder_count)];
    if (!cell_acts(load->cell, holder->node) || load->cell->net.now_ns < holder->deaf_ns) {
        return;
    }
    if (rng_chance(&load->rng, load->options.deaf)) {
        holder->deaf_ns = load->cell->net.now_ns + rng_between(&load->rng, 5, 500) * MS;
        return;
    }
    if (holder->chan == NULL) {
        give_up(load, holder, SF_CAUSE_OF(REVOKED));
        return;
    }
    if (receive(load, holder)) {
        return;
    }
    if (rng_chance(&load->rng,
                   holder->chan->carrier ? load->options.carrier_close : load->options.close)) {
        give_up(load, holder, some_cause(load));
    } else if (may_send(holder)) {
        (holder->chan->carrier ? carry_send : work_send)(load, holder);
    }
}

uint32_t load_receive_all(struct load *load)
{
    uint32_t count = 0;

    for (uint32_t i = load->holder_count; i-- > 0;) {
        struct load_holder *holder =
            &load->holders[i < load->holder_count ? i : load->holder_count - 1];
        if (load->holder_count > 0 && cell_acts(load->cell, holder->node)) {
            count += receive(load, holder);
        }
    }
    return count;
}

void load_close_all(struct load *load)
{
    while (load->holder_count > 0) {
        give_up(load, &load->holders[load->holder_count - 1], SF_CAUSE_OF(SHUTDOWN));
    }
    for (uint16_t node = 1; node <= load->cell->options.node_count; node++) {
        load_pocket_empty(load, node);
    }
}

void load_vanish(struct load *load, uint16_t node)
{
    for (uint32_t i = load->holder_count; i-- > 0;) {
        struct load_holder *holder = &load->holders[i];
        if (holder->node == node) {
            if (holder->chan != NULL) {
                ledger_vanished(load->ledger, holder->chan, holder->side);
            }
            unhold(load, holder);
        }
    }
    load_pocket_empty(load, node);
}

/* --- opening -------------------------------------------------------------------------------- */

static void open_local(struct load *load, bool carrier, uint16_t node)
{
    struct fab_ep *imp, *exp;
    struct fab_ep_info info;
    sf_status st = fab_chan_create(cell_fab(load->cell, node), carrier ? test_carry() : test_work(),
                                   0, &imp, &exp);

    if (st != SF_OK) {
        sim_expect(st == SF_LIMIT && load->ledger->scarce);
        return;
    }
    fab_ep_query(imp, &info);
    (void)ledger_open(load->ledger, carrier, info.id, info.peer_id, node, node);
    hold(load, imp, node, NULL);
    hold(load, exp, node, NULL);
}

void load_open(struct load *load, bool carrier, uint16_t a, uint16_t b)
{
    bool missing = rng_chance(&load->rng, load->options.missing);
    const char *name = missing   ? rng_chance(&load->rng, 500) ? "nothing"
                                   : carrier                   ? "work"
                                                               : "carry"
                       : carrier ? "carry"
                                 : "work";
    struct fab_ep_info info;
    struct ledger_chan *chan;
    struct fab_ep *imp;
    sf_status st;

    if (load->ledger->chan_count == load->ledger->chan_max || !cell_acts(load->cell, a)) {
        return;
    }
    if (a == b) {
        open_local(load, carrier, a);
        return;
    }
    st = fab_open(cell_fab(load->cell, a), b, name, carrier ? test_carry() : test_work(), &imp);
    if (st != SF_OK) {
        sim_expect((st == SF_LIMIT && load->ledger->scarce) ||
                   (st == SF_NOTFOUND && cell_pair_bad(load->cell, a, b)));
        return;
    }
    fab_ep_query(imp, &info);
    chan = ledger_open(load->ledger, carrier, info.id, info.peer_id, a, b);
    if (missing) {
        chan->ends[CT_EXP].place = LEDGER_NEVER;
    }
    trace_note("channel %llu is opened from node %llu to %llu, missing %llu", chan->serial, a, b,
               missing);
    hold(load, imp, a, NULL);
    cell_wake(load->cell, a);
}
