/* SPDX-License-Identifier: Apache-2.0 */
/*
 * semantics.c - a SIP that tries what sipc's memory access and run-time stub promise. Configuration
 * `do`: "checks" answers the number of the first check that fails, or 0; other words fault in a
 * known way (sips_test.c says how each must end).
 */
#include "sip.h"

typedef int (*one)(int);
typedef int (*two)(int, int);

static int twice(int x)
{
    return 2 * x;
}

static volatile one function = twice;
static volatile uint32_t zero;
static volatile uint8_t cell[64];

static uint32_t text_at(uintptr_t address)
{
    return *(volatile uint32_t *)address;
}

static int check_memory(void)
{
    uint8_t *block = nk_block_alloc(100000);
    volatile uint32_t word = 0x12345678;

    if (block == NULL || (uintptr_t)block < NK_WINDOW_OFFSET) {
        return 1;
    }
    /* 64 MiB further is the same byte. */
    if (text_at((uintptr_t)&word + NK_MEMORY_BYTES) != 0x12345678) {
        return 2;
    }
    /* Bulk operations between memory and window, both ways and overlapping. */
    for (uint32_t i = 0; i < sizeof(cell); i++) {
        cell[i] = (uint8_t)i;
    }
    memcpy(block, (const void *)cell, sizeof(cell) - zero);
    memmove(block + 3, block, sizeof(cell) - zero);
    memset(block + 70000, 0x5a, 30000 - zero);
    if (block[2] != 2 || block[3] != 0 || block[66] != 63 || block[99999] != 0x5a) {
        return 3;
    }
    memmove(block, block + 3, 60 - zero);
    for (uint32_t i = 0; i < 60; i++) {
        if (block[i] != i) {
            return 4;
        }
    }
    return nk_block_free(block) == 0 ? 0 : 5;
}

/* A field far from its record's beginning: 128 MiB further is the same byte. */
struct far {
    uint8_t room[NK_SLOT_STRIDE];
    uint32_t word;
};
/* And one that may lie behind the memory: the guard is there. */
struct near {
    uint8_t room[1 << 20];
    uint32_t word;
};

static int check_offsets(void)
{
    volatile uint32_t word = 0x12345678;
    volatile struct far *volatile record = (volatile struct far *)&word;

    return record->word == 0x12345678 ? 0 : 6;
}

/* Overlapping moves of every small length and distance, against a byte loop. */
static int check_moves(void)
{
    static uint8_t a[160], b[160];

    for (uint32_t bytes = 0; bytes <= 70; bytes++) {
        for (uint32_t to = 0; to <= 40; to += 1 + to / 4) {
            for (uint32_t i = 0; i < sizeof(a); i++) {
                a[i] = b[i] = (uint8_t)(i * 7 + 1);
            }
            memmove(a + to, a + 20, bytes);
            for (uint32_t i = 0; i < bytes; i++) {
                b[to + i] = (uint8_t)((20 + i) * 7 + 1);
            }
            if (memcmp(a, b, sizeof(a)) != 0) {
                return 10;
            }
        }
    }
    return 0;
}

static int check_heap(void)
{
    void *parts[64];
    uint32_t taken = 0;

    for (; taken < 64; taken++) {
        parts[taken] = sip_alloc(50000);
        if (parts[taken] == NULL) {
            break;
        }
        if ((uintptr_t)parts[taken] % 16 != 0) {
            return 20;
        }
        memset(parts[taken], (int)taken, 50000);
    }
    if (taken < 10 || taken == 64) { /* the manifest says 1 MiB */
        return 21;
    }
    for (uint32_t i = 0; i < taken; i++) {
        if (((uint8_t *)parts[i])[49999] != i) {
            return 22;
        }
    }
    if (__builtin_wasm_memory_size(0) > 16 || __builtin_wasm_memory_grow(0, 1000) != (size_t)-1) {
        return 23;
    }
    for (uint32_t i = 0; i < taken; i += 2) {
        sip_free(parts[i]);
    }
    for (uint32_t i = 1; i < taken; i += 2) {
        sip_free(parts[i]);
    }
    parts[0] = sip_alloc(taken * 50000); /* neighbours are one again */
    if (parts[0] == NULL) {
        return 24;
    }
    sip_free(parts[0]);
    return sip_alloc(0) == NULL && sip_alloc(64u << 20) == NULL ? 0 : 25;
}

