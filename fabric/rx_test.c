/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fab_rx against bytes that no honest node would send: noise, damaged copies of real frames, and
 * well-formed records that lie, with ids the victim knows. Once with a victim among nodes that do
 * nothing else, and once in a cell at work, where one node's frames carry lies beside the truth.
 * After each step all audits must hold; at the end nothing may be left over.
 *
 * A failure names the seed: rx_test SEED runs it alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test_net.h"
#include "test_victim.h"

#define SEEDS 60u
#define STEPS 600u

static struct victim victim;
static struct fab_node *deceived; /* the node that is lied to */
static uint64_t random_state;
static uint64_t only_seed;

static uint32_t below(uint32_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 8) % bound;
}

static uint16_t hostile(void)
{
    return below(2) == 0 ? 1 : 3;
}

/* --- records that lie ----------------------------------------------------------------------- */

/* Most lies are told about one endpoint of the victim, by the node that it talks to. */
static struct fab_ep *topic;
static uint16_t liar;

static void topic_choose(void)
{
    liar = hostile();
    topic = &deceived->eps[below(deceived->ep_used)];
    for (uint32_t i = 0; i < 8 && topic->life == FAB__FREE; i++) {
        topic = &deceived->eps[below(deceived->ep_used)];
    }
    if (below(20) != 0 && topic->life != FAB__FREE) {
        uint16_t node = topic->place == FAB__PENDING && below(2) == 0 ? topic->via_node
                        : topic->life == FAB__MOVED && below(2) == 0  ? topic->target_node
                                                                      : topic->peer_node;
        liar = node == 1 || node == 3 ? node : liar;
    }
}

static uint64_t fresh_id(uint16_t node)
{
    return (uint64_t)node << FAB__ID_NODE_SHIFT | 1ull << FAB__ID_EPOCH_SHIFT |
           (1u + below(1u << 20));
}

static uint64_t target_id(void)
{
    return below(20) == 0 ? fresh_id(hostile()) : topic->id;
}

static uint64_t other_id(void)
{
    return below(20) == 0 ? fresh_id(hostile()) : topic->peer_id;
}

/* For endpoints that arrive: new ones, or ones that come back. */
static uint64_t some_id(void)
{
    const struct fab_ep *ep = &deceived->eps[below(deceived->ep_used)];

    switch (below(8)) {
    case 0:
        return ep->life == FAB__MOVED ? ep->id : ep->peer_id;
    case 1:
        return ep->peer_id;
    case 2:
        return ep->id;
    default:
        return fresh_id(hostile());
    }
}

static struct sf_cause some_cause(void)
{
    return (struct sf_cause){.kind = (uint8_t)below(14), .fault = (uint8_t)below(14)};
}

static void lie_msg(struct fab__writer *writer)
{
    const struct ct_contract *table =
        topic->life == FAB__FREE ? test_carry() : topic->contract->table;
    struct fab__wire_msg msg = {.target = target_id()};

    for (uint32_t i = 0; i < 20; i++) {
        msg.tag = (uint8_t)below(table->message_count);
        if (topic->life != FAB__FREE &&
            ct_step(table, topic->arrival_state, ct_other(topic->side), msg.tag) != CT_ILLEGAL) {
            break; /* mostly legal ones */
        }
    }

    msg.arg_count = table->messages[msg.tag].arg_count;
    for (uint32_t i = 0; i < msg.arg_count; i++) {
        const struct ct_arg *arg = &table->messages[msg.tag].args[i];
        msg.kinds[i] = below(40) == 0 ? (uint8_t)below(CT_ARG_ENDPOINT + 1) : arg->kind;
        if (msg.kinds[i] == CT_ARG_BLOCK) {
            msg.args[i].block_bytes = below(10) == 0 ? below(1u << 30) : below(2000) / 4 * 4;
        } else if (msg.kinds[i] == CT_ARG_ENDPOINT) {
            msg.args[i].ep = (struct fab__wire_ep){
                .id = below(10) == 0 ? 0 : some_id(),
                .peer_id = some_id(),
                .contract_short_id = test_work()->short_id,
                .peer_node = (uint16_t)(1 + below(4)),
                .side = below(10) == 0 ? (uint8_t)below(2) : arg->side,
                .state = below(10) == 0 ? (uint8_t)below(8) : arg->state,
                .attached = (uint8_t)below(2),
                .cause = below(5) == 0 ? some_cause() : (struct sf_cause){0},
            };
        } else {
            msg.args[i].scalar = below(100);
        }
    }
    fab__wire_msg_write(writer, &msg);
}

