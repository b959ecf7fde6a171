/* SPDX-License-Identifier: Apache-2.0 */
/*
 * code_fuzz.c - the checks of images on damaged ones, and the instruction decoder on any bytes,
 * under sanitizers.
 *
 *     code_fuzz IMAGE... [--seconds N] [--seed N] [--out FILE --out-max N]
 *
 * Half of the time is for whole images: their signatures are taken off, bytes are changed, the
 * hashes made right again, and image_open must answer, with a rule. The other half is for single
 * instructions, changed from those of the images or made of random bytes. With --out, those that
 * are accepted are written, each followed by nops up to SLOT_BYTES, for differential.py to compare
 * with objdump. The decoder's length of it comes first: one byte per slot, in FILE.lengths. Prints
 * TAP.
 */
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"

#define IMAGES_MAX 16u
#define SLOT_BYTES 32u
#define NOP 0x90
#define HEADER_BYTES 64u
#define SIGNATURE_BYTES_AT 12u
#define HASH_AT 32u

static struct fuzz {
    uint8_t *images[IMAGES_MAX];
    size_t lengths[IMAGES_MAX];
    uint32_t image_count, out_max, written;
    uint64_t seconds, random, image_inputs, image_accepted, code_inputs, code_accepted;
    FILE *out, *out_lengths;
} fuzz;

