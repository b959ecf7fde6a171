/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_talk.h - a channel of a test's net, and what is said on it. Whoever includes it defines
 * NODES first.
 */
#ifndef FABRIC_TEST_TALK_H
#define FABRIC_TEST_TALK_H

#include "test_case.h"

#define MS 1000000ull

/* A channel from node a to node b; *exp is NULL until frames have moved. */
static inline void open_pair(uint16_t a, uint16_t b, bool carry, struct fab_ep **imp,
                             struct fab_ep **exp)
{
    net.nodes[b].opened_last = NULL;
    assert_int_equal(
        fab_open(fab(a), b, carry ? "carry" : "work", carry ? test_carry() : test_work(), imp),
        SF_OK);
    net_run(&net, 2 * MS);
    *exp = net.nodes[b].opened_last;
    assert_non_null(*exp);
}

static inline void send_scalar(struct fab_ep *ep, uint8_t tag, uint64_t value)
{
    struct fab_msg msg = {.tag = tag, .arg_count = 1};

    if (tag == WORK_ASK) {
        msg.arg_count = 4;
        msg.args[2].scalar = (uint64_t)-7;
    }
    msg.args[0].scalar = value;
    assert_int_equal(fab_ep_send(ep, &msg, 1), SF_OK);
}

static inline void expect_scalar(struct fab_ep *ep, uint8_t tag, uint64_t value)
{
    struct fab_msg msg;

    assert_int_equal(fab_ep_recv(ep, &msg, 1), SF_OK);
    assert_int_equal(msg.tag, tag);
    assert_int_equal(msg.args[0].scalar, value);
    if (tag == WORK_ASK) {
        assert_int_equal(msg.args[2].scalar, (uint64_t)-7);
    }
}

static inline void expect_closed(struct fab_ep *ep, enum sf_cause_kind kind)
{
    struct fab_msg msg;

    assert_int_equal(fab_ep_recv(ep, &msg, 1), SF_CLOSED);
    assert_int_equal(fab_ep_cause(ep).kind, kind);
}

#endif
