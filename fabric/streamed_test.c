/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks whose bytes the holder sees as they come (fab_ep_stream): each once, in order, and what it
 * takes of them is what the block lacks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test_net.h"

#define NODES 2u
#include "test_case.h"

#define MS 1000000ull
#define OWNER 1u
#define BYTES (64u << 10)
#define BLOCKS 2u

static struct fab_ep *imp, *exp_ep;
static struct {
    uint8_t bytes[BLOCKS][BYTES]; /* taken, in their places */
    bool taken[BLOCKS][BYTES];
    uint32_t next[BLOCKS]; /* the first not shown yet */
    uint32_t taken_count;
} seen;

static uint8_t byte_of(uint32_t block, uint32_t i)
{
    return (uint8_t)(i * 7 + i / 4096 + block);
}

/* Takes some from the first on. */
static uint32_t on_shown(struct fab_ep *ep, const struct fab_msg *msg, uint32_t index,
                         uint32_t offset, const uint8_t *bytes, uint32_t length)
{
    uint32_t count = (uint32_t)rand() % 3 == 0 ? length : (uint32_t)rand() % (length + 1);

    assert_ptr_equal(ep, exp_ep);
    assert_int_equal(msg->tag, WORK_BYTES);
    assert_true(index < BLOCKS);
    assert_int_equal(msg->args[index].block->bytes, BYTES);
    assert_int_equal(offset, seen.next[index]);
    assert_true(index == 0 || seen.next[0] == BYTES);
    assert_true(length > 0 && length <= BYTES - offset);
    seen.next[index] += length;
    memcpy(seen.bytes[index] + offset, bytes, count);
    memset(seen.taken[index] + offset, true, count);
    seen.taken_count += count;
    return count;
}

static void begin(void)
{
    assert_int_equal(fab_open(fab(1), 2, "work", test_work(), &imp), SF_OK);
    net_run(&net, 50 * MS);
    exp_ep = net.nodes[2].opened_last;
    assert_non_null(exp_ep);
    memset(&seen, 0, sizeof(seen));
    net.nodes[2].bytes = on_shown;
}

static void blocks_send(void)
{
    struct fab_msg msg = {.tag = WORK_BYTES, .arg_count = BLOCKS};

    for (uint32_t k = 0; k < BLOCKS; k++) {
        struct xh_block *block;

        assert_int_equal(xh_alloc(net.nodes[1].heap, BYTES, OWNER, &block), SF_OK);
        for (uint32_t i = 0; i < BYTES; i++) {
            block->data[i] = byte_of(k, i);
        }
        msg.args[k].block = block;
    }
    assert_int_equal(fab_ep_send(imp, &msg, OWNER), SF_OK);
}

/* What is not in the block was taken. */
static void blocks_expect(void)
{
    struct fab_msg msg;

    assert_int_equal(fab_ep_recv(exp_ep, &msg, OWNER), SF_OK);
    for (uint32_t k = 0; k < BLOCKS; k++) {
        const struct xh_block *block = msg.args[k].block;

        for (uint32_t i = 0; i < BYTES; i++) {
            const uint8_t got = seen.taken[k][i] ? seen.bytes[k][i] : block->data[i];

            assert_int_equal(got, byte_of(k, i));
        }
        assert_int_equal(xh_free(net.nodes[2].heap, msg.args[k].block, OWNER), SF_OK);
    }
}

static void each_byte_is_shown_once_whatever_is_lost(void **state)
{
    (void)state;
    begin();
    fab_ep_stream(exp_ep);
    net.loss_percent = 10;
    net.duplicate_percent = 10;
    net.reorder_percent = 10;
    blocks_send();
    net_run(&net, 3000 * MS);
    net.loss_percent = 0;
    net_run(&net, 500 * MS);
    assert_int_equal(seen.next[0], BYTES);
    assert_int_equal(seen.next[1], BYTES);
    assert_true(seen.taken_count > 0 && seen.taken_count < BLOCKS * BYTES);
    blocks_expect();
}

static void nothing_is_shown_that_nobody_asked_for(void **state)
{
    (void)state;
    begin();
    blocks_send();
    net_run(&net, 500 * MS);
    assert_int_equal(seen.next[0] + seen.next[1], 0);
    blocks_expect();
}

/* A device puts those in the block. */
static void what_is_read_is_not_shown(void **state)
{
    struct fab_peer_info info;

    (void)state;
    begin();
    fab_ep_stream(exp_ep);
    blocks_send();
    net_run(&net, 500 * MS);
    assert_int_equal(fab_peer_query(fab(2), 1, &info), SF_OK);
    assert_int_equal(info.blocks_read, BLOCKS);
    assert_int_equal(seen.next[0] + seen.next[1], 0);
    blocks_expect();
}

/* The holder gives it up half way: what it took is its own, the rest goes with the block. */
static void it_is_closed_on_the_way(void **state)
{
    (void)state;
    begin();
    fab_ep_stream(exp_ep);
    blocks_send();
    for (uint32_t i = 0; i < 200 && seen.next[0] == 0; i++) {
        net_run(&net, MS / 20);
    }
    assert_true(seen.next[0] > 0 && seen.next[1] < BYTES);
    fab_ep_close(exp_ep, SF_CAUSE_OF(CLOSED_BY_PEER));
    memset(&seen, 0, sizeof(seen));
    net_run(&net, 500 * MS);
    assert_int_equal(seen.next[0] + seen.next[1], 0);
    assert_int_equal(net_block_count(&net, 2), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NET_TEST(each_byte_is_shown_once_whatever_is_lost),
        NET_TEST(nothing_is_shown_that_nobody_asked_for),
        cmocka_unit_test_setup_teardown(what_is_read_is_not_shown, setup_reads, teardown_reads),
        NET_TEST(it_is_closed_on_the_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
