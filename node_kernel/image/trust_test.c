/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust_test.c - keys, key files, signatures, and who is let in: every decision of
 * image_open_trusted, every way to get a wrong image past it that we know. Built with sanitizers.
 */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "image/image.h"
#include "image/trust.h"
#include "test_file.h"

static struct file unsigned_web, web_a, web_b, hello_a; /* signed by a, by b */
static struct image_secret a, b;
static struct image_trust trust_a, trust_b, trust_ab, trust_none;

static struct file copy_of(const struct file *from)
{
    struct file file = {malloc(from->length), from->length};

    assert_non_null(file.bytes);
    memcpy(file.bytes, from->bytes, from->length);
    return file;
}

static struct file sign(const struct file *from, const struct image_secret *secret)
{
    struct file file = {0};

    assert_int_equal(image_sign(from->bytes, from->length, secret, &file.bytes, &file.length),
                     SF_OK);
    return file;
}

/* What anybody can do: cuts the signature off. */
static struct file strip(const struct file *from)
{
    struct file file = copy_of(from);

    file.length -= IMAGE_SIGNATURE_BYTES;
    memset(file.bytes + 12, 0, 4);
    return file;
}

static void trust_key(struct image_trust *trust, const struct image_secret *secret)
{
    struct image_key key;

    image_secret_public(secret, &key);
    assert_int_equal(image_trust_add(trust, &key), SF_OK);
}

/* "" when it was let in, else the text. */
static const char *open_as(const struct file *file, const struct image_trust *trust,
                           const char *name)
{
    static char text[512];
    struct image *image = NULL;
    sf_status st;

    text[0] = '\0';
    st = image_open_trusted(file->bytes, file->length, trust, name, &image, text, sizeof(text));
    if (st == SF_OK) {
        assert_int_equal(image_check_trust(image, trust, name, text, sizeof(text)), SF_OK);
        assert_string_equal(text, "");
        image_close(image);
        return "";
    }
    assert_null(image);
    assert_true(st == SF_TRUST || st == SF_FORMAT);
    assert_non_null(strstr(text, ": "));
    return text;
}

static void expect(const struct file *file, const struct image_trust *trust, const char *name,
                   const char *rule)
{
    const char *text = open_as(file, trust, name);
    const size_t length = strlen(rule);

    if (strncmp(text, rule, length) != 0 || (length == 0 && text[0] != '\0') ||
        (length > 0 && text[length] != ':')) {
        fail_msg("expected '%s', got '%s'", rule, text);
    }
}

/* --- key files -----------------------------------------------------------------------------------
 */

#define HEX "0eb028e6ecd9b2762c3e785e19405214cb58d15294b3faff80d45b4f18e314df"
#define HEX2 "56a88e6731e51e0979a7a9aec73e36930f3c69a2261d87d4e0616fbdcab3c366"

static sf_status read_trust(const char *content, struct image_trust *out_trust, char text[256])
{
    memset(out_trust, 0, sizeof(*out_trust));
    text[0] = '\0';
    return image_trust_read(out_trust, content, strlen(content), text, 256);
}

static void trust_files_are_read(void **state)
{
    struct image_trust trust;
    char text[256], line[IMAGE_KEY_LINE_BYTES];

    (void)state;
    assert_int_equal(read_trust("# ours\n\nsip-public-key-1 " HEX " ci-key.1\r\n"
                                "sip-public-key-1 " HEX2 " B_2  \nsip-public-key-1 " HEX " again",
                                &trust, text),
                     SF_OK);
    assert_int_equal(trust.key_count, 2);
    assert_string_equal(trust.keys[0].name, "ci-key.1");
    assert_string_equal(trust.keys[1].name, "B_2");
    assert_false(trust.allow_unsigned);
    assert_string_equal(image_key_line(&trust.keys[1], line), "sip-public-key-1 " HEX2 " B_2\n");
}

