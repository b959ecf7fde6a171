/* SPDX-License-Identifier: Apache-2.0 */
#include "scale.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "check.h"
#include "memory.h"
#include "meter.h"
#include "talk.h"
#include "test_contracts.h"
#include "trace.h"

#define MS 1000000ull
#define SETTLE_MAX 400u

struct mark {
    uint64_t rss_bytes;
    uint64_t malloc_bytes;
    uint64_t cpu_ns;
    uint64_t tsc;
    uint64_t fabric_ticks;
    uint64_t virtual_ns;
    uint64_t messages, frames, bytes;
};

static uint64_t rss_bytes(void)
{
    unsigned long total = 0;
    unsigned long resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (file != NULL) {
        if (fscanf(file, "%lu %lu", &total, &resident) != 2) {
            resident = 0;
        }
        (void)fclose(file);
    }
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static struct mark mark_take(const struct talk *talk)
{
    struct timespec cpu;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    return (struct mark){
        .rss_bytes = rss_bytes(),
        .malloc_bytes = memory_in_use().bytes,
        .cpu_ns = (uint64_t)cpu.tv_sec * 1000000000u + (uint64_t)cpu.tv_nsec,
        .tsc = __rdtsc(),
        .fabric_ticks = talk->cell.fabric_ticks + talk->fabric_ticks,
        .virtual_ns = talk->cell.net.now_ns,
        .messages = talk->messages,
        .frames = talk->cell.net.counts.frames,
        .bytes = talk->cell.net.counts.bytes,
    };
}

/* --- printing ------------------------------------------------------------------------------- */

static void print(const char *metric, const char *unit, uint64_t count, double value)
{
    (void)printf("{\"suite\": \"sim\", \"metric\": \"scale_%s\", \"unit\": \"%s\", \"n\": %llu, "
                 "\"value\": %.4g}\n",
                 metric, unit, (unsigned long long)count, value);
}

static void machine_print(const struct scale_options *options)
{
    char model[128] = "?";
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");
    cpu_set_t cores;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon != NULL) {
            (void)snprintf(model, sizeof(model), "%.*s", (int)strcspn(colon + 2, "\n\""),
                           colon + 2);
            break;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    (void)sched_getaffinity(0, sizeof(cores), &cores);
    (void)printf(
        "{\"suite\": \"sim\", \"metric\": \"scale_machine\", \"cpu\": \"%s\", \"cores\": %d, "
        "\"memory_mib\": %ld, \"nodes\": %u, \"channels\": %u, \"peers\": %u, "
        "\"rounds\": %u, \"sealed\": %u}\n",
        model, CPU_COUNT(&cores), sysconf(_SC_PHYS_PAGES) / ((1 << 20) / sysconf(_SC_PAGESIZE)),
        options->nodes, options->channels, options->peers, options->rounds, options->sealed);
}

/*
 * Processor time in the fabric between two marks: its share of the time stamp counter, of the
 * process's time; so that what others had of the core does not count.
 */
static double fabric_ns(const struct mark *from, const struct mark *to)
{
    double share = (double)(to->fabric_ticks - from->fabric_ticks) / (double)(to->tsc - from->tsc);

    return share * (double)(to->cpu_ns - from->cpu_ns);
}

/* --- phases --------------------------------------------------------------------------------- */

static uint16_t neighbour(const struct scale_options *options, uint32_t node, uint32_t distance)
{
    return (uint16_t)((node - 1 + distance) % options->nodes + 1);
}

static void sessions_open(struct talk *talk, const struct scale_options *options)
{
    uint32_t joined = 0;

    for (uint32_t a = 1; a <= options->nodes; a++) {
        for (uint32_t d = 1; d <= options->peers / 2; d++) {
            cell_introduce(&talk->cell, (uint16_t)a, neighbour(options, a, d));
        }
    }
    for (uint32_t i = 0; i < SETTLE_MAX && joined < options->nodes * (options->peers / 2); i++) {
        cell_run(&talk->cell, 10 * MS);
        joined = 0;
        for (uint32_t a = 1; a <= options->nodes; a++) {
            for (uint32_t d = 1; d <= options->peers / 2; d++) {
                joined += cell_joined(&talk->cell, (uint16_t)a, neighbour(options, a, d));
            }
        }
    }
    sim_expect(joined == options->nodes * (options->peers / 2));
}

static void channels_open(struct talk *talk, const struct scale_options *options)
{
    for (uint32_t i = 0; i < options->channels; i++) {
        uint32_t node = 1 + i % options->nodes;
        uint32_t distance = 1 + i / options->nodes % (options->peers / 2);
        (void)talk_open(talk, (uint16_t)node, neighbour(options, node, distance));
    }
    for (uint32_t i = 0; i < SETTLE_MAX && talk->opened < options->channels; i++) {
        cell_run(&talk->cell, 10 * MS);
    }
    sim_expect(talk->opened == options->channels);
    cell_run(&talk->cell, 500 * MS); /* two heart-beats: buffers are given back */
}

static void talk_all(struct talk *talk, const struct scale_options *options)
{
    uint64_t wanted = talk->messages + 2ull * options->channels * options->rounds;

    for (uint32_t i = 0; i < options->channels; i++) {
        talk_begin(talk, &talk->chans[i], options->rounds);
    }
    for (uint32_t i = 0; talk->messages < wanted; i++) {
        sim_expect(i < 100000);
        cell_run(&talk->cell, MS);
    }
}

/* What the formulas say; see check.h and fabric/node.h. */
static void planned_print(const struct scale_options *options)
{
    uint64_t slots = test_work()->slots[CT_IMP] + test_work()->slots[CT_EXP];
    uint64_t end = sizeof(struct fab_ep) + slots * sizeof(struct fab_msg);

    print("planned_channel_bytes", "bytes", options->channels, (double)(2 * end));
    print("planned_channel_meters_bytes", "bytes", options->channels,
          (double)(2 * sizeof(struct fab__meter)));
    print("planned_session_end_quiet_bytes", "bytes", 1,
          (double)(sizeof(struct fab__session) + FAB__WINDOW_FIRST * sizeof(struct fab__sent) +
                   (options->sealed == 0 ? 0 : sizeof(struct fab__secure))));
    print("planned_session_end_full_bytes", "bytes", 1, (double)check_session_bytes_max(1500, 64));
}

static void memory_print(const struct scale_options *options, const struct mark marks[6])
{
    double nodes = options->nodes;
    double ends = nodes * (options->peers / 2) * 2.0;
    double channels = options->channels;

    print("node_bytes", "bytes", options->nodes,
          (double)(marks[1].malloc_bytes - marks[0].malloc_bytes) / nodes);
    print("node_rss_bytes", "bytes", options->nodes,
          (double)(marks[1].rss_bytes - marks[0].rss_bytes) / nodes);
    print("session_end_bytes", "bytes", (uint64_t)ends,
          (double)(marks[2].malloc_bytes - marks[1].malloc_bytes) / ends);
    print("session_end_rss_bytes", "bytes", (uint64_t)ends,
          (double)(marks[2].rss_bytes - marks[1].rss_bytes) / ends);
    print("channel_slots_bytes", "bytes", options->channels,
          (double)(marks[3].malloc_bytes - marks[2].malloc_bytes) / channels);
    print("channel_rss_bytes", "bytes", options->channels,
          (double)(marks[3].rss_bytes - marks[2].rss_bytes) / channels);
    print("channel_used_rss_bytes", "bytes", options->channels,
          (double)(marks[5].rss_bytes - marks[2].rss_bytes) / channels);
    print("rss_mib", "MiB", 1, (double)marks[5].rss_bytes / (1 << 20));
}

static void time_print(const struct scale_options *options, const struct mark marks[6])
{
    uint64_t messages = marks[4].messages - marks[3].messages;
    double busy_ns = fabric_ns(&marks[3], &marks[4]);
    double quiet_ns = fabric_ns(&marks[4], &marks[5]);
    double quiet_s = (double)(marks[5].virtual_ns - marks[4].virtual_ns) / 1e9;
    double ends = options->nodes * (options->peers / 2) * 2.0;

    print("open_channel_ns", "ns", options->channels,
          fabric_ns(&marks[2], &marks[3]) / options->channels);
    print("message_fabric_ns", "ns", messages, busy_ns / (double)messages);
    print("message_all_ns", "ns", messages,
          (double)(marks[4].cpu_ns - marks[3].cpu_ns) / (double)messages);
    print("channel_fabric_ns", "ns", options->channels, busy_ns / options->channels);
    print("frames_per_message", "frames", messages,
          (double)(marks[4].frames - marks[3].frames) / (double)messages);
    print("wire_bytes_per_message", "bytes", messages,
          (double)(marks[4].bytes - marks[3].bytes) / (double)messages);
    print("quiet_session_end_ns_per_s", "ns", (uint64_t)ends, quiet_ns / quiet_s / ends);
    print("traffic_virtual_ms", "ms", messages,
          (double)(marks[4].virtual_ns - marks[3].virtual_ns) / 1e6);
    print("virtual_s", "s", 1, (double)(marks[5].virtual_ns - NET_TIME_BEGIN) / 1e9);
    print("cpu_s", "s", 1, (double)marks[5].cpu_ns / 1e9);
}

void scale_run(const struct scale_options *options)
{
    static struct talk talk;
    struct cell_options cell = {
        .seed = 1,
        .node_count = options->nodes,
        .endpoint_count_max = 3 * options->channels / options->nodes + 64,
        .heap_bytes = 2u << 20,
        .mtu_bytes = 1500,
        .drift_ppm = 100,
        .poll_ns = 5000,
        .sealed = options->sealed,
    };
    struct mark marks[6];

    machine_print(options);
    planned_print(options);
    marks[0] = (struct mark){.rss_bytes = rss_bytes(), .malloc_bytes = memory_in_use().bytes};
    talk_init(&talk, &cell, options->channels, 0);
    for (uint32_t i = 0; i < (options->nodes + 1) * (options->nodes + 1); i++) {
        talk.cell.net.ways[i].delay_ns = 50000;
    }
    marks[1] = mark_take(&talk);
    sessions_open(&talk, options);
    cell_run(&talk.cell, 500 * MS);
    marks[2] = mark_take(&talk);
    channels_open(&talk, options);
    marks[3] = mark_take(&talk);
    talk_all(&talk, options);
    marks[4] = mark_take(&talk);
    cell_run(&talk.cell, 1000 * MS);
    marks[5] = mark_take(&talk);
    memory_print(options, marks);
    time_print(options, marks);
    talk_fini(&talk);
}
