/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core with real sealed images: argv[1] is probe.sip (test_sips/). Each test has a kernel of
 * its own and ends with clean audits of heap and fabric, with no block, endpoint or SIP left.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "HelloContract_monitor.h"
#include "abi/nk_abi.h"
#include "test_world.h"

#define RUN_SECONDS_MAX 20u

static struct bytes image;
static uint8_t probe_digest[IMAGE_DIGEST_BYTES];

static const struct world_options probe_world = {
    .kernel = {.slot_first = 100,
               .slot_count = 32,
               .heap_bytes = 64u << 20,
               .tick_ns = 300000}, /* so that all tests are pre-empted a lot */
    .config = {"answer", "42"},
    .run_seconds_max = RUN_SECONDS_MAX,
};

static void create(uint64_t number, const char *name, const char *mode)
{
    sip_create(number, name, probe_digest, mode, 0);
}

/* --- life ---------------------------------------------------------------------------------------
 */

static void a_sip_starts_and_its_exit_code_is_told(void **state)
{
    (void)state;
    create(1, "one", "exit");
    assert_null(end_of(1));
    assert_int_equal(nk_next_deadline(world.kernel), UINT64_MAX);
    start(1);
    assert_int_equal(nk_next_deadline(world.kernel), 0);
    assert_int_equal(nk_sip_start(world.kernel, 1), SF_EXISTS);
    run_all();
    assert_exited(1, 7);
    assert_int_equal(nk_sip_start(world.kernel, 1), SF_NOTFOUND);
}

static void clock_log_config_identity_entropy_and_sleep_work(void **state)
{
    (void)state;
    create(1, "basics", "basics");
    start(1);
    run_all();
    assert_exited(1, 0);
    assert_string_equal(world.logs[1], "a line not  two");
}

static void what_cannot_be_created_is_refused_with_a_reason(void **state)
{
    struct nk_sip_options options = {.number = 1, .name = "one", .image_digest = probe_digest};
    uint8_t none[IMAGE_DIGEST_BYTES] = {0}, digest[IMAGE_DIGEST_BYTES];
    char text[256] = "";
    uint8_t *broken = malloc(image.length);

    (void)state;
    assert_non_null(broken);
    assert_int_equal(nk_image_add(world.kernel, image.data, image.length, digest, NULL, 0),
                     SF_EXISTS);
    assert_memory_equal(digest, probe_digest, sizeof(digest));
    memcpy(broken, image.data, image.length);
    broken[image.length - 1] ^= 1;
    assert_int_not_equal(
        nk_image_add(world.kernel, broken, image.length, digest, text, sizeof(text)), SF_OK);
    assert_non_null(strstr(text, "hash"));
    assert_int_not_equal(nk_image_add(world.kernel, broken, 10, digest, NULL, 0), SF_OK);
    free(broken);
    options.image_digest = none;
    assert_int_equal(nk_sip_create(world.kernel, &options, text, sizeof(text)), SF_NOTFOUND);
    options.image_digest = probe_digest;
    options.number = 0;
    assert_int_equal(nk_sip_create(world.kernel, &options, text, sizeof(text)), SF_BADARG);
    options.number = 1;
    assert_int_equal(nk_sip_create(world.kernel, &options, text, sizeof(text)), SF_OK);
    assert_int_equal(nk_sip_create(world.kernel, &options, text, sizeof(text)), SF_EXISTS);
    options.number = 2; /* same name: its export exists */
    assert_int_equal(nk_sip_create(world.kernel, &options, text, sizeof(text)), SF_EXISTS);
    assert_non_null(strstr(text, "one.test"));
    assert_int_equal(nk_sip_wire(world.kernel, 1, "nosuch", 5, "one.test", text, sizeof(text)),
                     SF_NOTFOUND);
    assert_int_equal(nk_sip_wire(world.kernel, 1, "peer", 9, "one.test", text, sizeof(text)),
                     SF_NOTFOUND);
    assert_int_equal(nk_sip_wire(world.kernel, 1, "peer", 5, "one.test", text, sizeof(text)),
                     SF_OK);
    assert_int_equal(nk_sip_wire(world.kernel, 1, "peer", 5, "one.test", text, sizeof(text)),
                     SF_EXISTS);
    assert_int_equal(nk_sip_stop(world.kernel, 1, SF_CAUSE_OF(REVOKED)), SF_OK);
    assert_int_equal(nk_sip_stop(world.kernel, 1, SF_CAUSE_OF(REVOKED)), SF_NOTFOUND);
    assert_int_equal(end_of(1)->how, NK_END_STOPPED);
}

