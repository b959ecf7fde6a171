/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_test.c - libsip's event loop, timers and log levels, with a clock and a select of the
 * test's.
 */
#include "test_support.h"

static struct sip_loop loop;
static char trace[256]; /* a letter a call */

static void note(const char *text)
{
    const size_t used = strlen(trace);

    (void)snprintf(trace + used, sizeof(trace) - used, "%s", text);
}

static int setup(void **state)
{
    (void)state;
    host_reset();
    sip_loop_init(&loop);
    trace[0] = '\0';
    return 0;
}

/* --- timers -------------------------------------------------------------------------------------
 */

static void on_timer(void *arg, struct sip_timer *timer)
{
    (void)timer;
    note(arg);
}

static void on_timer_stop(void *arg, struct sip_timer *timer)
{
    (void)timer;
    note(arg);
    sip_loop_stop(&loop, 7);
}

static void timers_come_in_the_order_of_deadlines(void **state)
{
    struct sip_timer timers[5] = {0};

    (void)state;
    sip_timer_start(&loop, &timers[0], 300, 0, on_timer, "c");
    sip_timer_start(&loop, &timers[1], 100, 0, on_timer, "a");
    sip_timer_start(&loop, &timers[2], 200, 0, on_timer, "b");
    sip_timer_start(&loop, &timers[3], 200, 0, on_timer, "B");
    sip_timer_start(&loop, &timers[4], 250, 0, on_timer, "x");
    sip_timer_stop(&timers[4]);
    sip_timer_stop(&timers[4]);
    assert_int_equal(sip_loop_run(&loop), 0); /* ends when nothing is left */
    assert_string_equal(trace, "abBc");
    assert_int_equal(host.slept_ns, 300);
    assert_false(sip_timer_is_started(&timers[0]));
    sip_timer_start(&loop, &timers[0], INT64_MAX, 0, on_timer, "never");
    assert_true(timers[0].node.order == INT64_MAX);
    sip_timer_stop(&timers[0]);
}

static void periods_keep_time_and_skip_what_was_missed(void **state)
{
    struct sip_timer tick = {0}, end = {0};
    int64_t start = host.now_ns;

    (void)state;
    sip_timer_start(&loop, &tick, 100, 100, on_timer, "t");
    sip_timer_start(&loop, &end, 1050, 0, on_timer_stop, "E");
    host.now_ns +=
        350; /* somebody was busy: three deadlines are past, one call makes up for them */
    assert_int_equal(sip_loop_run(&loop), 7);
    assert_string_equal(trace, "ttttttttE");
    assert_int_equal(host.now_ns - start, 1050);
    assert_int_equal(tick.node.order - start, 1100);
    sip_timer_stop(&tick);
}

static void on_timer_again(void *arg, struct sip_timer *timer)
{
    note("r");
    if (strlen(trace) < 20) {
        sip_timer_start(&loop, timer, -5, 0, on_timer_again, arg);
    }
}

static void on_watch_once(void *arg, struct sip_watch *watch)
{
    note(arg);
    sip_watch_stop(watch);
}

static void a_timer_that_starts_itself_starves_nobody(void **state)
{
    struct sip_timer timer = {0};
    struct sip_watch watch = {0};

    (void)state;
    host.ready[5] = true;
    assert_int_equal(sip_watch_start(&loop, &watch, 5, on_watch_once, "W"), 0);
    sip_timer_start(&loop, &timer, 0, 0, on_timer_again, NULL);
    assert_int_equal(sip_loop_run(&loop), 0);
    assert_int_equal(strncmp(trace, "rWr", 3), 0);
}

/* --- watches ------------------------------------------------------------------------------------
 */

static void on_watch(void *arg, struct sip_watch *watch)
{
    (void)watch;
    note(arg);
    if (strlen(trace) == 12) {
        sip_loop_stop(&loop, 0);
    }
}

static void all_that_are_ready_get_their_turn(void **state)
{
    struct sip_watch watches[4] = {0};
    char *names[] = {"a", "b", "c", "d"};

    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        host.ready[10 + i] = i != 1;
        assert_int_equal(sip_watch_start(&loop, &watches[i], 10 + i, on_watch, names[i]), 0);
    }
    assert_int_equal(sip_loop_run(&loop), 0);
    assert_string_equal(trace, "acdacdacdacd");
    host.closed[11] = true; /* closed before it was stopped */
    assert_int_equal(sip_loop_run(&loop), -SF_BADHANDLE);
}

static void more_than_select_takes(void **state)
{
    static struct sip_watch watches[NK_SELECT_MAX + 1];

    (void)state;
    memset(watches, 0, sizeof(watches));
    for (uint32_t i = 0; i < NK_SELECT_MAX; i++) {
        assert_int_equal(sip_watch_start(&loop, &watches[i], i + 1, on_watch_once, "."), 0);
        host.ready[i + 1] = true;
    }
    assert_int_equal(sip_watch_start(&loop, &watches[NK_SELECT_MAX], 200, on_watch_once, "!"),
                     -SF_LIMIT);
    assert_int_equal(sip_watch_start(&loop, &watches[3], 4, on_watch_once, "."), 0); /* again */
    assert_int_equal(loop.watch_count, NK_SELECT_MAX);
    assert_int_equal(sip_loop_run(&loop), 0);
    assert_int_equal(strlen(trace), NK_SELECT_MAX);
    assert_int_equal(loop.watch_count, 0);
}

