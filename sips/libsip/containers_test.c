/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containers_test.c - libsip's containers and arenas against simple models, on random operations,
 * also when memory runs out. The sanitizers watch every byte.
 */
#include "test_support.h"

#include <sodium.h>

#define ROUNDS 20000

static int setup(void **state)
{
    (void)state;
    host_reset();
    return 0;
}

static int nothing_is_left(void **state)
{
    (void)state;
    assert_int_equal(host.allocations, 0);
    return 0;
}

/* --- lists -------------------------------------------------------------------------------------
 */

struct thing {
    int number;
    struct sip_list link;
};

static void a_list_keeps_order(void **state)
{
    struct thing things[5];
    struct sip_list list;
    int seen = 0;

    (void)state;
    sip_list_init(&list);
    assert_true(sip_list_empty(&list));
    assert_null(sip_list_pop(&list));
    for (int i = 0; i < 5; i++) {
        things[i].number = i;
        sip_list_init(&things[i].link);
        sip_list_push(&list, &things[i].link);
    }
    SIP_LIST_EACH(at, after, &list)
    {
        assert_int_equal(SIP_CONTAINER(at, struct thing, link)->number, seen++);
        if (seen % 2 == 0) {
            sip_list_remove(at);
            assert_true(sip_list_empty(at));
        }
    }
    assert_int_equal(seen, 5);
    sip_list_remove(&things[1].link); /* twice is fine */
    sip_list_insert(&list, &things[1].link);
    assert_ptr_equal(sip_list_pop(&list), &things[1].link);
    assert_ptr_equal(sip_list_pop(&list), &things[0].link);
    assert_ptr_equal(sip_list_pop(&list), &things[2].link);
    assert_ptr_equal(sip_list_pop(&list), &things[4].link);
    assert_true(sip_list_empty(&list));
}

/* --- arrays ------------------------------------------------------------------------------------
 */

static void an_array_is_as_its_model(void **state)
{
    uint32_t model[300], count = 0, number = 0;
    struct sip_array array;

    (void)state;
    sip_array_init(&array, sizeof(uint32_t), 300);
    for (int i = 0; i < ROUNDS; i++) {
        const uint32_t index = random_below(count + 2);
        switch (random_below(6)) {
        case 0:
        case 1:
            number++;
            assert_int_equal(sip_array_push(&array, &number), count < 300 ? 0 : -SF_LIMIT);
            if (count < 300) {
                model[count++] = number;
            }
            break;
        case 2:
            number++;
            if (index > count) {
                assert_int_equal(sip_array_insert(&array, index, &number), -SF_BADARG);
            } else if (count < 300) {
                assert_int_equal(sip_array_insert(&array, index, &number), 0);
                memmove(&model[index + 1], &model[index], (count - index) * sizeof(number));
                model[index] = number;
                count++;
            }
            break;
        case 3:
            sip_array_remove(&array, index);
            if (index < count) {
                count--;
                memmove(&model[index], &model[index + 1], (count - index) * sizeof(number));
            }
            break;
        case 4:
            sip_array_remove_swap(&array, index);
            if (index < count) {
                model[index] = model[--count];
            }
            break;
        default:
            assert_int_equal(sip_array_pop(&array, &number), count > 0);
            if (count > 0) {
                assert_int_equal(number, model[--count]);
            }
            number += 1000;
            break;
        }
        assert_int_equal(array.count, count);
        for (uint32_t k = 0; k < count; k++) {
            assert_int_equal(*(uint32_t *)sip_array_at(&array, k), model[k]);
        }
        assert_null(sip_array_at(&array, count));
        if (i % 1000 == 999) { /* and again from nothing */
            sip_array_fini(&array);
            count = 0;
        }
    }
    sip_array_fini(&array);
}

static void an_array_without_memory_stays(void **state)
{
    struct sip_array array;
    uint64_t item = 5;

    (void)state;
    sip_array_init(&array, sizeof(item), 0);
    host.fail_after = 1;
    for (int i = 0; i < 8; i++) {
        assert_int_equal(sip_array_push(&array, NULL), 0);
    }
    assert_int_equal(sip_array_reserve(&array, 8), 0);
    while (array.count < array.capacity) {
        assert_int_equal(sip_array_push(&array, &item), 0);
    }
    assert_int_equal(sip_array_push(&array, &item), -SF_NOMEM);
    assert_int_equal(sip_array_reserve(&array, UINT32_MAX), -SF_NOMEM);
    assert_int_equal(array.count, array.capacity);
    assert_int_equal(*(uint64_t *)sip_array_at(&array, 0), 0);
    sip_array_fini(&array);
}

