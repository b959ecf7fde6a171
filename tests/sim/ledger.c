/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger.h"

#include <stdlib.h>
#include <string.h>

#include "trace.h"

void ledger_init(struct ledger *ledger, uint32_t chan_max, const struct cell *cell)
{
    uint32_t slots = 64;

    while (slots < chan_max * 4) {
        slots *= 2;
    }
    *ledger = (struct ledger){.chan_max = chan_max, .index_mask = slots - 1, .cell = cell};
    ledger->chans = sim_alloc(chan_max, sizeof(*ledger->chans));
    ledger->index = sim_alloc(slots, sizeof(*ledger->index));
}

void ledger_fini(struct ledger *ledger)
{
    free(ledger->index);
    free(ledger->chans);
}

/* --- which channel -------------------------------------------------------------------------- */

static uint32_t *index_slot(const struct ledger *ledger, uint64_t id)
{
    uint32_t at = (uint32_t)rng_mix(id) & ledger->index_mask;

    for (;; at = (at + 1) & ledger->index_mask) {
        uint32_t entry = ledger->index[at];
        if (entry == 0 || ledger->chans[(entry - 1) / 2].ends[(entry - 1) % 2].id == id) {
            return &ledger->index[at];
        }
    }
}

struct ledger_chan *ledger_find(const struct ledger *ledger, uint64_t end_id, uint8_t *out_side)
{
    uint32_t entry = *index_slot(ledger, end_id);

    if (entry == 0) {
        return NULL;
    }
    *out_side = (uint8_t)((entry - 1) % 2);
    return &ledger->chans[(entry - 1) / 2];
}

static void id_add(struct ledger *ledger, struct ledger_chan *chan, uint8_t side, uint64_t id)
{
    uint32_t *slot = index_slot(ledger, id);

    if (*slot != 0) {
        sim_fail("endpoint id %llx is used twice", (unsigned long long)id);
    }
    chan->ends[side].id = id;
    *slot = 1 + (uint32_t)(chan - ledger->chans) * 2 + side;
}

/* --- which nodes ---------------------------------------------------------------------------- */

static bool visited(const struct ledger_chan *chan, uint16_t node)
{
    return (chan->visited[node / 64] >> node % 64 & 1u) != 0;
}

static void visit(const struct ledger *ledger, struct ledger_chan *chan, uint16_t node)
{
    if (visited(chan, node)) {
        return;
    }
    for (uint16_t other = 1; other <= ledger->cell->options.node_count; other++) {
        if (visited(chan, other)) {
            chan->touched = chan->touched || cell_pair_bad(ledger->cell, node, other);
        }
    }
    chan->visited[node / 64] |= 1ull << node % 64;
    chan->tainted = chan->tainted || (ledger->bad_a != 0 && visited(chan, ledger->bad_a) &&
                                      visited(chan, ledger->bad_b));
}

void ledger_pair_broken(struct ledger *ledger, uint16_t a, uint16_t b)
{
    for (uint32_t i = 0; i < ledger->chan_count; i++) {
        struct ledger_chan *chan = &ledger->chans[i];
        chan->touched = chan->touched || (visited(chan, a) && visited(chan, b));
    }
}

/* --- life of an end ------------------------------------------------------------------------- */

struct ledger_chan *ledger_open(struct ledger *ledger, bool carrier, uint64_t imp_id,
                                uint64_t exp_id, uint16_t a, uint16_t b)
{
    struct ledger_chan *chan = &ledger->chans[ledger->chan_count];

    sim_expect(ledger->chan_count < ledger->chan_max);
    *chan = (struct ledger_chan){.serial = ++ledger->chan_count, .carrier = carrier};
    id_add(ledger, chan, CT_IMP, imp_id);
    id_add(ledger, chan, CT_EXP, exp_id);
    visit(ledger, chan, b);
    visit(ledger, chan, a);
    return chan;
}

