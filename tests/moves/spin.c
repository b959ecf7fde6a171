/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spin.c - computes for ever and never calls the kernel but to say "round N sum X": X is the same
 * each time, because each round undoes what it did to 3 MiB of memory.
 */
#include "sip.h"

#define WORDS (3u << 17)

static uint64_t memory[WORDS];

static uint64_t mixed(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdu;
    return x ^ x >> 29;
}

int sip_main(void)
{
    for (uint32_t i = 0; i < WORDS; i++) {
        memory[i] = mixed(i);
    }
    for (uint32_t round = 1;; round++) {
        uint64_t sum = 0;

        for (uint32_t pass = 0; pass < 20; pass++) {
            for (uint32_t i = 0; i < WORDS; i++) {
                memory[i] ^= mixed(i + pass / 2);
            }
        }
        for (uint32_t i = 0; i < WORDS; i++) {
            sum = mixed(sum + memory[i]);
        }
        sip_log("round %u sum %llx", round, (unsigned long long)sum);
    }
}
