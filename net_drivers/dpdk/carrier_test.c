/* SPDX-License-Identifier: Apache-2.0 */
/* What the carrier of a kernel interface does to a link on it, and its host; see veth.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <poll.h>
#include <unistd.h>

#include <cmocka.h>

#include "link/dpdk.h"
#include "link/link.h"
#include "veth.h"

#define A LINK_CONFORMANCE_NODE_A
#define B LINK_CONFORMANCE_NODE_B
#define TRIES 2000

static void open_link(struct link *link, uint16_t node_id)
{
    struct link_peer us = link_conformance_address(node_id);
    struct link_peer peer = link_conformance_address(node_id == A ? B : A);
    struct link_config config = {
        .name = "carrier", .device = "fab0", .node_id = node_id, .ipv4 = us.ipv4};
    struct link_caps caps;
    const char *text = "";

    assert_true(veth_enter(node_id));
    assert_int_equal(link_init(link, "af_packet"), SF_OK);
    assert_int_equal(link->ops->open(link, &config, &text), SF_OK);
    assert_int_equal(link->ops->peer_add(link, &peer), SF_OK);
    link->ops->query(link, &caps);
    assert_int_equal(caps.mtu_bytes, 1472);
    assert_memory_equal(caps.mac, us.mac, 6);
}

static void end_link(struct link *link)
{
    link->ops->close(link);
    link->ops->stop(link);
    link->ops->fini(link);
}

static void await(struct link *link, bool up)
{
    for (int i = 0; i < TRIES; i++) {
        if (link->ops->is_up(link) == up) {
            return;
        }
        (void)usleep(1000);
    }
    fail_msg("the link does not go %s", up ? "up" : "down");
}

static void send_one(struct link *link, uint16_t peer)
{
    struct link_frame frame;

    assert_int_equal(link->ops->frame_alloc(link, &frame, 1), 1);
    memset(frame.data, 7, 50);
    frame.length = 50;
    frame.peer = peer;
    assert_int_equal(link->ops->tx_burst(link, 0, &frame, 1), 1);
}

static uint32_t receive(struct link *link)
{
    struct link_frame frame;
    uint32_t count = 0;

    for (int i = 0; i < 100; i++) {
        if (link->ops->rx_burst(link, 0, &frame, 1) == 1) {
            link->ops->frame_free(link, &frame, 1);
            count++;
        }
        (void)usleep(500);
    }
    return count;
}

static void changes_are_seen_and_counted(void **state)
{
    struct link a, b;
    struct link_stats stats;

    (void)state;
    open_link(&a, A);
    open_link(&b, B);
    await(&a, true);
    await(&b, true);
    for (int i = 0; i < 3; i++) {
        uint16_t whose = i % 2 == 0 ? B : A; /* pulled at the other end, or at ours */

        assert_true(veth_ip(whose, "link set fab0 down"));
        await(&a, false);
        await(&b, false);
        send_one(&a, B);
        assert_int_equal(a.ops->wait_fd(&a, 0, true), LINK_WAIT_BLIND);
        assert_true(veth_ip(whose, "link set fab0 up"));
        await(&a, true);
        await(&b, true);
        send_one(&a, B);
        assert_int_equal(receive(&b), 1);
    }
    a.ops->stats(&a, &stats);
    assert_int_equal(stats.up_events, 4);
    assert_int_equal(stats.down_events, 3);
    assert_int_equal(stats.tx_dropped, 3);
    assert_int_equal(stats.tx_frames, 3);
    end_link(&a);
    end_link(&b);
}

/* Answers that the stack of this namespace gave to what it had nobody for. */
static long unreachables(uint16_t node_id)
{
    FILE *file;
    char line[1024];
    long out = -1;

    assert_true(veth_enter(node_id));
    file = fopen("/proc/thread-self/net/snmp", "r");
    assert_non_null(file);
    while (out < 0 && fgets(line, sizeof(line), file) != NULL) {
        char names[1024], *left = NULL, *right = NULL;
        if (strncmp(line, "Icmp:", 5) != 0) {
            continue;
        }
        memcpy(names, line, sizeof(names));
        assert_non_null(fgets(line, sizeof(line), file));
        for (char *name = strtok_r(names, " \n", &left), *value = strtok_r(line, " \n", &right);
             name != NULL && value != NULL;
             name = strtok_r(NULL, " \n", &left), value = strtok_r(NULL, " \n", &right)) {
            out = strcmp(name, "OutDestUnreachs") == 0 ? atol(value) : out;
        }
    }
    (void)fclose(file);
    return out;
}

