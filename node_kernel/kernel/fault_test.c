/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults with real sealed images: argv[1] is probe.sip, argv[2] limits.sip (the same program with
 * limits), argv[3] the folder of their sources, whose marked lines the reports must name.
 *
 * Every test has a kernel of its own with SIPs that talk before, during and after the fault. It
 * ends with all blocks, endpoints, timers and slots back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image.pb-c.h"
#include "internal.h"
#include "test_world.h"

#define VICTIM 2u

static const char *source_folder;
static struct bytes probe, limits;
static uint8_t probe_digest[IMAGE_DIGEST_BYTES], limits_digest[IMAGE_DIGEST_BYTES];

static const struct world_options probe_world = {
    .kernel = {.slot_first = 100, .slot_count = 32, .heap_bytes = 64u << 20, .tick_ns = 1000000},
    .config = {"answer", "42"},
    .run_seconds_max = 20,
};

static void assert_all_reclaimed(void)
{
    struct nk_stats stats;

    assert_clean(0, 0);
    nk_query(world.kernel, &stats);
    assert_int_equal(stats.sip_count, 0);
    assert_int_equal(world.kernel->workers[0]->timer_count, 0);
    assert_int_equal(world.kernel->slots[NK_SMALL].free_count, 32);
    assert_int_equal(nk_next_deadline(world.kernel), UINT64_MAX);
}

static void create(uint64_t number, const char *name, const uint8_t *digest, const char *mode)
{
    sip_create(number, name, digest, mode, 0);
}

/* A server and a client that talk, numbers first and first + 1; both end well when run. */
static void talkers(uint64_t first, bool run)
{
    char server[16], client[16], export_name[32];

    (void)snprintf(server, sizeof(server), "srv%u", (unsigned)first);
    (void)snprintf(client, sizeof(client), "cli%u", (unsigned)first);
    (void)snprintf(export_name, sizeof(export_name), "%s.test", server);
    create(first, server, probe_digest, "server");
    create(first + 1, client, probe_digest, "client");
    wire(first + 1, export_name);
    start(first);
    start(first + 1);
    if (run) {
        run_all();
        assert_exited(first, 0);
        assert_exited(first + 1, 0);
    }
}

/*
 * SIP 2 of that image faults while SIPs 3 and 4 talk; its peer, 1, sees how; 5 and 6 talk after it.
 * What of its memory and hands was left is all back.
 */
static void victim_runs(const uint8_t *digest, const char *mode, int fault)
{
    char closed[32];

    create(1, "srv", probe_digest, "server");
    create(VICTIM, "victim", digest, mode);
    wire(VICTIM, "srv.test");
    start(1);
    talkers(3, false);
    start(VICTIM);
    run_all();
    assert_faulted(VICTIM, fault);
    assert_exited(1, 0);
    assert_exited(3, 0);
    assert_exited(4, 0);
    (void)snprintf(closed, sizeof(closed), "closed %x",
                   SF_CAUSE_PEER_FAULTED | (unsigned)fault << 8);
    assert_string_equal(world.logs[1], closed); /* what its peer saw */
    talkers(5, true);
    assert_all_reclaimed();
    assert_non_null(strstr(world.report, "sip victim (image "));
    assert_non_null(strstr(world.report, sf_fault_text((uint8_t)fault)));
    assert_non_null(strstr(world.report, "\n  endpoint "));
}

/* --- reports ------------------------------------------------------------------------------------
 */

/* The number of the line that has the mark "@name". */
static unsigned line_of(const char *file, const char *mark)
{
    char path[1024], line[512], text[64];
    unsigned number = 0;
    FILE *stream;

    (void)snprintf(path, sizeof(path), "%s/%s", source_folder, file);
    (void)snprintf(text, sizeof(text), "/* @%s */", mark);
    stream = fopen(path, "r");
    assert_non_null(stream);
    while (fgets(line, sizeof(line), stream) != NULL) {
        number++;
        if (strstr(line, text) != NULL) {
            (void)fclose(stream);
            return number;
        }
    }
    (void)fclose(stream);
    fail_msg("no %s in %s", text, path);
    return 0;
}

struct place {
    const char *function, *file, *mark;
};

/* The report has these places, one a line, the innermost first. `innermost`: and with nothing
 * before it. */
