/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How sessions begin, and begin again: hellos that cross, get lost, come late or were made up. That
 * two nodes always find each other, that neither can be kept from the other by one who can only
 * send frames, and that what strangers say costs little.
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
#define SEEDS 60u

static struct fab__session *session(uint16_t id)
{
    return fab(id)->sessions[3 - id];
}

static uint32_t lost_count(void)
{
    return net.nodes[1].lost_count + net.nodes[2].lost_count;
}

/* What node `from` has to say to the other, on no wire. */
static uint32_t take(uint16_t from, uint8_t bytes[NET_MTU])
{
    (void)fab_tick(fab(from), net.now_ns);
    return fab_tx(fab(from), (uint16_t)(3 - from), bytes, NET_MTU, net.now_ns);
}

static void peer_add(uint16_t at)
{
    struct fab_peer peer = net_peer(&net, (uint16_t)(3 - at));

    assert_int_equal(fab_peer_add(fab(at), &peer, net.now_ns), SF_OK);
}

static void begin_anew(uint16_t at)
{
    fab_peer_remove(fab(at), (uint16_t)(3 - at), SF_CAUSE_OF(LINK_LOST));
    peer_add(at);
}

static void expect_talk(uint64_t value)
{
    struct fab_msg msg = {.tag = WORK_ASK, .arg_count = 4, .args = {{.scalar = value}}};
    struct fab_ep *imp;
    struct fab_ep *exp;

    assert_int_equal(fab_open(fab(1), 2, "work", test_work(), &imp), SF_OK);
    assert_int_equal(fab_ep_send(imp, &msg, 1), SF_OK);
    net_run(&net, 10 * MS);
    exp = net.nodes[2].opened_last;
    assert_int_equal(fab_ep_recv(exp, &msg, 2), SF_OK);
    assert_int_equal(msg.args[0].scalar, value);
    msg = (struct fab_msg){.tag = WORK_ANSWER, .arg_count = 1, .args = {{.scalar = value}}};
    assert_int_equal(fab_ep_send(exp, &msg, 2), SF_OK);
    net_run(&net, 10 * MS);
    assert_int_equal(fab_ep_recv(imp, &msg, 1), SF_OK);
    fab_ep_close(imp, SF_CAUSE_OF(SHUTDOWN));
    fab_ep_close(exp, SF_CAUSE_OF(SHUTDOWN));
    net_run(&net, 10 * MS);
}

/* --- two honest nodes ----------------------------------------------------------------------- */

/* One side begins anew while its first hello is known already and the other's is under way. */
static void beginnings_that_cross_settle(void **state)
{
    (void)state;
    for (uint16_t anew = 1; anew <= 2; anew++) {
        uint16_t other = (uint16_t)(3 - anew);
        uint8_t early[NET_MTU] = {0};
        uint8_t late[NET_MTU] = {0};
        uint32_t length;
        uint32_t lost;

        begin_anew(anew);
        begin_anew(other);
        length = take(other, late);
        give(other, early, take(anew, early));
        begin_anew(anew);
        give(anew, late, length);
        net_run(&net, 500 * MS);
        lost = lost_count();
        net_run(&net, 3000 * MS);
        assert_int_equal(lost_count(), lost);
        expect_talk(anew);
    }
}

/* Sessions end here and there while frames get lost, come twice and late; then it is calm. */
static void two_nodes_find_each_other(bool sealed, uint64_t seed)
{
    uint32_t lost;

    print_message("# seed %llu\n", (unsigned long long)seed);
    net_sealed = sealed;
    net_make(&net, 2, seed);
    net.loss_percent = net.duplicate_percent = 20;
    net.reorder_percent = 40;
    for (uint32_t i = 0; i < 40; i++) {
        uint16_t id = (uint16_t)(1 + net_below(&net, 2));

        if (net_below(&net, 3) == 0) {
            fab_peer_remove(fab(id), (uint16_t)(3 - id), SF_CAUSE_OF(LINK_LOST));
        }
        if (net_below(&net, 2) == 0) {
            net_introduce(&net, 1, 2);
        }
        net_run(&net, net_below(&net, (uint32_t)(net_below(&net, 4) == 0 ? 60 * MS : 3 * MS)));
        net_audit(&net);
    }
    net.loss_percent = net.duplicate_percent = net.reorder_percent = 0;
    for (uint32_t i = 0; i < 5; i++) {
        net_introduce(&net, 1, 2);
        net_run(&net, 600 * MS);
    }
    lost = lost_count();
    net_run(&net, 3000 * MS);
    assert_int_equal(lost_count(), lost);
    assert_true(session(1)->open && session(2)->open);
    expect_talk(seed);
    net_end(&net);
}

