/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_peer - the figures of what people use instead of sipfabric, one transport a run.
 *
 * Method: two processes, each pinned to a core with all its library's threads. `pong` serves one
 * client; `ping` says hello with the pattern that it wants back unchanged, then measures one thing
 * for --seconds, after a tenth of that as warm-up:
 *   rtt    64 B there and back, copied in and out at both ends.
 *   msgs   64 B one way as fast as send takes them; the receiver counts.
 *   bulk   1 MiB blocks one way, from a block to a block. UDP: as datagrams that fill the MTU.
 * Each library as it comes: default buffers and high-water marks, TCP_NODELAY on. --batch (tcp)
 * collects small messages before it calls send, as a program does that minds the rate.
 *
 * Reading it: a stream's clock runs at the receiver from its first message to its last, after a
 * hello, so that connecting is not in it. A sleeping receiver pays for waking up: that, not the
 * protocol, is most of a blocking round trip on an idle machine. --spin (tcp, udp) shows the rest.
 * UDP has no flow control: `lost` is the part that found no room.
 *
 * Output: `ready` from pong, one JSON object a line from ping.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "figures.h"
#include "peer.h"

#define SMALL_BYTES 64u
#define IP_UDP_BYTES 28u
#define TRIES_MAX 100u
#define CLOCK_EVERY 32u /* messages */

enum kind { KIND_ECHO = 1, KIND_DATA, KIND_END, KIND_RESULT, KIND_BYE };

/* In front of every message. */
struct head {
    uint32_t kind, zero;
    uint64_t
        number; /* END, RESULT: of the stream, so that a late answer is not taken for another */
};

struct answer {
    struct head head;
    struct figures_result result;
};

struct talk {
    const struct peer *peer;
    void *state;
    uint8_t *out, *in; /* FIGURES_BLOCK_BYTES each */
};

static const struct peer *const peers[] = {
#ifdef BENCH_NNG
    &peer_nng,
#endif
    &peer_ring, &peer_tcp, &peer_udp,
#ifdef BENCH_ZMQ
    &peer_zmq,
#endif
};

static void flush(const struct talk *talk)
{
    if (talk->peer->flush != NULL) {
        talk->peer->flush(talk->state);
    }
}

static void send_now(const struct talk *talk, const void *bytes, uint32_t size)
{
    talk->peer->send(talk->state, bytes, size);
    flush(talk);
}

/* --- pong --- */

struct counter {
    struct figures_result now;
    struct answer last;
    uint64_t first, newest;
};

static void answer_end(const struct talk *talk, struct counter *counter, uint64_t number)
{
    if (counter->last.head.number != number) {
        counter->now.nanoseconds =
            (uint64_t)(figures_seconds(counter->newest - counter->first) * 1e9);
        counter->last.head = (struct head){.kind = KIND_RESULT, .number = number};
        counter->last.result = counter->now;
        counter->now = (struct figures_result){0};
    }
    send_now(talk, &counter->last, sizeof(counter->last));
}

static void serve(const struct talk *talk)
{
    struct counter counter = {0};

    for (;;) {
        uint32_t size = talk->peer->recv(talk->state, talk->in, FIGURES_BLOCK_BYTES);
        struct head head;

        if (size < sizeof(head)) {
            continue;
        }
        memcpy(&head, talk->in, sizeof(head));
        switch (head.kind) {
        case KIND_DATA:
            counter.newest = figures_ticks();
            if (counter.now.messages++ == 0) {
                counter.first = counter.newest;
            }
            counter.now.bytes += size;
            break;
        case KIND_ECHO:
            send_now(talk, talk->in, size);
            break;
        case KIND_END:
            answer_end(talk, &counter, head.number);
            break;
        case KIND_BYE:
            return;
        default:
            figures_die("a message of kind %u", head.kind);
        }
    }
}

/* --- ping --- */

static void head_write(const struct talk *talk, enum kind kind, uint64_t number)
{
    struct head head = {.kind = kind, .number = number};

    memcpy(talk->out, &head, sizeof(head));
}

