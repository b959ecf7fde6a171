/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traces of SIPs' endpoints. argv[1] is probe.sip. Each test runs with both SIPs on one worker, on
 * two, and with one of them on worker 0, and ends with clean audits and nothing left.
 */
#include <stdio.h>
#include <string.h>

#include "contracts/table.h"
#include "internal.h"
#include "test_world.h"
#include "trace.h"

#define WORKERS 3u
#define KEEP_BYTES 16u

static struct bytes image;
static uint8_t digest[IMAGE_DIGEST_BYTES];

static const struct world_options trace_world = {
    .kernel = {.worker_count = WORKERS,
               .slot_first = 100,
               .slot_count = 64,
               .heap_bytes = 64u << 20,
               .tick_ns = 1000000},
    .config = {"answer", "42"},
    .run_seconds_max = 40,
};

static struct nk_trace_event events[2 * NK_TRACE_EVENTS];
static uint32_t event_count;

static void keep(void *arg, const struct nk_trace_event *event)
{
    (void)arg;
    assert_true(event_count < sizeof(events) / sizeof(events[0]));
    events[event_count++] = *event;
}

/* Reads what is there now, in small pieces; answers all there have been. */
static uint64_t read_all(uint64_t number)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < NK_TRACE_EVENTS; i += 64) {
        (void)nk_trace_read(world.kernel, number, 64, keep, NULL, &total);
    }
    return total;
}

static void run_ms(uint32_t ms)
{
    uint64_t end = now() + ms * 1000000ull;

    while (now() < end) {
        (void)nk_run(world.kernel, 100, now());
    }
}

/* --- two SIPs that talk -------------------------------------------------------------------------
 */

static uint64_t imp_id;

static void find_importer(void *arg, const struct fab_ep *ep)
{
    struct fab_ep_info info;

    (void)arg;
    fab_ep_query(ep, &info);
    if (info.side == CT_IMP) {
        imp_id = info.id;
    }
}

/* SIP 1 serves, SIP 2 is what `mode` says, on those workers (index + 1); traced from the start. */
static void pair(const char *mode, uint32_t server, uint32_t client, struct nk_trace_info *out_info)
{
    sip_create(1, "srv", digest, "server", server);
    sip_create(2, "cl", digest, mode, client);
    wire(2, "srv.test");
    imp_id = 0;
    fab_ep_walk(nk_kernel_fabric(world.kernel), find_importer, NULL);
    assert_int_equal(nk_trace_start(world.kernel, 7, imp_id, KEEP_BYTES, out_info), SF_OK);
    event_count = 0;
    start(1);
    start(2);
}

static void pair_stop(void)
{
    for (uint64_t number = 1; number <= 2; number++) { /* the second may end of the first's end */
        sf_status st = nk_sip_stop(world.kernel, number, SF_CAUSE_OF(REVOKED));

        assert_true(st == SF_OK || st == SF_NOTFOUND);
    }
    (void)nk_run(world.kernel, 100, now());
}

static const char *message_of(const struct nk_trace_info *info, const struct nk_trace_event *event)
{
    assert_true(event->tag < info->contract->message_count);
    return info->contract->messages[event->tag].name;
}

static void expect_message(const struct nk_trace_info *info, uint32_t at, enum nk_trace_kind kind,
                           const char *name)
{
    assert_true(at < event_count);
    assert_int_equal(events[at].kind, kind);
    assert_string_equal(message_of(info, &events[at]), name);
}

/* Each step is one that the contract has, and begins where the one before ended. */
static void expect_steps(const struct nk_trace_info *info, uint32_t count)
{
    uint8_t state = info->state;

    for (uint32_t i = 0; i < count; i++) {
        const struct nk_trace_event *event = &events[i];
        const enum ct_side sender =
            event->kind == NK_TRACE_SENT ? info->side : ct_other(info->side);

        assert_int_equal(event->number, i + 1);
        assert_int_equal(event->state, state);
        assert_int_equal(event->next, ct_step(info->contract, state, sender, event->tag));
        assert_true(event->time_ns >= events[0].time_ns);
        state = event->next;
    }
}

