/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.h - what has to be done so that the cluster is as a graph says: desired + observed ->
 * an ordered list of actions. Sans-I/O.
 *
 * Why: validating a graph, placing its SIPs and finding out what changed are decisions; doing it is
 * messages and waiting (apply.c). Kept apart, every decision is a unit test, `--dry-run` is the
 * very same code, and undoing a failed apply is a plan back to the graph as it was before.
 *
 * Model: the actions come in phases, in the order of enum plan_kind; those of one phase do not
 * depend on each other. A SIP of the graph is kept if it runs, its entry in the file (image,
 * service, config, node, cpu; not its restart policy) and its channels are the same, and the SIPs
 * it imports from are kept too; otherwise it is made (again), so that it need not know how to take
 * an import a second time. SIPs of the graph that are not in the file any more are stopped. A
 * SIP that has ended (exited, faulted, killed, lost with its node) is made again.
 *
 * A restart makes SIPs that have ended again, and leaves all others as they are; their exporters
 * must run. In all plans, SIPs that stay and import from one that is made (again) are wired to it
 * (last phase): they keep what they had, and take the new channel when they like. For an apply,
 * those are SIPs of other graphs.
 *
 * Placement: the node the file names; else, in a restart, the node it was on, if it fits there;
 * else the first by id that is joined, has a free slot, and has room: the memory that its SIPs may
 * come to use stays below half of the node's.
 *
 * Errors: everything is checked first; with up to PLAN_ERRORS_MAX lines `path:line: error: what` in
 * text there is no plan. The status is that of the first: BADARG the graph contradicts itself,
 * NOTFOUND no such node, image or service, CONTRACT ends that do not speak the same, EXISTS name
 * taken, LIMIT does not fit, AGAIN not now (node or link or exporter is down). NOMEM.
 * Ownership: plan_free frees a plan; actions refer to the graph and to the world by index and
 * number, so both must stay until the plan is carried out.
 * Threads: pure.
 */
#ifndef ORCH_PLAN_H
#define ORCH_PLAN_H

#include "world.h"

#define PLAN_ERRORS_MAX 10u
#define PLAN_TEXT_BYTES_MAX 4096u

enum plan_kind { PLAN_STOP, PLAN_IMAGE, PLAN_CREATE, PLAN_WIRE, PLAN_START, PLAN_REWIRE };

struct plan_action {
    enum plan_kind kind;
    uint16_t node;          /* where it is done */
    uint64_t sip;           /* STOP, REWIRE: number */
    uint32_t spec;          /* IMAGE, CREATE, WIRE, START: index into graph->sips */
    uint32_t channel;       /* WIRE: index into graph->channels; REWIRE: into the SIP's made */
    uint16_t exporter_node; /* WIRE, REWIRE */
    const char *why;        /* STOP: static text */
};

struct plan {
    struct plan_action *actions;
    uint32_t action_count;
    uint32_t created, replaced, stopped, unchanged;
    char notes[PLAN_TEXT_BYTES_MAX]; /* lines worth telling, e.g. channels of other graphs that end
                                      */
};

/* A plan that makes the world as `desired` says. Its name decides which graph it is. */
SF_MUST_CHECK sf_status plan_make(const struct world *world, const Sf__Control__Graph *desired,
                                  struct plan **out_plan, char *text, size_t text_capacity);
/*
 * A plan that makes SIPs of a graph again that have ended, as its desired state says. With an error
 * nothing can be done now; text, without file and line, says what it waits for.
 */
SF_MUST_CHECK sf_status plan_restart(const struct world *world, const struct world_graph *graph,
                                     struct world_sip *const *sips, uint32_t sip_count,
                                     struct plan **out_plan, char *text, size_t text_capacity);
/* The same for all SIPs of a graph; those that live are stopped first. why: static. */
SF_MUST_CHECK sf_status plan_again(const struct world *world, const struct world_graph *graph,
                                   const char *why, struct plan **out_plan, char *text,
                                   size_t text_capacity);
/* A plan that stops all SIPs of a graph whose number is at least sip_first. why: static. NOMEM. */
SF_MUST_CHECK sf_status plan_stop(const struct world *world, const struct world_graph *graph,
                                  uint64_t sip_first, const char *why, struct plan **out_plan);
void plan_free(struct plan *plan); /* takes NULL */

#endif
