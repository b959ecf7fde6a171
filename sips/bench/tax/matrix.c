/* SPDX-License-Identifier: Apache-2.0 */
/* matrix.c - product of two 120 x 120 matrices of doubles. */
#include "tax.h"

#define N 120u

static double a[N][N], b[N][N], c[N][N];

static void __attribute__((noinline)) multiply(void)
{
    for (uint32_t i = 0; i < N; i++) {
        for (uint32_t j = 0; j < N; j++) {
            c[i][j] = 0;
        }
        for (uint32_t k = 0; k < N; k++) {
            for (uint32_t j = 0; j < N; j++) {
                c[i][j] += a[i][k] * b[k][j];
            }
        }
    }
}

uint64_t tax_work(uint32_t rounds)
{
    uint32_t random = 3;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < N; i++) {
        for (uint32_t j = 0; j < N; j++) {
            a[i][j] = (double)(tax_random(&random) % 1000) / 8;
            b[i][j] = (double)(tax_random(&random) % 1000) / 4;
        }
    }
    for (uint32_t i = 0; i < rounds; i++) {
        multiply();
        sum = tax_fold(sum, (uint64_t)c[i % N][(i * 7) % N]);
        a[i % N][i % N] += 1;
    }
    return sum;
}
