/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_link - one of two nodes that measure what a channel between them costs, SIP to SIP.
 *
 * usage: bench_link --node 1|2 --driver NAME --device DEVICE --image linkbench.sip
 *                   [--mode rtt64|echo|msgs64|bulk|proof] [--count N] [--bytes N] [--channels N]
 *                   [--seconds N] [--core N] [--mtu BYTES] [--address IPV4 --peer-address IPV4]
 *                   [--mac MAC --peer-mac MAC] [--encrypt on|off] [--counters] [--watch MS]
 *                   [--workers N] [--queues N] [--pairs N] [--cut MS]
 *                   [--beside DEVICE] [--reads BYTES] [--break MS]
 *                   [--patience MS]
 *
 * A node kernel with one worker (--workers) and the real main loop, without a controller: node 1
 * serves, node 2 measures, prints one JSON object, and ends; then node 1 ends, too. Either may
 * start first.
 *
 * Mode bulk may be bounded by --seconds instead of --count. Mode proof (both nodes must be told;
 * image linkproof.sip) runs for --seconds: both nodes say what they sent and took, in the metric
 * "proof", and fail if anything did not come as it was sent, or if the session was lost.
 * --counters: at the end one more object, metric "session", with what the session counted. --watch:
 * that every so many milliseconds on stderr. --pairs: so many SIPs on each node, each on the next
 * worker, and each client with a server of its own. --queues: of the link. --cut: node 2 removes
 * the other node and the link after so many milliseconds, in the middle of all, and both end well.
 * --reads: blocks from that size on are read, with a driver that can. Without --encrypt on.
 * --break: every so many milliseconds the way to the other node is taken apart, as an error would.
 * --patience: silence after which a node is lost, where nodes may not get a processor for seconds.
 * With driver rdma both addresses are needed: nodes tell each other their queue pairs over TCP.
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <sched.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench_endpoints.h"
#include "link/dpdk.h"
#include "log.h"
#include "nk.h"
#include "pump.h"

#define FILE_BYTES_MAX (4u << 20)
#define SECONDS_MAX 60u
#define FLUSH_MS 1000u /* until the other node has everything */
#define CHANNELS_MAX 16u
#define PAIRS_MAX 16u
#define HEAP_BYTES_READ (64u << 20) /* all of it is pinned */

struct bench {
    uint16_t node_id;
    const char *driver, *device, *image, *mode, *beside;
    char count[16], bytes[16], channels[16], seconds[16];
    int core;
    uint32_t mtu_bytes, watch_ms, workers, pairs, cut_ms, reads, break_ms, patience_ms;
    uint16_t queues;
    bool sealed, counters;
    struct link_peer us, peer;
};

static struct bench bench = {.node_id = 0,
                             .driver = "memif",
                             .mode = "rtt64",
                             .count = "20000",
                             .bytes = "1048576",
                             .channels = "1",
                             .seconds = "0",
                             .workers = 1,
                             .pairs = 1,
                             .queues = 1,
                             .core = -1};
/* Secrets are not what is measured here. */
static const uint8_t keys[3][FAB_KEY_BYTES] = {{0}, {1, 2, 3}, {4, 5, 6}};
static struct pump *pump;
static struct nk_kernel *kernel;
static bool met;       /* the other node was heard */
static bool over;      /* our SIP has ended, or we end it: what follows is no failure */
static uint32_t ended; /* SIPs */
static uv_timer_t cut, breaking, carrying;
static uv_timer_t tick; /* as a node has its controller's socket: something that libuv waits for */
static int answer;

static _Noreturn void fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "bench_link: %s%s%s\n", what, why[0] != '\0' ? ": " : "", why);
    exit(1);
}

/* --- what the SIP says ----------------------------------------------------------------------- */

