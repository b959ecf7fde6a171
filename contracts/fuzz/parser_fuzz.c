/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target of the parser and the checks: any bytes end in a checked contract or in diagnostics,
 * each with a place in the text and a rule. contracts/fuzz/run.sh parser_fuzz
 */
#include <stdlib.h>
#include <string.h>

#include "contracts/compiler.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct ctc *ctc = ctc_create();
    size_t errors = 0;

    /* No folder of that name: contracts that are named but not given are not found. */
    (void)ctc_add_text(ctc, "/nonexistent/fuzz.contract", (const char *)bytes, length);
    sf_status st = ctc_check(ctc);
    for (size_t i = 0; i < ctc_diagnostic_count(ctc); i++) {
        const struct ctc_diagnostic *d = ctc_diagnostic(ctc, i);
        errors += !d->warning;
        if (d->rule == NULL || d->text[0] == 0 || d->lines == NULL || d->column == 0 ||
            d->line == 0 || d->line > length + 1) {
            abort();
        }
    }
    if ((st == SF_OK) != (ctc_error_count(ctc) == 0) || (st != SF_OK && errors == 0)) {
        abort();
    }
    ctc_destroy(ctc);
    return 0;
}
