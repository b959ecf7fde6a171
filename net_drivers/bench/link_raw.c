/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_raw - what bare DPDK does between two processes, without any of our code.
 *
 * Why: `./run bench link` puts a node's figures beside these, taken in the same minutes.
 *
 * Method: two processes, each pinned to a core, each with its own EAL in ordinary memory. `pong`
 * serves until it is told to go or SECONDS_MAX have passed; `ping` measures one thing:
 *   rtt         one 64 B frame and its echo, timed by the time stamp counter; the first tenth is
 *               thrown away. Both sides poll without a pause; with --yield they call sched_yield
 *               on every empty poll, as a node that shares its core does.
 *   burst       64 B frames one way, 32 a call, only the header written.
 *   bulk        1 MiB blocks as frames of --frame-bytes, one way. Nobody reads or writes the
 *               payload but the driver (memif and af_packet copy each frame twice).
 *   bulk-copy   the same, but the sender fills each frame from a 1 MiB block and the receiver
 *               copies it to its place in another: what a program pays that wants its data.
 *               --block-mib: blocks of more than 1 MiB, which no cache holds.
 *
 * Reading it: rates are what the receiver counted, first to last frame by its clock; bulk counts
 * payload only, without the 28 bytes of header in each frame. Nothing is repeated, ordered or
 * checked by the way, except that bulk-copy compares the receiver's block once at the end.
 * af_packet has no flow control: `lost` is the part of the frames that the receiver's ring had no
 * room for; a sender that paced itself might do better or worse. In a virtual machine all of this
 * moves by up to two times from minute to minute: compare rows of one run only.
 *
 * Output: `ready` once pong's port has started; one JSON object a line from ping.
 */
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "raw.h"

#define SAMPLES_MAX 1000000u
#define SECONDS_MAX 60u
#define SMALL_BYTES 64u
#define ANSWER_MS_MAX 3000u

static bool yield;
static uint32_t block_bytes;

static void pause_empty(void)
{
    if (yield) {
        (void)sched_yield();
    }
}

/* Fenced: else the processor reads the counter while what it waits for is still under way. */
static uint64_t stamp(void)
{
    uint64_t ticks;

    __builtin_ia32_lfence();
    ticks = rte_rdtsc();
    __builtin_ia32_lfence();
    return ticks;
}

static uint8_t *block_create(bool filled)
{
    uint8_t *block = aligned_alloc(4096, block_bytes);

    if (block == NULL) {
        raw_die("no memory for a block");
    }
    for (uint32_t i = 0; i < block_bytes; i++) {
        block[i] = filled ? (uint8_t)(i * 31 + (i >> 8)) : 0;
    }
    return block;
}

static uint64_t block_damage(const uint8_t *block)
{
    uint64_t wrong = 0;

    for (uint32_t i = 0; i < block_bytes; i++) {
        wrong += block[i] != (uint8_t)(i * 31 + (i >> 8));
    }
    return wrong;
}

/* --- pong --- */

struct pong {
    struct raw_result now, last;
    uint64_t first_tick, last_tick, last_number;
    uint8_t *block;
    bool copied;
};

static void answer_end(const struct raw_port *port, struct pong *pong, uint64_t number)
{
    struct rte_mbuf *frame;

    if (number != pong->last_number) {
        pong->now.ticks = pong->last_tick - pong->first_tick;
        pong->now.damaged = pong->copied ? block_damage(pong->block) : 0;
        pong->last = pong->now;
        pong->last_number = number;
        pong->now = (struct raw_result){0};
        pong->copied = false;
        memset(pong->block, 0, block_bytes);
    }
    if (raw_frames(port, &frame, 1, sizeof(struct raw_header) + sizeof(pong->last), RAW_RESULT)) {
        raw_header(frame)->number = number;
        memcpy(raw_header(frame) + 1, &pong->last, sizeof(pong->last));
        raw_send(port, &frame, 1);
    }
}

