/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TCP service in a real kernel core. The test is the importer: it sends and receives on
 * endpoints as a SIP would, and plays the peer with plain sockets on loopback. Every test ends with
 * clean audits, no block and no descriptor left.
 */
#include "services/tcp.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "TcpContract_monitor.h"
#include "services/services.h"

#define LOOPBACK 0x7f000001u
#define ME XH_OWNER(XH_OWNER_SERVICE, 999)
#define TURNS_SECONDS_MAX 20u
#define NUMBER 7u

struct world {
    uv_loop_t loop;
    struct nk_kernel *kernel;
    struct fab_node *fabric;
    const struct ct_contract *tcp, *connection;
    struct fab_ep *client;
    uint32_t descriptors;
    char log[256];
};

static struct world world;

static uint64_t now_ns(void)
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

static void turn(void)
{
    while (nk_run(world.kernel, 64, now_ns())) {
    }
    uv_run(&world.loop, UV_RUN_NOWAIT);
    while (nk_run(world.kernel, 64, now_ns())) {
    }
}

static void turns_ms(uint32_t ms)
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

static void send_message(struct fab_ep *ep, uint8_t tag, uint8_t arg_count, uint64_t a, uint64_t b)
{
    struct fab_msg msg = {.tag = tag, .arg_count = arg_count};
    msg.args[0].scalar = a;
    msg.args[1].scalar = b;
    assert_int_equal(fab_ep_send(ep, &msg, ME), SF_OK);
}
#define SEND(ep, name) send_message(ep, TCP_TAG(name), 0, 0, 0)
#define SEND1(ep, name, a) send_message(ep, TCP_TAG(name), 1, (uint64_t)(a), 0)
#define SEND2(ep, name, a, b) send_message(ep, TCP_TAG(name), 2, a, b)

static struct fab_msg receive(struct fab_ep *ep, uint8_t tag)
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
#define RECEIVE(ep, name) receive(ep, TCP_TAG(name))

static void expect_state(const struct fab_ep *ep, const char *name)
{
    assert_string_equal(fab_ep_contract(ep)->states[fab_ep_state(ep)].name, name);
}

static void expect_silence(const struct fab_ep *ep, uint32_t ms)
{
    turns_ms(ms);
    assert_false(fab_ep_readable(ep));
}

static void expect_closed(struct fab_ep *ep, uint8_t kind)
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

static void release(struct fab_ep *ep)
{
    fab_ep_close(ep, SF_CAUSE_OF(PEER_EXITED));
}

/* Close message, and the channel ends. */
static void finish(struct fab_ep *ep)
{
    SEND(ep, Close);
    expect_state(ep, "Closed");
    expect_closed(ep, SF_CAUSE_CLOSED_BY_PEER);
}

static void write_bytes(struct fab_ep *ep, const void *bytes, uint32_t count)
{
    struct fab_msg msg = {.tag = TCP_TAG(Write), .arg_count = 1};
    assert_int_equal(xh_alloc(nk_kernel_heap(world.kernel), count, ME, &msg.args[0].block), SF_OK);
    memcpy(msg.args[0].block->data, bytes, count);
    assert_int_equal(fab_ep_send(ep, &msg, ME), SF_OK);
}

static void read_text(struct fab_ep *ep, const char *text)
{
    struct fab_msg msg = RECEIVE(ep, Data);
    assert_int_equal(msg.args[0].block->bytes, strlen(text));
    assert_memory_equal(msg.args[0].block->data, text, strlen(text));
    assert_int_equal(xh_free(nk_kernel_heap(world.kernel), msg.args[0].block, ME), SF_OK);
}

/* --- sessions ------------------------------------------------------------------------------------
 */

static struct fab_ep *session_ask(void)
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

static struct fab_ep *session(void)
{
    struct fab_ep *imp = session_ask();
    RECEIVE(imp, Ready);
    expect_state(imp, "ReadyState");
    return imp;
}

static uint16_t local_port(struct fab_ep *ep)
{
    SEND(ep, GetLocalPort);
    return (uint16_t)RECEIVE(ep, Port).args[0].scalar;
}

/* A listening session; *port 0: any, answered. */
static struct fab_ep *listener(uint16_t *port)
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

