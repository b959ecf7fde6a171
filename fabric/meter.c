/* SPDX-License-Identifier: Apache-2.0 */
#include "meter.h"

#include <stdlib.h>

#include "session.h"

/* Arguments as they travel: scalars in their widths, blocks in their lengths. */
static uint64_t message_bytes(const struct fab_plan *plan, const struct fab_msg *msg)
{
    uint64_t bytes = plan->scalar_bytes;

    for (uint32_t left = plan->blocks; left != 0; left &= left - 1) {
        const struct xh_block *block = msg->args[__builtin_ctz(left)].block;

        bytes += block == NULL ? 0 : block->bytes;
    }
    return bytes;
}

static struct fab__meter *meter_of(struct fab_ep *ep)
{
    if (__builtin_expect(ep->meter == NULL, 0)) {
        ep->meter = calloc(1, sizeof(*ep->meter));
    }
    return ep->meter;
}

static void note(struct fab__meter *meter, const struct fab_ep *ep, enum fab_ep_event_kind kind,
                 uint8_t tag, uint8_t state, uint64_t bytes)
{
    struct fab_ep_event *event = &meter->events[meter->event_count++ % FAB_EP_EVENTS];

    event->time_ns = ep->node->now_ns;
    event->bytes = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
    event->kind = (uint8_t)kind;
    event->tag = tag;
    event->state = state;
}

void fab__meter_sent(struct fab_ep *ep, const struct fab_msg *msg, uint8_t next)
{
    struct fab__meter *meter = meter_of(ep);
    uint64_t bytes;

    if (meter == NULL) {
        return;
    }
    bytes = message_bytes(&ep->plans[msg->tag], msg);
    meter->bytes_sent += bytes;
    if (ep->out.count > meter->out_high) {
        meter->out_high = ep->out.count;
    }
    note(meter, ep, FAB_EP_SENT, msg->tag, next, bytes);
}

void fab__meter_left(struct fab_ep *ep, struct fab__session *session)
{
    if (ep->meter != NULL) {
        ep->meter->left_ns = ep->node->now_ns;
    }
    session->info.messages_sent++;
}

void fab__meter_arrived(struct fab_ep *ep, const struct fab_msg *msg, uint8_t waiting)
{
    struct fab__meter *meter = meter_of(ep);
    uint64_t bytes;

    if (meter == NULL) {
        return;
    }
    bytes = message_bytes(&ep->plans[msg->tag], msg);
    meter->bytes_received += bytes;
    if (waiting > meter->in_high) {
        meter->in_high = waiting;
    }
    if (meter->left_ns != 0) {
        fab_histogram_add(&meter->latency, ep->node->now_ns - meter->left_ns);
        meter->left_ns = 0;
    }
    note(meter, ep, FAB_EP_ARRIVED, msg->tag, ep->arrival_state, bytes);
}

void fab__meter_note(struct fab_ep *ep, enum fab_ep_event_kind kind, uint8_t tag)
{
    if (ep->meter != NULL) {
        note(ep->meter, ep, kind, tag, ep->arrival_state, 0);
    }
}

uint32_t fab_ep_events(const struct fab_ep *ep, struct fab_ep_event events[FAB_EP_EVENTS])
{
    const struct fab__meter *meter = ep->meter;
    uint32_t count = meter == NULL                        ? 0
                     : meter->event_count < FAB_EP_EVENTS ? meter->event_count
                                                          : FAB_EP_EVENTS;

    for (uint32_t i = 0; i < count; i++) {
        events[i] = meter->events[(meter->event_count - count + i) % FAB_EP_EVENTS];
    }
    return count;
}
