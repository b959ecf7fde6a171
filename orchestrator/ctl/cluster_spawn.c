/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/cluster_spawn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ENVIRONMENT_MAX 1024
#define PROCESSES_MAX 512
#define END_MS_MAX 3000
#define KILL_MS_MAX 2000

extern char **environ;

void cluster_args_init(struct cluster_args *args)
{
    memset(args, 0, sizeof(*args));
}

static char *args_space(struct cluster_args *args, size_t *out_capacity)
{
    assert(args->count < CLUSTER_ARGS_MAX);
    assert(args->used < sizeof(args->text));
    *out_capacity = sizeof(args->text) - args->used;
    args->argv[args->count++] = args->text + args->used;
    return args->text + args->used;
}

void cluster_arg(struct cluster_args *args, const char *format, ...)
{
    size_t capacity;
    char *space = args_space(args, &capacity);
    va_list list;
    int length;

    va_start(list, format);
    length = vsnprintf(space, capacity, format, list);
    va_end(list);
    assert(length >= 0 && (size_t)length < capacity);
    args->used += (unsigned)length + 1;
}

void cluster_args_list(struct cluster_args *args, const char *const texts[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cluster_arg(args, "%s", texts[i]);
    }
}

uint64_t cluster_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void cluster_sleep_ms(unsigned milliseconds)
{
    struct timespec pause = {.tv_sec = milliseconds / 1000,
                             .tv_nsec = (long)(milliseconds % 1000) * 1000000};

    nanosleep(&pause, NULL); /* a signal may end it early: the caller looks at its flag next */
}

void cluster_search_path(void)
{
    const char *path = getenv("PATH");
    char longer[4096];

    if (path == NULL || strstr(path, "/usr/sbin") == NULL) {
        snprintf(longer, sizeof(longer), "%s:/usr/sbin:/sbin",
                 path != NULL ? path : "/usr/bin:/bin");
        setenv("PATH", longer, 1);
    }
}

/*
 * Starts argv with its output going to out_fd, in a session of its own: a Ctrl-C meant for
 * fabricctl must not break off a clean-up half-way.
 */
static sf_status spawn(struct cluster *cluster, struct cluster_args *args, int out_fd,
                       pid_t *out_pid)
{
    static char instance[64];
    static char token[256]; /* not an argument: those can be read by everyone on the machine */
    char *environment[ENVIRONMENT_MAX];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t all;
    size_t count = 0;
    int error;

    snprintf(instance, sizeof(instance), "%s=%s", CLUSTER_INSTANCE_ENV, cluster->instance);
    snprintf(token, sizeof(token), "SIPFABRIC_TOKEN=%s", cluster->token);
    environment[count++] = instance;
    environment[count++] = token;
    for (char **entry = environ; *entry != NULL && count < ENVIRONMENT_MAX - 1; entry++) {
        if (strncmp(*entry, CLUSTER_INSTANCE_ENV "=", sizeof(CLUSTER_INSTANCE_ENV)) != 0 &&
            strncmp(*entry, "SIPFABRIC_TOKEN=", strlen("SIPFABRIC_TOKEN=")) != 0) {
            environment[count++] = *entry;
        }
    }
    environment[count] = NULL;
    args->argv[args->count] = NULL;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out_fd, 1);
    posix_spawn_file_actions_adddup2(&actions, out_fd, 2);
    /* What fabricctl's caller left open must not live as long as the cluster does. */
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    error = posix_spawnp(out_pid, args->argv[0], &actions, &attributes,
                         (char *const *)(uintptr_t)args->argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        cluster_error(cluster, "cannot start %s: %s%s", args->argv[0], strerror(error),
                      error == ENOENT ? "; './run setup' installs what is missing" : "");
        return SF_IO;
    }
    return SF_OK;
}

