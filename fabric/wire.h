/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - private to fabric: how frames and records look as bytes. docs/wire.md is the reference.
 *
 * Little endian, no alignment. A writer that has run out of room and a reader that has run out of
 * bytes say so once, at the end (`failed`), and do nothing more in between.
 */
#ifndef FABRIC_WIRE_H
#define FABRIC_WIRE_H

#include <endian.h>
#include <string.h>

#include "fabric/fabric.h"

#define FAB__WIRE_VERSION 2u
#define FAB__HEADER_BYTES FAB_HEADER_BYTES /* without selective acknowledgement */
#define FAB__SACK_WORDS_MAX 4u
#define FAB__HEADER_BYTES_MAX (FAB__HEADER_BYTES + 8u * FAB__SACK_WORDS_MAX)
#define FAB__HELLO_BYTES 24u
#define FAB__RECORD_HEADER_BYTES 4u
#define FAB__DATA_HEADER_BYTES (FAB__RECORD_HEADER_BYTES + 8u)
#define FAB__COMPACT_HEAD_BYTES 9u /* of a body: target, tag */
#define FAB__HOLD_US_MAX 65535u

enum fab__frame_kind {
    FAB__FRAME_CONTROL = 0, /* no payload, not in sequence: acknowledgement, heart-beat */
    FAB__FRAME_RECORDS = 1, /* in sequence */
    FAB__FRAME_HELLO = 2,   /* begins a session; another header */
};

struct fab__header {
    uint8_t kind; /* CONTROL or RECORDS */
    uint8_t sack_words;
    uint16_t hold_us;        /* how long the newest frame acknowledged here waited for that */
    uint32_t target_session; /* the receiver's number */
    uint64_t number;         /* of this frame, among all of the session and direction; from 1 */
    uint32_t sequence;       /* RECORDS: of this frame. CONTROL: of the next one to be made */
    uint32_t ack;            /* next sequence expected */
    uint64_t sack[FAB__SACK_WORDS_MAX]; /* word w, bit i: sequence ack + 1 + 64 w + i is here too */
};

#define FAB__HELLO_ANSWER 1u /* flags of a hello */
#define FAB__HELLO_SEALED 2u
#define FAB__HELLO_READS 4u /* not with SEALED */

struct fab__hello {
    uint8_t flags;
    uint16_t mtu_bytes;
    uint16_t source_node;
    uint16_t target_node;
    uint16_t source_epoch;
    uint16_t target_epoch;
    uint32_t source_session;
    uint32_t target_session; /* 0: not known yet */
    uint8_t ciphers;
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
    FAB__RECORD_REFER = 9,
    FAB__RECORD_TAKEN = 10,
    FAB__RECORD_UNREAD = 11,
    FAB__RECORD_HOLD = 12,
    FAB__RECORD_HELD = 13,
    FAB__RECORD_UNHOLD = 14,
    FAB__RECORD_RELEASED = 15,
    FAB__RECORD_NOW_HERE = 16,
    FAB__RECORD_AWAITED = 17,
    FAB__RECORD_DROPPED = 18,
    FAB__RECORD_MOVE_OVER = 19,
    FAB__RECORD_LAST = FAB__RECORD_MOVE_OVER,
};
#define FAB__CLOSE_FORWARDED 1u /* flag of CLOSE: it comes by way of a tombstone */
#define FAB__MSG_COMPACT 1u     /* flag of MSG: scalars only, in their widths and nothing else */

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

/* --- writing -------------------------------------------------------------------------------- */

static inline uint8_t *fab__write_room(struct fab__writer *writer, uint32_t length)
{
    uint8_t *at = writer->bytes + writer->length;

    if (__builtin_expect(writer->failed || writer->capacity - writer->length < length, 0)) {
        writer->failed = true;
        return NULL;
    }
    writer->length += length;
    return at;
}

static inline void fab__write_bytes(struct fab__writer *writer, const void *bytes, uint32_t length)
{
    uint8_t *at = fab__write_room(writer, length);

    if (at != NULL) {
        memcpy(at, bytes, length);
    }
}

static inline void fab__write_u8(struct fab__writer *writer, uint8_t value)
{
    fab__write_bytes(writer, &value, sizeof(value));
}

static inline void fab__write_u16(struct fab__writer *writer, uint16_t value)
{
    value = htole16(value);
    fab__write_bytes(writer, &value, sizeof(value));
}

static inline void fab__write_u32(struct fab__writer *writer, uint32_t value)
{
    value = htole32(value);
    fab__write_bytes(writer, &value, sizeof(value));
}