static void check_client(const struct nk_trace_info *info)
{
    const uint32_t messages = 2 + 27 * 2 + 2 + 1; /* Add, 27 Pings, Give, Bye */

    assert_int_equal(event_count, messages + 2);
    expect_steps(info, messages);
    expect_message(info, 0, NK_TRACE_SENT, "Add");
    assert_int_equal(events[0].arg_count, 4);
    assert_int_equal((int64_t)events[0].args[0].scalar, -5);
    assert_int_equal(events[0].args[1].scalar, 65535);
    assert_int_equal(events[0].args[1].kind, CT_ARG_UINT16);
    expect_message(info, 1, NK_TRACE_RECEIVED, "Sum");
    assert_int_equal((int64_t)events[1].args[0].scalar, -5 + 65535 - 1000000000000);
    expect_message(info, 4, NK_TRACE_SENT, "Ping");
    assert_int_equal(events[4].args[0].kind, CT_ARG_BLOCK);
    assert_int_equal(events[4].args[0].block_bytes, 64);
    assert_int_equal(events[4].args[0].kept_bytes, KEEP_BYTES);
    assert_memory_equal(events[4].bytes + events[4].args[0].kept_at, "@@@@@@@@@@@@@@@@",
                        KEEP_BYTES);
    expect_message(info, 5, NK_TRACE_RECEIVED, "Pong");
    assert_memory_equal(events[5].bytes + events[5].args[0].kept_at, "A@@@", 4);
    assert_int_equal(events[18].args[0].block_bytes, 1000000);
    expect_message(info, 56, NK_TRACE_SENT, "Give");
    assert_int_equal(events[56].args[0].kind, CT_ARG_ENDPOINT);
    assert_int_equal(events[56].args[0].side, CT_IMP);
    assert_int_equal(events[56].args[0].peer_node, NODE);
    assert_int_equal(events[56].args[0].contract_short_id, info->contract->short_id);
    assert_true(events[56].args[0].endpoint != 0 && events[56].args[0].peer != 0);
    expect_message(info, 57, NK_TRACE_RECEIVED, "Took");
    expect_message(info, 58, NK_TRACE_SENT, "Bye");
    assert_int_equal(events[59].kind, NK_TRACE_PEER_CLOSED);
    assert_int_equal(events[59].cause.kind, SF_CAUSE_CLOSED_BY_PEER);
    assert_int_equal(events[60].kind, NK_TRACE_CLOSED);
    assert_int_equal(events[60].cause.kind, SF_CAUSE_PEER_EXITED);
}

static void all_messages_are_told_in_order(void **state)
{
    static const uint32_t places[][2] = {{1, 1}, {2, 2}, {2, 3}, {1, 3}, {2, 1}};

    (void)state;
    for (uint32_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct nk_trace_info info;
        uint64_t total;

        pair("client", places[i][0], places[i][1], &info);
        assert_string_equal(info.contract->name, "ProbeContract");
        assert_int_equal(info.side, CT_IMP);
        assert_true(nk_trace_live(world.kernel, 7));
        run_until_ended(2 * (i + 1));
        assert_exited(1, 0);
        assert_exited(2, 0);
        assert_false(nk_trace_live(world.kernel, 7));
        total = read_all(7);
        assert_int_equal(total, event_count);
        check_client(&info);
        nk_trace_stop(world.kernel, 7);
        assert_audits();
    }
}

static void both_ends_tell_the_same(void **state)
{
    struct nk_trace_info info, other;
    struct nk_trace_event *here;
    uint32_t count;

    (void)state;
    nk_pause(world.kernel); /* or they begin before the second trace does */
    pair("client", 2, 3, &info);
    assert_int_equal(nk_trace_start(world.kernel, 8, info.peer, KEEP_BYTES, &other), SF_OK);
    nk_resume(world.kernel);
    assert_int_equal(other.side, CT_EXP);
    run_until_ended(2);
    (void)read_all(7);
    count = event_count;
    (void)read_all(8);
    here = &events[count];
    for (uint32_t i = 0; i < 59; i++) {
        assert_int_equal(here[i].kind,
                         events[i].kind == NK_TRACE_SENT ? NK_TRACE_RECEIVED : NK_TRACE_SENT);
        assert_int_equal(here[i].tag, events[i].tag);
        assert_int_equal(here[i].state, events[i].state);
        assert_int_equal(here[i].next, events[i].next);
    }
    nk_trace_stop(world.kernel, 7);
    nk_trace_stop(world.kernel, 8);
}

