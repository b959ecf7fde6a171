/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real sipnode processes under a stand-in controller: joining, bad commands, a controller that goes
 * away, SIPs across memif, the TCP service, idling. Arguments: folder of the images. The program
 * is $SIPNODE.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "controller.h"

static const char *image_folder;

static const char *image(const char *name)
{
    static char path[512];
    snprintf(path, sizeof(path), "%s/%s.sip", image_folder, name);
    return path;
}

static int setup(void **state)
{
    (void)state;
    controller_begin();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    controller_end();
    return 0;
}

static void node_shut_down(struct controller_node *node)
{
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__NodeShutdown shutdown = SF__CONTROL__NODE_SHUTDOWN__INIT;
    shutdown.power_off = true;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_NODE_SHUTDOWN;
    envelope.node_shutdown = &shutdown;
    node_send(node, &envelope);
    assert_int_equal(node_wait_end(node), 0);
}

/* --- joining
 * --------------------------------------------------------------------------------------- */

static void a_node_joins_and_is_shut_down(void **state)
{
    struct controller_node *node = node_start("node1");
    (void)state;
    node_wait_hello(node, 1);
    assert_string_equal(node->hello_mode, "hosted");
    assert_int_equal(node->hello_node_id, 0);
    assert_int_equal(node->beats, 0);
    node_welcome(node, 5, 9);
    node_shut_down(node);
}

static void a_signal_ends_a_node(void **state)
{
    struct controller_node *node = node_join("node1", 1, 1);
    (void)state;
    kill(node->pid, SIGTERM);
    assert_int_equal(node_wait_end(node), 0);
}

static void a_refused_node_ends_and_says_why(void **state)
{
    struct controller_node *node = node_start("node1");
    Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__Result result = SF__CONTROL__RESULT__INIT;
    (void)state;
    node_wait_hello(node, 1);
    result.status = SF_TRUST;
    result.text = (char *)"wrong token";
    envelope.request = node->request;
    envelope.body_case = SF__CONTROL__ENVELOPE__BODY_RESULT;
    envelope.result = &result;
    node_send(node, &envelope);
    assert_int_equal(node_wait_end(node), 1);
}

static void a_wrong_welcome_is_not_taken(void **state)
{
    static const struct {
        uint32_t id, epoch, slots;
    } wrong[] = {{0, 1, 64}, {1024, 1, 64}, {1, 0, 64}, {1, 16384, 64}, {1, 1, 0}, {1, 1, ~0u}};
    struct controller_node *node = node_start("node1");
    uint32_t i = 0;
    (void)state;
    for (; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        Sf__Control__Envelope envelope = SF__CONTROL__ENVELOPE__INIT;
        Sf__Control__NodeWelcome welcome = SF__CONTROL__NODE_WELCOME__INIT;
        node_wait_hello(node, i + 1);
        welcome.node_id = wrong[i].id;
        welcome.epoch = wrong[i].epoch;
        welcome.slot_count = wrong[i].slots;
        welcome.name = node->name;
        envelope.request = node->request;
        envelope.body_case = SF__CONTROL__ENVELOPE__BODY_NODE_WELCOME;
        envelope.node_welcome = &welcome;
        node_send(node, &envelope);
        CONTROLLER_UNTIL(node->stream == NULL);
    }
    node_wait_hello(node, i + 1);
    node_welcome(node, 1, 1);
}

/* --- bad commands
 * ----------------------------------------------------------------------------------- */

static void refuse(struct controller_node *node, Sf__Control__Envelope *envelope, int body,
                   void *message)
{
    envelope->body_case = (Sf__Control__Envelope__BodyCase)body;
    envelope->sip_create = message; /* the body is a union of pointers */
    assert_int_not_equal(node_ask(node, envelope), SF_OK);
    assert_true(node->text[0] != '\0');
}