static void address_set(uint16_t node_id)
{
    uint32_t ipv4 = link_conformance_address(node_id).ipv4;
    char text[64];

    (void)snprintf(text, sizeof(text), "addr replace %u.%u.%u.%u/24 dev fab0", ipv4 >> 24,
                   ipv4 >> 16 & 255, ipv4 >> 8 & 255, ipv4 & 255);
    assert_true(veth_ip(node_id, text));
}

/* Where the address is the host's, too. */
static void the_host_does_not_answer_our_frames(void **state)
{
    struct link a, b;

    (void)state;
    address_set(A);
    address_set(B);
    open_link(&a, A);
    await(&a, true);
    send_one(&a, B);
    (void)usleep(10000);
    assert_int_equal(unreachables(B), 1); /* nobody is there yet */
    open_link(&b, B);
    await(&b, true);
    for (int i = 0; i < 3; i++) {
        (void)usleep(1100000); /* such answers are limited to one a second */
        send_one(&a, B);
        assert_int_equal(receive(&b), 1);
    }
    assert_int_equal(unreachables(B), 1);
    end_link(&a);
    end_link(&b);
}

/* An error the interface left on the socket would wake the sleeper at once, for ever. */
static void a_sleeper_sleeps_after_the_carrier_was_gone(void **state)
{
    struct pollfd wait = {.events = POLLIN};
    struct link a, b;

    (void)state;
    open_link(&a, A);
    open_link(&b, B);
    await(&a, true);
    assert_true(veth_ip(A, "link set fab0 down"));
    await(&a, false);
    await(&a, false);
    assert_true(veth_ip(A, "link set fab0 up"));
    await(&a, true);
    await(&b, true);
    wait.fd = a.ops->wait_fd(&a, 0, true);
    assert_true(wait.fd >= 0);
    assert_int_equal(poll(&wait, 1, 50), 0);
    send_one(&b, A);
    assert_int_equal(poll(&wait, 1, 2000), 1);
    assert_int_equal(wait.revents, POLLIN);
    assert_int_equal(a.ops->wait_fd(&a, 0, false), LINK_WAIT_BLIND);
    assert_int_equal(receive(&a), 1);
    end_link(&a);
    end_link(&b);
}

/* Last: the interface is another one afterwards. */
static void an_interface_made_anew_is_another_one(void **state)
{
    struct link a;

    (void)state;
    open_link(&a, A);
    await(&a, true);
    assert_true(veth_ip(A, "link del fab0"));
    await(&a, false);
    assert_true(veth_ip(A, "link add fab0 type veth peer name fab1"));
    assert_true(veth_ip(A, "link set fab0 up"));
    assert_true(veth_ip(A, "link set fab1 up"));
    for (int i = 0; i < 50; i++) {
        assert_false(a.ops->is_up(&a));
        (void)usleep(2000);
    }
    end_link(&a);
}

int main(void)
{
    static const struct CMUnitTest all[] = {
        cmocka_unit_test(changes_are_seen_and_counted),
        cmocka_unit_test(the_host_does_not_answer_our_frames),
        cmocka_unit_test(a_sleeper_sleeps_after_the_carrier_was_gone),
        cmocka_unit_test(an_interface_made_anew_is_another_one),
    };
    static const struct link_dpdk_options options = {.hugepages = false};
    const char *text = veth_begin(1500);
    int result;

    if (text != NULL) {
        (void)printf("1..0 # SKIP %s\n", text);
        return 0;
    }
    if (link_dpdk_start(&options, &text) != SF_OK) {
        (void)printf("Bail out! %s\n", text);
        return 1;
    }
    result = cmocka_run_group_tests_name("link-carrier", all, NULL, NULL);
    link_dpdk_stop();
    return result;
}
