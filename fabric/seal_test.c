/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing and opening, with both ciphers: against a second implementation (reference.py), across
 * key changes with loss and reordering, and against forged and repeated frames.
 */
#include "seal.h"
#include "test_example.h"

#include "examples.h"

#define PHASE (1ull << FAB__PHASE_SHIFT)
#define TEXT_BYTES 100u

static const uint8_t key[FAB__KEY_BYTES] = "0123456789abcdef0123456789abcde";
static uint8_t cipher; /* of the test that runs */
static struct fab__sealer sealer;
static struct fab__unsealer unsealer;

/* A frame as it crosses: the header is the number, the text follows from it. */
struct frame {
    uint64_t number;
    uint8_t sealed[TEXT_BYTES + FAB__TAG_BYTES];
};

static void text_make(uint64_t number, uint8_t out[TEXT_BYTES])
{
    for (uint32_t i = 0; i < TEXT_BYTES; i++) {
        out[i] = (uint8_t)(number * 31u + i);
    }
}

static struct frame frame_seal(uint64_t number)
{
    struct frame frame = {.number = number};
    uint8_t text[TEXT_BYTES];

    text_make(number, text);
    assert_int_equal(fab__seal(&sealer, number, (const uint8_t *)&number, sizeof(number), text,
                               TEXT_BYTES, frame.sealed),
                     SF_OK);
    return frame;
}

static sf_status frame_open(const struct frame *frame)
{
    uint8_t expected[TEXT_BYTES];
    uint8_t text[TEXT_BYTES];
    sf_status st = fab__unseal(&unsealer, frame->number, (const uint8_t *)&frame->number,
                               sizeof(frame->number), frame->sealed, sizeof(frame->sealed), text);

    if (st == SF_OK) {
        text_make(frame->number, expected);
        assert_memory_equal(text, expected, TEXT_BYTES);
    }
    return st;
}

static void pass(uint64_t number)
{
    struct frame frame = frame_seal(number);

    assert_int_equal(frame_open(&frame), SF_OK);
}

/* A frame of that number with a wrong tag. */
static sf_status forge(uint64_t number)
{
    struct frame frame = {.number = number};

    return frame_open(&frame);
}

static void begin(uint8_t with)
{
    cipher = with;
    fab__sealer_init(&sealer, cipher, key);
    fab__unsealer_init(&unsealer, cipher, key);
}

static int setup_aes(void **state)
{
    (void)state;
    if (fab__gcm_is_here()) {
        begin(FAB__CIPHER_AES256GCM);
    } else {
        cipher = FAB__CIPHER_NONE;
    }
    return 0;
}

static int setup_chacha(void **state)
{
    (void)state;
    begin(FAB__CIPHER_CHACHA20POLY1305);
    return 0;
}

static void need_cipher(void)
{
    if (cipher == FAB__CIPHER_NONE) {
        print_message("# skip: this processor has no AES-GCM\n");
        skip();
    }
}

/* --- what must come out ----------------------------------------------------------------------- */

static void the_reference_says_the_same(void **state)
{
    uint8_t header[512], plain[512], sealed[512], out[512], secret[FAB__KEY_BYTES];

    (void)state;
    need_cipher();
    for (uint32_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        uint32_t tried = 0;

        unhex_key(examples[i].keys[0], secret);
        fab__sealer_init(&sealer, cipher, secret);
        fab__unsealer_init(&unsealer, cipher, secret);
        for (uint32_t k = 0; k < 12; k++) {
            const struct example_frame *frame = &examples[i].frames[k];
            uint32_t header_bytes = unhex(frame->header, header);
            uint32_t plain_bytes = unhex(frame->plain, plain);

            if (frame->cipher != cipher) {
                continue;
            }
            while (sealer.phase + 1 < frame->number >> FAB__PHASE_SHIFT) {
                pass((sealer.phase + 1) * PHASE);
            }
            assert_int_equal(unhex(frame->sealed, sealed), plain_bytes + FAB__TAG_BYTES);
            assert_int_equal(
                fab__seal(&sealer, frame->number, header, header_bytes, plain, plain_bytes, out),
                SF_OK);
            assert_memory_equal(out, sealed, plain_bytes + FAB__TAG_BYTES);
            assert_int_equal(fab__unseal(&unsealer, frame->number, header, header_bytes, sealed,
                                         plain_bytes + FAB__TAG_BYTES, out),
                             SF_OK);
            assert_memory_equal(out, plain, plain_bytes);
            tried++;
        }
        assert_int_equal(tried, 6);
    }
}

