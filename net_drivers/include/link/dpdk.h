/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dpdk.h - what has to be done once per process before any DPDK link is opened.
 *
 * Threads: call from the thread that will open the links; it becomes the main lcore. It keeps its
 * name, signal mask, handlers and processors. EAL's own threads run with signals blocked. Others
 * that use queues of shared links may say so; it makes taking and giving back frames cheaper for
 * them. Address space: EAL reserves ranges from 4 GiB upwards, below 1 TiB.
 */
#ifndef LINK_DPDK_H
#define LINK_DPDK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

#define LINK_DPDK_PCI_MAX 8

struct link_dpdk_options {
    bool hugepages;      /* false: ordinary memory, works for any user, but not for PCI devices */
    uint32_t memory_mib; /* 0: 64 without hugepages; with them, what is needed when it is */
    const char *file_prefix; /* keeps processes of one machine apart; NULL: from the pid */
    /* PCI addresses to probe, at most LINK_DPDK_PCI_MAX with spaces between, e.g. "0000:00:03.0";
     * NULL: no PCI at all */
    const char *pci_allow;
};

/*
 * Starts EAL. Once per process. IO: *out_text says what DPDK answered and what to look at
 * (hugepages, driver binding, CPU flags).
 */
SF_MUST_CHECK sf_status link_dpdk_start(const struct link_dpdk_options *options,
                                        const char **out_text);
/* From and to here, this thread uses queues of links. Any thread but the main one; at most some 100
 * at a time get what it is good for, and nothing is lost for the others. */
void link_dpdk_thread_begin(void);
void link_dpdk_thread_end(void);
/* After the last link's fini. DPDK cannot be started again in this process. */
void link_dpdk_stop(void);

#endif
