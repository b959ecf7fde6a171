/* SPDX-License-Identifier: Apache-2.0 */
#include "flow_state.h"

#include <stdlib.h>
#include <string.h>

struct flow_value flow_unknown(void)
{
    return (struct flow_value){0};
}

struct flow_value flow_const(int64_t number)
{
    return (struct flow_value){.number = number, .kind = FLOW_CONST};
}

struct flow_state *flow_state_new(void)
{
    return calloc(1, sizeof(struct flow_state) + FLOW_VALUES_MAX * sizeof(struct flow_value));
}

struct flow_state *flow_state_copy(const struct flow_state *s)
{
    struct flow_state *copy =
        malloc(sizeof(struct flow_state) + FLOW_VALUES_MAX * sizeof(struct flow_value));

    if (copy != NULL) {
        memcpy(copy, s, sizeof(*s) + s->value_count * sizeof(struct flow_value));
    }
    return copy;
}

/* --- memory --------------------------------------------------------------------------------------
 */

/* Four of the bytes of a value of eight. */
static struct flow_value half_of(struct flow_value value, bool upper)
{
    if (value.kind == FLOW_CONST) {
        return flow_const((int32_t)((uint64_t)value.number >> (upper ? 32 : 0)));
    }
    if (value.kind == FLOW_HANDLE) {
        return upper ? flow_const(0) : value;
    }
    return flow_unknown();
}

static struct flow_value load_halves(const struct flow_state *s, uint64_t address)
{
    const struct flow_value low = flow_load(s, address, 4), high = flow_load(s, address + 4, 4);

    if (high.kind != FLOW_CONST) {
        return flow_unknown();
    }
    if (low.kind == FLOW_CONST) {
        return flow_const((int64_t)((uint64_t)high.number << 32 | (uint32_t)low.number));
    }
    return low.kind == FLOW_HANDLE && high.number == 0 ? low : flow_unknown();
}

struct flow_value flow_load(const struct flow_state *s, uint64_t address, uint32_t bytes)
{
    for (uint32_t i = 0; i < s->place_count; i++) {
        const struct flow_place *place = &s->places[i];
        const uint64_t skip = address - place->address;
        if (address < place->address || skip + bytes > place->bytes) {
            continue;
        }
        if (bytes == place->bytes) {
            return place->value;
        }
        return bytes == 4 && skip % 4 == 0 ? half_of(place->value, skip == 4) : flow_unknown();
    }
    return bytes == 8 ? load_halves(s, address) : flow_unknown();
}

void flow_forget(struct flow_state *s, uint64_t address, uint64_t bytes)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < s->place_count; i++) {
        const struct flow_place place = s->places[i];
        if ((uint64_t)place.address + place.bytes <= address || address + bytes <= place.address) {
            s->places[kept++] = place;
        }
    }
    s->place_count = kept;
}

/* Makes two places of four bytes out of one of eight, so that a store to one keeps the other. */
static void split(struct flow_state *s, uint64_t address)
{
    for (uint32_t i = 0; i < s->place_count && s->place_count < FLOW_PLACES_MAX; i++) {
        struct flow_place *place = &s->places[i];
        const struct flow_value high = half_of(place->value, true);
        if (place->bytes != 8 || (place->address != address && place->address + 4u != address) ||
            high.kind == FLOW_UNKNOWN) {
            continue;
        }
        s->places[s->place_count++] =
            (struct flow_place){.address = place->address + 4, .bytes = 4, .value = high};
        place->value = half_of(place->value, false);
        place->bytes = 4;
        return;
    }
}

void flow_store(struct flow_state *s, uint64_t address, uint32_t bytes, struct flow_value value)
{
    if (bytes == 4) {
        split(s, address);
    }
    flow_forget(s, address, bytes);
    if (value.kind == FLOW_UNKNOWN || bytes < 4 || address > UINT32_MAX - 8 ||
        (value.kind == FLOW_NEGATIVE && bytes == 8)) {
        return;
    }
    if (bytes == 4 && value.kind == FLOW_CONST) {
        value.number = (int32_t)value.number;
    }
    if (s->place_count == FLOW_PLACES_MAX) { /* the oldest is forgotten */
        memmove(s->places, s->places + 1, (FLOW_PLACES_MAX - 1) * sizeof(s->places[0]));
        s->place_count--;
    }
    s->places[s->place_count++] =
        (struct flow_place){.address = (uint32_t)address, .bytes = bytes, .value = value};
}

/* --- endpoints -----------------------------------------------------------------------------------
 */

int flow_endpoint_new(struct flow_state *s, const struct ct_contract *contract, uint8_t side,
                      uint8_t state)
{
    for (uint32_t i = 0; i < FLOW_ENDPOINTS_MAX; i++) {
        if (s->endpoints[i].life == FLOW_FREE) {
            s->endpoints[i] = (struct flow_endpoint){
                .contract = contract,
                .life = FLOW_OPEN,
                .side = side,
                .state = state,
            };
            return (int)i;
        }
    }
    return -1;
}

static void renumber(struct flow_value *value, int number[], int *used)
{
    if (value->kind == FLOW_HANDLE) {
        if (number[value->number] < 0) {
            number[value->number] = (*used)++;
        }
        value->number = number[value->number];
    }
}

