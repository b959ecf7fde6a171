/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.c - strings and formatting of libsip.
 */
#include <limits.h>
#include <stdarg.h>

#include "sip.h"
#include "sip_double.h"

size_t strlen(const char *text)
{
    size_t length = 0;

    while (text[length] != '\0') {
        length++;
    }
    return length;
}

int strncmp(const char *a, const char *b, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        const uint8_t x = (uint8_t)a[i], y = (uint8_t)b[i];
        if (x != y) {
            return x < y ? -1 : 1;
        }
        if (x == 0) {
            break;
        }
    }
    return 0;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, SIZE_MAX);
}

/* --- formatting ----------------------------------------------------------------------------------
 */

#define COUNT_MAX 100000000 /* of a width or precision, so that adding to it cannot overflow */
#define DOUBLE_PRECISION 6

struct writer {
    char *buffer;
    size_t capacity;
    size_t length; /* what it would be without a limit */
};

enum size { SIZE_INT, SIZE_CHAR, SIZE_SHORT, SIZE_LONG, SIZE_LONG_LONG };

struct field {
    bool left, zero, plus, space, alternative;
    int width;
    int precision; /* below 0: none */
    enum size size;
};

static void put(struct writer *w, char c)
{
    if (w->length + 1 < w->capacity) {
        w->buffer[w->length] = c;
    }
    w->length++;
}

static void pad(struct writer *w, int count, char c)
{
    while (count-- > 0) {
        put(w, c);
    }
}

static void put_bytes(struct writer *w, const struct field *f, const char *text, int length)
{
    pad(w, f->left ? 0 : f->width - length, ' ');
    for (int i = 0; i < length; i++) {
        put(w, text[i]);
    }
    pad(w, f->left ? f->width - length : 0, ' ');
}

static void put_text(struct writer *w, const struct field *f, const char *text)
{
    int length = 0;

    if (text == NULL) {
        text = "(null)";
    }
    while (text[length] != '\0' && (f->precision < 0 || length < f->precision)) {
        length++;
    }
    put_bytes(w, f, text, length);
}

/* Before, inside and behind a number there may be: spaces, its sign or 0x, zeros, spaces. */
static void put_signed_digits(struct writer *w, const struct field *f, const char *sign,
                              const char *digits, int count, int zeros)
{
    const int sign_length = (int)strlen(sign);
    const int length = sign_length + zeros + count;

    pad(w, f->left ? 0 : f->width - length, ' ');
    for (int i = 0; i < sign_length; i++) {
        put(w, sign[i]);
    }
    pad(w, zeros, '0');
    for (int i = 0; i < count; i++) {
        put(w, digits[i]);
    }
    pad(w, f->left ? f->width - length : 0, ' ');
}

static const char *sign_of(const struct field *f, bool negative)
{
    return negative ? "-" : f->plus ? "+" : f->space ? " " : "";
}

static void put_number(struct writer *w, const struct field *f, uint64_t value, unsigned base,
                       const char *sign, bool upper)
{
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char text[24];
    int count = 0, zeros;

    for (uint64_t left = value; left > 0; left /= base) {
        text[sizeof(text) - (size_t)++count] = digits[left % base];
    }
    zeros = (f->precision < 0 ? 1 : f->precision) - count;
    if (base == 8 && f->alternative && zeros <= 0) {
        zeros = 1;
    }
    if (f->precision < 0 && f->zero && !f->left) {
        const int whole = f->width - count - (int)strlen(sign);
        zeros = whole > zeros ? whole : zeros;
    }
    put_signed_digits(w, f, sign, text + sizeof(text) - count, count, zeros > 0 ? zeros : 0);
}

/* Replaced by SIP_FORMAT_DOUBLES (sip_double.h). */
__attribute__((weak)) int sip__double_digits(char *buffer, double value, int precision)
{
    (void)buffer;
    (void)value;
    (void)precision;
    return -1;
}

static void put_double(struct writer *w, const struct field *f, double value)
{
    const bool negative = __builtin_signbit(value) != 0;
    const bool finite = value - value == 0;
    const char *sign = sign_of(f, negative);
    char text[SIP_DOUBLE_TEXT_MAX];
    const int count =
        sip__double_digits(text, value, f->precision < 0 ? DOUBLE_PRECISION : f->precision);
    int zeros = 0;

    if (count < 0) { /* the SIP was built without: shown as it stands */
        put(w, '%');
        put(w, 'f');
        return;
    }
    if (f->zero && !f->left && finite) {
        zeros = f->width - count - (int)strlen(sign);
    }
    put_signed_digits(w, f, sign, text, count, zeros > 0 ? zeros : 0);
}

/* Digits, or a star: then it is the next argument. */
static const char *read_count(const char *at, int *out_count, va_list *list)
{
    int count = 0;

    if (*at == '*') {
        count = va_arg(*list, int);
        count = count > COUNT_MAX ? COUNT_MAX : count < -COUNT_MAX ? -COUNT_MAX : count;
        at++;
    } else {
        for (; *at >= '0' && *at <= '9'; at++) {
            count = count < COUNT_MAX / 10 ? count * 10 + (*at - '0') : COUNT_MAX;
        }
    }
    *out_count = count;
    return at;
}

