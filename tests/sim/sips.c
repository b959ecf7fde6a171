/* SPDX-License-Identifier: Apache-2.0 */
#include "sips_inner.h"

#include <stdlib.h>
#include <string.h>

#include "sip_move.h"
#include "test_contracts.h"
#include "trace.h"

#define MS 1000000ull
#define LETTER_NS (300 * 1000ull)
#define DETECT_NS (1000 * MS)
#define BOOT_NS (1500 * MS)
#define RETRY_NS (40 * MS)

/* --- pipes' contract ------------------------------------------------------------------------ */

enum { PIPE_SAY, PIPE_IMAGE, PIPE_OK, PIPE_MESSAGES };
enum { PIPE_IDLE, PIPE_BUSY, PIPE_STATES };

static uint8_t pipe_next[2][PIPE_STATES][PIPE_MESSAGES];

const struct ct_contract *sips_pipe_contract(void)
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

struct fab_node *sips_fab(const struct world *world, uint16_t node)
{
    return world->cell.nodes[node].fab;
}

uint64_t sips_now(const struct world *world)
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

struct fab_ep *sips_ep(const struct world *world, const struct sip_copy *copy,
                       const struct sip_handle *handle)
{
    /* The holder may do to it what it likes. */
    union {
        const struct fab_ep *is;
        struct fab_ep *becomes;
    } ep = {fab_ep_find(sips_fab(world, copy->node), handle->ep_id)};

    return ep.becomes;
}

void sips_visit(struct world *world, uint32_t chan, uint16_t node)
{
    struct sip_chan *c = &world->chans[chan];

    for (uint16_t other = 1; other <= world->options.nodes; other++) {
        if ((c->visited >> other & 1u) && cell_pair_bad(&world->cell, node, other)) {
            c->touched = true;
        }
    }
    c->visited |= 1u << node;
}

struct sip_handle *sips_handle_add(struct world *world, struct sip_copy *copy, uint32_t chan,
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
    sips_visit(world, chan, copy->node);
    return handle;
}

void sips_handle_remove(struct sip_copy *copy, struct sip_handle *handle)
{
    *handle = copy->memory.handles[--copy->memory.handle_count];
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
        sim_expect(fab_chan_create(sips_fab(world, a->node), contract, 0, &imp, &exp) == SF_OK);
    } else if (fab_open(sips_fab(world, a->node), b->node, carrier ? "carry" : "work", contract,
                        &imp) != SF_OK) {
        return;
    }
    fab_ep_query(imp, &info);
    *chan = (struct sip_chan){.ids = {info.id, info.peer_id}, .to_sip = to, .carrier = carrier};
    world->chan_count++;
    (void)sips_handle_add(world, a, world->chan_count - 1, CT_IMP);
    sips_visit(world, world->chan_count - 1, b->node);
    if (a->node == b->node) {
        (void)sips_handle_add(world, b, world->chan_count - 1, CT_EXP);
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
    if (info.contract == sips_pipe_contract()) {
        uint16_t from = info.peer_node;
        if (world->pipes[from][node].exp != NULL) {
            fab_ep_close(world->pipes[from][node].exp, SF_CAUSE_OF(REVOKED));
        }
        world->pipes[from][node].exp = ep;
        return;
    }
    chan = sips_chan_by_id(world, info.id, &side);
    copy = copy_here(world, world->chans[chan].to_sip, node);
    if (copy == NULL || copy->memory.handle_count == SIPS_HANDLES_MAX ||
        copy->late_count == SIPS_HANDLES_MAX) {
        refuse_open(world, chan, ep);
    } else if (copy->state == COPY_RUNS) {
        (void)sips_handle_add(world, copy, chan, side);
    } else if (!copy->written && copy->cargo != NULL && fab_cargo_add(copy->cargo, ep) == SF_OK) {
        (void)sips_handle_add(world, copy, chan, side);
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

void sips_pipe_clear(struct sip_pipe *pipe)
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
    st = fab_cargo_read(sips_fab(world, node), move, bytes + sizeof(memory),
                        length - sizeof(memory), &copy->cargo);
    if (st == SF_AGAIN) {
        fab_mover_refuse(world->movers[node], move, (uint32_t)st, sips_now(world));
        return;
    }
    if (st != SF_OK) {
        sim_fail("an image is not accepted: %s", sf_status_name(st));
    }
    copy->memory = memory;
    fab_mover_received(world->movers[node], move, sips_now(world));
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
        fab_mover_take(world->movers[to], from, block->data, block->bytes, sips_now(world));
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
        if (fab_open(sips_fab(world, from), to, "pipe", sips_pipe_contract(), &pipe->imp) !=
            SF_OK) {
            pipe->imp = NULL;
        }
        return;
    }
    if (fab_ep_recv(pipe->imp, &ok, CELL_OWNER) == SF_CLOSED) {
        fab_ep_close(pipe->imp, SF_CAUSE_OF(CLOSED_BY_PEER));
        pipe->imp = NULL;
        sips_pipe_clear(pipe);
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
    sips_pipe_clear(&world->pipes[node][peer]);
    fab_mover_session_lost(world->movers[node], peer, sips_now(world));
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
        .at_ns = sips_now(world) + LETTER_NS, .from = from, .to = to, .length = length};
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
                           letter->length, sips_now(world));
            world->eventful = true;
        }
        return;
    }
    if (sips_now(world) < world->controller_ns) {
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
        if (sips_now(world) >= world->letters[i].at_ns) {
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
    if (sips_now(world) < world->controller_ns) {
        return;
    }
    for (uint16_t node = 1; node <= world->options.nodes; node++) {
        struct cell_node *of = &world->cell.nodes[node];
        if (of->up || sips_now(world) < world->crashed_ns[node] + DETECT_NS) {
            continue;
        }
        if (world->fenced[node] != of->epoch) {
            world->fenced[node] = of->epoch;
            for (uint16_t other = 1; other <= world->options.nodes; other++) {
                if (world->cell.nodes[other].up) {
                    fab_mover_node_dead(world->movers[other], node, of->epoch, sips_now(world));
                }
            }
            world->eventful = true;
        }
    }
}

void world_controller_down(struct world *world, uint64_t ns)
{
    world->controller_ns = sips_now(world) + ns;
    trace_note("the controller is down for %llu ms", ns / MS, 0, 0, 0);
}

/* --- nodes ---------------------------------------------------------------------------------- */

static void node_prepare(struct world *world, uint16_t node)
{
    struct fab_mover_options options = {
        .node_id = node,
        .epoch = world->cell.nodes[node].epoch,
        .fab = sips_fab(world, node),
    };

    sim_expect(fab_export_add(sips_fab(world, node), "pipe", sips_pipe_contract(),
                              CELL_EXPORT_OWNER) == SF_OK);
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
        sips_pipe_clear(&world->pipes[node][other]);
        world->pipes[node][other].imp = NULL;
        world->pipes[other][node].exp = NULL;
    }
    fab_mover_destroy(world->movers[node]);
    world->movers[node] = NULL;
    cell_crash(&world->cell, node);
    world->crashed_ns[node] = sips_now(world);
}

