/* SPDX-License-Identifier: Apache-2.0 */
/* test_support.h - what the tests of contracts/ share. */
#ifndef CONTRACTS_TEST_SUPPORT_H
#define CONTRACTS_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "contracts/compiler.h"

/* Path below contracts/ in the source tree; malloced. */
static inline char *source_path(const char *below)
{
    const char *root = getenv("SIPFABRIC_SOURCE");
    char *path = NULL;

    assert_non_null(root);
    assert_true(asprintf(&path, "%s/contracts/%s", root, below) > 0);
    return path;
}

/* A whole file, malloced, with a zero after it. */
static inline char *read_all(const char *path, size_t *out_bytes)
{
    FILE *stream = fopen(path, "rb");
    char *bytes = calloc(1, 1 << 20);

    if (stream == NULL) {
        fail_msg("cannot open %s", path);
    }
    assert_non_null(bytes);
    *out_bytes = fread(bytes, 1, (1 << 20) - 1, stream);
    fclose(stream);
    return bytes;
}

/* A checked compilation of one file below contracts/; fails the test if it has errors. */
static inline struct ctc *compile_file(const char *below)
{
    struct ctc *ctc = ctc_create();
    char *path = source_path(below);

    assert_int_equal(ctc_add_file(ctc, path), SF_OK);
    free(path);
    if (ctc_check(ctc) != SF_OK) {
        ctc_print(ctc, stderr);
        fail_msg("%s does not compile", below);
    }
    return ctc;
}

static inline const struct ct_contract *table_of(const struct ctc *ctc, const char *name)
{
    const struct ctc_contract *contract = ctc_find(ctc, name);
    assert_non_null(contract);
    return ctc_table(contract);
}

#endif
