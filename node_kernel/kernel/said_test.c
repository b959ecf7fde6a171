/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nk_when_said: what a SIP sends to another node, and then waits for the answer, may leave at once.
 * argv[1] is probe.sip. The other node is a fabric without a kernel, in this program; frames go
 * from hand to hand.
 */
#include <stdio.h>
#include <string.h>

#include "contracts/table.h"
#include "internal.h"
#include "test_world.h"

#define OTHER 9u
#define MTU 1024u
#define ROUNDS 20u

static struct bytes image;
static uint8_t digest[IMAGE_DIGEST_BYTES];

static const struct world_options said_world = {
    .kernel = {.worker_count = 2,
               .slot_first = 100,
               .slot_count = 64,
               .heap_bytes = 64u << 20,
               .tick_ns = 1000000},
    .config = {"answer", "42"},
    .run_seconds_max = 40,
};

static struct {
    struct xh_heap *heap;
    struct fab_node *fabric;
    struct fab_ep *ends[2]; /* opened by the SIPs */
    uint32_t end_count;
} other;
static uint32_t said_count;   /* calls */
static uint32_t said_frames;  /* sent in them */
static uint32_t frames_after; /* sent when nk_run was over */

static void on_opened(void *arg, uint64_t export_owner, const char *export_name, struct fab_ep *exp)
{
    (void)arg;
    (void)export_owner;
    (void)export_name;
    assert_true(other.end_count < 2);
    other.ends[other.end_count++] = exp;
}

/* Locked, if `from` is the kernel's. One frame; false: there is none. */
static bool frame_move(struct fab_node *from, struct fab_node *to, uint16_t from_id, uint16_t to_id)
{
    uint8_t bytes[MTU];
    uint32_t length;

    if (fab_tx_pending(from) != to_id) {
        return false;
    }
    length = fab_tx(from, to_id, bytes, sizeof(bytes), now());
    assert_true(length > 0);
    fab_rx(to, from_id, bytes, length, now());
    return true;
}

/* Both ways, until there is no more. */
static void frames_move(void)
{
    struct fab_node *here = nk_kernel_fabric(world.kernel);
    bool any = true;

    nk_lock(world.kernel);
    while (any) {
        any = false;
        while (frame_move(here, other.fabric, NODE, OTHER)) {
            frames_after++;
            any = true;
        }
        any |= frame_move(other.fabric, here, OTHER, NODE);
    }
    nk_unlock(world.kernel);
}

static void on_said(void *arg)
{
    assert_ptr_equal(arg, &other);
    said_count++;
    nk_lock(world.kernel);
    while (frame_move(nk_kernel_fabric(world.kernel), other.fabric, NODE, OTHER)) {
        said_frames++;
    }
    nk_unlock(world.kernel);
}

static const struct ct_contract *probe_contract(void)
{
    const struct image *probe = world.kernel->images->image;

    for (uint32_t i = 0; i < probe->contract_count; i++) {
        if (strcmp(probe->contracts[i]->name, "ProbeContract") == 0) {
            return probe->contracts[i];
        }
    }
    fail_msg("probe.sip has no ProbeContract");
    return NULL;
}

static uint8_t sum_tag(void)
{
    const struct ct_contract *contract = probe_contract();
    uint8_t tag = 0;

    while (strcmp(contract->messages[tag].name, "Sum") != 0) {
        tag++;
        assert_true(tag < contract->message_count);
    }
    return tag;
}

static void other_make(void)
{
    struct xh_options heap = {.range_bytes = 16u << 20};
    struct fab_options options = {
        .node_id = OTHER, .epoch = 1, .events = {.opened = on_opened}, .endpoint_count_max = 16};
    struct fab_peer peer = {.node_id = NODE, .epoch = 1, .mtu_bytes = MTU, .steady = true};

    memset(&other, 0, sizeof(other));
    assert_int_equal(xh_heap_create(&heap, &other.heap), SF_OK);
    options.heap = other.heap;
    assert_int_equal(fab_node_create(&options, &other.fabric), SF_OK);
    assert_int_equal(fab_export_add(other.fabric, "far", probe_contract(), 1), SF_OK);
    assert_int_equal(fab_peer_add(other.fabric, &peer, now()), SF_OK);
    peer.node_id = OTHER;
    nk_lock(world.kernel);
    assert_int_equal(fab_peer_add(nk_kernel_fabric(world.kernel), &peer, now()), SF_OK);
    nk_unlock(world.kernel);
    frames_move();
    said_count = said_frames = frames_after = 0;
}