static void bad_commands_are_refused_with_a_reason(void **state)
{
    struct controller_node *node = node_join("node1", 1, 1);
    Sf__Control__Envelope e = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__LinkOpen link = SF__CONTROL__LINK_OPEN__INIT;
    Sf__Control__LinkInfo info = SF__CONTROL__LINK_INFO__INIT;
    Sf__Control__PeerAdd peer = SF__CONTROL__PEER_ADD__INIT;
    Sf__Control__ImagePut put = SF__CONTROL__IMAGE_PUT__INIT;
    Sf__Control__SipCreate create = SF__CONTROL__SIP_CREATE__INIT;
    Sf__Control__SipWire wire = SF__CONTROL__SIP_WIRE__INIT;
    Sf__Control__SipStart start = SF__CONTROL__SIP_START__INIT;
    Sf__Control__SipStop stop = SF__CONTROL__SIP_STOP__INIT;
    uint8_t digest[32] = {0};
    (void)state;
    refuse(node, &e, SF__CONTROL__ENVELOPE__BODY_LINK_OPEN, &link); /* no info */
    link.info = &info;
    info.device = (char *)"x,role=server";
    refuse(node, &e, SF__CONTROL__ENVELOPE__BODY_LINK_OPEN, &link);
    info.device = (char *)"x";
    info.driver = (char *)"nosuch";
    link.link = 3;
    refuse(node, &e, SF__CONTROL__ENVELOPE__BODY_LINK_OPEN, &link);
    refuse(node, &e, SF__CONTROL__ENVELOPE__BODY_PEER_ADD, &peer);
    peer.node_id = 2;
    peer.epoch = 1;
    peer.link = 9;
    refuse(node, &e, SF__CONTROL__ENVELOPE__BODY_PEER_ADD, &peer);
    assert_non_null(strstr(node->text, "no link 9"));
    peer.encrypt = true; /* and no key */
    refuse(node, &e, SF__CONTROL__ENVELOPE__BODY_PEER_ADD, &peer);
    assert_non_null(strstr(node->text, "a key has 32 bytes"));
    peer.key.data = digest;
    peer.key.len = 31;
    refuse(node, &e, SF__CONTROL__ENVELOPE__BODY_PEER_ADD, &peer);
    assert_non_null(strstr(node->text, "a key has 32 bytes"));
    peer.encrypt = false;
    refuse(node, &e, SF__CONTROL__ENVELOPE__BODY_PEER_ADD, &peer);
    assert_non_null(strstr(node->text, "a key has 32 bytes"));
    refuse(node, &e, SF__CONTROL__ENVELOPE__BODY_IMAGE_PUT, &put);
    put.digest.data = digest;
    put.digest.len = 32;
    put.content.data = digest;
    put.content.len = 32;
    refuse(node, &e, SF__CONTROL__ENVELOPE__BODY_IMAGE_PUT, &put);
    refuse(node, &e, SF__CONTROL__ENVELOPE__BODY_SIP_CREATE, &create);
    create.sip = 4;
    create.name = (char *)"a";
    refuse(node, &e, SF__CONTROL__ENVELOPE__BODY_SIP_CREATE, &create); /* neither nor */
    create.image.data = digest;
    create.image.len = 32;
    refuse(node, &e, SF__CONTROL__ENVELOPE__BODY_SIP_CREATE, &create); /* unknown image */
    create.service = (char *)"udp";
    refuse(node, &e, SF__CONTROL__ENVELOPE__BODY_SIP_CREATE, &create);
    create.service = (char *)"tcp";
    create.name = (char *)"No Name";
    refuse(node, &e, SF__CONTROL__ENVELOPE__BODY_SIP_CREATE, &create);
    create.name = (char *)"a";
    create.cpu_percent = 101;
    refuse(node, &e, SF__CONTROL__ENVELOPE__BODY_SIP_CREATE, &create);
    refuse(node, &e, SF__CONTROL__ENVELOPE__BODY_SIP_WIRE, &wire);
    wire.exporter_node = 1;
    refuse(node, &e, SF__CONTROL__ENVELOPE__BODY_SIP_WIRE, &wire);
    refuse(node, &e, SF__CONTROL__ENVELOPE__BODY_SIP_START, &start);
    refuse(node, &e, SF__CONTROL__ENVELOPE__BODY_SIP_STOP, &stop);
    node_shut_down(node);
}