static void lie_open(struct fab__writer *writer)
{
    bool carry = below(2) == 0;

    fab__write_u64(writer, fresh_id(liar));
    fab__write_u64(writer, below(20) == 0 ? some_id() : fresh_id(liar));
    fab__write_bytes(writer, carry ? test_carry()->id : test_work()->id, CT_ID_BYTES);
    fab__write_bytes(writer, carry ? "carry" : "work", carry ? 5 : 4);
}

static void lie_body(struct fab__writer *writer, uint32_t type)
{
    static const uint8_t zeros[600];

    switch (type) {
    case FAB__RECORD_OPEN:
        lie_open(writer);
        break;
    case FAB__RECORD_MSG:
        lie_msg(writer);
        break;
    case FAB__RECORD_DATA:
        fab__write_u64(writer, target_id());
        fab__write_bytes(writer, zeros, 1 + below(sizeof(zeros)));
        break;
    case FAB__RECORD_CLOSE:
    case FAB__RECORD_ARRIVED:
        fab__write_u64(writer, target_id());
        fab__write_cause(writer, below(3) == 0 ? (struct sf_cause){0} : some_cause());
        break;
    case FAB__RECORD_PEER_MOVED:
    case FAB__RECORD_PEER_HERE:
        fab__write_u64(writer, target_id());
        fab__write_u64(writer, other_id());
        if (type == FAB__RECORD_PEER_MOVED) {
            fab__write_u16(writer, (uint16_t)below(5));
        }
        break;
    default:
        fab__write_u64(writer, target_id());
        break;
    }
}

static void lies_write(struct fab__writer *writer)
{
    uint32_t count = 1 + below(2);

    for (uint32_t i = 0; i < count; i++) {
        uint32_t type = below(50) == 0 ? below(256) : 1 + below(FAB__RECORD_MOVED_ACK);
        bool forwarded = type == FAB__RECORD_CLOSE && below(2) == 0;
        uint32_t begin = fab__record_begin(writer, (enum fab__record_type)type, forwarded);
        lie_body(writer, type);
        (void)fab__record_end(writer, begin);
    }
}

static void lie(void)
{
    uint8_t bytes[2048];
    struct fab__writer writer = {.bytes = bytes, .capacity = sizeof(bytes)};

    topic_choose();
    lies_write(&writer);
    victim_records(&victim, liar, bytes, writer.length);
}

/* --- noise ---------------------------------------------------------------------------------- */

static void noise(void)
{
    uint8_t bytes[200];
    uint32_t length = below(sizeof(bytes) + 1);

    for (uint32_t i = 0; i < length; i++) {
        bytes[i] = (uint8_t)below(256);
    }
    if (below(2) == 0) {
        victim_bytes(&victim, hostile(), bytes, length);
    } else {
        victim_records(&victim, hostile(), bytes, length);
    }
}

/* A frame of the victim itself, turned round and damaged. */
static void damaged(void)
{
    uint8_t bytes[VICTIM_MTU];
    struct fab__header header = {0};
    uint16_t from = hostile();
    uint32_t length = fab_tx(victim.fab, from, bytes, sizeof(bytes), victim.now_ns);
    uint32_t header_bytes;

    if (length == 0 || !fab__header_read(bytes, length, &header)) {
        return; /* nothing to say, or a hello */
    }
    header_bytes = fab__header_bytes(&header);
    header.target_session = victim.fab->sessions[from]->number;
    header.number = ++victim.number[from];
    header.sequence = victim.sequence[from] + below(3);
    header.ack = victim.fab->sessions[from]->tx_next - below(2);
    fab__header_write(bytes, &header);
    for (uint32_t i = below(4); i > 0; i--) {
        bytes[below(length)] ^= (uint8_t)(1u << below(8));
    }
    victim_bytes(&victim, from, bytes, below(10) == 0 ? below(length + 1) : length);
    victim_records(&victim, from, bytes + header_bytes, length - header_bytes);
}

/* --- runs ----------------------------------------------------------------------------------- */

