/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sipc.c - the command line of sipc: build, check, sdk, verify, inspect.
 *
 * Exit codes: 0 done; 1 the input was refused or a tool failed; 2 wrong use. Data on stdout,
 * messages on stderr.
 */
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/nk_abi.h"
#include "build.h"
#include "image/image.h"
#include "inspect.h"
#include "sdk_export.h"
#include "verify.h"
#include "work.h"

#define EXIT_USAGE 2

static const char help[] =
    "sipc - makes sealed images (SIPs) from C or WebAssembly\n"
    "\n"
    "  sipc build FILE.c... -o X.sip [options]   compile, verify and seal\n"
    "  sipc build FILE.wasm -o X.sip [options]\n"
    "  sipc check FILE... [options]              only compile, verify, and check against "
    "contracts\n"
    "  sipc sdk -o DIR [options]                 headers, libsip and contracts for another "
    "compiler\n"
    "  sipc verify FILE.wasm|FILE.sip            check it; says which rule is broken\n"
    "  sipc inspect FILE.sip [-o text|json]      what is in an image\n"
    "  sipc --help, --version\n"
    "\n"
    "Options of build and check; of sdk the first three:\n"
    "  -o, --output FILE      the image (sdk: the folder) to write\n"
    "      --manifest FILE    name, imports, exports, memory (docs/formats.md)\n"
    "      --contracts PATH   a .contract file, or a folder of them; may be given again\n"
    "  -I DIR, -D NAME[=V]    as for a C compiler\n"
    "      --mode MODE        wasm or native, instead of the manifest's\n"
    "      --place N          image place 0..524287; default: from the hash\n"
    "      --strict           an operation that is left to the monitor is an error\n"
    "      --keep DIR         leave what every stage writes in DIR\n"
    "  -v, --verbose          show the commands that are run, and every operation checked\n"
    "\n"
    "Examples:\n"
    "  sipc build hello.c -o hello.sip\n"
    "  sipc build web.c --manifest web.yaml --contracts contracts/std -o web.sip\n"
    "  sipc sdk --manifest web.yaml --contracts contracts/std -o sdk\n"
    "  sipc verify module.wasm && echo fine\n"
    "  sipc inspect web.sip -o json | jq .digest\n";

enum {
    OPTION_MANIFEST = 256,
    OPTION_CONTRACTS,
    OPTION_KEEP,
    OPTION_PLACE,
    OPTION_STRICT,
    OPTION_MODE
};

static int usage(const char *what)
{
    (void)fprintf(stderr, "sipc: %s\nTry `sipc --help`.\n", what);
    return EXIT_USAGE;
}

static bool add(struct build_list *list, const char *item)
{
    if (list->count == BUILD_LIST_MAX) {
        return false;
    }
    list->items[list->count++] = item;
    return true;
}

static bool parse_place(const char *text, int64_t *out_place)
{
    char *end = NULL;
    const unsigned long number = strtoul(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0' || number >= NK_IMAGE_PLACES) {
        return false;
    }
    *out_place = (int64_t)number;
    return true;
}

/* False: wrong use; getopt or this function has said what. */
static bool take_option(struct build_options *options, int option)
{
    switch (option) {
    case 'o':
        options->out = optarg;
        return true;
    case 'I':
        return add(&options->includes, optarg);
    case 'D':
        return add(&options->defines, optarg);
    case 'v':
        options->verbose = true;
        return true;
    case OPTION_MANIFEST:
        options->manifest = optarg;
        return true;
    case OPTION_CONTRACTS:
        return add(&options->contracts, optarg);
    case OPTION_KEEP:
        options->keep = optarg;
        return true;
    case OPTION_MODE:
        options->mode = optarg;
        return true;
    case OPTION_STRICT:
        options->strict = true;
        return true;
    case OPTION_PLACE:
        return parse_place(optarg, &options->place);
    default:
        return false;
    }
}

