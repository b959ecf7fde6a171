/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots of both classes, what is left in them, and blocks that change hands: argv = probe.sip,
 * probe_large.sip, probe_strict.sip (test_sips/). What is read of a slot is read by this program,
 * from the kernel's side: every accessible byte of it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/nk_abi.h"
#include "test_world.h"

#define SLOT_FIRST 100u
#define LARGE_FIRST 7u

enum { SMALL, LARGE, STRICT, IMAGES };
static struct bytes images[IMAGES];
static uint8_t digests[IMAGES][IMAGE_DIGEST_BYTES];

static void slots_make(bool copy_blocks)
{
    const struct world_options options = {
        .kernel = {.slot_first = SLOT_FIRST,
                   .slot_count = 16,
                   .large_first = LARGE_FIRST,
                   .large_count = 4,
                   .heap_bytes = 64u << 20,
                   .copy_blocks = copy_blocks,
                   .tick_ns = 300000},
        .run_seconds_max = 30,
    };

    world_make(&options);
    for (uint32_t i = 0; i < IMAGES; i++) {
        image_add(&images[i], digests[i]);
    }
}

static void create(uint64_t number, uint32_t image, const char *name, const char *mode)
{
    sip_create(number, name, digests[image], mode, 0);
}

static void faults(uint32_t image, const char *mode, int fault, const char *in_report)
{
    create(1, image, "victim", mode);
    start(1);
    run_all();
    assert_faulted(1, fault);
    if (strstr(world.report, in_report) == NULL) {
        fail_msg("\"%s\" is not in: %s", in_report, world.report);
    }
}

/* --- what a slot holds --------------------------------------------------------------------------
 */

struct scan {
    uint64_t bytes, regions;
    uint64_t bad; /* address of a byte that is not 0, or 0 */
};

struct mapping {
    unsigned long long low, high;
    char access[8];
};

static bool mapping_next(FILE *maps, struct mapping *out)
{
    char line[512];

    if (fgets(line, sizeof(line), maps) == NULL) {
        return false;
    }
    assert_int_equal(sscanf(line, "%llx-%llx %7s", &out->low, &out->high, out->access), 3);
    return true;
}

/* Reads every accessible byte of [from, to). */
static struct scan scan_range(uint64_t from, uint64_t to)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    struct mapping m;
    struct scan scan = {0};

    assert_non_null(maps);
    while (mapping_next(maps, &m)) {
        if (m.low < from || m.high > to || m.access[0] != 'r') {
            continue;
        }
        assert_string_equal(m.access, "rw-p");
        scan.regions++;
        scan.bytes += m.high - m.low;
        for (const uint64_t *word = (const uint64_t *)m.low; word < (const uint64_t *)m.high;
             word++) {
            if (*word != 0 && scan.bad == 0) {
                scan.bad = (uint64_t)word;
            }
        }
    }
    (void)fclose(maps);
    return scan;
}

static uint64_t slot_of(uint32_t image)
{
    return image == LARGE ? NK_LARGE_BASE + LARGE_FIRST * NK_LARGE_STRIDE
                          : NK_SLOT_BASE + SLOT_FIRST * NK_SLOT_STRIDE;
}

static uint64_t stride_of(uint32_t image)
{
    return image == LARGE ? NK_LARGE_STRIDE : NK_SLOT_STRIDE;
}

/* All its accessible bytes are 0, and only stack, header and memory are accessible. */
static void assert_clean_slot(uint32_t image, uint64_t bytes_min)
{
    const uint64_t slot = slot_of(image);
    struct scan scan = scan_range(slot, slot + stride_of(image));

    if (scan.bad != 0) {
        fail_msg("a byte of the sip before is at offset 0x%llx", (long long)(scan.bad - slot));
    }
    assert_true(scan.regions <= 1);
    assert_true(scan.bytes >= bytes_min);
}

