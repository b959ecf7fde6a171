/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "blob.h"

enum { UNSEEN = -2, OPEN = -3, ENDLESS = -1 };

/*
 * Depth-first, without recursion: the depth is bounded by the number of states, but a contract
 * comes from an image, and 250 nested calls are not needed to answer this.
 */
struct frame {
    uint8_t state;
    uint16_t tag;
};

static int run_from(const struct ct_contract *contract, enum ct_side sender, uint8_t start,
                    int runs[CT_STATES_MAX])
{
    struct frame stack[CT_STATES_MAX];
    int depth = 1;

    if (runs[start] != UNSEEN) {
        return runs[start];
    }
    stack[0] = (struct frame){.state = start};
    runs[start] = OPEN;
    int best[CT_STATES_MAX] = {0};
    while (depth > 0) {
        struct frame *top = &stack[depth - 1];
        uint8_t next = CT_ILLEGAL;

        if (top->tag == contract->message_count) {
            runs[top->state] = best[depth - 1];
            depth--;
            if (depth > 0 && best[depth - 1] < best[depth] + 1) {
                best[depth - 1] = best[depth] + 1;
            }
            continue;
        }
        next = ct_step(contract, top->state, sender, top->tag++);
        if (next == CT_ILLEGAL) {
            continue;
        }
        if (runs[next] == OPEN) {
            return ENDLESS;
        }
        if (runs[next] >= 0) {
            if (best[depth - 1] < runs[next] + 1) {
                best[depth - 1] = runs[next] + 1;
            }
            continue;
        }
        runs[next] = OPEN;
        stack[depth] = (struct frame){.state = next};
        best[depth] = 0;
        depth++;
    }
    return runs[start];
}

int ct__run_length(const struct ct_contract *contract, enum ct_side sender)
{
    int runs[CT_STATES_MAX];
    int longest = 0;

    for (int i = 0; i < (int)CT_STATES_MAX; i++) {
        runs[i] = UNSEEN;
    }
    for (uint16_t state = 0; state < contract->state_count; state++) {
        int run = run_from(contract, sender, (uint8_t)state, runs);
        if (run == ENDLESS) {
            return ENDLESS;
        }
        if (run > longest) {
            longest = run;
        }
    }
    return longest;
}
