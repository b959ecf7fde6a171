/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow.h - the static check of a module against its contracts.
 *
 * Why: the monitor stops what a contract forbids when it happens. Most of it can be seen before:
 * where handles stay in locals or in stack frames, the order of calls is in the code.
 *
 * Model: an abstract run of sip_main with all calls inlined, on WebAssembly, after the verifier.
 * At each point there is a set of states, each with one contract state for each endpoint that is
 * followed (flow_state.h). A call that can fail gives two states, a receive one for each message
 * that may come. Loops run until nothing new appears. An operation (send, recv, close) is then
 *   proven   legal in every state that reaches it;
 *   refuted  illegal in every state that reaches it, with nothing unknown;
 *   left     to the monitor: all else, with the reason.
 * docs/sips.md says what is decided and what is not.
 *
 * Soundness: what is not followed is never proven. A store to an address that is not known forgets
 * all of memory; an operation on a handle that is not known forgets the states of all endpoints. A
 * module that does not fit the bounds (steps, depth, states at a point, recursion that reaches an
 * operation, an indirect call) has all of its operations left.
 *
 * Threads: pure. Ownership: flow_result_fini frees the result; it points into ports' contracts.
 */
#ifndef SIPC_FLOW_H
#define SIPC_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "contracts/table.h"
#include "flow_state.h"

#define FLOW_STEPS_MAX 20000000u
#define FLOW_EVENTS_MAX 400000u
#define FLOW_DEPTH_MAX 600u /* blocks and calls inside each other */
#define FLOW_PORTS_MAX 128u
#define FLOW_CONTRACTS_MAX 256u

struct flow_port {
    const char *name;
    const struct ct_contract *contract;
    bool export;
};

/* What the manifest says. */
struct flow_ports {
    struct flow_port ports[FLOW_PORTS_MAX];
    uint32_t port_count;
    const struct ct_contract *contracts[FLOW_CONTRACTS_MAX]; /* all that are known */
    uint32_t contract_count;
    bool large; /* slot class: addresses do not wrap */
};

enum flow_verdict { FLOW_PROVEN, FLOW_REFUTED, FLOW_LEFT };

struct flow_operation {
    uint32_t offset;  /* of the call, in the file */
    uint32_t address; /* the same, as line tables count */
    uint32_t function;
    uint8_t call; /* enum flow_call */
    enum flow_verdict verdict;
    bool reached;
    char reason[160]; /* refuted, left: why; proven: what */
    const struct flow_event *path;
    /* while it is being found out: */
    uint32_t legal, illegal, unknown;
    char bad[160];
};

struct flow_result {
    struct flow_operation *operations; /* in the order of the code */
    uint32_t count, proven, refuted, left;
    const char *over; /* not NULL: why nothing was decided */
    uint32_t code_offset;
    uint64_t steps;
    struct flow_event **events;
    uint32_t event_count;
};

/* False: no memory. The module has passed wasm_verify (of others, nothing is decided). */
bool flow_check(const uint8_t *bytes, size_t length, const struct flow_ports *ports,
                struct flow_result *out_result);
void flow_result_fini(struct flow_result *result);

#endif
