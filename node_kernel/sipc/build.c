/* SPDX-License-Identifier: Apache-2.0 */
#include "build.h"

#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "abi/nk_abi.h"
#include "check.h"
#include "image.pb-c.h"
#include "image/image.h"
#include "keys.h"
#include "lines.h"
#include "manifest.h"
#include "native.h"
#include "native_mode.h"
#include "protocols.h"
#include "verify.h"
#include "work.h"

#define MEMORY_BYTES_DEFAULT (4u << 20)
#define GENERATED_BYTES_MAX (512u << 20)

struct job {
    const struct build_options *options;
    struct work work;
    struct manifest_source source;
    struct protocols protocols;
    uint8_t *wasm; /* as it came, with names */
    size_t wasm_bytes;
    uint8_t *module; /* stripped */
    size_t module_bytes;
    struct wasm_facts facts;
    uint32_t pages_max;
    uint64_t base_address;
    uint8_t *linked;
    struct native native;
    char **names; /* by function index; NULL where the module has none */
    uint32_t name_count;
    Sf__Image__Lines lines;
    Sf__Image__Manifest manifest;
    uint8_t module_hash[IMAGE_DIGEST_BYTES];
};

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), end_length = strlen(end);

    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* --- manifest ------------------------------------------------------------------------------------
 */

/* Without a manifest: the name of the output file, made to fit. */
static void name_from_output(const char *out, char name[MANIFEST_NAME_MAX])
{
    const char *slash = strrchr(out, '/');
    size_t used = 0;

    for (const char *at = slash != NULL ? slash + 1 : out; *at != '\0' && *at != '.'; at++) {
        const char c = (char)tolower((unsigned char)*at);
        if (used + 2 < MANIFEST_NAME_MAX && (isalnum((unsigned char)c) || c == '_' || c == '-')) {
            name[used++] = c;
        }
    }
    name[used] = '\0';
    if (name[0] < 'a' || name[0] > 'z') {
        (void)snprintf(name, MANIFEST_NAME_MAX, "sip");
    }
}

static sf_status stage_manifest(struct job *job)
{
    sf_status st = SF_OK;

    if (job->options->manifest != NULL) {
        st = manifest_read(job->options->manifest, &job->source);
    } else {
        name_from_output(job->options->out, job->source.name);
    }
    if (st == SF_OK && job->options->mode != NULL) {
        st = image_mode_find(job->options->mode, &job->source.mode);
        if (st != SF_OK) {
            return sipc_fail(SF_UNSUPPORTED, "--mode %s: the mode is " IMAGE_MODES,
                             job->options->mode);
        }
    }
    return st;
}

static sf_status stage_protocols(struct job *job)
{
    char folder[WORK_PATH_MAX];

    (void)mkdir(work_path(&job->work, "contracts", folder), 0700);
    return protocols_load(&job->protocols, job->options, &job->source, folder);
}

/* --- C to WebAssembly ----------------------------------------------------------------------------
 */

static sf_status stage_clang(struct job *job)
{
    static const char *const fixed[] = {
        "clang",
        "--target=wasm32",
        "-std=gnu11",
        "-O3",
        "-gline-tables-only", /* for the static check's messages; stripped with the names */
        "-ffreestanding",
        "-nostdlib",
        "-nostdlibinc",
        "-mbulk-memory",
        "-fvisibility=hidden",
        "-Wall",
        "-Werror=date-time",
        "-Werror=implicit-function-declaration", /* a typed call that the contract does not have */
        "-Werror=incompatible-pointer-types",
        "-Wno-unused-command-line-argument",
        "-Wl,--no-entry",
        "-Wl,--export=sip_main",
        "-Wl,--stack-first",
        "-Wl,-z,stack-size=65536",
        "-Wl,--fatal-warnings",
    };
    const struct build_options *options = job->options;
    struct work_args args = {0};
    char library[WORK_PATH_MAX];
    char maps[BUILD_LIST_MAX][WORK_PATH_MAX];
    char sdk[WORK_PATH_MAX], contracts[WORK_PATH_MAX], out[WORK_PATH_MAX];
    sf_status st;

    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        work_arg(&args, fixed[i]);
    }
    for (size_t i = 0; i < options->defines.count; i++) {
        work_arg(&args, "-D");
        work_arg(&args, options->defines.items[i]);
    }
    work_arg(&args, "-I");
    work_arg(&args, work_path(&job->work, "sdk", sdk));
    work_arg(&args, "-I");
    work_arg(&args, work_path(&job->work, "contracts", contracts));
    for (size_t i = 0; i < options->includes.count; i++) {
        work_arg(&args, "-I");
        work_arg(&args, options->includes.items[i]);
    }
    for (size_t i = 0; i < options->sources.count; i++) {
        const char *source = options->sources.items[i];
        const char *slash = strrchr(source, '/');
        if (slash != NULL) { /* the same bytes wherever the source lies */
            (void)snprintf(maps[i], sizeof(maps[i]),
                           "-fmacro-prefix-map=%.*s=", (int)(slash + 1 - source), source);
            work_arg(&args, maps[i]);
        }
        work_arg(&args, source);
    }
    work_arg(&args, work_path(&job->work, "libsip/libsip.o", library));
    work_arg(&args, "-o");
    work_arg(&args, work_path(&job->work, "linked.wasm", out));
    st = work_run(&job->work, NULL, &args);
    if (st == SF_OK) {
        st = file_read(out, WASM_BYTES_MAX, &job->wasm, &job->wasm_bytes);
    }
    return st;
}

