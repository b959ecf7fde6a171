/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol of moves, message by message. Node 1 is the source, 2 the target, 3 a witness. Whole
 * moves of SIPs with channels, and everything dying at every event, are in tests/sim/moves_test.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cargo.h"
#include "sip_move.h"

#define NODES 3u
#define EPOCH 5u
#define MS 1000000ull
#define SIP 77u
#include "test_case.h"

static struct fab_mover *movers[NODES + 1];
static uint64_t now_ns;
static uint64_t move;
static uint16_t dead_epoch[NODES + 1];

static int begin(void **state)
{
    (void)setup(state);
    now_ns = 1000 * MS;
    memset(dead_epoch, 0, sizeof(dead_epoch));
    for (uint16_t id = 1; id <= NODES; id++) {
        struct fab_mover_options options = {.node_id = id, .epoch = EPOCH, .fab = fab(id)};
        assert_int_equal(fab_mover_create(&options, &movers[id]), SF_OK);
    }
    return 0;
}

static int end(void **state)
{
    for (uint16_t id = 1; id <= NODES; id++) {
        fab_mover_destroy(movers[id]);
    }
    return teardown(state);
}

/* --- what a test does over and over --------------------------------------------------------- */

static struct fab_move_action expect(uint16_t node, enum fab_move_do what)
{
    struct fab_move_action action;

    assert_true(fab_mover_next(movers[node], &action));
    assert_int_equal(action.what, what);
    assert_int_equal(action.move, move);
    return action;
}

static void expect_nothing(uint16_t node)
{
    struct fab_move_action action;

    assert_false(fab_mover_next(movers[node], &action));
}

/* The node's next action is that message, and it arrives; to the controller: it is passed on. */
static bool is_alive(void *arg, uint16_t node, uint16_t epoch)
{
    (void)arg;
    return epoch > dead_epoch[node];
}

static void take(uint16_t to, uint16_t from, const uint8_t *bytes, uint32_t length)
{
    uint8_t copy[FAB_MOVE_MESSAGE_BYTES_MAX];

    assert_in_range(length, 1, sizeof(copy));
    memcpy(copy, bytes, length);
    fab_mover_take(movers[to], from, copy, length, now_ns);
}

static struct fab_move_action expect_send(uint16_t node, uint16_t to, enum fab__mv_kind kind)
{
    struct fab_move_action action = expect(node, FAB_MOVE_SEND);

    assert_int_equal(action.node, to);
    assert_int_equal(action.bytes[1], kind);
    return action;
}

static void passes(uint16_t node, uint16_t to, enum fab__mv_kind kind)
{
    struct fab_move_action action = expect_send(node, to, kind);

    take(to, node, action.bytes, action.length);
}

/* By way of the controller, to `to`. */
static void passes_on(uint16_t node, uint16_t to, enum fab__mv_kind kind)
{
    struct fab_move_action action = expect_send(node, FAB_MOVE_CONTROLLER, kind);
    uint8_t bytes[FAB_MOVE_MESSAGE_BYTES_MAX];
    uint16_t other = 0;
    uint32_t length =
        fab_move_relay(action.bytes, action.length, node, is_alive, NULL, &other, bytes);

    assert_int_equal(other, to);
    take(to, FAB_MOVE_CONTROLLER, bytes, length);
}

static void lost(uint16_t node, uint16_t to, enum fab__mv_kind kind)
{
    (void)expect_send(node, to, kind);
}

static void wanted(void)
{
    struct fab_move_order order = {
        .sip = SIP, .target = 2, .target_epoch = EPOCH, .payload = (const uint8_t *)"web"};

    order.payload_length = 3;
    assert_int_equal(fab_mover_begin(movers[1], &order, now_ns, &move), SF_OK);
    assert_int_equal(fab_move_source(move), 1);
    passes(1, 2, FAB__MV_PREPARE);
}

static void until_prepared(void)
{
    struct fab_move_action action;

    wanted();
    action = expect(2, FAB_MOVE_PREPARE);
    assert_int_equal(action.length, 3);
    assert_memory_equal(action.bytes, "web", 3);
    fab_mover_prepared(movers[2], move, now_ns);
    passes(2, 1, FAB__MV_PREPARED);
    assert_int_equal(expect(1, FAB_MOVE_COPY).sip, SIP);
}

