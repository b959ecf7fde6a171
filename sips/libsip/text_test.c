/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text_test.c - libsip's strings, numbers and formatting against libc's, on random input.
 */
#include "test_support.h"

#include <errno.h>
#include <math.h>

SIP_FORMAT_DOUBLES

#define ROUNDS 60000

static int sign(int x)
{
    return (x > 0) - (x < 0);
}

/* Few different letters, so that much is equal. */
static size_t random_text(char *text, size_t bytes_max)
{
    static const char letters[] = "aAbB, Z@[`{z";
    const size_t length = random_below((uint32_t)bytes_max);

    for (size_t i = 0; i < length; i++) {
        text[i] = letters[random_below(sizeof(letters) - 1)];
    }
    text[length] = '\0';
    return length;
}

static void strings_are_as_libc_has_them(void **state)
{
    char a[24], b[24];

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        const size_t length = random_text(a, sizeof(a)), other = random_text(b, i % 2 ? 4 : 24);
        const size_t bytes = random_below(sizeof(a));
        const int letter = random_below(8) == 0 ? 0 : "abzZ,"[random_below(5)];
        const size_t least = length < other ? length : other;

        assert_int_equal(libsip_strlen(a), length);
        assert_int_equal(libsip_strnlen(a, bytes), strnlen(a, bytes));
        assert_ptr_equal(libsip_strchr(a, letter), strchr(a, letter));
        assert_ptr_equal(libsip_strrchr(a, letter), strrchr(a, letter));
        assert_ptr_equal(libsip_memchr(a, letter, length + 1), memchr(a, letter, length + 1));
        assert_ptr_equal(libsip_strstr(a, b), strstr(a, b));
        assert_int_equal(sign(libsip_strcmp(a, b)), sign(strcmp(a, b)));
        assert_int_equal(sign(libsip_strncmp(a, b, bytes)), sign(strncmp(a, b, bytes)));
        assert_int_equal(sign(libsip_memcmp(a, b, least)), sign(memcmp(a, b, least)));
        assert_int_equal(sign(sip_compare_nocase(a, b)), sign(strcasecmp(a, b)));
        assert_int_equal(sign(sip_compare_nocase_bytes(a, b, least)),
                         sign(strncasecmp(a, b, least)));
        assert_int_equal(sip_starts_with(a, b), strncmp(a, b, other) == 0);
        assert_int_equal(sip_ends_with(a, b),
                         other <= length && strcmp(a + length - other, b) == 0);
    }
    assert_true(libsip_strcmp("\x80", "a") > 0); /* bytes, not signed letters */
}

static void copies_end_where_room_ends(void **state)
{
    char to[8];

    (void)state;
    assert_int_equal(sip_copy(to, sizeof(to), "fabric"), 6);
    assert_string_equal(to, "fabric");
    assert_int_equal(sip_copy(to, 4, "fabric"), 6);
    assert_string_equal(to, "fab");
    assert_int_equal(sip_copy(to, 1, "fabric"), 6);
    assert_string_equal(to, "");
    to[0] = '!';
    assert_int_equal(sip_copy(to, 0, "fabric"), 6);
    assert_int_equal(to[0], '!');
}

static void spans_are_cut_and_trimmed(void **state)
{
    struct sip_span rest = sip_span_of("GET  /x,,y,"), piece;
    const char *wanted[] = {"GET  /x", "", "y"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_true(sip_span_split(&rest, ',', &piece));
        assert_true(sip_span_is(piece, wanted[i]));
    }
    assert_false(sip_span_split(&rest, ',', &piece));
    assert_true(sip_span_is(sip_span_trim(sip_span_of(" \t a b\r\n")), "a b"));
    assert_int_equal(sip_span_trim(sip_span_of(" \n ")).bytes, 0);
    assert_true(sip_span_is_nocase(sip_span_of("Content-Length"), "content-length"));
    assert_false(sip_span_is_nocase(sip_span_of("Content-Lengt"), "content-length"));
    assert_int_equal(sip_span_find(sip_span_of("abc"), 'c'), 2);
    assert_int_equal(sip_span_find(sip_span_of("abc"), 'd'), SIZE_MAX);
    rest.at = NULL;
    rest.bytes = 0;
    assert_int_equal(sip_span_find(rest, 'x'), SIZE_MAX);
    assert_int_equal(sip_span_find_part(rest, sip_span_of("x")), SIZE_MAX);
}

/* What strtoull makes of it, if it is digits only. */
static int32_t libc_u64(const char *text, int base, uint64_t *out_value)
{
    char *end;
    unsigned long long value;

    if (strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") !=
            strlen(text) ||
        text[0] == '\0' || (base == 16 && (text[1] == 'x' || text[1] == 'X'))) {
        return -SF_FORMAT;
    }
    errno = 0;
    value = strtoull(text, &end, base);
    if (*end != '\0') {
        return -SF_FORMAT;
    }
    *out_value = value;
    return errno == ERANGE ? -SF_LIMIT : 0;
}

