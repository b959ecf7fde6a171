/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Would it be noticed? Bugs are planted, one at a time, into a second copy of the fabric
 * (fabric/plant.h), compiled without asserts; the strikes of moves.h must find each. TAP.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "moves.h"
#include "plant.h"
#include "trace.h"

#define SECONDS_MAX 150u
#define SEEDS 40u

enum fab__plant fab__plant;

struct bug {
    enum fab__plant plant;
    const char *name;
    const char *scenario; /* NULL: cells at random */
    const char *strike;
};

static void look(const struct bug *bug)
{
    struct moves_result result = {0};

    fab__plant = bug->plant;
    if (bug->scenario != NULL) {
        moves_enumerate(moves_scenario_find(bug->scenario), bug->strike, &result);
        return;
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        moves_random(seed, false, &result);
    }
}

/* In a process of its own: a run that fails ends it. */
static bool is_found(const struct bug *bug)
{
    int status = 0;
    pid_t pid;

    (void)fflush(NULL);
    pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        (void)dup2(null, STDOUT_FILENO);
        (void)dup2(null, STDERR_FILENO);
        (void)alarm(SECONDS_MAX);
        look(bug);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || WIFSIGNALED(status)) {
        (void)printf("Bail out! %s: a run did not end\n", bug->name);
        exit(1);
    }
    return WEXITSTATUS(status) == SIM_EXIT_FAILED;
}

int main(void)
{
    static const struct bug bugs[] = {
        {FAB__PLANT_HELD, "HELD is said in the middle of a message", NULL, NULL},
        {FAB__PLANT_EARLY, "the target does not wait for COMMIT", "alone", "cut12"},
        {FAB__PLANT_DOUBT, "a source in doubt goes on by itself", "alone", "cut12"},
        {FAB__PLANT_SEEN, "a witness forgets what it has seen", "many", "target"},
        {FAB__PLANT_ASK, "nobody asks the target when the source is gone", "join", "source"},
    };
    uint32_t count = sizeof(bugs) / sizeof(bugs[0]);
    uint32_t failures = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct bug none = bugs[i];
        bool found = is_found(&bugs[i]);
        bool clean;

        none.plant = FAB__PLANT_NONE;
        clean = !is_found(&none);
        (void)printf("%sok %u - found, and nothing without it: %s\n", found && clean ? "" : "not ",
                     i + 1, bugs[i].name);
        (void)fflush(stdout);
        failures += !(found && clean);
    }
    (void)printf("1..%u\n", count);
    return failures == 0 ? 0 : 1;
}
