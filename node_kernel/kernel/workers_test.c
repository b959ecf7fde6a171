/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core with three workers: argv[1] is probe.sip. What sip_test.c shows of one worker must hold
 * across workers; then what only several have: placing, moving, standing still, sleeping.
 */
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "internal.h"
#include "test_world.h"

#define WORKERS 3u
#define SLOTS 256u

static struct bytes image;
static uint8_t digest[IMAGE_DIGEST_BYTES];

static const struct world_options probe_world = {
    .kernel = {.worker_count = WORKERS,
               .slot_first = 100,
               .slot_count = SLOTS,
               .heap_bytes = 64u << 20,
               .tick_ns = 1000000},
    .config = {"answer", "42"},
    .run_seconds_max = 40,
};

/* worker: as in nk_sip_options */
static void create(uint64_t number, const char *name, const char *mode, uint32_t worker)
{
    sip_create(number, name, digest, mode, worker);
}

static void stop_if_there(uint64_t number)
{
    sf_status st = nk_sip_stop(world.kernel, number, SF_CAUSE_OF(REVOKED));

    assert_true(st == SF_OK || st == SF_NOTFOUND);
}

static void run_ms(uint32_t ms)
{
    uint64_t end = now() + ms * 1000000ull;

    while (now() < end) {
        (void)nk_run(world.kernel, 100, now());
    }
}

static struct nk_sip *find(uint64_t number)
{
    struct nk_sip *sip = nk__sip_find(world.kernel, number);

    assert_non_null(sip);
    return sip;
}

/* --- talking ------------------------------------------------------------------------------------
 */

static void sips_talk_from_every_worker_to_every_worker(void **state)
{
    uint64_t number = 1;

    (void)state;
    for (uint32_t a = 1; a <= WORKERS; a++) {
        for (uint32_t b = 1; b <= WORKERS; b++) {
            char name[16], export_name[32];
            uint64_t ended = world.end_count;

            (void)snprintf(name, sizeof(name), "s%u%u", a, b);
            (void)snprintf(export_name, sizeof(export_name), "%s.test", name);
            create(number, name, "server", a);
            create(number + 1, "client", "client", b);
            wire(number + 1, export_name);
            start(number);
            start(number + 1);
            run_until_ended(ended + 2);
            assert_exited(number, 0);
            assert_exited(number + 1, 0);
            assert_audits();
            number += 2;
        }
    }
}

static void a_fault_on_one_worker_is_seen_with_its_cause_on_another(void **state)
{
    (void)state;
    create(1, "victim", "divide", 2);
    create(2, "watcher", "watch", 3);
    wire(2, "victim.test");
    start(2);
    start(1);
    run_until_ended(2);
    assert_faulted(1, SF_FAULT_DIV_BY_ZERO);
    assert_exited(2, SF_CAUSE_PEER_FAULTED | SF_FAULT_DIV_BY_ZERO << 8);
}

static void a_sip_that_waits_for_several_things_gets_each(void **state)
{
    (void)state;
    create(1, "wait", "waitalone", 1);
    create(2, "opener", "watch", 2);
    wire(2, "wait.test");
    start(1);
    start(2);
    run_until_ended(2);
    assert_exited(1, 0);
    assert_exited(2, SF_CAUSE_PEER_EXITED);
}

static void one_serves_many_from_every_worker(const char *mode)
{
    create(1, "srv", mode, 2);
    start(1);
    for (uint64_t number = 2; number <= 9; number++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "c%llu", (unsigned long long)number);
        create(number, name, "ask", 1 + (uint32_t)number % WORKERS);
        wire(number, "srv.test");
        start(number);
    }
    run_until_ended(9);
    for (uint64_t number = 1; number <= 9; number++) {
        assert_exited(number, 0);
    }
}

static void one_serves_many_by_recv_any(void **state)
{
    (void)state;
    one_serves_many_from_every_worker("anyserver");
}

static void one_serves_many_by_select(void **state)
{
    (void)state;
    one_serves_many_from_every_worker("selectserver");
}

/* --- ending -------------------------------------------------------------------------------------
 */