bool ledger_expected(const struct ledger_chan *chan, uint8_t side,
                     const struct ledger_chan *carrier)
{
    const struct ledger_end *end = &chan->ends[side];

    return carrier == NULL ? end->place == LEDGER_COMING
                           : end->place == LEDGER_TRAVELS && end->carrier == carrier;
}

void ledger_held(struct ledger *ledger, struct ledger_chan *chan, uint8_t side, uint16_t node,
                 const struct ledger_chan *carrier)
{
    struct ledger_end *end = &chan->ends[side];

    if (!ledger_expected(chan, side, carrier)) {
        sim_fail("channel %u side %u arrives at node %u, but it is in place %d", chan->serial, side,
                 node, end->place);
    }
    ledger->moves += end->place == LEDGER_TRAVELS;
    end->place = LEDGER_HELD;
    end->carrier = NULL;
    end->node = node;
    visit(ledger, chan, node);
}

/* Is there anybody who can take something out of the messages of that side? */
static bool taker_gone(const struct ledger_chan *carrier, uint8_t side)
{
    enum ledger_place place = carrier->ends[!side].place;

    return place != LEDGER_HELD && place != LEDGER_COMING;
}

static struct sf_cause taker_cause(const struct ledger_chan *carrier, uint8_t side)
{
    return carrier->ends[!side].place == LEDGER_NEVER ? SF_CAUSE_OF(NO_EXPORTER)
                                                      : carrier->ends[!side].cause;
}

void ledger_travels(struct ledger *ledger, struct ledger_chan *chan, uint8_t side,
                    struct ledger_chan *carrier, uint8_t carrier_side, uint16_t to)
{
    struct ledger_end *end = &chan->ends[side];

    visit(ledger, chan, to);
    end->place = LEDGER_TRAVELS;
    end->carrier = carrier;
    end->carrier_side = carrier_side;
    if (taker_gone(carrier, carrier_side)) {
        end->place = LEDGER_DROPPED;
        end->cause = taker_cause(carrier, carrier_side);
    }
    /* A carrier that may lose messages may lose what is in them. */
    chan->touched = chan->touched || carrier->touched;
    chan->tainted = chan->tainted || carrier->tainted;
}

/* Nobody takes anything out of the messages to that side any more. */
static void travellers_drop(struct ledger *ledger, const struct ledger_chan *carrier, uint8_t side,
                            struct sf_cause cause)
{
    for (uint32_t i = 0; carrier->carrier && i < ledger->chan_count; i++) {
        for (uint8_t s = 0; s < 2; s++) {
            struct ledger_end *end = &ledger->chans[i].ends[s];
            if (end->place == LEDGER_TRAVELS && end->carrier == carrier &&
                end->carrier_side != side) {
                end->place = LEDGER_DROPPED;
                end->cause = cause;
                ledger->chans[i].touched = ledger->chans[i].touched || carrier->touched;
            }
        }
    }
}

void ledger_given_up(struct ledger *ledger, struct ledger_chan *chan, uint8_t side,
                     struct sf_cause cause)
{
    chan->ends[side].place = LEDGER_GIVEN_UP;
    chan->ends[side].cause = cause;
    travellers_drop(ledger, chan, side, cause);
}

void ledger_vanished(struct ledger *ledger, struct ledger_chan *chan, uint8_t side)
{
    chan->ends[side].place = LEDGER_VANISHED;
    chan->ends[side].cause = SF_CAUSE_OF(NODE_LOST);
    travellers_drop(ledger, chan, side, SF_CAUSE_OF(NODE_LOST));
}

/* --- messages ------------------------------------------------------------------------------- */

uint64_t ledger_value(const struct ledger_chan *chan, uint8_t side, uint32_t number)
{
    return (uint64_t)chan->serial << 32 | (uint64_t)side << 31 | number;
}

