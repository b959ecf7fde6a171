/* SPDX-License-Identifier: Apache-2.0 */
/*
 * contractc - checks contracts and writes code, tables and pictures from them.
 *
 * Exit codes: 0 fine, 1 the contracts have errors or a file could not be written, 2 wrong use;
 * compat: 3 compatible only in some states, 4 not compatible.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "reports_main.h"

enum { EXIT_FINE = 0, EXIT_ERRORS = 1, EXIT_USAGE = 2, SEARCH_FOLDERS_MAX = 100 };

static const char help_text[] =
    "contractc - check contracts, write code and tables from them\n"
    "\n"
    "usage: contractc check [-I DIR]... FILE...\n"
    "       contractc compile [-I DIR]... --emit WHAT [-o DIR] FILE...\n"
    "       contractc show [-I DIR]... FILE...\n"
    "       contractc bounds [-I DIR]... [-o table|json] FILE...\n"
    "       contractc compat [-I DIR]... [-o table|json] OLD NEW\n"
    "\n"
    "  check     report errors and warnings as file:line:col\n"
    "  compile   write, for each contract in the given files, one of:\n"
    "              sip-c     Name.h, typed calls for SIPs in C\n"
    "              sip-c-typed  Name_typed.h, the same with the state in the type\n"
    "              sip-rust  Name.rs, tags, states and constants for SIPs in Rust\n"
    "              monitor   Name_monitor.h and Name_monitor.c, for kernel code\n"
    "              table     Name.table, the compiled contract as it travels in images\n"
    "              dot       Name.dot, a picture of the states (for Graphviz)\n"
    "              svg       Name.svg, that picture drawn (by dot, Debian package graphviz)\n"
    "              md        Name.md, documentation\n"
    "              json      Name.json, everything, for other programs\n"
    "              dissector Name.lua, for Wireshark and tshark\n"
    "              test      Name_walk.c, tables for a SIP that walks an exporter\n"
    "  show      messages, states, transitions, queue bounds and identity\n"
    "  bounds    the most that can wait at either end: slots, bytes, blocks, endpoints\n"
    "  compat    can an importer built from OLD talk to an exporter built from NEW, and the\n"
    "            reverse? In which states, why not, and the shortest run that shows it\n"
    "\n"
    "  -I DIR         look there for contracts that are named but not given (Name.contract);\n"
    "                 the folder of the file that names one is always looked into first\n"
    "  -o DIR         write files there; without it the text of one contract goes to stdout;\n"
    "                 with bounds and compat: table (for people) or json\n"
    "  --emit WHAT    see above\n"
    "  -w             do not print warnings\n"
    "\n"
    "examples:\n"
    "  contractc check contracts/std/*.contract\n"
    "  contractc compile --emit sip-c -o build contracts/std/TcpContract.contract\n"
    "  contractc compile --emit svg TcpContract.contract > tcp.svg\n"
    "  contractc show contracts/std/TcpConnectionContract.contract\n"
    "  contractc bounds -o json contracts/std/*.contract\n"
    "  contractc compat old/TcpContract.contract new/TcpContract.contract\n"
    "\n"
    "exit code: 0 fine, 1 errors in contracts or while writing, 2 wrong use;\n"
    "           compat: 3 compatible only in some states, 4 not compatible\n";

struct options {
    const char *emit;
    const char *folder; /* or the format, with bounds and compat */
    bool quiet;
    const char *search[SEARCH_FOLDERS_MAX];
    size_t search_count;
};

static int usage(const char *text, const char *what)
{
    fprintf(stderr, "contractc: error: %s%s (contractc --help shows how)\n", text, what);
    return EXIT_USAGE;
}

