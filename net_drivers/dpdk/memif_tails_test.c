/* SPDX-License-Identifier: Apache-2.0 */
/* Long frames that memif hands over where they lie in the ring: both ends in this process. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "link/dpdk.h"
#include "link/link.h"

#define LONG_BYTES 9000u
#define HEAD_BYTES 120u
#define SHORT_BYTES 1500u
#define RING_SLOTS 256u
#define TRIES_MAX 2000u

static char folder[] = "/tmp/memif-tails-XXXXXX";
static char path[sizeof(folder) + 16];
static struct link server, client; /* the client has tails */

static int start(void **state)
{
    static const struct link_dpdk_options options = {.hugepages = false};
    const char *text = "";

    (void)state;
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    (void)snprintf(path, sizeof(path), "%s/link.sock", folder);
    return link_dpdk_start(&options, &text) == SF_OK ? 0 : 1;
}

static int stop(void **state)
{
    (void)state;
    link_dpdk_stop();
    return rmdir(folder);
}

static void side_open(struct link *link, bool is_server)
{
    struct link_config config = {
        .name = "tails",
        .device = path,
        .node_id = is_server ? 1 : 2,
        .server = is_server,
        .rx_tails = !is_server,
    };
    struct link_peer peer = {.node_id = is_server ? 2 : 1};
    const char *text = "";

    assert_int_equal(link_init(link, "memif"), SF_OK);
    assert_int_equal(link->ops->open(link, &config, &text), SF_OK);
    assert_int_equal(link->ops->peer_add(link, &peer), SF_OK);
}

static void side_stop(struct link *link)
{
    link->ops->close(link);
    link->ops->stop(link);
}

static bool down_within(struct link *link, uint32_t ms)
{
    for (uint32_t i = 0; i <= ms; i++) {
        if (!link->ops->is_up(link)) {
            return true;
        }
        (void)usleep(1000);
    }
    return false;
}

static bool both_come_up(void)
{
    for (uint32_t i = 0; i < TRIES_MAX; i++) {
        bool up = server.ops->is_up(&server);

        if (client.ops->is_up(&client) && up) {
            return true;
        }
        (void)usleep(1000);
    }
    return false;
}

static int links_open(void **state)
{
    (void)state;
    side_open(&server, true);
    side_open(&client, false);
    return both_come_up() ? 0 : 1;
}

static int links_end(void **state)
{
    (void)state;
    side_stop(&client);
    side_stop(&server);
    client.ops->fini(&client);
    server.ops->fini(&server);
    return 0;
}

static uint8_t byte_at(uint32_t number, uint32_t at)
{
    return (uint8_t)(number * 31 + at * 7 + at / 256);
}

/* Answers how many were taken. */
static uint32_t frames_send(struct link *link, uint32_t number, uint32_t count, uint32_t length)
{
    uint32_t sent = 0;

    while (sent < count) {
        struct link_frame frame;
        uint16_t taken;

        assert_int_equal(link->ops->frame_alloc(link, &frame, 1), 1);
        for (uint32_t i = 0; i < length; i++) {
            frame.data[i] = byte_at(number + sent, i);
        }
        frame.length = length;
        frame.peer = link == &server ? 2 : 1;
        taken = link->ops->tx_burst(link, 0, &frame, 1);
        link->ops->frame_free(link, &frame, taken == 0 ? 1 : 0);
        if (taken == 0) {
            break;
        }
        sent++;
    }
    return sent;
}

static void frame_expect(const struct link_frame *frame, uint32_t number, uint32_t head,
                         uint32_t tail)
{
    assert_int_equal(frame->length, head);
    assert_int_equal(frame->tail_length, tail);
    assert_int_equal(frame->capacity, head + tail);
    for (uint32_t i = 0; i < head + tail; i++) {
        uint8_t byte = i < head ? frame->data[i] : frame->tail[i - head];

        if (byte != byte_at(number, i)) {
            fail_msg("byte %u of frame %u", i, number);
        }
    }
}

static void only_long_frames_have_a_tail_and_only_where_it_is_wanted(void **state)
{
    struct link_frame frames[4];

    (void)state;
    assert_int_equal(frames_send(&server, 0, 1, LONG_BYTES), 1);
    assert_int_equal(frames_send(&server, 1, 1, SHORT_BYTES), 1);
    assert_int_equal(frames_send(&server, 2, 1, LONG_BYTES), 1);
    assert_int_equal(client.ops->rx_burst(&client, 0, frames, 4), 3);
    frame_expect(&frames[0], 0, HEAD_BYTES, LONG_BYTES - HEAD_BYTES);
    frame_expect(&frames[1], 1, SHORT_BYTES, 0);
    frame_expect(&frames[2], 2, HEAD_BYTES, LONG_BYTES - HEAD_BYTES);
    client.ops->frame_free(&client, frames, 3);
    assert_int_equal(frames_send(&client, 3, 1, LONG_BYTES), 1);
    assert_int_equal(server.ops->rx_burst(&server, 0, frames, 4), 1);
    frame_expect(&frames[0], 3, LONG_BYTES, 0);
    server.ops->frame_free(&server, frames, 1);
}

