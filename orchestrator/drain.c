/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drain.c - nodes that nothing is placed on any more, and nodes that are emptied.
 *
 * A drain cordons its node, then moves its SIPs one after the other (moves.c does several at once)
 * to the node that has the fewest. Services of the kernel stay. A SIP whose move fails stays, too,
 * and is not tried again by this drain. A drain stops when fabricctl, which asked for it, is gone:
 * moves that have begun go to their end, the node stays cordoned, and another drain goes on from
 * there.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moves.h"

#define WHY_BYTES_MAX 800u

struct drain {
    struct drain *next;
    uint64_t number;
    uint16_t node;
    uint32_t budget_us;
    uint64_t console; /* 0: gone, so it stops */
    uint64_t request;
    uint64_t begun_ms;
    uint32_t moved;
    uint64_t blackout_max_ns;
    uint64_t *failed; /* SIPs that stay */
    uint32_t failed_count;
    char why[WHY_BYTES_MAX]; /* the first ones do, a line each */
};

static uint64_t last_number;

static void drain_drop(struct daemon *daemon, struct drain *gone)
{
    struct drain **link = &daemon->drains;

    while (*link != gone) {
        link = &(*link)->next;
    }
    *link = gone->next;
    free(gone->failed);
    free(gone);
}

static bool has_failed(const struct drain *drain, uint64_t sip)
{
    uint32_t i = 0;

    while (i < drain->failed_count && drain->failed[i] != sip) {
        i++;
    }
    return i < drain->failed_count;
}

static void fail(struct drain *drain, uint64_t sip, const char *text)
{
    uint64_t *more = realloc(drain->failed, (drain->failed_count + 1) * sizeof(*more));
    size_t used = strlen(drain->why);

    if (more != NULL) { /* else it is tried again */
        drain->failed = more;
        drain->failed[drain->failed_count++] = sip;
    }
    snprintf(drain->why + used, sizeof(drain->why) - used, "\n%s", text);
}

void drain__moved(struct daemon *daemon, const struct move *move)
{
    struct drain *drain = daemon->drains;

    while (drain != NULL && drain->number != move->drain) {
        drain = drain->next;
    }
    if (drain == NULL) {
        return;
    }
    if (move->step == SF__CONTROL__MOVE_STEP__MOVE_DONE) {
        drain->moved++;
        if (move->figures.blackout_ns > drain->blackout_max_ns) {
            drain->blackout_max_ns = move->figures.blackout_ns;
        }
    } else {
        fail(drain, move->sip, move->text);
    }
}

/* Where a SIP goes; NULL: nowhere. */
static struct world_node *target_of(const struct daemon *daemon, const struct world_node *source)
{
    struct world_node *best = NULL;
    uint32_t best_count = 0;

    for (uint32_t i = 0; i < daemon->world.node_count; i++) {
        struct world_node *node = daemon->world.nodes[i];
        uint32_t count;

        if (node == source || node->stage != WORLD_JOINED || node->session == NULL ||
            node->cordoned || !world_node_hears(source, node->id)) {
            continue;
        }
        count = world_sips_live_on(&daemon->world, node);
        for (const struct move *move = daemon->moves; move != NULL; move = move->next) {
            count += move->ended_ms == 0 && move->target == node->id && !move->arrived;
        }
        if (best == NULL || count < best_count) {
            best = node;
            best_count = count;
        }
    }
    return best;
}

static void move_begin(struct daemon *daemon, struct drain *drain, struct world_sip *sip)
{
    struct world_node *target = target_of(daemon, sip->node);
    struct console *console = console_by_number(daemon, drain->console);
    struct move *move;
    char text[200];

    if (target == NULL) {
        snprintf(text, sizeof(text), "SIP %s: no other node is there that may take it", sip->name);
        fail(drain, sip->number, text);
        return;
    }
    move = moves__add(daemon, sip, target, drain->budget_us, console, drain->request);
    if (move != NULL) {
        move->drain = drain->number;
    }
}

static void drain_finish(struct daemon *daemon, struct drain *drain, uint32_t services)
{
    struct console *console = console_by_number(daemon, drain->console);
    const struct world_node *node = world_node_by_id(&daemon->world, drain->node);
    char left[80] = "";

    if (services > 0) {
        snprintf(left, sizeof(left), "; %u service%s of its kernel stay%s", services,
                 services > 1 ? "s" : "", services > 1 ? "" : "s");
    }
    if (console == NULL) {
        daemon_log("drain of %s stopped: fabricctl is gone", node->name);
    } else if (drain->failed_count > 0) {
        console_result(console, drain->request, SF_IO,
                       "node %s is cordoned but not drained: %u SIPs moved, %u stay%s%s",
                       node->name, drain->moved, drain->failed_count, left, drain->why);
    } else {
        console_result(console, drain->request, SF_OK,
                       "node %s drained: %u SIPs moved, the longest black-out %.3f ms%s",
                       node->name, drain->moved, (double)drain->blackout_max_ns / 1e6, left);
    }
    drain_drop(daemon, drain);
}