static void two_nodes_always_find_each_other(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        two_nodes_find_each_other(seed % 2 == 0, seed);
    }
}

/* The caller's first frame opens the other's session; if it is lost, it need not be waited for. */
static void the_first_frame_may_get_lost(void **state)
{
    uint8_t bytes[NET_MTU] = {0};

    (void)state;
    begin_anew(2);
    begin_anew(1);
    for (uint32_t turn = 0; turn < 10 && !session(1)->open; turn++) {
        give(2, bytes, take(1, bytes));
        give(1, bytes, take(2, bytes));
        net.now_ns += 25 * MS;
    }
    assert_true(session(1)->open);
    assert_true(take(1, bytes) != 0);
    net_run(&net, 100 * MS); /* half a heart-beat */
    assert_true(session(2)->open);
}

/*
 * One side begins anew, and its hello overtakes a frame of its session before. Whatever the other
 * had said to that one, the frame reaches nobody: it would be taken for the first of the new ones.
 */
static void a_late_frame_of_an_earlier_session_reaches_nobody(void **state)
{
    (void)state;
    for (uint16_t anew = 1; anew <= 2; anew++) {
        uint16_t other = (uint16_t)(3 - anew);
        uint32_t opened = net.nodes[other].opened_count;
        uint8_t bytes[NET_MTU] = {0};
        uint8_t late[NET_MTU] = {0};
        struct fab_ep *imp;
        uint32_t length;

        net_run(&net, 50 * MS);
        begin_anew(other);
        begin_anew(anew);
        for (uint32_t turn = 0; turn < 10 && !session(anew)->open; turn++) {
            give(other, bytes, take(anew, bytes));
            give(anew, bytes, take(other, bytes));
            net.now_ns += 25 * MS;
        }
        assert_true(session(anew)->open);
        assert_int_equal(fab_open(fab(anew), other, "work", test_work(), &imp), SF_OK);
        length = take(anew, late);
        assert_true(fab_frame_has_records(late, length));
        begin_anew(anew);
        net.now_ns += 25 * MS;
        for (uint32_t turn = 0; turn < 3; turn++) {
            give(other, bytes, take(anew, bytes));
            give(other, late, length);
            give(anew, bytes, take(other, bytes));
            net.now_ns += 25 * MS;
        }
        assert_int_equal(net.nodes[other].opened_count, opened);
        net_run(&net, 500 * MS);
        expect_talk(anew);
        fab_ep_close(imp, SF_CAUSE_OF(SHUTDOWN));
    }
}

/* With any two MTUs: no frame is larger than the smaller one, and blocks arrive. */
static void the_smaller_mtu_counts(void **state)
{
    static const uint32_t mtus[][2] = {
        {FAB_MTU_BYTES_MIN, NET_MTU}, {NET_MTU, FAB_MTU_BYTES_MIN}, {513, 777}, {512, 512}};

    (void)state;
    for (uint32_t i = 0; i < sizeof(mtus) / sizeof(mtus[0]); i++) {
        uint32_t smaller = mtus[i][0] < mtus[i][1] ? mtus[i][0] : mtus[i][1];
        struct fab_msg msg = {.tag = WORK_BYTES, .arg_count = 2};
        struct fab_peer_info info;
        struct fab_ep *imp;
        uint8_t bytes[NET_MTU] = {0};
        uint32_t largest = 0;

        for (uint16_t id = 1; id <= 2; id++) {
            struct fab_peer peer = net_peer(&net, (uint16_t)(3 - id));
            fab_peer_remove(fab(id), (uint16_t)(3 - id), SF_CAUSE_OF(LINK_LOST));
            peer.mtu_bytes = mtus[i][id - 1];
            assert_int_equal(fab_peer_add(fab(id), &peer, net.now_ns), SF_OK);
        }
        net_run(&net, 100 * MS);
        assert_int_equal(fab_open(fab(1), 2, "work", test_work(), &imp), SF_OK);
        assert_int_equal(xh_alloc(net.nodes[1].heap, 100000, 1, &msg.args[0].block), SF_OK);
        memset(msg.args[0].block->data, 0x5a, 100000);
        assert_int_equal(fab_ep_send(imp, &msg, 1), SF_OK);
        for (uint32_t turn = 0; turn < 1000 && !(turn > 10 && largest == 0); turn++) {
            largest = 0;
            for (uint16_t id = 1; id <= 2; id++) {
                uint32_t length;
                while ((length = take(id, bytes)) != 0) {
                    assert_in_range(length, 1, smaller);
                    largest = length > largest ? length : largest;
                    give((uint16_t)(3 - id), bytes, length);
                }
            }
            net.now_ns += 200000;
        }
        assert_int_equal(fab_ep_recv(net.nodes[2].opened_last, &msg, 2), SF_OK);
        assert_int_equal(msg.args[0].block->bytes, 100000);
        for (uint32_t at = 0; at < 100000; at++) {
            assert_int_equal(msg.args[0].block->data[at], 0x5a);
        }
        assert_int_equal(xh_free(net.nodes[2].heap, msg.args[0].block, 2), SF_OK);
        assert_int_equal(fab_peer_query(fab(1), 2, &info), SF_OK);
        assert_int_equal(info.mtu_bytes, smaller);
    }
}

