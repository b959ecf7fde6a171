/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
/* Contract Other for the walk (sips/walk/walk.h). Written by contractc; do not change. */
#include "walk.h"

static const struct walk_arg args_Tell[] = {
    {.name = "who", .kind = WALK_ARG_ENDPOINT, .contract = 0x01d54d5d33694535ULL, .side = 0, .state = 0},
};

static const struct walk_message messages[] = {
    {.name = "Ask", .direction = WALK_IN},
    {.name = "Hello", .direction = WALK_OUT},
    {.name = "Tell", .direction = WALK_OUT, .arg_count = 1, .args = args_Tell},
};

static const struct walk_state states[] = {
    {.name = "Start", .sender = 0, .final = 0},
    {.name = "Start.1", .sender = 1, .final = 0},
    {.name = "Talking", .sender = 1, .final = 0},
};

/* Following state by [state * messages + tag]; 255: not allowed. */
static const uint8_t next[] = {
    /* Start */
    1, 255, 255,
    /* Start.1 */
    255, 255, 0,
    /* Talking */
    255, 0, 255,
};

const struct walk_contract walk_contract = {
    .name = "Other",
    .id = 0xfe6af1bac439b503ULL,
    .message_count = 3,
    .state_count = 3,
    .messages = messages,
    .states = states,
    .next = next,
};
