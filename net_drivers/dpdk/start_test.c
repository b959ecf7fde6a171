/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What starting DPDK must leave alone in a node kernel. Built twice: as usual, and as one static
 * program, which is how a booted node is linked; there is no static cmocka, so it prints TAP
 * itself.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "link/dpdk.h"
#include "link/link.h"

#define SIGNALS 65
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)printf("# line %d: %s\n", __LINE__, #condition);                                 \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

struct found {
    struct sigaction actions[SIGNALS];
    sigset_t mask;
    cpu_set_t affinity;
    char name[32];
};

static struct found before;

static void look(struct found *found)
{
    memset(found, 0, sizeof(*found));
    for (int i = 1; i < SIGNALS; i++) {
        (void)sigaction(i, NULL, &found->actions[i]);
    }
    (void)pthread_sigmask(SIG_SETMASK, NULL, &found->mask);
    (void)sched_getaffinity(0, sizeof(found->affinity), &found->affinity);
    (void)pthread_getname_np(pthread_self(), found->name, sizeof(found->name));
}

/* First: nothing has started yet. */
static bool nothing_opens_before_dpdk_has_started(void)
{
    struct link_config config = {.device = "/tmp/x.sock", .node_id = 1};
    const char *text = "";
    struct link link;

    CHECK(link_init(&link, "memif") == SF_OK);
    CHECK(link.ops->open(&link, &config, &text) == SF_BADARG);
    CHECK(text[0] != '\0');
    link.ops->fini(&link);
    return true;
}

static bool wrong_options_are_refused(void)
{
    struct link_dpdk_options options = {.pci_allow = "0000:00:03.0"};
    const char *text = "";

    CHECK(link_dpdk_start(&options, &text) == SF_BADARG);
    CHECK(text[0] != '\0');
    return true;
}

static bool it_starts_once(void)
{
    struct link_dpdk_options options = {0};
    const char *text = "";

    look(&before);
    CHECK(link_dpdk_start(&options, &text) == SF_OK);
    CHECK(link_dpdk_start(&options, &text) == SF_EXISTS);
    return true;
}

static bool signals_cores_and_name_are_as_before(void)
{
    struct found after;

    look(&after);
    for (int i = 1; i < SIGNALS; i++) {
        CHECK(after.actions[i].sa_handler == before.actions[i].sa_handler);
    }
    CHECK(memcmp(&after.mask, &before.mask, sizeof(before.mask)) == 0);
    CHECK(CPU_EQUAL(&after.affinity, &before.affinity));
    CHECK(strcmp(after.name, before.name) == 0);
    return true;
}

/* Otherwise a timer or a child's end would be handled on a thread that is not the kernel's. */
static bool its_own_threads_take_no_signals(void)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *task;
    int others = 0;

    CHECK(tasks != NULL);
    while ((task = readdir(tasks)) != NULL) {
        char path[64], line[128];
        unsigned long long blocked = 0;
        FILE *status;

        if (atoi(task->d_name) == 0 || atoi(task->d_name) == getpid()) {
            continue;
        }
        others++;
        (void)snprintf(path, sizeof(path), "/proc/self/task/%d/status", atoi(task->d_name));
        status = fopen(path, "r");
        CHECK(status != NULL);
        while (fgets(line, sizeof(line), status) != NULL) {
            (void)sscanf(line, "SigBlk: %llx", &blocked);
        }
        (void)fclose(status);
        for (int i = 0; i < 3; i++) {
            static const int signals[] = {SIGALRM, SIGCHLD, SIGTERM};

            CHECK(blocked >> (signals[i] - 1) & 1);
        }
    }
    (void)closedir(tasks);
    CHECK(others > 0);
    return true;
}

static bool no_plug_in_was_loaded(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];

    CHECK(maps != NULL);
    while (fgets(line, sizeof(line), maps) != NULL) {
        CHECK(strstr(line, "librte_") == NULL);
    }
    (void)fclose(maps);
    return true;
}

static bool a_device_that_is_not_there_is_said_so(void)
{
    struct link_config config = {.device = "0000:00:1f.7", .node_id = 1, .ipv4 = 0x0a4e0001};
    const char *text = "";
    struct link link;

    CHECK(link_init(&link, "virtio") == SF_OK);
    CHECK(link.ops->open(&link, &config, &text) == SF_NOTFOUND);
    CHECK(strstr(text, "uio_pci_generic") != NULL);
    link.ops->fini(&link);
    link_dpdk_stop();
    return true;
}

#define CASE(f)                                                                                    \
    {                                                                                              \
#f, f                                                                                      \
    }

int main(void)
{
    static const struct {
        const char *name;
        bool (*run)(void);
    } all[] = {
        CASE(nothing_opens_before_dpdk_has_started),
        CASE(wrong_options_are_refused),
        CASE(it_starts_once),
        CASE(signals_cores_and_name_are_as_before),
        CASE(its_own_threads_take_no_signals),
        CASE(no_plug_in_was_loaded),
        CASE(a_device_that_is_not_there_is_said_so),
    };
    const int count = (int)(sizeof(all) / sizeof(all[0]));
    bool good = true;

    (void)printf("1..%d\n", count);
    for (int i = 0; i < count; i++) {
        bool ok = all[i].run();

        (void)printf("%sok %d - %s\n", ok ? "" : "not ", i + 1, all[i].name);
        good = good && ok;
    }
    return good ? 0 : 1;
}