static void until_frozen(void)
{
    until_prepared();
    fab_mover_copied(movers[1], move, now_ns);
    (void)expect(1, FAB_MOVE_FREEZE);
}

static void until_ready(void)
{
    struct fab_move_witness witnesses[] = {{1, EPOCH}, {2, EPOCH}, {3, EPOCH}};

    until_frozen();
    fab_mover_held(movers[1], move, witnesses, 3, now_ns);
    (void)expect(1, FAB_MOVE_TRANSFER);
    fab_mover_received(movers[2], move, now_ns);
    passes(2, 1, FAB__MV_READY);
}

static void expect_stay(enum fab_move_reason reason)
{
    assert_int_equal(expect(1, FAB_MOVE_STAY).reason, reason);
    expect_nothing(1);
    assert_int_equal(fab_mover_cancel(movers[1], move, now_ns), SF_NOTFOUND);
}

static void expect_free(enum fab_move_reason reason)
{
    assert_int_equal(expect(1, FAB_MOVE_FREE).reason, reason);
}

/* --- it moves ------------------------------------------------------------------------------- */

static void all_goes_well(void **state)
{
    (void)state;
    until_ready();
    assert_int_equal(fab_mover_cancel(movers[1], move, now_ns), SF_AGAIN); /* too late */
    passes(1, 2, FAB__MV_COMMIT);
    (void)expect(2, FAB_MOVE_START);
    passes(2, 1, FAB__MV_COMMITTED);
    expect_free(FAB_MOVE_OK);
    passes(1, 2, FAB__MV_DONE);
    (void)expect(2, FAB_MOVE_SETTLED);
    expect_nothing(1);
    expect_nothing(2);
    assert_int_equal(fab_mover_tick(movers[1], now_ns), UINT64_MAX);
    assert_int_equal(fab_mover_tick(movers[2], now_ns), UINT64_MAX);
}

static void done_is_asked_for_until_it_comes(void **state)
{
    (void)state;
    until_ready();
    passes(1, 2, FAB__MV_COMMIT);
    (void)expect(2, FAB_MOVE_START);
    passes(2, 1, FAB__MV_COMMITTED);
    expect_free(FAB_MOVE_OK);
    lost(1, 2, FAB__MV_DONE);
    fab_mover_session_lost(movers[2], 1, now_ns);
    expect_nothing(2);
    now_ns = fab_mover_tick(movers[2], now_ns);
    (void)fab_mover_tick(movers[2], now_ns);
    passes(2, 1, FAB__MV_COMMITTED);
    passes(1, 2, FAB__MV_DONE);
    (void)expect(2, FAB_MOVE_SETTLED);
}

static void a_dead_source_needs_no_answer(void **state)
{
    (void)state;
    until_ready();
    passes(1, 2, FAB__MV_COMMIT);
    (void)expect(2, FAB_MOVE_START);
    lost(2, 1, FAB__MV_COMMITTED);
    fab_mover_session_lost(movers[2], 1, now_ns);
    fab_mover_node_dead(movers[2], 1, EPOCH, now_ns);
    (void)expect(2, FAB_MOVE_SETTLED);
    assert_int_equal(fab_mover_tick(movers[2], now_ns), UINT64_MAX);
}

/* --- it stays ------------------------------------------------------------------------------- */

static void the_target_refuses(void **state)
{
    struct fab_move_action action;

    (void)state;
    wanted();
    (void)expect(2, FAB_MOVE_PREPARE);
    fab_mover_refuse(movers[2], move, 42, now_ns);
    passes(2, 1, FAB__MV_REFUSED);
    assert_int_equal(expect(2, FAB_MOVE_DROP).reason, FAB_MOVE_REFUSED);
    passes(1, 2, FAB__MV_ABORT);
    action = expect(1, FAB_MOVE_STAY);
    assert_int_equal(action.reason, FAB_MOVE_REFUSED);
    assert_int_equal(action.detail, 42);
    expect_nothing(2);
}

