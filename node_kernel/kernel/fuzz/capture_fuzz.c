/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture_fuzz.c - broken captures, in a kernel built with AddressSanitizer and
 * UndefinedBehaviorSanitizer.
 *
 *     capture_fuzz MOVER PROBE [--seconds N] [--seed N]
 *
 * Model: a few SIPs are captured in different states. Then captures are broken, record by record:
 * bits and words of a payload changed, records left out, doubled, exchanged, cut, or their headers
 * changed; mostly with an end that says the right count. What the kernel takes must pass its
 * audits, be frozen again, captured again, and end as if nothing were wrong; it never runs. What it
 * refuses leaves nothing behind.
 *
 * Prints TAP. --seed N repeats that one case.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../capture_form.h"
#include "../test_hop.h"

#define TRIES_MAX 200u
#define BASES_MAX 16u
#define RECORDS_MAX 4096u
#define AUDIT_EVERY 64u

static struct bytes files[2];
static uint8_t digests[2][IMAGE_DIGEST_BYTES];
static struct bytes bases[BASES_MAX];
static uint32_t base_count;
static uint64_t seconds = 10, only_seed, random_state;
static uint64_t taken, refused, by_status[64];

static uint32_t any(uint32_t below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % below;
}

/* --- captures that are whole --------------------------------------------------------------------
 */

static bool has_record(const struct bytes *bytes, uint32_t kind)
{
    struct nk_form_record record = {0};

    for (size_t at = 0; at < bytes->length; at += sizeof(record) + record.bytes) {
        memcpy(&record, bytes->data + at, sizeof(record));
        if (record.kind == kind) {
            return true;
        }
    }
    return false;
}

static void base_add(void)
{
    struct bytes *base = &bases[base_count++];

    assert_true(base_count <= BASES_MAX);
    base->length = hop.capture.length;
    base->data = malloc(base->length);
    assert_non_null(base->data);
    memcpy(base->data, hop.capture.data, base->length);
}

/* Runs SIP `number` until its capture has that record (0: so many steps). False: it has ended, or
 * the moment did not come. */
static bool base_make(uint64_t number, uint32_t kind, uint32_t steps)
{
    for (uint32_t i = 0; i <= steps + TRIES_MAX; i++) {
        (void)nk_run(world.kernel, 1, now());
        if (i < steps) {
            continue;
        }
        if (!hop_freeze(number)) {
            return false;
        }
        hop.capture.length = 0;
        hop_capture(number, NULL);
        assert_int_equal(nk_sip_thaw(world.kernel, number), SF_OK);
        if (kind == 0 || has_record(&hop.capture, kind)) {
            base_add();
            return true;
        }
    }
    return false;
}

/* One that has no room for a message, if it is met at the right moment; and its server. */
static bool flood_make(void)
{
    bool met;

    sip_create(1, "s", digests[1], "server", 0);
    sip_create(2, "f", digests[1], "flood", 0);
    wire(2, "s.test");
    start(1);
    start(2);
    met = base_make(2, NK_FORM_STASH, 0) && base_make(1, 0, 0);
    for (uint64_t number = 1; number <= 2; number++) {
        sf_status st = nk_sip_stop(world.kernel, number, SF_CAUSE_OF(REVOKED));

        assert_true(st == SF_OK || st == SF_NOTFOUND);
    }
    return met;
}

static void bases_make(void)
{
    static const char *const modes[] = {"accept", "timeout", "sleep", "spin", "listen"};

    for (uint32_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        sip_create(1, "m", digests[0], modes[i], 0);
        start(1);
        assert_true(base_make(1, 0, 100));
        sip_create(2, "c", digests[0], "caller", 0);
        wire(2, "m.test");
        if (i == 0 || i == 4) { /* one with a backlog */
            assert_true(hop_freeze(1));
            hop.capture.length = 0;
            hop_capture(1, NULL);
            base_add();
        }
        stop(1);
        stop(2);
    }
    for (uint32_t i = 0; !flood_make(); i++) {
        assert_true(i < 500);
    }
}

/* --- captures that are not ----------------------------------------------------------------------
 */

struct piece {
    struct nk_form_record record;
    uint8_t *payload; /* room for all of it, and some more */
    uint32_t bytes;   /* that are written; mostly record.bytes */
};
static struct piece pieces[RECORDS_MAX];
static uint32_t piece_count;
#define SPARE 256u /* more than three changes add */

static void pieces_free(void)
{
    for (uint32_t i = 0; i < piece_count; i++) {
        free(pieces[i].payload);
    }
    piece_count = 0;
}

static void pieces_cut(const struct bytes *base)
{
    for (size_t at = 0; at < base->length;) {
        struct piece *piece = &pieces[piece_count++];

        assert_true(piece_count < RECORDS_MAX / 2);
        memcpy(&piece->record, base->data + at, sizeof(piece->record));
        piece->bytes = piece->record.bytes;
        piece->payload = calloc(1, piece->bytes + SPARE);
        assert_non_null(piece->payload);
        memcpy(piece->payload, base->data + at + sizeof(piece->record), piece->bytes);
        at += sizeof(piece->record) + piece->bytes;
    }
}

