/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define GOOD                                                                                       \
    "BOOT_IMAGE=x console=ttyS0 quiet fabric.controller=10.77.0.1:7700 fabric.token=abc "          \
    "node.name=node1 node.ip=10.77.0.11 node.mask=255.255.255.0 node.gateway= "                    \
    "node.mac=52:54:00:77:00:0A node.uuid=00000000-0000-0000-0000-000000000001\n"

static void a_good_kernel_command_line_is_read(void **state)
{
    static const uint8_t mac[6] = {0x52, 0x54, 0, 0x77, 0, 0x0a};
    struct node_options options;
    char text[200] = "";
    (void)state;
    assert_int_equal(options_from_cmdline(GOOD, &options, text, sizeof(text)), SF_OK);
    assert_string_equal(options.controller_text, "10.77.0.1:7700");
    assert_int_equal(ntohs(options.controller.sin_port), 7700);
    assert_string_equal(options.token, "abc");
    assert_string_equal(options.name, "node1");
    assert_int_equal(options.ip, 0x0a4d000b);
    assert_int_equal(options.mask, 0xffffff00);
    assert_int_equal(options.gateway, 0);
    assert_memory_equal(options.mac, mac, 6);
    assert_string_equal(options.uuid, "00000000-0000-0000-0000-000000000001");
}

static void links_of_the_kernel_command_line_are_read(void **state)
{
    static const uint8_t mac[6] = {0x02, 0, 0, 0, 0x0a, 0x0b};
    struct node_options options;
    char text[200] = "";
    (void)state;
    assert_int_equal(options_from_cmdline(GOOD
                                          " fabric.link=dpdk:nic1,mtu=8972 "
                                          "fabric.link=virtio:0000:00:04.0,mac=02:00:00:00:0a:0B,"
                                          "address=10.79.0.1",
                                          &options, text, sizeof(text)),
                     SF_OK);
    assert_int_equal(options.link_count, 2);
    assert_string_equal(options.links[0].driver, "dpdk");
    assert_string_equal(options.links[0].device, "nic1");
    assert_int_equal(options.links[0].mtu_bytes, 8972);
    assert_int_equal(options.links[0].ipv4, 0);
    assert_string_equal(options.links[1].driver, "virtio");
    assert_string_equal(options.links[1].device, "0000:00:04.0");
    assert_int_equal(options.links[1].ipv4, 0x0a4f0001);
    assert_memory_equal(options.links[1].mac, mac, 6);
    assert_int_equal(options_from_cmdline(GOOD " fabric.link=rdma:nic1,soft=siw "
                                               "fabric.link=rdma:nic2,soft=rxe,mtu=1472 "
                                               "fabric.link=rdma:nic3",
                                          &options, text, sizeof(text)),
                     SF_OK);
    assert_string_equal(options.links[0].soft, "siw");
    assert_string_equal(options.links[1].soft, "rxe");
    assert_string_equal(options.links[2].soft, "");
    assert_int_equal(options_from_cmdline(GOOD, &options, text, sizeof(text)), SF_OK);
    assert_int_equal(options.link_count, 0);
}

