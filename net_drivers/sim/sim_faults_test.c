/* SPDX-License-Identifier: Apache-2.0 */
/* The faults sim makes: as many as asked for, and the same for the same seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "link/link.h"

#define FRAMES 20000u
#define RECEIVED_MAX (2 * FRAMES)

struct run {
    uint32_t received[RECEIVED_MAX];
    uint32_t count, lost, doubled, disordered;
};

static void side_open(struct link *link, bool server, const struct link_config *faults)
{
    struct link_config config = *faults;
    struct link_peer peer = {.node_id = server ? 2 : 1};
    const char *text = "";

    config.device = "loop:faults";
    config.node_id = server ? 1 : 2;
    config.server = server;
    assert_int_equal(link_init(link, "sim"), SF_OK);
    assert_int_equal(link->ops->open(link, &config, &text), SF_OK);
    assert_int_equal(link->ops->peer_add(link, &peer), SF_OK);
}

static void side_end(struct link *link)
{
    link->ops->close(link);
    link->ops->stop(link);
    link->ops->fini(link);
}

static void receive(struct link *link, struct run *run)
{
    struct link_frame frames[LINK_BURST_MAX];
    uint16_t count = link->ops->rx_burst(link, 0, frames, LINK_BURST_MAX);

    for (uint16_t i = 0; i < count; i++) {
        assert_int_equal(frames[i].length, sizeof(uint32_t));
        assert_true(run->count < RECEIVED_MAX);
        memcpy(&run->received[run->count++], frames[i].data, sizeof(uint32_t));
    }
    link->ops->frame_free(link, frames, count);
}

static void tally(struct run *run)
{
    static uint8_t seen[FRAMES];
    uint32_t highest = 0;

    memset(seen, 0, sizeof(seen));
    for (uint32_t i = 0; i < run->count; i++) {
        assert_true(run->received[i] < FRAMES);
        run->doubled += seen[run->received[i]]++ > 0;
        run->disordered += run->received[i] < highest;
        highest = run->received[i] > highest ? run->received[i] : highest;
    }
    for (uint32_t i = 0; i < FRAMES; i++) {
        run->lost += seen[i] == 0;
    }
}

static void run_faults(struct run *run, const struct link_config *faults)
{
    struct link a, b;
    struct link_frame frame;
    uint8_t tail[sizeof(uint32_t) - 1];

    memset(run, 0, sizeof(*run));
    side_open(&a, true, faults);
    side_open(&b, false, faults);
    for (uint32_t i = 0; i < FRAMES; i++) {
        assert_int_equal(a.ops->frame_alloc(&a, &frame, 1), 1);
        memcpy(frame.data, &i, sizeof(i));
        frame.length = sizeof(i);
        frame.peer = 2;
        if (i % 2 == 1) { /* what is held back must not need the tail any more */
            memcpy(tail, frame.data + 1, sizeof(tail));
            frame.length = 1;
            frame.tail = tail;
            frame.tail_length = sizeof(tail);
        }
        assert_int_equal(a.ops->tx_burst(&a, 0, &frame, 1), 1);
        memset(tail, 0xee, sizeof(tail));
        receive(&b, run);
    }
    /* The sender goes on polling: what was held back comes late, but it comes. */
    for (int i = 0; i < 100; i++) {
        assert_int_equal(a.ops->rx_burst(&a, 0, &frame, 1), 0);
        receive(&b, run);
    }
    side_end(&a);
    side_end(&b);
    tally(run);
}

static void without_faults_nothing_happens(void **state)
{
    static struct run run;
    struct link_config faults = {.seed = 1};

    (void)state;
    run_faults(&run, &faults);
    assert_int_equal(run.count, FRAMES);
    assert_int_equal(run.lost + run.doubled + run.disordered, 0);
}

static void frames_are_lost_as_often_as_asked(void **state)
{
    static struct run run;
    struct link_config faults = {.seed = 7, .loss_ppm = 100000};

    (void)state;
    run_faults(&run, &faults);
    assert_in_range(run.lost, FRAMES / 10 - 200, FRAMES / 10 + 200);
    assert_int_equal(run.doubled + run.disordered, 0);
}

static void frames_are_doubled_as_often_as_asked(void **state)
{
    static struct run run;
    struct link_config faults = {.seed = 7, .duplicate_ppm = 50000};

    (void)state;
    run_faults(&run, &faults);
    assert_in_range(run.doubled, FRAMES / 20 - 150, FRAMES / 20 + 150);
    assert_int_equal(run.lost, 0);
}

static void frames_change_their_order_and_none_is_lost(void **state)
{
    static struct run run;
    struct link_config faults = {.seed = 7, .reorder_ppm = 50000};

    (void)state;
    run_faults(&run, &faults);
    assert_in_range(run.disordered, FRAMES / 40, FRAMES / 10);
    assert_int_equal(run.lost + run.doubled, 0);
}

static void all_are_lost_when_all_shall_be(void **state)
{
    static struct run run;
    struct link_config faults = {.seed = 7, .loss_ppm = 1000000};

    (void)state;
    run_faults(&run, &faults);
    assert_int_equal(run.count, 0);
}

static void one_seed_is_one_history(void **state)
{
    static struct run first, second, other;
    struct link_config faults = {
        .seed = 42, .loss_ppm = 30000, .duplicate_ppm = 30000, .reorder_ppm = 30000};

    (void)state;
    run_faults(&first, &faults);
    run_faults(&second, &faults);
    assert_int_equal(first.count, second.count);
    assert_memory_equal(first.received, second.received, sizeof(first.received));
    faults.seed = 43;
    run_faults(&other, &faults);
    assert_memory_not_equal(first.received, other.received, sizeof(first.received));
}

static void more_than_a_million_parts_are_refused(void **state)
{
    struct link_config config = {.device = "loop:x", .node_id = 1, .loss_ppm = 1000001};
    const char *text = "";
    struct link link;

    (void)state;
    assert_int_equal(link_init(&link, "sim"), SF_OK);
    assert_int_equal(link.ops->open(&link, &config, &text), SF_BADARG);
    assert_string_not_equal(text, "");
    link.ops->fini(&link);
}

static void a_driver_that_is_not_there_is_not_found(void **state)
{
    struct link link;

    (void)state;
    assert_null(link_driver_find("carrier-pigeon"));
    assert_int_equal(link_init(&link, "carrier-pigeon"), SF_NOTFOUND);
    assert_string_equal(link_driver_find("memif")->name, "memif");
    assert_string_equal(link_driver_find("virtio")->name, "virtio");
}

int main(void)
{
    static const struct CMUnitTest all[] = {
        cmocka_unit_test(without_faults_nothing_happens),
        cmocka_unit_test(frames_are_lost_as_often_as_asked),
        cmocka_unit_test(frames_are_doubled_as_often_as_asked),
        cmocka_unit_test(frames_change_their_order_and_none_is_lost),
        cmocka_unit_test(all_are_lost_when_all_shall_be),
        cmocka_unit_test(one_seed_is_one_history),
        cmocka_unit_test(more_than_a_million_parts_are_refused),
        cmocka_unit_test(a_driver_that_is_not_there_is_not_found),
    };

    return cmocka_run_group_tests_name("sim-faults", all, NULL, NULL);
}
