/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a SIP that moves takes with it: cargos, and peers that are held meanwhile. Node 1 is the
 * source, 2 the target, 3 and 4 are peers' nodes, unless a test says otherwise.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cargo.h"

#define NODES 5u
#include "test_case.h"

#define OWNER 9u
#define MS 1000000ull
#define ROUNDS 400u

static uint64_t move_number;

/* --- what a test does over and over --------------------------------------------------------- */

static void channel(uint16_t a, uint16_t b, struct fab_ep **imp, struct fab_ep **exp)
{
    assert_int_equal(fab_open(fab(a), b, "work", test_work(), imp), SF_OK);
    net_run(&net, 5 * MS);
    *exp = net.nodes[b].opened_last;
    assert_non_null(*exp);
}

static void burst(struct fab_ep *imp, uint64_t value)
{
    struct fab_msg msg = {.tag = WORK_BURST, .arg_count = 1};

    msg.args[0].scalar = value;
    assert_int_equal(fab_ep_send(imp, &msg, OWNER), SF_OK);
}

static void answer(struct fab_ep *exp, uint64_t value)
{
    struct fab_msg msg = {.tag = WORK_ANSWER, .arg_count = 1};

    msg.args[0].scalar = value;
    assert_int_equal(fab_ep_send(exp, &msg, OWNER), SF_OK);
}

static void take(struct fab_ep *ep, uint8_t tag, uint64_t value)
{
    struct fab_msg msg;

    assert_int_equal(fab_ep_recv(ep, &msg, OWNER), SF_OK);
    assert_int_equal(msg.tag, tag);
    assert_int_equal(msg.args[0].scalar, value);
}

static void send_bytes(struct fab_ep *imp, uint32_t bytes, uint8_t fill)
{
    struct fab_msg msg = {.tag = WORK_BYTES, .arg_count = 2};
    struct xh_heap *heap = net.nodes[fab_node_id(imp->node)].heap;

    assert_int_equal(xh_alloc(heap, bytes, OWNER, &msg.args[0].block), SF_OK);
    memset(msg.args[0].block->data, fill, bytes);
    assert_int_equal(fab_ep_send(imp, &msg, OWNER), SF_OK);
}

static void take_bytes(struct fab_ep *exp, uint32_t bytes, uint8_t fill)
{
    struct xh_heap *heap = net.nodes[fab_node_id(exp->node)].heap;
    struct fab_msg msg;

    assert_int_equal(fab_ep_recv(exp, &msg, OWNER), SF_OK);
    assert_int_equal(msg.tag, WORK_BYTES);
    assert_int_equal(msg.args[0].block->bytes, bytes);
    for (uint32_t i = 0; i < bytes; i++) {
        assert_int_equal(msg.args[0].block->data[i], fill);
    }
    assert_int_equal(xh_free(heap, msg.args[0].block, OWNER), SF_OK);
}

static void expect_closed(const struct fab_ep *ep, uint8_t kind)
{
    struct fab_msg msg;

    assert_int_equal(fab_ep_recv((struct fab_ep *)ep, &msg, OWNER), SF_CLOSED);
    assert_int_equal(fab_ep_cause(ep).kind, kind);
}

static struct fab_cargo *cargo_of(uint16_t from, uint16_t to, struct fab_ep *a, struct fab_ep *b)
{
    struct fab_cargo *cargo;

    assert_int_equal(fab_cargo_begin(fab(from),
                                     fab_move_id(from, net.nodes[from].epoch, ++move_number), to,
                                     &cargo),
                     SF_OK);
    assert_int_equal(fab_cargo_add(cargo, a), SF_OK);
    if (b != NULL) {
        assert_int_equal(fab_cargo_add(cargo, b), SF_OK);
    }
    return cargo;
}

static enum fab_cargo_state settle(struct fab_cargo *cargo)
{
    for (uint32_t i = 0; i < ROUNDS && fab_cargo_check(cargo) == FAB_CARGO_HOLDING; i++) {
        net_run(&net, MS / 2);
    }
    return fab_cargo_check(cargo);
}

/* Made at the target, where it waits. */
static struct fab_cargo *carry(struct fab_cargo *cargo)
{
    uint64_t bytes = fab_cargo_bytes(cargo);
    uint8_t *image = malloc(bytes);
    struct fab_cargo *there;

    assert_non_null(image);
    fab_cargo_write(cargo, image);
    assert_int_equal(fab_cargo_read(fab(cargo->target), cargo->move, image, bytes, &there), SF_OK);
    free(image);
    net_audit(&net);
    return there;
}

static struct fab_cargo *hold_and_carry(struct fab_cargo *cargo)
{
    assert_int_equal(settle(cargo), FAB_CARGO_HELD);
    return carry(cargo);
}