static void bad_trust_files_are_refused(void **state)
{
    static const char *const bad[][2] = {
        {"", "no key"},
        {"# nothing\n\n", "no key"},
        {"sip-public-key-1 " HEX "\n", "line 1: expected"},
        {"sip-public-key-1 " HEX " \n", "line 1: expected"},
        {"\nsip-public-key-2 " HEX " x\n", "line 2: expected"},
        {"sip-public-key-1  " HEX " x\n", "line 1: expected"},
        {" sip-public-key-1 " HEX " x\n", "line 1: expected"},
        {"sip-public-key-1 " HEX "0 x\n", "line 1: expected"},
        {"sip-public-key-1 g" HEX " x\n", "line 1: expected"},
        {"sip-public-key-1 " HEX " a b\n", "line 1: expected"},
        {"sip-public-key-1 " HEX " \x1b[31m\n", "line 1: expected"},
        {"sip-public-key-1 " HEX " "
         "0123456789012345678901234567890123456789012345678901234567890123\n",
         "line 1: expected"},
        {"sip-secret-key-1 " HEX " x\n", "line 1: that is the secret key"},
        /* neutral element, a point of order 8, a number that is no point */
        {"sip-public-key-1 0100000000000000000000000000000000000000000000000000000000000000 x\n",
         "line 1: not an Ed25519"},
        {"sip-public-key-1 c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a x\n",
         "line 1: not an Ed25519"},
        {"sip-public-key-1 ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff x\n",
         "line 1: not an Ed25519"},
    };
    struct image_trust trust;
    char text[256];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const sf_status st = read_trust(bad[i][0], &trust, text);
        if (st != SF_FORMAT || strstr(text, bad[i][1]) == NULL) {
            fail_msg("case %zu: status %d, %s", i, st, text);
        }
        assert_int_equal(trust.key_count, 0);
    }
}

static void a_list_has_at_most_64_keys(void **state)
{
    static struct image_trust trust;
    struct image_secret secret;
    struct image_key key;

    (void)state;
    for (uint32_t i = 0; i < IMAGE_KEYS_MAX; i++) {
        image_secret_make("x", &secret);
        trust_key(&trust, &secret);
    }
    image_secret_make("x", &secret);
    image_secret_public(&secret, &key);
    assert_int_equal(image_trust_add(&trust, &key), SF_LIMIT);
    key = trust.keys[IMAGE_KEYS_MAX - 1]; /* one that is there is fine */
    assert_int_equal(image_trust_add(&trust, &key), SF_OK);
    key.name[0] = '\0';
    assert_int_equal(image_trust_add(&trust, &key), SF_BADARG);
}

static void secret_files_are_read_back(void **state)
{
    static const char *const bad[] = {
        "",
        "# x\n",
        "sip-public-key-1 " HEX " x\n",
        "sip-secret-key-1 " HEX "\n",
        "sip-secret-key-1 " HEX " x\nsip-secret-key-1 " HEX2 " y\n",
        "sip-secret-key-1 " HEX " x\nmore\n",
    };
    struct image_secret secret;
    char line[IMAGE_KEY_LINE_BYTES], text[256];

    (void)state;
    (void)image_secret_line(&a, line);
    assert_int_equal(image_secret_read(line, strlen(line), &secret, text, sizeof(text)), SF_OK);
    assert_memory_equal(secret.seed, a.seed, sizeof(a.seed));
    assert_string_equal(secret.name, "a");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        text[0] = '\0';
        assert_int_equal(image_secret_read(bad[i], strlen(bad[i]), &secret, text, sizeof(text)),
                         SF_FORMAT);
        assert_true(text[0] != '\0' && strstr(text, HEX) == NULL);
    }
}

static void damaged_key_files_never_crash(void **state)
{
    char line[IMAGE_KEY_LINE_BYTES], text[256];

    (void)state;
    (void)image_key_line(&trust_a.keys[0], line);
    for (size_t at = 0; at < strlen(line); at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            struct image_trust trust = {0};
            struct image_secret secret;
            const size_t length = strlen(line);
            char *damaged = malloc(length);
            assert_non_null(damaged);
            memcpy(damaged, line, length);
            damaged[at] = (char)byte;
            (void)!image_trust_read(&trust, damaged, length, text, sizeof(text));
            (void)!image_trust_read(&trust, damaged, at, text, sizeof(text));
            (void)!image_secret_read(damaged, length, &secret, text, sizeof(text));
            free(damaged);
        }
    }
}

