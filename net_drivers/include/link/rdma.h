/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rdma.h - soft-RoCE, soft-iWARP: an RDMA device made of a network interface.
 *
 * Why: so that a machine without an RDMA card has links of the rdma driver. The kernel module
 * (rdma_rxe, siw) must be loaded; the device stays until the interface or the machine goes.
 * Threads: any. Needs CAP_NET_ADMIN.
 */
#ifndef LINK_RDMA_H
#define LINK_RDMA_H

#include <stddef.h>

#include "base/status.h"

enum link_rdma_soft { LINK_RDMA_SOFT_RXE, LINK_RDMA_SOFT_SIW }; /* RoCE v2, iWARP */

/*
 * Makes the device name (e.g. "rxe0") on that interface. EXISTS: there is one of that name, or on
 * that interface. BADARG: a name is too long. IO: text says what the kernel answered.
 */
SF_MUST_CHECK sf_status link_rdma_soft_add(enum link_rdma_soft kind, const char *name,
                                           const char *interface, char *text, size_t text_capacity);

#endif
