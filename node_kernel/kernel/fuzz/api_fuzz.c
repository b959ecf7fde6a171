/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_fuzz.c - calls the kernel's API with wild arguments, from SIPs, in a kernel built with
 * AddressSanitizer and UndefinedBehaviorSanitizer.
 *
 *     api_fuzz IMAGE [--seconds N] [--seed N] [--rounds N] [--workers N] [-v]
 *
 * Model: a seed makes a kernel, and in it a few generations of SIPs (api_sip.h) and a service
 * (api_service.h) that talk to each other; SIPs are also stopped from outside, and replaced. After
 * each generation all SIPs end, and then heap and fabric pass their audits and hold nothing.
 * A SIP that saw a broken promise ends with FUZZ_BROKEN; one that faults without saying so before
 * is a finding, too. Rounds run in a child process; the parent tells the seed when it dies, and
 * ends it when it hangs. What depends on time (pre-emption, timeouts) differs from run to run, so a
 * seed may have to be run several times: --seed N --rounds 50 runs it 50 times.
 *
 * Prints TAP. Exit code: 0 nothing found, 1 something was, 2 wrong use.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "FuzzContract_monitor.h"
#include "api_service.h"
#include "nk.h"

#define FUZZ_BROKEN 77 /* as in api_sip.h, which is for SIPs only */
#define FUZZ_FAULT_SOON "fault soon"
#define SIPS_MAX 12u
#define GENERATIONS 3u
#define GENERATION_NS_MAX 400000000ull
#define HANG_SECONDS 90u
#define SERVICE_NUMBER 1u
#define NODE_ID 5u
#define MARKS 4096u

struct progress { /* shared with the parent */
    uint64_t seed, rounds, sips, faults, stops, calls, messages;
};

static struct fuzz {
    struct nk_kernel *kernel;
    uint8_t digest[IMAGE_DIGEST_BYTES];
    uint8_t *image;
    size_t image_bytes;
    uint64_t seconds, seed, rounds, random;
    uint32_t workers;
    bool one_seed, verbose;
    struct progress *progress;
    uint64_t sips[SIPS_MAX]; /* numbers of those that live; 0: none */
    uint64_t next_number;
    uint32_t living;
    uint8_t announced[MARKS]; /* by number: a fault was announced */
    const char *found;
} fuzz;

static uint64_t now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t any(uint32_t below)
{
    fuzz.random = fuzz.random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(fuzz.random >> 33) % below;
}

static void found(const char *what, const char *detail)
{
    (void)printf("# seed %llu: %s: %s\n", (unsigned long long)fuzz.progress->seed, what, detail);
    (void)fflush(stdout);
    fuzz.found = what;
}

static void on_log(void *arg, uint64_t sip, const char *text, uint32_t bytes)
{
    const size_t length = strlen(FUZZ_FAULT_SOON);

    (void)arg;
    for (uint32_t i = 0; i < bytes; i++) {
        const uint8_t byte = (uint8_t)text[i], next = i + 1 < bytes ? (uint8_t)text[i + 1] : 0;

        if (byte < 0x20 || byte == 0x7f || (byte == 0xc2 && next >= 0x80 && next <= 0x9f)) {
            found("a control character in the log", "");
        }
    }
    if (bytes >= length && memcmp(text, FUZZ_FAULT_SOON, length) == 0) {
        fuzz.announced[sip % MARKS] = 1;
    }
    if (bytes > 6 && memcmp(text, "broken", 6) == 0) {
        (void)printf("# sip %llu: %.*s\n", (unsigned long long)sip, (int)bytes, text);
    }
}

static void on_ended(void *arg, const struct nk_sip_end *end)
{
    (void)arg;
    for (uint32_t i = 0; i < SIPS_MAX; i++) {
        if (fuzz.sips[i] == end->sip) {
            fuzz.sips[i] = 0;
            fuzz.living--;
        }
    }
    if (end->how == NK_END_EXITED && end->exit_code == FUZZ_BROKEN) {
        found("a SIP saw a broken promise", end->name);
    }
    if (end->how == NK_END_FAULTED) {
        fuzz.progress->faults++;
        if (!fuzz.announced[end->sip % MARKS]) {
            found("a SIP faulted that did not want to", end->report);
        } else if (fuzz.verbose) {
            (void)printf("# %s\n", end->report);
        }
    }
}

