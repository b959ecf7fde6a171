/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the memory of a peer, on fake devices: whole, by nobody else, once answered, whatever
 * fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"
#include "port.h"

#define NODES 3u
#define MEMORY_BYTES (4u << 20)
#define TURNS_MAX 60000u

static struct {
    struct link links[NODES];
    bool open[NODES];
    uint8_t *memory[NODES];
    struct link_endpoint told[NODES][NODES];
} bench;

static struct rdma_port *port_of(uint32_t i)
{
    return bench.links[i].impl;
}

static struct rdma_peer *peer_of(uint32_t i, uint32_t k)
{
    return rdma__peer_find(port_of(i), (uint16_t)(k + 1));
}

static void node_open(uint32_t i)
{
    char device[16];
    struct link_config config = {
        .name = "rdma", .device = device, .node_id = (uint16_t)(i + 1), .mtu_bytes = 1500};
    const char *text = "";
    struct link *link = &bench.links[i];

    (void)snprintf(device, sizeof(device), "fake%u", i);
    *link = (struct link){.ops = link_driver_find("rdma")};
    assert_int_equal(rdma__open(link, &config, &fake__verbs, &text), SF_OK);
    assert_int_equal(link->ops->memory_share(link, bench.memory[i], MEMORY_BYTES), SF_OK);
    for (uint32_t k = 0; k < NODES; k++) {
        struct link_peer peer = {.node_id = (uint16_t)(k + 1)};

        if (k != i) {
            memset(&bench.told[i][k], 0, sizeof(bench.told[i][k]));
            assert_int_equal(link->ops->peer_add(link, &peer), SF_OK);
        }
    }
    bench.open[i] = true;
}

static void node_close(uint32_t i)
{
    bench.links[i].ops->close(&bench.links[i]);
    bench.links[i].ops->stop(&bench.links[i]);
    bench.links[i].ops->fini(&bench.links[i]);
    bench.open[i] = false;
}

static void turn(void)
{
    for (uint32_t i = 0; i < NODES; i++) {
        struct link *link = &bench.links[i];
        struct link_frame frames[LINK_BURST_MAX];
        struct link_endpoint now;

        if (!bench.open[i]) {
            continue;
        }
        link->ops->frame_free(link, frames, link->ops->rx_burst(link, 0, frames, LINK_BURST_MAX));
        for (uint32_t k = 0; k < NODES; k++) {
            if (k != i && bench.open[k] &&
                link->ops->endpoint_get(link, (uint16_t)(k + 1), &now) == SF_OK &&
                memcmp(&now, &bench.told[i][k], sizeof(now)) != 0) {
                bench.told[i][k] = now;
                assert_int_equal(
                    bench.links[k].ops->endpoint_set(&bench.links[k], (uint16_t)(i + 1), &now),
                    SF_OK);
            }
        }
    }
}

static bool can_read(uint32_t i, uint32_t k)
{
    const struct rdma_peer *peer = peer_of(i, k);

    return peer->state == RDMA_PEER_UP && peer->its.token == peer->mate && peer->its.read_key != 0;
}

static void all_meet(void)
{
    for (uint32_t turns = 0; turns < TURNS_MAX; turns++) {
        bool all = true;

        for (uint32_t i = 0; i < NODES * NODES; i++) {
            all = all && (i / NODES == i % NODES || can_read(i / NODES, i % NODES));
        }
        if (all) {
            return;
        }
        turn();
    }
    fail_msg("they do not meet");
}

static int setup(void **state)
{
    (void)state;
    fake_reset();
    memset(&bench, 0, sizeof(bench));
    for (uint32_t i = 0; i < NODES; i++) {
        bench.memory[i] = malloc(MEMORY_BYTES);
        assert_non_null(bench.memory[i]);
        for (uint32_t k = 0; k < MEMORY_BYTES; k++) {
            bench.memory[i][k] = (uint8_t)(i * 77 + k * 13 + k / 251);
        }
        node_open(i);
    }
    all_meet();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < NODES; i++) {
        if (bench.open[i]) {
            node_close(i);
        }
        free(bench.memory[i]);
    }
    assert_null(fake_misuse());
    assert_int_equal(fake_live(), 0);
    return 0;
}

