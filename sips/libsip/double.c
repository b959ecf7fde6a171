/* SPDX-License-Identifier: Apache-2.0 */
/*
 * double.c - sip_double.h, with whole numbers of any length: a double is m * 2^e, so its decimal
 * digits are found without rounding, and rounded once.
 */
#include "sip_double.h"

#include "sip.h"

#define LIMBS 36u /* of 32 bits: 1,074 bits behind the point, 1,024 before it */
#define MANTISSA_BITS 52u
#define EXPONENT_BIAS 1075

/* Least limb first. */
struct whole {
    uint32_t limbs[LIMBS];
};

static struct whole shifted(uint64_t m, unsigned bits)
{
    struct whole out = {{0}};
    const unsigned limb = bits / 32, shift = bits % 32;

    for (unsigned i = 0; i < 3; i++) {
        const uint64_t part = i == 0   ? (m << shift) & UINT32_MAX
                              : i == 1 ? ((m << shift) >> 32)
                                       : (shift == 0 ? 0 : m >> (64 - shift));
        if (limb + i < LIMBS) {
            out.limbs[limb + i] = (uint32_t)part;
        }
    }
    return out;
}

/* Divides; answers the rest. */
static uint32_t divide(struct whole *n, uint32_t by)
{
    uint64_t rest = 0;

    for (unsigned i = LIMBS; i > 0; i--) {
        rest = rest << 32 | n->limbs[i - 1];
        n->limbs[i - 1] = (uint32_t)(rest / by);
        rest %= by;
    }
    return (uint32_t)rest;
}

static bool is_zero(const struct whole *n)
{
    uint32_t any = 0;

    for (unsigned i = 0; i < LIMBS; i++) {
        any |= n->limbs[i];
    }
    return any == 0;
}

/* Times ten; answers what runs over the top. */
static uint32_t times_ten(struct whole *n)
{
    uint64_t carry = 0;

    for (unsigned i = 0; i < LIMBS; i++) {
        carry += (uint64_t)n->limbs[i] * 10;
        n->limbs[i] = (uint32_t)carry;
        carry >>= 32;
    }
    return (uint32_t)carry;
}

/* A fraction with the point above the top limb, against a half: below, equal, above. */
static int against_half(const struct whole *n)
{
    struct whole rest = *n;
    const bool top = (n->limbs[LIMBS - 1] >> 31) != 0;

    rest.limbs[LIMBS - 1] &= INT32_MAX;
    return !top ? -1 : is_zero(&rest) ? 0 : 1;
}

/* Writes n's digits; answers how many. */
static int put_whole(char *buffer, struct whole *n)
{
    char digits[LIMBS * 10];
    int count = 0;

    do {
        uint32_t nine = divide(n, 1000000000u);
        for (unsigned i = 0; i < 9 && (nine > 0 || !is_zero(n)); i++) {
            digits[count++] = (char)('0' + nine % 10);
            nine /= 10;
        }
    } while (!is_zero(n));
    if (count == 0) {
        digits[count++] = '0';
    }
    for (int i = 0; i < count; i++) {
        buffer[i] = digits[count - 1 - i];
    }
    return count;
}

/* One more in the last place; answers the length, which grows when all were nines. */
static int round_up(char *buffer, int length)
{
    int at = length;

    while (at > 0) {
        char *digit = &buffer[--at];
        if (*digit == '.') {
            continue;
        }
        if (*digit != '9') {
            (*digit)++;
            return length;
        }
        *digit = '0';
    }
    memmove(buffer + 1, buffer, (size_t)length);
    buffer[0] = '1';
    return length + 1;
}

static int put_finite(char *buffer, uint64_t m, int e, int precision)
{
    struct whole before, behind = {{0}};
    int length, half;

    if (e >= 0) {
        before = shifted(m, (unsigned)e);
    } else {
        const unsigned down = (unsigned)-e;
        before = shifted(down < 64 ? m >> down : 0, 0);
        behind = shifted(down < 64 ? m & (((uint64_t)1 << down) - 1) : m, LIMBS * 32 - down);
    }
    length = put_whole(buffer, &before);
    if (precision > 0) {
        buffer[length++] = '.';
    }
    for (int i = 0; i < precision; i++) {
        buffer[length++] = (char)('0' + times_ten(&behind));
    }
    half = against_half(&behind);
    if (half > 0 || (half == 0 && (buffer[length - 1] - '0') % 2 != 0)) {
        length = round_up(buffer, length);
    }
    buffer[length] = '\0';
    return length;
}

int sip_double_digits(char *buffer, double value, int precision)
{
    uint64_t bits, m;
    int e;

    memcpy(&bits, &value, sizeof(bits));
    m = bits & (((uint64_t)1 << MANTISSA_BITS) - 1);
    e = (int)(bits >> MANTISSA_BITS & 0x7ff);
    if (e == 0x7ff) {
        memcpy(buffer, m == 0 ? "inf" : "nan", 4);
        return 3;
    }
    precision = precision < 0                          ? 0
                : precision > SIP_DOUBLE_PRECISION_MAX ? SIP_DOUBLE_PRECISION_MAX
                                                       : precision;
    if (e == 0) {
        e = 1;
    } else {
        m |= (uint64_t)1 << MANTISSA_BITS;
    }
    return put_finite(buffer, m, e - EXPONENT_BIAS, precision);
}
