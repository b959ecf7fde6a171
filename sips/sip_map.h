/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip_map.h - a hash map from texts or numbers to 64 bits, of bounded size.
 *
 * Model: entries lie beside each other in the order in which they were put; a table of places, at
 * most half full, finds them (linear probing). Removing puts the last entry in the hole, so order
 * changes only then. The hash is SipHash-2-4 with a random key of this map: whoever chooses keys
 * cannot make them collide.
 *
 * Ownership: the map keeps copies of text keys. A value is 64 bits that the map does not look at: a
 * number, a handle, or a pointer (SIP_MAP_POINTER and SIP_MAP_VALUE convert) to what is the
 * caller's. Limits: texts of up to 65,535 bytes, which may hold zeros. Errors: 0; -SF_LIMIT:
 * count_max entries, or a text too long; -SF_NOMEM. The map is then as it was.
 */
#ifndef SIP_MAP_H
#define SIP_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sip_text.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SIP_MAP_COUNT_MAX (1u << 28)
#define SIP_MAP_TEXT_BYTES_MAX 65535u
#define SIP_MAP_VALUE(pointer) ((uint64_t)(uintptr_t)(pointer))
#define SIP_MAP_POINTER(type, value) ((type *)(uintptr_t)(value))

struct sip_map_entry {
    uint64_t number;      /* the key, or a text's hash */
    struct sip_span text; /* the key, terminated; {NULL, 0} in a map of numbers */
    uint64_t value;       /* may be changed in place */
};

struct sip_map {
    struct sip_map_entry *entries;
    uint32_t *places; /* 1 + index of an entry; 0: free */
    uint32_t count, capacity, count_max;
    uint32_t place_count; /* a power of two */
    uint64_t key[2];      /* of the hash */
};

/* count_max 0: SIP_MAP_COUNT_MAX, or as memory allows. Allocates nothing yet; asks the kernel for
 * random bytes once. */
void sip_map_init(struct sip_map *map, uint32_t count_max);
/* Frees all. The map is then empty, and may be used again. */
void sip_map_fini(struct sip_map *map);

/* Puts or changes. A map is of texts or of numbers, from its first entry on. */
int32_t sip_map_put_text(struct sip_map *map, struct sip_span key, uint64_t value);
int32_t sip_map_put_number(struct sip_map *map, uint64_t key, uint64_t value);
/* NULL: not there. Good until the next put or remove. */
struct sip_map_entry *sip_map_find_text(const struct sip_map *map, struct sip_span key);
struct sip_map_entry *sip_map_find_number(const struct sip_map *map, uint64_t key);
/* False: it was not there. */
bool sip_map_remove_text(struct sip_map *map, struct sip_span key);
bool sip_map_remove_number(struct sip_map *map, uint64_t key);

/*
 * All entries: for (uint32_t i = map.count; i-- > 0;) with map.entries[i]. Going down, as here, the
 * current entry may be removed on the way (sip_map_remove_at), and every other one is still met
 * exactly once.
 */
void sip_map_remove_at(struct sip_map *map, uint32_t index);

/* SipHash-2-4 of some bytes. */
uint64_t sip_hash(const uint64_t key[2], const void *bytes, size_t count);

#ifdef __cplusplus
}
#endif

#endif