static bool rtt_print(const char *line)
{
    unsigned long long n, lowest, p50, p99, average;

    if (sscanf(line, "rtt_ns n %llu min %llu p50 %llu p99 %llu average %llu", &n, &lowest, &p50,
               &p99, &average) != 5) {
        return false;
    }
    (void)printf("{\"mode\":\"%s\",\"driver\":\"%s\",\"unit\":\"us\",\"n\":%llu,\"min\":%.3f,"
                 "\"p50\":%.3f,\"p99\":%.3f,\"average\":%.3f}\n",
                 bench.mode, bench.driver, n, (double)lowest / 1e3, (double)p50 / 1e3,
                 (double)p99 / 1e3, (double)average / 1e3);
    return true;
}

static bool rate_print(const char *line)
{
    bool bulk = strcmp(bench.mode, "bulk") == 0;
    unsigned long long n, ns;

    if (sscanf(line, "rate n %llu ns %llu", &n, &ns) != 2 || ns == 0) {
        return false;
    }
    (void)printf("{\"mode\":\"%s\",\"driver\":\"%s\",\"unit\":\"%s\",\"n\":%llu,\"value\":%.3f}\n",
                 bench.mode, bench.driver, bulk ? "MB/s" : "M/s", n, (double)n * 1e3 / (double)ns);
    return true;
}

static bool proof_print(const char *line)
{
    unsigned long long sent, received, bytes_sent, bytes_received, ns;

    if (sscanf(line, "proof sent %llu received %llu bytes_sent %llu bytes_received %llu ns %llu",
               &sent, &received, &bytes_sent, &bytes_received, &ns) != 5) {
        return false;
    }
    (void)printf("{\"metric\":\"proof\",\"node\":%u,\"sent\":%llu,\"received\":%llu,"
                 "\"bytes_sent\":%llu,\"bytes_received\":%llu,\"ns\":%llu}\n",
                 bench.node_id, sent, received, bytes_sent, bytes_received, ns);
    return true;
}

static void on_log(void *arg, uint64_t sip, const char *text, uint32_t bytes)
{
    char line[256];

    (void)arg;
    (void)sip;
    (void)snprintf(line, sizeof(line), "%.*s", (int)bytes, text);
    if (!rtt_print(line) && !rate_print(line) && !proof_print(line)) {
        (void)fprintf(stderr, "bench_link: node %u: %s\n", bench.node_id, line);
    }
    (void)fflush(stdout);
}

static void on_ended(void *arg, const struct nk_sip_end *end)
{
    (void)arg;
    if (!over && bench.cut_ms == 0 && (end->how != NK_END_EXITED || end->exit_code != 0)) {
        (void)fprintf(stderr, "bench_link: node %u: the SIP ended, exit code %d\n%s\n",
                      bench.node_id, end->exit_code, end->report == NULL ? "" : end->report);
        answer = 1;
    }
    if (++ended == bench.pairs) {
        over = true;
        pump_stop(pump);
    }
}

static void on_lost(void *arg, uint16_t peer_id, struct sf_cause cause)
{
    (void)arg;
    (void)peer_id;
    if (met) {
        pump_stop(pump);
    }
    if (bench.cut_ms == 0 && (bench.node_id == 2 || (strcmp(bench.mode, "proof") == 0 && !over))) {
        (void)fprintf(stderr, "bench_link: node %u: the session is lost, cause %u\n", bench.node_id,
                      cause.kind);
        answer = 1;
    }
}

/* --- what the session counted ------------------------------------------------------------------
 */