static void boots(struct world *world)
{
    for (uint16_t node = 1; node <= world->options.nodes; node++) {
        if (!world->cell.nodes[node].up && world->fenced[node] == world->cell.nodes[node].epoch &&
            sips_now(world) >= world->crashed_ns[node] + BOOT_NS) {
            cell_boot(&world->cell, node);
            node_prepare(world, node);
        }
    }
}

/* --- moves ---------------------------------------------------------------------------------- */

void world_want(struct world *world, uint32_t sip, uint16_t target)
{
    world->sips[sip].wanted = target;
    world->sips[sip].wanted_ns = sips_now(world);
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
        if (sip->wanted_ns == 0 || sips_now(world) < sip->wanted_ns) {
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
        if (fab_peer_query(sips_fab(world, copy->node), sip->wanted, &info) != SF_OK) {
            sip->wanted_ns = sips_now(world) + RETRY_NS;
            continue;
        }
        order.target_epoch = info.epoch;
        if (fab_mover_begin(world->movers[copy->node], &order, sips_now(world), &move) == SF_OK) {
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
    sim_expect(fab_cargo_begin(sips_fab(world, copy->node), copy->move, target, &copy->cargo) ==
               SF_OK);
    for (uint32_t i = 0; st == SF_OK && i < copy->memory.handle_count; i++) {
        struct sip_handle *handle = &copy->memory.handles[i];
        struct fab_ep *ep = sips_ep(world, copy, handle);
        sim_expect(ep != NULL);
        sips_visit(world, handle->chan, target);
        st = fab_cargo_add(copy->cargo, ep);
    }
    if (st != SF_OK) {
        sim_expect(st == SF_AGAIN);
        fab_mover_fail(world->movers[copy->node], copy->move, FAB_MOVE_CLASH, 0, sips_now(world));
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
                       sips_now(world));
        return;
    }
    count = fab_cargo_witnesses(copy->cargo, nodes);
    for (uint32_t i = 0; i < count; i++) {
        struct fab_peer_info info = {.epoch = world->cell.nodes[copy->node].epoch};
        if (nodes[i] != copy->node &&
            fab_peer_query(sips_fab(world, copy->node), nodes[i], &info) != SF_OK) {
            info.epoch = 1; /* gone already */
        }
        witnesses[i] = (struct fab_move_witness){nodes[i], info.epoch};
    }
    fab_mover_held(mover, copy->move, witnesses, count, sips_now(world));
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
        sips_visit(world, sips_chan_by_id(world, info.id, &side), target);
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
        struct fab_ep *ep = sips_ep(world, copy, &find);
        uint8_t side;
        uint32_t chan = sips_chan_by_id(world, copy->late[i], &side);
        sim_expect(ep != NULL);
        if (!stays || sips_handle_add(world, copy, chan, side) == NULL) {
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
        sip->wanted_ns = sips_now(world) + RETRY_NS + rng_below(&world->rng, RETRY_NS);
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
        } else if (fab_peer_query(sips_fab(world, node), action->node, &info) == SF_OK) {
            memcpy(pipe_push(world, node, action->node, 0, action->length)->bytes, action->bytes,
                   action->length);
        }
        break;
    case FAB_MOVE_COPY:
        fab_mover_copied(mover, action->move, sips_now(world));
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
        fab_mover_prepared(mover, action->move, sips_now(world));
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
    (void)fab_mover_tick(world->movers[node], sips_now(world));
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
            sips_act(world, copy);
        }
    }
    world->events += world->eventful;
    world->eventful = false;
}

/* --- begin -------------------------------------------------------------------------- */

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