static void a_message_no_node_understands_ends_the_connection(void **state)
{
    struct controller_node *node = node_join("node1", 1, 1);
    Sf__Control__Envelope e = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__GetNodes get = SF__CONTROL__GET_NODES__INIT;
    (void)state;
    e.body_case = SF__CONTROL__ENVELOPE__BODY_GET_NODES;
    e.get_nodes = &get;
    node_send(node, &e);
    node_wait_hello(node, 2);
    assert_int_equal(node->hello_node_id, 1);
}

/* A node's key lives as long as its process, and no other has it. */
static void a_node_has_a_key_of_its_own(void **state)
{
    struct controller_node *node = node_join("node1", 1, 1);
    struct controller_node *other = node_join("node2", 2, 1);
    Sf__Control__Envelope e = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__GetNodes get = SF__CONTROL__GET_NODES__INIT;
    uint8_t key[32];
    (void)state;
    memcpy(key, node->hello_key, sizeof(key));
    assert_memory_not_equal(key, other->hello_key, sizeof(key));
    assert_false(sodium_is_zero(key, sizeof(key)));
    e.body_case = SF__CONTROL__ENVELOPE__BODY_GET_NODES;
    e.get_nodes = &get;
    node_send(node, &e); /* ends the connection; the node says hello again */
    node_wait_hello(node, 2);
    assert_memory_equal(key, node->hello_key, sizeof(key));
}

/* --- a controller that goes away
 * --------------------------------------------------------------------- */

/* Puts hello on `server` and its client on `client` (may be the same), wired and not started. */
static void hello_create(struct controller_node *server, uint32_t server_id,
                         struct controller_node *client, const char *count)
{
    uint8_t digest[32];
    node_put_image(server, image("hello"), digest);
    node_create(server, 11, "hello", digest, "", NULL, NULL);
    node_put_image(client, image("hello-client"), digest);
    node_create(client, 12, "client", digest, "", "count", count);
    node_wire(client, 12, "hello", server_id, "hello.hello");
}

static void a_node_runs_on_without_its_controller(void **state)
{
    struct controller_node *node = node_join("node1", 3, 7);
    (void)state;
    hello_create(node, 3, node, "20000"); /* talks on while nobody listens */
    node_sip_start(node, 11);
    node_sip_start(node, 12);
    node_disconnect(node); /* before anything can have been reported */
    node_wait_hello(node, 2);
    assert_int_equal(node->hello_node_id, 3);
    assert_int_equal(node->hello_epoch, 7);
    node_welcome(node, 3, 7);
    CONTROLLER_UNTIL(node_reported(node, 12, SF__CONTROL__SIP_STATE__EXITED));
    assert_true(node_said(node, 12, "hello, world"));
    CONTROLLER_UNTIL(node->sip_count == 1);
    node_disconnect(node);
    node_wait_hello(node, 3);
    node_welcome(node, 3, 8); /* the controller knows nothing any more */
    assert_int_equal(node->sip_count, 0);
    assert_int_equal(node->endpoint_count, 0);
    assert_int_equal(node->block_count, 0);
    node_shut_down(node);
}

/* --- two nodes
 * --------------------------------------------------------------------------------------- */

static void hello_crosses_memif(void **state)
{
    struct controller_node *a = node_join("node1", 1, 1), *b = node_join("node2", 2, 2);
    (void)state;
    nodes_connect(a, 1, 1, b, 2, 2, 4);
    hello_create(a, 1, b, "1000");
    node_channels(b);
    assert_int_equal(b->channel_count, 1);
    assert_string_equal(b->channel_contract, "HelloContract");
    assert_string_equal(b->channel_driver, "memif");
    assert_string_equal(b->channel_state, "Start");
    assert_string_equal(b->channel_port, "hello");
    node_sip_start(a, 11);
    node_sip_start(b, 12);
    CONTROLLER_UNTIL(node_reported(b, 12, SF__CONTROL__SIP_STATE__EXITED));
    assert_int_equal(b->reports[b->report_count - 1].exit_code, 0);
    assert_true(node_said(b, 12, "hello, world"));
    CONTROLLER_UNTIL(node_said(a, 11, "client said bye after 1000 greetings"));
    CONTROLLER_UNTIL(b->endpoint_count == 0 && b->block_count == 0);
    node_shut_down(b);
    node_shut_down(a);
}

