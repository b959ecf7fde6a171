/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map.c - sip_map.h.
 *
 * Removing closes gaps in the table by moving entries of the same run back, so there are no marks
 * of removed entries and look-ups do not slow down with time.
 */
#include "sip_map.h"

#include "sip.h"

#define MAP_CAPACITY_MIN 8u

/* --- hash ----------------------------------------------------------------------------------------
 */

static uint64_t rotated(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_rounds(uint64_t v[4], unsigned count)
{
    while (count-- > 0) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotated(v[1], 13) ^ v[0];
        v[3] = rotated(v[3], 16) ^ v[2];
        v[0] = rotated(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotated(v[1], 17) ^ v[2];
        v[3] = rotated(v[3], 21) ^ v[0];
        v[2] = rotated(v[2], 32);
    }
}

uint64_t sip_hash(const uint64_t key[2], const void *bytes, size_t count)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    const uint8_t *at = bytes;
    uint64_t word;

    for (size_t left = count;; left -= 8, at += 8) {
        const size_t whole = left < 8 ? left : 8;
        word = 0;
        if (whole > 0) {
            memcpy(&word, at, whole); /* little-endian everywhere */
        }
        if (left < 8) {
            word |= (uint64_t)count << 56;
        }
        v[3] ^= word;
        sip_rounds(v, 2);
        v[0] ^= word;
        if (left < 8) {
            break;
        }
    }
    v[2] ^= 0xff;
    sip_rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* --- places --------------------------------------------------------------------------------------
 */

static uint64_t hash_of(const struct sip_map *map, const struct sip_map_entry *entry)
{
    return entry->text.at != NULL ? entry->number
                                  : sip_hash(map->key, &entry->number, sizeof(entry->number));
}

static uint32_t place_of(const struct sip_map *map, uint64_t hash)
{
    return (uint32_t)hash & (map->place_count - 1);
}

/* The place that holds 1 + index. It is there. */
static uint32_t find_place(const struct sip_map *map, uint32_t index)
{
    uint32_t place = place_of(map, hash_of(map, &map->entries[index]));

    while (map->places[place] != index + 1) {
        place = (place + 1) & (map->place_count - 1);
    }
    return place;
}

static void put_place(struct sip_map *map, uint32_t index)
{
    uint32_t place = place_of(map, hash_of(map, &map->entries[index]));

    while (map->places[place] != 0) {
        place = (place + 1) & (map->place_count - 1);
    }
    map->places[place] = index + 1;
}

/* Frees a place; those behind it that probing would not find any more move up. */
static void free_place(struct sip_map *map, uint32_t hole)
{
    const uint32_t mask = map->place_count - 1;

    for (uint32_t place = (hole + 1) & mask; map->places[place] != 0; place = (place + 1) & mask) {
        const uint32_t home = place_of(map, hash_of(map, &map->entries[map->places[place] - 1]));
        if (((place - home) & mask) >= ((place - hole) & mask)) {
            map->places[hole] = map->places[place];
            hole = place;
        }
    }
    map->places[hole] = 0;
}

static int32_t map_grow(struct sip_map *map)
{
    uint32_t capacity = map->capacity == 0 ? MAP_CAPACITY_MIN : 2 * map->capacity;
    struct sip_map_entry *entries;
    uint32_t *places;
    size_t bytes;

    if (__builtin_mul_overflow((size_t)capacity, sizeof(*entries), &bytes)) {
        return -SF_NOMEM;
    }
    places = sip_alloc_zeroed(2 * (size_t)capacity, sizeof(*places));
    if (places == NULL) {
        return -SF_NOMEM;
    }
    entries = sip_realloc(map->entries, bytes);
    if (entries == NULL) {
        sip_free(places);
        return -SF_NOMEM;
    }
    sip_free(map->places);
    map->entries = entries;
    map->places = places;
    map->capacity = capacity;
    map->place_count = 2 * capacity;
    for (uint32_t i = 0; i < map->count; i++) {
        put_place(map, i);
    }
    return 0;
}

/* --- calls ---------------------------------------------------------------------------------------
 */

void sip_map_init(struct sip_map *map, uint32_t count_max)
{
    memset(map, 0, sizeof(*map));
    map->count_max =
        count_max == 0 || count_max > SIP_MAP_COUNT_MAX ? SIP_MAP_COUNT_MAX : count_max;
    (void)nk_entropy(map->key, sizeof(map->key));
}

void sip_map_fini(struct sip_map *map)
{
    for (uint32_t i = 0; i < map->count; i++) {
        sip_free((void *)(uintptr_t)map->entries[i].text.at);
    }
    sip_free(map->entries);
    sip_free(map->places);
    map->entries = NULL;
    map->places = NULL;
    map->count = 0;
    map->capacity = 0;
    map->place_count = 0;
}

static struct sip_map_entry *find(const struct sip_map *map, uint64_t hash, uint64_t number,
                                  const struct sip_span *text)
{
    if (map->count == 0) {
        return NULL;
    }
    for (uint32_t place = place_of(map, hash); map->places[place] != 0;
         place = (place + 1) & (map->place_count - 1)) {
        struct sip_map_entry *entry = &map->entries[map->places[place] - 1];
        if (entry->number == number &&
            (text == NULL ||
             (entry->text.bytes == text->bytes &&
              (text->bytes == 0 || memcmp(entry->text.at, text->at, text->bytes) == 0)))) {
            return entry;
        }
    }
    return NULL;
}

struct sip_map_entry *sip_map_find_text(const struct sip_map *map, struct sip_span key)
{
    const uint64_t hash = sip_hash(map->key, key.at, key.bytes);

    return find(map, hash, hash, &key);
}

struct sip_map_entry *sip_map_find_number(const struct sip_map *map, uint64_t key)
{
    return find(map, sip_hash(map->key, &key, sizeof(key)), key, NULL);
}

/* Takes entry->text over on 0. */
static int32_t map_add(struct sip_map *map, const struct sip_map_entry *entry)
{
    int32_t result;

    if (map->count == map->count_max) {
        return -SF_LIMIT;
    }
    if (map->count == map->capacity) {
        result = map_grow(map);
        if (result != 0) {
            return result;
        }
    }
    map->entries[map->count] = *entry;
    put_place(map, map->count);
    map->count++;
    return 0;
}

int32_t sip_map_put_text(struct sip_map *map, struct sip_span key, uint64_t value)
{
    struct sip_map_entry *there, entry = {.value = value};
    char *copy;
    int32_t result;

    if (key.bytes > SIP_MAP_TEXT_BYTES_MAX) {
        return -SF_LIMIT;
    }
    entry.number = sip_hash(map->key, key.at, key.bytes);
    there = find(map, entry.number, entry.number, &key);
    if (there != NULL) {
        there->value = value;
        return 0;
    }
    copy = sip_alloc(key.bytes + 1);
    if (copy == NULL) {
        return -SF_NOMEM;
    }
    if (key.bytes > 0) {
        memcpy(copy, key.at, key.bytes);
    }
    copy[key.bytes] = '\0';
    entry.text.at = copy;
    entry.text.bytes = key.bytes;
    result = map_add(map, &entry);
    if (result != 0) {
        sip_free(copy);
    }
    return result;
}

int32_t sip_map_put_number(struct sip_map *map, uint64_t key, uint64_t value)
{
    const struct sip_map_entry entry = {.number = key, .value = value};
    struct sip_map_entry *there = sip_map_find_number(map, key);

    if (there != NULL) {
        there->value = value;
        return 0;
    }
    return map_add(map, &entry);
}

void sip_map_remove_at(struct sip_map *map, uint32_t index)
{
    const uint32_t last = map->count - 1;

    if (index >= map->count) {
        return;
    }
    free_place(map, find_place(map, index));
    sip_free((void *)(uintptr_t)map->entries[index].text.at);
    if (index != last) {
        map->places[find_place(map, last)] = index + 1;
        map->entries[index] = map->entries[last];
    }
    map->count = last;
}

bool sip_map_remove_text(struct sip_map *map, struct sip_span key)
{
    const struct sip_map_entry *entry = sip_map_find_text(map, key);

    if (entry != NULL) {
        sip_map_remove_at(map, (uint32_t)(entry - map->entries));
    }
    return entry != NULL;
}

bool sip_map_remove_number(struct sip_map *map, uint64_t key)
{
    const struct sip_map_entry *entry = sip_map_find_number(map, key);

    if (entry != NULL) {
        sip_map_remove_at(map, (uint32_t)(entry - map->entries));
    }
    return entry != NULL;
}
