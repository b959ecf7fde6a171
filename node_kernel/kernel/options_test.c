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
    char *argv[32] = {"sipnode"};
    int argc = 1;
    snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok(copy, " "); word != NULL && argc < 31; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    return options_from_args(argc, argv, options, text, 200);
}

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
    assert_int_equal(args(&options, text, "--help"), SF_OK);
    assert_true(options.help);
    assert_int_equal(args(&options, text, "--version"), SF_OK);
    assert_true(options.version);
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
        cmocka_unit_test(a_wrong_kernel_command_line_names_the_key),
        cmocka_unit_test(a_kernel_command_line_has_a_limit),
        cmocka_unit_test(good_arguments_are_read),
        cmocka_unit_test(wrong_arguments_are_named),
    };
    return cmocka_run_group_tests_name("node_options", tests, NULL, NULL);
}
