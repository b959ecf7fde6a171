/* SPDX-License-Identifier: Apache-2.0 */
#include "test_net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#define STEP_NS 100000u
#define DELAY_NS 200000u
#define REORDER_NS 2000000u
#define SPLIT_BYTES 120u

bool net_sealed;
uint32_t net_read_bytes_min;

uint64_t net_random(struct net *net)
{
    net->random ^= net->random << 13;
    net->random ^= net->random >> 7;
    net->random ^= net->random << 17;
    return net->random;
}

static void on_opened(void *arg, uint64_t export_owner, const char *export_name, struct fab_ep *exp)
{
    struct net_node *node = arg;

    (void)export_owner;
    (void)export_name;
    node->opened_count++;
    node->opened_last = exp;
}

static void on_session_lost(void *arg, uint16_t peer_id, struct sf_cause cause)
{
    struct net_node *node = arg;

    node->lost_count++;
    node->lost_last = peer_id;
    node->lost_cause = cause;
}

static void on_waiting(void *arg, uint32_t lane)
{
    struct net_node *node = arg;

    node->waiting_count[lane]++;
}

static bool on_read(void *arg, uint16_t peer_id, uint64_t address, void *to, uint32_t bytes,
                    uint64_t cookie)
{
    struct net_node *node = arg;
    struct net *net = node->net;
    struct net_read *read = &net->reads[net->read_count];

    if (net->no_reads || net->read_count == NET_READS_MAX) {
        return false;
    }
    *read = (struct net_read){
        .due_ns =
            net->now_ns + net_below(net, net->read_ns == 0 ? REORDER_NS : (uint32_t)net->read_ns),
        .reader = node->id,
        .peer = peer_id,
        .permit = net->permits[peer_id][node->id],
        .fails = net_below(net, 100) < net->read_fail_percent,
        .from = (const uint8_t *)(uintptr_t)address,
        .to = to,
        .bytes = bytes,
        .cookie = cookie,
    };
    memcpy(read->to, read->from, bytes / 2);
    net->read_count++;
    return true;
}

/* With the permit to read goes the way of frames, as queue pairs are: what is on it is lost. */
static void permit_end(struct net *net, uint16_t id, uint16_t reader)
{
    net->permits[id][reader]++;
    for (uint32_t i = 0; i < net->frame_count && net_read_bytes_min != 0; i++) {
        struct net_frame *frame = &net->frames[i];
        if (frame->from == id && frame->to == reader) {
            frame->length = 0;
        }
    }
}

static void on_revoke(void *arg, uint16_t peer_id)
{
    struct net_node *node = arg;

    permit_end(node->net, node->id, peer_id);
}

static void read_end(struct net *net, uint32_t index)
{
    struct net_read read = net->reads[index];
    bool permitted = read.permit == net->permits[read.peer][read.reader];

    net->reads[index] = net->reads[--net->read_count];
    net->revoked += !permitted;
    if (permitted && !read.fails) {
        memcpy(read.to + read.bytes / 2, read.from + read.bytes / 2, read.bytes - read.bytes / 2);
    }
    fab_read_done(net->nodes[read.reader].fab, read.cookie, permitted && !read.fails, net->now_ns);
}

void net_reads_end(struct net *net, uint16_t reader)
{
    for (uint32_t i = net->read_count; i-- > 0;) {
        if (net->reads[i].reader == reader) {
            net->reads[i].fails = true;
            read_end(net, i);
        }
    }
}

static void reads_deliver(struct net *net)
{
    for (uint32_t i = net->read_count; i-- > 0;) {
        if (net->reads[i].due_ns <= net->now_ns) {
            read_end(net, i);
        }
    }
}

static uint32_t on_bytes(void *arg, struct fab_ep *ep, const struct fab_msg *msg, uint32_t index,
                         uint32_t offset, const uint8_t *bytes, uint32_t length)
{
    const struct net_node *node = arg;

    return node->bytes != NULL ? node->bytes(ep, msg, index, offset, bytes, length) : 0;
}

/* Not of the net's own random numbers, so that a seed means the same sealed or not. */
static void on_random(void *arg, uint8_t *bytes, uint32_t length)
{
    struct net_node *node = arg;

    for (uint32_t i = 0; i < length; i++) {
        node->net->secret = node->net->secret * 6364136223846793005ull + 1442695040888963407ull;
        bytes[i] = (uint8_t)(node->net->secret >> 56);
    }
}

