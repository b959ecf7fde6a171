/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealed sessions against somebody on the wire who reads, changes, repeats and makes up frames.
 * What sealed sessions have in common with clear ones is in session_test.c, which runs both ways.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "session.h"
#include "test_net.h"

#define NODES 2u
#include "test_case.h"

#define MS 1000000ull
#define CAPTURED_MAX 64u

/* What went from 1 to 2 and from 2 to 1. */
static struct {
    uint16_t from;
    uint32_t length;
    uint8_t bytes[NET_MTU];
} captured[CAPTURED_MAX];
static uint32_t captured_count;

static uint32_t capture(struct net *of, uint16_t from, uint16_t to, uint8_t *bytes, uint32_t length)
{
    (void)of;
    (void)to;
    if (captured_count < CAPTURED_MAX) {
        captured[captured_count].from = from;
        captured[captured_count].length = length;
        memcpy(captured[captured_count++].bytes, bytes, length);
    }
    return length;
}

static int setup_captured(void **state)
{
    captured_count = 0;
    (void)setup_sealed(state);
    net.tamper = capture;
    return 0;
}

static struct fab_peer_info info(uint16_t id)
{
    struct fab_peer_info found;

    assert_int_equal(fab_peer_query(fab(id), (uint16_t)(3 - id), &found), SF_OK);
    return found;
}

static struct fab_ep *channel_open(struct fab_ep **out_exp)
{
    struct fab_ep *imp;

    assert_int_equal(fab_open(fab(1), 2, "work", test_work(), &imp), SF_OK);
    net_run(&net, 10 * MS);
    assert_non_null(net.nodes[2].opened_last);
    *out_exp = net.nodes[2].opened_last;
    return imp;
}

static void ask(struct fab_ep *imp, struct fab_ep *exp, uint64_t value)
{
    struct fab_msg msg = {.tag = WORK_ASK, .arg_count = 4, .args = {{.scalar = value}}};

    assert_int_equal(fab_ep_send(imp, &msg, 1), SF_OK);
    net_run(&net, 10 * MS);
    assert_int_equal(fab_ep_recv(exp, &msg, 2), SF_OK);
    assert_int_equal(msg.args[0].scalar, value);
    msg = (struct fab_msg){.tag = WORK_ANSWER, .arg_count = 1, .args = {{.scalar = value}}};
    assert_int_equal(fab_ep_send(exp, &msg, 2), SF_OK);
    net_run(&net, 10 * MS);
    assert_int_equal(fab_ep_recv(imp, &msg, 1), SF_OK);
    assert_int_equal(msg.args[0].scalar, value);
}

static void nobody_reads_along(void **state)
{
    const uint64_t secret = 0x5ec2e75ec2e75ec2ull;
    struct fab_ep *exp;
    struct fab_ep *imp = channel_open(&exp);

    (void)state;
    ask(imp, exp, secret);
    assert_true(info(1).sealed);
    assert_true(strcmp(info(1).cipher, info(2).cipher) == 0 && info(1).cipher[0] != '\0');
    assert_in_range(captured_count, 5, CAPTURED_MAX - 1);
    for (uint32_t i = 0; i < captured_count; i++) {
        for (uint32_t at = 0; at + 8 <= captured[i].length; at++) {
            assert_memory_not_equal(captured[i].bytes + at, &secret, 8);
            assert_memory_not_equal(captured[i].bytes + at, "work", 4);
        }
    }
}

static void what_is_changed_on_the_way_is_refused(void **state)
{
    struct fab_ep *exp;
    struct fab_ep *imp = channel_open(&exp);
    struct fab_msg msg = {.tag = WORK_ASK, .arg_count = 4};
    uint8_t bytes[NET_MTU];
    uint32_t length;
    uint64_t rejected = info(2).frames_rejected;

    (void)state;
    assert_int_equal(fab_ep_send(imp, &msg, 1), SF_OK);
    length = fab_tx(fab(1), 2, bytes, sizeof(bytes), net.now_ns);
    assert_true(length > FAB__HEADER_BYTES + FAB__TAG_BYTES);
    for (uint32_t at = 0; at < length; at++) {
        bytes[at] ^= 0x10;
        give(2, bytes, length);
        bytes[at] ^= 0x10;
        give(2, bytes, at); /* and cut short */
    }
    assert_int_equal(info(2).frames_rejected, rejected + 2ull * length);
    assert_int_equal(fab_ep_recv(exp, &msg, 2), SF_AGAIN);
    give(2, bytes, length);
    assert_int_equal(fab_ep_recv(exp, &msg, 2), SF_OK);
    assert_int_equal(net.nodes[2].lost_count, 0);
}

static void what_is_repeated_is_refused(void **state)
{
    struct fab_ep *exp;
    struct fab_ep *imp = channel_open(&exp);
    uint32_t count;
    uint64_t rejected;

    (void)state;
    ask(imp, exp, 1);
    count = captured_count;
    rejected = info(1).frames_rejected + info(2).frames_rejected;
    for (uint32_t i = 0; i < count; i++) {
        give((uint16_t)(3 - captured[i].from), captured[i].bytes, captured[i].length);
    }
    net_run(&net, 100 * MS);
    assert_true(info(1).frames_rejected + info(2).frames_rejected > rejected + count / 2);
    assert_int_equal(net.nodes[1].lost_count + net.nodes[2].lost_count, 0);
    ask(imp, exp, 2);
}

