/* SPDX-License-Identifier: Apache-2.0 */
/* Attacks by the arguments of kernel calls: pointers, lengths, times, numbers. */
#include "attack.h"

/* At and over every border of what this SIP may touch; the first three allow a few bytes. Beyond
 * 64 MiB they mean the same once more. */
static const uint32_t wild[] = {
    MIB - 1,      MIB - 3,        MIB - 7,    MIB,        MIB + 1,    24 * MIB,     WINDOW - 8,
    WINDOW,       40 * MIB,       88 * MIB,   0x7fffffff, 0xfffffff0, 64 * MIB - 1, 0x80000000 - 7,
    65 * MIB - 7, 0xffffffff - 6, 0xffffffff,
};

/* One call, with a wild pointer to `16` bytes; everything it answers must be an error. */
static int with_wild_pointers(int32_t (*call)(void *at))
{
    uint8_t *block;

    for (uint32_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
        CHECK(call(AT(wild[i])) == -SF_BADARG);
    }
    block = nk_block_alloc(12288);
    CHECK(block != NULL);
    CHECK(call(block + 12288 - 1) == -SF_BADARG); /* out of a block */
    CHECK(call(block + 12288) == -SF_BADARG);
    CHECK(call(block - 1) == -SF_BADARG); /* into one */
    CHECK(nk_block_free(block) == 0);
    CHECK(call(block) == -SF_BADARG); /* one that is no more */
    return 0;
}

static uint32_t own[2];

/* clang-format off */
static int32_t log_call(void *at) { return nk_log(at, 16); }
static int32_t entropy_call(void *at) { return nk_entropy(at, 16); }
static int32_t config_key_call(void *at) { char text[8]; return nk_config(at, 16, text, 8); }
static int32_t config_call(void *at) { return nk_config(NAME("mode"), at, 16); }
static int32_t identity_call(void *at) { return nk_identity(0, at, 16); }
static int32_t endpoint_call(void *at) { return nk_endpoint(at, 16); }
static int32_t accept_call(void *at) { return nk_accept(at, 16, 0); }
static int32_t listen_call(void *at) { return nk_listen(at, 16); }
static int32_t channel_call(void *at) { return nk_channel((int64_t)ProbeContract_ID, 0, at); }
static int32_t select_call(void *at) { return nk_select(at, 4, 0); }
static int32_t send_call(void *at) { return nk_send(own[0], at); }
static int32_t recv_call(void *at) { return nk_recv(own[1], at, 0); }
static int32_t any_call(void *at) { return nk_recv_any(&own[1], 1, at, 0); }
static int32_t any_of_call(void *at) { struct nk_msg msg; return nk_recv_any(at, 4, &msg, 0); }
/* clang-format on */

static int log_pointers(void)
{
    return with_wild_pointers(log_call);
}

static int entropy_pointers(void)
{
    return with_wild_pointers(entropy_call);
}

static int config_key_pointers(void)
{
    return with_wild_pointers(config_key_call);
}

static int config_pointers(void)
{
    return with_wild_pointers(config_call);
}

static int identity_pointers(void)
{
    return with_wild_pointers(identity_call);
}

static int endpoint_pointers(void)
{
    return with_wild_pointers(endpoint_call);
}

static int accept_pointers(void)
{
    return with_wild_pointers(accept_call);
}

static int listen_pointers(void)
{
    return with_wild_pointers(listen_call);
}

static int channel_pointers(void)
{
    return with_wild_pointers(channel_call);
}

static int select_pointers(void)
{
    return with_wild_pointers(select_call);
}

static int send_pointers(void)
{
    attack_channel(own);
    return with_wild_pointers(send_call);
}

/* With a message there: it stays. */
static int recv_pointers(void)
{
    struct nk_msg msg = {.tag = ProbeContract_tag_Add, .arg_count = 4, .args = {1, 2, 3, 4}};

    attack_channel(own);
    CHECK(nk_send(own[0], &msg) == 0);
    CHECK(with_wild_pointers(recv_call) == 0);
    CHECK(nk_recv(own[1], &msg, 0) == 0 && msg.args[2] == 3);
    return 0;
}

