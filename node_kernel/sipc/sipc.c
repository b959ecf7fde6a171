/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sipc.c - the command line of sipc: build, check, sdk, sign, verify, inspect, keygen.
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
#include "image/trust.h"
#include "inspect.h"
#include "keys.h"
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
    "  sipc verify FILE.sip --trust KEY.pub...   as a node that trusts these keys would\n"
    "  sipc inspect FILE.sip [-o text|json]      what is in an image\n"
    "  sipc keygen NAME                          a new key: NAME.key (secret) and NAME.pub\n"
    "  sipc sign FILE.sip --key NAME.key         sign it, in place or to -o FILE\n"
    "  sipc --help, --version\n"
    "\n"
    "Options of build and check; of sdk the first three:\n"
    "  -o, --output FILE      the image (sdk: the folder) to write\n"
    "      --manifest FILE    name, imports, exports, memory (docs/formats.md)\n"
    "      --contracts PATH   a .contract file, or a folder of them; may be given again\n"
    "  -I DIR, -D NAME[=V]    as for a C compiler\n"
    "      --key FILE         sign with that secret key; default: SIPC_KEY, or unsigned\n"
    "      --mode MODE        wasm or native, instead of the manifest's\n"
    "      --place N          image place 0..524287; default: from the hash\n"
    "      --strict           an operation that is left to the monitor is an error\n"
    "      --keep DIR         leave what every stage writes in DIR\n"
    "  -v, --verbose          show the commands that are run, and every operation checked\n"
    "\n"
    "Options of verify and inspect:\n"
    "      --trust FILE       public keys that are trusted; may be given again\n"
    "      --name NAME        the name that the image must have (verify)\n"
    "Options of keygen:\n"
    "      --if-missing       leave a key that is there already\n"
    "\n"
    "Examples:\n"
    "  sipc build hello.c -o hello.sip\n"
    "  sipc build web.c --manifest web.yaml --contracts contracts/std -o web.sip\n"
    "  sipc sdk --manifest web.yaml --contracts contracts/std -o sdk\n"
    "  sipc verify module.wasm && echo fine\n"
    "  sipc keygen release && sipc sign web.sip --key release.key\n"
    "  sipc verify web.sip --trust release.pub --name web\n"
    "  sipc inspect web.sip -o json | jq .digest\n";