/* Committed. Answers the endpoint at its new place. */
static struct fab_ep *arrive(struct fab_cargo *cargo, struct fab_cargo *there, uint64_t id)
{
    struct fab_ep *ep = fab_cargo_find(there, id);

    fab_cargo_resume(there);
    net_audit(&net);
    fab_cargo_release(cargo);
    net_audit(&net);
    return ep;
}

static struct fab_ep *moved(uint16_t from, uint16_t to, struct fab_ep *ep)
{
    uint64_t id = ep->id;
    struct fab_cargo *cargo = cargo_of(from, to, ep, NULL);
    struct fab_cargo *there = hold_and_carry(cargo);

    return arrive(cargo, there, id);
}

/* Both ways, three messages and an answer. */
static void converse(struct fab_ep *imp, struct fab_ep *exp)
{
    for (uint64_t i = 0; i < 3; i++) {
        burst(imp, i);
    }
    net_run(&net, 10 * MS);
    for (uint64_t i = 0; i < 3; i++) {
        take(exp, WORK_BURST, i);
    }
    answer(exp, 7);
    net_run(&net, 10 * MS);
    take(imp, WORK_ANSWER, 7);
}

static void close_both(struct fab_ep *a, struct fab_ep *b)
{
    fab_ep_close(a, SF_CAUSE_OF(NONE));
    fab_ep_close(b, SF_CAUSE_OF(NONE));
    net_run(&net, 10 * MS);
    for (uint16_t id = 1; id <= NODES; id++) {
        assert_int_equal(net_ep_count(&net, id), 0);
        assert_int_equal(net_block_count(&net, id), 0);
    }
}

/* --- it works ------------------------------------------------------------------------------- */

static void an_exporter_moves_with_what_waits_in_it(void **state)
{
    struct fab_ep *imp, *exp;

    (void)state;
    channel(3, 1, &imp, &exp);
    burst(imp, 1);
    net_run(&net, 5 * MS);
    burst(imp, 2);
    exp = moved(1, 2, exp);
    burst(imp, 3);
    assert_int_equal(net_ep_count(&net, 1), 0);
    net_run(&net, 10 * MS);
    for (uint64_t i = 1; i <= 3; i++) {
        take(exp, WORK_BURST, i);
    }
    answer(exp, 4);
    net_run(&net, 10 * MS);
    take(imp, WORK_ANSWER, 4);
    converse(imp, exp);
    close_both(imp, exp);
}

static void blocks_move_along(void **state)
{
    struct fab_ep *imp, *exp;

    (void)state;
    channel(3, 1, &imp, &exp);
    send_bytes(imp, 50000, 0xa5);
    net_run(&net, 100 * MS);
    exp = moved(1, 2, exp);
    assert_int_equal(net_block_count(&net, 1), 0);
    take_bytes(exp, 50000, 0xa5);
    answer(exp, 1);
    net_run(&net, 10 * MS);
    take(imp, WORK_ANSWER, 1);
    close_both(imp, exp);
}

static void a_block_that_is_half_sent_comes_whole(void **state)
{
    struct fab_ep *imp, *exp;
    struct fab_cargo *cargo;

    (void)state;
    channel(3, 1, &imp, &exp);
    send_bytes(imp, 300000, 0x5a);
    net_run(&net, MS / 2);
    cargo = cargo_of(1, 2, exp, NULL);
    assert_true(imp->sending);
    assert_int_equal(settle(cargo), FAB_CARGO_HELD);
    assert_false(imp->sending);
    exp = arrive(cargo, carry(cargo), exp->id);
    take_bytes(exp, 300000, 0x5a);
    close_both(imp, exp);
}

static void an_importer_moves_after_all_it_had_to_say(void **state)
{
    struct fab_ep *imp, *exp;

    (void)state;
    channel(1, 3, &imp, &exp);
    send_bytes(imp, 100000, 3);
    imp = moved(1, 2, imp);
    take_bytes(exp, 100000, 3);
    answer(exp, 5);
    net_run(&net, 10 * MS);
    take(imp, WORK_ANSWER, 5);
    converse(imp, exp);
    close_both(imp, exp);
}

static void a_channel_that_is_being_opened_moves(void **state)
{
    struct fab_ep *imp;

    (void)state;
    assert_int_equal(fab_open(fab(1), 3, "work", test_work(), &imp), SF_OK);
    burst(imp, 0);
    imp = moved(1, 2, imp);
    net_run(&net, 10 * MS);
    assert_int_equal(net.nodes[3].opened_count, 1);
    take(net.nodes[3].opened_last, WORK_BURST, 0);
    close_both(imp, net.nodes[3].opened_last);
}

