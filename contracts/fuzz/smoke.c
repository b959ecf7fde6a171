/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target for a while without a fuzzer: every contract of the source tree, and changes
 * of it that are the same on every run. In the normal suite, with sanitizers.
 * usage: NAME SOURCE_ROOT ROUNDS. Prints TAP; a fault ends the program.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS_MAX 300
#define SEED_BYTES_MAX 65536u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static struct seed {
    uint8_t *bytes;
    size_t length;
} seeds[SEEDS_MAX];
static size_t seed_count;
static uint64_t state = 0x5eed;

static uint32_t any(uint32_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % below;
}

static void read_folder(const char *root, const char *below)
{
    char path[4096];
    struct dirent **entries = NULL;

    snprintf(path, sizeof(path), "%s/contracts/%s", root, below);
    int count = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "%s/contracts/%s/%s", root, below, entries[i]->d_name);
        FILE *stream = strstr(path, ".contract") == NULL ? NULL : fopen(path, "rb");
        if (stream != NULL && seed_count < SEEDS_MAX) {
            struct seed *seed = &seeds[seed_count++];
            seed->bytes = malloc(SEED_BYTES_MAX);
            if (seed->bytes == NULL) {
                abort();
            }
            seed->length = fread(seed->bytes, 1, SEED_BYTES_MAX, stream);
            fclose(stream);
        }
        free(entries[i]);
    }
    free(entries);
}

/* Bytes of another seed in the place of some of these: keeps more of the language than noise. */
static void splice(struct seed *into)
{
    const struct seed *from = &seeds[any((uint32_t)seed_count)];
    uint32_t length = any(60);

    if (from->length > length && into->length > length) {
        memcpy(into->bytes + any((uint32_t)(into->length - length)),
               from->bytes + any((uint32_t)(from->length - length)), length);
    }
}

static void change(struct seed *seed)
{
    static const char bytes[] = "{}();:?!->.,\"/*ab1\n\0\xff";
    uint32_t at = any((uint32_t)seed->length);
    uint32_t length = any(40);

    switch (any(5)) {
    case 0:
        seed->bytes[at] = (uint8_t)bytes[any(sizeof(bytes) - 1)];
        break;
    case 1: /* a piece is gone */
        length = at + length < seed->length ? length : 0;
        memmove(seed->bytes + at, seed->bytes + at + length, seed->length - at - length);
        seed->length -= length;
        break;
    case 2: /* the rest is gone */
        seed->length = any(8) == 0 ? at + 1 : seed->length;
        break;
    case 3: /* a digit is another one */
        if (seed->bytes[at] >= '0' && seed->bytes[at] <= '9') {
            seed->bytes[at] = (uint8_t)('0' + any(10));
        }
        break;
    default:
        splice(seed);
    }
}

int main(int argc, char **argv)
{
    struct seed work = {.bytes = malloc(SEED_BYTES_MAX)};

    if (argc != 3 || work.bytes == NULL) {
        return 2;
    }
    read_folder(argv[1], "std");
    read_folder(argv[1], "compiler/golden");
    read_folder(argv[1], "compiler/bad");
    unsigned long rounds = strtoul(argv[2], NULL, 10);
    for (size_t i = 0; i < seed_count; i++) {
        (void)LLVMFuzzerTestOneInput(seeds[i].bytes, seeds[i].length);
    }
    for (unsigned long round = 0; seed_count > 0 && round < rounds; round++) {
        const struct seed *seed = &seeds[round % seed_count];
        memcpy(work.bytes, seed->bytes, seed->length);
        work.length = seed->length;
        for (uint32_t changes = 1 + any(4); changes > 0 && work.length > 0; changes--) {
            change(&work);
        }
        (void)LLVMFuzzerTestOneInput(work.bytes, work.length);
    }
    printf("%s 1 - %zu contracts and %lu damaged ones\n1..1\n", seed_count > 20 ? "ok" : "not ok",
           seed_count, rounds);
    for (size_t i = 0; i < seed_count; i++) {
        free(seeds[i].bytes);
    }
    free(work.bytes);
    return seed_count > 20 ? 0 : 1;
}
