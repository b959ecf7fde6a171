/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cargo.h - the endpoints of a SIP that moves to another node, and all that waits in them.
 *
 * Why: a SIP that moves takes its endpoints with it, in any state of their contracts, and
 * afterwards nothing may depend on the node it left. So nothing is forwarded: the peers hold back
 * what they have to say while the SIP moves, and say it to its new place.
 *
 * Model: a cargo belongs to one move and is on one node. At the source it is made of the endpoints
 * that the SIP has, and fab_cargo_check asks the node of each peer to *hold* that peer: it finishes
 * the message it is sending, says HELD, and keeps the rest in its own slots, as many as its
 * contract needs; its holder notices nothing. When all are held nothing is under way any more: each
 * endpoint has in its queue what was sent to it, and the peer has all that it sent. Endpoints that
 * wait in such a queue become part of the cargo themselves. Then it is written down
 * (fab_cargo_write) and made once more at the target (fab_cargo_read), where it does nothing yet.
 *
 * It ends in one of two ways, which whoever moves the SIP has to agree on (fabric/sip_move.h):
 *   committed: fab_cargo_resume at the target, which tells each peer NOW_HERE; fab_cargo_release at
 *              the source. Peers say what they kept, to the target.
 *   aborted:   fab_cargo_return at the source, fab_cargo_drop at the target. Peers say what they
 *              kept, to the source.
 *
 * What is lost meanwhile: a channel whose peer's node loses its session with the source stays as it
 * is until the target says NOW_HERE, or, asked by the peer's node, that it does not come; then, or
 * if that node has lost the target too, it closes with NODE_LOST at both ends. An endpoint whose
 * channel has closed moves like any other, with its cause and what it may still receive. Each end
 * sees one cause.
 *
 * Two ends of one channel may be told to move at once: the higher move gives way (CLASH), and
 * its cargo has to be returned and tried again later. A message with an endpoint that is held does
 * not leave its node until that is over.
 *
 * Threads: as fab_node, and no other thread may use the endpoints of a cargo, or their peers if
 * they are on this node, during a call. Ownership: endpoints stay on their node's list, and the
 * pointers stay good until release, drop; nobody may use or close them while they are in a cargo.
 * All five endings free the cargo. Limits: FAB_CARGO_EPS_MAX endpoints; FAB_MOVES_SEEN_MAX moves
 * remembered.
 */
#ifndef FABRIC_CARGO_H
#define FABRIC_CARGO_H

#include "fabric/fabric.h"

#define FAB_CARGO_EPS_MAX (1u << 20)
#define FAB_CARGO_BYTES_MAX UINT32_MAX
#define FAB_MOVES_SEEN_MAX 256u
#define FAB_MOVE_NUMBER_MAX ((1ull << 40) - 1u)

struct fab_cargo;

/* Of a move: the node that the SIP leaves, its epoch, and a counter from 1. Never used again. */
static inline uint64_t fab_move_id(uint16_t node, uint16_t epoch, uint64_t number)
{
    return (uint64_t)node << 54 | (uint64_t)epoch << 40 | number;
}
static inline uint16_t fab_move_source(uint64_t move)
{
    return (uint16_t)(move >> 54);
}
static inline uint16_t fab_move_epoch(uint64_t move)
{
    return (uint16_t)(move >> 40 & 0x3fffu);
}

enum fab_cargo_state {
    FAB_CARGO_HOLDING, /* not all peers are held: ask again when frames have come */
    FAB_CARGO_HELD,
    /* It cannot move now: return it. */
    FAB_CARGO_CLASH,  /* the peer of one of its endpoints moves at this time */
    FAB_CARGO_NO_WAY, /* a peer's node has no session with the target */
    FAB_CARGO_LIMIT,  /* no memory, here or at a peer's node; or too many endpoints */
};

/* --- at the source -------------------------------------------------------------------------- */

/* BADARG: the move is not this node's, or the target is; or there is no such node. NOMEM. */
SF_MUST_CHECK sf_status fab_cargo_begin(struct fab_node *node, uint64_t move, uint16_t target,
                                        struct fab_cargo **out_cargo);
/*
 * An endpoint that the SIP holds; it may not use it from now on. EXISTS: it is part of a cargo.
 * AGAIN: its peer moves at this time. LIMIT, NOMEM. BADARG: it is in a message.
 */
SF_MUST_CHECK sf_status fab_cargo_add(struct fab_cargo *cargo, struct fab_ep *ep);
/* Goes on with holding, and says how far it is. */
enum fab_cargo_state fab_cargo_check(struct fab_cargo *cargo);
/* The SIP stays: peers go on with it. */
void fab_cargo_return(struct fab_cargo *cargo);
/* The SIP has gone: its endpoints here are freed, and nobody hears of it. */
void fab_cargo_release(struct fab_cargo *cargo);

/* How many bytes fab_cargo_write makes. State HELD only. */
uint64_t fab_cargo_bytes(const struct fab_cargo *cargo);
void fab_cargo_write(const struct fab_cargo *cargo, uint8_t *bytes);

/*
 * The nodes that have been asked to hold, this one among them; at most FAB_NODES_MAX. Answers how
 * many.
 */
uint32_t fab_cargo_witnesses(const struct fab_cargo *cargo, uint16_t nodes[FAB_NODES_MAX]);

/* --- at the target -------------------------------------------------------------------------- */

/*
 * Makes the endpoints of a cargo that was written for this node and that move; they wait.
 * Untrusted: any bytes are survived. FORMAT. NOTFOUND: a contract that this node does
 * not know. AGAIN: this node has no session with a peer's node, or none that was heard. LIMIT,
 * NOMEM.
 */
SF_MUST_CHECK sf_status fab_cargo_read(struct fab_node *node, uint64_t move, const uint8_t *bytes,
                                       uint64_t length, struct fab_cargo **out_cargo);
/* Its endpoints live here from now on, and their peers are told. */
void fab_cargo_resume(struct fab_cargo *cargo);
/* They do not. */
void fab_cargo_drop(struct fab_cargo *cargo);

/* --- both ----------------------------------------------------------------------------------- */

uint32_t fab_cargo_count(const struct fab_cargo *cargo);
/* In the order in which they were added, those in messages last. */
struct fab_ep *fab_cargo_at(const struct fab_cargo *cargo, uint32_t index);
/* NULL: it has none of that id. */
struct fab_ep *fab_cargo_find(const struct fab_cargo *cargo, uint64_t id);

/* --- at a peer's node ----------------------------------------------------------------------- */

/*
 * Has an endpoint come by that move (NOW_HERE)? If not, none will: it is refused from now on. For a
 * source that must know whether anybody has seen the SIP at a target that is dead.
 */
bool fab_move_seen(struct fab_node *node, uint64_t move);

#endif
