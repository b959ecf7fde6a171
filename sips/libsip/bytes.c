/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bytes.c - sip_bytes.h.
 */
#include "sip_bytes.h"

#include "sip.h"

#define BYTES_CAPACITY_MIN 64u

void sip_bytes_init(struct sip_bytes *bytes, size_t limit)
{
    bytes->at = NULL;
    bytes->count = 0;
    bytes->capacity = 0;
    bytes->limit = limit == 0 ? SIZE_MAX - 1 : limit;
    bytes->failed = 0;
}

void sip_bytes_fini(struct sip_bytes *bytes)
{
    sip_free(bytes->at);
    sip_bytes_init(bytes, bytes->limit);
}

void sip_bytes_clear(struct sip_bytes *bytes)
{
    bytes->count = 0;
    bytes->failed = 0;
    if (bytes->at != NULL) {
        bytes->at[0] = '\0';
    }
}

int32_t sip_bytes_reserve(struct sip_bytes *bytes, size_t more)
{
    size_t need, capacity;
    char *at;

    if (bytes->failed != 0) {
        return bytes->failed;
    }
    if (more > bytes->limit - bytes->count) {
        return bytes->failed = -SF_LIMIT;
    }
    need = bytes->count + more;
    if (bytes->at != NULL && need <= bytes->capacity) {
        return 0;
    }
    capacity = bytes->capacity > bytes->limit / 2 ? bytes->limit : 2 * bytes->capacity;
    capacity = capacity < BYTES_CAPACITY_MIN ? BYTES_CAPACITY_MIN : capacity;
    capacity = capacity < need ? need : capacity;
    capacity = capacity > bytes->limit ? bytes->limit : capacity;
    at = sip_realloc(bytes->at, capacity + 1);
    if (at == NULL) {
        return bytes->failed = -SF_NOMEM;
    }
    bytes->at = at;
    bytes->capacity = capacity;
    bytes->at[bytes->count] = '\0';
    return 0;
}

int32_t sip_bytes_add(struct sip_bytes *bytes, const void *from, size_t count)
{
    const int32_t result = sip_bytes_reserve(bytes, count);

    if (result == 0 && count > 0) {
        memcpy(bytes->at + bytes->count, from, count);
        bytes->count += count;
        bytes->at[bytes->count] = '\0';
    }
    return result;
}

int32_t sip_bytes_add_text(struct sip_bytes *bytes, const char *text)
{
    return sip_bytes_add(bytes, text, strlen(text));
}

int32_t sip_bytes_add_byte(struct sip_bytes *bytes, uint8_t byte)
{
    return sip_bytes_add(bytes, &byte, 1);
}

int32_t sip_bytes_vformat(struct sip_bytes *bytes, const char *format, va_list list)
{
    va_list copy;
    int length;
    int32_t result;

    va_copy(copy, list);
    length = sip_vformat(NULL, 0, format, copy);
    va_end(copy);
    if (length < 0) {
        return bytes->failed != 0 ? bytes->failed : (bytes->failed = -SF_LIMIT);
    }
    result = sip_bytes_reserve(bytes, (size_t)length);
    if (result == 0) {
        (void)sip_vformat(bytes->at + bytes->count, (size_t)length + 1, format, list);
        bytes->count += (size_t)length;
    }
    return result;
}

int32_t sip_bytes_format(struct sip_bytes *bytes, const char *format, ...)
{
    va_list list;
    int32_t result;

    va_start(list, format);
    result = sip_bytes_vformat(bytes, format, list);
    va_end(list);
    return result;
}

void sip_bytes_consume(struct sip_bytes *bytes, size_t count)
{
    if (count > bytes->count) {
        count = bytes->count;
    }
    if (count > 0) {
        bytes->count -= count;
        memmove(bytes->at, bytes->at + count, bytes->count + 1);
    }
}

struct sip_span sip_bytes_span(const struct sip_bytes *bytes)
{
    const struct sip_span span = {bytes->at, bytes->count};

    return span;
}