/* --- signatures ----------------------------------------------------------------------------------
 */

static void signing_is_reproducible(void **state)
{
    struct file again = sign(&unsigned_web, &a), twice = sign(&web_a, &a), other = sign(&web_b, &a);

    (void)state;
    assert_int_equal(web_a.length, unsigned_web.length + IMAGE_SIGNATURE_BYTES);
    for (size_t i = 0; i < 3; i++) {
        const struct file *file = i == 0 ? &again : i == 1 ? &twice : &other;
        assert_int_equal(file->length, web_a.length);
        assert_memory_equal(file->bytes, web_a.bytes, web_a.length);
    }
    free(again.bytes);
    free(twice.bytes);
    free(other.bytes);
}

static void who_signed_does_not_change_what_it_is(void **state)
{
    struct image *images[3] = {0};
    const struct file *files[3] = {&unsigned_web, &web_a, &web_b};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(image_open(files[i]->bytes, files[i]->length, &images[i], NULL, 0), SF_OK);
        assert_memory_equal(images[i]->content, images[0]->content, IMAGE_DIGEST_BYTES);
        assert_int_equal(images[i]->is_signed, i > 0);
        for (size_t k = 0; k < i; k++) {
            assert_memory_not_equal(images[i]->digest, images[k]->digest, IMAGE_DIGEST_BYTES);
        }
    }
    assert_memory_equal(images[1]->signer, trust_a.keys[0].bytes, IMAGE_KEY_BYTES);
    assert_memory_equal(images[2]->signer, trust_b.keys[0].bytes, IMAGE_KEY_BYTES);
    for (size_t i = 0; i < 3; i++) {
        image_close(images[i]);
    }
}

