/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip_move.h - the protocol by which a SIP moves: who decides what, whatever dies meanwhile.
 *
 * Why: at no moment may there be two copies of a SIP that live, and it may be lost only with the
 * node that has it. So source and target agree on one event: that the target takes COMMIT. Before
 * it the SIP is the source's, after it the target's. docs/moves.md tells the steps and what happens
 * if a party dies at any of them.
 *
 * Model: a mover is one node's part in all moves, in each of three roles: source, target, and node
 * of a peer (witness). Sans-I/O: the caller tells what has happened (messages that came, sessions
 * that ended, work that was done), and does what fab_mover_next says. The mover touches no SIP and
 * no channel, but for fab_move_seen. A move has the id of fab_move_id, counted by the source's
 * mover.
 *
 * Messages are small and go to a node, or to the controller (node 0). To a node they must be
 * carried in order and exactly once as long as there is a session with it, and those of an ended
 * session must not arrive after fab_mover_session_lost was told. A channel does that. Those to the
 * controller may be lost or doubled. Untrusted: any bytes are survived.
 *
 * The source's steps: prepare, copy while it runs, freeze and hold (fabric/cargo.h), transfer,
 * commit. Until COMMIT is sent it may give up for any reason, and the SIP stays. From then on it
 * may not resume by itself. If then it does not hear from the target it asks: the target, by
 * session or by way of the controller, has it taken COMMIT? If not, it never will (it refuses the
 * move for ever). If the controller says that this boot of the target is dead, it asks each
 * witness: has anything come by the move? If not, none will, and the SIP goes on at the source:
 * nobody has seen anything of the target's copy. If something has, the SIP was the target's and
 * died with it.
 *
 * Times are absolute, ns, any clock that does not go back. Limits: FAB_MOVER_MOVES moves at once.
 * Threads: one at a time. No allocation after create, but for the list of witnesses of a move.
 */
#ifndef FABRIC_SIP_MOVE_H
#define FABRIC_SIP_MOVE_H

#include "fabric/cargo.h"

#define FAB_MOVER_MOVES 64u             /* each as source and as target */
#define FAB_MOVE_PAYLOAD_BYTES_MAX 512u /* what the caller says of the SIP in PREPARE */
#define FAB_MOVE_MESSAGE_BYTES_MAX (24u + FAB_MOVE_PAYLOAD_BYTES_MAX)
#define FAB_MOVE_CONTROLLER 0u

struct fab_mover;

/* Why a move ended as it did. Travels: never renumber. */
enum fab_move_reason {
    FAB_MOVE_OK = 0,      /* the SIP is at the target */
    FAB_MOVE_REFUSED = 1, /* by the target; more in `detail`, a number of the caller's */
    FAB_MOVE_LINK_LOST = 2,
    FAB_MOVE_TIMEOUT = 3,   /* of some step */
    FAB_MOVE_CLASH = 4,     /* a peer moves at this time: try again */
    FAB_MOVE_NO_WAY = 5,    /* a peer's node has no session with the target */
    FAB_MOVE_CANCELLED = 6, /* by whoever wanted it, or the SIP ended */
    FAB_MOVE_FAILED = 7,    /* at the source; more in `detail` */
    FAB_MOVE_NOT_TAKEN = 8, /* COMMIT did not reach the target */
    FAB_MOVE_UNSEEN = 9,    /* the target died, and nobody had seen the SIP there */
    FAB_MOVE_DIED = 10,     /* committed; then the target died */
};

enum fab_move_do {
    FAB_MOVE_SEND, /* bytes to node */
    /* At the source: */
    FAB_MOVE_COPY,     /* copy pages while it runs; then fab_mover_copied */
    FAB_MOVE_FREEZE,   /* park it, hold its peers; then fab_mover_held, or fab_mover_fail */
    FAB_MOVE_TRANSFER, /* send the rest to the target; or fab_mover_fail */
    FAB_MOVE_STAY,     /* it goes on here, if it was frozen (fab_cargo_return); the move is over */
    FAB_MOVE_FREE,     /* it is gone (fab_cargo_release): free what is left; the move is over */
    /* At the target: */
    FAB_MOVE_PREPARE, /* reserve what payload says; then fab_mover_prepared or fab_mover_refuse.
                         When the rest of it has come, and all is made, fab_mover_received */
    FAB_MOVE_START,   /* it goes on here (fab_cargo_resume) */
    FAB_MOVE_SETTLED, /* the source knows, and has nothing left */
    FAB_MOVE_DROP,    /* it does not come: free what is there (fab_cargo_drop), if anything is */
};

/* Pointers stay good until the next call of any fab_mover_ function. */
struct fab_move_action {
    enum fab_move_do what;
    uint64_t move;
    uint64_t sip;                /* at the source: as given to fab_mover_begin */
    uint16_t node;               /* SEND: to whom. Else: the other node of the move */
    enum fab_move_reason reason; /* STAY, FREE, DROP */
    uint32_t detail;
    const uint8_t *bytes; /* SEND: the message. PREPARE: the payload */
    uint32_t length;
};

struct fab_mover_options {
    uint16_t node_id;
    uint16_t epoch;
    struct fab_node *fab; /* asked fab_move_seen; must outlive the mover */
    /* How long at most, 0: default. Of the source. */
    uint64_t prepare_ns;  /* 5 s */
    uint64_t copy_ns;     /* 60 s */
    uint64_t blackout_ns; /* from FREEZE until the target has all; 2 s */
    uint64_t commit_ns;   /* until it asks; 1 s */
    uint64_t ask_ns;      /* until it asks again; 500 ms */
};