/* Sends out and waits for what answers it, again and again on a lossy transport. */
static uint32_t ask(const struct talk *talk, uint32_t size, enum kind answer, uint64_t number)
{
    for (uint32_t tries = 0; tries < TRIES_MAX; tries++) {
        send_now(talk, talk->out, size);
        for (;;) {
            uint32_t got = talk->peer->recv(talk->state, talk->in, FIGURES_BLOCK_BYTES);
            struct head head;

            if (got == 0) {
                break;
            }
            memcpy(&head, talk->in, sizeof(head));
            if (head.kind == answer && head.number == number) {
                return got;
            }
        }
    }
    figures_die("the other side does not answer");
}

static void hello(const struct talk *talk, uint32_t size)
{
    uint32_t got;

    figures_pattern_fill(talk->out, FIGURES_BLOCK_BYTES);
    head_write(talk, KIND_ECHO, 0);
    got = ask(talk, size, KIND_ECHO, 0);
    if (got != size) {
        figures_die("%u bytes came back as %u", size, got);
    }
    figures_pattern_check(talk->in, size, sizeof(struct head));
}

static uint64_t round_trip(const struct talk *talk, uint64_t number)
{
    uint64_t begin;

    head_write(talk, KIND_ECHO, number);
    begin = figures_stamp();
    (void)ask(talk, SMALL_BYTES, KIND_ECHO, number);
    return figures_stamp() - begin;
}

static void measure_rtt(const struct talk *talk, double seconds)
{
    uint64_t *samples = calloc(FIGURES_SAMPLES_MAX, sizeof(*samples));
    uint64_t length = figures_ticks_of(seconds);
    uint64_t number = 1, begin = figures_ticks();
    uint32_t taken = 0;

    if (samples == NULL) {
        figures_die("no memory for the samples");
    }
    while (figures_ticks() - begin < length / 10) {
        (void)round_trip(talk, number++);
    }
    begin = figures_ticks();
    while (taken < FIGURES_SAMPLES_MAX && (taken == 0 || figures_ticks() - begin < length)) {
        samples[taken++] = round_trip(talk, number++);
    }
    figures_rtt(samples, taken);
    free(samples);
}

/* Answers how many messages were sent. */
static uint64_t stream(const struct talk *talk, uint32_t size, double seconds)
{
    uint64_t end = figures_ticks() + figures_ticks_of(seconds);
    uint32_t every = size > SMALL_BYTES ? 1 : CLOCK_EVERY;
    uint64_t sent = 0;

    head_write(talk, KIND_DATA, 0);
    while (sent < FIGURES_MESSAGES_MAX && (sent % every != 0 || figures_ticks() < end)) {
        talk->peer->send(talk->state, talk->out, size);
        sent++;
    }
    return sent;
}

static struct figures_result stream_end(const struct talk *talk, uint64_t number)
{
    struct answer answer;

    head_write(talk, KIND_END, number);
    if (ask(talk, SMALL_BYTES, KIND_RESULT, number) != sizeof(answer)) {
        figures_die("the result has another size");
    }
    memcpy(&answer, talk->in, sizeof(answer));
    return answer.result;
}

static void measure_stream(const struct talk *talk, const char *metric, uint32_t size,
                           double seconds)
{
    struct figures_result seen;
    uint64_t sent;

    (void)stream(talk, size, seconds / 10);
    (void)stream_end(talk, 1);
    sent = stream(talk, size, seconds);
    seen = stream_end(talk, 2);
    figures_rate(metric, &seen, sent);
}

static void measure(const struct talk *talk, const char *what, double seconds, uint32_t block)
{
    hello(talk, strcmp(what, "bulk") == 0 ? block : SMALL_BYTES);
    if (strcmp(what, "rtt") == 0) {
        measure_rtt(talk, seconds);
    } else if (strcmp(what, "msgs") == 0) {
        measure_stream(talk, "msgs64", SMALL_BYTES, seconds);
    } else {
        measure_stream(talk, "bulk", block, seconds);
    }
    head_write(talk, KIND_BYE, 0);
    send_now(talk, talk->out, SMALL_BYTES);
}

