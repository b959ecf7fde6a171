/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire format of docs/wire.md, byte for byte. A change here that is not a new version breaks
 * cells whose nodes are updated one after the other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cargo.h"
#include "node.h"
#include "session.h"
#include "test_contracts.h"
#include "wire.h"

static void expect_bytes(const uint8_t *bytes, uint32_t length, const uint8_t *golden,
                         uint32_t golden_length)
{
    for (uint32_t i = 0; i < length && i < golden_length; i++) {
        if (bytes[i] != golden[i]) {
            fail_msg("byte %u is 0x%02x, not 0x%02x", i, bytes[i], golden[i]);
        }
    }
    assert_int_equal(length, golden_length);
}

/* clang-format off */
static const uint8_t golden_header[FAB__HEADER_BYTES + 16] = {
    0x21, 2, 0x34, 0x12,                            /* version and kind, sack words, hold */
    0x01, 0x02, 0x03, 0x04,                         /* target session */
    0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, /* number */
    0x78, 0x56, 0x34, 0x12,                         /* sequence */
    0xef, 0xcd, 0xab, 0x90,                         /* ack */
    0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80, /* selective ack */
    0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};
static const uint8_t golden_hello[FAB__HELLO_BYTES] = {
    0x22, 3, 0xdc, 0x05,    /* version and kind, flags, MTU */
    0x01, 0x00, 0xff, 0x03, /* source and target node */
    0x05, 0x00, 0xff, 0x3f, /* source and target epoch */
    0x01, 0x00, 0x14, 0x00, /* source session */
    0x11, 0x12, 0x13, 0x14, /* target session */
    0x03, 0x00, 0x00, 0x00, /* ciphers */
};
/* clang-format on */

static void the_header_is_little_endian(void **state)
{
    struct fab__header header = {
        .kind = FAB__FRAME_RECORDS,
        .sack_words = 2,
        .hold_us = 0x1234,
        .target_session = 0x04030201,
        .number = 0x1817161514131211ull,
        .sequence = 0x12345678,
        .ack = 0x90abcdef,
        .sack = {0x8000000000000005ull, 1},
    };
    struct fab__header back;
    uint8_t bytes[FAB__HEADER_BYTES_MAX] = {0};

    (void)state;
    assert_int_equal(fab__header_bytes(&header), sizeof(golden_header));
    fab__header_write(bytes, &header);
    expect_bytes(bytes, sizeof(golden_header), golden_header, sizeof(golden_header));
    assert_true(fab__header_read(bytes, sizeof(bytes), &back));
    fab__header_write(bytes, &back);
    expect_bytes(bytes, sizeof(golden_header), golden_header, sizeof(golden_header));
}

static void a_header_that_is_wrong_is_refused(void **state)
{
    struct fab__header header;
    uint8_t bytes[FAB__HEADER_BYTES_MAX + 0x34] = {0};

    (void)state;
    memcpy(bytes, golden_header, sizeof(golden_header));
    assert_true(fab__header_read(bytes, sizeof(bytes), &header));
    assert_true(fab__header_read(bytes, sizeof(golden_header), &header));
    assert_false(fab__header_read(bytes, sizeof(golden_header) - 1, &header));
    assert_false(fab__header_read(bytes, FAB__HEADER_BYTES - 1, &header));
    assert_false(fab__header_read(bytes, 0, &header));
    for (uint32_t first = 0; first <= UINT8_MAX; first++) {
        bytes[0] = (uint8_t)first;
        assert_int_equal(fab__header_read(bytes, sizeof(bytes), &header),
                         first == 0x20 || first == 0x21);
    }
    bytes[0] = 0x21;
    bytes[1] = FAB__SACK_WORDS_MAX + 1;
    assert_false(fab__header_read(bytes, sizeof(bytes), &header));
    bytes[1] = FAB__SACK_WORDS_MAX;
    assert_true(fab__header_read(bytes, FAB__HEADER_BYTES_MAX, &header));
    memset(bytes + 4, 0, 4);
    assert_false(fab__header_read(bytes, sizeof(bytes), &header)); /* to no session */
    bytes[4] = 1;
    memset(bytes + 8, 0, 8);
    assert_false(fab__header_read(bytes, sizeof(bytes), &header)); /* numbers begin at 1 */
}