static void each_step_has_its_time(void **state)
{
    (void)state;
    for (uint32_t step = 0; step < 4; step++) {
        void (*const steps[])(void) = {wanted, until_prepared, until_frozen, until_frozen};
        steps[step]();
        if (step == 3) {
            fab_mover_held(movers[1], move, NULL, 0, now_ns);
            (void)expect(1, FAB_MOVE_TRANSFER);
        }
        now_ns = fab_mover_tick(movers[1], now_ns);
        assert_int_not_equal(now_ns, UINT64_MAX);
        (void)fab_mover_tick(movers[1], now_ns);
        passes(1, 2, FAB__MV_ABORT);
        expect_stay(FAB_MOVE_TIMEOUT);
        if (step == 0) {
            (void)expect(2, FAB_MOVE_DROP); /* of what it has not begun */
        } else {
            assert_int_equal(expect(2, FAB_MOVE_DROP).reason, FAB_MOVE_CANCELLED);
        }
        expect_nothing(2);
        fab_mover_prepared(movers[2], move, now_ns); /* late */
        fab_mover_received(movers[2], move, now_ns);
        fab_mover_held(movers[1], move, NULL, 0, now_ns);
        expect_nothing(1);
        expect_nothing(2);
    }
}

static void it_is_cancelled_or_fails(void **state)
{
    (void)state;
    until_frozen();
    assert_int_equal(fab_mover_cancel(movers[1], move, now_ns), SF_OK);
    passes(1, 2, FAB__MV_ABORT);
    expect_stay(FAB_MOVE_CANCELLED);
    (void)expect(2, FAB_MOVE_DROP);
    until_frozen();
    fab_mover_fail(movers[1], move, FAB_MOVE_CLASH, 0, now_ns);
    passes(1, 2, FAB__MV_ABORT);
    expect_stay(FAB_MOVE_CLASH);
    (void)expect(2, FAB_MOVE_DROP);
}

static void the_session_is_lost_before_commit(void **state)
{
    (void)state;
    until_frozen();
    fab_mover_session_lost(movers[1], 2, now_ns);
    fab_mover_session_lost(movers[2], 1, now_ns);
    expect_stay(FAB_MOVE_LINK_LOST);
    assert_int_equal(expect(2, FAB_MOVE_DROP).reason, FAB_MOVE_LINK_LOST);
}

/* --- in doubt ------------------------------------------------------------------------------- */

static void doubt(bool taken)
{
    until_ready();
    if (taken) {
        passes(1, 2, FAB__MV_COMMIT);
        (void)expect(2, FAB_MOVE_START);
        lost(2, 1, FAB__MV_COMMITTED);
    } else {
        lost(1, 2, FAB__MV_COMMIT);
    }
    fab_mover_session_lost(movers[1], 2, now_ns);
}

static void the_target_has_it(void **state)
{
    (void)state;
    doubt(true);
    lost(1, 2, FAB__MV_ASK);
    passes_on(1, 2, FAB__MV_ASK);
    passes_on(2, 1, FAB__MV_GOT);
    expect_free(FAB_MOVE_OK);
    passes(1, 2, FAB__MV_DONE);
    (void)expect(2, FAB_MOVE_SETTLED);
}

