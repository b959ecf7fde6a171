/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_test.c - the static check on a module and on damaged ones, under sanitizers: argv[1] is
 * flow_sample.wasm. What it finds in C programs is in flow_test.py; here the point is that a
 * module that the verifier lets through, type safe or not, never makes it read outside of its
 * tables, or run for ever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "contracts/compiler.h"
#include "flow.h"
#include "verify.h"

/* Messages in canonical order: Ask, Bad, Fine, Quit. */
static const char contract_text[] = "public contract Sample {\n"
                                    "    in message Ask();\n"
                                    "    in message Quit();\n"
                                    "    out message Bad();\n"
                                    "    out message Fine();\n"
                                    "    state Start : { Ask? -> (Bad! or Fine!) -> Start;\n"
                                    "                    Quit? -> End; }\n"
                                    "    state End : { } final;\n"
                                    "}\n";

static uint8_t sample[65536];
static size_t sample_bytes;
static struct wasm_facts facts;
static struct ctc *ctc;
static struct flow_ports ports;

static uint64_t random_state = 99;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* False: the verifier refused it. */
static bool check(const uint8_t *bytes, size_t length, struct flow_result *result)
{
    uint8_t *copy = malloc(length > 0 ? length : 1);
    char text[256];
    bool passed;

    assert_non_null(copy);
    memcpy(copy, bytes, length);
    passed = wasm_verify(copy, length, &facts, text, sizeof(text)) == SF_OK;
    if (passed) {
        assert_true(flow_check(copy, length, &ports, result));
        assert_int_equal(result->proven + result->refuted + result->left, result->count);
        assert_true(result->steps <= FLOW_STEPS_MAX + FLOW_SET_MAX);
        if (result->over != NULL) {
            assert_int_equal(result->left, result->count);
        }
    }
    free(copy);
    return passed;
}

static int setup(void **state)
{
    (void)state;
    ctc = ctc_create();
    if (ctc_add_text(ctc, "Sample.contract", contract_text, sizeof(contract_text) - 1) != SF_OK ||
        ctc_check(ctc) != SF_OK) {
        ctc_print(ctc, stderr);
        return 1;
    }
    ports.contracts[ports.contract_count++] = ctc_table(ctc_find(ctc, "Sample"));
    ports.ports[ports.port_count++] =
        (struct flow_port){.name = "server", .contract = ports.contracts[0]};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ctc_destroy(ctc);
    return 0;
}

static void every_operation_of_the_sample_is_decided(void **state)
{
    struct flow_result result;
    uint32_t reached = 0;

    (void)state;
    assert_int_equal(ct_message_find(ports.contracts[0], "Ask"), 0);
    assert_true(check(sample, sample_bytes, &result));
    assert_null(result.over);
    assert_int_equal(result.count, 3); /* one send for two calls, recv, close */
    for (uint32_t i = 0; i < result.count; i++) {
        reached += result.operations[i].reached;
    }
    assert_int_equal(reached, 3);
    /* Tag 2 is Fine, which only the exporter may send: wrong on one of two ways. */
    assert_int_equal(result.refuted, 0);
    assert_int_equal(result.proven, 2);
    assert_int_equal(result.left, 1);
    assert_int_equal(result.operations[0].verdict, FLOW_LEFT);
    assert_non_null(strstr(result.operations[0].reason, "may not send Fine in state Start"));
    flow_result_fini(&result);
}

static void every_byte_set_to_anything_telling(void **state)
{
    static const uint8_t values[] = {0x00, 0x01, 0x02, 0x03, 0x0b, 0x0f, 0x1a, 0x20, 0x7f, 0x80};
    uint32_t passed = 0;

    (void)state;
    for (size_t at = 8; at < sample_bytes; at++) {
        const uint8_t kept = sample[at];
        for (size_t i = 0; i < sizeof(values); i++) {
            struct flow_result result;
            sample[at] = values[i];
            if (check(sample, sample_bytes, &result)) {
                passed++;
                flow_result_fini(&result);
            }
        }
        sample[at] = kept;
    }
    assert_true(passed > 500);
}

static void random_damage(void **state)
{
    uint8_t damaged[sizeof(sample)];
    uint32_t passed = 0;

    (void)state;
    for (unsigned round = 0; round < 4000; round++) {
        struct flow_result result;
        memcpy(damaged, sample, sample_bytes);
        for (uint64_t flips = 1 + random_next() % 3; flips > 0; flips--) {
            damaged[random_next() % sample_bytes] = (uint8_t)random_next();
        }
        if (check(damaged, sample_bytes, &result)) {
            passed++;
            flow_result_fini(&result);
        }
    }
    assert_true(passed > 100);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_of_the_sample_is_decided),
        cmocka_unit_test(every_byte_set_to_anything_telling),
        cmocka_unit_test(random_damage),
    };
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;

    if (file == NULL) {
        (void)fputs("usage: flow_test flow_sample.wasm\n", stderr);
        return 2;
    }
    sample_bytes = fread(sample, 1, sizeof(sample), file);
    (void)fclose(file);
    return cmocka_run_group_tests_name("flow", tests, setup, teardown);
}