static void a_hello_is_little_endian_and_checked(void **state)
{
    struct fab__hello hello = {
        .flags = FAB__HELLO_ANSWER | FAB__HELLO_SEALED,
        .mtu_bytes = 1500,
        .source_node = 1,
        .target_node = 1023,
        .source_epoch = 5,
        .target_epoch = 16383,
        .source_session = 5u << FAB__SESSION_EPOCH_SHIFT | 1u,
        .target_session = 0x14131211,
        .ciphers = 3,
    };
    struct fab__hello back;
    uint8_t bytes[FAB__HELLO_BYTES + 48] = {0};

    (void)state;
    fab__hello_write(bytes, &hello);
    expect_bytes(bytes, FAB__HELLO_BYTES, golden_hello, sizeof(golden_hello));
    assert_true(fab__hello_read(bytes, sizeof(bytes), &back));
    fab__hello_write(bytes, &back);
    expect_bytes(bytes, FAB__HELLO_BYTES, golden_hello, sizeof(golden_hello));
    assert_false(fab__hello_read(bytes, FAB__HELLO_BYTES - 1, &back));
    for (uint32_t at = 0; at < FAB__HELLO_BYTES; at++) {
        bool checked = at <= 1 || at >= 21; /* version, flags, and what must be zero */
        bytes[at] ^= 0x40;
        assert_int_equal(fab__hello_read(bytes, sizeof(bytes), &back), !checked);
        bytes[at] ^= 0x40;
    }
    memset(bytes + 12, 0, 4);
    assert_false(fab__hello_read(bytes, sizeof(bytes), &back));
}

/* --- what a node really sends --------------------------------------------------------------- */

static struct xh_heap *heap;
static struct fab_node *node;

static int node_make(void **state)
{
    struct xh_options heap_options = {.range_bytes = 2u << 20};
    struct fab_options options = {.node_id = 2, .epoch = 3, .endpoint_count_max = 16};
    struct fab_peer peer = {.node_id = 1, .epoch = 7, .mtu_bytes = 1024};
    uint8_t bytes[1024] = {0};

    (void)state;
    assert_int_equal(xh_heap_create(&heap_options, &heap), SF_OK);
    options.heap = heap;
    assert_int_equal(fab_node_create(&options, &node), SF_OK);
    assert_int_equal(fab_peer_add(node, &peer, 0), SF_OK);
    assert_int_equal(fab_tx(node, 1, bytes, sizeof(bytes), 0), FAB__HELLO_BYTES);
    node->sessions[1]->peer_number = 7u << FAB__SESSION_EPOCH_SHIFT | 1u;
    fab__session_opened(node->sessions[1]);
    assert_int_equal(fab_tx(node, 1, bytes, sizeof(bytes), 0), FAB__HEADER_BYTES);
    return 0;
}

static int node_end(void **state)
{
    (void)state;
    fab_node_destroy(node);
    xh_heap_destroy(heap);
    return 0;
}

static void expect_payload(const uint8_t *golden, uint32_t golden_length)
{
    uint8_t bytes[1024] = {0};
    uint32_t length = fab_tx(node, 1, bytes, sizeof(bytes), 0);

    assert_true(length > FAB__HEADER_BYTES);
    expect_bytes(bytes + FAB__HEADER_BYTES, length - FAB__HEADER_BYTES, golden, golden_length);
}

/* Ids: node 2 << 54, epoch 3 << 40, counter. */
#define ID(counter) (counter), 0, 0, 0, 0, 3, 0x80, 0

static void open_message_block_and_close(void **state)
{
    /* clang-format off */
    static const uint8_t golden[] = {
        1, 0, 52, 0, ID(1), ID(2),                            /* OPEN: importer, exporter, */
        0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,       /* contract id, */
        0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
        0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
        0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
        'w', 'o', 'r', 'k',                                   /* export */
        2, 0, 20, 0, ID(2), WORK_BYTES, 2,                    /* MSG: target, tag, arguments: */
        CT_ARG_BLOCK, 5, 0, 0, 0, CT_ARG_BLOCK, 0, 0, 0, 0,   /* a block of 5 bytes, none */
        3, 0, 13, 0, ID(2), 'h', 'e', 'l', 'l', 'o',          /* DATA */
        4, 0, 12, 0, ID(2), 3, 10, 0, 0,                      /* CLOSE: peer faulted, quota */
    };
    /* clang-format on */
    struct fab_msg msg = {.tag = WORK_BYTES, .arg_count = 2};
    struct fab_ep *imp;

    (void)state;
    assert_int_equal(fab_open(node, 1, "work", test_work(), &imp), SF_OK);
    assert_int_equal(xh_alloc(heap, 5, 9, &msg.args[0].block), SF_OK);
    memcpy(msg.args[0].block->data, "hello", 5);
    assert_int_equal(fab_ep_send(imp, &msg, 9), SF_OK);
    fab_ep_close(imp, (struct sf_cause){.kind = SF_CAUSE_PEER_FAULTED, .fault = 10});
    expect_payload(golden, sizeof(golden));
}