static void one_that_is_not_exported_moves_with_the_cause(void **state)
{
    struct fab_ep *imp;

    (void)state;
    assert_int_equal(fab_open(fab(1), 3, "nothing", test_work(), &imp), SF_OK);
    imp = moved(1, 2, imp);
    expect_closed(imp, SF_CAUSE_NO_EXPORTER);
    fab_ep_close(imp, SF_CAUSE_OF(NONE));
}

static void the_peer_is_at_the_source(void **state)
{
    struct fab_ep *imp, *exp;
    struct fab_cargo *cargo;

    (void)state;
    channel(1, 1, &imp, &exp);
    burst(imp, 1);
    cargo = cargo_of(1, 2, exp, NULL);
    assert_int_equal(fab_cargo_check(cargo), FAB_CARGO_HELD); /* at once */
    burst(imp, 2);
    exp = arrive(cargo, carry(cargo), exp->id);
    burst(imp, 3);
    net_run(&net, 10 * MS);
    for (uint64_t i = 1; i <= 3; i++) {
        take(exp, WORK_BURST, i);
    }
    answer(exp, 4);
    net_run(&net, 10 * MS);
    take(imp, WORK_ANSWER, 4);
    converse(imp, exp);
    close_both(imp, exp);
}

static void the_peer_is_at_the_target(void **state)
{
    struct fab_ep *imp, *exp;
    struct fab_cargo *cargo, *there;

    (void)state;
    channel(2, 1, &imp, &exp);
    burst(imp, 1);
    cargo = cargo_of(1, 2, exp, NULL);
    there = hold_and_carry(cargo);
    burst(imp, 2);
    exp = arrive(cargo, there, exp->id);
    assert_ptr_equal(fab_ep_local_peer(exp), imp);
    burst(imp, 3);
    for (uint64_t i = 1; i <= 3; i++) {
        take(exp, WORK_BURST, i);
    }
    answer(exp, 4);
    take(imp, WORK_ANSWER, 4);
    converse(imp, exp);
    close_both(imp, exp);
}

static void both_ends_move_together(void **state)
{
    struct fab_ep *imp, *exp;
    struct fab_cargo *cargo, *there;
    uint64_t imp_id;

    (void)state;
    channel(1, 1, &imp, &exp);
    burst(imp, 1);
    burst(imp, 2);
    imp_id = imp->id;
    cargo = cargo_of(1, 2, imp, exp);
    assert_int_equal(fab_cargo_check(cargo), FAB_CARGO_HELD);
    there = carry(cargo);
    imp = fab_cargo_find(there, imp_id);
    exp = arrive(cargo, there, exp->id);
    assert_ptr_equal(fab_ep_local_peer(exp), imp);
    burst(imp, 3);
    for (uint64_t i = 1; i <= 3; i++) {
        take(exp, WORK_BURST, i);
    }
    answer(exp, 4);
    take(imp, WORK_ANSWER, 4);
    close_both(imp, exp);
}

static void round_and_round(void **state)
{
    struct fab_ep *imp, *exp;

    (void)state;
    channel(4, 1, &imp, &exp);
    for (uint16_t i = 0; i < 12; i++) {
        uint16_t from = (uint16_t)(i % 3 + 1);
        burst(imp, 1);
        exp = moved(from, (uint16_t)(from % 3 + 1), exp);
        burst(imp, 2);
        burst(imp, 3);
        net_run(&net, 10 * MS);
        for (uint64_t v = 1; v <= 3; v++) {
            take(exp, WORK_BURST, v);
        }
        answer(exp, 4);
        net_run(&net, 10 * MS);
        take(imp, WORK_ANSWER, 4);
    }
    close_both(imp, exp);
}

/* --- it does not come to it ----------------------------------------------------------------- */

static void what_was_held_comes_after_a_return(void **state)
{
    struct fab_ep *imp, *exp;
    struct fab_cargo *cargo, *there;

    (void)state;
    channel(3, 1, &imp, &exp);
    burst(imp, 1);
    cargo = cargo_of(1, 2, exp, NULL);
    there = hold_and_carry(cargo);
    burst(imp, 2);
    burst(imp, 3);
    net_run(&net, 10 * MS);
    assert_int_equal(exp->in.count, 1);
    fab_cargo_drop(there);
    fab_cargo_return(cargo);
    net_run(&net, 10 * MS);
    for (uint64_t i = 1; i <= 3; i++) {
        take(exp, WORK_BURST, i);
    }
    answer(exp, 4);
    net_run(&net, 10 * MS);
    take(imp, WORK_ANSWER, 4);
    converse(imp, exp);
    close_both(imp, exp);
}

