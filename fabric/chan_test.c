/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels with both ends on one node: each promise of fabric.h, one test. Every test ends with
 * an empty heap and a clean audit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fabric/fabric.h"
#include "test_contracts.h"

static const uint64_t alice = XH_OWNER(XH_OWNER_SIP, 1);
static const uint64_t bob = XH_OWNER(XH_OWNER_SIP, 2);

struct world {
    struct xh_heap *heap;
    struct fab_node *node;
    uint32_t ready_count;
    const struct fab_ep *ready_last;
    uint32_t opened_count;
    uint64_t opened_owner;
    struct fab_ep *opened_last;
};

static void on_ready(void *arg, struct fab_ep *ep)
{
    struct world *world = arg;

    world->ready_count++;
    world->ready_last = ep;
}

static void on_opened(void *arg, uint64_t export_owner, const char *export_name, struct fab_ep *exp)
{
    struct world *world = arg;

    assert_string_equal(export_name, "bob.work");
    world->opened_count++;
    world->opened_owner = export_owner;
    world->opened_last = exp;
}

static int world_make(void **state)
{
    static struct world world;
    struct xh_options heap_options = {.range_bytes = 4u << 20};
    struct fab_options options = {
        .node_id = 7,
        .epoch = 3,
        .events = {.ready = on_ready, .opened = on_opened},
        .events_arg = &world,
        .endpoint_count_max = 16,
    };

    world = (struct world){0};
    assert_int_equal(xh_heap_create(&heap_options, &world.heap), SF_OK);
    options.heap = world.heap;
    assert_int_equal(fab_node_create(&options, &world.node), SF_OK);
    *state = &world;
    return 0;
}

static void count_ep(void *arg, const struct fab_ep *ep)
{
    (void)ep;
    ++*(uint32_t *)arg;
}

static uint32_t ep_count(const struct world *world)
{
    uint32_t count = 0;

    fab_ep_walk(world->node, count_ep, &count);
    return count;
}

static uint64_t block_count(const struct world *world)
{
    struct xh_stats stats;

    xh_query(world->heap, &stats);
    return stats.block_count;
}

static int world_end(void **state)
{
    struct world *world = *state;
    const char *text = NULL;

    assert_int_equal(fab_audit(world->node, &text), SF_OK);
    assert_int_equal(xh_audit(world->heap, &text), SF_OK);
    fab_node_destroy(world->node);
    assert_int_equal(block_count(world), 0);
    xh_heap_destroy(world->heap);
    return 0;
}

static struct xh_block *block_of(struct world *world, uint64_t owner, const char *text)
{
    struct xh_block *block = NULL;

    assert_int_equal(xh_alloc(world->heap, (uint32_t)strlen(text), owner, &block), SF_OK);
    memcpy(block->data, text, strlen(text));
    return block;
}

static void work_make(struct world *world, struct fab_ep **imp, struct fab_ep **exp)
{
    assert_int_equal(fab_chan_create(world->node, test_work(), WORK_START, imp, exp), SF_OK);
}

static struct fab_msg ask_of(uint64_t number)
{
    struct fab_msg msg = {.tag = WORK_ASK, .arg_count = 4};

    msg.args[0].scalar = number;
    msg.args[1].scalar = 7;
    msg.args[2].scalar = (uint64_t)-5;
    msg.args[3].scalar = 1;
    return msg;
}

static struct fab_msg answer_of(uint64_t number)
{
    struct fab_msg msg = {.tag = WORK_ANSWER, .arg_count = 1};

    msg.args[0].scalar = number;
    return msg;
}

static struct fab_msg burst_of(uint64_t number)
{
    struct fab_msg msg = {.tag = WORK_BURST, .arg_count = 1};

    msg.args[0].scalar = number;
    return msg;
}

/* --- messages ------------------------------------------------------------------------------- */

