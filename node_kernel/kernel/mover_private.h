/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mover_private.h - what mover.c (the protocol's part), mover_out.c (the source), mover_in.c (the
 * target) and mover_way.c (from node to node) share.
 */
#ifndef KERNEL_MOVER_PRIVATE_H
#define KERNEL_MOVER_PRIVATE_H

#include "MoverContract_monitor.h"
#include "capture.h"
#include "fabric/cargo.h"
#include "mover.h"

#define MOVER_TEXT_BYTES 240u
/* A step of the black-out is told if it takes longer: telling it takes as long as the step does. */
#define MOVER_TELL_NS 5000000u

/* What a target is told of a SIP before anything of it comes. */
struct mover_payload {
    uint64_t sip, ticket;
    uint8_t digest[IMAGE_DIGEST_BYTES];
};

/* What waits to be sent to a node. */
struct mover_item {
    struct mover_item *next;
    uint8_t tag;
    uint64_t move, total;
    struct xh_block *block;
    struct xh_block *second; /* Rest: endpoints; Memory: pages; NULL: none */
};

/* To one node. */
struct mover_way {
    struct fab_ep *ep; /* NULL: not open */
    bool waits;        /* for Taken */
    struct mover_item *first, **last;
};

/* A SIP that is to leave. */
struct mover_out {
    struct mover_out *next;
    uint64_t ticket, sip, move;
    uint16_t target;
    uint64_t begun_ns, frozen_ns;
    bool copying; /* a round is under way */
    bool copied;  /* there will be no other; what it gave may still wait to be sent */
    bool frozen, holding;
    bool ended;           /* the SIP has, by itself */
    enum mover_step step; /* while it is frozen */
    uint64_t tell_ns;     /* when the step is told, if it is still in it; UINT64_MAX: it was */
    struct nk_precopy *precopy;
    uint64_t pages, pages_last; /* of this round so far, of the one before */
    struct fab_cargo *cargo;
    struct xh_block *piece; /* being filled */
    uint32_t piece_bytes;
    bool lends;                 /* long rows of pages go from where they are, as long as it runs */
    uint32_t step_pages;        /* of the next step */
    char why[MOVER_TEXT_BYTES]; /* it failed here */
    struct mover_report figures;
};

/* Memory of a SIP that has gone. */
struct mover_remains {
    struct mover_remains *next;
    uint64_t sip;
    uint64_t from_ns; /* not given back before */
    struct nk_precopy *precopy;
};

/* A SIP that is to come. */
struct mover_in {
    struct mover_in *next;
    uint64_t sip, ticket, move;
    uint16_t source;
    struct nk_restore *restore; /* NULL: it is made, and frozen */
    uint8_t *endpoints;
    uint64_t endpoints_bytes, endpoints_total;
    bool endpoints_known; /* how many bytes there will be */
    bool made;
    bool came; /* it goes on here; its source may not know yet */
    struct fab_cargo *cargo;
};

/* A channel that another node's mover has opened. */
struct mover_peer {
    struct mover_peer *next;
    struct fab_ep *ep;
    uint16_t node;
    bool ready; /* there may be something to receive */
    bool old;   /* of a session that has ended */
    /* Was received and said to be, unless it owes that: is taken in while the next one is on its
     * way. One that came in frames meanwhile could not be put in its place as it came: then it
     * owes, so that the next one can. */
    bool has_piece, owes, behind;
    struct fab_msg piece;
    uint32_t piece_taken; /* bytes */
    uint32_t streamed; /* bytes of the message that is coming, put in their places as they came */
};

struct mover {
    struct nk_kernel *kernel;
    struct nk_service *service;
    struct xh_heap *heap;
    struct fab_node *fabric;
    uint64_t owner; /* of blocks */
    uint16_t node_id;
    struct mover_events events;
    void *events_arg;
    struct fab_mover *protocol;
    uint64_t next_ns, turned_ns;
    uint64_t cool_ns; /* when memory that is kept goes back; UINT64_MAX: none is */
    struct mover_way *ways[FAB_NODES_MAX];
    struct mover_peer *peers;
    struct mover_out *outs;
    struct mover_in *ins;
    struct mover_remains *remains;
    uint64_t lost[FAB_NODES_MAX / 64]; /* sessions that have ended and are not told of, as bits */
    bool any_lost;
};

/* --- mover_way.c --- */
/* Takes the blocks of item. False: no memory; they are freed. */
bool mover__put(struct mover *mover, uint16_t node, const struct mover_item *item);
bool mover__say(struct mover *mover, uint16_t node, const uint8_t *bytes, uint32_t length);
/* Nothing waits to be sent to it, and all that was sent has been received. */
bool mover__is_sent(const struct mover *mover, uint16_t node);
/* Nothing waits to be sent to it but, it may be, for the receipt of what went before. */
bool mover__has_room(const struct mover *mover, uint16_t node);
/* All that was sent to it is in frames, but may be on its way: this node has time. */
bool mover__has_left(const struct mover *mover, uint16_t node);
/* Sends what can be sent. True if anything was; closed ways are told to the protocol. */
bool mover__ways_turn(struct mover *mover);
/* What waits for that move is not sent any more. */
void mover__ways_forget(struct mover *mover, uint64_t move);
void mover__way_close(struct mover *mover, uint16_t node);

/* --- mover_out.c --- */
void mover__out_do(struct mover *mover, const struct fab_move_action *action, uint64_t now_ns);
/* A step of pre-copy of each. True if anything happened. */
bool mover__outs_copy(struct mover *mover, uint64_t now_ns);
/* Holding, and what else is to be looked at. True if anything happened. */
bool mover__outs_turn(struct mover *mover, uint64_t now_ns);
/* The kernel keeps it. */
void mover__out_stay(struct mover *mover, struct mover_out *out);
/* Gives back, or keeps, the next bytes of what SIPs have left behind. True if there was anything.
 */
bool mover__remains_turn(struct mover *mover, uint64_t now_ns);
/* When it has something to do, or had; UINT64_MAX: nothing is left behind. */
uint64_t mover__remains_next_ns(const struct mover *mover);
/* All of that SIP; 0: of all. Its slot is free then. */
void mover__remains_end(struct mover *mover, uint64_t sip);
struct mover_out *mover__out_of_sip(const struct mover *mover, uint64_t sip);
void mover__report(struct mover *mover, struct mover_out *out, enum mover_step step,
                   const char *text, uint64_t now_ns);

/* --- mover_in.c --- */
void mover__in_do(struct mover *mover, const struct fab_move_action *action, uint64_t now_ns);
void mover__in_memory(struct mover *mover, uint64_t move, const uint8_t *bytes, uint32_t length,
                      uint64_t now_ns);
/* The next bytes of its memory, as far as they are pages; answers how many. */
uint32_t mover__in_pages(struct mover *mover, uint64_t move, const uint8_t *bytes, uint32_t length);
void mover__in_endpoints(struct mover *mover, uint64_t move, uint64_t total, const uint8_t *bytes,
                         uint32_t length, uint64_t now_ns);
void mover__in_drop(struct mover *mover, struct mover_in *in);

#endif