static void recycled(uint32_t image, uint64_t bytes_min)
{
    for (uint32_t round = 0; round < 3; round++) {
        create(1, image, "dirty", "dirty");
        start(1);
        for (uint32_t i = 0; i < 3; i++) { /* in the middle of it, it is dirty */
            (void)nk_run(world.kernel, 1, now());
        }
        assert_true(scan_range(slot_of(image), slot_of(image) + stride_of(image)).bad != 0);
        run_all();
        assert_exited(1, 0);
        assert_clean_slot(image, bytes_min);
        create(2, image, "stopped", "dirty"); /* the same slot; ends in mid-run */
        start(2);
        (void)nk_run(world.kernel, 2, now());
        assert_int_equal(nk_sip_stop(world.kernel, 2, SF_CAUSE_OF(REVOKED)), SF_OK);
        assert_clean_slot(image, bytes_min);
    }
}

static void a_recycled_small_slot_has_no_byte_of_the_sip_before(void **state)
{
    (void)state;
    recycled(SMALL, NK_MEMORY - NK_STACK_LOW + (1u << 20));
}

static void a_recycled_large_slot_has_no_byte_of_the_sip_before(void **state)
{
    (void)state;
    recycled(LARGE, NK_MEMORY - NK_STACK_LOW + (1u << 16));
}

static void a_recycled_strict_slot_has_no_byte_of_the_sip_before(void **state)
{
    (void)state;
    recycled(STRICT, NK_MEMORY - NK_STACK_LOW + (1u << 20));
}

/* --- the large class ----------------------------------------------------------------------------
 */

/* Has the mapping that begins there been wished to be of huge pages? */
static bool huge_is_wished(uint64_t first)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    bool here = false, wished = false;

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        unsigned long long low, high;

        if (sscanf(line, "%llx-%llx ", &low, &high) == 2) {
            here = low == first;
        }
        wished |= here && strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " hg") != NULL;
    }
    (void)fclose(maps);
    return wished;
}

static void a_large_sip_uses_256_mib_and_leaves_none_of_it(void **state)
{
    (void)state;
    create(1, LARGE, "big", "grow");
    start(1);
    run_all();
    assert_exited(1, 0);
    assert_clean_slot(LARGE, 256u << 20);
    assert_int_equal(huge_is_wished(slot_of(LARGE) + NK_STACK_LOW),
                     access("/sys/kernel/mm/transparent_hugepage", F_OK) == 0);
    create(1, LARGE, "next", "grow"); /* finds zeros, though the slot was larger before */
    start(1);
    run_all();
    assert_exited(1, 0);
}

static void large_memory_ends_where_memory_size_says(void **state)
{
    (void)state;
    faults(LARGE, "past", SF_FAULT_OUT_OF_BOUNDS, "the memory ends at 0x");
    faults(LARGE, "across", SF_FAULT_OUT_OF_BOUNDS, "the memory ends at 0x");
}

static void no_large_address_leaves_the_slot(void **state)
{
    (void)state;
    faults(LARGE, "behind", SF_FAULT_OUT_OF_BOUNDS, "where blocks live, but none was there");
    faults(LARGE, "above", SF_FAULT_OUT_OF_BOUNDS, "address 0xc0000000");
    faults(LARGE, "far", SF_FAULT_OUT_OF_BOUNDS, "address 0x17fffffe0 (behind the last address");
    faults(LARGE, "memstack", SF_FAULT_STACK_OVERFLOW, "C stack");
    faults(LARGE, "stack", SF_FAULT_STACK_OVERFLOW, "fault_recurse");
    faults(LARGE, "oob", SF_FAULT_OUT_OF_BOUNDS, "address 0x1800000");
}

static void large_slots_run_out_and_say_so(void **state)
{
    struct nk_sip_options options = {.number = 9, .name = "e", .image_digest = digests[LARGE]};
    char text[256] = "";

    (void)state;
    for (uint64_t i = 1; i <= 4; i++) {
        const char name[2] = {(char)('`' + i), 0};

        create(i, LARGE, name, "exit");
    }
    assert_int_equal(nk_sip_create(world.kernel, &options, text, sizeof(text)), SF_LIMIT);
    assert_non_null(strstr(text, "all 4 slots of the large class"));
    for (uint64_t i = 1; i <= 4; i++) {
        start(i);
    }
    run_all();
    assert_int_equal(nk_sip_create(world.kernel, &options, text, sizeof(text)), SF_OK);
    assert_int_equal(nk_sip_stop(world.kernel, 9, SF_CAUSE_OF(SHUTDOWN)), SF_OK);
}