/* A peer that is added again as it was stays; as another one, it begins anew. */
static void a_peer_added_otherwise_begins_anew(void **state)
{
    struct fab_peer peer = net_peer(&net, 2);
    struct fab__session *before = session(1);

    (void)state;
    net_run(&net, 50 * MS);
    assert_int_equal(fab_peer_add(fab(1), &peer, net.now_ns), SF_EXISTS);
    assert_ptr_equal(session(1), before);
    peer.mtu_bytes = 600;
    assert_int_equal(fab_peer_add(fab(1), &peer, net.now_ns), SF_OK);
    assert_int_equal(net.nodes[1].lost_count, 1);
    assert_int_equal(net.nodes[1].lost_cause.kind, SF_CAUSE_LINK_LOST);
    assert_int_equal(fab_peer_add(fab(1), &peer, net.now_ns), SF_EXISTS);
    net_run(&net, 500 * MS);
    assert_int_equal(session(2)->frame_bytes, 600);
    expect_talk(1);
    peer.sealed = !peer.sealed; /* never goes on in the clear because it was so before */
    memcpy(peer.key, "\x09", 1);
    if (fab(1)->has_key) {
        assert_int_equal(fab_peer_add(fab(1), &peer, net.now_ns), SF_OK);
        assert_int_equal(session(1)->secure != NULL, peer.sealed);
    } else {
        assert_int_equal(fab_peer_add(fab(1), &peer, net.now_ns), SF_UNSUPPORTED);
        assert_null(session(1));
    }
    assert_int_equal(net.nodes[1].lost_count, 2);
}

/* A node whose peer does not answer sleeps between its hellos, whatever its heart-beat is. */
static void waiting_for_an_answer_is_no_work(void **state)
{
    struct fab_options options = {.node_id = 3, .epoch = 1, .endpoint_count_max = 4};
    struct fab_peer peer = {.node_id = 1, .epoch = 1, .mtu_bytes = NET_MTU};
    uint8_t bytes[NET_MTU] = {0};
    struct fab_node *node;
    uint64_t now_ns = MS;
    uint32_t turns = 0;

    (void)state;
    options.heap = net.nodes[1].heap;
    options.heartbeat_ns = 5 * MS;
    options.peer_timeout_ns = 500 * MS;
    assert_int_equal(fab_node_create(&options, &node), SF_OK);
    assert_int_equal(fab_peer_add(node, &peer, now_ns), SF_OK);
    while (node->sessions[1] != NULL) {
        uint64_t next_ns;
        (void)fab_tick(node, now_ns);
        while (fab_tx_pending(node) != 0) {
            assert_true(fab_tx(node, 1, bytes, sizeof(bytes), now_ns) != 0);
        }
        next_ns = fab_tick(node, now_ns);
        if (node->sessions[1] == NULL) {
            break;
        }
        assert_true(next_ns > now_ns);
        now_ns = next_ns;
        assert_true(++turns < 100);
    }
    assert_true(now_ns >= 2500 * MS);
    fab_node_destroy(node);
}

/* --- hellos that strangers make up ---------------------------------------------------------- */

