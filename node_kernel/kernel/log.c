/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

uint64_t node_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

double node_uptime_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void node_log(const char *format, ...)
{
    char line[NODE_LOG_BYTES_MAX];
    size_t used;
    int n;
    va_list args;

    n = snprintf(line, sizeof(line), "[%9.3f] ", node_uptime_s());
    used = n > 0 ? (size_t)n : 0;
    va_start(args, format);
    n = vsnprintf(line + used, sizeof(line) - used - 1, format, args);
    va_end(args);
    if (n > 0) {
        used += (size_t)n < sizeof(line) - used - 1 ? (size_t)n : sizeof(line) - used - 2;
    }
    line[used++] = '\n';
    /* One write, so that lines of several nodes in one file do not mix. Nobody to tell if it fails.
     */
    n = (int)write(STDERR_FILENO, line, used);
    (void)n;
}

/* Length of the well-formed UTF-8 sequence at text, or 0. */
static size_t utf8_length(const unsigned char *text, size_t bytes)
{
    size_t need = text[0] < 0x80                      ? 1
                  : text[0] >= 0xc2 && text[0] < 0xe0 ? 2
                  : text[0] >= 0xe0 && text[0] < 0xf0 ? 3
                  : text[0] >= 0xf0 && text[0] < 0xf5 ? 4
                                                      : 0;
    if (need == 0 || need > bytes) {
        return 0;
    }
    for (size_t i = 1; i < need; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] >= 0xa0) ||
        (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] >= 0x90)) {
        return 0;
    }
    /* C1 control characters (U+0080..U+009F) can drive a terminal too. */
    return need == 2 && text[0] == 0xc2 && text[1] < 0xa0 ? 0 : need;
}

const char *node_text_clean(const char *text, size_t bytes, int lines, char *out, size_t capacity)
{
    size_t used = 0;

    for (size_t i = 0; i < bytes && text[i] != '\0';) {
        const unsigned char *at = (const unsigned char *)text + i;
        size_t length = utf8_length(at, bytes - i);
        int plain = length > 1 || (at[0] >= 0x20 && at[0] < 0x7f) || at[0] == '\t' ||
                    (lines && at[0] == '\n');
        if (length == 0) {
            length = 1;
            plain = 0;
        }
        if (used + length + 1 > capacity) {
            break;
        }
        for (size_t k = 0; k < length; k++) {
            out[used++] = plain ? (char)at[k] : '?';
        }
        i += length;
    }
    if (capacity > 0) {
        out[used] = '\0';
    }
    return out;
}