static void a_message_arrives_as_sent_and_both_states_move(void **state)
{
    struct world *world = *state;
    struct fab_msg msg = ask_of(42);
    struct fab_ep *imp;
    struct fab_ep *exp;

    work_make(world, &imp, &exp);
    assert_false(fab_ep_readable(exp));
    assert_int_equal(fab_ep_recv(exp, &msg, bob), SF_AGAIN);
    msg = ask_of(42);
    assert_int_equal(fab_ep_send(imp, &msg, alice), SF_OK);
    assert_int_equal(world->ready_count, 1);
    assert_ptr_equal(world->ready_last, exp);
    assert_int_equal(fab_ep_state(imp), WORK_ASKED);
    assert_int_equal(fab_ep_state(exp), WORK_START);
    assert_true(fab_ep_readable(exp));
    memset(&msg, 0xee, sizeof(msg));
    assert_int_equal(fab_ep_recv(exp, &msg, bob), SF_OK);
    assert_int_equal(msg.tag, WORK_ASK);
    assert_int_equal(msg.arg_count, 4);
    assert_int_equal(msg.args[0].scalar, 42);
    assert_int_equal(msg.args[1].scalar, 7);
    assert_int_equal(msg.args[2].scalar, (uint64_t)-5);
    assert_int_equal(fab_ep_state(exp), WORK_ASKED);
    msg = answer_of(43);
    assert_int_equal(fab_ep_send(exp, &msg, bob), SF_OK);
    assert_int_equal(fab_ep_recv(imp, &msg, alice), SF_OK);
    assert_int_equal(msg.args[0].scalar, 43);
    assert_int_equal(fab_ep_state(imp), WORK_START);
}

static void what_the_contract_does_not_allow_is_not_sent(void **state)
{
    struct world *world = *state;
    struct fab_msg msg = answer_of(1);
    struct fab_ep *imp;
    struct fab_ep *exp;

    work_make(world, &imp, &exp);
    assert_int_equal(fab_ep_send(imp, &msg, alice), SF_CONTRACT); /* not the importer's */
    assert_int_equal(fab_ep_send(exp, &msg, bob), SF_CONTRACT);   /* not the exporter's turn */
    msg.tag = 200;
    assert_int_equal(fab_ep_send(imp, &msg, alice), SF_CONTRACT); /* no such message */
    msg = ask_of(1);
    msg.arg_count = 3;
    assert_int_equal(fab_ep_send(imp, &msg, alice), SF_CONTRACT); /* an argument is missing */
    msg = ask_of(1);
    msg.args[1].scalar = 1ull << 32;
    assert_int_equal(fab_ep_send(imp, &msg, alice), SF_CONTRACT); /* too large for a uint32 */
    msg = ask_of(1);
    msg.args[2].scalar = 128;
    assert_int_equal(fab_ep_send(imp, &msg, alice), SF_CONTRACT); /* too large for an int8 */
    msg = ask_of(1);
    msg.args[3].scalar = 2;
    assert_int_equal(fab_ep_send(imp, &msg, alice), SF_CONTRACT); /* no bool */
    assert_false(fab_ep_readable(exp));
    assert_int_equal(fab_ep_state(imp), WORK_START);
    assert_int_equal(world->ready_count, 0);
}

static void a_run_of_messages_keeps_its_order_and_wraps(void **state)
{
    struct world *world = *state;
    struct fab_msg msg;
    struct fab_ep *imp;
    struct fab_ep *exp;

    work_make(world, &imp, &exp);
    for (uint64_t round = 0; round < 5; round++) {
        for (uint64_t i = 0; i < 3; i++) {
            msg = burst_of(round * 10 + i);
            assert_int_equal(fab_ep_send(imp, &msg, alice), SF_OK);
        }
        assert_int_equal(fab_ep_send(imp, &msg, alice), SF_CONTRACT);
        for (uint64_t i = 0; i < 3; i++) {
            assert_int_equal(fab_ep_recv(exp, &msg, bob), SF_OK);
            assert_int_equal(msg.args[0].scalar, round * 10 + i);
        }
        msg = answer_of(0);
        assert_int_equal(fab_ep_send(exp, &msg, bob), SF_OK);
        assert_int_equal(fab_ep_recv(imp, &msg, alice), SF_OK);
    }
}

