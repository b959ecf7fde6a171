/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bad_wire - joins two interfaces and loses, doubles and reorders frames on the way.
 *
 * Why: what `tc netem` does, for kernels without it, and with the same faults on every run: each
 * direction draws from its own seed.
 *
 * Model: a frame that comes in at one interface leaves at the other. Of 1,000 frames so many each:
 *   loss     it does not leave;
 *   double   it leaves twice;
 *   reorder  it waits until REORDER_FRAMES later ones have left, or REORDER_MS have passed.
 * Nothing else is added: no delay, no rate. A frame for which the kernel has no room is lost too,
 * as on a wire that is too slow; it is counted apart (`overflow`).
 *
 * Limits: frames of FRAME_BYTES_MAX; WAITING_MAX frames wait at a time. Offloads of the interfaces
 * at the ends must be off: frames come as long as the wire, with checksums. Output: `ready`, and at
 * the end (SIGTERM, or --seconds) one JSON object.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "figures.h"

#define FRAME_BYTES_MAX 9216u
#define BURST 64u
#define WAITING_MAX 64u
#define REORDER_FRAMES 3u
#define REORDER_MS 1u
#define SECONDS_MAX 3600u
#define RECEIVE_BUFFER_BYTES (4 << 20)

struct waiting {
    uint32_t size;
    uint64_t leaves_at_frame, leaves_at_ms;
    uint8_t bytes[FRAME_BYTES_MAX];
};

struct way {
    int from, to;
    uint64_t random; /* state, never 0 */
    uint64_t seen, lost, doubled, reordered, overflow;
    uint32_t held; /* the first so many of waiting */
    struct waiting waiting[WAITING_MAX];
};

static uint32_t loss, doubles, reorder; /* of 1,000 */
static volatile sig_atomic_t stopped;

static void stop(int signal_number)
{
    (void)signal_number;
    stopped = 1;
}

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A number below 1,000. xorshift64* */
static uint32_t draw(struct way *way)
{
    way->random ^= way->random >> 12;
    way->random ^= way->random << 25;
    way->random ^= way->random >> 27;
    return (uint32_t)((way->random * 0x2545f4914f6cdd1du >> 33) % 1000);
}

static int interface_open(const char *name)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons(ETH_P_ALL),
                                  .sll_ifindex = (int)if_nametoindex(name)};
    int size = RECEIVE_BUFFER_BYTES, one = 1;
    int handle = socket(AF_PACKET, SOCK_RAW, 0);

    if (handle < 0 || address.sll_ifindex == 0 ||
        setsockopt(handle, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) != 0 ||
        setsockopt(handle, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0 ||
        bind(handle, (struct sockaddr *)&address, sizeof(address)) != 0) {
        figures_die("interface %s: %s", name, strerror(errno));
    }
    return handle;
}

static void leave(struct way *way, const void *bytes, uint32_t size)
{
    if (send(way->to, bytes, size, MSG_DONTWAIT) < 0) {
        way->overflow++;
    }
}

/* Frames whose time has come; in the order in which they were held. */
static void release(struct way *way, uint64_t ms)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < way->held; i++) {
        struct waiting *waiting = &way->waiting[i];

        if (way->seen >= waiting->leaves_at_frame || ms >= waiting->leaves_at_ms) {
            leave(way, waiting->bytes, waiting->size);
        } else if (kept++ != i) {
            memcpy(&way->waiting[kept - 1], waiting, sizeof(*waiting));
        }
    }
    way->held = kept;
}

static void forward(struct way *way, const uint8_t *bytes, uint32_t size, uint64_t ms)
{
    uint32_t lot = draw(way); /* one for all: at most one of them befalls a frame */

    way->seen++;
    if (lot < loss) {
        way->lost++;
        return;
    }
    if (lot < loss + reorder && way->held < WAITING_MAX) {
        struct waiting *waiting = &way->waiting[way->held++];

        waiting->size = size;
        waiting->leaves_at_frame = way->seen + REORDER_FRAMES;
        waiting->leaves_at_ms = ms + REORDER_MS;
        memcpy(waiting->bytes, bytes, size);
        way->reordered++;
        return;
    }
    leave(way, bytes, size);
    if (lot >= 1000 - doubles) {
        leave(way, bytes, size);
        way->doubled++;
    }
}

