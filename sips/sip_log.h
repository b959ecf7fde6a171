/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip_log.h - lines in the operator's log, by importance, and not too many of them.
 *
 * A line of a level is written if the SIP's configuration lets it: `log_level` in the graph is
 * error, warning, info or debug; without it, info. It is read once, at the first line. A line
 * begins with "error: ", "warning: " or "debug: "; info has no such word. Lines are cut at
 * NK_LOG_BYTES_MAX. sip_log (sip.h) always writes.
 */
#ifndef SIP_LOG_H
#define SIP_LOG_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum sip_log_level { SIP_LOG_ERROR = 0, SIP_LOG_WARNING, SIP_LOG_INFO, SIP_LOG_DEBUG };

#define sip_error(...) sip_log_at(SIP_LOG_ERROR, __VA_ARGS__)
#define sip_warning(...) sip_log_at(SIP_LOG_WARNING, __VA_ARGS__)
#define sip_info(...) sip_log_at(SIP_LOG_INFO, __VA_ARGS__)
#define sip_debug(...) sip_log_at(SIP_LOG_DEBUG, __VA_ARGS__)

void sip_log_at(enum sip_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Would a line of this level be written? For lines that are costly to make. */
bool sip_log_is_on(enum sip_log_level level);
/* From now on, whatever the configuration says. */
void sip_log_set(enum sip_log_level level);

/*
 * For lines that a peer can cause: at most `burst` of them in `period_ns`. Static or zeroed memory
 * with burst and period_ns set; one for each place that logs, or for each peer.
 */
struct sip_log_limit {
    uint32_t burst;
    int64_t period_ns;
    int64_t since_ns; /* when this period began; 0: none yet */
    uint32_t used, dropped;
};

/* As sip_log_at, or counted only. The first line of a later period is followed by one that says how
 * many were left out before it. */
void sip_log_limited(struct sip_log_limit *limit, enum sip_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#ifdef __cplusplus
}
#endif

#endif