static void peer_remove(struct controller_node *node, uint32_t id)
{
    Sf__Control__Envelope e = SF__CONTROL__ENVELOPE__INIT;
    Sf__Control__PeerRemove remove = SF__CONTROL__PEER_REMOVE__INIT;
    remove.node_id = id;
    e.body_case = SF__CONTROL__ENVELOPE__BODY_PEER_REMOVE;
    e.peer_remove = &remove;
    assert_int_equal(node_ask(node, &e), SF_OK);
}

static void a_lost_node_closes_its_channels(void **state)
{
    struct controller_node *a = node_join("node1", 1, 1), *b = node_join("node2", 2, 2);
    (void)state;
    nodes_connect(a, 1, 1, b, 2, 2, 4);
    hello_create(a, 1, b, "100000000");
    node_sip_start(a, 11);
    node_sip_start(b, 12);
    CONTROLLER_UNTIL(node_said(b, 12, "hello, world"));
    kill(a->pid, SIGKILL);
    assert_int_equal(node_wait_end(a), -SIGKILL);
    peer_remove(b, 1);
    CONTROLLER_UNTIL(node_reported(b, 12, SF__CONTROL__SIP_STATE__EXITED));
    assert_true(node_said(b, 12, "node lost"));
    CONTROLLER_UNTIL(b->endpoint_count == 0 && b->block_count == 0 && b->peer_count == 0);
    /* Its successor is another node with a new epoch; the same link number serves again. */
    a = node_join("node3", 3, 5);
    nodes_connect(b, 2, 2, a, 3, 5, 4);
    node_shut_down(a);
    node_shut_down(b);
}

/* hello-client on b talks to hello on a, and both will not end by themselves. */
static void talk(struct controller_node *a, struct controller_node *b)
{
    nodes_connect(a, 1, 1, b, 2, 2, 4);
    hello_create(a, 1, b, "100000000");
    node_sip_start(a, 11);
    node_sip_start(b, 12);
    CONTROLLER_UNTIL(node_said(b, 12, "hello, world"));
}

/* The controller says nothing of it: what the client learns came over the fabric. */
static void expect_client_told_of_shutdown(struct controller_node *b)
{
    CONTROLLER_UNTIL(node_reported(b, 12, SF__CONTROL__SIP_STATE__EXITED));
    assert_true(node_said(b, 12, "shutdown"));
    assert_false(node_said(b, 12, "node lost"));
    CONTROLLER_UNTIL(b->endpoint_count == 0 && b->block_count == 0);
}

static void a_node_that_ends_by_signal_tells_its_peers(void **state)
{
    struct controller_node *a = node_join("node1", 1, 1), *b = node_join("node2", 2, 2);
    (void)state;
    talk(a, b);
    kill(a->pid, SIGTERM);
    assert_int_equal(node_wait_end(a), 0);
    expect_client_told_of_shutdown(b);
    node_shut_down(b);
}

static void a_node_that_is_shut_down_tells_its_peers(void **state)
{
    struct controller_node *a = node_join("node1", 1, 1), *b = node_join("node2", 2, 2);
    (void)state;
    talk(a, b);
    node_shut_down(a);
    expect_client_told_of_shutdown(b);
    node_shut_down(b);
}

/* A peer that does not answer holds nobody up for long. */
static void a_silent_peer_does_not_keep_a_node_from_ending(void **state)
{
    struct controller_node *a = node_join("node1", 1, 1), *b = node_join("node2", 2, 2);
    (void)state;
    talk(a, b);
    kill(b->pid, SIGSTOP);
    node_shut_down(a); /* fails after 20 s */
    kill(b->pid, SIGCONT);
    CONTROLLER_UNTIL(node_reported(b, 12, SF__CONTROL__SIP_STATE__EXITED));
    node_shut_down(b);
}

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    close(fd);
    return ntohs(address.sin_port);
}

