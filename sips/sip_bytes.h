/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip_bytes.h - a buffer of bytes that grows: for what comes in pieces, and for building text.
 *
 * Model: `count` bytes at `at`, with room for `capacity`. One byte behind them is always zero (once
 * anything was added), so that `at` is also a terminated text. Room doubles, never past limit.
 *
 * Failing is remembered: after a call that could not add everything, `failed` is its status, the
 * content is as before that call, and further calls that add answer the same until
 * sip_bytes_clear or sip_bytes_fini. A builder may therefore add without looking, and look once.
 *
 * Ownership: the buffer owns its memory. What is added may not lie in the buffer itself.
 * Errors: 0; -SF_LIMIT: more than the limit; -SF_NOMEM.
 */
#ifndef SIP_BYTES_H
#define SIP_BYTES_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sip_text.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sip_bytes {
    char *at; /* NULL: nothing was added yet */
    size_t count, capacity, limit;
    int32_t failed;
};

/* limit: how many bytes it may hold; 0: as many as there is memory for. Allocates nothing yet. */
void sip_bytes_init(struct sip_bytes *bytes, size_t limit);
/* Frees the memory. It is then as after init. */
void sip_bytes_fini(struct sip_bytes *bytes);
/* Empty, memory kept. */
void sip_bytes_clear(struct sip_bytes *bytes);
/* Room for `more` bytes beyond count. */
int32_t sip_bytes_reserve(struct sip_bytes *bytes, size_t more);
int32_t sip_bytes_add(struct sip_bytes *bytes, const void *from, size_t count);
int32_t sip_bytes_add_text(struct sip_bytes *bytes, const char *text);
int32_t sip_bytes_add_byte(struct sip_bytes *bytes, uint8_t byte);
/* Formats as sip_format does, all of it or nothing. */
int32_t sip_bytes_format(struct sip_bytes *bytes, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int32_t sip_bytes_vformat(struct sip_bytes *bytes, const char *format, va_list list);
/* Takes that many bytes off the front (at most all); the rest moves there. */
void sip_bytes_consume(struct sip_bytes *bytes, size_t count);
/* What is in it; good until the next call that adds. */
struct sip_span sip_bytes_span(const struct sip_bytes *bytes);

#ifdef __cplusplus
}
#endif

#endif