static void a_sip_of_another_worker_is_stopped_in_any_state(void **state)
{
    static const char *const modes[] = {"spin", "loop", "server", "flood", "compute"};
    uint64_t number = 1;

    (void)state;
    for (uint32_t round = 0; round < 20; round++) {
        for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
            create(number, "c1", modes[i], 1 + (round + (uint32_t)i) % WORKERS);
            start(number);
            if (round % 3 != 0) {
                run_ms(round % 3);
            }
            if (nk_sip_stop(world.kernel, number, SF_CAUSE_OF(REVOKED)) == SF_OK) {
                (void)nk_run(world.kernel, 1, now()); /* if others' lines are to be told first */
                assert_int_equal(world.ends[number].how, NK_END_STOPPED);
            }
            assert_int_equal(nk_sip_stop(world.kernel, number, SF_CAUSE_OF(REVOKED)), SF_NOTFOUND);
            number++;
        }
    }
    run_until_ended(100);
    assert_int_equal(world.end_count, 100);
}

/* --- placing and moving -------------------------------------------------------------------------
 */

/* Where they are put, all before any of them runs: one that runs may be moved. */
static void sips_spread_over_workers_and_wired_ones_sit_together(void **state)
{
    uint32_t counts[WORKERS] = {0}, together = 0;

    (void)state;
    for (uint64_t number = 1; number <= 30; number += 2) {
        char name[16], export_name[32];

        (void)snprintf(name, sizeof(name), "s%llu", (unsigned long long)number);
        (void)snprintf(export_name, sizeof(export_name), "%s.test", name);
        create(number, name, "server", 0);
        (void)snprintf(name, sizeof(name), "w%llu", (unsigned long long)number);
        create(number + 1, name, "watch", 0);
        wire(number + 1, export_name);
    }
    nk_pause(world.kernel);
    for (uint64_t number = 1; number <= 30; number += 2) {
        start(number);
        start(number + 1);
        together += find(number)->worker == find(number + 1)->worker;
        counts[find(number)->worker->index]++;
    }
    nk_resume(world.kernel);
    assert_int_equal(together, 15);
    for (uint32_t i = 0; i < WORKERS; i++) {
        assert_in_range(counts[i], 3, 7);
    }
    run_ms(5);
    for (uint64_t number = 1; number <= 30; number += 2) {
        stop(number);
    }
    run_until_ended(30);
}

static void an_idle_worker_gets_work_from_a_busy_one(void **state)
{
    uint32_t moved = 0;

    (void)state;
    /* Six that compute begin on worker 0 alone, because the others are pinned elsewhere first. */
    for (uint64_t number = 1; number <= 20; number++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "pin%llu", (unsigned long long)number);
        create(number, name, "server", 2 + number % 2);
        start(number);
    }
    for (uint64_t number = 101; number <= 106; number++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "spin%llu", (unsigned long long)number);
        create(number, name, "spin", 0);
        start(number);
    }
    assert_int_equal(find(101)->worker->index, 0);
    for (uint64_t end = now() + 5000000000ull; now() < end && moved < 3;) {
        run_ms(20);
        moved = 0;
        nk_pause(world.kernel);
        for (uint64_t number = 101; number <= 106; number++) {
            moved += find(number)->worker->index != 0;
        }
        nk_resume(world.kernel);
    }
    assert_in_range(moved, 3, 5);
    assert_audits();
    for (uint64_t number = 1; number <= 20; number++) {
        stop(number);
    }
    for (uint64_t number = 101; number <= 106; number++) {
        stop(number);
    }
}

static void a_moved_sip_keeps_channels_and_timers(void **state)
{
    (void)state;
    for (uint64_t number = 1; number <= 60; number += 3) {
        char name[16], export_name[32];

        (void)snprintf(name, sizeof(name), "s%llu", (unsigned long long)number);
        (void)snprintf(export_name, sizeof(export_name), "%s.test", name);
        create(number, name, "server", 0);
        (void)snprintf(name, sizeof(name), "c%llu", (unsigned long long)number);
        create(number + 1, name, "client", 0); /* receives with time limits, too */
        wire(number + 1, export_name);
        start(number);
        start(number + 1);
    }
    for (uint32_t round = 0; world.end_count < 40; round++) {
        (void)nk_run(world.kernel, 20, now());
        if (round >= 200) {
            continue; /* they were moved enough */
        }
        nk_pause(world.kernel);
        for (uint64_t number = 1; number <= 60; number++) {
            struct nk_sip *sip = nk__sip_find(world.kernel, number);

            /* From this thread only worker 0's can be moved. */
            if (sip != NULL && nk__mine(sip->worker) &&
                (sip->state == NK_SIP_READY || sip->state == NK_SIP_WAITING)) {
                nk__sip_move(sip, world.kernel->workers[1 + number % 2]);
            }
        }
        nk_resume(world.kernel);
    }
    for (uint64_t number = 1; number <= 60; number += 3) {
        assert_exited(number, 0);
        assert_exited(number + 1, 0);
    }
}