static void slots_run_out_and_come_back(void **state)
{
    struct nk_sip_options options = {.number = 99, .image_digest = probe_digest, .name = "more"};
    char text[256] = "";

    (void)state;
    for (uint64_t i = 1; i <= 32; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "sip%u", (unsigned)i);
        create(i, name, "exit");
        start(i);
    }
    assert_int_equal(nk_sip_create(world.kernel, &options, text, sizeof(text)), SF_LIMIT);
    assert_non_null(strstr(text, "slot"));
    run_all();
    assert_int_equal(world.end_count, 32);
    assert_int_equal(nk_sip_create(world.kernel, &options, text, sizeof(text)), SF_OK);
    assert_int_equal(nk_sip_stop(world.kernel, 99, SF_CAUSE_OF(SHUTDOWN)), SF_OK);
}

/* --- channels ------------------------------------------------------------------------------------
 */

static void two_sips_talk_with_blocks_scalars_and_endpoints(void **state)
{
    struct nk_stats stats;

    (void)state;
    create(1, "srv", "server");
    create(2, "cli", "client");
    wire(2, "srv.test");
    start(2); /* the client first: it waits */
    start(1);
    run_all();
    assert_exited(1, 0);
    assert_exited(2, 0);
    nk_query(world.kernel, &stats);
    assert_true(stats.messages > 60);
    assert_true(stats.switches > 60);
    assert_true(stats.calls > 100);
}

static void watch_for(const char *mode, int fault, int expected)
{
    create(1, "victim", mode);
    create(2, "watcher", "watch");
    wire(2, "victim.test");
    start(2);
    run_all();
    assert_null(end_of(2));
    start(1);
    run_all();
    if (fault != 0) {
        assert_faulted(1, fault);
    }
    assert_exited(2, expected);
}

static void an_exit_closes_channels_as_peer_exited(void **state)
{
    (void)state;
    watch_for("exit", 0, SF_CAUSE_PEER_EXITED);
}

static void a_fault_closes_channels_as_peer_faulted_and_how(void **state)
{
    (void)state;
    watch_for("divide", SF_FAULT_DIV_BY_ZERO, SF_CAUSE_PEER_FAULTED | SF_FAULT_DIV_BY_ZERO << 8);
}

static void a_stop_closes_channels_with_the_cause_given(void **state)
{
    (void)state;
    create(1, "victim", "server");
    create(2, "watcher", "watch");
    wire(2, "victim.test");
    start(1);
    start(2);
    run_all();
    assert_int_equal(nk_sip_stop(world.kernel, 1, SF_CAUSE_OF(REVOKED)), SF_OK);
    run_all();
    assert_exited(2, SF_CAUSE_REVOKED);
}

static void no_exporter_is_told(void **state)
{
    (void)state;
    create(2, "watcher", "watch");
    wire(2, "nobody.test");
    start(2);
    run_all();
    assert_exited(2, SF_CAUSE_NO_EXPORTER);
}

static void a_message_without_room_waits_and_the_quota_holds(void **state)
{
    (void)state;
    create(1, "srv", "server");
    create(2, "cli", "flood");
    wire(2, "srv.test");
    start(1);
    start(2);
    run_all();
    assert_exited(2, 0);
    assert_exited(1, 0);
}

static void a_block_can_be_sent_trimmed(void **state)
{
    (void)state;
    create(1, "srv", "server");
    create(2, "cli", "trim");
    wire(2, "srv.test");
    start(1);
    start(2);
    run_all();
    assert_exited(2, 0);
}

static void endless_yields_leave_nk_run_when_the_budget_is_used(void **state)
{
    (void)state;
    create(1, "spin", "loop");
    create(2, "other", "exit");
    start(1);
    start(2);
    for (int i = 0; i < 100; i++) {
        assert_true(nk_run(world.kernel, 10, now()));
    }
    assert_exited(2, 7); /* and others get their turn */
    assert_int_equal(nk_next_deadline(world.kernel), 0);
    assert_int_equal(nk_sip_stop(world.kernel, 1, SF_CAUSE_OF(SHUTDOWN)), SF_OK);
    assert_int_equal(nk_next_deadline(world.kernel), UINT64_MAX);
}