static void a_return_before_all_are_held(void **state)
{
    struct fab_ep *imp, *exp, *imp4, *exp4;
    struct fab_cargo *cargo;

    (void)state;
    channel(3, 1, &imp, &exp);
    channel(4, 1, &imp4, &exp4);
    for (uint32_t steps = 0; steps < 12; steps++) {
        cargo = cargo_of(1, 2, exp, exp4);
        (void)fab_cargo_check(cargo);
        net_run(&net, steps * 100000u + 1u);
        fab_cargo_return(cargo);
        net_audit(&net);
        converse(imp, exp);
        converse(imp4, exp4);
    }
    fab_ep_close(imp, SF_CAUSE_OF(NONE));
    fab_ep_close(exp, SF_CAUSE_OF(NONE));
    close_both(imp4, exp4);
}

static void a_local_peer_is_joined_again(void **state)
{
    struct fab_ep *imp, *exp;
    struct fab_cargo *cargo;

    (void)state;
    channel(1, 1, &imp, &exp);
    burst(imp, 1);
    cargo = cargo_of(1, 2, exp, NULL);
    assert_int_equal(fab_cargo_check(cargo), FAB_CARGO_HELD);
    burst(imp, 2);
    assert_int_equal(exp->in.count, 1);
    fab_cargo_return(cargo);
    burst(imp, 3);
    for (uint64_t i = 1; i <= 3; i++) {
        take(exp, WORK_BURST, i);
    }
    answer(exp, 4);
    take(imp, WORK_ANSWER, 4);
    close_both(imp, exp);
}

/* --- endpoints in messages ------------------------------------------------------------------ */

/* A Work channel whose importer travels in a message of a Carry channel from node `from` to 1. */
struct trip {
    struct fab_ep *left, *right; /* of the carrier */
    struct fab_ep *imp, *exp;
    uint64_t imp_id;
};

static void trip_begin(struct trip *trip, uint16_t from, uint16_t peer)
{
    struct fab_msg msg = {.tag = CARRY_TAKE_IMP, .arg_count = 2};

    assert_int_equal(fab_open(fab(from), 1, "carry", test_carry(), &trip->left), SF_OK);
    net_run(&net, 5 * MS);
    trip->right = net.nodes[1].opened_last;
    channel(from, peer, &trip->imp, &trip->exp);
    trip->imp_id = trip->imp->id;
    msg.args[1].ep = trip->imp;
    assert_int_equal(fab_ep_send(trip->left, &msg, OWNER), SF_OK);
}

static void trip_end(struct trip *trip, uint16_t at)
{
    struct fab_msg msg;

    assert_int_equal(fab_ep_recv(trip->right, &msg, OWNER), SF_OK);
    assert_int_equal(msg.tag, CARRY_TAKE_IMP);
    assert_ptr_equal(msg.args[1].ep->node, fab(at));
    assert_int_equal(msg.args[1].ep->id, trip->imp_id);
    trip->imp = msg.args[1].ep;
    net_run(&net, 10 * MS);
    converse(trip->imp, trip->exp);
    fab_ep_close(trip->left, SF_CAUSE_OF(NONE));
    fab_ep_close(trip->right, SF_CAUSE_OF(NONE));
    close_both(trip->imp, trip->exp);
}

static void an_endpoint_in_a_message_moves_along(void **state)
{
    (void)state;
    /* The peer of the one that travels is at its old node, a fourth, the source, or the target. */
    for (uint16_t peer = 1; peer <= 4; peer++) {
        for (uint32_t late = 0; late < 30; late += 3) {
            struct trip trip;
            trip_begin(&trip, 3, peer);
            net_run(&net, late * 100000u + 1u);
            trip.right = moved(1, 2, trip.right);
            net_run(&net, 10 * MS);
            trip_end(&trip, 2);
        }
    }
}

static void one_in_a_message_comes_back_with_it(void **state)
{
    (void)state;
    for (uint16_t peer = 1; peer <= 4; peer++) {
        struct trip trip;
        struct fab_cargo *cargo;
        trip_begin(&trip, 3, peer);
        net_run(&net, 5 * MS);
        cargo = cargo_of(1, 2, trip.right, NULL);
        fab_cargo_drop(hold_and_carry(cargo));
        assert_int_equal(fab_cargo_count(cargo), 2);
        fab_cargo_return(cargo);
        net_audit(&net);
        trip_end(&trip, 1);
    }
}

