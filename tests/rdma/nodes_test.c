/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two sipnode processes that talk over their RDMA devices (in a machine of QEMU: over soft-RoCE),
 * under the stand-in controller. Argument: folder of the images. The program is $SIPNODE.
 */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../node/controller.h"

static const char *image_folder;

static int setup(void **state)
{
    (void)state;
    controller_begin();
    /* rdma_cm wants an address that the machine has; both nodes are on this one. */
    controller.link = getenv("RDMA_CM") != NULL ? "rdma:auto,address=10.78.0.1,cm=on"
                                                : "rdma:auto,address=10.78.0.%u";
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    controller_end();
    return 0;
}

static void hello_create(struct controller_node *server, uint32_t server_id,
                         struct controller_node *client, const char *count)
{
    char path[512];
    uint8_t digest[32];

    (void)snprintf(path, sizeof(path), "%s/hello.sip", image_folder);
    node_put_image(server, path, digest);
    node_create(server, 11, "hello", digest, "", NULL, NULL);
    (void)snprintf(path, sizeof(path), "%s/hello-client.sip", image_folder);
    node_put_image(client, path, digest);
    node_create(client, 12, "client", digest, "", "count", count);
    node_wire(client, 12, "hello", server_id, "hello.hello");
    node_sip_start(server, 11);
    node_sip_start(client, 12);
}

static void hello_crosses_rdma(void **state)
{
    struct controller_node *a = node_join("node1", 1, 1), *b = node_join("node2", 2, 2);

    (void)state;
    nodes_connect_own(a, 1, 1, b, 2, 2);
    hello_create(a, 1, b, "1000");
    CONTROLLER_UNTIL(node_reported(b, 12, SF__CONTROL__SIP_STATE__EXITED));
    assert_int_equal(b->reports[b->report_count - 1].exit_code, 0);
    assert_true(node_said(b, 12, "hello, world"));
    CONTROLLER_UNTIL(node_said(a, 11, "client said bye after 1000 greetings"));
    CONTROLLER_UNTIL(b->endpoint_count == 0 && b->block_count == 0);
}

static void the_channel_says_that_it_runs_over_rdma(void **state)
{
    struct controller_node *a = node_join("node1", 1, 1), *b = node_join("node2", 2, 2);

    (void)state;
    nodes_connect_own(a, 1, 1, b, 2, 2);
    hello_create(a, 1, b, "100000000");
    CONTROLLER_UNTIL(node_said(b, 12, "hello, world"));
    node_channels(b);
    assert_int_equal(b->channel_count, 1);
    assert_string_equal(b->channel_driver, "rdma");
}

/* The peer is killed and another one takes its place: the survivor's queue pair is made anew. */
static void a_node_that_is_killed_and_starts_again_is_reached_again(void **state)
{
    struct controller_node *a = node_join("node1", 1, 1), *b = node_join("node2", 2, 2);
    struct controller_node *c;

    (void)state;
    nodes_connect_own(a, 1, 1, b, 2, 2);
    hello_create(a, 1, b, "100000000");
    CONTROLLER_UNTIL(node_said(b, 12, "hello, world"));
    (void)kill(b->pid, SIGKILL);
    assert_int_equal(node_wait_end(b), -SIGKILL);
    b->linked_to = NULL;
    CONTROLLER_UNTIL(a->peer_count == 0);
    c = node_join("node3", 2, 3);
    nodes_connect_own(a, 1, 1, c, 2, 3);
}

int main(int argc, char *argv[])
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(hello_crosses_rdma),
        CASE(the_channel_says_that_it_runs_over_rdma),
        CASE(a_node_that_is_killed_and_starts_again_is_reached_again),
    };
    DIR *devices = opendir("/sys/class/infiniband");

    if (devices == NULL) {
        (void)printf("1..0 # SKIP this machine has no RDMA device\n");
        return 0;
    }
    (void)closedir(devices);
    image_folder = argc > 1 ? argv[1] : ".";
    return cmocka_run_group_tests_name("rdma-nodes", tests, NULL, NULL);
}
