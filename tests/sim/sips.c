/* SPDX-License-Identifier: Apache-2.0 */
#include "sips.h"

#include <stdlib.h>
#include <string.h>

#include "sip_move.h"
#include "test_contracts.h"
#include "trace.h"

#define MS 1000000ull
#define LETTER_NS (300 * 1000ull)
#define DETECT_NS (1000 * MS)
#define BOOT_NS (1500 * MS)
#define RETRY_NS (8 * MS)
#define REST_NS (30000 * MS)

/* --- pipes' contract ------------------------------------------------------------------------ */

enum { PIPE_SAY, PIPE_IMAGE, PIPE_OK, PIPE_MESSAGES };
enum { PIPE_IDLE, PIPE_BUSY, PIPE_STATES };

static uint8_t pipe_next[2][PIPE_STATES][PIPE_MESSAGES];

static const struct ct_contract *pipe_contract(void)
{
    static const struct ct_message messages[PIPE_MESSAGES] = {
        [PIPE_SAY] = {"Say",
                      CT_DIR_IN,
                      1,
                      {{.name = "block", .kind = CT_ARG_BLOCK, .element = CT_ARG_UINT8}}},
        [PIPE_IMAGE] = {"Image",
                        CT_DIR_IN,
                        2,
                        {{.name = "move", .kind = CT_ARG_UINT64},
                         {.name = "block", .kind = CT_ARG_BLOCK, .element = CT_ARG_UINT8}}},
        [PIPE_OK] = {"Ok", CT_DIR_OUT, 0},
    };
    static const struct ct_state states[PIPE_STATES] = {
        [PIPE_IDLE] = {"Idle", 0, CT_IMP},
        [PIPE_BUSY] = {"Busy", 0, CT_EXP},
    };
    static struct ct_contract contract = {
        .name = "Pipe",
        .short_id = 0x3333333333333333ull,
        .message_count = PIPE_MESSAGES,
        .state_count = PIPE_STATES,
        .slots = {1, 1},
        .messages = messages,
        .states = states,
        .next = {&pipe_next[0][0][0], &pipe_next[1][0][0]},
    };

    memset(contract.id, 0x33, sizeof(contract.id));
    memset(pipe_next, CT_ILLEGAL, sizeof(pipe_next));
    pipe_next[CT_IMP][PIPE_IDLE][PIPE_SAY] = PIPE_BUSY;
    pipe_next[CT_IMP][PIPE_IDLE][PIPE_IMAGE] = PIPE_BUSY;
    pipe_next[CT_EXP][PIPE_BUSY][PIPE_OK] = PIPE_IDLE;
    return &contract;
}

/* --- small things --------------------------------------------------------------------------- */

static struct fab_node *fab_of(const struct world *world, uint16_t node)
{
    return world->cell.nodes[node].fab;
}

static uint64_t now_of(const struct world *world)
{
    return world->cell.net.now_ns;
}

static struct sip_copy *copy_find(struct world *world, uint32_t sip, uint16_t node)
{
    for (uint32_t i = 0; i < SIPS_COPIES_MAX; i++) {
        struct sip_copy *copy = &world->copies[i];
        if (copy->state != COPY_UNUSED && copy->sip == sip && copy->node == node) {
            return copy;
        }
    }
    return NULL;
}

static struct sip_copy *copy_of_move(struct world *world, uint64_t move, uint16_t node)
{
    for (uint32_t i = 0; i < SIPS_COPIES_MAX; i++) {
        struct sip_copy *copy = &world->copies[i];
        if (copy->state != COPY_UNUSED && copy->move == move && copy->node == node) {
            return copy;
        }
    }
    return NULL;
}

static struct sip_copy *copy_make(struct world *world, uint32_t sip, uint16_t node,
                                  enum copy_state state)
{
    for (uint32_t i = 0; i < SIPS_COPIES_MAX; i++) {
        struct sip_copy *copy = &world->copies[i];
        if (copy->state == COPY_UNUSED) {
            *copy = (struct sip_copy){.state = state, .sip = sip, .node = node};
            copy->memory.sip = sip;
            return copy;
        }
    }
    sim_fail("too many copies");
}

struct sip_copy *world_running(struct world *world, uint32_t sip)
{
    struct sip_copy *found = NULL;

    for (uint32_t i = 0; i < SIPS_COPIES_MAX; i++) {
        struct sip_copy *copy = &world->copies[i];
        if (copy->state == COPY_RUNS && copy->sip == sip) {
            if (found != NULL) {
                sim_fail("SIP %u runs on nodes %u and %u", sip, found->node, copy->node);
            }
            found = copy;
        }
    }
    return found;
}

static struct fab_ep *ep_of(const struct world *world, const struct sip_copy *copy,
                            const struct sip_handle *handle)
{
    /* The holder may do to it what it likes. */
    union {
        const struct fab_ep *is;
        struct fab_ep *becomes;
    } ep = {fab_ep_find(fab_of(world, copy->node), handle->ep_id)};

    return ep.becomes;
}

static void visit(struct world *world, uint32_t chan, uint16_t node)
{
    struct sip_chan *c = &world->chans[chan];

    for (uint16_t other = 1; other <= world->options.nodes; other++) {
        if ((c->visited >> other & 1u) && cell_pair_bad(&world->cell, node, other)) {
            c->touched = true;
        }
    }
    c->visited |= 1u << node;
}

