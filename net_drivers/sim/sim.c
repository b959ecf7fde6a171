/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim.c - wraps another driver and loses, duplicates and reorders what is sent, from a seed.
 *
 * Model: device is "DRIVER:DEVICE". Every frame given to tx_burst is, in this order and each with
 * its own chance, lost, doubled, or held back. A held frame goes out after 1 to SIM_LATE_MAX
 * further frames, or after SIM_IDLE_POLLS calls of rx_burst, whichever comes first, so that a last
 * frame is late but never stuck. Receiving is not touched: wrap both sides to hurt both ways.
 *
 * Time: none; calls are counted. The same seed and the same calls give the same faults.
 * Threads: as the inner driver. Limits: SIM_HELD_MAX frames held, beyond it none is held back.
 */
#include "sim.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIM_HELD_MAX 32u
#define SIM_LATE_MAX 8u
#define SIM_IDLE_POLLS 64u
#define SIM_PPM 1000000u

struct sim_held {
    struct link_frame frame;
    uint32_t late;  /* frames that still go first */
    uint32_t polls; /* calls of rx_burst that still go first */
};

struct sim {
    struct link inner;
    bool opened, closed;
    uint64_t random;
    uint32_t loss_ppm, duplicate_ppm, reorder_ppm;
    struct sim_held held[SIM_HELD_MAX];
    uint32_t held_count;
    uint64_t lost;
    char text[96];
};

static uint64_t random_next(struct sim *sim)
{
    uint64_t x;

    sim->random += 0x9e3779b97f4a7c15ull;
    x = sim->random;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

static bool happens(struct sim *sim, uint32_t ppm)
{
    return ppm != 0 && random_next(sim) % SIM_PPM < ppm;
}

static sf_status config_check(const struct link_config *config, const char **out_text)
{
    if (config->device == NULL || strchr(config->device, ':') == NULL) {
        *out_text = "sim: the device is DRIVER:DEVICE, e.g. loop:wire1";
        return SF_BADARG;
    }
    if (strncmp(config->device, "sim:", 4) == 0) {
        *out_text = "sim: cannot wrap itself";
        return SF_BADARG;
    }
    if (config->loss_ppm > SIM_PPM || config->duplicate_ppm > SIM_PPM ||
        config->reorder_ppm > SIM_PPM) {
        *out_text = "sim: chances are parts per million, at most 1000000";
        return SF_BADARG;
    }
    return SF_OK;
}

static sf_status sim_open(struct link *link, const struct link_config *config,
                          const char **out_text)
{
    struct link_config inner_config = *config;
    size_t driver_bytes;
    char driver[16];
    struct sim *sim;
    sf_status st = config_check(config, out_text);

    if (st != SF_OK) {
        return st;
    }
    sim = calloc(1, sizeof(*sim));
    if (sim == NULL) {
        *out_text = "sim: no memory";
        return SF_NOMEM;
    }
    link->impl = sim;
    driver_bytes = (size_t)(strchr(config->device, ':') - config->device);
    (void)snprintf(driver, sizeof(driver), "%.*s", (int)driver_bytes, config->device);
    st = driver_bytes < sizeof(driver) ? link_init(&sim->inner, driver) : SF_NOTFOUND;
    if (st != SF_OK) {
        (void)snprintf(sim->text, sizeof(sim->text), "sim: there is no driver %s", driver);
        *out_text = sim->text;
        return st;
    }
    sim->random = config->seed;
    sim->loss_ppm = config->loss_ppm;
    sim->duplicate_ppm = config->duplicate_ppm;
    sim->reorder_ppm = config->reorder_ppm;
    sim->opened = true;
    inner_config.device = config->device + driver_bytes + 1;
    inner_config.shared = false; /* what is held back is nobody's queue */
    inner_config.queues = 1;
    return sim->inner.ops->open(&sim->inner, &inner_config, out_text);
}

static sf_status sim_peer_add(struct link *link, const struct link_peer *peer)
{
    struct sim *sim = link->impl;

    return sim->inner.ops->peer_add(&sim->inner, peer);
}

static void sim_peer_remove(struct link *link, uint16_t node_id)
{
    struct sim *sim = link->impl;

    sim->inner.ops->peer_remove(&sim->inner, node_id);
}

static bool sim_is_up(struct link *link)
{
    struct sim *sim = link->impl;

    return sim->inner.ops->is_up(&sim->inner);
}

static int sim_wait_fd(struct link *link, uint16_t queue, bool arm)
{
    struct sim *sim = link->impl;

    /* What is held back goes out by polling. */
    if (sim->inner.ops->wait_fd == NULL || (arm && sim->held_count != 0)) {
        return LINK_WAIT_BLIND;
    }
    return sim->inner.ops->wait_fd(&sim->inner, queue, arm);
}

static void held_drop(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->held_count; i++) {
        sim->inner.ops->frame_free(&sim->inner, &sim->held[i].frame, 1);
    }
    sim->lost += sim->held_count;
    sim->held_count = 0;
}

static void sim_close(struct link *link)
{
    struct sim *sim = link->impl;

    sim->closed = true;
    held_drop(sim);
    sim->inner.ops->close(&sim->inner);
}

static void sim_stop(struct link *link)
{
    struct sim *sim = link->impl;

    sim->inner.ops->stop(&sim->inner);
}

static void sim_fini(struct link *link)
{
    struct sim *sim = link->impl;

    if (sim == NULL) {
        return;
    }
    assert(sim->held_count == 0);
    if (sim->opened) {
        sim->inner.ops->fini(&sim->inner);
    }
    free(sim);
    link->impl = NULL;
}

static void sim_query(const struct link *link, struct link_caps *out_caps)
{
    const struct sim *sim = link->impl;

    sim->inner.ops->query(&sim->inner, out_caps);
    out_caps->holds = false;
}