static void every_decision(void **state)
{
    const struct {
        const struct file *file;
        const struct image_trust *trust;
        const char *rule;
    } cases[] = {
        {&web_a, &trust_a, ""},
        {&web_a, &trust_ab, ""},
        {&web_b, &trust_ab, ""},
        {&web_a, &trust_b, "signature-key"},
        {&web_b, &trust_a, "signature-key"},
        {&web_a, &trust_none, "signature-key"},
        {&unsigned_web, &trust_a, "signature-missing"},
        {&unsigned_web, &trust_none, "signature-missing"},
        {&unsigned_web, &image_trust_anyone, ""},
        {&web_a, &image_trust_anyone, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const bool good = cases[i].rule[0] == '\0';
        expect(cases[i].file, cases[i].trust, NULL, cases[i].rule);
        expect(cases[i].file, cases[i].trust, "web", cases[i].rule);
        expect(cases[i].file, cases[i].trust, "hello", good ? "image-name" : cases[i].rule);
        expect(cases[i].file, cases[i].trust, "we", good ? "image-name" : cases[i].rule);
        expect(cases[i].file, cases[i].trust, "", "image-name");
        expect(cases[i].file, cases[i].trust, "web\n", "image-name");
    }
}

static void a_later_list_decides_again(void **state)
{
    struct image *image = NULL;
    char text[256] = "";

    (void)state;
    assert_int_equal(
        image_open_trusted(web_a.bytes, web_a.length, &trust_a, "web", &image, NULL, 0), SF_OK);
    assert_int_equal(image_check_trust(image, &trust_ab, "web", text, sizeof(text)), SF_OK);
    assert_int_equal(image_check_trust(image, &trust_b, NULL, text, sizeof(text)), SF_TRUST);
    assert_non_null(strstr(text, "signature-key: image web "));
    assert_int_equal(image_check_trust(image, &trust_a, "hello", text, sizeof(text)), SF_TRUST);
    assert_non_null(strstr(text, "image-name: "));
    assert_int_equal(image_check_trust(image, &trust_a, "a\x1b[2J", text, sizeof(text)), SF_TRUST);
    assert_null(strchr(text, '\x1b'));
    assert_true(image_vouched_for(image, &trust_a) && !image_vouched_for(image, &trust_b));
    assert_false(image_vouched_for(image, &image_trust_anyone));
    image_close(image);
}

static void the_texts_say_which_and_what_to_do(void **state)
{
    char id_a[IMAGE_KEY_ID_CHARS + 1], id_b[IMAGE_KEY_ID_CHARS + 1];
    const char *text;

    (void)state;
    image_key_id(trust_a.keys[0].bytes, id_a);
    image_key_id(trust_b.keys[0].bytes, id_b);
    text = open_as(&web_b, &trust_a, "web");
    assert_non_null(strstr(text, "image web "));
    assert_non_null(strstr(text, id_b));
    assert_non_null(strstr(text, id_a));
    assert_non_null(strstr(text, "--trust"));
    text = open_as(&unsigned_web, &trust_ab, "web");
    assert_non_null(strstr(text, "image web "));
    assert_non_null(strstr(text, "and 1 more"));
    assert_non_null(strstr(text, "sipc sign"));
    assert_non_null(strstr(open_as(&unsigned_web, &trust_none, "web"), "trusted here: no key"));
    text = open_as(&web_a, &trust_a, "hello");
    assert_non_null(strstr(text, "'web'"));
    assert_non_null(strstr(text, "'hello'"));
}

/* --- attacks -------------------------------------------------------------------------------------
 */

/* Whatever is changed, in header, manifest, padding, code or signature, and wherever. */
static void every_altered_byte_is_seen(void **state)
{
    struct file file = copy_of(&web_a);

    (void)state;
    for (size_t at = 0; at < file.length; at++) {
        const bool every_bit = at < IMAGE_HEADER_BYTES || at >= unsigned_web.length;
        for (unsigned bit = every_bit ? 0 : (unsigned)(at % 8); bit < (every_bit ? 8 : at % 8 + 1);
             bit++) {
            file.bytes[at] ^= (uint8_t)(1u << bit);
            if (open_as(&file, &trust_a, "web")[0] == '\0' ||
                open_as(&file, &image_trust_anyone, "web")[0] == '\0') {
                fail_msg("byte %zu bit %u is not seen", at, bit);
            }
            file.bytes[at] ^= (uint8_t)(1u << bit);
        }
    }
    expect(&file, &trust_a, "web", "");
    free(file.bytes);
}

/* Altered with all hashes made right again: only the signature can tell. */
static void an_altered_image_with_right_hashes_is_refused(void **state)
{
    struct file file = copy_of(&web_a);
    const size_t end = unsigned_web.length;

    (void)state;
    file.bytes[end - 1] ^= 1;
    expect(&file, &trust_a, "web", "image-hash");
    (void)crypto_generichash(file.bytes + 32, 32, file.bytes + 64, end - 64, NULL, 0);
    expect(&file, &trust_a, "web", "signature");
    expect(&file, &image_trust_anyone, "web", "signature");
    free(file.bytes);
}

static void a_stripped_signature_is_missing(void **state)
{
    struct file file = strip(&web_a);

    (void)state;
    expect(&file, &trust_a, "web", "signature-missing");
    assert_int_equal(file.length, unsigned_web.length);
    assert_memory_equal(file.bytes, unsigned_web.bytes, file.length);
    free(file.bytes);
    file = copy_of(&web_a); /* cut off, but the header is left as it was */
    file.length -= IMAGE_SIGNATURE_BYTES;
    expect(&file, &trust_a, "web", "header");
    free(file.bytes);
    file = copy_of(&web_a); /* still there, but the header does not say so */
    memset(file.bytes + 12, 0, 4);
    expect(&file, &trust_a, "web", "header");
    free(file.bytes);
}

static void a_signature_of_another_image_is_refused(void **state)
{
    struct file file = copy_of(&web_a);

    (void)state;
    memcpy(file.bytes + file.length - IMAGE_SIGNATURE_BYTES,
           hello_a.bytes + hello_a.length - IMAGE_SIGNATURE_BYTES, IMAGE_SIGNATURE_BYTES);
    expect(&file, &trust_a, "web", "signature");
    free(file.bytes);
}

/* b signs, and says it was a. */
static void a_borrowed_key_is_refused(void **state)
{
    struct file file = copy_of(&web_b);

    (void)state;
    memcpy(file.bytes + unsigned_web.length + 16, trust_a.keys[0].bytes, IMAGE_KEY_BYTES);
    expect(&file, &trust_a, "web", "signature");
    expect(&file, &trust_ab, "web", "signature");
    free(file.bytes);
}

static void a_signature_of_another_kind_is_refused(void **state)
{
    static const size_t fields[] = {0, 7, 8, 9, 12, 15};
    struct file file = copy_of(&web_a);

    (void)state;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        file.bytes[unsigned_web.length + fields[i]] ^= 2;
        expect(&file, &trust_a, "web", "signature-format");
        file.bytes[unsigned_web.length + fields[i]] ^= 2;
    }
    free(file.bytes);
    file = copy_of(&web_a);
    file.bytes = realloc(file.bytes, file.length + IMAGE_SIGNATURE_BYTES); /* signed twice over */
    assert_non_null(file.bytes);
    memcpy(file.bytes + file.length, file.bytes + unsigned_web.length, IMAGE_SIGNATURE_BYTES);
    file.length += IMAGE_SIGNATURE_BYTES;
    expect(&file, &trust_a, "web", "header");
    free(file.bytes);
}

