/* SPDX-License-Identifier: Apache-2.0 */
#include "flows.h"

#include <stdio.h>
#include <stdlib.h>

#include "talk.h"
#include "trace.h"

#define MS 1000000ull
#define CHANS 8u
#define BLOCK_BYTES 65536u
#define BYTES_PER_S 125000000ull
#define BUFFER_BYTES (256u << 10)
#define DELAY_NS 50000u
#define SENDERS_MAX 64u
#define MEASURE_MS 2000u
#define SAMPLES_PER_MS 10u

struct experiment {
    const char *name;
    uint32_t senders;
    uint32_t far_delay_us; /* of the last sender; 0: as the others */
    uint32_t late_ms;      /* the last sender begins so much later */
    uint16_t loss;         /* in a thousand */
    double share_min;      /* of the link, in use */
    double jain_min;
    uint32_t delay_us_max; /* of the queue, 99th percentile */
};

/* The bounds are loose: what is measured is printed. A full queue is 2,100 us. */
static const struct experiment experiments[] = {
    {"alone", 1, 0, 0, 0, 0.85, 1.0, 1500},
    {"alone_loss1", 1, 0, 0, 10, 0.5, 1.0, 1500},
    {"share2", 2, 0, 0, 0, 0.85, 0.9, 1500},
    {"share2_late", 2, 0, 1000, 0, 0.85, 0.8, 1500},
    {"share2_rtt5x", 2, 250, 0, 0, 0.85, 0.75, 1500},
    {"incast8", 8, 0, 0, 0, 0.85, 0.75, 1500},
    {"incast32", 32, 0, 0, 0, 0.85, 0.7, 1800},
    {"incast32_loss1", 32, 0, 0, 10, 0.7, 0.7, 1800},
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static void links_make(struct talk *talk, const struct experiment *experiment)
{
    struct net *net = &talk->cell.net;

    for (uint16_t a = 1; a <= net->node_count; a++) {
        net->uplinks[a] = (struct net_port){BYTES_PER_S, 0, 0};
        net->ports[a] = (struct net_port){BYTES_PER_S, BUFFER_BYTES, 0};
        for (uint16_t b = 1; b <= net->node_count; b++) {
            bool is_far =
                experiment->far_delay_us != 0 && (a == net->node_count || b == net->node_count);
            net_way(net, a, b)->delay_ns = is_far ? experiment->far_delay_us * 1000 : DELAY_NS;
            net_way(net, a, b)->loss = experiment->loss;
        }
    }
}

static void sender_begin(struct talk *talk, uint32_t index)
{
    for (uint32_t c = 0; c < CHANS; c++) {
        talk_begin(talk, &talk->chans[index * CHANS + c], UINT32_MAX);
    }
}

static uint64_t resent(const struct talk *talk)
{
    uint64_t sum = 0;

    for (uint16_t id = 2; id <= talk->cell.options.node_count; id++) {
        struct fab_peer_info info;
        if (fab_peer_query(cell_fab(&talk->cell, id), 1, &info) == SF_OK) {
            sum += info.frames_resent;
        }
    }
    return sum;
}

/* Node 1 receives; senders are the nodes from 2 on. */
static void start(struct talk *talk, const struct experiment *experiment)
{
    for (uint32_t i = 0; i < experiment->senders; i++) {
        cell_introduce(&talk->cell, 1, (uint16_t)(2 + i));
        for (uint32_t c = 0; c < CHANS; c++) {
            (void)talk_open(talk, (uint16_t)(2 + i), 1);
        }
    }
    cell_run(&talk->cell, 200 * MS);
    for (uint32_t i = 0; i + 1 < experiment->senders; i++) {
        sender_begin(talk, i);
    }
    if (experiment->late_ms != 0) {
        cell_run(&talk->cell, experiment->late_ms * MS);
    }
    sender_begin(talk, experiment->senders - 1);
    cell_run(&talk->cell, 1000 * MS);
}

/* Sorts what it is given. Answers whether the experiment keeps its bounds. */
static bool result_print(const struct experiment *experiment, double goodput[], double delays[],
                         uint64_t dropped, uint64_t again)
{
    uint32_t samples = MEASURE_MS * SAMPLES_PER_MS;
    uint32_t k = experiment->senders;
    double sum = 0;
    double squares = 0;
    double jain, share, delay_us;
    double first = goodput[0];
    double last = goodput[k - 1];

    for (uint32_t i = 0; i < k; i++) {
        sum += goodput[i];
        squares += goodput[i] * goodput[i];
    }
    qsort(goodput, k, sizeof(*goodput), by_value);
    qsort(delays, samples, sizeof(*delays), by_value);
    jain = squares == 0 ? 0 : sum * sum / (k * squares);
    share = sum * 1e6 / BYTES_PER_S;
    delay_us = delays[samples * 99 / 100];
    (void)printf("{\"suite\": \"sim\", \"metric\": \"flow_%s\", \"unit\": \"MB/s\", \"n\": %u, "
                 "\"min\": %.2f, \"p50\": %.2f, \"max\": %.2f, \"first\": %.2f, \"last\": %.2f, "
                 "\"link_share\": %.3f, \"jain\": %.4f, \"queue_us_p50\": %.0f, "
                 "\"queue_us_p99\": %.0f, \"dropped\": %llu, \"resent\": %llu}\n",
                 experiment->name, k, goodput[0], goodput[k / 2], goodput[k - 1], first, last,
                 share, jain, delays[samples / 2], delay_us, (unsigned long long)dropped,
                 (unsigned long long)again);
    (void)fflush(stdout);
    return share >= experiment->share_min && jain >= experiment->jain_min &&
           delay_us <= experiment->delay_us_max;
}

static bool experiment_run(const struct experiment *experiment)
{
    static double delays[MEASURE_MS * SAMPLES_PER_MS];
    static struct talk talk;
    struct cell_options options = {
        .seed = 1,
        .node_count = experiment->senders + 1,
        .endpoint_count_max = 2 * CHANS * SENDERS_MAX,
        .heap_bytes = 64u << 20,
        .mtu_bytes = 1500,
        .drift_ppm = 50,
        .poll_ns = 2000,
    };
    double goodput[SENDERS_MAX];
    uint64_t dropped;
    uint64_t again;
    bool kept;

    talk_init(&talk, &options, CHANS * experiment->senders, BLOCK_BYTES);
    links_make(&talk, experiment);
    start(&talk, experiment);
    dropped = talk.cell.net.counts.overflowed;
    again = resent(&talk);
    for (uint32_t i = 0; i < experiment->senders; i++) {
        talk.bytes[2 + i] = 0;
    }
    for (uint32_t i = 0; i < MEASURE_MS * SAMPLES_PER_MS; i++) {
        uint64_t free_ns = talk.cell.net.ports[1].free_ns;
        uint64_t now_ns = talk.cell.net.now_ns;
        delays[i] = free_ns > now_ns ? (double)(free_ns - now_ns) / 1000.0 : 0.0;
        cell_run(&talk.cell, MS / SAMPLES_PER_MS);
    }
    for (uint32_t i = 0; i < experiment->senders; i++) {
        goodput[i] = (double)talk.bytes[2 + i] / (MEASURE_MS / 1000.0) / 1e6;
    }
    kept = result_print(experiment, goodput, delays, talk.cell.net.counts.overflowed - dropped,
                        resent(&talk) - again);
    talk_fini(&talk);
    return kept;
}

bool flows_run(bool tap)
{
    uint32_t count = sizeof(experiments) / sizeof(experiments[0]);
    bool all = true;

    for (uint32_t i = 0; i < count; i++) {
        const struct experiment *experiment = &experiments[i];
        bool kept;
        if (tap) {
            (void)printf("# ");
        }
        kept = experiment_run(experiment);
        all = all && kept;
        if (tap) {
            (void)printf(
                "%sok %u - %s: at least %.2f of the link, Jain %.2f, queue %u us at most\n",
                kept ? "" : "not ", i + 1, experiment->name, experiment->share_min,
                experiment->jain_min, experiment->delay_us_max);
        }
    }
    if (tap) {
        (void)printf("1..%u\n", count);
    }
    return all;
}