/* One request; answers the length of the whole reply, 0 if nobody listens yet. */
static size_t http_get(uint16_t port, char *reply, size_t capacity)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    size_t used = 0;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
        uint64_t deadline = controller_deadline();
        ssize_t n;
        assert_int_equal(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL), sizeof(request) - 1);
        while ((n = recv(fd, reply + used, capacity - 1 - used, MSG_DONTWAIT)) != 0) {
            if (n > 0) {
                used += (size_t)n;
            } else {
                assert_int_equal(errno, EAGAIN);
                controller_turn(deadline, "an answer from the web SIP");
            }
        }
    }
    close(fd);
    reply[used] = '\0';
    return used;
}

static void a_web_page_crosses_memif(void **state)
{
    struct controller_node *a = node_join("node1", 1, 1), *b = node_join("node2", 2, 2);
    uint16_t port = free_port();
    uint8_t digest[32];
    char text[16], reply[8192] = "";
    (void)state;
    nodes_connect(a, 1, 1, b, 2, 2, 4);
    node_create(a, 21, "tcp", NULL, "tcp", NULL, NULL);
    node_put_image(b, image("web"), digest);
    snprintf(text, sizeof(text), "%u", port);
    node_create(b, 22, "web", digest, "", "port", text);
    node_wire(b, 22, "tcp", 1, "tcp.tcp");
    node_sip_start(a, 21);
    node_sip_start(b, 22);
    CONTROLLER_UNTIL(http_get(port, reply, sizeof(reply)) > 0);
    for (int i = 0; i < 100; i++) {
        assert_true(http_get(port, reply, sizeof(reply)) > 0);
        assert_non_null(strstr(reply, "200 OK"));
        assert_non_null(strstr(reply, "node2"));
    }
    node_shut_down(b);
    CONTROLLER_UNTIL(a->peer_count == 0);
    node_shut_down(a);
}

/* --- idling
 * ------------------------------------------------------------------------------------------ */

static double cpu_seconds(pid_t pid)
{
    char path[64], line[1024];
    unsigned long user = 0, system = 0;
    FILE *file;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof(line), file));
    fclose(file);
    assert_int_equal(sscanf(strrchr(line, ')'),
                            ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                            &system),
                     2);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static void an_idle_node_leaves_the_core_alone(void **state)
{
    struct controller_node *a = node_join("node1", 1, 1), *b = node_join("node2", 2, 2);
    double before, share;
    (void)state;
    nodes_connect(a, 1, 1, b, 2, 2, 4);
    controller_run_ms(200);
    before = cpu_seconds(a->pid);
    controller_run_ms(3000);
    share = (cpu_seconds(a->pid) - before) / 3.0 * 100.0;
    printf("# an idle hosted node with a session uses %.1f %% of a core\n", share);
    /* The goal is 2 to 5; the bound leaves room for a loaded machine, and fails on busy polling. */
    assert_true(share < 15.0);
    node_shut_down(b);
    node_shut_down(a);
}

int main(int argc, char *argv[])
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_node_joins_and_is_shut_down),
        CASE(a_signal_ends_a_node),
        CASE(a_refused_node_ends_and_says_why),
        CASE(a_wrong_welcome_is_not_taken),
        CASE(bad_commands_are_refused_with_a_reason),
        CASE(a_message_no_node_understands_ends_the_connection),
        CASE(a_node_has_a_key_of_its_own),
        CASE(a_node_runs_on_without_its_controller),
        CASE(hello_crosses_memif),
        CASE(a_lost_node_closes_its_channels),
        CASE(a_node_that_ends_by_signal_tells_its_peers),
        CASE(a_node_that_is_shut_down_tells_its_peers),
        CASE(a_silent_peer_does_not_keep_a_node_from_ending),
        CASE(a_web_page_crosses_memif),
        CASE(an_idle_node_leaves_the_core_alone),
    };
    image_folder = argc > 1 ? argv[1] : ".";
    if (argc > 2) {
        cmocka_set_test_filter(argv[2]);
    }
    return cmocka_run_group_tests_name("node", tests, NULL, NULL);
}
