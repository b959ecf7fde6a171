/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry.h - what images and kernel services export and import, read from the source of truth:
 * an image's manifest (after image_open has checked every rule), a service's compiled contract.
 *
 * Threads: one. Untrusted: image bytes.
 */
#ifndef ORCH_REGISTRY_H
#define ORCH_REGISTRY_H

#include "image/trust.h"
#include "world.h"

/* Fills world->services. FORMAT: a standard contract does not decode (a broken build). */
SF_MUST_CHECK sf_status registry_services(struct world *world);

/*
 * Checks an image, and that it is named and signed as it must be, and keeps a copy. OK also if it
 * is there already. TRUST, FORMAT, LIMIT: text has the rule that was broken. BADARG: the digest is
 * not of 32 bytes, or there is no name. NOMEM.
 */
SF_MUST_CHECK sf_status registry_image_put(struct world *world, const struct image_trust *trust,
                                           const Sf__Control__ImagePut *put, char *text,
                                           size_t text_capacity);

#endif