/* The reservation of a node's large slots, as it is in memory. */
static void expect_lease(uint16_t node_id, uint64_t first, uint64_t count)
{
    struct nk_options options = {.node_name = "lease",
                                 .node_id = node_id,
                                 .epoch = 1,
                                 .trust = &image_trust_anyone,
                                 .slot_count = 1,
                                 .heap_bytes = 2u << 20};
    const uint64_t from = NK_LARGE_BASE + first * NK_LARGE_STRIDE;
    struct nk_kernel *kernel;
    struct mapping m;
    FILE *maps;
    bool found = false;

    assert_int_equal(nk_kernel_create(&options, &kernel, NULL, 0), SF_OK);
    maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (mapping_next(maps, &m)) {
        found |= m.low == from && m.high == from + count * NK_LARGE_STRIDE && m.access[0] == '-';
    }
    (void)fclose(maps);
    assert_true(found);
    nk_kernel_destroy(kernel);
}

static void large_slots_follow_from_the_node_id(void **state)
{
    (void)state;
    expect_lease(1, 32, 32);
    expect_lease(31, 31 * 32, 32);
    expect_lease(32, 32 * 32, 1);
    expect_lease(33, 32 * 32 + 1, 1);
    expect_lease(1023, 32 * 32 + 991, 1);
}

/* --- blocks -------------------------------------------------------------------------------------
 */

static void talks(uint32_t left, const char *echo, uint32_t right, const char *talk)
{
    create(1, left, "srv", echo);
    create(2, right, "cli", talk);
    wire(2, "srv.test");
    start(1);
    start(2);
    run_all();
    assert_exited(2, 0);
    assert_exited(1, 0);
}

static void blocks_of_all_sizes_arrive_whole_whoever_waits(void **state)
{
    static const char *const modes[][2] = {
        {"echo", "talk"}, {"echoslow", "talk"}, {"echo", "talkslow"}, {"echoslow", "talkslow"}};

    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        talks(SMALL, modes[i][0], SMALL, modes[i][1]);
        talks(SMALL, modes[i][0], LARGE, modes[i][1]);
        talks(STRICT, modes[i][0], SMALL, modes[i][1]);
        talks(LARGE, modes[i][0], STRICT, modes[i][1]);
    }
}

static void a_block_that_was_given_away_is_gone(void **state)
{
    static const char *const all[] = {"stale64",  "freed64", "stale64k",
                                      "freed64k", "stale1m", "freed1m"};

    (void)state;
    for (uint32_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        faults(STRICT, all[i], SF_FAULT_USE_AFTER_SEND, "after it was sent or freed");
    }
    faults(SMALL, "stale64k", SF_FAULT_USE_AFTER_SEND, "in stale at probe_slots.c:");
    faults(LARGE, "freed64k", SF_FAULT_USE_AFTER_SEND, "after it was sent or freed");
    faults(SMALL, "stale1m", SF_FAULT_USE_AFTER_SEND, "in stale at probe_slots.c:");
    faults(LARGE, "stale1m", SF_FAULT_USE_AFTER_SEND, "after it was sent or freed");
    create(1, SMALL, "late", "stale64"); /* as documented: a stale copy, its own */
    start(1);
    run_all();
    assert_non_null(end_of(1));
    assert_int_equal(end_of(1)->how, NK_END_EXITED);
}

static void a_block_that_went_straight_to_another_is_gone(void **state)
{
    static const struct {
        uint32_t sender, receiver;
        const char *mode;
    } cases[] = {{SMALL, SMALL, "straight1m"},
                 {LARGE, SMALL, "straight1m"},
                 {STRICT, LARGE, "straight1m"},
                 {STRICT, SMALL, "straight64"}};

    (void)state;
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        create(1, cases[i].receiver, "srv", "echo");
        create(2, cases[i].sender, "victim", cases[i].mode);
        wire(2, "srv.test");
        start(1);
        start(2);
        run_all();
        assert_faulted(2, SF_FAULT_USE_AFTER_SEND);
        assert_exited(1, 0); /* it got the block, and notices a closed channel */
    }
}