static void a_wrong_kernel_command_line_names_the_key(void **state)
{
    static const struct {
        const char *line, *key;
    } cases[] = {
        {"", "fabric.controller is missing"},
        {GOOD " node.name=node2", "node.name: given twice"},
        {GOOD " node.colour=red", "node.colour: unknown key"},
        {GOOD " fabric.token", "fabric.token: expected KEY=VALUE"},
        {"fabric.controller=10.77.0.1", "fabric.controller: expected"},
        {"fabric.controller=10.77.0.1:0", "fabric.controller: expected"},
        {"fabric.controller=10.77.0.1:70000", "fabric.controller: expected"},
        {"fabric.controller=10.77.0.1:-7", "fabric.controller: expected"},
        {"fabric.controller=1111111111111111111111.1:7", "fabric.controller: expected"},
        {"fabric.token=", "fabric.token: expected"},
        {"node.name=Node1", "node.name: expected"},
        {"node.name=a23456789012345678901234567890123", "node.name: expected"},
        {"node.ip=10.77.0", "node.ip: expected"},
        {"node.mask=255.0.255.0", "node.mask: expected"},
        {"node.mac=52:54:00:77:00", "node.mac: expected"},
        {"node.mac=52:54:00:77:00:0g", "node.mac: expected"},
        {"node.uuid=zz", "node.uuid: expected"},
        {"fabric.link=virtio", "fabric.link: expected DRIVER:DEVICE"},
        {"fabric.link=virtio:nic1 fabric.link=dpdk:nic1", "links 1 and 2 are both on nic1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct node_options options;
        char text[200] = "";
        assert_int_equal(options_from_cmdline(cases[i].line, &options, text, sizeof(text)),
                         SF_BADARG);
        if (strstr(text, cases[i].key) == NULL) {
            fail_msg("'%s' does not say '%s'", text, cases[i].key);
        }
    }
}

static void a_kernel_command_line_has_a_limit(void **state)
{
    static char line[OPTIONS_CMDLINE_BYTES_MAX + 100];
    struct node_options options;
    char text[200] = "";
    (void)state;
    memset(line, 'x', sizeof(line) - 1);
    assert_int_equal(options_from_cmdline(line, &options, text, sizeof(text)), SF_BADARG);
    assert_non_null(strstr(text, "over 4096 bytes"));
}

static sf_status args(struct node_options *options, char *text, const char *line)
{
    static char copy[512];
    char *argv[40] = {"sipnode"};
    int argc = 1;
    snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok(copy, " "); word != NULL && argc < 39; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    return options_from_args(argc, argv, options, text, 200);
}

#define NODE "--controller 127.0.0.1:7700 --token T --name node1 --state-dir /tmp/x "

static void good_arguments_are_read(void **state)
{
    struct node_options options;
    char text[200] = "";
    (void)state;
    assert_int_equal(args(&options, text,
                          "--controller 127.0.0.1:7700 --token T --name node1 --state-dir /tmp/x "
                          "--slot-count 16 --workers 3"),
                     SF_OK);
    assert_string_equal(options.state_dir, "/tmp/x");
    assert_int_equal(options.slot_count_max, 16);
    assert_int_equal(options.worker_count, 3);
    assert_int_equal(options.link_count, 0);
    assert_int_equal(args(&options, text,
                          NODE "--link af_packet:eth1,address=10.78.0.1 "
                               "--link dpdk:net_null0,copy=1,size=64,address=10.78.1.1,mtu=512,"
                               "queues=2"),
                     SF_OK);
    assert_int_equal(options.link_count, 2);
    assert_string_equal(options.links[0].device, "eth1");
    assert_int_equal(options.links[0].ipv4, 0x0a4e0001);
    assert_string_equal(options.links[1].device, "net_null0,copy=1,size=64");
    assert_int_equal(options.links[1].mtu_bytes, 512);
    assert_int_equal(options.links[0].queues, 0);
    assert_int_equal(options.links[1].queues, 2);
    assert_int_equal(args(&options, text, NODE "--link rdma:rxe0/1/1,address=10.78.0.1"), SF_OK);
    assert_string_equal(options.links[0].driver, "rdma");
    assert_string_equal(options.links[0].device, "rxe0/1/1");
    assert_int_equal(options.links[0].reads, 0);
    assert_int_equal(args(&options, text, NODE "--link rdma:auto,address=10.78.0.1,reads=65536"),
                     SF_OK);
    assert_string_equal(options.links[0].device, "auto");
    assert_int_equal(options.links[0].reads, 65536);
    assert_false(options.links[0].cm);
    assert_int_equal(args(&options, text, NODE "--link rdma:auto,address=10.78.0.1,cm=on"), SF_OK);
    assert_true(options.links[0].cm);
    assert_int_equal(args(&options, text, NODE "--link rdma:auto,address=10.78.0.1,cm=off"), SF_OK);
    assert_false(options.links[0].cm);
    assert_string_equal(options.links[0].soft, "");
    assert_int_equal(args(&options, text, "--help"), SF_OK);
    assert_true(options.help);
    assert_int_equal(args(&options, text, "--version"), SF_OK);
    assert_true(options.version);
}

static void links_have_a_limit(void **state)
{
    struct node_options options;
    char line[400] = NODE;
    char text[200] = "";
    (void)state;
    for (uint32_t i = 0; i <= LINKS_MAX; i++) {
        size_t used = strlen(line);
        snprintf(line + used, sizeof(line) - used, "--link af_packet:e%u,address=10.78.0.%u ", i,
                 i + 1);
        assert_int_equal(args(&options, text, line), i < LINKS_MAX ? SF_OK : SF_BADARG);
    }
    assert_non_null(strstr(text, "--link: given over 8 times"));
}

static void dpdk_is_told_what_the_links_need(void **state)
{
    struct link_dpdk_options dpdk;
    struct node_options options = {.link_count = 0};
    char pci[LINKS_PCI_BYTES], text[200] = "";
    (void)state;
    links_dpdk(options.links, 0, pci, &dpdk);
    assert_false(dpdk.hugepages);
    assert_null(dpdk.pci_allow);
    assert_int_equal(dpdk.memory_mib, 0);
    assert_int_equal(args(&options, text, NODE "--link af_packet:e,address=10.78.0.1"), SF_OK);
    links_dpdk(options.links, options.link_count, pci, &dpdk);
    assert_false(dpdk.hugepages);
    assert_null(dpdk.pci_allow);
    assert_true(dpdk.memory_mib > 64);
    assert_int_equal(args(&options, text,
                          NODE "--link dpdk:0000:00:04.0,address=10.78.0.1 "
                               "--link af_packet:e,address=10.78.0.2 "
                               "--link virtio:0000:0a:1f.7,address=10.78.0.3"),
                     SF_OK);
    links_dpdk(options.links, options.link_count, pci, &dpdk);
    assert_true(dpdk.hugepages);
    assert_string_equal(dpdk.pci_allow, "0000:00:04.0 0000:0a:1f.7");
    assert_int_equal(links_pci_count(options.links, options.link_count), 2);
}

static void wrong_arguments_are_named(void **state)
{
    static const struct {
        const char *line, *say;
    } cases[] = {
        {"", "--controller is missing"},
        {"--controller", "--controller: expected a value"},
        {"--controller x", "--controller: expected"},
        {"--colour red", "--colour: unknown option"},
        {"node1", "node1: unexpected argument"},
        {"--slot-count 0", "--slot-count: expected"},
        {"--workers 65", "--workers: expected"},
        {"--controller 127.0.0.1:7700 --token T --name node1", "--state-dir is missing"},
        {NODE "--link af_packet:eth1", "--link af_packet:eth1: an address is missing"},
        {NODE "--link dpdk:nic1,address=10.78.0.1", "only booted nodes know that name"},
        {NODE "--link rdma:auto,address=10.78.0.1,soft=siw",
         "soft=siw: only booted nodes make devices; here make it first: sudo rdma link add siw0"},
        {"--link x", "--link: expected DRIVER:DEVICE"},
        {"--link loop:a,address=10.78.0.1", "'loop' is no driver of links"},
        {"--link memif:/run/x.sock", "memif joins two nodes"},
        {NODE "--link rdma:auto", "--link rdma:auto: an address is missing"},
        {"--link rdma:,address=10.78.0.1", "a device of 1 to 127 bytes"},
        {"--link rdma2:auto", "is no driver of links: af_packet, virtio, dpdk or rdma"},
        {"--link af_packet:a123456789012345", "is no network interface"},
        {"--link af_packet:eth1,x=1,mtu=1000", "is no network interface"},
        {"--link af_packet:", "a device of 1 to 127 bytes"},
        {"--link virtio:eth1", "'eth1' is no PCI address"},
        {"--link virtio:0000:00:03.8", "is no PCI address"},
        {"--link virtio:0000:00:03.00", "is no PCI address"},
        {"--link dpdk:eth1", "'eth1' is no device"},
        {"--link dpdk:net_null0;x", "has characters"},
        {"--link af_packet:eth1,mtu=511", "mtu takes 512 to 9216"},
        {"--link af_packet:eth1,mtu=9217", "mtu takes 512 to 9216"},
        {"--link af_packet:eth1,mtu=99999999999", "mtu takes 512 to 9216"},
        {"--link af_packet:eth1,mtu=", "mtu takes 512 to 9216"},
        {"--link af_packet:eth1,mtu=1000,mtu=1000", "mtu is there twice"},
        {"--link af_packet:eth1,queues=0", "queues takes 1 to 16"},
        {"--link af_packet:eth1,queues=17", "queues takes 1 to 16"},
        {"--link af_packet:eth1,queues=2x", "queues takes 1 to 16"},
        {"--link af_packet:eth1,queues=2,queues=2", "queues is there twice"},
        {"--link rdma:auto,reads=4095", "reads takes the size of the smallest block"},
        {"--link rdma:auto,reads=64k", "reads takes the size of the smallest block"},
        {"--link rdma:auto,reads=4096,reads=4096", "reads is there twice"},
        {"--link af_packet:eth1,reads=65536", "reads is for rdma"},
        {"--link rdma:auto,cm=yes", "cm takes on or off"},
        {"--link rdma:auto,cm=", "cm takes on or off"},
        {"--link rdma:auto,cm=off,cm=on", "cm is there twice"},
        {"--link af_packet:eth1,cm=on", "cm is for rdma"},
        {"--link rdma:auto,soft=", "soft takes what a booted node makes of a nic: rxe"},
        {"--link rdma:auto,soft=iwarp", "soft takes what a booted node makes of a nic: rxe"},
        {"--link rdma:auto,soft=siw,soft=siw", "soft is there twice"},
        {"--link virtio:nic1,soft=siw", "soft is for rdma"},
        {"--link af_packet:eth1,mtu=1000,x=1", "'x=1' is none of address="},
        {"--link af_packet:eth1,address=10.78.0", "address takes the IPv4 address"},
        {"--link af_packet:eth1,address=224.0.0.1", "address takes the IPv4 address"},
        {"--link af_packet:eth1,mac=03:00:00:00:00:01", "mac takes the address of one device"},
        {"--link af_packet:eth1,mac=00:00:00:00:00:00", "mac takes the address of one device"},
        {"--link af_packet:eth1,mac=02:00:00:00:0001:", "mac takes six pairs"},
        {"--link af_packet:a,address=10.78.0.1 --link af_packet:b,address=10.78.0.1",
         "links 1 and 2 both have address 10.78.0.1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct node_options options;
        char text[200] = "";
        assert_int_equal(args(&options, text, cases[i].line), SF_BADARG);
        if (strstr(text, cases[i].say) == NULL) {
            fail_msg("'%s' does not say '%s'", text, cases[i].say);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_kernel_command_line_is_read),
        cmocka_unit_test(links_of_the_kernel_command_line_are_read),
        cmocka_unit_test(a_wrong_kernel_command_line_names_the_key),
        cmocka_unit_test(a_kernel_command_line_has_a_limit),
        cmocka_unit_test(good_arguments_are_read),
        cmocka_unit_test(links_have_a_limit),
        cmocka_unit_test(dpdk_is_told_what_the_links_need),
        cmocka_unit_test(wrong_arguments_are_named),
    };
    return cmocka_run_group_tests_name("node_options", tests, NULL, NULL);
}