static void assert_stack(const struct place *places, uint32_t count, bool innermost)
{
    static const char *const how[] = {"\n  called from ", "\n  inlined in ", "\n  in "};
    const char *from = world.report;
    char text[256];

    for (uint32_t i = 0; i < count; i++) {
        const char *found = NULL;

        for (size_t k = i == 0 && innermost ? 2 : 0; k < 3 && found == NULL; k++) {
            (void)snprintf(text, sizeof(text), "%s%s at %s:%u", how[k], places[i].function,
                           places[i].file, line_of(places[i].file, places[i].mark));
            found = strstr(from, text);
        }
        if (found == NULL) {
            fail_msg("no \"%s\"", text);
        }
        from = found + strlen(text);
    }
    assert_null(strstr(world.report, "damaged"));
    assert_null(strstr(world.report, "probably"));
}

#define ASSERT_STACK(...)                                                                          \
    do {                                                                                           \
        const struct place places[] = {__VA_ARGS__};                                               \
        assert_stack(places, sizeof(places) / sizeof(places[0]), true);                            \
    } while (0)
/* A tick comes anywhere: also between lines. */
#define ASSERT_CALLERS(...)                                                                        \
    do {                                                                                           \
        const struct place places[] = {__VA_ARGS__};                                               \
        assert_stack(places, sizeof(places) / sizeof(places[0]), false);                           \
    } while (0)
/* clang-format off */
#define MAIN {"sip_main", "probe.c", "sip_main"}
#define MAIN_LOOP {"sip_main", "probe.c", "loop"}
#define REPORTED {"probe_fault", "probe_fault.c", "probe_fault"}, MAIN
/* clang-format on */

static void faults(const char *mode, int fault)
{
    victim_runs(probe_digest, mode, fault);
}

static void limited_faults(const char *mode, int fault)
{
    image_add(&limits, limits_digest);
    victim_runs(limits_digest, mode, fault);
}

static void out_of_bounds(void **state)
{
    (void)state;
    faults("oob", SF_FAULT_OUT_OF_BOUNDS);
    assert_non_null(strstr(world.report, "address 0x1800000 (the memory ends at 0x100000)"));
    ASSERT_STACK({"fault_store", "probe_fault.c", "store"}, MAIN);
}

static void out_of_bounds_behind_a_block(void **state)
{
    (void)state;
    faults("behindblock", SF_FAULT_OUT_OF_BOUNDS);
    assert_non_null(strstr(world.report, "(3200 bytes behind the end of a block of 5000)"));
    assert_non_null(strstr(world.report, "blocks held: 1, "));
    ASSERT_STACK({"touch_behind", "probe_report.c", "behindblock"}, REPORTED);
}

static void out_of_bounds_where_no_block_ever_was(void **state)
{
    (void)state;
    faults("window", SF_FAULT_OUT_OF_BOUNDS);
    assert_non_null(strstr(world.report, "where blocks live, but none was there"));
}

static void use_of_a_block_after_sending_it(void **state)
{
    (void)state;
    faults("touch", SF_FAULT_USE_AFTER_SEND);
    ASSERT_STACK({"touch_after_send", "probe_fault.c", "touch"}, MAIN);
}

static void use_of_a_block_after_freeing_it(void **state)
{
    (void)state;
    faults("freed", SF_FAULT_USE_AFTER_SEND);
    ASSERT_STACK({"touch_after_free", "probe_report.c", "freed"}, REPORTED);
}

static void overflow_of_the_call_stack(void **state)
{
    (void)state;
    faults("stack", SF_FAULT_STACK_OVERFLOW);
    assert_non_null(strstr(world.report, "of the call stack"));
    assert_non_null(strstr(world.report, " times more)"));
    ASSERT_STACK({"fault_recurse", "probe_fault.c", "recurse"}, MAIN);
}

static void overflow_of_the_c_stack(void **state)
{
    (void)state;
    faults("memstack", SF_FAULT_STACK_OVERFLOW);
    assert_non_null(strstr(world.report, "the C stack is too small"));
    assert_non_null(strstr(world.report, "\n  in fault_recurse_memory at probe_fault.c:"));
    assert_non_null(strstr(world.report, "\n  called from sip_main at probe.c:"));
}

static void unreachable(void **state)
{
    (void)state;
    faults("unreachable", SF_FAULT_UNREACHABLE);
    ASSERT_STACK({"probe_fault", "probe_fault.c", "unreachable"}, MAIN);
}