/* --- shares ------------------------------------------------------------------------------------
 */

/* Runs for a second; then what each SIP used of the processor, in thousandths of all of them. */
static void shares_of(uint32_t count, uint32_t shares[])
{
    uint64_t sum = 0;

    run_ms(1000);
    nk_pause(world.kernel);
    for (uint32_t i = 0; i < count; i++) {
        sum += find(i + 1)->cpu_ns;
    }
    for (uint32_t i = 0; i < count; i++) {
        shares[i] = (uint32_t)(find(i + 1)->cpu_ns * 1000 / sum);
        (void)printf("# sip %u: %u/1000\n", i + 1, shares[i]);
    }
    nk_resume(world.kernel);
    for (uint64_t number = 1; number <= count; number++) {
        stop_if_there(number); /* one may have ended because its peer did */
    }
    run_until_ended(count);
}

static void those_that_compute_get_the_same(void **state)
{
    uint32_t shares[4];

    (void)state;
    for (uint64_t number = 1; number <= 4; number++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "s%llu", (unsigned long long)number);
        create(number, name, "spin", 2);
        start(number);
    }
    shares_of(4, shares);
    for (uint32_t i = 0; i < 4; i++) {
        assert_in_range(shares[i], 125, 500); /* half to twice a fair share */
    }
}

static void one_that_computes_leaves_time_to_those_that_talk(void **state)
{
    uint32_t shares[3];

    (void)state;
    create(1, "spin", "spin", 2);
    create(2, "srv", "server", 2);
    create(3, "cli", "chatter", 2);
    wire(3, "srv.test");
    for (uint64_t number = 1; number <= 3; number++) {
        start(number);
    }
    shares_of(3, shares);
    assert_in_range(shares[0], 200, 700);
}

static void a_share_is_kept(void **state)
{
    struct nk_sip_options options = {.number = 1,
                                     .name = "spin",
                                     .image_digest = digest,
                                     .config = &(struct nk_config){"mode", "spin"},
                                     .config_count = 1,
                                     .worker = 2,
                                     .cpu_percent = 20};
    uint64_t begin, used;

    (void)state;
    assert_int_equal(nk_sip_create(world.kernel, &options, NULL, 0), SF_OK);
    begin = now();
    start(1);
    run_ms(1500);
    nk_pause(world.kernel);
    used = find(1)->cpu_ns * 100 / (now() - begin);
    nk_resume(world.kernel);
    (void)printf("# %llu %% used, 20 %% allowed\n", (unsigned long long)used);
    assert_in_range(used, 1, 25);
    stop(1);
}

/* --- standing still and sleeping ----------------------------------------------------------------
 */

/* One more pair of SIPs, anywhere, with whatever fate. */
static void pair_create(uint64_t number)
{
    static const char *const modes[] = {"client", "watch", "spin", "divide", "exit", "touch"};
    char name[16], export_name[32];

    (void)snprintf(name, sizeof(name), "s%llu", (unsigned long long)number);
    (void)snprintf(export_name, sizeof(export_name), "%s.test", name);
    create(number, name, "server", (uint32_t)rand() % (WORKERS + 1));
    (void)snprintf(name, sizeof(name), "c%llu", (unsigned long long)number);
    create(number + 1, name, modes[(uint32_t)rand() % 6], (uint32_t)rand() % (WORKERS + 1));
    wire(number + 1, export_name);
    start(number);
    start(number + 1);
}

static void audits_hold_in_the_middle_of_everything(void **state)
{
    uint64_t next = 1;

    (void)state;
    srand(7);
    for (uint32_t round = 0; round < 400; round++, next += 2) {
        struct nk_stats stats;

        pair_create(next);
        (void)nk_run(world.kernel, (uint32_t)rand() % 200, now());
        assert_audits();
        nk_query(world.kernel, &stats);
        for (uint32_t i = 0; i < (stats.sip_count > SLOTS / 2 ? 8 : 2); i++) {
            stop_if_there(1 + (uint64_t)rand() % (next + 1));
        }
    }
    for (uint64_t number = 1; number < next; number++) {
        stop_if_there(number);
    }
}

