/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks that the receiver reads where they are, over a net whose reads take time, fail and are
 * revoked (test_net.h). That they arrive whole under every other fault, sim_test shows.
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
#define OWNER 1u
#define BLOCK_BYTES 300000u

static int setup_reads_sealed(void **state)
{
    net_read_bytes_min = READ_BYTES_MIN;
    return setup_sealed(state);
}

static struct fab_ep *channel_open(struct fab_ep **out_exp)
{
    struct fab_ep *imp;

    net.nodes[2].opened_last = NULL;
    assert_int_equal(fab_open(fab(1), 2, "work", test_work(), &imp), SF_OK);
    net_run(&net, 50 * MS);
    *out_exp = net.nodes[2].opened_last;
    assert_non_null(*out_exp);
    return imp;
}

static struct xh_block *block_make(uint32_t bytes, uint8_t fill)
{
    struct xh_block *block;

    assert_int_equal(xh_alloc(net.nodes[1].heap, bytes, OWNER, &block), SF_OK);
    memset(block->data, fill, bytes);
    return block;
}

static void blocks_send(struct fab_ep *imp, uint32_t bytes, uint32_t more_bytes)
{
    struct fab_msg msg = {.tag = WORK_BYTES, .arg_count = 2};

    msg.args[0].block = block_make(bytes, 0x77);
    msg.args[1].block = more_bytes == 0 ? NULL : block_make(more_bytes, 0x55);
    assert_int_equal(fab_ep_send(imp, &msg, OWNER), SF_OK);
}

static void block_expect(struct xh_block *block, uint32_t bytes, uint8_t fill)
{
    assert_int_equal(block->bytes, bytes);
    for (uint32_t i = 0; i < bytes; i++) {
        assert_int_equal(block->data[i], fill);
    }
    assert_int_equal(xh_free(net.nodes[2].heap, block, OWNER), SF_OK);
}

static void blocks_expect(struct fab_ep *exp, uint32_t bytes, uint32_t more_bytes)
{
    struct fab_msg msg;

    assert_int_equal(fab_ep_recv(exp, &msg, OWNER), SF_OK);
    block_expect(msg.args[0].block, bytes, 0x77);
    if (more_bytes != 0) {
        block_expect(msg.args[1].block, more_bytes, 0x55);
    }
}

static struct fab_peer_info info_of(uint16_t id)
{
    struct fab_peer_info info;

    assert_int_equal(fab_peer_query(fab(id), (uint16_t)(3 - id), &info), SF_OK);
    return info;
}

static void a_block_is_read_and_passes_when_it_is_taken(void **state)
{
    struct fab_ep *exp;
    struct fab_ep *imp = channel_open(&exp);
    uint64_t bytes_sent = info_of(1).bytes_sent;

    (void)state;
    net.read_ns = 1;
    blocks_send(imp, BLOCK_BYTES, 0);
    net.cut[2][1] = true; /* the answer is not heard yet */
    net_run(&net, 5 * MS);
    assert_int_equal(info_of(2).blocks_read, 1);
    assert_int_equal(net_block_count(&net, 1), 1); /* still ours */
    assert_false(info_of(1).drained);
    net.cut[2][1] = false;
    net_run(&net, 100 * MS);
    assert_int_equal(net_block_count(&net, 1), 0);
    assert_true(info_of(1).drained);
    assert_int_equal(info_of(1).blocks_taken, 1);
    assert_true(info_of(1).bytes_sent - bytes_sent < 4096);
    blocks_expect(exp, BLOCK_BYTES, 0);
}

static void small_blocks_go_in_frames(void **state)
{
    struct fab_ep *exp;
    struct fab_ep *imp = channel_open(&exp);

    (void)state;
    blocks_send(imp, READ_BYTES_MIN - 4, READ_BYTES_MIN);
    net_run(&net, 100 * MS);
    assert_int_equal(info_of(2).blocks_read, 1);
    blocks_expect(exp, READ_BYTES_MIN - 4, READ_BYTES_MIN);
}

static void what_cannot_be_read_goes_in_frames(void **state)
{
    struct fab_ep *exp;
    struct fab_ep *imp = channel_open(&exp);
    struct fab_ep *exp2;
    struct fab_ep *imp2 = channel_open(&exp2);

    (void)state;
    net.read_fail_percent = 100;
    blocks_send(imp, BLOCK_BYTES, 40000);
    net_run(&net, 100 * MS);
    assert_int_equal(info_of(1).blocks_unread, 2);
    assert_int_equal(info_of(2).blocks_read, 0);
    blocks_expect(exp, BLOCK_BYTES, 40000);
    net.no_reads = true;
    blocks_send(imp2, BLOCK_BYTES, 0);
    net_run(&net, 100 * MS);
    assert_int_equal(info_of(1).blocks_unread, 3);
    blocks_expect(exp2, BLOCK_BYTES, 0);
}

