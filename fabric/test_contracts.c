/* SPDX-License-Identifier: Apache-2.0 */
#include "test_contracts.h"

#include <string.h>

#define SCALAR(k)                                                                                  \
    {                                                                                              \
        .name = #k, .kind = CT_ARG_##k                                                             \
    }
#define BLOCK(e, o)                                                                                \
    {                                                                                              \
        .name = "block", .kind = CT_ARG_BLOCK, .element = CT_ARG_##e, .optional = (o)              \
    }
#define WORK_EP(sd, st, o)                                                                         \
    {                                                                                              \
        .name = "end", .kind = CT_ARG_ENDPOINT, .side = (sd), .state = (st), .optional = (o),      \
        .ref = 0                                                                                   \
    }

static const struct ct_message work_messages[WORK_MESSAGES] = {
    [WORK_ASK] = {"Ask",
                  CT_DIR_IN,
                  4,
                  {SCALAR(UINT64), SCALAR(UINT32), SCALAR(INT8), SCALAR(BOOL)}},
    [WORK_BYTES] = {"Bytes", CT_DIR_IN, 2, {BLOCK(UINT8, 0), BLOCK(UINT32, 1)}},
    [WORK_BURST] = {"Burst", CT_DIR_IN, 1, {SCALAR(UINT64)}},
    [WORK_END] = {"End", CT_DIR_IN, 0},
    [WORK_ANSWER] = {"Answer", CT_DIR_OUT, 1, {SCALAR(UINT64)}},
    [WORK_GIVE] = {"Give", CT_DIR_OUT, 2, {SCALAR(UINT64), BLOCK(UINT8, 0)}},
};

static const struct ct_state work_states[WORK_STATES] = {
    [WORK_START] = {"Start", 0, CT_IMP},   [WORK_BURST1] = {"Burst1", 0, CT_IMP},
    [WORK_BURST2] = {"Burst2", 0, CT_IMP}, [WORK_ASKED] = {"Asked", 0, CT_EXP},
    [WORK_OVER] = {"Over", 1, CT_IMP},
};

static const struct ct_message carry_messages[CARRY_MESSAGES] = {
    [CARRY_TAKE_IMP] = {"TakeImp",
                        CT_DIR_BOTH,
                        2,
                        {SCALAR(UINT64), WORK_EP(CT_IMP, WORK_START, 0)}},
    [CARRY_TAKE_EXP] = {"TakeExp",
                        CT_DIR_BOTH,
                        2,
                        {SCALAR(UINT64), WORK_EP(CT_EXP, WORK_ASKED, 1)}},
    [CARRY_TAKE_BUSY] = {"TakeBusy",
                         CT_DIR_BOTH,
                         2,
                         {SCALAR(UINT64), WORK_EP(CT_IMP, WORK_BURST1, 0)}},
    [CARRY_PASS] = {"Pass", CT_DIR_BOTH, 0},
    [CARRY_DONE] = {"Done", CT_DIR_BOTH, 0},
};

static const struct ct_state carry_states[CARRY_STATES] = {
    [CARRY_LEFT] = {"Left", 0, CT_IMP},
    [CARRY_LEFT_TOLD] = {"LeftTold", 0, CT_EXP},
    [CARRY_RIGHT] = {"Right", 0, CT_EXP},
    [CARRY_RIGHT_TOLD] = {"RightTold", 0, CT_IMP},
};

static struct ct_ref carry_refs[1] = {{"Work", {0}}};

static uint8_t work_next[2][WORK_STATES][WORK_MESSAGES];
static uint8_t carry_next[2][CARRY_STATES][CARRY_MESSAGES];

static struct ct_contract work = {
    .name = "Work",
    .short_id = 0x1111111111111111ull,
    .message_count = WORK_MESSAGES,
    .state_count = WORK_STATES,
    .slots = {[CT_IMP] = 1, [CT_EXP] = 3},
    .messages = work_messages,
    .states = work_states,
    .next = {&work_next[0][0][0], &work_next[1][0][0]},
};

static struct ct_contract carry = {
    .name = "Carry",
    .short_id = 0x2222222222222222ull,
    .message_count = CARRY_MESSAGES,
    .state_count = CARRY_STATES,
    .ref_count = 1,
    .slots = {[CT_IMP] = 2, [CT_EXP] = 2},
    .messages = carry_messages,
    .states = carry_states,
    .refs = carry_refs,
    .next = {&carry_next[0][0][0], &carry_next[1][0][0]},
};

const struct ct_contract *test_work(void)
{
    memset(work.id, 0x11, sizeof(work.id));
    memset(work_next, CT_ILLEGAL, sizeof(work_next));
    work_next[CT_IMP][WORK_START][WORK_ASK] = WORK_ASKED;
    work_next[CT_IMP][WORK_START][WORK_BYTES] = WORK_ASKED;
    work_next[CT_IMP][WORK_START][WORK_BURST] = WORK_BURST1;
    work_next[CT_IMP][WORK_BURST1][WORK_BURST] = WORK_BURST2;
    work_next[CT_IMP][WORK_BURST2][WORK_BURST] = WORK_ASKED;
    work_next[CT_IMP][WORK_BURST2][WORK_END] = WORK_OVER;
    work_next[CT_EXP][WORK_ASKED][WORK_ANSWER] = WORK_START;
    work_next[CT_EXP][WORK_ASKED][WORK_GIVE] = WORK_START;
    return &work;
}

static void carry_side(uint8_t next[CARRY_STATES][CARRY_MESSAGES], uint8_t mine, uint8_t told,
                       uint8_t other, uint8_t other_told)
{
    next[mine][CARRY_TAKE_IMP] = told;
    next[mine][CARRY_TAKE_EXP] = told;
    next[mine][CARRY_TAKE_BUSY] = told;
    next[mine][CARRY_PASS] = other;
    next[other_told][CARRY_DONE] = other;
}

const struct ct_contract *test_carry(void)
{
    memset(carry.id, 0x22, sizeof(carry.id));
    memset(carry_refs[0].id, 0x11, sizeof(carry_refs[0].id));
    memset(carry_next, CT_ILLEGAL, sizeof(carry_next));
    carry_side(carry_next[CT_IMP], CARRY_LEFT, CARRY_LEFT_TOLD, CARRY_RIGHT, CARRY_RIGHT_TOLD);
    carry_side(carry_next[CT_EXP], CARRY_RIGHT, CARRY_RIGHT_TOLD, CARRY_LEFT, CARRY_LEFT_TOLD);
    return &carry;
}
