/* SPDX-License-Identifier: Apache-2.0 */
#include "test_support.h"

#include "blob.h"

struct blobs {
    struct ctc *ctc;
    const uint8_t *bytes[2];
    size_t lengths[2];
    struct ct_contract *tables[2];
};

/* 0: TcpContract, 1: TcpConnectionContract, which it refers to. */
static void setup_blobs(struct blobs *blobs)
{
    blobs->ctc = compile_file("std/TcpContract.contract");
    static const char *const names[] = {"TcpContract", "TcpConnectionContract"};
    for (int i = 0; i < 2; i++) {
        const char *text = NULL;
        const struct ctc_contract *contract = ctc_find(blobs->ctc, names[i]);
        assert_non_null(contract);
        blobs->bytes[i] = ctc_blob(contract, &blobs->lengths[i]);
        assert_int_equal(ct_decode(blobs->bytes[i], blobs->lengths[i], &blobs->tables[i], &text),
                         SF_OK);
    }
}

static void drop_blobs(struct blobs *blobs)
{
    ct_destroy(blobs->tables[0]);
    ct_destroy(blobs->tables[1]);
    ctc_destroy(blobs->ctc);
}

/* Decodes a copy of exactly that size, so that a sanitizer sees every read past its end. */
static sf_status decode_copy(const uint8_t *bytes, size_t length, struct ct_contract **out)
{
    uint8_t *copy = malloc(length == 0 ? 1 : length);
    const char *text = NULL;

    assert_non_null(copy);
    memcpy(copy, bytes, length);
    sf_status st = ct_decode(copy, length, out, &text);
    assert_true((st == SF_OK) == (text == NULL));
    free(copy);
    return st;
}

static void a_table_says_what_the_contract_says(void **state)
{
    struct blobs blobs;

    (void)state;
    setup_blobs(&blobs);
    const struct ct_contract *t = blobs.tables[1];
    int connected = ct_state_find(t, "Connected");
    int read = ct_message_find(t, "Read");
    int data = ct_message_find(t, "Data");
    int result = ct_state_find(t, "ReadResult");
    assert_true(connected > 0 && read >= 0 && data >= 0 && result > 0);
    assert_string_equal(t->states[0].name, "Start");
    assert_int_equal(ct_step(t, (uint8_t)connected, CT_IMP, (uint32_t)read), result);
    assert_int_equal(ct_step(t, (uint8_t)connected, CT_EXP, (uint32_t)read), CT_ILLEGAL);
    assert_int_equal(ct_step(t, (uint8_t)connected, CT_EXP, (uint32_t)data), CT_ILLEGAL);
    assert_int_equal(ct_step(t, (uint8_t)result, CT_EXP, (uint32_t)data), connected);
    assert_int_equal(ct_step(t, (uint8_t)result, CT_IMP, (uint32_t)data), CT_ILLEGAL);
    assert_int_equal(ct_step(t, (uint8_t)result, CT_EXP, 31), CT_ILLEGAL);
    assert_int_equal(ct_step(t, (uint8_t)result, CT_EXP, UINT32_MAX), CT_ILLEGAL);
    assert_int_equal(ct_state_find(t, "Nowhere"), -1);
    assert_int_equal(ct_message_find(t, "Nothing"), -1);
    assert_true(t->states[ct_state_find(t, "Closed")].final);

    int accept = ct_message_find(t, "Accept");
    const struct ct_arg *arg = &t->messages[accept].args[0];
    assert_int_equal(arg->kind, CT_ARG_ENDPOINT);
    assert_int_equal(arg->side, CT_EXP);
    assert_int_equal(arg->ref, CT_REF_SELF);
    assert_int_equal(arg->state, ct_state_find(t, "PreConnected"));

    const struct ct_contract *tcp = blobs.tables[0];
    assert_int_equal(tcp->ref_count, 1);
    assert_string_equal(tcp->refs[0].name, "TcpConnectionContract");
    assert_memory_equal(tcp->refs[0].id, t->id, CT_ID_BYTES);
    uint64_t id = 0;
    for (int i = 7; i >= 0; i--) {
        id = id << 8 | t->id[i];
    }
    assert_true(t->short_id == id);
    drop_blobs(&blobs);
}