/* Whatever else is said on other channels goes on. */
static void other_channels_do_not_wait_for_a_read(void **state)
{
    struct fab_msg burst = {.tag = WORK_BURST, .arg_count = 1, .args = {{.scalar = 5}}};
    struct fab_ep *exp[2];
    struct fab_ep *imp[2] = {channel_open(&exp[0]), channel_open(&exp[1])};
    struct fab_msg msg;

    (void)state;
    net.read_ns = 400 * MS;
    blocks_send(imp[0], BLOCK_BYTES, 0);
    net_run(&net, MS);
    assert_int_equal(fab_ep_send(imp[1], &burst, OWNER), SF_OK);
    net_run(&net, 2 * MS);
    assert_int_equal(fab_ep_recv(exp[1], &msg, OWNER), SF_OK);
    assert_int_equal(fab_ep_recv(exp[0], &msg, OWNER), SF_AGAIN);
    net_run(&net, 500 * MS);
    blocks_expect(exp[0], BLOCK_BYTES, 0);
}

/* At any time of a read, either end may be given up, or either session end. */
static void a_read_is_stopped_at_any_time(void **state)
{
    (void)state;
    for (uint32_t at = 0; at < 20; at++) {
        for (uint32_t how = 0; how < 4; how++) {
            struct fab_ep *exp;
            struct fab_ep *imp = channel_open(&exp);

            net.read_ns = 2 * MS;
            blocks_send(imp, BLOCK_BYTES, 50000);
            net_run(&net, at * MS / 5);
            if (how == 0) {
                fab_ep_close(exp, SF_CAUSE_OF(SHUTDOWN));
            } else if (how == 1) {
                fab_ep_close(imp, SF_CAUSE_OF(SHUTDOWN));
            } else {
                fab_peer_remove(fab((uint16_t)(how - 1)), (uint16_t)(4 - how),
                                SF_CAUSE_OF(LINK_LOST));
            }
            for (uint32_t i = 0; i < 20; i++) {
                net_audit(&net);
                net_run(&net, MS / 10);
            }
            net_introduce(&net, 1, 2);
            net_run(&net, 600 * MS);
            if (how != 0) {
                fab_ep_close(exp, SF_CAUSE_OF(SHUTDOWN));
            }
            if (how != 1) {
                fab_ep_close(imp, SF_CAUSE_OF(SHUTDOWN));
            }
            net_run(&net, 600 * MS);
            assert_int_equal(net_block_count(&net, 1), 0);
            assert_int_equal(net_block_count(&net, 2), 0);
        }
    }
    assert_true(net.revoked > 0);
}

/* The receiver's block is there until the device will not write into it any more. */
static void a_dropped_block_stays_until_its_read_is_over(void **state)
{
    struct fab_ep *exp;
    struct fab_ep *imp = channel_open(&exp);

    (void)state;
    net.read_ns = 1000 * MS;
    blocks_send(imp, BLOCK_BYTES, 0);
    net_run(&net, 5 * MS);
    assert_int_equal(net.read_count, 1);
    net.reads[0].due_ns = net.now_ns + 300 * MS;
    fab_ep_close(exp, SF_CAUSE_OF(SHUTDOWN));
    net_run(&net, 200 * MS);
    assert_int_equal(net_block_count(&net, 1), 0);
    assert_int_equal(net_block_count(&net, 2), 1);
    net_audit(&net);
    net_run(&net, 200 * MS);
    assert_int_equal(net_block_count(&net, 2), 0);
    fab_ep_close(imp, SF_CAUSE_OF(SHUTDOWN));
}

static void sealed_sessions_do_not_read(void **state)
{
    struct fab_ep *exp;
    struct fab_ep *imp = channel_open(&exp);

    (void)state;
    blocks_send(imp, BLOCK_BYTES, 0);
    net_run(&net, 200 * MS);
    assert_int_equal(info_of(2).blocks_read, 0);
    assert_int_equal(info_of(1).blocks_unread, 0);
    blocks_expect(exp, BLOCK_BYTES, 0);
}

