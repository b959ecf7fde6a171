/* SPDX-License-Identifier: Apache-2.0 */
/* dispatch.c - a small stack machine whose operations are called through a table of functions. */
#include "tax.h"

#define STEPS 50000u

struct machine {
    uint64_t stack[16];
    uint32_t depth;
    uint32_t at;
    uint64_t counter;
};
typedef void (*operation)(struct machine *m, uint32_t operand);

static void op_push(struct machine *m, uint32_t operand)
{
    m->stack[m->depth++ & 15] = operand;
}
static void op_add(struct machine *m, uint32_t operand)
{
    m->depth--;
    m->stack[(m->depth - 1) & 15] += m->stack[m->depth & 15] + operand;
}
static void op_mix(struct machine *m, uint32_t operand)
{
    m->stack[(m->depth - 1) & 15] = tax_fold(m->stack[(m->depth - 1) & 15], operand);
}
static void op_load(struct machine *m, uint32_t operand)
{
    m->stack[m->depth++ & 15] = m->counter + operand;
}
static void op_store(struct machine *m, uint32_t operand)
{
    m->depth--;
    m->counter += m->stack[m->depth & 15] ^ operand;
}
static void op_jump(struct machine *m, uint32_t operand)
{
    m->at = operand;
}

static const operation operations[] = {op_push, op_add, op_mix, op_load, op_store, op_jump};
static const struct {
    uint8_t operation;
    uint32_t operand;
} program[] = {{0, 17}, {3, 5}, {1, 3}, {2, 99}, {0, 4}, {1, 0}, {4, 0x55aa}, {5, 0}};

uint64_t tax_work(uint32_t rounds)
{
    struct machine m = {.counter = 1};

    for (uint32_t i = 0; i < rounds * STEPS; i++) {
        const uint32_t at = m.at++;

        operations[program[at].operation](&m, program[at].operand);
    }
    return tax_fold(m.counter, m.depth);
}
