/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctc.h"

extern char **environ;

/* Graphviz reads from `input` and writes into a pipe. False: it could not be started. */
static bool start_dot(int input, pid_t *out_pid, int *out_fd)
{
    char *argv[] = {"dot", "-Tsvg", NULL};
    posix_spawn_file_actions_t actions;
    int ends[2];

    if (pipe(ends) != 0) {
        return false;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    errno = posix_spawnp(out_pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (errno != 0) {
        close(ends[0]);
        return false;
    }
    *out_fd = ends[0];
    return true;
}

static bool run_dot(int input, struct ctc__text *text)
{
    char bytes[4096];
    pid_t pid;
    int output;
    int status = 0;
    ssize_t count;

    if (!start_dot(input, &pid, &output)) {
        return false;
    }
    while ((count = read(output, bytes, sizeof(bytes))) > 0 || (count < 0 && errno == EINTR)) {
        ctc__put_bytes(text, bytes, count > 0 ? (size_t)count : 0);
    }
    close(output);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return count == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The input lies in a file without a name, so that neither side can wait for the other. */
bool ctc__emit_svg(const struct ctc_contract *contract, struct ctc__text *text)
{
    struct ctc__text dot = {0};
    int input = memfd_create("dot", MFD_CLOEXEC);
    bool made = false;

    ctc__emit_dot(contract, &dot);
    if (input >= 0) {
        made = write(input, dot.bytes, dot.length) == (ssize_t)dot.length &&
               lseek(input, 0, SEEK_SET) == 0 && run_dot(input, text) && text->length > 0;
        close(input);
    }
    free(dot.bytes);
    return made;
}
