/* SPDX-License-Identifier: Apache-2.0 */
/* Attacks on endpoints: other SIPs' ones, and one's own in ways that are not meant. */
#include "attack.h"

#define INDICES 4096u

static int32_t ends_message(uint32_t handle, uint32_t a, uint32_t b)
{
    struct nk_msg msg = {.tag = AttackContract_tag_Ends, .arg_count = 2, .args = {a, b}};

    return nk_send(handle, &msg);
}

static void attack_contract_channel(uint32_t ends[2], uint32_t state)
{
    CHECK(nk_channel((int64_t)AttackContract_ID, state, ends) == 0);
}

/* Every index with many generations. */
static int look_at_every_handle(void)
{
    uint32_t ends[2], found = 0;

    attack_channel(ends);
    for (uint32_t generation = 0; generation < 128; generation++) {
        for (uint32_t index = 0; index < INDICES; index++) {
            uint32_t handle = generation << 12 | index;
            int32_t state = nk_state(handle);

            CHECK(state == -SF_BADHANDLE || handle == ends[0] || handle == ends[1]);
            found += state != -SF_BADHANDLE;
        }
    }
    CHECK(found == 2);
    for (uint32_t handle = 1; handle != 0; handle <<= 1) {
        CHECK(nk_cause(handle) == -SF_BADHANDLE && nk_cause(~handle) == -SF_BADHANDLE);
    }
    return 0;
}

static int close_every_handle(void)
{
    uint32_t ends[2];

    attack_channel(ends);
    for (uint32_t handle = 0; handle < INDICES * 32; handle++) {
        CHECK(handle == ends[0] || handle == ends[1] || nk_close(handle) == -SF_BADHANDLE);
    }
    return 0;
}

static int receive_from_every_handle(void)
{
    struct nk_msg msg;

    for (uint32_t handle = 0; handle < INDICES * 32; handle++) {
        CHECK(nk_recv(handle, &msg, SIP_FOREVER) == -SF_BADHANDLE);
        CHECK(nk_select(&handle, 1, SIP_FOREVER) == -SF_BADHANDLE);
        CHECK(nk_recv_any(&handle, 1, &msg, SIP_FOREVER) == -SF_BADHANDLE);
    }
    return 0;
}

static int give_every_handle_away(void)
{
    uint32_t ends[2];

    attack_channel(ends);
    for (uint32_t handle = 1; handle < INDICES * 16; handle++) {
        CHECK(handle == ends[0] || handle == ends[1] ||
              attack_give(ends[0], handle) == -SF_BADHANDLE);
    }
    CHECK(attack_give(ends[0], 1ull << 32 | ends[1]) == -SF_BADHANDLE); /* cut to 32 bits it is */
    CHECK(attack_give(ends[0], UINT64_MAX) == -SF_BADHANDLE);
    return 0;
}

static int give_an_endpoint_over_itself(void)
{
    uint32_t ends[2];

    attack_channel(ends);
    CHECK(attack_give(ends[0], ends[0]) == -SF_BADARG);
    CHECK(nk_state(ends[0]) == 0 && nk_state(ends[1]) == 0);
    return 0;
}

static int give_the_other_end_over_itself(void)
{
    uint32_t ends[2];

    attack_channel(ends);
    CHECK(attack_give(ends[0], ends[1]) == -SF_CONTRACT); /* the exporter's */
    CHECK(nk_state(ends[1]) == 0);
    return 0;
}

static int give_twice_in_one_message(void)
{
    uint32_t over[2], a[2], b[2];

    attack_contract_channel(over, 0);
    attack_channel(a);
    attack_channel(b);
    CHECK(ends_message(over[0], a[0], a[0]) == -SF_BADHANDLE);
    CHECK(nk_state(a[0]) == 0 && nk_state(over[0]) == 0);
    CHECK(ends_message(over[0], a[0], a[1]) == -SF_CONTRACT); /* one is right, one is not */
    CHECK(nk_state(a[0]) == 0 && nk_state(a[1]) == 0);
    CHECK(ends_message(over[0], a[0], b[0]) == 0);
    return 0;
}