/* --- command line --- */

static void usage(void)
{
    (void)fprintf(stderr, "usage: bench_peer --peer NAME --role ping|pong --address A [--port N]\n"
                          "  [--what rtt|msgs|bulk] [--core N] [--seconds S] [--mtu N]\n"
                          "  [--spin] [--batch] [--congestion NAME]\n"
                          "       bench_peer --list\n"
                          "A: the server's IPv4 address; ring: a file that both share\n");
    exit(2);
}

static const struct peer *peer_find(const char *name)
{
    for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
        if (strcmp(peers[i]->name, name) == 0) {
            return peers[i];
        }
    }
    return NULL;
}

static void list(void)
{
    for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
        (void)printf("%s\n", peers[i]->name);
    }
    exit(0);
}

/* words: option letter to its value. */
static void options_read(int argc, char **argv, const char *words[256])
{
    static const struct option longs[] = {
        {"peer", required_argument, NULL, 'p'},
        {"role", required_argument, NULL, 'r'},
        {"what", required_argument, NULL, 'w'},
        {"address", required_argument, NULL, 'a'},
        {"port", required_argument, NULL, 'o'},
        {"core", required_argument, NULL, 'c'},
        {"mtu", required_argument, NULL, 'm'},
        {"seconds", required_argument, NULL, 's'},
        {"spin", no_argument, NULL, 'S'},
        {"batch", no_argument, NULL, 'B'},
        {"congestion", required_argument, NULL, 'C'},
        {"list", no_argument, NULL, 'L'},
        {0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (option == '?') {
            usage();
        }
        words[option] = optarg != NULL ? optarg : "yes";
    }
    if (words['L'] != NULL) {
        list();
    }
    if (optind != argc || peer_find(words['p']) == NULL || *words['a'] == '\0' ||
        (strcmp(words['r'], "ping") != 0 && strcmp(words['r'], "pong") != 0) ||
        (strcmp(words['w'], "rtt") != 0 && strcmp(words['w'], "msgs") != 0 &&
         strcmp(words['w'], "bulk") != 0)) {
        usage();
    }
}

int main(int argc, char **argv)
{
    const char *words[256] = {['p'] = "",     ['r'] = "",  ['w'] = "rtt",  ['a'] = "",
                              ['o'] = "7750", ['c'] = "0", ['m'] = "1500", ['s'] = "0.3"};
    struct peer_setup setup;
    struct talk talk;
    double seconds;

    figures_start("bench_peer");
    options_read(argc, argv, words);
    seconds = strtod(words['s'], NULL);
    setup = (struct peer_setup){
        .server = strcmp(words['r'], "pong") == 0,
        .spin = words['S'] != NULL,
        .batch = words['B'] != NULL,
        .congestion = words['C'],
        .address = words['a'],
        .port = (uint16_t)strtoul(words['o'], NULL, 10),
        .mtu_bytes = (uint32_t)strtoul(words['m'], NULL, 10),
    };
    if (!(seconds > 0 && seconds <= 30) || setup.mtu_bytes < 576 || setup.mtu_bytes > 9000) {
        usage();
    }
    figures_pin((int)strtol(words['c'], NULL, 10));
    talk = (struct talk){
        .peer = peer_find(words['p']),
        .out = aligned_alloc(4096, FIGURES_BLOCK_BYTES),
        .in = aligned_alloc(4096, FIGURES_BLOCK_BYTES),
    };
    if (talk.out == NULL || talk.in == NULL) {
        figures_die("no memory for a block");
    }
    memset(talk.in, 0, FIGURES_BLOCK_BYTES);
    talk.state = talk.peer->open(&setup);
    if (setup.server) {
        (void)printf("ready\n");
        (void)fflush(stdout);
        serve(&talk);
    } else {
        measure(&talk, words['w'], seconds,
                talk.peer->lossy ? setup.mtu_bytes - IP_UDP_BYTES : FIGURES_BLOCK_BYTES);
    }
    talk.peer->close(talk.state);
    free(talk.out);
    free(talk.in);
    return 0;
}
