/* SPDX-License-Identifier: Apache-2.0 */
#include "hostile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLOTS 96u
#define SIPS_MAX 128u
#define RUN_SECONDS_MAX 30u
#define ATTACK_MS 20u /* so long those attack that are killed in the end */

/* Numbers of SIPs. */
enum { WITNESS = 1, SERVER = 3, CLIENT = 6, FINISH = 9, PEER = 19, BEFORE, ATTACKER = 32 };
#define PAIRS 3u

struct counts {
    uint32_t sips, endpoints, slots_free;
    uint64_t blocks;
};

/* Besides test_world.h's. */
static struct {
    uint8_t digest[IMAGE_DIGEST_BYTES];
    bool ready[SIPS_MAX];
    uint32_t taken, bad_lines;
    struct counts before;
    uint64_t witnesses[2];
} seen;

/* --- events -------------------------------------------------------------------------------------
 */

static bool is_control(const uint8_t *text, uint32_t at, uint32_t bytes)
{
    return text[at] < 0x20 || text[at] == 0x7f ||
           (text[at] == 0xc2 && at + 1 < bytes && text[at + 1] >= 0x80 && text[at + 1] <= 0x9f);
}

static void on_log(uint64_t sip, const char *text, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        seen.bad_lines += is_control((const uint8_t *)text, i, bytes);
    }
    if (bytes == 5 && memcmp(text, "ready", 5) == 0) {
        seen.ready[sip] = true;
    } else if (bytes == 5 && memcmp(text, "taken", 5) == 0) {
        seen.taken++;
    } else if (bytes < 200) {
        (void)printf("# %llu: %.*s\n", (unsigned long long)sip, (int)bytes, text);
    }
}

static void on_ended(const struct nk_sip_end *end)
{
    if (end->report != NULL && end->sip <= ATTACKER) {
        (void)printf("# %.*s\n", (int)strcspn(end->report, "\n"), end->report);
    }
}

/* --- SIPs ---------------------------------------------------------------------------------------
 */

/* worker: 0 or 1; there it stays. */
static void create(uint64_t number, const uint8_t *digest, const char *mode, uint32_t worker)
{
    char name[16];

    (void)snprintf(name, sizeof(name), "s%u", (unsigned)number);
    sip_create(number, name, digest, mode, worker + 1);
}

static void wire_to(uint64_t number, uint64_t to)
{
    char export_name[32];

    (void)snprintf(export_name, sizeof(export_name), "s%u.test", (unsigned)to);
    wire(number, export_name);
}

static void run_some(void)
{
    if (!nk_run(world.kernel, 100, now())) {
        struct timespec t = {0, 50000};

        (void)nanosleep(&t, NULL);
    }
}

static void run_until(const bool *what, const char *name, uint64_t number)
{
    uint64_t end = now() + RUN_SECONDS_MAX * 1000000000ull;

    while (!__atomic_load_n(what, __ATOMIC_RELAXED)) {
        run_some();
        if (now() > end) {
            fail_msg("SIP %u is not %s", (unsigned)number, name);
        }
    }
}

static void run_ms(uint32_t ms)
{
    uint64_t end = now() + ms * 1000000ull;

    while (now() < end) {
        run_some();
    }
}

static void assert_exits(uint64_t number, int code)
{
    run_until(&world.ends[number].ended, "at its end", number);
    if (world.ends[number].how != NK_END_EXITED || world.ends[number].exit_code != code) {
        fail_msg("SIP %u: end %d, code %d, fault %d; must exit with %d", (unsigned)number,
                 world.ends[number].how, world.ends[number].exit_code, world.ends[number].fault,
                 code);
    }
}

/* --- what must stay as it is --------------------------------------------------------------------
 */

static uint64_t mix(uint64_t hash, const void *from, size_t bytes)
{
    const uint8_t *at = from;

    for (size_t i = 0; i < bytes; i++) {
        hash = (hash ^ at[i]) * 0x100000001b3ull;
    }
    return hash;
}

static uint64_t mix_block(uint64_t hash, const struct nk_sip *witness, uint64_t address,
                          const struct xh_block *block)
{
    hash = mix(hash, &block, sizeof(block));
    hash = mix(hash, &block->owner, sizeof(block->owner));
    hash = mix(hash, &block->bytes, sizeof(block->bytes));
    return mix(hash, witness->memory + address, block->bytes);
}

