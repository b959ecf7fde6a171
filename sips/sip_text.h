/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip_text.h - strings for a SIP: searching, comparing, cutting apart, copying safely, numbers.
 *
 * Model: a span is bytes that somebody else owns, with their count; it need not be terminated, may
 * hold zeros, and is how text from a peer should be looked at. Functions with `const char *` take
 * terminated text.
 *
 * Nothing here allocates, keeps a pointer, or reads behind the count it was given. Upper and lower
 * case are ASCII's; other bytes are compared as they are.
 * Threads: none of it keeps state. Errors: 0, or -(sf_status).
 */
#ifndef SIP_TEXT_H
#define SIP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- what C has ------------------------------------------------------------------------------- */

void *memchr(const void *memory, int byte, size_t bytes);
size_t strnlen(const char *text, size_t bytes_max);
char *strchr(const char *text, int letter);
char *strrchr(const char *text, int letter);
/* Time in the worst case: the product of both lengths. An empty part is found at the beginning. */
char *strstr(const char *text, const char *part);

/* --- terminated text -------------------------------------------------------------------------- */

/*
 * Copies as much as fits and terminates (when capacity > 0). Answers the length of `from`: if that
 * is capacity or more, the copy is cut.
 */
size_t sip_copy(char *to, size_t capacity, const char *from);
/* Below 0, 0, above 0, as strcmp, with A..Z taken as a..z. */
int sip_compare_nocase(const char *a, const char *b);
int sip_compare_nocase_bytes(const void *a, const void *b, size_t bytes);
bool sip_starts_with(const char *text, const char *start);
bool sip_ends_with(const char *text, const char *end);

/* --- spans ------------------------------------------------------------------------------------ */

struct sip_span {
    const char *at;
    size_t bytes;
};

/* A terminated text as a span. */
struct sip_span sip_span_of(const char *text);
bool sip_span_is(struct sip_span span, const char *text);
bool sip_span_is_nocase(struct sip_span span, const char *text);
/* Offset of the first such byte, or of the first such part; SIZE_MAX: not there. */
size_t sip_span_find(struct sip_span span, char letter);
size_t sip_span_find_part(struct sip_span span, struct sip_span part);
/* Without spaces, tabs, CR and LF at both ends. */
struct sip_span sip_span_trim(struct sip_span span);
/*
 * Takes what lies before the next `delimiter` (or all that is left) into *out_piece, and it and the
 * delimiter off *rest. False: nothing is left, and nothing was written. So that "a,,b" is three
 * pieces, and "a," is one.
 */
bool sip_span_split(struct sip_span *rest, char delimiter, struct sip_span *out_piece);

/* --- numbers ---------------------------------------------------------------------------------- */

/*
 * The whole span must be a number: digits of base 2 to 36 (letters in either case), for the signed
 * one a + or - before them; no spaces, no 0x. Writes only on 0.
 * -SF_FORMAT: not a number. -SF_LIMIT: a number that does not fit. -SF_BADARG: base.
 */
int32_t sip_parse_u64(struct sip_span span, unsigned base, uint64_t *out_value);
int32_t sip_parse_i64(struct sip_span span, unsigned base, int64_t *out_value);
int32_t sip_parse_u32(struct sip_span span, unsigned base, uint32_t *out_value);

#ifdef __cplusplus
}
#endif

#endif
