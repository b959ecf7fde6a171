/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_victim.h - one real node among two hostile ones.
 *
 * Node 2 is real. Nodes 1 and 3 are only frames that a test makes: they know how to begin a session
 * and how to keep it alive, and what they say in it is up to the test. Node 1 calls the victim, the
 * victim calls node 3. In sealed sessions they have their own keys, so that what they say is read.
 * The victim's holders go on receiving, sending and closing meanwhile. Shared by rx_test and the
 * fuzz target.
 */
#ifndef FABRIC_TEST_VICTIM_H
#define FABRIC_TEST_VICTIM_H

#include "node.h"
#include "session.h"
#include "test_contracts.h"

#define VICTIM_MTU 1024u
#define VICTIM_ID 2u

#define VICTIM_READS_MAX 6u

struct victim {
    struct xh_heap *heap;
    struct fab_node *fab;
    uint64_t now_ns;
    bool sealed[4];       /* sessions with each hostile node */
    uint32_t sequence[4]; /* next of each hostile node */
    uint32_t session[4];  /* highest session number it has used */
    uint64_t number[4];   /* of its last frame */
    bool reads;           /* sessions in the clear can */
    uint32_t reads_begun;
    uint32_t read_count; /* under way */
    struct {
        uint64_t cookie;
        uint8_t *to;
        uint32_t bytes;
    } reads_open[VICTIM_READS_MAX];
    uint32_t lag; /* so many of the victim's frames an honest header leaves out */
    struct {
        uint8_t bytes[FAB__HELLO_BYTES + FAB__HANDSHAKE_BYTES];
        uint32_t length;
    } said[4]; /* its last hello */
    uint32_t lost_count;
    uint64_t random;
};

/*
 * The session's numbers are read from the victim, which makes the hostile nodes well informed.
 * sealed: bit 0 for node 1, bit 1 for node 3; bit 2: those that are not can be read.
 */
void victim_make(struct victim *victim, uint32_t sealed);
/* Ends all sessions, closes all endpoints; aborts if a record or block is left. */
void victim_end(struct victim *victim);
/* A frame with these records, next in order, and begins sessions anew that were ended. */
void victim_records(struct victim *victim, uint16_t from, const uint8_t *bytes, uint32_t length);
/* Bytes as they are. */
void victim_bytes(struct victim *victim, uint16_t from, uint8_t *bytes, uint32_t length);

/* Sessions end; this begins those anew that have. */
void victim_begin(struct victim *victim, uint16_t id);

/* The session ends, and another one is there, but nobody has said anything in it. */
void victim_forget(struct victim *victim, uint16_t id);

/* A header as an honest node would make it, with everything acknowledged but the last `lag`. */
struct fab__header victim_header(const struct victim *victim, uint16_t from, uint8_t kind);
/* A frame with any header; `seal`: as the session (or its successor) that it is for wants it. */
void victim_frame(struct victim *victim, uint16_t from, const struct fab__header *header,
                  const uint8_t *bytes, uint32_t length, bool seal);

/* A hello as an honest node would make it. */
struct fab__hello victim_hello_of(struct victim *victim, uint16_t from);
enum victim_message {
    VICTIM_NO_MESSAGE,
    VICTIM_TRUE_MESSAGE, /* if there is a sealed session to make it for */
    VICTIM_FORGED_MESSAGE,
};
void victim_hello(struct victim *victim, uint16_t from, const struct fab__hello *hello,
                  enum victim_message message);
/* The last one once more. */
void victim_hello_again(struct victim *victim, uint16_t from);

enum victim_drain {
    VICTIM_ACKNOWLEDGE, /* each frame of the victim */
    VICTIM_LOSE,        /* them all */
};
/* The victim sends what it has to send, at most `frames`. */
void victim_drain(struct victim *victim, enum victim_drain what, uint32_t frames);
/* holders_act, and now and then the victim's frames go out. */
void victim_live(struct victim *victim, uint32_t what);
/* What holders of endpoints on some node do, chosen by `what`: receive, send, open, close. */
void holders_act(struct fab_node *fab, uint32_t what);
/* All cargos on that node end: they are returned, or dropped. Before the end of the node. */
void holders_moves_end(struct fab_node *fab);
/* One of them sends a large block to another node, if any can. */
void holders_send_large(struct fab_node *fab, uint32_t what);
/* Some of its reads end, chosen by what: with their bytes, or without. */
void victim_reads_end(struct victim *victim, uint32_t what);
/* Aborts with the audit's sentence if the victim is damaged. */
void victim_audit(struct victim *victim);

#endif
