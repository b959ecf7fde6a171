/* SPDX-License-Identifier: Apache-2.0 */
#include "talk.h"

#include <stdlib.h>
#include <x86intrin.h>

#include "test_contracts.h"
#include "trace.h"

static void on_opened(void *arg, uint16_t node, struct fab_ep *ep)
{
    struct talk *talk = arg;

    (void)node;
    (void)ep;
    talk->opened++;
}

static void on_lost(void *arg, uint16_t node, uint16_t peer, struct sf_cause cause)
{
    char text[80];

    (void)arg;
    sim_fail("node %u lost node %u: %s", node, peer, sf_cause_format(cause, text, sizeof(text)));
}

static void on_broken(void *arg, uint16_t a, uint16_t b)
{
    (void)arg;
    (void)a;
    (void)b;
}

static void ask(struct talk *talk, struct fab_ep *ep)
{
    struct fab_msg msg = {.tag = WORK_ASK, .arg_count = 4, .args = {{.scalar = 1}}};
    struct fab_ep_info info;

    if (talk->block_bytes != 0) {
        struct xh_block *block;
        fab_ep_query(ep, &info);
        sim_expect(xh_alloc(talk->cell.nodes[info.id >> FAB__ID_NODE_SHIFT].heap, talk->block_bytes,
                            CELL_OWNER, &block) == SF_OK);
        msg = (struct fab_msg){.tag = WORK_BYTES, .arg_count = 2, .args = {{.block = block}}};
    }
    sim_expect(fab_ep_send(ep, &msg, CELL_OWNER) == SF_OK);
}

static void asked(struct talk *talk, uint16_t node, struct fab_ep *ep, struct fab_msg *msg)
{
    struct fab_msg answer = {.tag = WORK_ANSWER, .arg_count = 1, .args = {{.scalar = 1}}};
    struct fab_ep_info info;

    if (msg->tag == WORK_BYTES) {
        struct xh_block *block = msg->args[0].block;
        fab_ep_query(ep, &info);
        talk->bytes[info.peer_node] += block->bytes;
        sim_expect(xh_free(talk->cell.nodes[node].heap, block, CELL_OWNER) == SF_OK);
    }
    sim_expect(fab_ep_send(ep, &answer, CELL_OWNER) == SF_OK);
}

static void on_ready(void *arg, uint16_t node, struct fab_ep *ep)
{
    struct talk *talk = arg;
    struct talk_chan *chan = fab_ep_holder(ep);
    uint64_t begin = __rdtsc();
    struct fab_msg msg;
    sf_status st;

    while ((st = fab_ep_recv(ep, &msg, CELL_OWNER)) == SF_OK) {
        talk->messages++;
        if (chan == NULL) {
            asked(talk, node, ep, &msg);
        } else if (chan->left > 0) {
            chan->left--;
            ask(talk, ep);
        }
    }
    sim_expect(st == SF_AGAIN);
    talk->fabric_ticks += __rdtsc() - begin;
    cell_wake(&talk->cell, node);
}

void talk_init(struct talk *talk, const struct cell_options *options, uint32_t chan_max,
               uint32_t block_bytes)
{
    struct cell_hooks hooks = {
        .arg = talk,
        .opened = on_opened,
        .ready = on_ready,
        .lost = on_lost,
        .broken = on_broken,
    };

    *talk = (struct talk){.chan_max = chan_max, .block_bytes = block_bytes};
    talk->chans = sim_alloc(chan_max, sizeof(*talk->chans));
    talk->bytes = sim_alloc(options->node_count + 1ull, sizeof(*talk->bytes));
    cell_init(&talk->cell, options, &hooks);
    talk->cell.orchestrate_ns = UINT64_MAX;
}

void talk_fini(struct talk *talk)
{
    cell_fini(&talk->cell);
    free(talk->bytes);
    free(talk->chans);
}

struct talk_chan *talk_open(struct talk *talk, uint16_t from, uint16_t to)
{
    struct talk_chan *chan = &talk->chans[talk->chan_count++];

    sim_expect(talk->chan_count <= talk->chan_max);
    sim_expect(fab_open(cell_fab(&talk->cell, from), to, "work", test_work(), &chan->imp) == SF_OK);
    fab_ep_hold(chan->imp, chan);
    cell_wake(&talk->cell, from);
    return chan;
}

void talk_begin(struct talk *talk, struct talk_chan *chan, uint32_t questions)
{
    struct fab_ep_info info;

    sim_expect(questions > 0);
    chan->left = questions - 1;
    ask(talk, chan->imp);
    fab_ep_query(chan->imp, &info);
    cell_wake(&talk->cell, (uint16_t)(info.id >> FAB__ID_NODE_SHIFT));
}
