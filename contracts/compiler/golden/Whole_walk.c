/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
/* Contract Whole for the walk (sips/walk/walk.h). Written by contractc; do not change. */
#include "walk.h"

static const struct walk_arg args_Chain[] = {
    {.name = "first", .kind = WALK_ARG_BLOCK},
};
static const struct walk_arg args_Done[] = {
    {.name = "heat", .kind = WALK_ARG_UINT32},
    {.name = "where_x", .kind = WALK_ARG_INT32},
    {.name = "where_y", .kind = WALK_ARG_INT32},
};
static const struct walk_arg args_Move[] = {
    {.name = "from_x", .kind = WALK_ARG_INT32},
    {.name = "from_y", .kind = WALK_ARG_INT32},
    {.name = "to_x", .kind = WALK_ARG_INT32},
    {.name = "to_y", .kind = WALK_ARG_INT32},
    {.name = "heat", .kind = WALK_ARG_UINT32},
};
static const struct walk_arg args_Names[] = {
    {.name = "names", .kind = WALK_ARG_BLOCK},
    {.name = "others", .kind = WALK_ARG_BLOCK},
};
static const struct walk_arg args_Password[] = {
    {.name = "text", .kind = WALK_ARG_BLOCK},
};
static const struct walk_arg args_Records[] = {
    {.name = "all", .kind = WALK_ARG_BLOCK},
    {.name = "one", .kind = WALK_ARG_BLOCK},
    {.name = "where", .kind = WALK_ARG_BLOCK},
};

static const struct walk_message messages[] = {
    {.name = "AskPassword", .direction = WALK_OUT},
    {.name = "Chain", .direction = WALK_IN, .arg_count = 1, .args = args_Chain},
    {.name = "Done", .direction = WALK_OUT, .arg_count = 3, .args = args_Done},
    {.name = "Granted", .direction = WALK_OUT},
    {.name = "Move", .direction = WALK_IN, .arg_count = 5, .args = args_Move},
    {.name = "Names", .direction = WALK_IN, .arg_count = 2, .args = args_Names},
    {.name = "Password", .direction = WALK_IN, .arg_count = 1, .args = args_Password},
    {.name = "Quit", .direction = WALK_IN},
    {.name = "Records", .direction = WALK_IN, .arg_count = 3, .args = args_Records},
    {.name = "Refused", .direction = WALK_OUT},
    {.name = "Welcome", .direction = WALK_OUT},
};

static const struct walk_state states[] = {
    {.name = "Start", .sender = 1, .final = 0},
    {.name = "Over", .sender = 0, .final = 1},
    {.name = "Ready", .sender = 0, .final = 0},
    {.name = "Ready.1", .sender = 1, .final = 0},
    {.name = "Ready.2", .sender = 0, .final = 0},
    {.name = "Ready.3", .sender = 1, .final = 0},
    {.name = "Ready.4", .sender = 0, .final = 0},
    {.name = "Ready.5", .sender = 1, .final = 0},
    {.name = "Ready.6", .sender = 0, .final = 0},
    {.name = "Ready.7", .sender = 1, .final = 0},
    {.name = "Ready.8", .sender = 1, .final = 0},
    {.name = "Ready.9", .sender = 1, .final = 0},
};

/* Following state by [state * messages + tag]; 255: not allowed. */
static const uint8_t next[] = {
    /* Start */
    255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 2,
    /* Over */
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    /* Ready */
    255, 3, 255, 255, 7, 10, 255, 1, 11, 255, 255,
    /* Ready.1 */
    4, 255, 255, 5, 255, 255, 255, 255, 255, 255, 255,
    /* Ready.2 */
    255, 255, 255, 255, 255, 255, 3, 255, 255, 255, 255,
    /* Ready.3 */
    6, 255, 255, 2, 255, 255, 255, 255, 255, 255, 255,
    /* Ready.4 */
    255, 255, 255, 255, 255, 255, 5, 255, 255, 255, 255,
    /* Ready.5 */
    8, 255, 255, 9, 255, 255, 255, 255, 255, 255, 255,
    /* Ready.6 */
    255, 255, 255, 255, 255, 255, 7, 255, 255, 255, 255,
    /* Ready.7 */
    255, 255, 2, 255, 255, 255, 255, 255, 255, 255, 255,
    /* Ready.8 */
    255, 255, 2, 255, 255, 255, 255, 255, 255, 255, 255,
    /* Ready.9 */
    255, 255, 2, 255, 255, 255, 255, 255, 255, 255, 255,
};

const struct walk_contract walk_contract = {
    .name = "Whole",
    .id = 0xd573a051ee3c73dfULL,
    .message_count = 11,
    .state_count = 12,
    .messages = messages,
    .states = states,
    .next = next,
};