static void idle_workers_use_no_processor_time(void **state)
{
    struct rusage before, after;
    struct timespec pause = {0, 500000000};
    int64_t used_us;

    (void)state;
    create(1, "s", "server", 2);
    create(2, "w", "watch", 3);
    wire(2, "s.test");
    start(1);
    start(2);
    run_ms(20);
    (void)getrusage(RUSAGE_SELF, &before);
    (void)nanosleep(&pause, NULL);
    (void)getrusage(RUSAGE_SELF, &after);
    used_us = (after.ru_utime.tv_sec - before.ru_utime.tv_sec +
               (after.ru_stime.tv_sec - before.ru_stime.tv_sec)) *
                  1000000 +
              after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec -
              before.ru_stime.tv_usec;
    (void)printf("# %lld us of processor time in 500 ms\n", (long long)used_us);
    assert_true(used_us < 10000); /* 2 % of a core */
    stop(1);
    run_until_ended(2);
}

/* --- log lines ----------------------------------------------------------------------------------
 */

static struct {
    uint32_t whole, lost, warnings;
    bool lost_last;
} lines;

static void on_line(uint64_t sip, const char *text, uint32_t bytes)
{
    unsigned lost = 0;
    char line[128];

    assert_int_equal(sip, 1);
    (void)snprintf(line, sizeof(line), "%.*s", (int)bytes, text);
    lines.lost_last = sscanf(line, "%u lines lost here", &lost) == 1;
    lines.lost += lost;
    if (strncmp(line, "over 10000 lines in 30 s", 24) == 0) {
        lines.warnings++;
    } else {
        lines.whole += !lines.lost_last;
    }
}

/* Worker 0 stands still meanwhile: until the one that logs has no line left to say. */
static void a_sip_that_logs_without_end_takes_no_turn_from_others(void **state)
{
    uint64_t end = now() + 20000000000ull;

    (void)state;
    memset(&lines, 0, sizeof(lines));
    world.options.on_log = on_line;
    create(1, "logger", "logger", 2);
    create(2, "other", "exit", 1);
    start(1);
    while (__atomic_load_n(&world.kernel->workers[1]->sip_count, __ATOMIC_ACQUIRE) > 0) {
        assert_true(now() < end);
        (void)sched_yield();
    }
    assert_int_equal(lines.whole + lines.lost, 0);
    start(2);
    (void)nk_run(world.kernel, 4, now());
    assert_null(nk__sip_find(world.kernel, 2)); /* it ran, and is gone */
    assert_true(lines.whole > 0 && lines.whole < 1000);
    run_until_ended(2);
    assert_exited(1, 0);
    assert_exited(2, 7);
    assert_true(lines.whole >= 8192 && lines.lost_last);
    assert_int_equal(lines.whole + lines.lost, 20000);
}

/* On worker 0 no line waits: only the SIP's share counts. */
static void a_sip_has_so_many_lines_in_so_many_seconds(void **state)
{
    (void)state;
    memset(&lines, 0, sizeof(lines));
    world.options.on_log = on_line;
    create(1, "logger", "logger", 1);
    start(1);
    run_until_ended(1);
    assert_exited(1, 0);
    assert_int_equal(lines.whole, 10000);
    assert_int_equal(lines.warnings, 1);
    assert_int_equal(lines.lost, 10000);
    assert_true(lines.lost_last);
}

/* --- a poller -----------------------------------------------------------------------------------
 */

static struct polled {
    uint32_t polls[WORKERS], sleeps[WORKERS], wakes[WORKERS]; /* atomic */
    uint32_t begins, ends;                                    /* of threads; atomic */
} polled;

static uint32_t count_of(const uint32_t *count)
{
    return __atomic_load_n(count, __ATOMIC_SEQ_CST);
}

static void count_up(uint32_t *count)
{
    (void)__atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST);
}

static void on_begin(void)
{
    count_up(&polled.begins);
}

static void on_end(void)
{
    count_up(&polled.ends);
}

static bool on_poll(void *arg, uint32_t worker, uint64_t now_ns)
{
    assert_ptr_equal(arg, &polled);
    (void)now_ns;
    count_up(&polled.polls[worker]);
    return false;
}

static void on_sleep(void *arg, uint32_t worker, int wake_fd, uint64_t deadline_ns)
{
    struct pollfd wait = {.fd = wake_fd, .events = POLLIN};

    (void)arg;
    (void)deadline_ns;
    count_up(&polled.sleeps[worker]);
    (void)poll(&wait, 1, -1);
    count_up(&polled.wakes[worker]);
}

static const struct nk_poller poller = {on_begin, on_end, on_poll, on_sleep};

