/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.h - what names may look like, and "did you mean" for those that do not exist.
 *
 * Threads: pure.
 */
#ifndef ORCH_NAMES_H
#define ORCH_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#define ORCH_NAME_BYTES_MAX 32u /* graphs, SIPs, nodes: [a-z][a-z0-9-]{0,31} */
#define ORCH_NAME_RULE "a name is a-z, 0-9 and -, a letter first, at most 32"
#define ORCH_PORT_NAME_BYTES_MAX 31u
#define ORCH_IMAGE_NAME_BYTES_MAX 31u

bool orch_name_ok(const char *name);

/*
 * Splits "sip.port" at its first dot into buffers of ORCH_NAME_BYTES_MAX + 1 bytes each. False if
 * it is not of that form.
 */
bool orch_port_split(const char *text, char *out_sip, char *out_port);

/*
 * What the image in a file must be named if nobody says otherwise: the file's name without folders
 * and .sip, in lower case. False: that is no image name ([a-z][a-z0-9_-]{0,30}).
 */
bool orch_image_name(const char *path, char out_name[ORCH_IMAGE_NAME_BYTES_MAX + 1]);
bool orch_image_name_ok(const char *name);

/* Collects candidates for a hint; init with {.wanted = name}. */
struct orch_hint {
    const char *wanted;
    const char *best;
    unsigned distance;
};
void orch_hint_add(struct orch_hint *hint, const char *candidate);
/* "; did you mean 'x'?", or "" if nothing is near. Returns buffer. */
const char *orch_hint_text(const struct orch_hint *hint, char *buffer, size_t capacity);

#endif
