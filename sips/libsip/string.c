/* SPDX-License-Identifier: Apache-2.0 */
/*
 * string.c - sip_text.h.
 */
#include "sip_text.h"

#include "sip.h"

void *memchr(const void *memory, int byte, size_t bytes)
{
    const uint8_t *at = memory;

    for (size_t i = 0; i < bytes; i++) {
        if (at[i] == (uint8_t)byte) {
            return (void *)(uintptr_t)(at + i);
        }
    }
    return NULL;
}

size_t strnlen(const char *text, size_t bytes_max)
{
    size_t length = 0;

    while (length < bytes_max && text[length] != '\0') {
        length++;
    }
    return length;
}

char *strchr(const char *text, int letter)
{
    for (;; text++) {
        if (*text == (char)letter) {
            return (char *)(uintptr_t)text;
        }
        if (*text == '\0') {
            return NULL;
        }
    }
}

char *strrchr(const char *text, int letter)
{
    const char *found = NULL;

    for (;; text++) {
        if (*text == (char)letter) {
            found = text;
        }
        if (*text == '\0') {
            return (char *)(uintptr_t)found;
        }
    }
}

char *strstr(const char *text, const char *part)
{
    const size_t at = sip_span_find_part(sip_span_of(text), sip_span_of(part));

    return at == SIZE_MAX ? NULL : (char *)(uintptr_t)(text + at);
}

size_t sip_copy(char *to, size_t capacity, const char *from)
{
    const size_t length = strlen(from);

    if (capacity > 0) {
        const size_t copied = length < capacity ? length : capacity - 1;
        memcpy(to, from, copied);
        to[copied] = '\0';
    }
    return length;
}

static int lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

int sip_compare_nocase(const char *a, const char *b)
{
    size_t i = 0;

    while (a[i] != '\0' && lower((uint8_t)a[i]) == lower((uint8_t)b[i])) {
        i++;
    }
    return lower((uint8_t)a[i]) - lower((uint8_t)b[i]);
}

int sip_compare_nocase_bytes(const void *a, const void *b, size_t bytes)
{
    const uint8_t *x = a, *y = b;

    for (size_t i = 0; i < bytes; i++) {
        if (lower(x[i]) != lower(y[i])) {
            return lower(x[i]) - lower(y[i]);
        }
    }
    return 0;
}

bool sip_starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

bool sip_ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), end_length = strlen(end);

    return length >= end_length && strcmp(text + (length - end_length), end) == 0;
}

struct sip_span sip_span_of(const char *text)
{
    const struct sip_span span = {text, strlen(text)};

    return span;
}

bool sip_span_is(struct sip_span span, const char *text)
{
    return span.bytes == strlen(text) && memcmp(span.at, text, span.bytes) == 0;
}

bool sip_span_is_nocase(struct sip_span span, const char *text)
{
    return span.bytes == strlen(text) && sip_compare_nocase_bytes(span.at, text, span.bytes) == 0;
}

size_t sip_span_find(struct sip_span span, char letter)
{
    const char *found = span.bytes > 0 ? memchr(span.at, letter, span.bytes) : NULL;

    return found == NULL ? SIZE_MAX : (size_t)(found - span.at);
}

size_t sip_span_find_part(struct sip_span span, struct sip_span part)
{
    for (size_t i = 0; part.bytes <= span.bytes && i <= span.bytes - part.bytes; i++) {
        if (part.bytes == 0 || memcmp(span.at + i, part.at, part.bytes) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct sip_span sip_span_trim(struct sip_span span)
{
    while (span.bytes > 0 && is_space(span.at[0])) {
        span.at++;
        span.bytes--;
    }
    while (span.bytes > 0 && is_space(span.at[span.bytes - 1])) {
        span.bytes--;
    }
    return span;
}

bool sip_span_split(struct sip_span *rest, char delimiter, struct sip_span *out_piece)
{
    const size_t at = sip_span_find(*rest, delimiter);

    if (rest->bytes == 0) {
        return false;
    }
    out_piece->at = rest->at;
    out_piece->bytes = at == SIZE_MAX ? rest->bytes : at;
    rest->at += at == SIZE_MAX ? rest->bytes : at + 1;
    rest->bytes -= at == SIZE_MAX ? rest->bytes : at + 1;
    return true;
}

static unsigned digit_of(char c)
{
    if (c >= '0' && c <= '9') {
        return (unsigned)(c - '0');
    }
    c = (char)lower((uint8_t)c);
    return c >= 'a' && c <= 'z' ? (unsigned)(c - 'a') + 10u : 99u;
}

int32_t sip_parse_u64(struct sip_span span, unsigned base, uint64_t *out_value)
{
    uint64_t value = 0;
    bool over = false;

    if (base < 2 || base > 36) {
        return -SF_BADARG;
    }
    for (size_t i = 0; i < span.bytes; i++) {
        const unsigned digit = digit_of(span.at[i]);
        if (digit >= base) {
            return -SF_FORMAT;
        }
        over = over || __builtin_mul_overflow(value, (uint64_t)base, &value) ||
               __builtin_add_overflow(value, (uint64_t)digit, &value);
    }
    if (span.bytes == 0) {
        return -SF_FORMAT;
    }
    if (over) {
        return -SF_LIMIT;
    }
    *out_value = value;
    return 0;
}

int32_t sip_parse_i64(struct sip_span span, unsigned base, int64_t *out_value)
{
    const bool negative = span.bytes > 0 && span.at[0] == '-';
    uint64_t value;
    int32_t result;

    if (negative || (span.bytes > 0 && span.at[0] == '+')) {
        span.at++;
        span.bytes--;
    }
    result = sip_parse_u64(span, base, &value);
    if (result != 0) {
        return result;
    }
    if (value > (uint64_t)INT64_MAX + (negative ? 1u : 0u)) {
        return -SF_LIMIT;
    }
    *out_value = (int64_t)(negative ? 0 - value : value);
    return 0;
}

int32_t sip_parse_u32(struct sip_span span, unsigned base, uint32_t *out_value)
{
    uint64_t value;
    const int32_t result = sip_parse_u64(span, base, &value);

    if (result != 0) {
        return result;
    }
    if (value > UINT32_MAX) {
        return -SF_LIMIT;
    }
    *out_value = (uint32_t)value;
    return 0;
}
