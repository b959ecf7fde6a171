/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frames.c - two nodes in memory talk standard contracts; what they send goes into a pcap file as
 * it would look on an Ethernet (UDP port 7701).
 *
 * usage: frames FILE [sealed]
 *
 * One greeting and a goodbye over HelloContract; a TCP session made over TcpContract, whose
 * endpoint travels, and a Connect that is refused on it. One frame gets lost on its way and is sent
 * again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "HelloContract_monitor.h"
#include "TcpConnectionContract_monitor.h"
#include "TcpContract_monitor.h"
#include "fabric/fabric.h"

#define MTU 1024u
#define STEP_NS 50000u
#define ROUNDS 8000u
#define LOST_FRAME 5u /* of those with records */
#define PORT 7701u
#define OWNER XH_OWNER(XH_OWNER_SIP, 1)

static struct node {
    struct xh_heap *heap;
    struct fab_node *fab;
    struct fab_ep *opened; /* the last one */
} nodes[3];                /* by id, from 1 */

static uint64_t now_ns = 1000000000u;
static uint32_t record_frames;
static bool sealed;
static FILE *out;

static void need(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "frames: failed: %s\n", what);
        exit(1);
    }
}

static void put(const void *bytes, size_t count)
{
    need(fwrite(bytes, 1, count, out) == count, "write");
}

static void put_le32(uint32_t value)
{
    const uint8_t bytes[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
                              (uint8_t)(value >> 24)};
    put(bytes, sizeof(bytes));
}

static void put_be16(uint32_t value)
{
    const uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};
    put(bytes, sizeof(bytes));
}

static void put_frame(uint16_t from, uint16_t to, const uint8_t *bytes, uint32_t length)
{
    const uint8_t ethernet[14] = {2, 0, 0, 0, 0, (uint8_t)to, 2, 0, 0, 0, 0, (uint8_t)from, 8, 0};
    const uint8_t addresses[8] = {10, 77, 0, (uint8_t)from, 10, 77, 0, (uint8_t)to};
    const uint8_t start[2] = {0x45, 0};
    const uint8_t middle[8] = {0, 0, 0x40, 0, 64, 17, 0, 0};

    put_le32((uint32_t)(now_ns / 1000000000u));
    put_le32((uint32_t)(now_ns / 1000u % 1000000u));
    put_le32(length + 42);
    put_le32(length + 42);
    put(ethernet, sizeof(ethernet));
    put(start, sizeof(start));
    put_be16(length + 28);
    put(middle, sizeof(middle));
    put(addresses, sizeof(addresses));
    put_be16(PORT);
    put_be16(PORT);
    put_be16(length + 8);
    put_be16(0);
    put(bytes, length);
}

static void pump(void)
{
    uint8_t bytes[MTU];

    for (uint16_t id = 1; id <= 2; id++) {
        const uint16_t to = (uint16_t)(3 - id);
        (void)fab_tick(nodes[id].fab, now_ns);
        while (fab_tx_pending(nodes[id].fab) != 0) {
            const uint32_t length = fab_tx(nodes[id].fab, to, bytes, MTU, now_ns);
            put_frame(id, to, bytes, length);
            bool records = fab_frame_has_records(bytes, length);
            record_frames += records;
            if (!records || record_frames != LOST_FRAME) {
                fab_rx(nodes[to].fab, id, bytes, length, now_ns);
            }
        }
    }
    now_ns += STEP_NS;
}

/* Waits for a message at ep, and requires it to be that one. */
static struct fab_msg expect(struct fab_ep *ep, uint8_t tag)
{
    struct fab_msg msg;

    for (uint32_t i = 0; i < ROUNDS; i++) {
        if (fab_ep_readable(ep)) {
            need(fab_ep_recv(ep, &msg, OWNER) == SF_OK && msg.tag == tag, "expected message");
            return msg;
        }
        pump();
    }
    need(false, "message in time");
    abort();
}

static void drop(uint16_t id, const struct ct_contract *contract, struct fab_msg msg)
{
    fab_msg_drop(nodes[id].fab, contract, &msg, OWNER, SF_CAUSE_OF(CLOSED_BY_PEER));
}

static void send(struct fab_ep *ep, struct fab_msg msg)
{
    need(fab_ep_send(ep, &msg, OWNER) == SF_OK, "send");
}

static struct xh_block *block(uint16_t id, const char *text)
{
    struct xh_block *made;

    need(xh_alloc(nodes[id].heap, (uint32_t)strlen(text), OWNER, &made) == SF_OK, "block");
    memcpy(made->data, text, strlen(text));
    return made;
}

/* From node 1 to an export of node 2. */
static struct fab_ep *open_channel(const char *export, const struct ct_contract *contract,
                                   struct fab_ep **out_exp)
{
    struct fab_ep *imp;

    nodes[2].opened = NULL;
    need(fab_open(nodes[1].fab, 2, export, contract, &imp) == SF_OK, "open");
    for (uint32_t i = 0; i < ROUNDS && nodes[2].opened == NULL; i++) {
        pump();
    }
    need(nodes[2].opened != NULL, "opened in time");
    *out_exp = nodes[2].opened;
    return imp;
}

static void greet(const struct ct_contract *hello)
{
    struct fab_ep *exp;
    struct fab_ep *imp = open_channel("greeter.hello", hello, &exp);

    send(imp, (struct fab_msg){.tag = HelloContract_tag_Hello,
                               .arg_count = 1,
                               .args = {{.block = block(1, "world")}}});
    drop(2, hello, expect(exp, HelloContract_tag_Hello));
    send(exp, (struct fab_msg){.tag = HelloContract_tag_Greeting,
                               .arg_count = 1,
                               .args = {{.block = block(2, "hello, world")}}});
    drop(1, hello, expect(imp, HelloContract_tag_Greeting));
    send(imp, (struct fab_msg){.tag = HelloContract_tag_Bye});
    (void)expect(exp, HelloContract_tag_Bye);
    fab_ep_close(exp, SF_CAUSE_OF(CLOSED_BY_PEER));
    fab_ep_close(imp, SF_CAUSE_OF(CLOSED_BY_PEER));
}