static void numbers_are_read_as_libc_reads_them(void **state)
{
    static const char digits[] = "0000111123456789abcdefxzABF- ";

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        const int base = i % 3 == 0 ? 10 : i % 3 == 1 ? 16 : (int)(2 + random_below(35));
        uint64_t ours = 42, theirs = 42;
        char text[32];
        const size_t length = random_below(24);

        for (size_t k = 0; k < length; k++) {
            text[k] = digits[random_below(random_below(3) == 0 ? sizeof(digits) - 1 : 14)];
        }
        text[length] = '\0';
        if (random_below(2) == 0) {
            (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)random_u64());
        }
        assert_int_equal(sip_parse_u64(sip_span_of(text), (unsigned)base, &ours),
                         libc_u64(text, base, &theirs));
        if (libc_u64(text, base, &theirs) == 0) {
            assert_true(ours == theirs);
        } else {
            assert_true(ours == 42);
        }
    }
}

static void the_edges_of_numbers(void **state)
{
    uint64_t u = 7;
    int64_t s = 7;
    uint32_t w = 7;

    (void)state;
    assert_int_equal(sip_parse_u64(sip_span_of("18446744073709551615"), 10, &u), 0);
    assert_true(u == UINT64_MAX);
    assert_int_equal(sip_parse_u64(sip_span_of("18446744073709551616"), 10, &u), -SF_LIMIT);
    assert_int_equal(sip_parse_u64(sip_span_of("99999999999999999999x"), 10, &u), -SF_FORMAT);
    assert_int_equal(sip_parse_u64(sip_span_of("-1"), 10, &u), -SF_FORMAT);
    assert_int_equal(sip_parse_u64(sip_span_of("1"), 1, &u), -SF_BADARG);
    assert_int_equal(sip_parse_u64(sip_span_of("1"), 37, &u), -SF_BADARG);
    assert_true(u == UINT64_MAX);
    assert_int_equal(sip_parse_i64(sip_span_of("-9223372036854775808"), 10, &s), 0);
    assert_true(s == INT64_MIN);
    assert_int_equal(sip_parse_i64(sip_span_of("-9223372036854775809"), 10, &s), -SF_LIMIT);
    assert_int_equal(sip_parse_i64(sip_span_of("9223372036854775808"), 10, &s), -SF_LIMIT);
    assert_int_equal(sip_parse_i64(sip_span_of("+7f"), 16, &s), 0);
    assert_true(s == 0x7f);
    assert_int_equal(sip_parse_i64(sip_span_of("-"), 10, &s), -SF_FORMAT);
    assert_int_equal(sip_parse_i64(sip_span_of("--1"), 10, &s), -SF_FORMAT);
    assert_int_equal(sip_parse_u32(sip_span_of("4294967295"), 10, &w), 0);
    assert_true(w == UINT32_MAX);
    assert_int_equal(sip_parse_u32(sip_span_of("4294967296"), 10, &w), -SF_LIMIT);
}

/* --- formatting --------------------------------------------------------------------------------
 */

#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"

/* The same through both, in a buffer of random size. */
#define SAME(format, ...)                                                                          \
    do {                                                                                           \
        char ours_[512], theirs_[512];                                                             \
        const size_t capacity_ = random_below(4) == 0 ? random_below(20) : sizeof(ours_);          \
        int ours_length_, theirs_length_;                                                          \
        memset(ours_, '~', sizeof(ours_));                                                         \
        memset(theirs_, '~', sizeof(theirs_));                                                     \
        ours_length_ = sip_format(ours_, capacity_, format, __VA_ARGS__);                          \
        theirs_length_ = snprintf(theirs_, capacity_, format, __VA_ARGS__);                        \
        if (ours_length_ != theirs_length_ || memcmp(ours_, theirs_, sizeof(ours_)) != 0) {        \
            fail_msg("'%s': ours %d '%.*s', libc %d '%.*s'", format, ours_length_,                 \
                     (int)strnlen(ours_, 100), ours_, theirs_length_, (int)strnlen(theirs_, 100),  \
                     theirs_);                                                                     \
        }                                                                                          \
    } while (0)

/* "%" flags width .precision, and what is given. */
static void random_format(char *format, const char *flags, const char *end, uint32_t precision_max)
{
    char *at = format;

    *at++ = '[';
    *at++ = '%';
    for (; *flags != '\0'; flags++) {
        if (random_below(3) == 0) {
            *at++ = *flags;
        }
    }
    if (random_below(2) == 0) {
        at += sprintf(at, "%u", 1 + random_below(40));
    }
    if (random_below(2) == 0) {
        at += random_below(8) == 0 ? sprintf(at, ".")
                                   : sprintf(at, ".%u", random_below(precision_max));
    }
    (void)sprintf(at, "%s]", end);
}

