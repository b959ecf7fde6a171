/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restart.c - what becomes of SIPs that have ended: their restart policies (supervise.h) say when,
 * the planner (plan.h) says how, apply.c does it.
 *
 * Model: a SIP that has ended by itself, or with its node, waits to be judged until no apply or
 * delete is under way (which may make it again, or not want it any more). Its policy is the one of
 * its graph as applied last. It is then left alone, or BACK_OFF until its time has come; WAITING
 * while its node, its links or its exporters are not there; RESTARTING while it is being made;
 * GIVEN_UP when its policy has had enough. Waiting counts for no policy; a restart that fails does.
 *
 * Cost: a SIP that waits is looked at every LOOK_MS, at most TRIES_MAX SIPs in one go; the next go
 * begins behind them, so that none has to wait for others that wait for ever.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon.h"
#include "graph.h"

#define LOOK_MS 500u
#define TRIES_MAX 16u

/* A line in the SIP's log and in fabricd's. */
static void note(struct world_sip *sip, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void note(struct world_sip *sip, const char *format, ...)
{
    char text[500];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    world_log_add(&sip->log, daemon_wall(), text);
    daemon_log("SIP %s: %s", sip->name, text);
}

/* --- deciding -----------------------------------------------------------------------------------
 */

/* The SIP's entry in its graph as applied last; NULL: its graph has it no more. */
static const Sf__Control__GraphSip *entry_of(const struct world_sip *sip)
{
    const Sf__Control__Graph *desired = sip->graph->desired;
    size_t index;

    for (index = 0; desired != NULL && index < desired->n_sips; index++) {
        if (strcmp(desired->sips[index]->name, sip->name) == 0) {
            return desired->sips[index];
        }
    }
    return NULL;
}

static struct supervise_policy policy_of(const struct world_sip *sip)
{
    const Sf__Control__GraphSip none = SF__CONTROL__GRAPH_SIP__INIT;
    const Sf__Control__GraphSip *entry = entry_of(sip);

    return graph_restart_policy(entry != NULL ? entry : &none); /* the plan has checked it */
}

static void wait_for(struct world_sip *sip, uint64_t look_ms, const char *why)
{
    if (sip->restart != SF__CONTROL__SIP_INFO__RESTART__WAITING ||
        strncmp(sip->restart_text, why, sizeof(sip->restart_text) - 1) != 0) {
        note(sip, "restart waits: %s", why);
    }
    sip->restart = SF__CONTROL__SIP_INFO__RESTART__WAITING;
    snprintf(sip->restart_text, sizeof(sip->restart_text), "%s", why);
    sip->restart_at_ms = look_ms;
}

static void give_up(struct world_sip *sip, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void give_up(struct world_sip *sip, const char *format, ...)
{
    va_list arguments;

    sip->restart = SF__CONTROL__SIP_INFO__RESTART__GIVEN_UP;
    va_start(arguments, format);
    vsnprintf(sip->restart_text, sizeof(sip->restart_text), format, arguments);
    va_end(arguments);
    note(sip, "failed: %s; apply graph %s again to start anew", sip->restart_text,
         sip->graph->name);
}

static void escalate(struct world_sip *sip, const struct supervise_policy *policy)
{
    struct world_graph *graph = sip->graph;

    if (graph->again_why[0] == '\0') {
        snprintf(graph->again_why, sizeof(graph->again_why), "%s ended over %u times in %u s",
                 sip->name, policy->limit, policy->window_ms / 1000);
    }
    note(sip, "limit %u in %u s: the whole graph is made again", policy->limit,
         policy->window_ms / 1000);
    sip->restart = SF__CONTROL__SIP_INFO__RESTART__WAITING;
    snprintf(sip->restart_text, sizeof(sip->restart_text), "its graph is made again");
    sip->restart_at_ms = 0;
}

static void judge(struct world_sip *sip)
{
    const struct supervise_policy policy = policy_of(sip);
    bool good = sip->state == SF__CONTROL__SIP_STATE__EXITED && sip->exit_code == 0;
    struct supervise_decision decision;
    char of[64] = "";

    decision = supervise_ended(&sip->supervise, &policy, good ? SUPERVISE_GOOD : SUPERVISE_BAD,
                               sip->ended_ms);
    switch (decision.verdict) {
    case SUPERVISE_DOWN:
        sip->restart = SF__CONTROL__SIP_INFO__RESTART__NONE;
        break;
    case SUPERVISE_RESTART:
        sip->restart = SF__CONTROL__SIP_INFO__RESTART__BACK_OFF;
        sip->restart_at_ms = decision.at_ms;
        if (policy.limit != 0) {
            snprintf(of, sizeof(of), ", %u of %u in %u s", decision.granted, policy.limit,
                     policy.window_ms / 1000);
        }
        note(sip, "restarts %.1f s after its end%s",
             (double)(decision.at_ms - sip->ended_ms) / 1000, of);
        break;
    case SUPERVISE_ESCALATE:
        escalate(sip, &policy);
        break;
    case SUPERVISE_FAILED:
        give_up(sip, "limit %u in %u s%s", policy.limit, policy.window_ms / 1000,
                policy.escalate ? ", also after its graph was made again" : "");
        break;
    }
}

void restart_sip_ended(struct daemon *daemon, struct world_sip *sip)
{
    assert(!world_sip_live(sip));
    sip->restart_unjudged = true;
    sip->ended_ms = daemon_now(daemon);
}

bool restart_pending(const struct world_sip *sip)
{
    return sip->restart_unjudged || (sip->restart != SF__CONTROL__SIP_INFO__RESTART__NONE &&
                                     sip->restart != SF__CONTROL__SIP_INFO__RESTART__GIVEN_UP);
}

/* --- doing --------------------------------------------------------------------------------------
 */

static bool is_due(const struct world_sip *sip, uint64_t now_ms)
{
    return (sip->restart == SF__CONTROL__SIP_INFO__RESTART__BACK_OFF ||
            sip->restart == SF__CONTROL__SIP_INFO__RESTART__WAITING) &&
           sip->restart_at_ms <= now_ms && sip->graph->again_why[0] == '\0';
}

/* Its control connection has ended, and it will be back, or lost, soon. */
static bool is_away(const struct world_node *node)
{
    return node->stage == WORLD_JOINED && node->session == NULL;
}

/* True if their restart is under way; else one that is tried alone waits. */
static bool try_restart(struct daemon *daemon, struct world_sip *const *sips, uint32_t sip_count)
{
    char text[PLAN_TEXT_BYTES_MAX] = "";
    struct plan *plan = NULL;
    sf_status status = SF_AGAIN;
    uint32_t index;

    if (is_away(sips[0]->node)) {
        snprintf(text, sizeof(text), "%s has no control connection", sips[0]->node->name);
    } else {
        status = plan_restart(&daemon->world, sips[0]->graph, sips, sip_count, &plan, text,
                              sizeof(text));
    }
    if (status != SF_OK && sip_count == 1) {
        text[strcspn(text, "\n")] = '\0';
        wait_for(sips[0], daemon_now(daemon) + LOOK_MS, text);
    }
    if (status != SF_OK) {
        return false;
    }
    for (index = 0; index < sip_count; index++) {
        sips[index]->restart = SF__CONTROL__SIP_INFO__RESTART__RESTARTING;
    }
    if (!apply_restart(daemon, sips[0]->graph, plan)) {
        for (index = 0; index < sip_count; index++) {
            wait_for(sips[index], daemon_now(daemon) + LOOK_MS, "no memory left");
        }
        return false;
    }
    return true;
}

static bool holds(struct world_sip *const *sips, uint32_t count, const struct world_sip *sip)
{
    uint32_t index;

    for (index = 0; index < count && sips[index] != sip; index++) {
    }
    return index < count;
}

/* sips[0], and those it imports from, directly or not, that wait as well: how many they are. */
static uint32_t with_exporters(const struct daemon *daemon, struct world_sip **sips)
{
    uint32_t count = 1;
    uint32_t index;
    size_t channel;

    for (index = 0; index < count; index++) {
        const Sf__Control__Graph *made = sips[index]->made;
        for (channel = 0; channel < made->n_channels; channel++) {
            char name[ORCH_NAME_BYTES_MAX + 1];
            char port[ORCH_NAME_BYTES_MAX + 1];
            struct world_sip *exporter = NULL;

            if (orch_port_split(made->channels[channel]->exporter, name, port)) {
                exporter = world_sip_in_graph(&daemon->world, sips[0]->graph, name);
            }
            if (exporter != NULL && count < GRAPH_SIPS_MAX &&
                exporter->restart == SF__CONTROL__SIP_INFO__RESTART__WAITING &&
                !holds(sips, count, exporter)) {
                sips[count++] = exporter;
            }
        }
    }
    return count;
}

/* Each by itself if that can be; SIPs that import from each other can only come together. */
static void restart_due(struct daemon *daemon)
{
    struct world_sip *tried[TRIES_MAX];
    struct world_sip *together[GRAPH_SIPS_MAX];
    uint64_t now_ms = daemon_now(daemon);
    uint32_t count = daemon->world.sip_count;
    uint32_t tried_count = 0;
    uint32_t index;

    for (index = 0; index < count && tried_count < TRIES_MAX; index++) {
        struct world_sip *sip = daemon->world.sips[daemon->restart_next++ % count];
        if (!is_due(sip, now_ms)) {
            continue;
        }
        if (try_restart(daemon, &sip, 1)) {
            return;
        }
        tried[tried_count++] = sip;
    }
    for (index = 0; index < tried_count; index++) {
        together[0] = tried[index];
        count = with_exporters(daemon, together);
        if (count > 1 && try_restart(daemon, together, count)) {
            return;
        }
    }
}

/* Those of a graph that wait for all of it being made again look again later. */
static void wait_for_graph(struct daemon *daemon, struct world_graph *graph, char *why)
{
    uint32_t index;

    why[strcspn(why, "\n")] = '\0';
    for (index = 0; index < daemon->world.sip_count; index++) {
        struct world_sip *sip = daemon->world.sips[index];
        if (sip->graph == graph && sip->restart == SF__CONTROL__SIP_INFO__RESTART__WAITING) {
            wait_for(sip, daemon_now(daemon) + LOOK_MS, why);
        }
    }
}

/* True if one of its SIPs says that it is time to make the graph again. */
static bool graph_due(const struct daemon *daemon, const struct world_graph *graph, char *text,
                      size_t text_capacity)
{
    bool due = false;
    uint32_t index;

    for (index = 0; index < daemon->world.sip_count; index++) {
        const struct world_sip *sip = daemon->world.sips[index];
        if (sip->graph != graph) {
            continue;
        }
        due = due || (sip->restart == SF__CONTROL__SIP_INFO__RESTART__WAITING &&
                      sip->restart_at_ms <= daemon_now(daemon));
        if (is_away(sip->node)) {
            snprintf(text, text_capacity, "%s has no control connection", sip->node->name);
        }
    }
    return due;
}

/* True if it is under way. */
static bool make_graph_again(struct daemon *daemon, struct world_graph *graph)
{
    char text[PLAN_TEXT_BYTES_MAX] = "";
    struct plan *plan = NULL;
    uint32_t index;

    if (!graph_due(daemon, graph, text, sizeof(text))) {
        return false;
    }
    if (text[0] != '\0' ||
        plan_again(&daemon->world, graph, graph->again_why, &plan, text, sizeof(text)) != SF_OK) {
        wait_for_graph(daemon, graph, text);
        return false;
    }
    for (index = 0; index < daemon->world.sip_count; index++) {
        struct world_sip *sip = daemon->world.sips[index];
        if (sip->graph == graph && restart_pending(sip)) {
            sip->restart = SF__CONTROL__SIP_INFO__RESTART__RESTARTING;
        }
    }
    return apply_restart(daemon, graph, plan);
}

void restart_look(struct daemon *daemon)
{
    struct world *world = &daemon->world;
    uint32_t index;

    if (daemon->operations != NULL || daemon->stop_at_ms != 0 || moves_under_way(daemon)) {
        return;
    }
    for (index = 0; index < world->sip_count; index++) {
        if (world->sips[index]->restart_unjudged) {
            world->sips[index]->restart_unjudged = false;
            judge(world->sips[index]);
        }
    }
    for (index = 0; index < world->graph_count; index++) {
        if (world->graphs[index]->again_why[0] != '\0' &&
            make_graph_again(daemon, world->graphs[index])) {
            return;
        }
    }
    restart_due(daemon);
}

static void tell_made(struct world_sip *sip)
{
    sip->restarts += 1;
    note(sip, "made again as SIP %" PRIu64 " on %s, restart %u", sip->number, sip->node->name,
         sip->restarts);
}

void restart_done(struct daemon *daemon, struct world_graph *graph, uint64_t sip_first,
                  const char *failure)
{
    bool whole = graph->again_why[0] != '\0';
    uint32_t index;

    for (index = 0; index < daemon->world.sip_count; index++) {
        struct world_sip *sip = daemon->world.sips[index];
        bool meant = sip->number >= sip_first || whole ||
                     sip->restart == SF__CONTROL__SIP_INFO__RESTART__RESTARTING;

        if (sip->graph != graph || entry_of(sip) == NULL || !meant) {
            continue;
        }
        if (failure == NULL) {
            tell_made(sip);
        } else if (world_sip_live(sip)) { /* it could not be stopped, or needed not to be */
            sip->restart = SF__CONTROL__SIP_INFO__RESTART__NONE;
        } else if (whole) {
            sip->restart_unjudged = false;
            give_up(sip, "its graph could not be made again: %.100s", failure);
        } else {
            note(sip, "restart failed: %s", failure);
            restart_sip_ended(daemon, sip);
        }
    }
    graph->again_why[0] = '\0';
}

void restart_owed(struct daemon *daemon, struct world_graph *graph, uint64_t sip_first)
{
    uint32_t index;

    for (index = 0; index < daemon->world.sip_count; index++) {
        struct world_sip *sip = daemon->world.sips[index];
        if (sip->graph == graph && sip->number >= sip_first && sip->restart_owed &&
            !world_sip_live(sip)) {
            restart_sip_ended(daemon, sip);
        }
    }
    graph->again_why[0] = '\0';
}