static void drain_look(struct daemon *daemon, struct drain *drain)
{
    const struct world_node *node = world_node_by_id(&daemon->world, drain->node);
    uint32_t services = 0;
    uint32_t under_way = 0;

    for (uint32_t i = 0; i < daemon->world.sip_count; i++) {
        struct world_sip *sip = daemon->world.sips[i];
        const struct move *move;

        if (sip->node != node || !world_sip_live(sip)) {
            continue;
        }
        if (sip->made->sips[0]->service[0] != '\0') {
            services++;
            continue;
        }
        move = moves__of_sip(daemon, sip->number);
        if (move == NULL && drain->console != 0 && !has_failed(drain, sip->number)) {
            if (sip->state == SF__CONTROL__SIP_STATE__RUNNING) {
                move_begin(daemon, drain, sip);
                move = moves__of_sip(daemon, sip->number);
            }
            under_way += move == NULL && !has_failed(drain, sip->number); /* later */
        }
        under_way += move != NULL;
    }
    if (under_way == 0) {
        drain_finish(daemon, drain, services);
    }
}

void drain_tick(struct daemon *daemon)
{
    struct drain *next;

    for (struct drain *drain = daemon->drains; drain != NULL; drain = next) {
        next = drain->next;
        drain_look(daemon, drain);
    }
}

/* Kept before it is so. False: the console was told why not. */
static bool cordon_set(struct console *console, uint64_t request, struct world_node *node,
                       bool cordoned)
{
    struct state *state = &console_daemon(console)->state;

    if (state_cordon(state, node->id, cordoned) != SF_OK) {
        console_result(
            console, request, SF_IO,
            "node %s stays %s: %s cannot be written: %s; make room there, then try again",
            node->name, node->cordoned ? "cordoned" : "as it is", state->path, strerror(errno));
        return false;
    }
    node->cordoned = cordoned;
    return true;
}

void drain_begin(struct console *console, uint64_t request, const Sf__Control__Drain *body)
{
    struct daemon *daemon = console_daemon(console);
    struct world_node *node = moves__wanted_node(console, request, body->node);
    struct drain *drain;

    if (node == NULL) {
        return;
    }
    for (drain = daemon->drains; drain != NULL; drain = drain->next) {
        if (drain->node == node->id && drain->console != 0) {
            console_result(console, request, SF_EXISTS,
                           "node %s is being drained; see: fabricctl get moves", node->name);
            return;
        }
    }
    if (!cordon_set(console, request, node, true)) {
        return;
    }
    drain = calloc(1, sizeof(*drain));
    if (drain == NULL) {
        console_result(console, request, SF_NOMEM, "no memory left");
        return;
    }
    session_note(node, "cordoned: it is drained");
    *drain = (struct drain){.next = daemon->drains,
                            .number = ++last_number,
                            .node = node->id,
                            .budget_us = body->budget_us,
                            .console = console_number(console),
                            .request = request,
                            .begun_ms = daemon_now(daemon)};
    daemon->drains = drain;
    drain_look(daemon, drain);
    moves_tick(daemon);
}

void drain_cordon(struct console *console, uint64_t request, const Sf__Control__Cordon *body)
{
    struct world_node *node = world_node_find(&console_daemon(console)->world, body->node);
    const char *verb = body->cordoned ? "cordoned" : "uncordoned";

    if (node == NULL) {
        (void)moves__wanted_node(console, request, body->node); /* which says so */
        return;
    }
    if (node->cordoned == body->cordoned) {
        console_result(console, request, SF_OK, "node %s was %s already", node->name, verb);
    } else if (cordon_set(console, request, node, body->cordoned)) {
        session_note(node, "%s", verb);
        console_result(console, request, SF_OK, "node %s %s", node->name, verb);
    }
}

void drain_forget(struct daemon *daemon, const struct console *console)
{
    for (struct drain *drain = daemon->drains; drain != NULL; drain = drain->next) {
        if (drain->console == console_number(console)) {
            drain->console = 0;
        }
    }
}

void drain_fini(struct daemon *daemon)
{
    while (daemon->drains != NULL) {
        drain_drop(daemon, daemon->drains);
    }
}
