/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.c - sip_log.h.
 */
#include "sip_log.h"

#include "sip.h"

static const char *const level_names[] = {"error", "warning", "info", "debug"};
#define LEVEL_COUNT (sizeof(level_names) / sizeof(level_names[0]))

static int level_now = -1; /* not read yet */

static int level_read(void)
{
    char text[16];

    (void)sip_config("log_level", text, sizeof(text), "info");
    for (size_t i = 0; i < LEVEL_COUNT; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            return (int)i;
        }
    }
    sip_log("warning: log_level '%s' is none of error, warning, info, debug: info it is", text);
    return SIP_LOG_INFO;
}

bool sip_log_is_on(enum sip_log_level level)
{
    if (level_now < 0) {
        level_now = level_read();
    }
    return (int)level <= level_now;
}

void sip_log_set(enum sip_log_level level)
{
    level_now = (int)level;
}

static void write_line(enum sip_log_level level, const char *format, va_list list)
{
    char line[NK_LOG_BYTES_MAX + 1];
    size_t length = 0;
    int more;

    if (level != SIP_LOG_INFO && (size_t)level < LEVEL_COUNT) {
        length = (size_t)sip_format(line, sizeof(line), "%s: ", level_names[level]);
    }
    more = sip_vformat(line + length, sizeof(line) - length, format, list);
    length = more < 0 || (size_t)more > NK_LOG_BYTES_MAX - length ? NK_LOG_BYTES_MAX
                                                                  : length + (size_t)more;
    if (length > 0) {
        (void)nk_log(line, (uint32_t)length);
    }
}

void sip_log_at(enum sip_log_level level, const char *format, ...)
{
    va_list list;

    if (sip_log_is_on(level)) {
        va_start(list, format);
        write_line(level, format, list);
        va_end(list);
    }
}

/* Counts one line. True: it may be written; *out_dropped lines were left out before it. */
static bool limit_allows(struct sip_log_limit *limit, uint32_t *out_dropped)
{
    const int64_t now = nk_clock_ns();

    *out_dropped = 0;
    if (limit->since_ns == 0 || now - limit->since_ns >= limit->period_ns) {
        *out_dropped = limit->dropped;
        limit->since_ns = now;
        limit->used = 0;
        limit->dropped = 0;
    }
    if (limit->used >= limit->burst) {
        limit->dropped += limit->dropped < UINT32_MAX;
        return false;
    }
    limit->used++;
    return true;
}

void sip_log_limited(struct sip_log_limit *limit, enum sip_log_level level, const char *format, ...)
{
    uint32_t dropped;
    va_list list;

    if (!sip_log_is_on(level) || !limit_allows(limit, &dropped)) {
        return;
    }
    va_start(list, format);
    write_line(level, format, list);
    va_end(list);
    if (dropped > 0) {
        sip_log_at(level, "(%u lines like the one above were left out)", dropped);
    }
}