static void counters_print(FILE *out)
{
    struct fab_node *fabric = nk_kernel_fabric(kernel);
    struct fab_peer_info info;
    struct sf_cause cause;

    if (fab_peer_query(fabric, bench.peer.node_id, &info) != SF_OK) {
        return;
    }
    (void)fprintf(out,
                  "{\"metric\":\"session\",\"node\":%u,\"cipher\":\"%s\",\"losses\":%u,"
                  "\"sent\":%lu,\"resent\":%lu,\"timeouts\":%lu,\"received\":%lu,"
                  "\"duplicate\":%lu,\"rejected\":%lu,\"window\":%u,\"in_flight\":%u,"
                  "\"blocks_read\":%lu,\"blocks_taken\":%lu,\"blocks_unread\":%lu,"
                  "\"lost_frames\":%u,\"rtt_us\":%lu,\"rtt_p50_us\":%lu,\"rtt_p99_us\":%lu}\n",
                  bench.node_id, info.cipher, fab_peer_losses(fabric, bench.peer.node_id, &cause),
                  info.frames_sent, info.frames_resent, info.timeouts, info.frames_received,
                  info.frames_duplicate, info.frames_rejected, info.window, info.in_flight,
                  info.blocks_read, info.blocks_taken, info.blocks_unread, info.lost_frames,
                  info.rtt_ns / 1000, fab_histogram_ns(info.rtt, 50) / 1000,
                  fab_histogram_ns(info.rtt, 99) / 1000);
    (void)fflush(out);
}

static void frames_print(void)
{
    struct pump_stats stats;

    pump_query(pump, &stats);
    (void)printf("{\"metric\":\"frames\",\"node\":%u,\"rx\":%lu,\"tx\":%lu,\"others_rx\":%lu,"
                 "\"others_tx\":%lu,\"rx_dropped\":%lu,\"tx_dropped\":%lu}\n",
                 bench.node_id, stats.rx_frames, stats.tx_frames, stats.others_rx_frames,
                 stats.others_tx_frames, stats.rx_dropped, stats.tx_dropped);
    (void)fflush(stdout);
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
    if (bench.watch_ms != 0) {
        nk_pause(kernel);
        counters_print(stderr);
        nk_resume(kernel);
    }
}

static void on_break(uv_timer_t *timer)
{
    struct link *link = pump_peer_link(pump, bench.peer.node_id);

    (void)timer;
    if (link != NULL && link->ops->read_revoke != NULL) {
        link->ops->read_revoke(link, bench.peer.node_id);
    }
}

static void on_carry(uv_timer_t *timer)
{
    (void)timer;
    bench_endpoints_carry(pump, bench.node_id == 1, bench.us.ipv4, bench.peer.ipv4,
                          bench.peer.node_id);
}

/* Once the nodes have met. */
static void breaks_start(uv_loop_t *loop)
{
    (void)uv_timer_init(loop, &breaking);
    (void)uv_timer_init(loop, &carrying);
    if (bench.break_ms != 0) {
        (void)uv_timer_start(&breaking, on_break, bench.break_ms, bench.break_ms);
        (void)uv_timer_start(&carrying, on_carry, 5, 5);
    }
}

/* What was under way is lost, and SIPs see it. */
static void on_cut(uv_timer_t *timer)
{
    (void)timer;
    over = true;
    pump_peer_remove(pump, bench.peer.node_id, SF_CAUSE_OF(LINK_LOST));
    pump_stop(pump);
}

/* --- the node ----------------------------------------------------------------------------------
 */

static void image_add(uint8_t digest[IMAGE_DIGEST_BYTES])
{
    static uint8_t bytes[FILE_BYTES_MAX];
    FILE *file = fopen(bench.image, "rb");
    size_t length;
    char text[256] = "";

    if (file == NULL) {
        fail("cannot read", bench.image);
    }
    length = fread(bytes, 1, sizeof(bytes), file);
    (void)fclose(file);
    if (nk_image_add(kernel, bytes, length, digest, text, sizeof(text)) != SF_OK) {
        fail("the image is refused", text);
    }
}

static void kernel_start(void)
{
    struct nk_options options = {.node_name = "bench",
                                 .node_id = bench.node_id,
                                 .epoch = 1,
                                 .trust = &image_trust_anyone,
                                 .worker_count = bench.workers,
                                 .peer_timeout_ns = bench.patience_ms * 1000000ull,
                                 .copy_blocks = bench.reads != 0,
                                 .heap_bytes = bench.reads != 0 ? HEAP_BYTES_READ : 0,
                                 .slot_count = PAIRS_MAX,
                                 .secret_key = keys[bench.node_id],
                                 .events = {on_log, on_ended, on_lost}};
    char text[256] = "";

    if (nk_kernel_create(&options, &kernel, text, sizeof(text)) != SF_OK) {
        fail("no kernel", text);
    }
    pump_set_kernel(pump, kernel);
}