static uint64_t random_next(void)
{
    uint64_t z = (fuzz.random += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint32_t any(size_t below)
{
    return (uint32_t)(random_next() % below);
}

static void wrong(const char *what, const char *detail)
{
    (void)fprintf(stderr, "code_fuzz: %s: %s\n", what, detail);
    abort();
}

/* --- whole images --------------------------------------------------------------------------------
 */

static void damage(uint8_t *bytes, size_t *length)
{
    for (uint32_t i = 1 + any(4); i > 0; i--) {
        const size_t at = any(8) == 0
                              ? any(*length)
                              : HEADER_BYTES + any(any(2) == 0 ? *length - HEADER_BYTES : 2000);

        switch (any(12)) {
        case 0:
            *length = at > HEADER_BYTES ? at : *length;
            break;
        case 1:
        case 2:
            bytes[at % *length] = any(2) == 0 ? 0xff : 0;
            break;
        case 3: /* a little-endian number of 32 bit */
            if (at + 4 <= *length) {
                const uint32_t value = any(2) == 0 ? (uint32_t)random_next() : 0u - any(70);
                memcpy(bytes + at, &value, sizeof(value));
            }
            break;
        default:
            bytes[at % *length] ^= (uint8_t)(1u << any(8));
            break;
        }
        if (*length < HEADER_BYTES + 2000) {
            return;
        }
    }
}

static void image_round(void)
{
    const uint32_t chosen = any(fuzz.image_count);
    size_t length = fuzz.lengths[chosen];
    uint8_t *bytes = malloc(length), *exact;
    struct image *image = NULL;
    char text[256] = "";
    sf_status st;

    if (bytes == NULL) {
        abort();
    }
    memcpy(bytes, fuzz.images[chosen], length);
    damage(bytes, &length);
    if (length > HEADER_BYTES && any(20) != 0) {
        (void)crypto_generichash(bytes + HASH_AT, 32, bytes + HEADER_BYTES, length - HEADER_BYTES,
                                 NULL, 0);
    }
    exact = realloc(bytes, length);
    if (exact == NULL) {
        abort();
    }
    st = image_open(exact, length, &image, text, sizeof(text));
    fuzz.image_inputs++;
    fuzz.image_accepted += st == SF_OK;
    if (st != SF_OK && strchr(text, ':') == NULL) {
        wrong("refused without a rule", text);
    }
    image_close(image);
    free(exact);
}

/* --- instructions --------------------------------------------------------------------------------
 */

/* Prefixes, an opcode of one of the maps, ModRM and what may follow. */
static void instruction_make(uint8_t *code)
{
    static const uint8_t prefixes[] = {0x66, 0xf2, 0xf3, 0x2e, 0x3e, 0x40, 0x48, 0x41,
                                       0x4f, 0x67, 0x64, 0x65, 0xf0, 0x26, 0xc4, 0x62};
    uint32_t at = 0;

    for (uint32_t i = 0; i < 16; i++) {
        code[i] = (uint8_t)random_next();
    }
    for (uint32_t i = any(4); i > 0; i--) {
        code[at++] = prefixes[any(any(4) == 0 ? sizeof(prefixes) : 9)];
    }
    switch (any(4)) {
    case 0:
        break;
    case 1:
        code[at++] = 0x0f;
        break;
    case 2:
        code[at++] = 0x0f;
        code[at++] = any(2) == 0 ? 0x38 : 0x3a;
        break;
    default:
        break;
    }
    if (any(3) == 0) { /* branches into this slot */
        code[at + 1] = code[at + 1] & 7;
        code[at + 2] = code[at + 3] = code[at + 4] = 0;
    }
}

/* Bytes out of an image's code, a little changed. */
static void instruction_take(uint8_t *code)
{
    const uint32_t chosen = any(fuzz.image_count);

    memcpy(code, fuzz.images[chosen] + any(fuzz.lengths[chosen] - 16), 16);
    for (uint32_t i = any(3); i > 0; i--) {
        code[any(16)] = (uint8_t)random_next();
    }
}

/* How many bytes of the slot the decoder takes for its first instruction: the least number that
 * alone is accepted. Branches are no help there: they need their target. */
static uint32_t decoded_bytes(const uint8_t *slot)
{
    for (uint32_t bytes = 1; bytes <= 15; bytes++) {
        uint8_t *exact = malloc(bytes);
        struct image_segment segment = {.bytes = exact, .file_bytes = bytes};
        struct image_report report = {0};
        char text[128] = "";
        sf_status st;

        if (exact == NULL) {
            abort();
        }
        memcpy(exact, slot, bytes);
        report.text = text;
        report.capacity = sizeof(text);
        st = image__check_code(&segment, &report);
        free(exact);
        if (st == SF_OK || strncmp(text, "code-branches", 13) == 0) {
            return bytes;
        }
    }
    return 0;
}

static void code_round(void)
{
    uint8_t *slot = malloc(SLOT_BYTES); /* of its very length, so that a byte too far is seen */
    struct image_segment segment = {.bytes = slot, .file_bytes = SLOT_BYTES};
    struct image_report report = {0};
    uint8_t length;

    if (slot == NULL) {
        abort();
    }
    if (any(2) == 0) {
        instruction_make(slot);
    } else {
        instruction_take(slot);
    }
    memset(slot + 16, NOP, SLOT_BYTES - 16);
    length = (uint8_t)decoded_bytes(slot);
    if (length > 0) { /* only the first one */
        memset(slot + length, NOP, SLOT_BYTES - length);
    }
    fuzz.code_inputs++;
    if (image__check_code(&segment, &report) == SF_OK) {
        fuzz.code_accepted++;
        if (fuzz.out != NULL && fuzz.written < fuzz.out_max) {
            fuzz.written++;
            if (fwrite(slot, 1, SLOT_BYTES, fuzz.out) != SLOT_BYTES ||
                fputc(length, fuzz.out_lengths) == EOF) {
                wrong("cannot write", "");
            }
        }
    }
    free(slot);
}

/* Many instructions in a row, from any place of an image. */
static void stream_round(void)
{
    const uint32_t chosen = any(fuzz.image_count);
    const size_t length = 1 + any(400);
    uint8_t *code = malloc(length);
    const struct image_segment segment = {.bytes = code, .file_bytes = length};
    struct image_report report = {0};

    if (code == NULL) {
        abort();
    }
    if (fuzz.lengths[chosen] > length) {
        memcpy(code, fuzz.images[chosen] + any(fuzz.lengths[chosen] - length), length);
    }
    code[any(length)] = (uint8_t)random_next();
    fuzz.code_inputs++;
    fuzz.code_accepted += image__check_code(&segment, &report) == SF_OK;
    free(code);
}

static bool image_read(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(IMAGE_BYTES_MAX);

    if (file == NULL || bytes == NULL || fuzz.image_count == IMAGES_MAX) {
        return false;
    }
    fuzz.lengths[fuzz.image_count] = fread(bytes, 1, IMAGE_BYTES_MAX, file);
    (void)fclose(file);
    if (fuzz.lengths[fuzz.image_count] > HEADER_BYTES + 2000) {
        const uint32_t signature_bytes = bytes[SIGNATURE_BYTES_AT];

        memset(bytes + SIGNATURE_BYTES_AT, 0, 4);
        fuzz.lengths[fuzz.image_count] -= signature_bytes;
    }
    fuzz.images[fuzz.image_count++] = bytes;
    return fuzz.lengths[fuzz.image_count - 1] > HEADER_BYTES + 2000;
}

static bool out_open(const char *path)
{
    char name[4096];

    (void)snprintf(name, sizeof(name), "%s.lengths", path);
    fuzz.out = fopen(path, "wb");
    fuzz.out_lengths = fopen(name, "wb");
    return fuzz.out != NULL && fuzz.out_lengths != NULL;
}

static bool options_read(int argc, char **argv)
{
    static const struct option table[] = {
        {"seconds", required_argument, NULL, 's'},
        {"seed", required_argument, NULL, 'e'},
        {"out", required_argument, NULL, 'o'},
        {"out-max", required_argument, NULL, 'm'},
        {0},
    };
    int option;

    fuzz.seconds = 5;
    fuzz.random = 1;
    while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
        switch (option) {
        case 's':
            fuzz.seconds = strtoull(optarg, NULL, 10);
            break;
        case 'e':
            fuzz.random = strtoull(optarg, NULL, 10);
            break;
        case 'o':
            if (!out_open(optarg)) {
                return false;
            }
            break;
        case 'm':
            fuzz.out_max = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        default:
            return false;
        }
    }
    for (int i = optind; i < argc; i++) {
        if (!image_read(argv[i])) {
            return false;
        }
    }
    return optind < argc;
}

int main(int argc, char **argv)
{
    time_t end;
    bool good;

    if (sodium_init() < 0 || !options_read(argc, argv)) {
        (void)fputs("usage: code_fuzz IMAGE... [--seconds N] [--seed N] [--out FILE --out-max N]\n",
                    stderr);
        return 2;
    }
    end = time(NULL) + (time_t)fuzz.seconds;
    while (time(NULL) < end) {
        image_round();
        for (uint32_t i = 0; i < 20; i++) {
            code_round();
        }
        stream_round();
    }
    if (fuzz.out != NULL) {
        (void)fclose(fuzz.out);
        (void)fclose(fuzz.out_lengths);
    }
    for (uint32_t i = 0; i < fuzz.image_count; i++) {
        free(fuzz.images[i]);
    }
    /* Were all refused, the first rule would be all that is tested. */
    good = fuzz.image_inputs > 10 && fuzz.image_accepted >= fuzz.image_inputs / 200 &&
           fuzz.code_accepted > 10;
    (void)printf("# %llu images, %llu accepted; %llu pieces of code, %llu accepted\n",
                 (unsigned long long)fuzz.image_inputs, (unsigned long long)fuzz.image_accepted,
                 (unsigned long long)fuzz.code_inputs, (unsigned long long)fuzz.code_accepted);
    (void)printf("1..1\n%sok 1 - damaged images and code do no harm\n", good ? "" : "not ");
    return good ? 0 : 1;
}
