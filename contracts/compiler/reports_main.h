/* SPDX-License-Identifier: Apache-2.0 */
/* reports_main.h - the commands bounds and compat of contractc; they answer its exit code. */
#ifndef CONTRACTS_COMPILER_REPORTS_MAIN_H
#define CONTRACTS_COMPILER_REPORTS_MAIN_H

#include "contracts/reports.h"

/* "table", "json" or NULL (table). False: another word. */
bool reports_format(const char *word, enum ctc_format *out_format);
/* Both compilations have their files, and are not checked yet. */
int reports_bounds(struct ctc *ctc, enum ctc_format format, bool quiet);
int reports_compat(struct ctc *old, struct ctc *new, enum ctc_format format, bool quiet);

#endif