static sf_status stage_module(struct job *job)
{
    const struct build_list *sources = &job->options->sources;

    if (sources->count == 1 && ends_with(sources->items[0], ".wasm")) {
        if (job->source.mode == IMAGE_NATIVE) {
            return sipc_fail(SF_UNSUPPORTED,
                             "%s: mode native needs C sources: a WebAssembly module "
                             "has only one way to run, mode wasm",
                             sources->items[0]);
        }
        return file_read(sources->items[0], WASM_BYTES_MAX, &job->wasm, &job->wasm_bytes);
    }
    for (size_t i = 0; i < sources->count; i++) {
        if (!ends_with(sources->items[i], ".c")) {
            return sipc_fail(SF_BADARG, "%s: give C files, or one .wasm file", sources->items[i]);
        }
    }
    return stage_clang(job);
}

/* --- verification --------------------------------------------------------------------------------
 */

static sf_status stage_verify(struct job *job)
{
    char text[512], path[WORK_PATH_MAX];
    struct work_args args = {0};
    sf_status st = wasm_verify_pages(job->wasm, job->wasm_bytes,
                                     job->source.large ? NK_LARGE_PAGES_MAX : NK_MODULE_PAGES_MAX,
                                     &job->facts, text, sizeof(text));

    if (st != SF_OK) {
        return sipc_fail(st, "%s: %s", job->options->sources.items[0], text);
    }
    st = wasm_strip(job->wasm, job->wasm_bytes, &job->module, &job->module_bytes);
    if (st != SF_OK) {
        return sipc_fail(st, "%s", sf_status_text(st));
    }
    (void)crypto_generichash(job->module_hash, sizeof(job->module_hash), job->module,
                             job->module_bytes, NULL, 0);
    st = file_write(work_path(&job->work, "module.wasm", path), job->module, job->module_bytes);
    if (st != SF_OK) {
        return st;
    }
    work_arg(&args, "wasm-validate");
    work_arg(&args, "--disable-simd");
    work_arg(&args, "module.wasm");
    st = work_run(&job->work, job->work.folder, &args);
    if (st == SF_FORMAT) {
        return sipc_fail(SF_TRUST, "%s: rule validate: the module is not type safe",
                         job->options->sources.items[0]);
    }
    return st;
}

/* The module against its contracts: flow.h. */
static sf_status stage_check(struct job *job)
{
    const bool from_c = ends_with(job->options->sources.items[0], ".c");
    char path[WORK_PATH_MAX];
    const struct flow_report report = {
        .module =
            from_c ? work_path(&job->work, "linked.wasm", path) : job->options->sources.items[0],
        .shown = job->options->sources.items[0],
        .stream = job->options->check_only ? stdout : stderr,
        .all = job->options->check_only || job->options->verbose,
        .strict = job->options->strict,
    };

    return check_module(job->wasm, job->wasm_bytes, &job->protocols, &job->source, &report);
}

/* --- WebAssembly to native -----------------------------------------------------------------------
 */

