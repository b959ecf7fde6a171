/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handshake against published examples, against a second implementation (reference.py), and
 * against what a hostile wire can do.
 */
#include "handshake.h"
#include "seal.h"
#include "test_example.h"

#include "examples.h"

#define HEADER_BYTES 24u

struct side {
    struct fab__pair pair;
    struct fab__handshake handshake;
    uint8_t ephemeral[FAB__KEY_BYTES];
    uint8_t header[HEADER_BYTES]; /* of its own hello */
    uint8_t message[FAB__HANDSHAKE_BYTES];
    uint8_t tx[FAB__KEY_BYTES];
    uint8_t rx[FAB__KEY_BYTES];
};

static struct side sides[2]; /* initiator, responder */

static void fill(uint8_t *bytes, uint32_t length, uint8_t seed)
{
    for (uint32_t i = 0; i < length; i++) {
        bytes[i] = (uint8_t)(seed + 7u * i);
    }
}

static void pairs_make(const uint8_t secrets[2][FAB__KEY_BYTES])
{
    uint8_t public_key[FAB__KEY_BYTES];

    for (int i = 0; i < 2; i++) {
        assert_int_equal(crypto_scalarmult_base(public_key, secrets[1 - i]), 0);
        assert_int_equal(fab__pair_init(&sides[i].pair, secrets[i], public_key), SF_OK);
        assert_memory_equal(sides[i].pair.peer, public_key, sizeof(public_key));
    }
    assert_memory_equal(sides[0].pair.own, sides[1].pair.peer, FAB__KEY_BYTES);
    assert_memory_equal(sides[0].pair.shared, sides[1].pair.shared, FAB__KEY_BYTES);
}

static int setup(void **state)
{
    uint8_t secrets[2][FAB__KEY_BYTES];

    (void)state;
    memset(sides, 0, sizeof(sides));
    for (int i = 0; i < 2; i++) {
        fill(secrets[i], sizeof(secrets[i]), (uint8_t)(1 + i));
        fill(sides[i].ephemeral, FAB__KEY_BYTES, (uint8_t)(33 + i));
        fill(sides[i].header, HEADER_BYTES, (uint8_t)(65 + i));
    }
    pairs_make(secrets);
    for (int i = 0; i < 2; i++) {
        fab__handshake_begin(&sides[i].handshake, &sides[i].pair, i == 0);
    }
    return 0;
}

static sf_status say(struct side *side, uint32_t header_bytes)
{
    return fab__handshake_write(&side->handshake, side->header, header_bytes, side->ephemeral,
                                side->message);
}

static sf_status hear(struct side *side, const struct side *from)
{
    return fab__handshake_read(&side->handshake, from->header, HEADER_BYTES, from->message);
}

static sf_status keys(struct side *side)
{
    return fab__handshake_keys(&side->handshake, side->tx, side->rx);
}

static void expect_agreement(void)
{
    assert_int_equal(keys(&sides[0]), SF_OK);
    assert_int_equal(keys(&sides[1]), SF_OK);
    assert_memory_equal(sides[0].tx, sides[1].rx, FAB__KEY_BYTES);
    assert_memory_equal(sides[1].tx, sides[0].rx, FAB__KEY_BYTES);
    assert_memory_not_equal(sides[0].tx, sides[0].rx, FAB__KEY_BYTES);
}

/* --- what must come out ----------------------------------------------------------------------- */

static void both_sides_agree(void **state)
{
    (void)state;
    assert_int_equal(say(&sides[0], HEADER_BYTES), SF_OK);
    assert_int_equal(hear(&sides[1], &sides[0]), SF_OK);
    assert_int_equal(say(&sides[1], HEADER_BYTES), SF_OK);
    assert_int_equal(hear(&sides[0], &sides[1]), SF_OK);
    expect_agreement();
}

