/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sum.h - the Internet checksum's sum (RFC 1071) over long payloads, fast.
 *
 * Model: ones' complement sums may be made in the machine's byte order and of wider words, and be
 * folded to 16 bits at the end. A part is added by sum_bytes; a part that begins at an odd offset
 * counts with its bytes swapped (sum_swap). 32 bytes a step where the processor has AVX2, else 16.
 * Threads: any.
 */
#ifndef DPDK_SUM_H
#define DPDK_SUM_H

#include <stdint.h>

/* Of 16-bit words in the machine's order, folded to 16 bits, not inverted. An odd last byte counts
 * as if a zero followed it. */
uint32_t sum_bytes(const uint8_t *bytes, uint32_t count);
/* As sum_bytes without AVX2, for the test. */
uint32_t sum_bytes_narrow(const uint8_t *bytes, uint32_t count);

static inline uint32_t sum_fold(uint64_t sum)
{
    sum = (sum & 0xffffffffu) + (sum >> 32);
    sum = (sum & 0xffffffffu) + (sum >> 32);
    sum = (sum & 0xffffu) + (sum >> 16);
    sum = (sum & 0xffffu) + (sum >> 16);
    return (uint32_t)sum;
}

static inline uint32_t sum_swap(uint32_t folded)
{
    return __builtin_bswap16((uint16_t)folded);
}

#endif