static sf_status write_types(struct job *job)
{
    const size_t capacity = 64 + 8 * (size_t)(job->facts.type_count + 1);
    char *text = malloc(capacity);
    char path[WORK_PATH_MAX];
    size_t used;
    sf_status st;

    if (text == NULL) {
        return sipc_fail(SF_NOMEM, "no memory left");
    }
    used = (size_t)snprintf(text, capacity, "static const u32 sf_types[] = {");
    for (uint32_t i = 0; i < job->facts.type_count; i++) {
        used += (size_t)snprintf(text + used, capacity - used, "%u, ", job->facts.types[i]);
    }
    used += (size_t)snprintf(text + used, capacity - used, "0};\n");
    st = file_write(work_path(&job->work, "sip_types.h", path), text, used);
    free(text);
    return st;
}

/* `at` is behind "_load" or "_store": is the access as sip_mem.h takes it apart? True also if it is
 * no access but a name that goes on. */
static bool access_ok(const char *at)
{
    static const char memory[] = "(&instance->w2c_memory, ";
    static const char cast[] = "(u64)(";

    at += strspn(at, "0123456789_su");
    if (strncmp(at, memory, sizeof(memory) - 1) != 0) {
        return *at != '(';
    }
    at += sizeof(memory) - 1;
    if (strncmp(at, cast, sizeof(cast) - 1) != 0) {
        return false;
    }
    at += sizeof(cast) - 1;
    at += strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789_");
    if (*at++ != ')') {
        return false;
    }
    if (strncmp(at, " + ", 3) == 0) {
        at += 3;
        at += strspn(at, "0123456789");
        at += *at == 'u';
    }
    return *at == ')' || *at == ',';
}

/* Isolation rests on every access being masked: not one may be written in another way. */
static bool accesses_ok(const char *text)
{
    static const char *const words[] = {"_load", "_store"};

    for (size_t i = 0; i < 2; i++) {
        for (const char *at = strstr(text, words[i]); at != NULL; at = strstr(at, words[i])) {
            at += strlen(words[i]);
            if (!access_ok(at)) {
                return false;
            }
        }
    }
    return true;
}

/* Puts the include of sip_mem.h behind wasm2c's own definitions. */
static sf_status inject_memory_header(struct job *job)
{
    static const char marker[] = "\nstatic bool s_module_initialized";
    static const char include[] = "\n#include \"sip_mem.h\"\n";
    char path[WORK_PATH_MAX];
    uint8_t *text;
    char *whole, *at;
    size_t length, before;
    sf_status st =
        file_read(work_path(&job->work, "module.c", path), GENERATED_BYTES_MAX, &text, &length);

    if (st != SF_OK) {
        return st;
    }
    at = strstr((char *)text, marker);
    whole = malloc(length + sizeof(include));
    if (at == NULL || whole == NULL || strlen((char *)text) != length || !accesses_ok(at)) {
        st = sipc_fail(whole != NULL ? SF_UNSUPPORTED : SF_NOMEM,
                       "wasm2c's output is not as wabt 1.0.32 writes it");
    } else {
        before = (size_t)(at - (char *)text);
        memcpy(whole, text, before);
        memcpy(whole + before, include, sizeof(include) - 1);
        memcpy(whole + before + sizeof(include) - 1, at, length - before);
        st = file_write(path, whole, length + sizeof(include) - 1);
    }
    free(whole);
    free(text);
    return st;
}

static sf_status stage_wasm2c(struct job *job)
{
    struct work_args args = {0};
    sf_status st;

    work_arg(&args, "wasm2c");
    work_arg(&args, "--module-name=sip");
    work_arg(&args, "--no-debug-names");
    work_arg(&args, "module.wasm");
    work_arg(&args, "-o");
    work_arg(&args, "module.c");
    st = work_run(&job->work, job->work.folder, &args);
    if (st == SF_OK) {
        st = write_types(job);
    }
    if (st == SF_OK) {
        st = inject_memory_header(job);
    }
    return st;
}