/* ticks: when the burst came. */
static void count(struct pong *pong, struct rte_mbuf *frame, uint64_t ticks)
{
    const struct raw_header *header = raw_header(frame);
    uint32_t bytes = frame->pkt_len - (uint32_t)sizeof(*header);

    if (pong->now.frames++ == 0) {
        pong->first_tick = ticks;
    }
    pong->last_tick = ticks;
    pong->now.payload_bytes += bytes;
    if (header->kind == RAW_COPY && header->offset <= block_bytes &&
        bytes <= block_bytes - header->offset) {
        memcpy(pong->block + header->offset, header + 1, bytes);
        pong->copied = true;
    }
}

/* Until the parent ends it. */
static void serve(const struct raw_port *port)
{
    struct pong pong = {.block = block_create(false)};
    struct rte_mbuf *frames[RAW_BURST];

    for (;;) {
        uint16_t found = raw_receive(port, frames);
        uint64_t ticks = rte_rdtsc();

        for (uint16_t i = 0; i < found; i++) {
            const struct raw_header *header = raw_header(frames[i]);

            if (header->kind == RAW_ECHO) {
                raw_send(port, &frames[i], 1);
                continue;
            }
            if (header->kind == RAW_END) {
                answer_end(port, &pong, header->number);
            } else if (header->kind == RAW_DATA || header->kind == RAW_COPY) {
                count(&pong, frames[i], ticks);
            }
            rte_pktmbuf_free(frames[i]);
        }
        if (found == 0) {
            pause_empty();
        }
    }
}

/* --- ping --- */

/* Frames that are not wanted (answers that came twice) are dropped. NULL: ms have passed. */
static struct rte_mbuf *receive_kind(const struct raw_port *port, enum raw_kind kind,
                                     uint64_t number, uint32_t ms)
{
    uint64_t give_up = rte_rdtsc() + ms * rte_get_tsc_hz() / 1000;
    struct rte_mbuf *frames[RAW_BURST], *wanted = NULL;

    while (wanted == NULL) {
        uint16_t found = raw_receive(port, frames);

        for (uint16_t i = 0; i < found; i++) {
            if (wanted == NULL && raw_header(frames[i])->kind == (uint8_t)kind &&
                raw_header(frames[i])->number == number) {
                wanted = frames[i];
            } else {
                rte_pktmbuf_free(frames[i]);
            }
        }
        if (found == 0) {
            if (rte_rdtsc() > give_up) {
                break;
            }
            pause_empty();
        }
    }
    return wanted;
}

static uint64_t round_trip(const struct raw_port *port, uint64_t number)
{
    struct rte_mbuf *frame;
    uint64_t begin, end;

    if (!raw_frames(port, &frame, 1, SMALL_BYTES, RAW_ECHO)) {
        raw_die("no frame is free");
    }
    raw_header(frame)->number = number;
    begin = stamp();
    raw_send(port, &frame, 1);
    frame = receive_kind(port, RAW_ECHO, number, ANSWER_MS_MAX);
    end = stamp();
    if (frame == NULL) {
        raw_die("no echo of frame %lu", (unsigned long)number);
    }
    if (frame->pkt_len != SMALL_BYTES) {
        raw_die("the echo has %u bytes instead of %u", frame->pkt_len, SMALL_BYTES);
    }
    rte_pktmbuf_free(frame);
    return end - begin;
}

