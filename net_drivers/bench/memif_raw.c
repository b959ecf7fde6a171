/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memif_raw - a ping-pong of 64-byte packets over DPDK's memif, without any of our code.
 *
 * Why: what a node adds is the difference to this, measured in the same run on the same machine.
 *
 * Method: two processes, one a core (both on one if there is only one), each with its own EAL in
 * ordinary memory. The client sends one packet and waits for its echo; a round trip is the time
 * between, by the time stamp counter. The first tenth is thrown away. Two ways to wait for a
 * packet: "yield" calls sched_yield on every empty poll, as a node does; "spin" does not.
 *
 * Reading it: in a virtual machine the figures move by several times, even within a second,
 * probably with where the host puts the two processors. So the run alternates: ROUNDS_BLOCK
 * packets, then as often one flag thrown to and fro between the same two processes without DPDK
 * (core_to_core_rtt). Both rows saw the same moments (seen, spin p50: 0.54 over 0.13 us, and 1.75
 * over 0.53); compare with another run only where core_to_core_rtt is alike.
 *
 * Output: one JSON object a line on stdout; without --json a sentence.
 */
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_bus_vdev.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#define PACKET_BYTES 64u
#define COUNT_DEFAULT 100000u
#define COUNT_MAX 10000000u
#define BURST 32u
#define ROUNDS_BLOCK 1000u
#define FLAG_DISTANCE 4096u /* far from sharing a cache line */
#define RUN_SECONDS_MAX 60u
#define LINK_SECONDS_MAX 5u

struct run {
    const char *folder;
    uint32_t count;
    bool yield, json;
    int cores[2];
    volatile uint32_t *there, *back; /* flags that both processes see */
};

static struct rte_mempool *pool;

/* Fenced: else the processor reads the counter while what it waits for is still under way. */
static uint64_t stamp(void)
{
    uint64_t ticks;

    __builtin_ia32_lfence();
    ticks = rte_rdtsc();
    __builtin_ia32_lfence();
    return ticks;
}

