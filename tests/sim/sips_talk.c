/* SPDX-License-Identifier: Apache-2.0 */
/* What SIPs that move say to each other, and that it is right. */
#include <string.h>

#include "sips_inner.h"
#include "test_contracts.h"
#include "trace.h"

static void note(struct sip_copy *copy, uint64_t what)
{
    copy->memory.acts++;
    copy->memory.check = rng_mix(copy->memory.check ^ what);
}

static uint64_t value_of(uint32_t chan, uint8_t side, uint32_t number)
{
    return rng_mix((uint64_t)chan << 33 | (uint64_t)side << 32 | number);
}

static struct xh_block *block_make(struct world *world, uint16_t node, uint64_t value)
{
    uint32_t bytes = 8 + (uint32_t)(value % 16 == 0 ? value % 30000 : value % 300);
    struct xh_block *block;

    sim_expect(xh_alloc(world->cell.nodes[node].heap, bytes, CELL_OWNER, &block) == SF_OK);
    memset(block->data, (int)(value >> 8), bytes);
    memcpy(block->data, &value, 8);
    return block;
}

static uint64_t block_take(struct world *world, uint16_t node, struct xh_block *block)
{
    uint64_t value;

    memcpy(&value, block->data, 8);
    sim_expect(block->bytes == 8 + (value % 16 == 0 ? value % 30000 : value % 300));
    for (uint32_t i = 8; i < block->bytes; i++) {
        sim_expect(block->data[i] == (uint8_t)(value >> 8));
    }
    sim_expect(xh_free(world->cell.nodes[node].heap, block, CELL_OWNER) == SF_OK);
    return value;
}

void sips_give_up(struct world *world, struct sip_copy *copy, struct sip_handle *handle,
                  struct sf_cause cause)
{
    struct fab_ep *ep = sips_ep(world, copy, handle);

    sim_expect(ep != NULL);
    world->chans[handle->chan].given_up = true;
    trace_note("channel %llu: side %llu is given up at node %llu", handle->chan, handle->side,
               copy->node, 0);
    fab_ep_close(ep, cause);
    sips_handle_remove(copy, handle);
    cell_wake(&world->cell, copy->node);
}

/* A Work end that can travel now: an importer in Start with nothing in it. */
static struct sip_handle *traveller(struct world *world, struct sip_copy *copy)
{
    for (uint32_t i = 0; i < copy->memory.handle_count; i++) {
        struct sip_handle *handle = &copy->memory.handles[i];
        const struct fab_ep *ep = sips_ep(world, copy, handle);
        if (!handle->carrier && !handle->closed && handle->side == CT_IMP && ep != NULL &&
            fab_ep_state(ep) == WORK_START && !fab_ep_readable(ep) && handle->sent > 0 &&
            rng_chance(&world->rng, 500)) {
            return handle;
        }
    }
    return NULL;
}

static void carry_send(struct world *world, struct sip_copy *copy, struct sip_handle *handle,
                       struct fab_ep *ep)
{
    struct sip_handle *travels = traveller(world, copy);
    struct fab_msg msg = {.tag = CARRY_PASS};
    uint8_t state = fab_ep_state(ep);
    uint32_t chan;

    if (state == CARRY_LEFT_TOLD || state == CARRY_RIGHT_TOLD) {
        msg.tag = CARRY_DONE;
    } else if (travels != NULL) {
        chan = travels->chan;
        msg.tag = CARRY_TAKE_IMP;
        msg.arg_count = 2;
        msg.args[0].scalar = (uint64_t)(travels->sent & 0xffffffu) |
                             (uint64_t)(travels->received & 0xffffffu) << 24 |
                             (uint64_t)(handle->sent & 0xffffu) << 48;
        msg.args[1].ep = sips_ep(world, copy, travels);
        for (uint16_t node = 1; node <= world->options.nodes; node++) {
            if (world->chans[handle->chan].visited >> node & 1u) {
                sips_visit(world, chan, node);
            }
        }
        world->chans[chan].touched |= world->chans[handle->chan].touched;
        world->chans[chan].carried = handle->chan + 1;
        trace_note("channel %llu: side %llu travels in channel %llu, from node %llu", chan,
                   travels->side, handle->chan, copy->node);
        sim_expect(fab_ep_send(ep, &msg, CELL_OWNER) == SF_OK);
        handle->sent++;
        note(copy, msg.args[0].scalar);
        world->travels++;
        sips_handle_remove(copy, travels);
        return;
    }
    sim_expect(fab_ep_send(ep, &msg, CELL_OWNER) == SF_OK);
    handle->sent++;
    note(copy, msg.tag);
}

static void work_send(struct world *world, struct sip_copy *copy, struct sip_handle *handle,
                      struct fab_ep *ep)
{
    uint64_t value = value_of(handle->chan, handle->side, handle->sent);
    struct fab_msg msg = {.tag = WORK_BURST, .arg_count = 1};

    if (handle->side == CT_IMP && fab_ep_state(ep) == WORK_START && value % 3 == 0) {
        msg = (struct fab_msg){.tag = WORK_BYTES, .arg_count = 2};
        msg.args[0].block = block_make(world, copy->node, value);
    } else if (handle->side == CT_EXP && value % 3 == 0) {
        msg = (struct fab_msg){.tag = WORK_GIVE, .arg_count = 2};
        msg.args[0].scalar = value;
        msg.args[1].block = block_make(world, copy->node, value);
    } else {
        msg.tag = handle->side == CT_IMP ? WORK_BURST : WORK_ANSWER;
        msg.args[0].scalar = value;
    }
    sim_expect(fab_ep_send(ep, &msg, CELL_OWNER) == SF_OK);
    handle->sent++;
    note(copy, value);
}