/* The same sum as in probe.c. */
static uint32_t compute(uint32_t seed)
{
    uint64_t sum = seed;
    double d = 1.0 + seed;

    for (uint32_t i = 0; i < 20000000; i++) {
        sum = (sum ^ i) * 0x9e3779b97f4a7c15ull + (sum >> 29);
        d = d * 1.0000001 + (double)(i & 7) / 3.0;
    }
    return (uint32_t)(sum >> 40) ^ (uint32_t)(int64_t)d;
}

static void preempted_computations_end_with_the_right_result(void **state)
{
    struct nk_stats stats;

    (void)state;
    for (uint64_t i = 1; i <= 3; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "c%u", (unsigned)i);
        create(i, name, "compute");
        start(i);
    }
    run_all();
    for (uint64_t i = 1; i <= 3; i++) {
        assert_exited(i, (int)compute((uint32_t)i));
    }
    nk_query(world.kernel, &stats);
    assert_true(stats.switches > 30);
}

/* Ticks as nodes have them are of another clock, which stands still while the thread sleeps. */
static void the_ordinary_tick_pre_empts_too(void **state)
{
    struct nk_stats stats;

    (void)state;
    create(1, "spin", "spin");
    create(2, "c2", "compute");
    start(1);
    start(2);
    while (end_of(2) == NULL) {
        assert_true(nk_run(world.kernel, 1000, now()));
    }
    assert_exited(2, (int)compute(2));
    nk_query(world.kernel, &stats);
    assert_true(stats.switches >= 3); /* it came back from the one without end */
    assert_int_equal(nk_sip_stop(world.kernel, 1, SF_CAUSE_OF(SHUTDOWN)), SF_OK);
}

static void an_endless_loop_stops_neither_others_nor_its_own_end(void **state)
{
    uint64_t from = now();

    (void)state;
    create(1, "spin", "spin");
    create(2, "srv", "server");
    create(3, "cli", "client");
    wire(3, "srv.test");
    start(1);
    start(2);
    start(3);
    while (end_of(3) == NULL || end_of(2) == NULL) {
        assert_true(nk_run(world.kernel, 1000, now()));
        assert_true(now() - from < RUN_SECONDS_MAX * 1000000000ull);
    }
    assert_exited(2, 0);
    assert_exited(3, 0);
    assert_int_equal(nk_sip_stop(world.kernel, 1, SF_CAUSE_OF(SHUTDOWN)), SF_OK);
}

/* --- faults --------------------------------------------------------------------------------------
 */

/* The victim faults; the server it was wired to, and others, go on as if nothing had happened. */
static void contained(const char *mode, int fault, const char *in_report)
{
    char closed[32];

    create(1, "srv", "server");
    create(2, "victim", mode);
    create(3, "srv3", "server");
    create(4, "cli4", "client");
    wire(2, "srv.test");
    wire(4, "srv3.test");
    start(1);
    start(3);
    start(4);
    start(2);
    run_all();
    assert_faulted(2, fault);
    assert_exited(1, 0);
    assert_exited(3, 0);
    assert_exited(4, 0);
    assert_non_null(strstr(world.report, "victim"));
    assert_non_null(strstr(world.report, "ProbeContract importer, state Start"));
    assert_non_null(strstr(world.report, in_report));
    (void)snprintf(closed, sizeof(closed), "closed %x",
                   SF_CAUSE_PEER_FAULTED | (unsigned)fault << 8);
    assert_string_equal(world.logs[1], closed); /* what the server saw */
}

static void a_store_out_of_bounds_is_contained(void **state)
{
    (void)state;
    contained("oob", SF_FAULT_OUT_OF_BOUNDS, "address 0x1800000");
}

static void a_store_where_no_block_is_is_contained(void **state)
{
    (void)state;
    contained("window", SF_FAULT_OUT_OF_BOUNDS, "none was there");
}

static void a_touch_after_send_is_contained(void **state)
{
    (void)state;
    contained("touch", SF_FAULT_USE_AFTER_SEND, "after it was sent");
}

static void native_stack_overflow_is_contained(void **state)
{
    (void)state;
    contained("stack", SF_FAULT_STACK_OVERFLOW, "in fault_recurse ");
}

static void c_stack_overflow_is_contained(void **state)
{
    (void)state;
    contained("memstack", SF_FAULT_STACK_OVERFLOW, "C stack");
}

static void unreachable_is_contained(void **state)
{
    (void)state;
    contained("unreachable", SF_FAULT_UNREACHABLE, "unreachable");
}