static void division_by_zero(void **state)
{
    (void)state;
    faults("divide", SF_FAULT_DIV_BY_ZERO);
    ASSERT_STACK({"fault_divide", "probe_fault.c", "divide"}, MAIN);
}

static void a_bad_indirect_call(void **state)
{
    (void)state;
    faults("indirect", SF_FAULT_BAD_INDIRECT_CALL);
    ASSERT_STACK({"probe_fault", "probe_fault.c", "indirect"}, MAIN);
}

static void hands_full(void **state)
{
    (void)state;
    faults("holding", SF_FAULT_UNREACHABLE);
    assert_non_null(strstr(world.report, "blocks held: 33, "));
    assert_non_null(strstr(world.report, "endpoints more"));
}

static void who_called_whom(void **state)
{
    (void)state;
    faults("chain", SF_FAULT_DIV_BY_ZERO);
    assert_string_equal(world.logs[VICTIM], "dividing by 0");
    ASSERT_STACK({"chain_last", "probe_report.c", "chain_last"},
                 {"chain_middle", "probe_report.c", "chain_middle"},
                 {"chain_first", "probe_report.c", "chain_first"},
                 {"probe_report", "probe_report.c", "chain"}, REPORTED);
}

static void deep_stacks_are_told_from_both_ends(void **state)
{
    (void)state;
    faults("mutual", SF_FAULT_DIV_BY_ZERO);
    ASSERT_STACK({"odd", "probe_report.c", "odd"}, {"even", "probe_report.c", "even"},
                 {"odd", "probe_report.c", "odd"}, {"even", "probe_report.c", "even"},
                 {"probe_report", "probe_report.c", "mutual"}, REPORTED);
    assert_non_null(strstr(world.report, " more ..."));
}

static void the_last_messages_of_an_endpoint(void **state)
{
    (void)state;
    faults("chat", SF_FAULT_DIV_BY_ZERO);
    assert_non_null(strstr(world.report, "peer: ProbeContract importer, state Start.3, "));
    assert_non_null(strstr(world.report, " queued; last: got Sum (Start), sent Add (Start.1), "
                                         "got Sum (Start), sent Ping (Start.3)"));
    ASSERT_STACK({"chat", "probe_report.c", "chat"}, REPORTED);
}

/* --- limits -------------------------------------------------------------------------------------
 */

static void a_contract_violation_that_kills(void **state)
{
    (void)state;
    limited_faults("violate", SF_FAULT_CONTRACT);
    assert_non_null(strstr(world.report, "contract violation: tried to send Bye on endpoint "));
    assert_non_null(strstr(world.report, " in state Start.1 of ProbeContract\n"));
    assert_non_null(strstr(world.report, "; last: sent Add (Start.1)"));
    ASSERT_STACK({"violate", "probe_report.c", "violate"}, REPORTED);
}

static void a_contract_violation_that_does_not(void **state)
{
    (void)state;
    create(1, "srv", probe_digest, "server");
    create(VICTIM, "victim", probe_digest, "violate");
    wire(VICTIM, "srv.test");
    start(1);
    start(VICTIM);
    run_all();
    assert_exited(VICTIM, 0);
    assert_all_reclaimed();
}

static void an_endless_loop(void **state)
{
    (void)state;
    limited_faults("endless", SF_FAULT_ENDLESS_LOOP);
    assert_non_null(strstr(world.report, "ms without a kernel call, 15 allowed"));
    assert_non_null(strstr(world.report, "\n  in compute_for_ever"));
    ASSERT_CALLERS({"probe_report", "probe_report.c", "endless"}, REPORTED);
}

static void processor_time_is_a_quota(void **state)
{
    (void)state;
    limited_faults("asks", SF_FAULT_QUOTA);
    assert_non_null(strstr(world.report, "ms of processor time used, 60 allowed"));
    ASSERT_CALLERS({"probe_report", "probe_report.c", "ask"}, REPORTED);
}

static void yielding_does_not_escape_the_quota(void **state)
{
    (void)state;
    limited_faults("loop", SF_FAULT_QUOTA);
    ASSERT_CALLERS(MAIN_LOOP);
}

static void work_within_the_limits_is_left_alone(void **state)
{
    (void)state;
    image_add(&limits, limits_digest);
    create(VICTIM, "victim", limits_digest, "works");
    start(VICTIM);
    talkers(3, true);
    assert_exited(VICTIM, 0);
    assert_all_reclaimed();
}