SF_MUST_CHECK sf_status fab_mover_create(const struct fab_mover_options *options,
                                         struct fab_mover **out_mover);
/* Takes NULL. */
void fab_mover_destroy(struct fab_mover *mover);

/* The next thing to do, in order; false: nothing for now. */
bool fab_mover_next(struct fab_mover *mover, struct fab_move_action *out_action);

/* --- whoever wants a move ------------------------------------------------------------------- */

struct fab_move_order {
    uint64_t sip;          /* any number of the caller's; one move of it at a time: EXISTS */
    uint16_t target;       /* with which there is a session */
    uint16_t target_epoch; /* of that session */
    const uint8_t *payload;
    uint32_t payload_length; /* at most FAB_MOVE_PAYLOAD_BYTES_MAX */
    uint64_t blackout_ns;    /* a budget of its own; 0: the mover's */
};
/* BADARG, EXISTS, LIMIT. */
SF_MUST_CHECK sf_status fab_mover_begin(struct fab_mover *mover, const struct fab_move_order *order,
                                        uint64_t now_ns, uint64_t *out_move);
/* Gives up, if that is still possible: AGAIN if COMMIT was sent, NOTFOUND if it is over. */
SF_MUST_CHECK sf_status fab_mover_cancel(struct fab_mover *mover, uint64_t move, uint64_t now_ns);

/* --- what has happened ---------------------------------------------------------------------- */

/* A message of from's mover, or of the controller. */
void fab_mover_take(struct fab_mover *mover, uint16_t from, const uint8_t *bytes, uint32_t length,
                    uint64_t now_ns);
/* The session with that node has ended. */
void fab_mover_session_lost(struct fab_mover *mover, uint16_t node, uint64_t now_ns);
/* That boot of the node, and those before it, are dead for good. */
void fab_mover_node_dead(struct fab_mover *mover, uint16_t node, uint16_t epoch, uint64_t now_ns);
/* Answers when it wants to be called next; UINT64_MAX: when something has happened. */
uint64_t fab_mover_tick(struct fab_mover *mover, uint64_t now_ns);

/*
 * Work that was done, as struct fab_move_action asks. Nothing, if the move is not in that step any
 * more: the caller may be late.
 */
void fab_mover_copied(struct fab_mover *mover, uint64_t move, uint64_t now_ns);
struct fab_move_witness {
    uint16_t node;
    uint16_t epoch; /* of the session with it */
};
/* witnesses: of fab_cargo_witnesses; copied. */
void fab_mover_held(struct fab_mover *mover, uint64_t move,
                    const struct fab_move_witness *witnesses, uint32_t count, uint64_t now_ns);
void fab_mover_fail(struct fab_mover *mover, uint64_t move, enum fab_move_reason reason,
                    uint32_t detail, uint64_t now_ns);
void fab_mover_prepared(struct fab_mover *mover, uint64_t move, uint64_t now_ns);
/* Before COMMIT: DROP follows if it was prepared. */
void fab_mover_refuse(struct fab_mover *mover, uint64_t move, uint32_t detail, uint64_t now_ns);
void fab_mover_received(struct fab_mover *mover, uint64_t move, uint64_t now_ns);

/* --- questions ------------------------------------------------------------------------------ */

enum fab_move_step {
    FAB_MOVE_PREPARING = 1,
    FAB_MOVE_PREPARED, /* target: waits for the rest. Source: copies while it runs */
    FAB_MOVE_HOLDING,
    FAB_MOVE_TRANSFERRING,
    FAB_MOVE_READY,      /* target: has all */
    FAB_MOVE_COMMITTING, /* source: COMMIT was sent */
    FAB_MOVE_ASKING,     /* source: in doubt, asks the target */
    FAB_MOVE_WITNESSING, /* source: in doubt, asks those who may have seen it */
    FAB_MOVE_COMMITTED,  /* target */
    FAB_MOVE_STEPS,
};
const char *fab_move_step_name(enum fab_move_step step);
const char *fab_move_reason_text(enum fab_move_reason reason);

struct fab_move_info {
    uint64_t move;
    uint64_t sip;
    uint16_t node; /* the other one */
    bool source;
    enum fab_move_step step;
    uint64_t at_ns[FAB_MOVE_STEPS]; /* when the step began; 0: it has not */
};
/* Each move under way, by index from 0; false: there are no more. */
bool fab_mover_query(const struct fab_mover *mover, uint32_t index, struct fab_move_info *out_info);

/* --- the controller's part ------------------------------------------------------------------ */

/*
 * A mover's message for the controller: who is it for, and what does it become? A source may ask in
 * this way about a node that it has no session with. alive: is that boot of the node the one that
 * is in the cell, as far as the controller will ever say? Once it has said no, it must not say yes
 * again, and that boot must not take part in anything (fenced). Answers the length for *out_to; 0:
 * nothing is to be sent.
 */
uint32_t fab_move_relay(const uint8_t *bytes, uint32_t length, uint16_t from,
                        bool (*alive)(void *arg, uint16_t node, uint16_t epoch), void *arg,
                        uint16_t *out_to, uint8_t out_bytes[FAB_MOVE_MESSAGE_BYTES_MAX]);

#endif