enum {
    OPTION_MANIFEST = 256,
    OPTION_CONTRACTS,
    OPTION_IF_MISSING,
    OPTION_KEEP,
    OPTION_KEY,
    OPTION_MODE,
    OPTION_NAME,
    OPTION_PLACE,
    OPTION_STRICT,
    OPTION_TRUST,
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
    case OPTION_KEY:
        options->key = optarg;
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
        {"key", required_argument, NULL, OPTION_KEY},
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
    options.key = keys_default();
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

static sf_status verify_module(const char *path, const uint8_t *bytes, size_t length)
{
    static struct wasm_facts facts;
    char text[512];
    sf_status st = wasm_verify(bytes, length, &facts, text, sizeof(text));

    if (st != SF_OK) {
        return sipc_fail(st, "%s: %s", path, text);
    }
    st = validate(bytes, length);
    if (st == SF_FORMAT) {
        st = sipc_fail(SF_TRUST, "%s: rule validate: the module is not type safe", path);
    }
    return st;
}

static sf_status verify_image(const char *path, const uint8_t *bytes, size_t length,
                              const struct image_trust *trust, const char *name)
{
    struct image *image = NULL;
    char text[512], signer[KEYS_SIGNER_BYTES];
    sf_status st = image_open_trusted(bytes, length, trust != NULL ? trust : &image_trust_anyone,
                                      name, &image, text, sizeof(text));

    if (st != SF_OK) {
        return sipc_fail(st, "%s: rule %s", path, text);
    }
    (void)fprintf(stderr, "sipc: %s: %s\n", path, keys_signer(image, trust, signer));
    image_close(image);
    return SF_OK;
}

static sf_status verify_file(const char *path, const struct image_trust *trust, const char *name)
{
    uint8_t *bytes;
    size_t length;
    sf_status st = file_read(path, IMAGE_BYTES_MAX, &bytes, &length);

    if (st != SF_OK) {
        return st;
    }
    if (length >= 8 && memcmp(bytes, IMAGE_MAGIC, 8) == 0) {
        st = verify_image(path, bytes, length, trust, name);
    } else if (trust != NULL || name != NULL) {
        st = sipc_fail(SF_FORMAT, "%s: rule header: not a SIP image", path);
    } else {
        st = verify_module(path, bytes, length);
    }
    free(bytes);
    return st;
}

/* Options of the commands that look at images or keys. */
struct look {
    const char *key;
    const char *out;
    const char *name;
    bool if_missing;
    bool trusting; /* --trust was given */
    struct image_trust trust;
};

/* Exit code, or -1 to go on with argv[optind]. */
static int take_look_options(int argc, char **argv, const struct option *table, struct look *look)
{
    int option;

    while ((option = getopt_long(argc, argv, "o:", table, NULL)) >= 0) {
        switch (option) {
        case 'o':
            look->out = optarg;
            break;
        case OPTION_KEY:
            look->key = optarg;
            break;
        case OPTION_NAME:
            look->name = optarg;
            break;
        case OPTION_IF_MISSING:
            look->if_missing = true;
            break;
        case OPTION_TRUST:
            look->trusting = true;
            if (keys_trust_file(&look->trust, optarg) != SF_OK) {
                return EXIT_FAILURE;
            }
            break;
        default:
            return usage("an option is not known here or lacks its value");
        }
    }
    if (argc - optind != 1) {
        (void)fprintf(stderr, "sipc: %s: expected one %s\nTry `sipc --help`.\n", argv[0],
                      strcmp(argv[0], "keygen") == 0 ? "name" : "file");
        return EXIT_USAGE;
    }
    return -1;
}

static int command_verify(int argc, char **argv)
{
    static const struct option table[] = {{"trust", required_argument, NULL, OPTION_TRUST},
                                          {"name", required_argument, NULL, OPTION_NAME},
                                          {0}};
    static struct look look;
    const int code = take_look_options(argc, argv, table, &look);

    if (code >= 0) {
        return code;
    }
    if (look.out != NULL) {
        return usage("verify: -o does not belong here");
    }
    return verify_file(argv[optind], look.trusting ? &look.trust : NULL, look.name) == SF_OK
               ? EXIT_SUCCESS
               : EXIT_FAILURE;
}

static int command_inspect(int argc, char **argv)
{
    static const struct option table[] = {{"output", required_argument, NULL, 'o'},
                                          {"trust", required_argument, NULL, OPTION_TRUST},
                                          {0}};
    static struct look look = {.out = "text"};
    const int code = take_look_options(argc, argv, table, &look);

    if (code >= 0) {
        return code;
    }
    if (strcmp(look.out, "text") != 0 && strcmp(look.out, "json") != 0) {
        return usage("inspect: -o is text or json");
    }
    return inspect(argv[optind], strcmp(look.out, "json") == 0,
                   look.trusting ? &look.trust : NULL) == SF_OK
               ? EXIT_SUCCESS
               : EXIT_FAILURE;
}

static int command_keygen(int argc, char **argv)
{
    static const struct option table[] = {{"if-missing", no_argument, NULL, OPTION_IF_MISSING},
                                          {0}};
    static struct look look;
    const int code = take_look_options(argc, argv, table, &look);

    if (code >= 0) {
        return code;
    }
    if (look.out != NULL) {
        return usage("keygen: -o does not belong here; give the name of the files");
    }
    return keys_generate(argv[optind], look.if_missing) == SF_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int command_sign(int argc, char **argv)
{
    static const struct option table[] = {{"output", required_argument, NULL, 'o'},
                                          {"key", required_argument, NULL, OPTION_KEY},
                                          {0}};
    static struct look look;
    const int code = take_look_options(argc, argv, table, &look);

    if (code >= 0) {
        return code;
    }
    if (look.key == NULL) {
        look.key = keys_default();
    }
    if (look.key == NULL) {
        return usage("sign: no key (--key FILE, or SIPC_KEY)");
    }
    return keys_sign_file(argv[optind], look.out != NULL ? look.out : argv[optind], look.key) ==
                   SF_OK
               ? EXIT_SUCCESS
               : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {
        {"build", command_build},   {"check", command_build},     {"sdk", command_build},
        {"verify", command_verify}, {"inspect", command_inspect}, {"keygen", command_keygen},
        {"sign", command_sign},
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
    return usage("that command is not known: build, check, sdk, sign, verify, inspect, keygen");
}
