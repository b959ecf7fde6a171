/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for one of several things: select, recv_any, listen. */
#include "probe.h"

#define PAIRS 4u

static uint32_t imps[PAIRS], exps[PAIRS];

static void add(uint32_t handle)
{
    struct nk_msg msg = {.tag = ProbeContract_tag_Add, .arg_count = 4, .args = {1, 2, 3}};

    CHECK(nk_send(handle, &msg) == 0);
}

static void sum(uint32_t handle)
{
    struct nk_msg msg = {.tag = ProbeContract_tag_Sum, .arg_count = 2, .args = {6, 0}};

    CHECK(nk_send(handle, &msg) == 0);
}

static void take(uint32_t handle, uint32_t tag)
{
    struct nk_msg msg;

    CHECK(nk_recv(handle, &msg, 0) == 0 && msg.tag == tag);
}

/* Answers what recv_any of the exporters' ends answered; *out_tag: of the message. */
static int32_t any(uint32_t count, uint32_t *out_tag)
{
    struct nk_msg msg = {.tag = 77};
    int32_t result = nk_recv_any(exps, count, &msg, 0);

    *out_tag = msg.tag;
    return result;
}

static void pairs_make(void)
{
    for (uint32_t i = 0; i < PAIRS; i++) {
        uint32_t ends[2];

        CHECK(nk_channel((int64_t)ProbeContract_ID, 0, ends) == 0);
        imps[i] = ends[0];
        exps[i] = ends[1];
    }
}

static void the_first_that_has_something(void)
{
    uint32_t tag;

    CHECK(any(PAIRS, &tag) == -SF_TIMEOUT && tag == 77);
    CHECK(nk_select(exps, PAIRS, 0) == -SF_TIMEOUT);
    add(imps[2]);
    add(imps[1]);
    CHECK(nk_select(exps, PAIRS, 0) == 1); /* and again: looking takes nothing */
    CHECK(nk_select(exps, PAIRS, SIP_FOREVER) == 1);
    CHECK(any(PAIRS, &tag) == 1 && tag == ProbeContract_tag_Add);
    CHECK(any(PAIRS, &tag) == 2 && tag == ProbeContract_tag_Add);
    CHECK(any(PAIRS, &tag) == -SF_TIMEOUT);
    sum(exps[1]);
    sum(exps[2]);
    take(imps[1], ProbeContract_tag_Sum);
    take(imps[2], ProbeContract_tag_Sum);
}

/* What is received past the set is not in it any more; what comes meanwhile is. */
static void a_set_sees_what_happens_beside_it(void)
{
    struct nk_msg msg;
    uint32_t tag;

    CHECK(nk_select(exps, PAIRS, 0) == -SF_TIMEOUT);
    add(imps[3]);
    take(exps[3], ProbeContract_tag_Add);
    CHECK(nk_select(exps, PAIRS, 0) == -SF_TIMEOUT);
    sum(exps[3]);
    take(imps[3], ProbeContract_tag_Sum);
    CHECK(nk_recv(exps[3], &msg, SIP_MS(1)) == -SF_TIMEOUT); /* waits for it alone */
    add(imps[3]);
    CHECK(any(PAIRS, &tag) == 3 && tag == ProbeContract_tag_Add);
    sum(exps[3]);
    take(imps[3], ProbeContract_tag_Sum);
    /* Another set, then this one again. */
    add(imps[0]);
    CHECK(nk_select(&exps[1], 2, 0) == -SF_TIMEOUT);
    CHECK(nk_select(exps, PAIRS, 0) == 0);
    CHECK(nk_select(exps, 0, SIP_MS(1)) == -SF_TIMEOUT); /* none at all: sleeps */
    CHECK(any(PAIRS, &tag) == 0);
    sum(exps[0]);
    take(imps[0], ProbeContract_tag_Sum);
}

static void wrong_sets_are_refused(void)
{
    uint32_t twice[3] = {exps[0], exps[1], exps[0]}, wrong[2] = {exps[0], 4711};
    struct nk_msg msg;

    CHECK(nk_recv_any(exps, 0, &msg, 0) == -SF_BADARG);
    CHECK(nk_recv_any(exps, NK_SELECT_MAX + 1, &msg, 0) == -SF_BADARG);
    CHECK(nk_recv_any(exps, 1, &msg, -2) == -SF_BADARG);
    CHECK(nk_recv_any((const uint32_t *)(uintptr_t)0x3fffff0, 8, &msg, 0) == -SF_BADARG);
    CHECK(nk_recv_any(exps, 1, (struct nk_msg *)(uintptr_t)0x3fffff0, 0) == -SF_BADARG);
    CHECK(nk_select(wrong, 2, 0) == -SF_BADHANDLE);
    CHECK(nk_select(wrong, 2, 0) == -SF_BADHANDLE);
    add(imps[0]);
    CHECK(nk_select(wrong, 2, 0) == -SF_BADHANDLE); /* also if another is ready */
    CHECK(nk_select(twice, 3, 0) == 0);
    CHECK(nk_recv_any(&twice[1], 2, &msg, 0) == 1);
    sum(exps[0]);
    take(imps[0], ProbeContract_tag_Sum);
}