/* The vectors of github.com/flynn/noise (vectors.txt) for this protocol with empty payloads. */
static void published_examples_come_out(void **state)
{
    static const struct {
        const char *prologue, *messages[2];
    } published[] = {
        {"",
         {"358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd1662540add9701c614f83639fc5b84"
          "69"
          "a824e1",
          "64b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d48466adae6f9cdefe2c94ee03225c"
          "37"
          "604b0a"}},
        {"6e6f74736563726574",
         {"358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd1662543e047c5ed566988814daa1e9"
          "e4"
          "605341",
          "64b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d484664938a09e1060496bb538cb5f"
          "75"
          "115a31"}},
    };
    static const char *const texts[] = {"yellowsubmarine", "submarineyellow"};
    static const char *const sealed[] = {
        "3dc2f873e6658db54bb9c572f74b4c1cf45ad75c65239938a138836f952884",
        "8e3bc17a298d558e3a06e40efb7b7fb5c96c4aa1d5e4d5f787d2515e14b998",
    };
    static const uint8_t nonce[12];
    uint8_t secrets[2][FAB__KEY_BYTES];
    uint8_t expected[512];
    uint8_t out[64];

    (void)state;
    for (uint32_t i = 0; i < sizeof(published) / sizeof(published[0]); i++) {
        uint8_t prologue[512];
        uint32_t prologue_bytes = unhex(published[i].prologue, prologue);

        for (uint8_t k = 0; k < FAB__KEY_BYTES; k++) {
            secrets[0][k] = k;
            secrets[1][k] = (uint8_t)(k + 1);
            sides[0].ephemeral[k] = (uint8_t)(k + 0x20);
            sides[1].ephemeral[k] = (uint8_t)(k + 0x41);
        }
        pairs_make(secrets);
        for (int side = 0; side < 2; side++) {
            memcpy(sides[side].header, prologue, sizeof(sides[side].header));
            fab__handshake_begin(&sides[side].handshake, &sides[side].pair, side == 0);
        }
        assert_int_equal(say(&sides[0], prologue_bytes), SF_OK);
        assert_int_equal(unhex(published[i].messages[0], expected), FAB__HANDSHAKE_BYTES);
        assert_memory_equal(sides[0].message, expected, FAB__HANDSHAKE_BYTES);
        assert_int_equal(
            fab__handshake_read(&sides[1].handshake, prologue, prologue_bytes, sides[0].message),
            SF_OK);
        assert_int_equal(say(&sides[1], 0), SF_OK);
        assert_int_equal(unhex(published[i].messages[1], expected), FAB__HANDSHAKE_BYTES);
        assert_memory_equal(sides[1].message, expected, FAB__HANDSHAKE_BYTES);
        assert_int_equal(fab__handshake_read(&sides[0].handshake, NULL, 0, sides[1].message),
                         SF_OK);
        expect_agreement();
        for (int side = 0; side < 2; side++) {
            assert_int_equal(crypto_aead_chacha20poly1305_ietf_encrypt(
                                 out, NULL, (const uint8_t *)texts[side], strlen(texts[side]), NULL,
                                 0, NULL, nonce, sides[side].tx),
                             0);
            assert_memory_equal(out, expected, unhex(sealed[side], expected));
        }
    }
}

static void the_reference_says_the_same(void **state)
{
    uint8_t secrets[2][FAB__KEY_BYTES];
    uint8_t bytes[512];

    (void)state;
    for (uint32_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        const struct example *example = &examples[i];

        for (int side = 0; side < 2; side++) {
            unhex_key(example->secrets[side], secrets[side]);
            unhex_key(example->ephemerals[side], sides[side].ephemeral);
            assert_int_equal(unhex(example->headers[side], bytes), HEADER_BYTES);
            memcpy(sides[side].header, bytes, HEADER_BYTES);
        }
        pairs_make(secrets);
        for (int side = 0; side < 2; side++) {
            fab__handshake_begin(&sides[side].handshake, &sides[side].pair, side == 0);
        }
        for (int side = 0; side < 2; side++) {
            assert_int_equal(say(&sides[side], HEADER_BYTES), SF_OK);
            assert_int_equal(unhex(example->messages[side], bytes), FAB__HANDSHAKE_BYTES);
            assert_memory_equal(sides[side].message, bytes, FAB__HANDSHAKE_BYTES);
            assert_int_equal(hear(&sides[1 - side], &sides[side]), SF_OK);
        }
        expect_agreement();
        for (int side = 0; side < 2; side++) {
            unhex_key(example->keys[side], bytes);
            assert_memory_equal(sides[side].tx, bytes, FAB__KEY_BYTES);
        }
    }
}

/* --- what must not ---------------------------------------------------------------------------- */