/* --- blocks --------------------------------------------------------------------------------- */

static void a_block_changes_owner_and_the_sender_has_lost_it(void **state)
{
    struct world *world = *state;
    struct xh_block *block = block_of(world, alice, "hello");
    struct fab_msg msg = {.tag = WORK_BYTES, .arg_count = 2};
    struct fab_ep *imp;
    struct fab_ep *exp;

    work_make(world, &imp, &exp);
    assert_int_equal(fab_ep_send(imp, &msg, alice), SF_CONTRACT); /* the first is not optional */
    msg.args[0].block = block;
    assert_int_equal(fab_ep_send(imp, &msg, bob), SF_NOTOWNER);
    msg.args[1].block = block;
    assert_int_equal(fab_ep_send(imp, &msg, alice), SF_CONTRACT); /* 5 bytes are no uint32[] */
    assert_int_equal(xh_trim(world->heap, block, 4), SF_OK);
    assert_int_equal(fab_ep_send(imp, &msg, alice), SF_NOTOWNER); /* given twice */
    assert_int_equal(block->owner, alice);
    msg.args[1].block = NULL;
    assert_int_equal(fab_ep_send(imp, &msg, alice), SF_OK);
    assert_int_not_equal(block->owner, alice);
    assert_int_equal(xh_free(world->heap, block, alice), SF_NOTOWNER);
    assert_int_equal(fab_ep_recv(exp, &msg, bob), SF_OK);
    assert_ptr_equal(msg.args[0].block, block);
    assert_null(msg.args[1].block);
    assert_int_equal(block->owner, bob);
    assert_memory_equal(block->data, "hell", 4);
    fab_msg_drop(world->node, test_work(), &msg, bob, SF_CAUSE_OF(SHUTDOWN));
    assert_int_equal(block_count(world), 0);
}

/* --- closing -------------------------------------------------------------------------------- */

static void closure_is_seen_after_the_messages_before_it(void **state)
{
    struct world *world = *state;
    struct sf_cause cause = {.kind = SF_CAUSE_PEER_FAULTED, .fault = SF_FAULT_UNREACHABLE};
    struct fab_msg msg = ask_of(9);
    struct fab_ep *imp;
    struct fab_ep *exp;

    work_make(world, &imp, &exp);
    assert_int_equal(fab_ep_send(imp, &msg, alice), SF_OK);
    fab_ep_close(imp, cause);
    assert_int_equal(ep_count(world), 1);
    assert_ptr_equal(world->ready_last, exp);
    assert_int_equal(fab_ep_recv(exp, &msg, bob), SF_OK);
    assert_int_equal(fab_ep_recv(exp, &msg, bob), SF_CLOSED);
    assert_int_equal(fab_ep_cause(exp).kind, SF_CAUSE_PEER_FAULTED);
    assert_int_equal(fab_ep_cause(exp).fault, SF_FAULT_UNREACHABLE);
    fab_ep_close(exp, SF_CAUSE_OF(CLOSED_BY_PEER));
    assert_int_equal(ep_count(world), 0);
}

static void a_send_to_a_closed_channel_is_ok_and_frees_what_it_carried(void **state)
{
    struct world *world = *state;
    struct fab_msg msg = {.tag = WORK_BYTES, .arg_count = 2};
    struct fab_ep *imp;
    struct fab_ep *exp;

    work_make(world, &imp, &exp);
    fab_ep_close(exp, SF_CAUSE_OF(PEER_EXITED));
    msg.args[0].block = block_of(world, alice, "late");
    assert_int_equal(fab_ep_send(imp, &msg, alice), SF_OK);
    assert_int_equal(block_count(world), 0);
    assert_int_equal(fab_ep_state(imp), WORK_ASKED);
    assert_int_equal(fab_ep_recv(imp, &msg, alice), SF_CLOSED);
    assert_int_equal(fab_ep_cause(imp).kind, SF_CAUSE_PEER_EXITED);
}

