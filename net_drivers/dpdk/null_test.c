/* SPDX-License-Identifier: Apache-2.0 */
/* Devices by their strings: DPDK's null device takes all there is and sends zeros for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "link/dpdk.h"
#include "link/link.h"

static sf_status open_link(struct link *link, const char *device, const char **out_text)
{
    struct link_config config = {
        .name = "null", .device = device, .node_id = 1, .ipv4 = 0x0a4e0001};

    assert_int_equal(link_init(link, "dpdk"), SF_OK);
    return link->ops->open(link, &config, out_text);
}

static void end_link(struct link *link)
{
    link->ops->close(link);
    link->ops->stop(link);
    link->ops->fini(link);
}

static int start(void **state)
{
    static const struct link_dpdk_options options = {.hugepages = false};
    const char *text = "";

    (void)state;
    return link_dpdk_start(&options, &text) == SF_OK ? 0 : 1;
}

static int stop(void **state)
{
    (void)state;
    link_dpdk_stop();
    return 0;
}

static void frames_are_taken_and_what_comes_is_rejected(void **state)
{
    struct link_peer peer = {.node_id = 2, .mac = {2, 0, 0, 0, 0, 2}, .ipv4 = 0x0a4e0002};
    struct link_frame frames[LINK_BURST_MAX];
    struct link_stats stats;
    const char *text = "";
    struct link link;

    (void)state;
    assert_int_equal(open_link(&link, "net_null0,size=100", &text), SF_OK);
    assert_int_equal(link.ops->peer_add(&link, &peer), SF_OK);
    assert_true(link.ops->is_up(&link));
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(link.ops->frame_alloc(&link, frames, LINK_BURST_MAX), LINK_BURST_MAX);
        for (uint32_t k = 0; k < LINK_BURST_MAX; k++) {
            frames[k].length = frames[k].capacity;
            frames[k].peer = 2;
        }
        assert_int_equal(link.ops->tx_burst(&link, 0, frames, LINK_BURST_MAX), LINK_BURST_MAX);
        assert_int_equal(link.ops->rx_burst(&link, 0, frames, LINK_BURST_MAX), 0);
    }
    link.ops->stats(&link, &stats);
    assert_int_equal(stats.tx_frames, 1000 * LINK_BURST_MAX);
    assert_int_equal(stats.tx_bytes, 1000ull * LINK_BURST_MAX * 1472);
    assert_int_equal(stats.rx_rejected, 1000 * LINK_BURST_MAX);
    end_link(&link);
}

static void a_device_is_made_once_and_can_be_made_again(void **state)
{
    struct link first, second;
    const char *text = "";

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(open_link(&first, "net_null7", &text), SF_OK);
        assert_int_equal(open_link(&second, "net_null7", &text), SF_EXISTS);
        assert_string_not_equal(text, "");
        second.ops->fini(&second);
        assert_int_equal(open_link(&second, "net_null8", &text), SF_OK);
        end_link(&second);
        end_link(&first);
    }
}

/* There is memory for some of them. */
static void a_link_has_as_many_queues_as_fit(void **state)
{
    struct link_config config = {.name = "null",
                                 .device = "net_null9",
                                 .node_id = 1,
                                 .ipv4 = 0x0a4e0001,
                                 .mtu_bytes = 9000,
                                 .shared = true,
                                 .queues = LINK_QUEUES_MAX};
    struct link_caps caps;
    const char *text = "";
    struct link link;

    (void)state;
    assert_int_equal(link_init(&link, "dpdk"), SF_OK);
    assert_int_equal(link.ops->open(&link, &config, &text), SF_OK);
    link.ops->query(&link, &caps);
    assert_in_range(caps.queues, 1, LINK_QUEUES_MAX / 2);
    assert_true(caps.shared);
    end_link(&link);
    config.shared = false;
    assert_int_equal(link_init(&link, "dpdk"), SF_OK);
    assert_int_equal(link.ops->open(&link, &config, &text), SF_BADARG);
    assert_non_null(strstr(text, "shared"));
    link.ops->fini(&link);
}

int main(void)
{
    static const struct CMUnitTest all[] = {
        cmocka_unit_test(frames_are_taken_and_what_comes_is_rejected),
        cmocka_unit_test(a_device_is_made_once_and_can_be_made_again),
        cmocka_unit_test(a_link_has_as_many_queues_as_fit),
    };

    return cmocka_run_group_tests_name("link-null", all, start, stop);
}