static void node_make(struct net *net, uint16_t id, uint16_t epoch)
{
    struct net_node *node = &net->nodes[id];
    struct xh_options heap_options = {.range_bytes = 8u << 20};
    struct fab_options options = {
        .node_id = id,
        .epoch = epoch,
        .events = {.bytes = on_bytes,
                   .opened = on_opened,
                   .session_lost = on_session_lost,
                   .read = on_read,
                   .revoke = on_revoke,
                   .waiting = on_waiting},
        .events_arg = node,
        .endpoint_count_max = 512,
    };

    *node = (struct net_node){.net = net, .id = id, .epoch = epoch};
    if (net_sealed) {
        on_random(node, node->secret_key, sizeof(node->secret_key));
        assert_int_equal(crypto_scalarmult_base(node->key, node->secret_key), 0);
        options.secret_key = node->secret_key;
        options.random = on_random;
    }
    assert_int_equal(xh_heap_create(&heap_options, &node->heap), SF_OK);
    options.heap = node->heap;
    assert_int_equal(fab_node_create(&options, &node->fab), SF_OK);
    assert_int_equal(fab_contract_add(node->fab, test_work()), SF_OK);
    assert_int_equal(fab_contract_add(node->fab, test_carry()), SF_OK);
    assert_int_equal(fab_export_add(node->fab, "work", test_work(), id), SF_OK);
    assert_int_equal(fab_export_add(node->fab, "carry", test_carry(), id), SF_OK);
}

static void node_end(struct net_node *node)
{
    struct xh_stats stats;

    net_reads_end(node->net, node->id);
    for (uint16_t id = 1; id <= NET_NODES_MAX; id++) {
        permit_end(node->net, node->id, id); /* its memory is gone */
    }
    fab_node_destroy(node->fab);
    xh_query(node->heap, &stats);
    assert_int_equal(stats.block_count, 0);
    xh_heap_destroy(node->heap);
}

struct fab_peer net_peer(const struct net *net, uint16_t id)
{
    const struct net_node *node = &net->nodes[id];
    struct fab_peer peer = {
        .node_id = id, .epoch = node->epoch, .mtu_bytes = NET_MTU, .sealed = net_sealed};

    peer.reads = net_read_bytes_min != 0;
    peer.read_bytes_min = net_read_bytes_min;

    memcpy(peer.key, node->key, sizeof(peer.key));
    return peer;
}

void net_introduce(struct net *net, uint16_t a, uint16_t b)
{
    struct net_node *na = &net->nodes[a];
    struct net_node *nb = &net->nodes[b];
    struct fab_peer peer = net_peer(net, b);
    sf_status st = fab_peer_add(na->fab, &peer, net->now_ns);

    assert_true(st == SF_OK || st == SF_EXISTS);
    peer = net_peer(net, a);
    st = fab_peer_add(nb->fab, &peer, net->now_ns);
    assert_true(st == SF_OK || st == SF_EXISTS);
}

void net_make(struct net *net, uint32_t node_count, uint64_t seed)
{
    *net = (struct net){
        .now_ns = 1000000000ull,
        .seed = seed,
        .random = seed * 0x9e3779b97f4a7c15ull | 1u,
    };
    net->node_count = node_count;
    net->frames = calloc(NET_FRAMES_MAX, sizeof(*net->frames));
    assert_non_null(net->frames);
    for (uint16_t id = 1; id <= node_count; id++) {
        node_make(net, id, 1);
    }
    for (uint16_t a = 1; a <= node_count; a++) {
        for (uint16_t b = (uint16_t)(a + 1); b <= node_count; b++) {
            net_introduce(net, a, b);
        }
    }
}

void net_end(struct net *net)
{
    net_audit(net);
    for (uint16_t id = 1; id <= net->node_count; id++) {
        node_end(&net->nodes[id]);
    }
    free(net->frames);
}

void net_restart(struct net *net, uint16_t id)
{
    uint16_t epoch = net->nodes[id].epoch;

    node_end(&net->nodes[id]);
    node_make(net, id, (uint16_t)(epoch + 1));
}