/* As if they had been copied before it was frozen. */
static void pages_first(void)
{
    uint32_t to = 1;

    for (uint32_t i = 1; i < piece_count; i++) {
        const struct piece piece = pieces[i];

        if (piece.record.kind == NK_FORM_PAGES || piece.record.kind == NK_FORM_ZERO) {
            memmove(&pieces[to + 1], &pieces[to], (i - to) * sizeof(pieces[0]));
            pieces[to++] = piece;
        }
    }
}

static uint32_t word_of_interest(uint32_t before)
{
    static const uint32_t words[] = {0,       1,          2,          7,          16,    63,
                                     64,      4095,       4096,       4097,       65535, 65536,
                                     1 << 20, 0x7fffffff, 0x80000000, 0xffffffff, 12,    511};

    switch (any(4)) {
    case 0:
        return before + 1;
    case 1:
        return before - 1;
    case 2:
        return before ^ 1u << any(32);
    default:
        return words[any(sizeof(words) / sizeof(words[0]))];
    }
}

static void payload_break(struct piece *piece)
{
    uint32_t at, word;

    if (piece->bytes < 4) {
        return;
    }
    at = any(piece->bytes / 4) * 4;
    if (piece->record.kind == NK_FORM_PAGES && any(4) != 0) {
        at = any(2) * 4; /* where they go */
    }
    memcpy(&word, piece->payload + at, sizeof(word));
    word = word_of_interest(word);
    memcpy(piece->payload + at, &word, sizeof(word));
}

static void piece_resize(struct piece *piece)
{
    if (any(2) == 0 && piece->bytes > 0) {
        piece->bytes -= 1 + any(piece->bytes < 32 ? piece->bytes : 32);
    } else {
        piece->bytes += 1 + any(64);
    }
    if (any(4) != 0) {
        piece->record.bytes = piece->bytes;
    }
}

static void row_break(uint32_t at)
{
    const uint32_t other = any(piece_count);
    struct piece moved = pieces[at];

    switch (any(3)) {
    case 0: /* left out */
        free(pieces[at].payload);
        memmove(&pieces[at], &pieces[at + 1], (--piece_count - at) * sizeof(pieces[0]));
        break;
    case 1: /* exchanged */
        pieces[at] = pieces[other];
        pieces[other] = moved;
        break;
    default: /* twice */
        moved.payload = malloc(moved.bytes + SPARE);
        assert_non_null(moved.payload);
        memcpy(moved.payload, pieces[at].payload, moved.bytes);
        memmove(&pieces[at + 1], &pieces[at], (piece_count++ - at) * sizeof(pieces[0]));
        pieces[at] = moved;
        break;
    }
}

/* Not often one with pages: there are most of these. */
static uint32_t piece_any(void)
{
    uint32_t at = any(piece_count);

    for (uint32_t i = 0; i < 4 && pieces[at].record.kind >= NK_FORM_PAGES; i++) {
        at = any(piece_count);
    }
    return at;
}

static void pieces_break(void)
{
    const uint32_t count = 1 + any(3);

    for (uint32_t i = 0; i < count && piece_count > 1; i++) {
        const uint32_t at = piece_any(), how = any(16);

        if (how < 11) {
            payload_break(&pieces[at]);
        } else if (how < 13) {
            piece_resize(&pieces[at]);
        } else if (how < 15) {
            row_break(at);
        } else {
            pieces[at].record.kind = any(NK_FORM_END + 3);
        }
    }
}

static void pieces_join(void)
{
    hop.capture.length = 0;
    for (uint32_t i = 0; i < piece_count; i++) {
        if (pieces[i].record.kind == NK_FORM_END && pieces[i].bytes == 8 && any(8) != 0) {
            const uint64_t count = i;

            memcpy(pieces[i].payload, &count, sizeof(count));
        }
        (void)hop_keep(NULL, &pieces[i].record, sizeof(pieces[i].record));
        (void)hop_keep(NULL, pieces[i].payload, pieces[i].bytes);
    }
}

/* --- one case -----------------------------------------------------------------------------------
 */

static struct fab_ep *others[HOP_EPS_MAX];

/* Endpoints as it wants them; false: there are no such. */
static bool eps_make(const struct nk_restore_info *info)
{
    struct fab_node *fabric = nk_kernel_fabric(world.kernel);

    for (hop.ep_count = 0; hop.ep_count < info->ep_count && hop.ep_count < HOP_EPS_MAX;
         hop.ep_count++) {
        const struct nk_restore_ep *want = &info->eps[hop.ep_count];
        const struct ct_contract *contract = fab_contract_find(fabric, want->contract);
        struct fab_ep *ends[2];

        if (contract == NULL) {
            break;
        }
        assert_int_equal(fab_chan_create(fabric, contract, 0, &ends[CT_IMP], &ends[CT_EXP]), SF_OK);
        hop.eps[hop.ep_count] = ends[want->side];
        others[hop.ep_count] = ends[ct_other(want->side)];
    }
    return hop.ep_count == info->ep_count;
}