static void scalars_have_their_own_width(void **state)
{
    /* clang-format off */
    static const uint8_t golden[] = {
        2, 1, 23, 0, ID(2), WORK_ASK, /* a compact MSG */
        8, 7, 6, 5, 4, 3, 2, 1, 0xd, 0xc, 0xb, 0xa, 0xfb, 1,
    };
    /* clang-format on */
    struct fab_msg msg = {.tag = WORK_ASK, .arg_count = 4};
    uint8_t bytes[1024] = {0};
    struct fab_ep *imp;

    (void)state;
    assert_int_equal(fab_open(node, 1, "work", test_work(), &imp), SF_OK);
    assert_true(fab_tx(node, 1, bytes, sizeof(bytes), 0) > 0); /* OPEN */
    msg.args[0].scalar = 0x0102030405060708ull;
    msg.args[1].scalar = 0x0a0b0c0d;
    msg.args[2].scalar = (uint64_t)-5;
    msg.args[3].scalar = 1;
    assert_int_equal(fab_ep_send(imp, &msg, 9), SF_OK);
    expect_payload(golden, sizeof(golden));
}

static void an_endpoint_on_its_way(void **state)
{
    /* clang-format off */
    static const uint8_t golden[] = {
        2, 0, 53, 0, ID(2), CARRY_TAKE_IMP, 2,
        CT_ARG_UINT64, 0, 0, 0, 0, 0, 0, 0, 0,
        CT_ARG_ENDPOINT, ID(3), ID(4),                  /* endpoint, its peer, */
        0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, /* contract, */
        2, 0, CT_IMP, WORK_START, 1,                    /* peer's node, side, state, attached, */
        0, 0, 0, 0,                                     /* cause: open */
    };
    /* clang-format on */
    struct fab_msg msg = {.tag = CARRY_TAKE_IMP, .arg_count = 2};
    uint8_t bytes[1024] = {0};
    struct fab_ep *carry;
    struct fab_ep *exp;

    (void)state;
    assert_int_equal(fab_open(node, 1, "carry", test_carry(), &carry), SF_OK);
    assert_true(fab_tx(node, 1, bytes, sizeof(bytes), 0) > 0); /* OPEN */
    assert_int_equal(fab_chan_create(node, test_work(), 0, &msg.args[1].ep, &exp), SF_OK);
    assert_int_equal(fab_ep_send(carry, &msg, 9), SF_OK);
    expect_payload(golden, sizeof(golden));
}

/* A record as fab__outbox_write makes it from what an endpoint owes. */
static void owed(struct fab_ep *ep, uint8_t owes, const uint8_t *golden, uint32_t golden_length)
{
    ep->owes = owes;
    fab__schedule(ep);
    expect_payload(golden, golden_length);
}

static void the_records_of_a_move(void **state)
{
    /* clang-format off */
    static const uint8_t here[] = {7, 0, 16, 0, ID(2), ID(1)};           /* moved end, peer */
    static const uint8_t moved[] = {6, 0, 18, 0, ID(2), ID(1), 0xfe, 3}; /* peer, moved end, node */
    static const uint8_t replies[] = {
        5, 0, 12, 0, 9, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, /* ARRIVED: refused, quota */
        8, 0, 8, 0, 9, 0, 0, 0, 0, 0, 0, 0,              /* MOVED_ACK */
        4, 0, 12, 0, 9, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, /* CLOSE: node lost */
    };
    static const uint8_t forwarded[] = {4, 1, 12, 0, ID(1), 10, 0, 0, 0};
    /* clang-format on */
    struct fab__session *session = node->sessions[1];
    uint8_t bytes[1024] = {0};
    struct fab_ep *imp;

    (void)state;
    assert_int_equal(fab_open(node, 1, "work", test_work(), &imp), SF_OK);
    assert_true(fab_tx(node, 1, bytes, sizeof(bytes), 0) > 0); /* OPEN */
    owed(imp, FAB__OWES_HERE, here, sizeof(here));
    imp->life = FAB__MOVED;
    imp->arrived = true;
    imp->target_node = 1022;
    owed(imp, FAB__OWES_MOVED, moved, sizeof(moved));

    fab__reply(session, FAB__RECORD_ARRIVED, 9, SF_CAUSE_OF(QUOTA));
    fab__reply(session, FAB__RECORD_MOVED_ACK, 9, SF_CAUSE_OF(NONE));
    fab__reply(session, FAB__RECORD_CLOSE, 9, SF_CAUSE_OF(NODE_LOST));
    expect_payload(replies, sizeof(replies));

    imp->target_node = 1;
    imp->place = FAB__GONE;
    imp->tell_cause = SF_CAUSE_OF(SHUTDOWN);
    owed(imp, FAB__OWES_FORWARD, forwarded, sizeof(forwarded));
}

