/* SPDX-License-Identifier: Apache-2.0 */
#include "net.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "trace.h"

/* What a driver's ring holds before it takes no more. */
#define UPLINK_RING_NS 200000ull

void *sim_alloc(uint64_t count, uint64_t bytes)
{
    void *at = calloc(count, bytes);

    if (at == NULL) {
        sim_fail("no memory for the simulator");
    }
    return at;
}

void net_init(struct net *net, uint32_t node_count, uint64_t seed)
{
    uint64_t ids = node_count + 1ull;

    *net = (struct net){
        .now_ns = NET_TIME_BEGIN,
        .rng = {rng_mix(seed ^ 0x6e6574ull)},
        .node_count = node_count,
        .event_capacity = 1024,
    };
    net->ways = sim_alloc(ids * ids, sizeof(*net->ways));
    net->uplinks = sim_alloc(ids, sizeof(*net->uplinks));
    net->ports = sim_alloc(ids, sizeof(*net->ports));
    net->events = sim_alloc(net->event_capacity, sizeof(*net->events));
}

void net_fini(struct net *net)
{
    for (uint32_t i = 0; i < net->event_count; i++) {
        free(net->events[i].frame);
    }
    free(net->events);
    free(net->ports);
    free(net->uplinks);
    free(net->ways);
}

/* --- events: a binary heap ------------------------------------------------------------------ */

static bool before(const struct net_event *a, const struct net_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void event_push(struct net *net, struct net_event event)
{
    uint32_t at = net->event_count++;

    assert(event.at_ns >= net->now_ns);
    if (net->event_count > net->event_capacity) {
        net->event_capacity *= 2;
        net->events = realloc(net->events, net->event_capacity * sizeof(*net->events));
        if (net->events == NULL) {
            sim_fail("no memory for the simulator");
        }
    }
    event.order = net->order_next++;
    while (at > 0 && before(&event, &net->events[(at - 1) / 2])) {
        net->events[at] = net->events[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    net->events[at] = event;
}

static struct net_event event_pop(struct net *net)
{
    struct net_event first = net->events[0];
    struct net_event last = net->events[--net->event_count];
    uint32_t at = 0;

    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child + 1 < net->event_count && before(&net->events[child + 1], &net->events[child])) {
            child++;
        }
        if (child >= net->event_count || before(&last, &net->events[child])) {
            break;
        }
        net->events[at] = net->events[child];
        at = child;
    }
    net->events[at] = last;
    return first;
}

/* --- frames --------------------------------------------------------------------------------- */

static uint64_t sending_ns(const struct net_port *port, uint32_t length)
{
    return port->bytes_per_s == 0 ? 0 : length * 1000000000ull / port->bytes_per_s;
}

uint64_t net_uplink_free(const struct net *net, uint16_t node)
{
    uint64_t free_ns = net->uplinks[node].free_ns;

    return free_ns > net->now_ns + UPLINK_RING_NS ? free_ns - UPLINK_RING_NS : net->now_ns;
}

static void frame_push(struct net *net, uint16_t from, uint16_t to, const uint8_t *bytes,
                       uint32_t length, uint64_t at_ns)
{
    struct net_frame *frame = malloc(sizeof(*frame) + length);

    assert(length <= NET_FRAME_BYTES_MAX);
    if (frame == NULL) {
        sim_fail("no memory for the simulator");
    }
    frame->from = from;
    frame->to = to;
    frame->length = length;
    memcpy(frame->bytes, bytes, length);
    net->frames_under_way++;
    event_push(net, (struct net_event){.at_ns = at_ns, .frame = frame});
}

/* When a frame that leaves at leave_ns arrives at the receiver's port. */
static uint64_t arrival_ns(struct net *net, struct net_way *way, uint64_t leave_ns)
{
    uint64_t at_ns = leave_ns + way->delay_ns + rng_below(&net->rng, way->jitter_ns + 1ull);

    if (rng_chance(&net->rng, way->reorder)) {
        net->counts.reordered++;
        return at_ns + rng_below(&net->rng, way->reorder_ns + 1ull);
    }
    if (at_ns < way->last_ns) {
        at_ns = way->last_ns;
    }
    way->last_ns = at_ns;
    return at_ns;
}

void net_send(struct net *net, uint16_t from, uint16_t to, const uint8_t *bytes, uint32_t length)
{
    struct net_port *uplink = &net->uplinks[from];
    struct net_way *way = net_way(net, from, to);
    uint64_t leave_ns = uplink->free_ns > net->now_ns ? uplink->free_ns : net->now_ns;

    leave_ns += sending_ns(uplink, length);
    uplink->free_ns = leave_ns;
    net->counts.frames++;
    net->counts.bytes += length;
    if (way->cut) {
        net->counts.cut++;
        return;
    }
    if (rng_chance(&net->rng, way->loss)) {
        net->counts.lost++;
        return;
    }
    if (rng_chance(&net->rng, way->damage)) {
        net->counts.damaged++;
        return;
    }
    frame_push(net, from, to, bytes, length, arrival_ns(net, way, leave_ns));
    if (rng_chance(&net->rng, way->duplicate)) {
        net->counts.duplicated++;
        frame_push(net, from, to, bytes, length, arrival_ns(net, way, leave_ns));
    }
}

void net_inject(struct net *net, uint16_t from, uint16_t to, const uint8_t *bytes, uint32_t length,
                uint64_t at_ns)
{
    frame_push(net, from, to, bytes, length, at_ns);
}

/* A frame is at the receiver's port. */
static void port_take(struct net *net, struct net_event *event)
{
    struct net_frame *frame = event->frame;
    struct net_port *port = &net->ports[frame->to];
    uint64_t begin_ns = port->free_ns > net->now_ns ? port->free_ns : net->now_ns;

    if (port->bytes_per_s != 0) {
        uint64_t queued = (begin_ns - net->now_ns) * port->bytes_per_s / 1000000000ull;
        if (queued + frame->length > port->buffer_bytes) {
            net->counts.overflowed++;
            net->frames_under_way--;
            free(frame);
            return;
        }
        port->free_ns = begin_ns + sending_ns(port, frame->length);
        event->at_ns = port->free_ns;
        event->arrived = true;
        event_push(net, *event);
        return;
    }
    net->frames_under_way--;
    net->counts.delivered++;
    net->on_frame(net->arg, frame);
}

void net_wake(struct net *net, uint16_t node, uint64_t at_ns)
{
    event_push(net, (struct net_event){.at_ns = at_ns, .node = node});
}

void net_run(struct net *net, uint64_t until_ns)
{
    while (net->event_count > 0 && net->events[0].at_ns <= until_ns) {
        struct net_event event = event_pop(net);
        net->now_ns = event.at_ns;
        if (event.frame == NULL) {
            net->on_wake(net->arg, event.node);
        } else if (!event.arrived) {
            port_take(net, &event);
        } else {
            net->frames_under_way--;
            net->counts.delivered++;
            net->on_frame(net->arg, event.frame);
        }
    }
    net->now_ns = until_ns;
}