static const char *read_size(const char *at, enum size *size)
{
    switch (*at) {
    case 'h':
        *size = at[1] == 'h' ? SIZE_CHAR : SIZE_SHORT;
        return at[1] == 'h' ? at + 2 : at + 1;
    case 'l':
        *size = at[1] == 'l' ? SIZE_LONG_LONG : SIZE_LONG;
        return at[1] == 'l' ? at + 2 : at + 1;
    case 'j':
        *size = SIZE_LONG_LONG;
        return at + 1;
    case 'z':
    case 't':
        *size = sizeof(size_t) == sizeof(long) ? SIZE_LONG : SIZE_INT;
        return at + 1;
    default:
        return at;
    }
}

static const char *read_field(const char *at, struct field *f, va_list *list)
{
    for (;; at++) {
        switch (*at) {
        case '-':
            f->left = true;
            continue;
        case '0':
            f->zero = true;
            continue;
        case '+':
            f->plus = true;
            continue;
        case ' ':
            f->space = true;
            continue;
        case '#':
            f->alternative = true;
            continue;
        default:
            break;
        }
        break;
    }
    at = read_count(at, &f->width, list);
    if (f->width < 0) {
        f->left = true;
        f->width = -f->width;
    }
    if (*at == '.') {
        at = read_count(at + 1, &f->precision, list);
    }
    return read_size(at, &f->size);
}

static int64_t take_signed(const struct field *f, va_list *list)
{
    switch (f->size) {
    case SIZE_CHAR:
        return (int8_t)va_arg(*list, int);
    case SIZE_SHORT:
        return (int16_t)va_arg(*list, int);
    case SIZE_LONG:
        return va_arg(*list, long);
    case SIZE_LONG_LONG:
        return va_arg(*list, long long);
    case SIZE_INT:
        break;
    }
    return va_arg(*list, int);
}

static uint64_t take_unsigned(const struct field *f, va_list *list)
{
    switch (f->size) {
    case SIZE_CHAR:
        return (uint8_t)va_arg(*list, unsigned);
    case SIZE_SHORT:
        return (uint16_t)va_arg(*list, unsigned);
    case SIZE_LONG:
        return va_arg(*list, unsigned long);
    case SIZE_LONG_LONG:
        return va_arg(*list, unsigned long long);
    case SIZE_INT:
        break;
    }
    return va_arg(*list, unsigned);
}

static void convert_integer(struct writer *w, const struct field *f, char letter, va_list *list)
{
    uint64_t value;

    if (letter == 'd' || letter == 'i') {
        const int64_t number = take_signed(f, list);
        value = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
        put_number(w, f, value, 10, sign_of(f, number < 0), false);
        return;
    }
    value = take_unsigned(f, list);
    if (letter == 'u' || letter == 'o') {
        put_number(w, f, value, letter == 'u' ? 10 : 8, "", false);
    } else {
        const char *prefix = letter == 'x' ? "0x" : "0X";
        put_number(w, f, value, 16, f->alternative && value != 0 ? prefix : "", letter == 'X');
    }
}

/* One conversion; its letter is at `letter`. list is by pointer: it moves on. */
static void convert(struct writer *w, const struct field *f, char letter, va_list *list)
{
    char c;

    switch (letter) {
    case 'd':
    case 'i':
    case 'u':
    case 'o':
    case 'x':
    case 'X':
        convert_integer(w, f, letter, list);
        break;
    case 'p':
        put_number(w, f, (uintptr_t)va_arg(*list, void *), 16, "0x", false);
        break;
    case 'f':
        put_double(w, f, va_arg(*list, double));
        break;
    case 'c':
        c = (char)va_arg(*list, int);
        put_bytes(w, f, &c, 1);
        break;
    case 's':
        put_text(w, f, va_arg(*list, const char *));
        break;
    default: /* shown as it stands, so that the mistake is seen */
        put(w, '%');
        if (letter != '%') {
            put(w, letter);
        }
        break;
    }
}

int sip_vformat(char *buffer, size_t capacity, const char *format, va_list list)
{
    struct writer w = {.buffer = buffer, .capacity = capacity};
    va_list copy;

    va_copy(copy, list);
    for (const char *at = format; *at != '\0'; at++) {
        struct field f = {.precision = -1};
        if (*at != '%') {
            put(&w, *at);
            continue;
        }
        at = read_field(at + 1, &f, &copy);
        if (*at == '\0') {
            break;
        }
        convert(&w, &f, *at, &copy);
    }
    va_end(copy);
    if (capacity > 0) {
        buffer[w.length < capacity ? w.length : capacity - 1] = '\0';
    }
    return w.length > INT_MAX ? -SF_LIMIT : (int)w.length;
}

int sip_format(char *buffer, size_t capacity, const char *format, ...)
{
    va_list list;
    int length;

    va_start(list, format);
    length = sip_vformat(buffer, capacity, format, list);
    va_end(list);
    return length;
}