static int find_emitters(const char *name, enum ctc_emitter emitters[2])
{
    static const struct {
        const char *name;
        enum ctc_emitter emitters[2];
        int count;
    } known[] = {
        {"sip-c", {CTC_EMIT_SIP_C}, 1},
        {"monitor", {CTC_EMIT_MONITOR_H, CTC_EMIT_MONITOR_C}, 2},
        {"table", {CTC_EMIT_TABLE}, 1},
        {"dot", {CTC_EMIT_DOT}, 1},
        {"test", {CTC_EMIT_TEST}, 1},
        {"sip-c-typed", {CTC_EMIT_SIP_TYPED}, 1},
        {"dissector", {CTC_EMIT_DISSECTOR}, 1},
        {"md", {CTC_EMIT_MD}, 1},
        {"json", {CTC_EMIT_JSON}, 1},
        {"svg", {CTC_EMIT_SVG}, 1},
        {"sip-rust", {CTC_EMIT_RUST}, 1},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].name, name) == 0) {
            memcpy(emitters, known[i].emitters, sizeof(known[i].emitters));
            return known[i].count;
        }
    }
    return 0;
}

static int no_picture(void)
{
    fprintf(stderr, "contractc: error: no picture: cannot run 'dot -Tsvg' "
                    "(is the Debian package graphviz installed?)\n");
    return EXIT_ERRORS;
}

static int emit_one(const struct ctc_contract *contract, enum ctc_emitter emitter,
                    const char *folder)
{
    if (folder != NULL) {
        sf_status st = ctc_emit_file(contract, emitter, folder);
        if (st == SF_UNSUPPORTED) {
            return no_picture();
        }
        if (st != SF_OK) {
            char *name = ctc_emit_file_name(contract, emitter);
            fprintf(stderr, "contractc: error: cannot write %s/%s: %s\n", folder, name,
                    strerror(errno));
            free(name);
            return EXIT_ERRORS;
        }
        return EXIT_FINE;
    }
    size_t length = 0;
    char *text = ctc_emit(contract, emitter, &length);
    if (text == NULL) {
        return no_picture();
    }
    bool written = fwrite(text, 1, length, stdout) == length && fflush(stdout) == 0;
    free(text);
    if (!written) {
        fprintf(stderr, "contractc: error: cannot write to stdout: %s\n", strerror(errno));
        return EXIT_ERRORS;
    }
    return EXIT_FINE;
}

static int compile(const struct ctc *ctc, const struct options *options)
{
    enum ctc_emitter emitters[2];
    int emitter_count = find_emitters(options->emit, emitters);
    size_t given = 0;
    int answer = EXIT_FINE;

    for (size_t i = 0; i < ctc_contract_count(ctc); i++) {
        given += ctc_given(ctc_contract(ctc, i));
    }
    if (options->folder == NULL && (given != 1 || emitter_count != 1)) {
        return usage("more than one file to write, so a folder is needed: ", "-o DIR");
    }
    for (size_t i = 0; i < ctc_contract_count(ctc); i++) {
        const struct ctc_contract *contract = ctc_contract(ctc, i);
        for (int e = 0; ctc_given(contract) && e < emitter_count && answer == EXIT_FINE; e++) {
            answer = emit_one(contract, emitters[e], options->folder);
        }
    }
    return answer;
}

static void show_arg(const struct ct_contract *table, const struct ct_arg *arg)
{
    static const char *const kinds[] = {
        [CT_ARG_BOOL] = "bool",       [CT_ARG_INT8] = "int8",       [CT_ARG_UINT8] = "uint8",
        [CT_ARG_INT16] = "int16",     [CT_ARG_UINT16] = "uint16",   [CT_ARG_INT32] = "int32",
        [CT_ARG_UINT32] = "uint32",   [CT_ARG_INT64] = "int64",     [CT_ARG_UINT64] = "uint64",
        [CT_ARG_FLOAT32] = "float32", [CT_ARG_FLOAT64] = "float64",
    };

    if (arg->kind == CT_ARG_BLOCK) {
        const char *element = arg->layout > 0                ? table->layouts[arg->layout - 1].name
                              : arg->element == CT_ARG_UINT8 ? "bytes"
                                                             : kinds[arg->element];
        printf("block %s%s %s", element, arg->optional ? "?" : "", arg->name);
    } else if (arg->kind == CT_ARG_ENDPOINT) {
        printf("%s.%s%s %s", arg->ref == CT_REF_SELF ? table->name : table->refs[arg->ref].name,
               arg->side == CT_IMP ? "Imp" : "Exp", arg->optional ? "?" : "", arg->name);
    } else {
        printf("%s %s", kinds[arg->kind], arg->name);
    }
}