static const struct ct_contract *probe_contract(const char *message, uint8_t *out_tag)
{
    const struct ct_contract *contract;
    struct image *image = NULL;

    assert_int_equal(image_open(images[SMALL].data, images[SMALL].length, &image, NULL, 0), SF_OK);
    contract = fab_contract_find(nk_kernel_fabric(world.kernel),
                                 image_contract(image, "ProbeContract")->short_id);
    image_close(image);
    *out_tag = 0;
    while (strcmp(contract->messages[*out_tag].name, message) != 0) {
        ++*out_tag;
    }
    return contract;
}

/* The kernel's own side: what is sent from and to the heap is at home there. */
static void blocks_of_the_heap_come_and_go_whole(void **state)
{
    const uint64_t me = XH_OWNER(XH_OWNER_SERVICE, 1000);
    struct xh_heap *heap = nk_kernel_heap(world.kernel);
    struct fab_msg msg = {.arg_count = 1};
    const struct ct_contract *contract = probe_contract("Ping", &msg.tag);
    struct fab_ep *ep;

    (void)state;
    create(1, SMALL, "srv", "echo");
    start(1);
    assert_int_equal(fab_open(nk_kernel_fabric(world.kernel), NODE, "srv.test", contract, &ep),
                     SF_OK);
    for (uint32_t bytes = 5000; bytes < 4000000; bytes = bytes * 3 + 1) {
        assert_int_equal(xh_alloc(heap, bytes, me, &msg.args[0].block), SF_OK);
        memset(msg.args[0].block->data, 0xab, msg.args[0].block->capacity);
        msg.tag = 0; /* Ping */
        while (strcmp(contract->messages[msg.tag].name, "Ping") != 0) {
            msg.tag++;
        }
        assert_int_equal(fab_ep_send(ep, &msg, me), SF_OK);
        run_all();
        assert_int_equal(fab_ep_recv(ep, &msg, me), SF_OK);
        assert_int_equal(msg.args[0].block->bytes, bytes);
        assert_int_equal(msg.args[0].block->data[0], 0xab ^ 0xff);
        for (uint32_t i = 1; i < bytes; i++) {
            assert_int_equal(msg.args[0].block->data[i], 0xab);
        }
        assert_int_equal(xh_free(heap, msg.args[0].block, me), SF_OK);
    }
    fab_ep_close(ep, SF_CAUSE_OF(CLOSED_BY_PEER));
    run_all();
    assert_exited(1, 0);
}

/* Pieces that the heap's range is in. */
static uint32_t heap_pieces(void)
{
    const uint64_t from = XH_CELL_BASE + NODE * XH_NODE_STRIDE;
    FILE *maps = fopen("/proc/self/maps", "r");
    uint32_t count = 0;
    char line[512];

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        unsigned long long low, high;

        assert_int_equal(sscanf(line, "%llx-%llx", &low, &high), 2);
        count += low >= from && high <= from + XH_NODE_STRIDE;
    }
    (void)fclose(maps);
    return count;
}

static void blocks_of_whole_page_tables_bring_nothing_else_along(void **state)
{
    static const uint32_t of[][2] = {{SMALL, SMALL}, {SMALL, LARGE}, {LARGE, SMALL}};

    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        talks(of[i][0], "echotables", of[i][1], "talktables");
    }
    talks(SMALL, "echo", SMALL, "crowd");
    talks(LARGE, "echoslow", SMALL, "crowd");
    talks(STRICT, "echo", SMALL, "crowd");
    assert_int_equal(heap_pieces(), 1);
}

static uint64_t warm_count(void)
{
    struct xh_stats stats;

    xh_query(nk_kernel_heap(world.kernel), &stats);
    return stats.warm_count;
}

static void moving_blocks_leaves_nothing_behind(void **state)
{
    struct usage before, after;

    (void)state;
    talks(SMALL, "echo", SMALL, "talkmore");
    talks(SMALL, "echoslow", SMALL, "talkslow");
    xh_cool(nk_kernel_heap(world.kernel));
    before = usage_now();
    for (uint32_t i = 0; i < 3; i++) {
        talks(SMALL, "echo", SMALL, "talkmore");
        talks(SMALL, "echoslow", SMALL, "talkslow");
    }
    assert_true(warm_count() > 0);
    assert_int_equal(heap_pieces(), 1);
    xh_cool(nk_kernel_heap(world.kernel));
    after = usage_now();
    (void)printf("# mappings %u, then %u; resident %lu KiB, then %lu KiB\n", before.maps,
                 after.maps, before.resident_kib, after.resident_kib);
    assert_true(after.maps <= before.maps);
    assert_int_equal(heap_pieces(), 1); /* as it was made */
    assert_true(after.resident_kib <= before.resident_kib + 512);
}

