/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - private to fabric: how frames and records look as bytes. docs/wire.md is the reference.
 *
 * Little endian, no alignment. A writer that has run out of room and a reader that has run out of
 * bytes say so once, at the end (`failed`), and do nothing more in between.
 */
#ifndef FABRIC_WIRE_H
#define FABRIC_WIRE_H

#include "fabric/fabric.h"

#define FAB__WIRE_MAGIC 0x42414653u /* "SFAB" */
#define FAB__WIRE_VERSION 1u
#define FAB__HEADER_BYTES FAB_HEADER_BYTES
#define FAB__RECORD_HEADER_BYTES 4u
#define FAB__DATA_HEADER_BYTES (FAB__RECORD_HEADER_BYTES + 8u)

enum fab__frame_kind {
    FAB__FRAME_CONTROL = 0, /* no payload, not in sequence: acknowledgement, heart-beat */
    FAB__FRAME_RECORDS = 1, /* in sequence */
};

struct fab__header {
    uint8_t kind; /* enum fab__frame_kind */
    uint16_t payload_bytes;
    uint16_t source_node;
    uint16_t target_node;
    uint16_t source_epoch;
    uint16_t target_epoch;
    uint32_t source_session;
    uint32_t target_session; /* 0: not known yet */
    uint32_t sequence;       /* RECORDS: of this frame. CONTROL: of the next one to be made */
    uint32_t ack;            /* next sequence expected */
    uint64_t sack;           /* bit i: sequence ack + 1 + i is here too */
};

enum fab__record_type {
    FAB__RECORD_OPEN = 1,
    FAB__RECORD_MSG = 2,
    FAB__RECORD_DATA = 3,
    FAB__RECORD_CLOSE = 4,
    FAB__RECORD_ARRIVED = 5,
    FAB__RECORD_PEER_MOVED = 6,
    FAB__RECORD_PEER_HERE = 7,
    FAB__RECORD_MOVED_ACK = 8,
};
#define FAB__CLOSE_FORWARDED 1u /* flag of CLOSE: it comes by way of a tombstone */

struct fab__writer {
    uint8_t *bytes;
    uint32_t capacity;
    uint32_t length;
    bool failed;
};

struct fab__reader {
    const uint8_t *bytes;
    uint32_t length;
    uint32_t offset;
    bool failed;
};

void fab__write_u8(struct fab__writer *writer, uint8_t value);
void fab__write_u16(struct fab__writer *writer, uint16_t value);
void fab__write_u32(struct fab__writer *writer, uint32_t value);
void fab__write_u64(struct fab__writer *writer, uint64_t value);
void fab__write_bytes(struct fab__writer *writer, const void *bytes, uint32_t length);
void fab__write_cause(struct fab__writer *writer, struct sf_cause cause);

/* Zero once failed. */
uint8_t fab__read_u8(struct fab__reader *reader);
uint16_t fab__read_u16(struct fab__reader *reader);
uint32_t fab__read_u32(struct fab__reader *reader);
uint64_t fab__read_u64(struct fab__reader *reader);
struct sf_cause fab__read_cause(struct fab__reader *reader);
/* NULL once failed. Points into the reader's bytes. */
const uint8_t *fab__read_bytes(struct fab__reader *reader, uint32_t length);

void fab__header_write(uint8_t bytes[FAB__HEADER_BYTES], const struct fab__header *header);
/* False: not a frame of this version, or its length is not what it says. */
bool fab__header_read(const uint8_t *bytes, uint32_t length, struct fab__header *out_header);

/* Begins a record; end fills its length in, or takes it back whole and answers false. */
uint32_t fab__record_begin(struct fab__writer *writer, enum fab__record_type type, uint8_t flags);
bool fab__record_end(struct fab__writer *writer, uint32_t begin);

/* --- a MSG record, taken apart ---------------------------------------------------------------- */

/* An endpoint on its way. */
#define FAB__WIRE_EP_BYTES 33u
struct fab__wire_ep {
    uint64_t id; /* 0: absent, and nothing follows */
    uint64_t peer_id;
    uint64_t contract_short_id;
    uint16_t peer_node;
    uint8_t side;
    uint8_t state;
    uint8_t attached;      /* the peer knows already where it goes */
    struct sf_cause cause; /* closed while on its way; NONE: open */
};

struct fab__wire_msg {
    uint64_t target;
    uint8_t tag;
    uint8_t arg_count;
    uint8_t kinds[CT_ARGS_MAX];
    union {
        uint64_t scalar;
        uint32_t block_bytes; /* 0: absent */
        struct fab__wire_ep ep;
    } args[CT_ARGS_MAX];
};

void fab__wire_msg_write(struct fab__writer *writer, const struct fab__wire_msg *msg);
/* False: malformed. The reader holds the record's body and nothing else. */
bool fab__wire_msg_read(struct fab__reader *reader, struct fab__wire_msg *out_msg);

#endif