static bool kernel_make(void)
{
    char text[256] = "";
    const struct nk_options options = {
        .node_name = "fuzznode",
        .node_id = NODE_ID,
        .epoch = 1,
        .trust = &image_trust_anyone,
        .slot_first = 100,
        .slot_count = 2 + any(SIPS_MAX),
        .heap_bytes = (size_t)2 << (20 + any(5)),
        .tick_ns = 50000 + any(3000000),
        .worker_count = fuzz.workers,
        .events = {.log = on_log, .ended = on_ended},
    };

    if (nk_kernel_create(&options, &fuzz.kernel, text, sizeof(text)) != SF_OK ||
        nk_image_add(fuzz.kernel, fuzz.image, fuzz.image_bytes, fuzz.digest, text, sizeof(text)) !=
            SF_OK ||
        nk_contract_add(fuzz.kernel, ct_blob_FuzzContract, ct_blob_FuzzContract_bytes, text,
                        sizeof(text)) != SF_OK) {
        found("no kernel", text);
        return false;
    }
    api_service_seed(fuzz.random);
    if (nk_service_create(fuzz.kernel, &api_service_ops, SERVICE_NUMBER, "service", NULL, NULL, 0,
                          text, sizeof(text)) != SF_OK) {
        found("no service", text);
        return false;
    }
    return true;
}

static void sip_wire(uint64_t number, const char *import)
{
    char name[64];

    switch (any(4)) {
    case 0:
        (void)snprintf(name, sizeof(name), "service.z");
        break;
    case 1:
        (void)snprintf(name, sizeof(name), "nobody.x");
        break;
    default: /* itself is possible */
        (void)snprintf(name, sizeof(name), "f%u.%c", any(SIPS_MAX), any(2) == 0 ? 'x' : 'y');
        break;
    }
    (void)!nk_sip_wire(fuzz.kernel, number, import, NODE_ID, name, NULL, 0);
}

static void sip_make(uint32_t index)
{
    static char text[900];
    char name[16], seed[16], steps[16], report[256] = "";
    const struct nk_config config[] = {{"seed", seed}, {"steps", steps}, {"long", text}};
    const struct nk_sip_options options = {.number = fuzz.next_number,
                                           .name = name,
                                           .image_digest = fuzz.digest,
                                           .config = config,
                                           .config_count = 3};
    sf_status st;

    memset(text, 'x', sizeof(text) - 1);
    (void)snprintf(name, sizeof(name), "f%u", index);
    (void)snprintf(seed, sizeof(seed), "%u", any(1u << 30));
    (void)snprintf(steps, sizeof(steps), "%u", 20 + any(any(8) == 0 ? 6000 : 800));
    st = nk_sip_create(fuzz.kernel, &options, report, sizeof(report));
    if (st == SF_LIMIT) {
        return; /* no slot */
    }
    if (st != SF_OK) {
        found("no SIP", report);
        return;
    }
    fuzz.announced[fuzz.next_number % MARKS] = 0;
    fuzz.sips[index] = fuzz.next_number++;
    fuzz.living++;
    fuzz.progress->sips++;
    if (any(8) != 0) {
        sip_wire(options.number, "a");
    }
    if (any(4) != 0) {
        sip_wire(options.number, "b");
    }
    if (any(40) != 0 && nk_sip_start(fuzz.kernel, options.number) != SF_OK) {
        found("a SIP does not start", name);
    }
}

static void audit(uint32_t endpoints, bool empty);

static void disturb(void)
{
    const uint32_t index = any(SIPS_MAX);

    if (fuzz.sips[index] != 0 && any(3) == 0) {
        fuzz.progress->stops++;
        const sf_status st = nk_sip_stop(fuzz.kernel, fuzz.sips[index], SF_CAUSE_OF(REVOKED));

        /* On another worker it may have ended, which is told with the next nk_run. */
        if (st != SF_OK && (st != SF_NOTFOUND || fuzz.workers == 1)) {
            found("a SIP cannot be stopped", "");
        }
    } else if (fuzz.sips[index] == 0) {
        sip_make(index);
    } else if (any(4) == 0) {
        api_service_flush();
    } else {
        audit(0, false);
    }
}

