/* SPDX-License-Identifier: Apache-2.0 */
/*
 * move.h - private to fabric: endpoints that go to another node in a message.
 *
 * Endpoint A, whose peer B is on node NB, goes from NA to NC:
 *
 *   1. NA sends the message with A to NC. A's record on NA becomes a tombstone.
 *   2. NC makes a record (PENDING: A's messages wait in its queue) and answers ARRIVED, as soon as
 *      a frame of its session with NB has come: what NB has to say (4) is lost if it goes into one
 *      that NC has forgotten.
 *   3. The tombstone sends to NB what A had still queued, then PEER_MOVED.
 *   4. NB sends to NC from now on, beginning with PEER_HERE, and answers NA with MOVED_ACK.
 *   5. PEER_HERE lets A's messages go (REMOTE); MOVED_ACK frees the tombstone.
 *
 * So B sees what A sent before and after the move in order, and no step asks a node to trust one
 * that is not the endpoint's peer. A CLOSE from B that meets the tombstone is forwarded. If B is on
 * NA itself, step 1 is all: NA knows, and says so in the message (`attached`). If NB is NC, step 4
 * joins the two on the spot. If A goes on to a third node before step 5, each tombstone of the
 * chain waits its turn.
 *
 * The send-state rule makes this enough: A's holder sends next, so nothing is under way to A, and
 * B cannot be sent away before it has received a message from A's new place.
 */
#ifndef FABRIC_MOVE_H
#define FABRIC_MOVE_H

#include "node.h"
#include "wire.h"

/* Takes an endpoint out of the message that goes to node target; ep is no longer a LIVE record. */
void fab__move_out(struct fab_ep *ep, uint16_t target, struct fab__wire_ep *out_wire);

/*
 * Makes the record for an endpoint that came in a message. LIMIT, NOMEM: it was refused, and its
 * peer will see cause QUOTA. FORMAT: the session is broken.
 */
SF_MUST_CHECK sf_status fab__move_in(struct fab__session *session, const struct fab__wire_ep *wire,
                                     struct fab_ep **out_ep);
/* There is an endpoint of that id, not just what is left of an earlier stay. */
bool fab__id_taken(const struct fab_node *node, uint64_t id);
/* The first frame of the session with peer_id has come: who waited for that is announced. */
void fab__moves_announce(struct fab_node *node, uint16_t peer_id);
/* The endpoint is lost before it was announced. */
void fab__move_unannounced_lost(struct fab_ep *ep, struct sf_cause cause);
/* Sends an endpoint back that nobody will receive: its peer sees cause. */
void fab__move_refuse(struct fab__session *session, const struct fab__wire_ep *wire,
                      struct sf_cause cause);

/*
 * `from`, with what it kept to say, and `to` are on this node, and each other's peer from now on.
 * May free `from`, or close both.
 */
void fab__move_join(struct fab_ep *from, struct fab_ep *to);

/* The tombstone's endpoint did not find its place: its peer sees cause. */
void fab__moved_refused(struct fab_ep *ep, struct sf_cause cause);

/* The records of the protocol, as they come in. False: the session is broken. */
void fab__on_arrived(struct fab__session *session, uint64_t id, struct sf_cause cause);
bool fab__on_peer_moved(struct fab__session *session, uint64_t target, uint64_t moved_id,
                        uint16_t moved_node);
bool fab__on_peer_here(struct fab__session *session, uint64_t target, uint64_t peer_id);
void fab__on_moved_ack(struct fab__session *session, uint64_t id);

#endif
