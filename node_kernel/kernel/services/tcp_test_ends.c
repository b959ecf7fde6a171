/* SPDX-License-Identifier: Apache-2.0 */
#include "services/tcp_test_ends.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "services/services.h"
#include "services/tcp_test_world.h"

/* --- sessions of one address ---------------------------------------------------------------------
 */

/* Serves one connection in full: the peer sees the session's letter. */
static void serve(struct fab_ep *server, struct fab_ep *ep, const char *letter)
{
    RECEIVE(server, OK);
    RECEIVE(ep, Ready);
    write_bytes(ep, letter, 1);
    RECEIVE(ep, OK);
    finish(ep);
}

void sessions_share_an_address_in_turn(void **state)
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

void a_session_that_dies_loses_no_connection(void **state)
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

void sessions_bound_before_the_first_listens_join_it(void **state)
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

void an_accept_without_taker_takes_no_connection(void **state)
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

/* --- the client vanishes -------------------------------------------------------------------------
 */

void the_client_may_vanish_before_a_connection(void **state)
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

void the_client_may_vanish_while_a_read_waits(void **state)
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

void the_client_may_vanish_while_a_write_waits(void **state)
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

void the_client_may_vanish_when_half_closed(void **state)
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

/* --- limits and ends -----------------------------------------------------------------------------
 */

void over_the_limit_a_session_is_refused_clearly(void **state)
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

void at_the_limit_connections_wait_in_the_backlog(void **state)
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

void the_service_may_end_at_any_time(void **state)
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

void wrong_config_is_refused(void **state)
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