static void count_ep(void *arg, const struct fab_ep *ep)
{
    (void)ep;
    ++*(uint32_t *)arg;
}

static void audit(uint32_t endpoints, bool empty)
{
    const char *text = "";
    struct xh_stats stats;
    struct nk_stats kernel;
    uint32_t count = 0;

    nk_pause(fuzz.kernel);
    if (nk_audit(fuzz.kernel, &text) != SF_OK) {
        found("audit", text);
    }
    fab_ep_walk(nk_kernel_fabric(fuzz.kernel), count_ep, &count);
    nk_resume(fuzz.kernel);
    xh_query(nk_kernel_heap(fuzz.kernel), &stats);
    nk_query(fuzz.kernel, &kernel);
    if (empty && (count != endpoints || stats.block_count != 0 || kernel.sip_count != 0)) {
        char detail[128];

        (void)snprintf(detail, sizeof(detail), "%u endpoints, %llu blocks, %u SIPs", count,
                       (unsigned long long)stats.block_count, kernel.sip_count);
        found("something is left", detail);
    }
}

/* Runs all there is to run for now. */
static void run_ready(uint32_t budget)
{
    while (nk_run(fuzz.kernel, budget, now()) && any(6) != 0) {
    }
}

static void generation(void)
{
    const uint64_t end = now() + GENERATION_NS_MAX;

    for (uint32_t i = 1 + any(SIPS_MAX); i > 0; i--) {
        if (fuzz.sips[i - 1] == 0) {
            sip_make(i - 1);
        }
    }
    while (fuzz.found == NULL && fuzz.living > 0 && now() < end) {
        uint64_t next;

        nk_pause(fuzz.kernel);
        next = nk_next_deadline_all(fuzz.kernel);
        nk_resume(fuzz.kernel);
        if (next != 0 && next > now() + 1000000u) {
            break; /* all wait for each other, or for very long */
        }
        run_ready(1 + any(any(2) == 0 ? 10 : 1000));
        if (any(12) == 0) {
            disturb();
        }
    }
    for (uint32_t i = 0; i < SIPS_MAX; i++) {
        if (fuzz.sips[i] != 0) {
            (void)!nk_sip_stop(fuzz.kernel, fuzz.sips[i], SF_CAUSE_OF(SHUTDOWN));
        }
    }
    api_service_flush();
    while (nk_run(fuzz.kernel, 1000, now())) {
    }
    api_service_flush();
    while (nk_run(fuzz.kernel, 1000, now())) {
    }
    audit(0, true);
}

static bool round_run(uint64_t seed)
{
    struct nk_stats stats;

    fuzz.progress->seed = seed;
    fuzz.random = seed * 0x9e3779b97f4a7c15u + 3;
    fuzz.next_number = 100;
    if (!kernel_make()) {
        return false;
    }
    for (uint32_t i = 0; i < GENERATIONS && fuzz.found == NULL; i++) {
        generation();
    }
    nk_query(fuzz.kernel, &stats);
    fuzz.progress->calls += stats.calls;
    fuzz.progress->messages += stats.messages;
    fuzz.progress->rounds++;
    nk_kernel_destroy(fuzz.kernel);
    fuzz.kernel = NULL;
    return fuzz.found == NULL;
}

/* In the child. */
static int rounds_run(void)
{
    const uint64_t end = now() + fuzz.seconds * 1000000000ull;
    uint64_t seed = fuzz.seed;

    for (uint64_t i = 0; fuzz.rounds != 0 ? i < fuzz.rounds : now() < end; i++) {
        if (!round_run(fuzz.one_seed ? fuzz.seed : seed++)) {
            return 1;
        }
    }
    return 0;
}