/* Sends Accept; answers the importer's end of the new connection. */
static struct fab_ep *accept_ask(struct fab_ep *ep)
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

static struct sockaddr_in loopback(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(LOOPBACK);
    return address;
}

static int peer_connect(uint16_t port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static int peer_listen(uint16_t *out_port)
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

/* A port on which nobody listens: bound, so that nobody else takes it. */
static int peer_silent(uint16_t *out_port)
{
    struct sockaddr_in address = loopback(0);
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *out_port = ntohs(address.sin_port);
    return fd;
}

/* A port that takes no more connections: its backlog is full, further SYNs are dropped. */
static uint16_t peer_full(int fds[8])
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

/* Next answer of recv while the service runs. */
static ssize_t peer_recv(int fd, void *buffer, size_t capacity)
{
    uint64_t end = now_ns() + TURNS_SECONDS_MAX * 1000000000ull;
    ssize_t n;
    while ((n = recv(fd, buffer, capacity, MSG_DONTWAIT)) < 0 && errno == EAGAIN) {
        turn();
        assert_true(now_ns() < end);
    }
    return n;
}

static void peer_expect(int fd, const char *text)
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

static void peer_expect_end(int fd)
{
    char byte;
    assert_int_equal(peer_recv(fd, &byte, 1), 0);
}

static void peer_expect_reset(int fd)
{
    char byte;
    assert_int_equal(peer_recv(fd, &byte, 1), -1);
    assert_int_equal(errno, ECONNRESET);
}

static void peer_send(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void peer_reset(int fd)
{
    struct linger now = {.l_onoff = 1};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(fd);
}

/* A connection in state Connected and its peer. */
static struct fab_ep *connected(int *out_peer)
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

static int setup(void **state)
{
    (void)state;
    return world_make(NULL, 0);
}

static int setup_small(void **state)
{
    static const struct nk_config config = {"connections", "3"};
    (void)state;
    return world_make(&config, 1);
}

static void expect_nothing_left(void)
{
    const char *text = "";
    struct xh_stats heap;
    assert_int_equal(xh_audit(nk_kernel_heap(world.kernel), &text), SF_OK);
    assert_int_equal(fab_audit(world.fabric, &text), SF_OK);
    xh_query(nk_kernel_heap(world.kernel), &heap);
    assert_int_equal(heap.block_count, 0);
    assert_int_equal(descriptors(), world.descriptors);
}

static int teardown(void **state)
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

/* --- tests ---------------------------------------------------------------------------------------
 */

static void a_server_lives_a_full_life(void **state)
{
    uint16_t port = 0;
    struct fab_ep *server = listener(&port), *ep;
    struct sockaddr_in address;
    socklen_t length = sizeof(address);
    int peer;
    (void)state;
    SEND(server, GetLocalAddress);
    assert_int_equal(RECEIVE(server, IPAddress).args[0].scalar, LOOPBACK);
    SEND(server, IsSessionAvailable);
    assert_int_equal(RECEIVE(server, SessionIsAvailable).args[0].scalar, 0);
    ep = accept_ask(server);
    expect_silence(server, 5);
    assert_false(fab_ep_readable(ep));
    peer = peer_connect(port);
    RECEIVE(server, OK);
    RECEIVE(ep, Ready);
    expect_state(ep, "Connected");
    getsockname(peer, (struct sockaddr *)&address, &length);
    assert_int_equal(local_port(ep), port);
    SEND(ep, GetRemotePort);
    assert_int_equal(RECEIVE(ep, Port).args[0].scalar, ntohs(address.sin_port));
    SEND(ep, GetRemoteAddress);
    assert_int_equal(RECEIVE(ep, IPAddress).args[0].scalar, LOOPBACK);
    SEND(ep, IsDataAvailable);
    assert_int_equal(RECEIVE(ep, DataIsAvailable).args[0].scalar, 0);
    SEND(ep, Read);
    expect_silence(ep, 5);
    peer_send(peer, "hello");
    read_text(ep, "hello");
    peer_send(peer, "again");
    turns_ms(2);
    SEND(ep, IsDataAvailable);
    assert_int_equal(RECEIVE(ep, DataIsAvailable).args[0].scalar, 1);
    SEND(ep, Read);
    read_text(ep, "again");
    write_bytes(ep, "answer", 6);
    RECEIVE(ep, OK);
    peer_expect(peer, "answer");
    shutdown(peer, SHUT_WR);
    SEND(ep, Read);
    RECEIVE(ep, NoMoreData);
    expect_state(ep, "SendOnly");
    write_bytes(ep, "last", 4);
    RECEIVE(ep, OK);
    SEND(ep, DoneSending);
    expect_state(ep, "Zombie");
    finish(ep);
    peer_expect(peer, "last");
    peer_expect_end(peer);
    close(peer);
    finish(server);
}

static void what_waits_in_the_backlog_is_accepted_at_once(void **state)
{
    uint16_t port = 0;
    struct fab_ep *server = listener(&port), *ep;
    int peer = peer_connect(port);
    (void)state;
    SEND(server, IsSessionAvailable);
    assert_int_equal(RECEIVE(server, SessionIsAvailable).args[0].scalar, 1);
    ep = accept_ask(server);
    RECEIVE(server, OK);
    RECEIVE(ep, Ready);
    release(ep);
    release(server);
    peer_expect_end(peer);
    close(peer);
}

static void a_refused_connect_says_so_and_may_be_tried_again(void **state)
{
    uint16_t silent, port;
    int quiet = peer_silent(&silent), fd = peer_listen(&port);
    struct fab_ep *ep = session();
    (void)state;
    SEND2(ep, Connect, LOOPBACK, silent);
    assert_int_equal(RECEIVE(ep, CouldNotConnect).args[0].scalar, TCP_ERROR(Refused));
    expect_state(ep, "ReadyState");
    SEND2(ep, Connect, 0, port);
    assert_int_equal(RECEIVE(ep, CouldNotConnect).args[0].scalar, TCP_ERROR(Unknown));
    SEND2(ep, Connect, LOOPBACK, port);
    RECEIVE(ep, OK);
    finish(ep);
    close(quiet);
    close(fd);
}

static void a_bound_session_connects_from_its_port(void **state)
{
    uint16_t port, own;
    int fd = peer_listen(&port), quiet = peer_silent(&own), one = 1;
    struct fab_ep *ep = session();
    (void)state;
    setsockopt(quiet, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    SEND2(ep, BindLocalEndPoint, LOOPBACK, own);
    RECEIVE(ep, OK);
    expect_state(ep, "Bound");
    SEND2(ep, Connect, LOOPBACK, port);
    RECEIVE(ep, OK);
    assert_int_equal(local_port(ep), own);
    finish(ep);
    close(quiet);
    close(fd);
}

static void half_close_of_our_side_leaves_reading(void **state)
{
    int peer;
    struct fab_ep *ep = connected(&peer);
    (void)state;
    SEND(ep, DoneSending);
    expect_state(ep, "ReceiveOnly");
    peer_expect_end(peer);
    peer_send(peer, "still");
    SEND(ep, Read);
    read_text(ep, "still");
    SEND1(ep, PollRead, 1);
    RECEIVE(ep, NoData);
    expect_state(ep, "ReceiveOnly");
    close(peer);
    SEND(ep, Read);
    RECEIVE(ep, NoMoreData);
    expect_state(ep, "Zombie");
    finish(ep);
}

static void half_close_of_the_other_side_leaves_writing(void **state)
{
    int peer;
    struct fab_ep *ep = connected(&peer);
    (void)state;
    SEND(ep, DoneReceiving);
    expect_state(ep, "SendOnly");
    write_bytes(ep, "out", 3);
    RECEIVE(ep, OK);
    peer_expect(peer, "out");
    SEND(ep, DoneSending);
    expect_state(ep, "Zombie");
    peer_expect_end(peer);
    SEND(ep, Abort);
    expect_closed(ep, SF_CAUSE_CLOSED_BY_PEER);
    close(peer);
}

static void abort_resets_the_peer(void **state)
{
    int peer;
    struct fab_ep *ep = connected(&peer);
    (void)state;
    SEND(ep, Abort);
    expect_closed(ep, SF_CAUSE_CLOSED_BY_PEER);
    peer_expect_reset(peer);
    close(peer);
}

static void poll_read_waits_no_longer_than_asked(void **state)
{
    int peer;
    struct fab_ep *ep = connected(&peer);
    uint64_t began = now_ns();
    (void)state;
    SEND1(ep, PollRead, 40);
    RECEIVE(ep, NoData);
    assert_true(now_ns() - began >= 39000000);
    expect_state(ep, "Connected");
    began = now_ns();
    SEND1(ep, PollRead, 0);
    RECEIVE(ep, NoData);
    assert_true(now_ns() - began < 30000000);
    SEND1(ep, PollRead, 10000);
    expect_silence(ep, 3);
    peer_send(peer, "x");
    read_text(ep, "x");
    SEND1(ep, PollRead, -1);
    expect_silence(ep, 3);
    shutdown(peer, SHUT_WR);
    RECEIVE(ep, NoMoreData);
    expect_state(ep, "SendOnly");
    finish(ep);
    close(peer);
}

static void a_reset_by_the_peer_closes_both_directions(void **state)
{
    int peer;
    struct fab_ep *ep = connected(&peer);
    (void)state;
    SEND(ep, Read);
    turns_ms(2);
    peer_reset(peer);
    RECEIVE(ep, ConnectionClosed);
    expect_state(ep, "Zombie");
    finish(ep);
}

static void a_write_to_a_reset_connection_cannot_send(void **state)
{
    int peer;
    struct fab_ep *ep = connected(&peer);
    (void)state;
    peer_reset(peer);
    turns_ms(2);
    write_bytes(ep, "x", 1);
    RECEIVE(ep, CantSend);
    expect_state(ep, "ReceiveOnly");
    SEND(ep, Read);
    RECEIVE(ep, NoMoreData);
    expect_state(ep, "Zombie");
    finish(ep);

    ep = connected(&peer);
    SEND(ep, DoneReceiving);
    peer_reset(peer);
    turns_ms(2);
    write_bytes(ep, "x", 1);
    RECEIVE(ep, CantSend);
    expect_state(ep, "Zombie");
    finish(ep);
}

static void a_large_write_is_answered_when_all_is_taken(void **state)
{
    enum { BYTES = 12u << 20 };
    uint8_t *bytes = malloc(BYTES), *got = malloc(BYTES);
    size_t used = 0;
    int peer;
    struct fab_ep *ep = connected(&peer);
    (void)state;
    for (uint32_t i = 0; i < BYTES; i++) {
        bytes[i] = (uint8_t)(i * 2654435761u >> 24);
    }
    write_bytes(ep, bytes, BYTES);
    expect_silence(ep, 20);
    while (used < BYTES) {
        ssize_t n = peer_recv(peer, got + used, BYTES - used);
        assert_true(n > 0);
        used += (size_t)n;
    }
    RECEIVE(ep, OK);
    assert_memory_equal(bytes, got, BYTES);
    finish(ep);
    peer_expect_end(peer);
    close(peer);
    free(bytes);
    free(got);
}

static void a_read_takes_no_more_than_its_limit(void **state)
{
    static char much[TCP_READ_BYTES_MAX * 2];
    struct fab_msg msg;
    int peer;
    struct fab_ep *ep = connected(&peer);
    uint32_t total = 0;
    (void)state;
    assert_int_equal(send(peer, much, sizeof(much), MSG_NOSIGNAL), sizeof(much));
    while (total < sizeof(much)) {
        SEND(ep, Read);
        msg = RECEIVE(ep, Data);
        assert_true(msg.args[0].block->bytes <= TCP_READ_BYTES_MAX);
        total += msg.args[0].block->bytes;
        assert_int_equal(xh_free(nk_kernel_heap(world.kernel), msg.args[0].block, ME), SF_OK);
    }
    finish(ep);
    close(peer);
}

static void a_read_waits_while_the_heap_is_full(void **state)
{
    struct xh_heap *heap = nk_kernel_heap(world.kernel);
    uint64_t hog = XH_OWNER(XH_OWNER_SERVICE, 1000);
    struct xh_block *block;
    int peer;
    struct fab_ep *ep = connected(&peer);
    (void)state;
    for (uint32_t bytes = 16u << 20; bytes > 0; bytes /= 2) {
        while (xh_alloc(heap, bytes, hog, &block) == SF_OK) {
        }
    }
    peer_send(peer, "late");
    SEND(ep, Read);
    expect_silence(ep, 50);
    (void)xh_free_all(heap, hog);
    read_text(ep, "late");
    finish(ep);
    close(peer);
}

/* Unread bytes must not make the system reset the connection under our last answer. */
static void a_polite_close_delivers_what_was_written(void **state)
{
    int peer;
    struct fab_ep *ep = connected(&peer);
    (void)state;
    peer_send(peer, "never read by anybody");
    turns_ms(2);
    write_bytes(ep, "whole answer", 12);
    RECEIVE(ep, OK);
    finish(ep);
    turns_ms(5);
    peer_send(peer, "nor this");
    turns_ms(5);
    peer_expect(peer, "whole answer");
    peer_expect_end(peer);
    close(peer);
    turns_ms(5);
}

static void wrong_addresses_are_refused(void **state)
{
    struct fab_ep *ep = session();
    struct sockaddr_in address;
    uint16_t port;
    int fd, one = 1;
    (void)state;
    SEND2(ep, BindLocalEndPoint, 0xcb007101u, 80); /* 203.0.113.1: not ours */
    RECEIVE(ep, InvalidEndPoint);
    expect_state(ep, "ReadyState");
    fd = peer_listen(&port);
    SEND2(ep, BindLocalEndPoint, LOOPBACK, port); /* another program listens there */
    RECEIVE(ep, InvalidEndPoint);
    close(fd);
    /* Bound, but another program is faster to listen. */
    SEND2(ep, BindLocalEndPoint, LOOPBACK, port);
    RECEIVE(ep, OK);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    address = loopback(port);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    SEND1(ep, Listen, 1);
    RECEIVE(ep, CouldNotListen);
    expect_state(ep, "ReadyState");
    close(fd);
    finish(ep);
}

/* Serves one connection in full: the peer sees the session's letter. */
static void serve(struct fab_ep *server, struct fab_ep *ep, const char *letter)
{
    RECEIVE(server, OK);
    RECEIVE(ep, Ready);
    write_bytes(ep, letter, 1);
    RECEIVE(ep, OK);
    finish(ep);
}

static void sessions_share_an_address_in_turn(void **state)
{
    uint16_t port = 0;
    struct fab_ep *servers[2] = {listener(&port), listener(&port)};
    struct fab_ep *eps[2] = {accept_ask(servers[0]), accept_ask(servers[1])};
    static const char *letters[2] = {"A", "B"};
    uint32_t counts[2] = {0, 0};
    (void)state;
    for (uint32_t i = 0; i < 10; i++) {
        char letter;
        int peer = peer_connect(port);
        uint32_t which;
        while (!fab_ep_readable(servers[0]) && !fab_ep_readable(servers[1])) {
            turn();
        }
        which = fab_ep_readable(servers[1]);
        serve(servers[which], eps[which], letters[which]);
        eps[which] = accept_ask(servers[which]);
        assert_int_equal(peer_recv(peer, &letter, 1), 1);
        counts[letter - 'A']++;
        close(peer);
    }
    assert_int_equal(counts[0], 5);
    assert_int_equal(counts[1], 5);
    for (uint32_t i = 0; i < 2; i++) {
        release(eps[i]);
        release(servers[i]);
    }
}

static void a_session_that_dies_loses_no_connection(void **state)
{
    uint16_t port = 0;
    struct fab_ep *first = listener(&port), *second = listener(&port);
    struct fab_ep *pending = accept_ask(first);
    int peers[8];
    (void)state;
    turns_ms(2);
    release(first); /* with an Accept pending */
    turns_ms(2);
    expect_closed(pending, SF_CAUSE_CLOSED_BY_PEER);
    for (uint32_t i = 0; i < 8; i++) {
        peers[i] = peer_connect(port);
    }
    turns_ms(2);
    for (uint32_t i = 0; i < 8; i++) {
        char letter;
        serve(second, accept_ask(second), "B");
        assert_int_equal(peer_recv(peers[i], &letter, 1), 1);
        assert_int_equal(letter, 'B');
        close(peers[i]);
    }
    finish(second);
    /* With the last session the address is free again. */
    first = listener(&port);
    finish(first);
}

static void sessions_bound_before_the_first_listens_join_it(void **state)
{
    uint16_t port = 0;
    struct fab_ep *first = listener(&port), *second = session(), *third = session();
    (void)state;
    SEND2(second, BindLocalEndPoint, LOOPBACK, port);
    RECEIVE(second, OK);
    SEND2(third, BindLocalEndPoint, LOOPBACK, port);
    RECEIVE(third, OK);
    finish(first); /* the listener goes before they listen */
    SEND1(second, Listen, -5);
    RECEIVE(second, OK);
    SEND1(third, Listen, 1 << 30);
    RECEIVE(third, OK);
    finish(second);
    finish(third);
}

static void an_accept_without_taker_takes_no_connection(void **state)
{
    uint16_t port = 0;
    struct fab_ep *server = listener(&port), *ep = accept_ask(server);
    int peer;
    char letter;
    (void)state;
    turns_ms(2);
    release(ep);
    RECEIVE(server, OK);
    expect_state(server, "Listening");
    peer = peer_connect(port);
    serve(server, accept_ask(server), "A");
    assert_int_equal(peer_recv(peer, &letter, 1), 1);
    close(peer);
    finish(server);
}

/* --- the client vanishes
 * -------------------------------------------------------------------------- */

static void the_client_may_vanish_before_a_connection(void **state)
{
    uint16_t port = 0;
    int full[8];
    struct fab_ep *ep;
    (void)state;
    release(session()); /* ReadyState */
    ep = session();     /* Bound */
    SEND2(ep, BindLocalEndPoint, LOOPBACK, 0);
    RECEIVE(ep, OK);
    release(ep);
    release(listener(&port)); /* Listening */
    turns_ms(2);
    ep = session(); /* ConnectResult: nobody answers */
    SEND2(ep, Connect, LOOPBACK, peer_full(full));
    expect_silence(ep, 5);
    expect_state(ep, "ConnectResult");
    release(ep);
    for (uint32_t i = 0; i < 8; i++) {
        close(full[i]);
    }
    turns_ms(2);
    expect_nothing_left();
}

static void the_client_may_vanish_while_a_read_waits(void **state)
{
    int peer;
    struct fab_ep *ep = connected(&peer);
    (void)state;
    SEND(ep, Read);
    turns_ms(2);
    release(ep);
    peer_expect_end(peer);
    close(peer);

    ep = connected(&peer);
    SEND1(ep, PollRead, 5000);
    turns_ms(2);
    release(ep);
    peer_expect_end(peer);
    close(peer);

    ep = connected(&peer);
    SEND(ep, DoneSending);
    SEND(ep, Read);
    turns_ms(2);
    release(ep);
    close(peer);
    turns_ms(2);
    expect_nothing_left();
}

static void the_client_may_vanish_while_a_write_waits(void **state)
{
    static uint8_t bytes[8u << 20];
    char *sink = malloc(1u << 20);
    ssize_t n;
    int peer;
    struct fab_ep *ep = connected(&peer);
    (void)state;
    write_bytes(ep, bytes, sizeof(bytes));
    turns_ms(5);
    release(ep);
    turns_ms(5);
    /* The peer must not take the part for the whole: it sees a reset. */
    while ((n = peer_recv(peer, sink, 1u << 20)) > 0) {
    }
    assert_int_equal(n, -1);
    assert_int_equal(errno, ECONNRESET);
    close(peer);
    free(sink);
    expect_nothing_left();
}

static void the_client_may_vanish_when_half_closed(void **state)
{
    int peer;
    struct fab_ep *ep = connected(&peer); /* Connected */
    (void)state;
    release(ep);
    peer_expect_end(peer);
    close(peer);
    ep = connected(&peer); /* ReceiveOnly */
    SEND(ep, DoneSending);
    release(ep);
    peer_expect_end(peer);
    close(peer);
    ep = connected(&peer); /* SendOnly */
    SEND(ep, DoneReceiving);
    release(ep);
    peer_expect_end(peer);
    close(peer);
    ep = connected(&peer); /* Zombie */
    SEND(ep, DoneReceiving);
    SEND(ep, DoneSending);
    release(ep);
    peer_expect_end(peer);
    close(peer);
    turns_ms(5);
    expect_nothing_left();
}

/* --- limits and ends
 * ------------------------------------------------------------------------------ */

static void over_the_limit_a_session_is_refused_clearly(void **state)
{
    struct fab_ep *eps[3] = {session(), session(), session()};
    (void)state;
    expect_closed(session_ask(), SF_CAUSE_QUOTA);
    assert_non_null(strstr(world.log, "limit"));
    finish(eps[0]);
    eps[0] = session();
    for (uint32_t i = 0; i < 3; i++) {
        finish(eps[i]);
    }
}

static void at_the_limit_connections_wait_in_the_backlog(void **state)
{
    uint16_t port = 0;
    struct fab_ep *server = listener(&port), *extra = session(), *held = session(), *ep;
    int peer = peer_connect(port);
    (void)state;
    ep = accept_ask(server);
    expect_silence(server, 5);
    finish(extra);
    RECEIVE(server, OK);
    RECEIVE(ep, Ready);
    finish(ep);
    peer_expect_end(peer);
    close(peer);
    finish(held);
    finish(server);
}

static void the_service_may_end_at_any_time(void **state)
{
    static uint8_t bytes[8u << 20];
    uint16_t port = 0;
    struct fab_ep *server = listener(&port), *pending = accept_ask(server);
    int peers[2];
    struct fab_ep *reading = connected(&peers[0]), *writing = connected(&peers[1]);
    (void)state;
    SEND(reading, Read);
    write_bytes(writing, bytes, sizeof(bytes));
    turns_ms(3);
    assert_int_equal(nk_service_destroy(world.kernel, NUMBER), SF_OK);
    expect_closed(world.client, SF_CAUSE_REVOKED);
    world.client = NULL;
    expect_closed(server, SF_CAUSE_REVOKED);
    expect_closed(pending, SF_CAUSE_REVOKED);
    expect_closed(reading, SF_CAUSE_REVOKED);
    expect_closed(writing, SF_CAUSE_REVOKED);
    close(peers[0]);
    close(peers[1]);
}

static void wrong_config_is_refused(void **state)
{
    static const struct nk_config wrong[] = {
        {"colour", "red"},      {"connections", "0"},  {"connections", ""},
        {"connections", "12x"}, {"connections", "-1"}, {"connections", "99999999999999999999"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char text[256] = "";
        assert_int_equal(nk_service_create(world.kernel, &nk_tcp_ops, 50 + i, "other", &world.loop,
                                           &wrong[i], 1, text, sizeof(text)),
                         SF_BADARG);
        assert_non_null(strstr(text, wrong[i].key));
    }
    assert_null(nk_service_find("udp"));
    assert_ptr_equal(nk_service_find("tcp"), &nk_tcp_ops);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define CASE_SMALL(f) cmocka_unit_test_setup_teardown(f, setup_small, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_server_lives_a_full_life),
        CASE(what_waits_in_the_backlog_is_accepted_at_once),
        CASE(a_refused_connect_says_so_and_may_be_tried_again),
        CASE(a_bound_session_connects_from_its_port),
        CASE(half_close_of_our_side_leaves_reading),
        CASE(half_close_of_the_other_side_leaves_writing),
        CASE(abort_resets_the_peer),
        CASE(poll_read_waits_no_longer_than_asked),
        CASE(a_reset_by_the_peer_closes_both_directions),
        CASE(a_write_to_a_reset_connection_cannot_send),
        CASE(a_large_write_is_answered_when_all_is_taken),
        CASE(a_read_takes_no_more_than_its_limit),
        CASE(a_read_waits_while_the_heap_is_full),
        CASE(a_polite_close_delivers_what_was_written),
        CASE(wrong_addresses_are_refused),
        CASE(sessions_share_an_address_in_turn),
        CASE(a_session_that_dies_loses_no_connection),
        CASE(sessions_bound_before_the_first_listens_join_it),
        CASE(an_accept_without_taker_takes_no_connection),
        CASE(the_client_may_vanish_before_a_connection),
        CASE(the_client_may_vanish_while_a_read_waits),
        CASE(the_client_may_vanish_while_a_write_waits),
        CASE(the_client_may_vanish_when_half_closed),
        CASE_SMALL(over_the_limit_a_session_is_refused_clearly),
        CASE_SMALL(at_the_limit_connections_wait_in_the_backlog),
        CASE(the_service_may_end_at_any_time),
        CASE(wrong_config_is_refused),
    };
    return cmocka_run_group_tests_name("tcp_service", tests, NULL, NULL);
}
