/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steps.c - runs the steps of the RDMA bench in one of two machines, as /program of
 * tests/rdma/guest.c.
 *
 * usage: steps server|client. Each line of /steps is "name|seconds|server's command|client's
 * command". What a command prints follows "begin NAME"; "end NAME CODE" follows that, code 124 if
 * it took longer than the seconds. The client starts its command again while it fails within
 * RETRY_MS, for the server may not be there yet. Machines stay in step because servers wait for
 * their client.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RETRY_MS 10000u
#define PAUSE_US 300000u
#define WORDS_MAX 32

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static void command_start(const char *text)
{
    static char copy[1024];
    char *words[WORDS_MAX + 1];
    int count = 0;

    (void)snprintf(copy, sizeof(copy), "%s", text);
    for (char *word = strtok(copy, " "); word != NULL && count < WORDS_MAX;
         word = strtok(NULL, " ")) {
        words[count++] = word;
    }
    words[count] = NULL;
    (void)execv(words[0], words);
    perror(words[0]);
    _exit(127);
}

/* Answers its exit code; 128 and more: a signal; 124: it did not end in time. */
static int command_run(const char *text, uint64_t until_ms)
{
    bool late = false;
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        command_start(text);
    }
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (!late && now_ms() > until_ms) {
            late = true;
            (void)kill(pid, SIGKILL);
        }
        (void)usleep(20000);
    }
    if (late) {
        return 124;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void step_run(char *line, bool server)
{
    char *rest = line;
    const char *name = strsep(&rest, "|");
    const char *seconds = strsep(&rest, "|");
    const char *commands[2] = {strsep(&rest, "|"), strsep(&rest, "|\n")};
    uint64_t began_ms = now_ms();
    int code;

    if (commands[1] == NULL) {
        return;
    }
    do {
        (void)printf("begin %s\n", name);
        (void)fflush(stdout);
        code =
            command_run(commands[server ? 0 : 1], began_ms + strtoull(seconds, NULL, 10) * 1000u);
        (void)printf("end %s %d\n", name, code);
        (void)fflush(stdout);
        if (!server && code != 0) {
            (void)usleep(PAUSE_US);
        }
    } while (!server && code != 0 && code != 124 && now_ms() < began_ms + RETRY_MS);
}

int main(int argc, char **argv)
{
    FILE *steps = fopen("/steps", "re");
    char line[2048];

    if (argc != 2 || steps == NULL) {
        (void)fprintf(stderr, "usage: steps server|client, and a file /steps\n");
        return 2;
    }
    while (fgets(line, sizeof(line), steps) != NULL) {
        step_run(line, strcmp(argv[1], "server") == 0);
    }
    (void)fclose(steps);
    return 0;
}