static void ids_are_the_hash_of_content_and_references(void **state)
{
    struct blobs blobs;
    const char *text = NULL;

    (void)state;
    setup_blobs(&blobs);
    assert_int_equal(ct_verify_ids(blobs.bytes, blobs.lengths, blobs.tables, 2, &text), SF_OK);
    /* TcpConnectionContract alone is complete, TcpContract without it is not. */
    assert_int_equal(ct_verify_ids(blobs.bytes + 1, blobs.lengths + 1, blobs.tables + 1, 1, &text),
                     SF_OK);
    assert_int_equal(ct_verify_ids(blobs.bytes, blobs.lengths, blobs.tables, 1, &text), SF_TRUST);
    assert_string_equal(text, "contract refers to one that is not given");
    assert_int_equal(ct_verify_ids(NULL, NULL, NULL, 0, &text), SF_OK);
    drop_blobs(&blobs);
}

static void every_truncation_and_extension_is_refused(void **state)
{
    struct blobs blobs;
    struct ct_contract *table = NULL;
    uint8_t longer[4096] = {0};

    (void)state;
    setup_blobs(&blobs);
    for (int i = 0; i < 2; i++) {
        for (size_t length = 0; length < blobs.lengths[i]; length++) {
            assert_int_equal(decode_copy(blobs.bytes[i], length, &table), SF_FORMAT);
        }
        assert_true(blobs.lengths[i] < sizeof(longer) - CT_ID_BYTES);
        memcpy(longer, blobs.bytes[i], blobs.lengths[i]);
        assert_int_equal(decode_copy(longer, blobs.lengths[i] + 1, &table), SF_FORMAT);
        assert_int_equal(decode_copy(longer, blobs.lengths[i] + CT_ID_BYTES, &table), SF_FORMAT);
    }
    drop_blobs(&blobs);
}

/* A flipped bit anywhere is either malformed, or another contract than its id says. */
static void every_flipped_bit_is_refused(void **state)
{
    struct blobs blobs;
    uint8_t bytes[4096];
    uint32_t decoded = 0;

    (void)state;
    setup_blobs(&blobs);
    for (int i = 0; i < 2; i++) {
        assert_true(blobs.lengths[i] <= sizeof(bytes));
        for (size_t bit = 0; bit < blobs.lengths[i] * 8; bit++) {
            struct ct_contract *tables[2] = {blobs.tables[0], blobs.tables[1]};
            const uint8_t *all[2] = {blobs.bytes[0], blobs.bytes[1]};
            struct ct_contract *table = NULL;
            const char *text = NULL;
            memcpy(bytes, blobs.bytes[i], blobs.lengths[i]);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (decode_copy(bytes, blobs.lengths[i], &table) != SF_OK) {
                continue;
            }
            decoded++;
            tables[i] = table;
            all[i] = bytes;
            assert_int_equal(ct_verify_ids(all, blobs.lengths, tables, 2, &text), SF_TRUST);
            assert_non_null(text);
            ct_destroy(table);
        }
    }
    assert_true(decoded > 1000); /* names, for instance, may have any letters */
    drop_blobs(&blobs);
}

static void random_changes_never_crash(void **state)
{
    struct blobs blobs;
    uint8_t bytes[4096];
    uint64_t seed = 0x5eed;

    (void)state;
    setup_blobs(&blobs);
    for (int round = 0; round < 20000; round++) {
        int i = round % 2;
        size_t length = blobs.lengths[i];
        struct ct_contract *table = NULL;
        memcpy(bytes, blobs.bytes[i], length);
        for (int change = 0; change < 1 + round % 5; change++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            bytes[(seed >> 33) % length] = (uint8_t)(seed >> 20);
        }
        if (decode_copy(bytes, length, &table) == SF_OK) {
            /* What decodes is safe to run on. */
            for (uint32_t s = 0; s < table->state_count; s++) {
                for (uint32_t tag = 0; tag < 300; tag++) {
                    uint8_t next = ct_step(table, (uint8_t)s, CT_IMP, tag);
                    assert_true(next == CT_ILLEGAL || next < table->state_count);
                    next = ct_step(table, (uint8_t)s, CT_EXP, tag);
                    assert_true(next == CT_ILLEGAL || next < table->state_count);
                }
            }
            ct_destroy(table);
        }
    }
    drop_blobs(&blobs);
}

/* --- blobs written by hand: what no compiler would write
 * ------------------------------------------- */

struct hand {
    uint8_t bytes[512];
    size_t length;
};

static void put(struct hand *hand, const void *bytes, size_t length)
{
    assert_true(hand->length + length <= sizeof(hand->bytes));
    memcpy(hand->bytes + hand->length, bytes, length);
    hand->length += length;
}

static void put_u8(struct hand *hand, uint8_t value)
{
    put(hand, &value, 1);
}

