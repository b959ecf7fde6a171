/* SPDX-License-Identifier: Apache-2.0 */
/* rte_intr_fd_get is new in this version of DPDK. */
#define ALLOW_EXPERIMENTAL_API
#include "wait.h"

#include <string.h>
#include <unistd.h>

#include <linux/membarrier.h>
#include <sys/syscall.h>

/* A ring, by the memif protocol; client's to the server first, the other one behind it. */
#define RING_COOKIE 0x3e31f20u
#define RING_FLAG_MASK_INTERRUPT 1u
#define RING_HEAD_BYTES 128u
#define RING_SLOT_BYTES 16u

struct ring {
    uint32_t cookie;
    uint16_t flags;
    uint16_t head;
    uint8_t line[56];
    uint16_t tail;
};

static bool registered;

void wait_register(void)
{
    registered = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
}

/* The ring we receive from; NULL: not to be found. All of the client's come first. */
static struct ring *ring_find(const struct dpdk_port *port, const struct dpdk_queue *queue)
{
    size_t ring_bytes = RING_HEAD_BYTES + RING_SLOT_BYTES * (size_t)port->ring_frames;
    size_t offset = (queue->index + (port->server ? 0u : port->queue_count)) * ring_bytes;
    struct ring *ring;

    if (!port->running || !port->up || port->intr.shared == NULL ||
        port->intr.shared_bytes < 2 * port->queue_count * ring_bytes) {
        return NULL;
    }
    ring = (struct ring *)(void *)((uint8_t *)port->intr.shared + offset);
    return ring->cookie == RING_COOKIE ? ring : NULL;
}

/*
 * The sender moves head in the client's ring and tail in the server's; the receiver moves the other
 * one: to where it has read to, or a whole ring ahead of that.
 */
static bool ring_is_empty(const struct dpdk_port *port, const struct ring *ring)
{
    uint16_t head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
    uint16_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
    uint16_t ahead = port->server ? 0 : (uint16_t)port->ring_frames;

    return (uint16_t)(head - ahead) == tail;
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
static int queue_wait(const struct dpdk_port *port, const struct dpdk_queue *queue, bool arm)
{
    struct ring *ring = ring_find(port, queue);
    int fd;

    if (ring == NULL || !registered || queue->rx_interrupt == NULL || port->closed) {
        return LINK_WAIT_BLIND;
    }
    fd = rte_intr_fd_get(queue->rx_interrupt);
    if (fd < 0) {
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
    if (!ring_is_empty(port, ring)) {
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