static int recv_any_pointers(void)
{
    struct nk_msg msg = {.tag = ProbeContract_tag_Add, .arg_count = 4, .args = {1, 2, 3, 4}};

    attack_channel(own);
    CHECK(nk_send(own[0], &msg) == 0);
    CHECK(with_wild_pointers(any_call) == 0);
    CHECK(nk_recv_any(&own[1], 1, &msg, 0) == 0 && msg.args[3] == 4);
    return 0;
}

static int recv_any_of_pointers(void)
{
    return with_wild_pointers(any_of_call);
}

static int lengths_that_wrap(void)
{
    static const uint32_t lengths[] = {MIB,        32 * MIB,   64 * MIB,  0x7fffffff,
                                       0x80000000, 0xfffffff0, 0xffffffff};
    struct nk_msg msg;
    char text[16];

    for (uint32_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        CHECK(nk_log(text, lengths[i]) == -SF_BADARG);
        CHECK(nk_entropy(text, lengths[i]) == -SF_BADARG);
        CHECK(nk_config(text, lengths[i], text, 16) == -SF_BADARG);
        CHECK(nk_config(NAME("mode"), text, lengths[i]) == -SF_BADARG);
        CHECK(nk_identity(0, text, lengths[i]) == -SF_BADARG);
        CHECK(nk_endpoint(text, lengths[i]) == -SF_BADARG);
        CHECK(nk_accept(text, lengths[i], 0) == -SF_BADARG);
        CHECK(nk_listen(text, lengths[i]) == -SF_BADARG);
        CHECK(nk_select(own, lengths[i], 0) == -SF_BADARG);
        CHECK(nk_block_alloc(lengths[i]) == NULL || lengths[i] == MIB);
    }
    CHECK(nk_select(own, 65, 0) == -SF_BADARG); /* one too many */
    CHECK(nk_log(text, 0) == -SF_BADARG && nk_entropy(text, 0) == -SF_BADARG);
    CHECK(nk_select(own, 0x40000001u, 0) == -SF_BADARG); /* times 4 it is 4 */
    CHECK(nk_recv_any(own, 0x40000001u, &msg, 0) == -SF_BADARG);
    CHECK(nk_recv_any(own, 65, &msg, 0) == -SF_BADARG);
    CHECK(nk_recv_any(own, 0, &msg, 0) == -SF_BADARG);
    return 0;
}

static int times_before_time(void)
{
    static const int64_t times[] = {-2, -1000000000, INT64_MIN, INT64_MIN + 1};
    struct nk_msg msg;

    attack_channel(own);
    for (uint32_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        CHECK(nk_recv(own[1], &msg, times[i]) == -SF_BADARG);
        CHECK(nk_select(own, 2, times[i]) == -SF_BADARG);
        CHECK(nk_recv_any(own, 2, &msg, times[i]) == -SF_BADARG);
        CHECK(nk_accept(NAME("test"), times[i]) == -SF_BADARG);
    }
    return 0;
}

/* A deadline that does not fit a number must not be one that has passed. */
static int sleep_longer_than_numbers(void)
{
    CHECK(nk_select(NULL, 0, INT64_MAX) == -SF_TIMEOUT);
    return 1;
}

static int control_bytes_in_the_log(void)
{
    uint8_t text[1024];

    for (uint32_t i = 0; i < 1024; i++) {
        text[i] = (uint8_t)i;
    }
    CHECK(nk_log((const char *)text, 1024) == 0);
    CHECK(nk_log(NAME("\x1b[2J\x1b]0;owned\x07\r\n# 1: forged\xc2\x9b"
                      "2J\x9b\x7f")) == 0);
    for (uint32_t i = 0; i < 32; i++) { /* cut in the middle of a character */
        CHECK(nk_log((const char *)text + 0xc2, i + 1) == 0);
    }
    return 0;
}

/* The message is in the block that it sends; the answer comes to where it was. */
static int message_inside_its_own_block(void)
{
    uint32_t peer = (uint32_t)nk_endpoint(NAME("peer"));

    for (uint32_t bytes = 80; bytes <= 200000; bytes *= 3) {
        uint8_t *data = nk_block_alloc(bytes), *answer = nk_block_alloc(200);
        struct nk_msg *msg = (struct nk_msg *)(void *)data;

        CHECK(data != NULL && answer != NULL);
        *msg = (struct nk_msg){.tag = ProbeContract_tag_Ping, .arg_count = 1};
        msg->args[0] = BLOCK(data, bytes);
        CHECK(nk_send(peer, msg) == 0);
        CHECK(nk_recv(peer, (struct nk_msg *)(void *)(answer + 1), SIP_FOREVER) == 0);
        memcpy(&msg, answer + 1 + 8, 4); /* where the block is now */
        CHECK(msg->arg_count == 1 && nk_block_bytes(msg) == (int32_t)bytes);
        CHECK(nk_block_free(msg) == 0 && nk_block_free(answer) == 0);
    }
    return 0;
}