static void the_target_has_it_not_and_never_will(void **state)
{
    uint8_t commit[] = {1, FAB__MV_COMMIT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

    (void)state;
    doubt(false);
    lost(1, 2, FAB__MV_ASK);
    passes_on(1, 2, FAB__MV_ASK);
    assert_int_equal(expect(2, FAB_MOVE_DROP).reason, FAB_MOVE_NOT_TAKEN);
    passes_on(2, 1, FAB__MV_NOT);
    expect_stay(FAB_MOVE_NOT_TAKEN);
    /* COMMIT turns up after all. */
    memcpy(commit + 8, &move, sizeof(move));
    take(2, 1, commit, sizeof(commit));
    lost(2, 1, FAB__MV_NOT);
    expect_nothing(2);
}

static void it_asks_until_it_hears(void **state)
{
    (void)state;
    doubt(true);
    for (uint32_t i = 0; i < 5; i++) {
        lost(1, 2, FAB__MV_ASK);
        lost(1, FAB_MOVE_CONTROLLER, FAB__MV_ASK);
        expect_nothing(1);
        now_ns = fab_mover_tick(movers[1], now_ns);
        (void)fab_mover_tick(movers[1], now_ns);
    }
    passes(1, 2, FAB__MV_ASK); /* there is a session again */
    lost(1, FAB_MOVE_CONTROLLER, FAB__MV_ASK);
    passes(2, 1, FAB__MV_GOT);
    expect_free(FAB_MOVE_OK);
}

static void commit_without_answer_is_doubt(void **state)
{
    (void)state;
    until_ready();
    lost(1, 2, FAB__MV_COMMIT);
    now_ns = fab_mover_tick(movers[1], now_ns);
    (void)fab_mover_tick(movers[1], now_ns);
    passes(1, 2, FAB__MV_ASK);
    lost(1, FAB_MOVE_CONTROLLER, FAB__MV_ASK);
    assert_int_equal(expect(2, FAB_MOVE_DROP).reason, FAB_MOVE_NOT_TAKEN);
    passes(2, 1, FAB__MV_NOT);
    expect_stay(FAB_MOVE_NOT_TAKEN);
}

/* The target is dead; the controller says so. */
static void target_dies(void)
{
    doubt(true);
    dead_epoch[2] = EPOCH;
    lost(1, 2, FAB__MV_ASK);
    passes_on(1, 1, FAB__MV_ASK); /* becomes DEAD */
}

static void nobody_has_seen_it(void **state)
{
    (void)state;
    target_dies();
    passes(1, 3, FAB__MV_WITNESS);
    lost(1, FAB_MOVE_CONTROLLER, FAB__MV_WITNESS);
    expect_nothing(1); /* its own node is asked on the spot, the target not at all */
    passes(3, 1, FAB__MV_UNSEEN);
    expect_stay(FAB_MOVE_UNSEEN);
    assert_false(fab_move_seen(fab(3), move));
}

static void somebody_has_seen_it(void **state)
{
    (void)state;
    target_dies();
    fab__witness_use(fab(3), move)->seen = true;
    lost(1, 3, FAB__MV_WITNESS);
    passes_on(1, 3, FAB__MV_WITNESS);
    passes_on(3, 1, FAB__MV_SEEN);
    expect_free(FAB_MOVE_DIED);
    expect_nothing(1);
}

static void its_own_node_has_seen_it(void **state)
{
    (void)state;
    doubt(true);
    lost(1, 2, FAB__MV_ASK);
    lost(1, FAB_MOVE_CONTROLLER, FAB__MV_ASK);
    fab__witness_use(fab(1), move)->seen = true;
    fab_mover_node_dead(movers[1], 2, EPOCH, now_ns);
    expect_free(FAB_MOVE_DIED);
}

static void what_a_dead_witness_has_seen_does_not_count(void **state)
{
    (void)state;
    target_dies();
    dead_epoch[3] = EPOCH;
    lost(1, 3, FAB__MV_WITNESS);
    passes_on(1, 1, FAB__MV_WITNESS); /* DEAD */
    expect_stay(FAB_MOVE_UNSEEN);
}

static void another_boot_of_the_target_is_not_asked(void **state)
{
    struct fab_mover_options options = {.node_id = 2, .epoch = EPOCH + 1, .fab = fab(2)};

    (void)state;
    doubt(true);
    fab_mover_destroy(movers[2]);
    assert_int_equal(fab_mover_create(&options, &movers[2]), SF_OK);
    passes(1, 2, FAB__MV_ASK);
    expect_nothing(2);
}

/* --- strangers ------------------------------------------------------------------------------ */

static void strangers_decide_nothing(void **state)
{
    (void)state;
    doubt(true);
    for (uint32_t kind = 0; kind <= FAB__MV_KINDS; kind++) {
        for (uint16_t node = 0; node <= 3; node++) {
            struct fab__mv_message message = {
                .kind = (uint8_t)kind, .move = move, .node = node, .epoch = EPOCH};
            uint8_t bytes[FAB_MOVE_MESSAGE_BYTES_MAX];
            uint32_t length = fab__mv_write(&message, bytes);
            if (kind != FAB__MV_WITNESS) {
                take(1, 3, bytes, length);
            }
            take(2, 3, bytes, length);
        }
    }
    lost(1, 2, FAB__MV_ASK);
    lost(1, FAB_MOVE_CONTROLLER, FAB__MV_ASK);
    expect_nothing(1);
    expect_nothing(2);
}

static void any_bytes_are_survived(void **state)
{
    uint8_t bytes[FAB_MOVE_MESSAGE_BYTES_MAX + 8] = {0};
    struct fab_move_action action;

    (void)state;
    until_frozen();
    for (uint32_t i = 0; i < 200000; i++) {
        uint16_t from = (uint16_t)net_below(&net, 4);
        uint16_t to = (uint16_t)(1 + net_below(&net, 3));
        uint32_t length = net_below(&net, 4) == 0 ? net_below(&net, sizeof(bytes)) : 20;
        uint64_t id = net_below(&net, 3) == 0 ? net_random(&net) : move + net_below(&net, 3);
        for (uint32_t b = 0; b < 20; b++) {
            bytes[b] = net_below(&net, 3) == 0 ? (uint8_t)net_random(&net) : 0;
        }
        bytes[0] = net_below(&net, 20) != 0;
        bytes[1] = (uint8_t)net_below(&net, FAB__MV_KINDS + 1);
        memcpy(bytes + 8, &id, sizeof(id));
        fab_mover_take(movers[to], from, bytes, length, now_ns);
        now_ns += net_below(&net, 4) * MS;
        (void)fab_mover_tick(movers[to], now_ns);
        while (net_below(&net, 8) != 0 && fab_mover_next(movers[to], &action)) {
            if (action.what == FAB_MOVE_PREPARE && net_below(&net, 2) == 0) {
                fab_mover_prepared(movers[to], action.move, now_ns);
                fab_mover_received(movers[to], action.move, now_ns);
            }
        }
    }
}

static void messages_are_golden_and_whole(void **state)
{
    static const uint8_t golden[] = {
        1, FAB__MV_PREPARE, 2, 1, 4, 3, 3, 0, 8, 7, 6, 5, 4, 3, 2, 1, 9, 0, 0, 0, 'w', 'e', 'b'};
    struct fab__mv_message message = {.kind = FAB__MV_PREPARE,
                                      .node = 0x0102,
                                      .epoch = 0x0304,
                                      .move = 0x0102030405060708ull,
                                      .detail = 9,
                                      .payload = (const uint8_t *)"web",
                                      .payload_length = 3};
    uint8_t bytes[FAB_MOVE_MESSAGE_BYTES_MAX];

    (void)state;
    assert_int_equal(fab__mv_write(&message, bytes), sizeof(golden));
    assert_memory_equal(bytes, golden, sizeof(golden));
    assert_true(fab__mv_read(bytes, sizeof(golden), &message));
    for (uint32_t length = 0; length < sizeof(golden); length++) {
        assert_false(fab__mv_read(bytes, length, &message));
    }
    assert_false(fab__mv_read(bytes, sizeof(golden) + 1, &message));
    bytes[1] = FAB__MV_READY; /* which has no payload */
    assert_false(fab__mv_read(bytes, sizeof(golden), &message));
    bytes[1] = FAB__MV_KINDS;
    assert_false(fab__mv_read(bytes, sizeof(golden), &message));
}

static void there_is_a_limit(void **state)
{
    struct fab_move_order order = {.target = 2, .target_epoch = EPOCH};
    uint64_t id;

    (void)state;
    for (order.sip = 0; order.sip < FAB_MOVER_MOVES; order.sip++) {
        assert_int_equal(fab_mover_begin(movers[1], &order, now_ns, &id), SF_OK);
    }
    assert_int_equal(fab_mover_begin(movers[1], &order, now_ns, &id), SF_LIMIT);
    order.sip = 3;
    assert_int_equal(fab_mover_begin(movers[1], &order, now_ns, &id), SF_EXISTS);
    order.target = 1;
    assert_int_equal(fab_mover_begin(movers[1], &order, now_ns, &id), SF_BADARG);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_goes_well),
        TEST(done_is_asked_for_until_it_comes),
        TEST(a_dead_source_needs_no_answer),
        TEST(the_target_refuses),
        TEST(each_step_has_its_time),
        TEST(it_is_cancelled_or_fails),
        TEST(the_session_is_lost_before_commit),
        TEST(the_target_has_it),
        TEST(the_target_has_it_not_and_never_will),
        TEST(it_asks_until_it_hears),
        TEST(commit_without_answer_is_doubt),
        TEST(nobody_has_seen_it),
        TEST(somebody_has_seen_it),
        TEST(its_own_node_has_seen_it),
        TEST(what_a_dead_witness_has_seen_does_not_count),
        TEST(another_boot_of_the_target_is_not_asked),
        TEST(strangers_decide_nothing),
        TEST(any_bytes_are_survived),
        TEST(messages_are_golden_and_whole),
        TEST(there_is_a_limit),
    };

    return cmocka_run_group_tests_name("sip_move", tests, NULL, NULL);
}