/* Whoever can send hellos, but not make their messages, ends nothing. */
static void a_made_up_hello_ends_no_session(void **state)
{
    struct fab_ep *exp;
    struct fab_ep *imp = channel_open(&exp);
    uint8_t bytes[FAB__HELLO_BYTES + FAB__HANDSHAKE_BYTES] = {0};

    (void)state;
    for (uint16_t to = 1; to <= 2; to++) {
        for (uint32_t i = 0; i < 200; i++) {
            struct fab__hello hello = fab__hello_of(fab((uint16_t)(3 - to))->sessions[to]);
            bool longer = (i & 4u) != 0;
            hello.flags = (uint8_t)(i & 3u);
            hello.source_session += i / 8;
            hello.target_session = (i & 8u) != 0 ? fab(to)->sessions[3 - to]->number : 0;
            hello.source_epoch = (uint16_t)(hello.source_epoch + i % 3);
            hello.ciphers = 3;
            fab__hello_write(bytes, &hello);
            give(to, bytes, longer ? sizeof(bytes) : FAB__HELLO_BYTES);
            net_run(&net, 15 * MS);
        }
    }
    assert_int_equal(net.nodes[1].lost_count + net.nodes[2].lost_count, 0);
    ask(imp, exp, 7);
    net_run(&net, 3000 * MS);
    ask(imp, exp, 8);
    assert_null(fab(2)->sessions[1]->successor);
}

static void either_side_can_begin_anew(void **state)
{
    (void)state;
    for (uint16_t at = 1; at <= 2; at++) {
        struct fab_ep *exp;
        struct fab_ep *imp = channel_open(&exp);
        uint32_t lost = net.nodes[3 - at].lost_count;

        ask(imp, exp, at);
        fab_peer_remove(fab(at), (uint16_t)(3 - at), SF_CAUSE_OF(LINK_LOST));
        net_introduce(&net, 1, 2);
        net_run(&net, 500 * MS);
        assert_int_equal(net.nodes[3 - at].lost_count, lost + 1);
        assert_int_equal(fab_ep_cause(at == 1 ? exp : imp).kind, SF_CAUSE_LINK_LOST);
        imp = channel_open(&exp);
        ask(imp, exp, 10u + at);
    }
}

static void who_has_another_key_is_not_heard(void **state)
{
    struct fab_peer peer = net_peer(&net, 2);

    (void)state;
    fab_peer_remove(fab(1), 2, SF_CAUSE_OF(LINK_LOST));
    peer.key[3] ^= 1;
    assert_int_equal(fab_peer_add(fab(1), &peer, net.now_ns), SF_OK);
    net_run(&net, 9000 * MS);
    assert_false(info(1).alive);
    net_run(&net, 2000 * MS); /* the time for the first contact is over */
    assert_int_equal(net.nodes[1].lost_cause.kind, SF_CAUSE_NODE_LOST);
}

static void sealed_and_clear_do_not_mix(void **state)
{
    struct fab_peer peer = net_peer(&net, 2);

    (void)state;
    net_run(&net, 10 * MS);
    fab_peer_remove(fab(1), 2, SF_CAUSE_OF(LINK_LOST));
    peer.sealed = false;
    assert_int_equal(fab_peer_add(fab(1), &peer, net.now_ns), SF_OK);
    net_run(&net, 1000 * MS);
    assert_false(info(1).alive);
    assert_true(info(1).frames_rejected > 0);
    assert_true(info(2).frames_rejected > 0);
}

static void a_node_without_a_key_seals_nothing(void **state)
{
    struct fab_peer peer = {.node_id = 9, .epoch = 1, .mtu_bytes = NET_MTU, .sealed = true};
    struct fab_options options = {.node_id = 3, .epoch = 1, .endpoint_count_max = 4};
    struct fab_node *node;

    (void)state;
    options.heap = net.nodes[1].heap;
    assert_int_equal(fab_node_create(&options, &node), SF_OK);
    assert_int_equal(fab_peer_add(node, &peer, 0), SF_UNSUPPORTED);
    fab_node_destroy(node);
    assert_int_equal(fab_peer_add(fab(1), &peer, net.now_ns), SF_TRUST); /* a key of zeros */
}

#define SEALED_TEST(f) cmocka_unit_test_setup_teardown(f, setup_captured, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEALED_TEST(nobody_reads_along),
        SEALED_TEST(what_is_changed_on_the_way_is_refused),
        SEALED_TEST(what_is_repeated_is_refused),
        SEALED_TEST(a_made_up_hello_ends_no_session),
        SEALED_TEST(either_side_can_begin_anew),
        SEALED_TEST(who_has_another_key_is_not_heard),
        SEALED_TEST(sealed_and_clear_do_not_mix),
        SEALED_TEST(a_node_without_a_key_seals_nothing),
    };

    return cmocka_run_group_tests_name("sealed", tests, NULL, NULL);
}