static void slots_with_tails_are_the_senders_once_all_are_given_back(void **state)
{
    struct link_frame frames[LINK_BURST_MAX], more;

    (void)state;
    assert_int_equal(frames_send(&server, 0, RING_SLOTS + 1, LONG_BYTES), RING_SLOTS);
    assert_int_equal(client.ops->rx_burst(&client, 0, frames, LINK_BURST_MAX), LINK_BURST_MAX);
    assert_int_equal(client.ops->rx_burst(&client, 0, &more, 1), 0);
    assert_int_equal(client.ops->wait_fd(&client, 0, true), LINK_WAIT_BLIND);
    client.ops->frame_free(&client, frames, LINK_BURST_MAX - 1);
    assert_int_equal(client.ops->rx_burst(&client, 0, &more, 1), 0);
    assert_int_equal(frames_send(&server, 999, 1, LONG_BYTES), 0);
    frame_expect(&frames[LINK_BURST_MAX - 1], LINK_BURST_MAX - 1, HEAD_BYTES,
                 LONG_BYTES - HEAD_BYTES);
    client.ops->frame_free(&client, &frames[LINK_BURST_MAX - 1], 1);
    assert_int_equal(client.ops->rx_burst(&client, 0, &more, 1), 1);
    frame_expect(&more, LINK_BURST_MAX, HEAD_BYTES, LONG_BYTES - HEAD_BYTES);
    client.ops->frame_free(&client, &more, 1);
    assert_int_equal(frames_send(&server, 0, RING_SLOTS, LONG_BYTES), LINK_BURST_MAX);
}

static void a_frame_with_a_tail_may_be_sent_on(void **state)
{
    struct link_frame frame;

    (void)state;
    assert_int_equal(frames_send(&server, 5, 1, LONG_BYTES), 1);
    assert_int_equal(client.ops->rx_burst(&client, 0, &frame, 1), 1);
    assert_int_equal(client.ops->tx_burst(&client, 0, &frame, 1), 1);
    assert_int_equal(server.ops->rx_burst(&server, 0, &frame, 1), 1);
    frame_expect(&frame, 5, LONG_BYTES, 0);
    server.ops->frame_free(&server, &frame, 1);
    assert_int_equal(frames_send(&server, 6, 1, SHORT_BYTES), 1);
    assert_int_equal(client.ops->rx_burst(&client, 0, &frame, 1), 1);
    client.ops->frame_free(&client, &frame, 1);
}

static void tails_do_not_keep_anybody_awake(void **state)
{
    struct link_frame frame;
    struct pollfd slept = {.events = POLLIN};

    (void)state;
    assert_int_equal(frames_send(&server, 0, 1, LONG_BYTES), 1);
    assert_int_equal(client.ops->rx_burst(&client, 0, &frame, 1), 1);
    client.ops->frame_free(&client, &frame, 1);
    slept.fd = client.ops->wait_fd(&client, 0, true);
    assert_true(slept.fd >= 0);
    assert_int_equal(poll(&slept, 1, 0), 0);
    assert_int_equal(frames_send(&server, 1, 1, LONG_BYTES), 1);
    assert_int_equal(poll(&slept, 1, 1000), 1);
    (void)client.ops->wait_fd(&client, 0, false);
    assert_int_equal(client.ops->rx_burst(&client, 0, &frame, 1), 1);
    frame_expect(&frame, 1, HEAD_BYTES, LONG_BYTES - HEAD_BYTES);
    client.ops->frame_free(&client, &frame, 1);
}

static void a_tail_outlives_whoever_sent_it(void **state)
{
    struct link_frame frame;

    (void)state;
    assert_int_equal(frames_send(&server, 0, 1, LONG_BYTES), 1);
    assert_int_equal(client.ops->rx_burst(&client, 0, &frame, 1), 1);
    side_stop(&server);
    assert_false(down_within(&client, 20)); /* not before it is given back */
    frame_expect(&frame, 0, HEAD_BYTES, LONG_BYTES - HEAD_BYTES);
    client.ops->frame_free(&client, &frame, 1);
    assert_true(down_within(&client, 1000));
    assert_int_equal(client.ops->rx_burst(&client, 0, &frame, 1), 0);
    /* DPDK has one listener a path and process, which went with the server: so both anew. */
    side_stop(&client);
    client.ops->fini(&client);
    server.ops->fini(&server);
    assert_int_equal(links_open(NULL), 0);
}

static void a_link_may_stop_with_tails(void **state)
{
    struct link_frame frame;

    (void)state;
    assert_int_equal(frames_send(&server, 0, 1, LONG_BYTES), 1);
    assert_int_equal(client.ops->rx_burst(&client, 0, &frame, 1), 1);
    side_stop(&client);
    assert_int_equal(client.ops->rx_burst(&client, 0, &frame, 1), 0);
    client.ops->frame_free(&client, &frame, 1);
    client.ops->fini(&client);
    side_open(&client, false);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, links_open, links_end)
    static const struct CMUnitTest all[] = {
        CASE(only_long_frames_have_a_tail_and_only_where_it_is_wanted),
        CASE(slots_with_tails_are_the_senders_once_all_are_given_back),
        CASE(a_frame_with_a_tail_may_be_sent_on),
        CASE(tails_do_not_keep_anybody_awake),
        CASE(a_tail_outlives_whoever_sent_it),
        CASE(a_link_may_stop_with_tails),
    };

    return cmocka_run_group_tests_name("link-memif-tails", all, start, stop);
}
