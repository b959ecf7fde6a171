/* SPDX-License-Identifier: Apache-2.0 */
#include "test_victim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OWNER 5u

static void require(bool condition, const char *text)
{
    if (!condition) {
        (void)fprintf(stderr, "victim: %s\n", text);
        abort();
    }
}

static void on_session_lost(void *arg, uint16_t peer_id, struct sf_cause cause)
{
    struct victim *victim = arg;

    (void)peer_id;
    (void)cause;
    victim->lost_count++;
}

/* The hostile node says hello as an honest one would. */
static void hello_give(struct victim *victim, uint16_t id)
{
    const struct fab__session *session = victim->fab->sessions[id];
    uint8_t bytes[FAB__HELLO_BYTES];
    struct fab__hello hello = {
        .mtu_bytes = VICTIM_MTU,
        .source_node = id,
        .target_node = VICTIM_ID,
        .source_epoch = 1,
        .target_epoch = 1,
        .source_session = victim->session[id],
        .target_session = session->number,
    };

    fab__hello_write(bytes, &hello);
    fab_rx(victim->fab, id, bytes, sizeof(bytes), victim->now_ns);
}

static void peer_begin(struct victim *victim, uint16_t id)
{
    struct fab_peer peer = {.node_id = id, .epoch = 1, .mtu_bytes = VICTIM_MTU};

    if (victim->fab->sessions[id] == NULL) {
        require(fab_peer_add(victim->fab, &peer, victim->now_ns) == SF_OK,
                "a peer cannot be added again");
    }
    if (!victim->fab->sessions[id]->open) {
        victim->sequence[id] = 1;
        victim->session[id] = victim->session[id] == 0 ? 1u << FAB__SESSION_EPOCH_SHIFT | 1u
                                                       : victim->session[id] + 1;
        hello_give(victim, id);
    }
}

void victim_make(struct victim *victim)
{
    struct xh_options heap_options = {.range_bytes = 4u << 20};
    struct fab_options options = {
        .node_id = VICTIM_ID,
        .epoch = 1,
        .events = {.session_lost = on_session_lost},
        .events_arg = victim,
        .endpoint_count_max = 128,
    };
    struct fab_ep *imp;
    struct fab_ep *exp;

    *victim = (struct victim){.now_ns = 1000000000ull};
    require(xh_heap_create(&heap_options, &victim->heap) == SF_OK, "heap");
    options.heap = victim->heap;
    require(fab_node_create(&options, &victim->fab) == SF_OK, "node");
    require(fab_export_add(victim->fab, "work", test_work(), OWNER) == SF_OK, "export");
    require(fab_export_add(victim->fab, "carry", test_carry(), OWNER) == SF_OK, "export");
    peer_begin(victim, 1);
    peer_begin(victim, 3);
    for (uint16_t id = 1; id <= 3; id++) {
        require(fab_open(victim->fab, id, "work", test_work(), &imp) == SF_OK, "open");
        require(fab_open(victim->fab, id, "carry", test_carry(), &imp) == SF_OK, "open");
    }
    require(fab_chan_create(victim->fab, test_work(), 0, &imp, &exp) == SF_OK, "channel");
}

void victim_audit(struct victim *victim)
{
    const char *text = "";

    require(fab_audit(victim->fab, &text) == SF_OK, text);
    require(xh_audit(victim->heap, &text) == SF_OK, text);
}

void victim_bytes(struct victim *victim, uint16_t from, uint8_t *bytes, uint32_t length)
{
    fab_rx(victim->fab, from, bytes, length, victim->now_ns);
}

/* A frame that acknowledges all the victim has sent. */
static void frame_give(struct victim *victim, uint16_t from, uint8_t kind, const uint8_t *bytes,
                       uint32_t length)
{
    static uint8_t frame[FAB__HEADER_BYTES + FAB_MTU_BYTES_MAX];
    const struct fab__session *session = victim->fab->sessions[from];
    struct fab__header header = {
        .kind = kind,
        .target_session = session->number,
        .number = ++victim->number[from],
        .sequence = victim->sequence[from],
        .ack = session->tx_next,
    };

    victim->sequence[from] += kind == FAB__FRAME_RECORDS;
    fab__header_write(frame, &header);
    if (length > 0) {
        memcpy(frame + FAB__HEADER_BYTES, bytes, length);
    }
    victim_bytes(victim, from, frame, FAB__HEADER_BYTES + length);
}

void victim_records(struct victim *victim, uint16_t from, const uint8_t *bytes, uint32_t length)
{
    if (length > 0 && length <= VICTIM_MTU - FAB__HEADER_BYTES) {
        peer_begin(victim, from);
        frame_give(victim, from, FAB__FRAME_RECORDS, bytes, length);
        peer_begin(victim, from);
    }
}

/* --- holders -------------------------------------------------------------------------------- */