static void in_place_is_the_same(void **state)
{
    uint8_t bytes[9000 + FAB__TAG_BYTES], apart[9000 + FAB__TAG_BYTES];
    static const uint8_t header[24] = {1, 2, 3};

    (void)state;
    need_cipher();
    for (uint64_t number = 1; number <= 9000; number += 1 + number / 8) {
        uint32_t length = (uint32_t)number - 1; /* 0, 1, 2 ... 8,9xx */
        struct fab__sealer other = sealer;

        memset(bytes, 0x5a, sizeof(bytes));
        assert_int_equal(fab__seal(&other, number, header, sizeof(header), bytes, length, apart),
                         SF_OK);
        assert_int_equal(fab__seal(&sealer, number, header, sizeof(header), bytes, length, bytes),
                         SF_OK);
        assert_memory_equal(bytes, apart, length + FAB__TAG_BYTES);
        assert_int_equal(fab__unseal(&unsealer, number, header, sizeof(header), bytes,
                                     length + FAB__TAG_BYTES, bytes),
                         SF_OK);
        for (uint32_t i = 0; i < length; i++) {
            assert_int_equal(bytes[i], 0x5a);
        }
    }
}

static void each_bit_of_header_number_and_frame_matters(void **state)
{
    struct fab__unsealer before = unsealer;
    struct frame frame;
    uint8_t header[24] = "this is the header";
    uint8_t text[TEXT_BYTES];

    (void)state;
    need_cipher();
    frame.number = 5;
    text_make(5, text);
    assert_int_equal(fab__seal(&sealer, 5, header, sizeof(header), text, TEXT_BYTES, frame.sealed),
                     SF_OK);
    for (uint32_t bit = 0; bit < 8 * (sizeof(header) + sizeof(frame.sealed)); bit++) {
        uint8_t *byte =
            bit / 8 < sizeof(header) ? &header[bit / 8] : &frame.sealed[bit / 8 - sizeof(header)];
        *byte ^= (uint8_t)(1u << bit % 8);
        if (fab__unseal(&unsealer, 5, header, sizeof(header), frame.sealed, sizeof(frame.sealed),
                        text) != SF_TRUST) {
            fail_msg("bit %u of header and frame does not matter", bit);
        }
        *byte ^= (uint8_t)(1u << bit % 8);
    }
    for (uint64_t number = 0; number < 20; number++) {
        sf_status st = fab__unseal(&unsealer, number, header, sizeof(header), frame.sealed,
                                   sizeof(frame.sealed), text);
        if (number != 5) {
            assert_int_equal(st, number == 0 ? SF_LIMIT : SF_TRUST);
            assert_memory_equal(&unsealer, &before, sizeof(before));
        } else {
            assert_int_equal(st, SF_OK);
            before = unsealer;
        }
    }
    for (uint32_t length = 0; length < sizeof(frame.sealed); length++) {
        assert_int_equal(
            fab__unseal(&unsealer, 6, header, sizeof(header), frame.sealed, length, text),
            length < FAB__TAG_BYTES ? SF_FORMAT : SF_TRUST);
    }
    assert_memory_equal(&unsealer, &before, sizeof(before));
}

static void directions_and_ciphers_have_keys_of_their_own(void **state)
{
    uint8_t other_key[FAB__KEY_BYTES] = {1};
    struct frame frame;

    (void)state;
    need_cipher();
    frame = frame_seal(1);
    fab__unsealer_init(&unsealer, cipher, other_key);
    assert_int_equal(frame_open(&frame), SF_TRUST);
    fab__unsealer_init(&unsealer, FAB__CIPHER_CHACHA20POLY1305, key);
    assert_int_equal(frame_open(&frame), cipher == FAB__CIPHER_CHACHA20POLY1305 ? SF_OK : SF_TRUST);
}

/* --- numbers ---------------------------------------------------------------------------------- */

static void no_number_is_sealed_twice(void **state)
{
    uint8_t out[FAB__TAG_BYTES] = {0};
    static const uint8_t zero[FAB__TAG_BYTES];
    struct fab__sealer before;

    (void)state;
    need_cipher();
    (void)frame_seal(7);
    before = sealer;
    for (uint64_t number = 0; number <= 7; number++) {
        assert_int_equal(fab__seal(&sealer, number, NULL, 0, NULL, 0, out), SF_BADARG);
    }
    assert_int_equal(fab__seal(&sealer, 2 * PHASE, NULL, 0, NULL, 0, out), SF_BADARG);
    assert_int_equal(fab__seal(&sealer, UINT64_MAX - 1, NULL, 0, NULL, 0, out), SF_BADARG);
    assert_int_equal(fab__seal(&sealer, UINT64_MAX, NULL, 0, NULL, 0, out), SF_LIMIT);
    assert_memory_equal(out, zero, sizeof(zero));
    assert_memory_equal(&sealer, &before, sizeof(before));
    (void)frame_seal(8);
}