static void closing_frees_messages_nobody_received(void **state)
{
    struct world *world = *state;
    struct fab_msg msg = {.tag = WORK_BYTES, .arg_count = 2};
    struct fab_ep *imp;
    struct fab_ep *exp;

    work_make(world, &imp, &exp);
    msg.args[0].block = block_of(world, alice, "one");
    msg.args[1].block = block_of(world, alice, "four");
    assert_int_equal(fab_ep_send(imp, &msg, alice), SF_OK);
    assert_int_equal(block_count(world), 2);
    fab_ep_close(exp, SF_CAUSE_OF(PEER_EXITED));
    assert_int_equal(block_count(world), 0);
}

/* --- endpoints in messages ------------------------------------------------------------------ */

static struct fab_msg take_imp_of(struct fab_ep *ep)
{
    struct fab_msg msg = {.tag = CARRY_TAKE_IMP, .arg_count = 2};

    msg.args[1].ep = ep;
    return msg;
}

static void an_endpoint_travels_and_works_at_its_new_holder(void **state)
{
    struct world *world = *state;
    struct fab_ep *left;
    struct fab_ep *right;
    struct fab_ep *imp;
    struct fab_ep *exp;
    struct fab_msg msg;

    assert_int_equal(fab_chan_create(world->node, test_carry(), 0, &left, &right), SF_OK);
    work_make(world, &imp, &exp);
    fab_ep_hold(imp, world);
    msg = take_imp_of(imp);
    assert_int_equal(fab_ep_send(left, &msg, alice), SF_OK);
    assert_null(fab_ep_holder(imp));
    assert_int_equal(fab_ep_recv(right, &msg, bob), SF_OK);
    assert_ptr_equal(msg.args[1].ep, imp);
    msg = ask_of(5);
    assert_int_equal(fab_ep_send(imp, &msg, bob), SF_OK);
    assert_int_equal(fab_ep_recv(exp, &msg, alice), SF_OK);
}

static void an_endpoint_travels_only_as_declared(void **state)
{
    struct world *world = *state;
    struct fab_ep *left;
    struct fab_ep *right;
    struct fab_ep *imp;
    struct fab_ep *exp;
    struct fab_msg msg;
    struct fab_msg ask = ask_of(5);

    assert_int_equal(fab_chan_create(world->node, test_carry(), 0, &left, &right), SF_OK);
    work_make(world, &imp, &exp);
    msg = take_imp_of(NULL);
    assert_int_equal(fab_ep_send(left, &msg, alice), SF_CONTRACT); /* not optional */
    msg = take_imp_of(exp);
    assert_int_equal(fab_ep_send(left, &msg, alice), SF_CONTRACT); /* wrong side */
    msg = take_imp_of(left);
    assert_int_equal(fab_ep_send(left, &msg, alice), SF_CONTRACT); /* itself */
    msg = take_imp_of(right);
    assert_int_equal(fab_ep_send(left, &msg, alice), SF_CONTRACT); /* another contract */
    assert_int_equal(fab_ep_send(imp, &ask, alice), SF_OK);
    msg = take_imp_of(imp);
    assert_int_equal(fab_ep_send(left, &msg, alice), SF_CONTRACT); /* wrong state */
    msg.tag = CARRY_TAKE_EXP;
    msg.args[1].ep = exp;
    assert_int_equal(fab_ep_send(left, &msg, alice), SF_CONTRACT); /* it has not received yet */
    assert_int_equal(fab_ep_recv(exp, &ask, bob), SF_OK);
    assert_int_equal(fab_ep_send(left, &msg, alice), SF_OK);
}

