/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust.h - whose images a cluster takes: key files, and the list as the control protocol has it.
 *
 * Why: fabricctl reads the operator's key files, fabricd keeps the list, checks images with it and
 * hands it to nodes. An empty list takes no image.
 *
 * Threads: pure but for the file. Ownership: what trust_list_fill fills points into the trust list
 * and into itself. Errors: a sentence in text.
 */
#ifndef ORCH_TRUST_H
#define ORCH_TRUST_H

#include "control.pb-c.h"
#include "image/trust.h"

/* Adds the keys of a file. IO, FORMAT, LIMIT: text has path and reason. */
SF_MUST_CHECK sf_status trust_file_read(struct image_trust *trust, const char *path, char *text,
                                        size_t text_capacity);

/* The keys as messages. */
struct trust_list {
    Sf__Control__TrustedKey keys[IMAGE_KEYS_MAX];
    Sf__Control__TrustedKey *pointers[IMAGE_KEYS_MAX];
    size_t count;
};
void trust_list_fill(struct trust_list *list, const struct image_trust *trust);

#endif
