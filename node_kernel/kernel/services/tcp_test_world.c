/* SPDX-License-Identifier: Apache-2.0 */
#include "services/tcp_test_world.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "TcpContract_monitor.h"
#include "services/services.h"

struct world world;

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    uint32_t count = 0;
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count;
}

void turn(void)
{
    while (nk_run(world.kernel, 64, now_ns())) {
    }
    uv_run(&world.loop, UV_RUN_NOWAIT);
    while (nk_run(world.kernel, 64, now_ns())) {
    }
}

void turns_ms(uint32_t ms)
{
    uint64_t end = now_ns() + ms * 1000000ull;
    do {
        struct timespec rest = {.tv_nsec = 100000};
        turn();
        nanosleep(&rest, NULL);
    } while (now_ns() < end);
}

/* --- messages ------------------------------------------------------------------------------------
 */

void send_message(struct fab_ep *ep, uint8_t tag, uint8_t arg_count, uint64_t a, uint64_t b)
{
    struct fab_msg msg = {.tag = tag, .arg_count = arg_count};
    msg.args[0].scalar = a;
    msg.args[1].scalar = b;
    assert_int_equal(fab_ep_send(ep, &msg, ME), SF_OK);
}

struct fab_msg receive(struct fab_ep *ep, uint8_t tag)
{
    uint64_t end = now_ns() + TURNS_SECONDS_MAX * 1000000000ull;
    struct fab_msg msg;
    sf_status st;
    while ((st = fab_ep_recv(ep, &msg, ME)) == SF_AGAIN) {
        turn();
        assert_true(now_ns() < end);
    }
    assert_int_equal(st, SF_OK);
    assert_string_equal(fab_ep_contract(ep)->messages[msg.tag].name,
                        fab_ep_contract(ep)->messages[tag].name);
    return msg;
}

void expect_state(const struct fab_ep *ep, const char *name)
{
    assert_string_equal(fab_ep_contract(ep)->states[fab_ep_state(ep)].name, name);
}

void expect_silence(const struct fab_ep *ep, uint32_t ms)
{
    turns_ms(ms);
    assert_false(fab_ep_readable(ep));
}

void expect_closed(struct fab_ep *ep, uint8_t kind)
{
    uint64_t end = now_ns() + TURNS_SECONDS_MAX * 1000000000ull;
    struct fab_msg msg;
    sf_status st;
    while ((st = fab_ep_recv(ep, &msg, ME)) == SF_AGAIN) {
        turn();
        assert_true(now_ns() < end);
    }
    assert_int_equal(st, SF_CLOSED);
    assert_int_equal(fab_ep_cause(ep).kind, kind);
    fab_ep_close(ep, SF_CAUSE_OF(CLOSED_BY_PEER));
}

void release(struct fab_ep *ep)
{
    fab_ep_close(ep, SF_CAUSE_OF(PEER_EXITED));
}

void finish(struct fab_ep *ep)
{
    SEND(ep, Close);
    expect_state(ep, "Closed");
    expect_closed(ep, SF_CAUSE_CLOSED_BY_PEER);
}

void write_bytes(struct fab_ep *ep, const void *bytes, uint32_t count)
{
    struct fab_msg msg = {.tag = TCP_TAG(Write), .arg_count = 1};
    assert_int_equal(xh_alloc(nk_kernel_heap(world.kernel), count, ME, &msg.args[0].block), SF_OK);
    memcpy(msg.args[0].block->data, bytes, count);
    assert_int_equal(fab_ep_send(ep, &msg, ME), SF_OK);
}

void read_text(struct fab_ep *ep, const char *text)
{
    struct fab_msg msg = RECEIVE(ep, Data);
    assert_int_equal(msg.args[0].block->bytes, strlen(text));
    assert_memory_equal(msg.args[0].block->data, text, strlen(text));
    assert_int_equal(xh_free(nk_kernel_heap(world.kernel), msg.args[0].block, ME), SF_OK);
}

/* --- sessions ------------------------------------------------------------------------------------
 */

