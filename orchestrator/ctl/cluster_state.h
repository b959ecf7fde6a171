/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster_state.h - what a local cluster is made of, written down before it is used.
 *
 * Why: `cluster destroy` must undo whatever `cluster create` did, also after a crash half-way,
 * and must never end a process or remove a link that is not the cluster's.
 *
 * Model: one folder per cluster (docs/formats.md). In it:
 *   cluster.json  name, mode, node count, namespace, boot id, and a random instance number. It is
 *                 written before anything else is made. Links live in the namespace and go with it.
 *   pids          one line per process: "PID START-TIME WHAT". The start time (ticks since boot,
 * from /proc) tells a process from a later one with the same number. lock          held (flock)
 * while the cluster is created or destroyed. Every process of a cluster has
 * SIPFABRIC_INSTANCE=<instance> in its environment, so that one that was started but not yet
 * written down is found as well.
 *
 * Threads: none. Ownership: struct cluster is the caller's; cluster_close gives its lock back.
 * Errors: sentences for people go to stderr, with what to do next; the status says the kind.
 * Limits: CLUSTER_NODES_MAX nodes; a state folder path under 80 bytes, because Unix sockets live in
 * it.
 */
#ifndef CTL_CLUSTER_STATE_H
#define CTL_CLUSTER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"
#include "ctl/ctl.h"

#define CLUSTER_NODES_MAX 64
#define CLUSTER_NAME_MAX 32
#define CLUSTER_DIR_MAX 80
#define CLUSTER_PATH_MAX 256
#define CLUSTER_INSTANCE_ENV "SIPFABRIC_INSTANCE"

struct cluster {
    const struct ctl_context *context;
    bool error_said; /* with -o json the first error is the one document on stdout */
    char name[CLUSTER_NAME_MAX + 1];
    char dir[CLUSTER_DIR_MAX];
    char instance[33]; /* 128 random bits, hexadecimal */
    char token[33];    /* join token of this cluster */
    char boot_id[40];  /* of the host: after a reboot no recorded process is ours */
    char netns[64];    /* "" if it has none */
    bool hosted;
    bool networked;    /* while it is made: it has a network namespace */
    bool allow_native; /* nodes take images of mode native; fabricd tells them */
    bool complete;     /* create came to its end */
    unsigned node_count;
    int lock_fd; /* -1: not locked */
};

struct cluster_process {
    pid_t pid;
    unsigned long long start_time;
    char what[32];
};

bool cluster_name_ok(const char *name);

/*
 * Makes the state folder of a new cluster, locks it and writes the record.
 * EXISTS: there is one of that name. The caller has set context, hosted, networked, allow_native
 * and node_count in zeroed memory.
 */
SF_MUST_CHECK sf_status cluster_new(struct cluster *cluster, const char *name);
/* Writes cluster.json anew (atomically). */
SF_MUST_CHECK sf_status cluster_save(struct cluster *cluster);
/* Reads one back, without the lock. NOTFOUND: no such cluster. FORMAT: the record is damaged. */
SF_MUST_CHECK sf_status cluster_load(struct cluster *cluster, const struct ctl_context *context,
                                     const char *name);
/* AGAIN: it is being created or destroyed by somebody else right now. */
SF_MUST_CHECK sf_status cluster_lock(struct cluster *cluster);
/* Whether another fabricctl holds the lock now. */
bool cluster_is_locked(const struct cluster *cluster);
void cluster_close(struct cluster *cluster);
/* Removes the state folder and all in it; keeps the lock until the end. */
SF_MUST_CHECK sf_status cluster_remove_dir(struct cluster *cluster);

/* Writes "<dir>/<format...>" into out_path (CLUSTER_PATH_MAX bytes) and answers it. */
char *cluster_path(const struct cluster *cluster, char *out_path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Start time of a live process; 0: it is gone (or a zombie). */
unsigned long long cluster_process_start(pid_t pid);
SF_MUST_CHECK sf_status cluster_record_process(struct cluster *cluster, pid_t pid,
                                               const char *what);
/*
 * The live processes of the cluster: recorded ones that still are what was recorded, and others
 * that carry its instance number. Answers how many there are; at most capacity are written.
 */
size_t cluster_processes(const struct cluster *cluster, struct cluster_process *out_processes,
                         size_t capacity);

/* Says what failed, as ctl_error does; further errors of the same cluster go to stderr. */
void cluster_error(struct cluster *cluster, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
