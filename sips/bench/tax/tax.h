/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tax.h - what the compute SIPs of `./run bench tax` share.
 *
 * Each is plain C that is built twice, mode wasm and mode native. It does its work `rounds` times
 * (config), folds everything it computed into one number, and says it: the exit code is its low 31
 * bits. The benchmark compares the two modes' numbers, and the time from start to exit.
 */
#ifndef TAX_H
#define TAX_H

#include "sip.h"

/* What a SIP defines. */
uint64_t tax_work(uint32_t rounds);

/* xorshift: the same numbers in both modes. */
static inline uint32_t tax_random(uint32_t *state)
{
    uint32_t x = *state;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    *state = x;
    return x;
}

static inline uint64_t tax_fold(uint64_t sum, uint64_t value)
{
    return (sum ^ value) * 0x9e3779b97f4a7c15ull + (sum >> 31);
}

#endif
