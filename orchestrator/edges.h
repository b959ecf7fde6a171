/* SPDX-License-Identifier: Apache-2.0 */
/* edges.h - all endpoints of all nodes, gathered: what edges.c and verify.c share. */
#ifndef ORCH_EDGES_H
#define ORCH_EDGES_H

#include "daemon.h"

/* One question to all nodes, under way. */
struct gather {
    struct daemon *daemon;
    void (*done)(struct gather *gather); /* all have answered, or will not */
    uint64_t console;
    uint64_t request;
    bool audit;                   /* nodes check themselves, too */
    struct verify *verify;        /* verify.c */
    char wanted[EDGE_NAME_BYTES]; /* edges_find */
    edges_found found;
    uint64_t found_key;
    uint32_t waiting;
    Sf__Control__Envelope **replies; /* copies of ChannelList */
    uint32_t reply_count;
    const Sf__Control__ChannelInfo **ends; /* of all replies, by id */
    size_t end_count;
    Sf__Control__SessionInfo *sessions; /* copies, with names */
    Sf__Control__NodeStats *nodes;
    uint16_t *silent; /* nodes that did not answer */
    uint32_t silent_count;
};

/* NULL: no memory. done is called once, maybe from inside edges__gather_run; then it is gone. */
struct gather *edges__gather_make(struct daemon *daemon, void (*done)(struct gather *gather));
void edges__gather_run(struct gather *gather);
/* Fills `ends`. False: no memory. */
bool edges__ends_sort(struct gather *gather);
/* The endpoint with that id; if two nodes have it (it is on its way), the one that holds it. */
const Sf__Control__ChannelInfo *edges__end_find(const struct gather *gather, uint64_t id);

#endif