static int order_u64(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

static void measure_rtt(const struct raw_port *port, double seconds)
{
    uint64_t *ticks = calloc(SAMPLES_MAX, sizeof(*ticks));
    uint64_t length = (uint64_t)(seconds * (double)rte_get_tsc_hz());
    double us = 1e6 / (double)rte_get_tsc_hz();
    uint64_t number = 1, begin;
    uint32_t taken = 0;

    if (ticks == NULL) {
        raw_die("no memory for the samples");
    }
    begin = rte_rdtsc();
    while (rte_rdtsc() - begin < length / 10) {
        (void)round_trip(port, number++);
    }
    begin = rte_rdtsc();
    while (taken < SAMPLES_MAX && (taken == 0 || rte_rdtsc() - begin < length)) {
        ticks[taken++] = round_trip(port, number++);
    }
    qsort(ticks, taken, sizeof(*ticks), order_u64);
    (void)printf("{\"metric\":\"rtt64\",\"unit\":\"us\",\"n\":%u,\"min\":%.3f,\"p50\":%.3f,"
                 "\"p99\":%.3f}\n",
                 taken, (double)ticks[0] * us, (double)ticks[taken / 2] * us,
                 (double)ticks[(uint64_t)taken * 99 / 100] * us);
    free(ticks);
}

/* END is repeated until it is answered: either may be lost. */
static struct raw_result result_get(const struct raw_port *port, uint64_t number)
{
    struct rte_mbuf *frame = NULL;
    struct raw_result result;

    for (uint32_t waited = 0; frame == NULL; waited += 20) {
        if (waited > ANSWER_MS_MAX) {
            raw_die("no answer about what was received");
        }
        if (raw_frames(port, &frame, 1, SMALL_BYTES, RAW_END)) {
            raw_header(frame)->number = number;
            raw_send(port, &frame, 1);
        }
        frame = receive_kind(port, RAW_RESULT, number, 20);
    }
    memcpy(&result, raw_header(frame) + 1, sizeof(result));
    rte_pktmbuf_free(frame);
    return result;
}

/* Fills the frames of one burst from *io_offset of the block on. Answers how many. */
static uint16_t block_cut(const struct raw_port *port, struct rte_mbuf **frames, enum raw_kind kind,
                          const uint8_t *block, uint32_t *io_offset)
{
    uint32_t payload_max = port->frame_bytes - (uint32_t)sizeof(struct raw_header);
    uint32_t left = block_bytes - *io_offset;
    uint32_t wanted = (left + payload_max - 1) / payload_max;
    uint16_t made = (uint16_t)(wanted < RAW_BURST ? wanted : RAW_BURST);

    if (!raw_frames(port, frames, made, (uint16_t)port->frame_bytes, kind)) {
        return 0;
    }
    for (uint16_t i = 0; i < made; i++) {
        uint32_t bytes = left < payload_max ? left : payload_max;

        if (bytes < payload_max) {
            (void)rte_pktmbuf_trim(frames[i], (uint16_t)(payload_max - bytes));
        }
        raw_header(frames[i])->offset = *io_offset;
        if (kind == RAW_COPY) {
            memcpy(raw_header(frames[i]) + 1, block + *io_offset, bytes);
        }
        *io_offset += bytes;
        left -= bytes;
    }
    return made;
}

/* Sends for so long, whole blocks only. Answers how many frames. */
static uint64_t stream(const struct raw_port *port, const char *what, double seconds,
                       const uint8_t *block)
{
    uint64_t end = rte_rdtsc() + (uint64_t)(seconds * (double)rte_get_tsc_hz());
    enum raw_kind kind = strcmp(what, "bulk-copy") == 0 ? RAW_COPY : RAW_DATA;
    struct rte_mbuf *frames[RAW_BURST];
    uint32_t offset = 0;
    uint64_t sent = 0;

    while (offset != 0 || rte_rdtsc() < end) {
        uint16_t made = RAW_BURST;

        if (strcmp(what, "burst") != 0) {
            made = block_cut(port, frames, kind, block, &offset);
            offset = offset == block_bytes ? 0 : offset;
        } else if (!raw_frames(port, frames, made, SMALL_BYTES, kind)) {
            made = 0;
        }
        raw_send(port, frames, made);
        sent += made;
    }
    return sent;
}

static void measure_stream(const struct raw_port *port, const char *what, double seconds)
{
    uint8_t *block = block_create(true);
    struct raw_result result;
    uint64_t sent;
    double took;

    (void)stream(port, what, seconds / 10, block);
    (void)result_get(port, 1);
    sent = stream(port, what, seconds, block);
    result = result_get(port, 2);
    free(block);
    took = (double)result.ticks / (double)rte_get_tsc_hz();
    if (result.damaged != 0) {
        raw_die("%lu bytes of the receiver's block are wrong", (unsigned long)result.damaged);
    }
    if (result.frames < 2 || took <= 0) {
        raw_die("only %lu of %lu frames came", (unsigned long)result.frames, (unsigned long)sent);
    }
    (void)printf(
        "{\"metric\":\"%s\",\"unit\":\"%s\",\"n\":%lu,\"value\":%.1f,\"lost\":%.4f}\n",
        strcmp(what, "burst") == 0 ? "msgs64" : what,
        strcmp(what, "burst") == 0 ? "frames/s" : "MB/s", (unsigned long)result.frames,
        (strcmp(what, "burst") == 0 ? (double)result.frames : (double)result.payload_bytes / 1e6) /
            took,
        1 - (double)result.frames / (double)sent);
}

/* --- command line --- */

static void usage(void)
{
    (void)fprintf(stderr, "usage: link_raw --role ping|pong --driver memif|af_packet --device D\n"
                          "  [--what rtt|burst|bulk|bulk-copy] [--core N] [--seconds S] [--yield]\n"
                          "  [--frame-bytes N] [--ring-log2 N] [--block-mib N]\n"
                          "D: the path of memif's socket, or an interface's name\n");
    exit(2);
}

static bool one_of(const char *word, const char *const words[])
{
    for (size_t i = 0; words[i] != NULL; i++) {
        if (strcmp(word, words[i]) == 0) {
            return true;
        }
    }
    return false;
}

struct options {
    const char *role, *what;
    double seconds;
    struct raw_port port;
};

static void options_read(int argc, char **argv, struct options *options)
{
    static const struct option longs[] = {
        {"role", required_argument, NULL, 'r'},
        {"driver", required_argument, NULL, 'd'},
        {"device", required_argument, NULL, 'i'},
        {"what", required_argument, NULL, 'w'},
        {"core", required_argument, NULL, 'c'},
        {"frame-bytes", required_argument, NULL, 'f'},
        {"seconds", required_argument, NULL, 's'},
        {"ring-log2", required_argument, NULL, 'l'},
        {"yield", no_argument, NULL, 'y'},
        {"block-mib", required_argument, NULL, 'b'},
        {0},
    };
    const char *words[256] = {
        ['r'] = "",     ['d'] = "",    ['i'] = "",   ['w'] = "rtt", ['c'] = "0",
        ['f'] = "9000", ['s'] = "0.3", ['l'] = "10", ['b'] = "1"};
    int option;

    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (option == '?') {
            usage();
        }
        words[option] = option == 'y' ? "yes" : optarg;
    }
    yield = words['y'] != NULL;
    block_bytes = (uint32_t)strtoul(words['b'], NULL, 10) << 20;
    options->role = words['r'];
    options->what = words['w'];
    options->seconds = strtod(words['s'], NULL);
    options->port = (struct raw_port){
        .driver = words['d'],
        .device = words['i'],
        .server = strcmp(words['r'], "pong") == 0,
        .core = (int)strtol(words['c'], NULL, 10),
        .frame_bytes = (uint32_t)strtoul(words['f'], NULL, 10),
        .ring_log2 = (uint32_t)strtoul(words['l'], NULL, 10),
    };
    if (optind != argc || !one_of(options->role, (const char *[]){"ping", "pong", NULL}) ||
        !one_of(words['d'], (const char *[]){"memif", "af_packet", NULL}) || *words['i'] == '\0' ||
        !one_of(words['w'], (const char *[]){"rtt", "burst", "bulk", "bulk-copy", NULL}) ||
        block_bytes == 0 || block_bytes > RAW_BLOCK_BYTES_MAX ||
        !(options->seconds > 0 && options->seconds <= 10) || options->port.core < 0 ||
        options->port.frame_bytes < RAW_FRAME_BYTES_MIN ||
        options->port.frame_bytes > RAW_FRAME_BYTES_MAX || options->port.ring_log2 < 4 ||
        options->port.ring_log2 > 12) {
        usage();
    }
}

int main(int argc, char **argv)
{
    struct options options;

    options_read(argc, argv, &options);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)alarm(SECONDS_MAX);
    raw_start(&options.port);
    if (options.port.server) {
        (void)printf("ready\n");
        (void)fflush(stdout);
        raw_link_await(&options.port);
        serve(&options.port);
    }
    raw_link_await(&options.port);
    if (strcmp(options.what, "rtt") == 0) {
        measure_rtt(&options.port, options.seconds);
    } else {
        measure_stream(&options.port, options.what, options.seconds);
    }
    (void)fflush(stdout);
    raw_stop(&options.port);
    return 0;
}