static inline void fab__write_u64(struct fab__writer *writer, uint64_t value)
{
    value = htole64(value);
    fab__write_bytes(writer, &value, sizeof(value));
}

/* The low `length` bytes of value, 1..8. */
static inline void fab__write_le(struct fab__writer *writer, uint64_t value, uint32_t length)
{
    value = htole64(value);
    fab__write_bytes(writer, &value, length);
}

void fab__write_cause(struct fab__writer *writer, struct sf_cause cause);

/* --- reading -------------------------------------------------------------------------------- */

/* NULL once failed. Points into the reader's bytes. */
static inline const uint8_t *fab__read_bytes(struct fab__reader *reader, uint32_t length)
{
    const uint8_t *at = reader->bytes + reader->offset;

    if (__builtin_expect(reader->failed || reader->length - reader->offset < length, 0)) {
        reader->failed = true;
        return NULL;
    }
    reader->offset += length;
    return at;
}

/* Zero once failed; 1..8 bytes. */
static inline uint64_t fab__read_le(struct fab__reader *reader, uint32_t length)
{
    const uint8_t *at = fab__read_bytes(reader, length);
    uint64_t value = 0;

    if (at != NULL) {
        memcpy(&value, at, length);
    }
    return le64toh(value);
}

static inline uint8_t fab__read_u8(struct fab__reader *reader)
{
    return (uint8_t)fab__read_le(reader, 1);
}

static inline uint16_t fab__read_u16(struct fab__reader *reader)
{
    return (uint16_t)fab__read_le(reader, 2);
}

static inline uint32_t fab__read_u32(struct fab__reader *reader)
{
    return (uint32_t)fab__read_le(reader, 4);
}

static inline uint64_t fab__read_u64(struct fab__reader *reader)
{
    return fab__read_le(reader, 8);
}

struct sf_cause fab__read_cause(struct fab__reader *reader);

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "arguments are copied as they are");

/* --- frames --------------------------------------------------------------------------------- */

static inline uint32_t fab__header_bytes(const struct fab__header *header)
{
    return FAB__HEADER_BYTES + 8u * header->sack_words;
}

/* FAB_HEADER_BYTES of any frame: its kind; or UINT8_MAX: not of this version. */
static inline uint8_t fab__frame_kind(const uint8_t *bytes, uint32_t length)
{
    return length >= FAB__HEADER_BYTES && bytes[0] >> 4 == FAB__WIRE_VERSION ? bytes[0] & 15u
                                                                             : UINT8_MAX;
}

/* All but selective acknowledgement, in two stores: a driver that copies the frame next has to wait
 * for bytes that were written one by one. */
static inline void fab__header_put(uint8_t *bytes, const struct fab__header *header)
{
    typedef uint64_t words __attribute__((vector_size(16)));
    uint64_t first = (uint64_t)(FAB__WIRE_VERSION << 4 | header->kind) |
                     (uint64_t)header->sack_words << 8 | (uint64_t)header->hold_us << 16 |
                     (uint64_t)header->target_session << 32;
    words rest = {header->number, header->sequence | (uint64_t)header->ack << 32};

    first = htole64(first);
    memcpy(bytes, &first, sizeof(first));
    memcpy(bytes + sizeof(first), &rest, sizeof(rest));
    _Static_assert(sizeof(first) + sizeof(rest) == FAB__HEADER_BYTES, "all of it");
}

void fab__header_write(uint8_t *bytes, const struct fab__header *header);
/* False: not a CONTROL or RECORDS frame of this version. Its payload is what follows. Words of
 * selective acknowledgement that are not there are left as they were. */
bool fab__header_read(const uint8_t *bytes, uint32_t length, struct fab__header *out_header);

void fab__hello_write(uint8_t bytes[FAB__HELLO_BYTES], const struct fab__hello *hello);
/* False: not a hello of this version. The handshake message is what follows. */
bool fab__hello_read(const uint8_t *bytes, uint32_t length, struct fab__hello *out_hello);

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

/* A scalar of that kind, extended to 64 bits. */
uint64_t fab__scalar_read(struct fab__reader *reader, uint8_t kind);
void fab__wire_msg_write(struct fab__writer *writer, const struct fab__wire_msg *msg);
/* False: malformed. The reader holds the record's body and nothing else. */
bool fab__wire_msg_read(struct fab__reader *reader, struct fab__wire_msg *out_msg);

#endif
