/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sdk_export.h - `sipc sdk`: the headers and libsip that are built into sipc, and what is written
 * from contracts, in a folder, for a SIP that another compiler builds.
 */
#ifndef SIPC_SDK_EXPORT_H
#define SIPC_SDK_EXPORT_H

#include "build.h"

/* Writes into options->out, which is made if it is not there; uses options->manifest and
 * options->contracts. Files of the same names are replaced; nothing else there is touched. */
SF_MUST_CHECK sf_status sdk_export(const struct build_options *options);

#endif
