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

#include "test_liar.h"
#include "test_net.h"
#include "test_victim.h"

#define SEEDS 80u
#define STEPS 600u

static struct victim victim;
static uint64_t random_state;
static uint64_t only_seed;

static uint32_t below(uint32_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 8) % bound;
}

/* --- runs ----------------------------------------------------------------------------------- */

static uint64_t reads; /* begun */

static void run(uint64_t seed, uint64_t *lost)
{
    print_message("# seed %llu\n", (unsigned long long)seed);
    random_state = seed * 0x9e3779b97f4a7c15ull | 1u;
    victim_make(&victim, (uint32_t)seed);
    liar_begin(&victim, below);
    for (uint32_t i = 0; i < STEPS; i++) {
        switch (below(25)) {
        case 0:
            liar_noise();
            break;
        case 1:
            liar_damaged();
            break;
        case 2:
            liar_hello();
            break;
        case 3:
        case 8:
        case 9:
        case 10:
        case 11:
        case 12:
            liar_frame();
            break;
        case 13:
            victim.now_ns += below(20) == 0 ? 1ull << below(32) : below(20000000);
            break;
        case 14:
            victim.lag = below(3) == 0 ? 0 : below(100);
            break;
        case 4:
        case 5:
        case 6:
        case 7:
            victim_live(&victim, below(1u << 20));
            break;
        default:
            liar_records();
            break;
        }
        victim_audit(&victim);
    }
    *lost += victim.lost_count;
    reads += victim.reads_begun;
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
    print_message("# %llu blocks were read\n", (unsigned long long)reads);
    assert_true(reads > SEEDS);
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
    if (net->nodes[to].fab->ep_used == 0) {
        return length;
    }
    liar_append(net->nodes[to].fab, TRAITOR, &writer, below);
    return writer.length;
}

static void all_close(struct net *net)
{
    for (uint16_t id = 1; id <= 3; id++) {
        holders_moves_end(net->nodes[id].fab);
    }
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