/* --- whose bytes are in a new block -------------------------------------------------------------
 */

static void a_new_block_has_no_byte_of_another_sip(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < IMAGES * IMAGES; i++) {
        create(1, i / IMAGES, "before", "leave");
        start(1);
        run_all();
        assert_exited(1, 0);
        assert_true(warm_count() > 3);           /* or it would show nothing */
        create(1, i % IMAGES, "after", "zeros"); /* the same number: it is another all the same */
        start(1);
        run_all();
        assert_exited(1, 0);
    }
    assert_clean(0, 0);
}

static void sips_that_take_turns_see_their_own_bytes_only(void **state)
{
    const uint64_t me = XH_OWNER(XH_OWNER_SERVICE, 1000);
    struct xh_heap *heap = nk_kernel_heap(world.kernel);
    struct xh_block *block;

    (void)state;
    assert_int_equal(xh_alloc(heap, 48u << 20, me, &block), SF_OK); /* so that no page is empty */
    memset(block->data, 0xee, block->capacity);
    assert_int_equal(xh_free(heap, block, me), SF_OK);
    for (uint32_t i = 0; i < IMAGES; i++) {
        const char name[2] = {(char)('a' + i), 0};

        create(1 + i, i, name, "mingle");
        start(1 + i);
    }
    run_all();
    for (uint32_t i = 0; i < IMAGES; i++) {
        assert_exited(1 + i, 0);
    }
    assert_clean(0, 0);
}

/* What a service wrote into a SIP's block is not the SIP's, whoever frees it; nor is what it wrote
 * behind the end of a block that it sent. */
static void a_new_block_has_no_byte_of_a_service(void **state)
{
    const uint64_t me = XH_OWNER(XH_OWNER_SERVICE, 1000);
    struct xh_heap *heap = nk_kernel_heap(world.kernel);
    struct fab_node *fabric = nk_kernel_fabric(world.kernel);
    struct fab_msg msg = {.arg_count = 1};
    uint8_t ping;
    const struct ct_contract *contract = probe_contract("Ping", &ping);
    struct fab_ep *ep, *ends[2];

    (void)state;
    create(1, SMALL, "srv", "answer");
    start(1);
    assert_int_equal(fab_open(fabric, NODE, "srv.test", contract, &ep), SF_OK);
    for (uint32_t round = 0; round < 12; round++) {
        uint32_t bytes = round % 2 == 0 ? 100 : 1 << 16;
        assert_int_equal(xh_alloc(heap, bytes, me, &msg.args[0].block), SF_OK);
        memset(msg.args[0].block->data, 0xee, bytes);
        if (round % 2 != 0) {
            assert_int_equal(xh_trim(heap, msg.args[0].block, 20000), SF_OK);
        }
        msg.tag = ping;
        assert_int_equal(fab_ep_send(ep, &msg, me), SF_OK);
        run_all();
        assert_int_equal(fab_ep_recv(ep, &msg, me), SF_OK);
        assert_int_equal(msg.args[0].block->bytes, 1 << 16);
        memset(msg.args[0].block->data, 0xee, 1 << 16);
        if (round % 3 == 0) {
            assert_int_equal(xh_free(heap, msg.args[0].block, me), SF_OK);
        } else { /* it is freed as part of a message that is not received */
            assert_int_equal(fab_chan_create(fabric, contract, 0, &ends[0], &ends[1]), SF_OK);
            msg.tag = ping;
            assert_int_equal(fab_ep_send(ends[0], &msg, me), SF_OK);
            fab_ep_close(ends[round % 3 - 1], SF_CAUSE_OF(CLOSED_BY_PEER));
            fab_ep_close(ends[2 - round % 3], SF_CAUSE_OF(CLOSED_BY_PEER));
        }
        assert_int_equal(warm_count(), 1);
    }
    fab_ep_close(ep, SF_CAUSE_OF(CLOSED_BY_PEER));
    run_all();
    assert_exited(1, 0);
}