/* Node 1 says in hello that it cannot, or begins with another limit. */
static void both_must_want_it(void **state)
{
    struct fab_peer peer = net_peer(&net, 2);
    struct fab_ep *exp;
    struct fab_ep *imp;

    (void)state;
    peer.read_bytes_min = 0;
    assert_int_equal(fab_peer_add(fab(1), &peer, net.now_ns), SF_BADARG);
    peer.reads = false;
    assert_int_equal(fab_peer_add(fab(1), &peer, net.now_ns), SF_OK);
    net_run(&net, 300 * MS);
    imp = channel_open(&exp);
    blocks_send(imp, BLOCK_BYTES, 0);
    net_run(&net, 200 * MS);
    assert_int_equal(info_of(2).blocks_read, 0);
    blocks_expect(exp, BLOCK_BYTES, 0);
}

/* --- a peer that lies ----------------------------------------------------------------------- */

/* Node 2 gets a record that node 1 did not send. */
static void record_give(uint8_t type, uint64_t target, uint64_t address, uint32_t bytes)
{
    uint8_t payload[64];
    struct fab__writer writer = {.bytes = payload, .capacity = sizeof(payload)};
    uint32_t begin = fab__record_begin(&writer, (enum fab__record_type)type, 0);

    fab__write_u64(&writer, target);
    if (type == FAB__RECORD_REFER) {
        fab__write_u64(&writer, address);
        fab__write_u32(&writer, bytes);
    } else if (type == FAB__RECORD_DATA) {
        fab__write_u32(&writer, bytes);
    }
    assert_true(fab__record_end(&writer, begin));
    fab__inbox_take(fab(2)->sessions[1], payload, writer.length);
}

static void expect_violated(struct fab_ep *exp)
{
    struct fab_msg msg;

    assert_int_equal(fab_ep_recv(exp, &msg, OWNER), SF_CLOSED);
    assert_int_equal(fab_ep_cause(exp).kind, SF_CAUSE_CONTRACT_VIOLATED);
    net_audit(&net);
    net_run(&net, 300 * MS);
    fab_ep_close(exp, SF_CAUSE_OF(SHUTDOWN));
    net_run(&net, 300 * MS);
    assert_int_equal(net_block_count(&net, 2), 0);
}

static void references_that_make_no_sense_close_the_channel(void **state)
{
    struct fab_ep *exp;
    struct fab_ep *imp;

    (void)state;
    net.read_ns = 100 * MS;
    imp = channel_open(&exp);
    record_give(FAB__RECORD_REFER, exp->id, 0x1234, 5); /* no message waits for it */
    expect_violated(exp);
    fab_ep_close(imp, SF_CAUSE_OF(SHUTDOWN));

    imp = channel_open(&exp);
    blocks_send(imp, BLOCK_BYTES, 0);
    net_run(&net, MS);
    assert_int_equal(net.read_count, 1);
    record_give(FAB__RECORD_REFER, exp->id, 0x1234, BLOCK_BYTES); /* twice */
    expect_violated(exp);
    fab_ep_close(imp, SF_CAUSE_OF(SHUTDOWN));

    imp = channel_open(&exp);
    blocks_send(imp, BLOCK_BYTES, 0);
    net_run(&net, MS);
    record_give(FAB__RECORD_DATA, exp->id, 0, 7); /* bytes, too */
    expect_violated(exp);
    fab_ep_close(imp, SF_CAUSE_OF(SHUTDOWN));
}

static void answers_to_nothing_are_ignored(void **state)
{
    struct fab_ep *exp;
    struct fab_ep *imp = channel_open(&exp);

    (void)state;
    record_give(FAB__RECORD_TAKEN, exp->id, 0, 0);
    record_give(FAB__RECORD_UNREAD, exp->id + 77, 0, 0);
    assert_false(fab(2)->sessions[1]->broken);
    net_audit(&net);
    fab(2)->sessions[1]->refers = false;
    record_give(FAB__RECORD_TAKEN, exp->id, 0, 0);
    assert_true(fab(2)->sessions[1]->broken); /* we never said that it may */
    (void)imp;
}

#define READS_TEST(f) cmocka_unit_test_setup_teardown(f, setup_reads, teardown_reads)

int main(void)
{
    const struct CMUnitTest tests[] = {
        READS_TEST(a_block_is_read_and_passes_when_it_is_taken),
        READS_TEST(small_blocks_go_in_frames),
        READS_TEST(what_cannot_be_read_goes_in_frames),
        READS_TEST(other_channels_do_not_wait_for_a_read),
        READS_TEST(a_read_is_stopped_at_any_time),
        READS_TEST(a_dropped_block_stays_until_its_read_is_over),
        READS_TEST(both_must_want_it),
        READS_TEST(references_that_make_no_sense_close_the_channel),
        READS_TEST(answers_to_nothing_are_ignored),
        cmocka_unit_test_setup_teardown(sealed_sessions_do_not_read, setup_reads_sealed,
                                        teardown_reads),
    };

    return cmocka_run_group_tests_name("reads", tests, NULL, NULL);
}