static void the_last_number_is_the_last(void **state)
{
    uint8_t out[FAB__TAG_BYTES];
    struct frame frame;

    (void)state;
    need_cipher();
    /* 2^40 phases later, the key being what it may. */
    sealer.phase = UINT64_MAX >> FAB__PHASE_SHIFT;
    sealer.number = UINT64_MAX - 10;
    unsealer.phase = sealer.phase;
    unsealer.number = sealer.number;
    unsealer.keys[sealer.phase % 3] = sealer.key;
    frame = frame_seal(FAB__NUMBER_MAX - 1);
    assert_int_equal(frame_open(&frame), SF_OK);
    frame = frame_seal(FAB__NUMBER_MAX);
    assert_int_equal(frame_open(&frame), SF_OK);
    assert_int_equal(fab__seal(&sealer, UINT64_MAX, NULL, 0, NULL, 0, out), SF_LIMIT);
    assert_int_equal(forge(UINT64_MAX), SF_LIMIT);
    assert_int_equal(forge(0), SF_LIMIT);
}

/* Against a plain record of what was opened. */
static void each_number_is_opened_once(void **state)
{
    static bool had[40000];
    uint64_t random_state = 12345;
    uint64_t base = 1;
    uint64_t top = 0;
    struct fab__sealer fresh = sealer;

    (void)state;
    need_cipher();
    memset(had, 0, sizeof(had));
    for (uint32_t step = 0; step < 30000; step++) {
        struct frame frame;
        uint64_t number;
        sf_status st;

        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        base += (random_state >> 40) % 2;
        if ((random_state >> 32) % 4096 == 0) {
            base += 500; /* a gap: many words at once */
        }
        number = base + (random_state >> 16) % 2500;
        sealer = fresh; /* a sealer that repeats itself stands for a wire that does */
        frame = frame_seal(number);
        st = frame_open(&frame);
        if (had[number] || (number <= top && top - number >= FAB__REPLAY_WINDOW)) {
            assert_int_equal(st, SF_EXISTS);
        } else {
            assert_int_equal(st, SF_OK);
            had[number] = true;
            top = number > top ? number : top;
        }
    }
    assert_true(top > 10000);
}

static void the_window_is_as_wide_as_it_says(void **state)
{
    struct frame last, too_late, high;

    (void)state;
    need_cipher();
    too_late = frame_seal(64);
    last = frame_seal(65);
    high = frame_seal(65 + FAB__REPLAY_WINDOW - 1);
    assert_int_equal(frame_open(&high), SF_OK);
    assert_int_equal(frame_open(&too_late), SF_EXISTS);
    assert_int_equal(frame_open(&last), SF_OK);
    assert_int_equal(frame_open(&last), SF_EXISTS);
    assert_int_equal(frame_open(&high), SF_EXISTS);
    /* A jump by more than the window forgets all of it. */
    pass(100000);
    assert_int_equal(frame_open(&high), SF_EXISTS);
    assert_int_equal(forge(100000 - FAB__REPLAY_WINDOW), SF_EXISTS);
    assert_int_equal(forge(100000 - FAB__REPLAY_WINDOW + 1), SF_TRUST);
}

/* --- phases ----------------------------------------------------------------------------------- */

/* Frames around a border, a third of them lost, the rest shuffled, and all of them again. */
static void a_border_with_loss_and_reordering(void **state)
{
    enum { AROUND = 600 };
    static struct frame frames[2 * AROUND];
    uint64_t random_state = 99;
    uint32_t opened = 0;

    (void)state;
    need_cipher();
    for (uint64_t border = PHASE; border <= 4 * PHASE; border += PHASE) {
        pass(border - AROUND - 1);
        for (uint32_t i = 0; i < 2 * AROUND; i++) {
            frames[i] = frame_seal(border - AROUND + i);
        }
        for (uint32_t i = 2 * AROUND - 1; i > 0; i--) {
            struct frame kept = frames[i];
            uint32_t other;

            random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
            other = (uint32_t)(random_state >> 33) % (i + 1);
            frames[i] = frames[other];
            frames[other] = kept;
        }
        for (uint32_t i = 0; i < 2 * AROUND; i++) {
            if (i % 3 != 0) {
                assert_int_equal(frame_open(&frames[i]), SF_OK);
                opened++;
            }
        }
        assert_int_equal(unsealer.phase, border >> FAB__PHASE_SHIFT);
        for (uint32_t i = 0; i < 2 * AROUND; i++) {
            assert_int_equal(frame_open(&frames[i]), i % 3 != 0 ? SF_EXISTS : SF_OK);
        }
    }
    assert_int_equal(opened, 4 * 800);
}

