/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_cost - cycles of a driver's calls, without a second processor in the way.
 *
 * Why: what a driver adds to a round trip is the time of four calls. Measured between two cores it
 * drowns in what the cache lines cost; here both ends of a memif link are in one thread.
 *
 * Method: the two ends take turns. Each turn allocates a burst, sends it, receives it at the other
 * end and gives it back; every call is timed by the time stamp counter, and the cost of reading
 * that is subtracted. A first tenth is thrown away. Reported for each call, for the whole burst:
 * minimum, median, and the mean of the lower nine tenths, which also resolves less than one step of
 * a counter that moves in steps (26 cycles, seen in a virtual machine).
 *
 * Output: one JSON object a line on stdout; without --json a sentence.
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "link/dpdk.h"
#include "link/link.h"

#define COUNT_DEFAULT 200000u
#define COUNT_MAX 10000000u
#define UP_TRIES_MAX 2000u

enum call { CALL_ALLOC, CALL_TX, CALL_RX, CALL_FREE, CALL_RX_EMPTY, CALLS };

static const char *const call_names[CALLS] = {"alloc", "tx", "rx", "free", "rx_empty"};

struct run {
    uint32_t count, burst, bytes;
    bool json;
    uint64_t overhead;
    uint32_t *cycles[CALLS];
};

static uint64_t stamp(void)
{
    uint64_t ticks;

    __builtin_ia32_lfence();
    ticks = __builtin_ia32_rdtsc();
    __builtin_ia32_lfence();
    return ticks;
}

static _Noreturn void give_up(const char *why)
{
    (void)fprintf(stderr, "link_cost: %s\n", why);
    exit(1);
}

static uint64_t overhead_measure(void)
{
    uint64_t least = UINT64_MAX;

    for (int i = 0; i < 10000; i++) {
        uint64_t begin = stamp();
        uint64_t ticks = stamp() - begin;

        least = ticks < least ? ticks : least;
    }
    return least;
}

static void side_open(struct link *link, const char *path, bool server)
{
    struct link_config config = {
        .name = "cost",
        .device = path,
        .node_id = server ? 1 : 2,
        .server = server,
    };
    struct link_peer peer = {.node_id = server ? 2 : 1};
    const char *text = "";

    if (link_init(link, "memif") != SF_OK || link->ops->open(link, &config, &text) != SF_OK ||
        link->ops->peer_add(link, &peer) != SF_OK) {
        give_up(text);
    }
}

static void both_up(struct link *a, struct link *b)
{
    for (uint32_t i = 0; i < UP_TRIES_MAX; i++) {
        bool up_a = a->ops->is_up(a);
        bool up_b = b->ops->is_up(b);

        if (up_a && up_b) {
            return;
        }
        (void)usleep(1000);
    }
    give_up("the link does not come up");
}

static uint32_t ticks(const struct run *run, uint64_t begin, uint64_t end)
{
    return end - begin > run->overhead ? (uint32_t)(end - begin - run->overhead) : 0;
}

static void turn(struct run *run, struct link *from, struct link *to, uint32_t at)
{
    struct link_frame out[LINK_BURST_MAX], in[LINK_BURST_MAX];
    uint16_t burst = (uint16_t)run->burst;
    uint64_t t[7];

    t[0] = stamp();
    if (from->ops->frame_alloc(from, out, burst) != burst) {
        give_up("no frames");
    }
    t[1] = stamp();
    for (uint16_t i = 0; i < burst; i++) {
        memset(out[i].data, (int)at, run->bytes < 64 ? run->bytes : 64);
        out[i].length = run->bytes;
        out[i].peer = from->ops == to->ops && from < to ? 2 : 1;
    }
    t[2] = stamp();
    if (from->ops->tx_burst(from, 0, out, burst) != burst) {
        give_up("a burst was not taken");
    }
    t[3] = stamp();
    if (to->ops->rx_burst(to, 0, in, burst) != burst) {
        give_up("a burst did not arrive");
    }
    t[4] = stamp();
    to->ops->frame_free(to, in, burst);
    t[5] = stamp();
    (void)to->ops->rx_burst(to, 0, in, burst);
    t[6] = stamp();
    run->cycles[CALL_ALLOC][at] = ticks(run, t[0], t[1]);
    run->cycles[CALL_TX][at] = ticks(run, t[2], t[3]);
    run->cycles[CALL_RX][at] = ticks(run, t[3], t[4]);
    run->cycles[CALL_FREE][at] = ticks(run, t[4], t[5]);
    run->cycles[CALL_RX_EMPTY][at] = ticks(run, t[5], t[6]);
}