static void link_open(void)
{
    struct fab_peer session = {
        .node_id = (uint16_t)(3 - bench.node_id), .epoch = 1, .sealed = bench.sealed};
    struct link_config config = {
        .name = "bench",
        .device = bench.device,
        .node_id = bench.node_id,
        .mtu_bytes = bench.mtu_bytes,
        .server = bench.node_id == 1,
        .ipv4 = bench.us.ipv4,
        .shared = bench.workers > 1,
        .queues = bench.queues,
    };
    char text[512] = "";

    if (bench.beside != NULL) {
        struct link_config beside = config;

        beside.device = bench.beside;
        if (pump_link_open(pump, 2, bench.driver, &beside, text, sizeof(text)) != SF_OK) {
            fail("no link beside", text);
        }
    }
    memcpy(config.mac, bench.us.mac, sizeof(config.mac));
    bench.peer.node_id = session.node_id;
    (void)crypto_scalarmult_base(session.key, keys[session.node_id]);
    if (pump_link_open(pump, 1, bench.driver, &config, text, sizeof(text)) != SF_OK ||
        (bench.reads != 0 && pump_link_reads(pump, 1, bench.reads) != SF_OK) ||
        pump_peer_add(pump, &(struct pump_way){1, bench.peer}, 1, &session, text, sizeof(text)) !=
            SF_OK) {
        fail("no link", text);
    }
}

/* With RDMA. */
static bool endpoints_wanted(void)
{
    return link_driver_find(bench.driver)->endpoint_get != NULL;
}

/* Turns until the other node is heard. */
static void peer_wait(void)
{
    uint64_t end_ns = node_now_ns() + SECONDS_MAX * 1000000000ull;

    while (!met) {
        struct fab_peer_info info;
        sf_status st;

        pump_turn(pump);
        if (endpoints_wanted()) {
            bench_endpoints_carry(pump, bench.node_id == 1, bench.us.ipv4, bench.peer.ipv4,
                                  bench.peer.node_id);
        }
        nk_lock(kernel);
        st = fab_peer_query(nk_kernel_fabric(kernel), bench.peer.node_id, &info);
        nk_unlock(kernel);
        if (st != SF_OK || node_now_ns() > end_ns) {
            fail("the other node did not come", "");
        }
        met = info.alive;
    }
}

static void sip_make(const uint8_t *digest, uint32_t index)
{
    struct nk_config config[] = {{"mode", bench.node_id == 1 ? "serve" : bench.mode},
                                 {"count", bench.count},
                                 {"bytes", bench.bytes},
                                 {"channels", bench.channels},
                                 {"seconds", bench.seconds}};
    char name[24];
    struct nk_sip_options sip = {.number = index + 1,
                                 .name = name,
                                 .image_digest = digest,
                                 .config = config,
                                 .config_count = sizeof(config) / sizeof(config[0]),
                                 .worker = bench.workers > 1 ? 1 + index % bench.workers : 0};
    char text[256] = "";

    (void)snprintf(name, sizeof(name), "%s%u", bench.node_id == 1 ? "server" : "client", index);
    if (nk_sip_create(kernel, &sip, text, sizeof(text)) != SF_OK) {
        fail("no SIP", text);
    }
}

static void sip_wire(uint32_t index)
{
    char export_name[32];
    char text[256] = "";

    (void)snprintf(export_name, sizeof(export_name), "server%u.bench", index);
    for (int i = 0; i < atoi(bench.channels) && i < (int)CHANNELS_MAX; i++) {
        const char import[3] = {'c', "0123456789abcdef"[i], 0};
        if (nk_sip_wire(kernel, index + 1, import, 1, export_name, text, sizeof(text)) != SF_OK) {
            fail("no channel", text);
        }
    }
}

