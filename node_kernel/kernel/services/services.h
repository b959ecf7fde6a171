/* SPDX-License-Identifier: Apache-2.0 */
/*
 * services.h - the kernel services of this build: what a graph may name with `service:`.
 *
 * Threads: pure. A service is added by one line in services.c.
 */
#ifndef SERVICES_SERVICES_H
#define SERVICES_SERVICES_H

#include "nk.h"

extern const struct nk_service_ops nk_tcp_ops; /* tcp.c */

/* NULL if there is no service of that name. */
const struct nk_service_ops *nk_service_find(const char *name);

#endif
