/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who else is there: witnesses that hold things, innocents that talk, and those whom attackers are
 * wired to. The driver ends witnesses and innocent clients by opening a channel to them.
 */
#include "attack.h"

static void fill(uint8_t *data, uint32_t bytes, uint32_t seed)
{
    for (uint32_t i = 0; i < bytes; i++) {
        data[i] = (uint8_t)(seed + i * 7 + (i >> 8));
    }
}

static bool holds(const uint8_t *data, uint32_t bytes, uint32_t seed)
{
    for (uint32_t i = 0; i < bytes; i++) {
        if (data[i] != (uint8_t)(seed + i * 7 + (i >> 8))) {
            return false;
        }
    }
    return true;
}

/* Blocks in hand, a block in a queue, an endpoint in a queue, endpoints in hand. */
static int witness(void)
{
    static const uint32_t sizes[] = {1, 64, 100, 4096, 5000, 65536, 300000};
    enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };
    uint8_t *blocks[COUNT], *sent = nk_block_alloc(9000);
    uint32_t a[2], b[2], c[2];
    struct nk_msg msg;

    attack_channel(a);
    attack_channel(b);
    attack_channel(c);
    for (uint32_t i = 0; i < COUNT; i++) {
        blocks[i] = nk_block_alloc(sizes[i]);
        CHECK(blocks[i] != NULL);
        fill(blocks[i], sizes[i], i);
    }
    CHECK(sent != NULL);
    fill(sent, 9000, 99);
    CHECK(attack_send_block(a[0], (uint32_t)(uintptr_t)sent, 9000) == 0);
    CHECK(attack_give(b[0], c[0]) == 0);
    sip_log("ready");
    int32_t end = nk_accept(NAME("test"), SIP_FOREVER);
    CHECK(end > 0 && nk_close((uint32_t)end) == 0);
    for (uint32_t i = 0; i < COUNT; i++) {
        CHECK(nk_block_bytes(blocks[i]) == (int32_t)sizes[i]);
        CHECK(holds(blocks[i], sizes[i], i));
    }
    CHECK(nk_recv(a[1], &msg, 0) == 0 && msg.tag == ProbeContract_tag_Ping);
    CHECK(BLOCK_LENGTH(msg.args[0]) == 9000 && holds(BLOCK_DATA(msg.args[0]), 9000, 99));
    CHECK(nk_recv(b[1], &msg, 0) == 0 && msg.tag == ProbeContract_tag_Give);
    CHECK(nk_state((uint32_t)msg.args[0]) == 0 && nk_state(c[1]) == 0);
    CHECK(nk_close((uint32_t)msg.args[0]) == 0 && nk_recv(c[1], &msg, 0) == -SF_CLOSED);
    return 0;
}

static int finish(void)
{
    struct nk_msg msg;

    CHECK(nk_recv((uint32_t)nk_endpoint(NAME("peer")), &msg, SIP_FOREVER) == -SF_CLOSED);
    return 0;
}

/* Echoes blocks and adds numbers until the channel closes. What else comes is counted. */
static int serve_until_closed(uint32_t handle)
{
    struct nk_msg msg;
    int32_t st;

    while ((st = nk_recv(handle, &msg, SIP_FOREVER)) == 0) {
        if (msg.tag == ProbeContract_tag_Ping) {
            uint8_t *data = BLOCK_DATA(msg.args[0]);

            CHECK(nk_block_bytes(data) == (int32_t)BLOCK_LENGTH(msg.args[0]));
            data[0]++;
            msg.tag = ProbeContract_tag_Pong;
        } else if (msg.tag == ProbeContract_tag_Add) {
            msg.args[0] = (uint64_t)((int64_t)msg.args[0] + (int64_t)msg.args[1]);
            msg.args[1] = 0;
            msg.tag = ProbeContract_tag_Sum;
            msg.arg_count = 2;
        } else if (msg.tag == ProbeContract_tag_Give) {
            CHECK(nk_close((uint32_t)msg.args[0]) == 0);
            msg = (struct nk_msg){.tag = ProbeContract_tag_Took};
        } else {
            CHECK(msg.tag == ProbeContract_tag_Bye);
            break;
        }
        st = nk_send(handle, &msg);
        CHECK(st == 0 || nk_cause(handle) != 0);
    }
    CHECK(nk_close(handle) == 0);
    return 0;
}

static int server(void)
{
    int32_t handle = nk_accept(NAME("test"), SIP_FOREVER);

    CHECK(handle > 0);
    return serve_until_closed((uint32_t)handle);
}

static void talk(uint32_t peer, uint32_t bytes, uint32_t round)
{
    struct nk_msg msg = {
        .tag = ProbeContract_tag_Add, .arg_count = 4, .args = {round, bytes & 0xffff, 0, 0}};
    uint8_t *data;

    CHECK(nk_send(peer, &msg) == 0 && nk_recv(peer, &msg, SIP_FOREVER) == 0);
    CHECK(msg.tag == ProbeContract_tag_Sum && msg.args[0] == round + (bytes & 0xffff));
    while ((data = nk_block_alloc(bytes)) == NULL) { /* the node has none at the moment */
        nk_yield();
    }
    fill(data, bytes, round);
    CHECK(attack_send_block(peer, (uint32_t)(uintptr_t)data, bytes) == 0);
    CHECK(nk_recv(peer, &msg, SIP_FOREVER) == 0 && msg.tag == ProbeContract_tag_Pong);
    CHECK(BLOCK_LENGTH(msg.args[0]) == bytes);
    data = BLOCK_DATA(msg.args[0]);
    data[0]--;
    CHECK(holds(data, bytes, round) && nk_block_free(data) == 0);
}