static void what_finds_no_room_is_counted(void **state)
{
    struct nk_trace_info info;
    uint64_t total = 0;

    (void)state;
    pair("chatter", 2, 2, &info);
    while (total < 3 * NK_TRACE_EVENTS) { /* nobody reads, and the SIPs go on */
        (void)nk_trace_read(world.kernel, 7, 0, keep, NULL, &total);
        run_ms(1);
    }
    (void)read_all(7);
    assert_true(event_count >= NK_TRACE_EVENTS);
    for (uint32_t i = 0; i < NK_TRACE_EVENTS; i++) {
        assert_int_equal(events[i].number, i + 1);
    }
    event_count = 0;
    for (uint32_t i = 0; i < 2000 && event_count == 0; i++) { /* the SIPs may wait for a core */
        run_ms(5);
        (void)nk_trace_read(world.kernel, 7, 100, keep, NULL, &total);
    }
    assert_true(event_count > 0);
    assert_true(events[0].number > 2 * NK_TRACE_EVENTS); /* the gap shows */
    nk_trace_stop(world.kernel, 7);
    pair_stop();
}

static bool is_local(uint64_t sip)
{
    struct nk_sip *found = nk__sip_find(world.kernel, sip);
    bool local = false;

    nk_pause(world.kernel);
    for (uint32_t i = 1; i < nk__port_end(found); i++) {
        local = local || nk__port_at(found, i)->local;
    }
    nk_resume(world.kernel);
    return local;
}

static void a_channel_is_local_but_while_it_is_traced(void **state)
{
    struct nk_trace_info info;

    (void)state;
    for (uint32_t worker = 1; worker <= 2; worker++) {
        pair("chatter", worker, worker, &info);
        run_ms(1);
        assert_false(is_local(1));
        assert_false(is_local(2));
        nk_trace_stop(world.kernel, 7);
        assert_true(is_local(1));
        assert_true(is_local(2));
        for (uint32_t round = 0; round < 50; round++) {
            event_count = 0;
            assert_int_equal(nk_trace_start(world.kernel, 7, info.endpoint, 0, &info), SF_OK);
            assert_false(is_local(2));
            run_ms(1);
            assert_true(read_all(7) > 0);
            assert_audits();
            nk_trace_stop(world.kernel, 7);
        }
        run_ms(1);
        pair_stop();
    }
}

static void what_cannot_be_traced_is_refused(void **state)
{
    struct nk_trace_info info;

    (void)state;
    pair("chatter", 1, 1, &info);
    assert_int_equal(nk_trace_start(world.kernel, 7, info.peer, 0, &info), SF_EXISTS);
    assert_int_equal(nk_trace_start(world.kernel, 8, info.endpoint, 0, &info), SF_EXISTS);
    assert_int_equal(nk_trace_start(world.kernel, 8, 12345, 0, &info), SF_NOTFOUND);
    assert_int_equal(nk_trace_start(world.kernel, 0, info.peer, 0, &info), SF_BADARG);
    assert_int_equal(nk_trace_start(world.kernel, 8, info.peer, NK_TRACE_BYTES + 1, &info),
                     SF_BADARG);
    assert_int_equal(nk_trace_read(world.kernel, 9, 1, keep, NULL, NULL), 0);
    nk_trace_stop(world.kernel, 9);
    pair_stop();
    assert_false(
        nk_trace_live(world.kernel, 7)); /* it stays until it is stopped, or the kernel is */
}

static void in_world(void **state)
{
    world_make(&trace_world);
    image_add(&image, digest);
    world_body(state);
    world_end();
}

#define TEST(body) WORLD_TEST(in_world, body)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        TEST(all_messages_are_told_in_order),   TEST(both_ends_tell_the_same),
        TEST(what_finds_no_room_is_counted),    TEST(a_channel_is_local_but_while_it_is_traced),
        TEST(what_cannot_be_traced_is_refused),
    };

    if (argc != 2) {
        (void)fprintf(stderr, "usage: trace_test probe.sip\n");
        return 2;
    }
    image = file_read(argv[1]);
    return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
