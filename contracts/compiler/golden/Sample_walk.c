/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
/* Contract Sample for the walk (sips/walk/walk.h). Written by contractc; do not change. */
#include "walk.h"

static const struct walk_arg args_Bad[] = {
    {.name = "why", .kind = WALK_ARG_UINT32},
};
static const struct walk_arg args_Blocks[] = {
    {.name = "one", .kind = WALK_ARG_BLOCK},
    {.name = "two", .kind = WALK_ARG_BLOCK},
    {.name = "three", .kind = WALK_ARG_BLOCK},
    {.name = "four", .kind = WALK_ARG_BLOCK},
};
static const struct walk_arg args_Endpoints[] = {
    {.name = "self", .kind = WALK_ARG_ENDPOINT, .contract = 0x01d54d5d33694535ULL, .side = 0, .state = 0},
    {.name = "other", .kind = WALK_ARG_ENDPOINT, .contract = 0xfe6af1bac439b503ULL, .side = 1, .state = 2},
    {.name = "maybe", .kind = WALK_ARG_ENDPOINT, .contract = 0xfe6af1bac439b503ULL, .side = 0, .state = 0},
};
static const struct walk_arg args_Give[] = {
    {.name = "data", .kind = WALK_ARG_BLOCK},
    {.name = "peer", .kind = WALK_ARG_ENDPOINT, .contract = 0xfe6af1bac439b503ULL, .side = 1, .state = 2},
};
static const struct walk_arg args_More[] = {
    {.name = "a", .kind = WALK_ARG_UINT64},
    {.name = "b", .kind = WALK_ARG_FLOAT32},
    {.name = "c", .kind = WALK_ARG_FLOAT64},
    {.name = "d", .kind = WALK_ARG_UINT32},
    {.name = "e", .kind = WALK_ARG_UINT16},
};
static const struct walk_arg args_Ping[] = {
    {.name = "number", .kind = WALK_ARG_UINT32},
};
static const struct walk_arg args_Scalars[] = {
    {.name = "a", .kind = WALK_ARG_BOOL},
    {.name = "b", .kind = WALK_ARG_INT8},
    {.name = "c", .kind = WALK_ARG_UINT8},
    {.name = "d", .kind = WALK_ARG_INT16},
    {.name = "e", .kind = WALK_ARG_UINT16},
    {.name = "f", .kind = WALK_ARG_INT32},
    {.name = "g", .kind = WALK_ARG_UINT32},
    {.name = "h", .kind = WALK_ARG_INT64},
};
static const struct walk_arg args_SingSharp[] = {
    {.name = "one", .kind = WALK_ARG_BLOCK},
    {.name = "two", .kind = WALK_ARG_BLOCK},
};

static const struct walk_message messages[] = {
    {.name = "Bad", .direction = WALK_OUT, .arg_count = 1, .args = args_Bad},
    {.name = "Blocks", .direction = WALK_IN, .arg_count = 4, .args = args_Blocks},
    {.name = "Endpoints", .direction = WALK_IN, .arg_count = 3, .args = args_Endpoints},
    {.name = "Fine", .direction = WALK_OUT},
    {.name = "Give", .direction = WALK_OUT, .arg_count = 2, .args = args_Give},
    {.name = "More", .direction = WALK_IN, .arg_count = 5, .args = args_More},
    {.name = "Ping", .direction = WALK_BOTH, .arg_count = 1, .args = args_Ping},
    {.name = "Quit", .direction = WALK_IN},
    {.name = "Scalars", .direction = WALK_IN, .arg_count = 8, .args = args_Scalars},
    {.name = "SingSharp", .direction = WALK_IN, .arg_count = 2, .args = args_SingSharp},
};

static const struct walk_state states[] = {
    {.name = "Idle", .sender = 0, .final = 0},
    {.name = "Chatting", .sender = 1, .final = 0},
    {.name = "End", .sender = 0, .final = 1},
    {.name = "Idle.1", .sender = 1, .final = 0},
    {.name = "Idle.2", .sender = 1, .final = 0},
    {.name = "Idle.3", .sender = 1, .final = 0},
    {.name = "Idle.4", .sender = 0, .final = 0},
    {.name = "Idle.5", .sender = 1, .final = 0},
};

/* Following state by [state * messages + tag]; 255: not allowed. */
static const uint8_t next[] = {
    /* Idle */
    255, 3, 4, 255, 255, 255, 5, 2, 6, 1,
    /* Chatting */
    2, 255, 255, 0, 255, 255, 255, 255, 255, 255,
    /* End */
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    /* Idle.1 */
    0, 255, 255, 0, 255, 255, 255, 255, 255, 255,
    /* Idle.2 */
    255, 255, 255, 255, 0, 255, 255, 255, 255, 255,
    /* Idle.3 */
    255, 255, 255, 255, 255, 255, 0, 255, 255, 255,
    /* Idle.4 */
    255, 255, 255, 255, 255, 7, 255, 255, 255, 255,
    /* Idle.5 */
    255, 255, 255, 0, 255, 255, 255, 255, 255, 255,
};

const struct walk_contract walk_contract = {
    .name = "Sample",
    .id = 0x01d54d5d33694535ULL,
    .message_count = 10,
    .state_count = 8,
    .messages = messages,
    .states = states,
    .next = next,
};