/* An innocent: talks until it is told to end, and then a little more. */
static int client(void)
{
    static const uint32_t sizes[] = {16, 64, 1000, 4097, 20000};
    uint32_t peer = (uint32_t)nk_endpoint(NAME("peer")), left = UINT32_MAX;
    struct nk_msg msg = {.tag = ProbeContract_tag_Bye};
    int32_t end = -1;

    CHECK((int32_t)peer > 0);
    for (uint32_t round = 0; left > 0; round++, left--) {
        talk(peer, sizes[round % 5], round);
        if (round == 0) {
            sip_log("ready");
        }
        if (end < 0 && (end = nk_accept(NAME("test"), 0)) > 0) {
            left = 10;
        }
    }
    CHECK(nk_close((uint32_t)end) == 0);
    CHECK(nk_send(peer, &msg) == 0 && nk_recv(peer, &msg, SIP_FOREVER) == -SF_CLOSED);
    CHECK((nk_cause(peer) & 0xff) == SF_CAUSE_CLOSED_BY_PEER);
    return 0;
}

/* Takes a channel and lets it be. */
static int mute(void)
{
    int32_t handle = nk_accept(NAME("test"), SIP_FOREVER);

    CHECK(handle > 0);
    while (nk_cause((uint32_t)handle) == 0) {
        CHECK(nk_select(NULL, 0, SIP_MS(2)) == -SF_TIMEOUT);
    }
    return 0;
}

/* Never takes any. */
static int deaf(void)
{
    CHECK(nk_select(NULL, 0, SIP_FOREVER) == 0);
    return 0;
}

/* Has a block, and tells where. Then it must still be there. */
static int owner(void)
{
    int32_t handle = nk_accept(NAME("test"), SIP_FOREVER);
    uint8_t *data = nk_block_alloc(3000), *large = nk_block_alloc(70000);
    struct nk_msg msg;

    CHECK(handle > 0 && data != NULL && large != NULL);
    fill(data, 3000, 5);
    fill(large, 70000, 6);
    while (nk_recv((uint32_t)handle, &msg, SIP_FOREVER) == 0) {
        uint64_t address = (uintptr_t)(msg.args[0] == 0 ? data : large);

        CHECK(msg.tag == ProbeContract_tag_Add);
        msg = (struct nk_msg){.tag = ProbeContract_tag_Sum, .arg_count = 2, .args = {address, 0}};
        CHECK(nk_send((uint32_t)handle, &msg) == 0);
    }
    CHECK(nk_block_bytes(data) == 3000 && holds(data, 3000, 5));
    CHECK(nk_block_bytes(large) == 70000 && holds(large, 70000, 6));
    return 0;
}

/* Receives endpoints, uses each at once, closes it; closes at random times, too. */
static int racer(void)
{
    uint32_t listening = (uint32_t)nk_listen(NAME("test")), count = 0;
    int32_t handle = nk_accept(NAME("test"), SIP_FOREVER), st;
    struct nk_msg msg;

    CHECK(handle > 0 && (int32_t)listening > 0);
    while ((st = nk_recv((uint32_t)handle, &msg, SIP_FOREVER)) == 0) {
        if (msg.tag == ProbeContract_tag_Give) {
            uint32_t given = (uint32_t)msg.args[0];

            msg = (struct nk_msg){.tag = ProbeContract_tag_Add, .arg_count = 4};
            st = nk_send(given, &msg);
            CHECK(st == 0 || nk_cause(given) != 0);
            if (count++ % 2 == 0) {
                (void)nk_recv(given, &msg, 0);
            }
            CHECK(nk_close(given) == 0);
        }
        msg = (struct nk_msg){.tag = ProbeContract_tag_Took};
        st = nk_send((uint32_t)handle, &msg);
        CHECK(st == 0 || nk_cause((uint32_t)handle) != 0);
    }
    CHECK(nk_close((uint32_t)handle) == 0);
    return 0;
}

/* Leaves its pattern wherever it can. */
static int fill_all(void)
{
    volatile uint64_t *at = AT(512u << 10);

    for (uint32_t i = 0; i < (512u << 10) / 8; i++) {
        at[i] = 0x5ea1edf00d15beefull;
    }
    for (uint32_t bytes = 64; bytes <= MIB; bytes *= 4) {
        for (uint32_t i = 0; i < 8; i++) {
            uint64_t *data = nk_block_alloc(bytes);

            CHECK(data != NULL);
            for (uint32_t k = 0; k < bytes / 8; k++) {
                data[k] = 0x5ea1edf00d15beefull;
            }
        }
    }
    return 0;
}

const struct attack attack_roles[] = {
    {"witness", witness}, {"finish", finish}, {"server", server}, {"client", client},
    {"mute", mute},       {"deaf", deaf},     {"owner", owner},   {"racer", racer},
    {"fill", fill_all},   {NULL, NULL},
};
