/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sealing and opening cost: cycles of the time stamp counter for a frame of 64, 1,400 and
 * 9,000 bytes with a header of 32, with either cipher; and for the steps of a handshake. One JSON
 * object a line.
 *
 * Method: a sample is the mean of a run of frames with rising numbers, from one buffer to another
 * (all in the cache); min, median and 99th percentile of the samples.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

#include "handshake.h"
#include "seal.h"

#define HEADER_BYTES 32u
#define FRAME_BYTES_MAX 9000u
#define SAMPLES 301u

static const uint8_t key[FAB__KEY_BYTES] = {1, 2, 3};
static const uint8_t header[HEADER_BYTES] = {4, 5, 6};
static uint8_t plain[FRAME_BYTES_MAX];
static uint8_t sealed[FRAME_BYTES_MAX + FAB__TAG_BYTES];
static double samples[SAMPLES];

static void must(bool condition)
{
    if (!condition) {
        (void)fprintf(stderr, "seal_bench: an operation failed\n");
        exit(1);
    }
}

static int compare(const void *a, const void *b)
{
    const double *x = a;
    const double *y = b;

    return (*x > *y) - (*x < *y);
}

static void report(const char *metric, uint32_t run)
{
    qsort(samples, SAMPLES, sizeof(samples[0]), compare);
    (void)printf("{\"suite\": \"link\", \"metric\": \"%s\", \"unit\": \"cycles\", \"n\": %u, "
                 "\"min\": %.0f, \"p50\": %.0f, \"p99\": %.0f}\n",
                 metric, SAMPLES * run, samples[0], samples[SAMPLES / 2],
                 samples[SAMPLES * 99 / 100]);
}

static void bench_cipher(enum fab__cipher cipher, const char *name, uint32_t bytes)
{
    const uint32_t run = bytes < 1000 ? 256 : 32;
    struct fab__sealer sealer;
    struct fab__unsealer unsealer;
    uint64_t number = 0;
    char metric[64];

    fab__sealer_init(&sealer, cipher, key);
    for (uint32_t i = 0; i < SAMPLES; i++) {
        uint64_t from = __rdtsc();
        for (uint32_t k = 0; k < run; k++) {
            must(fab__seal(&sealer, ++number, header, HEADER_BYTES, plain, bytes, sealed) == SF_OK);
        }
        samples[i] = (double)(__rdtsc() - from) / run;
    }
    (void)snprintf(metric, sizeof(metric), "seal_%s_%u", name, bytes);
    report(metric, run);

    /* The same frame, before a window that has never seen it. */
    fab__unsealer_init(&unsealer, cipher, key);
    for (uint32_t i = 0; i < SAMPLES; i++) {
        uint64_t from = __rdtsc();
        for (uint32_t k = 0; k < run; k++) {
            unsealer.seen[number % (64u * FAB__REPLAY_WORDS) / 64u] = 0;
            must(fab__unseal(&unsealer, number, header, HEADER_BYTES, sealed,
                             bytes + FAB__TAG_BYTES, plain) == SF_OK);
        }
        samples[i] = (double)(__rdtsc() - from) / run;
    }
    (void)snprintf(metric, sizeof(metric), "open_%s_%u", name, bytes);
    report(metric, run);
    (void)snprintf(metric, sizeof(metric), "forged_%s_%u", name, bytes);
    for (uint32_t i = 0; i < SAMPLES; i++) {
        uint64_t from = __rdtsc();
        for (uint32_t k = 0; k < run; k++) {
            must(fab__unseal(&unsealer, number + 1, header, HEADER_BYTES, sealed,
                             bytes + FAB__TAG_BYTES, plain) == SF_TRUST);
        }
        samples[i] = (double)(__rdtsc() - from) / run;
    }
    report(metric, run);
}

static void bench_handshake(void)
{
    static const char *const names[] = {"handshake_write1", "handshake_read1", "handshake_write2",
                                        "handshake_read2"};
    static double steps[4][SAMPLES];
    uint8_t secrets[2][FAB__KEY_BYTES] = {{1}, {2}};
    uint8_t message[FAB__HANDSHAKE_BYTES];
    uint8_t public_key[FAB__KEY_BYTES];
    struct fab__pair pairs[2];

    for (int i = 0; i < 2; i++) {
        must(crypto_scalarmult_base(public_key, secrets[1 - i]) == 0);
        must(fab__pair_init(&pairs[i], secrets[i], public_key) == SF_OK);
    }
    for (uint32_t i = 0; i < SAMPLES; i++) {
        struct fab__handshake sides[2];

        fab__handshake_begin(&sides[0], &pairs[0], true);
        fab__handshake_begin(&sides[1], &pairs[1], false);
        for (int step = 0; step < 4; step++) {
            struct fab__handshake *side = &sides[step == 1 || step == 2];
            uint64_t from = __rdtsc();

            must((step % 2 == 0 ? fab__handshake_write(side, header, 24, secrets[step / 2], message)
                                : fab__handshake_read(side, header, 24, message)) == SF_OK);
            steps[step][i] = (double)(__rdtsc() - from);
        }
    }
    for (int step = 0; step < 4; step++) {
        memcpy(samples, steps[step], sizeof(samples));
        report(names[step], 1);
    }
}

int main(void)
{
    static const uint32_t sizes[] = {64, 1400, 9000};

    must(sodium_init() >= 0);
    for (uint32_t i = 0; i < 3; i++) {
        if ((fab__ciphers_here() & FAB__CIPHER_AES256GCM) != 0) {
            bench_cipher(FAB__CIPHER_AES256GCM, "aes256gcm", sizes[i]);
        }
        bench_cipher(FAB__CIPHER_CHACHA20POLY1305, "chacha20poly1305", sizes[i]);
    }
    bench_handshake();
    return 0;
}