void ledger_received(struct ledger *ledger, struct ledger_chan *chan, uint8_t side, uint64_t value)
{
    struct ledger_end *from = &chan->ends[!side];
    uint64_t wanted = ledger_value(chan, !side, from->received);

    if (!chan->tainted && (value != wanted || from->received >= from->sent)) {
        sim_fail("channel %u side %u receives %llx instead of %llx, of %u sent", chan->serial, side,
                 (unsigned long long)value, (unsigned long long)wanted, from->sent);
    }
    from->received++;
    ledger->messages++;
}

static bool same_cause(struct sf_cause a, struct sf_cause b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

/* Does what became of the other end explain the cause? */
static bool end_explains(const struct ledger_end *end, struct sf_cause cause)
{
    switch (end->place) {
    case LEDGER_GIVEN_UP:
        return same_cause(cause, end->cause);
    case LEDGER_DROPPED:
        return same_cause(cause, end->cause) || same_cause(cause, SF_CAUSE_OF(CLOSED_BY_PEER));
    case LEDGER_NEVER:
        return same_cause(cause, SF_CAUSE_OF(NO_EXPORTER));
    default:
        return false;
    }
}

/* May a fault have closed it, or an end in a message that a fault has closed? */
static bool fault_explains(const struct ledger_chan *chan, const struct ledger_end *other,
                           struct sf_cause cause)
{
    bool lost = cause.kind == SF_CAUSE_NODE_LOST || cause.kind == SF_CAUSE_LINK_LOST;

    return chan->touched &&
           (lost || (other->place == LEDGER_TRAVELS && cause.kind == SF_CAUSE_CLOSED_BY_PEER));
}

void ledger_closed(struct ledger *ledger, const struct ledger_chan *chan, uint8_t side,
                   struct sf_cause cause)
{
    const struct ledger_end *other = &chan->ends[!side];
    bool explained = end_explains(other, cause);
    char text[80];

    ledger->closures++;
    ledger->unexported += cause.kind == SF_CAUSE_NO_EXPORTER;
    if (chan->tainted || fault_explains(chan, other, cause) ||
        (ledger->scarce && cause.kind == SF_CAUSE_QUOTA)) {
        return;
    }
    if (!explained) {
        sim_fail("channel %u closes for side %u: %s; the other end is in place %d", chan->serial,
                 side, sf_cause_format(cause, text, sizeof(text)), other->place);
    }
    if (!chan->touched && !ledger->scarce && other->received != other->sent) {
        sim_fail("channel %u closes for side %u after %u of %u messages", chan->serial, side,
                 other->received, other->sent);
    }
}

/* --- at rest -------------------------------------------------------------------------------- */

static bool is_there(const struct ledger_end *end)
{
    return end->place == LEDGER_HELD;
}

void ledger_at_rest(const struct ledger *ledger)
{
    for (uint32_t i = 0; i < ledger->chan_count; i++) {
        const struct ledger_chan *chan = &ledger->chans[i];
        const struct ledger_end *imp = &chan->ends[CT_IMP];
        const struct ledger_end *exp = &chan->ends[CT_EXP];
        if (chan->tainted) {
            continue;
        }
        for (uint8_t side = 0; side < 2; side++) {
            if (is_there(&chan->ends[side]) && !is_there(&chan->ends[!side])) {
                sim_fail("channel %u side %u was never told that the other end is gone (place %d)",
                         chan->serial, side, chan->ends[!side].place);
            }
            if (chan->ends[side].place == LEDGER_TRAVELS && !chan->touched && !ledger->scarce) {
                sim_fail("channel %u side %u travels for ever", chan->serial, side);
            }
        }
        if (is_there(imp) && is_there(exp) &&
            (imp->sent != imp->received || exp->sent != exp->received)) {
            sim_fail("channel %u is open, but %u of %u and %u of %u messages have arrived",
                     chan->serial, imp->received, imp->sent, exp->received, exp->sent);
        }
    }
}
