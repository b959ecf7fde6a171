/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build.h - `sipc build`: from C or WebAssembly to a sealed image.
 *
 * Stages, each a function in build.c; the first that fails ends the build with its message:
 * manifest and contracts -> clang -> verifier -> strip -> wasm-validate -> static check (flow.h) ->
 * wasm2c -> gcc -> ELF check -> manifest -> signature -> image_open of the result. The output file
 * appears only on success. Mode native goes from the static check straight to gcc (native_mode.h).
 */
#ifndef SIPC_BUILD_H
#define SIPC_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define BUILD_LIST_MAX 128u

struct build_list {
    const char *items[BUILD_LIST_MAX];
    size_t count;
};

struct build_options {
    struct build_list sources;   /* *.c, or one *.wasm */
    struct build_list contracts; /* files or folders */
    struct build_list includes;
    struct build_list defines;
    const char *out;
    const char *manifest; /* NULL: no imports, no exports */
    const char *key;      /* file of the secret key to sign with; NULL: the image is not signed */
    const char *keep;     /* NULL, or the folder for what the stages write */
    int64_t place;        /* -1: from the hash */
    const char *mode;     /* NULL: the manifest's */
    bool verbose;
    bool strict;     /* operations left to the monitor are errors */
    bool for_others; /* also what is not for C */
    bool check_only; /* ends after the static check; no output file */
};

SF_MUST_CHECK sf_status build(const struct build_options *options);

#endif
