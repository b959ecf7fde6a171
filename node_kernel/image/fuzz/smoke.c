/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the fuzz target on real images and key files, damaged in the same way on every run. In the
 * normal suite, with sanitizers. Prints TAP; a fault ends the program.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED_BYTES_MAX (1u << 20)
#define ROUNDS 6000u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static uint64_t state = 0x5eed;

static uint32_t any(uint32_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % below;
}

static size_t load(const char *name, uint8_t *bytes)
{
    const char *build = getenv("SIPFABRIC_BUILD");
    char path[4096];
    FILE *stream;
    size_t length;

    snprintf(path, sizeof(path), "%s/sips/%s", build != NULL ? build : ".", name);
    stream = fopen(path, "rb");
    if (stream == NULL) {
        return 0;
    }
    length = fread(bytes, 1, SEED_BYTES_MAX, stream);
    fclose(stream);
    return length;
}

/* Half of the changes go where the rules are dense: header, manifest, ELF header, signature. */
static size_t damage(uint8_t *bytes, size_t length)
{
    for (uint32_t changes = any(5); changes > 0 && length > 300; changes--) {
        const uint32_t at = any(2) == 0   ? any((uint32_t)length)
                            : any(2) == 0 ? any(300)
                                          : (uint32_t)length - 1 - any(200);
        switch (any(4)) {
        case 0:
            bytes[at] ^= (uint8_t)(1u << any(8));
            break;
        case 1:
            bytes[at] = (uint8_t)any(256);
            break;
        case 2: { /* a piece is somewhere else */
            const uint32_t piece = any(64), from = any((uint32_t)length);
            if (from + piece <= length && at + piece <= length) {
                memmove(bytes + at, bytes + from, piece);
            }
            break;
        }
        default: /* the end is gone */
            length = any(20) == 0 ? at : length;
            break;
        }
    }
    return length;
}

int main(void)
{
    static const char *const names[] = {"echo.sip", "hello.sip", "dev.pub", "dev.key"};
    static uint8_t seeds[4][SEED_BYTES_MAX], work[SEED_BYTES_MAX + 1];
    size_t lengths[4];

    for (size_t i = 0; i < 4; i++) {
        lengths[i] = load(names[i], seeds[i]);
        if (lengths[i] == 0) {
            printf("not ok 1 - %s is not there\n1..1\n", names[i]);
            return 1;
        }
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        const size_t which = round % 8 == 7 ? 2 + round / 8 % 2 : round % 2;
        size_t length = lengths[which];
        memcpy(work, seeds[which], length);
        length = damage(work, length);
        work[length] = which >= 2 ? 4 : (uint8_t)any(4);
        LLVMFuzzerTestOneInput(work, length + 1);
    }
    printf("ok 1 - %u damaged images and key files\n1..1\n", ROUNDS);
    return 0;
}