static void division_by_zero_is_contained(void **state)
{
    (void)state;
    contained("divide", SF_FAULT_DIV_BY_ZERO, "in probe_fault ");
}

static void a_bad_indirect_call_is_contained(void **state)
{
    (void)state;
    contained("indirect", SF_FAULT_BAD_INDIRECT_CALL, "indirect call");
}

static void a_fault_with_hands_full_is_reclaimed(void **state)
{
    (void)state;
    contained("holding", SF_FAULT_UNREACHABLE, "last: sent Ping");
}

static void hostile_arguments_on_every_call_hurt_nobody(void **state)
{
    (void)state;
    create(1, "hostile", "hostile");
    create(2, "srv", "server");
    create(3, "cli", "client");
    wire(3, "srv.test");
    start(1);
    start(2);
    start(3);
    run_all();
    assert_exited(1, 0);
    assert_exited(2, 0);
    assert_exited(3, 0);
}

static void stopping_a_sip_in_any_state_reclaims_it(void **state)
{
    (void)state;
    create(1, "a", "server");
    create(2, "b", "client");
    wire(2, "a.test");
    assert_int_equal(nk_sip_stop(world.kernel, 1, SF_CAUSE_OF(REVOKED)), SF_OK); /* not started */
    start(2);
    assert_int_equal(nk_sip_stop(world.kernel, 2, SF_CAUSE_OF(REVOKED)), SF_OK); /* ready */
    for (uint64_t budget = 1; budget < 60; budget++) { /* anywhere in the middle */
        uint64_t a = 2 * budget + 1, b = 2 * budget + 2;

        create(a, "a", "server");
        create(b, "b", "client");
        wire(b, "a.test");
        start(a);
        start(b);
        for (uint64_t i = 0; i < budget; i++) {
            (void)nk_run(world.kernel, 1, now());
        }
        if (end_of(b) == NULL) {
            assert_int_equal(nk_sip_stop(world.kernel, b, SF_CAUSE_OF(REVOKED)), SF_OK);
        }
        if (end_of(a) == NULL) {
            assert_int_equal(nk_sip_stop(world.kernel, a, SF_CAUSE_OF(REVOKED)), SF_OK);
        }
        (void)nk_run(world.kernel, 10, now());
        assert_clean(0, 0);
    }
}

static void a_bug_in_the_kernel_itself_kills_the_process(void **state)
{
    pid_t pid;
    int status = 0;

    (void)state;
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)freopen("/dev/null", "w", stderr);
        /* As if by the kernel; unseen by sanitizers. */
        __asm__ volatile("movl $1, (%0)" : : "r"((uintptr_t)(image.length & 1)) : "memory");
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

/* --- recycling -----------------------------------------------------------------------------------
 */

/* Any byte of the pattern in an accessible, resident page of the slots? */
static bool pattern_in_slots(void)
{
    static const uint64_t pattern = 0x5ea1edf00d15beef;
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    bool found = false;

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        unsigned long long from, to;
        char access[8];

        assert_int_equal(sscanf(line, "%llx-%llx %7s", &from, &to, access), 3);
        if (from < NK_SLOT_BASE || from >= NK_SLOT_BASE + (200ull * NK_SLOT_STRIDE) ||
            access[0] != 'r') {
            continue;
        }
        for (unsigned long long page = from; page < to; page += 4096) {
            unsigned char resident = 0;

            assert_int_equal(mincore((void *)page, 4096, &resident), 0);
            if (resident) {
                const uint64_t *words = (const uint64_t *)page;

                for (uint32_t i = 0; i < 512; i++) {
                    found |= words[i] == pattern;
                }
            }
        }
    }
    (void)fclose(maps);
    return found;
}

static void a_recycled_slot_holds_no_byte_of_the_sip_before(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 3; i++) {
        create(10 + i, "fill", "fill");
        start(10 + i);
        run_all();
        assert_exited(10 + i, 0);
        assert_false(pattern_in_slots());
        create(20 + i, "look", "look"); /* gets the same slot: the last one given back */
        start(20 + i);
        run_all();
        assert_exited(20 + i, 0);
    }
}

static void cycle(uint64_t number, const char *mode)
{
    create(number, "cycle", mode);
    start(number);
    while (nk_run(world.kernel, 100, now())) {
    }
}