static int use_what_was_given_away(void)
{
    uint32_t over[2], a[2];
    struct nk_msg msg = {.tag = ProbeContract_tag_Bye};

    attack_channel(over);
    attack_channel(a);
    CHECK(attack_give(over[0], a[0]) == 0);
    CHECK(nk_send(a[0], &msg) == -SF_BADHANDLE && nk_recv(a[0], &msg, 0) == -SF_BADHANDLE);
    CHECK(nk_close(a[0]) == -SF_BADHANDLE && nk_state(a[0]) == -SF_BADHANDLE);
    CHECK(nk_select(a, 1, 0) == -SF_BADHANDLE);
    CHECK(nk_recv(over[1], &msg, 0) == 0 && (uint32_t)msg.args[0] != a[0]);
    CHECK(nk_send(a[0], &msg) == -SF_BADHANDLE); /* the old number, though it is back */
    return 0;
}

/* Each end in the queue of the other: nobody could reach them any more. */
static int hide_two_channels_in_each_other(void)
{
    uint32_t x[2], y[2];
    struct nk_msg msg = {.tag = AttackContract_tag_GiveBack, .arg_count = 1};
    int32_t first, second;

    attack_contract_channel(x, AttackContract_state_Start);
    attack_contract_channel(y, AttackContract_state_Serve);
    msg.args[0] = y[1];
    first = nk_send(x[0], &msg); /* y's exporter is in x's queue */
    CHECK(first == 0);
    msg = (struct nk_msg){.tag = AttackContract_tag_Back, .arg_count = 1, .args = {x[1]}};
    second = nk_send(x[1], &msg); /* over itself, and it has a message */
    CHECK(second < 0);
    msg = (struct nk_msg){.tag = AttackContract_tag_GiveBack, .arg_count = 1, .args = {x[1]}};
    attack_contract_channel(y, AttackContract_state_Start);
    CHECK(nk_send(y[0], &msg) == -SF_CONTRACT); /* one with a message cannot travel */
    CHECK(nk_close(x[0]) == 0 && nk_close(y[0]) == 0);
    return 0;
}

/* A message with an endpoint with a message with an endpoint... would be closed recursively. */
static int nest_endpoints(void)
{
    uint32_t over[2], held = 0, depth = 0;
    struct nk_msg msg = {.tag = AttackContract_tag_GiveBack, .arg_count = 1};

    attack_contract_channel(over, AttackContract_state_Start);
    held = over[0];
    for (; depth < 1000; depth++) {
        uint32_t next[2];

        attack_contract_channel(next, AttackContract_state_Serve);
        msg.tag = AttackContract_tag_GiveBack;
        msg.args[0] = next[1];
        if (nk_send(held, &msg) != 0) {
            break;
        }
        held = next[0]; /* its turn is not ours: the next send must be refused */
    }
    CHECK(depth == 1);
    return 0;
}

static int give_the_wrong_side(void)
{
    uint32_t over[2], a[2];

    attack_channel(over);
    attack_channel(a);
    CHECK(attack_give(over[0], a[1]) == -SF_CONTRACT && nk_state(a[1]) == 0);
    return 0;
}

static int give_in_the_wrong_state(void)
{
    uint32_t over[2], a[2];

    attack_channel(over);
    for (uint32_t state = 1; nk_channel((int64_t)ProbeContract_ID, state, a) == 0; state++) {
        CHECK(attack_give(over[0], a[0]) == -SF_CONTRACT);
        CHECK(nk_state(a[0]) == (int32_t)state);
        attack_close(a);
    }
    return 0;
}

static int give_another_contracts(void)
{
    uint32_t over[2], a[2];

    attack_channel(over);
    attack_contract_channel(a, 0);
    CHECK(attack_give(over[0], a[0]) == -SF_CONTRACT && nk_state(a[0]) == 0);
    return 0;
}

