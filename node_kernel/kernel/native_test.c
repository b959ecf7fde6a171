/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mode native in the core: the probe (test_sips/) compiled without checks, beside the sealed one.
 * argv: probe.sip probe_native.sip. Each test has a kernel of its own and ends with clean audits.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <sodium.h>

#include "abi/nk_abi.h"
#include "capture.h"
#include "test_world.h"

#define RUN_SECONDS_MAX 20u
#define SLOTS 32u

enum { SEALED, NATIVE };

static struct bytes files[2];
static uint8_t digests[2][IMAGE_DIGEST_BYTES];

/* Whose images are taken: of the key that signed them below. */
static struct image_trust trust;

static void kernel_make(bool allow_native, uint32_t worker_count)
{
    const struct world_options options = {
        .kernel = {.slot_first = 200,
                   .slot_count = SLOTS,
                   .heap_bytes = 64u << 20,
                   .worker_count = worker_count,
                   .allow_native = allow_native,
                   .trust = &trust,
                   .tick_ns = 300000}, /* so that all tests are pre-empted a lot */
        .config = {"answer", "42"},
        .run_seconds_max = RUN_SECONDS_MAX,
    };

    world_make(&options);
}

static void add(int mode)
{
    image_add(&files[mode], digests[mode]);
}

static void create(uint64_t number, const char *name, int mode, const char *does)
{
    sip_create(number, name, digests[mode], does, 0);
}

/* --- leave ---------------------------------------------------------------------------------------
 */

static void without_the_operators_leave_a_native_image_is_refused(void **state)
{
    uint8_t digest[IMAGE_DIGEST_BYTES];
    char text[512] = "";

    (void)state;
    kernel_make(false, 1);
    add(SEALED);
    assert_int_equal(nk_image_add(world.kernel, files[NATIVE].data, files[NATIVE].length, digest,
                                  text, sizeof(text)),
                     SF_TRUST);
    assert_non_null(strstr(text, "mode native"));
    assert_non_null(strstr(text, "--allow-native")); /* what to do about it */
}

static void one_that_runs_is_not_moved(void **state)
{
    char text[256] = "";

    (void)state;
    create(1, "looper", NATIVE, "loop");
    assert_int_equal(nk_sip_freeze(world.kernel, 1, text, sizeof(text)), SF_UNSUPPORTED);
    start(1);
    (void)nk_run(world.kernel, 5, now());
    assert_int_equal(nk_sip_freeze(world.kernel, 1, text, sizeof(text)), SF_UNSUPPORTED);
    assert_non_null(strstr(text, "looper cannot be moved: its image is of mode native"));
    stop(1);
}

/* --- the same programs ---------------------------------------------------------------------------
 */

static void calls_that_need_no_channel_work(void **state)
{
    (void)state;
    create(1, "basics", NATIVE, "basics");
    create(2, "one", NATIVE, "exit");
    start(1);
    start(2);
    run_all();
    assert_exited(1, 0);
    assert_exited(2, 7);
}

/* Scalars, blocks of all sizes, endpoints in messages, select, wrong messages refused. */
static void talk(int server, int client)
{
    create(1, "srv", server, "server");
    create(2, "cli", client, "client");
    wire(2, "srv.test");
    start(2);
    start(1);
    run_all();
    assert_exited(1, 0);
    assert_exited(2, 0);
}

static void native_and_sealed_sips_talk_either_way(void **state)
{
    (void)state;
    talk(SEALED, NATIVE);
    talk(NATIVE, SEALED);
    talk(NATIVE, NATIVE);
}

static void quotas_and_trimmed_blocks_hold(void **state)
{
    static const char *const does[] = {"flood", "trim"};

    (void)state;
    for (uint64_t i = 0; i < 2; i++) {
        create(10 * i + 1, "srv", SEALED, "server");
        create(10 * i + 2, "cli", NATIVE, does[i]);
        wire(10 * i + 2, "srv.test");
        start(10 * i + 1);
        start(10 * i + 2);
        run_all();
        assert_exited(10 * i + 2, 0);
    }
}

static void bad_arguments_are_refused_as_ever(void **state)
{
    (void)state;
    create(1, "hostile", NATIVE, "hostile");
    start(1);
    run_all();
    assert_exited(1, 0);
}

static void every_instance_has_its_own_data(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= SLOTS; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "own%u", (unsigned)i);
        create(i, name, i % 8 == 0 ? SEALED : NATIVE, "own");
        start(i);
    }
    run_all();
    for (uint64_t i = 1; i <= SLOTS; i++) {
        assert_exited(i, 0);
    }
}

/* --- pre-emption ---------------------------------------------------------------------------------
 */