static void half_a_pair(const char *mode, uint32_t bytes)
{
    const uint64_t me = XH_OWNER(XH_OWNER_SERVICE, 1000);
    struct xh_heap *heap = nk_kernel_heap(world.kernel);
    struct fab_node *fabric = nk_kernel_fabric(world.kernel);
    struct fab_msg msg = {.arg_count = 2};
    const struct ct_contract *contract = probe_contract("Two", &msg.tag);
    struct fab_ep *ep;

    create(1, SMALL, "srv", mode);
    start(1);
    assert_int_equal(fab_open(fabric, NODE, "srv.test", contract, &ep), SF_OK);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(xh_alloc(heap, bytes, me, &msg.args[i].block), SF_OK);
        memset(msg.args[i].block->data, 0xee, bytes);
    }
    assert_int_equal(fab_ep_send(ep, &msg, me), SF_OK);
    run_all();
    assert_exited(1, 0);
    fab_ep_close(ep, SF_CAUSE_OF(CLOSED_BY_PEER));
}

static void a_new_block_has_no_byte_of_a_message_that_found_no_room(void **state)
{
    (void)state;
    half_a_pair("halfpair", 1 << 20);
    half_a_pair("halfpair64k", 1 << 16);
}

/* Mapped in the slot of the SIP, and inaccessible. */
static uint64_t parked_bytes(uint32_t image)
{
    const uint64_t slot = slot_of(image);
    FILE *maps = fopen("/proc/self/maps", "r");
    struct mapping m;
    uint64_t bytes = 0;

    assert_non_null(maps);
    while (mapping_next(maps, &m)) {
        if (m.low >= slot && m.high <= slot + stride_of(image) && strcmp(m.access, "---p") == 0) {
            bytes += m.high - m.low;
        }
    }
    (void)fclose(maps);
    return bytes;
}

/* Has a SIP answer a block; of its pages `bytes_parked` wait for the next then. */
static void echo_parks(struct fab_ep *ep, uint8_t tag, uint32_t image, uint32_t bytes,
                       uint64_t bytes_parked)
{
    const uint64_t me = XH_OWNER(XH_OWNER_SERVICE, 1000);
    struct xh_heap *heap = nk_kernel_heap(world.kernel);
    struct fab_msg msg = {.arg_count = 1, .tag = tag};

    assert_int_equal(xh_alloc(heap, bytes, me, &msg.args[0].block), SF_OK);
    memset(msg.args[0].block->data, 0x5a, bytes);
    assert_int_equal(fab_ep_send(ep, &msg, me), SF_OK);
    run_all();
    assert_int_equal(fab_ep_recv(ep, &msg, me), SF_OK);
    assert_int_equal(msg.args[0].block->bytes, bytes);
    assert_int_equal(msg.args[0].block->data[bytes - 1], 0x5a);
    assert_int_equal(xh_free(heap, msg.args[0].block, me), SF_OK);
    assert_int_equal(parked_bytes(image), bytes_parked);
}

static void pages_of_a_copied_block_wait_for_the_next(void **state)
{
    static const uint32_t each[] = {SMALL, LARGE, STRICT};
    struct fab_node *fabric = nk_kernel_fabric(world.kernel);
    uint8_t tag;
    const struct ct_contract *contract = probe_contract("Ping", &tag);
    struct fab_ep *ep;

    (void)state;
    for (uint32_t i = 0; i < IMAGES; i++) {
        const uint64_t one = each[i] != STRICT;

        create(1, each[i], "srv", "echo");
        start(1);
        assert_int_equal(fab_open(fabric, NODE, "srv.test", contract, &ep), SF_OK);
        echo_parks(ep, tag, each[i], 1 << 16, one << 16);
        echo_parks(ep, tag, each[i], 1 << 16, one << 16);
        echo_parks(ep, tag, each[i], 20000, one * 20480);
        echo_parks(ep, tag, each[i], 64, one * 20480);
        echo_parks(ep, tag, each[i], 1 << 20, one * 20480);
        fab_ep_close(ep, SF_CAUSE_OF(CLOSED_BY_PEER));
        run_all();
        assert_exited(1, 0);
    }
}