static void put_name(struct hand *hand, const char *name)
{
    put_u8(hand, (uint8_t)strlen(name));
    put(hand, name, strlen(name));
}

/* Messages A (in) and B (out) without arguments; the states are given. */
static struct hand hand_blob(uint8_t state_count, const char *states, size_t states_bytes,
                             uint8_t slots_imp, uint8_t slots_exp)
{
    struct hand body = {0};
    struct hand blob = {0};
    const uint8_t counts[] = {2, state_count, 0, 0, 0, 0, 0, 0, slots_imp, slots_exp};

    put_name(&body, "C");
    put(&body, counts, sizeof(counts));
    put(&body, "\1A\0\0\1B\1\0", 8);
    put(&body, states, states_bytes);
    put(&blob, CT_BLOB_MAGIC, CT_BLOB_MAGIC_BYTES);
    blob.length += CT_ID_BYTES;
    const uint8_t length[4] = {(uint8_t)body.length, (uint8_t)(body.length >> 8), 0, 0};
    put(&blob, length, 4);
    put(&blob, body.bytes, body.length);
    return blob;
}

static void expect_decode(const struct hand *blob, const char *expected)
{
    struct ct_contract *table = NULL;
    const char *text = NULL;
    sf_status st = ct_decode(blob->bytes, blob->length, &table, &text);

    if (expected == NULL) {
        assert_int_equal(st, SF_OK);
        ct_destroy(table);
    } else {
        assert_int_equal(st, SF_FORMAT);
        assert_string_equal(text, expected);
    }
}

#define HAND(count, states, imp, exp) hand_blob(count, states, sizeof(states) - 1, imp, exp)

static void tables_no_compiler_writes_are_refused(void **state)
{
    (void)state;
    /* S: A? -> T, T: B! -> S. */
    struct hand good = HAND(2, "\1S\0\1\0\1\1T\1\1\1\0", 1, 1);
    expect_decode(&good, NULL);
    struct hand cycle = HAND(1, "\1S\0\1\0\0", 1, 1);
    expect_decode(&cycle, "contract table has a cycle in one direction only");
    struct hand bounds = HAND(2, "\1S\0\1\0\1\1T\1\1\1\0", 1, 2);
    expect_decode(&bounds, "contract table gives wrong queue bounds");
    struct hand direction = HAND(2, "\1S\1\1\0\1\1T\1\1\1\0", 1, 1);
    expect_decode(&direction, "contract table has an action against its message's direction");
    struct hand target = HAND(2, "\1S\0\1\0\2\1T\1\1\1\0", 1, 1);
    expect_decode(&target, "contract table has an action to no state");
    struct hand message = HAND(2, "\1S\0\1\2\1\1T\1\1\1\0", 1, 1);
    expect_decode(&message, "contract table has an action of no message");
    struct hand twice = HAND(2, "\1S\0\1\0\1\1S\1\1\1\0", 1, 1);
    expect_decode(&twice, "contract table has two states of one name");
    struct hand none = HAND(0, "", 1, 1);
    expect_decode(&none, "contract table has no state, or too many");
    struct hand side = HAND(2, "\1S\0\1\0\1\1T\2\1\1\0", 1, 1);
    expect_decode(&side, "contract table has a state of no side");
    struct hand name = HAND(2, "\1S\0\1\0\1\1-\1\1\1\0", 1, 1);
    expect_decode(&name, "contract table has a name with a forbidden character");
    struct hand order = HAND(3, "\1S\0\1\0\1\1T\1\1\1\0\1R\0\0", 1, 1);
    expect_decode(&order, "contract table has names out of order or twice");
    struct hand implicit = HAND(2, "\1S\0\1\0\1\3S.1\1\1\1\0", 1, 1);
    expect_decode(&implicit, NULL);
    struct hand half = HAND(2, "\1S\0\1\0\1\2S.\1\1\1\0", 1, 1);
    expect_decode(&half, "contract table has a name with a forbidden character");
}

static void destroy_takes_null(void **state)
{
    (void)state;
    ct_destroy(NULL);
    ctc_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_says_what_the_contract_says),
        cmocka_unit_test(ids_are_the_hash_of_content_and_references),
        cmocka_unit_test(every_truncation_and_extension_is_refused),
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(random_changes_never_crash),
        cmocka_unit_test(tables_no_compiler_writes_are_refused),
        cmocka_unit_test(destroy_takes_null),
    };
    return cmocka_run_group_tests_name("contract tables", tests, NULL, NULL);
}