static void preempted_computations_end_as_sealed_ones_do(void **state)
{
    struct nk_stats stats;

    (void)state;
    create(1, "c4", SEALED, "compute");
    start(1);
    run_all();
    for (uint64_t i = 2; i <= 4; i++) { /* one seed, so one result; they take turns */
        const struct nk_config config = {"mode", "compute"};
        const struct nk_sip_options options = {.number = i,
                                               .name = i == 2   ? "c4"
                                                       : i == 3 ? "a4"
                                                                : "b4",
                                               .image_digest = digests[NATIVE],
                                               .config = &config,
                                               .config_count = 1};

        assert_int_equal(nk_sip_create(world.kernel, &options, NULL, 0), SF_OK);
        start(i);
    }
    run_all();
    for (uint64_t i = 2; i <= 4; i++) {
        assert_exited(i, end_of(1)->exit_code);
    }
    nk_query(world.kernel, &stats);
    assert_true(stats.switches > 30);
}

static void an_endless_loop_stops_nobody(void **state)
{
    const uint64_t from = now();

    (void)state;
    create(1, "spin", NATIVE, "spin");
    create(2, "srv", SEALED, "server");
    create(3, "cli", NATIVE, "client");
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

static void several_workers_run_them(void **state)
{
    (void)state;
    kernel_make(true, 3);
    add(SEALED);
    add(NATIVE);
    world.quiet = true;
    for (uint64_t i = 1; i <= 24; i++) { /* every third faults; some talk */
        char name[16];

        (void)snprintf(name, sizeof(name), "s%u", (unsigned)i);
        create(i, name, i % 2 == 0 ? NATIVE : SEALED,
               i % 3 == 0   ? "divide"
               : i % 3 == 1 ? "server"
                            : "client");
        if (i % 3 == 2) {
            (void)snprintf(name, sizeof(name), "s%u.test", (unsigned)i - 1);
            wire(i, name);
        }
    }
    for (uint64_t i = 1; i <= 24; i++) {
        start(i);
    }
    run_until_ended(24);
    for (uint64_t i = 1; i <= 24; i++) {
        if (i % 3 == 0) {
            assert_faulted(i, SF_FAULT_DIV_BY_ZERO);
        } else {
            assert_exited(i, 0);
        }
    }
}

/* --- faults --------------------------------------------------------------------------------------
 */

static void faults_that_the_mmu_sees_end_that_sip_only(void **state)
{
    static const struct {
        const char *does;
        int fault;
        const char *in_report;
    } table[] = {
        {"null", SF_FAULT_OUT_OF_BOUNDS, "outside the linear memory"},
        {"oob", SF_FAULT_OUT_OF_BOUNDS, "address 0x1800000"},
        {"window", SF_FAULT_OUT_OF_BOUNDS, "where blocks live"},
        {"touch", SF_FAULT_USE_AFTER_SEND, "address 0x2000000"},
        {"stack", SF_FAULT_STACK_OVERFLOW, "in fault_recurse"},
        {"memstack", SF_FAULT_STACK_OVERFLOW, "in fault_recurse_memory"},
        {"unreachable", SF_FAULT_UNREACHABLE, "in probe_fault"},
        {"divide", SF_FAULT_DIV_BY_ZERO, "in fault_divide"},
        {"indirect", SF_FAULT_BAD_INDIRECT_CALL, "outside the linear memory"},
        {"holding", SF_FAULT_UNREACHABLE, "Ping"},
    };

    (void)state;
    for (uint64_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const uint64_t first = i * 4 + 1;

        create(first, "srv", SEALED, "server");
        create(first + 1, "victim", NATIVE, table[i].does);
        create(first + 2, "srv3", NATIVE, "server");
        create(first + 3, "cli4", NATIVE, "client");
        wire(first + 1, "srv.test");
        wire(first + 3, "srv3.test");
        for (uint64_t k = 0; k < 4; k++) {
            start(first + (k + 2) % 4);
        }
        run_all();
        assert_faulted(first + 1, table[i].fault);
        assert_exited(first, 0);
        assert_exited(first + 2, 0);
        assert_exited(first + 3, 0);
        assert_non_null(strstr(world.report, "sip victim (image probe, native) faulted"));
        assert_non_null(strstr(world.report, table[i].in_report));
        assert_non_null(strstr(world.report, "ProbeContract importer, state Start"));
    }
}

/* --- recycling -----------------------------------------------------------------------------------
 */

struct seen {
    uint32_t code, writable_code;
    bool pattern;
    uint32_t maps;
};

/* What the slots hold: mappings of code, and any byte of the pattern that "fill" writes. */
static struct seen look_at_slots(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    struct seen seen = {0};
    char line[512];

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        unsigned long long from, to;
        char access[8];

        seen.maps++;
        assert_int_equal(sscanf(line, "%llx-%llx %7s", &from, &to, access), 3);
        if (from < NK_SLOT_BASE || from >= NK_SLOT_BASE + NK_SLOT_COUNT_MAX * NK_SLOT_STRIDE) {
            continue;
        }
        seen.code += access[2] == 'x';
        seen.writable_code += access[2] == 'x' && access[1] == 'w';
        for (unsigned long long page = from; access[0] == 'r' && page < to; page += 4096) {
            unsigned char resident = 0;

            assert_int_equal(mincore((void *)page, 4096, &resident), 0);
            for (uint32_t i = 0; resident && i < 512; i++) {
                seen.pattern |= ((const uint64_t *)page)[i] == 0x5ea1edf00d15beefull;
            }
        }
    }
    (void)fclose(maps);
    return seen;
}