static sf_status stage_gcc(struct job *job)
{
    static const char *const fixed[] = {
        "gcc",
        "-std=gnu11",
        "-O3",
        "-g1", /* for the table of source lines; the code is the same without */
        "-w",  /* the C is generated */
        "-DNDEBUG",
        "-fPIC",
        "-fvisibility=hidden",
        "-ffunction-sections",
        "-fdata-sections",
        "-fno-tree-loop-distribute-patterns",
        "-fno-math-errno",
        "-ffp-contract=off",
        "-fwrapv",
        "-fno-strict-aliasing",
        "-march=x86-64",
        "-msse4.1", /* and popcnt: every x86-64 of the last 15 years */
        "-mpopcnt",
        "-fno-stack-protector",
        "-fstack-clash-protection",
        "-fcf-protection=none",
        "-fno-omit-frame-pointer", /* fault reports walk the stack */
        "-fno-optimize-sibling-calls",
        "-fno-asynchronous-unwind-tables",
        "-fno-ident",
        "-I.",
        "-Irt",
        "-Isdk",
        "-nostdlib",
        "-static",
        "-no-pie",
#ifdef NK_SANITIZED_MAP
        "-DNK_SANITIZED_MAP",
#endif
        "-Wl,-T,rt/image.ld",
        "-Wl,--gc-sections",
        "-Wl,--build-id=none",
        "-Wl,--fatal-warnings",
        "-Wl,--orphan-handling=error",
        "-Wl,-z,noexecstack",
        "-Wl,-z,norelro",
        "-Wl,-z,max-page-size=4096",
        "rt/sip_rt.c",
        "-o",
        "module.elf",
    };
    struct work_args args = {0};
    char numbers[6][64], path[WORK_PATH_MAX];
    size_t length;
    sf_status st;

    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        work_arg(&args, fixed[i]);
    }
    (void)snprintf(numbers[0], 64, "-DSF_PAGES=%uu", job->facts.pages);
    (void)snprintf(numbers[1], 64, "-DSF_PAGES_MAX=%uu", job->pages_max);
    (void)snprintf(numbers[2], 64, "-DSF_TABLE_MAX=%uu", job->facts.table_max);
    (void)snprintf(numbers[3], 64, "-DSF_HAS_IMPORTS=%d", job->facts.import_count > 0);
    (void)snprintf(numbers[4], 64, "-Wl,--defsym=sf_base=0x%llx",
                   (unsigned long long)job->base_address);
    (void)snprintf(numbers[5], 64, "-DSF_LARGE=%d", job->source.large);
    for (size_t i = 0; i < 6; i++) {
        work_arg(&args, numbers[i]);
    }
    st = work_run(&job->work, job->work.folder, &args);
    if (st == SF_OK) {
        st = file_read(work_path(&job->work, "module.elf", path), IMAGE_BYTES_MAX, &job->linked,
                       &length);
    }
    if (st == SF_OK) {
        st = native_read(job->linked, length, IMAGE_WASM, &job->native);
    }
    return st;
}

/* Mode native: from the sources again. */
static sf_status stage_native(struct job *job)
{
    size_t length;
    sf_status st = native_compile(&job->work, job->options, job->base_address, job->pages_max,
                                  &job->linked, &length);

    return st == SF_OK ? native_read(job->linked, length, IMAGE_NATIVE, &job->native) : st;
}

/* --- the image -----------------------------------------------------------------------------------
 */

static sf_status plan_memory(struct job *job)
{
    uint64_t pages = (job->source.memory_bytes + 65535u) / 65536u;

    if (job->source.memory_bytes == 0) {
        pages = MEMORY_BYTES_DEFAULT / 65536u;
        if (pages < job->facts.pages) {
            pages = job->facts.pages;
        }
        if (job->source.mode == IMAGE_NATIVE && pages < 2 * (uint64_t)job->facts.pages) {
            pages = 2 * (uint64_t)job->facts.pages; /* pointers are twice as long */
        }
        pages = pages > NK_MODULE_PAGES_MAX ? NK_MODULE_PAGES_MAX : pages;
    }
    if (pages < job->facts.pages) {
        return sipc_fail(SF_LIMIT,
                         "the program starts with %u KiB of memory, the manifest allows "
                         "%llu KiB",
                         job->facts.pages * 64, (unsigned long long)pages * 64);
    }
    job->pages_max = pages < job->facts.pages_max ? (uint32_t)pages : job->facts.pages_max;
    if (job->source.mode == IMAGE_NATIVE) {
        job->facts.pages = job->pages_max; /* no growing: all is there from the start */
    }
    return SF_OK;
}

