/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_report.h - what the static check found, for people: lines of source, the way to an error,
 * the summary. Private to sipc.
 *
 * Lines come from the module's line tables (clang -gline-tables-only) by llvm-symbolizer. Without
 * that program or those tables, functions and offsets stand for them.
 */
#ifndef SIPC_FLOW_REPORT_H
#define SIPC_FLOW_REPORT_H

#include <stdio.h>

#include "base/status.h"
#include "flow.h"

struct flow_report {
    const char *module; /* path of the module, with its line tables */
    const char *shown;  /* what to call it */
    FILE *stream;       /* for all but errors */
    bool all;           /* list every operation, not only what is wrong */
    bool strict;        /* what is left to the monitor is an error too */
};

/*
 * Errors go to stderr. OK; CONTRACT: something is refuted, or left under
 * strict.
 */
SF_MUST_CHECK sf_status flow_report(const struct flow_result *result,
                                    const struct flow_report *report);

#endif