struct fab_ep *session_ask(void)
{
    struct fab_msg msg = {.tag = TcpContract_tag_CreateTcpSession, .arg_count = 1};
    struct fab_ep *imp;
    assert_int_equal(fab_chan_create(world.fabric, world.connection,
                                     TcpConnectionContract_state_Start, &imp, &msg.args[0].ep),
                     SF_OK);
    assert_int_equal(fab_ep_send(world.client, &msg, ME), SF_OK);
    (void)receive(world.client, TcpContract_tag_Ack);
    return imp;
}

struct fab_ep *session(void)
{
    struct fab_ep *imp = session_ask();
    RECEIVE(imp, Ready);
    expect_state(imp, "ReadyState");
    return imp;
}

uint16_t local_port(struct fab_ep *ep)
{
    SEND(ep, GetLocalPort);
    return (uint16_t)RECEIVE(ep, Port).args[0].scalar;
}

struct fab_ep *listener(uint16_t *port)
{
    struct fab_ep *ep = session();
    SEND2(ep, BindLocalEndPoint, LOOPBACK, *port);
    RECEIVE(ep, OK);
    SEND1(ep, Listen, 16);
    RECEIVE(ep, OK);
    expect_state(ep, "Listening");
    *port = local_port(ep);
    assert_int_not_equal(*port, 0);
    return ep;
}

struct fab_ep *accept_ask(struct fab_ep *ep)
{
    struct fab_msg msg = {.tag = TCP_TAG(Accept), .arg_count = 1};
    struct fab_ep *imp;
    assert_int_equal(fab_chan_create(world.fabric, world.connection,
                                     TcpConnectionContract_state_PreConnected, &imp,
                                     &msg.args[0].ep),
                     SF_OK);
    assert_int_equal(fab_ep_send(ep, &msg, ME), SF_OK);
    return imp;
}

/* --- the peer ------------------------------------------------------------------------------------
 */

struct sockaddr_in loopback(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(LOOPBACK);
    return address;
}

int peer_connect(uint16_t port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

int peer_listen(uint16_t *out_port)
{
    struct sockaddr_in address = loopback(0);
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *out_port = ntohs(address.sin_port);
    return fd;
}

int peer_silent(uint16_t *out_port)
{
    struct sockaddr_in address = loopback(0);
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *out_port = ntohs(address.sin_port);
    return fd;
}

uint16_t peer_full(int fds[8])
{
    struct sockaddr_in address;
    uint16_t port;
    fds[0] = peer_listen(&port);
    assert_int_equal(listen(fds[0], 0), 0);
    address = loopback(port);
    for (uint32_t i = 1; i < 8; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fds[i], (struct sockaddr *)&address, sizeof(address));
    }
    return port;
}

ssize_t peer_recv(int fd, void *buffer, size_t capacity)
{
    uint64_t end = now_ns() + TURNS_SECONDS_MAX * 1000000000ull;
    ssize_t n;
    while ((n = recv(fd, buffer, capacity, MSG_DONTWAIT)) < 0 && errno == EAGAIN) {
        turn();
        assert_true(now_ns() < end);
    }
    return n;
}

void peer_expect(int fd, const char *text)
{
    char buffer[256];
    size_t used = 0;
    while (used < strlen(text)) {
        ssize_t n = peer_recv(fd, buffer + used, strlen(text) - used);
        assert_true(n > 0);
        used += (size_t)n;
    }
    assert_memory_equal(buffer, text, used);
}

void peer_expect_end(int fd)
{
    char byte;
    assert_int_equal(peer_recv(fd, &byte, 1), 0);
}

void peer_expect_reset(int fd)
{
    char byte;
    assert_int_equal(peer_recv(fd, &byte, 1), -1);
    assert_int_equal(errno, ECONNRESET);
}