static void await_more(const uint32_t *count, uint32_t than)
{
    uint64_t end = now() + 5000000000ull;

    while (count_of(count) <= than) {
        assert_true(now() < end);
        run_ms(1);
    }
}

/* Pauses, what others post, and the fabric: a sleep with no end but those. */
static void a_poller_polls_and_sleeps_for_all_but_the_first(void **state)
{
    struct fab_peer peer = {.node_id = 9, .epoch = 1, .mtu_bytes = 1024, .lane = 2};
    uint32_t before;

    (void)state;
    memset(&polled, 0, sizeof(polled));
    assert_int_equal(nk_poller_set(world.kernel, &poller, &polled), SF_OK);
    for (uint32_t i = 1; i < WORKERS; i++) {
        await_more(&polled.sleeps[i], 0);
    }
    for (uint32_t round = 0; round < 50; round++) {
        nk_pause(world.kernel);
        before = count_of(&polled.polls[1]) + count_of(&polled.polls[2]);
        (void)sched_yield();
        assert_int_equal(count_of(&polled.polls[1]) + count_of(&polled.polls[2]), before);
        nk_resume(world.kernel);
    }
    for (uint32_t i = 1; i < WORKERS; i++) { /* at least once whenever it goes on */
        await_more(&polled.polls[i], 10);
    }
    create(1, "s", "server", 2);
    create(2, "c", "client", 3);
    wire(2, "s.test");
    start(1);
    start(2);
    run_until_ended(2);
    run_ms(5);
    before = count_of(&polled.wakes[2]);
    nk_lock(world.kernel);
    assert_int_equal(fab_peer_add(nk_kernel_fabric(world.kernel), &peer, now()), SF_OK);
    nk_unlock(world.kernel);
    await_more(&polled.wakes[2], before);
    assert_int_equal(count_of(&polled.polls[0]), 0);
    assert_int_equal(count_of(&polled.begins), WORKERS - 1);
}

static void a_poller_that_was_taken_away_is_left_alone(void **state)
{
    struct polled last;

    (void)state;
    memset(&polled, 0, sizeof(polled));
    for (uint32_t round = 0; round < 50; round++) {
        assert_int_equal(nk_poller_set(world.kernel, &poller, &polled), SF_OK);
        await_more(&polled.polls[1 + round % 2], round);
        assert_int_equal(nk_poller_set(world.kernel, NULL, NULL), SF_OK);
        last = polled;
        run_ms(1);
        assert_memory_equal(last.polls, polled.polls, sizeof(last.polls));
        assert_memory_equal(last.wakes, polled.wakes, sizeof(last.wakes));
    }
    create(1, "s", "server", 2);
    create(2, "c", "client", 3);
    wire(2, "s.test");
    start(1);
    start(2);
    run_until_ended(2);
    await_more(&polled.ends, count_of(&polled.begins) - 1);
}

static void in_world(void **state)
{
    world_make(&probe_world);
    image_add(&image, digest);
    world_body(state);
    world_end();
}

#define TEST(body) WORLD_TEST(in_world, body)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        TEST(sips_talk_from_every_worker_to_every_worker),
        TEST(a_fault_on_one_worker_is_seen_with_its_cause_on_another),
        TEST(a_sip_that_waits_for_several_things_gets_each),
        TEST(one_serves_many_by_recv_any),
        TEST(one_serves_many_by_select),
        TEST(a_sip_of_another_worker_is_stopped_in_any_state),
        TEST(sips_spread_over_workers_and_wired_ones_sit_together),
        TEST(an_idle_worker_gets_work_from_a_busy_one),
        TEST(a_moved_sip_keeps_channels_and_timers),
        TEST(those_that_compute_get_the_same),
        TEST(one_that_computes_leaves_time_to_those_that_talk),
        TEST(a_share_is_kept),
        TEST(audits_hold_in_the_middle_of_everything),
        TEST(idle_workers_use_no_processor_time),
        TEST(a_sip_that_logs_without_end_takes_no_turn_from_others),
        TEST(a_sip_has_so_many_lines_in_so_many_seconds),
        TEST(a_poller_polls_and_sleeps_for_all_but_the_first),
        TEST(a_poller_that_was_taken_away_is_left_alone),
    };

    if (argc != 2) {
        (void)fprintf(stderr, "usage: workers_test probe.sip\n");
        return 2;
    }
    image = file_read(argv[1]);
    return cmocka_run_group_tests_name("workers", tests, NULL, NULL);
}