static void frame_push(struct net *net, uint16_t from, uint16_t to, const uint8_t *bytes,
                       uint32_t length)
{
    struct net_frame *frame;

    if (net->cut[from][to] || net->frame_count == NET_FRAMES_MAX ||
        net_below(net, 100) < net->loss_percent) {
        return;
    }
    frame = &net->frames[net->frame_count++];
    frame->from = from;
    frame->to = to;
    frame->length = length;
    frame->due_ns = net->now_ns + DELAY_NS;
    if (net_below(net, 100) < net->reorder_percent) {
        frame->due_ns += net_below(net, REORDER_NS);
    }
    memcpy(frame->bytes, bytes, length);
    if (net->damage_percent != 0 && net_below(net, 100) < net->damage_percent) {
        frame->bytes[net_below(net, length)] ^= (uint8_t)(1u << net_below(net, 8));
    }
}

static void lane_send(struct net *net, struct net_node *node, uint32_t lane)
{
    static uint8_t bytes[NET_MTU];
    uint16_t to;

    while ((to = fab_lane_pending(node->fab, lane)) != 0) {
        uint32_t length = fab_tx(node->fab, to, bytes, sizeof(bytes), net->now_ns);
        assert_true(length > 0 && length <= NET_MTU);
        if (net->tamper != NULL) {
            length = net->tamper(net, node->id, to, bytes, length);
        }
        frame_push(net, node->id, to, bytes, length);
        if (net_below(net, 100) < net->duplicate_percent) {
            frame_push(net, node->id, to, bytes, length);
        }
    }
}

static void node_send(struct net *net, struct net_node *node)
{
    (void)fab_tick(node->fab, net->now_ns);
    for (uint32_t lane = 0; lane < FAB_LANES_MAX; lane++) {
        lane_send(net, node, lane);
    }
}

/* A long frame comes in two parts, as some drivers have it. */
static void frame_deliver(struct net *net, struct net_frame *frame)
{
    struct fab_node *to = net->nodes[frame->to].fab;
    uint32_t tail_bytes = frame->length > SPLIT_BYTES ? frame->length - SPLIT_BYTES : 0;
    uint8_t *tail = NULL;

    if (tail_bytes != 0) {
        tail = malloc(tail_bytes);
        assert_non_null(tail);
        memcpy(tail, frame->bytes + SPLIT_BYTES, tail_bytes);
        memset(frame->bytes + SPLIT_BYTES, 0xdd, tail_bytes);
    }
    fab_rx_tailed(to, frame->from, frame->bytes, frame->length - tail_bytes, tail, tail_bytes,
                  net->now_ns);
    free(tail);
}

/* In order of sending among those that are due. */
static void frames_deliver(struct net *net)
{
    uint32_t kept = 0;
    uint32_t count = net->frame_count;

    for (uint32_t i = 0; i < count; i++) {
        struct net_frame *frame = &net->frames[i];
        if (frame->length == 0) {
            continue;
        }
        if (frame->due_ns <= net->now_ns && net->slow[frame->to] <= net->now_ns) {
            frame_deliver(net, frame);
        } else {
            if (kept != i) {
                net->frames[kept] = *frame;
            }
            kept++;
        }
    }
    net->frame_count = kept;
}

void net_run(struct net *net, uint64_t ns)
{
    uint64_t end_ns = net->now_ns + ns;

    while (net->now_ns < end_ns) {
        for (uint16_t id = 1; id <= net->node_count; id++) {
            if (net->slow[id] <= net->now_ns) {
                node_send(net, &net->nodes[id]);
            }
        }
        net->now_ns += STEP_NS;
        reads_deliver(net);
        frames_deliver(net);
    }
}

void net_audit(struct net *net)
{
    for (uint16_t id = 1; id <= net->node_count; id++) {
        const char *text = "";
        if (fab_audit(net->nodes[id].fab, &text) != SF_OK ||
            xh_audit(net->nodes[id].heap, &text) != SF_OK) {
            fail_msg("seed %llu: audit of node %u: %s", (unsigned long long)net->seed, id, text);
        }
    }
}

static void count_ep(void *arg, const struct fab_ep *ep)
{
    (void)ep;
    ++*(uint32_t *)arg;
}

uint32_t net_ep_count(const struct net *net, uint16_t id)
{
    uint32_t count = 0;

    fab_ep_walk(net->nodes[id].fab, count_ep, &count);
    return count;
}

uint64_t net_block_count(const struct net *net, uint16_t id)
{
    struct xh_stats stats;

    xh_query(net->nodes[id].heap, &stats);
    return stats.block_count;
}
