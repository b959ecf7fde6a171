/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target's LLVMFuzzerTestOneInput without libFuzzer, on inputs from a fixed seed, so
 * that every compiler's every test run steps through it: smoke INPUTS.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static uint64_t random_state = 88172645463325252ull;

static uint32_t below(uint32_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % bound;
}

int main(int argc, char **argv)
{
    static uint8_t bytes[4096];
    uint32_t inputs = argc > 1 ? (uint32_t)atoi(argv[1]) : 1000;

    (void)printf("1..1\n");
    for (uint32_t i = 0; i < inputs; i++) {
        uint32_t length = below(sizeof(bytes));
        uint32_t density = 1 + below(4); /* many zeros: honest bytes with little mixed into them */

        for (uint32_t k = 0; k < length; k++) {
            bytes[k] = below(density) == 0 ? (uint8_t)below(256) : 0;
        }
        (void)LLVMFuzzerTestOneInput(bytes, length);
    }
    (void)printf("ok 1 - %u inputs are survived\n", inputs);
    return 0;
}