static void sips_start(const uint8_t *digest)
{
    for (uint32_t i = 0; i < bench.pairs; i++) {
        sip_make(digest, i);
    }
    if (bench.node_id == 2) {
        peer_wait();
    }
    for (uint32_t i = 0; i < bench.pairs; i++) {
        if (bench.node_id == 2) {
            sip_wire(i);
        }
        if (nk_sip_start(kernel, i + 1) != SF_OK) {
            fail("the SIP does not start", "");
        }
    }
    if (bench.node_id == 1) {
        peer_wait();
    } else if (bench.cut_ms != 0) {
        (void)uv_timer_start(&cut, on_cut, bench.cut_ms, 0);
    }
}

/* --- command line ------------------------------------------------------------------------------
 */

static void mac_read(const char *text, uint8_t mac[6])
{
    if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4],
               &mac[5]) != 6) {
        fail("not a MAC address", text);
    }
}

static uint32_t ipv4_read(const char *text)
{
    struct in_addr address;

    if (inet_pton(AF_INET, text, &address) != 1) {
        fail("not an IPv4 address", text);
    }
    return ntohl(address.s_addr);
}

static void text_read(const char *text, char *out, size_t capacity)
{
    if ((size_t)snprintf(out, capacity, "%s", text) >= capacity) {
        fail("too long", text);
    }
}

static const struct option options[] = {
    {"node", 1, NULL, 'n'},    {"driver", 1, NULL, 'd'},   {"device", 1, NULL, 'D'},
    {"image", 1, NULL, 'i'},   {"mode", 1, NULL, 'm'},     {"count", 1, NULL, 'c'},
    {"bytes", 1, NULL, 'b'},   {"channels", 1, NULL, 'C'}, {"core", 1, NULL, 'k'},
    {"mtu", 1, NULL, 'M'},     {"address", 1, NULL, 'a'},  {"peer-address", 1, NULL, 'A'},
    {"encrypt", 1, NULL, 'e'}, {"mac", 1, NULL, 'h'},      {"peer-mac", 1, NULL, 'H'},
    {"seconds", 1, NULL, 's'}, {"watch", 1, NULL, 'w'},    {"counters", 0, NULL, 'x'},
    {"workers", 1, NULL, 'W'}, {"queues", 1, NULL, 'q'},   {"pairs", 1, NULL, 'p'},
    {"cut", 1, NULL, 'u'},     {"beside", 1, NULL, 'B'},   {"reads", 1, NULL, 'r'},
    {"break", 1, NULL, 'R'},   {"patience", 1, NULL, 'P'}, {NULL, 0, NULL, 0},
};

/* Where we are and where the other node is. False: none of these options. */
static bool option_place(int option)
{
    switch (option) {
    case 'd':
        bench.driver = optarg;
        return true;
    case 'D':
        bench.device = optarg;
        return true;
    case 'k':
        bench.core = atoi(optarg);
        return true;
    case 'M':
        bench.mtu_bytes = (uint32_t)atoi(optarg);
        return true;
    case 'a':
        bench.us.ipv4 = ipv4_read(optarg);
        return true;
    case 'A':
        bench.peer.ipv4 = ipv4_read(optarg);
        return true;
    case 'h':
        mac_read(optarg, bench.us.mac);
        return true;
    case 'H':
        mac_read(optarg, bench.peer.mac);
        return true;
    default:
        return false;
    }
}

/* A number of 1 to most. */
static uint32_t number_read(const char *text, uint32_t most)
{
    int number = atoi(text);

    if (number < 1 || (uint32_t)number > most) {
        fail("out of range", text);
    }
    return (uint32_t)number;
}

