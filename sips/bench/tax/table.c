/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - a hash table with chains: insert, look up, remove. Much of it is pointers. */
#include "tax.h"

#define BUCKETS 4096u
#define ENTRIES 8000u

struct entry {
    struct entry *next;
    uint32_t key;
    uint32_t value;
};

static struct entry *buckets[BUCKETS];
static struct entry entries[ENTRIES];

static struct entry **find(uint32_t key)
{
    struct entry **link = &buckets[(key * 2654435761u) >> 20];

    while (*link != NULL && (*link)->key != key) {
        link = &(*link)->next;
    }
    return link;
}

uint64_t tax_work(uint32_t rounds)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < rounds; i++) {
        uint32_t random = i + 11;

        for (uint32_t k = 0; k < ENTRIES; k++) {
            const uint32_t key = tax_random(&random) % (ENTRIES * 4);
            struct entry **link = find(key);

            if (*link == NULL) {
                entries[k] = (struct entry){.key = key};
                *link = &entries[k];
            }
            (*link)->value += k;
        }
        for (uint32_t k = 0; k < ENTRIES * 4; k++) {
            const struct entry *entry = *find(k);

            sum += entry == NULL ? 1 : entry->value;
        }
        for (uint32_t k = 0; k < ENTRIES * 4; k += 3) {
            struct entry **link = find(k);

            if (*link != NULL) {
                *link = (*link)->next;
            }
        }
        for (uint32_t k = 0; k < BUCKETS; k++) {
            for (const struct entry *e = buckets[k]; e != NULL; e = e->next) {
                sum = tax_fold(sum, e->key);
            }
            buckets[k] = NULL;
        }
    }
    return sum;
}
