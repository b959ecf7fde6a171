/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks that are sent from memory of whoever lends it (xh_lend): it is read whenever a frame is
 * made, the first time or again, and never after xh_lend_end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "test_net.h"

#define NODES 2u
#include "test_case.h"

#define MS 1000000ull
#define OWNER 1u
#define BYTES (256u << 10)

static struct fab_ep *imp, *exp_ep;
static uint8_t *memory;

static void begin(void)
{
    assert_int_equal(fab_open(fab(1), 2, "work", test_work(), &imp), SF_OK);
    net_run(&net, 50 * MS);
    exp_ep = net.nodes[2].opened_last;
    assert_non_null(exp_ep);
    memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    for (uint32_t i = 0; i < BYTES; i++) {
        memory[i] = (uint8_t)(i * 7 + i / 4096);
    }
}

/* The block's own memory is not what is sent. */
static struct xh_block *lent_make(void)
{
    struct xh_block *block;

    assert_int_equal(xh_alloc(net.nodes[1].heap, BYTES, OWNER, &block), SF_OK);
    memset(block->data, 0xee, BYTES);
    xh_lend(net.nodes[1].heap, block, memory);
    return block;
}

static void lent_send(void)
{
    struct fab_msg msg = {.tag = WORK_BYTES, .arg_count = 2, .args = {{.block = lent_make()}}};

    assert_int_equal(fab_ep_send(imp, &msg, OWNER), SF_OK);
}

/* Each byte is as it was, or, if some were changed on the way, one of the two. */
static uint32_t bytes_expect(bool changed)
{
    struct fab_msg msg;
    uint32_t other = 0;

    assert_int_equal(fab_ep_recv(exp_ep, &msg, OWNER), SF_OK);
    assert_int_equal(msg.args[0].block->bytes, BYTES);
    for (uint32_t i = 0; i < BYTES; i++) {
        const uint8_t byte = (uint8_t)(i * 7 + i / 4096), got = msg.args[0].block->data[i];

        other += got != byte;
        assert_true(got == byte || (changed && (got ^ byte) == 0xff));
    }
    assert_int_equal(xh_free(net.nodes[2].heap, msg.args[0].block, OWNER), SF_OK);
    return other;
}

static void end(void)
{
    assert_int_equal(net_block_count(&net, 1), 0);
    (void)munmap(memory, BYTES);
}

static void lent_bytes_arrive_whatever_is_lost(void **state)
{
    (void)state;
    begin();
    net.loss_percent = 10;
    net.duplicate_percent = 10;
    net.reorder_percent = 10;
    lent_send();
    net_run(&net, 3000 * MS);
    net.loss_percent = 0;
    net_run(&net, 500 * MS);
    (void)bytes_expect(false);
    end();
}

static void they_are_as_they_are_when_they_go(void **state)
{
    uint32_t other;

    (void)state;
    begin();
    lent_send();
    net_run(&net, MS / 4);
    for (uint32_t i = 0; i < BYTES; i++) {
        memory[i] ^= 0xff;
    }
    net_run(&net, 500 * MS);
    other = bytes_expect(true);
    assert_true(other > 0); /* it had not all gone */
    end();
}

/* At whatever point the memory goes, and whether all was acknowledged or not. */
static void the_memory_goes_on_the_way(void **state)
{
    uint32_t ended = 0;

    (void)state;
    for (uint32_t step = 0; step < 40; step++) {
        uint32_t count;

        begin();
        net.loss_percent = 5;
        lent_send();
        net_run(&net, step * step * (MS / 20));
        count = xh_lend_end(net.nodes[1].heap, memory, memory + BYTES);
        assert_true(count <= 1);
        ended += count;
        assert_int_equal(mprotect(memory, BYTES, PROT_NONE), 0);
        net_run(&net, 3000 * MS);
        net.loss_percent = 0;
        net_run(&net, 500 * MS);
        (void)bytes_expect(false);
        end();
        fab_ep_close(imp, SF_CAUSE_OF(CLOSED_BY_PEER));
        net_run(&net, 10 * MS);
        fab_ep_close(exp_ep, SF_CAUSE_OF(CLOSED_BY_PEER));
        net_run(&net, 10 * MS);
    }
    assert_true(ended > 0 && ended < 40);
}

static void only_what_lies_there_is_ended(void **state)
{
    struct xh_heap *heap = net.nodes[1].heap;
    struct xh_block *block;

    (void)state;
    begin();
    block = lent_make();
    assert_int_equal(xh_lend_end(heap, memory - 4096, memory), 0);
    assert_int_equal(xh_lend_end(heap, memory + 1, memory + BYTES), 0);
    assert_ptr_equal(xh_bytes(block), memory);
    assert_int_equal(xh_lend_end(heap, memory, memory + 1), 1);
    assert_ptr_equal(xh_bytes(block), block->data);
    assert_memory_equal(block->data, memory, BYTES);
    assert_int_equal(xh_lend_end(heap, memory, memory + BYTES), 0);
    assert_int_equal(xh_free(heap, block, OWNER), SF_OK);
    block = lent_make(); /* freed with it: no other block has it */
    assert_int_equal(xh_free(heap, block, OWNER), SF_OK);
    assert_int_equal(xh_alloc(heap, BYTES, OWNER, &block), SF_OK);
    assert_ptr_equal(xh_bytes(block), block->data);
    assert_int_equal(xh_free(heap, block, OWNER), SF_OK);
    end();
}

/* Its memory is not what the peer may read. */
static void they_go_in_frames_where_others_are_read(void **state)
{
    struct fab_peer_info info;

    (void)state;
    begin();
    lent_send();
    net_run(&net, 500 * MS);
    assert_int_equal(fab_peer_query(fab(2), 1, &info), SF_OK);
    assert_int_equal(info.read_bytes_min, READ_BYTES_MIN);
    assert_int_equal(info.blocks_read, 0);
    (void)bytes_expect(false);
    end();
}

#define LEND_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define LEND_TEST_SEALED(name) cmocka_unit_test_setup_teardown(name, setup_sealed, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LEND_TEST(lent_bytes_arrive_whatever_is_lost),
        LEND_TEST_SEALED(lent_bytes_arrive_whatever_is_lost),
        LEND_TEST(they_are_as_they_are_when_they_go),
        LEND_TEST_SEALED(they_are_as_they_are_when_they_go),
        LEND_TEST(the_memory_goes_on_the_way),
        LEND_TEST_SEALED(the_memory_goes_on_the_way),
        LEND_TEST(only_what_lies_there_is_ended),
        cmocka_unit_test_setup_teardown(they_go_in_frames_where_others_are_read, setup_reads,
                                        teardown_reads),
    };

    return cmocka_run_group_tests_name("lend", tests, NULL, NULL);
}