static void an_endpoint_in_a_dropped_message_closes_with_the_cause(void **state)
{
    struct world *world = *state;
    struct fab_ep *left;
    struct fab_ep *right;
    struct fab_ep *imp;
    struct fab_ep *exp;
    struct fab_msg msg;

    assert_int_equal(fab_chan_create(world->node, test_carry(), 0, &left, &right), SF_OK);
    work_make(world, &imp, &exp);
    msg = take_imp_of(imp);
    assert_int_equal(fab_ep_send(left, &msg, alice), SF_OK);
    fab_ep_close(right, SF_CAUSE_OF(REVOKED)); /* never received */
    assert_int_equal(fab_ep_recv(exp, &msg, bob), SF_CLOSED);
    assert_int_equal(fab_ep_cause(exp).kind, SF_CAUSE_REVOKED);
    fab_ep_close(exp, SF_CAUSE_OF(CLOSED_BY_PEER));

    work_make(world, &imp, &exp);
    fab_msg_drop(world->node, test_carry(),
                 &(struct fab_msg){CARRY_TAKE_IMP, 2, {{0}, {.ep = imp}}}, alice,
                 SF_CAUSE_OF(QUOTA));
    assert_int_equal(fab_ep_cause(exp).kind, SF_CAUSE_QUOTA);
}

/* --- exports and limits --------------------------------------------------------------------- */

static void an_export_is_opened_by_name_and_contract(void **state)
{
    struct world *world = *state;
    struct fab_ep *imp;
    struct fab_msg msg = ask_of(3);

    assert_int_equal(fab_export_add(world->node, "bob.work", test_work(), bob), SF_OK);
    assert_int_equal(fab_export_add(world->node, "bob.work", test_work(), bob), SF_EXISTS);
    assert_int_equal(fab_open(world->node, 7, "bob.work", test_work(), &imp), SF_OK);
    assert_int_equal(world->opened_count, 1);
    assert_int_equal(world->opened_owner, bob);
    assert_int_equal(fab_ep_send(imp, &msg, alice), SF_OK);
    assert_int_equal(fab_ep_recv(world->opened_last, &msg, bob), SF_OK);

    assert_int_equal(fab_open(world->node, 7, "bob.work", test_carry(), &imp), SF_OK);
    assert_int_equal(fab_ep_cause(imp).kind, SF_CAUSE_NO_EXPORTER);
    assert_int_equal(fab_open(world->node, 7, "bob.play", test_work(), &imp), SF_OK);
    assert_int_equal(fab_ep_cause(imp).kind, SF_CAUSE_NO_EXPORTER);
    fab_export_remove(world->node, "bob.work", alice); /* not hers */
    fab_export_remove(world->node, "bob.play", bob);   /* not there */
    assert_int_equal(fab_export_add(world->node, "bob.work", test_work(), bob), SF_EXISTS);
    for (uint32_t i = 0; i < 20000; i++) { /* many share a bucket */
        char name[32];

        (void)snprintf(name, sizeof(name), "many%u.work", i);
        assert_int_equal(fab_export_add(world->node, name, test_work(), alice), SF_OK);
    }
    for (uint32_t i = 0; i < 20000; i += 2) {
        char name[32];

        (void)snprintf(name, sizeof(name), "many%u.work", i);
        fab_export_remove(world->node, name, alice);
        assert_int_equal(fab_export_add(world->node, name, test_work(), bob), SF_OK);
    }
    fab_export_remove(world->node, "bob.work", bob);
    assert_int_equal(fab_open(world->node, 7, "bob.work", test_work(), &imp), SF_OK);
    assert_int_equal(fab_ep_cause(imp).kind, SF_CAUSE_NO_EXPORTER);
    assert_int_equal(world->opened_count, 1);
    assert_int_equal(fab_open(world->node, 8, "bob.work", test_work(), &imp), SF_NOTFOUND);
    assert_int_equal(fab_open(world->node, 7, "", test_work(), &imp), SF_BADARG);
}