/* Each bit of a message and its header; the true message is still taken afterwards. */
static void expect_each_bit_matters(struct side *from, struct side *to)
{
    struct fab__handshake before = to->handshake;

    for (uint32_t bit = 0; bit < 8 * (HEADER_BYTES + FAB__HANDSHAKE_BYTES); bit++) {
        uint8_t *byte = bit / 8 < HEADER_BYTES ? &from->header[bit / 8]
                                               : &from->message[bit / 8 - HEADER_BYTES];
        *byte ^= (uint8_t)(1u << bit % 8);
        if (hear(to, from) != SF_TRUST) {
            fail_msg("bit %u of header and message does not matter", bit);
        }
        assert_memory_equal(&to->handshake, &before, sizeof(before));
        *byte ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(hear(to, from), SF_OK);
}

static void each_bit_of_header_and_message_matters(void **state)
{
    (void)state;
    assert_int_equal(say(&sides[0], HEADER_BYTES), SF_OK);
    expect_each_bit_matters(&sides[0], &sides[1]);
    assert_int_equal(say(&sides[1], HEADER_BYTES), SF_OK);
    expect_each_bit_matters(&sides[1], &sides[0]);
    expect_agreement();
}

static void a_stranger_is_neither_initiator_nor_responder(void **state)
{
    struct side stranger = sides[0];
    uint8_t secret[FAB__KEY_BYTES];

    (void)state;
    fill(secret, sizeof(secret), 99);
    assert_int_equal(fab__pair_init(&stranger.pair, secret, sides[1].pair.own), SF_OK);
    fab__handshake_begin(&stranger.handshake, &stranger.pair, true);
    assert_int_equal(say(&stranger, HEADER_BYTES), SF_OK);
    assert_int_equal(hear(&sides[1], &stranger), SF_TRUST);

    assert_int_equal(say(&sides[0], HEADER_BYTES), SF_OK);
    assert_int_equal(hear(&sides[1], &sides[0]), SF_OK);
    stranger = sides[1];
    assert_int_equal(fab__pair_init(&stranger.pair, secret, sides[0].pair.own), SF_OK);
    fab__handshake_begin(&stranger.handshake, &stranger.pair, false);
    assert_int_equal(hear(&stranger, &sides[0]), SF_TRUST);
    /* It answers all the same, to what it can read of message 1. */
    stranger.handshake.stage = FAB__HANDSHAKE_SECOND;
    memcpy(stranger.handshake.peer_ephemeral, sides[0].message, FAB__KEY_BYTES);
    assert_int_equal(say(&stranger, HEADER_BYTES), SF_OK);
    assert_int_equal(hear(&sides[0], &stranger), SF_TRUST);

    assert_int_equal(say(&sides[1], HEADER_BYTES), SF_OK);
    assert_int_equal(hear(&sides[0], &sides[1]), SF_OK);
    expect_agreement();
}

/* Neither a message of one's own nor the other kind of message is taken. */
static void reflected_messages_are_refused(void **state)
{
    struct fab__handshake other;

    (void)state;
    assert_int_equal(say(&sides[0], HEADER_BYTES), SF_OK);
    assert_int_equal(hear(&sides[0], &sides[0]), SF_TRUST);
    fab__handshake_begin(&other, &sides[0].pair, false);
    assert_int_equal(fab__handshake_read(&other, sides[0].header, HEADER_BYTES, sides[0].message),
                     SF_TRUST);
    assert_int_equal(hear(&sides[1], &sides[0]), SF_OK);
    assert_int_equal(say(&sides[1], HEADER_BYTES), SF_OK);
    fab__handshake_begin(&other, &sides[1].pair, false);
    assert_int_equal(fab__handshake_read(&other, sides[1].header, HEADER_BYTES, sides[1].message),
                     SF_TRUST);
    assert_int_equal(hear(&sides[0], &sides[1]), SF_OK);
    expect_agreement();
}

/* The responder answers a replay with other keys, which whoever replays cannot compute. */
static void a_replay_of_message_1_is_harmless(void **state)
{
    struct side again = sides[1];

    (void)state;
    assert_int_equal(say(&sides[0], HEADER_BYTES), SF_OK);
    assert_int_equal(hear(&sides[1], &sides[0]), SF_OK);
    assert_int_equal(say(&sides[1], HEADER_BYTES), SF_OK);
    assert_int_equal(hear(&sides[0], &sides[1]), SF_OK);
    expect_agreement();

    fill(again.ephemeral, sizeof(again.ephemeral), 77);
    assert_int_equal(hear(&again, &sides[0]), SF_OK);
    assert_int_equal(say(&again, HEADER_BYTES), SF_OK);
    assert_int_equal(keys(&again), SF_OK);
    assert_memory_not_equal(again.tx, sides[1].tx, FAB__KEY_BYTES);
    assert_memory_not_equal(again.rx, sides[1].rx, FAB__KEY_BYTES);
    /* The initiator has what it wants, and takes the second answer for nothing. */
    assert_int_equal(hear(&sides[0], &again), SF_BADARG);
    /* An initiator in another handshake does not take it either. */
    fill(sides[0].ephemeral, FAB__KEY_BYTES, 78);
    fab__handshake_begin(&sides[0].handshake, &sides[0].pair, true);
    assert_int_equal(say(&sides[0], HEADER_BYTES), SF_OK);
    assert_int_equal(hear(&sides[0], &again), SF_TRUST);
    assert_int_equal(hear(&sides[0], &sides[1]), SF_TRUST);
}

static void keys_of_low_order_are_refused(void **state)
{
    static const uint8_t low[][FAB__KEY_BYTES] = {
        {0},
        {1},
        /* p - 1, p, p + 1 for p = 2^255 - 19, little endian. */
        {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
        {0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
        {0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    };
    struct fab__handshake before = sides[1].handshake;
    struct fab__pair pair;

    (void)state;
    for (uint32_t i = 0; i < sizeof(low) / sizeof(low[0]); i++) {
        assert_int_equal(fab__pair_init(&pair, sides[0].pair.secret, low[i]), SF_TRUST);
        assert_true(sodium_is_zero((const uint8_t *)&pair, sizeof(pair)));
        memcpy(sides[0].message, low[i], FAB__KEY_BYTES);
        assert_int_equal(hear(&sides[1], &sides[0]), SF_TRUST);
        assert_memory_equal(&sides[1].handshake, &before, sizeof(before));
    }
}

static void each_has_its_turn(void **state)
{
    uint8_t key[FAB__KEY_BYTES];

    (void)state;
    assert_int_equal(say(&sides[1], HEADER_BYTES), SF_BADARG);
    assert_int_equal(hear(&sides[0], &sides[1]), SF_BADARG);
    assert_int_equal(fab__handshake_keys(&sides[0].handshake, key, key), SF_BADARG);
    assert_int_equal(say(&sides[0], HEADER_BYTES), SF_OK);
    assert_int_equal(say(&sides[0], HEADER_BYTES), SF_BADARG);
    assert_int_equal(hear(&sides[1], &sides[0]), SF_OK);
    assert_int_equal(hear(&sides[1], &sides[0]), SF_BADARG);
    assert_int_equal(say(&sides[1], HEADER_BYTES), SF_OK);
    assert_int_equal(say(&sides[1], HEADER_BYTES), SF_BADARG);
    assert_int_equal(hear(&sides[0], &sides[1]), SF_OK);
    expect_agreement();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(keys(&sides[i]), SF_BADARG);
        assert_int_equal(say(&sides[i], HEADER_BYTES), SF_BADARG);
        assert_int_equal(hear(&sides[i], &sides[1 - i]), SF_BADARG);
        sides[i].handshake.stage = 0;
        assert_true(
            sodium_is_zero((const uint8_t *)&sides[i].handshake, sizeof(sides[i].handshake)));
    }
}

/* The cipher bits are at byte 20 of the hello header (docs/wire.md). */
static void a_downgrade_of_the_cipher_is_noticed(void **state)
{
    const uint8_t all = FAB__CIPHER_AES256GCM | FAB__CIPHER_CHACHA20POLY1305;

    (void)state;
    for (int from = 0; from < 2; from++) {
        struct side *side = &sides[from];

        side->header[20] = all;
        assert_int_equal(say(side, HEADER_BYTES), SF_OK);
        for (uint8_t bits = 0; bits < 255; bits++) {
            side->header[20] = bits;
            if (bits != all) {
                assert_int_equal(hear(&sides[1 - from], side), SF_TRUST);
            }
        }
        side->header[20] = all;
        assert_int_equal(hear(&sides[1 - from], side), SF_OK);
    }
    expect_agreement();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(both_sides_agree, setup),
        cmocka_unit_test_setup(published_examples_come_out, setup),
        cmocka_unit_test_setup(the_reference_says_the_same, setup),
        cmocka_unit_test_setup(each_bit_of_header_and_message_matters, setup),
        cmocka_unit_test_setup(a_stranger_is_neither_initiator_nor_responder, setup),
        cmocka_unit_test_setup(reflected_messages_are_refused, setup),
        cmocka_unit_test_setup(a_replay_of_message_1_is_harmless, setup),
        cmocka_unit_test_setup(keys_of_low_order_are_refused, setup),
        cmocka_unit_test_setup(each_has_its_turn, setup),
        cmocka_unit_test_setup(a_downgrade_of_the_cipher_is_noticed, setup),
    };

    if (sodium_init() < 0) {
        return 1;
    }
    return cmocka_run_group_tests_name("handshake", tests, NULL, NULL);
}