static uint64_t random_number(void)
{
    static const uint64_t edges[] = {0,         1,          9,         10,        127,
                                     128,       255,        32767,     32768,     65535,
                                     INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX};

    return random_below(3) == 0 ? edges[random_below(14)] : random_u64() >> random_below(64);
}

static void integers_are_written_as_libc_does(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        static const char letters[] = "diuoxX";
        const char letter[2] = {letters[random_below(6)], '\0'};
        const bool is_signed = letter[0] == 'd' || letter[0] == 'i';
        const char *flags = is_signed ? "-+ 0" : letter[0] == 'u' ? "-0" : "-#0";
        static const char *const sizes[] = {"", "hh", "h", "l", "ll", "j", "z", "t"};
        const uint32_t size = random_below(8);
        const uint64_t value = random_number();
        char format[64], end[8];

        (void)snprintf(end, sizeof(end), "%s%s", sizes[size], letter);
        random_format(format, flags, end, 40);
        if (size <= 2) {
            SAME(format, (int)value);
        } else {
            SAME(format, (long long)value);
        }
    }
    SAME("%*d|%-*d|%.*d", 7, 42, -7, 42, 3, 7);
    SAME("%*d|%.*d", -7, 42, -3, 7);
}

static void texts_are_written_as_libc_does(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS / 4; i++) {
        char format[64], text[32];

        (void)random_text(text, sizeof(text));
        random_format(format, "-", "s", 40);
        SAME(format, text);
        (void)snprintf(format, sizeof(format), "%%%s%uc|%%%%", i % 2 ? "-" : "",
                       1 + (unsigned)i % 9);
        SAME(format, 'a' + i % 26);
    }
    SAME("%s and %s", "one", "two");
}

/* Any bits; or a few digits; or just at the edge between two roundings. */
static double random_double(void)
{
    const uint64_t bits = random_u64();
    double value;

    switch (random_below(4)) {
    case 0:
        memcpy(&value, &bits, sizeof(value));
        return value;
    case 1:
        return (double)(int64_t)bits / 1048576;
    case 2:
        return ((double)random_below(2000) - 1000) / 8; /* ties */
    default:
        return ldexp((double)(bits >> 11), (int)random_below(120) - 80);
    }
}

static void doubles_are_written_as_libc_does(void **state)
{
    static const double edges[] = {0.0,
                                   -0.0,
                                   0.5,
                                   1.5,
                                   2.5,
                                   0.05,
                                   9.995,
                                   99.5,
                                   999999.9999999,
                                   5e-324,
                                   1.7976931348623157e308,
                                   2.2250738585072014e-308,
                                   1e22};
    char text[512];

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        const double value = i < 260 ? edges[i % 13] * (i < 130 ? 1 : -1) : random_double();
        char format[64];

        if (isnan(value)) { /* its sign is nobody's business */
            continue;
        }
        random_format(format, "-+ 0", "f", 25);
        SAME(format, value);
    }
    for (int precision = 0; precision <= SIP_DOUBLE_PRECISION_MAX; precision++) {
        SAME("%.*f", precision, 0.1);
        SAME("%.*f", precision, 123456.789e-20);
    }
    SAME("%f %5f %-5f| %05f", (double)INFINITY, (double)-INFINITY, (double)INFINITY,
         (double)INFINITY);
    assert_int_equal(sip_format(text, sizeof(text), "%.70f", 0.5), 62); /* cut to the limit */
}

static void what_is_not_known_is_shown(void **state)
{
    char text[64];
    const char *bad = "%y %n %";
    const char *volatile none = NULL;

    (void)state;
    assert_int_equal(sip_format(text, sizeof(text), bad), 6);
    assert_string_equal(text, "%y %n ");
    assert_int_equal(sip_format(text, sizeof(text), "%s", none), 6);
    assert_int_equal(sip_format(text, sizeof(text), "%p %p", (void *)NULL, (void *)(uintptr_t)0xab),
                     8);
    assert_string_equal(text, "0x0 0xab");
    assert_int_equal(sip_format(NULL, 0, "%d", 12345), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_as_libc_has_them),
        cmocka_unit_test(copies_end_where_room_ends),
        cmocka_unit_test(spans_are_cut_and_trimmed),
        cmocka_unit_test(numbers_are_read_as_libc_reads_them),
        cmocka_unit_test(the_edges_of_numbers),
        cmocka_unit_test(integers_are_written_as_libc_does),
        cmocka_unit_test(texts_are_written_as_libc_does),
        cmocka_unit_test(doubles_are_written_as_libc_does),
        cmocka_unit_test(what_is_not_known_is_shown),
    };

    random_seed(1);
    return cmocka_run_group_tests_name("libsip-text", tests, NULL, NULL);
}
