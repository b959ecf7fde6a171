/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "port.h"

/* A multiple of what a cache line is anywhere. */
#define ALIGNMENT_BYTES 128u

static void slab_fini(const struct rdma_port *port, struct rdma_slab *slab)
{
    if (slab->mr != NULL) {
        (void)port->verbs->dereg_mr(slab->mr);
    }
    if (slab->memory != NULL) {
        (void)munmap(slab->memory, slab->bytes);
    }
    free(slab->frames);
    memset(slab, 0, sizeof(*slab));
}

static sf_status slab_init(struct rdma_port *port, struct rdma_slab *slab, uint32_t count)
{
    void *memory;

    slab->bytes = (size_t)count * port->pool.stride;
    slab->frames = calloc(count, sizeof(*slab->frames));
    memory = mmap(NULL, slab->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    slab->memory = memory != MAP_FAILED ? memory : NULL;
    if (slab->frames == NULL || slab->memory == NULL) {
        slab_fini(port, slab);
        return SF_NOMEM;
    }
    slab->mr = port->verbs->reg_mr(port->pd, slab->memory, slab->bytes, IBV_ACCESS_LOCAL_WRITE);
    if (slab->mr == NULL) {
        int error = errno;

        (void)snprintf(port->text, sizeof(port->text),
                       "rdma: the device does not take %zu bytes of memory: %s%s", slab->bytes,
                       strerror(error),
                       error == ENOMEM ? " (see the limit of locked memory, ulimit -l)" : "");
        slab_fini(port, slab);
        return SF_IO;
    }
    slab->count = count;
    return SF_OK;
}

sf_status rdma__pool_grow(struct rdma_port *port, uint32_t count)
{
    struct rdma_pool *pool = &port->pool;
    struct rdma_frame **list;
    struct rdma_slab *slab;
    sf_status st;

    assert(pool->slab_count < sizeof(pool->slabs) / sizeof(pool->slabs[0]));
    pool->stride = (pool->frame_bytes + RDMA_TRAILER_BYTES + ALIGNMENT_BYTES - 1) /
                   ALIGNMENT_BYTES * ALIGNMENT_BYTES;
    list = realloc(pool->free, (pool->frame_count + count) * sizeof(struct rdma_frame *));
    if (list == NULL) {
        return SF_NOMEM;
    }
    pool->free = list;
    slab = &pool->slabs[pool->slab_count];
    st = slab_init(port, slab, count);
    if (st != SF_OK) {
        return st;
    }
    for (uint32_t i = 0; i < count; i++) {
        slab->frames[i].buffer = (uint8_t *)slab->memory + (size_t)i * pool->stride;
        slab->frames[i].lkey = slab->mr->lkey;
        pool->free[pool->free_count++] = &slab->frames[i];
    }
    pool->slab_count++;
    pool->frame_count += count;
    return SF_OK;
}

void rdma__pool_fini(struct rdma_port *port)
{
    struct rdma_pool *pool = &port->pool;

    for (uint32_t i = 0; i < pool->slab_count; i++) {
        slab_fini(port, &pool->slabs[i]);
    }
    free(pool->free);
    memset(pool, 0, sizeof(*pool));
}

static struct rdma_frame *take(struct rdma_pool *pool, enum rdma_place place)
{
    struct rdma_frame *frame;

    assert(pool->free_count > 0);
    frame = pool->free[--pool->free_count];
    assert(frame->place == RDMA_FREE);
    frame->place = (uint8_t)place;
    return frame;
}

struct rdma_frame *rdma__frame_take(struct rdma_port *port, enum rdma_place place)
{
    struct rdma_pool *pool = &port->pool;

    return pool->free_count > pool->reserved ? take(pool, place) : NULL;
}

struct rdma_frame *rdma__frame_take_reserved(struct rdma_port *port)
{
    assert(port->pool.reserved > 0);
    port->pool.reserved--;
    return take(&port->pool, RDMA_POSTED);
}

void rdma__frame_give(struct rdma_port *port, struct rdma_frame *frame)
{
    struct rdma_pool *pool = &port->pool;

    if (frame == NULL) {
        return;
    }
    assert(frame->place != RDMA_FREE);
    assert(pool->free_count < pool->frame_count);
    frame->place = RDMA_FREE;
    pool->free[pool->free_count++] = frame;
}
