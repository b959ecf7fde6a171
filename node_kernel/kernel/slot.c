/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots. The whole leased range is one inaccessible mapping; a slot in use has one accessible
 * region: stack, header and linear memory. It stays accessible while the slot waits for its next
 * SIP (it holds no page then), so that reusing it for the same memory size costs one system call.
 */
#include "internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

static void *slot_pointer(const struct nk_kernel *kernel, uint32_t index, uint64_t offset)
{
    return (void *)(nk__slot_address(kernel, index) + offset);
}

uint64_t nk__slot_address(const struct nk_kernel *kernel, uint32_t index)
{
    return NK_SLOT_BASE + (uint64_t)(kernel->slot_first + index) * NK_SLOT_STRIDE;
}

sf_status nk__slots_init(struct nk_kernel *kernel)
{
    void *range;

    kernel->slots = calloc(kernel->slot_count, sizeof(*kernel->slots));
    kernel->slots_free = calloc(kernel->slot_count, sizeof(*kernel->slots_free));
    if (kernel->slots == NULL || kernel->slots_free == NULL) {
        return SF_NOMEM;
    }
    for (uint32_t i = 0; i < kernel->slot_count; i++) {
        kernel->slots_free[i] = kernel->slot_count - 1 - i;
    }
    kernel->slot_free_count = kernel->slot_count;
    range = mmap(slot_pointer(kernel, 0, 0), kernel->slot_count * NK_SLOT_STRIDE, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (range == MAP_FAILED) {
        return errno == EEXIST ? SF_EXISTS : SF_NOMEM;
    }
    kernel->has_range = 1;
    return SF_OK;
}

void nk__slots_fini(struct nk_kernel *kernel)
{
    if (kernel->has_range) {
        (void)munmap(slot_pointer(kernel, 0, 0), kernel->slot_count * NK_SLOT_STRIDE);
    }
    free(kernel->slots);
    free(kernel->slots_free);
}

sf_status nk__slot_take(struct nk_kernel *kernel, uint32_t memory_bytes, uint32_t *out_index)
{
    struct nk_slot *slot;
    uint32_t index;

    if (kernel->slot_free_count == 0) {
        return SF_LIMIT;
    }
    index = kernel->slots_free[kernel->slot_free_count - 1];
    slot = &kernel->slots[index];
    if (slot->memory_bytes > memory_bytes) {
        if (mprotect(slot_pointer(kernel, index, NK_MEMORY + memory_bytes),
                     slot->memory_bytes - memory_bytes, PROT_NONE) != 0) {
            return SF_NOMEM;
        }
        slot->memory_bytes = memory_bytes;
    } else if (slot->memory_bytes < memory_bytes) {
        if (mprotect(slot_pointer(kernel, index, NK_STACK_LOW),
                     NK_MEMORY - NK_STACK_LOW + memory_bytes, PROT_READ | PROT_WRITE) != 0) {
            return SF_NOMEM;
        }
        slot->memory_bytes = memory_bytes;
    }
    kernel->slot_free_count--;
    *out_index = index;
    return SF_OK;
}

void nk__slot_give_back(struct nk_kernel *kernel, uint32_t index)
{
    int failed =
        madvise(slot_pointer(kernel, index, NK_STACK_LOW),
                NK_MEMORY - NK_STACK_LOW + kernel->slots[index].memory_bytes, MADV_DONTNEED);

    assert(failed == 0); /* of our own private mapping it cannot fail */
    (void)failed;
    kernel->slots_free[kernel->slot_free_count++] = index;
}
