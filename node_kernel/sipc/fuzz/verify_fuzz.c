/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_fuzz.c - the verifier and the static check on changed modules (wasm_mutate.h), under
 * sanitizers: no crash, no hang, no leak, and every answer has a rule.
 *
 *     verify_fuzz SEED_FOLDER [--seconds N] [--seed N] [--out FOLDER --out-max N]
 *
 * A module that is accepted is stripped and must be accepted again, is checked against a contract,
 * and may be the seed of further ones. With --out, accepted modules are written there, for
 * differential.py to compare with wasm-validate. Prints TAP. Built with clang's fuzzer instead,
 * the same checks are a libFuzzer target with the same changes as its mutator.
 */
#include <dirent.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "contracts/compiler.h"
#include "flow.h"
#include "verify.h"
#include "wasm_mutate.h"

#define SEEDS_MAX 600u
#define CHILDREN_MAX 200u /* seeds that were made here, at the end of the list */
#define HANG_SECONDS 20u

static const char contract_text[] = "public contract Sample {\n"
                                    "    in message Ask();\n"
                                    "    in message Quit();\n"
                                    "    out message Bad();\n"
                                    "    out message Fine();\n"
                                    "    state Start : { Ask? -> (Bad! or Fine!) -> Start;\n"
                                    "                    Quit? -> End; }\n"
                                    "    state End : { } final;\n"
                                    "}\n";

static struct wasm_facts facts;
static struct ctc *ctc;
static struct flow_ports ports;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t length, size_t capacity, unsigned seed);

static void wrong(const char *what, const char *detail)
{
    (void)fprintf(stderr, "verify_fuzz: %s: %s\n", what, detail);
    abort();
}

static void contract_make(void)
{
    ctc = ctc_create();
    if (ctc_add_text(ctc, "Sample.contract", contract_text, sizeof(contract_text) - 1) != SF_OK ||
        ctc_check(ctc) != SF_OK) {
        wrong("contract", "does not compile");
    }
    ports.contracts[ports.contract_count++] = ctc_table(ctc_find(ctc, "Sample"));
    ports.ports[ports.port_count++] =
        (struct flow_port){.name = "server", .contract = ports.contracts[0]};
}

static void name_seen(void *arg, uint32_t index, const char *name, size_t bytes)
{
    (void)index;
    for (size_t i = 0; i < bytes; i++) {
        *(uint32_t *)arg += (uint8_t)name[i];
    }
}

/* What the other stages of sipc see of an accepted module. */
static struct {
    uint8_t bytes[MUTATE_BYTES_MAX];
    size_t length;
} stripped_module;

static void accepted_check(const uint8_t *bytes, size_t length)
{
    static unsigned turn;
    struct flow_result result;
    uint8_t *stripped = NULL;
    size_t stripped_bytes = 0;
    char text[256] = "";

    if (wasm_strip(bytes, length, &stripped, &stripped_bytes) != SF_OK) {
        wrong("not stripped", "");
    }
    if (wasm_verify(stripped, stripped_bytes, &facts, text, sizeof(text)) != SF_OK) {
        wrong("refused when stripped", text);
    }
    /* Its steps are bounded, but many. */
    if (++turn % 24 == 0) {
        if (!flow_check(stripped, stripped_bytes, &ports, &result)) {
            wrong("static check", "no memory");
        }
        if (result.proven + result.refuted + result.left != result.count ||
            (result.over != NULL && result.left != result.count)) {
            wrong("static check", "verdicts do not add up");
        }
        flow_result_fini(&result);
    }
    memcpy(stripped_module.bytes, stripped, stripped_bytes);
    stripped_module.length = stripped_bytes;
    free(stripped);
}

/* True: accepted. The bytes are checked in a copy of their very length. */
static bool module_check(const uint8_t *bytes, size_t length)
{
    uint8_t *copy = malloc(length > 0 ? length : 1);
    uint32_t names = 0;
    char text[256] = "";
    sf_status st;

    if (copy == NULL) {
        abort();
    }
    memcpy(copy, bytes, length);
    st = wasm_verify(copy, length, &facts, text, sizeof(text));
    if (st != SF_OK && st != SF_FORMAT && st != SF_TRUST) {
        wrong("another answer", sf_status_text(st));
    }
    if (st != SF_OK && strncmp(text, "rule ", 5) != 0) {
        wrong("refused without a rule", text);
    }
    wasm_function_names(copy, length, name_seen, &names);
    if (st == SF_OK) {
        accepted_check(copy, length);
    }
    free(copy);
    return st == SF_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (ctc == NULL) {
        contract_make();
    }
    (void)module_check(bytes, length);
    return 0;
}

#ifdef VERIFY_FUZZ_LIBFUZZER
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t length, size_t capacity, unsigned seed)
{
    static struct mutate_module module;
    uint64_t random = seed;

    if (length > MUTATE_BYTES_MAX) {
        return length;
    }
    memcpy(module.bytes, bytes, length);
    module.length = length;
    mutate(&module, &module, &random);
    if (module.length > capacity) {
        module.length = capacity;
    }
    memcpy(bytes, module.bytes, module.length);
    return module.length;
}
#else

/* The verifier allocates large tables for each module: without this, most time goes there. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=4:malloc_context_size=4";
}

static struct fuzz {
    struct mutate_module *seeds[SEEDS_MAX];
    bool good[SEEDS_MAX]; /* it is accepted as it is */
    uint32_t seed_count, read_count, out_max, written;
    uint64_t seconds, random, inputs, accepted;
    const char *out;
} fuzz;