static void records_run_out_with_limit_and_come_back(void **state)
{
    struct world *world = *state;
    struct fab_ep *imp[9];
    struct fab_ep *exp[9];

    for (uint32_t i = 0; i < 8; i++) {
        work_make(world, &imp[i], &exp[i]);
    }
    assert_int_equal(fab_chan_create(world->node, test_work(), 0, &imp[8], &exp[8]), SF_LIMIT);
    fab_ep_close(imp[3], SF_CAUSE_OF(CLOSED_BY_PEER));
    assert_int_equal(fab_chan_create(world->node, test_work(), 0, &imp[8], &exp[8]), SF_LIMIT);
    fab_ep_close(exp[3], SF_CAUSE_OF(CLOSED_BY_PEER));
    work_make(world, &imp[8], &exp[8]);
    assert_int_equal(fab_chan_create(world->node, test_work(), WORK_STATES, &imp[3], &exp[3]),
                     SF_BADARG);
}

static void a_contract_the_fabric_cannot_rely_on_is_refused(void **state)
{
    struct world *world = *state;
    static struct ct_contract twisted; /* must outlive the node */
    static struct ct_state states[WORK_STATES];
    struct fab_ep *imp;
    struct fab_ep *exp;

    twisted = *test_work();
    twisted.short_id = 99;
    memset(twisted.id, 0x99, sizeof(twisted.id));
    memcpy(states, twisted.states, sizeof(states));
    states[WORK_ASKED].sender = CT_IMP; /* but the exporter has moves there */
    twisted.states = states;
    assert_int_equal(fab_chan_create(world->node, &twisted, 0, &imp, &exp), SF_BADARG);
    twisted.states = test_work()->states;
    twisted.slots[CT_EXP] = CT_QUEUE_SLOTS_MAX + 1;
    assert_int_equal(fab_contract_add(world->node, &twisted), SF_BADARG);
    twisted.slots[CT_EXP] = 1; /* too few: the third in a row finds no slot, and is refused */
    assert_int_equal(fab_contract_add(world->node, &twisted), SF_OK);
    assert_int_equal(fab_contract_add(world->node, &twisted), SF_OK);
    assert_int_equal(fab_chan_create(world->node, &twisted, 0, &imp, &exp), SF_OK);
    assert_int_equal(fab_ep_send(imp, &(struct fab_msg){WORK_BURST, 1, {{1}}}, alice), SF_OK);
    assert_int_equal(fab_ep_send(imp, &(struct fab_msg){WORK_BURST, 1, {{2}}}, alice), SF_CONTRACT);
    assert_ptr_equal(fab_contract_find(world->node, 99), &twisted);
    assert_null(fab_contract_find(world->node, 98));
}

#define LOCAL_TEST(f) cmocka_unit_test_setup_teardown(f, world_make, world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOCAL_TEST(a_message_arrives_as_sent_and_both_states_move),
        LOCAL_TEST(what_the_contract_does_not_allow_is_not_sent),
        LOCAL_TEST(a_run_of_messages_keeps_its_order_and_wraps),
        LOCAL_TEST(a_block_changes_owner_and_the_sender_has_lost_it),
        LOCAL_TEST(closure_is_seen_after_the_messages_before_it),
        LOCAL_TEST(a_send_to_a_closed_channel_is_ok_and_frees_what_it_carried),
        LOCAL_TEST(closing_frees_messages_nobody_received),
        LOCAL_TEST(an_endpoint_travels_and_works_at_its_new_holder),
        LOCAL_TEST(an_endpoint_travels_only_as_declared),
        LOCAL_TEST(an_endpoint_in_a_dropped_message_closes_with_the_cause),
        LOCAL_TEST(an_export_is_opened_by_name_and_contract),
        LOCAL_TEST(records_run_out_with_limit_and_come_back),
        LOCAL_TEST(a_contract_the_fabric_cannot_rely_on_is_refused),
    };

    return cmocka_run_group_tests_name("chan", tests, NULL, NULL);
}
