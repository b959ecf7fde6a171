/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cargo.h - private to fabric: endpoints whose SIP moves, and peers that are held.
 *
 * Endpoint A of a SIP on node S that moves to T, and its peer B on node P:
 *
 *   S -> P   HOLD B, A, move, T    after all that A had to say
 *   P -> S   HELD A, B, move       after the message that B was in the middle of
 *   T -> P   NOW_HERE B, A, move   committed: B says what it kept, to T
 *   S -> P   RELEASED B, A, move   committed, S has nothing left of A
 *   S -> P   UNHOLD B, A, move     aborted: B goes on with S
 *   S -> P   MOVE_OVER move        either way: nobody will ask P what it has seen
 *
 * P closes B by itself only if A can come from nowhere any more. If S is lost, or has released A, P
 * asks T (AWAITED), which says DROPPED if it has no such A and will have none; while it does not
 * know it says nothing. If T is lost besides, B closes. Should A turn up after that, P answers
 * NOW_HERE with CLOSE.
 *
 * If P is S, or T, the same happens without records: B's place is HELD, A's is APART.
 *
 * What A's record does while it is in a cargo is driven by fab_cargo_check, which looks at where
 * its peer is each time; so nothing needs to be told when the peer comes or goes by message
 * (move.h) while it is being asked. A HOLD that meets a tombstone is ignored: PEER_MOVED is on its
 * way to A, which then asks the new place.
 */
#ifndef FABRIC_CARGO_PRIVATE_H
#define FABRIC_CARGO_PRIVATE_H

#include "fabric/cargo.h"
#include "node.h"

enum fab__aboard {
    FAB__ABOARD_NEW = 0, /* nobody has been asked */
    FAB__ABOARD_ASKED,
    FAB__ABOARD_SETTLED, /* nothing comes any more */
};

struct fab_cargo {
    struct fab_node *node;
    struct fab_cargo *next; /* the node's */
    uint64_t move;
    uint16_t target;
    bool imported; /* at the target */
    bool changed;  /* an endpoint was added since the last round */
    enum fab_cargo_state state;
    struct fab_ep **eps;
    uint32_t ep_count, ep_capacity;
    uint64_t asked[FAB_NODES_MAX / 64]; /* nodes, as bits */
};

/* Of an endpoint that is held, or will be as soon as it has sent a message whole. */
struct fab__hold {
    uint64_t move;
    uint16_t target;
    bool source_gone; /* its peer may come from the target only */
};

/* Status of HELD. */
enum fab__held_status { FAB__HELD_OK = 0, FAB__HELD_NO_WAY, FAB__HELD_LIMIT };

/* --- held.c: the peer's side ---------------------------------------------------------------- */

/* Makes ep, whose peer is on this node and in a cargo, one that is held. False: no memory. */
bool fab__hold_local(struct fab_ep *ep, uint64_t move, uint16_t target);
/* The end with that id that is held on this node for that move of its peer; or NULL. */
struct fab_ep *fab__held_find(const struct fab_node *node, uint64_t id, uint64_t peer_id,
                              uint64_t move);
/* Forgets that ep is or will be held; its place is the caller's business. Nothing, if it is not. */
void fab__hold_end(struct fab_ep *ep);
/* Its peer is at the source no more. May free ep. */
void fab__held_source_gone(struct fab_ep *ep);
/* The session with node id has ended. May free ep. */
void fab__held_node_lost(struct fab_ep *ep, uint16_t id, struct sf_cause cause);
/* The first message to be sent has an endpoint that is held. */
bool fab__held_in_head(const struct fab_ep *ep);
/* Its HELD is written: it is held from now on. */
void fab__held_now(struct fab_ep *ep);

/* What is known of a move; NULL: nothing. */
struct fab__witness *fab__witness_find(struct fab_node *node, uint64_t move);
/* The same, made if it is not there; the oldest is forgotten for it. */
struct fab__witness *fab__witness_use(struct fab_node *node, uint64_t move);
void fab__witness_end(struct fab_node *node, uint64_t move);

/* --- cargo.c -------------------------------------------------------------------------------- */

SF_MUST_CHECK sf_status fab__cargo_create(struct fab_node *node, uint64_t move, uint16_t target,
                                          struct fab_cargo **out_cargo);
SF_MUST_CHECK sf_status fab__cargo_push(struct fab_cargo *cargo, struct fab_ep *ep);
/* Frees the cargo, not its endpoints. */
void fab__cargo_free(struct fab_cargo *cargo);
void fab__cargos_fini(struct fab_node *node);
/* It is at the source, and may have been committed. */
static inline bool fab__cargo_leaves(const struct fab_cargo *cargo)
{
    return !cargo->imported && cargo->state == FAB_CARGO_HELD;
}
/* An endpoint of a cargo has a new peer node to be asked. Nothing, if it is in none. */
void fab__cargo_ask_again(struct fab_ep *ep);
/* Frees the record of an endpoint in a cargo, and the blocks in it. */
void fab__cargo_forget(struct fab_ep *ep);

/* --- the records, as they come in. False: the session is broken. ---------------------------- */

struct fab__move_record {
    uint64_t target;
    uint64_t peer;
    uint64_t move;
    uint16_t node;  /* HOLD */
    uint8_t status; /* HELD */
};

bool fab__on_hold(struct fab__session *session, const struct fab__move_record *record);
bool fab__on_held(struct fab__session *session, const struct fab__move_record *record);
bool fab__on_unhold(struct fab__session *session, const struct fab__move_record *record);
bool fab__on_released(struct fab__session *session, const struct fab__move_record *record);
bool fab__on_now_here(struct fab__session *session, const struct fab__move_record *record);
bool fab__on_awaited(struct fab__session *session, const struct fab__move_record *record);
bool fab__on_dropped(struct fab__session *session, const struct fab__move_record *record);
bool fab__on_move_over(struct fab__session *session, uint64_t move);

#endif