static void code_is_mapped_while_the_sip_lives_and_never_writable(void **state)
{
    struct seen seen;

    (void)state;
    assert_int_equal(look_at_slots().code, 0);
    create(1, "a", NATIVE, "server");
    create(2, "b", NATIVE, "server");
    create(3, "c", SEALED, "server");
    start(1);
    run_all();
    seen = look_at_slots();
    assert_int_equal(seen.code, 2);
    assert_int_equal(seen.writable_code, 0);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(nk_sip_stop(world.kernel, i, SF_CAUSE_OF(SHUTDOWN)), SF_OK);
    }
    assert_int_equal(look_at_slots().code, 0);
}

static void a_recycled_slot_holds_no_byte_of_the_native_sip_before(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 4; i++) {
        create(10 + i, "fill", NATIVE, "fill");
        start(10 + i);
        run_all();
        assert_exited(10 + i, 0);
        assert_false(look_at_slots().pattern);
        create(20 + i, "look", i % 2 == 0 ? SEALED : NATIVE, "look");
        start(20 + i);
        run_all();
        assert_exited(20 + i, 0);
    }
}

static void lives(uint64_t first, uint64_t count)
{
    static const char *const does[] = {"exit", "holding", "oob", "fill", "exit", "stack", "own"};

    for (uint64_t i = first; i < first + count; i++) {
        create(i, "cycle", i % 5 == 0 ? SEALED : NATIVE, does[i % 7]);
        start(i);
        run_all();
    }
}

static void two_thousand_lives_leave_nothing(void **state)
{
    uint32_t maps, open;

    (void)state;
    world.quiet = true;
    lives(1, 300);
    xh_cool(nk_kernel_heap(world.kernel)); /* what is kept on purpose is not counted */
    maps = look_at_slots().maps;
    open = usage_now().fds;
    lives(301, 1700);
    xh_cool(nk_kernel_heap(world.kernel));
    assert_int_equal(world.end_count, 2000);
    assert_int_equal(look_at_slots().maps, maps);
    assert_int_equal(usage_now().fds, open);
}

/* --- all of it -----------------------------------------------------------------------------------
 */

static int sign_files(void)
{
    struct image_secret secret;
    struct image_key key;

    image_secret_make("test", &secret);
    image_secret_public(&secret, &key);
    for (uint32_t i = 0; i < 2; i++) {
        struct bytes bare = files[i];

        if (image_sign(bare.data, bare.length, &secret, &files[i].data, &files[i].length) !=
            SF_OK) {
            return -1;
        }
        free(bare.data);
    }
    return image_trust_add(&trust, &key) == SF_OK ? 0 : -1;
}

static void unsigned_it_is_refused_even_where_unsigned_images_are_allowed(void **state)
{
    const struct image_trust before = trust;
    uint8_t digest[IMAGE_DIGEST_BYTES];
    char text[512] = "";

    (void)state;
    trust = image_trust_anyone;
    kernel_make(true, 1);
    add(SEALED);
    assert_int_equal(nk_image_add(world.kernel, files[NATIVE].data, files[NATIVE].length, digest,
                                  text, sizeof(text)),
                     SF_TRUST);
    trust = before;
    assert_non_null(strstr(text, "signed by a trusted key"));
}

static void in_world(void **state)
{
    kernel_make(true, 1);
    add(SEALED);
    add(NATIVE);
    world_body(state);
    world_end();
}

#define TEST(body) WORLD_TEST(in_world, body)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        TEST(without_the_operators_leave_a_native_image_is_refused),
        TEST(unsigned_it_is_refused_even_where_unsigned_images_are_allowed),
        TEST(one_that_runs_is_not_moved),
        TEST(calls_that_need_no_channel_work),
        TEST(native_and_sealed_sips_talk_either_way),
        TEST(quotas_and_trimmed_blocks_hold),
        TEST(bad_arguments_are_refused_as_ever),
        TEST(every_instance_has_its_own_data),
        TEST(preempted_computations_end_as_sealed_ones_do),
        TEST(an_endless_loop_stops_nobody),
        TEST(several_workers_run_them),
        TEST(faults_that_the_mmu_sees_end_that_sip_only),
        TEST(code_is_mapped_while_the_sip_lives_and_never_writable),
        TEST(a_recycled_slot_holds_no_byte_of_the_native_sip_before),
        TEST(two_thousand_lives_leave_nothing),
    };

    if (argc != 3) {
        (void)fprintf(stderr, "usage: native_test probe.sip probe_native.sip\n");
        return 2;
    }
    files[SEALED] = file_read(argv[1]);
    files[NATIVE] = file_read(argv[2]);
    if (sodium_init() < 0 || sign_files() != 0) {
        (void)fprintf(stderr, "native_test: cannot sign the images\n");
        return 1;
    }
    return cmocka_run_group_tests_name("native", tests, NULL, NULL);
}
