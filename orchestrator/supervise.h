/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervise.h - when a SIP that has ended is made again: its restart policy, as a function of
 * events and time.
 *
 * Why: a SIP that dies at start must neither eat its node by being restarted at once for ever, nor
 * stay down because nobody looked; and what is decided must be the same in a test as in a cluster.
 *
 * Model: the caller tells what happens (started, ended) and when, and does what is answered:
 *   DOWN      the policy has nothing more to do with it; e.g. it exited with 0 under on-fault
 *   RESTART   make it again at at_ms
 *   ESCALATE  make the whole graph again, now
 *   FAILED    it stays down until its graph is applied again
 * The n-th restart in a row comes backoff * 2^(n-1) after the end, at most backoff_max. A SIP that
 * ran for a whole window is healthy: its next end counts as its first. `limit` restarts are granted
 * within any `window`; at the next end the policy gives up: FAILED, or with escalate graph first
 * ESCALATE, once, with a fresh window, and FAILED when that did not help either.
 *
 * Units: milliseconds of any one clock that does not go back. Nothing here reads it.
 * Threads: pure. Ownership: plain structs, nothing to free; a zeroed struct supervise is a SIP that
 * never ran. Errors: none; supervise_policy_wrong says what a policy from outside must not be.
 * Limits: below. A time that was told before another one is taken as that one.
 */
#ifndef ORCH_SUPERVISE_H
#define ORCH_SUPERVISE_H

#include <stdbool.h>
#include <stdint.h>

#define SUPERVISE_LIMIT_MAX 64u
#define SUPERVISE_BACKOFF_MS_MIN 10u
#define SUPERVISE_BACKOFF_MS_MAX 3600000u
#define SUPERVISE_WINDOW_MS_MIN 1000u
#define SUPERVISE_WINDOW_MS_MAX 86400000u

/* What a graph file that does not say gets. */
#define SUPERVISE_BACKOFF_MS 100u
#define SUPERVISE_BACKOFF_MAX_MS 10000u
#define SUPERVISE_LIMIT 5u
#define SUPERVISE_WINDOW_MS 60000u

enum supervise_when { SUPERVISE_NEVER, SUPERVISE_ON_FAULT, SUPERVISE_ALWAYS };

struct supervise_policy {
    enum supervise_when when;
    uint32_t backoff_ms;
    uint32_t backoff_max_ms;
    uint32_t limit; /* 0: none */
    uint32_t window_ms;
    bool escalate; /* to the graph */
};

/* GOOD: it exited with 0. BAD: a fault, another exit code, a lost node, a restart that failed. */
enum supervise_end { SUPERVISE_GOOD, SUPERVISE_BAD };

enum supervise_verdict {
    SUPERVISE_DOWN,
    SUPERVISE_RESTART,
    SUPERVISE_ESCALATE,
    SUPERVISE_FAILED,
};

struct supervise_decision {
    enum supervise_verdict verdict;
    uint64_t at_ms;   /* RESTART */
    uint32_t granted; /* RESTART: it is this many restarts in the window, this one counted */
};

/* What is remembered of one SIP. */
struct supervise {
    uint64_t granted_ms[SUPERVISE_LIMIT_MAX]; /* the last ends that a restart was granted for */
    uint32_t granted_count;                   /* oldest first */
    uint32_t streak;                          /* restarts since it was healthy last */
    uint64_t started_ms;
    bool running;
    bool escalated; /* the graph was made again because of it */
};

/* NULL if the policy is usable; else a static text that says which value is out of range. */
const char *supervise_policy_wrong(const struct supervise_policy *policy);

void supervise_started(struct supervise *supervise, uint64_t now_ms);
/* It ended, or could not be started. policy: must be usable. */
struct supervise_decision supervise_ended(struct supervise *supervise,
                                          const struct supervise_policy *policy,
                                          enum supervise_end how, uint64_t now_ms);

#endif