/* All bytes a SIP can reach, which blocks it holds, and its endpoints with their states. Paused. */
static uint64_t digest_of(const struct nk_sip *witness)
{
    const struct nk_window *window = &witness->window;
    uint64_t hash = mix(0xcbf29ce484222325ull, witness->memory, witness->memory_bytes);

    for (uint32_t i = 0; i < window->span_high; i++) {
        const struct nk_span *span = &window->spans[i];
        uint64_t at = window->offset + ((uint64_t)i << NK_SPAN_SHIFT);

        if (span->kind == NK_SPAN_RUN) {
            hash = mix_block(hash, witness, at, span->u.block);
        }
        if (span->kind == NK_SPAN_CELLS) { /* all of it is accessible, used or not */
            hash = mix(hash, witness->memory + at, 1u << NK_SPAN_SHIFT);
        }
        for (uint32_t k = 0; span->kind == NK_SPAN_CELLS && k < 65536u >> span->shift; k++) {
            if ((span->u.cells[k] & 1) == 0) {
                hash = mix_block(hash, witness, at + ((uint64_t)k << span->shift),
                                 (const struct xh_block *)span->u.cells[k]);
            }
        }
    }
    for (uint32_t i = 1; i < nk__port_end(witness); i++) {
        const struct nk_port *port = nk__port_at(witness, i);

        if (port->state != NK_PORT_FREE) {
            uint32_t values[] = {i, port->handle, fab_ep_state(port->ep),
                                 fab_ep_readable(port->ep)};

            hash = mix(hash, values, sizeof(values));
        }
    }
    return hash;
}

/* Also audits. */
static struct counts counts_now(void)
{
    struct counts counts = {0};
    struct nk_stats stats;
    struct xh_stats heap;

    nk_pause(world.kernel);
    assert_audits();
    nk_query(world.kernel, &stats);
    xh_query(nk_kernel_heap(world.kernel), &heap);
    counts.endpoints = endpoint_count();
    counts.sips = stats.sip_count;
    counts.blocks = heap.block_count;
    counts.slots_free = world.kernel->slots[NK_SMALL].free_count;
    nk_resume(world.kernel);
    return counts;
}

static void assert_counts(const struct counts *expected)
{
    struct counts counts = counts_now();

    assert_int_equal(counts.sips, expected->sips);
    assert_int_equal(counts.endpoints, expected->endpoints);
    assert_int_equal(counts.blocks, expected->blocks);
    assert_int_equal(counts.slots_free, expected->slots_free);
}

static void witnesses_look(uint64_t out[2])
{
    nk_pause(world.kernel);
    for (uint32_t i = 0; i < 2; i++) {
        const struct nk_sip *witness = nk__sip_find(world.kernel, WITNESS + i);

        assert_non_null(witness);
        assert_int_equal(witness->state, NK_SIP_WAITING);
        assert_int_equal(witness->block_count, 7);
        assert_int_equal(witness->port_count, 5);
        out[i] = digest_of(witness);
    }
    nk_resume(world.kernel);
}

/* --- the world ----------------------------------------------------------------------------------
 */

/* Each says that it is ready, and then only accepts. */
static bool witnesses_wait(void)
{
    bool wait = true;

    nk_pause(world.kernel);
    for (uint32_t i = 0; i < 2; i++) {
        const struct nk_sip *witness = nk__sip_find(world.kernel, WITNESS + i);

        wait = wait && (witness == NULL || witness->state == NK_SIP_WAITING);
    }
    nk_resume(world.kernel);
    return wait;
}

static void witnesses_make(void)
{
    for (uint32_t i = 0; i < 2; i++) {
        create(WITNESS + i, seen.digest, "witness", i);
        start(WITNESS + i);
    }
    run_until(&seen.ready[WITNESS], "ready", WITNESS);
    run_until(&seen.ready[WITNESS + 1], "ready", WITNESS + 1);
    for (uint64_t end = now() + RUN_SECONDS_MAX * 1000000000ull; !witnesses_wait();) {
        run_ms(1);
        assert_true(now() < end);
    }
    witnesses_look(seen.witnesses);
    seen.before = counts_now();
}