/* Nothing of an image that nobody vouches for is read: its content may be anything. */
static void the_signature_comes_first(void **state)
{
    struct file file = copy_of(&unsigned_web);

    (void)state;
    memset(file.bytes + 64, 0xa5, file.length - 64);
    expect(&file, &trust_a, "web", "signature-missing");
    expect(&file, &image_trust_anyone, "web", "image-hash");
    free(file.bytes);
}

static void what_is_no_image_is_not_signed(void **state)
{
    struct file out = {0};

    (void)state;
    for (size_t length = 0; length < web_a.length; length += length < 80 ? 1 : 997) {
        assert_int_equal(image_sign(web_a.bytes, length, &a, &out.bytes, &out.length), SF_FORMAT);
    }
    assert_null(out.bytes);
}

static int set_up(void **state)
{
    struct file web, hello;

    (void)state;
    if (sodium_init() < 0) {
        return -1;
    }
    image_secret_make("a", &a);
    image_secret_make("b", &b);
    trust_key(&trust_a, &a);
    trust_key(&trust_b, &b);
    trust_key(&trust_ab, &a);
    trust_key(&trust_ab, &b);
    web = file_load("web.sip");
    hello = file_load("hello.sip");
    unsigned_web = strip(&web);
    web_a = sign(&web, &a);
    web_b = sign(&web, &b);
    hello_a = sign(&hello, &a);
    free(web.bytes);
    free(hello.bytes);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(unsigned_web.bytes);
    free(web_a.bytes);
    free(web_b.bytes);
    free(hello_a.bytes);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trust_files_are_read),
        cmocka_unit_test(bad_trust_files_are_refused),
        cmocka_unit_test(a_list_has_at_most_64_keys),
        cmocka_unit_test(secret_files_are_read_back),
        cmocka_unit_test(damaged_key_files_never_crash),
        cmocka_unit_test(signing_is_reproducible),
        cmocka_unit_test(who_signed_does_not_change_what_it_is),
        cmocka_unit_test(every_decision),
        cmocka_unit_test(a_later_list_decides_again),
        cmocka_unit_test(the_texts_say_which_and_what_to_do),
        cmocka_unit_test(every_altered_byte_is_seen),
        cmocka_unit_test(an_altered_image_with_right_hashes_is_refused),
        cmocka_unit_test(a_stripped_signature_is_missing),
        cmocka_unit_test(a_signature_of_another_image_is_refused),
        cmocka_unit_test(a_borrowed_key_is_refused),
        cmocka_unit_test(a_signature_of_another_kind_is_refused),
        cmocka_unit_test(the_signature_comes_first),
        cmocka_unit_test(what_is_no_image_is_not_signed),
    };

    return cmocka_run_group_tests_name("trust", tests, set_up, tear_down);
}
