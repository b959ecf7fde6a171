/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots, of two classes. The leased ranges are reserved by one inaccessible mapping each. A slot
 * that is used for the first time is taken out of it and gets one accessible region: stack, header
 * and linear memory; all else of the slot is not mapped at all, so that a SIP costs one mapping
 * (Linux puts mappings that do not ask for an address below the stack, terabytes away). The region
 * stays while the slot waits for its next SIP, so that reusing it for the same memory size costs no
 * change of mappings.
 *
 * Wiping: page faults are most of what a short life costs. So the few pages that every SIP touches
 * (top of the native stack, header, instance, top of the C stack, first data) are overwritten with
 * zeros and kept, in up to WARM_SLOTS_MAX slots; all others are given back.
 *
 * Lease: small slots are given to a node when it joins. Large ones follow from the node's id, so
 * that nobody has to keep books: the first LARGE_NODES nodes have LARGE_EACH, all others one.
 */
#include "internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_MEMORY_BYTES_MIN (8u << 20)
#define WARM_SLOTS_MAX 64u
#define C_STACK_TOP (64u << 10) /* where sipc puts it */
#define LARGE_NODES 32u
#define LARGE_EACH 32u
_Static_assert(LARGE_NODES *LARGE_EACH + FAB_NODES_MAX - LARGE_NODES <= NK_LARGE_COUNT_MAX,
               "every node has large slots of its own");

const struct nk_geometry nk__geometry[NK_SLOT_CLASS_COUNT] = {
    [NK_SMALL] = {.base = NK_SLOT_BASE,
                  .stride = NK_SLOT_STRIDE,
                  .linear_bytes = NK_MEMORY_BYTES,
                  .window_offset = NK_WINDOW_OFFSET,
                  .window_bytes = (uint32_t)(NK_MEMORY_BYTES - NK_WINDOW_OFFSET),
                  .pages_max = NK_MODULE_PAGES_MAX,
                  .count_max = NK_SLOT_COUNT_MAX,
                  .name = "small"},
    [NK_LARGE] = {.base = NK_LARGE_BASE,
                  .stride = NK_LARGE_STRIDE,
                  .linear_bytes = NK_LARGE_MEMORY_BYTES,
                  .window_offset = NK_LARGE_WINDOW_OFFSET,
                  .window_bytes = NK_LARGE_WINDOW_BYTES,
                  .pages_max = NK_LARGE_PAGES_MAX,
                  .count_max = NK_LARGE_COUNT_MAX,
                  .name = "large"},
};
_Static_assert(NK_MEMORY + NK_LARGE_MEMORY_BYTES + (2ull << 30) < NK_LARGE_STRIDE,
               "an address plus the largest constant offset stays in the slot");

#define PAGE_OF(offset) ((offset) & ~(uint64_t)(NK_PAGE_BYTES - 1))
/* Offsets in the slot, in order. */
static const struct hot {
    uint64_t from, to;
} hot[] = {
    {PAGE_OF(NK_HEAD) - NK_PAGE_BYTES, PAGE_OF(NK_HEAD) + NK_PAGE_BYTES},
    {NK_MEMORY + C_STACK_TOP - NK_PAGE_BYTES, NK_MEMORY + C_STACK_TOP + NK_PAGE_BYTES},
};
#define HOT_COUNT (sizeof(hot) / sizeof(hot[0]))

static struct nk_slots *slots_of(struct nk_kernel *kernel, uint32_t index)
{
    return &kernel->slots[nk__slot_class(index)];
}

static void *slot_pointer(const struct nk_kernel *kernel, uint32_t index, uint64_t offset)
{
    return (void *)(nk__slot_address(kernel, index) + offset);
}

uint64_t nk__slot_address(const struct nk_kernel *kernel, uint32_t index)
{
    const struct nk_geometry *geometry = &nk__geometry[nk__slot_class(index)];

    return geometry->base + (uint64_t)nk__slot_number(kernel, index) * geometry->stride;
}

uint32_t nk__slot_number(const struct nk_kernel *kernel, uint32_t index)
{
    const uint32_t first =
        (index & NK_SLOT_GUEST) != 0 ? 0 : kernel->slots[nk__slot_class(index)].first;

    return first + NK_SLOT_NUMBER(index);
}

/* --- the leased ranges --------------------------------------------------------------------------
 */