/* Node 1 reads of node 2, into the end of its memory. */
static bool begin(uint32_t bytes, uint64_t cookie)
{
    memset(bench.memory[0] + MEMORY_BYTES - bytes, 0xee, bytes);
    return bench.links[0].ops->read(&bench.links[0], 2, (uintptr_t)bench.memory[1] + 5,
                                    bench.memory[0] + MEMORY_BYTES - bytes, bytes, cookie);
}

static bool answer(uint64_t cookie)
{
    struct link_read_done done[2];

    for (uint32_t turns = 0; turns < TURNS_MAX; turns++) {
        uint32_t count = bench.links[0].ops->read_poll(&bench.links[0], done, 2);

        if (count > 0) {
            assert_int_equal(count, 1);
            assert_int_equal(done[0].cookie, cookie);
            assert_int_equal(bench.links[0].ops->read_poll(&bench.links[0], done, 2), 0);
            return done[0].ok;
        }
        turn();
    }
    fail_msg("a read has no end");
    return false;
}

static void expect_read(uint32_t bytes, uint64_t cookie)
{
    assert_true(begin(bytes, cookie));
    assert_true(answer(cookie));
    assert_memory_equal(bench.memory[0] + MEMORY_BYTES - bytes, bench.memory[1] + 5, bytes);
}

static void bytes_are_read_whole(void **state)
{
    (void)state;
    expect_read(1, 1);
    expect_read(4096, 2);
    expect_read(RDMA_READ_BYTES, 3);
    expect_read(3 * RDMA_READ_BYTES + 77, 4);
}

static void many_reads_are_answered_in_any_number(void **state)
{
    struct link_read_done done[64];
    uint32_t begun = 0, over = 0;

    (void)state;
    while (over < 1000) {
        if (begun < 1000 && begin(64, begun)) {
            begun++;
            continue;
        }
        turn();
        over += bench.links[0].ops->read_poll(&bench.links[0], done, 64);
    }
    assert_int_equal(begun, 1000);
}

static void what_is_not_memory_that_was_shared_is_refused(void **state)
{
    static uint8_t elsewhere[64];
    struct link *link = &bench.links[0];
    uint64_t from = (uintptr_t)bench.memory[1];

    (void)state;
    assert_false(link->ops->read(link, 2, from, elsewhere, 64, 1));
    assert_false(link->ops->read(link, 2, from, bench.memory[0] + MEMORY_BYTES - 63, 64, 1));
    assert_false(link->ops->read(link, 2, from, bench.memory[0], 0, 1));
    assert_false(link->ops->read(link, 77, from, bench.memory[0], 64, 1));
    assert_false(link->ops->read(link, 2, from, bench.memory[0], UINT32_MAX, 1));
    assert_int_equal(link->ops->memory_share(link, bench.memory[0], 4096), SF_EXISTS);
}

/* The device of the peer does not let it; the pair is made anew, and reads again. */
static void beyond_the_peers_memory_nothing_is_read(void **state)
{
    struct link *link = &bench.links[0];
    uint64_t end = (uintptr_t)bench.memory[1] + MEMORY_BYTES;

    (void)state;
    assert_true(link->ops->read(link, 2, end - 63, bench.memory[0], 64, 9));
    assert_false(answer(9));
    all_meet();
    assert_true(link->ops->read(link, 2, end - 64, bench.memory[0], 64, 10));
    assert_true(answer(10));
}

/* Node 3 has learned node 2's key for node 1. */
static void a_key_is_one_peers_only(void **state)
{
    struct link *link = &bench.links[2];
    struct link_read_done done;

    (void)state;
    peer_of(2, 1)->its.read_key = peer_of(0, 1)->its.read_key;
    assert_true(link->ops->read(link, 2, (uintptr_t)bench.memory[1], bench.memory[2], 64, 9));
    while (link->ops->read_poll(link, &done, 1) == 0) {
        turn();
    }
    assert_false(done.ok);
    all_meet();
    expect_read(1000, 3);
}