/* Exit code, or 128 + signal. */
static int wait_for(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return 255;
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void collect(int fd, char *out_text, size_t capacity)
{
    size_t used = 0;
    ssize_t got;

    while (used < capacity - 1) {
        got = read(fd, out_text + used, capacity - 1 - used);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        used += (size_t)got;
    }
    while (used > 0 && out_text[used - 1] == '\n') {
        used--;
    }
    out_text[used] = '\0';
}

static sf_status run(struct cluster *cluster, struct cluster_args *args, bool quiet)
{
    char words[512];
    char line[256] = "";
    int ends[2];
    pid_t pid;
    int code;

    if (pipe2(ends, O_CLOEXEC) != 0) {
        cluster_error(cluster, "no pipe: %s", strerror(errno));
        return SF_IO;
    }
    if (spawn(cluster, args, ends[1], &pid) != SF_OK) {
        close(ends[0]);
        close(ends[1]);
        return SF_IO;
    }
    close(ends[1]);
    collect(ends[0], words, sizeof(words));
    close(ends[0]);
    code = wait_for(pid);
    if (code == 0) {
        return SF_OK;
    }
    for (unsigned i = 0; i < args->count && !quiet; i++) {
        size_t used = strlen(line);
        snprintf(line + used, sizeof(line) - used, "%s%s", i > 0 ? " " : "", args->argv[i]);
    }
    if (!quiet) {
        cluster_error(cluster, "'%s' failed with code %d: %s", line, code,
                      words[0] != '\0' ? words : "no message");
    }
    return SF_IO;
}

sf_status cluster_run(struct cluster *cluster, struct cluster_args *args)
{
    return run(cluster, args, false);
}

sf_status cluster_run_quiet(struct cluster *cluster, struct cluster_args *args)
{
    return run(cluster, args, true);
}

sf_status cluster_start(struct cluster *cluster, const char *what, struct cluster_args *args,
                        const char *log_path, pid_t *out_pid)
{
    int log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    sf_status st;
    pid_t pid = -1;

    if (log_fd < 0) {
        cluster_error(cluster, "cannot open %s: %s", log_path, strerror(errno));
        return SF_IO;
    }
    st = spawn(cluster, args, log_fd, &pid);
    close(log_fd);
    if (st != SF_OK) {
        return st;
    }
    st = cluster_record_process(cluster, pid, what);
    if (st != SF_OK) {
        cluster_end_child(pid);
        return st;
    }
    *out_pid = pid;
    return SF_OK;
}

/* --- ending
 * --------------------------------------------------------------------------------------- */

void cluster_end_child(pid_t pid)
{
    kill(pid, SIGKILL); /* our child and not waited for yet: the number cannot be another's */
    wait_for(pid);
}

/* Sends to exactly the process that was recorded: the pidfd cannot slip to another one. */
static void signal_process(const struct cluster_process *process, int number)
{
    int fd = pidfd_open(process->pid, 0);

    if (fd < 0) {
        return;
    }
    if (cluster_process_start(process->pid) == process->start_time) {
        pidfd_send_signal(fd, number, NULL, 0);
    }
    close(fd);
}

static void reap(const struct cluster_process *processes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        waitpid(processes[i].pid, NULL, WNOHANG); /* not our child: nothing happens */
    }
}

static size_t signal_all(struct cluster *cluster, int number, uint64_t wait_ms)
{
    static struct cluster_process processes[PROCESSES_MAX];
    uint64_t end = cluster_now_ms() + wait_ms;
    size_t count = cluster_processes(cluster, processes, PROCESSES_MAX);

    for (size_t i = 0; i < count; i++) {
        signal_process(&processes[i], number);
    }
    while (count > 0) {
        size_t live = 0;

        reap(processes, count);
        for (size_t i = 0; i < count; i++) {
            live += cluster_process_start(processes[i].pid) == processes[i].start_time ? 1 : 0;
        }
        if (live == 0 || cluster_now_ms() >= end) {
            break;
        }
        cluster_sleep_ms(20);
    }
    return cluster_processes(cluster, processes, PROCESSES_MAX);
}

size_t cluster_end_processes(struct cluster *cluster)
{
    size_t left = signal_all(cluster, SIGTERM, END_MS_MAX);

    for (int turn = 0; left > 0 && turn < 3; turn++) {
        left = signal_all(cluster, SIGKILL, KILL_MS_MAX);
    }
    return left;
}