/* Node 3 sends away an endpoint whose peer, on node 1, is moving. */
static void a_held_endpoint_is_not_sent_away(void **state)
{
    for (uint32_t commit = 0; commit < 2; commit++) {
        struct fab_msg msg = {.tag = CARRY_TAKE_IMP, .arg_count = 2};
        struct fab_ep *left, *right, *imp, *exp;
        struct fab_cargo *cargo, *there;

        (void)state;
        assert_int_equal(fab_open(fab(3), 4, "carry", test_carry(), &left), SF_OK);
        net_run(&net, 5 * MS);
        right = net.nodes[4].opened_last;
        channel(3, 1, &imp, &exp);
        cargo = cargo_of(1, 2, exp, NULL);
        there = hold_and_carry(cargo);
        msg.args[1].ep = imp;
        assert_int_equal(fab_ep_send(left, &msg, OWNER), SF_OK);
        net_run(&net, 10 * MS);
        net_audit(&net);
        assert_int_equal(fab_ep_recv(right, &msg, OWNER), SF_AGAIN);
        if (commit == 1) {
            exp = arrive(cargo, there, exp->id);
        } else {
            fab_cargo_drop(there);
            fab_cargo_return(cargo);
        }
        net_run(&net, 20 * MS);
        assert_int_equal(fab_ep_recv(right, &msg, OWNER), SF_OK);
        imp = msg.args[1].ep;
        converse(imp, exp);
        fab_ep_close(left, SF_CAUSE_OF(NONE));
        fab_ep_close(right, SF_CAUSE_OF(NONE));
        close_both(imp, exp);
    }
}

/* The peer travels by message, from node 3 to 4, while it is asked to hold. */
static void a_peer_that_travels_is_asked_where_it_is(void **state)
{
    (void)state;
    for (uint32_t late = 0; late < 30; late++) {
        struct fab_msg msg = {.tag = CARRY_TAKE_IMP, .arg_count = 2};
        struct fab_ep *left, *right, *imp, *exp;

        assert_int_equal(fab_open(fab(3), 4, "carry", test_carry(), &left), SF_OK);
        net_run(&net, 5 * MS);
        right = net.nodes[4].opened_last;
        channel(3, 1, &imp, &exp);
        msg.args[1].ep = imp;
        assert_int_equal(fab_ep_send(left, &msg, OWNER), SF_OK);
        net_run(&net, late * 100000u + 1u);
        exp = moved(1, 2, exp);
        net_run(&net, 20 * MS);
        assert_int_equal(fab_ep_recv(right, &msg, OWNER), SF_OK);
        imp = msg.args[1].ep;
        converse(imp, exp);
        fab_ep_close(left, SF_CAUSE_OF(NONE));
        fab_ep_close(right, SF_CAUSE_OF(NONE));
        close_both(imp, exp);
    }
}

/* --- closing -------------------------------------------------------------------------------- */

static void the_peer_closes_while_it_is_held(void **state)
{
    (void)state;
    /* The peer is at the source, the target, or a third node; and the SIP moves, or stays. */
    for (uint16_t peer = 1; peer <= 3; peer++) {
        for (uint32_t commit = 0; commit < 2; commit++) {
            struct fab_ep *imp, *exp;
            struct fab_cargo *cargo, *there;

            channel(peer, 1, &imp, &exp);
            burst(imp, 1);
            cargo = cargo_of(1, 2, exp, NULL);
            there = hold_and_carry(cargo);
            burst(imp, 2);
            fab_ep_close(imp, (struct sf_cause){.kind = SF_CAUSE_PEER_FAULTED, .fault = 3});
            net_run(&net, 10 * MS);
            net_audit(&net);
            if (commit == 1) {
                exp = arrive(cargo, there, exp->id);
            } else {
                fab_cargo_drop(there);
                fab_cargo_return(cargo);
            }
            net_run(&net, 10 * MS);
            take(exp, WORK_BURST, 1);
            take(exp, WORK_BURST, 2);
            expect_closed(exp, SF_CAUSE_PEER_FAULTED);
            fab_ep_close(exp, SF_CAUSE_OF(NONE));
            net_run(&net, 10 * MS);
        }
    }
    assert_int_equal(net_ep_count(&net, 1) + net_ep_count(&net, 2) + net_ep_count(&net, 3), 0);
}

/* Both forget each other, as when a link is lost. */
static void part(uint16_t a, uint16_t b)
{
    fab_peer_remove(fab(a), b, SF_CAUSE_OF(NODE_LOST));
    fab_peer_remove(fab(b), a, SF_CAUSE_OF(NODE_LOST));
}

static void the_source_is_lost_to_the_peer(void **state)
{
    (void)state;
    for (uint32_t commit = 0; commit < 2; commit++) {
        struct fab_ep *imp, *exp;
        struct fab_cargo *cargo, *there;

        channel(3, 1, &imp, &exp);
        burst(imp, 1);
        cargo = cargo_of(1, 2, exp, NULL);
        there = hold_and_carry(cargo);
        burst(imp, 2);
        part(1, 3);
        net_run(&net, 10 * MS);
        assert_int_equal(fab_ep_cause(imp).kind, SF_CAUSE_NONE); /* the target does not know yet */
        if (commit == 1) {
            exp = arrive(cargo, there, exp->id);
            net_run(&net, 10 * MS);
            take(exp, WORK_BURST, 1);
            take(exp, WORK_BURST, 2);
            burst(imp, 3);
            net_run(&net, 10 * MS);
            take(exp, WORK_BURST, 3);
        } else {
            fab_cargo_drop(there);
            fab_cargo_return(cargo);
            net_run(&net, 10 * MS);
            expect_closed(imp, SF_CAUSE_NODE_LOST);
            take(exp, WORK_BURST, 1);
            expect_closed(exp, SF_CAUSE_NODE_LOST);
        }
        close_both(imp, exp);
        net_introduce(&net, 1, 3);
        net_run(&net, 50 * MS);
    }
}

