/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batching ring in shared memory: what two processes can do that trust each other and need
 * nothing checked, counted or isolated.
 *
 * Model: one ring of RING_BYTES a direction. Records are 8 bytes of head and up to CHUNK_BYTES; a
 * longer message is several records, so that copying in and out overlap. A record never wraps: a
 * head with RECORD_SKIP sends the reader to the start.
 *
 * Ordering: `head` and `tail` count bytes since the start. The writer publishes head (release)
 * once BATCH_BYTES have been written, when told to flush, and when the ring is full; the reader
 * publishes tail after as much, and when it has read everything. So in a stream the line of each
 * counter moves between the cores once a batch and not once a message.
 *
 * Both sides spin. They are two processes; the file that they share is theirs alone.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "figures.h"
#include "peer.h"

#define RING_BYTES (1u << 20)
#define CHUNK_BYTES 32768u
#define BATCH_BYTES 4096u
#define RECORD_SKIP UINT32_MAX
#define LINE_BYTES 64

struct record {
    uint32_t size; /* of what follows, or RECORD_SKIP */
    uint32_t more; /* 1: the message goes on in the next record */
};

struct ring {
    _Alignas(LINE_BYTES) _Atomic uint64_t head;
    _Alignas(LINE_BYTES) _Atomic uint64_t tail;
    _Alignas(LINE_BYTES) uint8_t bytes[RING_BYTES];
};

struct pair {
    struct ring *out, *in;
    /* out: written up to, published up to, the reader's tail when last looked at */
    uint64_t head, head_published, tail_seen;
    /* in: the same, the other way round */
    uint64_t tail, tail_published, head_seen;
};

static void *pair_open(const struct peer_setup *setup)
{
    int file = open(setup->address, setup->server ? O_RDWR | O_CREAT | O_EXCL : O_RDWR, 0600);
    struct pair *pair = calloc(1, sizeof(*pair));
    struct ring *rings;

    if (file < 0 || pair == NULL ||
        (setup->server && ftruncate(file, 2 * (off_t)sizeof(*rings)) != 0)) {
        figures_die("%s: cannot be made or opened", setup->address);
    }
    rings =
        mmap(NULL, 2 * sizeof(*rings), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
    if (rings == MAP_FAILED) {
        figures_die("%s: cannot be mapped", setup->address);
    }
    (void)close(file);
    pair->out = &rings[setup->server ? 1 : 0];
    pair->in = &rings[setup->server ? 0 : 1];
    return pair;
}

static void pair_flush(void *state)
{
    struct pair *pair = state;

    if (pair->head != pair->head_published) {
        pair->head_published = pair->head;
        atomic_store_explicit(&pair->out->head, pair->head, memory_order_release);
    }
}

/* Returns once `bytes` bytes may be written. */
static void room_await(struct pair *pair, uint32_t bytes)
{
    while (pair->head + bytes - pair->tail_seen > RING_BYTES) {
        pair->tail_seen = atomic_load_explicit(&pair->out->tail, memory_order_acquire);
        if (pair->head + bytes - pair->tail_seen > RING_BYTES) {
            pair_flush(pair);
        }
    }
}

static void record_write(struct pair *pair, const uint8_t *bytes, uint32_t size, uint32_t more)
{
    struct record record = {.size = size, .more = more};
    uint32_t length = ((uint32_t)sizeof(record) + size + 7) / 8 * 8;
    uint32_t place = (uint32_t)(pair->head % RING_BYTES);

    if (place + length > RING_BYTES) {
        room_await(pair, RING_BYTES - place);
        memcpy(pair->out->bytes + place, &(struct record){.size = RECORD_SKIP}, sizeof(record));
        pair->head += RING_BYTES - place;
        place = 0;
    }
    room_await(pair, length);
    memcpy(pair->out->bytes + place, &record, sizeof(record));
    memcpy(pair->out->bytes + place + sizeof(record), bytes, size);
    pair->head += length;
    if (pair->head - pair->head_published >= BATCH_BYTES) {
        pair_flush(pair);
    }
}

static void pair_send(void *state, const void *bytes, uint32_t size)
{
    const uint8_t *from = bytes;
    struct pair *pair = state;

    for (; size > CHUNK_BYTES; size -= CHUNK_BYTES, from += CHUNK_BYTES) {
        record_write(pair, from, CHUNK_BYTES, 1);
    }
    record_write(pair, from, size, 0);
}

static void tail_publish(struct pair *pair)
{
    if (pair->tail != pair->tail_published) {
        pair->tail_published = pair->tail;
        atomic_store_explicit(&pair->in->tail, pair->tail, memory_order_release);
    }
}

/* Returns once there is a record at tail. */
static void record_await(struct pair *pair)
{
    while (pair->tail == pair->head_seen) {
        pair->head_seen = atomic_load_explicit(&pair->in->head, memory_order_acquire);
        if (pair->tail == pair->head_seen) {
            tail_publish(pair);
        }
    }
}

static struct record record_read(struct pair *pair, uint8_t *bytes, uint32_t capacity)
{
    struct record record;
    uint32_t place;

    for (;;) {
        record_await(pair);
        place = (uint32_t)(pair->tail % RING_BYTES);
        memcpy(&record, pair->in->bytes + place, sizeof(record));
        if (record.size != RECORD_SKIP) {
            break;
        }
        pair->tail += RING_BYTES - place;
    }
    if (record.size > capacity) {
        figures_die("a message is longer than %u bytes", capacity);
    }
    memcpy(bytes, pair->in->bytes + place + sizeof(record), record.size);
    pair->tail += (sizeof(record) + record.size + 7) / 8 * 8;
    if (pair->tail - pair->tail_published >= BATCH_BYTES) {
        tail_publish(pair);
    }
    return record;
}

static uint32_t pair_recv(void *state, void *bytes, uint32_t capacity)
{
    struct pair *pair = state;
    uint32_t size = 0;
    struct record record;

    do {
        record = record_read(pair, (uint8_t *)bytes + size, capacity - size);
        size += record.size;
    } while (record.more != 0);
    return size;
}

static void pair_close(void *state)
{
    free(state);
}

const struct peer peer_ring = {
    .name = "ring",
    .open = pair_open,
    .send = pair_send,
    .flush = pair_flush,
    .recv = pair_recv,
    .close = pair_close,
};
