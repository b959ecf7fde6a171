/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TCP service in a real kernel core: what a client does with one session, message by message.
 * The harness is tcp_test_world.h; more tests are in tcp_test_ends.c.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "services/tcp_test_ends.h"
#include "services/tcp_test_world.h"

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