static void run(uint64_t seed, uint64_t *lost)
{
    print_message("# seed %llu\n", (unsigned long long)seed);
    random_state = seed * 0x9e3779b97f4a7c15ull | 1u;
    victim_make(&victim);
    deceived = victim.fab;
    for (uint32_t i = 0; i < STEPS; i++) {
        switch (below(20)) {
        case 0:
            noise();
            break;
        case 1:
            damaged();
            break;
        case 2:
        case 3:
        case 4:
        case 5:
        case 6:
        case 7:
            victim_live(&victim, below(1u << 20));
            break;
        default:
            lie();
            break;
        }
        victim_audit(&victim);
    }
    *lost += victim.lost_count;
    victim_end(&victim);
}

static void hostile_nodes_do_no_damage(void **state)
{
    uint64_t lost = 0;

    (void)state;
    if (only_seed != 0) {
        run(only_seed, &lost);
        return;
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run(seed, &lost);
    }
    /* Broken sessions are ended, and not everything breaks a session. */
    assert_in_range(lost, SEEDS, (uint64_t)SEEDS * STEPS / 2);
}

/* --- a traitor in a cell at work ------------------------------------------------------------ */

#define TRAITOR 3u
#define LIES_PERCENT 4u

static uint32_t tell_lies(struct net *net, uint16_t from, uint16_t to, uint8_t *bytes,
                          uint32_t length)
{
    struct fab__writer writer = {.bytes = bytes, .capacity = NET_MTU, .length = length};

    if (from != TRAITOR || !fab_frame_has_records(bytes, length) || below(100) >= LIES_PERCENT) {
        return length;
    }
    deceived = net->nodes[to].fab;
    if (deceived->ep_used == 0) {
        return length;
    }
    topic_choose();
    liar = TRAITOR;
    lies_write(&writer);
    return writer.length;
}

static void all_close(struct net *net)
{
    for (uint16_t id = 1; id <= 3; id++) {
        struct fab_node *fab = net->nodes[id].fab;
        for (uint16_t peer = 1; peer <= 3; peer++) {
            fab_peer_remove(fab, peer, SF_CAUSE_OF(SHUTDOWN));
        }
        for (uint32_t i = 0; i < fab->ep_used; i++) {
            if (fab->eps[i].life == FAB__LIVE && !fab->eps[i].in_message) {
                fab_ep_close(&fab->eps[i], SF_CAUSE_OF(SHUTDOWN));
            }
        }
        for (uint32_t i = 0; i < fab->ep_used; i++) {
            if (fab->eps[i].life != FAB__FREE) {
                fail_msg("seed %llu: a record is left", (unsigned long long)net->seed);
            }
        }
        assert_int_equal(net_block_count(net, id), 0);
    }
}

static void betray(uint64_t seed, uint64_t *lost)
{
    static struct net net;

    print_message("# seed %llu\n", (unsigned long long)seed);
    random_state = seed * 0x9e3779b97f4a7c15ull | 1u;
    net_make(&net, 3, seed);
    net.tamper = tell_lies;
    for (uint32_t i = 0; i < STEPS; i++) {
        for (uint32_t act = 0; act < 12; act++) {
            holders_act(net.nodes[1 + below(3)].fab, below(1u << 22));
        }
        net_run(&net, 300000);
        net_audit(&net);
        if (i % 30 == 0) {
            net_introduce(&net, 1, 3);
            net_introduce(&net, 2, 3);
        }
    }
    /* The two honest ones never lose each other. */
    assert_int_not_equal(net.nodes[1].lost_last, 2);
    assert_int_not_equal(net.nodes[2].lost_last, 1);
    *lost += net.nodes[1].lost_count + net.nodes[2].lost_count;
    all_close(&net);
    net_end(&net);
}

static void a_traitor_does_no_damage(void **state)
{
    uint64_t lost = 0;

    (void)state;
    if (only_seed != 0) {
        betray(only_seed, &lost);
        return;
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        betray(seed, &lost);
    }
    assert_in_range(lost, SEEDS, (uint64_t)SEEDS * STEPS);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_nodes_do_no_damage),
        cmocka_unit_test(a_traitor_does_no_damage),
    };

    only_seed = argc == 2 ? strtoull(argv[1], NULL, 10) : 0;
    return cmocka_run_group_tests_name("rx", tests, NULL, NULL);
}
