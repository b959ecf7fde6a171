/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_state.h - what flow.c knows at one point of a program, and sets of that. Private to sipc.
 *
 * Model: a state stands for all runs of the program that agree with it. It holds one contract
 * state for each endpoint that is followed; where runs differ in that, there are several states.
 * A value is unknown, a constant, some negative number, or the handle of an endpoint. The stack
 * pointer of C starts as a constant, so that addresses in stack frames are constants too. Memory
 * is a list of places with known content; all else is unknown.
 *
 * Joining two states keeps what they agree on. It is done only where their endpoints are equal.
 *
 * Limits: below; a state that would go over a limit forgets something, or sets `over` in the
 * world, and then nothing at all is decided. Threads: one.
 */
#ifndef SIPC_FLOW_STATE_H
#define SIPC_FLOW_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "contracts/table.h"

#define FLOW_ENDPOINTS_MAX 12u
#define FLOW_PLACES_MAX 96u
#define FLOW_VALUES_MAX 1024u
#define FLOW_SET_MAX 192u  /* states at one point */
#define FLOW_APART_MAX 16u /* more than that at one point are joined where they can be */

enum flow_kind { FLOW_UNKNOWN = 0, FLOW_CONST, FLOW_NEGATIVE, FLOW_HANDLE };

struct flow_value {
    int64_t number; /* CONST: 32 bit values sign-extended; HANDLE: index of the endpoint */
    uint64_t kind;  /* enum flow_kind */
};

enum flow_life {
    FLOW_FREE = 0,
    FLOW_OPEN,
    FLOW_CLOSED,
    FLOW_GIVEN, /* sent away */
    FLOW_LOST,  /* it may be in any state */
};

struct flow_endpoint {
    const struct ct_contract *contract;
    uint8_t life, side, state;
    uint8_t shaky; /* a receive failed: the kernel may have moved on, with the message kept back */
    uint32_t reserved;
};

struct flow_place {
    uint32_t address;
    uint32_t bytes; /* 4 or 8 */
    struct flow_value value;
};

/* How a state came about; the newest first. Kept until the end. */
struct flow_event {
    const struct flow_event *before;
    const struct ct_contract *contract;
    uint32_t offset; /* of the call */
    uint32_t caller; /* of the call to the function it is in; 0: none */
    uint8_t call;    /* enum flow_call */
    uint8_t side, from, to;
    int16_t tag; /* -1: none */
    uint16_t failed;
};

struct flow_state {
    const struct flow_event *event;
    struct flow_value globals[8];
    struct flow_endpoint endpoints[FLOW_ENDPOINTS_MAX];
    uint32_t place_count, value_count;
    struct flow_place places[FLOW_PLACES_MAX];
    struct flow_value values[]; /* parameters, locals and operands of all open functions */
};

struct flow_set {
    struct flow_state **items;
    uint32_t count, room;
};

struct flow_value flow_unknown(void);
struct flow_value flow_const(int64_t number);

/* NULL: no memory. */
struct flow_state *flow_state_new(void);
struct flow_state *flow_state_copy(const struct flow_state *s);

/* Memory. Addresses are absolute. bytes: 1, 2, 4 or 8. */
struct flow_value flow_load(const struct flow_state *s, uint64_t address, uint32_t bytes);
void flow_store(struct flow_state *s, uint64_t address, uint32_t bytes, struct flow_value value);
void flow_forget(struct flow_state *s, uint64_t address, uint64_t bytes);

/* A free endpoint's index, or -1. */
int flow_endpoint_new(struct flow_state *s, const struct ct_contract *contract, uint8_t side,
                      uint8_t state);
/* Numbers endpoints by their first mention; those that nothing mentions are forgotten. */
void flow_tidy(struct flow_state *s);

/* Takes s in any case. False: no memory, or the set would be too large. */
bool flow_set_add(struct flow_set *set, struct flow_state *s);
/*
 * As flow_set_add, but drops s if the set knows it, and joins it to another state if `join`, or if
 * there are many. *out_new: the state in the set that is new or has changed, or NULL.
 */
bool flow_set_merge(struct flow_set *set, struct flow_state *s, bool join,
                    struct flow_state **out_new);
void flow_set_clear(struct flow_set *set); /* frees the states too */

#endif
