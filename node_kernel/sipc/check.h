/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h - the static check (flow.h) of a module against the contracts of a build. Private to
 * sipc.
 */
#ifndef SIPC_CHECK_H
#define SIPC_CHECK_H

#include "flow_report.h"
#include "manifest.h"
#include "protocols.h"

/* CONTRACT: an operation is refuted; printed. */
SF_MUST_CHECK sf_status check_module(const uint8_t *bytes, size_t length,
                                     const struct protocols *protocols,
                                     const struct manifest_source *source,
                                     const struct flow_report *report);

#endif