struct sealed_hello {
    uint8_t bytes[FAB__HELLO_BYTES + FAB__HANDSHAKE_BYTES];
    uint32_t length;
};

/* As node `from` might say it now, but nobody has made its message. */
static struct sealed_hello made_up(uint16_t from, uint8_t flags, uint32_t source_session,
                                   uint32_t target_session, bool message)
{
    struct sealed_hello forged = {.length = message ? sizeof(forged.bytes) : FAB__HELLO_BYTES};
    struct fab__hello hello = {
        .flags = (uint8_t)(flags | FAB__HELLO_SEALED),
        .mtu_bytes = NET_MTU,
        .source_node = from,
        .target_node = (uint16_t)(3 - from),
        .source_epoch = 1,
        .target_epoch = 1,
        .source_session = source_session,
        .target_session = target_session,
        .ciphers = 3,
    };

    fab__hello_write(forged.bytes, &hello);
    memset(forged.bytes + FAB__HELLO_BYTES, 9, FAB__HANDSHAKE_BYTES);
    return forged;
}

/* Between message 2 and the first frame, the responder has but the keys to know the caller by. */
static void a_made_up_call_undoes_no_handshake(void **state)
{
    struct sealed_hello forged = made_up(1, 0, 1u << FAB__SESSION_EPOCH_SHIFT | 900u, 0, true);
    uint8_t bytes[NET_MTU] = {0};
    uint32_t length;

    (void)state;
    begin_anew(2);
    begin_anew(1);
    give(2, bytes, take(1, bytes)); /* message 1 */
    net.now_ns += 15 * MS;
    length = take(2, bytes); /* message 2 */
    give(2, forged.bytes, forged.length);
    give(1, bytes, length);
    assert_true(session(1)->open);
    net_run(&net, 50 * MS);
    assert_true(session(2)->open);
    expect_talk(1);
    assert_int_equal(net.nodes[1].lost_count, 1); /* the one that began anew */
}

/* Likewise, where the responder has an older session beside. */
static void a_made_up_call_takes_nobodys_place(void **state)
{
    struct sealed_hello forged = made_up(1, 0, 1u << FAB__SESSION_EPOCH_SHIFT | 900u, 0, true);
    uint8_t bytes[NET_MTU] = {0};
    uint32_t length;

    (void)state;
    net_run(&net, 50 * MS);
    begin_anew(1);
    give(2, bytes, take(1, bytes));
    net.now_ns += 15 * MS;
    assert_non_null(session(2)->successor);
    length = take(2, bytes);
    give(2, forged.bytes, forged.length);
    assert_non_null(session(2)->successor);
    give(1, bytes, length);
    assert_true(session(1)->open);
    net_run(&net, 50 * MS);
    assert_null(session(2)->successor);
    assert_int_equal(session(2)->peer_number, session(1)->number);
    expect_talk(1);
}

/* Nor does a true one that was recorded: the caller has gone on. */
static void an_old_call_takes_nobodys_place(void **state)
{
    uint8_t old[NET_MTU] = {0};
    uint8_t bytes[NET_MTU] = {0};
    uint32_t old_length;
    uint32_t length;

    (void)state;
    net_run(&net, 50 * MS);
    begin_anew(1);
    old_length = take(1, old);
    begin_anew(1);
    give(2, bytes, take(1, bytes));
    net.now_ns += 15 * MS;
    length = take(2, bytes);
    give(2, old, old_length);
    give(1, bytes, length);
    net_run(&net, 50 * MS);
    assert_int_equal(session(2)->peer_number, session(1)->number);
    expect_talk(1);
}

/* There are 2^18 numbers for sessions: what strangers say must not use them up. */
static void made_up_hellos_use_up_no_numbers(void **state)
{
    uint32_t number[3];

    (void)state;
    net_run(&net, 50 * MS);
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t source = 1u << FAB__SESSION_EPOCH_SHIFT | (1000u + i);
        struct sealed_hello call = made_up(1, 0, source, 0, true);
        struct sealed_hello ask = made_up(2, 0, source, 0, false);

        give(2, call.bytes, call.length);
        give(1, ask.bytes, ask.length);
        net_run(&net, 20 * MS);
    }
    number[1] = session(1)->number;
    number[2] = session(2)->number;
    begin_anew(1);
    begin_anew(2);
    assert_in_range(session(1)->number, number[1] + 1, number[1] + 2);
    assert_int_equal(session(2)->number, number[2] + 1);
}

