/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.c - two links of one process, joined by name.
 *
 * Model: a wire has a name and two sides (config.server picks one) with a bounded ring each, which
 * holds copies of frames on their way to that side. The wire lives while a side is open. Frames
 * belong to the pool of the link that lent them, so neither link outlives the other's memory.
 *
 * Threads: both links from one thread; the list of wires has no lock.
 */
#include "loop.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../pool.h"

#define LOOP_MTU_BYTES_DEFAULT 9000u
#define LOOP_MTU_BYTES_MAX 65000u
#define LOOP_RING_FRAMES 256u /* a power of two */
#define LOOP_POOL_FRAMES 512u
#define LOOP_NAME_BYTES_MAX 64u

struct loop_slot {
    uint32_t length;
    uint16_t source;
};

struct loop_ring {
    uint8_t *memory;
    struct loop_slot slots[LOOP_RING_FRAMES];
    uint32_t head, tail; /* counts since the side was opened; head is written, tail is read */
};

struct loop_wire {
    struct loop_wire *next;
    char name[LOOP_NAME_BYTES_MAX];
    uint32_t mtu_bytes;
    struct loop *sides[2];
    struct loop_ring rings[2]; /* towards side 0, towards side 1 */
};

struct loop {
    struct loop_wire *wire;
    uint8_t side;
    bool closed, up;
    uint16_t node_id, peer_id;
    struct link_pool pool;
    struct link_stats stats;
    char text[160];
};

static struct loop_wire *wires;

static void wire_destroy(struct loop_wire *wire)
{
    free(wire->rings[0].memory);
    free(wire->rings[1].memory);
    free(wire);
}

static struct loop_wire *wire_create(const char *name, uint32_t mtu_bytes)
{
    struct loop_wire *wire = calloc(1, sizeof(*wire));

    if (wire == NULL) {
        return NULL;
    }
    (void)snprintf(wire->name, sizeof(wire->name), "%s", name);
    wire->mtu_bytes = mtu_bytes;
    for (int i = 0; i < 2; i++) {
        wire->rings[i].memory = calloc(LOOP_RING_FRAMES, mtu_bytes);
        if (wire->rings[i].memory == NULL) {
            wire_destroy(wire);
            return NULL;
        }
    }
    wire->next = wires;
    wires = wire;
    return wire;
}

static struct loop_wire *wire_find(const char *name)
{
    for (struct loop_wire *wire = wires; wire != NULL; wire = wire->next) {
        if (strcmp(wire->name, name) == 0) {
            return wire;
        }
    }
    return NULL;
}

static void wire_leave(struct loop *loop)
{
    struct loop_wire *wire = loop->wire;

    loop->wire = NULL;
    if (wire == NULL) {
        return;
    }
    wire->sides[loop->side] = NULL;
    if (wire->sides[0] != NULL || wire->sides[1] != NULL) {
        return;
    }
    for (struct loop_wire **at = &wires; *at != NULL; at = &(*at)->next) {
        if (*at == wire) {
            *at = wire->next;
            break;
        }
    }
    wire_destroy(wire);
}

static sf_status wire_join(struct loop *loop, const char *name, uint32_t mtu_bytes)
{
    struct loop_wire *wire = wire_find(name);

    if (wire == NULL) {
        wire = wire_create(name, mtu_bytes);
        if (wire == NULL) {
            return SF_NOMEM;
        }
    } else if (wire->sides[loop->side] != NULL) {
        (void)snprintf(loop->text, sizeof(loop->text), "loop %s: that side is open already", name);
        return SF_EXISTS;
    } else if (wire->mtu_bytes != mtu_bytes) {
        (void)snprintf(loop->text, sizeof(loop->text), "loop %s: the other side has mtu %u", name,
                       wire->mtu_bytes);
        return SF_BADARG;
    }
    wire->sides[loop->side] = loop;
    wire->rings[loop->side].head = 0;
    wire->rings[loop->side].tail = 0;
    loop->wire = wire;
    return SF_OK;
}

