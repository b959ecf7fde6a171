/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster_spawn.h - starts and ends the programs of a cluster.
 *
 * Model: cluster_run waits for a short program (ip) and shows its words when it fails.
 * cluster_start starts one that stays (QEMU, dnsmasq, fabricd, sipnode): in a session of its own,
 * so that Ctrl-C at the terminal ends fabricctl only, with the cluster's instance number in its
 * environment, its output in a log file; it is recorded at once. Programs get an argument vector;
 * no shell is involved anywhere.
 *
 * Threads: none. Errors: as in cluster_state.h.
 * Limits: CLUSTER_ARGS_MAX arguments.
 */
#ifndef CTL_CLUSTER_SPAWN_H
#define CTL_CLUSTER_SPAWN_H

#include <stdint.h>

#include "ctl/cluster_state.h"

#define CLUSTER_ARGS_MAX 80
#define CLUSTER_ARG_BYTES 4096

/* Arguments are copied into one buffer; too many or too long ones are our bug and asserted. */
struct cluster_args {
    const char *argv[CLUSTER_ARGS_MAX + 1];
    char text[CLUSTER_ARG_BYTES];
    unsigned count;
    unsigned used;
};

void cluster_args_init(struct cluster_args *args);
void cluster_arg(struct cluster_args *args, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void cluster_args_list(struct cluster_args *args, const char *const texts[], size_t count);
/* Several plain arguments: cluster_args_add(&args, "ip", "link", NAME). */
#define cluster_args_add(args, ...)                                                                \
    cluster_args_list((args), (const char *const[]){__VA_ARGS__},                                  \
                      sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

/* IO: could not be started, or exit code not 0; said on stderr with the program's own words. */
SF_MUST_CHECK sf_status cluster_run(struct cluster *cluster, struct cluster_args *args);
/* The same, but a failure is only answered, not said. */
SF_MUST_CHECK sf_status cluster_run_quiet(struct cluster *cluster, struct cluster_args *args);
/* what: short name for pids and messages. log_path: its stdout and stderr, appended. */
SF_MUST_CHECK sf_status cluster_start(struct cluster *cluster, const char *what,
                                      struct cluster_args *args, const char *log_path,
                                      pid_t *out_pid);
/* Puts /usr/sbin and /sbin on the search path: dnsmasq, lighttpd and ip live there. */
void cluster_search_path(void);

/* Ends all processes of the cluster: asks, waits up to 3 s, kills. Answers how many are left. */
size_t cluster_end_processes(struct cluster *cluster);
/* Ends one process that cluster_start made in this run. */
void cluster_end_child(pid_t pid);

/* Milliseconds of the monotonic clock. */
uint64_t cluster_now_ms(void);
void cluster_sleep_ms(unsigned milliseconds);

#endif
