/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intr.h - runs a port's control callbacks on the thread that uses the port.
 *
 * Why: the memif driver handles its control socket on EAL's interrupt thread. When the peer goes,
 * that thread unmaps the rings while the data thread may be reading them: a fault in the kernel.
 * It also forgets its listening socket when the port is removed. So the build redirects
 * (ld --wrap) the three functions a driver registers descriptors with. Between enter and leave,
 * registrations of this thread go to a set; all others go to EAL as usual. poll then calls what is
 * due, on the caller's thread, never at the same time as a burst.
 *
 * In the same way the set learns two things DPDK does not tell, for waiting without polling
 * (wait.h): the handle a driver gave a descriptor last, and the memory it shares with its peer.
 *
 * Threads: one a set. Limits: DPDK_INTR_MAX descriptors a set; a further one is refused.
 */
#ifndef DPDK_INTR_H
#define DPDK_INTR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_interrupts.h>

#define DPDK_INTR_MAX 8u

struct dpdk_intr {
    const struct rte_intr_handle *handle;
    rte_intr_callback_fn call;
    rte_intr_unregister_callback_fn undo; /* called after call, when it asked for it */
    void *arg;
    uint64_t serial; /* 0: free */
    int fd;
    bool calling, leaving;
};

struct dpdk_intr_set {
    struct dpdk_intr slots[DPDK_INTR_MAX];
    uint64_t serial;
    struct rte_intr_handle *handle_last; /* of rte_intr_fd_set */
    void
        *shared; /* of mmap with MAP_SHARED and a descriptor; the driver's, gone with the carrier */
    size_t shared_bytes;
    uint64_t shared_count; /* how many there have been */
};

void dpdk__intr_enter(struct dpdk_intr_set *set);
void dpdk__intr_leave(void);
uint32_t dpdk__intr_count(const struct dpdk_intr_set *set);
/* Never blocks, one system call. Answers whether a callback is due. */
bool dpdk__intr_ready(const struct dpdk_intr_set *set);
/* Never blocks. Answers whether a callback ran. Call between enter and leave. */
bool dpdk__intr_poll(struct dpdk_intr_set *set);
/* Forgets and closes all that is left. */
void dpdk__intr_clear(struct dpdk_intr_set *set);

#endif