static void fill_manifest(struct job *job)
{
    Sf__Image__Manifest *m = &job->manifest;

    sf__image__manifest__init(m);
    m->abi_version = NK_ABI_VERSION;
    m->name = job->source.name;
    m->slot_class = (char *)(uintptr_t)(job->source.large ? "large" : "small");
    m->strict_blocks = job->source.strict_blocks;
    m->memory_pages = job->facts.pages;
    m->memory_pages_max = job->pages_max;
    m->block_bytes_max = job->source.block_bytes_max;
    m->cpu_percent = job->source.cpu_percent;
    m->cpu_ms_max = job->source.cpu_ms_max;
    m->slice_ms_max = job->source.slice_ms_max;
    m->violation_faults = job->source.violation_faults;
    m->stays = job->source.stays;
    m->module_hash =
        (ProtobufCBinaryData){.len = sizeof(job->module_hash), .data = job->module_hash};
    if (job->source.mode != IMAGE_WASM) {
        m->mode = (char *)(uintptr_t)image_mode_name(job->source.mode);
    }
    m->built_by = (char *)(uintptr_t) "sipc " SIPFABRIC_VERSION;
}

/* The place: from the hash of the module and of all the manifest says, so that two images that
 * differ nearly never want the same one. */
static sf_status choose_place(struct job *job)
{
    const size_t bytes = sf__image__manifest__get_packed_size(&job->manifest);
    uint8_t *packed = malloc(bytes + 1);
    uint64_t number = 0;
    uint8_t digest[IMAGE_DIGEST_BYTES];

    if (packed == NULL) {
        return sipc_fail(SF_NOMEM, "no memory left");
    }
    (void)sf__image__manifest__pack(&job->manifest, packed);
    (void)crypto_generichash(digest, sizeof(digest), packed, bytes, NULL, 0);
    free(packed);
    for (size_t i = 8; i > 0; i--) {
        number = number << 8 | digest[i - 1];
    }
    if (job->options->place >= 0) {
        number = (uint64_t)job->options->place;
    }
    job->base_address = NK_IMAGE_BASE + number % NK_IMAGE_PLACES * NK_IMAGE_STRIDE;
    job->manifest.base_address = job->base_address;
    return SF_OK;
}

static void keep_name(void *arg, uint32_t index, const char *name, size_t bytes)
{
    struct job *job = arg;
    char *copy;

    if (index >= job->name_count || job->names[index] != NULL || bytes == 0 || bytes > 255) {
        return;
    }
    copy = malloc(bytes + 1);
    if (copy == NULL) {
        return; /* a name less in reports */
    }
    for (size_t i = 0; i < bytes; i++) {
        copy[i] = name[i] > 0x20 && name[i] < 0x7f ? name[i] : '?';
    }
    copy[bytes] = '\0';
    job->names[index] = copy;
}

/* The name a programmer knows for a symbol of the ELF. */
static const char *plain_name(const struct job *job, const char *name)
{
    static const char *const api[][2] = {
#define NK_CALL(number, call, signature, doc) {"Z_nkZ_" #call, "nk." #call},
#include "abi/nk_calls.def"
#undef NK_CALL
    };
    char *end = NULL;
    unsigned long index;

    for (size_t i = 0; i < sizeof(api) / sizeof(api[0]); i++) {
        if (strcmp(name, api[i][0]) == 0) {
            return api[i][1];
        }
    }
    if (strncmp(name, "w2c_f", 5) == 0 && isdigit((unsigned char)name[5])) {
        index = strtoul(name + 5, &end, 10); /* gcc may have put .cold or .part.0 behind */
        if ((*end == '\0' || *end == '.') && index < job->name_count && job->names[index] != NULL) {
            return job->names[index];
        }
    }
    return strncmp(name, "w2c_", 4) == 0 ? name + 4 : name;
}

static sf_status fill_symbols(struct job *job)
{
    const size_t count = job->native.symbol_count;
    Sf__Image__Symbol *symbols = calloc(count + 1, sizeof(*symbols));
    Sf__Image__Symbol **list = calloc(count + 1, sizeof(*list));

    job->name_count = job->facts.import_count + job->facts.function_count;
    job->names = calloc(job->name_count + 1u, sizeof(*job->names));
    if (symbols == NULL || list == NULL || job->names == NULL) {
        free(symbols);
        free(list);
        return sipc_fail(SF_NOMEM, "no memory left");
    }
    wasm_function_names(job->wasm, job->wasm_bytes, keep_name, job);
    for (size_t i = 0; i < count; i++) {
        const struct native_symbol *symbol = &job->native.symbols[i];
        sf__image__symbol__init(&symbols[i]);
        symbols[i].offset = symbol->address - job->base_address;
        symbols[i].bytes = symbol->bytes;
        symbols[i].name = (char *)(uintptr_t)plain_name(job, symbol->name);
        list[i] = &symbols[i];
    }
    job->manifest.symbols = list;
    job->manifest.n_symbols = count;
    list[count] = symbols; /* behind the end: where free_symbols finds the array */
    return SF_OK;
}

