/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_run.h - between flow.c (control flow), flow_insn.c (arithmetic, memory) and flow_calls.c
 * (kernel calls). Private to these.
 */
#ifndef SIPC_FLOW_RUN_H
#define SIPC_FLOW_RUN_H

#include "flow.h"
#include "flow_module.h"

struct flow_run {
    const struct flow_module *module;
    const struct flow_ports *ports;
    struct flow_result *result;
    uint32_t depth;
    uint32_t quiet;  /* inside a function from which no operation is reached */
    uint8_t *open;   /* by function: is it being run? */
    uint32_t caller; /* offset of the call to the function that is being run */
    const char *over;
};

/* Nothing will be decided. */
void flow_give_up(struct flow_run *r, const char *why);

struct flow_value flow_pop(struct flow_run *r, struct flow_state *s, uint32_t floor);
void flow_push(struct flow_run *r, struct flow_state *s, struct flow_value value);
/* 0, 1, or -1: either. */
int flow_truth(struct flow_value value);
/* Where memory is, or -1. */
int64_t flow_address(const struct flow_run *r, struct flow_value value, int64_t offset);

/* All that is neither control nor call. */
void flow__step(struct flow_run *r, struct flow_state *s, const struct flow_insn *insn,
                uint32_t base, uint32_t floor);
/* A kernel call: takes s, adds to `out` what can be after it. */
void flow__call(struct flow_run *r, struct flow_state *s, const struct flow_insn *insn,
                const struct flow_function *f, uint32_t floor, struct flow_set *out);

#endif
