/* SPDX-License-Identifier: Apache-2.0 */
/*
 * array.c - sip_array.h. Sorting is heap sort: no memory, no recursion, no bad input.
 */
#include "sip_array.h"

#include "sip.h"

#define ARRAY_CAPACITY_MIN 8u

static void *item_at(void *items, size_t index, size_t item_bytes)
{
    return (char *)items + index * item_bytes;
}

void sip_array_init(struct sip_array *array, uint32_t item_bytes, uint32_t count_max)
{
    array->items = NULL;
    array->count = 0;
    array->capacity = 0;
    array->count_max = count_max == 0 ? UINT32_MAX : count_max;
    array->item_bytes = item_bytes;
}

void sip_array_fini(struct sip_array *array)
{
    sip_free(array->items);
    array->items = NULL;
    array->count = 0;
    array->capacity = 0;
}

int32_t sip_array_reserve(struct sip_array *array, uint32_t count)
{
    uint64_t capacity = array->capacity * (uint64_t)2;
    size_t bytes;
    void *items;

    if (count <= array->capacity) {
        return 0;
    }
    if (count > array->count_max) {
        return -SF_LIMIT;
    }
    capacity = capacity < ARRAY_CAPACITY_MIN ? ARRAY_CAPACITY_MIN : capacity;
    capacity = capacity < count ? count : capacity;
    capacity = capacity > array->count_max ? array->count_max : capacity;
    if (__builtin_mul_overflow(capacity, (uint64_t)array->item_bytes, &bytes)) {
        return -SF_NOMEM;
    }
    items = sip_realloc(array->items, bytes);
    if (items == NULL) {
        return -SF_NOMEM;
    }
    array->items = items;
    array->capacity = (uint32_t)capacity;
    return 0;
}

int32_t sip_array_insert(struct sip_array *array, uint32_t index, const void *item)
{
    int32_t result;
    char *at;

    if (index > array->count) {
        return -SF_BADARG;
    }
    if (array->count == UINT32_MAX) {
        return -SF_LIMIT;
    }
    result = sip_array_reserve(array, array->count + 1);
    if (result != 0) {
        return result;
    }
    at = item_at(array->items, index, array->item_bytes);
    memmove(at + array->item_bytes, at, (size_t)(array->count - index) * array->item_bytes);
    if (item != NULL) {
        memcpy(at, item, array->item_bytes);
    } else {
        memset(at, 0, array->item_bytes);
    }
    array->count++;
    return 0;
}

int32_t sip_array_push(struct sip_array *array, const void *item)
{
    return sip_array_insert(array, array->count, item);
}

bool sip_array_pop(struct sip_array *array, void *out_item)
{
    if (array->count == 0) {
        return false;
    }
    array->count--;
    if (out_item != NULL) {
        memcpy(out_item, item_at(array->items, array->count, array->item_bytes), array->item_bytes);
    }
    return true;
}

void sip_array_remove(struct sip_array *array, uint32_t index)
{
    char *at;

    if (index < array->count) {
        at = item_at(array->items, index, array->item_bytes);
        array->count--;
        memmove(at, at + array->item_bytes, (size_t)(array->count - index) * array->item_bytes);
    }
}

void sip_array_remove_swap(struct sip_array *array, uint32_t index)
{
    if (index < array->count) {
        array->count--;
        memmove(item_at(array->items, index, array->item_bytes),
                item_at(array->items, array->count, array->item_bytes), array->item_bytes);
    }
}

void *sip_array_at(const struct sip_array *array, uint32_t index)
{
    return index < array->count ? item_at(array->items, index, array->item_bytes) : NULL;
}

static void swap(char *a, char *b, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        const char byte = a[i];
        a[i] = b[i];
        b[i] = byte;
    }
}

/* Lets the thing at `index` sink to where it belongs among the first `count`, greatest on top. */
static void sink(void *items, size_t index, size_t count, size_t item_bytes, sip_compare compare,
                 void *arg)
{
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= count) {
            return;
        }
        if (child + 1 < count && compare(arg, item_at(items, child, item_bytes),
                                         item_at(items, child + 1, item_bytes)) < 0) {
            child++;
        }
        if (compare(arg, item_at(items, index, item_bytes), item_at(items, child, item_bytes)) >=
            0) {
            return;
        }
        swap(item_at(items, index, item_bytes), item_at(items, child, item_bytes), item_bytes);
        index = child;
    }
}

void sip_sort(void *items, size_t count, size_t item_bytes, sip_compare compare, void *arg)
{
    for (size_t i = count / 2; i > 0; i--) {
        sink(items, i - 1, count, item_bytes, compare, arg);
    }
    for (size_t left = count; left > 1; left--) {
        swap(items, item_at(items, left - 1, item_bytes), item_bytes);
        sink(items, 0, left - 1, item_bytes, compare, arg);
    }
}

size_t sip_lower_bound(const void *items, size_t count, size_t item_bytes, const void *key,
                       sip_compare compare, void *arg)
{
    size_t low = 0;

    while (count > 0) {
        const size_t half = count / 2;
        const char *middle = (const char *)items + (low + half) * item_bytes;
        if (compare(arg, middle, key) < 0) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return low;
}