static void show_layouts(const struct ct_contract *table)
{
    for (uint16_t l = 0; l < table->layout_count; l++) {
        const struct ct_layout *layout = &table->layouts[l];
        printf("struct %s: %u bytes, aligned to %u%s\n", layout->name, layout->bytes, layout->align,
               layout->nested ? ", refers to blocks" : "");
        for (uint8_t f = 0; f < layout->field_count; f++) {
            printf("          %3u %s\n", layout->fields[f].offset, layout->fields[f].name);
        }
    }
}

static void show_states(const struct ct_contract *table)
{
    for (uint16_t s = 0; s < table->state_count; s++) {
        const struct ct_state *state = &table->states[s];
        printf("state %3u %s%s\n", s, state->name, state->final ? " (final)" : "");
        for (uint16_t tag = 0; tag < table->message_count; tag++) {
            uint8_t next = ct_step(table, (uint8_t)s, (enum ct_side)state->sender, tag);
            if (next != CT_ILLEGAL) {
                printf("          %s%c -> %s\n", table->messages[tag].name,
                       state->sender == CT_IMP ? '?' : '!', table->states[next].name);
            }
        }
    }
}

static void show(const struct ctc_contract *contract)
{
    static const char *const directions[] = {"in", "out", "both ways"};
    const struct ct_contract *table = ctc_table(contract);
    uint32_t actions = 0;
    uint32_t named = 0;
    size_t blob_bytes = 0;

    (void)ctc_blob(contract, &blob_bytes);
    for (uint16_t s = 0; s < table->state_count; s++) {
        named += strchr(table->states[s].name, '.') == NULL;
        for (uint16_t tag = 0; tag < table->message_count; tag++) {
            actions += ct_step(table, (uint8_t)s, (enum ct_side)table->states[s].sender, tag) !=
                       CT_ILLEGAL;
        }
    }
    printf("contract %s\nidentity ", table->name);
    for (size_t i = 0; i < CT_ID_BYTES; i++) {
        printf("%02x", table->id[i]);
    }
    printf("\nmessages %u, named states %u, states inside steps %u, actions %u\n",
           table->message_count, named, table->state_count - named, actions);
    printf("queue slots: importer %u, exporter %u; table %zu bytes\n", table->slots[CT_IMP],
           table->slots[CT_EXP], blob_bytes);
    for (uint16_t m = 0; m < table->message_count; m++) {
        const struct ct_message *message = &table->messages[m];
        printf("message %3u %s %s(", m, directions[message->direction], message->name);
        for (uint8_t a = 0; a < message->arg_count; a++) {
            printf("%s", a == 0 ? "" : ", ");
            show_arg(table, &message->args[a]);
        }
        printf(")\n");
    }
    show_layouts(table);
    show_states(table);
}

static int run(struct ctc *ctc, const char *command, const struct options *options)
{
    if (ctc_check(ctc) != SF_OK) {
        ctc_print(ctc, stderr);
        return EXIT_ERRORS;
    }
    if (!options->quiet) {
        ctc_print(ctc, stderr);
    }
    if (strcmp(command, "compile") == 0) {
        return compile(ctc, options);
    }
    if (strcmp(command, "show") == 0) {
        for (size_t i = 0; i < ctc_contract_count(ctc); i++) {
            if (ctc_given(ctc_contract(ctc, i))) {
                show(ctc_contract(ctc, i));
            }
        }
        return fflush(stdout) == 0 ? EXIT_FINE : EXIT_ERRORS;
    }
    return EXIT_FINE;
}