/* Things that free themselves, and each other, in their calls. */
struct guest {
    struct sip_watch watch;
    struct sip_timer timer;
    uint32_t index;
};
#define GUESTS 40u
static struct guest *guests[GUESTS];
static uint32_t calls, made;

static void guest_end(uint32_t index)
{
    if (guests[index] != NULL) {
        sip_watch_stop(&guests[index]->watch);
        sip_timer_stop(&guests[index]->timer);
        free(guests[index]);
        guests[index] = NULL;
    }
}

static void guest_called(uint32_t index);

static void on_guest_watch(void *arg, struct sip_watch *watch)
{
    struct guest *guest = arg;

    assert_ptr_equal(watch, &guest->watch);
    assert_ptr_equal(guest, guests[guest->index]); /* it was not stopped */
    guest_called(guest->index);
}

static void on_guest_timer(void *arg, struct sip_timer *timer)
{
    struct guest *guest = arg;

    assert_ptr_equal(timer, &guest->timer);
    assert_ptr_equal(guest, guests[guest->index]);
    guest_called(guest->index);
}

static void guest_make(uint32_t index)
{
    struct guest *guest = calloc(1, sizeof(*guest));

    assert_non_null(guest);
    guest->index = index;
    guests[index] = guest;
    made++;
    assert_int_equal(sip_watch_start(&loop, &guest->watch, 1 + index, on_guest_watch, guest), 0);
    sip_timer_start(&loop, &guest->timer, random_below(100),
                    random_below(2) * (1 + random_below(50)), on_guest_timer, guest);
}

static void guest_called(uint32_t index)
{
    calls++;
    for (uint32_t i = 0; i < GUESTS; i++) {
        host.ready[1 + i] = random_below(4) == 0;
    }
    if (random_below(3) == 0) {
        guest_end(index);
    }
    for (int i = 0; i < 3; i++) {
        const uint32_t other = random_below(GUESTS);
        if (random_below(3) == 0) {
            guest_end(other);
        } else if (guests[other] == NULL) {
            guest_make(other);
        }
    }
    if (calls > 20000) {
        sip_loop_stop(&loop, 1);
    } else {
        uint32_t some = 0;
        for (uint32_t i = 0; i < GUESTS; i++) {
            some += guests[i] != NULL && sip_timer_is_started(&guests[i]->timer);
        }
        if (some == 0) { /* or select would wait for ever */
            guest_end(0);
            guest_make(0);
        }
    }
}

static void calls_may_free_anything(void **state)
{
    (void)state;
    calls = 0;
    made = 0;
    guest_make(0);
    assert_int_equal(sip_loop_run(&loop), 1);
    assert_true(made > 1000);
    for (uint32_t i = 0; i < GUESTS; i++) {
        guest_end(i);
    }
    assert_int_equal(loop.watch_count, 0);
    assert_null(loop.timers.first);
}

/* --- log ----------------------------------------------------------------------------------------
 */

static void a_level_lets_through_what_is_as_important(void **state)
{
    (void)state;
    host.log_level = "warning";
    sip_error("a %d", 1);
    sip_warning("b");
    sip_info("c");
    sip_debug("d");
    assert_string_equal(host.log, "error: a 1\nwarning: b\n");
    assert_true(sip_log_is_on(SIP_LOG_WARNING));
    assert_false(sip_log_is_on(SIP_LOG_INFO));
    host.log[0] = '\0';
    sip_log_set(SIP_LOG_DEBUG);
    sip_info("c");
    sip_debug("d");
    assert_string_equal(host.log, "c\ndebug: d\n");
    host.log[0] = '\0';
    sip_info("%2000d", 7); /* cut, not lost */
    assert_int_equal(strlen(host.log), NK_LOG_BYTES_MAX + 1);
    host.log[0] = '\0';
    sip_error("%2000d", 7);
    assert_int_equal(strlen(host.log), NK_LOG_BYTES_MAX + 1);
    sip_info("%s", ""); /* nothing to say */
}

static void peers_cannot_fill_the_log(void **state)
{
    struct sip_log_limit limit = {.burst = 2, .period_ns = 1000};

    (void)state;
    for (int i = 0; i < 10; i++) {
        sip_log_limited(&limit, SIP_LOG_INFO, "bad %d", i);
        host.now_ns += 10;
    }
    assert_string_equal(host.log, "bad 0\nbad 1\n");
    host.log[0] = '\0';
    host.now_ns += 1000;
    sip_log_limited(&limit, SIP_LOG_INFO, "bad again");
    assert_string_equal(host.log, "bad again\n(8 lines like the one above were left out)\n");
    host.log[0] = '\0';
    host.now_ns += 1000;
    sip_log_limited(&limit, SIP_LOG_INFO, "bad at last"); /* those have been told */
    assert_string_equal(host.log, "bad at last\n");
}

#define TEST(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(timers_come_in_the_order_of_deadlines),
        TEST(periods_keep_time_and_skip_what_was_missed),
        TEST(a_timer_that_starts_itself_starves_nobody),
        TEST(all_that_are_ready_get_their_turn),
        TEST(more_than_select_takes),
        TEST(calls_may_free_anything),
        TEST(a_level_lets_through_what_is_as_important),
        TEST(peers_cannot_fill_the_log),
    };

    random_seed(3);
    return cmocka_run_group_tests_name("libsip-loop", tests, NULL, NULL);
}