/* A node that begins anew all the time uses up its own numbers, and none of the others'. */
static void who_begins_anew_all_the_time_harms_itself(void **state)
{
    struct fab__hello hello = {
        .mtu_bytes = NET_MTU,
        .source_node = 1,
        .target_node = 2,
        .source_epoch = 1,
        .target_epoch = 1,
        .source_session = 1u << FAB__SESSION_EPOCH_SHIFT | 100u,
    };
    struct fab_peer third = {.node_id = 3, .epoch = 1, .mtu_bytes = NET_MTU};
    uint8_t bytes[FAB__HELLO_BYTES];
    uint32_t lost;

    (void)state;
    net_run(&net, 50 * MS);
    lost = net.nodes[2].lost_count;
    for (uint32_t i = 0; i < 10000; i++) {
        hello.source_session++;
        fab__hello_write(bytes, &hello);
        give(2, bytes, sizeof(bytes));
        net.now_ns += 10000;
    }
    /* Each end is a walk through all endpoints: one in 10 ms is enough. */
    assert_in_range(net.nodes[2].lost_count, lost + 1, lost + 12);
    assert_int_equal(fab_peer_add(fab(2), &third, net.now_ns), SF_OK);
    assert_int_equal(fab(2)->sessions[3]->number, 1u << FAB__SESSION_EPOCH_SHIFT | 1u);
}

/* Of the 2^18 numbers for sessions to one node the last is used: that node is lost till we boot. */
static void numbers_that_are_used_up_end_it_for_one_peer(void **state)
{
    struct fab_peer third = net_peer(&net, 1);
    struct fab_peer peer = net_peer(&net, 1);

    (void)state;
    net_run(&net, 50 * MS);
    expect_talk(1);
    fab(2)->peers[1].session_counter = (1u << FAB__SESSION_EPOCH_SHIFT) - 1u;
    begin_anew(1);
    net_run(&net, 500 * MS);
    net_audit(&net);
    if (session(2) != NULL) { /* sealed: goes on with the one it has, till that is silent */
        assert_false(session(1)->open);
        net_run(&net, 3000 * MS);
    }
    assert_null(session(2));
    assert_int_equal(fab_peer_add(fab(2), &peer, net.now_ns), SF_LIMIT);
    third.node_id = 3;
    assert_int_equal(fab_peer_add(fab(2), &third, net.now_ns), SF_OK);
}

/* Reading a message costs multiplications, so a stranger gets one in a while. */
static void made_up_answers_are_read_in_turn(void **state)
{
    uint8_t call[NET_MTU] = {0};
    uint8_t answer[NET_MTU] = {0};
    uint32_t length;
    struct sealed_hello forged;

    (void)state;
    begin_anew(2);
    begin_anew(1);
    give(2, call, take(1, call));
    length = take(2, answer);
    forged = made_up(2, FAB__HELLO_ANSWER, session(2)->number, session(1)->number, true);
    give(1, forged.bytes, forged.length);
    give(1, answer, length);
    assert_false(session(1)->open); /* at once: not looked at */
    net.now_ns += 15 * MS;
    give(1, answer, length);
    assert_true(session(1)->open);
}

#define CLEAR_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define SEALED_TEST(f) cmocka_unit_test_setup_teardown(f, setup_sealed, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NET_TEST(beginnings_that_cross_settle),
        cmocka_unit_test(two_nodes_always_find_each_other),
        NET_TEST(the_first_frame_may_get_lost),
        CLEAR_TEST(a_late_frame_of_an_earlier_session_reaches_nobody),
        NET_TEST(the_smaller_mtu_counts),
        NET_TEST(a_peer_added_otherwise_begins_anew),
        CLEAR_TEST(waiting_for_an_answer_is_no_work),
        SEALED_TEST(a_made_up_call_undoes_no_handshake),
        SEALED_TEST(a_made_up_call_takes_nobodys_place),
        SEALED_TEST(an_old_call_takes_nobodys_place),
        SEALED_TEST(made_up_hellos_use_up_no_numbers),
        CLEAR_TEST(who_begins_anew_all_the_time_harms_itself),
        NET_TEST(numbers_that_are_used_up_end_it_for_one_peer),
        SEALED_TEST(made_up_answers_are_read_in_turn),
    };

    return cmocka_run_group_tests_name("hello", tests, NULL, NULL);
}