static sf_status loop_open(struct link *link, const struct link_config *config,
                           const char **out_text)
{
    uint32_t mtu_bytes = config->mtu_bytes != 0 ? config->mtu_bytes : LOOP_MTU_BYTES_DEFAULT;
    struct loop *loop;
    sf_status st;

    if (config->device == NULL || config->device[0] == '\0' ||
        strlen(config->device) >= LOOP_NAME_BYTES_MAX) {
        *out_text = "loop: the device is the name of a wire, 1 to 63 bytes";
        return SF_BADARG;
    }
    if (mtu_bytes > LOOP_MTU_BYTES_MAX || config->node_id == LINK_PEER_UNKNOWN) {
        *out_text = "loop: mtu at most 65000, node id not 0";
        return SF_BADARG;
    }
    loop = calloc(1, sizeof(*loop));
    if (loop == NULL) {
        *out_text = "loop: no memory";
        return SF_NOMEM;
    }
    link->impl = loop;
    loop->side = config->server ? 0 : 1;
    loop->node_id = config->node_id;
    st = link_pool_init(&loop->pool, LOOP_POOL_FRAMES, mtu_bytes);
    if (st == SF_OK) {
        st = wire_join(loop, config->device, mtu_bytes);
    }
    if (st != SF_OK) {
        *out_text = loop->text[0] != '\0' ? loop->text : "loop: no memory";
    }
    return st;
}

static sf_status loop_peer_add(struct link *link, const struct link_peer *peer)
{
    struct loop *loop = link->impl;

    if (peer->node_id == LINK_PEER_UNKNOWN || peer->node_id == loop->node_id) {
        return SF_BADARG;
    }
    if (loop->peer_id != LINK_PEER_UNKNOWN) {
        return loop->peer_id == peer->node_id ? SF_EXISTS : SF_LIMIT;
    }
    loop->peer_id = peer->node_id;
    return SF_OK;
}

static void loop_peer_remove(struct link *link, uint16_t node_id)
{
    struct loop *loop = link->impl;

    if (loop->peer_id == node_id) {
        loop->peer_id = LINK_PEER_UNKNOWN;
    }
}

static bool side_live(const struct loop *loop)
{
    return loop != NULL && !loop->closed;
}

static bool loop_is_up(struct link *link)
{
    struct loop *loop = link->impl;

    bool up = loop->wire != NULL && side_live(loop) && side_live(loop->wire->sides[1 - loop->side]);

    loop->stats.up_events += up && !loop->up;
    loop->stats.down_events += !up && loop->up;
    loop->up = up;
    return up;
}

static void loop_close(struct link *link)
{
    struct loop *loop = link->impl;

    loop->closed = true;
}

static void loop_stop(struct link *link)
{
    wire_leave(link->impl);
}

static void loop_fini(struct link *link)
{
    struct loop *loop = link->impl;

    if (loop == NULL) {
        return;
    }
    wire_leave(loop);
    link_pool_fini(&loop->pool);
    free(loop);
    link->impl = NULL;
}

static void loop_query(const struct link *link, struct link_caps *out_caps)
{
    const struct loop *loop = link->impl;

    *out_caps = (struct link_caps){
        .mtu_bytes = loop->pool.bytes,
        .burst_max = LINK_BURST_MAX,
        .many_peers = false,
        .holds = true,
        .queues = 1,
    };
}

static void loop_stats(const struct link *link, struct link_stats *out_stats)
{
    *out_stats = ((const struct loop *)link->impl)->stats;
}

static uint16_t loop_frame_alloc(struct link *link, struct link_frame frames[], uint16_t count)
{
    return link_pool_take(&((struct loop *)link->impl)->pool, frames, count);
}

static void loop_frame_free(struct link *link, struct link_frame frames[], uint16_t count)
{
    link_pool_give(&((struct loop *)link->impl)->pool, frames, count);
}