/* The table of source lines, by the names of fill_symbols. */
static sf_status fill_lines(struct job *job)
{
    const struct lines_input input = {
        .work = &job->work,
        .options = job->options,
        .wasm = job->wasm,
        .wasm_bytes = job->wasm_bytes,
        .base_address = job->base_address,
        .names = job->names,
        .name_count = job->name_count,
    };
    char path[WORK_PATH_MAX];
    sf_status st =
        file_write(work_path(&job->work, "linked.wasm", path), job->wasm, job->wasm_bytes);

    if (st == SF_OK) {
        st = lines_make(&input, &job->lines);
    }
    job->manifest.lines = &job->lines;
    return st;
}

static void free_symbols(struct job *job)
{
    if (job->manifest.symbols != NULL) {
        free(job->manifest.symbols[job->manifest.n_symbols]);
        free(job->manifest.symbols);
    }
    for (uint32_t i = 0; i < job->name_count && job->names != NULL; i++) {
        free(job->names[i]);
    }
    free(job->names);
}

static sf_status stage_image(struct job *job)
{
    struct image *image = NULL;
    uint8_t *bytes = NULL;
    size_t length = 0;
    char text[512] = "";
    sf_status st = fill_symbols(job);

    if (st == SF_OK) {
        st = job->source.mode == IMAGE_NATIVE ? SF_OK : fill_lines(job);
    }
    if (st != SF_OK) {
        return st;
    }
    st = image_seal(&job->manifest, job->native.elf, job->native.elf_bytes, &bytes, &length);
    if (st != SF_OK) {
        return sipc_fail(st, "the image is larger than %u bytes", IMAGE_BYTES_MAX);
    }
    if (job->options->key != NULL) {
        st = keys_sign(&bytes, &length, job->options->key);
        if (st != SF_OK) {
            free(bytes);
            return st;
        }
    }
    st = image_open(bytes, length, &image, text, sizeof(text));
    if (st != SF_OK) {
        st = sipc_fail(st, "the image that was built breaks rule %s", text);
    } else {
        st = file_write(job->options->out, bytes, length);
    }
    image_close(image);
    free(bytes);
    return st;
}

static sf_status run_stages(struct job *job)
{
    static sf_status (*const stages[])(struct job *) = {
        stage_manifest, stage_protocols, stage_module, stage_verify, stage_check, plan_memory,
    };
    sf_status st;

    for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
        st = stages[i](job);
        if (st != SF_OK) {
            return st;
        }
    }
    fill_manifest(job);
    st = protocols_fill(&job->protocols, &job->source, &job->manifest);
    if (st == SF_OK) {
        st = choose_place(job);
    }
    if (st == SF_OK && job->source.mode == IMAGE_NATIVE) {
        st = stage_native(job);
    } else if (st == SF_OK) {
        st = stage_wasm2c(job);
        st = st == SF_OK ? stage_gcc(job) : st;
    }
    if (st == SF_OK) {
        st = stage_image(job);
    }
    return st;
}

/* `sipc check`: the first stages only. */
static sf_status run_check(struct job *job)
{
    static sf_status (*const stages[])(struct job *) = {
        stage_manifest, stage_protocols, stage_module, stage_verify, stage_check,
    };
    sf_status st = SF_OK;

    for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]) && st == SF_OK; i++) {
        st = stages[i](job);
    }
    return st;
}

sf_status build(const struct build_options *options)
{
    struct job *job = calloc(1, sizeof(*job));
    sf_status st;

    if (job == NULL) {
        return sipc_fail(SF_NOMEM, "no memory left");
    }
    job->options = options;
    st = work_open(&job->work, options->keep, options->verbose);
    if (st == SF_OK) {
        st = options->check_only ? run_check(job) : run_stages(job);
    }
    work_close(&job->work);
    free_symbols(job);
    lines_fini(&job->lines);
    protocols_fini(&job->protocols);
    native_fini(&job->native);
    free(job->linked);
    free(job->module);
    free(job->wasm);
    free(job);
    return st;
}
