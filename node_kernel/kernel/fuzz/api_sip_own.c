/* SPDX-License-Identifier: Apache-2.0 */
/* What the API fuzzer's SIP owns, and whether it still does. */
#include "api_sip.h"

struct fuzz_handle fuzz_handles[HANDLES];
struct fuzz_block fuzz_blocks[BLOCKS];

void fuzz_handle_add(uint32_t handle, enum fuzz_side side)
{
    for (uint32_t i = 0; i < HANDLES; i++) {
        FUZZ_CHECK(!fuzz_handles[i].live || fuzz_handles[i].handle != handle, handle, i, 0);
    }
    for (uint32_t i = 0, at = fuzz_any(HANDLES); i < HANDLES; i++, at++) {
        if (!fuzz_handles[at % HANDLES].live) {
            fuzz_handles[at % HANDLES] = (struct fuzz_handle){handle, side, true};
            return;
        }
    }
    FUZZ_CHECK(nk_close(handle) == 0, handle, 0, 0);
}

void fuzz_handle_gone(uint32_t handle)
{
    for (uint32_t i = 0; i < HANDLES; i++) {
        if (fuzz_handles[i].handle == handle) {
            fuzz_handles[i].live = false;
        }
    }
    FUZZ_CHECK(nk_state(handle) == -SF_BADHANDLE, handle, 0, 0);
}

bool fuzz_handle_live(uint32_t handle)
{
    for (uint32_t i = 0; i < HANDLES; i++) {
        if (fuzz_handles[i].live && fuzz_handles[i].handle == handle) {
            return true;
        }
    }
    return false;
}

struct fuzz_block *fuzz_block_find(uint32_t address)
{
    for (uint32_t i = 0; i < BLOCKS; i++) {
        if (fuzz_blocks[i].live && fuzz_blocks[i].address == address) {
            return &fuzz_blocks[i];
        }
    }
    return NULL;
}

static uint8_t pattern(uint32_t index)
{
    return (uint8_t)(index * 31u + (index >> 8) + 7u);
}

/* Large blocks are looked at in their first and last bytes and here and there. */
static uint32_t next_index(uint32_t index, uint32_t bytes)
{
    return index < 200 || bytes - index < 100 ? index + 1
           : bytes - index < 1500             ? bytes - 99
                                              : index + 1201;
}

void fuzz_pattern_put(const struct fuzz_block *block)
{
    volatile uint8_t *at = (volatile uint8_t *)(uintptr_t)block->address;

    for (uint32_t i = 0; i < block->bytes; i++) {
        at[i] = pattern(i);
    }
}

void fuzz_pattern_check(const struct fuzz_block *block)
{
    const volatile uint8_t *at = (const volatile uint8_t *)(uintptr_t)block->address;

    for (uint32_t i = 0; i < block->bytes; i = next_index(i, block->bytes)) {
        FUZZ_CHECK(at[i] == pattern(i), block->address, block->bytes, (int64_t)i << 8 | at[i]);
    }
}

void fuzz_block_add(uint32_t address, uint32_t bytes)
{
    uint32_t held = bytes;

    FUZZ_CHECK(address >= WINDOW && (uint64_t)address + bytes <= WINDOW_END && bytes > 0, address,
               bytes, 0);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        const struct fuzz_block *block = &fuzz_blocks[i];
        held += block->live ? block->bytes : 0;
        FUZZ_CHECK(!block->live || address >= block->address + block->bytes ||
                       address + bytes <= block->address,
                   address, block->address, block->bytes);
    }
    FUZZ_CHECK(nk_block_bytes((void *)(uintptr_t)address) == (int32_t)bytes, address, bytes, 0);
    FUZZ_CHECK(held <= QUOTA, held, address, bytes);
    for (uint32_t i = 0, at = fuzz_any(BLOCKS); i < BLOCKS; i++, at++) {
        if (!fuzz_blocks[at % BLOCKS].live) {
            fuzz_blocks[at % BLOCKS] = (struct fuzz_block){address, bytes, true};
            return;
        }
    }
    FUZZ_CHECK(nk_block_free((void *)(uintptr_t)address) == 0, address, bytes, 0);
}

void fuzz_block_gone(uint32_t address)
{
    struct fuzz_block *block = fuzz_block_find(address);

    FUZZ_CHECK(block != NULL, address, 0, 0);
    block->live = false;
    FUZZ_CHECK(nk_block_bytes((void *)(uintptr_t)address) == -SF_NOTOWNER, address, 0, 0);
}

struct fuzz_block *fuzz_block_any(void)
{
    for (uint32_t i = 0, at = fuzz_any(BLOCKS); i < BLOCKS; i++, at++) {
        if (fuzz_blocks[at % BLOCKS].live) {
            return &fuzz_blocks[at % BLOCKS];
        }
    }
    return NULL;
}

void fuzz_written(uint32_t address, uint32_t bytes)
{
    for (uint32_t i = 0; i < BLOCKS; i++) {
        const struct fuzz_block *block = &fuzz_blocks[i];
        if (block->live && (uint64_t)address + bytes > block->address &&
            address < block->address + block->bytes) {
            fuzz_pattern_put(block);
        }
    }
}

void fuzz_window_check(void)
{
    for (uint32_t at = WINDOW; at < WINDOW + 2 * QUOTA; at += 64) {
        const int32_t bytes = nk_block_bytes((void *)(uintptr_t)at);
        FUZZ_CHECK(bytes == -SF_NOTOWNER || fuzz_block_find(at) != NULL, at, bytes, 0);
    }
}

void fuzz_own_check(void)
{
    if (fuzz_any(4) == 0) {
        fuzz_window_check();
    }
    for (uint32_t i = 0; i < BLOCKS; i++) {
        if (fuzz_blocks[i].live) {
            const int32_t bytes = nk_block_bytes((void *)(uintptr_t)fuzz_blocks[i].address);
            FUZZ_CHECK(bytes == (int32_t)fuzz_blocks[i].bytes, fuzz_blocks[i].address, bytes,
                       fuzz_blocks[i].bytes);
            fuzz_pattern_check(&fuzz_blocks[i]);
        }
    }
    for (uint32_t i = 0; i < HANDLES; i++) {
        if (fuzz_handles[i].live) {
            FUZZ_CHECK(nk_state(fuzz_handles[i].handle) >= 0, fuzz_handles[i].handle, 0, 0);
        }
    }
}
