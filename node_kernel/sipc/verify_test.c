/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_test.c - the verifier on damaged modules, under sanitizers: argv[1] is sample.wasm. What
 * each rule refuses is in sipc_test.py; here the point is that no input makes the verifier read
 * outside the module, or run for ever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "verify.h"

static uint8_t sample[65536];
static size_t sample_bytes;
static struct wasm_facts facts;

static uint64_t random_state = 77;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void count_name(void *arg, uint32_t index, const char *name, size_t bytes)
{
    (void)index;
    *(size_t *)arg += bytes > 0 && name[bytes - 1] != 0;
}

/* All that reads a module, on a copy of exactly its length, so that a byte too far is seen. */
static sf_status read_all(const uint8_t *bytes, size_t length)
{
    uint8_t *copy = malloc(length > 0 ? length : 1), *stripped = NULL;
    char text[256] = "";
    size_t stripped_bytes = 0, names = 0;
    sf_status st;

    assert_non_null(copy);
    memcpy(copy, bytes, length);
    st = wasm_verify(copy, length, &facts, text, sizeof(text));
    assert_true(st == SF_OK || strncmp(text, "rule ", 5) == 0);
    wasm_function_names(copy, length, count_name, &names);
    if (st == SF_OK) {
        assert_int_equal(wasm_strip(copy, length, &stripped, &stripped_bytes), SF_OK);
        assert_int_equal(wasm_verify(stripped, stripped_bytes, &facts, text, sizeof(text)), SF_OK);
        free(stripped);
    }
    free(copy);
    return st;
}

static void the_sample_is_accepted_and_its_facts_are_right(void **state)
{
    size_t names = 0;

    (void)state;
    assert_int_equal(read_all(sample, sample_bytes), SF_OK);
    assert_int_equal(facts.pages, 2);
    assert_int_equal(facts.pages_max, 16);
    assert_int_equal(facts.import_count, 2);
    assert_int_equal(facts.function_count, 3);
    assert_int_equal(facts.table_max, 4);
    assert_int_equal(facts.types[1], 1);
    wasm_function_names(sample, sample_bytes, count_name, &names);
    assert_int_equal(names, 4); /* sip_main has an export name only */
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    for (size_t length = 0; length < sample_bytes; length++) {
        /* At a section's end only what is missing tells; custom sections may be missing. */
        if (read_all(sample, length) == SF_OK) {
            size_t rest = 0;
            wasm_function_names(sample, length, count_name, &rest);
            assert_int_equal(rest, 0);
        }
    }
}

static void every_byte_set_to_anything_telling(void **state)
{
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0x0b, 0xfc};

    (void)state;
    for (size_t at = 0; at < sample_bytes; at++) {
        const uint8_t kept = sample[at];
        for (size_t i = 0; i < sizeof(values); i++) {
            sample[at] = values[i];
            (void)read_all(sample, sample_bytes);
        }
        sample[at] = kept;
    }
}

static void random_damage(void **state)
{
    uint8_t damaged[sizeof(sample)];
    unsigned refused = 0;

    (void)state;
    for (unsigned round = 0; round < 6000; round++) {
        size_t length = sample_bytes;
        memcpy(damaged, sample, length);
        for (uint64_t flips = 1 + random_next() % 6; flips > 0; flips--) {
            const size_t at = random_next() % length;
            if (random_next() % 4 == 0) { /* a byte less */
                memmove(damaged + at, damaged + at + 1, length - at - 1);
                length--;
            } else {
                damaged[at] = (uint8_t)random_next();
            }
        }
        refused += read_all(damaged, length) != SF_OK;
    }
    assert_true(refused > 3000);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sample_is_accepted_and_its_facts_are_right),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(every_byte_set_to_anything_telling),
        cmocka_unit_test(random_damage),
    };
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;

    if (file == NULL) {
        (void)fputs("usage: verify_test sample.wasm\n", stderr);
        return 2;
    }
    sample_bytes = fread(sample, 1, sizeof(sample), file);
    (void)fclose(file);
    return cmocka_run_group_tests_name("verify", tests, NULL, NULL);
}
