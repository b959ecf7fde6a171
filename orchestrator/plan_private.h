/* SPDX-License-Identifier: Apache-2.0 */
/* plan_private.h - shared by plan_check.c (what is wrong) and plan.c (what is to be done). */
#ifndef ORCH_PLAN_PRIVATE_H
#define ORCH_PLAN_PRIVATE_H

#include "graph.h"
#include "plan.h"

/* What is being decided about one SIP of the graph. */
struct item {
    const Sf__Control__GraphSip *spec;
    const struct world_ports *ports;
    struct world_sip *observed; /* of that name in this graph; may have ended */
    struct world_node *node;    /* where it will be */
    bool keep;
    const char *why; /* !keep and observed is live: why it is made again */
};

/* Where a channel of the graph leads. */
struct edge {
    struct item *importer;
    struct item *exporter;            /* in this graph, or */
    const struct world_sip *external; /* in another one */
};

/* CHANGED: what is not as desired is made (again). ONLY: the SIPs listed are. ALL: all are. */
enum scope { SCOPE_CHANGED, SCOPE_ONLY, SCOPE_ALL };

struct planner {
    const struct world *world;
    enum scope scope;
    struct world_sip *const *only;
    uint32_t only_count;
    const char *why; /* ALL */
    const Sf__Control__Graph *desired;
    const struct world_graph *graph; /* NULL: first time */
    struct item *items;
    struct edge *edges;
    struct plan *plan;
    uint32_t error_count;
    sf_status status; /* of the first error */
    char *text;
    size_t text_capacity;
    size_t text_bytes;
};

/* Adds to text; what does not fit is cut. */
void plan__append(char *text, size_t capacity, size_t *bytes, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Notes one error. line: in the graph's file. */
void plan__refuse(struct planner *planner, sf_status status, uint32_t line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* NULL: the graph has no SIP of that name. */
struct item *plan__item_find(const struct planner *planner, const char *name);
/* False for SIPs that a restart leaves as they are. */
bool plan__in_scope(const struct planner *planner, const struct item *item);
/* Fills in items and edges, and refuses what is wrong with those in scope. */
void plan__check(struct planner *planner);

#endif