uint32_t sips_chan_by_id(const struct world *world, uint64_t id, uint8_t *out_side)
{
    for (uint32_t i = 0; i < world->chan_count; i++) {
        for (uint8_t side = 0; side < 2; side++) {
            if (world->chans[i].ids[side] == id) {
                *out_side = side;
                return i;
            }
        }
    }
    sim_fail("an end that nobody made");
}

static void carry_take(struct world *world, struct sip_copy *copy, struct sip_handle *carrier,
                       const struct fab_msg *msg)
{
    struct fab_ep_info info;
    struct sip_handle *handle;
    uint8_t side;
    uint32_t chan;

    if (msg->tag != CARRY_TAKE_IMP) {
        return;
    }
    sim_expect(msg->args[0].scalar >> 48 == (carrier->received & 0xffffu));
    fab_ep_query(msg->args[1].ep, &info);
    chan = sips_chan_by_id(world, info.id, &side);
    trace_note("channel %llu: side %llu is taken out at node %llu", chan, side, copy->node, 0);
    handle = sips_handle_add(world, copy, chan, side);
    if (handle == NULL) {
        world->chans[chan].given_up = true;
        fab_ep_close(msg->args[1].ep, SF_CAUSE_OF(QUOTA));
        return;
    }
    handle->sent = (uint32_t)(msg->args[0].scalar & 0xffffffu);
    handle->received = (uint32_t)(msg->args[0].scalar >> 24 & 0xffffffu);
}

static void work_take(struct world *world, struct sip_copy *copy, struct sip_handle *handle,
                      const struct fab_msg *msg)
{
    uint64_t value = msg->args[0].scalar;
    uint64_t expected = value_of(handle->chan, (uint8_t)!handle->side, handle->received);

    if (msg->tag == WORK_BYTES) {
        value = block_take(world, copy->node, msg->args[0].block);
    } else if (msg->tag == WORK_GIVE) {
        sim_expect(block_take(world, copy->node, msg->args[1].block) == value);
    }
    if (value != expected) {
        sim_fail("SIP %u on node %u: message %u of channel %u side %u is another one", copy->sip,
                 copy->node, handle->received, handle->chan, !handle->side);
    }
}

/* An end that nobody takes out of its carrier closes with it. */
static bool may_close(const struct world *world, const struct sip_chan *chan)
{
    return chan->given_up || chan->touched ||
           (chan->carried != 0 &&
            (world->chans[chan->carried - 1].given_up || world->chans[chan->carried - 1].touched));
}

/* False: there was nothing. */
bool sips_receive(struct world *world, struct sip_copy *copy, struct sip_handle *handle,
                  struct fab_ep *ep)
{
    const struct sip_chan *chan = &world->chans[handle->chan];
    struct fab_msg msg;
    sf_status st = fab_ep_recv(ep, &msg, CELL_OWNER);
    struct sf_cause cause = fab_ep_cause(ep);
    char text[80];

    if (st == SF_CLOSED) {
        if (!may_close(world, chan)) {
            sim_fail("SIP %u on node %u: channel %u closes without a reason: %s", copy->sip,
                     copy->node, handle->chan, sf_cause_format(cause, text, sizeof(text)));
        }
        handle->closed = true;
        trace_note("channel %llu: side %llu sees at node %llu that it is closed: cause %llu",
                   handle->chan, handle->side, copy->node, cause.kind);
        note(copy, cause.kind);
        return true;
    }
    if (st == SF_AGAIN) {
        return false;
    }
    sim_expect(st == SF_OK);
    note(copy, msg.tag);
    if (handle->carrier) {
        uint32_t chan_serial = handle->chan;
        carry_take(world, copy, handle, &msg);
        sim_expect(handle->chan == chan_serial);
    } else {
        work_take(world, copy, handle, &msg);
    }
    handle->received++;
    world->messages++;
    return true;
}

void sips_act(struct world *world, struct sip_copy *copy)
{
    struct sip_handle *handle;
    const struct ct_state *at;
    struct fab_ep *ep;

    if (copy->memory.handle_count == 0) {
        return;
    }
    handle = &copy->memory.handles[rng_below(&world->rng, copy->memory.handle_count)];
    ep = sips_ep(world, copy, handle);
    if (ep == NULL) {
        sim_fail("SIP %u on node %u has a handle and no endpoint: channel %u side %u", copy->sip,
                 copy->node, handle->chan, handle->side);
    }
    if (handle->closed) {
        if (rng_chance(&world->rng, 100)) {
            sips_give_up(world, copy, handle, SF_CAUSE_OF(CLOSED_BY_PEER));
        }
        return;
    }
    if (sips_receive(world, copy, handle, ep)) {
        cell_wake(&world->cell, copy->node);
        return;
    }
    at = &fab_ep_contract(ep)->states[fab_ep_state(ep)];
    if (world->quiet || at->final || at->sender != handle->side) {
        return;
    }
    if (!handle->carrier && rng_chance(&world->rng, world->options.close)) {
        sips_give_up(world, copy, handle, SF_CAUSE_OF(REVOKED));
        return;
    }
    if (handle->carrier) {
        carry_send(world, copy, handle, ep);
    } else {
        work_send(world, copy, handle, ep);
    }
    cell_wake(&world->cell, copy->node);
}