static sf_status class_init(struct nk_kernel *kernel, enum nk_slot_class slot_class, uint32_t first,
                            uint32_t count)
{
    const struct nk_geometry *geometry = &nk__geometry[slot_class];
    struct nk_slots *slots = &kernel->slots[slot_class];
    void *range;

    if (first > geometry->count_max || count > geometry->count_max - first) {
        return SF_BADARG;
    }
    slots->first = first;
    slots->count = count;
    if (count == 0) {
        return SF_OK;
    }
    slots->slots = calloc(count, sizeof(*slots->slots));
    slots->free = calloc(count, sizeof(*slots->free));
    if (slots->slots == NULL || slots->free == NULL) {
        return SF_NOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        slots->free[i] = (count - 1 - i) | (slot_class == NK_LARGE ? NK_SLOT_LARGE : 0);
    }
    slots->free_count = count;
    range =
        mmap((void *)(geometry->base + first * geometry->stride), count * geometry->stride,
             PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (range == MAP_FAILED) {
        return errno == EEXIST ? SF_EXISTS : SF_NOMEM;
    }
    slots->has_range = 1;
    return SF_OK;
}

sf_status nk__slots_init(struct nk_kernel *kernel, const struct nk_options *options)
{
    uint32_t large_first = options->large_first, large_count = options->large_count;
    sf_status st;

    if (large_count == 0) {
        const uint32_t id = options->node_id;

        large_count = id < LARGE_NODES ? LARGE_EACH : 1;
        large_first =
            id < LARGE_NODES ? id * LARGE_EACH : LARGE_NODES * LARGE_EACH + (id - LARGE_NODES);
    }
    st = class_init(kernel, NK_SMALL, options->slot_first, options->slot_count);
    if (st == SF_OK) {
        st = class_init(kernel, NK_LARGE, large_first, large_count);
    }
    kernel->slot_count = options->slot_count + large_count;
    return st;
}

void nk__slots_fini(struct nk_kernel *kernel)
{
    for (uint32_t i = 0; i < NK_SLOT_CLASS_COUNT; i++) {
        const struct nk_geometry *geometry = &nk__geometry[i];
        struct nk_slots *slots = &kernel->slots[i];

        if (slots->has_range) {
            (void)munmap((void *)(geometry->base + slots->first * geometry->stride),
                         slots->count * geometry->stride);
        }
        free(slots->slots);
        free(slots->free);
    }
}

/* --- one slot ------------------------------------------------------------------------------------
 */

static void slot_free(struct nk_kernel *kernel, uint32_t index)
{
    struct nk_slots *slots = slots_of(kernel, index);

    nk__lock(kernel);
    slots->free[slots->free_count++] = index;
    nk__unlock(kernel);
}

/* Nothing is mapped at [from, to) of the slot. */
static int region_add(void *from, uint64_t bytes)
{
    return mmap(from, bytes, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
                0) != MAP_FAILED;
}

/* A large SIP with that much memory touches most of it, and a huge page costs less to make, to copy
 * and to move than the small ones in its place. All of the region, so that it stays one mapping. */
static void huge_wish(const struct nk_kernel *kernel, uint32_t index, uint32_t memory_bytes)
{
    if (nk__slot_class(index) == NK_LARGE && memory_bytes >= HUGE_MEMORY_BYTES_MIN) {
        (void)madvise(slot_pointer(kernel, index, NK_STACK_LOW),
                      NK_MEMORY - NK_STACK_LOW + memory_bytes, MADV_HUGEPAGE); /* or small ones */
    }
}

/* Makes exactly memory_bytes of linear memory accessible. */
static int slot_resize(const struct nk_kernel *kernel, uint32_t index, struct nk_slot *slot,
                       uint32_t memory_bytes)
{
    void *end = slot_pointer(kernel, index, NK_MEMORY + slot->memory_bytes);
    int good = 1;

    if (slot->memory_bytes == 0) {
        good = ((index & NK_SLOT_GUEST) != 0 || /* nothing is reserved there */
                munmap(slot_pointer(kernel, index, 0),
                       nk__geometry[nk__slot_class(index)].stride) == 0) &&
               region_add(slot_pointer(kernel, index, NK_STACK_LOW),
                          NK_MEMORY - NK_STACK_LOW + memory_bytes);
    } else if (slot->memory_bytes < memory_bytes) {
        good = region_add(end, memory_bytes - slot->memory_bytes);
    } else if (slot->memory_bytes > memory_bytes) {
        good = munmap(slot_pointer(kernel, index, NK_MEMORY + memory_bytes),
                      slot->memory_bytes - memory_bytes) == 0;
    }
    if (good) {
        slot->memory_bytes = memory_bytes;
        huge_wish(kernel, index, memory_bytes); /* what a SIP leaves that moved may be without */
    }
    return good;
}

static struct nk_slot *slot_of_lease(struct nk_kernel *kernel, uint32_t index)
{
    return &slots_of(kernel, index)->slots[NK_SLOT_NUMBER(index)];
}

static sf_status no_mapping(char *text, size_t text_capacity)
{
    nk__say(text, text_capacity,
            "no mapping for its slot (%s); if /proc/sys/vm/max_map_count is near the number "
            "of lines of /proc/%d/maps, raise it",
            strerror(errno), (int)getpid());
    return SF_NOMEM;
}

sf_status nk__slot_take(struct nk_kernel *kernel, enum nk_slot_class slot_class,
                        uint32_t memory_bytes, uint32_t *out_index, struct nk_slot **out_slot,
                        char *text, size_t text_capacity)
{
    struct nk_slots *slots = &kernel->slots[slot_class];
    uint32_t index;

    nk__lock(kernel);
    index = slots->free_count == 0 ? UINT32_MAX : slots->free[--slots->free_count];
    nk__unlock(kernel);
    if (index == UINT32_MAX) {
        nk__say(text, text_capacity, "all %u slots of the %s class are in use", slots->count,
                nk__geometry[slot_class].name);
        return SF_LIMIT;
    }
    if (!slot_resize(kernel, index, slot_of_lease(kernel, index), memory_bytes)) {
        sf_status st = no_mapping(text, text_capacity);

        slot_free(kernel, index);
        return st;
    }
    *out_index = index;
    *out_slot = slot_of_lease(kernel, index);
    return SF_OK;
}

/* Takes just this one. False: it is not free. */
static int free_remove(struct nk_kernel *kernel, uint32_t index)
{
    struct nk_slots *slots = slots_of(kernel, index);
    uint32_t at = 0;
    int found;

    nk__lock(kernel);
    while (at < slots->free_count && slots->free[at] != index) {
        at++;
    }
    found = at < slots->free_count;
    if (found) {
        slots->free_count--;
        memmove(&slots->free[at], &slots->free[at + 1],
                (slots->free_count - at) * sizeof(slots->free[0]));
    }
    nk__unlock(kernel);
    return found;
}

static sf_status guest_claim(struct nk_kernel *kernel, uint32_t index, uint32_t memory_bytes,
                             struct nk_slot **out_slot, char *text, size_t text_capacity)
{
    struct nk_slot *slot = calloc(1, sizeof(*slot));

    if (slot == NULL) {
        return SF_NOMEM;
    }
    if (!slot_resize(kernel, index, slot, memory_bytes)) {
        const int taken = errno == EEXIST;
        sf_status st = no_mapping(text, text_capacity);

        free(slot);
        if (taken) {
            nk__say(text, text_capacity, "its slot, %u of the %s class, is in use on this node",
                    NK_SLOT_NUMBER(index), nk__geometry[nk__slot_class(index)].name);
        }
        return taken ? SF_EXISTS : st;
    }
    (void)__atomic_add_fetch(&kernel->guest_count, 1, __ATOMIC_RELAXED);
    *out_slot = slot;
    return SF_OK;
}

sf_status nk__slot_claim(struct nk_kernel *kernel, enum nk_slot_class slot_class, uint32_t number,
                         uint32_t memory_bytes, uint32_t *out_index, struct nk_slot **out_slot,
                         char *text, size_t text_capacity)
{
    const struct nk_slots *slots = &kernel->slots[slot_class];
    const uint32_t bit = slot_class == NK_LARGE ? NK_SLOT_LARGE : 0;
    struct nk_slot *slot;
    uint32_t index;

    if (number >= nk__geometry[slot_class].count_max) {
        nk__say(text, text_capacity, "there is no slot %u of the %s class", number,
                nk__geometry[slot_class].name);
        return SF_BADARG;
    }
    if (number - slots->first >= slots->count) {
        index = number | bit | NK_SLOT_GUEST;
        *out_index = index;
        return guest_claim(kernel, index, memory_bytes, out_slot, text, text_capacity);
    }
    index = (number - slots->first) | bit;
    slot = slot_of_lease(kernel, index);
    if (!free_remove(kernel, index)) {
        nk__say(text, text_capacity, "its slot, %u of the %s class, is in use on this node", number,
                nk__geometry[slot_class].name);
        return SF_EXISTS;
    }
    if (!slot_resize(kernel, index, slot, memory_bytes)) {
        sf_status st = no_mapping(text, text_capacity);

        slot_free(kernel, index);
        return st;
    }
    *out_index = index;
    *out_slot = slot;
    return SF_OK;
}

int nk__slot_grow(struct nk_sip *sip, uint64_t bytes)
{
    if (bytes > sip->image->memory_bytes) {
        return 0;
    }
    if (bytes > sip->memory_bytes) {
        if (!slot_resize(sip->kernel, sip->slot_index, sip->slot, (uint32_t)bytes)) {
            return 0;
        }
        sip->memory_bytes = bytes;
    }
    return 1;
}

int nk__slot_extend(struct nk_sip *sip, uint64_t end)
{
    uint64_t size = sip->head->memory_size;

    if (nk__slot_class(sip->slot_index) != NK_LARGE) {
        return 0;
    }
    if (size > sip->image->memory_bytes) { /* the stub keeps to it; who knows */
        size = sip->image->memory_bytes;
    }
    if (end > size) {
        return 0;
    }
    return nk__slot_grow(sip, size);
}

int nk__slot_fault(struct nk_sip *sip, uint64_t address)
{
    const uint64_t offset = address - (uint64_t)sip->memory;

    return offset >= sip->memory_bytes && offset < UINT32_MAX && nk__slot_extend(sip, offset + 1);
}

static void discard(const struct nk_kernel *kernel, uint32_t index, uint64_t from, uint64_t to)
{
    int failed = madvise(slot_pointer(kernel, index, from), to - from, MADV_DONTNEED);

    assert(failed == 0); /* of our own private mapping it cannot fail */
    (void)failed;
}

static void guest_leave(struct nk_kernel *kernel, uint32_t index, struct nk_slot *slot)
{
    (void)munmap(slot_pointer(kernel, index, NK_STACK_LOW),
                 NK_MEMORY - NK_STACK_LOW + slot->memory_bytes);
    free(slot);
    (void)__atomic_sub_fetch(&kernel->guest_count, 1, __ATOMIC_RELAXED);
}

void nk__slot_give_back(struct nk_kernel *kernel, uint32_t index, struct nk_slot *slot)
{
    struct nk_slots *slots = slots_of(kernel, index);
    uint64_t end = NK_MEMORY + slot->memory_bytes, from = NK_STACK_LOW;

    if ((index & NK_SLOT_GUEST) != 0) {
        guest_leave(kernel, index, slot);
        return;
    }
    if (!slot->warm && __atomic_load_n(&slots->warm_count, __ATOMIC_RELAXED) < WARM_SLOTS_MAX) {
        slot->warm = 1;
        (void)__atomic_add_fetch(&slots->warm_count, 1, __ATOMIC_RELAXED);
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

void nk__slot_leave(struct nk_kernel *kernel, uint32_t index, struct nk_slot *slot)
{
    struct nk_slots *slots = slots_of(kernel, index);

    if ((index & NK_SLOT_GUEST) != 0) {
        guest_leave(kernel, index, slot);
        return;
    }
    if (slot->warm) {
        slot->warm = 0;
        (void)__atomic_sub_fetch(&slots->warm_count, 1, __ATOMIC_RELAXED);
    }
    if (mmap(slot_pointer(kernel, index, 0), nk__geometry[nk__slot_class(index)].stride, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED) {
        slot->memory_bytes = 0;
    } else { /* no mapping to be had: at least the content goes */
        discard(kernel, index, NK_STACK_LOW, NK_MEMORY + slot->memory_bytes);
    }
    nk__lock(kernel);
    memmove(&slots->free[1], &slots->free[0], slots->free_count * sizeof(slots->free[0]));
    slots->free[0] = index;
    slots->free_count++;
    nk__unlock(kernel);
}
