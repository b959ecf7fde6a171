/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots. The whole leased range is one inaccessible mapping; a slot in use has one accessible
 * region: stack, header and linear memory. It stays accessible while the slot waits for its next
 * SIP, so that reusing it for the same memory size costs no change of mappings.
 *
 * Wiping: page faults are most of what a short life costs. So the few pages that every SIP touches
 * (top of the native stack, header, first page of the instance, top of the C stack, first data) are
 * overwritten with zeros and kept, in up to WARM_SLOTS_MAX slots; all others are given back.
 */
#include "internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define WARM_SLOTS_MAX 64u
#define C_STACK_TOP (64u << 10) /* where sipc puts it */

/* Offsets in the slot, in order. */
static const struct hot {
    uint64_t from, to;
} hot[] = {
    {NK_STACK_TOP - 2 * NK_PAGE_BYTES, NK_INSTANCE + NK_PAGE_BYTES},
    {NK_MEMORY + C_STACK_TOP - NK_PAGE_BYTES, NK_MEMORY + C_STACK_TOP + NK_PAGE_BYTES},
};
#define HOT_COUNT (sizeof(hot) / sizeof(hot[0]))

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

static void slot_free(struct nk_kernel *kernel, uint32_t index)
{
    nk__lock(kernel);
    kernel->slots_free[kernel->slot_free_count++] = index;
    nk__unlock(kernel);
}

sf_status nk__slot_take(struct nk_kernel *kernel, uint32_t memory_bytes, uint32_t *out_index)
{
    struct nk_slot *slot;
    uint32_t index;

    nk__lock(kernel);
    index =
        kernel->slot_free_count == 0 ? UINT32_MAX : kernel->slots_free[--kernel->slot_free_count];
    nk__unlock(kernel);
    if (index == UINT32_MAX) {
        return SF_LIMIT;
    }
    slot = &kernel->slots[index];
    if (slot->memory_bytes > memory_bytes) {
        if (mprotect(slot_pointer(kernel, index, NK_MEMORY + memory_bytes),
                     slot->memory_bytes - memory_bytes, PROT_NONE) != 0) {
            slot_free(kernel, index);
            return SF_NOMEM;
        }
        slot->memory_bytes = memory_bytes;
    } else if (slot->memory_bytes < memory_bytes) {
        if (mprotect(slot_pointer(kernel, index, NK_STACK_LOW),
                     NK_MEMORY - NK_STACK_LOW + memory_bytes, PROT_READ | PROT_WRITE) != 0) {
            slot_free(kernel, index);
            return SF_NOMEM;
        }
        slot->memory_bytes = memory_bytes;
    }
    *out_index = index;
    return SF_OK;
}

static void discard(const struct nk_kernel *kernel, uint32_t index, uint64_t from, uint64_t to)
{
    int failed = madvise(slot_pointer(kernel, index, from), to - from, MADV_DONTNEED);

    assert(failed == 0); /* of our own private mapping it cannot fail */
    (void)failed;
}

void nk__slot_give_back(struct nk_kernel *kernel, uint32_t index)
{
    struct nk_slot *slot = &kernel->slots[index];
    uint64_t end = NK_MEMORY + slot->memory_bytes, from = NK_STACK_LOW;

    if (!slot->warm &&
        __atomic_load_n(&kernel->slot_warm_count, __ATOMIC_RELAXED) < WARM_SLOTS_MAX) {
        slot->warm = 1;
        (void)__atomic_add_fetch(&kernel->slot_warm_count, 1, __ATOMIC_RELAXED);
    }
    for (size_t i = 0; slot->warm && i < HOT_COUNT && hot[i].to <= end; i++) {
        discard(kernel, index, from, hot[i].from);
        memset(slot_pointer(kernel, index, hot[i].from), 0, hot[i].to - hot[i].from);
        from = hot[i].to;
    }
    if (from < end) {
        discard(kernel, index, from, end);
    }
    slot_free(kernel, index);
}
