/* SPDX-License-Identifier: Apache-2.0 */
/*
 * library.c - a SIP that tries libsip where the host cannot: on its real memory, in wasm32, with
 * the real kernel below. Configuration `do`: "checks" answers the number of the first check that
 * fails, or 0; "quiet" takes its endpoint, says nothing, and waits until the other side closes.
 */
#include "sip.h"
#include "sip_array.h"
#include "sip_bytes.h"
#include "sip_double.h"
#include "sip_loop.h"
#include "sip_map.h"

SIP_FORMAT_DOUBLES

static int check_format(void)
{
    char text[96];

    (void)sip_format(text, sizeof(text), "%zu %ld %lld %hhx %+d %o %#x %.3f %s", sizeof(size_t),
                     -5l, INT64_MIN, (uint8_t)0xff, 7, 8u, 255u, 2.0 / 3, "end");
    if (strcmp(text, "4 -5 -9223372036854775808 ff +7 10 0xff 0.667 end") != 0) {
        sip_log("%s", text);
        return 1;
    }
    return 0;
}

static uint32_t next(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Sizes that change at random; each keeps its own pattern. */
static int check_realloc(void)
{
    static uint8_t *parts[40];
    static size_t sizes[40];
    uint32_t state = 12345;

    for (uint32_t i = 0; i < 20000; i++) {
        const uint32_t index = next(&state) % 40;
        const size_t bytes = next(&state) % 3000;
        uint8_t *moved = sip_realloc(parts[index], bytes);

        if (bytes > 0 && moved == NULL) {
            return 10;
        }
        for (size_t k = 0; k < sizes[index] && k < bytes; k++) {
            if (moved[k] != (uint8_t)(index + k)) {
                return 11;
            }
        }
        for (size_t k = sizes[index]; k < bytes; k++) {
            moved[k] = (uint8_t)(index + k);
        }
        parts[index] = moved;
        sizes[index] = bytes;
        if (moved != NULL && ((uintptr_t)moved % 16 != 0 || sip_alloc_bytes(moved) < bytes)) {
            return 12;
        }
    }
    for (uint32_t i = 0; i < 40; i++) {
        sip_free(parts[i]);
    }
    return sip_realloc(NULL, 64u << 20) == NULL ? 0 : 13;
}

/* Until memory ends; then all of it comes back. */
static int check_map(void)
{
    struct sip_map map;
    char text[24];
    uint32_t put = 0, again = 0;

    sip_map_init(&map, 0);
    for (;; put++) {
        (void)sip_format(text, sizeof(text), "key %u", put);
        if (sip_map_put_text(&map, sip_span_of(text), put) != 0) {
            break;
        }
    }
    for (uint32_t i = 0; i < put; i++) {
        const struct sip_map_entry *entry;
        (void)sip_format(text, sizeof(text), "key %u", i);
        entry = sip_map_find_text(&map, sip_span_of(text));
        if (entry == NULL || entry->value != i) {
            return 20;
        }
    }
    if (put < 1000 || map.count != put) {
        return 21;
    }
    sip_map_fini(&map);
    for (; again < put; again++) {
        if (sip_map_put_number(&map, again, again) != 0) {
            return 22;
        }
    }
    sip_map_fini(&map);
    return 0;
}

static int check_bytes_and_arena(void)
{
    struct sip_bytes bytes;
    struct sip_arena arena;

    sip_bytes_init(&bytes, 0);
    for (uint32_t i = 0; i < 1000; i++) {
        (void)sip_bytes_format(&bytes, "%03u", i);
    }
    if (bytes.failed != 0 || bytes.count != 3000 || memcmp(bytes.at + 2997, "999", 4) != 0) {
        return 30;
    }
    sip_arena_init(&arena, 0, 0);
    if (strcmp(sip_arena_text(&arena, bytes.at, 6), "000001") != 0 ||
        sip_arena_take(&arena, 8u << 20) != NULL) {
        return 31;
    }
    sip_arena_fini(&arena);
    sip_bytes_fini(&bytes);
    return 0;
}

static struct sip_loop loop;
static struct sip_timer timers[3];
static int64_t called_at[3];
static uint32_t ticks;

static void on_timer(void *arg, struct sip_timer *timer)
{
    const uint32_t index = (uint32_t)(timer - timers);

    (void)arg;
    called_at[index] = nk_clock_ns();
    if (index == 2 && ++ticks == 5) {
        sip_timer_stop(timer);
    }
}

static int check_timers(void)
{
    const int64_t start = nk_clock_ns();

    sip_timer_start(&loop, &timers[0], SIP_MS(20), 0, on_timer, NULL);
    sip_timer_start(&loop, &timers[1], SIP_MS(5), 0, on_timer, NULL);
    sip_timer_start(&loop, &timers[2], SIP_MS(2), SIP_MS(2), on_timer, NULL);
    if (sip_loop_run(&loop) != 0 || ticks != 5) {
        return 40;
    }
    if (called_at[0] - start < SIP_MS(20) || called_at[1] - start < SIP_MS(5) ||
        called_at[2] - start < SIP_MS(10) || called_at[1] > called_at[0]) {
        return 41;
    }
    return 0;
}

static int run_checks(void)
{
    static int (*const checks[])(void) = {check_format, check_realloc, check_map,
                                          check_bytes_and_arena, check_timers};

    for (uint32_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        const int failed = checks[i]();
        if (failed != 0) {
            return failed;
        }
    }
    return 0;
}

static int be_quiet(void)
{
    const int32_t handle = sip_endpoint("hello");
    const uint32_t handles[1] = {(uint32_t)handle};

    if (handle < 0 || nk_select(handles, 1, SIP_FOREVER) != 0) {
        return 1;
    }
    sip_log("let go: %s", sip_cause_text(nk_cause((uint32_t)handle)));
    return 0;
}

int sip_main(void)
{
    char what[16];

    return strcmp(sip_config("do", what, sizeof(what), "checks"), "quiet") == 0 ? be_quiet()
                                                                                : run_checks();
}