static void connect_refused(const struct ct_contract *tcp, const struct ct_contract *connection)
{
    struct fab_ep *service, *session, *remote;
    struct fab_ep *client = open_channel("tcp.tcp", tcp, &service);

    send(service, (struct fab_msg){.tag = TcpContract_tag_Ready});
    (void)expect(client, TcpContract_tag_Ready);
    need(fab_chan_create(nodes[1].fab, connection, 0, &session, &remote) == SF_OK, "channel");
    send(client, (struct fab_msg){
                     .tag = TcpContract_tag_CreateTcpSession,
                     .arg_count = 1,
                     .args = {{.ep = remote}},
                 });
    remote = expect(service, TcpContract_tag_CreateTcpSession).args[0].ep;
    send(service, (struct fab_msg){.tag = TcpContract_tag_Ack});
    send(remote, (struct fab_msg){.tag = TcpConnectionContract_tag_Ready});
    (void)expect(client, TcpContract_tag_Ack);
    (void)expect(session, TcpConnectionContract_tag_Ready);
    send(session, (struct fab_msg){.tag = TcpConnectionContract_tag_Connect,
                                   .arg_count = 2,
                                   .args = {{.scalar = 0x7f000001}, {.scalar = 80}}});
    (void)expect(remote, TcpConnectionContract_tag_Connect);
    send(remote, (struct fab_msg){.tag = TcpConnectionContract_tag_CouldNotConnect,
                                  .arg_count = 1,
                                  .args = {{.scalar = TcpConnectionContract_TcpError_Refused}}});
    (void)expect(session, TcpConnectionContract_tag_CouldNotConnect);
}

static void on_opened(void *arg, uint64_t export_owner, const char *export_name, struct fab_ep *exp)
{
    struct node *node = arg;

    (void)export_owner;
    (void)export_name;
    node->opened = exp;
}

static void on_random(void *arg, uint8_t *bytes, uint32_t length)
{
    (void)arg;
    randombytes_buf(bytes, length);
}

/* The secret key of a node here is its id over and over. */
static void make_node(uint16_t id)
{
    struct fab_peer peer = {
        .node_id = (uint16_t)(3 - id), .epoch = 1, .mtu_bytes = MTU, .sealed = sealed};
    uint8_t secret_key[FAB_KEY_BYTES], peer_secret[FAB_KEY_BYTES];
    const struct xh_options heap_options = {.range_bytes = 4u << 20};
    struct fab_options options = {
        .node_id = id,
        .epoch = 1,
        .events = {.opened = on_opened},
        .events_arg = &nodes[id],
        .endpoint_count_max = 32,
    };

    need(xh_heap_create(&heap_options, &nodes[id].heap) == SF_OK, "heap");
    options.heap = nodes[id].heap;
    if (sealed) {
        memset(secret_key, id, sizeof(secret_key));
        memset(peer_secret, peer.node_id, sizeof(peer_secret));
        need(crypto_scalarmult_base(peer.key, peer_secret) == 0, "key");
        options.secret_key = secret_key;
        options.random = on_random;
    }
    need(fab_node_create(&options, &nodes[id].fab) == SF_OK, "node");
    need(fab_peer_add(nodes[id].fab, &peer, now_ns) == SF_OK, "peer");
}

static struct ct_contract *decode(const uint8_t *blob, size_t bytes)
{
    struct ct_contract *contract;

    need(ct_decode(blob, bytes, &contract, NULL) == SF_OK, "contract");
    return contract;
}

int main(int argc, char **argv)
{
    struct ct_contract *hello = decode(ct_blob_HelloContract, ct_blob_HelloContract_bytes);
    struct ct_contract *tcp = decode(ct_blob_TcpContract, ct_blob_TcpContract_bytes);
    struct ct_contract *connection =
        decode(ct_blob_TcpConnectionContract, ct_blob_TcpConnectionContract_bytes);

    sealed = argc == 3 && strcmp(argv[2], "sealed") == 0;
    need(argc == 2 || sealed, "usage: frames FILE [sealed]");
    need(sodium_init() >= 0, "sodium");
    out = fopen(argv[1], "wb");
    need(out != NULL, "open the file");
    put_le32(0xa1b2c3d4u);
    put_le32(4u << 16 | 2u); /* version 2.4 */
    put_le32(0);
    put_le32(0);
    put_le32(65535);
    put_le32(1); /* Ethernet */
    make_node(1);
    make_node(2);
    need(fab_contract_add(nodes[2].fab, connection) == SF_OK, "contract");
    need(fab_export_add(nodes[2].fab, "greeter.hello", hello, OWNER) == SF_OK, "export");
    need(fab_export_add(nodes[2].fab, "tcp.tcp", tcp, OWNER) == SF_OK, "export");
    greet(hello);
    connect_refused(tcp, connection);
    for (uint32_t i = 0; i < 20; i++) {
        pump();
    }
    need(fclose(out) == 0, "close the file");
    for (uint16_t id = 1; id <= 2; id++) {
        fab_node_destroy(nodes[id].fab);
        xh_heap_destroy(nodes[id].heap);
    }
    ct_destroy(hello);
    ct_destroy(tcp);
    ct_destroy(connection);
    return 0;
}
