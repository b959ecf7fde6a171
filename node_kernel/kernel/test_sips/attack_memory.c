/* SPDX-License-Identifier: Apache-2.0 */
/* Attacks by loads, stores, calls and arithmetic: no kernel is asked. */
#include "attack.h"

#define TOP MIB /* what the manifest allows */
#define SECRET 0x5ea1edf00d15beefull

static int __attribute__((noinline)) store(uint32_t address)
{
    *(volatile uint8_t *)AT(address) = 1;
    return 0;
}

static int store_past_the_end(void)
{
    return store(TOP + attack_zero);
}

static int store_across_the_end(void)
{
    *(volatile uint64_t *)AT(TOP - 4 + attack_zero) = 1;
    return 0;
}

static int load_between_memory_and_window(void)
{
    return *(volatile uint8_t *)AT(24 * MIB + attack_zero);
}

static int store_where_no_block_is(void)
{
    return store(WINDOW + 8 * MIB + attack_zero);
}

static int store_behind_a_block(void)
{
    uint8_t *data = nk_block_alloc(12288);

    CHECK(data != NULL);
    return store((uint32_t)(uintptr_t)data + 12288);
}

static int store_before_a_block(void)
{
    uint8_t *data = nk_block_alloc(12288);

    CHECK(data != NULL);
    return store((uint32_t)(uintptr_t)data - 1);
}

static int store_at_the_last_address(void)
{
    return store(0xffffffffu - attack_zero);
}

/* An address beyond 64 MiB means one of its own. */
static int addresses_that_wrap(void)
{
    static volatile uint32_t mine;

    for (uint32_t i = 1; i < 64; i++) {
        *(volatile uint32_t *)AT((uint32_t)(uintptr_t)&mine + i * 64 * MIB) = i;
        CHECK(mine == i);
    }
    return 0;
}

static int fill_across_the_end(void)
{
    memset(AT(TOP - 4096 + attack_zero), 1, 8192);
    return 0;
}

static int copy_from_beyond(void)
{
    static uint8_t here[8192];

    memcpy(here, AT(TOP - 4096 + attack_zero), sizeof(here));
    return here[8191];
}

static int grow_beyond_the_limit(void)
{
    for (uint32_t pages = 17; pages < 65536 + 16; pages += 13) {
        CHECK(__builtin_wasm_memory_grow(0, pages) == (size_t)-1);
    }
    CHECK(__builtin_wasm_memory_grow(0, 0xffffffffu) == (size_t)-1);
    CHECK(__builtin_wasm_memory_size(0) <= 16);
    return 0;
}

static int __attribute__((noinline)) deeper(int depth)
{
    return depth == -1 ? 0 : deeper(depth + 1) + (int)nk_clock_ns();
}

static int recurse_on_the_native_stack(void)
{
    return deeper((int)attack_zero);
}

static int __attribute__((noinline)) deeper_in_memory(volatile int *above)
{
    volatile int here[64];

    here[0] = *above + 1;
    return *above < 0 ? 0 : deeper_in_memory(here) + here[0];
}

static int recurse_on_the_c_stack(void)
{
    int first = 0;

    return deeper_in_memory(&first);
}

static int __attribute__((noinline)) array_of_ten_mib(uint32_t at)
{
    volatile uint8_t here[10 * MIB];

    here[at] = 1;
    return here[at] - 1;
}

static int array_larger_than_the_stack(void)
{
    return array_of_ten_mib(attack_zero);
}

typedef int (*wrong_type)(int, int, int, int);

static int call_of_a_wrong_type(void)
{
    return ((wrong_type)(uintptr_t)(attack_zero + 1))(1, 2, 3, 4);
}

static int call_beyond_the_table(void)
{
    return ((int (*)(void))(uintptr_t)(attack_zero + 0x7ffffff0u))();
}

static int call_of_nothing(void)
{
    return ((int (*)(void))(uintptr_t)attack_zero)();
}

/* Its own stack and data, all of it. Locals of this function are not in memory. */
static int overwrite_all_of_its_own(void)
{
    for (uint32_t at = 16; at < 65536 * (uint32_t)__builtin_wasm_memory_size(0); at += 8) {
        *(volatile uint64_t *)AT(at) = 0xffffffffffffffffull;
    }
    nk_yield();
    nk_exit(0);
}

static int divide_by_zero(void)
{
    return (int)(1000u / attack_zero);
}

static int divide_and_overflow(void)
{
    volatile int32_t a = INT32_MIN, b = -1;

    return a / b;
}

static int trap(void)
{
    __builtin_trap();
}

static int look_in_memory_for_secrets(void)
{
    CHECK(__builtin_wasm_memory_grow(0, 16 - __builtin_wasm_memory_size(0)) != (size_t)-1 ||
          __builtin_wasm_memory_size(0) == 16);
    for (uint32_t at = 512u << 10; at < TOP; at += 8) {
        CHECK(*(volatile uint64_t *)AT(at) != SECRET);
    }
    return 0;
}

static int look_in_blocks_for_secrets(void)
{
    for (uint32_t bytes = 64; bytes <= MIB; bytes *= 4) {
        for (uint32_t i = 0; i < 8; i++) {
            volatile uint64_t *data = nk_block_alloc(bytes);

            CHECK(data != NULL);
            for (uint32_t k = 0; k < bytes / 8; k++) {
                CHECK(data[k] != SECRET);
            }
        }
    }
    return 0;
}

const struct attack attack_memory[] = {
    {"store_past_the_end", store_past_the_end},
    {"store_across_the_end", store_across_the_end},
    {"load_between_memory_and_window", load_between_memory_and_window},
    {"store_where_no_block_is", store_where_no_block_is},
    {"store_behind_a_block", store_behind_a_block},
    {"store_before_a_block", store_before_a_block},
    {"store_at_the_last_address", store_at_the_last_address},
    {"addresses_that_wrap", addresses_that_wrap},
    {"fill_across_the_end", fill_across_the_end},
    {"copy_from_beyond", copy_from_beyond},
    {"grow_beyond_the_limit", grow_beyond_the_limit},
    {"recurse_on_the_native_stack", recurse_on_the_native_stack},
    {"recurse_on_the_c_stack", recurse_on_the_c_stack},
    {"array_larger_than_the_stack", array_larger_than_the_stack},
    {"call_of_a_wrong_type", call_of_a_wrong_type},
    {"call_beyond_the_table", call_beyond_the_table},
    {"call_of_nothing", call_of_nothing},
    {"overwrite_all_of_its_own", overwrite_all_of_its_own},
    {"divide_by_zero", divide_by_zero},
    {"divide_and_overflow", divide_and_overflow},
    {"trap", trap},
    {"look_in_memory_for_secrets", look_in_memory_for_secrets},
    {"look_in_blocks_for_secrets", look_in_blocks_for_secrets},
    {NULL, NULL},
};
