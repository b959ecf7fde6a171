/* SPDX-License-Identifier: Apache-2.0 */
#include "flow_report.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "flow_module.h"

#define PLACE_BYTES 512u
#define PATH_MAX_SHOWN 16u

extern char **environ;

/* --- lines ---------------------------------------------------------------------------------------
 */

/* Generated headers and the SDK: who called them is what a person wants to see. */
static bool is_ours(const char *path)
{
    return strstr(path, "/libsip/") != NULL || strstr(path, "/sdk/") != NULL ||
           (strstr(path, "/contracts/") != NULL && strstr(path, ".h:") != NULL);
}

/* llvm-symbolizer's answer for one address; NULL: it cannot be run. */
static FILE *symbolizer(const char *module, uint32_t address, pid_t *out_pid)
{
    char object[4200], number[32];
    char *const argv[] = {
        (char[]){"llvm-symbolizer"}, object, (char[]){"--inlines"}, number, NULL,
    };
    posix_spawn_file_actions_t actions;
    FILE *stream = NULL;
    int pipes[2];

    (void)snprintf(object, sizeof(object), "--obj=%s", module);
    (void)snprintf(number, sizeof(number), "0x%x", address);
    if (pipe2(pipes, O_CLOEXEC) != 0) {
        return NULL;
    }
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, pipes[1], STDOUT_FILENO);
    (void)posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    (void)posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (posix_spawnp(out_pid, argv[0], &actions, NULL, argv, environ) == 0) {
        stream = fdopen(pipes[0], "r");
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(pipes[1]);
    if (stream == NULL) {
        (void)close(pipes[0]);
    }
    return stream;
}

/* "path:line", of the innermost frame that is the programmer's; "" if that is not known. */
static void find_line(const char *module, uint32_t address, char place[PLACE_BYTES])
{
    char function[PLACE_BYTES], line[PLACE_BYTES];
    pid_t pid;
    FILE *stream = symbolizer(module, address, &pid);

    place[0] = '\0';
    if (stream == NULL) {
        return;
    }
    while (fgets(function, sizeof(function), stream) != NULL && function[0] != '\n' &&
           fgets(line, sizeof(line), stream) != NULL) {
        char *colon = strrchr(line, ':'); /* column */
        if (colon == NULL || strncmp(line, "??", 2) == 0 || place[0] != '\0') {
            continue;
        }
        *colon = '\0';
        colon = strrchr(line, ':');
        if (colon != NULL && strcmp(colon, ":0") != 0 && !is_ours(line)) {
            (void)snprintf(place, PLACE_BYTES, "%s", line);
        }
    }
    (void)fclose(stream);
    (void)waitpid(pid, NULL, 0);
}

static void place_of(const struct flow_report *report, const struct flow_result *result,
                     uint32_t offset, uint32_t caller, char place[PLACE_BYTES])
{
    find_line(report->module, offset - result->code_offset, place);
    if (place[0] == '\0' && caller != 0) {
        find_line(report->module, caller - result->code_offset, place);
    }
    if (place[0] == '\0') {
        (void)snprintf(place, PLACE_BYTES, "%s: offset 0x%x", report->shown, offset);
    }
}

/* --- events --------------------------------------------------------------------------------------
 */

static const char *verb(uint8_t call)
{
    switch ((enum flow_call)call) {
    case FLOW_CALL_send:
        return "send";
    case FLOW_CALL_recv:
        return "recv";
    case FLOW_CALL_close:
        return "close";
    case FLOW_CALL_accept:
        return "accept";
    case FLOW_CALL_channel:
        return "channel";
    default:
        return "take";
    }
}

static void print_event(const struct flow_report *report, const struct flow_result *result,
                        const struct flow_event *event)
{
    const struct ct_contract *c = event->contract;
    const char *side = event->side == CT_IMP ? "Imp" : "Exp";
    char place[PLACE_BYTES];

    place_of(report, result, event->offset, event->caller, place);
    if (event->tag >= 0) {
        (void)fprintf(stderr, "    %s: %s %s.%s %s: %s -> %s\n", place, verb(event->call), c->name,
                      side, c->messages[event->tag].name, c->states[event->from].name,
                      c->states[event->to].name);
    } else {
        (void)fprintf(stderr, "    %s: %s %s.%s in state %s\n", place, verb(event->call), c->name,
                      side, c->states[event->to].name);
    }
}

/* The way there, oldest first; of a long one the last part. */
static void print_path(const struct flow_report *report, const struct flow_result *result,
                       const struct flow_event *last)
{
    const struct flow_event *shown[PATH_MAX_SHOWN];
    uint32_t count = 0;

    while (last != NULL && count < PATH_MAX_SHOWN) {
        shown[count++] = last;
        last = last->before;
    }
    if (last != NULL) {
        (void)fputs("    ...\n", stderr);
    }
    while (count > 0) {
        print_event(report, result, shown[--count]);
    }
}

/* --- operations ----------------------------------------------------------------------------------
 */

static void print_operation(const struct flow_report *report, const struct flow_result *result,
                            const struct flow_operation *op)
{
    char place[PLACE_BYTES];
    const bool wrong = op->verdict == FLOW_REFUTED || (report->strict && op->verdict == FLOW_LEFT);

    if (!wrong && !report->all) {
        return;
    }
    place_of(report, result, op->offset, 0, place);
    if (op->verdict == FLOW_REFUTED) {
        (void)fprintf(stderr, "%s: error: %s [refuted]\n", place, op->reason);
        print_path(report, result, op->path);
    } else if (op->verdict == FLOW_LEFT) {
        (void)fprintf(wrong ? stderr : report->stream, "%s: %s: %s is left to the monitor: %s\n",
                      place, wrong ? "error" : "note", verb(op->call), op->reason);
    } else {
        (void)fprintf(report->stream, "%s: note: %s is proven%s%s\n", place, verb(op->call),
                      op->reason[0] != '\0' ? ": " : "", op->reason);
    }
}

sf_status flow_report(const struct flow_result *result, const struct flow_report *report)
{
    for (uint32_t i = 0; i < result->count; i++) {
        print_operation(report, result, &result->operations[i]);
    }
    if (result->count == 0 && !report->all) {
        return SF_OK;
    }
    (void)fprintf(report->stream,
                  "contracts: %u operations: %u proven, %u refuted, %u left to the monitor%s%s\n",
                  result->count, result->proven, result->refuted, result->left,
                  result->over != NULL ? ": " : "", result->over != NULL ? result->over : "");
    (void)fflush(report->stream);
    return result->refuted > 0 || (report->strict && result->left > 0) ? SF_CONTRACT : SF_OK;
}
