/* SPDX-License-Identifier: Apache-2.0 */
#include "choose.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define IP(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

static struct world_node first, second;
static struct link_choice choice;
static char text[CHOOSE_TEXT_BYTES];
static struct orch_allow allow;

static void node(struct world_node *out, const char *name, const char *mode, const char *machine)
{
    memset(out, 0, sizeof(*out));
    snprintf(out->name, sizeof(out->name), "%s", name);
    snprintf(out->mode, sizeof(out->mode), "%s", mode);
    snprintf(out->machine, sizeof(out->machine), "%s", machine);
}

static void link_add(struct world_node *to, const char *driver, uint32_t ipv4)
{
    struct world_link *link = &to->own_links[to->own_link_count++];

    snprintf(link->driver, sizeof(link->driver), "%s", driver);
    link->ipv4 = ipv4;
}

static bool choose(bool no_memif)
{
    const struct link_rules rules = {.no_memif = no_memif, .rdma = &allow};

    text[0] = '\0';
    return choose_link(&first, &second, &rules, &choice, text, sizeof(text));
}

static void two_of_one_machine_get_memif(void **state)
{
    (void)state;
    node(&first, "a", "hosted", "m");
    node(&second, "b", "hosted", "m");
    assert_true(choose(false) && choice.memif);
    link_add(&first, "af_packet", IP(10, 78, 0, 1));
    link_add(&second, "af_packet", IP(10, 78, 0, 2));
    assert_true(choose(false) && choice.memif);
    node(&second, "b", "hosted", ""); /* one that does not tell */
    assert_true(choose(false) && choice.memif);
}

static void without_memif_they_use_what_they_brought(void **state)
{
    (void)state;
    node(&first, "a", "hosted", "m");
    node(&second, "b", "hosted", "m");
    link_add(&first, "af_packet", IP(10, 78, 0, 1));
    assert_false(choose(true));
    assert_string_equal(text, "there is no memif (--no-memif), and b brought no link: start it "
                              "with sipnode --link");
    link_add(&second, "dpdk", IP(10, 78, 0, 2));
    assert_true(choose(true) && !choice.memif);
    assert_int_equal(choice.link[0], 1);
    assert_int_equal(choice.link[1], 1);
}

static void machines_need_links(void **state)
{
    (void)state;
    node(&first, "a", "hosted", "m");
    node(&second, "b", "hosted", "n");
    assert_false(choose(false));
    assert_string_equal(text, "they run on different machines, and a brought no link: start it "
                              "with sipnode --link");
    link_add(&first, "af_packet", IP(10, 78, 0, 1));
    link_add(&second, "af_packet", IP(10, 78, 0, 2));
    assert_true(choose(false) && !choice.memif);
}

static void any_drivers_and_modes_fit(void **state)
{
    static const char *const drivers[] = {"af_packet", "virtio", "dpdk", "one we do not know"};
    (void)state;

    for (unsigned one = 0; one < 4; one++) {
        for (unsigned two = 0; two < 4; two++) {
            node(&first, "a", one % 2 ? "hosted" : "booted", "m");
            node(&second, "b", "booted", "n");
            link_add(&first, drivers[one], IP(10, 78, 0, 1));
            link_add(&second, drivers[two], IP(10, 78, 0, 2));
            assert_true(choose(false) && !choice.memif);
        }
    }
    node(&first, "a", "hosted", "m");
    assert_false(choose(false));
    assert_non_null(strstr(text, "one is hosted, the other booted, and a brought no link"));
    node(&second, "b", "booted", "n");
    link_add(&first, "af_packet", IP(10, 78, 0, 1));
    assert_false(choose(false));
    assert_non_null(strstr(text, "b brought no link: it needs a second nic"));
}

static void links_of_one_network_are_taken(void **state)
{
    (void)state;
    node(&first, "a", "booted", "m");
    node(&second, "b", "booted", "n");
    link_add(&first, "virtio", IP(10, 78, 0, 1));
    link_add(&first, "dpdk", IP(10, 79, 0, 1));
    link_add(&second, "dpdk", IP(10, 79, 0, 2));
    assert_true(choose(false));
    assert_int_equal(choice.link[0], 2);
    assert_int_equal(choice.link[1], 1);
    link_add(&second, "virtio", IP(10, 78, 0, 2)); /* as good as the other: the first's first */
    assert_true(choose(false));
    assert_int_equal(choice.link[0], 1);
    assert_int_equal(choice.link[1], 2);
    link_add(&second, "virtio", IP(10, 79, 0, 1)); /* that one is taken */
    assert_true(choose(false));
    assert_int_equal(choice.link[0], 1);
}