static int compare_u32(void *arg, const void *a, const void *b)
{
    uint32_t x, y;

    ++*(uint64_t *)arg;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

static int libc_compare_u32(const void *a, const void *b)
{
    uint64_t none = 0;

    return compare_u32(&none, a, b);
}

static void sorting_and_finding(void **state)
{
    static uint32_t ours[4096], theirs[4096];
    uint64_t steps;

    (void)state;
    for (int round = 0; round < 300; round++) {
        const uint32_t count = random_below(round % 50 == 0 ? 4096 : 64);
        const uint32_t range = round % 3 == 0 ? 4 : 100000;

        for (uint32_t i = 0; i < count; i++) {
            ours[i] = theirs[i] = round % 7 == 0 ? i : random_below(range);
        }
        steps = 0;
        sip_sort(ours, count, sizeof(ours[0]), compare_u32, &steps);
        qsort(theirs, count, sizeof(theirs[0]), libc_compare_u32);
        assert_memory_equal(ours, theirs, count * sizeof(ours[0]));
        assert_true(steps <= 2ull * count * 13 + 2);
        for (int i = 0; i < 20; i++) {
            const uint32_t key = random_below(range + 2);
            uint32_t wanted = 0;
            while (wanted < count && ours[wanted] < key) {
                wanted++;
            }
            assert_int_equal(
                sip_lower_bound(ours, count, sizeof(ours[0]), &key, compare_u32, &steps), wanted);
        }
    }
}

/* --- bytes -------------------------------------------------------------------------------------
 */

static void bytes_are_as_their_model(void **state)
{
    static char model[3000];
    size_t count = 0;
    struct sip_bytes bytes;

    (void)state;
    sip_bytes_init(&bytes, 2500);
    assert_int_equal(sip_bytes_span(&bytes).bytes, 0);
    sip_bytes_consume(&bytes, 5);
    for (int i = 0; i < ROUNDS; i++) {
        char piece[200];
        size_t length = random_below(sizeof(piece));
        int32_t wanted;

        if (random_below(3) == 0) {
            sip_bytes_consume(&bytes, length * 3);
            length = length * 3 < count ? length * 3 : count;
            count -= length;
            memmove(model, model + length, count);
            continue;
        }
        for (size_t k = 0; k < length; k++) {
            piece[k] = (char)random_u32();
        }
        wanted = count + length > 2500 ? -SF_LIMIT : 0;
        assert_int_equal(sip_bytes_add(&bytes, piece, length), wanted);
        if (wanted == 0) {
            memcpy(model + count, piece, length);
            count += length;
        } else {
            assert_int_equal(sip_bytes_add_text(&bytes, ""), -SF_LIMIT); /* it remembers */
            assert_int_equal(bytes.failed, -SF_LIMIT);
            assert_int_equal(bytes.count, count);
            sip_bytes_clear(&bytes);
            count = 0;
        }
        assert_int_equal(bytes.count, count);
        assert_memory_equal(bytes.at, model, count);
        assert_int_equal(bytes.at[count], 0);
    }
    sip_bytes_fini(&bytes);
}

static void text_is_built_in_pieces(void **state)
{
    struct sip_bytes text;

    (void)state;
    sip_bytes_init(&text, 40);
    (void)sip_bytes_add_text(&text, "HTTP/1.1 ");
    (void)sip_bytes_format(&text, "%u %s", 200u, "OK");
    (void)sip_bytes_add_byte(&text, '\r');
    (void)sip_bytes_add_byte(&text, '\n');
    assert_int_equal(text.failed, 0);
    assert_string_equal(text.at, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(sip_bytes_format(&text, "%40d", 1), -SF_LIMIT);
    assert_string_equal(text.at, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(sip_bytes_format(&text, "x"), -SF_LIMIT);
    sip_bytes_clear(&text);
    assert_string_equal(text.at, "");
    assert_int_equal(sip_bytes_format(&text, "%40d", 1), 0); /* just fits */
    sip_bytes_fini(&text);
    host.fail_after = 0;
    assert_int_equal(sip_bytes_add_text(&text, "x"), -SF_NOMEM);
    assert_null(text.at);
}

/* --- rings -------------------------------------------------------------------------------------
 */

static void a_ring_is_as_its_model(void **state)
{
    (void)state;
    for (uint32_t capacity = 1; capacity < 40; capacity += 1 + capacity / 3) {
        uint32_t model[64], count = 0, number = 0, peeked;
        struct sip_ring ring;

        assert_int_equal(sip_ring_create(&ring, capacity, sizeof(uint32_t)), 0);
        for (int i = 0; i < 2000; i++) {
            uint32_t items[64], some = random_below(capacity + 3), done;
            const uint32_t *first;

            if (random_below(2) == 0) {
                for (uint32_t k = 0; k < some; k++) {
                    items[k] = number + k;
                }
                done = sip_ring_put(&ring, items, some);
                assert_int_equal(done, some < capacity - count ? some : capacity - count);
                memcpy(&model[count], items, done * sizeof(items[0]));
                count += done;
                number += done;
            } else {
                done = sip_ring_take(&ring, random_below(4) == 0 ? NULL : items, some);
                assert_int_equal(done, some < count ? some : count);
                count -= done;
                memmove(model, &model[done], count * sizeof(model[0]));
            }
            first = sip_ring_peek(&ring, &peeked);
            assert_int_equal(ring.count, count);
            assert_int_equal(peeked > 0, count > 0);
            assert_true(peeked <= count);
            assert_memory_equal(first, model, peeked * sizeof(model[0]));
        }
        while (sip_ring_take(&ring, &number, 1) == 1) {
            assert_int_equal(number, model[0]);
            memmove(model, &model[1], --count * sizeof(model[0]));
        }
        sip_ring_fini(&ring);
    }
}

static void a_ring_that_could_not_be_made(void **state)
{
    struct sip_ring ring;
    uint32_t none;

    (void)state;
    assert_int_equal(sip_ring_create(&ring, 0, 4), -SF_BADARG);
    assert_int_equal(sip_ring_create(&ring, 4, 0), -SF_BADARG);
    host.fail_after = 0;
    assert_int_equal(sip_ring_create(&ring, 4, 4), -SF_NOMEM);
    assert_int_equal(sip_ring_put(&ring, "abcd", 1), 0);
    assert_int_equal(sip_ring_take(&ring, &none, 1), 0);
    assert_null(sip_ring_peek(&ring, &none));
    sip_ring_fini(&ring);
}

/* --- maps --------------------------------------------------------------------------------------
 */

static void the_hash_is_siphash(void **state)
{
    (void)state;
    for (int i = 0; i < 2000; i++) {
        uint8_t bytes[100], theirs[8];
        uint64_t key[2] = {random_u64(), random_u64()}, ours;
        const size_t count = random_below(sizeof(bytes));

        randombytes_buf_deterministic(bytes, count, (const uint8_t[32]){(uint8_t)i});
        ours = sip_hash(key, bytes, count);
        assert_int_equal(crypto_shorthash(theirs, bytes, count, (const uint8_t *)key), 0);
        assert_memory_equal(&ours, theirs, sizeof(ours));
    }
}

#define KEYS 400u

/* Keys by number; the model is an array. */
struct map_case {
    struct sip_map map;
    bool there[KEYS];
    uint64_t value[KEYS];
    uint32_t count;
    bool of_texts;
};

/* Among the texts: the empty one, one with a zero in it, and long ones. */
static struct sip_span text_key(uint32_t number, char text[80])
{
    const int length = number == 0   ? 0
                       : number == 1 ? sprintf(text, "k%c1", 0)
                                     : sprintf(text, number % 5 == 0 ? "%060u" : "key%u", number);
    const struct sip_span span = {text, (size_t)length};

    return span;
}

static struct sip_map_entry *map_find(struct map_case *c, uint32_t number)
{
    char text[80];

    return c->of_texts ? sip_map_find_text(&c->map, text_key(number, text))
                       : sip_map_find_number(&c->map, (uint64_t)number << 32 | number);
}

static void map_step(struct map_case *c, uint32_t number)
{
    const uint64_t value = random_u64();
    char text[80];
    struct sip_map_entry *entry = map_find(c, number);

    assert_int_equal(entry != NULL, c->there[number]);
    if (entry != NULL) {
        assert_true(entry->value == c->value[number]);
    }
    if (random_below(5) < 3) {
        const int32_t wanted = !c->there[number] && c->count == 300 ? -SF_LIMIT : 0;
        const int32_t got =
            c->of_texts ? sip_map_put_text(&c->map, text_key(number, text), value)
                        : sip_map_put_number(&c->map, (uint64_t)number << 32 | number, value);
        assert_int_equal(got, wanted);
        if (got == 0) {
            c->count += !c->there[number];
            c->there[number] = true;
            c->value[number] = value;
        }
    } else {
        const bool removed = c->of_texts
                                 ? sip_map_remove_text(&c->map, text_key(number, text))
                                 : sip_map_remove_number(&c->map, (uint64_t)number << 32 | number);
        assert_int_equal(removed, c->there[number]);
        c->count -= removed;
        c->there[number] = false;
    }
    assert_int_equal(c->map.count, c->count);
}

/* Every second entry goes on the way; every entry is met once. */
static void map_walk(struct map_case *c)
{
    bool seen[KEYS] = {false};

    for (uint32_t i = c->map.count; i-- > 0;) {
        const uint64_t value = c->map.entries[i].value;
        uint32_t number = 0;
        while (number < KEYS && (!c->there[number] || c->value[number] != value)) {
            number++;
        }
        if (number == KEYS) {
            fail_msg("an entry that was never put");
            return;
        }
        assert_false(seen[number]);
        seen[number] = true;
        if (i % 2 == 0) {
            sip_map_remove_at(&c->map, i);
            c->there[number] = false;
            c->count--;
        }
    }
    for (uint32_t number = 0; number < KEYS; number++) {
        assert_int_equal(map_find(c, number) != NULL, c->there[number]);
        assert_true(seen[number] || !c->there[number]);
    }
}

static void a_map_is_as_its_model(void **state)
{
    static struct map_case c;

    (void)state;
    for (int of_texts = 0; of_texts < 2; of_texts++) {
        memset(&c, 0, sizeof(c));
        c.of_texts = of_texts == 1;
        sip_map_init(&c.map, 300);
        for (int i = 0; i < ROUNDS; i++) {
            map_step(&c, random_below(i % 4000 < 2000 ? KEYS : 40));
            if (i % 1500 == 1499) {
                map_walk(&c);
            }
        }
        sip_map_fini(&c.map);
        assert_null(map_find(&c, 3));
        assert_int_equal(host.allocations, 0);
    }
}

static void a_map_without_memory_stays(void **state)
{
    struct sip_map map;
    char text[80];

    (void)state;
    for (uint32_t fail_after = 0; fail_after < 40; fail_after++) {
        uint32_t put = 0;

        sip_map_init(&map, 0);
        host.fail_after = fail_after;
        while (put < 60 && sip_map_put_text(&map, text_key(put, text), put) == 0) {
            put++;
        }
        assert_int_equal(map.count, put);
        for (uint32_t i = 0; i < put; i++) {
            assert_int_equal(sip_map_find_text(&map, text_key(i, text))->value, i);
        }
        assert_null(sip_map_find_text(&map, text_key(put, text)));
        host.fail_after = UINT32_MAX;
        assert_int_equal(sip_map_put_text(&map, text_key(put, text), put), 0);
        sip_map_fini(&map);
    }
    assert_int_equal(sip_map_put_text(&map, (struct sip_span){text, 65536}, 1), -SF_LIMIT);
}

/* --- priority queues ---------------------------------------------------------------------------
 */

static void a_pqueue_is_as_its_model(void **state)
{
    static struct sip_pqueue_node nodes[200];
    uint64_t put_at[200] = {0}, now = 0; /* 0: not in */
    struct sip_pqueue queue = {0};
    uint32_t count = 0;

    (void)state;
    memset(nodes, 0, sizeof(nodes));
    for (int i = 0; i < 4 * ROUNDS; i++) {
        const uint32_t index = random_below(200);
        int best = -1;

        switch (random_below(i % 2000 < 1000 ? 4 : 3)) {
        case 0:
        case 3:
            sip_pqueue_put(&queue, &nodes[index], (int64_t)random_below(50) - 25);
            count += put_at[index] == 0;
            put_at[index] = ++now;
            break;
        case 1:
            sip_pqueue_remove(&queue, &nodes[index]);
            count -= put_at[index] != 0;
            put_at[index] = 0;
            break;
        default:
            for (int k = 0; k < 200; k++) {
                if (put_at[k] != 0 &&
                    (best < 0 || nodes[k].order < nodes[best].order ||
                     (nodes[k].order == nodes[best].order && put_at[k] < put_at[best]))) {
                    best = k;
                }
            }
            assert_ptr_equal(queue.first, best < 0 ? NULL : &nodes[best]);
            assert_ptr_equal(sip_pqueue_take(&queue), best < 0 ? NULL : &nodes[best]);
            if (best >= 0) {
                put_at[best] = 0;
                count--;
            }
            break;
        }
        assert_int_equal(queue.count, count);
        assert_int_equal(sip_pqueue_holds(&nodes[index]), put_at[index] != 0);
    }
}

/* --- memory ------------------------------------------------------------------------------------
 */

static void sizes_change_and_content_stays(void **state)
{
    uint8_t *memory = NULL;
    size_t had = 0;

    (void)state;
    for (int i = 0; i < 2000; i++) {
        const size_t bytes = 1 + random_below(5000);
        uint8_t *moved = sip_realloc(memory, bytes);

        assert_non_null(moved);
        for (size_t k = 0; k < had && k < bytes; k++) {
            assert_int_equal(moved[k], (uint8_t)(k * 31));
        }
        for (size_t k = 0; k < bytes; k++) {
            moved[k] = (uint8_t)(k * 31);
        }
        memory = moved;
        had = bytes;
    }
    host.fail_after = 0;
    assert_null(sip_realloc(memory, 1000000)); /* and the old one is still good */
    assert_int_equal(memory[had - 1], (uint8_t)((had - 1) * 31));
    assert_ptr_equal(sip_realloc(memory, 1), memory);
    assert_null(sip_realloc(memory, 0));
    host.fail_after = UINT32_MAX;
    assert_null(sip_alloc_zeroed(SIZE_MAX / 2, 3));
    assert_null(sip_alloc_zeroed(0, 3));
    memory = sip_alloc_zeroed(100, 7);
    for (size_t k = 0; k < 700; k++) {
        assert_int_equal(memory[k], 0);
    }
    sip_free(memory);
}

static void an_arena_gives_apart_and_takes_at_once(void **state)
{
    struct sip_arena arena;
    struct {
        uint8_t *at;
        size_t bytes;
    } parts[100];
    const char *volatile none = NULL;

    (void)state;
    sip_arena_init(&arena, 500, 20000);
    for (int round = 0; round < 50; round++) {
        uint32_t taken = 0;

        for (; taken < 100; taken++) {
            parts[taken].bytes = 1 + random_below(taken % 10 == 0 ? 900 : 100);
            parts[taken].at = sip_arena_take(&arena, parts[taken].bytes);
            if (parts[taken].at == NULL) {
                break;
            }
            assert_int_equal((uintptr_t)parts[taken].at % 16, 0);
            memset(parts[taken].at, (int)taken, parts[taken].bytes);
        }
        assert_true(taken > 10 && arena.taken_bytes <= 20000);
        for (uint32_t i = 0; i < taken; i++) {
            for (size_t k = 0; k < parts[i].bytes; k++) {
                assert_int_equal(parts[i].at[k], i);
            }
        }
        if (round % 2 == 0) {
            sip_arena_reset(&arena);
            assert_int_equal(host.allocations, 1);
        } else {
            sip_arena_fini(&arena);
            assert_int_equal(host.allocations, 0);
        }
    }
    assert_null(sip_arena_take(&arena, 0));
    assert_null(sip_arena_take(&arena, SIZE_MAX));
    assert_null(sip_arena_take(&arena, SIZE_MAX - 20));
    assert_null(sip_arena_take(&arena, 20001));
    assert_string_equal(sip_arena_text(&arena, "fabric", 3), "fab");
    assert_string_equal(sip_arena_text(&arena, none, 0), "");
    assert_null(sip_arena_text(&arena, "x", SIZE_MAX));
    sip_arena_fini(&arena);
    host.fail_after = 0;
    assert_null(sip_arena_take(&arena, 1));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, nothing_is_left)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_list_keeps_order),
        TEST(an_array_is_as_its_model),
        TEST(an_array_without_memory_stays),
        TEST(sorting_and_finding),
        TEST(bytes_are_as_their_model),
        TEST(text_is_built_in_pieces),
        TEST(a_ring_is_as_its_model),
        TEST(a_ring_that_could_not_be_made),
        TEST(the_hash_is_siphash),
        TEST(a_map_is_as_its_model),
        TEST(a_map_without_memory_stays),
        TEST(a_pqueue_is_as_its_model),
        TEST(sizes_change_and_content_stays),
        TEST(an_arena_gives_apart_and_takes_at_once),
    };

    if (sodium_init() < 0) {
        return 1;
    }
    random_seed(2);
    return cmocka_run_group_tests_name("libsip-containers", tests, NULL, NULL);
}
