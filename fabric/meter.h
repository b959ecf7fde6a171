/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meter.h - private to fabric: what is counted of an endpoint whose peer is on another node, and
 * its flight recorder.
 *
 * Why not of all endpoints: a message between two SIPs of one core costs some sixty nanoseconds;
 * what happens between nodes is what operators ask about.
 *
 * Model: a meter is made by the first message that leaves or arrives, and goes with the record; one
 * that finds no memory is not there, and nothing else changes. Times are those that the caller of
 * the fabric told last (fab_node.now_ns): exact for what arrives and for what leaves, up to one
 * turn of the caller's loop old for what is sent. The latency is the time from when the last
 * message before it left this node until a message arrives: of a request, until its answer is here.
 */
#ifndef FABRIC_METER_H
#define FABRIC_METER_H

#include "fabric/histogram.h"
#include "node.h"

struct fab__meter {
    uint64_t bytes_sent, bytes_received;
    uint64_t left_ns; /* when the last message left; 0: one has arrived since */
    uint32_t event_count;
    uint8_t in_high; /* most messages that have waited to be received */
    uint8_t out_high;
    struct fab_histogram latency;
    struct fab_ep_event events[FAB_EP_EVENTS]; /* event n at n % FAB_EP_EVENTS */
};

/* ep has put a message into its `out`, and is in state `next`. */
void fab__meter_sent(struct fab_ep *ep, const struct fab_msg *msg, uint8_t next);
/* Its record is in a frame of that session. */
void fab__meter_left(struct fab_ep *ep, struct fab__session *session);
/* A message has arrived whole; so many wait now, with it. */
void fab__meter_arrived(struct fab_ep *ep, const struct fab_msg *msg, uint8_t waiting);
/* Something else has happened; nothing, if there is no meter. */
void fab__meter_note(struct fab_ep *ep, enum fab_ep_event_kind kind, uint8_t tag);

#endif
