/* SPDX-License-Identifier: Apache-2.0 */
#include "sum.h"

#include <stdbool.h>
#include <string.h>

#include <immintrin.h>

/* Less than a wide step. */
static uint64_t sum_rest(const uint8_t *bytes, uint32_t count)
{
    uint64_t sum = 0;
    uint32_t word;
    uint16_t half;

    for (; count >= 4; count -= 4, bytes += 4) {
        memcpy(&word, bytes, 4);
        sum += word;
    }
    if (count >= 2) {
        memcpy(&half, bytes, 2);
        sum += half;
        bytes += 2;
    }
    return count % 2 != 0 ? sum + *bytes : sum;
}

/* 32-bit words into 64-bit sums: two of each vector, the even and the odd ones. */
static uint64_t sum_sse(const uint8_t *bytes, uint32_t steps)
{
    const __m128i low = _mm_set1_epi64x(0xffffffff);
    __m128i even = _mm_setzero_si128();
    __m128i odd = _mm_setzero_si128();
    uint64_t parts[2];

    for (uint32_t i = 0; i < steps; i++) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(bytes + 16 * i));

        even = _mm_add_epi64(even, _mm_and_si128(v, low));
        odd = _mm_add_epi64(odd, _mm_srli_epi64(v, 32));
    }
    even = _mm_add_epi64(even, odd);
    _mm_storeu_si128((__m128i *)(void *)parts, even);
    return parts[0] + parts[1];
}

__attribute__((target("avx2"))) static uint64_t sum_avx2(const uint8_t *bytes, uint32_t steps)
{
    const __m256i low = _mm256_set1_epi64x(0xffffffff);
    __m256i even = _mm256_setzero_si256();
    __m256i odd = _mm256_setzero_si256();
    uint64_t parts[4];

    for (uint32_t i = 0; i < steps; i++) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(bytes + 32 * i));

        even = _mm256_add_epi64(even, _mm256_and_si256(v, low));
        odd = _mm256_add_epi64(odd, _mm256_srli_epi64(v, 32));
    }
    even = _mm256_add_epi64(even, odd);
    _mm256_storeu_si256((__m256i *)(void *)parts, even);
    return parts[0] + parts[1] + parts[2] + parts[3];
}

uint32_t sum_bytes_narrow(const uint8_t *bytes, uint32_t count)
{
    uint32_t steps = count / 16;

    return sum_fold(sum_sse(bytes, steps) + sum_rest(bytes + 16 * steps, count % 16));
}

uint32_t sum_bytes(const uint8_t *bytes, uint32_t count)
{
    uint32_t steps = count / 32;

    if (steps == 0) {
        return sum_fold(sum_rest(bytes, count));
    }
    if (!__builtin_cpu_supports("avx2")) {
        return sum_bytes_narrow(bytes, count);
    }
    return sum_fold(sum_avx2(bytes, steps) + sum_rest(bytes + 32 * steps, count % 32));
}
