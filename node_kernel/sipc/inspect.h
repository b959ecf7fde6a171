/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inspect.h - `sipc inspect`: an image's digest, manifest, contracts and segments on stdout.
 */
#ifndef SIPC_INSPECT_H
#define SIPC_INSPECT_H

#include <stdbool.h>

#include "base/status.h"
#include "image/trust.h"

/* Prints the error itself. A broken image is not shown, only the rule. */
SF_MUST_CHECK sf_status inspect(const char *path, bool json, const struct image_trust *trust);

#endif
