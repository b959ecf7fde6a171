/* SPDX-License-Identifier: Apache-2.0 */
#include "reports_main.h"

#include <stdlib.h>
#include <string.h>

#include "contracts/reports.h"

enum { EXIT_FINE = 0, EXIT_ERRORS = 1, EXIT_STATES = 3, EXIT_INCOMPATIBLE = 4 };

static bool check(struct ctc *ctc, bool quiet)
{
    sf_status st = ctc_check(ctc);

    if (st != SF_OK || !quiet) {
        ctc_print(ctc, stderr);
    }
    return st == SF_OK;
}

static bool print(char *text)
{
    bool written = fputs(text, stdout) >= 0 && fflush(stdout) == 0;

    free(text);
    return written;
}

bool reports_format(const char *word, enum ctc_format *out_format)
{
    *out_format = word != NULL && strcmp(word, "json") == 0 ? CTC_FORMAT_JSON : CTC_FORMAT_TEXT;
    return word == NULL || strcmp(word, "json") == 0 || strcmp(word, "table") == 0;
}

int reports_bounds(struct ctc *ctc, enum ctc_format format, bool quiet)
{
    if (!check(ctc, quiet)) {
        return EXIT_ERRORS;
    }
    return print(ctc_bounds(ctc, format)) ? EXIT_FINE : EXIT_ERRORS;
}

int reports_compat(struct ctc *old, struct ctc *new, enum ctc_format format, bool quiet)
{
    enum ctc_compatible worst = CTC_COMPATIBLE_YES;
    bool fine = check(old, quiet);

    if (!check(new, quiet) || !fine) {
        return EXIT_ERRORS;
    }
    if (!print(ctc_compat(old, new, format, &worst))) {
        return EXIT_ERRORS;
    }
    return worst == CTC_COMPATIBLE_YES      ? EXIT_FINE
           : worst == CTC_COMPATIBLE_STATES ? EXIT_STATES
                                            : EXIT_INCOMPATIBLE;
}