static int order_u32(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;

    return a < b ? -1 : a > b;
}

/* cycles: sorted. */
static double mean_of_lower(const uint32_t *cycles, uint32_t count)
{
    uint32_t lower = count - count / 10;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < lower; i++) {
        sum += cycles[i];
    }
    return (double)sum / lower;
}

static void report(struct run *run)
{
    for (int i = 0; i < CALLS; i++) {
        qsort(run->cycles[i], run->count, sizeof(uint32_t), order_u32);
        (void)printf(run->json ? "{\"suite\":\"link\",\"metric\":\"link_cost_memif_%s\","
                                 "\"unit\":\"cycles\",\"burst\":%u,\"bytes\":%u,\"n\":%u,"
                                 "\"min\":%u,\"p50\":%u,\"mean\":%.1f}\n"
                               : "%s: burst %u bytes %u n %u min %u p50 %u mean %.1f cycles\n",
                     call_names[i], run->burst, run->bytes, run->count, run->cycles[i][0],
                     run->cycles[i][run->count / 2], mean_of_lower(run->cycles[i], run->count));
    }
}

static void measure(struct run *run, const char *path)
{
    struct link_dpdk_options options = {.hugepages = false};
    struct link links[2];
    const char *text = "";

    if (link_dpdk_start(&options, &text) != SF_OK) {
        give_up(text);
    }
    side_open(&links[0], path, true);
    side_open(&links[1], path, false);
    both_up(&links[0], &links[1]);
    run->overhead = overhead_measure();
    for (uint32_t i = 0; i < run->count / 10; i++) {
        turn(run, &links[i % 2], &links[1 - i % 2], i);
    }
    for (uint32_t i = 0; i < run->count; i++) {
        turn(run, &links[i % 2], &links[1 - i % 2], i);
    }
    report(run);
    for (int i = 0; i < 2; i++) {
        links[i].ops->close(&links[i]);
        links[i].ops->stop(&links[i]);
        links[i].ops->fini(&links[i]);
    }
    link_dpdk_stop();
}

static _Noreturn void usage(void)
{
    (void)fprintf(stderr, "usage: link_cost [--count N] [--burst N] [--bytes N] [--json]\n");
    exit(2);
}

static uint32_t number(const char *text, uint32_t least, uint32_t most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (*end != '\0' || value < least || value > most) {
        usage();
    }
    return (uint32_t)value;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"count", required_argument, NULL, 'c'},
        {"burst", required_argument, NULL, 'b'},
        {"bytes", required_argument, NULL, 's'},
        {"json", no_argument, NULL, 'j'},
        {0},
    };
    char folder[] = "/tmp/sipfabric-cost-XXXXXX";
    struct run run = {.count = COUNT_DEFAULT, .burst = 1, .bytes = 64};
    char path[64];
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'c') {
            run.count = number(optarg, 10, COUNT_MAX);
        } else if (option == 'b') {
            run.burst = number(optarg, 1, LINK_BURST_MAX);
        } else if (option == 's') {
            run.bytes = number(optarg, 1, 9000);
        } else if (option == 'j') {
            run.json = true;
        } else {
            usage();
        }
    }
    for (int i = 0; i < CALLS; i++) {
        run.cycles[i] = calloc(run.count, sizeof(uint32_t));
        if (run.cycles[i] == NULL) {
            give_up("no memory");
        }
    }
    if (mkdtemp(folder) == NULL) {
        give_up("no scratch folder");
    }
    (void)snprintf(path, sizeof(path), "%s/cost.sock", folder);
    measure(&run, path);
    (void)unlink(path);
    (void)rmdir(folder);
    for (int i = 0; i < CALLS; i++) {
        free(run.cycles[i]);
    }
    return 0;
}
