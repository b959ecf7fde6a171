/* SPDX-License-Identifier: Apache-2.0 */
/* sort.c - quicksort of 32,768 records by a key, insertion sort for short runs. */
#include "tax.h"

#define COUNT 32768u
#define SHORT 12

struct record {
    uint32_t key;
    uint32_t value;
};

static struct record records[COUNT];

static void insert(struct record *from, struct record *to)
{
    for (struct record *next = from + 1; next <= to; next++) {
        const struct record record = *next;
        struct record *at = next;

        while (at > from && at[-1].key > record.key) {
            *at = at[-1];
            at--;
        }
        *at = record;
    }
}

static uint32_t middle(uint32_t a, uint32_t b, uint32_t c)
{
    const uint32_t low = a < b ? a : b, high = a < b ? b : a;

    return c < low ? low : c > high ? high : c;
}

static void sort(struct record *from, struct record *to)
{
    while (to - from > SHORT) {
        const uint32_t pivot = middle(from->key, from[(to - from) / 2].key, to->key);
        struct record *low = from, *high = to;

        while (low <= high) {
            while (low->key < pivot) {
                low++;
            }
            while (high->key > pivot) {
                high--;
            }
            if (low <= high) {
                const struct record kept = *low;
                *low++ = *high;
                *high-- = kept;
            }
        }
        if (high - from < to - low) { /* the longer part stays in the loop */
            sort(from, high);
            from = low;
        } else {
            sort(low, to);
            to = high;
        }
    }
    if (from < to) {
        insert(from, to);
    }
}

uint64_t tax_work(uint32_t rounds)
{
    uint32_t random = 7;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < rounds; i++) {
        for (uint32_t k = 0; k < COUNT; k++) {
            records[k] = (struct record){tax_random(&random), k};
        }
        sort(records, records + COUNT - 1);
        for (uint32_t k = 1; k < COUNT; k++) {
            if (records[k - 1].key > records[k].key) {
                __builtin_trap();
            }
        }
        sum = tax_fold(sum, (uint64_t)records[i % COUNT].key << 32 | records[COUNT / 2].value);
    }
    return sum;
}
