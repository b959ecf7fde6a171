/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip_double.h - doubles as text, exactly rounded.
 *
 * Why apart: it is code that most SIPs do not need. sip_format and all that uses it know %f only in
 * a SIP that says, in one of its C files and outside of functions,
 *
 *     SIP_FORMAT_DOUBLES
 *
 * Without it, %f is shown as "%f" (its argument is passed over).
 */
#ifndef SIP_DOUBLE_H
#define SIP_DOUBLE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Digits behind the point are at most this many; a larger precision counts as this one. */
#define SIP_DOUBLE_PRECISION_MAX 60
#define SIP_DOUBLE_TEXT_MAX (309 + 1 + SIP_DOUBLE_PRECISION_MAX + 2)

/*
 * The magnitude of value (without its sign) with `precision` digits behind the point, as C's %.*f
 * writes it: the exact value of the double, rounded to nearest, ties to even. "inf", "nan".
 * buffer has SIP_DOUBLE_TEXT_MAX bytes and is terminated. Answers the length.
 */
int sip_double_digits(char *buffer, double value, int precision);

/* What sip_format calls; not for SIPs. */
int sip__double_digits(char *buffer, double value, int precision);
#define SIP_FORMAT_DOUBLES                                                                         \
    int sip__double_digits(char *buffer, double value, int precision)                              \
    {                                                                                              \
        return sip_double_digits(buffer, value, precision);                                        \
    }

#ifdef __cplusplus
}
#endif

#endif
