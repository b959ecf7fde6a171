/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.c - stands in for the TCP service and for clients, so that a web server can be measured
 * without a network: it lets one session listen, and makes `requests` connections to it, each of
 * which sends one GET and takes the answer. Then it ends.
 *
 * Says the sum of all answers' bytes, as tax.h does; ends with line numbers when something is
 * wrong.
 */
#include "TcpConnectionContract.h"
#include "TcpContract.h"
#include "tax.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            sip_log("peer:%d: %s", __LINE__, #condition);                                          \
            nk_exit(__LINE__);                                                                     \
        }                                                                                          \
    } while (0)

static const char request[] = "GET / HTTP/1.1\r\nHost: 10.77.0.11:8080\r\n"
                              "User-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n";

static struct TcpConnectionContract_Exp_msg msg;

static void receive(struct TcpConnectionContract_Exp from, uint32_t tag)
{
    CHECK(TcpConnectionContract_Exp_recv(from, &msg, SIP_FOREVER) == 0);
    CHECK(msg.tag == tag);
}

static struct TcpConnectionContract_Exp listen_session(void)
{
    struct TcpConnectionContract_Exp session;
    struct TcpContract_Exp_msg asked;
    struct TcpContract_Exp service;

    CHECK(TcpContract_Exp_accept("tcp", &service, SIP_FOREVER) == 0);
    CHECK(TcpContract_Exp_send_Ready(service) == 0);
    CHECK(TcpContract_Exp_recv(service, &asked, SIP_FOREVER) == 0);
    session = asked.CreateTcpSession.endpoint;
    CHECK(TcpContract_Exp_send_Ack(service) == 0);
    CHECK(TcpConnectionContract_Exp_send_Ready(session) == 0);
    receive(session, TcpConnectionContract_tag_BindLocalEndPoint);
    CHECK(TcpConnectionContract_Exp_send_OK(session) == 0);
    receive(session, TcpConnectionContract_tag_Listen);
    CHECK(TcpConnectionContract_Exp_send_OK(session) == 0);
    return session;
}

static uint64_t one_request(struct TcpConnectionContract_Exp listener, uint64_t sum)
{
    struct TcpConnectionContract_Exp connection;
    uint8_t *block;

    receive(listener, TcpConnectionContract_tag_Accept);
    connection = msg.Accept.newConnection;
    CHECK(TcpConnectionContract_Exp_send_OK(listener) == 0);
    CHECK(TcpConnectionContract_Exp_send_Ready(connection) == 0);
    receive(connection, TcpConnectionContract_tag_GetRemoteAddress);
    CHECK(TcpConnectionContract_Exp_send_IPAddress(connection, 0x0a4d0001) == 0);
    receive(connection, TcpConnectionContract_tag_GetRemotePort);
    CHECK(TcpConnectionContract_Exp_send_Port(connection, 40000) == 0);
    receive(connection, TcpConnectionContract_tag_PollRead);
    block = nk_block_alloc(sizeof(request) - 1);
    CHECK(block != NULL);
    memcpy(block, request, sizeof(request) - 1);
    CHECK(TcpConnectionContract_Exp_send_Data(connection, block, sizeof(request) - 1) == 0);
    receive(connection, TcpConnectionContract_tag_Write);
    CHECK(msg.Write.data_bytes > 100 && memcmp(msg.Write.data, "HTTP/1.1 200", 12) == 0);
    for (uint32_t i = 0; i + 8 <= msg.Write.data_bytes; i += 8) {
        uint64_t word;
        memcpy(&word, msg.Write.data + i, sizeof(word));
        sum = tax_fold(sum, word);
    }
    CHECK(nk_block_free(msg.Write.data) == 0);
    CHECK(TcpConnectionContract_Exp_send_OK(connection) == 0);
    receive(connection, TcpConnectionContract_tag_Close);
    CHECK(TcpConnectionContract_Exp_close(connection) == 0);
    return sum;
}

uint64_t tax_work(uint32_t rounds)
{
    struct TcpConnectionContract_Exp listener = listen_session();
    uint64_t sum = 0;

    for (uint32_t i = 0; i < rounds; i++) {
        sum = one_request(listener, sum);
    }
    return sum;
}