static void a_block_that_is_to_be_read(void **state)
{
    /* clang-format off */
    uint8_t golden[] = {
        2, 0, 20, 0, ID(2), WORK_BYTES, 2,                    /* MSG: target, tag, arguments: */
        CT_ARG_BLOCK, 200, 0, 0, 0, CT_ARG_BLOCK, 0, 0, 0, 0, /* a block of 200 bytes, none */
        9, 0, 20, 0, ID(2),                                   /* REFER: target, */
        0, 0, 0, 0, 0, 0, 0, 0, 200, 0, 0, 0,                 /* where it lies, bytes */
    };
    static const uint8_t replies[] = {
        10, 0, 8, 0, 9, 0, 0, 0, 0, 0, 0, 0, /* TAKEN */
        11, 0, 8, 0, 9, 0, 0, 0, 0, 0, 0, 0, /* UNREAD */
    };
    /* clang-format on */
    struct fab_msg msg = {.tag = WORK_BYTES, .arg_count = 2};
    struct fab__session *session = node->sessions[1];
    uint8_t bytes[1024] = {0};
    struct fab__hello hello;
    struct fab_ep *imp;

    (void)state;
    session->reads = session->refers = true;
    session->read_bytes_min = 200;
    assert_int_equal(fab_open(node, 1, "work", test_work(), &imp), SF_OK);
    assert_true(fab_tx(node, 1, bytes, sizeof(bytes), 0) > 0); /* OPEN */
    assert_int_equal(xh_alloc(heap, 200, 9, &msg.args[0].block), SF_OK);
    memcpy(golden + sizeof(golden) - 12, &msg.args[0].block->data, 8);
    assert_int_equal(fab_ep_send(imp, &msg, 9), SF_OK);
    expect_payload(golden, sizeof(golden));

    fab__reply(session, FAB__RECORD_TAKEN, 9, SF_CAUSE_OF(NONE));
    fab__reply(session, FAB__RECORD_UNREAD, 9, SF_CAUSE_OF(NONE));
    expect_payload(replies, sizeof(replies));

    hello = fab__hello_of(session);
    fab__hello_write(bytes, &hello);
    assert_int_equal(bytes[1], 4); /* flags: reads */
    assert_true(fab__hello_read(bytes, FAB__HELLO_BYTES, &hello));
    bytes[1] = 6;
    assert_false(fab__hello_read(bytes, FAB__HELLO_BYTES, &hello)); /* not if sealed */
}

static void the_records_of_a_sip_that_moves(void **state)
{
    /* clang-format off */
#define MOVE 7, 0, 0, 0, 0, 3, 0x80, 0 /* node 2, epoch 3, number 7 */
    static const uint8_t hold[] = {12, 0, 26, 0, ID(2), ID(1), MOVE, 0xfe, 3}; /* peer, end, target */
    static const uint8_t here[] = {16, 0, 24, 0, ID(2), ID(1), MOVE};
    static const uint8_t held[] = {13, 0, 25, 0, ID(2), ID(1), MOVE, 0};
    static const uint8_t replies[] = {
        13, 0, 25, 0, ID(1), ID(2), MOVE, 1, /* HELD: no way to the target */
        14, 0, 24, 0, ID(1), ID(2), MOVE,    /* UNHOLD */
        15, 0, 24, 0, ID(1), ID(2), MOVE,    /* RELEASED */
        17, 0, 24, 0, ID(1), ID(2), MOVE,    /* AWAITED */
        18, 0, 24, 0, ID(1), ID(2), MOVE,    /* DROPPED */
        19, 0, 8, 0, MOVE,                   /* MOVE_OVER */
    };
    /* clang-format on */
    static const uint64_t id = 2ull << FAB__ID_NODE_SHIFT | 3ull << FAB__ID_EPOCH_SHIFT;
    struct fab__session *session = node->sessions[1];
    uint64_t move = fab_move_id(2, 3, 7);
    struct fab_cargo *cargo;
    uint8_t bytes[1024] = {0};
    struct fab_ep *imp;

    (void)state;
    assert_int_equal(fab_open(node, 1, "work", test_work(), &imp), SF_OK);
    assert_true(fab_tx(node, 1, bytes, sizeof(bytes), 0) > 0); /* OPEN */
    assert_int_equal(fab_cargo_begin(node, move, 1022, &cargo), SF_OK);
    assert_int_equal(fab_cargo_add(cargo, imp), SF_OK);
    assert_int_equal(fab_cargo_check(cargo), FAB_CARGO_HOLDING);
    expect_payload(hold, sizeof(hold));
    imp->aboard = FAB__ABOARD_NEW;
    fab_cargo_return(cargo);
    assert_true(fab_tx(node, 1, bytes, sizeof(bytes), 0) > 0); /* MOVE_OVER */

    imp->came_by = move;
    owed(imp, FAB__OWES_NOW_HERE, here, sizeof(here));
    imp->hold = calloc(1, sizeof(*imp->hold));
    imp->hold->move = move;
    owed(imp, FAB__OWES_HELD, held, sizeof(held));

    fab__reply_move(session, FAB__RECORD_HELD, id | 1, id | 2, move, FAB__HELD_NO_WAY);
    fab__reply_move(session, FAB__RECORD_UNHOLD, id | 1, id | 2, move, 0);
    fab__reply_move(session, FAB__RECORD_RELEASED, id | 1, id | 2, move, 0);
    fab__reply_move(session, FAB__RECORD_AWAITED, id | 1, id | 2, move, 0);
    fab__reply_move(session, FAB__RECORD_DROPPED, id | 1, id | 2, move, 0);
    fab__reply_move(session, FAB__RECORD_MOVE_OVER, 0, 0, move, 0);
    expect_payload(replies, sizeof(replies));
}

