/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest.h - the manifest source (YAML): docs/formats.md, "Manifest source". Private to sipc.
 *
 * Errors: FORMAT with "file:line: error: ..." on stderr. Unknown keys are errors.
 */
#ifndef SIPC_MANIFEST_H
#define SIPC_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "image/image.h"

#define MANIFEST_PORTS_MAX 64u
#define MANIFEST_NAME_MAX 32u     /* with the terminating zero */
#define MANIFEST_CONTRACT_MAX 64u /* likewise */

struct manifest_port {
    char name[MANIFEST_NAME_MAX];
    char contract[MANIFEST_CONTRACT_MAX];
    size_t line;
};

struct manifest_source {
    char name[MANIFEST_NAME_MAX];
    struct manifest_port imports[MANIFEST_PORTS_MAX];
    size_t import_count;
    struct manifest_port exports[MANIFEST_PORTS_MAX];
    size_t export_count;
    uint64_t memory_bytes;    /* 0: not said */
    uint64_t block_bytes_max; /* 0: not said */
    uint8_t mode;             /* enum image_mode */
    bool large;               /* slot class */
    bool strict_blocks;       /* every block has pages of its own */
    uint32_t cpu_percent;     /* 0: not said */
    uint32_t cpu_ms_max;      /* 0: no limit */
    uint32_t slice_ms_max;    /* 0: no limit */
    uint32_t violation_faults;
    bool stays; /* it is not moved to another node */
};

SF_MUST_CHECK sf_status manifest_read(const char *path, struct manifest_source *out_manifest);

#endif