static void the_source_dies_and_the_target_has_nothing(void **state)
{
    struct fab_ep *imp, *exp;
    struct fab_cargo *cargo;

    (void)state;
    channel(3, 1, &imp, &exp);
    cargo = cargo_of(1, 2, exp, NULL);
    assert_int_equal(settle(cargo), FAB_CARGO_HELD);
    net_restart(&net, 1);
    fab_peer_remove(fab(3), 1, SF_CAUSE_OF(NODE_LOST));
    assert_int_equal(fab_ep_cause(imp).kind, SF_CAUSE_NONE);
    net_run(&net, 10 * MS);
    expect_closed(imp, SF_CAUSE_NODE_LOST);
    fab_ep_close(imp, SF_CAUSE_OF(NONE));
}

static void source_and_target_are_lost(void **state)
{
    (void)state;
    for (uint32_t first = 1; first <= 2; first++) {
        struct fab_ep *imp, *exp;
        struct fab_cargo *cargo, *there;

        channel(3, 1, &imp, &exp);
        cargo = cargo_of(1, 2, exp, NULL);
        there = hold_and_carry(cargo);
        part(3, (uint16_t)first);
        net_run(&net, 5 * MS);
        assert_int_equal(fab_ep_cause(imp).kind, SF_CAUSE_NONE);
        part(3, (uint16_t)(3 - first));
        net_run(&net, 5 * MS);
        expect_closed(imp, SF_CAUSE_NODE_LOST);
        net_introduce(&net, 1, 3);
        net_introduce(&net, 2, 3);
        net_run(&net, 50 * MS);
        exp = arrive(cargo, there, exp->id); /* too late */
        net_run(&net, 10 * MS);
        expect_closed(exp, SF_CAUSE_NODE_LOST);
        close_both(imp, exp);
    }
}

static void the_target_is_lost_to_the_peer_after_the_move(void **state)
{
    struct fab_ep *imp, *exp;
    struct fab_cargo *cargo, *there;

    (void)state;
    channel(3, 1, &imp, &exp);
    cargo = cargo_of(1, 2, exp, NULL);
    there = hold_and_carry(cargo);
    exp = fab_cargo_find(there, exp->id);
    fab_cargo_resume(there);
    part(2, 3); /* NOW_HERE is lost */
    fab_cargo_release(cargo);
    net_introduce(&net, 2, 3);
    net_run(&net, 50 * MS);
    expect_closed(exp, SF_CAUSE_NODE_LOST);
    expect_closed(imp, SF_CAUSE_NODE_LOST);
    close_both(imp, exp);
}

static void the_peer_dies_while_it_is_held(void **state)
{
    (void)state;
    for (uint32_t commit = 0; commit < 2; commit++) {
        struct fab_ep *imp, *exp;
        struct fab_cargo *cargo, *there;

        channel(3, 1, &imp, &exp);
        burst(imp, 1);
        cargo = cargo_of(1, 2, exp, NULL);
        there = hold_and_carry(cargo);
        net_restart(&net, 3);
        fab_peer_remove(fab(1), 3, SF_CAUSE_OF(NODE_LOST));
        fab_peer_remove(fab(2), 3, SF_CAUSE_OF(NODE_LOST));
        net_introduce(&net, 1, 3);
        net_introduce(&net, 2, 3);
        net_run(&net, 50 * MS);
        if (commit == 1) {
            exp = arrive(cargo, there, exp->id);
        } else {
            fab_cargo_drop(there);
            fab_cargo_return(cargo);
        }
        net_run(&net, 10 * MS);
        take(exp, WORK_BURST, 1);
        expect_closed(exp, SF_CAUSE_NODE_LOST);
        fab_ep_close(exp, SF_CAUSE_OF(NONE));
        net_run(&net, 10 * MS);
    }
}

/* --- two at once ---------------------------------------------------------------------------- */