static void seed_add(const uint8_t *bytes, size_t length, bool good)
{
    struct mutate_module *seed;
    uint32_t at = fuzz.seed_count;

    if (at < fuzz.read_count + CHILDREN_MAX && at < SEEDS_MAX) {
        fuzz.seed_count++;
    } else { /* in place of an earlier child */
        at = fuzz.read_count + (uint32_t)(mutate_random(&fuzz.random) % (at - fuzz.read_count));
        free(fuzz.seeds[at]);
    }
    seed = malloc(sizeof(*seed));
    if (seed == NULL) {
        abort();
    }
    seed->length = length;
    memcpy(seed->bytes, bytes, length);
    fuzz.seeds[at] = seed;
    fuzz.good[at] = good;
}

static bool seeds_read(const char *folder)
{
    struct dirent **entries = NULL;
    const int count = scandir(folder, &entries, NULL, alphasort);
    static uint8_t bytes[MUTATE_BYTES_MAX + 1];

    fuzz.read_count = SEEDS_MAX;
    for (int i = 0; i < count; i++) {
        char path[4096];
        FILE *file = NULL;

        (void)snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        if (strstr(entries[i]->d_name, ".wasm") != NULL) {
            file = fopen(path, "rb");
        }
        if (file != NULL) {
            const size_t length = fread(bytes, 1, sizeof(bytes), file);
            if (length <= MUTATE_BYTES_MAX && fuzz.seed_count + CHILDREN_MAX < SEEDS_MAX) {
                seed_add(bytes, length, module_check(bytes, length));
            }
            (void)fclose(file);
        }
        free(entries[i]);
    }
    free(entries);
    fuzz.read_count = fuzz.seed_count;
    return fuzz.seed_count > 0;
}

static void write_out(void)
{
    char path[4096];
    FILE *file;

    if (fuzz.out == NULL || fuzz.written >= fuzz.out_max) {
        return;
    }
    (void)snprintf(path, sizeof(path), "%s/%06u.wasm", fuzz.out, fuzz.written);
    file = fopen(path, "wb");
    if (file == NULL ||
        fwrite(stripped_module.bytes, 1, stripped_module.length, file) != stripped_module.length) {
        wrong("cannot write", path);
    }
    (void)fclose(file);
    fuzz.written++;
}

static uint32_t seed_choose(void)
{
    uint32_t at = 0;

    for (uint32_t tries = 0; tries < 6; tries++) {
        at = (uint32_t)(mutate_random(&fuzz.random) % fuzz.seed_count);
        if (fuzz.good[at]) {
            break;
        }
    }
    return at;
}

static void run(void)
{
    static struct mutate_module module;
    const time_t end = time(NULL) + (time_t)fuzz.seconds;

    while (time(NULL) < end && (fuzz.out == NULL || fuzz.written < fuzz.out_max)) {
        const uint32_t one = seed_choose();
        const uint32_t two = (uint32_t)(mutate_random(&fuzz.random) % fuzz.seed_count);
        const time_t begin = time(NULL);

        module.length = fuzz.seeds[one]->length;
        memcpy(module.bytes, fuzz.seeds[one]->bytes, module.length);
        mutate(&module, fuzz.seeds[two], &fuzz.random);
        fuzz.inputs++;
        if (module_check(module.bytes, module.length)) {
            fuzz.accepted++;
            write_out();
            if (mutate_random(&fuzz.random) % 16 == 0) {
                seed_add(module.bytes, module.length, true);
            }
        }
        if (time(NULL) - begin > (time_t)HANG_SECONDS) {
            wrong("hangs", "");
        }
    }
    for (uint32_t i = 0; i < fuzz.seed_count; i++) {
        free(fuzz.seeds[i]);
    }
    ctc_destroy(ctc);
}

int main(int argc, char **argv)
{
    static const struct option table[] = {
        {"seconds", required_argument, NULL, 's'},
        {"seed", required_argument, NULL, 'e'},
        {"out", required_argument, NULL, 'o'},
        {"out-max", required_argument, NULL, 'm'},
        {0},
    };
    uint64_t seed = 1;
    int option;

    fuzz.seconds = 5;
    while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
        switch (option) {
        case 's':
            fuzz.seconds = strtoull(optarg, NULL, 10);
            break;
        case 'e':
            seed = strtoull(optarg, NULL, 10);
            break;
        case 'o':
            fuzz.out = optarg;
            break;
        case 'm':
            fuzz.out_max = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        default:
            return 2;
        }
    }
    contract_make();
    if (optind + 1 != argc || !seeds_read(argv[optind])) {
        (void)fputs("usage: verify_fuzz SEED_FOLDER [--seconds N] [--seed N] [--out FOLDER "
                    "--out-max N]\n",
                    stderr);
        return 2;
    }
    fuzz.random = seed;
    run();
    (void)printf("# %llu modules, %llu accepted, %u written\n", (unsigned long long)fuzz.inputs,
                 (unsigned long long)fuzz.accepted, fuzz.written);
    (void)printf("1..1\n%sok 1 - damaged modules do no harm\n",
                 fuzz.inputs > 100 && fuzz.accepted > 0 ? "" : "not ");
    return fuzz.inputs > 100 && fuzz.accepted > 0 ? 0 : 1;
}
#endif
