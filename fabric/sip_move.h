/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip_move.h - private to fabric: the messages of movers, and the table of moves.
 */
#ifndef FABRIC_SIP_MOVE_PRIVATE_H
#define FABRIC_SIP_MOVE_PRIVATE_H

#include "fabric/sip_move.h"

enum fab__mv_kind {
    FAB__MV_PREPARE = 1, /* S -> T: payload */
    FAB__MV_PREPARED,    /* T -> S */
    FAB__MV_REFUSED,     /* T -> S: detail */
    FAB__MV_READY,       /* T -> S: has all */
    FAB__MV_COMMIT,      /* S -> T */
    FAB__MV_COMMITTED,   /* T -> S */
    FAB__MV_DONE,        /* S -> T: has nothing left */
    FAB__MV_ABORT,       /* S -> T: it stays */
    FAB__MV_ASK,         /* S -> T, or by way of the controller: have you taken COMMIT? */
    FAB__MV_GOT,         /* yes */
    FAB__MV_NOT,         /* no, and never will */
    FAB__MV_WITNESS,     /* S -> P, or by way of the controller: have you seen it? */
    FAB__MV_SEEN,        /* yes */
    FAB__MV_UNSEEN,      /* no, and never will */
    FAB__MV_DEAD,        /* controller -> S: that boot of the node is dead */
    FAB__MV_KINDS,
};

struct fab__mv_message {
    uint8_t kind;
    uint64_t move;
    uint32_t detail;
    /* ASK, WITNESS and their answers: who is asked, in which boot. The asker is the move's source.
     */
    uint16_t node;
    uint16_t epoch;
    const uint8_t *payload;
    uint16_t payload_length; /* PREPARE only */
};

/* Answers its length. */
uint32_t fab__mv_write(const struct fab__mv_message *message,
                       uint8_t bytes[FAB_MOVE_MESSAGE_BYTES_MAX]);
/* False: malformed. payload points into bytes. */
bool fab__mv_read(const uint8_t *bytes, uint32_t length, struct fab__mv_message *out_message);

#endif