static void hold_receive(struct fab_ep *ep)
{
    struct fab_msg msg;
    sf_status st = fab_ep_recv(ep, &msg, OWNER);

    if (st == SF_OK) {
        /* Arrived endpoints stay, as somebody's. */
        for (uint32_t i = 0; i < msg.arg_count; i++) {
            if (ep->plans[msg.tag].blocks >> i & 1u) {
                require(xh_free(ep->node->heap, msg.args[i].block, OWNER) == SF_OK, "block");
            }
        }
    } else if (st == SF_CLOSED) {
        fab_ep_close(ep, SF_CAUSE_OF(CLOSED_BY_PEER));
    }
}

static struct fab_ep *traveller_find(struct fab_node *fab, uint8_t side, uint8_t state,
                                     uint32_t from)
{
    for (uint32_t i = 0; i < fab->ep_used; i++) {
        struct fab_ep *ep = &fab->eps[(from + i) % fab->ep_used];
        if (ep->life == FAB__LIVE && !ep->in_message && ep->in.count == 0 && !ep->assembling &&
            ep->side == side && ep->state == state && ep->contract->table == test_work()) {
            return ep;
        }
    }
    return NULL;
}

/* Sends what the state allows; the fabric refuses the rest, which is part of the test. */
static void hold_send(struct fab_ep *ep, uint32_t what)
{
    struct xh_heap *heap = ep->node->heap;
    struct fab_msg msg = {.tag = (uint8_t)(what % ep->message_count)};

    msg.arg_count = ep->plans[msg.tag].arg_count;
    for (uint32_t i = 0; i < msg.arg_count; i++) {
        if (ep->plans[msg.tag].blocks >> i & 1u) {
            if (xh_alloc(heap, 4 + what % 4000 / 4 * 4, OWNER, &msg.args[i].block) != SF_OK) {
                msg.args[i].block = NULL;
            }
        } else if (ep->plans[msg.tag].eps >> i & 1u) {
            const struct ct_arg *arg = &ep->contract->table->messages[msg.tag].args[i];
            msg.args[i].ep = traveller_find(ep->node, arg->side, arg->state, what / 8);
        }
    }
    if (fab_ep_send(ep, &msg, OWNER) != SF_OK) {
        (void)xh_free_all(heap, OWNER);
    }
}

/* A channel to one of the others, or between its own. */
static void hold_open(struct fab_node *fab, uint32_t what)
{
    uint16_t to = (uint16_t)(1 + what % 3);
    bool carry = what / 3 % 2 == 0;
    struct fab_ep *imp;

    if (fab_open(fab, to, carry ? "carry" : "work", carry ? test_carry() : test_work(), &imp) !=
        SF_OK) {
        return; /* no session, or no record left */
    }
}

void holders_act(struct fab_node *fab, uint32_t what)
{
    struct fab_ep *ep = fab->ep_used == 0 ? NULL : &fab->eps[what / 16 % fab->ep_used];

    if (what % 16 == 7) {
        hold_open(fab, what / 16);
    } else if (ep != NULL && ep->life == FAB__LIVE && !ep->in_message) {
        if (what % 16 == 0 && what % 64 == 0) {
            fab_ep_close(ep, SF_CAUSE_OF(PEER_EXITED));
        } else if (what % 16 < 6 && !fab_ep_readable(ep)) {
            hold_send(ep, what / 16);
        } else {
            hold_receive(ep);
        }
    }
}

static void drain(struct victim *victim)
{
    static uint8_t frame[VICTIM_MTU];
    uint16_t to;

    (void)fab_tick(victim->fab, victim->now_ns);
    while ((to = fab_tx_pending(victim->fab, victim->now_ns)) != 0) {
        require(fab_tx(victim->fab, to, frame, sizeof(frame), victim->now_ns) > 0,
                "a frame was promised");
        frame_give(victim, to, FAB__FRAME_CONTROL, NULL, 0);
    }
}

void victim_live(struct victim *victim, uint32_t what)
{
    peer_begin(victim, 1);
    peer_begin(victim, 3);
    holders_act(victim->fab, what / 3);
    if (what % 3 == 0) {
        drain(victim);
    }
    victim->now_ns += 100000;
}

void victim_end(struct victim *victim)
{
    struct xh_stats stats;

    victim_audit(victim);
    fab_peer_remove(victim->fab, 1, SF_CAUSE_OF(NODE_LOST));
    fab_peer_remove(victim->fab, 3, SF_CAUSE_OF(NODE_LOST));
    victim_audit(victim);
    /* Closing drops messages, which frees endpoints in them: the list changes meanwhile. */
    for (uint32_t i = 0; i < victim->fab->ep_used; i++) {
        struct fab_ep *ep = &victim->fab->eps[i];
        if (ep->life == FAB__LIVE && !ep->in_message) {
            fab_ep_close(ep, SF_CAUSE_OF(SHUTDOWN));
        }
    }
    for (uint32_t i = 0; i < victim->fab->ep_used; i++) {
        require(victim->fab->eps[i].life == FAB__FREE, "a record is left");
    }
    xh_query(victim->heap, &stats);
    require(stats.block_count == 0, "a block is left");
    fab_node_destroy(victim->fab);
    xh_heap_destroy(victim->heap);
}