static void the_first_frames_of_a_session(void **state)
{
    /* clang-format off */
    static const uint8_t hello[] = {
        0x22, 0, 0, 4, 2, 0, 1, 0, 3, 0, 7, 0,    /* MTU 1024; nodes 2, 1; epochs 3, 7 */
        1, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0,      /* our session, theirs is not known */
    };
    static const uint8_t answer[] = {
        0x22, 0, 0, 4, 2, 0, 1, 0, 3, 0, 7, 0,
        1, 0, 12, 0, 1, 0, 28, 0, 0, 0, 0, 0,     /* our session, theirs */
    };
    static const uint8_t control[] = {
        0x20, 0, 0, 0, 1, 0, 28, 0,               /* no hold; their session */
        1, 0, 0, 0, 0, 0, 0, 0,                   /* the first frame; */
        1, 0, 0, 0, 1, 0, 0, 0,                   /* next sequence, ack */
    };
    static const struct fab__header theirs_first = {
        .target_session = 3u << FAB__SESSION_EPOCH_SHIFT | 1u,
        .number = 1,
        .sequence = 1,
        .ack = 1,
    };
    /* clang-format on */
    struct fab_peer peer = {.node_id = 1, .epoch = 7, .mtu_bytes = 1024};
    uint8_t theirs[FAB__HELLO_BYTES];
    uint8_t bytes[1024] = {0};

    (void)state;
    fab_peer_remove(node, 1, SF_CAUSE_OF(LINK_LOST));
    node->peers[1].session_counter = 0;
    assert_int_equal(fab_peer_add(node, &peer, 0), SF_OK);
    expect_bytes(bytes, fab_tx(node, 1, bytes, sizeof(bytes), 0), hello, sizeof(hello));
    fab__hello_write(theirs, &(struct fab__hello){
                                 .mtu_bytes = 9000,
                                 .source_node = 1,
                                 .target_node = 2,
                                 .source_epoch = 7,
                                 .target_epoch = 3,
                                 .source_session = 7u << FAB__SESSION_EPOCH_SHIFT | 1u,
                             });
    fab_rx(node, 1, theirs, sizeof(theirs), 0);
    expect_bytes(bytes, fab_tx(node, 1, bytes, sizeof(bytes), 0), answer, sizeof(answer));
    fab__header_write(theirs, &theirs_first);
    fab_rx(node, 1, theirs, FAB__HEADER_BYTES, 0);
    expect_bytes(bytes, fab_tx(node, 1, bytes, sizeof(bytes), 0), control, sizeof(control));
}

#define NODE_TEST(f) cmocka_unit_test_setup_teardown(f, node_make, node_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_header_is_little_endian),
        cmocka_unit_test(a_header_that_is_wrong_is_refused),
        cmocka_unit_test(a_hello_is_little_endian_and_checked),
        NODE_TEST(open_message_block_and_close),
        NODE_TEST(scalars_have_their_own_width),
        NODE_TEST(an_endpoint_on_its_way),
        NODE_TEST(the_records_of_a_move),
        NODE_TEST(a_block_that_is_to_be_read),
        NODE_TEST(the_records_of_a_sip_that_moves),
        NODE_TEST(the_first_frames_of_a_session),
    };

    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
