/* SPDX-License-Identifier: Apache-2.0 */
/* moves.h - what moves.c and drain.c share. Private to them. */
#ifndef ORCH_MOVES_H
#define ORCH_MOVES_H

#include "daemon.h"

#define MOVES_ASK_AGAIN_MS 200u

struct move {
    struct move *next;
    uint64_t number;
    uint64_t sip;
    char name[ORCH_NAME_BYTES_MAX + 1];
    uint16_t source, target; /* node ids */
    uint32_t budget_us;
    uint64_t console; /* 0: nobody listens any more */
    uint64_t request;
    uint64_t drain;              /* that it is part of, so that its end is not all; 0: none */
    uint64_t asked_ms, ended_ms; /* ended: 0, or when */
    Sf__Control__MoveStep step;
    char text[200];
    bool arrived;      /* the SIP is the target's */
    bool source_lost;  /* the target is to be asked */
    bool waits;        /* for an answer of a node */
    uint64_t again_ms; /* not before then */
    uint32_t tries;
    struct {
        uint64_t blackout_ns, total_ns, precopied_bytes, frozen_bytes;
        uint32_t endpoints, rounds;
    } figures;
};

/* Begins when it can; console may be NULL. NULL: no memory, or too many wait. */
struct move *moves__add(struct daemon *daemon, const struct world_sip *sip,
                        const struct world_node *target, uint32_t budget_us,
                        struct console *console, uint64_t request);
/* It is being moved, or waits for it; or NULL. */
struct move *moves__of_sip(const struct daemon *daemon, uint64_t sip);
/* NULL after it said that there is none, or that it has not joined. */
struct world_node *moves__wanted_node(struct console *console, uint64_t request, const char *name);
/* A move of a drain has ended. */
void drain__moved(struct daemon *daemon, const struct move *move);

#endif