/* What is there now, at most BURST frames. */
static void carry(struct way *way)
{
    static uint8_t frames[BURST][FRAME_BYTES_MAX];
    struct mmsghdr messages[BURST] = {0};
    struct iovec parts[BURST];
    uint64_t ms = now_ms();
    int found;

    for (uint32_t i = 0; i < BURST; i++) {
        parts[i] = (struct iovec){.iov_base = frames[i], .iov_len = FRAME_BYTES_MAX};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    found = recvmmsg(way->from, messages, BURST, MSG_DONTWAIT, NULL);
    for (int i = 0; i < found; i++) {
        if ((messages[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) {
            figures_die("a frame is longer than %u bytes: are offloads off?", FRAME_BYTES_MAX);
        }
        forward(way, frames[i], messages[i].msg_len, ms);
        release(way, ms);
    }
    release(way, ms);
}

static void count_overflow(struct way *way)
{
    struct tpacket_stats stats = {0};
    socklen_t length = sizeof(stats);

    if (getsockopt(way->from, SOL_PACKET, PACKET_STATISTICS, &stats, &length) == 0) {
        way->overflow += stats.tp_drops;
    }
}

static void run(struct way ways[2], uint64_t seconds)
{
    struct pollfd handles[] = {{.fd = ways[0].from, .events = POLLIN},
                               {.fd = ways[1].from, .events = POLLIN}};
    uint64_t end = now_ms() + seconds * 1000;

    while (stopped == 0 && now_ms() < end) {
        bool held = ways[0].held + ways[1].held > 0;

        (void)poll(handles, 2, held ? (int)REORDER_MS : 100);
        carry(&ways[0]);
        carry(&ways[1]);
    }
}

static void print(const struct way ways[2])
{
    (void)printf("{\"metric\":\"bad_wire\"");
    for (int i = 0; i < 2; i++) {
        const char *name = i == 0 ? "there" : "back";

        (void)printf(",\"%s\":{\"frames\":%lu,\"lost\":%lu,\"doubled\":%lu,\"reordered\":%lu,"
                     "\"overflow\":%lu}",
                     name, (unsigned long)ways[i].seen, (unsigned long)ways[i].lost,
                     (unsigned long)ways[i].doubled, (unsigned long)ways[i].reordered,
                     (unsigned long)ways[i].overflow);
    }
    (void)printf("}\n");
}

static void usage(void)
{
    (void)fprintf(stderr, "usage: bad_wire --left INTERFACE --right INTERFACE [--loss PERMILLE]\n"
                          "  [--double PERMILLE] [--reorder PERMILLE] [--seed N] [--seconds N]\n");
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"left", required_argument, NULL, 'l'},    {"right", required_argument, NULL, 'r'},
        {"loss", required_argument, NULL, 'x'},    {"double", required_argument, NULL, 'd'},
        {"reorder", required_argument, NULL, 'o'}, {"seed", required_argument, NULL, 's'},
        {"seconds", required_argument, NULL, 't'}, {0},
    };
    const char *words[256] = {['l'] = "",   ['r'] = "",  ['x'] = "10", ['d'] = "10",
                              ['o'] = "10", ['s'] = "1", ['t'] = "60"};
    static struct way ways[2];
    uint64_t seed, seconds;
    int option;

    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (option == '?') {
            usage();
        }
        words[option] = optarg;
    }
    loss = (uint32_t)strtoul(words['x'], NULL, 10);
    doubles = (uint32_t)strtoul(words['d'], NULL, 10);
    reorder = (uint32_t)strtoul(words['o'], NULL, 10);
    seed = strtoul(words['s'], NULL, 10);
    seconds = strtoul(words['t'], NULL, 10);
    if (optind != argc || *words['l'] == '\0' || *words['r'] == '\0' || loss > 1000 ||
        doubles > 1000 || reorder > 1000 || loss + doubles + reorder > 1000 || seconds == 0 ||
        seconds > SECONDS_MAX) {
        usage();
    }
    figures_start("bad_wire");
    (void)alarm(0); /* run has its own end */
    (void)signal(SIGTERM, stop);
    (void)signal(SIGINT, stop);
    ways[0].from = ways[1].to = interface_open(words['l']);
    ways[1].from = ways[0].to = interface_open(words['r']);
    ways[0].random = seed * 2 + 1;
    ways[1].random = ~(seed * 2);
    (void)printf("ready\n");
    (void)fflush(stdout);
    run(ways, seconds);
    count_overflow(&ways[0]);
    count_overflow(&ways[1]);
    print(ways);
    return 0;
}
