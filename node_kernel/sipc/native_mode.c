/* SPDX-License-Identifier: Apache-2.0 */
#include "native_mode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/nk_abi.h"
#include "image/image.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* The fastest plain code that gcc makes of a SIP: no frame pointers, no stack probes. */
static const char *const compiling[] = {
    "gcc",
    "-r", /* all files of a run as one object */
    "-std=gnu11",
    "-O3",
    "-fpie",
    "-include",
    "rt/hidden.h", /* no symbol is reached through a table */
    "-ffunction-sections",
    "-fdata-sections",
    "-ffreestanding",
    "-fbuiltin", /* but memcpy of a few bytes is a move */
    "-fno-math-errno",
    "-ffp-contract=off",
    "-march=x86-64",
    "-msse4.1", /* and popcnt, as for sealed images */
    "-mpopcnt",
    "-fno-stack-protector",
    "-fcf-protection=none",
    "-fno-asynchronous-unwind-tables",
    "-fno-ident",
    "-nostdlib",
    "-w", /* clang has warned about this source before */
    "-Isdk",
    "-Icontracts",
#ifdef NK_SANITIZED_MAP
    "-DNK_SANITIZED_MAP",
#endif
};

static const char *const linking[] = {
    "gcc",
    "-nostdlib",
    "-static",
    "-no-pie",
    "-Wl,-T,rt/native.ld",
    "-Wl,--emit-relocs",
    "-Wl,--gc-sections",
    "-Wl,--build-id=none",
    "-Wl,--fatal-warnings",
    "-Wl,-z,noexecstack",
    "-Wl,-z,norelro",
    "-Wl,-z,max-page-size=4096",
    "sources.o",
    "stub.o",
    "libsip/native.o",
    "-o",
    "module.elf",
};

/* A path given on the command line is meant from where sipc runs; gcc runs in the work folder, so
 * that nothing of that folder's name gets into the code. */
static void absolute(const char *path, char buffer[WORK_PATH_MAX])
{
    char *real = realpath(path, NULL);

    (void)snprintf(buffer, WORK_PATH_MAX, "%s", real != NULL ? real : path);
    free(real);
}

static sf_status compile_sources(const struct work *work, const struct build_options *options)
{
    static char paths[2 * BUILD_LIST_MAX][WORK_PATH_MAX];
    static char maps[BUILD_LIST_MAX][WORK_PATH_MAX + 32];
    struct work_args args = {0};
    size_t used = 0;

    for (size_t i = 0; i < COUNT(compiling); i++) {
        work_arg(&args, compiling[i]);
    }
    for (size_t i = 0; i < options->defines.count; i++) {
        work_arg(&args, "-D");
        work_arg(&args, options->defines.items[i]);
    }
    for (size_t i = 0; i < options->includes.count; i++) {
        absolute(options->includes.items[i], paths[used]);
        work_arg(&args, "-I");
        work_arg(&args, paths[used++]);
    }
    for (size_t i = 0; i < options->sources.count; i++) {
        const char *slash;

        absolute(options->sources.items[i], paths[used]);
        slash = strrchr(paths[used], '/');
        if (slash != NULL) {
            (void)snprintf(maps[i], sizeof(maps[i]),
                           "-fmacro-prefix-map=%.*s=", (int)(slash + 1 - paths[used]), paths[used]);
            work_arg(&args, maps[i]);
        }
        work_arg(&args, paths[used++]);
    }
    work_arg(&args, "-o");
    work_arg(&args, "sources.o");
    return work_run(work, work->folder, &args);
}

/* What depends on the image; libsip is ready-made (meson.build, with the options above). */
static sf_status compile_stub(const struct work *work, uint32_t pages)
{
    static const char *const rest[] = {
        "-fno-tree-loop-distribute-patterns", "-Irt", "rt/sip_native.c", "-o", "stub.o",
    };
    struct work_args args = {0};
    char number[64];

    for (size_t i = 0; i < COUNT(compiling); i++) {
        work_arg(&args, compiling[i]);
    }
    (void)snprintf(number, sizeof(number), "-DSF_PAGES=%uu", pages);
    work_arg(&args, number);
    for (size_t i = 0; i < COUNT(rest); i++) {
        work_arg(&args, rest[i]);
    }
    return work_run(work, work->folder, &args);
}

static sf_status link_all(const struct work *work, uint64_t base_address)
{
    struct work_args args = {0};
    char places[2][64];

    for (size_t i = 0; i < COUNT(linking); i++) {
        work_arg(&args, linking[i]);
    }
    (void)snprintf(places[0], 64, "-Wl,--defsym=sf_base=0x%llx", (unsigned long long)base_address);
    (void)snprintf(places[1], 64, "-Wl,--defsym=sf_data=0x%llx",
                   (unsigned long long)NK_NATIVE_DATA_LINKED(base_address));
    work_arg(&args, places[0]);
    work_arg(&args, places[1]);
    return work_run(work, work->folder, &args);
}

sf_status native_compile(const struct work *work, const struct build_options *options,
                         uint64_t base_address, uint32_t pages, uint8_t **out_bytes,
                         size_t *out_length)
{
    char path[WORK_PATH_MAX];
    sf_status st = compile_sources(work, options);

    if (st == SF_OK) {
        st = compile_stub(work, pages);
    }
    if (st == SF_OK) {
        st = link_all(work, base_address);
    }
    if (st == SF_OK) {
        st = file_read(work_path(work, "module.elf", path), IMAGE_BYTES_MAX, out_bytes, out_length);
    }
    return st;
}