static void innocents_make(void)
{
    for (uint32_t i = 0; i < PAIRS; i++) { /* both on 0, both on 1, one on each */
        create(SERVER + i, seen.digest, "server", i & 1);
        create(CLIENT + i, seen.digest, "client", i > 0);
        wire_to(CLIENT + i, SERVER + i);
        start(SERVER + i);
        start(CLIENT + i);
    }
    for (uint32_t i = 0; i < PAIRS; i++) {
        run_until(&seen.ready[CLIENT + i], "ready", CLIENT + i);
    }
}

/* Those that talk or wait end when somebody opens a channel to them. */
static void finish(uint64_t number)
{
    create(FINISH + number, seen.digest, "finish", number & 1);
    wire_to(FINISH + number, number);
    start(FINISH + number);
    assert_exits(number, 0);
    assert_exits(FINISH + number, 0);
}

static void innocents_end(void)
{
    for (uint32_t i = 0; i < PAIRS; i++) {
        assert_false(world.ends[CLIENT + i].ended);
    }
    for (uint32_t i = 0; i < PAIRS; i++) {
        finish(CLIENT + i);
        assert_exits(SERVER + i, 0);
    }
}

static void attack_begin(void)
{
    static const struct world_options options = {
        .kernel = {.worker_count = 2,
                   .slot_first = 100,
                   .slot_count = SLOTS,
                   .heap_bytes = 128u << 20,
                   .tick_ns = 1000000},
        .run_seconds_max = RUN_SECONDS_MAX,
        .on_log = on_log,
        .on_ended = on_ended,
    };

    memset(&seen, 0, sizeof(seen));
    world_make(&options);
    world.quiet = true; /* hundreds of SIPs fault */
    image_add(&hostile_images[HOSTILE_PLAIN], seen.digest);
    witnesses_make();
    innocents_make();
}

static void attack_end(void)
{
    const struct counts nothing = {.slots_free = SLOTS};
    uint64_t digests[2];

    assert_counts(&seen.before);
    witnesses_look(digests);
    assert_int_equal(digests[0], seen.witnesses[0]);
    assert_int_equal(digests[1], seen.witnesses[1]);
    finish(WITNESS);
    finish(WITNESS + 1);
    assert_counts(&nothing);
    assert_int_equal(seen.bad_lines, 0);
    world_end();
}

/* --- attacks ------------------------------------------------------------------------------------
 */

static void attackers_make(const struct hostile_attack *attack, const uint8_t *digest)
{
    uint32_t crowd = attack->crowd == 0 ? 1 : attack->crowd;

    if (attack->before != NULL) {
        create(BEFORE, seen.digest, attack->before, 0);
        start(BEFORE);
        assert_exits(BEFORE, 0);
    }
    if (attack->peer != NULL) {
        create(PEER, seen.digest, attack->peer, 1);
        start(PEER);
    }
    for (uint32_t i = 0; i < crowd; i++) {
        create(ATTACKER + i, digest, attack->mode, i & 1);
        if (attack->peer != NULL) {
            wire_to(ATTACKER + i, PEER);
        }
        start(ATTACKER + i);
    }
    for (uint32_t i = 0; i < attack->wires; i++) {
        uint64_t end = now() + RUN_SECONDS_MAX * 1000000000ull;

        while (seen.taken < i + 1) {
            run_some();
            assert_true(now() < end);
        }
        wire_to(ATTACKER, PEER);
    }
}