static bool option_many(int option)
{
    switch (option) {
    case 'W':
        bench.workers = number_read(optarg, NK_WORKERS_MAX);
        return true;
    case 'q':
        bench.queues = (uint16_t)number_read(optarg, LINK_QUEUES_MAX);
        return true;
    case 'p':
        bench.pairs = number_read(optarg, PAIRS_MAX);
        return true;
    case 'B':
        bench.beside = optarg;
        return true;
    case 'r':
        bench.reads = (uint32_t)atoi(optarg);
        return true;
    case 'P':
        bench.patience_ms = number_read(optarg, 60000);
        return true;
    case 'R':
        bench.break_ms = number_read(optarg, 60000);
        return true;
    case 'u':
        bench.cut_ms = number_read(optarg, 60000);
        return true;
    default:
        return false;
    }
}

static bool option_work(int option)
{
    switch (option) {
    case 'n':
        bench.node_id = (uint16_t)atoi(optarg);
        return true;
    case 'i':
        bench.image = optarg;
        return true;
    case 'm':
        bench.mode = optarg;
        return true;
    case 'c':
        text_read(optarg, bench.count, sizeof(bench.count));
        return true;
    case 'b':
        text_read(optarg, bench.bytes, sizeof(bench.bytes));
        return true;
    case 'C':
        text_read(optarg, bench.channels, sizeof(bench.channels));
        return true;
    case 's':
        text_read(optarg, bench.seconds, sizeof(bench.seconds));
        return true;
    case 'e':
        bench.sealed = strcmp(optarg, "on") == 0;
        return true;
    case 'w':
        bench.watch_ms = (uint32_t)atoi(optarg);
        return true;
    case 'x':
        bench.counters = true;
        return true;
    default:
        return false;
    }
}

static void options_read(int argc, char **argv)
{
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (!option_place(option) && !option_work(option) && !option_many(option)) {
            exit(2);
        }
    }
    if (bench.node_id < 1 || bench.node_id > 2 || bench.device == NULL || bench.image == NULL) {
        (void)fprintf(stderr, "usage: bench_link --node 1|2 --driver NAME --device DEVICE --image "
                              "FILE ...; see the head of bench_link.c\n");
        exit(2);
    }
}

static void core_set(void)
{
    cpu_set_t cpus;

    if (bench.core >= 0) {
        CPU_ZERO(&cpus);
        CPU_SET((size_t)bench.core, &cpus);
        if (sched_setaffinity(0, sizeof(cpus), &cpus) != 0) {
            fail("no such core", "");
        }
    }
}

int main(int argc, char **argv)
{
    uint8_t digest[IMAGE_DIGEST_BYTES];
    struct link_dpdk_options dpdk = {.memory_mib = 128};
    const char *why = "";
    uv_loop_t loop;

    options_read(argc, argv);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)prctl(PR_SET_TIMERSLACK, 10000);
    core_set();
    if (strcmp(bench.driver, "rdma") != 0 && link_dpdk_start(&dpdk, &why) != SF_OK) {
        fail("DPDK does not start", why);
    }
    if (uv_loop_init(&loop) != 0 || pump_create(&loop, &pump) != SF_OK) {
        fail("no memory", "");
    }
    (void)uv_timer_init(&loop, &tick);
    (void)uv_timer_init(&loop, &cut);
    (void)uv_timer_start(&tick, on_tick, bench.watch_ms != 0 ? bench.watch_ms : 1000,
                         bench.watch_ms != 0 ? bench.watch_ms : 1000);
    kernel_start();
    image_add(digest);
    link_open();
    sips_start(digest);
    breaks_start(&loop);
    pump_run(pump);
    if (bench.counters) {
        nk_pause(kernel);
        counters_print(stdout);
        nk_resume(kernel);
        frames_print();
    }
    over = true;
    nk_kernel_stop(kernel);
    pump_flush(pump, FLUSH_MS);
    pump_set_kernel(pump, NULL);
    nk_kernel_destroy(kernel);
    pump_destroy(pump);
    if (strcmp(bench.driver, "rdma") != 0) {
        link_dpdk_stop();
    }
    return answer;
}