static void dpdk_start(const struct run *run, bool server)
{
    char core[16], prefix[32];
    char *arguments[] = {
        "memif_raw", "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry", "--log-level=error",
        "-m",        "64",        "-l",          core,       prefix,
    };

    (void)snprintf(core, sizeof(core), "%d", run->cores[server ? 0 : 1]);
    (void)snprintf(prefix, sizeof(prefix), "--file-prefix=raw%d", (int)getpid());
    if (rte_eal_init((int)(sizeof(arguments) / sizeof(arguments[0])), arguments) < 0) {
        _exit(1);
    }
    pool = rte_pktmbuf_pool_create("raw", 2047, 64, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (pool == NULL) {
        _exit(1);
    }
}

static uint16_t port_open(const struct run *run, bool server)
{
    struct rte_eth_conf conf = {0};
    char arguments[160];
    uint16_t port = 0;

    (void)snprintf(arguments, sizeof(arguments), "role=%s,socket=%s/raw.sock,socket-abstract=no",
                   server ? "server" : "client", run->folder);
    if (rte_vdev_init("net_memif0", arguments) != 0 ||
        rte_eth_dev_get_port_by_name("net_memif0", &port) != 0 ||
        rte_eth_dev_configure(port, 1, 1, &conf) != 0 ||
        rte_eth_rx_queue_setup(port, 0, 256, (unsigned)SOCKET_ID_ANY, NULL, pool) != 0 ||
        rte_eth_tx_queue_setup(port, 0, 256, (unsigned)SOCKET_ID_ANY, NULL) != 0 ||
        rte_eth_dev_start(port) != 0) {
        (void)fprintf(stderr, "memif_raw: the %s's port does not start\n",
                      server ? "server" : "client");
        _exit(1);
    }
    return port;
}

static bool linked(uint16_t port)
{
    struct rte_eth_link state = {0};

    return rte_eth_link_get_nowait(port, &state) == 0 && state.link_status == RTE_ETH_LINK_UP;
}

/* Two spinners on one core would measure the scheduler. */
static bool flags_wanted(const struct run *run)
{
    return run->cores[0] != run->cores[1];
}

static void flags_serve(const struct run *run)
{
    uint32_t first = *run->back + 1;

    for (uint32_t i = 0; i < ROUNDS_BLOCK; i++) {
        while (*run->there != first + i) {
        }
        *run->back = first + i;
    }
}

/* Echoes for ever; the parent ends it. */
static void serve(const struct run *run, int ready_fd)
{
    struct rte_mbuf *packet;
    uint32_t echoed = 0;
    uint16_t port;

    dpdk_start(run, true);
    port = port_open(run, true);
    if (write(ready_fd, "r", 1) != 1) {
        _exit(1);
    }
    for (;;) {
        if (rte_eth_rx_burst(port, 0, &packet, 1) == 0) {
            if (run->yield) {
                (void)sched_yield();
            }
            continue;
        }
        while (rte_eth_tx_burst(port, 0, &packet, 1) == 0) {
        }
        if (++echoed % ROUNDS_BLOCK == 0 && flags_wanted(run)) {
            flags_serve(run);
        }
    }
}

static struct rte_mbuf *echo_wait(const struct run *run, uint16_t port)
{
    struct rte_mbuf *packet = NULL;

    while (rte_eth_rx_burst(port, 0, &packet, 1) == 0) {
        if (run->yield) {
            (void)sched_yield();
        }
    }
    return packet;
}

static uint64_t round_trip(const struct run *run, uint16_t port, uint32_t number)
{
    struct rte_mbuf *packet = rte_pktmbuf_alloc(pool);
    uint32_t got;
    uint64_t begin, end;
    char *bytes;

    if (packet == NULL) {
        _exit(1);
    }
    bytes = rte_pktmbuf_append(packet, PACKET_BYTES);
    memset(bytes, 0, PACKET_BYTES);
    memcpy(bytes + 16, &number, sizeof(number));
    begin = stamp();
    while (rte_eth_tx_burst(port, 0, &packet, 1) == 0) {
    }
    packet = echo_wait(run, port);
    end = stamp();
    memcpy(&got, rte_pktmbuf_mtod(packet, char *) + 16, sizeof(got));
    if (got != number || packet->pkt_len != PACKET_BYTES) {
        (void)fprintf(stderr, "memif_raw: the echo is another packet\n");
        _exit(1);
    }
    rte_pktmbuf_free(packet);
    return end - begin;
}

static int order_u64(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

/* ticks: sorted here. */
static void report(const struct run *run, const char *metric, uint64_t *ticks, double us)
{
    uint32_t count = run->count;

    qsort(ticks, count, sizeof(*ticks), order_u64);
    (void)printf(run->json ? "{\"suite\":\"link\",\"metric\":\"%s\",\"unit\":\"us\",\"n\":%u,"
                             "\"min\":%.3f,\"p50\":%.3f,\"p99\":%.3f}\n"
                           : "%s: n %u min %.3f p50 %.3f p99 %.3f us\n",
                 metric, count, (double)ticks[0] * us, (double)ticks[count / 2] * us,
                 (double)ticks[(uint64_t)count * 99 / 100] * us);
    (void)fflush(stdout);
}

static uint64_t flag_round_trip(const struct run *run)
{
    uint32_t next = *run->there + 1;
    uint64_t begin = stamp();

    *run->there = next;
    while (*run->back != next) {
    }
    return stamp() - begin;
}

/* ticks and floor have room for a block. */
static void measure_block(const struct run *run, uint16_t port, uint64_t *ticks, uint64_t *floor)
{
    static uint32_t number;

    for (uint32_t i = 0; i < ROUNDS_BLOCK; i++) {
        ticks[i] = round_trip(run, port, number++);
    }
    for (uint32_t i = 0; i < ROUNDS_BLOCK && flags_wanted(run); i++) {
        floor[i] = flag_round_trip(run);
    }
}

static void link_await(uint16_t port)
{
    uint64_t give_up = rte_rdtsc() + LINK_SECONDS_MAX * rte_get_tsc_hz();

    while (!linked(port)) {
        if (rte_rdtsc() > give_up) {
            (void)fprintf(stderr, "memif_raw: no link\n");
            _exit(1);
        }
        (void)usleep(1000);
    }
}

static void measure(const struct run *run)
{
    uint64_t *ticks = calloc(run->count, sizeof(*ticks));
    uint64_t *floor = calloc(run->count, sizeof(*floor));
    uint16_t port;
    double us;

    if (ticks == NULL || floor == NULL) {
        _exit(1);
    }
    dpdk_start(run, false);
    port = port_open(run, false);
    link_await(port);
    us = 1e6 / (double)rte_get_tsc_hz();
    for (uint32_t i = 0; i < run->count / 10; i += ROUNDS_BLOCK) {
        measure_block(run, port, ticks, floor);
    }
    for (uint32_t i = 0; i < run->count; i += ROUNDS_BLOCK) {
        measure_block(run, port, ticks + i, floor + i);
    }
    report(run, run->yield ? "memif_raw_rtt64_yield" : "memif_raw_rtt64_spin", ticks, us);
    if (flags_wanted(run)) {
        report(run, run->yield ? "core_to_core_rtt_yield" : "core_to_core_rtt_spin", floor, us);
    }
    free(ticks);
    free(floor);
    _exit(0);
}

static bool pair_end(pid_t server, pid_t client)
{
    int status = 1;

    if (client > 0) {
        (void)waitpid(client, &status, 0);
    }
    if (server > 0) {
        (void)kill(server, SIGKILL);
        (void)waitpid(server, NULL, 0);
    }
    return server > 0 && client > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static pid_t start(const struct run *run, bool server, const int ready[2])
{
    pid_t pid = fork();

    if (pid != 0) {
        return pid;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)alarm(RUN_SECONDS_MAX);
    (void)close(ready[server ? 0 : 1]);
    if (server) {
        serve(run, ready[1]);
    }
    /* A client that comes before the server's port has started would never be linked. */
    char byte;
    if (read(ready[0], &byte, 1) != 1) {
        _exit(1);
    }
    measure(run);
    return 0;
}

static bool run_pair(const struct run *run)
{
    char path[128];
    pid_t server, client;
    int ready[2];
    bool good;

    if (pipe(ready) != 0) {
        return false;
    }
    server = start(run, true, ready);
    client = start(run, false, ready);
    (void)close(ready[0]);
    (void)close(ready[1]);
    good = pair_end(server, client);
    (void)snprintf(path, sizeof(path), "%s/raw.sock", run->folder);
    (void)unlink(path);
    return good;
}

static void cores_choose(struct run *run)
{
    cpu_set_t set;
    int found = 0;

    run->cores[0] = 0;
    (void)sched_getaffinity(0, sizeof(set), &set);
    for (int i = 0; i < CPU_SETSIZE && found < 2; i++) {
        if (CPU_ISSET(i, &set)) {
            run->cores[found++] = i;
        }
    }
    if (found < 2) {
        run->cores[1] = run->cores[0];
        (void)fprintf(stderr, "memif_raw: both sides share core %d\n", run->cores[0]);
    }
}

static void usage(void)
{
    (void)fprintf(stderr, "usage: memif_raw [--count N] [--mode yield|spin|both] [--json]\n");
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"count", required_argument, NULL, 'c'},
        {"mode", required_argument, NULL, 'm'},
        {"json", no_argument, NULL, 'j'},
        {0},
    };
    char folder[] = "/tmp/sipfabric-raw-XXXXXX";
    struct run run = {.folder = folder, .count = COUNT_DEFAULT};
    const char *mode = "both";
    bool good = true;
    uint8_t *flags;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            run.count = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'm':
            mode = optarg;
            break;
        case 'j':
            run.json = true;
            break;
        default:
            usage();
        }
    }
    if (optind != argc || run.count == 0 || run.count > COUNT_MAX ||
        (strcmp(mode, "both") != 0 && strcmp(mode, "yield") != 0 && strcmp(mode, "spin") != 0)) {
        usage();
    }
    cores_choose(&run);
    run.count = (run.count + ROUNDS_BLOCK - 1) / ROUNDS_BLOCK * ROUNDS_BLOCK;
    flags =
        mmap(NULL, 2 * FLAG_DISTANCE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (flags == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    run.there = (volatile uint32_t *)flags;
    run.back = (volatile uint32_t *)(flags + FLAG_DISTANCE);
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        return 1;
    }
    for (int yield = 1; yield >= 0 && good; yield--) {
        run.yield = yield == 1;
        *run.there = 0;
        *run.back = 0;
        if (strcmp(mode, run.yield ? "spin" : "yield") != 0) {
            good = run_pair(&run);
        }
    }
    (void)rmdir(folder);
    return good ? 0 : 1;
}