void flow_tidy(struct flow_state *s)
{
    struct flow_endpoint endpoints[FLOW_ENDPOINTS_MAX] = {{0}};
    int number[FLOW_ENDPOINTS_MAX];
    int used = 0;

    for (uint32_t i = 0; i < FLOW_ENDPOINTS_MAX; i++) {
        number[i] = -1;
    }
    for (uint32_t i = 0; i < s->value_count; i++) {
        renumber(&s->values[i], number, &used);
    }
    for (uint32_t i = 0; i < 8; i++) {
        renumber(&s->globals[i], number, &used);
    }
    for (uint32_t i = 0; i < s->place_count; i++) {
        renumber(&s->places[i].value, number, &used);
    }
    for (uint32_t i = 0; i < FLOW_ENDPOINTS_MAX; i++) {
        if (number[i] >= 0) {
            endpoints[number[i]] = s->endpoints[i];
        }
    }
    memcpy(s->endpoints, endpoints, sizeof(endpoints));
}

/* --- sets ----------------------------------------------------------------------------------------
 */

bool flow_set_add(struct flow_set *set, struct flow_state *s)
{
    if (set->count == set->room) {
        const uint32_t room = set->room == 0 ? 8 : 2 * set->room;
        struct flow_state **more = NULL;
        if (set->count < FLOW_SET_MAX) {
            more = realloc(set->items, room * sizeof(struct flow_state *));
        }
        if (more == NULL) {
            free(s);
            return false;
        }
        set->items = more;
        set->room = room;
    }
    set->items[set->count++] = s;
    return true;
}

void flow_set_clear(struct flow_set *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        free(set->items[i]);
    }
    free(set->items);
    *set = (struct flow_set){0};
}

static bool same_value(struct flow_value a, struct flow_value b)
{
    return a.kind == b.kind && a.number == b.number;
}

static bool same_endpoints(const struct flow_state *a, const struct flow_state *b)
{
    return a->value_count == b->value_count &&
           memcmp(a->endpoints, b->endpoints, sizeof(a->endpoints)) == 0;
}

/* Both tidy. Places may lie in different order and then count as different, which only costs. */
static bool same_state(const struct flow_state *a, const struct flow_state *b)
{
    return same_endpoints(a, b) && a->place_count == b->place_count &&
           memcmp(a->globals, b->globals, sizeof(a->globals)) == 0 &&
           memcmp(a->values, b->values, a->value_count * sizeof(a->values[0])) == 0 &&
           memcmp(a->places, b->places, a->place_count * sizeof(a->places[0])) == 0;
}

/* May they be joined without forgetting where a handle is? */
static bool same_handles(const struct flow_state *a, const struct flow_state *b)
{
    if (!same_endpoints(a, b)) {
        return false;
    }
    for (uint32_t i = 0; i < a->value_count; i++) {
        const bool handle = a->values[i].kind == FLOW_HANDLE || b->values[i].kind == FLOW_HANDLE;
        if (handle && !same_value(a->values[i], b->values[i])) {
            return false;
        }
    }
    return true;
}

static bool is_negative(struct flow_value v)
{
    return v.kind == FLOW_NEGATIVE || (v.kind == FLOW_CONST && v.number < 0);
}

/* Into *to. Answers whether that changed. */
static bool join_value(struct flow_value *to, struct flow_value from)
{
    struct flow_value both = flow_unknown();

    if (to->kind == FLOW_UNKNOWN || same_value(*to, from)) {
        return false;
    }
    if (is_negative(*to) && is_negative(from)) {
        both.kind = FLOW_NEGATIVE;
    }
    if (same_value(*to, both)) {
        return false;
    }
    *to = both;
    return true;
}

static bool join(struct flow_state *to, const struct flow_state *from)
{
    bool changed = false;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < to->value_count; i++) {
        changed = join_value(&to->values[i], from->values[i]) || changed;
    }
    for (uint32_t i = 0; i < 8; i++) {
        changed = join_value(&to->globals[i], from->globals[i]) || changed;
    }
    for (uint32_t i = 0; i < to->place_count; i++) {
        struct flow_place place = to->places[i];
        bool there = false;
        for (uint32_t k = 0; k < from->place_count && !there; k++) {
            there =
                from->places[k].address == place.address && from->places[k].bytes == place.bytes;
            if (there) {
                changed = join_value(&place.value, from->places[k].value) || changed;
            }
        }
        if (there && place.value.kind != FLOW_UNKNOWN) {
            to->places[kept++] = place;
        } else {
            changed = true;
        }
    }
    to->place_count = kept;
    if (changed) {
        flow_tidy(to);
    }
    return changed;
}

bool flow_set_merge(struct flow_set *set, struct flow_state *s, bool joins,
                    struct flow_state **out_new)
{
    flow_tidy(s);
    *out_new = NULL;
    for (uint32_t i = 0; i < set->count; i++) {
        if (same_state(set->items[i], s)) {
            free(s);
            return true;
        }
    }
    for (uint32_t i = 0; i < set->count; i++) {
        struct flow_state *other = set->items[i];
        if ((joins || set->count >= FLOW_APART_MAX) && same_handles(other, s)) {
            *out_new = join(other, s) ? other : NULL;
            free(s);
            return true;
        }
    }
    if (set->count >= 4 * FLOW_APART_MAX) {
        for (uint32_t i = 0; i < set->count; i++) {
            struct flow_state *other = set->items[i];
            if (same_endpoints(other, s)) {
                *out_new = join(other, s) ? other : NULL;
                free(s);
                return true;
            }
        }
    }
    if (!flow_set_add(set, s)) {
        return false;
    }
    *out_new = s;
    return true;
}
