/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel.c - kernel calls with a little comfort.
 */
#include <stdarg.h>

#include "sip.h"

void sip_log(const char *format, ...)
{
    char line[NK_LOG_BYTES_MAX + 1];
    va_list list;
    int length;

    va_start(list, format);
    length = sip_vformat(line, sizeof(line), format, list);
    va_end(list);
    if (length < 0 || length > (int)NK_LOG_BYTES_MAX) {
        length = (int)NK_LOG_BYTES_MAX;
    }
    if (length > 0) {
        (void)nk_log(line, (uint32_t)length);
    }
}

int32_t sip_endpoint(const char *name)
{
    return nk_endpoint(name, strlen(name));
}

int32_t sip_accept(const char *export_name, int64_t timeout_ns)
{
    return nk_accept(export_name, strlen(export_name), timeout_ns);
}

int32_t sip_listen(const char *export_name)
{
    return nk_listen(export_name, strlen(export_name));
}

const char *sip_config(const char *key, char *buffer, size_t capacity, const char *fallback)
{
    int32_t length;

    if (capacity == 0) {
        return fallback;
    }
    length = nk_config(key, strlen(key), buffer, capacity - 1);
    if (length < 0 || (size_t)length > capacity - 1) {
        (void)sip_format(buffer, capacity, "%s", fallback);
    } else {
        buffer[length] = '\0';
    }
    return buffer;
}

uint32_t sip_config_u32(const char *key, uint32_t fallback)
{
    char text[16];
    uint64_t value = 0;
    const char *at = sip_config(key, text, sizeof(text), "");

    if (*at == '\0') {
        return fallback;
    }
    for (; *at != '\0'; at++) {
        if (*at < '0' || *at > '9') {
            return fallback;
        }
        value = value * 10 + (uint64_t)(*at - '0');
        if (value > UINT32_MAX) {
            return fallback;
        }
    }
    return (uint32_t)value;
}

const char *sip_identity(enum sip_identity which, char *buffer, size_t capacity)
{
    int32_t length;

    if (capacity == 0) {
        return "";
    }
    length = nk_identity((uint32_t)which, buffer, capacity - 1);
    if (length < 0) {
        length = 0;
    } else if ((size_t)length > capacity - 1) {
        length = (int32_t)(capacity - 1);
    }
    buffer[length] = '\0';
    return buffer;
}

const char *sip_status_text(int32_t result)
{
    static const struct {
        int32_t number;
        const char *text;
    } table[] = {
#define SF_STATUS(name, number, text) {number, text},
#include "base/status.def"
#undef SF_STATUS
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].number == (result < 0 ? -result : 0)) {
            return table[i].text;
        }
    }
    return "?";
}

const char *sip_cause_text(int32_t cause)
{
    static const char *const table[] = {
#define SF_CAUSE(name, number, text) [number] = text,
#include "base/cause.def"
#undef SF_CAUSE
    };
    const uint32_t kind = (uint32_t)cause & 0xffu;

    if (cause < 0 || kind >= sizeof(table) / sizeof(table[0]) || table[kind] == NULL) {
        return "?";
    }
    return table[kind];
}

void sip_sleep_ns(int64_t ns)
{
    (void)nk_select(NULL, 0, ns);
}