static int parse_options(int argc, char **argv, struct ctc *ctc, struct options *options)
{
    static const struct option longs[] = {
        {"emit", required_argument, NULL, 'e'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, ":I:o:hw", longs, NULL)) != -1) {
        switch (option) {
        case 'I':
            if (options->search_count == SEARCH_FOLDERS_MAX) {
                return usage("too many folders, the first that is one too many is ", optarg);
            }
            options->search[options->search_count++] = optarg;
            ctc_add_folder(ctc, optarg);
            break;
        case 'o':
            options->folder = optarg;
            break;
        case 'e':
            options->emit = optarg;
            break;
        case 'w':
            options->quiet = true;
            break;
        case 'h':
            fputs(help_text, stdout);
            return -1;
        case ':':
            return usage("a value is missing after ", argv[optind - 1]);
        default:
            return usage("unknown option ", argv[optind - 1]);
        }
    }
    return EXIT_FINE;
}

static int bounds(struct ctc *ctc, const struct options *options)
{
    enum ctc_format format;

    if (!reports_format(options->folder, &format)) {
        return usage("unknown format, expected table or json: ", options->folder);
    }
    return reports_bounds(ctc, format, options->quiet);
}

/* argv: OLD NEW */
static int compat(struct ctc *old, int argc, char **argv, const struct options *options)
{
    enum ctc_format format;

    if (!reports_format(options->folder, &format)) {
        return usage("unknown format, expected table or json: ", options->folder);
    }
    if (argc != 2) {
        return usage("compat needs two files: ", "OLD NEW");
    }
    struct ctc *new = ctc_create();
    for (size_t i = 0; i < options->search_count; i++) {
        ctc_add_folder(new, options->search[i]);
    }
    (void)ctc_add_file(old, argv[0]); /* errors are kept as diagnostics */
    (void)ctc_add_file(new, argv[1]);
    int answer = reports_compat(old, new, format, options->quiet);
    ctc_destroy(new);
    return answer;
}

static bool known(const char *command)
{
    static const char *const commands[] = {"bounds", "check", "compat", "compile", "show"};

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i], command) == 0) {
            return true;
        }
    }
    return false;
}

static int work(int argc, char **argv, struct ctc *ctc)
{
    struct options options = {0};
    enum ctc_emitter emitters[2];
    int answer = parse_options(argc, argv, ctc, &options);

    if (answer != EXIT_FINE) {
        return answer < 0 ? EXIT_FINE : answer;
    }
    if (optind >= argc) {
        return usage("a command is missing: check, compile, show, bounds or compat", "");
    }
    const char *command = argv[optind++];
    bool compiles = strcmp(command, "compile") == 0;
    if (!known(command)) {
        return usage("unknown command ", command);
    }
    if (compiles && options.emit == NULL) {
        return usage("what to write is missing: ", "--emit sip-c|monitor|table|...");
    }
    if (compiles && find_emitters(options.emit, emitters) == 0) {
        return usage("unknown kind of output ", options.emit);
    }
    if (optind >= argc) {
        return usage("no contract file given", "");
    }
    if (strcmp(command, "compat") == 0) {
        return compat(ctc, argc - optind, argv + optind, &options);
    }
    if (strcmp(command, "check") == 0) {
        ctc_allow_mixed(ctc);
    }
    for (; optind < argc; optind++) {
        (void)ctc_add_file(ctc, argv[optind]); /* errors are kept as diagnostics */
    }
    return strcmp(command, "bounds") == 0 ? bounds(ctc, &options) : run(ctc, command, &options);
}

int main(int argc, char **argv)
{
    struct ctc *ctc = ctc_create();
    int answer = work(argc, argv, ctc);

    ctc_destroy(ctc);
    return answer;
}
