/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files.h - the files that are built into sipc: the run-time stub, the SDK's headers and libsip.
 *
 * Why: what a SIP is made from belongs to the version of sipc, not to a folder somewhere.
 */
#ifndef SIPC_FILES_H
#define SIPC_FILES_H

#include <stddef.h>

struct sipc_file {
    const char *name; /* path below the work folder; NULL ends the list */
    const unsigned char *bytes;
    size_t length;
};

extern const struct sipc_file sipc_files[];

#endif