static void a_block_with_warm_pages_that_was_freed_is_gone(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < IMAGES; i++) {
        create(1, i, "before", "leave");
        start(1);
        run_all();
        faults(i, "warmfirst", SF_FAULT_USE_AFTER_SEND, "after it was sent or freed");
        faults(i, "warmlast", SF_FAULT_USE_AFTER_SEND, "after it was sent or freed");
    }
}

/* A sip with a block on its way to it is stopped; one that sends is. */
static void ends_in_the_middle_of_a_hand_over_reclaim_it(void **state)
{
    (void)state;
    for (uint64_t budget = 1; budget < 40; budget++) {
        create(1, SMALL, "srv", budget % 2 == 0 ? "echo" : "echoslow");
        create(2, SMALL, "cli", "talkmore");
        wire(2, "srv.test");
        start(1);
        start(2);
        for (uint64_t i = 0; i < budget + 3; i++) {
            (void)nk_run(world.kernel, 1, now());
        }
        assert_int_equal(nk_sip_stop(world.kernel, budget % 3 == 0 ? 1 : 2, SF_CAUSE_OF(REVOKED)),
                         SF_OK);
        if (nk_sip_stop(world.kernel, budget % 3 == 0 ? 2 : 1, SF_CAUSE_OF(REVOKED)) != SF_OK) {
            run_all();
        }
    }
    assert_clean_slot(SMALL, 1);
}

/* --- no mapping left -----------------------------------------------------------------------------
 */

#ifndef __SANITIZE_ADDRESS__ /* which ends the process when it gets no mapping itself */
#define HOG_MAX 70000u
#define HOG_MORE 8u

struct hog {
    uint8_t *area;
    void *more[HOG_MORE];
    uint32_t count;
};