static struct sip_handle *handle_add(struct world *world, struct sip_copy *copy, uint32_t chan,
                                     uint8_t side)
{
    struct sip_handle *handle;

    if (copy->memory.handle_count == SIPS_HANDLES_MAX) {
        return NULL;
    }
    handle = &copy->memory.handles[copy->memory.handle_count++];
    *handle = (struct sip_handle){.ep_id = world->chans[chan].ids[side],
                                  .chan = chan,
                                  .side = side,
                                  .carrier = world->chans[chan].carrier};
    visit(world, chan, copy->node);
    return handle;
}

static void handle_remove(struct sip_copy *copy, struct sip_handle *handle)
{
    *handle = copy->memory.handles[--copy->memory.handle_count];
}

static void note(struct sip_copy *copy, uint64_t what)
{
    copy->memory.acts++;
    copy->memory.check = rng_mix(copy->memory.check ^ what);
}

/* --- what SIPs say to each other ------------------------------------------------------------ */

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

static void give_up(struct world *world, struct sip_copy *copy, struct sip_handle *handle,
                    struct sf_cause cause)
{
    struct fab_ep *ep = ep_of(world, copy, handle);

    sim_expect(ep != NULL);
    world->chans[handle->chan].given_up = true;
    trace_note("channel %llu: side %llu is given up at node %llu", handle->chan, handle->side,
               copy->node, 0);
    fab_ep_close(ep, cause);
    handle_remove(copy, handle);
    cell_wake(&world->cell, copy->node);
}