static void other_end(void)
{
    nk_lock(world.kernel);
    fab_peer_remove(nk_kernel_fabric(world.kernel), OTHER, SF_CAUSE_OF(SHUTDOWN));
    nk_unlock(world.kernel);
    fab_node_destroy(other.fabric);
    xh_heap_destroy(other.heap);
}

/* SIP `number` asks the other node for a sum, again and again. */
static void chatter(uint64_t number, uint32_t worker)
{
    char text[256] = "";

    sip_create(number, number == 1 ? "one" : "two", digest, "chatter", worker);
    if (nk_sip_wire(world.kernel, number, "peer", OTHER, "far", text, sizeof(text)) != SF_OK) {
        fail_msg("%s", text);
    }
    frames_move();
    assert_int_equal(other.end_count, number);
}

/* Answers who has asked; how many had. */
static uint32_t answer(void)
{
    uint32_t answered = 0;

    for (uint32_t i = 0; i < other.end_count; i++) {
        struct fab_msg msg;

        if (fab_ep_recv(other.ends[i], &msg, 1) == SF_OK) {
            struct fab_msg sum = {.tag = sum_tag(), .arg_count = 2};

            assert_int_equal(fab_ep_send(other.ends[i], &sum, 1), SF_OK);
            answered++;
        }
    }
    return answered;
}

/* Until nothing is ready. */
static void run_here(void)
{
    while (nk_run(world.kernel, 100, now())) {
    }
}

static void a_message_leaves_before_its_sip_waits(void **state)
{
    (void)state;
    nk_when_said(world.kernel, on_said, &other);
    chatter(1, 1);
    frames_after = 0;
    start(1);
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        run_here();
        assert_int_equal(said_count, round);
        assert_int_equal(said_frames, round);
        assert_int_equal(frames_after, 0);
        assert_int_equal(answer(), 1);
        nk_lock(world.kernel);
        assert_true(frame_move(other.fabric, nk_kernel_fabric(world.kernel), OTHER, NODE));
        nk_unlock(world.kernel);
    }
    nk_when_said(world.kernel, NULL, NULL);
    run_here();
    assert_int_equal(said_count, ROUNDS);
    frames_move();
    assert_int_equal(frames_after, 1);
    stop(1);
}

/* They may have more to say, which can share a frame. */
static void nothing_leaves_early_while_other_sips_are_ready(void **state)
{
    (void)state;
    nk_when_said(world.kernel, on_said, &other);
    chatter(1, 1);
    chatter(2, 1);
    start(1);
    start(2);
    run_here();
    assert_int_equal(said_count, 1);
    assert_int_equal(said_frames, 1);
    assert_int_equal(answer(), 2);
    nk_when_said(world.kernel, NULL, NULL);
    stop(1);
    stop(2);
}

/* Whoever moves frames is worker 0's thread. */
static void other_workers_only_queue(void **state)
{
    (void)state;
    nk_when_said(world.kernel, on_said, &other);
    chatter(1, 2);
    start(1);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        const uint64_t end_ns = now() + 20000000000u;

        while (answer() == 0) {
            assert_true(now() < end_ns);
            (void)nk_run(world.kernel, 100, now());
            frames_move();
        }
        frames_move();
    }
    assert_int_equal(said_count, 0);
    nk_when_said(world.kernel, NULL, NULL);
    stop(1);
}

static void in_world(void **state)
{
    world_make(&said_world);
    image_add(&image, digest);
    other_make();
    world_body(state);
    other_end();
    world_end();
}

#define TEST(body) WORLD_TEST(in_world, body)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        TEST(a_message_leaves_before_its_sip_waits),
        TEST(nothing_leaves_early_while_other_sips_are_ready),
        TEST(other_workers_only_queue),
    };

    if (argc != 2) {
        (void)fprintf(stderr, "usage: said_test probe.sip\n");
        return 2;
    }
    image = file_read(argv[1]);
    return cmocka_run_group_tests_name("said", tests, NULL, NULL);
}
