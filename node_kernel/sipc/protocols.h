/* SPDX-License-Identifier: Apache-2.0 */
/*
 * protocols.h - the contracts of a build: looked up, checked, written as headers for the C code,
 * and put into the manifest. Private to sipc.
 *
 * What goes into the image: the contracts of all ports, those given as files on the command line
 * (a SIP may make channels of its own), and all that these reach.
 *
 * Errors: printed here as file:line:col. Ownership: what the manifest gets points into `protocols`
 * and into the manifest source, and lives until protocols_fini.
 */
#ifndef SIPC_PROTOCOLS_H
#define SIPC_PROTOCOLS_H

#include "build.h"
#include "contracts/compiler.h"
#include "image.pb-c.h"
#include "manifest.h"

struct protocols {
    struct ctc *ctc;
    Sf__Image__Port *ports; /* imports, then exports */
    Sf__Image__Port **port_list;
    ProtobufCBinaryData *blobs;
};

/* Headers go to `folder`, which exists. */
SF_MUST_CHECK sf_status protocols_load(struct protocols *protocols,
                                       const struct build_options *options,
                                       const struct manifest_source *source, const char *folder);
/* After a successful load. */
SF_MUST_CHECK sf_status protocols_fill(struct protocols *protocols, struct manifest_source *source,
                                       Sf__Image__Manifest *manifest);
void protocols_fini(struct protocols *protocols);

#endif
