/* SPDX-License-Identifier: Apache-2.0 */
/* How a run with SIPs that move ends, and what must be true then. */
#include "sips_inner.h"
#include "trace.h"

#define MS 1000000ull
#define REST_NS (30000 * MS)

static bool at_rest(struct world *world)
{
    struct fab_move_info info;

    for (uint16_t node = 1; node <= world->options.nodes; node++) {
        if (!world->cell.nodes[node].up || sips_fab(world, node)->cargos != NULL ||
            sips_fab(world, node)->held_count != 0 ||
            fab_mover_query(world->movers[node], 0, &info)) {
            return false;
        }
        for (uint16_t other = 1; other <= world->options.nodes; other++) {
            struct fab_peer_info peer;
            if (other != node && (fab_peer_query(sips_fab(world, node), other, &peer) != SF_OK ||
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
            struct fab_ep *ep = sips_ep(world, copy, handle);
            sim_expect(ep != NULL);
            while (!handle->closed && sips_receive(world, copy, handle, ep)) {
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
        const struct fab_node *fab = sips_fab(world, node);
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
    uint64_t until_ns = sips_now(world) + REST_NS;
    uint32_t calm = 0;

    world->quiet = true;
    while (calm < 20) {
        world_run(world, 4 * MS, 0);
        calm = receive_all(world) || !at_rest(world) ? 0 : calm + 1;
        if (sips_now(world) > until_ns) {
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
            (fab_audit(sips_fab(world, node), &text) != SF_OK ||
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
            sips_give_up(world, copy, &copy->memory.handles[0], SF_CAUSE_OF(SHUTDOWN));
        }
    }
}

static void nothing_left(struct world *world)
{
    for (uint16_t node = 1; node <= world->options.nodes; node++) {
        const struct fab_node *fab = sips_fab(world, node);
        for (uint32_t i = 0; i < fab->ep_used; i++) {
            const struct fab_ep *ep = &fab->eps[i];
            if (ep->life != FAB__FREE && ep->contract->table != sips_pipe_contract()) {
                uint8_t side;
                uint32_t chan = sips_chan_by_id(world, ep->id, &side);
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
            sips_pipe_clear(&world->pipes[node][other]);
        }
        fab_mover_destroy(world->movers[node]);
    }
    cell_fini(&world->cell);
}
