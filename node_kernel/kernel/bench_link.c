/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_link - one of two nodes that measure what a channel between them costs, SIP to SIP.
 *
 * usage: bench_link --node 1|2 --driver NAME --device DEVICE --image linkbench.sip
 *                   [--mode rtt64|echo|msgs64|bulk] [--count N] [--bytes N] [--channels N]
 *                   [--core N] [--mtu BYTES] [--address IPV4 --peer-address IPV4]
 *                   [--mac MAC --peer-mac MAC] [--encrypt on|off]
 *
 * A node kernel with one worker and the real main loop, without a controller: node 1 serves, node 2
 * measures, prints one JSON object, and ends; then node 1 ends, too. Either may start first.
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
#define CHANNELS_MAX 8u

struct bench {
    uint16_t node_id;
    const char *driver, *device, *image, *mode;
    char count[16], bytes[16], channels[16];
    int core;
    uint32_t mtu_bytes;
    bool sealed;
    struct link_peer us, peer;
};

static struct bench bench = {.node_id = 0,
                             .driver = "memif",
                             .mode = "rtt64",
                             .count = "20000",
                             .bytes = "1048576",
                             .channels = "1",
                             .core = -1};
/* Secrets are not what is measured here. */
static const uint8_t keys[3][FAB_KEY_BYTES] = {{0}, {1, 2, 3}, {4, 5, 6}};
static struct pump *pump;
static struct nk_kernel *kernel;
static bool met;        /* the other node was heard */
static uv_timer_t tick; /* as a node has its controller's socket: something that libuv waits for */
static int answer;

static _Noreturn void fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "bench_link: %s%s%s\n", what, why[0] != '\0' ? ": " : "", why);
    exit(1);
}

/* --- what the SIP says ----------------------------------------------------------------------- */

static void on_log(void *arg, uint64_t sip, const char *text, uint32_t bytes)
{
    unsigned long long n, lowest, p50, p99, ns;
    char line[256];

    (void)arg;
    (void)sip;
    (void)snprintf(line, sizeof(line), "%.*s", (int)bytes, text);
    if (sscanf(line, "rtt_ns n %llu min %llu p50 %llu p99 %llu", &n, &lowest, &p50, &p99) == 4) {
        (void)printf("{\"mode\":\"%s\",\"driver\":\"%s\",\"unit\":\"us\",\"n\":%llu,\"min\":%.3f,"
                     "\"p50\":%.3f,\"p99\":%.3f}\n",
                     bench.mode, bench.driver, n, (double)lowest / 1e3, (double)p50 / 1e3,
                     (double)p99 / 1e3);
    } else if (sscanf(line, "rate n %llu ns %llu", &n, &ns) == 2 && ns > 0) {
        bool bulk = strcmp(bench.mode, "bulk") == 0;
        (void)printf("{\"mode\":\"%s\",\"driver\":\"%s\",\"unit\":\"%s\",\"n\":%llu,"
                     "\"value\":%.3f}\n",
                     bench.mode, bench.driver, bulk ? "MB/s" : "M/s", n,
                     (double)n * 1e3 / (double)ns);
    } else {
        (void)fprintf(stderr, "bench_link: node %u: %s\n", bench.node_id, line);
    }
    (void)fflush(stdout);
}

static void on_ended(void *arg, const struct nk_sip_end *end)
{
    (void)arg;
    if (end->how != NK_END_EXITED || end->exit_code != 0) {
        (void)fprintf(stderr, "bench_link: node %u: the SIP ended, exit code %d\n%s\n",
                      bench.node_id, end->exit_code, end->report == NULL ? "" : end->report);
        answer = 1;
    }
    pump_stop(pump);
}

static void on_lost(void *arg, uint16_t peer_id, struct sf_cause cause)
{
    (void)arg;
    (void)peer_id;
    if (met) {
        pump_stop(pump);
    }
    if (bench.node_id == 2) {
        (void)fprintf(stderr, "bench_link: the session is lost, cause %u\n", cause.kind);
        answer = 1;
    }
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
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
                                 {"channels", bench.channels}};
    struct nk_sip_options sip = {.number = bench.node_id,
                                 .name = bench.node_id == 1 ? "server" : "client",
                                 .image_digest = digest,
                                 .config = config,
                                 .config_count = 4};
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

static void options_read(int argc, char **argv)
{
    static const struct option options[] = {
        {"node", 1, NULL, 'n'},    {"driver", 1, NULL, 'd'},   {"device", 1, NULL, 'D'},
        {"image", 1, NULL, 'i'},   {"mode", 1, NULL, 'm'},     {"count", 1, NULL, 'c'},
        {"bytes", 1, NULL, 'b'},   {"channels", 1, NULL, 'C'}, {"core", 1, NULL, 'k'},
        {"mtu", 1, NULL, 'M'},     {"address", 1, NULL, 'a'},  {"peer-address", 1, NULL, 'A'},
        {"encrypt", 1, NULL, 'e'}, {"mac", 1, NULL, 'h'},      {"peer-mac", 1, NULL, 'H'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'n':
            bench.node_id = (uint16_t)atoi(optarg);
            break;
        case 'd':
            bench.driver = optarg;
            break;
        case 'D':
            bench.device = optarg;
            break;
        case 'i':
            bench.image = optarg;
            break;
        case 'm':
            bench.mode = optarg;
            break;
        case 'c':
            text_read(optarg, bench.count, sizeof(bench.count));
            break;
        case 'b':
            text_read(optarg, bench.bytes, sizeof(bench.bytes));
            break;
        case 'C':
            text_read(optarg, bench.channels, sizeof(bench.channels));
            break;
        case 'k':
            bench.core = atoi(optarg);
            break;
        case 'M':
            bench.mtu_bytes = (uint32_t)atoi(optarg);
            break;
        case 'a':
            bench.us.ipv4 = ipv4_read(optarg);
            break;
        case 'A':
            bench.peer.ipv4 = ipv4_read(optarg);
            break;
        case 'e':
            bench.sealed = strcmp(optarg, "on") == 0;
            break;
        case 'h':
            mac_read(optarg, bench.us.mac);
            break;
        case 'H':
            mac_read(optarg, bench.peer.mac);
            break;
        default:
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
    (void)uv_timer_start(&tick, on_tick, 1000, 1000);
    kernel_start();
    image_add(digest);
    link_open();
    sip_start(digest);
    pump_run(pump);
    nk_kernel_stop(kernel);
    pump_flush(pump, 100);
    pump_set_kernel(pump, NULL);
    nk_kernel_destroy(kernel);
    pump_destroy(pump);
    link_dpdk_stop();
    return answer;
}