static void of_two_ends_that_move_one_gives_way(void **state)
{
    (void)state;
    for (uint32_t late = 0; late < 16; late++) {
        struct fab_ep *imp, *exp;
        struct fab_cargo *one, *three, *winner;
        enum fab_cargo_state of_one, of_three;

        channel(3, 1, &imp, &exp);
        one = cargo_of(1, 2, exp, NULL);
        (void)fab_cargo_check(one);
        net_run(&net, late * 50000u + 1u);
        if (fab_cargo_begin(fab(3), fab_move_id(3, net.nodes[3].epoch, ++move_number), 4, &three) !=
            SF_OK) {
            fail();
        }
        if (fab_cargo_add(three, imp) == SF_AGAIN) {
            of_three = FAB_CARGO_CLASH; /* it was late */
        } else {
            of_three = fab_cargo_check(three);
            for (uint32_t i = 0; i < 50; i++) {
                net_run(&net, MS / 5);
                of_one = fab_cargo_check(one);
                of_three = fab_cargo_check(three);
            }
        }
        of_one = settle(one);
        net_audit(&net);
        assert_true((of_one == FAB_CARGO_HELD) != (of_three == FAB_CARGO_HELD));
        assert_true(of_one == FAB_CARGO_CLASH || of_three == FAB_CARGO_CLASH);
        winner = of_one == FAB_CARGO_HELD ? one : three;
        fab_cargo_return(winner == one ? three : one);
        net_run(&net, 10 * MS);
        assert_int_equal(settle(winner), FAB_CARGO_HELD);
        if (winner == one) {
            exp = arrive(one, carry(one), exp->id);
        } else {
            imp = arrive(three, carry(three), imp->id);
        }
        net_run(&net, 10 * MS);
        converse(imp, exp);
        /* And now the other. */
        if (winner == one) {
            imp = moved(3, 4, imp);
        } else {
            exp = moved(1, 2, exp);
        }
        net_run(&net, 10 * MS);
        converse(imp, exp);
        close_both(imp, exp);
    }
}

static void a_peer_without_way_to_the_target_says_so(void **state)
{
    struct fab_ep *imp, *exp;
    struct fab_cargo *cargo;

    (void)state;
    channel(3, 1, &imp, &exp);
    net.cut[2][3] = net.cut[3][2] = true;
    part(2, 3);
    cargo = cargo_of(1, 2, exp, NULL);
    assert_int_equal(settle(cargo), FAB_CARGO_NO_WAY);
    fab_cargo_return(cargo);
    net_run(&net, 10 * MS);
    converse(imp, exp);
    close_both(imp, exp);
}

static void a_target_without_way_to_the_peer_takes_nothing(void **state)
{
    struct fab_ep *imp, *exp;
    struct fab_cargo *cargo, *there;
    uint64_t bytes;
    uint8_t *image;

    (void)state;
    channel(3, 1, &imp, &exp);
    send_bytes(imp, 100, 2);
    net_run(&net, 5 * MS);
    cargo = cargo_of(1, 2, exp, NULL);
    assert_int_equal(settle(cargo), FAB_CARGO_HELD);
    bytes = fab_cargo_bytes(cargo);
    image = malloc(bytes);
    assert_non_null(image);
    fab_cargo_write(cargo, image);
    part(2, 3);
    assert_int_equal(fab_cargo_read(fab(2), cargo->move, image, bytes, &there), SF_AGAIN);
    net_introduce(&net, 2, 3); /* but nothing has been heard */
    assert_int_equal(fab_cargo_read(fab(2), cargo->move, image, bytes, &there), SF_AGAIN);
    assert_int_equal(net_ep_count(&net, 2), 0);
    assert_int_equal(net_block_count(&net, 2), 0);
    net_run(&net, 50 * MS);
    assert_int_equal(fab_cargo_read(fab(2), cargo->move, image, bytes, &there), SF_OK);
    free(image);
    exp = arrive(cargo, there, exp->id);
    take_bytes(exp, 100, 2);
    close_both(imp, exp);
}

static void a_move_that_was_not_seen_is_refused(void **state)
{
    struct fab_ep *imp, *exp;
    struct fab_cargo *cargo, *there;
    uint64_t move;

    (void)state;
    channel(3, 1, &imp, &exp);
    cargo = cargo_of(1, 2, exp, NULL);
    there = hold_and_carry(cargo);
    move = cargo->move;
    assert_false(fab_move_seen(fab(3), move));
    exp = fab_cargo_find(there, exp->id);
    fab_cargo_resume(there);
    net_run(&net, 10 * MS);
    assert_false(fab_move_seen(fab(3), move));
    expect_closed(exp, SF_CAUSE_NODE_LOST);
    fab_ep_close(exp, SF_CAUSE_OF(NONE));
    exp = fab_cargo_at(cargo, 0);
    fab_cargo_return(cargo);
    net_run(&net, 10 * MS);
    converse(imp, exp);

    cargo = cargo_of(1, 2, exp, NULL);
    there = hold_and_carry(cargo);
    exp = fab_cargo_find(there, exp->id);
    fab_cargo_resume(there);
    net_run(&net, 10 * MS);
    assert_true(fab_move_seen(fab(3), cargo->move));
    fab_cargo_release(cargo);
    close_both(imp, exp);
}