/* The last frame of a phase may be the first one that opens; one of the phase after it is too far.
 */
static void a_long_silence_is_survived(void **state)
{
    struct frame near, far;

    (void)state;
    need_cipher();
    pass(1);
    near = frame_seal(2 * PHASE - 1);
    far = frame_seal(2 * PHASE);
    assert_int_equal(frame_open(&far), SF_LIMIT);
    assert_int_equal(frame_open(&near), SF_OK);
    assert_int_equal(frame_open(&far), SF_OK);
    assert_int_equal(unsealer.phase, 2);
}

static void forged_numbers_change_nothing(void **state)
{
    struct fab__unsealer before;
    struct frame frame;

    (void)state;
    need_cipher();
    pass(10);
    before = unsealer;
    assert_int_equal(forge(11), SF_TRUST);
    assert_int_equal(forge(PHASE - 1), SF_TRUST);
    assert_int_equal(forge(2 * PHASE), SF_LIMIT);
    assert_int_equal(forge(UINT64_MAX - 1), SF_LIMIT);
    assert_memory_equal(&unsealer, &before, sizeof(before)); /* nothing was even derived */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(forge(PHASE + 5), SF_TRUST);
        assert_int_equal(forge(2 * PHASE), SF_LIMIT);
    }
    assert_int_equal(unsealer.phase, 0);
    assert_int_equal(unsealer.number, 10);
    assert_memory_equal(unsealer.seen, before.seen, sizeof(before.seen));
    pass(11);
    frame = frame_seal(PHASE - 1);
    pass(PHASE + 5);
    assert_int_equal(frame_open(&frame), SF_OK);
    assert_int_equal(forge(PHASE - 2), SF_TRUST);
    assert_int_equal(forge(2 * PHASE + 5), SF_TRUST);
    assert_int_equal(frame_open(&frame), SF_EXISTS);
    pass(PHASE + 6);
    pass(2 * PHASE);
    assert_int_equal(unsealer.phase, 2);
}

static bool key_is_zero(uint64_t phase)
{
    return sodium_is_zero((const uint8_t *)&unsealer.keys[phase % 3], sizeof(unsealer.keys[0])) !=
           0;
}

/* A key that no frame can need any more is gone. */
static void old_keys_are_wiped(void **state)
{
    uint8_t first_secret[FAB__KEY_BYTES];

    (void)state;
    need_cipher();
    assert_memory_not_equal(sealer.secret, key, sizeof(key));
    memcpy(first_secret, sealer.secret, sizeof(first_secret));
    pass(PHASE - 1);
    pass(PHASE);
    assert_false(key_is_zero(0));
    pass(PHASE + FAB__REPLAY_WINDOW - 2); /* the number before the border still counts */
    assert_false(key_is_zero(0));
    pass(PHASE + FAB__REPLAY_WINDOW - 1);
    assert_true(key_is_zero(0));
    assert_false(key_is_zero(1));
    assert_int_equal(forge(PHASE - 1), SF_EXISTS);
    assert_memory_not_equal(sealer.secret, first_secret, sizeof(first_secret));
    assert_memory_not_equal(unsealer.secret, first_secret, sizeof(first_secret));
    assert_memory_equal(sealer.secret, unsealer.secret, sizeof(first_secret));
    /* Over a border in one step: the key is not kept at all. */
    pass(3 * PHASE - 1);
    pass(4 * PHASE - 1);
    assert_true(key_is_zero(2));

    fab__sealer_wipe(&sealer);
    fab__unsealer_wipe(&unsealer);
    assert_true(sodium_is_zero((const uint8_t *)&sealer, sizeof(sealer)));
    assert_true(sodium_is_zero((const uint8_t *)&unsealer, sizeof(unsealer)));
}

/* --- the choice ------------------------------------------------------------------------------- */