static void sim_stats(const struct link *link, struct link_stats *out_stats)
{
    const struct sim *sim = link->impl;

    sim->inner.ops->stats(&sim->inner, out_stats);
    out_stats->tx_dropped += sim->lost;
}

static uint16_t sim_frame_alloc(struct link *link, struct link_frame frames[], uint16_t count)
{
    struct sim *sim = link->impl;

    return sim->inner.ops->frame_alloc(&sim->inner, frames, count);
}

static void sim_frame_free(struct link *link, struct link_frame frames[], uint16_t count)
{
    struct sim *sim = link->impl;

    sim->inner.ops->frame_free(&sim->inner, frames, count);
}

/* A frame the inner driver does not take now is lost: the caller was told it has gone. */
static void send_or_lose(struct sim *sim, struct link_frame *frame)
{
    if (sim->inner.ops->tx_burst(&sim->inner, 0, frame, 1) != 1) {
        sim->inner.ops->frame_free(&sim->inner, frame, 1);
        sim->lost++;
    }
}

static void held_remove(struct sim *sim, uint32_t index)
{
    sim->held_count--;
    memmove(&sim->held[index], &sim->held[index + 1],
            (sim->held_count - index) * sizeof(sim->held[0]));
}

static void held_frame_passed(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->held_count;) {
        if (--sim->held[i].late == 0) {
            struct link_frame frame = sim->held[i].frame;

            held_remove(sim, i);
            send_or_lose(sim, &frame);
        } else {
            i++;
        }
    }
}

static void held_polled(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->held_count;) {
        if (--sim->held[i].polls == 0) {
            struct link_frame frame = sim->held[i].frame;

            held_remove(sim, i);
            send_or_lose(sim, &frame);
        } else {
            i++;
        }
    }
}

/* A frame of the inner driver with all of the payload in its own memory. */
static bool copy_make(struct sim *sim, const struct link_frame *frame, struct link_frame *out_copy)
{
    if (sim->inner.ops->frame_alloc(&sim->inner, out_copy, 1) != 1) {
        return false;
    }
    assert(frame->length + frame->tail_length <= out_copy->capacity);
    memcpy(out_copy->data, frame->data, frame->length);
    if (frame->tail_length != 0) {
        memcpy(out_copy->data + frame->length, frame->tail, frame->tail_length);
    }
    out_copy->length = frame->length + frame->tail_length;
    out_copy->peer = frame->peer;
    return true;
}

static void duplicate(struct sim *sim, const struct link_frame *frame)
{
    struct link_frame copy;

    if (copy_make(sim, frame, &copy)) {
        send_or_lose(sim, &copy);
    }
}

/* False: no memory to hold it in. A tail is not ours to keep, so such a frame is held as a copy. */
static bool hold(struct sim *sim, struct link_frame *frame)
{
    struct link_frame kept = *frame;

    if (frame->tail_length != 0) {
        if (!copy_make(sim, frame, &kept)) {
            return false;
        }
        sim->inner.ops->frame_free(&sim->inner, frame, 1);
    }
    sim->held[sim->held_count++] = (struct sim_held){
        .frame = kept,
        .late = 1 + (uint32_t)(random_next(sim) % SIM_LATE_MAX),
        .polls = SIM_IDLE_POLLS,
    };
    return true;
}

/* Answers whether the frame was taken. */
static bool tx_one(struct sim *sim, struct link_frame *frame, uint32_t mtu_bytes)
{
    if (frame->length > mtu_bytes || frame->tail_length > mtu_bytes - frame->length) {
        return false;
    }
    if (happens(sim, sim->loss_ppm)) {
        sim->inner.ops->frame_free(&sim->inner, frame, 1);
        sim->lost++;
        return true;
    }
    if (happens(sim, sim->duplicate_ppm)) {
        duplicate(sim, frame);
    }
    if (sim->held_count < SIM_HELD_MAX && happens(sim, sim->reorder_ppm) && hold(sim, frame)) {
        return true;
    }
    if (sim->inner.ops->tx_burst(&sim->inner, 0, frame, 1) != 1) {
        return false;
    }
    held_frame_passed(sim);
    return true;
}

static uint16_t sim_tx_burst(struct link *link, uint16_t queue, struct link_frame frames[],
                             uint16_t count)
{
    struct sim *sim = link->impl;
    struct link_caps caps;
    uint16_t taken = 0;

    assert(queue == 0);
    (void)queue;
    if (sim->closed) {
        return 0;
    }
    sim->inner.ops->query(&sim->inner, &caps);
    while (taken < count && tx_one(sim, &frames[taken], caps.mtu_bytes)) {
        taken++;
    }
    return taken;
}

static uint16_t sim_rx_burst(struct link *link, uint16_t queue, struct link_frame frames[],
                             uint16_t count)
{
    struct sim *sim = link->impl;

    held_polled(sim);
    return sim->inner.ops->rx_burst(&sim->inner, queue, frames, count);
}

struct link *sim__inner(struct link *link)
{
    return &((struct sim *)link->impl)->inner;
}

const struct link_ops link_sim_ops = {
    .name = "sim",
    .open = sim_open,
    .peer_add = sim_peer_add,
    .peer_remove = sim_peer_remove,
    .is_up = sim_is_up,
    .wait_fd = sim_wait_fd,
    .close = sim_close,
    .stop = sim_stop,
    .fini = sim_fini,
    .query = sim_query,
    .stats = sim_stats,
    .frame_alloc = sim_frame_alloc,
    .frame_free = sim_frame_free,
    .tx_burst = sim_tx_burst,
    .rx_burst = sim_rx_burst,
};