/* --- bytes ---------------------------------------------------------------------------------- */

static void an_image_that_is_wrong_leaves_nothing(void **state)
{
    struct trip trip;
    struct fab_cargo *cargo, *there;
    struct fab_ep *imp, *exp;
    uint64_t bytes, move;
    uint8_t *image, *copy;
    uint32_t read = 0;

    (void)state;
    channel(3, 1, &imp, &exp);
    send_bytes(imp, 40, 1);
    trip_begin(&trip, 3, 4);
    net_run(&net, 10 * MS);
    cargo = cargo_of(1, 2, exp, trip.right);
    assert_int_equal(settle(cargo), FAB_CARGO_HELD);
    bytes = fab_cargo_bytes(cargo);
    move = cargo->move;
    image = malloc(bytes);
    copy = malloc(bytes);
    assert_non_null(image);
    assert_non_null(copy);
    fab_cargo_write(cargo, image);
    for (uint64_t length = 0; length < bytes; length++) {
        memcpy(copy, image, length);
        assert_int_not_equal(fab_cargo_read(fab(2), move, copy, length, &there), SF_OK);
    }
    for (uint64_t at = 0; at < bytes * 8; at++) {
        memcpy(copy, image, bytes);
        copy[at / 8] ^= (uint8_t)(1u << at % 8);
        if (fab_cargo_read(fab(2), move, copy, bytes, &there) == SF_OK) {
            read++; /* a number that nobody can check */
            fab_cargo_drop(there);
        }
        assert_int_equal(net_ep_count(&net, 2), 0);
        assert_int_equal(net_block_count(&net, 2), 0);
    }
    assert_true(read < bytes * 8);
    assert_int_not_equal(fab_cargo_read(fab(2), move + 1, image, bytes, &there), SF_OK);
    free(image);
    free(copy);
    fab_cargo_return(cargo);
    fab_ep_close(imp, SF_CAUSE_OF(NONE));
    fab_ep_close(exp, SF_CAUSE_OF(NONE));
    net_run(&net, 10 * MS);
    trip_end(&trip, 1);
}

static void a_node_may_end_with_cargos(void **state)
{
    struct fab_ep *imp, *exp;
    struct fab_cargo *cargo;

    (void)state;
    channel(3, 1, &imp, &exp);
    send_bytes(imp, 4000, 1);
    cargo = cargo_of(1, 2, exp, NULL);
    (void)hold_and_carry(cargo);
    net_audit(&net);
}

#define BOTH(f)                                                                                    \
    cmocka_unit_test_setup_teardown(f, setup, teardown),                                           \
        cmocka_unit_test_setup_teardown(f, setup_sealed, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(an_exporter_moves_with_what_waits_in_it),
        BOTH(blocks_move_along),
        BOTH(a_block_that_is_half_sent_comes_whole),
        BOTH(an_importer_moves_after_all_it_had_to_say),
        BOTH(a_channel_that_is_being_opened_moves),
        BOTH(one_that_is_not_exported_moves_with_the_cause),
        BOTH(the_peer_is_at_the_source),
        BOTH(the_peer_is_at_the_target),
        BOTH(both_ends_move_together),
        BOTH(round_and_round),
        BOTH(what_was_held_comes_after_a_return),
        BOTH(a_return_before_all_are_held),
        BOTH(a_local_peer_is_joined_again),
        BOTH(an_endpoint_in_a_message_moves_along),
        BOTH(one_in_a_message_comes_back_with_it),
        BOTH(a_held_endpoint_is_not_sent_away),
        BOTH(a_peer_that_travels_is_asked_where_it_is),
        BOTH(the_peer_closes_while_it_is_held),
        BOTH(the_source_is_lost_to_the_peer),
        BOTH(the_source_dies_and_the_target_has_nothing),
        BOTH(source_and_target_are_lost),
        BOTH(the_target_is_lost_to_the_peer_after_the_move),
        BOTH(the_peer_dies_while_it_is_held),
        BOTH(of_two_ends_that_move_one_gives_way),
        BOTH(a_peer_without_way_to_the_target_says_so),
        BOTH(a_target_without_way_to_the_peer_takes_nothing),
        BOTH(a_move_that_was_not_seen_is_refused),
        BOTH(an_image_that_is_wrong_leaves_nothing),
        BOTH(a_node_may_end_with_cargos),
    };

    return cmocka_run_group_tests_name("cargo", tests, NULL, NULL);
}