static int key_and_value_in_one_place(void)
{
    char text[64] = "mode";

    CHECK(nk_config(text, 4, text, sizeof(text)) == 26);
    CHECK(memcmp(text, "key_and_value_in_one_place", 26) == 0);
    return 0;
}

static int contracts_that_are_not_its_own(void)
{
    uint32_t ends[2] = {7, 7};

    for (uint32_t bit = 0; bit < 64; bit++) {
        CHECK(nk_channel((int64_t)(ProbeContract_ID ^ (1ull << bit)), 0, ends) == -SF_NOTFOUND);
    }
    CHECK(nk_channel(0, 0, ends) == -SF_NOTFOUND && nk_channel(-1, 0, ends) == -SF_NOTFOUND);
    CHECK(ends[0] == 7 && ends[1] == 7);
    return 0;
}

static int states_that_do_not_exist(void)
{
    uint32_t ends[2], count = 0;

    for (uint32_t state = 0; state < 1024; state++) {
        int32_t st = nk_channel((int64_t)ProbeContract_ID, state, ends);

        CHECK(st == (state <= count ? st : -SF_BADARG));
        if (st == 0) {
            count++;
            CHECK(nk_state(ends[0]) == (int32_t)state && nk_state(ends[1]) == (int32_t)state);
            attack_close(ends);
        } else {
            CHECK(st == -SF_BADARG);
        }
    }
    CHECK(count >= 5 && count < 16);
    CHECK(nk_channel((int64_t)ProbeContract_ID, 0x100, ends) == -SF_BADARG); /* 8 bits: 0 */
    CHECK(nk_channel((int64_t)ProbeContract_ID, 0xffffff00, ends) == -SF_BADARG);
    return 0;
}

static int exports_that_do_not_exist(void)
{
    static const char *const names[] = {"tesT", "test ",      "tes",   "testx",
                                        "",     "other.test", "s.test"};

    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        uint32_t bytes = (uint32_t)strlen(names[i]);

        CHECK(nk_accept(names[i], bytes, 0) == -SF_NOTFOUND);
        CHECK(nk_listen(names[i], bytes) == -SF_NOTFOUND);
        CHECK(nk_endpoint(names[i], bytes) == -SF_NOTFOUND);
    }
    CHECK(nk_accept("test\0x", 5, 0) == -SF_NOTFOUND); /* more than a C string */
    for (uint32_t n = 2; n < 2000; n++) {              /* listening to exports it does not have */
        uint32_t forged = NK_LISTEN_HANDLE(n);

        CHECK(nk_select(&forged, 1, 0) == -SF_BADHANDLE);
    }
    return 0;
}

const struct attack attack_calls[] = {
    {"log_pointers", log_pointers},
    {"entropy_pointers", entropy_pointers},
    {"config_key_pointers", config_key_pointers},
    {"config_pointers", config_pointers},
    {"identity_pointers", identity_pointers},
    {"endpoint_pointers", endpoint_pointers},
    {"accept_pointers", accept_pointers},
    {"listen_pointers", listen_pointers},
    {"channel_pointers", channel_pointers},
    {"select_pointers", select_pointers},
    {"send_pointers", send_pointers},
    {"recv_pointers", recv_pointers},
    {"recv_any_pointers", recv_any_pointers},
    {"recv_any_of_pointers", recv_any_of_pointers},
    {"lengths_that_wrap", lengths_that_wrap},
    {"times_before_time", times_before_time},
    {"sleep_longer_than_numbers", sleep_longer_than_numbers},
    {"control_bytes_in_the_log", control_bytes_in_the_log},
    {"message_inside_its_own_block", message_inside_its_own_block},
    {"key_and_value_in_one_place", key_and_value_in_one_place},
    {"contracts_that_are_not_its_own", contracts_that_are_not_its_own},
    {"states_that_do_not_exist", states_that_do_not_exist},
    {"exports_that_do_not_exist", exports_that_do_not_exist},
    {NULL, NULL},
};
