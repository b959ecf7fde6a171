/* SPDX-License-Identifier: Apache-2.0 */
/* Where the arguments of the API fuzzer's SIP come from. */
#include "api_sip.h"

static uint64_t state;

void fuzz_seed(uint64_t seed)
{
    state = seed * 0x9e3779b97f4a7c15u + 1;
}

uint64_t fuzz_any64(void)
{
    uint64_t z = (state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint32_t fuzz_any(uint32_t below)
{
    return below == 0 ? 0 : (uint32_t)(fuzz_any64() >> 32) % below;
}

static uint32_t in_block(void)
{
    const struct fuzz_block *block = &fuzz_blocks[fuzz_any(BLOCKS)]; /* or where one was */

    switch (fuzz_any(4)) {
    case 0:
        return block->address;
    case 1:
        return block->address + block->bytes - fuzz_any(100);
    case 2:
        return block->address + block->bytes;
    default:
        return block->address + fuzz_any(block->bytes + 1);
    }
}

uint32_t fuzz_pointer(void)
{
    switch (fuzz_any(14)) {
    case 0:
        return 0;
    case 1:
        return MEMORY_END - fuzz_any(100);
    case 2:
        return MEMORY_END + fuzz_any(70000);
    case 3:
        return WINDOW - fuzz_any(100);
    case 4:
        return WINDOW + fuzz_any(4u << 20);
    case 5:
        return WINDOW_END - fuzz_any(100);
    case 6:
        return WINDOW_END + fuzz_any(100);
    case 7:
        return 0u - fuzz_any(100);
    case 8:
        return (uint32_t)fuzz_any64();
    case 9:
    case 10:
    case 11:
        return in_block();
    default:
        return SCRATCH + fuzz_any(MEMORY_END - SCRATCH);
    }
}

uint32_t fuzz_length(uint32_t pointer, uint32_t usual)
{
    switch (fuzz_any(10)) {
    case 0:
        return 0;
    case 1:
        return 1;
    case 2:
        return (uint32_t)fuzz_any64();
    case 3:
        return 0u - fuzz_any(100);
    case 4:
        return MEMORY_END - pointer + fuzz_any(2);
    case 5:
        return usual + fuzz_any(2);
    case 6: {
        const struct fuzz_block *block = fuzz_block_find(pointer);
        return block == NULL ? usual : block->bytes + fuzz_any(2);
    }
    default:
        return fuzz_any(usual + 1);
    }
}

uint32_t fuzz_target(uint32_t bytes)
{
    const uint32_t pointer = fuzz_pointer();

    if (pointer < SCRATCH && (uint64_t)pointer + bytes <= MEMORY_END) {
        /* Would hit what this SIP itself needs. */
        return bytes > MEMORY_END - SCRATCH ? WINDOW : SCRATCH + pointer % 1024u;
    }
    return pointer;
}

uint32_t fuzz_handle(void)
{
    const uint32_t handle = fuzz_handles[fuzz_any(HANDLES)].handle;

    switch (fuzz_any(24)) {
    case 0:
        return 0;
    case 1:
        return (uint32_t)fuzz_any64();
    case 2:
        return handle + NK_HANDLES_MAX;
    case 3:
        return handle - NK_HANDLES_MAX;
    case 4:
        return handle & (NK_HANDLES_MAX - 1);
    case 5:
        return handle | 0x80000000u;
    case 6:
        return handle;
    default:
        for (uint32_t i = 0, at = fuzz_any(HANDLES); i < HANDLES; i++, at++) {
            if (fuzz_handles[at % HANDLES].live) {
                return fuzz_handles[at % HANDLES].handle;
            }
        }
        return handle;
    }
}

uint32_t fuzz_handle_to_send(void)
{
    for (uint32_t i = fuzz_any(40); i > 0; i--) {
        const struct fuzz_handle *handle = &fuzz_handles[fuzz_any(HANDLES)];
        const int32_t state = handle->live ? nk_state(handle->handle) : -1;
        /* Start, and what follows Numbers there, is the importer's turn; 4 is Over. */
        const enum fuzz_side turn = state == 0 || state > 5 ? FUZZ_IMP : FUZZ_EXP;

        if (state >= 0 && state != 4 && turn == handle->side) {
            return handle->handle;
        }
    }
    return fuzz_handle();
}

uint32_t fuzz_handle_to_recv(void)
{
    uint32_t list[HANDLES], count = 0;
    int32_t first;

    for (uint32_t i = fuzz_any(HANDLES); i < HANDLES && count < NK_SELECT_MAX; i++) {
        if (fuzz_handles[i].live) {
            list[count++] = fuzz_handles[i].handle;
        }
    }
    first = fuzz_any(6) == 0 ? -1 : fuzz_answer(13, nk_select(list, count, 0));
    return first < 0 ? fuzz_handle() : list[first];
}

int64_t fuzz_timeout(void)
{
    switch (fuzz_any(400)) { /* few wait for ever, or little would happen */
    case 0:
        return -1;
    case 1:
        return -2;
    case 2:
        return INT64_MIN;
    case 3:
        return INT64_MAX;
    case 4:
        return (int64_t)fuzz_any64();
    default:
        return fuzz_any(3) != 0 ? 0 : (int64_t)fuzz_any(100000);
    }
}

const char *fuzz_name(uint32_t *out_bytes)
{
    static const char *const names[] = {"a",    "b",     "x",    "y",     "",
                                        "seed", "steps", "long", "fuzz0", "none"};
    const char *name = names[fuzz_any(sizeof(names) / sizeof(names[0]))];

    *out_bytes = strlen(name);
    if (fuzz_any(8) == 0) {
        name = (const char *)(uintptr_t)fuzz_pointer();
        *out_bytes = fuzz_length((uint32_t)(uintptr_t)name, 4);
    }
    return name;
}