/* Without limits only the turn ends. */
static void no_limits_no_death(void **state)
{
    uint64_t end = now() + 100000000u;

    (void)state;
    create(VICTIM, "victim", probe_digest, "endless");
    start(VICTIM);
    while (now() < end) {
        assert_true(nk_run(world.kernel, 1000, now()));
    }
    assert_null(end_of(VICTIM));
    assert_int_equal(nk_sip_stop(world.kernel, VICTIM, SF_CAUSE_OF(SHUTDOWN)), SF_OK);
    assert_all_reclaimed();
}

/* --- code that sipc would not write -------------------------------------------------------------
 */

/* limits.sip with other code in place of its start function, sealed anew: it passes all checks. */
static struct bytes patched(const uint8_t *code, size_t length)
{
    Sf__Image__Manifest *manifest;
    struct bytes copy = {malloc(limits.length), limits.length}, sealed;
    uint32_t manifest_bytes;
    uint64_t elf_offset, start = 0, size = 0;
    struct image *image = NULL;

    assert_non_null(copy.data);
    memcpy(copy.data, limits.data, limits.length);
    memcpy(&manifest_bytes, copy.data + 8, 4);
    memcpy(&elf_offset, copy.data + 16, 8);
    manifest = sf__image__manifest__unpack(NULL, manifest_bytes, copy.data + IMAGE_HEADER_BYTES);
    assert_non_null(manifest);
    for (size_t i = 0; i < manifest->n_symbols; i++) {
        if (strcmp(manifest->symbols[i]->name, "sf_start") == 0) {
            start = manifest->base_address + manifest->symbols[i]->offset;
            size = manifest->symbols[i]->bytes;
        }
    }
    assert_true(size >= length);
    assert_int_equal(image_open(limits.data, limits.length, &image, NULL, 0), SF_OK);
    for (uint32_t i = 0; i < image->segment_count; i++) {
        const struct image_segment *segment = &image->segments[i];

        if (start >= segment->address && start - segment->address < segment->file_bytes) {
            uint8_t *to =
                copy.data + (segment->bytes - limits.data) + (size_t)(start - segment->address);

            memset(to, 0x90, size); /* nop */
            memcpy(to, code, length);
        }
    }
    image_close(image);
    assert_int_equal(image_seal(manifest, copy.data + elf_offset, copy.length - elf_offset,
                                &sealed.data, &sealed.length),
                     SF_OK);
    sf__image__manifest__free_unpacked(manifest, NULL);
    free(copy.data);
    return sealed;
}

static void hostile(const uint8_t *code, size_t length, int fault)
{
    struct bytes image = patched(code, length);

    image_add(&image, limits_digest);
    free(image.data);
    victim_runs(limits_digest, "exit", fault);
}

#define HOSTILE(fault, ...)                                                                        \
    do {                                                                                           \
        static const uint8_t code[] = {__VA_ARGS__};                                               \
        hostile(code, sizeof(code), fault);                                                        \
    } while (0)
/* mov 0, %rax, which faults: nothing is mapped there */
#define LOAD_ZERO 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0
/* movabs $gate, %r11; jmp *%r11 */
#define CALL_GATE 0x49, 0xbb, 0, 0, 0, 0, 0, 0x0e, 0, 0, 0x41, 0xff, 0xe3

static void a_fault_in_the_start_function(void **state)
{
    (void)state;
    HOSTILE(SF_FAULT_OUT_OF_BOUNDS, LOAD_ZERO);
    assert_non_null(strstr(world.report, "outside the linear memory"));
    assert_non_null(strstr(world.report, "\n  in sf_start (+0x0)\n"));
    assert_null(strstr(world.report, "damaged"));
}

static void a_smashed_frame_pointer(void **state)
{
    (void)state;
    /* push %rax; mov $0x12345678, %rbp */
    HOSTILE(SF_FAULT_OUT_OF_BOUNDS, 0x50, 0x48, 0xc7, 0xc5, 0x78, 0x56, 0x34, 0x12, LOAD_ZERO);
    assert_non_null(strstr(world.report, "the stack is damaged"));
}

static void a_frame_that_is_its_own_caller(void **state)
{
    (void)state;
    /* mov %rsp, %rbp; mov %rbp, (%rbp) */
    HOSTILE(SF_FAULT_OUT_OF_BOUNDS, 0x48, 0x89, 0xe5, 0x48, 0x89, 0x6d, 0x00, LOAD_ZERO);
}

