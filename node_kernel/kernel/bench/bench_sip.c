/* SPDX-License-Identifier: Apache-2.0 */
/* The SIP that bench_local.c measures; the config value "mode" chooses what it does. */
#include "ProbeContract.h"
#include "sip.h"

#define CALLS 10000 /* a batch */

static int calls(void)
{
    uint32_t ends[2];

    if (nk_channel((int64_t)ProbeContract_ID, 0, ends) != 0) {
        return 1;
    }
    for (;;) {
        for (int i = 0; i < CALLS; i++) {
            if (nk_state(ends[0]) != 0) {
                return 2;
            }
        }
        nk_yield();
    }
}

/* Sends every block back in the answer. */
static int pong(void)
{
    int32_t handle = nk_accept("test", 4, SIP_FOREVER);
    struct nk_msg msg;

    for (;;) {
        if (nk_recv((uint32_t)handle, &msg, SIP_FOREVER) != 0) {
            return 1;
        }
        msg.tag = ProbeContract_tag_Pong;
        if (nk_send((uint32_t)handle, &msg) != 0) {
            return 2;
        }
    }
}

/* The last one is the client's, the others are quiet. 0: all are open. */
static int open_many(uint32_t *handles, uint32_t count)
{
    uint32_t ends[2];

    handles[count - 1] = (uint32_t)nk_accept("test", 4, SIP_FOREVER);
    for (uint32_t i = 0; i + 1 < count; i++) {
        if (nk_channel((int64_t)ProbeContract_ID, 0, ends) != 0) {
            return 1;
        }
        handles[i] = ends[1];
    }
    return 0;
}

/* The same, while `count` endpoints are open, of which the last one is talked to. */
static int pong_any(uint32_t count)
{
    uint32_t handles[NK_SELECT_MAX];
    struct nk_msg msg;

    if (open_many(handles, count) != 0) {
        return 1;
    }
    for (;;) {
        if (nk_recv_any(handles, count, &msg, SIP_FOREVER) != (int32_t)count - 1) {
            return 1;
        }
        msg.tag = ProbeContract_tag_Pong;
        if (nk_send(handles[count - 1], &msg) != 0) {
            return 2;
        }
    }
}

/* As a server that selects, then receives. */
static int pong_select(uint32_t count)
{
    uint32_t handles[NK_SELECT_MAX];
    struct nk_msg msg;

    if (open_many(handles, count) != 0) {
        return 1;
    }
    for (;;) {
        if (nk_select(handles, count, SIP_FOREVER) != (int32_t)count - 1 ||
            nk_recv(handles[count - 1], &msg, SIP_FOREVER) != 0) {
            return 1;
        }
        msg.tag = ProbeContract_tag_Pong;
        if (nk_send(handles[count - 1], &msg) != 0) {
            return 2;
        }
    }
}

/* The first and the last word change each time; the rest was written once. */
static int ping(uint32_t bytes)
{
    int32_t handle = nk_endpoint("peer", 4);
    struct nk_msg msg = {.tag = ProbeContract_tag_Ping, .arg_count = 1};
    void *block = nk_block_alloc(bytes);
    uint32_t last = bytes / 8 - 1;
    uint64_t count = 0;

    if (block == NULL) {
        return 1;
    }
    memset(block, 0x5a, bytes);
    msg.args[0] = sip_block_arg(block, bytes);
    for (;;) {
        uint64_t *data = sip_arg_block(msg.args[0]);

        data[0] = data[last] = ++count;
        msg.tag = ProbeContract_tag_Ping;
        if (nk_send((uint32_t)handle, &msg) != 0 ||
            nk_recv((uint32_t)handle, &msg, SIP_FOREVER) != 0) {
            return 2;
        }
        data = sip_arg_block(msg.args[0]);
        if (data[0] != count || data[last] != count) {
            return 3;
        }
    }
}

int sip_main(void)
{
    char mode[16];

    (void)sip_config("mode", mode, sizeof(mode), "exit");
    if (strcmp(mode, "calls") == 0) {
        return calls();
    }
    if (strcmp(mode, "yield") == 0) {
        for (;;) {
            nk_yield();
        }
    }
    if (strcmp(mode, "pong") == 0) {
        return pong();
    }
    if (strcmp(mode, "any64") == 0) {
        return pong_any(64);
    }
    if (strcmp(mode, "select64") == 0) {
        return pong_select(64);
    }
    if (strcmp(mode, "ping") == 0) {
        return ping(64);
    }
    if (strcmp(mode, "ping64k") == 0) {
        return ping(64 << 10);
    }
    if (strcmp(mode, "ping1m") == 0) {
        return ping(1 << 20);
    }
    return 7;
}
