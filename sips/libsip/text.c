/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.c - strings and formatting of libsip.
 */
#include <stdarg.h>

#include "sip.h"

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

struct writer {
    char *buffer;
    size_t capacity;
    size_t length; /* what it would be without a limit */
};

struct field {
    bool left, zero;
    int width;
    int precision; /* -1: none */
    int longs;     /* l: 1, ll: 2 */
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

static void put_text(struct writer *w, const struct field *f, const char *text)
{
    int length = 0;

    if (text == NULL) {
        text = "(null)";
    }
    while (text[length] != '\0' && (f->precision < 0 || length < f->precision)) {
        length++;
    }
    pad(w, f->left ? 0 : f->width - length, ' ');
    for (int i = 0; i < length; i++) {
        put(w, text[i]);
    }
    pad(w, f->left ? f->width - length : 0, ' ');
}

static void put_number(struct writer *w, const struct field *f, uint64_t value, unsigned base,
                       bool negative, bool upper)
{
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char text[24];
    int count = 0, length;

    do {
        text[count++] = digits[value % base];
        value /= base;
    } while (value > 0);
    length = count + (negative ? 1 : 0);
    if (!f->left && !f->zero) {
        pad(w, f->width - length, ' ');
    }
    if (negative) {
        put(w, '-');
    }
    if (!f->left && f->zero) {
        pad(w, f->width - length, '0');
    }
    while (count > 0) {
        put(w, text[--count]);
    }
    pad(w, f->left ? f->width - length : 0, ' ');
}

/* Digits, or a star: then it is the next argument. */
static const char *read_count(const char *at, int *out_count, va_list *list)
{
    int count = 0;

    if (*at == '*') {
        count = va_arg(*list, int);
        at++;
    } else {
        for (; *at >= '0' && *at <= '9'; at++) {
            count = count * 10 + (*at - '0');
        }
    }
    *out_count = count;
    return at;
}

static const char *read_field(const char *at, struct field *f, va_list *list)
{
    for (; *at == '-' || *at == '0'; at++) {
        f->left |= *at == '-';
        f->zero |= *at == '0';
    }
    at = read_count(at, &f->width, list);
    if (f->width < 0) {
        f->left = true;
        f->width = -f->width;
    }
    if (*at == '.') {
        at = read_count(at + 1, &f->precision, list);
    }
    for (; *at == 'l' || *at == 'z'; at++) {
        f->longs += *at == 'l';
    }
    return at;
}

/* One conversion; its letter is at `letter`. list is by pointer: it moves on. */
static void convert(struct writer *w, const struct field *f, char letter, va_list *list)
{
    switch (letter) {
    case 'd':
    case 'i': {
        const int64_t value = f->longs > 1 ? va_arg(*list, int64_t) : va_arg(*list, int32_t);
        put_number(w, f, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10, value < 0, false);
        break;
    }
    case 'u':
    case 'x':
    case 'X': {
        const uint64_t value = f->longs > 1 ? va_arg(*list, uint64_t) : va_arg(*list, uint32_t);
        put_number(w, f, value, letter == 'u' ? 10 : 16, false, letter == 'X');
        break;
    }
    case 'p':
        put(w, '0');
        put(w, 'x');
        put_number(w, f, (uintptr_t)va_arg(*list, void *), 16, false, false);
        break;
    case 'c':
        put(w, (char)va_arg(*list, int));
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
    return (int)w.length;
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