static void ten_thousand_lives_leave_nothing(void **state)
{
    static const char *const modes[] = {"exit", "exit", "holding", "exit",
                                        "oob",  "fill", "exit",    "unreachable"};
    struct usage before, after;
    uint64_t number = 1;

    (void)state;
    world.quiet = true;
    for (; number <= 500; number++) {
        cycle(number, modes[number % 8]);
    }
    before = usage_now();
    for (; number <= 10000; number++) {
        cycle(number, modes[number % 8]);
    }
    after = usage_now();
    assert_int_equal(world.end_count, 10000);
    assert_int_equal(after.fds, before.fds);
#ifndef __SANITIZE_ADDRESS__ /* which keeps what was freed for a while, and maps more meanwhile */
    assert_true(after.maps <= before.maps); /* some may have been joined */
    assert_true(after.resident_kib <= before.resident_kib + 256);
#endif
}

/* --- services
 * ------------------------------------------------------------------------------------- */

/* Answers Hello with the same block; closes on Bye. Counts what it is told. */
struct greeter {
    struct nk_service *service;
    uint32_t opened, ready, closed;
};
static struct greeter greeter;

static sf_status greeter_create(struct nk_service *service, void *loop,
                                const struct nk_config *config, uint32_t config_count,
                                void **out_impl, char *text, size_t text_capacity)
{
    (void)loop;
    (void)config;
    if (config_count > 0) {
        (void)snprintf(text, text_capacity, "greeter takes no configuration");
        return SF_BADARG;
    }
    greeter = (struct greeter){.service = service};
    *out_impl = &greeter;
    return SF_OK;
}

static void greeter_destroy(void *impl)
{
    (void)impl;
}

static void greeter_opened(void *impl, struct fab_ep *ep)
{
    struct greeter *g = impl;

    g->opened++;
    assert_int_equal(nk_service_hold(g->service, ep, &g->closed), SF_OK);
}

static void greeter_ready(void *impl, struct fab_ep *ep, void *user)
{
    struct greeter *g = impl;
    struct fab_msg msg;
    sf_status st;

    assert_ptr_equal(user, &g->closed);
    g->ready++;
    for (;;) {
        st = fab_ep_recv(ep, &msg, nk_service_owner(g->service));
        if (st == SF_AGAIN) {
            return;
        }
        if (st != SF_OK || msg.tag == HelloContract_tag_Bye) {
            nk_service_close(g->service, ep, SF_CAUSE_OF(CLOSED_BY_PEER));
            g->closed++;
            return;
        }
        msg.tag = HelloContract_tag_Greeting;
        assert_int_equal(nk_service_send(g->service, ep, &msg), SF_OK);
    }
}

static const struct nk_service_ops greeter_ops = {
    .name = "greeter",
    .export_name = "hello",
    .contract_name = "HelloContract",
    .create = greeter_create,
    .destroy = greeter_destroy,
    .opened = greeter_opened,
    .ready = greeter_ready,
};

static void hello_over(struct fab_ep *ep, uint64_t owner)
{
    struct fab_msg msg = {.tag = HelloContract_tag_Hello, .arg_count = 1};

    assert_int_equal(xh_alloc(nk_kernel_heap(world.kernel), 5, owner, &msg.args[0].block), SF_OK);
    memcpy(msg.args[0].block->data, "hello", 5);
    assert_int_equal(fab_ep_send(ep, &msg, owner), SF_OK);
}