static void eps_close(bool both)
{
    for (uint32_t i = 0; i < hop.ep_count; i++) {
        fab_ep_close(others[i], SF_CAUSE_OF(CLOSED_BY_PEER));
        if (both) {
            fab_ep_close(hop.eps[i], SF_CAUSE_OF(CLOSED_BY_PEER));
        }
    }
}

static sf_status nowhere(void *arg, const void *bytes, size_t length)
{
    (void)arg;
    (void)bytes;
    (void)length;
    return SF_OK;
}

/* It is frozen: looks at all of it, and ends it. */
static void taken_one(uint64_t number)
{
    sf_status st;

    taken++;
    world.ends[number % WORLD_ENDS] = (struct end){0};
    assert_audits();
    st = nk_sip_capture(world.kernel, number, NULL, NULL, nowhere, NULL, NULL);
    assert_int_equal(st, SF_OK);
    assert_int_equal(nk_sip_stop(world.kernel, number, SF_CAUSE_OF(REVOKED)), SF_OK);
}

static void finish(struct nk_restore *restore)
{
    struct nk_restore_info info;
    bool all;
    sf_status st;

    nk_restore_query(restore, &info);
    all = eps_make(&info);
    st = all ? nk_restore_finish(restore, hop.eps, hop.ep_count, NULL, 0) : SF_CONTRACT;
    by_status[st]++;
    if (st == SF_OK) {
        taken_one(info.sip);
    } else {
        refused++;
        nk_restore_destroy(restore);
    }
    eps_close(st != SF_OK);
}

static void one_case(uint64_t seed)
{
    struct nk_restore *restore = hop_restore();
    sf_status st = SF_OK;

    random_state = seed * 0x9e3779b97f4a7c15ull;
    pieces_cut(&bases[any(base_count)]);
    if (any(2) == 0) {
        pages_first();
    }
    pieces_break();
    pieces_join();
    pieces_free();
    for (size_t at = 0; st == SF_OK && at < hop.capture.length;) {
        /* In a place of its own, so that the sanitizer sees who reads beyond. */
        size_t count = 1 + any(any(4) == 0 ? 40 : 1 << 20), streamed;
        uint8_t *copy;

        count = count < hop.capture.length - at ? count : hop.capture.length - at;
        copy = malloc(count);
        assert_non_null(copy);
        memcpy(copy, hop.capture.data + at, count);
        streamed = any(2) == 0 ? nk_restore_stream(restore, copy, count) : 0;
        assert_true(streamed <= count);
        if (streamed < count) {
            st = nk_restore_feed(restore, copy + streamed, count - streamed, NULL, 0);
        }
        free(copy);
        at += count;
    }
    if (st == SF_OK && nk_restore_complete(restore)) {
        finish(restore);
        return;
    }
    by_status[st]++;
    refused++;
    nk_restore_destroy(restore);
}

static void broken_captures_harm_nobody(void **state)
{
    const struct world_options options = {
        .kernel = {.slot_first = 100, .slot_count = 16, .heap_bytes = 64u << 20, .tick_ns = 50000},
        .config = {"kib", "40"},
        .run_seconds_max = 60};
    const uint64_t first = only_seed != 0 ? only_seed : now();
    uint64_t seed = first, end;

    (void)state;
    world_make(&options);
    world.quiet = true;
    for (uint32_t i = 0; i < 2; i++) {
        image_add(&files[i], digests[i]);
    }
    bases_make();
    assert_clean(0, 0);
    end = now() + seconds * 1000000000ull;
    do {
        if (only_seed != 0 || seed == first) {
            (void)printf("# seed %llu\n", (unsigned long long)seed);
        }
        one_case(seed);
        if (seed % AUDIT_EVERY == 0) {
            (void)printf(seed % (AUDIT_EVERY * 64) == 0 ? "# seed %llu\n" : "",
                         (unsigned long long)seed);
            (void)fflush(stdout);
            assert_clean(0, 0);
        }
        seed++;
    } while (only_seed == 0 && now() < end);
    assert_clean(0, 0);
    (void)printf("# %llu cases: %llu refused, %llu taken\n", (unsigned long long)(seed - first),
                 (unsigned long long)refused, (unsigned long long)taken);
    for (uint32_t i = 1; i < 64; i++) {
        if (by_status[i] > 0) {
            (void)printf("#   %s: %llu\n", sf_status_text((sf_status)i),
                         (unsigned long long)by_status[i]);
        }
    }
    world_end();
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(broken_captures_harm_nobody)};

    if (argc < 3) {
        return 2;
    }
    for (int i = 3; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seconds") == 0) {
            seconds = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--seed") == 0) {
            only_seed = strtoull(argv[i + 1], NULL, 10);
        }
    }
    files[0] = file_read(argv[1]);
    files[1] = file_read(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
