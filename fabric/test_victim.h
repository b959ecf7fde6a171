/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_victim.h - one real node among two hostile ones.
 *
 * Node 2 is real. Nodes 1 and 3 are only frames that a test makes: they know how to keep a session
 * alive (sequence numbers, acknowledgements), and what they say in it is up to the test. The
 * victim's holders go on receiving, sending and closing meanwhile. Shared by rx_test and the fuzz
 * target.
 */
#ifndef FABRIC_TEST_VICTIM_H
#define FABRIC_TEST_VICTIM_H

#include "node.h"
#include "session.h"
#include "test_contracts.h"

#define VICTIM_MTU 1024u
#define VICTIM_ID 2u

struct victim {
    struct xh_heap *heap;
    struct fab_node *fab;
    uint64_t now_ns;
    uint32_t sequence[4]; /* next of each hostile node */
    uint32_t session[4];  /* its session number */
    uint64_t number[4];   /* of its last frame */
    uint32_t lost_count;
};

/* The session's numbers are read from the victim, which makes the hostile nodes well informed. */
void victim_make(struct victim *victim);
/* Ends all sessions, closes all endpoints; aborts if a record or block is left. */
void victim_end(struct victim *victim);
/* A frame with these records, next in order, and begins sessions anew that were ended. */
void victim_records(struct victim *victim, uint16_t from, const uint8_t *bytes, uint32_t length);
/* Bytes as they are. */
void victim_bytes(struct victim *victim, uint16_t from, uint8_t *bytes, uint32_t length);
/* holders_act, and now and then the victim's frames go out (and are acknowledged). */
void victim_live(struct victim *victim, uint32_t what);
/* What holders of endpoints on some node do, chosen by `what`: receive, send, open, close. */
void holders_act(struct fab_node *fab, uint32_t what);
/* Aborts with the audit's sentence if the victim is damaged. */
void victim_audit(struct victim *victim);

#endif