static void a_service_is_told_from_nk_run_and_answers(void **state)
{
    struct fab_node *fabric = nk_kernel_fabric(world.kernel);
    const struct ct_contract *contract = fab_contract_find(fabric, HelloContract_ID);
    uint64_t me = XH_OWNER(XH_OWNER_SERVICE, 1000);
    const char *port = NULL;
    struct fab_msg msg;
    struct fab_ep *ep, *second;
    char text[128];

    (void)state;
    assert_non_null(contract);
    assert_int_equal(nk_service_create(world.kernel, &greeter_ops, 70, "greet", NULL, NULL, 0, text,
                                       sizeof(text)),
                     SF_OK);
    assert_int_equal(nk_service_create(world.kernel, &greeter_ops, 71, "greet", NULL, NULL, 0, text,
                                       sizeof(text)),
                     SF_EXISTS);
    assert_int_equal(nk_service_create(world.kernel, &greeter_ops, 70, "greet", NULL, NULL, 0, text,
                                       sizeof(text)),
                     SF_EXISTS);
    assert_int_equal(fab_open(fabric, 5, "greet.hello", contract, &ep), SF_OK);
    assert_int_equal(fab_open(fabric, 5, "greet.hello", contract, &second), SF_OK);
    hello_over(ep, me);
    assert_int_equal(greeter.opened, 0); /* nothing is told from inside the fabric */
    run_all();
    assert_int_equal(greeter.opened, 2);
    assert_int_equal(fab_ep_recv(ep, &msg, me), SF_OK);
    assert_int_equal(msg.tag, HelloContract_tag_Greeting);
    assert_memory_equal(msg.args[0].block->data, "hello", 5);
    assert_int_equal(xh_free(nk_kernel_heap(world.kernel), msg.args[0].block, me), SF_OK);
    msg = (struct fab_msg){.tag = HelloContract_tag_Bye};
    assert_int_equal(fab_ep_send(ep, &msg, me), SF_OK);
    run_all();
    assert_int_equal(greeter.closed, 1);
    assert_int_equal(fab_ep_cause(ep).kind, SF_CAUSE_CLOSED_BY_PEER);
    fab_ep_close(ep, SF_CAUSE_OF(CLOSED_BY_PEER));
    assert_int_equal(nk_ep_sip(world.kernel, second, &port), 0); /* held by this test */
    assert_int_equal(nk_service_destroy(world.kernel, 70), SF_OK);
    assert_int_equal(nk_service_destroy(world.kernel, 70), SF_NOTFOUND);
    assert_int_equal(fab_ep_cause(second).kind, SF_CAUSE_REVOKED);
    fab_ep_close(second, SF_CAUSE_OF(CLOSED_BY_PEER));
}

static void in_world_of(const struct world_options *options, void **state)
{
    world_make(options);
    image_add(&image, probe_digest);
    world_body(state);
    world_end();
}

static void in_world(void **state)
{
    in_world_of(&probe_world, state);
}

static void in_world_as_nodes(void **state)
{
    struct world_options options = probe_world;

    options.kernel.tick_ns = 0;
    in_world_of(&options, state);
}

#define TEST(body) WORLD_TEST(in_world, body)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        TEST(a_sip_starts_and_its_exit_code_is_told),
        TEST(clock_log_config_identity_entropy_and_sleep_work),
        TEST(what_cannot_be_created_is_refused_with_a_reason),
        TEST(slots_run_out_and_come_back),
        TEST(two_sips_talk_with_blocks_scalars_and_endpoints),
        TEST(an_exit_closes_channels_as_peer_exited),
        TEST(a_fault_closes_channels_as_peer_faulted_and_how),
        TEST(a_stop_closes_channels_with_the_cause_given),
        TEST(no_exporter_is_told),
        TEST(a_message_without_room_waits_and_the_quota_holds),
        TEST(a_block_can_be_sent_trimmed),
        TEST(endless_yields_leave_nk_run_when_the_budget_is_used),
        TEST(preempted_computations_end_with_the_right_result),
        WORLD_TEST(in_world_as_nodes, the_ordinary_tick_pre_empts_too),
        WORLD_TEST(in_world_as_nodes, an_endless_loop_stops_neither_others_nor_its_own_end),
        TEST(an_endless_loop_stops_neither_others_nor_its_own_end),
        TEST(a_store_out_of_bounds_is_contained),
        TEST(a_store_where_no_block_is_is_contained),
        TEST(a_touch_after_send_is_contained),
        TEST(native_stack_overflow_is_contained),
        TEST(c_stack_overflow_is_contained),
        TEST(unreachable_is_contained),
        TEST(division_by_zero_is_contained),
        TEST(a_bad_indirect_call_is_contained),
        TEST(a_fault_with_hands_full_is_reclaimed),
        TEST(hostile_arguments_on_every_call_hurt_nobody),
        TEST(stopping_a_sip_in_any_state_reclaims_it),
        TEST(a_bug_in_the_kernel_itself_kills_the_process),
        TEST(a_recycled_slot_holds_no_byte_of_the_sip_before),
        TEST(ten_thousand_lives_leave_nothing),
        TEST(a_service_is_told_from_nk_run_and_answers),
    };

    if (argc != 2) {
        (void)fprintf(stderr, "usage: sip_test probe.sip\n");
        return 2;
    }
    image = file_read(argv[1]);
    return cmocka_run_group_tests_name("sip", tests, NULL, NULL);
}
