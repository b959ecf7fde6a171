/* SPDX-License-Identifier: Apache-2.0 */
#include "pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

sf_status link_pool_init(struct link_pool *pool, uint32_t count, uint32_t bytes)
{
    assert(count > 0);
    assert(bytes > 0);

    pool->memory = calloc(count, bytes);
    pool->free = calloc(count, sizeof(*pool->free));
    pool->lent = calloc(count, 1);
    if (pool->memory == NULL || pool->free == NULL || pool->lent == NULL) {
        link_pool_fini(pool);
        return SF_NOMEM;
    }
    pool->count = count;
    pool->bytes = bytes;
    for (uint32_t i = 0; i < count; i++) {
        pool->free[i] = pool->memory + (size_t)(count - 1 - i) * bytes;
    }
    pool->free_count = count;
    return SF_OK;
}

void link_pool_fini(struct link_pool *pool)
{
    free(pool->memory);
    free(pool->free);
    free(pool->lent);
    memset(pool, 0, sizeof(*pool));
}

static size_t buffer_index(const struct link_pool *pool, const uint8_t *buffer)
{
    size_t offset = (size_t)(buffer - pool->memory);

    assert(buffer >= pool->memory);
    assert(offset % pool->bytes == 0);
    assert(offset / pool->bytes < pool->count);
    return offset / pool->bytes;
}

uint16_t link_pool_take(struct link_pool *pool, struct link_frame frames[], uint16_t count)
{
    uint16_t i;

    for (i = 0; i < count && pool->free_count > 0; i++) {
        uint8_t *buffer = pool->free[--pool->free_count];

        pool->lent[buffer_index(pool, buffer)] = 1;
        frames[i] = (struct link_frame){
            .data = buffer,
            .capacity = pool->bytes,
            .peer = LINK_PEER_UNKNOWN,
            .driver = buffer,
        };
    }
    return i;
}

void link_pool_give(struct link_pool *pool, struct link_frame frames[], uint16_t count)
{
    for (uint16_t i = 0; i < count; i++) {
        size_t index = buffer_index(pool, frames[i].driver);

        assert(pool->lent[index] == 1);
        pool->lent[index] = 0;
        pool->free[pool->free_count++] = frames[i].driver;
        frames[i].driver = NULL;
        frames[i].data = NULL;
    }
}
