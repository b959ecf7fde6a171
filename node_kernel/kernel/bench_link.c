/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_link - one of two nodes that measure what a channel between them costs, SIP to SIP.
 *
 * usage: bench_link --node 1|2 --driver NAME --device DEVICE --image linkbench.sip
 *                   [--mode rtt64|echo|msgs64|bulk|proof] [--count N] [--bytes N] [--channels N]
 *                   [--seconds N] [--core N] [--mtu BYTES] [--address IPV4 --peer-address IPV4]
 *                   [--mac MAC --peer-mac MAC] [--encrypt on|off] [--counters] [--watch MS]
 *
 * A node kernel with one worker and the real main loop, without a controller: node 1 serves, node 2
 * measures, prints one JSON object, and ends; then node 1 ends, too. Either may start first.
 *
 * Mode bulk may be bounded by --seconds instead of --count. Mode proof (both nodes must be told;
 * image linkproof.sip) runs for --seconds: both nodes say what they sent and took, in the metric
 * "proof", and fail if anything did not come as it was sent, or if the session was lost.
 * --counters: at the end one more object, metric "session", with what the session counted. --watch:
 * that every so many milliseconds on stderr.
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

#include "link/dpdk.h"
#include "log.h"
#include "nk.h"
#include "pump.h"

#define FILE_BYTES_MAX (4u << 20)
#define SECONDS_MAX 60u
#define FLUSH_MS 1000u /* until the other node has everything */
#define CHANNELS_MAX 8u

struct bench {
    uint16_t node_id;
    const char *driver, *device, *image, *mode;
    char count[16], bytes[16], channels[16], seconds[16];
    int core;
    uint32_t mtu_bytes, watch_ms;
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
                             .core = -1};
/* Secrets are not what is measured here. */
static const uint8_t keys[3][FAB_KEY_BYTES] = {{0}, {1, 2, 3}, {4, 5, 6}};
static struct pump *pump;
static struct nk_kernel *kernel;
static bool met;        /* the other node was heard */
static bool over;       /* our SIP has ended, or we end it: what follows is no failure */
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
    unsigned long long n, lowest, p50, p99;

    if (sscanf(line, "rtt_ns n %llu min %llu p50 %llu p99 %llu", &n, &lowest, &p50, &p99) != 4) {
        return false;
    }
    (void)printf("{\"mode\":\"%s\",\"driver\":\"%s\",\"unit\":\"us\",\"n\":%llu,\"min\":%.3f,"
                 "\"p50\":%.3f,\"p99\":%.3f}\n",
                 bench.mode, bench.driver, n, (double)lowest / 1e3, (double)p50 / 1e3,
                 (double)p99 / 1e3);
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
    if (!over && (end->how != NK_END_EXITED || end->exit_code != 0)) {
        (void)fprintf(stderr, "bench_link: node %u: the SIP ended, exit code %d\n%s\n",
                      bench.node_id, end->exit_code, end->report == NULL ? "" : end->report);
        answer = 1;
    }
    over = true;
    pump_stop(pump);
}

static void on_lost(void *arg, uint16_t peer_id, struct sf_cause cause)
{
    (void)arg;
    (void)peer_id;
    if (met) {
        pump_stop(pump);
    }
    if (bench.node_id == 2 || (strcmp(bench.mode, "proof") == 0 && !over)) {
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
                  "\"lost_frames\":%u,\"rtt_us\":%lu,\"rtt_p50_us\":%lu,\"rtt_p99_us\":%lu}\n",
                  bench.node_id, info.cipher, fab_peer_losses(fabric, bench.peer.node_id, &cause),
                  info.frames_sent, info.frames_resent, info.timeouts, info.frames_received,
                  info.frames_duplicate, info.frames_rejected, info.window, info.in_flight,
                  info.lost_frames, info.rtt_ns / 1000, fab_histogram_ns(info.rtt, 50) / 1000,
                  fab_histogram_ns(info.rtt, 99) / 1000);
    (void)fflush(out);
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
    if (bench.watch_ms != 0) {
        counters_print(stderr);
    }
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
                                 .worker_count = 1,
                                 .slot_count = 4,
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
    };
    char text[512] = "";

    memcpy(config.mac, bench.us.mac, sizeof(config.mac));
    bench.peer.node_id = session.node_id;
    (void)crypto_scalarmult_base(session.key, keys[session.node_id]);
    if (pump_link_open(pump, 1, bench.driver, &config, text, sizeof(text)) != SF_OK ||
        pump_peer_add(pump, &bench.peer, &session, 1, text, sizeof(text)) != SF_OK) {
        fail("no link", text);
    }
}

/* Turns until the other node is heard. */
static void peer_wait(void)
{
    uint64_t end_ns = node_now_ns() + SECONDS_MAX * 1000000000ull;

    while (!met) {
        struct fab_peer_info info;
        pump_turn(pump);
        if (fab_peer_query(nk_kernel_fabric(kernel), bench.peer.node_id, &info) != SF_OK ||
            node_now_ns() > end_ns) {
            fail("the other node did not come", "");
        }
        met = info.alive;
    }
}

static void sip_start(const uint8_t *digest)
{
    struct nk_config config[] = {{"mode", bench.node_id == 1 ? "serve" : bench.mode},
                                 {"count", bench.count},
                                 {"bytes", bench.bytes},
                                 {"channels", bench.channels},
                                 {"seconds", bench.seconds}};
    struct nk_sip_options sip = {.number = bench.node_id,
                                 .name = bench.node_id == 1 ? "server" : "client",
                                 .image_digest = digest,
                                 .config = config,
                                 .config_count = sizeof(config) / sizeof(config[0])};
    char text[256] = "";

    if (nk_sip_create(kernel, &sip, text, sizeof(text)) != SF_OK) {
        fail("no SIP", text);
    }
    if (bench.node_id == 2) {
        peer_wait();
        for (int i = 0; i < atoi(bench.channels) && i < (int)CHANNELS_MAX; i++) {
            char import[3] = {'c', (char)('0' + i), 0};
            if (nk_sip_wire(kernel, 2, import, 1, "server.bench", text, sizeof(text)) != SF_OK) {
                fail("no channel", text);
            }
        }
    }
    if (nk_sip_start(kernel, bench.node_id) != SF_OK) {
        fail("the SIP does not start", "");
    }
    if (bench.node_id == 1) {
        peer_wait();
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
    {NULL, 0, NULL, 0},
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
        if (!option_place(option) && !option_work(option)) {
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
    if (link_dpdk_start(&dpdk, &why) != SF_OK) {
        fail("DPDK does not start", why);
    }
    if (uv_loop_init(&loop) != 0 || pump_create(&loop, &pump) != SF_OK) {
        fail("no memory", "");
    }
    (void)uv_timer_init(&loop, &tick);
    (void)uv_timer_start(&tick, on_tick, bench.watch_ms != 0 ? bench.watch_ms : 1000,
                         bench.watch_ms != 0 ? bench.watch_ms : 1000);
    kernel_start();
    image_add(digest);
    link_open();
    sip_start(digest);
    pump_run(pump);
    if (bench.counters) {
        counters_print(stdout);
    }
    over = true;
    nk_kernel_stop(kernel);
    pump_flush(pump, FLUSH_MS);
    pump_set_kernel(pump, NULL);
    nk_kernel_destroy(kernel);
    pump_destroy(pump);
    link_dpdk_stop();
    return answer;
}
