/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cores - what the two processors of the bench are to each other.
 *
 * Why: a virtual machine's host moves its processors about, and figures of programs that share
 * memory depend on that more than on the programs.
 *
 * Method: two threads, each pinned to a processor. First each counts in its registers alone, then
 * both at once: threads of one core share its units and get half to two thirds of what each had
 * alone. Then they hand a cache line to and fro.
 *
 * Output: one JSON object. `speed`: what the slower one had of its speed alone, 1 where each has a
 * core to itself. `line_ns`: the line's way there and back: some 60 to 120 ns where both share a
 * cache, 250 and more where they do not.
 */
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "figures.h"

#define COUNT_SECONDS 0.02
#define STEPS_A_LOOK 1000u
#define LINE_ROUNDS 50000u

struct side {
    uint32_t index; /* 0: whose turn it is first */
    int core;
    uint64_t loops;
    double line_ns;
};

static struct side sides[2];
static pthread_barrier_t both;
static struct {
    uint64_t turn;
} __attribute__((aligned(128))) line;

static void pin(int core)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((unsigned)core, &set);
    if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set) != 0) {
        figures_die("cannot run on processor %d", core);
    }
}

/* Six chains that do not wait for each other: as much as a core can do at a time. */
static uint64_t count(void)
{
    uint64_t end = figures_ticks() + figures_ticks_of(COUNT_SECONDS);
    uint64_t a = 1, b = 2, c = 3, d = 4, e = 5, f = 6;
    uint64_t loops = 0;

    do {
        for (uint32_t i = 0; i < STEPS_A_LOOK; i++) {
            a = a * 3 + 1;
            b += b << 1;
            c ^= c << 3;
            d += d >> 1;
            e ^= e >> 2;
            f += 7;
            __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
        }
        loops++;
    } while (figures_ticks() < end);
    return loops;
}

static void bounce(struct side *side)
{
    uint64_t begin = figures_ticks();

    for (uint64_t mine = side->index; mine < 2u * LINE_ROUNDS; mine += 2) {
        while (__atomic_load_n(&line.turn, __ATOMIC_ACQUIRE) != mine) {
        }
        __atomic_store_n(&line.turn, mine + 1, __ATOMIC_RELEASE);
    }
    side->line_ns = figures_seconds(figures_ticks() - begin) * 1e9 / LINE_ROUNDS;
}

static void *side_run(void *arg)
{
    struct side *side = arg;

    pin(side->core);
    (void)pthread_barrier_wait(&both);
    side->loops = count();
    (void)pthread_barrier_wait(&both);
    bounce(side);
    return NULL;
}

/* "A,B": two processors' numbers, not the same. */
static bool cores_read(const char *text)
{
    char *end;
    long first = strtol(text, &end, 10);
    long second = *end == ',' ? strtol(end + 1, &end, 10) : -1;

    if (*end != '\0' || first < 0 || first >= CPU_SETSIZE || second < 0 || second >= CPU_SETSIZE ||
        first == second) {
        return false;
    }
    sides[0].core = (int)first;
    sides[1].core = (int)second;
    return true;
}

static int usage(void)
{
    (void)fprintf(stderr, "usage: bench_cores --cores A,B    two processors' numbers\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"cores", required_argument, NULL, 'c'}, {0}};
    uint64_t alone[2];
    pthread_t threads[2];
    double speed = 1;

    figures_start("bench_cores");
    if (getopt_long(argc, argv, "", longs, NULL) != 'c' || optind != argc || !cores_read(optarg)) {
        return usage();
    }
    (void)pthread_barrier_init(&both, NULL, 2);
    for (uint32_t i = 0; i < 2; i++) {
        pin(sides[i].core);
        alone[i] = count();
    }
    for (uint32_t i = 0; i < 2; i++) {
        sides[i].index = i;
        if (pthread_create(&threads[i], NULL, side_run, &sides[i]) != 0) {
            figures_die("cannot make a thread");
        }
    }
    for (uint32_t i = 0; i < 2; i++) {
        (void)pthread_join(threads[i], NULL);
        double own = (double)sides[i].loops / (double)alone[i];
        speed = own < speed ? own : speed;
    }
    (void)printf("{\"metric\":\"cores\",\"unit\":\"-\",\"speed\":%.2f,\"line_ns\":%.0f}\n", speed,
                 sides[0].line_ns);
    return 0;
}