static int give_a_closed_one(void)
{
    uint32_t over[2], a[2];
    struct nk_msg msg;

    attack_channel(over);
    attack_channel(a);
    CHECK(nk_close(a[1]) == 0);
    int32_t st = attack_give(over[0], a[0]);
    CHECK(st == 0 || nk_close(a[0]) == 0);
    if (st == 0) {
        CHECK(nk_recv(over[1], &msg, 0) == 0);
        CHECK(nk_cause((uint32_t)msg.args[0]) != 0 && nk_close((uint32_t)msg.args[0]) == 0);
    }
    return 0;
}

/* As often as a generation has numbers, so that an old handle comes round again. */
static int wear_handles_out(void)
{
    uint32_t first[2], ends[2];

    attack_channel(first);
    attack_close(first);
    for (uint32_t i = 0; i < 200000; i++) {
        attack_channel(ends);
        CHECK(ends[0] != first[0] && ends[1] != first[1] && ends[0] != ends[1]);
        CHECK(nk_state(first[0]) == -SF_BADHANDLE);
        attack_close(ends);
    }
    return 0;
}

/* The same 64 handles again and again, of which one has died and its index lives again. */
static int select_a_set_with_a_dead_one(void)
{
    uint32_t ends[32][2], handles[64];
    struct nk_msg msg;

    for (uint32_t i = 0; i < 32; i++) {
        attack_channel(ends[i]);
        handles[i] = ends[i][0];
        handles[32 + i] = ends[i][1];
    }
    for (uint32_t round = 0; round < 300; round++) {
        uint32_t i = round * 7 % 32;

        CHECK(nk_select(handles, 64, 0) == -SF_TIMEOUT);
        attack_close(ends[i]);
        CHECK(nk_select(handles, 64, SIP_FOREVER) == -SF_BADHANDLE);
        attack_channel(ends[i]); /* at the same index */
        CHECK(nk_select(handles, 64, SIP_FOREVER) == -SF_BADHANDLE);
        CHECK(nk_recv_any(handles, 64, &msg, SIP_FOREVER) == -SF_BADHANDLE);
        handles[i] = ends[i][0];
        handles[32 + i] = ends[i][1];
        CHECK(nk_recv_any(handles, 64, &msg, 0) == -SF_TIMEOUT);
        msg = (struct nk_msg){.tag = ProbeContract_tag_Add, .arg_count = 4, .args = {round}};
        CHECK(nk_send(ends[i][0], &msg) == 0);
        CHECK(nk_select(handles, 64, SIP_FOREVER) == (int32_t)(32 + i));
        CHECK(nk_recv_any(handles, 64, &msg, SIP_FOREVER) == (int32_t)(32 + i));
        CHECK(msg.args[0] == round);
    }
    return 0;
}

static int take_an_import_twice(void)
{
    uint32_t peer = (uint32_t)nk_endpoint(NAME("peer"));

    CHECK((int32_t)peer > 0 && nk_endpoint(NAME("peer")) == -SF_NOTFOUND);
    CHECK(nk_close(peer) == 0 && nk_endpoint(NAME("peer")) == -SF_NOTFOUND);
    CHECK(nk_endpoint(NAME("attack")) == -SF_NOTFOUND); /* not wired */
    return 0;
}

const struct attack attack_endpoints[] = {
    {"look_at_every_handle", look_at_every_handle},
    {"close_every_handle", close_every_handle},
    {"receive_from_every_handle", receive_from_every_handle},
    {"give_every_handle_away", give_every_handle_away},
    {"give_an_endpoint_over_itself", give_an_endpoint_over_itself},
    {"give_the_other_end_over_itself", give_the_other_end_over_itself},
    {"give_twice_in_one_message", give_twice_in_one_message},
    {"use_what_was_given_away", use_what_was_given_away},
    {"hide_two_channels_in_each_other", hide_two_channels_in_each_other},
    {"nest_endpoints", nest_endpoints},
    {"give_the_wrong_side", give_the_wrong_side},
    {"give_in_the_wrong_state", give_in_the_wrong_state},
    {"give_another_contracts", give_another_contracts},
    {"give_a_closed_one", give_a_closed_one},
    {"wear_handles_out", wear_handles_out},
    {"select_a_set_with_a_dead_one", select_a_set_with_a_dead_one},
    {"take_an_import_twice", take_an_import_twice},
    {NULL, NULL},
};