/* A Work end that can travel now: an importer in Start with nothing in it. */
static struct sip_handle *traveller(struct world *world, struct sip_copy *copy)
{
    for (uint32_t i = 0; i < copy->memory.handle_count; i++) {
        struct sip_handle *handle = &copy->memory.handles[i];
        const struct fab_ep *ep = ep_of(world, copy, handle);
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
        msg.args[1].ep = ep_of(world, copy, travels);
        for (uint16_t node = 1; node <= world->options.nodes; node++) {
            if (world->chans[handle->chan].visited >> node & 1u) {
                visit(world, chan, node);
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
        handle_remove(copy, travels);
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

static uint32_t chan_by_id(const struct world *world, uint64_t id, uint8_t *out_side)
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
    chan = chan_by_id(world, info.id, &side);
    trace_note("channel %llu: side %llu is taken out at node %llu", chan, side, copy->node, 0);
    handle = handle_add(world, copy, chan, side);
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
static bool receive(struct world *world, struct sip_copy *copy, struct sip_handle *handle,
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

static void act(struct world *world, struct sip_copy *copy)
{
    struct sip_handle *handle;
    const struct ct_state *at;
    struct fab_ep *ep;

    if (copy->memory.handle_count == 0) {
        return;
    }
    handle = &copy->memory.handles[rng_below(&world->rng, copy->memory.handle_count)];
    ep = ep_of(world, copy, handle);
    if (ep == NULL) {
        sim_fail("SIP %u on node %u has a handle and no endpoint: channel %u side %u", copy->sip,
                 copy->node, handle->chan, handle->side);
    }
    if (handle->closed) {
        if (rng_chance(&world->rng, 100)) {
            give_up(world, copy, handle, SF_CAUSE_OF(CLOSED_BY_PEER));
        }
        return;
    }
    if (receive(world, copy, handle, ep)) {
        cell_wake(&world->cell, copy->node);
        return;
    }
    at = &fab_ep_contract(ep)->states[fab_ep_state(ep)];
    if (world->quiet || at->final || at->sender != handle->side) {
        return;
    }
    if (!handle->carrier && rng_chance(&world->rng, world->options.close)) {
        give_up(world, copy, handle, SF_CAUSE_OF(REVOKED));
        return;
    }
    if (handle->carrier) {
        carry_send(world, copy, handle, ep);
    } else {
        work_send(world, copy, handle, ep);
    }
    cell_wake(&world->cell, copy->node);
}

/* --- opening -------------------------------------------------------------------------------- */

void world_open(struct world *world, uint32_t from, uint32_t to, bool carrier)
{
    struct sip_copy *a = world_running(world, from);
    struct sip_copy *b = world_running(world, to);
    const struct ct_contract *contract = carrier ? test_carry() : test_work();
    struct sip_chan *chan = &world->chans[world->chan_count];
    struct fab_ep_info info;
    struct fab_ep *imp, *exp;

    if (a == NULL || b == NULL || world->chan_count == SIPS_CHANS_MAX ||
        a->memory.handle_count + 2 > SIPS_HANDLES_MAX ||
        b->memory.handle_count + 2 > SIPS_HANDLES_MAX) {
        return;
    }
    if (a->node == b->node) {
        sim_expect(fab_chan_create(fab_of(world, a->node), contract, 0, &imp, &exp) == SF_OK);
    } else if (fab_open(fab_of(world, a->node), b->node, carrier ? "carry" : "work", contract,
                        &imp) != SF_OK) {
        return;
    }
    fab_ep_query(imp, &info);
    *chan = (struct sip_chan){.ids = {info.id, info.peer_id}, .to_sip = to, .carrier = carrier};
    world->chan_count++;
    (void)handle_add(world, a, world->chan_count - 1, CT_IMP);
    visit(world, world->chan_count - 1, b->node);
    if (a->node == b->node) {
        (void)handle_add(world, b, world->chan_count - 1, CT_EXP);
    }
    cell_wake(&world->cell, a->node);
}

static void refuse_open(struct world *world, uint32_t chan, struct fab_ep *ep)
{
    world->chans[chan].given_up = true;
    world->late++;
    fab_ep_close(ep, SF_CAUSE_OF(NO_EXPORTER));
}

static struct sip_copy *copy_here(struct world *world, uint32_t sip, uint16_t node)
{
    struct sip_copy *copy = copy_find(world, sip, node);

    return copy != NULL && copy->state != COPY_WAITS ? copy : NULL;
}

static void on_opened(void *arg, uint16_t node, struct fab_ep *ep)
{
    struct world *world = arg;
    struct fab_ep_info info;
    struct sip_copy *copy;
    uint32_t chan;
    uint8_t side;

    fab_ep_query(ep, &info);
    if (info.contract == pipe_contract()) {
        uint16_t from = info.peer_node;
        if (world->pipes[from][node].exp != NULL) {
            fab_ep_close(world->pipes[from][node].exp, SF_CAUSE_OF(REVOKED));
        }
        world->pipes[from][node].exp = ep;
        return;
    }
    chan = chan_by_id(world, info.id, &side);
    copy = copy_here(world, world->chans[chan].to_sip, node);
    if (copy == NULL || copy->memory.handle_count == SIPS_HANDLES_MAX ||
        copy->late_count == SIPS_HANDLES_MAX) {
        refuse_open(world, chan, ep);
    } else if (copy->state == COPY_RUNS) {
        (void)handle_add(world, copy, chan, side);
    } else if (!copy->written && copy->cargo != NULL && fab_cargo_add(copy->cargo, ep) == SF_OK) {
        (void)handle_add(world, copy, chan, side);
    } else {
        copy->late[copy->late_count++] = info.id;
    }
}

static void on_lost(void *arg, uint16_t node, uint16_t peer, struct sf_cause cause);

static void on_broken(void *arg, uint16_t a, uint16_t b)
{
    struct world *world = arg;

    for (uint32_t i = 0; i < world->chan_count; i++) {
        struct sip_chan *chan = &world->chans[i];
        chan->touched |= (chan->visited >> a & 1u) && (chan->visited >> b & 1u);
    }
}

/* --- pipes ---------------------------------------------------------------------------------- */

static void pipe_clear(struct sip_pipe *pipe)
{
    while (pipe->first != NULL) {
        struct pipe_message *message = pipe->first;
        pipe->first = message->next;
        free(message);
    }
    pipe->last = NULL;
}

static struct pipe_message *pipe_push(struct world *world, uint16_t from, uint16_t to,
                                      uint64_t move, uint32_t length)
{
    struct sip_pipe *pipe = &world->pipes[from][to];
    struct pipe_message *message = sim_alloc(1, sizeof(*message) + length);

    message->next = NULL;
    message->move = move;
    message->length = length;
    if (pipe->last != NULL) {
        pipe->last->next = message;
    } else {
        pipe->first = message;
    }
    pipe->last = message;
    return message;
}

static void image_take(struct world *world, uint16_t node, uint64_t move, const uint8_t *bytes,
                       uint32_t length)
{
    struct sip_copy *copy = copy_of_move(world, move, node);
    struct sip_memory memory;
    sf_status st;

    if (copy == NULL || copy->state != COPY_WAITS || copy->cargo != NULL) {
        return; /* it was dropped */
    }
    sim_expect(length > sizeof(memory));
    memcpy(&memory, bytes, sizeof(memory));
    st = fab_cargo_read(fab_of(world, node), move, bytes + sizeof(memory), length - sizeof(memory),
                        &copy->cargo);
    if (st == SF_AGAIN) {
        fab_mover_refuse(world->movers[node], move, (uint32_t)st, now_of(world));
        return;
    }
    if (st != SF_OK) {
        sim_fail("an image is not accepted: %s", sf_status_name(st));
    }
    copy->memory = memory;
    fab_mover_received(world->movers[node], move, now_of(world));
}

/* False: nothing came. */
static bool pipe_receive(struct world *world, uint16_t from, uint16_t to)
{
    struct sip_pipe *pipe = &world->pipes[from][to];
    struct fab_msg ok = {.tag = PIPE_OK};
    struct xh_block *block;
    struct fab_msg msg;
    sf_status st;

    if (pipe->exp == NULL) {
        return false;
    }
    st = fab_ep_recv(pipe->exp, &msg, CELL_OWNER);
    if (st == SF_CLOSED) {
        fab_ep_close(pipe->exp, SF_CAUSE_OF(CLOSED_BY_PEER));
        pipe->exp = NULL;
    }
    if (st != SF_OK) {
        return false;
    }
    block = msg.args[msg.tag == PIPE_SAY ? 0 : 1].block;
    if (msg.tag == PIPE_SAY) {
        fab_mover_take(world->movers[to], from, block->data, block->bytes, now_of(world));
    } else {
        image_take(world, to, msg.args[0].scalar, block->data, block->bytes);
    }
    world->eventful = true;
    sim_expect(xh_free(world->cell.nodes[to].heap, block, CELL_OWNER) == SF_OK);
    sim_expect(fab_ep_send(pipe->exp, &ok, CELL_OWNER) == SF_OK);
    cell_wake(&world->cell, to);
    return true;
}

static void pipe_send(struct world *world, uint16_t from, uint16_t to)
{
    struct sip_pipe *pipe = &world->pipes[from][to];
    struct pipe_message *message = pipe->first;
    struct fab_msg msg = {.tag = PIPE_SAY, .arg_count = 1};
    struct xh_block *block;
    struct fab_msg ok;

    if (pipe->imp == NULL) {
        if (fab_open(fab_of(world, from), to, "pipe", pipe_contract(), &pipe->imp) != SF_OK) {
            pipe->imp = NULL;
        }
        return;
    }
    if (fab_ep_recv(pipe->imp, &ok, CELL_OWNER) == SF_CLOSED) {
        fab_ep_close(pipe->imp, SF_CAUSE_OF(CLOSED_BY_PEER));
        pipe->imp = NULL;
        pipe_clear(pipe);
        return;
    }
    if (message == NULL || fab_ep_state(pipe->imp) != PIPE_IDLE) {
        return;
    }
    sim_expect(xh_alloc(world->cell.nodes[from].heap, message->length, CELL_OWNER, &block) ==
               SF_OK);
    memcpy(block->data, message->bytes, message->length);
    if (message->move != 0) {
        msg.tag = PIPE_IMAGE;
        msg.arg_count = 2;
        msg.args[0].scalar = message->move;
    }
    msg.args[msg.arg_count - 1].block = block;
    sim_expect(fab_ep_send(pipe->imp, &msg, CELL_OWNER) == SF_OK);
    cell_wake(&world->cell, from);
    pipe->first = message->next;
    if (pipe->first == NULL) {
        pipe->last = NULL;
    }
    free(message);
}

static void on_lost(void *arg, uint16_t node, uint16_t peer, struct sf_cause cause)
{
    struct world *world = arg;

    (void)cause;
    if (!cell_pair_bad(&world->cell, node, peer)) {
        sim_fail("node %u lost node %u without a reason", node, peer);
    }
    while (pipe_receive(world, peer, node)) {
    }
    if (world->pipes[node][peer].imp != NULL) {
        fab_ep_close(world->pipes[node][peer].imp, SF_CAUSE_OF(CLOSED_BY_PEER));
        world->pipes[node][peer].imp = NULL;
    }
    pipe_clear(&world->pipes[node][peer]);
    fab_mover_session_lost(world->movers[node], peer, now_of(world));
    world->eventful = true;
}

/* --- the controller ------------------------------------------------------------------------- */

static void letter_put(struct world *world, uint16_t from, uint16_t to, const uint8_t *bytes,
                       uint32_t length)
{
    struct letter *letter = &world->letters[world->letter_count];

    if (world->letter_count == LETTERS_MAX) {
        return; /* those may be lost */
    }
    *letter = (struct letter){
        .at_ns = now_of(world) + LETTER_NS, .from = from, .to = to, .length = length};
    memcpy(letter->bytes, bytes, length);
    world->letter_count++;
}

static bool is_alive(void *arg, uint16_t node, uint16_t epoch)
{
    const struct world *world = arg;

    return node <= world->options.nodes && epoch > world->fenced[node];
}

static void letter_deliver(struct world *world, const struct letter *letter)
{
    uint8_t bytes[FAB_MOVE_MESSAGE_BYTES_MAX];
    uint32_t length;
    uint16_t to;

    if (letter->to != FAB_MOVE_CONTROLLER) {
        if (world->cell.nodes[letter->to].up) {
            fab_mover_take(world->movers[letter->to], FAB_MOVE_CONTROLLER, letter->bytes,
                           letter->length, now_of(world));
            world->eventful = true;
        }
        return;
    }
    if (now_of(world) < world->controller_ns) {
        return;
    }
    length =
        fab_move_relay(letter->bytes, letter->length, letter->from, is_alive, world, &to, bytes);
    if (length != 0) {
        letter_put(world, FAB_MOVE_CONTROLLER, to, bytes, length);
        world->eventful = true;
    }
}

static void controller_run(struct world *world)
{
    uint32_t count = world->letter_count;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (now_of(world) >= world->letters[i].at_ns) {
            struct letter letter = world->letters[i];
            world->letters[i].length = 0;
            letter_deliver(world, &letter);
        }
    }
    for (uint32_t i = 0; i < world->letter_count; i++) {
        if (world->letters[i].length != 0) {
            world->letters[kept++] = world->letters[i];
        }
    }
    world->letter_count = kept;
    if (now_of(world) < world->controller_ns) {
        return;
    }
    for (uint16_t node = 1; node <= world->options.nodes; node++) {
        struct cell_node *of = &world->cell.nodes[node];
        if (of->up || now_of(world) < world->crashed_ns[node] + DETECT_NS) {
            continue;
        }
        if (world->fenced[node] != of->epoch) {
            world->fenced[node] = of->epoch;
            for (uint16_t other = 1; other <= world->options.nodes; other++) {
                if (world->cell.nodes[other].up) {
                    fab_mover_node_dead(world->movers[other], node, of->epoch, now_of(world));
                }
            }
            world->eventful = true;
        }
    }
}

void world_controller_down(struct world *world, uint64_t ns)
{
    world->controller_ns = now_of(world) + ns;
    trace_note("the controller is down for %llu ms", ns / MS, 0, 0, 0);
}

/* --- nodes ---------------------------------------------------------------------------------- */

static void node_prepare(struct world *world, uint16_t node)
{
    struct fab_mover_options options = {
        .node_id = node,
        .epoch = world->cell.nodes[node].epoch,
        .fab = fab_of(world, node),
    };

    sim_expect(fab_export_add(fab_of(world, node), "pipe", pipe_contract(), CELL_EXPORT_OWNER) ==
               SF_OK);
    sim_expect(fab_mover_create(&options, &world->movers[node]) == SF_OK);
    world->crashed_ns[node] = 0;
}

/* The node that had the SIP has died. */
static void copy_dies(struct world *world, struct sip_copy *copy)
{
    struct sip_state *sip = &world->sips[copy->sip];

    if (copy->state == COPY_RUNS) {
        sip->fate = SIP_DEAD;
        for (uint32_t i = 0; i < SIPS_COPIES_MAX; i++) {
            const struct sip_copy *other = &world->copies[i];
            if (other->state == COPY_FROZEN && other->sip == copy->sip) {
                sip->fate = SIP_MAY_LIVE; /* if nobody has seen it here */
            }
        }
    } else if (copy->state == COPY_FROZEN && world_running(world, copy->sip) == NULL) {
        /* If COMMIT is on its way, the target has it or has not. */
        sip->fate = sip->committing == copy->move ? SIP_MAY_LIVE : SIP_DEAD;
    }
    sip->wanted_ns = 0;
    copy->state = COPY_UNUSED;
}

void world_crash(struct world *world, uint16_t node)
{
    if (!world->cell.nodes[node].up) {
        return;
    }
    for (uint32_t i = 0; i < SIPS_COPIES_MAX; i++) {
        if (world->copies[i].state != COPY_UNUSED && world->copies[i].node == node) {
            copy_dies(world, &world->copies[i]);
        }
    }
    for (uint16_t other = 1; other <= world->options.nodes; other++) {
        pipe_clear(&world->pipes[node][other]);
        world->pipes[node][other].imp = NULL;
        world->pipes[other][node].exp = NULL;
    }
    fab_mover_destroy(world->movers[node]);
    world->movers[node] = NULL;
    cell_crash(&world->cell, node);
    world->crashed_ns[node] = now_of(world);
}

static void boots(struct world *world)
{
    for (uint16_t node = 1; node <= world->options.nodes; node++) {
        if (!world->cell.nodes[node].up && world->fenced[node] == world->cell.nodes[node].epoch &&
            now_of(world) >= world->crashed_ns[node] + BOOT_NS) {
            cell_boot(&world->cell, node);
            node_prepare(world, node);
        }
    }
}

/* --- moves ---------------------------------------------------------------------------------- */

void world_want(struct world *world, uint32_t sip, uint16_t target)
{
    world->sips[sip].wanted = target;
    world->sips[sip].wanted_ns = now_of(world);
}

bool world_wants(const struct world *world)
{
    for (uint32_t i = 0; i < world->options.sips; i++) {
        if (world->sips[i].wanted_ns != 0) {
            return true;
        }
    }
    return false;
}

static void orders_give(struct world *world)
{
    for (uint32_t i = 0; i < world->options.sips; i++) {
        struct sip_state *sip = &world->sips[i];
        struct sip_copy *copy = world_running(world, i);
        struct fab_move_order order = {.sip = i, .target = sip->wanted, .payload_length = 4};
        struct fab_peer_info info;
        uint64_t move;

        order.payload = (const uint8_t *)&i;
        if (sip->wanted_ns == 0 || now_of(world) < sip->wanted_ns) {
            continue;
        }
        if (copy == NULL && sip->fate == SIP_LIVES) {
            continue; /* it is between two nodes */
        }
        if (copy == NULL || copy->node == sip->wanted) {
            sip->wanted_ns = 0;
            continue;
        }
        if (copy->move != 0) {
            continue;
        }
        if (fab_peer_query(fab_of(world, copy->node), sip->wanted, &info) != SF_OK) {
            sip->wanted_ns = now_of(world) + RETRY_NS;
            continue;
        }
        order.target_epoch = info.epoch;
        if (fab_mover_begin(world->movers[copy->node], &order, now_of(world), &move) == SF_OK) {
            copy->move = move;
            trace_note("SIP %llu is to move from node %llu to node %llu", i, copy->node,
                       sip->wanted, 0);
            world->eventful = true;
        }
    }
}

static void freeze(struct world *world, struct sip_copy *copy, uint16_t target)
{
    sf_status st = SF_OK;

    copy->state = COPY_FROZEN;
    copy->written = false;
    sim_expect(fab_cargo_begin(fab_of(world, copy->node), copy->move, target, &copy->cargo) ==
               SF_OK);
    for (uint32_t i = 0; st == SF_OK && i < copy->memory.handle_count; i++) {
        struct sip_handle *handle = &copy->memory.handles[i];
        struct fab_ep *ep = ep_of(world, copy, handle);
        sim_expect(ep != NULL);
        visit(world, handle->chan, target);
        st = fab_cargo_add(copy->cargo, ep);
    }
    if (st != SF_OK) {
        sim_expect(st == SF_AGAIN);
        fab_mover_fail(world->movers[copy->node], copy->move, FAB_MOVE_CLASH, 0, now_of(world));
    }
}

static void hold_go_on(struct world *world, struct sip_copy *copy)
{
    struct fab_move_witness witnesses[FAB_NODES_MAX];
    uint16_t nodes[FAB_NODES_MAX];
    struct fab_mover *mover = world->movers[copy->node];
    enum fab_cargo_state state = fab_cargo_check(copy->cargo);
    uint32_t count;

    if (state == FAB_CARGO_HOLDING) {
        cell_wake(&world->cell, copy->node);
        return;
    }
    cell_wake(&world->cell, copy->node);
    if (state != FAB_CARGO_HELD) {
        sim_expect(state != FAB_CARGO_LIMIT);
        fab_mover_fail(mover, copy->move,
                       state == FAB_CARGO_CLASH ? FAB_MOVE_CLASH : FAB_MOVE_NO_WAY, 0,
                       now_of(world));
        return;
    }
    count = fab_cargo_witnesses(copy->cargo, nodes);
    for (uint32_t i = 0; i < count; i++) {
        struct fab_peer_info info = {.epoch = world->cell.nodes[copy->node].epoch};
        if (nodes[i] != copy->node &&
            fab_peer_query(fab_of(world, copy->node), nodes[i], &info) != SF_OK) {
            info.epoch = 1; /* gone already */
        }
        witnesses[i] = (struct fab_move_witness){nodes[i], info.epoch};
    }
    fab_mover_held(mover, copy->move, witnesses, count, now_of(world));
}

static void transfer(struct world *world, struct sip_copy *copy, uint16_t target)
{
    uint32_t bytes = (uint32_t)fab_cargo_bytes(copy->cargo);
    struct pipe_message *message =
        pipe_push(world, copy->node, target, copy->move, (uint32_t)sizeof(copy->memory) + bytes);

    for (uint32_t i = 0; i < fab_cargo_count(copy->cargo); i++) {
        struct fab_ep_info info;
        uint8_t side;
        fab_ep_query(fab_cargo_at(copy->cargo, i), &info);
        visit(world, chan_by_id(world, info.id, &side), target);
    }
    copy->written = true;
    memcpy(message->bytes, &copy->memory, sizeof(copy->memory));
    fab_cargo_write(copy->cargo, message->bytes + sizeof(copy->memory));
    world->sips[copy->sip].frozen_check = copy->memory.check;
}

static void late_adopt(struct world *world, struct sip_copy *copy, bool stays)
{
    for (uint32_t i = 0; i < copy->late_count; i++) {
        struct sip_handle find = {.ep_id = copy->late[i]};
        struct fab_ep *ep = ep_of(world, copy, &find);
        uint8_t side;
        uint32_t chan = chan_by_id(world, copy->late[i], &side);
        sim_expect(ep != NULL);
        if (!stays || handle_add(world, copy, chan, side) == NULL) {
            refuse_open(world, chan, ep);
        }
    }
    copy->late_count = 0;
}

static void stay(struct world *world, struct sip_copy *copy, enum fab_move_reason reason)
{
    struct sip_state *sip = &world->sips[copy->sip];

    if (copy->cargo != NULL) {
        fab_cargo_return(copy->cargo);
        copy->cargo = NULL;
    }
    copy->state = COPY_RUNS;
    copy->move = 0;
    late_adopt(world, copy, true);
    if (sip->fate == SIP_MAY_LIVE) {
        sip->fate = SIP_LIVES;
    }
    sim_expect(sip->fate == SIP_LIVES);
    (void)world_running(world, copy->sip); /* the only one */
    sip->aborts++;
    world->aborted++;
    world->unseen += reason == FAB_MOVE_UNSEEN;
    world->not_taken += reason == FAB_MOVE_NOT_TAKEN;
    world->clashes += reason == FAB_MOVE_CLASH;
    if (sip->wanted_ns != 0) {
        sip->wanted_ns = now_of(world) + RETRY_NS + rng_below(&world->rng, RETRY_NS);
    }
}

static void start(struct world *world, struct sip_copy *copy)
{
    struct sip_state *sip = &world->sips[copy->sip];

    sim_expect(copy->state == COPY_WAITS && copy->cargo != NULL);
    sim_expect(sip->committing == copy->move);
    sim_expect(sip->fate != SIP_DEAD);
    sim_expect(copy->memory.check == sip->frozen_check);
    fab_cargo_resume(copy->cargo);
    copy->cargo = NULL;
    copy->state = COPY_RUNS;
    copy->settling = true; /* with `move` */
    sip->fate = SIP_LIVES;
    sip->moves++;
    world->moved++;
    (void)world_running(world, copy->sip);
}

static void action_do(struct world *world, uint16_t node, const struct fab_move_action *action)
{
    struct sip_copy *copy = copy_of_move(world, action->move, node);
    struct fab_mover *mover = world->movers[node];
    struct fab_peer_info info;

    trace_note("node %llu: move %llu, does %llu, reason %llu", node,
               action->move & FAB_MOVE_NUMBER_MAX, action->what, action->reason);
    switch (action->what) {
    case FAB_MOVE_SEND:
        if (action->bytes[1] == FAB__MV_COMMIT) {
            world->sips[copy->sip].committing = action->move;
        }
        if (action->node == FAB_MOVE_CONTROLLER) {
            letter_put(world, node, FAB_MOVE_CONTROLLER, action->bytes, action->length);
        } else if (fab_peer_query(fab_of(world, node), action->node, &info) == SF_OK) {
            memcpy(pipe_push(world, node, action->node, 0, action->length)->bytes, action->bytes,
                   action->length);
        }
        break;
    case FAB_MOVE_COPY:
        fab_mover_copied(mover, action->move, now_of(world));
        break;
    case FAB_MOVE_FREEZE:
        if (copy != NULL) {
            freeze(world, copy, action->node);
        }
        break;
    case FAB_MOVE_TRANSFER:
        transfer(world, copy, action->node);
        break;
    case FAB_MOVE_STAY:
        stay(world, copy, action->reason);
        break;
    case FAB_MOVE_FREE:
        world->died += action->reason == FAB_MOVE_DIED;
        if (action->reason == FAB_MOVE_DIED) {
            sim_expect(world->sips[copy->sip].fate == SIP_MAY_LIVE);
            world->sips[copy->sip].fate = SIP_DEAD;
        }
        fab_cargo_release(copy->cargo);
        late_adopt(world, copy, false);
        copy->state = COPY_UNUSED;
        break;
    case FAB_MOVE_PREPARE:
        sim_expect(action->length == 4);
        copy = copy_make(world, *(const uint32_t *)action->bytes, node, COPY_WAITS);
        copy->move = action->move;
        fab_mover_prepared(mover, action->move, now_of(world));
        break;
    case FAB_MOVE_START:
        start(world, copy);
        break;
    case FAB_MOVE_DROP:
        if (copy != NULL) {
            sim_expect(copy->state == COPY_WAITS);
            if (copy->cargo != NULL) {
                fab_cargo_drop(copy->cargo);
            }
            copy->state = COPY_UNUSED;
        }
        break;
    case FAB_MOVE_SETTLED:
        if (copy != NULL) {
            sim_expect(copy->settling);
            copy->settling = false;
            copy->move = 0;
        }
        break;
    }
    cell_wake(&world->cell, node);
}

static void node_run(struct world *world, uint16_t node)
{
    struct fab_move_action action;

    for (uint16_t other = 1; other <= world->options.nodes; other++) {
        if (other != node) {
            pipe_send(world, node, other);
            (void)pipe_receive(world, other, node);
        }
    }
    (void)fab_mover_tick(world->movers[node], now_of(world));
    for (uint32_t i = 0; i < SIPS_COPIES_MAX; i++) {
        struct sip_copy *copy = &world->copies[i];
        if (copy->state == COPY_FROZEN && copy->node == node && copy->cargo != NULL &&
            !copy->written) {
            hold_go_on(world, copy);
        }
    }
    if (fab_mover_next(world->movers[node], &action)) {
        world->eventful = true;
        action_do(world, node, &action);
    }
}

bool world_moves(const struct world *world)
{
    struct fab_move_info info;

    for (uint16_t node = 1; node <= world->options.nodes; node++) {
        if (world->movers[node] != NULL && fab_mover_query(world->movers[node], 0, &info)) {
            return true;
        }
    }
    return false;
}

void world_run(struct world *world, uint64_t slice_ns, uint32_t acts)
{
    uint64_t moved = world->cell.net.counts.frames + world->cell.net.counts.delivered;

    cell_run(&world->cell, slice_ns);
    if (moved != world->cell.net.counts.frames + world->cell.net.counts.delivered &&
        world_moves(world)) {
        world->eventful = true;
    }
    controller_run(world);
    boots(world);
    for (uint16_t node = 1; node <= world->options.nodes; node++) {
        if (cell_acts(&world->cell, node)) {
            node_run(world, node);
        }
    }
    orders_give(world);
    for (uint32_t i = 0; i < acts; i++) {
        struct sip_copy *copy =
            world_running(world, (uint32_t)rng_below(&world->rng, world->options.sips));
        if (copy != NULL && cell_acts(&world->cell, copy->node)) {
            act(world, copy);
        }
    }
    world->events += world->eventful;
    world->eventful = false;
}

/* --- begin and end -------------------------------------------------------------------------- */

void world_init(struct world *world, const struct world_options *options)
{
    struct cell_options cell = {
        .seed = options->seed,
        .node_count = options->nodes,
        .endpoint_count_max = 4096,
        .heap_bytes = 32ull << 20,
        .drift_ppm = 100,
        .sealed = options->sealed,
        .poll_ns = options->poll_ns,
    };
    struct cell_hooks hooks = {
        .arg = world,
        .opened = on_opened,
        .lost = on_lost,
        .broken = on_broken,
    };

    *world = (struct world){.options = *options, .rng = {rng_mix(options->seed ^ 0x73697073ull)}};
    cell_init(&world->cell, &cell, &hooks);
    for (uint16_t node = 1; node <= options->nodes; node++) {
        node_prepare(world, node);
        for (uint16_t other = 1; other < node; other++) {
            cell_introduce(&world->cell, other, node);
        }
    }
    for (uint32_t i = 0; i < SIPS_MAX; i++) {
        world->sips[i].fate = SIP_DEAD;
    }
}

void world_start(struct world *world, uint32_t sip, uint16_t node)
{
    (void)copy_make(world, sip, node, COPY_RUNS);
    world->sips[sip].fate = SIP_LIVES;
}

static bool at_rest(struct world *world)
{
    struct fab_move_info info;

    for (uint16_t node = 1; node <= world->options.nodes; node++) {
        if (!world->cell.nodes[node].up || fab_of(world, node)->cargos != NULL ||
            fab_of(world, node)->held_count != 0 ||
            fab_mover_query(world->movers[node], 0, &info)) {
            return false;
        }
        for (uint16_t other = 1; other <= world->options.nodes; other++) {
            struct fab_peer_info peer;
            if (other != node && (fab_peer_query(fab_of(world, node), other, &peer) != SF_OK ||
                                  !peer.drained || !cell_joined(&world->cell, node, other) ||
                                  world->pipes[node][other].first != NULL)) {
                return false;
            }
        }
    }
    return world->letter_count == 0;
}

/* Who still has something to receive? */
static bool receive_all(struct world *world)
{
    bool some = false;

    for (uint32_t i = 0; i < SIPS_COPIES_MAX; i++) {
        struct sip_copy *copy = &world->copies[i];
        for (uint32_t h = 0; copy->state == COPY_RUNS && h < copy->memory.handle_count; h++) {
            struct sip_handle *handle = &copy->memory.handles[h];
            struct fab_ep *ep = ep_of(world, copy, handle);
            sim_expect(ep != NULL);
            while (!handle->closed && receive(world, copy, handle, ep)) {
                some = true;
                handle = &copy->memory.handles[h];
            }
        }
        if (copy->state == COPY_RUNS) {
            cell_wake(&world->cell, copy->node);
        }
    }
    return some;
}

static void unrest_note(struct world *world)
{
    for (uint16_t node = 1; node <= world->options.nodes; node++) {
        const struct fab_node *fab = fab_of(world, node);
        struct fab_move_info info = {0};

        if (fab == NULL) {
            continue;
        }
        (void)fab_mover_query(world->movers[node], 0, &info);
        trace_note("node %llu: %llu held, a cargo %llu, a move in step %llu", node, fab->held_count,
                   fab->cargos != NULL, info.step);
        for (uint32_t i = 0; i < fab->ep_used; i++) {
            const struct fab_ep *ep = &fab->eps[i];
            if (ep->life != FAB__FREE && ep->place == FAB__HELD) {
                trace_note("held for move %llu of node %llu to node %llu, source gone %llu",
                           ep->hold->move & FAB_MOVE_NUMBER_MAX, fab_move_source(ep->hold->move),
                           ep->hold->target, ep->hold->source_gone);
                trace_note("its id is %llu, life %llu, state %llu, in a message %llu", ep->id,
                           ep->life, ep->state, ep->in_message);
            }
        }
    }
}

static void rest(struct world *world)
{
    uint64_t until_ns = now_of(world) + REST_NS;
    uint32_t calm = 0;

    world->quiet = true;
    while (calm < 20) {
        world_run(world, 4 * MS, 0);
        calm = receive_all(world) || !at_rest(world) ? 0 : calm + 1;
        if (now_of(world) > until_ns) {
            unrest_note(world);
            sim_fail("it does not come to rest");
        }
    }
}

static struct sip_handle *handle_find(struct world *world, uint32_t chan, uint8_t side,
                                      uint32_t *nodes)
{
    for (uint32_t i = 0; i < SIPS_COPIES_MAX; i++) {
        struct sip_copy *copy = &world->copies[i];
        for (uint32_t h = 0; copy->state == COPY_RUNS && h < copy->memory.handle_count; h++) {
            struct sip_handle *handle = &copy->memory.handles[h];
            if (handle->chan == chan && handle->side == side) {
                *nodes |= 1u << copy->node;
                return handle;
            }
        }
    }
    return NULL;
}

static void chan_check(struct world *world, uint32_t chan, bool strict, uint32_t parted)
{
    uint32_t nodes = 0;
    struct sip_handle *imp = handle_find(world, chan, CT_IMP, &nodes);
    struct sip_handle *exp = handle_find(world, chan, CT_EXP, &nodes);

    if (imp == NULL || exp == NULL) {
        if ((imp != NULL && !imp->closed) || (exp != NULL && !exp->closed)) {
            const struct sip_chan *of = &world->chans[chan];
            sim_fail(
                "channel %u is open at side %u, on nodes %x; it was on %x, travelled in %u, was "
                "given up %u, touched %u",
                chan, imp == NULL, nodes, of->visited, of->carried, of->given_up, of->touched);
        }
        return;
    }
    if (imp->closed != exp->closed || (strict && imp->closed && (nodes & ~parted) != 0)) {
        sim_fail("channel %u: closed at one end %u, at the other %u", chan, imp->closed,
                 exp->closed);
    }
    if (!imp->closed && (imp->sent != exp->received || exp->sent != imp->received)) {
        sim_fail("channel %u: sent %u and %u, received %u and %u", chan, imp->sent, exp->sent,
                 exp->received, imp->received);
    }
}

static void audits(struct world *world)
{
    for (uint16_t node = 1; node <= world->options.nodes; node++) {
        const char *text = "";
        if (world->cell.nodes[node].up &&
            (fab_audit(fab_of(world, node), &text) != SF_OK ||
             xh_audit(world->cell.nodes[node].heap, &text) != SF_OK)) {
            sim_fail("audit of node %u: %s", node, text);
        }
    }
}

static void all_close(struct world *world)
{
    for (uint32_t i = 0; i < SIPS_COPIES_MAX; i++) {
        struct sip_copy *copy = &world->copies[i];
        while (copy->state == COPY_RUNS && copy->memory.handle_count > 0) {
            give_up(world, copy, &copy->memory.handles[0], SF_CAUSE_OF(SHUTDOWN));
        }
    }
}

static void nothing_left(struct world *world)
{
    for (uint16_t node = 1; node <= world->options.nodes; node++) {
        const struct fab_node *fab = fab_of(world, node);
        for (uint32_t i = 0; i < fab->ep_used; i++) {
            const struct fab_ep *ep = &fab->eps[i];
            if (ep->life != FAB__FREE && ep->contract->table != pipe_contract()) {
                uint8_t side;
                uint32_t chan = chan_by_id(world, ep->id, &side);
                sim_fail("node %u keeps a record of channel %u side %u: life %u, place %u, owes %u",
                         node, chan, side, ep->life, ep->place, ep->owes);
            }
        }
    }
}

void world_end(struct world *world, bool strict, uint32_t parted)
{
    world->controller_ns = 0;
    rest(world);
    audits(world);
    for (uint32_t i = 0; i < world->options.sips; i++) {
        const struct sip_copy *copy = world_running(world, i);
        if ((world->sips[i].fate == SIP_LIVES) != (copy != NULL)) {
            sim_fail("SIP %u: fate %u, and it %s", i, world->sips[i].fate,
                     copy == NULL ? "does not run" : "runs");
        }
    }
    for (uint32_t i = 0; i < SIPS_COPIES_MAX; i++) {
        sim_expect(world->copies[i].state == COPY_UNUSED || world->copies[i].state == COPY_RUNS);
    }
    for (uint32_t i = 0; i < world->chan_count; i++) {
        chan_check(world, i, strict && !world->chans[i].given_up, parted);
    }
    all_close(world);
    rest(world);
    nothing_left(world);
    for (uint16_t node = 1; node <= world->options.nodes; node++) {
        for (uint16_t other = 1; other <= world->options.nodes; other++) {
            pipe_clear(&world->pipes[node][other]);
        }
        fab_mover_destroy(world->movers[node]);
    }
    cell_fini(&world->cell);
}
