/* SPDX-License-Identifier: Apache-2.0 */
/* rte_intr_fd_get is new in this version of DPDK. */
#define ALLOW_EXPERIMENTAL_API
#include "wait.h"
#include "memif.h"

#include <string.h>
#include <unistd.h>

#include <linux/membarrier.h>
#include <sys/syscall.h>

static bool registered;

void wait_register(void)
{
    registered = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
}

static void disarm(const struct dpdk_queue *queue, struct ring *ring)
{
    uint64_t count;

    __atomic_store_n(&ring->flags, (uint16_t)RING_FLAG_MASK_INTERRUPT, __ATOMIC_RELAXED);
    /* DPDK made it so that this does not block. */
    if (read(rte_intr_fd_get(queue->rx_interrupt), &count, sizeof(count)) < 0) {
        return; /* nobody rang */
    }
}

/* Of a queue that was entered. */
static int queue_wait(const struct dpdk_port *port, struct dpdk_queue *queue, bool arm)
{
    struct ring *ring = queue->in.ring;
    int fd;

    if (!port->up || ring == NULL || !registered || queue->rx_interrupt == NULL || port->closed) {
        return LINK_WAIT_BLIND;
    }
    fd = rte_intr_fd_get(queue->rx_interrupt);
    if (fd < 0 || !memif__slots_return(queue)) {
        return LINK_WAIT_BLIND;
    }
    if (!arm) {
        disarm(queue, ring);
        return LINK_WAIT_BLIND;
    }
    __atomic_store_n(&ring->flags, (uint16_t)0, __ATOMIC_RELAXED);
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) != 0) {
        disarm(queue, ring);
        return LINK_WAIT_BLIND;
    }
    if (!ring_is_empty(&queue->in)) {
        disarm(queue, ring);
        return LINK_WAIT_NOT;
    }
    return fd;
}

/* If the control side holds the queue, what was armed may stay so: the sender rings in vain. */
int wait_memif_fd(struct link *link, uint16_t queue, bool arm)
{
    const struct dpdk_port *port = link->impl;
    struct dpdk_queue *q = &port->queues[queue];
    int fd = LINK_WAIT_BLIND;

    if (dpdk__queue_enter(port, q)) {
        fd = queue_wait(port, q, arm);
        dpdk__queue_leave(port, q);
    }
    return fd;
}
