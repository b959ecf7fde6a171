/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry.h - what images and kernel services export and import, read from the source of truth:
 * an image's manifest (after image_open has checked every rule), a service's compiled contract.
 *
 * Threads: one. Untrusted: image bytes.
 */
#ifndef ORCH_REGISTRY_H
#define ORCH_REGISTRY_H

#include "world.h"

/* Fills world->services. FORMAT: a standard contract does not decode (a broken build). */
SF_MUST_CHECK sf_status registry_services(struct world *world);

/*
 * Checks an image and keeps a copy. OK also if it is there already. TRUST, FORMAT, LIMIT: text has
 * the rule that was broken. BADARG: the digest is not of 32 bytes. NOMEM.
 */
SF_MUST_CHECK sf_status registry_image_put(struct world *world, const uint8_t *digest,
                                           size_t digest_bytes, const uint8_t *content,
                                           size_t length, char *text, size_t text_capacity);

#endif