static void closing_is_seen(void)
{
    struct nk_msg msg;
    uint32_t tag, listen = (uint32_t)nk_listen(NAME("test"));
    uint32_t both[2] = {exps[1], listen};

    CHECK(any(PAIRS, &tag) == -SF_TIMEOUT);
    CHECK(nk_close(imps[2]) == 0);
    CHECK(any(PAIRS, &tag) == 2 && tag == NK_TAG_NONE); /* ask it why */
    CHECK(nk_recv(exps[2], &msg, 0) == -SF_CLOSED);
    CHECK(any(PAIRS, &tag) == 2 && tag == NK_TAG_NONE);
    CHECK(nk_close(exps[2]) == 0);
    CHECK(any(PAIRS, &tag) == -SF_BADHANDLE);
    CHECK(any(2, &tag) == -SF_TIMEOUT);
    CHECK(nk_recv_any(both, 2, &msg, SIP_FOREVER) == 1 && msg.tag == NK_TAG_NONE);
    CHECK(nk_select(both, 2, 0) == 1);
    CHECK(nk_accept(NAME("test"), 0) > 0);
    CHECK(nk_select(both, 2, 0) == -SF_TIMEOUT);
}

static int wait_alone(void)
{
    pairs_make();
    the_first_that_has_something();
    a_set_sees_what_happens_beside_it();
    wrong_sets_are_refused();
    closing_is_seen();
    return 0;
}

/* Serves 8 clients with one recv_any, by their first letter; ends when all have said Bye. */
static int serve_any(bool select)
{
    uint32_t handles[9] = {(uint32_t)nk_listen(NAME("test"))}, count = 1, done = 0;
    struct nk_msg msg;

    while (done < 8) {
        int32_t i = select ? nk_select(handles, count, SIP_FOREVER)
                           : nk_recv_any(handles, count, &msg, SIP_FOREVER);

        CHECK(i >= 0 && (uint32_t)i < count);
        if (i == 0) {
            handles[count++] = (uint32_t)nk_accept(NAME("test"), 0);
            continue;
        }
        if (select) {
            CHECK(nk_recv(handles[i], &msg, 0) == 0);
        }
        if (msg.tag == ProbeContract_tag_Ping) {
            ++*(uint8_t *)sip_arg_block(msg.args[0]);
            msg.tag = ProbeContract_tag_Pong;
            CHECK(nk_send(handles[i], &msg) == 0);
            continue;
        }
        CHECK(msg.tag == ProbeContract_tag_Bye);
        CHECK(nk_close(handles[i]) == 0);
        handles[i] = handles[--count];
        done++;
    }
    return 0;
}

/* A few hundred blocks there and back, of all small sizes. */
static int ask(void)
{
    struct nk_msg msg = {.tag = ProbeContract_tag_Bye};
    uint32_t peer = (uint32_t)nk_endpoint(NAME("peer"));

    for (uint32_t i = 1; i <= 300; i++) {
        uint32_t bytes = 1 + i * 7;
        uint8_t *data = nk_block_alloc(bytes);

        CHECK(data != NULL);
        data[0] = (uint8_t)i;
        data[bytes - 1] = (uint8_t)(i + (bytes == 1));
        msg = (struct nk_msg){.tag = ProbeContract_tag_Ping, .arg_count = 1};
        msg.args[0] = sip_block_arg(data, bytes);
        CHECK(nk_send(peer, &msg) == 0);
        CHECK(nk_recv(peer, &msg, SIP_FOREVER) == 0 && msg.tag == ProbeContract_tag_Pong);
        data = sip_arg_block(msg.args[0]);
        CHECK(data[0] == (uint8_t)(i + 1) && data[bytes - 1] == (uint8_t)(i + (bytes == 1)));
        CHECK(nk_block_free(data) == 0);
    }
    msg = (struct nk_msg){.tag = ProbeContract_tag_Bye};
    CHECK(nk_send(peer, &msg) == 0);
    return 0;
}

/* Sends a number there and back for ever. */
static int chatter(void)
{
    uint32_t peer = (uint32_t)nk_endpoint(NAME("peer"));

    for (;;) {
        struct nk_msg msg = {.tag = ProbeContract_tag_Add, .arg_count = 4, .args = {1, 2, 3}};

        CHECK(nk_send(peer, &msg) == 0);
        CHECK(nk_recv(peer, &msg, SIP_FOREVER) == 0);
    }
}

int probe_wait(const char *mode)
{
    if (strcmp(mode, "waitalone") == 0) {
        return wait_alone();
    }
    if (strcmp(mode, "anyserver") == 0 || strcmp(mode, "selectserver") == 0) {
        return serve_any(mode[0] == 's');
    }
    if (strcmp(mode, "ask") == 0) {
        return ask();
    }
    if (strcmp(mode, "chatter") == 0) {
        return chatter();
    }
    return -1;
}