static void the_choice_is_the_same_on_both_sides(void **state)
{
    const uint8_t aes = FAB__CIPHER_AES256GCM;
    const uint8_t chacha = FAB__CIPHER_CHACHA20POLY1305;

    (void)state;
    assert_int_equal(fab__cipher_choose(aes | chacha, aes | chacha), aes);
    assert_int_equal(fab__cipher_choose(aes | chacha, chacha), chacha);
    assert_int_equal(fab__cipher_choose(chacha, chacha), chacha);
    assert_int_equal(fab__cipher_choose(chacha, aes), FAB__CIPHER_NONE);
    assert_int_equal(fab__cipher_choose(aes | chacha, 0), FAB__CIPHER_NONE);
    assert_int_equal(fab__cipher_choose(aes | chacha, 0xfc), FAB__CIPHER_NONE);
    for (uint32_t own = 0; own < 256; own++) {
        for (uint32_t peer = 0; peer < 256; peer++) {
            assert_int_equal(fab__cipher_choose((uint8_t)own, (uint8_t)peer),
                             fab__cipher_choose((uint8_t)peer, (uint8_t)own));
        }
    }
    assert_true((fab__ciphers_here() & chacha) != 0);
    assert_int_equal((fab__ciphers_here() & aes) != 0, crypto_aead_aes256gcm_is_available() != 0);
}

/* Every length up to a few blocks of the widest instructions, in place and not, with any header. */
static void aes_gcm_is_that_of_libsodium(void **state)
{
    static const uint32_t more[] = {1023, 1024, 1400, 4097, 8955, 9216};
    static uint8_t plain[9216], sealed[9216 + 16], other[9216 + 16], out[9216 + 16], header[64];
    uint8_t secret[FAB__GCM_KEY_BYTES], nonce[FAB__GCM_NONCE_BYTES];
    struct fab__gcm_key expanded;

    (void)state;
    need_cipher();
    randombytes_buf(plain, sizeof(plain));
    randombytes_buf(header, sizeof(header));
    for (uint32_t i = 0; i < 600 + sizeof(more) / sizeof(more[0]); i++) {
        const uint32_t bytes = i < 600 ? i : more[i - 600], header_bytes = i % 65;

        randombytes_buf(secret, sizeof(secret));
        randombytes_buf(nonce, sizeof(nonce));
        fab__gcm_key_make(&expanded, secret);
        (void)crypto_aead_aes256gcm_encrypt(other, NULL, plain, bytes, header, header_bytes, NULL,
                                            nonce, secret);
        fab__gcm_seal(&expanded, nonce, header, header_bytes, plain, bytes, sealed);
        assert_memory_equal(sealed, other, bytes + FAB__GCM_TAG_BYTES);
        memcpy(out, plain, bytes);
        fab__gcm_seal(&expanded, nonce, header, header_bytes, out, bytes, out);
        assert_memory_equal(out, other, bytes + FAB__GCM_TAG_BYTES);
        assert_true(fab__gcm_open(&expanded, nonce, header, header_bytes, out, bytes, out));
        assert_memory_equal(out, plain, bytes);
        sealed[randombytes_uniform(bytes + FAB__GCM_TAG_BYTES)] ^=
            (uint8_t)(1u << randombytes_uniform(8));
        assert_false(fab__gcm_open(&expanded, nonce, header, header_bytes, sealed, bytes, out));
    }
}

#define WITH_BOTH(test)                                                                            \
    {#test " (AES-256-GCM)", test, setup_aes, NULL, NULL},                                         \
    {                                                                                              \
#test " (ChaCha20-Poly1305)", test, setup_chacha, NULL, NULL                               \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BOTH(the_reference_says_the_same),
        WITH_BOTH(in_place_is_the_same),
        WITH_BOTH(each_bit_of_header_number_and_frame_matters),
        WITH_BOTH(directions_and_ciphers_have_keys_of_their_own),
        WITH_BOTH(no_number_is_sealed_twice),
        WITH_BOTH(the_last_number_is_the_last),
        WITH_BOTH(each_number_is_opened_once),
        WITH_BOTH(the_window_is_as_wide_as_it_says),
        WITH_BOTH(a_border_with_loss_and_reordering),
        WITH_BOTH(a_long_silence_is_survived),
        WITH_BOTH(forged_numbers_change_nothing),
        WITH_BOTH(old_keys_are_wiped),
        cmocka_unit_test_setup(aes_gcm_is_that_of_libsodium, setup_aes),
        cmocka_unit_test(the_choice_is_the_same_on_both_sides),
    };

    if (sodium_init() < 0) {
        return 1;
    }
    return cmocka_run_group_tests_name("seal", tests, NULL, NULL);
}