static void assert_end(uint64_t number, const struct hostile_end *end)
{
    static const int how[] = {
        [EXITS] = NK_END_EXITED, [FAULTS] = NK_END_FAULTED, [IS_KILLED] = NK_END_STOPPED};
    int code;

    if (end->how == IS_KILLED) {
        if (world.ends[number].ended) {
            fail_msg("SIP %u ended by itself: end %d, code %d, fault %d", (unsigned)number,
                     world.ends[number].how, world.ends[number].exit_code,
                     world.ends[number].fault);
        }
        assert_int_equal(nk_sip_stop(world.kernel, number, SF_CAUSE_OF(REVOKED)), SF_OK);
    }
    run_until(&world.ends[number].ended, "at its end", number);
    if (end->if_ticked != 0 && world.ends[number].how == NK_END_FAULTED &&
        world.ends[number].fault == end->if_ticked) {
        return;
    }
    code = end->how == EXITS ? world.ends[number].exit_code : world.ends[number].fault;
    if (world.ends[number].how != how[end->how] || (end->how != IS_KILLED && code != end->code)) {
        fail_msg("SIP %u: end %d, code %d, fault %d; must be end %d, code or fault %d",
                 (unsigned)number, world.ends[number].how, world.ends[number].exit_code,
                 world.ends[number].fault, how[end->how], end->code);
    }
}

void hostile_run(const struct hostile_attack *attack, const struct bytes *image)
{
    uint32_t crowd = attack->crowd == 0 ? 1 : attack->crowd;
    uint8_t digest[IMAGE_DIGEST_BYTES];

    attack_begin();
    memcpy(digest, seen.digest, sizeof(digest));
    if (image != NULL || attack->image != HOSTILE_PLAIN) {
        image_add(image != NULL ? image : &hostile_images[attack->image], digest);
    }
    attackers_make(attack, digest);
    if (attack->end.how == IS_KILLED) { /* the others get on while it lasts */
        run_ms(ATTACK_MS);
        innocents_end();
    }
    for (uint32_t i = 0; i < crowd; i++) {
        assert_end(ATTACKER + i, &attack->end);
    }
    if (attack->peer != NULL && strcmp(attack->peer, "deaf") != 0) {
        assert_exits(PEER, 0);
    } else if (attack->peer != NULL) {
        assert_int_equal(nk_sip_stop(world.kernel, PEER, SF_CAUSE_OF(SHUTDOWN)), SF_OK);
    }
    if (attack->end.how != IS_KILLED) {
        innocents_end();
    }
    attack_end();
}

void hostile_refused(const struct bytes *image, const char *rule)
{
    uint8_t digest[IMAGE_DIGEST_BYTES] = {0};
    struct nk_config config[] = {{"mode", "leave_at_once"}};
    struct nk_sip_options options = {.number = ATTACKER,
                                     .name = "attacker",
                                     .image_digest = digest,
                                     .config = config,
                                     .config_count = 1};
    char text[256] = "";

    attack_begin();
    assert_int_not_equal(
        nk_image_add(world.kernel, image->data, image->length, digest, text, sizeof(text)), SF_OK);
    if (strstr(text, rule) == NULL) {
        fail_msg("refused by \"%s\", must be by %s", text, rule);
    }
    assert_int_not_equal(nk_sip_create(world.kernel, &options, NULL, 0), SF_OK);
    assert_int_equal(nk_image_add(world.kernel, hostile_images[HOSTILE_PLAIN].data,
                                  hostile_images[HOSTILE_PLAIN].length, digest, NULL, 0),
                     SF_EXISTS);
    run_ms(2);
    innocents_end();
    attack_end();
}

/* --- images -------------------------------------------------------------------------------------
 */

struct parts parts_open(const struct bytes *image)
{
    struct parts parts;
    uint32_t manifest_bytes;
    uint64_t elf[2];

    memcpy(&manifest_bytes, image->data + 8, sizeof(manifest_bytes));
    memcpy(elf, image->data + 16, sizeof(elf));
    parts.manifest =
        sf__image__manifest__unpack(NULL, manifest_bytes, image->data + IMAGE_HEADER_BYTES);
    parts.elf_bytes = (size_t)elf[1];
    parts.elf = malloc(parts.elf_bytes);
    assert_non_null(parts.manifest);
    assert_non_null(parts.elf);
    memcpy(parts.elf, image->data + elf[0], parts.elf_bytes);
    return parts;
}

struct bytes parts_seal(struct parts *parts)
{
    struct bytes image = {0};

    assert_int_equal(
        image_seal(parts->manifest, parts->elf, parts->elf_bytes, &image.data, &image.length),
        SF_OK);
    sf__image__manifest__free_unpacked(parts->manifest, NULL);
    free(parts->elf);
    return image;
}