static int check_numbers(void)
{
    volatile double d = 2.5, nan = __builtin_nan("");
    volatile int64_t big = INT64_MIN;
    volatile uint64_t u = 0xf0f0000000000000ull;

    if (__builtin_rint(d) != 2.0 || __builtin_floor(-d) != -3.0 || __builtin_ceil(d) != 3.0 ||
        __builtin_trunc(-d) != -2.0 || __builtin_sqrt(d * d) != 2.5) {
        return 30;
    }
    if (nan == nan || (uint64_t)d != 2 || (double)u != 61680.0 * 281474976710656.0) {
        return 31;
    }
    if (big / 3 != -3074457345618258602ll || big % 10 != -8 || __builtin_clzll(u) != 0 ||
        __builtin_ctzll(u) != 52 || __builtin_popcountll(u) != 8) {
        return 32;
    }
    return function(21) == 42 ? 0 : 33;
}

static int check_text(void)
{
    char text[80];
    int length =
        sip_format(text, sizeof(text), "%d|%5u|%-4x|%05d|%s|%.2s|%c|%%|%lld|%X|%.*s|%*d", -7, 42u,
                   0xabu, -42, "sip", "sip", 'x', -1234567890123ll, 255u, 1, "xyz", -3, 9);

    if (strcmp(text, "-7|   42|ab  |-0042|sip|si|x|%|-1234567890123|FF|x|9  ") != 0) {
        sip_log("%s", text);
        return 40;
    }
    if (length != (int)strlen(text) || sip_format(text, 4, "%s", "longer") != 6 ||
        strcmp(text, "lon") != 0) {
        return 41;
    }
    if (strcmp("a", "b") >= 0 || strncmp("ab", "ac", 1) != 0 || memcmp("b", "a", 1) <= 0) {
        return 42;
    }
    return sip_config_u32("number", 5) == 4000000000u && sip_config_u32("none", 5) == 5 &&
                   sip_config_u32("do", 5) == 5
               ? 0
               : 43;
}

static int recurse(int depth)
{
    return depth <= 0 ? depth : recurse(depth + 1) + function(depth);
}

static int checks(void)
{
    static int (*const list[])(void) = {check_memory, check_offsets, check_moves,
                                        check_heap,   check_numbers, check_text};

    for (uint32_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        const int failed = list[i]();
        if (failed != 0) {
            return failed;
        }
    }
    return 0;
}

static int fault(const char *how)
{
    if (strcmp(how, "null-call") == 0) {
        volatile one nothing = NULL;
        return nothing(1);
    }
    if (strcmp(how, "wrong-call") == 0) {
        volatile two wrong = (two)(void (*)(void))function;
        return wrong(1, 2);
    }
    if (strcmp(how, "divide") == 0) {
        return (int)(7 / zero);
    }
    if (strcmp(how, "overflow") == 0) {
        volatile int32_t least = INT32_MIN, minus = -1;
        return least / minus;
    }
    if (strcmp(how, "fill") == 0) {
        memset((void *)(uintptr_t)(NK_MEMORY_BYTES - 16), 0, 17 - zero);
    }
    if (strcmp(how, "copy") == 0) {
        memmove((void *)(uintptr_t)cell, (const void *)(uintptr_t)0xfffffff0u, 16 - zero);
    }
    if (strcmp(how, "between") == 0) { /* behind memory, before the window */
        return (int)text_at(NK_WINDOW_OFFSET - 4);
    }
    if (strcmp(how, "behind") == 0) { /* memory and window */
        volatile struct near *volatile record =
            (volatile struct near *)(uintptr_t)(NK_MEMORY_BYTES - 4096);
        return (int)record->word;
    }
    if (strcmp(how, "recurse") == 0) {
        return recurse(1);
    }
    if (strcmp(how, "free") == 0) {
        sip_free((void *)(uintptr_t)(cell + 16));
    }
    __builtin_trap();
}

int sip_main(void)
{
    char how[32];

    (void)sip_config("do", how, sizeof(how), "checks");
    return strcmp(how, "checks") == 0 ? checks() : fault(how);
}
