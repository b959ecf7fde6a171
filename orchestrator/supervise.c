/* SPDX-License-Identifier: Apache-2.0 */
#include "supervise.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

const char *supervise_policy_wrong(const struct supervise_policy *policy)
{
    if (policy->when != SUPERVISE_NEVER && policy->when != SUPERVISE_ON_FAULT &&
        policy->when != SUPERVISE_ALWAYS) {
        return "policy is never, on-fault or always";
    }
    if (policy->backoff_ms < SUPERVISE_BACKOFF_MS_MIN ||
        policy->backoff_ms > SUPERVISE_BACKOFF_MS_MAX) {
        return "backoff is 10ms to 1h";
    }
    if (policy->backoff_max_ms < policy->backoff_ms ||
        policy->backoff_max_ms > SUPERVISE_BACKOFF_MS_MAX) {
        return "backoff_max is at least backoff, and at most 1h";
    }
    if (policy->limit > SUPERVISE_LIMIT_MAX) {
        return "limit is 0 (none) to 64";
    }
    if (policy->window_ms < SUPERVISE_WINDOW_MS_MIN ||
        policy->window_ms > SUPERVISE_WINDOW_MS_MAX) {
        return "window is 1s to 24h";
    }
    return NULL;
}

static uint64_t since(uint64_t then_ms, uint64_t now_ms)
{
    return now_ms > then_ms ? now_ms - then_ms : 0;
}

/* Forgets what is out of the window, or does not fit because the limit was larger before. */
static void slide(struct supervise *supervise, const struct supervise_policy *policy,
                  uint64_t now_ms)
{
    uint32_t keep_max = policy->limit;
    uint32_t gone = 0;

    while (gone < supervise->granted_count &&
           (supervise->granted_count - gone > keep_max ||
            since(supervise->granted_ms[gone], now_ms) >= policy->window_ms)) {
        gone += 1;
    }
    supervise->granted_count -= gone;
    memmove(supervise->granted_ms, supervise->granted_ms + gone,
            supervise->granted_count * sizeof(supervise->granted_ms[0]));
}

static uint64_t backoff(const struct supervise_policy *policy, uint32_t streak)
{
    uint64_t wait_ms = policy->backoff_ms;

    while (streak > 0 && wait_ms < policy->backoff_max_ms) {
        wait_ms *= 2;
        streak -= 1;
    }
    return wait_ms < policy->backoff_max_ms ? wait_ms : policy->backoff_max_ms;
}

void supervise_started(struct supervise *supervise, uint64_t now_ms)
{
    supervise->started_ms = now_ms;
    supervise->running = true;
}

/* As if it had never ended; whether the graph was made again for it is for the caller to keep. */
static void forget(struct supervise *supervise)
{
    supervise->granted_count = 0;
    supervise->streak = 0;
}

struct supervise_decision supervise_ended(struct supervise *supervise,
                                          const struct supervise_policy *policy,
                                          enum supervise_end how, uint64_t now_ms)
{
    struct supervise_decision decision = {SUPERVISE_DOWN, 0, 0};

    assert(supervise_policy_wrong(policy) == NULL);
    if (supervise->running && since(supervise->started_ms, now_ms) >= policy->window_ms) {
        forget(supervise);
        supervise->escalated = false;
    }
    supervise->running = false;
    if (policy->when == SUPERVISE_NEVER ||
        (policy->when == SUPERVISE_ON_FAULT && how == SUPERVISE_GOOD)) {
        return decision;
    }
    slide(supervise, policy, now_ms);
    if (policy->limit != 0 && supervise->granted_count == policy->limit) {
        decision.verdict =
            policy->escalate && !supervise->escalated ? SUPERVISE_ESCALATE : SUPERVISE_FAILED;
        supervise->escalated = decision.verdict == SUPERVISE_ESCALATE;
        forget(supervise);
        return decision;
    }
    decision.verdict = SUPERVISE_RESTART;
    decision.at_ms = now_ms + backoff(policy, supervise->streak);
    if (policy->limit != 0) {
        supervise->granted_ms[supervise->granted_count++] = now_ms;
        decision.granted = supervise->granted_count;
    }
    supervise->streak += supervise->streak < UINT32_MAX;
    return decision;
}