static void no_stack_at_all(void **state)
{
    (void)state;
    /* xor %esp, %esp; push %rax */
    HOSTILE(SF_FAULT_OUT_OF_BOUNDS, 0x31, 0xe4, 0x50);
    assert_non_null(strstr(world.report, "the stack is damaged"));
}

static void an_odd_stack_pointer(void **state)
{
    (void)state;
    /* sub $3, %rsp */
    HOSTILE(SF_FAULT_OUT_OF_BOUNDS, 0x48, 0x83, 0xec, 0x03, LOAD_ZERO);
}

static void a_kernel_call_without_a_stack(void **state)
{
    (void)state;
    /* xor %esp, %esp; mov $2, %eax */
    HOSTILE(SF_FAULT_OUT_OF_BOUNDS, 0x31, 0xe4, 0xb8, 2, 0, 0, 0, CALL_GATE);
}

static void a_trap_on_a_stack_that_is_none(void **state)
{
    (void)state;
    /* mov %rdi, %rsp (the instance); mov $3, %esi; mov $0, %eax */
    HOSTILE(SF_FAULT_UNREACHABLE, 0x48, 0x89, 0xfc, 0xbe, 3, 0, 0, 0, 0xb8, 0, 0, 0, 0, CALL_GATE);
    assert_non_null(strstr(world.report, "the stack is damaged"));
}

static void a_trap_of_a_kind_that_is_not_its_to_tell(void **state)
{
    (void)state;
    /* mov $14, %esi; mov $0, %eax */
    HOSTILE(SF_FAULT_BAD_CALL, 0xbe, 14, 0, 0, 0, 0xb8, 0, 0, 0, 0, CALL_GATE);
}

static void recursion_without_frames(void **state)
{
    (void)state;
    HOSTILE(SF_FAULT_STACK_OVERFLOW, 0xe8, 0xfb, 0xff, 0xff, 0xff); /* call . */
    assert_non_null(strstr(world.report, " times more)"));
}

static void an_endless_loop_that_cannot_be_pre_empted(void **state)
{
    (void)state;
    HOSTILE(SF_FAULT_STACK_OVERFLOW, 0x31, 0xe4, 0xeb, 0xfe); /* xor %esp, %esp; jmp . */
}

/* ------------------------------------------------------------------------------------------------
 */

static void in_world(void **state)
{
    world_make(&probe_world);
    image_add(&probe, probe_digest);
    world_body(state);
    world_end();
}

#define TEST(body) WORLD_TEST(in_world, body)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        TEST(out_of_bounds),
        TEST(out_of_bounds_behind_a_block),
        TEST(out_of_bounds_where_no_block_ever_was),
        TEST(use_of_a_block_after_sending_it),
        TEST(use_of_a_block_after_freeing_it),
        TEST(overflow_of_the_call_stack),
        TEST(overflow_of_the_c_stack),
        TEST(unreachable),
        TEST(division_by_zero),
        TEST(a_bad_indirect_call),
        TEST(hands_full),
        TEST(who_called_whom),
        TEST(deep_stacks_are_told_from_both_ends),
        TEST(the_last_messages_of_an_endpoint),
        TEST(a_contract_violation_that_kills),
        TEST(a_contract_violation_that_does_not),
        TEST(an_endless_loop),
        TEST(processor_time_is_a_quota),
        TEST(yielding_does_not_escape_the_quota),
        TEST(work_within_the_limits_is_left_alone),
        TEST(no_limits_no_death),
        TEST(a_fault_in_the_start_function),
        TEST(a_smashed_frame_pointer),
        TEST(a_frame_that_is_its_own_caller),
        TEST(no_stack_at_all),
        TEST(an_odd_stack_pointer),
        TEST(a_kernel_call_without_a_stack),
        TEST(a_trap_on_a_stack_that_is_none),
        TEST(a_trap_of_a_kind_that_is_not_its_to_tell),
        TEST(recursion_without_frames),
        TEST(an_endless_loop_that_cannot_be_pre_empted),
    };

    if (argc != 4) {
        (void)fprintf(stderr, "usage: fault_test probe.sip limits.sip SOURCE_FOLDER\n");
        return 2;
    }
    probe = file_read(argv[1]);
    limits = file_read(argv[2]);
    source_folder = argv[3];
    return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