static void point_to_point_and_equal_ones_are_none(void **state)
{
    (void)state;
    node(&first, "a", "booted", "m");
    node(&second, "b", "booted", "n");
    link_add(&first, "virtio", IP(10, 78, 0, 1));
    link_add(&second, "virtio", IP(10, 78, 0, 1));
    assert_false(choose(false));
    assert_string_equal(text, "their links have the same address; each node needs one of its own");
    second.own_links[0].ipv4 = IP(10, 78, 0, 2);
    second.own_links[0].peer_node = 7;
    assert_false(choose(false));
    second.own_links[0].peer_node = 0;
    second.own_links[0].ipv4 = 0;
    assert_false(choose(false));
    assert_non_null(strstr(text, "b brought no link"));
}

static void allow_only(const char *rule)
{
    allow.rule_count = 0;
    assert_true(orch_allow_add(&allow, rule));
}

static void rdma_needs_permission(void **state)
{
    (void)state;
    node(&first, "a", "booted", "m");
    node(&second, "b", "booted", "n");
    link_add(&first, "rdma", IP(10, 78, 0, 1));
    link_add(&second, "rdma", IP(10, 78, 1, 2));
    allow.rule_count = 0;
    assert_false(choose(false));
    assert_non_null(strstr(text, "does not encrypt what it carries"));
    assert_non_null(strstr(text, "--allow-rdma a:b"));
    allow_only("a:c");
    assert_false(choose(false));
    allow_only("10.78.0.0/24"); /* one end */
    assert_false(choose(false));
    allow_only("10.78.0.0/23");
    assert_true(choose(false));
    allow_only("b:a");
    assert_true(choose(false));
    allow_only("all");
    assert_true(choose(false));
    assert_int_equal(choice.link[0], 1);
    assert_int_equal(choice.spare[0], 0);
}

static void rdma_comes_first_with_a_spare(void **state)
{
    (void)state;
    node(&first, "a", "booted", "m");
    node(&second, "b", "booted", "n");
    link_add(&first, "rdma", IP(10, 78, 0, 1));
    link_add(&first, "dpdk", IP(10, 79, 0, 1));
    link_add(&second, "virtio", IP(10, 79, 0, 2));
    link_add(&second, "rdma", IP(10, 88, 0, 2));
    allow_only("all");
    assert_true(choose(false));
    assert_int_equal(choice.link[0], 1);
    assert_int_equal(choice.link[1], 2);
    assert_int_equal(choice.spare[0], 2);
    assert_int_equal(choice.spare[1], 1);
    assert_string_equal(text, "RDMA comes first; if it fails: dpdk");
    allow.rule_count = 0;
    assert_true(choose(false));
    assert_int_equal(choice.link[0], 2);
    assert_int_equal(choice.spare[0], 0);
    assert_non_null(strstr(text, "not allowed on this link"));
    second.own_link_count = 1;
    assert_true(choose(false));
    assert_string_equal(text, "b has no RDMA");
}

static void of_two_rdma_links_the_allowed_one_is_taken(void **state)
{
    (void)state;
    node(&first, "a", "booted", "m");
    node(&second, "b", "booted", "n");
    link_add(&first, "rdma", IP(10, 78, 0, 1));
    link_add(&first, "rdma", IP(10, 90, 0, 1));
    link_add(&second, "rdma", IP(10, 78, 0, 2));
    link_add(&second, "rdma", IP(10, 91, 0, 2));
    allow_only("10.90.0.0/15");
    assert_true(choose(false));
    assert_int_equal(choice.link[0], 2);
    assert_int_equal(choice.link[1], 2);
}

static void rules_of_permission(void **state)
{
    static const char *const wrong[] = {"",           "any",         "10.78.0.1/16", "10.78.0.0/33",
                                        "10.78.0.0/", "/8",          "10.78/16",     "node1",
                                        "node1:",     ":node1",      "a:a",          "A:b",
                                        "a:b:c",      "10.0.0.0/8x", "10.0.0.0/008"};
    (void)state;

    allow.rule_count = 0;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (orch_allow_add(&allow, wrong[i])) {
            fail_msg("'%s' was taken", wrong[i]);
        }
    }
    assert_true(orch_allow_add(&allow, "0.0.0.0/0"));
    assert_true(orch_allow_add(&allow, "10.78.0.1/32"));
    for (uint32_t i = 2; i < ORCH_ALLOW_RULES_MAX; i++) {
        assert_true(orch_allow_add(&allow, "a:b"));
    }
    assert_false(orch_allow_add(&allow, "a:b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_of_one_machine_get_memif),
        cmocka_unit_test(without_memif_they_use_what_they_brought),
        cmocka_unit_test(machines_need_links),
        cmocka_unit_test(any_drivers_and_modes_fit),
        cmocka_unit_test(links_of_one_network_are_taken),
        cmocka_unit_test(point_to_point_and_equal_ones_are_none),
        cmocka_unit_test(rdma_needs_permission),
        cmocka_unit_test(rdma_comes_first_with_a_spare),
        cmocka_unit_test(of_two_rdma_links_the_allowed_one_is_taken),
        cmocka_unit_test(rules_of_permission),
    };
    return cmocka_run_group_tests_name("choose", tests, NULL, NULL);
}