static bool ring_put(struct loop_ring *ring, uint32_t mtu_bytes, uint16_t source,
                     const struct link_frame *frame)
{
    uint32_t index = ring->head % LOOP_RING_FRAMES;
    uint8_t *to = ring->memory + (size_t)index * mtu_bytes;

    if (ring->head - ring->tail == LOOP_RING_FRAMES) {
        return false;
    }
    memcpy(to, frame->data, frame->length);
    if (frame->tail_length != 0) {
        memcpy(to + frame->length, frame->tail, frame->tail_length);
    }
    ring->slots[index] =
        (struct loop_slot){.length = frame->length + frame->tail_length, .source = source};
    ring->head++;
    return true;
}

bool loop__inject(struct link *link, uint16_t source, const void *bytes, uint32_t length)
{
    struct link_frame frame = {.tail = bytes, .tail_length = length};
    struct loop *loop = link->impl;
    uint8_t nothing;

    assert(length <= loop->pool.bytes);
    frame.data = &nothing;
    return loop_is_up(link) &&
           ring_put(&loop->wire->rings[1 - loop->side], loop->wire->mtu_bytes, source, &frame);
}

static bool frame_fits(const struct loop *loop, const struct link_frame *frame)
{
    return frame->length <= loop->pool.bytes &&
           frame->tail_length <= loop->pool.bytes - frame->length;
}

static uint16_t loop_tx_burst(struct link *link, uint16_t queue, struct link_frame frames[],
                              uint16_t count)
{
    struct loop *loop = link->impl;
    bool up = loop_is_up(link);
    uint16_t taken;

    assert(queue == 0);
    (void)queue;
    if (loop->closed) {
        return 0;
    }
    for (taken = 0; taken < count; taken++) {
        struct link_frame *frame = &frames[taken];

        if (!frame_fits(loop, frame)) {
            break;
        }
        if (!up || frame->peer == LINK_PEER_UNKNOWN || frame->peer != loop->peer_id) {
            loop->stats.tx_dropped++;
        } else if (ring_put(&loop->wire->rings[1 - loop->side], loop->pool.bytes, loop->node_id,
                            frame)) {
            loop->stats.tx_frames++;
            loop->stats.tx_bytes += frame->length + frame->tail_length;
        } else {
            break;
        }
    }
    link_pool_give(&loop->pool, frames, taken);
    return taken;
}

static uint16_t loop_rx_burst(struct link *link, uint16_t queue, struct link_frame frames[],
                              uint16_t count)
{
    struct loop *loop = link->impl;
    struct loop_ring *ring;
    uint16_t got = 0;

    assert(queue == 0);
    (void)queue;
    if (loop->closed || loop->wire == NULL) {
        return 0;
    }
    ring = &loop->wire->rings[loop->side];
    while (got < count && ring->tail != ring->head) {
        uint32_t index = ring->tail % LOOP_RING_FRAMES;
        const struct loop_slot *slot = &ring->slots[index];

        if (slot->source == LINK_PEER_UNKNOWN || slot->source != loop->peer_id) {
            loop->stats.rx_rejected++;
            ring->tail++;
            continue;
        }
        if (link_pool_take(&loop->pool, &frames[got], 1) == 0) {
            break;
        }
        memcpy(frames[got].data, ring->memory + (size_t)index * loop->pool.bytes, slot->length);
        frames[got].length = slot->length;
        frames[got].peer = slot->source;
        loop->stats.rx_frames++;
        loop->stats.rx_bytes += slot->length;
        ring->tail++;
        got++;
    }
    return got;
}

const struct link_ops link_loop_ops = {
    .name = "loop",
    .open = loop_open,
    .peer_add = loop_peer_add,
    .peer_remove = loop_peer_remove,
    .is_up = loop_is_up,
    .close = loop_close,
    .stop = loop_stop,
    .fini = loop_fini,
    .query = loop_query,
    .stats = loop_stats,
    .frame_alloc = loop_frame_alloc,
    .frame_free = loop_frame_free,
    .tx_burst = loop_tx_burst,
    .rx_burst = loop_rx_burst,
};