static void a_revoked_key_reads_nothing(void **state)
{
    uint32_t key = peer_of(0, 1)->its.read_key;

    (void)state;
    bench.links[1].ops->read_revoke(&bench.links[1], 1);
    assert_true(begin(1000, 5));
    assert_false(answer(5));
    assert_int_equal(bench.memory[0][MEMORY_BYTES - 1], 0xee);
    all_meet();
    assert_true(peer_of(0, 1)->its.read_key != key);
    expect_read(1000, 6);
}

static void errors_are_answered_once(void **state)
{
    static const enum ibv_wc_status kinds[] = {IBV_WC_RETRY_EXC_ERR, IBV_WC_REM_ACCESS_ERR,
                                               IBV_WC_LOC_PROT_ERR, IBV_WC_REM_OP_ERR,
                                               IBV_WC_RNR_RETRY_EXC_ERR};

    (void)state;
    for (uint32_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        fake_fail_delivered(0, kinds[i], 0); /* half of it has come */
        assert_true(begin(3000, i));
        assert_false(answer(i));
        assert_true(fake_failed(0));
        all_meet();
        fake_fail(0, kinds[i], false, 2); /* the third part of it */
        assert_true(begin(3 * RDMA_READ_BYTES, 100 + i));
        assert_false(answer(100 + i));
        all_meet();
        expect_read(3000, 200 + i);
    }
}

static void calls_that_fail_are_survived(void **state)
{
    (void)state;
    for (uint32_t number = 1; number < 12; number++) {
        bool begun;

        fake_refuse(number);
        begun = begin(3 * RDMA_READ_BYTES, number);
        if (begun) {
            (void)answer(number);
        }
        bench.links[0].ops->read_revoke(&bench.links[0], 2); /* a window is made, and bound */
        for (uint32_t i = 0; i < 100; i++) {
            turn();
        }
        fake_refuse(0);
        all_meet();
        expect_read(3000, 100);
    }
}

/* The link closes, or the device goes: what was under way has an answer all the same. */
static void the_end_answers_all(void **state)
{
    struct link_read_done done[4];

    (void)state;
    fake_port(1, false); /* it hears nothing */
    turn();
    if (begin(100, 1)) {
        bench.links[0].ops->close(&bench.links[0]);
        bench.links[0].ops->stop(&bench.links[0]);
        assert_int_equal(bench.links[0].ops->read_poll(&bench.links[0], done, 4), 1);
        assert_false(done[0].ok);
    }
    assert_false(begin(100, 2));
}

static void a_device_that_goes_answers_all(void **state)
{
    struct link_read_done done[4];

    (void)state;
    fake_port(1, false);
    assert_true(begin(100, 1));
    fake_remove(0, true);
    while (bench.links[0].ops->read_poll(&bench.links[0], done, 4) == 0) {
        turn();
    }
    assert_false(done[0].ok);
    assert_false(begin(100, 2));
}

/* A node that starts anew has another key. */
static void a_node_that_starts_anew_is_read_again(void **state)
{
    (void)state;
    node_close(1);
    if (begin(100, 1)) {
        assert_false(answer(1));
    }
    node_open(1);
    all_meet();
    expect_read(100, 2);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(bytes_are_read_whole),
        CASE(many_reads_are_answered_in_any_number),
        CASE(what_is_not_memory_that_was_shared_is_refused),
        CASE(beyond_the_peers_memory_nothing_is_read),
        CASE(a_key_is_one_peers_only),
        CASE(a_revoked_key_reads_nothing),
        CASE(errors_are_answered_once),
        CASE(calls_that_fail_are_survived),
        CASE(the_end_answers_all),
        CASE(a_device_that_goes_answers_all),
        CASE(a_node_that_starts_anew_is_read_again),
    };

    return cmocka_run_group_tests_name("rdma-reads", tests, NULL, NULL);
}