static int command_build(int argc, char **argv)
{
    static const struct option table[] = {
        {"output", required_argument, NULL, 'o'},
        {"manifest", required_argument, NULL, OPTION_MANIFEST},
        {"contracts", required_argument, NULL, OPTION_CONTRACTS},
        {"keep", required_argument, NULL, OPTION_KEEP},
        {"mode", required_argument, NULL, OPTION_MODE},
        {"place", required_argument, NULL, OPTION_PLACE},
        {"strict", no_argument, NULL, OPTION_STRICT},
        {"verbose", no_argument, NULL, 'v'},
        {0},
    };
    static struct build_options options = {.place = -1};
    const bool sdk = strcmp(argv[0], "sdk") == 0;
    int option;

    options.check_only = strcmp(argv[0], "check") == 0;
    while ((option = getopt_long(argc, argv, "o:I:D:v", table, NULL)) >= 0) {
        if (!take_option(&options, option)) {
            return usage("an option is not known, lacks its value, or is there too often");
        }
    }
    for (; optind < argc; optind++) {
        if (!add(&options.sources, argv[optind])) {
            return usage("too many files");
        }
    }
    options.for_others = sdk;
    if (sdk) {
        if (options.out == NULL || options.sources.count > 0) {
            return usage("sdk: expected a folder (-o DIR) and no file");
        }
        return sdk_export(&options) == SF_OK ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    if (options.sources.count == 0) {
        return usage("no input file");
    }
    if (options.out == NULL && options.check_only) {
        options.out = options.sources.items[0]; /* for the name only */
    }
    if (options.out == NULL) {
        return usage("build: no output file (-o X.sip)");
    }
    return build(&options) == SF_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Type safety of a module is wasm-validate's part, for which it needs a file of its own. */
static sf_status validate(const uint8_t *bytes, size_t length)
{
    struct work work = {0};
    struct work_args args = {0};
    char path[WORK_PATH_MAX];
    uint8_t *module = NULL;
    size_t module_bytes = 0;
    sf_status st = work_open(&work, NULL, false);

    if (st == SF_OK) {
        st = wasm_strip(bytes, length, &module, &module_bytes);
    }
    if (st == SF_OK) {
        st = file_write(work_path(&work, "module.wasm", path), module, module_bytes);
    }
    free(module);
    if (st == SF_OK) {
        work_arg(&args, "wasm-validate");
        work_arg(&args, "--disable-simd");
        work_arg(&args, path);
        st = work_run(&work, NULL, &args);
    }
    work_close(&work);
    return st;
}

static sf_status verify_file(const char *path)
{
    static struct wasm_facts facts;
    char text[512];
    uint8_t *bytes;
    size_t length;
    sf_status st = file_read(path, IMAGE_BYTES_MAX, &bytes, &length);

    if (st != SF_OK) {
        return st;
    }
    if (length >= 8 && memcmp(bytes, IMAGE_MAGIC, 8) == 0) {
        struct image *image = NULL;
        st = image_open(bytes, length, &image, text, sizeof(text));
        image_close(image);
        if (st != SF_OK) {
            st = sipc_fail(st, "%s: rule %s", path, text);
        }
    } else {
        st = wasm_verify(bytes, length, &facts, text, sizeof(text));
        if (st != SF_OK) {
            st = sipc_fail(st, "%s: %s", path, text);
        } else {
            st = validate(bytes, length);
            if (st == SF_FORMAT) {
                st = sipc_fail(SF_TRUST, "%s: rule validate: the module is not type safe", path);
            }
        }
    }
    free(bytes);
    return st;
}

static int command_verify(int argc, char **argv)
{
    if (argc != 2 || argv[1][0] == '-') {
        return usage("verify: expected one file");
    }
    return verify_file(argv[1]) == SF_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int command_inspect(int argc, char **argv)
{
    static const struct option table[] = {{"output", required_argument, NULL, 'o'}, {0}};
    const char *format = "text";
    int option;

    while ((option = getopt_long(argc, argv, "o:", table, NULL)) >= 0) {
        if (option != 'o') {
            return usage("inspect: an option is not known or lacks its value");
        }
        format = optarg;
    }
    if (strcmp(format, "text") != 0 && strcmp(format, "json") != 0) {
        return usage("inspect: -o is text or json");
    }
    if (argc - optind != 1) {
        return usage("inspect: expected one file");
    }
    return inspect(argv[optind], strcmp(format, "json") == 0) == SF_OK ? EXIT_SUCCESS
                                                                       : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {
        {"build", command_build},   {"check", command_build},     {"sdk", command_build},
        {"verify", command_verify}, {"inspect", command_inspect},
    };

    if (argc < 2) {
        return usage("no command");
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        (argc == 3 && strcmp(argv[2], "--help") == 0)) {
        (void)fputs(help, stdout);
        return EXIT_SUCCESS;
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)puts("sipc " SIPFABRIC_VERSION);
        return EXIT_SUCCESS;
    }
    if (sodium_init() < 0) {
        (void)fputs("sipc: libsodium does not start\n", stderr);
        return EXIT_FAILURE;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    return usage("that command is not known: build, check, sdk, verify, inspect");
}