/* Waits for the child; ends it if no round is done for too long. Answers its wait status. */
static int child_wait(pid_t child)
{
    uint64_t rounds = 0, since = now();
    int status = 0;

    for (;;) {
        const struct timespec pause = {0, 20000000};
        const pid_t done = waitpid(child, &status, WNOHANG);

        if (done == child) {
            return status;
        }
        if (fuzz.progress->rounds != rounds) {
            rounds = fuzz.progress->rounds;
            since = now();
        } else if (now() - since > HANG_SECONDS * 1000000000ull) {
            (void)printf("# hangs\n");
            (void)kill(child, SIGABRT);
            (void)waitpid(child, &status, 0);
            return status;
        }
        (void)nanosleep(&pause, NULL);
    }
}

static int supervise(const char *program, const char *image)
{
    const struct progress *p = fuzz.progress;
    pid_t child;
    int status;

    (void)fflush(stdout);
    child = fork();
    if (child < 0) {
        perror("api_fuzz: fork");
        return 1;
    }
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        exit(rounds_run()); /* with the check for leaks */
    }
    status = child_wait(child);
    (void)printf("# %llu rounds, %llu SIPs, %llu stopped, %llu faults, %llu calls, %llu messages\n",
                 (unsigned long long)p->rounds, (unsigned long long)p->sips,
                 (unsigned long long)p->stops, (unsigned long long)p->faults,
                 (unsigned long long)p->calls, (unsigned long long)p->messages);
    if (status != 0) {
        (void)printf("not ok 1 - wild calls, seed %llu\n# again: %s %s --seed %llu --rounds 50\n",
                     (unsigned long long)p->seed, program, image, (unsigned long long)p->seed);
        return 1;
    }
    if (p->messages == 0 || p->faults == 0) {
        (void)printf("not ok 1 - wild calls: nothing happened\n");
        return 1;
    }
    (void)printf("ok 1 - wild calls hurt nobody, seeds from %llu\n", (unsigned long long)fuzz.seed);
    return 0;
}

static bool image_read(const char *path)
{
    FILE *file = fopen(path, "rb");

    fuzz.image = malloc(IMAGE_BYTES_MAX);
    if (file == NULL || fuzz.image == NULL) {
        (void)fprintf(stderr, "api_fuzz: %s: %s\n", path, strerror(errno));
        return false;
    }
    fuzz.image_bytes = fread(fuzz.image, 1, IMAGE_BYTES_MAX, file);
    (void)fclose(file);
    return true;
}

static bool options_read(int argc, char **argv)
{
    static const struct option table[] = {
        {"seconds", required_argument, NULL, 's'}, {"seed", required_argument, NULL, 'e'},
        {"rounds", required_argument, NULL, 'r'},  {"workers", required_argument, NULL, 'w'},
        {"verbose", no_argument, NULL, 'v'},       {0},
    };
    int option;

    fuzz.seconds = 10;
    fuzz.seed = 1;
    fuzz.workers = 1;
    while ((option = getopt_long(argc, argv, "v", table, NULL)) != -1) {
        const uint64_t number = optarg == NULL ? 0 : strtoull(optarg, NULL, 10);

        switch (option) {
        case 's':
            fuzz.seconds = number;
            break;
        case 'e':
            fuzz.seed = number;
            fuzz.one_seed = true;
            break;
        case 'r':
            fuzz.rounds = number;
            break;
        case 'w':
            fuzz.workers = (uint32_t)number;
            break;
        case 'v':
            fuzz.verbose = true;
            break;
        default:
            return false;
        }
    }
    if (fuzz.one_seed && fuzz.rounds == 0) {
        fuzz.rounds = 1;
    }
    return optind + 1 == argc;
}

int main(int argc, char **argv)
{
    if (!options_read(argc, argv)) {
        (void)fputs(
            "usage: api_fuzz IMAGE [--seconds N] [--seed N] [--rounds N] [--workers N] [-v]\n",
            stderr);
        return 2;
    }
    fuzz.progress = mmap(NULL, sizeof(*fuzz.progress), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (fuzz.progress == MAP_FAILED || !image_read(argv[optind])) {
        return 1;
    }
    (void)printf("1..1\n");
    return supervise(argv[0], argv[optind]);
}
