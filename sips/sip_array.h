/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip_array.h - an array that grows, of things of one size; sorting and finding.
 *
 * Model: `count` things of `item_bytes` each, beside each other at `items`, with room for
 * `capacity`. Room doubles when it is used up, never past count_max.
 * Ownership: the array owns its memory, not what the things point at. Pointers into it are good
 * until the next call that adds.
 * Errors: 0; -SF_LIMIT: count_max is reached; -SF_NOMEM. The array is then as it was.
 */
#ifndef SIP_ARRAY_H
#define SIP_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sip_array {
    void *items;
    uint32_t count, capacity, count_max;
    uint32_t item_bytes;
};

/* item_bytes > 0. count_max 0: bounded by memory only. Allocates nothing yet. */
void sip_array_init(struct sip_array *array, uint32_t item_bytes, uint32_t count_max);
/* Frees the memory. The array is then empty, and may be used again. */
void sip_array_fini(struct sip_array *array);
/* Room for `count` things in all, so that adding up to there cannot fail. */
int32_t sip_array_reserve(struct sip_array *array, uint32_t count);
/* Copies one thing, which may not lie in the array itself, to the end; item NULL: adds zeros. */
int32_t sip_array_push(struct sip_array *array, const void *item);
/* Before place `index` (0 to count); the ones behind it move up. item NULL: zeros. -SF_BADARG. */
int32_t sip_array_insert(struct sip_array *array, uint32_t index, const void *item);
/* Takes the last one off; out_item may be NULL. False: there is none. */
bool sip_array_pop(struct sip_array *array, void *out_item);
/* The ones behind move down; order stays. Nothing happens with an index that is not there. */
void sip_array_remove(struct sip_array *array, uint32_t index);
/* The last one takes its place: constant time, order changes. */
void sip_array_remove_swap(struct sip_array *array, uint32_t index);
/* NULL: not there. */
void *sip_array_at(const struct sip_array *array, uint32_t index);

/* Below 0: a before b. Must be a total order, or the result has some order, but no harm is done. */
typedef int (*sip_compare)(void *arg, const void *a, const void *b);

/* In place, without memory, in count * log2(count) steps whatever the input. Equal things may
 * change places. */
void sip_sort(void *items, size_t count, size_t item_bytes, sip_compare compare, void *arg);
/* In sorted things: index of the first that is not before `key` (count: all are). compare gets the
 * thing as a, the key as b. */
size_t sip_lower_bound(const void *items, size_t count, size_t item_bytes, const void *key,
                       sip_compare compare, void *arg);

#ifdef __cplusplus
}
#endif

#endif