/* Takes mappings until none is left but `spare`. */
static void hog_take(struct hog *hog, uint32_t spare)
{
    hog->count = 0;
    hog->area = mmap(NULL, 2ull * HOG_MAX * 4096, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(hog->area != MAP_FAILED);
    while (hog->count < HOG_MAX &&
           mprotect(hog->area + 2ull * 4096 * hog->count, 4096, PROT_READ) == 0) {
        hog->count++;
    }
    assert_true(hog->count < HOG_MAX); /* max_map_count is larger: the caller has looked */
    /* Linux lets mmap take some more than mprotect may split off. */
    for (uint32_t i = 0; i < HOG_MORE; i++) {
        hog->more[i] =
            mmap(NULL, 4096, i % 2 == 0 ? PROT_READ : PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    }
    /* Blocks cannot be moved any more. */
    assert_ptr_equal(mremap(hog->area, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED,
                            hog->area + 2ull * 4096 * (HOG_MAX - 1)),
                     MAP_FAILED);
    assert_int_equal(errno, ENOMEM);
    for (uint32_t i = 0; i < spare; i++) {
        assert_int_equal(mprotect(hog->area + 2ull * 4096 * (hog->count - 1 - i), 4096, PROT_NONE),
                         0);
    }
}

static void hog_end(struct hog *hog)
{
    (void)munmap(hog->area, 2ull * HOG_MAX * 4096);
    for (uint32_t i = 0; i < HOG_MORE; i++) {
        if (hog->more[i] != MAP_FAILED) {
            (void)munmap(hog->more[i], 4096);
        }
    }
}

/* Slots that were never used before cannot be had; the text says what to do. */
static void no_new_slots(void)
{
    struct nk_sip_options options = {.image_digest = digests[SMALL]};
    char text[256] = "";

    for (uint64_t i = 30; i < 44 && text[0] == '\0'; i++) {
        const char name[4] = {'m', (char)('a' + i - 30), 0};

        options.number = i;
        options.name = name;
        world.ends[i].ended = false; /* one of that number may have */
        if (nk_sip_create(world.kernel, &options, text, sizeof(text)) == SF_OK) {
            text[0] = '\0';
        }
    }
    assert_non_null(strstr(text, "max_map_count"));
    for (uint64_t i = 30; nk_sip_stop(world.kernel, i, SF_CAUSE_OF(REVOKED)) == SF_OK; i++) {
    }
}

static uint64_t messages(void)
{
    struct nk_stats stats;

    nk_query(world.kernel, &stats);
    return stats.messages;
}

#define STARVE_MESSAGES 40u /* of 5,000 */

/* early: before the first block is made, else while two sips exchange one. */
static void starve(uint32_t spare, bool early)
{
    struct hog hog;
    uint64_t exchanged;

    create(1, SMALL, "srv", "starveecho");
    create(2, SMALL, "cli", "starve");
    wire(2, "srv.test");
    start(1);
    start(2);
    exchanged = early ? 0 : messages() + STARVE_MESSAGES;
    while (messages() < exchanged) {
        (void)nk_run(world.kernel, 1, now());
    }
    hog_take(&hog, spare);
    for (uint32_t i = 0; i < 200; i++) {
        (void)nk_run(world.kernel, 10, now());
    }
    if (spare == 0) {
        no_new_slots();
    }
    hog_end(&hog);
    run_all();
    assert_exited(2, 0);
    assert_exited(1, 0);
    assert_int_equal(strcmp(world.log, "tries 0") != 0, early && spare == 0);
}

static void without_mappings_blocks_wait_or_are_copied(void **state)
{
    uint32_t limit = 0;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "r");

    (void)state;
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%u", &limit), 1);
    (void)fclose(file);
    if (limit > HOG_MAX) {
        print_message("# skipped: vm.max_map_count is %u\n", limit);
        skip();
    }
    for (uint32_t spare = 0; spare < 6; spare += 2) {
        starve(spare, true);
        starve(spare, false);
    }
}
#endif

/* --- all of it -----------------------------------------------------------------------------------
 */

static void in_world(void **state)
{
    slots_make(false);
    world_body(state);
    world_end();
}

static void in_copying_world(void **state)
{
    slots_make(true);
    world_body(state);
    world_end();
}

#define TEST(body) WORLD_TEST(in_world, body)
#define TEST_COPYING(body)                                                                         \
    {                                                                                              \
        .name = #body "_also_by_copying", .test_func = in_copying_world,                           \
        .initial_state = (void *)(body),                                                           \
    }

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        TEST(a_recycled_small_slot_has_no_byte_of_the_sip_before),
        TEST(a_recycled_large_slot_has_no_byte_of_the_sip_before),
        TEST(a_recycled_strict_slot_has_no_byte_of_the_sip_before),
        TEST(a_large_sip_uses_256_mib_and_leaves_none_of_it),
        TEST(large_memory_ends_where_memory_size_says),
        TEST(no_large_address_leaves_the_slot),
        TEST(large_slots_run_out_and_say_so),
        cmocka_unit_test(large_slots_follow_from_the_node_id),
        TEST(blocks_of_all_sizes_arrive_whole_whoever_waits),
        TEST(blocks_of_whole_page_tables_bring_nothing_else_along),
        TEST_COPYING(blocks_of_all_sizes_arrive_whole_whoever_waits),
        TEST(a_block_that_was_given_away_is_gone),
        TEST_COPYING(a_block_that_was_given_away_is_gone),
        TEST(a_block_that_went_straight_to_another_is_gone),
        TEST(blocks_of_the_heap_come_and_go_whole),
        TEST_COPYING(blocks_of_the_heap_come_and_go_whole),
        TEST(moving_blocks_leaves_nothing_behind),
        TEST(a_new_block_has_no_byte_of_another_sip),
        TEST_COPYING(a_new_block_has_no_byte_of_another_sip),
        TEST(sips_that_take_turns_see_their_own_bytes_only),
        TEST_COPYING(sips_that_take_turns_see_their_own_bytes_only),
        TEST(a_new_block_has_no_byte_of_a_service),
        TEST(a_new_block_has_no_byte_of_a_message_that_found_no_room),
        TEST_COPYING(a_new_block_has_no_byte_of_a_message_that_found_no_room),
        TEST_COPYING(pages_of_a_copied_block_wait_for_the_next),
        TEST(a_block_with_warm_pages_that_was_freed_is_gone),
        TEST(ends_in_the_middle_of_a_hand_over_reclaim_it),
#ifndef __SANITIZE_ADDRESS__
        TEST(without_mappings_blocks_wait_or_are_copied),
#endif
    };

    if (argc != 1 + IMAGES) {
        (void)fprintf(stderr, "usage: slots_test probe.sip probe_large.sip probe_strict.sip\n");
        return 2;
    }
    for (uint32_t i = 0; i < IMAGES; i++) {
        images[i] = file_read(argv[1 + i]);
    }
    return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
