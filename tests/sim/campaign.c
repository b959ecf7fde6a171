/* SPDX-License-Identifier: Apache-2.0 */
#include "campaign.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trace.h"

#define RUN_SECONDS_MAX 120u

struct job {
    pid_t pid; /* 0: free */
    uint64_t seed;
    struct sim_result *result; /* shared */
};

uint32_t campaign_cores(void)
{
    cpu_set_t cores;
    int count = 1;

    if (sched_getaffinity(0, sizeof(cores), &cores) == 0) {
        count = CPU_COUNT(&cores);
    }
    return count > (int)CAMPAIGN_JOBS_MAX ? CAMPAIGN_JOBS_MAX : (uint32_t)count;
}

__attribute__((noreturn)) static void child(const struct campaign *campaign, const struct job *job)
{
    struct rlimit time = {RUN_SECONDS_MAX, RUN_SECONDS_MAX};
    struct rlimit core = {0, 0};
    struct sim_config config = campaign->config;
    int null = campaign->quiet ? open("/dev/null", O_WRONLY) : -1;

    (void)setrlimit(RLIMIT_CPU, &time);
    (void)setrlimit(RLIMIT_CORE, &core);
    if (null >= 0) {
        (void)dup2(null, STDERR_FILENO);
    }
    config.seed = job->seed;
    sim_run(&config, job->result);
    _exit(0);
}

static void job_begin(const struct campaign *campaign, struct job *job, uint64_t seed)
{
    job->seed = seed;
    (void)fflush(NULL);
    job->pid = fork();
    if (job->pid < 0) {
        sim_fail("no process for a run");
    }
    if (job->pid == 0) {
        child(campaign, job);
    }
}

static struct job *job_wait(struct job *jobs, uint32_t count, int *out_status)
{
    pid_t pid = wait(out_status);

    for (uint32_t i = 0; i < count; i++) {
        if (pid > 0 && jobs[i].pid == pid) {
            return &jobs[i];
        }
    }
    sim_fail("a run is lost");
}

static bool job_end(const struct campaign *campaign, struct job *job, int status,
                    struct sim_result *sum)
{
    bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;

    job->pid = 0;
    if (ok) {
        sim_result_add(sum, job->result);
    } else if (!campaign->quiet && WIFSIGNALED(status)) {
        struct sim_config config = campaign->config;
        char replay[160];
        config.seed = job->seed;
        config = sim_config_whole(config);
        sim_replay(&config, replay, sizeof(replay));
        (void)fprintf(stderr, "# seed %llu ended by signal %d; to repeat: %s\n",
                      (unsigned long long)job->seed, WTERMSIG(status), replay);
    }
    if (campaign->ended != NULL) {
        campaign->ended(campaign->arg, job->seed, ok ? job->result : NULL);
    }
    return ok;
}

uint64_t campaign_run(const struct campaign *campaign, struct sim_result *out_sum)
{
    struct job jobs[CAMPAIGN_JOBS_MAX] = {{0}};
    uint32_t count = campaign->jobs == 0 ? campaign_cores() : campaign->jobs;
    struct sim_result *results;
    uint64_t begun = 0;
    uint64_t running = 0;
    uint64_t failed = 0;

    count = count > CAMPAIGN_JOBS_MAX ? CAMPAIGN_JOBS_MAX : count;
    results = mmap(NULL, count * sizeof(*results), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (results == MAP_FAILED) {
        sim_fail("no memory for results");
    }
    memset(out_sum, 0, sizeof(*out_sum));
    for (;;) {
        bool more =
            begun < campaign->seeds && (campaign->stop_after == 0 || failed < campaign->stop_after);
        if (more && running < count) {
            uint32_t free_job = 0;
            while (jobs[free_job].pid != 0) {
                free_job++;
            }
            jobs[free_job].result = &results[free_job];
            job_begin(campaign, &jobs[free_job], campaign->first + begun++);
            running++;
        } else if (running > 0) {
            int status = 0;
            struct job *job = job_wait(jobs, count, &status);
            failed += !job_end(campaign, job, status, out_sum);
            running--;
        } else {
            break;
        }
    }
    (void)munmap(results, count * sizeof(*results));
    return failed;
}
