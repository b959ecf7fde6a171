/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explore.h - runs an importer and an exporter against each other, in every order there is.
 *
 * Why: the rules of the graph are about one machine. What can go wrong lies between two of them:
 * both send at once, each waits for the other, a message arrives that nobody expects there. The
 * two machines need not be the same: compat.c gives the old one to one side.
 *
 * Model: a configuration is the importer's state, the exporter's state and what is under way in
 * either direction. A step is a send (into the queue to the other side) or a receive (of the
 * oldest message). Breadth first, so the first finding has a shortest run. A message may be
 * received as soon as it was sent: that is when our kernels check it, so a message at the head of
 * a queue that its receiver's state does not allow is a finding, even if the receiver might send
 * first and understand it later.
 *
 * Findings: UNEXPECTED as said; OVERFLOW: a send finds the queue full; DEADLOCK: nothing is under
 * way, nobody may send, and not both are in a final state.
 *
 * Bounds: `slots` a queue, EXPLORE_CONFIGURATIONS_MAX configurations; LIMIT says that there were
 * more, and that nothing was found in those seen. Contracts that are positional, deterministic and
 * free of cycles in one direction have no findings (that is what these rules are for), so there a
 * LIMIT says nothing bad.
 *
 * No I/O, no names, no memory kept: everything is freed in explore__free.
 */
#ifndef CONTRACTS_COMPILER_EXPLORE_H
#define CONTRACTS_COMPILER_EXPLORE_H

#include "ctc.h"

#define EXPLORE_CONFIGURATIONS_MAX 50000u
#define EXPLORE_MESSAGES_MAX (2u * CT_MESSAGES_MAX)

enum explore_finding {
    EXPLORE_NOTHING,
    EXPLORE_UNEXPECTED,
    EXPLORE_OVERFLOW,
    EXPLORE_DEADLOCK,
    EXPLORE_LIMIT,
};

/* How one side sees the contract. */
struct explore_machine {
    uint32_t state_count;
    const char *const *state_names;
    /* [sender][state * message_count + message] = next state, or CT_ILLEGAL. */
    const uint8_t *next[2];
};

struct explore_step {
    enum ct_side side; /* who does it */
    bool sends;        /* false: receives */
    uint16_t message;
    uint8_t states[2];                      /* after it */
    uint8_t queued[2];                      /* after it: messages under way to that side */
    uint16_t queues[2][CT_QUEUE_SLOTS_MAX]; /* oldest first */
};

struct explore_question {
    struct explore_machine machines[2]; /* by enum ct_side */
    uint32_t message_count;
    const char *const *message_names;
    uint8_t slots[2]; /* of the queue to that side */
    /* Pairs of states the channel may begin in: [i][side]. */
    const uint8_t (*starts)[2];
    size_t start_count;
};

struct explore_answer {
    enum explore_finding finding;
    enum ct_side side; /* UNEXPECTED: who receives; OVERFLOW: whose queue is full */
    uint16_t message;  /* UNEXPECTED, OVERFLOW */
    uint8_t start[2];  /* where the run begins */
    struct explore_step *steps;
    size_t step_count;
    size_t configuration_count;
};

void explore__run(const struct explore_question *question, struct explore_answer *out_answer);
void explore__free(struct explore_answer *answer);

/* States at the end of the run. */
uint8_t explore__state(const struct explore_answer *answer, enum ct_side side);

/* "the importer waits for ..." in one line, without a full stop. Empty for NOTHING. */
void explore__put_finding(struct ctc__text *text, const struct explore_question *question,
                          const struct explore_answer *answer);
/* The run as a table, one line a step. */
void explore__put_run(struct ctc__text *text, const struct explore_question *question,
                      const struct explore_answer *answer);

/* The rule: a whole contract against itself; reports what it finds. After ctc__check_after. */
void ctc__check_both_sides(struct ctc_contract *contract);

#endif