void peer_send(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

void peer_reset(int fd)
{
    struct linger now = {.l_onoff = 1};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(fd);
}

struct fab_ep *connected(int *out_peer)
{
    uint16_t port;
    int fd = peer_listen(&port);
    struct fab_ep *ep = session();
    SEND2(ep, Connect, LOOPBACK, port);
    RECEIVE(ep, OK);
    expect_state(ep, "Connected");
    *out_peer = accept(fd, NULL, NULL);
    assert_true(*out_peer >= 0);
    close(fd);
    return ep;
}

/* --- fixture -------------------------------------------------------------------------------------
 */

static void on_log(void *arg, uint64_t sip, const char *text, uint32_t bytes)
{
    (void)arg;
    (void)sip;
    snprintf(world.log, sizeof(world.log), "%.*s", (int)bytes, text);
}

static void on_ended(void *arg, const struct nk_sip_end *end)
{
    (void)arg;
    (void)end;
}

static void on_lost(void *arg, uint16_t peer, struct sf_cause cause)
{
    (void)arg;
    (void)peer;
    (void)cause;
}

static void contracts_decode(void)
{
    extern const uint8_t ct_blob_TcpContract[], ct_blob_TcpConnectionContract[];
    extern const size_t ct_blob_TcpContract_bytes, ct_blob_TcpConnectionContract_bytes;
    struct ct_contract *contract;
    assert_int_equal(ct_decode(ct_blob_TcpContract, ct_blob_TcpContract_bytes, &contract, NULL),
                     SF_OK);
    world.tcp = fab_contract_find(world.fabric, contract->short_id);
    ct_destroy(contract);
    assert_int_equal(ct_decode(ct_blob_TcpConnectionContract, ct_blob_TcpConnectionContract_bytes,
                               &contract, NULL),
                     SF_OK);
    world.connection = fab_contract_find(world.fabric, contract->short_id);
    ct_destroy(contract);
    assert_non_null(world.tcp);
    assert_non_null(world.connection);
}

static int world_make(const struct nk_config *config, uint32_t config_count)
{
    struct nk_options options = {.node_name = "test",
                                 .node_id = 3,
                                 .epoch = 1,
                                 .trust = &image_trust_anyone,
                                 .slot_first = 0,
                                 .slot_count = 2,
                                 .heap_bytes = 64u << 20,
                                 .events = {on_log, on_ended, on_lost}};
    char text[256] = "";
    memset(&world, 0, sizeof(world));
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&world.loop);
    assert_int_equal(nk_kernel_create(&options, &world.kernel, text, sizeof(text)), SF_OK);
    world.fabric = nk_kernel_fabric(world.kernel);
    contracts_decode();
    uv_run(&world.loop, UV_RUN_NOWAIT);
    world.descriptors = descriptors();
    assert_int_equal(nk_service_create(world.kernel, &nk_tcp_ops, NUMBER, "tcp", &world.loop,
                                       config, config_count, text, sizeof(text)),
                     SF_OK);
    assert_int_equal(fab_open(world.fabric, 3, "tcp.tcp", world.tcp, &world.client), SF_OK);
    (void)receive(world.client, TcpContract_tag_Ready);
    return 0;
}

int setup(void **state)
{
    (void)state;
    return world_make(NULL, 0);
}

int setup_small(void **state)
{
    static const struct nk_config config = {"connections", "3"};
    (void)state;
    return world_make(&config, 1);
}

void expect_nothing_left(void)
{
    const char *text = "";
    struct xh_stats heap;
    assert_int_equal(xh_audit(nk_kernel_heap(world.kernel), &text), SF_OK);
    assert_int_equal(fab_audit(world.fabric, &text), SF_OK);
    xh_query(nk_kernel_heap(world.kernel), &heap);
    assert_int_equal(heap.block_count, 0);
    assert_int_equal(descriptors(), world.descriptors);
}

int teardown(void **state)
{
    (void)state;
    if (world.client != NULL) {
        release(world.client);
    }
    turns_ms(2);
    if (world.client != NULL) {
        assert_int_equal(nk_service_destroy(world.kernel, NUMBER), SF_OK);
    }
    turns_ms(2);
    expect_nothing_left();
    nk_kernel_destroy(world.kernel);
    uv_run(&world.loop, UV_RUN_NOWAIT);
    assert_int_equal(uv_loop_close(&world.loop), 0);
    return 0;
}
